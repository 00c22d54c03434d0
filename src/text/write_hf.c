/* A tokenizer as an HF directory has it: tokenizer.json and tokenizer_config.json.
 *
 * Every token stands in model.vocab, control and added ones in added_tokens too: then every reader finds the same ids.
 * A SentencePiece-style one is written as Llama 2's: a normalizer that puts and marks spaces, byte fallback, and the
 * merges in the order of their ranks.
 */
#include "file/json.h"
#include "text/base64.h"
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

/* ---- what a kind's file is made of ---- */

static json_t *bpe_model(const ft_tokenizer *t, bool bytes)
{
    json_t *unk = t->unk >= 0 && !bytes ? string_of(t->vocab.piece[t->unk]) : json_null();
    return json_pack("{s:s, s:n, s:o, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token", unk,
                     "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", !bytes, "byte_fallback", !bytes,
                     "ignore_merges", t->ignore_merges, "vocab", vocab_of(t), "merges", merges_of(t));
}

/* The patterns of the stages; the tokenizers written here have no other stages. */
static json_t *splits_of(const ft_tokenizer *t)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < t->stages.n; i++) {
        ft_str pattern = ft_regex__pattern(t->stages.stage[i].re);
        if (json_array_append_new(list, json_pack("{s:s, s:{s:o}, s:s, s:b}", "type", "Split", "pattern", "Regex",
                                                  string_of(pattern), "behavior", "Isolated", "invert", 0))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

json_t *ft_bpe__write_json(const ft_tokenizer *t)
{
    json_t *list = splits_of(t);
    if (list)
        json_array_append_new(list, json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                                              "trim_offsets", 1, "use_regex", 0));
    return json_pack("{s:n, s:{s:s, s:o}, s:{s:s, s:b, s:b, s:b}, s:o}", "normalizer", "pre_tokenizer", "type",
                     "Sequence", "pretokenizers", list, "decoder", "type", "ByteLevel", "add_prefix_space", 1,
                     "trim_offsets", 1, "use_regex", 1, "model", bpe_model(t, true));
}

static json_t *marking_normalizer(const ft_tokenizer *t)
{
    json_t *mark =
        json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", " ", "content", FT_SPACE_MARK);
    if (!t->space_prefix)
        return mark;
    return json_pack("{s:s, s:[{s:s, s:s}, o]}", "type", "Sequence", "normalizers", "type", "Prepend", "prepend",
                     FT_SPACE_MARK, mark);
}

static json_t *marking_decoder(const ft_tokenizer *t)
{
    json_t *steps = json_pack("[{s:s, s:{s:s}, s:s}, {s:s}, {s:s}]", "type", "Replace", "pattern", "String",
                              FT_SPACE_MARK, "content", " ", "type", "ByteFallback", "type", "Fuse");
    if (steps && t->space_prefix)
        json_array_append_new(
            steps, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ", "start", 1, "stop", 0));
    return json_pack("{s:s, s:o}", "type", "Sequence", "decoders", steps);
}

json_t *ft_spm__write_json(const ft_tokenizer *t)
{
    return json_pack("{s:o, s:n, s:o, s:o}", "normalizer", marking_normalizer(t), "pre_tokenizer", "decoder",
                     marking_decoder(t), "model", bpe_model(t, false));
}

static json_t *scored_pieces(const ft_tokenizer *t)
{
    json_t *list = json_array();
    for (int32_t id = 0; list && id < t->vocab.n; id++)
        if (json_array_append_new(list, json_pack("[o, f]", string_of(t->vocab.piece[id]), t->piece_score[id]))) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

/* Appends {"type": "Replace"}. */
static int add_replace(json_t *steps, const char *kind, const char *from, const char *to)
{
    return json_array_append_new(
        steps, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", kind, from, "content", to));
}

/* SentencePiece's normalizer step by step: the table, spaces folded, one in front, all of them marked. */
static json_t *unigram_normalizer(const ft_tokenizer *t)
{
    ft_buf table = {0};
    json_t *steps = json_array();
    bool ok = steps;
    if (ok && t->norms.charsmap) {
        ok = ft_base64__encode(&table, ft_charsmap__bytes(t->norms.charsmap)) == FT_OK &&
             json_array_append_new(
                 steps, json_pack("{s:s, s:s}", "type", "Precompiled", "precompiled_charsmap", table.p)) == 0;
        ft_buf_free(&table);
    }
    if (ok && t->norms.folds_spaces)
        ok = add_replace(steps, "Regex", FT_END_SPACES, "") == 0 && add_replace(steps, "Regex", " {2,}", " ") == 0;
    if (ok && t->space_prefix)
        ok = json_array_append_new(steps, json_pack("{s:s, s:s}", "type", "Prepend", "prepend", FT_SPACE_MARK)) == 0;
    if (ok)
        ok = add_replace(steps, "String", " ", FT_SPACE_MARK) == 0;
    if (!ok) {
        json_decref(steps);
        return NULL;
    }
    return json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", steps);
}

json_t *ft_unigram__write_json(const ft_tokenizer *t)
{
    bool bytes = false;
    for (int32_t id = 0; id < t->vocab.n; id++)
        bytes = bytes || t->vocab.type[id] == FT_TOKEN_BYTE;
    return json_pack("{s:o, s:n, s:o, s:{s:s, s:o, s:o, s:b}}", "normalizer", unigram_normalizer(t), "pre_tokenizer",
                     "decoder", marking_decoder(t), "model", "type", "Unigram", "unk_id",
                     t->unk >= 0 ? json_integer(t->unk) : json_null(), "vocab", scored_pieces(t), "byte_fallback",
                     bytes);
}

/* GGUF holds only BERT's own normalization. */
json_t *ft_wordpiece__write_json(const ft_tokenizer *t)
{
    return json_pack("{s:{s:s, s:b, s:b, s:n, s:b}, s:{s:s}, s:{s:s, s:s#, s:b}, s:{s:s, s:o, s:s#, s:I, s:o}}",
                     "normalizer", "type", "BertNormalizer", "clean_text", 1, "handle_chinese_chars", 1,
                     "strip_accents", "lowercase", 1, "pre_tokenizer", "type", "BertPreTokenizer", "decoder", "type",
                     "WordPiece", "prefix", t->prefix.p, (int)t->prefix.n, "cleanup", 1, "model", "type", "WordPiece",
                     "unk_token", string_of(ft_tokenizer_piece(t, t->unk)), "continuing_subword_prefix", t->prefix.p,
                     (int)t->prefix.n, "max_input_chars_per_word", (json_int_t)t->word_max, "vocab", vocab_of(t));
}

/* ---- the file ---- */

static json_t *special_piece(const ft_tokenizer *t, int32_t id)
{
    return json_pack("{s:{s:o, s:i}}", "SpecialToken", "id", string_of(t->vocab.piece[id]), "type_id", 0);
}

/* BOS, the text, EOS: what every text gets. */
static json_t *processed(const ft_tokenizer *t, const char *const *texts, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        if (t->add_bos)
            json_array_append_new(list, special_piece(t, t->bos));
        json_array_append_new(list, json_pack("{s:{s:s, s:i}}", "Sequence", "id", texts[i], "type_id", (int)i));
        if (t->add_eos)
            json_array_append_new(list, special_piece(t, t->eos));
    }
    return list;
}

static json_t *post_processor_of(const ft_tokenizer *t)
{
    static const char *const texts[] = {"A", "B"};
    if (!t->add_bos && !t->add_eos)
        return json_null();
    json_t *special = json_object();
    const int32_t ids[] = {t->add_bos ? t->bos : -1, t->add_eos ? t->eos : -1};
    for (size_t i = 0; i < FT_COUNT(ids); i++)
        if (ids[i] >= 0) {
            ft_str name = t->vocab.piece[ids[i]];
            json_object_set_new(
                special, name.p,
                json_pack("{s:o, s:[i], s:[o]}", "id", string_of(name), "ids", ids[i], "tokens", string_of(name)));
        }
    return json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", processed(t, texts, 1), "pair",
                     processed(t, texts, 2), "special_tokens", special);
}

static ft_status write_tokenizer(const ft_tokenizer *t, const char *path)
{
    json_t *j = json_pack("{s:s, s:n, s:n, s:o}", "version", "1.0", "truncation", "padding", "added_tokens",
                          added_tokens(t)),
           *parts = t->kind->write_json(t);
    bool whole = j && parts && json_object_set_new(parts, "post_processor", post_processor_of(t)) == 0 &&
                 json_object_update(j, parts) == 0;
    ft_status st =
        whole ? ft_json_write(j, path) : ft_fail(FT_ENOMEM, "%s: out of memory, or a text that is not UTF-8", path);
    json_decref(parts);
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
    json_t *template = t->tool_template ? json_pack("[{s:s, s:s}, {s:s, s:s}]", "name", "default", "template",
                                                    t->chat_template, "name", "tool_use", "template", t->tool_template)
                                        : json_string(t->chat_template);
    if (!j || !t->chat_template)
        json_decref(template);
    else if (json_object_set_new(j, "chat_template", template))
        st = FT_ENOMEM;
    st = st != FT_OK || !j ? ft_fail(FT_ENOMEM, "%s: out of memory, or a text that is not UTF-8", path)
                           : ft_json_write(j, path);
    json_decref(j);
    return st;
}

ft_status ft_tokenizer__write_hf(const ft_tokenizer *t, const char *dir)
{
    ft_status st = FT_OK;
    char *tokenizer = ft_path_join(dir, "tokenizer.json"), *config = ft_path_join(dir, "tokenizer_config.json");
    if (!tokenizer || !config) {
        st = FT_ENOMEM;
        goto done;
    }
    FT_TRY(ft_mkdirs(dir));
    FT_TRY(write_tokenizer(t, tokenizer));
    st = write_config(t, config);
done:
    ft_free(tokenizer);
    ft_free(config);
    return st;
}
