/* Methods of texts, maps, lists and the loop's variable, as Python has them. */
#include "text/jinja_impl.h"
#include "text/unicode.h"

#include <string.h>
#include <utf8proc.h>

#define FT_JINJA_METHOD(kind, name, function, parameters) ft_status function(ft_jrun *r, ft_jcall *c, ft_jval *out);
#include "text/jinja_methods.def"
#undef FT_JINJA_METHOD

static ft_status text_argument(ft_jrun *r, const ft_jcall *c, int i, const ft_jstr **out)
{
    *out = c->a[i].kind == FT_J_STR ? c->a[i].s : NULL;
    return *out ? FT_OK : ft_jrun__fail(r, "a method of a text gets %s", ft_jval__type(c->a[i]));
}

/* ---- ends ---- */

static ft_status strip(ft_jrun *r, ft_jcall *c, bool left, bool right, ft_jval *out)
{
    const ft_jstr *set = NULL;
    if (c->given[0] && c->a[0].kind != FT_J_NONE)
        FT_RETURN(text_argument(r, c, 0, &set));
    return ft_jstr__strip(r, c->self.s, set, left, right, out);
}

ft_status ft_jmethod_strip(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return strip(r, c, true, true, out);
}

ft_status ft_jmethod_lstrip(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return strip(r, c, true, false, out);
}

ft_status ft_jmethod_rstrip(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return strip(r, c, false, true, out);
}

static bool has_at(const ft_jstr *s, const ft_jstr *part, bool end)
{
    return part->n <= s->n && memcmp(s->p + (end ? s->n - part->n : 0), part->p, part->n) == 0;
}

/* The text, or a tuple of them, stands at an end. */
static ft_status ends(ft_jrun *r, ft_jcall *c, bool end, ft_jval *out)
{
    ft_jval v = c->a[0];
    bool is = v.kind == FT_J_STR && has_at(c->self.s, v.s, end);
    if (v.kind != FT_J_STR && v.kind != FT_J_TUPLE)
        return ft_jrun__fail(r, "a method of a text gets %s", ft_jval__type(v));
    for (size_t i = 0; v.kind == FT_J_TUPLE && i < v.l->n && !is; i++) {
        if (v.l->p[i].kind != FT_J_STR)
            return ft_jrun__fail(r, "a method of a text gets %s", ft_jval__type(v.l->p[i]));
        FT_RETURN(ft_jrun__work(r, v.l->p[i].s->n / 16 + 1));
        is = has_at(c->self.s, v.l->p[i].s, end);
    }
    *out = ft_j_bool(is);
    return FT_OK;
}

ft_status ft_jmethod_startswith(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return ends(r, c, false, out);
}

ft_status ft_jmethod_endswith(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return ends(r, c, true, out);
}

ft_status ft_jmethod_removeprefix(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *part;
    FT_RETURN(text_argument(r, c, 0, &part));
    return ft_jval__part(r, c->self.s, has_at(c->self.s, part, false) ? part->n : 0, c->self.s->n, out);
}

ft_status ft_jmethod_removesuffix(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *part;
    FT_RETURN(text_argument(r, c, 0, &part));
    return ft_jval__part(r, c->self.s, 0, c->self.s->n - (has_at(c->self.s, part, true) ? part->n : 0), out);
}

/* ---- finding ---- */

static size_t find_last(const ft_jstr *s, const ft_jstr *what)
{
    for (size_t i = what->n <= s->n ? s->n - what->n + 1 : 0; i-- > 0;)
        if (memcmp(s->p + i, what->p, what->n) == 0)
            return i;
    return SIZE_MAX;
}

/* The number of the character at byte `at`. */
static ft_jval character_number(const ft_jstr *s, size_t at)
{
    ft_jstr before = {.p = s->p, .n = at};
    return ft_j_int(at == SIZE_MAX ? -1 : (int64_t)ft_jstr__characters(&before));
}

