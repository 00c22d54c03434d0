/* The store: an HDF5 file behind a sealed user block (store_seal.c), written through a driver of its own (store_driver.c).
 *
 * The root has the attributes; arrays lie in groups where their names hold '/'. They are cut into chunks of about 1 MiB, as
 * their checksums demand. Memory: the table of names; HDF5 holds a chunk.
 */
#include "file/store.h"

#include "file/store_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 20, MAX_TEXT = 60000, MAX_ARRAYS = 1 << 20 };

typedef struct array {
    char *name;
    ft_store_type type;
    int ndim;
    int64_t shape[FT_MAX_DIMS];
} array;

struct ft_store {
    char *path;
    hid_t file;
    ft_store__file target; /* its out is NULL when reading */
    array *arrays;
    size_t n, cap;
    ft_map *names;
    ft_status failed; /* the first failure, and its words: commit refuses with them */
    char why[1024];
};

/* ---- HDF5's manners ---- */

typedef struct quiet {
    H5E_auto2_t print;
    void *data;
} quiet;

/* HDF5 prints its errors unless told not to; what an embedding program chose is put back. */
static quiet be_quiet(void)
{
    quiet q = {0};
    H5Eget_auto2(H5E_DEFAULT, &q.print, &q.data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return q;
}

static void be_loud(quiet q)
{
    H5Eset_auto2(H5E_DEFAULT, q.print, q.data);
}

static herr_t innermost(unsigned n, const H5E_error2_t *e, void *text)
{
    if (n == 0 && e->desc)
        snprintf(text, 256, "%s", e->desc);
    return 0;
}

/* The cause that HDF5 found. */
static const char *cause(char text[256])
{
    text[0] = 0;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, text);
    return text;
}

static ft_status cannot_write(const ft_store *s, const char *what)
{
    char text[256];
    return ft_fail(FT_EIO, "%s: cannot write %s: %s", s->path, what, cause(text));
}

static ft_status cannot_read(const ft_store *s, const char *what)
{
    char text[256];
    return ft_fail(FT_EFORMAT, "%s: cannot read %s: %s", s->path, what, cause(text));
}

static hid_t file_type(ft_store_type type)
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

static ft_status add_array(ft_store *s, const array *a)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        array *more = ft_resize(s->arrays, cap, sizeof *more);
        if (!more)
            return FT_ENOMEM;
        s->arrays = more;
        s->cap = cap;
    }
    if (s->n == MAX_ARRAYS)
        return ft_fail(FT_EFORMAT, "%s: more than %d arrays", s->path, MAX_ARRAYS);
    FT_RETURN(ft_map_put(s->names, a->name, strlen(a->name), (int64_t)s->n));
    array *new = &s->arrays[s->n];
    *new = *a;
    new->name = ft_strdup(a->name);
    if (!new->name)
        return FT_ENOMEM;
    s->n++;
    return FT_OK;
}

static void store_free(ft_store *s)
{
    for (size_t i = 0; i < s->n; i++)
        ft_free(s->arrays[i].name);
    ft_free(s->arrays);
    ft_map_free(s->names);
    ft_free(s->path);
    ft_free(s);
}

static ft_store *store_new(const char *path)
{
    ft_store *s = ft_alloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->file = -1;
    s->path = ft_strdup(path);
    s->names = ft_map_new();
    if (s->path && s->names)
        return s;
    store_free(s);
    return NULL;
}

/* Bytes of an array, or FT_EINPUT / FT_EFORMAT as `kind` says. */
static ft_status array_bytes(const ft_store *s, const array *a, ft_status kind, size_t *out)
{
    size_t n = ft_store_type_bytes(a->type);
    char text[96];
    bool fits = true;
    if (a->ndim < 1 || a->ndim > FT_MAX_DIMS)
        return ft_fail(kind, "%s: array \"%s\" has %d dimensions, expected 1 to %d", s->path, a->name, a->ndim, FT_MAX_DIMS);
    for (int i = 0; i < a->ndim; i++)
        fits = fits && a->shape[i] >= 0 && ft_mul(n, (size_t)a->shape[i], &n) && n <= (size_t)INT64_MAX;
    if (!fits)
        return ft_fail(kind, "%s: array \"%s\" cannot be %s", s->path, a->name, ft_shape_text(a->ndim, a->shape, text));
    *out = n;
    return FT_OK;
}

