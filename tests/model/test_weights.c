/* Weights from HF directories and from GGUF: the same model, whichever way; what is missing, misshapen or too much. */
#include "model/fixture.h"

enum { N = 12 };
static const int32_t ids[N] = {1, 5, 9, 33, 2, 17, 39, 0, 8, 8, 21, 4};

static const char *const kinds[] = {
    NULL,
    "{\"tie_word_embeddings\": true}",
    "{\"attention_bias\": true, \"mlp_bias\": true}",
    "{\"head_dim\": 12}",
    "{\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 4.0}}",
    "{\"head_dim\": 16, \"rope_theta\": 500.0, \"tie_word_embeddings\": true, \"rope_scaling\": {\"rope_type\": "
    "\"llama3\", \"factor\": "
    "32.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 64}}",
    "{\"head_dim\": 16, \"rope_theta\": 500.0, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 3.5, "
    "\"low_freq_factor\": 1.25, "
    "\"high_freq_factor\": 3.0, \"original_max_position_embeddings\": 50}}",
};

static void same_logits(ft_model *a, ft_model *b)
{
    int64_t n = N * ft_model_config(a)->vocab_size;
    float *x = logits_of(a, ids, N), *y = logits_of(b, ids, N);
    ck_assert_int_eq(memcmp(x, y, (size_t)n * sizeof *x), 0);
    ft_free(x);
    ft_free(y);
}

START_TEST(a_written_hf_directory_is_the_same_model)
{
    for (size_t i = 0; i < FT_COUNT(kinds); i++) {
        ft_model *m = random_model(kinds[i]), *again;
        const char *dir = ft_test_dir();
        write_hf(m, dir, NULL, NULL);
        ck_assert_ok(ft_model_open(&again, dir, NULL));
        ck_assert_uint_eq(ft_model_trainable_count(again), 0);
        ck_assert_uint_eq(ft_model_trainable_count(m), ft_model_count(m));
        same_logits(m, again);
        ft_model_free(again);
        ft_model_free(m);
    }
}
END_TEST

START_TEST(a_written_gguf_is_the_same_model)
{
    for (size_t i = 0; i < FT_COUNT(kinds); i++) {
        ft_model *m = random_model(kinds[i]), *again;
        const char *path = ft_test_path(ft_test_dir(), "model.gguf");
        write_gguf(m, path, &ft_f32);
        ck_assert_ok(ft_model_open(&again, path, NULL));
        const ft_config *a = ft_model_config(m), *b = ft_model_config(again);
        ck_assert_float_eq(a->norm_eps, b->norm_eps);
        ck_assert_int_eq(a->tie_word_embeddings, b->tie_word_embeddings);
        ck_assert_int_eq(a->max_position_embeddings, b->max_position_embeddings);
        same_logits(m, again);
        ft_model_free(again);
        ft_model_free(m);
    }
}
END_TEST

/* An HF directory made of a GGUF needs a config.json that says the same. */
START_TEST(the_config_of_a_gguf_is_a_whole_config_json)
{
    for (size_t i = 0; i + 1 < FT_COUNT(kinds); i++) {
        ft_model *m = random_model(kinds[i]), *gguf, *hf;
        const char *path = ft_test_path(ft_test_dir(), "model.gguf"), *dir = ft_test_dir();
        write_gguf(m, path, &ft_f32);
        ck_assert_ok(ft_model_open(&gguf, path, NULL));
        write_hf(gguf, dir, NULL, NULL);
        ck_assert_ok(ft_model_open(&hf, dir, NULL));
        same_logits(m, hf);
        ft_model_free(hf);
        ft_model_free(gguf);
        ft_model_free(m);
    }
}
END_TEST

START_TEST(unexplained_rope_divisors_are_used_as_they_are)
{
    ft_model *m = random_model(kinds[FT_COUNT(kinds) - 1]), *again;
    const char *path = ft_test_path(ft_test_dir(), "model.gguf");
    write_gguf(m, path, &ft_f32);
    ck_assert_ok(ft_model_open(&again, path, NULL));
    ck_assert_int_eq(ft_model_config(again)->rope_kind, FT_ROPE_DIVISORS);
    ck_assert_uint_eq(ft_model_gguf_extra_count(again), 1);
    ft_model_free(again);
    ft_model_free(m);
    m = random_model(kinds[FT_COUNT(kinds) - 2]);
    write_gguf(m, path, &ft_f32);
    ck_assert_ok(ft_model_open(&again, path, NULL));
    ck_assert_int_eq(ft_model_config(again)->rope_kind, FT_ROPE_LLAMA3);
    ck_assert_double_eq(ft_model_config(again)->rope_factor, 32);
    ck_assert_int_eq(ft_model_config(again)->rope_original_max_position, 64);
    ft_model_free(again);
    ft_model_free(m);
}
END_TEST

