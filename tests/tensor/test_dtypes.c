/* Stored element types against formulas written here and against bytes that ggml's own quantizer wrote. */
#include "base/rng.h"
#include "support/support.h"
#include "tensor/tensor.h"

#include <float.h>

/* The value of a float of `exponent` and `mantissa` bits, from the definition. */
static double by_definition(uint32_t pattern, int exponent, int mantissa)
{
    int e = (int)(pattern >> mantissa) & ((1 << exponent) - 1), bias = (1 << (exponent - 1)) - 1;
    double m = (double)(pattern & ((1u << mantissa) - 1)), sign = pattern >> (exponent + mantissa) ? -1 : 1;
    if (e == (1 << exponent) - 1)
        return m != 0 ? (double)NAN : sign * INFINITY;
    if (e == 0)
        return sign * ldexp(m, 1 - bias - mantissa);
    return sign * ldexp(ldexp(1, mantissa) + m, e - bias - mantissa);
}

typedef struct kind {
    const ft_dtype *dtype;
    int exponent, mantissa;
} kind;
static const kind kinds[] = {{&ft_f16, 5, 10}, {&ft_bf16, 8, 7}};

static uint16_t encoded(const ft_dtype *d, float x)
{
    uint16_t h;
    d->encode(&x, NULL, 1, &h);
    return h;
}

START_TEST(all_patterns_decode_by_the_definition_and_come_back)
{
    for (size_t k = 0; k < FT_COUNT(kinds); k++)
        for (uint32_t p = 0; p < 65536; p++) {
            uint16_t h = (uint16_t)p;
            float x;
            double expected = by_definition(p, kinds[k].exponent, kinds[k].mantissa);
            kinds[k].dtype->decode(&h, 1, &x);
            if (isnan(expected)) {
                ck_assert(isnan(x));
                h = encoded(kinds[k].dtype, x);
                kinds[k].dtype->decode(&h, 1, &x);
                ck_assert(isnan(x));
                continue;
            }
            ck_assert_msg((double)x == expected && !signbit(x) == !signbit(expected), "%s %04x: %a, expected %a",
                          kinds[k].dtype->name, p, x, expected);
            ck_assert_uint_eq(encoded(kinds[k].dtype, x), h);
        }
}
END_TEST

/* Between two neighbours: the middle goes to the even one, a hair beside it to the nearer. The hair above the largest
 * finite number's upper middle is infinity. */
START_TEST(encoding_rounds_to_nearest_even)
{
    for (size_t k = 0; k < FT_COUNT(kinds); k++) {
        const ft_dtype *d = kinds[k].dtype;
        uint32_t infinity = ((1u << kinds[k].exponent) - 1) << kinds[k].mantissa;
        for (uint32_t p = 0; p < infinity; p++) {
            double a = by_definition(p, kinds[k].exponent, kinds[k].mantissa);
            /* the step above the largest number is as wide as the one below it */
            double b = p + 1 < infinity ? by_definition(p + 1, kinds[k].exponent, kinds[k].mantissa)
                                        : 2 * a - by_definition(p - 1, kinds[k].exponent, kinds[k].mantissa);
            float middle = (float)((a + b) / 2);
            ck_assert(b > FLT_MAX || (double)middle == (a + b) / 2);
            if (isinf(middle))
                continue;
            for (uint32_t sign = 0; sign <= 0x8000; sign += 0x8000) {
                float s = sign ? -1 : 1;
                ck_assert_msg(encoded(d, s * middle) == ((p & 1 ? p + 1 : p) | sign),
                              "%s: the middle above %04x gives %04x", d->name, p, encoded(d, s * middle));
                ck_assert_uint_eq(encoded(d, s * nextafterf(middle, 0)), p | sign);
                ck_assert_uint_eq(encoded(d, s * nextafterf(middle, INFINITY)), (p + 1) | sign);
            }
        }
        ck_assert_uint_eq(encoded(d, INFINITY), infinity);
        ck_assert_uint_eq(encoded(d, -INFINITY), infinity | 0x8000);
        ck_assert_uint_eq(encoded(d, FLT_MAX), infinity);
    }
}
END_TEST

