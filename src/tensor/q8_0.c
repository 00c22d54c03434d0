/* q8_0: blocks of 32 signed bytes with one f16 scale, as in ggml (source: the GGUF type of that name).
 *
 *   +--------+----------------------+
 *   | f16 d  | int8 q[32]           |   value = d * q
 *   +--------+----------------------+
 */
#include "tensor/fit.h"

#include <math.h>
#include <string.h>

static void q8_0_encode(const float *x, const float *importance, int64_t n, void *out)
{
    ft_block_q8_0 *b = out;
    for (int64_t i = 0; i < n / 32; i++, x += 32) {
        float top = 0;
        for (int j = 0; j < 32; j++)
            top = fmaxf(top, fabsf(x[j]));
        float d = top / 127, inverse = d != 0 ? 1 / d : 0;
        b[i].d = ft_f32_to_f16(d);
        if (!ft_fit__finite(x, 32)) {
            b[i].d = FT_HALF_NAN;
            memset(b[i].q, 0, sizeof b[i].q);
            continue;
        }
        for (int j = 0; j < 32; j++)
            b[i].q[j] = (int8_t)roundf(x[j] * inverse);
    }
}

static void q8_0_decode(const void *in, int64_t n, float *x)
{
    const ft_block_q8_0 *b = in;
    for (int64_t i = 0; i < n / 32; i++) {
        float d = ft_f16_to_f32(b[i].d);
        for (int j = 0; j < 32; j++)
            x[i * 32 + j] = d * (float)b[i].q[j];
    }
}

const ft_dtype ft_q8_0 = {.name = "q8_0", .ggml_id = 8, .block_len = 32, .block_bytes = sizeof(ft_block_q8_0),
                          .largest = 0x1.ffdffep15f * 127, .encode = q8_0_encode, .decode = q8_0_decode, .exponents = {FT_HALF_AT(offsetof(ft_block_q8_0, d))},
                          .help = "8-bit integers in blocks of 32 with an f16 scale, 8.5 bits a weight"};
