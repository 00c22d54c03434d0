/* Texts of a run: under construction with the marks of their bytes, printed as Python prints values, cut at characters,
 * stripped, replaced, in another case. */
#include "text/jinja_impl.h"
#include "text/unicode.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

/* ---- construction ---- */

static ft_status reserve(ft_jrun *r, ft_jtext *t, size_t n)
{
    if (n <= t->cap - t->n)
        return FT_OK;
    size_t cap = FT_MAX(t->cap * 2, t->n + n + 32);
    char *p = ft_jmem__get(&r->mem, cap, 1);
    uint8_t *marks = ft_jmem__get(&r->mem, cap, 1);
    if (!p || !marks)
        return FT_ENOMEM;
    if (t->n) {
        memcpy(p, t->p, t->n);
        memcpy(marks, t->marks, t->n);
    }
    t->p = p;
    t->marks = marks;
    t->cap = cap;
    return FT_OK;
}

ft_status ft_jtext__put(ft_jrun *r, ft_jtext *t, const char *p, size_t n, const uint8_t *marks)
{
    FT_RETURN(ft_jrun__work(r, n / 16 + 1));
    FT_RETURN(reserve(r, t, n));
    if (!n)
        return FT_OK;
    memcpy(t->p + t->n, p, n);
    if (marks)
        memcpy(t->marks + t->n, marks, n);
    t->marked |= marks != NULL;
    t->n += n;
    return FT_OK;
}

ft_status ft_jtext__puts(ft_jrun *r, ft_jtext *t, const char *s)
{
    return ft_jtext__put(r, t, s, strlen(s), NULL);
}

ft_status ft_jtext__put_str(ft_jrun *r, ft_jtext *t, const ft_jstr *s)
{
    return ft_jtext__put(r, t, s->p, s->n, s->marks);
}

ft_status ft_jtext__done(ft_jrun *r, const ft_jtext *t, bool safe, ft_jval *out)
{
    return ft_jval__str(r, t->n ? t->p : "", t->n, t->marked ? t->marks : NULL, safe, out);
}

ft_status ft_jtext__put_escaped(ft_jrun *r, ft_jtext *t, const ft_jstr *s)
{
    static const char from[] = "&<>'\"";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    if (s->safe)
        return ft_jtext__put_str(r, t, s);
    for (size_t i = 0; i < s->n; i++) {
        const char *c = s->p[i] ? strchr(from, s->p[i]) : NULL;
        const uint8_t *mark = s->marks ? s->marks + i : NULL;
        if (!c) {
            FT_RETURN(ft_jtext__put(r, t, s->p + i, 1, mark));
            continue;
        }
        for (const char *e = to[c - from]; *e; e++)
            FT_RETURN(ft_jtext__put(r, t, e, 1, mark));
    }
    return FT_OK;
}

/* ---- str() and repr() ---- */

