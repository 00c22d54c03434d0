/* Definitions and arguments of tools in Go. How a chat template spells definitions is found by looking for two of words that
 * occur nowhere else in what it renders; what Go writes has the members of OpenAI's form, one by one.
 */
#include "text/ollama.h"

#include <stdlib.h>
#include <string.h>

#define TOOL(x)                                                                                                        \
    "{\"type\": \"function\", \"function\": {\"name\": \"Qtoolname" x "\", \"description\": \"Qtooltext" x             \
    "\", \"parameters\": {\"type\": \"object\", \"properties\": {\"Qtoolproperty" x                                    \
    "\": {\"type\": \"string\", \"description\": \"Qtoolvalue" x "\"}}, \"required\": [\"Qtoolproperty" x "\"]}}}"
const char ft_go_probe_tools[] = "[" TOOL("A") ", " TOOL("B") "]";

/* ---- Go ---- */

/* \v and a digit begin a line of that depth; behind a comma, where all is one line, they are a space. */
static const char function_go[] =
    "{\v1\"name\": {{ json $tool.Function.Name }}"
    "{{ with $tool.Function.Description }},\v1\"description\": {{ json . }}{{ end }}"
    ",\v1\"parameters\": {\v2\"type\": {{ json $tool.Function.Parameters.Type }},\v2\"properties\": {{ \"{\" }}{{ $p := 0 }}"
    "{{ range $name, $property := $tool.Function.Parameters.Properties }}{{ if $p }},\v3{{ else }}\v3{{ end }}{{ $p = 1 }}"
    "{{ json $name }}: {\v4\"type\": {{ json $property.Type }}"
    "{{ with $property.Description }},\v4\"description\": {{ json . }}{{ end }}"
    "{{ with $property.Enum }},\v4\"enum\": [{{ range $e, $_ := . }}{{ if $e }},\v5{{ else }}\v5{{ end }}{{ json . }}{{ end }}\v4]{{ end }}"
    "\v3}{{ end }}{{ if $p }}\v2{{ end }}}"
    "{{ with $tool.Function.Parameters.Required }},\v2\"required\": [{{ range $r, $_ := . }}{{ if $r }},\v3{{ else }}\v3{{ end }}"
    "{{ json . }}{{ end }}\v2]{{ end }}\v1}\v0}";

const char ft_go_arguments[] = "{{ \"{\" }}{{ $a := 0 }}{{ range $name, $value := .Function.Arguments }}{{ if $a }}, {{ end }}{{ $a = 1 }}"
                               "{{ json $name }}: {{ json $value }}{{ end }}}";

static ft_status put_lines(ft_buf *out, const char *go, bool indented, int depth)
{
    for (const char *p = go; *p; p++) {
        if (*p != '\v') {
            FT_RETURN(ft_buf_putc(out, *p));
            continue;
        }
        p++;
        if (!indented) {
            if (p - go >= 2 && p[-2] == ',')
                FT_RETURN(ft_buf_putc(out, ' '));
            continue;
        }
        FT_RETURN(ft_buf_putc(out, '\n'));
        for (int i = 4 * (depth + *p - '0'); i > 0; i--)
            FT_RETURN(ft_buf_putc(out, ' '));
    }
    return FT_OK;
}

ft_status ft_go_put_tools(ft_buf *out, const ft_go_tools *t)
{
    FT_RETURN(ft_buf_puts(out, "{{ range $t, $tool := $.Tools }}{{ if $t }}"));
    FT_RETURN(ft_go_put(out, (ft_str){t->text.p + t->between, t->between_n}));
    FT_RETURN(ft_buf_puts(out, "{{ end }}"));
    if (!t->function)
        FT_RETURN(put_lines(out, "{\v1\"type\": {{ json $tool.Type }},\v1\"function\": ", t->indented, 0));
    FT_RETURN(put_lines(out, function_go, t->indented, t->function ? 0 : 1));
    if (!t->function)
        FT_RETURN(put_lines(out, "\v0}", t->indented, 0));
    return ft_buf_puts(out, "{{ end }}");
}

ft_status ft_go_put(ft_buf *out, ft_str s)
{
    if (!s.n)
        return FT_OK;
    FT_RETURN(ft_buf_puts(out, "{{ \""));
    for (size_t i = 0; i < s.n; i++)
        FT_RETURN(ft_buf_put_escaped(out, (unsigned char)s.p[i]));
    return ft_buf_puts(out, "\" }}");
}

ft_status ft_go_put_plain(ft_buf *out, ft_str s)
{
    bool plain = s.n && s.p[s.n - 1] != '{' && !ft_go_holds(s, "{{") && !ft_go_holds(s, "\"\"\"");
    for (size_t i = 0; i < s.n; i++)
        plain = plain && ((unsigned char)s.p[i] >= ' ' || s.p[i] == '\n');
    return plain ? ft_buf_put(out, s.p, s.n) : ft_go_put(out, s);
}

/* ---- finding them ---- */

static bool find(ft_str s, ft_str what, size_t from, size_t *at)
{
    for (size_t i = from; i + what.n <= s.n; i++)
        if (memcmp(s.p + i, what.p, what.n) == 0) {
            *at = i;
            return true;
        }
    return false;
}

bool ft_go_holds(ft_str s, const char *what)
{
    size_t at;
    return find(s, ft_str_of(what), 0, &at);
}

bool ft_go_tools_in(const ft_go_tools *t, ft_str s, size_t *at)
{
    return t->text.n && find(s, (ft_str){t->text.p, t->text.n}, 0, at);
}

/* Definition i of the list as Python's json.dumps spells it; free(). */
static char *spelled(const json_t *list, size_t i, const ft_go_tools *t)
{
    const json_t *tool = json_array_get(list, i);
    return json_dumps(t->function ? json_object_get(tool, "function") : tool, t->indented ? JSON_INDENT(4) : 0);
}

/* Both definitions one behind the other in s, spelled as t says. */
static ft_status find_spelled(ft_go_tools *t, ft_str s, const json_t *list)
{
    char *a = spelled(list, 0, t), *b = spelled(list, 1, t);
    size_t at, next;
    ft_status st = a && b ? FT_OK : ft_fail(FT_ENOMEM, "no memory for the definition of a tool");
    if (st == FT_OK && find(s, ft_str_of(a), 0, &at) && find(s, ft_str_of(b), at + strlen(a), &next)) {
        t->between = strlen(a);
        t->between_n = next - at - t->between;
        st = ft_buf_put(&t->text, s.p + at, next + strlen(b) - at);
    }
    free(a);
    free(b);
    return st;
}

ft_status ft_go_tools_find(ft_go_tools *t, ft_str s)
{
    json_t *list;
    ft_status st = FT_OK;
    FT_RETURN(ft_json_text(&list, ft_str_of(ft_go_probe_tools), "tools"));
    for (int way = 0; way < 4 && st == FT_OK && !t->text.n; way++) {
        t->function = way & 1;
        t->indented = way & 2;
        st = find_spelled(t, s, list);
    }
    json_decref(list);
    return st;
}

void ft_go_tools_free(ft_go_tools *t)
{
    ft_buf_free(&t->text);
}
