/* Truncated singular value decomposition by products with random vectors (Halko, Martinsson, Tropp 2011).
 *
 * k = r + EXTRA random vectors x_i are multiplied to y_i = W x_i and back to W^T y_i a few times, made orthonormal in between,
 * which leaves them in the span of the first singular vectors. Then W is near the sum of y_i (W^T y_i)^T, and of the matrix of
 * the W^T y_i, which is small, LAPACK knows the decomposition.
 *
 * W is only ever multiplied with, so that a stored type is decoded in tiles. Memory: 2 k (in + out) floats.
 * LAPACK's matrices go down their columns: k vectors one behind the other are a matrix [n, k] there.
 */
#include "kernel/lowrank.h"

#include "base/mem.h"
#include "base/rng.h"
#include "kernel/kernel.h"

#include <cblas.h>
#include <math.h>

enum { EXTRA = 8, ROUNDS = 4, BLOCK = 64 }; /* BLOCK: LAPACK's, for its working memory */

void sgeqrf_(const blasint *m, const blasint *n, float *a, const blasint *lda, float *tau, float *work, const blasint *lwork,
             blasint *info);
void sorgqr_(const blasint *m, const blasint *n, const blasint *k, float *a, const blasint *lda, const float *tau, float *work,
             const blasint *lwork, blasint *info);
void sgesdd_(const char *jobz, const blasint *m, const blasint *n, float *a, const blasint *lda, float *s, float *u,
             const blasint *ldu, float *vt, const blasint *ldvt, float *work, const blasint *lwork, blasint *iwork,
             blasint *info);

typedef struct sketch {
    const ft_tensor *w;
    const ft_engine *engine;
    int64_t k, in, out;
    float *x, *y;           /* [k, in], [k, out] */
    float *scratch, *parts; /* of the products */
    float *tau, *work;      /* [k], [k BLOCK] */
    float *s, *u, *vt;      /* the small decomposition: [k], [k, in], [k, k] */
} sketch;

static ft_status check_info(blasint info)
{
    return info ? ft_fail(FT_ENUMERIC, "a matrix cannot be decomposed: it holds values that are not finite") : FT_OK;
}

/* k vectors of n, n >= k, to orthonormal ones of the same span. */
static ft_status orthonormalize(const sketch *d, float *v, int64_t n)
{
    blasint rows = (blasint)n, k = (blasint)d->k, lwork = (blasint)(d->k * BLOCK), info;
    sgeqrf_(&rows, &k, v, &rows, d->tau, d->work, &lwork, &info);
    FT_RETURN(check_info(info));
    sorgqr_(&rows, &k, &k, v, &rows, d->tau, d->work, &lwork, &info);
    return check_info(info);
}

/* y becomes orthonormal vectors that span the most of W, x their products W^T y. */
static ft_status find_span(const sketch *d)
{
    for (int i = 0; i <= ROUNDS; i++) {
        ft_linear_forward(d->engine, d->y, d->x, d->k, d->w, NULL, NULL, d->scratch);
        FT_RETURN(orthonormalize(d, d->y, d->out));
        ft_linear_grad_x(d->engine, d->x, d->y, d->k, d->w, NULL, false, d->scratch, d->parts);
        if (i < ROUNDS)
            FT_RETURN(orthonormalize(d, d->x, d->in));
    }
    return FT_OK;
}

/* The k vectors of x as u s vt; x is used up. */
static ft_status decompose(const sketch *d)
{
    blasint in = (blasint)d->in, k = (blasint)d->k, lwork = -1, info;
    float asked = 0;
    blasint *iwork = ft_alloc((size_t)d->k * 8, sizeof *iwork);
    if (!iwork)
        return FT_ENOMEM;
    sgesdd_("S", &in, &k, d->x, &in, d->s, d->u, &in, d->vt, &k, &asked, &lwork, iwork, &info);
    lwork = (blasint)asked + 1;
    float *work = ft_alloc((size_t)lwork, sizeof *work);
    if (work)
        sgesdd_("S", &in, &k, d->x, &in, d->s, d->u, &in, d->vt, &k, work, &lwork, iwork, &info);
    ft_free(work);
    ft_free(iwork);
    return work ? check_info(info) : FT_ENOMEM;
}

/* a_j = sqrt(s_j / scale) u_j; b's column j likewise of the sum of vt[j, i] y_i. */
static void split(const sketch *d, float *a, float *b, int64_t r, float scale)
{
    for (int64_t j = 0; j < r; j++) {
        float root = sqrtf(d->s[j] / scale);
        for (int64_t i = 0; i < d->in; i++)
            a[j * d->in + i] = root * d->u[j * d->in + i];
        for (int64_t o = 0; o < d->out; o++) {
            double sum = 0;
            for (int64_t i = 0; i < d->k; i++)
                sum += (double)d->vt[j + i * d->k] * (double)d->y[i * d->out + o];
            b[o * r + j] = root * (float)sum;
        }
    }
}

static void sketch_free(sketch *d)
{
    float *const all[] = {d->x, d->y, d->scratch, d->parts, d->tau, d->work, d->s, d->u, d->vt};
    for (size_t i = 0; i < FT_COUNT(all); i++)
        ft_free(all[i]);
}

static ft_status sketch_new(sketch *d, const ft_tensor *w, int64_t r)
{
    int64_t in = w->shape[1], out = w->shape[0], k = FT_MIN(r + EXTRA, FT_MIN(in, out));
    size_t n = (size_t)k, parts = ft_linear_parts(k, in, out);
    *d = (sketch){.w = w, .engine = ft_engine_of(FT_COMPUTE_F32), .k = k, .in = in, .out = out};
    d->x = ft_alloc(n, (size_t)in * sizeof *d->x);
    d->y = ft_alloc(n, (size_t)out * sizeof *d->y);
    d->u = ft_alloc(n, (size_t)in * sizeof *d->u);
    d->vt = ft_alloc(n, n * sizeof *d->vt);
    d->s = ft_alloc(n, sizeof *d->s);
    d->tau = ft_alloc(n, sizeof *d->tau);
    d->work = ft_alloc(n, BLOCK * sizeof *d->work);
    d->scratch = ft_alloc(ft_linear_scratch(), sizeof *d->scratch);
    d->parts = parts ? ft_alloc(parts, sizeof *d->parts) : NULL;
    bool all = d->x && d->y && d->u && d->vt && d->s && d->tau && d->work && d->scratch && (d->parts || !parts);
    return all ? FT_OK : FT_ENOMEM;
}

ft_status ft_low_rank(float *a, float *b, const ft_tensor *w, int64_t r, float scale, uint64_t seed, uint64_t step)
{
    sketch d;
    ft_status st = FT_OK;
    if (r < 1 || r > FT_MIN(w->shape[0], w->shape[1]))
        return ft_fail(FT_EINPUT, "rank %lld of a matrix [%lld, %lld]", (long long)r, (long long)w->shape[0],
                       (long long)w->shape[1]);
    FT_TRY(sketch_new(&d, w, r));
    ft_fill_normal(d.x, (size_t)(d.k * d.in), 1, seed, FT_STREAM_ADAPTER, step);
    FT_TRY(find_span(&d));
    FT_TRY(decompose(&d));
    split(&d, a, b, r, scale);
done:
    sketch_free(&d);
    return st;
}
