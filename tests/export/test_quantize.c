/* Mixes of types, stand-ins, one GGUF to another, importance matrices in both of llama.cpp's formats. What llama.cpp itself
 * chooses and writes is compared in tests/oracle/test_mixes. */
#include "export/tiny.h"

static const ft_mix *mix(const char *name)
{
    const ft_mix *m = ft_mix_named(name);
    ck_assert_msg(m != NULL, "no mix %s", name);
    return m;
}

typedef struct expected {
    const char *mix, *tensor;
    int64_t cols;
    const ft_dtype *dtype;
} expected;

/* By hand, from the rules that llama.cpp documents: 32 layers, 32 heads on 8. */
START_TEST(tensors_get_the_types_of_their_mix)
{
    const ft_mix_shape tied = {.layers = 32, .heads = 32, .kv_heads = 8};
    static const expected cases[] = {
        {"q4_k_m", "token_embd.weight", 2048, &ft_q6_k},      {"q4_k_m", "blk.0.attn_v.weight", 2048, &ft_q6_k},
        {"q4_k_m", "blk.4.attn_v.weight", 2048, &ft_q4_k},    {"q4_k_m", "blk.6.ffn_down.weight", 8192, &ft_q6_k},
        {"q4_k_m", "blk.31.ffn_down.weight", 8192, &ft_q6_k}, {"q4_k_m", "blk.31.ffn_up.weight", 2048, &ft_q4_k},
        {"q4_k_s", "blk.3.attn_v.weight", 2048, &ft_q5_k},    {"q4_k_s", "blk.4.ffn_down.weight", 2048, &ft_q4_k},
        {"q3_k_m", "blk.1.attn_v.weight", 2048, &ft_q5_k},    {"q3_k_m", "blk.2.attn_v.weight", 2048, &ft_q4_k},
        {"q3_k_m", "blk.2.ffn_down.weight", 8192, &ft_q4_k},  {"q2_k", "blk.9.attn_v.weight", 2048, &ft_q4_k},
        {"q2_k", "blk.9.attn_output.weight", 2048, &ft_q3_k}, {"iq4_xs", "blk.3.ffn_down.weight", 8192, &ft_q5_k},
        {"q8_0", "token_embd.weight", 2048, &ft_q8_0},        {"q4_0", "token_embd.weight", 2048, &ft_q6_k},
        /* rows of 576: no whole number of blocks of 256 */
        {"q4_k_m", "token_embd.weight", 576, &ft_q8_0},       {"q4_k_m", "blk.0.attn_q.weight", 576, &ft_q5_0},
        {"q4_k_m", "blk.0.attn_v.weight", 576, &ft_q8_0},     {"q4_k_m", "blk.4.ffn_down.weight", 1536, &ft_q4_k},
        {"q5_k_m", "blk.4.attn_q.weight", 576, &ft_q5_1},     {"q2_k", "blk.9.attn_q.weight", 576, &ft_iq4_nl},
        {"q3_k_s", "blk.9.attn_q.weight", 576, &ft_iq4_nl},   {"q4_0", "blk.9.attn_q.weight", 100, &ft_f16},
        {"q6_k", "blk.9.attn_q.weight", 576, &ft_q8_0},       {"q6_k", "blk.9.attn_q.weight", 48, &ft_f16},
    };
    for (size_t i = 0; i < FT_COUNT(cases); i++) {
        const ft_dtype *wanted, *d = ft_mix_type(mix(cases[i].mix), &tied, cases[i].tensor, cases[i].cols, &wanted);
        ck_assert_msg(d == cases[i].dtype, "%s %s [%d]: %s, expected %s", cases[i].mix, cases[i].tensor,
                      (int)cases[i].cols, d->name, cases[i].dtype->name);
        ck_assert_int_eq(cases[i].cols % d->block_len, 0);
        ck_assert((wanted == d) == (cases[i].cols % wanted->block_len == 0));
    }
    const ft_mix_shape untied = {.layers = 32, .heads = 32, .kv_heads = 32, .has_output = true};
    ck_assert_ptr_eq(ft_mix_type(mix("q4_k"), &untied, "token_embd.weight", 2048, NULL), &ft_q4_k);
    ck_assert_ptr_eq(ft_mix_type(mix("q4_k"), &untied, "output.weight", 2048, NULL), &ft_q6_k);
    ck_assert_ptr_eq(ft_mix_type(mix("q2_k"), &untied, "blk.9.attn_v.weight", 2048, NULL), &ft_q3_k);
}
END_TEST

