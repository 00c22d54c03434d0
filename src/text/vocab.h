/* Inside of the text room: the tokens of a vocabulary, id to piece and back.
 *
 * An id that the file does not name is a hole: empty piece, FT_TOKEN_UNUSED. Everything lives in the vocabulary's
 * arena.
 */
#ifndef FETTLE_TEXT_VOCAB_H
#define FETTLE_TEXT_VOCAB_H

#include "text/tokenizer.h"

/* More than any vocabulary known (262,144), few enough that a hostile id cannot ask for much memory. */
#define FT_VOCAB_MAX (1 << 22)

typedef struct ft_vocab {
    int32_t n;     /* V */
    ft_str *piece; /* [V] as stored: "Ġthe", "▁the", "<0x0A>" */
    ft_str *raw;   /* [V] the bytes that the token stands for */
    uint8_t *type; /* [V] ft_token_type */
    float *score;  /* [V]; NULL where the kind has none */
    ft_map *ids;   /* piece -> id */
    ft_arena *arena;
} ft_vocab;

ft_status ft_vocab__init(ft_vocab *v, int64_t n, bool scores, const char *where);
void ft_vocab__free(ft_vocab *v);
/* Sets token id (in range); a piece that two ids have is found under the last. */
ft_status ft_vocab__set(ft_vocab *v, int32_t id, ft_str piece, ft_token_type type);
/* -1 when there is none. */
int32_t ft_vocab__find(const ft_vocab *v, ft_str piece);
/* The byte of a byte token's piece "<0x0A>", -1 when it is none. */
int ft_vocab__byte_of(ft_str piece);

#endif
