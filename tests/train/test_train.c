/* The loop on a tiny random model: what it promises about accumulation, resume, threads, stopping and damaged files. */
#include "support/support.h"
#include "base/threads.h"
#include "train/train.h"
#include "train/trained.h"

#include <sys/stat.h>

static const char config[] =
    "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":32,\"intermediate_size\":48,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":50,"
    "\"max_position_embeddings\":64,\"rms_norm_eps\":1e-5,\"rope_theta\":10000.0,\"hidden_act\":\"silu\","
    "\"tie_word_embeddings\":true,\"bos_token_id\":1,\"eos_token_id\":2,\"torch_dtype\":\"float32\"}";

enum { ROWS = 21 };
static int32_t ids[ROWS][24];
static uint8_t mask[ROWS][24];
static ft_row row_list[ROWS];

/* Rows of 6 to 23 tokens that count upwards: learnable at once. */
static ft_rows make_rows(void)
{
    ft_rows rows = {.p = row_list, .n = ROWS};
    for (int r = 0; r < ROWS; r++) {
        int n = 6 + r * 7 % 18;
        for (int i = 0; i < n; i++) {
            ids[r][i] = i ? 3 + (r * 5 + i) % 47 : 1;
            mask[r][i] = i > n / 3;
        }
        row_list[r] = (ft_row){.ids = ids[r], .mask = mask[r], .n = n, .prompt_n = n / 3 + 1, .example = r};
    }
    return rows;
}

static ft_model *fresh_model(const char *dir, bool lora)
{
    ft_model *m = NULL;
    const char *path = ft_test_path(dir, "config.json");
    const char *const targets[] = {"all-linear"};
    ft_adapter_spec spec = {.kind = "lora", .r = 4, .alpha = 8, .dropout = 0.1, .target_modules = targets, .n_targets = 1, .seed = 5};
    ck_assert_ok(ft_write_file(path, config, strlen(config)));
    ck_assert_ok(ft_model_init(&m, path, 11));
    if (lora)
        ck_assert_ok(ft_adapter_attach(m, &spec));
    return m;
}

static ft_train_options options(const char *dir)
{
    return (ft_train_options){.output_dir = dir, .seed = 3, .recipe_hash = 77, .recipe_text = "learning_rate: 0.01\n",
                              .max_steps = 12, .micro_batch_size = 4, .gradient_accumulation_steps = 1,
                              .optimizer = ft_optimizer_named("adamw"),
                              .optimizer_options = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01},
                              .learning_rate = 0.01, .schedule = ft_schedule_named("cosine"), .warmup_ratio = 0.1,
                              .max_grad_norm = 1, .save_steps = 3, .eval_steps = 4, .logging_steps = 1};
}

typedef struct seen {
    double loss[64];
    int64_t stop_at, steps, evals;
} seen;

static void watch(void *ctx, const ft_train_event *e)
{
    seen *s = ctx;
    if (e->kind == FT_EVENT_STEP) {
        s->loss[e->step - 1] = e->loss;
        s->steps = e->step;
        if (s->stop_at && e->step == s->stop_at)
            ft_stop_set(true);
    }
    s->evals += e->kind == FT_EVENT_EVAL;
}

static ft_status run(ft_model *m, const ft_train_options *o, seen *s, ft_train_result *result)
{
    ft_rows rows = make_rows();
    ft_rows eval = {.p = row_list, .n = 5};
    ft_train_result local;
    ft_status st = ft_train(result ? result : &local, m, NULL, &rows, &eval, o, watch, s);
    ft_stop_set(false);
    return st;
}

