/* What goes into each linear of the tuned model on some rows: the moments that error feedback needs (feedback.c).
 *
 * The moments of a linear of n inputs are n * n floats. They are collected for as many linears at once, in the order of the
 * checkpoint, as fit into BUDGET_BYTES (one at least), and the rows are run again for the next ones: time is traded for
 * memory. q, k and v, or gate and up, are multiplied with the same x and share theirs.
 */
#include "export/internal.h"

#include "kernel/kernel.h"

#include <string.h>

enum { BATCH_TOKENS = 1024 };
#define BUDGET_BYTES ((size_t)512 << 20)

typedef struct moments {
    const ft_param *weight;
    int64_t n;
    float *h;        /* [n, n], NULL: shared, or not run yet */
    float *diagonal; /* [n] */
    size_t same;     /* the entry whose x it shares; its own number where it shares none */
    int64_t tokens;
    bool factored;
} moments;

struct ft_calibration {
    ft_model *model;
    const ft_rows *rows;
    size_t step; /* every step-th row is run */
    moments *p;  /* [n] those that are held */
    size_t n;
    /* while the rows are run */
    const float *last_x;
    int64_t last_tokens;
    size_t last;
    float *scratch, *parts;
    size_t parts_n;
    ft_status status;
};

ft_status ft_calibration_new(ft_calibration **out, ft_model *m, const ft_rows *rows, int64_t tokens)
{
    ft_calibration *c = ft_alloc(1, sizeof *c);
    *out = c;
    if (!c)
        return FT_ENOMEM;
    *c = (ft_calibration){.model = m, .rows = rows, .step = 1};
    if (!rows->n)
        return ft_fail(FT_EINPUT, "there are no rows to calibrate on");
    if (tokens > 0 && rows->tokens > tokens)
        c->step = (size_t)((rows->tokens + tokens - 1) / tokens);
    return (c->scratch = ft_alloc(ft_linear_scratch(), sizeof *c->scratch)) ? FT_OK : FT_ENOMEM;
}

static void drop(ft_calibration *c)
{
    for (size_t i = 0; i < c->n; i++) {
        ft_free(c->p[i].h);
        ft_free(c->p[i].diagonal);
    }
    ft_free(c->p);
    c->p = NULL;
    c->n = 0;
}

void ft_calibration_free(ft_calibration *c)
{
    if (!c)
        return;
    drop(c);
    ft_free(c->scratch);
    ft_free(c->parts);
    ft_free(c);
}

static moments *find(const ft_calibration *c, const ft_param *weight)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->p[i].weight == weight)
            return &c->p[i];
    return NULL;
}

/* ---- collecting ---- */

static ft_status make_room(ft_calibration *c, moments *e, int64_t T, int64_t n)
{
    size_t parts = ft_linear_parts(n, n, T);
    if (!e->h) {
        e->h = ft_alloc((size_t)n, (size_t)n * sizeof *e->h);
        e->diagonal = ft_alloc((size_t)n, sizeof *e->diagonal);
    }
    if (parts > c->parts_n) {
        ft_free(c->parts);
        c->parts_n = (c->parts = ft_alloc(parts, sizeof *c->parts)) ? parts : 0;
    }
    return e->h && e->diagonal && (!parts || c->parts) ? FT_OK : FT_ENOMEM;
}

static void on_linear(void *ctx, const ft_param *weight, const float *x, int64_t T, int64_t n)
{
    ft_calibration *c = ctx;
    moments *e = find(c, weight);
    if (!e || c->status != FT_OK || e->n != n)
        return;
    size_t at = (size_t)(e - c->p);
    bool shared = c->last_x == x && c->last_tokens == T && c->p[c->last].n == n &&
                  ft_model_layer_of(c->p[c->last].weight) == ft_model_layer_of(weight);
    c->last_x = x;
    c->last_tokens = T;
    e->tokens += T;
    if (shared) {
        e->same = c->p[c->last].same;
        return;
    }
    c->last = at;
    if ((c->status = make_room(c, e, T, n)) == FT_OK)
        ft_linear_grad_w(ft_engine_of(FT_COMPUTE_F32), e->h, x, x, T, n, n, c->scratch, c->parts);
}

