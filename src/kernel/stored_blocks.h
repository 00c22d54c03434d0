/* Reading blocks of 32 and 64 values (tensor/blocks.h) sixteen at a time. Included by kernel/stored.h alone.
 *
 * A type is two functions: `open` turns the scales of a block into floats, `group` gives sixteen of its values. BLOCK_READER
 * makes the decode and the dot product of them; the loop over the groups is unrolled, so that shifts are constants.
 */
#include "tensor/blocks.h"

enum { GROUP_VALUES = 16, GROUP_VECTORS = GROUP_VALUES / L };
typedef struct group16 {
    vf v[GROUP_VECTORS];
} group16;

/* Scales and offsets of a block, one pair for up to 16 sub-blocks; a type uses as many as it has. */
typedef struct scales {
    float d[16], m[16];
} scales;

static inline __m128i load_bytes(const void *p)
{
    return _mm_loadu_si128(p);
}

static inline float half_float(ft_half h)
{
    return _cvtsh_ss(h);
}

/* Nibble 0: the low four bits of sixteen bytes; 1: the high ones. */
static inline __m128i nibbles(__m128i b, int which)
{
    return _mm_and_si128(which ? _mm_srli_epi16(b, 4) : b, _mm_set1_epi8(15));
}

/* `value` in each byte whose bit is set in the mask of one bit, else 0. */
static inline __m128i where_bit(__m128i b, int bit, int value)
{
    __m128i mask = _mm_set1_epi8((char)(1 << bit));
    return _mm_and_si128(_mm_cmpeq_epi8(_mm_and_si128(b, mask), mask), _mm_set1_epi8((char)value));
}

/* Sixteen bits, low first, as sixteen bytes of `value` or 0. */
static inline __m128i spread_bits(const uint8_t bits[2], int value)
{
    const __m128i which = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m128i mask = _mm_set1_epi64x((long long)0x8040201008040201ull);
    uint16_t word;
    memcpy(&word, bits, sizeof word);
    __m128i b = _mm_shuffle_epi8(_mm_set1_epi16((short)word), which);
    return _mm_and_si128(_mm_cmpeq_epi8(_mm_and_si128(b, mask), mask), _mm_set1_epi8((char)value));
}

/* Sixteen signed bytes as floats. */
static inline group16 floats_of(__m128i b)
{
#if FT_LANES == 16
    return (group16){{(vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(b))}};
#else
    return (group16){{(vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(b)),
                      (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(b, 8)))}};
#endif
}

/* d q + m */
static inline group16 affine(group16 q, float d, float m)
{
    for (int i = 0; i < GROUP_VECTORS; i++)
        q.v[i] = q.v[i] * d + m;
    return q;
}

static inline group16 scaled(group16 q, float d)
{
    for (int i = 0; i < GROUP_VECTORS; i++)
        q.v[i] = q.v[i] * d;
    return q;
}

/* A table of sixteen signed bytes, by code. */
static inline group16 looked_up(const int8_t table[16], __m128i code)
{
    return floats_of(_mm_shuffle_epi8(load_bytes(table), code));
}

/* A table of sixteen floats, by code. */
static inline group16 looked_up_floats(const float table[16], __m128i code)
{
#if FT_LANES == 16
    return (group16){{(vf)_mm512_permutexvar_ps(_mm512_cvtepu8_epi32(code), _mm512_loadu_ps(table))}};
#else
    group16 out;
    __m256 low = _mm256_loadu_ps(table), high = _mm256_loadu_ps(table + 8);
    for (int i = 0; i < 2; i++) {
        __m256i at = _mm256_cvtepu8_epi32(i ? _mm_srli_si128(code, 8) : code);
        __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(at, 28)); /* bit 3 where blendv looks */
        out.v[i] = (vf)_mm256_blendv_ps(_mm256_permutevar8x32_ps(low, at), _mm256_permutevar8x32_ps(high, at), upper);
    }
    return out;
