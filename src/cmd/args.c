/* The command line, read against the option rows of a command.
 *
 * Grammar: fettle [GLOBAL]... COMMAND [WORD] [ARGUMENT | --option VALUE | --option=VALUE | --flag]... [-- ARGUMENT...]
 * Options may stand anywhere behind the command; global ones also before it. A lone "-" is an argument.
 */
#include "cmd/cmd.h"

#include <assert.h>
#include <string.h>

#define FT_COMMAND(name) extern const ft_cmd ft_cmd_##name;
#include "cmd/commands.def"
#undef FT_COMMAND

#define FT_COMMAND(name) &ft_cmd_##name,
const ft_cmd *const ft_cmds[] = {
#include "cmd/commands.def"
    NULL};
#undef FT_COMMAND

const ft_cmd_option ft_cmd_globals[] = {
    {"threads", FT_ARG_INT, .argument = "N", .min = 1, .max = 1024,
     .help = "CPU threads to use; the result does not depend on it (default: the CPUs this process may run on)"},
    {"help", FT_ARG_FLAG, .help = "show help and exit"},
    {"version", FT_ARG_FLAG, .help = "show versions, CPU path and threads, and exit"},
    {0}};

enum { MAX_NAMES = 64 };

/* ---- looking up ---- */

const ft_cmd *ft_cmd_named(const char *name)
{
    for (size_t i = 0; ft_cmds[i]; i++)
        if (strcmp(ft_cmds[i]->name, name) == 0)
            return ft_cmds[i];
    return NULL;
}

bool ft_cmd_is_group(const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; ft_cmds[i]; i++)
        if (strncmp(ft_cmds[i]->name, word, n) == 0 && ft_cmds[i]->name[n] == ' ')
            return true;
    return false;
}

static const ft_cmd_option *row_named(const ft_cmd_option *rows, const char *name, size_t n, bool positional)
{
    for (; rows && rows->name; rows++)
        if (rows->positional == positional && strncmp(rows->name, name, n) == 0 && !rows->name[n])
            return rows;
    return NULL;
}

static const ft_cmd_option *option_named(const ft_cmd *c, const char *name, size_t n)
{
    const ft_cmd_option *o = c ? row_named(c->options, name, n, false) : NULL;
    return o ? o : row_named(ft_cmd_globals, name, n, false);
}

/* The row a getter means: asking for one that the command has not is a programmer's mistake. */
static const ft_cmd_option *row_of(const ft_args *a, const char *name)
{
    size_t n = strlen(name);
    const ft_cmd_option *o = option_named(a->cmd, name, n);
    if (!o && a->cmd)
        o = row_named(a->cmd->options, name, n, true);
    assert(o);
    return o;
}

/* ---- complaints ---- */

static ft_status see_help(const ft_args *a, ft_status st)
{
    char text[1024];
    snprintf(text, sizeof text, "%s", ft_error());
    return a->cmd ? ft_fail(st, "%s\ntype: fettle %s --help", text, a->cmd->name)
                  : ft_fail(st, "%s\ntype: fettle --help", text);
}

static ft_status unknown(const ft_args *a, const char *what, const char *dashes, const char *word,
                         const char *const *names, size_t n)
{
    const char *near = ft_nearest(word, names, n);
    if (near)
        ft_fail(FT_EINPUT, "unknown %s %s%s; did you mean %s%s?", what, dashes, word, dashes, near);
    else
        ft_fail(FT_EINPUT, "unknown %s %s%s", what, dashes, word);
    return see_help(a, FT_EINPUT);
}

static ft_status unknown_option(const ft_args *a, const char *name, size_t n)
{
    const char *names[MAX_NAMES];
    char word[128];
    size_t k = 0;
    for (const ft_cmd_option *o = a->cmd ? a->cmd->options : NULL; o && o->name; o++)
        if (!o->positional && k < MAX_NAMES)
            names[k++] = o->name;
    for (const ft_cmd_option *o = ft_cmd_globals; o->name && k < MAX_NAMES; o++)
        names[k++] = o->name;
    snprintf(word, sizeof word, "%.*s", (int)n, name);
    return unknown(a, "option", "--", word, names, k);
}

/* Candidates are the commands, or the second words of a group. */
static ft_status unknown_command(const ft_args *a, const char *group, const char *word)
{
    const char *names[MAX_NAMES];
    size_t k = 0, n = group ? strlen(group) : 0;
    for (size_t i = 0; ft_cmds[i] && k < MAX_NAMES; i++)
        if (!group || (strncmp(ft_cmds[i]->name, group, n) == 0 && ft_cmds[i]->name[n] == ' '))
            names[k++] = ft_cmds[i]->name + (group ? n + 1 : 0);
    if (!group)
        return unknown(a, "command", "", word, names, k);
    char what[64];
    snprintf(what, sizeof what, "command %.40s", group);
    return unknown(a, what, "", word, names, k);
}

