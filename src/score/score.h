/* The score room: how good a model is on rows, by loss and by what it generates.
 *
 * A metric is one row of score/metrics.def. Loss metrics come from one forward pass over the supervised tokens; text
 * metrics from greedy decoding of each row's prompt, many rows at once, or, where the answer is one of some labels, from the
 * probability of each label behind the prompt. No logits are stored. Rows for vectors are embedded, every text once, and
 * ranked by cosine.
 *
 * Rows are batched by length and reported in their own order; the result is a pure function of model, rows and options.
 * Refuses: rows without an answer where a text metric was asked for (FT_EINPUT), a loss that is no number (FT_ENUMERIC).
 * Ownership: ft_scores owns nothing; texts handed to on_text live until the call returns.
 */
#ifndef FETTLE_SCORE_SCORE_H
#define FETTLE_SCORE_SCORE_H

#include "grad/vectors.h"
#include "model/pooling.h"
#include "score/confidence.h"
#include "text/labels.h"

typedef enum ft_metric_source { FT_METRIC_LOSS, FT_METRIC_TEXT, FT_METRIC_VECTORS } ft_metric_source;
/* The label that was chosen for a row, before and with what was fitted to its scores. */
typedef struct ft_scored_label {
    int64_t expected;        /* -1: the row's answer is none of them */
    ft_choice plain, fitted; /* the same where nothing was fitted */
    bool abstained;          /* the fitted confidence is too small to answer */
} ft_scored_label;
typedef struct ft_scored_text { /* one row, for text metrics */
    ft_str expected, got; /* trimmed */
    bool stopped;         /* greedy output ended with a stop token */
    const ft_scored_label *label; /* NULL: got was generated */
} ft_scored_text;
/* Rows for vectors, for their metrics: where each row's positive stands among all texts that are no anchors, from 1; or, of
 * scored pairs, the cosines and the scores. */
typedef struct ft_scored_vectors {
    int64_t n;
    const int64_t *rank;          /* [n], NULL for scored pairs */
    const double *cosine, *score; /* [n], NULL for others */
} ft_scored_vectors;
typedef struct ft_metric {
    const char *name; /* "loss" "perplexity" "token_accuracy" "exact_match" "accuracy" "macro_f1" "json_fields" ... */
    ft_metric_source source;
    bool higher_is_better;
    double (*of_text)(const ft_scored_text *rows, size_t n); /* FT_METRIC_TEXT; NaN: no rows, or no memory */
    double (*of_loss)(const ft_loss *sum);                   /* FT_METRIC_LOSS */
    double (*of_vectors)(const ft_scored_vectors *v);        /* FT_METRIC_VECTORS */
    bool of_scores; /* FT_METRIC_VECTORS: of scored pairs, not of ranks */
    bool any_rows;  /* FT_METRIC_LOSS: of rows for vectors too */
    bool of_labels; /* FT_METRIC_TEXT: of labels with their confidences; may be NaN where every row was abstained from */
    const char *help;
} ft_metric;
extern const ft_metric *const ft_metrics[]; /* NULL at the end */
const ft_metric *ft_metric_named(const char *name);

enum { FT_MAX_METRICS = 24 };
typedef struct ft_scores {
    const ft_metric *metric[FT_MAX_METRICS];
    double value[FT_MAX_METRICS];
    size_t n;
    int64_t rows, supervised_tokens, generated_tokens;
    double seconds;
} ft_scores;
/* The value of a metric by its name, fallback when it was not measured. */
double ft_scores_get(const ft_scores *s, const char *metric, double fallback);

typedef struct ft_score_options {
    const ft_metric *const *metrics; /* [n_metrics]: decide which passes are run; on_text, argmax and kl ask for theirs */
    size_t n_metrics;
    int64_t tokens_per_batch; /* loss pass; 0: 1024 */
    int64_t max_new_tokens;   /* 0: twice the longest expected answer + 8 */
    size_t max_rows;          /* 0: all; else the first ones */
    /* progress: done of total rows of a pass ("loss", "generate"), at its start, about once a second, at its end; may be
     * NULL. Return false to stop (FT_ESTOPPED). */
    bool (*progress)(void *ctx, const char *what, size_t done, size_t total);
    void *ctx;
    /* Each row's text as it was generated (for a report or a file of predictions); may be NULL. */
    void (*on_text)(void *ctx, size_t row, const ft_scored_text *text);
    /* Argmax id of every supervised position, rows end to end, for top-1 agreement; may be NULL: [supervised tokens]. Of rows
     * for vectors: the number of the nearest text, one a row. */
    int32_t *argmax;
    /* The mean Kullback-Leibler divergence of m's next token from the reference's, over the supervised positions, in nats,
     * goes to *kl; both or neither. The reference must be a model of the same tokens. */
    ft_model *reference;
    double *kl;
    /* Rows for vectors: what their loss is, in batches of so many rows (NULL: no loss is measured); the first columns that
     * count, 0: all. */
    const ft_vector_objective *objective;
    int64_t objective_rows, vector_dims;
    /* Answers are labels: text metrics and on_text see the likeliest one, and nothing is generated. NULL: generated. What was
     * fitted to their scores; NULL: nothing. */
    const ft_labels *labels;
    const ft_confidence *confidence;
} ft_score_options;
/* tok may be NULL when no text is asked for. */
ft_status ft_score(ft_scores *out, ft_model *m, const ft_tokenizer *tok, const ft_rows *rows, const ft_score_options *o);
/* The memory that ft_score would take beside the model for the loss and, where a text metric asks for it, generated text;
 * learned without computing: an outline will do for m. */
ft_status ft_score_measure(size_t *bytes, ft_model *m, const ft_rows *rows, const ft_score_options *o);
/* log p of every label of o behind the prompt of each row, its end token included: scores [rows, labels]. */
ft_status ft_score_labels(double *scores, ft_model *m, const ft_rows *rows, const ft_score_options *o);
/* Vectors of texts, out [n, hidden_size], pooled as the model is and scaled to length 1. Of o only progress and
 * tokens_per_batch count. FT_ENUMERIC for one that is not finite. */
typedef struct ft_text {
    const int32_t *ids;
    int64_t n; /* at least 1 */
} ft_text;
ft_status ft_embed(float *out, ft_model *m, const ft_text *texts, size_t n, const ft_score_options *o);
/* Leaves the first dims (0: all) of every vector [n, C], scaled to length 1 where asked, and 0 behind them. */
void ft_vectors_fit(float *vectors, int64_t n, int64_t C, int64_t dims, bool normalize);
/* Share of positions where two argmax arrays of the same rows agree; NaN when n is 0. */
double ft_top1_agreement(const int32_t *a, const int32_t *b, int64_t n);

#endif
