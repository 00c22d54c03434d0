/* A recipe as YAML that reads back to the same, its hash and the differences of two.
 *
 * Every option with a value is printed, defaults too, so that a run's folder says what was done even after a default
 * has changed. Left out: options whose `needs` is not met and that were not given (lora_r of a full fine-tune). Numbers
 * are printed in their shortest form that reads back to the same double, so 1e-3 and 0.001 hash alike.
 */
#include "recipe/recipe_room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one value ---- */

static bool plain_safe(const char *s)
{
    static const char *const nulls[] = {"null", "Null", "NULL"};
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+";
    for (size_t i = 0; i < FT_COUNT(nulls); i++)
        if (strcmp(s, nulls[i]) == 0)
            return false;
    return *s && strchr(safe, *s) &&
           s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-")] == 0;
}

/* Double-quoted YAML: what is not printable ASCII or UTF-8 goes as an escape. */
static ft_status put_text(ft_buf *out, const char *s)
{
    if (plain_safe(s))
        return ft_buf_puts(out, s);
    FT_RETURN(ft_buf_putc(out, '"'));
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == 0xc2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0)
            FT_RETURN(
                ft_buf_printf(out, "\\x%02x", (unsigned char)*++s)); /* C1 controls; 0x85 is a line break to YAML */
        else if (c == 0xe2 && (unsigned char)s[1] == 0x80 && ((unsigned char)s[2] & 0xfe) == 0xa8) {
            FT_RETURN(
                ft_buf_puts(out, (unsigned char)s[2] == 0xa8 ? "\\L" : "\\P")); /* line and paragraph separators */
            s += 2;
        } else
            FT_RETURN(ft_buf_put_escaped(out, c));
    }
    return ft_buf_putc(out, '"');
}

static ft_status put_number(ft_buf *out, const char *text)
{
    double v;
    char s[32];
    if (!ft_parse_f64(text, &v))
        return ft_buf_puts(out, text);
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, v);
        if (strtod(s, NULL) == v)
            break;
    }
    return ft_buf_puts(out, s);
}

static ft_status put_integer(ft_buf *out, const char *text)
{
    int64_t v;
    return ft_parse_i64(text, &v) ? ft_buf_printf(out, "%lld", (long long)v) : ft_buf_puts(out, text);
}

static ft_status put_scalar(const ft_option *o, const char *text, ft_buf *out)
{
    bool flag;
    if (o->type == FT_OPT_FLOAT)
        return put_number(out, text);
    if (o->type == FT_OPT_INT)
        return put_integer(out, text);
    if (o->type == FT_OPT_BOOL && ft_option__bool(text, &flag))
        return ft_buf_puts(out, flag ? "true" : "false");
    return put_text(out, text);
}

static ft_status put_strings(const char *const *items, size_t n, ft_buf *out)
{
    FT_RETURN(ft_buf_putc(out, '['));
    for (size_t i = 0; i < n; i++) {
        FT_RETURN(ft_buf_puts(out, i ? ", " : ""));
        FT_RETURN(put_text(out, items[i]));
    }
    return ft_buf_putc(out, ']');
}

/* "kl=0.05" as "kl: 0.05". */
static ft_status put_numbers(const ft_setting *s, ft_buf *out)
{
    char name[64];
    FT_RETURN(ft_buf_putc(out, '{'));
    for (size_t i = 0; i < s->n; i++) {
        const char *eq = strrchr(s->items[i], '=');
        snprintf(name, sizeof name, "%.*s", (int)(eq - s->items[i]), s->items[i]);
        FT_RETURN(ft_buf_puts(out, i ? ", " : ""));
        FT_RETURN(put_text(out, name));
        FT_RETURN(ft_buf_puts(out, ": "));
        FT_RETURN(put_number(out, eq + 1));
    }
    return ft_buf_putc(out, '}');
}

static ft_status put_entry(const ft_recipe *r, const ft_option *list, size_t index, ft_buf *out)
{
    size_t n = 0;
    FT_RETURN(ft_buf_putc(out, '{'));
    for (const ft_option *o = list + 1; o->name && ft_option__belongs(o, list); o++) {
        const char *text = ft_recipe__text(r, o, index);
        if (!text)
            continue;
        FT_RETURN(ft_buf_printf(out, "%s%s: ", n++ ? ", " : "", ft_option__key(o)));
        FT_RETURN(o->type == FT_OPT_NUMBERS ? put_numbers(ft_recipe__find(r, o, index), out) : put_scalar(o, text, out));
    }
    return ft_buf_putc(out, '}');
}

