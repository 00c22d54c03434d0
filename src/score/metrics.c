/* The metric table and the string views that text metrics compare. */
#include "score/metrics.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define FT_METRIC(name) &ft_metric_##name,
const ft_metric *const ft_metrics[] = {
#include "score/metrics.def"
    NULL};
#undef FT_METRIC
static_assert(FT_COUNT(ft_metrics) - 1 <= FT_MAX_METRICS, "ft_scores has room for every metric");

const ft_metric *ft_metric_named(const char *name)
{
    for (size_t i = 0; ft_metrics[i]; i++)
        if (strcmp(ft_metrics[i]->name, name) == 0)
            return ft_metrics[i];
    return NULL;
}

double ft_scores_get(const ft_scores *s, const char *metric, double fallback)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->metric[i]->name, metric) == 0)
            return s->value[i];
    return fallback;
}

double ft_top1_agreement(const int32_t *a, const int32_t *b, int64_t n)
{
    int64_t same = 0;
    for (int64_t i = 0; i < n; i++)
        same += a[i] == b[i];
    return n > 0 ? (double)same / (double)n : NAN;
}

ft_str ft_score__label(ft_str s)
{
    s = ft_text_trim(s);
    const char *line_end = s.n ? memchr(s.p, '\n', s.n) : NULL;
    if (line_end)
        s.n = (size_t)(line_end - s.p);
    return ft_text_trim(s);
}
