/* fettle init: a model with random weights from a config.json. */
#include "cmd/cmd.h"
#include "cmd/choices.h"
#include "cmd/progress.h"

static ft_status open_tokenizer(ft_tokenizer **out, const ft_args *a)
{
    const char *path = ft_args_text(a, "tokenizer");
    *out = NULL;
    return path ? ft_tokenizer_open(out, path) : FT_OK;
}

static ft_status check_vocabulary(const ft_model *m, const ft_tokenizer *tok, const char *config)
{
    int64_t vocab = ft_model_config(m)->vocab_size;
    if (!tok || ft_tokenizer_size(tok) <= vocab)
        return FT_OK;
    return ft_fail(FT_EINPUT, "%s: vocab_size %lld, the tokenizer has %d tokens", config, (long long)vocab,
                   (int)ft_tokenizer_size(tok));
}

static ft_status put_result(const ft_args *a, ft_model *m)
{
    json_t *o = json_object();
    int64_t n = 0;
    for (size_t i = 0; i < ft_model_count(m); i++)
        n += ft_tensor_count(&ft_model_at(m, i)->t);
    ft_result_text(o, "path", ft_args_text(a, "out"));
    ft_result_int(o, "parameters", n);
    return ft_result_print(a, o);
}

static ft_status run(const ft_args *a)
{
    ft_model *m = NULL;
    ft_tokenizer *tok = NULL;
    ft_meter meter = ft_meter_new(false, false);
    const char *config = ft_args_text(a, "CONFIG");
    ft_status st = FT_OK;
    FT_TRY(open_tokenizer(&tok, a));
    FT_TRY(ft_model_unmade(&m, config, (uint64_t)ft_args_int(a, "seed")));
    FT_TRY(check_vocabulary(m, tok, config));
    ft_export_request r = {.model = m,
                           .tokenizer = tok,
                           .path = ft_args_text(a, "out"),
                           .dtype = ft_dtype_named(ft_args_text(a, "dtype")),
                           .name = ft_path_base(ft_args_text(a, "out")),
                           .progress = ft_meter_part,
                           .ctx = &meter};
    FT_TRY(ft_exporter_named("hf")->write(&r));
    st = put_result(a, m);
done:
    ft_tokenizer_free(tok);
    ft_model_free(m);
    return st;
}

/* Types a Hugging Face directory can hold. */
static const char *choice_float(size_t i)
{
    for (size_t k = 0; ft_dtypes[k]; k++)
        if (ft_dtypes[k]->is_float && i-- == 0)
            return ft_dtypes[k]->name;
    return NULL;
}

static const ft_cmd_option options[] = {
    {"CONFIG", FT_ARG_FILE, .positional = true, .required = true, .help = "a config.json in Hugging Face's form"},
    {"out", FT_ARG_FILE, .argument = "DIR", .required = true, .help = "directory to write"},
    {"tokenizer", FT_ARG_FILE, .argument = "PATH", .help = "a tokenizer to carry along (directory or file)"},
    {"seed", FT_ARG_INT, .argument = "N", .fallback = "42", .min = 0, .max = 9007199254740992.0,
     .help = "seed of the weights"},
    {"dtype", FT_ARG_NAME, .argument = "TYPE", .fallback = "f32", .choice = choice_float,
     .help = "type of the weights"},
    {"json", FT_ARG_FLAG, .help = "print one JSON object instead of text"},
    {0}};

const ft_cmd ft_cmd_init = {.name = "init",
                            .summary = "make a model with random weights from a config.json",
                            .about = "Makes a model of the shape that a config.json describes, with random weights, "
                                     "as a Hugging Face directory: the start of pretraining. The same seed gives the "
                                     "same weights.",
                            .options = options,
                            .example = "fettle init config.json --tokenizer runs/base-init --out runs/base-random",
                            .run = run};