START_TEST(every_mix_is_one_that_the_exporter_names)
{
    const char *list = ft_exporter_named("gguf")->dtypes;
    char names[1024] = "";
    for (size_t i = 0; ft_mix_at(i); i++) {
        ck_assert_ptr_eq(ft_mix_named(ft_mix_at(i)->name), ft_mix_at(i));
        ck_assert(ft_mix_at(i)->dtype->ggml_id >= 0 && ft_mix_at(i)->help);
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? "|" : "", ft_mix_at(i)->name);
    }
    ck_assert_str_eq(list, names);
    ck_assert_ptr_null(ft_mix_named("q4_k_xl"));
    ck_assert(ft_mix_quantizes("blk.0.attn_q.weight", 2));
    ck_assert(!ft_mix_quantizes("blk.0.attn_q.bias", 1));
    ck_assert(!ft_mix_quantizes("blk.0.attn_norm.weight", 2));
    ck_assert(!ft_mix_quantizes("position_embd.weight", 2));
    ck_assert(!ft_mix_quantizes("blk.0.attn_norm.weight", 1));
}
END_TEST

static const char *tiny_gguf(const char *dir, const ft_dtype *dtype)
{
    const char *path = ft_test_path(dir, "tiny.gguf");
    ft_model *m = tiny_open(tiny_base(dir, &(tiny){.tied = true}));
    ft_export_request r = {.model = m, .path = path, .dtype = dtype};
    ck_assert_ok(ft_exporter_named("gguf")->write(&r));
    ft_model_free(m);
    return path;
}

static void count_tensor(void *ctx, const ft_quantized *q)
{
    int *n = ctx;
    n[0]++;
    n[1] += q->to != q->wanted;
    n[2] += q->weighted;
    ck_assert(q->ndim > 1 || q->to == &ft_f32);
    ck_assert(q->from && q->bytes > 0);
}

/* Each encoded row is what the dtype makes of the source's row, whatever the tiles and threads. */
START_TEST(a_gguf_becomes_another_value_by_value)
{
    const char *dir = ft_test_dir(), *in = tiny_gguf(dir, &ft_f32), *out = ft_test_path(dir, "out.gguf");
    int n[3] = {0};
    ft_container *a, *b;
    ft_quantize_request r = {.in = in, .out = out, .mix = mix("q4_k_m"), .on_tensor = count_tensor, .tensor_ctx = n};
    ck_assert_ok(ft_quantize(&r));
    ck_assert_ok(ft_container_open(&a, in));
    ck_assert_ok(ft_container_open(&b, out));
    ck_assert_uint_eq(ft_container_count(a), ft_container_count(b));
    ck_assert_int_eq(n[0], (int)ft_container_count(a));
    ck_assert_int_eq(n[1], 15); /* rows of 64 and 128: every matrix */
    int64_t type;
    ck_assert(ft_meta_i64(ft_container_meta(b, "general.file_type"), &type) && type == 15);
    ck_assert_uint_eq(ft_container_meta_count(b), ft_container_meta_count(a) + 1); /* quantization_version */
    for (size_t i = 0; i < ft_container_count(a); i++) {
        const ft_tensor *x = &ft_container_at(a, i)->t, *y = &ft_container_at(b, i)->t;
        ck_assert_str_eq(ft_container_at(a, i)->name, ft_container_at(b, i)->name);
        char *row = ft_alloc(ft_tensor_row_bytes(y), 1);
        for (int64_t k = 0; k < ft_tensor_rows(x); k++) {
            y->dtype->encode(ft_tensor_row(x, k), NULL, ft_tensor_cols(x), row);
            ck_assert_mem_eq(row, ft_tensor_row(y, k), ft_tensor_row_bytes(y));
        }
        ft_free(row);
    }
    ft_container_close(a);
    ft_container_close(b);
    ft_model_free(tiny_open(out));
}
END_TEST

