/* Values of a run: made, compared, walked, looked into. The rules are Python's, for what JSON brings. */
#include "text/jinja_impl.h"
#include "text/unicode.h"

#include <math.h>
#include <string.h>

/* ---- memory ---- */

void *ft_jmem__get(ft_jmem *m, size_t n, size_t size)
{
    enum { CHUNK = 1 << 14, ALIGN = 16 };
    size_t bytes;
    if (!ft_mul(n, size, &bytes) || !ft_add(bytes, ALIGN, &bytes)) {
        ft_fail(FT_ENOMEM, "chat template: a value of %zu times %zu bytes", n, size);
        return NULL;
    }
    bytes &= ~(size_t)(ALIGN - 1);
    if (bytes > CHUNK / 4)
        return ft_arena_zalloc(m->arena, bytes, 1);
    if (bytes > m->left) {
        if (!(m->at = ft_arena_alloc(m->arena, CHUNK, 1))) {
            m->left = 0;
            return NULL;
        }
        m->left = CHUNK;
    }
    void *p = m->at;
    m->at += bytes;
    m->left -= bytes;
    return memset(p, 0, bytes);
}

/* ---- making ---- */

ft_status ft_jval__str(ft_jrun *r, const char *p, size_t n, const uint8_t *marks, bool safe, ft_jval *out)
{
    ft_jstr *s = ft_jmem__get(&r->mem, 1, sizeof *s);
    if (!s)
        return FT_ENOMEM;
    *s = (ft_jstr){p, marks, n, safe};
    *out = (ft_jval){.kind = FT_J_STR, .s = s};
    return FT_OK;
}

ft_status ft_jval__part(ft_jrun *r, const ft_jstr *s, size_t from, size_t to, ft_jval *out)
{
    return ft_jval__str(r, s->p + from, to - from, s->marks ? s->marks + from : NULL, s->safe, out);
}

ft_status ft_jval__list(ft_jrun *r, ft_jkind kind, size_t room, ft_jval *out)
{
    ft_jlist *l = ft_jmem__get(&r->mem, 1, sizeof *l);
    if (!l || (room && !(l->p = ft_jmem__get(&r->mem, room, sizeof *l->p))))
        return FT_ENOMEM;
    l->cap = room;
    *out = (ft_jval){.kind = kind, .l = l};
    return FT_OK;
}

ft_status ft_jlist__put(ft_jrun *r, ft_jlist *l, ft_jval v)
{
    FT_RETURN(ft_jrun__work(r, 1));
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 4;
        ft_jval *p = ft_jmem__get(&r->mem, cap, sizeof *p);
        if (!p)
            return FT_ENOMEM;
        if (l->n)
            memcpy(p, l->p, l->n * sizeof *p);
        l->p = p;
        l->cap = cap;
    }
    l->p[l->n++] = v;
    return FT_OK;
}

ft_status ft_jval__dict(ft_jrun *r, ft_jkind kind, ft_jval *out)
{
    ft_jdict *d = ft_jmem__get(&r->mem, 1, sizeof *d);
    *out = (ft_jval){.kind = kind, .d = d};
    return d ? FT_OK : FT_ENOMEM;
}

const ft_jval *ft_jdict__named(const ft_jdict *d, ft_str name)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->keys[i].kind == FT_J_STR && d->keys[i].s->n == name.n && memcmp(d->keys[i].s->p, name.p, name.n) == 0)
            return &d->values[i];
    return NULL;
}

const ft_jval *ft_jdict__get(ft_jrun *r, const ft_jdict *d, ft_jval key)
{
    for (size_t i = 0; i < d->n; i++)
        if (ft_jval__same(r, d->keys[i], key))
            return &d->values[i];
    return NULL;
}