/* Quantized rows of q and k move whole; Q8_0 keeps logits near. */
START_TEST(a_quantized_gguf_keeps_its_blocks)
{
    ft_model *m = random_model("{\"hidden_size\": 64, \"intermediate_size\": 96}"), *again, *wide;
    const char *path = ft_test_path(ft_test_dir(), "model.gguf");
    write_gguf(m, path, &ft_q8_0);
    ck_assert_ok(ft_model_open(&again, path, NULL));
    ft_param *q = ft_model_find(again, "model.layers.1.self_attn.q_proj.weight");
    ck_assert_ptr_eq(q->t.dtype, &ft_q8_0);
    ck_assert_ptr_eq(ft_model_stored_dtype(ft_model_find(again, "model.norm.weight")), &ft_f32);
    float row[64];
    const float *want = ft_model_find(m, "model.layers.1.self_attn.q_proj.weight")->t.data;
    for (int64_t r = 0; r < 64; r++) {
        ft_tensor_decode_rows(&q->t, r, r + 1, row);
        ck_assert_double_le(distance(row, want + r * 64, 64), 0.005);
    }
    /* trained whole it is f32, with the same values */
    ck_assert_ok(ft_model_open(&wide, path, &(ft_model_options){.trainable = true}));
    ck_assert_uint_eq(ft_model_trainable_count(wide), ft_model_count(wide));
    ft_param *p = ft_model_find(wide, "model.layers.1.self_attn.q_proj.weight");
    ck_assert_ptr_eq(p->t.dtype, &ft_f32);
    ck_assert_ptr_eq(ft_model_stored_dtype(p), &ft_q8_0);
    ft_tensor_decode_rows(&q->t, 63, 64, row);
    ck_assert_int_eq(memcmp((float *)p->t.data + 63 * 64, row, sizeof row), 0);
    ft_model_free(wide);
    ft_model_free(again);
    ft_model_free(m);
}
END_TEST

