/* Containers as real files hold them, and as fettle writes them. What real files hold was read with Python (struct,
 * json, numpy); what fettle writes is read again by tests/oracle/check_containers.py. */
#include "file/container.h"
#include "support/support.h"

static double sum_of(const ft_named *n, float *first, float *last)
{
    int64_t cols = ft_tensor_cols(&n->t), rows = ft_tensor_rows(&n->t);
    float *x = malloc((size_t)cols * sizeof *x); /* not ft_alloc: that is made to fail */
    double sum = 0;
    for (int64_t r = 0; r < rows; r++) {
        ft_tensor_decode_rows(&n->t, r, r + 1, x);
        for (int64_t i = 0; i < cols; i++)
            sum += x[i];
        if (r == 0)
            *first = x[1];
    }
    *last = x[cols - 1];
    free(x);
    return sum;
}

typedef struct fact {
    const char *model, *tensor;
    const ft_dtype *dtype;
    int ndim;
    int64_t rows, cols;
    float second, last; /* elements of the whole */
    double sum;
} fact;
static const fact facts[] = {
    {"stories260K", "model.layers.0.mlp.down_proj.weight", &ft_f32, 2, 64, 172, 0x1.12ead2p-4f, -0x1.d3ca76p-4f,
     2.412316798055599},
    {"stories260K", "model.norm.weight", &ft_f32, 1, 1, 64, 0x1.5e08dcp+0f, 0x1.b530dep+0f, 115.95276230573654},
    {"tinystories-656k", "lm_head.weight", &ft_f32, 2, 2048, 128, -0x1.a8p-6f, -0x1.bp-2f, 2512.834466814995},
    {"calib-5m", "model.embed_tokens.weight", &ft_f16, 2, 4096, 256, 0x1.3dp-7f, -0x1.35p-5f, -3862.8069370388985},
    {"calib-5m", "model.norm.weight", &ft_f16, 1, 1, 256, 0x1.784p+0f, 0x1.53p+0f, 347.771484375},
};

START_TEST(real_safetensors_hold_what_python_reads)
{
    if (!ft_test_shared("models"))
        FT_SKIP("../shared is absent");
    for (size_t i = 0; i < FT_COUNT(facts); i++) {
        const fact *f = &facts[i];
        ft_container *c;
        float second, last;
        ck_assert_ok(ft_container_open(&c, ft_test_path(ft_test_shared("models"), f->model)));
        ck_assert_str_eq(ft_container_format(c), "safetensors");
        const ft_named *n = ft_container_find(c, f->tensor);
        ck_assert_ptr_nonnull(n);
        ck_assert_ptr_eq(n->t.dtype, f->dtype);
        ck_assert_int_eq(n->t.ndim, f->ndim);
        ck_assert_int_eq(ft_tensor_rows(&n->t), f->rows);
        ck_assert_int_eq(ft_tensor_cols(&n->t), f->cols);
        ck_assert_double_eq_tol(sum_of(n, &second, &last), f->sum, 1e-9);
        ck_assert(second == f->second && last == f->last);
        ft_container_close(c);
    }
}
END_TEST

START_TEST(a_directory_is_opened_by_its_file)
{
    const char *dir = ft_test_shared("models/tinystories-656k");
    ft_container *c;
    ft_str s;
    if (!dir)
        FT_SKIP("../shared is absent");
    ck_assert_ok(ft_container_open(&c, dir));
    ck_assert_str_eq(ft_container_path(c), dir);
    ck_assert_uint_eq(ft_container_count(c), 20);
    ck_assert_uint_eq(ft_container_meta_count(c), 2);
    ck_assert(ft_meta_str(ft_container_meta(c, "model.embed_tokens.weight"), &s) && ft_str_is(s, "lm_head.weight"));
    ck_assert_str_eq(ft_container_at(c, 0)->name, "lm_head.weight");
    ck_assert_ptr_null(ft_container_find(c, "model.embed_tokens.weight"));
    ck_assert_ptr_null(ft_container_meta(c, "absent"));
    ft_container_close(c);
    ft_container_close(NULL);
}
END_TEST

