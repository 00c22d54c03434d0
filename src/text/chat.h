/* Inside of the text room: chat templates, what they make of messages, and the ids of that.
 *
 *   messages -> variables -> the template's Jinja -> text, with a mark for each byte that people wrote   (chat.c)
 *            -> rows: a text and the turns in it that are to be learned                                  (turns.c)
 *            -> ids, a mask of targets, where answers begin                                              (spans.c)
 *
 * Control tokens are found in the template's own bytes alone: a message cannot forge one. Plain rows are spans instead:
 * pieces of one text that are to be learned or not.
 */
#ifndef FETTLE_TEXT_CHAT_H
#define FETTLE_TEXT_CHAT_H

#include "text/jinja.h"
#include "text/rows.h"

/* A row of templates.def, or a tokenizer's own: the text that is run. */
struct ft_chat_template {
    const char *name;
    const char *jinja, *jinja_with_tools; /* with_tools NULL: the same */
};

/* ---- chat.c: rendering ---- */

typedef struct ft_renderer {
    const ft_tokenizer *tok;
    ft_jinja *jinja, *with_tools; /* with_tools NULL: the same */
} ft_renderer;
ft_status ft_renderer__open(ft_renderer *r, const ft_chat_template *t, const ft_tokenizer *tok);
void ft_renderer__close(ft_renderer *r);

typedef struct ft_rendered {
    ft_buf text, marks; /* [text.n] bytes each */
} ft_rendered;
void ft_rendered__free(ft_rendered *r);
/* Variables of a conversation (json_decref); messages[i] is item i of its "messages". tools: a JSON list, n 0: none. */
ft_status ft_renderer__variables(const ft_renderer *r, const ft_message *messages, size_t n, ft_str tools,
                                 json_t **out);
/* The first n messages; ask: and what begins the assistant's next turn. */
ft_status ft_renderer__render(const ft_renderer *r, json_t *variables, size_t n, bool ask, ft_rendered *out);

/* ---- turns.c: what is to be learned ---- */

typedef struct ft_turn {
    size_t from, end, to; /* bytes: the answer is [from, end), its end token [end, to) */
    int32_t message;
} ft_turn;
typedef struct ft_chat_row {
    ft_rendered r;
    ft_turn *turns; /* [n], in order */
    size_t n;
    bool ends; /* no token ends the last turn: the tokenizer's end token goes behind it */
} ft_chat_row;
typedef struct ft_chat_rows {
    ft_chat_row *p;
    size_t n;
} ft_chat_rows;
/* One row, or several where the template renders an earlier turn otherwise once later ones follow it (Qwen3 leaves its
 * thinking out): each such turn is learned in the row in which it was the last. last: only the last answer.
 * FT_EUNSUPPORTED where the template does not tell the answer from what is given. */
ft_status ft_turns__find(ft_chat_rows *out, const ft_renderer *r, const ft_example *e, bool last);
void ft_chat_rows__free(ft_chat_rows *rows);

/* ---- spans.c: ids ---- */

typedef enum ft_span_kind { FT_SPAN_PLAIN, FT_SPAN_EOS } ft_span_kind;
typedef struct ft_span {
    ft_span_kind kind;
    ft_str text; /* borrowed */
    bool supervised, answer;
} ft_span;

/* Ids, and where they are targets. */
typedef struct ft_answer {
    int32_t at;     /* index of its first token */
    size_t text, n; /* what it says: bytes of `said` */
} ft_answer;
typedef struct ft_encoded {
    ft_ids ids;
    ft_buf mask; /* [ids.n] bytes: 1 where the token is a target */
    ft_buf said;
    ft_answer *answers; /* [n_answers], in order */
    size_t n_answers;
    bool merged; /* tokens merged across the border of a prompt and its answer */
} ft_encoded;
/* bos: BOS goes first. */
ft_status ft_spans__encode(ft_encoded *out, const ft_span *s, size_t n, const ft_tokenizer *tok, bool bos);
/* BOS goes first where the tokenizer adds one and the text does not begin with it. */
ft_status ft_chat__encode(ft_encoded *out, const ft_chat_row *row, const ft_tokenizer *tok);
void ft_encoded__free(ft_encoded *e);

#endif
