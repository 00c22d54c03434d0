/* The train room: the loop from rows and a model to a checkpoint on disk.
 *
 * One loop for full fine-tuning, LoRA and pretraining. loss = sum over supervised tokens of the whole optimizer step /
 * their number, whatever the micro-batches; of a loss over vectors, the mean over rows of what each has in its micro-batch. A run is a pure function of (recipe, data, seed, CPU path): resume is exact.
 * Tables: optimizers (train/optimizers.def), schedules (train/schedules.def).
 * Ownership: the caller owns model and rows; the trainer borrows them until ft_train returns.
 */
#ifndef FETTLE_TRAIN_TRAIN_H
#define FETTLE_TRAIN_TRAIN_H

#include "score/score.h"

typedef struct ft_optimizer_options {
    double beta1, beta2, eps, weight_decay, momentum;
} ft_optimizer_options;
typedef struct ft_optimizer {
    const char *name;
    int n_moments; /* f32 arrays of the parameter's size */
    void (*update)(float *w, const float *g, float *const *moments, int64_t n, double lr, double grad_scale, double decay,
                   int64_t step /* from 1 */, const ft_optimizer_options *o);
    const char *help;
} ft_optimizer;
extern const ft_optimizer *const ft_optimizers[];
const ft_optimizer *ft_optimizer_named(const char *name);

typedef struct ft_schedule {
    const char *name;
    /* Factor on the peak rate at step (0 .. total-1), after the warmup of `warmup` steps. */
    double (*factor)(int64_t step, int64_t total, int64_t warmup, double min_ratio);
    const char *help;
} ft_schedule;
extern const ft_schedule *const ft_schedules[];
const ft_schedule *ft_schedule_named(const char *name);

/* Where the hidden states that enter the first trained block are kept from epoch to epoch. The result is the same. */
typedef enum ft_prefix_place { FT_PREFIX_AUTO, FT_PREFIX_OFF, FT_PREFIX_MEMORY, FT_PREFIX_DISK } ft_prefix_place;
/* Bytes that keeping those of all rows takes (0 where block 0 trains, and of rows for vectors), and where auto keeps them: in memory up to a quarter
 * of what is available there, else on the disk of dir where there is room; nowhere when rows come by only once. */
uint64_t ft_prefix_bytes(const ft_model *m, const ft_rows *rows, const ft_dtype *dtype);
ft_prefix_place ft_prefix_choose(uint64_t bytes, const char *dir, bool again);

typedef struct ft_train_options {
    const char *output_dir;
    uint64_t seed, recipe_hash;
    const char *recipe_text; /* the resolved recipe, kept in the checkpoint for the difference a resume shows */
    double num_epochs;
    int64_t max_steps; /* 0: num_epochs decides */
    int64_t micro_batch_size, gradient_accumulation_steps;
    const ft_optimizer *optimizer;
    ft_optimizer_options optimizer_options;
    double learning_rate, min_lr_ratio;
    const ft_schedule *schedule;
    int64_t warmup_steps;
    double warmup_ratio, max_grad_norm;
    int64_t gradient_checkpointing; /* so many blocks, from the first, are run again in backward; FT_ALL_BLOCKS */
    ft_compute compute; /* of the products of a step; evaluations are f32 */
    const ft_dtype *activations; /* what blocks keep for backward is rounded to: f32 or bf16. NULL: f32 */
    int64_t save_steps, save_total_limit, eval_steps, logging_steps; /* 0: per epoch; off; per epoch; 1 */
    int64_t early_stopping_patience;             /* evaluations without a better score; 0: off */
    const ft_metric *metric_for_best;            /* NULL: the eval loss */
    ft_score_options score;                      /* metrics of every evaluation */
    ft_prefix_place prefix_cache;
    const ft_dtype *prefix_cache_dtype; /* f32 or bf16; what enters the first trained block is rounded to it. NULL: f32 */
    /* A loss over vectors, for a model that pools and rows for vectors; without one: next tokens. Where it is in_batch the
     * result depends on micro_batch_size, not on its product with gradient_accumulation_steps alone. */
    ft_vector_objective objective;
    bool resume;
} ft_train_options;