/* Python prefers single quotes, and double ones around a text that has single ones alone. */
static ft_status put_quoted(ft_jrun *r, ft_jtext *t, const ft_jstr *s)
{
    bool one = s->n && memchr(s->p, '\'', s->n), two = s->n && memchr(s->p, '"', s->n);
    char quote[2] = {one && !two ? '"' : '\'', 0}, buf[16];
    FT_RETURN(ft_jtext__puts(r, t, quote));
    for (size_t i = 0, n; i < s->n; i += n) {
        const uint8_t *mark = s->marks ? s->marks + i : NULL;
        unsigned char c = (unsigned char)s->p[i];
        n = ft_utf8__len(s->p + i, s->n - i);
        if (c == (unsigned char)quote[0] || c == '\\')
            snprintf(buf, sizeof buf, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(buf, sizeof buf, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c < 0x20 || c == 0x7f)
            snprintf(buf, sizeof buf, "\\x%02x", c);
        else if (c == 0xc2 && n == 2 && ((unsigned char)s->p[i + 1] <= 0xa0 || (unsigned char)s->p[i + 1] == 0xad))
            snprintf(buf, sizeof buf, "\\x%02x", (unsigned char)s->p[i + 1]);
        else {
            FT_RETURN(ft_jtext__put(r, t, s->p + i, n, mark));
            continue;
        }
        for (const char *e = buf; *e; e++)
            FT_RETURN(ft_jtext__put(r, t, e, 1, mark));
    }
    return ft_jtext__puts(r, t, quote);
}

static ft_status put_list(ft_jrun *r, ft_jtext *t, const ft_jlist *l, const char *open, const char *close)
{
    FT_RETURN(ft_jtext__puts(r, t, open));
    for (size_t i = 0; i < l->n; i++) {
        FT_RETURN(ft_jtext__puts(r, t, i ? ", " : ""));
        FT_RETURN(ft_jtext__put_repr(r, t, l->p[i]));
    }
    return ft_jtext__puts(r, t, close);
}

static ft_status put_dict(ft_jrun *r, ft_jtext *t, const ft_jdict *d)
{
    FT_RETURN(ft_jtext__puts(r, t, "{"));
    for (size_t i = 0; i < d->n; i++) {
        FT_RETURN(ft_jtext__puts(r, t, i ? ", " : ""));
        FT_RETURN(ft_jtext__put_repr(r, t, d->keys[i]));
        FT_RETURN(ft_jtext__puts(r, t, ": "));
        FT_RETURN(ft_jtext__put_repr(r, t, d->values[i]));
    }
    return ft_jtext__puts(r, t, "}");
}

static ft_status put_inner(ft_jrun *r, ft_jtext *t, ft_jval v)
{
    switch (v.kind) {
    case FT_J_LIST:
        return put_list(r, t, v.l, "[", "]");
    case FT_J_TUPLE:
        return put_list(r, t, v.l, "(", v.l->n == 1 ? ",)" : ")");
    case FT_J_DICT:
        return put_dict(r, t, v.d);
    case FT_J_NAMESPACE:
        FT_RETURN(ft_jtext__puts(r, t, "<Namespace "));
        FT_RETURN(put_dict(r, t, v.d));
        return ft_jtext__puts(r, t, ">");
    default:
        return ft_jrun__fail(r, "%s is printed", ft_jval__type(v));
    }
}

ft_status ft_jtext__put_repr(ft_jrun *r, ft_jtext *t, ft_jval v)
{
    if (v.kind == FT_J_STR) {
        if (v.s->safe)
            FT_RETURN(ft_jtext__puts(r, t, "Markup("));
        FT_RETURN(put_quoted(r, t, v.s));
        return v.s->safe ? ft_jtext__puts(r, t, ")") : FT_OK;
    }
    if (v.kind == FT_J_UNDEFINED)
        return ft_jtext__puts(r, t, "Undefined");
    return ft_jtext__put_value(r, t, v);
}

ft_status ft_jtext__put_value(ft_jrun *r, ft_jtext *t, ft_jval v)
{
    char buf[32];
    switch (v.kind) {
    case FT_J_UNDEFINED:
        return FT_OK;
    case FT_J_NONE:
        return ft_jtext__puts(r, t, "None");
    case FT_J_BOOL:
        return ft_jtext__puts(r, t, v.b ? "True" : "False");
    case FT_J_INT:
        snprintf(buf, sizeof buf, "%lld", (long long)v.i);
        return ft_jtext__puts(r, t, buf);
    case FT_J_FLOAT:
        return ft_jtext__put_float(r, t, v.f);
    case FT_J_STR:
        return ft_jtext__put_str(r, t, v.s);
    default:
        break;
    }
    FT_RETURN(ft_jrun__enter(r));
    FT_RETURN(put_inner(r, t, v));
    r->depth--;
    return FT_OK;
}

ft_status ft_jval__to_str(ft_jrun *r, ft_jval v, const ft_jstr **out)
{
    ft_jtext t = {0};
    if (v.kind != FT_J_STR) {
        FT_RETURN(ft_jtext__put_value(r, &t, v));
        FT_RETURN(ft_jtext__done(r, &t, false, &v));
    }
    *out = v.s;
    return FT_OK;
}

/* ---- characters ---- */

size_t ft_jstr__characters(const ft_jstr *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; n++)
        i += ft_utf8__len(s->p + i, s->n - i);
    return n;
}

size_t ft_jstr__byte_of(const ft_jstr *s, size_t i)
{
    size_t at = 0;
    for (; i > 0 && at < s->n; i--)
        at += ft_utf8__len(s->p + at, s->n - at);
    return at;
}

size_t ft_jstr__find(const ft_jstr *s, const ft_jstr *what, size_t from)
{
    if (what->n == 0)
        return from <= s->n ? from : SIZE_MAX;
    while (from < s->n && s->n - from >= what->n) {
        const char *p = memchr(s->p + from, what->p[0], s->n - from - what->n + 1);
        if (!p)
            break;
        from = (size_t)(p - s->p);
        if (memcmp(p, what->p, what->n) == 0)
            return from;
        from++;
    }
    return SIZE_MAX;
}

