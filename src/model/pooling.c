/* Pooling: read from sentence-transformers' files or a GGUF, put over the last hidden states, written beside weights. */
#include "model/pooling.h"

#include "base/os.h"
#include "model/keys.h"

#include <string.h>

enum { MAX_BYTES = 1 << 20, MAX_MODULES = 16 };

static const char *const pool_names[] = {[FT_POOL_MEAN] = "mean", [FT_POOL_CLS] = "cls", [FT_POOL_LAST] = "last"};

const char *ft_pool_name(ft_pool kind)
{
    return kind > FT_POOL_NONE && (size_t)kind < FT_COUNT(pool_names) ? pool_names[kind] : NULL;
}

ft_pool ft_pool_named(const char *name)
{
    for (int i = FT_POOL_NONE + 1; ft_pool_name((ft_pool)i); i++)
        if (strcmp(ft_pool_name((ft_pool)i), name) == 0)
            return (ft_pool)i;
    return FT_POOL_NONE;
}

/* ---- what a model holds ---- */

const ft_pooling *ft_model_pooling(const ft_model *m)
{
    return &m->pooling;
}

void ft_pooling__free(ft_model *m)
{
    ft_free((char *)m->pooling.query_prompt);
    ft_free((char *)m->pooling.document_prompt);
    ft_free(m->pooling_dir);
    m->pooling = (ft_pooling){0};
    m->pooling_dir = NULL;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

ft_status ft_model_set_pooling(ft_model *m, const ft_pooling *p)
{
    const ft_pooling *now = &m->pooling;
    bool same = p->kind == now->kind && p->normalize == now->normalize &&
                same_text(p->query_prompt, now->query_prompt) && same_text(p->document_prompt, now->document_prompt);
    if (same)
        return FT_OK;
    ft_pooling copy = *p;
    copy.query_prompt = p->query_prompt && *p->query_prompt ? ft_strdup(p->query_prompt) : NULL;
    copy.document_prompt = p->document_prompt && *p->document_prompt ? ft_strdup(p->document_prompt) : NULL;
    if (!copy.query_prompt != !(p->query_prompt && *p->query_prompt) ||
        !copy.document_prompt != !(p->document_prompt && *p->document_prompt)) {
        ft_free((char *)copy.query_prompt);
        ft_free((char *)copy.document_prompt);
        return FT_ENOMEM;
    }
    ft_pooling__free(m);
    m->pooling = copy;
    return FT_OK;
}

ft_status ft_model_check_pooling(const ft_model *m)
{
    if (m->pooling.kind == FT_POOL_CLS && !m->config.arch->encoder)
        return ft_fail(FT_EINPUT,
                       "%s: the first token of a %s model sees no other one, its states are no text's: choose mean or last",
                       m->path, m->config.arch->model_type);
    if (m->pooling.kind != FT_POOL_NONE)
        return FT_OK;
    return ft_fail(FT_EINPUT,
                   "%s: says nothing of how it pools (no modules.json, no pooling_type): choose mean, cls or last",
                   m->path);
}

/* ---- reading ---- */

/* The ways of pooling that 1_Pooling/config.json can switch on. */
static const struct {
    const char *key, *word;
    ft_pool kind;
} modes[] = {{"pooling_mode_cls_token", "cls", FT_POOL_CLS},
             {"pooling_mode_mean_tokens", "mean", FT_POOL_MEAN},
             {"pooling_mode_lasttoken", "lasttoken", FT_POOL_LAST},
             {"pooling_mode_max_tokens", "max", FT_POOL_NONE},
             {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", FT_POOL_NONE},
             {"pooling_mode_weightedmean_tokens", "weightedmean", FT_POOL_NONE}};

/* The one that is on, by its flag or by the word of "pooling_mode". */
static ft_status read_mode(ft_pool *out, const json_t *o, const char *where)
{
    const char *word;
    int found = 0;
    *out = FT_POOL_NONE;
    FT_RETURN(ft_json_str(o, "pooling_mode", where, "", &word));
    for (size_t i = 0; i < FT_COUNT(modes); i++) {
        bool on;
        FT_RETURN(ft_json_bool(o, modes[i].key, where, false, &on));
        if (!on && strcmp(word, modes[i].word) != 0)
            continue;
        found++;
        *out = modes[i].kind;
    }
    if (found == 1 && *out != FT_POOL_NONE)
        return FT_OK;
    return ft_fail(FT_EUNSUPPORTED, "%s: pools in another way than one of mean, cls and lasttoken", where);
}

static ft_status read_pooling(ft_model *m, const char *dir, const char *module)
{
    json_t *o = NULL;
    bool with_prompt;
    char *path = ft_strf("%s/%s/config.json", dir, module);
    ft_status st = path ? FT_OK : FT_ENOMEM;
    FT_TRY(st);
    FT_TRY(ft_json_file(&o, path, MAX_BYTES));
    FT_TRY(read_mode(&m->pooling.kind, o, path));
    FT_TRY(ft_json_bool(o, "include_prompt", path, true, &with_prompt));
    if (!with_prompt)
        st = ft_fail(FT_EUNSUPPORTED, "%s: include_prompt is false: tokens of prompts are always pooled here", path);
done:
    json_decref(o);
    ft_free(path);
    return st;
}

/* A module lies in a folder of the model's own. */
static bool is_plain_name(const char *s)
{
    return *s && *s != '.' && !strchr(s, '/');
}

static ft_status read_module(ft_model *m, const char *dir, const json_t *module, const char *where)
{
    const char *type, *path;
    FT_RETURN(ft_json_str(module, "type", where, "", &type));
    FT_RETURN(ft_json_str(module, "path", where, "", &path));
    const char *kind = strrchr(type, '.') ? strrchr(type, '.') + 1 : type;
    if (strcmp(kind, "Transformer") == 0)
        return FT_OK;
    if (strcmp(kind, "Normalize") == 0) {
        m->pooling.normalize = true;
        return FT_OK;
    }
    if (strcmp(kind, "Pooling") != 0)
        return ft_fail(FT_EUNSUPPORTED, "%s: a module of type \"%s\", supported: Transformer, Pooling, Normalize", where, type);
    if (!is_plain_name(path))
        return ft_fail(FT_EFORMAT, "%s: the path of a module is \"%s\", a folder beside the file is expected", where, path);
    if (m->pooling.kind == FT_POOL_NONE)
        return read_pooling(m, dir, path);
    ft_note(FT_NOTE, "%s: %s is passed over: the first way of pooling is the sentence's", where, path);
    return FT_OK;
}

static ft_status take_prompt(const char **out, const json_t *prompts, const char *key, const char *where)
{
    const char *text;
    FT_RETURN(ft_json_str(prompts, key, where, "", &text));
    if (*out || !*text)
        return FT_OK;
    return (*out = ft_strdup(text)) ? FT_OK : FT_ENOMEM;
}

static ft_status read_prompts(ft_model *m, const char *dir)
{
    json_t *o = NULL;
    char *path = ft_path_join(dir, "config_sentence_transformers.json");
    ft_status st = path ? FT_OK : FT_ENOMEM;
    if (!path || !ft_exists(path))
        goto done;
    FT_TRY(ft_json_file(&o, path, MAX_BYTES));
    const json_t *prompts = json_object_get(o, "prompts");
    FT_TRY(take_prompt(&m->pooling.query_prompt, prompts, "query", path));
    FT_TRY(take_prompt(&m->pooling.document_prompt, prompts, "document", path));
    FT_TRY(take_prompt(&m->pooling.document_prompt, prompts, "passage", path));
done:
    json_decref(o);
    ft_free(path);
    return st;
}

ft_status ft_pooling__read(ft_model *m, const char *dir)
{
    json_t *o = NULL;
    if (!ft_dir_holds(dir, "modules.json"))
        return FT_OK;
    char *path = ft_path_join(dir, "modules.json");
    ft_status st = path ? FT_OK : FT_ENOMEM;
    FT_TRY(st);
    ft_pooling__free(m);
    FT_TRY(ft_json_file(&o, path, MAX_BYTES));
    if (!json_is_array(o) || json_array_size(o) > MAX_MODULES) {
        st = ft_fail(FT_EFORMAT, "%s: a list of at most %d modules is expected", path, MAX_MODULES);
        goto done;
    }
    for (size_t i = 0; i < json_array_size(o); i++)
        FT_TRY(read_module(m, dir, json_array_get(o, i), path));
    FT_TRY(read_prompts(m, dir));
    if (!(m->pooling_dir = ft_strdup(dir)))
        st = FT_ENOMEM;
done:
    json_decref(o);
    ft_free(path);
    return st;
}

ft_status ft_pooling__of_gguf(ft_model *m)
{
    char key[128];
    int64_t kind = FT_POOL_NONE;
    const ft_meta *meta = ft_container_meta(m->source, ft_config__gguf_key(m->config.arch, "pooling_type", key));
    if (meta && (!ft_meta_i64(meta, &kind) || kind < FT_POOL_NONE || kind > FT_POOL_LAST))
        return ft_fail(FT_EUNSUPPORTED, "%s: %s is %lld, supported: 0 (none), 1 (mean), 2 (cls), 3 (last)", m->path, key,
                       (long long)kind);
    m->pooling.kind = (ft_pool)kind;
    m->pooling.normalize = kind != FT_POOL_NONE; /* as llama.cpp's programs do by themselves */
    return FT_OK;
}

/* ---- over the hidden states ---- */

/* The first or the last token of every segment. */
static const int64_t *ends(ft_tape *t, const ft_segments *seg, bool last)
{
    int64_t *index = ft_tape_alloc(t, (size_t)seg->n, sizeof *index);
    for (int64_t s = 0; index && s < seg->n; s++)
        index[s] = last ? seg->start[s + 1] - 1 : seg->start[s];
    return index;
}

ft_var *ft_model_vectors(ft_model *m, ft_tape *t, const int32_t *ids, int64_t T, const ft_segments *seg,
                         int64_t checkpointed)
{
    ft_segments some = *seg;
    if (m->pooling.kind == FT_POOL_MEAN)
        return ft_op_mean(t, ft_model_forward(m, t, ids, T, seg, NULL, checkpointed), seg);
    some.n_read = seg->n;
    some.read = ends(t, seg, m->pooling.kind == FT_POOL_LAST);
    return some.read ? ft_model_forward(m, t, ids, T, &some, NULL, checkpointed) : NULL;
}

/* ---- writing ---- */

static ft_status write_json(json_t *o, const char *dir, const char *name)
{
    char *path = ft_path_join(dir, name);
    ft_status st = !o ? ft_fail(FT_ENOMEM, "%s: no memory, or a text is no UTF-8", name) : path ? ft_json_write(o, path) : FT_ENOMEM;
    json_decref(o);
    ft_free(path);
    return st;
}

static ft_status write_modules(const ft_model *m, const char *dir)
{
#define MODULE(idx, path, kind)                                                                                        \
    "idx", idx, "name", #idx, "path", path, "type", "sentence_transformers.models." kind
    json_t *list = json_pack("[{s:i, s:s, s:s, s:s}, {s:i, s:s, s:s, s:s}]", MODULE(0, "", "Transformer"),
                             MODULE(1, "1_Pooling", "Pooling"));
    json_t *normalize = m->pooling.normalize ? json_pack("{s:i, s:s, s:s, s:s}", MODULE(2, "2_Normalize", "Normalize")) : NULL;
#undef MODULE
    if (normalize)
        json_array_append_new(list, normalize);
    return write_json(list, dir, "modules.json");
}

static ft_status write_pooling(const ft_model *m, const char *dir)
{
    json_t *o = json_pack("{s:I}", "word_embedding_dimension", (json_int_t)m->config.hidden_size);
    for (size_t i = 0; i < FT_COUNT(modes); i++)
        json_object_set_new(o, modes[i].key, json_boolean(modes[i].kind == m->pooling.kind));
    json_object_set_new(o, "include_prompt", json_true());
    char *folder = ft_path_join(dir, "1_Pooling");
    ft_status st = folder ? ft_mkdirs(folder) : FT_ENOMEM;
    if (st == FT_OK)
        st = write_json(json_incref(o), folder, "config.json");
    json_decref(o);
    ft_free(folder);
    return st;
}

static ft_status write_prompts(const ft_model *m, const char *dir)
{
    const ft_pooling *p = &m->pooling;
    json_t *o = json_pack("{s:{s:s, s:s}, s:n, s:s}", "prompts", "query", p->query_prompt ? p->query_prompt : "", "document",
                          p->document_prompt ? p->document_prompt : "", "default_prompt_name", "similarity_fn_name",
                          "cosine");
    return write_json(o, dir, "config_sentence_transformers.json");
}

static ft_status write_new(const ft_model *m, const char *dir)
{
    FT_RETURN(write_modules(m, dir));
    FT_RETURN(write_pooling(m, dir));
    FT_RETURN(write_prompts(m, dir));
    return write_json(json_pack("{s:I, s:b}", "max_seq_length", (json_int_t)m->config.max_position_embeddings,
                                "do_lower_case", 0),
                      dir, "sentence_bert_config.json");
}

/* from/name to dir/name, where it is there. */
static ft_status carry(const char *from, const char *dir, const char *name)
{
    char *source = ft_path_join(from, name), *target = ft_path_join(dir, name);
    ft_status st = source && target ? FT_OK : FT_ENOMEM;
    if (st == FT_OK && ft_exists(source)) {
        st = ft_mkdirs_for(target);
        if (st == FT_OK)
            st = ft_copy_file(source, target);
    }
    ft_free(source);
    ft_free(target);
    return st;
}

static ft_status carry_modules(const char *from, const char *dir)
{
    json_t *modules = NULL;
    char *path = ft_path_join(from, "modules.json");
    ft_status st = path ? ft_json_file(&modules, path, MAX_BYTES) : FT_ENOMEM;
    for (size_t i = 0; st == FT_OK && i < json_array_size(modules); i++) {
        const char *folder = json_string_value(json_object_get(json_array_get(modules, i), "path"));
        char *name = folder && is_plain_name(folder) ? ft_path_join(folder, "config.json") : NULL;
        st = name ? carry(from, dir, name) : FT_OK;
        ft_free(name);
    }
    json_decref(modules);
    ft_free(path);
    return st;
}

ft_status ft_pooling_write_dir(const ft_model *m, const char *dir)
{
    static const char *const files[] = {"modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"};
    if (m->pooling.kind == FT_POOL_NONE)
        return FT_OK;
    if (!m->pooling_dir)
        return write_new(m, dir);
    for (size_t i = 0; i < FT_COUNT(files); i++)
        FT_RETURN(carry(m->pooling_dir, dir, files[i]));
    return carry_modules(m->pooling_dir, dir);
}
