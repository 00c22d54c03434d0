/* Every architecture through the exporters: GGUF and HF directory read back give the same outputs; what llama.cpp will do
 * otherwise is said. */
#include "model/fixture.h"
#include "export/export.h"

enum { T = 30 };

static const char *const families[] = {
    "{}",
    "{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "
    "\"original_max_position_embeddings\": 16}}",
    "{\"model_type\": \"mistral\", \"sliding_window\": 7, \"head_dim\": 12}",
    "{\"model_type\": \"qwen2\", \"tie_word_embeddings\": true}",
    "{\"model_type\": \"qwen3\", \"head_dim\": 12}",
    "{\"model_type\": \"phi3\", \"sliding_window\": 20, \"original_max_position_embeddings\": 16, "
    "\"partial_rotary_factor\": 0.75, \"rope_scaling\": {\"type\": \"longrope\", "
    "\"short_factor\": [1, 1.5, 2], \"long_factor\": [1, 5, 11]}}",
    "{\"model_type\": \"gemma2\", \"sliding_window\": 7, \"query_pre_attn_scalar\": 5, "
    "\"attn_logit_softcapping\": 4, \"final_logit_softcapping\": 9}",
    "{\"model_type\": \"gemma3_text\", \"num_hidden_layers\": 6, \"sliding_window\": 7, \"query_pre_attn_scalar\": 5, "
    "\"rope_theta\": 1e6, \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8}}",
    "{\"model_type\": \"smollm3\", \"num_hidden_layers\": 4}",
    "{\"model_type\": \"granite\", \"embedding_multiplier\": 3, \"attention_multiplier\": 0.25, "
    "\"residual_multiplier\": 0.5, \"logits_scaling\": 2}",
    "{\"model_type\": \"olmo2\"}",
    "{\"model_type\": \"bert\"}"};

/* What the last block gives, before a head: [T, C] in new memory. */
static float *states_of(ft_model *m)
{
    ft_tape *t;
    int32_t ids[T];
    int64_t start[] = {0, T};
    for (int i = 0; i < T; i++)
        ids[i] = (i * 11 + 3) % 40;
    ck_assert_ok(ft_tape_new(&t));
    ft_tape_begin(t, false, 0, 0);
    ft_var *x = ft_model_forward(m, t, ids, T, &(ft_segments){.n = 1, .start = start}, NULL, false);
    ck_assert_ok(ft_tape_status(t));
    float *out = ft_alloc((size_t)(x->rows * x->cols), sizeof *out);
    memcpy(out, x->v, (size_t)(x->rows * x->cols) * sizeof *out);
    ft_tape_free(t);
    return out;
}

static ft_status export_as(ft_model *m, const char *format, const char *path)
{
    ft_export_request r = {.model = m, .path = path, .dtype = &ft_f32, .name = "test"};
    return ft_exporter_named(format)->write(&r);
}

static void adapt(ft_model *m)
{
    static const char *const all[] = {"all-linear"};
    ck_assert_ok(ft_adapter_attach(m, &(ft_adapter_spec){.kind = "lora", .r = 3, .alpha = 6, .target_modules = all, .n_targets = 1}));
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        ft_param *p = ft_model_trainable(m, i);
        ft_fill_normal(p->t.data, (size_t)ft_tensor_count(&p->t), 0.1f, 4, FT_STREAM_TEST, i);
    }
}

/* A model with an adapter -> GGUF -> HF directory -> GGUF. The merge rounds, and six blocks with a norm on either side of
 * each sum multiply that some fifty times; what is written and read after it keeps every bit. */
static void check_round(const char *config)
{
    static const char *const steps[][2] = {{"gguf", "a.gguf"}, {"hf", "b"}, {"gguf", "c.gguf"}};
    const char *dir = ft_test_dir();
    ft_model *m = random_model(config);
    adapt(m);
    float *want = states_of(m);
    for (size_t i = 0; i < FT_COUNT(steps); i++) {
        const char *path = ft_test_path(dir, steps[i][1]);
        ck_assert_ok(export_as(m, steps[i][0], path));
        ft_model_free(m);
        ck_assert_ok(ft_model_open(&m, path, NULL));
        float *got = states_of(m);
        double d = distance(got, want, T * 32);
        ck_assert_msg(d <= (i ? 0 : 1e-5), "%s: step %zu (%s) changes the states by %g of the largest", config, i, steps[i][0], d);
        ft_free(want);
        want = got;
    }
    ft_free(want);
    ft_model_free(m);
}

