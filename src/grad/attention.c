/* attention: softmax(scale q k^T) v over ragged segments, grouped queries, online softmax; nothing of [T, T] exists.
 *
 * A tile of the work is one query block of one segment with all query heads of one kv head (grad/attention.h). For each
 * block of keys its scores join the running maximum m and sum l of every query: what was summed before is scaled by
 * exp(m_old - m_new). Kept for backward: the output and m + log l.
 *
 * In decoding the new keys and values go to the cache first, and all keys are read from there.
 */
#include "grad/attention.h"

#include <math.h>
#include <string.h>

enum { FEW_QUERIES = 4 }; /* below it, dot products beat GEMM */

typedef struct saved {
    ft_attention_spec spec;
    const ft_segments *seg;
    const int64_t *query_start;
    const float *lse;
} saved;

/* ---- one query block under one head ---- */

typedef struct block {
    const float *q, *keys, *values;
    float *out, *lse;                     /* lse: stride H */
    int64_t segment, first, rows, n_keys; /* rows of q from `first` on */
} block;

static void scores_of(const ft_attention_job *j, const block *b, int64_t at, int64_t n, float *s)
{
    int64_t D = j->spec->head_dim;
    const float *keys = b->keys + at * j->key_step;
    if (b->rows >= FEW_QUERIES) {
        ft_gemm(j->e, false, true, b->rows, n, D, j->spec->scale, b->q, j->q_width, keys, j->key_step, false, s,
                FT_KEY_BLOCK, j->room);
        return;
    }
    for (int64_t r = 0; r < b->rows; r++) {
        j->k->rows_dot(s + r * FT_KEY_BLOCK, keys, j->key_step, n, b->q + r * j->q_width, D);
        j->k->scale(s + r * FT_KEY_BLOCK, j->spec->scale, n);
    }
}

static void mix_values(const ft_attention_job *j, const block *b, int64_t at, int64_t n, const float *p)
{
    int64_t D = j->spec->head_dim;
    const float *values = b->values + at * j->key_step;
    if (b->rows >= FEW_QUERIES) {
        ft_gemm(j->e, false, false, b->rows, D, n, 1, p, FT_KEY_BLOCK, values, j->key_step, true, b->out, j->q_width,
                j->room);
        return;
    }
    for (int64_t r = 0; r < b->rows; r++)
        j->k->rows_mix(b->out + r * j->q_width, values, j->key_step, n, p + r * FT_KEY_BLOCK, D);
}

/* Scores of query r become exp(score - m); the running maximum, sum and output follow. Keys out of sight get 0. */
static void soften_row(const ft_attention_job *j, const block *b, int64_t r, ft_span see, int64_t n, float *s, float *m,
                       double *l)
{
    memset(s, 0, (size_t)see.first * sizeof *s);
    memset(s + see.end, 0, (size_t)(n - see.end) * sizeof *s);
    int64_t seen = see.end - see.first;
    if (!seen)
        return;
    if (j->spec->softcap > 0)
        j->k->softcap(s + see.first, j->spec->softcap, seen);
    float top = j->k->max(s + see.first, seen);
    if (top > *m) {
        float shrink = expf(*m - top);
        if (*l > 0)
            j->k->scale(b->out + r * j->q_width, shrink, j->spec->head_dim);
        *l *= shrink;
        *m = top;
    }
    *l += j->k->exp_sum(s + see.first, s + see.first, *m, seen);
}

static void run_block(const ft_attention_job *j, const block *b, float *scratch)
{
    int64_t D = j->spec->head_dim, H = j->spec->heads;
    float m[FT_QUERY_BLOCK];
    double l[FT_QUERY_BLOCK];
    for (int64_t r = 0; r < b->rows; r++) {
        memset(b->out + r * j->q_width, 0, (size_t)D * sizeof *b->out);
        m[r] = -INFINITY;
        l[r] = 0;
    }
    int64_t from = ft_attention_position(j, b->segment, b->first);
    int64_t last = ft_attention_position(j, b->segment, b->first + b->rows - 1);
    ft_span all = ft_attention_span(j->spec, from, last + 1, b->n_keys);
    for (int64_t at = all.first; at < all.end; at += FT_KEY_BLOCK) {
        int64_t n = FT_MIN((int64_t)FT_KEY_BLOCK, all.end - at);
        scores_of(j, b, at, n, scratch);
        for (int64_t r = 0; r < b->rows; r++) {
            int64_t i = ft_attention_position(j, b->segment, b->first + r);
            ft_span see = ft_attention_span(j->spec, i, i + 1, b->n_keys);
            soften_row(j, b, r, ft_attention_cut(see, at, n), n, scratch + r * FT_KEY_BLOCK, &m[r], &l[r]);
        }
        mix_values(j, b, at, n, scratch);
    }
    for (int64_t r = 0; r < b->rows; r++) {
        j->k->scale(b->out + r * j->q_width, (float)(1 / l[r]), D);
        if (b->lse)
            b->lse[r * H] = m[r] + (float)log(l[r]);
    }
}

