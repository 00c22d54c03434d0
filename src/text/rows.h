/* The text room, rows: examples become token ids and a supervised mask, chats through a chat template.
 *
 * Exactly one BOS (where the model has one). Only completion and assistant tokens are supervised, the end-of-turn token
 * among them; masks go by position, never by token id. Prompt and completion are tokenized as one text and split where
 * the prompt's own tokens end; a row whose tokens merge across that border is split before the merged token, counted.
 * A chat template is the model's own, run as it is (Jinja), or one of text/templates.def by its name. What is learned is
 * found by rendering; an answer that the template renders otherwise once later turns follow it is a row of its own.
 * What people wrote is never searched for control tokens: a row cannot forge one.
 * For models of vectors a row is several texts instead, and nothing in it is a target.
 * Ownership: ft_rows own ids, masks and answers.
 */
#ifndef FETTLE_TEXT_ROWS_H
#define FETTLE_TEXT_ROWS_H

#include "data/data.h"
#include "text/tokenizer.h"

typedef struct ft_row {
    int32_t *ids;      /* [n] */
    uint8_t *mask;     /* [n]: 1 where ids[i] is a target (never at 0) */
    int32_t n;
    int32_t prompt_n;  /* tokens of the prompt of the last supervised answer: generation starts behind them */
    ft_str answer;     /* text of that answer as it is rendered, what metrics compare with; trimmed */
    int64_t example;   /* index in the dataset */
    /* of a row for vectors: its texts, end to end in ids, nothing of them masked; prompt_n and answer are empty */
    int32_t texts;         /* 0: a row of tokens to learn */
    const int32_t *ends;   /* [texts]: where each ends in ids */
    const int64_t *number; /* [texts]: equal for equal ids */
    float score;           /* of a pair that has one */
} ft_row;

typedef struct ft_rows {
    ft_row *p;
    size_t n;
    int64_t tokens, supervised; /* totals */
    int64_t dropped, truncated, merged_border; /* too long and dropped; too long and cut; see above */
    bool vectors, scored; /* rows for vectors: of texts; with scores */
    int64_t different;    /* texts of them: their numbers are below it */
    ft_arena *arena;      /* owns ids, masks, answers */
} ft_rows;

typedef enum ft_overlong { FT_OVERLONG_ERROR, FT_OVERLONG_DROP, FT_OVERLONG_TRUNCATE } ft_overlong;

typedef struct ft_chat_template ft_chat_template;
/* name: of the table, "none", or NULL / "auto": the model's own (tok may be NULL). *out is borrowed from the table or
 * the tokenizer. It is NULL for none, and when the model brings no template: chat rows are then an error that names the
 * choices. That a model's own template cannot be run is said when a chat needs it. An unknown name is FT_EUNSUPPORTED. */
ft_status ft_chat_template_pick(const ft_chat_template **out, const char *name, const ft_tokenizer *tok);
/* Its name in the table; "own", "none". */
const char *ft_chat_template_name(const ft_chat_template *t);
/* Appends the Go template for an Ollama Modelfile, which renders messages as the chat template does, tools too where it
 * writes them as JSON (text/ollama.h says what Ollama spells otherwise), and the texts that end an answer, each with a 0 behind it. What it has to leave out goes out as ft_note.
 * FT_EUNSUPPORTED where the template is not of a form that can be written so. t NULL: plain completion. */
ft_status ft_chat_template_ollama(const ft_chat_template *t, const ft_tokenizer *tok, ft_buf *out, ft_buf *stops);
/* The text that is run; NULL for none. */
const char *ft_chat_template_jinja(const ft_chat_template *t);
/* The i-th name that ft_chat_template_pick takes, "auto" and "none" first; NULL behind the last. */
const char *ft_chat_template_choice(size_t i);

typedef struct ft_rows_options {
    const ft_chat_template *chat; /* or NULL */
    int64_t max_tokens;           /* sequence_len */
    ft_overlong on_overlong;
    bool train_on_inputs;         /* supervise prompts too */
    bool train_on_last;           /* of a chat's answers only the last */
    bool pack_text;               /* FT_TEXT rows: join with EOS and cut into max_tokens pieces (pretraining) */
    bool quiet;                   /* no notes: the same rows were made before */
    /* Rows for vectors, of pairs, scored pairs or prompts with completions: max_tokens is for each text, and a text that is
     * cut keeps its end token. The prompts stand before anchors and before other texts, but of scored pairs; or NULL. */
    bool vectors;
    const char *query_prompt, *document_prompt;
} ft_rows_options;
/* All rows of a dataset (tokenized on all threads, order kept). Rows with nothing supervised are FT_EINPUT with their
 * places; over-long ones as asked, counted and named by ft_note. */
ft_status ft_rows_build(ft_rows *out, const ft_dataset *d, const ft_tokenizer *tok, const ft_rows_options *o);
void ft_rows_free(ft_rows *r);
/* s without white space (Unicode's) at its ends: what answers are compared by, and what templates put of a message. */
ft_str ft_text_trim(ft_str s);
/* A row as the model takes it: its first n - 1 ids, and for each the next one as its target where that is supervised, else
 * -1. Returns how many targets there are; *tokens (n - 1, or 0) behind each array are written. */
int64_t ft_row_targets(const ft_row *r, int32_t *ids, int32_t *targets, int64_t *tokens);
/* Targets of a row; one of a row for vectors. */
int64_t ft_row_supervised(const ft_row *r);
/* Tokens that go through the model. */
int64_t ft_row_inputs(const ft_row *r);
/* Ids of a text for its vector, appended to out: white space at its ends is left out, `prompt` (or NULL) stands before it, the
 * tokenizer's own tokens stand around both. FT_EINPUT for an empty text. */
ft_status ft_text_ids(ft_ids *out, ft_str text, const char *prompt, const ft_tokenizer *tok);
/* Leaves max_tokens of such ids, the end token among them; false: there are no more. */
bool ft_text_cut(ft_ids *ids, const ft_tokenizer *tok, int64_t max_tokens);
/* A hash of all ids, masks and prompt lengths, in order: other rows, another hash. NULL counts as none. */
uint64_t ft_rows_hash(const ft_rows *r);
/* Ids of a conversation up to where the assistant's answer begins (chat, generate). */
ft_status ft_prompt_ids(ft_ids *out, const ft_message *messages, size_t n, const ft_tokenizer *tok,
                        const ft_chat_template *chat);

#endif
