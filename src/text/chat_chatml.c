/* ChatML: <|im_start|>ROLE\nTEXT<|im_end|>\n. Answers of tools go as Qwen has them: one behind the other, in a user
 * turn.
 */
#include "text/chat.h"

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

const ft_chat_template ft_chat_chatml = {
    .name = "chatml",
    .jinja = jinja,
};
