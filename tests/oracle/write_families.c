/* Writes a random model of every architecture, of real head counts and odd sizes, and what fettle makes of it, for other
 * implementations to check. usage: write_families DIR
 *
 *   families.json          a list of {name, model_type, vocab, hidden, ids, adapted, largest, base, pooled}; adapted: a LoRA
 *                          adapter was on it, merged in the files; base: the adapter was also written alone, for that GGUF;
 *                          pooled: the ways of pooling below
 *   NAME.gguf, NAME/       F32, as the exporters write them
 *   NAME-adapter.gguf      where there is a base
 *   NAME-q8_0...           of some families: with an adapter that is written alone, on a base in q8_0
 *   NAME.outputs           f32 [T, V] logits, of an encoder [T, C]
 *   NAME-mean.gguf ...     of some, for each way of pooling, and NAME-mean.outputs: f32 [C], the vector
 *   NAME.grads.safetensors without adapter: the gradients of all weights, of the mean cross entropy of the ids shifted by
 *                          one (an encoder's: through its word embeddings as the head)
 */
#include "base/mem.h"
#include "base/os.h"
#include "base/rng.h"
#include "base/str.h"
#include "export/export.h"
#include "file/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TOKENS = 64, VOCAB = 331 };

#define COMMON                                                                                                         \
    "\"vocab_size\": 331, \"rms_norm_eps\": 1e-5, \"hidden_act\": \"silu\", \"bos_token_id\": 1, \"eos_token_id\": 2, "