/* ---- values ---- */

static ft_status check_name(const ft_cmd_option *o, const char *value)
{
    const char *names[MAX_NAMES];
    char all[512] = "";
    size_t k = 0;
    for (; k < MAX_NAMES && o->choice(k); k++) {
        names[k] = o->choice(k);
        if (strcmp(names[k], value) == 0)
            return FT_OK;
        size_t at = strlen(all);
        snprintf(all + at, sizeof all - at, "%s%s", k ? ", " : "", names[k]);
    }
    const char *near = ft_nearest(value, names, k);
    if (near)
        return ft_fail(FT_EINPUT, "--%s: unknown name %s; did you mean %s? (one of %s)", o->name, value, near, all);
    return ft_fail(FT_EINPUT, "--%s: unknown name %s (one of %s)", o->name, value, all);
}

ft_status ft_comma_item(char **item, const char *list, size_t i)
{
    const char *at = list;
    *item = NULL;
    for (; i > 0; i--) {
        if (!(at = strchr(at, ',')))
            return FT_OK;
        at++;
    }
    at += strspn(at, " ");
    size_t n = strcspn(at, ",");
    while (n && at[n - 1] == ' ')
        n--;
    if (!n)
        return ft_fail(FT_EINPUT, "found an empty name in \"%s\", expected names with commas between", list);
    *item = ft_strndup(at, n);
    return *item ? FT_OK : FT_ENOMEM;
}

static ft_status check_names(const ft_cmd_option *o, const char *value)
{
    char *name;
    for (size_t i = 0;; i++) {
        FT_RETURN(ft_context(ft_comma_item(&name, value, i), "--%s", o->name));
        if (!name)
            return FT_OK;
        ft_status st = check_name(o, name);
        ft_free(name);
        FT_RETURN(st);
    }
}

static ft_status check_number(const ft_cmd_option *o, const char *value)
{
    int64_t i;
    double f = 0;
    bool whole = o->type == FT_ARG_INT;
    bool good = whole ? ft_parse_i64(value, &i) : ft_parse_f64(value, &f);
    if (good && whole)
        f = (double)i;
    if (good && (o->min > o->max || (f >= o->min && f <= o->max)))
        return FT_OK;
    if (o->min > o->max)
        return ft_fail(FT_EINPUT, "--%s: found %s, expected a %snumber", o->name, value, whole ? "whole " : "");
    return ft_fail(FT_EINPUT, "--%s: found %s, expected a %snumber from %.15g to %.15g", o->name, value,
                   whole ? "whole " : "", o->min, o->max);
}

static ft_status check_value(const ft_cmd_option *o, const char *value)
{
    switch (o->type) {
    case FT_ARG_INT:
    case FT_ARG_FLOAT:
        return check_number(o, value);
    case FT_ARG_NAME:
        return check_name(o, value);
    case FT_ARG_NAMES:
        return check_names(o, value);
    default:
        return FT_OK;
    }
}

static ft_status add(ft_args *a, const ft_cmd_option *o, const char *value)
{
    if (a->n == FT_MAX_ARGS)
        return ft_fail(FT_EINPUT, "more than %d arguments", FT_MAX_ARGS);
    ft_status st = check_value(o, value);
    if (st != FT_OK)
        return see_help(a, st);
    a->p[a->n++] = (struct ft_arg){o, value};
    return FT_OK;
}

/* ---- words ---- */

/* "--name", "--name=value" or "--name value"; *at moves over what was taken. */
static ft_status take_option(ft_args *a, int argc, char **argv, int *at)
{
    const char *name = argv[*at] + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const ft_cmd_option *o = option_named(a->cmd, name, n);
    if (!o)
        return unknown_option(a, name, n);
    if (o->type == FT_ARG_FLAG && equals)
        return see_help(a, ft_fail(FT_EINPUT, "--%s takes no value, found %s", o->name, equals + 1));
    if (o->type == FT_ARG_FLAG)
        return add(a, o, "");
    if (equals)
        return add(a, o, equals + 1);
    if (*at + 1 >= argc)
        return see_help(a, ft_fail(FT_EINPUT, "--%s needs a value: --%s %s", o->name, o->name, o->argument));
    return add(a, o, argv[++*at]);
}

