/* The weights of a model: a table made from the architecture's specs, then filled from a container.
 *
 * Where the data lies:
 *   linears, embeddings   in the mapping, in the dtype they were stored in
 *   norms, biases         f32 copies (the ops want f32, and they are small)
 *   q and k of a GGUF     copies with the rows put back into HF's order, in their dtype (a row of any dtype moves
 * whole) unaligned data        copies (an old safetensors may start its data anywhere) trainable             f32 copies
 * with gradients, all of them
 *   linears with quantize_base   encoded copies (quantized.c)
 */
#include "model/arch.h"

#include "base/threads.h"

#include <stdio.h>
#include <string.h>

static int64_t extent_of(const ft_config *c, ft_extent e)
{
    switch (e) {
    case FT_VOCAB:
        return c->vocab_size;
    case FT_HIDDEN:
        return c->hidden_size;
    case FT_FFN:
        return c->intermediate_size;
    case FT_HEADS:
        return c->num_attention_heads * c->head_dim;
    case FT_KV_HEADS:
        return c->num_key_value_heads * c->head_dim;
    case FT_QKV:
        return (c->num_attention_heads + 2 * c->num_key_value_heads) * c->head_dim;
    case FT_GATE_UP:
        return 2 * c->intermediate_size;
    case FT_HEAD_DIM:
        return c->head_dim;
    case FT_POSITIONS:
        return c->max_position_embeddings;
    case FT_TYPES:
        return c->type_vocab_size;
    case FT_NONE:
        break;
    }
    return 0;
}

size_t ft_weights__module(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? (size_t)(dot - name) : strlen(name);
}

/* ---- the table ---- */

static bool wanted(const ft_config *c, const ft_weight_spec *s, bool per_layer)
{
    return s->per_layer == per_layer && (!s->when || s->when(c));
}

static size_t count_of(const ft_config *c, bool per_layer)
{
    size_t n = 0;
    for (const ft_weight_spec *s = c->arch->weights; s->hf; s++)
        n += wanted(c, s, per_layer);
    return n;
}

static ft_status add_weight(ft_model *m, const ft_weight_spec *s, int64_t layer)
{
    ft_weight *w = &m->weights[m->n];
    const char *layers = m->config.arch->layers ? m->config.arch->layers : "model.layers.";
    w->spec = s;
    w->layer = layer;
    w->name = layer < 0 ? ft_strdup(s->hf) : ft_strf("%s%lld.%s", layers, (long long)layer, s->hf);
    if (!w->name)
        return FT_ENOMEM;
    w->p.name = w->name;
    w->p.t.ndim = s->cols == FT_NONE ? 1 : 2;
    w->p.t.shape[0] = extent_of(&m->config, s->rows);
    w->p.t.shape[1] = extent_of(&m->config, s->cols);
    if (layer < 0)
        m->outer[s->slot] = w;
    else
        m->layers[layer].w[s->slot] = w;
    m->n++;
    return FT_OK;
}

static ft_status add_all(ft_model *m, bool per_layer, int64_t layer)
{
    for (const ft_weight_spec *s = m->config.arch->weights; s->hf; s++)
        if (wanted(&m->config, s, per_layer))
            FT_RETURN(add_weight(m, s, layer));
    return FT_OK;
}

ft_status ft_weights__build(ft_model *m)
{
    const ft_config *c = &m->config;
    size_t layers = (size_t)c->num_hidden_layers;
    m->weights = ft_alloc(count_of(c, false) + layers * count_of(c, true), sizeof *m->weights);
    m->layers = ft_alloc(layers, sizeof *m->layers);
    if (!m->weights || !m->layers)
        return FT_ENOMEM;
    FT_RETURN(add_all(m, false, -1));
    for (int64_t i = 0; i < c->num_hidden_layers; i++)
        FT_RETURN(add_all(m, true, i));
    if (!m->outer[FT_W_HEAD] && !c->arch->encoder)
        m->outer[FT_W_HEAD] = m->outer[FT_W_EMBED];
    return FT_OK;
}

