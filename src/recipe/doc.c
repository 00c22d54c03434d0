/* The option table for people: markdown for `fettle recipe doc`, roff for the man page. */
#include "recipe/recipe_room.h"

#include <stdio.h>
#include <string.h>

/* "integer from 1 to 4096, default 16", with "an " and "a " left off. */
static ft_status put_type(const ft_option *o, ft_buf *out)
{
    ft_buf expected = {0};
    ft_status st = FT_OK;
    FT_TRY(ft_option__expected(o, &expected));
    const char *text = expected.p;
    text += ft_starts(text, "an ") ? 3 : ft_starts(text, "a ") ? 2 : 0;
    FT_TRY(ft_buf_puts(out, text));
    if (o->fallback)
        FT_TRY(ft_buf_printf(out, ", default %s", o->fallback));
    else
        FT_TRY(ft_buf_puts(out, o->required ? ", required" : ""));
done:
    ft_buf_free(&expected);
    return st;
}

static ft_status put_markdown(const ft_option *o, ft_buf *out)
{
    FT_RETURN(ft_buf_printf(out, "%s- `%s` (", strchr(o->name, '.') ? "  " : "", ft_option__key(o)));
    FT_RETURN(put_type(o, out));
    FT_RETURN(ft_buf_printf(out, "): %s", o->help));
    if (o->aliases)
        FT_RETURN(ft_buf_printf(out, " Also taken: %s.", o->aliases));
    return ft_buf_putc(out, '\n');
}

static bool new_group(const ft_option *o)
{
    return o == ft_options || strcmp(o->group, o[-1].group) != 0;
}

ft_status ft_recipe_doc(ft_buf *out, const char *only_key)
{
    const ft_option *only = only_key ? ft_option_named(only_key) : NULL;
    if (only_key && !only) {
        const ft_option *near = ft_option__nearest(NULL, only_key);
        return ft_fail(FT_EINPUT, "there is no option %s%s%s", only_key, near ? "; nearest: " : "",
                       near ? near->name : "");
    }
    for (const ft_option *o = ft_options; o->name; o++) {
        if (only && o != only && !ft_option__belongs(o, only))
            continue;
        if (!only && new_group(o))
            FT_RETURN(ft_buf_printf(out, "%s## %s\n\n", o == ft_options ? "" : "\n", o->group));
        FT_RETURN(put_markdown(o, out));
    }
    return FT_OK;
}

/* Text that roff prints as it is. */
static ft_status put_roff(ft_buf *out, const char *s)
{
    for (bool line_start = true; *s; s++) {
        if (line_start && (*s == '.' || *s == '\''))
            FT_RETURN(ft_buf_puts(out, "\\&"));
        line_start = *s == '\n';
        if (*s == '\\')
            FT_RETURN(ft_buf_puts(out, "\\e"));
        else if (*s == '-')
            FT_RETURN(ft_buf_puts(out, "\\-"));
        else
            FT_RETURN(ft_buf_putc(out, *s));
    }
    return FT_OK;
}

static ft_status put_roff_option(const ft_option *o, ft_buf *type, ft_buf *out)
{
    type->n = 0;
    FT_RETURN(put_type(o, type));
    FT_RETURN(ft_buf_printf(out, ".TP\n.B %s\n", o->name));
    FT_RETURN(put_roff(out, type->p));
    FT_RETURN(ft_buf_puts(out, ".\n"));
    FT_RETURN(put_roff(out, o->help));
    if (o->aliases) {
        FT_RETURN(ft_buf_puts(out, "\nAlso taken: "));
        FT_RETURN(put_roff(out, o->aliases));
        FT_RETURN(ft_buf_putc(out, '.'));
    }
    return ft_buf_putc(out, '\n');
}

ft_status ft_recipe_doc_roff(ft_buf *out)
{
    ft_buf type = {0};
    ft_status st = FT_OK;
    for (const ft_option *o = ft_options; o->name; o++) {
        if (new_group(o))
            FT_TRY(ft_buf_printf(out, ".SS %s\n", o->group));
        FT_TRY(put_roff_option(o, &type, out));
    }
done:
    ft_buf_free(&type);
    return st;
}