ft_status ft_jmethod_find(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *what;
    FT_RETURN(text_argument(r, c, 0, &what));
    FT_RETURN(ft_jrun__work(r, c->self.s->n / 16 + 1));
    *out = character_number(c->self.s, ft_jstr__find(c->self.s, what, 0));
    return FT_OK;
}

ft_status ft_jmethod_rfind(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *what;
    FT_RETURN(text_argument(r, c, 0, &what));
    FT_RETURN(ft_jrun__work(r, c->self.s->n / 16 + 1));
    *out = character_number(c->self.s, find_last(c->self.s, what));
    return FT_OK;
}

ft_status ft_jmethod_index(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    FT_RETURN(ft_jmethod_find(r, c, out));
    return out->i < 0 ? ft_jrun__fail(r, "index of a text that is not there") : FT_OK;
}

ft_status ft_jmethod_count(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *what;
    int64_t n = 0;
    FT_RETURN(text_argument(r, c, 0, &what));
    FT_RETURN(ft_jrun__work(r, c->self.s->n / 16 + 1));
    if (!what->n)
        n = (int64_t)ft_jstr__characters(c->self.s) + 1;
    for (size_t at = 0; what->n && (at = ft_jstr__find(c->self.s, what, at)) != SIZE_MAX; at += what->n)
        n++;
    *out = ft_j_int(n);
    return FT_OK;
}

ft_status ft_jmethod_replace(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *from, *to;
    FT_RETURN(text_argument(r, c, 0, &from));
    FT_RETURN(text_argument(r, c, 1, &to));
    if (c->given[2] && c->a[2].kind != FT_J_INT)
        return ft_jrun__fail(r, "replace gets %s as a count", ft_jval__type(c->a[2]));
    return ft_jstr__replace(r, c->self.s, from, to, c->given[2] ? c->a[2].i : -1, out);
}

/* ---- splitting ---- */

static ft_status put_part(ft_jrun *r, const ft_jstr *s, size_t from, size_t to, ft_jlist *l)
{
    ft_jval v;
    FT_RETURN(ft_jval__part(r, s, from, to, &v));
    return ft_jlist__put(r, l, v);
}

static ft_status split_at(ft_jrun *r, const ft_jstr *s, const ft_jstr *by, int64_t most, ft_jlist *l)
{
    size_t at = 0, next;
    if (!by->n)
        return ft_jrun__fail(r, "a text is split at an empty one");
    FT_RETURN(ft_jrun__work(r, s->n / 16 + 1));
    for (; most != 0 && (next = ft_jstr__find(s, by, at)) != SIZE_MAX; at = next + by->n, most--)
        FT_RETURN(put_part(r, s, at, next, l));
    return put_part(r, s, at, s->n, l);
}

static ft_status split_at_space(ft_jrun *r, const ft_jstr *s, int64_t most, ft_jlist *l)
{
    size_t at = ft_jinja__leading(s->p, s->n);
    FT_RETURN(ft_jrun__work(r, s->n / 16 + 1));
    while (at < s->n) {
        size_t end = at;
        if (most == 0)
            return put_part(r, s, at, s->n, l);
        while (end < s->n && !ft_jinja__leading(s->p + end, FT_MIN(s->n - end, (size_t)4)))
            end += ft_utf8__len(s->p + end, s->n - end);
        FT_RETURN(put_part(r, s, at, end, l));
        at = end + ft_jinja__leading(s->p + end, s->n - end);
        most--;
    }
    return FT_OK;
}

static void turn_around(ft_jlist *l)
{
    for (size_t i = 0; i < l->n / 2; i++) {
        ft_jval v = l->p[i];
        l->p[i] = l->p[l->n - 1 - i];
        l->p[l->n - 1 - i] = v;
    }
}

