/* cmd/forecast: what a run will take, before it runs. Sizes come from dry steps over the code that will allocate them
 * (ft_train_measure, ft_score_measure); nothing is guessed from formulas of shapes.
 */
#ifndef FETTLE_CMD_FORECAST_H
#define FETTLE_CMD_FORECAST_H

#include "cmd/job.h"

typedef struct ft_forecast {
    size_t program_bytes; /* resident without model and training: program, libraries, rows, tokenizer */
    size_t file_bytes;    /* of a base that is copied to f32: its file stays mapped */
    ft_train_needs needs;
    size_t unread_bytes;  /* of the weights in the file: rows of the embedding whose tokens the run does not see */
    size_t score_bytes;   /* of an evaluation */
    size_t shipped_bytes; /* the largest exported model, opened again beside the first */
    size_t total_bytes;   /* the highest, at training or when exported models are scored */
    size_t disk_bytes;    /* checkpoints and exports */
    double limit_bytes;
} ft_forecast;
/* Of the job's rows and options. The job's model is an outline, or has been opened for training and nothing else yet. */
ft_status ft_forecast_make(ft_forecast *out, const ft_job *j, bool outline);
/* Makes the forecast and, where it passes the limit, keeps the states of prefix_cache (auto) on disk, turns to
 * checkpointing (auto) and, under a ram_limit, to smaller micro-batches; changes the plan's options accordingly, and says
 * so. *fits: whether it does in the end. */
ft_status ft_forecast_fit(ft_forecast *out, ft_job *j, bool outline, bool *fits);
/* The cheapest change that would make it fit, in words; "" when none that is known would. */
ft_status ft_forecast_remedy(const ft_forecast *f, const ft_job *j, bool outline, ft_buf *out);

#endif
