/* Packing: operands, block by block of K, into the layout that an engine's micro tile reads (kernel/engine.h). What is
 * stored in another dtype is decoded on the way, a few rows at a time.
 *
 *   units of a block:   | pair 0: up to FT_UNITS | the updates' pairs, behind its last block: up to FT_MORE_UNITS |
 *
 * So a product of low rank that is added to a large one costs no walk over the result of its own.
 */
#include "kernel/engine.h"

enum {
    SLAB = 32,  /* rows that are decoded and packed at once, where K runs down */
    CHUNK = 256 /* and columns of them: a multiple of every dtype's block and of a strip */
};
_Static_assert(CHUNK % FT_STRIP == 0, "a chunk is whole strips");

size_t ft_engine__decoded(void)
{
    size_t down = SLAB * CHUNK, along = 2 * FT_UNITS * FT_STRIP; /* 2: bf16 in a unit */
    return FT_MAX(down, along);
}

const float *ft_engine__floats(const ft_operand *o, int64_t r, int64_t rows, int64_t c, int64_t cols, float *room,
                               int64_t *ld)
{
    *ld = o->ld;
    if (!o->w)
        return o->f + r * o->ld + c;
    const ft_dtype *dtype = o->w->dtype;
    if (dtype == &ft_f32)
        return (const float *)o->w->data + r * o->ld + c;
    size_t skip = (size_t)(c / dtype->block_len) * dtype->block_bytes;
    for (int64_t i = 0; i < rows; i++)
        o->reader.decode((const char *)ft_tensor_row(o->w, r + i) + skip, cols, room + i * cols);
    *ld = cols;
    return room;
}

/* ---- blocks ---- */

bool ft_engine__next_block(const ft_engine *e, const ft_product *p, ft_block *block)
{
    block->more = block->units > 0;
    block->units = 0;
    for (int i = 0; i < FT_PAIRS; i++) {
        block->k[i] += block->K[i];
        block->K[i] = 0;
    }
    for (int i = 0; i < FT_PAIRS; i++) {
        int64_t most = (i ? FT_ALL_UNITS : FT_UNITS) - block->units, left = p->pair[i].K - block->k[i];
        block->at[i] = block->units;
        block->K[i] = FT_MIN(left, most * e->pair);
        block->units += (block->K[i] + e->pair - 1) / e->pair;
        if (block->K[i] < left)
            break;
    }
    return block->units > 0;
}

/* ---- stripes ---- */

int64_t ft_engine__stripes(const ft_engine *e, int64_t m)
{
    return (m + e->rows - 1) / e->rows;
}

int64_t ft_engine__border(const ft_engine *e, int64_t m, int64_t s)
{
    return m * s / ft_engine__stripes(e, m);
}

int64_t ft_engine__stripe(const ft_engine *e)
{
    return e->rows * FT_ROW_UNITS + FT_SLACK;
}

/* K elements from k on of the rows between the borders r[0] .. r[n] of a, at unit `at`. Where K runs down, all stripes
 * are made in one pass, so that every line of the source is read once. */
static void pack_rows(const ft_engine *e, uint32_t *to, int64_t at, const ft_operand *a, const int64_t *r, int64_t n,
                      int64_t k, int64_t K)
{
    int64_t stripe = ft_engine__stripe(e);
    if (a->k_inner) {
        for (int64_t s = 0; s < n; s++)
            e->pack_rows(to + s * stripe + at, a->f + (a->i + r[s]) * a->ld + a->k + k, a->ld, r[s + 1] - r[s], K);
        return;
    }
    for (int64_t d = 0; d < K; d += SLAB) {
        const float *f = a->f + (a->k + k + d) * a->ld + a->i;
        for (int64_t s = 0; s < n; s++)
            e->pack_straight(to + s * stripe + (at + d / e->pair) * e->rows, e->rows, f + r[s], a->ld, r[s + 1] - r[s],
                             FT_MIN((int64_t)SLAB, K - d));
    }
}

/* Pairs in order: what packing writes behind the end of one is where the next one begins. */
void ft_engine__pack_stripes(const ft_engine *e, const ft_product *p, const ft_block *block, int64_t first, int64_t n,
                             uint32_t *to)
{
    int64_t r[FT_GROUP + 1];
    for (int64_t s = 0; s <= n; s++)
        r[s] = ft_engine__border(e, p->m, first + s);
    for (int i = 0; i < FT_PAIRS; i++)
        if (block->K[i])
            pack_rows(e, to, block->at[i], &p->pair[i].a, r, n, block->k[i], block->K[i]);
}

/* ---- strips ---- */

static int64_t slabs_of(int64_t K)
{
    return (K + SLAB - 1) / SLAB;
}

/* One strip where K runs along the source, a chunk of a slab where it runs down. */
int64_t ft_engine__panel_parts(const ft_engine *e, const ft_product *p, const ft_block *block)
{
    int64_t slabs = 0;
    if (p->pair[0].b.k_inner)
        return (p->n + e->cols - 1) / e->cols;
    for (int i = 0; i < FT_PAIRS; i++)
        slabs += slabs_of(block->K[i]);
    return slabs * ((p->n + CHUNK - 1) / CHUNK);
}

static void pack_strip(const ft_engine *e, const ft_product *p, const ft_block *block, int64_t j, uint32_t *strip,
                       float *room)
{
    int64_t width = FT_MIN(e->cols, p->n - j), ld;
    for (int i = 0; i < FT_PAIRS; i++) {
        const ft_operand *b = &p->pair[i].b;
        if (!block->K[i])
            continue;
        const float *f = ft_engine__floats(b, b->i + j, width, b->k + block->k[i], block->K[i], room, &ld);
        e->pack_turned(strip + block->at[i] * e->cols, e->cols, f, ld, width, block->K[i]);
    }
}

/* n columns from j on, slab number s of all pairs'. */
static void pack_slab(const ft_engine *e, const ft_product *p, const ft_block *block, int64_t s, int64_t j, int64_t n,
                      uint32_t *panel, float *room)
{
    int i = 0;
    for (; s >= slabs_of(block->K[i]); i++)
        s -= slabs_of(block->K[i]);
    const ft_operand *b = &p->pair[i].b;
    int64_t k = s * SLAB, some = FT_MIN((int64_t)SLAB, block->K[i] - k), unit = block->at[i] + k / e->pair, ld;
    const float *f = ft_engine__floats(b, b->k + block->k[i] + k, some, b->i + j, n, room, &ld);
    for (int64_t c = 0; c < n; c += e->cols)
        e->pack_straight(panel + (j + c) * block->units + unit * e->cols, e->cols, f + c, ld, FT_MIN(e->cols, n - c),
                         some);
}

void ft_engine__pack_part(const ft_engine *e, const ft_product *p, const ft_block *block, int64_t part, uint32_t *panel,
                          float *room)
{
    if (p->pair[0].b.k_inner) {
        int64_t j = part * e->cols;
        pack_strip(e, p, block, j, panel + j * block->units, room);
        return;
    }
    int64_t chunks = (p->n + CHUNK - 1) / CHUNK, j = part % chunks * CHUNK;
    pack_slab(e, p, block, part / chunks, j, FT_MIN((int64_t)CHUNK, p->n - j), panel, room);
}