/* From the right; parts come in order. */
static ft_status split_back(ft_jrun *r, const ft_jstr *s, const ft_jstr *by, int64_t most, ft_jlist *l)
{
    ft_jstr rest = *s;
    size_t at;
    if (!by->n)
        return ft_jrun__fail(r, "a text is split at an empty one");
    for (; most != 0 && (at = find_last(&rest, by)) != SIZE_MAX; rest.n = at, most--) {
        FT_RETURN(ft_jrun__work(r, (rest.n - at) / 16 + 1));
        FT_RETURN(put_part(r, s, at + by->n, rest.n, l));
    }
    FT_RETURN(put_part(r, s, 0, rest.n, l));
    turn_around(l);
    return FT_OK;
}

static ft_status split_back_at_space(ft_jrun *r, const ft_jstr *s, int64_t most, ft_jlist *l)
{
    size_t end = s->n - ft_jinja__trailing(s->p, s->n);
    FT_RETURN(ft_jrun__work(r, s->n / 16 + 1));
    while (end > 0) {
        size_t at = most == 0 ? 0 : end;
        while (most != 0 && at > 0 && !ft_jinja__trailing(s->p, at))
            at--;
        FT_RETURN(put_part(r, s, at, end, l));
        end = most == 0 ? 0 : at - ft_jinja__trailing(s->p, at);
        most--;
    }
    turn_around(l);
    return FT_OK;
}

static ft_status split(ft_jrun *r, ft_jcall *c, bool back, ft_jval *out)
{
    const ft_jstr *by;
    int64_t most = c->given[1] && c->a[1].kind == FT_J_INT ? c->a[1].i : -1;
    if (c->given[1] && c->a[1].kind != FT_J_INT)
        return ft_jrun__fail(r, "split gets %s as a count", ft_jval__type(c->a[1]));
    ft_jval list;
    FT_RETURN(ft_jval__list(r, FT_J_LIST, 0, &list));
    if (!c->given[0] || c->a[0].kind == FT_J_NONE) {
        FT_RETURN((back ? split_back_at_space : split_at_space)(r, c->self.s, most, list.l));
    } else {
        FT_RETURN(text_argument(r, c, 0, &by));
        FT_RETURN((back ? split_back : split_at)(r, c->self.s, by, most, list.l));
    }
    *out = list;
    return FT_OK;
}

ft_status ft_jmethod_split(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return split(r, c, false, out);
}

ft_status ft_jmethod_rsplit(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return split(r, c, true, out);
}

ft_status ft_jmethod_splitlines(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *s = c->self.s;
    bool keep = ft_jval__truth(c->a[0]);
    ft_jval list;
    FT_RETURN(ft_jval__list(r, FT_J_LIST, 0, &list));
    for (size_t at = 0, end, next; at < s->n; at = next) {
        for (end = at; end < s->n && !memchr("\n\r\v\f\x1c\x1d\x1e", s->p[end], 7); end++)
            continue;
        next = end + (end < s->n) + (end + 1 < s->n && s->p[end] == '\r' && s->p[end + 1] == '\n');
        FT_RETURN(put_part(r, s, at, keep ? next : end, list.l));
    }
    *out = list;
    return FT_OK;
}

static ft_status parted(ft_jrun *r, ft_jcall *c, bool back, ft_jval *out)
{
    const ft_jstr *s = c->self.s, *by;
    ft_jval list;
    FT_RETURN(text_argument(r, c, 0, &by));
    if (!by->n)
        return ft_jrun__fail(r, "a text is split at an empty one");
    FT_RETURN(ft_jrun__work(r, s->n / 16 + 1));
    size_t at = back ? find_last(s, by) : ft_jstr__find(s, by, 0);
    bool found = at != SIZE_MAX;
    size_t from = found ? at : back ? 0 : s->n, to = found ? at + by->n : from;
    FT_RETURN(ft_jval__list(r, FT_J_TUPLE, 3, &list));
    FT_RETURN(put_part(r, s, 0, from, list.l));
    FT_RETURN(put_part(r, s, from, to, list.l));
    FT_RETURN(put_part(r, s, to, s->n, list.l));
    *out = list;
    return FT_OK;
}

