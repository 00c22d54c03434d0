/* Reading stored rows with vectors: decode to f32, and dot products on the fly for decoding one token. Included by
 * kernel/vector.h alone. A dtype that is not listed at the foot goes through its own plain decode.
 */
#include "kernel/stored_blocks.h"
#include "kernel/stored_super.h"

typedef uint16_t vh __attribute__((vector_size(2 * L)));

static inline vf half_floats(const uint16_t *p)
{
#if FT_LANES == 16
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
#else
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
#endif
}

static inline vf brain_floats(const uint16_t *p)
{
    vh h;
    memcpy(&h, p, sizeof h);
    return (vf)(__builtin_convertvector(h, vu) << 16);
}

static void f16_decode(const void *in, int64_t n, float *x)
{
    const uint16_t *h = in;
    int64_t i = 0;
    for (; i + L <= n; i += L)
        store(x + i, half_floats(h + i));
    for (; i < n; i++)
        x[i] = ft_f16_to_f32(h[i]);
}

static void bf16_decode(const void *in, int64_t n, float *x)
{
    const uint16_t *h = in;
    int64_t i = 0;
    for (; i + L <= n; i += L)
        store(x + i, brain_floats(h + i));
    for (; i < n; i++)
        x[i] = ft_bf16_to_f32(h[i]);
}

#define STORED_DOT(name, lanes, scalar)                                                                                \
    static float name(const void *w, const float *x, int64_t n)                                                        \
    {                                                                                                                  \
        const uint16_t *h = w;                                                                                         \
        vf s0 = {0}, s1 = {0};                                                                                         \
        int64_t i = 0;                                                                                                 \
        for (; i + 2 * L <= n; i += 2 * L) {                                                                           \
            s0 += lanes(h + i) * load(x + i);                                                                          \
            s1 += lanes(h + i + L) * load(x + i + L);                                                                  \
        }                                                                                                              \
        float total = sum(s0 + s1);                                                                                    \
        for (; i < n; i++)                                                                                             \
            total += scalar(h[i]) * x[i];                                                                              \
        return total;                                                                                                  \
    }
STORED_DOT(f16_dot, half_floats, ft_f16_to_f32)
STORED_DOT(bf16_dot, brain_floats, ft_bf16_to_f32)
#undef STORED_DOT

static const ft_reader readers[] = {
    {&ft_f16, f16_decode, f16_dot},       {&ft_bf16, bf16_decode, bf16_dot},
    {&ft_q8_0, q8_0_decode, q8_0_dot},    {&ft_q4_0, q4_0_decode, q4_0_dot},
    {&ft_q4_1, q4_1_decode, q4_1_dot},    {&ft_q5_0, q5_0_decode, q5_0_dot},
    {&ft_q5_1, q5_1_decode, q5_1_dot},    {&ft_q2_k, q2_k_decode, q2_k_dot},
    {&ft_q3_k, q3_k_decode, q3_k_dot},    {&ft_q4_k, q4_k_decode, q4_k_dot},
    {&ft_q5_k, q5_k_decode, q5_k_dot},    {&ft_q6_k, q6_k_decode, q6_k_dot},
    {&ft_iq4_nl, iq4_nl_decode, iq4_nl_dot}, {&ft_iq4_xs, iq4_xs_decode, iq4_xs_dot},
    {&ft_mxfp4, mxfp4_decode, mxfp4_dot}, {&ft_nf4, nf4_decode, nf4_dot},
    {&ft_nf4_dq, nf4_dq_decode, nf4_dq_dot}, {0}};
