/* fettle imatrix: what the columns of each matrix are multiplied with, over a text, for better rounding. */
#include "cmd/opened.h"
#include "cmd/progress.h"

#include <string.h>

enum { MAX_TEXT = 1 << 30 };

typedef struct collecting {
    const ft_args *args;
    ft_opened opened;
    ft_imatrix *imatrix;
    ft_ids ids;
    int64_t chunk, chunks;
    ft_meter meter;
    ft_status status; /* of on_linear */
} collecting;

static void on_linear(void *ctx, const ft_param *weight, const float *x, int64_t T, int64_t in)
{
    collecting *c = ctx;
    char name[128];
    if (c->status == FT_OK && ft_model_gguf_name(c->opened.model, weight->name, name, sizeof name))
        c->status = ft_imatrix_add(c->imatrix, name, x, T, in);
}

static ft_status read_text(collecting *c)
{
    ft_buf text = {.max = MAX_TEXT};
    ft_lines *lines = NULL;
    ft_status st = FT_OK;
    FT_TRY(ft_lines_open(&lines, ft_args_text(c->args, "text")));
    FT_TRY(ft_lines_rest(lines, &text));
    FT_TRY(ft_tokenizer_encode(c->opened.tok, (ft_str){text.p, text.n}, false, &c->ids));
done:
    ft_lines_close(lines);
    ft_buf_free(&text);
    return st;
}

/* How many whole chunks of the text there are, and how many are asked for. */
static ft_status choose_chunks(collecting *c)
{
    int64_t context = ft_model_config(c->opened.model)->max_position_embeddings;
    int64_t asked = ft_args_int(c->args, "chunks");
    bool bos = ft_tokenizer_add_bos(c->opened.tok);
    c->chunk = FT_MIN(ft_args_int(c->args, "chunk-tokens"), context);
    c->chunks = (int64_t)c->ids.n / (c->chunk - bos);
    if (asked > 0)
        c->chunks = FT_MIN(c->chunks, asked);
    if (c->chunks == 0)
        return ft_fail(FT_EINPUT, "%s: %zu tokens, a chunk has %lld: give more text or a smaller --chunk-tokens",
                       ft_args_text(c->args, "text"), c->ids.n, (long long)c->chunk);
    return FT_OK;
}

/* A chunk begins with BOS where the model's texts do. */
static ft_status run_chunk(collecting *c, ft_tape *t, int64_t i, int32_t *ids)
{
    bool bos = ft_tokenizer_add_bos(c->opened.tok);
    int64_t start[2] = {0, c->chunk};
    const ft_segments seg = {.n = 1, .start = start};
    if (bos)
        ids[0] = ft_tokenizer_bos(c->opened.tok);
    memcpy(ids + bos, c->ids.p + i * (c->chunk - bos), (size_t)(c->chunk - bos) * sizeof *ids);
    ft_tape_begin(t, false, 0, 0);
    if (!ft_model_forward(c->opened.model, t, ids, c->chunk, &seg, NULL, false))
        return ft_tape_status(t);
    return c->status;
}

static ft_status collect(collecting *c)
{
    ft_tape *t = NULL;
    ft_status st = FT_OK;
    int32_t *ids = ft_alloc((size_t)c->chunk, sizeof *ids);
    FT_TRY(ids ? FT_OK : FT_ENOMEM);
    FT_TRY(ft_tape_new(&t));
    ft_model_watch(c->opened.model, on_linear, c);
    for (int64_t i = 0; i < c->chunks; i++) {
        ft_meter_part(&c->meter, "imatrix", (size_t)i, (size_t)c->chunks);
        FT_TRY(run_chunk(c, t, i, ids));
    }
    ft_meter_part(&c->meter, "imatrix", (size_t)c->chunks, (size_t)c->chunks);
done:
    ft_model_watch(c->opened.model, NULL, NULL);
    ft_tape_free(t);
    ft_free(ids);
    return st;
}

static ft_status put_result(const collecting *c, double seconds)
{
    json_t *o = json_object();
    ft_result_text(o, "path", ft_args_text(c->args, "out"));
    ft_result_int(o, "matrices", (int64_t)ft_imatrix_count(c->imatrix));
    ft_result_int(o, "chunks", c->chunks);
    ft_result_int(o, "chunk_tokens", c->chunk);
    ft_result_real(o, "time_s", seconds);
    return ft_result_print(c->args, o);
}

static ft_status run(const ft_args *a)
{
    collecting c = {.args = a, .meter = ft_meter_new(false, false)};
    double begun = ft_now_s();
    ft_status st = FT_OK;
    FT_TRY(ft_opened_open(&c.opened, a));
    FT_TRY(ft_imatrix_new(&c.imatrix));
    FT_TRY(read_text(&c));
    FT_TRY(choose_chunks(&c));
    ft_meter_label(&c.meter, ft_args_text(a, "out"));
    FT_TRY(collect(&c));
    FT_TRY(ft_imatrix_write(c.imatrix, ft_args_text(a, "out"), ft_args_text(a, "text"), c.chunk, c.chunks));
    st = put_result(&c, ft_now_s() - begun);
done:
    ft_ids_free(&c.ids);
    ft_imatrix_free(c.imatrix);
    ft_opened_close(&c.opened);
    return st;
}

static const ft_cmd_option options[] = {
    FT_MODEL_OPTION,
    {"text", FT_ARG_FILE, .argument = "FILE", .required = true,
     .help = "text like that which the model will see; may be gzipped"},
    {"out", FT_ARG_FILE, .argument = "FILE", .required = true,
     .help = "file to write: GGUF, or llama.cpp's older format where the name ends in .dat"},
    {"chunk-tokens", FT_ARG_INT, .argument = "N", .fallback = "512", .min = 8, .max = 1048576,
     .help = "tokens that are run together"},
    {"chunks", FT_ARG_INT, .argument = "N", .fallback = "0", .min = 0, .max = 1e9,
     .help = "the most chunks to run; 0: the whole text"},
    FT_ADAPTER_OPTION,
    FT_TEMPLATE_OPTION,
    FT_JSON_OPTION,
    {0}};

const ft_cmd ft_cmd_imatrix = {
    .name = "imatrix",
    .summary = "measure on text which columns of each matrix matter",
    .about = "Runs the text through the model and notes the mean square of what each column of each matrix is multiplied "
             "with. fettle quantize and llama.cpp's own quantizer weigh their rounding with it; llama.cpp's files are read "
             "likewise.",
    .options = options,
    .example = "fettle imatrix data/base --text notes.txt --out base.imatrix\n"
               "fettle quantize data/base base-q4_k_m.gguf --type q4_k_m --imatrix base.imatrix",
    .run = run};
