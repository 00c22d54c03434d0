/* The recipe room: YAML into validated options.
 *
 * The option table (recipe/options.def: name, type, default, range, aliases, group, help) is the one source of parsing,
 * validation, `recipe doc`, the man page and shell completion. Strings that name rows of other tables (optimizer,
 * metric, dtype ...) stay strings here; cmd/plan.c checks them.
 * All mistakes of a file are collected and reported at once as "file:line:column: what; nearest valid name".
 * Refused: YAML aliases and tags, duplicate keys, a second document; more than 1 MiB of text, 1000 items in a list or
 * 16 levels.
 * Legal order: ft_recipe_open; ft_recipe_complain for what other rooms' tables say; ft_recipe_check; then the getters.
 * Ownership: the recipe owns every string it hands out. Threads: a recipe belongs to one thread while it is opened and
 * complained about; getters may run anywhere afterwards.
 */
#ifndef FETTLE_RECIPE_RECIPE_H
#define FETTLE_RECIPE_RECIPE_H

#include "base/str.h"

typedef enum ft_option_type {
    FT_OPT_STRING, FT_OPT_PATH, FT_OPT_INT, FT_OPT_FLOAT, FT_OPT_BOOL,
    FT_OPT_STRINGS, /* a list of strings; one plain string is a list of one */
    /* a map of names to numbers, within min .. max where min < max; its items are "name=number". Where `choices` lists the
     * names there are no others, and a plain number is that of the first. */
    FT_OPT_NUMBERS,
    FT_OPT_CHOICE,  /* one of `choices`; where min < max, also an integer of that range */
    FT_OPT_LIST     /* a list of maps, each entry checked against the rows whose name is "list.key" */
} ft_option_type;

typedef struct ft_option {
    const char *name; /* "lora_r"; "datasets.path" for a key of a list entry */
    ft_option_type type;
    const char *fallback; /* the default as text; NULL: none, the getter's out stays unset */
    double min, max;      /* numbers; min > max: no limit */
    const char *choices;  /* "none|lora"; of NUMBERS the names */
    const char *aliases;  /* "lora_rank, r": taken with a note that names the canonical key */
    const char *values;   /* "full=none, false=": values of other tools, taken with a note; "false=": as if not given */
    const char *needs;    /* "adapter=lora|qlora": can be given only where that option has one of these values;
                             "labels": only where that one is given too */
    const char *excludes; /* the one option that cannot be set beside this one (0 counts as not set) */
    const char *group;    /* heading in `recipe doc` */
    const char *help;
    bool required;        /* of a list's key: in every entry */
    bool cosmetic;        /* does not change what training computes: not part of ft_recipe_hash */
} ft_option;
extern const ft_option ft_options[]; /* name NULL at its end */
/* The option of that name or alias (top-level keys, or "list.key"); NULL. */
const ft_option *ft_option_named(const char *name);

typedef struct ft_recipe ft_recipe;
/* overrides: "key=value" strings (--set), values parsed as YAML; n may be 0. path NULL: an empty recipe plus overrides.
 * An override replaces what the file says, a list as a whole. Relative paths are the process's, not the file's.
 * FT_EINPUT with all mistakes in ft_error(), one a line; *out is set even then, so that the caller can look further,
 * add its own complaints and report all at once with ft_recipe_check. Any other failure leaves *out NULL. */
ft_status ft_recipe_open(ft_recipe **out, const char *path, const char *const *overrides, size_t n);
void ft_recipe_free(ft_recipe *r);
/* Adds a mistake at a key's place (used by cmd/plan.c for names of other tables), to be reported with the rest.
 * A key of a list entry is written "datasets[2].type" (from 0). */
void ft_recipe_complain(ft_recipe *r, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* FT_EINPUT with every mistake collected so far; FT_OK when there is none. */
ft_status ft_recipe_check(ft_recipe *r);

/* Getters. index: entry of an FT_OPT_LIST for "list.key" names, ignored otherwise. False: not set and no default. */
bool ft_recipe_given(const ft_recipe *r, const char *key, size_t index); /* stands in the file or in an override */
bool ft_recipe_str(const ft_recipe *r, const char *key, size_t index, const char **out);
bool ft_recipe_i64(const ft_recipe *r, const char *key, size_t index, int64_t *out);
bool ft_recipe_f64(const ft_recipe *r, const char *key, size_t index, double *out);
bool ft_recipe_bool(const ft_recipe *r, const char *key, size_t index, bool *out);
/* Number of entries of a LIST, STRINGS or NUMBERS option; one string of a STRINGS option. */
size_t ft_recipe_count(const ft_recipe *r, const char *key, size_t index);
const char *ft_recipe_item(const ft_recipe *r, const char *key, size_t index, size_t item);
/* "recipe.yaml:12:3" of a key's value, "--set key" of an override; the recipe's name where it is not given. */
const char *ft_recipe_place(const ft_recipe *r, const char *key, size_t index);

/* The resolved recipe (every option with its value, in table order) as YAML that reads back to the same. */
ft_status ft_recipe_print(const ft_recipe *r, ft_buf *out);
/* Hash of the options that change the result of training (output_dir, logging and export options do not). */
uint64_t ft_recipe_hash(const ft_recipe *r);
/* Differences of two resolved recipes in those options: "learning_rate: 0.001 -> 0.002" a line. */
ft_status ft_recipe_diff(const ft_recipe *a, const ft_recipe *b, ft_buf *out);
/* The option table as text for people (markdown); one option and its entry keys where only_key is not NULL. An
 * unknown key is FT_EINPUT with the nearest one. */
ft_status ft_recipe_doc(ft_buf *out, const char *only_key);
/* The whole table as the body of a man page's section (.SS a group, .TP an option). */
ft_status ft_recipe_doc_roff(ft_buf *out);

#endif
