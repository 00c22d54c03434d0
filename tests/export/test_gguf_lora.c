/* The adapter as a GGUF: what llama.cpp will compute of the file, (alpha / r) B A with the rows of q and k as neighbouring
 * pairs, is the update that merging adds; what such a file cannot hold is refused. (tests/oracle/test_families has
 * llama.cpp itself open it.) */
#include "export/tiny.h"

static ft_status export_as(ft_model *m, const ft_tokenizer *tok, const ft_dtype *dtype, const char *path)
{
    ft_export_request r = {.model = m, .tokenizer = tok, .path = path, .dtype = dtype, .name = "tuned", .base_name = "org/base"};
    return ft_exporter_named("gguf-lora")->write(&r);
}

static ft_container *reopened(const char *path)
{
    ft_container *c;
    ck_assert_ok(ft_container_open(&c, path));
    return c;
}

static const ft_tensor *tensor_of(const ft_container *c, const char *name, const char *suffix)
{
    char whole[128];
    snprintf(whole, sizeof whole, "%s%s", name, suffix);
    const ft_named *t = ft_container_find(c, whole);
    ck_assert_msg(t != NULL, "%s is missing", whole);
    return &t->t;
}

static double alpha_of(const ft_container *c)
{
    double alpha = 0;
    ck_assert(ft_meta_f64(ft_container_meta(c, "adapter.lora.alpha"), &alpha));
    return alpha;
}

static ft_str text_of(const ft_container *c, const char *key)
{
    ft_str s = {0};
    ck_assert(ft_meta_str(ft_container_meta(c, key), &s));
    return s;
}

/* Row of a llama GGUF's q or k with heads of 16: halves become neighbours. */
static int64_t row_in_gguf(const char *name, int64_t row)
{
    int64_t head = row / 16, i = row % 16;
    return strstr(name, "attn_q") || strstr(name, "attn_k") ? head * 16 + (i % 8) * 2 + i / 8 : row;
}

/* The update of row i, column j by the file, in double. */
static double update_of(const ft_container *c, const char *name, int64_t i, int64_t j)
{
    const ft_tensor *a = tensor_of(c, name, ".lora_a"), *b = tensor_of(c, name, ".lora_b");
    const float *row = (const float *)b->data + row_in_gguf(name, i) * b->shape[1];
    double sum = 0;
    for (int64_t k = 0; k < a->shape[0]; k++)
        sum += (double)row[k] * (double)((const float *)a->data)[k * a->shape[1] + j];
    return alpha_of(c) / (double)b->shape[1] * sum;
}

static int check_weight(ft_model *m, const ft_param *w, const ft_container *c)
{
    char name[128];
    ft_param *a, *b;
    float scale;
    if (!ft_adapter_on(m, w, &a, &b, &scale))
        return 0;
    ck_assert(ft_model_gguf_name(m, w->name, name, sizeof name));
    int64_t rows = w->t.shape[0], cols = w->t.shape[1];
    float *merged = ft_alloc((size_t)(rows * cols), sizeof *merged);
    ck_assert_ok(ft_merge_rows(m, w, 0, rows, merged));
    double largest = 0;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            double want = (double)merged[i * cols + j] - (double)((const float *)w->t.data)[i * cols + j];
            ck_assert_msg(fabs(update_of(c, name, i, j) - want) < 1e-6, "%s [%lld, %lld]: %g, expected %g", name, (long long)i,
                          (long long)j, update_of(c, name, i, j), want);
            largest = fmax(largest, fabs(want));
        }
    ck_assert_double_gt(largest, 0.05);
    ft_free(merged);
    return 1;
}

static int check_all(ft_model *m, const char *path)
{
    int checked = 0;
    ft_container *c = reopened(path);
    for (size_t i = 0; i < ft_model_count(m); i++)
        checked += check_weight(m, ft_model_at(m, i), c);
    ck_assert_uint_eq(ft_container_count(c), 2 * (size_t)checked);
    ft_container_close(c);
    return checked;
}

