/* Gemma 3, text: as Gemma 2 without the caps; each head of q and k is normed before it turns; five layers with a
 * window, which turn by frequencies of their own, to one without.
 *
 * What gemma2.c says of query_pre_attn_scalar goes into q's norm here, which stands between the matrix and the scores.
 */
#include "model/gemma.h"
#include "model/specs.h"

enum { LAYERS_OF_27B = 62 };

static const ft_weight_spec weights[] = {FT_SPECS_OUTER,
                                         FT_SPEC_NORM_IN,
                                         FT_SPECS_ATTENTION,
                                         FT_SPECS_QK_NORMS(HEAD_DIM, HEAD_DIM),
                                         FT_SPEC_NORM_ATTENTION_OUT,
                                         FT_SPEC_NORM_MLP_IN("pre_feedforward_layernorm"),
                                         FT_SPECS_MLP,
                                         FT_SPEC_NORM_MLP_OUT,
                                         {0}};

static const ft_config_key keys[] = {
    {"sliding_window", "attention.sliding_window", FT_FIELD(sliding_window), 0, INT32_MAX, 4096},
    {"sliding_window_pattern", NULL, FT_FIELD(sliding_window_pattern), 1, 1 << 12, 6},
    {0}};

static const ft_config_real reals[] = {
    {"rope_local_base_freq", "rope.freq_base_swa", FT_FIELD(rope_local_theta), 10000},
    {"attn_logit_softcapping", NULL, FT_FIELD(attention_softcap), 0},
    {"final_logit_softcapping", NULL, FT_FIELD(final_softcap), 0},
    {0}};

static bool slides(const ft_config *c, int64_t layer)
{
    return (layer + 1) % c->sliding_window_pattern != 0;
}

static ft_status gguf_check(const ft_config *c, const char *path)
{
    for (int64_t i = 0; i < c->num_hidden_layers; i++)
        if ((c->layers[i].window == 0) != ((i + 1) % 6 == 0))
            return ft_fail(
                FT_EUNSUPPORTED,
                "%s: layer %lld of this model has %s window: llama.cpp gives one to all layers but every sixth", path,
                (long long)i, c->layers[i].window ? "a" : "no");
    if (c->attention_softcap > 0 || c->final_softcap > 0)
        return ft_fail(FT_EUNSUPPORTED, "%s: llama.cpp caps neither scores nor logits of gemma3", path);
    return FT_OK;
}

static float gguf_scale(const ft_config *c)
{
    return ft_gemma__gguf_scale(c, LAYERS_OF_27B);
}

static ft_status of_gguf(json_t *config, const ft_container *g)
{
    (void)g;
    return ft_gemma__of_gguf(config, LAYERS_OF_27B);
}

const ft_arch ft_arch_gemma3 = {
    .model_type = "gemma3_text",
    .architecture = "Gemma3ForCausalLM",
    .gguf = "gemma3",
    .gguf_windows = true,
    .tied = true,
    .weights = weights,
    .keys = keys,
    .reals = reals,
    .slides = slides,
    .read_config = ft_gemma__read,
    .of_gguf = of_gguf,
    .gguf_scale = gguf_scale,
    .gguf_scale_slot = FT_W_Q_NORM,
    .gguf_check = gguf_check,
    .block = ft_decoder_block,
    .help = "Gemma 3, text",
};
