/* q4_0, q4_1, q5_0, q5_1: blocks of 32 with one f16 scale, and for the "_1" types a minimum beside it (tensor/blocks.h).
 *
 * Without importance they write the bytes that ggml writes: the scale reaches the value of the largest magnitude (or
 * spans lowest and highest), the codes follow from the scale before it is rounded to f16, in f32 arithmetic and in this
 * order of operations. With importance the scale is fitted (tensor/fit.h).
 */
#include "tensor/fit.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 32 };

/* The value of the largest magnitude, the first of several. */
static float farthest(const float *x)
{
    float top = 0;
    for (int j = 0; j < BLOCK; j++)
        if (fabsf(x[j]) > fabsf(top))
            top = x[j];
    return top;
}

static int at_most(int v, int most)
{
    return v < most ? v : most;
}

/* The scale as f16 and the codes [32] of a block without a minimum; 2 * half codes are symmetric around `half`. */
static ft_half symmetric(const float *x, const float *importance, int half, uint8_t *code)
{
    if (importance) {
        float w[BLOCK];
        ft_levels l = {.lo = (float)-half, .hi = (float)(half - 1)};
        ft_fit__weights(importance, BLOCK, w);
        ft_half d = ft_f32_to_f16(ft_fit__scale(&l, x, w, BLOCK));
        ft_fit__codes(&l, x, BLOCK, ft_f16_to_f32(d), code);
        return d;
    }
    float d = farthest(x) / (float)-half, inverse = d != 0 ? 1 / d : 0;
    for (int j = 0; j < BLOCK; j++)
        code[j] = (uint8_t)at_most((int)(x[j] * inverse + ((float)half + 0.5f)), 2 * half - 1);
    return ft_f32_to_f16(d);
}

typedef struct halves {
    ft_half d, m;
} halves;

static halves spanning(const float *x, const float *importance, int top, uint8_t *code)
{
    if (importance) {
        float w[BLOCK];
        ft_fit__weights(importance, BLOCK, w);
        ft_affine a = ft_fit__affine(top, false, x, w, BLOCK);
        halves h = {ft_f32_to_f16(a.d), ft_f32_to_f16(-a.m)};
        ft_fit__affine_codes(top, x, BLOCK, (ft_affine){ft_f16_to_f32(h.d), -ft_f16_to_f32(h.m)}, code);
        return h;
    }
    float low = x[0], high = x[0];
    for (int j = 1; j < BLOCK; j++) {
        low = x[j] < low ? x[j] : low;
        high = x[j] > high ? x[j] : high;
    }
    float d = (high - low) / (float)top, inverse = d != 0 ? 1 / d : 0;
    for (int j = 0; j < BLOCK; j++)
        code[j] = (uint8_t)at_most((int)((x[j] - low) * inverse + 0.5f), top);
    return (halves){ft_f32_to_f16(d), ft_f32_to_f16(low)};
}

/* The low four bits of the codes, and the fifth. */
static void put_nibbles(const uint8_t *code, uint8_t q[16])
{
    for (int j = 0; j < 16; j++)
        q[j] = (uint8_t)((code[j] & 15) | (code[16 + j] & 15) << 4);
}

static void put_fifth(const uint8_t *code, uint8_t high[4])
{
    memset(high, 0, 4);
    for (int j = 0; j < BLOCK; j++)
        high[j / 8] = (uint8_t)(high[j / 8] | (code[j] >> 4) << (j % 8));
}

static int nibble(const uint8_t q[16], int j)
{
    return j < 16 ? q[j] & 15 : q[j - 16] >> 4;
}

static int five_bits(const uint8_t q[16], const uint8_t high[4], int j)
{
    return nibble(q, j) | (high[j / 8] >> (j % 8) & 1) << 4;
}

static void q4_0_put(void *block, const uint8_t *code)
{
    put_nibbles(code, ((ft_block_q4_0 *)block)->q);
}

static void q4_1_put(void *block, const uint8_t *code)
{
    put_nibbles(code, ((ft_block_q4_1 *)block)->q);
}

static void q5_0_put(void *block, const uint8_t *code)
{
    ft_block_q5_0 *b = block;
    put_nibbles(code, b->q);
    put_fifth(code, b->high);
}

static void q5_1_put(void *block, const uint8_t *code)
{
    ft_block_q5_1 *b = block;
    put_nibbles(code, b->q);
    put_fifth(code, b->high);
}

static void q4_0_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_q4_0 *b = out;
    for (int64_t i = 0; i < n; i += BLOCK, b++) {
        uint8_t code[BLOCK] = {0};
        b->d = FT_HALF_NAN;
        if (ft_fit__finite(x + i, BLOCK))
            b->d = symmetric(x + i, importance ? importance + i : NULL, 8, code);
        q4_0_put(b, code);
    }
}

