/* The hf exporter: the merged model as a Hugging Face directory.
 *
 * Layout: model.safetensors, or above shard_bytes model-00001-of-0000N.safetensors with their index; the tokenizer's
 * files, generation_config.json and what says how the model pools (model/pooling.h) as they came; config.json, the base's
 * with the dtype and the tying of what is written. A checkpoint that stored its tied matrix under lm_head.weight only gets it back under that name.
 */
#include "export/internal.h"

#include "base/os.h"
#include "file/json.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_SHARD_BYTES ((uint64_t)5000000000)

static const struct {
    const ft_dtype *dtype;
    const char *torch;
} torch_names[] = {{&ft_f32, "float32"}, {&ft_f16, "float16"}, {&ft_bf16, "bfloat16"}};

static const char *torch_name(const ft_dtype *dtype)
{
    for (size_t i = 0; i < FT_COUNT(torch_names); i++)
        if (torch_names[i].dtype == dtype)
            return torch_names[i].torch;
    return NULL;
}

/* transformers has two spellings of the key: the old one and, since its version 5, the new one. */
static const char *const dtype_keys[] = {"torch_dtype", "dtype"};

/* As the base was stored: the type of its head in the file (of an encoder: its embedding), f16 where that is quantized. */
static const ft_dtype *base_dtype(ft_model *m)
{
    const ft_param *tied = ft_export__tied(m), *head = tied ? tied : ft_model_find(m, "lm_head.weight");
    const ft_dtype *stored = ft_model_stored_dtype(head ? head : ft_model_at(m, 0));
    return torch_name(stored) ? stored : &ft_f16;
}

typedef struct hf {
    const ft_dtype *dtype;
    const ft_param *tied; /* the embedding that is the head too, where the base stored it as the head; else NULL */
} hf;

static ft_status describe(void *ctx, ft_export__plan *plan, ft_export__tensor *t)
{
    const hf *h = ctx;
    t->dtype = h->dtype;
    if (t->weight == h->tied)
        t->name = "lm_head.weight";
    return FT_OK;
}

/* The tied embedding when the base's own file has only lm_head.weight. */
static const ft_param *stored_as_head(ft_model *m)
{
    const ft_param *tied = ft_export__tied(m);
    ft_container *c = NULL;
    if (!tied || ft_container_open(&c, ft_model_path(m)) != FT_OK)
        return NULL;
    if (ft_container_find(c, tied->name) || !ft_container_find(c, "lm_head.weight"))
        tied = NULL;
    ft_container_close(c);
    return tied;
}

/* ---- weights ---- */

/* end[s]: tensors before it are in shard s or an earlier one. A tensor larger than the limit is a shard of its own. */
static size_t cut_shards(const ft_export__plan *p, uint64_t limit, size_t *end)
{
    size_t shards = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < p->n; i++) {
        uint64_t n = ft_export__tensor_bytes(&p->p[i]);
        if (bytes && bytes + n > limit) {
            end[shards++] = i;
            bytes = 0;
        }
        bytes += n;
    }
    end[shards++] = p->n;
    return shards;
}

static void shard_name(char buf[64], size_t shard, size_t shards)
{
    if (shards == 1)
        snprintf(buf, 64, "model.safetensors");
    else
        snprintf(buf, 64, "model-%05zu-of-%05zu.safetensors", shard + 1, shards);
}

static ft_status write_shard(const ft_export__plan *p, size_t first, size_t end, const char *path, const ft_export_request *r)
{
    ft_writer *w = NULL;
    ft_status st = FT_OK;
    FT_TRY(ft_writer_open(&w, "safetensors", path));
    FT_TRY(ft_writer_str(w, "format", ft_str_of("pt")));
    FT_TRY(ft_export__plan_write(p, first, end, w, r, "hf"));
    st = ft_writer_commit(w);
    w = NULL;
done:
    ft_writer_abort(w);
    return st;
}

static ft_status write_index(const ft_export__folder *f, const ft_export__plan *p, const size_t *end, size_t shards)
{
    json_t *map = json_object(), *meta = json_object(), *index = NULL;
    char *path = ft_export__folder_file(f, "model.safetensors.index.json"), name[64];
    uint64_t total = 0;
    ft_status st = FT_ENOMEM;
    for (size_t i = 0, s = 0; i < p->n; i++) {
        s += i == end[s];
        shard_name(name, s, shards);
        total += ft_export__tensor_bytes(&p->p[i]);
        if (json_object_set_new(map, p->p[i].name, json_string(name)) != 0)
            goto done;
    }
    json_object_set_new(meta, "total_size", json_integer((json_int_t)total));
    if (path && (index = json_pack("{s:O, s:O}", "metadata", meta, "weight_map", map)))
        st = ft_json_write(index, path);
done:
    json_decref(map);
    json_decref(meta);
    json_decref(index);
    ft_free(path);
    return st == FT_ENOMEM ? ft_fail(FT_ENOMEM, "no memory for the index of %zu shards", shards) : st;
}

