/* grad/vectors: losses over the vectors of texts, by which a model learns what lies near what.
 *
 * A batch has S texts, their vectors y [S, C] in the order of its rows; a row is an anchor and what goes with it: a
 * positive and any number of negatives, or one text with a score. All losses are functions of cosines between anchors
 * and other texts: of s [n, docs], where docs are the texts that are no anchors, in order.
 * A loss is one row of grad/vector_losses.def: FT_VECTOR_LOSS(name) is the object ft_vector_loss_<name>.
 */
#ifndef FETTLE_GRAD_VECTORS_H
#define FETTLE_GRAD_VECTORS_H

#include "grad/grad.h"

typedef struct ft_vector_rows {
    int64_t n;
    const int64_t *first; /* [n + 1]: row r has the texts first[r] .. first[r + 1] - 1, its anchor first */
    const int64_t *text;  /* [S]: equal numbers are equal texts */
    const float *score;   /* [n], of pairs with a score; else NULL */
} ft_vector_rows;

typedef struct ft_similarities {
    const ft_vector_rows *rows;
    int64_t docs;
    const double *s; /* [n, docs] cosines */
    double scale, margin;
} ft_similarities;

typedef struct ft_vector_loss {
    const char *name;
    int64_t texts;  /* the fewest that a row has */
    bool scored;    /* rows are pairs with a score */
    bool in_batch;  /* every row is compared with the other rows of its batch: the loss depends on how many these are */
    double scale, margin; /* where nothing else is asked for; 0: it has none */
    /* The sum over rows; ds [n, docs], zero before, gets its gradient. correct (may be NULL): rows whose positive is the
     * nearest of all. */
    double (*of)(const ft_similarities *s, double *ds, int64_t *correct);
    const char *help;
} ft_vector_loss;
extern const ft_vector_loss *const ft_vector_losses[]; /* NULL at the end */
const ft_vector_loss *ft_vector_loss_named(const char *name);
/* Doc number of the first text behind row r's anchor. */
static inline int64_t ft_vector_doc(const ft_vector_rows *rows, int64_t r)
{
    return rows->first[r] - r;
}

enum { FT_MAX_VECTOR_DIMS = 16 };
/* What a model is trained to. dims: the loss is the mean of those of the first dims[i] columns (Matryoshka); n_dims 0: of
 * all columns. */
typedef struct ft_vector_objective {
    const ft_vector_loss *loss; /* NULL: none */
    double scale, margin;
    int64_t dims[FT_MAX_VECTOR_DIMS];
    size_t n_dims;
} ft_vector_objective;

/* A root, as ft_op_head_loss is: adds the batch's loss to *loss (count: its rows), gradients scaled by `weight` (1 / rows of
 * the whole optimizer step) are made in the same pass. FT_EINPUT: rows that the loss cannot do with, dims past the width. */
ft_status ft_op_vector_loss(ft_tape *t, ft_var *y, const ft_vector_rows *rows, const ft_vector_objective *o, double weight,
                            ft_loss *loss);

#endif