START_TEST(what_cannot_be_quantized_is_refused)
{
    const char *dir = ft_test_dir(), *in = tiny_gguf(dir, &ft_q8_0), *out = ft_test_path(dir, "out.gguf");
    ft_quantize_request r = {.in = in, .out = in, .mix = mix("q4_0")};
    ck_assert_fails(ft_quantize(&r), FT_EINPUT, "would replace the file it is made from");
    r.out = out;
    r.in = ft_test_path(dir, "base");
    ck_assert_fails(ft_quantize(&r), FT_EINPUT, "expected a GGUF");
    r.in = ft_test_path(dir, "none.gguf");
    ck_assert_fails(ft_quantize(&r), FT_EINPUT, "none.gguf");
    /* an infinite scale in the file: told by tensor and row, nothing is written */
    ft_container *c;
    ft_buf bytes = {0};
    ck_assert_ok(ft_container_open(&c, in));
    const ft_tensor *q = &ft_container_find(c, "blk.1.ffn_up.weight")->t;
    ck_assert_ok(ft_read_file(&bytes, in, 1 << 24));
    char first[68];
    memcpy(first, ft_tensor_row(q, 5), sizeof first);
    for (size_t i = 0; i + sizeof first < bytes.n; i++)
        if (memcmp(bytes.p + i, first, sizeof first) == 0)
            memcpy(bytes.p + i, "\0\x7c", 2);
    ft_container_close(c);
    r.in = ft_test_path(dir, "damaged.gguf");
    ck_assert_ok(ft_write_file(r.in, bytes.p, bytes.n));
    ck_assert_fails(ft_quantize(&r), FT_ENUMERIC, "blk.1.ffn_up.weight");
    r.mix = mix("q8_0"); /* copied, not encoded again: looked at all the same */
    ck_assert_fails(ft_quantize(&r), FT_ENUMERIC, "blk.1.ffn_up.weight: row 5");
    ck_assert(!ft_exists(out));
    ft_buf_free(&bytes);
}
END_TEST

/* ---- importance matrices ---- */

static ft_imatrix *example(void)
{
    static const float x[3 * 4] = {1, 2, 3, 4, -1, 0, 1, 0, 0, 0, 2, 2};
    ft_imatrix *m;
    ck_assert_ok(ft_imatrix_new(&m));
    ck_assert_ok(ft_imatrix_add(m, "blk.0.attn_q.weight", x, 2, 4));
    ck_assert_ok(ft_imatrix_add(m, "blk.0.attn_q.weight", x + 8, 1, 4));
    ck_assert_ok(ft_imatrix_add(m, "output.weight", x, 1, 2));
    return m;
}

static void check_example(const ft_imatrix *m)
{
    static const float q[4] = {2.0f / 3, 4.0f / 3, 14.0f / 3, 20.0f / 3}, head[2] = {1, 4};
    const float *v;
    ck_assert_uint_eq(ft_imatrix_count(m), 2);
    ck_assert_ok(ft_imatrix_find(m, "blk.0.attn_q.weight", 4, &v));
    for (int i = 0; i < 4; i++)
        ck_assert_float_eq_tol(v[i], q[i], 1e-6f);
    ck_assert_ok(ft_imatrix_find(m, "output.weight", 2, &v));
    ck_assert_mem_eq(v, head, sizeof head);
    ck_assert_ok(ft_imatrix_find(m, "blk.1.attn_q.weight", 4, &v));
    ck_assert_ptr_null(v);
    ck_assert_fails(ft_imatrix_find(m, "output.weight", 3, &v), FT_EFORMAT, "2 columns for output.weight, the tensor has 3");
}