static ft_status write_weights(const ft_export__folder *f, const ft_export__plan *p, const ft_export_request *r)
{
    ft_status st = FT_OK;
    char name[64], *path = NULL;
    size_t *end = ft_alloc(p->n + 1, sizeof *end);
    if (!end)
        return FT_ENOMEM;
    size_t shards = cut_shards(p, r->shard_bytes ? r->shard_bytes : DEFAULT_SHARD_BYTES, end);
    for (size_t s = 0; s < shards; s++) {
        shard_name(name, s, shards);
        ft_free(path);
        if (!(path = ft_export__folder_file(f, name))) {
            st = FT_ENOMEM;
            goto done;
        }
        FT_TRY(write_shard(p, s ? end[s - 1] : 0, end[s], path, r));
    }
    if (shards > 1)
        st = write_index(f, p, end, shards);
done:
    ft_free(path);
    ft_free(end);
    return st;
}

/* ---- what stands beside them ---- */

static ft_status write_config(const ft_export__folder *f, const ft_export_request *r, const ft_dtype *dtype)
{
    char *path = ft_export__folder_file(f, "config.json");
    json_t *config = json_deep_copy(ft_model_config(r->model)->json);
    ft_status st = FT_ENOMEM;
    if (!path || !config)
        goto done;
    bool new_key = json_object_get(config, dtype_keys[1]) && !json_object_get(config, dtype_keys[0]);
    json_object_set_new(config, dtype_keys[new_key], json_string(torch_name(dtype)));
    json_object_set_new(config, "tie_word_embeddings", json_boolean(ft_model_config(r->model)->tie_word_embeddings));
    json_object_del(config, "quantization_config"); /* what is written is no longer quantized */
    st = ft_json_write(config, path);
done:
    json_decref(config);
    ft_free(path);
    return st;
}

/* Carries a file of the base directory along as it is, where there is one. */
static ft_status carry(const ft_export__folder *f, const ft_export_request *r, const char *name)
{
    if (!ft_is_dir(ft_model_path(r->model)))
        return FT_OK;
    char *from = ft_path_join(ft_model_path(r->model), name), *to = ft_export__folder_file(f, name);
    ft_status st = from && to ? FT_OK : FT_ENOMEM;
    if (st == FT_OK && ft_exists(from))
        st = ft_copy_file(from, to);
    ft_free(from);
    ft_free(to);
    return st;
}

/* The template goes into a file of its own, so that tokenizer_config.json stays the base's byte for byte. */
static ft_status write_chat_template(const ft_export__folder *f, const ft_export_request *r)
{
    char *path = ft_export__folder_file(f, "chat_template.jinja");
    const char *text = ft_chat_template_jinja(r->chat);
    ft_status st = path ? ft_write_file(path, text, strlen(text)) : FT_ENOMEM;
    ft_free(path);
    return st;
}

static ft_status write_tokenizer(const ft_export__folder *f, const ft_export_request *r)
{
    if (!r->tokenizer)
        return FT_OK;
    FT_RETURN(ft_tokenizer_write_dir(r->tokenizer, f->temporary));
    if (r->chat && !ft_tokenizer_chat_template(r->tokenizer))
        return write_chat_template(f, r);
    return FT_OK;
}

static ft_status write_hf(const ft_export_request *r)
{
    hf h = {.dtype = r->dtype ? r->dtype : base_dtype(r->model)};
    ft_export__folder f = {0};
    ft_export__plan plan = {0};
    ft_status st = FT_OK;
    FT_TRY(ft_export__check(r, &ft_exporter_hf));
    h.tied = stored_as_head(r->model);
    FT_TRY(ft_export__plan_make(&plan, r->model, 0, describe, &h));
    FT_TRY(ft_export__folder_open(&f, r->path));
    FT_TRY(write_weights(&f, &plan, r));
    FT_TRY(write_tokenizer(&f, r));
    FT_TRY(carry(&f, r, "generation_config.json"));
    FT_TRY(ft_pooling_write_dir(r->model, f.temporary));
    FT_TRY(write_config(&f, r, h.dtype));
    FT_TRY(ft_export__folder_mark(&f, ft_exporter_hf.name, r));
    st = ft_export__folder_commit(&f);
done:
    ft_export__folder_abort(&f);
    ft_export__plan_free(&plan);
    return ft_context(st, "export to a Hugging Face directory");
}

const ft_exporter ft_exporter_hf = {
    .name = "hf",
    .help = "merged safetensors in a Hugging Face directory",
    .needs_adapter = false,
    .dtypes = "f32|f16|bf16",
    .write = write_hf,
};
