/* model/keys: the numbers that every config has, under their names in config.json and in GGUF metadata. */
#ifndef FETTLE_MODEL_KEYS_H
#define FETTLE_MODEL_KEYS_H

#include "model/arch.h"

#include <math.h>
#include <stdio.h>

extern const ft_config_key ft_config_keys[];
/* The epsilon's name depends on the kind of norm: "rms_norm_eps", "layer_norm_eps". */
const char *ft_config__eps_key(const ft_arch *a, bool gguf);
/* "llama.block_count"; keys of the tokenizer stand by themselves. */
const char *ft_config__gguf_key(const ft_arch *a, const char *key, char buf[128]);

#endif
