/* One id from logits [V], in place and without memory of its own.
 *
 * The order is llama.cpp's, which runs what is exported: top_k, top_p, min_p, then the temperature. A value that is out
 * is -inf. top_k and top_p look for the largest cut at which what lies at or above it is enough: bisection over the
 * bits of a float, 32 passes, no sort. Of equal values at the cut the lower ids stay.
 */
#include "model/model.h"

#include "base/rng.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Floats as unsigned numbers in the same order; NaN never comes here. */
static uint32_t order_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u >> 31 ? ~u : u | 0x80000000u;
}

/* What an entry counts towards the goal: 1 (top_k), or its share of probability (top_p). */
typedef struct measure {
    const float *x; /* [n] */
    int64_t n;
    float max;
    bool by_mass;
} measure;

static double worth(const measure *m, int64_t i)
{
    return m->by_mass ? exp((double)m->x[i] - (double)m->max) : 1;
}

static double worth_from(const measure *m, uint32_t cut)
{
    double sum = 0;
    for (int64_t i = 0; i < m->n; i++)
        if (m->x[i] != -INFINITY && order_of(m->x[i]) >= cut)
            sum += worth(m, i);
    return sum;
}

/* Keeps the smallest set of largest values that is worth `goal`. */
static void keep_worth(float *x, const measure *m, double goal)
{
    uint32_t low = 0, high = UINT32_MAX; /* worth_from(low) >= goal; above high it is not */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2 + 1;
        if (worth_from(m, middle) >= goal)
            low = middle;
        else
            high = middle - 1;
    }
    double above = low == UINT32_MAX ? 0 : worth_from(m, low + 1);
    for (int64_t i = 0; i < m->n; i++) {
        uint32_t at = order_of(x[i]);
        if (at > low || x[i] == -INFINITY)
            continue;
        if (at == low && above < goal)
            above += worth(m, i);
        else
            x[i] = -INFINITY;
    }
}

static void cut_below(float *x, int64_t n, float least)
{
    for (int64_t i = 0; i < n; i++)
        if (x[i] < least)
            x[i] = -INFINITY;
}

static void keep_top_p(float *x, int64_t n, float max, double top_p)
{
    measure m = {.x = x, .n = n, .max = max, .by_mass = true};
    double total = worth_from(&m, 0);
    /* values below (1 - top_p) / n of the total cannot be needed: all of them together are not worth 1 - top_p */
    if (top_p < 1)
        cut_below(x, n, (float)(max + log(total * (1 - top_p) / (double)n) - 1e-3));
    keep_worth(x, &m, FT_MAX(top_p * total, DBL_MIN)); /* the largest stays in any case */
}

static int32_t argmax(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return (int32_t)best;
}

static int32_t draw(const float *x, int64_t n, float max, float temperature, double u)
{
    double total = 0, sum = 0;
    int64_t last = 0;
    for (int64_t i = 0; i < n; i++)
        total += exp(((double)x[i] - (double)max) / (double)temperature);
    for (int64_t i = 0; i < n; i++) {
        if (x[i] == -INFINITY)
            continue;
        sum += exp(((double)x[i] - (double)max) / (double)temperature);
        last = i;
        if (sum > u * total)
            break;
    }
    return (int32_t)last;
}

int32_t ft_sample(float *logits, int64_t vocab, const ft_sampling *s, uint64_t token, uint64_t row)
{
    int32_t best = argmax(logits, vocab);
    float max = logits[best];
    if (s->temperature <= 0)
        return best;
    if (s->top_k > 0 && s->top_k < vocab)
        keep_worth(logits, &(measure){.x = logits, .n = vocab, .max = max}, s->top_k);
    if (s->top_p < 1)
        keep_top_p(logits, vocab, max, FT_MAX((double)s->top_p, 0.0));
    if (s->min_p > 0)
        cut_below(logits, vocab, max + logf(FT_MIN(s->min_p, 1.0f)));
    return draw(logits, vocab, max, s->temperature, (double)ft_uniform(s->seed, FT_STREAM_SAMPLE, token, row));
}
