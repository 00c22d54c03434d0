/* Containers while they are read: which format a path holds, the table of tensors and metadata, looking things up.
 *
 * Memory: the files stay mapped; names, keys and string views lie in the container's arena. What an array needs is
 * bounded by the bytes that the file really has.
 */
#include "file/container_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FT_FORMAT(name) extern const ft_format ft_format_##name;
#include "file/formats.def"
#undef FT_FORMAT
#define FT_FORMAT(name) &ft_format_##name,
const ft_format *const ft_formats[] = {
#include "file/formats.def"
    NULL};
#undef FT_FORMAT

/* ---- building, for the formats ---- */

void ft_container__say(const ft_mapping *m, uint64_t at, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ft_fail(FT_EFORMAT, "%s: at byte %llu: %s", m->path, (unsigned long long)at, text);
}

/* Room for one more in an array of n elements. */
static ft_status grow(void **p, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return FT_OK;
    size_t more = *cap ? *cap * 2 : 64;
    void *q = ft_resize(*p, more, size);
    if (!q)
        return FT_ENOMEM;
    *p = q;
    *cap = more;
    return FT_OK;
}

static ft_status check_name(ft_str name, const char *what)
{
    if (name.n == 0)
        return ft_fail(FT_EFORMAT, "a %s is empty", what);
    if (name.n > FT_CONTAINER__MAX_NAME)
        return ft_fail(FT_EFORMAT, "a %s of %zu bytes, at most %d are read", what, name.n, FT_CONTAINER__MAX_NAME);
    if (memchr(name.p, 0, name.n))
        return ft_fail(FT_EFORMAT, "the %s \"%.*s\" holds a NUL byte", what, (int)name.n, name.p);
    return FT_OK;
}

/* Checks a new name, notes it in the map and keeps a copy. */
static ft_status keep_name(ft_container *c, ft_map *map, ft_str name, const char *what, size_t place, const char **out)
{
    FT_RETURN(check_name(name, what));
    if (ft_map_get(map, name.p, name.n, NULL))
        return ft_fail(FT_EFORMAT, "the %s \"%.*s\" stands there twice", what, (int)name.n, name.p);
    FT_RETURN(ft_map_put(map, name.p, name.n, (int64_t)place));
    *out = ft_arena_strndup(c->arena, name.p, name.n);
    return *out ? FT_OK : FT_ENOMEM;
}

/* A float is read through a pointer to it, a quantized block through its 16-bit scale. */
static size_t alignment_of(const ft_dtype *d)
{
    return d->is_float ? d->block_bytes : sizeof(uint32_t);
}

ft_status ft_container__add(ft_container *c, const ft_mapping *m, ft_str name, const ft_tensor *t, uint64_t offset)
{
    FT_RETURN(grow((void **)&c->tensors, c->n_tensors, &c->cap_tensors, sizeof *c->tensors));
    ft_named *n = &c->tensors[c->n_tensors];
    n->t = *t;
    n->t.data = (void *)(m->data + offset);
    FT_RETURN(keep_name(c, c->names, name, "tensor name", c->n_tensors, &n->name));
    if ((uintptr_t)n->t.data % alignment_of(t->dtype)) {
        size_t bytes = ft_tensor_bytes(t);
        void *copy = ft_arena_alloc(c->arena, bytes, 1);
        if (!copy)
            return FT_ENOMEM;
        n->t.data = memcpy(copy, n->t.data, bytes);
    }
    c->n_tensors++;
    return FT_OK;
}

ft_status ft_container__add_meta(ft_container *c, ft_str key, const ft_meta *m)
{
    FT_RETURN(grow((void **)&c->meta, c->n_meta, &c->cap_meta, sizeof *c->meta));
    ft_meta *n = &c->meta[c->n_meta];
    *n = *m;
    FT_RETURN(keep_name(c, c->keys, key, "metadata key", c->n_meta, &n->key));
    c->n_meta++;
    return FT_OK;
}

ft_status ft_container__map(ft_container *c, const char *path, ft_mapping **out)
{
    ft_mapping *maps = ft_resize(c->maps, c->n_maps + 1, sizeof *maps);
    if (!maps)
        return FT_ENOMEM;
    c->maps = maps;
    FT_RETURN(ft_mapping_open(&maps[c->n_maps], path));
    *out = &maps[c->n_maps++];
    return FT_OK;
}

static int by_place(const void *a, const void *b)
{
    const ft_extent *x = a, *y = b;
    return x->begin != y->begin ? (x->begin > y->begin ? 1 : -1) : (x->end > y->end) - (x->end < y->end);
}

