/* YAML into settings, by libyaml's events, so that every key and value keeps its mark.
 *
 * The shape is fixed (a map of scalars, lists of scalars, lists of maps of scalars and of maps of numbers): nothing recurses, and what is
 * unknown is skipped by counting. A syntax error ends the reading of that text and is itself a mistake with a place.
 * Every read_* begins with the first event of its node current and leaves the node's last event current.
 */
#include "base/os.h"
#include "recipe/recipe_room.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

typedef struct reader {
    ft_recipe *r;
    yaml_parser_t parser;
    yaml_event_t event;
    bool live;       /* event holds something to delete */
    bool broken;     /* a syntax error was found and noted: reading ends */
    int depth;       /* of lists and maps around and at the current event */
    const char *set; /* "--set key", NULL when a file is read */
} reader;

/* ---- places ---- */

static ft_status place(reader *rd, yaml_mark_t mark, ft_place *out)
{
    char text[4200];
    if (rd->set) {
        *out = (ft_place){rd->set, FT_RANK_OVERRIDE};
        return FT_OK;
    }
    snprintf(text, sizeof text, "%s:%zu:%zu", rd->r->name, mark.line + 1, mark.column + 1);
    out->text = ft_arena_strndup(rd->r->arena, text, strlen(text));
    out->rank = mark.line * 100000 + FT_MIN(mark.column, (size_t)99999);
    return out->text ? FT_OK : FT_ENOMEM;
}

static ft_status here(reader *rd, ft_place *out)
{
    return place(rd, rd->event.start_mark, out);
}

#define MISTAKE(rd, ...)                                                                                               \
    do {                                                                                                               \
        ft_place at_;                                                                                                  \
        FT_RETURN(here(rd, &at_));                                                                                     \
        FT_RETURN(ft_recipe__mistake((rd)->r, at_, __VA_ARGS__));                                                      \
    } while (0)

/* ---- events ---- */

static ft_status syntax_error(reader *rd)
{
    const yaml_parser_t *p = &rd->parser;
    ft_place at;
    rd->broken = true;
    if (p->error == YAML_MEMORY_ERROR)
        return ft_fail(FT_ENOMEM, "out of memory while reading %s", rd->r->name);
    FT_RETURN(place(rd, p->problem_mark, &at));
    if (p->error == YAML_READER_ERROR)
        return ft_recipe__mistake(rd->r, at, "byte %zu: %s", p->problem_offset, p->problem);
    return ft_recipe__mistake(rd->r, at, "YAML: %s%s%s", p->context ? p->context : "", p->context ? ", " : "",
                              p->problem ? p->problem : "cannot be read");
}

static bool is(const reader *rd, yaml_event_type_t type)
{
    return rd->event.type == type;
}

/* How much deeper the current event leads: 1 for the start of a list or map, -1 for its end. */
static int deeper(const reader *rd)
{
    if (is(rd, YAML_SEQUENCE_START_EVENT) || is(rd, YAML_MAPPING_START_EVENT))
        return 1;
    return is(rd, YAML_SEQUENCE_END_EVENT) || is(rd, YAML_MAPPING_END_EVENT) ? -1 : 0;
}

/* The next event. After a syntax error, and at the end, the current event is YAML_NO_EVENT.
 * The depth is bounded because libyaml takes time in its square. */
static ft_status next(reader *rd)
{
    if (rd->live)
        yaml_event_delete(&rd->event);
    rd->live = false;
    memset(&rd->event, 0, sizeof rd->event);
    if (rd->broken)
        return FT_OK;
    if (!yaml_parser_parse(&rd->parser, &rd->event))
        return syntax_error(rd);
    rd->live = true;
    rd->depth += deeper(rd);
    if (rd->depth > FT_RECIPE_MAX_DEPTH) {
        MISTAKE(rd, "nested more than %d deep", FT_RECIPE_MAX_DEPTH);
        rd->broken = true;
    }
    return FT_OK;
}

static ft_status skip(reader *rd)
{
    for (int64_t depth = deeper(rd); depth > 0 && !rd->broken; depth += deeper(rd))
        FT_RETURN(next(rd));
    return FT_OK;
}

static const char *node_name(const reader *rd)
{
    switch (rd->event.type) {
    case YAML_SCALAR_EVENT:
        return "a single value";
    case YAML_SEQUENCE_START_EVENT:
        return "a list";
    case YAML_MAPPING_START_EVENT:
        return "a map";
    default:
        return "an alias";
    }
}

