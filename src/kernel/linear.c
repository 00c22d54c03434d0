/* Linear over any stored dtype: y = x w^T, dx = dy w, dw += dy^T x, as GEMMs over tiles of the result.
 *
 *            columns                     A tile of the result belongs to one thread from start to end. Its sum runs in
 *         +-----+-----+-----+            blocks of DEPTH: for each, the piece of w that is needed is decoded into the
 *    rows | 0,0 | 0,1 | 0,2 |            thread's panel [at most PANEL floats, it stays in L2] and handed to GEMM. f32
 *         +-----+-----+-----+            weights are used where they lie.
 *         | 1,0 | ...       |
 *         +-----+-----+-----+            The tile's size follows from the shape alone, so the result does not depend on
 *                                        the number of threads.
 *
 * dx sums over the rows of w. A head has so many of them, and so few columns, that tiles would be small: its sum is cut
 * into PARTS, each with a result of its own, which are added in order at the end.
 *
 * Few rows (decoding one token) are bound by reading w: each row of w is read once and multiplied as it is decoded.
 */
#include "kernel/kernel.h"
#include "base/threads.h"

#include <cblas.h>
#include <string.h>

enum {
    TILE = 512,  /* rows or columns of a tile at most */
    DEPTH = 256, /* of a panel; a multiple of every dtype's block */
    PANEL = TILE * DEPTH,
    FEW = 4,       /* rows that go without GEMM */
    FEW_ROWS = 64, /* rows of w in a tile of that */
    WISHED_TILES = 8,
    LOW_TILE = 128, /* rows and columns below which a tile is cut only for want of tiles */
    ROUND = 32,
    PARTS = 8,
    LONG_SUM = PARTS * 1024
};

size_t ft_linear_scratch(void)
{
    return (size_t)ft_threads() * PANEL;
}

const char *ft_blas_core(void)
{
    return openblas_get_corename();
}

void ft_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
             const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n,
                (blasint)k, alpha, a, (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
}

/* ---- tiles ---- */

typedef struct tiling {
    int64_t rows, cols, tile_rows, tile_cols;
    int64_t unit;   /* tile_cols is a multiple of it */
    int64_t across; /* tiles in a row of tiles */
} tiling;

/* n in equal parts of at most `most`, each a multiple of `unit` but the last. */
static int64_t even_part(int64_t n, int64_t most, int64_t unit)
{
    int64_t parts = (n + most - 1) / most, part = (n + parts - 1) / parts;
    return FT_MIN(n, (part + unit - 1) / unit * unit);
}

static int64_t tiles_of(const tiling *t)
{
    return (t->rows + t->tile_rows - 1) / t->tile_rows * t->across;
}

static void resize_tiles(tiling *t, int64_t most_rows, int64_t most_cols)
{
    t->tile_rows = even_part(t->rows, most_rows, ROUND);
    t->tile_cols = even_part(t->cols, most_cols, t->unit);
    t->across = (t->cols + t->tile_cols - 1) / t->tile_cols;
}

/* As large as they may be, but enough of them to feed a team; columns in whole blocks of block_len. Wide tiles of few
 * rows do better in GEMM than the other way round. */
static tiling tile_plan(int64_t rows, int64_t cols, int64_t block_len)
{
    tiling t = {.rows = rows, .cols = cols, .unit = FT_MAX(block_len, (int64_t)ROUND)};
    resize_tiles(&t, TILE, TILE);
    while (tiles_of(&t) < WISHED_TILES && t.tile_rows > LOW_TILE)
        resize_tiles(&t, (t.tile_rows + 1) / 2, TILE);
    int64_t low_cols = FT_MAX(t.unit, (int64_t)LOW_TILE);
    while (tiles_of(&t) < WISHED_TILES && t.tile_cols > low_cols)
        resize_tiles(&t, t.tile_rows, (t.tile_cols + 1) / 2);
    return t;
}

typedef struct tile {
    int64_t r, c, rows, cols; /* first row and column, how many */
} tile;

static tile tile_at(const tiling *t, int64_t i)
{
    tile a = {.r = i / t->across * t->tile_rows, .c = i % t->across * t->tile_cols};
    a.rows = FT_MIN(t->tile_rows, t->rows - a.r);
    a.cols = FT_MIN(t->tile_cols, t->cols - a.c);
    return a;
}

