/* Confidences of labels: what share of answers with a confidence of 0.9 are right.
 *
 * A label's score is its log probability behind the prompt. Its confidence is the softmax of (score + bias) / temperature
 * over all labels; both are fitted on rows that the model was not trained on. An answer below the threshold is none.
 * Ownership: an ft_confidence borrows its bias. Threads: any.
 */
#ifndef FETTLE_SCORE_CONFIDENCE_H
#define FETTLE_SCORE_CONFIDENCE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ft_confidence {
    double temperature; /* above 0; 1: scores as they are */
    const double *bias; /* [labels] added to their scores; NULL: none */
    double threshold;   /* least confidence of an answer; 0: everything is answered; INFINITY: nothing is */
} ft_confidence;

typedef struct ft_choice {
    int64_t label;     /* of the highest score; of equals the first */
    double confidence; /* 0 .. 1 */
} ft_choice;
/* c NULL: temperature 1, no bias. */
ft_choice ft_confidence_choose(const ft_confidence *c, const double *scores, size_t labels);

/* Rows with the scores of their labels, to fit on. */
typedef struct ft_label_scores {
    const double *scores;    /* [n, labels] */
    const int64_t *expected; /* [n]: -1, none of the labels: passed over when fitting, wrong when answered */
    size_t n, labels;
} ft_label_scores;
/* The temperature of the smallest mean -log p of the expected labels, where every row's label counts 1 - 1 / (rows + 1) and
 * the rest goes to all alike: without that, rows that are all right would ask for certainty. 0.01 .. 100. FT_EINPUT: no row
 * has an expected label. */
ft_status ft_confidence_fit(double *temperature, const ft_label_scores *s, const double *bias);
/* bias [labels]: log of how often a label is expected (once more for each) less log of how probable the model finds it on
 * average. *helps: it lowers -log p on either half of the rows when it comes from the other half. FT_ENOMEM. */
ft_status ft_confidence_fit_bias(double *bias, bool *helps, const ft_label_scores *s);
/* The smallest threshold at which `precision` of what is answered is right; INFINITY: there is none. FT_ENOMEM. */
ft_status ft_confidence_threshold(double *threshold, const ft_label_scores *s, const ft_confidence *c, double precision);

/* Reliability: rows by confidence, in bins of equal width. */
enum { FT_RELIABILITY_BINS = 10 };
typedef struct ft_reliability_bin {
    int64_t rows, right;
    double confidence; /* summed */
} ft_reliability_bin;
typedef struct ft_reliability {
    ft_reliability_bin bin[FT_RELIABILITY_BINS];
    int64_t rows;
} ft_reliability;
void ft_reliability_add(ft_reliability *r, double confidence, bool right);
/* Expected calibration error: the mean over rows of |share right - mean confidence| of their bin; NaN without rows. */
double ft_reliability_ece(const ft_reliability *r);

#endif
