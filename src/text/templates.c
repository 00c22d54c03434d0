/* The template table: picking a row by name, or the model's own template, and what is common to all of them. */
#include "text/chat.h"
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

#include <stdio.h>
#include <string.h>

#define FT_CHAT_TEMPLATE(name) extern const ft_chat_template ft_chat_##name;
#include "text/templates.def"
#undef FT_CHAT_TEMPLATE

static const ft_chat_template *const templates[] = {
#define FT_CHAT_TEMPLATE(name) &ft_chat_##name,
#include "text/templates.def"
#undef FT_CHAT_TEMPLATE
};

const char *ft_chat_template_choice(size_t i)
{
    return i == 0 ? "auto" : i == 1 ? "none" : i - 2 < FT_COUNT(templates) ? templates[i - 2]->name : NULL;
}

/* ---- picking ---- */

static ft_status pick_named(const ft_chat_template **out, const char *name)
{
    const char *choices[FT_COUNT(templates) + 3]; /* auto, none, NULL */
    char names[256];
    size_t n = 0, used = 0;
    for (; (choices[n] = ft_chat_template_choice(n)); n++) {
        if (n >= 2 && strcmp(choices[n], name) == 0) {
            *out = templates[n - 2];
            return FT_OK;
        }
        used += used < sizeof names
                    ? (size_t)snprintf(names + used, sizeof names - used, "%s%s", n ? ", " : "", choices[n])
                    : 0;
    }
    const char *near = ft_nearest(name, choices, n);
    return ft_fail(FT_EUNSUPPORTED, "there is no chat template \"%s\"; the choices are %s%s%s", name, names,
                   near ? "; nearest: " : "", near ? near : "");
}

ft_status ft_chat_template_pick(const ft_chat_template **out, const char *name, const ft_tokenizer *tok)
{
    *out = NULL;
    if (name && strcmp(name, "none") == 0)
        return FT_OK;
    if (name && strcmp(name, "auto") != 0)
        return pick_named(out, name);
    *out = tok && tok->chat_template && *tok->chat_template ? &tok->own_template : NULL;
    return FT_OK;
}

/* ---- answers ---- */

const char *ft_chat_template_name(const ft_chat_template *t)
{
    return t ? t->name : "none";
}

const char *ft_chat_template_jinja(const ft_chat_template *t)
{
    return t ? t->jinja : NULL;
}

ft_str ft_text_trim(ft_str s)
{
    size_t lead = ft_unicode__leading_space(s);
    s = (ft_str){s.p + lead, s.n - lead};
    s.n -= ft_unicode__trailing_space(s);
    return s;
}
