/* Jinja, expressions: a function for each kind of node. The rules are Python's and Jinja's: what is not there is
 * undefined, which prints as nothing, is false, and may not be looked into, called or computed with.
 */
#include "text/jinja_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REPEAT = 1 << 20 };

typedef ft_status (*eval_fn)(ft_jrun *r, const ft_jnode *n, ft_jval *out);

static ft_status eval_const(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    *out = n->value;
    return FT_OK;
}

static ft_status eval_name(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    ft_jbound *bound;
    const ft_jcallee *f;
    if (ft_jscope__find(r->scope, n->name, out))
        return FT_OK;
    char *hint = ft_jmem__get(&r->mem, n->name.n + 1, 1);
    if (!hint)
        return FT_ENOMEM;
    memcpy(hint, n->name.p, n->name.n);
    *out = ft_j_undefined(hint);
    if (!(f = ft_jinja__function(n->name)))
        return FT_OK;
    if (!(bound = ft_jmem__get(&r->mem, 1, sizeof *bound)))
        return FT_ENOMEM;
    bound->callee = f;
    *out = (ft_jval){.kind = FT_J_CALLEE, .bound = bound};
    return FT_OK;
}

static ft_status put_items(ft_jrun *r, const ft_jnode *n, ft_jkind kind, ft_jval *out)
{
    FT_RETURN(ft_jval__list(r, kind, 0, out));
    for (const ft_jnode *i = n->items; i; i = i->next) {
        ft_jval v;
        FT_RETURN(ft_jinja__eval(r, i, &v));
        FT_RETURN(ft_jlist__put(r, out->l, v));
    }
    return FT_OK;
}

static ft_status eval_list(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    return put_items(r, n, FT_J_LIST, out);
}

static ft_status eval_tuple(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    return put_items(r, n, FT_J_TUPLE, out);
}

static ft_status eval_dict(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    FT_RETURN(ft_jval__dict(r, FT_J_DICT, out));
    for (const ft_jnode *i = n->items; i; i = i->next->next) {
        ft_jval key, value;
        FT_RETURN(ft_jinja__eval(r, i, &key));
        FT_RETURN(ft_jinja__eval(r, i->next, &value));
        if (key.kind == FT_J_LIST || key.kind == FT_J_DICT)
            return ft_jrun__fail(r, "%s is a key", ft_jval__type(key));
        FT_RETURN(ft_jdict__put(r, out->d, key, value));
    }
    return FT_OK;
}

static ft_status eval_attr(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    ft_jval of;
    FT_RETURN(ft_jinja__eval(r, n->a, &of));
    r->at = n;
    return ft_jval__attr(r, of, n->name, out);
}

static ft_status eval_index(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    ft_jval of, key;
    FT_RETURN(ft_jinja__eval(r, n->a, &of));
    FT_RETURN(ft_jinja__eval(r, n->b, &key));
    r->at = n;
    return ft_jval__item(r, of, key, out);
}

/* ---- slices ---- */

static ft_status bound_of(ft_jrun *r, const ft_jnode *n, int64_t absent, int64_t *out)
{
    ft_jval v = ft_j_none();
    if (n)
        FT_RETURN(ft_jinja__eval(r, n, &v));
    if (v.kind != FT_J_NONE && v.kind != FT_J_INT && v.kind != FT_J_BOOL)
        return ft_jrun__fail(r, "%s is a slice's bound", ft_jval__type(v));
    *out = v.kind == FT_J_NONE ? absent : v.kind == FT_J_BOOL ? (int64_t)v.b : v.i;
    return FT_OK;
}

static int64_t clamp(int64_t i, int64_t n, int64_t low, int64_t high)
{
    if (i < 0)
        i = i < -n ? low : i + n;
    return FT_MIN(FT_MAX(i, low), high);
}

