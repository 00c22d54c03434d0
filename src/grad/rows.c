/* rows: y[i] = x[index[i]], and the scatter that is its gradient. */
#include "grad/tape.h"

#include <string.h>

/* ---- dst[index[i]] += scale * src[i]: each column belongs to one tile, so the order of sums is that of i ---- */

enum { SCATTER_COLS = 64 };

typedef struct scatter {
    const ft_kernels *k;
    float *dst;
    const float *src;
    const int64_t *index;
    int64_t n, cols;
    float scale;
} scatter;

static void scatter_tile(void *ctx, int64_t tile)
{
    const scatter *s = ctx;
    int64_t c = tile * SCATTER_COLS, cols = FT_MIN((int64_t)SCATTER_COLS, s->cols - c);
    for (int64_t i = 0; i < s->n; i++)
        s->k->axpy(s->dst + s->index[i] * s->cols + c, s->scale, s->src + i * s->cols + c, cols);
}

void ft_grad__scatter_add(ft_tape *t, float *dst, const int64_t *index, int64_t n, const float *src, int64_t cols, float scale)
{
    scatter s = {
        .k = ft_kernels_active(), .dst = dst, .src = src, .index = index, .n = n, .cols = cols, .scale = scale};
    ft_grad__run(t, (cols + SCATTER_COLS - 1) / SCATTER_COLS, scatter_tile, &s);
}

/* ---- the op ---- */

typedef struct gather {
    float *y;
    const float *x;
    const int64_t *index;
    int64_t n, cols;
} gather;

static void gather_tile(void *ctx, int64_t tile)
{
    const gather *g = ctx;
    int64_t end = FT_MIN(g->n, (tile + 1) * FT_ROW_TILE);
    for (int64_t i = tile * FT_ROW_TILE; i < end; i++)
        memcpy(g->y + i * g->cols, g->x + g->index[i] * g->cols, (size_t)g->cols * sizeof *g->y);
}

static void backward(ft_tape *t, const ft_node *n)
{
    bool add;
    ft_var *x = n->in[0], *y = n->out;
    float *dx = ft_grad__of(t, x, &add);
    if (!dx)
        return;
    if (!add && !t->dry)
        ft_zero_all(dx, x->rows * x->cols);
    ft_grad__scatter_add(t, dx, n->saved, y->rows, y->g, y->cols, 1);
}

ft_var *ft_op_rows(ft_tape *t, ft_var *x, const int64_t *index, int64_t n)
{
    const ft_op *op = &ft_grad__rows;
    if (!ft_grad__ready(t, op, &x, 1))
        return NULL;
    if (n <= 0)
        return ft_grad__fail(t, op, FT_EINPUT, "%lld rows", (long long)n);
    int64_t *copy = ft_grad__alloc(t, (size_t)n, sizeof *copy);
    ft_var *y = ft_grad__var(t, NULL, n, x->cols);
    if (!copy || !y)
        return NULL;
    for (int64_t i = 0; i < n; i++) {
        if (index[i] < 0 || index[i] >= x->rows)
            return ft_grad__fail(t, op, FT_EINPUT, "row %lld of %lld is asked for", (long long)index[i],
                                 (long long)x->rows);
        copy[i] = index[i];
    }
    gather g = {.y = y->v, .x = x->v, .index = copy, .n = n, .cols = x->cols};
    ft_grad__run(t, ft_grad__row_tiles(n), gather_tile, &g);
    return ft_grad__record(t, (ft_node){.op = op, .out = y, .in = {x}, .saved = copy}) ? y : NULL;
}

const ft_op ft_grad__rows = {
    .name = "rows",
    .saves = "the index",
    .flops = "none",
    .backward = backward,
    .cases = (const ft_op_case[]){
        {.T = 1, .in = 1, .out = 1}, {.T = 9, .in = 70, .out = 4}, {.T = 5, .in = 33, .out = 40}, {0}}};
