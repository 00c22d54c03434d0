/* train/prefix: the hidden states that enter the first block in which something trains, by rows. Internal to the train
 * room, but for what train.h says of it.
 *
 * They are computed a row at a time: products round by the number of their rows, and so the states of a row do not depend
 * on the rows that happen to stand beside it. Kept or computed anew, they have the same bits.
 *
 * Ownership: model and rows are borrowed. Threads: one thread calls.
 */
#ifndef FETTLE_TRAIN_PREFIX_H
#define FETTLE_TRAIN_PREFIX_H

#include "train/train.h"

typedef struct ft_prefix ft_prefix;
/* Of o: what the states are computed in and rounded to. *out is NULL where block 0 trains. */
ft_status ft_prefix_new(ft_prefix **out, ft_model *m, const ft_rows *rows, const ft_train_options *o);
void ft_prefix_free(ft_prefix *p);
int64_t ft_prefix_blocks(const ft_prefix *p);
/* What computing the states of a row takes. */
size_t ft_prefix_work_bytes(const ft_prefix *p);
/* Where ft_prefix_keep would keep them, and how many bytes. */
ft_prefix_place ft_prefix_where(const ft_prefix *p, ft_prefix_place asked, const char *dir, bool again, uint64_t *bytes);

typedef struct ft_prefix_keeping {
    ft_prefix_place place; /* what was asked for */
    const char *dir;       /* of the run: the store is dir/cache/prefix.h5 */
    bool again;            /* rows come by more than once in what is left of the run */
    bool (*progress)(void *ctx, const char *what, size_t done, size_t total); /* false ends it: FT_ESTOPPED */
    void *ctx;
} ft_prefix_keeping;
/* Keeps states from now on: in memory as rows come by; on disk those of all rows, from a store that fits or that is made
 * now. A store that is damaged, or of another model or other rows, is said to be so and made anew. */
ft_status ft_prefix_keep(ft_prefix *p, const ft_prefix_keeping *how);
/* Removes the store of a run that needs it no more. */
void ft_prefix_remove(const char *dir);

/* The states of rows[n] end to end: x [T, C]. */
ft_status ft_prefix_states(ft_prefix *p, const int64_t *rows, int64_t n, float *x);
/* These rows will be asked for soon. */
void ft_prefix_ahead(const ft_prefix *p, const int64_t *rows, int64_t n);

/* A stepper's own; NULL where block 0 trains. */
ft_prefix *ft_stepper_prefix(ft_stepper *s);

#endif
