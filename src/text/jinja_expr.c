/* Jinja, tokens to the tree of an expression. From loosest to tightest:
 *
 *   a if b else c | or | and | not | == != < <= > >= in, not in | + - | ~ | * / // % | ** | - + before | .x [x] (x) |
 *   |filter, is test
 *
 * Filters and tests bind like what stands behind a value; `is` may have one argument without parentheses.
 */
#include "text/jinja_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 200 };

ft_status ft_jparser__enter(ft_jparser *p)
{
    if (++p->depth > MAX_DEPTH)
        return ft_jparser__fail(p, FT_EFORMAT, "constructs within constructs past %d", MAX_DEPTH);
    return FT_OK;
}

static bool is_operator(const ft_jparser *p, const char *s)
{
    return p->at->kind == FT_JT_OPERATOR && ft_str_is(p->at->text, s);
}

static bool is_name(const ft_jparser *p, const char *s)
{
    return p->at->kind == FT_JT_NAME && ft_str_is(p->at->text, s);
}

bool ft_jparser__is(const ft_jparser *p, const char *s)
{
    return is_operator(p, s) || is_name(p, s);
}

bool ft_jparser__take(ft_jparser *p, const char *s)
{
    bool is = ft_jparser__is(p, s);
    p->at += is;
    return is;
}

ft_status ft_jparser__expect(ft_jparser *p, const char *s)
{
    if (ft_jparser__take(p, s))
        return FT_OK;
    return ft_jparser__fail(p, FT_EFORMAT, "expected \"%s\"", s);
}

typedef ft_status (*parse_fn)(ft_jparser *p, const ft_jnode **out);

static ft_status unary(ft_jparser *p, bool filters, const ft_jnode **out);

static ft_status two(ft_jparser *p, ft_jnode_kind kind, const char *op, const ft_jnode *a, const ft_jnode *b,
                     const ft_jnode **out)
{
    ft_jnode *n;
    FT_RETURN(ft_jparser__node(p, kind, &n));
    n->op = op;
    n->a = a;
    n->b = b;
    *out = n;
    return FT_OK;
}

static ft_status constant(ft_jparser *p, ft_jval v, const ft_jnode **out)
{
    ft_jnode *n;
    FT_RETURN(ft_jparser__node(p, FT_JN_CONST, &n));
    n->value = v;
    *out = n;
    return FT_OK;
}

/* ---- values ---- */

static ft_status number(ft_jparser *p, const ft_jnode **out)
{
    char text[64];
    size_t n = 0;
    ft_jval v;
    for (size_t i = 0; i < p->at->text.n; i++) {
        if (n + 1 == sizeof text)
            return ft_jparser__fail(p, FT_EFORMAT, "a number of too many digits");
        if (p->at->text.p[i] != '_')
            text[n++] = p->at->text.p[i];
    }
    text[n] = 0;
    errno = 0;
    v = p->at->kind == FT_JT_INT ? ft_j_int(strtoll(text, NULL, 10)) : ft_j_float(strtod(text, NULL));
    if (errno && v.kind == FT_J_INT)
        return ft_jparser__fail(p, FT_EUNSUPPORTED, "a number beyond 64 bits");
    p->at++;
    return constant(p, v, out);
}

/* Neighbouring texts are one. */
static ft_status string(ft_jparser *p, const ft_jnode **out)
{
    size_t n = 0;
    for (const ft_jtoken *t = p->at; t->kind == FT_JT_STRING; t++)
        n += t->text.n;
    ft_jstr *s = ft_jmem__get(&p->t->mem, 1, sizeof *s);
    char *text = ft_jmem__get(&p->t->mem, n + 1, 1);
    if (!s || !text)
        return FT_ENOMEM;
    *s = (ft_jstr){.p = text};
    for (; p->at->kind == FT_JT_STRING; p->at++) {
        if (p->at->text.n)
            memcpy(text + s->n, p->at->text.p, p->at->text.n);
        s->n += p->at->text.n;
    }
    return constant(p, (ft_jval){.kind = FT_J_STR, .s = s}, out);
}

static ft_status name(ft_jparser *p, const ft_jnode **out)
{
    static const struct {
        const char *word;
        ft_jval value;
    } words[] = {{"true", {.kind = FT_J_BOOL, .b = true}},
                 {"True", {.kind = FT_J_BOOL, .b = true}},
                 {"false", {.kind = FT_J_BOOL, .b = false}},
                 {"False", {.kind = FT_J_BOOL, .b = false}},
                 {"none", {.kind = FT_J_NONE}},
                 {"None", {.kind = FT_J_NONE}}};
    ft_jnode *n;
    for (size_t i = 0; i < FT_COUNT(words); i++)
        if (is_name(p, words[i].word)) {
            p->at++;
            return constant(p, words[i].value, out);
        }
    FT_RETURN(ft_jparser__node(p, FT_JN_NAME, &n));
    n->name = p->at->text;
    p->t->dated |= ft_str_is(n->name, "strftime_now");
    p->at++;
    *out = n;
    return FT_OK;
}

