/* ChatML: <|im_start|>ROLE\nTEXT<|im_end|>\n. Answers of tools go as Qwen has them: one behind the other, in a user turn.
 */
#include "text/chat.h"

#include <string.h>

static bool recognises(const char *text)
{
    /* templates that add thinking or other parts to turns are not this one */
    return strstr(text, "<|im_start|>") && strstr(text, "<|im_end|>") && !strstr(text, "<think>") &&
           !strstr(text, "<|im_sep|>");
}

static const char ollama[] =
    "{{- $before := \"\" }}\n"
    "{{- range $i, $_ := .Messages }}\n"
    "{{- $last := eq (len (slice $.Messages $i)) 1 }}\n"
    "{{- if and (eq $before \"tool\") (ne .Role \"tool\") }}<|im_end|>\n{{ end }}\n"
    "{{- if eq .Role \"tool\" }}\n"
    "{{- if ne $before \"tool\" }}<|im_start|>user{{ end }}\n<tool_response>\n{{ .Content }}\n</tool_response>\n"
    "{{- if $last }}<|im_end|>\n{{ end }}\n"
    "{{- else }}<|im_start|>{{ .Role }}\n{{ .Content }}\n"
    "{{- if not (and $last (eq .Role \"assistant\")) }}<|im_end|>\n{{ end }}\n"
    "{{- end }}\n"
    "{{- if and $last (ne .Role \"assistant\") }}<|im_start|>assistant\n{{ end }}\n"
    "{{- $before = .Role }}\n"
    "{{- end }}";

static const char jinja[] =
    "{%- if tools %}{{- raise_exception('the template chatml has no place for tools') }}{%- endif %}"
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
    .ollama = ollama,
    .jinja = jinja,
    .stops = stops,
};
