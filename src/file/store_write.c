/* Putting arrays and attributes into a store.
 *
 * Arrays are cut into chunks of about 1 MiB, as their checksums demand. What fails stays with the store: a commit after
 * it refuses, and names no file.
 */
#include "file/store_impl.h"

#include <stdio.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 20 };

static ft_status cannot_write(const ft_store *s, const char *what)
{
    char text[256];
    return ft_fail(FT_EIO, "%s: cannot write %s: %s", s->path, what, ft_store__cause(text));
}

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
    ft_store__silence q = ft_store__quiet();
    ft_store *s = ft_store__new(path);
    FT_TRY(s ? FT_OK : FT_ENOMEM);
    FT_TRY(ft_out_open(&s->target.out, path));
    FT_TRY(create_file(s));
    *out = s;
done:
    ft_store__loud(q);
    if (st != FT_OK)
        ft_store_abort(s);
    return st;
}

/* About CHUNK_BYTES, cut from the first dimension on, in parts of equal size. */
static void chunk_of(const ft_store__array *a, size_t bytes, hsize_t *chunk)
{
    for (int i = 0; i < a->ndim; i++) {
        size_t parts = (bytes + CHUNK_BYTES - 1) / CHUNK_BYTES, n = (size_t)a->shape[i];
        chunk[i] = parts > 1 ? (n + parts - 1) / parts : n;
        bytes = bytes / n * (size_t)chunk[i];
    }
}

/* How the array is laid out, -1 on failure. One without elements has no chunks to check. */
static hid_t layout_of(const ft_store__array *a, size_t bytes, int deflate)
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

static hid_t space_of(const ft_store__array *a)
{
    hsize_t dims[FT_MAX_DIMS];
    for (int i = 0; i < a->ndim; i++)
        dims[i] = (hsize_t)a->shape[i];
    return H5Screate_simple(a->ndim, dims, NULL);
}

static ft_status write_array(ft_store *s, const ft_store__array *a, size_t bytes, const void *data, int deflate)
{
    ft_status st = FT_OK;
    hid_t links = H5Pcreate(H5P_LINK_CREATE), layout = layout_of(a, bytes, deflate), space = space_of(a), set = -1;
    if (links >= 0 && layout >= 0 && space >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0)
        set = H5Dcreate2(s->file, a->name, ft_store__type(a->type), space, links, layout, H5P_DEFAULT);
    if (set < 0 || (bytes && H5Dwrite(set, ft_store__type(a->type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0))
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

static ft_status put_array(ft_store *s, const ft_store__array *a, const void *data, int deflate)
{
    size_t bytes;
    FT_RETURN(check_array_name(s, a->name));
    FT_RETURN(ft_store__bytes(s, a, FT_EINPUT, &bytes));
    if (deflate < 0 || deflate > 9)
        return ft_fail(FT_EINPUT, "%s: array \"%s\": deflate is %d, expected 0 to 9", s->path, a->name, deflate);
    FT_RETURN(ft_store__add(s, a));
    return write_array(s, a, bytes, data, deflate);
}

ft_status ft_store_put(ft_store *s, const char *name, ft_store_type type, int ndim, const int64_t *shape,
                       const void *data, int deflate)
{
    ft_store__array a = {.name = (char *)name, .type = type, .ndim = ndim};
    for (int i = 0; i < ndim && i < FT_MAX_DIMS; i++)
        a.shape[i] = shape[i];
    ft_store__silence q = ft_store__quiet();
    ft_status st = noted(s, put_array(s, &a, data, deflate));
    ft_store__loud(q);
    return st;
}

static ft_status put_attribute(ft_store *s, const char *key, hid_t type, const void *v)
{
    ft_status st = FT_OK;
    ft_store__silence q = ft_store__quiet();
    hid_t space = H5Screate(H5S_SCALAR), a = -1;
    if (H5Aexists(s->file, key) > 0)
        st = ft_fail(FT_EINPUT, "%s: attribute \"%s\" is given twice", s->path, key);
    else if (type < 0 || space < 0 || (a = H5Acreate2(s->file, key, type, space, H5P_DEFAULT, H5P_DEFAULT)) < 0 ||
             H5Awrite(a, type, v) < 0)
        st = cannot_write(s, key);
    H5Aclose(a);
    H5Sclose(space);
    ft_store__loud(q);
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
    if (n > FT_STORE__MAX_TEXT)
        return noted(s, ft_fail(FT_EINPUT, "%s: attribute \"%s\" has %zu bytes, at most %d are kept", s->path, key, n,
                                FT_STORE__MAX_TEXT));
    ft_store__silence q = ft_store__quiet();
    hid_t type = text_type(n);
    ft_status st = put_attribute(s, key, type, v);
    H5Tclose(type);
    ft_store__loud(q);
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
    ft_store__silence q = ft_store__quiet();
    ft_status st = s->failed != FT_OK ? ft_fail(s->failed, "%s", s->why) : close_file(s);
    if (st == FT_OK)
        st = ft_store__seal(s->target.out, s->target.end);
    ft_store__loud(q);
    if (st != FT_OK) {
        ft_store_abort(s);
        return st;
    }
    st = ft_out_commit(s->target.out);
    ft_store__free(s);
    return st;
}

void ft_store_abort(ft_store *s)
{
    if (!s)
        return;
    ft_store__silence q = ft_store__quiet();
    if (s->file >= 0)
        H5Fclose(s->file);
    ft_store__loud(q);
    ft_out_abort(s->target.out);
    ft_store__free(s);
}