/* Expressions with commas between, up to `close`, at *tail of a list. */
static ft_status append(const ft_jnode ***tail, const ft_jnode *item)
{
    **tail = item;
    *tail = &((ft_jnode *)item)->next;
    return FT_OK;
}

static ft_status list(ft_jparser *p, const ft_jnode **out)
{
    ft_jnode *n;
    const ft_jnode *item, **tail;
    FT_RETURN(ft_jparser__node(p, FT_JN_LIST, &n));
    tail = &n->items;
    p->at++;
    while (!ft_jparser__take(p, "]")) {
        if (n->items)
            FT_RETURN(ft_jparser__expect(p, ","));
        if (n->items && ft_jparser__take(p, "]"))
            break;
        FT_RETURN(ft_jparser__expression(p, &item));
        FT_RETURN(append(&tail, item));
    }
    *out = n;
    return FT_OK;
}

static ft_status dict(ft_jparser *p, const ft_jnode **out)
{
    ft_jnode *n;
    const ft_jnode *item, **tail;
    FT_RETURN(ft_jparser__node(p, FT_JN_DICT, &n));
    tail = &n->items;
    p->at++;
    while (!ft_jparser__take(p, "}")) {
        if (n->items)
            FT_RETURN(ft_jparser__expect(p, ","));
        if (n->items && ft_jparser__take(p, "}"))
            break;
        FT_RETURN(ft_jparser__expression(p, &item));
        FT_RETURN(append(&tail, item));
        FT_RETURN(ft_jparser__expect(p, ":"));
        FT_RETURN(ft_jparser__expression(p, &item));
        FT_RETURN(append(&tail, item));
    }
    *out = n;
    return FT_OK;
}

static bool ends_tuple(const ft_jparser *p)
{
    return p->at->kind == FT_JT_PUT_END || p->at->kind == FT_JT_BLOCK_END || p->at->kind == FT_JT_END ||
           is_operator(p, ")") || is_operator(p, "=") || is_name(p, "in") || is_name(p, "if") || is_name(p, "else");
}

/* item, item ... : a tuple as soon as there is a comma. */
static ft_status tuple_of(ft_jparser *p, parse_fn parse, bool empty, const ft_jnode **out)
{
    const ft_jnode *first = NULL, *item, **tail = &first;
    bool comma = false;
    while (!ends_tuple(p)) {
        FT_RETURN(parse(p, &item));
        FT_RETURN(append(&tail, item));
        if (!is_operator(p, ","))
            break;
        comma = true;
        p->at++;
    }
    if (!comma && first) {
        *out = first;
        return FT_OK;
    }
    if (!first && !empty)
        return ft_jparser__fail(p, FT_EFORMAT, "expected an expression");
    ft_jnode *n;
    FT_RETURN(ft_jparser__node(p, FT_JN_TUPLE, &n));
    n->items = first;
    *out = n;
    return FT_OK;
}

ft_status ft_jparser__tuple(ft_jparser *p, bool conditions, const ft_jnode **out)
{
    return tuple_of(p, conditions ? ft_jparser__expression : ft_jparser__or, false, out);
}

static ft_status primary(ft_jparser *p, const ft_jnode **out)
{
    switch (p->at->kind) {
    case FT_JT_NAME:
        return name(p, out);
    case FT_JT_STRING:
        return string(p, out);
    case FT_JT_INT:
    case FT_JT_FLOAT:
        return number(p, out);
    default:
        break;
    }
    if (is_operator(p, "["))
        return list(p, out);
    if (is_operator(p, "{"))
        return dict(p, out);
    if (!ft_jparser__take(p, "("))
        return ft_jparser__fail(p, FT_EFORMAT, "expected an expression");
    FT_RETURN(tuple_of(p, ft_jparser__expression, true, out));
    return ft_jparser__expect(p, ")");
}

/* ---- what stands behind a value ---- */

