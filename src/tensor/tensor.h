/* The tensor room: the dtype table and the description of an array in memory.
 *
 * A dtype is one file and one row (tensor/dtypes.def). Row-major, last letter contiguous; a stored row is a whole number
 * of blocks. Everything here is pure description and conversion: no graphs, no files, no CPU kind.
 * Ownership: a tensor borrows its data unless the struct that holds it says otherwise.
 */
#ifndef FETTLE_TENSOR_TENSOR_H
#define FETTLE_TENSOR_TENSOR_H

#include "base/mem.h"

enum { FT_MAX_DIMS = 4 };

/* A stored number of 1, 2 or 4 bytes that is infinite or NaN when all bits of its exponent are set. */
typedef struct ft_exponent {
    uint8_t bytes;
    uint16_t offset; /* in a block */
    uint32_t mask;
} ft_exponent;
#define FT_HALF_AT(offset) {2, offset, 0x7c00}

/* One stored element type. A block is block_len elements in block_bytes bytes. */
typedef struct ft_dtype {
    const char *name;        /* "f32", "q8_0": in recipes, on the command line, in reports */
    const char *safetensors; /* "F32", or NULL where that format has no such type */
    int32_t ggml_id;         /* type number in GGUF, -1 where ggml has none */
    int32_t block_len;
    size_t block_bytes;
    bool is_float; /* plain float: block_len 1, may be trained or merged in place */
    const struct ft_dtype *stand_in; /* for rows that are no whole number of blocks; NULL: f16 */
    float largest; /* up to this magnitude a value is stored as a finite number */
    /* out[n / block_len blocks] = x[n]; importance: NULL or [n] weights >= 0 of the squared error. A block that holds a
     * NaN, an infinity or more than `largest` decodes to values that are not finite, never to a wrong number (mxfp4: to
     * values past 2^125). */
    void (*encode)(const float *x, const float *importance, int64_t n, void *out);
    /* x[n] = values of the blocks at `in`. */
    void (*decode)(const void *in, int64_t n, float *x);
    /* What of a block must be finite, a file may hold anything: the value of a float, else the scales. 0 bytes end it. */
    ft_exponent exponents[2];
    /* Of blocks whose values have a code each, so that each can be rounded by itself under scales that stand: how many codes
     * there are (0: not such a type), and the codes [block_len] into a block. A value depends on its own code alone. */
    int levels;
    void (*put_codes)(void *block, const uint8_t *code);
    const char *help;
} ft_dtype;

extern const ft_dtype *const ft_dtypes[]; /* the table, NULL at its end */
#define FT_DTYPE(name) extern const ft_dtype ft_##name;
#include "tensor/dtypes.def"
#undef FT_DTYPE
const ft_dtype *ft_dtype_named(const char *name); /* NULL when unknown */
const ft_dtype *ft_dtype_of_ggml(int64_t id);
/* dtype, or what stands in for it where cols is no whole number of its blocks: a type of about as many bits in smaller
 * blocks, else f16. */
const ft_dtype *ft_dtype_for_rows(const ft_dtype *dtype, int64_t cols);
const ft_dtype *ft_dtype_of_safetensors(const char *name, size_t n);

typedef struct ft_tensor {
    const ft_dtype *dtype;
    int ndim;                    /* 1 .. FT_MAX_DIMS */
    int64_t shape[FT_MAX_DIMS];  /* row-major: shape[ndim - 1] is contiguous; [out, in] for weights */
    void *data;                  /* may be a read-only mapping */
} ft_tensor;

/* Elements, rows (product of all but the last dimension), row length, bytes of a row and of the whole.
 * The sizes were checked when the tensor was made (ft_tensor_check), so these cannot overflow. */
int64_t ft_tensor_count(const ft_tensor *t);
int64_t ft_tensor_rows(const ft_tensor *t);
int64_t ft_tensor_cols(const ft_tensor *t);
size_t ft_tensor_row_bytes(const ft_tensor *t);
size_t ft_tensor_bytes(const ft_tensor *t);
/* FT_EFORMAT when a dimension is not positive, the row is no whole number of blocks, or the bytes overflow;
 * *bytes is the size of the data. */
ft_status ft_tensor_check(const ft_dtype *dtype, int ndim, const int64_t *shape, size_t *bytes);
static inline const void *ft_tensor_row(const ft_tensor *t, int64_t row)
{
    return (const char *)t->data + (size_t)row * ft_tensor_row_bytes(t);
}
/* "[576, 1536]" into buf. */
const char *ft_shape_text(int ndim, const int64_t *shape, char buf[96]);
/* Whether the n values stored at `in` are finite, as far as ft_dtype.exponents say. */
bool ft_dtype_finite(const ft_dtype *d, const void *in, int64_t n);
/* Whether every number of the tensor is finite; *row is the first row with one that is not. Spread
 * over threads. */
bool ft_tensor_finite(const ft_tensor *t, int64_t *row);
/* Values rows [r0, r1) of t as f32 into x. */
void ft_tensor_decode_rows(const ft_tensor *t, int64_t r0, int64_t r1, float *x);

/* The largest magnitude of x [n]; of a NaN the NaN, which is above infinity: without their signs floats are in the order of
 * their bits. */
static inline float ft_largest_magnitude(const float *x, int64_t n)
{
    union {
        uint32_t u;
        float f;
    } top = {0}, v;
    for (int64_t i = 0; i < n; i++) {
        v.f = x[i];
        v.u &= INT32_MAX;
        top.u = v.u > top.u ? v.u : top.u;
    }
    return top.f;
}

/* Bits a weight, with the scales. */
static inline double ft_dtype_bits(const ft_dtype *d)
{
    return 8.0 * (double)d->block_bytes / d->block_len;
}

/* IEEE half and bfloat16, round to nearest even. */
float ft_f16_to_f32(uint16_t h);
uint16_t ft_f32_to_f16(float f);
static inline float ft_bf16_to_f32(uint16_t h)
{
    union {
        uint32_t u;
        float f;
    } v = {.u = (uint32_t)h << 16};
    return v.f;
}
uint16_t ft_f32_to_bf16(float f);

#endif
