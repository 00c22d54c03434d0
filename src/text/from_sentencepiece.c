/* tokenizer.model, SentencePiece's ModelProto, of the model types that tokenizers.def has a kind for.
 *
 *   1 pieces (repeated): 1 piece, 2 score (f32), 3 type (1 normal 2 unknown 3 control 4 user defined 5 unused 6 byte)
 *   2 trainer_spec: 3 model_type (1 unigram, 2 BPE, 3 word, 4 char), 24 treat_whitespace_as_suffix, 40 unk_id, 41
 * bos_id, 42 eos_id, 43 pad_id 3 normalizer_spec: 2 precompiled_charsmap, 3 add_dummy_prefix, 4
 * remove_extra_whitespaces, 5 escape_whitespaces
 *
 * Tokens that an HF directory adds behind the pieces (added_tokens_decoder of tokenizer_config.json, added_tokens.json)
 * are taken too.
 */
#include "file/json.h"
#include "text/protobuf.h"
#include "text/tokenizer_impl.h"

#include <string.h>

enum { FILE_MAX = 256 << 20 };
enum { MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };

typedef struct sp_model {
    int64_t pieces, model_type, unk, bos, eos, pad;
    bool suffix, dummy_prefix, remove_extra, escape;
    ft_str charsmap;
} sp_model;

typedef struct sp_piece {
    ft_str text;
    float score;
    int64_t type;
} sp_piece;

static ft_status read_piece(const ft_proto *outer, ft_str bytes, sp_piece *out)
{
    ft_proto r = ft_proto__inner(outer, bytes);
    *out = (sp_piece){.text = {"", 0}, .type = FT_TOKEN_NORMAL};
    for (;;) {
        ft_field f;
        bool more;
        FT_RETURN(ft_proto__next(&r, &f, &more));
        if (!more)
            break;
        if (f.number == 1)
            FT_RETURN(ft_proto__bytes(&r, &f, &out->text));
        else if (f.number == 2)
            FT_RETURN(ft_proto__f32(&r, &f, &out->score));
        else if (f.number == 3)
            FT_RETURN(ft_proto__i64(&r, &f, &out->type));
    }
    if (out->type < FT_TOKEN_NORMAL || out->type > FT_TOKEN_BYTE)
        return ft_fail(FT_EFORMAT, "%s: before byte %zu: a piece of type %lld, expected 1 to 6", r.path,
                       (size_t)(r.p - r.base), (long long)out->type);
    return FT_OK;
}

static ft_status read_trainer(const ft_proto *outer, ft_str bytes, sp_model *m)
{
    ft_proto r = ft_proto__inner(outer, bytes);
    for (;;) {
        ft_field f;
        bool more;
        FT_RETURN(ft_proto__next(&r, &f, &more));
        if (!more)
            return FT_OK;
        int64_t *to = f.number == 3    ? &m->model_type
                      : f.number == 40 ? &m->unk
                      : f.number == 41 ? &m->bos
                      : f.number == 42 ? &m->eos
                      : f.number == 43 ? &m->pad
                                       : NULL;
        if (to)
            FT_RETURN(ft_proto__i64(&r, &f, to));
        else if (f.number == 24)
            FT_RETURN(ft_proto__bool(&r, &f, &m->suffix));
    }
}

static ft_status read_normalizer(const ft_proto *outer, ft_str bytes, sp_model *m)
{
    ft_proto r = ft_proto__inner(outer, bytes);
    for (;;) {
        ft_field f;
        bool more;
        FT_RETURN(ft_proto__next(&r, &f, &more));
        if (!more)
            return FT_OK;
        bool *to = f.number == 3   ? &m->dummy_prefix
                   : f.number == 4 ? &m->remove_extra
                   : f.number == 5 ? &m->escape
                                   : NULL;
        if (to)
            FT_RETURN(ft_proto__bool(&r, &f, to));
        else if (f.number == 2)
            FT_RETURN(ft_proto__bytes(&r, &f, &m->charsmap));
    }
}

