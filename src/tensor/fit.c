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
 * Four floats at a time in the vectors of GCC and clang, which every CPU has. Memory: the stack.
 */
#include "tensor/fit.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { LANES = 4, MOST = 256, MOST_SUBS = 16, PASSES = 3 };
typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));

static inline vf load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline vf pick(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

static inline float sum(vf v)
{
    return (v[0] + v[1]) + (v[2] + v[3]);
}

/* To the nearest integer, ties to even; |v| < 2^22. */
static inline vf nearest(vf v)
{
    const float magic = 0x1.8p23f;
    return (v + magic) - magic;
}

static inline vf between(vf v, float lo, float hi)
{
    vf low = (vf){0} + lo, high = (vf){0} + hi;
    v = pick(v > low, v, low);
    return pick(v < high, v, high);
}

/* The level nearest to each of v. */
static inline vf level(const ft_levels *l, vf v)
{
    if (!l->n)
        return nearest(between(v, l->lo, l->hi));
    vf out = (vf){0} + l->value[0];
    for (int i = 1; i < l->n; i++) {
        vi above = v > (l->value[i - 1] + l->value[i]) / 2;
        out += (vf)(above & (vi)((vf){0} + (l->value[i] - l->value[i - 1])));
    }
    return out;
}

static float largest(const float *x, int n)
{
    float top = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(top))
            top = x[i];
    return top;
}

/* ---- one scale ---- */

/* What of sum w x^2 a scale takes away, if it is the best one for the codes that `inverse` gives; *d is that scale. */
static inline float gain(const ft_levels *l, const float *x, const float *w, int n, float inverse, float *d)
{
    vf xq = {0}, qq = {0};
    for (int i = 0; i < n; i += LANES) {
        vf v = load(x + i), q = level(l, v * inverse), wq = load(w + i) * q;
        xq += wq * v;
        qq += wq * q;
    }
    float a = sum(xq), b = sum(qq);
    *d = b > 0 ? a / b : 0;
    return b > 0 ? a * *d : 0;
}

static void try_scale(const ft_levels *l, const float *x, const float *w, int n, float inverse, float *best, float *d)
{
    float scale, g = gain(l, x, w, n, inverse, &scale);
    if (g > *best) {
        *best = g;
        *d = scale;
    }
}

float ft_fit__error(const ft_levels *l, const float *x, const float *w, int n, float d)
{
    float inverse = d != 0 ? 1 / d : 0;
    vf e = {0};
    if (!isfinite(inverse))
        d = inverse = 0;
    for (int i = 0; i < n; i += LANES) {
        vf v = load(x + i), off = v - d * level(l, v * inverse);
        e += load(w + i) * off * off;
    }
    return sum(e);
}

float ft_fit__scale(const ft_levels *l, const float *x, const float *w, int n, float *error)
{
    enum { STEPS = 9 };
    float top = largest(x, n), best = 0, d = 0;
    /* around the scale that reaches the largest value with the last level, by up to one and a half of the last gap */
    float ends[2] = {l->lo, l->hi}, gaps[2] = {1, 1};
    if (l->n) {
        gaps[0] = l->value[1] - l->value[0];
        gaps[1] = l->value[l->n - 1] - l->value[l->n - 2];
    }
    *error = 0;
    if (fabsf(top) < FLT_MIN)
        return 0;
    for (int side = 0; side < 2; side++)
        for (int s = -STEPS; s <= STEPS && ends[side] != 0; s++)
            try_scale(l, x, w, n, (ends[side] + gaps[side] * 1.2f * (float)s / STEPS) / top, &best, &d);
    for (int i = 0; i < 2 && d != 0; i++)
        try_scale(l, x, w, n, 1 / d, &best, &d);
    *error = ft_fit__error(l, x, w, n, d);
    return d;
}

void ft_fit__codes(const ft_levels *l, const float *x, int n, float d, uint8_t *code)
{
    float inverse = d != 0 ? 1 / d : 0;
    if (!isfinite(inverse))
        inverse = 0;
    for (int i = 0; i < n; i++) {
        float v = x[i] * inverse;
        if (!l->n) {
            code[i] = (uint8_t)(rintf(fminf(fmaxf(v, l->lo), l->hi)) - l->lo);
            continue;
        }
        int q = 0;
        while (q + 1 < l->n && v > (l->value[q] + l->value[q + 1]) / 2)
            q++;
        code[i] = (uint8_t)q;
    }
}

