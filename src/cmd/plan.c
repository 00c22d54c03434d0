#include "cmd/plan.h"
#include "cmd/choices.h"

#include <string.h>

/* ---- names of tables ---- */

/* "unknown metric exact_mach; did you mean exact_match?" at the key's place. */
static void complain_name(ft_recipe *r, const char *key, const char *what, const char *word,
                          const char *(*choice)(size_t i))
{
    char all[512];
    const char *near = ft_choice_nearest(word, choice);
    ft_choice_all(choice, all, sizeof all);
    if (near)
        ft_recipe_complain(r, key, "unknown %s %s; did you mean %s? (one of %s)", what, word, near, all);
    else
        ft_recipe_complain(r, key, "unknown %s %s (one of %s)", what, word, all);
}

static const char *text_of(const ft_recipe *r, const char *key, size_t i)
{
    const char *s = NULL;
    return ft_recipe_str(r, key, i, &s) ? s : NULL;
}

static int64_t int_of(const ft_recipe *r, const char *key)
{
    int64_t v = 0;
    ft_recipe_i64(r, key, 0, &v);
    return v;
}

static double float_of(const ft_recipe *r, const char *key)
{
    double v = 0;
    ft_recipe_f64(r, key, 0, &v);
    return v;
}

static bool bool_of(const ft_recipe *r, const char *key)
{
    bool v = false;
    ft_recipe_bool(r, key, 0, &v);
    return v;
}

static bool is(const char *s, const char *value)
{
    return s && strcmp(s, value) == 0;
}

/* ---- data ---- */

static const char *list_text(const ft_recipe *r, const char *list, const char *key, size_t i)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", list, key);
    return text_of(r, name, i);
}

static void check_format(ft_recipe *r, const char *list, size_t i, const char *format)
{
    char key[96];
    for (size_t k = 0; ft_choice_row_format(k); k++)
        if (is(format, ft_choice_row_format(k)))
            return;
    snprintf(key, sizeof key, "%s[%zu].type", list, i);
    complain_name(r, key, "row format", format, ft_choice_row_format);
}

static ft_status plan_sources(ft_recipe *r, const char *list, ft_data_source **out, size_t *n)
{
    *n = ft_recipe_count(r, list, 0);
    if (!(*out = ft_alloc(*n, sizeof **out)))
        return FT_ENOMEM;
    for (size_t i = 0; i < *n; i++) {
        ft_data_source *s = &(*out)[i];
        s->path = list_text(r, list, "path", i);
        s->format = list_text(r, list, "type", i);
        s->prompt_template = list_text(r, list, "prompt_template", i);
        s->completion_template = list_text(r, list, "completion_template", i);
        s->split = list_text(r, list, "split", i);
        if (s->format)
            check_format(r, list, i, s->format);
    }
    return FT_OK;
}

static void plan_rows(ft_plan *p, ft_recipe *r)
{
    const char *overlong = text_of(r, "on_overlong", 0), *chat = text_of(r, "chat_template", 0);
    const ft_chat_template *found;
    p->rows.max_tokens = int_of(r, "sequence_len");
    p->rows.on_overlong = is(overlong, "drop")       ? FT_OVERLONG_DROP
                          : is(overlong, "truncate") ? FT_OVERLONG_TRUNCATE
                                                     : FT_OVERLONG_ERROR;
    p->rows.train_on_inputs = bool_of(r, "train_on_inputs");
    p->rows.train_on_last = is(text_of(r, "train_on", 0), "last");
    p->rows.pack_text = bool_of(r, "pack_text");
    p->dedup = bool_of(r, "dedup");
    p->val_set_size = float_of(r, "val_set_size");
    p->chat_template = chat;
    if (chat && ft_chat_template_pick(&found, chat, NULL) != FT_OK)
        complain_name(r, "chat_template", "chat template", chat, ft_chat_template_choice);
}

/* ---- model and adapter ---- */