void ft_weights__free(ft_model *m)
{
    for (size_t i = 0; i < m->n; i++) {
        ft_free(m->weights[i].name);
        ft_free(m->weights[i].owned);
        if (!m->outline)
            ft_free(m->weights[i].p.grad);
    }
    ft_free(m->weights);
    ft_free(m->layers);
    m->weights = NULL;
    m->layers = NULL;
    m->n = 0;
}

/* ---- row order of GGUF ---- */

bool ft_weights__gguf_rows(const ft_model *m, const ft_weight *w, int64_t *perm)
{
    int64_t d = m->config.head_dim, heads = w->p.t.shape[0] / d;
    if (!m->config.arch->gguf_pairs || !w->spec->turned)
        return false;
    for (int64_t h = 0; perm && h < heads; h++)
        for (int64_t i = 0; i < d / 2; i++)
            for (int64_t j = 0; j < 2; j++)
                perm[h * d + 2 * i + j] = h * d + j * (d / 2) + i;
    return true;
}

/* Rows (of a vector: elements) of `bytes` each from GGUF's order to HF's. */
static void put_back(const int64_t *perm, int64_t rows, size_t bytes, const void *from, void *to)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy((char *)to + (size_t)perm[r] * bytes, (const char *)from + (size_t)r * bytes, bytes);
}

/* ---- data ---- */

static bool is_vector(const ft_weight *w)
{
    return w->spec->role == FT_ROLE_NORM || w->spec->role == FT_ROLE_BIAS;
}

/* w->p.t as a fresh f32 tensor of its shape, zeroed. */
static ft_status own_f32(ft_weight *w)
{
    w->p.t.dtype = &ft_f32;
    w->owned = w->p.t.data = ft_alloc((size_t)ft_tensor_count(&w->p.t), sizeof(float));
    return w->owned ? FT_OK : FT_ENOMEM;
}

static ft_status own_as_f32(ft_weight *w, const ft_tensor *from, const int64_t *perm)
{
    int64_t rows = ft_tensor_rows(from), cols = ft_tensor_cols(from);
    FT_RETURN(own_f32(w));
    float *x = w->p.t.data;
    if (perm && w->p.t.ndim == 1) {
        float *in_order = ft_alloc((size_t)cols, sizeof *in_order);
        if (!in_order)
            return FT_ENOMEM;
        from->dtype->decode(from->data, cols, in_order);
        put_back(perm, cols, sizeof *x, in_order, x);
        ft_free(in_order);
        return FT_OK;
    }
    for (int64_t r = 0; r < rows; r++)
        from->dtype->decode(ft_tensor_row(from, r), cols, x + (perm ? perm[r] : r) * cols);
    return FT_OK;
}

static ft_status own_as_stored(ft_weight *w, const ft_tensor *from, const int64_t *perm)
{
    size_t bytes = ft_tensor_row_bytes(from);
    w->owned = ft_alloc((size_t)ft_tensor_rows(from), bytes);
    if (!w->owned)
        return FT_ENOMEM;
    if (perm)
        put_back(perm, ft_tensor_rows(from), bytes, from->data, w->owned);
    else
        memcpy(w->owned, from->data, ft_tensor_bytes(from));
    w->p.t.data = w->owned;
    return FT_OK;
}

static bool aligned(const ft_tensor *t)
{
    size_t unit = t->dtype->is_float ? t->dtype->block_bytes : sizeof(uint16_t); /* blocks hold half floats */
    return (uintptr_t)t->data % unit == 0;
}

static ft_status check_shape(const ft_model *m, const ft_weight *w, const ft_named *found)
{
    char have[96], want[96];
    const ft_tensor *t = &found->t;
    bool same = t->ndim == w->p.t.ndim;
    for (int i = 0; same && i < t->ndim; i++)
        same = t->shape[i] == w->p.t.shape[i];
    if (same)
        return FT_OK;
    return ft_fail(FT_EFORMAT, "%s: tensor %s has shape %s, expected %s by the model's config",
                   ft_container_path(m->source), found->name, ft_shape_text(t->ndim, t->shape, have),
                   ft_shape_text(w->p.t.ndim, w->p.t.shape, want));
}