ft_status ft_jmethod_partition(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return parted(r, c, false, out);
}

ft_status ft_jmethod_rpartition(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return parted(r, c, true, out);
}

/* ---- joining and formatting ---- */

ft_status ft_jmethod_join(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jlist *l;
    ft_jtext t = {0};
    FT_RETURN(ft_jval__items(r, c->a[0], &l));
    for (size_t i = 0; i < l->n; i++) {
        if (l->p[i].kind != FT_J_STR)
            return ft_jrun__fail(r, "join of %s, a text is expected", ft_jval__type(l->p[i]));
        if (i)
            FT_RETURN(ft_jtext__put_str(r, &t, c->self.s));
        FT_RETURN(ft_jtext__put_str(r, &t, l->p[i].s));
    }
    return ft_jtext__done(r, &t, c->self.s->safe, out);
}

/* What a field of format names: nothing (the next), a number, a name. */
static ft_status field_value(ft_jrun *r, const ft_jargs *args, ft_str field, size_t *next, ft_jval *out)
{
    char text[24];
    int64_t i = 0;
    for (size_t k = 0; k < args->n_named; k++)
        if (ft_str_eq(args->names[k], field)) {
            *out = args->named[k];
            return FT_OK;
        }
    snprintf(text, sizeof text, "%.*s", (int)FT_MIN(field.n, sizeof text - 1), field.p);
    if (field.n && (!ft_parse_i64(text, &i) || i < 0))
        return ft_jrun__fail(r, "format has no \"%s\", or one of a form that is not run", text);
    size_t at = field.n ? (size_t)i : (*next)++;
    if (at >= args->n)
        return ft_jrun__fail(r, "format gets %zu values, more are named", args->n);
    *out = args->p[at];
    return FT_OK;
}

ft_status ft_jmethod_format(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jstr *s = c->self.s;
    ft_jtext t = {0};
    size_t next = 0;
    for (size_t i = 0; i < s->n; i++) {
        bool doubled = i + 1 < s->n && s->p[i] == s->p[i + 1];
        const char *close;
        ft_jval v;
        if ((s->p[i] != '{' && s->p[i] != '}') || doubled) {
            FT_RETURN(ft_jtext__put(r, &t, s->p + i, 1, s->marks ? s->marks + i : NULL));
            i += doubled && (s->p[i] == '{' || s->p[i] == '}');
            continue;
        }
        if (s->p[i] == '}' || !(close = memchr(s->p + i, '}', s->n - i)))
            return ft_jrun__fail(r, "format of a text with a single brace");
        FT_RETURN(field_value(r, c->args, (ft_str){s->p + i + 1, (size_t)(close - s->p) - i - 1}, &next, &v));
        FT_RETURN(ft_jtext__put_value(r, &t, v));
        i = (size_t)(close - s->p);
    }
    return ft_jtext__done(r, &t, s->safe, out);
}

/* ---- case and classes ---- */

ft_status ft_jmethod_title(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return ft_jstr__cased(r, c->self.s, FT_J_TITLE, out);
}

ft_status ft_jmethod_swapcase(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return ft_jstr__cased(r, c->self.s, FT_J_SWAP, out);
}

