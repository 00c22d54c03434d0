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

static const char *key_of(const ft_model *m, const char *name, char buf[128])
{
    snprintf(buf, 128, "%s.%s", m->config.arch->gguf, name);
    return buf;
}

/* llama.cpp takes a head's length as hidden / heads unless both lengths are written. */
static bool plain_head_dim(const ft_config *c)
{
    return c->head_dim * c->num_attention_heads == c->hidden_size;
}

static ft_status write_sizes(const ft_model *m, ft_writer *w)
{
    char key[128];
    const ft_config *c = &m->config;
    for (size_t i = 0; i < ft_n_config_keys; i++) {
        const ft_config_key *k = &ft_config_keys[i];
        if (k->fallback == FT_KEY_HEAD_DIM && plain_head_dim(c))
            continue;
        int64_t v = *(const int64_t *)((const char *)c + k->field);
        FT_RETURN(ft_writer_u32(w, key_of(m, k->gguf, key), (uint32_t)v));
    }
    if (!plain_head_dim(c))
        FT_RETURN(ft_writer_u32(w, key_of(m, "attention.value_length", key), (uint32_t)c->head_dim));
    return ft_writer_u32(w, key_of(m, "rope.dimension_count", key), (uint32_t)c->head_dim);
}

ft_status ft_model_gguf_meta(const ft_model *m, ft_writer *w)
{
    char key[128];
    const ft_config *c = &m->config;
    FT_RETURN(write_sizes(m, w));
    FT_RETURN(ft_writer_f32(w, key_of(m, "attention.layer_norm_rms_epsilon", key), c->rms_norm_eps));
    FT_RETURN(ft_writer_f32(w, key_of(m, "rope.freq_base", key), (float)c->rope_theta));
    /* llama3 scaling goes by rope_freqs.weight alone: a factor without a type would be taken for linear */
    if (c->rope_kind != FT_ROPE_LINEAR)
        return FT_OK;
    FT_RETURN(ft_writer_str(w, key_of(m, "rope.scaling.type", key), ft_str_of("linear")));
    return ft_writer_f32(w, key_of(m, "rope.scaling.factor", key), (float)c->rope_factor);
}

size_t ft_model_gguf_extra_count(const ft_model *m)
{
    return m->config.rope_divisors ? 1 : 0;
}

ft_status ft_model_gguf_extra(const ft_model *m, size_t i, const char **name, int64_t *n, const float **values)
{
    if (i >= ft_model_gguf_extra_count(m))
        return ft_fail(FT_EINPUT, "%s: no extra tensor %zu", m->path, i);
    *name = "rope_freqs.weight";
    *n = m->config.head_dim / 2;
    *values = m->config.rope_divisors;
    return FT_OK;
}
