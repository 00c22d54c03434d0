/* Qwen 2 and 2.5: Llama's blocks with biases on q, k and v alone; layers from max_window_layers on may have a window.
 */
#include "model/qwen.h"

const ft_config_key ft_qwen_keys[] = {{"sliding_window", NULL, FT_FIELD(sliding_window), 0, INT32_MAX, 0}, {0}};

bool ft_qwen__slides(const ft_config *c, int64_t layer)
{
    const json_t *from = json_object_get(c->json, "max_window_layers");
    return json_is_true(json_object_get(c->json, "use_sliding_window")) &&
           layer >= (json_is_integer(from) ? json_integer_value(from) : 28);
}

static ft_status read_config(ft_config *c, const char *where)
{
    c->attention_bias = true;
    return ft_config__check_act(c, "hidden_act", "silu", where);
}

const ft_arch ft_arch_qwen2 = {
    .model_type = "qwen2",
    .architecture = "Qwen2ForCausalLM",
    .gguf = "qwen2",
    .gguf_plain_heads = true,
    .weights = ft_decoder_weights,
    .keys = ft_qwen_keys,
    .slides = ft_qwen__slides,
    .read_config = read_config,
    .block = ft_decoder_block,
    .help = "Qwen2, Qwen2.5 and Coder",
};
