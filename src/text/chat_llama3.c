/* Llama 3: <|start_header_id|>ROLE<|end_header_id|>\n\nTEXT<|eot_id|>, texts without white space at their ends, tool
 * turns as "ipython". The plain form: Llama 3.1 and 3.2 put a date into every system message, this does not.
 */
#include "text/chat.h"

#include <string.h>

static bool recognises(const char *text)
{
    return strstr(text, "<|start_header_id|>") && strstr(text, "<|eot_id|>");
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
    "{%- if tools %}{{- raise_exception('the template llama3 has no place for tools') }}{%- endif %}"
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{%- set role = 'ipython' if message['role'] == 'tool' else message['role'] %}"
    "{{- '<|start_header_id|>' + role + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}";

static const char *const stops[] = {"<|eot_id|>", "<|start_header_id|>", NULL};

const ft_chat_template ft_chat_llama3 = {
    .name = "llama3",
    .recognises = recognises,
    .ollama = ollama,
    .jinja = jinja,
    .stops = stops,
};