ft_status ft_jdict__put(ft_jrun *r, ft_jdict *d, ft_jval key, ft_jval value)
{
    FT_RETURN(ft_jrun__work(r, d->n + 1));
    ft_jval *there = (ft_jval *)ft_jdict__get(r, d, key);
    if (there) {
        *there = value;
        return FT_OK;
    }
    if (d->n == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 4;
        ft_jval *keys = ft_jmem__get(&r->mem, cap, sizeof *keys), *values = ft_jmem__get(&r->mem, cap, sizeof *values);
        if (!keys || !values)
            return FT_ENOMEM;
        if (d->n) {
            memcpy(keys, d->keys, d->n * sizeof *keys);
            memcpy(values, d->values, d->n * sizeof *values);
        }
        d->keys = keys;
        d->values = values;
        d->cap = cap;
    }
    d->keys[d->n] = key;
    d->values[d->n++] = value;
    return FT_OK;
}

static ft_status json_text(ft_jrun *r, const char *p, size_t n, bool marked, ft_jval *out)
{
    uint8_t *marks = NULL;
    if (marked && n) {
        if (!(marks = ft_jmem__get(&r->mem, n, 1)))
            return FT_ENOMEM;
        memset(marks, 1, n);
    }
    return ft_jval__str(r, p, n, marks, false, out);
}

static ft_status json_map(ft_jrun *r, const json_t *j, bool marked, ft_jval *out)
{
    FT_RETURN(ft_jval__dict(r, FT_J_DICT, out));
    for (void *it = json_object_iter((json_t *)j); it; it = json_object_iter_next((json_t *)j, it)) {
        ft_jval key, value;
        const char *name = json_object_iter_key(it);
        bool role = strcmp(name, "role") == 0;
        FT_RETURN(json_text(r, name, strlen(name), marked, &key));
        FT_RETURN(ft_jval__from_json(r, json_object_iter_value(it), marked && !role, &value));
        FT_RETURN(ft_jdict__put(r, out->d, key, value));
    }
    return FT_OK;
}

ft_status ft_jval__from_json(ft_jrun *r, const json_t *j, bool marked, ft_jval *out)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return json_map(r, j, marked, out);
    case JSON_ARRAY:
        FT_RETURN(ft_jval__list(r, FT_J_LIST, json_array_size(j), out));
        for (size_t i = 0; i < json_array_size(j); i++) {
            ft_jval item;
            FT_RETURN(ft_jval__from_json(r, json_array_get(j, i), marked, &item));
            FT_RETURN(ft_jlist__put(r, out->l, item));
        }
        return FT_OK;
    case JSON_STRING:
        return json_text(r, json_string_value(j), json_string_length(j), marked, out);
    case JSON_INTEGER:
        *out = ft_j_int(json_integer_value(j));
        return FT_OK;
    case JSON_REAL:
        *out = ft_j_float(json_real_value(j));
        return FT_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = ft_j_bool(json_is_true(j));
        return FT_OK;
    default:
        *out = ft_j_none();
        return FT_OK;
    }
}

/* ---- asking ---- */

const char *ft_jval__type(ft_jval v)
{
    static const char *const names[] = {"undefined",   "none",   "true or false", "an integer",  "a number",
                                        "a text",      "a list", "a tuple",       "a generator", "a map",
                                        "a namespace", "a loop", "a function",    "a macro"};
    return names[v.kind];
}

bool ft_jval__truth(ft_jval v)
{
    switch (v.kind) {
    case FT_J_UNDEFINED:
    case FT_J_NONE:
        return false;
    case FT_J_BOOL:
        return v.b;
    case FT_J_INT:
        return v.i != 0;
    case FT_J_FLOAT:
        return v.f != 0;
    case FT_J_STR:
        return v.s->n > 0;
    case FT_J_LIST:
    case FT_J_TUPLE:
        return v.l->n > 0;
    case FT_J_DICT:
        return v.d->n > 0;
    case FT_J_LOOP:
        return v.loop->items->n > 0;
    default:
        return true;
    }
}

bool ft_jval__is_number(ft_jval v)
{
    return v.kind == FT_J_INT || v.kind == FT_J_FLOAT || v.kind == FT_J_BOOL;
}

double ft_jval__number(ft_jval v)
{
    return v.kind == FT_J_FLOAT ? v.f : v.kind == FT_J_BOOL ? (double)v.b : (double)v.i;
}

