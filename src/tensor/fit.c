/* Weighted least squares over the scales of quantized blocks.
 *
 * For codes that are given, the best scale (and minimum) is the solution of normal equations of one or two unknowns; for
 * a scale that is given, the best codes are the nearest ones. Alternating between the two stops at a local minimum, so
 * it is started from a row of scales around the one that just reaches the largest value, and the best end is kept.
 *
 * Blocks of 256 have integer scales below an f16 one, so the fits of their sub-blocks are rounded: which of the integers
 * around the wish is best is tried out, then the f16 scales are solved for once more over all 256 values, and so on
 * while that helps.
 *
 * Most of the time goes into trying scales. A lane of a vector is a scale that is tried, not a value: the sums of a scale
 * stay in its lane, so that blocks of any length fill the vectors and nothing is summed across them. Vectors are those of
 * GCC and clang with four floats, which every CPU has, so that the bytes of a file do not depend on the CPU. Memory: the
 * stack.
 */
#include "tensor/fit.h"

#include <float.h>
#include <math.h>
#include <string.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#define FT_INLINE static inline __attribute__((always_inline))

enum { LANES = 4, TRIES = 2 * LANES, MOST_SUBS = 16, PASSES = 3 };
typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
static const vf lane = {0, 1, 2, 3};

FT_INLINE vf load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

FT_INLINE vf all(float a)
{
    return (vf){0} + a;
}

