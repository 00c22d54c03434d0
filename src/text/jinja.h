/* Inside of the text room: chat templates are programs in Jinja, and this runs them as Hugging Face does: trim_blocks,
 * lstrip_blocks, a sandbox in which nothing is changed, its own tojson, raise_exception, strftime_now, break and
 * continue, generation blocks (which are passed through).
 *
 *   ft_jinja_parse    text -> tokens (jinja_lex.c) -> tree (jinja_parse.c, jinja_expr.c)
 *   ft_jinja_render   tree and variables -> text, and for each byte whether it came from the variables
 *
 * A template comes from outside: the depth of its tree, the steps of a run and the memory of both have stated maxima,
 * and what cannot be run is an error that names line and construct. Nothing is guessed and nothing left out.
 *
 * Marks: a byte that came from what people wrote (a string below `messages`, `tools` or `documents`, except a role) is
 * marked through every operation, so that it is known in the rendered text: it can forge no control token, and the end
 * of an answer is where its last byte is.
 *
 * Ownership: the caller frees the tree. Threads: a tree is only read; many threads may render one.
 */
#ifndef FETTLE_TEXT_JINJA_H
#define FETTLE_TEXT_JINJA_H

#include "file/json.h"

enum { FT_JINJA_MAX_TEXT = 1 << 20 }; /* bytes of a template */

typedef struct ft_jinja ft_jinja;
/* A text that is no Jinja is FT_EFORMAT, a construct that is not run here FT_EUNSUPPORTED, both with the line. */
ft_status ft_jinja_parse(ft_jinja **out, ft_str text);
void ft_jinja_free(ft_jinja *t);
/* Appends the text to `out` and, where `marks` is not NULL, a byte for each of its bytes: 1 where it was marked. vars:
 * a map of the template's variables. What the template refuses (raise_exception) or does wrong is FT_EINPUT, a maximum
 * that was passed FT_ENOMEM. */
ft_status ft_jinja_render(const ft_jinja *t, const json_t *vars, ft_buf *out, ft_buf *marks);
/* The template asks for today's date. */
bool ft_jinja_dated(const ft_jinja *t);

#endif
