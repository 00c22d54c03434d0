/* The text room, rows: examples become token ids and a supervised mask, chats through a chat template.
 *
 * Exactly one BOS (where the model has one). Only completion and assistant tokens are supervised, the end-of-turn token
 * among them; masks go by position, never by token id. Prompt and completion are tokenized as one text and split where
 * the prompt's own tokens end; a row whose tokens merge across that border is split before the merged token, counted.
 * Templates (text/templates.def): chatml, llama2, llama3 and "none"; picked by name or from the model's own text.
 * What people wrote is never searched for control tokens: a row cannot forge one.
 * Ownership: ft_rows own ids and masks; answers are borrowed from the dataset, which must outlive them.
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
    ft_str answer;     /* text of that answer (borrowed from the dataset), what metrics compare with; trimmed */
    int64_t example;   /* index in the dataset */
} ft_row;

typedef struct ft_rows {
    ft_row *p;
    size_t n;
    int64_t tokens, supervised; /* totals */
    int64_t dropped, truncated, merged_border; /* too long and dropped; too long and cut; see above */
    ft_arena *arena;            /* owns ids and masks */
} ft_rows;

typedef enum ft_overlong { FT_OVERLONG_ERROR, FT_OVERLONG_DROP, FT_OVERLONG_TRUNCATE } ft_overlong;

typedef struct ft_chat_template ft_chat_template; /* a row of the table */
/* name: a table name, "none", or NULL / "auto": recognised from the tokenizer's own template text (tok may be NULL).
 * *out is NULL for none, and when the model brings no template: chat rows are then an error that names the choices. A
 * model whose template is none of the table gets one that is called "unknown": plain rows work, chats are
 * FT_EUNSUPPORTED with the choices. An unknown name is FT_EUNSUPPORTED at once. */
ft_status ft_chat_template_pick(const ft_chat_template **out, const char *name, const ft_tokenizer *tok);
const char *ft_chat_template_name(const ft_chat_template *t);
/* The Go template for an Ollama Modelfile and the stop strings, NULL-terminated. t NULL: plain completion. */
const char *ft_chat_template_ollama(const ft_chat_template *t);
const char *const *ft_chat_template_stops(const ft_chat_template *t);
/* Jinja text for tokenizer.chat_template where the model brings none; NULL for none and unknown. */
const char *ft_chat_template_jinja(const ft_chat_template *t);
/* Appends the system message that the model's own template puts before a chat that brings none (Qwen2.5, SmolLM2); rows
 * and prompts have it too. Nothing when there is no such message. */
ft_status ft_chat_template_system(const ft_chat_template *t, const ft_tokenizer *tok, ft_buf *out);
/* The i-th name that ft_chat_template_pick takes, "auto" and "none" first; NULL behind the last. */
const char *ft_chat_template_choice(size_t i);

typedef struct ft_rows_options {
    const ft_chat_template *chat; /* or NULL */
    int64_t max_tokens;           /* sequence_len */
    ft_overlong on_overlong;
    bool train_on_inputs;         /* supervise prompts too */
    bool pack_text;               /* FT_TEXT rows: join with EOS and cut into max_tokens pieces (pretraining) */
} ft_rows_options;
/* All rows of a dataset (tokenized on all threads, order kept). Rows with nothing supervised are FT_EINPUT with their
 * places; over-long ones as asked, counted and named by ft_note. */
ft_status ft_rows_build(ft_rows *out, const ft_dataset *d, const ft_tokenizer *tok, const ft_rows_options *o);
void ft_rows_free(ft_rows *r);
/* A hash of all ids, masks and prompt lengths, in order: other rows, another hash. NULL counts as none. */
uint64_t ft_rows_hash(const ft_rows *r);
/* Ids of a conversation up to where the assistant's answer begins (chat, generate). */
ft_status ft_prompt_ids(ft_ids *out, const ft_message *messages, size_t n, const ft_tokenizer *tok,
                        const ft_chat_template *chat);

#endif
