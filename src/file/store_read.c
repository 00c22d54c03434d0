/* Getting arrays and attributes out of a store: the seal first, then HDF5, then the table of what is there. */
#include "file/store_impl.h"

#include <stdlib.h>
#include <string.h>

static ft_status cannot_read(const ft_store *s, const char *what)
{
    char text[256];
    return ft_fail(FT_EFORMAT, "%s: cannot read %s: %s", s->path, what, ft_store__cause(text));
}

static bool type_of(hid_t type, ft_store_type *out)
{
    for (ft_store_type t = FT_STORE_F32; t <= FT_STORE_U16; t++)
        if (H5Tequal(type, ft_store__type(t)) > 0) {
            *out = t;
            return true;
        }
    return false;
}

static ft_status read_description(ft_store *s, hid_t set, ft_store__array *a)
{
    ft_status st = FT_OK;
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    hsize_t dims[FT_MAX_DIMS] = {0};
    size_t bytes;
    a->ndim = H5Sget_simple_extent_ndims(space);
    if (!type_of(type, &a->type))
        st = ft_fail(FT_EFORMAT, "%s: array \"%s\" is of a type that no store has", s->path, a->name);
    else if (a->ndim >= 1 && a->ndim <= FT_MAX_DIMS && H5Sget_simple_extent_dims(space, dims, NULL) != a->ndim)
        st = cannot_read(s, a->name);
    for (int i = 0; i < FT_MAX_DIMS; i++)
        a->shape[i] = dims[i] > INT64_MAX ? -1 : (int64_t)dims[i];
    if (st == FT_OK)
        st = ft_store__bytes(s, a, FT_EFORMAT, &bytes);
    H5Sclose(space);
    H5Tclose(type);
    return st;
}

static herr_t visit(hid_t root, const char *name, const H5O_info_t *info, void *ctx)
{
    ft_store *s = ctx;
    if (info->type != H5O_TYPE_DATASET)
        return 0;
    ft_store__array a = {.name = (char *)name};
    hid_t set = H5Dopen2(root, name, H5P_DEFAULT);
    s->failed = set < 0 ? cannot_read(s, name) : read_description(s, set, &a);
    H5Dclose(set);
    if (s->failed == FT_OK)
        s->failed = ft_store__add(s, &a);
    return s->failed == FT_OK ? 0 : -1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const ft_store__array *)a)->name, ((const ft_store__array *)b)->name);
}

/* The names become places in the sorted table. */
static ft_status sort_arrays(ft_store *s)
{
    if (s->n)
        qsort(s->arrays, s->n, sizeof *s->arrays, by_name);
    for (size_t i = 0; i < s->n; i++)
        FT_RETURN(ft_map_put(s->names, s->arrays[i].name, strlen(s->arrays[i].name), (int64_t)i));
    return FT_OK;
}

/* No locks: fettle locks its folders, and a file system without locks is no reason to fail. */
static hid_t reading_access(void)
{
    hid_t l = H5Pcreate(H5P_FILE_ACCESS);
    if (l >= 0 && (H5Pset_fclose_degree(l, H5F_CLOSE_STRONG) < 0 || H5Pset_file_locking(l, false, true) < 0)) {
        H5Pclose(l);
        return -1;
    }
    return l;
}

static ft_status open_file(ft_store *s)
{
    ft_mapping m;
    FT_RETURN(ft_mapping_open(&m, s->path));
    ft_status st = ft_store__check_seal(&m);
    ft_mapping_close(&m);
    FT_RETURN(st);
    hid_t access = reading_access();
    s->file = access < 0 ? -1 : H5Fopen(s->path, H5F_ACC_RDONLY, access);
    if (s->file < 0)
        st = cannot_read(s, "the file");
    H5Pclose(access);
    FT_RETURN(st);
    if (H5Ovisit(s->file, H5_INDEX_NAME, H5_ITER_INC, visit, s) < 0)
        return s->failed != FT_OK ? s->failed : cannot_read(s, "the names of the arrays");
    return sort_arrays(s);
}

ft_status ft_store_open(ft_store **out, const char *path)
{
    *out = NULL;
    ft_store *s = ft_store__new(path);
    if (!s)
        return FT_ENOMEM;
    ft_store__silence q = ft_store__quiet();
    ft_status st = open_file(s);
    ft_store__loud(q);
    if (st != FT_OK) {
        ft_store_close(s);
        return st;
    }
    *out = s;
    return FT_OK;
}

