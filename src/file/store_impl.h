/* Inside the file room: what stands between the store and HDF5. */
#ifndef FETTLE_FILE_STORE_IMPL_H
#define FETTLE_FILE_STORE_IMPL_H

#include "base/os.h"

#define H5_USE_110_API
#include <hdf5.h>

enum { FT_STORE__BLOCK = 512 }; /* bytes of the user block */

/* ---- store_driver.c ---- */

/* The file that HDF5 writes. A write that fails is noted in `failed` and kept from HDF5, which cannot close a file cleanly
 * when its last writes fail (1.10.8 crashes at the end of the process). Look at `failed` after every call into HDF5. */
typedef struct ft_store__file {
    H5FD_t hdf5; /* must stand first: what HDF5 knows of the file */
    ft_out *out;
    uint64_t allocated, end; /* HDF5's end of allocation; the furthest byte written */
    ft_status failed;
} ft_store__file;
/* A list of access properties that makes H5Fcreate write to f, whatever the name says; -1 on failure. */
hid_t ft_store__access(ft_store__file *f);

/* ---- store_seal.c ---- */

/* Fills the user block once all else is written. */
ft_status ft_store__seal(ft_out *out, uint64_t size);
/* FT_EFORMAT unless the file is a store and its bytes are those that were sealed. */
ft_status ft_store__check_seal(const ft_mapping *m);

#endif
