/* dora: z = y * magnitude / norm (+ bias), column by column: what weight-decomposed adaptation (Liu et al. 2024) does with
 * y = x (W + s B A)^T. The norms of the rows of W + s B A are constants of the backward walk, as the paper has it.
 *
 * The gradient of the magnitude is a sum over all tokens, taken for each column by itself in their order.
 */
#include "grad/tape.h"

enum { COLUMNS = 64 }; /* of a tile of the magnitude's gradient */

typedef struct job {
    const float *y, *dz, *magnitude, *norm, *bias; /* bias may be NULL; dz: backward alone */
    float *z, *dy, *dm;
    bool add;
    int64_t T, out;
} job;

static void forward_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t end = FT_MIN(j->T, (tile + 1) * FT_ROW_TILE);
    for (int64_t t = tile * FT_ROW_TILE; t < end; t++)
        for (int64_t o = 0; o < j->out; o++)
            j->z[t * j->out + o] = j->y[t * j->out + o] * (j->magnitude[o] / j->norm[o]) + (j->bias ? j->bias[o] : 0);
}

static void backward_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t end = FT_MIN(j->T, (tile + 1) * FT_ROW_TILE);
    for (int64_t t = tile * FT_ROW_TILE; t < end; t++)
        for (int64_t o = 0; o < j->out; o++) {
            float d = j->dz[t * j->out + o] * (j->magnitude[o] / j->norm[o]);
            j->dy[t * j->out + o] = j->add ? j->dy[t * j->out + o] + d : d;
        }
}

static void magnitude_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t first = tile * COLUMNS, end = FT_MIN(j->out, first + COLUMNS);
    double sum[COLUMNS] = {0};
    for (int64_t t = 0; t < j->T; t++)
        for (int64_t o = first; o < end; o++)
            sum[o - first] += (double)j->dz[t * j->out + o] * (double)j->y[t * j->out + o];
    for (int64_t o = first; o < end; o++)
        j->dm[o] += (float)(sum[o - first] / (double)j->norm[o]);
}

static job job_of(ft_tape *t, const ft_node *n)
{
    const ft_param *magnitude = n->param[0], *bias = n->param[1];
    return (job){.y = ft_grad__value(t, n->in[0]),
                 .z = n->out->v,
                 .dz = n->out->g,
                 .magnitude = magnitude->t.data,
                 .norm = n->saved,
                 .bias = bias ? bias->t.data : NULL,
                 .dm = magnitude->grad,
                 .T = n->out->rows,
                 .out = n->out->cols};
}

static void run_forward(ft_tape *t, const ft_node *n)
{
    job j = job_of(t, n);
    ft_grad__run(t, ft_grad__row_tiles(j.T), forward_tile, &j);
}

static void backward(ft_tape *t, const ft_node *n)
{
    ft_var *y = n->in[0], *z = n->out;
    const ft_param *magnitude = n->param[0], *bias = n->param[1];
    job j = job_of(t, n);
    j.dy = ft_grad__of(t, y, &j.add);
    if (t->status != FT_OK)
        return;
    if (j.dy)
        ft_grad__run(t, ft_grad__row_tiles(j.T), backward_tile, &j);
    if (magnitude->trainable)
        ft_grad__run(t, (j.out + COLUMNS - 1) / COLUMNS, magnitude_tile, &j);
    if (!t->dry && ft_grad__trains(bias))
        ft_linear_grad_bias(bias->grad, z->g, z->rows, z->cols);
}

static bool is_vector_of(const ft_param *p, int64_t n)
{
    return !p || (p->t.dtype == &ft_f32 && ft_tensor_count(&p->t) == n);
}

ft_var *ft_op_dora(ft_tape *t, ft_var *y, ft_param *magnitude, const float *norm, ft_param *bias)
{
    const ft_op *op = &ft_grad__dora;
    char shape[96];
    if (!ft_grad__ready(t, op, &y, 1))
        return NULL;
    if (!is_vector_of(magnitude, y->cols) || !is_vector_of(bias, y->cols))
        return ft_grad__fail(t, op, FT_EINPUT, "y %s does not fit %s and its bias", ft_grad__shape(y, shape), magnitude->name);
    ft_var *z = ft_grad__result(t, y->rows, y->cols);
    if (!z)
        return NULL;
    return ft_grad__make(t, (ft_node){.op = op, .out = z, .in = {y}, .param = {magnitude, bias}, .saved = norm});
}

const ft_op ft_grad__dora = {
    .name = "dora",
    .saves = "y, the norms",
    .flops = "none",
    .backward = backward,
    .remake = run_forward,
    .cases = (const ft_op_case[]){{.T = 1, .out = 1}, {.T = 35, .out = 77, .bias = true}, {.T = 300, .out = 65}, {0}}};
