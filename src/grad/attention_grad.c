/* attention backward: the scores are made again tile by tile from the log sum exp that forward kept.
 *
 *   p = exp(s - lse)   dv += p^T dout   dp = dout v^T   ds = scale p (dp - d) (1 - (s / cap)^2)   d = dout . out
 *   dq += ds k         dk += ds^T q
 *
 * One kv head of one segment with its query heads is one tile of the work: nobody else writes its gradients, and the
 * sums run in one order. Where that gives too few tiles for a team, each query head is a tile, with dk and dv of its
 * own that are added up at the end, in the order of the heads.
 */
#include "grad/attention.h"

#include <string.h>

enum { FEW_TILES = 8 };

typedef struct pass {
    const ft_attention_job *j;
    int64_t segment, row, n; /* its first token, its tokens */
    int64_t query, queries;  /* its first row of q, its rows there */
    int64_t head, kv_head;
    float *dk, *dv; /* token 0 of the segment under this head, or NULL; rows of ld floats */
    int64_t ld;
    float *s, *dp; /* [FT_QUERY_BLOCK, FT_KEY_BLOCK] */
    float d[FT_QUERY_BLOCK];
} pass;

static const float *q_at(const pass *p, const float *base, int64_t i)
{
    return base + (p->query + i) * p->j->q_width + p->head * p->j->spec->head_dim;
}