static ft_status open_and_free(const char *path, void *ctx)
{
    ft_imatrix *m = NULL;
    ft_status st = ft_imatrix_open(&m, path);
    ft_imatrix_free(m);
    return st;
}

START_TEST(importance_comes_back_from_both_formats)
{
    const char *dir = ft_test_dir(), *names[] = {"x.gguf", "x.dat"};
    ft_imatrix *m = example();
    check_example(m);
    for (int i = 0; i < 2; i++) {
        const char *path = ft_test_path(dir, names[i]);
        ft_imatrix *back;
        ck_assert_ok(ft_imatrix_write(m, path, "notes.txt", 512, 3));
        ck_assert_ok(ft_imatrix_open(&back, path));
        check_example(back);
        ft_imatrix_free(back);
        ck_assert_int_gt(ft_test_damage(path, 1500, 11, open_and_free, NULL), 100);
    }
    ft_imatrix_free(m);
}
END_TEST

/* The older format byte by byte: one matrix "ab", 2 calls, 3 columns, the sums of two calls. */
START_TEST(the_older_format_is_read_by_its_description)
{
    static const char file[] = "\1\0\0\0" "\2\0\0\0" "ab" "\2\0\0\0" "\3\0\0\0"
                               "\0\0\0\x40" "\0\0\x80\x40" "\0\0\0\0" "\2\0\0\0" "\1\0\0\0" "t";
    const char *path = ft_test_path(ft_test_dir(), "old.dat");
    const float *v;
    ft_imatrix *m;
    ck_assert_ok(ft_write_file(path, file, sizeof file - 1));
    ck_assert_ok(ft_imatrix_open(&m, path));
    ck_assert_ok(ft_imatrix_find(m, "ab", 3, &v));
    ck_assert(v[0] == 1 && v[1] == 2 && v[2] == 0);
    ft_imatrix_free(m);
    ck_assert_ok(ft_write_file(path, file, 20));
    ck_assert_fails(ft_imatrix_open(&m, path), FT_EFORMAT, "at byte 18: values of 12 bytes, but 2 are left");
    ck_assert_ok(ft_write_file(path, "\xff\xff\xff\x7f", 4));
    ck_assert_fails(ft_imatrix_open(&m, path), FT_EFORMAT, "the number of matrices is 2147483647");
    ck_assert_ok(ft_write_file(path, "", 0));
    ck_assert_fails(ft_imatrix_open(&m, path), FT_EFORMAT, "no importance matrix");
}
END_TEST

/* The columns that matter are the ones that are stored well. */
START_TEST(an_importance_matrix_decides_what_is_rounded_well)
{
    const char *dir = ft_test_dir(), *in = tiny_gguf(dir, &ft_f32), *out = ft_test_path(dir, "out.gguf");
    static const char name[] = "blk.0.ffn_down.weight";
    float x[128], y[128], heavy[128];
    int n[3] = {0};
    ft_imatrix *m;
    for (int i = 0; i < 128; i++)
        heavy[i] = i % 4 ? 0.1f : 10;
    ck_assert_ok(ft_imatrix_new(&m));
    ck_assert_ok(ft_imatrix_add(m, name, heavy, 1, 128));
    double error[2] = {0};
    for (int weighted = 0; weighted < 2; weighted++) {
        ft_container *a, *b;
        ft_quantize_request r = {.in = in, .out = out, .mix = mix("q4_0"), .imatrix = weighted ? m : NULL,
                                 .on_tensor = count_tensor, .tensor_ctx = n};
        ck_assert_ok(ft_quantize(&r));
        ck_assert_int_eq(n[2], weighted);
        ck_assert_ok(ft_container_open(&a, in));
        ck_assert_ok(ft_container_open(&b, out));
        for (int64_t k = 0; k < 64; k++) {
            ft_tensor_decode_rows(&ft_container_find(a, name)->t, k, k + 1, x);
            ft_tensor_decode_rows(&ft_container_find(b, name)->t, k, k + 1, y);
            for (int i = 0; i < 128; i += 4)
                error[weighted] += (double)(x[i] - y[i]) * (x[i] - y[i]);
        }
        ft_container_close(a);
        ft_container_close(b);
    }
    ck_assert_msg(error[1] < 0.8 * error[0], "%g with importance, %g without", error[1], error[0]);
    ft_imatrix_free(m);
    ck_assert_ok(ft_imatrix_new(&m));
    ck_assert_ok(ft_imatrix_add(m, name, heavy, 1, 64));
    ft_quantize_request r = {.in = in, .out = out, .mix = mix("q4_0"), .imatrix = m};
    ck_assert_fails(ft_quantize(&r), FT_EFORMAT, "64 columns for blk.0.ffn_down.weight, the tensor has 128");
    ft_imatrix_free(m);
}
END_TEST

