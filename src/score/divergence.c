/* How far a model's next tokens are from another's, at the supervised positions of a batch:
 *
 *   KL(p || q) = sum over v of p[v] (log p[v] - log q[v])      p of the reference, q of the model that is scored
 *
 * Logits of both are made for so many positions at once as fit into CHUNK_FLOATS; no [T, V] is held.
 */
#include "score/passes.h"

#include "base/threads.h"
#include "kernel/kernel.h"

#include <math.h>

enum { CHUNK_FLOATS = 1 << 22 };

ft_status ft_score__divergence_open(ft_score__divergence *d, ft_model *reference, ft_model *m, int64_t positions)
{
    int64_t V = ft_tensor_rows(&ft_model_head(m)->t);
    *d = (ft_score__divergence){.reference = reference, .V = V};
    FT_RETURN(ft_model_check_head(reference));
    if (ft_tensor_rows(&ft_model_head(reference)->t) != V)
        return ft_fail(FT_EINPUT, "%s has %lld tokens and %s %lld: their choices cannot be compared", ft_model_path(m),
                       (long long)V, ft_model_path(reference), (long long)ft_tensor_rows(&ft_model_head(reference)->t));
    d->index = ft_alloc((size_t)positions, sizeof *d->index);
    d->of_row = ft_alloc((size_t)positions, sizeof *d->of_row);
    d->room = ft_alloc((size_t)ft_threads(), (size_t)V * sizeof *d->room);
    return d->index && d->of_row && d->room ? ft_tape_new(&d->tape) : FT_ENOMEM;
}

void ft_score__divergence_close(ft_score__divergence *d)
{
    ft_tape_free(d->tape);
    ft_free(d->index);
    ft_free(d->of_row);
    ft_free(d->room);
    *d = (ft_score__divergence){0};
}

typedef struct chunk {
    const ft_kernels *k;
    const float *p, *q; /* [n, V] logits */
    float *room;        /* [threads, V] */
    double *kl;         /* [n] */
    int64_t V;
} chunk;

static void row(void *ctx, int64_t i)
{
    const chunk *c = ctx;
    const float *p = c->p + i * c->V, *q = c->q + i * c->V;
    float *e = c->room + ft_thread_id() * c->V, p_top = c->k->max(p, c->V), q_top = c->k->max(q, c->V);
    double q_log = log(c->k->exp_sum(e, q, q_top, c->V)) + q_top, p_sum = c->k->exp_sum(e, p, p_top, c->V), apart = 0;
    for (int64_t v = 0; v < c->V; v++)
        apart += (double)e[v] * ((double)p[v] - q[v]);
    c->kl[i] = fmax(apart / p_sum - (log(p_sum) + p_top) + q_log, 0); /* below 0 by rounding alone */
}

/* Logits [n, V] of n of the positions. */
static ft_var *logits(ft_tape *t, ft_model *m, ft_var *x, const int64_t *index, int64_t n)
{
    ft_var *rows = ft_op_rows(t, x, index, n);
    return rows ? ft_op_logits(t, rows, ft_model_head(m), ft_model_softcap(m)) : NULL;
}

static ft_status add_chunk(ft_score__divergence *d, ft_model *m, ft_tape *t, ft_var *p, ft_var *q, const int64_t *index,
                           int64_t n)
{
    ft_tape_mark p_mark = ft_tape_now(d->tape), q_mark = ft_tape_now(t);
    const ft_var *a = logits(d->tape, d->reference, p, index, n), *b = logits(t, m, q, index, n);
    FT_RETURN(ft_tape_status(d->tape));
    FT_RETURN(ft_tape_status(t));
    chunk c = {.k = ft_kernels_active(), .p = a->v, .q = b->v, .room = d->room, .kl = d->of_row, .V = d->V};
    ft_parallel(n, row, &c);
    for (int64_t i = 0; i < n; i++)
        d->sum += d->of_row[i];
    ft_tape_rewind(d->tape, p_mark, NULL);
    ft_tape_rewind(t, q_mark, NULL);
    return FT_OK;
}

ft_status ft_score__divergence_add(ft_score__divergence *d, ft_model *m, ft_tape *t, ft_var *x, const int32_t *ids,
                                   const int32_t *targets, const ft_segments *seg)
{
    int64_t n = 0, most = FT_MAX(CHUNK_FLOATS / d->V, (int64_t)1);
    for (int64_t i = 0; i < x->rows; i++)
        if (targets[i] >= 0)
            d->index[n++] = i;
    ft_tape_begin(d->tape, false, 0, 0);
    ft_var *p = ft_model_forward(d->reference, d->tape, ids, seg->start[seg->n], seg, NULL, 0);
    if (!p)
        return ft_tape_status(d->tape);
    for (int64_t i = 0; i < n; i += most)
        FT_RETURN(add_chunk(d, m, t, p, x, d->index + i, FT_MIN(most, n - i)));
    return isfinite(d->sum) ? FT_OK : ft_fail(FT_ENUMERIC, "the divergence is %g: logits are not finite", d->sum);
}
