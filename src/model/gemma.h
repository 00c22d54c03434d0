/* model/gemma: what Gemma 2 and 3 share. */
#ifndef FETTLE_MODEL_GEMMA_H
#define FETTLE_MODEL_GEMMA_H

#include "model/arch.h"

/* Norms by 1 + w, embeddings times sqrt(C), scores over sqrt(query_pre_attn_scalar), gelu. */
ft_status ft_gemma__read(ft_config *c, const char *where);
/* llama.cpp scales by 1 / sqrt(head_dim), but for the largest model of a generation, which it knows by its layers. */
float ft_gemma__gguf_scale(const ft_config *c, int64_t layers_of_27b);
/* The query_pre_attn_scalar that is in effect there. */
ft_status ft_gemma__of_gguf(json_t *config, int64_t layers_of_27b);

#endif
