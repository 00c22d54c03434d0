/* The tokenizer in a GGUF file's metadata.
 *
 *   tokenizer.ggml.model       the gguf_model of a kind: "gpt2" (byte-level BPE), "llama" (SentencePiece-style BPE) ...
 *   .pre                       names the pre-tokenizer (ggml_pre.h)
 *   .tokens .token_type        [V] pieces and types (ft_token_type)
 *   .scores                    [V] llama: what merges first
 *   .merges                    gpt2: "a b", in order
 *   .bos_token_id .eos_token_id .eot_token_id .eom_token_id .unknown_token_id .padding_token_id
 *   .cls_token_id .seperator_token_id (so spelled)   bert
 *   .add_bos_token .add_eos_token .add_space_prefix
 *   .precompiled_charsmap .remove_extra_whitespaces   t5: SentencePiece's normalizer
 *   tokenizer.chat_template
 *
 * The container stays open as long as the tokenizer: an export copies these values as they are.
 */
#include "text/ggml_pre.h"
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

#include <ctype.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name

static const ft_meta *get(const ft_tokenizer *t, const char *key)
{
    return ft_container_meta(t->container, key);
}

/* An array of n elements; *out NULL when the key is absent and that is allowed. */
static ft_status array_of(const ft_tokenizer *t, const char *key, ft_meta_kind of, int64_t n, bool required,
                          const ft_meta **out)
{
    const ft_meta *m = *out = get(t, key);
    if (!m)
        return required ? ft_fail(FT_EFORMAT, "%s: no %s", t->path, key) : FT_OK;
    bool numbers = of != FT_META_STRING && m->of != FT_META_STRING && m->of != FT_META_ARRAY;
    if (m->kind != FT_META_ARRAY || (m->of != of && !numbers))
        return ft_fail(FT_EFORMAT, "%s: %s is not an array of %s", t->path, key, numbers ? "numbers" : "strings");
    if (n >= 0 && m->n != (uint64_t)n)
        return ft_fail(FT_EFORMAT, "%s: %s has %llu elements, expected %lld", t->path, key, (unsigned long long)m->n,
                       (long long)n);
    return FT_OK;
}

static ft_status unknown_kind(const ft_tokenizer *t, ft_str model)
{
    ft_buf names = {0};
    ft_status st = FT_OK;
    for (size_t i = 0; ft_word_kinds[i] && st == FT_OK; i++)
        st = ft_buf_printf(&names, "%s%s", i ? ", " : "", ft_word_kinds[i]->gguf_model);
    if (st == FT_OK)
        st = ft_fail(FT_EUNSUPPORTED, "%s: " KEY("model") " \"%.*s\" is not supported, only these are: %s", t->path,
                     (int)FT_MIN(model.n, 40), model.p, names.p);
    ft_buf_free(&names);
    return st;
}

static ft_status pick_kind(ft_tokenizer *t)
{
    ft_str model;
    const ft_meta *m = get(t, KEY("model"));
    if (!m)
        return ft_fail(FT_EINPUT, "%s: this GGUF has no tokenizer (no " KEY("model") ")", t->path);
    if (!ft_meta_str(m, &model))
        return ft_fail(FT_EFORMAT, "%s: " KEY("model") " is not a string", t->path);
    for (size_t i = 0; ft_word_kinds[i] && !t->kind; i++)
        if (ft_str_is(model, ft_word_kinds[i]->gguf_model))
            t->kind = ft_word_kinds[i];
    return t->kind ? FT_OK : unknown_kind(t, model);
}

/* Phi-3's control tokens swallow the white space behind them; GGUF has no key for it and llama.cpp goes by the name. */
static bool strips_behind(const ft_tokenizer *t, ft_str piece)
{
    static const char *const none[] = {"<unk>", "<s>", "<|endoftext|>"};
    ft_str name;
    const ft_meta *m = get(t, "general.name");
    if (!m || !ft_meta_str(m, &name))
        return false;
    for (size_t i = 0; i < FT_COUNT(none); i++)
        if (ft_str_is(piece, none[i]))
            return false;
    for (size_t i = 0; i + 4 <= name.n; i++)
        if (tolower((unsigned char)name.p[i]) == 'p' &&
            (memcmp(name.p + i + 1, "hi3", 3) == 0 || (i + 5 <= name.n && memcmp(name.p + i + 1, "hi-3", 4) == 0)))
            return true;
    return false;
}

