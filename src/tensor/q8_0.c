/* q8_0: blocks of 32 signed bytes with one f16 scale, as in ggml (source: the GGUF type of that name).
 *
 *   +--------+----------------------+
 *   | f16 d  | int8 q[32]           |   value = d * q
 *   +--------+----------------------+
 */
#include "tensor/tensor.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct block_q8_0 {
    uint16_t d;
    int8_t q[32];
} block_q8_0;
static_assert(sizeof(block_q8_0) == sizeof(uint16_t) + 32, "q8_0 is packed");

static void q8_0_encode(const float *x, const float *importance, int64_t n, void *out)
{
    block_q8_0 *b = out;
    for (int64_t i = 0; i < n / 32; i++, x += 32) {
        float top = 0;
        for (int j = 0; j < 32; j++)
            top = fmaxf(top, fabsf(x[j]));
        float d = top / 127, inverse = d ? 1 / d : 0;
        b[i].d = ft_f32_to_f16(d);
        for (int j = 0; j < 32; j++)
            b[i].q[j] = (int8_t)roundf(x[j] * inverse);
    }
}

static void q8_0_decode(const void *in, int64_t n, float *x)
{
    const block_q8_0 *b = in;
    for (int64_t i = 0; i < n / 32; i++) {
        float d = ft_f16_to_f32(b[i].d);
        for (int j = 0; j < 32; j++)
            x[i * 32 + j] = d * (float)b[i].q[j];
    }
}

const ft_dtype ft_q8_0 = {.name = "q8_0", .ggml_id = 8, .block_len = 32, .block_bytes = sizeof(block_q8_0),
                          .encode = q8_0_encode, .decode = q8_0_decode,
                          .help = "8-bit integers in blocks of 32 with an f16 scale, 8.5 bits a weight"};
