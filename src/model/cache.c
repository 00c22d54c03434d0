/* The KV cache of a model: one ft_kv a block, of the same slots and capacity.
 *
 * Memory: [layers] x 2 x [slots, K, capacity, D] floats.
 */
#include "model/arch.h"

#include "base/os.h"

static int64_t width_of(const ft_config *c)
{
    return c->num_key_value_heads * c->head_dim;
}

int64_t ft_model_cache_slots(const ft_model *m, int64_t capacity, int64_t most)
{
    const ft_config *c = &m->config;
    double row = 8.0 * (double)c->num_hidden_layers * (double)capacity * (double)width_of(c);
    double fit = (double)ft_total_ram_bytes() / 4 / row;
    return FT_MAX(1, (int64_t)FT_MIN(fit, (double)most));
}

ft_status ft_model_cache_new(ft_kv **out, const ft_model *m, int64_t slots, int64_t capacity, bool dry)
{
    const ft_config *c = &m->config;
    int64_t width = width_of(c);
    size_t floats;
    *out = NULL;
    if (!ft_mul((size_t)slots, (size_t)capacity, &floats) || !ft_mul(floats, (size_t)width, &floats))
        return ft_fail(FT_ENOMEM, "a cache of %lld rows of %lld tokens is too large", (long long)slots, (long long)capacity);
    ft_kv *kv = ft_alloc((size_t)c->num_hidden_layers, sizeof *kv);
    if (!kv)
        return FT_ENOMEM;
    for (int64_t i = 0; i < c->num_hidden_layers; i++) {
        kv[i] = (ft_kv){.slots = slots, .capacity = capacity, .width = width};
        if (!dry && (!(kv[i].k = ft_alloc(floats, sizeof(float))) || !(kv[i].v = ft_alloc(floats, sizeof(float))))) {
            ft_model_cache_free(kv, m);
            return FT_ENOMEM;
        }
    }
    *out = kv;
    return FT_OK;
}

size_t ft_model_cache_bytes(const ft_model *m, int64_t slots, int64_t capacity)
{
    return (size_t)(m->config.num_hidden_layers * 2 * slots * capacity * width_of(&m->config)) * sizeof(float);
}

void ft_model_cache_free(ft_kv *kv, const ft_model *m)
{
    for (int64_t i = 0; kv && i < m->config.num_hidden_layers; i++) {
        ft_free(kv[i].k);
        ft_free(kv[i].v);
    }
    ft_free(kv);
}

ft_var *ft_model_forward_cached(ft_model *m, ft_tape *t, const int32_t *ids, int64_t T, const ft_segments *seg, ft_kv *kv,
                                int64_t *read, int64_t n)
{
    ft_segments asking = *seg;
    if (!n)
        read[0] = T - 1;
    asking.read = read;
    asking.n_read = FT_MAX(n, (int64_t)1);
    ft_tape_begin(t, false, 0, 0);
    return ft_model_forward(m, t, ids, T, &asking, kv, 0);
}
