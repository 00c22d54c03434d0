/* Inside the grad room: what attention forward and backward share.
 *
 * The query rows of a segment, all its tokens or those of them that are read, are cut into blocks of FT_QUERY_BLOCK. The
 * keys that a block can see, [lo, hi), are walked in blocks of at most FT_KEY_BLOCK; a tile of scores is [FT_QUERY_BLOCK,
 * FT_KEY_BLOCK] and stays in cache.
 * Within a tile, the query at position i (of its row) sees keys [first, end): causal end = i + 1, window first = i -
 * window + 1; without causality a window reaches as far ahead as behind.
 */
#ifndef FETTLE_GRAD_ATTENTION_H
#define FETTLE_GRAD_ATTENTION_H

#include "grad/tape.h"

enum { FT_QUERY_BLOCK = 64, FT_KEY_BLOCK = 256 };

typedef struct ft_attention_job {
    const ft_kernels *k;
    const ft_engine *e;
    float *room; /* that products work in */
    const ft_attention_spec *spec;
    const ft_segments *seg;
    const int64_t *query_start; /* [seg->n + 1]: rows of q before segment s */
    const int64_t *block_start; /* [seg->n + 1]: query blocks before segment s */
    int64_t q_width, kv_width;  /* H D, K D */
    int64_t key_step;           /* forward: from a key to the next one, kv_width or the cache's D */
    const float *q;             /* [Q, q_width], Q = T or seg->n_read */
    const float *keys, *values; /* [T, kv_width], or the cache's */
    const ft_kv *kv;            /* NULL: keys and values of the step itself */
    float *out;                 /* [Q, q_width] */
    float *lse;                 /* [Q, H]: log sum exp of the scores of a query; NULL: not wanted */
    float *scratch;             /* per thread */
    size_t scratch_floats;      /* of one thread */
    /* backward alone */
    const float *dout;
    float *dq, *dk, *dv; /* NULL: not needed */
    bool add_dq, add_dk, add_dv;
    float *dk_parts, *dv_parts; /* [T, q_width]: of each query head by itself; NULL: added where they belong */
} ft_attention_job;

typedef struct ft_span {
    int64_t first, end;
} ft_span;

static inline int64_t ft_attention_past(const ft_attention_job *j, int64_t s)
{
    return j->seg->past ? j->seg->past[s] : 0;
}

/* Where row i of q, which is of segment s, stands in its row. */
static inline int64_t ft_attention_position(const ft_attention_job *j, int64_t s, int64_t i)
{
    return ft_attention_past(j, s) + ft_grad__token(j->seg, i) - j->seg->start[s];
}

/* Keys that the queries at positions [a, b) of a segment with n keys can see between them. */
static inline ft_span ft_attention_span(const ft_attention_spec *spec, int64_t a, int64_t b, int64_t n)
{
    ft_span r = {.first = 0, .end = spec->causal ? FT_MIN(b, n) : n};
    if (spec->window) {
        r.first = FT_MAX(a - spec->window + 1, (int64_t)0);
        if (!spec->causal)
            r.end = FT_MIN(n, b - 1 + spec->window);
    }
    return r;
}

/* span cut to the keys [at, at + n) and counted from `at`; empty: first == end. */
static inline ft_span ft_attention_cut(ft_span span, int64_t at, int64_t n)
{
    ft_span r = {.first = FT_MAX(span.first - at, (int64_t)0), .end = FT_MIN(span.end - at, n)};
    if (r.end < r.first)
        r.end = r.first;
    return r;
}

/* Backward of the job whose backward fields are filled in. */
void ft_grad__attention_backward(ft_tape *t, ft_attention_job *j);

#endif
