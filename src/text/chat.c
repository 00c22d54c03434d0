/* Conversations as a template sees them: messages as maps with the members that their row had, tools as a list, the
 * special tokens by name. As in Hugging Face, tools and documents are none where there are none.
 */
#include "text/chat.h"

#include <string.h>

ft_status ft_renderer__open(ft_renderer *r, const ft_chat_template *t, const ft_tokenizer *tok)
{
    *r = (ft_renderer){.tok = tok};
    ft_status st = ft_jinja_parse(&r->jinja, ft_str_of(t->jinja));
    if (st == FT_OK && t->jinja_with_tools)
        st = ft_jinja_parse(&r->with_tools, ft_str_of(t->jinja_with_tools));
    if (st != FT_OK)
        ft_renderer__close(r);
    return st;
}

void ft_renderer__close(ft_renderer *r)
{
    ft_jinja_free(r->jinja);
    ft_jinja_free(r->with_tools);
    *r = (ft_renderer){0};
}

void ft_rendered__free(ft_rendered *r)
{
    ft_buf_free(&r->text);
    ft_buf_free(&r->marks);
}

static ft_status no_memory(void)
{
    return ft_fail(FT_ENOMEM, "no memory for the messages of a chat");
}

/* Bytes that are no UTF-8 cannot be in a JSON text but in a message: they go to the template as they are. */
static json_t *text(ft_str s)
{
    return json_stringn_nocheck(s.n ? s.p : "", s.n);
}

static ft_status put_message(json_t *list, const ft_message *m)
{
    json_t *more = NULL, *o = json_object();
    ft_status st = FT_OK;
    if (m->extra.n)
        FT_TRY(ft_json_text(&more, m->extra, "a message"));
    if (json_object_set_new(o, "role", json_string(ft_role_name(m->role))) ||
        json_object_set_new(o, "content", text(m->content)) || (more && json_object_update(o, more)))
        st = no_memory();
    else if (json_array_append(list, o))
        st = no_memory();
done:
    json_decref(more);
    json_decref(o);
    return st;
}

static void put_token(json_t *vars, const ft_tokenizer *tok, const char *name, int32_t id)
{
    if (id >= 0)
        json_object_set_new(vars, name, text(ft_tokenizer_piece(tok, id)));
}

ft_status ft_renderer__variables(const ft_renderer *r, const ft_message *messages, size_t n, ft_str tools, json_t **out)
{
    json_t *list = json_array(), *vars = *out = json_object(), *functions = NULL;
    ft_status st = FT_OK;
    if (tools.n)
        FT_TRY(ft_json_text(&functions, tools, "tools"));
    for (size_t i = 0; i < n; i++)
        FT_TRY(put_message(list, &messages[i]));
    if (json_object_set(vars, "messages", list) || json_object_set_new(vars, "documents", json_null()) ||
        (functions ? json_object_set(vars, "tools", functions) : json_object_set_new(vars, "tools", json_null())))
        st = no_memory();
    put_token(vars, r->tok, "bos_token", ft_tokenizer_bos(r->tok));
    put_token(vars, r->tok, "eos_token", ft_tokenizer_eos(r->tok));
    put_token(vars, r->tok, "unk_token", ft_tokenizer_unk(r->tok));
    put_token(vars, r->tok, "pad_token", ft_tokenizer_pad(r->tok));
done:
    json_decref(list);
    json_decref(functions);
    if (st != FT_OK) {
        json_decref(vars);
        *out = NULL;
    }
    return st;
}

ft_status ft_renderer__render(const ft_renderer *r, json_t *variables, size_t n, bool ask, ft_rendered *out)
{
    const json_t *all = json_object_get(variables, "messages");
    bool tools = json_is_array(json_object_get(variables, "tools"));
    json_t *vars = json_copy(variables), *list = json_array();
    ft_status st = FT_OK;
    out->text.n = out->marks.n = 0;
    for (size_t i = 0; i < n && st == FT_OK; i++)
        if (json_array_append(list, json_array_get(all, i)))
            st = no_memory();
    if (json_object_set(vars, "messages", list) ||
        json_object_set_new(vars, "add_generation_prompt", json_boolean(ask)))
        st = no_memory();
    if (st == FT_OK)
        st = ft_jinja_render(tools && r->with_tools ? r->with_tools : r->jinja, vars, &out->text, &out->marks);
    json_decref(list);
    json_decref(vars);
    return st;
}