static ft_status eval_slice(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    ft_jval of;
    ft_jlist *l;
    int64_t from, to, step;
    FT_RETURN(ft_jinja__eval(r, n->a, &of));
    FT_RETURN(bound_of(r, n->d, 1, &step));
    r->at = n;
    if (of.kind == FT_J_UNDEFINED) {
        *out = of;
        return ft_jrun__fail(r, "a slice of something undefined");
    }
    if (of.kind != FT_J_LIST && of.kind != FT_J_TUPLE && of.kind != FT_J_STR) {
        *out = ft_j_undefined("a slice");
        return FT_OK;
    }
    if (step == 0)
        return ft_jrun__fail(r, "a slice of step 0");
    FT_RETURN(ft_jval__items(r, of, &l));
    int64_t count = (int64_t)l->n, low = step < 0 ? -1 : 0, high = step < 0 ? count - 1 : count;
    FT_RETURN(bound_of(r, n->b, step < 0 ? INT64_MAX : 0, &from));
    FT_RETURN(bound_of(r, n->c, step < 0 ? INT64_MIN : INT64_MAX, &to));
    from = clamp(from, count, low, high);
    to = clamp(to, count, low, high);
    ft_jval part;
    ft_jtext text = {0};
    FT_RETURN(ft_jval__list(r, of.kind == FT_J_TUPLE ? FT_J_TUPLE : FT_J_LIST, 0, &part));
    step = FT_MIN(FT_MAX(step, -count - 1), count + 1);
    for (int64_t i = from; step > 0 ? i < to : i > to; i += step) {
        if (of.kind == FT_J_STR)
            FT_RETURN(ft_jtext__put_str(r, &text, l->p[i].s));
        else
            FT_RETURN(ft_jlist__put(r, part.l, l->p[i]));
    }
    *out = part;
    return of.kind == FT_J_STR ? ft_jtext__done(r, &text, of.s->safe, out) : FT_OK;
}

/* ---- calls ---- */

static ft_status eval_arguments(ft_jrun *r, const ft_jnode *items, ft_jargs *out)
{
    size_t n = 0;
    for (const ft_jnode *i = items; i; i = i->next)
        n++;
    ft_str *names = ft_jmem__get(&r->mem, n, sizeof *names);
    *out = (ft_jargs){.p = ft_jmem__get(&r->mem, n, sizeof *out->p),
                      .named = ft_jmem__get(&r->mem, n, sizeof *out->named),
                      .names = names};
    if (!out->p || !out->named || !names)
        return FT_ENOMEM;
    for (const ft_jnode *i = items; i; i = i->next) {
        ft_jval v;
        FT_RETURN(ft_jinja__eval(r, i->a, &v));
        if (i->name.p) {
            names[out->n_named] = i->name;
            out->named[out->n_named++] = v;
        } else {
            out->p[out->n++] = v;
        }
    }
    return FT_OK;
}

ft_status ft_jinja__call_value(ft_jrun *r, ft_jval f, const ft_jargs *args, ft_jval *out)
{
    if (f.kind == FT_J_CALLEE)
        return ft_jinja__call(r, f.bound->callee, f.bound->self, args, out);
    if (f.kind == FT_J_MACRO)
        return ft_jinja__call_macro(r, f.macro, args, out);
    if (f.kind == FT_J_UNDEFINED)
        return ft_jrun__fail(r, "\"%s\" is undefined and called", f.hint ? f.hint : "a value");
    return ft_jrun__fail(r, "%s is called", ft_jval__type(f));
}

static ft_status eval_call(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    ft_jval f;
    ft_jargs args;
    FT_RETURN(ft_jinja__eval(r, n->a, &f));
    FT_RETURN(eval_arguments(r, n->items, &args));
    r->at = n;
    return ft_jinja__call_value(r, f, &args, out);
}

static ft_status eval_filter(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    ft_jval of;
    ft_jargs args;
    FT_RETURN(ft_jinja__eval(r, n->a, &of));
    FT_RETURN(eval_arguments(r, n->items, &args));
    r->at = n;
    return ft_jinja__call(r, n->callee, of, &args, out);
}

/* ---- operators ---- */