/* ---- writing ---- */

static ft_status create_file(ft_store *s)
{
    ft_status st = FT_OK;
    hid_t access = ft_store__access(&s->target), create = H5Pcreate(H5P_FILE_CREATE);
    if (access < 0 || create < 0 || H5Pset_userblock(create, FT_STORE__BLOCK) < 0 ||
        (s->file = H5Fcreate(s->path, H5F_ACC_TRUNC, create, access)) < 0)
        st = cannot_write(s, "the file");
    H5Pclose(access);
    H5Pclose(create);
    return st == FT_OK ? s->target.failed : st;
}

ft_status ft_store_create(ft_store **out, const char *path)
{
    ft_status st = FT_OK;
    *out = NULL;
    quiet q = be_quiet();
    ft_store *s = store_new(path);
    FT_TRY(s ? FT_OK : FT_ENOMEM);
    FT_TRY(ft_out_open(&s->target.out, path));
    FT_TRY(create_file(s));
    *out = s;
done:
    be_loud(q);
    if (st != FT_OK)
        ft_store_abort(s);
    return st;
}

/* About CHUNK_BYTES, cut from the first dimension on, in parts of equal size. */
static void chunk_of(const array *a, size_t bytes, hsize_t *chunk)
{
    for (int i = 0; i < a->ndim; i++) {
        size_t parts = (bytes + CHUNK_BYTES - 1) / CHUNK_BYTES, n = (size_t)a->shape[i];
        chunk[i] = parts > 1 ? (n + parts - 1) / parts : n;
        bytes = bytes / n * (size_t)chunk[i];
    }
}

/* How the array is laid out, -1 on failure. One without elements has no chunks to check. */
static hid_t layout_of(const array *a, size_t bytes, int deflate)
{
    hsize_t chunk[FT_MAX_DIMS];
    hid_t l = H5Pcreate(H5P_DATASET_CREATE);
    bool good = l >= 0 && H5Pset_obj_track_times(l, false) >= 0;
    if (good && bytes) {
        chunk_of(a, bytes, chunk);
        good = H5Pset_chunk(l, a->ndim, chunk) >= 0;
        if (deflate > 0)
            good = good && H5Pset_shuffle(l) >= 0 && H5Pset_deflate(l, (unsigned)deflate) >= 0;
        good = good && H5Pset_fletcher32(l) >= 0;
    }
    if (good)
        return l;
    H5Pclose(l);
    return -1;
}

static hid_t space_of(const array *a)
{
    hsize_t dims[FT_MAX_DIMS];
    for (int i = 0; i < a->ndim; i++)
        dims[i] = (hsize_t)a->shape[i];
    return H5Screate_simple(a->ndim, dims, NULL);
}

static ft_status write_array(ft_store *s, const array *a, size_t bytes, const void *data, int deflate)
{
    ft_status st = FT_OK;
    hid_t links = H5Pcreate(H5P_LINK_CREATE), layout = layout_of(a, bytes, deflate), space = space_of(a), set = -1;
    if (links >= 0 && layout >= 0 && space >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0)
        set = H5Dcreate2(s->file, a->name, file_type(a->type), space, links, layout, H5P_DEFAULT);
    if (set < 0 || (bytes && H5Dwrite(set, file_type(a->type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0))
        st = cannot_write(s, a->name);
    if (set >= 0 && H5Dclose(set) < 0 && st == FT_OK)
        st = cannot_write(s, a->name);
    H5Sclose(space);
    H5Pclose(layout);
    H5Pclose(links);
    return st;
}

/* The first failure stays with the store, so that a commit cannot name a file that is not whole. */
static ft_status noted(ft_store *s, ft_status st)
{
    if (st == FT_OK)
        st = s->target.failed;
    if (st != FT_OK && s->failed == FT_OK) {
        s->failed = st;
        snprintf(s->why, sizeof s->why, "%s", ft_error());
    }
    return st;
}

/* Names are paths below the root: no part of them may be empty or ".". */
static ft_status check_array_name(const ft_store *s, const char *name)
{
    size_t n = strlen(name), part = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && name[i] != '/')
            continue;
        if (i == part || (i == part + 1 && name[part] == '.'))
            return ft_fail(FT_EINPUT, "%s: \"%s\" is no name of an array", s->path, name);
        part = i + 1;
    }
    if (ft_map_get(s->names, name, n, NULL))
        return ft_fail(FT_EINPUT, "%s: array \"%s\" is given twice", s->path, name);
    return FT_OK;
}

