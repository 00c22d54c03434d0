/* Llama 2: [INST] USER [/INST] ANSWER </s>, a system message in <<SYS>> within the first user turn. User and assistant
 * take turns. One BOS opens the row; Meta's code puts one before every turn, which no runtime does by itself.
 */
#include "text/chat.h"

#include <string.h>

static bool recognises(const char *text)
{
    /* Mistral's templates have [INST] too, with other spaces and no <<SYS>> */
    return strstr(text, "[INST]") && strstr(text, "<<SYS>>");
}

static ft_status put_user(ft_spans *out, const ft_message *system, const ft_message *m)
{
    ft_str text = ft_chat__trim(m->content);
    FT_RETURN(ft_span__plain(out, "[INST] "));
    if (system) {
        FT_RETURN(ft_span__plain(out, "<<SYS>>\n"));
        FT_RETURN(ft_span__put(out, FT_SPAN_PLAIN, system->content, false, -1));
        FT_RETURN(ft_span__plain(out, "\n<</SYS>>\n\n"));
        /* only the turn as a whole is trimmed: what the text begins with stays */
        text = (ft_str){m->content.p, (size_t)(text.p - m->content.p) + text.n};
    }
    FT_RETURN(ft_span__put(out, FT_SPAN_PLAIN, text, false, -1));
    return ft_span__plain(out, " [/INST]");
}

static ft_status put_assistant(ft_spans *out, const ft_message *m, int32_t i)
{
    FT_RETURN(ft_span__put(out, FT_SPAN_PLAIN, ft_str_of(" "), m->supervised, m->supervised ? i : -1));
    FT_RETURN(ft_span__put(out, FT_SPAN_PLAIN, ft_chat__trim(m->content), m->supervised, -1));
    FT_RETURN(ft_span__put(out, FT_SPAN_PLAIN, ft_str_of(" "), m->supervised, -1));
    return ft_span__put(out, FT_SPAN_EOS, ft_str_of(""), m->supervised, -1);
}

static ft_status render(ft_spans *out, const ft_message *messages, size_t n, bool ask)
{
    size_t first = n && messages[0].role == FT_SYSTEM;
    for (size_t i = first; i < n; i++) {
        const ft_message *m = &messages[i];
        ft_role expected = (i - first) % 2 ? FT_ASSISTANT : FT_USER;
        if (m->role != expected)
            return ft_fail(FT_EINPUT, "message %zu is of role %s, the template llama2 expects %s", i + 1,
                           ft_role_name(m->role), ft_role_name(expected));
        if (m->role == FT_USER)
            FT_RETURN(put_user(out, i == first && first ? &messages[0] : NULL, m));
        else
            FT_RETURN(put_assistant(out, m, (int32_t)i));
    }
    if (first == n || (ask && messages[n - 1].role != FT_USER))
        return ft_fail(FT_EINPUT, "the template llama2 expects a user message at the end of a question");
    return FT_OK;
}

static const char ollama[] =
    "{{- $system := \"\" }}\n"
    "{{- range $i, $_ := .Messages }}\n"
    "{{- $last := eq (len (slice $.Messages $i)) 1 }}\n"
    "{{- if eq .Role \"system\" }}{{- $system = .Content }}\n"
    "{{- else if eq .Role \"user\" }}[INST] "
    "{{ if $system }}<<SYS>>\n{{ $system }}\n<</SYS>>\n\n{{ $system = \"\" }}{{ end }}{{ .Content }} [/INST]\n"
    "{{- else }} {{ .Content }}{{ if not $last }} </s>{{ end }}\n"
    "{{- end }}\n"
    "{{- end }}";

static const char jinja[] =
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

static const char *const stops[] = {"[INST]", NULL};

const ft_chat_template ft_chat_llama2 = {
    .name = "llama2",
    .begins_with_bos = true,
    .recognises = recognises,
    .render = render,
    .ollama = ollama,
    .jinja = jinja,
    .stops = stops,
};
