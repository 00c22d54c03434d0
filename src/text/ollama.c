/* The template that Ollama is given, in Go's dialect, derived from the chat template by asking it: conversations of
 * words that occur nowhere else are rendered, and what stands between the words are the pieces that Go has to write.
 *
 *   FIRST u1 ASK+OPEN a1 NEXT u2 ASK+OPEN a2 NEXT u3 ASK        the next answer is asked for
 *   BEFORE s AFTER u1 ...                                       the system message first, or (Mistral) in the last
 * turn: FIRST u1 ... NEXT u2 ASK+OPEN a2 BEFORE s AFTER u3 ASK
 *   ... a1 TOOL t1 AGAIN t2 REPLY+OPEN a2 NEXT u2 ASK           answers of tools, where the template takes them
 *   ... u1 ASK+CALL f MID {..} SEP f MID {..} END TOOL t1 ...   calls of tools; SAID in the place of CALL behind a text
 *
 * All of it is asked twice, without and with definitions of tools, which stand in some of the pieces (ollama_tools.c).
 * Pieces that should be equal must be, or the template is not of this form and that is said. Go has no trim: texts that
 * people write with white space at their ends go through as they are, where Jinja may cut it.
 */
#include "text/ollama.h"
#include "text/tokenizer_impl.h"

#include <string.h>

enum { S, U1, A1, U2, A2, U3, T1, T2, N1, J1, N2, J2, WORDS };
static const char words[WORDS][24] = {"QsystemQ", "QuserAQ", "QanswerAQ", "QuserBQ", "QanswerBQ", "QuserCQ", "QtoolAQ", "QtoolBQ",
                                      "QcallAQ", "{\"QargAQ\": \"QvalueAQ\"}", "QcallBQ", "{\"QargBQ\": 7}"};

/* A message of a probe: its words are a place in `words` each, -1 ends them. */
#define CALL_ID "QcallidAQ"
#define CALL_A "{\"id\": \"" CALL_ID "\", \"type\": \"function\", \"function\": {\"name\": \"QcallAQ\", \"arguments\": {\"QargAQ\": \"QvalueAQ\"}}}"
#define CALL_B "{\"id\": \"" CALL_ID "\", \"type\": \"function\", \"function\": {\"name\": \"QcallBQ\", \"arguments\": {\"QargBQ\": 7}}}"
enum { ONE_CALL = T2 + 1, TWO_CALLS, TEXT_AND_CALL };
static const struct said {
    ft_role role;
    int words[5];
    const char *content, *extra;
} said[] = {
    [S] = {FT_SYSTEM, {S, -1}, words[S], NULL},
    [U1] = {FT_USER, {U1, -1}, words[U1], NULL},
    [A1] = {FT_ASSISTANT, {A1, -1}, words[A1], NULL},
    [U2] = {FT_USER, {U2, -1}, words[U2], NULL},
    [A2] = {FT_ASSISTANT, {A2, -1}, words[A2], NULL},
    [U3] = {FT_USER, {U3, -1}, words[U3], NULL},
    [T1] = {FT_TOOL, {T1, -1}, words[T1], NULL},
    [T2] = {FT_TOOL, {T2, -1}, words[T2], NULL},
    [ONE_CALL] = {FT_ASSISTANT, {N1, J1, -1}, "", "{\"tool_calls\": [" CALL_A "]}"},
    [TWO_CALLS] = {FT_ASSISTANT, {N1, J1, N2, J2, -1}, "", "{\"tool_calls\": [" CALL_A ", " CALL_B "]}"},
    [TEXT_AND_CALL] = {FT_ASSISTANT, {A1, N1, J1, -1}, words[A1], "{\"tool_calls\": [" CALL_A "]}"},
};

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
    bool calls, text_calls; /* text_calls: a text may stand before them */
    ft_str call, mid, sep, end, said;
    ft_go_tools list; /* of definitions */
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

static bool find_words(probe *p, const int *list)
{
    while (*list >= 0)
        if (!find_word(p, *list++))
            return false;
    return true;
}

