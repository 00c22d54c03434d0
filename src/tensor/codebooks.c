/* iq4_nl, iq4_xs, mxfp4, nf4, nf4_dq: 4-bit codes that stand for the sixteen values of a table (tensor/blocks.h).
 *
 * nf4 is QLoRA's type: the table holds quantiles of a normal distribution, the scale is the absolute maximum of a block
 * of 64. nf4_dq is its double quantization: four maxima in 8 bits each under one f16, in blocks of 256.
 */
#include "tensor/fit.h"

#include <math.h>
#include <string.h>

const int8_t ft_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
const int8_t ft_mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
const float ft_nf4_values[16] = {-1.0f,          -0.69619280f, -0.52507305f, -0.39491749f, -0.28444138f, -0.18477343f,
                                 -0.091050036f,  0.0f,         0.079580300f, 0.16093020f,  0.24611230f,  0.33791524f,
                                 0.44070983f,    0.56261700f,  0.72295684f,  1.0f};

/* ---- iq4_nl ---- */

static ft_levels iq4_levels(void)
{
    ft_levels l = {.lo = ft_iq4_values[0], .hi = ft_iq4_values[15], .n = 16};
    for (int i = 0; i < 16; i++)
        l.value[i] = ft_iq4_values[i];
    return l;
}

/* Codes of 2 n values into n bytes: the first n in the low nibbles. */
static void put_nibbles(const uint8_t *code, int n, uint8_t *q)
{
    for (int j = 0; j < n; j++)
        q[j] = (uint8_t)(code[j] | code[n + j] << 4);
}

static int nibble(const uint8_t *q, int n, int j)
{
    return j < n ? q[j] & 15 : q[j - n] >> 4;
}

static void iq4_nl_put(void *block, const uint8_t *code)
{
    put_nibbles(code, 16, ((ft_block_iq4_nl *)block)->q);
}

static void iq4_nl_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_iq4_nl *b = out;
    ft_levels l = iq4_levels();
    for (int64_t i = 0; i < n; i += 32, b++) {
        float w[32];
        uint8_t code[32] = {0};
        b->d = FT_HALF_NAN;
        if (ft_fit__finite(x + i, 32)) {
            ft_fit__weights(importance ? importance + i : NULL, 32, w);
            b->d = ft_f32_to_f16(ft_fit__scale(&l, x + i, w, 32));
            ft_fit__codes(&l, x + i, 32, ft_f16_to_f32(b->d), code);
        }
        iq4_nl_put(b, code);
    }
}

static void iq4_nl_decode(const void *in, int64_t n, float *x)
{
    const ft_block_iq4_nl *b = in;
    for (int64_t i = 0; i < n; i += 32, b++) {
        float d = ft_f16_to_f32(b->d);
        for (int j = 0; j < 32; j++)
            x[i + j] = d * (float)ft_iq4_values[nibble(b->q, 16, j)];
    }
}

/* ---- iq4_xs ---- */

static void iq4_xs_put(void *block, const uint8_t *code)
{
    ft_block_iq4_xs *b = block;
    for (int j = 0; j < 8; j++)
        put_nibbles(code + 32 * j, 16, b->q + 16 * j);
}

static void iq4_xs_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_iq4_xs *b = out;
    ft_levels l = iq4_levels();
    for (int64_t i = 0; i < n; i += FT_SUPER, b++) {
        float w[FT_SUPER];
        int8_t scale[8] = {0};
        uint8_t code[FT_SUPER] = {0};
        memset(b, 0, sizeof *b);
        b->d = FT_HALF_NAN;
        if (ft_fit__finite(x + i, FT_SUPER)) {
            ft_fit__weights(importance ? importance + i : NULL, FT_SUPER, w);
            ft_fit__super(&l, 32, -32, 31, x + i, w, &b->d, scale, code);
        }
        for (int j = 0; j < 8; j++) {
            int s = scale[j] + 32;
            b->scale_low[j / 2] = (uint8_t)(b->scale_low[j / 2] | (s & 15) << (j % 2 * 4));
            b->scale_high = (uint16_t)(b->scale_high | s >> 4 << (2 * j));
        }
        iq4_xs_put(b, code);
    }
}

static void iq4_xs_decode(const void *in, int64_t n, float *x)
{
    const ft_block_iq4_xs *b = in;
    for (int64_t i = 0; i < n; i += FT_SUPER, b++)
        for (int j = 0; j < FT_SUPER; j++) {
            float d = ft_f16_to_f32(b->d) * (float)ft_iq4_xs_scale(b, j / 32);
            x[i + j] = d * (float)ft_iq4_values[nibble(b->q + j / 32 * 16, 16, j % 32)];
        }
}

