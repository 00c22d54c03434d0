#include "cmd/job.h"

ft_status ft_job_open(ft_job *j, const ft_args *a)
{
    const char *sets[FT_MAX_ARGS];
    size_t n = ft_args_count(a, "set");
    int64_t threads = 0;
    for (size_t i = 0; i < n; i++)
        sets[i] = ft_args_item(a, "set", i);
    FT_RETURN(ft_plan_open(&j->plan, ft_args_text(a, "RECIPE"), sets, n));
    if (!ft_args_given(a, "threads") && ft_recipe_i64(j->plan.recipe, "threads", 0, &threads) && threads > 0)
        ft_threads_set((int)threads);
    return FT_OK;
}

static ft_status read_sources(ft_dataset *d, const ft_data_source *sources, size_t n)
{
    for (size_t i = 0; i < n; i++)
        FT_RETURN(ft_dataset_read(d, &sources[i], NULL));
    return FT_OK;
}

/* Train must hold no row of val nor of test: both stand as one dataset, whose rows are borrowed, against it. */
static ft_status lint(ft_job *j)
{
    ft_dataset held_out = {.n = j->val.n + j->test.n};
    if (!(held_out.examples = ft_alloc(held_out.n, sizeof *held_out.examples)))
        return FT_ENOMEM;
    for (size_t i = 0; i < held_out.n; i++)
        held_out.examples[i] = i < j->val.n ? j->val.examples[i] : j->test.examples[i - j->val.n];
    ft_status st = ft_dataset_lint(&j->train, &held_out, j->plan.dedup, &j->lint);
    ft_free(held_out.examples);
    return st;
}

ft_status ft_job_data(ft_job *j)
{
    const ft_plan *p = &j->plan;
    ft_meter_say(&j->meter, "reading %s%s", p->train[0].path, p->n_train + p->n_val + p->n_test > 1 ? " ..." : "");
    FT_RETURN(read_sources(&j->train, p->train, p->n_train));
    FT_RETURN(read_sources(&j->val, p->val, p->n_val));
    FT_RETURN(read_sources(&j->test, p->test, p->n_test));
    if (p->val_set_size > 0)
        FT_RETURN(ft_dataset_split(&j->train, &j->val, p->val_set_size, p->train_options.seed));
    return lint(j);
}

ft_status ft_job_fit_metrics(ft_job *j)
{
    ft_plan *p = &j->plan;
    ft_train_options *o = &p->train_options;
    size_t kept = 0;
    if (!ft_dataset_is_text(&j->val) && !ft_dataset_is_text(&j->test))
        return FT_OK;
    for (size_t i = 0; i < p->n_metrics; i++) {
        if (p->metrics[i]->source == FT_METRIC_TEXT)
            ft_note(FT_NOTE, "metric %s needs answers to generate, the rows to evaluate on are plain text: left out",
                    p->metrics[i]->name);
        else
            p->metrics[kept++] = p->metrics[i];
    }
    o->score.n_metrics = p->n_metrics = kept;
    ft_plan_choose_shown(p);
    for (size_t i = 0; i < p->n_exports; i++)
        if (ft_export_gate_generates(&p->exports[i].gate))
            return ft_fail(FT_EINPUT, "%s: a limit of the gate needs answers to generate, the rows to evaluate on are plain text",
                           ft_recipe_place(p->recipe, "export.gate", i));
    if (o->metric_for_best && o->metric_for_best->source == FT_METRIC_TEXT)
        return ft_fail(
            FT_EINPUT,
            "%s: metric_for_best_model: %s needs answers to generate, the rows to evaluate on are plain text",
            ft_recipe_place(p->recipe, "metric_for_best_model", 0), o->metric_for_best->name);
    return FT_OK;
}

static ft_status tokenizer_beside(ft_tokenizer **out, const char *config)
{
    char *dir = ft_is_dir(config) ? ft_strdup(config) : ft_path_dir(config);
    ft_status st = dir ? ft_tokenizer_open(out, dir) : FT_ENOMEM;
    ft_free(dir);
    return st;
}

static ft_status outline_of_config(ft_model **out, const char *config)
{
    char *inside = ft_is_dir(config) ? ft_path_join(config, "config.json") : ft_strdup(config);
    ft_status st = inside ? ft_model_outline(out, inside, &(ft_model_options){.trainable = true}) : FT_ENOMEM;
    ft_free(inside);
    return st;
}

static ft_status init_weights(ft_job *j)
{
    const ft_plan *p = &j->plan;
    if (j->outline)
        return outline_of_config(&j->model, p->init_from_config);
    return ft_model_init(&j->model, p->init_from_config, p->train_options.seed);
}

static ft_status make_model(ft_job *j, bool train)
{
    const ft_plan *p = &j->plan;
    FT_RETURN(tokenizer_beside(&j->tok, p->init_from_config));
    if (!train)
        return FT_OK;
    FT_RETURN(init_weights(j));
    int64_t vocab = ft_model_config(j->model)->vocab_size;
    if (ft_tokenizer_size(j->tok) > vocab)
        return ft_fail(FT_EINPUT, "%s: vocab_size %lld, but the tokenizer beside it has %d tokens", p->init_from_config,
                       (long long)vocab, (int)ft_tokenizer_size(j->tok));
    return FT_OK;
}