static void read_floats(const char *path, float *x, size_t n)
{
    ft_buf b = {0};
    ck_assert_ok(ft_read_file(&b, path, n * sizeof *x));
    ck_assert_uint_eq(b.n, n * sizeof *x);
    memcpy(x, b.p, b.n);
    ft_buf_free(&b);
}

/* Types whose encoder has no choice write ggml's bytes; of the others the error counts. */
START_TEST(blocks_are_those_that_ggml_writes_or_better)
{
    int compared = 0;
    for (size_t k = 0; ft_dtypes[k]; k++) {
        const ft_dtype *d = ft_dtypes[k];
        int64_t cols = d->block_len == 256 ? 512 : 64, n = 2 * cols;
        char name[64];
        snprintf(name, sizeof name, "ggml-quants/%s_%d_noim_input.bin", d->name, (int)cols);
        const char *input = ft_test_shared(name);
        if (!input)
            continue;
        float x[1024], y[1024], z[1024];
        char bytes[1024 * 2];
        ft_buf expected = {0};
        double mine = 0, theirs = 0;
        read_floats(input, x, (size_t)n);
        snprintf(name, sizeof name, "ggml-quants/%s_%d_noim_expected.bin", d->name, (int)cols);
        ck_assert_ok(ft_read_file(&expected, ft_test_shared(name), sizeof bytes));
        ck_assert_uint_eq(expected.n, (size_t)(n / d->block_len) * d->block_bytes);
        d->encode(x, NULL, n, bytes);
        if (d->ggml_id <= 8)
            ck_assert_msg(memcmp(bytes, expected.p, expected.n) == 0, "%s: the bytes differ", d->name);
        d->decode(bytes, n, y);
        d->decode(expected.p, n, z);
        for (int64_t i = 0; i < n; i++) {
            mine += (double)(x[i] - y[i]) * (x[i] - y[i]);
            theirs += (double)(x[i] - z[i]) * (x[i] - z[i]);
            /* uniform in [-1, 1]: within a step of what was meant, so the layout is right */
            ck_assert_msg(fabsf(x[i] - z[i]) < 3.0f / exp2f((float)(int)ft_dtype_bits(d)), "%s: value %d: %g for %g",
                          d->name, (int)i, z[i], x[i]);
        }
        ck_assert_msg(mine <= 1.005 * theirs, "%s: squared error %g, ggml's %g", d->name, mine, theirs);
        ft_buf_free(&expected);
        compared++;
    }
    if (!compared)
        FT_SKIP("../shared is absent");
    ck_assert_int_eq(compared, 11);
}
END_TEST

/* Weights of the error shift it to where they are small. */
START_TEST(importance_lowers_the_error_that_it_weighs)
{
    enum { N = 1024 };
    float x[N], w[N], y[N], z[N];
    char bytes[4 * N];
    ft_fill_normal(x, N, 1, 3, FT_STREAM_TEST, 0);
    for (int i = 0; i < N; i++)
        w[i] = i % 5 ? 0.05f : 3;
    for (size_t k = 0; ft_dtypes[k]; k++) {
        const ft_dtype *d = ft_dtypes[k];
        double plain = 0, weighed = 0;
        d->encode(x, NULL, N, bytes);
        d->decode(bytes, N, y);
        d->encode(x, w, N, bytes);
        d->decode(bytes, N, z);
        for (int i = 0; i < N; i++) {
            plain += (double)w[i] * (x[i] - y[i]) * (x[i] - y[i]);
            weighed += (double)w[i] * (x[i] - z[i]) * (x[i] - z[i]);
        }
        if (d->is_float || d == &ft_q8_0)
            ck_assert_double_eq(weighed, plain);
        else
            ck_assert_msg(weighed < 0.98 * plain, "%s: %g with importance, %g without", d->name, weighed, plain);
        float zeros[N] = {0}, ones[N];
        for (int i = 0; i < N; i++)
            ones[i] = 1;
        d->encode(x, zeros, N, bytes); /* says nothing: as all the same */
        d->decode(bytes, N, y);
        d->encode(x, ones, N, bytes);
        d->decode(bytes, N, z);
        ck_assert_mem_eq(y, z, sizeof y);
    }
}
END_TEST