/* ---- mxfp4 ---- */

/* The table in ascending order, and the code of each of its values. */
static ft_levels mxfp4_levels(uint8_t code[15])
{
    ft_levels l = {.lo = -12, .hi = 12, .n = 15};
    for (int i = 0; i < 8; i++) {
        l.value[7 - i] = ft_mxfp4_values[8 + i];
        l.value[7 + i] = ft_mxfp4_values[i];
        code[7 - i] = (uint8_t)(i ? 8 + i : 0);
        code[7 + i] = (uint8_t)i;
    }
    return l;
}

/* The exponent that brings the largest value nearest to the end of the table, or the one beside it that fits better. */
static uint8_t mxfp4_exponent(const ft_levels *l, const float *x, const float *w)
{
    float top = 0, best = INFINITY;
    uint8_t exponent = 0;
    for (int j = 0; j < 32; j++)
        top = fmaxf(top, fabsf(x[j]));
    if (top == 0)
        return 0;
    int middle = ilogbf(top) - 2 + 127;
    for (int e = FT_MAX(middle - 1, 0); e <= FT_MIN(FT_MAX(middle + 1, 0), 254); e++) {
        float error = ft_fit__error(l, x, w, 32, ft_mxfp4_scale((uint8_t)e));
        if (error < best) {
            best = error;
            exponent = (uint8_t)e;
        }
    }
    return exponent;
}

static void mxfp4_put(void *block, const uint8_t *code)
{
    put_nibbles(code, 16, ((ft_block_mxfp4 *)block)->q);
}

/* No exponent says NaN to every reader, so a block that is not finite gets the largest one and full codes: it decodes to
 * values past anything that a weight may be. */
static void mxfp4_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_mxfp4 *b = out;
    uint8_t sorted[15];
    ft_levels l = mxfp4_levels(sorted);
    for (int64_t i = 0; i < n; i += 32, b++) {
        float w[32];
        uint8_t code[32];
        b->e = 255;
        memset(code, 7, sizeof code);
        if (ft_fit__finite(x + i, 32)) {
            ft_fit__weights(importance ? importance + i : NULL, 32, w);
            b->e = mxfp4_exponent(&l, x + i, w);
            ft_fit__codes(&l, x + i, 32, ft_mxfp4_scale(b->e), code);
            for (int j = 0; j < 32; j++)
                code[j] = sorted[code[j]];
        }
        mxfp4_put(b, code);
    }
}

static void mxfp4_decode(const void *in, int64_t n, float *x)
{
    const ft_block_mxfp4 *b = in;
    for (int64_t i = 0; i < n; i += 32, b++) {
        float d = ft_mxfp4_scale(b->e);
        for (int j = 0; j < 32; j++)
            x[i + j] = d * (float)ft_mxfp4_values[nibble(b->q, 16, j)];
    }
}

/* ---- nf4 ---- */

static ft_levels nf4_levels(void)
{
    ft_levels l = {.lo = -1, .hi = 1, .n = 16};
    memcpy(l.value, ft_nf4_values, sizeof l.value);
    return l;
}

/* The scale of 64 values: their absolute maximum, or the fitted one where values differ in importance. */
static float nf4_scale(const ft_levels *l, const float *x, const float *importance)
{
    float top = 0, w[64];
    if (importance) {
        ft_fit__weights(importance, 64, w);
        return fabsf(ft_fit__scale(l, x, w, 64));
    }
    for (int j = 0; j < 64; j++)
        top = fmaxf(top, fabsf(x[j]));
    return top;
}

static void nf4_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_nf4 *b = out;
    ft_levels l = nf4_levels();
    for (int64_t i = 0; i < n; i += 64, b++) {
        uint8_t code[64] = {0};
        b->top = FT_HALF_NAN;
        if (ft_fit__finite(x + i, 64)) {
            b->top = ft_f32_to_f16(nf4_scale(&l, x + i, importance ? importance + i : NULL));
            ft_fit__codes(&l, x + i, 64, ft_f16_to_f32(b->top), code);
        }
        put_nibbles(code, 32, b->q);
    }
}

static void nf4_decode(const void *in, int64_t n, float *x)
{
    const ft_block_nf4 *b = in;
    for (int64_t i = 0; i < n; i += 64, b++) {
        float top = ft_f16_to_f32(b->top);
        for (int j = 0; j < 64; j++)
            x[i + j] = top * ft_nf4_values[nibble(b->q, 32, j)];
    }
}

