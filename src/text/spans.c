/* Spans into ids. Neighbouring plain spans are tokenized as one text, as the runtime does with the rendered chat; where
 * supervision begins inside such a text, the border is found by tokenizing what stands before it alone:
 *
 *   ids of "assistant\nHello"   | as | sist | ant | \n | Hello |
 *   ids of "assistant\n"        | as | sist | ant | \n |            common prefix: 4 tokens, the answer is the rest
 *
 * A token that merges across the border belongs to the answer: at run time the prompt stands alone.
 */
#include "text/chat.h"
#include "text/tokenizer_impl.h"

#include <string.h>

/* ---- making spans ---- */

ft_status ft_span__put(ft_spans *s, ft_span_kind kind, ft_str text, bool supervised, int32_t answer)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 32;
        ft_span *p = ft_resize(s->p, cap, sizeof *p);
        if (!p)
            return FT_ENOMEM;
        s->p = p;
        s->cap = cap;
    }
    s->p[s->n++] = (ft_span){.kind = kind, .text = text, .supervised = supervised, .answer = answer};
    return FT_OK;
}

ft_status ft_span__plain(ft_spans *s, const char *text)
{
    return ft_span__put(s, FT_SPAN_PLAIN, ft_str_of(text), false, -1);
}

ft_status ft_span__control(ft_spans *s, const char *text)
{
    return ft_span__put(s, FT_SPAN_CONTROL, ft_str_of(text), false, -1);
}

void ft_spans__free(ft_spans *s)
{
    ft_free(s->p);
    *s = (ft_spans){0};
}

void ft_encoded__free(ft_encoded *e)
{
    ft_ids_free(&e->ids);
    ft_buf_free(&e->mask);
    ft_free(e->answers);
    *e = (ft_encoded){0};
}

/* ---- encoding ---- */

typedef struct coder {
    ft_encoded *out;
    const ft_tokenizer *tok;
    ft_buf text;  /* of the run of plain spans at hand */
    ft_ids alone; /* ids of a prefix of it */
    bool at_start;
} coder;

/* The id of a control span, -1 when the tokenizer has no such token and it is spelled out. */
static int32_t control_id(const ft_tokenizer *tok, const ft_span *s)
{
    if (s->kind != FT_SPAN_CONTROL)
        return -1;
    int32_t id = ft_tokenizer_find(tok, s->text);
    ft_token_type type = id < 0 ? FT_TOKEN_NORMAL : ft_tokenizer_type(tok, id);
    return type == FT_TOKEN_CONTROL || type == FT_TOKEN_USER ? id : -1;
}

static bool is_plain(const ft_tokenizer *tok, const ft_span *s)
{
    return s->kind == FT_SPAN_PLAIN || (s->kind == FT_SPAN_CONTROL && control_id(tok, s) < 0);
}

static ft_status extend_mask(coder *c, bool supervised)
{
    while (c->out->mask.n < c->out->ids.n)
        FT_RETURN(ft_buf_putc(&c->out->mask, supervised));
    return FT_OK;
}

static ft_status put_id(coder *c, int32_t id, bool supervised)
{
    FT_RETURN(ft_ids_put(&c->out->ids, id));
    return extend_mask(c, supervised);
}

static ft_status add_answer(coder *c, size_t at, int32_t message)
{
    ft_encoded *e = c->out;
    ft_answer *p = ft_resize(e->answers, e->n_answers + 1, sizeof *p);
    if (!p)
        return FT_ENOMEM;
    e->answers = p;
    e->answers[e->n_answers++] = (ft_answer){.at = (int32_t)at, .message = message};
    return FT_OK;
}

/* *at = index of the token behind the first `bytes` of the run, whose ids begin at `base`.
 * *merged: a token crosses there. */
static ft_status find_border(coder *c, size_t base, size_t bytes, size_t *at, bool *merged)
{
    const ft_ids *whole = &c->out->ids;
    size_t k = 0;
    *at = base;
    *merged = false;
    if (!bytes)
        return FT_OK;
    c->alone.n = 0;
    FT_RETURN(ft_tokenizer__encode_part(c->tok, (ft_str){c->text.p, bytes}, false, c->at_start, &c->alone));
    while (k < c->alone.n && base + k < whole->n && c->alone.p[k] == whole->p[base + k])
        k++;
    *merged = k < c->alone.n;
    *at = base + k;
    return FT_OK;
}

/* Supervision or an answer begins at span i, `bytes` into the run: the tokens before it keep the mask of the
 * span before. */
static ft_status put_border(coder *c, const ft_span *s, size_t i, size_t base, size_t bytes)
{
    size_t end = c->out->ids.n, at;
    bool merged;
    FT_RETURN(find_border(c, base, bytes, &at, &merged));
    c->out->ids.n = at;
    ft_status st = i ? extend_mask(c, s[i - 1].supervised) : FT_OK;
    c->out->ids.n = end;
    if (st != FT_OK || s[i].answer < 0)
        return st;
    c->out->merged |= merged;
    return add_answer(c, at, s[i].answer);
}

/* One text made of spans [0, n). */
static ft_status encode_run(coder *c, const ft_span *s, size_t n)
{
    size_t base = c->out->ids.n, bytes = 0;
    c->text.n = 0;
    FT_RETURN(ft_buf_puts(&c->text, ""));
    for (size_t i = 0; i < n; i++)
        FT_RETURN(ft_buf_put(&c->text, s[i].text.p, s[i].text.n));
    FT_RETURN(ft_tokenizer__encode_part(c->tok, (ft_str){c->text.p, c->text.n}, false, c->at_start, &c->out->ids));
    for (size_t i = 0; i < n; i++) {
        if (s[i].answer >= 0 || (i && s[i].supervised != s[i - 1].supervised))
            FT_RETURN(put_border(c, s, i, base, bytes));
        bytes += s[i].text.n;
    }
    c->at_start = false;
    return extend_mask(c, s[n - 1].supervised);
}

static ft_status encode_spans(coder *c, const ft_spans *s)
{
    for (size_t i = 0; i < s->n;) {
        size_t end = i;
        while (end < s->n && is_plain(c->tok, &s->p[end]))
            end++;
        if (end > i) {
            FT_RETURN(encode_run(c, &s->p[i], end - i));
            i = end;
            continue;
        }
        int32_t id = s->p[i].kind == FT_SPAN_EOS ? ft_tokenizer_eos(c->tok) : control_id(c->tok, &s->p[i]);
        if (id < 0)
            return ft_fail(FT_EUNSUPPORTED, "the tokenizer names no end token (eos): an answer cannot end");
        FT_RETURN(put_id(c, id, s->p[i].supervised));
        c->at_start = false;
        i++;
    }
    return FT_OK;
}

ft_status ft_spans__encode(ft_encoded *out, const ft_spans *s, const ft_tokenizer *tok, bool bos, bool at_start)
{
    coder c = {.out = out, .tok = tok, .at_start = at_start};
    ft_status st = FT_OK;
    out->ids.n = out->mask.n = out->n_answers = 0;
    out->merged = false;
    if (bos)
        FT_TRY(put_id(&c, ft_tokenizer_bos(tok), false));
    FT_TRY(encode_spans(&c, s));
done:
    ft_buf_free(&c.text);
    ft_ids_free(&c.alone);
    return st;
}