START_TEST(what_is_no_model_is_refused_with_what_was_looked_for)
{
    ft_container *c;
    const char *dir = ft_test_dir();
    ck_assert_fails(ft_container_open(&c, dir), FT_EINPUT,
                    "looked for model.safetensors and model.safetensors.index.json");
    ck_assert_ok(ft_write_file(ft_test_path(dir, "pytorch_model.bin"), "x", 1));
    ck_assert_fails(ft_container_open(&c, dir), FT_EINPUT, "pytorch_model.bin is not read");
    ck_assert_fails(ft_container_open(&c, "/nowhere.gguf"), FT_EINPUT, "/nowhere.gguf: no such file");
    const char *text = ft_test_path(dir, "notes.txt");
    ck_assert_ok(ft_write_file(text, "hello", 5));
    ck_assert_fails(ft_container_open(&c, text), FT_EINPUT, "no model file");
    ck_assert_ptr_null(c);
}
END_TEST

START_TEST(real_gguf_vocabularies_hold_what_python_reads)
{
    const char *path = ft_test_shared("vocab/llama.cpp/ggml-vocab-llama-spm.gguf");
    ft_container *c;
    ft_str s;
    int64_t i;
    double d;
    bool b;
    if (!path)
        FT_SKIP("../shared is absent");
    ck_assert_ok(ft_container_open(&c, path));
    ck_assert_str_eq(ft_container_format(c), "gguf");
    ck_assert_uint_eq(ft_container_count(c), 0);
    ck_assert_uint_eq(ft_container_meta_count(c), 22);
    ck_assert(ft_meta_str(ft_container_meta(c, "general.architecture"), &s) && ft_str_is(s, "llama"));
    ck_assert(ft_meta_i64(ft_container_meta(c, "llama.context_length"), &i) && i == 4096);
    ck_assert(ft_meta_f64(ft_container_meta(c, "llama.attention.layer_norm_rms_epsilon"), &d) && d == (double)1e-5f);
    ck_assert(ft_meta_bool(ft_container_meta(c, "tokenizer.ggml.add_bos_token"), &b) && b);
    ck_assert(ft_meta_bool(ft_container_meta(c, "tokenizer.ggml.add_eos_token"), &b) && !b);
    const ft_meta *tokens = ft_container_meta(c, "tokenizer.ggml.tokens"),
                  *scores = ft_container_meta(c, "tokenizer.ggml.scores");
    ck_assert_uint_eq(tokens->n, 32000);
    ck_assert(ft_meta_at_str(tokens, 300, &s) && ft_str_is(s, "et"));
    ck_assert(ft_meta_at_str(tokens, 31999, &s) && ft_str_is(s, "\xe7\xbb\x99"));
    ck_assert(!ft_meta_at_str(tokens, 32000, &s) && !ft_meta_at_str(scores, 0, &s) && !ft_meta_at_i64(tokens, 0, &i));
    ck_assert(ft_meta_at_f64(scores, 300, &d) && d == -41.0);
    ck_assert(ft_meta_at_f64(scores, 31999, &d) && d == -31740.0);
    ck_assert(ft_meta_at_i64(ft_container_meta(c, "tokenizer.ggml.token_type"), 300, &i) && i == 1);
    ck_assert_str_eq(ft_container_meta_at(c, 0)->key, "general.architecture");
    ft_container_close(c);
}
END_TEST

/* ---- what fettle writes ---- */

static const ft_str words[] = {{"a", 1}, {"", 0}, {"\xff\x00z", 3}};
static const int32_t integers[] = {-1, 0, INT32_MAX};
static const float floats[] = {0.5f, -3.25f};

