/* LoRA (Hu et al. 2021): y = W x + scale * B A dropout(x), A kaiming uniform, B zero; scale = alpha / r, with rsLoRA
 * (Kalajdzievski 2023) alpha / sqrt(r). */
#include "model/adapter.h"

#include "base/rng.h"

#include <math.h>

static ft_var *apply(ft_tape *t, ft_var *y, ft_var *x, const ft_adapter *adapter, ft_adapted *at)
{
    return ft_op_lora(t, y, x, &at->a, &at->b, at->scale, (float)adapter->spec.dropout, at->site);
}

/* Kaiming uniform with a = sqrt(5), as PEFT does: bound = sqrt(6 / ((1 + a^2) in)) = 1 / sqrt(in). */
static void init(ft_adapted *at, uint64_t seed)
{
    float bound = (float)(1 / sqrt((double)at->a.t.shape[1]));
    ft_fill_uniform(at->a.t.data, (size_t)ft_tensor_count(&at->a.t), -bound, bound, seed, FT_STREAM_ADAPTER, at->site);
}

static float scale(int64_t r, double alpha, bool rslora)
{
    return (float)(alpha / (rslora ? sqrt((double)r) : (double)r));
}

const ft_adapter_kind ft_adapter_lora = {
    .name = "lora",
    .peft_type = "LORA",
    .apply = apply,
    .init = init,
    .scale = scale,
    .help = "low-rank update B A beside each target linear",
};