typedef enum ft_event_kind { FT_EVENT_START, FT_EVENT_STEP, FT_EVENT_EVAL, FT_EVENT_SAVE, FT_EVENT_END } ft_event_kind;
typedef struct ft_train_event {
    ft_event_kind kind;
    int64_t step, total_steps;
    double epoch, loss, grad_norm, learning_rate, tokens_per_s, supervised_share, eta_s, elapsed_s;
    int64_t tokens, step_tokens; /* seen so far; of this step */
    uint64_t rss_bytes;
    const ft_scores *scores; /* EVAL */
    bool best;               /* EVAL: better than all before */
    const char *path;        /* SAVE */
} ft_train_event;
typedef void (*ft_train_event_fn)(void *ctx, const ft_train_event *e);

typedef struct ft_train_result {
    int64_t steps, best_step;
    double best_score, final_loss, seconds;
    int64_t tokens;
    bool stopped_early;
} ft_train_result;
/* Trains, keeps checkpoints/step-N.h5 with `last` and `best`, appends log.jsonl, ends with the best weights in the model.
 * FT_ESTOPPED after a signal (state saved); FT_ENUMERIC names step and last good checkpoint. eval may be NULL. */
ft_status ft_train(ft_train_result *out, ft_model *m, const ft_tokenizer *tok, const ft_rows *train, const ft_rows *eval,
                   const ft_train_options *o, ft_train_event_fn on_event, void *ctx);

/* ---- steps alone: what ft_train runs between its evaluations, for measuring and planning ---- */
typedef struct ft_stepper ft_stepper;
typedef struct ft_step {
    double loss, grad_norm, learning_rate; /* of a loss that is not finite the gradient is not taken: its norm is NaN */
    int64_t tokens, supervised;
} ft_step;
/* Borrows model, rows and options until it is freed. FT_EINPUT: no rows, nothing trainable. */
ft_status ft_stepper_new(ft_stepper **out, ft_model *m, const ft_rows *rows, const ft_train_options *o);
void ft_stepper_free(ft_stepper *s);
/* Of the whole run, as num_epochs or max_steps tell; of an epoch. */
int64_t ft_stepper_steps(const ft_stepper *s);
int64_t ft_stepper_steps_per_epoch(const ft_stepper *s);
/* The moments of the trained weights in their order: [trainable * n_moments] arrays of the weight's size. */
float **ft_stepper_moments(ft_stepper *s);
ft_tape *ft_stepper_tape(ft_stepper *s);
/* Step `step` (from 0) of the run: gradient of its rows, update. Nothing is updated where loss or grad_norm is not
 * finite. */
ft_status ft_stepper_run(ft_stepper *s, int64_t step, ft_step *out);
/* Keeps the states that enter the first trained block in memory from now on, as rows come by. */
ft_status ft_stepper_keep_states(ft_stepper *s);

/* What a run takes, learned by a dry step of its largest micro-batch (ft_tape_dry): nothing of the model's size is
 * allocated, and an outline will do for the model. */
typedef struct ft_train_needs {
    size_t weight_bytes;  /* of the model, in the dtype they are computed from: in memory or in the mapped file */
    size_t adapter_bytes; /* the weights of an adapter */
    size_t gradient_bytes, moment_bytes;
    size_t activation_bytes; /* kept from forward to backward */
    size_t temporary_bytes;  /* gradients of activations, without */
    size_t logits_bytes;     /* a chunk of them */
    size_t buffer_bytes;     /* panels, tables, the batch */
    ft_prefix_place prefix_place; /* where prefix_cache keeps states, and how many bytes they are; FT_PREFIX_OFF, 0 */
    size_t prefix_bytes;
    int64_t steps;
    double tokens; /* of all steps */
} ft_train_needs;
ft_status ft_train_measure(ft_train_needs *out, ft_model *m, const ft_rows *rows, const ft_train_options *o);

/* Loads the trained weights of a checkpoint into a model whose trainable params have the same names and shapes. */
ft_status ft_checkpoint_load_weights(ft_model *m, const char *path);
/* Path of the checkpoint that `which` ("last", "best") names in a run folder, in new memory. */
ft_status ft_checkpoint_find(char **path, const char *run_dir, const char *which);

#endif
