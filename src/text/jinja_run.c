/* Jinja, statements and the run as a whole.
 *
 * Names live in scopes, a chain from the inside out. A for's body (each time it is walked), a macro's body and a with
 * have a scope of their own, an if has none: what is set within a loop is gone behind it, unless it is a namespace's.
 * A run may take MAX_STEPS steps (an expression evaluated, a few bytes copied), MAX_DEPTH constructs within constructs
 * and MAX_BYTES of memory.
 */
#include "text/jinja_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_STEPS = 20000000, MAX_DEPTH = 600, MAX_BYTES = 1 << 28 };

/* ---- limits, failures ---- */

ft_status ft_jrun__fail(const ft_jrun *r, const char *fmt, ...)
{
    char what[500];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return ft_fail(FT_EINPUT, "chat template line %d: %s", r->at ? r->at->line : 1, what);
}

ft_status ft_jrun__work(ft_jrun *r, size_t n)
{
    if (n >= (size_t)FT_MAX(r->steps, 0)) {
        r->steps = 0;
        return ft_fail(FT_ENOMEM, "chat template line %d: it takes more than %d steps", r->at ? r->at->line : 1,
                       MAX_STEPS);
    }
    r->steps -= (int64_t)n;
    return FT_OK;
}

ft_status ft_jrun__enter(ft_jrun *r)
{
    if (++r->depth > MAX_DEPTH)
        return ft_fail(FT_ENOMEM, "chat template line %d: constructs within constructs past %d",
                       r->at ? r->at->line : 1, MAX_DEPTH);
    return FT_OK;
}

/* ---- scopes ---- */

bool ft_jscope__find(const ft_jscope *s, ft_str name, ft_jval *out)
{
    for (; s; s = s->outer)
        for (const struct ft_jname *n = s->names; n; n = n->next)
            if (ft_str_eq(n->name, name)) {
                *out = n->value;
                return true;
            }
    return false;
}

ft_status ft_jscope__put(ft_jrun *r, ft_str name, ft_jval value)
{
    for (struct ft_jname *n = r->scope->names; n; n = n->next)
        if (ft_str_eq(n->name, name)) {
            n->value = value;
            return FT_OK;
        }
    struct ft_jname *n = ft_jmem__get(&r->mem, 1, sizeof *n);
    if (!n)
        return FT_ENOMEM;
    *n = (struct ft_jname){name, value, r->scope->names};
    r->scope->names = n;
    return FT_OK;
}

ft_status ft_jscope__open(ft_jrun *r, ft_jscope *outer)
{
    ft_jscope *s = ft_jmem__get(&r->mem, 1, sizeof *s);
    if (!s)
        return FT_ENOMEM;
    s->outer = outer;
    r->scope = s;
    return FT_OK;
}

/* The value goes to the target: a name, names of a tuple, a namespace's member. */
static ft_status assign(ft_jrun *r, const ft_jnode *target, ft_jval v)
{
    ft_jlist *l;
    ft_jval space, key;
    size_t n = 0, i = 0;
    if (target->kind == FT_JN_NAME)
        return ft_jscope__put(r, target->name, v);
    if (target->kind == FT_JN_ATTR) {
        FT_RETURN(ft_jinja__eval(r, target->a, &space));
        if (space.kind != FT_J_NAMESPACE)
            return ft_jrun__fail(r, "only members of a namespace can be set, \"%.*s\" is %s", (int)target->a->name.n,
                                 target->a->name.p, ft_jval__type(space));
        FT_RETURN(ft_jval__str(r, target->name.p, target->name.n, NULL, false, &key));
        return ft_jdict__put(r, space.d, key, v);
    }
    FT_RETURN(ft_jval__items(r, v, &l));
    for (const ft_jnode *t = target->items; t; t = t->next)
        n++;
    if (l->n != n)
        return ft_jrun__fail(r, "%zu values are set to %zu names", l->n, n);
    for (const ft_jnode *t = target->items; t; t = t->next)
        FT_RETURN(assign(r, t, l->p[i++]));
    return FT_OK;
}

/* ---- statements ---- */

/* What `body` gives, as a value. */
static ft_status capture(ft_jrun *r, const ft_jnode *body, ft_jval *out)
{
    ft_jtext text = {0}, *outer = r->out;
    r->out = &text;
    ft_status st = ft_jinja__exec(r, body);
    r->out = outer;
    return st == FT_OK ? ft_jtext__done(r, &text, false, out) : st;
}

