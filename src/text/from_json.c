/* tokenizer.json, the format of Hugging Face tokenizers: BPE, byte-level or with byte fallback.
 *
 * {"added_tokens": [...], "normalizer", "pre_tokenizer", "post_processor", "decoder",
 *  "model": {"type": "BPE", "vocab": {piece: id}, "merges": ["a b" | ["a", "b"], ...], ...}}
 * "padding" and "truncation" are settings of whoever saved the file, not of the model: they are ignored.
 * A control token (special) is always cut out of the text as it stands; other added tokens as their "normalized" says.
 */
#include "file/json.h"
#include "text/tokenizer_impl.h"

#include <string.h>

enum { FILE_MAX = 256 << 20, MERGES_MAX = 1 << 24, SPACES_TRIED = 32 };

static ft_str str_of(const json_t *j)
{
    return (ft_str){json_string_value(j), json_string_length(j)};
}

/* ---- vocabulary ---- */

static ft_status id_of(const json_t *j, const char *where, int64_t *id)
{
    *id = json_is_integer(j) ? json_integer_value(j) : -1;
    return *id >= 0 && *id < FT_VOCAB_MAX
               ? FT_OK
               : ft_fail(FT_EFORMAT, "%s: a token id that is no number from 0 to %d", where, FT_VOCAB_MAX - 1);
}

static ft_status load_vocab(ft_tokenizer *t, const json_t *model, const json_t *added, const char *where)
{
    json_t *vocab = json_object_get(model, "vocab"), *value;
    const char *piece;
    size_t i;
    int64_t id, top = -1;
    if (!json_is_object(vocab))
        return ft_fail(FT_EFORMAT, "%s: no \"vocab\" object in \"model\"", where);
    json_object_foreach(vocab, piece, value)
    {
        FT_RETURN(id_of(value, where, &id));
        top = FT_MAX(top, id);
    }
    json_array_foreach(added, i, value)
    {
        FT_RETURN(id_of(json_object_get(value, "id"), where, &id));
        top = FT_MAX(top, id);
    }
    FT_RETURN(ft_vocab__init(&t->vocab, top + 1, false, where));
    json_object_foreach(vocab, piece, value)
    {
        id = json_integer_value(value);
        if (t->vocab.type[id] != FT_TOKEN_UNUSED)
            return ft_fail(FT_EFORMAT, "%s: id %lld belongs to two pieces", where, (long long)id);
        FT_RETURN(ft_vocab__set(&t->vocab, (int32_t)id, ft_str_of(piece), FT_TOKEN_NORMAL));
    }
    return FT_OK;
}

static ft_status add_token(ft_tokenizer *t, const json_t *j, const char *where)
{
    const json_t *content = json_object_get(j, "content");
    ft_added_token token = {.id = (int32_t)json_integer_value(json_object_get(j, "id"))};
    bool special, normalized;
    if (!json_is_string(content))
        return ft_fail(FT_EFORMAT, "%s: an added token without \"content\"", where);
    FT_RETURN(ft_json_bool(j, "special", where, false, &special));
    FT_RETURN(ft_json_bool(j, "normalized", where, !special, &normalized));
    FT_RETURN(ft_json_bool(j, "lstrip", where, false, &token.lstrip));
    FT_RETURN(ft_json_bool(j, "rstrip", where, false, &token.rstrip));
    FT_RETURN(ft_json_bool(j, "single_word", where, false, &token.single_word));
    FT_RETURN(ft_vocab__set(&t->vocab, token.id, str_of(content), special ? FT_TOKEN_CONTROL : FT_TOKEN_USER));
    token.text = t->vocab.piece[token.id];
    return ft_tokenizer__cut_out(t, &token, special, normalized);
}

/* Byte tokens and unk get their types; they must not be cut out of texts or take part in merges. */
static ft_status set_types(ft_tokenizer *t, const json_t *model, const char *where)
{
    const char *unk;
    bool fallback;
    FT_RETURN(ft_json_str(model, "unk_token", where, NULL, &unk));
    FT_RETURN(ft_json_bool(model, "byte_fallback", where, false, &fallback));
    for (int32_t id = 0; fallback && id < t->vocab.n; id++)
        if (ft_vocab__byte_of(t->vocab.piece[id]) >= 0)
            t->vocab.type[id] = FT_TOKEN_BYTE;
    t->unk = t->model_unk = unk ? ft_vocab__find(&t->vocab, ft_str_of(unk)) : -1;
    if (t->unk >= 0)
        t->vocab.type[t->unk] = FT_TOKEN_UNKNOWN;
    return FT_OK;
}

