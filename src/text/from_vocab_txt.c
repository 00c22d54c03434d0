/* vocab.txt, BERT's vocabulary: a piece a line, the line's number is its id. How texts are normalized stands in
 * tokenizer_config.json beside it: do_lower_case, tokenize_chinese_chars, strip_accents, and the names of the control
 * tokens.
 */
#include "file/json.h"
#include "text/tokenizer_impl.h"

#include <string.h>

enum { FILE_MAX = 64 << 20, NAME_MAX_BYTES = 1000 };

/* The pieces of a text of lines; out NULL: only counts them. */
static ft_status each_line(ft_str text, ft_vocab *out, int64_t *n)
{
    *n = 0;
    for (size_t at = 0; at < text.n;) {
        const char *end = memchr(text.p + at, '\n', text.n - at);
        size_t next = end ? (size_t)(end - text.p) + 1 : text.n, stop = end ? next - 1 : text.n;
        if (stop > at && text.p[stop - 1] == '\r')
            stop--;
        if (out && stop > at)
            FT_RETURN(ft_vocab__set(out, (int32_t)*n, (ft_str){text.p + at, stop - at}, FT_TOKEN_NORMAL));
        ++*n;
        at = next;
    }
    return FT_OK;
}

/* A control token by its name in the configuration, which may be an object with "content". */
static ft_status control(ft_tokenizer *t, const json_t *config, const char *key, const char *usual, int32_t *id)
{
    const json_t *j = json_object_get(config, key);
    if (json_is_object(j))
        j = json_object_get(j, "content");
    ft_str name = json_is_string(j) ? (ft_str){json_string_value(j), json_string_length(j)} : ft_str_of(usual);
    if (name.n > NAME_MAX_BYTES)
        return ft_fail(FT_EFORMAT, "%s: %s of %zu bytes", t->path, key, name.n);
    *id = ft_vocab__find(&t->vocab, name);
    if (*id < 0)
        return FT_OK;
    t->vocab.type[*id] = FT_TOKEN_CONTROL;
    ft_added_token token = {.text = t->vocab.piece[*id], .id = *id};
    return ft_tokenizer__cut_out(t, &token, true, false);
}

static ft_status load_controls(ft_tokenizer *t, const json_t *config)
{
    int32_t mask;
    FT_RETURN(control(t, config, "unk_token", "[UNK]", &t->unk));
    FT_RETURN(control(t, config, "cls_token", "[CLS]", &t->bos));
    FT_RETURN(control(t, config, "sep_token", "[SEP]", &t->eos));
    FT_RETURN(control(t, config, "pad_token", "[PAD]", &t->pad));
    FT_RETURN(control(t, config, "mask_token", "[MASK]", &mask));
    t->model_unk = t->unk;
    if (t->unk >= 0)
        t->vocab.type[t->unk] = FT_TOKEN_UNKNOWN;
    t->add_bos = t->add_eos = true;
    return FT_OK;
}

static ft_status load_settings(ft_tokenizer *t, const json_t *config, const char *where)
{
    bool lower, chinese, strip;
    FT_RETURN(ft_json_bool(config, "do_lower_case", where, true, &lower));
    FT_RETURN(ft_json_bool(config, "tokenize_chinese_chars", where, true, &chinese));
    FT_RETURN(ft_json_bool(config, "strip_accents", where, lower, &strip));
    FT_RETURN(ft_norms__add_bert(&t->norms, true, chinese, strip, lower, where));
    return ft_stages__add_bert(&t->stages, where);
}

static ft_status load_from(ft_tokenizer *t, ft_str text, const char *dir, const char *config_path)
{
    ft_status st = FT_OK;
    json_t *config = NULL;
    int64_t n;
    FT_TRY(each_line(text, NULL, &n));
    FT_TRY(ft_vocab__init(&t->vocab, n, false, t->path));
    FT_TRY(each_line(text, &t->vocab, &n));
    FT_TRY(ft_wordpiece__init(t, "##"));
    if (ft_exists(config_path))
        FT_TRY(ft_json_file(&config, config_path, FILE_MAX));
    FT_TRY(load_settings(t, config, config_path));
    FT_TRY(load_controls(t, config));
    st = ft_tokenizer__special_ids(t, dir);
done:
    json_decref(config);
    return st;
}

static bool is_vocab_txt(const char *path)
{
    return strcmp(ft_path_base(path), "vocab.txt") == 0;
}

static ft_status load_vocab_txt(ft_tokenizer *t, const char *path)
{
    ft_status st = FT_OK;
    ft_buf text = {0};
    char *dir = ft_path_dir(path), *config = dir ? ft_path_join(dir, "tokenizer_config.json") : NULL;
    if (!config) {
        st = FT_ENOMEM;
        goto done;
    }
    FT_TRY(ft_read_file(&text, path, FILE_MAX));
    st = load_from(t, (ft_str){text.p, text.n}, dir, config);
done:
    ft_buf_free(&text);
    ft_free(config);
    ft_free(dir);
    return st;
}

const ft_vocabulary ft_vocabulary_vocab_txt = {
    .name = "vocab.txt",
    .usual = "vocab.txt",
    .hf = true,
    .is = is_vocab_txt,
    .load = load_vocab_txt,
};