static ft_status unexpected(reader *rd, const ft_option *o)
{
    ft_buf expected = {0};
    ft_status st = ft_option__expected(o, &expected);
    if (st == FT_OK) {
        ft_place at = {0};
        st = here(rd, &at);
        if (st == FT_OK && is(rd, YAML_ALIAS_EVENT))
            st = ft_recipe__mistake(rd->r, at, "%s: YAML aliases are not taken, write the value out", o->name);
        else if (st == FT_OK)
            st = ft_recipe__mistake(rd->r, at, "%s: found %s, expected %s", o->name, node_name(rd), expected.p);
    }
    ft_buf_free(&expected);
    return st == FT_OK ? skip(rd) : st;
}

/* ---- scalars ---- */

static ft_str scalar(const reader *rd)
{
    return (ft_str){(const char *)rd->event.data.scalar.value, rd->event.data.scalar.length};
}

static bool is_null(const reader *rd)
{
    ft_str s = scalar(rd);
    return rd->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (s.n == 0 || ft_str_is(s, "~") || ft_str_is(s, "null") || ft_str_is(s, "Null") || ft_str_is(s, "NULL"));
}

/* A text that can be kept: of bounded size, without NUL, without a tag that asks for another type. */
static ft_status kept_scalar(reader *rd, const ft_option *o, const char **out)
{
    ft_str s = scalar(rd);
    *out = NULL;
    if (rd->event.data.scalar.tag)
        MISTAKE(rd, "%s: YAML tags (%.40s) are not taken", o->name, rd->event.data.scalar.tag);
    else if (s.n > FT_RECIPE_MAX_TEXT)
        MISTAKE(rd, "%s: a text of %zu bytes, at most %d are taken", o->name, s.n, FT_RECIPE_MAX_TEXT);
    else if (memchr(s.p, 0, s.n))
        MISTAKE(rd, "%s: the text holds a NUL character", o->name);
    else if (!(*out = ft_arena_strndup(rd->r->arena, s.p, s.n)))
        return FT_ENOMEM;
    return FT_OK;
}

/* The canonical spelling: what other tools' values mean, and bools of a choice ("yes" for "true"). */
static ft_status canonical(reader *rd, const ft_option *o, const char **text)
{
    ft_str meaning;
    bool flag;
    ft_place at;
    if (ft_option__translate(o, *text, &meaning)) {
        FT_RETURN(here(rd, &at));
        ft_note(FT_NOTE, "%s: %s: %s is taken as %s%.*s", at.text, o->name, *text, meaning.n ? "" : "not set",
                (int)meaning.n, meaning.p);
        *text = ft_arena_strndup(rd->r->arena, meaning.p, meaning.n);
        return *text ? FT_OK : FT_ENOMEM;
    }
    if (o->type == FT_OPT_CHOICE && !ft_option__accepts(o, *text) && ft_option__bool(*text, &flag) &&
        ft_option__accepts(o, flag ? "true" : "false"))
        *text = flag ? "true" : "false";
    return FT_OK;
}

/* Notes what is wrong with a value; the nearest choice where there is one. */
static ft_status refuse(reader *rd, const ft_option *o, const char *text)
{
    ft_buf expected = {0};
    const char *names[16];
    char copy[256];
    size_t n = 0;
    ft_status st;
    FT_TRY(ft_option__expected(o, &expected));
    snprintf(copy, sizeof copy, "%s", o->choices ? o->choices : "");
    for (char *save = NULL, *p = strtok_r(copy, "|", &save); p && n < FT_COUNT(names); p = strtok_r(NULL, "|", &save))
        names[n++] = p;
    const char *near = ft_nearest(text, names, n);
    ft_place at;
    FT_TRY(here(rd, &at));
    st = ft_recipe__mistake(rd->r, at, "%s: found \"%.80s\", expected %s%s%s", o->name, text, expected.p,
                            near ? "; nearest: " : "", near ? near : "");
done:
    ft_buf_free(&expected);
    return st;
}

/* ---- values by type ---- */

