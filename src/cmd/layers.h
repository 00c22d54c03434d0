/* cmd/layers: which blocks a text means: "all", "last 8", "12-", "0-5", "7". */
#ifndef FETTLE_CMD_LAYERS_H
#define FETTLE_CMD_LAYERS_H

#include "base/mem.h"

typedef struct ft_layer_range {
    int64_t first, end; /* [first, end); first < 0: counted from the end; end INT64_MAX: to the last one */
} ft_layer_range;
/* False: the text is none of these. */
bool ft_layers_read(const char *text, ft_layer_range *out);
/* The blocks of all ranges in a model of L, rising and once each, in new memory; *n 0 means all of them. A block that
 * the model does not have is FT_EINPUT. */
ft_status ft_layers_of(int64_t **out, size_t *n, const ft_layer_range *ranges, size_t n_ranges, int64_t L);

#endif
