/* The reference path: plain C, sums in f64, runs anywhere. Every other path is tested against it. */
#include "kernel/kernel.h"
#include "base/rng.h"

#include <math.h>

static bool usable(void)
{
    return true;
}

static float dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return (float)sum;
}

static double sum_squares(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return sum;
}

static float max(const float *x, int64_t n)
{
    float top = x[0];
    for (int64_t i = 1; i < n; i++)
        top = x[i] > top ? x[i] : top;
    return top;
}

static int64_t find(const float *x, float value, int64_t n)
{
    int64_t i = 0;
    while (i < n && x[i] != value)
        i++;
    return i;
}

static void axpy(float *y, float a, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

static void scale(float *x, float a, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] *= a;
}

static void add(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static void softcap(float *x, float cap, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = cap * tanhf(x[i] / cap);
}

static double exp_sum(float *y, const float *x, float shift, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += y[i] = expf(x[i] - shift);
    return sum;
}

static uint32_t dropout_bits(const ft_dropout *d, uint64_t element)
{
    uint32_t r[4];
    uint64_t group = element / 128, q = element / 16 % 8, lane = element % 16;
    ft_philox(d->seed, FT_STREAM_DROPOUT, d->step, (uint64_t)d->site << 40 | (group * 16 + lane), r);
    return r[q / 2] >> (q % 2 * 16) & 0xffff;
}

static void dropout(float *y, const float *x, const ft_dropout *d, uint64_t first, int64_t n, bool add)
{
    for (int64_t i = 0; i < n; i++) {
        float kept = dropout_bits(d, first + (uint64_t)i) >= d->drop ? x[i] * d->scale : 0;
        y[i] = add ? y[i] + kept : kept;
    }
}

static void adamw(float *w, const float *g, float *m, float *v, int64_t n, const ft_adamw *o)
{
    for (int64_t i = 0; i < n; i++) {
        float grad = g[i] * o->grad_scale;
        m[i] = o->beta1 * m[i] + (1 - o->beta1) * grad;
        v[i] = o->beta2 * v[i] + (1 - o->beta2) * grad * grad;
        float change = (m[i] / o->c1) / (sqrtf(v[i] / o->c2) + o->eps);
        w[i] -= o->rate * (change + o->decay * w[i]);
    }
}

static void rows_dot(float *y, const float *a, int64_t ld, int64_t rows, const float *x, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        y[r] = dot(a + r * ld, x, n);
}

static void rows_mix(float *y, const float *a, int64_t ld, int64_t rows, const float *p, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        axpy(y, p[r], a + r * ld, n);
}

static float rmsnorm(float *y, const float *x, const float *w, float eps, float plus, int64_t n)
{
    float inv = (float)(1 / sqrt(sum_squares(x, n) / (double)n + eps));
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * inv * (w[i] + plus);
    return inv;
}

static void rmsnorm_grad(float *dx, float *dw, const float *dy, const float *x, const float *w, float inv, float plus,
                         int64_t n, bool add)
{
    double along = 0; /* of the gradient along x: sum dy (w + plus) x */
    for (int64_t i = 0; i < n; i++)
        along += (double)dy[i] * (w[i] + plus) * x[i];
    float back = (float)(along * inv * inv * inv / (double)n);
    for (int64_t i = 0; dx && i < n; i++) {
        float g = dy[i] * (w[i] + plus) * inv - x[i] * back;
        dx[i] = add ? dx[i] + g : g;
    }
    for (int64_t i = 0; dw && i < n; i++)
        dw[i] += dy[i] * x[i] * inv;
}

static void put(float *y, float value, bool add)
{
    *y = add ? *y + value : value;
}

static float layernorm(float *y, const float *x, const float *w, const float *b, float eps, int64_t n, float *mean)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    *mean = (float)(sum / (double)n);
    for (int64_t i = 0; i < n; i++)
        squares += ((double)x[i] - *mean) * ((double)x[i] - *mean);
    float inv = (float)(1 / sqrt(squares / (double)n + eps));
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] - *mean) * inv * w[i] + b[i];
    return inv;
}