/* Item lists double inside the arena; they are short (FT_RECIPE_MAX_ITEMS). */
static ft_status add_item(reader *rd, ft_setting *s, const char *text)
{
    if ((s->n & (s->n - 1)) == 0) {
        const char **items = ft_arena_alloc(rd->r->arena, s->n ? s->n * 2 : 1, sizeof *items);
        if (!items)
            return FT_ENOMEM;
        if (s->n)
            memcpy(items, s->items, s->n * sizeof *items);
        s->items = items;
    }
    s->items[s->n++] = text;
    return FT_OK;
}

/* The text of a scalar node in canonical spelling, NULL where it is null or was refused. */
static ft_status read_text(reader *rd, const ft_option *o, const char **text)
{
    *text = NULL;
    if (is_null(rd))
        return FT_OK;
    FT_RETURN(kept_scalar(rd, o, text));
    return *text ? canonical(rd, o, text) : FT_OK;
}

static ft_status read_scalar(reader *rd, const ft_option *o, ft_setting *s)
{
    const char *text;
    if (!is(rd, YAML_SCALAR_EVENT))
        return unexpected(rd, o);
    FT_RETURN(read_text(rd, o, &text));
    if (text && !ft_option__accepts(o, text))
        return refuse(rd, o, text);
    return text ? add_item(rd, s, text) : FT_OK;
}

static ft_status too_many(reader *rd, const ft_option *o)
{
    MISTAKE(rd, "%s: more than %d items", o->name, FT_RECIPE_MAX_ITEMS);
    return FT_OK;
}

/* Without the blanks around it; s is changed. */
static char *trimmed(char *s)
{
    s += strspn(s, " ");
    for (size_t n = strlen(s); n && s[n - 1] == ' '; n--)
        s[n - 1] = 0;
    return s;
}

/* One plain text: its parts between commas ("q_proj,v_proj", "--set metrics=loss,exact_match", "last 8"). */
static ft_status read_comma_list(reader *rd, const ft_option *o, ft_setting *s)
{
    const char *text;
    FT_RETURN(read_text(rd, o, &text));
    char *copy = text ? ft_arena_strndup(rd->r->arena, text, strlen(text)) : NULL;
    if (!copy)
        return text ? FT_ENOMEM : FT_OK;
    for (char *save = NULL, *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
        if (s->n == FT_RECIPE_MAX_ITEMS)
            return too_many(rd, o);
        if (*trimmed(p))
            FT_RETURN(add_item(rd, s, trimmed(p)));
    }
    return FT_OK;
}

static ft_status read_string_item(reader *rd, const ft_option *o, ft_setting *s)
{
    const char *text;
    if (!is(rd, YAML_SCALAR_EVENT))
        return unexpected(rd, o);
    if (is_null(rd) || scalar(rd).n == 0) {
        MISTAKE(rd, "%s: an empty item", o->name);
        return FT_OK;
    }
    FT_RETURN(read_text(rd, o, &text));
    return text && *text ? add_item(rd, s, text) : FT_OK;
}

static ft_status read_strings(reader *rd, const ft_option *o, ft_setting *s)
{
    if (is(rd, YAML_SCALAR_EVENT))
        return read_comma_list(rd, o, s);
    if (!is(rd, YAML_SEQUENCE_START_EVENT))
        return unexpected(rd, o);
    FT_RETURN(next(rd));
    for (size_t seen = 0; !is(rd, YAML_SEQUENCE_END_EVENT) && !rd->broken; seen++) {
        if (seen == FT_RECIPE_MAX_ITEMS)
            FT_RETURN(too_many(rd, o));
        FT_RETURN(seen < FT_RECIPE_MAX_ITEMS ? read_string_item(rd, o, s) : skip(rd));
        FT_RETURN(next(rd));
    }
    return FT_OK;
}

/* ---- maps and lists of maps ---- */

static ft_status read_list(reader *rd, const ft_option *o, ft_setting *s);
static ft_status read_numbers(reader *rd, const ft_option *o, ft_setting *s);

static ft_status read_value(reader *rd, const ft_option *o, size_t index, ft_setting *s)
{
    size_t mistakes = rd->r->n_mistakes + rd->r->unsaid;
    *s = (ft_setting){.option = o, .index = index};
    FT_RETURN(here(rd, &s->place));
    if (o->type == FT_OPT_LIST)
        FT_RETURN(read_list(rd, o, s));
    else if (o->type == FT_OPT_NUMBERS)
        FT_RETURN(read_numbers(rd, o, s));
    else
        FT_RETURN(o->type == FT_OPT_STRINGS ? read_strings(rd, o, s) : read_scalar(rd, o, s));
    s->refused = rd->r->n_mistakes + rd->r->unsaid > mistakes;
    return FT_OK;
}

