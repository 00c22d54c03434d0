/* The template that Ollama is given, in Go's dialect, derived from the chat template by asking it: conversations of
 * words that occur nowhere else are rendered, and what stands between the words are the pieces that Go has to write.
 *
 *   FIRST u1 ASK+OPEN a1 NEXT u2 ASK+OPEN a2 NEXT u3 ASK        the next answer is asked for
 *   BEFORE s AFTER u1 ...                                       the system message first, or (Mistral) in the last
 * turn: FIRST u1 ... NEXT u2 ASK+OPEN a2 BEFORE s AFTER u3 ASK
 *   ... a1 TOOL t1 AGAIN t2 REPLY+OPEN a2 NEXT u2 ASK           answers of tools, where the template takes them
 *
 * Pieces that should be equal must be, or the template is not of this form and that is said. Go has no trim: texts that
 * people write with white space at their ends go through as they are, where Jinja may cut it. Definitions of tools are
 * not written: Ollama spells their JSON in its own way.
 */
#include "text/chat.h"
#include "text/tokenizer_impl.h"

#include <string.h>

enum { WORDS = 8 };
static const char words[][12] = {"QsystemQ",  "QuserAQ", "QanswerAQ", "QuserBQ",
                                 "QanswerBQ", "QuserCQ", "QtoolAQ",   "QtoolBQ"};
enum { S, U1, A1, U2, A2, U3, T1, T2 };
static const ft_role roles[WORDS] = {FT_SYSTEM,    FT_USER, FT_ASSISTANT, FT_USER,
                                     FT_ASSISTANT, FT_USER, FT_TOOL,      FT_TOOL};

/* A conversation of words as it is rendered: where each begins, in their order. */
typedef struct probe {
    ft_rendered r;
    ft_str text; /* of r, without a BOS that the tokenizer puts itself */
    size_t at[WORDS];
} probe;

typedef struct pieces {
    ft_str first, ask, open, next;
    bool system, system_last, tools;
    ft_str before, before_first, after; /* before_first: in the last turn, where it is the first too */
    ft_str tool, again, reply;
} pieces;

static bool find_word(probe *p, int word)
{
    const char *w = words[word];
    for (size_t i = 0, n = strlen(w); i + n <= p->text.n; i++)
        if (memcmp(p->text.p + i, w, n) == 0) {
            p->at[word] = i;
            return true;
        }
    return false;
}

/* *holds: it renders, and every word is there. */
static ft_status ask(probe *p, const ft_renderer *r, const int *order, size_t n, bool *holds)
{
    ft_message m[WORDS];
    json_t *vars = NULL;
    ft_status st = FT_OK;
    for (size_t i = 0; i < n; i++)
        m[i] = (ft_message){.role = roles[order[i]], .content = ft_str_of(words[order[i]])};
    FT_RETURN(ft_renderer__variables(r, m, n, (ft_str){0}, &vars));
    st = ft_renderer__render(r, vars, n, true, &p->r);
    json_decref(vars);
    *holds = st == FT_OK;
    if (st == FT_EINPUT)
        return FT_OK;
    FT_RETURN(st);
    ft_str bos = ft_tokenizer_piece(r->tok, ft_tokenizer_bos(r->tok));
    p->text = (ft_str){p->r.text.p, p->r.text.n};
    if (ft_tokenizer_add_bos(r->tok) && bos.n && p->text.n >= bos.n && memcmp(p->text.p, bos.p, bos.n) == 0)
        p->text = (ft_str){p->text.p + bos.n, p->text.n - bos.n};
    for (size_t i = 0; i < n; i++)
        *holds = *holds && find_word(p, order[i]);
    return FT_OK;
}

/* From the end of a word (-1: the start) to the beginning of another (-1: the end); p NULL where they stand otherwise.
 */
static ft_str between(const probe *p, int a, int b)
{
    size_t from = a < 0 ? 0 : p->at[a] + strlen(words[a]), to = b < 0 ? p->text.n : p->at[b];
    return from <= to ? (ft_str){p->text.p + from, to - from} : (ft_str){NULL, 0};
}

static bool same(ft_str a, ft_str b)
{
    return a.p && b.p && ft_str_eq(a, b);
}

/* whole = head + *rest */
static bool behind(ft_str whole, ft_str head, ft_str *rest)
{
    if (!whole.p || !head.p || whole.n < head.n || memcmp(whole.p, head.p, head.n) != 0)
        return false;
    *rest = (ft_str){whole.p + head.n, whole.n - head.n};
    return true;
}

static bool turns_of(pieces *k, const probe *p)
{
    k->first = between(p, -1, U1);
    k->next = between(p, A1, U2);
    k->ask = between(p, U3, -1);
    return k->first.p && same(k->next, between(p, A2, U3)) && same(between(p, U1, A1), between(p, U2, A2)) &&
           behind(between(p, U1, A1), k->ask, &k->open);
}

