/* What the exporters write, reopened: same logits, right names, types and metadata. */
#include "export/tiny.h"

#include "base/threads.h"
#include "file/json.h"

static ft_status export_to(const char *exporter, ft_model *m, const char *path, const ft_dtype *dtype)
{
    ft_export_request r = {.model = m, .path = path, .dtype = dtype, .name = "tiny \"model\"", .base_name = "org/tiny"};
    return ft_exporter_named(exporter)->write(&r);
}

/* Distance between the adapted model and what `exporter` makes of it. */
static double distance_after(const char *exporter, const tiny *t, const ft_dtype *dtype)
{
    const char *dir = ft_test_dir(), *out = ft_test_path(dir, strcmp(exporter, "gguf") ? "out" : "out.gguf");
    ft_model *m = tiny_open(tiny_base(dir, t));
    float *plain = tiny_logits(m);
    tiny_adapt(m, t);
    float *want = tiny_logits(m);
    ck_assert_double_gt(tiny_distance(plain, want), 0.01);
    ck_assert_ok(export_to(exporter, m, out, dtype));
    ft_model_free(m);
    m = tiny_open(out);
    ck_assert(!ft_adapter_attached(m));
    ck_assert_int_eq(ft_model_config(m)->tie_word_embeddings, t->tied);
    float *got = tiny_logits(m);
    double d = tiny_distance(want, got);
    ft_model_free(m);
    ft_free(plain);
    ft_free(want);
    ft_free(got);
    return d;
}

static const tiny shapes[] = {{.tied = true}, {.tied = false}, {.rslora = true, .ffn = 100}, {.tied = true, .save = "lm_head"},
                              {.tied = false, .save = "lm_head"}, {.tied = false, .save = "embed_tokens"}};

START_TEST(merged_f32_files_give_the_adapted_logits)
{
    for (size_t i = 0; i < FT_COUNT(shapes); i++) {
        ck_assert_double_lt(distance_after("hf", &shapes[i], &ft_f32), 1e-5);
        ck_assert_double_lt(distance_after("gguf", &shapes[i], &ft_f32), 1e-5);
    }
}
END_TEST

START_TEST(narrow_types_stay_within_their_rounding)
{
    tiny t = {.tied = true};
    /* f16 keeps 11 bits, bf16 8, q8_0 about 7 of the largest of 32: the network multiplies that by about ten */
    ck_assert_double_lt(distance_after("hf", &t, &ft_f16), 1e-2);
    ck_assert_double_lt(distance_after("hf", &t, &ft_bf16), 8e-2);
    ck_assert_double_lt(distance_after("gguf", &t, &ft_f16), 1e-2);
    ck_assert_double_lt(distance_after("gguf", &t, &ft_bf16), 8e-2);
    ck_assert_double_lt(distance_after("gguf", &t, &ft_q8_0), 8e-2);
}
END_TEST

START_TEST(peft_adapter_reloads_to_identical_logits)
{
    for (size_t i = 0; i < FT_COUNT(shapes); i++) {
        const char *dir = ft_test_dir(), *out = ft_test_path(dir, "adapter"), *base = tiny_base(dir, &shapes[i]);
        ft_model *m = tiny_open(base);
        tiny_adapt(m, &shapes[i]);
        float *want = tiny_logits(m);
        ck_assert_ok(export_to("peft", m, out, NULL));
        ft_model_free(m);
        m = tiny_open(base);
        ck_assert_ok(ft_adapter_load(m, out, false));
        float *got = tiny_logits(m);
        ck_assert_mem_eq(want, got, TINY_TOKENS * TINY_VOCAB * sizeof *got);
        ft_model_free(m);
        ft_free(want);
        ft_free(got);
    }
}
END_TEST

/* The keys that PEFT 0.19.1 itself writes for a LoRA adapter. */
static const char *const peft_keys[] = {
    "peft_type", "task_type", "base_model_name_or_path", "revision", "auto_mapping", "inference_mode", "peft_version", "r",
    "lora_alpha", "lora_dropout", "bias", "fan_in_fan_out", "target_modules", "exclude_modules", "modules_to_save",
    "init_lora_weights", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora",
    "loftq_config", "lora_bias", "target_parameters", "trainable_token_indices", "layer_replication", "megatron_config",
    "megatron_core", "ensure_weight_tying", "alora_invocation_tokens", "arrow_config", "corda_config", "eva_config",
    "lora_ga_config", "qalora_group_size", "use_bdlora", "use_qalora"};

