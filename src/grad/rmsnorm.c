/* rmsnorm: y = x / sqrt(mean(x^2) + eps) * (w + plus) over groups as long as w. */
#include "grad/tape.h"

enum { PARTS = 64 }; /* at most so many partial sums of dw */

typedef struct saved {
    float *inv; /* [groups] */
    float eps, plus;
} saved;

typedef struct job {
    const ft_kernels *k;
    const float *x, *w, *dy;
    float *y, *inv, *dx, *dw; /* dw [parts, n] or NULL */
    bool add_dx;
    int64_t groups, n, piece; /* piece: groups of a tile */
    float eps, plus;
} job;

static void plan(job *j)
{
    j->piece = FT_MAX((j->groups + PARTS - 1) / PARTS, (int64_t)FT_ROW_TILE);
}

static int64_t parts_of(const job *j)
{
    return (j->groups + j->piece - 1) / j->piece;
}

static void forward_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t end = FT_MIN(j->groups, (tile + 1) * j->piece);
    for (int64_t g = tile * j->piece; g < end; g++)
        j->inv[g] = j->k->rmsnorm(j->y + g * j->n, j->x + g * j->n, j->w, j->eps, j->plus, j->n);
}

static void backward_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t end = FT_MIN(j->groups, (tile + 1) * j->piece), n = j->n;
    float *dw = j->dw ? j->dw + tile * n : NULL;
    for (int64_t i = 0; dw && i < n; i++)
        dw[i] = 0;
    for (int64_t g = tile * j->piece; g < end; g++)
        j->k->rmsnorm_grad(j->dx ? j->dx + g * n : NULL, dw, j->dy + g * n, j->x + g * n, j->w, j->inv[g], j->plus, n,
                           j->add_dx);
}

static job job_of(ft_tape *t, const ft_node *n)
{
    const saved *s = n->saved;
    ft_var *x = n->in[0];
    const ft_param *w = n->param[0];
    int64_t width = ft_tensor_count(&w->t);
    job j = {.k = ft_kernels_active(),
             .x = ft_grad__value(t, x),
             .w = w->t.data,
             .y = n->out->v,
             .dy = n->out->g,
             .inv = s->inv,
             .eps = s->eps,
             .plus = s->plus,
             .groups = x->rows * x->cols / width,
             .n = width};
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
    ft_param *w = n->param[0];
    int64_t width = ft_tensor_count(&w->t);
    job j = job_of(t, n);
    j.dx = ft_grad__of(t, x, &j.add_dx);
    if (w->trainable)
        j.dw = ft_grad__lend(t, (size_t)(parts_of(&j) * width));
    if (t->status != FT_OK)
        return;
    ft_grad__run(t, parts_of(&j), backward_tile, &j);
    for (int64_t i = 0; j.dw && !t->dry && i < parts_of(&j); i++)
        j.k->axpy(w->grad, 1, j.dw + i * width, width);
    ft_grad__give_back(t, j.dw);
}

ft_var *ft_op_rmsnorm(ft_tape *t, ft_var *x, ft_param *w, float eps, float plus)
{
    const ft_op *op = &ft_grad__rmsnorm;
    char shape[96];
    if (!ft_grad__ready(t, op, &x, 1) || !ft_grad__check_weight(t, op, w, 0))
        return NULL;
    int64_t width = ft_tensor_count(&w->t);
    if (w->t.dtype != &ft_f32 || x->cols % width)
        return ft_grad__fail(t, op, FT_EINPUT,
                             "x is %s, %s has %lld %s elements: a divisor of x's width in f32 is needed",
                             ft_grad__shape(x, shape), w->name, (long long)width, w->t.dtype->name);
    saved *s = ft_grad__alloc(t, 1, sizeof *s);
    ft_var *y = ft_grad__result(t, x->rows, x->cols);
    float *inv = ft_grad__alloc(t, (size_t)(x->rows * x->cols / width), sizeof *inv);
    if (!s || !y || !inv)
        return NULL;
    *s = (saved){.inv = inv, .eps = eps, .plus = plus};
    return ft_grad__make(t, (ft_node){.op = op, .out = y, .in = {x}, .param = {w}, .saved = s});
}

const ft_op ft_grad__rmsnorm = {.name = "rmsnorm",
                                .saves = "x, 1 / rms of each group",
                                .flops = "none",
                                .backward = backward,
                                .remake = run_forward,
                                .cases = (const ft_op_case[]){{.T = 1, .in = 1, .heads = 1},
                                                              {.T = 70, .in = 33, .heads = 1, .plus = 1},
                                                              {.T = 3, .in = 576, .heads = 1},
                                                              {.T = 7, .in = 60, .heads = 4},
                                                              {0}}};
