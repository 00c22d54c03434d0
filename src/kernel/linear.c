/* Linear over any stored dtype: y = x w^T, dx = dy w, dw += dy^T x, as products over tiles of the result. A product of
 * low rank that is to be added (an adapter's) is one more pair of operands: its sum goes on where the first one ends.
 *
 *            columns                     A tile of the result belongs to one thread from start to end. An engine
 *         +-----+-----+-----+            (kernel/engine.h) makes it, out of pieces of the operands that it packs, and
 *    rows | 0,0 | 0,1 | 0,2 |            decodes where w is stored in another dtype, into the thread's scratch. Where
 *         +-----+-----+-----+            several tiles would pack the same of w, the team does it together
 *         | 1,0 | ...       |            (kernel/together.c).
 *         +-----+-----+-----+
 *                                        The tile's size follows from the shape alone, so the result does not depend on
 *                                        the number of threads.
 *
 * A result of few tiles with a long sum (a head's dx over V, a small matrix's dw over T) keeps its tiles large, and its
 * sum is cut into parts, each with a result of its own, which are added in order at the end.
 *
 * A handful of rows (decoding one token) are bound by reading w: each row of w is read once and multiplied as it is
 * decoded.
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
    return ft_engine__shared() + (size_t)ft_threads() * ft_engine__room();
}

/* ---- tiles ---- */

typedef struct tiling {
    int64_t rows, cols, tile_rows, tile_cols;
    int64_t unit;   /* tile_cols is a multiple of it */
    int64_t across; /* tiles in a row of tiles */
} tiling;

static int64_t tiles_of(const tiling *t)
{
    return (t->rows + t->tile_rows - 1) / t->tile_rows * t->across;
}

