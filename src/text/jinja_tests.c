/* Tests: `is`. */
#include "text/jinja_impl.h"

#define FT_JINJA_TEST(name, function, parameters) ft_status function(ft_jrun *r, ft_jcall *c, ft_jval *out);
#include "text/jinja_tests.def"
#undef FT_JINJA_TEST

#define KIND_TEST(name, condition)                                                                                     \
    ft_status ft_jtest_##name(ft_jrun *r, ft_jcall *c, ft_jval *out)                                                   \
    {                                                                                                                  \
        ft_jval v = c->self;                                                                                           \
        *out = ft_j_bool(condition);                                                                                   \
        return FT_OK;                                                                                                  \
    }

KIND_TEST(boolean, v.kind == FT_J_BOOL)
KIND_TEST(callable, v.kind == FT_J_CALLEE || v.kind == FT_J_MACRO)
KIND_TEST(defined, v.kind != FT_J_UNDEFINED)
KIND_TEST(undefined, v.kind == FT_J_UNDEFINED)
KIND_TEST(none, v.kind == FT_J_NONE)
KIND_TEST(true, v.kind == FT_J_BOOL && v.b)
KIND_TEST(false, v.kind == FT_J_BOOL && !v.b)
KIND_TEST(integer, v.kind == FT_J_INT)
KIND_TEST(float, v.kind == FT_J_FLOAT)
KIND_TEST(number, ft_jval__is_number(v))
KIND_TEST(string, v.kind == FT_J_STR)
KIND_TEST(mapping, v.kind == FT_J_DICT)
KIND_TEST(sequence, v.kind == FT_J_STR || v.kind == FT_J_LIST || v.kind == FT_J_TUPLE || v.kind == FT_J_DICT ||
                        v.kind == FT_J_UNDEFINED)
KIND_TEST(iterable, v.kind == FT_J_STR || v.kind == FT_J_LIST || v.kind == FT_J_TUPLE || v.kind == FT_J_ITER ||
                        v.kind == FT_J_DICT || v.kind == FT_J_LOOP || v.kind == FT_J_UNDEFINED)
KIND_TEST(filter, v.kind == FT_J_STR && ft_jinja__filter((ft_str){v.s->p, v.s->n}))
KIND_TEST(test, v.kind == FT_J_STR && ft_jinja__test((ft_str){v.s->p, v.s->n}))

static ft_status remainder_is(ft_jrun *r, ft_jval v, ft_jval by, int64_t expected, ft_jval *out)
{
    if (v.kind != FT_J_INT || by.kind != FT_J_INT || by.i == 0)
        return ft_jrun__fail(r, "%s divided by %s", ft_jval__type(v), by.kind == FT_J_INT ? "0" : ft_jval__type(by));
    int64_t rest = by.i == -1 ? 0 : v.i % by.i;
    *out = ft_j_bool((rest < 0 ? -rest : rest) == expected);
    return FT_OK;
}

ft_status ft_jtest_odd(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return remainder_is(r, c->self, ft_j_int(2), 1, out);
}

ft_status ft_jtest_even(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return remainder_is(r, c->self, ft_j_int(2), 0, out);
}

ft_status ft_jtest_divisibleby(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return remainder_is(r, c->self, c->a[0], 0, out);
}

ft_status ft_jtest_eq(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    *out = ft_j_bool(ft_jval__same(r, c->self, c->a[0]));
    return FT_OK;
}

ft_status ft_jtest_ne(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    *out = ft_j_bool(!ft_jval__same(r, c->self, c->a[0]));
    return FT_OK;
}

static ft_status ordered(ft_jrun *r, ft_jcall *c, int sign, bool equal, ft_jval *out)
{
    int order;
    FT_RETURN(ft_jval__order(r, c->self, c->a[0], &order));
    *out = ft_j_bool((equal && order == 0) || (sign < 0 ? order < 0 : order > 0));
    return FT_OK;
}

ft_status ft_jtest_lt(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return ordered(r, c, -1, false, out);
}

ft_status ft_jtest_le(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return ordered(r, c, -1, true, out);
}

ft_status ft_jtest_gt(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return ordered(r, c, 1, false, out);
}

ft_status ft_jtest_ge(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return ordered(r, c, 1, true, out);
}

ft_status ft_jtest_in(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    bool is;
    FT_RETURN(ft_jval__contains(r, c->a[0], c->self, &is));
    *out = ft_j_bool(is);
    return FT_OK;
}

ft_status ft_jtest_sameas(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    *out = ft_j_bool(c->self.kind == c->a[0].kind && ft_jval__same(r, c->self, c->a[0]));
    return FT_OK;
}

/* Some letter has a case, and all that have are in this one. */
static ft_status in_case(ft_jrun *r, ft_jcall *c, ft_jcase how, ft_jcase other, ft_jval *out)
{
    const ft_jstr *s;
    ft_jval same, changed;
    FT_RETURN(ft_jval__to_str(r, c->self, &s));
    FT_RETURN(ft_jstr__cased(r, s, how, &same));
    FT_RETURN(ft_jstr__cased(r, s, other, &changed));
    ft_jval self = {.kind = FT_J_STR, .s = s};
    *out = ft_j_bool(ft_jval__same(r, self, same) && !ft_jval__same(r, self, changed));
    return FT_OK;
}

ft_status ft_jtest_lower(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return in_case(r, c, FT_J_LOWER, FT_J_UPPER, out);
}

ft_status ft_jtest_upper(ft_jrun *r, ft_jcall *c, ft_jval *out)
{
    return in_case(r, c, FT_J_UPPER, FT_J_LOWER, out);
}