void ft_store_close(ft_store *s)
{
    ft_store_abort(s);
}

/* The attribute, opened; FT_EINPUT when it is absent. */
static ft_status open_attribute(ft_store *s, const char *key, hid_t *a, hid_t *type)
{
    *type = -1;
    *a = -1;
    if (H5Aexists(s->file, key) <= 0)
        return ft_fail(FT_EINPUT, "%s: there is no attribute \"%s\"", s->path, key);
    if ((*a = H5Aopen(s->file, key, H5P_DEFAULT)) < 0 || (*type = H5Aget_type(*a)) < 0)
        return cannot_read(s, key);
    return FT_OK;
}

static ft_status wrong_kind(const ft_store *s, const char *key, const char *expected)
{
    return ft_fail(FT_EFORMAT, "%s: attribute \"%s\" is no %s", s->path, key, expected);
}

static ft_status get_number(ft_store *s, const char *key, hid_t expected, const char *kind, void *v)
{
    hid_t a, type;
    ft_store__silence q = ft_store__quiet();
    ft_status st = open_attribute(s, key, &a, &type);
    if (st == FT_OK && H5Tequal(type, expected) <= 0)
        st = wrong_kind(s, key, kind);
    if (st == FT_OK && H5Aread(a, expected, v) < 0)
        st = cannot_read(s, key);
    H5Tclose(type);
    H5Aclose(a);
    ft_store__loud(q);
    return st;
}

ft_status ft_store_get_i64(ft_store *s, const char *key, int64_t *v)
{
    return get_number(s, key, H5T_STD_I64LE, "integer", v);
}

ft_status ft_store_get_f64(ft_store *s, const char *key, double *v)
{
    return get_number(s, key, H5T_IEEE_F64LE, "number", v);
}

static ft_status read_text(ft_store *s, const char *key, hid_t a, hid_t type, char **v)
{
    size_t n = H5Tget_size(type);
    if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 || n < 1 || n > FT_STORE__MAX_TEXT + 1)
        return wrong_kind(s, key, "text");
    if (!(*v = ft_resize(NULL, n + 1, 1)))
        return FT_ENOMEM;
    (*v)[n] = 0;
    if (H5Aread(a, type, *v) >= 0)
        return FT_OK;
    ft_free(*v);
    *v = NULL;
    return cannot_read(s, key);
}

ft_status ft_store_get_str(ft_store *s, const char *key, char **v)
{
    hid_t a, type;
    *v = NULL;
    ft_store__silence q = ft_store__quiet();
    ft_status st = open_attribute(s, key, &a, &type);
    if (st == FT_OK)
        st = read_text(s, key, a, type, v);
    H5Tclose(type);
    H5Aclose(a);
    ft_store__loud(q);
    return st;
}

static ft_status find(const ft_store *s, const char *name, const ft_store__array **out)
{
    int64_t i;
    if (!ft_map_get(s->names, name, strlen(name), &i))
        return ft_fail(FT_EINPUT, "%s: there is no array \"%s\"", s->path, name);
    *out = &s->arrays[i];
    return FT_OK;
}

ft_status ft_store_info(ft_store *s, const char *name, ft_store_type *type, int *ndim, int64_t shape[FT_MAX_DIMS])
{
    const ft_store__array *a = NULL;
    FT_RETURN(find(s, name, &a));
    *type = a->type;
    *ndim = a->ndim;
    memcpy(shape, a->shape, sizeof a->shape);
    return FT_OK;
}

