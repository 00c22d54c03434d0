/* fettle plan: memory, disk and time of a recipe, before it runs.
 *
 * Memory is that of dry steps over the model's outline. Time is that of a few real steps, which need the memory that a run
 * needs: they are left out where it does not fit.
 */
#include "cmd/forecast.h"

enum { MOST_LABELS = 20 };

typedef struct probe {
    double tokens_per_s, train_s, score_s;
} probe;

/* Steps spread over the run. */
static ft_status time_steps(double *tokens_per_s, ft_stepper *s, const ft_train_needs *needs, int64_t steps)
{
    ft_step done;
    double tokens = 0, begun = ft_now_s();
    for (int64_t i = 0; i < steps; i++) {
        FT_RETURN(ft_stepper_run(s, needs->steps * i / steps, &done));
        tokens += (double)done.tokens;
    }
    *tokens_per_s = tokens / (ft_now_s() - begun);
    return FT_OK;
}

/* After one that warms up. With a prefix cache the same steps once more, from what the first time left in it: so run all
 * epochs but the first. */
static ft_status probe_steps(probe *p, ft_job *j, const ft_train_needs *needs, int64_t steps)
{
    ft_stepper *s = NULL;
    ft_step done;
    double first = needs->tokens, rate, later;
    ft_status st = FT_OK;
    FT_TRY(ft_stepper_new(&s, j->model, &j->train_rows, &j->plan.train_options));
    FT_TRY(ft_stepper_run(s, 0, &done));
    if (needs->prefix_place != FT_PREFIX_OFF) {
        first *= FT_MIN(1.0, (double)ft_stepper_steps_per_epoch(s) / (double)needs->steps);
        FT_TRY(ft_stepper_keep_states(s));
    }
    FT_TRY(time_steps(&rate, s, needs, steps));
    later = rate;
    if (needs->prefix_place != FT_PREFIX_OFF)
        FT_TRY(time_steps(&later, s, needs, steps));
    p->train_s = first / rate + (needs->tokens - first) / later;
    p->tokens_per_s = needs->tokens / p->train_s;
done:
    ft_stepper_free(s);
    return st;
}

static int64_t evaluations(const ft_job *j, int64_t steps)
{
    const ft_train_options *o = &j->plan.train_options;
    int64_t rows = o->micro_batch_size * o->gradient_accumulation_steps;
    int64_t epoch = ((int64_t)j->train_rows.n + rows - 1) / rows, every = o->eval_steps > 0 ? o->eval_steps : epoch;
    return (steps + every - 1) / every;
}

/* Tokens that the answers of rows have, on average. */
static int64_t answer_tokens(const ft_rows *rows)
{
    int64_t n = 0;
    for (size_t r = 0; r < rows->n; r++)
        for (int32_t i = 0; i < rows->p[r].n; i++)
            n += rows->p[r].mask && rows->p[r].mask[i];
    return n / (int64_t)rows->n + 1;
}

/* Batches of rows, for all rows of all evaluations: before, during, after and of each shipped model. Before training
 * answers run on to the limit, as they do here; a tuned model's are taken to be as long as those of the rows. */
static ft_status probe_scores(probe *p, ft_job *j, const ft_train_needs *needs)
{
    ft_score_options o = j->plan.train_options.score;
    const ft_rows *choosing = ft_job_choosing(j), *scored = ft_job_scored(j);
    ft_scores before, tuned;
    double files = 1;
    if (!scored)
        return FT_OK;
    o.max_rows = FT_MIN((size_t)64, scored->n);
    FT_RETURN(ft_score(&before, j->model, j->tok, scored, &o));
    tuned = before;
    if (!scored->vectors) {
        int64_t n = answer_tokens(scored);
        o.max_new_tokens = o.max_new_tokens ? FT_MIN(o.max_new_tokens, n) : n;
        FT_RETURN(ft_score(&tuned, j->model, j->tok, scored, &o));
    }
    for (size_t i = 0; i < j->plan.n_exports; i++)
        files += ft_plan_scores(&j->plan.exports[i]);
    double rows = (double)evaluations(j, needs->steps) * (double)choosing->n + files * (double)scored->n;
    p->score_s = (before.seconds * (double)scored->n + tuned.seconds * rows) / (double)o.max_rows;
    return FT_OK;
}

static ft_status run_probe(probe *p, ft_job *j, const ft_train_needs *needs, int64_t steps)
{
    FT_RETURN(ft_job_fill(j));
    FT_RETURN(probe_scores(p, j, needs));
    return probe_steps(p, j, needs, steps);
}

