/* The store: an HDF5 file behind a sealed user block.
 *
 *   store.c         the table of arrays, and what HDF5 must be told
 *   store_write.c   putting       store_driver.c   where HDF5 writes to
 *   store_read.c    getting       store_seal.c     the block and its checksum
 *
 * The root has the attributes; arrays lie in groups where their names hold '/'. Memory: the table of names; HDF5 holds
 * a chunk of an array.
 */
#include "file/store_impl.h"

#include <stdio.h>
#include <string.h>

enum { MAX_ARRAYS = 1 << 20 };

/* ---- what HDF5 must be told ---- */

ft_store__silence ft_store__quiet(void)
{
    ft_store__silence q = {0};
    H5Eget_auto2(H5E_DEFAULT, &q.print, &q.data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return q;
}

void ft_store__loud(ft_store__silence q)
{
    H5Eset_auto2(H5E_DEFAULT, q.print, q.data);
}

static herr_t innermost(unsigned n, const H5E_error2_t *e, void *text)
{
    if (n == 0 && e->desc)
        snprintf(text, 256, "%s", e->desc);
    return 0;
}

const char *ft_store__cause(char text[256])
{
    text[0] = 0;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, text);
    return text;
}

hid_t ft_store__type(ft_store_type type)
{
    switch (type) {
    case FT_STORE_F32:
        return H5T_IEEE_F32LE;
    case FT_STORE_F64:
        return H5T_IEEE_F64LE;
    case FT_STORE_I32:
        return H5T_STD_I32LE;
    case FT_STORE_I64:
        return H5T_STD_I64LE;
    case FT_STORE_U8:
        return H5T_STD_U8LE;
    default:
        return H5T_STD_U16LE;
    }
}

size_t ft_store_type_bytes(ft_store_type type)
{
    static const size_t bytes[] = {[FT_STORE_F32] = 4, [FT_STORE_F64] = 8, [FT_STORE_I32] = 4,
                                   [FT_STORE_I64] = 8, [FT_STORE_U8] = 1,  [FT_STORE_U16] = 2};
    return bytes[type];
}

/* ---- the table of arrays ---- */

ft_status ft_store__add(ft_store *s, const ft_store__array *a)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        ft_store__array *more = ft_resize(s->arrays, cap, sizeof *more);
        if (!more)
            return FT_ENOMEM;
        s->arrays = more;
        s->cap = cap;
    }
    if (s->n == MAX_ARRAYS)
        return ft_fail(FT_EFORMAT, "%s: more than %d arrays", s->path, MAX_ARRAYS);
    FT_RETURN(ft_map_put(s->names, a->name, strlen(a->name), (int64_t)s->n));
    ft_store__array *new = &s->arrays[s->n];
    *new = *a;
    new->name = ft_strdup(a->name);
    if (!new->name)
        return FT_ENOMEM;
    s->n++;
    return FT_OK;
}

void ft_store__free(ft_store *s)
{
    for (size_t i = 0; i < s->n; i++)
        ft_free(s->arrays[i].name);
    ft_free(s->arrays);
    ft_mapping_close(&s->view);
    ft_map_free(s->names);
    ft_free(s->path);
    ft_free(s);
}

ft_store *ft_store__new(const char *path)
{
    ft_store *s = ft_alloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->file = -1;
    s->shift = -1;
    s->path = ft_strdup(path);
    s->names = ft_map_new();
    if (s->path && s->names)
        return s;
    ft_store__free(s);
    return NULL;
}

ft_status ft_store__bytes(const ft_store *s, const ft_store__array *a, ft_status kind, size_t *out)
{
    size_t n = ft_store_type_bytes(a->type);
    char text[96];
    bool fits = true;
    if (a->ndim < 1 || a->ndim > FT_MAX_DIMS)
        return ft_fail(kind, "%s: array \"%s\" has %d dimensions, expected 1 to %d", s->path, a->name, a->ndim,
                       FT_MAX_DIMS);
    for (int i = 0; i < a->ndim; i++)
        fits = fits && a->shape[i] >= 0 && ft_mul(n, (size_t)a->shape[i], &n) && n <= (size_t)INT64_MAX;
    if (!fits)
        return ft_fail(kind, "%s: array \"%s\" cannot be %s", s->path, a->name, ft_shape_text(a->ndim, a->shape, text));
    *out = n;
    return FT_OK;
}
