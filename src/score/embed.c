/* Vectors of texts: batches of up to tokens_per_batch tokens, the longest texts first, without records.
 * Memory: one batch's segments and the tape's step.
 */
#include "base/threads.h"
#include "score/passes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_BATCH_TOKENS = 1024 };

typedef struct embedding {
    ft_model *m;
    ft_tape *tape;
    const ft_text *texts;
    int64_t *order; /* [n], the longest first */
    int32_t *ids;   /* [cap] */
    int64_t *start; /* [n + 1] */
    int64_t cap;
} embedding;

static int longest_first(const void *a, const void *b, void *texts)
{
    const ft_text *t = texts;
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    if (t[x].n != t[y].n)
        return t[x].n > t[y].n ? -1 : 1;
    return (x > y) - (x < y);
}

static ft_status make_room(embedding *e, size_t n, int64_t tokens)
{
    e->cap = tokens > 0 ? tokens : DEFAULT_BATCH_TOKENS;
    e->order = ft_alloc(n, sizeof *e->order);
    e->start = ft_alloc(n + 1, sizeof *e->start);
    if (!e->order || !e->start)
        return FT_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        e->order[i] = (int64_t)i;
        e->cap = FT_MAX(e->cap, e->texts[i].n);
    }
    qsort_r(e->order, n, sizeof *e->order, longest_first, (void *)e->texts);
    e->ids = ft_alloc((size_t)e->cap, sizeof *e->ids);
    return e->ids ? ft_tape_new(&e->tape) : FT_ENOMEM;
}

static void embedding_free(embedding *e)
{
    ft_tape_free(e->tape);
    ft_free(e->order);
    ft_free(e->ids);
    ft_free(e->start);
}

/* The vectors of texts from..: *y, and how many they are. */
static ft_status run_batch(embedding *e, size_t from, size_t n, ft_var **y, size_t *taken)
{
    int64_t T = 0, k = 0;
    while (from + (size_t)k < n && T + e->texts[e->order[from + (size_t)k]].n <= e->cap) {
        const ft_text *t = &e->texts[e->order[from + (size_t)k]];
        memcpy(e->ids + T, t->ids, (size_t)t->n * sizeof *t->ids);
        T += t->n;
        e->start[++k] = T;
    }
    ft_segments seg = {.n = k, .start = e->start};
    ft_tape_begin(e->tape, false, 0, 0);
    *y = ft_model_vectors(e->m, e->tape, e->ids, T, &seg, 0);
    *taken = (size_t)k;
    return ft_tape_status(e->tape);
}

typedef struct fitting {
    float *vectors;
    int64_t C, dims;
    bool normalize;
} fitting;

static void fit_one(void *ctx, int64_t i)
{
    const fitting *f = ctx;
    const ft_kernels *k = ft_kernels_active();
    float *x = f->vectors + i * f->C;
    memset(x + f->dims, 0, (size_t)(f->C - f->dims) * sizeof *x);
    if (f->normalize)
        k->scale(x, (float)(1 / fmax(sqrt(k->sum_squares(x, f->dims)), 1e-12)), f->dims);
}

void ft_vectors_fit(float *vectors, int64_t n, int64_t C, int64_t dims, bool normalize)
{
    fitting f = {.vectors = vectors, .C = C, .dims = dims > 0 && dims < C ? dims : C, .normalize = normalize};
    ft_parallel(n, fit_one, &f);
}

static ft_status check_finite(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return ft_fail(FT_ENUMERIC, "a vector holds %g: the weights or the activations are not finite", (double)x[i]);
    return FT_OK;
}

ft_status ft_embed(float *out, ft_model *m, const ft_text *texts, size_t n, const ft_score_options *o)
{
    embedding e = {.m = m, .texts = texts};
    ft_score__clock clock = {.options = o, .what = "vectors", .total = n};
    int64_t C = ft_model_config(m)->hidden_size;
    ft_status st = FT_OK;
    size_t taken;
    FT_RETURN(ft_model_check_pooling(m));
    FT_TRY(make_room(&e, n, o->tokens_per_batch));
    for (size_t i = 0; i < n; i += taken) {
        ft_var *y;
        FT_TRY(ft_score__tick(&clock, i));
        FT_TRY(run_batch(&e, i, n, &y, &taken));
        FT_TRY(check_finite(y->v, y->rows * C));
        for (size_t k = 0; k < taken; k++)
            memcpy(out + e.order[i + k] * C, y->v + (int64_t)k * C, (size_t)C * sizeof *out);
    }
    st = ft_score__tick(&clock, n);
done:
    embedding_free(&e);
    return st;
}

ft_status ft_score__measure_embed(size_t *bytes, ft_model *m, const ft_text *texts, size_t n, const ft_score_options *o)
{
    embedding e = {.m = m, .texts = texts};
    ft_status st = FT_OK;
    ft_var *y;
    size_t taken;
    FT_TRY(make_room(&e, n, o->tokens_per_batch));
    ft_tape_dry(e.tape, true);
    FT_TRY(run_batch(&e, 0, n, &y, &taken));
    ft_tape_stats t = ft_tape_stats_of(e.tape);
    *bytes = t.peak_bytes + t.table_bytes;
done:
    embedding_free(&e);
    return st;
}