static ft_status write_meta(ft_writer *w, bool arrays)
{
    FT_RETURN(ft_writer_str(w, "general.architecture", ft_str_of("llama")));
    FT_RETURN(ft_writer_u32(w, "u32", 4000000000u));
    FT_RETURN(ft_writer_i32(w, "i32", -7));
    FT_RETURN(ft_writer_u64(w, "u64", UINT64_MAX));
    FT_RETURN(ft_writer_f32(w, "f32", 1e-5f));
    FT_RETURN(ft_writer_bool(w, "yes", true));
    if (!arrays)
        return FT_OK;
    FT_RETURN(ft_writer_str_array(w, "words", words, 3));
    FT_RETURN(ft_writer_i32_array(w, "integers", integers, 3));
    return ft_writer_f32_array(w, "floats", floats, 2);
}

static const int64_t shape_a[] = {2, 3}, shape_b[] = {5}, shape_c[] = {2, 1, 2, 64};

/* f32 a[2, 3] = 0 .. 5, bf16 b[5] = 1 .. 5, and in GGUF q8_0 c[2, 1, 2, 64] = j - 32; pieces of `piece` bytes. */
static ft_status write_tensors(ft_writer *w, bool quantized, size_t piece)
{
    float a[6], b[5], c[256];
    char bytes[24 + 10 + 8 * 34];
    size_t n = 24 + 10 + (quantized ? sizeof bytes - 34 : 0);
    for (int i = 0; i < 256; i++) {
        c[i] = (float)(i % 64 - 32);
        if (i < 6)
            a[i] = (float)i;
        if (i < 5)
            b[i] = (float)i + 1;
    }
    memcpy(bytes, a, 24);
    ft_bf16.encode(b, NULL, 5, bytes + 24);
    ft_q8_0.encode(c, NULL, 256, bytes + 34);
    FT_RETURN(ft_writer_tensor(w, "a", &ft_f32, 2, shape_a));
    FT_RETURN(ft_writer_tensor(w, "b", &ft_bf16, 1, shape_b));
    if (quantized)
        FT_RETURN(ft_writer_tensor(w, "c", &ft_q8_0, 4, shape_c));
    for (size_t i = 0; i < n; i += piece)
        FT_RETURN(ft_writer_data(w, bytes + i, FT_MIN(piece, n - i)));
    return FT_OK;
}

static ft_status write_file(const char *format, const char *path, size_t piece)
{
    ft_writer *w;
    bool gguf = strcmp(format, "gguf") == 0;
    FT_RETURN(ft_writer_open(&w, format, path));
    ft_status st = write_meta(w, gguf);
    if (st == FT_OK)
        st = write_tensors(w, gguf, piece);
    if (st == FT_OK)
        return ft_writer_commit(w);
    ft_writer_abort(w);
    return st;
}

static void check_tensor(const ft_container *c, const char *name, int ndim, const int64_t *shape, double sum)
{
    const ft_named *n = ft_container_find(c, name);
    float x, y;
    ck_assert_ptr_nonnull(n);
    ck_assert_int_eq(n->t.ndim, ndim);
    ck_assert_mem_eq(n->t.shape, shape, (size_t)ndim * sizeof *shape);
    ck_assert_double_eq(sum_of(n, &x, &y), sum);
}

