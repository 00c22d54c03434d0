/* model/specs: the rows that the weight tables of decoders are made of, in groups. A family's table names its groups:
 *
 *   static const ft_weight_spec weights[] = {FT_SPECS_OUTER, FT_SPEC_NORM_IN, FT_SPECS_ATTENTION, ..., {0}};
 */
#ifndef FETTLE_MODEL_SPECS_H
#define FETTLE_MODEL_SPECS_H

#include "model/arch.h"

#define FT_OUTER(slot_, hf_, gguf_, role_, rows_, cols_, ...)                                                          \
    {                                                                                                                  \
        .slot = FT_W_##slot_, .hf = hf_, .gguf = gguf_, .role = FT_ROLE_##role_, .rows = FT_##rows_,                   \
        .cols = FT_##cols_, __VA_ARGS__                                                                                \
    }
#define FT_LAYER(slot_, hf_, gguf_, role_, rows_, cols_, ...)                                                          \
    {                                                                                                                  \
        .slot = FT_W_##slot_, .hf = hf_, .gguf = gguf_, .role = FT_ROLE_##role_, .rows = FT_##rows_,                   \
        .cols = FT_##cols_, .per_layer = true, __VA_ARGS__                                                             \
    }

/* For .when: what the config says. */
bool ft_config__is_untied(const ft_config *c);
bool ft_config__has_attention_bias(const ft_config *c);
bool ft_config__has_attention_out_bias(const ft_config *c);
bool ft_config__has_mlp_bias(const ft_config *c);

/* clang-format off */
#define FT_SPECS_OUTER                                                                                                       \
    FT_OUTER(EMBED,      "model.embed_tokens.weight", "token_embd.weight",  EMBEDDING, VOCAB,  HIDDEN, .when = NULL),        \
    FT_OUTER(FINAL_NORM, "model.norm.weight",         "output_norm.weight", NORM,      HIDDEN, NONE,   .when = NULL),        \
    FT_OUTER(HEAD,       "lm_head.weight",            "output.weight",      HEAD,      VOCAB,  HIDDEN, .when = ft_config__is_untied)

/* Norms before attention, behind it, before the MLP, behind it. */
#define FT_SPEC_NORM_IN                                                                                                      \
    FT_LAYER(ATTN_NORM, "input_layernorm.weight", "attn_norm.weight", NORM, HIDDEN, NONE, .when = NULL)
#define FT_SPEC_NORM_ATTENTION_OUT                                                                                           \
    FT_LAYER(ATTN_POST_NORM, "post_attention_layernorm.weight", "post_attention_norm.weight", NORM, HIDDEN, NONE, .when = NULL)
#define FT_SPEC_NORM_MLP_IN(hf_)                                                                                             \
    FT_LAYER(FFN_NORM, hf_ ".weight", "ffn_norm.weight", NORM, HIDDEN, NONE, .when = NULL)
#define FT_SPEC_NORM_MLP_OUT                                                                                                 \
    FT_LAYER(FFN_POST_NORM, "post_feedforward_layernorm.weight", "post_ffw_norm.weight", NORM, HIDDEN, NONE, .when = NULL)

#define FT_SPECS_ATTENTION                                                                                                   \
    FT_LAYER(Q,      "self_attn.q_proj.weight", "attn_q.weight",      LINEAR, HEADS,    HIDDEN, .turned = true),             \
    FT_LAYER(K,      "self_attn.k_proj.weight", "attn_k.weight",      LINEAR, KV_HEADS, HIDDEN, .turned = true),             \
    FT_LAYER(V,      "self_attn.v_proj.weight", "attn_v.weight",      LINEAR, KV_HEADS, HIDDEN, .when = NULL),               \
    FT_LAYER(O,      "self_attn.o_proj.weight", "attn_output.weight", LINEAR, HIDDEN,   HEADS,  .residual = true),           \
    FT_LAYER(Q_BIAS, "self_attn.q_proj.bias",   "attn_q.bias",        BIAS,   HEADS,    NONE,   .turned = true, .when = ft_config__has_attention_bias), \
    FT_LAYER(K_BIAS, "self_attn.k_proj.bias",   "attn_k.bias",        BIAS,   KV_HEADS, NONE,   .turned = true, .when = ft_config__has_attention_bias), \
    FT_LAYER(V_BIAS, "self_attn.v_proj.bias",   "attn_v.bias",        BIAS,   KV_HEADS, NONE,   .when = ft_config__has_attention_bias), \
    FT_LAYER(O_BIAS, "self_attn.o_proj.bias",   "attn_output.bias",   BIAS,   HIDDEN,   NONE,   .when = ft_config__has_attention_out_bias)

/* Norms of q and k, of one head's length or of all heads together. */
#define FT_SPECS_QK_NORMS(q_, k_)                                                                                            \
    FT_LAYER(Q_NORM, "self_attn.q_norm.weight", "attn_q_norm.weight", NORM, q_, NONE, .when = NULL),                         \
    FT_LAYER(K_NORM, "self_attn.k_norm.weight", "attn_k_norm.weight", NORM, k_, NONE, .when = NULL)

#define FT_SPECS_MLP                                                                                                         \
    FT_LAYER(GATE,      "mlp.gate_proj.weight", "ffn_gate.weight", LINEAR, FFN,    HIDDEN, .when = NULL),                    \
    FT_LAYER(UP,        "mlp.up_proj.weight",   "ffn_up.weight",   LINEAR, FFN,    HIDDEN, .when = NULL),                    \
    FT_LAYER(DOWN,      "mlp.down_proj.weight", "ffn_down.weight", LINEAR, HIDDEN, FFN,    .residual = true),                \
    FT_LAYER(GATE_BIAS, "mlp.gate_proj.bias",   "ffn_gate.bias",   BIAS,   FFN,    NONE,   .when = ft_config__has_mlp_bias), \
    FT_LAYER(UP_BIAS,   "mlp.up_proj.bias",     "ffn_up.bias",     BIAS,   FFN,    NONE,   .when = ft_config__has_mlp_bias), \
    FT_LAYER(DOWN_BIAS, "mlp.down_proj.bias",   "ffn_down.bias",   BIAS,   HIDDEN, NONE,   .when = ft_config__has_mlp_bias)
/* clang-format on */

#endif
