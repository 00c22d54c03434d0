/* A whole product on the team: a panel of b is packed once, by all threads together, and every thread multiplies from
 * there.
 *
 *            columns                     For each span of columns, and each block of K:
 *         +-----+-----+-----+              1. parts of the panel are packed, by whoever comes
 *    rows | tile|     |     |              2. tiles are multiplied, likewise: a group of stripes is packed into the
 *         +-----+-----+-----+                 thread's own room, where it stays in the core's cache, and meets as many
 *         | ...             |                 columns of the panel as stay there too
 *         +-----+-----+-----+
 *
 * An element of the result is one sum in the order of K whatever the spans and tiles are, so neither they nor the
 * threads have any influence on it.
 */
#include "base/threads.h"
#include "kernel/engine.h"

enum {
    SPAN = 2048,
    UNIT = 256, /* columns of a span are a multiple of it, and so of every dtype's block */
    WISHED_TILES = 64,
    LOW_COLS = 256 /* of a tile, below which it is not cut for want of tiles */
};

typedef struct together {
    const ft_engine *e;
    ft_product p; /* the span */
    ft_block block;
    int64_t tile_stripes, tile_cols;
    uint32_t *panel; /* shared */
    float *room;     /* of each thread */
} together;

size_t ft_engine__shared(void)
{
    return (size_t)FT_ALL_UNITS * SPAN;
}

static float *own_room(const together *t)
{
    return t->room + (size_t)ft_thread_id() * ft_engine__room();
}

static int64_t tiles_down(const together *t)
{
    return (ft_engine__stripes(t->e, t->p.m) + t->tile_stripes - 1) / t->tile_stripes;
}

static int64_t tiles_across(const together *t)
{
    return (t->p.n + t->tile_cols - 1) / t->tile_cols;
}

static void plan_tiles(together *t)
{
    t->tile_stripes = FT_GROUP;
    t->tile_cols = ft_engine__even_part(t->p.n, FT_PANEL_COLS, t->e->cols);
    while (tiles_down(t) * tiles_across(t) < WISHED_TILES && t->tile_stripes > 1)
        t->tile_stripes /= 2;
    while (tiles_down(t) * tiles_across(t) < WISHED_TILES && t->tile_cols > LOW_COLS)
        t->tile_cols = ft_engine__even_part(t->p.n, FT_MAX(t->tile_cols / 2, (int64_t)LOW_COLS), t->e->cols);
}

static void pack(void *ctx, int64_t i)
{
    const together *t = ctx;
    ft_engine__pack_part(t->e, &t->p, &t->block, i, t->panel, own_room(t));
}

/* Tiles of the same columns follow each other. */
static void multiply(void *ctx, int64_t i)
{
    const together *t = ctx;
    int64_t down = tiles_down(t), first = i % down * t->tile_stripes, j = i / down * t->tile_cols;
    int64_t n = FT_MIN(t->tile_stripes, ft_engine__stripes(t->e, t->p.m) - first);
    uint32_t *stripes = (uint32_t *)own_room(t);
    ft_engine__pack_stripes(t->e, &t->p, &t->block, first, n, stripes);
    ft_engine__multiply_packed(t->e, &t->p, &t->block, first, n, stripes, j, FT_MIN(t->tile_cols, t->p.n - j), t->panel);
}

void ft_engine__multiply_together(const ft_engine *e, const ft_product *p, float *shared, float *room)
{
    together t = {.e = e, .panel = (uint32_t *)shared, .room = room};
    int64_t cols = ft_engine__even_part(p->n, SPAN, UNIT);
    for (int64_t j = 0; j < p->n; j += cols) {
        t.p = ft_engine__cut(p, 0, p->m, j, FT_MIN(cols, p->n - j));
        t.block = (ft_block){0};
        plan_tiles(&t);
        while (ft_engine__next_block(e, &t.p, &t.block)) {
            ft_parallel(ft_engine__panel_parts(e, &t.p, &t.block), pack, &t);
            ft_parallel(tiles_down(&t) * tiles_across(&t), multiply, &t);
        }
    }
}
