/* Choosing an engine, and products: operands are brought into an engine's layout block by block (kernel/engine.h), and
 * its micro tile does the rest. BLAS takes f32 where it lies and packs by itself; a stored weight is decoded for it.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "base/threads.h"
#include "kernel/engine.h"

#include <cblas.h>

enum {
    PANEL = FT_UNITS * FT_PANEL_COLS,
    STRIPE = FT_STRIPE * FT_ROW_UNITS + FT_SLACK,
    GROUP = 8, /* stripes that are packed together */
    SLAB = 32, /* rows that are decoded and packed at once, where K runs down */
    DECODED = 2 * FT_UNITS * FT_STRIP
};
_Static_assert(DECODED >= SLAB * FT_PANEL_COLS, "a slab fits the room for decoded rows");

/* ---- the table ---- */

#define FT_ENGINE(name) extern const ft_engine ft_engine_##name;
#include "kernel/engines.def"
#undef FT_ENGINE
#define FT_ENGINE(name) &ft_engine_##name,
const ft_engine *const ft_engines[] = {
#include "kernel/engines.def"
    NULL};
#undef FT_ENGINE

bool ft_engine_usable(const ft_engine *e)
{
    const ft_kernels *active = ft_kernels_active();
    bool reached = false;
    for (size_t i = 0; ft_kernel_paths[i] && (i == 0 || ft_kernel_paths[i - 1] != active); i++)
        reached |= ft_kernel_paths[i] == e->path;
    return reached && (!e->usable || e->usable());
}

const ft_engine *ft_engine_of(ft_compute compute)
{
    const ft_engine *best = NULL;
    for (size_t i = 0; ft_engines[i]; i++)
        if (ft_engines[i]->compute == compute && ft_engine_usable(ft_engines[i]))
            best = ft_engines[i];
    return best ? best : ft_engine_of(FT_COMPUTE_F32);
}

const char *ft_engine_name(const ft_engine *e)
{
    return e->name;
}

ft_compute ft_engine_compute(const ft_engine *e)
{
    return e->compute;
}

const char *ft_blas_core(void)
{
    return openblas_get_corename();
}

/* ---- products ---- */

size_t ft_engine__room(void)
{
    return PANEL + GROUP * STRIPE + DECODED;
}

