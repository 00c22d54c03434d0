#include "tensor/tensor.h"

#include "base/threads.h"

#include <stdio.h>
#include <string.h>

#define FT_DTYPE(name) &ft_##name,
const ft_dtype *const ft_dtypes[] = {
#include "tensor/dtypes.def"
    NULL};
#undef FT_DTYPE

const ft_dtype *ft_dtype_named(const char *name)
{
    for (size_t i = 0; ft_dtypes[i]; i++)
        if (strcmp(ft_dtypes[i]->name, name) == 0)
            return ft_dtypes[i];
    return NULL;
}

const ft_dtype *ft_dtype_of_ggml(int64_t id)
{
    for (size_t i = 0; ft_dtypes[i]; i++)
        if (ft_dtypes[i]->ggml_id >= 0 && ft_dtypes[i]->ggml_id == id)
            return ft_dtypes[i];
    return NULL;
}

const ft_dtype *ft_dtype_for_rows(const ft_dtype *dtype, int64_t cols)
{
    while (cols % dtype->block_len)
        dtype = dtype->stand_in ? dtype->stand_in : &ft_f16;
    return dtype;
}

const ft_dtype *ft_dtype_of_safetensors(const char *name, size_t n)
{
    for (size_t i = 0; ft_dtypes[i]; i++) {
        const char *s = ft_dtypes[i]->safetensors;
        if (s && strlen(s) == n && memcmp(s, name, n) == 0)
            return ft_dtypes[i];
    }
    return NULL;
}

int64_t ft_tensor_rows(const ft_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i + 1 < t->ndim; i++)
        n *= t->shape[i];
    return n;
}

int64_t ft_tensor_cols(const ft_tensor *t)
{
    return t->ndim ? t->shape[t->ndim - 1] : 1;
}

int64_t ft_tensor_count(const ft_tensor *t)
{
    return ft_tensor_rows(t) * ft_tensor_cols(t);
}

size_t ft_tensor_row_bytes(const ft_tensor *t)
{
    return (size_t)(ft_tensor_cols(t) / t->dtype->block_len) * t->dtype->block_bytes;
}

size_t ft_tensor_bytes(const ft_tensor *t)
{
    return (size_t)ft_tensor_rows(t) * ft_tensor_row_bytes(t);
}

ft_status ft_tensor_check(const ft_dtype *dtype, int ndim, const int64_t *shape, size_t *bytes)
{
    size_t n = dtype->block_bytes;
    char text[96];
    if (ndim < 1 || ndim > FT_MAX_DIMS)
        return ft_fail(FT_EFORMAT, "%d dimensions, 1 to %d are supported", ndim, FT_MAX_DIMS);
    for (int i = 0; i < ndim; i++) {
        if (shape[i] <= 0)
            return ft_fail(FT_EFORMAT, "dimension %d of %s is not positive", i, ft_shape_text(ndim, shape, text));
        int64_t count = shape[i];
        if (i == ndim - 1) {
            if (count % dtype->block_len)
                return ft_fail(FT_EFORMAT, "rows of %lld elements are no whole number of %s blocks of %d",
                               (long long)count, dtype->name, dtype->block_len);
            count /= dtype->block_len;
        }
        if (!ft_mul(n, (size_t)count, &n) || n > (size_t)INT64_MAX)
            return ft_fail(FT_EFORMAT, "the size of %s overflows", ft_shape_text(ndim, shape, text));
    }
    *bytes = n;
    return FT_OK;
}

const char *ft_shape_text(int ndim, const int64_t *shape, char buf[96])
{
    size_t n = 0;
    buf[n++] = '[';
    for (int i = 0; i < ndim && n < 90; i++)
        n += (size_t)snprintf(buf + n, 90 - n, "%s%lld", i ? ", " : "", (long long)shape[i]);
    n = FT_MIN(n, (size_t)90);
    buf[n++] = ']';
    buf[n] = 0;
    return buf;
}

void ft_tensor_decode_rows(const ft_tensor *t, int64_t r0, int64_t r1, float *x)
{
    int64_t cols = ft_tensor_cols(t);
    for (int64_t r = r0; r < r1; r++)
        t->dtype->decode(ft_tensor_row(t, r), cols, x + (r - r0) * cols);
}

/* How many of the n numbers that lie `stride` bytes apart have all bits of the mask set. Inlined for each size, so that
 * compilers count a row of plain floats in vectors. */
static inline __attribute__((always_inline)) int64_t count_masked(const char *p, size_t stride, size_t bytes, uint32_t mask,
                                                                  int64_t n)
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t u = 0;
        memcpy(&u, p + (size_t)i * stride, bytes);
        found += (u & mask) == mask;
    }
    return found;
}

bool ft_dtype_finite(const ft_dtype *d, const void *in, int64_t n)
{
    int64_t blocks = n / d->block_len, bad = 0;
    for (size_t i = 0; i < FT_COUNT(d->exponents) && d->exponents[i].bytes; i++) {
        const ft_exponent *e = &d->exponents[i];
        const char *p = (const char *)in + e->offset;
        if (e->bytes == 4)
            bad += count_masked(p, d->block_bytes, 4, e->mask, blocks);
        else if (e->bytes == 2)
            bad += count_masked(p, d->block_bytes, 2, e->mask, blocks);
        else
            bad += count_masked(p, d->block_bytes, 1, e->mask, blocks);
    }
    return bad == 0;
}

typedef struct scan {
    const ft_tensor *t;
    int64_t cols, piece, rows;
    int64_t bad[64]; /* of each piece the first bad row, -1: none */
} scan;

static void scan_piece(void *ctx, int64_t i)
{
    scan *s = ctx;
    s->bad[i] = -1;
    for (int64_t r = i * s->piece; r < FT_MIN(s->rows, (i + 1) * s->piece) && s->bad[i] < 0; r++)
        if (!ft_dtype_finite(s->t->dtype, ft_tensor_row(s->t, r), s->cols))
            s->bad[i] = r;
}

bool ft_tensor_finite(const ft_tensor *t, int64_t *row)
{
    scan s = {.t = t, .cols = ft_tensor_cols(t), .rows = ft_tensor_rows(t)};
    int64_t pieces = FT_MIN(s.rows, (int64_t)FT_COUNT(s.bad));
    s.piece = (s.rows + pieces - 1) / pieces;
    ft_parallel(pieces, scan_piece, &s);
    for (int64_t i = 0; i < pieces; i++)
        if (s.bad[i] >= 0) {
            *row = s.bad[i];
            return false;
        }
    return true;
}
