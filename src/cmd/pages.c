/* The manual page (roff, man macros) and the bash completion, from the command table and the recipe's option table. */
#include "config.h"

#include "cmd/cmd.h"

#include <string.h>

/* ---- manual page ---- */

/* Text in roff: backslashes doubled, hyphens kept as typed, no line begins with a control character. */
static ft_status roff(ft_buf *out, const char *s)
{
    bool start = true;
    for (; *s; s++) {
        if (start && (*s == '.' || *s == '\''))
            FT_RETURN(ft_buf_puts(out, "\\&"));
        start = *s == '\n';
        if (s[0] == '\n' && s[1] == '\n') {
            FT_RETURN(ft_buf_puts(out, "\n.PP\n"));
            s++;
            start = true;
        } else if (*s == '\\') {
            FT_RETURN(ft_buf_puts(out, "\\e"));
        } else if (*s == '-') {
            FT_RETURN(ft_buf_puts(out, "\\-"));
        } else {
            FT_RETURN(ft_buf_putc(out, *s));
        }
    }
    return FT_OK;
}

static ft_status roff_line(ft_buf *out, const char *macro, const char *s)
{
    FT_RETURN(ft_buf_puts(out, macro));
    FT_RETURN(roff(out, s));
    return ft_buf_putc(out, '\n');
}

static ft_status man_option(ft_buf *out, const ft_cmd_option *o)
{
    FT_RETURN(ft_buf_puts(out, ".TP\n"));
    FT_RETURN(roff_line(out, o->positional ? ".I " : ".B \\-\\-", o->name));
    if (o->argument) {
        out->n--; /* the argument stands on the option's own line */
        FT_RETURN(ft_buf_printf(out, " \\fI%s\\fR\n", o->argument));
    }
    FT_RETURN(roff(out, o->help));
    if (o->choice)
        FT_RETURN(ft_help_choices(out, o));
    if (o->fallback) {
        FT_RETURN(ft_buf_puts(out, " (default: "));
        FT_RETURN(roff(out, o->fallback));
        FT_RETURN(ft_buf_putc(out, ')'));
    }
    return ft_buf_puts(out, o->repeats ? "; may be given several times\n" : "\n");
}

static ft_status man_command(ft_buf *out, const ft_cmd *c)
{
    ft_buf usage = {0};
    ft_status st = FT_OK;
    FT_TRY(ft_usage_line(&usage, c));
    FT_TRY(roff_line(out, ".SS ", usage.p));
    FT_TRY(roff_line(out, "", c->about));
    for (const ft_cmd_option *o = c->options; o && o->name; o++)
        FT_TRY(man_option(out, o));
    FT_TRY(ft_buf_puts(out, ".PP\nExample:\n.PP\n.nf\n.RS 4\n"));
    FT_TRY(roff_line(out, "", c->example));
    st = ft_buf_puts(out, ".RE\n.fi\n");
done:
    ft_buf_free(&usage);
    return st;
}

ft_status ft_page_man(ft_buf *out)
{
    FT_RETURN(ft_buf_puts(
        out, ".TH FETTLE 1 \"\" \"fettle " PACKAGE_VERSION "\" \"User Commands\"\n"
             ".SH NAME\nfettle \\- fine\\-tune small language models on a CPU and ship measured weights\n"
             ".SH SYNOPSIS\n.B fettle\n.I COMMAND\n[\\fIARGUMENT\\fR | \\fB\\-\\-option\\fR \\fIVALUE\\fR]...\n"
             ".SH DESCRIPTION\nA YAML recipe, a base model and a domain dataset go in; a LoRA adapter, a merged model "
             "and a GGUF that llama.cpp runs come out, with the score before, after, and of the file that ships.\n"
             ".PP\n\\fIMODEL\\fR is a Hugging Face directory, a .gguf file or a run folder, everywhere.\n"
             "The program opens no network connection.\n.SH GLOBAL OPTIONS\n"));
    for (const ft_cmd_option *o = ft_cmd_globals; o->name; o++)
        FT_RETURN(man_option(out, o));
    FT_RETURN(ft_buf_puts(out, ".SH COMMANDS\n"));
    for (size_t i = 0; ft_cmds[i]; i++)
        FT_RETURN(man_command(out, ft_cmds[i]));
    FT_RETURN(ft_buf_puts(out, ".SH RECIPE KEYS\nA recipe is a YAML file of flat keys; \\fBfettle recipe doc\\fR "
                               "prints this list with every alias and limit.\n"));
    FT_RETURN(ft_recipe_doc_roff(out));
    return ft_buf_puts(
        out, ".SH RUN FOLDER\nThe recipe's \\fBoutput_dir\\fR: recipe.yaml (every key with its value), log.jsonl, "
             "checkpoints/, adapter/ (PEFT) or model/, the exported files, results.json and report.html.\n"
             ".SH EXIT STATUS\n.TP\n.B 0\ndone\n.TP\n.B 1\nthe work failed, or a gate said no\n"
             ".TP\n.B 2\nthe request was wrong: usage, recipe, input\n"
             ".TP\n.B 130\nstopped by a signal, with the state saved\n"
             ".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nset to anything: no colours\n"
             ".TP\n.B OMP_NUM_THREADS\nnumber of CPU threads where \\-\\-threads is not given\n");
}

