/* The vector paths, written once and compiled by avx2.c and avx512.c with other flags and another FT_LANES (floats in a
 * vector). Defines everything static and, at the foot, the object FT_VECTOR_KERNELS. The contracts stand in kernel.h.
 */
#include "kernel/kernel.h"
#include "base/rng.h"
#include "kernel/lanes.h"
#include "kernel/stored.h"

#include <cpuid.h>

/* ---- vectors ---- */

/* Reading halves is a feature of its own (F16C: leaf 1, ecx bit 29). */
static bool usable(void)
{
    unsigned a, b, c, d;
    return FT_VECTOR_USABLE && __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1);
}

static float dot(const float *a, const float *b, int64_t n)
{
    vf s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    int64_t i = 0;
    for (; i + 4 * L <= n; i += 4 * L) {
        s0 += load(a + i) * load(b + i);
        s1 += load(a + i + L) * load(b + i + L);
        s2 += load(a + i + 2 * L) * load(b + i + 2 * L);
        s3 += load(a + i + 3 * L) * load(b + i + 3 * L);
    }
    for (; i < n; i += L)
        s0 += take(a + i, n - i) * take(b + i, n - i);
    return sum((s0 + s1) + (s2 + s3));
}

static double sum_squares(const float *x, int64_t n)
{
    wide s = {0};
    for (int64_t i = 0; i < n; i += L) {
        wide v = widen(take(x + i, n - i));
        s.low += v.low * v.low;
        s.high += v.high * v.high;
    }
    return sum_wide(s);
}

static float max(const float *x, int64_t n)
{
    vf top = all(x[0]), more = top;
    int64_t i = 0;
    for (; i + 2 * L <= n; i += 2 * L) {
        top = larger(top, load(x + i));
        more = larger(more, load(x + i + L));
    }
    float each[L], m = x[0];
    store(each, larger(top, more));
    for (int j = 0; j < L; j++)
        m = each[j] > m ? each[j] : m;
    for (; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

static int64_t find(const float *x, float value, int64_t n)
{
    int64_t i = 0;
    vf aim = all(value);
    for (; i + 4 * L <= n; i += 4 * L) {
        vi hit = (load(x + i) == aim) | (load(x + i + L) == aim) | (load(x + i + 2 * L) == aim) |
                 (load(x + i + 3 * L) == aim);
        if (any(hit))
            break;
    }
    while (i < n && x[i] != value)
        i++;
    return i;
}

static void axpy(float *y, float a, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += L)
        put(y + i, take(y + i, n - i) + a * take(x + i, n - i), n - i);
}

static void scale(float *x, float a, int64_t n)
{
    for (int64_t i = 0; i < n; i += L)
        put(x + i, a * take(x + i, n - i), n - i);
}

static void add(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i += L)
        put(y + i, take(a + i, n - i) + take(b + i, n - i), n - i);
}

static void softcap(float *x, float cap, int64_t n)
{
    for (int64_t i = 0; i < n; i += L)
        put(x + i, cap * vtanh(take(x + i, n - i) / cap), n - i);
}

static double exp_sum(float *y, const float *x, float shift, int64_t n)
{
    wide s = {0};
    int64_t i = 0;
    for (; i + 4 * L <= n; i += 4 * L) { /* four in f32 before the sum goes on in f64 */
        vf e[4];
        for (int j = 0; j < 4; j++) {
            e[j] = vexp(load(x + i + j * L) - shift);
            store(y + i + j * L, e[j]);
        }
        wide four = widen((e[0] + e[1]) + (e[2] + e[3]));
        s.low += four.low;
        s.high += four.high;
    }
    double total = sum_wide(s);
    for (; i < n; i += L) {
        int64_t k = FT_MIN(n - i, (int64_t)L);
        vf e = vexp(take(x + i, k) - shift);
        put(y + i, e, k);
        for (int64_t j = 0; j < k; j++)
            total += e[j];
    }
    return total;
}

static void adamw(float *w, const float *g, float *m, float *v, int64_t n, const ft_adamw *o)
{
    for (int64_t i = 0; i < n; i += L) {
        int64_t k = n - i;
        vf grad = take(g + i, k) * o->grad_scale, at = take(w + i, k);
        vf first = o->beta1 * take(m + i, k) + (1 - o->beta1) * grad;
        vf second = o->beta2 * take(v + i, k) + (1 - o->beta2) * grad * grad;
        put(m + i, first, k);
        put(v + i, second, k);
        vf change = (first / o->c1) / (root(second / o->c2) + o->eps);
        put(w + i, at - o->rate * (change + o->decay * at), k);
    }
}

