/* Inside of the text room: normalizers, which rewrite a text before it is cut into words.
 *
 * A list of steps; the forms that tokenizer.json knows are rows of the table in normalizers.c, SentencePiece's own
 * normalizer is one more step. Bytes that are not UTF-8 pass through unchanged. What a file asks for and the table
 * lacks is FT_EUNSUPPORTED by name.
 */
#ifndef FETTLE_TEXT_NORMALIZERS_H
#define FETTLE_TEXT_NORMALIZERS_H

#include "text/charsmap.h"
#include "text/regex.h"

#include <jansson.h>

enum { FT_NORMS_MAX = 16 };
/* Spaces at the ends of a text, as a pattern. */
#define FT_END_SPACES "\\A +| +\\z"

typedef struct ft_norm_run {
    ft_matcher *matcher;
    ft_buf *points; /* code points, as int32_t */
} ft_norm_run;

typedef struct ft_norm ft_norm;
struct ft_norm {
    /* Appends the rewritten `in` to out. */
    ft_status (*apply)(const ft_norm *n, const ft_norm_run *run, ft_str in, ft_buf *out);
    int form;          /* utf8proc options of the Unicode forms */
    bool left, right;  /* Strip: which sides */
    ft_regex *pattern; /* Replace */
    char *text;        /* Replace: the content; Prepend: the prefix */
    size_t text_n;
    bool dummy_prefix, remove_extra, escape; /* SentencePiece */
    bool clean, chinese;                     /* BERT */
    ft_charsmap *charsmap;                   /* SentencePiece; NULL: identity */
};

typedef struct ft_norms {
    ft_norm step[FT_NORMS_MAX];
    size_t n;
    bool space_prefix; /* a text gets SentencePiece's leading space */
    bool marks_spaces; /* spaces become space marks */
    bool bert_uncased; /* BERT's whole normalization, lower case without accents: what GGUF's "bert" does by itself */
    size_t unigram;    /* steps that GGUF's "t5" does too: a table of characters, folding of spaces */
    bool folds_spaces; /* runs of spaces become one, those at the ends go */
    const ft_charsmap *charsmap; /* of the step that has one, else NULL */
    bool rewrites;               /* something beyond marking spaces and a Unicode normal form is done to the text */
} ft_norms;

/* Appends the steps of tokenizer.json's "normalizer" (may be null). */
ft_status ft_norms__from_json(ft_norms *n, const json_t *j, const char *where);
/* Appends SentencePiece's normalizer; charsmap: the bytes of its table, may be empty. */
ft_status ft_norms__add_sentencepiece(ft_norms *n, bool dummy_prefix, bool remove_extra, bool escape, ft_str charsmap,
                                      const char *where);
/* Appends BERT's normalizer; strip: accents go. */
ft_status ft_norms__add_bert(ft_norms *n, bool clean, bool chinese, bool strip, bool lower, const char *where);
void ft_norms__free(ft_norms *n);
/* *out is `in` or a view of one of buffers[2]. */
ft_status ft_norms__run(const ft_norms *n, const ft_norm_run *run, ft_str in, ft_buf buffers[2], ft_str *out);

#endif
