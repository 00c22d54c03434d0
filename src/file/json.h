/* The file room, JSON: jansson with fettle's limits and messages.
 *
 * Values are jansson's json_t (the caller json_decref's what it was given). Limits: 64 MiB of text for documents (the
 * tokenizer files of large vocabularies pass: max is the caller's), nesting as jansson limits it (2048), duplicate keys
 * refused where `strict`. Errors: FT_EFORMAT "path:line:column: what".
 */
#ifndef FETTLE_FILE_JSON_H
#define FETTLE_FILE_JSON_H

#include "base/os.h"
#include "base/str.h"

#include <jansson.h>

ft_status ft_json_file(json_t **out, const char *path, size_t max_bytes);
/* name: what to call the text in messages ("train.jsonl:17"). NUL in strings is allowed. */
ft_status ft_json_text(json_t **out, ft_str text, const char *name);
/* Writes with two spaces of indent, keys in insertion order, atomically. Numbers round-trip. */
ft_status ft_json_write(const json_t *j, const char *path);
/* Typed members with a default; a member of another type is FT_EFORMAT naming `where` and the key. */
ft_status ft_json_i64(const json_t *o, const char *key, const char *where, int64_t fallback, int64_t *out);
ft_status ft_json_f64(const json_t *o, const char *key, const char *where, double fallback, double *out);
ft_status ft_json_bool(const json_t *o, const char *key, const char *where, bool fallback, bool *out);
/* Borrowed string, fallback (may be NULL) when absent or null. */
ft_status ft_json_str(const json_t *o, const char *key, const char *where, const char *fallback, const char **out);

#endif
