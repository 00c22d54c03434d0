/* cmd/logits: fettle eval --token-ids: the loss of tokens and a model's logits in a file, for comparison with other
 * stacks. */
#ifndef FETTLE_CMD_LOGITS_H
#define FETTLE_CMD_LOGITS_H

#include "cmd/cmd.h"

ft_status ft_logits_of_ids(const ft_args *a);

#endif
