/* Choosing an engine, and products of one thread: blocks of the operands are packed (kernel/pack.c) into the thread's
 * room, and the engine's micro tile does the rest. BLAS takes f32 where it lies and packs by itself; a stored weight is
 * decoded for it.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "base/threads.h"
#include "kernel/engine.h"

#include <cblas.h>

enum { PANEL = FT_ALL_UNITS * FT_PANEL_COLS, GROUP = FT_GROUP * (FT_STRIPE * FT_ROW_UNITS + FT_SLACK) };

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
    return PANEL + GROUP + ft_engine__decoded();
}

ft_product ft_engine__cut(const ft_product *p, int64_t r, int64_t m, int64_t j, int64_t n)
{
    ft_product cut = *p;
    cut.c += r * p->ldc + j;
    cut.m = m;
    cut.n = n;
    for (int i = 0; i < FT_PAIRS; i++) {
        cut.pair[i].a.i += r;
        cut.pair[i].b.i += j;
    }
    return cut;
}

/* Of f32 the whole sum in one call, of a stored weight a panel. */
static void add_by_blas(const ft_product *p, const ft_pair *pair, bool add, float *room)
{
    const ft_operand *a = &pair->a, *b = &pair->b;
    int64_t depth = b->w && b->w->dtype != &ft_f32 ? FT_UNITS : pair->K, ld;
    for (int64_t k = 0; k < pair->K; k += depth) {
        int64_t some = FT_MIN(depth, pair->K - k), at = b->k + k;
        const float *piece = b->k_inner ? ft_engine__floats(b, b->i, p->n, at, some, room, &ld)
                                        : ft_engine__floats(b, at, some, b->i, p->n, room, &ld);
        const float *rows = a->f + (a->k_inner ? a->i * a->ld + a->k + k : (a->k + k) * a->ld + a->i);
        cblas_sgemm(CblasRowMajor, a->k_inner ? CblasNoTrans : CblasTrans, b->k_inner ? CblasTrans : CblasNoTrans,
                    (blasint)p->m, (blasint)p->n, (blasint)some, p->scale, rows, (blasint)a->ld, piece, (blasint)ld,
                    add || k ? 1 : 0, p->c, (blasint)p->ldc);
    }
}

void ft_engine__multiply_packed(const ft_engine *e, const ft_product *p, const ft_block *block, int64_t first,
                                int64_t n_stripes, const uint32_t *stripes, int64_t j, int64_t n,
                                const uint32_t *panel)
{
    ft_micro tile = {.ldc = p->ldc,
                     .units = block->units,
                     .scale = p->scale,
                     .layout = p->pair[0].a.k_inner ? FT_BY_ROW : FT_BY_UNIT,
                     .add = p->add || block->more};
    for (int64_t s = 0; s < n_stripes; s++) {
        int64_t r = ft_engine__border(e, p->m, first + s);
        tile.rows = ft_engine__border(e, p->m, first + s + 1) - r;
        tile.stripe = stripes + s * ft_engine__stripe(e);
        for (int64_t c = j; c < j + n; c += e->cols) {
            tile.c = p->c + r * p->ldc + c;
            tile.cols = FT_MIN(e->cols, j + n - c);
            tile.strip = panel + c * block->units;
            e->micro(&tile);
        }
    }
}

void ft_engine__multiply(const ft_engine *e, const ft_product *p, float *room)
{
    for (int i = 0; !e->micro && i < FT_PAIRS; i++)
        add_by_blas(p, &p->pair[i], p->add || i, room);
    if (!e->micro)
        return;
    uint32_t *panel = (uint32_t *)room, *group = panel + PANEL;
    float *decoded = (float *)(group + GROUP);
    int64_t stripes = ft_engine__stripes(e, p->m);
    ft_block block = {0};
    while (ft_engine__next_block(e, p, &block)) {
        int64_t parts = ft_engine__panel_parts(e, p, &block);
        for (int64_t i = 0; i < parts; i++)
            ft_engine__pack_part(e, p, &block, i, panel, decoded);
        for (int64_t s = 0; s < stripes; s += FT_GROUP) {
            int64_t n = FT_MIN((int64_t)FT_GROUP, stripes - s);
            ft_engine__pack_stripes(e, p, &block, s, n, group);
            ft_engine__multiply_packed(e, p, &block, s, n, group, 0, p->n, panel);
        }
    }
}

void ft_gemm(const ft_engine *e, bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
             int64_t lda, const float *b, int64_t ldb, bool add, float *c, int64_t ldc, float *scratch)
{
    ft_product p = {.c = c, .ldc = ldc, .m = m, .n = n, .scale = alpha, .add = add};
    p.pair[0].a = (ft_operand){.f = a, .ld = lda, .k_inner = !ta};
    p.pair[0].b = (ft_operand){.f = b, .ld = ldb, .k_inner = tb};
    p.pair[0].K = k;
    float *room = scratch + ft_engine__shared() + (size_t)ft_thread_id() * ft_engine__room();
    for (int64_t j = 0; j < n; j += FT_PANEL_COLS) {
        ft_product part = ft_engine__cut(&p, 0, m, j, FT_MIN((int64_t)FT_PANEL_COLS, n - j));
        ft_engine__multiply(e, &part, room);
    }
}

const ft_engine ft_engine_blas = {.name = "openblas", .compute = FT_COMPUTE_F32, .path = &ft_kernels_ref};