static ft_status pick_kind(ft_tokenizer *t, const sp_model *m, const char *where)
{
    static const char *const types[] = {"0", "unigram", "bpe", "word", "char"};
    for (size_t i = 0; ft_word_kinds[i] && !t->kind; i++)
        if (ft_word_kinds[i]->sentencepiece && ft_word_kinds[i]->sentencepiece == m->model_type)
            t->kind = ft_word_kinds[i];
    return t->kind ? FT_OK
                   : ft_fail(FT_EUNSUPPORTED,
                             "%s: SentencePiece model type %s is not supported, only unigram and bpe are", where,
                             m->model_type > 0 && m->model_type < (int64_t)FT_COUNT(types) ? types[m->model_type]
                                                                                           : "(unknown)");
}

/* The settings, and how many pieces there are. */
static ft_status read_model(ft_proto r, sp_model *m)
{
    *m = (sp_model){
        .model_type = 1, .bos = 1, .eos = 2, .pad = -1, .dummy_prefix = true, .remove_extra = true, .escape = true};
    for (;;) {
        ft_field f;
        bool more;
        ft_str inner = {0};
        FT_RETURN(ft_proto__next(&r, &f, &more));
        if (!more)
            break;
        if (f.number > MODEL_NORMALIZER)
            continue;
        FT_RETURN(ft_proto__bytes(&r, &f, &inner));
        m->pieces += f.number == MODEL_PIECES;
        if (f.number == MODEL_TRAINER)
            FT_RETURN(read_trainer(&r, inner, m));
        else if (f.number == MODEL_NORMALIZER)
            FT_RETURN(read_normalizer(&r, inner, m));
    }
    if (m->suffix)
        return ft_fail(FT_EUNSUPPORTED, "%s: treat_whitespace_as_suffix is not supported", r.path);
    return FT_OK;
}

static ft_status load_pieces(ft_tokenizer *t, ft_proto r)
{
    for (int32_t id = 0;;) {
        ft_field f;
        bool more;
        sp_piece piece;
        FT_RETURN(ft_proto__next(&r, &f, &more));
        if (!more)
            return FT_OK;
        if (f.number != MODEL_PIECES)
            continue;
        FT_RETURN(read_piece(&r, f.bytes, &piece));
        FT_RETURN(ft_vocab__set(&t->vocab, id, piece.text, (ft_token_type)piece.type));
        t->vocab.score[id] = piece.score;
        ft_added_token token = {.text = t->vocab.piece[id], .id = id};
        bool control = piece.type == FT_TOKEN_CONTROL || piece.type == FT_TOKEN_UNKNOWN;
        bool scored = t->kind == &ft_tokenizer_unigram; /* what users define are pieces with the best of scores */
        if (control || (piece.type == FT_TOKEN_USER && !scored))
            FT_RETURN(ft_tokenizer__cut_out(t, &token, control, true));
        id++;
    }
}

/* ---- tokens added by the directory ---- */

typedef struct beside {
    const char *dir;
    json_t *config, *added; /* tokenizer_config.json, added_tokens.json; NULL when absent */
} beside;

static ft_status open_beside(beside *b, const char *dir)
{
    ft_status st = FT_OK;
    char *config = ft_path_join(dir, "tokenizer_config.json"), *added = ft_path_join(dir, "added_tokens.json");
    if (!config || !added)
        st = FT_ENOMEM;
    if (st == FT_OK && ft_exists(config))
        st = ft_json_file(&b->config, config, FILE_MAX);
    if (st == FT_OK && ft_exists(added))
        st = ft_json_file(&b->added, added, FILE_MAX);
    ft_free(config);
    ft_free(added);
    return st;
}

static ft_status check_id(const beside *b, const char *file, int64_t id)
{
    return id >= 0 && id < FT_VOCAB_MAX ? FT_OK
                                        : ft_fail(FT_EFORMAT, "%s/%s: a token id that is no number from 0 to %d",
                                                  b->dir, file, FT_VOCAB_MAX - 1);
}

