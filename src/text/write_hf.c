/* A tokenizer as an HF directory has it: tokenizer.json and tokenizer_config.json.
 *
 * Every token stands in model.vocab, control and added ones in added_tokens too: then every reader finds the same ids.
 * A SentencePiece-style one is written as Llama 2's: a normalizer that puts and marks spaces, byte fallback, and the
 * merges in the order of their ranks.
 */
#include "file/json.h"
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

#include <string.h>

static json_t *string_of(ft_str s)
{
    return json_stringn(s.p, s.n);
}

static bool is_added(const ft_tokenizer *t, int32_t id)
{
    return t->vocab.type[id] == FT_TOKEN_CONTROL || t->vocab.type[id] == FT_TOKEN_USER || id == t->unk;
}

static json_t *added_token(const ft_tokenizer *t, int32_t id)
{
    return json_pack("{s:o, s:b, s:b, s:b, s:b, s:b}", "content", string_of(t->vocab.piece[id]), "single_word", 0,
                     "lstrip", 0, "rstrip", 0, "normalized", 0, "special", t->vocab.type[id] != FT_TOKEN_USER);
}

static json_t *added_tokens(const ft_tokenizer *t)
{
    json_t *list = json_array();
    for (int32_t id = 0; list && id < t->vocab.n; id++) {
        json_t *token = is_added(t, id) ? json_pack("{s:i}", "id", id) : NULL,
               *rest = token ? added_token(t, id) : NULL;
        if (token && (json_object_update(token, rest) || json_array_append(list, token))) {
            json_decref(list);
            list = NULL;
        }
        json_decref(rest);
        json_decref(token);
    }
    return list;
}

/* A piece that is no text of its own (a hole, bytes that are not UTF-8) is left out: nothing encodes to it. */
static json_t *vocab_of(const ft_tokenizer *t)
{
    json_t *o = json_object();
    for (int32_t id = 0; o && id < t->vocab.n; id++) {
        ft_str p = t->vocab.piece[id];
        if (!p.n || memchr(p.p, 0, p.n) || ft_utf8__valid(p.p, p.n) != p.n || ft_vocab__find(&t->vocab, p) != id)
            continue;
        if (json_object_set_new(o, p.p, json_integer(id))) {
            json_decref(o);
            o = NULL;
        }
    }
    return o;
}

/* Lone characters above the vocabulary have no place in a list of merges of tokens. */
static json_t *merges_of(const ft_tokenizer *t)
{
    size_t lone = 0;
    ft_merge_row *rows = ft_merges__rows(&t->merges);
    json_t *list = rows ? json_array() : NULL;
    for (size_t i = 0; list && i < t->merges.n; i++) {
        if (rows[i].left >= t->vocab.n || rows[i].right >= t->vocab.n) {
            lone++;
            continue;
        }
        json_t *pair =
            json_pack("[o, o]", string_of(t->vocab.piece[rows[i].left]), string_of(t->vocab.piece[rows[i].right]));
        if (json_array_append_new(list, pair)) {
            json_decref(list);
            list = NULL;
        }
    }
    if (lone)
        ft_note(FT_WARN,
                "%s: %zu merges begin or end with a character that is no token; tokenizer.json cannot hold them",
                t->path, lone);
    ft_free(rows);
    return list;
}

static json_t *model_of(const ft_tokenizer *t, bool bytes)
{
    json_t *unk = t->unk >= 0 && !bytes ? string_of(t->vocab.piece[t->unk]) : json_null();
    return json_pack("{s:s, s:n, s:o, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token", unk,
                     "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", !bytes, "byte_fallback", !bytes,
                     "ignore_merges", t->ignore_merges, "vocab", vocab_of(t), "merges", merges_of(t));
}

static json_t *normalizer_of(const ft_tokenizer *t, bool bytes)
{
    if (bytes)
        return json_null();
    json_t *mark =
        json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", " ", "content", FT_SPACE_MARK);
    if (!t->space_prefix)
        return mark;
    return json_pack("{s:s, s:[{s:s, s:s}, o]}", "type", "Sequence", "normalizers", "type", "Prepend", "prepend",
                     FT_SPACE_MARK, mark);
}

