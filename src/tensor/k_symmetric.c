/* q3_k, q6_k: blocks of 256 whose sub-blocks of 16 have a signed integer scale each, under one f16 scale
 * (tensor/blocks.h). A value is d scale (q - middle).
 */
#include "tensor/fit.h"

#include <string.h>

typedef struct fitted {
    uint16_t d;
    int8_t scale[16];
    uint8_t code[FT_SUPER];
} fitted;

/* `middle` is the code of zero: codes 0 .. 2 middle - 1. most: scales are -most .. most - 1. */
static fitted fit(int middle, int most, const float *x, const float *importance)
{
    fitted f = {.d = FT_HALF_NAN};
    ft_levels l = {.lo = (float)-middle, .hi = (float)(middle - 1)};
    float w[FT_SUPER];
    if (!ft_fit__finite(x, FT_SUPER))
        return f;
    ft_fit__weights(importance, FT_SUPER, w);
    ft_fit__super(&l, 16, -most, most - 1, x, w, &f.d, f.scale, f.code);
    return f;
}

/* ---- q3_k ---- */

/* The inverse of ft_q3_scales. */
static void pack_scales(const int8_t scale[16], uint8_t packed[12])
{
    memset(packed, 0, 12);
    for (int j = 0; j < 16; j++) {
        int s = scale[j] + 32;
        packed[j % 8] = (uint8_t)(packed[j % 8] | (s & 15) << (j / 8 * 4));
        packed[8 + j % 4] = (uint8_t)(packed[8 + j % 4] | s >> 4 << (j / 4 * 2));
    }
}

static void q3_k_put(void *block, const uint8_t *code)
{
    ft_block_q3_k *b = block;
    for (int j = 0; j < 64; j++) {
        const uint8_t *c = code + j / 32 * 128 + j % 32;
        b->q[j] = (uint8_t)((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
    }
    memset(b->high, 0, sizeof b->high);
    for (int j = 0; j < FT_SUPER; j++)
        b->high[j % 32] = (uint8_t)(b->high[j % 32] | code[j] >> 2 << j / 32);
}

static void q3_k_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_q3_k *b = out;
    for (int64_t i = 0; i < n; i += FT_SUPER, b++) {
        fitted f = fit(4, 32, x + i, importance ? importance + i : NULL);
        b->d = f.d;
        pack_scales(f.scale, b->scale);
        q3_k_put(b, f.code);
    }
}

static void q3_k_decode(const void *in, int64_t n, float *x)
{
    const ft_block_q3_k *b = in;
    for (int64_t i = 0; i < n; i += FT_SUPER, b++) {
        float d = ft_f16_to_f32(b->d);
        int8_t scale[16];
        ft_q3_scales(b->scale, scale);
        for (int j = 0; j < FT_SUPER; j++) {
            int q = b->q[j / 128 * 32 + j % 32] >> (j % 128 / 32 * 2) & 3;
            q |= (b->high[j % 32] >> (j / 32) & 1) << 2;
            x[i + j] = d * (float)scale[j / 16] * (float)(q - 4);
        }
    }
}

/* ---- q6_k ---- */

static void q6_k_put(void *block, const uint8_t *code)
{
    ft_block_q6_k *b = block;
    for (int j = 0; j < 128; j++) {
        const uint8_t *c = code + j / 64 * 128 + j % 64;
        b->q[j] = (uint8_t)((c[0] & 15) | (c[64] & 15) << 4);
    }
    for (int j = 0; j < 64; j++) {
        const uint8_t *c = code + j / 32 * 128 + j % 32;
        b->high[j] = (uint8_t)(c[0] >> 4 | c[32] >> 4 << 2 | c[64] >> 4 << 4 | c[96] >> 4 << 6);
    }
}

static void q6_k_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_q6_k *b = out;
    for (int64_t i = 0; i < n; i += FT_SUPER, b++) {
        fitted f = fit(32, 128, x + i, importance ? importance + i : NULL);
        b->d = f.d;
        memcpy(b->scale, f.scale, sizeof b->scale);
        q6_k_put(b, f.code);
    }
}

static void q6_k_decode(const void *in, int64_t n, float *x)
{
    const ft_block_q6_k *b = in;
    for (int64_t i = 0; i < n; i += FT_SUPER, b++) {
        float d = ft_f16_to_f32(b->d);
        for (int j = 0; j < FT_SUPER; j++) {
            int q = b->q[j / 128 * 64 + j % 64] >> (j % 128 / 64 * 4) & 15;
            q |= (b->high[j / 128 * 32 + j % 32] >> (j % 128 / 32 * 2) & 3) << 4;
            x[i + j] = d * (float)b->scale[j / 16] * (float)(q - 32);
        }
    }
}

const ft_dtype ft_q3_k = {.name = "q3_k", .stand_in = &ft_iq4_nl, .ggml_id = 11, .block_len = FT_SUPER, .block_bytes = sizeof(ft_block_q3_k),
                          .largest = 65504, .encode = q3_k_encode, .decode = q3_k_decode,
                          .levels = 8, .put_codes = q3_k_put, .exponents = {FT_HALF_AT(offsetof(ft_block_q3_k, d))},
                          .help = "3-bit integers in blocks of 256 with 6-bit scales, 3.4375 bits a weight"};
const ft_dtype ft_q6_k = {.name = "q6_k", .stand_in = &ft_q8_0, .ggml_id = 14, .block_len = FT_SUPER, .block_bytes = sizeof(ft_block_q6_k),
                          .largest = 65504, .encode = q6_k_encode, .decode = q6_k_decode,
                          .levels = 64, .put_codes = q6_k_put, .exponents = {FT_HALF_AT(offsetof(ft_block_q6_k, d))},
                          .help = "6-bit integers in blocks of 256 with 8-bit scales, 6.5625 bits a weight"};