static const struct {
    const char *name, *config;
} families[] = {
    {"llama", COMMON "\"model_type\": \"llama\", \"hidden_size\": 180, \"num_attention_heads\": 9, \"num_key_value_heads\": 3, "
                     "\"intermediate_size\": 150, \"num_hidden_layers\": 2, \"rope_theta\": 500000.0, \"tie_word_embeddings\": "
                     "true, \"max_position_embeddings\": 4096, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, "
                     "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 32}"},
    {"mistral", COMMON "\"model_type\": \"mistral\", \"hidden_size\": 160, \"num_attention_heads\": 8, \"num_key_value_heads\": "
                       "2, \"head_dim\": 24, \"intermediate_size\": 150, \"num_hidden_layers\": 2, \"sliding_window\": 100, "
                       "\"max_position_embeddings\": 4096"},
    {"qwen2", COMMON "\"model_type\": \"qwen2\", \"hidden_size\": 224, \"num_attention_heads\": 14, \"num_key_value_heads\": 2, "
                     "\"intermediate_size\": 150, \"num_hidden_layers\": 2, \"rope_theta\": 1000000.0, "
                     "\"tie_word_embeddings\": true, \"max_position_embeddings\": 4096, \"sliding_window\": 16, "
                     "\"use_sliding_window\": false"},
    {"qwen3", COMMON "\"model_type\": \"qwen3\", \"hidden_size\": 136, \"num_attention_heads\": 16, \"num_key_value_heads\": 8, "
                     "\"head_dim\": 24, \"intermediate_size\": 150, \"num_hidden_layers\": 2, \"max_position_embeddings\": 4096"},
    {"phi3-short", COMMON "\"model_type\": \"phi3\", \"hidden_size\": 192, \"num_attention_heads\": 24, "
                          "\"num_key_value_heads\": 8, \"intermediate_size\": 150, \"num_hidden_layers\": 2, "
                          "\"max_position_embeddings\": 4096, \"original_max_position_embeddings\": 512, "
                          "\"partial_rotary_factor\": 0.75, \"sliding_window\": 2047, \"rope_scaling\": {\"type\": \"longrope\", "
                          "\"short_factor\": [1.0, 1.25, 1.5], \"long_factor\": [1.0, 4.0, 9.0]}"},
    {"phi3-long", COMMON "\"model_type\": \"phi3\", \"hidden_size\": 192, \"num_attention_heads\": 24, "
                         "\"num_key_value_heads\": 24, \"intermediate_size\": 150, \"num_hidden_layers\": 2, "
                         "\"max_position_embeddings\": 4096, \"original_max_position_embeddings\": 32, "
                         "\"rope_scaling\": {\"type\": \"longrope\", "
                         "\"short_factor\": [1.0, 1.25, 1.5, 2.0], \"long_factor\": [1.0, 4.0, 9.0, 14.0]}"},
    {"gemma2", COMMON "\"model_type\": \"gemma2\", \"hidden_size\": 144, \"num_attention_heads\": 8, \"num_key_value_heads\": 4, "
                      "\"head_dim\": 24, \"intermediate_size\": 150, \"num_hidden_layers\": 3, \"query_pre_attn_scalar\": 20, "
                      "\"sliding_window\": 16, \"attn_logit_softcapping\": 8.0, \"final_logit_softcapping\": 30.0, "
                      "\"hidden_activation\": \"gelu_pytorch_tanh\", \"max_position_embeddings\": 4096"},
    {"gemma3", COMMON "\"model_type\": \"gemma3_text\", \"hidden_size\": 104, \"num_attention_heads\": 4, "
                      "\"num_key_value_heads\": 1, \"head_dim\": 24, \"intermediate_size\": 150, \"num_hidden_layers\": 7, "
                      "\"query_pre_attn_scalar\": 20, \"sliding_window\": 16, \"rope_theta\": 1000000.0, "
                      "\"rope_local_base_freq\": 10000.0, \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8.0}, "
                      "\"hidden_activation\": \"gelu_pytorch_tanh\", \"max_position_embeddings\": 4096"},
    {"smollm3", COMMON "\"model_type\": \"smollm3\", \"hidden_size\": 192, \"num_attention_heads\": 16, "
                       "\"num_key_value_heads\": 4, \"intermediate_size\": 150, \"num_hidden_layers\": 5, "
                       "\"no_rope_layers\": [1, 1, 1, 0, 1], \"rope_theta\": 5000000.0, \"max_position_embeddings\": 4096"},
    {"granite", COMMON "\"model_type\": \"granite\", \"hidden_size\": 192, \"num_attention_heads\": 24, "
                       "\"num_key_value_heads\": 8, \"intermediate_size\": 150, \"num_hidden_layers\": 3, "
                       "\"embedding_multiplier\": 12.0, \"attention_multiplier\": 0.25, \"residual_multiplier\": 0.22, "
                       "\"logits_scaling\": 8.0, \"tie_word_embeddings\": true, \"max_position_embeddings\": 4096"},
    {"olmo2", COMMON "\"model_type\": \"olmo2\", \"hidden_size\": 192, \"num_attention_heads\": 16, \"num_key_value_heads\": 16, "
                     "\"intermediate_size\": 150, \"num_hidden_layers\": 3, \"rope_theta\": 500000.0, "
                     "\"max_position_embeddings\": 4096"},
    {"bert", "\"vocab_size\": 331, \"layer_norm_eps\": 1e-12, \"hidden_act\": \"gelu\", \"model_type\": \"bert\", \"hidden_size\": "
             "144, \"num_attention_heads\": 12, \"intermediate_size\": 150, \"num_hidden_layers\": 3, "
             "\"max_position_embeddings\": 80, \"type_vocab_size\": 2"}};

static int32_t token(int64_t i)
{
    return (int32_t)(3 + (i * 7919 + i * i * 31) % 328);
}

/* Matrices of deviation 1 / sqrt(in), so that no layer fades; norms and biases that show when they are left out. */
static void make_weights(ft_model *m)
{
    for (size_t i = 0; i < ft_model_count(m); i++) {
        ft_param *p = ft_model_at(m, i);
        float *x = p->t.data;
        int64_t n = ft_tensor_count(&p->t);
        bool embedding = strstr(p->name, "embed") && p->t.ndim == 2;
        if (p->t.ndim == 2)
            ft_fill_normal(x, (size_t)n, embedding ? 0.3f : (float)(1 / sqrt((double)p->t.shape[1])), 5, FT_STREAM_TEST, i);
        for (int64_t k = 0; p->t.ndim == 1 && k < n; k++)
            x[k] += 0.3f * ft_uniform(6, FT_STREAM_TEST, i, (uint64_t)k);
    }
}

