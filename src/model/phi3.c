/* Phi 3, 3.5 and 4-mini: Llama's blocks with q, k and v out of one matrix, gate and up out of another (gate first);
 * longrope for the long models, in Phi-4-mini over three quarters of each head; a window in every layer, which
 * llama.cpp reads and does not use.
 */
#include "model/specs.h"

/* clang-format off */
static const ft_weight_spec weights[] = {
    FT_SPECS_OUTER,
    FT_SPEC_NORM_IN,
    FT_LAYER(QKV,     "self_attn.qkv_proj.weight", "attn_qkv.weight",    LINEAR, QKV,     HIDDEN, .when = NULL),
    FT_LAYER(O,       "self_attn.o_proj.weight",   "attn_output.weight", LINEAR, HIDDEN,  HEADS,  .residual = true),
    FT_SPEC_NORM_MLP_IN("post_attention_layernorm"),
    FT_LAYER(GATE_UP, "mlp.gate_up_proj.weight",   "ffn_up.weight",      LINEAR, GATE_UP, HIDDEN, .when = NULL),
    FT_LAYER(DOWN,    "mlp.down_proj.weight",      "ffn_down.weight",    LINEAR, HIDDEN,  FFN,    .residual = true),
    {0}};

static const ft_config_key keys[] = {
    {"sliding_window", "attention.sliding_window", FT_FIELD(sliding_window), 0, INT32_MAX, 0},
    {"original_max_position_embeddings", "rope.scaling.original_context_length", FT_FIELD(rope_original_max_position), 1, INT32_MAX, 4096},
    {0}};
/* clang-format on */

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

const ft_arch ft_arch_phi3 = {
    .model_type = "phi3",
    .architecture = "Phi3ForCausalLM",
    .gguf = "phi3",
    .gguf_plain_heads = true,
    .partial_rotary = true,
    .longrope = true,
    .weights = weights,
    .keys = keys,
    .slides = slides,
    .read_config = read_config,
    .block = ft_decoder_block,
    .help = "Phi-3, Phi-3.5-mini, Phi-4-mini",
};
