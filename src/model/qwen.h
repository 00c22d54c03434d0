/* model/qwen: what Qwen 2 and 3 share. */
#ifndef FETTLE_MODEL_QWEN_H
#define FETTLE_MODEL_QWEN_H

#include "model/arch.h"

extern const ft_config_key ft_qwen_keys[];
bool ft_qwen__slides(const ft_config *c, int64_t layer);

#endif