static int64_t integer(ft_jval v)
{
    return v.kind == FT_J_BOOL ? (int64_t)v.b : v.i;
}

static bool same_lists(ft_jrun *r, const ft_jlist *a, const ft_jlist *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!ft_jval__same(r, a->p[i], b->p[i]))
            return false;
    return true;
}

static bool same_dicts(ft_jrun *r, const ft_jdict *a, const ft_jdict *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const ft_jval *other = ft_jdict__get(r, b, a->keys[i]);
        if (!other || !ft_jval__same(r, a->values[i], *other))
            return false;
    }
    return true;
}

static bool same_contents(ft_jrun *r, ft_jval a, ft_jval b)
{
    if (ft_jrun__enter(r) != FT_OK) {
        r->steps = 0;
        return false;
    }
    bool same = a.kind == FT_J_DICT ? same_dicts(r, a.d, b.d) : same_lists(r, a.l, b.l);
    r->depth--;
    return same;
}

/* Comparing costs steps; when there are none left the answer is "no", and the next construct fails. */
bool ft_jval__same(ft_jrun *r, ft_jval a, ft_jval b)
{
    r->steps -= r->steps > 0;
    if (r->steps <= 0)
        return false;
    if (ft_jval__is_number(a) && ft_jval__is_number(b))
        return a.kind == FT_J_FLOAT || b.kind == FT_J_FLOAT ? ft_jval__number(a) == ft_jval__number(b)
                                                            : integer(a) == integer(b);
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case FT_J_UNDEFINED:
    case FT_J_NONE:
        return true;
    case FT_J_STR:
        return a.s->n == b.s->n && memcmp(a.s->p, b.s->p, a.s->n) == 0;
    case FT_J_LIST:
    case FT_J_TUPLE:
    case FT_J_DICT:
        return same_contents(r, a, b);
    default:
        return a.l == b.l;
    }
}

ft_status ft_jval__order(ft_jrun *r, ft_jval a, ft_jval b, int *out)
{
    FT_RETURN(ft_jrun__work(r, 1));
    if (ft_jval__is_number(a) && ft_jval__is_number(b)) {
        if (a.kind == FT_J_FLOAT || b.kind == FT_J_FLOAT) {
            double x = ft_jval__number(a), y = ft_jval__number(b);
            *out = (x > y) - (x < y);
        } else {
            *out = (integer(a) > integer(b)) - (integer(a) < integer(b));
        }
        return FT_OK;
    }
    if (a.kind == FT_J_STR && b.kind == FT_J_STR) {
        int order = memcmp(a.s->p, b.s->p, FT_MIN(a.s->n, b.s->n)); /* UTF-8 sorts as its characters do */
        *out = order ? order : (a.s->n > b.s->n) - (a.s->n < b.s->n);
        return FT_OK;
    }
    if (a.kind != b.kind || (a.kind != FT_J_LIST && a.kind != FT_J_TUPLE))
        return ft_jrun__fail(r, "%s and %s have no order", ft_jval__type(a), ft_jval__type(b));
    FT_RETURN(ft_jrun__enter(r));
    *out = 0;
    for (size_t i = 0; i < a.l->n && i < b.l->n && *out == 0; i++)
        if (!ft_jval__same(r, a.l->p[i], b.l->p[i]))
            FT_RETURN(ft_jval__order(r, a.l->p[i], b.l->p[i], out));
    if (*out == 0)
        *out = (a.l->n > b.l->n) - (a.l->n < b.l->n);
    r->depth--;
    return FT_OK;
}

ft_status ft_jval__length(ft_jrun *r, ft_jval v, size_t *out)
{
    switch (v.kind) {
    case FT_J_UNDEFINED:
        *out = 0;
        return FT_OK;
    case FT_J_STR:
        FT_RETURN(ft_jrun__work(r, v.s->n / 64));
        *out = ft_jstr__characters(v.s);
        return FT_OK;
    case FT_J_LIST:
    case FT_J_TUPLE:
        *out = v.l->n;
        return FT_OK;
    case FT_J_DICT:
        *out = v.d->n;
        return FT_OK;
    case FT_J_LOOP:
        *out = v.loop->items->n;
        return FT_OK;
    default:
        return ft_jrun__fail(r, "%s has no length", ft_jval__type(v));
    }
}

