/* fettle train: recipe -> rows -> model -> score of the base -> training -> score -> files -> their scores.
 *
 * The run folder is complete when results.json stands in it: it is written last. Until then --resume goes on from the
 * last checkpoint; the scores of the base are kept beside it.
 */
#include "cmd/base_scores.h"
#include "cmd/forecast.h"
#include "cmd/runfolder.h"

#include <math.h>
#include <string.h>

typedef struct session {
    const ft_args *args;
    ft_job job;
    ft_outcome outcome;
    ft_train_result result;
    ft_lock lock;
} session;

/* ---- before ---- */

/* Checkpointing where memory would not do otherwise; a ram_limit that cannot be kept ends the run here. */
static ft_status fit_memory(ft_job *j)
{
    ft_forecast f;
    ft_buf remedy = {0};
    char need[32], limit[32];
    bool fits;
    FT_RETURN(ft_forecast_fit(&f, j, false, &fits));
    if (fits)
        return FT_OK;
    ft_human_bytes((double)f.total_bytes, need);
    ft_human_bytes(f.limit_bytes, limit);
    if (j->plan.ram_limit_bytes <= 0) {
        ft_note(FT_WARN, "the run needs about %s of memory, four fifths of the machine's are %s", need, limit);
        return FT_OK;
    }
    ft_status st = ft_forecast_remedy(&f, j, false, &remedy);
    if (st == FT_OK)
        st = ft_fail(FT_EINPUT, "%s: ram_limit: the run needs about %s, the limit is %s%s%s",
                     ft_recipe_place(j->plan.recipe, "ram_limit", 0), need, limit,
                     remedy.n ? "; the cheapest change that fits: " : "", remedy.n ? remedy.p : "");
    ft_buf_free(&remedy);
    return st;
}

static void say_rows(const char *what, const ft_rows *r)
{
    char tokens[32];
    if (r->vectors)
        ft_say("%s: %zu rows of %lld different texts, %s tokens", what, r->n, (long long)r->different,
               ft_human_count((double)r->tokens, tokens));
    else
        ft_say("%s: %zu rows, %s tokens, %.0f%% supervised", what, r->n, ft_human_count((double)r->tokens, tokens),
               r->tokens ? 100.0 * (double)r->supervised / (double)r->tokens : 0);
    if (r->merged_border)
        ft_say("%s: %lld rows whose prompt and answer share a token were split before it", what,
               (long long)r->merged_border);
}

static void say_model(const ft_job *j)
{
    double all = 0, trained = 0;
    char a[32], b[32];
    for (size_t i = 0; i < ft_model_count(j->model); i++)
        all += (double)ft_tensor_count(&ft_model_at(j->model, i)->t);
    for (size_t i = 0; i < ft_model_trainable_count(j->model); i++)
        trained += (double)ft_tensor_count(&ft_model_trainable(j->model, i)->t);
    ft_say("model: %s parameters, %s of them to train%s", ft_human_count(all, a), ft_human_count(trained, b),
           j->plan.quantize_base ? " (qlora)" : j->plan.has_adapter ? " (lora)" : "");
}

/* What an export cannot hold of the adapter is better known now than when the training is done. */
static ft_status check_exports(const ft_job *j)
{
    const ft_plan *p = &j->plan;
    for (size_t i = 0; i < p->n_exports; i++)
        FT_RETURN(ft_context(ft_exporter_check_adapter(p->exports[i].exporter, j->model), "%s: export",
                             ft_recipe_place(p->recipe, "export.format", i)));
    return FT_OK;
}

