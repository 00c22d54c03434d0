/* model/origin: fettle.json, the file by which a folder says that fettle wrote it and out of what.
 *
 *   {"program": "fettle", "version": "0.1.0", "format": "peft", "base_model": "data/base", "base_path": "../../../data/base"}
 *
 * Without date and host: the same export gives the same bytes. base_path (of an adapter) leads from the folder to its
 * base, so that a tree that moves as a whole still opens, from any current directory; quantize_base is what that base was
 * held in while the adapter was trained.
 */
#ifndef FETTLE_MODEL_ORIGIN_H
#define FETTLE_MODEL_ORIGIN_H

#include "base/os.h"
#include "base/str.h"
#include "tensor/tensor.h"

extern const char ft_origin_file[]; /* "fettle.json" */

typedef struct ft_origin {
    const char *format;     /* of the exporter: "hf" "peft" */
    const char *base_model; /* as the user wrote it, may be NULL */
    const char *base_path;  /* from the folder, may be NULL */
    const ft_dtype *quantize_base; /* NULL: as it is stored */
} ft_origin;
/* Writes dir/fettle.json. */
ft_status ft_origin_write(const char *dir, const ft_origin *o);
/* *ours: fettle wrote this folder. FT_ENOMEM when that cannot be found out. */
ft_status ft_origin_is_ours(bool *ours, const char *dir);
/* The base that a folder's base_path leads to, in new memory; NULL where it names none or nothing stands there. */
ft_status ft_origin_base(char **base, const char *dir);
/* What a folder says in quantize_base; NULL where it says nothing. FT_EUNSUPPORTED for a type that is not known. */
ft_status ft_origin_quantize_base(const ft_dtype **dtype, const char *dir);
/* The type of that name, for a key of the file `where`. */
ft_status ft_origin_dtype(const ft_dtype **dtype, ft_str name, const char *where);

#endif