/* ---- walking ---- */

static ft_status characters(ft_jrun *r, const ft_jstr *s, ft_jval *out)
{
    FT_RETURN(ft_jval__list(r, FT_J_LIST, s->n, out));
    for (size_t i = 0, n; i < s->n; i += n) {
        ft_jval c;
        n = ft_utf8__len(s->p + i, s->n - i);
        FT_RETURN(ft_jval__part(r, s, i, i + n, &c));
        FT_RETURN(ft_jlist__put(r, out->l, c));
    }
    return FT_OK;
}

ft_status ft_jval__items(ft_jrun *r, ft_jval v, ft_jlist **out)
{
    ft_jval list;
    switch (v.kind) {
    case FT_J_UNDEFINED:
        FT_RETURN(ft_jval__list(r, FT_J_LIST, 0, &list));
        break;
    case FT_J_STR:
        FT_RETURN(characters(r, v.s, &list));
        break;
    case FT_J_LIST:
    case FT_J_TUPLE:
        list = v;
        break;
    case FT_J_ITER:
        FT_RETURN(ft_jval__list(r, FT_J_LIST, 0, &list));
        if (!v.l->used)
            *list.l = *v.l;
        v.l->used = true;
        break;
    case FT_J_DICT:
        FT_RETURN(ft_jval__list(r, FT_J_LIST, v.d->n, &list));
        for (size_t i = 0; i < v.d->n; i++)
            FT_RETURN(ft_jlist__put(r, list.l, v.d->keys[i]));
        break;
    default:
        return ft_jrun__fail(r, "%s cannot be walked", ft_jval__type(v));
    }
    *out = list.l;
    return ft_jrun__work(r, list.l->n);
}

ft_status ft_jval__contains(ft_jrun *r, ft_jval in, ft_jval what, bool *out)
{
    ft_jlist *l;
    *out = false;
    if (in.kind == FT_J_STR) {
        if (what.kind != FT_J_STR)
            return ft_jrun__fail(r, "%s is looked for in a text", ft_jval__type(what));
        FT_RETURN(ft_jrun__work(r, in.s->n / 16 + 1));
        *out = ft_jstr__find(in.s, what.s, 0) != SIZE_MAX;
        return FT_OK;
    }
    if (in.kind == FT_J_DICT) {
        FT_RETURN(ft_jrun__work(r, in.d->n));
        *out = ft_jdict__get(r, in.d, what) != NULL;
        return FT_OK;
    }
    FT_RETURN(ft_jval__items(r, in, &l));
    for (size_t i = 0; i < l->n && !*out; i++)
        *out = ft_jval__same(r, l->p[i], what);
    return FT_OK;
}

/* ---- looking into ---- */

/* Members of the loop's variable. */
static bool loop_member(const ft_jloop *l, ft_str name, ft_jval *out)
{
    int64_t at = (int64_t)l->at, n = (int64_t)l->items->n;
    const struct {
        const char *name;
        ft_jval value;
    } members[] = {{"index", ft_j_int(at + 1)},
                   {"index0", ft_j_int(at)},
                   {"revindex", ft_j_int(n - at)},
                   {"revindex0", ft_j_int(n - at - 1)},
                   {"first", ft_j_bool(at == 0)},
                   {"last", ft_j_bool(at + 1 == n)},
                   {"length", ft_j_int(n)},
                   {"depth", ft_j_int(l->depth0 + 1)},
                   {"depth0", ft_j_int(l->depth0)},
                   {"previtem", at > 0 ? l->items->p[at - 1] : ft_j_undefined("previtem")},
                   {"nextitem", at + 1 < n ? l->items->p[at + 1] : ft_j_undefined("nextitem")}};
    for (size_t i = 0; i < FT_COUNT(members); i++)
        if (ft_str_is(name, members[i].name)) {
            *out = members[i].value;
            return true;
        }
    return false;
}

