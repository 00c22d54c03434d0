/* Inside of the text room: Ollama's Go templates, what writes tools in them (ollama_tools.c).
 *
 * Ollama hands a template tools as values, not as the JSON that a request brought, and has a function json that spells
 * a value without spaces. So the members that OpenAI's form has are written one by one, in the order and with the spaces
 * that Jinja's tojson gives: the same text for a definition whose members stand in that order (name, description,
 * parameters; type, properties, required; type, description, enum) and whose properties stand in the order of their names,
 * which is all that Go knows of a map's. Lists and maps within arguments, and types that are lists, are spelled without
 * spaces, <, > and & in Go's way; members that Ollama does not know are not there.
 */
#ifndef FETTLE_TEXT_OLLAMA_H
#define FETTLE_TEXT_OLLAMA_H

#include "text/chat.h"

/* How a chat template writes a list of definitions. */
typedef struct ft_go_tools {
    bool function; /* not {"type": "function", "function": {..}} but what is inside alone */
    bool indented; /* by four, each member a line */
    size_t between, between_n; /* bytes of text: what stands between two of them */
    ft_buf text;               /* both definitions of ft_go_probe_tools so written; n 0: not found */
} ft_go_tools;
/* A JSON list of two definitions, of words that begin with "Qtool". */
extern const char ft_go_probe_tools[];
/* How they are written in s; text.n is 0 where not in a way that Go can repeat. */
ft_status ft_go_tools_find(ft_go_tools *t, ft_str s);
void ft_go_tools_free(ft_go_tools *t);
/* Where both stand in s. */
bool ft_go_tools_in(const ft_go_tools *t, ft_str s, size_t *at);
/* What writes the definitions of a request. */
ft_status ft_go_put_tools(ft_buf *out, const ft_go_tools *t);
/* What writes the arguments of a call, which is Go's dot, as tojson does. */
extern const char ft_go_arguments[];

/* The text as an action that writes it; as text of the template where nothing in it could be taken for more. */
ft_status ft_go_put(ft_buf *out, ft_str s);
ft_status ft_go_put_plain(ft_buf *out, ft_str s);
bool ft_go_holds(ft_str s, const char *what);

#endif