static void cut_in_eight(bool lora)
{
    double loss[2][64];
    float *w[2];
    size_t n[2];
    for (int k = 0; k < 2; k++) {
        const char *dir = ft_test_dir();
        ft_model *m = fresh_model(dir, lora);
        ft_train_options o = options(dir);
        seen s = {0};
        o.micro_batch_size = k ? 1 : 8;
        o.gradient_accumulation_steps = k ? 8 : 1;
        ck_assert_ok(run(m, &o, &s, NULL));
        memcpy(loss[k], s.loss, sizeof loss[k]);
        w[k] = weights(m, &n[k]);
        ft_model_free(m);
    }
    for (int i = 0; i < 12; i++)
        ck_assert_double_eq_tol(loss[0][i], loss[1][i], 1e-4 * loss[0][i]);
    ck_assert_double_lt(loss[0][11], (lora ? 0.99 : 0.7) * loss[0][0]);
    ck_assert_uint_eq(n[0], n[1]);
    ft_free(w[0]);
    ft_free(w[1]);
}

START_TEST(accumulation_never_changes_the_loss)
{
    cut_in_eight(false);
}
END_TEST

START_TEST(accumulation_never_changes_the_loss_with_dropout)
{
    cut_in_eight(true);
}
END_TEST

static void stop_and_resume(bool lora)
{
    const char *dir_a = ft_strdup(ft_test_dir()), *dir_b = ft_strdup(ft_test_dir());
    size_t n, k;
    seen s = {0};
    ft_model *m = fresh_model(dir_a, lora);
    ft_train_options o = options(dir_a);
    ck_assert_ok(run(m, &o, &s, NULL));
    float *undisturbed = weights(m, &n);
    ft_model_free(m);
    o.output_dir = dir_b;
    for (int stop_at = 2; stop_at <= 12; stop_at += 3) { /* 2, 5, 8 (where an evaluation is due), 11 */
        m = fresh_model(dir_b, lora);
        s = (seen){.stop_at = stop_at};
        ck_assert_fails(run(m, &o, &s, NULL), FT_ESTOPPED, "stopped at step");
        ck_assert_int_eq(s.steps, stop_at);
        ft_model_free(m);
        o.resume = true;
    }
    m = fresh_model(dir_b, lora);
    s = (seen){0};
    ck_assert_ok(run(m, &o, &s, NULL));
    float *resumed = weights(m, &k);
    ck_assert_uint_eq(n, k);
    ck_assert_mem_eq(undisturbed, resumed, n);
    ft_model_free(m);
    /* a finished run has nothing left to do and gives the same again */
    m = fresh_model(dir_b, lora);
    s = (seen){0};
    ck_assert_ok(run(m, &o, &s, NULL));
    ck_assert_int_eq(s.steps, 0);
    ft_free(resumed);
    resumed = weights(m, &k);
    ck_assert_mem_eq(undisturbed, resumed, n);
    ft_model_free(m);
    ft_free(undisturbed);
    ft_free(resumed);
    ft_free((char *)dir_a);
    ft_free((char *)dir_b);
}

START_TEST(resume_is_exact_for_all_weights)
{
    stop_and_resume(false);
}
END_TEST

START_TEST(resume_is_exact_for_an_adapter_with_dropout)
{
    stop_and_resume(true);
}
END_TEST

START_TEST(threads_do_not_change_a_bit)
{
    float *w[2];
    size_t n[2];
    for (int k = 0; k < 2; k++) {
        const char *dir = ft_test_dir();
        ft_threads_set(k ? 4 : 1);
        ft_model *m = fresh_model(dir, true);
        ft_train_options o = options(dir);
        seen s = {0};
        ck_assert_ok(run(m, &o, &s, NULL));
        w[k] = weights(m, &n[k]);
        ft_model_free(m);
    }
    ft_threads_set(0);
    ck_assert_uint_eq(n[0], n[1]);
    ck_assert_mem_eq(w[0], w[1], n[0]);
    ft_free(w[0]);
    ft_free(w[1]);
}
END_TEST