/* ---- a base held in fewer bits ---- */

static ft_model *open_in(const char *path, const ft_dtype *dtype)
{
    ft_model *m;
    ck_assert_ok(ft_model_open(&m, path, &(ft_model_options){.quantize_base = dtype}));
    return m;
}

static void check_held(ft_model *wide, ft_model *held, const ft_dtype *dtype)
{
    char row[1024];
    float x[128];
    for (size_t i = 0; i < ft_model_count(wide); i++) {
        const ft_tensor *a = &ft_model_at(wide, i)->t, *b = &ft_model_at(held, i)->t;
        bool linear = strstr(ft_model_at(wide, i)->name, "_proj.weight") != NULL;
        int64_t cols = ft_tensor_cols(a);
        ck_assert_msg(b->dtype == (linear ? ft_dtype_for_rows(dtype, cols) : a->dtype), "%s: %s",
                      ft_model_at(wide, i)->name, b->dtype->name);
        ck_assert_ptr_eq(ft_model_stored_dtype(ft_model_at(held, i)), ft_model_stored_dtype(ft_model_at(wide, i)));
        for (int64_t r = 0; r < ft_tensor_rows(a); r++) {
            ft_tensor_decode_rows(a, r, r + 1, x);
            b->dtype->encode(x, NULL, cols, row);
            ck_assert_mem_eq(row, ft_tensor_row(b, r), ft_tensor_row_bytes(b));
        }
    }
}

/* From a directory and from a GGUF, whose q and k rows stand in another order. */
START_TEST(a_base_is_held_in_the_type_asked_for)
{
    static const ft_dtype *const types[] = {&ft_nf4, &ft_q8_0, &ft_q4_0, &ft_q4_k};
    const char *dir = ft_test_dir(), *gguf = tiny_gguf(dir, &ft_f16), *places[] = {ft_test_path(dir, "base"), gguf};
    for (size_t p = 0; p < FT_COUNT(places); p++) {
        ft_model *wide = tiny_open(places[p]);
        float *expected = tiny_logits(wide);
        for (size_t k = 0; k < FT_COUNT(types); k++) {
            ft_model *held = open_in(places[p], types[k]);
            check_held(wide, held, types[k]);
            float *logits = tiny_logits(held);
            double off = tiny_distance(logits, expected);
            ck_assert_msg(off > 1e-5 && off < (types[k] == &ft_q8_0 ? 0.1 : 0.9), "%s: %g", types[k]->name, off);
            ft_free(logits);
            ft_model_free(held);
        }
        ft_free(expected);
        ft_model_free(wide);
    }
}
END_TEST

