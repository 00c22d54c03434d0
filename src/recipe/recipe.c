/* A recipe's life: opening, complaints and getters. parse.c fills it, check.c looks at the whole, print.c writes it. */
#include "recipe/recipe_room.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings ---- */

const ft_setting *ft_recipe__find(const ft_recipe *r, const ft_option *o, size_t index)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->settings[i].option == o && r->settings[i].index == index)
            return &r->settings[i];
    return NULL;
}

ft_status ft_recipe__add(ft_recipe *r, const ft_setting *s)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 64;
        ft_setting *p = ft_resize(r->settings, cap, sizeof *p);
        if (!p)
            return FT_ENOMEM;
        r->settings = p;
        r->cap = cap;
    }
    r->settings[r->n++] = *s;
    return FT_OK;
}

void ft_recipe__forget(ft_recipe *r, const ft_option *o)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->n; i++) {
        const ft_option *have = r->settings[i].option;
        if (have != o && !(o->type == FT_OPT_LIST && ft_option__belongs(have, o)))
            r->settings[kept++] = r->settings[i];
    }
    r->n = kept;
}

const char *ft_recipe__text(const ft_recipe *r, const ft_option *o, size_t index)
{
    const ft_setting *s = ft_recipe__find(r, o, index);
    return s && s->n && s->items ? s->items[0] : o->fallback;
}

/* ---- mistakes ---- */

static ft_status add_mistake(ft_recipe *r, ft_place place, const char *fmt, va_list ap)
{
    char text[1024];
    if (r->n_mistakes == FT_RECIPE_MAX_MISTAKES) {
        r->unsaid++;
        return FT_OK;
    }
    vsnprintf(text, sizeof text, fmt, ap);
    const char *copy = ft_arena_strndup(r->arena, text, strlen(text));
    ft_mistake *m = ft_resize(r->mistakes, r->n_mistakes + 1, sizeof *m);
    if (m)
        r->mistakes = m;
    if (!m || !copy)
        return FT_ENOMEM;
    r->mistakes[r->n_mistakes] = (ft_mistake){.place = place, .order = r->n_mistakes, .text = copy};
    r->n_mistakes++;
    return FT_OK;
}

ft_status ft_recipe__mistake(ft_recipe *r, ft_place place, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ft_status st = add_mistake(r, place, fmt, ap);
    va_end(ap);
    return st;
}