static size_t plan_strings(ft_recipe *r, const char *key, const char **out)
{
    size_t n = ft_recipe_count(r, key, 0);
    if (n > FT_MAX_TARGETS) {
        ft_recipe_complain(r, key, "%zu names, at most %d are taken", n, FT_MAX_TARGETS);
        n = FT_MAX_TARGETS;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = ft_recipe_item(r, key, 0, i);
    return n;
}

static ft_status plan_ranges(ft_plan *p, ft_recipe *r)
{
    size_t n = ft_recipe_count(r, "lora_layers", 0);
    if (!(p->ranges = ft_alloc(n, sizeof *p->ranges)))
        return FT_ENOMEM;
    for (; p->n_ranges < n; p->n_ranges++) {
        const char *text = ft_recipe_item(r, "lora_layers", 0, p->n_ranges);
        if (!ft_layers_read(text, &p->ranges[p->n_ranges]))
            ft_recipe_complain(r, "lora_layers",
                               "lora_layers: \"%s\" is no choice of layers (all, last 8, 12-, 0-5, 7 or a list of such)",
                               text);
    }
    return FT_OK;
}

ft_status ft_plan_layers(ft_plan *p, int64_t L)
{
    ft_free(p->layers);
    p->layers = NULL;
    ft_status st = ft_layers_of(&p->layers, &p->adapter.n_layers, p->ranges, p->n_ranges, L);
    p->adapter.layers = p->layers;
    return ft_context(st, "%s: lora_layers", ft_recipe_place(p->recipe, "lora_layers", 0));
}

static void check_init(const ft_plan *p, ft_recipe *r)
{
    const char *init = p->adapter.init;
    if (is(init, "loftq") && !p->quantize_base)
        ft_recipe_complain(r, "init_lora_weights",
                           "init_lora_weights: loftq begins with what quantize_base loses, so it needs adapter: qlora");
    if (init && !is(init, "default") && p->adapter.dora)
        ft_recipe_complain(r, "init_lora_weights", "init_lora_weights: %s and use_dora exclude each other", init);
}

static ft_status plan_model(ft_plan *p, ft_recipe *r)
{
    p->base_model = text_of(r, "base_model", 0);
    p->init_from_config = text_of(r, "init_from_config", 0);
    p->output_dir = text_of(r, "output_dir", 0);
    p->has_adapter = !is(text_of(r, "adapter", 0), "none");
    if (is(text_of(r, "adapter", 0), "qlora"))
        p->quantize_base = ft_dtype_named(text_of(r, "quantize_base", 0));
    p->adapter = (ft_adapter_spec){.kind = "lora",
                                   .r = int_of(r, "lora_r"),
                                   .alpha = float_of(r, "lora_alpha"),
                                   .dropout = float_of(r, "lora_dropout"),
                                   .rslora = bool_of(r, "use_rslora"),
                                   .dora = bool_of(r, "use_dora"),
                                   .init = text_of(r, "init_lora_weights", 0),
                                   .target_modules = p->targets,
                                   .modules_to_save = p->saved,
                                   .seed = (uint64_t)int_of(r, "seed")};
    p->lora_model_dir = text_of(r, "lora_model_dir", 0);
    check_init(p, r);
    p->adapter.n_targets = plan_strings(r, "lora_target_modules", p->targets);
    p->adapter.n_save = plan_strings(r, "lora_modules_to_save", p->saved);
    return plan_ranges(p, r);
}

/* ---- labels ---- */

static void plan_abstain(ft_plan *p, ft_recipe *r)
{
    size_t n = ft_recipe_count(r, "abstain", 0);
    if (n > 1)
        ft_recipe_complain(r, "abstain", "abstain: a confidence or a precision, not both");
    for (size_t i = 0; i < n; i++) {
        const char *item = ft_recipe_item(r, "abstain", 0, i), *number = strchr(item, '=') + 1;
        ft_parse_f64(number, ft_starts(item, "precision=") ? &p->abstain_precision : &p->abstain_confidence);
    }
}

/* Labels that are empty or come twice. */
static void check_labels(ft_recipe *r, size_t n)
{
    ft_labels all = {0};
    for (size_t i = 0; i < n; i++)
        if (ft_labels_add(&all, ft_str_of(ft_recipe_item(r, "labels", 0, i))) != FT_OK)
            ft_recipe_complain(r, "labels", "labels: %s", ft_error());
    ft_labels_free(&all);
}

static void plan_labels(ft_plan *p, ft_recipe *r)
{
    const char *calibration = text_of(r, "label_calibration", 0), *loss = text_of(r, "loss", 0);
    size_t n = ft_recipe_count(r, "labels", 0);
    p->has_labels = n > 0;
    p->labels_of_train = n == 1 && is(ft_recipe_item(r, "labels", 0, 0), "train");
    p->calibration = is(calibration, "bias")          ? FT_CALIBRATE_BIAS
                     : is(calibration, "temperature") ? FT_CALIBRATE_TEMPERATURE
                                                      : FT_CALIBRATE_NOT;
    plan_abstain(p, r);
    check_labels(r, n);
    if (n == 1 && !p->labels_of_train)
        ft_recipe_complain(r, "labels", "labels: found \"%s\" alone, expected two labels or more, or train",
                           ft_recipe_item(r, "labels", 0, 0));
    if (n && loss && !is(loss, "next_token"))
        ft_recipe_complain(r, "labels", "labels need loss: next_token, found loss: %s", loss);
}

static void check_labels_metric(const ft_plan *p, ft_recipe *r, const char *key, const ft_metric *m)
{
    if (m->of_labels && !p->has_labels)
        ft_recipe_complain(r, key, "%s needs labels", m->name);
}

/* ---- scores ---- */

static const ft_metric *metric_of(ft_recipe *r, const char *key, const char *name)
{
    const ft_metric *m = ft_metric_named(name);
    if (!m)
        complain_name(r, key, "metric", name, ft_choice_metric);
    return m;
}

static void plan_metrics(ft_plan *p, ft_recipe *r)
{
    for (size_t i = 0; i < ft_recipe_count(r, "metrics", 0); i++) {
        const ft_metric *m = metric_of(r, "metrics", ft_recipe_item(r, "metrics", 0, i));
        bool known = false;
        for (size_t k = 0; k < p->n_metrics; k++)
            known |= p->metrics[k] == m;
        if (m)
            check_labels_metric(p, r, "metrics", m);
        if (m && !known && p->n_metrics < FT_MAX_METRICS)
            p->metrics[p->n_metrics++] = m;
    }
}

bool ft_plan_scores(const ft_plan_export *e)
{
    return e->exporter->suffix || !e->exporter->needs_adapter;
}

static void show(ft_plan *p, const ft_metric *m)
{
    for (size_t i = 0; i < p->n_shown; i++)
        if (p->shown[i] == m)
            return;
    if (p->n_shown < FT_MAX_METRICS)
        p->shown[p->n_shown++] = m;
}

/* A label always ends, so that is not shown; how sure it is, is. */
static void show_labels(ft_plan *p, bool any_text)
{
    if (!any_text)
        show(p, ft_metric_named("accuracy"));
    show(p, ft_metric_named("ece"));
    if (p->abstain_confidence > 0 || p->abstain_precision > 0) {
        show(p, ft_metric_named("coverage"));
        show(p, ft_metric_named("answered_accuracy"));
    }
}

void ft_plan_choose_shown(ft_plan *p)
{
    bool generates = ft_plan_generates(p);
    p->n_shown = 0;
    for (size_t i = 0; i < p->n_metrics; i++)
        show(p, p->metrics[i]);
    if (!p->train_options.objective.loss)
        show(p, ft_metric_named("perplexity"));
    for (size_t i = 0; i < p->n_exports; i++) {
        generates |= ft_export_gate_generates(&p->exports[i].gate);
        for (size_t k = 0; ft_metrics[k]; k++)
            if (ft_export_gate_wants(&p->exports[i].gate, ft_metrics[k]))
                show(p, ft_metrics[k]);
    }
    if (p->has_labels || p->train_options.score.labels)
        show_labels(p, generates);
    else if (generates)
        show(p, ft_metric_named("stop"));
    p->final_score = p->train_options.score;
    p->final_score.metrics = p->shown;
    p->final_score.n_metrics = p->n_shown;
}

bool ft_plan_generates(const ft_plan *p)
{
    for (size_t i = 0; i < p->n_metrics; i++)
        if (p->metrics[i]->source == FT_METRIC_TEXT)
            return true;
    return false;
}

/* ---- training ---- */

static void plan_update(ft_train_options *o, ft_recipe *r)
{
    const char *name = text_of(r, "optimizer", 0), *schedule = text_of(r, "lr_scheduler", 0);
    o->optimizer = name ? ft_optimizer_named(name) : NULL;
    if (name && !o->optimizer)
        complain_name(r, "optimizer", "optimizer", name, ft_choice_optimizer);
    o->schedule = schedule ? ft_schedule_named(schedule) : NULL;
    if (schedule && !o->schedule)
        complain_name(r, "lr_scheduler", "schedule", schedule, ft_choice_schedule);
    o->optimizer_options = (ft_optimizer_options){.beta1 = float_of(r, "adam_beta1"),
                                                  .beta2 = float_of(r, "adam_beta2"),
                                                  .eps = float_of(r, "adam_epsilon"),
                                                  .weight_decay = float_of(r, "weight_decay")};
    o->learning_rate = float_of(r, "learning_rate");
    o->min_lr_ratio = float_of(r, "min_lr_ratio");
    o->warmup_steps = int_of(r, "warmup_steps");
    o->warmup_ratio = float_of(r, "warmup_ratio");
    o->max_grad_norm = float_of(r, "max_grad_norm");
}

static void plan_prefix(ft_train_options *o, ft_recipe *r)
{
    static const char *const places[] = {
        [FT_PREFIX_AUTO] = "auto", [FT_PREFIX_OFF] = "off", [FT_PREFIX_MEMORY] = "memory", [FT_PREFIX_DISK] = "disk"};
    const char *place = text_of(r, "prefix_cache", 0), *dtype = text_of(r, "prefix_cache_dtype", 0);
    for (int i = 0; i < (int)FT_COUNT(places); i++)
        if (is(place, places[i]))
            o->prefix_cache = (ft_prefix_place)i;
    o->prefix_cache_dtype = dtype ? ft_dtype_named(dtype) : NULL;
}

static void plan_training(ft_plan *p, ft_recipe *r)
{
    ft_train_options *o = &p->train_options;
    const char *checkpointing = text_of(r, "gradient_checkpointing", 0), *best = text_of(r, "metric_for_best_model", 0);
    plan_update(o, r);
    o->output_dir = p->output_dir;
    o->seed = (uint64_t)int_of(r, "seed");
    o->num_epochs = float_of(r, "num_epochs");
    o->max_steps = int_of(r, "max_steps");
    o->micro_batch_size = int_of(r, "micro_batch_size");
    o->gradient_accumulation_steps = int_of(r, "gradient_accumulation_steps");
    p->auto_checkpointing = is(checkpointing, "auto");
    int64_t blocks = 0;
    ft_parse_i64(checkpointing ? checkpointing : "", &blocks);
    o->gradient_checkpointing = is(checkpointing, "true") ? FT_ALL_BLOCKS : blocks;
    p->ram_limit_bytes = 1e9 * float_of(r, "ram_limit");
    o->compute = is(text_of(r, "compute", 0), "bf16") ? FT_COMPUTE_BF16 : FT_COMPUTE_F32;
    o->activations = ft_dtype_named(text_of(r, "activations", 0));
    plan_prefix(o, r);
    o->save_steps = int_of(r, "save_steps");
    o->save_total_limit = int_of(r, "save_total_limit");
    o->eval_steps = int_of(r, "eval_steps");
    o->logging_steps = int_of(r, "logging_steps");
    o->early_stopping_patience = int_of(r, "early_stopping_patience");
    o->metric_for_best = best ? metric_of(r, "metric_for_best_model", best) : NULL;
    if (o->metric_for_best)
        check_labels_metric(p, r, "metric_for_best_model", o->metric_for_best);
    o->score = (ft_score_options){
        .metrics = p->metrics, .n_metrics = p->n_metrics, .max_new_tokens = int_of(r, "max_new_tokens")};
}

/* ---- vectors ---- */

static void plan_dims(ft_vector_objective *o, ft_recipe *r)
{
    size_t n = ft_recipe_count(r, "matryoshka_dims", 0);
    if (n > FT_MAX_VECTOR_DIMS)
        ft_recipe_complain(r, "matryoshka_dims", "%zu lengths, at most %d are taken", n, FT_MAX_VECTOR_DIMS);
    for (size_t i = 0; i < n && i < FT_MAX_VECTOR_DIMS; i++) {
        const char *text = ft_recipe_item(r, "matryoshka_dims", 0, i);
        if (!ft_parse_i64(text, &o->dims[i]) || o->dims[i] < 1)
            ft_recipe_complain(r, "matryoshka_dims", "matryoshka_dims: \"%s\" is no number of dimensions", text);
        o->n_dims = i + 1;
    }
}

/* A metric that rows of this loss cannot have. */
static void check_metric(ft_recipe *r, const char *key, const ft_metric *m, const ft_vector_loss *loss)
{
    bool vectors = m->source == FT_METRIC_VECTORS;
    if (!loss && vectors)
        ft_recipe_complain(r, key, "%s needs a loss over vectors, found loss: next_token", m->name);
    else if (loss && !vectors && !m->any_rows)
        ft_recipe_complain(r, key, "%s needs loss: next_token, found loss: %s", m->name, loss->name);
    else if (loss && vectors && m->of_scores != loss->scored)
        ft_recipe_complain(r, key, "%s needs rows %s a score, found loss: %s", m->name, m->of_scores ? "with" : "without",
                           loss->name);
}

static void plan_vectors(ft_plan *p, ft_recipe *r)
{
    ft_train_options *o = &p->train_options;
    const char *name = text_of(r, "loss", 0), *pooling = text_of(r, "pooling", 0);
    const ft_vector_loss *loss = name ? ft_vector_loss_named(name) : NULL;
    if (name && !loss && !is(name, "next_token"))
        complain_name(r, "loss", "loss", name, ft_choice_loss);
    for (size_t i = 0; i < p->n_metrics; i++)
        check_metric(r, "metrics", p->metrics[i], loss);
    if (o->metric_for_best)
        check_metric(r, "metric_for_best_model", o->metric_for_best, loss);
    if (!loss)
        return;
    o->objective = (ft_vector_objective){.loss = loss, .scale = float_of(r, "loss_scale"), .margin = float_of(r, "loss_margin")};
    plan_dims(&o->objective, r);
    o->score.objective = &o->objective;
    o->score.objective_rows = o->micro_batch_size;
    p->pooling = pooling ? ft_pool_named(pooling) : FT_POOL_NONE;
    p->rows.vectors = true;
    p->rows.query_prompt = text_of(r, "query_prompt", 0);
    p->rows.document_prompt = text_of(r, "document_prompt", 0);
    if (loss->in_batch && o->micro_batch_size < 2)
        ft_recipe_complain(r, "micro_batch_size", "%s compares the rows of a micro-batch: at least 2 are needed", loss->name);
}

/* ---- exports ---- */

static void check_quant(ft_recipe *r, const char *key, const char *quant, ft_plan_export *e)
{
    e->automatic = is(quant, "auto");
    if (e->automatic) {
        if (e->exporter && strcmp(e->exporter->name, "gguf") != 0)
            ft_recipe_complain(r, key, "auto chooses among the types of gguf, found format %s", e->exporter->name);
        if (!e->gate.n)
            ft_recipe_complain(r, key, "auto needs a gate: it takes the smallest type that passes");
        return;
    }
    e->mix = ft_mix_named(quant);
    if (!e->mix) {
        complain_name(r, key, "type", quant, ft_choice_quant);
    } else if (e->exporter && !ft_exporter_writes(e->exporter, e->mix->name)) {
        ft_recipe_complain(r, key, "%s writes no %s (one of %s)", e->exporter->name, quant, e->exporter->dtypes);
    }
}

/* "runs/x/export/model-q8_0.gguf", "runs/x/export/hf-f16"; the adapter has its own place. */
static char *export_path(const ft_plan *p, const ft_plan_export *e)
{
    const char *quant = e->automatic ? "auto" : e->mix ? e->mix->name : e->exporter->quant;
    const char *dir = p->output_dir ? p->output_dir : ".";
    if (e->exporter->suffix)
        return ft_strf("%s/export/%s-%s%s", dir, p->name, quant, e->exporter->suffix);
    if (e->exporter->needs_adapter)
        return ft_path_join(dir, "adapter");
    return ft_strf("%s/export/%s%s%s", dir, e->exporter->name, quant ? "-" : "", quant ? quant : "");
}

static bool has_rows_to_score(const ft_plan *p)
{
    return p->n_val || p->n_test || p->val_set_size > 0;
}

static void plan_gate(ft_plan *p, ft_recipe *r, size_t i)
{
    char key[64];
    ft_plan_export *e = &p->exports[i];
    snprintf(key, sizeof key, "export[%zu].gate", i);
    for (size_t k = 0; k < ft_recipe_count(r, "export.gate", i); k++)
        if (ft_export_gate_put(&e->gate, ft_recipe_item(r, "export.gate", i, k)) != FT_OK)
            ft_recipe_complain(r, key, "%s", ft_error());
    for (size_t k = 0; ft_metrics[k]; k++)
        if (ft_export_gate_wants(&e->gate, ft_metrics[k]))
            check_labels_metric(p, r, key, ft_metrics[k]);
    if (e->gate.n && !has_rows_to_score(p))
        ft_recipe_complain(r, key, "a gate needs rows to measure on: test_datasets, val_datasets or val_set_size");
    if (e->gate.n && e->exporter && !ft_plan_scores(e))
        ft_recipe_complain(r, key, "%s holds the trained weights themselves, there is nothing to measure", e->exporter->name);
}

static ft_status plan_export(ft_plan *p, ft_recipe *r, size_t i)
{
    char key[64];
    ft_plan_export *e = &p->exports[i];
    const char *format = text_of(r, "export.format", i), *quant = text_of(r, "export.quant", i),
               *path = text_of(r, "export.path", i);
    e->exporter = format ? ft_exporter_named(format) : NULL;
    ft_recipe_f64(r, "export.min_survival", i, &e->min_survival);
    snprintf(key, sizeof key, "export[%zu].format", i);
    if (format && !e->exporter)
        complain_name(r, key, "export format", format, ft_choice_exporter);
    if (e->exporter && e->exporter->needs_adapter && !p->has_adapter)
        ft_recipe_complain(r, key, "%s needs an adapter, found adapter: none", format);
    plan_gate(p, r, i);
    e->calibrated = is(text_of(r, "export.rounding", i), "calibrated");
    snprintf(key, sizeof key, "export[%zu].rounding", i);
    if (e->calibrated && e->exporter && strcmp(e->exporter->name, "gguf") != 0)
        ft_recipe_complain(r, key, "calibrated rounding is for the types of gguf, found format %s", e->exporter->name);
    snprintf(key, sizeof key, "export[%zu].quant", i);
    if (quant)
        check_quant(r, key, quant, e);
    if (!e->exporter)
        return FT_OK;
    e->path = path ? ft_strdup(path) : export_path(p, e);
    return e->path ? FT_OK : FT_ENOMEM;
}

static void check_paths_differ(const ft_plan *p, ft_recipe *r)
{
    char key[64];
    for (size_t i = 1; i < p->n_exports; i++)
        for (size_t k = 0; k < i; k++)
            if (p->exports[i].path && p->exports[k].path && is(p->exports[i].path, p->exports[k].path)) {
                snprintf(key, sizeof key, "export[%zu].format", i);
                ft_recipe_complain(r, key, "two exports to %s: give one of them a path", p->exports[i].path);
            }
}

static ft_status plan_exports(ft_plan *p, ft_recipe *r)
{
    p->n_exports = ft_recipe_count(r, "export", 0);
    if (!(p->exports = ft_alloc(p->n_exports, sizeof *p->exports)))
        return FT_ENOMEM;
    for (size_t i = 0; i < p->n_exports; i++)
        FT_RETURN(plan_export(p, r, i));
    check_paths_differ(p, r);
    return FT_OK;
}

/* ---- the whole ---- */

static ft_status name_of(ft_plan *p, const char *path)
{
    const char *base = ft_path_base(path), *dot = strrchr(base, '.');
    p->name = ft_strndup(base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
    return p->name ? FT_OK : FT_ENOMEM;
}

static ft_status resolve(ft_plan *p, const char *path)
{
    ft_recipe *r = p->recipe;
    FT_RETURN(name_of(p, path));
    FT_RETURN(plan_sources(r, "datasets", &p->train, &p->n_train));
    FT_RETURN(plan_sources(r, "val_datasets", &p->val, &p->n_val));
    FT_RETURN(plan_sources(r, "test_datasets", &p->test, &p->n_test));
    plan_rows(p, r);
    FT_RETURN(plan_model(p, r));
    plan_labels(p, r);
    plan_metrics(p, r);
    plan_training(p, r);
    plan_vectors(p, r);
    FT_RETURN(plan_exports(p, r));
    ft_plan_choose_shown(p);
    return FT_OK;
}

ft_status ft_plan_open(ft_plan *out, const char *path, const char *const *overrides, size_t n)
{
    *out = (ft_plan){0};
    ft_status st = ft_recipe_open(&out->recipe, path, overrides, n);
    if (!out->recipe)
        return st;
    FT_TRY(resolve(out, path)); /* also after mistakes: all of them are told at once */
    FT_TRY(ft_recipe_check(out->recipe));
    FT_TRY(ft_recipe_print(out->recipe, &out->resolved));
    out->train_options.recipe_hash = ft_recipe_hash(out->recipe);
    out->train_options.recipe_text = out->resolved.p;
done:
    if (st != FT_OK)
        ft_plan_free(out);
    return st;
}

void ft_plan_free(ft_plan *p)
{
    for (size_t i = 0; p->exports && i < p->n_exports; i++)
        ft_free(p->exports[i].path);
    ft_free(p->exports);
    ft_free(p->train);
    ft_free(p->val);
    ft_free(p->test);
    ft_free(p->ranges);
    ft_free(p->layers);
    ft_free(p->name);
    ft_buf_free(&p->resolved);
    ft_recipe_free(p->recipe);
    *p = (ft_plan){0};
}