/* The published figure of the type: the mean absolute error on a standard normal distribution. */
START_TEST(nf4_errs_as_it_is_known_to)
{
    enum { N = 1 << 19 };
    float *x = ft_alloc(N, sizeof *x), *y = ft_alloc(N, sizeof *y);
    char *bytes = ft_alloc(N, 1);
    const ft_dtype *const kinds[] = {&ft_nf4, &ft_nf4_dq};
    ft_fill_normal(x, N, 1, 5, FT_STREAM_TEST, 0);
    for (int k = 0; k < 2; k++) {
        double off = 0;
        kinds[k]->encode(x, NULL, N, bytes);
        kinds[k]->decode(bytes, N, y);
        for (int i = 0; i < N; i++)
            off += fabs((double)x[i] - y[i]);
        ck_assert_msg(fabs(off / N - 0.0728) < 0.0003, "%s: %g", kinds[k]->name, off / N);
    }
    ft_free(x);
    ft_free(y);
    ft_free(bytes);
}
END_TEST

START_TEST(what_is_no_number_does_not_become_one)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float x[512], y[512];
    char bytes[4 * 512];
    for (size_t k = 0; ft_dtypes[k]; k++)
        for (size_t b = 0; b < FT_COUNT(bad); b++) {
            const ft_dtype *d = ft_dtypes[k];
            int64_t n = d->block_len == 1 ? 512 : 2 * d->block_len, at = n - 3;
            for (int i = 0; i < 512; i++)
                x[i] = 0.01f * (float)(i % 50) - 0.2f;
            memset(bytes, 0x55, sizeof bytes);
            d->encode(x, NULL, n, bytes);
            ck_assert(ft_dtype_finite(d, bytes, n));
            x[at] = bad[b];
            for (int weighed = 0; weighed < 2; weighed++) {
                float w[512];
                for (int i = 0; i < 512; i++)
                    w[i] = 1 + (float)(i % 3);
                d->encode(x, weighed ? w : NULL, n, bytes);
                d->decode(bytes, n, y);
                ck_assert_msg(!ft_dtype_finite(d, bytes, n), "%s holds %g and says that it is finite", d->name, bad[b]);
                ck_assert_msg(!(fabsf(y[at]) < 0x1p125f), "%s: %g decodes to %g", d->name, bad[b], y[at]);
                ck_assert(fabsf(y[0]) < 1); /* the block before is whole */
            }
        }
}
END_TEST

/* The limit that a type names is what it holds; ten times as much shows. */
START_TEST(sizes_up_to_the_largest_are_held)
{
    float x[256], y[256];
    char bytes[4 * 256];
    for (size_t k = 0; ft_dtypes[k]; k++) {
        const ft_dtype *d = ft_dtypes[k];
        for (int i = 0; i < 256; i++)
            x[i] = (i % 2 ? -1.0f : 1.0f) * d->largest;
        d->encode(x, NULL, 256, bytes);
        d->decode(bytes, 256, y);
        ck_assert(ft_dtype_finite(d, bytes, 256));
        for (int i = 0; i < 256; i++)
            ck_assert_msg(fabsf(y[i] / x[i] - 1) < 0.3f, "%s: %g decodes to %g", d->name, x[i], y[i]);
        for (int i = 0; i < 256; i++)
            x[i] = 0;
        d->encode(x, NULL, 256, bytes);
        d->decode(bytes, 256, y);
        for (int i = 0; i < 256; i++)
            ck_assert_msg(y[i] == 0, "%s: zeros decode to %g", d->name, y[i]);
        for (int i = 0; i < 256; i++)
            x[i] = (i % 2 ? -1.0f : 1.0f) * FLT_MIN * 1e-5f;
        d->encode(x, NULL, 256, bytes);
        d->decode(bytes, 256, y);
        for (int i = 0; i < 256; i++)
            ck_assert_msg(fabsf(y[i]) < 1e-7f, "%s: next to nothing decodes to %g", d->name, y[i]);
    }
}
END_TEST

