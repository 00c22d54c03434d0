#include "cmd/outcome.h"
#include "cmd/survival.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

/* ---- scoring ---- */

typedef struct scoring {
    ft_outcome *outcome;
    ft_job *job;
    char **texts; /* where generated texts go, NULL: nowhere */
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
    **out = (ft_report_column){.title = copy, .agreement = NAN};
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
    scoring s = {.outcome = o, .job = j, .texts = texts};
    ft_score_options opt = j->plan.train_options.score;
    ft_report_column *c = NULL;
    opt.progress = progress;
    opt.ctx = &s;
    opt.argmax = argmax;
    if (texts)
        opt.on_text = ft_plan_generates(&j->plan) ? on_text : NULL;
    ft_meter_label(&j->meter, title);
    FT_RETURN(ft_outcome_column(o, title, &c));
    FT_RETURN(ft_context(ft_score(&c->scores, m, tok, ft_job_scored(j), &opt), "scoring %s", title));
    say_scores(j, c);
    return s.st;
}

const char *ft_outcome_start(const ft_job *j)
{
    return j->plan.lora_model_dir ? "start" : "base";
}

ft_status ft_outcome_base(ft_outcome *o, ft_job *j)
{
    return ft_job_scored(j) ? score(o, j, j->model, j->tok, ft_outcome_start(j), NULL, o->base) : FT_OK;
}

ft_status ft_outcome_tuned(ft_outcome *o, ft_job *j)
{
    const ft_rows *rows = ft_job_scored(j);
    if (!rows)
        return FT_OK;
    for (size_t i = 0; i < FT_COUNT(o->argmax); i++)
        if (!(o->argmax[i] = ft_alloc((size_t)rows->supervised, sizeof *o->argmax[i])))
            return FT_ENOMEM;
    FT_RETURN(score(o, j, j->model, j->tok, "tuned", o->argmax[0], o->tuned));
    o->columns[o->n - 1].agreement = 1;
    return FT_OK;
}

/* ---- shipping ---- */

static ft_status file_bytes(const char *path, uint64_t *bytes)
{
    struct stat sb;
    ft_names names;
    if (!ft_is_dir(path)) {
        if (stat(path, &sb) != 0)
            return ft_fail_errno("%s: cannot stat", path);
        *bytes += (uint64_t)sb.st_size;
        return FT_OK;
    }
    FT_RETURN(ft_list_dir(&names, path, NULL));
    ft_status st = FT_OK;
    for (size_t i = 0; st == FT_OK && i < names.n; i++) {
        char *full = ft_path_join(path, names.p[i]);
        st = full ? file_bytes(full, bytes) : FT_ENOMEM;
        ft_free(full);
    }
    ft_names_free(&names);
    return st;
}

/* The shipped tokenizer must make the same ids of the same rows. */
static ft_status check_rows(const ft_job *j, const ft_tokenizer *tok, const char *path)
{
    ft_rows rows = {0};
    const ft_rows *expected = ft_job_scored(j);
    const ft_dataset *data = ft_job_scored_data(j);
    char place[512];
    ft_status st = FT_OK;
    FT_TRY(ft_rows_build(&rows, data, tok, &j->plan.rows));
    for (size_t i = 0; st == FT_OK && i < FT_MAX(rows.n, expected->n); i++) {
        const ft_row *a = i < rows.n ? &rows.p[i] : NULL, *b = i < expected->n ? &expected->p[i] : NULL;
        if (!a || !b || a->n != b->n || memcmp(a->ids, b->ids, (size_t)a->n * sizeof *a->ids) != 0)
            st = ft_fail(FT_EFORMAT, "%s: its tokenizer makes other ids than the base's of %s", path,
                         b ? ft_example_place(data, &data->examples[b->example], place) : "the rows");
    }
done:
    ft_rows_free(&rows);
    return st;
}