static ft_status unknown_key(reader *rd, const ft_option *list, size_t index, const char *key)
{
    const ft_option *near = ft_option__nearest(list, key);
    const char *in = list ? " in an entry of " : "", *name = list ? list->name : "";
    bool alias;
    for (const ft_option *o = ft_options; o->name && !list; o++)
        if (o->type == FT_OPT_LIST && ft_option__find(o, ft_str_of(key), &alias)) {
            MISTAKE(rd, "unknown key \"%.80s\": it belongs into an entry of %s", key, o->name);
            return FT_OK;
        }
    if (!near)
        MISTAKE(rd, "unknown key \"%.80s\"%s%s; `fettle recipe doc` lists the keys", key, in, name);
    else
        MISTAKE(rd, "unknown key \"%.80s\"%s%s; nearest: %s", key, in, name, ft_option__key(near));
    if (near && rd->r->n_meant < FT_RECIPE_MAX_MISTAKES)
        rd->r->meant[rd->r->n_meant++] = (ft_meant){near, index};
    return FT_OK;
}

/* The option of a key that may be set now; NULL (and a mistake) where there is none. */
static ft_status find_option(reader *rd, const ft_option *list, size_t index, const char *key, const ft_option **out,
                             bool *alias)
{
    ft_place at;
    *out = NULL;
    const ft_option *o = ft_option__find(list, ft_str_of(key), alias);
    if (!o)
        return unknown_key(rd, list, index, key);
    FT_RETURN(here(rd, &at));
    if (*alias)
        ft_note(FT_NOTE, "%s: %s is taken as %s", at.text, key, o->name);
    const ft_setting *first = ft_recipe__find(rd->r, o, index);
    if (first)
        return ft_recipe__mistake(rd->r, at, "%s is given twice; first at %s", o->name, first->place.text);
    *out = o;
    return FT_OK;
}

static ft_status skip_pair(reader *rd)
{
    FT_RETURN(skip(rd));
    FT_RETURN(next(rd));
    return skip(rd);
}

/* The scalar at hand behind item[0..n), "NAME=". */
static ft_status number_item(reader *rd, const ft_option *o, ft_setting *s, char item[128], int n)
{
    double v;
    snprintf(item + n, (size_t)(128 - n), "%.*s", (int)FT_MIN(scalar(rd).n, (size_t)60), scalar(rd).p);
    if (!ft_parse_f64(item + n, &v)) {
        MISTAKE(rd, "%s: %.*s: found \"%s\", expected a number", o->name, n - 1, item, item + n);
        return FT_OK;
    }
    if (o->min < o->max && !(v >= o->min && v <= o->max)) {
        MISTAKE(rd, "%s: %.*s: found %s, expected a number from %g to %g", o->name, n - 1, item, item + n, o->min, o->max);
        return FT_OK;
    }
    const char *kept = ft_arena_strndup(rd->r->arena, item, strlen(item));
    return kept ? add_item(rd, s, kept) : FT_ENOMEM;
}

static ft_status unknown_number(reader *rd, const ft_option *o, const char *name)
{
    ft_buf expected = {0};
    ft_place at;
    ft_status st = ft_option__expected(o, &expected);
    if (st == FT_OK)
        st = here(rd, &at);
    if (st == FT_OK)
        st = ft_recipe__mistake(rd->r, at, "%s: found the name \"%s\", expected %s", o->name, name, expected.p);
    ft_buf_free(&expected);
    return st == FT_OK ? skip_pair(rd) : st;
}

/* "kl: 0.05" becomes the item "kl=0.05". */
static ft_status read_number(reader *rd, const ft_option *o, ft_setting *s)
{
    char item[128];
    if (!is(rd, YAML_SCALAR_EVENT)) {
        MISTAKE(rd, "%s: a name must be a plain text, found %s", o->name, node_name(rd));
        return skip_pair(rd);
    }
    int n = snprintf(item, 63, "%.*s", (int)FT_MIN(scalar(rd).n, (size_t)62), scalar(rd).p);
    if (o->choices && !ft_option__listed(o->choices, item))
        return unknown_number(rd, o, item);
    FT_RETURN(next(rd));
    if (rd->broken)
        return FT_OK;
    if (!is(rd, YAML_SCALAR_EVENT))
        return unexpected(rd, o);
    item[n] = '=';
    return number_item(rd, o, s, item, n + 1);
}

