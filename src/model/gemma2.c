/* Gemma 2: norms before and behind attention and MLP, all by 1 + w; embeddings times sqrt(C); gated gelu; scores and
 * logits capped by tanh; a window in every other layer, the first one among them.
 *
 * llama.cpp divides scores by sqrt(head_dim) whatever query_pre_attn_scalar says: where they differ, q's matrix takes
 * up the quotient in the GGUF.
 */
#include "model/gemma.h"
#include "model/specs.h"

#include <math.h>

enum { LAYERS_OF_27B = 46 };

static const ft_weight_spec weights[] = {FT_SPECS_OUTER,
                                         FT_SPEC_NORM_IN,
                                         FT_SPECS_ATTENTION,
                                         FT_SPEC_NORM_ATTENTION_OUT,
                                         FT_SPEC_NORM_MLP_IN("pre_feedforward_layernorm"),
                                         FT_SPECS_MLP,
                                         FT_SPEC_NORM_MLP_OUT,
                                         {0}};

static const ft_config_key keys[] = {
    {"sliding_window", "attention.sliding_window", FT_FIELD(sliding_window), 0, INT32_MAX, 4096}, {0}};

static const ft_config_real reals[] = {
    {"attn_logit_softcapping", "attn_logit_softcapping", FT_FIELD(attention_softcap), 50},
    {"final_logit_softcapping", "final_logit_softcapping", FT_FIELD(final_softcap), 30},
    {0}};

ft_status ft_gemma__read(ft_config *c, const char *where)
{
    double scalar;
    FT_RETURN(ft_config__check_act(c, "hidden_activation", "gelu_pytorch_tanh", where));
    FT_RETURN(ft_json_bool(c->json, "attention_bias", where, false, &c->attention_bias));
    FT_RETURN(ft_json_f64(c->json, "query_pre_attn_scalar", where, 256, &scalar));
    if (!(scalar > 0 && scalar < 1e9))
        return ft_fail(FT_EFORMAT, "%s: query_pre_attn_scalar is %g, a positive number is expected", where, scalar);
    c->attention_out_bias = c->attention_bias;
    c->attention_scale = (float)(1 / sqrt(scalar));
    c->embedding_scale = (float)sqrt((double)c->hidden_size);
    c->norm_plus = 1;
    c->gate = FT_GATE_GELU;
    return FT_OK;
}

float ft_gemma__gguf_scale(const ft_config *c, int64_t layers_of_27b)
{
    int64_t scalar = c->num_hidden_layers == layers_of_27b ? c->hidden_size / c->num_attention_heads : c->head_dim;
    return (float)(1 / sqrt((double)scalar));
}

ft_status ft_gemma__of_gguf(json_t *config, int64_t layers_of_27b)
{
    json_int_t heads = json_integer_value(json_object_get(config, "num_attention_heads")),
               scalar = json_integer_value(json_object_get(config, "head_dim"));
    if (heads > 0 && (!scalar || json_integer_value(json_object_get(config, "num_hidden_layers")) == layers_of_27b))
        scalar = json_integer_value(json_object_get(config, "hidden_size")) / heads;
    if (json_object_set_new(config, "query_pre_attn_scalar", json_integer(scalar)) != 0)
        return ft_fail(FT_ENOMEM, "out of memory for a config");
    return FT_OK;
}

static bool slides(const ft_config *c, int64_t layer)
{
    (void)c;
    return layer % 2 == 0;
}

static ft_status gguf_check(const ft_config *c, const char *path)
{
    if (c->attention_softcap > 0 && c->final_softcap > 0)
        return FT_OK;
    return ft_fail(FT_EUNSUPPORTED, "%s: this model caps no %s: llama.cpp always does for gemma2", path,
                   c->attention_softcap > 0 ? "logits" : "scores");
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

const ft_arch ft_arch_gemma2 = {
    .model_type = "gemma2",
    .architecture = "Gemma2ForCausalLM",
    .gguf = "gemma2",
    .gguf_windows = true,
    .tied = true,
    .weights = weights,
    .keys = keys,
    .reals = reals,
    .slides = slides,
    .read_config = ft_gemma__read,
    .of_gguf = of_gguf,
    .gguf_scale = gguf_scale,
    .gguf_scale_slot = FT_W_Q,
    .gguf_check = gguf_check,
    .block = ft_decoder_block,
    .help = "Gemma 2",
};
