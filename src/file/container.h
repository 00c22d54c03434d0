/* The file room, containers: named tensors and metadata, read in place from a memory mapping and written as a stream.
 *
 * A format is one file and one row in file/formats.def: safetensors (single file, and a directory's shards through
 * model.safetensors.index.json), GGUF v3 (v2 read). Files are hostile: every offset, size, count and name is checked
 * before it is used; errors are FT_EFORMAT "path: at byte N: found ..., expected ...".
 *
 * Refused: names and keys that are empty, longer than 65,535 bytes, hold a NUL or come twice; tensors of more than four
 * dimensions, without elements, beyond the file or upon one another; safetensors headers over 100 MiB; big-endian and
 * split GGUFs; arrays of arrays. FT_EUNSUPPORTED names the tensor whose element type fettle does not have, integers among
 * them. A scalar has the shape [1].
 *
 * Legal order, reading: ft_container_open, find / at / meta, ft_container_close.
 * Legal order, writing: ft_writer_open, meta ..., ft_writer_tensor ... (all declarations), ft_writer_data for every
 * tensor in declared order (in pieces of any size), ft_writer_commit; or ft_writer_abort at any point.
 * Ownership: tensors, names and metadata belong to the container and live until it is closed; data is the mapping, or a
 * copy where the file's data is not aligned for its type. A container may be read by many threads.
 */
#ifndef FETTLE_FILE_CONTAINER_H
#define FETTLE_FILE_CONTAINER_H

#include "base/str.h"
#include "tensor/tensor.h"

typedef struct ft_named {
    const char *name;
    ft_tensor t; /* shape in row-major order also for GGUF (its ne reversed) */
} ft_named;

typedef struct ft_container ft_container;

typedef enum ft_meta_kind {
    FT_META_BOOL,
    FT_META_INT,
    FT_META_UINT,
    FT_META_FLOAT,
    FT_META_STRING,
    FT_META_ARRAY
} ft_meta_kind;
typedef struct ft_meta {
    const char *key;
    ft_meta_kind kind;
    union {
        bool b;
        int64_t i;  /* FT_META_INT */
        uint64_t u; /* FT_META_UINT */
        double f;
        ft_str s; /* not 0-terminated */
    } v;
    /* FT_META_ARRAY: element kind and views; strings as ft_str[n], numbers through ft_meta_at. */
    ft_meta_kind of;
    uint64_t n;
    const void *items;
    int32_t gguf_type; /* the exact GGUF value type (element type for arrays), -1 for other formats */
} ft_meta;

/* path: a .safetensors, a .gguf, a safetensors index, or a directory holding model.safetensors(.index.json).
 * FT_EINPUT when nothing there is a container (says what was looked for), FT_EFORMAT when it is damaged. */
ft_status ft_container_open(ft_container **out, const char *path);
void ft_container_close(ft_container *c);
const char *ft_container_format(const ft_container *c); /* "safetensors", "gguf" */
const char *ft_container_path(const ft_container *c);
size_t ft_container_count(const ft_container *c);
const ft_named *ft_container_at(const ft_container *c, size_t i);
const ft_named *ft_container_find(const ft_container *c, const char *name); /* NULL when absent */
/* The data of a tensor was read for the last time in a while: its pages no longer count as resident. It stays valid. */
void ft_container_forget(const ft_container *c, const ft_tensor *t);
size_t ft_container_meta_count(const ft_container *c);
const ft_meta *ft_container_meta_at(const ft_container *c, size_t i);
const ft_meta *ft_container_meta(const ft_container *c, const char *key); /* NULL when absent */
/* Typed reading with conversion among number kinds: false when absent, another kind, or out of range. */
bool ft_meta_i64(const ft_meta *m, int64_t *out);
bool ft_meta_f64(const ft_meta *m, double *out);
bool ft_meta_bool(const ft_meta *m, bool *out);
bool ft_meta_str(const ft_meta *m, ft_str *out);
bool ft_meta_at_i64(const ft_meta *m, uint64_t i, int64_t *out); /* element of a number array */
bool ft_meta_at_f64(const ft_meta *m, uint64_t i, double *out);
bool ft_meta_at_str(const ft_meta *m, uint64_t i, ft_str *out);

typedef struct ft_writer ft_writer;
/* format: a name of the table ("safetensors", "gguf"). Writes to a temporary name until commit. After a failure a commit
 * refuses with the first one's words; the caller may leave failures of the calls between to it. */
ft_status ft_writer_open(ft_writer **out, const char *format, const char *path);
/* safetensors keeps strings only (numbers are printed); keys in the order given, a duplicate is FT_EINPUT. */
ft_status ft_writer_str(ft_writer *w, const char *key, ft_str value);
ft_status ft_writer_u32(ft_writer *w, const char *key, uint32_t value);
ft_status ft_writer_i32(ft_writer *w, const char *key, int32_t value);
ft_status ft_writer_u64(ft_writer *w, const char *key, uint64_t value);
ft_status ft_writer_f32(ft_writer *w, const char *key, float value);
ft_status ft_writer_bool(ft_writer *w, const char *key, bool value);
ft_status ft_writer_str_array(ft_writer *w, const char *key, const ft_str *v, uint64_t n);
ft_status ft_writer_u8_array(ft_writer *w, const char *key, const uint8_t *v, uint64_t n);
ft_status ft_writer_i32_array(ft_writer *w, const char *key, const int32_t *v, uint64_t n);
ft_status ft_writer_f32_array(ft_writer *w, const char *key, const float *v, uint64_t n);
/* Copies one value as it is (GGUF to GGUF keeps the exact type). A copied general.alignment is kept to. */
ft_status ft_writer_meta(ft_writer *w, const ft_meta *m);
/* Declares the next tensor; shape row-major. FT_EINPUT for a type that the format cannot hold, a name that is given twice
 * or that other readers refuse (GGUF: over 63 bytes). */
ft_status ft_writer_tensor(ft_writer *w, const char *name, const ft_dtype *dtype, int ndim, const int64_t *shape);
/* The next n bytes of the data of the tensors in declared order; padding is the writer's matter. FT_EINPUT when more or
 * fewer bytes come than were declared. */
ft_status ft_writer_data(ft_writer *w, const void *p, size_t n);
/* Frees `w` in either case. */
ft_status ft_writer_commit(ft_writer *w);
void ft_writer_abort(ft_writer *w); /* NULL is fine */

#endif