static const char *hint_of(ft_jrun *r, ft_str name)
{
    char *copy = ft_jmem__get(&r->mem, FT_MIN(name.n, (size_t)60) + 1, 1);
    if (copy && name.n)
        memcpy(copy, name.p, FT_MIN(name.n, (size_t)60));
    return copy;
}

static ft_status refuse_undefined(ft_jrun *r, ft_jval v, ft_str name)
{
    return ft_jrun__fail(r, "\"%s\" is undefined, \"%.*s\" is looked for in it", v.hint ? v.hint : "a value",
                         (int)FT_MIN(name.n, (size_t)60), name.p);
}

/* A method of the value, bound. */
static bool method_of(ft_jrun *r, ft_jval v, ft_str name, ft_jval *out, ft_status *st)
{
    const ft_jcallee *m = ft_jinja__method(v.kind, name);
    ft_jbound *bound;
    if (!m)
        return false;
    if (!(bound = ft_jmem__get(&r->mem, 1, sizeof *bound))) {
        *st = FT_ENOMEM;
        return true;
    }
    *bound = (ft_jbound){m, v};
    *out = (ft_jval){.kind = FT_J_CALLEE, .bound = bound};
    return true;
}

ft_status ft_jval__attr(ft_jrun *r, ft_jval v, ft_str name, ft_jval *out)
{
    ft_status st = FT_OK;
    const ft_jval *member = NULL;
    if (v.kind == FT_J_UNDEFINED)
        return refuse_undefined(r, v, name);
    if (method_of(r, v, name, out, &st) || (v.kind == FT_J_LOOP && loop_member(v.loop, name, out)))
        return st;
    if (v.kind == FT_J_DICT || v.kind == FT_J_NAMESPACE)
        member = ft_jdict__named(v.d, name);
    *out = member ? *member : ft_j_undefined(hint_of(r, name));
    return FT_OK;
}

/* The place that an index means in n items, -1 when there is none. */
static int64_t place(ft_jval key, size_t n)
{
    int64_t i = integer(key);
    i += i < 0 ? (int64_t)n : 0;
    return i >= 0 && i < (int64_t)n ? i : -1;
}

ft_status ft_jval__item(ft_jrun *r, ft_jval v, ft_jval key, ft_jval *out)
{
    bool index = key.kind == FT_J_INT || key.kind == FT_J_BOOL;
    *out = ft_j_undefined(key.kind == FT_J_STR ? hint_of(r, (ft_str){key.s->p, key.s->n}) : NULL);
    if (v.kind == FT_J_UNDEFINED)
        return refuse_undefined(r, v, key.kind == FT_J_STR ? (ft_str){key.s->p, key.s->n} : ft_str_of("an item"));
    if (v.kind == FT_J_DICT) {
        FT_RETURN(ft_jrun__work(r, v.d->n / 8));
        const ft_jval *member = ft_jdict__get(r, v.d, key);
        if (member) {
            *out = *member;
            return FT_OK;
        }
    } else if ((v.kind == FT_J_LIST || v.kind == FT_J_TUPLE) && index) {
        int64_t i = place(key, v.l->n);
        *out = i < 0 ? *out : v.l->p[i];
        return FT_OK;
    } else if (v.kind == FT_J_STR && index) {
        FT_RETURN(ft_jrun__work(r, v.s->n / 64));
        int64_t i = place(key, ft_jstr__characters(v.s));
        size_t from = i < 0 ? 0 : ft_jstr__byte_of(v.s, (size_t)i);
        return i < 0 ? FT_OK : ft_jval__part(r, v.s, from, from + ft_utf8__len(v.s->p + from, v.s->n - from), out);
    }
    if (key.kind == FT_J_STR)
        return ft_jval__attr(r, v, (ft_str){key.s->p, key.s->n}, out);
    return FT_OK;
}