ft_status ft_recipe__value(const ft_recipe *r, const ft_option *o, ft_buf *out)
{
    const ft_setting *s = ft_recipe__find(r, o, 0);
    const char *text = ft_recipe__text(r, o, 0);
    if (o->type == FT_OPT_STRINGS && s && s->n)
        return put_strings(s->items, s->n, out);
    if (o->type == FT_OPT_STRINGS)
        return text ? put_strings(&text, 1, out) : FT_OK;
    if (o->type == FT_OPT_NUMBERS)
        return s && s->n ? put_numbers(s, out) : FT_OK;
    if (o->type != FT_OPT_LIST)
        return text ? put_scalar(o, text, out) : FT_OK;
    for (size_t i = 0; s && i < s->n; i++) {
        FT_RETURN(ft_buf_puts(out, "\n  - "));
        FT_RETURN(put_entry(r, o, i, out));
    }
    return FT_OK;
}

/* ---- the whole ---- */

static bool applies(const ft_recipe *r, const ft_option *o)
{
    const ft_setting *s = ft_recipe__find(r, o, 0);
    const char *eq = o->needs ? strchr(o->needs, '=') : NULL;
    char name[64];
    if (strchr(o->name, '.'))
        return false; /* printed with its list */
    if (s && s->n)
        return true;
    if (o->excludes && ft_recipe_given(r, o->excludes, 0))
        return false; /* its default would stand beside what it excludes */
    if (!eq)
        return !o->needs || ft_recipe_count(r, o->needs, 0) > 0;
    snprintf(name, sizeof name, "%.*s", (int)(eq - o->needs), o->needs);
    return ft_option__listed(eq + 1, ft_recipe__text(r, ft_option_named(name), 0));
}

static ft_status print_option(const ft_recipe *r, const ft_option *o, ft_buf *out)
{
    ft_buf value = {0};
    ft_status st = FT_OK;
    if (applies(r, o))
        FT_TRY(ft_recipe__value(r, o, &value));
    if (value.n)
        FT_TRY(ft_buf_printf(out, "%s:%s%s\n", o->name, value.p[0] == '\n' ? "" : " ", value.p));
done:
    ft_buf_free(&value);
    return st;
}

ft_status ft_recipe_print(const ft_recipe *r, ft_buf *out)
{
    for (const ft_option *o = ft_options; o->name; o++)
        FT_RETURN(print_option(r, o, out));
    return FT_OK;
}

uint64_t ft_recipe_hash(const ft_recipe *r)
{
    ft_buf text = {0};
    uint64_t hash = 0;
    for (const ft_option *o = ft_options; o->name; o++)
        if (!o->cosmetic && print_option(r, o, &text) != FT_OK)
            goto done; /* no memory: 0 matches no checkpoint */
    hash = ft_hash(text.p ? text.p : "", text.n, 0);
done:
    ft_buf_free(&text);
    return hash;
}

/* One line, whatever the option: list entries one behind the other. */
static ft_status one_line(const ft_recipe *r, const ft_option *o, ft_buf *out)
{
    out->n = 0;
    FT_RETURN(ft_buf_puts(out, ""));
    if (applies(r, o))
        FT_RETURN(ft_recipe__value(r, o, out));
    for (char *p = out->p; *p; p++)
        if (*p == '\n')
            *p = ' ';
    return FT_OK;
}

ft_status ft_recipe_diff(const ft_recipe *a, const ft_recipe *b, ft_buf *out)
{
    ft_buf x = {0}, y = {0};
    ft_status st = FT_OK;
    for (const ft_option *o = ft_options; o->name; o++) {
        if (o->cosmetic)
            continue;
        FT_TRY(one_line(a, o, &x));
        FT_TRY(one_line(b, o, &y));
        if (strcmp(x.p, y.p) != 0)
            FT_TRY(ft_buf_printf(out, "%s: %s -> %s\n", o->name, x.n ? x.p : "(not set)", y.n ? y.p : "(not set)"));
    }
done:
    ft_buf_free(&x);
    ft_buf_free(&y);
    return st;
}
