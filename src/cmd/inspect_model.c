/* inspect: models, GGUF and safetensors files, adapters. */
#include "cmd/inspect.h"

#include <string.h>

enum { MAX_CONFIG = 1 << 20, SHOWN_TEXT = 64 };

/* ---- tensors ---- */

typedef struct tally {
    int64_t tensors, parameters, bytes;
} tally;

static void count_in(tally *all, const ft_dtype *dtype, const ft_tensor *t)
{
    for (size_t i = 0; ft_dtypes[i]; i++)
        if (ft_dtypes[i] == dtype) {
            all[i].tensors++;
            all[i].parameters += ft_tensor_count(t);
            all[i].bytes += (int64_t)ft_tensor_bytes(t);
        }
}

static int64_t parameters_of(const tally *all)
{
    int64_t n = 0;
    for (size_t i = 0; ft_dtypes[i]; i++)
        n += all[i].parameters;
    return n;
}

/* One row a dtype. */
static void put_tally(json_t *o, const tally *all)
{
    json_t *list = ft_result_list(o, "types");
    for (size_t i = 0; ft_dtypes[i]; i++) {
        if (!all[i].tensors)
            continue;
        json_t *row = ft_result_row(list);
        ft_result_text(row, "type", ft_dtypes[i]->name);
        ft_result_int(row, "tensors", all[i].tensors);
        ft_result_int(row, "parameters", all[i].parameters);
        ft_result_int(row, "size_bytes", all[i].bytes);
    }
}

static void put_tensor(json_t *list, const char *name, const ft_dtype *dtype, const ft_tensor *t)
{
    char shape[96];
    json_t *row = ft_result_row(list);
    ft_result_text(row, "name", name);
    ft_result_text(row, "type", dtype->name);
    ft_result_text(row, "shape", ft_shape_text(t->ndim, t->shape, shape));
}

static void put_tensors(json_t *o, const ft_container *c)
{
    json_t *list = ft_result_list(o, "tensors");
    for (size_t i = 0; i < ft_container_count(c); i++)
        put_tensor(list, ft_container_at(c, i)->name, ft_container_at(c, i)->t.dtype, &ft_container_at(c, i)->t);
}

static void put_container(json_t *o, const ft_container *c, const ft_args *a)
{
    tally all[64] = {{0}};
    for (size_t i = 0; i < ft_container_count(c); i++)
        count_in(all, ft_container_at(c, i)->t.dtype, &ft_container_at(c, i)->t);
    ft_result_int(o, "parameters", parameters_of(all));
    put_tally(o, all);
    if (ft_args_given(a, "tensors"))
        put_tensors(o, c);
}

/* ---- metadata ---- */

static void put_meta_text(json_t *row, ft_str s)
{
    char text[SHOWN_TEXT + 32];
    if (s.n <= SHOWN_TEXT) {
        ft_result_str(row, "value", s);
        return;
    }
    size_t n = SHOWN_TEXT;
    while (n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80) /* never through a character */
        n--;
    snprintf(text, sizeof text, "%.*s... (%zu bytes)", (int)n, s.p, s.n);
    ft_result_text(row, "value", text);
}

static void put_meta(json_t *list, const ft_meta *m)
{
    json_t *row = ft_result_row(list);
    char text[64];
    ft_result_text(row, "key", m->key);
    switch (m->kind) {
    case FT_META_STRING:
        put_meta_text(row, m->v.s);
        break;
    case FT_META_ARRAY:
        snprintf(text, sizeof text, "(%llu values)", (unsigned long long)m->n);
        ft_result_text(row, "value", text);
        break;
    case FT_META_BOOL:
        ft_result_bool(row, "value", m->v.b);
        break;
    case FT_META_FLOAT:
        ft_result_real(row, "value", m->v.f);
        break;
    default:
        ft_result_int(row, "value", m->kind == FT_META_INT ? m->v.i : (int64_t)m->v.u);
    }
}

