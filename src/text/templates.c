/* The template table: picking a row by name or by the model's own template text, and what is common to all of them. */
#include "text/chat.h"
#include "text/unicode.h"

#include <stdio.h>
#include <string.h>

#define FT_CHAT_TEMPLATE(name) extern const ft_chat_template ft_chat_##name;
#include "text/templates.def"
#undef FT_CHAT_TEMPLATE

static const ft_chat_template *const templates[] = {
#define FT_CHAT_TEMPLATE(name) &ft_chat_##name,
#include "text/templates.def"
#undef FT_CHAT_TEMPLATE
};

const char *ft_chat_template_choice(size_t i)
{
    return i == 0 ? "auto" : i == 1 ? "none" : i - 2 < FT_COUNT(templates) ? templates[i - 2]->name : NULL;
}

/* "chatml, llama2, llama3" */
static const char *names(char *buf, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < FT_COUNT(templates) && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s%s", i ? ", " : "", templates[i]->name);
    return buf;
}

/* Stands for a model whose own template is none of the table: plain rows need none, a chat is refused. */
static ft_status refuse(ft_spans *out, const ft_message *messages, size_t n, bool ask)
{
    char buf[256];
    return ft_fail(FT_EUNSUPPORTED,
                   "the model's own chat template is not one that fettle can render; name chat_template: one of %s",
                   names(buf, sizeof buf));
}

static const char *const no_stops[] = {NULL};
static const ft_chat_template unknown = {
    .name = "unknown", .render = refuse, .ollama = "{{ .Prompt }}", .stops = no_stops};

/* ---- picking ---- */

static const ft_chat_template *recognised(const char *text)
{
    for (size_t i = 0; i < FT_COUNT(templates); i++)
        if (templates[i]->recognises(text))
            return templates[i];
    return &unknown;
}

static ft_status pick_named(const ft_chat_template **out, const char *name)
{
    const char *choices[FT_COUNT(templates) + 2];
    char buf[256];
    for (size_t i = 0; i < FT_COUNT(choices); i++)
        choices[i] = ft_chat_template_choice(i);
    for (size_t i = 0; i < FT_COUNT(templates); i++)
        if (strcmp(templates[i]->name, name) == 0) {
            *out = templates[i];
            return FT_OK;
        }
    const char *near = ft_nearest(name, choices, FT_COUNT(choices));
    return ft_fail(FT_EUNSUPPORTED, "there is no chat template \"%s\"; the choices are auto, none, %s%s%s", name,
                   names(buf, sizeof buf), near ? "; nearest: " : "", near ? near : "");
}

ft_status ft_chat_template_pick(const ft_chat_template **out, const char *name, const ft_tokenizer *tok)
{
    const char *own = tok ? ft_tokenizer_chat_template(tok) : NULL;
    *out = NULL;
    if (name && strcmp(name, "none") == 0)
        return FT_OK;
    if (name && strcmp(name, "auto") != 0)
        return pick_named(out, name);
    *out = own && *own ? recognised(own) : NULL;
    return FT_OK;
}

/* ---- answers ---- */

const char *ft_chat_template_name(const ft_chat_template *t)
{
    return t ? t->name : "none";
}

const char *ft_chat_template_ollama(const ft_chat_template *t)
{
    return t ? t->ollama : unknown.ollama;
}

const char *const *ft_chat_template_stops(const ft_chat_template *t)
{
    return t ? t->stops : no_stops;
}

const char *ft_chat_template_jinja(const ft_chat_template *t)
{
    return t ? t->jinja : NULL;
}

ft_str ft_chat__trim(ft_str s)
{
    size_t lead = ft_unicode__leading_space(s);
    s = (ft_str){s.p + lead, s.n - lead};
    s.n -= ft_unicode__trailing_space(s);
    return s;
}

/* ---- the default system message ---- */

/* A Jinja literal's text up to `close`: its escapes undone. False where the literal ends before it. */
static bool literal_until(const char *p, const char *close, ft_buf *out, ft_status *st)
{
    size_t n = strlen(close), start = out->n;
    for (; *p && *p != '\'' && *p != '"' && *st == FT_OK; p++) {
        if (strncmp(p, close, n) == 0)
            return out->n > start;
        if (*p == '\\' && p[1])
            p++;
        *st = ft_buf_putc(out, p[-1] == '\\' && *p == 'n' ? '\n' : *p);
    }
    out->n = start;
    return false;
}

ft_status ft_chat_template_system(const ft_chat_template *t, const ft_tokenizer *tok, ft_buf *out)
{
    const char *own = ft_tokenizer_chat_template(tok);
    ft_status st = FT_OK;
    if (!t || !t->system_open || !own || !t->recognises(own))
        return FT_OK;
    for (const char *p = strstr(own, t->system_open); p && st == FT_OK; p = strstr(p, t->system_open)) {
        p += strlen(t->system_open);
        size_t line = *p == '\n' ? 1 : p[0] == '\\' && p[1] == 'n' ? 2 : 0;
        if (line && literal_until(p + line, t->system_close, out, &st))
            break;
    }
    return st;
}

ft_status ft_chat__render(ft_spans *out, const ft_chat_template *t, ft_str system, const ft_message *messages, size_t n,
                          bool ask)
{
    if (!system.n || (n && messages[0].role == FT_SYSTEM))
        return t->render(out, messages, n, ask);
    ft_message *all = ft_alloc(n + 1, sizeof *all);
    if (!all)
        return FT_ENOMEM;
    all[0] = (ft_message){.role = FT_SYSTEM, .content = system};
    memcpy(all + 1, messages, n * sizeof *all);
    ft_status st = t->render(out, all, n + 1, ask);
    for (size_t i = 0; i < out->n; i++)
        out->p[i].answer -= out->p[i].answer >= 0; /* numbers of the messages that were given */
    ft_free(all);
    return st;
}
