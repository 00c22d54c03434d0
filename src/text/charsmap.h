/* Inside of the text room: SentencePiece's table of character replacements ("precompiled charsmap": nmt_nfkc and kin).
 *
 * Layout, little endian: u32 bytes of the trie | the trie: u32 units of a double array | replacement texts, each ended
 * by a 0. A unit of the trie: bits 0-7 label with bit 31, bit 8 "a value hangs here", bits 10-30 offset to the
 * children, shifted left by 8 when bit 9 is set. A value is the place of its replacement text. All of it is hostile.
 */
#ifndef FETTLE_TEXT_CHARSMAP_H
#define FETTLE_TEXT_CHARSMAP_H

#include "base/str.h"

typedef struct ft_charsmap ft_charsmap;
/* Copies the blob. FT_EFORMAT when its sizes cannot be. */
ft_status ft_charsmap__new(ft_charsmap **out, ft_str blob, const char *where);
void ft_charsmap__free(ft_charsmap *m);
ft_str ft_charsmap__bytes(const ft_charsmap *m); /* the blob, borrowed */
/* The longest key that text begins with: its bytes (0 when there is none) and its replacement, borrowed. */
size_t ft_charsmap__find(const ft_charsmap *m, ft_str text, ft_str *replacement);
/* As Hugging Face's Precompiled asks: the replacement, for all of text, of the shortest key that it begins with. */
bool ft_charsmap__whole(const ft_charsmap *m, ft_str text, ft_str *replacement);

#endif