typedef struct job {
    const ft_kernels *k;
    ft_reader reader;
    tiling tiles;
    float *to;          /* y, dx or dw */
    const float *a, *b; /* x and bias; dy; dy and x */
    const ft_tensor *w;
    int64_t T, out, in;
    bool add;
    float *scratch, *parts;
} job;

static job job_of(float *to, const float *a, int64_t T, const ft_tensor *w, float *scratch)
{
    const ft_kernels *k = ft_kernels_active();
    return (job){.k = k,
                 .reader = ft_kernel_reader(k, w->dtype),
                 .to = to,
                 .a = a,
                 .T = T,
                 .w = w,
                 .out = ft_tensor_rows(w),
                 .in = ft_tensor_cols(w),
                 .scratch = scratch};
}

static float *panel_of(const job *j)
{
    return j->scratch + (size_t)ft_thread_id() * PANEL;
}

/* Rows [r, r + rows) x columns [c, c + cols) of w in f32: where they lie, or decoded into the panel. */
static const float *piece_of_w(const job *j, int64_t r, int64_t rows, int64_t c, int64_t cols, int64_t *ld)
{
    if (j->w->dtype == &ft_f32) {
        *ld = j->in;
        return (const float *)j->w->data + r * j->in + c;
    }
    float *panel = panel_of(j);
    size_t skip = (size_t)(c / j->w->dtype->block_len) * j->w->dtype->block_bytes;
    for (int64_t i = 0; i < rows; i++)
        j->reader.decode((const char *)ft_tensor_row(j->w, r + i) + skip, cols, panel + i * cols);
    *ld = cols;
    return panel;
}

/* How much of the sum one GEMM takes: all of it where nothing has to be decoded. */
static int64_t depth_of(const job *j, int64_t all)
{
    return j->w->dtype == &ft_f32 ? all : FT_MIN(all, (int64_t)DEPTH);
}

/* ---- y = x w^T ---- */

static void forward_tile(void *ctx, int64_t i)
{
    const job *j = ctx;
    tile t = tile_at(&j->tiles, i);
    int64_t depth = depth_of(j, j->in), ld;
    float *y = j->to + t.r * j->out + t.c;
    for (int64_t r = 0; j->b && r < t.rows; r++)
        memcpy(y + r * j->out, j->b + t.c, (size_t)t.cols * sizeof *y);
    for (int64_t k = 0; k < j->in; k += depth) {
        int64_t n = FT_MIN(depth, j->in - k);
        const float *w = piece_of_w(j, t.c, t.cols, k, n, &ld);
        ft_gemm(false, true, t.rows, t.cols, n, 1, j->a + t.r * j->in + k, j->in, w, ld, k || j->b ? 1 : 0, y, j->out);
    }
}

/* One tile of a few rows: FEW_ROWS rows of w, each against all T rows of x. */
static void forward_few(void *ctx, int64_t i)
{
    const job *j = ctx;
    int64_t end = FT_MIN(j->out, (i + 1) * FEW_ROWS);
    bool fused = j->T == 1 && j->reader.dot;
    for (int64_t o = i * FEW_ROWS; o < end; o++) {
        const void *stored = ft_tensor_row(j->w, o);
        const float *w = stored;
        float bias = j->b ? j->b[o] : 0;
        if (fused) {
            j->to[o] = j->reader.dot(stored, j->a, j->in) + bias;
            continue;
        }
        if (j->w->dtype != &ft_f32) {
            float *row = panel_of(j);
            j->reader.decode(stored, j->in, row);
            w = row;
        }
        for (int64_t t = 0; t < j->T; t++)
            j->to[t * j->out + o] = j->k->dot(w, j->a + t * j->in, j->in) + bias;
    }
}

void ft_linear_forward(float *y, const float *x, int64_t T, const ft_tensor *w, const float *bias, float *scratch)
{
    job j = job_of(y, x, T, w, scratch);
    j.b = bias;
    if (T <= FEW && (w->dtype == &ft_f32 || j.in <= PANEL)) {
        ft_parallel((j.out + FEW_ROWS - 1) / FEW_ROWS, forward_few, &j);
        return;
    }
    j.tiles = tile_plan(T, j.out, 1);
    ft_parallel(tiles_of(&j.tiles), forward_tile, &j);
}

