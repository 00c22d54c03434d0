/* --help, from the tables: a usage line, what the command does, its arguments and options aligned, an example. */
#include "cmd/cmd.h"

#include <string.h>

enum { WIDTH = 100, INDENT = 26, USAGE_OPTIONS = 4 };

ft_status ft_wrap(ft_buf *out, const char *text, int at, int indent, int width)
{
    while (*text) {
        if (text[0] == '\n' && text[1] == '\n') {
            FT_RETURN(ft_buf_printf(out, "\n\n%*s", indent, ""));
            text += 2;
            at = indent;
            continue;
        }
        size_t blank = strspn(text, " \n"), n = strcspn(text + blank, " \n");
        if (at + (int)(blank + n) > width && at > indent) {
            FT_RETURN(ft_buf_printf(out, "\n%*s", indent, ""));
            at = indent;
        } else if (blank) {
            FT_RETURN(ft_buf_putc(out, ' '));
            at++;
        }
        FT_RETURN(ft_buf_put(out, text + blank, n));
        at += (int)n;
        text += blank + n;
        if (text[0] == '\n' && text[1] == '\n')
            continue;
    }
    return ft_buf_putc(out, '\n');
}

/* "--quant T", "RECIPE" */
static void head_of(const ft_cmd_option *o, char *buf, size_t size)
{
    if (o->positional)
        snprintf(buf, size, "%s", o->name);
    else
        snprintf(buf, size, "--%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
}

static bool dispensable(const ft_cmd_option *o)
{
    return !o->positional && !o->required;
}

/* A few options are shown each, many as "[options]". */
ft_status ft_usage_line(ft_buf *out, const ft_cmd *c)
{
    char head[64];
    size_t n = 0;
    for (const ft_cmd_option *o = c->options; o && o->name; o++)
        n += dispensable(o);
    FT_RETURN(ft_buf_printf(out, "fettle %s", c->name));
    for (const ft_cmd_option *o = c->options; o && o->name; o++) {
        if (dispensable(o) && n > USAGE_OPTIONS)
            continue;
        head_of(o, head, sizeof head);
        FT_RETURN(ft_buf_printf(out, o->required ? " %s%s" : " [%s]%s", head, o->repeats ? "..." : ""));
    }
    return n > USAGE_OPTIONS ? ft_buf_puts(out, " [options]") : FT_OK;
}

ft_status ft_help_choices(ft_buf *out, const ft_cmd_option *o)
{
    FT_RETURN(ft_buf_puts(out, o->type == FT_ARG_NAMES ? "; of " : "; one of "));
    for (size_t i = 0; o->choice(i); i++)
        FT_RETURN(ft_buf_printf(out, "%s%s", i ? ", " : "", o->choice(i)));
    return FT_OK;
}

static ft_status put_option(ft_buf *out, const ft_cmd_option *o)
{
    char head[64];
    ft_buf text = {0};
    ft_status st = FT_OK;
    head_of(o, head, sizeof head);
    FT_TRY(ft_buf_puts(&text, o->help));
    if (o->choice)
        FT_TRY(ft_help_choices(&text, o));
    if (o->fallback)
        FT_TRY(ft_buf_printf(&text, " (default: %s)", o->fallback));
    if (o->repeats)
        FT_TRY(ft_buf_puts(&text, "; may be given several times"));
    int used = 2 + (int)strlen(head);
    FT_TRY(ft_buf_printf(out, "  %s", head));
    if (used + 2 > INDENT)
        FT_TRY(ft_buf_printf(out, "\n%*s", INDENT, ""));
    else
        FT_TRY(ft_buf_printf(out, "%*s", INDENT - used, ""));
    st = ft_wrap(out, text.p, INDENT, INDENT, WIDTH);
done:
    ft_buf_free(&text);
    return st;
}

static ft_status put_options(ft_buf *out, const char *title, const ft_cmd_option *rows, bool positional)
{
    bool any = false;
    for (const ft_cmd_option *o = rows; o && o->name; o++) {
        if (o->positional != positional)
            continue;
        if (!any)
            FT_RETURN(ft_buf_printf(out, "\n%s:\n", title));
        any = true;
        FT_RETURN(put_option(out, o));
    }
    return FT_OK;
}

static ft_status put_example(ft_buf *out, const char *example)
{
    FT_RETURN(ft_buf_printf(out, "\n%s:\n", strchr(example, '\n') ? "examples" : "example"));
    for (const char *p = example; *p;) {
        size_t n = strcspn(p, "\n");
        FT_RETURN(ft_buf_printf(out, "  %.*s\n", (int)n, p));
        p += n + (p[n] == '\n');
    }
    return FT_OK;
}

ft_status ft_help_command(ft_buf *out, const ft_cmd *c)
{
    FT_RETURN(ft_buf_puts(out, "usage: "));
    FT_RETURN(ft_usage_line(out, c));
    FT_RETURN(ft_buf_puts(out, "\n\n"));
    FT_RETURN(ft_wrap(out, c->about, 0, 0, WIDTH));
    FT_RETURN(put_options(out, "arguments", c->options, true));
    FT_RETURN(put_options(out, "options", c->options, false));
    FT_RETURN(put_options(out, "global options", ft_cmd_globals, false));
    return put_example(out, c->example);
}

static ft_status put_commands(ft_buf *out, const char *group)
{
    size_t n = group ? strlen(group) : 0;
    FT_RETURN(ft_buf_puts(out, "\ncommands:\n"));
    for (size_t i = 0; ft_cmds[i]; i++) {
        const ft_cmd *c = ft_cmds[i];
        if (group && (strncmp(c->name, group, n) != 0 || c->name[n] != ' '))
            continue;
        FT_RETURN(ft_buf_printf(out, "  %-*s", INDENT - 2, c->name));
        FT_RETURN(ft_wrap(out, c->summary, INDENT, INDENT, WIDTH));
    }
    return FT_OK;
}

ft_status ft_help_group(ft_buf *out, const char *group)
{
    FT_RETURN(ft_buf_printf(out, "usage: fettle %s COMMAND ...\n", group));
    FT_RETURN(put_commands(out, group));
    return ft_buf_printf(out, "\ntype: fettle %s COMMAND --help\n", group);
}

ft_status ft_help_program(ft_buf *out)
{
    FT_RETURN(ft_buf_puts(out, "usage: fettle COMMAND ...\n\n"));
    FT_RETURN(ft_wrap(
        out,
        "Fine-tunes small language models on a CPU: a recipe, a base model and a dataset go in; a LoRA adapter, a "
        "merged model and a GGUF come out, with the score before, after, and of the file that ships.",
        0, 0, WIDTH));
    FT_RETURN(put_commands(out, NULL));
    FT_RETURN(put_options(out, "global options", ft_cmd_globals, false));
    return ft_buf_puts(
        out, "\nMODEL is a Hugging Face directory, a .gguf file or a run folder, everywhere.\n"
             "Exit status: 0 done; 1 the work failed; 2 the request was wrong; 130 stopped by a signal, state "
             "saved.\n\ntype: fettle COMMAND --help\n");
}

/* ---- the command ---- */

static const ft_cmd_option options[] = {
    {"COMMAND", FT_ARG_TEXT, .positional = true, .repeats = true, .help = "the command to explain"},
    {"man", FT_ARG_FLAG, .help = "print the manual page (roff)"},
    {"completion", FT_ARG_FLAG, .help = "print the bash completion"},
    {0}};

static ft_status help_words(ft_buf *out, const ft_args *a)
{
    char name[64];
    size_t n = ft_args_count(a, "COMMAND");
    if (n == 0)
        return ft_help_program(out);
    const char *first = ft_args_item(a, "COMMAND", 0);
    snprintf(name, sizeof name, "%.30s%s%.30s", first, n > 1 ? " " : "", n > 1 ? ft_args_item(a, "COMMAND", 1) : "");
    if (ft_cmd_named(name))
        return ft_help_command(out, ft_cmd_named(name));
    if (n == 1 && ft_cmd_is_group(first))
        return ft_help_group(out, first);
    return ft_fail(FT_EINPUT, "unknown command %s\ntype: fettle --help", name);
}

static ft_status run(const ft_args *a)
{
    ft_buf text = {0};
    ft_status st;
    if (ft_args_given(a, "man"))
        st = ft_page_man(&text);
    else if (ft_args_given(a, "completion"))
        st = ft_page_completion(&text);
    else
        st = help_words(&text, a);
    if (st == FT_OK)
        st = ft_put(&text);
    ft_buf_free(&text);
    return st;
}

const ft_cmd ft_cmd_help = {
    .name = "help",
    .summary = "explain a command; print the manual page or the shell completion",
    .about = "Explains a command, or lists all of them. The manual page and the bash completion are made from the "
             "same tables.",
    .options = options,
    .example = "fettle help train\nfettle help --completion > ~/.local/share/bash-completion/completions/fettle",
    .run = run};
