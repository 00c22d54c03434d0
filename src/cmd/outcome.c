#include "cmd/outcome.h"
#include "cmd/ship.h"
#include "cmd/survival.h"

#include <math.h>
#include <string.h>

/* ---- scoring ---- */

typedef struct scoring {
    ft_outcome *outcome;
    ft_job *job;
    char **texts; /* where generated texts go, NULL: nowhere */
    bool tuned;   /* labels are those that the report is about */
    ft_status st;
} scoring;

static ft_status keep_prompt(scoring *s, size_t row, const ft_scored_text *t)
{
    const ft_row *r = &ft_job_scored(s->job)->p[row];
    ft_outcome *o = s->outcome;
    ft_buf prompt = {0};
    ft_status st = FT_OK;
    FT_TRY(ft_tokenizer_decode(s->job->tok, r->ids, (size_t)r->prompt_n, true, true, &prompt));
    o->prompts[row] = ft_strndup(prompt.n ? prompt.p : "", prompt.n);
    o->expected[row] = ft_strndup(t->expected.n ? t->expected.p : "", t->expected.n);
    if (!o->prompts[row] || !o->expected[row])
        st = FT_ENOMEM;
done:
    ft_buf_free(&prompt);
    return st;
}

static void on_text(void *ctx, size_t row, const ft_scored_text *t)
{
    scoring *s = ctx;
    if (t->label && s->tuned)
        ft_labeling_add(&s->job->labeling, t->label);
    if (row >= FT_MAX_SAMPLES || s->st != FT_OK || s->texts[row])
        return;
    if (!(s->texts[row] = ft_strndup(t->got.n ? t->got.p : "", t->got.n)))
        s->st = FT_ENOMEM;
    else if (!s->outcome->prompts[row])
        s->st = keep_prompt(s, row, t);
    s->outcome->n_samples = FT_MAX(s->outcome->n_samples, row + 1);
}

static bool progress(void *ctx, const char *what, size_t done, size_t total)
{
    scoring *s = ctx;
    return ft_meter_part(&s->job->meter, what, done, total);
}

ft_status ft_outcome_column(ft_outcome *o, const char *title, ft_report_column **out)
{
    ft_report_column *columns = ft_resize(o->columns, o->n + 1, sizeof *columns);
    if (!columns)
        return FT_ENOMEM;
    o->columns = columns;
    char *copy = ft_strdup(title);
    if (!copy)
        return FT_ENOMEM;
    *out = &o->columns[o->n++];
    **out = (ft_report_column){.title = copy, .agreement = NAN, .kl = NAN};
    return FT_OK;
}

static void say_scores(const ft_job *j, const ft_report_column *c)
{
    char line[512], spent[32];
    int n = snprintf(line, sizeof line, "%s:", c->title);
    for (size_t i = 0; i < c->scores.n && n < (int)sizeof line; i++)
        n += snprintf(line + n, sizeof line - (size_t)n, "  %s %.4f", c->scores.metric[i]->name, c->scores.value[i]);
    if (!j->meter.json)
        ft_say("%s  (%lld rows, %s)", line, (long long)c->scores.rows, ft_human_seconds(c->scores.seconds, spent));
}

/* argmax: NULL, or where the likeliest token of every supervised position goes. */
static ft_status score(ft_outcome *o, ft_job *j, ft_model *m, const ft_tokenizer *tok, const char *title,
                       int32_t *argmax, char **texts)
{
    scoring s = {.outcome = o, .job = j, .texts = texts, .tuned = texts == o->tuned};
    ft_score_options opt = j->plan.final_score;
    ft_report_column *c = NULL;
    opt.progress = progress;
    opt.ctx = &s;
    opt.argmax = argmax;
    if (texts)
        opt.on_text = ft_plan_generates(&j->plan) || opt.labels ? on_text : NULL;
    ft_meter_label(&j->meter, title);
    FT_RETURN(ft_outcome_column(o, title, &c));
    FT_RETURN(ft_context(ft_score(&c->scores, m, tok, ft_job_scored(j), &opt), "scoring %s", title));
    say_scores(j, c);
    return s.st;
}

const char *ft_outcome_start(const ft_job *j)
{
    const char *init = j->plan.adapter.init;
    bool moved = j->plan.lora_model_dir || (init && strcmp(init, "loftq") == 0);
    return moved ? "start" : "base";
}

ft_status ft_outcome_base(ft_outcome *o, ft_job *j)
{
    return ft_job_scored(j) ? score(o, j, j->model, j->tok, ft_outcome_start(j), NULL, o->base) : FT_OK;
}

