/* Inside of the text room: chat templates and the spans they make of messages.
 *
 * A template turns messages into spans. Control spans are the template's own tokens; plain spans are its words and what
 * people wrote, and are never searched for control tokens: a message cannot forge one. Neighbouring plain spans are one
 * text to the tokenizer. A span that is to be learned says so, and of which message it is the answer.
 * A template interpreter would be one more row: it fills the same spans.
 */
#ifndef FETTLE_TEXT_CHAT_H
#define FETTLE_TEXT_CHAT_H

#include "text/rows.h"

typedef enum ft_span_kind {
    FT_SPAN_PLAIN,
    FT_SPAN_CONTROL, /* the text of a control token; where the tokenizer has no such token it is spelled out */
    FT_SPAN_EOS
} ft_span_kind;

typedef struct ft_span {
    ft_span_kind kind;
    ft_str text;     /* borrowed: of a literal or of a message */
    bool supervised;
    int32_t answer;  /* message whose answer begins here, -1 */
} ft_span;

typedef struct ft_spans {
    ft_span *p;
    size_t n, cap;
} ft_spans;
ft_status ft_span__put(ft_spans *s, ft_span_kind kind, ft_str text, bool supervised, int32_t answer);
/* Shorthands for a template's own words, not supervised. */
ft_status ft_span__plain(ft_spans *s, const char *text);
ft_status ft_span__control(ft_spans *s, const char *text);
void ft_spans__free(ft_spans *s);

struct ft_chat_template {
    const char *name;
    bool begins_with_bos; /* the text opens with BOS, so what follows is not the start of a text */
    /* The model's own template text is of this kind. */
    bool (*recognises)(const char *text);
    /* Spans of a conversation, without BOS; with `ask`, up to where the next assistant turn begins. What the template
     * cannot say is FT_EINPUT or FT_EUNSUPPORTED. */
    ft_status (*render)(ft_spans *out, const ft_message *messages, size_t n, bool ask);
    /* What stands around a default system message in the model's own template text; NULL: none is looked for. */
    const char *system_open, *system_close;
    /* Where the model's own template text holds the first, chats are built with the second as a remark; NULL: none. */
    const char *differs_where, *differs_how;
    const char *ollama, *jinja;
    const char *const *stops; /* NULL at the end */
};

/* The text without white space at either end. */
ft_str ft_chat__trim(ft_str s);
/* Spans of a conversation, the default system message put first where the conversation brings none (system: its text,
 * empty for none; must outlive the spans). */
ft_status ft_chat__render(ft_spans *out, const ft_chat_template *t, ft_str system, const ft_message *messages, size_t n,
                          bool ask);

/* Ids of spans, and where they are targets. */
typedef struct ft_answer {
    int32_t at;      /* index of its first token */
    int32_t message;
} ft_answer;
typedef struct ft_encoded {
    ft_ids ids;
    ft_buf mask;        /* [ids.n] bytes: 1 where the token is a target */
    ft_answer *answers; /* [n_answers], in order */
    size_t n_answers;
    bool merged;        /* tokens merged across the border of a prompt and its answer */
} ft_encoded;
/* bos: BOS goes first. at_start: the text behind it is the start of a text (what SentencePiece marks with a space). */
ft_status ft_spans__encode(ft_encoded *out, const ft_spans *s, const ft_tokenizer *tok, bool bos, bool at_start);
void ft_encoded__free(ft_encoded *e);

#endif
