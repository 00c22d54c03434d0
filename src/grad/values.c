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

static ft_var *lend_var(ft_tape *t, int64_t rows, int64_t cols)
{
    ft_var *x = ft_grad__alloc(t, 1, sizeof *x);
    if (!x)
        return NULL;
    *x = (ft_var){.rows = rows, .cols = cols, .node = -1};
    if (!(x->v = ft_grad__lend(t, count_of(x))))
        return NULL;
    note_lent(t, x);
    return x;
}

ft_var *ft_grad__var(ft_tape *t, float *v, int64_t rows, int64_t cols)
{
    if (!v && t->kept_as && stays_a_while(t) && !t->replaying)
        return lend_var(t, rows, cols);
    ft_var *x = ft_grad__alloc(t, 1, sizeof *x);
    if (!x)
        return NULL;
    if (!v && !(v = ft_grad__alloc(t, (size_t)rows * (size_t)cols, sizeof *v)))
        return NULL;
    *x = (ft_var){.v = v, .rows = rows, .cols = cols, .node = -1};
    return x;
}

ft_var *ft_grad__result(ft_tape *t, int64_t rows, int64_t cols)
{
    if (!stays_a_while(t))
        return ft_grad__var(t, NULL, rows, cols);
    ft_var *x = lend_var(t, rows, cols);
    if (x)
        x->passing = true;
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

static void narrow_part(void *ctx, int64_t i)
{
    const copy *c = ctx;
    int64_t at = i * PART, n = FT_MIN((int64_t)PART, c->n - at);
    c->dtype->encode(c->v + at, NULL, n, c->narrow + (size_t)(at / c->dtype->block_len) * c->dtype->block_bytes);
}

static void widen_part(void *ctx, int64_t i)
{
    const copy *c = ctx;
    int64_t at = i * PART, n = FT_MIN((int64_t)PART, c->n - at);
    c->reader.decode(c->narrow + (size_t)(at / c->dtype->block_len) * c->dtype->block_bytes, n, c->v + at);
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
