/* How models pool: the vectors, the files that say it, and what is written of it. */
#include "export/export.h"
#include "fixture.h"

enum { T = 11, C = 32 };
static const int64_t start[] = {0, 1, 5, T};
static const ft_segments segments = {.n = 3, .start = start};

#define ENCODER                                                                                                        \
    "{\"model_type\": \"bert\", \"hidden_size\": 32, \"num_attention_heads\": 4, \"intermediate_size\": 40, "          \
    "\"num_hidden_layers\": 2, \"vocab_size\": 50, \"max_position_embeddings\": 16, \"type_vocab_size\": 2}"
/* As sentence-transformers writes them, with white space of its own: whatever is carried has to stay so. */
#define MODULES                                                                                                        \
    "[{\"idx\":0,\"name\":\"0\",\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"},\n\n"             \
    " {\"idx\":1,\"name\":\"1\",\"path\":\"1_Pooling\",\"type\":\"sentence_transformers.models.Pooling\"}"
#define NORMALIZE ", {\"idx\":2,\"name\":\"2\",\"path\":\"2_Normalize\",\"type\":\"sentence_transformers.models.Normalize\"}"
#define CLS  "{\"word_embedding_dimension\": 32,\t\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": false}"
#define MEAN "{\"pooling_mode\": \"mean\"}"

static const char *model_dir(const char *modules, const char *pooling)
{
    const char *dir = config_dir(ENCODER);
    char *folder = ft_path_join(dir, "1_Pooling");
    write_text(dir, "modules.json", modules);
    ck_assert_ok(ft_mkdirs(folder));
    write_text(folder, "config.json", pooling);
    ft_free(folder);
    return dir;
}

static ft_status open_dir(ft_model **m, const char *dir)
{
    return ft_model_init(m, ft_test_path(dir, "config.json"), 3);
}

static ft_model *encoder(ft_pool kind)
{
    ft_model *m;
    ck_assert_ok(open_dir(&m, config_dir(ENCODER)));
    ck_assert_ok(ft_model_set_pooling(m, &(ft_pooling){.kind = kind, .normalize = true}));
    return m;
}

static void fill(int32_t *ids)
{
    for (int i = 0; i < T; i++)
        ids[i] = (i * 7 + 3) % 50;
}

/* What a way of pooling makes of the states [T, C]. */
static double pooled(ft_pool kind, const float *x, int s, int c)
{
    double sum = 0;
    if (kind != FT_POOL_MEAN)
        return x[(kind == FT_POOL_CLS ? start[s] : start[s + 1] - 1) * C + c];
    for (int64_t i = start[s]; i < start[s + 1]; i++)
        sum += x[i * C + c];
    return sum / (double)(start[s + 1] - start[s]);
}

START_TEST(vectors_are_what_the_states_pool_to)
{
    int32_t ids[T];
    float states[T * C];
    ft_tape *t;
    fill(ids);
    ck_assert_ok(ft_tape_new(&t));
    for (ft_pool kind = FT_POOL_MEAN; kind <= FT_POOL_LAST; kind++) {
        ft_model *m = encoder(kind);
        ft_tape_begin(t, false, 0, 0);
        memcpy(states, ft_model_forward(m, t, ids, T, &segments, NULL, 0)->v, sizeof states);
        const ft_var *y = ft_model_vectors(m, t, ids, T, &segments, 0);
        ck_assert_int_eq(y->rows, 3);
        for (int i = 0; i < 3 * C; i++)
            ck_assert_double_eq_tol(y->v[i], pooled(kind, states, i / C, i % C), 1e-6);
        ft_model_free(m);
    }
    ft_tape_free(t);
}
END_TEST

START_TEST(a_model_tells_how_it_pools)
{
    ft_model *m;
    const char *dir = model_dir(MODULES NORMALIZE "]", CLS);
    write_text(dir, "config_sentence_transformers.json",
               "{\"prompts\": {\"query\": \"Represent this: \", \"passage\": \"\"}, \"default_prompt_name\": null}");
    ck_assert_ok(open_dir(&m, dir));
    ck_assert_int_eq(ft_model_pooling(m)->kind, FT_POOL_CLS);
    ck_assert(ft_model_pooling(m)->normalize);
    ck_assert_str_eq(ft_model_pooling(m)->query_prompt, "Represent this: ");
    ck_assert_ptr_null(ft_model_pooling(m)->document_prompt);
    ft_model_free(m);
    ck_assert_ok(open_dir(&m, model_dir(MODULES "]", MEAN)));
    ck_assert_int_eq(ft_model_pooling(m)->kind, FT_POOL_MEAN);
    ck_assert(!ft_model_pooling(m)->normalize);
    ft_model_free(m);
}
END_TEST

START_TEST(what_cannot_be_done_is_refused)
{
    ft_model *m;
    ck_assert_fails(open_dir(&m, model_dir(MODULES ", {\"path\": \"2_Dense\", \"type\": \"sentence_transformers.models.Dense\"}]", CLS)),
                    FT_EUNSUPPORTED, "models.Dense");
    ck_assert_fails(open_dir(&m, model_dir(MODULES "]", "{\"pooling_mode_max_tokens\": true}")), FT_EUNSUPPORTED, "lasttoken");
    ck_assert_fails(open_dir(&m, model_dir(MODULES "]", "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": true}")),
                    FT_EUNSUPPORTED, "lasttoken");
    ck_assert_fails(open_dir(&m, model_dir(MODULES "]", "{\"pooling_mode\": \"cls\", \"include_prompt\": false}")),
                    FT_EUNSUPPORTED, "include_prompt");
    ck_assert_fails(open_dir(&m, model_dir("[{\"path\": \"../x\", \"type\": \"Pooling\"}]", CLS)), FT_EFORMAT, "../x");
    ck_assert_fails(open_dir(&m, model_dir("{}", CLS)), FT_EFORMAT, "modules");
    ck_assert_ok(open_dir(&m, config_dir(ENCODER)));
    ck_assert_fails(ft_model_check_pooling(m), FT_EINPUT, "pools");
    ft_model_free(m);
}
END_TEST

static ft_status export_to(const char *format, ft_model *m, const char *path)
{
    ft_export_request r = {.model = m, .path = path, .dtype = strcmp(format, "peft") == 0 ? NULL : &ft_f32, .base_name = "base"};
    return ft_exporter_named(format)->write(&r);
}

static void same_file(const char *a, const char *b, const char *name)
{
    ft_buf x = {0}, y = {0};
    ck_assert_ok(ft_read_file(&x, ft_test_path(a, name), 1 << 16));
    ck_assert_ok(ft_read_file(&y, ft_test_path(b, name), 1 << 16));
    ck_assert_uint_eq(x.n, y.n);
    ck_assert_mem_eq(x.p, y.p, x.n);
    ft_buf_free(&x);
    ft_buf_free(&y);
}

START_TEST(files_of_the_base_are_carried_byte_for_byte)
{
    static const char *const names[] = {"modules.json", "1_Pooling/config.json", "sentence_bert_config.json"};
    ft_model *m;
    char dir[512], out[512];
    snprintf(dir, sizeof dir, "%s", model_dir(MODULES NORMALIZE "]", CLS));
    snprintf(out, sizeof out, "%s/out", dir);
    write_text(dir, "sentence_bert_config.json", "{ \"max_seq_length\": 16 }");
    ck_assert_ok(open_dir(&m, dir));
    ck_assert_ok(export_to("hf", m, out));
    ck_assert_ok(export_to("hf", m, out)); /* over the first one, with its folder */
    for (size_t i = 0; i < FT_COUNT(names); i++)
        same_file(dir, out, names[i]);
    ft_model_free(m);
    ck_assert_ok(ft_export_remove(out));
    ck_assert(!ft_exists(out));
}
END_TEST

START_TEST(an_export_with_a_strange_file_in_a_modules_folder_stays)
{
    ft_model *m = encoder(FT_POOL_MEAN);
    const char *out = ft_test_path(ft_test_dir(), "out");
    ck_assert_ok(export_to("hf", m, out));
    write_text(out, "1_Pooling/notes.txt", "mine");
    ck_assert_fails(export_to("hf", m, out), FT_EINPUT, "notes.txt");
    ck_assert(ft_exists(ft_test_path(out, "1_Pooling/notes.txt")));
    ft_model_free(m);
}
END_TEST

static void check_written(const char *path, ft_pool kind)
{
    ft_model *m;
    ck_assert_ok(ft_model_open(&m, path, NULL));
    ck_assert_int_eq(ft_model_pooling(m)->kind, kind);
    ck_assert(ft_model_pooling(m)->normalize);
    ft_model_free(m);
}

START_TEST(what_was_asked_for_is_written_and_read_again)
{
    for (ft_pool kind = FT_POOL_MEAN; kind <= FT_POOL_LAST; kind++) {
        ft_model *m = encoder(kind);
        const char *dir = ft_test_dir(), *out = ft_test_path(dir, "hf"), *gguf = ft_test_path(dir, "m.gguf");
        ck_assert_ok(export_to("hf", m, out));
        check_written(out, kind);
        ck_assert_ok(export_to("gguf", m, gguf));
        check_written(gguf, kind);
        ft_model_free(m);
    }
}
END_TEST

START_TEST(what_sentence_transformers_reads_is_there)
{
    ft_model *m = encoder(FT_POOL_CLS);
    json_t *o;
    const char *out = ft_test_path(ft_test_dir(), "hf");
    ck_assert_ok(ft_model_set_pooling(m, &(ft_pooling){.kind = FT_POOL_LAST, .normalize = true, .query_prompt = "query: "}));
    ck_assert_ok(export_to("hf", m, out));
    ft_model_free(m);
    ck_assert_ok(ft_json_file(&o, ft_test_path(out, "modules.json"), 1 << 16));
    ck_assert_uint_eq(json_array_size(o), 3);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(o, 1), "path")), "1_Pooling");
    json_decref(o);
    ck_assert_ok(ft_json_file(&o, ft_test_path(out, "1_Pooling/config.json"), 1 << 16));
    ck_assert_int_eq(json_integer_value(json_object_get(o, "word_embedding_dimension")), C);
    ck_assert(json_is_true(json_object_get(o, "pooling_mode_lasttoken")));
    ck_assert(json_is_false(json_object_get(o, "pooling_mode_cls_token")));
    json_decref(o);
    ck_assert_ok(ft_json_file(&o, ft_test_path(out, "config_sentence_transformers.json"), 1 << 16));
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(o, "prompts"), "query")), "query: ");
    json_decref(o);
}
END_TEST