START_TEST(checkpointing_does_not_change_a_bit)
{
    static const int64_t blocks[] = {0, 1, FT_ALL_BLOCKS};
    float *w[3];
    size_t n[3];
    for (int k = 0; k < 3; k++) {
        const char *dir = ft_test_dir();
        ft_model *m = fresh_model(dir, true);
        ft_train_options o = options(dir);
        seen s = {0};
        o.gradient_checkpointing = blocks[k];
        ck_assert_ok(run(m, &o, &s, NULL));
        w[k] = weights(m, &n[k]);
        ft_model_free(m);
    }
    for (int k = 1; k < 3; k++) {
        ck_assert_mem_eq(w[0], w[k], n[0]);
        ft_free(w[k]);
    }
    ft_free(w[0]);
}
END_TEST

/* Steps of many lengths: the arena was sized by a dry one, so only the first step may still ask for memory. */
START_TEST(a_step_allocates_nothing)
{
    for (int k = 0; k < 4; k++) {
        ft_rows rows = make_rows();
        const char *dir = ft_test_dir();
        ft_model *m = fresh_model(dir, k % 2 == 0);
        ft_train_options o = options(dir);
        o.activations = k < 2 ? NULL : &ft_bf16;
        ft_stepper *s;
        ft_step done;
        ck_assert_ok(ft_stepper_new(&s, m, &rows, &o));
        ck_assert_ok(ft_stepper_run(s, 0, &done));
        uint64_t before = ft_alloc_count();
        for (int64_t step = 1; step < 12; step++)
            ck_assert_ok(ft_stepper_run(s, step, &done));
        ck_assert_uint_eq(ft_alloc_count(), before);
        ft_stepper_free(s);
        ft_model_free(m);
    }
}
END_TEST

START_TEST(what_a_run_takes_is_known_before_it)
{
    size_t activations[5];
    for (int k = 0; k < 5; k++) {
        static const int64_t blocks[] = {0, 1, FT_ALL_BLOCKS, 0, 1};
        ft_rows rows = make_rows();
        const char *dir = ft_test_dir();
        ft_model *m = fresh_model(dir, true);
        ft_train_options o = options(dir);
        ft_train_needs needs;
        ft_stepper *s;
        ft_step done;
        double tokens = 0;
        o.gradient_checkpointing = blocks[k];
        o.activations = k < 3 ? &ft_f32 : &ft_bf16;
        ck_assert_ok(ft_train_measure(&needs, m, &rows, &o));
        ck_assert_int_eq(needs.steps, 12);
        ck_assert_uint_eq(needs.moment_bytes, 2 * needs.gradient_bytes);
        ck_assert_uint_eq(needs.adapter_bytes, needs.gradient_bytes);
        ck_assert_ok(ft_stepper_new(&s, m, &rows, &o));
        ft_tape_stats dry = ft_tape_stats_of(ft_stepper_tape(s));
        for (int64_t step = 0; step < 12; step++) {
            ck_assert_ok(ft_stepper_run(s, step, &done));
            tokens += (double)done.tokens;
        }
        ft_tape_stats real = ft_tape_stats_of(ft_stepper_tape(s));
        ck_assert_uint_eq(needs.activation_bytes, real.kept_bytes);
        ck_assert_uint_eq(dry.peak_bytes, real.peak_bytes);
        ck_assert_uint_eq(needs.logits_bytes, real.logits_bytes);
        ck_assert_double_eq(needs.tokens, tokens);
        activations[k] = needs.activation_bytes;
        ft_stepper_free(s);
        ft_model_free(m);
    }
    ck_assert_uint_gt(activations[0], activations[1]);
    ck_assert_uint_ge(activations[1], activations[2]);
    ck_assert_uint_lt(activations[3], activations[0]);
    ck_assert_uint_le(activations[4], activations[1]); /* the second run of a block keeps f32 */
}
END_TEST

