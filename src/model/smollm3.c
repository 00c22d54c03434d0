/* SmolLM3: Llama's blocks; q and k of some layers (every fourth) do not turn. */
#include "model/arch.h"

enum { USUAL_INTERVAL = 4 };

/* no_rope_layers[i]: 1 where the layer turns, 0 where it does not; else by no_rope_layer_interval. */
static ft_status read_turns(ft_config *c, const char *where)
{
    const json_t *list = json_object_get(c->json, "no_rope_layers");
    int64_t interval;
    FT_RETURN(ft_json_i64(c->json, "no_rope_layer_interval", where, USUAL_INTERVAL, &interval));
    if (interval < 1)
        return ft_fail(FT_EFORMAT, "%s: no_rope_layer_interval is %lld", where, (long long)interval);
    bool listed = list && !json_is_null(list);
    if (listed && json_array_size(list) != (size_t)c->num_hidden_layers)
        return ft_fail(FT_EFORMAT, "%s: no_rope_layers is no list of num_hidden_layers (%lld) numbers", where,
                       (long long)c->num_hidden_layers);
    for (int64_t i = 0; i < c->num_hidden_layers; i++) {
        bool turns = (i + 1) % interval != 0;
        if (listed)
            turns = json_integer_value(json_array_get(list, (size_t)i)) != 0;
        c->layers[i].rope = turns ? FT_TURN : FT_TURN_NOT;
    }
    return FT_OK;
}

static ft_status read_config(ft_config *c, const char *where)
{
    bool slides;
    FT_RETURN(ft_config__check_act(c, "hidden_act", "silu", where));
    FT_RETURN(ft_json_bool(c->json, "attention_bias", where, false, &c->attention_bias));
    FT_RETURN(ft_json_bool(c->json, "mlp_bias", where, false, &c->mlp_bias));
    FT_RETURN(ft_json_bool(c->json, "use_sliding_window", where, false, &slides));
    if (slides)
        return ft_fail(FT_EUNSUPPORTED, "%s: use_sliding_window is true, which is not supported for smollm3", where);
    c->attention_out_bias = c->attention_bias;
    return read_turns(c, where);
}

static ft_status gguf_check(const ft_config *c, const char *path)
{
    for (int64_t i = 0; i < c->num_hidden_layers; i++)
        if ((c->layers[i].rope == FT_TURN_NOT) != ((i + 1) % USUAL_INTERVAL == 0))
            return ft_fail(FT_EUNSUPPORTED,
                           "%s: layer %lld of this model %s: llama.cpp turns all layers but every fourth", path,
                           (long long)i, c->layers[i].rope == FT_TURN_NOT ? "has no rotary positions" : "has them");
    return FT_OK;
}

const ft_arch ft_arch_smollm3 = {
    .model_type = "smollm3",
    .architecture = "SmolLM3ForCausalLM",
    .gguf = "smollm3",
    .gguf_pairs = true,
    .tied = true,
    .weights = ft_decoder_weights,
    .read_config = read_config,
    .gguf_check = gguf_check,
    .block = ft_decoder_block,
    .help = "SmolLM3",
};
