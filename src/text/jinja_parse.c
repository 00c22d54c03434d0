/* Jinja, tokens to the tree of a template: text, {{ expressions }} and statements, a row of the table each.
 *
 * Blocks end at their end word; else and elif end the part before them. What belongs to other uses of Jinja
 * (inheritance, imports, recursive loops) is refused by name.
 */
#include "text/jinja_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TREE_BYTES = 1 << 27 };

ft_status ft_jparser__fail(const ft_jparser *p, ft_status kind, const char *fmt, ...)
{
    char what[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (p->at->kind == FT_JT_END)
        return ft_fail(kind, "chat template line %d: %s, at the template's end", p->at->line, what);
    return ft_fail(kind, "chat template line %d: %s, at \"%.*s\"", p->at->line, what,
                   (int)FT_MIN(p->at->text.n, (size_t)40), p->at->text.p);
}

ft_status ft_jparser__node(ft_jparser *p, ft_jnode_kind kind, ft_jnode **out)
{
    ft_jnode *n = ft_jmem__get(&p->t->mem, 1, sizeof *n);
    if (!n)
        return FT_ENOMEM;
    n->kind = kind;
    n->line = p->at->line;
    *out = n;
    return FT_OK;
}

static ft_status end_block(ft_jparser *p)
{
    if (p->at->kind != FT_JT_BLOCK_END)
        return ft_jparser__fail(p, FT_EFORMAT, "expected \"%%}\"");
    p->at++;
    return FT_OK;
}

static ft_status parse_body(ft_jparser *p, const char *const *ends, const ft_jnode **out);

/* The body of a block and its end word. */
static ft_status body_until(ft_jparser *p, const char *end, const ft_jnode **out)
{
    const char *const ends[] = {end, NULL};
    FT_RETURN(end_block(p));
    FT_RETURN(parse_body(p, ends, out));
    FT_RETURN(ft_jparser__expect(p, end));
    return end_block(p);
}

/* ---- statements: each gets the parser behind its word and its node ---- */

static ft_status parse_if(ft_jparser *p, ft_jnode *n)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    n->kind = FT_JN_BRANCH;
    for (;;) {
        ft_jnode *next;
        FT_RETURN(ft_jparser__tuple(p, false, &n->a));
        FT_RETURN(end_block(p));
        FT_RETURN(parse_body(p, ends, &n->items));
        if (!ft_jparser__take(p, "elif"))
            break;
        FT_RETURN(ft_jparser__node(p, FT_JN_BRANCH, &next));
        n->b = next;
        n = next;
    }
    if (ft_jparser__take(p, "else"))
        return body_until(p, "endif", &n->other);
    FT_RETURN(ft_jparser__expect(p, "endif"));
    return end_block(p);
}

static ft_status parse_for(ft_jparser *p, ft_jnode *n)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    n->kind = FT_JN_FOR;
    FT_RETURN(ft_jparser__target(p, false, &n->a));
    FT_RETURN(ft_jparser__expect(p, "in"));
    FT_RETURN(ft_jparser__tuple(p, false, &n->b));
    if (ft_jparser__take(p, "if"))
        FT_RETURN(ft_jparser__expression(p, &n->c));
    if (ft_jparser__is(p, "recursive"))
        return ft_jparser__fail(p, FT_EUNSUPPORTED, "recursive loops are not run");
    FT_RETURN(end_block(p));
    p->loops++;
    FT_RETURN(parse_body(p, ends, &n->items));
    p->loops--;
    if (ft_jparser__take(p, "else"))
        return body_until(p, "endfor", &n->other);
    FT_RETURN(ft_jparser__expect(p, "endfor"));
    return end_block(p);
}

static ft_status parse_set(ft_jparser *p, ft_jnode *n)
{
    n->kind = FT_JN_SET;
    FT_RETURN(ft_jparser__target(p, true, &n->a));
    if (ft_jparser__take(p, "=")) {
        FT_RETURN(ft_jparser__tuple(p, true, &n->b));
        return end_block(p);
    }
    n->kind = FT_JN_SET_BLOCK;
    if (ft_jparser__take(p, "|"))
        FT_RETURN(ft_jparser__filters(p, NULL, &n->b));
    return body_until(p, "endset", &n->items);
}

