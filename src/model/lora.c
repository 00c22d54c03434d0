/* LoRA (Hu et al. 2021): y = W x + scale * B A dropout(x), A kaiming uniform, B zero; scale = alpha / r, with rsLoRA
 * (Kalajdzievski 2023) alpha / sqrt(r).
 *
 * With DoRA (Liu et al. 2024) the row o of W + scale * B A is then made as long as magnitude[o], which trains too. The
 * lengths that the rows have by themselves follow from few products, |w_o|^2 + 2 scale b_o (A W^T)_o + scale^2 b_o (A A^T)
 * b_o^T, and are constants of the backward walk. They are computed at every pass, as A and B change; of a frozen adapter
 * once.
 */
#include "model/adapter.h"

#include "base/rng.h"
#include "base/threads.h"

#include <math.h>

typedef struct norm_job {
    const float *b, *aw, *aa, *squares; /* [out, R], [R, out], [R, R], [out] */
    float scale, *norm;                 /* [out] */
    int64_t out, R;
} norm_job;

static void norm_of_row(void *ctx, int64_t o)
{
    const norm_job *j = ctx;
    const float *b = j->b + o * j->R;
    double cross = 0, own = 0, s = (double)j->scale;
    for (int64_t r = 0; r < j->R; r++) {
        double row = 0;
        for (int64_t q = 0; q < j->R; q++)
            row += (double)j->aa[r * j->R + q] * (double)b[q];
        cross += (double)b[r] * (double)j->aw[r * j->out + o];
        own += (double)b[r] * row;
    }
    j->norm[o] = (float)sqrt(fmax((double)j->squares[o] + 2 * s * cross + s * s * own, 1e-30));
}

/* The norms of the rows of W + scale B A, in memory that lasts as long as the step. */
static const float *norms_of(ft_tape *t, ft_adapted *at)
{
    ft_param fixed = {.name = at->a.name, .t = at->a.t}; /* as weights that nothing trains: no records */
    int64_t R = at->a.t.shape[0], in = at->a.t.shape[1], out = at->b.t.shape[0];
    if (at->has_norms)
        return at->norms;
    ft_var *a = ft_leaf(t, at->a.t.data, R, in, false);
    ft_var *aw = ft_op_linear(t, a, &at->on->p, NULL), *aa = ft_op_linear(t, a, &fixed, NULL);
    float *norm = at->a.trainable ? ft_tape_alloc(t, (size_t)out, sizeof *norm) : at->norms;
    if (!aw || !aa || !norm || ft_tape_is_dry(t))
        return norm;
    norm_job j = {.b = at->b.t.data, .aw = aw->v, .aa = aa->v, .squares = at->squares, .scale = at->scale, .norm = norm,
                  .out = out, .R = R};
    ft_parallel(out, norm_of_row, &j);
    at->has_norms = !at->a.trainable;
    return norm;
}

static ft_var *apply(ft_tape *t, ft_var *x, ft_param *w, ft_param *bias, const ft_adapter *adapter, ft_adapted *at,
                     const int64_t *token)
{
    bool dora = adapter->spec.dora, starts = at->start_a.t.data;
    ft_lora l = {.a = &at->a,
                 .b = &at->b,
                 .start_a = starts ? &at->start_a : NULL,
                 .start_b = starts ? &at->start_b : NULL,
                 .scale = at->scale,
                 .dropout = (float)adapter->spec.dropout,
                 .site = at->site,
                 .token = token};
    ft_var *y = ft_op_lora(t, x, w, dora ? NULL : bias, &l);
    const float *norm = y && dora ? norms_of(t, at) : NULL;
    return norm ? ft_op_dora(t, y, &at->magnitude, norm, bias) : y;
}

/* Kaiming uniform with a = sqrt(5), as PEFT does: bound = sqrt(6 / ((1 + a^2) in)) = 1 / sqrt(in). */
static void init(ft_adapted *at, uint64_t seed)
{
    float bound = (float)(1 / sqrt((double)at->a.t.shape[1]));
    ft_fill_uniform(at->a.t.data, (size_t)ft_tensor_count(&at->a.t), -bound, bound, seed, FT_STREAM_ADAPTER, at->site);
}

static float scale(int64_t r, double alpha, bool rslora)
{
    return (float)(alpha / (rslora ? sqrt((double)r) : (double)r));
}

const ft_adapter_kind ft_adapter_lora = {
    .name = "lora",
    .peft_type = "LORA",
    .apply = apply,
    .init = init,
    .scale = scale,
    .help = "low-rank update B A beside each target linear",
};