#endif
}

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#define BLOCK_READER(name, block, groups)                                                                              \
    static void name##_decode(const void *in, int64_t n, float *x)                                                     \
    {                                                                                                                  \
        const block *b = in;                                                                                           \
        for (int64_t i = 0; i < n; i += (groups) * GROUP_VALUES, b++) {                                                \
            scales s;                                                                                                  \
            name##_open(b, &s);                                                                                        \
            UNROLL for (int g = 0; g < (groups); g++)                                                                  \
            {                                                                                                          \
                group16 q = name##_group(b, &s, g);                                                                    \
                for (int k = 0; k < GROUP_VECTORS; k++)                                                                \
                    store(x + i + g * GROUP_VALUES + k * L, q.v[k]);                                                   \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static float name##_dot(const void *w, const float *x, int64_t n)                                                  \
    {                                                                                                                  \
        const block *b = w;                                                                                            \
        vf sums[4] = {{0}};                                                                                            \
        for (int64_t i = 0; i < n; i += (groups) * GROUP_VALUES, b++) {                                                \
            scales s;                                                                                                  \
            name##_open(b, &s);                                                                                        \
            UNROLL for (int g = 0; g < (groups); g++)                                                                  \
            {                                                                                                          \
                group16 q = name##_group(b, &s, g);                                                                    \
                for (int k = 0; k < GROUP_VECTORS; k++)                                                                \
                    sums[(g * GROUP_VECTORS + k) % 4] += q.v[k] * load(x + i + g * GROUP_VALUES + k * L);              \
            }                                                                                                          \
        }                                                                                                              \
        return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));                                                         \
    }

/* ---- 32 values ---- */

static inline void q8_0_open(const ft_block_q8_0 *b, scales *s)
{
    s->d[0] = half_float(b->d);
}

static inline group16 q8_0_group(const ft_block_q8_0 *b, const scales *s, int g)
{
    return scaled(floats_of(load_bytes(b->q + 16 * g)), s->d[0]);
}
BLOCK_READER(q8_0, ft_block_q8_0, 2)

static inline void q4_0_open(const ft_block_q4_0 *b, scales *s)
{
    s->d[0] = half_float(b->d);
}

static inline group16 q4_0_group(const ft_block_q4_0 *b, const scales *s, int g)
{
    return scaled(floats_of(_mm_sub_epi8(nibbles(load_bytes(b->q), g), _mm_set1_epi8(8))), s->d[0]);
}
BLOCK_READER(q4_0, ft_block_q4_0, 2)

static inline void q4_1_open(const ft_block_q4_1 *b, scales *s)
{
    s->d[0] = half_float(b->d);
    s->m[0] = half_float(b->m);
}

static inline group16 q4_1_group(const ft_block_q4_1 *b, const scales *s, int g)
{
    return affine(floats_of(nibbles(load_bytes(b->q), g)), s->d[0], s->m[0]);
}
BLOCK_READER(q4_1, ft_block_q4_1, 2)

static inline void q5_0_open(const ft_block_q5_0 *b, scales *s)
{
    s->d[0] = half_float(b->d);
}

static inline group16 q5_0_group(const ft_block_q5_0 *b, const scales *s, int g)
{
    __m128i q = _mm_or_si128(nibbles(load_bytes(b->q), g), spread_bits(b->high + 2 * g, 16));
    return scaled(floats_of(_mm_sub_epi8(q, _mm_set1_epi8(16))), s->d[0]);
}
BLOCK_READER(q5_0, ft_block_q5_0, 2)

static inline void q5_1_open(const ft_block_q5_1 *b, scales *s)
{
    s->d[0] = half_float(b->d);
    s->m[0] = half_float(b->m);
}

static inline group16 q5_1_group(const ft_block_q5_1 *b, const scales *s, int g)
{
    __m128i q = _mm_or_si128(nibbles(load_bytes(b->q), g), spread_bits(b->high + 2 * g, 16));
    return affine(floats_of(q), s->d[0], s->m[0]);
}
BLOCK_READER(q5_1, ft_block_q5_1, 2)

static inline void iq4_nl_open(const ft_block_iq4_nl *b, scales *s)
{
    s->d[0] = half_float(b->d);
}

static inline group16 iq4_nl_group(const ft_block_iq4_nl *b, const scales *s, int g)
{
    return scaled(looked_up(ft_iq4_values, nibbles(load_bytes(b->q), g)), s->d[0]);
}
BLOCK_READER(iq4_nl, ft_block_iq4_nl, 2)

static inline void mxfp4_open(const ft_block_mxfp4 *b, scales *s)
{
    s->d[0] = ft_mxfp4_scale(b->e);
}

static inline group16 mxfp4_group(const ft_block_mxfp4 *b, const scales *s, int g)
{
    return scaled(looked_up(ft_mxfp4_values, nibbles(load_bytes(b->q), g)), s->d[0]);
}
BLOCK_READER(mxfp4, ft_block_mxfp4, 2)

/* ---- 64 values, and four times as many ---- */

static inline void nf4_open(const ft_block_nf4 *b, scales *s)
{
    s->d[0] = half_float(b->top);
}

static inline group16 nf4_group(const ft_block_nf4 *b, const scales *s, int g)
{
    return scaled(looked_up_floats(ft_nf4_values, nibbles(load_bytes(b->q + g % 2 * 16), g / 2)), s->d[0]);
}
BLOCK_READER(nf4, ft_block_nf4, 4)

static inline void nf4_dq_open(const ft_block_nf4_dq *b, scales *s)
{
    float d = half_float(b->d);
    for (int j = 0; j < 4; j++)
        s->d[j] = d * (float)b->top[j];
}

static inline group16 nf4_dq_group(const ft_block_nf4_dq *b, const scales *s, int g)
{
    __m128i code = nibbles(load_bytes(b->q + g / 4 * 32 + g % 2 * 16), g / 2 % 2);
    return scaled(looked_up_floats(ft_nf4_values, code), s->d[g / 4]);
}
BLOCK_READER(nf4_dq, ft_block_nf4_dq, 16)