/* (a, b=1): names with defaults in a. */
static ft_status parse_parameters(ft_jparser *p, const ft_jnode **tail)
{
    const ft_jnode **first = tail;
    FT_RETURN(ft_jparser__expect(p, "("));
    while (!ft_jparser__take(p, ")")) {
        const ft_jnode *name;
        if (*first)
            FT_RETURN(ft_jparser__expect(p, ","));
        if (p->at->kind != FT_JT_NAME || ft_jparser__is(p, "("))
            return ft_jparser__fail(p, FT_EFORMAT, "expected a parameter's name");
        ft_jnode *n;
        FT_RETURN(ft_jparser__node(p, FT_JN_NAME, &n));
        n->name = p->at->text;
        p->at++;
        if (ft_jparser__take(p, "=")) {
            FT_RETURN(ft_jparser__expression(p, &name));
            n->a = name;
        }
        *tail = n;
        tail = &n->next;
    }
    return FT_OK;
}

/* The body of a macro or caller: its loops are its own. */
static ft_status macro_body(ft_jparser *p, const char *end, ft_jnode *n)
{
    int loops = p->loops;
    p->loops = 0;
    FT_RETURN(body_until(p, end, &n->items));
    p->loops = loops;
    return FT_OK;
}

static ft_status parse_macro(ft_jparser *p, ft_jnode *n)
{
    n->kind = FT_JN_MACRO;
    if (p->at->kind != FT_JT_NAME)
        return ft_jparser__fail(p, FT_EFORMAT, "expected the macro's name");
    n->name = p->at->text;
    p->at++;
    FT_RETURN(parse_parameters(p, &n->parameters));
    return macro_body(p, "endmacro", n);
}

static ft_status parse_call(ft_jparser *p, ft_jnode *n)
{
    ft_jnode *caller;
    n->kind = FT_JN_CALL_BLOCK;
    FT_RETURN(ft_jparser__node(p, FT_JN_MACRO, &caller));
    caller->name = ft_str_of("caller");
    if (ft_jparser__is(p, "("))
        FT_RETURN(parse_parameters(p, &caller->parameters));
    FT_RETURN(ft_jparser__expression(p, &n->a));
    if (n->a->kind != FT_JN_CALL)
        return ft_jparser__fail(p, FT_EFORMAT, "expected a call");
    n->b = caller;
    return macro_body(p, "endcall", caller);
}

static ft_status parse_filter(ft_jparser *p, ft_jnode *n)
{
    n->kind = FT_JN_FILTER_BLOCK;
    FT_RETURN(ft_jparser__filters(p, NULL, &n->b));
    return body_until(p, "endfilter", &n->items);
}

static ft_status parse_with(ft_jparser *p, ft_jnode *n)
{
    const ft_jnode **tail = &n->parameters;
    n->kind = FT_JN_WITH;
    while (p->at->kind != FT_JT_BLOCK_END) {
        ft_jnode *set;
        if (n->parameters)
            FT_RETURN(ft_jparser__expect(p, ","));
        FT_RETURN(ft_jparser__node(p, FT_JN_SET, &set));
        FT_RETURN(ft_jparser__target(p, false, &set->a));
        FT_RETURN(ft_jparser__expect(p, "="));
        FT_RETURN(ft_jparser__expression(p, &set->b));
        *tail = set;
        tail = (const ft_jnode **)&set->next;
    }
    return body_until(p, "endwith", &n->items);
}

static ft_status parse_generation(ft_jparser *p, ft_jnode *n)
{
    n->kind = FT_JN_GENERATION;
    return body_until(p, "endgeneration", &n->items);
}

static ft_status leave_loop(ft_jparser *p, ft_jnode *n, ft_jnode_kind kind)
{
    n->kind = kind;
    if (!p->loops)
        return ft_jparser__fail(p, FT_EFORMAT, "break or continue outside of a loop");
    return end_block(p);
}

static ft_status parse_break(ft_jparser *p, ft_jnode *n)
{
    return leave_loop(p, n, FT_JN_BREAK);
}

static ft_status parse_continue(ft_jparser *p, ft_jnode *n)
{
    return leave_loop(p, n, FT_JN_CONTINUE);
}