/* ---- dx = dy w ---- */

/* Tile i of the sum over rows [from, to) of w; add: to what stands in dx. */
static void grad_x_sum(const job *j, float *to, int64_t i, int64_t from, int64_t end, bool add)
{
    tile t = tile_at(&j->tiles, i);
    int64_t depth = depth_of(j, end - from), ld;
    float *dx = to + t.r * j->in + t.c;
    for (int64_t k = from; k < end; k += depth) {
        int64_t n = FT_MIN(depth, end - k);
        const float *w = piece_of_w(j, k, n, t.c, t.cols, &ld);
        ft_gemm(false, false, t.rows, t.cols, n, 1, j->a + t.r * j->out + k, j->out, w, ld, k > from || add ? 1 : 0, dx,
                j->in);
    }
}

static void grad_x_tile(void *ctx, int64_t i)
{
    const job *j = ctx;
    grad_x_sum(j, j->to, i, 0, j->out, j->add);
}

static void grad_x_part(void *ctx, int64_t i)
{
    const job *j = ctx;
    int64_t n = tiles_of(&j->tiles), part = i / n, step = (j->out + PARTS - 1) / PARTS;
    grad_x_sum(j, j->parts + part * j->T * j->in, i % n, part * step, FT_MIN(j->out, (part + 1) * step), false);
}

static void add_parts(void *ctx, int64_t t)
{
    const job *j = ctx;
    float *dx = j->to + t * j->in;
    for (int64_t p = 0; p < PARTS; p++) {
        const float *part = j->parts + (p * j->T + t) * j->in;
        if (p || j->add)
            j->k->axpy(dx, 1, part, j->in);
        else
            memcpy(dx, part, (size_t)j->in * sizeof *dx);
    }
}

size_t ft_linear_parts(int64_t T, const ft_tensor *w)
{
    if (ft_tensor_rows(w) < LONG_SUM || T > TILE)
        return 0;
    return (size_t)PARTS * (size_t)T * (size_t)ft_tensor_cols(w);
}

void ft_linear_grad_x(float *dx, const float *dy, int64_t T, const ft_tensor *w, bool add, float *scratch, float *parts)
{
    job j = job_of(dx, dy, T, w, scratch);
    j.add = add;
    if (ft_linear_parts(T, w)) {
        j.parts = parts;
        j.tiles = (tiling){.rows = T, .cols = j.in, .unit = FT_MAX(w->dtype->block_len, ROUND)};
        resize_tiles(&j.tiles, TILE, TILE);
        ft_parallel(PARTS * tiles_of(&j.tiles), grad_x_part, &j);
        ft_parallel(T, add_parts, &j);
        return;
    }
    j.tiles = tile_plan(T, j.in, w->dtype->block_len);
    ft_parallel(tiles_of(&j.tiles), grad_x_tile, &j);
}

/* ---- dw += dy^T x ---- */

static void grad_w_tile(void *ctx, int64_t i)
{
    const job *j = ctx;
    tile t = tile_at(&j->tiles, i);
    ft_gemm(true, false, t.rows, t.cols, j->T, 1, j->a + t.r, j->out, j->b + t.c, j->in, 1, j->to + t.r * j->in + t.c,
            j->in);
}

void ft_linear_grad_w(float *dw, const float *dy, const float *x, int64_t T, int64_t out, int64_t in)
{
    job j = {.to = dw, .a = dy, .b = x, .T = T, .out = out, .in = in, .tiles = tile_plan(out, in, 1)};
    ft_parallel(tiles_of(&j.tiles), grad_w_tile, &j);
}

/* ---- dbias += column sums ---- */

static void grad_bias_tile(void *ctx, int64_t i)
{
    const job *j = ctx;
    int64_t c = i * TILE, n = FT_MIN((int64_t)TILE, j->out - c);
    for (int64_t t = 0; t < j->T; t++)
        j->k->axpy(j->to + c, 1, j->a + t * j->out + c, n);
}

void ft_linear_grad_bias(float *dbias, const float *dy, int64_t T, int64_t out)
{
    job j = {.k = ft_kernels_active(), .to = dbias, .a = dy, .T = T, .out = out};
    ft_parallel((out + TILE - 1) / TILE, grad_bias_tile, &j);
}