static ft_status bind(ft_model *m, ft_weight *w, const ft_named *found, bool gguf, bool trainable)
{
    int64_t *perm = NULL;
    ft_status st = FT_OK;
    FT_RETURN(check_shape(m, w, found));
    if (gguf && ft_weights__gguf_rows(m, w, NULL)) {
        if (!(perm = ft_alloc((size_t)w->p.t.shape[0], sizeof *perm)))
            return FT_ENOMEM;
        ft_weights__gguf_rows(m, w, perm);
    }
    w->stored = found->t.dtype;
    if (!m->outline && !found->t.dtype->is_float)
        FT_TRY(ft_weights__check_scales(found, ft_container_path(m->source)));
    if (trainable || is_vector(w)) {
        st = own_as_f32(w, &found->t, perm);
    } else if (m->quantize_base && w->spec->role == FT_ROLE_LINEAR && found->t.dtype->is_float) {
        st = ft_weights__quantize(m, w, found, perm);
    } else {
        w->p.t = found->t;
        if (!m->outline && (perm || !aligned(&found->t)))
            st = own_as_stored(w, &found->t, perm);
    }
    if (!m->outline && w->owned) /* a copy: nobody looks at the file's again */
        ft_container_forget(m->source, &found->t);
    /* GGUFs of families that norm by 1 + w store the sum */
    if (st == FT_OK && gguf && w->spec->role == FT_ROLE_NORM)
        for (int64_t i = 0; i < w->p.t.shape[0]; i++)
            ((float *)w->p.t.data)[i] -= m->config.norm_plus;
done:
    ft_free(perm);
    return st;
}

/* ---- names ---- */

enum { NAMED_AT_MOST = 8 };

/* Names for one message, the first few of them. */
typedef struct name_list {
    char text[1024];
    size_t n;
} name_list;

static void list_name(name_list *l, const char *name)
{
    size_t at = strlen(l->text);
    if (l->n < NAMED_AT_MOST)
        snprintf(l->text + at, sizeof l->text - at, "%s%.100s", l->n ? ", " : "", name);
    else if (l->n == NAMED_AT_MOST)
        snprintf(l->text + at, sizeof l->text - at, ", ...");
    l->n++;
}

/* The oldest BERT checkpoints call a LayerNorm's weight gamma and its bias beta. */
static const ft_named *find_older(const ft_model *m, const ft_weight *w)
{
    char name[256];
    size_t module = ft_weights__module(w->name);
    if (w->spec->role != FT_ROLE_NORM && !ft_ends(w->name, "LayerNorm.bias"))
        return NULL;
    snprintf(name, sizeof name, "%s%.*s.%s", m->config.arch->prefix, (int)module, w->name,
             w->spec->role == FT_ROLE_NORM ? "gamma" : "beta");
    return ft_container_find(m->source, name);
}

static const ft_named *find_stored(const ft_model *m, const ft_weight *w, bool gguf)
{
    char name[256];
    if (gguf && w->layer >= 0)
        snprintf(name, sizeof name, "blk.%lld.%s", (long long)w->layer, w->spec->gguf);
    else
        snprintf(name, sizeof name, "%s", gguf ? w->spec->gguf : w->name);
    const ft_named *found = ft_container_find(m->source, name);
    if (!found && !gguf && m->config.arch->prefix) {
        snprintf(name, sizeof name, "%s%s", m->config.arch->prefix, w->name);
        found = ft_container_find(m->source, name);
    }
    if (!found && !gguf && m->config.arch->layer_norm)
        found = find_older(m, w);
    /* a tied checkpoint may store the matrix under its other name */
    if (!found && !gguf && w == m->outer[FT_W_EMBED] && w == m->outer[FT_W_HEAD])
        found = ft_container_find(m->source, "lm_head.weight");
    return found;
}

/* Tensors of other parts that the family's checkpoints may hold, with or without the prefix of all names. */
static bool is_unused(const ft_arch *a, const char *name)
{
    size_t n = a->prefix && ft_starts(name, a->prefix) ? strlen(a->prefix) : 0;
    for (const char *const *u = a->unused; u && *u; u++)
        if (ft_starts(name + n, *u))
            return true;
    return false;
}

