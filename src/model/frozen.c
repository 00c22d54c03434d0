/* The frozen blocks: those below the first one in which something trains. What leaves them is a function of the ids, the
 * config, the embedding and their own weights.
 */
#include "model/adapter.h"

#include "base/threads.h"

#include <stdlib.h>
#include <string.h>

static bool trains(const ft_weight *w)
{
    return w->p.trainable || (w->adapted && w->adapted->a.trainable) || (w->saved && w->saved->p.trainable);
}

/* Norm and head come after the last block. A tied head is the embedding, which comes before the first. */
static bool is_above(const ft_model *m, const ft_weight *w)
{
    return w != m->outer[FT_W_EMBED] && (w == m->outer[FT_W_FINAL_NORM] || w == m->outer[FT_W_HEAD]);
}

int64_t ft_model_frozen_blocks(const ft_model *m)
{
    int64_t first = m->config.num_hidden_layers;
    for (size_t i = 0; i < m->n; i++)
        if (trains(&m->weights[i]) && !is_above(m, &m->weights[i]))
            first = FT_MIN(first, FT_MAX(m->weights[i].layer, (int64_t)0));
    return first;
}

double ft_model_frozen_flops_per_token(const ft_model *m, int64_t tokens)
{
    const ft_config *c = &m->config;
    int64_t k = ft_model_frozen_blocks(m);
    double pairs = 0.5 * (double)(tokens + 1), flops = 0;
    for (size_t i = 0; i < m->n; i++) {
        const ft_weight *w = &m->weights[i];
        if (w->spec->role == FT_ROLE_LINEAR && w->layer < k)
            flops += 2.0 * (double)ft_tensor_count(&w->p.t);
    }
    return flops + 4 * (double)(k * c->num_attention_heads * c->head_dim) * pairs;
}

/* ---- their hash: pieces of the weights, on all threads, then of the pieces' hashes ---- */

enum { PIECE = 1 << 20 };

typedef struct piece {
    const uint8_t *p;
    size_t n;
    uint64_t hash;
} piece;

static void hash_piece(void *ctx, int64_t i)
{
    piece *p = (piece *)ctx + i;
    p->hash = ft_hash(p->p, p->n, p->n);
}

static bool is_below(const ft_model *m, const ft_weight *w, int64_t k)
{
    return w->layer < 0 ? !is_above(m, w) : w->layer < k;
}

/* The pieces of all weights below k into out, which may be NULL; their number. */
static size_t cut(piece *out, const ft_model *m, int64_t k)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        const ft_tensor *t = &m->weights[i].p.t;
        size_t bytes = is_below(m, &m->weights[i], k) ? ft_tensor_bytes(t) : 0;
        for (size_t at = 0; at < bytes; at += PIECE, n++)
            if (out)
                out[n] = (piece){.p = (const uint8_t *)t->data + at, .n = FT_MIN(bytes - at, (size_t)PIECE)};
    }
    return n;
}

ft_status ft_model_hash_below(uint64_t *out, const ft_model *m, int64_t k)
{
    size_t n = cut(NULL, m, k);
    piece *pieces = ft_alloc(n, sizeof *pieces);
    char *config = json_dumps(m->config.json, JSON_COMPACT | JSON_SORT_KEYS);
    ft_status st = pieces && config ? FT_OK : ft_fail(FT_ENOMEM, "the hash of a model's weights");
    if (st == FT_OK) {
        cut(pieces, m, k);
        ft_parallel((int64_t)n, hash_piece, pieces);
        *out = ft_hash(config, strlen(config), (uint64_t)k);
        for (size_t i = 0; i < n; i++)
            *out = ft_hash(&pieces[i].hash, sizeof pieces[i].hash, *out);
    }
    free(config);
    ft_free(pieces);
    return st;
}