static void forward_tile(void *ctx, int64_t tile)
{
    const ft_attention_job *j = ctx;
    int64_t K = j->spec->kv_heads, H = j->spec->heads, D = j->spec->head_dim, group = H / K;
    int64_t i = tile / K, kv_head = tile % K, s = 0;
    while (i >= j->block_start[s + 1])
        s++;
    int64_t n = j->seg->start[s + 1] - j->seg->start[s];
    int64_t row = j->query_start[s] + (i - j->block_start[s]) * FT_QUERY_BLOCK;
    int64_t keys = j->seg->start[s] * j->kv_width + kv_head * D;
    if (j->kv)
        keys = ((j->seg->slot ? j->seg->slot[s] : s) * K + kv_head) * j->kv->capacity * D;
    for (int64_t h = kv_head * group; h < (kv_head + 1) * group; h++) {
        block b = {.q = j->q + row * j->q_width + h * D,
                   .keys = j->keys + keys,
                   .values = j->values + keys,
                   .out = j->out + row * j->q_width + h * D,
                   .lse = j->lse ? j->lse + row * H + h : NULL,
                   .segment = s,
                   .first = row,
                   .rows = FT_MIN((int64_t)FT_QUERY_BLOCK, j->query_start[s + 1] - row),
                   .n_keys = ft_attention_past(j, s) + n};
        run_block(j, &b, j->scratch + (size_t)ft_thread_id() * j->scratch_floats);
    }
}

/* ---- the op ---- */

static bool shapes_fit(ft_tape *t, const ft_var *q, const ft_var *k, const ft_var *v, const ft_attention_spec *a)
{
    char sq[96], sk[96], sv[96];
    bool heads = a->heads > 0 && a->kv_heads > 0 && a->head_dim > 0 && a->heads % a->kv_heads == 0 && a->window >= 0;
    if (q == k || k == v || q == v)
        ft_grad__fail(t, &ft_grad__attention, FT_EINPUT, "q, k and v must be three variables");
    else if (!heads || q->cols != a->heads * a->head_dim || k->cols != a->kv_heads * a->head_dim ||
             v->cols != k->cols || v->rows != k->rows)
        ft_grad__fail(t, &ft_grad__attention, FT_EINPUT,
                      "q %s, k %s, v %s do not fit %lld heads, %lld kv heads of %lld", ft_grad__shape(q, sq),
                      ft_grad__shape(k, sk), ft_grad__shape(v, sv), (long long)a->heads, (long long)a->kv_heads,
                      (long long)a->head_dim);
    return t->status == FT_OK;
}

static bool cache_fits(ft_tape *t, const ft_kv *kv, const ft_segments *seg, int64_t width)
{
    for (int64_t s = 0; t->status == FT_OK && s < seg->n; s++) {
        int64_t slot = seg->slot ? seg->slot[s] : s, past = seg->past ? seg->past[s] : 0;
        int64_t end = past + seg->start[s + 1] - seg->start[s];
        if (kv->width != width || slot < 0 || slot >= kv->slots || end > kv->capacity)
            ft_grad__fail(t, &ft_grad__attention, FT_EINPUT,
                          "segment %lld needs %lld tokens of width %lld in slot %lld, the cache has %lld slots of %lld "
                          "tokens of %lld",
                          (long long)s, (long long)end, (long long)width, (long long)slot, (long long)kv->slots,
                          (long long)kv->capacity, (long long)kv->width);
    }
    return t->status == FT_OK;
}

static bool nothing_past(ft_tape *t, const ft_segments *seg)
{
    for (int64_t s = 0; seg->past && s < seg->n; s++)
        if (seg->past[s])
            ft_grad__fail(t, &ft_grad__attention, FT_EINPUT, "segment %lld has %lld past tokens but there is no cache",
                          (long long)s, (long long)seg->past[s]);
    return t->status == FT_OK;
}

