/* fettle export: a model or a run, merged, as a file that ships; with rows to measure on also its scores and its gate.
 *
 * What it does is what a recipe does with an entry of its export list: the model and the rows become a job with one export.
 */
#include "cmd/choices.h"
#include "cmd/opened.h"
#include "cmd/outcome.h"
#include "cmd/survival.h"

#include <string.h>

typedef struct exporting {
    const ft_args *args;
    ft_job job;
    ft_outcome outcome;
    ft_sampling sampling;
} exporting;

/* ---- the request ---- */

static ft_status read_gate(ft_export_gate *g, const char *list)
{
    char *item;
    for (size_t i = 0; list; i++) {
        FT_RETURN(ft_context(ft_comma_item(&item, list, i), "--gate"));
        if (!item)
            break;
        ft_status st = ft_export_gate_put(g, item);
        ft_free(item);
        FT_RETURN(ft_context(st, "--gate"));
    }
    return FT_OK;
}

static ft_status check_request(const ft_args *a, const ft_plan_export *e)
{
    bool gguf = strcmp(e->exporter->name, "gguf") == 0;
    if (e->mix && !ft_exporter_writes(e->exporter, e->mix->name))
        return ft_fail(FT_EINPUT, "--quant: %s writes no %s (one of %s)", e->exporter->name, ft_args_text(a, "quant"),
                       e->exporter->dtypes);
    if (e->automatic && (!gguf || !e->gate.n))
        return ft_fail(FT_EINPUT, gguf ? "--quant auto needs a --gate: it takes the smallest type that passes"
                                       : "--quant auto chooses among the types of gguf");
    if (e->calibrated && !gguf)
        return ft_fail(FT_EINPUT, "--calibrate: calibrated rounding is for the types of gguf");
    if (!ft_plan_scores(e) && (e->gate.n || ft_args_given(a, "data")))
        return ft_fail(FT_EINPUT, "--format %s: it holds the trained weights themselves, there is nothing to measure",
                       e->exporter->name);
    return ft_exporter_check_path(e->exporter, e->path);
}

/* The plan's one export. */
static ft_status plan_export(exporting *x)
{
    const ft_args *a = x->args;
    const char *quant = ft_args_text(a, "quant");
    ft_plan *p = &x->job.plan;
    ft_plan_export *e = ft_alloc(1, sizeof *e);
    if (!e)
        return FT_ENOMEM;
    p->exports = e;
    p->n_exports = 1;
    x->sampling = ft_sampling_of(a);
    *e = (ft_plan_export){.exporter = ft_exporter_named(ft_args_text(a, "format")),
                          .mix = quant ? ft_mix_named(quant) : NULL,
                          .path = ft_strdup(ft_args_text(a, "out")),
                          .automatic = quant && strcmp(quant, "auto") == 0,
                          .calibrated = ft_args_given(a, "calibrate"),
                          .min_survival = ft_args_float(a, "min-survival"),
                          .sampling = &x->sampling};
    FT_RETURN(read_gate(&e->gate, ft_args_text(a, "gate")));
    return e->path ? check_request(a, e) : FT_ENOMEM;
}

/* ---- the model and the rows ---- */

/* The name of the model in the file: what it was called, without directory and suffix. */
static char *name_of(const ft_args *a)
{
    const char *given = ft_args_text(a, "name");
    if (given)
        return ft_strdup(given);
    const char *path = ft_args_text(a, "MODEL");
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    if (end - begin > 5 && strncmp(path + end - 5, ".gguf", 5) == 0)
        end -= 5;
    return ft_strndup(path + begin, end - begin);
}

static ft_status open_model(exporting *x)
{
    ft_opened o;
    ft_job *j = &x->job;
    FT_RETURN(ft_opened_open(&o, x->args));
    j->model = o.model;
    j->tok = o.tok;
    j->chat = o.chat;
    ft_free(j->plan.name);
    j->plan.name = name_of(x->args);
    j->plan.base_model = ft_model_path(o.model);
    if (j->plan.exports->exporter->needs_adapter && !ft_adapter_attached(o.model))
        return ft_fail(FT_EINPUT, "%s has no adapter: --format %s needs one (--adapter PATH)", ft_args_text(x->args, "MODEL"),
                       j->plan.exports->exporter->name);
    return j->plan.name ? FT_OK : FT_ENOMEM;
}

