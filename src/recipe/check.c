/* What only the whole recipe shows, checked when the file and the overrides have been read: keys that are missing,
 * options that cannot stand together (the table's `needs` and `excludes`, and a few of their own kind), files that are
 * not there.
 */
#include "base/os.h"
#include "recipe/recipe_room.h"

#include <stdio.h>
#include <string.h>

static bool given(const ft_recipe *r, const ft_option *o)
{
    const ft_setting *s = ft_recipe__find(r, o, 0);
    return s && s->n;
}

/* Set to something: given, and not a zero that turns it off. */
static bool active(const ft_recipe *r, const ft_option *o)
{
    double v;
    const char *text = ft_recipe__text(r, o, 0);
    return given(r, o) &&
           !(text && (o->type == FT_OPT_INT || o->type == FT_OPT_FLOAT) && ft_parse_f64(text, &v) && v == 0);
}

static ft_place place_of(const ft_recipe *r, const ft_option *o, size_t index)
{
    const ft_setting *s = ft_recipe__find(r, o, index);
    return s ? s->place : (ft_place){r->name, FT_RANK_WHOLE};
}

static size_t entries(const ft_recipe *r, const ft_option *list)
{
    const ft_setting *s = ft_recipe__find(r, list, 0);
    return s ? s->n : 0;
}

static const ft_option *list_of(const ft_option *o)
{
    const ft_option *list = o;
    while (!ft_option__belongs(o, list))
        list--;
    return list;
}

/* Not there, and nothing was said about it yet: neither a value that was refused nor a misspelled key. */
static bool missing(const ft_recipe *r, const ft_option *o, size_t index)
{
    const ft_setting *s = ft_recipe__find(r, o, index);
    for (size_t i = 0; i < r->n_meant; i++)
        if (r->meant[i].option == o && r->meant[i].index == index)
            return false;
    return !s || (!s->n && !s->refused);
}

/* The first key of a list's entry that is there. */
static const ft_setting *first_of_entry(const ft_recipe *r, const ft_option *list, size_t index)
{
    const ft_setting *s = NULL;
    for (const ft_option *o = list + 1; o->name && ft_option__belongs(o, list) && !s; o++)
        s = ft_recipe__find(r, o, index);
    return s;
}

static ft_status check_entries(ft_recipe *r, const ft_option *o, const ft_option *list)
{
    const ft_setting *s = ft_recipe__find(r, list, 0);
    for (size_t i = 0; s && i < s->n; i++) {
        const ft_setting *first = first_of_entry(r, list, i);
        if (missing(r, o, i) && (first || !s->refused))
            FT_RETURN(ft_recipe__mistake(r, (first ? first : s)->place, "entry %zu of %s lacks %s", i + 1, list->name,
                                         ft_option__key(o)));
    }
    return FT_OK;
}

static ft_status check_required(ft_recipe *r, const ft_option *o)
{
    if (!o->required)
        return FT_OK;
    if (strchr(o->name, '.'))
        return check_entries(r, o, list_of(o));
    return missing(r, o, 0) ? ft_recipe__mistake(r, place_of(r, o, 0), "%s is missing", o->name) : FT_OK;
}

static ft_status check_needs(ft_recipe *r, const ft_option *o)
{
    char name[64];
    if (!o->needs || !given(r, o))
        return FT_OK;
    const char *eq = strchr(o->needs, '=');
    if (!eq)
        return given(r, ft_option_named(o->needs)) ? FT_OK
                                                   : ft_recipe__mistake(r, place_of(r, o, 0), "%s needs %s", o->name, o->needs);
    snprintf(name, sizeof name, "%.*s", (int)(eq - o->needs), o->needs);
    const ft_option *other = ft_option_named(name);
    const char *have = ft_recipe__text(r, other, 0);
    if (ft_option__listed(eq + 1, have))
        return FT_OK;
    return ft_recipe__mistake(r, place_of(r, o, 0), "%s needs %s: %s, found %s: %s%s", o->name, name, eq + 1, name,
                              have, given(r, other) ? "" : " (the default)");
}

static ft_status check_excludes(ft_recipe *r, const ft_option *o)
{
    const ft_option *other = o->excludes ? ft_option_named(o->excludes) : NULL;
    if (!other || !active(r, o) || !active(r, other))
        return FT_OK;
    return ft_recipe__mistake(r, place_of(r, o, 0), "%s and %s are both given (%s); only one can be", o->name,
                              other->name, place_of(r, other, 0).text);
}

static ft_status check_files(ft_recipe *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const ft_setting *s = &r->settings[i];
        if (s->option->type == FT_OPT_PATH && s->n && !ft_exists(s->items[0]))
            FT_RETURN(ft_recipe__mistake(r, s->place, "%s: there is no %s", s->option->name, s->items[0]));
    }
    return FT_OK;
}

/* ---- rules of their own kind ---- */

static ft_status check_start(ft_recipe *r)
{
    const ft_option *base = ft_option_named("base_model"), *config = ft_option_named("init_from_config");
    if (!missing(r, base, 0) || !missing(r, config, 0))
        return FT_OK;
    return ft_recipe__mistake(r, place_of(r, base, 0),
                              "base_model is missing (or init_from_config, to train from scratch)");
}

static ft_status check_early_stopping(ft_recipe *r)
{
    static const char *const rows[] = {"val_datasets", "val_set_size", "test_datasets"};
    const ft_option *patience = ft_option_named("early_stopping_patience");
    bool any = false;
    for (size_t i = 0; i < FT_COUNT(rows); i++)
        any |= active(r, ft_option_named(rows[i]));
    if (any || !active(r, patience))
        return FT_OK;
    return ft_recipe__mistake(
        r, place_of(r, patience, 0),
        "early_stopping_patience needs rows to evaluate on: val_datasets, val_set_size or test_datasets");
}

static ft_status check_templates(ft_recipe *r, const char *list)
{
    char prompt_name[64], completion_name[64];
    snprintf(prompt_name, sizeof prompt_name, "%s.prompt_template", list);
    snprintf(completion_name, sizeof completion_name, "%s.completion_template", list);
    const ft_option *prompt = ft_option_named(prompt_name), *completion = ft_option_named(completion_name);
    for (size_t i = 0; i < entries(r, ft_option_named(list)); i++) {
        bool has_prompt = !missing(r, prompt, i), has_completion = !missing(r, completion, i);
        if (has_prompt != has_completion)
            FT_RETURN(ft_recipe__mistake(r, place_of(r, has_prompt ? prompt : completion, i), "%s needs %s beside it",
                                         (has_prompt ? prompt : completion)->name,
                                         ft_option__key(has_prompt ? completion : prompt)));
    }
    return FT_OK;
}

ft_status ft_recipe__check_whole(ft_recipe *r)
{
    for (const ft_option *o = ft_options; o->name; o++) {
        FT_RETURN(check_required(r, o));
        FT_RETURN(check_needs(r, o));
        FT_RETURN(check_excludes(r, o));
    }
    FT_RETURN(check_start(r));
    FT_RETURN(check_early_stopping(r));
    FT_RETURN(check_templates(r, "datasets"));
    FT_RETURN(check_templates(r, "val_datasets"));
    FT_RETURN(check_templates(r, "test_datasets"));
    return check_files(r);
}