static json_t *decoder_of(const ft_tokenizer *t, bool bytes)
{
    if (bytes)
        return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 1, "trim_offsets", 1,
                         "use_regex", 1);
    json_t *steps = json_pack("[{s:s, s:{s:s}, s:s}, {s:s}, {s:s}]", "type", "Replace", "pattern", "String",
                              FT_SPACE_MARK, "content", " ", "type", "ByteFallback", "type", "Fuse");
    if (steps && t->space_prefix)
        json_array_append_new(
            steps, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ", "start", 1, "stop", 0));
    return json_pack("{s:s, s:o}", "type", "Sequence", "decoders", steps);
}

/* BOS in front of every text, where the tokenizer does that. */
static json_t *post_processor_of(const ft_tokenizer *t)
{
    if (!t->add_bos)
        return json_null();
    ft_str bos = t->vocab.piece[t->bos];
    return json_pack("{s:s, s:[{s:{s:o, s:i}}, {s:{s:s, s:i}}], s:[{s:{s:o, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}], "
                     "s:{s#:{s:o, s:[i], s:[o]}}}",
                     "type", "TemplateProcessing", "single", "SpecialToken", "id", string_of(bos), "type_id", 0,
                     "Sequence", "id", "A", "type_id", 0, "pair", "SpecialToken", "id", string_of(bos), "type_id", 0,
                     "Sequence", "id", "A", "type_id", 0, "Sequence", "id", "B", "type_id", 1, "special_tokens", bos.p,
                     (int)bos.n, "id", string_of(bos), "ids", t->bos, "tokens", string_of(bos));
}

static ft_status write_tokenizer(const ft_tokenizer *t, json_t *pre_tokenizer, const char *path)
{
    bool bytes = t->kind->byte_level;
    json_t *j = json_pack("{s:s, s:n, s:n, s:o, s:o, s:O?, s:o, s:o, s:o}", "version", "1.0", "truncation", "padding",
                          "added_tokens", added_tokens(t), "normalizer", normalizer_of(t, bytes), "pre_tokenizer",
                          pre_tokenizer, "post_processor", post_processor_of(t), "decoder", decoder_of(t, bytes),
                          "model", model_of(t, bytes));
    ft_status st = j ? ft_json_write(j, path) : ft_fail(FT_ENOMEM, "%s: out of memory", path);
    json_decref(j);
    return st;
}

static json_t *token_or_null(const ft_tokenizer *t, int32_t id)
{
    return id >= 0 ? string_of(t->vocab.piece[id]) : json_null();
}

static ft_status write_config(const ft_tokenizer *t, const char *path)
{
    ft_status st = FT_OK;
    json_t *decoder = json_object();
    for (int32_t id = 0; id < t->vocab.n; id++) {
        char key[16];
        snprintf(key, sizeof key, "%d", id);
        if (is_added(t, id) && json_object_set_new(decoder, key, added_token(t, id)))
            st = FT_ENOMEM;
    }
    json_t *j =
        json_pack("{s:b, s:o, s:o, s:b, s:o, s:o, s:s, s:o}", "add_bos_token", t->add_bos, "added_tokens_decoder",
                  decoder, "bos_token", token_or_null(t, t->bos), "clean_up_tokenization_spaces", 0, "eos_token",
                  token_or_null(t, t->eos), "pad_token", token_or_null(t, t->pad), "tokenizer_class",
                  "PreTrainedTokenizerFast", "unk_token", token_or_null(t, t->unk));
    if (j && t->chat_template && json_object_set_new(j, "chat_template", json_string(t->chat_template)))
        st = FT_ENOMEM;
    st = st != FT_OK || !j ? ft_fail(FT_ENOMEM, "%s: out of memory, or a text that is not UTF-8", path)
                           : ft_json_write(j, path);
    json_decref(j);
    return st;
}

ft_status ft_tokenizer__write_hf(const ft_tokenizer *t, json_t *pre_tokenizer, const char *dir)
{
    ft_status st = FT_OK;
    char *tokenizer = ft_path_join(dir, "tokenizer.json"), *config = ft_path_join(dir, "tokenizer_config.json");
    if (!tokenizer || !config) {
        st = FT_ENOMEM;
        goto done;
    }
    FT_TRY(ft_mkdirs(dir));
    FT_TRY(write_tokenizer(t, pre_tokenizer, tokenizer));
    st = write_config(t, config);
done:
    ft_free(tokenizer);
    ft_free(config);
    return st;
}