static bool all_finite(const ft_dtype *d, const void *block)
{
    float y[256];
    d->decode(block, d->block_len, y);
    for (int i = 0; i < d->block_len; i++)
        if (!isfinite(y[i]))
            return false;
    return true;
}

/* Blocks of any bytes, and with every scale made NaN or infinite in turn: what is taken for finite decodes to finite values,
 * and what is not does not. (Of mxfp4 small values under the
 * largest exponents are refused too.) */
START_TEST(scales_that_are_no_numbers_are_seen_in_any_block)
{
    for (size_t k = 0; ft_dtypes[k]; k++) {
        const ft_dtype *d = ft_dtypes[k];
        uint8_t block[4 * 256];
        for (uint64_t round = 0; round < 400; round++) {
            for (size_t i = 0; i < d->block_bytes; i++)
                block[i] = (uint8_t)(256 * ft_uniform(4, FT_STREAM_TEST, k << 32 | round, i));
            const ft_exponent *e = &d->exponents[round % 4 / 2];
            uint32_t scale = 0;
            if (e->bytes) {
                memcpy(&scale, block + e->offset, e->bytes);
                scale = round % 4 == 1 ? scale | e->mask : scale; /* all bits of the exponent: NaN, seldom infinity */
                scale = round % 4 == 3 ? e->mask : scale;         /* infinity */
                memcpy(block + e->offset, &scale, e->bytes);
                ck_assert_msg(round % 2 == 0 || !ft_dtype_finite(d, block, d->block_len), "%s: a scale that is no number",
                              d->name);
            }
            bool finite = ft_dtype_finite(d, block, d->block_len);
            ck_assert_msg(all_finite(d, block) >= finite, "%s: finite scales, but values that are not", d->name);
            ck_assert_msg(finite || d == &ft_mxfp4 || !all_finite(d, block), "%s: finite values are refused", d->name);
        }
    }
}
END_TEST

START_TEST(the_first_row_that_is_not_finite_is_named)
{
    enum { ROWS = 300 };
    static float x[ROWS * 64];
    char *bytes = ft_alloc(ROWS, 2 * 34);
    ft_tensor t = {.dtype = &ft_q8_0, .ndim = 2, .shape = {ROWS, 64}, .data = bytes};
    int64_t row = -1;
    ft_q8_0.encode(x, NULL, ROWS * 64, bytes);
    ck_assert(ft_tensor_finite(&t, &row));
    bytes[217 * 68 + 34 + 1] = 0x7c; /* the scale of row 217's second block: infinity */
    bytes[250 * 68 + 1] = 0x7e;
    ck_assert(!ft_tensor_finite(&t, &row));
    ck_assert_int_eq(row, 217);
    ft_free(bytes);
}
END_TEST

START_TEST(q8_0_of_simple_blocks_is_known)
{
    float x[64] = {0}, y[64];
    uint8_t bytes[68];
    for (int i = 0; i < 32; i++)
        x[32 + i] = (float)(i == 0 ? 127 : -i);
    memset(bytes, 0xaa, sizeof bytes);
    ft_q8_0.encode(x, NULL, 64, bytes);
    for (int i = 0; i < 34; i++)
        ck_assert_uint_eq(bytes[i], 0); /* a block of zeros has no scale */
    ck_assert_uint_eq(bytes[34], 0x00); /* 1.0 in f16 */
    ck_assert_uint_eq(bytes[35], 0x3c);
    ck_assert_uint_eq(bytes[36], 127);
    ck_assert_uint_eq(bytes[36 + 31], (uint8_t)-31);
    ft_q8_0.decode(bytes, 64, y);
    ck_assert_mem_eq(x, y, sizeof x);
}
END_TEST