/* ---- white space ---- */

bool ft_jinja__is_space(int32_t c)
{
    return (c >= 0x1c && c <= 0x1f) || ft_unicode__is_space(c);
}

static int32_t character(const char *p, size_t n)
{
    utf8proc_int32_t c;
    return utf8proc_iterate((const utf8proc_uint8_t *)p, (utf8proc_ssize_t)n, &c) < 0 ? -1 : c;
}

size_t ft_jinja__leading(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && ft_jinja__is_space(character(p + i, n - i)))
        i += ft_utf8__len(p + i, n - i);
    return i;
}

/* The start of the last character of p[0..n), n > 0. */
static size_t last_character(const char *p, size_t n)
{
    size_t i = n - 1;
    while (i > 0 && n - i < 4 && (p[i] & 0xc0) == 0x80)
        i--;
    return i + ft_utf8__len(p + i, n - i) == n ? i : n - 1;
}

size_t ft_jinja__trailing(const char *p, size_t n)
{
    size_t end = n;
    while (end > 0) {
        size_t i = last_character(p, end);
        if (!ft_jinja__is_space(character(p + i, end - i)))
            break;
        end = i;
    }
    return n - end;
}

/* The character at p is one of the set. */
static bool in_set(const char *p, size_t n, const ft_jstr *set)
{
    ft_jstr c = {.p = p, .n = n};
    for (size_t i = 0; i < set->n; i += ft_utf8__len(set->p + i, set->n - i))
        if (set->n - i >= n && memcmp(set->p + i, c.p, n) == 0)
            return true;
    return false;
}

ft_status ft_jstr__strip(ft_jrun *r, const ft_jstr *s, const ft_jstr *set, bool left, bool right, ft_jval *out)
{
    size_t from = 0, to = s->n;
    FT_RETURN(ft_jrun__work(r, s->n / 16 + 1));
    if (!set) {
        from = left ? ft_jinja__leading(s->p, s->n) : 0;
        to = right ? to - ft_jinja__trailing(s->p + from, s->n - from) : to;
        return ft_jval__part(r, s, from, to, out);
    }
    while (left && from < to) {
        size_t n = ft_utf8__len(s->p + from, to - from);
        FT_RETURN(ft_jrun__work(r, set->n / 16 + 1));
        if (!in_set(s->p + from, n, set))
            break;
        from += n;
    }
    while (right && to > from) {
        size_t i = last_character(s->p, to);
        FT_RETURN(ft_jrun__work(r, set->n / 16 + 1));
        if (i < from || !in_set(s->p + i, to - i, set))
            break;
        to = i;
    }
    return ft_jval__part(r, s, from, to, out);
}

/* ---- new texts ---- */

ft_status ft_jstr__replace(ft_jrun *r, const ft_jstr *s, const ft_jstr *from, const ft_jstr *to, int64_t most,
                           ft_jval *out)
{
    ft_jtext t = {0};
    size_t at = 0, next;
    while (most != 0 && (next = ft_jstr__find(s, from, at)) != SIZE_MAX) {
        size_t step = from->n ? 0 : next < s->n ? ft_utf8__len(s->p + next, s->n - next) : 0;
        FT_RETURN(ft_jrun__work(r, 1));
        FT_RETURN(ft_jtext__put(r, &t, s->p + at, next - at, s->marks ? s->marks + at : NULL));
        FT_RETURN(ft_jtext__put_str(r, &t, to));
        FT_RETURN(ft_jtext__put(r, &t, s->p + next, step, s->marks ? s->marks + next : NULL));
        at = next + from->n + step;
        most -= most > 0;
        if (!from->n && !step)
            break;
    }
    FT_RETURN(ft_jtext__put(r, &t, s->p + at, s->n - at, s->marks ? s->marks + at : NULL));
    return ft_jtext__done(r, &t, s->safe, out);
}

/* One character in the case asked for; start: it begins a word (TITLE) or the text (CAPITALIZE). */
static int32_t cased(int32_t c, ft_jcase how, bool start)
{
    switch (how) {
    case FT_J_UPPER:
        return utf8proc_toupper(c);
    case FT_J_LOWER:
        return utf8proc_tolower(c);
    case FT_J_SWAP:
        return utf8proc_tolower(c) != c ? utf8proc_tolower(c) : utf8proc_toupper(c);
    case FT_J_WORDS:
        return start ? utf8proc_toupper(c) : utf8proc_tolower(c);
    default:
        return start ? utf8proc_totitle(c) : utf8proc_tolower(c);
    }
}

