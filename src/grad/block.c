/* ft_block: a stretch of the tape. Without checkpointing its records stay, and what they can make again is given back
 * when the block ends. With checkpointing it is one record, only its output stays, and backward runs it again.
 *
 * The second run sees the same inputs and the same dropout keys (seed, step, site), so it makes the same bits, and its
 * records are walked in the same order as they would have been without checkpointing. It takes place in the memory of all
 * that came after the block, which the walk is done with.
 */
#include "grad/tape.h"

typedef struct saved {
    ft_block_fn body;
    void *ctx;
    int64_t layer;
    ft_arena_mark after; /* behind its output */
} saved;

static ft_var *run(ft_tape *t, ft_var *x, ft_block_fn body, void *ctx, int64_t layer)
{
    bool within = t->in_block;
    t->in_block = true;
    ft_var *out = body(t, x, ctx, layer);
    t->in_block = within;
    if (!within)
        ft_grad__settle(t, out);
    return out;
}

static void backward(ft_tape *t, const ft_node *n)
{
    const saved *s = n->saved;
    size_t first = t->n_nodes;
    if (!ft_grad__value(t, n->in[0]))
        return;
    ft_arena_release(t->values.arena, s->after); /* what came later has been walked */
    t->replaying = true;
    ft_var *out = run(t, n->in[0], s->body, s->ctx, s->layer);
    t->lent = NULL;
    if (out && out->needs_grad) {
        out->g = n->out->g;
        n->out->g = NULL;
        ft_grad__walk(t, first);
    }
    t->replaying = false;
    ft_arena_release(t->values.arena, s->after);
}

ft_var *ft_block(ft_tape *t, ft_var *x, ft_block_fn body, void *ctx, int64_t layer, bool checkpoint)
{
    if (!ft_grad__ready(t, &ft_grad__block, &x, 1))
        return NULL;
    if (!checkpoint || !t->record || t->replaying || t->suspended)
        return run(t, x, body, ctx, layer);
    saved *s = ft_grad__alloc(t, 1, sizeof *s);
    if (!s)
        return NULL;
    *s = (saved){.body = body, .ctx = ctx, .layer = layer};
    bool kept = x->kept;
    x->kept = true;
    t->lent = NULL; /* x stays as it is, for the second run */
    t->suspended = true;
    ft_tape_mark mark = ft_tape_now(t);
    ft_var *out = body(t, x, ctx, layer);
    if (out && out != x)
        out = ft_tape_rewind(t, mark, out);
    t->suspended = false;
    if (!out || out == x || !out->needs_grad) {
        x->kept = kept;
        return t->status == FT_OK ? out : NULL;
    }
    s->after = ft_arena_now(t->values.arena);
    /* The block trains even where x needs no gradient: the record is added by hand. */
    ft_node n = {.op = &ft_grad__block, .out = out, .in = {x}, .saved = s};
    return ft_grad__push(t, n) ? out : NULL;
}

const ft_op ft_grad__block = {
    .name = "block",
    .saves = "its input; everything else is made again",
    .flops = "those of its ops, once",
    .backward = backward,
    .cases = (const ft_op_case[]){{.T = 1, .in = 3, .heads = 1}, {.T = 70, .in = 33, .heads = 1}, {0}}};
