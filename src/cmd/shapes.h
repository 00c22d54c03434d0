/* cmd/shapes: models to measure that need no files. A shape is one row of cmd/shapes.def. */
#ifndef FETTLE_CMD_SHAPES_H
#define FETTLE_CMD_SHAPES_H

#include "cmd/cmd.h"

typedef struct ft_shape {
    const char *name, *model_type;
    int64_t hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim,
        vocab_size;
    double rope_theta;
    bool tied;
} ft_shape;

const char *ft_choice_shape(size_t i); /* the i-th name, NULL behind the last */
const ft_shape *ft_shape_named(const char *name);
/* Random weights of the shape, with room for rows of `tokens` tokens; as ft_model_random. */
ft_status ft_shape_model(ft_model **out, const ft_shape *s, int64_t tokens, const ft_dtype *dtype, bool trainable,
                         const ft_id_list *asked);

#endif
