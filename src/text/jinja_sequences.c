/* Filters of lists and maps. What Python gives as a generator is an ITER here: true whatever it holds, walked once. */
#include "text/jinja_impl.h"
#include "text/unicode.h"

#include <string.h>

#define FT_JINJA_FILTER(name, function, parameters) ft_status function(ft_jrun *r, ft_jcall *c, ft_jval *out);
#include "text/jinja_filters.def"
#undef FT_JINJA_FILTER

/* What stands at a path of members and indices, "function.name" or 0. */
static ft_status at_path(ft_jrun *r, ft_jval v, ft_jval path, ft_jval *out)
{
    if (path.kind != FT_J_STR)
        return ft_jval__item(r, v, path, out);
    const ft_jstr *s = path.s;
    *out = v;
    for (size_t i = 0, end; i <= s->n; i = end + 1) {
        const char *dot = i < s->n ? memchr(s->p + i, '.', s->n - i) : NULL;
        ft_jval key;
        int64_t index = 0;
        end = dot ? (size_t)(dot - s->p) : s->n;
        FT_RETURN(ft_jval__part(r, s, i, end, &key));
        size_t digits = 0;
        while (digits < end - i && digits < 9 && s->p[i + digits] >= '0' && s->p[i + digits] <= '9')
            index = index * 10 + (s->p[i + digits++] - '0');
        if (end > i && digits == end - i)
            key = ft_j_int(index);
        FT_RETURN(ft_jval__item(r, *out, key, out));
    }
    return FT_OK;
}

static ft_status maybe_at_path(ft_jrun *r, ft_jval v, ft_jval path, ft_jval *out)
{
    *out = v;
    return path.kind == FT_J_UNDEFINED || path.kind == FT_J_NONE ? FT_OK : at_path(r, v, path, out);
}

/* What values are ordered by: texts without their case unless asked for. */
static ft_status key_of(ft_jrun *r, ft_jval v, ft_jval path, bool case_sensitive, ft_jval *out)
{
    FT_RETURN(maybe_at_path(r, v, path, out));
    return out->kind == FT_J_STR && !case_sensitive ? ft_jstr__cased(r, out->s, FT_J_LOWER, out) : FT_OK;
}

ft_status ft_jfilter_list(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jlist *l;
    ft_jval list;
    FT_RETURN(ft_jval__items(r, c->self, &l));
    FT_RETURN(ft_jval__list(r, FT_J_LIST, l->n, &list));
    for (size_t i = 0; i < l->n; i++)
        FT_RETURN(ft_jlist__put(r, list.l, l->p[i]));
    *out = list;
    return FT_OK;
}

ft_status ft_jfilter_length(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    size_t n;
    FT_RETURN(ft_jval__length(r, c->self, &n));
    *out = ft_j_int((int64_t)n);
    return FT_OK;
}

ft_status ft_jfilter_first(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jlist *l;
    FT_RETURN(ft_jval__items(r, c->self, &l));
    *out = l->n ? l->p[0] : ft_j_undefined("the first of no items");
    return FT_OK;
}

ft_status ft_jfilter_last(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jlist *l;
    if (c->self.kind == FT_J_ITER)
        return ft_jrun__fail(r, "the last of a generator");
    FT_RETURN(ft_jval__items(r, c->self, &l));
    *out = l->n ? l->p[l->n - 1] : ft_j_undefined("the last of no items");
    return FT_OK;
}

ft_status ft_jfilter_reverse(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jlist *l;
    ft_jtext t = {0};
    ft_jval list;
    FT_RETURN(ft_jval__items(r, c->self, &l));
    FT_RETURN(ft_jval__list(r, FT_J_ITER, l->n, &list));
    for (size_t i = l->n; i-- > 0;) {
        if (c->self.kind == FT_J_STR)
            FT_RETURN(ft_jtext__put_str(r, &t, l->p[i].s));
        else
            FT_RETURN(ft_jlist__put(r, list.l, l->p[i]));
    }
    *out = list;
    return c->self.kind == FT_J_STR ? ft_jtext__done(r, &t, c->self.s->safe, out) : FT_OK;
}

