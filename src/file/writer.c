/* Containers while they are written: metadata and declarations are kept, then the header goes out, then the data
 * streams through to a temporary file that takes its name at commit.
 *
 * Memory: copies of the metadata and the header's bytes; of the data nothing is kept.
 */
#include "file/container_impl.h"

#include <stdio.h>
#include <string.h>

enum { MAX_HEADER = 1 << 30 };

/* ---- opening, closing ---- */

static ft_status format_named(const char *name, const ft_format **out)
{
    const char *names[16];
    size_t n = 0;
    for (size_t i = 0; ft_formats[i]; i++) {
        if (!ft_formats[i]->header)
            continue;
        *out = ft_formats[i];
        if (strcmp(name, (*out)->name) == 0)
            return FT_OK;
        if (n < FT_COUNT(names))
            names[n++] = (*out)->name;
    }
    const char *near = ft_nearest(name, names, n);
    return ft_fail(FT_EINPUT, "no container format is named \"%s\"%s%s", name, near ? ": did you mean " : "",
                   near ? near : "");
}

static void writer_free(ft_writer *w)
{
    ft_map_free(w->names);
    ft_map_free(w->keys);
    ft_arena_free(w->arena);
    ft_free(w->meta);
    ft_free(w->tensors);
    ft_free(w->extents);
    ft_free(w->path);
    ft_free(w);
}

void ft_writer_abort(ft_writer *w)
{
    if (!w)
        return;
    ft_out_abort(w->out);
    writer_free(w);
}

ft_status ft_writer_open(ft_writer **out, const char *format, const char *path)
{
    ft_status st = FT_OK;
    const ft_format *f = NULL;
    *out = NULL;
    FT_RETURN(format_named(format, &f));
    ft_writer *w = ft_alloc(1, sizeof *w);
    if (!w)
        return FT_ENOMEM;
    w->format = f;
    w->names = ft_map_new();
    w->keys = ft_map_new();
    w->arena = ft_arena_new((size_t)1 << 16, 0);
    w->path = ft_strdup(path);
    if (!w->names || !w->keys || !w->arena || !w->path)
        FT_TRY(FT_ENOMEM);
    FT_TRY(ft_out_open(&w->out, path));
    *out = w;
done:
    if (st != FT_OK)
        ft_writer_abort(w);
    return st;
}

/* Every failure stays with the writer, so that a commit cannot name a file that is not whole. */
static ft_status noted(ft_writer *w, ft_status st)
{
    if (st != FT_OK && w->failed == FT_OK) {
        w->failed = st;
        snprintf(w->why, sizeof w->why, "%s", ft_error());
    }
    return st;
}

/* ---- metadata ---- */

/* A name of a tensor or key: new, not empty, before the data. */
static ft_status take_name(ft_writer *w, ft_map *map, const char *name, size_t max, const char *what, size_t place,
                           const char **out)
{
    size_t n = strlen(name);
    if (w->begun)
        return ft_fail(FT_EINPUT, "%s: %s \"%s\" comes after the data has begun", w->path, what, name);
    if (n == 0 || n > max)
        return ft_fail(FT_EINPUT, "%s: %s \"%s\" has %zu bytes, expected 1 to %zu", w->path, what, name, n, max);
    if (ft_map_get(map, name, n, NULL))
        return ft_fail(FT_EINPUT, "%s: %s \"%s\" is given twice", w->path, what, name);
    FT_RETURN(ft_map_put(map, name, n, (int64_t)place));
    *out = ft_arena_strndup(w->arena, name, n);
    return *out ? FT_OK : FT_ENOMEM;
}

/* One block holds all strings of an array: an allocation a string would waste most of a cache line each. */
static ft_status copy_strings(ft_writer *w, ft_meta *m)
{
    const ft_str *from = m->items;
    size_t bytes = 1;
    for (uint64_t i = 0; i < m->n; i++)
        bytes += from[i].n;
    ft_str *to = ft_arena_alloc(w->arena, (size_t)m->n, sizeof *to);
    char *text = ft_arena_alloc(w->arena, bytes, 1);
    if (!to || !text)
        return FT_ENOMEM;
    for (uint64_t i = 0; i < m->n; i++) {
        to[i] = (ft_str){text, from[i].n};
        if (from[i].n)
            memcpy(text, from[i].p, from[i].n);
        text += from[i].n;
    }
    m->items = to;
    return FT_OK;
}