/* By hand: heads of 8, halves to pairs. */
START_TEST(gguf_turns_neighbouring_rows)
{
    static const int64_t want[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    int64_t perm[32];
    char name[64];
    ft_model *m = random_model("{\"attention_bias\": true}");
    ck_assert(ft_model_gguf_rows(m, "model.layers.0.self_attn.q_proj.weight", perm, 32));
    for (int i = 0; i < 32; i++)
        ck_assert_int_eq(perm[i], i / 8 * 8 + want[i % 8]);
    ck_assert(ft_model_gguf_rows(m, "model.layers.1.self_attn.k_proj.bias", perm, 16));
    ck_assert(!ft_model_gguf_rows(m, "model.layers.1.self_attn.v_proj.weight", perm, 16));
    ck_assert(!ft_model_gguf_rows(m, "model.norm.weight", perm, 32));
    ck_assert(ft_model_gguf_name(m, "model.layers.1.post_attention_layernorm.weight", name, sizeof name));
    ck_assert_str_eq(name, "blk.1.ffn_norm.weight");
    ck_assert(ft_model_gguf_name(m, "lm_head.weight", name, sizeof name));
    ck_assert_str_eq(name, "output.weight");
    ck_assert(!ft_model_gguf_name(m, "nothing.weight", name, sizeof name));
    ft_model_free(m);
}
END_TEST

static void has_number(const ft_container *g, const char *key, double want)
{
    double v;
    ck_assert_msg(ft_meta_f64(ft_container_meta(g, key), &v), "%s is not there", key);
    ck_assert_msg(fabs(v - want) <= 1e-6 * fabs(want), "%s is %g", key, v);
}

START_TEST(gguf_metadata_has_the_keys_that_llama_cpp_reads)
{
    ft_container *g;
    ft_str type;
    const char *path = ft_test_path(ft_test_dir(), "model.gguf");
    ft_model *m = random_model(kinds[4]); /* linear scaling */
    write_gguf(m, path, &ft_f32);
    ft_model_free(m);
    ck_assert_ok(ft_container_open(&g, path));
    has_number(g, "llama.context_length", 64);
    has_number(g, "llama.embedding_length", 32);
    has_number(g, "llama.block_count", 2);
    has_number(g, "llama.feed_forward_length", 48);
    has_number(g, "llama.attention.head_count", 4);
    has_number(g, "llama.attention.head_count_kv", 2);
    has_number(g, "llama.attention.layer_norm_rms_epsilon", 1e-5);
    has_number(g, "llama.rope.dimension_count", 8);
    has_number(g, "llama.rope.freq_base", 10000);
    has_number(g, "llama.vocab_size", 40);
    has_number(g, "llama.rope.scaling.factor", 4);
    ck_assert(ft_meta_str(ft_container_meta(g, "llama.rope.scaling.type"), &type) && ft_str_is(type, "linear"));
    ck_assert_ptr_null(ft_container_meta(g, "llama.attention.key_length"));
    ft_container_close(g);
    m = random_model(kinds[5]); /* llama3 scaling, heads of 16: wider than hidden / heads */
    write_gguf(m, path, &ft_f32);
    ft_model_free(m);
    ck_assert_ok(ft_container_open(&g, path));
    has_number(g, "llama.attention.key_length", 16);
    has_number(g, "llama.attention.value_length", 16);
    has_number(g, "llama.rope.dimension_count", 16);
    /* a factor without a type would be taken for linear */
    ck_assert_ptr_null(ft_container_meta(g, "llama.rope.scaling.factor"));
    ck_assert_ptr_nonnull(ft_container_find(g, "rope_freqs.weight"));
    ck_assert_ptr_null(ft_container_find(g, "output.weight"));
    ft_container_close(g);
}
END_TEST

static ft_status reopen(const char *dir)
{
    ft_model *m;
    ft_status st = ft_model_open(&m, dir, NULL);
    ft_model_free(m);
    return st;
}

START_TEST(missing_and_unexpected_tensors_are_named)
{
    ft_model *m = random_model(NULL);
    const char *dir = ft_test_dir();
    write_hf(m, dir, "model.layers.1.mlp.up_proj.weight", NULL);
    ck_assert_fails(reopen(dir), FT_EFORMAT, "tensors are missing (1): model.layers.1.mlp.up_proj.weight");
    write_hf(m, dir, "lm_head.weight", NULL);
    ck_assert_fails(reopen(dir), FT_EFORMAT, "lm_head.weight");
    write_hf(m, dir, NULL, "model.layers.1.self_attn.q_proj.bias");
    ck_assert_fails(reopen(dir), FT_EUNSUPPORTED, "does not have (1): model.layers.1.self_attn.q_proj.bias");
    /* what older writers kept is no weight */
    write_hf(m, dir, NULL, "model.layers.1.self_attn.rotary_emb.inv_freq");
    ck_assert_ok(reopen(dir));
    ft_model_free(m);
}
END_TEST

/* "bert.encoder.layer.0.output.LayerNorm.gamma" */
static const char *old_name(const char *name)
{
    static char text[256];
    const char *norm = strstr(name, "LayerNorm.");
    snprintf(text, sizeof text, "bert.%s", name);
    if (norm)
        snprintf(strstr(text, "LayerNorm."), 32, "LayerNorm.%s", ft_ends(name, "weight") ? "gamma" : "beta");
    return text;
}

START_TEST(an_old_encoder_checkpoint_is_read)
{
    static const char *const others[] = {"cls.predictions.bias", "bert.pooler.dense.bias",
                                         "bert.embeddings.position_ids"};
    static const float values[4] = {1, 2, 3, 4};
    int64_t four = 4;
    ft_writer *w;
    ft_model *m = random_model("{\"model_type\": \"bert\"}"), *again;
    const char *dir = config_dir(small_config("{\"model_type\": \"bert\"}"));
    ck_assert_ok(ft_writer_open(&w, "safetensors", ft_test_path(dir, "model.safetensors")));
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *p = ft_model_at(m, i);
        ck_assert_ok(ft_writer_tensor(w, old_name(p->name), p->t.dtype, p->t.ndim, p->t.shape));
    }
    for (size_t i = 0; i < FT_COUNT(others); i++)
        ck_assert_ok(ft_writer_tensor(w, others[i], &ft_f32, 1, &four));
    for (size_t i = 0; i < ft_model_count(m); i++)
        ck_assert_ok(ft_writer_data(w, ft_model_at(m, i)->t.data, ft_tensor_bytes(&ft_model_at(m, i)->t)));
    for (size_t i = 0; i < FT_COUNT(others); i++)
        ck_assert_ok(ft_writer_data(w, values, sizeof values));
    ck_assert_ok(ft_writer_commit(w));
    ck_assert_ok(ft_model_open(&again, dir, NULL));
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *a = ft_model_at(m, i), *b = ft_model_at(again, i);
        ck_assert_str_eq(a->name, b->name);
        ck_assert_msg(memcmp(a->t.data, b->t.data, ft_tensor_bytes(&a->t)) == 0, "%s", a->name);
    }
    ft_model_free(again);
    ft_model_free(m);
}
END_TEST

