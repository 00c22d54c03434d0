/* Inside of the text room: the pre-tokenizers that a GGUF file names (tokenizer.ggml.pre) instead of describing them.
 *
 * A row gives the patterns of that name, each cutting what the one before left, matches isolated. Reading a GGUF looks
 * a row up by name; writing one looks for a row with the tokenizer's own patterns, the first that fits.
 */
#ifndef FETTLE_TEXT_GGML_PRE_H
#define FETTLE_TEXT_GGML_PRE_H

#include "text/pretokenizers.h"

enum { FT_GGML_PATTERNS = 7 };

typedef struct ft_ggml_pre {
    const char *name;
    const char *pattern[FT_GGML_PATTERNS]; /* NULL behind the last */
    bool ignore_merges;                    /* a word that is a token is that token */
    bool add_bos;                          /* when the file does not say */
} ft_ggml_pre;

/* NULL when the name is unknown. */
const ft_ggml_pre *ft_ggml_pre__named(ft_str name);
const ft_ggml_pre *ft_ggml_pre__of(const ft_stages *s, bool ignore_merges);
/* All names, separated by blanks, for messages. */
ft_status ft_ggml_pre__names(ft_buf *out);

#endif