/* The step's tokens [T, kv_heads, D] behind what each segment's slot holds. */
static void append(const ft_kv *kv, const ft_segments *seg, const ft_attention_spec *spec, const float *k, const float *v)
{
    int64_t K = spec->kv_heads, D = spec->head_dim;
    size_t bytes = (size_t)D * sizeof *k;
    for (int64_t s = 0; s < seg->n; s++) {
        int64_t slot = seg->slot ? seg->slot[s] : s, past = seg->past ? seg->past[s] : 0;
        for (int64_t i = seg->start[s]; i < seg->start[s + 1]; i++, past++)
            for (int64_t h = 0; h < K; h++) {
                int64_t to = ((slot * K + h) * kv->capacity + past) * D, from = (i * K + h) * D;
                memcpy(kv->k + to, k + from, bytes);
                memcpy(kv->v + to, v + from, bytes);
            }
    }
}

/* Rows of q before each segment. */
static const int64_t *count_queries(ft_tape *t, const ft_segments *seg, int64_t rows)
{
    int64_t *start = ft_grad__alloc(t, (size_t)seg->n + 1, sizeof *start), i = 0;
    for (int64_t s = 0; start && s <= seg->n; s++) {
        while (i < rows && ft_grad__token(seg, i) < seg->start[s])
            i++;
        start[s] = i;
    }
    return start;
}

/* Query blocks before each segment. */
static const int64_t *count_blocks(ft_tape *t, const int64_t *query_start, int64_t n)
{
    int64_t *start = ft_grad__alloc(t, (size_t)n + 1, sizeof *start);
    if (!start)
        return NULL;
    start[0] = 0;
    for (int64_t s = 0; s < n; s++)
        start[s + 1] = start[s] + (query_start[s + 1] - query_start[s] + FT_QUERY_BLOCK - 1) / FT_QUERY_BLOCK;
    return start;
}

/* Multiply-adds of one product over all (query, key) pairs in sight. */
static double pairs_of(const ft_attention_job *j)
{
    double pairs = 0;
    for (int64_t s = 0; s < j->seg->n; s++) {
        int64_t n = ft_attention_past(j, s) + j->seg->start[s + 1] - j->seg->start[s];
        for (int64_t row = j->query_start[s]; row < j->query_start[s + 1]; row++) {
            int64_t i = ft_attention_position(j, s, row);
            ft_span see = ft_attention_span(j->spec, i, i + 1, n);
            pairs += (double)(see.end - see.first);
        }
    }
    return pairs * (double)j->q_width;
}

static void backward(ft_tape *t, const ft_node *n)
{
    const saved *s = n->saved;
    ft_var *q = n->in[0], *k = n->in[1], *v = n->in[2], *y = n->out;
    ft_attention_job j = {.k = ft_kernels_active(),
                          .e = t->engine,
                          .room = t->scratch,
                          .spec = &s->spec,
                          .seg = s->seg,
                          .query_start = s->query_start,
                          .q_width = q->cols,
                          .kv_width = k->cols,
                          .q = ft_grad__value(t, q),
                          .keys = ft_grad__value(t, k),
                          .values = ft_grad__value(t, v),
                          .out = (float *)ft_grad__value(t, y),
                          .lse = (float *)s->lse,
                          .dout = y->g};
    j.dq = ft_grad__of(t, q, &j.add_dq);
    j.dk = ft_grad__of(t, k, &j.add_dk);
    j.dv = ft_grad__of(t, v, &j.add_dv);
    if (t->status == FT_OK)
        ft_grad__attention_backward(t, &j);
}

/* The forward pass into y; lse may be NULL. */
static void run(ft_tape *t, ft_attention_job *j)
{
    j->block_start = count_blocks(t, j->query_start, j->seg->n);
    j->scratch_floats = FT_QUERY_BLOCK * FT_KEY_BLOCK;
    j->scratch = ft_grad__lend(t, (size_t)ft_threads() * j->scratch_floats);
    if (t->status == FT_OK)
        ft_grad__run(t, j->block_start[j->seg->n] * j->spec->kv_heads, forward_tile, j);
    ft_grad__give_back(t, j->scratch);
}

