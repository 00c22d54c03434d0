/* tekken.json, the vocabulary of Mistral's newer models (Ministral, Nemo): byte-level BPE whose ranks are its ids.
 *
 * {"config": {"pattern", "default_vocab_size", "default_num_special_tokens", ...},
 *  "vocab": [{"rank": 0, "token_bytes": base64, "token_str": ...}, ...],     in the order of their ranks
 *  "special_tokens": [{"rank", "token_str", "is_control"}, ...] or none: then the names below}
 *
 * Control tokens take the first ids, the id of a piece is its rank behind them; pieces past default_vocab_size are left
 * out. Any two neighbours that make a piece merge, the lowest rank first, and a word that is a piece is that piece.
 */
#include "file/json.h"
#include "text/base64.h"
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

#include <string.h>

enum { FILE_MAX = 256 << 20, PIECE_MAX = 1024 }; /* bytes of a piece: all of its splits are looked up */

static const char *const usual_specials[] = {
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
};

static ft_status put_special(ft_tokenizer *t, int64_t id, ft_str name)
{
    FT_RETURN(ft_vocab__set(&t->vocab, (int32_t)id, name, FT_TOKEN_CONTROL));
    ft_added_token token = {.text = t->vocab.piece[id], .id = (int32_t)id};
    return ft_tokenizer__cut_out(t, &token, true, false);
}

/* The first `specials` ids: as the file names them, else as usual, the rest "<SPECIAL_20>" ... */
static ft_status load_specials(ft_tokenizer *t, const json_t *list, int64_t specials, const char *where)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        const json_t *name = json_object_get(item, "token_str");
        int64_t id;
        FT_RETURN(ft_json_i64(item, "rank", where, (int64_t)i, &id));
        if (!json_is_string(name) || id < 0 || id >= specials)
            return ft_fail(FT_EFORMAT, "%s: special token %zu has no token_str or a rank outside 0 to %lld", where, i,
                           (long long)specials - 1);
        FT_RETURN(put_special(t, id, (ft_str){json_string_value(name), json_string_length(name)}));
    }
    for (int64_t id = 0; id < specials; id++) {
        char filler[32];
        snprintf(filler, sizeof filler, "<SPECIAL_%lld>", (long long)id);
        bool usual = !json_is_array(list) && id < (int64_t)FT_COUNT(usual_specials);
        if (t->vocab.type[id] == FT_TOKEN_UNUSED)
            FT_RETURN(put_special(t, id, ft_str_of(usual ? usual_specials[id] : filler)));
    }
    return FT_OK;
}

/* Bytes of the piece with this rank. */
static ft_status piece_bytes(const json_t *item, size_t rank, ft_buf *out, const char *where)
{
    const json_t *text = json_object_get(item, "token_bytes");
    int64_t said;
    bool ok;
    out->n = 0;
    FT_RETURN(ft_json_i64(item, "rank", where, -1, &said));
    FT_RETURN(ft_base64__decode(out, (ft_str){json_string_value(text), json_string_length(text)}, &ok));
    if (said != (int64_t)rank || !ok || !out->n || out->n > PIECE_MAX)
        return ft_fail(FT_EFORMAT, "%s: vocab %zu: expected rank %zu and token_bytes, 1 to %d bytes in base64", where,
                       rank, rank, PIECE_MAX);
    return FT_OK;
}

static ft_status load_pieces(ft_tokenizer *t, const json_t *vocab, int64_t specials, const char *where)
{
    ft_status st = FT_OK;
    ft_buf bytes = {0}, spelling = {0};
    for (int64_t id = specials; id < t->vocab.n; id++) {
        FT_TRY(piece_bytes(json_array_get(vocab, (size_t)(id - specials)), (size_t)(id - specials), &bytes, where));
        spelling.n = 0;
        FT_TRY(ft_bytes__spell(&spelling, (ft_str){bytes.p, bytes.n}));
        FT_TRY(ft_vocab__set(&t->vocab, (int32_t)id, (ft_str){spelling.p, spelling.n}, FT_TOKEN_NORMAL));
    }
done:
    ft_buf_free(&bytes);
    ft_buf_free(&spelling);
    return st;
}

