/* Filters of single values: texts, numbers, JSON. Some are methods of texts too. */
#include "text/jinja_impl.h"
#include "text/unicode.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FT_JINJA_FILTER(name, function, parameters) ft_status function(ft_jrun *r, ft_jcall *c, ft_jval *out);
#include "text/jinja_filters.def"
#undef FT_JINJA_FILTER

enum { MAX_INDENT = 1000 };

static ft_status cased(ft_jrun *r, ft_jcall *c, ft_jcase how, ft_jval *out)
{
    const ft_jstr *s;
    FT_RETURN(ft_jval__to_str(r, c->self, &s));
    return ft_jstr__cased(r, s, how, out);
}

ft_status ft_jfilter_capitalize(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return cased(r, c, FT_J_CAPITALIZE, out);
}

ft_status ft_jfilter_lower(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return cased(r, c, FT_J_LOWER, out);
}

ft_status ft_jfilter_upper(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return cased(r, c, FT_J_UPPER, out);
}

ft_status ft_jfilter_title(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return cased(r, c, FT_J_WORDS, out);
}

ft_status ft_jfilter_default(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    bool missing = c->self.kind == FT_J_UNDEFINED || (ft_jval__truth(c->a[1]) && !ft_jval__truth(c->self));
    *out = missing ? c->a[0] : c->self;
    return missing && !c->given[0] ? ft_jval__str(r, "", 0, NULL, false, out) : FT_OK;
}

ft_status ft_jfilter_attr(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *name;
    FT_RETURN(ft_jval__to_str(r, c->a[0], &name));
    if (c->self.kind == FT_J_DICT) { /* a map's members are no attributes, its methods are */
        *out = ft_j_undefined("an attribute");
        if (!ft_jinja__method(FT_J_DICT, (ft_str){name->p, name->n}))
            return FT_OK;
    }
    return ft_jval__attr(r, c->self, (ft_str){name->p, name->n}, out);
}

static ft_status marked_safe(ft_jrun *r, const ft_jstr *s, ft_jval *out)
{
    return ft_jval__str(r, s->p, s->n, s->marks, true, out);
}

ft_status ft_jfilter_escape(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *s;
    ft_jtext t = {0};
    FT_RETURN(ft_jval__to_str(r, c->self, &s));
    FT_RETURN(ft_jtext__put_escaped(r, &t, s));
    return ft_jtext__done(r, &t, true, out);
}

ft_status ft_jfilter_safe(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *s;
    FT_RETURN(ft_jval__to_str(r, c->self, &s));
    return marked_safe(r, s, out);
}

ft_status ft_jfilter_string(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    *out = (ft_jval){.kind = FT_J_STR};
    return ft_jval__to_str(r, c->self, &out->s);
}

ft_status ft_jfilter_trim(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *s;
    FT_RETURN(ft_jval__to_str(r, c->self, &s));
    if (c->a[0].kind != FT_J_UNDEFINED && c->a[0].kind != FT_J_NONE && c->a[0].kind != FT_J_STR)
        return ft_jrun__fail(r, "trim gets %s", ft_jval__type(c->a[0]));
    return ft_jstr__strip(r, s, c->a[0].kind == FT_J_STR ? c->a[0].s : NULL, true, true, out);
}

ft_status ft_jfilter_replace(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *s, *from, *to;
    if (!c->given[0] || !c->given[1])
        return ft_jrun__fail(r, "replace expects two texts");
    FT_RETURN(ft_jval__to_str(r, c->self, &s));
    FT_RETURN(ft_jval__to_str(r, c->a[0], &from));
    FT_RETURN(ft_jval__to_str(r, c->a[1], &to));
    ft_jstr plain = *s;
    plain.safe = false;
    return ft_jstr__replace(r, &plain, from, to, c->a[2].kind == FT_J_INT ? c->a[2].i : -1, out);
}

ft_status ft_jfilter_format(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *s;
    ft_jlist l = {.p = c->args->p, .n = c->args->n};
    FT_RETURN(ft_jval__to_str(r, c->self, &s));
    if (c->args->n_named)
        return ft_jrun__fail(r, "format with names is not run");
    return ft_jstr__format(r, s, (ft_jval){.kind = FT_J_TUPLE, .l = &l}, out);
}

