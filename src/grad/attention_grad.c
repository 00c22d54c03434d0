/* attention backward: the scores are made again tile by tile from the log sum exp that forward kept.
 *
 *   p = exp(s - lse)   dv += p^T dout   dp = dout v^T   ds = scale p (dp - d) (1 - (s / cap)^2)   d = dout . out
 *   dq += ds k         dk += ds^T q
 *
 * One kv head of one segment with its query heads is one tile of the work: nobody else writes its gradients, and the sums
 * run in one order.
 */
#include "grad/attention.h"

#include <string.h>

typedef struct pass {
    const ft_attention_job *j;
    int64_t row, n;      /* the segment's first token, its tokens */
    int64_t head, kv_head;
    float *s, *dp;       /* [FT_QUERY_BLOCK, FT_KEY_BLOCK] */
    float d[FT_QUERY_BLOCK];
} pass;

static const float *q_at(const pass *p, const float *base, int64_t i)
{
    return base + (p->row + i) * p->j->q_width + p->head * p->j->spec->head_dim;
}

static int64_t kv_at(const pass *p, int64_t i)
{
    return (p->row + i) * p->j->kv_width + p->kv_head * p->j->spec->head_dim;
}

/* s and dp of queries [i0, i0 + rows) x keys [at, at + n) become p and ds; 0 where a query does not see a key. */
static void make_tile(pass *p, int64_t i0, int64_t rows, int64_t at, int64_t n)
{
    const ft_attention_job *j = p->j;
    const ft_attention_spec *a = j->spec;
    ft_gemm(false, true, rows, n, a->head_dim, a->scale, q_at(p, j->q, i0), j->q_width, j->keys + kv_at(p, at), j->kv_width, 0,
            p->s, FT_KEY_BLOCK);
    ft_gemm(false, true, rows, n, a->head_dim, 1, q_at(p, j->dout, i0), j->q_width, j->values + kv_at(p, at), j->kv_width, 0,
            p->dp, FT_KEY_BLOCK);
    for (int64_t r = 0; r < rows; r++) {
        float *s = p->s + r * FT_KEY_BLOCK, *dp = p->dp + r * FT_KEY_BLOCK;
        ft_span see = ft_attention_cut(ft_attention_span(a, i0 + r, i0 + r + 1, p->n), at, n);
        float lse = j->lse[(p->row + i0 + r) * a->heads + p->head];
        if (a->softcap > 0)
            j->k->softcap(s + see.first, a->softcap, see.end - see.first);
        j->k->scores_grad(s + see.first, dp + see.first, lse, p->d[r], a->scale, a->softcap, see.end - see.first);
        for (int side = 0; side < 2; side++) {
            int64_t from = side ? see.end : 0, to = side ? n : see.first;
            memset(s + from, 0, (size_t)(to - from) * sizeof *s);
            memset(dp + from, 0, (size_t)(to - from) * sizeof *dp);
        }
    }
}

static void query_block(pass *p, int64_t i0)
{
    const ft_attention_job *j = p->j;
    int64_t D = j->spec->head_dim, rows = FT_MIN((int64_t)FT_QUERY_BLOCK, p->n - i0);
    for (int64_t r = 0; r < rows; r++)
        p->d[r] = j->k->dot(q_at(p, j->dout, i0 + r), q_at(p, j->out, i0 + r), D);
    ft_span all = ft_attention_span(j->spec, i0, i0 + rows, p->n);
    for (int64_t at = all.first; at < all.end; at += FT_KEY_BLOCK) {
        int64_t n = FT_MIN((int64_t)FT_KEY_BLOCK, all.end - at);
        make_tile(p, i0, rows, at, n);
        if (j->dv)
            ft_gemm(true, false, n, D, rows, 1, p->s, FT_KEY_BLOCK, q_at(p, j->dout, i0), j->q_width, 1, j->dv + kv_at(p, at),
                    j->kv_width);
        if (j->dk)
            ft_gemm(true, false, n, D, rows, 1, p->dp, FT_KEY_BLOCK, q_at(p, j->q, i0), j->q_width, 1, j->dk + kv_at(p, at),
                    j->kv_width);
        if (j->dq)
            ft_gemm(false, false, rows, D, n, 1, p->dp, FT_KEY_BLOCK, j->keys + kv_at(p, at), j->kv_width,
                    at > all.first || j->add_dq ? 1 : 0, (float *)q_at(p, j->dq, i0), j->q_width);
    }
}

static void clear(const pass *p, float *x)
{
    for (int64_t i = 0; i < p->n; i++)
        memset(x + kv_at(p, i), 0, (size_t)p->j->spec->head_dim * sizeof *x);
}

static void tile(void *ctx, int64_t i)
{
    const ft_attention_job *j = ctx;
    int64_t K = j->spec->kv_heads, group = j->spec->heads / K, s = i / K;
    float *room = j->scratch + (size_t)ft_thread_id() * j->scratch_floats;
    pass p = {.j = j, .row = j->seg->start[s], .n = j->seg->start[s + 1] - j->seg->start[s], .kv_head = i % K, .s = room,
              .dp = room + FT_QUERY_BLOCK * FT_KEY_BLOCK};
    if (j->dk && !j->add_dk)
        clear(&p, j->dk);
    if (j->dv && !j->add_dv)
        clear(&p, j->dv);
    for (p.head = p.kv_head * group; p.head < (p.kv_head + 1) * group; p.head++)
        for (int64_t i0 = 0; i0 < p.n; i0 += FT_QUERY_BLOCK)
            query_block(&p, i0);
}

void ft_grad__attention_backward(ft_tape *t, ft_attention_job *j)
{
    j->scratch_floats = 2 * FT_QUERY_BLOCK * FT_KEY_BLOCK;
    j->scratch = ft_grad__lend(t, (size_t)ft_threads() * j->scratch_floats);
    if (t->status == FT_OK)
        ft_parallel(j->seg->n * j->spec->kv_heads, tile, j);
    ft_grad__give_back(t, j->scratch);
}