/* ---- dropout: Philox 4x32-10 (base/rng.h), L counters at a time ---- */

typedef uint64_t vu2 __attribute__((vector_size(4 * L))); /* the lanes of a vu in pairs */

/* Products of the even lanes of a with b, in 64 bits. */
static inline vu2 multiply_even(vu a, uint32_t b)
{
#if FT_LANES == 16
    return (vu2)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
#else
    return (vu2)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#endif
}

static inline void multiply(vu a, uint32_t b, vu *high, vu *low)
{
    const uint64_t upper = 0xffffffff00000000u;
    vu2 even = multiply_even(a, b), odd = multiply_even((vu)((vu2)a >> 32), b);
    *high = (vu)((even >> 32) | (odd & upper));
    *low = (vu)((even & ~upper) | (odd << 32));
}

/* Words 0..3 of the counters (site << 40 | first) + lane. */
static inline void philox(const ft_dropout *d, uint64_t first, vu c[4])
{
    uint64_t at = (uint64_t)d->site << 40 | first;
    vu lane;
    for (uint32_t j = 0; j < L; j++)
        lane[j] = j;
    /* `first` is a multiple of L, so the sum does not carry into the upper word */
    vu zero = {0}, c0 = lane + (uint32_t)at, c1 = zero + (uint32_t)(at >> 32);
    vu c2 = zero + (uint32_t)d->step, c3 = zero + (uint32_t)(d->step >> 32);
    uint32_t k0 = (uint32_t)d->seed, k1 = (uint32_t)(d->seed >> 32) ^ (FT_STREAM_DROPOUT * 0x85ebca6bu);
    for (int round = 0; round < 10; round++) {
        vu h0, l0, h1, l1;
        multiply(c0, 0xD2511F53u, &h0, &l0);
        multiply(c2, 0xCD9E8D57u, &h1, &l1);
        c0 = h1 ^ c1 ^ k0;
        c2 = h0 ^ c3 ^ k1;
        c1 = l1;
        c3 = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    c[0] = c0;
    c[1] = c1;
    c[2] = c2;
    c[3] = c3;
}

enum { GROUP = 128, GROUP_LANES = 16 };

/* factor[e] of the 128 elements of a group: scale or 0. */
static inline void group_factors(const ft_dropout *d, uint64_t group, float factor[GROUP])
{
    vu drop = (vu){0} + d->drop;
    for (int part = 0; part < GROUP_LANES; part += L) {
        vu word[4];
        philox(d, group * GROUP_LANES + (uint64_t)part, word);
        for (int q = 0; q < 8; q++) {
            vu bits = q % 2 ? word[q / 2] >> 16 : word[q / 2] & 0xffff;
            store(factor + q * GROUP_LANES + part, (vf)((vi)(bits >= drop) & (vi)all(d->scale)));
        }
    }
}

static void dropout(float *y, const float *x, const ft_dropout *d, uint64_t first, int64_t n, bool add)
{
    float factor[GROUP];
    int64_t skip = (int64_t)(first % GROUP); /* elements of the first group that are not asked for */
    for (int64_t i = 0; i < n; first += (uint64_t)(GROUP - skip), skip = 0) {
        group_factors(d, first / GROUP, factor);
        int64_t m = FT_MIN(n - i, GROUP - skip);
        for (int64_t j = 0; j < m; j += L) {
            vf f = take(factor + skip + j, m - j), v = take(x + i + j, m - j) * f;
            put_or_add(y + i + j, pick(f > all(0), v, all(0)), m - j, add); /* what is dropped is 0, even NaN */
        }
        i += m;
    }
}

/* ---- a few rows ---- */

static void rows_dot(float *y, const float *a, int64_t ld, int64_t rows, const float *x, int64_t n)
{
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        const float *p = a + r * ld;
        vf s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        for (int64_t i = 0; i < n; i += L) {
            vf v = take(x + i, n - i);
            s0 += take(p + i, n - i) * v;
            s1 += take(p + ld + i, n - i) * v;
            s2 += take(p + 2 * ld + i, n - i) * v;
            s3 += take(p + 3 * ld + i, n - i) * v;
        }
        y[r] = sum(s0);
        y[r + 1] = sum(s1);
        y[r + 2] = sum(s2);
        y[r + 3] = sum(s3);
    }
    for (; r < rows; r++)
        y[r] = dot(a + r * ld, x, n);
}