/* ---- a scale and a minimum ---- */

static inline vf affine_level(vf v, float inverse, float m, float top)
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

/* The best pair for the codes that `from` gives; its error. */
static inline float solve_affine(float top, bool low_only, const float *x, const float *w, int n, const fixed_sums *f,
                                 ft_affine from, ft_affine *out)
{
    vf sq = {0}, sqq = {0}, sqx = {0};
    float inverse = 1 / from.d;
    for (int i = 0; i < n; i += LANES) {
        vf v = load(x + i), q = affine_level(v, inverse, from.m, top), wq = load(w + i) * q;
        sq += wq;
        sqq += wq * q;
        sqx += wq * v;
    }
    float q = sum(sq), qq = sum(sqq), qx = sum(sqx), det = f->w * qq - q * q;
    if (!(det > 0))
        return INFINITY;
    float d = (f->w * qx - q * f->x) / det, m = (q * qx - qq * f->x) / det;
    if (low_only && m < 0) {
        m = 0;
        d = qx / qq;
    }
    if (!(d > FLT_MIN))
        return INFINITY;
    *out = (ft_affine){d, m};
    return d * d * qq + m * m * f->w + f->xx - 2 * d * m * q - 2 * d * qx + 2 * m * f->x;
}

static void try_affine(float top, bool low_only, const float *x, const float *w, int n, const fixed_sums *f,
                       ft_affine from, float *best, ft_affine *out)
{
    ft_affine a;
    if (!isfinite(1 / from.d))
        return;
    float e = solve_affine(top, low_only, x, w, n, f, from, &a);
    if (e < *best) {
        *best = e;
        *out = a;
    }
}

