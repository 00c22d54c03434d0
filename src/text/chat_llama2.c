/* Llama 2: [INST] USER [/INST] ANSWER </s>, a system message in <<SYS>> within the first user turn. User and assistant
 * take turns. One BOS opens the row; Meta's code puts one before every turn, which no runtime does by itself.
 */
#include "text/chat.h"

static const char jinja[] =
    "{%- if tools %}{{- raise_exception('the template llama2 has no place for tools') }}{%- endif %}"
    "{%- if messages[0]['role'] == 'system' %}"
    "{%- set system = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}{%- set turns = messages[1:] %}"
    "{%- else %}{%- set system = '' %}{%- set turns = messages %}{%- endif %}"
    "{{- bos_token }}"
    "{%- for message in turns %}"
    "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{- raise_exception('user and assistant must take turns') }}{%- endif %}"
    "{%- if message['role'] == 'user' %}"
    "{{- '[INST] ' + ((system if loop.first else '') + message['content']).strip() + ' [/INST]' }}"
    "{%- else %}{{- ' ' + message['content'].strip() + ' ' + eos_token }}{%- endif %}"
    "{%- endfor %}";

const ft_chat_template ft_chat_llama2 = {
    .name = "llama2",
    .jinja = jinja,
};
