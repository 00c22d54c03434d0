/* Merging: rows of a weight as the tuned model sees them, in f32.
 *
 * W + scale * B A: the delta of a row is summed over the rank first and added to W once, so that a small update keeps
 * its low bits until the last rounding. With DoRA the row is then made as long as its magnitude says. A saved module
 * replaces W. Nothing larger than the rows asked for is held, and
 * A and B where they are not stored as f32.
 */
#include "export/internal.h"

#include "base/threads.h"
#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

enum { COLUMNS = 512 }; /* of A at a time: R * COLUMNS floats stay in cache */

typedef struct merge {
    const ft_kernels *kernels;
    const ft_tensor *w;
    const int64_t *order; /* model row of a row asked for, NULL: the same */
    int64_t r0, in, rank;
    const float *a; /* [rank, in], NULL: no adapter */
    const float *b; /* [rows of w, rank] */
    float scale;
    const float *magnitude; /* [rows of w], NULL: no DoRA */
    float *out;             /* [rows asked for, in] */
} merge;

/* x [n] to this norm. */
static void stretch(float *x, int64_t n, float norm)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    float factor = (float)((double)norm / sqrt(fmax(sum, 1e-30)));
    for (int64_t i = 0; i < n; i++)
        x[i] *= factor;
}

static void merge_row(void *ctx, int64_t i)
{
    const merge *m = ctx;
    int64_t row = m->order ? m->order[m->r0 + i] : m->r0 + i;
    float *out = m->out + i * m->in, delta[COLUMNS];
    ft_tensor_decode_rows(m->w, row, row + 1, out);
    for (int64_t j0 = 0; m->a && j0 < m->in; j0 += COLUMNS) {
        int64_t n = FT_MIN(m->in - j0, (int64_t)COLUMNS);
        memset(delta, 0, (size_t)n * sizeof *delta);
        m->kernels->rows_mix(delta, m->a + j0, m->in, m->rank, m->b + row * m->rank, n);
        m->kernels->axpy(out + j0, m->scale, delta, n);
    }
    if (m->magnitude)
        stretch(out, m->in, m->magnitude[row]);
}

/* A tensor as f32: in place where it is stored so, else in *own (ft_free). */
static const float *as_f32(const ft_tensor *t, float **own)
{
    if (t->dtype == &ft_f32)
        return t->data;
    if ((*own = ft_alloc((size_t)ft_tensor_count(t), sizeof **own)))
        ft_tensor_decode_rows(t, 0, ft_tensor_rows(t), *own);
    return *own;
}

ft_status ft_export__merge(ft_model *model, const ft_param *weight, const int64_t *order, int64_t r0, int64_t r1, float *out)
{
    const ft_param *saved = ft_adapter_saved(model, weight);
    ft_param *a, *b;
    float *own_a = NULL, *own_b = NULL;
    ft_status st = FT_OK;
    merge m = {.kernels = ft_kernels_active(), .w = saved ? &saved->t : &weight->t, .order = order, .r0 = r0, .out = out};
    m.in = ft_tensor_cols(m.w);
    if (!saved && ft_adapter_on(model, weight, &a, &b, &m.scale)) {
        const ft_param *magnitude = ft_adapter_magnitude(model, weight);
        m.magnitude = magnitude ? magnitude->t.data : NULL;
        m.rank = ft_tensor_rows(&a->t);
        m.a = as_f32(&a->t, &own_a);
        m.b = as_f32(&b->t, &own_b);
        if (!m.a || !m.b) {
            st = FT_ENOMEM;
            goto done;
        }
    }
    ft_parallel(r1 - r0, merge_row, &m);
done:
    ft_free(own_a);
    ft_free(own_b);
    return st;
}

ft_status ft_merge_rows(ft_model *m, const ft_param *weight, int64_t r0, int64_t r1, float *out)
{
    return ft_export__merge(m, weight, NULL, r0, r1, out);
}
