/* q8_0: blocks of 32 signed bytes with one f16 scale, as in ggml (source: the GGUF type of that name).
 *
 *   +--------+----------------------+
 *   | f16 d  | int8 q[32]           |   value = d * q
 *   +--------+----------------------+
 */
#include "tensor/fit.h"

#include <math.h>

enum { BLOCK = 32 };

/* To the nearest integer, ties away from 0, as roundf has it: |v| < 2^31. */
static int32_t nearest(float v)
{
    int32_t whole = (int32_t)v;
    float rest = v - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

static void q8_0_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_q8_0 *b = out;
    for (int64_t i = 0; i < n / BLOCK; i++, x += BLOCK) {
        float top = ft_largest_magnitude(x, BLOCK), d = top / 127, inverse = d != 0 ? 1 / d : 0;
        b[i].d = isfinite(top) ? ft_f32_to_f16(d) : FT_HALF_NAN;
        if (!isfinite(top) || !isfinite(inverse))
            inverse = 0;
        for (int j = 0; j < BLOCK; j++)
            b[i].q[j] = (int8_t)(inverse != 0 ? nearest(x[j] * inverse) : 0);
    }
}

static void q8_0_decode(const void *in, int64_t n, float *x)
{
    const ft_block_q8_0 *b = in;
    for (int64_t i = 0; i < n / BLOCK; i++) {
        float d = ft_f16_to_f32(b[i].d);
        for (int j = 0; j < BLOCK; j++)
            x[i * BLOCK + j] = d * (float)b[i].q[j];
    }
}

const ft_dtype ft_q8_0 = {.name = "q8_0", .ggml_id = 8, .block_len = BLOCK, .block_bytes = sizeof(ft_block_q8_0),
                          .largest = 0x1.ffdffep15f * 127, .encode = q8_0_encode, .decode = q8_0_decode, .exponents = {FT_HALF_AT(offsetof(ft_block_q8_0, d))},
                          .help = "8-bit integers in blocks of 32 with an f16 scale, 8.5 bits a weight"};
