/* A base of full precision held in fewer bits: each linear is encoded on its way in, row by row on all threads.
 *
 * Memory: the encoded tensor and a row in f32 for each thread. The pages of the file that were read are given back to the
 * system after each tensor (weights.c), so that neither the model in f32 nor the whole file ever counts as resident.
 */
#include "model/arch.h"

#include "base/threads.h"

#include <math.h>
#include <string.h>

typedef struct encoding {
    const ft_tensor *from;
    const ft_tensor *to; /* of the same shape, its data being filled */
    const int64_t *perm;
    int64_t cols;
    float *rows; /* [threads, cols] */
    char *bad;   /* [rows of from] */
} encoding;

static void encode_row(void *ctx, int64_t r)
{
    const encoding *e = ctx;
    float *x = e->rows + (size_t)ft_thread_id() * (size_t)e->cols;
    float largest = 0;
    ft_tensor_decode_rows(e->from, r, r + 1, x);
    for (int64_t i = 0; i < e->cols; i++)
        largest = isfinite(x[i]) ? fmaxf(largest, fabsf(x[i])) : INFINITY;
    e->bad[r] = !(largest <= e->to->dtype->largest);
    e->to->dtype->encode(x, NULL, e->cols, (char *)e->to->data + (size_t)(e->perm ? e->perm[r] : r) * ft_tensor_row_bytes(e->to));
}

static ft_status check_rows(const encoding *e, const char *name, const char *where)
{
    for (int64_t r = 0; r < ft_tensor_rows(e->from); r++)
        if (e->bad[r])
            return ft_fail(FT_ENUMERIC, "%s: tensor %s, row %lld: a value is not finite or too large for %s", where, name,
                           (long long)r, e->to->dtype->name);
    return FT_OK;
}

ft_status ft_weights__quantize(const ft_model *m, ft_weight *w, const ft_named *from, const int64_t *perm)
{
    ft_status st = FT_OK;
    encoding e = {.from = &from->t, .to = &w->p.t, .perm = perm, .cols = ft_tensor_cols(&from->t)};
    w->p.t = from->t;
    w->p.t.dtype = ft_dtype_for_rows(m->quantize_base, e.cols);
    if (m->outline)
        return FT_OK;
    w->p.t.data = w->owned = ft_alloc((size_t)ft_tensor_rows(&w->p.t), ft_tensor_row_bytes(&w->p.t));
    e.rows = ft_alloc((size_t)ft_threads(), (size_t)e.cols * sizeof *e.rows);
    e.bad = ft_alloc((size_t)ft_tensor_rows(&from->t), 1);
    FT_TRY(w->owned && e.rows && e.bad ? FT_OK : FT_ENOMEM);
    ft_parallel(ft_tensor_rows(&from->t), encode_row, &e);
    st = check_rows(&e, from->name, ft_container_path(m->source));
done:
    ft_free(e.rows);
    ft_free(e.bad);
    return st;
}

ft_status ft_weights__check_scales(const ft_named *t, const char *where)
{
    int64_t row;
    if (ft_tensor_finite(&t->t, &row))
        return FT_OK;
    return ft_fail(FT_ENUMERIC, "%s: tensor %s, row %lld: a scale of a %s block is not finite", where, t->name,
                   (long long)row, t->t.dtype->name);
}