START_TEST(an_adapter_brings_its_way_of_pooling_along)
{
    static const char *const all[] = {"all-linear"};
    ft_model *m = encoder(FT_POOL_MEAN);
    const char *dir = ft_test_dir(), *base = ft_test_path(dir, "base"), *out = ft_test_path(dir, "adapter");
    ck_assert_ok(ft_model_set_pooling(m, &(ft_pooling){.kind = FT_POOL_NONE}));
    ck_assert_ok(export_to("hf", m, base));
    ck_assert(!ft_exists(ft_test_path(base, "modules.json")));
    ft_model_free(m);
    ck_assert_ok(ft_model_open(&m, base, NULL));
    ck_assert_ok(ft_adapter_attach(m, &(ft_adapter_spec){.kind = "lora", .r = 2, .alpha = 4, .target_modules = all, .n_targets = 1}));
    ck_assert_ok(ft_model_set_pooling(m, &(ft_pooling){.kind = FT_POOL_CLS, .normalize = true}));
    ck_assert_ok(export_to("peft", m, out));
    ft_model_free(m);
    check_written(out, FT_POOL_CLS);
}
END_TEST

int main(void)
{
    FT_TESTS("model/pooling", vectors_are_what_the_states_pool_to, a_model_tells_how_it_pools, what_cannot_be_done_is_refused,
             files_of_the_base_are_carried_byte_for_byte, an_export_with_a_strange_file_in_a_modules_folder_stays,
             what_was_asked_for_is_written_and_read_again, what_sentence_transformers_reads_is_there,
             an_adapter_brings_its_way_of_pooling_along);
}
