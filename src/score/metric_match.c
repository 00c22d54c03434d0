/* Metrics that compare strings: the whole answer, its first line as a label, and whether the model ended by itself.
 *
 * macro_f1 takes its classes from the expected answers: each class's F1 is 2 tp / (2 tp + fp + fn), and the metric is
 * their plain mean, so that a rare class weighs as much as a common one. Generated text that is no class at all is a
 * miss of the expected class; it does not become a class of its own.
 */
#include "score/metrics.h"

#include <math.h>

static double share(size_t hits, size_t n)
{
    return n ? (double)hits / (double)n : NAN;
}

static double exact_match(const ft_scored_text *rows, size_t n)
{
    size_t hits = 0;
    for (size_t i = 0; i < n; i++)
        hits += ft_str_eq(ft_text_trim(rows[i].got), ft_text_trim(rows[i].expected));
    return share(hits, n);
}

static double accuracy(const ft_scored_text *rows, size_t n)
{
    size_t hits = 0;
    for (size_t i = 0; i < n; i++)
        hits += ft_str_eq(ft_score__label(rows[i].got), ft_score__label(rows[i].expected));
    return share(hits, n);
}

static double stop(const ft_scored_text *rows, size_t n)
{
    size_t hits = 0;
    for (size_t i = 0; i < n; i++)
        hits += rows[i].stopped;
    return share(hits, n);
}

typedef struct tally {
    size_t tp, fp, fn;
} tally;

/* Numbers the classes of the expected answers. */
static ft_status number_classes(ft_map *classes, const ft_scored_text *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ft_str label = ft_score__label(rows[i].expected);
        if (!ft_map_get(classes, label.p, label.n, NULL))
            FT_RETURN(ft_map_put(classes, label.p, label.n, (int64_t)ft_map_count(classes)));
    }
    return FT_OK;
}

static void count(tally *of, const ft_map *classes, const ft_scored_text *row)
{
    ft_str want = ft_score__label(row->expected), got = ft_score__label(row->got);
    int64_t w = 0, g = 0;
    ft_map_get(classes, want.p, want.n, &w);
    bool known = ft_map_get(classes, got.p, got.n, &g);
    if (known && g == w) {
        of[w].tp++;
        return;
    }
    of[w].fn++;
    if (known)
        of[g].fp++;
}

static double macro_f1(const ft_scored_text *rows, size_t n)
{
    double sum = NAN;
    ft_map *classes = ft_map_new();
    tally *of = NULL;
    if (!classes || number_classes(classes, rows, n) != FT_OK)
        goto done;
    size_t k = ft_map_count(classes);
    if (!(of = ft_alloc(k, sizeof *of)))
        goto done;
    for (size_t i = 0; i < n; i++)
        count(of, classes, &rows[i]);
    sum = k ? 0 : NAN;
    for (size_t c = 0; c < k; c++)
        sum += 2 * (double)of[c].tp / (double)(2 * of[c].tp + of[c].fp + of[c].fn) / (double)k;
done:
    ft_free(of);
    ft_map_free(classes);
    return sum;
}

const ft_metric ft_metric_exact_match = {
    .name = "exact_match",
    .source = FT_METRIC_TEXT,
    .higher_is_better = true,
    .of_text = exact_match,
    .help = "share of answers equal to the expected one, white space at the ends apart",
};
const ft_metric ft_metric_accuracy = {
    .name = "accuracy",
    .source = FT_METRIC_TEXT,
    .higher_is_better = true,
    .of_text = accuracy,
    .help = "share of answers whose first line is the expected label",
};
const ft_metric ft_metric_macro_f1 = {
    .name = "macro_f1",
    .source = FT_METRIC_TEXT,
    .higher_is_better = true,
    .of_text = macro_f1,
    .help = "mean over the expected labels of each one's F1",
};
const ft_metric ft_metric_stop = {
    .name = "stop",
    .source = FT_METRIC_TEXT,
    .higher_is_better = true,
    .of_text = stop,
    .help = "share of answers that the model ended itself with a stop token",
};
