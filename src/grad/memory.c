/* Memory of a step: arenas that settle into one chunk, and the pool of gradients and temporaries. */
#include "grad/tape.h"

enum { FIRST_CHUNK = 1 << 24, CHUNK_UNIT = 1 << 21 };

ft_status ft_grad__arena_new(ft_step_arena *out)
{
    out->chunk_bytes = FIRST_CHUNK;
    out->arena = ft_arena_new(out->chunk_bytes, 0);
    return out->arena ? FT_OK : FT_ENOMEM;
}

ft_status ft_grad__arena_begin(ft_step_arena *a)
{
    size_t held = a->arena ? ft_arena_held(a->arena) : 0;
    if (a->arena && held <= a->chunk_bytes) {
        ft_arena_reset(a->arena);
        return FT_OK;
    }
    size_t peak = a->arena ? ft_arena_peak(a->arena) : 0, bytes;
    if (!ft_add(peak, peak / 8, &bytes) || !ft_add(bytes, CHUNK_UNIT, &bytes))
        return ft_fail(FT_ENOMEM, "a step of %zu bytes", peak);
    ft_arena_free(a->arena);
    a->chunk_bytes = FT_MAX(bytes / CHUNK_UNIT * CHUNK_UNIT, a->chunk_bytes);
    a->arena = ft_arena_new(a->chunk_bytes, 0);
    return a->arena ? FT_OK : FT_ENOMEM;
}

/* The smallest free block that is not more than twice too large. */
static ft_pool_block *find_free(ft_pool *p, size_t floats)
{
    ft_pool_block *best = NULL;
    for (size_t i = 0; i < p->n; i++) {
        ft_pool_block *b = &p->blocks[i];
        if (!b->lent && b->floats >= floats && b->floats / 2 <= floats && (!best || b->floats < best->floats))
            best = b;
    }
    return best;
}

static ft_pool_block *add_block(ft_pool *p, size_t floats)
{
    if (p->n == p->cap) {
        size_t cap = FT_MAX(p->cap * 2, (size_t)64);
        ft_pool_block *more = ft_resize(p->blocks, cap, sizeof *more);
        if (!more)
            return NULL;
        p->blocks = more;
        p->cap = cap;
    }
    ft_pool_block *b = &p->blocks[p->n];
    b->floats = floats;
    b->p = ft_arena_alloc(p->memory.arena, floats, sizeof(float));
    if (!b->p)
        return NULL;
    p->n++;
    return b;
}

float *ft_grad__lend(ft_tape *t, size_t floats)
{
    ft_pool_block *b = find_free(&t->pool, floats);
    if (!b && !(b = add_block(&t->pool, floats))) {
        if (t->status == FT_OK)
            t->status = FT_ENOMEM;
        return NULL;
    }
    b->lent = true;
    return b->p;
}

void ft_grad__give_back(ft_tape *t, float *p)
{
    for (size_t i = 0; p && i < t->pool.n; i++)
        if (t->pool.blocks[i].p == p) {
            t->pool.blocks[i].lent = false;
            return;
        }
}
