/* The Ollama Modelfile beside a GGUF.
 *
 * The first GGUF of a folder has "Modelfile", which ollama create takes by itself; a further one "Modelfile.STEM". Its
 * FROM line, of an adapter its ADAPTER line, says which GGUF a Modelfile belongs to, so a repeated export finds its own
 * again.
 *
 * A value ends at the first line break behind which it is complete: a quoted value when it ends in its quote, one in
 * triple quotes when it ends in them. There are no escapes, so a text is written in the form that reads back to itself,
 * and refused when neither does.
 */
#include "export/internal.h"

#include "base/os.h"

#include <string.h>

static const char marker[] = "# Written by fettle.\n";
static const char from[] = "FROM ./", adapter[] = "ADAPTER ./";

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
static ft_status put_stops(ft_buf *b, const ft_tokenizer *tok, const ft_buf *more)
{
    size_t n, at = 0;
    char *text = NULL;
    const int32_t *ids = ft_tokenizer_stops(tok, &n);
    ft_status st = FT_OK;
    ft_map *seen = ft_map_new();
    if (!seen)
        return FT_ENOMEM;
    for (size_t i = 0; i < n || at < more->n; i++) {
        ft_str s = i < n ? ft_tokenizer_piece(tok, ids[i]) : ft_str_of(more->p + at);
        at += i < n ? 0 : s.n + 1;
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

/* A template that Go cannot repeat, or that cannot be run at all, leaves the prompt as it is. */
static ft_status put_template(ft_buf *b, const ft_tokenizer *tok, const ft_chat_template *chat)
{
    ft_buf text = {0}, stops = {0};
    ft_status st = ft_chat_template_ollama(chat, tok, &text, &stops);
    if (st == FT_EUNSUPPORTED || st == FT_EFORMAT || st == FT_EINPUT) {
        ft_note(FT_WARN, "%s; it passes prompts on as they are", ft_error());
        text.n = stops.n = 0;
        st = ft_buf_puts(&text, "{{ .Prompt }}");
    }
    FT_TRY(st);
    FT_TRY(ft_export__modelfile_text(b, "TEMPLATE", text.p, true));
    st = put_stops(b, tok, &stops);
done:
    ft_buf_free(&text);
    ft_buf_free(&stops);
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

/* ---- the default system message ---- */

/* The text of a chat up to where its answer begins; empty where the template has no place for such a chat. */
static ft_status chat_text(ft_buf *out, const ft_message *messages, size_t n, const ft_tokenizer *tok,
                           const ft_chat_template *chat)
{
    ft_ids ids = {0};
    ft_status st = ft_prompt_ids(&ids, messages, n, tok, chat);
    if (st == FT_OK)
        st = ft_tokenizer_decode(tok, ids.p, ids.n, false, true, out);
    else if (st != FT_ENOMEM)
        st = FT_OK;
    ft_ids_free(&ids);
    return st;
}

/* What the chat template puts where a chat brings no system message: a chat with a known one shows what stands around
 * it, and between the same surroundings of a chat without lies the template's own. Nothing where it has none. */
static ft_status put_system(ft_buf *b, const ft_tokenizer *tok, const ft_chat_template *chat)
{
    static const char mark[] = "MARK";
    const ft_message messages[] = {{.role = FT_SYSTEM, .content = {mark, sizeof mark - 1}},
                                   {.role = FT_USER, .content = {"x", 1}}};
    ft_buf with = {0}, without = {0};
    char *system = NULL;
    ft_status st = FT_OK;
    FT_TRY(chat_text(&with, messages, 2, tok, chat));
    FT_TRY(chat_text(&without, messages + 1, 1, tok, chat));
    const char *at = with.n && without.n ? strstr(with.p, mark) : NULL;
    if (!at)
        goto done;
    size_t before = (size_t)(at - with.p), behind = with.n - before - (sizeof mark - 1);
    if (without.n <= before + behind || memcmp(without.p, with.p, before) != 0 ||
        memcmp(without.p + without.n - behind, at + sizeof mark - 1, behind) != 0)
        goto done;
    system = ft_strndup(without.p + before, without.n - before - behind);
    st = system ? ft_export__modelfile_text(b, "SYSTEM", system, false) : FT_ENOMEM;
done:
    ft_free(system);
    ft_buf_free(&with);
    ft_buf_free(&without);
    return st;
}

ft_status ft_export__modelfile(ft_buf *b, const char *base, const char *gguf_name, const ft_tokenizer *tok,
                               const ft_chat_template *chat, const ft_sampling *sampling)
{
    static const ft_sampling greedy = {.temperature = 0, .top_p = 1};
    if (strpbrk(gguf_name, "\r\n") || (base && strpbrk(base, "\r\n")))
        return ft_fail(FT_EUNSUPPORTED, "a Modelfile cannot name a file with a line break in its name");
    FT_RETURN(ft_buf_puts(b, marker));
    if (base)
        FT_RETURN(ft_buf_printf(b, "FROM %s\n", base));
    FT_RETURN(ft_buf_printf(b, "%s%s\n", base ? adapter : from, gguf_name));
    FT_RETURN(put_template(b, tok, chat));
    if (chat)
        FT_RETURN(put_system(b, tok, chat));
    return put_sampling(b, sampling ? sampling : &greedy);
}

/* ---- which file ---- */

/* Behind "ADAPTER ./" of the second line, else behind "FROM ./" of the first; NULL: neither. */
static const char *name_in(const char *lines)
{
    const char *second = lines + strcspn(lines, "\n");
    second += *second == '\n';
    if (ft_starts(second, adapter))
        return second + sizeof adapter - 1;
    return ft_starts(lines, from) ? lines + sizeof from - 1 : NULL;
}

/* The GGUF that a Modelfile of fettle's describes, in new memory; NULL in *name for one that somebody else wrote. */
static ft_status described(char **name, const char *path)
{
    ft_buf b = {0};
    ft_status st = ft_read_file(&b, path, (size_t)1 << 24);
    const char *at = st == FT_OK && ft_starts(b.p, marker) ? name_in(b.p + sizeof marker - 1) : NULL;
    *name = NULL;
    if (at)
        st = (*name = ft_strndup(at, strcspn(at, "\n"))) ? FT_OK : FT_ENOMEM;
    ft_buf_free(&b);
    return st;
}

/* May it be written? Where nothing stands, over what describes this GGUF (*same), and over what describes one that is
 * gone; never over another's or the user's own. */
static ft_status may_write(bool *may, bool *same, const char *dir, const char *path, const char *gguf_name)
{
    char *name;
    *may = !ft_exists(path);
    *same = false;
    if (*may)
        return FT_OK;
    FT_RETURN(described(&name, path));
    *same = name && strcmp(name, gguf_name) == 0;
    *may = *same || (name && !ft_dir_holds(dir, name));
    ft_free(name);
    return FT_OK;
}

ft_status ft_export__modelfile_is_orphan(bool *orphan, const char *dir, const char *path)
{
    char *name;
    FT_RETURN(described(&name, path));
    *orphan = name && !ft_dir_holds(dir, name);
    ft_free(name);
    return FT_OK;
}

/* "Modelfile.STEM" of "STEM.gguf", in dir. */
static char *path_of_its_own(const char *dir, const char *gguf_name)
{
    size_t n = strlen(gguf_name) - (ft_ends(gguf_name, ".gguf") ? 5 : 0);
    char *name = ft_strf("Modelfile.%.*s", (int)n, gguf_name), *path = name ? ft_path_join(dir, name) : NULL;
    ft_free(name);
    return path;
}

ft_status ft_modelfile_path(char **path, const char *gguf)
{
    const char *name = ft_path_base(gguf);
    char *dir = ft_path_dir(gguf), *usual = dir ? ft_path_join(dir, "Modelfile") : NULL;
    char *own = dir ? path_of_its_own(dir, name) : NULL;
    bool usual_may, own_may, usual_same, own_same;
    ft_status st = FT_OK;
    *path = NULL;
    if (!usual || !own) {
        st = FT_ENOMEM;
        goto done;
    }
    FT_TRY(may_write(&usual_may, &usual_same, dir, usual, name));
    FT_TRY(may_write(&own_may, &own_same, dir, own, name));
    char **chosen = usual_same ? &usual : own_same ? &own : usual_may ? &usual : own_may ? &own : NULL;
    if (chosen) {
        *path = *chosen;
        *chosen = NULL;
    }
done:
    ft_free(dir);
    ft_free(usual);
    ft_free(own);
    return st;
}

ft_status ft_export__modelfile_beside(ft_beside *beside, const ft_export_request *r, const char *base)
{
    ft_buf b = {0};
    char *path = NULL;
    ft_status st = FT_OK;
    FT_TRY(ft_modelfile_path(&path, r->path));
    if (!path) {
        ft_note(FT_WARN, "%s: written without a Modelfile: neither Modelfile nor Modelfile.NAME beside it is fettle's", r->path);
        goto done;
    }
    FT_TRY(ft_context(ft_export__modelfile(&b, base, ft_path_base(r->path), r->tokenizer, r->chat, r->sampling), "%s", path));
    FT_TRY(ft_export__beside_add(beside, path, &b));
done:
    ft_free(path);
    ft_buf_free(&b);
    return st;
}
