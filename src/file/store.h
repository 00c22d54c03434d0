/* The file room, store: HDF5 files for checkpoints and caches. Named arrays and attributes, Fletcher32 on every array,
 * written under a temporary name and renamed. HDF5's own error stack never reaches the user's terminal.
 *
 * A user block of 512 bytes before the HDF5 file holds a length and a checksum of all the rest. Both are checked before
 * HDF5 reads a byte, so that a damaged file is FT_EFORMAT naming it; h5dump and h5py read the file as it is. A file
 * that lacks the block is refused. The same puts make the same bytes.
 *
 * Legal order, writing: ft_store_create, put ..., ft_store_commit | ft_store_abort. Reading: ft_store_open, get ...,
 * ft_store_close. Ownership: what is passed in is copied or written at once. HDF5 is not thread-safe: stores are used
 * by one thread at a time, all of them together.
 */
#ifndef FETTLE_FILE_STORE_H
#define FETTLE_FILE_STORE_H

#include "base/str.h"
#include "tensor/tensor.h"

typedef enum ft_store_type {
    FT_STORE_F32,
    FT_STORE_F64,
    FT_STORE_I32,
    FT_STORE_I64,
    FT_STORE_U8,
    FT_STORE_U16
} ft_store_type;
size_t ft_store_type_bytes(ft_store_type type);

typedef struct ft_store ft_store;
ft_status ft_store_create(ft_store **out, const char *path);
/* Array names may hold '/' (groups are made); a name is given once, and none is a group of another. Dimensions may be
 * 0. deflate: 0 none .. 9. After a failure only ft_store_abort is left. */
ft_status ft_store_put(ft_store *s, const char *name, ft_store_type type, int ndim, const int64_t *shape,
                       const void *data, int deflate);
ft_status ft_store_put_i64(ft_store *s, const char *key, int64_t v); /* attributes of the file, each key once */
ft_status ft_store_put_f64(ft_store *s, const char *key, double v);
/* At most 60,000 bytes: longer texts are arrays of u8. */
ft_status ft_store_put_str(ft_store *s, const char *key, const char *v);
ft_status ft_store_commit(ft_store *s); /* frees s; fails: the file that stood under the name still does */
void ft_store_abort(ft_store *s);       /* NULL is fine */

/* FT_EINPUT when there is no such file, FT_EFORMAT when it is damaged or no store. */
ft_status ft_store_open(ft_store **out, const char *path);
void ft_store_close(ft_store *s); /* NULL is fine */
/* FT_EINPUT when the key is absent, FT_EFORMAT when it is of another kind. */
ft_status ft_store_get_i64(ft_store *s, const char *key, int64_t *v);
ft_status ft_store_get_f64(ft_store *s, const char *key, double *v);
ft_status ft_store_get_str(ft_store *s, const char *key, char **v); /* ft_free */
/* Shape and type of an array; FT_EINPUT when absent. */
ft_status ft_store_info(ft_store *s, const char *name, ft_store_type *type, int *ndim, int64_t shape[FT_MAX_DIMS]);
/* Reads a whole array into data, which has room for exactly count elements of type; a mismatch is FT_EFORMAT. */
ft_status ft_store_get(ft_store *s, const char *name, ft_store_type type, int64_t count, void *data);
/* The same where it lies in the file, mapped until the store is closed; it may start at any byte. FT_EUNSUPPORTED for an
 * array that is compressed or larger than 1 MiB, which lies in pieces. */
ft_status ft_store_view(ft_store *s, const char *name, ft_store_type type, int64_t count, const void **data);
/* Calls fn for every array, in the order of their names' bytes, until one call fails. */
ft_status ft_store_each(ft_store *s,
                        ft_status (*fn)(void *ctx, const char *name, ft_store_type type, int ndim,
                                        const int64_t *shape),
                        void *ctx);

#endif