static bool is_letter(int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

static bool is_digit(int32_t c)
{
    return utf8proc_category(c) == UTF8PROC_CATEGORY_ND;
}

static bool is_letter_or_digit(int32_t c)
{
    return is_letter(c) || is_digit(c);
}

static ft_status all_are(ft_jrun *r, const ft_jstr *s, bool (*is)(int32_t), ft_jval *out)
{
    bool all = s->n > 0;
    FT_RETURN(ft_jrun__work(r, s->n / 16));
    for (size_t i = 0; i < s->n && all; i += ft_utf8__len(s->p + i, s->n - i)) {
        utf8proc_int32_t c;
        all = utf8proc_iterate((const utf8proc_uint8_t *)s->p + i, (utf8proc_ssize_t)(s->n - i), &c) > 0 && is(c);
    }
    *out = ft_j_bool(all);
    return FT_OK;
}

ft_status ft_jmethod_isalpha(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return all_are(r, c->self.s, is_letter, out);
}

ft_status ft_jmethod_isdigit(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return all_are(r, c->self.s, is_digit, out);
}

ft_status ft_jmethod_isalnum(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return all_are(r, c->self.s, is_letter_or_digit, out);
}

ft_status ft_jmethod_isspace(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return all_are(r, c->self.s, ft_jinja__is_space, out);
}

/* ---- maps and lists ---- */

ft_status ft_jmethod_get(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    if (!c->given[0])
        return ft_jrun__fail(r, "get expects a key");
    FT_RETURN(ft_jrun__work(r, c->self.d->n / 8));
    const ft_jval *v = ft_jdict__get(r, c->self.d, c->a[0]);
    *out = v ? *v : c->given[1] ? c->a[1] : ft_j_none();
    return FT_OK;
}

static ft_status members(ft_jrun *r, const ft_jdict *d, bool keys, bool values, ft_jval *out)
{
    ft_jval list, pair;
    FT_RETURN(ft_jval__list(r, FT_J_LIST, d->n, &list));
    for (size_t i = 0; i < d->n; i++) {
        pair = keys ? d->keys[i] : d->values[i];
        if (keys && values) {
            FT_RETURN(ft_jval__list(r, FT_J_TUPLE, 2, &pair));
            FT_RETURN(ft_jlist__put(r, pair.l, d->keys[i]));
            FT_RETURN(ft_jlist__put(r, pair.l, d->values[i]));
        }
        FT_RETURN(ft_jlist__put(r, list.l, pair));
    }
    *out = list;
    return FT_OK;
}

ft_status ft_jmethod_items(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return members(r, c->self.d, true, true, out);
}

ft_status ft_jmethod_keys(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return members(r, c->self.d, true, false, out);
}

ft_status ft_jmethod_values(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return members(r, c->self.d, false, true, out);
}

/* Lists and maps are never changed, so a copy is the same. */
ft_status ft_jmethod_copy(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    *out = c->self;
    return FT_OK;
}

ft_status ft_jmethod_list_count(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    int64_t n = 0;
    for (size_t i = 0; i < c->self.l->n; i++)
        n += ft_jval__same(r, c->self.l->p[i], c->a[0]);
    *out = ft_j_int(n);
    return FT_OK;
}

ft_status ft_jmethod_list_index(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    for (size_t i = 0; i < c->self.l->n; i++)
        if (ft_jval__same(r, c->self.l->p[i], c->a[0])) {
            *out = ft_j_int((int64_t)i);
            return FT_OK;
        }
    return ft_jrun__fail(r, "index of a value that is not there");
}

/* ---- the loop's variable ---- */

ft_status ft_jmethod_cycle(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    if (!c->args->n)
        return ft_jrun__fail(r, "cycle expects values");
    *out = c->args->p[c->self.loop->at % c->args->n];
    return FT_OK;
}

ft_status ft_jmethod_changed(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jloop *loop = c->self.loop;
    ft_jval now;
    FT_RETURN(ft_jval__list(r, FT_J_TUPLE, 0, &now));
    for (size_t i = 0; i < c->args->n; i++)
        FT_RETURN(ft_jlist__put(r, now.l, c->args->p[i]));
    bool same = loop->last_changed && ft_jval__same(r, *loop->last_changed, now);
    if (!loop->last_changed && !(loop->last_changed = ft_jmem__get(&r->mem, 1, sizeof now)))
        return FT_ENOMEM;
    *loop->last_changed = now;
    *out = ft_j_bool(!same);
    return FT_OK;
}