/* The outline of a config.json has the shapes of the model that would be made of it, and no memory. */
START_TEST(an_outline_needs_what_the_model_needs)
{
    ft_rows rows = make_rows();
    const char *dir = ft_test_dir();
    ft_model *m = fresh_model(dir, false), *outline;
    ft_train_options o = options(dir);
    ft_train_needs real, dry;
    ck_assert_ok(ft_model_outline(&outline, ft_test_path(dir, "config.json"), &(ft_model_options){.trainable = true}));
    ck_assert_ok(ft_train_measure(&real, m, &rows, &o));
    ck_assert_ok(ft_train_measure(&dry, outline, &rows, &o));
    ck_assert_uint_eq(real.weight_bytes, dry.weight_bytes);
    ck_assert_uint_eq(real.weight_bytes, real.gradient_bytes);
    ck_assert_uint_eq(real.activation_bytes, dry.activation_bytes);
    ck_assert_uint_eq(real.temporary_bytes, dry.temporary_bytes);
    ck_assert_uint_eq(real.buffer_bytes, dry.buffer_bytes);
    ft_model_free(outline);
    ft_model_free(m);
}
END_TEST

static char note[200];

static void take_note(void *ctx, ft_note_level level, const char *text)
{
    snprintf(note, sizeof note, "%s", text);
}

/* Three runs: f32, bf16, and bf16 on a CPU path that has none, which says so and computes in f32. */
START_TEST(compute_in_bf16_is_another_run_or_says_that_it_is_not)
{
    bool here = ft_engine_compute(ft_engine_of(FT_COMPUTE_BF16)) == FT_COMPUTE_BF16;
    double loss[3];
    ft_note_sink(take_note, NULL);
    for (int k = 0; k < 3; k++) {
        const char *dir = ft_test_dir();
        ft_model *m = fresh_model(dir, false);
        ft_train_options o = options(dir);
        seen s = {0};
        o.compute = k ? FT_COMPUTE_BF16 : FT_COMPUTE_F32;
        note[0] = 0;
        ft_kernels_use(k == 2 ? ft_kernel_paths[0] : NULL);
        ck_assert_ok(run(m, &o, &s, NULL));
        ck_assert_int_eq(strstr(note, "f32 is used") != NULL, k == 2 || (k == 1 && !here));
        loss[k] = s.loss[11];
        ft_model_free(m);
    }
    ft_kernels_use(NULL);
    ck_assert_double_eq_tol(loss[2], loss[0], 1e-4 * loss[0]);
    ck_assert_double_eq_tol(loss[1], loss[0], 0.05 * loss[0]);
    ck_assert_msg((loss[1] != loss[0]) == here, "bf16 %s", here ? "changes nothing" : "changes something");
}
END_TEST

START_TEST(a_loss_that_is_no_number_stops_the_run)
{
    const char *dir = ft_test_dir();
    ft_model *m = fresh_model(dir, false);
    ft_train_options o = options(dir);
    seen s = {0};
    o.learning_rate = 1e38;
    o.max_grad_norm = 0;
    o.schedule = ft_schedule_named("constant");
    ck_assert_fails(run(m, &o, &s, NULL), FT_ENUMERIC, "not finite");
    ck_assert_ptr_nonnull(strstr(ft_error(), "learning_rate"));
    ft_model_free(m);
}
END_TEST

START_TEST(patience_ends_the_run_and_the_best_weights_stay)
{
    const char *dir = ft_test_dir();
    ft_model *m = fresh_model(dir, false);
    ft_train_options o = options(dir);
    ft_train_result result;
    seen s = {0};
    o.max_steps = 60;
    o.learning_rate = 3; /* far too high: nothing improves on an early evaluation */
    o.max_grad_norm = 0;
    o.schedule = ft_schedule_named("constant");
    o.eval_steps = 1;
    o.early_stopping_patience = 3;
    ck_assert_ok(run(m, &o, &s, &result));
    ck_assert(result.stopped_early);
    ck_assert_int_lt(result.steps, 60);
    ck_assert_int_eq(result.steps, result.best_step + 3);
    ft_rows rows = make_rows();
    ft_scores scores;
    const ft_metric *loss = ft_metric_named("loss");
    ft_score_options so = {.metrics = &loss, .n_metrics = 1};
    rows.n = 5;
    ck_assert_ok(ft_score(&scores, m, NULL, &rows, &so));
    ck_assert_double_eq_tol(ft_scores_get(&scores, "loss", NAN), result.best_score, 1e-9);
    ft_model_free(m);
}
END_TEST

