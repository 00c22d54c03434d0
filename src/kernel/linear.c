/* Linear over any stored dtype: y = x w^T, dx = dy w, dw += dy^T x, as products over tiles of the result.
 *
 *            columns                     A tile of the result belongs to one thread from start to end. An engine
 *         +-----+-----+-----+            (kernel/engine.h) makes it, out of pieces of the operands that it packs, and
 *    rows | 0,0 | 0,1 | 0,2 |            decodes where w is stored in another dtype, into the thread's scratch.
 *         +-----+-----+-----+
 *         | 1,0 | ...       |            The tile's size follows from the shape alone, so the result does not depend on
 *         +-----+-----+-----+            the number of threads.
 *
 * A result of few tiles with a long sum (a head's dx over V, a small matrix's dw over T) keeps its tiles large, and its
 * sum is cut into parts, each with a result of its own, which are added in order at the end.
 *
 * Few rows (decoding one token) are bound by reading w: each row of w is read once and multiplied as it is decoded.
 */
#include "base/threads.h"
#include "kernel/engine.h"

#include <string.h>

enum {
    TILE = FT_PANEL_COLS, /* rows or columns of a tile at most */
    FEW_TILE = 64,        /* rows of w in a tile where there are few of x */
    WISHED_TILES = 8,
    LOW_TILE = 128, /* rows and columns below which a tile is not cut for want of tiles */
    ROUND = 32,
    PART_SUM = 512 /* the least of a sum that a part takes */
};

size_t ft_linear_scratch(void)
{
    return (size_t)ft_threads() * ft_engine__room();
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
    const ft_engine *e;
    const ft_kernels *k;
    ft_reader reader;
    tiling tiles;
    float *to;          /* y, dx or dw */
    const float *a, *b; /* x and bias; dy; dy and x */
    const ft_tensor *w;
    int64_t T, out, in;
    bool add;
    int64_t n_parts; /* of the sum, 1: none of their own */
    float *scratch, *parts;
} job;

static job job_of(const ft_engine *e, float *to, const float *a, int64_t T, const ft_tensor *w, float *scratch)
{
    const ft_kernels *k = ft_kernels_active();
    return (job){.e = e,
                 .k = k,
                 .reader = ft_kernel_reader(k, w->dtype),
                 .to = to,
                 .a = a,
                 .T = T,
                 .w = w,
                 .out = ft_tensor_rows(w),
                 .in = ft_tensor_cols(w),
                 .scratch = scratch};
}

static float *room_of(const job *j)
{
    return j->scratch + (size_t)ft_thread_id() * ft_engine__room();
}

/* w as an operand: its vectors are its rows (k_inner) or its columns, from vector i and element k on. */
static ft_operand weight_of(const job *j, bool k_inner, int64_t i, int64_t k)
{
    return (ft_operand){.w = j->w, .reader = j->reader, .ld = j->in, .k_inner = k_inner, .i = i, .k = k};
}

/* ---- y = x w^T ---- */

static void forward_tile(void *ctx, int64_t i)
{
    const job *j = ctx;
    tile t = tile_at(&j->tiles, i);
    float *y = j->to + t.r * j->out + t.c;
    for (int64_t r = 0; j->b && r < t.rows; r++)
        memcpy(y + r * j->out, j->b + t.c, (size_t)t.cols * sizeof *y);
    ft_product p = {.c = y, .ldc = j->out, .m = t.rows, .n = t.cols, .K = j->in, .scale = 1, .add = j->b};
    p.a = (ft_operand){.f = j->a, .ld = j->in, .k_inner = true, .i = t.r};
    p.b = weight_of(j, true, t.c, 0);
    ft_engine__multiply(j->e, &p, room_of(j));
}

/* One tile of a few rows: FEW_TILE rows of w, each against all T rows of x. */
static void forward_few(void *ctx, int64_t i)
{
    const job *j = ctx;
    int64_t end = FT_MIN(j->out, (i + 1) * FEW_TILE);
    bool fused = j->T == 1 && j->reader.dot;
    for (int64_t o = i * FEW_TILE; o < end; o++) {
        const void *stored = ft_tensor_row(j->w, o);
        const float *w = stored;
        float bias = j->b ? j->b[o] : 0;
        if (fused) {
            j->to[o] = j->reader.dot(stored, j->a, j->in) + bias;
            continue;
        }
        if (j->w->dtype != &ft_f32) {
            float *row = room_of(j);
            j->reader.decode(stored, j->in, row);
            w = row;
        }
        for (int64_t t = 0; t < j->T; t++)
            j->to[t * j->out + o] = j->k->dot(w, j->a + t * j->in, j->in) + bias;
    }
}

void ft_linear_forward(const ft_engine *e, float *y, const float *x, int64_t T, const ft_tensor *w, const float *bias,
                       float *scratch)
{
    job j = job_of(e, y, x, T, w, scratch);
    j.b = bias;
    if (T <= FT_FEW_ROWS && (w->dtype == &ft_f32 || j.in <= (int64_t)ft_engine__room())) {
        ft_parallel((j.out + FEW_TILE - 1) / FEW_TILE, forward_few, &j);
        return;
    }
    j.tiles = tile_plan(T, j.out, 1);
    ft_parallel(tiles_of(&j.tiles), forward_tile, &j);
}

