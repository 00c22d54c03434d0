/* columns: n columns of x from `first` on, a copy: the parts of a fused projection. */
#include "grad/tape.h"

#include <string.h>

typedef struct job {
    float *wide, *narrow; /* [rows, cols] and [rows, n] */
    const ft_kernels *k;
    int64_t rows, cols, first, n;
    bool back, add; /* narrow into wide; what wide holds stays */
} job;

static void tile(void *ctx, int64_t i)
{
    const job *j = ctx;
    int64_t end = FT_MIN(j->rows, (i + 1) * FT_ROW_TILE);
    for (int64_t r = i * FT_ROW_TILE; r < end; r++) {
        float *wide = j->wide + r * j->cols, *narrow = j->narrow + r * j->n;
        if (!j->back) {
            memcpy(narrow, wide + j->first, (size_t)j->n * sizeof *narrow);
            continue;
        }
        if (!j->add)
            memset(wide, 0, (size_t)j->cols * sizeof *wide);
        j->k->add(wide + j->first, wide + j->first, narrow, j->n);
    }
}

static void backward(ft_tape *t, const ft_node *n)
{
    const int64_t *first = n->saved;
    ft_var *x = n->in[0], *y = n->out;
    job j = {.k = ft_kernels_active(),
             .narrow = y->g,
             .rows = x->rows,
             .cols = x->cols,
             .first = *first,
             .n = y->cols,
             .back = true};
    j.wide = ft_grad__of(t, x, &j.add);
    if (j.wide)
        ft_grad__run(t, ft_grad__row_tiles(j.rows), tile, &j);
}

static void run_forward(ft_tape *t, const ft_node *n)
{
    const int64_t *first = n->saved;
    ft_var *x = n->in[0];
    job j = {.wide = (float *)ft_grad__value(t, x),
             .narrow = n->out->v,
             .rows = x->rows,
             .cols = x->cols,
             .first = *first,
             .n = n->out->cols};
    ft_grad__run(t, ft_grad__row_tiles(j.rows), tile, &j);
}

ft_var *ft_op_columns(ft_tape *t, ft_var *x, int64_t first, int64_t n)
{
    const ft_op *op = &ft_grad__columns;
    char shape[96];
    if (!ft_grad__ready(t, op, &x, 1))
        return NULL;
    if (first < 0 || n < 1 || n > x->cols - first)
        return ft_grad__fail(t, op, FT_EINPUT, "x is %s, %lld columns from %lld on are asked for",
                             ft_grad__shape(x, shape), (long long)n, (long long)first);
    int64_t *saved = ft_grad__alloc(t, 1, sizeof *saved);
    ft_var *y = ft_grad__result(t, x->rows, n);
    if (!y || !saved)
        return NULL;
    *saved = first;
    return ft_grad__make(t, (ft_node){.op = op, .out = y, .in = {x}, .saved = saved});
}

const ft_op ft_grad__columns = {
    .name = "columns",
    .saves = "x, where it is made again",
    .flops = "none",
    .backward = backward,
    .remake = run_forward,
    .cases = (const ft_op_case[]){{.T = 1, .in = 1, .out = 1}, {.T = 35, .in = 70, .out = 33}, {0}}};