static ft_status adapt(ft_model *m, bool rslora)
{
    static const char *const all[] = {"all-linear"};
    ft_adapter_spec spec = {.kind = "lora", .r = 5, .alpha = rslora ? 4 : 9, .rslora = rslora, .target_modules = all,
                            .n_targets = 1, .seed = 3};
    FT_RETURN(ft_adapter_attach(m, &spec));
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        ft_param *p = ft_model_trainable(m, i);
        if (ft_ends(p->name, "lora_B.weight"))
            ft_fill_normal(p->t.data, (size_t)ft_tensor_count(&p->t), 0.1f, 8, FT_STREAM_TEST, i);
    }
    return FT_OK;
}

static const int32_t *tokens(void)
{
    static int32_t ids[TOKENS];
    for (int64_t i = 0; i < TOKENS; i++)
        ids[i] = token(i);
    return ids;
}

static const int64_t whole[] = {0, TOKENS};
static const ft_segments one_text = {.n = 1, .start = whole};

static ft_var *forward(ft_model *m, ft_tape *t)
{
    return ft_model_forward(m, t, tokens(), TOKENS, &one_text, NULL, false);
}

static ft_status write_outputs(ft_model *m, ft_tape *t, const char *path, double *largest)
{
    ft_tape_begin(t, false, 0, 0);
    ft_var *x = forward(m, t);
    if (!ft_model_is_encoder(m))
        x = ft_op_logits(t, x, ft_model_head(m), ft_model_softcap(m));
    FT_RETURN(ft_tape_status(t));
    *largest = 0;
    for (int64_t i = 0; i < x->rows * x->cols; i++)
        *largest = fmax(*largest, fabs((double)x->v[i]));
    return ft_write_file(path, x->v, (size_t)(x->rows * x->cols) * sizeof *x->v);
}

static ft_status write_gradients(ft_model *m, ft_tape *t, const char *path)
{
    ft_writer *w;
    ft_loss loss = {0};
    int32_t targets[TOKENS];
    ft_param *head = ft_model_head(m) ? ft_model_head(m) : ft_model_at(m, 0);
    for (int64_t i = 0; i < TOKENS; i++)
        targets[i] = i + 1 < TOKENS ? token(i + 1) : -1;
    ft_tape_begin(t, true, 0, 0);
    FT_RETURN(ft_op_head_loss(t, forward(m, t), head, targets, ft_model_softcap(m), 1.0 / (TOKENS - 1), &loss));
    FT_RETURN(ft_tape_backward(t));
    FT_RETURN(ft_writer_open(&w, "safetensors", path));
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *p = ft_model_at(m, i);
        FT_RETURN(ft_writer_tensor(w, p->name, &ft_f32, p->t.ndim, p->t.shape));
    }
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *p = ft_model_at(m, i);
        FT_RETURN(ft_writer_data(w, p->grad, (size_t)ft_tensor_count(&p->t) * sizeof *p->grad));
    }
    return ft_writer_commit(w);
}