static ft_status load_token(ft_tokenizer *t, int32_t id, const ft_meta *tokens, const ft_meta *types,
                            const ft_meta *scores, ft_buf *spelling)
{
    ft_str piece;
    int64_t type = FT_TOKEN_NORMAL;
    double score = 0;
    if (!ft_meta_at_str(tokens, (uint64_t)id, &piece) || (types && !ft_meta_at_i64(types, (uint64_t)id, &type)) ||
        (scores && !ft_meta_at_f64(scores, (uint64_t)id, &score)))
        return ft_fail(FT_EFORMAT, "%s: token %d has no piece, type or score", t->path, id);
    if (type < FT_TOKEN_NORMAL || type > FT_TOKEN_BYTE)
        return ft_fail(FT_EFORMAT, "%s: token %d has type %lld, expected 1 to 6", t->path, id, (long long)type);
    if (t->kind->read_piece && type == FT_TOKEN_NORMAL) {
        spelling->n = 0;
        FT_RETURN(t->kind->read_piece(piece, spelling));
        piece = (ft_str){spelling->p, spelling->n};
    }
    FT_RETURN(ft_vocab__set(&t->vocab, id, piece, (ft_token_type)type));
    if (t->vocab.score)
        t->vocab.score[id] = (float)score;
    ft_added_token token = {.text = t->vocab.piece[id], .id = id};
    bool control = type == FT_TOKEN_CONTROL || type == FT_TOKEN_UNKNOWN;
    if (!control && type != FT_TOKEN_USER)
        return FT_OK;
    token.rstrip = strips_behind(t, piece);
    return ft_tokenizer__cut_out(t, &token, control, false);
}

static ft_status load_tokens(ft_tokenizer *t, bool scored)
{
    const ft_meta *tokens, *types, *scores = NULL;
    FT_RETURN(array_of(t, KEY("tokens"), FT_META_STRING, -1, true, &tokens));
    int64_t n = (int64_t)FT_MIN(tokens->n, (uint64_t)INT32_MAX);
    FT_RETURN(array_of(t, KEY("token_type"), FT_META_INT, n, false, &types));
    if (scored)
        FT_RETURN(array_of(t, KEY("scores"), FT_META_FLOAT, n, true, &scores));
    FT_RETURN(ft_vocab__init(&t->vocab, n, scored, t->path));
    ft_buf spelling = {0};
    ft_status st = FT_OK;
    for (int32_t id = 0; id < n && st == FT_OK; id++)
        st = load_token(t, id, tokens, types, scores, &spelling);
    ft_buf_free(&spelling);
    return st;
}

/* ---- byte-level BPE ---- */

static ft_status load_merges(ft_tokenizer *t)
{
    ft_status st = FT_OK;
    const ft_meta *merges;
    ft_buf both = {0};
    FT_RETURN(array_of(t, KEY("merges"), FT_META_STRING, -1, true, &merges));
    if (merges->n > (uint64_t)FT_VOCAB_MAX * 4)
        return ft_fail(FT_EFORMAT, "%s: %llu merges", t->path, (unsigned long long)merges->n);
    FT_TRY(ft_merges__init(&t->merges, (size_t)merges->n));
    for (uint64_t i = 0; i < merges->n; i++) {
        ft_str s;
        const char *space = ft_meta_at_str(merges, i, &s) && s.n > 2 ? memchr(s.p + 1, ' ', s.n - 1) : NULL;
        size_t k = space ? (size_t)(space - s.p) : 0;
        both.n = 0;
        FT_TRY(ft_buf_put(&both, s.p, k));
        FT_TRY(ft_buf_put(&both, s.p + k + 1, space ? s.n - k - 1 : 0));
        int32_t left = ft_vocab__find(&t->vocab, (ft_str){s.p, k}),
                id = ft_vocab__find(&t->vocab, (ft_str){both.p, both.n});
        int32_t right = space ? ft_vocab__find(&t->vocab, (ft_str){space + 1, s.n - k - 1}) : -1;
        if (left < 0 || right < 0 || id < 0) {
            st = ft_fail(FT_EFORMAT, "%s: merge %llu, \"%.*s\", is not two pieces of the vocabulary that make a third",
                         t->path, (unsigned long long)i, (int)FT_MIN(s.n, 80), s.p);
            goto done;
        }
        ft_merges__put(&t->merges, left, right, (uint32_t)i, id);
    }
done:
    ft_buf_free(&both);
    return st;
}

