/* Qwen 3: as Qwen 2, without biases, and each head of q and k is normed before it turns. */
#include "model/qwen.h"
#include "model/specs.h"

static const ft_weight_spec weights[] = {FT_SPECS_OUTER,
                                         FT_SPEC_NORM_IN,
                                         FT_SPECS_ATTENTION,
                                         FT_SPECS_QK_NORMS(HEAD_DIM, HEAD_DIM),
                                         FT_SPEC_NORM_MLP_IN("post_attention_layernorm"),
                                         FT_SPECS_MLP,
                                         {0}};

static ft_status read_config(ft_config *c, const char *where)
{
    FT_RETURN(ft_json_bool(c->json, "attention_bias", where, false, &c->attention_bias));
    c->attention_out_bias = c->attention_bias;
    return ft_config__check_act(c, "hidden_act", "silu", where);
}

const ft_arch ft_arch_qwen3 = {
    .model_type = "qwen3",
    .architecture = "Qwen3ForCausalLM",
    .gguf = "qwen3",
    .weights = weights,
    .keys = ft_qwen_keys,
    .slides = ft_qwen__slides,
    .read_config = read_config,
    .block = ft_decoder_block,
    .help = "Qwen3",
};