/* Confidences and threshold by the tuned model, for its own scores and those of files. */
static ft_status fit_labels(ft_job *j)
{
    const ft_plan *p = &j->plan;
    const ft_rows *rows = ft_job_choosing(j);
    scoring s = {.job = j};
    ft_score_options o = p->final_score;
    ft_labeling_fit f = {.rows = rows,
                         .name = rows == &j->val_rows ? "val" : "test",
                         .temperature = p->calibration != FT_CALIBRATE_NOT,
                         .bias = p->calibration == FT_CALIBRATE_BIAS,
                         .least = p->abstain_confidence,
                         .precision = p->abstain_precision};
    if (!p->has_labels)
        return FT_OK;
    o.progress = progress;
    o.ctx = &s;
    ft_meter_label(&j->meter, "confidences");
    if (rows == ft_job_scored(j) && (f.temperature || f.precision > 0))
        ft_note(FT_NOTE, "labels: confidences are fitted on the rows of the final table, there being no others: they flatter there");
    FT_RETURN(ft_context(ft_labeling_fit_to(&j->labeling, j->model, &f, &o), "fitting confidences"));
    j->plan.final_score.confidence = &j->labeling.confidence;
    return FT_OK;
}

ft_status ft_outcome_tuned(ft_outcome *o, ft_job *j)
{
    const ft_rows *rows = ft_job_scored(j);
    if (!rows)
        return FT_OK;
    for (size_t i = 0; i < FT_COUNT(o->argmax); i++)
        if (!(o->argmax[i] = ft_alloc((size_t)rows->supervised, sizeof *o->argmax[i])))
            return FT_ENOMEM;
    FT_RETURN(fit_labels(j));
    FT_RETURN(score(o, j, j->model, j->tok, "tuned", o->argmax[0], o->tuned));
    o->columns[o->n - 1].agreement = rows->scored ? NAN : 1;
    o->columns[o->n - 1].kl = rows->vectors ? NAN : 0;
    o->tuned_column = o->columns[o->n - 1];
    return FT_OK;
}

/* ---- shipping ---- */

static ft_export_request request_of(ft_job *j, const ft_plan_export *e)
{
    return (ft_export_request){.model = j->model,
                               .tokenizer = j->tok,
                               .chat = j->chat,
                               .path = e->path,
                               .dtype = e->mix ? e->mix->dtype : NULL,
                               .mix = e->mix,
                               .name = j->plan.name,
                               .base_name = j->plan.base_model,
                               .sampling = e->sampling,
                               .labels = j->labeling.labels.n ? &j->labeling.labels : NULL,
                               .progress = ft_meter_part,
                               .ctx = &j->meter};
}

static ft_proof proof_of(ft_outcome *o, ft_job *j, scoring *s)
{
    ft_proof p = {.data = ft_job_scored_data(j),
                  .rows = ft_job_scored(j),
                  .rows_options = &j->plan.rows,
                  .base = j->plan.base_model,
                  .quantize_base = j->plan.quantize_base,
                  .score = j->plan.final_score,
                  .tuned = &o->tuned_column,
                  .tuned_argmax = o->argmax[0],
                  .argmax = o->argmax[1],
                  .meter = &j->meter};
    p.score.progress = progress;
    p.score.ctx = s;
    return p;
}

static void say_shipped(const ft_job *j, const ft_report_column *c)
{
    char line[256];
    if (j->meter.json)
        return;
    if (c->scores.n)
        say_scores(j, c);
    if (c->survival.n)
        ft_say("%s:  %s", c->title, ft_survival_line(&c->survival, line));
}

/* What stands under another name than was asked for, and why. */
static ft_status refuse(ft_outcome *o, ft_plan_export *e, const ft_report_column *c)
{
    char *path = ft_export_rejected_path(e->path);
    if (!path)
        return FT_ENOMEM;
    ft_status st = ft_buf_printf(&o->refused, "%s%s: did not pass its gate: %s", o->refused.n ? "\n" : "", path, c->rejected);
    ft_free(e->path);
    e->path = path;
    return st;
}

ft_status ft_outcome_ship(ft_outcome *o, ft_job *j, ft_plan_export *e)
{
    scoring scoring = {.outcome = o, .job = j};
    ft_shipment s = {.exporter = e->exporter,
                     .request = request_of(j, e),
                     .gate = &e->gate,
                     .automatic = e->automatic,
                     .min_survival = e->min_survival};
    ft_report_column c = {.agreement = NAN, .kl = NAN}, *out;
    bool scored = ft_job_scored(j) && ft_plan_scores(e);
    ft_proof p = {0};
    ft_calibration *calibration = NULL;
    ft_status st = FT_OK;
    if (scored)
        p = proof_of(o, j, &scoring);
    if (e->calibrated)
        FT_TRY(ft_calibration_new(&calibration, j->model, &j->train_rows, FT_CALIBRATION_TOKENS));
    s.request.calibration = calibration;
    ft_meter_label(&j->meter, e->path);
    FT_TRY(ft_ship(&s, scored ? &p : NULL, &c));
    if (!ft_plan_scores(e))
        goto done;
    e->mix = s.request.mix;
    if (c.rejected)
        FT_TRY(refuse(o, e, &c));
    FT_TRY(ft_outcome_column(o, ft_path_base(e->path), &out));
    c.title = out->title;
    *out = c;
    c = (ft_report_column){0};
    say_shipped(j, out);
done:
    ft_calibration_free(calibration);
    ft_survival_list_free(&c.survival);
    ft_free(c.rejected);
    return st;
}

/* ---- results ---- */

