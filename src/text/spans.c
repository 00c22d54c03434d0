/* Texts into ids and targets. Where supervision begins inside a text, the border is found by tokenizing what stands
 * before it alone:
 *
 *   ids of "assistant\nHello"   | as | sist | ant | \n | Hello |
 *   ids of "assistant\n"        | as | sist | ant | \n |            common prefix: 4 tokens, the answer is the rest
 *
 * A token that merges across the border belongs to the answer: at run time the prompt stands alone. What stands before
 * the last token that was cut out (a control token) need not be tokenized again.
 */
#include "text/chat.h"
#include "text/tokenizer_impl.h"

#include <string.h>

void ft_encoded__free(ft_encoded *e)
{
    ft_ids_free(&e->ids);
    ft_buf_free(&e->mask);
    ft_buf_free(&e->said);
    ft_free(e->answers);
    *e = (ft_encoded){0};
}

typedef struct coder {
    ft_encoded *out;
    const ft_tokenizer *tok;
    ft_str text;       /* the text at hand */
    const char *marks; /* [text.n], NULL: no control token is looked for */
    size_t base;       /* index of its first token */
    ft_cuts cuts;
    ft_ids alone; /* ids of a prefix of it */
} coder;

static void coder_free(coder *c)
{
    ft_free(c->cuts.p);
    ft_ids_free(&c->alone);
}

/* The mask of all ids so far that have none yet, up to index `end`. */
static ft_status extend_mask(coder *c, size_t end, bool supervised)
{
    while (c->out->mask.n < end)
        FT_RETURN(ft_buf_putc(&c->out->mask, supervised));
    return FT_OK;
}

static ft_status put_id(coder *c, int32_t id, bool supervised)
{
    FT_RETURN(ft_ids_put(&c->out->ids, id));
    return extend_mask(c, c->out->ids.n, supervised);
}

static ft_status put_eos(coder *c)
{
    int32_t id = ft_tokenizer_eos(c->tok);
    if (id < 0)
        return ft_fail(FT_EUNSUPPORTED, "the tokenizer names no end token (eos): an answer cannot end");
    return put_id(c, id, true);
}

static ft_status add_answer(coder *c, size_t at, ft_str text)
{
    ft_encoded *e = c->out;
    ft_answer *p = ft_resize(e->answers, e->n_answers + 1, sizeof *p);
    if (!p)
        return FT_ENOMEM;
    text = ft_text_trim(text);
    e->answers = p;
    e->answers[e->n_answers++] = (ft_answer){.at = (int32_t)at, .text = e->said.n, .n = text.n};
    return ft_buf_put(&e->said, text.n ? text.p : "", text.n);
}

/* *at = index of the token behind the first `bytes` of the text. *merged: a token crosses there. */
static ft_status find_border(coder *c, size_t bytes, size_t *at, bool *merged)
{
    const ft_ids *whole = &c->out->ids;
    ft_cut cut = {0, 0};
    size_t k = 0;
    for (size_t i = 0; i < c->cuts.n && c->cuts.p[i].bytes <= bytes; i++)
        cut = c->cuts.p[i];
    *at = c->base + cut.ids;
    *merged = false;
    if (bytes == cut.bytes)
        return FT_OK;
    c->alone.n = 0;
    FT_RETURN(ft_tokenizer__encode_marked(c->tok, (ft_str){c->text.p + cut.bytes, bytes - cut.bytes},
                                          c->marks ? c->marks + cut.bytes : NULL, cut.bytes == 0, &c->alone, NULL));
    while (k < c->alone.n && *at + k < whole->n && c->alone.p[k] == whole->p[*at + k])
        k++;
    *merged = k < c->alone.n;
    *at += k;
    return FT_OK;
}

/* Supervision begins or ends behind `bytes` of the text: the tokens before have the mask that was. */
static ft_status put_border(coder *c, size_t bytes, bool before, const ft_str *answer)
{
    size_t at;
    bool merged;
    FT_RETURN(find_border(c, bytes, &at, &merged));
    FT_RETURN(extend_mask(c, at, before));
    if (!answer)
        return FT_OK;
    c->out->merged |= merged;
    return add_answer(c, at, *answer);
}

static void reset(ft_encoded *out)
{
    out->ids.n = out->mask.n = out->said.n = out->n_answers = 0;
    out->merged = false;
}

/* ---- plain rows ---- */

/* One text made of spans [0, n). */
static ft_status encode_run(coder *c, const ft_span *s, size_t n, ft_buf *text)
{
    size_t bytes = 0;
    text->n = 0;
    FT_RETURN(ft_buf_puts(text, ""));
    for (size_t i = 0; i < n; i++)
        FT_RETURN(ft_buf_put(text, s[i].text.p, s[i].text.n));
    c->text = (ft_str){text->p, text->n};
    c->base = c->out->ids.n;
    FT_RETURN(ft_tokenizer__encode_marked(c->tok, c->text, NULL, true, &c->out->ids, &c->cuts));
    for (size_t i = 0; i < n; i++) {
        if (s[i].answer || (i && s[i].supervised != s[i - 1].supervised))
            FT_RETURN(put_border(c, bytes, i && s[i - 1].supervised, s[i].answer ? &s[i].text : NULL));
        bytes += s[i].text.n;
    }
    return extend_mask(c, c->out->ids.n, s[n - 1].supervised);
}

ft_status ft_spans__encode(ft_encoded *out, const ft_span *s, size_t n, const ft_tokenizer *tok, bool bos)
{
    coder c = {.out = out, .tok = tok};
    ft_buf text = {0};
    ft_status st = FT_OK;
    size_t plain = 0;
    reset(out);
    while (plain < n && s[plain].kind == FT_SPAN_PLAIN)
        plain++;
    if (bos)
        FT_TRY(put_id(&c, ft_tokenizer_bos(tok), false));
    if (plain)
        FT_TRY(encode_run(&c, s, plain, &text));
    if (plain < n)
        FT_TRY(put_eos(&c));
done:
    coder_free(&c);
    ft_buf_free(&text);
    return st;
}

/* ---- chats ---- */

static ft_status encode_turn(coder *c, const ft_turn *t)
{
    ft_str answer = {c->text.p + t->from, t->end - t->from};
    FT_RETURN(put_border(c, t->from, false, &answer));
    return put_border(c, t->to, true, NULL);
}

ft_status ft_chat__encode(ft_encoded *out, const ft_chat_row *row, const ft_tokenizer *tok)
{
    size_t n = row->ends ? row->turns[row->n - 1].to : row->r.text.n, bos_end = 0, start;
    coder c = {.out = out, .tok = tok, .text = {row->r.text.p, n}, .marks = row->r.marks.p};
    int32_t bos = ft_tokenizer_bos(tok);
    ft_status st = FT_OK;
    reset(out);
    bool has_bos = n && ft_tokenizer__control(tok, c.text, c.marks, 0, &start, &bos_end) && start == 0 &&
                   ft_str_eq(ft_tokenizer_piece(tok, bos), (ft_str){c.text.p, bos_end});
    if (bos >= 0 && ft_tokenizer_add_bos(tok) && !has_bos)
        FT_TRY(put_id(&c, bos, false));
    c.base = out->ids.n;
    FT_TRY(ft_tokenizer__encode_marked(tok, c.text, c.marks, true, &out->ids, &c.cuts));
    for (size_t i = 0; i < row->n; i++)
        FT_TRY(encode_turn(&c, &row->turns[i]));
    FT_TRY(extend_mask(&c, out->ids.n, false));
    if (row->ends)
        FT_TRY(put_eos(&c));
done:
    coder_free(&c);
    return st;
}