/* A plain number: that of the first name. */
static ft_status read_plain_number(reader *rd, const ft_option *o, ft_setting *s)
{
    char item[128];
    int n = snprintf(item, 64, "%.*s=", (int)strcspn(o->choices, "|"), o->choices);
    return number_item(rd, o, s, item, n);
}

static ft_status read_numbers(reader *rd, const ft_option *o, ft_setting *s)
{
    if (is(rd, YAML_SCALAR_EVENT) && is_null(rd))
        return FT_OK;
    if (is(rd, YAML_SCALAR_EVENT) && o->choices)
        return read_plain_number(rd, o, s);
    if (!is(rd, YAML_MAPPING_START_EVENT))
        return unexpected(rd, o);
    FT_RETURN(next(rd));
    for (size_t seen = 0; !is(rd, YAML_MAPPING_END_EVENT) && !rd->broken; seen++) {
        if (seen == FT_RECIPE_MAX_ITEMS)
            FT_RETURN(too_many(rd, o));
        FT_RETURN(seen < FT_RECIPE_MAX_ITEMS ? read_number(rd, o, s) : skip_pair(rd));
        FT_RETURN(next(rd));
    }
    return FT_OK;
}

static ft_status read_pair(reader *rd, const ft_option *list, size_t index)
{
    const ft_option *o;
    ft_setting s;
    bool alias;
    char key[128];
    if (!is(rd, YAML_SCALAR_EVENT)) {
        MISTAKE(rd, "a key must be a plain name, found %s", node_name(rd));
        return skip_pair(rd);
    }
    snprintf(key, sizeof key, "%.*s", (int)FT_MIN(scalar(rd).n, sizeof key), scalar(rd).p);
    FT_RETURN(find_option(rd, list, index, key, &o, &alias));
    if (!o)
        return skip_pair(rd);
    FT_RETURN(next(rd));
    if (rd->broken)
        return FT_OK;
    FT_RETURN(read_value(rd, o, index, &s));
    if (alias && !s.n && !s.refused)
        return FT_OK; /* "lora_target_linear: false" says nothing about lora_target_modules */
    return ft_recipe__add(rd->r, &s);
}

static ft_status read_map(reader *rd, const ft_option *list, size_t index)
{
    FT_RETURN(next(rd));
    while (!is(rd, YAML_MAPPING_END_EVENT) && !rd->broken) {
        FT_RETURN(read_pair(rd, list, index));
        FT_RETURN(next(rd));
    }
    return FT_OK;
}

/* An entry is a map, or a plain text that stands for the entry's first key. */
static ft_status read_entry(reader *rd, const ft_option *list, size_t index)
{
    ft_setting s;
    if (is(rd, YAML_MAPPING_START_EVENT))
        return read_map(rd, list, index);
    if (!is(rd, YAML_SCALAR_EVENT) || is_null(rd))
        return unexpected(rd, list);
    FT_RETURN(read_value(rd, list + 1, index, &s));
    return ft_recipe__add(rd->r, &s);
}

static ft_status read_list(reader *rd, const ft_option *o, ft_setting *s)
{
    if (is(rd, YAML_SCALAR_EVENT) && is_null(rd))
        return FT_OK;
    if (!is(rd, YAML_SEQUENCE_START_EVENT)) {
        s->n = 1;
        return read_entry(rd, o, 0);
    }
    FT_RETURN(next(rd));
    for (size_t seen = 0; !is(rd, YAML_SEQUENCE_END_EVENT) && !rd->broken; seen++) {
        if (seen == FT_RECIPE_MAX_ITEMS)
            FT_RETURN(too_many(rd, o));
        FT_RETURN(seen < FT_RECIPE_MAX_ITEMS ? read_entry(rd, o, s->n++) : skip(rd));
        FT_RETURN(next(rd));
    }
    return FT_OK;
}

/* ---- texts ---- */

static ft_status open_text(reader *rd, const char *text, size_t n)
{
    if (!yaml_parser_initialize(&rd->parser))
        return ft_fail(FT_ENOMEM, "out of memory while reading %s", rd->r->name);
    yaml_parser_set_input_string(&rd->parser, (const unsigned char *)text, n);
    return FT_OK;
}