START_TEST(a_shape_that_the_config_denies_is_named)
{
    ft_model *m = random_model(NULL);
    const char *dir = ft_test_dir();
    write_hf(m, dir, NULL, NULL);
    write_text(dir, "config.json", small_config("{\"vocab_size\": 41}"));
    ck_assert_fails(reopen(dir), FT_EFORMAT, "tensor model.embed_tokens.weight has shape [40, 32], expected [41, 32]");
    write_text(dir, "config.json", small_config("{\"num_key_value_heads\": 4}"));
    ck_assert_fails(reopen(dir), FT_EFORMAT, "k_proj.weight has shape [16, 32], expected [32, 32]");
    write_text(dir, "config.json", small_config("{\"num_hidden_layers\": 1}"));
    ck_assert_fails(reopen(dir), FT_EUNSUPPORTED, "does not have (9): model.layers.1.");
    ft_model_free(m);
}
END_TEST

START_TEST(a_tied_checkpoint_may_store_either_name)
{
    ft_model *untied = random_model(NULL), *m;
    const char *dir = ft_test_dir();
    write_hf(untied, dir, "model.embed_tokens.weight", NULL);
    write_text(dir, "config.json", small_config("{\"tie_word_embeddings\": true}"));
    ck_assert_ok(ft_model_open(&m, dir, NULL));
    ck_assert_ptr_null(ft_model_find(m, "lm_head.weight"));
    ck_assert_ptr_eq(ft_model_head(m), ft_model_find(m, "model.embed_tokens.weight"));
    ck_assert_uint_eq(ft_model_count(m), ft_model_count(untied) - 1);
    ck_assert_int_eq(
        memcmp(ft_model_head(m)->t.data, ft_model_find(untied, "lm_head.weight")->t.data, 40 * 32 * sizeof(float)), 0);
    ft_model_free(m);
    ft_model_free(untied);
}
END_TEST

static char noted[512];
static void note(void *ctx, ft_note_level level, const char *text)
{
    snprintf(noted, sizeof noted, "%s", text);
}

START_TEST(a_tied_checkpoint_with_two_different_heads_is_remarked)
{
    ft_model *untied = random_model(NULL);
    const char *dir = ft_test_dir();
    write_hf(untied, dir, NULL, NULL);
    write_text(dir, "config.json", small_config("{\"tie_word_embeddings\": true}"));
    ft_note_sink(note, NULL);
    ck_assert_ok(reopen(dir));
    ft_note_sink(NULL, NULL);
    ck_assert_msg(strstr(noted, "lm_head.weight differs from model.embed_tokens.weight") != NULL, "noted: %s", noted);
    ft_model_free(untied);
}
END_TEST

START_TEST(what_is_no_model_is_said)
{
    const char *dir = ft_test_dir();
    ck_assert_fails(reopen(ft_test_path(dir, "nowhere")), FT_EINPUT, "no such file or directory");
    ck_assert_fails(reopen(dir), FT_EINPUT, "looked for config.json");
    write_text(dir, "config.json", small_config(NULL));
    ck_assert_fails(reopen(dir), FT_EINPUT, dir);
    ft_model *m = random_model(NULL);
    write_hf(m, dir, NULL, NULL);
    ck_assert_fails(reopen(ft_test_path(dir, "model.safetensors")), FT_EINPUT, "name the directory");
    ft_model_free(m);
}
END_TEST