START_TEST(every_dtype_is_found_by_each_of_its_names)
{
    for (size_t i = 0; ft_dtypes[i]; i++) {
        const ft_dtype *d = ft_dtypes[i];
        ck_assert_ptr_eq(ft_dtype_named(d->name), d);
        if (d->ggml_id >= 0)
            ck_assert_ptr_eq(ft_dtype_of_ggml(d->ggml_id), d);
        if (d->safetensors)
            ck_assert_ptr_eq(ft_dtype_of_safetensors(d->safetensors, strlen(d->safetensors)), d);
        ck_assert(d->block_len >= 1 && d->block_bytes >= 1 && d->encode && d->decode && d->exponents[0].bytes && d->largest > 60000 && d->help);
        ck_assert(!d->is_float || d->block_len == 1);
    }
    ck_assert_ptr_null(ft_dtype_named("f33"));
    ck_assert_ptr_null(ft_dtype_of_ggml(-1));
    ck_assert_ptr_null(ft_dtype_of_ggml(1000));
    ck_assert_ptr_null(ft_dtype_of_safetensors("F32x", 4));
    ck_assert_ptr_null(ft_dtype_of_safetensors("F3", 2));
    ck_assert_int_eq(ft_dtype_of_ggml(30) == &ft_bf16, 1);
}
END_TEST

/* Rows of several blocks survive every dtype about as well as its size promises, and do not touch what lies behind. */
START_TEST(rows_decode_to_what_was_encoded)
{
    for (size_t k = 0; ft_dtypes[k]; k++) {
        const ft_dtype *d = ft_dtypes[k];
        int64_t cols = d->block_len == 1 ? 7 : 2 * d->block_len, rows = 3;
        ft_tensor t = {.dtype = d, .ndim = 2, .shape = {rows, cols}};
        size_t bytes;
        ck_assert_ok(ft_tensor_check(d, 2, t.shape, &bytes));
        ck_assert_uint_eq(bytes, ft_tensor_bytes(&t));
        float *x = ft_alloc((size_t)(rows * cols), sizeof *x), *y = ft_alloc((size_t)(2 * cols + 1), sizeof *y);
        char *stored = ft_alloc(bytes + 1, 1);
        for (int64_t i = 0; i < rows * cols; i++)
            x[i] = sinf((float)i);
        stored[bytes] = 77;
        y[2 * cols] = 77;
        for (int64_t r = 0; r < rows; r++)
            d->encode(x + r * cols, NULL, cols, stored + (size_t)r * ft_tensor_row_bytes(&t));
        t.data = stored;
        ft_tensor_decode_rows(&t, 1, 3, y);
        double error = 0, norm = 0;
        for (int64_t i = 0; i < 2 * cols; i++) {
            error += (y[i] - x[cols + i]) * (y[i] - x[cols + i]);
            norm += x[cols + i] * x[cols + i];
        }
        ck_assert_msg(error <= norm * (d->is_float ? 1e-5 : pow(4, 1.25 - ft_dtype_bits(d))), "%s: relative error %g", d->name,
                      sqrt(error / norm));
        ck_assert(stored[bytes] == 77 && y[2 * cols] == 77);
        ft_free(x);
        ft_free(y);
        ft_free(stored);
    }
}
END_TEST

START_TEST(sizes_are_checked)
{
    size_t bytes;
    const int64_t good[] = {2, 3, 4, 64}, zero[] = {2, 0}, negative[] = {-1}, wide[] = {1, 33};
    const int64_t huge[] = {INT64_MAX, 2}, edge[] = {INT64_MAX / 4, 1}, past[] = {INT64_MAX / 4 + 1};
    ck_assert_ok(ft_tensor_check(&ft_q8_0, 4, good, &bytes));
    ck_assert_uint_eq(bytes, 2 * 3 * 4 * 2 * 34);
    ck_assert_fails(ft_tensor_check(&ft_f32, 0, good, &bytes), FT_EFORMAT, "0 dimensions, 1 to 4");
    ck_assert_fails(ft_tensor_check(&ft_f32, 5, good, &bytes), FT_EFORMAT, "5 dimensions, 1 to 4");
    ck_assert_fails(ft_tensor_check(&ft_f32, 2, zero, &bytes), FT_EFORMAT, "dimension 1 of [2, 0] is not positive");
    ck_assert_fails(ft_tensor_check(&ft_f32, 1, negative, &bytes), FT_EFORMAT, "is not positive");
    ck_assert_fails(ft_tensor_check(&ft_q8_0, 2, wide, &bytes), FT_EFORMAT,
                    "rows of 33 elements are no whole number of q8_0 blocks of 32");
    ck_assert_fails(ft_tensor_check(&ft_f32, 2, huge, &bytes), FT_EFORMAT, "overflows");
    ck_assert_ok(ft_tensor_check(&ft_f32, 2, edge, &bytes));
    ck_assert_uint_eq(bytes, (size_t)(INT64_MAX / 4) * 4);
    ck_assert_fails(ft_tensor_check(&ft_f32, 1, past, &bytes), FT_EFORMAT, "overflows");
}
END_TEST