static void add_metric(ft_plan *p, const char *name)
{
    p->metrics[p->n_metrics++] = ft_metric_named(name);
}

/* The rows of --data, whole, and what they allow to measure. */
static ft_status rows_of_data(exporting *x)
{
    ft_job *j = &x->job;
    ft_plan *p = &j->plan;
    for (size_t i = 0; i < ft_args_count(x->args, "data"); i++)
        FT_RETURN(ft_dataset_read(&j->test, &(ft_data_source){.path = ft_args_item(x->args, "data", i), .format = "auto"}, NULL));
    p->rows = (ft_rows_options){.chat = j->chat,
                                .max_tokens = ft_model_config(j->model)->max_position_embeddings,
                                .on_overlong = FT_OVERLONG_ERROR};
    add_metric(p, "loss");
    if (!ft_dataset_is_text(&j->test))
        add_metric(p, "exact_match");
    return ft_rows_build(&j->test_rows, &j->test, j->tok, &p->rows);
}

/* The rows and metrics of the recipe in the run folder: `run` is its plan, whose export gives way to the one asked for. */
static ft_status rows_of_run(exporting *x, const char *recipe)
{
    ft_job *j = &x->job;
    ft_plan asked = j->plan;
    j->plan = (ft_plan){0};
    ft_status st = ft_plan_open(&j->plan, recipe, NULL, 0);
    for (size_t i = 0; i < j->plan.n_exports; i++)
        ft_free(j->plan.exports[i].path);
    ft_free(j->plan.exports);
    ft_free(j->plan.name);
    j->plan.exports = asked.exports;
    j->plan.n_exports = asked.n_exports;
    j->plan.name = asked.name;
    j->plan.base_model = asked.base_model;
    j->plan.rows.chat = j->chat;
    j->plan.rows.max_tokens = FT_MIN(j->plan.rows.max_tokens, ft_model_config(j->model)->max_position_embeddings);
    FT_RETURN(ft_context(st, "the recipe of the run, for rows to measure on"));
    FT_RETURN(ft_job_data(j));
    FT_RETURN(ft_job_fit_metrics(j));
    return ft_job_rows(j);
}

/* The labels of --labels or of the run, for a grammar beside the file and for scores; a recipe's were made with its rows. */
static ft_status find_labels(exporting *x)
{
    ft_job *j = &x->job;
    ft_labeling *l = &j->labeling;
    ft_score_options *o = &j->plan.train_options.score;
    if (l->labels.n)
        return FT_OK;
    FT_RETURN(ft_labeling_of_args(l, x->args, true));
    if (!l->labels.n)
        return FT_OK;
    if (!l->labels.p[0].said.n && !j->test.n)
        return ft_fail(FT_EINPUT, "--labels: %s does not say how labels are written: give a run's labels.json, or --data with rows "
                                  "that have answers", ft_args_text(x->args, "labels"));
    if (!j->test.n || ft_dataset_is_text(&j->test))
        return FT_OK;
    FT_RETURN(ft_labels_encode(&l->labels, &j->test, j->tok, &j->plan.rows));
    ft_labeling_check(l, "--data", &j->test_rows);
    o->labels = &l->labels;
    o->confidence = &l->confidence;
    j->plan.abstain_confidence = l->confidence.threshold;
    return FT_OK;
}

static ft_status find_rows(exporting *x)
{
    const char *model = ft_args_text(x->args, "MODEL");
    ft_status st;
    if (ft_args_given(x->args, "data"))
        return rows_of_data(x);
    if (!x->job.plan.exports->gate.n)
        return FT_OK;
    char *recipe = ft_path_join(model, "recipe.yaml");
    if (!recipe)
        return FT_ENOMEM;
    if (ft_exists(recipe))
        st = rows_of_run(x, recipe);
    else
        st = ft_fail(FT_EINPUT, "--gate: %s is no run folder, whose recipe names rows to measure on: --data FILE", model);
    ft_free(recipe);
    return st;
}

