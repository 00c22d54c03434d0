/* Which bytes of a rendered chat are to be learned. For an answer i of n messages
 *
 *   P = messages 0 .. i-1, rendered so that the assistant's turn begins      what is given at run time
 *   F = messages 0 .. i, rendered                                            what should be there after the answer
 *
 * P must be the beginning of F; the answer is the rest, up to the token that ends the turn: the first control token of
 * the template's own behind the last byte of the message. White space behind that is not learned.
 *
 * Where F, up to there, is the beginning of the row at hand (the whole chat, to begin with), the answer is learned in
 * that row. Where it is not, the template has rewritten the turn because of what follows it: then F is a row of its
 * own. So every answer is learned behind exactly the text that the runtime would give, and with the text that it would
 * keep.
 */
#include "text/chat.h"
#include "text/tokenizer_impl.h"

#include <string.h>

typedef struct finder {
    ft_chat_rows *out;
    const ft_renderer *r;
    json_t *vars;
    ft_rendered prompt, whole;
} finder;

static void row_free(ft_chat_row *row)
{
    ft_rendered__free(&row->r);
    ft_free(row->turns);
}

void ft_chat_rows__free(ft_chat_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++)
        row_free(&rows->p[i]);
    ft_free(rows->p);
    *rows = (ft_chat_rows){0};
}

static bool begins(const ft_buf *text, const ft_buf *with, size_t n)
{
    return text->n >= n && (n == 0 || memcmp(text->p, with->p, n) == 0);
}

/* A new row of the text in *r, which it takes. */
static ft_status add_row(ft_chat_rows *out, ft_rendered *r)
{
    ft_chat_row *p = ft_resize(out->p, out->n + 1, sizeof *p);
    if (!p)
        return FT_ENOMEM;
    out->p = p;
    p[out->n++] = (ft_chat_row){.r = *r};
    *r = (ft_rendered){0};
    return FT_OK;
}

static ft_status add_turn(ft_chat_row *row, const ft_turn *t)
{
    ft_turn *p = ft_resize(row->turns, row->n + 1, sizeof *p);
    if (!p)
        return FT_ENOMEM;
    row->turns = p;
    p[row->n++] = *t;
    return FT_OK;
}

/* Where the answer in `whole` ends that begins at t->from. *ends: no token says so. */
static void find_end(const finder *f, ft_turn *t, bool *ends)
{
    const ft_buf *text = &f->whole.text;
    size_t last = t->from;
    for (size_t i = text->n; i > t->from && last == t->from; i--)
        if (f->whole.marks.p[i - 1])
            last = i;
    *ends = !ft_tokenizer__control(f->r->tok, (ft_str){text->p, text->n}, f->whole.marks.p, last, &t->end, &t->to);
    if (!*ends)
        return;
    ft_str rest = {text->p + last, text->n - last};
    t->end = t->to = last + (size_t)(ft_text_trim(rest).p - rest.p) + ft_text_trim(rest).n;
    if (ft_text_trim(rest).n == 0)
        t->end = t->to = last;
}

static ft_status find_turn(finder *f, size_t message, ft_turn *t, bool *ends)
{
    FT_RETURN(ft_renderer__render(f->r, f->vars, message, true, &f->prompt));
    FT_RETURN(ft_renderer__render(f->r, f->vars, message + 1, false, &f->whole));
    if (!begins(&f->whole.text, &f->prompt.text, f->prompt.text.n))
        return ft_fail(
            FT_EUNSUPPORTED,
            "message %zu: the chat template does not begin this turn as it begins one that is asked for, so what "
            "is to be learned cannot be told from what is given",
            message + 1);
    *t = (ft_turn){.from = f->prompt.text.n, .message = (int32_t)message};
    find_end(f, t, ends);
    return FT_OK;
}

/* Turns were found from the last to the first. */
static void put_in_order(ft_chat_rows *rows)
{
    for (size_t i = 0; i < rows->n / 2; i++) {
        ft_chat_row row = rows->p[i];
        rows->p[i] = rows->p[rows->n - 1 - i];
        rows->p[rows->n - 1 - i] = row;
    }
    for (size_t i = 0; i < rows->n; i++)
        for (size_t a = 0, b = rows->p[i].n; a + 1 < b; a++, b--) {
            ft_turn turn = rows->p[i].turns[a];
            rows->p[i].turns[a] = rows->p[i].turns[b - 1];
            rows->p[i].turns[b - 1] = turn;
        }
}

static ft_status find_turns(finder *f, const ft_example *e, bool last)
{
    ft_rendered all = {0};
    ft_status st = ft_renderer__render(f->r, f->vars, e->n, false, &all);
    if (st == FT_OK)
        st = add_row(f->out, &all);
    ft_rendered__free(&all);
    for (size_t i = e->n; i-- > 0 && st == FT_OK;) {
        ft_turn t;
        bool ends = false;
        if (!e->messages[i].supervised)
            continue;
        FT_RETURN(find_turn(f, i, &t, &ends));
        ft_chat_row *row = &f->out->p[f->out->n - 1];
        if (!begins(&row->r.text, &f->whole.text, t.to)) {
            if (!row->n) { /* nothing is learned in the chat as a whole */
                row_free(row);
                f->out->n--;
            }
            FT_RETURN(add_row(f->out, &f->whole));
            row = &f->out->p[f->out->n - 1];
        }
        row->ends |= ends && !row->n;
        FT_RETURN(add_turn(row, &t));
        if (last)
            break;
    }
    return st;
}

ft_status ft_turns__find(ft_chat_rows *out, const ft_renderer *r, const ft_example *e, bool last)
{
    finder f = {.out = out, .r = r};
    ft_status st = FT_OK;
    *out = (ft_chat_rows){0};
    FT_TRY(ft_renderer__variables(r, e->messages, e->n, e->tools, &f.vars));
    FT_TRY(find_turns(&f, e, last));
    put_in_order(out);
done:
    json_decref(f.vars);
    ft_rendered__free(&f.prompt);
    ft_rendered__free(&f.whole);
    if (st != FT_OK)
        ft_chat_rows__free(out);
    return st;
}
