/* Stored element types against formulas written here and against bytes that ggml's own quantizer wrote. */
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

START_TEST(q8_0_writes_the_bytes_that_ggml_writes)
{
    const char *input = ft_test_shared("ggml-quants/q8_0_64_noim_input.bin");
    if (!input)
        FT_SKIP("../shared is absent");
    float x[2 * 64], y[2 * 64];
    char bytes[4 * 34];
    ft_buf expected = {0};
    read_floats(input, x, 128);
    ck_assert_ok(ft_read_file(&expected, ft_test_shared("ggml-quants/q8_0_64_noim_expected.bin"), 1000));
    ck_assert_uint_eq(expected.n, sizeof bytes);
    ft_q8_0.encode(x, NULL, 128, bytes);
    ck_assert_mem_eq(bytes, expected.p, sizeof bytes);
    ft_q8_0.decode(bytes, 128, y);
    for (int i = 0; i < 128; i++) /* inputs within [-1, 1]: half a step of 1/127, and the rounding of the scale */
        ck_assert_float_le(fabsf(x[i] - y[i]), 0.5f / 127 + 0.001f);
    ft_buf_free(&expected);
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
        ck_assert(d->block_len >= 1 && d->block_bytes >= 1 && d->encode && d->decode && d->help);
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
        ck_assert_msg(error <= norm * (d->is_float ? 1e-5 : 0.02), "%s: relative error %g", d->name,
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

int main(void)
{
    FT_TESTS("dtypes", all_patterns_decode_by_the_definition_and_come_back, encoding_rounds_to_nearest_even,
             q8_0_writes_the_bytes_that_ggml_writes, q8_0_of_simple_blocks_is_known,
             every_dtype_is_found_by_each_of_its_names, rows_decode_to_what_was_encoded, sizes_are_checked,
             shapes_are_told_in_full);
}
