/* ChatML: <|im_start|>ROLE\nTEXT<|im_end|>\n. Tool turns go as Qwen has them: answers of tools, one behind the other,
 * in a user turn. A default system message of the model's own template is put first where a chat brings none.
 */
#include "text/chat.h"

#include <string.h>

static bool recognises(const char *text)
{
    /* templates that add thinking or other parts to turns are not this one */
    return strstr(text, "<|im_start|>") && strstr(text, "<|im_end|>") && !strstr(text, "<think>") &&
           !strstr(text, "<|im_sep|>");
}

static ft_status open_turn(ft_spans *out, const char *role)
{
    FT_RETURN(ft_span__control(out, "<|im_start|>"));
    FT_RETURN(ft_span__plain(out, role));
    return ft_span__plain(out, "\n");
}

static ft_status close_turn(ft_spans *out, bool supervised)
{
    FT_RETURN(ft_span__put(out, FT_SPAN_CONTROL, ft_str_of("<|im_end|>"), supervised, -1));
    return ft_span__plain(out, "\n");
}

static ft_status put_tool(ft_spans *out, const ft_message *messages, size_t n, size_t i)
{
    bool first = i == 0 || messages[i - 1].role != FT_TOOL, last = i + 1 == n || messages[i + 1].role != FT_TOOL;
    if (first) {
        FT_RETURN(ft_span__control(out, "<|im_start|>"));
        FT_RETURN(ft_span__plain(out, "user"));
    }
    FT_RETURN(ft_span__plain(out, "\n<tool_response>\n"));
    FT_RETURN(ft_span__put(out, FT_SPAN_PLAIN, messages[i].content, false, -1));
    FT_RETURN(ft_span__plain(out, "\n</tool_response>"));
    return last ? close_turn(out, false) : FT_OK;
}

static ft_status render(ft_spans *out, const ft_message *messages, size_t n, bool ask)
{
    for (size_t i = 0; i < n; i++) {
        const ft_message *m = &messages[i];
        if (m->role == FT_TOOL) {
            FT_RETURN(put_tool(out, messages, n, i));
            continue;
        }
        FT_RETURN(open_turn(out, ft_role_name(m->role)));
        FT_RETURN(ft_span__put(out, FT_SPAN_PLAIN, m->content, m->supervised, m->supervised ? (int32_t)i : -1));
        FT_RETURN(close_turn(out, m->supervised));
    }
    return ask ? open_turn(out, "assistant") : FT_OK;
}

static const char ollama[] =
    "{{- range $i, $_ := .Messages }}\n"
    "{{- $last := eq (len (slice $.Messages $i)) 1 }}\n"
    "{{- if eq .Role \"tool\" }}<|im_start|>user\n<tool_response>\n{{ .Content }}\n</tool_response><|im_end|>\n"
    "{{ else }}<|im_start|>{{ .Role }}\n{{ .Content }}\n"
    "{{- if not (and $last (eq .Role \"assistant\")) }}<|im_end|>\n{{ end }}\n"
    "{{- end }}\n"
    "{{- if and $last (ne .Role \"assistant\") }}<|im_start|>assistant\n{{ end }}\n"
    "{{- end }}";

static const char jinja[] =
    "{%- for message in messages %}"
    "{%- if message['role'] == 'tool' %}"
    "{%- if loop.first or messages[loop.index0 - 1]['role'] != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}"
    "{{- '\\n<tool_response>\\n' + message['content'] + '\\n</tool_response>' }}"
    "{%- if loop.last or messages[loop.index0 + 1]['role'] != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}"
    "{%- else %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

static const char *const stops[] = {"<|im_end|>", "<|im_start|>", NULL};

const ft_chat_template ft_chat_chatml = {
    .name = "chatml",
    .recognises = recognises,
    .render = render,
    .system_open = "<|im_start|>system",
    .system_close = "<|im_end|>",
    .ollama = ollama,
    .jinja = jinja,
    .stops = stops,
};