static ft_status load_pre(ft_tokenizer *t)
{
    ft_status st = FT_OK;
    ft_str name = ft_str_of("default");
    ft_buf names = {0};
    const ft_meta *m = get(t, KEY("pre"));
    if (m && !ft_meta_str(m, &name))
        return ft_fail(FT_EFORMAT, "%s: " KEY("pre") " is not a string", t->path);
    t->pre = ft_ggml_pre__named(name);
    if (!t->pre) {
        FT_TRY(ft_ggml_pre__names(&names));
        st = ft_fail(FT_EUNSUPPORTED, "%s: " KEY("pre") " \"%.*s\" is not known; known are: %s", t->path,
                     (int)FT_MIN(name.n, 60), name.p, names.p);
        goto done;
    }
    for (size_t i = 0; i < FT_GGML_PATTERNS && t->pre->pattern[i]; i++)
        FT_TRY(
            ft_stages__add_pattern(&t->stages, ft_str_of(t->pre->pattern[i]), false, FT_ISOLATED, false, t->pre->name));
    t->stages.byte_level = true;
    t->ignore_merges = t->pre->ignore_merges;
    t->add_bos = t->pre->add_bos;
done:
    ft_buf_free(&names);
    return st;
}

/* ---- special ids ---- */

static ft_status load_id(const ft_tokenizer *t, const char *key, int32_t *id)
{
    int64_t v;
    const ft_meta *m = get(t, key);
    if (!m)
        return FT_OK;
    if (!ft_meta_i64(m, &v) || v < -1 || v > INT32_MAX)
        return ft_fail(FT_EFORMAT, "%s: %s is no token id", t->path, key);
    *id = (int32_t)v;
    return FT_OK;
}

static ft_status load_flag(const ft_tokenizer *t, const char *key, bool *value)
{
    const ft_meta *m = get(t, key);
    return !m || ft_meta_bool(m, value) ? FT_OK : ft_fail(FT_EFORMAT, "%s: %s is no bool", t->path, key);
}

static ft_status load_special(ft_tokenizer *t)
{
    ft_str text;
    int32_t eot = -1, eom = -1;
    const ft_meta *m;
    if (!t->kind->words_apart) { /* an encoder's are read */
        FT_RETURN(load_id(t, KEY("bos_token_id"), &t->bos));
        FT_RETURN(load_id(t, KEY("eos_token_id"), &t->eos));
    }
    FT_RETURN(load_id(t, KEY("unknown_token_id"), &t->unk));
    FT_RETURN(load_id(t, KEY("padding_token_id"), &t->pad));
    FT_RETURN(load_id(t, KEY("eot_token_id"), &eot));
    FT_RETURN(load_id(t, KEY("eom_token_id"), &eom));
    FT_RETURN(ft_tokenizer__add_stop(t, t->eos));
    FT_RETURN(ft_tokenizer__add_stop(t, eot));
    FT_RETURN(ft_tokenizer__add_stop(t, eom));
    FT_RETURN(load_flag(t, KEY("add_bos_token"), &t->add_bos));
    FT_RETURN(load_flag(t, KEY("add_eos_token"), &t->add_eos));
    m = get(t, "tokenizer.chat_template");
    if (m && ft_meta_str(m, &text) && !(t->chat_template = ft_strndup(text.p, text.n)))
        return FT_ENOMEM;
    m = get(t, "tokenizer.chat_template.tool_use");
    if (m && ft_meta_str(m, &text) && !(t->tool_template = ft_strndup(text.p, text.n)))
        return FT_ENOMEM;
    return FT_OK;
}

ft_status ft_spm__load_gguf(ft_tokenizer *t)
{
    bool prefix = true;
    FT_RETURN(load_flag(t, KEY("add_space_prefix"), &prefix));
    t->fuse_unk = true;
    t->unk = 0; /* llama.cpp's defaults for this kind */
    t->bos = 1;
    t->eos = 2;
    t->add_bos = true;
    FT_RETURN(load_id(t, KEY("unknown_token_id"), &t->unk));
    t->model_unk = t->unk;
    FT_RETURN(load_tokens(t, true));
    FT_RETURN(ft_norms__add_sentencepiece(&t->norms, prefix, false, true, (ft_str){0}, t->path));
    return FT_OK;
}

/* ---- unigram ---- */

