/* OLMo 2: no norms before attention and MLP but behind them, and q and k are normed over all their heads together. */
#include "model/specs.h"

static const ft_weight_spec weights[] = {FT_SPECS_OUTER,
                                         FT_SPECS_ATTENTION,
                                         FT_SPECS_QK_NORMS(HEADS, KV_HEADS),
                                         FT_SPEC_NORM_ATTENTION_OUT,
                                         FT_SPECS_MLP,
                                         FT_SPEC_NORM_MLP_OUT,
                                         {0}};

static ft_status read_config(ft_config *c, const char *where)
{
    FT_RETURN(ft_config__check_act(c, "hidden_act", "silu", where));
    FT_RETURN(ft_json_bool(c->json, "attention_bias", where, false, &c->attention_bias));
    c->attention_out_bias = c->attention_bias;
    return FT_OK;
}

const ft_arch ft_arch_olmo2 = {
    .model_type = "olmo2",
    .architecture = "Olmo2ForCausalLM",
    .gguf = "olmo2",
    .weights = weights,
    .read_config = read_config,
    .block = ft_decoder_block,
    .help = "OLMo 2",
};