START_TEST(gguf_is_read_as_it_was_written)
{
    const char *path = ft_test_path(ft_test_dir(), "a.gguf");
    ft_container *c;
    ft_str s;
    int64_t i;
    double d;
    bool b;
    for (size_t piece = 1; piece < 400; piece += 133) {
        ck_assert_ok(write_file("gguf", path, piece));
        ck_assert_ok(ft_container_open(&c, path));
        ck_assert_uint_eq(ft_container_count(c), 3);
        check_tensor(c, "a", 2, shape_a, 15);
        check_tensor(c, "b", 1, shape_b, 15);
        check_tensor(c, "c", 4, shape_c, -32 * 4);
        for (size_t k = 0; k < 3; k++)
            ck_assert_uint_eq((uintptr_t)ft_container_at(c, k)->t.data % 32, 0);
        ck_assert(ft_meta_i64(ft_container_meta(c, "u32"), &i) && i == 4000000000);
        ck_assert(ft_meta_i64(ft_container_meta(c, "i32"), &i) && i == -7);
        ck_assert(!ft_meta_i64(ft_container_meta(c, "u64"), &i) && ft_container_meta(c, "u64")->v.u == UINT64_MAX);
        ck_assert(ft_meta_f64(ft_container_meta(c, "f32"), &d) && d == (double)1e-5f);
        ck_assert(!ft_meta_i64(ft_container_meta(c, "f32"), &i));
        ck_assert(ft_meta_bool(ft_container_meta(c, "yes"), &b) && b);
        ck_assert(!ft_meta_bool(ft_container_meta(c, "u32"), &b) && !ft_meta_i64(NULL, &i));
        for (uint64_t k = 0; k < 3; k++) {
            ck_assert(ft_meta_at_str(ft_container_meta(c, "words"), k, &s) && ft_str_eq(s, words[k]));
            ck_assert(ft_meta_at_i64(ft_container_meta(c, "integers"), k, &i) && i == integers[k]);
        }
        ck_assert(ft_meta_at_f64(ft_container_meta(c, "floats"), 1, &d) && d == -3.25);
        ck_assert(ft_meta_at_i64(ft_container_meta(c, "floats"), 0, &i) == false);
        ft_container_close(c);
    }
}
END_TEST

START_TEST(safetensors_are_read_as_they_were_written)
{
    const char *path = ft_test_path(ft_test_dir(), "a.safetensors");
    ft_container *c;
    ft_str s;
    for (size_t piece = 1; piece < 40; piece += 13) {
        ck_assert_ok(write_file("safetensors", path, piece));
        ck_assert_ok(ft_container_open(&c, path));
        ck_assert_uint_eq(ft_container_count(c), 2);
        check_tensor(c, "a", 2, shape_a, 15);
        check_tensor(c, "b", 1, shape_b, 15);
        ck_assert(ft_meta_str(ft_container_meta(c, "u64"), &s) && ft_str_is(s, "18446744073709551615"));
        ck_assert(ft_meta_str(ft_container_meta(c, "i32"), &s) && ft_str_is(s, "-7"));
        ck_assert(ft_meta_str(ft_container_meta(c, "yes"), &s) && ft_str_is(s, "true"));
        ck_assert_int_eq(ft_container_meta(c, "f32")->gguf_type, -1);
        ft_container_close(c);
    }
}
END_TEST

/* Metadata and tensors of one file go to a second: the same bytes come out. */
START_TEST(a_copy_of_a_gguf_is_the_same_file)
{
    const char *from = ft_test_shared("vocab/llama.cpp/ggml-vocab-phi-3.gguf"), *dir = ft_test_dir();
    const char *made = ft_test_path(dir, "made.gguf"), *to = ft_test_path(dir, "copy.gguf");
    ck_assert_ok(write_file("gguf", made, 1000));
    for (int k = from ? 0 : 1; k < 2; k++) {
        ft_container *c;
        ft_writer *w;
        ft_buf a = {0}, b = {0};
        ck_assert_ok(ft_container_open(&c, k ? made : from));
        ck_assert_ok(ft_writer_open(&w, "gguf", to));
        for (size_t i = 0; i < ft_container_meta_count(c); i++)
            ck_assert_ok(ft_writer_meta(w, ft_container_meta_at(c, i)));
        for (size_t i = 0; i < ft_container_count(c); i++) {
            const ft_named *n = ft_container_at(c, i);
            ck_assert_ok(ft_writer_tensor(w, n->name, n->t.dtype, n->t.ndim, n->t.shape));
        }
        for (size_t i = 0; i < ft_container_count(c); i++) {
            const ft_named *n = ft_container_at(c, i);
            ck_assert_ok(ft_writer_data(w, n->t.data, ft_tensor_bytes(&n->t)));
        }
        ck_assert_ok(ft_writer_commit(w));
        ft_container_close(c);
        ck_assert_ok(ft_read_file(&a, k ? made : from, 1 << 24));
        ck_assert_ok(ft_read_file(&b, to, 1 << 24));
        ck_assert_uint_le(a.n, b.n);
        ck_assert_uint_lt(b.n - a.n, 32); /* a file without tensors may lack the padding */
        ck_assert_mem_eq(a.p, b.p, a.n);
        ft_buf_free(&a);
        ft_buf_free(&b);
    }
}
END_TEST