/* ---- nf4_dq ---- */

static void nf4_dq_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_nf4_dq *b = out;
    ft_levels l = nf4_levels();
    for (int64_t i = 0; i < n; i += FT_SUPER, b++) {
        float top[4], largest = 0;
        memset(b, 0, sizeof *b);
        b->d = FT_HALF_NAN;
        if (!ft_fit__finite(x + i, FT_SUPER))
            continue;
        for (int j = 0; j < 4; j++) {
            top[j] = nf4_scale(&l, x + i + 64 * j, importance ? importance + i + 64 * j : NULL);
            largest = fmaxf(largest, top[j]);
        }
        b->d = ft_f32_to_f16(largest / 255);
        float d = ft_f16_to_f32(b->d);
        for (int j = 0; j < 4; j++) {
            uint8_t code[64];
            b->top[j] = (uint8_t)(d > 0 ? fminf(rintf(top[j] / d), 255) : 0);
            ft_fit__codes(&l, x + i + 64 * j, 64, d * (float)b->top[j], code);
            put_nibbles(code, 32, b->q + 32 * j);
        }
    }
}

static void nf4_dq_decode(const void *in, int64_t n, float *x)
{
    const ft_block_nf4_dq *b = in;
    for (int64_t i = 0; i < n; i += FT_SUPER, b++)
        for (int j = 0; j < FT_SUPER; j++) {
            float top = ft_f16_to_f32(b->d) * (float)b->top[j / 64];
            x[i + j] = top * ft_nf4_values[nibble(b->q + j / 64 * 32, 32, j % 64)];
        }
}

const ft_dtype ft_iq4_nl = {.name = "iq4_nl", .ggml_id = 20, .block_len = 32, .block_bytes = sizeof(ft_block_iq4_nl),
                            .largest = 65504, .encode = iq4_nl_encode, .decode = iq4_nl_decode,
                            .levels = 16, .put_codes = iq4_nl_put, .exponents = {FT_HALF_AT(offsetof(ft_block_iq4_nl, d))},
                            .help = "16 uneven values in blocks of 32 with an f16 scale, 4.5 bits a weight"};
const ft_dtype ft_iq4_xs = {.name = "iq4_xs", .stand_in = &ft_iq4_nl, .ggml_id = 23, .block_len = FT_SUPER,
                            .block_bytes = sizeof(ft_block_iq4_xs), .largest = 65504, .encode = iq4_xs_encode,
                            .decode = iq4_xs_decode,
                            .levels = 16, .put_codes = iq4_xs_put, .exponents = {FT_HALF_AT(offsetof(ft_block_iq4_xs, d))},
                            .help = "16 uneven values in blocks of 256 with 6-bit scales, 4.25 bits a weight"};
/* 255 is the standard's NaN, and from 253 on the largest values overflow. */
const ft_dtype ft_mxfp4 = {.name = "mxfp4", .ggml_id = 39, .block_len = 32, .block_bytes = sizeof(ft_block_mxfp4),
                           .largest = 0x1p125f, .encode = mxfp4_encode, .decode = mxfp4_decode,
                            .levels = 16, .put_codes = mxfp4_put, .exponents = {{1, offsetof(ft_block_mxfp4, e), 0xfc}},
                           .help = "4-bit floats in blocks of 32 with a power of two for a scale, 4.25 bits a weight"};
const ft_dtype ft_nf4 = {.name = "nf4", .stand_in = &ft_q4_0, .ggml_id = -1, .block_len = 64, .block_bytes = sizeof(ft_block_nf4),
                         .largest = 65504, .encode = nf4_encode, .decode = nf4_decode, .exponents = {FT_HALF_AT(offsetof(ft_block_nf4, top))},
                         .help = "16 quantiles of a normal distribution in blocks of 64 with an f16 maximum, 4.25 bits a "
                                 "weight; in memory only"};
const ft_dtype ft_nf4_dq = {.name = "nf4_dq", .stand_in = &ft_nf4, .ggml_id = -1, .block_len = FT_SUPER,
                            .block_bytes = sizeof(ft_block_nf4_dq), .largest = 65504, .encode = nf4_dq_encode,
                            .decode = nf4_dq_decode, .exponents = {FT_HALF_AT(offsetof(ft_block_nf4_dq, d))},
                            .help = "nf4 with its maxima in 8 bits, four under an f16, 4.1875 bits a weight; in memory only"};
