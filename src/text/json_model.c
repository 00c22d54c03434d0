/* The "model" of a tokenizer.json, one loader for each kind.
 *
 *   BPE        "vocab": {piece: id}, "merges": ["a b" | ["a", "b"], ...], "unk_token", "ignore_merges", "fuse_unk",
 *              "byte_fallback"; dropout and affixes are refused
 *   Unigram    "vocab": [[piece, score], ...], the place is the id, "unk_id", "byte_fallback"
 *   WordPiece  "vocab": {piece: id}, "unk_token", "continuing_subword_prefix", "max_input_chars_per_word"
 */
#include "file/json.h"
#include "text/tokenizer_impl.h"

#include <string.h>

enum { MERGES_MAX = 1 << 24, SPACES_TRIED = 32 };

static ft_str str_of(const json_t *j)
{
    return (ft_str){json_string_value(j), json_string_length(j)};
}

/* ---- vocabulary ---- */

/* {piece: id}; a vocabulary of `ids` ids at least. */
static ft_status load_vocab(ft_tokenizer *t, const json_t *model, int64_t ids, const char *where)
{
    json_t *vocab = json_object_get(model, "vocab"), *value;
    const char *piece;
    if (!json_is_object(vocab))
        return ft_fail(FT_EFORMAT, "%s: no \"vocab\" object in \"model\"", where);
    json_object_foreach(vocab, piece, value)
    {
        int64_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id >= FT_VOCAB_MAX)
            return ft_fail(FT_EFORMAT, "%s: a token id that is no number from 0 to %d", where, FT_VOCAB_MAX - 1);
        ids = FT_MAX(ids, id + 1);
    }
    FT_RETURN(ft_vocab__init(&t->vocab, ids, false, where));
    json_object_foreach(vocab, piece, value)
    {
        int64_t id = json_integer_value(value);
        if (t->vocab.type[id] != FT_TOKEN_UNUSED)
            return ft_fail(FT_EFORMAT, "%s: id %lld belongs to two pieces", where, (long long)id);
        FT_RETURN(ft_vocab__set(&t->vocab, (int32_t)id, ft_str_of(piece), FT_TOKEN_NORMAL));
    }
    return FT_OK;
}

static ft_status load_unk(ft_tokenizer *t, const json_t *model, const char *fallback, const char *where)
{
    const char *unk;
    FT_RETURN(ft_json_str(model, "unk_token", where, fallback, &unk));
    t->model_unk = unk ? ft_vocab__find(&t->vocab, ft_str_of(unk)) : -1;
    return FT_OK;
}

/* ---- BPE ---- */

/* Looks up a merge's halves and what they make; out->id is -1 when one of the three is no piece. */
static ft_status pieces_of(const ft_tokenizer *t, ft_str a, ft_str b, ft_buf *both, ft_merge_row *out)
{
    both->n = 0;
    FT_RETURN(ft_buf_put(both, a.p, a.n));
    FT_RETURN(ft_buf_put(both, b.p, b.n));
    out->left = ft_vocab__find(&t->vocab, a);
    out->right = ft_vocab__find(&t->vocab, b);
    out->id = ft_vocab__find(&t->vocab, (ft_str){both->p, both->n});
    if (out->left < 0 || out->right < 0)
        out->id = -1;
    return FT_OK;
}

/* A merge is written ["a", "b"] or "a b"; where pieces hold spaces themselves, the first space that makes sense parts
 * them. */
static ft_status merge_of(const ft_tokenizer *t, const json_t *j, size_t i, ft_buf *both, ft_merge_row *out,
                          const char *where)
{
    const json_t *a = json_array_get(j, 0), *b = json_array_get(j, 1);
    ft_str s = str_of(j);
    out->id = -1;
    if (json_array_size(j) == 2 && json_is_string(a) && json_is_string(b))
        FT_RETURN(pieces_of(t, str_of(a), str_of(b), both, out));
    else if (!s.p || !memchr(s.p, ' ', s.n))
        return ft_fail(FT_EFORMAT, "%s: merge %zu is neither \"a b\" nor [\"a\", \"b\"]", where, i);
    for (size_t k = 1, tries = 0; out->id < 0 && s.p && k + 1 < s.n && tries < SPACES_TRIED; k++)
        if (s.p[k] == ' ' && ++tries)
            FT_RETURN(pieces_of(t, (ft_str){s.p, k}, (ft_str){s.p + k + 1, s.n - k - 1}, both, out));
    if (out->id >= 0)
        return FT_OK;
    return ft_fail(FT_EFORMAT, "%s: merge %zu, \"%.*s\": a piece is not in the vocabulary", where, i,
                   (int)FT_MIN(both->n, (size_t)80), both->p ? both->p : "");
}