static void rows_mix(float *y, const float *a, int64_t ld, int64_t rows, const float *p, int64_t n)
{
    int64_t i = 0;
    for (; i + 4 * L <= n; i += 4 * L) { /* 4 vectors of y stay in registers over all rows */
        vf s0 = load(y + i), s1 = load(y + i + L), s2 = load(y + i + 2 * L), s3 = load(y + i + 3 * L);
        for (int64_t r = 0; r < rows; r++) {
            const float *q = a + r * ld + i;
            s0 += p[r] * load(q);
            s1 += p[r] * load(q + L);
            s2 += p[r] * load(q + 2 * L);
            s3 += p[r] * load(q + 3 * L);
        }
        store(y + i, s0);
        store(y + i + L, s1);
        store(y + i + 2 * L, s2);
        store(y + i + 3 * L, s3);
    }
    for (; i < n; i += L) {
        vf s = take(y + i, n - i);
        for (int64_t r = 0; r < rows; r++)
            s += p[r] * take(a + r * ld + i, n - i);
        put(y + i, s, n - i);
    }
}

/* ---- rows of ops ---- */

static float rmsnorm(float *y, const float *x, const float *w, float eps, float plus, int64_t n)
{
    float inv = (float)(1 / sqrt(sum_squares(x, n) / (double)n + eps));
    for (int64_t i = 0; i < n; i += L)
        put(y + i, take(x + i, n - i) * inv * (take(w + i, n - i) + plus), n - i);
    return inv;
}

static void rmsnorm_grad(float *dx, float *dw, const float *dy, const float *x, const float *w, float inv, float plus,
                         int64_t n, bool add)
{
    wide s = {0};
    for (int64_t i = 0; i < n; i += L) {
        wide g = widen(take(dy + i, n - i) * (take(w + i, n - i) + plus) * take(x + i, n - i));
        s.low += g.low;
        s.high += g.high;
    }
    float back = (float)(sum_wide(s) * inv * inv * inv / (double)n);
    for (int64_t i = 0; dx && i < n; i += L) {
        vf g = take(dy + i, n - i) * (take(w + i, n - i) + plus) * inv - take(x + i, n - i) * back;
        put_or_add(dx + i, g, n - i, add);
    }
    for (int64_t i = 0; dw && i < n; i += L)
        put(dw + i, take(dw + i, n - i) + take(dy + i, n - i) * take(x + i, n - i) * inv, n - i);
}

static float layernorm(float *y, const float *x, const float *w, const float *b, float eps, int64_t n, float *mean)
{
    wide s = {0}, q = {0};
    for (int64_t i = 0; i < n; i += L) {
        wide v = widen(take(x + i, n - i));
        s.low += v.low;
        s.high += v.high;
    }
    float m = *mean = (float)(sum_wide(s) / (double)n);
    int64_t tail = n % L, whole = n - tail;
    for (int64_t i = 0; i < whole; i += L) {
        wide v = widen(load(x + i) - m);
        q.low += v.low * v.low;
        q.high += v.high * v.high;
    }
    double squares = sum_wide(q);
    for (int64_t i = whole; i < n; i++)
        squares += (double)(x[i] - m) * (x[i] - m);
    float inv = (float)(1 / sqrt(squares / (double)n + eps));
    for (int64_t i = 0; i < n; i += L)
        put(y + i, (take(x + i, n - i) - m) * inv * take(w + i, n - i) + take(b + i, n - i), n - i);
    return inv;
}

static void layernorm_grad(float *dx, float *dw, float *db, const float *dy, const float *x, const float *w, float mean,
                           float inv, int64_t n, bool add)
{
    wide along = {0}, s = {0};
    for (int64_t i = 0; i < n; i += L) {
        vf g = take(dy + i, n - i) * take(w + i, n - i); /* 0 behind the end */
        wide one = widen(g), z = widen(g * ((take(x + i, n - i) - mean) * inv));
        s.low += one.low;
        s.high += one.high;
        along.low += z.low;
        along.high += z.high;
    }
    float back = (float)(sum_wide(along) / (double)n), level = (float)(sum_wide(s) / (double)n);
    for (int64_t i = 0; i < n; i += L) {
        int64_t k = n - i;
        vf d = take(dy + i, k), z = (take(x + i, k) - mean) * inv;
        if (dx)
            put_or_add(dx + i, inv * (d * take(w + i, k) - level - z * back), k, add);
        if (dw)
            put_or_add(dw + i, d * z, k, true);
        if (db)
            put_or_add(db + i, d, k, true);
    }
}

