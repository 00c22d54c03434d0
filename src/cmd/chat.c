/* fettle chat: a conversation, line by line, with the model's own chat template.
 *
 * Each turn renders the whole conversation again. When it outgrows the model's context the oldest turns are forgotten,
 * a pair at a time, and said so.
 */
#include "cmd/opened.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct conversation {
    ft_message *p;
    size_t n, cap;
    bool has_system;
} conversation;

static ft_status add(conversation *c, ft_role role, const char *text, size_t n)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 16;
        ft_message *p = ft_resize(c->p, cap, sizeof *p);
        if (!p)
            return FT_ENOMEM;
        c->p = p;
        c->cap = cap;
    }
    char *copy = ft_strndup(text, n);
    if (!copy)
        return FT_ENOMEM;
    c->p[c->n++] = (ft_message){.role = role, .content = {copy, n}};
    return FT_OK;
}

static void forget(conversation *c, size_t from, size_t n)
{
    if (n == 0)
        return;
    for (size_t i = from; i < from + n; i++)
        ft_free((char *)c->p[i].content.p);
    memmove(c->p + from, c->p + from + n, (c->n - from - n) * sizeof *c->p);
    c->n -= n;
}

static void reset(conversation *c)
{
    size_t kept = c->has_system ? 1 : 0;
    forget(c, kept, c->n - kept);
}

/* Ids of the conversation, with as many turns forgotten as the context and the room for an answer ask for. */
static ft_status fitting_ids(ft_ids *ids, conversation *c, const ft_opened *o, const ft_args *a)
{
    int64_t context = ft_model_config(o->model)->max_position_embeddings;
    int64_t answer = FT_MIN(ft_args_int(a, "max-new-tokens"), context / 2);
    size_t first = c->has_system ? 1 : 0, forgotten = 0;
    for (;;) {
        ids->n = 0;
        FT_RETURN(ft_prompt_ids(ids, c->p, c->n, o->tok, o->chat));
        if ((int64_t)ids->n + answer <= context || c->n - first < 3)
            break;
        forget(c, first, 2);
        forgotten++;
    }
    if (forgotten)
        ft_note(FT_NOTE, "the context of %lld tokens is full: the oldest %zu turns were forgotten", (long long)context,
                forgotten);
    return FT_OK;
}

static ft_status answer(conversation *c, ft_opened *o, const ft_args *a)
{
    ft_ids ids = {0};
    ft_printer s;
    bool stopped;
    ft_status st = FT_OK;
    ft_printer_init(&s, o->tok, true);
    FT_TRY(fitting_ids(&ids, c, o, a));
    FT_TRY(ft_generate(o, &ids, a, &s, NULL, &stopped));
    putchar('\n');
    fflush(stdout);
    st = add(c, FT_ASSISTANT, s.text.p ? s.text.p : "", s.text.n);
done:
    ft_printer_free(&s);
    ft_ids_free(&ids);
    return st;
}

/* One line from the user: a command or a message. */
static ft_status turn(conversation *c, ft_opened *o, const ft_args *a, const char *line, size_t n)
{
    if (n == 0)
        return FT_OK;
    if (strcmp(line, "/reset") == 0) {
        reset(c);
        ft_say("forgotten");
        return FT_OK;
    }
    FT_RETURN(add(c, FT_USER, line, n));
    return answer(c, o, a);
}

static ft_status talk(conversation *c, ft_opened *o, const ft_args *a)
{
    bool people = isatty(STDIN_FILENO) && ft_out_is_terminal();
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    ft_status st = FT_OK;
    if (people)
        ft_say("/reset begins anew, /quit or Ctrl-D ends");
    for (;;) {
        if (people)
            fputs("> ", stderr);
        if ((n = getline(&line, &cap, stdin)) < 0)
            break;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            line[--n] = 0;
        if (strcmp(line, "/quit") == 0)
            break;
        FT_TRY(turn(c, o, a, line, (size_t)n));
    }
    if (people)
        fputc('\n', stderr);
done:
    free(line); /* getline's */
    return st;
}

static ft_status run(const ft_args *a)
{
    ft_opened o = {0};
    conversation c = {0};
    const char *system = ft_args_text(a, "system");
    ft_status st = FT_OK;
    FT_TRY(ft_opened_open(&o, a));
    if (!o.chat) {
        st = ft_fail(FT_EUNSUPPORTED,
                     "%s has no chat template\ntype: fettle generate %s --prompt TEXT, or choose one with "
                     "--chat-template",
                     ft_args_text(a, "MODEL"), ft_args_text(a, "MODEL"));
        goto done;
    }
    if (system)
        FT_TRY(add(&c, FT_SYSTEM, system, strlen(system)));
    c.has_system = system != NULL;
    st = talk(&c, &o, a);
done:
    forget(&c, 0, c.n);
    ft_free(c.p);
    ft_opened_close(&o);
    return st;
}

static const ft_cmd_option options[] = {
    FT_MODEL_OPTION,
    {"system", FT_ARG_TEXT, .argument = "TEXT", .help = "a system message before the conversation"},
    FT_SAMPLING_OPTIONS,
    FT_ADAPTER_OPTION,
    FT_TEMPLATE_OPTION,
    {0}};

const ft_cmd ft_cmd_chat = {
    .name = "chat",
    .summary = "talk with a model",
    .about = "Reads a line, streams the answer, and so on until end of input (Ctrl-D) or /quit; /reset begins anew. "
             "Works in a pipe too: one message a line in, one answer a line out. The template is the model's own.",
    .options = options,
    .example = "fettle chat runs/support --system 'You answer in one sentence.' --temperature 0.7",
    .run = run};
