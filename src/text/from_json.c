/* tokenizer.json, the format of Hugging Face tokenizers.
 *
 * {"added_tokens": [...], "normalizer", "pre_tokenizer", "post_processor", "decoder",
 *  "model": {"type": ..., ...}}                      its "model" is read by json_model.c
 * "padding" and "truncation" are settings of whoever saved the file, not of the model: they are ignored.
 * A control token (special) is always cut out of the text as it stands; other added tokens as their "normalized" says.
 */
#include "file/json.h"
#include "text/tokenizer_impl.h"

#include <string.h>

enum { FILE_MAX = 256 << 20, NESTING_MAX = 8 };

static ft_str str_of(const json_t *j)
{
    return (ft_str){json_string_value(j), json_string_length(j)};
}

/* ---- added tokens ---- */

/* One more than the highest id of the added tokens. */
static ft_status count_ids(const json_t *added, const char *where, int64_t *ids)
{
    size_t i;
    json_t *item;
    *ids = 0;
    json_array_foreach(added, i, item)
    {
        const json_t *j = json_object_get(item, "id");
        int64_t id = json_is_integer(j) ? json_integer_value(j) : -1;
        if (id < 0 || id >= FT_VOCAB_MAX)
            return ft_fail(FT_EFORMAT, "%s: a token id that is no number from 0 to %d", where, FT_VOCAB_MAX - 1);
        *ids = FT_MAX(*ids, id + 1);
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
static void set_types(ft_tokenizer *t)
{
    for (int32_t id = 0; t->byte_fallback && id < t->vocab.n; id++)
        if (ft_vocab__byte_of(t->vocab.piece[id]) >= 0)
            t->vocab.type[id] = FT_TOKEN_BYTE;
    t->unk = t->model_unk;
    t->drops_missing = t->unk < 0;
    if (t->unk >= 0)
        t->vocab.type[t->unk] = FT_TOKEN_UNKNOWN;
}

/* ---- what stands around the model ---- */

/* Calls fn for the object, or for each of a "Sequence" of them. */
static ft_status each_of(ft_tokenizer *t, const json_t *j, const char *list, const char *where, int depth,
                         ft_status (*fn)(ft_tokenizer *t, const char *type, const json_t *j, const char *where))
{
    const char *type;
    size_t i;
    json_t *item;
    if (!j || json_is_null(j))
        return FT_OK;
    FT_RETURN(ft_json_str(j, "type", where, "", &type));
    if (strcmp(type, "Sequence") != 0 || depth == NESTING_MAX)
        return fn(t, type, j, where);
    json_array_foreach(json_object_get(j, list), i, item) FT_RETURN(each_of(t, item, list, where, depth + 1, fn));
    return FT_OK;
}

/* A text begins with this token, or ends with it. */
static void begins_with(ft_tokenizer *t, const json_t *name)
{
    if (!json_is_string(name))
        return;
    t->bos = ft_vocab__find(&t->vocab, str_of(name));
    t->add_bos = t->bos >= 0;
}

static void ends_with(ft_tokenizer *t, const json_t *name)
{
    if (!json_is_string(name))
        return;
    t->eos = ft_vocab__find(&t->vocab, str_of(name));
    t->add_eos = t->eos >= 0;
}

static const json_t *special_at(const json_t *single, size_t i)
{
    return json_object_get(json_object_get(json_array_get(single, i), "SpecialToken"), "id");
}

static ft_status process_template(ft_tokenizer *t, const json_t *j, const char *where)
{
    const json_t *single = json_object_get(j, "single");
    size_t n = json_array_size(single);
    begins_with(t, special_at(single, 0));
    if (n > 1)
        ends_with(t, special_at(single, n - 1));
    return FT_OK;
}

/* {"cls": ["<s>", 0], "sep": ["</s>", 2]} */
static ft_status process_pair(ft_tokenizer *t, const json_t *j, const char *where)
{
    begins_with(t, json_array_get(json_object_get(j, "cls"), 0));
    ends_with(t, json_array_get(json_object_get(j, "sep"), 0));
    return FT_OK;
}

/* Offsets only: ids stay as they are. */
static ft_status process_offsets(ft_tokenizer *t, const json_t *j, const char *where)
{
    return FT_OK;
}

static ft_status post_process(ft_tokenizer *t, const char *type, const json_t *j, const char *where)
{
    static const struct {
        const char *type;
        ft_status (*read)(ft_tokenizer *t, const json_t *j, const char *where);
    } forms[] = {
        {"TemplateProcessing", process_template},
        {"BertProcessing", process_pair},
        {"RobertaProcessing", process_pair},
        {"ByteLevel", process_offsets},
    };
    for (size_t i = 0; i < FT_COUNT(forms); i++)
        if (strcmp(type, forms[i].type) == 0)
            return forms[i].read(t, j, where);
    return ft_fail(FT_EUNSUPPORTED, "%s: post-processor type \"%.60s\" is not supported", where, type);
}

/* Decoding follows from the kind; a decoder that would do something else is refused. */
static ft_status check_decoder(ft_tokenizer *t, const char *type, const json_t *j, const char *where)
{
    static const char *const known[] = {"ByteLevel", "ByteFallback", "Fuse",     "Metaspace",
                                        "Replace",   "Strip",        "WordPiece"};
    for (size_t i = 0; i < FT_COUNT(known); i++)
        if (strcmp(type, known[i]) == 0) {
            t->stages.byte_level = t->stages.byte_level || i == 0;
            return FT_OK;
        }
    return ft_fail(FT_EUNSUPPORTED, "%s: decoder type \"%.60s\" is not supported", where, type);
}

/* ---- the document ---- */

static ft_status pick_kind(ft_tokenizer *t, const json_t *model, const char *where)
{
    const char *type;
    if (!json_is_object(model))
        return ft_fail(FT_EFORMAT, "%s: no \"model\" object", where);
    FT_RETURN(ft_json_str(model, "type", where, "BPE", &type));
    for (size_t i = 0; ft_word_kinds[i] && !t->kind; i++)
        if (strcmp(type, ft_word_kinds[i]->json_model) == 0 && ft_word_kinds[i]->byte_level == t->stages.byte_level)
            t->kind = ft_word_kinds[i];
    return t->kind ? FT_OK
                   : ft_fail(FT_EUNSUPPORTED, "%s: tokenizer model \"%.60s\"%s is not supported", where, type,
                             t->stages.byte_level ? " over bytes" : "");
}

static ft_status load_document(ft_tokenizer *t, const json_t *j, const char *where)
{
    const json_t *model = json_object_get(j, "model"), *added = json_object_get(j, "added_tokens");
    int64_t ids;
    size_t i;
    json_t *item;
    FT_RETURN(ft_norms__from_json(&t->norms, json_object_get(j, "normalizer"), where));
    FT_RETURN(ft_stages__from_json(&t->stages, json_object_get(j, "pre_tokenizer"), where));
    FT_RETURN(each_of(t, json_object_get(j, "decoder"), "decoders", where, 0, check_decoder));
    FT_RETURN(pick_kind(t, model, where));
    FT_RETURN(count_ids(added, where, &ids));
    FT_RETURN(t->kind->load_json(t, model, ids, where));
    json_array_foreach(added, i, item) FT_RETURN(add_token(t, item, where));
    set_types(t);
    return each_of(t, json_object_get(j, "post_processor"), "processors", where, 0, post_process);
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
