/* The GGUF side of a model, for writers: tensor names, row order, metadata keys, extra tensors. */
#include "model/keys.h"

#include <string.h>

static const ft_weight *find(const ft_model *m, const char *hf_name)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->weights[i].name, hf_name) == 0)
            return &m->weights[i];
    return NULL;
}

bool ft_model_gguf_name(const ft_model *m, const char *hf_name, char *buf, size_t size)
{
    const ft_weight *w = find(m, hf_name);
    if (!w || !w->spec->gguf)
        return false;
    int n = w->layer < 0 ? snprintf(buf, size, "%s", w->spec->gguf)
                         : snprintf(buf, size, "blk.%lld.%s", (long long)w->layer, w->spec->gguf);
    return n > 0 && (size_t)n < size;
}

bool ft_model_gguf_rows(const ft_model *m, const char *hf_name, int64_t *perm, int64_t rows)
{
    const ft_weight *w = find(m, hf_name);
    return w && rows == w->p.t.shape[0] && ft_weights__gguf_rows(m, w, perm);
}

const char *ft_model_gguf_arch(const ft_model *m)
{
    return m->config.arch->gguf;
}

/* What llama.cpp's own scale on q.k has to be multiplied with to give the model's. */
static float scale_fold(const ft_config *c)
{
    return c->arch->gguf_scale ? c->attention_scale / c->arch->gguf_scale(c) : 1;
}

void ft_model_gguf_values(const ft_model *m, const char *hf_name, float *plus, float *scale)
{
    const ft_weight *w = find(m, hf_name);
    bool folded = w && w->layer >= 0 && m->config.arch->gguf_scale && w->spec->slot == m->config.arch->gguf_scale_slot;
    *plus = w && w->spec->role == FT_ROLE_NORM ? m->config.norm_plus : 0;
    *scale = folded ? scale_fold(&m->config) : 1;
}

bool ft_model_gguf_is_exact(const ft_model *m, const char *hf_name)
{
    const ft_weight *w = find(m, hf_name);
    return w && w->layer < 0 && (w->spec->slot == FT_W_POSITIONS || w->spec->slot == FT_W_TYPES);
}

static const char *key_of(const ft_model *m, const char *name, char buf[128])
{
    return ft_config__gguf_key(m->config.arch, name, buf);
}

/* llama.cpp takes a head's length as hidden / heads unless both lengths are written. */
static bool plain_head_dim(const ft_config *c)
{
    return c->head_dim * c->num_attention_heads == c->hidden_size;
}

static ft_status write_keys(const ft_model *m, const ft_config_key *k, ft_writer *w)
{
    char key[128];
    const ft_config *c = &m->config;
    for (; k && k->hf; k++) {
        int64_t v = *(const int64_t *)((const char *)c + k->field);
        if (!k->gguf || !v || (k->fallback == FT_KEY_HEAD_DIM && plain_head_dim(c)))
            continue;
        FT_RETURN(ft_writer_u32(w, key_of(m, k->gguf, key), (uint32_t)v));
    }
    return FT_OK;
}

static ft_status write_reals(const ft_model *m, ft_writer *w)
{
    char key[128];
    const ft_config *c = &m->config;
    for (const ft_config_real *r = c->arch->reals; r && r->hf; r++) {
        float v = *(const float *)((const char *)c + r->field);
        if (r->gguf && v != 0)
            FT_RETURN(ft_writer_f32(w, key_of(m, r->gguf, key), v));
    }
    return ft_writer_f32(w, key_of(m, ft_config__eps_key(c->arch, true), key), c->norm_eps);
}

static ft_status write_rope(const ft_model *m, ft_writer *w)
{
    char key[128];
    const ft_config *c = &m->config;
    FT_RETURN(ft_writer_u32(w, key_of(m, "rope.dimension_count", key), (uint32_t)c->rot));
    FT_RETURN(ft_writer_f32(w, key_of(m, "rope.freq_base", key), (float)c->rope_theta));
    /* llama3 and longrope go by their tensors: a factor without a type would be taken for linear */
    if (c->rope_kind == FT_ROPE_LONGROPE)
        return ft_writer_f32(w, key_of(m, "rope.scaling.attn_factor", key), c->rope_attention_factor);
    if (c->rope_kind != FT_ROPE_LINEAR)
        return FT_OK;
    FT_RETURN(ft_writer_str(w, key_of(m, "rope.scaling.type", key), ft_str_of("linear")));
    return ft_writer_f32(w, key_of(m, "rope.scaling.factor", key), (float)c->rope_factor);
}

