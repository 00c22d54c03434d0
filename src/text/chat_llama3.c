/* Llama 3: <|start_header_id|>ROLE<|end_header_id|>\n\nTEXT<|eot_id|>, texts without white space at their ends, tool
 * turns as "ipython". The plain form: Llama 3.1 and 3.2 put a date into every system message, this does not.
 */
#include "text/chat.h"

static const char jinja[] =
    "{%- if tools %}{{- raise_exception('the template llama3 has no place for tools') }}{%- endif %}"
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{%- set role = 'ipython' if message['role'] == 'tool' else message['role'] %}"
    "{{- '<|start_header_id|>' + role + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}";

const ft_chat_template ft_chat_llama3 = {
    .name = "llama3",
    .jinja = jinja,
};
