/* model/keys: the whole numbers of a config under their names in config.json and in GGUF metadata. */
#ifndef FETTLE_MODEL_KEYS_H
#define FETTLE_MODEL_KEYS_H

#include "model/arch.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>

/* In place of a fallback. */
enum { FT_KEY_NEEDED = -1, FT_KEY_LIKE_HEADS = -2, FT_KEY_HEAD_DIM = -3 };

typedef struct ft_config_key {
    const char *hf, *gguf; /* gguf behind "{arch}." */
    size_t field;          /* of the int64_t in ft_config */
    int64_t min, max, fallback;
} ft_config_key;
extern const ft_config_key ft_config_keys[];
extern const size_t ft_n_config_keys;

#endif
