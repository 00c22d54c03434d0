/* cmd/inspect: what a path holds. A kind is one row: how it is recognised, what is said of it. */
#ifndef FETTLE_CMD_INSPECT_H
#define FETTLE_CMD_INSPECT_H

#include "cmd/cmd.h"

typedef struct ft_inspect_kind {
    const char *name;
    bool (*is)(const char *path);
    ft_status (*put)(json_t *o, const char *path, const ft_args *a);
} ft_inspect_kind;
extern const ft_inspect_kind ft_inspect_run, ft_inspect_adapter, ft_inspect_model, ft_inspect_gguf,
    ft_inspect_safetensors, ft_inspect_checkpoint, ft_inspect_dataset;

#endif
