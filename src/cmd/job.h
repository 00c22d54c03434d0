/* cmd/job: from a recipe to rows: what train and preview share.
 *
 * Legal order: ft_job_open, ft_job_data, ft_job_model, ft_job_rows; ft_job_close at any point.
 * Ownership: a job owns everything in it and stays where it was opened.
 */
#ifndef FETTLE_CMD_JOB_H
#define FETTLE_CMD_JOB_H

#include "cmd/labeling.h"
#include "cmd/plan.h"
#include "cmd/progress.h"

typedef struct ft_job {
    ft_plan plan;
    ft_dataset train, val, test; /* linted and split; val and test may be empty */
    ft_lint lint;
    ft_model *model; /* not trainable and without adapter unless ft_job_model was asked to */
    bool outline; /* the model has shapes and no memory */
    ft_tokenizer *tok;
    const ft_chat_template *chat;
    ft_rows train_rows, val_rows, test_rows;
    ft_labeling labeling; /* without labels where the recipe has none */
    ft_meter meter;
} ft_job;

/* The recipe of argument RECIPE with its --set overrides. */
ft_status ft_job_open(ft_job *j, const ft_args *a);
/* Datasets, lint, split. */
ft_status ft_job_data(ft_job *j);
/* Model and tokenizer; FT_EINPUT for a sequence_len past the model's context. train: weights or adapter become trainable; else the model is opened for its tokenizer only (and
 * not at all where it is made from a config). */
ft_status ft_job_model(ft_job *j, bool train);
/* As ft_job_model for training, with a model that has shapes and no memory: for dry steps alone. */
ft_status ft_job_outline(ft_job *j);
/* Puts the real model, ready to train, in the place of the outline. */
ft_status ft_job_fill(ft_job *j);
/* Plain text has no answers to generate: metrics of generated text are left out, and said so. Behind ft_job_data. */
ft_status ft_job_fit_metrics(ft_job *j);
/* Token ids and masks of all three datasets, and the labels; scores are of labels from here on where there are some. */
ft_status ft_job_rows(ft_job *j);
void ft_job_close(ft_job *j);
/* The rows that choose the best checkpoint: val, else test; NULL when there are none. */
const ft_rows *ft_job_choosing(const ft_job *j);
/* The rows of the final table and their dataset: test, else val; NULL when there are none. */
const ft_rows *ft_job_scored(const ft_job *j);
const ft_dataset *ft_job_scored_data(const ft_job *j);

#endif
