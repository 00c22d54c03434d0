/* Where an activation's values lie: in the arena to the end of the step, or lent by the pool.
 *
 * What the pool lends inside a block is given back when the block ends, but for the block's output, which goes when the
 * next one ends. What backward reads of it is made again then (passing), or read from a copy of fewer bits (narrow), which
 * is taken when the block ends: forward never sees the copy. The walk gives back what it had to restore.
 */
#include "grad/tape.h"

static size_t count_of(const ft_var *x)
{
    return (size_t)x->rows * (size_t)x->cols;
}

/* Inside a block of a recorded step, which is not going to run again. */
static bool stays_a_while(const ft_tape *t)
{
    return t->record && t->in_block && !t->suspended;
}

static void note_lent(ft_tape *t, ft_var *x)
{
    x->lent = true;
    x->lent_before = t->lent;
    t->lent = x;
}

/* v NULL: memory of its own, the pool's where it lends. */
static ft_var *new_var(ft_tape *t, float *v, int64_t rows, int64_t cols, bool lend)
{
    ft_var *x = ft_grad__alloc(t, 1, sizeof *x);
    if (!x)
        return NULL;
    *x = (ft_var){.v = v, .rows = rows, .cols = cols, .node = -1};
    if (!v)
        x->v = lend ? ft_grad__lend(t, count_of(x)) : ft_grad__alloc(t, count_of(x), sizeof *v);
    if (!x->v)
        return NULL;
    if (lend)
        note_lent(t, x);
    return x;
}

ft_var *ft_grad__var(ft_tape *t, float *v, int64_t rows, int64_t cols)
{
    return new_var(t, v, rows, cols, !v && t->kept_as && stays_a_while(t) && !t->replaying);
}

ft_var *ft_grad__result(ft_tape *t, int64_t rows, int64_t cols)
{
    bool passing = stays_a_while(t);
    ft_var *x = new_var(t, NULL, rows, cols, passing);
    if (x)
        x->passing = passing;
    return x;
}

ft_var *ft_grad__take_over(ft_tape *t, ft_var *x, const float **old)
{
    bool own = x->kept || x->passing;
    *old = x->v;
    ft_var *y = ft_grad__var(t, own ? NULL : x->v, x->rows, x->cols);
    if (!y || own)
        return y;
    x->v = NULL;
    if (x->lent)
        note_lent(t, y);
    x->lent = false;
    return y;
}

void ft_grad__forget(ft_tape *t, ft_var *x)
{
    if (!x->lent)
        return;
    ft_grad__give_back(t, x->v);
    x->v = NULL;
    x->lent = false;
}

/* ---- copies of fewer bits ---- */

enum { PART = 1 << 14 }; /* values a tile: a multiple of every dtype's block */

typedef struct copy {
    const ft_dtype *dtype;
    ft_reader reader;
    float *v;
    char *narrow;
    int64_t n;
} copy;

static copy copy_of(const ft_tape *t, ft_var *x)
{
    return (copy){.dtype = t->kept_as,
                  .reader = ft_kernel_reader(ft_kernels_active(), t->kept_as),
                  .v = x->v,
                  .narrow = x->narrow,
                  .n = (int64_t)count_of(x)};
}

static int64_t parts_of(const copy *c)
{
    return (c->n + PART - 1) / PART;
}

static copy part_of(const copy *c, int64_t i)
{
    copy part = *c;
    part.v += i * PART;
    part.narrow += (size_t)(i * PART / c->dtype->block_len) * c->dtype->block_bytes;
    part.n = FT_MIN((int64_t)PART, c->n - i * PART);
    return part;
}

static void narrow_part(void *ctx, int64_t i)
{
    copy c = part_of(ctx, i);
    c.dtype->encode(c.v, NULL, c.n, c.narrow);
}

static void widen_part(void *ctx, int64_t i)
{
    copy c = part_of(ctx, i);
    c.reader.decode(c.narrow, c.n, c.v);
}

static void narrow(ft_tape *t, ft_var *x)
{
    size_t blocks = (count_of(x) + (size_t)t->kept_as->block_len - 1) / (size_t)t->kept_as->block_len;
    if (!(x->narrow = ft_grad__alloc(t, blocks, t->kept_as->block_bytes)))
        return;
    copy c = copy_of(t, x);
    ft_grad__run(t, parts_of(&c), narrow_part, &c);
}

void ft_grad__settle(ft_tape *t, ft_var *out)
{
    ft_var *x = t->lent;
    t->lent = NULL;
    for (ft_var *before; x; x = before) {
        before = x->lent_before;
        if (!x->lent) /* taken over */
            continue;
        if (x == out) {
            note_lent(t, x);
            continue;
        }
        if (x->kept && !x->passing)
            narrow(t, x);
        ft_grad__forget(t, x);
    }
}

static void widen(ft_tape *t, ft_var *x)
{
    copy c = copy_of(t, x);
    ft_grad__run(t, parts_of(&c), widen_part, &c);
}

static void remake(ft_tape *t, const ft_var *x)
{
    ft_node n = t->nodes[x->node];
    const ft_op *reader = t->clock ? ft_grad__ops[t->clock - t->times] : NULL;
    ft_grad__run_clock(t, n.op, true);
    n.op->remake(t, &n);
    ft_grad__run_clock(t, reader, true);
}

const float *ft_grad__value(ft_tape *t, ft_var *x)
{
    if (x->v || t->status != FT_OK)
        return x->v;
    if (!(x->v = ft_grad__lend(t, count_of(x))))
        return NULL;
    x->lent = true;
    if (x->narrow)
        widen(t, x);
    else
        remake(t, x);
    return x->v;
}