static ft_status set_up(session *s)
{
    ft_job *j = &s->job;
    char line[512];
    FT_RETURN(ft_job_data(j));
    FT_RETURN(ft_job_fit_metrics(j));
    FT_RETURN(ft_job_model(j, true));
    FT_RETURN(check_exports(j));
    FT_RETURN(ft_job_rows(j));
    FT_RETURN(fit_memory(j));
    if (!j->meter.json) {
        say_rows("train", &j->train_rows);
        if (j->val_rows.n)
            say_rows("val", &j->val_rows);
        if (j->test_rows.n)
            say_rows("test", &j->test_rows);
        if (j->labeling.labels.n)
            ft_say("labels: %s", ft_labeling_line(&j->labeling, line));
        if (!ft_job_scored(j))
            ft_say("no val_datasets, test_datasets or val_set_size: nothing is scored, the last weights are kept");
        say_model(j);
    }
    return FT_OK;
}

/* ---- after ---- */

/* What the run folder itself is opened by: adapter/ or, after a full fine-tune, model/ in f32. */
static ft_status write_weights(session *s)
{
    ft_job *j = &s->job;
    const char *name = j->plan.has_adapter ? "adapter" : "model";
    char *path = ft_path_join(j->plan.output_dir, name);
    const ft_exporter *e = ft_exporter_named(j->plan.has_adapter ? "peft" : "hf");
    ft_export_request r = {.model = j->model,
                           .tokenizer = j->tok,
                           .chat = j->chat,
                           .path = path,
                           .dtype = j->plan.has_adapter ? NULL : &ft_f32,
                           .name = j->plan.name,
                           .base_name = j->plan.base_model,
                           .progress = ft_meter_part,
                           .ctx = &j->meter};
    ft_meter_label(&j->meter, path);
    ft_status st = path ? e->write(&r) : FT_ENOMEM;
    ft_free(path);
    return st;
}

static ft_status write_labels(const session *s)
{
    char *path = ft_path_join(s->job.plan.output_dir, ft_labeling_file);
    ft_status st = path ? ft_labeling_write(&s->job.labeling, path) : FT_ENOMEM;
    ft_free(path);
    return st;
}

static ft_status ship(session *s)
{
    ft_plan *p = &s->job.plan;
    char *own = ft_path_join(p->output_dir, "adapter");
    ft_status st = own ? FT_OK : FT_ENOMEM;
    for (size_t i = 0; st == FT_OK && i < p->n_exports; i++) {
        bool written = p->exports[i].exporter->needs_adapter && strcmp(p->exports[i].path, own) == 0;
        if (!written)
            st = ft_outcome_ship(&s->outcome, &s->job, &p->exports[i]);
    }
    ft_free(own);
    return st;
}

static ft_status put_files(ft_buf *out, const session *s)
{
    const ft_plan *p = &s->job.plan;
    size_t n = strlen(p->output_dir);
    FT_RETURN(ft_buf_printf(out, "\n%s\n  %s\n", p->output_dir, p->has_adapter ? "adapter/" : "model/"));
    if (p->has_labels)
        FT_RETURN(ft_buf_printf(out, "  %s\n", ft_labeling_file));
    for (size_t i = 0; i < p->n_exports; i++) {
        const char *path = p->exports[i].path;
        bool inside = ft_starts(path, p->output_dir) && path[n] == '/';
        if (ft_plan_scores(&p->exports[i]))
            FT_RETURN(ft_buf_printf(out, "  %s\n", inside ? path + n + 1 : path));
    }
    return ft_buf_puts(out, "  report.html, results.json, log.jsonl\n");
}

/* Prompts with completions are pairs only where a metric says so. */
static const char *vector_metrics(const ft_plan *p)
{
    const ft_vector_loss *loss = p->train_options.objective.loss;
    return !loss ? "" : loss->scored ? " --metrics spearman" : " --metrics recall@1,recall@10,mrr";
}

