/* The option table and what a row can say about a key or a value. The rows stand in recipe/options.def; the types are a
 * small table of their own at the foot of "types" below: a label for people and a test for a text.
 */
#include "recipe/recipe_room.h"

#include <math.h>
#include <string.h>

const ft_option ft_options[] = {
#define FT_OPTION(...) {__VA_ARGS__},
#include "recipe/options.def"
#undef FT_OPTION
    {.name = NULL}};

/* ---- names ---- */

bool ft_option__each(const char *list, char separator, bool (*fn)(void *ctx, ft_str name), void *ctx)
{
    for (const char *p = list; p && *p;) {
        const char *end = strchr(p, separator);
        size_t n = end ? (size_t)(end - p) : strlen(p);
        ft_str name = {p, n};
        while (name.n && *name.p == ' ') {
            name.p++;
            name.n--;
        }
        if (fn(ctx, name))
            return true;
        p = end ? end + 1 : NULL;
    }
    return false;
}

static bool is_name(void *ctx, ft_str name)
{
    return ft_str_eq(*(const ft_str *)ctx, name);
}

const char *ft_option__key(const ft_option *o)
{
    const char *dot = strchr(o->name, '.');
    return dot ? dot + 1 : o->name;
}

bool ft_option__belongs(const ft_option *o, const ft_option *list)
{
    const char *dot = strchr(o->name, '.');
    if (!list)
        return !dot;
    size_t n = strlen(list->name);
    return dot && (size_t)(dot - o->name) == n && memcmp(o->name, list->name, n) == 0;
}

const ft_option *ft_option__find(const ft_option *list, ft_str key, bool *alias)
{
    *alias = false;
    for (const ft_option *o = ft_options; o->name; o++)
        if (ft_option__belongs(o, list) && ft_str_is(key, ft_option__key(o)))
            return o;
    *alias = true;
    for (const ft_option *o = ft_options; o->name; o++)
        if (ft_option__belongs(o, list) && ft_option__each(o->aliases, ',', is_name, &key))
            return o;
    return NULL;
}

const ft_option *ft_option_named(const char *name)
{
    bool alias;
    const char *dot = strchr(name, '.');
    if (!dot)
        return ft_option__find(NULL, ft_str_of(name), &alias);
    const ft_option *list = ft_option__find(NULL, (ft_str){name, (size_t)(dot - name)}, &alias);
    return list && list->type == FT_OPT_LIST ? ft_option__find(list, ft_str_of(dot + 1), &alias) : NULL;
}

const ft_option *ft_option__nearest(const ft_option *list, const char *key)
{
    const char *names[FT_COUNT(ft_options)];
    size_t n = 0;
    bool alias;
    for (const ft_option *o = ft_options; o->name; o++)
        if (ft_option__belongs(o, list))
            names[n++] = ft_option__key(o);
    const char *near = ft_nearest(key, names, n);
    return near ? ft_option__find(list, ft_str_of(near), &alias) : NULL;
}

/* ---- values ---- */

typedef struct translation {
    ft_str value, meaning;
} translation;

static bool is_translation(void *ctx, ft_str entry)
{
    translation *t = ctx;
    const char *eq = memchr(entry.p, '=', entry.n);
    size_t n = (size_t)(eq - entry.p);
    t->meaning = (ft_str){eq + 1, entry.n - n - 1};
    return ft_str_eq(t->value, (ft_str){entry.p, n});
}

bool ft_option__translate(const ft_option *o, const char *value, ft_str *meaning)
{
    translation t = {.value = ft_str_of(value)};
    bool known = ft_option__each(o->values, ',', is_translation, &t);
    *meaning = t.meaning;
    return known;
}

bool ft_option__bool(const char *text, bool *out)
{
    static const char *const words[] = {"false", "true", "False", "True", "FALSE", "TRUE", "no", "yes", "No",
                                        "Yes",   "NO",   "YES",   "off",  "on",    "Off",  "On", "OFF", "ON"};
    for (size_t i = 0; i < FT_COUNT(words); i++)
        if (strcmp(text, words[i]) == 0) {
            *out = i % 2;
            return true;
        }
    return false;
}

static bool any(const ft_option *o, const char *text)
{
    return *text;
}

static bool integer(const ft_option *o, const char *text)
{
    int64_t v;
    return ft_parse_i64(text, &v) && (o->min > o->max || ((double)v >= o->min && (double)v <= o->max));
}

static bool number(const ft_option *o, const char *text)
{
    double v;
    return ft_parse_f64(text, &v) && isfinite(v) && (o->min > o->max || (v >= o->min && v <= o->max));
}

static bool boolean(const ft_option *o, const char *text)
{
    bool v;
    return ft_option__bool(text, &v);
}

bool ft_option__listed(const char *list, const char *word)
{
    ft_str s = ft_str_of(word);
    return *word && ft_option__each(list, '|', is_name, &s);
}

static bool choice(const ft_option *o, const char *text)
{
    return ft_option__listed(o->choices, text) || (o->min < o->max && integer(o, text));
}

static const struct {
    const char *label;
    bool (*accepts)(const ft_option *o, const char *text);
} types[] = {
    [FT_OPT_STRING] = {"a text", any},          [FT_OPT_PATH] = {"a path", any},
    [FT_OPT_INT] = {"an integer", integer},     [FT_OPT_FLOAT] = {"a number", number},
    [FT_OPT_BOOL] = {"true or false", boolean}, [FT_OPT_STRINGS] = {"a text or a list of texts", any},
    [FT_OPT_NUMBERS] = {"a map of names to numbers", any},
    [FT_OPT_CHOICE] = {"one of ", choice},      [FT_OPT_LIST] = {"a list of maps", any},
};

bool ft_option__accepts(const ft_option *o, const char *text)
{
    return types[o->type].accepts(o, text);
}

static bool put_choice(void *ctx, ft_str name)
{
    ft_buf *b = ctx;
    bool first = b->n >= 3 && (memcmp(b->p + b->n - 3, "of ", 3) == 0 || b->p[b->n - 1] == '(');
    return ft_buf_printf(b, "%s%.*s", first ? "" : ", ", (int)name.n, name.p) != FT_OK;
}

/* "a number from 0 to 1, or a map of names (confidence, precision) to such numbers" */
static ft_status expected_numbers(const ft_option *o, ft_buf *out)
{
    FT_RETURN(ft_buf_printf(out, "a number from %.15g to %.15g, or a map of names (", o->min, o->max));
    return ft_option__each(o->choices, '|', put_choice, out) ? FT_ENOMEM : ft_buf_puts(out, ") to such numbers");
}

ft_status ft_option__expected(const ft_option *o, ft_buf *out)
{
    if (o->type == FT_OPT_NUMBERS && o->choices)
        return expected_numbers(o, out);
    FT_RETURN(ft_buf_puts(out, types[o->type].label));
    if (o->type == FT_OPT_CHOICE && ft_option__each(o->choices, '|', put_choice, out))
        return FT_ENOMEM;
    if (o->type == FT_OPT_CHOICE && o->min < o->max)
        return ft_buf_printf(out, " or an integer from %.15g to %.15g", o->min, o->max);
    if ((o->type == FT_OPT_INT || o->type == FT_OPT_FLOAT) && o->min <= o->max)
        return ft_buf_printf(out, " from %.15g to %.15g", o->min, o->max);
    return FT_OK;
}