START_TEST(the_file_holds_the_update)
{
    for (int rslora = 0; rslora < 2; rslora++) {
        tiny t = {.rslora = rslora};
        const char *dir = ft_test_dir(), *path = ft_test_path(dir, "a-lora.gguf");
        ft_model *m = tiny_open(tiny_base(dir, &t));
        tiny_adapt(m, &t);
        ck_assert_ok(export_as(m, NULL, NULL, path));
        ck_assert_int_eq(check_all(m, path), 14);
        ft_container *c = reopened(path);
        ck_assert(ft_str_is(text_of(c, "general.type"), "adapter"));
        ck_assert(ft_str_is(text_of(c, "general.architecture"), "llama"));
        ck_assert(ft_str_is(text_of(c, "adapter.type"), "lora"));
        ck_assert(ft_str_is(text_of(c, "general.base_model.0.organization"), "org"));
        ck_assert_double_eq(alpha_of(c), rslora ? 16 : 8);
        ft_container_close(c);
        ft_model_free(m);
    }
}
END_TEST

/* Puts patterns into the config of a PEFT adapter. */
static void set_patterns(const char *dir)
{
    json_t *config;
    const char *path = ft_test_path(dir, "adapter_config.json");
    ck_assert_ok(ft_json_file(&config, path, 1 << 20));
    json_object_set_new(config, "alpha_pattern", json_pack("{s:i, s:f}", "q_proj", 3, "layers.1.mlp.down_proj", 0.5));
    ck_assert_ok(ft_json_write(config, path));
    json_decref(config);
}

START_TEST(a_scale_of_its_own_is_multiplied_into_b)
{
    tiny t = {.rslora = true};
    const char *dir = ft_test_dir(), *base = tiny_base(dir, &t), *adapter = ft_test_path(dir, "adapter");
    const char *path = ft_test_path(dir, "a-lora.gguf");
    ft_model *m = tiny_open(base);
    tiny_adapt(m, &t);
    ft_export_request r = {.model = m, .path = adapter};
    ck_assert_ok(ft_exporter_named("peft")->write(&r));
    ft_adapter_detach(m);
    set_patterns(adapter);
    ck_assert_ok(ft_adapter_load(m, adapter, false));
    ft_param *a, *b;
    float scale;
    ck_assert(ft_adapter_on(m, ft_model_find(m, "model.layers.0.self_attn.q_proj.weight"), &a, &b, &scale));
    ck_assert_float_eq(scale, 1.5f);
    ck_assert_ok(export_as(m, NULL, NULL, path));
    ft_container *c = reopened(path);
    const ft_tensor *q = tensor_of(c, "blk.0.attn_q.weight", ".lora_b"), *v = tensor_of(c, "blk.0.attn_v.weight", ".lora_b");
    ck_assert_float_eq_tol(*(const float *)q->data, *(const float *)b->t.data * 0.375f, 1e-7f);
    ck_assert(ft_adapter_on(m, ft_model_find(m, "model.layers.0.self_attn.v_proj.weight"), &a, &b, &scale));
    ck_assert_mem_eq(v->data, b->t.data, ft_tensor_bytes(v)); /* nothing to fold: bit for bit */
    ft_container_close(c);
    ft_model_free(m);
}
END_TEST

START_TEST(halves_are_written_where_asked)
{
    static const ft_dtype *const dtypes[] = {&ft_f16, &ft_bf16};
    tiny t = {0};
    const char *dir = ft_test_dir(), *path = ft_test_path(dir, "a-lora.gguf");
    ft_model *m = tiny_open(tiny_base(dir, &t));
    tiny_adapt(m, &t);
    for (size_t i = 0; i < FT_COUNT(dtypes); i++) {
        ck_assert_ok(export_as(m, NULL, dtypes[i], path));
        ft_container *c = reopened(path);
        for (size_t k = 0; k < ft_container_count(c); k++)
            ck_assert_ptr_eq(ft_container_at(c, k)->t.dtype, dtypes[i]);
        ft_container_close(c);
    }
    ck_assert_fails(export_as(m, NULL, &ft_q8_0, path), FT_EUNSUPPORTED, "gguf-lora cannot be written as q8_0");
    ft_model_free(m);
}
END_TEST

START_TEST(trained_modules_and_no_adapter_are_refused)
{
    static const char *const left[] = {"base", "config.json"};
    tiny t = {.save = "lm_head"};
    const char *dir = ft_test_dir(), *path = ft_test_path(dir, "a-lora.gguf");
    ft_model *m = tiny_open(tiny_base(dir, &t));
    ck_assert_fails(export_as(m, NULL, NULL, path), FT_EINPUT, "needs an adapter and the model has none");
    tiny_adapt(m, &t);
    ck_assert_fails(export_as(m, NULL, NULL, path), FT_EUNSUPPORTED, "trained modules (modules_to_save)");
    tiny_only(dir, left, 2);
    ft_model_free(m);
}
END_TEST

