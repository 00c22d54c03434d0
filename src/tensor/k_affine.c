/* q2_k, q4_k, q5_k: blocks of 256 whose sub-blocks have an integer scale and an integer minimum each, under one f16
 * scale for the scales and one for the minima (tensor/blocks.h). A value is d scale q - dmin min.
 */
#include "tensor/fit.h"

#include <string.h>

/* What the fit of one block gives, before it is packed. */
typedef struct fitted {
    uint16_t d, dmin;
    uint8_t scale[16], min[16];
    uint8_t code[FT_SUPER];
} fitted;

static fitted fit(int top, int sub, int most, const float *x, const float *importance)
{
    fitted f = {.d = FT_HALF_NAN, .dmin = FT_HALF_NAN};
    float w[FT_SUPER];
    if (!ft_fit__finite(x, FT_SUPER))
        return f;
    ft_fit__weights(importance, FT_SUPER, w);
    ft_fit__super_affine(top, sub, most, x, w, &f.d, &f.dmin, f.scale, f.min, f.code);
    return f;
}

/* ---- q2_k ---- */

static void q2_k_put(void *block, const uint8_t *code)
{
    ft_block_q2_k *b = block;
    for (int j = 0; j < 64; j++) {
        const uint8_t *c = code + j / 32 * 128 + j % 32;
        b->q[j] = (uint8_t)(c[0] | c[32] << 2 | c[64] << 4 | c[96] << 6);
    }
}

static void q2_k_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_q2_k *b = out;
    for (int64_t i = 0; i < n; i += FT_SUPER, b++) {
        fitted f = fit(3, 16, 15, x + i, importance ? importance + i : NULL);
        b->d = f.d;
        b->dmin = f.dmin;
        for (int j = 0; j < 16; j++)
            b->scale[j] = (uint8_t)(f.scale[j] | f.min[j] << 4);
        q2_k_put(b, f.code);
    }
}

static void q2_k_decode(const void *in, int64_t n, float *x)
{
    const ft_block_q2_k *b = in;
    for (int64_t i = 0; i < n; i += FT_SUPER, b++) {
        float d = ft_f16_to_f32(b->d), dmin = ft_f16_to_f32(b->dmin);
        for (int j = 0; j < FT_SUPER; j++) {
            float scale = d * (float)(b->scale[j / 16] & 15), min = dmin * (float)(b->scale[j / 16] >> 4);
            int q = b->q[j / 128 * 32 + j % 32] >> (j % 128 / 32 * 2) & 3;
            x[i + j] = scale * (float)q - min;
        }
    }
}

/* ---- q4_k, q5_k ---- */

/* The inverse of ft_k_scales. */
static void pack_scales(const uint8_t scale[8], const uint8_t min[8], uint8_t packed[12])
{
    for (int j = 0; j < 4; j++) {
        packed[j] = (uint8_t)(scale[j] | scale[4 + j] >> 4 << 6);
        packed[4 + j] = (uint8_t)(min[j] | min[4 + j] >> 4 << 6);
        packed[8 + j] = (uint8_t)((scale[4 + j] & 15) | (min[4 + j] & 15) << 4);
    }
}

/* The low four bits of the codes. */
static void pack_nibbles(const uint8_t *code, uint8_t q[128])
{
    for (int j = 0; j < 128; j++) {
        const uint8_t *c = code + j / 32 * 64 + j % 32;
        q[j] = (uint8_t)((c[0] & 15) | (c[32] & 15) << 4);
    }
}

static int nibble(const uint8_t q[128], int j)
{
    return q[j / 64 * 32 + j % 32] >> (j % 64 / 32 * 4) & 15;
}

static void q4_k_put(void *block, const uint8_t *code)
{
    pack_nibbles(code, ((ft_block_q4_k *)block)->q);
}

static void q5_k_put(void *block, const uint8_t *code)
{
    ft_block_q5_k *b = block;
    pack_nibbles(code, b->q);
    memset(b->high, 0, sizeof b->high);
    for (int j = 0; j < FT_SUPER; j++)
        b->high[j % 32] = (uint8_t)(b->high[j % 32] | code[j] >> 4 << j / 32);
}

