/* Values as JSON, as Python's json.dumps writes them: what the tojson of Hugging Face gives. */
#include "text/jinja_impl.h"
#include "text/unicode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* The shortest digits that read back, with an exponent below 1e-4 and from 1e16 on. */
ft_status ft_jtext__put_float(ft_jrun *r, ft_jtext *t, double f)
{
    char buf[64], out[64];
    if (!isfinite(f))
        return ft_jtext__puts(r, t, isnan(f) ? "nan" : f > 0 ? "inf" : "-inf");
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*e", digits - 1, f);
        if (strtod(buf, NULL) == f)
            break;
    }
    char *e = strchr(buf, 'e');
    int exponent = atoi(e + 1), digits = (int)(e - buf) - (buf[0] == '-') - (e - buf - (buf[0] == '-') > 1);
    if (exponent >= -4 && exponent < 16) {
        snprintf(out, sizeof out, "%.*f", FT_MAX(digits - 1 - exponent, 0), f);
        FT_RETURN(ft_jtext__puts(r, t, out));
        return strchr(out, '.') ? FT_OK : ft_jtext__puts(r, t, ".0");
    }
    return ft_jtext__puts(r, t, buf);
}

static ft_status put_escape(ft_jrun *r, ft_jtext *t, int32_t c, const uint8_t *mark)
{
    char buf[16];
    if (c >= 0x10000) {
        c -= 0x10000;
        snprintf(buf, sizeof buf, "\\u%04x\\u%04x", 0xd800 + (unsigned)(c >> 10), 0xdc00 + (unsigned)(c & 0x3ff));
    } else {
        static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
        const char *short_form = c > 0 && c < 0x80 ? strchr(from, c) : NULL;
        if (short_form)
            snprintf(buf, sizeof buf, "\\%c", to[short_form - from]);
        else
            snprintf(buf, sizeof buf, "\\u%04x", (unsigned)c);
    }
    for (const char *p = buf; *p; p++)
        FT_RETURN(ft_jtext__put(r, t, p, 1, mark));
    return FT_OK;
}

static ft_status put_string(ft_jrun *r, ft_jtext *t, const ft_jstr *s, const ft_jjson *o)
{
    FT_RETURN(ft_jtext__puts(r, t, "\""));
    for (size_t i = 0, n, plain; i < s->n; i += n) {
        utf8proc_int32_t c;
        for (plain = i; plain < s->n && (unsigned char)s->p[plain] >= 0x20 && s->p[plain] != '"' &&
                        s->p[plain] != '\\' && !(o->ascii && (unsigned char)s->p[plain] >= 0x7f);)
            plain++;
        n = plain - i;
        if (n) {
            FT_RETURN(ft_jtext__put(r, t, s->p + i, n, s->marks ? s->marks + i : NULL));
            continue;
        }
        n = ft_utf8__len(s->p + i, s->n - i);
        if (utf8proc_iterate((const utf8proc_uint8_t *)s->p + i, (utf8proc_ssize_t)n, &c) < 0)
            c = 0xfffd;
        FT_RETURN(put_escape(r, t, c, s->marks ? s->marks + i : NULL));
    }
    return ft_jtext__puts(r, t, "\"");
}

static ft_status put_json(ft_jrun *r, ft_jtext *t, ft_jval v, const ft_jjson *o, int64_t level);

static ft_status put_separator(ft_jrun *r, ft_jtext *t, const ft_jstr *given, const char *usual)
{
    return given ? ft_jtext__put_str(r, t, given) : ft_jtext__puts(r, t, usual);
}

static ft_status new_line(ft_jrun *r, ft_jtext *t, const ft_jjson *o, int64_t level)
{
    if (o->indent < 0)
        return FT_OK;
    FT_RETURN(ft_jtext__puts(r, t, "\n"));
    for (int64_t i = 0; i < o->indent * level; i++)
        FT_RETURN(ft_jtext__puts(r, t, " "));
    return FT_OK;
}

