/* The training that bench train and bench op measure: random weights, random tokens, all of them supervised. */
#include "cmd/bench.h"

#include <string.h>

void ft_bench_training_close(ft_bench_training *t)
{
    ft_stepper_free(t->stepper);
    ft_rows_free(&t->rows);
    ft_model_free(t->model);
}

/* batch rows of seq tokens and the one that the last of them predicts; their ids lie end to end. */
static ft_status make_rows(ft_rows *rows, int64_t batch, int64_t seq, int64_t vocab)
{
    size_t n = (size_t)(batch * (seq + 1));
    rows->p = ft_alloc((size_t)batch, sizeof *rows->p);
    rows->arena = ft_arena_new(0, 0);
    int32_t *ids = rows->arena ? ft_arena_alloc(rows->arena, n, sizeof *ids) : NULL;
    uint8_t *mask = rows->arena ? ft_arena_alloc(rows->arena, n, 1) : NULL;
    if (!rows->p || !ids || !mask)
        return FT_ENOMEM;
    for (; rows->n < (size_t)batch; rows->n++, ids += seq + 1, mask += seq + 1) {
        for (int64_t i = 0; i <= seq; i++) {
            ids[i] = (int32_t)(ft_uniform(1, FT_STREAM_TEST, rows->n, (uint64_t)i) * (float)vocab);
            mask[i] = i > 0;
        }
        rows->p[rows->n] = (ft_row){.ids = ids, .mask = mask, .n = (int32_t)seq + 1};
    }
    return FT_OK;
}

static bool is(const ft_args *a, const char *option, const char *value)
{
    return strcmp(ft_args_text(a, option), value) == 0;
}

static ft_status make_model(ft_bench_training *t, const ft_args *a, const ft_dtype *dtype)
{
    static const char *const all[] = {"all-linear"};
    const ft_shape *shape = ft_shape_named(ft_args_text(a, "shape"));
    const ft_id_list asked = {.ids = t->rows.p[0].ids, .n = ft_args_int(a, "batch") * (t->seq + 1)};
    int64_t r = ft_args_int(a, "lora-r");
    t->lora = is(a, "adapter", "lora");
    if (!t->lora && dtype != &ft_f32)
        return ft_fail(FT_EINPUT, "--dtype %s: with --adapter none all weights train, and those are f32", dtype->name);
    FT_RETURN(ft_shape_model(&t->model, shape, t->seq + 1, dtype, !t->lora, &asked));
    ft_adapter_spec spec = {.kind = "lora", .r = r, .alpha = 2 * (double)r, .target_modules = all, .n_targets = 1};
    return t->lora ? ft_adapter_attach(t->model, &spec) : FT_OK;
}

ft_status ft_bench_training_open(ft_bench_training *t, const ft_args *a, const char *dtype)
{
    t->seq = ft_args_int(a, "seq");
    t->tokens = t->seq * ft_args_int(a, "batch");
    FT_RETURN(make_rows(&t->rows, ft_args_int(a, "batch"), t->seq, ft_shape_named(ft_args_text(a, "shape"))->vocab_size));
    FT_RETURN(make_model(t, a, ft_dtype_named(dtype)));
    t->options = (ft_train_options){.micro_batch_size = ft_args_int(a, "batch"),
                                    .gradient_accumulation_steps = 1,
                                    .max_steps = 1000,
                                    .optimizer = ft_optimizer_named("adamw"),
                                    .optimizer_options = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
                                    .learning_rate = 1e-5,
                                    .schedule = ft_schedule_named("constant"),
                                    .max_grad_norm = 1,
                                    .compute = is(a, "compute", "bf16") ? FT_COMPUTE_BF16 : FT_COMPUTE_F32,
                                    .activations = ft_dtype_named(ft_args_text(a, "activations")),
                                    .gradient_checkpointing = is(a, "checkpointing", "on")
                                                                  ? FT_ALL_BLOCKS
                                                                  : ft_args_int(a, "checkpointed")};
    FT_RETURN(ft_stepper_new(&t->stepper, t->model, &t->rows, &t->options));
    for (int i = 0; i < 2; i++) /* the second step runs in the memory that the first one found to be needed */
        FT_RETURN(ft_bench_training_step(t));
    return FT_OK;
}

ft_status ft_bench_training_step(void *training)
{
    ft_bench_training *t = training;
    ft_step done;
    FT_RETURN(ft_stepper_run(t->stepper, t->step++, &done));
    t->loss = done.loss;
    return FT_OK;
}

void ft_bench_training_put(json_t *o, const ft_bench_training *t, const ft_args *a)
{
    static const char *const echoed[] = {"shape", "adapter", "compute", "dtype", "activations", "checkpointing"};
    for (size_t i = 0; i < FT_COUNT(echoed); i++)
        ft_result_text(o, echoed[i], ft_args_text(a, echoed[i]));
    ft_result_int(o, "seq", t->seq);
    ft_result_int(o, "batch", ft_args_int(a, "batch"));
    if (ft_args_int(a, "checkpointed"))
        ft_result_int(o, "checkpointed", ft_args_int(a, "checkpointed"));
    if (t->lora)
        ft_result_int(o, "lora_r", ft_args_int(a, "lora-r"));
}

/* ---- choices of its options ---- */

const char *ft_choice_bench_adapter(size_t i)
{
    static const char *const names[] = {"lora", "none", NULL};
    return names[i];
}

const char *ft_choice_bench_compute(size_t i)
{
    static const char *const names[] = {"f32", "bf16", NULL};
    return names[i];
}

const char *ft_choice_bench_switch(size_t i)
{
    static const char *const names[] = {"on", "off", NULL};
    return names[i];
}