/* Takes over what m points to. */
static ft_status copy_value(ft_writer *w, ft_meta *m)
{
    if (m->kind == FT_META_STRING) {
        m->v.s.p = ft_arena_strndup(w->arena, m->v.s.p, m->v.s.n);
        return m->v.s.p ? FT_OK : FT_ENOMEM;
    }
    if (m->kind != FT_META_ARRAY)
        return FT_OK;
    if (m->of == FT_META_STRING)
        return copy_strings(w, m);
    size_t bytes = (size_t)m->n * ft_gguf__bytes(m->gguf_type);
    void *items = ft_arena_alloc(w->arena, bytes, 1);
    if (!items)
        return FT_ENOMEM;
    if (bytes)
        memcpy(items, m->items, bytes);
    m->items = items;
    return FT_OK;
}

static ft_status add_meta(ft_writer *w, const char *key, ft_meta m)
{
    if (w->n_meta == w->cap_meta) {
        size_t cap = w->cap_meta ? w->cap_meta * 2 : 32;
        ft_meta *more = ft_resize(w->meta, cap, sizeof *more);
        if (!more)
            return FT_ENOMEM;
        w->meta = more;
        w->cap_meta = cap;
    }
    FT_RETURN(take_name(w, w->keys, key, FT_CONTAINER__MAX_NAME, "metadata", w->n_meta, &m.key));
    FT_RETURN(copy_value(w, &m));
    w->meta[w->n_meta++] = m;
    return FT_OK;
}

ft_status ft_writer_str(ft_writer *w, const char *key, ft_str value)
{
    return noted(w, add_meta(w, key, (ft_meta){.kind = FT_META_STRING, .v.s = value, .gguf_type = FT_GGUF__STRING}));
}

ft_status ft_writer_u32(ft_writer *w, const char *key, uint32_t value)
{
    return noted(w, add_meta(w, key, (ft_meta){.kind = FT_META_UINT, .v.u = value, .gguf_type = FT_GGUF__U32}));
}

ft_status ft_writer_i32(ft_writer *w, const char *key, int32_t value)
{
    return noted(w, add_meta(w, key, (ft_meta){.kind = FT_META_INT, .v.i = value, .gguf_type = FT_GGUF__I32}));
}

ft_status ft_writer_u64(ft_writer *w, const char *key, uint64_t value)
{
    return noted(w, add_meta(w, key, (ft_meta){.kind = FT_META_UINT, .v.u = value, .gguf_type = FT_GGUF__U64}));
}

ft_status ft_writer_f32(ft_writer *w, const char *key, float value)
{
    return noted(w, add_meta(w, key, (ft_meta){.kind = FT_META_FLOAT, .v.f = value, .gguf_type = FT_GGUF__F32}));
}

ft_status ft_writer_bool(ft_writer *w, const char *key, bool value)
{
    return noted(w, add_meta(w, key, (ft_meta){.kind = FT_META_BOOL, .v.b = value, .gguf_type = FT_GGUF__BOOL}));
}

static ft_status add_array(ft_writer *w, const char *key, ft_meta_kind of, int32_t type, const void *items, uint64_t n)
{
    return noted(
        w, add_meta(w, key, (ft_meta){.kind = FT_META_ARRAY, .of = of, .n = n, .items = items, .gguf_type = type}));
}

ft_status ft_writer_str_array(ft_writer *w, const char *key, const ft_str *v, uint64_t n)
{
    return add_array(w, key, FT_META_STRING, FT_GGUF__STRING, v, n);
}

ft_status ft_writer_u8_array(ft_writer *w, const char *key, const uint8_t *v, uint64_t n)
{
    return add_array(w, key, FT_META_UINT, FT_GGUF__U8, v, n);
}

ft_status ft_writer_i32_array(ft_writer *w, const char *key, const int32_t *v, uint64_t n)
{
    return add_array(w, key, FT_META_INT, FT_GGUF__I32, v, n);
}

ft_status ft_writer_f32_array(ft_writer *w, const char *key, const float *v, uint64_t n)
{
    return add_array(w, key, FT_META_FLOAT, FT_GGUF__F32, v, n);
}

ft_status ft_writer_meta(ft_writer *w, const ft_meta *m)
{
    return noted(w, add_meta(w, m->key, *m));
}

/* ---- tensors ---- */

