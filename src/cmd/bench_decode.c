/* fettle bench decode: reading prompts and making tokens, with a file's weights or random ones, and random prompts.
 *
 * The clock of a prompt runs from the call to its first token, that of new tokens from there to the last.
 */
#include "cmd/bench.h"

typedef struct decoding {
    ft_model *model;
    ft_decode_request *requests; /* [batch] */
    int32_t *prompts, *made;     /* [batch, prompt], [batch, new] */
    int64_t batch, prompt, new_tokens;
    double begun, first, prompt_s, new_s; /* the best of all runs */
} decoding;

static bool on_token(void *ctx, size_t row, int32_t id)
{
    decoding *d = ctx;
    (void)row;
    (void)id;
    if (d->first == 0)
        d->first = ft_now_s();
    return true;
}

static ft_status run_once(void *ctx)
{
    decoding *d = ctx;
    ft_decode_options o = {.sampling = {.top_p = 1},
                           .max_tokens_at_once = d->batch * d->prompt,
                           .max_rows = d->batch,
                           .on_token = on_token,
                           .ctx = d};
    d->first = 0;
    d->begun = ft_now_s();
    FT_RETURN(ft_decode(d->model, d->requests, (size_t)d->batch, &o));
    double prompt_s = d->first - d->begun, new_s = ft_now_s() - d->first;
    d->prompt_s = d->prompt_s > 0 ? FT_MIN(d->prompt_s, prompt_s) : prompt_s;
    d->new_s = d->new_s > 0 ? FT_MIN(d->new_s, new_s) : new_s;
    return FT_OK;
}

static ft_status open_file(decoding *d, const ft_args *a)
{
    const char *path = ft_args_text(a, "MODEL");
    if (ft_args_given(a, "shape") || ft_args_given(a, "dtype"))
        return ft_fail(FT_EINPUT, "%s: a file has a shape and types of its own, without --shape and --dtype", path);
    FT_RETURN(ft_model_open(&d->model, path, NULL));
    int64_t positions = ft_model_config(d->model)->max_position_embeddings, wanted = d->prompt + d->new_tokens;
    if (wanted > positions)
        return ft_fail(FT_EINPUT, "%s: --prompt and --new need %lld positions, the model has %lld", path,
                       (long long)wanted, (long long)positions);
    if (!ft_model_head(d->model))
        return ft_fail(FT_EINPUT, "%s: an encoder continues no text", path);
    return FT_OK;
}

static ft_status make_model(decoding *d, const ft_args *a)
{
    if (ft_args_given(a, "MODEL"))
        return open_file(d, a);
    return ft_shape_model(&d->model, ft_shape_named(ft_args_text(a, "shape")), d->prompt + d->new_tokens,
                          ft_dtype_named(ft_args_text(a, "dtype")), false, NULL);
}

static ft_status set_up(decoding *d, const ft_args *a)
{
    d->batch = ft_args_int(a, "batch");
    d->prompt = ft_args_int(a, "prompt");
    d->new_tokens = ft_args_int(a, "new");
    FT_RETURN(make_model(d, a));
    float vocab = (float)ft_model_config(d->model)->vocab_size;
    d->requests = ft_alloc((size_t)d->batch, sizeof *d->requests);
    d->prompts = ft_alloc((size_t)(d->batch * d->prompt), sizeof *d->prompts);
    d->made = ft_alloc((size_t)(d->batch * d->new_tokens), sizeof *d->made);
    if (!d->requests || !d->prompts || !d->made)
        return FT_ENOMEM;
    for (int64_t i = 0; i < d->batch * d->prompt; i++)
        d->prompts[i] = (int32_t)(ft_uniform(1, FT_STREAM_TEST, 0, (uint64_t)i) * vocab);
    for (int64_t i = 0; i < d->batch; i++)
        d->requests[i] = (ft_decode_request){.prompt = d->prompts + i * d->prompt,
                                             .n = d->prompt,
                                             .out = d->made + i * d->new_tokens,
                                             .max_new = d->new_tokens};
    return FT_OK;
}

