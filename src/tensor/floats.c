/* Plain floats: f32, f16 (IEEE half), bf16. */
#include "tensor/tensor.h"

#include <float.h>
#include <string.h>

typedef union bits {
    float f;
    uint32_t u;
} bits;

float ft_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = (h >> 10) & 31, m = h & 1023;
    bits v;
    if (e == 31)
        v.u = sign | 0x7f800000u | (m << 13);
    else if (e)
        v.u = sign | ((e + 112) << 23) | (m << 13);
    else {
        v.f = (float)m * 0x1p-24f; /* zero and subnormals are exact in f32 */
        v.u |= sign;
    }
    return v.f;
}

uint16_t ft_f32_to_f16(float f)
{
    bits v = {.f = f};
    uint32_t sign = (v.u >> 16) & 0x8000, a = v.u & 0x7fffffffu;
    if (a > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00); /* NaN stays NaN */
    if (a >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00); /* 65520 and above round to infinity */
    if (a < 0x38800000u) {                /* below 2^-14: adding 0.5 rounds to a multiple of 2^-24 */
        bits m = {.u = a};
        m.f += 0.5f;
        return (uint16_t)(sign | (m.u - 0x3f000000u));
    }
    a += 0xfff + ((a >> 13) & 1);
    return (uint16_t)(sign | ((a - 0x38000000u) >> 13));
}

/* Both outcomes are worked out, so that a loop becomes vectors. */
static inline uint16_t to_bf16(float f)
{
    bits v = {.f = f};
    uint32_t rounded = v.u + 0x7fff + ((v.u >> 16) & 1), nan = v.u | 0x400000;
    return (uint16_t)(((v.u & 0x7fffffffu) > 0x7f800000u ? nan : rounded) >> 16);
}

uint16_t ft_f32_to_bf16(float f)
{
    return to_bf16(f);
}

static void f32_encode(const float *x, const float *importance, int64_t n, void *out)
{
    memcpy(out, x, (size_t)n * sizeof *x);
}

static void f32_decode(const void *in, int64_t n, float *x)
{
    memcpy(x, in, (size_t)n * sizeof *x);
}

static void f16_encode(const float *x, const float *importance, int64_t n, void *out)
{
    uint16_t *y = out;
    for (int64_t i = 0; i < n; i++)
        y[i] = ft_f32_to_f16(x[i]);
}

static void f16_decode(const void *in, int64_t n, float *x)
{
    const uint16_t *h = in;
    for (int64_t i = 0; i < n; i++)
        x[i] = ft_f16_to_f32(h[i]);
}

/* In groups of a known length: so the compiler makes vectors of them at -O2. */
static void bf16_encode(const float *x, const float *importance, int64_t n, void *out)
{
    enum { GROUP = 32 };
    uint16_t *y = out;
    int64_t i = 0;
    for (; i + GROUP <= n; i += GROUP)
        for (int k = 0; k < GROUP; k++)
            y[i + k] = to_bf16(x[i + k]);
    for (; i < n; i++)
        y[i] = to_bf16(x[i]);
}

static void bf16_decode(const void *in, int64_t n, float *x)
{
    const uint16_t *h = in;
    for (int64_t i = 0; i < n; i++)
        x[i] = ft_bf16_to_f32(h[i]);
}

const ft_dtype ft_f32 = {
    .name = "f32", .safetensors = "F32", .ggml_id = 0, .block_len = 1, .block_bytes = sizeof(float), .is_float = true,
    .largest = FLT_MAX, .encode = f32_encode, .decode = f32_decode, .exponents = {{4, 0, 0x7f800000}}, .help = "32-bit float"};
const ft_dtype ft_f16 = {
    .name = "f16", .safetensors = "F16", .ggml_id = 1, .block_len = 1, .block_bytes = sizeof(uint16_t), .is_float = true,
    .largest = 0x1.ffdffep15f, .encode = f16_encode, .decode = f16_decode, .exponents = {FT_HALF_AT(0)}, .help = "16-bit IEEE float: 11 bits of precision, up to 65504"};
const ft_dtype ft_bf16 = {
    .name = "bf16", .safetensors = "BF16", .ggml_id = 30, .block_len = 1, .block_bytes = sizeof(uint16_t), .is_float = true,
    .largest = 0x1.fefffep127f, .encode = bf16_encode, .decode = bf16_decode, .exponents = {{2, 0, 0x7f80}}, .help = "16-bit brain float: 8 bits of precision, the range of f32"};