static ft_status put_array(ft_store *s, const array *a, const void *data, int deflate)
{
    size_t bytes;
    FT_RETURN(check_array_name(s, a->name));
    FT_RETURN(array_bytes(s, a, FT_EINPUT, &bytes));
    if (deflate < 0 || deflate > 9)
        return ft_fail(FT_EINPUT, "%s: array \"%s\": deflate is %d, expected 0 to 9", s->path, a->name, deflate);
    FT_RETURN(add_array(s, a));
    return write_array(s, a, bytes, data, deflate);
}

ft_status ft_store_put(ft_store *s, const char *name, ft_store_type type, int ndim, const int64_t *shape, const void *data, int deflate)
{
    array a = {.name = (char *)name, .type = type, .ndim = ndim};
    for (int i = 0; i < ndim && i < FT_MAX_DIMS; i++)
        a.shape[i] = shape[i];
    quiet q = be_quiet();
    ft_status st = noted(s, put_array(s, &a, data, deflate));
    be_loud(q);
    return st;
}

static ft_status put_attribute(ft_store *s, const char *key, hid_t type, const void *v)
{
    ft_status st = FT_OK;
    quiet q = be_quiet();
    hid_t space = H5Screate(H5S_SCALAR), a = -1;
    if (H5Aexists(s->file, key) > 0)
        st = ft_fail(FT_EINPUT, "%s: attribute \"%s\" is given twice", s->path, key);
    else if (type < 0 || space < 0 || (a = H5Acreate2(s->file, key, type, space, H5P_DEFAULT, H5P_DEFAULT)) < 0 ||
             H5Awrite(a, type, v) < 0)
        st = cannot_write(s, key);
    H5Aclose(a);
    H5Sclose(space);
    be_loud(q);
    return noted(s, st);
}

ft_status ft_store_put_i64(ft_store *s, const char *key, int64_t v)
{
    return put_attribute(s, key, H5T_STD_I64LE, &v);
}

ft_status ft_store_put_f64(ft_store *s, const char *key, double v)
{
    return put_attribute(s, key, H5T_IEEE_F64LE, &v);
}

/* UTF-8 of n bytes and the 0 behind them. */
static hid_t text_type(size_t n)
{
    hid_t t = H5Tcopy(H5T_C_S1);
    if (t >= 0 && (H5Tset_size(t, n + 1) < 0 || H5Tset_cset(t, H5T_CSET_UTF8) < 0)) {
        H5Tclose(t);
        return -1;
    }
    return t;
}

ft_status ft_store_put_str(ft_store *s, const char *key, const char *v)
{
    size_t n = strlen(v);
    if (n > MAX_TEXT)
        return noted(s, ft_fail(FT_EINPUT, "%s: attribute \"%s\" has %zu bytes, at most %d are kept", s->path, key, n, MAX_TEXT));
    quiet q = be_quiet();
    hid_t type = text_type(n);
    ft_status st = put_attribute(s, key, type, v);
    H5Tclose(type);
    be_loud(q);
    return st;
}

static ft_status close_file(ft_store *s)
{
    hid_t file = s->file;
    s->file = -1;
    if (H5Fclose(file) < 0)
        return cannot_write(s, "the file");
    return s->target.failed;
}

ft_status ft_store_commit(ft_store *s)
{
    quiet q = be_quiet();
    ft_status st = s->failed != FT_OK ? ft_fail(s->failed, "%s", s->why) : close_file(s);
    if (st == FT_OK)
        st = ft_store__seal(s->target.out, s->target.end);
    be_loud(q);
    if (st != FT_OK) {
        ft_store_abort(s);
        return st;
    }
    st = ft_out_commit(s->target.out);
    store_free(s);
    return st;
}

void ft_store_abort(ft_store *s)
{
    if (!s)
        return;
    quiet q = be_quiet();
    if (s->file >= 0)
        H5Fclose(s->file);
    be_loud(q);
    ft_out_abort(s->target.out);
    store_free(s);
}

/* ---- reading ---- */