/* ---- lines and words ---- */

static ft_status width_text(ft_jrun *r, ft_jval width, const ft_jstr **out)
{
    int64_t n = width.kind == FT_J_UNDEFINED ? 4 : width.kind == FT_J_INT ? width.i : -1;
    char *spaces;
    ft_jval v;
    if (width.kind == FT_J_STR) {
        *out = width.s;
        return FT_OK;
    }
    if (n > MAX_INDENT || (n < 0 && width.kind != FT_J_INT))
        return ft_jrun__fail(r, "an indent of %s", n < 0 ? ft_jval__type(width) : "too many spaces");
    n = FT_MAX(n, 0);
    if (!(spaces = ft_jmem__get(&r->mem, (size_t)n + 1, 1)))
        return FT_ENOMEM;
    memset(spaces, ' ', (size_t)n);
    FT_RETURN(ft_jval__str(r, spaces, (size_t)n, NULL, false, &v));
    *out = v.s;
    return FT_OK;
}

ft_status ft_jfilter_indent(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *s, *width = NULL;
    ft_jtext t = {0};
    FT_RETURN(ft_jval__to_str(r, c->self, &s));
    FT_RETURN(width_text(r, c->a[0], &width));
    bool first = ft_jval__truth(c->a[1]), blank = ft_jval__truth(c->a[2]);
    for (size_t i = 0, end; i <= s->n; i = end + 1) {
        size_t stop = i;
        while (stop < s->n && s->p[stop] != '\n' && s->p[stop] != '\r')
            stop++;
        end = stop + (stop + 1 < s->n && s->p[stop] == '\r' && s->p[stop + 1] == '\n');
        if (i)
            FT_RETURN(ft_jtext__put(r, &t, "\n", 1, s->marks ? s->marks + i - 1 : NULL));
        if (i ? blank || stop > i : first)
            FT_RETURN(ft_jtext__put_str(r, &t, width));
        FT_RETURN(ft_jtext__put(r, &t, s->p + i, stop - i, s->marks ? s->marks + i : NULL));
    }
    return ft_jtext__done(r, &t, s->safe, out);
}

ft_status ft_jfilter_wordcount(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *s;
    int64_t n = 0;
    bool inside = false;
    FT_RETURN(ft_jval__to_str(r, c->self, &s));
    FT_RETURN(ft_jrun__work(r, s->n / 16));
    for (size_t i = 0; i < s->n; i++) {
        unsigned char b = (unsigned char)s->p[i];
        bool word = b >= 0x80 || b == '_' || (b >= '0' && b <= '9') || ((b | 32) >= 'a' && (b | 32) <= 'z');
        n += word && !inside;
        inside = word;
    }
    *out = ft_j_int(n);
    return FT_OK;
}

/* ---- numbers ---- */

ft_status ft_jfilter_abs(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jval v = c->self;
    if (!ft_jval__is_number(v) || (v.kind == FT_J_INT && v.i == INT64_MIN))
        return ft_jrun__fail(r, "abs of %s", ft_jval__type(v));
    *out = v.kind == FT_J_FLOAT ? ft_j_float(fabs(v.f))
                                : ft_j_int(v.kind == FT_J_BOOL ? (int64_t)v.b
                                           : v.i < 0           ? -v.i
                                                               : v.i);
    return FT_OK;
}

/* The text, white space at its ends left out, as a number. */
static bool text_number(const ft_jstr *s, char buf[64], double *out)
{
    char *end;
    size_t from = ft_jinja__leading(s->p, s->n),
           n = s->n - from - (from < s->n ? ft_jinja__trailing(s->p + from, s->n - from) : 0);
    if (n == 0 || n > 63 || memchr(s->p + from, 0, n) || memchr(s->p + from, 'x', n) || memchr(s->p + from, 'X', n))
        return false;
    memcpy(buf, s->p + from, n);
    buf[n] = 0;
    double f = strtod(buf, &end);
    *out = *end ? *out : f;
    return *end == 0;
}