START_TEST(a_gguf_of_another_family_is_named)
{
    ft_writer *w;
    const char *path = ft_test_path(ft_test_dir(), "model.gguf");
    int64_t shape[] = {4};
    const float x[4] = {0};
    for (int with = 0; with < 2; with++) {
        ck_assert_ok(ft_writer_open(&w, "gguf", path));
        if (with)
            ck_assert_ok(ft_writer_str(w, "general.architecture", ft_str_of("rwkv6")));
        ck_assert_ok(ft_writer_tensor(w, "x.weight", &ft_f32, 1, shape));
        ck_assert_ok(ft_writer_data(w, x, sizeof x));
        ck_assert_ok(ft_writer_commit(w));
        if (with)
            ck_assert_fails(reopen(path), FT_EUNSUPPORTED, "general.architecture is \"rwkv6\", supported: llama");
        else
            ck_assert_fails(reopen(path), FT_EFORMAT, "general.architecture is missing");
    }
}
END_TEST

START_TEST(a_run_folder_holds_its_model)
{
    ft_model *m = random_model(NULL), *again;
    const char *run = ft_test_dir();
    ck_assert_ok(ft_mkdirs(ft_test_path(run, "model")));
    write_hf(m, ft_test_path(run, "model"), NULL, NULL);
    ck_assert_ok(ft_model_open(&again, run, NULL));
    same_logits(m, again);
    ck_assert_str_eq(ft_model_tokenizer_path(again), ft_test_path(run, "model"));
    ft_model_free(again);
    ft_model_free(m);
}
END_TEST

START_TEST(random_weights_are_a_function_of_the_seed)
{
    ft_model *a, *b, *c;
    const char *path =
        ft_test_path(config_dir(small_config("{\"hidden_size\": 256, \"num_hidden_layers\": 8}")), "config.json");
    ck_assert_ok(ft_model_init(&a, path, 1));
    ck_assert_ok(ft_model_init(&b, path, 1));
    ck_assert_ok(ft_model_init(&c, path, 2));
    const ft_param *x = ft_model_find(a, "model.layers.3.self_attn.o_proj.weight");
    const float *w = x->t.data;
    size_t bytes = ft_tensor_bytes(&x->t);
    ck_assert_int_eq(memcmp(w, ft_model_find(b, x->name)->t.data, bytes), 0);
    ck_assert_int_ne(memcmp(w, ft_model_find(c, x->name)->t.data, bytes), 0);
    ck_assert_int_ne(memcmp(w, ft_model_find(a, "model.layers.4.self_attn.o_proj.weight")->t.data, bytes), 0);
    double sum = 0;
    for (int64_t i = 0; i < 256 * 256; i++)
        sum += (double)w[i] * w[i];
    /* outputs into the residual stream: 0.02 / sqrt(2 L) = 0.005 */
    ck_assert_double_eq_tol(sqrt(sum / (256 * 256)), 0.005, 0.0001);
    ck_assert_float_eq(((float *)ft_model_find(a, "model.norm.weight")->t.data)[7], 1);
    ft_model_free(a);
    ft_model_free(b);
    ft_model_free(c);
}
END_TEST

START_TEST(a_model_to_be_written_has_the_weights_that_one_to_be_trained_has)
{
    ft_model *a, *b;
    const char *path = ft_test_path(config_dir(small_config("{\"hidden_size\": 264, \"vocab_size\": 777}")), "config.json");
    ck_assert_ok(ft_model_init(&a, path, 1));
    ck_assert_ok(ft_model_unmade(&b, path, 1));
    ck_assert_uint_eq(ft_model_count(a), ft_model_count(b));
    ck_assert_uint_eq(ft_model_trainable_count(b), 0);
    for (size_t i = 0; i < ft_model_count(a); i++) {
        const ft_param *x = ft_model_at(a, i), *y = ft_model_at(b, i);
        ck_assert_ptr_null(y->t.data);
        ck_assert_ok(ft_model_hold(b, y));
        ck_assert_uint_eq(ft_tensor_bytes(&x->t), ft_tensor_bytes(&y->t));
        ck_assert_int_eq(memcmp(x->t.data, y->t.data, ft_tensor_bytes(&x->t)), 0);
        ft_model_release(b, y);
        ck_assert_ptr_null(y->t.data);
    }
    ft_model_free(a);
    ft_model_free(b);
}
END_TEST

/* Whether the page of p is in this process's memory: bit 63 of its entry in /proc/self/pagemap. */
static bool is_resident(const void *p)
{
    uint64_t entry = 0;
    FILE *f = fopen("/proc/self/pagemap", "rb");
    if (f && fseek(f, (long)((uintptr_t)p / (uintptr_t)sysconf(_SC_PAGESIZE) * sizeof entry), SEEK_SET) == 0 &&
        fread(&entry, sizeof entry, 1, f) != 1)
        entry = 0;
    if (f)
        fclose(f);
    return entry >> 63;
}