/* Arguments behind "(", which was read: nodes whose name is their keyword. */
static ft_status arguments(ft_jparser *p, const ft_jnode **out)
{
    const ft_jnode **tail = out, *value;
    bool named = false;
    *out = NULL;
    while (!ft_jparser__take(p, ")")) {
        ft_jnode *n;
        if (*out)
            FT_RETURN(ft_jparser__expect(p, ","));
        if (*out && ft_jparser__take(p, ")"))
            break;
        if (is_operator(p, "*") || is_operator(p, "**"))
            return ft_jparser__fail(p, FT_EUNSUPPORTED, "arguments behind * are not run");
        FT_RETURN(ft_jparser__node(p, FT_JN_CONST, &n));
        if (p->at->kind == FT_JT_NAME && p->at[1].kind == FT_JT_OPERATOR && ft_str_is(p->at[1].text, "=")) {
            n->name = p->at->text;
            p->at += 2;
            named = true;
        } else if (named) {
            return ft_jparser__fail(p, FT_EFORMAT, "an argument without a name behind one with a name");
        }
        FT_RETURN(ft_jparser__expression(p, &value));
        n->a = value;
        FT_RETURN(append(&tail, n));
    }
    return FT_OK;
}

static ft_status subscript(ft_jparser *p, const ft_jnode *of, const ft_jnode **out)
{
    ft_jnode *n;
    const ft_jnode *part[3] = {NULL, NULL, NULL};
    int colons = 0;
    FT_RETURN(ft_jparser__node(p, FT_JN_INDEX, &n));
    p->at++;
    while (!is_operator(p, "]")) {
        if (is_operator(p, ":")) {
            if (++colons > 2)
                return ft_jparser__fail(p, FT_EFORMAT, "a slice of more than three parts");
            p->at++;
            continue;
        }
        if (part[colons])
            return ft_jparser__fail(p, FT_EFORMAT, "expected \"]\"");
        FT_RETURN(ft_jparser__expression(p, &part[colons]));
    }
    p->at++;
    if (!colons && !part[0])
        return ft_jparser__fail(p, FT_EFORMAT, "expected an expression");
    n->kind = colons ? FT_JN_SLICE : FT_JN_INDEX;
    n->a = of;
    n->b = part[0];
    n->c = part[1];
    n->d = part[2];
    *out = n;
    return FT_OK;
}

static ft_status attribute(ft_jparser *p, const ft_jnode *of, const ft_jnode **out)
{
    ft_jnode *n;
    FT_RETURN(ft_jparser__node(p, FT_JN_ATTR, &n));
    p->at++;
    n->a = of;
    n->name = p->at->text;
    if (p->at->kind == FT_JT_INT) { /* x.0 */
        const ft_jnode *index;
        FT_RETURN(number(p, &index));
        n->kind = FT_JN_INDEX;
        n->b = index;
    } else if (p->at->kind == FT_JT_NAME) {
        p->at++;
    } else {
        return ft_jparser__fail(p, FT_EFORMAT, "expected a name behind \".\"");
    }
    *out = n;
    return FT_OK;
}

static ft_status call(ft_jparser *p, const ft_jnode *of, const ft_jnode **out)
{
    ft_jnode *n;
    FT_RETURN(ft_jparser__node(p, FT_JN_CALL, &n));
    p->at++;
    n->a = of;
    FT_RETURN(arguments(p, &n->items));
    *out = n;
    return FT_OK;
}

ft_status ft_jparser__filters(ft_jparser *p, const ft_jnode *inner, const ft_jnode **out)
{
    do {
        ft_jnode *n;
        FT_RETURN(ft_jparser__node(p, FT_JN_FILTER, &n));
        if (p->at->kind != FT_JT_NAME)
            return ft_jparser__fail(p, FT_EFORMAT, "expected a filter's name");
        n->name = p->at->text;
        n->a = inner;
        if (!(n->callee = ft_jinja__filter(n->name)))
            return ft_jparser__fail(p, FT_EUNSUPPORTED, "there is no filter \"%.*s\"", (int)n->name.n, n->name.p);
        p->at++;
        if (ft_jparser__take(p, "("))
            FT_RETURN(arguments(p, &n->items));
        inner = n;
    } while (ft_jparser__take(p, "|"));
    *out = inner;
    return FT_OK;
}

static ft_status postfix(ft_jparser *p, const ft_jnode **n);

/* The one argument of a test that stands there without parentheses. */
static bool begins_argument(const ft_jparser *p)
{
    switch (p->at->kind) {
    case FT_JT_NAME:
        return !is_name(p, "else") && !is_name(p, "or") && !is_name(p, "and") && !is_name(p, "is") &&
               !is_name(p, "if") && !is_name(p, "in") && !is_name(p, "not");
    case FT_JT_STRING:
    case FT_JT_INT:
    case FT_JT_FLOAT:
        return true;
    default:
        return is_operator(p, "[") || is_operator(p, "{");
    }
}

