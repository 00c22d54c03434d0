/* cmd/plan: the one place where the strings of a recipe become rows of the library's tables.
 *
 * Every name is looked up, every combination that only other rooms can judge is checked, and all that is wrong is
 * complained of at its key's place, together with what the recipe room found, in one message.
 * Ownership: a plan owns its recipe and lists and borrows its strings from the recipe. It points into itself: it stays
 * where it was opened.
 */
#ifndef FETTLE_CMD_PLAN_H
#define FETTLE_CMD_PLAN_H

#include "cmd/cmd.h"
#include "cmd/layers.h"

enum { FT_MAX_TARGETS = 64 };

/* What makes confidences out of the probabilities of labels. */
typedef enum ft_plan_calibration { FT_CALIBRATE_NOT, FT_CALIBRATE_TEMPERATURE, FT_CALIBRATE_BIAS } ft_plan_calibration;

typedef struct ft_plan_export {
    const ft_exporter *exporter;
    const ft_mix *mix; /* NULL: the exporter's default */
    double min_survival;
    ft_export_gate gate;
    bool automatic; /* quant: auto */
    bool calibrated; /* rounding: calibrated, on the training rows */
    const ft_sampling *sampling; /* parameters of the Modelfile, NULL: greedy */
    char *path;        /* as asked for, or in output_dir/export; owned */
} ft_plan_export;

typedef struct ft_plan {
    ft_recipe *recipe;                         /* owned */
    char *name;                                /* the recipe file's name without directory and suffix */
    const char *base_model, *init_from_config; /* one of them, the other NULL */
    const char *output_dir, *chat_template;
    ft_data_source *train, *val, *test; /* [n_train], [n_val], [n_test] */
    size_t n_train, n_val, n_test;
    double val_set_size;
    bool dedup;
    ft_rows_options rows; /* chat still NULL: it needs the tokenizer */
    ft_pool pooling;      /* of a loss over vectors; NONE: the model's own. rows' prompts NULL: likewise */
    bool has_adapter;
    const ft_dtype *quantize_base; /* qlora; else NULL */
    const char *lora_model_dir;    /* the adapter to go on with; NULL: a fresh one */
    ft_adapter_spec adapter; /* its layers only once ft_plan_layers was called */
    ft_layer_range *ranges;  /* [n_ranges]: lora_layers */
    size_t n_ranges;
    int64_t *layers; /* [adapter.n_layers] */
    const char *targets[FT_MAX_TARGETS], *saved[FT_MAX_TARGETS];
    bool has_labels, labels_of_train; /* else those that the recipe lists */
    ft_plan_calibration calibration;
    double abstain_confidence, abstain_precision; /* 0: not given */
    const ft_metric *metrics[FT_MAX_METRICS];
    size_t n_metrics;
    const ft_metric *shown[FT_MAX_METRICS]; /* of the final table: also perplexity, stop or ece, and what gates ask for */
    size_t n_shown;
    ft_score_options final_score;
    ft_train_options train_options; /* gradient_checkpointing 0 where auto_checkpointing */
    bool auto_checkpointing;
    double ram_limit_bytes; /* 0: none was given */
    ft_plan_export *exports;
    size_t n_exports;
    ft_buf resolved; /* the recipe with every key, as YAML */
} ft_plan;

/* Reads a recipe with overrides and resolves it. FT_EINPUT names every mistake. */
ft_status ft_plan_open(ft_plan *out, const char *path, const char *const *overrides, size_t n);
void ft_plan_free(ft_plan *p);
/* The layers that get an adapter, in a model of L; one that it does not have is FT_EINPUT at its place. */
ft_status ft_plan_layers(ft_plan *p, int64_t L);
/* Is it opened again and scored? The run's own PEFT adapter is what was scored. */
bool ft_plan_scores(const ft_plan_export *e);
/* Chooses the metrics of the final table anew: behind changes of the metrics or the exports. */
void ft_plan_choose_shown(ft_plan *p);
/* Does a text metric stand among them? Then rows are generated, not only scored. */
bool ft_plan_generates(const ft_plan *p);

#endif