/* Rows from *at on, end to end, as many as fit into BATCH_TOKENS (one at least). */
static ft_status run_batch(ft_calibration *c, ft_tape *t, size_t *at)
{
    int64_t n = 0;
    size_t rows = 0, first = *at;
    while (*at < c->rows->n && (!rows || n + c->rows->p[*at].n <= BATCH_TOKENS)) {
        n += c->rows->p[*at].n;
        rows++;
        *at += c->step;
    }
    int32_t *ids = ft_alloc((size_t)n, sizeof *ids);
    int64_t *start = ft_alloc(rows + 1, sizeof *start);
    ft_status st = ids && start ? FT_OK : FT_ENOMEM;
    for (size_t i = 0; st == FT_OK && i < rows; i++) {
        const ft_row *r = &c->rows->p[first + i * c->step];
        memcpy(ids + start[i], r->ids, (size_t)r->n * sizeof *ids);
        start[i + 1] = start[i] + r->n;
    }
    if (st == FT_OK) {
        ft_segments seg = {.n = (int64_t)rows, .start = start};
        ft_tape_begin(t, false, 0, 0);
        c->last_x = NULL;
        st = ft_model_forward(c->model, t, ids, n, &seg, NULL, 0) ? c->status : ft_tape_status(t);
    }
    ft_free(ids);
    ft_free(start);
    return st;
}

static ft_status run(ft_calibration *c)
{
    ft_tape *t = NULL;
    ft_status st = FT_OK;
    FT_TRY(ft_tape_new(&t));
    ft_model_watch(c->model, on_linear, c);
    for (size_t at = 0; at < c->rows->n;)
        FT_TRY(run_batch(c, t, &at));
done:
    ft_model_watch(c->model, NULL, NULL);
    ft_tape_free(t);
    return st;
}

/* The matrices from this one on that fit into the budget. */
static ft_status hold(ft_calibration *c, const ft_param *weight)
{
    size_t all = ft_model_count(c->model), i = 0, bytes = 0;
    drop(c);
    if (!(c->p = ft_alloc(all, sizeof *c->p)))
        return FT_ENOMEM;
    while (i < all && ft_model_at(c->model, i) != weight)
        i++;
    for (; i < all; i++) {
        const ft_param *w = ft_model_at(c->model, i);
        size_t n = (size_t)ft_tensor_cols(&w->t);
        if (w->t.ndim != 2 || ft_model_layer_of(w) < 0)
            continue;
        bytes += n * n * sizeof(float);
        if (c->n && bytes > BUDGET_BYTES)
            break;
        c->p[c->n] = (moments){.weight = w, .n = (int64_t)n, .same = c->n};
        c->n++;
    }
    return run(c);
}

/* ---- what a matrix gets ---- */

static void finish(moments *e)
{
    for (int64_t i = 0; i < e->n * e->n; i++)
        e->h[i] /= (float)e->tokens;
    ft_feedback_factor(e->h, e->diagonal, e->n);
    e->factored = true;
}

ft_status ft_calibration_of(ft_feedback *out, ft_calibration *c, const ft_param *weight, const ft_dtype *dtype)
{
    *out = (ft_feedback){0};
    if (!dtype->levels || weight->t.ndim != 2 || ft_model_layer_of(weight) < 0)
        return FT_OK;
    if (!find(c, weight))
        FT_RETURN(hold(c, weight));
    moments *e = find(c, weight);
    e = e ? &c->p[e->same] : NULL;
    if (!e || !e->h)
        return FT_OK; /* no linear of the forward pass */
    if (!e->factored)
        finish(e);
    *out = (ft_feedback){.dtype = dtype, .n = e->n, .factor = e->h, .importance = e->diagonal};
    return FT_OK;
}