static ft_status take_argument(ft_args *a, const char *word)
{
    for (const ft_cmd_option *o = a->cmd->options; o && o->name; o++)
        if (o->positional && (o->repeats || ft_args_count(a, o->name) == 0))
            return add(a, o, word);
    return see_help(a, ft_fail(FT_EINPUT, "too many arguments: %s", word));
}

/* The command: one word, or two where the first names a group; a group alone is good for its help only. */
static ft_status take_command(ft_args *a, int argc, char **argv, int *at)
{
    char name[64];
    const char *word = argv[*at];
    if ((a->cmd = ft_cmd_named(word)))
        return FT_OK;
    if (!ft_cmd_is_group(word))
        return unknown_command(a, NULL, word);
    a->group = word;
    if (*at + 1 >= argc || argv[*at + 1][0] == '-')
        return FT_OK;
    snprintf(name, sizeof name, "%.30s %.30s", word, argv[++*at]);
    if (!(a->cmd = ft_cmd_named(name)))
        return unknown_command(a, word, argv[*at]);
    return FT_OK;
}

static ft_status demand_required(const ft_args *a)
{
    for (const ft_cmd_option *o = a->cmd->options; o && o->name; o++)
        if (o->required && ft_args_count(a, o->name) == 0) {
            if (o->positional)
                ft_fail(FT_EINPUT, "%s is missing", o->name);
            else
                ft_fail(FT_EINPUT, "--%s %s is missing", o->name, o->argument);
            return see_help(a, FT_EINPUT);
        }
    return FT_OK;
}

ft_status ft_args_parse(ft_args *a, int argc, char **argv)
{
    bool only_arguments = false;
    *a = (ft_args){0};
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!only_arguments && strcmp(word, "--") == 0)
            only_arguments = true;
        else if (!only_arguments && strcmp(word, "-h") == 0)
            FT_RETURN(add(a, option_named(NULL, "help", 4), ""));
        else if (!only_arguments && strncmp(word, "--", 2) == 0)
            FT_RETURN(take_option(a, argc, argv, &i));
        else if (!only_arguments && word[0] == '-' && word[1] && !strchr(".0123456789", word[1]))
            return see_help(a, ft_fail(FT_EINPUT, "unknown option %s; options are written --name", word));
        else if (!a->cmd)
            FT_RETURN(take_command(a, argc, argv, &i));
        else
            FT_RETURN(take_argument(a, word));
    }
    if (ft_args_given(a, "help") || ft_args_given(a, "version"))
        return FT_OK;
    if (!a->cmd && a->group)
        return ft_fail(FT_EINPUT, "%s needs a second word\ntype: fettle %s --help", a->group, a->group);
    return a->cmd ? demand_required(a) : FT_OK;
}

/* ---- getters ---- */

const char *ft_args_item(const ft_args *a, const char *name, size_t i)
{
    const ft_cmd_option *o = row_of(a, name);
    for (size_t k = 0; k < a->n; k++)
        if (a->p[k].option == o && i-- == 0)
            return a->p[k].value;
    return NULL;
}

static char escaped(char c)
{
    return c == 'n' ? '\n' : c == 't' ? '\t' : c == '\\' ? '\\' : 0;
}

ft_status ft_args_unescaped(const ft_args *a, const char *name, char **out)
{
    const char *from = ft_args_text(a, name);
    *out = NULL;
    if (!from)
        return FT_OK;
    char *to = *out = ft_strdup(from);
    if (!to)
        return FT_ENOMEM;
    while (*from) {
        char c = *from == '\\' ? escaped(from[1]) : 0;
        *to++ = c ? c : *from;
        from += c ? 2 : 1;
    }
    *to = 0;
    return FT_OK;
}

size_t ft_args_count(const ft_args *a, const char *name)
{
    const ft_cmd_option *o = row_of(a, name);
    size_t n = 0;
    for (size_t k = 0; k < a->n; k++)
        n += a->p[k].option == o;
    return n;
}

bool ft_args_given(const ft_args *a, const char *name)
{
    return ft_args_count(a, name) > 0;
}

const char *ft_args_text(const ft_args *a, const char *name)
{
    size_t n = ft_args_count(a, name);
    return n ? ft_args_item(a, name, n - 1) : row_of(a, name)->fallback;
}

int64_t ft_args_int(const ft_args *a, const char *name)
{
    int64_t v = 0;
    bool good = ft_parse_i64(ft_args_text(a, name), &v);
    assert(good);
    (void)good;
    return v;
}

double ft_args_float(const ft_args *a, const char *name)
{
    double v = 0;
    bool good = ft_parse_f64(ft_args_text(a, name), &v);
    assert(good);
    (void)good;
    return v;
}