START_TEST(a_chosen_alignment_holds)
{
    const char *path = ft_test_path(ft_test_dir(), "a.gguf");
    ft_writer *w;
    ft_container *c;
    ck_assert_ok(ft_writer_open(&w, "gguf", path));
    ck_assert_ok(ft_writer_u32(w, "general.alignment", 256));
    ck_assert_ok(write_tensors(w, true, 50));
    ck_assert_ok(ft_writer_commit(w));
    ck_assert_ok(ft_container_open(&c, path));
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq((uintptr_t)ft_container_at(c, i)->t.data % 256, 0);
    check_tensor(c, "c", 4, shape_c, -32 * 4);
    ft_container_close(c);
    ck_assert_ok(ft_writer_open(&w, "gguf", path));
    ck_assert_ok(ft_writer_u32(w, "general.alignment", 48));
    ck_assert_fails(ft_writer_commit(w), FT_EINPUT, "power of two");
}
END_TEST

START_TEST(a_wrong_request_never_makes_a_file)
{
    const char *path = ft_test_path(ft_test_dir(), "a.gguf");
    const int64_t row[] = {33}, empty[] = {0}, two[] = {2};
    float x[3] = {0};
    ft_writer *w;
    ck_assert_fails(ft_writer_open(&w, "safetensor", path), FT_EINPUT, "did you mean safetensors");
    ft_writer_abort(NULL);
#define REFUSED(format, call, text)                                                                                    \
    do {                                                                                                               \
        ck_assert_ok(ft_writer_open(&w, format, path));                                                                \
        ck_assert_ok(ft_writer_u32(w, "k", 1));                                                                        \
        ck_assert_ok(ft_writer_tensor(w, "t", &ft_f32, 1, two));                                                       \
        ck_assert_fails(call, FT_EINPUT, text);                                                                        \
        ft_fail(FT_EIO, "what happened since");                                                                        \
        ck_assert_fails(ft_writer_commit(w), FT_EINPUT, text);                                                         \
        ck_assert(!ft_exists(path));                                                                                   \
    } while (0)
    REFUSED("gguf", ft_writer_u32(w, "k", 2), "metadata \"k\" is given twice");
    REFUSED("gguf", ft_writer_u32(w, "", 2), "expected 1 to");
    REFUSED("gguf", ft_writer_tensor(w, "t", &ft_f32, 1, two), "tensor \"t\" is given twice");
    REFUSED("gguf",
            ft_writer_tensor(w, "a_name_of_64_bytes_which_is_one_more_than_ggml_has_room_for_______", &ft_f32, 1, two),
            "expected 1 to 63");
    REFUSED("safetensors", ft_writer_tensor(w, "q", &ft_q8_0, 1, row), "safetensors cannot hold q8_0");
    REFUSED("gguf", ft_writer_data(w, x, 12), "4 bytes more than the declared tensors have");
    REFUSED("gguf", (ft_writer_data(w, x, 4), ft_writer_u32(w, "late", 1)), "after the data has begun");
    ck_assert_ok(ft_writer_open(&w, "gguf", path));
    ck_assert_fails(ft_writer_tensor(w, "q", &ft_q8_0, 1, row), FT_EFORMAT, "no whole number of q8_0 blocks");
    ck_assert_fails(ft_writer_tensor(w, "z", &ft_f32, 1, empty), FT_EFORMAT,
                    "tensor \"z\": dimension 0 of [0] is not positive");
    ft_writer_abort(w);
    ck_assert_ok(ft_writer_open(&w, "gguf", path));
    ck_assert_ok(ft_writer_tensor(w, "t", &ft_f32, 1, two));
    ck_assert_ok(ft_writer_data(w, x, 4));
    ck_assert_fails(ft_writer_commit(w), FT_EINPUT, "the data ends within tensor \"t\"");
    ck_assert_ok(ft_writer_open(&w, "safetensors", path));
    ck_assert_ok(ft_writer_f32_array(w, "f", floats, 2));
    ck_assert_fails(ft_writer_commit(w), FT_EUNSUPPORTED, "\"f\" is an array");
    ck_assert_ok(ft_writer_open(&w, "safetensors", path));
    ck_assert_ok(ft_writer_str(w, "f", (ft_str){"\xff", 1}));
    ck_assert_fails(ft_writer_commit(w), FT_EINPUT, "\"f\" is no UTF-8 text");
    ck_assert(!ft_exists(path));
}
END_TEST

