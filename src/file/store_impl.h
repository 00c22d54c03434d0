/* Inside the file room: a store, and what stands between it and HDF5. */
#ifndef FETTLE_FILE_STORE_IMPL_H
#define FETTLE_FILE_STORE_IMPL_H

#include "base/os.h"
#include "file/store.h"

#define H5_USE_110_API
#include <hdf5.h>

enum {
    FT_STORE__BLOCK = 512, /* bytes of the user block */
    FT_STORE__MAX_TEXT = 60000
}; /* of a text attribute: HDF5 keeps them in 64 KiB */

/* ---- store_driver.c ---- */

/* The file that HDF5 writes. A write that fails is noted in `failed` and kept from HDF5, which cannot close a file
 * cleanly when its last writes fail (1.10.8 crashes at the end of the process). Look at `failed` after every call into
 * HDF5. */
typedef struct ft_store__file {
    H5FD_t hdf5; /* must stand first: what HDF5 knows of the file */
    ft_out *out;
    uint64_t allocated, end; /* HDF5's end of allocation; the furthest byte written */
    ft_status failed;
} ft_store__file;
/* A list of access properties that makes H5Fcreate write to f, whatever the name says; -1 on failure. */
hid_t ft_store__access(ft_store__file *f);

/* ---- store.c ---- */

typedef struct ft_store__array {
    char *name;
    ft_store_type type;
    int ndim;
    int64_t shape[FT_MAX_DIMS];
} ft_store__array;

struct ft_store {
    char *path;
    hid_t file;
    ft_store__file target; /* its out is NULL when reading */
    ft_store__array *arrays;
    size_t n, cap;
    ft_map *names;    /* to places in arrays */
    ft_mapping view;  /* of a store that is read, once an array was viewed */
    int64_t shift;    /* on the address of a chunk, -1: not known yet */
    ft_status failed; /* the first failure, and its words: commit refuses with them */
    char why[1024];
};
ft_store *ft_store__new(const char *path); /* NULL on failure */
void ft_store__free(ft_store *s);
/* Adds a description; its name is copied. */
ft_status ft_store__add(ft_store *s, const ft_store__array *a);
/* Bytes of an array, or the failure `kind` when there is no such array. */
ft_status ft_store__bytes(const ft_store *s, const ft_store__array *a, ft_status kind, size_t *out);

/* HDF5 prints its errors unless told not to; what an embedding program chose is put back. */
typedef struct ft_store__silence {
    H5E_auto2_t print;
    void *data;
} ft_store__silence;
ft_store__silence ft_store__quiet(void);
void ft_store__loud(ft_store__silence q);
/* The innermost cause of the last failure that HDF5 knows of. */
const char *ft_store__cause(char text[256]);
/* HDF5's type for the elements, the same in the file and in memory. */
hid_t ft_store__type(ft_store_type type);

/* ---- store_seal.c ---- */

/* Fills the user block once all else is written. */
ft_status ft_store__seal(ft_out *out, uint64_t size);
/* FT_EFORMAT unless the file is a store and its bytes are those that were sealed. */
ft_status ft_store__check_seal(const ft_mapping *m);

#endif