static ft_status exec_text(ft_jrun *r, const ft_jnode *n)
{
    return ft_jtext__put_str(r, r->out, n->value.s);
}

static ft_status exec_put(ft_jrun *r, const ft_jnode *n)
{
    ft_jval v;
    FT_RETURN(ft_jinja__eval(r, n->a, &v));
    return ft_jtext__put_value(r, r->out, v);
}

static ft_status exec_branch(ft_jrun *r, const ft_jnode *n)
{
    for (; n; n = n->b) {
        ft_jval condition;
        FT_RETURN(ft_jinja__eval(r, n->a, &condition));
        if (ft_jval__truth(condition))
            return ft_jinja__exec(r, n->items);
        if (!n->b)
            return ft_jinja__exec(r, n->other);
    }
    return FT_OK;
}

/* The items that the loop's condition lets through. */
static ft_status choose(ft_jrun *r, const ft_jnode *n, const ft_jlist *all, ft_jlist **out)
{
    ft_jscope *outer = r->scope;
    ft_jval chosen, condition;
    FT_RETURN(ft_jval__list(r, FT_J_LIST, 0, &chosen));
    for (size_t i = 0; i < all->n; i++) {
        FT_RETURN(ft_jscope__open(r, outer));
        FT_RETURN(assign(r, n->a, all->p[i]));
        FT_RETURN(ft_jinja__eval(r, n->c, &condition));
        r->scope = outer;
        if (ft_jval__truth(condition))
            FT_RETURN(ft_jlist__put(r, chosen.l, all->p[i]));
    }
    *out = chosen.l;
    return FT_OK;
}

static ft_status walk(ft_jrun *r, const ft_jnode *n, const ft_jlist *items)
{
    ft_jscope *outer = r->scope;
    ft_jloop *loop = ft_jmem__get(&r->mem, 1, sizeof *loop);
    if (!loop)
        return FT_ENOMEM;
    *loop = (ft_jloop){.items = items, .depth0 = r->loops++};
    for (; loop->at < items->n; loop->at++) {
        FT_RETURN(ft_jscope__open(r, outer));
        FT_RETURN(ft_jscope__put(r, ft_str_of("loop"), (ft_jval){.kind = FT_J_LOOP, .loop = loop}));
        FT_RETURN(assign(r, n->a, items->p[loop->at]));
        FT_RETURN(ft_jinja__exec(r, n->items));
        ft_jsignal signal = r->signal;
        r->signal = FT_J_GO_ON;
        if (signal == FT_J_BREAK)
            break;
    }
    r->scope = outer;
    r->loops--;
    return FT_OK;
}

static ft_status exec_for(ft_jrun *r, const ft_jnode *n)
{
    ft_jval over;
    ft_jlist *items;
    FT_RETURN(ft_jinja__eval(r, n->b, &over));
    r->at = n;
    FT_RETURN(ft_jval__items(r, over, &items));
    if (n->c)
        FT_RETURN(choose(r, n, items, &items));
    if (items->n)
        return walk(r, n, items);
    ft_jscope *outer = r->scope;
    FT_RETURN(ft_jscope__open(r, outer));
    FT_RETURN(ft_jinja__exec(r, n->other));
    r->scope = outer;
    return FT_OK;
}

static ft_status exec_set(ft_jrun *r, const ft_jnode *n)
{
    ft_jval v;
    FT_RETURN(ft_jinja__eval(r, n->b, &v));
    r->at = n;
    return assign(r, n->a, v);
}

/* Filters around a block's text: the innermost has no operand and takes it. */
static ft_status filter_block(ft_jrun *r, const ft_jnode *filters, ft_jval *v)
{
    if (!filters)
        return FT_OK;
    FT_RETURN(ft_jrun__enter(r));
    if (filters->a)
        FT_RETURN(filter_block(r, filters->a, v));
    ft_jnode operand = {.kind = FT_JN_CONST, .line = filters->line, .value = *v}, filter = *filters;
    filter.a = &operand;
    ft_status st = ft_jinja__eval(r, &filter, v);
    r->at = filters;
    r->depth--;
    return st;
}

static ft_status exec_set_block(ft_jrun *r, const ft_jnode *n)
{
    ft_jval v;
    ft_jscope *outer = r->scope;
    FT_RETURN(ft_jscope__open(r, outer));
    FT_RETURN(capture(r, n->items, &v));
    r->scope = outer;
    FT_RETURN(filter_block(r, n->b, &v));
    return assign(r, n->a, v);
}