static ft_status fresh_adapter(ft_job *j)
{
    FT_RETURN(ft_plan_layers(&j->plan, ft_model_config(j->model)->num_hidden_layers));
    return ft_adapter_attach(j->model, &j->plan.adapter);
}

/* An adapter makes up for what its base lost when that was quantized. */
static ft_status say_other_base(const ft_plan *p)
{
    const ft_dtype *was;
    FT_RETURN(ft_adapter_base_dtype(&was, p->lora_model_dir));
    if (was && was != p->quantize_base)
        ft_note(FT_WARN, "%s was trained beside a base in %s, here it is %s: give adapter: qlora and quantize_base: %s",
                p->lora_model_dir, was->name, p->quantize_base ? p->quantize_base->name : "as stored", was->name);
    return FT_OK;
}

static ft_status continue_adapter(ft_job *j)
{
    const ft_plan *p = &j->plan;
    FT_RETURN(ft_context(ft_adapter_load(j->model, p->lora_model_dir, true), "%s: lora_model_dir",
                         ft_recipe_place(p->recipe, "lora_model_dir", 0)));
    ft_adapter_set_dropout(j->model, p->adapter.dropout);
    return say_other_base(p);
}

static ft_status open_weights(ft_job *j, bool train)
{
    ft_plan *p = &j->plan;
    ft_model_options o = {.trainable = train && !p->has_adapter, .quantize_base = p->quantize_base};
    FT_RETURN(j->outline ? ft_model_outline(&j->model, p->base_model, &o)
                         : ft_model_open(&j->model, p->base_model, &o));
    if (!train || !p->has_adapter)
        return FT_OK;
    if (ft_adapter_attached(j->model))
        return ft_fail(FT_EUNSUPPORTED,
                       "%s: has an adapter already; merge it first: fettle export %s --format hf --out DIR",
                       p->base_model, p->base_model);
    return p->lora_model_dir ? continue_adapter(j) : fresh_adapter(j);
}

static ft_status open_model(ft_job *j, bool train)
{
    FT_RETURN(open_weights(j, train));
    return ft_tokenizer_open(&j->tok, ft_model_tokenizer_path(j->model));
}

/* Tokens that the model has positions for; of a model that is still to be made, what its config says. */
static ft_status context_of(const ft_job *j, int64_t *context)
{
    json_t *config = NULL;
    const char *path = j->plan.init_from_config;
    if (j->model) {
        *context = ft_model_config(j->model)->max_position_embeddings;
        return FT_OK;
    }
    char *inside = ft_is_dir(path) ? ft_path_join(path, "config.json") : ft_strdup(path);
    ft_status st = inside ? ft_json_file(&config, inside, (size_t)1 << 26) : FT_ENOMEM;
    if (st == FT_OK)
        st = ft_json_i64(config, "max_position_embeddings", inside, INT64_MAX, context);
    json_decref(config);
    ft_free(inside);
    return st;
}

/* A sequence_len past the model's context is refused where somebody chose it; the default gives way, and says so. */
static ft_status fit_context(ft_job *j)
{
    ft_plan *p = &j->plan;
    int64_t context, usual = 0;
    FT_RETURN(context_of(j, &context));
    if (p->rows.max_tokens <= context)
        return FT_OK;
    ft_parse_i64(ft_option_named("sequence_len")->fallback, &usual);
    if (p->rows.max_tokens != usual)
        return ft_fail(FT_EINPUT, "%s: sequence_len: found %lld, expected at most %lld, the model's context "
                       "(max_position_embeddings)", ft_recipe_place(p->recipe, "sequence_len", 0),
                       (long long)p->rows.max_tokens, (long long)context);
    ft_note(FT_NOTE, "sequence_len: %lld instead of the default %lld, it is the model's context", (long long)context,
            (long long)usual);
    p->rows.max_tokens = context;
    return FT_OK;
}

/* The way of pooling and the prompts that the recipe asks for, else the model's own, else the mean, on the model and for the
 * rows; lengths of vectors that the model does not have. */
static ft_status set_pooling(ft_job *j)
{
    ft_plan *p = &j->plan;
    const ft_vector_objective *o = &p->train_options.objective;
    if (!o->loss || !j->model)
        return FT_OK;
    ft_pooling own = *ft_model_pooling(j->model), new = own;
    const char *query = NULL, *document = NULL;
    ft_recipe_str(p->recipe, "query_prompt", 0, &query);
    ft_recipe_str(p->recipe, "document_prompt", 0, &document);
    new.kind = p->pooling != FT_POOL_NONE ? p->pooling : own.kind != FT_POOL_NONE ? own.kind : FT_POOL_MEAN;
    new.normalize = own.normalize || own.kind == FT_POOL_NONE;
    new.query_prompt = query ? query : own.query_prompt;
    new.document_prompt = document ? document : own.document_prompt;
    if (own.kind == FT_POOL_NONE && p->pooling == FT_POOL_NONE)
        ft_note(FT_NOTE, "pooling: mean; the model does not say how it pools");
    for (size_t i = 0; i < o->n_dims; i++)
        if (o->dims[i] > ft_model_config(j->model)->hidden_size)
            return ft_fail(FT_EINPUT, "%s: matryoshka_dims: %lld, the model's vectors have %lld",
                           ft_recipe_place(p->recipe, "matryoshka_dims", 0), (long long)o->dims[i],
                           (long long)ft_model_config(j->model)->hidden_size);
    FT_RETURN(ft_model_set_pooling(j->model, &new));
    p->rows.query_prompt = ft_model_pooling(j->model)->query_prompt;
    p->rows.document_prompt = ft_model_pooling(j->model)->document_prompt;
    return FT_OK;
}

