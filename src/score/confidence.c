/* Confidences: a temperature, a bias for each label, a threshold, and how reliable they are.
 *
 * With b = 1 / temperature, z = score + bias and p = softmax(b z), the loss of a row is log sum exp(b z) - b (t . z), where t
 * holds 1 - e at the expected label and e spread over all. Its derivative by b is p . z - t . z, which rises with b: one
 * sign change, found by halving.
 */
#include "score/confidence.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double hottest = 100, coldest = 0.01; /* temperatures */

static double biased(const double *bias, const double *scores, size_t k)
{
    return scores[k] + (bias ? bias[k] : 0);
}

/* log sum exp(b z); *mean (may be NULL): p . z. */
static double log_sum(const double *scores, const double *bias, size_t labels, double b, double *mean)
{
    double most = -INFINITY, sum = 0, dot = 0;
    for (size_t k = 0; k < labels; k++)
        most = fmax(most, b * biased(bias, scores, k));
    for (size_t k = 0; k < labels; k++) {
        double z = biased(bias, scores, k), e = exp(b * z - most);
        sum += e;
        dot += e * z;
    }
    if (mean)
        *mean = dot / sum;
    return most + log(sum);
}

ft_choice ft_confidence_choose(const ft_confidence *c, const double *scores, size_t labels)
{
    const double *bias = c ? c->bias : NULL;
    double b = c ? 1 / c->temperature : 1;
    ft_choice best = {0};
    for (size_t k = 1; k < labels; k++)
        if (biased(bias, scores, k) > biased(bias, scores, (size_t)best.label))
            best.label = (int64_t)k;
    best.confidence = exp(b * biased(bias, scores, (size_t)best.label) - log_sum(scores, bias, labels, b, NULL));
    return best;
}

/* ---- temperature ---- */

static size_t known_rows(const ft_label_scores *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->expected[i] >= 0;
    return n;
}

/* The derivative of the summed loss by b. */
static double slope(const ft_label_scores *s, const double *bias, double b, double e)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++) {
        const double *z = s->scores + i * s->labels;
        double mean, all = 0;
        if (s->expected[i] < 0)
            continue;
        log_sum(z, bias, s->labels, b, &mean);
        for (size_t k = 0; k < s->labels; k++)
            all += biased(bias, z, k) / (double)s->labels;
        sum += mean - (1 - e) * biased(bias, z, (size_t)s->expected[i]) - e * all;
    }
    return sum;
}

ft_status ft_confidence_fit(double *temperature, const ft_label_scores *s, const double *bias)
{
    size_t n = known_rows(s);
    double low = log(1 / hottest), high = log(1 / coldest), e = 1 / (double)(n + 1);
    if (!n)
        return ft_fail(FT_EINPUT, "no row to fit confidences on has one of the labels as its answer");
    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        if (slope(s, bias, exp(middle), e) > 0)
            high = middle;
        else
            low = middle;
    }
    *temperature = exp(-(low + high) / 2);
    return FT_OK;
}

/* ---- bias ---- */

/* Of the rows whose number leaves `rest` when divided by `parts`. */
static void bias_of(double *bias, const ft_label_scores *s, size_t parts, size_t rest)
{
    double *probable = bias; /* first what the model finds probable, summed */
    for (size_t k = 0; k < s->labels; k++)
        probable[k] = 0;
    for (size_t i = rest; i < s->n; i += parts) {
        const double *z = s->scores + i * s->labels;
        double all = log_sum(z, NULL, s->labels, 1, NULL);
        for (size_t k = 0; k < s->labels && s->expected[i] >= 0; k++)
            probable[k] += exp(z[k] - all);
    }
    for (size_t k = 0; k < s->labels; k++) {
        double expected = 1;
        for (size_t i = rest; i < s->n; i += parts)
            expected += s->expected[i] == (int64_t)k;
        /* both with one row more a label, so that neither is 0 */
        bias[k] = log(expected) - log(probable[k] + 1);
    }
}

/* Mean -log p of the expected labels of those rows. */
static double loss_of(const ft_label_scores *s, const double *bias, double b, size_t parts, size_t rest)
{
    double sum = 0;
    for (size_t i = rest; i < s->n; i += parts)
        if (s->expected[i] >= 0)
            sum += log_sum(s->scores + i * s->labels, bias, s->labels, b, NULL) -
                   b * biased(bias, s->scores + i * s->labels, (size_t)s->expected[i]);
    return sum;
}

ft_status ft_confidence_fit_bias(double *bias, bool *helps, const ft_label_scores *s)
{
    double plain = 0, with = 0, temperature[2];
    ft_status st = FT_OK;
    for (size_t half = 0; half < 2; half++) {
        bias_of(bias, s, 2, half);
        FT_TRY(ft_confidence_fit(&temperature[0], s, NULL));
        FT_TRY(ft_confidence_fit(&temperature[1], s, bias));
        plain += loss_of(s, NULL, 1 / temperature[0], 2, 1 - half);
        with += loss_of(s, bias, 1 / temperature[1], 2, 1 - half);
    }
    *helps = with < plain;
    bias_of(bias, s, 1, 0);
done:
    return st;
}

/* ---- threshold ---- */

typedef struct answer {
    double confidence;
    bool right;
} answer;

static int surest_first(const void *a, const void *b)
{
    double x = ((const answer *)a)->confidence, y = ((const answer *)b)->confidence;
    return (x < y) - (x > y);
}

ft_status ft_confidence_threshold(double *threshold, const ft_label_scores *s, const ft_confidence *c, double precision)
{
    answer *a = ft_alloc(s->n, sizeof *a);
    size_t right = 0;
    if (!a)
        return FT_ENOMEM;
    for (size_t i = 0; i < s->n; i++) {
        ft_choice chosen = ft_confidence_choose(c, s->scores + i * s->labels, s->labels);
        a[i] = (answer){chosen.confidence, chosen.label == s->expected[i]};
    }
    qsort(a, s->n, sizeof *a, surest_first);
    *threshold = INFINITY;
    for (size_t i = 0; i < s->n; i++) {
        right += a[i].right;
        bool last_of_equals = i + 1 == s->n || a[i + 1].confidence < a[i].confidence;
        if (last_of_equals && (double)right >= precision * (double)(i + 1))
            *threshold = a[i].confidence;
    }
    ft_free(a);
    return FT_OK;
}

/* ---- reliability ---- */

void ft_reliability_add(ft_reliability *r, double confidence, bool right)
{
    int64_t at = (int64_t)(confidence * FT_RELIABILITY_BINS);
    ft_reliability_bin *b = &r->bin[FT_MAX((int64_t)0, FT_MIN(at, (int64_t)FT_RELIABILITY_BINS - 1))];
    b->rows++;
    b->right += right;
    b->confidence += confidence;
    r->rows++;
}

double ft_reliability_ece(const ft_reliability *r)
{
    double sum = 0;
    for (size_t i = 0; i < FT_RELIABILITY_BINS; i++)
        sum += fabs((double)r->bin[i].right - r->bin[i].confidence);
    return r->rows ? sum / (double)r->rows : NAN;
}