ft_status ft_jfilter_join(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jlist *l;
    ft_jtext t = {0};
    FT_RETURN(ft_jval__items(r, c->self, &l));
    for (size_t i = 0; i < l->n; i++) {
        ft_jval v;
        if (i && c->given[0])
            FT_RETURN(ft_jtext__put_value(r, &t, c->a[0]));
        FT_RETURN(maybe_at_path(r, l->p[i], c->a[1], &v));
        FT_RETURN(ft_jtext__put_value(r, &t, v));
    }
    return ft_jtext__done(r, &t, false, out);
}

ft_status ft_jfilter_batch(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jlist *l;
    ft_jval batches, batch;
    if (c->a[0].kind != FT_J_INT || c->a[0].i < 1 || c->a[0].i > (1 << 20))
        return ft_jrun__fail(r, "batch expects a number of items from 1");
    FT_RETURN(ft_jval__items(r, c->self, &l));
    FT_RETURN(ft_jval__list(r, FT_J_ITER, 0, &batches));
    for (size_t i = 0, n = (size_t)c->a[0].i; i < l->n; i += n) {
        FT_RETURN(ft_jval__list(r, FT_J_LIST, 0, &batch));
        for (size_t k = i; k < i + n && (k < l->n || (c->given[1] && c->a[1].kind != FT_J_NONE)); k++)
            FT_RETURN(ft_jlist__put(r, batch.l, k < l->n ? l->p[k] : c->a[1]));
        FT_RETURN(ft_jlist__put(r, batches.l, batch));
    }
    *out = batches;
    return FT_OK;
}

/* ---- order ---- */

/* Stable; keys[n] go with items[n]. */
static ft_status merge_sort(ft_jrun *r, ft_jval *items, ft_jval *keys, size_t n, bool reverse)
{
    ft_jval *items2 = ft_jmem__get(&r->mem, n, sizeof *items2), *keys2 = ft_jmem__get(&r->mem, n, sizeof *keys2);
    if (!items2 || !keys2)
        return FT_ENOMEM;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t low = 0; low < n; low += 2 * width) {
            size_t a = low, middle = FT_MIN(low + width, n), b = middle, end = FT_MIN(low + 2 * width, n);
            for (size_t i = low; i < end; i++) {
                int order = -1;
                if (a < middle && b < end)
                    FT_RETURN(ft_jval__order(r, keys[a], keys[b], &order));
                bool left = b >= end || (a < middle && (reverse ? order >= 0 : order <= 0));
                size_t from = left ? a++ : b++;
                items2[i] = items[from];
                keys2[i] = keys[from];
            }
        }
        memcpy(items, items2, n * sizeof *items);
        memcpy(keys, keys2, n * sizeof *keys);
    }
    return FT_OK;
}

ft_status ft_jfilter_sort(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jval keys, key;
    bool reverse = ft_jval__truth(c->a[0]), sensitive = ft_jval__truth(c->a[1]);
    FT_RETURN(ft_jfilter_list(r, c, out));
    FT_RETURN(ft_jval__list(r, FT_J_LIST, out->l->n, &keys));
    for (size_t i = 0; i < out->l->n; i++) {
        FT_RETURN(key_of(r, out->l->p[i], c->a[2], sensitive, &key));
        FT_RETURN(ft_jlist__put(r, keys.l, key));
    }
    return out->l->n ? merge_sort(r, out->l->p, keys.l->p, out->l->n, reverse) : FT_OK;
}

ft_status ft_jfilter_dictsort(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jval keys, key, pair;
    bool by_value = c->a[1].kind == FT_J_STR && c->a[1].s->n == 5, sensitive = ft_jval__truth(c->a[0]);
    if (c->self.kind != FT_J_DICT)
        return ft_jrun__fail(r, "dictsort of %s", ft_jval__type(c->self));
    const ft_jdict *d = c->self.d;
    FT_RETURN(ft_jval__list(r, FT_J_LIST, d->n, out));
    FT_RETURN(ft_jval__list(r, FT_J_LIST, d->n, &keys));
    for (size_t i = 0; i < d->n; i++) {
        FT_RETURN(ft_jval__list(r, FT_J_TUPLE, 2, &pair));
        FT_RETURN(ft_jlist__put(r, pair.l, d->keys[i]));
        FT_RETURN(ft_jlist__put(r, pair.l, d->values[i]));
        FT_RETURN(ft_jlist__put(r, out->l, pair));
        FT_RETURN(key_of(r, by_value ? d->values[i] : d->keys[i], ft_j_none(), sensitive, &key));
        FT_RETURN(ft_jlist__put(r, keys.l, key));
    }
    return d->n ? merge_sort(r, out->l->p, keys.l->p, d->n, ft_jval__truth(c->a[2])) : FT_OK;
}