ft_affine ft_fit__affine(int top, bool low_only, const float *x, const float *w, int n)
{
    enum { STEPS = 10 };
    float low = x[0], high = x[0];
    for (int i = 1; i < n; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    if (low_only)
        low = fminf(low, 0);
    ft_affine best = {0, -low};
    if (!(high - low > FLT_MIN))
        return best;
    fixed_sums f = sums_of(x, w, n);
    best.d = (high - low) / (float)top;
    float error = INFINITY;
    for (int s = -STEPS; s <= STEPS; s++)
        try_affine((float)top, low_only, x, w, n, &f, (ft_affine){(high - low) / ((float)top + 0.12f * (float)s), -low},
                   &error, &best);
    for (int i = 0; i < 3; i++)
        try_affine((float)top, low_only, x, w, n, &f, best, &error, &best);
    return best;
}

float ft_fit__affine_error(int top, const float *x, const float *w, int n, ft_affine a)
{
    float inverse = a.d > 0 ? 1 / a.d : 0;
    vf e = {0};
    if (!isfinite(inverse))
        a.d = inverse = 0;
    for (int i = 0; i < n; i += LANES) {
        vf v = load(x + i), off = v + a.m - a.d * affine_level(v, inverse, a.m, (float)top);
        e += load(w + i) * off * off;
    }
    return sum(e);
}

void ft_fit__affine_codes(int top, const float *x, int n, ft_affine a, uint8_t *code)
{
    float inverse = a.d > 0 ? 1 / a.d : 0;
    if (!isfinite(inverse))
        inverse = 0;
    for (int i = 0; i < n; i++)
        code[i] = (uint8_t)rintf(fminf(fmaxf((x[i] + a.m) * inverse, 0), (float)top));
}

/* ---- blocks of 256, one scale ---- */

static float rounded(float d)
{
    return ft_f16_to_f32(ft_f32_to_f16(d));
}

static int clamped(float v, int low, int high)
{
    return (int)fminf(fmaxf(rintf(v), (float)low), (float)high);
}

typedef struct super {
    const ft_levels *l;
    int sub, low, high;
    const float *x, *w;
    float wish[MOST_SUBS]; /* scales of the sub-blocks, each by itself */
} super;

/* The integer around wish / d that is best for each sub-block; the error of all. */
static float choose_scales(const super *u, float d, int8_t *s)
{
    float total = 0;
    for (int j = 0; j < FT_SUPER / u->sub; j++) {
        const float *x = u->x + j * u->sub, *w = u->w + j * u->sub;
        int middle = d != 0 ? clamped(u->wish[j] / d, u->low, u->high) : 0;
        float best = INFINITY;
        for (int k = FT_MAX(middle - 1, u->low); k <= FT_MIN(middle + 1, u->high); k++) {
            float e = ft_fit__error(u->l, x, w, u->sub, d * (float)k);
            if (e < best) {
                best = e;
                s[j] = (int8_t)k;
            }
        }
        total += best;
    }
    return total;
}

/* The d that is best for these integers and the codes that they give under the old d. */
static float solve_super(const super *u, float d, const int8_t *s)
{
    float xq = 0, qq = 0;
    for (int j = 0; j < FT_SUPER / u->sub; j++) {
        const float *x = u->x + j * u->sub, *w = u->w + j * u->sub;
        float scale = d * (float)s[j], inverse = 1 / scale;
        if (scale == 0 || !isfinite(inverse))
            continue;
        vf a = {0}, b = {0};
        for (int i = 0; i < u->sub; i += LANES) {
            vf v = load(x + i), q = level(u->l, v * inverse) * (float)s[j], wq = load(w + i) * q;
            a += wq * v;
            b += wq * q;
        }
        xq += sum(a);
        qq += sum(b);
    }
    return qq > 0 ? xq / qq : 0;
}

void ft_fit__super(const ft_levels *l, int sub, int low, int high, const float *x, const float *w, uint16_t *d, int8_t *s,
                   uint8_t *code)
{
    super u = {.l = l, .sub = sub, .low = low, .high = high, .x = x, .w = w};
    int subs = FT_SUPER / sub;
    int8_t trial[MOST_SUBS];
    float error, best = INFINITY, scale, kept = 0;
    for (int j = 0; j < subs; j++)
        u.wish[j] = ft_fit__scale(l, x + j * sub, w + j * sub, sub, &error);
    scale = rounded(largest(u.wish, subs) / (float)low);
    memset(s, 0, (size_t)subs);
    for (int pass = 0; pass < PASSES && scale != 0; pass++) {
        float e = choose_scales(&u, scale, trial);
        if (!(e < best))
            break;
        best = e;
        kept = scale;
        memcpy(s, trial, (size_t)subs);
        scale = rounded(solve_super(&u, scale, s));
    }
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

static float choose_pairs(const super_affine *u, ft_affine unit, uint8_t *s, uint8_t *m)
{
    float total = 0;
    for (int j = 0; j < FT_SUPER / u->sub; j++) {
        const float *x = u->x + j * u->sub, *w = u->w + j * u->sub;
        int scale = unit.d > 0 ? clamped(u->wish[j].d / unit.d, 0, u->most) : 0;
        int min = unit.m > 0 ? clamped(u->wish[j].m / unit.m, 0, u->most) : 0;
        float best = INFINITY;
        for (int a = FT_MAX(scale - 1, 0); a <= FT_MIN(scale + 1, u->most); a++)
            for (int b = FT_MAX(min - 1, 0); b <= FT_MIN(min + 1, u->most); b++) {
                float e = ft_fit__affine_error(u->top, x, w, u->sub, (ft_affine){unit.d * (float)a, unit.m * (float)b});
                if (e < best) {
                    best = e;
                    s[j] = (uint8_t)a;
                    m[j] = (uint8_t)b;
                }
            }
        total += best;
    }
    return total;
}

/* Two unknowns over all 256 values: x = d (s q) - dmin (m). */
static ft_affine solve_pairs(const super_affine *u, ft_affine unit, const uint8_t *s, const uint8_t *m)
{
    double qq = 0, qm = 0, mm = 0, qx = 0, mx = 0;
    for (int j = 0; j < FT_SUPER / u->sub; j++) {
        const float *x = u->x + j * u->sub, *w = u->w + j * u->sub;
        float scale = unit.d * (float)s[j], inverse = scale > 0 ? 1 / scale : 0;
        if (!isfinite(inverse))
            inverse = 0;
        vf sq = {0}, sqq = {0}, sqx = {0}, sw = {0}, sx = {0};
        for (int i = 0; i < u->sub; i += LANES) {
            vf v = load(x + i), k = load(w + i);
            vf q = affine_level(v, inverse, unit.m * (float)m[j], (float)u->top) * (float)s[j];
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
    float nothing = 0;
    for (int i = 0; i < n; i++)
        nothing += x[i] * 0; /* 0, or NaN from there on */
    return nothing == 0;
}