static bool type_of(hid_t type, ft_store_type *out)
{
    for (ft_store_type t = FT_STORE_F32; t <= FT_STORE_U16; t++)
        if (H5Tequal(type, file_type(t)) > 0) {
            *out = t;
            return true;
        }
    return false;
}

static ft_status read_description(ft_store *s, hid_t set, array *a)
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
        st = array_bytes(s, a, FT_EFORMAT, &bytes);
    H5Sclose(space);
    H5Tclose(type);
    return st;
}

static herr_t visit(hid_t root, const char *name, const H5O_info_t *info, void *ctx)
{
    ft_store *s = ctx;
    if (info->type != H5O_TYPE_DATASET)
        return 0;
    array a = {.name = (char *)name};
    hid_t set = H5Dopen2(root, name, H5P_DEFAULT);
    s->failed = set < 0 ? cannot_read(s, name) : read_description(s, set, &a);
    H5Dclose(set);
    if (s->failed == FT_OK)
        s->failed = add_array(s, &a);
    return s->failed == FT_OK ? 0 : -1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const array *)a)->name, ((const array *)b)->name);
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
    ft_store *s = store_new(path);
    if (!s)
        return FT_ENOMEM;
    quiet q = be_quiet();
    ft_status st = open_file(s);
    be_loud(q);
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
    quiet q = be_quiet();
    ft_status st = open_attribute(s, key, &a, &type);
    if (st == FT_OK && H5Tequal(type, expected) <= 0)
        st = wrong_kind(s, key, kind);
    if (st == FT_OK && H5Aread(a, expected, v) < 0)
        st = cannot_read(s, key);
    H5Tclose(type);
    H5Aclose(a);
    be_loud(q);
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
    if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 || n < 1 || n > MAX_TEXT + 1)
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
    quiet q = be_quiet();
    ft_status st = open_attribute(s, key, &a, &type);
    if (st == FT_OK)
        st = read_text(s, key, a, type, v);
    H5Tclose(type);
    H5Aclose(a);
    be_loud(q);
    return st;
}

static ft_status find(const ft_store *s, const char *name, const array **out)
{
    int64_t i;
    if (!ft_map_get(s->names, name, strlen(name), &i))
        return ft_fail(FT_EINPUT, "%s: there is no array \"%s\"", s->path, name);
    *out = &s->arrays[i];
    return FT_OK;
}

ft_status ft_store_info(ft_store *s, const char *name, ft_store_type *type, int *ndim, int64_t shape[FT_MAX_DIMS])
{
    const array *a = NULL;
    FT_RETURN(find(s, name, &a));
    *type = a->type;
    *ndim = a->ndim;
    memcpy(shape, a->shape, sizeof a->shape);
    return FT_OK;
}

static ft_status read_array(ft_store *s, const array *a, void *data)
{
    ft_status st = FT_OK;
    quiet q = be_quiet();
    hid_t set = H5Dopen2(s->file, a->name, H5P_DEFAULT);
    if (set < 0 || H5Dread(set, file_type(a->type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        st = cannot_read(s, a->name);
    H5Dclose(set);
    be_loud(q);
    return st;
}

ft_status ft_store_get(ft_store *s, const char *name, ft_store_type type, int64_t count, void *data)
{
    const array *a = NULL;
    int64_t n = 1;
    FT_RETURN(find(s, name, &a));
    for (int i = 0; i < a->ndim; i++)
        n *= a->shape[i];
    if (a->type != type || n != count)
        return ft_fail(FT_EFORMAT, "%s: array \"%s\" holds %lld elements of %zu bytes, expected %lld of %zu%s", s->path, name,
                       (long long)n, ft_store_type_bytes(a->type), (long long)count, ft_store_type_bytes(type),
                       a->type != type && ft_store_type_bytes(a->type) == ft_store_type_bytes(type) ? " and another type" : "");
    return n ? read_array(s, a, data) : FT_OK;
}

ft_status ft_store_each(ft_store *s, ft_status (*fn)(void *ctx, const char *name, ft_store_type type, int ndim, const int64_t *shape), void *ctx)
{
    for (size_t i = 0; i < s->n; i++) {
        const array *a = &s->arrays[i];
        FT_RETURN(fn(ctx, a->name, a->type, a->ndim, a->shape));
    }
    return FT_OK;
}