/* What a GGUF has quantized stays as it is, bit for bit. */
START_TEST(a_quantized_base_stays_as_it_is)
{
    const char *dir = ft_test_dir(), *in = tiny_gguf(dir, &ft_f32), *out = ft_test_path(dir, "out.gguf");
    ck_assert_ok(ft_quantize(&(ft_quantize_request){.in = in, .out = out, .mix = mix("q4_k_m")}));
    ft_model *a = tiny_open(out), *b = open_in(out, &ft_nf4);
    for (size_t i = 0; i < ft_model_count(a); i++) {
        const ft_tensor *x = &ft_model_at(a, i)->t, *y = &ft_model_at(b, i)->t;
        ck_assert_ptr_eq(x->dtype, y->dtype);
        ck_assert_mem_eq(x->data, y->data, ft_tensor_bytes(x));
    }
    ft_model_free(a);
    ft_model_free(b);
}
END_TEST

static ft_status open_and_close(const char *path, void *ctx)
{
    ft_model *m = NULL;
    ft_status st = ft_model_open(&m, path, &(ft_model_options){.quantize_base = ctx});
    ft_model_free(m);
    return st;
}

/* Finds the bytes of a row in a file and puts others over their beginning. */
static const char *patched(const char *dir, const char *path, const void *row, size_t n, const void *with, size_t m)
{
    ft_buf bytes = {0};
    const char *out = ft_test_path(dir, "patched.gguf");
    int found = 0;
    ck_assert_ok(ft_read_file(&bytes, path, 1 << 24));
    for (size_t i = 0; i + n <= bytes.n; i++)
        if (memcmp(bytes.p + i, row, n) == 0) {
            memcpy(bytes.p + i, with, m);
            found++;
        }
    ck_assert_int_eq(found, 1);
    ck_assert_ok(ft_write_file(out, bytes.p, bytes.n));
    ft_buf_free(&bytes);
    return out;
}

START_TEST(a_base_with_numbers_that_are_none_is_refused)
{
    static const uint16_t infinity = 0x7c00, nan = 0x7e01;
    const char *dir = ft_test_dir(), *path = tiny_gguf(dir, &ft_f16);
    ft_model *m;
    char row[256];
    ck_assert_fails(ft_model_open(&m, path, &(ft_model_options){.trainable = true, .quantize_base = &ft_nf4}), FT_EINPUT,
                    "cannot be held in nf4");
    ft_container *c;
    ck_assert_ok(ft_container_open(&c, path));
    memcpy(row, ft_tensor_row(&ft_container_find(c, "blk.1.ffn_down.weight")->t, 3), 256);
    ft_container_close(c);
    const char *bad = patched(dir, path, row, 256, &infinity, 2);
    ft_model_free(tiny_open(bad)); /* floats are looked at where they are encoded */
    ck_assert_fails(ft_model_open(&m, bad, &(ft_model_options){.quantize_base = &ft_nf4}), FT_ENUMERIC,
                    "tensor blk.1.ffn_down.weight, row 3");
    path = tiny_gguf(dir, &ft_q8_0);
    ck_assert_ok(ft_container_open(&c, path));
    memcpy(row, ft_tensor_row(&ft_container_find(c, "blk.0.attn_q.weight")->t, 9), 68);
    ft_container_close(c);
    ck_assert_fails(ft_model_open(&m, patched(dir, path, row, 68, &nan, 2), NULL), FT_ENUMERIC,
                    "tensor blk.0.attn_q.weight, row 9: a scale of a q8_0 block is not finite");
    ck_assert_int_gt(ft_test_damage(path, 200, 5, open_and_close, (void *)&ft_q4_0), 20);
}
END_TEST

int main(void)
{
    FT_TESTS("quantize", tensors_get_the_types_of_their_mix, every_mix_is_one_that_the_exporter_names,
             a_gguf_becomes_another_value_by_value, what_cannot_be_quantized_is_refused,
             importance_comes_back_from_both_formats, the_older_format_is_read_by_its_description,
             an_importance_matrix_decides_what_is_rounded_well, a_base_is_held_in_the_type_asked_for,
             a_quantized_base_stays_as_it_is, a_base_with_numbers_that_are_none_is_refused);
}
