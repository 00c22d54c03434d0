/* Inside the data room: how a file's rows become examples.
 *
 * read.c opens the container and turns every row into a JSON object (CSV records too: column to text); the row format
 * turns the object into messages, collected in the reader and handed to the dataset as one example.
 * Strings live in the dataset's arena, packed into chunks.
 */
#ifndef FETTLE_DATA_ROOM_H
#define FETTLE_DATA_ROOM_H

#include "data/data.h"
#include "file/json.h"

enum { FT_DATA_MAX_MESSAGES = 4096 }; /* of one row */

typedef struct ft_row_format ft_row_format;

typedef struct ft_data__reader {
    ft_dataset *d;
    const ft_data_source *source;
    const ft_row_format *format; /* NULL before the first row */
    bool named;                  /* the format was asked for by name, not recognised */
    int32_t file;
    int64_t row;                 /* line or index of the current row */
    int64_t rows;                /* read so far */
    ft_message *messages;        /* [n] of the current row; their texts are the dataset's already */
    size_t n, cap;
    ft_str tools;                /* of the current row, the dataset's too */
    ft_buf text;                 /* scratch */
} ft_data__reader;

struct ft_row_format {
    const char *name, *keys; /* keys: what it looks for, for messages */
    bool (*matches)(const json_t *row); /* NULL: never recognised, only asked for */
    ft_status (*read)(ft_data__reader *rd, const json_t *row);
};

/* dataset.c */
struct ft_dataset_impl {
    ft_arena *arena;
    char *chunk; /* strings are packed into it from `used` on */
    size_t used, held;
    size_t cap, cap_files;
};
ft_status ft_data__init(ft_dataset *d);
ft_status ft_data__keep(ft_dataset *d, ft_str text, ft_str *out);
ft_status ft_data__add_file(ft_dataset *d, const char *path, int32_t *index);
/* Adds a copy of e (its messages' texts must be the dataset's own). */
ft_status ft_data__add(ft_dataset *d, const ft_example *e);
/* As ft_data__add for an example of another dataset: texts and file name are copied. */
ft_status ft_data__add_from(ft_dataset *d, const ft_dataset *other, const ft_example *e);

/* reader.c: for the formats. Every failure names file and row. */
ft_status ft_data__fail(const ft_data__reader *rd, ft_status kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
ft_status ft_data__message(ft_data__reader *rd, ft_role role, ft_str content, bool supervised);
/* Further members of the message that was added last; an empty map is none. */
ft_status ft_data__extra(ft_data__reader *rd, const json_t *members);
/* Ends the row: its messages become an example. */
ft_status ft_data__example(ft_data__reader *rd, ft_example_kind kind);
/* A member that must be a text. */
ft_status ft_data__text(const ft_data__reader *rd, const json_t *row, const char *key, ft_str *out);
/* A scalar as text (numbers, true, false; null is empty), lists and maps as compact JSON; appended. */
ft_status ft_data__put_value(const ft_data__reader *rd, const json_t *value, ft_buf *out);
/* The value's JSON text, kept in the dataset. */
ft_status ft_data__keep_json(ft_data__reader *rd, const json_t *value, ft_str *out);
ft_status ft_data__row(ft_data__reader *rd, const json_t *row);

/* chat.c: a list of {"role", "content"} maps; supervise: assistant turns are targets unless they say "train": false. */
ft_status ft_data__messages(ft_data__reader *rd, const json_t *list, bool supervise);
/* tools.c: the row's "tools", a list or the JSON text of one, kept for its example. */
ft_status ft_data__tools(ft_data__reader *rd, const json_t *row);
/* Members of a message that a chat template may ask for beside role and content, as a new map: calls of functions in
 * one form, whatever form they came in. */
ft_status ft_data__members(ft_data__reader *rd, const json_t *message, json_t **out);
/* A text of ShareGPT's role function_call as a map with "tool_calls", NULL where it is no JSON of calls. */
ft_status ft_data__call_text(ft_data__reader *rd, ft_str text, json_t **out);

/* Nothing but white space. */
bool ft_data__blank(ft_str s);

/* lint.c: the identity of a row's prompt. */
uint64_t ft_data__hash_prompt(const ft_example *e);
bool ft_data__same_prompt(const ft_example *a, const ft_example *b);

extern const ft_row_format *const ft_data__formats[]; /* NULL at the end */
#endif
