#include "model/fixture.h"

#include <unistd.h>

const char *const golden_cases[] = {"llama3-scaled", "mistral-window",   "qwen2",    "qwen3",
                                    "phi3-longrope", "gemma2",           "gemma3",   "smollm3-nope",
                                    "stories260K",   "tinystories-656k", "calib-5m", NULL};

const char *const small_families[] = {
    "{\"model_type\": \"mistral\", \"sliding_window\": 5}",
    "{\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"max_window_layers\": 1, \"sliding_window\": 6}",
    "{\"model_type\": \"qwen3\", \"head_dim\": 12}",
    "{\"model_type\": \"phi3\", \"sliding_window\": 20, \"original_max_position_embeddings\": 12, "
    "\"partial_rotary_factor\": 0.75, \"rope_scaling\": {\"type\": \"longrope\", "
    "\"short_factor\": [1, 1.5, 2], \"long_factor\": [1, 5, 11]}}",
    "{\"model_type\": \"gemma2\", \"sliding_window\": 5, \"query_pre_attn_scalar\": 7, "
    "\"attn_logit_softcapping\": 4, \"final_logit_softcapping\": 9}",
    "{\"model_type\": \"gemma3_text\", \"sliding_window\": 5, \"sliding_window_pattern\": 2, "
    "\"query_pre_attn_scalar\": 7, \"rope_theta\": 1e6, \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": "
    "8}}",
    "{\"model_type\": \"smollm3\", \"no_rope_layers\": [1, 0]}",
    "{\"model_type\": \"granite\", \"embedding_multiplier\": 3, \"attention_multiplier\": 0.25, "
    "\"residual_multiplier\": 0.5, \"logits_scaling\": 2}",
    "{\"model_type\": \"olmo2\"}",
    NULL};

void write_text(const char *dir, const char *name, const char *text)
{
    ck_assert_ok(ft_write_file(ft_test_path(dir, name), text, strlen(text)));
}

const char *config_dir(const char *config)
{
    const char *dir = ft_test_dir();
    write_text(dir, "config.json", config);
    return dir;
}

const char *small_config(const char *more)
{
    static char text[2048];
    json_t *o = json_pack("{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:i, s:i}", "model_type", "llama",
                          "architectures", "LlamaForCausalLM", "hidden_size", 32, "intermediate_size", 48,
                          "num_hidden_layers", 2, "num_attention_heads", 4, "num_key_value_heads", 2, "vocab_size", 40,
                          "max_position_embeddings", 64, "rms_norm_eps", 1e-5, "bos_token_id", 1, "eos_token_id", 2);
    json_t *over = more ? json_loads(more, 0, NULL) : NULL;
    ck_assert(!more || over);
    if (over)
        json_object_update(o, over);
    size_t n = json_dumpb(o, text, sizeof text - 1, 0);
    ck_assert_uint_lt(n, sizeof text - 1);
    text[n] = 0;
    json_decref(over);
    json_decref(o);
    return text;
}

ft_model *random_model(const char *more)
{
    ft_model *m;
    ck_assert_ok(ft_model_init(&m, ft_test_path(config_dir(small_config(more)), "config.json"), 11));
    /* norms that are not 1 and biases that are not 0 show when they are left out */
    for (size_t i = 0; i < ft_model_count(m); i++) {
        ft_param *p = ft_model_at(m, i);
        float *x = p->t.data;
        for (int64_t k = 0; p->t.ndim == 1 && k < p->t.shape[0]; k++)
            x[k] += 0.2f * ft_uniform(5, FT_STREAM_TEST, i, (uint64_t)k);
        for (int64_t k = 0; p->t.ndim == 2 && k < ft_tensor_count(&p->t); k++)
            x[k] *= 5; /* 0.02 is too tame to tell errors by */
    }
    return m;
}

static void write_f32(ft_writer *w, const float *x, int64_t n)
{
    ck_assert_ok(ft_writer_data(w, x, (size_t)n * sizeof *x));
}

void write_hf(ft_model *m, const char *dir, const char *skip, const char *extra)
{
    ft_writer *w;
    int64_t four = 4;
    static const float values[4] = {1, 2, 3, 4};
    ck_assert_ok(ft_json_write(ft_model_config(m)->json, ft_test_path(dir, "config.json")));
    ck_assert_ok(ft_writer_open(&w, "safetensors", ft_test_path(dir, "model.safetensors")));
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *p = ft_model_at(m, i);
        if (!skip || strcmp(skip, p->name) != 0)
            ck_assert_ok(ft_writer_tensor(w, p->name, p->t.dtype, p->t.ndim, p->t.shape));
    }
    if (extra)
        ck_assert_ok(ft_writer_tensor(w, extra, &ft_f32, 1, &four));
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *p = ft_model_at(m, i);
        if (!skip || strcmp(skip, p->name) != 0)
            ck_assert_ok(ft_writer_data(w, p->t.data, ft_tensor_bytes(&p->t)));
    }
    if (extra)
        write_f32(w, values, four);
    ck_assert_ok(ft_writer_commit(w));
}