/* An adapter by itself on the base that it was trained on. */
static ft_status reopen(ft_model **m, const ft_plan *p, const ft_plan_export *e)
{
    if (!e->exporter->needs_adapter)
        return ft_model_open(m, e->path, NULL);
    FT_RETURN(ft_model_open(m, p->base_model, &(ft_model_options){.quantize_base = p->quantize_base}));
    return ft_adapter_load(*m, e->path, false);
}

static ft_status score_file(ft_outcome *o, ft_job *j, const ft_plan_export *e)
{
    const char *path = e->path;
    ft_model *m = NULL;
    ft_tokenizer *tok = NULL;
    ft_status st = FT_OK;
    FT_TRY(reopen(&m, &j->plan, e));
    FT_TRY(ft_tokenizer_open(&tok, ft_model_tokenizer_path(m)));
    FT_TRY(check_rows(j, tok, path));
    FT_TRY(score(o, j, m, tok, ft_path_base(path), o->argmax[1], NULL));
    ft_report_column *c = &o->columns[o->n - 1];
    c->agreement = ft_top1_agreement(o->argmax[0], o->argmax[1], ft_job_scored(j)->supervised);
    st = file_bytes(path, &c->bytes);
done:
    ft_tokenizer_free(tok);
    ft_model_free(m);
    return ft_context(st, "reopening what was written");
}

static ft_status say_survival(const ft_job *j, const ft_export_request *r, const ft_plan_export *e)
{
    char line[256];
    if (!j->meter.json && r->survival->n)
        ft_say("%s:  %s", ft_path_base(e->path), ft_survival_line(r->survival, line));
    return ft_survival_warn(r, e->exporter, e->min_survival);
}

ft_status ft_outcome_ship(ft_outcome *o, ft_job *j, const ft_plan_export *e)
{
    const ft_plan *p = &j->plan;
    ft_survival_list survival = {0};
    ft_status st = FT_OK;
    ft_export_request r = {.model = j->model,
                           .tokenizer = j->tok,
                           .chat = j->chat,
                           .path = e->path,
                           .dtype = e->mix ? e->mix->dtype : NULL,
                           .mix = e->mix,
                           .name = p->name,
                           .base_name = p->base_model,
                           .survival = &survival,
                           .progress = ft_meter_part,
                           .ctx = &j->meter};
    ft_meter_label(&j->meter, e->path);
    FT_TRY(e->exporter->write(&r));
    FT_TRY(say_survival(j, &r, e));
    if (!ft_plan_scores(e) || !ft_job_scored(j))
        goto done;
    FT_TRY(score_file(o, j, e));
    o->columns[o->n - 1].survival = survival;
    survival = (ft_survival_list){0};
done:
    ft_survival_list_free(&survival);
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
    json_t *out = json_object(), *scores = NULL;
    ft_status st = ft_report_json(&scores, o->columns, o->n);
    ft_result_text(out, "recipe", j->plan.name);
    ft_result_text(out, "output_dir", j->plan.output_dir);
    put_data(out, j);
    put_training(out, t);
    if (st == FT_OK && json_object_set_new(out, "scores", scores) != 0)
        st = ft_fail(FT_ENOMEM, "no memory for the result");
    if (st == FT_OK)
        *result = out;
    else
        json_decref(out);
    return st;
}

static ft_status write_report(const ft_outcome *o, const ft_job *j)
{
    ft_report_sample samples[FT_MAX_SAMPLES];
    char *path = ft_path_join(j->plan.output_dir, "report.html"), *log = ft_path_join(j->plan.output_dir, "log.jsonl");
    ft_status st = path && log ? FT_OK : FT_ENOMEM;
    for (size_t i = 0; i < o->n_samples; i++)
        samples[i] = (ft_report_sample){
            .prompt = o->prompts[i], .expected = o->expected[i], .base = o->base[i], .tuned = o->tuned[i]};
    if (st == FT_OK)
        st = ft_report_write(path, j->plan.name, log, j->plan.resolved.p, o->columns, o->n, samples, o->n_samples);
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
    *o = (ft_outcome){0};
}