static ft_status extreme(ft_jrun *r, ft_jcall *c, int sign, ft_jval *out)
{
    ft_jlist *l;
    ft_jval best, key;
    FT_RETURN(ft_jval__items(r, c->self, &l));
    *out = ft_j_undefined("the best of no items");
    for (size_t i = 0; i < l->n; i++) {
        int order = 0;
        FT_RETURN(key_of(r, l->p[i], c->a[1], ft_jval__truth(c->a[0]), &key));
        if (i)
            FT_RETURN(ft_jval__order(r, key, best, &order));
        if (i && order * sign <= 0)
            continue;
        best = key;
        *out = l->p[i];
    }
    return FT_OK;
}

ft_status ft_jfilter_max(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return extreme(r, c, 1, out);
}

ft_status ft_jfilter_min(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return extreme(r, c, -1, out);
}

ft_status ft_jfilter_unique(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jlist *l;
    ft_jval seen, list, key;
    bool there;
    FT_RETURN(ft_jval__items(r, c->self, &l));
    FT_RETURN(ft_jval__list(r, FT_J_LIST, 0, &seen));
    FT_RETURN(ft_jval__list(r, FT_J_ITER, 0, &list));
    for (size_t i = 0; i < l->n; i++) {
        FT_RETURN(key_of(r, l->p[i], c->a[1], ft_jval__truth(c->a[0]), &key));
        FT_RETURN(ft_jval__contains(r, seen, key, &there));
        if (there)
            continue;
        FT_RETURN(ft_jlist__put(r, seen.l, key));
        FT_RETURN(ft_jlist__put(r, list.l, l->p[i]));
    }
    *out = list;
    return FT_OK;
}

ft_status ft_jfilter_sum(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jlist *l;
    ft_jnode plus = {.kind = FT_JN_BINARY, .line = r->at->line, .op = "+"};
    FT_RETURN(ft_jval__items(r, c->self, &l));
    *out = c->given[1] ? c->a[1] : ft_j_int(0);
    for (size_t i = 0; i < l->n; i++) {
        ft_jnode a = {.kind = FT_JN_CONST, .line = plus.line, .value = *out}, b = a;
        const ft_jnode *at = r->at;
        FT_RETURN(maybe_at_path(r, l->p[i], c->a[0], &b.value));
        plus.a = &a;
        plus.b = &b;
        FT_RETURN(ft_jinja__eval(r, &plus, out));
        r->at = at;
    }
    return FT_OK;
}

/* ---- maps ---- */

ft_status ft_jfilter_items(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    ft_jval pair;
    if (c->self.kind != FT_J_DICT && c->self.kind != FT_J_UNDEFINED)
        return ft_jrun__fail(r, "items of %s", ft_jval__type(c->self));
    FT_RETURN(ft_jval__list(r, FT_J_ITER, 0, out));
    for (size_t i = 0; c->self.kind == FT_J_DICT && i < c->self.d->n; i++) {
        FT_RETURN(ft_jval__list(r, FT_J_TUPLE, 2, &pair));
        FT_RETURN(ft_jlist__put(r, pair.l, c->self.d->keys[i]));
        FT_RETURN(ft_jlist__put(r, pair.l, c->self.d->values[i]));
        FT_RETURN(ft_jlist__put(r, out->l, pair));
    }
    return FT_OK;
}

/* ---- map, select ---- */

/* What is false has no items here, none and 0 too. */
static ft_status items_if_any(ft_jrun *r, ft_jval v, ft_jlist **out)
{
    return ft_jval__items(r, ft_jval__truth(v) ? v : ft_j_undefined(NULL), out);
}

