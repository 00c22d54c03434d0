/* Mistral: Llama's blocks under a sliding window in every layer, where config.json has one (7B v0.1), none in later
 * models.
 *
 * GGUF has no architecture of its own for it and arch "llama" no window: the key attention.sliding_window, which
 * llama.cpp passes over there, tells the two apart when the file is read back.
 */
#include "model/arch.h"

static const ft_config_key keys[] = {
    {"sliding_window", "attention.sliding_window", FT_FIELD(sliding_window), 0, INT32_MAX, 0}, {0}};

static bool slides(const ft_config *c, int64_t layer)
{
    (void)c;
    (void)layer;
    return true;
}

static ft_status read_config(ft_config *c, const char *where)
{
    return ft_config__check_act(c, "hidden_act", "silu", where);
}

const ft_arch ft_arch_mistral = {
    .model_type = "mistral",
    .architecture = "MistralForCausalLM",
    .gguf = "llama",
    .gguf_mark = "attention.sliding_window",
    .gguf_pairs = true,
    .weights = ft_decoder_weights,
    .keys = keys,
    .slides = slides,
    .read_config = read_config,
    .block = ft_decoder_block,
    .help = "Mistral 7B, Ministral 8B",
};
