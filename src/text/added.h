/* Inside of the text room: added and control tokens, found in a text before it is cut into words.
 *
 * The leftmost match wins, the longest of those that begin there. The tokens lie sorted; a match is a walk that narrows
 * the range of tokens byte by byte, so a text costs its length times the log of the number of tokens at worst.
 */
#ifndef FETTLE_TEXT_ADDED_H
#define FETTLE_TEXT_ADDED_H

#include "base/str.h"

typedef struct ft_added_token {
    ft_str text; /* borrowed, not empty */
    int32_t id;
    bool lstrip, rstrip; /* white space beside it belongs to the match */
    bool single_word;    /* only where no word character is beside it */
} ft_added_token;

typedef struct ft_added {
    ft_added_token *token; /* [n], sorted by text once finished */
    size_t n, cap;
    bool first[256]; /* a token begins with this byte */
} ft_added;

ft_status ft_added__put(ft_added *a, const ft_added_token *t); /* an empty text is left out */
void ft_added__finish(ft_added *a);
void ft_added__free(ft_added *a);
/* The first match in text at or behind `from`: its bytes [*start, *end). NULL when there is none. */
const ft_added_token *ft_added__next(const ft_added *a, ft_str text, size_t from, size_t *start, size_t *end);

#endif