static void flip_byte(const char *path, long from_end)
{
    FILE *f = fopen(path, "r+b");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fseek(f, -from_end, SEEK_END), 0);
    int c = fgetc(f);
    fseek(f, -from_end, SEEK_END);
    fputc(c ^ 0x10, f);
    fclose(f);
}

START_TEST(a_damaged_checkpoint_is_named_and_the_one_before_offered)
{
    const char *dir = ft_test_dir();
    ft_model *m = fresh_model(dir, true);
    ft_train_options o = options(dir);
    seen s = {.stop_at = 8};
    ck_assert_fails(run(m, &o, &s, NULL), FT_ESTOPPED, "step 8");
    char *path = NULL;
    ck_assert_ok(ft_checkpoint_find(&path, dir, "last"));
    flip_byte(path, 700);
    o.resume = true;
    s = (seen){0};
    ck_assert_fails(run(m, &o, &s, NULL), FT_EFORMAT, "step-8.h5");
    ck_assert_ptr_nonnull(strstr(ft_error(), "step-6.h5 before it is whole"));
    /* what the message says to type works */
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_ok(run(m, &o, &s, NULL));
    ft_free(path);
    ft_model_free(m);
}
END_TEST

START_TEST(another_recipe_is_refused_with_the_difference)
{
    const char *dir = ft_test_dir();
    ft_model *m = fresh_model(dir, true);
    ft_train_options o = options(dir);
    seen s = {.stop_at = 4};
    ck_assert_fails(run(m, &o, &s, NULL), FT_ESTOPPED, "step 4");
    o.resume = true;
    o.recipe_hash++;
    o.recipe_text = "learning_rate: 0.02\n";
    ck_assert_fails(run(m, &o, &s, NULL), FT_EINPUT, "- learning_rate: 0.01");
    ck_assert_ptr_nonnull(strstr(ft_error(), "+ learning_rate: 0.02"));
    ft_model_free(m);
}
END_TEST

/* One part of what a run stands on is changed between two calls: rows, rows that choose, base. */
START_TEST(other_rows_or_another_base_are_refused_by_name)
{
    static const char *const said[] = {"the rows to train on\n", "the rows that choose the best checkpoint\n",
                                       "the rows to train on, the rows that choose", "the weights of the base model\n"};
    for (int part = 0; part < 4; part++) {
        const char *dir = ft_test_dir();
        ft_model *m = fresh_model(dir, true);
        ft_train_options o = options(dir);
        ft_train_result result;
        seen s = {.stop_at = 4};
        ft_rows rows = make_rows(), eval = {.p = row_list, .n = 5};
        ck_assert_int_eq(ft_train(&result, m, NULL, &rows, &eval, &o, watch, &s), FT_ESTOPPED);
        ft_stop_set(false);
        ft_model_free(m);
        m = fresh_model(dir, true);
        if (part == 0)
            mask[ROWS - 1][2] ^= 1;
        if (part == 1)
            eval.n = 4;
        if (part == 2)
            ids[1][3]++;
        ft_param *frozen = ft_model_at(m, 3);
        if (part == 3)
            ((float *)frozen->t.data)[ft_tensor_count(&frozen->t) - 1] += 1e-3f;
        o.resume = true;
        ck_assert_fails(ft_train(&result, m, NULL, &rows, &eval, &o, watch, &s), FT_EINPUT, said[part]);
        ft_model_free(m);
    }
}
END_TEST

