/* The driver through which HDF5 writes a store: HDF5's reads and writes at places of the file, done by ft_out.
 *
 * So the temporary name, fsync, rename and the injected failures of tests are those of every other file that fettle
 * writes. There is one file to a ft_store__file; what HDF5 calls its name is not looked at.
 */
#include "file/store_impl.h"

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

typedef struct access {
    ft_store__file *file;
} access;

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t list, haddr_t max)
{
    const access *a = H5Pget_driver_info(list);
    if (!a)
        return NULL;
    a->file->allocated = a->file->end = 0;
    return &a->file->hdf5;
}

static herr_t driver_close(H5FD_t *file)
{
    return 0;
}

static herr_t driver_query(const H5FD_t *file, unsigned long *flags)
{
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
}

static haddr_t driver_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    return ((const ft_store__file *)file)->allocated;
}

static herr_t driver_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t at)
{
    ((ft_store__file *)file)->allocated = at;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    return ((const ft_store__file *)file)->end;
}

static herr_t driver_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t n, void *p)
{
    ft_store__file *f = (ft_store__file *)file;
    return ft_out_read_at(f->out, at, p, n) == FT_OK ? 0 : -1;
}

static herr_t driver_write(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t n, const void *p)
{
    ft_store__file *f = (ft_store__file *)file;
    if (f->failed == FT_OK)
        f->failed = ft_out_write_at(f->out, at, p, n);
    f->end = FT_MAX(f->end, at + n);
    return 0;
}

/* What is allocated at the end and was never written must be there all the same: readers compare the file's size. */
static herr_t driver_truncate(H5FD_t *file, hid_t transfer, hbool_t closing)
{
    const ft_store__file *f = (const ft_store__file *)file;
    return f->allocated > f->end ? driver_write(file, H5FD_MEM_DEFAULT, transfer, f->allocated - 1, 1, "") : 0;
}

static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)499, /* of the range for drivers that no other program needs to know */
#endif
    .name = "fettle",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG, /* nothing of a failed call keeps the file open */
    .fapl_size = sizeof(access),
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t ft_store__access(ft_store__file *f)
{
    static hid_t id = -1;
    access a = {f};
    if (id < 0 || H5Iget_type(id) != H5I_VFL) /* the embedding program may have closed HDF5 in between */
        id = H5FDregister(&driver);
    hid_t list = id < 0 ? -1 : H5Pcreate(H5P_FILE_ACCESS);
    if (list >= 0 && H5Pset_driver(list, id, &a) < 0) {
        H5Pclose(list);
        return -1;
    }
    return list;
}