/* The system message in a conversation of the same turns, and (one) in one of a single turn. */
static bool system_of(pieces *k, const probe *p, const probe *one)
{
    pieces same_turns = {0};
    k->system_last = p->at[S] > p->at[A2];
    k->before = between(p, k->system_last ? A2 : -1, S);
    k->after = between(p, S, k->system_last ? U3 : U1);
    k->before_first = between(one, -1, S);
    if (!k->before.p || !k->after.p || !same(between(one, S, U1), k->after) || !same(between(one, U1, -1), k->ask))
        return false;
    if (k->system_last)
        return same(between(p, -1, U1), k->first) && same(between(p, A1, U2), k->next) &&
               same(between(p, U3, -1), k->ask) && same(between(p, U1, A1), between(p, U2, A2)) &&
               behind(between(p, U1, A1), k->ask, &same_turns.open) && same(same_turns.open, k->open);
    return turns_of(&same_turns, p) && same(k->before_first, k->before) && same(same_turns.next, k->next) &&
           same(same_turns.ask, k->ask) && same(same_turns.open, k->open);
}

static bool tools_of(pieces *k, const probe *p, const probe *asked)
{
    ft_str open;
    k->tool = between(p, A1, T1);
    k->again = between(p, T1, T2);
    k->reply = between(asked, T1, -1);
    return k->tool.p && k->again.p && behind(between(p, T2, A2), k->reply, &open) && same(open, k->open) &&
           same(between(p, A2, U3), k->next) && same(between(asked, A1, T1), k->tool);
}

/* ---- Go ---- */

/* The piece as an action that writes it. */
static ft_status put(ft_buf *out, ft_str s)
{
    if (!s.n)
        return FT_OK;
    FT_RETURN(ft_buf_puts(out, "{{ \""));
    for (size_t i = 0; i < s.n; i++)
        FT_RETURN(ft_buf_put_escaped(out, (unsigned char)s.p[i]));
    return ft_buf_puts(out, "\" }}");
}

static ft_status put_user(ft_buf *out, const pieces *k)
{
    FT_RETURN(ft_buf_puts(out, "{{- if eq .Role \"user\" }}"));
    if (k->system_last) {
        FT_RETURN(ft_buf_puts(out, "{{ if and $system (eq (len (slice $.Messages $i)) 1) }}{{ if $prev }}"));
        FT_RETURN(put(out, k->before));
        FT_RETURN(ft_buf_puts(out, "{{ else }}"));
        FT_RETURN(put(out, k->before_first));
        FT_RETURN(ft_buf_puts(out, "{{ end }}{{ $system }}"));
        FT_RETURN(put(out, k->after));
        FT_RETURN(ft_buf_puts(out, "{{ else if $prev }}"));
    } else {
        FT_RETURN(ft_buf_puts(out, "{{ if eq $prev \"system\" }}"));
        FT_RETURN(put(out, k->after));
        FT_RETURN(ft_buf_puts(out, "{{ else if $prev }}"));
    }
    FT_RETURN(put(out, k->next));
    FT_RETURN(ft_buf_puts(out, "{{ else }}"));
    FT_RETURN(put(out, k->first));
    FT_RETURN(ft_buf_puts(out, "{{ end }}{{ .Content }}"));
    FT_RETURN(put(out, k->ask));
    return ft_buf_puts(out, "\n");
}

static ft_status put_assistant(ft_buf *out, const pieces *k)
{
    FT_RETURN(ft_buf_puts(out, "{{- else if eq .Role \"assistant\" }}"));
    if (k->tools) {
        FT_RETURN(ft_buf_puts(out, "{{ if eq $prev \"tool\" }}"));
        FT_RETURN(put(out, k->reply));
        FT_RETURN(ft_buf_puts(out, "{{ end }}"));
    }
    FT_RETURN(put(out, k->open));
    return ft_buf_puts(out, "{{ .Content }}\n");
}

static ft_status put_system(ft_buf *out, const pieces *k)
{
    if (!k->system)
        return FT_OK;
    FT_RETURN(ft_buf_puts(out, "{{- else if eq .Role \"system\" }}"));
    if (k->system_last)
        return ft_buf_puts(out, "{{ $system = .Content }}\n");
    FT_RETURN(put(out, k->before));
    return ft_buf_puts(out, "{{ .Content }}\n");
}

static ft_status put_tool(ft_buf *out, const pieces *k)
{
    if (!k->tools)
        return FT_OK;
    FT_RETURN(ft_buf_puts(out, "{{- else if eq .Role \"tool\" }}{{ if eq $prev \"tool\" }}"));
    FT_RETURN(put(out, k->again));
    FT_RETURN(ft_buf_puts(out, "{{ else }}"));
    FT_RETURN(put(out, k->tool));
    return ft_buf_puts(out, "{{ end }}{{ .Content }}\n");
}