static void q4_k_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_q4_k *b = out;
    for (int64_t i = 0; i < n; i += FT_SUPER, b++) {
        fitted f = fit(15, 32, 63, x + i, importance ? importance + i : NULL);
        b->d = f.d;
        b->dmin = f.dmin;
        pack_scales(f.scale, f.min, b->scale);
        q4_k_put(b, f.code);
    }
}

static void q4_k_decode(const void *in, int64_t n, float *x)
{
    const ft_block_q4_k *b = in;
    for (int64_t i = 0; i < n; i += FT_SUPER, b++) {
        float d = ft_f16_to_f32(b->d), dmin = ft_f16_to_f32(b->dmin);
        uint8_t scale[8], min[8];
        ft_k_scales(b->scale, scale, min);
        for (int j = 0; j < FT_SUPER; j++)
            x[i + j] = d * (float)scale[j / 32] * (float)nibble(b->q, j) - dmin * (float)min[j / 32];
    }
}

static void q5_k_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_q5_k *b = out;
    for (int64_t i = 0; i < n; i += FT_SUPER, b++) {
        fitted f = fit(31, 32, 63, x + i, importance ? importance + i : NULL);
        b->d = f.d;
        b->dmin = f.dmin;
        pack_scales(f.scale, f.min, b->scale);
        q5_k_put(b, f.code);
    }
}

static void q5_k_decode(const void *in, int64_t n, float *x)
{
    const ft_block_q5_k *b = in;
    for (int64_t i = 0; i < n; i += FT_SUPER, b++) {
        float d = ft_f16_to_f32(b->d), dmin = ft_f16_to_f32(b->dmin);
        uint8_t scale[8], min[8];
        ft_k_scales(b->scale, scale, min);
        for (int j = 0; j < FT_SUPER; j++) {
            int q = nibble(b->q, j) | (b->high[j % 32] >> (j / 32) & 1) << 4;
            x[i + j] = d * (float)scale[j / 32] * (float)q - dmin * (float)min[j / 32];
        }
    }
}

const ft_dtype ft_q2_k = {.name = "q2_k", .stand_in = &ft_iq4_nl, .ggml_id = 10, .block_len = FT_SUPER, .block_bytes = sizeof(ft_block_q2_k),
                          .largest = 65504, .encode = q2_k_encode, .decode = q2_k_decode,
                          .levels = 4, .put_codes = q2_k_put, .exponents = {FT_HALF_AT(offsetof(ft_block_q2_k, d)), FT_HALF_AT(offsetof(ft_block_q2_k, dmin))},
                          .help = "2-bit integers in blocks of 256 with 4-bit scales and minima, 2.625 bits a weight"};
const ft_dtype ft_q4_k = {.name = "q4_k", .stand_in = &ft_q5_0, .ggml_id = 12, .block_len = FT_SUPER, .block_bytes = sizeof(ft_block_q4_k),
                          .largest = 65504, .encode = q4_k_encode, .decode = q4_k_decode,
                          .levels = 16, .put_codes = q4_k_put, .exponents = {FT_HALF_AT(offsetof(ft_block_q4_k, d)), FT_HALF_AT(offsetof(ft_block_q4_k, dmin))},
                          .help = "4-bit integers in blocks of 256 with 6-bit scales and minima, 4.5 bits a weight"};
const ft_dtype ft_q5_k = {.name = "q5_k", .stand_in = &ft_q5_1, .ggml_id = 13, .block_len = FT_SUPER, .block_bytes = sizeof(ft_block_q5_k),
                          .largest = 65504, .encode = q5_k_encode, .decode = q5_k_decode,
                          .levels = 32, .put_codes = q5_k_put, .exponents = {FT_HALF_AT(offsetof(ft_block_q5_k, d)), FT_HALF_AT(offsetof(ft_block_q5_k, dmin))},
                          .help = "5-bit integers in blocks of 256 with 6-bit scales and minima, 5.5 bits a weight"};