/* args behind the first n. */
static ft_jargs behind(const ft_jargs *args, size_t n)
{
    ft_jargs rest = *args;
    rest.p += n;
    rest.n -= n;
    return rest;
}

static ft_status row_named(ft_jrun *r, ft_jval name, const ft_jcallee *(*find)(ft_str), const char *what,
                           const ft_jcallee **out)
{
    if (name.kind != FT_J_STR)
        return ft_jrun__fail(r, "expected the name of a %s, found %s", what, ft_jval__type(name));
    if (!(*out = find((ft_str){name.s->p, name.s->n})))
        return ft_jrun__fail(r, "there is no %s \"%.*s\"", what, (int)FT_MIN(name.s->n, (size_t)60), name.s->p);
    return FT_OK;
}

/* map(attribute="x", default=y) or map("filter", arguments) */
static ft_status map_one(ft_jrun *r, ft_jcall *c, const ft_jcallee *filter, ft_jval item, ft_jval *out)
{
    ft_jval path = ft_j_none(), fallback = ft_j_undefined(NULL);
    ft_jargs rest = behind(c->args, filter != NULL);
    if (filter)
        return ft_jinja__call(r, filter, item, &rest, out);
    for (size_t i = 0; i < c->args->n_named; i++) {
        bool attribute = ft_str_is(c->args->names[i], "attribute");
        if (!attribute && !ft_str_is(c->args->names[i], "default"))
            return ft_jrun__fail(r, "map expects attribute or default, found \"%.*s\"", (int)c->args->names[i].n,
                                 c->args->names[i].p);
        *(attribute ? &path : &fallback) = c->args->named[i];
    }
    if (path.kind == FT_J_NONE)
        return ft_jrun__fail(r, "map expects a filter or an attribute");
    FT_RETURN(at_path(r, item, path, out));
    if (out->kind == FT_J_UNDEFINED && fallback.kind != FT_J_UNDEFINED)
        *out = fallback;
    return FT_OK;
}

ft_status ft_jfilter_map(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    const ft_jcallee *filter = NULL;
    ft_jlist *l;
    ft_jval v, list;
    if (c->args->n)
        FT_RETURN(row_named(r, c->args->p[0], ft_jinja__filter, "filter", &filter));
    FT_RETURN(items_if_any(r, c->self, &l));
    FT_RETURN(ft_jval__list(r, FT_J_ITER, l->n, &list));
    for (size_t i = 0; i < l->n; i++) {
        FT_RETURN(ft_jrun__enter(r));
        FT_RETURN(map_one(r, c, filter, l->p[i], &v));
        r->depth--;
        FT_RETURN(ft_jlist__put(r, list.l, v));
    }
    *out = list;
    return FT_OK;
}

/* The items whose value (at a path, with `attribute`) passes the test, or does not. */
static ft_status select_items(ft_jrun *r, ft_jcall *c, bool attribute, bool keep, ft_jval *out)
{
    const ft_jcallee *test = NULL;
    ft_jlist *l;
    ft_jval v, list;
    size_t n = attribute;
    if (c->args->n < n)
        return ft_jrun__fail(r, "expected an attribute");
    if (c->args->n > n)
        FT_RETURN(row_named(r, c->args->p[n], ft_jinja__test, "test", &test));
    ft_jargs rest = behind(c->args, n + (test != NULL));
    FT_RETURN(items_if_any(r, c->self, &l));
    FT_RETURN(ft_jval__list(r, FT_J_ITER, 0, &list));
    for (size_t i = 0; i < l->n; i++) {
        v = l->p[i];
        if (attribute)
            FT_RETURN(at_path(r, v, c->args->p[0], &v));
        if (test)
            FT_RETURN(ft_jinja__call(r, test, v, &rest, &v));
        if (ft_jval__truth(v) == keep)
            FT_RETURN(ft_jlist__put(r, list.l, l->p[i]));
    }
    *out = list;
    return FT_OK;
}

ft_status ft_jfilter_select(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return select_items(r, c, false, true, out);
}

ft_status ft_jfilter_reject(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return select_items(r, c, false, false, out);
}

ft_status ft_jfilter_selectattr(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return select_items(r, c, true, true, out);
}

ft_status ft_jfilter_rejectattr(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return select_items(r, c, true, false, out);
}