static int by_place(const void *a, const void *b)
{
    const ft_mistake *x = a, *y = b;
    if (x->place.rank != y->place.rank)
        return x->place.rank < y->place.rank ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

ft_status ft_recipe_check(ft_recipe *r)
{
    char all[3800]; /* fits into the message of ft_fail with room for context */
    size_t n = 0, said = 0;
    if (!r->n_mistakes && !r->unsaid)
        return FT_OK;
    qsort(r->mistakes, r->n_mistakes, sizeof *r->mistakes, by_place);
    for (; said < r->n_mistakes; said++) {
        const ft_mistake *m = &r->mistakes[said];
        size_t need = strlen(m->place.text) + strlen(m->text) + 3;
        if (n + need + 40 > sizeof all)
            break;
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s: %s", said ? "\n" : "", m->place.text, m->text);
    }
    if (r->unsaid + r->n_mistakes > said)
        snprintf(all + n, sizeof all - n, "\nand %zu more mistakes", r->unsaid + r->n_mistakes - said);
    return ft_fail(FT_EINPUT, "%s", all);
}

/* ---- opening ---- */

void ft_recipe_free(ft_recipe *r)
{
    if (!r)
        return;
    ft_free(r->settings);
    ft_free(r->mistakes);
    ft_arena_free(r->arena);
    ft_free(r);
}

static ft_recipe *new_recipe(const char *path)
{
    ft_recipe *r = ft_alloc(1, sizeof *r);
    const char *name = path ? path : "recipe";
    if (!r)
        return NULL;
    r->arena = ft_arena_new((size_t)1 << 16, (size_t)1 << 28);
    r->name = r->arena ? ft_arena_strndup(r->arena, name, strlen(name)) : NULL;
    if (!r->name) {
        ft_recipe_free(r);
        return NULL;
    }
    return r;
}

ft_status ft_recipe_open(ft_recipe **out, const char *path, const char *const *overrides, size_t n)
{
    ft_status st = FT_OK;
    *out = NULL;
    ft_recipe *r = new_recipe(path);
    if (!r)
        return FT_ENOMEM;
    if (path)
        FT_TRY(ft_recipe__read_file(r, path));
    for (size_t i = 0; i < n; i++)
        FT_TRY(ft_recipe__read_override(r, overrides[i]));
    FT_TRY(ft_recipe__check_whole(r));
    *out = r;
    r = NULL;
    st = ft_recipe_check(*out);
done:
    ft_recipe_free(r);
    return st;
}

/* ---- getters ---- */

static const ft_option *known(const char *key)
{
    const ft_option *o = ft_option_named(key);
    assert(o && "the program asks for an option that options.def lacks");
    return o;
}

bool ft_recipe_given(const ft_recipe *r, const char *key, size_t index)
{
    const ft_setting *s = ft_recipe__find(r, known(key), strchr(key, '.') ? index : 0);
    return s && s->n;
}

bool ft_recipe_str(const ft_recipe *r, const char *key, size_t index, const char **out)
{
    const char *text = ft_recipe__text(r, known(key), strchr(key, '.') ? index : 0);
    if (text)
        *out = text;
    return text != NULL;
}

bool ft_recipe_i64(const ft_recipe *r, const char *key, size_t index, int64_t *out)
{
    const char *text;
    return ft_recipe_str(r, key, index, &text) && ft_parse_i64(text, out);
}

bool ft_recipe_f64(const ft_recipe *r, const char *key, size_t index, double *out)
{
    const char *text;
    return ft_recipe_str(r, key, index, &text) && ft_parse_f64(text, out);
}

bool ft_recipe_bool(const ft_recipe *r, const char *key, size_t index, bool *out)
{
    const char *text;
    return ft_recipe_str(r, key, index, &text) && ft_option__bool(text, out);
}

size_t ft_recipe_count(const ft_recipe *r, const char *key, size_t index)
{
    const ft_option *o = known(key);
    const ft_setting *s = ft_recipe__find(r, o, strchr(key, '.') ? index : 0);
    return s && s->n ? s->n : o->fallback != NULL;
}

const char *ft_recipe_item(const ft_recipe *r, const char *key, size_t index, size_t item)
{
    const ft_option *o = known(key);
    const ft_setting *s = ft_recipe__find(r, o, strchr(key, '.') ? index : 0);
    if (s && s->n)
        return s->items && item < s->n ? s->items[item] : NULL;
    return item == 0 ? o->fallback : NULL;
}

static ft_place place_of(const ft_recipe *r, const ft_option *o, size_t index)
{
    const ft_setting *s = ft_recipe__find(r, o, index);
    return s ? s->place : (ft_place){.text = r->name, .rank = FT_RANK_WHOLE};
}

const char *ft_recipe_place(const ft_recipe *r, const char *key, size_t index)
{
    return place_of(r, known(key), strchr(key, '.') ? index : 0).text;
}

/* "datasets[2].type" is the option "datasets.type" at entry 2. */
static const ft_option *addressed(const char *key, size_t *index)
{
    char name[128];
    size_t used;
    const char *open = strchr(key, '['), *close = open ? strchr(open, ']') : NULL;
    *index = 0;
    if (!close)
        return known(key);
    *index = strtoul(open + 1, NULL, 10);
    used = (size_t)snprintf(name, sizeof name, "%.*s%s", (int)(open - key), key, close + 1);
    assert(used < sizeof name);
    (void)used;
    return known(name);
}

void ft_recipe_complain(ft_recipe *r, const char *key, const char *fmt, ...)
{
    size_t index;
    const ft_option *o = addressed(key, &index);
    va_list ap;
    va_start(ap, fmt);
    if (add_mistake(r, place_of(r, o, index), fmt, ap) != FT_OK)
        r->unsaid++; /* no memory to keep the text: the check must still fail */
    va_end(ap);
}
