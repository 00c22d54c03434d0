/* The file room, JSON: jansson with fettle's limits and messages.
 *
 * Values are jansson's json_t (the caller json_decref's what it was given). Refused: text above the caller's max_bytes,
 * nesting past jansson's limit (2048), duplicate keys, invalid UTF-8, anything behind the value. An integer past int64
 * (tokenizer_config.json's model_max_length is one) becomes a real, as it does in JavaScript.
 * Errors: FT_EFORMAT "path:line:column: what".
 */
#ifndef FETTLE_FILE_JSON_H
#define FETTLE_FILE_JSON_H

#include "base/os.h"
#include "base/str.h"

#include <jansson.h>

/* FT_EINPUT when there is no such file, FT_ENOMEM above max_bytes. A UTF-8 byte order mark is skipped. */
ft_status ft_json_file(json_t **out, const char *path, size_t max_bytes);
/* name: what to call the text in messages. A text of one line is given as name:column, so that a line of a larger file
 * is named "train.jsonl:17". NUL in strings is allowed. */
ft_status ft_json_text(json_t **out, ft_str text, const char *name);
/* Writes with two spaces of indent, keys in insertion order, a line break at the end, atomically. Numbers round-trip
 * and are as short as that allows. */
ft_status ft_json_write(const json_t *j, const char *path);
/* Typed members with a default, also taken where the member is null; a member of another type is FT_EFORMAT naming
 * `where` and the key. An integer may be written as a real without a fraction, a real as an integer. */
ft_status ft_json_i64(const json_t *o, const char *key, const char *where, int64_t fallback, int64_t *out);
ft_status ft_json_f64(const json_t *o, const char *key, const char *where, double fallback, double *out);
ft_status ft_json_bool(const json_t *o, const char *key, const char *where, bool fallback, bool *out);
/* Borrowed string, fallback (may be NULL) when absent or null; a string that holds a NUL is FT_EFORMAT. */
ft_status ft_json_str(const json_t *o, const char *key, const char *where, const char *fallback, const char **out);

#endif
