/* layernorm: y = (x - mean) / sqrt(variance + eps) * w + bias, row by row. */
#include "grad/tape.h"

enum { PARTS = 64 }; /* at most so many partial sums of dw and dbias */

typedef struct saved {
    float *mean, *inv; /* [T] */
    float eps;
} saved;

typedef struct job {
    const ft_kernels *k;
    const float *x, *w, *bias, *dy;
    float *y, *mean, *inv, *dx;
    float *parts; /* [tiles, 2, n]: dw and dbias, or NULL */
    bool add_dx;
    int64_t rows, n, piece; /* piece: rows of a tile */
    float eps;
} job;

static void plan(job *j)
{
    j->piece = FT_MAX((j->rows + PARTS - 1) / PARTS, (int64_t)FT_ROW_TILE);
}

static int64_t parts_of(const job *j)
{
    return (j->rows + j->piece - 1) / j->piece;
}

static void forward_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t end = FT_MIN(j->rows, (tile + 1) * j->piece);
    for (int64_t r = tile * j->piece; r < end; r++)
        j->inv[r] = j->k->layernorm(j->y + r * j->n, j->x + r * j->n, j->w, j->bias, j->eps, j->n, &j->mean[r]);
}

static void backward_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t end = FT_MIN(j->rows, (tile + 1) * j->piece), n = j->n;
    float *dw = j->parts ? j->parts + tile * 2 * n : NULL, *db = dw ? dw + n : NULL;
    for (int64_t i = 0; dw && i < 2 * n; i++)
        dw[i] = 0;
    for (int64_t r = tile * j->piece; r < end; r++)
        j->k->layernorm_grad(j->dx ? j->dx + r * n : NULL, dw, db, j->dy + r * n, j->x + r * n, j->w, j->mean[r],
                             j->inv[r], n, j->add_dx);
}

static job job_of(ft_tape *t, const ft_node *n)
{
    const saved *s = n->saved;
    ft_var *x = n->in[0];
    job j = {.k = ft_kernels_active(),
             .x = ft_grad__value(t, x),
             .w = n->param[0]->t.data,
             .bias = n->param[1]->t.data,
             .y = n->out->v,
             .dy = n->out->g,
             .mean = s->mean,
             .inv = s->inv,
             .eps = s->eps,
             .rows = x->rows,
             .n = x->cols};
    plan(&j);
    return j;
}

static void run_forward(ft_tape *t, const ft_node *n)
{
    job j = job_of(t, n);
    ft_grad__run(t, parts_of(&j), forward_tile, &j);
}

static void backward(ft_tape *t, const ft_node *n)
{
    ft_var *x = n->in[0];
    ft_param *w = n->param[0], *bias = n->param[1];
    job j = job_of(t, n);
    j.dx = ft_grad__of(t, x, &j.add_dx);
    if (w->trainable || bias->trainable)
        j.parts = ft_grad__lend(t, (size_t)(parts_of(&j) * 2 * j.n));
    if (t->status != FT_OK)
        return;
    ft_grad__run(t, parts_of(&j), backward_tile, &j);
    for (int64_t i = 0; j.parts && !t->dry && i < parts_of(&j); i++) {
        if (w->trainable)
            j.k->axpy(w->grad, 1, j.parts + i * 2 * j.n, j.n);
        if (bias->trainable)
            j.k->axpy(bias->grad, 1, j.parts + (i * 2 + 1) * j.n, j.n);
    }
    ft_grad__give_back(t, j.parts);
}

static bool vectors_fit(ft_tape *t, const ft_var *x, const ft_param *w, const ft_param *bias)
{
    char shape[96];
    const ft_param *const both[] = {w, bias};
    for (int i = 0; i < 2; i++) {
        if (!ft_grad__check_weight(t, &ft_grad__layernorm, both[i], 0))
            return false;
        if (both[i]->t.dtype != &ft_f32 || ft_tensor_count(&both[i]->t) != x->cols)
            ft_grad__fail(t, &ft_grad__layernorm, FT_EINPUT,
                          "x is %s, %s has %lld %s elements: x's width in f32 is needed", ft_grad__shape(x, shape),
                          both[i]->name, (long long)ft_tensor_count(&both[i]->t), both[i]->t.dtype->name);
    }
    return t->status == FT_OK;
}

ft_var *ft_op_layernorm(ft_tape *t, ft_var *x, ft_param *w, ft_param *bias, float eps)
{
    const ft_op *op = &ft_grad__layernorm;
    if (!ft_grad__ready(t, op, &x, 1) || !vectors_fit(t, x, w, bias))
        return NULL;
    saved *s = ft_grad__alloc(t, 1, sizeof *s);
    ft_var *y = ft_grad__result(t, x->rows, x->cols);
    float *stats = ft_grad__alloc(t, 2 * (size_t)x->rows, sizeof *stats);
    if (!s || !y || !stats)
        return NULL;
    *s = (saved){.mean = stats, .inv = stats + x->rows, .eps = eps};
    return ft_grad__make(t, (ft_node){.op = op, .out = y, .in = {x}, .param = {w, bias}, .saved = s});
}

const ft_op ft_grad__layernorm = {
    .name = "layernorm",
    .saves = "x, mean and 1 / deviation of each row",
    .flops = "none",
    .backward = backward,
    .remake = run_forward,
    .cases = (const ft_op_case[]){{.T = 1, .in = 2}, {.T = 70, .in = 33}, {.T = 3, .in = 576}, {0}}};