static ft_status exec_filter_block(ft_jrun *r, const ft_jnode *n)
{
    ft_jval v;
    ft_jscope *outer = r->scope;
    FT_RETURN(ft_jscope__open(r, outer));
    FT_RETURN(capture(r, n->items, &v));
    r->scope = outer;
    FT_RETURN(filter_block(r, n->b, &v));
    return ft_jtext__put_value(r, r->out, v);
}

static ft_status exec_with(ft_jrun *r, const ft_jnode *n)
{
    ft_jscope *outer = r->scope, *inner;
    FT_RETURN(ft_jscope__open(r, outer));
    inner = r->scope;
    for (const ft_jnode *s = n->parameters; s; s = s->next) {
        ft_jval v;
        r->scope = outer;
        FT_RETURN(ft_jinja__eval(r, s->b, &v));
        r->scope = inner;
        FT_RETURN(assign(r, s->a, v));
    }
    FT_RETURN(ft_jinja__exec(r, n->items));
    r->scope = outer;
    return FT_OK;
}

static ft_status exec_generation(ft_jrun *r, const ft_jnode *n)
{
    return ft_jinja__exec(r, n->items);
}

static ft_status exec_break(ft_jrun *r, const ft_jnode *n)
{
    r->signal = FT_J_BREAK;
    return FT_OK;
}

static ft_status exec_continue(ft_jrun *r, const ft_jnode *n)
{
    r->signal = FT_J_CONTINUE;
    return FT_OK;
}

/* ---- macros ---- */

static ft_status macro_value(ft_jrun *r, const ft_jnode *n, ft_jval *out)
{
    ft_jmacro *m = ft_jmem__get(&r->mem, 1, sizeof *m);
    if (!m)
        return FT_ENOMEM;
    *m = (ft_jmacro){n, r->scope};
    *out = (ft_jval){.kind = FT_J_MACRO, .macro = m};
    return FT_OK;
}

static ft_status exec_macro(ft_jrun *r, const ft_jnode *n)
{
    ft_jval v;
    FT_RETURN(macro_value(r, n, &v));
    return ft_jscope__put(r, n->name, v);
}

static bool argument_named(const ft_jargs *args, ft_str name, ft_jval *out)
{
    for (size_t i = 0; i < args->n_named; i++)
        if (ft_str_eq(args->names[i], name)) {
            *out = args->named[i];
            return true;
        }
    return false;
}

/* Arguments become names of the macro's scope; `caller` comes by its name. */
static ft_status bind_parameters(ft_jrun *r, const ft_jmacro *m, const ft_jargs *args)
{
    size_t i = 0, named = 0;
    ft_jval v, caller;
    for (const ft_jnode *p = m->node->parameters; p; p = p->next, i++) {
        bool by_name = argument_named(args, p->name, &v);
        named += by_name;
        if (i < args->n && by_name)
            return ft_jrun__fail(r, "the macro %.*s gets \"%.*s\" twice", (int)m->node->name.n, m->node->name.p,
                                 (int)p->name.n, p->name.p);
        if (i < args->n)
            v = args->p[i];
        else if (!by_name && p->a)
            FT_RETURN(ft_jinja__eval(r, p->a, &v));
        else if (!by_name)
            v = ft_j_undefined("a parameter");
        FT_RETURN(ft_jscope__put(r, p->name, v));
    }
    if (argument_named(args, ft_str_of("caller"), &caller)) {
        named++;
        FT_RETURN(ft_jscope__put(r, ft_str_of("caller"), caller));
    }
    if (args->n > i || args->n_named > named)
        return ft_jrun__fail(r, "the macro %.*s has no parameter for an argument that it gets", (int)m->node->name.n,
                             m->node->name.p);
    return FT_OK;
}

ft_status ft_jinja__call_macro(ft_jrun *r, const ft_jmacro *m, const ft_jargs *args, ft_jval *out)
{
    ft_jscope *outer = r->scope;
    int64_t loops = r->loops;
    r->loops = 0;
    FT_RETURN(ft_jrun__enter(r));
    FT_RETURN(ft_jscope__open(r, m->scope));
    FT_RETURN(bind_parameters(r, m, args));
    FT_RETURN(capture(r, m->node->items, out));
    r->scope = outer;
    r->loops = loops;
    r->depth--;
    return FT_OK;
}