/* *holds: it renders, and every word is there. */
static ft_status ask(probe *p, const ft_renderer *r, ft_str tools, const int *order, size_t n, bool *holds)
{
    ft_message m[WORDS];
    json_t *vars = NULL;
    ft_status st = FT_OK;
    for (size_t i = 0; i < n; i++)
        m[i] = (ft_message){.role = said[order[i]].role,
                            .content = ft_str_of(said[order[i]].content),
                            .extra = said[order[i]].extra ? ft_str_of(said[order[i]].extra) : (ft_str){0}};
    FT_RETURN(ft_renderer__variables(r, m, n, tools, &vars));
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
        *holds = *holds && find_words(p, said[order[i]].words);
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

/* whole = *rest + tail */
static bool before(ft_str whole, ft_str tail, ft_str *rest)
{
    if (!whole.p || !tail.p || whole.n < tail.n || memcmp(whole.p + whole.n - tail.n, tail.p, tail.n) != 0)
        return false;
    *rest = (ft_str){whole.p, whole.n - tail.n};
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

/* Calls without a text, two of them or (several false) one, and the answers of tools behind them. */
static bool calls_of(pieces *k, const probe *p, bool several)
{
    ft_str open;
    k->mid = between(p, N1, J1);
    k->sep = several ? between(p, J1, N2) : (ft_str){"", 0};
    return k->mid.p && k->sep.p && behind(between(p, U1, N1), k->ask, &k->call) &&
           (!several || same(between(p, N2, J2), k->mid)) && before(between(p, several ? J2 : J1, T1), k->tool, &k->end) &&
           behind(between(p, T1, A2), k->reply, &open) && same(open, k->open) && same(between(p, A2, U3), k->next) &&
           !ft_go_holds(p->text, CALL_ID);
}

static bool text_calls_of(pieces *k, const probe *p)
{
    ft_str open, end;
    k->said = between(p, A1, N1);
    return k->said.p && behind(between(p, U1, A1), k->ask, &open) && same(open, k->open) && same(between(p, N1, J1), k->mid) &&
           before(between(p, J1, T1), k->tool, &end) && same(end, k->end);
}

/* ---- Go ---- */

/* The piece as actions that write it, the list of tools in it as what writes those of a request. */
static ft_status put(ft_buf *out, const pieces *k, ft_str s)
{
    size_t at;
    if (!ft_go_tools_in(&k->list, s, &at))
        return ft_go_put(out, s);
    FT_RETURN(ft_go_put(out, (ft_str){s.p, at}));
    FT_RETURN(ft_go_put_tools(out, &k->list));
    at += k->list.text.n;
    return ft_go_put(out, (ft_str){s.p + at, s.n - at});
}

static ft_status put_user(ft_buf *out, const pieces *k)
{
    FT_RETURN(ft_buf_puts(out, "{{- if eq .Role \"user\" }}"));
    if (k->system_last) {
        FT_RETURN(ft_buf_puts(out, "{{ if and $system (eq (len (slice $.Messages $i)) 1) }}{{ if $prev }}"));
        FT_RETURN(put(out, k, k->before));
        FT_RETURN(ft_buf_puts(out, "{{ else }}"));
        FT_RETURN(put(out, k, k->before_first));
        FT_RETURN(ft_buf_puts(out, "{{ end }}{{ $system }}"));
        FT_RETURN(put(out, k, k->after));
        FT_RETURN(ft_buf_puts(out, "{{ else if $prev }}"));
    } else {
        FT_RETURN(ft_buf_puts(out, "{{ if eq $prev \"system\" }}"));
        FT_RETURN(put(out, k, k->after));
        FT_RETURN(ft_buf_puts(out, "{{ else if $prev }}"));
    }
    FT_RETURN(put(out, k, k->next));
    FT_RETURN(ft_buf_puts(out, "{{ else }}"));
    FT_RETURN(put(out, k, k->first));
    FT_RETURN(ft_buf_puts(out, "{{ end }}{{ .Content }}"));
    FT_RETURN(put(out, k, k->ask));
    return ft_buf_puts(out, "\n");
}

/* Up to the else of a turn without calls. Ollama takes the first plain text in here as the mark of a call in what a model
 * writes, and runs this part alone to see how one is spelled: it may use no variable from outside. */
static ft_status put_calls(ft_buf *out, const pieces *k)
{
    FT_RETURN(ft_buf_puts(out, "{{ if .ToolCalls }}"));
    if (k->text_calls) {
        FT_RETURN(ft_buf_puts(out, "{{ if .Content }}"));
        FT_RETURN(put(out, k, k->open));
        FT_RETURN(ft_buf_puts(out, "{{ .Content }}"));
        FT_RETURN(ft_go_put_plain(out, k->said));
        FT_RETURN(ft_buf_puts(out, "{{ else }}"));
    }
    FT_RETURN(ft_go_put_plain(out, k->call));
    FT_RETURN(ft_buf_puts(out, k->text_calls ? "{{ end }}{{ range $c, $_ := .ToolCalls }}{{ if $c }}"
                                             : "{{ range $c, $_ := .ToolCalls }}{{ if $c }}"));
    FT_RETURN(put(out, k, k->sep));
    FT_RETURN(ft_buf_puts(out, "{{ end }}{{ .Function.Name }}"));
    FT_RETURN(put(out, k, k->mid));
    FT_RETURN(ft_buf_puts(out, ft_go_arguments));
    FT_RETURN(ft_buf_puts(out, "{{ end }}"));
    FT_RETURN(put(out, k, k->end));
    return ft_buf_puts(out, "{{ else }}");
}

static ft_status put_assistant(ft_buf *out, const pieces *k)
{
    FT_RETURN(ft_buf_puts(out, "{{- else if eq .Role \"assistant\" }}"));
    if (k->tools) {
        FT_RETURN(ft_buf_puts(out, "{{ if eq $prev \"tool\" }}"));
        FT_RETURN(put(out, k, k->reply));
        FT_RETURN(ft_buf_puts(out, "{{ end }}"));
    }
    if (k->calls)
        FT_RETURN(put_calls(out, k));
    FT_RETURN(put(out, k, k->open));
    return ft_buf_puts(out, k->calls ? "{{ .Content }}{{ end }}\n" : "{{ .Content }}\n");
}

static ft_status put_system(ft_buf *out, const pieces *k)
{
    if (!k->system)
        return FT_OK;
    FT_RETURN(ft_buf_puts(out, "{{- else if eq .Role \"system\" }}"));
    if (k->system_last)
        return ft_buf_puts(out, "{{ $system = .Content }}\n");
    FT_RETURN(put(out, k, k->before));
    return ft_buf_puts(out, "{{ .Content }}\n");
}

static ft_status put_tool(ft_buf *out, const pieces *k)
{
    if (!k->tools)
        return FT_OK;
    FT_RETURN(ft_buf_puts(out, "{{- else if eq .Role \"tool\" }}{{ if eq $prev \"tool\" }}"));
    FT_RETURN(put(out, k, k->again));
    FT_RETURN(ft_buf_puts(out, "{{ else }}"));
    FT_RETURN(put(out, k, k->tool));
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
    FT_RETURN(put(out, k, k->reply));
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
    ft_renderer *r;
    ft_str definitions; /* of tools, n 0: none */
    probe plain, system, one, tools, asked, calls, text_calls;
    pieces k;
    bool holds;
} prober;

static void prober_free(prober *b)
{
    probe *all[] = {&b->plain, &b->system, &b->one, &b->tools, &b->asked, &b->calls, &b->text_calls};
    for (size_t i = 0; i < FT_COUNT(all); i++)
        ft_rendered__free(&all[i]->r);
    ft_go_tools_free(&b->k.list);
}

#define ASK(to, holds, ...)                                                                                            \
    ask(to, b->r, b->definitions, (const int[]){__VA_ARGS__}, sizeof(int[]){__VA_ARGS__} / sizeof(int), holds)

static ft_status derive_calls(prober *b)
{
    pieces *k = &b->k;
    if (!k->tools)
        return FT_OK;
    FT_RETURN(ASK(&b->calls, &k->calls, U1, TWO_CALLS, T1, A2, U3));
    k->calls = k->calls && calls_of(k, &b->calls, true);
    if (!k->calls) { /* Llama 3 makes one at a time */
        FT_RETURN(ASK(&b->calls, &k->calls, U1, ONE_CALL, T1, A2, U3));
        k->calls = k->calls && calls_of(k, &b->calls, false);
    }
    if (!k->calls)
        return FT_OK;
    FT_RETURN(ASK(&b->text_calls, &k->text_calls, U1, TEXT_AND_CALL, T1, A2, U3));
    k->text_calls = k->text_calls && text_calls_of(k, &b->text_calls);
    return FT_OK;
}

static ft_status derive(prober *b)
{
    pieces *k = &b->k;
    bool other;
    FT_RETURN(ASK(&b->plain, &b->holds, U1, A1, U2, A2, U3));
    b->holds = b->holds && turns_of(k, &b->plain);
    if (!b->holds)
        return FT_OK;
    FT_RETURN(ASK(&b->system, &k->system, S, U1, A1, U2, A2, U3));
    FT_RETURN(ASK(&b->one, &other, S, U1));
    k->system = k->system && other && system_of(k, &b->system, &b->one);
    k->system_last = k->system && k->system_last;
    FT_RETURN(ASK(&b->tools, &k->tools, U1, A1, T1, T2, A2, U3));
    FT_RETURN(ASK(&b->asked, &other, U1, A1, T1));
    k->tools = k->tools && other && tools_of(k, &b->tools, &b->asked);
    return derive_calls(b);
}

/* The template for requests that bring tools. *takes: definitions make a difference; *holds: and it can be written. */
static ft_status derive_with_tools(prober *b, const prober *without, bool *takes, bool *holds)
{
    b->definitions = ft_str_of(ft_go_probe_tools);
    FT_RETURN(derive(b));
    ft_buf *text = &b->plain.r.text;
    *takes = text->n && !ft_str_eq((ft_str){text->p, text->n}, (ft_str){without->plain.r.text.p, without->plain.r.text.n});
    if (*takes && b->holds)
        FT_RETURN(ft_go_tools_find(&b->k.list, b->k.first));
    *holds = b->holds && b->k.list.text.n && b->k.calls && b->k.system == without->k.system;
    return FT_OK;
}

/* {{ if .Tools }} with tools {{ else }} without {{ end }}; *all: nothing of the probe's tools is left in it. */
static ft_status put_both(ft_buf *out, const pieces *with, const pieces *without, bool *all)
{
    ft_buf part = {0};
    ft_status st = FT_OK;
    FT_TRY(put_template(&part, with));
    *all = !ft_go_holds((ft_str){part.p, part.n}, "Qtool");
    if (*all) {
        FT_TRY(ft_buf_puts(out, "{{- if .Tools }}\n"));
        FT_TRY(ft_buf_put(out, part.p, part.n));
        FT_TRY(ft_buf_puts(out, "\n{{- else }}\n"));
    }
    FT_TRY(put_template(out, without));
    if (*all)
        st = ft_buf_puts(out, "\n{{- end }}");
done:
    ft_buf_free(&part);
    return st;
}

static ft_status write_template(ft_buf *out, prober *without, prober *with)
{
    bool takes, holds;
    FT_RETURN(derive_with_tools(with, without, &takes, &holds));
    if (holds)
        FT_RETURN(put_both(out, &with->k, &without->k, &holds));
    else
        FT_RETURN(put_template(out, &without->k));
    if (takes && !holds)
        ft_note(FT_NOTE, "the chat template writes definitions or calls of tools in a way that a Modelfile cannot repeat: the "
                         "Modelfile is for chats without tools");
    return FT_OK;
}

ft_status ft_chat_template_ollama(const ft_chat_template *t, const ft_tokenizer *tok, ft_buf *out, ft_buf *stops)
{
    ft_renderer r = {0};
    ft_status st = FT_OK;
    if (!t)
        return ft_buf_puts(out, "{{ .Prompt }}");
    prober *b = ft_alloc(2, sizeof *b);
    if (!b)
        return FT_ENOMEM;
    FT_TRY(ft_renderer__open(&r, t, tok));
    b[0].r = b[1].r = &r;
    FT_TRY(derive(&b[0]));
    if (!b[0].holds) {
        st = ft_fail(FT_EUNSUPPORTED,
                     "the chat template does not write its turns in a form that a Modelfile can repeat");
        goto done;
    }
    if (!b[0].k.system)
        ft_note(FT_NOTE, "the chat template has no place for a system message: the Modelfile leaves it out");
    if (ft_jinja_dated(r.jinja))
        ft_note(FT_NOTE, "the chat template writes the date: the Modelfile has today's");
    FT_TRY(write_template(out, &b[0], &b[1]));
    st = put_stops(stops, tok, b[0].k.next);
done:
    prober_free(&b[0]);
    prober_free(&b[1]);
    ft_renderer__close(&r);
    ft_free(b);
    return st;
}