/* The adapter alone, in a GGUF, on the same weights. */
static void check_adapter(const char *config)
{
    const char *path = ft_test_path(ft_test_dir(), "a-lora.gguf");
    ft_model *m = random_model(config), *again = random_model(config);
    adapt(m);
    float *want = states_of(m), *bare = states_of(again);
    ck_assert_ok(export_as(m, "gguf-lora", path));
    ck_assert_ok(ft_adapter_load(again, path, true));
    ck_assert_uint_eq(ft_model_trainable_count(again), ft_model_trainable_count(m));
    float *got = states_of(again);
    double d = distance(got, want, T * 32);
    ck_assert_msg(d <= 1e-5, "%s: the adapter read back changes the states by %g of the largest", config, d);
    ck_assert_double_gt(distance(bare, want, T * 32), 0.01);
    ft_free(got);
    ft_free(want);
    ft_free(bare);
    ft_model_free(m);
    ft_model_free(again);
}

static void no_note(void *ctx, ft_note_level level, const char *text)
{
    (void)ctx;
    (void)level;
    (void)text;
}

START_TEST(exports_read_back_are_the_model)
{
    ft_note_sink(no_note, NULL);
    for (size_t i = 0; i < FT_COUNT(families); i++)
        check_round(families[i]);
    ft_note_sink(NULL, NULL);
}
END_TEST

START_TEST(adapters_in_gguf_read_back_are_the_adapter)
{
    ft_note_sink(no_note, NULL);
    for (size_t i = 0; i < FT_COUNT(families); i++)
        check_adapter(families[i]);
    ft_note_sink(NULL, NULL);
}
END_TEST

static void collect(void *ctx, ft_note_level level, const char *text)
{
    (void)level;
    ft_buf_printf(ctx, "%s\n", text);
}

/* All that is said of an export of this model to GGUF; of the tokenizer that is not there too. */
static ft_buf notes_on(const char *config, ft_status expected)
{
    ft_buf notes = {0};
    ft_model *m = random_model(config);
    ft_note_sink(collect, &notes);
    ck_assert_int_eq(export_as(m, "gguf", ft_test_path(ft_test_dir(), "m.gguf")), expected);
    ft_note_sink(NULL, NULL);
    ft_model_free(m);
    return notes;
}

START_TEST(what_llama_cpp_does_otherwise_is_said)
{
    static const struct {
        const char *config, *text; /* NULL: nothing but that there is no tokenizer */
    } cases[] = {
        {"{}", NULL},
        {"{\"model_type\": \"mistral\", \"sliding_window\": null}", NULL},
        {"{\"model_type\": \"mistral\", \"sliding_window\": 7}", "exact up to 7 tokens"},
        {"{\"model_type\": \"mistral\", \"sliding_window\": 64}", NULL}, /* all positions there are */
        {"{\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"max_window_layers\": 1, \"sliding_window\": 9}",
         "(layer 1): it is exact up to 9 tokens"},
        {"{\"model_type\": \"qwen2\", \"head_dim\": 12}", "heads of 12 where hidden_size / num_attention_heads is 8"},
        {"{\"model_type\": \"gemma2\", \"sliding_window\": 7}", "GELU from a table of halves"},
        {"{\"model_type\": \"bert\"}", "in the tanh form"},
        {"{\"model_type\": \"phi3\", \"original_max_position_embeddings\": 16, \"rope_scaling\": {\"type\": \"longrope\", "
         "\"short_factor\": [1, 1, 1, 1], \"long_factor\": [1, 2, 3, 4]}}",
         "up to 16 tokens in a context of at most as many"},
    };
    for (size_t i = 0; i < FT_COUNT(cases); i++) {
        ft_buf notes = notes_on(cases[i].config, FT_OK);
        bool found = cases[i].text ? strstr(notes.p, cases[i].text) != NULL : !strstr(notes.p, "llama.cpp");
        ck_assert_msg(found, "%s: %s", cases[i].config, notes.p);
        ft_buf_free(&notes);
    }
}
END_TEST

START_TEST(what_llama_cpp_cannot_do_is_refused)
{
    static const struct {
        const char *config, *text;
    } cases[] = {
        {"{\"model_type\": \"smollm3\", \"no_rope_layers\": [0, 1]}", "layer 0 of this model has no rotary positions"},
        {"{\"model_type\": \"gemma2\", \"attn_logit_softcapping\": null}", "caps no scores"},
        {"{\"model_type\": \"gemma3_text\", \"sliding_window_pattern\": 2}", "layer 1 of this model has no window"},
    };
    for (size_t i = 0; i < FT_COUNT(cases); i++) {
        ft_buf notes = notes_on(cases[i].config, FT_EUNSUPPORTED);
        ck_assert_msg(strstr(ft_error(), cases[i].text), "%s: %s", cases[i].config, ft_error());
        ft_buf_free(&notes);
    }
}
END_TEST

int main(void)
{
    FT_TESTS("export/families", exports_read_back_are_the_model, adapters_in_gguf_read_back_are_the_adapter,
             what_llama_cpp_does_otherwise_is_said,
             what_llama_cpp_cannot_do_is_refused);
}
