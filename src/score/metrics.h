/* Inside the score room: the metric objects by name, and what several text metrics share. */
#ifndef FETTLE_SCORE_METRICS_H
#define FETTLE_SCORE_METRICS_H

#include "score/score.h"

#define FT_METRIC(name) extern const ft_metric ft_metric_##name;
#include "score/metrics.def"
#undef FT_METRIC

/* The first line of s, trimmed: what a label is. */
ft_str ft_score__label(ft_str s);

#endif