static ft_status load_merges(ft_tokenizer *t, const json_t *merges, const char *where)
{
    ft_status st = FT_OK;
    ft_buf both = {0};
    size_t i, n = json_array_size(merges);
    json_t *item;
    if (!json_is_array(merges) || n > MERGES_MAX)
        return ft_fail(FT_EFORMAT, "%s: no \"merges\" list of at most %d in \"model\"", where, MERGES_MAX);
    FT_TRY(ft_merges__init(&t->merges, n));
    json_array_foreach(merges, i, item)
    {
        ft_merge_row m;
        FT_TRY(merge_of(t, item, i, &both, &m, where));
        ft_merges__put(&t->merges, m.left, m.right, (uint32_t)i, m.id);
    }
done:
    ft_buf_free(&both);
    return st;
}

/* A model that would encode otherwise than plain BPE is refused by the setting's name. */
static ft_status check_plain(const json_t *model, const char *where)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const char *affix;
    double dropout;
    for (size_t i = 0; i < FT_COUNT(affixes); i++) {
        FT_RETURN(ft_json_str(model, affixes[i], where, NULL, &affix));
        if (affix && *affix)
            return ft_fail(FT_EUNSUPPORTED, "%s: %s \"%.20s\" is not supported", where, affixes[i], affix);
    }
    FT_RETURN(ft_json_f64(model, "dropout", where, 0, &dropout));
    return dropout > 0 ? ft_fail(FT_EUNSUPPORTED, "%s: BPE dropout is not supported", where) : FT_OK;
}

ft_status ft_bpe__load_json(ft_tokenizer *t, const json_t *model, int64_t ids, const char *where)
{
    FT_RETURN(check_plain(model, where));
    FT_RETURN(ft_json_bool(model, "ignore_merges", where, false, &t->ignore_merges));
    FT_RETURN(ft_json_bool(model, "fuse_unk", where, false, &t->fuse_unk));
    FT_RETURN(ft_json_bool(model, "byte_fallback", where, false, &t->byte_fallback));
    FT_RETURN(load_vocab(t, model, ids, where));
    FT_RETURN(load_unk(t, model, NULL, where));
    return load_merges(t, json_object_get(model, "merges"), where);
}

/* ---- Unigram ---- */

static ft_status load_scored(ft_tokenizer *t, const json_t *vocab, const char *where)
{
    size_t i;
    json_t *item;
    json_array_foreach(vocab, i, item)
    {
        const json_t *piece = json_array_get(item, 0), *score = json_array_get(item, 1);
        if (!json_is_string(piece) || !json_is_number(score))
            return ft_fail(FT_EFORMAT, "%s: token %zu of \"vocab\" is no [piece, score]", where, i);
        FT_RETURN(ft_vocab__set(&t->vocab, (int32_t)i, str_of(piece), FT_TOKEN_NORMAL));
        t->piece_score[i] = json_number_value(score);
        t->vocab.score[i] = (float)t->piece_score[i];
    }
    return FT_OK;
}

ft_status ft_unigram__load_json(ft_tokenizer *t, const json_t *model, int64_t ids, const char *where)
{
    const json_t *vocab = json_object_get(model, "vocab");
    int64_t unk;
    if (!json_is_array(vocab))
        return ft_fail(FT_EFORMAT, "%s: no \"vocab\" list in \"model\"", where);
    FT_RETURN(ft_json_bool(model, "byte_fallback", where, false, &t->byte_fallback));
    FT_RETURN(ft_vocab__init(&t->vocab, FT_MAX(ids, (int64_t)json_array_size(vocab)), true, where));
    t->piece_score = ft_alloc((size_t)t->vocab.n, sizeof *t->piece_score);
    if (!t->piece_score)
        return FT_ENOMEM;
    FT_RETURN(load_scored(t, vocab, where));
    FT_RETURN(ft_json_i64(model, "unk_id", where, -1, &unk));
    if (unk < -1 || unk >= t->vocab.n)
        return ft_fail(FT_EFORMAT, "%s: unk_id %lld, expected below %d", where, (long long)unk, t->vocab.n);
    t->model_unk = (int32_t)unk;
    return FT_OK;
}

/* ---- WordPiece ---- */

ft_status ft_wordpiece__load_json(ft_tokenizer *t, const json_t *model, int64_t ids, const char *where)
{
    const char *prefix;
    int64_t most;
    FT_RETURN(load_vocab(t, model, ids, where));
    FT_RETURN(load_unk(t, model, "[UNK]", where));
    FT_RETURN(ft_json_str(model, "continuing_subword_prefix", where, "##", &prefix));
    FT_RETURN(ft_wordpiece__init(t, prefix));
    FT_RETURN(ft_json_i64(model, "max_input_chars_per_word", where, (int64_t)t->word_max, &most));
    if (most < 1 || most > FT_WORDPIECE_WORD_MAX)
        return ft_fail(FT_EUNSUPPORTED, "%s: max_input_chars_per_word %lld, expected 1 to %d", where, (long long)most,
                       FT_WORDPIECE_WORD_MAX);
    t->word_max = (size_t)most;
    return FT_OK;
}