static ft_status load_charsmap(const ft_tokenizer *t, ft_buf *out)
{
    const ft_meta *m;
    FT_RETURN(array_of(t, KEY("precompiled_charsmap"), FT_META_UINT, -1, false, &m));
    for (uint64_t i = 0; m && i < m->n; i++) {
        int64_t byte;
        if (!ft_meta_at_i64(m, i, &byte) || byte < -128 || byte > 255)
            return ft_fail(FT_EFORMAT, "%s: " KEY("precompiled_charsmap") " holds what is no byte", t->path);
        FT_RETURN(ft_buf_putc(out, (int)(byte & 0xff)));
    }
    return FT_OK;
}

ft_status ft_unigram__load_gguf(ft_tokenizer *t)
{
    ft_status st = FT_OK;
    ft_buf charsmap = {0};
    bool prefix = true, fold = true;
    t->eos = 1; /* llama.cpp's defaults for this kind */
    t->unk = 2;
    t->pad = 0;
    t->add_eos = true;
    FT_TRY(load_flag(t, KEY("add_space_prefix"), &prefix));
    FT_TRY(load_flag(t, KEY("remove_extra_whitespaces"), &fold));
    FT_TRY(load_id(t, KEY("unknown_token_id"), &t->unk));
    t->model_unk = t->unk;
    FT_TRY(load_charsmap(t, &charsmap));
    FT_TRY(load_tokens(t, true));
    st = ft_norms__add_sentencepiece(&t->norms, prefix, fold, true, (ft_str){charsmap.p, charsmap.n}, t->path);
done:
    ft_buf_free(&charsmap);
    return st;
}

/* ---- WordPiece ---- */

/* Hugging Face's spelling: what GGUF writes "▁play" begins a word, "ing" goes on. */
ft_status ft_wordpiece__read_piece(ft_str piece, ft_buf *out)
{
    if (piece.n > 2 && piece.p[0] == '[' && piece.p[piece.n - 1] == ']')
        return ft_buf_put(out, piece.p, piece.n);
    if (piece.n >= FT_SPACE_MARK_BYTES && memcmp(piece.p, FT_SPACE_MARK, FT_SPACE_MARK_BYTES) == 0)
        return ft_buf_put(out, piece.p + FT_SPACE_MARK_BYTES, piece.n - FT_SPACE_MARK_BYTES);
    FT_RETURN(ft_buf_puts(out, "##"));
    return ft_buf_put(out, piece.p, piece.n);
}

/* The keys of an encoder; defaults are those of the first BERT, as in llama.cpp. */
static ft_status load_encoder_ids(ft_tokenizer *t)
{
    t->bos = 101;
    t->eos = 102;
    t->unk = 100;
    t->pad = 0;
    FT_RETURN(load_id(t, KEY("cls_token_id"), &t->bos));
    FT_RETURN(load_id(t, KEY("bos_token_id"), &t->bos));
    FT_RETURN(load_id(t, KEY("eos_token_id"), &t->eos));
    FT_RETURN(load_id(t, KEY("seperator_token_id"), &t->eos));
    FT_RETURN(load_id(t, KEY("unknown_token_id"), &t->unk));
    t->model_unk = t->unk;
    t->add_bos = t->add_eos = true;
    return FT_OK;
}

ft_status ft_wordpiece__load_gguf(ft_tokenizer *t)
{
    FT_RETURN(load_encoder_ids(t));
    FT_RETURN(load_tokens(t, false));
    FT_RETURN(ft_wordpiece__init(t, "##"));
    FT_RETURN(ft_norms__add_bert(&t->norms, true, true, true, true, t->path));
    return ft_stages__add_bert(&t->stages, t->path);
}

ft_status ft_bpe__load_gguf(ft_tokenizer *t)
{
    FT_RETURN(load_tokens(t, false));
    FT_RETURN(load_merges(t));
    return load_pre(t);
}

static bool is_gguf(const char *path)
{
    return ft_ends(path, ".gguf");
}

static ft_status load_gguf(ft_tokenizer *t, const char *path)
{
    FT_RETURN(ft_container_open(&t->container, path));
    FT_RETURN(pick_kind(t));
    FT_RETURN(t->kind->load_gguf(t));
    return load_special(t);
}

const ft_vocabulary ft_vocabulary_gguf = {
    .name = "a .gguf",
    .is = is_gguf,
    .magic = "GGUF",
    .load = load_gguf,
};