static ft_status eval_not(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    FT_RETURN(ft_jinja__eval(r, n->a, out));
    *out = ft_j_bool(ft_jval__truth(*out) != (strcmp(n->op, "not") == 0));
    return FT_OK;
}

static ft_status eval_and(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    FT_RETURN(ft_jinja__eval(r, n->a, out));
    return ft_jval__truth(*out) ? ft_jinja__eval(r, n->b, out) : FT_OK;
}

static ft_status eval_or(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    FT_RETURN(ft_jinja__eval(r, n->a, out));
    return ft_jval__truth(*out) ? FT_OK : ft_jinja__eval(r, n->b, out);
}

static ft_status eval_if(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    ft_jval condition;
    FT_RETURN(ft_jinja__eval(r, n->b, &condition));
    if (ft_jval__truth(condition))
        return ft_jinja__eval(r, n->a, out);
    *out = ft_j_undefined("an if without else");
    return n->c ? ft_jinja__eval(r, n->c, out) : FT_OK;
}

static ft_status eval_unary(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    FT_RETURN(ft_jinja__eval(r, n->a, out));
    r->at = n;
    if (!ft_jval__is_number(*out))
        return ft_jrun__fail(r, "%s before %s", n->op, ft_jval__type(*out));
    int sign = *n->op == '-' ? -1 : 1;
    int64_t i = out->kind == FT_J_BOOL ? (int64_t)out->b : out->kind == FT_J_INT ? out->i : 0;
    if (i == INT64_MIN)
        return ft_jrun__fail(r, "a number beyond 64 bits");
    *out = out->kind == FT_J_FLOAT ? ft_j_float(sign * out->f) : ft_j_int(sign * i);
    return FT_OK;
}

static ft_status refuse_operands(ft_jrun *r, const char *op, ft_jval a, ft_jval b)
{
    ft_jval u = a.kind == FT_J_UNDEFINED ? a : b;
    if (u.kind == FT_J_UNDEFINED)
        return ft_jrun__fail(r, "\"%s\" is undefined and stands beside %s", u.hint ? u.hint : "a value", op);
    return ft_jrun__fail(r, "%s %s %s", ft_jval__type(a), op, ft_jval__type(b));
}

static ft_status repeat(ft_jrun *r, ft_jval v, int64_t times, ft_jval *out)
{
    ft_jtext t = {0};
    ft_jval list;
    if (times > MAX_REPEAT)
        return ft_jrun__fail(r, "a value is repeated %lld times, at most %d are run", (long long)times, MAX_REPEAT);
    FT_RETURN(ft_jval__list(r, v.kind, 0, &list));
    for (int64_t k = 0; k < times; k++) {
        if (v.kind == FT_J_STR)
            FT_RETURN(ft_jtext__put_str(r, &t, v.s));
        for (size_t i = 0; v.kind != FT_J_STR && i < v.l->n; i++)
            FT_RETURN(ft_jlist__put(r, list.l, v.l->p[i]));
    }
    *out = list;
    return v.kind == FT_J_STR ? ft_jtext__done(r, &t, v.s->safe, out) : FT_OK;
}

static ft_status add_texts(ft_jrun *r, const ft_jstr *a, const ft_jstr *b, ft_jval *out)
{
    ft_jtext t = {0};
    bool safe = a->safe || b->safe;
    FT_RETURN(safe ? ft_jtext__put_escaped(r, &t, a) : ft_jtext__put_str(r, &t, a));
    FT_RETURN(safe ? ft_jtext__put_escaped(r, &t, b) : ft_jtext__put_str(r, &t, b));
    return ft_jtext__done(r, &t, safe, out);
}

static ft_status add_lists(ft_jrun *r, ft_jval a, ft_jval b, ft_jval *out)
{
    ft_jval list;
    FT_RETURN(ft_jval__list(r, a.kind, a.l->n + b.l->n, &list));
    for (size_t i = 0; i < a.l->n; i++)
        FT_RETURN(ft_jlist__put(r, list.l, a.l->p[i]));
    for (size_t i = 0; i < b.l->n; i++)
        FT_RETURN(ft_jlist__put(r, list.l, b.l->p[i]));
    *out = list;
    return FT_OK;
}