/* Every split of a piece into two pieces is a merge; m NULL: counts them. */
static size_t splits_of(const ft_tokenizer *t, int32_t id, ft_merges *m)
{
    size_t n = 0;
    ft_str s = t->vocab.piece[id];
    for (size_t k = ft_utf8__len(s.p, s.n); k < s.n; k += ft_utf8__len(s.p + k, s.n - k)) {
        int32_t left = ft_vocab__find(&t->vocab, (ft_str){s.p, k});
        int32_t right = left < 0 ? -1 : ft_vocab__find(&t->vocab, (ft_str){s.p + k, s.n - k});
        if (right < 0 || t->vocab.type[left] != FT_TOKEN_NORMAL || t->vocab.type[right] != FT_TOKEN_NORMAL)
            continue;
        n++;
        if (m)
            ft_merges__put(m, left, right, (uint32_t)id, id);
    }
    return n;
}

static ft_status load_merges(ft_tokenizer *t, int64_t specials)
{
    size_t n = 0;
    for (int64_t id = specials; id < t->vocab.n; id++)
        n += splits_of(t, (int32_t)id, NULL);
    FT_RETURN(ft_merges__init(&t->merges, n));
    for (int64_t id = specials; id < t->vocab.n; id++)
        splits_of(t, (int32_t)id, &t->merges);
    return FT_OK;
}

static ft_status load_document(ft_tokenizer *t, const json_t *j, const char *where)
{
    const json_t *config = json_object_get(j, "config"), *vocab = json_object_get(j, "vocab");
    const char *pattern;
    int64_t specials, size, pieces = (int64_t)json_array_size(vocab);
    if (!json_is_object(config) || !json_is_array(vocab))
        return ft_fail(FT_EFORMAT, "%s: no \"config\" object or no \"vocab\" list", where);
    FT_RETURN(ft_json_str(config, "pattern", where, NULL, &pattern));
    FT_RETURN(ft_json_i64(config, "default_num_special_tokens", where, 1000, &specials));
    FT_RETURN(ft_json_i64(config, "default_vocab_size", where, FT_VOCAB_MAX, &size));
    if (!pattern || specials < 3 || specials >= FT_VOCAB_MAX || size <= specials)
        return ft_fail(FT_EFORMAT, "%s: no pattern, or %lld control tokens of a vocabulary of %lld", where,
                       (long long)specials, (long long)size);
    FT_RETURN(ft_vocab__init(&t->vocab, FT_MIN(specials + pieces, size), false, where));
    if (t->vocab.n < specials)
        return ft_fail(FT_EFORMAT, "%s: no pieces", where);
    FT_RETURN(load_specials(t, json_object_get(j, "special_tokens"), specials, where));
    FT_RETURN(load_pieces(t, vocab, specials, where));
    FT_RETURN(load_merges(t, specials));
    FT_RETURN(ft_stages__add_pattern(&t->stages, ft_str_of(pattern), false, FT_ISOLATED, false, where));
    t->kind = &ft_tokenizer_bpe;
    t->stages.byte_level = true;
    t->ignore_merges = true;
    t->bos = ft_vocab__find(&t->vocab, ft_str_of("<s>"));
    t->eos = ft_vocab__find(&t->vocab, ft_str_of("</s>"));
    t->unk = ft_vocab__find(&t->vocab, ft_str_of("<unk>"));
    t->pad = ft_vocab__find(&t->vocab, ft_str_of("<pad>"));
    t->add_bos = true;
    return FT_OK;
}

static bool is_tekken(const char *path)
{
    return strcmp(ft_path_base(path), "tekken.json") == 0;
}

static ft_status load_tekken(ft_tokenizer *t, const char *path)
{
    ft_status st = FT_OK;
    json_t *j = NULL;
    char *dir = ft_path_dir(path);
    if (!dir)
        return FT_ENOMEM;
    FT_TRY(ft_json_file(&j, path, FILE_MAX));
    FT_TRY(load_document(t, j, path));
    st = ft_tokenizer__special_ids(t, dir);
done:
    ft_free(dir);
    json_decref(j);
    return st;
}

const ft_vocabulary ft_vocabulary_tekken = {
    .name = "tekken.json",
    .usual = "tekken.json",
    .is = is_tekken,
    .load = load_tekken,
};
