/* Memory of a step: arenas that settle into one chunk, and the pool of gradients and temporaries, which hands out the
 * smallest block that is large enough, cut to size. */
#include "grad/tape.h"

#include <string.h>

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

/* ---- the pool: blocks in the order of their addresses, chunk by chunk; free neighbours are one block ---- */

enum { UNIT = 16 }; /* floats: blocks begin where an arena's memory may */

static ft_pool_block *smallest_free(ft_pool *p, size_t floats)
{
    ft_pool_block *best = NULL;
    for (size_t i = 0; i < p->n; i++) {
        ft_pool_block *b = &p->blocks[i];
        if (!b->lent && b->floats >= floats && (!best || b->floats < best->floats))
            best = b;
    }
    return best;
}

/* A place in the list before number `at`; NULL on failure. */
static ft_pool_block *insert(ft_pool *p, size_t at)
{
    if (p->n == p->cap) {
        size_t cap = FT_MAX(p->cap * 2, (size_t)64);
        ft_pool_block *more = ft_resize(p->blocks, cap, sizeof *more);
        if (!more)
            return NULL;
        p->blocks = more;
        p->cap = cap;
    }
    memmove(p->blocks + at + 1, p->blocks + at, (p->n - at) * sizeof *p->blocks);
    p->n++;
    return &p->blocks[at];
}

/* A free block at the end of the list; where the last one is free and memory goes on behind it, that one, grown. */
static ft_pool_block *add_block(ft_pool *p, size_t floats)
{
    ft_arena *a = p->memory.arena;
    ft_arena_mark mark = ft_arena_now(a);
    ft_pool_block *last = p->n ? &p->blocks[p->n - 1] : NULL;
    size_t has = last && !last->lent ? last->floats : 0;
    float *memory = ft_arena_alloc(a, floats - has, sizeof *memory);
    if (has && memory && memory != last->p + has) { /* a new chunk: all of it there */
        ft_arena_release(a, mark);
        has = 0;
        memory = ft_arena_alloc(a, floats, sizeof *memory);
    }
    if (memory && has) {
        last->floats = floats;
        return last;
    }
    ft_pool_block *b = memory ? insert(p, p->n) : NULL;
    if (b)
        *b = (ft_pool_block){.p = memory, .floats = floats};
    return b;
}

/* What block number i has beyond `floats` becomes a free one. Without room in the list it stays where it is. */
static void split(ft_pool *p, size_t i, size_t floats)
{
    ft_pool_block *rest = insert(p, i + 1);
    if (!rest)
        return;
    ft_pool_block *b = rest - 1;
    *rest = (ft_pool_block){.p = b->p + floats, .floats = b->floats - floats, .used = b->used};
    b->floats = floats;
}

/* Block number i and the next one become one where both are free and nothing lies between them. */
static void join(ft_pool *p, size_t i)
{
    ft_pool_block *a = &p->blocks[i], *b = a + 1;
    if (i + 1 >= p->n || a->lent || b->lent || a->p + a->floats != b->p)
        return;
    a->floats += b->floats;
    a->used |= b->used;
    p->n--;
    memmove(b, b + 1, (p->n - i - 1) * sizeof *b);
}

float *ft_grad__lend(ft_tape *t, size_t floats)
{
    ft_pool *p = &t->pool;
    floats = (FT_MAX(floats, (size_t)1) + UNIT - 1) / UNIT * UNIT;
    ft_pool_block *b = smallest_free(p, floats);
    if (!b && !(b = add_block(p, floats))) {
        if (t->status == FT_OK)
            t->status = FT_ENOMEM;
        return NULL;
    }
    size_t i = (size_t)(b - p->blocks);
    if (b->floats > floats)
        split(p, i, floats);
    p->blocks[i].lent = true;
    return p->blocks[i].p;
}

void ft_grad__give_back(ft_tape *t, float *memory)
{
    ft_pool *p = &t->pool;
    for (size_t i = 0; memory && i < p->n; i++)
        if (p->blocks[i].p == memory) {
            p->blocks[i].lent = false;
            p->blocks[i].used = true;
            join(p, i);
            if (i)
                join(p, i - 1);
            return;
        }
}