/* A vocabulary as large as the models' in DIR: what llama.cpp's wrapper loads has to have one. */
static ft_status write_tokenizer(const char *dir, ft_tokenizer **tok)
{
    char path[1024], piece[32];
    json_t *vocab = json_object();
    for (int i = 0; i < VOCAB; i++) {
        snprintf(piece, sizeof piece, i == 1 ? "<s>" : i == 2 ? "</s>" : "t%d", i);
        json_object_set_new(vocab, piece, json_integer(i));
    }
    json_t *o = json_pack(
        "{s:s, s:[{s:i, s:s, s:b, s:b, s:b, s:b, s:b}, {s:i, s:s, s:b, s:b, s:b, s:b, s:b}], s:n, s:{s:s, s:b, s:b}, s:n, s:{s:s}, "
        "s:{s:s, s:o, s:[]}}",
        "version", "1.0", "added_tokens", "id", 1, "content", "<s>", "special", 1, "lstrip", 0, "rstrip", 0, "single_word",
        0, "normalized", 0, "id", 2, "content", "</s>", "special", 1, "lstrip", 0, "rstrip", 0, "single_word", 0,
        "normalized", 0, "normalizer", "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0, "use_regex", 1,
        "post_processor", "decoder", "type", "ByteLevel", "model", "type", "BPE", "vocab", vocab, "merges");
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    ft_status st = o ? ft_json_write(o, path) : FT_ENOMEM;
    json_decref(o);
    FT_RETURN(st);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", dir);
    static const char config[] = "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"add_bos_token\": false}";
    FT_RETURN(ft_write_file(path, config, sizeof config - 1));
    return ft_tokenizer_open(tok, dir);
}

static ft_status export_as(ft_model *m, const ft_tokenizer *tok, const char *format, const ft_dtype *dtype, const char *path)
{
    ft_export_request r = {.model = m, .tokenizer = tok, .path = path, .dtype = dtype, .name = "random"};
    return ft_exporter_named(format)->write(&r);
}

static void put_family(json_t *list, const ft_model *m, const char *name, double largest, bool adapted, const char *base,
                       json_t *pooled)
{
    json_t *ids = json_array();
    const ft_config *c = ft_model_config(m);
    for (int64_t i = 0; i < TOKENS; i++)
        json_array_append_new(ids, json_integer(token(i)));
    json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:b, s:b, s:f, s:o, s:o, s:s*}", "name", name, "model_type",
                                          json_string_value(json_object_get(c->json, "model_type")), "vocab",
                                          (json_int_t)c->vocab_size, "hidden", (json_int_t)c->hidden_size, "adapted",
                                          (int)adapted, "encoder", (int)ft_model_is_encoder(m), "largest", largest, "ids", ids, "pooled",
                                          pooled ? pooled : json_array(), "base", base));
}

/* The adapter alone, and what the model gives with it. */
static ft_status write_adapter(const char *dir, ft_model *m, ft_tape *t, const char *name, double *largest)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s-adapter.gguf", dir, name);
    FT_RETURN(export_as(m, NULL, "gguf-lora", &ft_f32, path));
    snprintf(path, sizeof path, "%s/%s.outputs", dir, name);
    return write_outputs(m, t, path, largest);
}

/* Another adapter on m, written as a GGUF in q8_0 and read back. */
static ft_status write_quantized(const char *dir, const ft_tokenizer *tok, ft_model *m, ft_tape *t, const char *family,
                                 json_t *list)
{
    char path[1024], name[64];
    double largest = 0;
    ft_model *base = NULL;
    snprintf(name, sizeof name, "%s-q8_0", family);
    snprintf(path, sizeof path, "%s/%s.gguf", dir, name);
    FT_RETURN(export_as(m, tok, "gguf", &ft_q8_0, path));
    FT_RETURN(ft_model_open(&base, path, NULL));
    ft_status st = adapt(base, false);
    if (st == FT_OK)
        st = write_adapter(dir, base, t, name, &largest);
    put_family(list, m, name, largest, true, name, NULL);
    ft_model_free(base);
    return st;
}

