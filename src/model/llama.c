/* The Llama family: llama 2 and 3, TinyLlama, SmolLM2 and every checkpoint of model_type "llama".
 *
 * Pre-norm blocks with RMSNorm, rotary positions, grouped-query attention and SwiGLU; heads tied or not; optional
 * biases. GGUF's arch "llama" turns neighbouring pairs, so the rows of q and k are re-ordered head by head.
 */
#include "model/arch.h"

static ft_status read_config(ft_config *c, const char *where)
{
    FT_RETURN(ft_config__check_act(c, "hidden_act", "silu", where));
    FT_RETURN(ft_json_bool(c->json, "attention_bias", where, false, &c->attention_bias));
    c->attention_out_bias = c->attention_bias;
    return ft_json_bool(c->json, "mlp_bias", where, false, &c->mlp_bias);
}

const ft_arch ft_arch_llama = {
    .model_type = "llama",
    .architecture = "LlamaForCausalLM",
    .gguf = "llama",
    .gguf_pairs = true,
    .weights = ft_decoder_weights,
    .read_config = read_config,
    .block = ft_decoder_block,
    .help = "Llama 2 and 3, TinyLlama, SmolLM2",
};