static ft_status put_next(ft_buf *out, const session *s)
{
    const ft_plan *p = &s->job.plan;
    bool chats = s->job.train.examples[0].kind == FT_CHAT;
    const char *data = p->n_test ? p->test[0].path : p->n_val ? p->val[0].path : NULL;
    if (p->rows.vectors)
        FT_RETURN(ft_buf_printf(out, "\nnext:\n  fettle embed %s --query --text 'TEXT'\n", p->output_dir));
    else if (p->has_labels)
        FT_RETURN(ft_buf_printf(out, "\nnext:\n  fettle generate %s --labels %s%s --prompt 'TEXT'\n", p->output_dir,
                                p->output_dir, chats ? " --chat" : ""));
    else
        FT_RETURN(ft_buf_printf(out, "\nnext:\n  fettle %s %s%s\n", chats ? "chat" : "generate", p->output_dir,
                            chats ? "" : " --prompt 'TEXT'"));
    if (data)
        FT_RETURN(ft_buf_printf(out, "  fettle eval %s --data %s%s\n", p->output_dir, data, vector_metrics(p)));
    return ft_buf_printf(out, "  fettle export %s --format gguf --quant q8_0 --out %s.gguf\n", p->output_dir, p->name);
}

static ft_status put_text_result(const session *s)
{
    ft_buf out = {0};
    char bytes[32], spent[32];
    ft_status st = FT_OK;
    if (s->outcome.n) {
        FT_TRY(ft_buf_putc(&out, '\n'));
        FT_TRY(ft_report_table(&out, s->outcome.columns, s->outcome.n));
    }
    FT_TRY(put_files(&out, s));
    FT_TRY(ft_buf_printf(&out, "\n%lld steps in %s, highest memory %s\n", (long long)s->result.steps,
                         ft_human_seconds(s->result.seconds, spent),
                         ft_human_bytes((double)ft_peak_rss_bytes(), bytes)));
    FT_TRY(put_next(&out, s));
    st = ft_put(&out);
done:
    ft_buf_free(&out);
    return st;
}

static ft_status finish(session *s)
{
    ft_job *j = &s->job;
    FT_RETURN(ft_outcome_tuned(&s->outcome, j));
    FT_RETURN(write_weights(s));
    if (j->labeling.labels.n)
        FT_RETURN(write_labels(s));
    FT_RETURN(ship(s));
    FT_RETURN(ft_run_write_recipe(&j->plan));
    FT_RETURN(ft_outcome_write(&s->outcome, j, &s->result));
    if (j->meter.json) {
        json_t *o;
        FT_RETURN(ft_outcome_json(&o, &s->outcome, j, &s->result));
        ft_result_text(o, "event", "result");
        ft_result_line(o);
    } else {
        FT_RETURN(put_text_result(s));
    }
    return s->outcome.refused.n ? ft_fail(FT_EGATE, "%s", s->outcome.refused.p) : FT_OK;
}

/* ---- the whole ---- */

static ft_status score_base(session *s, bool resume)
{
    bool found = false;
    if (!ft_job_scored(&s->job))
        return FT_OK;
    if (resume)
        FT_RETURN(ft_base_scores_take(&s->outcome, &s->job, &found));
    if (found)
        return FT_OK;
    FT_RETURN(ft_outcome_base(&s->outcome, &s->job));
    return ft_base_scores_keep(&s->outcome, &s->job);
}

/* An old run goes only when nothing more can be wrong with the request for the new one. */
static ft_status work(session *s, bool resume)
{
    ft_job *j = &s->job;
    ft_train_options *o = &j->plan.train_options;
    FT_RETURN(set_up(s));
    if (ft_args_given(s->args, "overwrite"))
        FT_RETURN(ft_run_clear(j->plan.output_dir));
    if (!resume)
        FT_RETURN(ft_run_write_recipe(&j->plan));
    FT_RETURN(score_base(s, resume));
    o->resume = resume;
    o->score.progress = ft_meter_part;
    o->score.ctx = &j->meter;
    ft_meter_label(&j->meter, "eval");
    FT_RETURN(ft_train(&s->result, j->model, j->tok, &j->train_rows, ft_job_choosing(j), o, ft_meter_train, &j->meter));
    return finish(s);
}