static ft_status test(ft_jparser *p, const ft_jnode *of, const ft_jnode **out)
{
    ft_jnode *n, *argument;
    bool negated_test = ft_jparser__take(p, "not");
    FT_RETURN(ft_jparser__node(p, FT_JN_TEST, &n));
    if (p->at->kind != FT_JT_NAME)
        return ft_jparser__fail(p, FT_EFORMAT, "expected a test's name");
    n->a = of;
    n->name = p->at->text;
    if (!(n->callee = ft_jinja__test(n->name)))
        return ft_jparser__fail(p, FT_EUNSUPPORTED, "there is no test \"%.*s\"", (int)n->name.n, n->name.p);
    p->at++;
    if (ft_jparser__take(p, "(")) {
        FT_RETURN(arguments(p, &n->items));
    } else if (begins_argument(p)) {
        FT_RETURN(ft_jparser__node(p, FT_JN_CONST, &argument));
        FT_RETURN(primary(p, &argument->a));
        FT_RETURN(postfix(p, &argument->a));
        n->items = argument;
    }
    *out = n;
    return negated_test ? two(p, FT_JN_NOT, "not", n, NULL, out) : FT_OK;
}

/* .x [x] (x) */
static ft_status postfix(ft_jparser *p, const ft_jnode **n)
{
    for (;;) {
        if (is_operator(p, "."))
            FT_RETURN(attribute(p, *n, n));
        else if (is_operator(p, "["))
            FT_RETURN(subscript(p, *n, n));
        else if (is_operator(p, "("))
            FT_RETURN(call(p, *n, n));
        else
            return FT_OK;
    }
}

static ft_status filters_and_tests(ft_jparser *p, const ft_jnode **n)
{
    for (;;) {
        if (ft_jparser__take(p, "|"))
            FT_RETURN(ft_jparser__filters(p, *n, n));
        else if (ft_jparser__take(p, "is"))
            FT_RETURN(test(p, *n, n));
        else if (is_operator(p, "("))
            FT_RETURN(call(p, *n, n));
        else
            return FT_OK;
    }
}

static ft_status unary(ft_jparser *p, bool filters, const ft_jnode **out)
{
    const char *op = is_operator(p, "-") ? "-" : is_operator(p, "+") ? "+" : NULL;
    FT_RETURN(ft_jparser__enter(p));
    if (op) {
        p->at++;
        FT_RETURN(unary(p, false, out));
        FT_RETURN(two(p, FT_JN_UNARY, op, *out, NULL, out));
    } else {
        FT_RETURN(primary(p, out));
    }
    FT_RETURN(postfix(p, out));
    if (filters)
        FT_RETURN(filters_and_tests(p, out));
    p->depth--;
    return FT_OK;
}

/* ---- operators ---- */

static ft_status with_filters(ft_jparser *p, const ft_jnode **out)
{
    return unary(p, true, out);
}

/* Operators of one precedence, from left to right. */
static ft_status chain(ft_jparser *p, parse_fn operand, const char *const *ops, const ft_jnode **out)
{
    const ft_jnode *right;
    FT_RETURN(operand(p, out));
    for (size_t i = 0; ops[i]; i++) {
        if (!is_operator(p, ops[i]))
            continue;
        p->at++;
        FT_RETURN(operand(p, &right));
        FT_RETURN(two(p, FT_JN_BINARY, ops[i], *out, right, out));
        i = (size_t)-1;
    }
    return FT_OK;
}

static ft_status power(ft_jparser *p, const ft_jnode **out)
{
    static const char *const ops[] = {"**", NULL};
    return chain(p, with_filters, ops, out);
}

static ft_status product(ft_jparser *p, const ft_jnode **out)
{
    static const char *const ops[] = {"*", "/", "//", "%", NULL};
    return chain(p, power, ops, out);
}

static ft_status joined(ft_jparser *p, const ft_jnode **out)
{
    static const char *const ops[] = {"~", NULL};
    return chain(p, product, ops, out);
}

static ft_status sum(ft_jparser *p, const ft_jnode **out)
{
    static const char *const ops[] = {"+", "-", NULL};
    return chain(p, joined, ops, out);
}

