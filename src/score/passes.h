/* Inside the score room: the two passes over rows. */
#ifndef FETTLE_SCORE_PASSES_H
#define FETTLE_SCORE_PASSES_H

#include "score/score.h"

/* The progress callback, called about once a second. */
typedef struct ft_score__clock {
    const ft_score_options *options;
    const char *what;
    size_t total;
    double last;
} ft_score__clock;
/* Calls at the start, at the end and when a second has passed; FT_ESTOPPED when the caller wants to stop. */
ft_status ft_score__tick(ft_score__clock *c, size_t done);

/* order[0..n) = row numbers sorted by n tokens, the longest first, equal ones in row order. */
void ft_score__by_length(int64_t *order, const ft_rows *rows, size_t n);

/* The divergence of a model from a reference, batch by batch. */
typedef struct ft_score__divergence {
    ft_model *reference;
    ft_tape *tape;  /* of the reference */
    int64_t V;
    int64_t *index; /* [positions] supervised ones of a batch */
    double *of_row; /* [positions] */
    float *room;    /* [threads, V] */
    double sum;     /* over all positions so far */
} ft_score__divergence;
/* FT_EINPUT when the two have not the same number of tokens. positions: of a batch at most. */
ft_status ft_score__divergence_open(ft_score__divergence *d, ft_model *reference, ft_model *m, int64_t positions);
/* x: m's hidden states for ids [T] on t, [T, C] or [seg->n_read, C]; targets of these, -1 where nothing is supervised. */
ft_status ft_score__divergence_add(ft_score__divergence *d, ft_model *m, ft_tape *t, ft_var *x, const int32_t *ids,
                                   const int32_t *targets, const ft_segments *seg);
void ft_score__divergence_close(ft_score__divergence *d);

/* Loss over the first n rows, added to *sum; argmax and kl as in ft_score_options. */
ft_status ft_score__loss(ft_loss *sum, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o);

/* What the model makes of the first n prompts. */
typedef struct ft_score__texts {
    ft_scored_text *rows; /* [n] in row order; got points into bytes, expected into the dataset */
    ft_buf bytes;
    ft_scored_label *labels; /* [n], NULL: generated */
    int64_t tokens;          /* generated */
} ft_score__texts;
ft_status ft_score__generate(ft_score__texts *out, ft_model *m, const ft_tokenizer *tok, const ft_rows *rows, size_t n,
                             const ft_score_options *o);
void ft_score__texts_free(ft_score__texts *t);

/* The likeliest label of each row, in place of what would be generated. */
ft_status ft_score__label_texts(ft_score__texts *out, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o);
/* scores [n, labels] of the first n rows. */
ft_status ft_score__labels(double *scores, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o);
/* FT_EINPUT for a row without a prompt and an answer behind it. */
ft_status ft_score__check_answers(const ft_rows *rows, size_t n);

/* Rows for vectors: embedded, ranked or compared, and their loss where o has an objective. */
typedef struct ft_score__compared {
    ft_scored_vectors scored; /* points into the arrays below */
    int64_t *rank;
    double *cosine, *score;
    ft_loss loss;
} ft_score__compared;
ft_status ft_score__vectors(ft_score__compared *out, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o);
void ft_score__compared_free(ft_score__compared *v);
ft_status ft_score__measure_embed(size_t *bytes, ft_model *m, const ft_text *texts, size_t n, const ft_score_options *o);
ft_status ft_score__measure_vectors(size_t *bytes, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o);

/* The memory that each pass would take, learned without computing. */
ft_status ft_score__measure_loss(size_t *bytes, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o);
ft_status ft_score__measure_generate(size_t *bytes, ft_model *m, const ft_rows *rows, size_t n,
                                     const ft_score_options *o);
ft_status ft_score__measure_labels(size_t *bytes, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o);

#endif
