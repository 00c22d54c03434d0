/* Reading stored rows with vectors: decode to f32, and dot products on the fly for decoding one token. Included by
 * kernel/vector.h alone. A dtype that is not listed at the foot goes through its own plain decode.
 */
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

static inline vf bytes(const int8_t *p)
{
#if FT_LANES == 16
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
#else
    return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p)));
#endif
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

/* q8_0: f16 d, int8 q[32] (tensor/q8_0.c). */
enum { Q8_BLOCK = 32, Q8_BYTES = sizeof(uint16_t) + Q8_BLOCK };

static inline float q8_0_scale(const char *block)
{
    uint16_t h;
    memcpy(&h, block, sizeof h);
    return _cvtsh_ss(h);
}

static void q8_0_decode(const void *in, int64_t n, float *x)
{
    const char *b = in;
    for (int64_t i = 0; i < n; i += Q8_BLOCK, b += Q8_BYTES) {
        float d = q8_0_scale(b);
        const int8_t *q = (const int8_t *)b + sizeof(uint16_t);
        for (int j = 0; j < Q8_BLOCK; j += L)
            store(x + i + j, d * bytes(q + j));
    }
}

static float q8_0_dot(const void *w, const float *x, int64_t n)
{
    const char *b = w;
    vf s0 = {0}, s1 = {0};
    for (int64_t i = 0; i < n; i += Q8_BLOCK, b += Q8_BYTES) {
        const int8_t *q = (const int8_t *)b + sizeof(uint16_t);
        vf d = all(q8_0_scale(b));
        for (int j = 0; j < Q8_BLOCK; j += 2 * L) {
            s0 += d * bytes(q + j) * load(x + i + j);
            s1 += d * bytes(q + j + L) * load(x + i + j + L);
        }
    }
    return sum(s0 + s1);
}

static const ft_reader readers[] = {
    {&ft_f16, f16_decode, f16_dot}, {&ft_bf16, bf16_decode, bf16_dot}, {&ft_q8_0, q8_0_decode, q8_0_dot}, {0}};
