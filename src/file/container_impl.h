/* Inside the file room: a container while it is read, a writer while it is filled, and the row of a format. */
#ifndef FETTLE_FILE_CONTAINER_IMPL_H
#define FETTLE_FILE_CONTAINER_IMPL_H

#include "base/os.h"
#include "file/container.h"

enum { FT_CONTAINER__MAX_NAME = 65535 }; /* bytes of a tensor's name and of a key */

/* GGUF value types; fettle keeps them beside each value so that a copy is exact. */
enum ft_gguf__type {
    FT_GGUF__U8 = 0,
    FT_GGUF__I8 = 1,
    FT_GGUF__U16 = 2,
    FT_GGUF__I16 = 3,
    FT_GGUF__U32 = 4,
    FT_GGUF__I32 = 5,
    FT_GGUF__F32 = 6,
    FT_GGUF__BOOL = 7,
    FT_GGUF__STRING = 8,
    FT_GGUF__ARRAY = 9,
    FT_GGUF__U64 = 10,
    FT_GGUF__I64 = 11,
    FT_GGUF__F64 = 12
};
/* Bytes of one value, 0 for strings, arrays and unknown types. */
size_t ft_gguf__bytes(int64_t type);
/* Kind and value of the number at p (any alignment) into m; m->gguf_type = type. */
void ft_gguf__number(ft_meta *m, int32_t type, const void *p);
/* Name of a GGML tensor type, NULL when unknown. */
const char *ft_gguf__tensor_type(int64_t id);

/* One row of file/formats.def. */
typedef struct ft_format {
    const char *name;   /* of ft_container_format and ft_writer_open; two rows may share it when one is not written */
    const char *suffix; /* of file names, for files whose bytes say nothing */
    const char *help;
    bool (*is)(const uint8_t *p, size_t n); /* by the first bytes; NULL: by the suffix alone */
    ft_status (*read)(ft_container *c, const ft_mapping *m);
    bool (*stores)(const ft_dtype *dtype); /* NULL: the format is read only */
    size_t max_name;                       /* longest tensor name that other readers of the format take */
    /* Places the tensors (ft_writer__place) and appends all that stands before their data. */
    ft_status (*header)(ft_writer *w, ft_buf *out);
} ft_format;
extern const ft_format *const ft_formats[]; /* the table, NULL at its end */

struct ft_container {
    const ft_format *format;
    char *path;
    ft_mapping *maps;
    size_t n_maps;
    ft_named *tensors;
    size_t n_tensors, cap_tensors;
    ft_meta *meta;
    size_t n_meta, cap_meta;
    ft_map *names, *keys; /* to places in tensors and meta */
    ft_arena *arena;      /* names, keys, string views, tensors that had to be moved */
};

/* "path: at byte N: what". A macro, so that the compiler sees that what follows is not reached. */
#define ft_container__fail(...) (ft_container__say(__VA_ARGS__), FT_EFORMAT)
void ft_container__say(const ft_mapping *m, uint64_t at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Adds a tensor that lies at m->data + offset (in range, size checked). Data not aligned for its dtype is copied.
 * FT_EFORMAT, without a place, when the name may not be or stands there already; so too for metadata. */
ft_status ft_container__add(ft_container *c, const ft_mapping *m, ft_str name, const ft_tensor *t, uint64_t offset);
/* Adds metadata; m's strings and items stay where they are, its key is copied from `key`. */
ft_status ft_container__add_meta(ft_container *c, ft_str key, const ft_meta *m);
/* The file at path, mapped until the container is closed. */
ft_status ft_container__map(ft_container *c, const char *path, ft_mapping **out);

/* Where a tensor's data lies in the file. */
typedef struct ft_extent {
    uint64_t begin, end;
    size_t tensor; /* number of the tensor */
} ft_extent;
/* Sorts by place; FT_EFORMAT when two share bytes. base: where offsets count from. */
ft_status ft_container__no_overlap(const ft_container *c, const ft_mapping *m, ft_extent *e, size_t n, uint64_t base);

struct ft_writer {
    const ft_format *format;
    ft_out *out;
    char *path;
    ft_arena *arena;
    ft_meta *meta;
    size_t n_meta, cap_meta;
    ft_named *tensors;
    ft_extent *extents; /* [n_tensors] relative to the start of the data */
    size_t n_tensors, cap_tensors;
    ft_map *names, *keys;
    size_t alignment; /* of each tensor, set by ft_writer__place */
    bool begun;       /* the header is written */
    size_t at;        /* tensor whose data comes next */
    uint64_t written; /* of its bytes */
    ft_status failed; /* the first failure, and its words: commit refuses with them */
    char why[1024];
};
/* Gives every tensor its extent, each at a multiple of alignment (1: one after the other). */
void ft_writer__place(ft_writer *w, size_t alignment);

#endif