/* [rows, cols] of what is stored from row r and column c on, as f32: where it lies, or decoded into the room. */
static const float *floats_of(const ft_operand *o, int64_t r, int64_t rows, int64_t c, int64_t cols, float *room,
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

static void pack_panel(const ft_engine *e, uint32_t *panel, const ft_operand *b, int64_t n, int64_t k, int64_t K,
                       float *room)
{
    int64_t units = (K + e->pair - 1) / e->pair, ld;
    if (b->k_inner) {
        for (int64_t j = 0; j < n; j += e->cols) {
            int64_t width = FT_MIN(e->cols, n - j);
            const float *f = floats_of(b, b->i + j, width, b->k + k, K, room, &ld);
            e->pack_turned(panel + j * units, e->cols, f, ld, width, K);
        }
        return;
    }
    for (int64_t s = 0; s < K; s += SLAB) {
        int64_t some = FT_MIN((int64_t)SLAB, K - s);
        const float *f = floats_of(b, b->k + k + s, some, b->i, n, room, &ld);
        for (int64_t j = 0; j < n; j += e->cols)
            e->pack_straight(panel + j * units + s / e->pair * e->cols, e->cols, f + j, ld, FT_MIN(e->cols, n - j),
                             some);
    }
}

/* Where K runs down, all stripes of a group are made in one pass, so that every line of the source is read once. */
static void pack_group(const ft_engine *e, uint32_t *group, const ft_operand *a, const int64_t *r, int64_t n, int64_t k,
                       int64_t K)
{
    if (a->k_inner) {
        for (int64_t s = 0; s < n; s++)
            e->pack_rows(group + s * STRIPE, a->f + (a->i + r[s]) * a->ld + a->k + k, a->ld, r[s + 1] - r[s], K);
        return;
    }
    for (int64_t d = 0; d < K; d += SLAB) {
        const float *f = a->f + (a->k + k + d) * a->ld + a->i;
        for (int64_t s = 0; s < n; s++)
            e->pack_straight(group + s * STRIPE + d / e->pair * e->rows, e->rows, f + r[s], a->ld, r[s + 1] - r[s],
                             FT_MIN((int64_t)SLAB, K - d));
    }
}

/* Of f32 the whole sum in one call, of a stored weight a panel. */
static void multiply_by_blas(const ft_product *p, float *room)
{
    const ft_operand *a = &p->a, *b = &p->b;
    int64_t depth = b->w && b->w->dtype != &ft_f32 ? FT_UNITS : p->K, ld;
    for (int64_t k = 0; k < p->K; k += depth) {
        int64_t some = FT_MIN(depth, p->K - k), at = b->k + k;
        const float *piece =
            b->k_inner ? floats_of(b, b->i, p->n, at, some, room, &ld) : floats_of(b, at, some, b->i, p->n, room, &ld);
        const float *rows = a->f + (a->k_inner ? a->i * a->ld + a->k + k : (a->k + k) * a->ld + a->i);
        cblas_sgemm(CblasRowMajor, a->k_inner ? CblasNoTrans : CblasTrans, b->k_inner ? CblasTrans : CblasNoTrans,
                    (blasint)p->m, (blasint)p->n, (blasint)some, p->scale, rows, (blasint)a->ld, piece, (blasint)ld,
                    p->add || k ? 1 : 0, p->c, (blasint)p->ldc);
    }
}

/* One group of stripes, between rows r[0] .. r[n] of c, times the panel. */
static void multiply_group(const ft_engine *e, ft_micro tile, const int64_t *r, int64_t n, int64_t cols,
                           const uint32_t *group, const uint32_t *panel)
{
    float *c = tile.c;
    for (int64_t s = 0; s < n; s++) {
        tile.rows = r[s + 1] - r[s];
        tile.stripe = group + s * STRIPE;
        for (int64_t j = 0; j < cols; j += e->cols) {
            tile.c = c + r[s] * tile.ldc + j;
            tile.cols = FT_MIN(e->cols, cols - j);
            tile.strip = panel + j * tile.units;
            e->micro(&tile);
        }
    }
}

void ft_engine__multiply(const ft_engine *e, const ft_product *p, float *room)
{
    if (!e->micro) {
        multiply_by_blas(p, room);
        return;
    }
    uint32_t *panel = (uint32_t *)room, *group = panel + PANEL;
    float *decoded = (float *)(group + GROUP * STRIPE);
    int64_t depth = FT_UNITS * e->pair, stripes = (p->m + e->rows - 1) / e->rows, r[GROUP + 1];
    for (int64_t k = 0; k < p->K; k += depth) {
        int64_t some = FT_MIN(depth, p->K - k);
        ft_micro tile = {.c = p->c,
                         .ldc = p->ldc,
                         .units = (some + e->pair - 1) / e->pair,
                         .scale = p->scale,
                         .layout = p->a.k_inner ? FT_BY_ROW : FT_BY_UNIT,
                         .add = p->add || k};
        pack_panel(e, panel, &p->b, p->n, k, some, decoded);
        for (int64_t s = 0; s < stripes; s += GROUP) {
            int64_t count = FT_MIN((int64_t)GROUP, stripes - s);
            for (int64_t i = 0; i <= count; i++)
                r[i] = p->m * (s + i) / stripes;
            pack_group(e, group, &p->a, r, count, k, some);
            multiply_group(e, tile, r, count, p->n, group, panel);
        }
    }
}

void ft_gemm(const ft_engine *e, bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
             int64_t lda, const float *b, int64_t ldb, bool add, float *c, int64_t ldc, float *scratch)
{
    ft_product p = {.ldc = ldc, .m = m, .K = k, .scale = alpha, .add = add};
    p.a = (ft_operand){.f = a, .ld = lda, .k_inner = !ta};
    p.b = (ft_operand){.f = b, .ld = ldb, .k_inner = tb};
    for (int64_t j = 0; j < n; j += FT_PANEL_COLS) {
        p.c = c + j;
        p.n = FT_MIN((int64_t)FT_PANEL_COLS, n - j);
        p.b.i = j;
        ft_engine__multiply(e, &p, scratch + (size_t)ft_thread_id() * ft_engine__room());
    }
}

const ft_engine ft_engine_blas = {.name = "openblas", .compute = FT_COMPUTE_F32, .path = &ft_kernels_ref};