static void q4_0_decode(const void *in, int64_t n, float *x)
{
    const ft_block_q4_0 *b = in;
    for (int64_t i = 0; i < n; i += BLOCK, b++) {
        float d = ft_f16_to_f32(b->d);
        for (int j = 0; j < BLOCK; j++)
            x[i + j] = d * (float)(nibble(b->q, j) - 8);
    }
}

static void q4_1_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_q4_1 *b = out;
    for (int64_t i = 0; i < n; i += BLOCK, b++) {
        uint8_t code[BLOCK] = {0};
        halves h = {FT_HALF_NAN, FT_HALF_NAN};
        if (ft_fit__finite(x + i, BLOCK))
            h = spanning(x + i, importance ? importance + i : NULL, 15, code);
        b->d = h.d;
        b->m = h.m;
        q4_1_put(b, code);
    }
}

static void q4_1_decode(const void *in, int64_t n, float *x)
{
    const ft_block_q4_1 *b = in;
    for (int64_t i = 0; i < n; i += BLOCK, b++) {
        float d = ft_f16_to_f32(b->d), m = ft_f16_to_f32(b->m);
        for (int j = 0; j < BLOCK; j++)
            x[i + j] = d * (float)nibble(b->q, j) + m;
    }
}

static void q5_0_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_q5_0 *b = out;
    for (int64_t i = 0; i < n; i += BLOCK, b++) {
        uint8_t code[BLOCK] = {0};
        b->d = FT_HALF_NAN;
        if (ft_fit__finite(x + i, BLOCK))
            b->d = symmetric(x + i, importance ? importance + i : NULL, 16, code);
        q5_0_put(b, code);
    }
}

static void q5_0_decode(const void *in, int64_t n, float *x)
{
    const ft_block_q5_0 *b = in;
    for (int64_t i = 0; i < n; i += BLOCK, b++) {
        float d = ft_f16_to_f32(b->d);
        for (int j = 0; j < BLOCK; j++)
            x[i + j] = d * (float)(five_bits(b->q, b->high, j) - 16);
    }
}

static void q5_1_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_q5_1 *b = out;
    for (int64_t i = 0; i < n; i += BLOCK, b++) {
        uint8_t code[BLOCK] = {0};
        halves h = {FT_HALF_NAN, FT_HALF_NAN};
        if (ft_fit__finite(x + i, BLOCK))
            h = spanning(x + i, importance ? importance + i : NULL, 31, code);
        b->d = h.d;
        b->m = h.m;
        q5_1_put(b, code);
    }
}

static void q5_1_decode(const void *in, int64_t n, float *x)
{
    const ft_block_q5_1 *b = in;
    for (int64_t i = 0; i < n; i += BLOCK, b++) {
        float d = ft_f16_to_f32(b->d), m = ft_f16_to_f32(b->m);
        for (int j = 0; j < BLOCK; j++)
            x[i + j] = d * (float)five_bits(b->q, b->high, j) + m;
    }
}

const ft_dtype ft_q4_0 = {.name = "q4_0", .ggml_id = 2, .block_len = BLOCK, .block_bytes = sizeof(ft_block_q4_0),
                          .largest = 65504.0f * 7, .encode = q4_0_encode, .decode = q4_0_decode,
                          .levels = 16, .put_codes = q4_0_put, .exponents = {FT_HALF_AT(offsetof(ft_block_q4_0, d))},
                          .help = "4-bit integers in blocks of 32 with an f16 scale, 4.5 bits a weight"};
const ft_dtype ft_q4_1 = {.name = "q4_1", .ggml_id = 3, .block_len = BLOCK, .block_bytes = sizeof(ft_block_q4_1),
                          .largest = 65504, .encode = q4_1_encode, .decode = q4_1_decode,
                          .levels = 16, .put_codes = q4_1_put, .exponents = {FT_HALF_AT(offsetof(ft_block_q4_1, d)), FT_HALF_AT(offsetof(ft_block_q4_1, m))},
                          .help = "4-bit integers in blocks of 32 with an f16 scale and minimum, 5 bits a weight"};
const ft_dtype ft_q5_0 = {.name = "q5_0", .ggml_id = 6, .block_len = BLOCK, .block_bytes = sizeof(ft_block_q5_0),
                          .largest = 65504.0f * 15, .encode = q5_0_encode, .decode = q5_0_decode,
                          .levels = 32, .put_codes = q5_0_put, .exponents = {FT_HALF_AT(offsetof(ft_block_q5_0, d))},
                          .help = "5-bit integers in blocks of 32 with an f16 scale, 5.5 bits a weight"};
const ft_dtype ft_q5_1 = {.name = "q5_1", .ggml_id = 7, .block_len = BLOCK, .block_bytes = sizeof(ft_block_q5_1),
                          .largest = 65504, .encode = q5_1_encode, .decode = q5_1_decode,
                          .levels = 32, .put_codes = q5_1_put, .exponents = {FT_HALF_AT(offsetof(ft_block_q5_1, d)), FT_HALF_AT(offsetof(ft_block_q5_1, m))},
                          .help = "5-bit integers in blocks of 32 with an f16 scale and minimum, 6 bits a weight"};