/* The rows of --calibrate, in the place of training rows. */
static ft_status calibration_rows(exporting *x)
{
    ft_job *j = &x->job;
    ft_rows_options o = {.chat = j->chat,
                         .max_tokens = ft_model_config(j->model)->max_position_embeddings,
                         .on_overlong = FT_OVERLONG_TRUNCATE};
    if (!ft_args_given(x->args, "calibrate"))
        return FT_OK;
    ft_rows_free(&j->train_rows);
    ft_dataset_free(&j->train);
    j->train_rows = (ft_rows){0};
    j->train = (ft_dataset){0};
    for (size_t i = 0; i < ft_args_count(x->args, "calibrate"); i++)
        FT_RETURN(ft_dataset_read(&j->train,
                                  &(ft_data_source){.path = ft_args_item(x->args, "calibrate", i), .format = "auto"}, NULL));
    o.pack_text = ft_dataset_is_text(&j->train);
    return ft_context(ft_rows_build(&j->train_rows, &j->train, j->tok, &o), "--calibrate");
}

/* ---- result ---- */

static ft_status put_scores(json_t *o, const ft_outcome *outcome)
{
    json_t *scores;
    FT_RETURN(ft_report_json(&scores, outcome->columns, outcome->n));
    return json_object_set_new(o, "scores", scores) == 0 ? FT_OK : ft_fail(FT_ENOMEM, "no memory for the result");
}

static ft_status put_members(json_t *o, const exporting *x, double seconds)
{
    const ft_plan_export *e = x->job.plan.exports;
    const ft_outcome *outcome = &x->outcome;
    bool json = ft_args_given(x->args, "json");
    char *modelfile = NULL, *grammar = NULL;
    if (e->exporter->suffix && !outcome->refused.n)
        FT_RETURN(ft_modelfile_path(&modelfile, e->path));
    if (e->exporter->suffix && !outcome->refused.n && x->job.labeling.labels.n)
        FT_RETURN(ft_gbnf_path(&grammar, e->path));
    ft_result_text(o, "path", e->path);
    if (modelfile)
        ft_result_text(o, "modelfile", modelfile);
    ft_free(modelfile);
    if (grammar)
        ft_result_text(o, "grammar", grammar);
    ft_free(grammar);
    ft_result_text(o, "format", e->exporter->name);
    if (e->mix)
        ft_result_text(o, "quant", e->mix->name);
    if (e->gate.n)
        ft_result_bool(o, "accepted", !outcome->refused.n);
    ft_result_real(o, "time_s", seconds);
    if (!outcome->n)
        return FT_OK;
    FT_RETURN(ft_survival_put(o, &outcome->columns[outcome->n - 1].survival, json));
    return json && outcome->n > 1 ? put_scores(o, outcome) : FT_OK;
}

static ft_status put_table(const ft_outcome *o)
{
    ft_buf out = {0};
    ft_status st = FT_OK;
    FT_TRY(ft_buf_putc(&out, '\n'));
    FT_TRY(ft_report_table(&out, o->columns, o->n));
    st = ft_put(&out);
done:
    ft_buf_free(&out);
    return st;
}

static ft_status put_result(const exporting *x, double seconds)
{
    json_t *o = json_object();
    ft_status st = put_members(o, x, seconds);
    if (st != FT_OK) {
        json_decref(o);
        return st;
    }
    FT_RETURN(ft_result_print(x->args, o));
    return x->outcome.n > 1 && !ft_args_given(x->args, "json") ? put_table(&x->outcome) : FT_OK;
}