static void close_text(reader *rd)
{
    if (rd->live)
        yaml_event_delete(&rd->event);
    yaml_parser_delete(&rd->parser);
}

/* Up to the first event of the document; *any = false when the text holds none. */
static ft_status enter_document(reader *rd, bool *any)
{
    do
        FT_RETURN(next(rd));
    while (is(rd, YAML_STREAM_START_EVENT) || is(rd, YAML_DOCUMENT_START_EVENT));
    *any = !rd->broken && !is(rd, YAML_STREAM_END_EVENT);
    return FT_OK;
}

static ft_status leave_document(reader *rd)
{
    do
        FT_RETURN(next(rd));
    while (is(rd, YAML_DOCUMENT_END_EVENT));
    if (!rd->broken && !is(rd, YAML_STREAM_END_EVENT))
        MISTAKE(rd, "a second YAML document; a recipe is one");
    return FT_OK;
}

ft_status ft_recipe__read_file(ft_recipe *r, const char *path)
{
    ft_status st = FT_OK;
    ft_buf text = {0};
    reader rd = {.r = r};
    bool any;
    FT_RETURN(ft_read_file(&text, path, FT_RECIPE_MAX_BYTES));
    FT_TRY(open_text(&rd, text.n ? text.p : "", text.n));
    FT_TRY(enter_document(&rd, &any));
    if (any && is(&rd, YAML_MAPPING_START_EVENT))
        FT_TRY(read_map(&rd, NULL, 0));
    else if (any && !(is(&rd, YAML_SCALAR_EVENT) && is_null(&rd))) {
        ft_place at;
        FT_TRY(here(&rd, &at));
        FT_TRY(ft_recipe__mistake(r, at, "found %s, expected a map of options", node_name(&rd)));
        FT_TRY(skip(&rd));
    }
    if (any)
        FT_TRY(leave_document(&rd));
done:
    close_text(&rd);
    ft_buf_free(&text);
    return st;
}

/* The option a "--set key=value" means; NULL (and a mistake) where there is none. */
static ft_status override_option(ft_recipe *r, ft_str key, ft_place at, const ft_option **out)
{
    bool alias;
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)FT_MIN(key.n, sizeof name), key.p);
    const ft_option *o = ft_option_named(name);
    *out = NULL;
    if (!o) {
        const ft_option *near = ft_option__nearest(NULL, name);
        return ft_recipe__mistake(r, at, "unknown key \"%s\"%s%s", name, near ? "; nearest: " : "",
                                  near ? near->name : "");
    }
    if (strchr(o->name, '.'))
        return ft_recipe__mistake(r, at, "a list is set as a whole: --set '%.*s=[{%s: ...}]'",
                                  (int)(strchr(o->name, '.') - o->name), o->name, ft_option__key(o));
    if (!ft_option__find(NULL, key, &alias) || alias)
        ft_note(FT_NOTE, "%s: taken as %s", at.text, o->name);
    *out = o;
    return FT_OK;
}

ft_status ft_recipe__read_override(ft_recipe *r, const char *key_value)
{
    const char *eq = strchr(key_value, '=');
    ft_str key = {key_value, eq ? (size_t)(eq - key_value) : strlen(key_value)};
    const ft_option *o;
    ft_status st = FT_OK;
    reader rd = {.r = r};
    ft_setting s = {0};
    bool any;
    char place[160];
    snprintf(place, sizeof place, "--set %.*s", (int)FT_MIN(key.n, (size_t)128), key.p);
    if (!(rd.set = ft_arena_strndup(r->arena, place, strlen(place))))
        return FT_ENOMEM;
    ft_place at = {rd.set, FT_RANK_OVERRIDE};
    if (!eq)
        return ft_recipe__mistake(r, at, "expected key=value");
    FT_RETURN(override_option(r, key, at, &o));
    if (!o)
        return FT_OK;
    ft_recipe__forget(r, o);
    FT_RETURN(open_text(&rd, eq + 1, strlen(eq + 1)));
    FT_TRY(enter_document(&rd, &any));
    if (any) {
        FT_TRY(read_value(&rd, o, 0, &s));
        FT_TRY(leave_document(&rd));
        FT_TRY(ft_recipe__add(r, &s));
    }
done:
    close_text(&rd);
    return st;
}