/* ---- sums in parts ---- */

static int64_t count_parts(int64_t rows, int64_t cols, int64_t K)
{
    int64_t tiles = ((rows + TILE - 1) / TILE) * ((cols + TILE - 1) / TILE);
    return FT_MAX(FT_MIN((WISHED_TILES + tiles - 1) / tiles, K / PART_SUM), (int64_t)1);
}

size_t ft_linear_parts(int64_t rows, int64_t cols, int64_t K)
{
    int64_t n = count_parts(rows, cols, K);
    return n > 1 ? (size_t)n * (size_t)rows * (size_t)cols : 0;
}

/* to[row] = or += the parts' rows, in order. */
static void add_parts(void *ctx, int64_t row)
{
    const job *j = ctx;
    int64_t cols = j->tiles.cols;
    float *to = j->to + row * cols;
    for (int64_t p = 0; p < j->n_parts; p++) {
        const float *part = j->parts + (p * j->tiles.rows + row) * cols;
        if (p || j->add)
            j->k->axpy(to, 1, part, cols);
        else
            memcpy(to, part, (size_t)cols * sizeof *to);
    }
}

/* Makes j->to [rows, cols] (+)= a sum over K by calls of fn, whose number i is tile i % tiles of part i / tiles. */
static void sum_up(job *j, void (*fn)(void *ctx, int64_t i), int64_t rows, int64_t cols, int64_t K, int64_t block_len)
{
    j->n_parts = count_parts(rows, cols, K);
    if (j->n_parts == 1) {
        j->tiles = tile_plan(rows, cols, block_len);
        ft_parallel(tiles_of(&j->tiles), fn, j);
        return;
    }
    j->tiles = (tiling){.rows = rows, .cols = cols, .unit = FT_MAX(block_len, (int64_t)ROUND)};
    resize_tiles(&j->tiles, TILE, TILE);
    ft_parallel(j->n_parts * tiles_of(&j->tiles), fn, j);
    ft_parallel(rows, add_parts, j);
}

/* What call i of sum_up has to make: the tile, the stretch of the sum, and where it goes. */
typedef struct share {
    tile t;
    int64_t from, n;
    float *to; /* the tile's first element */
    bool add;
} share;

static share share_of(const job *j, int64_t i, int64_t K)
{
    int64_t tiles = tiles_of(&j->tiles), part = i / tiles, cols = j->tiles.cols;
    share s = {.t = tile_at(&j->tiles, i % tiles), .from = K * part / j->n_parts, .add = j->n_parts == 1 && j->add};
    s.n = K * (part + 1) / j->n_parts - s.from;
    s.to = (j->n_parts == 1 ? j->to : j->parts + part * j->tiles.rows * cols) + s.t.r * cols + s.t.c;
    return s;
}

/* The product of a share, but for its operands. */
static ft_product product_of(const job *j, const share *s)
{
    return (ft_product){
        .c = s->to, .ldc = j->tiles.cols, .m = s->t.rows, .n = s->t.cols, .K = s->n, .scale = 1, .add = s->add};
}

/* ---- dx = dy w ---- */

static void grad_x_tile(void *ctx, int64_t i)
{
    const job *j = ctx;
    share s = share_of(j, i, j->out);
    ft_product p = product_of(j, &s);
    p.a = (ft_operand){.f = j->a, .ld = j->out, .k_inner = true, .i = s.t.r, .k = s.from};
    p.b = weight_of(j, false, s.t.c, s.from);
    ft_engine__multiply(j->e, &p, room_of(j));
}

void ft_linear_grad_x(const ft_engine *e, float *dx, const float *dy, int64_t T, const ft_tensor *w, bool add,
                      float *scratch, float *parts)
{
    job j = job_of(e, dx, dy, T, w, scratch);
    j.add = add;
    j.parts = parts;
    sum_up(&j, grad_x_tile, T, j.in, j.out, w->dtype->block_len);
}

/* ---- dw += dy^T x ---- */

static void grad_w_tile(void *ctx, int64_t i)
{
    const job *j = ctx;
    share s = share_of(j, i, j->T);
    ft_product p = product_of(j, &s);
    p.a = (ft_operand){.f = j->a, .ld = j->out, .i = s.t.r, .k = s.from};
    p.b = (ft_operand){.f = j->b, .ld = j->in, .i = s.t.c, .k = s.from};
    ft_engine__multiply(j->e, &p, room_of(j));
}

void ft_linear_grad_w(const ft_engine *e, float *dw, const float *dy, const float *x, int64_t T, int64_t out,
                      int64_t in, float *scratch, float *parts)
{
    job j = {.e = e, .k = ft_kernels_active(), .to = dw, .a = dy, .b = x, .T = T, .out = out, .in = in, .add = true};
    j.scratch = scratch;
    j.parts = parts;
    sum_up(&j, grad_w_tile, out, in, T, 1);
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