static void write_gguf_rows(ft_writer *w, ft_model *m, const ft_param *p, const ft_dtype *dtype)
{
    int64_t rows = p->t.shape[0], cols = p->t.ndim == 2 ? p->t.shape[1] : 1;
    int64_t *perm = ft_alloc((size_t)rows, sizeof *perm);
    ck_assert_ptr_nonnull(perm);
    bool moved = ft_model_gguf_rows(m, p->name, perm, rows);
    float plus, scale;
    ft_model_gguf_values(m, p->name, &plus, &scale);
    size_t bytes = (size_t)(cols / dtype->block_len) * dtype->block_bytes;
    float *x = ft_alloc((size_t)cols, sizeof *x);
    void *out = ft_alloc(1, bytes);
    for (int64_t r = 0; r < rows; r++) {
        int64_t from = moved ? perm[r] : r;
        if (p->t.ndim == 2)
            ft_tensor_decode_rows(&p->t, from, from + 1, x);
        else
            x[0] = ((const float *)p->t.data)[from];
        for (int64_t c = 0; c < cols; c++)
            x[c] = (x[c] + plus) * scale;
        dtype->encode(x, NULL, cols, out);
        ck_assert_ok(ft_writer_data(w, out, bytes));
    }
    ft_free(out);
    ft_free(x);
    ft_free(perm);
}

void write_gguf(ft_model *m, const char *path, const ft_dtype *dtype)
{
    ft_writer *w;
    char name[128];
    const char *extra;
    int64_t n;
    const float *values;
    ck_assert_ok(ft_writer_open(&w, "gguf", path));
    ck_assert_ok(ft_writer_str(w, "general.architecture", ft_str_of(ft_model_gguf_arch(m))));
    ck_assert_ok(ft_model_gguf_meta(m, w));
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *p = ft_model_at(m, i);
        ck_assert(ft_model_gguf_name(m, p->name, name, sizeof name));
        ck_assert_ok(ft_writer_tensor(w, name, p->t.ndim == 2 ? dtype : &ft_f32, p->t.ndim, p->t.shape));
    }
    for (size_t i = 0; i < ft_model_gguf_extra_count(m); i++) {
        ck_assert_ok(ft_model_gguf_extra(m, i, &extra, &n, &values));
        ck_assert_ok(ft_writer_tensor(w, extra, &ft_f32, 1, &n));
    }
    for (size_t i = 0; i < ft_model_count(m); i++)
        write_gguf_rows(w, m, ft_model_at(m, i), ft_model_at(m, i)->t.ndim == 2 ? dtype : &ft_f32);
    for (size_t i = 0; i < ft_model_gguf_extra_count(m); i++) {
        ck_assert_ok(ft_model_gguf_extra(m, i, &extra, &n, &values));
        write_f32(w, values, n);
    }
    ck_assert_ok(ft_writer_commit(w));
}

float *logits_of(ft_model *m, const int32_t *ids, int64_t n)
{
    ft_tape *t;
    int64_t vocab = ft_model_config(m)->vocab_size, start[2] = {0, n};
    float *out = ft_alloc((size_t)(n * vocab), sizeof *out);
    ck_assert_ptr_nonnull(out);
    ck_assert_ok(ft_tape_new(&t));
    ft_tape_begin(t, false, 0, 0);
    ft_var *x = ft_model_forward(m, t, ids, n, &(ft_segments){.n = 1, .start = start}, NULL, 0);
    ft_var *y = ft_op_logits(t, x, ft_model_head(m), ft_model_softcap(m));
    ck_assert_ok(ft_tape_status(t));
    ck_assert_int_eq(y->rows, n);
    ck_assert_int_eq(y->cols, vocab);
    memcpy(out, y->v, (size_t)(n * vocab) * sizeof *out);
    ft_tape_free(t);
    return out;
}

double distance(const float *a, const float *b, int64_t n)
{
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= worst)) /* NaN is the worst */
            worst = d;
        largest = FT_MAX(largest, fabs((double)b[i]));
    }
    return largest > 0 ? worst / largest : worst;
}