/* The comparison at hand, read; NULL when there is none. */
static const char *comparison(ft_jparser *p)
{
    static const char *const ops[] = {"==", "!=", "<=", ">=", "<", ">", "in"};
    for (size_t i = 0; i < FT_COUNT(ops); i++)
        if (ft_jparser__take(p, ops[i]))
            return ops[i];
    if (is_name(p, "not") && p->at[1].kind == FT_JT_NAME && ft_str_is(p->at[1].text, "in")) {
        p->at += 2;
        return "not in";
    }
    return NULL;
}

static ft_status compare(ft_jparser *p, const ft_jnode **out)
{
    ft_jnode *n = NULL;
    const ft_jnode **tail = NULL, *item;
    const char *op;
    FT_RETURN(sum(p, out));
    while ((op = comparison(p))) {
        if (!n) {
            FT_RETURN(ft_jparser__node(p, FT_JN_COMPARE, &n));
            n->a = *out;
            tail = &n->items;
            *out = n;
        }
        FT_RETURN(sum(p, &item));
        FT_RETURN(two(p, FT_JN_CONST, op, item, NULL, &item));
        FT_RETURN(append(&tail, item));
    }
    return FT_OK;
}

static ft_status negated(ft_jparser *p, const ft_jnode **out)
{
    size_t nots = 0;
    while (ft_jparser__take(p, "not"))
        nots++;
    FT_RETURN(compare(p, out));
    return nots % 2   ? two(p, FT_JN_NOT, "not", *out, NULL, out)
           : nots > 0 ? two(p, FT_JN_NOT, "not not", *out, NULL, out)
                      : FT_OK;
}

static ft_status conjunction(ft_jparser *p, const ft_jnode **out)
{
    const ft_jnode *right;
    FT_RETURN(negated(p, out));
    while (ft_jparser__take(p, "and")) {
        FT_RETURN(negated(p, &right));
        FT_RETURN(two(p, FT_JN_AND, "and", *out, right, out));
    }
    return FT_OK;
}

ft_status ft_jparser__or(ft_jparser *p, const ft_jnode **out)
{
    const ft_jnode *right;
    FT_RETURN(ft_jparser__enter(p));
    FT_RETURN(conjunction(p, out));
    while (ft_jparser__take(p, "or")) {
        FT_RETURN(conjunction(p, &right));
        FT_RETURN(two(p, FT_JN_OR, "or", *out, right, out));
    }
    p->depth--;
    return FT_OK;
}

ft_status ft_jparser__expression(ft_jparser *p, const ft_jnode **out)
{
    FT_RETURN(ft_jparser__enter(p));
    FT_RETURN(ft_jparser__or(p, out));
    while (ft_jparser__take(p, "if")) {
        ft_jnode *n;
        FT_RETURN(ft_jparser__node(p, FT_JN_IF, &n));
        n->a = *out;
        FT_RETURN(ft_jparser__or(p, &n->b));
        if (ft_jparser__take(p, "else"))
            FT_RETURN(ft_jparser__expression(p, &n->c));
        *out = n;
    }
    p->depth--;
    return FT_OK;
}

/* ---- targets of set and for ---- */

static ft_status target_name(ft_jparser *p, const ft_jnode **out)
{
    ft_jnode *n;
    if (ft_jparser__take(p, "(")) {
        FT_RETURN(ft_jparser__enter(p));
        FT_RETURN(ft_jparser__target(p, false, out));
        p->depth--;
        return ft_jparser__expect(p, ")");
    }
    FT_RETURN(ft_jparser__node(p, FT_JN_NAME, &n));
    if (p->at->kind != FT_JT_NAME)
        return ft_jparser__fail(p, FT_EFORMAT, "expected a name to set");
    if (is_name(p, "true") || is_name(p, "false") || is_name(p, "none") || is_name(p, "True") || is_name(p, "False") ||
        is_name(p, "None"))
        return ft_jparser__fail(p, FT_EFORMAT, "a constant cannot be set");
    n->name = p->at->text;
    p->at++;
    *out = n;
    return FT_OK;
}

ft_status ft_jparser__target(ft_jparser *p, bool namespaces, const ft_jnode **out)
{
    ft_jnode *n;
    bool member = p->at->kind == FT_JT_NAME && p->at[1].kind == FT_JT_OPERATOR && ft_str_is(p->at[1].text, ".");
    if (!namespaces || !member)
        return tuple_of(p, target_name, false, out);
    FT_RETURN(ft_jparser__node(p, FT_JN_ATTR, &n));
    FT_RETURN(target_name(p, &n->a));
    p->at++;
    if (p->at->kind != FT_JT_NAME)
        return ft_jparser__fail(p, FT_EFORMAT, "expected a name behind \".\"");
    n->name = p->at->text;
    p->at++;
    *out = n;
    return FT_OK;
}
