/* The tree of bytes (see trie.h). */
#include "text/trie.h"

enum { FIRST_SLOTS = 1 << 12, NODES_MAX = 1 << 28 };

static size_t slot_of(const ft_trie *t, int32_t node, uint8_t byte)
{
    uint64_t h = ((uint64_t)(uint32_t)node << 8 | byte) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h >> 32) & t->mask;
    while (t->slots[i].from && (t->slots[i].from != node + 1 || t->slots[i].byte != byte))
        i = (i + 1) & t->mask;
    return i;
}

static ft_status new_node(ft_trie *t, int32_t *node)
{
    if (t->nodes == t->cap) {
        size_t cap = FT_MAX(t->cap * 2, (size_t)1024);
        int32_t *id = t->nodes < NODES_MAX ? ft_resize(t->id, cap, sizeof *id) : NULL;
        if (!id)
            return ft_fail(FT_ENOMEM, "the pieces of a vocabulary need a tree of over %zu nodes", t->nodes);
        t->id = id;
        t->cap = cap;
    }
    t->id[t->nodes] = -1;
    *node = (int32_t)t->nodes++;
    return FT_OK;
}

ft_status ft_trie__init(ft_trie *t)
{
    int32_t root;
    *t = (ft_trie){.mask = FIRST_SLOTS - 1};
    t->slots = ft_alloc(FIRST_SLOTS, sizeof *t->slots);
    return t->slots ? new_node(t, &root) : FT_ENOMEM;
}

void ft_trie__free(ft_trie *t)
{
    ft_free(t->slots);
    ft_free(t->id);
    *t = (ft_trie){0};
}

/* Twice the slots. */
static ft_status grow(ft_trie *t)
{
    ft_trie wider = *t;
    wider.mask = t->mask * 2 + 1;
    wider.slots = ft_alloc(wider.mask + 1, sizeof *wider.slots);
    if (!wider.slots)
        return FT_ENOMEM;
    for (size_t i = 0; i <= t->mask; i++)
        if (t->slots[i].from)
            wider.slots[slot_of(&wider, t->slots[i].from - 1, t->slots[i].byte)] = t->slots[i];
    ft_free(t->slots);
    *t = wider;
    return FT_OK;
}

ft_status ft_trie__put(ft_trie *t, ft_str key, int32_t id)
{
    int32_t node = 0;
    for (size_t i = 0; i < key.n; i++) {
        uint8_t byte = (uint8_t)key.p[i];
        if (t->edges * 2 > t->mask)
            FT_RETURN(grow(t));
        struct ft_edge *e = &t->slots[slot_of(t, node, byte)];
        if (!e->from) {
            int32_t to = -1;
            FT_RETURN(new_node(t, &to));
            *e = (struct ft_edge){node + 1, to, byte};
            t->edges++;
        }
        node = e->to;
    }
    t->id[node] = id;
    return FT_OK;
}

int32_t ft_trie__step(const ft_trie *t, int32_t node, uint8_t byte)
{
    const struct ft_edge *e = &t->slots[slot_of(t, node, byte)];
    return e->from ? e->to : -1;
}
