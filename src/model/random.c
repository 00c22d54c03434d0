/* Models for measuring: random weights of a config's shapes, stored as a file of some dtype would store them.
 *
 * Uniform numbers of the standard deviation that an untrained model has; norms are 1 and biases 0. Rows are made in
 * parallel and encoded one by one, so nothing but the model itself is ever held.
 */
#include "model/arch.h"

#include "base/rng.h"
#include "base/threads.h"

#include <math.h>

enum { ROWS = 16 }; /* of a tile */

typedef struct filling {
    ft_tensor t;
    uint64_t seed, weight;
    float *room; /* [threads, cols]; NULL: f32 is made in place */
} filling;

static void fill_row(const filling *f, int64_t r)
{
    int64_t cols = ft_tensor_cols(&f->t);
    const float bound = (float)(0.02 * sqrt(3));
    void *row = (char *)f->t.data + (size_t)r * ft_tensor_row_bytes(&f->t);
    float *x = f->room ? f->room + ft_thread_id() * cols : row;
    ft_fill_uniform(x, (size_t)cols, -bound, bound, f->seed, FT_STREAM_INIT, f->weight << 32 | (uint64_t)r);
    if (f->room)
        f->t.dtype->encode(x, NULL, cols, row);
}

static void fill_tile(void *ctx, int64_t tile)
{
    const filling *f = ctx;
    int64_t end = FT_MIN(ft_tensor_rows(&f->t), (tile + 1) * ROWS);
    for (int64_t r = tile * ROWS; r < end; r++)
        fill_row(f, r);
}

/* asked NULL: all rows. */
static ft_status fill_matrix(ft_weight *w, uint64_t seed, uint64_t number, const ft_id_list *asked)
{
    filling f = {.t = w->p.t, .seed = seed, .weight = number};
    size_t cols = (size_t)ft_tensor_cols(&f.t);
    if (f.t.dtype != &ft_f32 && !(f.room = ft_alloc((size_t)ft_threads() * cols, sizeof(float))))
        return FT_ENOMEM;
    for (int64_t i = 0; asked && i < asked->n; i++)
        fill_row(&f, asked->ids[i]);
    if (!asked)
        ft_parallel((ft_tensor_rows(&f.t) + ROWS - 1) / ROWS, fill_tile, &f);
    ft_free(f.room);
    return FT_OK;
}

static ft_status make_weight(ft_model *m, size_t i, const ft_dtype *dtype, uint64_t seed, const ft_id_list *asked)
{
    ft_weight *w = &m->weights[i];
    bool vector = w->p.t.ndim == 1, looked_up = w == m->outer[FT_W_EMBED] && w != m->outer[FT_W_HEAD];
    size_t bytes;
    w->p.t.dtype = w->stored = vector ? &ft_f32 : ft_dtype_for_rows(dtype, ft_tensor_cols(&w->p.t));
    FT_RETURN(ft_context(ft_tensor_check(w->p.t.dtype, w->p.t.ndim, w->p.t.shape, &bytes), "%s", w->name));
    w->owned = w->p.t.data = vector ? ft_alloc(bytes, 1) : ft_alloc_raw(bytes, 1);
    if (!w->owned)
        return FT_ENOMEM;
    if (!vector)
        return fill_matrix(w, seed, i, looked_up ? asked : NULL);
    for (int64_t k = 0; w->spec->role == FT_ROLE_NORM && k < w->p.t.shape[0]; k++)
        ((float *)w->owned)[k] = 1 - m->config.norm_plus;
    return FT_OK;
}

ft_status ft_weights__random(ft_model *m, const ft_dtype *dtype, uint64_t seed, const ft_id_list *asked)
{
    for (size_t i = 0; i < m->n; i++)
        FT_RETURN(make_weight(m, i, dtype, seed, asked));
    return FT_OK;
}
