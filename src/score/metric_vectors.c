/* Metrics of vectors: where the right texts are found, and whether cosines order pairs as their scores do. */
#include "score/metrics.h"

#include <math.h>
#include <stdlib.h>

/* ---- ranks ---- */

static double recall(const ft_scored_vectors *v, int64_t at)
{
    int64_t found = 0;
    for (int64_t i = 0; i < v->n; i++)
        found += v->rank[i] <= at;
    return (double)found / (double)v->n;
}

static double recall_at_1(const ft_scored_vectors *v)
{
    return recall(v, 1);
}

static double recall_at_5(const ft_scored_vectors *v)
{
    return recall(v, 5);
}

static double recall_at_10(const ft_scored_vectors *v)
{
    return recall(v, 10);
}

static double mrr(const ft_scored_vectors *v)
{
    double sum = 0;
    for (int64_t i = 0; i < v->n; i++)
        sum += 1 / (double)v->rank[i];
    return sum / (double)v->n;
}

/* ---- Spearman: the correlation of ranks, equal values sharing the mean of theirs ---- */

typedef struct place {
    double value;
    int64_t at;
} place;

static int by_value(const void *a, const void *b)
{
    double x = ((const place *)a)->value, y = ((const place *)b)->value;
    return (x > y) - (x < y);
}

static bool rank_values(const double *x, int64_t n, double *rank)
{
    place *p = ft_alloc((size_t)n, sizeof *p);
    if (!p)
        return false;
    for (int64_t i = 0; i < n; i++)
        p[i] = (place){x[i], i};
    qsort(p, (size_t)n, sizeof *p, by_value);
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && p[end].value == p[i].value; end++)
            ;
        for (int64_t k = i; k < end; k++)
            rank[p[k].at] = 0.5 * (double)(i + end - 1);
    }
    ft_free(p);
    return true;
}

static double correlation(const double *x, const double *y, int64_t n)
{
    double middle = 0.5 * (double)(n - 1), xy = 0, xx = 0, yy = 0; /* both are ranks 0 .. n - 1 */
    for (int64_t i = 0; i < n; i++) {
        xy += (x[i] - middle) * (y[i] - middle);
        xx += (x[i] - middle) * (x[i] - middle);
        yy += (y[i] - middle) * (y[i] - middle);
    }
    return xy / sqrt(xx * yy);
}

static double spearman(const ft_scored_vectors *v)
{
    double *x = ft_alloc((size_t)v->n, sizeof *x), *y = ft_alloc((size_t)v->n, sizeof *y), out = NAN;
    if (x && y && rank_values(v->cosine, v->n, x) && rank_values(v->score, v->n, y))
        out = correlation(x, y, v->n);
    ft_free(x);
    ft_free(y);
    return out;
}

#define RECALL(k)                                                                                                      \
    const ft_metric ft_metric_recall_at_##k = {                                                                        \
        .name = "recall@" #k,                                                                                          \
        .source = FT_METRIC_VECTORS,                                                                                   \
        .higher_is_better = true,                                                                                      \
        .of_vectors = recall_at_##k,                                                                                   \
        .help = "share of anchors whose positive is among the " #k " nearest of all texts that are no anchors",        \
    }
RECALL(1);
RECALL(5);
RECALL(10);
const ft_metric ft_metric_mrr = {
    .name = "mrr",
    .source = FT_METRIC_VECTORS,
    .higher_is_better = true,
    .of_vectors = mrr,
    .help = "mean of 1 / rank of the positive",
};
const ft_metric ft_metric_spearman = {
    .name = "spearman",
    .source = FT_METRIC_VECTORS,
    .higher_is_better = true,
    .of_vectors = spearman,
    .of_scores = true,
    .help = "rank correlation of cosines and scores",
};