ft_status ft_jstr__cased(ft_jrun *r, const ft_jstr *s, ft_jcase how, ft_jval *out)
{
    ft_jtext t = {0};
    bool start = true;
    for (size_t i = 0, n; i < s->n; i += n) {
        utf8proc_uint8_t buf[4];
        int32_t c = character(s->p + i, s->n - i);
        n = ft_utf8__len(s->p + i, s->n - i);
        size_t made = c < 0 ? 0 : (size_t)utf8proc_encode_char(cased(c, how, start), buf);
        if (how == FT_J_CAPITALIZE)
            start = false;
        else if (how == FT_J_WORDS)
            start = ft_jinja__is_space(c) || (c > 0 && c < 0x80 && strchr("-({[<", c));
        else
            start = c < 0 || (utf8proc_toupper(c) == c && utf8proc_tolower(c) == c);
        if (c < 0)
            FT_RETURN(ft_jtext__put(r, &t, s->p + i, n, s->marks ? s->marks + i : NULL));
        for (size_t k = 0; k < made; k++)
            FT_RETURN(ft_jtext__put(r, &t, (const char *)buf + k, 1, s->marks ? s->marks + i : NULL));
    }
    return ft_jtext__done(r, &t, s->safe, out);
}

/* ---- "%s" % values ---- */

static ft_status put_formatted(ft_jrun *r, ft_jtext *t, char kind, int precision, ft_jval v, bool safe)
{
    char buf[400];
    const ft_jstr *s;
    if (kind == 's') {
        FT_RETURN(ft_jval__to_str(r, v, &s));
        return safe ? ft_jtext__put_escaped(r, t, s) : ft_jtext__put_str(r, t, s);
    }
    if (kind == 'r')
        return ft_jtext__put_repr(r, t, v);
    if (!ft_jval__is_number(v))
        return ft_jrun__fail(r, "%%%c of %s", kind, ft_jval__type(v));
    if (kind == 'd' || kind == 'i') {
        double f = ft_jval__number(v);
        if (v.kind == FT_J_FLOAT && !(f > -9e18 && f < 9e18))
            return ft_jrun__fail(r, "%%%c of a number that is too large", kind);
        snprintf(buf, sizeof buf, "%lld",
                 v.kind == FT_J_FLOAT ? (long long)f : (long long)(v.kind == FT_J_BOOL ? v.b : v.i));
    } else {
        snprintf(buf, sizeof buf, "%.*f", precision, ft_jval__number(v));
    }
    return ft_jtext__puts(r, t, buf);
}

ft_status ft_jstr__format(ft_jrun *r, const ft_jstr *s, ft_jval values, ft_jval *out)
{
    ft_jtext t = {0};
    size_t used = 0, n = values.kind == FT_J_TUPLE ? values.l->n : 1;
    for (size_t i = 0; i < s->n; i++) {
        int precision = 6;
        if (s->p[i] != '%') {
            FT_RETURN(ft_jtext__put(r, &t, s->p + i, 1, s->marks ? s->marks + i : NULL));
            continue;
        }
        if (++i < s->n && s->p[i] == '.')
            for (precision = 0, i++; i < s->n && s->p[i] >= '0' && s->p[i] <= '9' && precision < 10; i++)
                precision = precision * 10 + (s->p[i] - '0');
        if (i < s->n && s->p[i] == '%') {
            FT_RETURN(ft_jtext__puts(r, &t, "%"));
            continue;
        }
        if (i >= s->n || !strchr("srdif", s->p[i]) || !s->p[i])
            return ft_jrun__fail(r, "a format other than %%s, %%r, %%d, %%i and %%f");
        if (used == n)
            return ft_jrun__fail(r, "a format of more values than the %zu it gets", n);
        FT_RETURN(
            put_formatted(r, &t, s->p[i], precision, values.kind == FT_J_TUPLE ? values.l->p[used] : values, s->safe));
        used++;
    }
    if (used < n && values.kind != FT_J_DICT)
        return ft_jrun__fail(r, "a format of fewer values than the %zu it gets", n);
    return ft_jtext__done(r, &t, s->safe, out);
}