static ft_status integer_power(ft_jrun *r, int64_t base, int64_t exponent, int64_t *out)
{
    *out = 1;
    for (; exponent > 0; exponent--) {
        FT_RETURN(ft_jrun__work(r, 1));
        if (__builtin_mul_overflow(*out, base, out))
            return ft_jrun__fail(r, "a number beyond 64 bits");
        if (base == 0 || base == 1)
            break;
    }
    return FT_OK;
}

static ft_status integers(ft_jrun *r, char op, bool whole, int64_t a, int64_t b, ft_jval *out)
{
    int64_t v = 0;
    bool over = false;
    switch (op) {
    case '+':
        over = __builtin_add_overflow(a, b, &v);
        break;
    case '-':
        over = __builtin_sub_overflow(a, b, &v);
        break;
    case '*':
        over = __builtin_mul_overflow(a, b, &v);
        break;
    default:
        if (b == 0)
            return ft_jrun__fail(r, "a division by 0");
        if (op == '/' && !whole) {
            *out = ft_j_float((double)a / (double)b);
            return FT_OK;
        }
        if (b == -1) { /* the only quotient beyond 64 bits */
            over = op == '/' && __builtin_sub_overflow((int64_t)0, a, &v);
            break;
        }
        v = op == '/' ? a / b - (a % b != 0 && (a < 0) != (b < 0)) : a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);
    }
    if (over)
        return ft_jrun__fail(r, "a number beyond 64 bits");
    *out = ft_j_int(v);
    return FT_OK;
}

static ft_status floats(ft_jrun *r, char op, bool whole, double a, double b, ft_jval *out)
{
    if ((op == '/' || op == '%') && b == 0)
        return ft_jrun__fail(r, "a division by 0");
    double rest = op == '%' ? fmod(a, b) : 0;
    *out = ft_j_float(op == '+'   ? a + b
                      : op == '-' ? a - b
                      : op == '*' ? a * b
                      : op == '/' ? (whole ? floor(a / b) : a / b)
                                  : rest + (rest != 0 && (rest < 0) != (b < 0) ? b : 0));
    return FT_OK;
}

static ft_status power(ft_jrun *r, ft_jval a, ft_jval b, ft_jval *out)
{
    int64_t v, x = a.kind == FT_J_BOOL ? (int64_t)a.b : a.i, y = b.kind == FT_J_BOOL ? (int64_t)b.b : b.i;
    if (a.kind == FT_J_FLOAT || b.kind == FT_J_FLOAT || y < 0) {
        *out = ft_j_float(pow(ft_jval__number(a), ft_jval__number(b)));
        return FT_OK;
    }
    FT_RETURN(integer_power(r, x, y, &v));
    *out = ft_j_int(v);
    return FT_OK;
}

static ft_status numbers(ft_jrun *r, const char *op, ft_jval a, ft_jval b, ft_jval *out)
{
    bool twice = op[1] != 0;
    if (*op == '*' && twice)
        return power(r, a, b, out);
    if (a.kind == FT_J_FLOAT || b.kind == FT_J_FLOAT)
        return floats(r, *op, twice, ft_jval__number(a), ft_jval__number(b), out);
    return integers(r, *op, twice, a.kind == FT_J_BOOL ? (int64_t)a.b : a.i, b.kind == FT_J_BOOL ? (int64_t)b.b : b.i,
                    out);
}

static ft_status join_as_texts(ft_jrun *r, ft_jval a, ft_jval b, ft_jval *out)
{
    ft_jtext t = {0};
    FT_RETURN(ft_jtext__put_value(r, &t, a));
    FT_RETURN(ft_jtext__put_value(r, &t, b));
    return ft_jtext__done(r, &t, false, out);
}

static bool is_list(ft_jval v)
{
    return v.kind == FT_J_LIST || v.kind == FT_J_TUPLE;
}

