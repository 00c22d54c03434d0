/* Granite 3: Llama's blocks with four factors: on embeddings, on scores (in place of 1 / sqrt(head_dim)), on what each
 * half of a block adds, and a divisor of the logits.
 */
#include "model/arch.h"

static const ft_config_real reals[] = {{"embedding_multiplier", "embedding_scale", FT_FIELD(embedding_scale), 1},
                                       {"attention_multiplier", "attention.scale", FT_FIELD(attention_scale), 1},
                                       {"residual_multiplier", "residual_scale", FT_FIELD(residual_scale), 1},
                                       {"logits_scaling", "logit_scale", FT_FIELD(logits_divisor), 1},
                                       {0}};

static ft_status read_config(ft_config *c, const char *where)
{
    FT_RETURN(ft_config__check_act(c, "hidden_act", "silu", where));
    FT_RETURN(ft_json_bool(c->json, "attention_bias", where, false, &c->attention_bias));
    FT_RETURN(ft_json_bool(c->json, "mlp_bias", where, false, &c->mlp_bias));
    c->attention_out_bias = c->attention_bias;
    for (const ft_config_real *r = reals; r->hf; r++)
        if (*(const float *)((const char *)c + r->field) == 0)
            return ft_fail(FT_EFORMAT, "%s: %s is 0, a positive number is expected", where, r->hf);
    return FT_OK;
}

const ft_arch ft_arch_granite = {
    .model_type = "granite",
    .architecture = "GraniteForCausalLM",
    .gguf = "granite",
    .gguf_pairs = true,
    .weights = ft_decoder_weights,
    .reals = reals,
    .read_config = read_config,
    .block = ft_decoder_block,
    .help = "Granite 3, dense",
};