START_TEST(old_checkpoints_go_and_best_stays)
{
    const char *dir = ft_test_dir();
    ft_model *m = fresh_model(dir, true);
    ft_train_options o = options(dir);
    seen s = {0};
    o.save_steps = 1;
    o.save_total_limit = 2;
    ck_assert_ok(run(m, &o, &s, NULL));
    ft_names names;
    char *best = NULL, *last = NULL;
    ck_assert_ok(ft_list_dir(&names, ft_test_path(dir, "checkpoints"), ".h5"));
    ck_assert_uint_le(names.n, 3);
    ck_assert_ok(ft_checkpoint_find(&best, dir, "best"));
    ck_assert_ok(ft_checkpoint_find(&last, dir, "last"));
    ck_assert(ft_exists(best) && ft_ends(last, "step-12.h5"));
    ft_names_free(&names);
    ft_free(best);
    ft_free(last);
    ft_model_free(m);
}
END_TEST

START_TEST(a_write_that_fails_leaves_the_earlier_checkpoints)
{
    const char *dir = ft_test_dir();
    ft_model *m = fresh_model(dir, true);
    ft_train_options o = options(dir);
    seen s = {.stop_at = 4};
    ck_assert_fails(run(m, &o, &s, NULL), FT_ESTOPPED, "step 4");
    ck_assert_int_eq(mkdir(ft_test_path(dir, "checkpoints/step-6.h5"), 0777), 0); /* nothing can be renamed to it */
    o.resume = true;
    s = (seen){0};
    ft_status st = run(m, &o, &s, NULL);
    ck_assert_int_ne(st, FT_OK);
    ck_assert_ptr_nonnull(strstr(ft_error(), "step-6.h5"));
    ck_assert_int_eq(rmdir(ft_test_path(dir, "checkpoints/step-6.h5")), 0);
    ck_assert_ok(run(m, &o, &s, NULL));
    ft_model_free(m);
}
END_TEST

START_TEST(schedules_have_their_known_values)
{
    const ft_schedule *cosine = ft_schedule_named("cosine"), *linear = ft_schedule_named("linear");
    ck_assert_double_eq_tol(cosine->factor(10, 110, 10, 0), 1, 1e-12);
    ck_assert_double_eq_tol(cosine->factor(60, 110, 10, 0), 0.5, 1e-12);
    ck_assert_double_eq_tol(cosine->factor(110, 110, 10, 0.1), 0.1, 1e-12);
    ck_assert_double_eq_tol(linear->factor(60, 110, 10, 0), 0.5, 1e-12);
    ck_assert_double_eq_tol(linear->factor(4, 110, 9, 0), 0.5, 1e-12);
    ck_assert_double_eq(ft_schedule_named("constant")->factor(0, 10, 5, 0), 1);
    ck_assert_double_eq_tol(ft_schedule_named("constant_with_warmup")->factor(0, 10, 3, 0), 0.25, 1e-12);
    ck_assert_ptr_null(ft_schedule_named("exponential"));
}
END_TEST

int main(void)
{
    FT_TESTS("train", accumulation_never_changes_the_loss, accumulation_never_changes_the_loss_with_dropout, resume_is_exact_for_all_weights,
             resume_is_exact_for_an_adapter_with_dropout, threads_do_not_change_a_bit, checkpointing_does_not_change_a_bit,
             compute_in_bf16_is_another_run_or_says_that_it_is_not,
             a_step_allocates_nothing, what_a_run_takes_is_known_before_it, an_outline_needs_what_the_model_needs,
             a_loss_that_is_no_number_stops_the_run, patience_ends_the_run_and_the_best_weights_stay,
             a_damaged_checkpoint_is_named_and_the_one_before_offered, another_recipe_is_refused_with_the_difference,
             other_rows_or_another_base_are_refused_by_name,
             old_checkpoints_go_and_best_stays, a_write_that_fails_leaves_the_earlier_checkpoints,
             schedules_have_their_known_values);
}
