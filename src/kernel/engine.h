/* Inside the kernel room: what multiplies. An engine is a row of kernel/engines.def: the compute dtype, the CPU that it
 * needs, and either BLAS (micro NULL) or functions of its own that pack operands and multiply a small tile.
 *
 *   c [m, n] (+)= a [m, K] b [K, n], K in blocks of at most FT_UNITS units:
 *
 *                 +------- panel: b in strips of `cols` columns, unit after unit; stays in L2 -------+
 *                 |  u0: col 0 .. cols-1 | u1: ...        | next strip                               |
 *                 +----------------------------------------------------------------------------------+
 *     stripe: `rows` rows of a, in L1     -> micro: a tile [rows, cols] of c in registers, over all units of the block
 *
 * A unit is 4 bytes: one f32, or a pair of bf16 that are neighbours along K. So the layouts are the same for all
 * compute dtypes. A stripe has one of two layouts: FT_BY_ROW, unit p of row i at [i * FT_ROW_UNITS + p] (K is
 * contiguous in the source), or FT_BY_UNIT, at [p * rows + i] (K is not).
 *
 * Edges: a strip is filled up with zeros to `cols`; rows that a stripe lacks are never read; an odd K gets a zero.
 */
#ifndef FETTLE_KERNEL_ENGINE_H
#define FETTLE_KERNEL_ENGINE_H

#include "kernel/kernel.h"

enum {
    FT_UNITS = 256,                     /* of a block: 256 f32 or 512 bf16, a multiple of every dtype's block */
    FT_MORE_UNITS = 64,                 /* of an update, on top of the last block */
    FT_ALL_UNITS = FT_UNITS + FT_MORE_UNITS,
    FT_ROW_UNITS = FT_ALL_UNITS + 16,   /* so that rows of a stripe do not fall into the same sets of a cache */
    FT_STRIPE = 16,                     /* rows of a stripe at most */
    FT_STRIP = 64,                      /* columns of a strip at most */
    FT_SLACK = 16                       /* units behind a stripe that packing may write to */
};

typedef enum ft_layout { FT_BY_ROW, FT_BY_UNIT } ft_layout;

/* One tile: c [rows, cols] = or += scale x stripe [rows] x strip, over `units` units. rows and cols are at most the
 * engine's. */
typedef struct ft_micro {
    float *c;
    int64_t ldc, rows, cols, units;
    float scale;
    const uint32_t *stripe, *strip;
    ft_layout layout;
    bool add;
} ft_micro;

extern const ft_kernels ft_kernels_ref, ft_kernels_avx2, ft_kernels_avx512; /* those that were built */

struct ft_engine {
    const char *name;
    ft_compute compute;
    const ft_kernels *path; /* the first CPU path that it serves */
    bool (*usable)(void);   /* on this CPU; NULL: wherever that path is */
    /* 0 and NULL from here on: BLAS */
    int64_t rows, cols; /* of a tile */
    int64_t pair;       /* elements of a unit */
    /* to: FT_BY_ROW from a [rows, K] */
    void (*pack_rows)(uint32_t *to, const float *a, int64_t ld, int64_t rows, int64_t K);
    /* to: unit p of vector i at [p * width + i], from vectors i < n of a: element (i, k) lies at a[i * ld + k] for
     * pack_turned, at a[k * ld + i] for pack_straight. Vectors n .. width - 1 become zero, those past width undefined.
     */
    void (*pack_turned)(uint32_t *to, int64_t width, const float *a, int64_t ld, int64_t n, int64_t K);
    void (*pack_straight)(uint32_t *to, int64_t width, const float *a, int64_t ld, int64_t n, int64_t K);
    void (*micro)(const ft_micro *m);
};

/* An operand of a product, vectors of K elements: the rows of a, the columns of b. */
typedef struct ft_operand {
    const float *f;     /* f32 in memory ... */
    const ft_tensor *w; /* ... or NULL, and then a stored weight, read by */
    ft_reader reader;
    int64_t ld;   /* from row to row of what is stored */
    bool k_inner; /* element k of vector i: row i, column k of what is stored; else row k, column i */
    int64_t i, k; /* the first vector and the first element that take part */
} ft_operand;