ft_status ft_jfilter_float(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    char buf[64];
    double f;
    if (ft_jval__is_number(c->self))
        *out = ft_j_float(ft_jval__number(c->self));
    else if (c->self.kind == FT_J_STR && text_number(c->self.s, buf, &f))
        *out = ft_j_float(f);
    else if (c->self.kind == FT_J_UNDEFINED)
        return ft_jrun__fail(r, "float of something undefined");
    else
        *out = c->given[0] ? c->a[0] : ft_j_float(0);
    return FT_OK;
}

ft_status ft_jfilter_int(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    char buf[64], *end;
    double f = NAN;
    ft_jval fallback = c->given[0] ? c->a[0] : ft_j_int(0);
    int base = c->a[1].kind == FT_J_INT && c->a[1].i >= 2 && c->a[1].i <= 36 ? (int)c->a[1].i : 10;
    if (c->self.kind == FT_J_INT || c->self.kind == FT_J_BOOL) {
        *out = ft_j_int(c->self.kind == FT_J_BOOL ? (int64_t)c->self.b : c->self.i);
        return FT_OK;
    }
    if (c->self.kind == FT_J_UNDEFINED)
        return ft_jrun__fail(r, "int of something undefined");
    if (c->self.kind == FT_J_FLOAT)
        f = c->self.f;
    if (c->self.kind == FT_J_STR && text_number(c->self.s, buf, &f)) {
        errno = 0;
        long long i = strtoll(buf, &end, base);
        if (!*end && !errno) {
            *out = ft_j_int(i);
            return FT_OK;
        }
    }
    *out = f > -9e18 && f < 9e18 ? ft_j_int((int64_t)f) : fallback;
    return FT_OK;
}

ft_status ft_jfilter_round(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    char buf[400];
    int64_t digits = c->a[0].kind == FT_J_INT ? c->a[0].i : 0;
    bool up = c->a[1].kind == FT_J_STR && c->a[1].s->n == 4 && memcmp(c->a[1].s->p, "ceil", 4) == 0;
    bool down = c->a[1].kind == FT_J_STR && c->a[1].s->n == 5 && memcmp(c->a[1].s->p, "floor", 5) == 0;
    double f = ft_jval__number(c->self);
    if (!ft_jval__is_number(c->self) || digits < 0 || digits > 15)
        return ft_jrun__fail(r, "round of %s to %lld digits", ft_jval__type(c->self), (long long)digits);
    if (up || down) {
        double scale = pow(10, (double)digits);
        *out = ft_j_float((up ? ceil(f * scale) : floor(f * scale)) / scale);
        return FT_OK;
    }
    snprintf(buf, sizeof buf, "%.*f", (int)digits, f);
    *out = ft_j_float(strtod(buf, NULL));
    return FT_OK;
}

/* ---- JSON ---- */

ft_status ft_jfilter_tojson(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jtext t = {0};
    ft_jval indent = c->a[1], separators = c->a[2];
    ft_jjson o = {.indent = -1, .ascii = ft_jval__truth(c->a[0]), .sort = ft_jval__truth(c->a[3])};
    if (indent.kind == FT_J_INT && indent.i <= MAX_INDENT)
        o.indent = FT_MAX(indent.i, 0);
    else if (indent.kind != FT_J_UNDEFINED && indent.kind != FT_J_NONE)
        return ft_jrun__fail(r, "tojson with an indent of %s",
                             indent.kind == FT_J_INT ? "too many spaces" : ft_jval__type(indent));
    if ((separators.kind == FT_J_TUPLE || separators.kind == FT_J_LIST) && separators.l->n == 2 &&
        separators.l->p[0].kind == FT_J_STR && separators.l->p[1].kind == FT_J_STR) {
        o.item = separators.l->p[0].s;
        o.member = separators.l->p[1].s;
    } else if (separators.kind != FT_J_UNDEFINED && separators.kind != FT_J_NONE) {
        return ft_jrun__fail(r, "tojson expects two texts as separators");
    }
    FT_RETURN(ft_jtext__put_json(r, &t, c->self, &o));
    return ft_jtext__done(r, &t, false, out);
}