START_TEST(peft_config_has_every_key_and_the_adapters_values)
{
    static const char *const two[] = {"v_proj", "q_proj"};
    tiny t = {.rslora = true, .targets = two, .n_targets = 2, .save = "lm_head"};
    const char *dir = ft_test_dir(), *out = ft_test_path(dir, "adapter");
    ft_model *m = tiny_open(tiny_base(dir, &t));
    tiny_adapt(m, &t);
    ck_assert_ok(export_to("peft", m, out, NULL));
    ft_model_free(m);
    json_t *c, *want;
    ck_assert_ok(ft_json_file(&c, ft_test_path(out, "adapter_config.json"), 1 << 16));
    for (size_t i = 0; i < FT_COUNT(peft_keys); i++)
        ck_assert_msg(json_object_get(c, peft_keys[i]) != NULL, "%s is missing", peft_keys[i]);
    ck_assert_uint_eq(json_object_size(c), FT_COUNT(peft_keys));
    want = json_pack("{s:s, s:i, s:i, s:f, s:b, s:[s, s], s:[s], s:s, s:i}", "peft_type", "LORA", "r", 4, "lora_alpha", 8,
                     "lora_dropout", 0.0, "use_rslora", 1, "target_modules", "q_proj", "v_proj", "modules_to_save", "lm_head",
                     "base_model_name_or_path", "org/tiny", "qalora_group_size", 16);
    const char *key;
    json_t *value;
    json_object_foreach(want, key, value)
        ck_assert_msg(json_equal(value, json_object_get(c, key)), "%s", key);
    json_decref(want);
    json_decref(c);
    ft_container *f;
    ck_assert_ok(ft_container_open(&f, ft_test_path(out, "adapter_model.safetensors")));
    ck_assert_uint_eq(ft_container_count(f), 2 * 2 * 2 + 1);
    ck_assert_ptr_nonnull(ft_container_find(f, "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"));
    ck_assert_ptr_nonnull(ft_container_find(f, "base_model.model.lm_head.weight"));
    ft_str format;
    ck_assert(ft_meta_str(ft_container_meta(f, "format"), &format) && ft_str_is(format, "pt"));
    ft_container_close(f);
}
END_TEST

START_TEST(peft_config_names_the_layers_where_not_all_are_adapted)
{
    static const int64_t second[] = {1};
    static const char *const all[] = {"all-linear"};
    tiny t = {0};
    ft_adapter_spec s = {.kind = "lora", .r = 4, .alpha = 8, .target_modules = all, .n_targets = 1, .layers = second, .n_layers = 1};
    const char *dir = ft_test_dir(), *out = ft_test_path(dir, "adapter"), *base = tiny_base(dir, &t);
    ft_model *m = tiny_open(base);
    ck_assert_ok(ft_adapter_attach(m, &s));
    ck_assert_ok(export_to("peft", m, out, NULL));
    ft_model_free(m);
    json_t *c, *layers = json_pack("[i]", 1);
    ck_assert_ok(ft_json_file(&c, ft_test_path(out, "adapter_config.json"), 1 << 16));
    ck_assert(json_equal(json_object_get(c, "layers_to_transform"), layers));
    ck_assert_str_eq(json_string_value(json_object_get(c, "layers_pattern")), "layers");
    ck_assert_uint_eq(json_array_size(json_object_get(c, "target_modules")), 7);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(c, "target_modules"), 0)), "down_proj");
    json_decref(layers);
    json_decref(c);
    m = tiny_open(base);
    ck_assert_ok(ft_adapter_load(m, out, true));
    ck_assert_uint_eq(ft_model_trainable_count(m), 14);
    ft_model_free(m);
}
END_TEST

/* An adapter on some layers only must not be taken for one on all of them. */
START_TEST(peft_names_single_modules_where_only_some_are_adapted)
{
    static const char *const some[] = {"layers.1.self_attn.q_proj", "up_proj"};
    tiny t = {.targets = some, .n_targets = 2};
    const char *dir = ft_test_dir(), *out = ft_test_path(dir, "adapter"), *base = tiny_base(dir, &t);
    ft_model *m = tiny_open(base);
    tiny_adapt(m, &t);
    float *want = tiny_logits(m);
    ck_assert_ok(export_to("peft", m, out, NULL));
    ft_model_free(m);
    json_t *c;
    ck_assert_ok(ft_json_file(&c, ft_test_path(out, "adapter_config.json"), 1 << 16));
    const json_t *names = json_object_get(c, "target_modules");
    ck_assert_uint_eq(json_array_size(names), 2);
    ck_assert_str_eq(json_string_value(json_array_get(names, 0)), "model.layers.1.self_attn.q_proj");
    ck_assert_str_eq(json_string_value(json_array_get(names, 1)), "up_proj");
    json_decref(c);
    m = tiny_open(base);
    ck_assert_ok(ft_adapter_load(m, out, false));
    float *got = tiny_logits(m);
    ck_assert_mem_eq(want, got, TINY_TOKENS * TINY_VOCAB * sizeof *got);
    ft_model_free(m);
    ft_free(want);
    ft_free(got);
}
END_TEST