static ft_status read_array(ft_store *s, const ft_store__array *a, void *data)
{
    ft_status st = FT_OK;
    ft_store__silence q = ft_store__quiet();
    hid_t set = H5Dopen2(s->file, a->name, H5P_DEFAULT);
    if (set < 0 || H5Dread(set, ft_store__type(a->type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        st = cannot_read(s, a->name);
    H5Dclose(set);
    ft_store__loud(q);
    return st;
}

/* The array of that name, type and size. */
static ft_status find_as(const ft_store *s, const char *name, ft_store_type type, int64_t count,
                         const ft_store__array **out)
{
    const ft_store__array *a = NULL;
    int64_t n = 1;
    FT_RETURN(find(s, name, &a));
    *out = a;
    for (int i = 0; i < a->ndim; i++)
        n *= a->shape[i];
    if (a->type != type || n != count)
        return ft_fail(
            FT_EFORMAT, "%s: array \"%s\" holds %lld elements of %zu bytes, expected %lld of %zu%s", s->path, name,
            (long long)n, ft_store_type_bytes(a->type), (long long)count, ft_store_type_bytes(type),
            a->type != type && ft_store_type_bytes(a->type) == ft_store_type_bytes(type) ? " and another type" : "");
    return FT_OK;
}

ft_status ft_store_get(ft_store *s, const char *name, ft_store_type type, int64_t count, void *data)
{
    const ft_store__array *a = NULL;
    FT_RETURN(find_as(s, name, type, count, &a));
    return count ? read_array(s, a, data) : FT_OK;
}

/* Its one chunk, as it is when nothing but the checksum was applied: the address and the bytes without that. */
static ft_status only_chunk(const ft_store *s, const ft_store__array *a, size_t bytes, haddr_t *at)
{
    hid_t set = H5Dopen2(s->file, a->name, H5P_DEFAULT), list = set < 0 ? -1 : H5Dget_create_plist(set),
          space = set < 0 ? -1 : H5Dget_space(set);
    hsize_t chunks = 0, stored = 0, offset[FT_MAX_DIMS];
    unsigned skipped = 0;
    ft_status st = FT_OK;
    bool plain = list >= 0 && H5Pget_layout(list) == H5D_CHUNKED && H5Pget_nfilters(list) == 1;
    if (!plain || H5Dget_num_chunks(set, space, &chunks) < 0 || chunks != 1)
        st = ft_fail(FT_EUNSUPPORTED, "%s: array \"%s\" does not lie in one piece", s->path, a->name);
    else if (H5Dget_chunk_info(set, space, 0, offset, &skipped, at, &stored) < 0 || stored < bytes)
        st = cannot_read(s, a->name);
    H5Sclose(space);
    H5Pclose(list);
    H5Dclose(set);
    return st;
}

static bool lies_at(const ft_store *s, uint64_t at, const void *bytes, size_t n)
{
    return at <= s->view.size && n <= s->view.size - at && memcmp(s->view.data + at, bytes, n) == 0;
}

/* Versions of HDF5 differ in whether the address of a chunk counts the user block: the first array that can tell is read
 * to find out. */
static ft_status find_shift(ft_store *s, const ft_store__array *a, size_t bytes, haddr_t at, int64_t *shift)
{
    void *copy = ft_resize(NULL, bytes, 1);
    ft_status st = copy ? read_array(s, a, copy) : FT_ENOMEM;
    bool counted = st == FT_OK && lies_at(s, at, copy, bytes), not = st == FT_OK && lies_at(s, at + FT_STORE__BLOCK, copy, bytes);
    if (st == FT_OK && !counted && !not)
        st = ft_fail(FT_EUNSUPPORTED, "%s: array \"%s\" is not found where HDF5 says that it lies", s->path, a->name);
    *shift = counted ? 0 : FT_STORE__BLOCK;
    if (counted != not)
        s->shift = *shift;
    ft_free(copy);
    return st;
}

ft_status ft_store_view(ft_store *s, const char *name, ft_store_type type, int64_t count, const void **data)
{
    const ft_store__array *a = NULL;
    haddr_t at = 0;
    size_t bytes = (size_t)count * ft_store_type_bytes(type);
    FT_RETURN(find_as(s, name, type, count, &a));
    if (!s->view.data)
        FT_RETURN(ft_mapping_open(&s->view, s->path));
    *data = s->view.data;
    if (!count)
        return FT_OK;
    ft_store__silence q = ft_store__quiet();
    ft_status st = only_chunk(s, a, bytes, &at);
    ft_store__loud(q);
    int64_t shift = s->shift;
    if (st == FT_OK && shift < 0)
        st = find_shift(s, a, bytes, at, &shift);
    if (st == FT_OK && (at + (uint64_t)shift > s->view.size || bytes > s->view.size - at - (uint64_t)shift))
        st = ft_fail(FT_EFORMAT, "%s: array \"%s\" lies beyond the end of the file", s->path, name);
    *data = st == FT_OK ? s->view.data + at + shift : NULL;
    return st;
}

ft_status ft_store_each(ft_store *s,
                        ft_status (*fn)(void *ctx, const char *name, ft_store_type type, int ndim,
                                        const int64_t *shape),
                        void *ctx)
{
    for (size_t i = 0; i < s->n; i++) {
        const ft_store__array *a = &s->arrays[i];
        FT_RETURN(fn(ctx, a->name, a->type, a->ndim, a->shape));
    }
    return FT_OK;
}