/* Named in `pooled`. */
static ft_status write_pooled(ft_model *m, const ft_tokenizer *tok, ft_tape *t, const char *dir, const char *name, json_t *pooled)
{
    char path[1024];
    bool encoder = ft_model_is_encoder(m);
    for (int kind = FT_POOL_MEAN; kind <= FT_POOL_LAST; kind++) {
        if (kind == (encoder ? FT_POOL_LAST : FT_POOL_CLS))
            continue;
        FT_RETURN(ft_model_set_pooling(m, &(ft_pooling){.kind = (ft_pool)kind}));
        ft_tape_begin(t, false, 0, 0);
        ft_var *x = ft_model_vectors(m, t, tokens(), TOKENS, &one_text, 0);
        FT_RETURN(ft_tape_status(t));
        snprintf(path, sizeof path, "%s/%s-%s.outputs", dir, name, ft_pool_name((ft_pool)kind));
        FT_RETURN(ft_write_file(path, x->v, (size_t)x->cols * sizeof *x->v));
        snprintf(path, sizeof path, "%s/%s-%s.gguf", dir, name, ft_pool_name((ft_pool)kind));
        FT_RETURN(export_as(m, tok, "gguf", &ft_f32, path));
        json_array_append_new(pooled, json_string(ft_pool_name((ft_pool)kind)));
    }
    return ft_model_set_pooling(m, &(ft_pooling){.kind = FT_POOL_NONE});
}

static ft_status write_family(const char *dir, const ft_tokenizer *tok, size_t f, bool adapted, json_t *list)
{
    char path[1024], name[64];
    double largest;
    ft_model *m;
    ft_tape *t;
    snprintf(name, sizeof name, "%s%s", families[f].name, adapted ? "-lora" : "");
    snprintf(path, sizeof path, "%s/config.json", dir);
    char *config = ft_strf("{%s}", families[f].config);
    FT_RETURN(ft_write_file(path, config, strlen(config)));
    FT_RETURN(ft_model_init(&m, path, 1));
    ft_free(config);
    make_weights(m);
    FT_RETURN(ft_tape_new(&t));
    bool alone = adapted && !ft_model_is_encoder(m), quantized = alone && ft_model_config(m)->hidden_size == 192;
    if (quantized)
        FT_RETURN(write_quantized(dir, tok, m, t, families[f].name, list));
    if (adapted)
        FT_RETURN(adapt(m, f % 2));
    snprintf(path, sizeof path, "%s/%s.outputs", dir, name);
    if (alone)
        FT_RETURN(write_adapter(dir, m, t, name, &largest));
    else
        FT_RETURN(write_outputs(m, t, path, &largest));
    snprintf(path, sizeof path, "%s/%s.grads.safetensors", dir, name);
    if (!adapted)
        FT_RETURN(write_gradients(m, t, path));
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FT_RETURN(export_as(m, NULL, "hf", &ft_f32, path));
    snprintf(path, sizeof path, "%s/%s.gguf", dir, name);
    FT_RETURN(export_as(m, tok, "gguf", &ft_f32, path));
    json_t *pooled = json_array();
    if (strcmp(name, "llama") == 0 || strcmp(name, "bert") == 0)
        FT_RETURN(write_pooled(m, tok, t, dir, name, pooled));
    put_family(list, m, name, largest, adapted, alone ? families[f].name : NULL, pooled);
    ft_tape_free(t);
    ft_model_free(m);
    return FT_OK;
}

int main(int argc, char **argv)
{
    char path[1024];
    ft_status st = FT_OK;
    ft_tokenizer *tok = NULL;
    json_t *list = json_array();
    if (argc != 2)
        return 2;
    st = write_tokenizer(argv[1], &tok);
    for (size_t f = 0; st == FT_OK && f < FT_COUNT(families); f++)
        for (int adapted = 0; st == FT_OK && adapted < 2; adapted++)
            st = ft_context(write_family(argv[1], tok, f, adapted, list), "%s", families[f].name);
    snprintf(path, sizeof path, "%s/families.json", argv[1]);
    if (st == FT_OK)
        st = ft_json_write(list, path);
    json_decref(list);
    ft_tokenizer_free(tok);
    if (st != FT_OK)
        fprintf(stderr, "%s\n", ft_error());
    return st != FT_OK;
}
