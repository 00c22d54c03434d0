/* Merging (see merges.h).
 *
 * The pair table is open addressing with one 16-byte slot a pair at a load of at most one half: a look-up is one cache
 * line as a rule. The heap holds a pair as it was when it was pushed; when it comes up and one of its symbols has
 * changed meanwhile, it is dropped.
 */
#include "text/merges.h"

#include <stdlib.h>

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (((uint64_t)(uint32_t)left << 32) | (uint32_t)right) + 1;
}

static size_t slot_of(const ft_merges *m, uint64_t pair)
{
    uint64_t h = pair * 0x9e3779b97f4a7c15u;
    return (size_t)(h ^ (h >> 29)) & m->mask;
}

ft_status ft_merges__init(ft_merges *m, size_t n)
{
    size_t cap = 64;
    while (cap / 2 < n)
        cap *= 2;
    m->slots = ft_alloc(cap, sizeof *m->slots);
    m->mask = cap - 1;
    m->n = 0;
    return m->slots ? FT_OK : FT_ENOMEM;
}

void ft_merges__free(ft_merges *m)
{
    ft_free(m->slots);
    *m = (ft_merges){0};
}

void ft_merges__put(ft_merges *m, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    uint64_t pair = pair_of(left, right);
    size_t i = slot_of(m, pair);
    while (m->slots[i].pair && m->slots[i].pair != pair)
        i = (i + 1) & m->mask;
    if (m->slots[i].pair)
        return;
    m->slots[i] = (ft_merge){pair, rank, id};
    m->n++;
}

const ft_merge *ft_merges__find(const ft_merges *m, int32_t left, int32_t right)
{
    if (left < 0 || right < 0)
        return NULL;
    uint64_t pair = pair_of(left, right);
    size_t i = slot_of(m, pair);
    while (m->slots[i].pair != pair) {
        if (!m->slots[i].pair)
            return NULL;
        i = (i + 1) & m->mask;
    }
    return &m->slots[i];
}

static int by_rank(const void *pa, const void *pb)
{
    const ft_merge_row *a = pa, *b = pb;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->left != b->left)
        return a->left < b->left ? -1 : 1;
    return a->right < b->right ? -1 : a->right > b->right;
}

ft_merge_row *ft_merges__rows(const ft_merges *m)
{
    size_t n = 0;
    ft_merge_row *rows = ft_resize(NULL, m->n, sizeof *rows);
    for (size_t i = 0; rows && m->slots && i <= m->mask; i++) {
        const ft_merge *s = &m->slots[i];
        if (s->pair)
            rows[n++] =
                (ft_merge_row){(int32_t)((s->pair - 1) >> 32), (int32_t)(uint32_t)(s->pair - 1), s->id, s->rank};
    }
    if (rows && n)
        qsort(rows, n, sizeof *rows, by_rank);
    return rows;
}

/* ---- working memory ---- */

ft_status ft_work__reserve(ft_work *w, size_t symbols)
{
    size_t want;
    if (!ft_add(w->n, symbols, &want) || want > INT32_MAX)
        return ft_fail(FT_ENOMEM, "a word of over %d symbols", INT32_MAX);
    if (want <= w->cap)
        return FT_OK;
    size_t cap = FT_MAX(FT_MAX(want, w->cap * 2), (size_t)64);
    ft_symbol *sym = ft_resize(w->sym, cap, sizeof *sym);
    if (!sym)
        return FT_ENOMEM;
    w->sym = sym;
    w->cap = cap;
    return FT_OK;
}

void ft_work__push(ft_work *w, int32_t id, uint32_t at, uint32_t n)
{
    int32_t i = (int32_t)w->n++;
    w->sym[i] = (ft_symbol){.id = id, .prev = i - 1, .next = -1, .at = at, .n = n};
    if (i)
        w->sym[i - 1].next = i;
}

void ft_work__free(ft_work *w)
{
    ft_free(w->sym);
    ft_free(w->heap);
    *w = (ft_work){0};
}

/* ---- the heap ---- */

static ft_status heap_push(ft_work *w, ft_pending e)
{
    if (w->heap_n == w->heap_cap) {
        size_t cap = FT_MAX(w->heap_cap * 2, (size_t)64);
        ft_pending *heap = ft_resize(w->heap, cap, sizeof *heap);
        if (!heap)
            return FT_ENOMEM;
        w->heap = heap;
        w->heap_cap = cap;
    }
    size_t i = w->heap_n++;
    while (i && w->heap[(i - 1) / 2].order > e.order) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = e;
    return FT_OK;
}

static ft_pending heap_pop(ft_work *w)
{
    ft_pending top = w->heap[0], e = w->heap[--w->heap_n];
    size_t i = 0, n = w->heap_n;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && w->heap[child + 1].order < w->heap[child].order)
            child++;
        if (e.order <= w->heap[child].order)
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = e;
    return top;
}

/* Puts the pair that begins at symbol i on the heap, when it merges at all. */
static ft_status consider(const ft_merges *m, ft_work *w, int32_t i)
{
    int32_t next = i < 0 ? -1 : w->sym[i].next;
    if (next < 0)
        return FT_OK;
    const ft_merge *merge = ft_merges__find(m, w->sym[i].id, w->sym[next].id);
    if (!merge)
        return FT_OK;
    return heap_push(w, (ft_pending){(uint64_t)merge->rank << 32 | (uint32_t)i, w->sym[i].id, w->sym[next].id});
}

ft_status ft_merges__run(const ft_merges *m, ft_work *w)
{
    w->heap_n = 0;
    for (size_t i = 0; i + 1 < w->n; i++)
        FT_RETURN(consider(m, w, (int32_t)i));
    while (w->heap_n) {
        ft_pending e = heap_pop(w);
        ft_symbol *left = &w->sym[(uint32_t)e.order];
        if (!left->n || left->id != e.left || left->next < 0 || w->sym[left->next].id != e.right)
            continue;
        ft_symbol *right = &w->sym[left->next];
        left->id = ft_merges__find(m, e.left, e.right)->id;
        left->n += right->n;
        right->n = 0;
        left->next = right->next;
        if (right->next >= 0)
            w->sym[right->next].prev = (int32_t)(uint32_t)e.order;
        FT_RETURN(consider(m, w, left->prev));
        FT_RETURN(consider(m, w, (int32_t)(uint32_t)e.order));
    }
    return FT_OK;
}
