/* The weights of an untrained model: normal numbers that follow from the seed, the weight's place and the element's.
 *
 * Memory: a model that is to be trained has all of them at once. Of one that is only to be written, a weight is made when
 * the writer holds it and freed when it is released, so that models of any size can be made.
 */
#include "model/arch.h"

#include "base/rng.h"
#include "base/threads.h"

#include <math.h>

enum { TILE = 1 << 16 }; /* elements, a multiple of 4 */

typedef struct filling {
    float *x; /* [n] */
    int64_t n;
    float std;
    uint64_t seed, number; /* of the weight in the model */
} filling;

static void fill_tile(void *ctx, int64_t tile)
{
    const filling *f = ctx;
    int64_t first = tile * TILE, n = FT_MIN(f->n - first, (int64_t)TILE);
    ft_fill_normal_at(f->x + first, (size_t)first, (size_t)n, f->std, f->seed, FT_STREAM_INIT, f->number);
}

static ft_status make(const ft_model *m, ft_weight *w)
{
    int64_t n = ft_tensor_count(&w->p.t);
    filling f = {.n = n, .std = (float)m->init_std, .seed = m->init_seed, .number = (uint64_t)(w - m->weights)};
    w->owned = w->p.t.data = f.x = ft_alloc((size_t)n, sizeof(float));
    if (!f.x)
        return FT_ENOMEM;
    if (w->spec->role == FT_ROLE_NORM) {
        for (int64_t k = 0; k < n; k++)
            f.x[k] = 1 - m->config.norm_plus;
    } else if (w->spec->role != FT_ROLE_BIAS) {
        if (w->spec->residual)
            f.std = (float)(m->init_std / sqrt(2 * (double)m->config.num_hidden_layers));
        ft_parallel((n + TILE - 1) / TILE, fill_tile, &f);
    }
    return FT_OK;
}

ft_status ft_weights__init(ft_model *m, uint64_t seed)
{
    FT_RETURN(ft_json_f64(m->config.json, "initializer_range", m->path, 0.02, &m->init_std));
    m->init_seed = seed;
    for (size_t i = 0; i < m->n; i++) {
        ft_weight *w = &m->weights[i];
        w->p.t.dtype = w->stored = &ft_f32;
        if (!m->unmade)
            FT_RETURN(make(m, w));
    }
    return FT_OK;
}

/* The model's own weight that was handed out as p. */
static ft_weight *own(ft_model *m, const ft_param *p)
{
    return &m->weights[(const ft_weight *)p - m->weights];
}

ft_status ft_model_hold(ft_model *m, const ft_param *weight)
{
    return m->unmade ? make(m, own(m, weight)) : FT_OK;
}

void ft_model_release(ft_model *m, const ft_param *weight)
{
    if (m->unmade) {
        ft_weight *w = own(m, weight);
        ft_free(w->owned);
        w->owned = w->p.t.data = NULL;
    } else if (m->source) {
        ft_container_forget(m->source, &weight->t);
    }
}