ft_status ft_job_model(ft_job *j, bool train)
{
    const ft_plan *p = &j->plan;
    const char *from = p->base_model ? p->base_model : p->init_from_config;
    if (!from)
        return ft_fail(FT_EINPUT, "the recipe names neither base_model nor init_from_config");
    ft_meter_say(&j->meter, "loading %s", from);
    FT_RETURN(p->base_model ? open_model(j, train) : make_model(j, train));
    FT_RETURN(set_pooling(j));
    FT_RETURN(ft_chat_template_pick(&j->chat, p->chat_template, j->tok));
    j->plan.rows.chat = j->chat;
    return fit_context(j);
}

ft_status ft_job_outline(ft_job *j)
{
    j->outline = true;
    return ft_job_model(j, true);
}

ft_status ft_job_fill(ft_job *j)
{
    ft_model_free(j->model);
    j->model = NULL;
    j->outline = false;
    FT_RETURN(j->plan.base_model ? open_weights(j, true) : init_weights(j));
    return set_pooling(j);
}

/* ---- labels ---- */

static ft_status collect_labels(ft_labels *l, const ft_job *j)
{
    const ft_recipe *r = j->plan.recipe;
    if (j->plan.labels_of_train)
        return ft_labels_of_answers(l, &j->train);
    for (size_t i = 0; i < ft_recipe_count(r, "labels", 0); i++)
        FT_RETURN(ft_labels_add(l, ft_str_of(ft_recipe_item(r, "labels", 0, i))));
    ft_labels_count(l, &j->train);
    return FT_OK;
}

static ft_status make_labels(ft_job *j)
{
    ft_plan *p = &j->plan;
    ft_labels *l = &j->labeling.labels;
    const char *place = ft_recipe_place(p->recipe, "labels", 0);
    FT_RETURN(ft_context(collect_labels(l, j), "%s: labels%s", place, p->labels_of_train ? ": train" : ""));
    if (l->n < 2)
        return ft_fail(FT_EINPUT, "%s: labels: the training rows have %zu answers, at least 2 are needed", place, l->n);
    FT_RETURN(ft_context(ft_labels_encode(l, &j->train, j->tok, &p->rows), "%s", place));
    if (ft_dataset_is_text(&j->val) || ft_dataset_is_text(&j->test))
        return ft_fail(FT_EINPUT, "%s: labels: the rows to evaluate on are plain text and have no answers", place);
    ft_labeling_check(&j->labeling, "val", &j->val_rows);
    ft_labeling_check(&j->labeling, "test", &j->test_rows);
    j->labeling.confidence = (ft_confidence){.temperature = 1, .threshold = p->abstain_confidence};
    p->train_options.score.labels = p->final_score.labels = l;
    return FT_OK;
}

ft_status ft_job_rows(ft_job *j)
{
    const ft_rows_options *o = &j->plan.rows;
    FT_RETURN(ft_context(ft_rows_build(&j->train_rows, &j->train, j->tok, o), "datasets"));
    if (j->val.n)
        FT_RETURN(ft_context(ft_rows_build(&j->val_rows, &j->val, j->tok, o), "val_datasets"));
    if (j->test.n)
        FT_RETURN(ft_context(ft_rows_build(&j->test_rows, &j->test, j->tok, o), "test_datasets"));
    return j->plan.has_labels ? make_labels(j) : FT_OK;
}

const ft_rows *ft_job_choosing(const ft_job *j)
{
    return j->val_rows.n ? &j->val_rows : ft_job_scored(j);
}

const ft_rows *ft_job_scored(const ft_job *j)
{
    if (j->test_rows.n)
        return &j->test_rows;
    return j->val_rows.n ? &j->val_rows : NULL;
}

const ft_dataset *ft_job_scored_data(const ft_job *j)
{
    return j->test_rows.n ? &j->test : &j->val;
}

void ft_job_close(ft_job *j)
{
    ft_rows_free(&j->train_rows);
    ft_rows_free(&j->val_rows);
    ft_rows_free(&j->test_rows);
    ft_labeling_free(&j->labeling);
    ft_tokenizer_free(j->tok);
    ft_model_free(j->model);
    ft_dataset_free(&j->train);
    ft_dataset_free(&j->val);
    ft_dataset_free(&j->test);
    ft_plan_free(&j->plan);
}
