/* The data room: dataset files become examples, messages with roles. It knows no tokens and no models.
 *
 * A row format is one row of data/formats.def: prompt/completion, messages, ShareGPT conversations, Alpaca, text,
 * text/label, pairs and scored pairs, CSV and TSV through a template. Containers: JSONL, JSON array, CSV, TSV, plain text; each may be gzipped.
 * The format is detected from the first rows' keys unless named; a row that does not fit is named by file and row.
 * Ownership: a dataset owns its examples and their strings.
 */
#ifndef FETTLE_DATA_DATA_H
#define FETTLE_DATA_DATA_H

#include "base/str.h"

typedef enum ft_role { FT_SYSTEM, FT_USER, FT_ASSISTANT, FT_TOOL } ft_role;
const char *ft_role_name(ft_role role);

typedef struct ft_message {
    ft_role role;
    ft_str content;  /* empty where `extra` has another */
    bool supervised; /* assistant turns, unless the row says "train": false */
    ft_str extra;    /* a JSON map of what else a chat template may ask for: tool_calls, reasoning_content, name, ..., and
                        a content that is no text; n 0: nothing */
} ft_message;

typedef enum ft_example_kind {
    FT_COMPLETION, /* messages[0] the prompt (user), messages[1] the completion (assistant): no template, plain text */
    FT_CHAT,       /* messages for a chat template */
    FT_TEXT,       /* messages[0] is plain text, all of it supervised */
    FT_PAIRS,      /* messages[0] the anchor, messages[1] its positive, further ones negatives: texts for vectors */
    FT_SCORED      /* two texts for vectors, and how near they are */
} ft_example_kind;

typedef struct ft_example {
    ft_example_kind kind;
    ft_message *messages;
    size_t n;
    ft_str tools; /* a JSON list of the functions that a chat may call; n 0: none */
    double score; /* of FT_SCORED */
    int32_t file; /* index into the dataset's files */
    int64_t row;  /* line of a JSONL, CSV or text file; index of a JSON array; from 1 */
} ft_example;

typedef struct ft_dataset {
    ft_example *examples;
    size_t n;
    char **files;
    const char **formats; /* [n_files]: how each was read, a row of the table; static */
    size_t n_files;
    struct ft_dataset_impl *impl;
} ft_dataset;

typedef struct ft_data_source {
    const char *path;
    const char *format; /* a name of the table, NULL or "auto": detect */
    /* CSV, TSV and JSON rows through templates: "Work order: {text}\nLabels:"; NULL otherwise. {{ and }} are braces. */
    const char *prompt_template, *completion_template;
    /* text files: one example a line ("line"), a paragraph ("paragraph") or the whole file ("file"); NULL: line */
    const char *split;
} ft_data_source;

/* Appends the rows of a source. *format (may be NULL): the row of the table that was used, static. Rows that cannot be
 * read are FT_EINPUT, broken JSON and CSV among them. */
ft_status ft_dataset_read(ft_dataset *d, const ft_data_source *source, const char **format);
/* Has it rows, all of them plain text? Then there are no answers to generate. */
bool ft_dataset_is_text(const ft_dataset *d);
void ft_dataset_free(ft_dataset *d);
/* "train.jsonl row 17" */
const char *ft_example_place(const ft_dataset *d, const ft_example *e, char buf[512]);

/* Rows of some kind, for a message: how many, and the places of the first FT_LINT_SHOWN. */
enum { FT_LINT_SHOWN = 5 };
typedef struct ft_finding {
    int64_t count;
    char places[FT_LINT_SHOWN * 200]; /* "train.jsonl row 4, train.jsonl row 9, ..." */
} ft_finding;
void ft_finding_add(ft_finding *f, const ft_dataset *d, const ft_example *e);
/* "3 rows WHAT: PLACES" as a note; nothing when there is none. */
void ft_finding_note(const ft_finding *f, ft_note_level level, const char *what);

/* What lint counts. */
typedef struct ft_lint {
    int64_t empty, duplicates, conflicts, leaked; /* leaked: rows of `held_out` that stand in train */
} ft_lint;
/* Drops empty rows (nothing supervised to say) and, where `dedup`, exact duplicates from `train`; removes from train
 * rows whose prompt-and-answer stands in held_out (may be NULL). One prompt with two answers is counted and kept. Every
 * count goes out as ft_note with the first rows' places. No rows left is FT_EINPUT. */
ft_status ft_dataset_lint(ft_dataset *train, const ft_dataset *held_out, bool dedup, ft_lint *out);
/* Moves a share (or, from 1, a number) of rows into `held_out`, chosen by seed; rows with one prompt stay on one side. A
 * share that would leave nothing to train on is FT_EINPUT. */
ft_status ft_dataset_split(ft_dataset *train, ft_dataset *held_out, double share, uint64_t seed);
/* Names of the row formats with their help, NULL at the end. */
typedef struct ft_row_format_info {
    const char *name, *help;
} ft_row_format_info;
extern const ft_row_format_info ft_row_formats[];

#endif