FT_INLINE vf pick(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* a where it is larger (smaller), else b. */
FT_INLINE vf larger(vf a, vf b)
{
#ifdef __SSE__
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
    return pick(a > b, a, b);
#endif
}

FT_INLINE vf smaller(vf a, vf b)
{
#ifdef __SSE__
    return (vf)_mm_min_ps((__m128)a, (__m128)b);
#else
    return pick(a < b, a, b);
#endif
}

FT_INLINE float sum(vf v)
{
    return (v[0] + v[1]) + (v[2] + v[3]);
}

/* To the nearest integer, ties to even; |v| < 2^22. */
FT_INLINE vf nearest(vf v)
{
    const float magic = 0x1.8p23f;
    return (v + magic) - magic;
}

FT_INLINE vf between(vf v, float lo, float hi)
{
    return smaller(larger(v, all(lo)), all(hi));
}

/* The level nearest to each of v; `table` says whether there is one, a constant in every copy. Two sums, so that one does
 * not wait for the other. */
FT_INLINE vf level(const ft_levels *l, vf v, const bool table)
{
    if (!table)
        return nearest(between(v, l->lo, l->hi));
    vf even = all(l->value[0]), odd = {0};
    for (int i = 1; i < l->n; i += 2) {
        even += (vf)((v > (l->value[i - 1] + l->value[i]) / 2) & (vi)all(l->value[i] - l->value[i - 1]));
        if (i + 1 < l->n)
            odd += (vf)((v > (l->value[i] + l->value[i + 1]) / 2) & (vi)all(l->value[i + 1] - l->value[i]));
    }
    return even + odd;
}

/* The value of the largest magnitude. */
static float largest(const float *x, int n)
{
    vf low = all(x[0]), high = low;
    for (int i = 0; i < n; i += LANES) {
        low = smaller(load(x + i), low);
        high = larger(load(x + i), high);
    }
    float a = low[0], b = high[0];
    for (int k = 1; k < LANES; k++) {
        a = low[k] < a ? low[k] : a;
        b = high[k] > b ? high[k] : b;
    }
    return b >= -a ? b : a;
}

/* ---- one scale ---- */

/* What the best scale for some codes takes away of sum w x^2, and that scale. */
typedef struct choice {
    vf gain, d;
} choice;

/* Of the sums that a scale's codes give; codes that are all 0 give NaN, which is no gain. */
FT_INLINE void keep_better(choice *c, vf xq, vf qq)
{
    vf d = xq / qq, gain = xq * d;
    vi better = gain > c->gain;
    c->gain = pick(better, gain, c->gain);
    c->d = pick(better, d, c->d);
}

/* The inverse scales first, first + step, ... TRIES of them. */
FT_INLINE void try_scales(const ft_levels *l, const float *x, const float *w, int n, float first, float step, choice c[2],
                          const bool table)
{
    vf low = first + step * lane, high = low + LANES * step;
    vf xq0 = {0}, qq0 = {0}, xq1 = {0}, qq1 = {0};
    for (int i = 0; i < n; i++) {
        vf v = all(x[i]), k = all(w[i]);
        vf q0 = level(l, v * low, table), q1 = level(l, v * high, table);
        vf wq0 = k * q0, wq1 = k * q1;
        xq0 += wq0 * v;
        qq0 += wq0 * q0;
        xq1 += wq1 * v;
        qq1 += wq1 * q1;
    }
    keep_better(&c[0], xq0, qq0);
    keep_better(&c[1], xq1, qq1);
}

/* The best scale for the codes that d gives, where it is better: a step of the alternation. */
FT_INLINE void refine(const ft_levels *l, const float *x, const float *w, int n, float *best, float *d, const bool table)
{
    vf xq = {0}, qq = {0};
    float inverse = 1 / *d;
    for (int i = 0; i < n; i += LANES) {
        vf v = load(x + i), q = level(l, v * inverse, table), wq = load(w + i) * q;
        xq += wq * v;
        qq += wq * q;
    }
    float a = sum(xq), scale = a / sum(qq);
    if (a * scale > *best) {
        *best = a * scale;
        *d = scale;
    }
}

FT_INLINE float search_scale(const ft_levels *l, const float *x, const float *w, int n, float top, const bool table)
{
    enum { SIDE = 2 * TRIES }; /* tries for each end of the levels */
    /* around the scale that reaches the largest value with the last level, by up to 1.2 of the last gap */
    float ends[2] = {l->lo, l->hi}, gaps[2] = {1, 1}, best = 0, d = 0;
    choice c[2] = {0};
    if (table) {
        gaps[0] = l->value[1] - l->value[0];
        gaps[1] = l->value[l->n - 1] - l->value[l->n - 2];
    }
    for (int side = 0; side < 2; side++) {
        float step = gaps[side] * 2.4f / SIDE;
        for (int s = -SIDE / 2; s < SIDE / 2 && ends[side] != 0; s += TRIES)
            try_scales(l, x, w, n, (ends[side] + step * (float)s) / top, step / top, c, table);
    }
    for (int i = 0; i < TRIES; i++)
        if (c[i / LANES].gain[i % LANES] > best) {
            best = c[i / LANES].gain[i % LANES];
            d = c[i / LANES].d[i % LANES];
        }
    for (int i = 0; i < 2 && d != 0; i++)
        refine(l, x, w, n, &best, &d, table);
    return d;
}

float ft_fit__scale(const ft_levels *l, const float *x, const float *w, int n)
{
    float top = largest(x, n);
    if (fabsf(top) < FLT_MIN)
        return 0;
    return l->n ? search_scale(l, x, w, n, top, true) : search_scale(l, x, w, n, top, false);
}

/* 1 / d, or 0 where that is no number: then all levels are those of 0. */
FT_INLINE float inverse_of(float d)
{
    float inverse = 1 / d;
    return isfinite(inverse) ? inverse : 0;
}

FT_INLINE float error_of(const ft_levels *l, const float *x, const float *w, int n, float d, const bool table)
{
    float inverse = inverse_of(d);
    vf e = {0};
    d = inverse != 0 ? d : 0;
    for (int i = 0; i < n; i += LANES) {
        vf v = load(x + i), off = v - d * level(l, v * inverse, table);
        e += load(w + i) * off * off;
    }
    return sum(e);
}

float ft_fit__error(const ft_levels *l, const float *x, const float *w, int n, float d)
{
    return l->n ? error_of(l, x, w, n, d, true) : error_of(l, x, w, n, d, false);
}

FT_INLINE void store_codes(uint8_t *code, vi q)
{
    for (int k = 0; k < LANES; k++)
        code[k] = (uint8_t)q[k];
}

/* How many of the borders between the levels lie below each of v. */
FT_INLINE vi number_of_level(const ft_levels *l, vf v)
{
    vi number = {0};
    for (int i = 1; i < l->n; i++)
        number -= v > (l->value[i - 1] + l->value[i]) / 2;
    return number;
}

void ft_fit__codes(const ft_levels *l, const float *x, int n, float d, uint8_t *code)
{
    float inverse = inverse_of(d);
    for (int i = 0; i < n; i += LANES) {
        vf v = load(x + i) * inverse;
        store_codes(code + i, l->n ? number_of_level(l, v)
                                   : __builtin_convertvector(nearest(between(v, l->lo, l->hi)) - l->lo, vi));
    }
}

/* ---- a scale and a minimum ---- */

FT_INLINE vf affine_level(vf v, vf inverse, vf m, float top)
{
    return nearest(between((v + m) * inverse, 0, top));
}

/* Sums over a block that do not depend on the codes. */
typedef struct fixed_sums {
    float w, x, xx;
} fixed_sums;

static fixed_sums sums_of(const float *x, const float *w, int n)
{
    vf sw = {0}, sx = {0}, sxx = {0};
    for (int i = 0; i < n; i += LANES) {
        vf v = load(x + i), k = load(w + i);
        sw += k;
        sx += k * v;
        sxx += k * v * v;
    }
    return (fixed_sums){sum(sw), sum(sx), sum(sxx)};
}

/* The pairs of some codes that are best, and their errors. */
typedef struct pairs {
    vf error, d, m;
} pairs;

/* The best pair for each lane's codes, of which the weighted sums are q, q^2 and q x. No pair: an infinite error. */
FT_INLINE void keep_better_pair(pairs *p, bool low_only, const fixed_sums *f, vf q, vf qq, vf qx)
{
    vf det = f->w * qq - q * q;
    vf d = (f->w * qx - q * f->x) / det, m = (q * qx - qq * f->x) / det;
    if (low_only) {
        vi below = m < 0;
        m = pick(below, all(0), m);
        d = pick(below, qx / qq, d);
    }
    vf e = d * d * qq + m * m * f->w + f->xx - 2 * d * m * q - 2 * d * qx + 2 * m * f->x;
    vi better = (det > 0) & (d > FLT_MIN) & (e < p->error);
    p->error = pick(better, e, p->error);
    p->d = pick(better, d, p->d);
    p->m = pick(better, m, p->m);
}

/* The codes under the minimum m and the inverse scales of two vectors. */
FT_INLINE void try_pairs(float top, bool low_only, const float *x, const float *w, int n, const fixed_sums *f, float m,
                         vf inverse0, vf inverse1, pairs p[2])
{
    vf q0 = {0}, qq0 = {0}, qx0 = {0}, q1 = {0}, qq1 = {0}, qx1 = {0};
    for (int i = 0; i < n; i++) {
        vf v = all(x[i]), k = all(w[i]), a = affine_level(v, inverse0, all(m), top), b = affine_level(v, inverse1, all(m), top);
        vf wa = k * a, wb = k * b;
        q0 += wa;
        qq0 += wa * a;
        qx0 += wa * v;
        q1 += wb;
        qq1 += wb * b;
        qx1 += wb * v;
    }
    keep_better_pair(&p[0], low_only, f, q0, qq0, qx0);
    keep_better_pair(&p[1], low_only, f, q1, qq1, qx1);
}

/* The best pair for the codes that *a gives, where it is better than *error. */
FT_INLINE void refine_pair(float top, bool low_only, const float *x, const float *w, int n, const fixed_sums *f, float *error,
                           ft_affine *a)
{
    vf q = {0}, qq = {0}, qx = {0}, inverse = all(1 / a->d);
    for (int i = 0; i < n; i += LANES) {
        vf v = load(x + i), c = affine_level(v, inverse, all(a->m), top), wc = load(w + i) * c;
        q += wc;
        qq += wc * c;
        qx += wc * v;
    }
    pairs p = {.error = all(*error), .d = all(a->d), .m = all(a->m)};
    keep_better_pair(&p, low_only, f, all(sum(q)), all(sum(qq)), all(sum(qx)));
    *error = p.error[0];
    *a = (ft_affine){p.d[0], p.m[0]};
}

/* Lowest and highest of x. */
static void range_of(const float *x, int n, float *low, float *high)
{
    vf a = load(x), b = a;
    for (int i = LANES; i < n; i += LANES) {
        a = smaller(load(x + i), a);
        b = larger(load(x + i), b);
    }
    *low = a[0];
    *high = b[0];
    for (int k = 1; k < LANES; k++) {
        *low = a[k] < *low ? a[k] : *low;
        *high = b[k] > *high ? b[k] : *high;
    }
}

ft_affine ft_fit__affine(int top, bool low_only, const float *x, const float *w, int n)
{
    enum { ALL = 3 * TRIES };
    float low, high;
    range_of(x, n, &low, &high);
    if (low_only && low > 0)
        low = 0;
    ft_affine best = {0, -low};
    if (!(high - low > FLT_MIN) || !isfinite((float)top / (high - low)))
        return best;
    fixed_sums f = sums_of(x, w, n);
    best.d = (high - low) / (float)top;
    pairs p[2] = {{.error = all(INFINITY)}, {.error = all(INFINITY)}};
    float step = 2.4f / ALL / (high - low), error = INFINITY;
    for (int s = -ALL / 2; s < ALL / 2; s += TRIES) {
        vf inverse = (float)top / (high - low) + step * ((float)s + lane);
        try_pairs((float)top, low_only, x, w, n, &f, -low, inverse, inverse + LANES * step, p);
    }
    for (int i = 0; i < TRIES; i++)
        if (p[i / LANES].error[i % LANES] < error) {
            error = p[i / LANES].error[i % LANES];
            best = (ft_affine){p[i / LANES].d[i % LANES], p[i / LANES].m[i % LANES]};
        }
    for (int i = 0; i < 3; i++)
        refine_pair((float)top, low_only, x, w, n, &f, &error, &best);
    return best;
}

void ft_fit__affine_codes(int top, const float *x, int n, ft_affine a, uint8_t *code)
{
    float inverse = a.d > 0 ? inverse_of(a.d) : 0;
    for (int i = 0; i < n; i += LANES)
        store_codes(code + i,
                    __builtin_convertvector(affine_level(load(x + i), all(inverse), all(a.m), (float)top), vi));
}

/* ---- blocks of 256, one scale ---- */

static float rounded(float d)
{
    return ft_f16_to_f32(ft_f32_to_f16(d));
}

static int clamped(float v, int low, int high)
{
    return v > (float)low ? v < (float)high ? (int)v : high : low; /* NaN is low */
}

typedef struct super {
    const ft_levels *l;
    int sub, low, high;
    const float *x, *w;
    float wish[MOST_SUBS]; /* scales of the sub-blocks, each by itself */
} super;

/* The errors of one sub-block under the scales of four lanes. */
FT_INLINE vf errors_of(const ft_levels *l, const float *x, const float *w, int n, vf d, const bool table)
{
    vf inverse = 1 / d, e0 = {0}, e1 = {0};
    vi none = ~((inverse < FLT_MAX) & (inverse > -FLT_MAX));
    inverse = pick(none, all(0), inverse);
    d = pick(none, all(0), d);
    for (int i = 0; i < n; i += 2) {
        vf a = all(x[i]) - d * level(l, x[i] * inverse, table), b = all(x[i + 1]) - d * level(l, x[i + 1] * inverse, table);
        e0 += w[i] * a * a;
        e1 += w[i + 1] * b * b;
    }
    return e0 + e1;
}

/* The first of the least of four. */
FT_INLINE int least_of(vf e)
{
    int best = 0;
    for (int k = 1; k < LANES; k++)
        if (e[k] < e[best])
            best = k;
    return best;
}

/* The best of the four integers around wish / d for each sub-block; the error of all. */
FT_INLINE float choose_scales(const super *u, float d, int8_t *s, const bool table)
{
    float total = 0;
    for (int j = 0; j < FT_SUPER / u->sub; j++) {
        int first = clamped(floorf(u->wish[j] / d) - 1, u->low, u->high - 3);
        vf e = errors_of(u->l, u->x + j * u->sub, u->w + j * u->sub, u->sub, d * ((float)first + lane), table);
        int best = least_of(e);
        s[j] = (int8_t)(first + best);
        total += e[best];
    }
    return total;
}

/* The d that is best for these integers and the codes that they give under the old d. */
FT_INLINE float solve_super(const super *u, float d, const int8_t *s, const bool table)
{
    vf a = {0}, b = {0};
    for (int j = 0; j < FT_SUPER / u->sub; j++) {
        const float *x = u->x + j * u->sub, *w = u->w + j * u->sub;
        float inverse = inverse_of(d * (float)s[j]), scale = inverse != 0 ? (float)s[j] : 0;
        for (int i = 0; i < u->sub; i += LANES) {
            vf v = load(x + i), q = level(u->l, v * inverse, table) * scale, wq = load(w + i) * q;
            a += wq * v;
            b += wq * q;
        }
    }
    float qq = sum(b);
    return qq > 0 ? sum(a) / qq : 0;
}

/* The scale and the integers that `passes` rounds lead to. */
FT_INLINE float search_super(const super *u, float scale, int8_t *s, const bool table)
{
    int8_t trial[MOST_SUBS];
    float best = INFINITY, kept = 0;
    for (int pass = 0; pass < PASSES && scale != 0; pass++) {
        float e = choose_scales(u, scale, trial, table);
        if (!(e < best))
            break;
        best = e;
        kept = scale;
        memcpy(s, trial, (size_t)(FT_SUPER / u->sub));
        scale = pass + 1 < PASSES ? rounded(solve_super(u, scale, s, table)) : 0;
    }
    return kept;
}

void ft_fit__super(const ft_levels *l, int sub, int low, int high, const float *x, const float *w, uint16_t *d, int8_t *s,
                   uint8_t *code)
{
    super u = {.l = l, .sub = sub, .low = low, .high = high, .x = x, .w = w};
    int subs = FT_SUPER / sub;
    for (int j = 0; j < subs; j++)
        u.wish[j] = ft_fit__scale(l, x + j * sub, w + j * sub, sub);
    memset(s, 0, (size_t)subs);
    float first = rounded(largest(u.wish, subs) / (float)low);
    float kept = l->n ? search_super(&u, first, s, true) : search_super(&u, first, s, false);
    *d = ft_f32_to_f16(kept);
    for (int j = 0; j < subs; j++)
        ft_fit__codes(l, x + j * sub, sub, kept * (float)s[j], code + j * sub);
}

/* ---- blocks of 256, a scale and a minimum ---- */

typedef struct super_affine {
    int top, sub, most;
    const float *x, *w;
    ft_affine wish[MOST_SUBS];
} super_affine;

/* The errors of one sub-block under the scales of four lanes and the minima m and n. */
FT_INLINE void affine_errors(float top, const float *x, const float *w, int n, vf d, vf m, vf k, vf *with_m, vf *with_k)
{
    vf inverse = 1 / d, e0 = {0}, e1 = {0};
    vi none = ~(inverse < FLT_MAX);
    inverse = pick(none, all(0), inverse);
    d = pick(none, all(0), d);
    for (int i = 0; i < n; i++) {
        vf a = x[i] + m, b = x[i] + k;
        a -= d * nearest(between(a * inverse, 0, top));
        b -= d * nearest(between(b * inverse, 0, top));
        e0 += w[i] * a * a;
        e1 += w[i] * b * b;
    }
    *with_m = e0;
    *with_k = e1;
}

/* The best of four scales and two minima around the wish of each sub-block; the error of all. */
static float choose_pairs(const super_affine *u, ft_affine unit, uint8_t *s, uint8_t *m)
{
    float total = 0;
    for (int j = 0; j < FT_SUPER / u->sub; j++) {
        int scale = unit.d > 0 ? clamped(floorf(u->wish[j].d / unit.d) - 1, 0, u->most - 3) : 0;
        int min = unit.m > 0 ? clamped(floorf(u->wish[j].m / unit.m), 0, u->most - 1) : 0;
        vf d = unit.d * ((float)scale + lane), low, high;
        affine_errors((float)u->top, u->x + j * u->sub, u->w + j * u->sub, u->sub, d, all(unit.m * (float)min),
                      all(unit.m * (float)(min + 1)), &low, &high);
        int a = least_of(low), b = least_of(high);
        bool second = high[b] < low[a];
        s[j] = (uint8_t)(scale + (second ? b : a));
        m[j] = (uint8_t)(min + second);
        total += second ? high[b] : low[a];
    }
    return total;
}

/* Two unknowns over all 256 values: x = d (s q) - dmin (m). */
static ft_affine solve_pairs(const super_affine *u, ft_affine unit, const uint8_t *s, const uint8_t *m)
{
    double qq = 0, qm = 0, mm = 0, qx = 0, mx = 0;
    for (int j = 0; j < FT_SUPER / u->sub; j++) {
        const float *x = u->x + j * u->sub, *w = u->w + j * u->sub;
        float scale = unit.d * (float)s[j], inverse = scale > 0 ? inverse_of(scale) : 0;
        vf sq = {0}, sqq = {0}, sqx = {0}, sw = {0}, sx = {0};
        for (int i = 0; i < u->sub; i += LANES) {
            vf v = load(x + i), k = load(w + i);
            vf q = affine_level(v, all(inverse), all(unit.m * (float)m[j]), (float)u->top) * (float)s[j];
            sq += k * q;
            sqq += k * q * q;
            sqx += k * q * v;
            sw += k;
            sx += k * v;
        }
        qq += sum(sqq);
        qm += sum(sq) * m[j];
        mm += sum(sw) * m[j] * m[j];
        qx += sum(sqx);
        mx += sum(sx) * m[j];
    }
    double det = qq * mm - qm * qm;
    if (!(det > 1e-9 * qq * mm))
        return (ft_affine){qq > 0 ? (float)(qx / qq) : 0, 0};
    return (ft_affine){(float)((qx * mm - qm * mx) / det), (float)((qm * qx - qq * mx) / det)};
}

void ft_fit__super_affine(int top, int sub, int most, const float *x, const float *w, uint16_t *d, uint16_t *dmin,
                          uint8_t *s, uint8_t *m, uint8_t *code)
{
    super_affine u = {.top = top, .sub = sub, .most = most, .x = x, .w = w};
    int subs = FT_SUPER / sub;
    uint8_t s_trial[MOST_SUBS], m_trial[MOST_SUBS];
    float best = INFINITY;
    ft_affine unit = {0, 0}, kept = {0, 0};
    for (int j = 0; j < subs; j++) {
        u.wish[j] = ft_fit__affine(top, true, x + j * sub, w + j * sub, sub);
        unit.d = fmaxf(unit.d, u.wish[j].d);
        unit.m = fmaxf(unit.m, u.wish[j].m);
    }
    unit = (ft_affine){rounded(unit.d / (float)most), rounded(unit.m / (float)most)};
    memset(s, 0, (size_t)subs);
    memset(m, 0, (size_t)subs);
    for (int pass = 0; pass < PASSES; pass++) {
        float e = choose_pairs(&u, unit, s_trial, m_trial);
        if (!(e < best))
            break;
        best = e;
        kept = unit;
        memcpy(s, s_trial, (size_t)subs);
        memcpy(m, m_trial, (size_t)subs);
        if (pass + 1 == PASSES)
            break;
        unit = solve_pairs(&u, unit, s, m);
        unit = (ft_affine){rounded(fmaxf(unit.d, 0)), rounded(fmaxf(unit.m, 0))};
    }
    *d = ft_f32_to_f16(kept.d);
    *dmin = ft_f32_to_f16(kept.m);
    for (int j = 0; j < subs; j++)
        ft_fit__affine_codes(top, x + j * sub, sub, (ft_affine){kept.d * (float)s[j], kept.m * (float)m[j]},
                             code + j * sub);
}

/* ---- for encoders ---- */

void ft_fit__weights(const float *importance, int n, float *w)
{
    float total = 0;
    for (int i = 0; importance && i < n; i++)
        total += importance[i];
    for (int i = 0; i < n; i++)
        w[i] = total > 0 && isfinite(total) ? importance[i] : 1;
}

bool ft_fit__finite(const float *x, int n)
{
    vf nothing = {0};
    for (int i = 0; i < n; i += LANES)
        nothing += load(x + i) * 0; /* 0, or NaN from there on */
    return sum(nothing) == 0;
}