/* ---- ../shared/golden ---- */

static void add_row(golden *g, const json_t *row)
{
    const json_t *tokens = json_object_get(row, "tokens"), *flags = json_object_get(row, "supervised");
    size_t n = json_array_size(tokens);
    ck_assert_int_lt(g->rows, GOLDEN_ROWS);
    ck_assert_uint_le((size_t)g->T + n, GOLDEN_TOKENS);
    g->start[g->rows++] = g->T;
    for (size_t i = 0; i + 1 < n; i++, g->T++) {
        bool on = json_integer_value(json_array_get(flags, i + 1)) != 0;
        g->ids[g->T] = (int32_t)json_integer_value(json_array_get(tokens, i));
        g->targets[g->T] = on ? (int32_t)json_integer_value(json_array_get(tokens, i + 1)) : -1;
        g->supervised += on;
    }
    g->start[g->rows] = g->T;
}

bool golden_open(golden *g, const char *name)
{
    char path[256];
    json_t *o;
    *g = (golden){0};
    snprintf(path, sizeof path, "golden/%s", name);
    const char *dir = ft_test_shared(path);
    if (!dir)
        return false;
    snprintf(g->dir, sizeof g->dir, "%s", dir);
    ck_assert_ok(ft_json_file(&o, ft_test_path(g->dir, "case.json"), 1 << 24));
    const char *model = json_string_value(json_object_get(o, "model"));
    if (strcmp(model, "model") == 0)
        snprintf(g->model, sizeof g->model, "%s", ft_test_path(g->dir, "model"));
    else
        snprintf(g->model, sizeof g->model, "%s", ft_test_shared(model));
    for (size_t i = 0; i < json_array_size(json_object_get(o, "rows")); i++)
        add_row(g, json_array_get(json_object_get(o, "rows"), i));
    const json_t *lora = json_object_get(o, "lora"), *adamw = json_object_get(o, "adamw");
    g->r = json_integer_value(json_object_get(lora, "r"));
    g->alpha = json_number_value(json_object_get(lora, "alpha"));
    size_t length = json_dumpb(json_object_get(lora, "target_modules"), g->modules, sizeof g->modules - 1, 0);
    ck_assert_uint_lt(length, sizeof g->modules);
    g->lr = json_number_value(json_object_get(adamw, "lr"));
    g->weight_decay = json_number_value(json_object_get(adamw, "weight_decay"));
    g->loss_without_adapter = json_number_value(json_object_get(o, "loss_without_adapter"));
    ck_assert_uint_eq(json_array_size(json_object_get(o, "losses")), GOLDEN_STEPS);
    for (size_t i = 0; i < GOLDEN_STEPS; i++)
        g->losses[i] = json_number_value(json_array_get(json_object_get(o, "losses"), i));
    json_decref(o);
    return true;
}

ft_model *golden_adapted(const golden *g)
{
    ft_model *m;
    char config[512];
    const char *dir = ft_test_dir();
    snprintf(config, sizeof config,
             "{\"peft_type\": \"LORA\", \"r\": %d, \"lora_alpha\": %g, \"target_modules\": %s, \"bias\": \"none\"}",
             (int)g->r, g->alpha, g->modules);
    write_text(dir, "adapter_config.json", config);
    ck_assert_int_eq(
        symlink(ft_test_path(g->dir, "adapter_init.safetensors"), ft_test_path(dir, "adapter_model.safetensors")), 0);
    ck_assert_ok(ft_model_open(&m, g->model, NULL));
    ck_assert_ok(ft_adapter_load(m, dir, true));
    return m;
}

double golden_step(const golden *g, ft_model *m, ft_tape *t, bool checkpoint)
{
    ft_loss loss = {0};
    ft_segments seg = {.n = g->rows, .start = g->start};
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        ft_param *p = ft_model_trainable(m, i);
        memset(p->grad, 0, (size_t)ft_tensor_count(&p->t) * sizeof *p->grad);
    }
    ft_tape_begin(t, true, 0, 0);
    ft_var *x = ft_model_forward(m, t, g->ids, g->T, &seg, NULL, checkpoint ? FT_ALL_BLOCKS : 0);
    ck_assert_ok(
        ft_op_head_loss(t, x, ft_model_head(m), g->targets, ft_model_softcap(m), 1.0 / (double)g->supervised, &loss));
    ck_assert_ok(ft_tape_backward(t));
    ck_assert_int_eq(loss.count, g->supervised);
    return loss.sum / (double)loss.count;
}