static ft_status put_file(json_t *o, const char *path, const ft_args *a)
{
    ft_container *c = NULL;
    FT_RETURN(ft_container_open(&c, path));
    put_container(o, c, a);
    json_t *list = ft_result_list(o, "metadata");
    for (size_t i = 0; i < ft_container_meta_count(c); i++)
        put_meta(list, ft_container_meta_at(c, i));
    ft_container_close(c);
    return FT_OK;
}

/* ---- tokenizer ---- */

static void put_token(json_t *o, const char *key, const ft_tokenizer *t, int32_t id)
{
    char text[128] = "none";
    if (id >= 0) {
        ft_str piece = ft_tokenizer_piece(t, id);
        snprintf(text, sizeof text, "%d %.*s", (int)id, (int)FT_MIN(piece.n, (size_t)96), piece.p);
    }
    ft_result_text(o, key, text);
}

/* A model without a tokenizer, or with one that fettle does not read, is still worth showing. */
static void put_tokenizer(json_t *o, const char *path)
{
    ft_tokenizer *t = NULL;
    const ft_chat_template *chat = NULL;
    json_t *s = ft_result_object(o, "tokenizer");
    if (ft_tokenizer_open(&t, path) != FT_OK) {
        ft_result_text(s, "problem", ft_error());
        return;
    }
    ft_result_text(s, "type", ft_tokenizer_kind(t));
    ft_result_int(s, "tokens", ft_tokenizer_size(t));
    put_token(s, "bos", t, ft_tokenizer_bos(t));
    put_token(s, "eos", t, ft_tokenizer_eos(t));
    ft_result_bool(s, "add_bos", ft_tokenizer_add_bos(t));
    if (ft_chat_template_pick(&chat, "auto", t) == FT_OK)
        ft_result_text(s, "chat_template", chat ? ft_chat_template_name(chat) : "none");
    ft_tokenizer_free(t);
}

/* ---- model ---- */

static bool is_model(const char *path)
{
    return ft_dir_holds(path, "config.json");
}

static void put_config(json_t *o, const ft_config *c, const char *arch)
{
    static const char *const rope[] = {"plain", "linear", "llama3", "divisors", "longrope"};
    ft_result_text(o, "architecture", arch);
    ft_result_int(o, "num_hidden_layers", c->num_hidden_layers);
    ft_result_int(o, "hidden_size", c->hidden_size);
    ft_result_int(o, "intermediate_size", c->intermediate_size);
    ft_result_int(o, "num_attention_heads", c->num_attention_heads);
    ft_result_int(o, "num_key_value_heads", c->num_key_value_heads);
    ft_result_int(o, "head_dim", c->head_dim);
    ft_result_int(o, "vocab_size", c->vocab_size);
    ft_result_int(o, "max_position_embeddings", c->max_position_embeddings);
    ft_result_real(o, "rope_theta", c->rope_theta);
    ft_result_text(o, "rope_scaling", (size_t)c->rope_kind < FT_COUNT(rope) ? rope[c->rope_kind] : NULL);
    ft_result_bool(o, "tie_word_embeddings", c->tie_word_embeddings);
}

/* What one token of context costs in the cache: keys and values of all layers in f32. */
static int64_t cache_bytes(const ft_config *c)
{
    return 2 * c->num_hidden_layers * c->num_key_value_heads * c->head_dim * (int64_t)sizeof(float);
}

static ft_status put_model(json_t *o, const char *path, const ft_args *a)
{
    ft_model *m = NULL;
    tally all[64] = {{0}};
    int64_t bytes = 0;
    FT_RETURN(ft_model_open(&m, path, NULL));
    const ft_config *c = ft_model_config(m);
    put_config(o, c, ft_model_gguf_arch(m));
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *p = ft_model_at(m, i);
        ft_tensor stored = p->t;
        stored.dtype = ft_model_stored_dtype(p);
        count_in(all, stored.dtype, &stored);
        bytes += (int64_t)ft_tensor_bytes(&p->t);
    }
    ft_result_int(o, "parameters", parameters_of(all));
    ft_result_int(o, "memory_weights_bytes", bytes);
    ft_result_int(o, "memory_cache_per_token_bytes", cache_bytes(c));
    put_tally(o, all);
    put_tokenizer(o, ft_model_tokenizer_path(m));
    if (ft_args_given(a, "tensors")) {
        json_t *list = ft_result_list(o, "tensors");
        for (size_t i = 0; i < ft_model_count(m); i++)
            put_tensor(list, ft_model_at(m, i)->name, ft_model_stored_dtype(ft_model_at(m, i)), &ft_model_at(m, i)->t);
    }
    ft_model_free(m);
    return FT_OK;
}

