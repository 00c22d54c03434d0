/* The loop on rows for vectors, with a tiny random encoder: every loss falls, for all weights and for an adapter; what
 * accumulation means; exact resume. */
#include "support/support.h"
#include "train/train.h"
#include "train/trained.h"

static const char config[] =
    "{\"model_type\": \"bert\", \"hidden_size\": 32, \"num_attention_heads\": 4, \"intermediate_size\": 40, "
    "\"num_hidden_layers\": 2, \"vocab_size\": 50, \"max_position_embeddings\": 16, \"initializer_range\": 0.1}";
enum { ROWS = 16, TEXTS = 3, LENGTH = 5 };
static int32_t ids[ROWS][TEXTS * LENGTH];
static const int32_t ends[] = {LENGTH, 2 * LENGTH, 3 * LENGTH};
static uint8_t mask[TEXTS * LENGTH];
static int64_t numbers[ROWS][TEXTS];
static ft_row row_list[ROWS];

/* An anchor, a positive that shares three of its five tokens, and a negative of other ones. */
static ft_rows make_rows(bool scored)
{
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i < LENGTH; i++) {
            ids[r][i] = (r * 3 + i * 11) % 50;
            ids[r][LENGTH + i] = i < 3 ? ids[r][i] : (r * 7 + i * 5 + 1) % 50;
            ids[r][2 * LENGTH + i] = (r * 5 + i * 17 + 9) % 50;
        }
        for (int k = 0; k < TEXTS; k++)
            numbers[r][k] = r * TEXTS + k;
        row_list[r] = (ft_row){.ids = ids[r], .mask = mask, .n = (scored ? 2 : 3) * LENGTH, .texts = scored ? 2 : 3, .ends = ends,
                               .number = numbers[r], .score = (float)(r % 3) / 2};
    }
    return (ft_rows){.p = row_list, .n = ROWS, .supervised = ROWS, .vectors = true, .scored = scored, .different = ROWS * TEXTS};
}

static ft_model *fresh_model(const char *dir, bool lora)
{
    static const char *const targets[] = {"all-linear"};
    ft_model *m;
    const char *path = ft_test_path(dir, "config.json");
    ck_assert_ok(ft_write_file(path, config, strlen(config)));
    ck_assert_ok(ft_model_init(&m, path, 4));
    ck_assert_ok(ft_model_set_pooling(m, &(ft_pooling){.kind = FT_POOL_MEAN, .normalize = true}));
    ft_adapter_spec spec = {.kind = "lora", .r = 4, .alpha = 16, .target_modules = targets, .n_targets = 1, .seed = 2};
    if (lora)
        ck_assert_ok(ft_adapter_attach(m, &spec));
    return m;
}

static ft_train_options options(const char *dir, const char *loss)
{
    const ft_vector_loss *l = ft_vector_loss_named(loss);
    return (ft_train_options){.output_dir = dir, .seed = 3, .recipe_hash = 7, .recipe_text = "loss\n", .max_steps = 24,
                              .micro_batch_size = 8, .gradient_accumulation_steps = 1,
                              .optimizer = ft_optimizer_named("adamw"),
                              .optimizer_options = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
                              .learning_rate = 3e-3, .schedule = ft_schedule_named("constant"), .max_grad_norm = 1,
                              .save_steps = 6, .eval_steps = 1000, .logging_steps = 1,
                              .objective = {.loss = l, .scale = l->scale, .margin = 0.5}};
}

typedef struct seen {
    double loss[32];
    int64_t stop_at;
} seen;

static void watch(void *ctx, const ft_train_event *e)
{
    seen *s = ctx;
    if (e->kind != FT_EVENT_STEP)
        return;
    s->loss[e->step - 1] = e->loss;
    if (s->stop_at && e->step == s->stop_at)
        ft_stop_set(true);
}