static void put_data(json_t *o, const ft_job *j)
{
    json_t *d = ft_result_object(o, "data");
    ft_result_int(d, "train_rows", (int64_t)j->train_rows.n);
    ft_result_int(d, "train_tokens", j->train_rows.tokens);
    ft_result_int(d, "supervised_tokens", j->train_rows.supervised);
    ft_result_int(d, "val_rows", (int64_t)j->val_rows.n);
    ft_result_int(d, "test_rows", (int64_t)j->test_rows.n);
    ft_result_int(d, "empty", j->lint.empty);
    ft_result_int(d, "duplicates", j->lint.duplicates);
    ft_result_int(d, "conflicts", j->lint.conflicts);
    ft_result_int(d, "leaked", j->lint.leaked);
    ft_result_int(d, "dropped", j->train_rows.dropped);
    ft_result_int(d, "truncated", j->train_rows.truncated);
    ft_result_int(d, "merged_border", j->train_rows.merged_border);
}

static void put_training(json_t *o, const ft_train_result *t)
{
    json_t *d = ft_result_object(o, "training");
    ft_result_int(d, "steps", t->steps);
    ft_result_int(d, "best_step", t->best_step);
    ft_result_real(d, "best_score", t->best_score);
    ft_result_real(d, "final_loss", t->final_loss);
    ft_result_int(d, "tokens", t->tokens);
    ft_result_bool(d, "stopped_early", t->stopped_early);
    ft_result_real(d, "time_s", t->seconds);
    ft_result_int(d, "peak_rss_bytes", (int64_t)ft_peak_rss_bytes());
}

ft_status ft_outcome_json(json_t **result, const ft_outcome *o, const ft_job *j, const ft_train_result *t)
{
    json_t *out = json_object(), *scores = NULL, *labels = NULL;
    ft_status st = ft_report_json(&scores, o->columns, o->n);
    ft_result_text(out, "recipe", j->plan.name);
    ft_result_text(out, "output_dir", j->plan.output_dir);
    put_data(out, j);
    put_training(out, t);
    if (st == FT_OK && json_object_set_new(out, "scores", scores) != 0)
        st = ft_fail(FT_ENOMEM, "no memory for the result");
    if (st == FT_OK && j->labeling.labels.n)
        st = ft_labeling_json(&labels, &j->labeling);
    if (labels && json_object_set_new(out, "labels", labels) != 0)
        st = ft_fail(FT_ENOMEM, "no memory for the result");
    if (st == FT_OK)
        *result = out;
    else
        json_decref(out);
    return st;
}

static ft_report_labels report_of(const ft_labeling *l)
{
    return (ft_report_labels){.before = &l->before,
                              .after = &l->after,
                              .temperature = l->confidence.temperature,
                              .threshold = l->confidence.threshold,
                              .coverage = (double)l->answered / (double)l->after.rows,
                              .answered_accuracy = l->answered ? (double)l->answered_right / (double)l->answered : NAN,
                              .biased = l->bias,
                              .fitted_on = l->fitted_on,
                              .fitted_rows = l->rows};
}

static ft_status write_report(const ft_outcome *o, const ft_job *j)
{
    ft_report_labels labels = report_of(&j->labeling);
    ft_report_sample samples[FT_MAX_SAMPLES];
    char *path = ft_path_join(j->plan.output_dir, "report.html"), *log = ft_path_join(j->plan.output_dir, "log.jsonl");
    ft_status st = path && log ? FT_OK : FT_ENOMEM;
    for (size_t i = 0; i < o->n_samples; i++)
        samples[i] = (ft_report_sample){
            .prompt = o->prompts[i], .expected = o->expected[i], .base = o->base[i], .tuned = o->tuned[i]};
    if (st == FT_OK)
        st = ft_report_write(path, j->plan.name, log, j->plan.resolved.p, o->columns, o->n, samples, o->n_samples,
                             j->labeling.after.rows ? &labels : NULL);
    ft_free(path);
    ft_free(log);
    return st;
}

ft_status ft_outcome_write(const ft_outcome *o, const ft_job *j, const ft_train_result *t)
{
    json_t *json = NULL;
    char *path = ft_path_join(j->plan.output_dir, "results.json");
    ft_status st = path ? FT_OK : FT_ENOMEM;
    FT_TRY(st);
    FT_TRY(write_report(o, j));
    FT_TRY(ft_outcome_json(&json, o, j, t));
    st = ft_json_write(json, path);
done:
    ft_free(path);
    json_decref(json);
    return st;
}

void ft_outcome_free(ft_outcome *o)
{
    for (size_t i = 0; i < o->n; i++) {
        ft_free((char *)o->columns[i].title);
        ft_survival_list_free(&o->columns[i].survival);
        ft_free(o->columns[i].rejected);
    }
    ft_free(o->columns);
    for (size_t i = 0; i < FT_MAX_SAMPLES; i++) {
        ft_free(o->prompts[i]);
        ft_free(o->expected[i]);
        ft_free(o->base[i]);
        ft_free(o->tuned[i]);
    }
    ft_free(o->argmax[0]);
    ft_free(o->argmax[1]);
    ft_buf_free(&o->refused);
    *o = (ft_outcome){0};
}