static bool holds(const char *path, const char *text)
{
    ft_buf b = {0};
    ck_assert_ok(ft_read_file(&b, path, 1 << 16));
    bool found = strstr(b.p, text) != NULL;
    ft_buf_free(&b);
    return found;
}

START_TEST(the_modelfile_names_base_and_adapter_and_is_found_again)
{
    tiny t = {0};
    const char *dir = ft_test_dir(), *first = ft_test_path(dir, "a-lora.gguf"), *second = ft_test_path(dir, "b-lora.gguf");
    const char *usual = ft_test_path(dir, "Modelfile"), *own = ft_test_path(dir, "Modelfile.b-lora");
    ft_tokenizer *tok;
    ck_assert_ok(ft_tokenizer_open(&tok, tiny_tokenizer(dir)));
    ft_model *m = tiny_open(tiny_base(dir, &t));
    tiny_adapt(m, &t);
    for (int again = 0; again < 2; again++) {
        ck_assert_ok(export_as(m, tok, NULL, first));
        ck_assert_ok(export_as(m, tok, NULL, second));
        ck_assert(holds(usual, "\nFROM ./base\nADAPTER ./a-lora.gguf\nTEMPLATE "));
        ck_assert(holds(own, "\nFROM ./base\nADAPTER ./b-lora.gguf\n"));
    }
    char *found;
    ck_assert_ok(ft_modelfile_path(&found, second));
    ck_assert_str_eq(found, own);
    ft_free(found);
    ft_model_free(m);
    ft_tokenizer_free(tok);
}
END_TEST

/* ---- files that others wrote ---- */

/* One tensor of a file: [rows, cols] of 0.5, but for the first value. */
typedef struct piece {
    const char *name;
    int64_t rows, cols;
    float first;
} piece;

/* Keys of a good file, one of them with another value (NULL: left out). */
static const char *adapter_file(const char *dir, const char *key, const char *value, const piece *pieces, size_t n)
{
    static const char *const keys[][2] = {
        {"general.architecture", "llama"}, {"general.type", "adapter"}, {"adapter.type", "lora"}};
    const char *path = ft_test_path(dir, "other.gguf");
    ft_writer *w;
    ck_assert_ok(ft_writer_open(&w, "gguf", path));
    for (size_t i = 0; i < FT_COUNT(keys); i++) {
        const char *v = key && strcmp(key, keys[i][0]) == 0 ? value : keys[i][1];
        if (v)
            ck_assert_ok(ft_writer_str(w, keys[i][0], ft_str_of(v)));
    }
    for (size_t i = 0; i < n; i++)
        ck_assert_ok(ft_writer_tensor(w, pieces[i].name, &ft_f32, 2, &pieces[i].rows));
    for (size_t i = 0; i < n; i++)
        for (int64_t k = 0; k < pieces[i].rows * pieces[i].cols; k++) {
            float x = k ? 0.5f : pieces[i].first;
            ck_assert_ok(ft_writer_data(w, &x, sizeof x));
        }
    ck_assert_ok(ft_writer_commit(w));
    return path;
}

static const piece good[] = {{"blk.1.ffn_down.weight.lora_a", 2, 128, 1}, {"blk.1.ffn_down.weight.lora_b", 64, 2, 1}};

START_TEST(a_file_without_alpha_has_the_scale_one)
{
    tiny t = {0};
    ft_param *a, *b;
    float scale;
    const char *dir = ft_test_dir();
    ft_model *m = tiny_open(tiny_base(dir, &t));
    ck_assert_ok(ft_adapter_load(m, adapter_file(dir, NULL, NULL, good, 2), false));
    ck_assert(ft_adapter_on(m, ft_model_find(m, "model.layers.1.mlp.down_proj.weight"), &a, &b, &scale));
    ck_assert_float_eq(scale, 1);
    ck_assert(!ft_adapter_on(m, ft_model_find(m, "model.layers.0.mlp.down_proj.weight"), &a, &b, &scale));
    ck_assert_str_eq(ft_adapter_path(m), ft_test_path(dir, "other.gguf"));
    ft_model_free(m);
}
END_TEST