static void put_memory(json_t *o, const ft_forecast *f)
{
    const ft_train_needs *n = &f->needs;
    json_t *m = ft_result_object(o, "memory");
    ft_result_int(m, "program_and_rows_bytes", (int64_t)f->program_bytes);
    ft_result_int(m, "weights_bytes", (int64_t)(n->weight_bytes + f->file_bytes - f->unread_bytes));
    ft_result_int(m, "adapter_bytes", (int64_t)n->adapter_bytes);
    ft_result_int(m, "gradients_bytes", (int64_t)n->gradient_bytes);
    ft_result_int(m, "moments_bytes", (int64_t)n->moment_bytes);
    ft_result_int(m, "activations_bytes", (int64_t)n->activation_bytes);
    ft_result_int(m, "temporaries_bytes", (int64_t)n->temporary_bytes);
    ft_result_int(m, "logits_bytes", (int64_t)n->logits_bytes);
    ft_result_int(m, "buffers_bytes", (int64_t)n->buffer_bytes);
    ft_result_int(m, "prefix_cache_bytes", n->prefix_place == FT_PREFIX_MEMORY ? (int64_t)n->prefix_bytes : 0);
    ft_result_int(m, "evaluation_bytes", (int64_t)f->score_bytes);
    ft_result_int(m, "shipped_model_bytes", (int64_t)f->shipped_bytes);
    ft_result_int(m, "peak_bytes", (int64_t)f->total_bytes);
    ft_result_int(m, "limit_bytes", (int64_t)f->limit_bytes);
}

static void put_run(json_t *o, const ft_forecast *f, const ft_job *j, const probe *p)
{
    const ft_train_options *t = &j->plan.train_options;
    int64_t layers = ft_model_config(j->model)->num_hidden_layers;
    ft_result_int(o, "steps", f->needs.steps);
    ft_result_real(o, "tokens", f->needs.tokens);
    ft_result_int(o, "micro_batch_size", t->micro_batch_size);
    ft_result_int(o, "gradient_accumulation_steps", t->gradient_accumulation_steps);
    ft_result_int(o, "checkpointed_blocks", FT_MIN(t->gradient_checkpointing, layers));
    ft_result_int(o, "disk_bytes", (int64_t)f->disk_bytes);
    ft_labeling_put(o, &j->labeling, MOST_LABELS);
    if (p->tokens_per_s > 0) {
        ft_result_real(o, "tokens_per_s", p->tokens_per_s);
        ft_result_real(o, "training_s", p->train_s);
        ft_result_real(o, "evaluation_s", p->score_s);
        ft_result_real(o, "hours", (p->train_s + p->score_s) / 3600);
    }
}

static ft_status does_not_fit(const ft_forecast *f, const ft_buf *remedy)
{
    char need[32], limit[32];
    ft_human_bytes((double)f->total_bytes, need);
    ft_human_bytes(f->limit_bytes, limit);
    if (remedy->n)
        return ft_fail(FT_EGATE, "the run needs %s, the limit is %s; the cheapest change that fits: %s", need, limit,
                       remedy->p);
    return ft_fail(FT_EGATE, "the run needs %s, the limit is %s; no change of the recipe alone would fit", need, limit);
}

static ft_status run(const ft_args *a)
{
    ft_job j = {.meter = ft_meter_new(false, false)};
    ft_forecast f;
    ft_buf remedy = {0};
    probe p = {0};
    json_t *o = NULL;
    bool fits;
    ft_status st = FT_OK;
    FT_TRY(ft_job_open(&j, a));
    if (ft_args_given(a, "ram-limit"))
        j.plan.ram_limit_bytes = 1e9 * ft_args_float(a, "ram-limit");
    FT_TRY(ft_job_data(&j));
    FT_TRY(ft_job_fit_metrics(&j));
    FT_TRY(ft_job_outline(&j));
    FT_TRY(ft_job_rows(&j));
    FT_TRY(ft_forecast_fit(&f, &j, true, &fits));
    if (!fits)
        FT_TRY(ft_forecast_remedy(&f, &j, true, &remedy));
    else if (ft_args_int(a, "probe"))
        FT_TRY(run_probe(&p, &j, &f.needs, ft_args_int(a, "probe")));
    o = json_object();
    put_run(o, &f, &j, &p);
    ft_result_bool(o, "fits", fits);
    if (remedy.n)
        ft_result_text(o, "change", remedy.p);
    put_memory(o, &f);
    st = ft_result_print(a, o);
    if (st == FT_OK && !fits)
        st = does_not_fit(&f, &remedy);
done:
    ft_buf_free(&remedy);
    ft_job_close(&j);
    return st;
}

static const ft_cmd_option options[] = {
    {"RECIPE", FT_ARG_FILE, .positional = true, .required = true, .help = "a recipe file (YAML)"},
    {"ram-limit", FT_ARG_FLOAT, .argument = "GB", .min = 0.001, .max = 1e6,
     .help = "memory the run may take, in GB (10^9 bytes); as the recipe's ram_limit"},
    {"probe", FT_ARG_INT, .argument = "N", .fallback = "3", .min = 0, .max = 1000,
     .help = "real steps to measure the time by; 0: none, and no time is told"},
    {"set", FT_ARG_TEXT, .argument = "KEY=VALUE", .repeats = true, .help = "set a key of the recipe"},
    {"json", FT_ARG_FLAG, .help = "print one JSON object instead of a table"},
    {0}};

const ft_cmd ft_cmd_plan = {
    .name = "plan",
    .summary = "tell memory, disk and time of a recipe before it runs",
    .about = "Reads data and shapes as train does, takes a dry step that allocates and computes nothing, and prints the "
             "memory by part. With a limit it chooses checkpointing and the micro-batch; a plan that does not fit ends "
             "with status 1 and the cheapest change that would. A few real steps tell the time. Nothing is written.",
    .options = options,
    .example = "fettle plan recipes/defects-lora.yaml\nfettle plan recipes/defects-lora.yaml --ram-limit 0.5 --probe 0",
    .run = run};