static void rope(float *y, const float *x, const float *cos, const float *sin, int64_t rot, int64_t heads,
                 int64_t head_dim, bool back, bool add)
{
    int64_t half = rot / 2;
    float turn = back ? -1 : 1;
    for (int64_t h = 0; h < heads; h++, x += head_dim, y += head_dim) {
        for (int64_t i = 0; i < half; i += L) {
            int64_t k = half - i;
            vf a = take(x + i, k), b = take(x + half + i, k), c = take(cos + i, k), s = take(sin + i, k) * turn;
            put_or_add(y + i, a * c - b * s, k, add);
            put_or_add(y + half + i, b * c + a * s, k, add);
        }
        for (int64_t i = rot; i < head_dim; i += L)
            put_or_add(y + i, take(x + i, head_dim - i), head_dim - i, add);
    }
}

static void swiglu(float *y, const float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i += L) {
        vf g = take(gate + i, n - i);
        put(y + i, g * vlogistic(g) * take(up + i, n - i), n - i);
    }
}

static void swiglu_grad(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n,
                        bool add_gate, bool add_up)
{
    for (int64_t i = 0; i < n; i += L) {
        vf g = take(gate + i, n - i), d = take(dy + i, n - i), s = vlogistic(g), silu = g * s;
        if (dgate)
            put_or_add(dgate + i, d * take(up + i, n - i) * (s + silu * (1.0f - s)), n - i, add_gate);
        if (dup)
            put_or_add(dup + i, d * silu, n - i, add_up);
    }
}

/* The tanh form of gelu, and its slope. */
static inline vf gelu_tanh(vf x, vf *slope)
{
    const float k = 0.797884561f, c = 0.044715f; /* sqrt(2 / pi) */
    vf square = x * x, t = vtanh(k * (x + c * x * square));
    *slope = 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * k * (1.0f + 3 * c * square);
    return 0.5f * x * (1.0f + t);
}

static void geglu(float *y, const float *gate, const float *up, int64_t n)
{
    vf slope;
    for (int64_t i = 0; i < n; i += L)
        put(y + i, gelu_tanh(take(gate + i, n - i), &slope) * take(up + i, n - i), n - i);
}

static void geglu_grad(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n,
                       bool add_gate, bool add_up)
{
    for (int64_t i = 0; i < n; i += L) {
        vf slope, d = take(dy + i, n - i), g = gelu_tanh(take(gate + i, n - i), &slope);
        if (dgate)
            put_or_add(dgate + i, d * take(up + i, n - i) * slope, n - i, add_gate);
        if (dup)
            put_or_add(dup + i, d * g, n - i, add_up);
    }
}

static void gelu(float *y, const float *x, int64_t n)
{
    vf density;
    for (int64_t i = 0; i < n; i += L) {
        vf v = take(x + i, n - i);
        put(y + i, v * vnormal(v, &density), n - i);
    }
}

static void gelu_grad(float *dx, const float *dy, const float *x, int64_t n, bool add)
{
    for (int64_t i = 0; i < n; i += L) {
        vf density, v = take(x + i, n - i), p = vnormal(v, &density);
        put_or_add(dx + i, take(dy + i, n - i) * (p + v * density), n - i, add);
    }
}

static void scores_grad(float *s, float *dp, float lse, float d, float scale, float cap, int64_t n)
{
    float inverse = cap > 0 ? 1 / cap : 0;
    for (int64_t i = 0; i < n; i += L) {
        vf score = take(s + i, n - i), t = score * inverse, p = vexp(score - lse);
        put(s + i, p, n - i);
        put(dp + i, scale * p * (take(dp + i, n - i) - d) * (1.0f - t * t), n - i);
    }
}

const ft_kernels FT_VECTOR_KERNELS = {.name = FT_VECTOR_NAME, .usable = usable, .readers = readers, FT_KERNEL_ENTRIES};