static ft_status put_template(ft_buf *out, const pieces *k)
{
    FT_RETURN(
        ft_buf_puts(out, k->system_last ? "{{- $prev := \"\" }}{{ $system := \"\" }}\n" : "{{- $prev := \"\" }}\n"));
    FT_RETURN(ft_buf_puts(out, "{{- range $i, $_ := .Messages }}\n"));
    FT_RETURN(put_user(out, k));
    FT_RETURN(put_assistant(out, k));
    FT_RETURN(put_tool(out, k));
    FT_RETURN(put_system(out, k));
    FT_RETURN(ft_buf_puts(out, "{{- end }}\n"));
    FT_RETURN(ft_buf_puts(out, k->system && !k->system_last
                                   ? "{{- $prev = .Role }}\n"
                                   : "{{- if ne .Role \"system\" }}{{ $prev = .Role }}{{ end }}\n"));
    FT_RETURN(ft_buf_puts(out, "{{- end }}"));
    if (!k->tools)
        return FT_OK;
    FT_RETURN(ft_buf_puts(out, "{{ if eq $prev \"tool\" }}"));
    FT_RETURN(put(out, k->reply));
    return ft_buf_puts(out, "{{ end }}");
}

/* ---- stops ---- */

/* The token that the text begins with, or its first word; *rest is what stands behind. */
static ft_str first_token(const ft_tokenizer *tok, ft_str text, ft_str *rest)
{
    ft_str s = ft_text_trim(text);
    char marks[64] = {0};
    size_t start, end, n = 0;
    ft_str head = {s.p, FT_MIN(s.n, sizeof marks)};
    if (ft_tokenizer__control(tok, head, marks, 0, &start, &end) && start == 0)
        n = end;
    else
        while (n < s.n && !strchr(" \t\n", s.p[n]))
            n++;
    *rest = (ft_str){s.p + n, s.n - n};
    return (ft_str){s.p, n};
}

/* What ends an answer, and what begins the turn behind it. */
static ft_status put_stops(ft_buf *stops, const ft_tokenizer *tok, ft_str next)
{
    ft_str rest = next;
    for (int i = 0; i < 2; i++) {
        ft_str s = first_token(tok, rest, &rest);
        if (!s.n)
            break;
        FT_RETURN(ft_buf_put(stops, s.p, s.n));
        FT_RETURN(ft_buf_putc(stops, 0));
    }
    return FT_OK;
}

/* ---- the whole ---- */

typedef struct prober {
    ft_renderer r;
    probe plain, system, one, tools, asked;
} prober;

static ft_status derive(prober *b, pieces *k, bool *holds)
{
    static const int plain[] = {U1, A1, U2, A2, U3}, system[] = {S, U1, A1, U2, A2, U3}, one[] = {S, U1};
    static const int tools[] = {U1, A1, T1, T2, A2, U3}, asked[] = {U1, A1, T1};
    bool other;
    FT_RETURN(ask(&b->plain, &b->r, plain, FT_COUNT(plain), holds));
    *holds = *holds && turns_of(k, &b->plain);
    if (!*holds)
        return FT_OK;
    FT_RETURN(ask(&b->system, &b->r, system, FT_COUNT(system), &k->system));
    FT_RETURN(ask(&b->one, &b->r, one, FT_COUNT(one), &other));
    k->system = k->system && other && system_of(k, &b->system, &b->one);
    k->system_last = k->system && k->system_last;
    FT_RETURN(ask(&b->tools, &b->r, tools, FT_COUNT(tools), &k->tools));
    FT_RETURN(ask(&b->asked, &b->r, asked, FT_COUNT(asked), &other));
    k->tools = k->tools && other && tools_of(k, &b->tools, &b->asked);
    return FT_OK;
}

ft_status ft_chat_template_ollama(const ft_chat_template *t, const ft_tokenizer *tok, ft_buf *out, ft_buf *stops)
{
    pieces k = {0};
    bool holds;
    ft_status st = FT_OK;
    if (!t)
        return ft_buf_puts(out, "{{ .Prompt }}");
    prober *b = ft_alloc(1, sizeof *b);
    if (!b)
        return FT_ENOMEM;
    FT_TRY(ft_renderer__open(&b->r, t, tok));
    FT_TRY(derive(b, &k, &holds));
    if (!holds) {
        st = ft_fail(FT_EUNSUPPORTED,
                     "the chat template does not write its turns in a form that a Modelfile can repeat");
        goto done;
    }
    if (!k.system)
        ft_note(FT_NOTE, "the chat template has no place for a system message: the Modelfile leaves it out");
    if (ft_jinja_dated(b->r.jinja))
        ft_note(FT_NOTE, "the chat template writes the date: the Modelfile has today's");
    FT_TRY(put_template(out, &k));
    st = put_stops(stops, tok, k.next);
done:
    ft_rendered__free(&b->plain.r);
    ft_rendered__free(&b->system.r);
    ft_rendered__free(&b->one.r);
    ft_rendered__free(&b->tools.r);
    ft_rendered__free(&b->asked.r);
    ft_renderer__close(&b->r);
    ft_free(b);
    return st;
}
