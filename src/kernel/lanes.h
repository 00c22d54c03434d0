/* Vectors of FT_LANES floats over GCC vector extensions, and the functions that the vector paths need on them. Included
 * by kernel/vector.h alone, in a file that defines FT_LANES (8 or 16) and is compiled for a CPU that has them.
 *
 * Rows of any length: `take` reads up to FT_LANES floats with zeros behind the end, `put` writes as many.
 * exp, tanh and the logistic function are polynomials of a few ulp. NaN goes through all of them.
 */
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define L FT_LANES
typedef float vf __attribute__((vector_size(4 * L)));
typedef int32_t vi __attribute__((vector_size(4 * L)));
typedef uint32_t vu __attribute__((vector_size(4 * L)));
typedef double vd __attribute__((vector_size(4 * L))); /* half as many lanes */

/* ---- lanes ---- */

static inline vf load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

static inline vf take(const float *p, int64_t n)
{
    if (n >= L)
        return load(p);
    vf v = {0};
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}

static inline void put(float *p, vf v, int64_t n)
{
    if (n >= L)
        store(p, v);
    else
        memcpy(p, &v, (size_t)n * sizeof *p);
}

static inline void put_or_add(float *p, vf v, int64_t n, bool add)
{
    put(p, add ? take(p, n) + v : v, n);
}

static inline vf all(float a)
{
    return a - (vf){0};
}

/* a where the mask is set, else b. */
static inline vf pick(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* Whether any lane is set. */
static inline bool any(vi mask)
{
    uint64_t word[L / 2], all_words = 0;
    memcpy(word, &mask, sizeof mask);
    for (int i = 0; i < L / 2; i++)
        all_words |= word[i];
    return all_words != 0;
}

/* The larger and the smaller one; NaN in a stays. */
static inline vf larger(vf a, vf b)
{
#if FT_LANES == 16
    return (vf)_mm512_max_ps((__m512)b, (__m512)a);
#else
    return (vf)_mm256_max_ps((__m256)b, (__m256)a);
#endif
}

static inline vf smaller(vf a, vf b)
{
#if FT_LANES == 16
    return (vf)_mm512_min_ps((__m512)b, (__m512)a);
#else
    return (vf)_mm256_min_ps((__m256)b, (__m256)a);
#endif
}

/* The upper half of the lanes onto the lower one, until one is left. */
static inline float sum(vf v)
{
#if FT_LANES == 16
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256((__m512)v), _mm512_extractf32x8_ps((__m512)v, 1));
#else
    __m256 h = (__m256)v;
#endif
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}

/* A sum in f64 of floats: the lower and the upper half of the lanes. */
typedef struct wide {
    vd low, high;
} wide;

static inline wide widen(vf v)
{
#if FT_LANES == 16
    return (wide){(vd)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)v)),
                  (vd)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)v, 1))};
#else
    return (wide){(vd)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)v)),
                  (vd)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)v, 1))};
#endif
}

static inline double sum_wide(wide s)
{
    double x[L / 2];
    vd both = s.low + s.high;
    memcpy(x, &both, sizeof both);
    for (int w = L / 4; w; w /= 2)
        for (int i = 0; i < w; i++)
            x[i] += x[i + w];
    return x[0];
}

static inline vf root(vf v)
{
#if FT_LANES == 16
    return (vf)_mm512_sqrt_ps((__m512)v);
#else
    return (vf)_mm256_sqrt_ps((__m256)v);
#endif
}

/* ---- functions ---- */

/* 2^n p for whole n in [-151, 151] and p near 1; infinity and 0 past the range of f32. */
static inline vf times_power(vf p, vf n)
{
#if FT_LANES == 16
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    /* in two halves: neither factor leaves the range */
    vi whole = __builtin_convertvector(n, vi), half = whole >> 1;
    return p * (vf)((half + 127) << 23) * (vf)((whole - half + 127) << 23);
#endif
}

/* exp(x): x = n ln 2 + r with |r| <= ln 2 / 2, exp(r) by a polynomial, 2^n into the exponent. */
static inline vf vexp(vf x)
{
    vf c = smaller(larger(x, all(-104.0f)), all(104.0f));
    vf n = c * 1.44269504f + 12582912.0f - 12582912.0f; /* 1.5 * 2^23: rounds to a whole number */
    vf r = c - n * 0.693359375f + n * 2.12194440e-4f;
    vf p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return times_power(p, n);
}

/* tanh(x): odd polynomial below 0.625, else 1 - 2 / (exp(2|x|) + 1). */
static inline vf vtanh(vf x)
{
    vi sign = (vi)x & INT32_MIN;
    vf a = (vf)((vi)x ^ sign), z = x * x;
    vf p = all(-5.70498872745e-3f);
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    vf near = p * z * x + x;
    vf far = 1.0f - 2.0f / (vexp(a + a) + 1.0f);
    return pick(a < all(0.625f), near, (vf)((vi)far | sign));
}

/* The share of the normal distribution below x, and its density at x. erfc by the Handbook of Mathematical Functions
 * (Abramowitz and Stegun), 7.1.26: good to 1.5e-7, half of it here. */
static inline vf vnormal(vf x, vf *density)
{
    vi sign = (vi)x & INT32_MIN;
    vf z = (vf)((vi)x ^ sign) * 0.707106781f, e = vexp(-z * z), t = 1.0f / (1.0f + 0.3275911f * z);
    vf p = all(1.061405429f);
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    vf above = 0.5f * p * t * e; /* beyond |x| */
    *density = 0.398942280f * e;
    return pick(x < all(0), above, 1.0f - above);
}

static inline vf vlogistic(vf x)
{
    return 1.0f / (1.0f + vexp(-x));
}