START_TEST(wrong_files_are_named)
{
    static const struct {
        const char *key, *value;
        piece pieces[2];
        size_t n;
        const char *text;
        ft_status kind;
    } wrong[] = {
        {"general.type", "model", {{0}}, 0, "general.type is \"model\", expected \"adapter\"", FT_EUNSUPPORTED},
        {"adapter.type", NULL, {{0}}, 0, "adapter.type is \"\", expected \"lora\"", FT_EUNSUPPORTED},
        {"general.architecture", "qwen2", {{0}}, 0, "general.architecture is \"qwen2\", expected \"llama\"", FT_EUNSUPPORTED},
        {NULL, NULL, {{0}}, 0, "holds no tensor of a LoRA adapter", FT_EFORMAT},
        {NULL, NULL, {{"blk.0.attn_v.weight.lora_a", 2, 64, 1}}, 1, "blk.0.attn_v.weight.lora_a without its other half", FT_EFORMAT},
        {NULL, NULL, {{"blk.0.attn_v.weight.lora_a", 2, 64, 1}, {"blk.0.attn_v.weight.lora_b", 32, 3, 1}}, 2,
         "expected [r, 64] and [32, r]", FT_EFORMAT},
        {NULL, NULL, {{"blk.0.attn_v.weight.lora_a", 64, 2, 1}, {"blk.0.attn_v.weight.lora_b", 32, 2, 1}}, 2,
         "lora_a [64, 2] and blk.0.attn_v.weight.lora_b [32, 2]", FT_EFORMAT},
        {NULL, NULL, {{"blk.0.attn_v.weight.lora_a", 2, 64, NAN}, {"blk.0.attn_v.weight.lora_b", 32, 2, 1}}, 2,
         "row 0: a value is not finite", FT_ENUMERIC},
        {NULL, NULL, {{"token_embd.weight.lora_a", 2, 64, 1}, {"token_embd.weight.lora_b", 96, 2, 1}}, 2,
         "tensor token_embd.weight.lora_a has no place", FT_EUNSUPPORTED},
        {NULL, NULL, {{"blk.9.attn_v.weight.lora_a", 2, 64, 1}, {"blk.9.attn_v.weight.lora_b", 32, 2, 1}}, 2,
         "tensor blk.9.attn_v.weight.lora_a has no place", FT_EUNSUPPORTED},
    };
    tiny t = {0};
    const char *dir = ft_test_dir();
    ft_model *m = tiny_open(tiny_base(dir, &t)), *none;
    for (size_t i = 0; i < FT_COUNT(wrong); i++) {
        const char *path = adapter_file(dir, wrong[i].key, wrong[i].value, wrong[i].pieces, wrong[i].n);
        ck_assert_fails(ft_adapter_load(m, path, false), wrong[i].kind, wrong[i].text);
        ck_assert(!ft_adapter_attached(m));
    }
    const char *path = adapter_file(dir, NULL, NULL, good, 2);
    ck_assert_fails(ft_model_open(&none, path, NULL), FT_EINPUT, "holds an adapter, not a model");
    ft_model_free(m);
}
END_TEST

static ft_status load_damaged(const char *path, void *ctx)
{
    ft_model *m = ctx;
    ft_status st = ft_adapter_load(m, path, true);
    ft_adapter_detach(m);
    return st;
}

START_TEST(damaged_files_never_crash)
{
    tiny t = {0};
    const char *dir = ft_test_dir();
    ft_model *m = tiny_open(tiny_base(dir, &t));
    ck_assert_int_gt(ft_test_damage(adapter_file(dir, NULL, NULL, good, 2), 400, 7, load_damaged, m), 100);
    ft_model_free(m);
}
END_TEST

START_TEST(every_failing_allocation_is_survived)
{
    tiny t = {0};
    const char *dir = ft_test_dir(), *path;
    ft_model *m = tiny_open(tiny_base(dir, &t));
    ft_status st = FT_ENOMEM;
    path = adapter_file(dir, NULL, NULL, good, 2);
    for (long n = 1; st != FT_OK; n++) {
        ft_alloc_fail_at(n);
        st = load_damaged(path, m);
        ft_alloc_fail_at(0);
        ck_assert_msg(st == FT_OK || st == FT_ENOMEM, "allocation %ld: status %d: %s", n, st, ft_error());
        ck_assert_int_lt(n, 5000);
    }
    ft_model_free(m);
}
END_TEST

int main(void)
{
    FT_TESTS("gguf-lora", a_file_without_alpha_has_the_scale_one, wrong_files_are_named, damaged_files_never_crash,
             every_failing_allocation_is_survived, the_file_holds_the_update, a_scale_of_its_own_is_multiplied_into_b, halves_are_written_where_asked,
             trained_modules_and_no_adapter_are_refused, the_modelfile_names_base_and_adapter_and_is_found_again);
}