/* Tensors that are no weights: a tied head written twice, tables that older writers kept. */
static bool may_be_left(const ft_model *m, const ft_named *t, bool gguf)
{
    if (gguf)
        return strcmp(t->name, "rope_freqs.weight") == 0 ||
               (m->config.arch->longrope && ft_starts(t->name, "rope_factors_"));
    if (ft_ends(t->name, ".rotary_emb.inv_freq") || is_unused(m->config.arch, t->name))
        return true;
    if (strcmp(t->name, "lm_head.weight") != 0 || !m->config.tie_word_embeddings)
        return false;
    const ft_named *embed = ft_container_find(m->source, m->outer[FT_W_EMBED]->name);
    if (embed && (ft_tensor_bytes(&embed->t) != ft_tensor_bytes(&t->t) ||
                  memcmp(embed->t.data, t->t.data, ft_tensor_bytes(&t->t)) != 0))
        ft_note(FT_WARN, "%s: tie_word_embeddings is true, but lm_head.weight differs from %s, which is used for both",
                ft_container_path(m->source), embed->name);
    return true;
}

typedef struct loss_job {
    const ft_tensor *stored, *held;
    const int64_t *perm; /* stored row -> held row, NULL: the same */
    float *rows;         /* [threads, in] */
    float *out;          /* [rows, in] */
} loss_job;

static void lose_row(void *ctx, int64_t i)
{
    const loss_job *j = ctx;
    int64_t n = ft_tensor_cols(j->held), r = j->perm ? j->perm[i] : i;
    float *held = j->rows + (int64_t)ft_thread_id() * n, *out = j->out + r * n;
    ft_tensor_decode_rows(j->stored, i, i + 1, out);
    ft_tensor_decode_rows(j->held, r, r + 1, held);
    for (int64_t k = 0; k < n; k++)
        out[k] -= held[k];
}

ft_status ft_weights__lost(float *x, const ft_model *m, const ft_weight *w)
{
    bool gguf = strcmp(ft_container_format(m->source), "gguf") == 0;
    const ft_named *stored = find_stored(m, w, gguf);
    int64_t rows = w->p.t.shape[0], *perm = ft_alloc((size_t)rows, sizeof *perm);
    loss_job j = {.stored = &stored->t, .held = &w->p.t, .out = x};
    j.rows = ft_alloc((size_t)ft_threads(), (size_t)w->p.t.shape[1] * sizeof *j.rows);
    bool all = perm && j.rows;
    if (all) {
        j.perm = gguf && ft_weights__gguf_rows(m, w, perm) ? perm : NULL;
        ft_parallel(rows, lose_row, &j);
        ft_container_forget(m->source, &stored->t);
    }
    ft_free(perm);
    ft_free(j.rows);
    return all ? FT_OK : FT_ENOMEM;
}

static ft_status check_unexpected(const ft_model *m, const ft_map *used, bool gguf)
{
    name_list left = {0};
    int64_t at;
    for (size_t i = 0; i < ft_container_count(m->source); i++) {
        const ft_named *t = ft_container_at(m->source, i);
        if (!ft_map_get(used, t->name, strlen(t->name), &at) && !may_be_left(m, t, gguf))
            list_name(&left, t->name);
    }
    if (!left.n)
        return FT_OK;
    return ft_fail(FT_EUNSUPPORTED, "%s: holds tensors that a %s model with this config does not have (%zu): %s",
                   ft_container_path(m->source), m->config.arch->model_type, left.n, left.text);
}

ft_status ft_weights__load(ft_model *m, bool trainable)
{
    bool gguf = strcmp(ft_container_format(m->source), "gguf") == 0;
    ft_status st = FT_OK;
    name_list missing = {0};
    ft_map *used = ft_map_new();
    if (!used)
        return FT_ENOMEM;
    for (size_t i = 0; i < m->n; i++) {
        ft_weight *w = &m->weights[i];
        const ft_named *found = find_stored(m, w, gguf);
        if (!found) {
            list_name(&missing, w->name);
            continue;
        }
        FT_TRY(ft_map_put(used, found->name, strlen(found->name), 1));
        FT_TRY(bind(m, w, found, gguf, trainable));
    }
    if (missing.n) {
        st = ft_fail(FT_EFORMAT, "%s: tensors are missing (%zu): %s", ft_container_path(m->source), missing.n,
                     missing.text);
        goto done;
    }
    st = check_unexpected(m, used, gguf);
done:
    ft_map_free(used);
    return st;
}