static ft_status grow_tensors(ft_writer *w)
{
    if (w->n_tensors < w->cap_tensors)
        return FT_OK;
    size_t cap = w->cap_tensors ? w->cap_tensors * 2 : 64;
    ft_named *tensors = ft_resize(w->tensors, cap, sizeof *tensors);
    if (!tensors)
        return FT_ENOMEM;
    w->tensors = tensors;
    ft_extent *extents = ft_resize(w->extents, cap, sizeof *extents);
    if (!extents)
        return FT_ENOMEM;
    w->extents = extents;
    w->cap_tensors = cap;
    return FT_OK;
}

static ft_status declare(ft_writer *w, const char *name, const ft_dtype *dtype, int ndim, const int64_t *shape)
{
    size_t bytes;
    ft_tensor t = {.dtype = dtype, .ndim = ndim};
    const char *kept;
    if (!w->format->stores(dtype))
        return ft_fail(FT_EINPUT, "%s: tensor \"%s\": %s cannot hold %s", w->path, name, w->format->name, dtype->name);
    FT_RETURN(ft_context(ft_tensor_check(dtype, ndim, shape, &bytes), "%s: tensor \"%s\"", w->path, name));
    memcpy(t.shape, shape, (size_t)ndim * sizeof *shape);
    FT_RETURN(grow_tensors(w));
    FT_RETURN(take_name(w, w->names, name, w->format->max_name, "tensor", w->n_tensors, &kept));
    w->tensors[w->n_tensors++] = (ft_named){.name = kept, .t = t};
    return FT_OK;
}

ft_status ft_writer_tensor(ft_writer *w, const char *name, const ft_dtype *dtype, int ndim, const int64_t *shape)
{
    return noted(w, declare(w, name, dtype, ndim, shape));
}

static uint64_t padded(uint64_t n, size_t alignment)
{
    return (n + alignment - 1) & ~((uint64_t)alignment - 1);
}

void ft_writer__place(ft_writer *w, size_t alignment)
{
    uint64_t at = 0;
    w->alignment = alignment;
    for (size_t i = 0; i < w->n_tensors; i++) {
        uint64_t bytes = ft_tensor_bytes(&w->tensors[i].t);
        w->extents[i] = (ft_extent){at, at + bytes, i};
        at = padded(at + bytes, alignment);
    }
}

/* ---- data ---- */

static ft_status begin(ft_writer *w)
{
    ft_status st = FT_OK;
    ft_buf header = {.max = MAX_HEADER};
    FT_TRY(w->format->header(w, &header));
    FT_TRY(ft_out_write(w->out, header.p, header.n));
    w->begun = true;
done:
    ft_buf_free(&header);
    return st;
}

/* As much of p as the current tensor takes; *used is how much that was. */
static ft_status write_some(ft_writer *w, const char *p, size_t n, size_t *used)
{
    if (w->at == w->n_tensors)
        return ft_fail(FT_EINPUT, "%s: %zu bytes more than the declared tensors have", w->path, n);
    const ft_extent *e = &w->extents[w->at];
    uint64_t bytes = e->end - e->begin, left = bytes - w->written;
    *used = n < left ? n : (size_t)left;
    FT_RETURN(ft_out_write(w->out, p, *used));
    w->written += *used;
    if (w->written < bytes)
        return FT_OK;
    w->written = 0;
    w->at++;
    return ft_out_zeros(w->out, (size_t)(padded(e->end, w->alignment) - e->end));
}

static ft_status write_data(ft_writer *w, const char *p, size_t n)
{
    if (!w->begun)
        FT_RETURN(begin(w));
    for (size_t used = 0; n; p += used, n -= used)
        FT_RETURN(write_some(w, p, n, &used));
    return FT_OK;
}

ft_status ft_writer_data(ft_writer *w, const void *p, size_t n)
{
    return noted(w, write_data(w, p, n));
}

static ft_status complete(ft_writer *w)
{
    if (w->failed != FT_OK)
        return ft_fail(w->failed, "%s", w->why);
    if (!w->begun)
        FT_RETURN(begin(w));
    if (w->at < w->n_tensors)
        return ft_fail(FT_EINPUT, "%s: the data ends within tensor \"%s\"", w->path, w->tensors[w->at].name);
    return FT_OK;
}

ft_status ft_writer_commit(ft_writer *w)
{
    ft_status st = complete(w);
    if (st != FT_OK) {
        ft_writer_abort(w);
        return st;
    }
    st = ft_out_commit(w->out);
    writer_free(w);
    return st;
}
