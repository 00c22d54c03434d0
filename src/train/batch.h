/* train/batch: which rows a step holds, and their tokens laid end to end. Internal to the train room. */
#ifndef FETTLE_TRAIN_BATCH_H
#define FETTLE_TRAIN_BATCH_H

#include "grad/grad.h"
#include "text/rows.h"

/* The order of rows is a permutation an epoch, keyed by (seed, epoch): a cursor is a step number, nothing else. */
typedef struct ft_order {
    int64_t *row; /* [n]: of the current epoch */
    int64_t n, epoch, rows_per_step, steps_per_epoch;
    uint64_t seed;
} ft_order;
ft_status ft_order_init(ft_order *o, int64_t n_rows, int64_t rows_per_step, uint64_t seed);
void ft_order_free(ft_order *o);
/* Rows of optimizer step `step` (from 0): *rows borrowed, *n <= rows_per_step (the last step of an epoch may be short). */
void ft_order_step(ft_order *o, int64_t step, const int64_t **rows, int64_t *n);

/* Tokens of a micro-batch: row r gives n - 1 inputs; the target of input i is ids[i + 1] where supervised, else -1. Where it
 * pays, seg reads the supervised ones alone, and targets are theirs. A row for vectors gives all its ids and no targets, and
 * its texts are segments of their own. */
typedef struct ft_batch {
    int32_t *ids, *targets; /* [cap] */
    int64_t *start;         /* [texts_cap + 1]: of segments */
    int64_t *read;          /* [cap] */
    ft_segments seg;        /* points into the above */
    int64_t T, rows, segments, supervised, cap;
    int64_t *first, *number; /* rows for vectors, as in ft_vector_rows: [max_rows + 1], [texts_cap] */
    float *score;            /* [max_rows] */
} ft_batch;
/* Room for `rows` rows of the longest kind at once. */
ft_status ft_batch_init(ft_batch *b, const ft_rows *rows, int64_t max_rows);
void ft_batch_free(ft_batch *b);
void ft_batch_fill(ft_batch *b, const ft_rows *rows, const int64_t *which, int64_t n);
/* As if the first n tokens of a filled batch (of all, where it has fewer) were those that are read: for a dry step. */
void ft_batch_read(ft_batch *b, int64_t n);
/* Targets in the given rows: what the loss of a whole optimizer step is divided by. */
int64_t ft_batch_supervised(const ft_rows *rows, const int64_t *which, int64_t n);

#endif
