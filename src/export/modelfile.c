/* The Ollama Modelfile beside a GGUF.
 *
 * A value ends at the first line break behind which it is complete: a quoted value when it ends in its quote, one in
 * triple quotes when it ends in them. There are no escapes, so a text is written in the form that reads back to itself,
 * and refused when neither does.
 */
#include "export/internal.h"

#include "base/os.h"

#include <stdio.h>
#include <string.h>

static const char marker[] = "# Written by fettle.\n";

/* Would a line break inside """text""" end the value too early? It does where triple quotes stand before it. */
static bool breaks_triple(const char *text)
{
    ft_str s = ft_str_of(text);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\n' && s.p[i] != '\r')
            continue;
        size_t n = i;
        while (n && (s.p[n - 1] == ' ' || s.p[n - 1] == '\t' || s.p[n - 1] == '\n' || s.p[n - 1] == '\r'))
            n--;
        if (n >= 3 && memcmp(s.p + n - 3, "\"\"\"", 3) == 0)
            return true;
    }
    return false;
}

ft_status ft_export__modelfile_text(ft_buf *b, const char *command, const char *text, bool triple)
{
    triple = triple || text[0] == '"' || strpbrk(text, "\r\n");
    if (triple && breaks_triple(text))
        return ft_fail(FT_EUNSUPPORTED, "a Modelfile cannot hold the %s text: triple quotes stand before a line break", command);
    return ft_buf_printf(b, "%s %s%s%s\n", command, triple ? "\"\"\"" : "\"", text, triple ? "\"\"\"" : "\"");
}

/* Every text that ends a turn, once: the tokenizer's stop tokens, then the template's. */
static ft_status put_stops(ft_buf *b, const ft_tokenizer *tok, const ft_chat_template *chat)
{
    size_t n;
    char *text = NULL;
    const int32_t *ids = ft_tokenizer_stops(tok, &n);
    const char *const *more = ft_chat_template_stops(chat);
    ft_status st = FT_OK;
    ft_map *seen = ft_map_new();
    if (!seen)
        return FT_ENOMEM;
    for (size_t i = 0; i < n || (more && *more); i++) {
        ft_str s = i < n ? ft_tokenizer_piece(tok, ids[i]) : ft_str_of(*more++);
        if (!s.n || ft_map_get(seen, s.p, s.n, NULL))
            continue;
        FT_TRY(ft_map_put(seen, s.p, s.n, 0));
        ft_free(text);
        if (!(text = ft_strndup(s.p, s.n))) {
            st = FT_ENOMEM;
            goto done;
        }
        FT_TRY(ft_export__modelfile_text(b, "PARAMETER stop", text, false));
    }
done:
    ft_free(text);
    ft_map_free(seen);
    return st;
}

/* What was measured is what runs: Ollama's own defaults (a repeat penalty, top_k 40, top_p 0.9) are named away. */
static ft_status put_sampling(ft_buf *b, const ft_sampling *s)
{
    FT_RETURN(ft_buf_printf(b, "PARAMETER temperature %g\nPARAMETER repeat_penalty 1\n", (double)s->temperature));
    if (s->temperature > 0)
        FT_RETURN(ft_buf_printf(b, "PARAMETER top_k %d\nPARAMETER top_p %g\nPARAMETER min_p %g\n", (int)s->top_k,
                                (double)s->top_p, (double)s->min_p));
    return FT_OK;
}

ft_status ft_export__modelfile(ft_buf *b, const char *gguf_name, const ft_tokenizer *tok, const ft_chat_template *chat,
                               const ft_sampling *sampling)
{
    static const ft_sampling greedy = {.temperature = 0, .top_p = 1};
    if (strpbrk(gguf_name, "\r\n"))
        return ft_fail(FT_EUNSUPPORTED, "a Modelfile cannot name a file with a line break in its name");
    FT_RETURN(ft_buf_puts(b, marker));
    FT_RETURN(ft_buf_printf(b, "FROM ./%s\n", gguf_name));
    FT_RETURN(ft_export__modelfile_text(b, "TEMPLATE", ft_chat_template_ollama(chat), true));
    FT_RETURN(put_stops(b, tok, chat));
    return put_sampling(b, sampling ? sampling : &greedy);
}

/* A Modelfile that somebody else wrote is not touched. */
static bool is_ours(const char *path)
{
    char head[sizeof marker - 1];
    FILE *f = fopen(path, "re");
    bool ours = !f || (fread(head, 1, sizeof head, f) == sizeof head && memcmp(head, marker, sizeof head) == 0);
    if (f)
        fclose(f);
    return ours;
}

ft_status ft_write_modelfile(const char *path, const char *gguf_name, const ft_tokenizer *tok, const ft_chat_template *chat,
                             const ft_sampling *sampling)
{
    ft_buf b = {0};
    ft_status st = FT_OK;
    if (!is_ours(path)) {
        ft_note(FT_WARN, "%s: kept, fettle did not write it; its FROM line must name ./%s", path, gguf_name);
        return FT_OK;
    }
    FT_TRY(ft_export__modelfile(&b, gguf_name, tok, chat, sampling));
    st = ft_write_file(path, b.p, b.n);
done:
    ft_buf_free(&b);
    return ft_context(st, "%s", path);
}