static int64_t meta_i64(const ft_container *c, const char *key)
{
    int64_t v = -1;
    ck_assert_msg(ft_meta_i64(ft_container_meta(c, key), &v), "%s", key);
    return v;
}

static void meta_is(const ft_container *c, const char *key, const char *want)
{
    ft_str s;
    ck_assert_msg(ft_meta_str(ft_container_meta(c, key), &s) && ft_str_is(s, want), "%s", key);
}

static char noted[1024];
static void keep_note(void *ctx, ft_note_level level, const char *text)
{
    snprintf(noted + strlen(noted), sizeof noted - strlen(noted), "%s\n", text);
}

START_TEST(gguf_has_names_types_and_metadata)
{
    tiny t = {.tied = true, .ffn = 100};
    const char *dir = ft_test_dir(), *out = ft_test_path(dir, "out.gguf");
    ft_model *m = tiny_open(tiny_base(dir, &t));
    tiny_adapt(m, &t);
    noted[0] = 0;
    ft_note_sink(keep_note, NULL);
    ck_assert_ok(export_to("gguf", m, out, NULL));
    ft_note_sink(NULL, NULL);
    ck_assert_msg(strstr(noted, "2 tensors have rows") && strstr(noted, "blk.0.ffn_down.weight: 100, written as f16"), "%s", noted);
    ft_model_free(m);
    ft_container *c;
    ck_assert_ok(ft_container_open(&c, out));
    meta_is(c, "general.architecture", "llama");
    meta_is(c, "general.type", "model");
    meta_is(c, "general.name", "tiny \"model\"");
    meta_is(c, "general.base_model.0.name", "tiny");
    meta_is(c, "general.base_model.0.organization", "org");
    meta_is(c, "tokenizer.ggml.model", "none");
    ck_assert_int_eq(meta_i64(c, "general.file_type"), 7);
    ck_assert_int_eq(meta_i64(c, "general.quantization_version"), 2);
    ck_assert_int_eq(meta_i64(c, "llama.vocab_size"), TINY_VOCAB);
    ck_assert_ptr_null(ft_container_find(c, "output.weight"));
    ck_assert_ptr_eq(ft_container_find(c, "token_embd.weight")->t.dtype, &ft_q8_0);
    ck_assert_ptr_eq(ft_container_find(c, "blk.1.attn_q.weight")->t.dtype, &ft_q8_0);
    ck_assert_ptr_eq(ft_container_find(c, "blk.1.attn_norm.weight")->t.dtype, &ft_f32);
    ck_assert_ptr_eq(ft_container_find(c, "output_norm.weight")->t.dtype, &ft_f32);
    ck_assert_ptr_eq(ft_container_find(c, "blk.1.ffn_down.weight")->t.dtype, &ft_f16);
    ck_assert_uint_eq(ft_container_count(c), 2 + 2 * 9);
    ft_container_close(c);
}
END_TEST

START_TEST(gguf_of_plain_floats_is_not_called_quantized)
{
    tiny t = {.tied = false};
    const char *dir = ft_test_dir(), *out = ft_test_path(dir, "out.gguf");
    ft_model *m = tiny_open(tiny_base(dir, &t));
    ck_assert_ok(export_to("gguf", m, out, &ft_bf16));
    ft_model_free(m);
    ft_container *c;
    ck_assert_ok(ft_container_open(&c, out));
    ck_assert_int_eq(meta_i64(c, "general.file_type"), 32);
    ck_assert_ptr_null(ft_container_meta(c, "general.quantization_version"));
    ck_assert_ptr_nonnull(ft_container_find(c, "output.weight"));
    ft_container_close(c);
}
END_TEST

static float *logits_of(const char *path)
{
    ft_model *m = tiny_open(path);
    float *y = tiny_logits(m);
    ft_model_free(m);
    return y;
}