static bool repeats(ft_jval what, ft_jval times)
{
    return (what.kind == FT_J_STR || is_list(what)) && (times.kind == FT_J_INT || times.kind == FT_J_BOOL);
}

static int64_t times_of(ft_jval v)
{
    return v.kind == FT_J_BOOL ? (int64_t)v.b : v.i;
}

static ft_status eval_binary(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    ft_jval a, b;
    FT_RETURN(ft_jinja__eval(r, n->a, &a));
    FT_RETURN(ft_jinja__eval(r, n->b, &b));
    r->at = n;
    if (*n->op == '~')
        return join_as_texts(r, a, b, out);
    if (ft_jval__is_number(a) && ft_jval__is_number(b))
        return numbers(r, n->op, a, b, out);
    if (strcmp(n->op, "+") == 0 && a.kind == FT_J_STR && b.kind == FT_J_STR)
        return add_texts(r, a.s, b.s, out);
    if (strcmp(n->op, "+") == 0 && is_list(a) && a.kind == b.kind)
        return add_lists(r, a, b, out);
    if (strcmp(n->op, "*") == 0 && repeats(a, b))
        return repeat(r, a, times_of(b), out);
    if (strcmp(n->op, "*") == 0 && repeats(b, a))
        return repeat(r, b, times_of(a), out);
    if (*n->op == '%' && a.kind == FT_J_STR)
        return ft_jstr__format(r, a.s, b, out);
    return refuse_operands(r, n->op, a, b);
}

static ft_status compare_two(ft_jrun *r, const char *op, ft_jval a, ft_jval b, bool *out)
{
    int order;
    if (*op == '=' || *op == '!') {
        *out = ft_jval__same(r, a, b) == (*op == '=');
        return FT_OK;
    }
    if (*op == 'i' || *op == 'n') {
        FT_RETURN(ft_jval__contains(r, b, a, out));
        *out = *out == (*op == 'i');
        return FT_OK;
    }
    FT_RETURN(ft_jval__order(r, a, b, &order));
    *out = (op[1] == '=' && order == 0) || (*op == '<' ? order < 0 : order > 0);
    if ((a.kind == FT_J_FLOAT && isnan(a.f)) || (b.kind == FT_J_FLOAT && isnan(b.f)))
        *out = false;
    return FT_OK;
}

static ft_status eval_compare(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    ft_jval a, b;
    bool holds = true;
    FT_RETURN(ft_jinja__eval(r, n->a, &a));
    for (const ft_jnode *i = n->items; i && holds; i = i->next) {
        FT_RETURN(ft_jinja__eval(r, i->a, &b));
        r->at = n;
        FT_RETURN(compare_two(r, i->op, a, b, &holds));
        a = b;
    }
    *out = ft_j_bool(holds);
    return FT_OK;
}

static const eval_fn evals[FT_JN_EXPRESSIONS] = {
    [FT_JN_CONST] = eval_const,   [FT_JN_NAME] = eval_name,       [FT_JN_LIST] = eval_list,
    [FT_JN_TUPLE] = eval_tuple,   [FT_JN_DICT] = eval_dict,       [FT_JN_ATTR] = eval_attr,
    [FT_JN_INDEX] = eval_index,   [FT_JN_SLICE] = eval_slice,     [FT_JN_CALL] = eval_call,
    [FT_JN_FILTER] = eval_filter, [FT_JN_TEST] = eval_filter,     [FT_JN_UNARY] = eval_unary,
    [FT_JN_BINARY] = eval_binary, [FT_JN_COMPARE] = eval_compare, [FT_JN_AND] = eval_and,
    [FT_JN_OR] = eval_or,         [FT_JN_NOT] = eval_not,         [FT_JN_IF] = eval_if};

ft_status ft_jinja__eval(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    r->at = n;
    FT_RETURN(ft_jrun__work(r, 1));
    FT_RETURN(ft_jrun__enter(r));
    FT_RETURN(evals[n->kind](r, n, out));
    r->depth--;
    return FT_OK;
}
