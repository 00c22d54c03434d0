/* fettle embed: texts to vectors, as JSON lines or a safetensors file. */
#include "cmd/choices.h"
#include "cmd/opened.h"
#include "cmd/progress.h"

#include <string.h>

enum { MAX_TEXTS = 1 << 24 };

typedef struct embedding {
    const ft_args *args;
    ft_opened opened;
    ft_meter meter;
    ft_arena *arena; /* texts and ids */
    ft_str *texts;   /* [n] */
    ft_text *ids;    /* [n] */
    size_t n, cap;
    int64_t C, dims, cut; /* of a vector; that are given out; texts that were too long */
    float *vectors;       /* [n, C] */
} embedding;

/* ---- texts ---- */

static ft_status add_text(embedding *e, ft_str text)
{
    if (e->n == MAX_TEXTS)
        return ft_fail(FT_EINPUT, "more than %d texts", MAX_TEXTS);
    if (e->n == e->cap) {
        size_t cap = e->cap ? 2 * e->cap : 64;
        ft_str *texts = ft_resize(e->texts, cap, sizeof *texts);
        if (!texts)
            return FT_ENOMEM;
        e->texts = texts;
        e->cap = cap;
    }
    char *copy = ft_arena_strndup(e->arena, text.p ? text.p : "", text.n);
    e->texts[e->n++] = (ft_str){copy, text.n};
    return copy ? FT_OK : FT_ENOMEM;
}

static ft_status read_lines(embedding *e, const char *path)
{
    ft_lines *lines = NULL;
    ft_str line;
    bool more = true;
    ft_status st = FT_OK;
    FT_TRY(ft_lines_open(&lines, path));
    while ((st = ft_lines_next(lines, &line, &more)) == FT_OK && more)
        if (ft_text_trim(line).n)
            FT_TRY(add_text(e, line));
done:
    ft_lines_close(lines);
    return st;
}

static ft_status read_texts(embedding *e)
{
    const ft_args *a = e->args;
    for (size_t i = 0; i < ft_args_count(a, "text"); i++)
        FT_RETURN(add_text(e, ft_str_of(ft_args_item(a, "text", i))));
    for (size_t i = 0; i < ft_args_count(a, "input"); i++)
        FT_RETURN(read_lines(e, ft_args_item(a, "input", i)));
    return e->n ? FT_OK : ft_fail(FT_EINPUT, "no texts: give --text or --input\ntype: fettle embed --help");
}

/* What stands before each text. */
static ft_status prompt_of(const embedding *e, const char **out)
{
    const ft_args *a = e->args;
    const ft_pooling *p = ft_model_pooling(e->opened.model);
    if (ft_args_given(a, "query") + ft_args_given(a, "document") + ft_args_given(a, "prompt") > 1)
        return ft_fail(FT_EINPUT, "--query, --document and --prompt exclude each other");
    *out = ft_args_given(a, "prompt")     ? ft_args_text(a, "prompt")
           : ft_args_given(a, "query")    ? p->query_prompt
           : ft_args_given(a, "document") ? p->document_prompt
                                          : NULL;
    return FT_OK;
}

/* ---- ids ---- */

static ft_status tokenize(embedding *e)
{
    int64_t most = ft_model_config(e->opened.model)->max_position_embeddings;
    const char *prompt = NULL;
    ft_ids ids = {0};
    ft_status st = FT_OK;
    if (!(e->ids = ft_alloc(e->n, sizeof *e->ids)))
        return FT_ENOMEM;
    FT_TRY(prompt_of(e, &prompt));
    for (size_t i = 0; i < e->n; i++) {
        ids.n = 0;
        FT_TRY(ft_context(ft_text_ids(&ids, e->texts[i], prompt, e->opened.tok), "text %zu", i + 1));
        e->cut += ft_text_cut(&ids, e->opened.tok, most);
        int32_t *copy = ft_arena_alloc(e->arena, ids.n, sizeof *copy);
        if (!copy) {
            st = FT_ENOMEM;
            goto done;
        }
        memcpy(copy, ids.p, ids.n * sizeof *copy);
        e->ids[i] = (ft_text){copy, (int64_t)ids.n};
    }
    if (e->cut)
        ft_note(FT_WARN, "%lld of %zu texts have more than %lld tokens and were cut", (long long)e->cut, e->n, (long long)most);
done:
    ft_ids_free(&ids);
    return st;
}

static bool progress(void *ctx, const char *what, size_t done, size_t total)
{
    embedding *e = ctx;
    return ft_meter_part(&e->meter, what, done, total);
}

static ft_status compute(embedding *e)
{
    const ft_model *m = e->opened.model;
    ft_score_options o = {.progress = progress, .ctx = e};
    e->C = e->dims = ft_model_config(m)->hidden_size;
    if (ft_args_given(e->args, "dims"))
        e->dims = ft_args_int(e->args, "dims");
    if (e->dims > e->C)
        return ft_fail(FT_EINPUT, "--dims: found %lld, the model's vectors have %lld", (long long)e->dims, (long long)e->C);
    if (!(e->vectors = ft_alloc(e->n * (size_t)e->C, sizeof *e->vectors)))
        return FT_ENOMEM;
    FT_RETURN(ft_embed(e->vectors, e->opened.model, e->ids, e->n, &o));
    ft_vectors_fit(e->vectors, (int64_t)e->n, e->C, e->dims, ft_model_pooling(m)->normalize);
    return FT_OK;
}