/* ---- bash completion ---- */

static ft_status put_words(ft_buf *out, const ft_cmd_option *rows)
{
    for (const ft_cmd_option *o = rows; o && o->name; o++)
        if (!o->positional)
            FT_RETURN(ft_buf_printf(out, " --%s", o->name));
    return FT_OK;
}

/* What may stand behind --option: names of a table, a path, nothing that can be guessed. */
static ft_status put_values(ft_buf *out, const ft_cmd *c)
{
    for (const ft_cmd_option *o = c->options; o && o->name; o++) {
        if (o->positional || o->type == FT_ARG_FLAG)
            continue;
        if (o->choice) {
            FT_RETURN(ft_buf_printf(out, "    '%s --%s') words=\"", c->name, o->name));
            for (size_t i = 0; o->choice(i); i++)
                FT_RETURN(ft_buf_printf(out, "%s%s", i ? " " : "", o->choice(i)));
            FT_RETURN(ft_buf_puts(out, "\" ;;\n"));
        } else if (o->type != FT_ARG_FILE) {
            FT_RETURN(ft_buf_printf(out, "    '%s --%s') return ;;\n", c->name, o->name));
        } else {
            FT_RETURN(ft_buf_printf(out, "    '%s --%s') files=1 ;;\n", c->name, o->name));
        }
    }
    return FT_OK;
}

/* First words once each; second words of a group. */
static ft_status put_names(ft_buf *out, const char *group)
{
    size_t n = group ? strlen(group) + 1 : 0, last = 0;
    const char *before = "";
    for (size_t i = 0; ft_cmds[i]; i++) {
        const char *name = ft_cmds[i]->name;
        if (group && (strncmp(name, group, n - 1) != 0 || name[n - 1] != ' '))
            continue;
        name += n;
        size_t k = strcspn(name, " ");
        if (k != last || strncmp(before, name, k) != 0)
            FT_RETURN(ft_buf_printf(out, " %.*s", (int)k, name));
        before = name;
        last = k;
    }
    return FT_OK;
}

static ft_status put_groups(ft_buf *out)
{
    char group[32] = "";
    for (size_t i = 0; ft_cmds[i]; i++) {
        size_t k = strcspn(ft_cmds[i]->name, " ");
        if (!ft_cmds[i]->name[k] || (strlen(group) == k && strncmp(group, ft_cmds[i]->name, k) == 0))
            continue;
        snprintf(group, sizeof group, "%.*s", (int)k, ft_cmds[i]->name);
        FT_RETURN(ft_buf_printf(out, "    %s) second=\"", group));
        FT_RETURN(put_names(out, group));
        FT_RETURN(ft_buf_puts(out, "\" ;;\n"));
    }
    return FT_OK;
}

ft_status ft_page_completion(ft_buf *out)
{
    FT_RETURN(ft_buf_puts(out, "# bash completion for fettle, made from its command table: fettle help --completion\n"
                               "_fettle()\n{\n"
                               "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                               "  local cmd=${COMP_WORDS[1]} second= words= files=\n"
                               "  local first=\""));
    FT_RETURN(put_names(out, NULL));
    FT_RETURN(ft_buf_puts(out, "\"\n  if [ \"$COMP_CWORD\" = 1 ]; then\n"
                               "    COMPREPLY=($(compgen -W \"$first --help --version\" -- \"$cur\")); return\n  fi\n"
                               "  case $cmd in\n"));
    FT_RETURN(put_groups(out));
    FT_RETURN(ft_buf_puts(
        out,
        "  esac\n  if [ -n \"$second\" ]; then\n"
        "    if [ \"$COMP_CWORD\" = 2 ]; then COMPREPLY=($(compgen -W \"$second --help\" -- \"$cur\")); return; fi\n"
        "    cmd=\"$cmd ${COMP_WORDS[2]}\"\n  fi\n"
        "  case \"$cmd $prev\" in\n"));
    for (size_t i = 0; ft_cmds[i]; i++)
        FT_RETURN(put_values(out, ft_cmds[i]));
    FT_RETURN(ft_buf_puts(out, "    *' --threads') return ;;\n    *) case \"$cur\" in\n      -*) case \"$cmd\" in\n"));
    for (size_t i = 0; ft_cmds[i]; i++) {
        FT_RETURN(ft_buf_printf(out, "        '%s') words=\"", ft_cmds[i]->name));
        FT_RETURN(put_words(out, ft_cmds[i]->options));
        FT_RETURN(put_words(out, ft_cmd_globals));
        FT_RETURN(ft_buf_puts(out, "\" ;;\n"));
    }
    FT_RETURN(ft_buf_printf(out, "        esac ;;\n      *) files=1 ;;\n      esac\n"));
    FT_RETURN(
        ft_buf_puts(out, "      if [ \"$cmd\" = help ] && [ -n \"$files\" ]; then files=; words=$first; fi ;;\n"));
    return ft_buf_puts(out, "  esac\n"
                            "  if [ -n \"$files\" ]; then COMPREPLY=($(compgen -f -- \"$cur\")); compopt -o filenames "
                            "2>/dev/null; return; fi\n"
                            "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n"
                            "complete -F _fettle fettle\n");
}