ft_status ft_container__no_overlap(const ft_container *c, const ft_mapping *m, ft_extent *e, size_t n, uint64_t base)
{
    if (n)
        qsort(e, n, sizeof *e, by_place);
    for (size_t i = 1; i < n; i++)
        if (e[i].begin < e[i - 1].end)
            return ft_container__fail(m, base + e[i].begin,
                                      "tensor \"%s\" begins within tensor \"%s\", which ends at byte %llu",
                                      c->tensors[e[i].tensor].name, c->tensors[e[i - 1].tensor].name,
                                      (unsigned long long)(base + e[i - 1].end));
    return FT_OK;
}

/* ---- opening ---- */

static ft_status format_of(const ft_mapping *m, const ft_format **out)
{
    for (size_t i = 0; ft_formats[i]; i++)
        if (ft_formats[i]->is && ft_formats[i]->is(m->data, m->size)) {
            *out = ft_formats[i];
            return FT_OK;
        }
    for (size_t i = 0; ft_formats[i]; i++)
        if (ft_ends(m->path, ft_formats[i]->suffix)) {
            *out = ft_formats[i];
            return FT_OK;
        }
    return ft_fail(FT_EINPUT,
                   "%s: no model file: it has neither GGUF's magic nor a safetensors header, nor is it named "
                   "*.gguf, *.safetensors or *.safetensors.index.json",
                   m->path);
}

/* The file of a directory that holds the weights, in new memory. */
static ft_status file_in(const char *dir, char **out)
{
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json"};
    for (size_t i = 0; i < FT_COUNT(names); i++) {
        if (!(*out = ft_path_join(dir, names[i])))
            return FT_ENOMEM;
        if (ft_exists(*out))
            return FT_OK;
        ft_free(*out);
        *out = NULL;
    }
    char *torch = ft_path_join(dir, "pytorch_model.bin");
    bool pickled = torch && ft_exists(torch);
    ft_free(torch);
    return ft_fail(FT_EINPUT, "%s: no weights: looked for model.safetensors and model.safetensors.index.json%s", dir,
                   pickled ? "; pytorch_model.bin is not read: save the model as safetensors" : "");
}

static ft_status open_file(ft_container *c, const char *path)
{
    ft_mapping *m;
    FT_RETURN(ft_container__map(c, path, &m));
    FT_RETURN(format_of(m, &c->format));
    /* the index maps its shards, which moves c->maps */
    ft_mapping self = *m;
    return c->format->read(c, &self);
}

ft_status ft_container_open(ft_container **out, const char *path)
{
    ft_status st = FT_OK;
    char *file = NULL;
    *out = NULL;
    ft_container *c = ft_alloc(1, sizeof *c);
    if (!c)
        return FT_ENOMEM;
    c->names = ft_map_new();
    c->keys = ft_map_new();
    c->arena = ft_arena_new((size_t)1 << 16, 0);
    c->path = ft_strdup(path);
    if (!c->names || !c->keys || !c->arena || !c->path)
        FT_TRY(FT_ENOMEM);
    if (ft_is_dir(path))
        FT_TRY(file_in(path, &file));
    FT_TRY(open_file(c, file ? file : path));
    *out = c;
done:
    ft_free(file);
    if (st != FT_OK)
        ft_container_close(c);
    return st;
}

void ft_container_close(ft_container *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_maps; i++)
        ft_mapping_close(&c->maps[i]);
    ft_free(c->maps);
    ft_free(c->tensors);
    ft_free(c->meta);
    ft_map_free(c->names);
    ft_map_free(c->keys);
    ft_arena_free(c->arena);
    ft_free(c->path);
    ft_free(c);
}

/* ---- looking things up ---- */

const char *ft_container_format(const ft_container *c)
{
    return c->format->name;
}

const char *ft_container_path(const ft_container *c)
{
    return c->path;
}

size_t ft_container_count(const ft_container *c)
{
    return c->n_tensors;
}

const ft_named *ft_container_at(const ft_container *c, size_t i)
{
    return &c->tensors[i];
}

const ft_named *ft_container_find(const ft_container *c, const char *name)
{
    int64_t i;
    return ft_map_get(c->names, name, strlen(name), &i) ? &c->tensors[i] : NULL;
}

size_t ft_container_meta_count(const ft_container *c)
{
    return c->n_meta;
}

const ft_meta *ft_container_meta_at(const ft_container *c, size_t i)
{
    return &c->meta[i];
}

const ft_meta *ft_container_meta(const ft_container *c, const char *key)
{
    int64_t i;
    return ft_map_get(c->keys, key, strlen(key), &i) ? &c->meta[i] : NULL;
}

void ft_container_forget(const ft_container *c, const ft_tensor *t)
{
    const uint8_t *p = t->data;
    for (size_t i = 0; i < c->n_maps; i++) /* a copy lies in none of them */
        if (p >= c->maps[i].data && p < c->maps[i].data + c->maps[i].size)
            ft_mapping_forget(p, ft_tensor_bytes(t));
}