/* Calls fn for every token behind the pieces. */
static ft_status each_added(const beside *b, int64_t pieces,
                            ft_status (*fn)(void *ctx, int64_t id, ft_str text, const json_t *flags), void *ctx)
{
    const char *key;
    json_t *v;
    int64_t id;
    json_object_foreach(json_object_get(b->config, "added_tokens_decoder"), key, v)
    {
        const json_t *content = json_object_get(v, "content");
        FT_RETURN(check_id(b, "tokenizer_config.json", ft_parse_i64(key, &id) ? id : -1));
        if (json_is_string(content) && id >= pieces)
            FT_RETURN(fn(ctx, id, (ft_str){json_string_value(content), json_string_length(content)}, v));
    }
    json_object_foreach(b->added, key, v)
    {
        id = json_is_integer(v) ? json_integer_value(v) : -1;
        FT_RETURN(check_id(b, "added_tokens.json", id));
        if (id >= pieces)
            FT_RETURN(fn(ctx, id, ft_str_of(key), NULL));
    }
    return FT_OK;
}

static ft_status find_top(void *ctx, int64_t id, ft_str text, const json_t *flags)
{
    int64_t *top = ctx;
    *top = FT_MAX(*top, id + 1);
    return FT_OK;
}

static ft_status add_token(void *ctx, int64_t id, ft_str text, const json_t *flags)
{
    ft_tokenizer *t = ctx;
    bool special = !flags || json_is_true(json_object_get(flags, "special"));
    if (t->vocab.type[id] != FT_TOKEN_UNUSED)
        return FT_OK; /* the first file has described it */
    FT_RETURN(ft_vocab__set(&t->vocab, (int32_t)id, text, special ? FT_TOKEN_CONTROL : FT_TOKEN_USER));
    ft_added_token token = {.text = t->vocab.piece[id],
                            .id = (int32_t)id,
                            .lstrip = json_is_true(json_object_get(flags, "lstrip")),
                            .rstrip = json_is_true(json_object_get(flags, "rstrip")),
                            .single_word = json_is_true(json_object_get(flags, "single_word"))};
    return ft_tokenizer__cut_out(t, &token, special, false);
}

/* ---- the format ---- */

static int32_t id_or_none(const ft_tokenizer *t, int64_t id)
{
    return id >= 0 && id < t->vocab.n ? (int32_t)id : -1;
}

static ft_status load_from(ft_tokenizer *t, ft_proto r, const char *dir)
{
    ft_status st = FT_OK;
    sp_model m;
    beside b = {.dir = dir};
    FT_TRY(read_model(r, &m));
    FT_TRY(pick_kind(t, &m, r.path));
    FT_TRY(open_beside(&b, dir));
    int64_t n = m.pieces;
    FT_TRY(each_added(&b, m.pieces, find_top, &n));
    FT_TRY(ft_vocab__init(&t->vocab, n, true, r.path));
    FT_TRY(load_pieces(t, r));
    FT_TRY(each_added(&b, m.pieces, add_token, t));
    FT_TRY(ft_norms__add_sentencepiece(&t->norms, m.dummy_prefix, m.remove_extra, m.escape, m.charsmap, r.path));
    t->fuse_unk = t->single_scores = true;
    t->unk = t->model_unk = id_or_none(t, m.unk);
    t->bos = id_or_none(t, m.bos);
    t->eos = id_or_none(t, m.eos);
    t->pad = id_or_none(t, m.pad);
    t->add_bos = true;
    st = ft_tokenizer__special_ids(t, dir);
done:
    json_decref(b.config);
    json_decref(b.added);
    return st;
}

static bool is_sentencepiece(const char *path)
{
    return ft_ends(path, ".model") || strstr(ft_path_base(path), ".model.v");
}

static ft_status load_sentencepiece(ft_tokenizer *t, const char *path)
{
    ft_status st = FT_OK;
    ft_mapping map;
    char *dir = ft_path_dir(path);
    if (!dir)
        return FT_ENOMEM;
    st = ft_mapping_open(&map, path);
    if (st == FT_OK) {
        st = load_from(t, (ft_proto){map.data, map.data, map.data + map.size, path}, dir);
        ft_mapping_close(&map);
    }
    ft_free(dir);
    return st;
}

const ft_vocabulary ft_vocabulary_sentencepiece = {
    .name = "tokenizer.model (or another .model)",
    .usual = "tokenizer.model",
    .hf = true,
    .is = is_sentencepiece,
    .load = load_sentencepiece,
};