const ft_inspect_kind ft_inspect_model = {.name = "model", .is = is_model, .put = put_model};

/* ---- GGUF, safetensors ---- */

static bool is_gguf(const char *path)
{
    return ft_begins_with(path, "GGUF", 4);
}

static ft_status put_gguf(json_t *o, const char *path, const ft_args *a)
{
    FT_RETURN(put_file(o, path, a));
    put_tokenizer(o, path);
    return FT_OK;
}

const ft_inspect_kind ft_inspect_gguf = {.name = "gguf", .is = is_gguf, .put = put_gguf};

static bool is_safetensors(const char *path)
{
    return !ft_is_dir(path) && ft_ends(path, ".safetensors");
}

const ft_inspect_kind ft_inspect_safetensors = {.name = "safetensors", .is = is_safetensors, .put = put_file};

/* ---- adapter ---- */

static bool is_adapter(const char *path)
{
    return ft_dir_holds(path, "adapter_config.json");
}

/* A name or a list of names, as PEFT writes both; nothing when null. */
static void put_names(json_t *o, const char *key, const json_t *value)
{
    if (json_is_string(value) || json_is_array(value) || json_is_integer(value))
        json_object_set(o, key, (json_t *)value);
}

static ft_status put_adapter_config(json_t *o, const char *path)
{
    json_t *config = NULL;
    const char *base = NULL, *kind = NULL;
    double alpha = 0, dropout = 0;
    int64_t r = 0;
    bool rslora = false;
    ft_status st = FT_OK;
    FT_TRY(ft_json_file(&config, path, MAX_CONFIG));
    FT_TRY(ft_json_str(config, "peft_type", path, NULL, &kind));
    FT_TRY(ft_json_str(config, "base_model_name_or_path", path, NULL, &base));
    FT_TRY(ft_json_i64(config, "r", path, 0, &r));
    FT_TRY(ft_json_f64(config, "lora_alpha", path, 0, &alpha));
    FT_TRY(ft_json_f64(config, "lora_dropout", path, 0, &dropout));
    FT_TRY(ft_json_bool(config, "use_rslora", path, false, &rslora));
    ft_result_text(o, "peft_type", kind);
    ft_result_text(o, "base_model", base);
    ft_result_int(o, "r", r);
    ft_result_real(o, "lora_alpha", alpha);
    ft_result_real(o, "lora_dropout", dropout);
    ft_result_bool(o, "use_rslora", rslora);
    put_names(o, "layers_to_transform", json_object_get(config, "layers_to_transform"));
    put_names(o, "target_modules", json_object_get(config, "target_modules"));
    put_names(o, "modules_to_save", json_object_get(config, "modules_to_save"));
done:
    json_decref(config);
    return st;
}

static ft_status put_adapter(json_t *o, const char *path, const ft_args *a)
{
    ft_container *c = NULL;
    char *config = ft_path_join(path, "adapter_config.json"),
         *weights = ft_path_join(path, "adapter_model.safetensors");
    ft_status st = config && weights ? FT_OK : FT_ENOMEM;
    if (st == FT_OK)
        st = put_adapter_config(o, config);
    if (st == FT_OK)
        st = ft_container_open(&c, weights);
    if (st == FT_OK)
        put_container(o, c, a);
    ft_container_close(c);
    ft_free(config);
    ft_free(weights);
    return st;
}

const ft_inspect_kind ft_inspect_adapter = {.name = "adapter", .is = is_adapter, .put = put_adapter};
