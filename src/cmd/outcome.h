/* cmd/outcome: what a run came to: the scores of base, tuned model and every shipped file on the same rows, kept as
 * columns of one table, with a few generated texts for the report.
 * Legal order: ft_outcome_score for base (before training) and tuned; ft_outcome_ship for each export;
 * ft_outcome_write. Ownership: ft_outcome_free frees all.
 */
#ifndef FETTLE_CMD_OUTCOME_H
#define FETTLE_CMD_OUTCOME_H

#include "cmd/job.h"

enum { FT_MAX_SAMPLES = 12 };

typedef struct ft_outcome {
    ft_report_column *columns; /* [n]: base, tuned, every shipped file; titles owned */
    size_t n;
    ft_report_column tuned_column; /* a copy of the tuned model's: what files are compared with; title borrowed */
    ft_buf refused;                /* a line for each file that did not pass its gate */
    int32_t *argmax[2]; /* [supervised tokens]: of the tuned model, of the file at hand */
    char *prompts[FT_MAX_SAMPLES], *expected[FT_MAX_SAMPLES], *base[FT_MAX_SAMPLES], *tuned[FT_MAX_SAMPLES];
    size_t n_samples;
} ft_outcome;

/* A further column of the table, its scores still empty; good until the next one. */
ft_status ft_outcome_column(ft_outcome *o, const char *title, ft_report_column **out);
/* What the first column is: the base, or where a run goes on with an adapter or begins with one that changes it. */
const char *ft_outcome_start(const ft_job *j);
/* Scores the job's model on its rows to evaluate on. Nothing happens when there are none. */
ft_status ft_outcome_base(ft_outcome *o, ft_job *j);
ft_status ft_outcome_tuned(ft_outcome *o, ft_job *j);
/* Writes one file of the recipe, opens it again and scores what was read. FT_EFORMAT when the file's tokenizer makes
 * other ids of the same rows. What does not pass its gate is no error here: it is named in o->refused, and e->path is
 * where it stands. The PEFT adapter is not scored: its weights are the tuned model's. */
ft_status ft_outcome_ship(ft_outcome *o, ft_job *j, ft_plan_export *e);
/* results.json and report.html into the run folder. */
ft_status ft_outcome_write(const ft_outcome *o, const ft_job *j, const ft_train_result *t);
/* The run as one JSON object, the caller's. */
ft_status ft_outcome_json(json_t **result, const ft_outcome *o, const ft_job *j, const ft_train_result *t);
void ft_outcome_free(ft_outcome *o);

#endif