static const struct statement {
    const char *word;
    ft_status (*parse)(ft_jparser *p, ft_jnode *n); /* NULL: valid Jinja that no chat template needs */
} statements[] = {{"if", parse_if},       {"for", parse_for},
                  {"set", parse_set},     {"macro", parse_macro},
                  {"call", parse_call},   {"filter", parse_filter},
                  {"with", parse_with},   {"generation", parse_generation},
                  {"break", parse_break}, {"continue", parse_continue},
                  {"block", NULL},        {"extends", NULL},
                  {"include", NULL},      {"import", NULL},
                  {"from", NULL},         {"autoescape", NULL}};

static ft_status parse_statement(ft_jparser *p, ft_jnode *n)
{
    for (size_t i = 0; i < FT_COUNT(statements); i++) {
        if (!ft_jparser__is(p, statements[i].word))
            continue;
        if (!statements[i].parse)
            return ft_jparser__fail(p, FT_EUNSUPPORTED, "this statement is not run");
        p->at++;
        return statements[i].parse(p, n);
    }
    return ft_jparser__fail(p, FT_EFORMAT, "an unknown statement, or one that stands in a wrong place");
}

/* ---- bodies ---- */

static ft_status text_node(ft_jparser *p, ft_jnode *n)
{
    ft_jstr *s = ft_jmem__get(&p->t->mem, 1, sizeof *s);
    if (!s)
        return FT_ENOMEM;
    *s = (ft_jstr){.p = p->at->text.p, .n = p->at->text.n};
    n->kind = FT_JN_TEXT;
    n->value = (ft_jval){.kind = FT_J_STR, .s = s};
    p->at++;
    return FT_OK;
}

static ft_status put_node(ft_jparser *p, ft_jnode *n)
{
    n->kind = FT_JN_PUT;
    p->at++;
    FT_RETURN(ft_jparser__tuple(p, true, &n->a));
    if (p->at->kind != FT_JT_PUT_END)
        return ft_jparser__fail(p, FT_EFORMAT, "expected \"}}\"");
    p->at++;
    return FT_OK;
}

static bool is_end(const ft_jparser *p, const char *const *ends)
{
    for (size_t i = 0; ends[i]; i++)
        if (ft_jparser__is(p, ends[i]))
            return true;
    return false;
}

/* Up to a block that begins with one of `ends`, which is left for the caller (its "{%" is read). */
static ft_status parse_body(ft_jparser *p, const char *const *ends, const ft_jnode **out)
{
    FT_RETURN(ft_jparser__enter(p));
    for (const ft_jnode **tail = out; p->at->kind != FT_JT_END;) {
        ft_jnode *n;
        FT_RETURN(ft_jparser__node(p, FT_JN_TEXT, &n));
        if (p->at->kind == FT_JT_BLOCK_BEGIN) {
            p->at++;
            if (is_end(p, ends)) {
                p->depth--;
                return FT_OK;
            }
            FT_RETURN(parse_statement(p, n));
        } else {
            FT_RETURN(p->at->kind == FT_JT_TEXT ? text_node(p, n) : put_node(p, n));
        }
        *tail = n;
        tail = &n->next;
    }
    p->depth--;
    return ends[0] ? ft_jparser__fail(p, FT_EFORMAT, "a block is not closed by {%% %s %%}", ends[0]) : FT_OK;
}

/* ---- the whole ---- */

ft_status ft_jinja_parse(ft_jinja **out, ft_str text)
{
    static const char *const none[] = {NULL};
    ft_status st = FT_OK;
    ft_jinja *t = *out = ft_alloc(1, sizeof *t);
    ft_jparser p = {.t = t};
    ft_jtoken *tokens;
    if (!t || !(t->mem.arena = ft_arena_new((size_t)1 << 16, MAX_TREE_BYTES))) {
        st = FT_ENOMEM;
        goto done;
    }
    if (text.n > FT_JINJA_MAX_TEXT) {
        st = ft_fail(FT_EUNSUPPORTED, "a chat template of %zu bytes, at most %d are taken", text.n, FT_JINJA_MAX_TEXT);
        goto done;
    }
    FT_TRY(ft_jinja__lex(&t->mem, text, &tokens));
    p.at = tokens;
    FT_TRY(parse_body(&p, none, &t->body));
done:
    if (st != FT_OK) {
        ft_jinja_free(t);
        *out = NULL;
    }
    return st;
}

void ft_jinja_free(ft_jinja *t)
{
    if (t)
        ft_arena_free(t->mem.arena);
    ft_free(t);
}

bool ft_jinja_dated(const ft_jinja *t)
{
    return t->dated;
}