START_TEST(hf_shards_are_indexed_and_read_back)
{
    tiny t = {.tied = false};
    const char *dir = ft_test_dir(), *out = ft_test_path(dir, "out");
    ft_model *m = tiny_open(tiny_base(dir, &t));
    ft_export_request r = {.model = m, .path = out, .shard_bytes = 100000};
    ck_assert_ok(ft_exporter_named("hf")->write(&r));
    ck_assert(!ft_exists(ft_test_path(out, "model.safetensors")));
    json_t *index;
    ck_assert_ok(ft_json_file(&index, ft_test_path(out, "model.safetensors.index.json"), 1 << 20));
    const json_t *map = json_object_get(index, "weight_map");
    int64_t bytes = 0;
    char shard[700];
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *p = ft_model_at(m, i);
        snprintf(shard, sizeof shard, "%s/%s", out, json_string_value(json_object_get(map, p->name)));
        ck_assert_msg(ft_exists(shard), "%s", p->name);
        bytes += (int64_t)ft_tensor_bytes(&p->t);
    }
    ck_assert_uint_eq(json_object_size(map), ft_model_count(m));
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(index, "metadata"), "total_size")), bytes);
    json_decref(index);
    float *want = tiny_logits(m), *got = logits_of(out);
    ck_assert_mem_eq(want, got, TINY_TOKENS * TINY_VOCAB * sizeof *got);
    ft_free(want);
    ft_free(got);
    ft_model_free(m);
}
END_TEST

START_TEST(hf_config_is_carried_with_the_dtype_that_was_written)
{
    tiny t = {.tied = true};
    const char *dir = ft_test_dir(), *out = ft_test_path(dir, "out"), *base = tiny_base(dir, &t);
    const char *generation = "{\"eos_token_id\": [2, 3]}  ";
    ck_assert_ok(ft_write_file(ft_test_path(base, "generation_config.json"), generation, strlen(generation)));
    ft_model *m = tiny_open(base);
    ck_assert_ok(export_to("hf", m, out, &ft_bf16));
    ft_model_free(m);
    json_t *was, *is;
    ck_assert_ok(ft_json_file(&was, ft_test_path(base, "config.json"), 1 << 16));
    ck_assert_ok(ft_json_file(&is, ft_test_path(out, "config.json"), 1 << 16));
    ck_assert_str_eq(json_string_value(json_object_get(is, "torch_dtype")), "bfloat16");
    json_object_set_new(was, "torch_dtype", json_string("bfloat16"));
    ck_assert(json_equal(was, is));
    json_decref(was);
    json_decref(is);
    ft_buf carried = {0};
    ck_assert_ok(ft_read_file(&carried, ft_test_path(out, "generation_config.json"), 1000));
    ck_assert_str_eq(carried.p, generation);
    ft_buf_free(&carried);
    ft_container *c;
    ck_assert_ok(ft_container_open(&c, out));
    ck_assert_ptr_null(ft_container_find(c, "lm_head.weight"));
    ck_assert_ptr_eq(ft_container_find(c, "model.norm.weight")->t.dtype, &ft_bf16);
    ft_container_close(c);
}
END_TEST

/* A tied checkpoint that stores its one matrix as the head keeps doing so. */
START_TEST(hf_keeps_a_checkpoint_that_stores_only_the_head)
{
    const char *base = ft_test_shared("models/tinystories-656k");
    if (!base)
        FT_SKIP("../shared is absent");
    const char *out = ft_test_path(ft_test_dir(), "out");
    ft_model *m = tiny_open(base);
    ck_assert_ok(export_to("hf", m, out, NULL));
    ft_model_free(m);
    ft_container *a, *b;
    ck_assert_ok(ft_container_open(&a, base));
    ck_assert_ok(ft_container_open(&b, out));
    ck_assert_uint_eq(ft_container_count(a), ft_container_count(b));
    for (size_t i = 0; i < ft_container_count(a); i++) {
        const ft_named *x = ft_container_at(a, i), *y = ft_container_find(b, x->name);
        ck_assert_msg(y != NULL, "%s", x->name);
        ck_assert_ptr_eq(x->t.dtype, y->t.dtype);
        ck_assert_mem_eq(x->t.data, y->t.data, ft_tensor_bytes(&x->t));
    }
    ft_container_close(a);
    ft_container_close(b);
}
END_TEST

static void same_bytes(const char *a, const char *b)
{
    ft_buf x = {0}, y = {0};
    ck_assert_ok(ft_read_file(&x, a, 1 << 20));
    ck_assert_ok(ft_read_file(&y, b, 1 << 20));
    ck_assert_uint_eq(x.n, y.n);
    ck_assert_mem_eq(x.p, y.p, x.n);
    ft_buf_free(&x);
    ft_buf_free(&y);
}