static void resize_tiles(tiling *t, int64_t most_rows, int64_t most_cols)
{
    t->tile_rows = ft_engine__even_part(t->rows, most_rows, ROUND);
    t->tile_cols = ft_engine__even_part(t->cols, most_cols, t->unit);
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

/* A product in tiles. */
typedef struct job {
    const ft_engine *e;
    const ft_kernels *k;
    ft_product whole;
    tiling tiles;
    int64_t n_parts; /* of the sum, 1: none of their own */
    float *room;     /* of each thread */
    float *parts;
} job;

static float *room_of(float *scratch)
{
    return scratch + ft_engine__shared();
}

static void multiply(const job *j, const ft_product *p)
{
    ft_engine__multiply(j->e, p, j->room + (size_t)ft_thread_id() * ft_engine__room());
}

static void whole_tile(void *ctx, int64_t i)
{
    const job *j = ctx;
    tile t = tile_at(&j->tiles, i);
    ft_product p = ft_engine__cut(&j->whole, t.r, t.rows, t.c, t.cols);
    multiply(j, &p);
}

/* columns of the result in whole blocks of block_len */
static job job_of(const ft_engine *e, const ft_product *p, int64_t block_len, float *scratch)
{
    return (job){.e = e,
                 .k = ft_kernels_active(),
                 .whole = *p,
                 .n_parts = 1,
                 .tiles = tile_plan(p->m, p->n, block_len),
                 .room = room_of(scratch)};
}

/* Where more than one row of tiles would pack a panel, all of them take the same one. */
static void multiply_whole(const ft_engine *e, const ft_product *p, int64_t block_len, float *scratch)
{
    job j = job_of(e, p, block_len, scratch);
    if (e->micro && j.tiles.tile_rows < p->m)
        ft_engine__multiply_together(e, p, scratch, j.room);
    else
        ft_parallel(tiles_of(&j.tiles), whole_tile, &j);
}

/* w as an operand: its vectors are its rows (k_inner) or its columns. */
static ft_operand weight_of(const ft_tensor *w, bool k_inner)
{
    ft_reader reader = ft_kernel_reader(ft_kernels_active(), w->dtype);
    return (ft_operand){.w = w, .reader = reader, .ld = ft_tensor_cols(w), .k_inner = k_inner};
}

/* The updates [m, R] [R, n] as further pairs; their right matrix is stored [n, R] (k_inner) or [R, n]. */
static void put_updates(ft_product *p, const ft_update *updates, bool k_inner)
{
    for (int i = 1; i < FT_PAIRS && updates; i++, updates = updates->next)
        p->pair[i] = (ft_pair){
            .a = {.f = updates->left, .ld = updates->R, .k_inner = true},
            .b = {.f = updates->right, .ld = k_inner ? updates->R : p->n, .k_inner = k_inner},
            .K = updates->R};
}

/* ---- y = x w^T ---- */

typedef struct few {
    const ft_kernels *k;
    ft_reader reader;
    const ft_tensor *w;
    const float *x, *bias;
    const ft_update *updates;
    float *y, *room;
    int64_t T, in, out;
} few;

/* y[t][o] = w . x_t and what is added to it. */
static void few_sum(const few *f, const float *w, int64_t t, int64_t o)
{
    float sum = f->k->dot(w, f->x + t * f->in, f->in) + (f->bias ? f->bias[o] : 0);
    for (const ft_update *u = f->updates; u; u = u->next)
        sum += f->k->dot(u->left + t * u->R, u->right + o * u->R, u->R);
    f->y[t * f->out + o] = sum;
}

/* One tile of a few rows: FEW_TILE rows of w, each against all T rows of x. */
static void few_tile(void *ctx, int64_t i)
{
    const few *f = ctx;
    int64_t end = FT_MIN(f->out, (i + 1) * FEW_TILE);
    bool fused = f->T == 1 && f->reader.dot && !f->updates;
    for (int64_t o = i * FEW_TILE; o < end; o++) {
        const void *stored = ft_tensor_row(f->w, o);
        const float *w = stored;
        if (fused) {
            f->y[o] = f->reader.dot(stored, f->x, f->in) + (f->bias ? f->bias[o] : 0);
            continue;
        }
        if (f->w->dtype != &ft_f32) {
            float *row = f->room + (size_t)ft_thread_id() * ft_engine__room();
            f->reader.decode(stored, f->in, row);
            w = row;
        }
        for (int64_t t = 0; t < f->T; t++)
            few_sum(f, w, t, o);
    }
}

static void bias_tile(void *ctx, int64_t i)
{
    const few *f = ctx;
    for (int64_t t = i * ROUND; t < FT_MIN(f->T, (i + 1) * ROUND); t++)
        memcpy(f->y + t * f->out, f->bias, (size_t)f->out * sizeof *f->y);
}

void ft_linear_forward(const ft_engine *e, float *y, const float *x, int64_t T, const ft_tensor *w, const float *bias,
                       const ft_update *updates, float *scratch)
{
    int64_t in = ft_tensor_cols(w), out = ft_tensor_rows(w);
    ft_operand weight = weight_of(w, true);
    few f = {.k = ft_kernels_active(), .reader = weight.reader, .w = w, .x = x, .bias = bias, .updates = updates,
             .y = y, .room = room_of(scratch), .T = T, .in = in, .out = out};
    if (T <= FT_FEW_ROWS && (w->dtype == &ft_f32 || in <= (int64_t)ft_engine__room())) {
        ft_parallel((out + FEW_TILE - 1) / FEW_TILE, few_tile, &f);
        return;
    }
    if (bias)
        ft_parallel((T + ROUND - 1) / ROUND, bias_tile, &f);
    ft_product p = {.c = y, .ldc = out, .m = T, .n = out, .scale = 1, .add = bias};
    p.pair[0] = (ft_pair){.a = {.f = x, .ld = in, .k_inner = true}, .b = weight, .K = in};
    put_updates(&p, updates, true);
    multiply_whole(e, &p, 1, scratch);
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

/* c's row = or += the parts' rows, in order. */
static void add_parts(void *ctx, int64_t row)
{
    const job *j = ctx;
    int64_t rows = j->whole.m, cols = j->whole.n;
    float *to = j->whole.c + row * cols;
    for (int64_t p = 0; p < j->n_parts; p++) {
        const float *part = j->parts + (p * rows + row) * cols;
        if (p || j->whole.add)
            j->k->axpy(to, 1, part, cols);
        else
            memcpy(to, part, (size_t)cols * sizeof *to);
    }
}

/* Tile i % tiles of part i / tiles: a stretch of the first pair's sum, and with the last one all of the others. */
static void part_tile(void *ctx, int64_t i)
{
    const job *j = ctx;
    int64_t tiles = tiles_of(&j->tiles), part = i / tiles, K = j->whole.pair[0].K;
    int64_t from = K * part / j->n_parts;
    tile t = tile_at(&j->tiles, i % tiles);
    ft_product p = j->whole;
    p.c = j->parts + part * p.m * p.n;
    p.add = false;
    p.pair[0].K = K * (part + 1) / j->n_parts - from;
    p.pair[0].a.k += from;
    p.pair[0].b.k += from;
    for (int more = 1; more < FT_PAIRS && part < j->n_parts - 1; more++)
        p.pair[more].K = 0;
    p = ft_engine__cut(&p, t.r, t.rows, t.c, t.cols);
    multiply(j, &p);
}

/* As multiply_whole, but a long sum with a small result in parts. */
static void sum_up(const ft_engine *e, const ft_product *p, int64_t block_len, float *scratch, float *parts)
{
    int64_t n_parts = count_parts(p->m, p->n, p->pair[0].K);
    if (n_parts == 1) {
        multiply_whole(e, p, block_len, scratch);
        return;
    }
    job j = job_of(e, p, block_len, scratch);
    j.n_parts = n_parts;
    j.parts = parts;
    resize_tiles(&j.tiles, TILE, TILE);
    ft_parallel(n_parts * tiles_of(&j.tiles), part_tile, &j);
    ft_parallel(p->m, add_parts, &j);
}

/* ---- dx = dy w ---- */

void ft_linear_grad_x(const ft_engine *e, float *dx, const float *dy, int64_t T, const ft_tensor *w,
                      const ft_update *updates, bool add, float *scratch, float *parts)
{
    int64_t in = ft_tensor_cols(w), out = ft_tensor_rows(w);
    ft_product p = {.c = dx, .ldc = in, .m = T, .n = in, .scale = 1, .add = add};
    p.pair[0] = (ft_pair){.a = {.f = dy, .ld = out, .k_inner = true}, .b = weight_of(w, false), .K = out};
    put_updates(&p, updates, false);
    sum_up(e, &p, w->dtype->block_len, scratch, parts);
}

/* ---- dw += dy^T x ---- */

void ft_linear_grad_w(const ft_engine *e, float *dw, const float *dy, const float *x, int64_t T, int64_t out,
                      int64_t in, float *scratch, float *parts)
{
    ft_product p = {.c = dw, .ldc = in, .m = out, .n = in, .scale = 1, .add = true};
    p.pair[0] = (ft_pair){.a = {.f = dy, .ld = out}, .b = {.f = x, .ld = in}, .K = T};
    sum_up(e, &p, 1, scratch, parts);
}

/* ---- dbias += column sums ---- */

typedef struct bias_job {
    const ft_kernels *k;
    float *dbias;
    const float *dy;
    int64_t T, out;
} bias_job;

static void grad_bias_tile(void *ctx, int64_t i)
{
    const bias_job *j = ctx;
    int64_t c = i * TILE, n = FT_MIN((int64_t)TILE, j->out - c);
    for (int64_t t = 0; t < j->T; t++)
        j->k->axpy(j->dbias + c, 1, j->dy + t * j->out + c, n);
}

void ft_linear_grad_bias(float *dbias, const float *dy, int64_t T, int64_t out)
{
    bias_job j = {.k = ft_kernels_active(), .dbias = dbias, .dy = dy, .T = T, .out = out};
    ft_parallel((out + TILE - 1) / TILE, grad_bias_tile, &j);
}
