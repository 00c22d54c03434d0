#include "cmd/shapes.h"

#include <string.h>

#define FT_SHAPE(...) {__VA_ARGS__},
static const ft_shape shapes[] = {
#include "cmd/shapes.def"
};
#undef FT_SHAPE

const char *ft_choice_shape(size_t i)
{
    return i < FT_COUNT(shapes) ? shapes[i].name : NULL;
}

const ft_shape *ft_shape_named(const char *name)
{
    for (size_t i = 0; i < FT_COUNT(shapes); i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

ft_status ft_shape_model(ft_model **out, const ft_shape *s, int64_t tokens, const ft_dtype *dtype, bool trainable,
                         const ft_id_list *asked)
{
    json_t *config = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:b}", "model_type", s->model_type, "hidden_size",
        (json_int_t)s->hidden_size, "intermediate_size", (json_int_t)s->intermediate_size, "num_hidden_layers",
        (json_int_t)s->num_hidden_layers, "num_attention_heads", (json_int_t)s->num_attention_heads,
        "num_key_value_heads", (json_int_t)s->num_key_value_heads, "head_dim", (json_int_t)s->head_dim, "vocab_size",
        (json_int_t)s->vocab_size, "max_position_embeddings", (json_int_t)tokens, "rms_norm_eps", 1e-5, "rope_theta",
        s->rope_theta, "tie_word_embeddings", (int)s->tied);
    *out = NULL;
    if (!config)
        return ft_fail(FT_ENOMEM, "out of memory for a config");
    return ft_model_random(out, config, dtype, trainable, 1, asked);
}
