/* cmd/bench: how fettle measures. There is one way: the things to compare run in turn, so that what else the machine
 * does meets all of them; the first run of each warms up and does not count; the best and the median of the others are
 * told. Peak memory is the process's own.
 */
#ifndef FETTLE_CMD_BENCH_H
#define FETTLE_CMD_BENCH_H

#include "cmd/choices.h"
#include "cmd/shapes.h"

enum { FT_BENCH_SAMPLES = 512 };
typedef struct ft_contestant {
    ft_status (*run)(void *ctx); /* one run; all runs of a contestant do the same work */
    void *ctx;
    double best_s, median_s; /* out */
    size_t n;                /* out: runs that count */
    double seconds[FT_BENCH_SAMPLES];
} ft_contestant;
/* rounds >= 1. In a round each contestant runs once, and again while it has used less than slice_s. FT_ESTOPPED after a
 * signal. */
ft_status ft_bench(ft_contestant *c, size_t n, int64_t rounds, double slice_s);

/* ---- the rate of plain products, what mfu is measured by (bench_gemm.c) ---- */
typedef struct ft_gemm_peak ft_gemm_peak;
/* Of the engine that computes so, or of that for f32. */
ft_status ft_gemm_peak_new(ft_gemm_peak **out, ft_compute compute);
void ft_gemm_peak_free(ft_gemm_peak *p);
/* Appends its contestants to c, which has room for FT_GEMM_PEAKS. */
enum { FT_GEMM_PEAKS = 3 };
void ft_gemm_peak_join(ft_gemm_peak *p, ft_contestant *c);
/* The highest rate that any of them reached, GFLOP/s. */
double ft_gemm_peak_gflops(const ft_gemm_peak *p, const ft_contestant *c);

/* ---- a training to measure (bench_training.c) ---- */
typedef struct ft_bench_training {
    ft_model *model;
    ft_rows rows;
    ft_train_options options;
    ft_stepper *stepper;
    bool lora;
    int64_t seq, tokens; /* of a row, of a step */
    int64_t step;
    double loss;
} ft_bench_training;
/* By the options below, the frozen weights in a dtype of the table, with two steps behind it; *t is zeroed before, stays
 * where it is and is closed in any case. */
ft_status ft_bench_training_open(ft_bench_training *t, const ft_args *a, const char *dtype);
void ft_bench_training_close(ft_bench_training *t);
/* One step; the ctx of a contestant is the training. */
ft_status ft_bench_training_step(void *training);
/* What is trained and how, as the options said. */
void ft_bench_training_put(json_t *o, const ft_bench_training *t, const ft_args *a);
const char *ft_choice_bench_adapter(size_t i);
const char *ft_choice_bench_compute(size_t i);
const char *ft_choice_bench_switch(size_t i);
/* clang-format off */
#define FT_TRAINING_OPTIONS                                                                                            \
    FT_SHAPE_OPTION,                                                                                                   \
    {"adapter", FT_ARG_NAME, .argument = "NAME", .fallback = "lora", .choice = ft_choice_bench_adapter,                \
     .help = "lora: on all linears; none: all weights train"},                                                         \
    {"compute", FT_ARG_NAME, .argument = "T", .fallback = "f32", .choice = ft_choice_bench_compute,                    \
     .help = "what products are computed in"},                                                                         \
    {"dtype", FT_ARG_NAME, .argument = "T", .fallback = "f32", .choice = ft_choice_dtype,                              \
     .help = "how the frozen weights are stored"},                                                                     \
    {"seq", FT_ARG_INT, .argument = "N", .fallback = "512", .min = 1, .max = 131072, .help = "tokens of a row"},       \
    {"batch", FT_ARG_INT, .argument = "N", .fallback = "2", .min = 1, .max = 4096, .help = "rows of a step"},          \
    {"lora-r", FT_ARG_INT, .argument = "N", .fallback = "16", .min = 1, .max = 4096,                                   \
     .help = "rank of the adapter"},                                                                                   \
    {"activations", FT_ARG_NAME, .argument = "T", .fallback = "f32", .choice = ft_choice_bench_compute,                \
     .help = "what blocks keep for backward is rounded to"},                                                           \
    {"checkpointing", FT_ARG_NAME, .argument = "on|off", .fallback = "off", .choice = ft_choice_bench_switch,          \
     .help = "compute activations a second time instead of keeping them"},                                             \
    {"checkpointed", FT_ARG_INT, .argument = "N", .fallback = "0", .min = 0, .max = 4096,                              \
     .help = "those of the first N blocks alone"}
/* clang-format on */

/* ---- options and results that all have ---- */
#define FT_SHAPE_OPTION                                                                                                \
    {                                                                                                                  \
        "shape", FT_ARG_NAME, .argument = "NAME", .fallback = "smollm2-135m", .choice = ft_choice_shape,               \
                 .help = "the model whose shapes to take, with random weights"                                         \
    }
#define FT_ROUNDS_OPTION(count)                                                                                        \
    {                                                                                                                  \
        "rounds", FT_ARG_INT, .argument = "N", .fallback = count, .min = 1, .max = 256,                                \
                  .help = "how often everything is measured, after one run that does not count"                        \
    }
#define FT_BENCH_JSON                                                                                                  \
    {                                                                                                                  \
        "json", FT_ARG_FLAG, .help = "print one JSON object instead of text"                                           \
    }
/* threads, cpu_path, blas_core. */
void ft_bench_put_machine(json_t *o);

#endif
