/* gelu: x times the share of the normal distribution below it, by the error function. */
#include "grad/tape.h"

typedef struct job {
    const ft_kernels *k;
    const float *x, *dy;
    float *y, *dx;
    bool add;
    int64_t rows, n;
} job;

static void forward_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t r = tile * FT_ROW_TILE, rows = FT_MIN((int64_t)FT_ROW_TILE, j->rows - r), at = r * j->n;
    j->k->gelu(j->y + at, j->x + at, rows * j->n);
}

static void backward_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t r = tile * FT_ROW_TILE, rows = FT_MIN((int64_t)FT_ROW_TILE, j->rows - r), at = r * j->n;
    j->k->gelu_grad(j->dx + at, j->dy + at, j->x + at, rows * j->n, j->add);
}

static job job_of(ft_tape *t, const ft_node *n)
{
    return (job){.k = ft_kernels_active(),
                 .x = ft_grad__value(t, n->in[0]),
                 .y = n->out->v,
                 .dy = n->out->g,
                 .rows = n->out->rows,
                 .n = n->out->cols};
}

static void run_forward(ft_tape *t, const ft_node *n)
{
    job j = job_of(t, n);
    ft_grad__run(t, ft_grad__row_tiles(j.rows), forward_tile, &j);
}

static void backward(ft_tape *t, const ft_node *n)
{
    job j = job_of(t, n);
    j.dx = ft_grad__of(t, n->in[0], &j.add);
    if (j.dx)
        ft_grad__run(t, ft_grad__row_tiles(j.rows), backward_tile, &j);
}

ft_var *ft_op_gelu(ft_tape *t, ft_var *x)
{
    const ft_op *op = &ft_grad__gelu;
    if (!ft_grad__ready(t, op, &x, 1))
        return NULL;
    ft_var *y = ft_grad__result(t, x->rows, x->cols);
    if (!y)
        return NULL;
    return ft_grad__make(t, (ft_node){.op = op, .out = y, .in = {x}});
}

const ft_op ft_grad__gelu = {
    .name = "gelu",
    .saves = "x",
    .flops = "none",
    .backward = backward,
    .remake = run_forward,
    .cases = (const ft_op_case[]){{.T = 1, .in = 1}, {.T = 35, .in = 33}, {.T = 2, .in = 300}, {0}}};
