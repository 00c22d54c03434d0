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

ft_status ft_job_data(ft_job *j)
{
    const ft_plan *p = &j->plan;
    ft_meter_say(&j->meter, "reading %s%s", p->train[0].path, p->n_train + p->n_eval > 1 ? " ..." : "");
    FT_RETURN(read_sources(&j->train, p->train, p->n_train));
    FT_RETURN(read_sources(&j->eval, p->eval, p->n_eval));
    if (!p->n_eval && p->val_set_size > 0)
        FT_RETURN(ft_dataset_split(&j->train, &j->eval, p->val_set_size, p->train_options.seed));
    FT_RETURN(ft_dataset_lint(&j->train, &j->eval, p->dedup, &j->lint));
    if (j->train.n == 0)
        return ft_fail(FT_EINPUT, "%s: no rows to train on are left", p->train[0].path);
    return FT_OK;
}

static ft_status tokenizer_beside(ft_tokenizer **out, const char *config)
{
    char *dir = ft_is_dir(config) ? ft_strdup(config) : ft_path_dir(config);
    ft_status st = dir ? ft_tokenizer_open(out, dir) : FT_ENOMEM;
    ft_free(dir);
    return st;
}

static ft_status make_model(ft_job *j, bool train)
{
    const ft_plan *p = &j->plan;
    FT_RETURN(tokenizer_beside(&j->tok, p->init_from_config));
    if (!train)
        return FT_OK;
    FT_RETURN(ft_model_init(&j->model, p->init_from_config, p->train_options.seed));
    int64_t vocab = ft_model_config(j->model)->vocab_size;
    if (ft_tokenizer_size(j->tok) > vocab)
        return ft_fail(FT_EINPUT, "%s: vocab_size %lld, but the tokenizer beside it has %d tokens", p->init_from_config,
                       (long long)vocab, (int)ft_tokenizer_size(j->tok));
    return FT_OK;
}

static ft_status open_model(ft_job *j, bool train)
{
    const ft_plan *p = &j->plan;
    ft_model_options o = {.trainable = train && !p->has_adapter};
    FT_RETURN(ft_model_open(&j->model, p->base_model, &o));
    FT_RETURN(ft_tokenizer_open(&j->tok, ft_model_tokenizer_path(j->model)));
    if (!train || !p->has_adapter)
        return FT_OK;
    if (ft_adapter_attached(j->model))
        return ft_fail(FT_EUNSUPPORTED, "%s: has an adapter already; merge it first: fettle export %s --format hf --out DIR",
                       p->base_model, p->base_model);
    return ft_adapter_attach(j->model, &p->adapter);
}

ft_status ft_job_model(ft_job *j, bool train)
{
    const ft_plan *p = &j->plan;
    const char *from = p->base_model ? p->base_model : p->init_from_config;
    if (!from)
        return ft_fail(FT_EINPUT, "the recipe names neither base_model nor init_from_config");
    ft_meter_say(&j->meter, "loading %s", from);
    FT_RETURN(p->base_model ? open_model(j, train) : make_model(j, train));
    FT_RETURN(ft_chat_template_pick(&j->chat, p->chat_template, j->tok));
    j->plan.rows.chat = j->chat;
    return FT_OK;
}

ft_status ft_job_rows(ft_job *j)
{
    FT_RETURN(ft_context(ft_rows_build(&j->train_rows, &j->train, j->tok, &j->plan.rows), "rows to train on"));
    if (j->eval.n)
        FT_RETURN(ft_context(ft_rows_build(&j->eval_rows, &j->eval, j->tok, &j->plan.rows), "rows to evaluate on"));
    return FT_OK;
}

bool ft_job_only_text(const ft_job *j)
{
    for (size_t i = 0; i < j->eval.n; i++)
        if (j->eval.examples[i].kind != FT_TEXT)
            return false;
    return true;
}

void ft_job_close(ft_job *j)
{
    ft_rows_free(&j->train_rows);
    ft_rows_free(&j->eval_rows);
    ft_tokenizer_free(j->tok);
    ft_model_free(j->model);
    ft_dataset_free(&j->train);
    ft_dataset_free(&j->eval);
    ft_plan_free(&j->plan);
}
