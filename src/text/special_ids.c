/* Special ids and the chat template from the files beside an HF tokenizer. All of them are optional.
 *
 *   tokenizer_config.json    bos_token, eos_token, unk_token, pad_token (text, or an object with "content"),
 * add_bos_token, chat_template (text, or a list of {"name", "template"}: "default" and "tool_use" are taken) special_tokens_map.json
 * the same tokens, where the first does not speak of them generation_config.json, config.json  bos_token_id,
 * pad_token_id where neither speaks; every eos_token_id (a number or a list) ends a text chat_template.jinja,
 * chat_template.json  the template, before that of tokenizer_config.json
 */
#include "file/json.h"
#include "text/tokenizer_impl.h"

#include <string.h>

enum { FILE_MAX = 64 << 20 };

typedef struct tokens {
    struct token {
        const char *key, *id_key;
        int32_t *id;
        bool said; /* a file spoke of it, be it null */
    } of[4];
} tokens;

/* Parses dir/name; *out NULL when there is no such file. */
static ft_status open_beside(json_t **out, const char *dir, const char *name)
{
    *out = NULL;
    char *path = ft_path_join(dir, name);
    if (!path)
        return FT_ENOMEM;
    ft_status st = ft_exists(path) ? ft_json_file(out, path, FILE_MAX) : FT_OK;
    ft_free(path);
    return st;
}

static void read_tokens(const ft_tokenizer *t, const json_t *j, tokens *k)
{
    for (size_t i = 0; i < FT_COUNT(k->of); i++) {
        const json_t *v = json_object_get(j, k->of[i].key);
        if (!v || k->of[i].said)
            continue;
        k->of[i].said = true;
        if (json_is_object(v))
            v = json_object_get(v, "content");
        if (json_is_string(v))
            *k->of[i].id = ft_vocab__find(&t->vocab, (ft_str){json_string_value(v), json_string_length(v)});
    }
}

static ft_status read_eos_ids(ft_tokenizer *t, const json_t *eos)
{
    size_t i;
    json_t *item;
    if (json_is_integer(eos))
        return ft_tokenizer__add_stop(t, json_integer_value(eos));
    json_array_foreach(eos, i, item) if (json_is_integer(item))
        FT_RETURN(ft_tokenizer__add_stop(t, json_integer_value(item)));
    return FT_OK;
}

/* Ids by number, for tokens that no file named. */
static ft_status read_ids(ft_tokenizer *t, const json_t *j, tokens *k)
{
    const json_t *eos = json_object_get(j, "eos_token_id");
    for (size_t i = 0; i < FT_COUNT(k->of); i++) {
        const json_t *v = json_object_get(j, k->of[i].id_key);
        if (json_is_array(v))
            v = json_array_get(v, 0);
        if (k->of[i].said || *k->of[i].id >= 0 || !json_is_integer(v))
            continue;
        if (json_integer_value(v) >= 0 && json_integer_value(v) < t->vocab.n)
            *k->of[i].id = (int32_t)json_integer_value(v);
    }
    if (*k->of[1].id >= 0) /* eos itself is the first to end a text */
        FT_RETURN(ft_tokenizer__add_stop(t, *k->of[1].id));
    return read_eos_ids(t, eos);
}

static ft_status keep_text(char **out, const json_t *text)
{
    if (!json_is_string(text) || *out)
        return FT_OK;
    *out = ft_strndup(json_string_value(text), json_string_length(text));
    return *out ? FT_OK : FT_ENOMEM;
}

static ft_status keep_template(ft_tokenizer *t, const json_t *v)
{
    size_t i;
    json_t *item;
    const json_t *text = v;
    if (json_is_array(v)) {
        text = json_object_get(json_array_get(v, 0), "template");
        json_array_foreach(v, i, item)
        {
            const char *name = json_string_value(json_object_get(item, "name"));
            if (name && strcmp(name, "default") == 0)
                text = json_object_get(item, "template");
            if (name && strcmp(name, "tool_use") == 0 && !t->chat_template)
                FT_RETURN(keep_text(&t->tool_template, json_object_get(item, "template")));
        }
    }
    return keep_text(&t->chat_template, text);
}

static ft_status read_templates(ft_tokenizer *t, const char *dir)
{
    ft_status st = FT_OK;
    json_t *j = NULL;
    ft_buf text = {0};
    char *path = ft_path_join(dir, "chat_template.jinja");
    if (!path)
        return FT_ENOMEM;
    if (ft_exists(path)) {
        FT_TRY(ft_read_file(&text, path, FILE_MAX));
        t->chat_template = ft_strndup(text.p ? text.p : "", text.n);
        st = t->chat_template ? FT_OK : FT_ENOMEM;
    } else {
        FT_TRY(open_beside(&j, dir, "chat_template.json"));
        st = keep_template(t, json_object_get(j, "chat_template"));
    }
done:
    json_decref(j);
    ft_buf_free(&text);
    ft_free(path);
    return st;
}

/* Classes whose texts begin with BOS unless the file says no. */
static bool class_adds_bos(const json_t *config)
{
    static const char *const classes[] = {"LlamaTokenizer", "LlamaTokenizerFast", "CodeLlamaTokenizer",
                                          "GemmaTokenizer", "GemmaTokenizerFast"};
    const char *name = json_string_value(json_object_get(config, "tokenizer_class"));
    for (size_t i = 0; name && i < FT_COUNT(classes); i++)
        if (strcmp(name, classes[i]) == 0)
            return true;
    return false;
}

ft_status ft_tokenizer__special_ids(ft_tokenizer *t, const char *dir)
{
    ft_status st = FT_OK;
    json_t *config = NULL, *map = NULL, *generation = NULL, *model = NULL;
    tokens k = {{{"bos_token", "bos_token_id", &t->bos, false},
                 {"eos_token", "eos_token_id", &t->eos, false},
                 {"unk_token", "unk_token_id", &t->unk, false},
                 {"pad_token", "pad_token_id", &t->pad, false}}};
    FT_TRY(open_beside(&config, dir, "tokenizer_config.json"));
    FT_TRY(open_beside(&map, dir, "special_tokens_map.json"));
    FT_TRY(open_beside(&generation, dir, "generation_config.json"));
    FT_TRY(open_beside(&model, dir, "config.json"));
    read_tokens(t, config, &k);
    read_tokens(t, map, &k);
    FT_TRY(read_ids(t, generation, &k));
    FT_TRY(read_ids(t, model, &k));
    const json_t *add_bos = json_object_get(config, "add_bos_token");
    if (json_is_boolean(add_bos))
        t->add_bos = json_is_true(add_bos);
    else if (class_adds_bos(config))
        t->add_bos = true;
    FT_TRY(read_templates(t, dir));
    st = keep_template(t, json_object_get(config, "chat_template"));
done:
    json_decref(config);
    json_decref(map);
    json_decref(generation);
    json_decref(model);
    return st;
}