static ft_status put_list(ft_jrun *r, ft_jtext *t, const ft_jlist *l, const ft_jjson *o, int64_t level)
{
    FT_RETURN(ft_jtext__puts(r, t, "["));
    for (size_t i = 0; i < l->n; i++) {
        if (i)
            FT_RETURN(put_separator(r, t, o->item, o->indent < 0 ? ", " : ","));
        FT_RETURN(new_line(r, t, o, level + 1));
        FT_RETURN(put_json(r, t, l->p[i], o, level + 1));
    }
    if (l->n)
        FT_RETURN(new_line(r, t, o, level));
    return ft_jtext__puts(r, t, "]");
}

/* Keys are texts: numbers, true, false and none become them. */
static ft_status put_key(ft_jrun *r, ft_jtext *t, ft_jval key, const ft_jjson *o)
{
    ft_jtext text = {0};
    if (key.kind == FT_J_STR)
        return put_string(r, t, key.s, o);
    FT_RETURN(put_json(r, &text, key, o, 0));
    return put_string(r, t, &(ft_jstr){.p = text.p, .n = text.n}, o);
}

/* order[n]: indices of keys, sorted where asked. */
static ft_status order_keys(ft_jrun *r, const ft_jdict *d, bool sort, size_t **order)
{
    if (!(*order = ft_jmem__get(&r->mem, d->n, sizeof **order)))
        return FT_ENOMEM;
    for (size_t i = 0; i < d->n; i++) {
        size_t k = i;
        for (int less = -1; sort && k > 0; k--) {
            FT_RETURN(ft_jval__order(r, d->keys[i], d->keys[(*order)[k - 1]], &less));
            if (less >= 0)
                break;
            (*order)[k] = (*order)[k - 1];
        }
        (*order)[k] = i;
    }
    return FT_OK;
}

static ft_status put_dict(ft_jrun *r, ft_jtext *t, const ft_jdict *d, const ft_jjson *o, int64_t level)
{
    size_t *order;
    FT_RETURN(order_keys(r, d, o->sort, &order));
    FT_RETURN(ft_jtext__puts(r, t, "{"));
    for (size_t i = 0; i < d->n; i++) {
        if (i)
            FT_RETURN(put_separator(r, t, o->item, o->indent < 0 ? ", " : ","));
        FT_RETURN(new_line(r, t, o, level + 1));
        FT_RETURN(put_key(r, t, d->keys[order[i]], o));
        FT_RETURN(put_separator(r, t, o->member, ": "));
        FT_RETURN(put_json(r, t, d->values[order[i]], o, level + 1));
    }
    if (d->n)
        FT_RETURN(new_line(r, t, o, level));
    return ft_jtext__puts(r, t, "}");
}

static ft_status put_json(ft_jrun *r, ft_jtext *t, ft_jval v, const ft_jjson *o, int64_t level)
{
    ft_status st;
    switch (v.kind) {
    case FT_J_NONE:
        return ft_jtext__puts(r, t, "null");
    case FT_J_BOOL:
        return ft_jtext__puts(r, t, v.b ? "true" : "false");
    case FT_J_FLOAT:
        if (!isfinite(v.f))
            return ft_jtext__puts(r, t, isnan(v.f) ? "NaN" : v.f > 0 ? "Infinity" : "-Infinity");
        return ft_jtext__put_value(r, t, v);
    case FT_J_INT:
        return ft_jtext__put_value(r, t, v);
    case FT_J_STR:
        return put_string(r, t, v.s, o);
    case FT_J_LIST:
    case FT_J_TUPLE:
    case FT_J_DICT:
        FT_RETURN(ft_jrun__enter(r));
        st = v.kind == FT_J_DICT ? put_dict(r, t, v.d, o, level) : put_list(r, t, v.l, o, level);
        r->depth--;
        return st;
    default:
        return ft_jrun__fail(r, "%s cannot be written as JSON", ft_jval__type(v));
    }
}

ft_status ft_jtext__put_json(ft_jrun *r, ft_jtext *t, ft_jval v, const ft_jjson *o)
{
    return put_json(r, t, v, o, 0);
}