/* What a token has to be multiplied with, so what one row's decoding reads for each: all but a table of embeddings. */
static double read_bytes(ft_model *m)
{
    double bytes = 0;
    for (size_t i = 0; i < ft_model_count(m); i++)
        bytes += (double)ft_tensor_bytes(&ft_model_at(m, i)->t);
    const ft_param *embedding = ft_model_find(m, "model.embed_tokens.weight");
    return embedding == ft_model_head(m) ? bytes : bytes - (double)ft_tensor_bytes(&embedding->t);
}

static ft_status print(const decoding *d, const ft_args *a)
{
    json_t *o = json_object();
    double steps = (double)(d->new_tokens - 1), rate = steps / d->new_s;
    if (ft_args_given(a, "MODEL")) {
        ft_result_text(o, "model", ft_args_text(a, "MODEL"));
    } else {
        ft_result_text(o, "shape", ft_args_text(a, "shape"));
        ft_result_text(o, "dtype", ft_args_text(a, "dtype"));
    }
    ft_result_int(o, "batch", d->batch);
    ft_result_int(o, "prompt", d->prompt);
    ft_result_int(o, "new", d->new_tokens);
    ft_result_real(o, "prompt_tokens_per_s", (double)(d->batch * d->prompt) / d->prompt_s);
    ft_result_real(o, "tokens_per_s", (double)d->batch * rate);
    ft_result_real(o, "token_s", 1 / rate);
    ft_result_int(o, "weight_bytes", (int64_t)read_bytes(d->model));
    ft_result_real(o, "weight_gb_per_s", 1e-9 * read_bytes(d->model) * rate);
    ft_result_int(o, "peak_rss_bytes", (int64_t)ft_peak_rss_bytes());
    ft_bench_put_machine(o);
    return ft_result_print(a, o);
}

static ft_status run(const ft_args *a)
{
    decoding d = {0};
    ft_status st = FT_OK;
    ft_contestant *c = ft_alloc(1, sizeof *c);
    if (!c)
        return FT_ENOMEM;
    ft_stop_on_signals();
    FT_TRY(set_up(&d, a));
    c->run = run_once;
    c->ctx = &d;
    FT_TRY(ft_bench(c, 1, ft_args_int(a, "rounds"), 0));
    st = print(&d, a);
done:
    ft_model_free(d.model);
    ft_free(d.requests);
    ft_free(d.prompts);
    ft_free(d.made);
    ft_free(c);
    return st;
}

static const ft_cmd_option options[] = {
    {"MODEL", FT_ARG_FILE, .positional = true,
     .help = "a Hugging Face directory or a .gguf file (default: random weights of --shape)"},
    FT_SHAPE_OPTION,
    {"dtype", FT_ARG_NAME, .argument = "T", .fallback = "q8_0", .choice = ft_choice_dtype,
     .help = "how the weights are stored"},
    {"prompt", FT_ARG_INT, .argument = "N", .fallback = "512", .min = 1, .max = 65536, .help = "tokens of a prompt"},
    {"new", FT_ARG_INT, .argument = "N", .fallback = "64", .min = 2, .max = 65536, .help = "tokens to make for a row"},
    {"batch", FT_ARG_INT, .argument = "N", .fallback = "1", .min = 1, .max = 256, .help = "rows decoded together"},
    FT_ROUNDS_OPTION("3"),
    FT_BENCH_JSON,
    {0}};

const ft_cmd ft_cmd_bench_decode = {
    .name = "bench decode",
    .summary = "measure decoding, of a file or of random weights",
    .about = "Decodes random prompts greedily and prints tokens a second of the prompts and of what is made behind them, "
             "and the rate at which the weights are read for it: one row's decoding is bound by memory. Times are the "
             "best of the rounds.",
    .options = options,
    .example = "fettle bench decode --shape tinyllama-1.1b --dtype q8_0\nfettle bench decode model-q8_0.gguf --batch 8",
    .run = run};