START_TEST(a_released_weight_is_not_resident_and_keeps_its_values)
{
    ft_model *m = random_model("{\"hidden_size\": 128, \"vocab_size\": 512}"), *again;
    const char *dir = ft_test_dir();
    write_hf(m, dir, NULL, NULL);
    ck_assert_ok(ft_model_open(&again, dir, NULL));
    const ft_param *w = ft_model_find(again, "model.embed_tokens.weight");
    const volatile char *middle = (const char *)w->t.data + ft_tensor_bytes(&w->t) / 2;
    char there = *middle;
    if (!is_resident((const void *)middle))
        FT_SKIP("/proc/self/pagemap does not say what is resident");
    ft_model_release(again, w);
    ck_assert(!is_resident((const void *)middle));
    ck_assert_ok(ft_model_hold(again, w));
    ck_assert_int_eq(*middle, there);
    same_logits(m, again);
    ft_model_free(again);
    ft_model_free(m);
}
END_TEST

/* Without records a deeper model needs no more memory for activations. */
START_TEST(evaluation_holds_one_block_at_a_time)
{
    static const int64_t start[] = {0, N};
    size_t peak[2];
    for (int deep = 0; deep < 2; deep++) {
        ft_tape *t;
        ft_model *m = random_model(deep ? "{\"num_hidden_layers\": 24}" : "{\"num_hidden_layers\": 3}");
        ck_assert_ok(ft_tape_new(&t));
        ft_tape_begin(t, false, 0, 0);
        ck_assert_ptr_nonnull(ft_model_forward(m, t, ids, N, &(ft_segments){.n = 1, .start = start}, NULL, 0));
        peak[deep] = ft_tape_stats_of(t).peak_bytes;
        ft_tape_free(t);
        ft_model_free(m);
    }
    ck_assert_uint_le(peak[1], peak[0] + peak[0] / 100);
}
END_TEST

static ft_status open_and_close(const char *path, void *ctx)
{
    return reopen(path);
}

START_TEST(damaged_ggufs_never_crash)
{
    ft_model *m = random_model("{\"attention_bias\": true}");
    const char *path = ft_test_path(ft_test_dir(), "model.gguf");
    write_gguf(m, path, &ft_f32);
    ck_assert_int_gt(ft_test_damage(path, 300, 3, open_and_close, NULL), 100);
    ft_model_free(m);
}
END_TEST

START_TEST(every_failing_allocation_is_survived)
{
    ft_model *m = random_model(NULL);
    const char *dir = ft_test_dir(), *path = ft_test_path(dir, "model.gguf");
    write_hf(m, dir, NULL, NULL);
    write_gguf(m, path, &ft_f32);
    ft_model_free(m);
    for (int k = 0; k < 2; k++) {
        ft_status st = FT_ENOMEM;
        for (long n = 1; st != FT_OK; n++) {
            ft_alloc_fail_at(n);
            st = reopen(k ? path : dir);
            ft_alloc_fail_at(0);
            ck_assert_msg(st == FT_OK || st == FT_ENOMEM, "allocation %ld: status %d: %s", n, st, ft_error());
            ck_assert_int_lt(n, 5000);
        }
    }
}
END_TEST

int main(void)
{
    FT_TESTS("weights", a_written_hf_directory_is_the_same_model, a_written_gguf_is_the_same_model,
             the_config_of_a_gguf_is_a_whole_config_json, unexplained_rope_divisors_are_used_as_they_are,
             a_quantized_gguf_keeps_its_blocks, gguf_turns_neighbouring_rows,
             gguf_metadata_has_the_keys_that_llama_cpp_reads, missing_and_unexpected_tensors_are_named,
             an_old_encoder_checkpoint_is_read,

             a_shape_that_the_config_denies_is_named, a_tied_checkpoint_may_store_either_name,
             a_tied_checkpoint_with_two_different_heads_is_remarked, what_is_no_model_is_said,
             a_gguf_of_another_family_is_named, a_run_folder_holds_its_model, random_weights_are_a_function_of_the_seed,
             a_model_to_be_written_has_the_weights_that_one_to_be_trained_has,
             a_released_weight_is_not_resident_and_keeps_its_values,
             evaluation_holds_one_block_at_a_time, damaged_ggufs_never_crash, every_failing_allocation_is_survived);
}