/* {% call f(x) %}: f gets the body as `caller`. */
static ft_status exec_call_block(ft_jrun *r, const ft_jnode *n)
{
    ft_jval caller, out;
    ft_jnode *call = ft_jmem__get(&r->mem, 1, sizeof *call), *argument = ft_jmem__get(&r->mem, 1, sizeof *argument);
    ft_jnode *value = ft_jmem__get(&r->mem, 1, sizeof *value);
    if (!call || !argument || !value)
        return FT_ENOMEM;
    FT_RETURN(macro_value(r, n->b, &caller));
    *value = (ft_jnode){.kind = FT_JN_CONST, .line = n->line, .value = caller};
    *argument =
        (ft_jnode){.kind = FT_JN_CONST, .line = n->line, .name = ft_str_of("caller"), .a = value, .next = n->a->items};
    *call = *n->a;
    call->items = argument;
    FT_RETURN(ft_jinja__eval(r, call, &out));
    return ft_jtext__put_value(r, r->out, out);
}

typedef ft_status (*exec_fn)(ft_jrun *r, const ft_jnode *n);
static const exec_fn execs[FT_JN_COUNT] = {[FT_JN_TEXT] = exec_text,
                                           [FT_JN_PUT] = exec_put,
                                           [FT_JN_BRANCH] = exec_branch,
                                           [FT_JN_FOR] = exec_for,
                                           [FT_JN_SET] = exec_set,
                                           [FT_JN_SET_BLOCK] = exec_set_block,
                                           [FT_JN_MACRO] = exec_macro,
                                           [FT_JN_CALL_BLOCK] = exec_call_block,
                                           [FT_JN_FILTER_BLOCK] = exec_filter_block,
                                           [FT_JN_WITH] = exec_with,
                                           [FT_JN_GENERATION] = exec_generation,
                                           [FT_JN_BREAK] = exec_break,
                                           [FT_JN_CONTINUE] = exec_continue};

ft_status ft_jinja__exec(ft_jrun *r, const ft_jnode *list)
{
    FT_RETURN(ft_jrun__enter(r));
    for (const ft_jnode *n = list; n && r->signal == FT_J_GO_ON; n = n->next) {
        r->at = n;
        FT_RETURN(ft_jrun__work(r, 1));
        FT_RETURN(execs[n->kind](r, n));
    }
    r->depth--;
    return FT_OK;
}

/* ---- the whole ---- */

/* Bytes of these variables came from what people wrote. */
static bool is_marked(const char *variable)
{
    static const char *const names[] = {"messages", "tools", "documents"};
    for (size_t i = 0; i < FT_COUNT(names); i++)
        if (strcmp(variable, names[i]) == 0)
            return true;
    return false;
}

static ft_status put_variables(ft_jrun *r, const json_t *vars)
{
    for (void *it = json_object_iter((json_t *)vars); it; it = json_object_iter_next((json_t *)vars, it)) {
        ft_jval v;
        const char *name = json_object_iter_key(it);
        FT_RETURN(ft_jval__from_json(r, json_object_iter_value(it), is_marked(name), &v));
        FT_RETURN(ft_jscope__put(r, ft_str_of(name), v));
    }
    return FT_OK;
}

static ft_status give_out(const ft_jtext *t, ft_buf *out, ft_buf *marks)
{
    FT_RETURN(ft_buf_put(out, t->n ? t->p : "", t->n));
    return marks ? ft_buf_put(marks, t->n ? (const void *)t->marks : "", t->n) : FT_OK;
}

ft_status ft_jinja_render(const ft_jinja *t, const json_t *vars, ft_buf *out, ft_buf *marks)
{
    ft_jtext text = {0};
    ft_jrun r = {.out = &text, .steps = MAX_STEPS, .at = t->body};
    ft_status st = FT_OK;
    if (!(r.mem.arena = ft_arena_new((size_t)1 << 16, MAX_BYTES)))
        return FT_ENOMEM;
    FT_TRY(ft_jscope__open(&r, NULL));
    FT_TRY(put_variables(&r, vars));
    FT_TRY(ft_jscope__open(&r, r.scope));
    FT_TRY(ft_jinja__exec(&r, t->body));
    st = give_out(&text, out, marks);
done:
    if (st == FT_ENOMEM && !ft_starts(ft_error(), "chat template"))
        ft_context(st, "chat template line %d", r.at ? r.at->line : 1);
    ft_arena_free(r.mem.arena);
    return st;
}
