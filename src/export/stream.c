/* One tensor from the model into a writer: rows are merged into an f32 tile, put into the file's row order, changed to
 * the values that the file wants, encoded on
 * all threads and written. Memory: a tile of about TILE_BYTES of f32 and its encoded form, whatever the tensor's size
 * (one row where a row is larger); twice that where it is measured what the type leaves of an update. */
#include "export/internal.h"

#include "base/threads.h"
#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

enum { TILE_BYTES = 4 << 20 };

typedef struct tile {
    const ft_export__tensor *t;
    int64_t rows, cols; /* of a tile at most, of a row */
    int64_t first;      /* row of the tensor that the tile begins with */
    ft_reader reader;   /* of plain rows */
    size_t row_bytes;   /* encoded */
    float *values;      /* [rows, cols] */
    char *encoded;      /* [rows] of row_bytes */
    char *bad;          /* [rows]: a value that is not finite or too large for the dtype */
    float *scratch;     /* of error feedback; NULL: value by value */
    /* where survival is measured, else NULL: */
    float *base;           /* [rows, cols] the weight without its update */
    char *base_encoded;    /* [rows] of row_bytes */
    ft_survival *survival; /* [rows] */
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

/* The values that the file wants. */
static void change(const ft_export__tensor *t, float *x, int64_t n)
{
    for (int64_t j = 0; t->scale != 0 && j < n; j++)
        x[j] = (x[j] + t->plus) * t->scale;
}

/* What the update of row i changes in the file. */
static void compare_row(void *ctx, int64_t i)
{
    const tile *t = ctx;
    enum { PART = 256 }; /* a whole number of blocks of every type */
    const ft_export__tensor *x = t->t;
    const ft_dtype *d = x->dtype;
    const float *merged = t->values + i * t->cols;
    const float *base = t->base + i * t->cols;
    float with[PART], without[PART];
    const char *encoded = t->encoded + (size_t)i * t->row_bytes, *base_encoded = t->base_encoded + (size_t)i * t->row_bytes;
    ft_survival s = {0};
    for (int64_t j = 0; j < t->cols; j += PART) {
        int64_t n = FT_MIN(t->cols - j, (int64_t)PART);
        size_t at = (size_t)(j / d->block_len) * d->block_bytes;
        d->decode(encoded + at, n, with);
        d->decode(base_encoded + at, n, without);
        for (int64_t k = 0; k < n; k++) {
            double kept = (double)with[k] - without[k], delta = (double)merged[j + k] - base[j + k];
            s.dot += kept * delta;
            s.kept += kept * kept;
            s.delta += delta * delta;
        }
    }
    t->survival[i] = s;
}

/* The weight of row i without its update. */
static void base_row(void *ctx, int64_t i)
{
    const tile *t = ctx;
    int64_t row = t->t->order ? t->t->order[t->first + i] : t->first + i;
    ft_tensor_decode_rows(&t->t->weight->t, row, row + 1, t->base + i * t->cols);
    change(t->t, t->base + i * t->cols, t->cols);
}

static void value_row(void *ctx, int64_t i)
{
    tile *t = ctx;
    float *x = t->values + i * t->cols;
    if (t->t->plain) {
        int64_t row = t->t->order ? t->t->order[t->first + i] : t->first + i;
        t->reader.decode(ft_tensor_row(t->t->plain, row), t->cols, x);
    }
    change(t->t, x, t->cols);
    float largest = ft_largest_magnitude(x, t->cols);
    t->bad[i] = !(isfinite(largest) && largest <= t->t->dtype->largest);
}

typedef struct rows {
    const tile *t;
    const float *x;
    char *out;
} rows;

static void encode_row(void *ctx, int64_t i)
{
    const rows *r = ctx;
    const tile *t = r->t;
    t->t->dtype->encode(r->x + i * t->cols, t->t->importance, t->cols, r->out + (size_t)i * t->row_bytes);
}

static void encode(const tile *t, const float *x, int64_t n, char *out)
{
    rows r = {.t = t, .x = x, .out = out};
    if (t->scratch)
        ft_feedback_encode(t->t->feedback, x, n, out, t->scratch);
    else
        ft_parallel(n, encode_row, &r);
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

static ft_status tile_open(tile *t, const ft_export__tensor *x, int64_t most_rows, bool survival)
{
    ft_tensor s = shape_of(x);
    *t = (tile){.t = x, .cols = ft_tensor_cols(&s), .row_bytes = ft_tensor_row_bytes(&s)};
    if (x->plain)
        t->reader = ft_kernel_reader(ft_kernels_active(), x->plain->dtype);
    t->rows = FT_MIN(most_rows, FT_MAX((int64_t)1, TILE_BYTES / (t->cols * (int64_t)sizeof(float))));
    t->values = ft_alloc((size_t)t->rows, (size_t)t->cols * sizeof *t->values);
    t->encoded = ft_alloc((size_t)t->rows, t->row_bytes);
    t->bad = ft_alloc((size_t)t->rows, 1);
    if (x->feedback)
        t->scratch = ft_alloc((size_t)ft_threads(), ft_feedback_scratch(t->cols) * sizeof *t->scratch);
    if (!t->values || !t->encoded || !t->bad || (x->feedback && !t->scratch))
        return FT_ENOMEM;
    if (!survival)
        return FT_OK;
    t->base = ft_alloc((size_t)t->rows, (size_t)t->cols * sizeof *t->base);
    t->base_encoded = ft_alloc((size_t)t->rows, t->row_bytes);
    t->survival = ft_alloc((size_t)t->rows, sizeof *t->survival);
    return t->base && t->base_encoded && t->survival ? FT_OK : FT_ENOMEM;
}

static void tile_close(tile *t)
{
    ft_free(t->values);
    ft_free(t->encoded);
    ft_free(t->bad);
    ft_free(t->scratch);
    ft_free(t->base);
    ft_free(t->base_encoded);
    ft_free(t->survival);
}

/* Rows [r, r + n) of the tensor, at most t->rows of them, encoded; what survives of their update is added to *survival. */
static ft_status fill(tile *t, ft_model *m, int64_t r, int64_t n, ft_survival *survival)
{
    const ft_export__tensor *x = t->t;
    const int64_t *order = x->ndim > 1 ? x->order : NULL;
    t->first = r;
    if (!x->plain)
        FT_RETURN(ft_export__merge(m, x->weight, order, r, r + n, t->values));
    if (x->order && !order && !x->plain)
        FT_RETURN(order_vector(t->values, x->order, t->cols));
    ft_parallel(n, value_row, t);
    FT_RETURN(check(t, n));
    encode(t, t->values, n, t->encoded);
    if (!t->base)
        return FT_OK;
    ft_parallel(n, base_row, t);
    encode(t, t->base, n, t->base_encoded);
    ft_parallel(n, compare_row, t);
    for (int64_t i = 0; i < n; i++) {
        survival->dot += t->survival[i].dot;
        survival->kept += t->survival[i].kept;
        survival->delta += t->survival[i].delta;
    }
    return FT_OK;
}

ft_status ft_export__stream(ft_writer *w, ft_model *m, const ft_export__tensor *x, ft_survival *survival)
{
    if (x->values)
        return ft_writer_data(w, x->values, (size_t)x->shape[0] * sizeof *x->values);
    if (x->plain && x->plain->dtype == x->dtype && !x->order && x->scale == 0)
        return copy(w, x);
    ft_status st = FT_OK;
    ft_tensor s = shape_of(x);
    int64_t rows = ft_tensor_rows(&s);
    tile t;
    FT_TRY(tile_open(&t, x, rows, survival != NULL));
    for (int64_t r = 0; r < rows; r += t.rows) {
        int64_t n = FT_MIN(t.rows, rows - r);
        FT_TRY(fill(&t, m, r, n, survival));
        FT_TRY(ft_writer_data(w, t.encoded, (size_t)n * t.row_bytes));
    }
done:
    tile_close(&t);
    return st;
}

bool ft_export__has_update(ft_model *m, const ft_export__tensor *t)
{
    ft_param *a, *b;
    float scale;
    return t->weight && t->ndim > 1 &&
           (ft_adapter_saved(m, t->weight) || ft_adapter_on(m, t->weight, &a, &b, &scale));
}

ft_status ft_export__survival(ft_survival *out, ft_model *m, const ft_export__tensor *x, int64_t rows)
{
    ft_status st = FT_OK;
    ft_tensor s = shape_of(x);
    int64_t all = ft_tensor_rows(&s);
    tile t;
    FT_TRY(tile_open(&t, x, 1, true));
    for (int64_t i = 0; i < rows; i++)
        FT_TRY(fill(&t, m, i * all / rows, 1, out));
done:
    tile_close(&t);
    return st;
}
