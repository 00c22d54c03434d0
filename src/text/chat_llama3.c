/* Llama 3: <|start_header_id|>ROLE<|end_header_id|>\n\nTEXT<|eot_id|>, texts without white space at their ends, tool
 * turns as "ipython". The plain form: Llama 3.1 and 3.2 put a date into every system message, this does not.
 */
#include "text/chat.h"

#include <string.h>

static bool recognises(const char *text)
{
    return strstr(text, "<|start_header_id|>") && strstr(text, "<|eot_id|>");
}

static ft_status open_turn(ft_spans *out, const char *role)
{
    FT_RETURN(ft_span__control(out, "<|start_header_id|>"));
    FT_RETURN(ft_span__plain(out, role));
    FT_RETURN(ft_span__control(out, "<|end_header_id|>"));
    return ft_span__plain(out, "\n\n");
}

static ft_status render(ft_spans *out, const ft_message *messages, size_t n, bool ask)
{
    for (size_t i = 0; i < n; i++) {
        const ft_message *m = &messages[i];
        FT_RETURN(open_turn(out, m->role == FT_TOOL ? "ipython" : ft_role_name(m->role)));
        FT_RETURN(ft_span__put(out, FT_SPAN_PLAIN, ft_chat__trim(m->content), m->supervised,
                               m->supervised ? (int32_t)i : -1));
        FT_RETURN(ft_span__put(out, FT_SPAN_CONTROL, ft_str_of("<|eot_id|>"), m->supervised, -1));
    }
    return ask ? open_turn(out, "assistant") : FT_OK;
}

static const char ollama[] =
    "{{- range $i, $_ := .Messages }}\n"
    "{{- $last := eq (len (slice $.Messages $i)) 1 }}\n"
    "{{- if eq .Role \"tool\" }}<|start_header_id|>ipython<|end_header_id|>\n"
    "{{- else }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n"
    "{{- end }}\n\n{{ .Content }}\n"
    "{{- if not (and $last (eq .Role \"assistant\")) }}<|eot_id|>\n"
    "{{- end }}\n"
    "{{- if and $last (ne .Role \"assistant\") }}<|start_header_id|>assistant<|end_header_id|>\n\n{{ end }}\n"
    "{{- end }}";

static const char jinja[] =
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{%- set role = 'ipython' if message['role'] == 'tool' else message['role'] %}"
    "{{- '<|start_header_id|>' + role + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}";

static const char *const stops[] = {"<|eot_id|>", "<|start_header_id|>", NULL};

const ft_chat_template ft_chat_llama3 = {
    .name = "llama3",
    .begins_with_bos = true,
    .recognises = recognises,
    .render = render,
    .differs_where = "Today Date",
    .differs_how = "the model's own chat template puts a date into the system message, these rows have none",
    .ollama = ollama,
    .jinja = jinja,
    .stops = stops,
};