ft_status ft_model_gguf_meta(const ft_model *m, ft_writer *w)
{
    char key[128];
    const ft_config *c = &m->config;
    FT_RETURN(write_keys(m, ft_config_keys, w));
    if (!plain_head_dim(c))
        FT_RETURN(ft_writer_u32(w, key_of(m, "attention.value_length", key), (uint32_t)c->head_dim));
    FT_RETURN(write_keys(m, c->arch->keys, w));
    FT_RETURN(write_reals(m, w));
    if (m->pooling.kind != FT_POOL_NONE)
        FT_RETURN(ft_writer_u32(w, key_of(m, "pooling_type", key), (uint32_t)m->pooling.kind));
    if (c->arch->encoder)
        return ft_writer_bool(w, key_of(m, "attention.causal", key), false);
    return write_rope(m, w);
}

/* The first layer whose window llama.cpp does not have, or has where the model has none; -1: none. */
static int64_t window_differs(const ft_config *c)
{
    for (int64_t i = 0; i < c->num_hidden_layers; i++) {
        bool theirs = c->arch->gguf_windows && c->sliding_window && c->arch->slides(c, i);
        if (theirs != (c->layers[i].window > 0))
            return i;
    }
    return -1;
}

static ft_status remark_windows(const ft_model *m, const char *path)
{
    const ft_config *c = &m->config;
    int64_t layer = window_differs(c);
    if (layer < 0 || c->sliding_window >= c->max_position_embeddings)
        return FT_OK;
    ft_note(
        FT_WARN,
        "%s: llama.cpp does not know this model's sliding window of %lld tokens (layer %lld): it is exact up to %lld "
        "tokens, and from there on sees more than the model was trained to",
        path, (long long)c->sliding_window, (long long)layer, (long long)c->sliding_window);
    return FT_OK;
}

ft_status ft_model_gguf_remarks(const ft_model *m, const char *path)
{
    const ft_config *c = &m->config;
    if (c->arch->gguf_check)
        FT_RETURN(c->arch->gguf_check(c, path));
    FT_RETURN(remark_windows(m, path));
    if (c->arch->gguf_plain_heads && !plain_head_dim(c))
        ft_note(
            FT_WARN,
            "%s: heads of %lld where hidden_size / num_attention_heads is %lld: llama.cpp cannot load such a %s model",
            path, (long long)c->head_dim, (long long)(c->hidden_size / c->num_attention_heads), c->arch->gguf);
    if (c->rope_kind == FT_ROPE_LONGROPE)
        ft_note(FT_WARN,
                "%s: llama.cpp chooses longrope's factors once, by the context it is started with, the model by each "
                "text's length: they agree for texts of up to %lld tokens in a context of at most as many (--ctx-size, "
                "num_ctx), and for longer ones in a larger one",
                path, (long long)c->rope_original_max_position);
    if (c->gate == FT_GATE_GELU || c->arch->layer_norm)
        ft_note(FT_NOTE,
                "%s: llama.cpp takes GELU from a table of halves%s: its outputs differ by up to a thousandth of the "
                "largest, at any length",
                path, c->arch->layer_norm ? ", in the tanh form" : "");
    return FT_OK;
}

size_t ft_model_gguf_extra_count(const ft_model *m)
{
    return (m->config.rope_divisors != NULL) + (m->config.rope_divisors_beyond != NULL);
}

ft_status ft_model_gguf_extra(const ft_model *m, size_t i, const char **name, int64_t *n, const float **values)
{
    if (i >= ft_model_gguf_extra_count(m))
        return ft_fail(FT_EINPUT, "%s: no extra tensor %zu", m->path, i);
    *name = i                                ? "rope_factors_long.weight"
            : m->config.rope_divisors_beyond ? "rope_factors_short.weight"
                                             : "rope_freqs.weight";
    *n = m->config.rot / 2;
    *values = i ? m->config.rope_divisors_beyond : m->config.rope_divisors;
    return FT_OK;
}