/* How to go on, behind a message that a signal or a fault ended the run. */
static ft_status say_how_to_go_on(const session *s, ft_status st)
{
    char text[2048];
    snprintf(text, sizeof text, "%s", ft_error());
    return ft_fail(st, "%s\ntype: fettle train %s --resume%s", text, ft_args_text(s->args, "RECIPE"),
                   ft_args_given(s->args, "set") ? " (with the same --set)" : "");
}

static ft_status complete(const session *s)
{
    const char *dir = s->job.plan.output_dir;
    if (!s->job.meter.json) {
        ft_say("%s: this run is complete; its scores are in %s/results.json and report.html", dir, dir);
        return FT_OK;
    }
    json_t *o = json_object();
    ft_result_text(o, "event", "complete");
    ft_result_text(o, "output_dir", dir);
    ft_result_line(o);
    return FT_OK;
}

static ft_status run(const ft_args *a)
{
    session s = {.args = a, .lock = {.fd = -1}};
    ft_plan *p = &s.job.plan;
    bool resume = ft_args_given(a, "resume"), made = false;
    ft_status st = FT_OK;
    if (resume && ft_args_given(a, "overwrite"))
        return ft_fail(FT_EINPUT, "--resume and --overwrite exclude each other\ntype: fettle train --help");
    s.job.meter = ft_meter_new(ft_args_given(a, "json"), true);
    FT_TRY(ft_job_open(&s.job, a));
    made = !ft_exists(p->output_dir);
    FT_TRY(ft_mkdirs(p->output_dir));
    FT_TRY(ft_lock_dir(&s.lock, p->output_dir));
    FT_TRY(ft_run_prepare(p, ft_args_text(a, "RECIPE"), resume, ft_args_given(a, "overwrite")));
    if (resume && ft_run_state_of(p->output_dir) == FT_RUN_COMPLETE) {
        st = complete(&s);
        goto done;
    }
    FT_TRY(ft_run_check_places(p));
    ft_stop_on_signals();
    st = work(&s, resume);
    if (st == FT_ESTOPPED || (st != FT_OK && st != FT_EINPUT && ft_run_state_of(p->output_dir) == FT_RUN_BEGUN))
        st = say_how_to_go_on(&s, st);
done:
    if (st != FT_OK && made)
        ft_run_drop_empty(p->output_dir);
    ft_lock_release(&s.lock);
    ft_outcome_free(&s.outcome);
    ft_job_close(&s.job);
    return st;
}

static const ft_cmd_option options[] = {
    {"RECIPE", FT_ARG_FILE, .positional = true, .required = true,
     .help = "a recipe file (YAML); fettle recipe doc explains every key"},
    {"set", FT_ARG_TEXT, .argument = "KEY=VALUE", .repeats = true, .help = "set a key of the recipe"},
    {"resume", FT_ARG_FLAG, .help = "go on from the last checkpoint of the recipe's output_dir, exactly"},
    {"overwrite", FT_ARG_FLAG,
     .help = "begin anew where a run stands already: all that it wrote in its output_dir is removed"},
    {"json", FT_ARG_FLAG, .help = "progress as JSON, an object a line; the last one is the result"},
    {0}};

const ft_cmd ft_cmd_train = {
    .name = "train",
    .summary = "run a recipe: train, score, export, score what was exported",
    .about = "Reads a recipe and does all of it: checks the data, scores the base model, trains with checkpoints, "
             "scores the best weights, writes the adapter and every export, opens the exported files again and scores "
             "those too. All of it lies in the recipe's output_dir.\n\n"
             "Ctrl-C and SIGTERM finish the step, save and exit with 130; --resume then goes on to the same result, "
             "bit for bit.",
    .options = options,
    .example = "fettle train recipes/defects-lora.yaml\n"
               "fettle train recipes/defects-lora.yaml --set learning_rate=3e-4 --set output_dir=runs/lower\n"
               "fettle train recipes/defects-lora.yaml --resume",
    .run = run};
