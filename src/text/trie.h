/* Inside of the text room: the pieces of a vocabulary as a tree of bytes, to find all those that a text begins with.
 *
 * Edges lie in one table, open addressing by node and byte: a step is one look-up.
 */
#ifndef FETTLE_TEXT_TRIE_H
#define FETTLE_TEXT_TRIE_H

#include "base/str.h"

typedef struct ft_trie {
    struct ft_edge {
        int32_t from; /* node plus one: 0 is free */
        int32_t to;
        uint8_t byte;
    } * slots;
    size_t mask, edges;
    int32_t *id; /* [nodes] what ends at a node, -1: nothing */
    size_t nodes, cap;
} ft_trie;

ft_status ft_trie__init(ft_trie *t);
void ft_trie__free(ft_trie *t);
/* A key that is there gets the new id. */
ft_status ft_trie__put(ft_trie *t, ft_str key, int32_t id);
/* The node behind `node` (0: the root) by this byte, -1 when no key goes on so. */
int32_t ft_trie__step(const ft_trie *t, int32_t node, uint8_t byte);

#endif
