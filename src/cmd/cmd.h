/* The cmd room: the program. It turns a command line into calls of the library and results into text.
 *
 * A command is one file and one row (cmd/commands.def); its options are rows too, so that parsing, --help, the man page
 * and shell completion all come from one table. Only this room prints, and only main.c sets the exit status.
 * Results go to stdout: a table for people, one JSON object with --json (never both). Progress, remarks and errors go
 * to stderr. Ownership: an ft_args borrows argv and lives as long as the command runs.
 */
#ifndef FETTLE_CMD_CMD_H
#define FETTLE_CMD_CMD_H

#include "fettle.h"

typedef enum ft_arg_type {
    FT_ARG_FLAG,  /* stands alone */
    FT_ARG_TEXT,  /* any text */
    FT_ARG_FILE,  /* a path; completed as one */
    FT_ARG_INT,   /* min .. max */
    FT_ARG_FLOAT, /* min .. max */
    FT_ARG_NAME,  /* one name of a table */
    FT_ARG_NAMES  /* names of a table with commas between */
} ft_arg_type;

/* One option ("--quant T") or, where `positional`, one argument ("RECIPE"). */
typedef struct ft_cmd_option {
    const char *name; /* without dashes; of a positional: as the usage line shows it */
    ft_arg_type type;
    bool positional, required, repeats;
    const char *argument;            /* what stands for the value in help: "N"; NULL for flags and positionals */
    const char *fallback;            /* the default as text; NULL: none */
    double min, max;                 /* numbers; min > max: no limit */
    const char *(*choice)(size_t i); /* FT_ARG_NAME(S): the i-th name, NULL behind the last */
    const char *help;
} ft_cmd_option;

typedef struct ft_args ft_args;

typedef struct ft_cmd {
    const char *name;             /* "train", "tokenizer encode": a group is all that share the first word */
    const char *summary;          /* one line */
    const char *about;            /* paragraphs for --help and the man page; an empty line parts them */
    const ft_cmd_option *options; /* name NULL at the end */
    const char *example;          /* command lines, one a line */
    ft_status (*run)(const ft_args *a);
} ft_cmd;
extern const ft_cmd *const ft_cmds[];        /* NULL at the end */
extern const ft_cmd_option ft_cmd_globals[]; /* options that every command takes; name NULL at the end */

/* ---- args.c ---- */
enum { FT_MAX_ARGS = 512 };
struct ft_args {
    const ft_cmd *cmd; /* NULL: none was named */
    const char *group; /* "recipe" of "recipe validate", NULL: none */
    size_t n;
    struct ft_arg {
        const ft_cmd_option *option;
        const char *value; /* "" for a flag */
    } p[FT_MAX_ARGS];
};
/* Reads a command line. FT_EINPUT names what is wrong, the nearest valid name and where help is. With --help or
 * --version on the line nothing else is demanded. */
ft_status ft_args_parse(ft_args *a, int argc, char **argv);
bool ft_args_given(const ft_args *a, const char *name);
/* The last value given, else the default, else NULL. */
const char *ft_args_text(const ft_args *a, const char *name);
/* Numbers were checked while parsing; an option without a default must be asked for with ft_args_given first. */
int64_t ft_args_int(const ft_args *a, const char *name);
double ft_args_float(const ft_args *a, const char *name);
/* The text of an option with \n, \t and \\ undone to a line's end, a tab and a backslash: a shell passes them on as
 * two characters. Any other backslash stays. *out is new memory, NULL where the option has no value. */
ft_status ft_args_unescaped(const ft_args *a, const char *name, char **out);
/* Every value of a repeated option, in order. */
size_t ft_args_count(const ft_args *a, const char *name);
const char *ft_args_item(const ft_args *a, const char *name, size_t i);
/* The i-th of the names in a comma list, in a new string; NULL behind the last. FT_EINPUT: it is empty. */
ft_status ft_comma_item(char **item, const char *list, size_t i);
/* The command of this name (one word or two); NULL when there is none. */
const ft_cmd *ft_cmd_named(const char *name);
bool ft_cmd_is_group(const char *word);

/* ---- help.c, pages.c: everything that is made from the tables ---- */
ft_status ft_help_program(ft_buf *out);
ft_status ft_help_group(ft_buf *out, const char *group);
ft_status ft_help_command(ft_buf *out, const ft_cmd *c);
ft_status ft_usage_line(ft_buf *out, const ft_cmd *c);
/* "; one of gguf, hf, peft" */
ft_status ft_help_choices(ft_buf *out, const ft_cmd_option *o);
ft_status ft_page_man(ft_buf *out);
ft_status ft_page_completion(ft_buf *out);
/* Text wrapped at `width` columns behind `indent` spaces; the first line continues at column `at`. */
ft_status ft_wrap(ft_buf *out, const char *text, int at, int indent, int width);

/* ---- out.c: the terminal ---- */
/* Takes remarks (ft_note) to stderr; finds out about terminals and colours (NO_COLOR, TERM=dumb). */
void ft_out_init(void);
bool ft_out_is_terminal(void); /* stderr, where progress goes */
int ft_out_width(void);        /* columns of that terminal, 80 when there is none */
/* The text in bold red (and so on) when stderr, or for `mark` stdout, is a terminal with colours; else plain. */
const char *ft_color_error(void);
const char *ft_color_warning(void);
const char *ft_color_dim(void);
const char *ft_color_mark(void); /* on stdout */
const char *ft_color_off(void);
const char *ft_color_mark_off(void);
/* A line that stands until the next one (terminal) or is dropped (no terminal). Cut to the terminal's width. */
void ft_out_transient(const char *line);
void ft_out_transient_end(void); /* removes it: before anything else is printed */
/* A line on stderr that stays. */
void ft_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Text to stdout. */
ft_status ft_put(const ft_buf *text);
/* Flushes stdout; FT_EIO when not all of it could be written. */
ft_status ft_out_finish(void);

/* ---- result.c: one result, printed for people or as JSON ---- */
/* Members of a result in order; a NaN or infinite number becomes null. Failed allocations show in ft_result_print. */
void ft_result_text(json_t *o, const char *key, const char *value); /* NULL: null */
void ft_result_str(json_t *o, const char *key, ft_str value);
void ft_result_int(json_t *o, const char *key, int64_t value);
void ft_result_real(json_t *o, const char *key, double value);
void ft_result_bool(json_t *o, const char *key, bool value);
json_t *ft_result_object(json_t *o, const char *key); /* borrowed */
json_t *ft_result_list(json_t *o, const char *key);   /* borrowed */
json_t *ft_result_row(json_t *list);                  /* an object appended to a list, borrowed */
void ft_result_scores(json_t *o, const ft_scores *s); /* metric names as keys */
/* Prints and frees `o`. People see aligned "key  value" lines, keys with spaces for underscores; an object is a
 * section, a list of objects a table; "..._bytes" and "..._s" in human units. */
ft_status ft_result_print(const ft_args *a, json_t *o);
/* One line of JSON to stdout at once (progress of `train --json`); frees `o`. */
void ft_result_line(json_t *o);

#endif
