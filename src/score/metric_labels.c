/* Metrics of labels with confidences: whether confidence is what it says, and what abstaining below a threshold gives. */
#include "score/metrics.h"

#include <math.h>

static bool right(const ft_scored_text *t)
{
    return t->label->fitted.label == t->label->expected;
}

static double ece(const ft_scored_text *rows, size_t n)
{
    ft_reliability r = {0};
    for (size_t i = 0; i < n; i++)
        ft_reliability_add(&r, rows[i].label->fitted.confidence, right(&rows[i]));
    return ft_reliability_ece(&r);
}

static size_t answered(const ft_scored_text *rows, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += !rows[i].label->abstained;
    return count;
}

static double coverage(const ft_scored_text *rows, size_t n)
{
    return (double)answered(rows, n) / (double)n;
}

static double answered_accuracy(const ft_scored_text *rows, size_t n)
{
    size_t hits = 0, of = answered(rows, n);
    for (size_t i = 0; i < n; i++)
        hits += !rows[i].label->abstained && right(&rows[i]);
    return of ? (double)hits / (double)of : NAN;
}

const ft_metric ft_metric_ece = {
    .name = "ece",
    .source = FT_METRIC_TEXT,
    .higher_is_better = false,
    .of_text = ece,
    .of_labels = true,
    .help = "of labels: expected calibration error, how far confidence and share of right answers lie apart, in ten bins",
};
const ft_metric ft_metric_coverage = {
    .name = "coverage",
    .source = FT_METRIC_TEXT,
    .higher_is_better = true,
    .of_text = coverage,
    .of_labels = true,
    .help = "of labels: share of rows that are answered, their confidence being large enough",
};
const ft_metric ft_metric_answered_accuracy = {
    .name = "answered_accuracy",
    .source = FT_METRIC_TEXT,
    .higher_is_better = true,
    .of_text = answered_accuracy,
    .of_labels = true,
    .help = "of labels: share of right answers among those that are given",
};
