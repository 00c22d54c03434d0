/* Inside of the text room: merges of adjacent symbols, the core of both tokenizer kinds.
 *
 * A word is a list of symbols (ids; ids at or above the vocabulary's size are characters that are no token by
 * themselves but take part in merges; -1 takes part in none). Again and again the pair with the lowest rank merges,
 * the leftmost of equals, until no pair is left. Byte-level BPE has a rank for every merge of its list; SentencePiece's
 * rule "the adjacent pair whose piece has the best score" becomes a rank for every pair that concatenates to a piece.
 *
 * Cost: a heap over a linked list, n log n for a word of n symbols however long.
 */
#ifndef FETTLE_TEXT_MERGES_H
#define FETTLE_TEXT_MERGES_H

#include "base/str.h"

typedef struct ft_merge {
    uint64_t pair; /* left id << 32 | right id, plus one: 0 is a free slot */
    uint32_t rank;
    int32_t id; /* what the pair becomes */
} ft_merge;

typedef struct ft_merges {
    ft_merge *slots; /* open addressing */
    size_t mask, n;
} ft_merges;

/* Room for up to n merges. */
ft_status ft_merges__init(ft_merges *m, size_t n);
void ft_merges__free(ft_merges *m);
/* A pair that is there keeps its rank. */
void ft_merges__put(ft_merges *m, int32_t left, int32_t right, uint32_t rank, int32_t id);
const ft_merge *ft_merges__find(const ft_merges *m, int32_t left, int32_t right); /* NULL when absent */

/* A merge as a list has it. */
typedef struct ft_merge_row {
    int32_t left, right, id;
    uint32_t rank;
} ft_merge_row;
/* All merges by rank, then left, then right; ft_free. NULL on failure. */
ft_merge_row *ft_merges__rows(const ft_merges *m);

typedef struct ft_symbol {
    int32_t id;
    int32_t prev, next; /* -1 at the ends */
    uint32_t at, n;     /* its bytes of the word; n 0: merged into the one before */
} ft_symbol;

typedef struct ft_pending {
    uint64_t order; /* rank << 32 | position of the left symbol */
    int32_t left, right;
} ft_pending;

/* Working memory of one word at a time; grows, is used again. */
typedef struct ft_work {
    ft_symbol *sym; /* [n]; the first always starts the list */
    size_t n, cap;
    ft_pending *heap;
    size_t heap_n, heap_cap;
} ft_work;
ft_status ft_work__reserve(ft_work *w, size_t symbols);
/* Appends a symbol of `n` bytes at `at`; room must have been reserved. */
void ft_work__push(ft_work *w, int32_t id, uint32_t at, uint32_t n);
void ft_work__free(ft_work *w);

/* Merges the symbols of w until nothing merges; follow .next from sym[0]. */
ft_status ft_merges__run(const ft_merges *m, ft_work *w);

#endif
