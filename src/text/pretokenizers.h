/* Inside of the text room: pre-tokenizers, which cut a text into words before merging.
 *
 * A pipeline of stages; each gets one piece of text and hands pieces on to the next, the last to the caller. Nothing is
 * collected: memory does not grow with the number of words. The forms that tokenizer.json knows are rows of the table
 * in pretokenizers.c; what it does not know is FT_EUNSUPPORTED by name.
 */
#ifndef FETTLE_TEXT_PRETOKENIZERS_H
#define FETTLE_TEXT_PRETOKENIZERS_H

#include "text/regex.h"

#include <jansson.h>

enum { FT_STAGES_MAX = 24 };

/* What becomes of the matches of a pattern; the text between matches is always a piece. */
typedef enum ft_behavior {
    FT_ISOLATED,       /* every match a piece */
    FT_REMOVED,        /* matches are dropped */
    FT_MERGE_PREVIOUS, /* a match joins the piece before it */
    FT_MERGE_NEXT,     /* a match joins the piece behind it */
    FT_CONTIGUOUS      /* neighbouring matches form one piece */
} ft_behavior;

typedef enum ft_stage_kind {
    FT_STAGE_PATTERN,      /* cut by a pattern */
    FT_STAGE_PREFIX_SPACE, /* a space in front of a piece that does not begin with one */
    FT_STAGE_METASPACE,    /* spaces become `mark`, one is prepended as `prepend` says */
    FT_STAGE_SPELL         /* bytes become characters of the byte-level alphabet: stages behind see those */
} ft_stage_kind;
typedef enum ft_prepend { FT_PREPEND_NEVER, FT_PREPEND_FIRST, FT_PREPEND_ALWAYS } ft_prepend;

typedef struct ft_stage {
    ft_stage_kind kind;
    ft_regex *re;
    ft_behavior behavior;
    bool invert; /* matches and what lies between them change places */
    ft_prepend prepend;
    char mark[5];
} ft_stage;

typedef struct ft_stages {
    ft_stage stage[FT_STAGES_MAX];
    size_t n;
    bool byte_level; /* a ByteLevel form is among them: words are bytes */
    bool spelled;    /* words come out in the byte-level alphabet */
} ft_stages;

/* Appends a stage that cuts by a pattern. */
ft_status ft_stages__add_pattern(ft_stages *s, ft_str pattern, bool literal, ft_behavior behavior, bool invert,
                                 const char *where);
/* Appends BERT's: white space parts words and goes, punctuation stands alone. */
ft_status ft_stages__add_bert(ft_stages *s, const char *where);
bool ft_stages__is_bert(const ft_stages *s);
/* Appends the stages of tokenizer.json's "pre_tokenizer" (may be null). */
ft_status ft_stages__from_json(ft_stages *s, const json_t *j, const char *where);
void ft_stages__free(ft_stages *s);

/* The pipeline is exactly these patterns in order, every match isolated ([n], NULL-terminated or full). */
bool ft_stages__is(const ft_stages *s, const char *const *patterns, size_t n);
/* Appends a description for messages: the patterns, or the kind of a stage. */
ft_status ft_stages__describe(const ft_stages *s, ft_buf *out);

/* GPT-2's words. */
extern const char ft_gpt2_pattern[];

/* A run over one text. matcher and buffers: the caller's, used again. word: called for every word, in order. */
typedef struct ft_stages_run {
    const ft_stages *stages;
    ft_matcher *matcher;
    ft_buf *buffers; /* [FT_STAGES_MAX] */
    ft_status (*word)(void *ctx, ft_str word);
    void *ctx;
} ft_stages_run;
/* first: the text stands at the start of the whole input. Bytes that are not UTF-8 are pieces of their own. */
ft_status ft_stages__run(const ft_stages_run *run, ft_str text, bool first);

#endif