ft_var *ft_op_attention(ft_tape *t, ft_var *q, ft_var *k, ft_var *v, const ft_attention_spec *spec,
                        const ft_segments *seg, ft_kv *kv)
{
    const ft_op *op = &ft_grad__attention;
    if (!ft_grad__ready(t, op, (ft_var *[]){q, k, v}, 3) || !shapes_fit(t, q, k, v, spec) ||
        !ft_grad__check_segments(t, op, seg, k->rows) || !ft_grad__check_read(t, op, seg, q->rows) ||
        !(kv ? cache_fits(t, kv, seg, k->cols) : nothing_past(t, seg)))
        return NULL;
    bool wanted = ft_grad__wanted(t, &(ft_node){.in = {q, k, v}});
    if (wanted && kv)
        return ft_grad__fail(t, op, FT_EUNSUPPORTED, "has no backward rule through a cache");
    ft_var *y = ft_grad__var(t, NULL, q->rows, q->cols);
    saved *s = ft_grad__alloc(t, 1, sizeof *s);
    const int64_t *query_start = count_queries(t, seg, q->rows);
    float *lse = wanted ? ft_grad__alloc(t, (size_t)(q->rows * spec->heads), sizeof *lse) : NULL;
    if (t->status != FT_OK)
        return NULL;
    if (kv && !t->dry)
        append(kv, seg, spec, k->v, v->v);
    ft_attention_job j = {.k = ft_kernels_active(),
                          .e = t->engine,
                          .room = t->scratch,
                          .spec = spec,
                          .seg = seg,
                          .query_start = query_start,
                          .q_width = q->cols,
                          .kv_width = k->cols,
                          .key_step = kv ? spec->head_dim : k->cols,
                          .q = q->v,
                          .keys = kv ? kv->k : k->v,
                          .values = kv ? kv->v : v->v,
                          .kv = kv,
                          .out = y->v,
                          .lse = lse};
    run(t, &j);
    double once = 2 * pairs_of(&j);
    ft_grad__count(t, 2 * once, wanted ? 4 * once : 0);
    if (wanted) {
        *s = (saved){
            .spec = *spec, .seg = ft_grad__keep_segments(t, seg), .query_start = query_start, .lse = lse};
        q->kept = k->kept = v->kept = y->kept = true;
    }
    return ft_grad__record(t, (ft_node){.op = op, .out = y, .in = {q, k, v}, .saved = s}) ? y : NULL;
}

const ft_op ft_grad__attention = {
    .name = "attention",
    .saves = "q, k, v, the output, log sum exp [T, H]",
    .flops = "4 H D pairs, pairs = (query, key) in sight; backward twice that",
    .backward = backward,
    .cases =
        (const ft_op_case[]){{.T = 1, .heads = 1, .kv_heads = 1, .head_dim = 1, .segments = 1},
                             {.T = 7, .heads = 2, .kv_heads = 2, .head_dim = 8, .segments = 3},
                             {.T = 70, .heads = 6, .kv_heads = 2, .head_dim = 17, .segments = 1},
                             {.T = 90, .heads = 3, .kv_heads = 1, .head_dim = 32, .segments = 4},
                             {.T = 60, .heads = 6, .kv_heads = 2, .head_dim = 8, .segments = 6},
                             {.T = 300, .heads = 1, .kv_heads = 1, .head_dim = 4, .segments = 1},
                             {.T = 80, .heads = 2, .kv_heads = 1, .head_dim = 16, .segments = 2, .window = 9},
                             {.T = 20, .heads = 2, .kv_heads = 2, .head_dim = 16, .segments = 2, .softcap = 1.5f},
                             {.T = 70, .heads = 2, .kv_heads = 1, .head_dim = 8, .segments = 2, .bidirectional = true},
                             {.T = 40,
                              .heads = 2,
                              .kv_heads = 1,
                              .head_dim = 8,
                              .segments = 2,
                              .bidirectional = true,
                              .window = 5,
                              .softcap = 2},
                             {.T = 90, .heads = 4, .kv_heads = 2, .head_dim = 8, .segments = 4, .unread = 10},
                             {.T = 200, .heads = 2, .kv_heads = 1, .head_dim = 4, .segments = 1, .unread = 1},
                             {.T = 60, .heads = 6, .kv_heads = 2, .head_dim = 8, .segments = 6, .unread = 9, .window = 7},
                             {.T = 40,
                              .heads = 2,
                              .kv_heads = 1,
                              .head_dim = 8,
                              .segments = 2,
                              .unread = 3,
                              .bidirectional = true,
                              .window = 5,
                              .softcap = 2},
                             {0}}};
