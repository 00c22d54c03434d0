/* Inside of the text room: the regular expressions that tokenizer files bring, run by PCRE2 (UTF, UCP, JIT).
 *
 * A pattern is hostile: its length, the backtracking of a match and the memory of a match are bounded, and passing a
 * bound is an error that names the place of the pattern. Patterns are written for Rust or Oniguruma; what PCRE2 would
 * read in another sense (class intersection "&&", a class within a class) is refused, \s and \S become the Unicode
 * property White_Space. Threads: a compiled pattern may be used by several; an ft_matcher belongs to one at a time.
 */
#ifndef FETTLE_TEXT_REGEX_H
#define FETTLE_TEXT_REGEX_H

#include "base/str.h"

typedef struct ft_regex ft_regex;
typedef struct ft_matcher ft_matcher;

/* literal: the pattern is plain text. where: named in every message, kept. FT_EUNSUPPORTED with the offset for what
 * PCRE2 refuses. */
ft_status ft_regex__compile(ft_regex **out, ft_str pattern, bool literal, const char *where);
void ft_regex__free(ft_regex *re);
ft_str ft_regex__pattern(const ft_regex *re);

ft_status ft_matcher__new(ft_matcher **out);
void ft_matcher__free(ft_matcher *m);
/* The first match in text at or behind `from`; text must be valid UTF-8, from a character border. */
ft_status ft_regex__next(const ft_regex *re, ft_matcher *m, ft_str text, size_t from, size_t *start, size_t *end,
                         bool *found);

#endif
