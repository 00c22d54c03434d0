/* train/checkpoint: step-N.h5 files of a run, which of them is last and which best. Internal to the train room.
 *
 *   checkpoints/step-120.h5   weights/<param>, moment0/<param>, moment1/<param>; attributes: ft_progress, the recipe
 *   checkpoints/last, best    symbolic links to two of them
 */
#ifndef FETTLE_TRAIN_CHECKPOINT_H
#define FETTLE_TRAIN_CHECKPOINT_H

#include "train/identity.h"

/* What a run has to remember besides weights and moments; everything else follows from the recipe and `step`. */
typedef struct ft_progress {
    int64_t step;       /* optimizer steps done */
    int64_t tokens;     /* input tokens seen */
    int64_t best_step, evals_since_best;
    double best_score;  /* NaN: none yet */
    double loss;        /* of the last step */
    double elapsed_s;
    int64_t eval_due;   /* 1: stopped before the evaluation of this step was done */
    int64_t finished;   /* 1: nothing is left to train */
} ft_progress;

typedef struct ft_state {
    ft_model *model;
    const ft_optimizer *optimizer;
    float **moments; /* [trainable count * n_moments] */
    ft_progress progress;
    uint64_t recipe_hash;
    const char *recipe_text;
    ft_identity identity; /* of rows and base */
    const char *dir; /* of the checkpoints */
} ft_state;

/* Writes step-N.h5 and points `last` at it (and `best` where asked); *path (may be NULL) is its name in new memory. */
ft_status ft_checkpoint_save(const ft_state *s, bool best, char **path);
/* Name of the file of a step, in new memory. */
ft_status ft_checkpoint_path(char **path, const char *dir, int64_t step);
/* Removes what killed runs left under temporary names. The caller holds the lock of the run folder. */
void ft_checkpoint_sweep(const char *dir);
/* Restores weights, moments and progress from `last` (or the newest step file when the link dangles); *path is its name
 * in new memory. *found = false: there is none. A step beyond total_steps is FT_EFORMAT. A damaged file is FT_EFORMAT naming it and the newest whole one before it; another recipe
 * is FT_EINPUT with both texts' differing lines, other rows or another base FT_EINPUT saying which. */
ft_status ft_checkpoint_resume(ft_state *s, int64_t total_steps, bool *found, char **path);
/* Removes the oldest step files beyond `limit` (0: keeps all); last and best stay. */
ft_status ft_checkpoint_prune(const ft_state *s, int64_t limit);

#endif