/* ---- what comes out ---- */

static void put_vector(json_t *row, const embedding *e, size_t i)
{
    ft_result_str(row, "text", e->texts[i]);
    json_t *list = ft_result_list(row, "vector");
    for (int64_t c = 0; c < e->dims; c++)
        json_array_append_new(list, json_real((double)e->vectors[(int64_t)i * e->C + c]));
}

static ft_status write_file(const embedding *e, const char *path)
{
    ft_writer *w = NULL;
    ft_status st = FT_OK;
    const int64_t shape[] = {(int64_t)e->n, e->dims};
    FT_TRY(ft_writer_open(&w, "safetensors", path));
    FT_TRY(ft_writer_tensor(w, "vectors", &ft_f32, 2, shape));
    for (size_t i = 0; i < e->n; i++)
        FT_TRY(ft_writer_data(w, e->vectors + (int64_t)i * e->C, (size_t)e->dims * sizeof *e->vectors));
    st = ft_writer_commit(w);
    w = NULL;
done:
    ft_writer_abort(w);
    return st;
}

static ft_status put_result(const embedding *e)
{
    const char *out = ft_args_text(e->args, "out");
    bool whole = out || ft_args_given(e->args, "json");
    for (size_t i = 0; !whole && i < e->n; i++) {
        json_t *row = json_object();
        put_vector(row, e, i);
        ft_result_line(row);
    }
    if (out)
        FT_RETURN(write_file(e, out));
    if (!whole)
        return FT_OK;
    json_t *o = json_object();
    ft_result_text(o, "model", ft_args_text(e->args, "MODEL"));
    ft_result_text(o, "pooling", ft_pool_name(ft_model_pooling(e->opened.model)->kind));
    ft_result_int(o, "dimensions", e->dims);
    ft_result_int(o, "texts", (int64_t)e->n);
    if (out)
        ft_result_text(o, "out", out);
    json_t *list = out ? NULL : ft_result_list(o, "vectors");
    for (size_t i = 0; list && i < e->n; i++)
        put_vector(ft_result_row(list), e, i);
    return ft_result_print(e->args, o);
}

static ft_status run(const ft_args *a)
{
    embedding e = {.args = a, .meter = ft_meter_new(false, false)};
    ft_status st = FT_OK;
    if (!(e.arena = ft_arena_new((size_t)1 << 20, 0)))
        return FT_ENOMEM;
    FT_TRY(read_texts(&e));
    FT_TRY(ft_opened_model(&e.opened.model, a));
    FT_TRY(ft_tokenizer_open(&e.opened.tok, ft_model_tokenizer_path(e.opened.model)));
    FT_TRY(ft_opened_pool(&e.opened, a));
    FT_TRY(tokenize(&e));
    FT_TRY(compute(&e));
    st = put_result(&e);
done:
    ft_opened_close(&e.opened);
    ft_arena_free(e.arena);
    ft_free(e.texts);
    ft_free(e.ids);
    ft_free(e.vectors);
    return st;
}

static const ft_cmd_option options[] = {
    FT_MODEL_OPTION,
    {"text", FT_ARG_TEXT, .repeats = true, .argument = "TEXT", .help = "a text; may be given again"},
    {"input", FT_ARG_FILE, .repeats = true, .argument = "FILE", .help = "a file with one text a line, plain or gzipped"},
    {"out", FT_ARG_FILE, .argument = "OUT.safetensors",
     .help = "write the vectors there, tensor \"vectors\" [texts, dimensions] in F32, and print no vectors"},
    {"query", FT_ARG_FLAG, .help = "the texts are queries: put the model's prompt for them before each"},
    {"document", FT_ARG_FLAG, .help = "the texts are documents: likewise"},
    {"prompt", FT_ARG_TEXT, .argument = "TEXT", .help = "put this before each text"},
    {"dims", FT_ARG_INT, .argument = "N", .min = 1, .max = 1 << 24,
     .help = "give out the first N dimensions only, scaled to length 1 again (for models trained with matryoshka_dims)"},
    FT_POOLING_OPTION,
    FT_ADAPTER_OPTION,
    FT_JSON_OPTION,
    {0}};

const ft_cmd ft_cmd_embed = {
    .name = "embed",
    .summary = "turn texts into vectors",
    .about = "Gives the vector of each text: one JSON object a line with text and vector, or a safetensors file. The "
             "model's own files say how it pools (modules.json of sentence-transformers, pooling_type of a GGUF), "
             "whether vectors have length 1, and what stands before queries. Texts longer than the model's context "
             "are cut, and that is said.",
    .options = options,
    .example = "fettle embed runs/search --query --text 'pump leaks at the seal'\n"
               "fettle embed bge-small --input documents.txt --document --out documents.safetensors\n"
               "fettle embed model.gguf --text 'hello' --pooling mean --json",
    .run = run};