/* The tokenizer at path reads "abba" as the base's does, and stops where it does. */
static void same_tokenizer(const char *path)
{
    ft_tokenizer *t;
    ft_ids ids = {0};
    ck_assert_ok(ft_tokenizer_open(&t, path));
    ck_assert_ok(ft_tokenizer_encode(t, ft_str_of("abba"), false, &ids));
    static const int32_t want[] = {2, 3, 3, 2};
    ck_assert_uint_eq(ids.n, 4);
    ck_assert_mem_eq(ids.p, want, sizeof want);
    ck_assert_int_eq(ft_tokenizer_bos(t), 0);
    ck_assert(ft_tokenizer_is_stop(t, 1) && ft_tokenizer_add_bos(t));
    ft_ids_free(&ids);
    ft_tokenizer_free(t);
}

START_TEST(exports_carry_the_tokenizer_and_the_template)
{
    tiny t = {.tied = true};
    const char *dir = ft_test_dir(), *base = tiny_tokenizer(tiny_base(dir, &t));
    char hf[600], gguf[600];
    snprintf(hf, sizeof hf, "%s/out", dir);
    snprintf(gguf, sizeof gguf, "%s/out.gguf", dir);
    ft_tokenizer *tok;
    ft_export_request r = {.model = tiny_open(base)};
    ck_assert_ok(ft_tokenizer_open(&tok, base));
    ck_assert_ok(ft_chat_template_pick(&r.chat, "chatml", tok));
    r.tokenizer = tok;
    r.path = hf;
    ck_assert_ok(ft_exporter_named("hf")->write(&r));
    r.path = gguf;
    ck_assert_ok(ft_exporter_named("gguf")->write(&r));
    same_bytes(ft_test_path(base, "tokenizer.json"), ft_test_path(hf, "tokenizer.json"));
    same_bytes(ft_test_path(base, "tokenizer_config.json"), ft_test_path(hf, "tokenizer_config.json"));
    same_tokenizer(hf);
    same_tokenizer(gguf);
    ft_buf jinja = {0};
    ck_assert_ok(ft_read_file(&jinja, ft_test_path(hf, "chat_template.jinja"), 1 << 16));
    ck_assert_str_eq(jinja.p, ft_chat_template_jinja(r.chat));
    ft_buf_free(&jinja);
    ft_container *c;
    ck_assert_ok(ft_container_open(&c, gguf));
    meta_is(c, "tokenizer.chat_template", ft_chat_template_jinja(r.chat));
    ft_container_close(c);
    ck_assert(ft_exists(ft_test_path(dir, "Modelfile")));
    ft_tokenizer_free(tok);
    ft_model_free(r.model);
}
END_TEST

START_TEST(exports_do_not_depend_on_the_number_of_threads)
{
    tiny t = {.tied = true};
    const char *dir = ft_test_dir();
    ft_model *m = tiny_open(tiny_base(dir, &t));
    tiny_adapt(m, &t);
    ft_buf bytes[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        const char *out = ft_test_path(dir, "out.gguf");
        ft_threads_set(i + 1);
        ck_assert_ok(export_to("gguf", m, out, &ft_q8_0));
        ck_assert_ok(ft_read_file(&bytes[i], out, 1 << 24));
    }
    ft_threads_set(0);
    ck_assert_uint_eq(bytes[0].n, bytes[1].n);
    ck_assert_mem_eq(bytes[0].p, bytes[1].p, bytes[0].n);
    ft_buf_free(&bytes[0]);
    ft_buf_free(&bytes[1]);
    ft_model_free(m);
}
END_TEST

int main(void)
{
    FT_TESTS("export", merged_f32_files_give_the_adapted_logits, narrow_types_stay_within_their_rounding,
             peft_adapter_reloads_to_identical_logits, peft_config_has_every_key_and_the_adapters_values,
             peft_config_names_the_layers_where_not_all_are_adapted,
             peft_names_single_modules_where_only_some_are_adapted, gguf_has_names_types_and_metadata,
             gguf_of_plain_floats_is_not_called_quantized, hf_shards_are_indexed_and_read_back,
             hf_config_is_carried_with_the_dtype_that_was_written, hf_keeps_a_checkpoint_that_stores_only_the_head,
             exports_carry_the_tokenizer_and_the_template, exports_do_not_depend_on_the_number_of_threads);
}