/* ---- merges ---- */

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

/* ---- the rest ---- */

/* A model that would encode otherwise than plain BPE is refused by the setting's name. */
static ft_status check_model(const json_t *model, const char *where)
{
    const char *type, *affix;
    double dropout;
    if (!json_is_object(model))
        return ft_fail(FT_EFORMAT, "%s: no \"model\" object", where);
    FT_RETURN(ft_json_str(model, "type", where, "BPE", &type));
    if (strcmp(type, "BPE") != 0)
        return ft_fail(FT_EUNSUPPORTED, "%s: tokenizer model \"%.60s\" is not supported, only BPE is", where, type);
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < FT_COUNT(affixes); i++) {
        FT_RETURN(ft_json_str(model, affixes[i], where, NULL, &affix));
        if (affix && *affix)
            return ft_fail(FT_EUNSUPPORTED, "%s: %s \"%.20s\" is not supported", where, affixes[i], affix);
    }
    FT_RETURN(ft_json_f64(model, "dropout", where, 0, &dropout));
    return dropout > 0 ? ft_fail(FT_EUNSUPPORTED, "%s: BPE dropout is not supported", where) : FT_OK;
}

/* The object itself, or the one of this type in a "Sequence" of them. */
static const json_t *of_type(const json_t *j, const char *list, const char *type)
{
    const char *name = json_string_value(json_object_get(j, "type"));
    size_t i;
    json_t *item;
    if (name && strcmp(name, type) == 0)
        return j;
    json_array_foreach(json_object_get(j, list), i, item)
    {
        name = json_string_value(json_object_get(item, "type"));
        if (name && strcmp(name, type) == 0)
            return item;
    }
    return NULL;
}

/* A template that begins with a control token: every text begins with it. */
static void load_post_processor(ft_tokenizer *t, const json_t *j)
{
    const json_t *single = json_object_get(of_type(j, "processors", "TemplateProcessing"), "single");
    const json_t *name = json_object_get(json_object_get(json_array_get(single, 0), "SpecialToken"), "id");
    if (!json_is_string(name))
        return;
    t->bos = ft_vocab__find(&t->vocab, str_of(name));
    t->add_bos = t->bos >= 0;
}

static ft_status load_document(ft_tokenizer *t, const json_t *j, const char *where)
{
    const json_t *model = json_object_get(j, "model"), *added = json_object_get(j, "added_tokens");
    size_t i;
    json_t *item;
    FT_RETURN(check_model(model, where));
    FT_RETURN(ft_norms__from_json(&t->norms, json_object_get(j, "normalizer"), where));
    FT_RETURN(ft_stages__from_json(&t->stages, json_object_get(j, "pre_tokenizer"), where));
    bool bytes = t->stages.byte_level || of_type(json_object_get(j, "decoder"), "decoders", "ByteLevel");
    t->kind = bytes ? &ft_tokenizer_bpe : &ft_tokenizer_spm;
    FT_RETURN(ft_json_bool(model, "ignore_merges", where, false, &t->ignore_merges));
    FT_RETURN(ft_json_bool(model, "fuse_unk", where, false, &t->fuse_unk));
    FT_RETURN(load_vocab(t, model, added, where));
    json_array_foreach(added, i, item) FT_RETURN(add_token(t, item, where));
    FT_RETURN(set_types(t, model, where));
    FT_RETURN(load_merges(t, json_object_get(model, "merges"), where));
    load_post_processor(t, json_object_get(j, "post_processor"));
    return FT_OK;
}

static bool is_json(const char *path)
{
    return strcmp(ft_path_base(path), "tokenizer.json") == 0;
}

static ft_status load_json(ft_tokenizer *t, const char *path)
{
    ft_status st = FT_OK;
    json_t *j = NULL;
    char *dir = NULL;
    FT_TRY(ft_json_file(&j, path, FILE_MAX));
    FT_TRY(load_document(t, j, path));
    dir = ft_path_dir(path);
    st = dir ? ft_tokenizer__special_ids(t, dir) : FT_ENOMEM;
done:
    ft_free(dir);
    json_decref(j);
    return st;
}

const ft_vocabulary ft_vocabulary_json = {
    .name = "tokenizer.json",
    .usual = "tokenizer.json",
    .hf = true,
    .is = is_json,
    .load = load_json,
};
