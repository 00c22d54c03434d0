/* One tensor from the model into a writer: rows are merged into an f32 tile, put into the file's row order, changed to
 * the values that the file wants, encoded on
 * all threads and written. Memory: a tile of about TILE_BYTES of f32 and its encoded form, whatever the tensor's size
 * (one row where a row is larger). */
#include "export/internal.h"

#include "base/threads.h"

#include <math.h>
#include <string.h>

enum { TILE_BYTES = 4 << 20 };

typedef struct tile {
    const ft_export__tensor *t;
    int64_t rows, cols; /* of a tile at most, of a row */
    int64_t first;      /* row of the tensor that the tile begins with */
    size_t row_bytes;   /* encoded */
    float *values;      /* [rows, cols] */
    char *encoded;      /* [rows] of row_bytes */
    char *bad;          /* [rows]: a value that is not finite or too large for the dtype */
} tile;

static ft_tensor shape_of(const ft_export__tensor *t)
{
    ft_tensor s = {.dtype = t->dtype, .ndim = t->ndim};
    for (int i = 0; i < t->ndim; i++)
        s.shape[i] = t->shape[i];
    return s;
}

uint64_t ft_export__tensor_bytes(const ft_export__tensor *t)
{
    ft_tensor s = shape_of(t);
    return ft_tensor_bytes(&s);
}

static void encode_row(void *ctx, int64_t i)
{
    tile *t = ctx;
    float *x = t->values + i * t->cols;
    const ft_dtype *d = t->t->dtype;
    float largest = 0;
    if (t->t->plain) {
        int64_t row = t->t->order ? t->t->order[t->first + i] : t->first + i;
        ft_tensor_decode_rows(t->t->plain, row, row + 1, x);
    }
    for (int64_t j = 0; t->t->scale != 0 && j < t->cols; j++)
        x[j] = (x[j] + t->t->plus) * t->t->scale;
    for (int64_t j = 0; j < t->cols; j++)
        largest = FT_MAX(largest, isfinite(x[j]) ? fabsf(x[j]) : INFINITY);
    t->bad[i] = !isfinite(largest) || largest > d->largest;
    d->encode(x, t->t->importance, t->cols, t->encoded + (size_t)i * t->row_bytes);
}

/* A vector is one row: its elements change places. */
static ft_status order_vector(float *x, const int64_t *order, int64_t n)
{
    float *old = ft_alloc((size_t)n, sizeof *old);
    if (!old)
        return FT_ENOMEM;
    memcpy(old, x, (size_t)n * sizeof *old);
    for (int64_t i = 0; i < n; i++)
        x[i] = old[order[i]];
    ft_free(old);
    return FT_OK;
}

static ft_status check(const tile *t, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (t->bad[i])
            return ft_fail(FT_ENUMERIC, "%s: a weight is not finite or too large for %s%s", t->t->name, t->t->dtype->name,
                           t->t->dtype == &ft_f32 ? "" : "; bf16 and f32 hold every finite value");
    return FT_OK;
}

static ft_status copy(ft_writer *w, const ft_export__tensor *x)
{
    int64_t row;
    if (!ft_tensor_finite(x->plain, &row))
        return ft_fail(FT_ENUMERIC, "%s: row %lld holds a %s that is not finite", x->name, (long long)row,
                       x->dtype->block_len > 1 ? "scale" : "value");
    return ft_writer_data(w, x->plain->data, ft_tensor_bytes(x->plain));
}

ft_status ft_export__stream(ft_writer *w, ft_model *m, const ft_export__tensor *x)
{
    if (x->values)
        return ft_writer_data(w, x->values, (size_t)x->shape[0] * sizeof *x->values);
    if (x->plain && x->plain->dtype == x->dtype && !x->order && x->scale == 0)
        return copy(w, x);
    ft_status st = FT_OK;
    ft_tensor s = shape_of(x);
    int64_t rows = ft_tensor_rows(&s);
    const int64_t *order = x->ndim > 1 ? x->order : NULL;
    tile t = {.t = x, .cols = ft_tensor_cols(&s), .row_bytes = ft_tensor_row_bytes(&s)};
    t.rows = FT_MIN(rows, FT_MAX((int64_t)1, TILE_BYTES / (t.cols * (int64_t)sizeof(float))));
    t.values = ft_alloc((size_t)t.rows, (size_t)t.cols * sizeof *t.values);
    t.encoded = ft_alloc((size_t)t.rows, t.row_bytes);
    t.bad = ft_alloc((size_t)t.rows, 1);
    if (!t.values || !t.encoded || !t.bad) {
        st = FT_ENOMEM;
        goto done;
    }
    for (int64_t r = 0; r < rows; r += t.rows) {
        int64_t n = FT_MIN(t.rows, rows - r);
        t.first = r;
        if (!x->plain)
            FT_TRY(ft_export__merge(m, x->weight, order, r, r + n, t.values));
        if (x->order && !order && !x->plain)
            FT_TRY(order_vector(t.values, x->order, t.cols));
        ft_parallel(n, encode_row, &t);
        FT_TRY(check(&t, n));
        FT_TRY(ft_writer_data(w, t.encoded, (size_t)n * t.row_bytes));
    }
done:
    ft_free(t.values);
    ft_free(t.encoded);
    ft_free(t.bad);
    return st;
}
