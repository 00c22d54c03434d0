#include "export/tiny.h"

#include "base/threads.h"

#include <dirent.h>

static const char *const all_linear[] = {"all-linear"};

const char *tiny_base(const char *dir, const tiny *t)
{
    char text[1024];
    const char *config = ft_test_path(dir, "config.json"), *base = ft_test_path(dir, "base");
    int n = snprintf(text, sizeof text,
                     "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": 64,"
                     " \"intermediate_size\": %d, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"
                     " \"num_key_value_heads\": 2, \"vocab_size\": %d, \"max_position_embeddings\": 256,"
                     " \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, \"hidden_act\": \"silu\","
                     " \"initializer_range\": 0.2, \"tie_word_embeddings\": %s, \"bos_token_id\": 1, \"eos_token_id\": 2,"
                     " \"torch_dtype\": \"float32\"}",
                     t->ffn ? t->ffn : 128, TINY_VOCAB, t->tied ? "true" : "false");
    ck_assert_ok(ft_write_file(config, text, (size_t)n));
    ft_model *m;
    ck_assert_ok(ft_model_init(&m, config, 7));
    /* norms of a fresh model are all 1, which would hide a norm that is lost */
    for (size_t i = 0; i < ft_model_count(m); i++) {
        ft_tensor *w = &ft_model_at(m, i)->t;
        for (int64_t k = 0; w->ndim == 1 && k < w->shape[0]; k++)
            ((float *)w->data)[k] += 0.01f * (float)(k % 17);
    }
    ft_export_request r = {.model = m, .path = base};
    ck_assert_ok(ft_exporter_named("hf")->write(&r));
    ft_model_free(m);
    return base;
}

const char *tiny_tokenizer(const char *dir)
{
    static const char json[] =
        "{\"version\": \"1.0\", \"added_tokens\": ["
        "{\"id\": 0, \"content\": \"<|bos|>\", \"special\": true, \"lstrip\": false, \"rstrip\": false, \"single_word\": false,"
        " \"normalized\": false},"
        "{\"id\": 1, \"content\": \"<|\\\"end\\\"|>\", \"special\": true, \"lstrip\": false, \"rstrip\": false,"
        " \"single_word\": false, \"normalized\": false}],"
        "\"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true},"
        "\"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\"},"
        "\"model\": {\"type\": \"BPE\", \"vocab\": {\"<|bos|>\": 0, \"<|\\\"end\\\"|>\": 1, \"a\": 2, \"b\": 3}, \"merges\": []}}";
    static const char config[] =
        "{\"bos_token\": \"<|bos|>\", \"eos_token\": \"<|\\\"end\\\"|>\", \"add_bos_token\": true}\n\n";
    ck_assert_ok(ft_write_file(ft_test_path(dir, "tokenizer.json"), json, strlen(json)));
    ck_assert_ok(ft_write_file(ft_test_path(dir, "tokenizer_config.json"), config, strlen(config)));
    return dir;
}

ft_model *tiny_open(const char *path)
{
    ft_model *m;
    ck_assert_ok(ft_model_open(&m, path, NULL));
    return m;
}

void tiny_adapt(ft_model *m, const tiny *t)
{
    ft_adapter_spec spec = {.kind = "lora",
                            .r = 4,
                            .alpha = 8,
                            .rslora = t->rslora,
                            .target_modules = t->targets ? t->targets : all_linear,
                            .n_targets = t->targets ? t->n_targets : 1,
                            .modules_to_save = &t->save,
                            .n_save = t->save != NULL,
                            .seed = 3};
    ck_assert_ok(ft_adapter_attach(m, &spec));
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        ft_param *p = ft_model_trainable(m, i);
        if (!strstr(p->name, "lora_A"))
            ft_fill_normal(p->t.data, (size_t)ft_tensor_count(&p->t), 0.1f, 11, FT_STREAM_TEST, i);
    }
}

int32_t tiny_id(int i)
{
    return (i * 37 + 5) % TINY_VOCAB;
}

float *tiny_logits(ft_model *m)
{
    ft_tape *tape;
    int32_t ids[TINY_TOKENS];
    int64_t start[] = {0, TINY_TOKENS};
    ft_segments seg = {.n = 1, .start = start};
    for (int i = 0; i < TINY_TOKENS; i++)
        ids[i] = tiny_id(i);
    ck_assert_ok(ft_tape_new(&tape));
    ft_tape_begin(tape, false, 0, 0);
    ft_var *x = ft_model_forward(m, tape, ids, TINY_TOKENS, &seg, NULL, 0);
    ft_var *y = ft_op_logits(tape, x, ft_model_head(m), ft_model_softcap(m));
    ck_assert_ok(ft_tape_status(tape));
    size_t n = (size_t)(y->rows * y->cols);
    float *out = ft_alloc(n, sizeof *out);
    memcpy(out, y->v, n * sizeof *out);
    ft_tape_free(tape);
    return out;
}

double tiny_distance(const float *a, const float *b)
{
    double most = 0, largest = 0;
    for (int i = 0; i < TINY_TOKENS * TINY_VOCAB; i++) {
        ck_assert(isfinite(a[i]) && isfinite(b[i]));
        most = fmax(most, fabs((double)a[i] - b[i]));
        largest = fmax(largest, fabs(a[i]));
    }
    ck_assert_double_gt(largest, 0.1);
    return most / largest;
}

void tiny_only(const char *dir, const char *const *names, size_t n)
{
    DIR *d = opendir(dir);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));) {
        bool known = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
        for (size_t i = 0; i < n; i++)
            known |= strcmp(e->d_name, names[i]) == 0;
        ck_assert_msg(known, "%s holds %s", dir, e->d_name);
    }
    closedir(d);
}