static void layernorm_grad(float *dx, float *dw, float *db, const float *dy, const float *x, const float *w, float mean,
                           float inv, int64_t n, bool add)
{
    double along = 0, sum = 0; /* of the gradient along the normed x, and along ones */
    for (int64_t i = 0; i < n; i++) {
        along += (double)dy[i] * w[i] * ((x[i] - mean) * inv);
        sum += (double)dy[i] * w[i];
    }
    float back = (float)(along / (double)n), level = (float)(sum / (double)n);
    for (int64_t i = 0; i < n; i++) {
        float z = (x[i] - mean) * inv;
        if (dx)
            put(&dx[i], inv * (dy[i] * w[i] - level - z * back), add);
        if (dw)
            dw[i] += dy[i] * z;
        if (db)
            db[i] += dy[i];
    }
}

static void rope(float *y, const float *x, const float *cos, const float *sin, int64_t rot, int64_t heads,
                 int64_t head_dim, bool back, bool add)
{
    int64_t half = rot / 2;
    for (int64_t h = 0; h < heads; h++, x += head_dim, y += head_dim) {
        for (int64_t i = 0; i < half; i++) {
            float a = x[i], b = x[i + half], s = back ? -sin[i] : sin[i];
            put(&y[i], a * cos[i] - b * s, add);
            put(&y[i + half], b * cos[i] + a * s, add);
        }
        for (int64_t i = rot; i < head_dim; i++)
            put(&y[i], x[i], add);
    }
}

static void swiglu(float *y, const float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = gate[i] / (1 + expf(-gate[i])) * up[i];
}

static void swiglu_grad(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n,
                        bool add_gate, bool add_up)
{
    for (int64_t i = 0; i < n; i++) {
        float s = 1 / (1 + expf(-gate[i])), silu = gate[i] * s;
        if (dgate)
            put(&dgate[i], dy[i] * up[i] * (s + silu * (1 - s)), add_gate);
        if (dup)
            put(&dup[i], dy[i] * silu, add_up);
    }
}

/* The tanh form of gelu, and its slope. */
static float gelu_tanh(float x, float *slope)
{
    const float k = 0.797884561f, c = 0.044715f; /* sqrt(2 / pi) */
    float t = tanhf(k * (x + c * x * x * x));
    *slope = 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * k * (1 + 3 * c * x * x);
    return 0.5f * x * (1 + t);
}

static void geglu(float *y, const float *gate, const float *up, int64_t n)
{
    float slope;
    for (int64_t i = 0; i < n; i++)
        y[i] = gelu_tanh(gate[i], &slope) * up[i];
}

static void geglu_grad(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n,
                       bool add_gate, bool add_up)
{
    for (int64_t i = 0; i < n; i++) {
        float slope, g = gelu_tanh(gate[i], &slope);
        if (dgate)
            put(&dgate[i], dy[i] * up[i] * slope, add_gate);
        if (dup)
            put(&dup[i], dy[i] * g, add_up);
    }
}

/* The share of the normal distribution below x. */
static float below(float x)
{
    return 0.5f * erfcf(-x * 0.707106781f);
}

static void gelu(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * below(x[i]);
}

static void gelu_grad(float *dx, const float *dy, const float *x, int64_t n, bool add)
{
    for (int64_t i = 0; i < n; i++) {
        float density = 0.398942280f * expf(-0.5f * x[i] * x[i]);
        put(&dx[i], dy[i] * (below(x[i]) + x[i] * density), add);
    }
}

static void scores_grad(float *s, float *dp, float lse, float d, float scale, float cap, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float bend = cap > 0 ? 1 - (s[i] / cap) * (s[i] / cap) : 1;
        s[i] = expf(s[i] - lse);
        dp[i] = scale * s[i] * (dp[i] - d) * bend;
    }
}

static const ft_reader readers[] = {{0}};

const ft_kernels ft_kernels_ref = {.name = "ref", .usable = usable, .readers = readers, FT_KERNEL_ENTRIES};