/* Two operands and how many elements of each vector are multiplied. b may be a stored weight, a may not. */
typedef struct ft_pair {
    ft_operand a, b;
    int64_t K;
} ft_pair;

enum { FT_PAIRS = 1 + FT_UPDATES, FT_PANEL_COLS = 512 };
/* c [m, n] = or += scale (the sum of a b over all pairs). Pairs behind the first one may be missing (K 0), and their
 * operands are f32 and stored in the order of the first one's: with them K only goes on. */
typedef struct ft_product {
    float *c;
    int64_t ldc, m, n;
    float scale;
    bool add;
    ft_pair pair[FT_PAIRS];
} ft_product;
/* n in equal parts of at most `most`, each a multiple of `unit` but the last. */
static inline int64_t ft_engine__even_part(int64_t n, int64_t most, int64_t unit)
{
    int64_t parts = (n + most - 1) / most, part = (n + parts - 1) / parts;
    return FT_MIN(n, (part + unit - 1) / unit * unit);
}
/* The product of rows r .. r + m - 1 of p's a and columns j .. j + n - 1 of its b. */
ft_product ft_engine__cut(const ft_product *p, int64_t r, int64_t m, int64_t j, int64_t n);

/* ---- pack.c: operands into an engine's layout, block by block of K ---- */

/* A stretch of K: of each pair K[i] elements from k[i] on, which begin at unit at[i] of the block. */
typedef struct ft_block {
    int64_t k[FT_PAIRS], K[FT_PAIRS], at[FT_PAIRS];
    int64_t units;
    bool more; /* not the first block: it adds to c */
} ft_block;
/* The first block (from {0}), then the next one; false: there is none left. */
bool ft_engine__next_block(const ft_engine *e, const ft_product *p, ft_block *block);

/* Stripes first .. first + n - 1 of a, each ft_engine__stripe units, n at most FT_GROUP. Row ft_engine__border(e, m, s)
 * is the first of stripe s of m rows. */
enum { FT_GROUP = 8 };
int64_t ft_engine__stripes(const ft_engine *e, int64_t m);
int64_t ft_engine__border(const ft_engine *e, int64_t m, int64_t s);
int64_t ft_engine__stripe(const ft_engine *e);
void ft_engine__pack_stripes(const ft_engine *e, const ft_product *p, const ft_block *block, int64_t first, int64_t n,
                             uint32_t *to);
/* Strips of all columns of b: column j, a multiple of e->cols, at panel + j * block->units. It is made in parts, in any
 * order; room: ft_engine__decoded() floats. */
int64_t ft_engine__panel_parts(const ft_engine *e, const ft_product *p, const ft_block *block);
void ft_engine__pack_part(const ft_engine *e, const ft_product *p, const ft_block *block, int64_t part, uint32_t *panel,
                          float *room);
size_t ft_engine__decoded(void);
/* [rows, cols] of what is stored from row r and column c on, as f32: where it lies, or decoded into the room. */
const float *ft_engine__floats(const ft_operand *o, int64_t r, int64_t rows, int64_t c, int64_t cols, float *room,
                               int64_t *ld);

/* ---- product.c ---- */

/* Floats that one product works in. */
size_t ft_engine__room(void);
/* On the calling thread; n is at most FT_PANEL_COLS. */
void ft_engine__multiply(const ft_engine *e, const ft_product *p, float *room);
/* Columns j .. j + n - 1 of the stripes first .. first + n_stripes - 1, which are packed at `stripes`, times the panel. */
void ft_engine__multiply_packed(const ft_engine *e, const ft_product *p, const ft_block *block, int64_t first,
                                int64_t n_stripes, const uint32_t *stripes, int64_t j, int64_t n,
                                const uint32_t *panel);

/* ---- together.c ---- */

/* A whole product by an engine with a micro tile, spread over the team: shared is ft_engine__shared() floats, and room
 * ft_engine__room() floats for each thread. */
size_t ft_engine__shared(void);
void ft_engine__multiply_together(const ft_engine *e, const ft_product *p, float *shared, float *room);

#endif