/* A safetensors header whose length is odd: tensors lie where their dtype may not. */
START_TEST(misaligned_tensors_are_moved)
{
    static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                                 "\"s\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[8,10]}}";
    const char *path = ft_test_path(ft_test_dir(), "odd.safetensors");
    for (uint64_t pad = 0; pad < 4; pad++) {
        uint64_t n = sizeof header - 1 + pad;
        const float a[] = {1.5f, -2};
        const uint16_t s = 0x3c00;
        ft_buf b = {0};
        ft_container *c;
        float x[2];
        ck_assert_ok(ft_buf_put(&b, &n, 8));
        ck_assert_ok(ft_buf_printf(&b, "%s%*s", header, (int)pad, ""));
        ck_assert_ok(ft_buf_put(&b, a, 8));
        ck_assert_ok(ft_buf_put(&b, &s, 2));
        ck_assert_ok(ft_write_file(path, b.p, b.n));
        ck_assert_ok(ft_container_open(&c, path));
        ck_assert_uint_eq((uintptr_t)ft_container_find(c, "a")->t.data % 4, 0);
        ck_assert_uint_eq((uintptr_t)ft_container_find(c, "s")->t.data % 2, 0);
        memcpy(x, ft_container_find(c, "a")->t.data, 8);
        ck_assert(x[0] == 1.5f && x[1] == -2);
        ck_assert_int_eq(ft_container_find(c, "s")->t.shape[0], 1);
        ft_tensor_decode_rows(&ft_container_find(c, "s")->t, 0, 1, x);
        ck_assert(x[0] == 1);
        ft_container_close(c);
        ft_buf_free(&b);
    }
}
END_TEST

static ft_status open_and_close(const char *path, void *ctx)
{
    ft_container *c;
    FT_RETURN(ft_container_open(&c, path));
    float sum = 0, x, y;
    for (size_t i = 0; i < ft_container_count(c); i++)
        sum += (float)sum_of(ft_container_at(c, i), &x, &y);
    ft_container_close(c);
    return FT_OK;
}