START_TEST(shapes_are_told_in_full)
{
    char text[96];
    const int64_t one[] = {576}, four[] = {1, 2, 3, 4}, longest[] = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};
    ft_tensor t = {.dtype = &ft_f32, .ndim = 4, .shape = {1, 2, 3, 4}};
    ck_assert_str_eq(ft_shape_text(1, one, text), "[576]");
    ck_assert_str_eq(ft_shape_text(4, four, text), "[1, 2, 3, 4]");
    ck_assert_uint_eq(strlen(ft_shape_text(4, longest, text)), 4 * 19 + 3 * 2 + 2);
    ck_assert_int_eq(ft_tensor_count(&t), 24);
    ck_assert_int_eq(ft_tensor_rows(&t), 6);
    ck_assert_int_eq(ft_tensor_cols(&t), 4);
}
END_TEST

/* Codes can be set one by one: a value depends on its own code and the scales that stand, and the codes that an encoder chose
 * are the nearest ones. */
START_TEST(codes_are_set_one_by_one)
{
    for (size_t i = 0; ft_dtypes[i]; i++) {
        const ft_dtype *d = ft_dtypes[i];
        float x[256], all[64][256], mixed[256], encoded[256];
        uint8_t code[256], block[512], again[512];
        if (!d->levels)
            continue;
        ft_fill_normal(x, 256, 1, 5, FT_STREAM_TEST, i);
        d->encode(x, NULL, d->block_len, block);
        d->decode(block, d->block_len, encoded);
        memcpy(again, block, d->block_bytes);
        for (int c = 0; c < d->levels; c++) {
            memset(code, c, sizeof code);
            d->put_codes(again, code);
            d->decode(again, d->block_len, all[c]);
        }
        for (int j = 0; j < d->block_len; j++)
            code[j] = (uint8_t)((j * 7 + j / 32 * 5) % d->levels);
        d->put_codes(again, code);
        d->decode(again, d->block_len, mixed);
        for (int j = 0; j < d->block_len; j++) {
            float nearest = INFINITY;
            ck_assert_float_eq(mixed[j], all[code[j]][j]);
            for (int c = 0; c < d->levels; c++)
                nearest = fminf(nearest, fabsf(all[c][j] - x[j]));
            ck_assert_msg(fabsf(encoded[j] - x[j]) <= nearest * 1.02f + 1e-6f, "%s, value %d: %g for %g", d->name, j,
                          encoded[j], x[j]);
        }
    }
}
END_TEST

int main(void)
{
    FT_TESTS("dtypes", all_patterns_decode_by_the_definition_and_come_back, encoding_rounds_to_nearest_even,
             blocks_are_those_that_ggml_writes_or_better, importance_lowers_the_error_that_it_weighs,
             nf4_errs_as_it_is_known_to, what_is_no_number_does_not_become_one, sizes_up_to_the_largest_are_held,
             scales_that_are_no_numbers_are_seen_in_any_block, the_first_row_that_is_not_finite_is_named, q8_0_of_simple_blocks_is_known,
             every_dtype_is_found_by_each_of_its_names, rows_decode_to_what_was_encoded, sizes_are_checked,
             codes_are_set_one_by_one, shapes_are_told_in_full);
}