static ft_status run(ft_model *m, const ft_train_options *o, seen *s)
{
    ft_rows rows = make_rows(o->objective.loss->scored);
    ft_train_result result;
    ft_status st = ft_train(&result, m, NULL, &rows, NULL, o, watch, s);
    ft_stop_set(false);
    return st;
}

START_TEST(every_loss_falls)
{
    for (size_t i = 0; ft_vector_losses[i]; i++)
        for (int lora = 0; lora < 2; lora++) {
            const char *dir = ft_test_dir();
            ft_model *m = fresh_model(dir, lora);
            ft_train_options o = options(dir, ft_vector_losses[i]->name);
            seen s = {0};
            ck_assert_ok(run(m, &o, &s));
            double before = s.loss[0] + s.loss[1], after = s.loss[22] + s.loss[23];
            ck_assert_msg(after < 0.8 * before, "%s, lora %d: %g after %g", ft_vector_losses[i]->name, lora, after, before);
            ft_model_free(m);
        }
}
END_TEST

/* The loss of the first step, of 8 rows in micro-batches of so many. */
static double first_loss(const char *loss, int64_t micro_batch_size)
{
    const char *dir = ft_test_dir();
    ft_model *m = fresh_model(dir, false);
    ft_train_options o = options(dir, loss);
    seen s = {0};
    o.max_steps = 1;
    o.micro_batch_size = micro_batch_size;
    o.gradient_accumulation_steps = 8 / micro_batch_size;
    ck_assert_ok(run(m, &o, &s));
    ft_model_free(m);
    return s.loss[0];
}

START_TEST(accumulation_changes_only_losses_that_compare_rows_of_a_batch)
{
    for (size_t i = 0; ft_vector_losses[i]; i++) {
        const ft_vector_loss *l = ft_vector_losses[i];
        double whole = first_loss(l->name, 8), halves = first_loss(l->name, 4);
        ck_assert_msg((fabs(whole - halves) < 1e-5 * whole) == !l->in_batch, "%s: %g in one, %g in two", l->name, whole, halves);
    }
}
END_TEST

START_TEST(resume_is_exact)
{
    const char *dir = ft_test_dir(), *other = ft_test_dir();
    size_t n, k;
    seen s = {0};
    ft_model *m = fresh_model(dir, true);
    ft_train_options o = options(dir, "infonce");
    ck_assert_ok(run(m, &o, &s));
    float *undisturbed = weights(m, &n);
    ft_model_free(m);
    o.output_dir = other;
    s = (seen){.stop_at = 7};
    m = fresh_model(dir, true);
    ck_assert_fails(run(m, &o, &s), FT_ESTOPPED, "stopped at step");
    ft_model_free(m);
    o.resume = true;
    s = (seen){0};
    m = fresh_model(dir, true);
    ck_assert_ok(run(m, &o, &s));
    float *resumed = weights(m, &k);
    ck_assert_uint_eq(n, k);
    ck_assert_mem_eq(undisturbed, resumed, n);
    ft_model_free(m);
    ft_free(undisturbed);
    ft_free(resumed);
}
END_TEST

START_TEST(a_dry_step_tells_what_a_step_takes)
{
    const char *dir = ft_test_dir();
    ft_model *m = fresh_model(dir, true);
    ft_train_options o = options(dir, "infonce");
    ft_rows rows = make_rows(false);
    ft_train_needs needs;
    ck_assert_ok(ft_train_measure(&needs, m, &rows, &o));
    ck_assert_uint_gt(needs.activation_bytes, 8 * 3 * LENGTH * 32 * sizeof(float));
    ck_assert_double_eq(needs.tokens, 24.0 * 8 * 3 * LENGTH);
    rows.vectors = false;
    ck_assert_fails(ft_train_measure(&needs, m, &rows, &o), FT_EINPUT, "rows of another kind");
    ft_model_free(m);
}
END_TEST

int main(void)
{
    FT_TESTS("train/vectors", every_loss_falls, accumulation_changes_only_losses_that_compare_rows_of_a_batch, resume_is_exact,
             a_dry_step_tells_what_a_step_takes);
}
