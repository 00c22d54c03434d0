/* Inside of the text room: UTF-8 and the byte-level alphabet.
 *
 * The byte-level alphabet of GPT-2 writes every byte as one printable character: '!'..'~', U+00A1..U+00AC and
 * U+00AE..U+00FF stand for themselves, the other 68 bytes for U+0100, U+0101, ... in order. So 0x20 is "Ġ".
 */
#ifndef FETTLE_TEXT_UNICODE_H
#define FETTLE_TEXT_UNICODE_H

#include "base/str.h"

#define FT_SPACE_MARK       "\xe2\x96\x81" /* U+2581, SentencePiece's visible space */
#define FT_SPACE_MARK_BYTES 3

/* Length of the longest prefix of p[0..n) that is valid UTF-8. */
size_t ft_utf8__valid(const char *p, size_t n);
/* Bytes of the character at p (valid UTF-8 assumed for a lead byte, an invalid one counts 1); never more than n. */
size_t ft_utf8__len(const char *p, size_t n);
/* White_Space and word (letter, mark, decimal digit, connector) of Unicode. */
bool ft_unicode__is_space(int32_t c);
bool ft_unicode__is_word(int32_t c);
/* Bytes of white space at the start and at the end of a text. */
size_t ft_unicode__leading_space(ft_str s);
size_t ft_unicode__trailing_space(ft_str s);

/* Appends a piece with its space marks as spaces. */
ft_status ft_unicode__unmark(ft_buf *out, ft_str piece);

/* Character of a byte in the byte-level alphabet; byte of a character, -1 when it is none of the 256. */
int32_t ft_bytes__char(uint8_t byte);
int ft_bytes__byte(int32_t c);
/* Appends the byte-level spelling of bytes. */
ft_status ft_bytes__spell(ft_buf *out, ft_str bytes);
/* Appends the bytes of a byte-level spelling; *ok false (and nothing appended) when a character is not of the alphabet.
 */
ft_status ft_bytes__unspell(ft_buf *out, ft_str spelling, bool *ok);

#endif