START_TEST(every_allocation_and_write_may_fail)
{
    static const char *const formats[] = {"gguf", "safetensors"};
    const char *dir = ft_test_dir();
    for (size_t f = 0; f < FT_COUNT(formats); f++) {
        const char *path = ft_test_path(dir, formats[f]);
        int n = 1;
        ft_status st = FT_ENOMEM;
        for (; st != FT_OK && n < 500; n++) {
            ft_alloc_fail_at(n);
            st = write_file(formats[f], path, 100);
            ft_alloc_fail_at(0);
            ck_assert_msg(st == FT_OK || st == FT_ENOMEM, "n %d: %d %s", n, st, ft_error());
            ck_assert_int_eq(ft_exists(path), st == FT_OK);
        }
        ck_assert_int_gt(n, 8);
        for (n = 1, st = FT_ENOMEM; st != FT_OK && n < 500; n++) {
            ft_alloc_fail_at(n);
            st = open_and_close(path, NULL);
            ft_alloc_fail_at(0);
            ck_assert_msg(st == FT_OK || st == FT_ENOMEM, "n %d: %d %s", n, st, ft_error());
        }
        ck_assert_int_gt(n, 8);
        unlink(path);
        ft_write_fail_at(1);
        ck_assert_fails(write_file(formats[f], path, 100), FT_EIO, "No space left");
        ft_write_fail_at(0);
        ft_names left;
        ck_assert_ok(ft_list_dir(&left, dir, ".tmp"));
        ck_assert_uint_eq(left.n, 0);
        ft_names_free(&left);
        ck_assert(!ft_exists(path));
    }
}
END_TEST

/* A file of several writes: each of them fails once. */
START_TEST(no_failed_write_leaves_a_file)
{
    const char *path = ft_test_path(ft_test_dir(), "large.gguf");
    const int64_t shape[] = {1024, 256};
    float *x = ft_alloc(1024 * 256, sizeof *x);
    ft_status st = FT_EIO;
    int n = 1;
    for (; st != FT_OK && n < 100; n++) {
        ft_writer *w;
        ft_write_fail_at(n);
        ck_assert_ok(ft_writer_open(&w, "gguf", path));
        ck_assert_ok(ft_writer_tensor(w, "x", &ft_f32, 2, shape));
        (void)ft_writer_data(w, x, 1024 * 256 * sizeof *x); /* commit must know it by itself */
        st = ft_writer_commit(w);
        ft_write_fail_at(0);
        ck_assert(st == FT_OK || st == FT_EIO);
        ck_assert_int_eq(ft_exists(path), st == FT_OK);
    }
    ck_assert_int_gt(n, 4);
    ft_free(x);
}
END_TEST

START_TEST(damaged_copies_are_survived)
{
    const char *dir = ft_test_dir(), *gguf = ft_strdup(ft_test_path(dir, "a.gguf")),
               *st = ft_strdup(ft_test_path(dir, "a.safetensors"));
    ck_assert_ok(write_file("gguf", gguf, 1000));
    ck_assert_ok(write_file("safetensors", st, 1000));
    ck_assert_int_gt(ft_test_damage(gguf, 2000, 31, open_and_close, NULL), 500);
    ck_assert_int_gt(ft_test_damage(st, 2000, 32, open_and_close, NULL), 1000);
    ft_free((char *)gguf);
    ft_free((char *)st);
}
END_TEST

START_TEST(damaged_copies_of_real_files_are_survived)
{
    const char *st = ft_test_shared("models/stories260K/model.safetensors"),
               *gguf = ft_test_shared("vocab/llama.cpp/ggml-vocab-bert-bge.gguf");
    if (!st || !gguf)
        FT_SKIP("../shared is absent");
    ck_assert_int_gt(ft_test_damage(st, 500, 33, open_and_close, NULL), 200);
    ck_assert_int_gt(ft_test_damage(gguf, 500, 34, open_and_close, NULL), 150);
}
END_TEST

int main(void)
{
    FT_TESTS("container", real_safetensors_hold_what_python_reads, a_directory_is_opened_by_its_file,
             what_is_no_model_is_refused_with_what_was_looked_for, real_gguf_vocabularies_hold_what_python_reads,
             gguf_is_read_as_it_was_written, safetensors_are_read_as_they_were_written,
             a_copy_of_a_gguf_is_the_same_file, a_chosen_alignment_holds, a_wrong_request_never_makes_a_file,
             misaligned_tensors_are_moved, every_allocation_and_write_may_fail, no_failed_write_leaves_a_file,
             damaged_copies_are_survived, damaged_copies_of_real_files_are_survived);
}