static ft_status run(const ft_args *a)
{
    exporting x = {.args = a, .job = {.meter = ft_meter_new(false, false)}};
    double begun = ft_now_s();
    ft_status st = FT_OK;
    FT_TRY(plan_export(&x));
    FT_TRY(open_model(&x));
    FT_TRY(find_rows(&x));
    FT_TRY(find_labels(&x));
    FT_TRY(calibration_rows(&x));
    ft_plan_choose_shown(&x.job.plan);
    FT_TRY(ft_outcome_tuned(&x.outcome, &x.job));
    FT_TRY(ft_outcome_ship(&x.outcome, &x.job, x.job.plan.exports));
    FT_TRY(put_result(&x, ft_now_s() - begun));
    if (x.outcome.refused.n)
        st = ft_fail(FT_EGATE, "%s", x.outcome.refused.p);
done:
    ft_outcome_free(&x.outcome);
    ft_job_close(&x.job);
    return st;
}

static const ft_cmd_option options[] = {
    FT_MODEL_OPTION,
    {"format", FT_ARG_NAME, .argument = "FORMAT", .required = true, .choice = ft_choice_exporter,
     .help = "gguf: one file for llama.cpp and Ollama, with a Modelfile beside it; gguf-lora: the adapter alone, which "
             "they add to its base; hf: a merged Hugging Face directory; peft: the adapter for PEFT"},
    {"quant", FT_ARG_NAME, .argument = "TYPE", .choice = ft_choice_quant,
     .help = "type of the weights (default: q8_0 for gguf, as stored for hf, f32 for adapters); auto: the smallest of the "
             "usual ones that passes the --gate"},
    {"gate", FT_ARG_TEXT, .argument = "LIST",
     .help = "what the written file must reach before it gets its name, like kl=0.05,exact_match=-0.01,stop=1 (fettle recipe "
             "doc export explains the names); what misses a limit stays as PATH.rejected, and the status is 1"},
    {"data", FT_ARG_FILE, .repeats = true, .argument = "FILE",
     .help = "rows to measure the file on, beside the model that it is made from (default with --gate: those of the run's "
             "recipe)"},
    FT_LABELS_OPTION(" (default: those of the run); their grammar stands beside a GGUF"),
    {"calibrate", FT_ARG_FILE, .repeats = true, .argument = "FILE",
     .help = "rows or text like what the model will see: gguf in few bits is rounded so that what each matrix makes of them stays, "
             "instead of each weight by itself"},
    {"min-survival", FT_ARG_FLOAT, .argument = "X", .fallback = "0.7", .min = 0, .max = 1,
     .help = "warn when rounding leaves less than this of the adapter's update (its cosine with what the file changes), and "
             "name the cheapest type that keeps it"},
    {"out", FT_ARG_FILE, .argument = "PATH", .required = true, .help = "file (gguf, gguf-lora) or directory (hf, peft) to write"},
    {"name", FT_ARG_TEXT, .argument = "TEXT", .help = "name of the model in the file (default: from MODEL)"},
    FT_ADAPTER_OPTION,
    FT_TEMPLATE_OPTION,
    FT_SAMPLING_OPTIONS,
    FT_JSON_OPTION,
    {0}};

const ft_cmd ft_cmd_export = {
    .name = "export",
    .summary = "merge and write a GGUF, a Hugging Face directory or an adapter",
    .about = "Writes a model, with its adapter merged in f32, tensor by tensor. A run folder is its base with its "
             "adapter; after a qlora run it is merged into the base as the adapter saw it, quantized and decoded, which "
             "is what was scored. The tokenizer is carried over byte for byte. The sampling options become parameters of the "
             "Modelfile.\n\n"
             "With --data or --gate the file is opened again and measured beside the model that it is made from: loss, what is "
             "generated, how far its next tokens are from the model's (kl), what rounding leaves of the adapter's update.",
    .options = options,
    .example = "fettle export runs/defects --format gguf --quant q8_0 --out defects.gguf\n"
               "fettle export runs/defects --format gguf --quant auto --gate kl=0.05,exact_match=-0.01 --out defects.gguf\n"
               "fettle export runs/defects --format gguf-lora --out defects-lora.gguf\n"
               "fettle export data/base --adapter runs/defects/adapter --format hf --out merged",
    .run = run};