/* Where the head's own share of dk or dv begins. */
static float *part_of(const pass *p, float *parts)
{
    return parts ? parts + p->row * p->j->q_width + p->head * p->j->spec->head_dim : NULL;
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
    ft_gemm(j->e, false, true, rows, n, a->head_dim, a->scale, q_at(p, j->q, i0), j->q_width, j->keys + kv_at(p, at),
            j->kv_width, false, p->s, FT_KEY_BLOCK, j->room);
    ft_gemm(j->e, false, true, rows, n, a->head_dim, 1, q_at(p, j->dout, i0), j->q_width, j->values + kv_at(p, at),
            j->kv_width, false, p->dp, FT_KEY_BLOCK, j->room);
    for (int64_t r = 0; r < rows; r++) {
        float *s = p->s + r * FT_KEY_BLOCK, *dp = p->dp + r * FT_KEY_BLOCK;
        int64_t i = ft_attention_position(j, p->segment, p->query + i0 + r);
        ft_span see = ft_attention_cut(ft_attention_span(a, i, i + 1, p->n), at, n);
        float lse = j->lse[(p->query + i0 + r) * a->heads + p->head];
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
    int64_t D = j->spec->head_dim, rows = FT_MIN((int64_t)FT_QUERY_BLOCK, p->queries - i0);
    int64_t first = ft_attention_position(j, p->segment, p->query + i0);
    int64_t last = ft_attention_position(j, p->segment, p->query + i0 + rows - 1);
    for (int64_t r = 0; r < rows; r++)
        p->d[r] = j->k->dot(q_at(p, j->dout, i0 + r), q_at(p, j->out, i0 + r), D);
    ft_span all = ft_attention_span(j->spec, first, last + 1, p->n);
    for (int64_t at = all.first; at < all.end; at += FT_KEY_BLOCK) {
        int64_t n = FT_MIN((int64_t)FT_KEY_BLOCK, all.end - at);
        make_tile(p, i0, rows, at, n);
        if (p->dv)
            ft_gemm(j->e, true, false, n, D, rows, 1, p->s, FT_KEY_BLOCK, q_at(p, j->dout, i0), j->q_width, true,
                    p->dv + at * p->ld, p->ld, j->room);
        if (p->dk)
            ft_gemm(j->e, true, false, n, D, rows, 1, p->dp, FT_KEY_BLOCK, q_at(p, j->q, i0), j->q_width, true,
                    p->dk + at * p->ld, p->ld, j->room);
        if (j->dq)
            ft_gemm(j->e, false, false, rows, D, n, 1, p->dp, FT_KEY_BLOCK, j->keys + kv_at(p, at), j->kv_width,
                    at > all.first || j->add_dq, (float *)q_at(p, j->dq, i0), j->q_width, j->room);
    }
}

static void clear(const pass *p, float *x)
{
    for (int64_t i = 0; i < p->n; i++)
        memset(x + i * p->ld, 0, (size_t)p->j->spec->head_dim * sizeof *x);
}

static void run_head(pass *p)
{
    for (int64_t i0 = 0; i0 < p->queries; i0 += FT_QUERY_BLOCK)
        query_block(p, i0);
}

static pass pass_of(const ft_attention_job *j, int64_t s)
{
    float *room = j->scratch + (size_t)ft_thread_id() * j->scratch_floats;
    return (pass){.j = j,
                  .segment = s,
                  .row = j->seg->start[s],
                  .n = j->seg->start[s + 1] - j->seg->start[s],
                  .query = j->query_start[s],
                  .queries = j->query_start[s + 1] - j->query_start[s],
                  .s = room,
                  .dp = room + FT_QUERY_BLOCK * FT_KEY_BLOCK};
}

static void kv_head_tile(void *ctx, int64_t i)
{
    const ft_attention_job *j = ctx;
    int64_t K = j->spec->kv_heads, group = j->spec->heads / K;
    pass p = pass_of(j, i / K);
    p.kv_head = i % K;
    p.ld = j->kv_width;
    p.dk = j->dk ? j->dk + kv_at(&p, 0) : NULL;
    p.dv = j->dv ? j->dv + kv_at(&p, 0) : NULL;
    if (p.dk && !j->add_dk)
        clear(&p, p.dk);
    if (p.dv && !j->add_dv)
        clear(&p, p.dv);
    for (p.head = p.kv_head * group; p.head < (p.kv_head + 1) * group; p.head++)
        run_head(&p);
}

static void head_tile(void *ctx, int64_t i)
{
    const ft_attention_job *j = ctx;
    int64_t H = j->spec->heads;
    pass p = pass_of(j, i / H);
    p.head = i % H;
    p.kv_head = p.head / (H / j->spec->kv_heads);
    p.ld = j->q_width;
    p.dk = part_of(&p, j->dk_parts);
    p.dv = part_of(&p, j->dv_parts);
    if (p.dk)
        clear(&p, p.dk);
    if (p.dv)
        clear(&p, p.dv);
    run_head(&p);
}

/* to [K D] (+)= the parts [H D] of one token. */
static void add_heads(const ft_attention_job *j, float *to, const float *parts, bool add)
{
    int64_t D = j->spec->head_dim, group = j->spec->heads / j->spec->kv_heads;
    for (int64_t h = 0; h < j->spec->heads; h++, parts += D) {
        float *head = to + h / group * D;
        if (h % group || add)
            j->k->axpy(head, 1, parts, D);
        else
            memcpy(head, parts, (size_t)D * sizeof *head);
    }
}

static void add_tile(void *ctx, int64_t i)
{
    const ft_attention_job *j = ctx;
    int64_t T = j->seg->start[j->seg->n], end = FT_MIN(T, (i + 1) * FT_ROW_TILE);
    for (int64_t t = i * FT_ROW_TILE; t < end; t++) {
        if (j->dk)
            add_heads(j, j->dk + t * j->kv_width, j->dk_parts + t * j->q_width, j->add_dk);
        if (j->dv)
            add_heads(j, j->dv + t * j->kv_width, j->dv_parts + t * j->q_width, j->add_dv);
    }
}

static void by_query_heads(ft_tape *t, ft_attention_job *j)
{
    int64_t T = j->seg->start[j->seg->n];
    size_t floats = (size_t)(T * j->q_width);
    j->dk_parts = j->dk ? ft_grad__lend(t, floats) : NULL;
    j->dv_parts = j->dv ? ft_grad__lend(t, floats) : NULL;
    if (t->status == FT_OK) {
        ft_grad__run(t, j->seg->n * j->spec->heads, head_tile, j);
        ft_grad__run(t, ft_grad__row_tiles(T), add_tile, j);
    }
    ft_grad__give_back(t, j->dk_parts);
    ft_grad__give_back(t, j->dv_parts);
}

void ft_grad__attention_backward(ft_tape *t, ft_attention_job *j)
{
    int64_t tiles = j->seg->n * j->spec->kv_heads;
    j->scratch_floats = 2 * FT_QUERY_BLOCK * FT_KEY_BLOCK;
    j->scratch = ft_grad__lend(t, (size_t)ft_threads() * j->scratch_floats);
    if (t->status == FT_OK && tiles < FEW_TILES && j->spec->heads > j->spec->kv_heads)
        by_query_heads(t, j);
    else if (t->status == FT_OK)
        ft_grad__run(t, tiles, kv_head_tile, j);
    ft_grad__give_back(t, j->scratch);
}
