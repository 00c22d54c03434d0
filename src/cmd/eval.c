/* fettle eval: how good a model is on rows, or on bare token ids, and its logits for comparison with
 * another program. */
#include "cmd/choices.h"
#include "cmd/labeling.h"
#include "cmd/logits.h"
#include "cmd/opened.h"
#include "cmd/progress.h"

#include <math.h>
#include <stdlib.h>

typedef struct evaluation {
    const ft_args *args;
    ft_opened opened;
    ft_dataset data;
    ft_rows rows;
    ft_labeling labeling; /* without labels: answers are generated */
    const ft_metric *metrics[FT_MAX_METRICS];
    size_t n_metrics;
    ft_meter meter;
    char *prompt_template, *completion_template; /* NULL: not given */
    ft_out *predictions; /* NULL: not asked for */
    ft_model *reference; /* likewise */
    double kl;           /* of the model's next tokens from the reference's */
    ft_status write_status;
} evaluation;

static ft_status read_data(evaluation *e)
{
    const ft_args *a = e->args;
    FT_RETURN(ft_args_unescaped(a, "prompt-template", &e->prompt_template));
    FT_RETURN(ft_args_unescaped(a, "completion-template", &e->completion_template));
    for (size_t i = 0; i < ft_args_count(a, "data"); i++) {
        ft_data_source s = {.path = ft_args_item(a, "data", i),
                            .format = ft_args_text(a, "format"),
                            .prompt_template = e->prompt_template,
                            .completion_template = e->completion_template,
                            .split = ft_args_text(a, "split")};
        FT_RETURN(ft_dataset_read(&e->data, &s, NULL));
    }
    return e->data.n ? FT_OK : ft_fail(FT_EINPUT, "%s: no rows", ft_args_text(a, "data"));
}

static ft_example_kind kind_of_rows(const evaluation *e)
{
    return e->data.examples[0].kind;
}

/* Rows for vectors: those of texts, and those that a metric of vectors is asked of. */
static bool of_vectors(const evaluation *e)
{
    bool any = kind_of_rows(e) == FT_PAIRS || kind_of_rows(e) == FT_SCORED;
    for (size_t i = 0; i < e->n_metrics; i++)
        any |= e->metrics[i]->source == FT_METRIC_VECTORS;
    return any;
}

/* Those of --labels, or the run's own where its rows have answers. */
static ft_status read_labels(evaluation *e)
{
    const ft_args *a = e->args;
    bool answers = kind_of_rows(e) == FT_COMPLETION || kind_of_rows(e) == FT_CHAT;
    FT_RETURN(ft_labeling_of_args(&e->labeling, a, answers && !ft_args_given(a, "generate")));
    if (e->labeling.labels.n && !ft_args_given(a, "labels"))
        ft_note(FT_NOTE, "%s: answers are chosen among its %zu labels; --generate generates them", ft_args_text(a, "MODEL"),
                e->labeling.labels.n);
    return FT_OK;
}

static ft_status build_rows(evaluation *e)
{
    int64_t context = ft_model_config(e->opened.model)->max_position_embeddings;
    ft_rows_options o = {.chat = e->opened.chat,
                         .max_tokens = context,
                         .on_overlong = FT_OVERLONG_ERROR,
                         .pack_text = ft_args_given(e->args, "pack"),
                         .vectors = of_vectors(e)};
    if (o.vectors) {
        FT_RETURN(ft_opened_pool(&e->opened, e->args));
        o.query_prompt = ft_model_pooling(e->opened.model)->query_prompt;
        o.document_prompt = ft_model_pooling(e->opened.model)->document_prompt;
    }
    if (ft_args_given(e->args, "sequence-len"))
        o.max_tokens = ft_args_int(e->args, "sequence-len");
    if (o.max_tokens > context)
        return ft_fail(FT_EINPUT, "--sequence-len: found %lld, expected at most %lld, the model's context",
                       (long long)o.max_tokens, (long long)context);
    FT_RETURN(ft_rows_build(&e->rows, &e->data, e->opened.tok, &o));
    if (!e->labeling.labels.n)
        return FT_OK;
    FT_RETURN(ft_labels_encode(&e->labeling.labels, &e->data, e->opened.tok, &o));
    ft_labeling_check(&e->labeling, ft_args_text(e->args, "data"), &e->rows);
    return FT_OK;
}

/* The model that MODEL is compared with. */
static ft_status open_reference(evaluation *e)
{
    const char *path = ft_args_text(e->args, "reference");
    if (path && of_vectors(e))
        return ft_fail(FT_EINPUT, "--reference compares next tokens, and these rows are for vectors");
    return path ? ft_context(ft_model_open(&e->reference, path, NULL), "--reference") : FT_OK;
}

/* What was asked for; else what the rows allow: text has no answer to generate. */
static ft_status choose_metrics(evaluation *e)
{
    const char *list = ft_args_text(e->args, "metrics");
    if (!list && kind_of_rows(e) == FT_PAIRS)
        list = "recall@1,recall@10,mrr";
    else if (!list && kind_of_rows(e) == FT_SCORED)
        list = "spearman";
    else if (!list)
        list = ft_dataset_is_text(&e->data)               ? "loss,perplexity,token_accuracy"
               : !e->labeling.labels.n                    ? "loss,perplexity,token_accuracy,exact_match"
               : e->labeling.confidence.threshold > 0     ? "loss,perplexity,exact_match,ece,coverage,answered_accuracy"
                                                          : "loss,perplexity,exact_match,ece";
    char *name;
    for (size_t i = 0;; i++) {
        FT_RETURN(ft_context(ft_comma_item(&name, list, i), "--metrics"));
        if (!name)
            return FT_OK;
        const ft_metric *m = ft_metric_named(name); /* the option row has checked the names */
        ft_free(name);
        if (e->n_metrics == FT_MAX_METRICS)
            return ft_fail(FT_EINPUT, "--metrics: at most %d", FT_MAX_METRICS);
        e->metrics[e->n_metrics++] = m;
    }
}

/* ---- predictions: one JSON object a row ---- */

static void on_text(void *ctx, size_t row, const ft_scored_text *t)
{
    evaluation *e = ctx;
    const ft_row *r = &e->rows.p[row];
    ft_buf prompt = {0};
    json_t *o = json_object();
    if (e->write_status == FT_OK)
        e->write_status = ft_tokenizer_decode(e->opened.tok, r->ids, (size_t)r->prompt_n, true, true, &prompt);
    ft_result_str(o, "prompt", (ft_str){prompt.p, prompt.n});
    ft_result_str(o, "expected", t->expected);
    ft_result_str(o, "got", t->got);
    if (t->label) {
        ft_result_real(o, "confidence", t->label->fitted.confidence);
        ft_result_bool(o, "abstained", t->label->abstained);
    } else {
        ft_result_bool(o, "stopped", t->stopped);
    }
    char *text = json_dumps(o, JSON_COMPACT);
    if (e->write_status == FT_OK)
        e->write_status = text ? ft_out_printf(e->predictions, "%s\n", text) : FT_ENOMEM;
    free(text); /* jansson's */
    json_decref(o);
    ft_buf_free(&prompt);
}

static bool progress(void *ctx, const char *what, size_t done, size_t total)
{
    evaluation *e = ctx;
    return ft_meter_part(&e->meter, what, done, total);
}

static ft_status score(evaluation *e, ft_scores *scores)
{
    ft_score_options o = {.metrics = e->metrics, .n_metrics = e->n_metrics, .progress = progress, .ctx = e};
    if (ft_args_given(e->args, "max-rows"))
        o.max_rows = (size_t)ft_args_int(e->args, "max-rows");
    if (ft_args_given(e->args, "dims"))
        o.vector_dims = ft_args_int(e->args, "dims");
    if (ft_args_given(e->args, "max-new-tokens"))
        o.max_new_tokens = ft_args_int(e->args, "max-new-tokens");
    if (e->predictions)
        o.on_text = on_text;
    if (e->reference) {
        o.reference = e->reference;
        o.kl = &e->kl;
    }
    if (e->labeling.labels.n) {
        o.labels = &e->labeling.labels;
        o.confidence = &e->labeling.confidence;
    }
    FT_RETURN(ft_score(scores, e->opened.model, e->opened.tok, &e->rows, &o));
    return e->write_status;
}

/* ---- result ---- */

/* Bits that the model spends on a byte of text: comparable across tokenizers. A row's end, which the model has to
 * foresee, counts as one byte. */
static double bits_per_byte(const evaluation *e, const ft_scores *s)
{
    double bytes = 0, loss = ft_scores_get(s, "loss", NAN);
    for (size_t i = 0; i < e->data.n; i++)
        bytes += (double)e->data.examples[i].messages[0].content.n + 1;
    return bytes > 0 ? loss * (double)s->supervised_tokens / log(2) / bytes : NAN;
}

static ft_status put_result(const evaluation *e, const ft_scores *s)
{
    json_t *o = json_object();
    ft_result_text(o, "model", ft_args_text(e->args, "MODEL"));
    ft_result_text(o, "data", ft_args_text(e->args, "data"));
    ft_result_int(o, "rows", s->rows);
    if (e->labeling.labels.n)
        ft_result_int(o, "label_count", (int64_t)e->labeling.labels.n);
    ft_result_int(o, "supervised_tokens", s->supervised_tokens);
    ft_result_int(o, "generated_tokens", s->generated_tokens);
    ft_result_scores(o, s);
    if (e->reference)
        ft_result_real(o, "kl", e->kl);
    if (ft_dataset_is_text(&e->data) && !ft_args_given(e->args, "max-rows") && !isnan(ft_scores_get(s, "loss", NAN)))
        ft_result_real(o, "bits_per_byte", bits_per_byte(e, s));
    ft_result_real(o, "time_s", s->seconds);
    return ft_result_print(e->args, o);
}

static ft_status eval_rows(const ft_args *a)
{
    evaluation e = {.args = a, .meter = ft_meter_new(false, false)};
    ft_scores scores;
    const char *predictions = ft_args_text(a, "predictions");
    ft_status st = FT_OK;
    FT_TRY(read_data(&e));
    FT_TRY(read_labels(&e));
    FT_TRY(ft_opened_open(&e.opened, a));
    FT_TRY(choose_metrics(&e));
    FT_TRY(open_reference(&e));
    FT_TRY(build_rows(&e));
    if (predictions)
        FT_TRY(ft_out_open(&e.predictions, predictions));
    FT_TRY(score(&e, &scores));
    if (e.predictions) {
        ft_out *p = e.predictions;
        e.predictions = NULL;
        FT_TRY(ft_out_commit(p));
    }
    st = put_result(&e, &scores);
done:
    ft_out_abort(e.predictions);
    ft_rows_free(&e.rows);
    ft_dataset_free(&e.data);
    ft_labeling_free(&e.labeling);
    ft_model_free(e.reference);
    ft_opened_close(&e.opened);
    ft_free(e.prompt_template);
    ft_free(e.completion_template);
    return st;
}

static ft_status run(const ft_args *a)
{
    bool ids = ft_args_given(a, "token-ids"), logits = ft_args_given(a, "logits");
    if (logits && !ids)
        return ft_fail(FT_EINPUT, "--logits needs --token-ids\ntype: fettle eval --help");
    if (ids && ft_args_given(a, "reference"))
        return ft_fail(FT_EINPUT, "--reference needs --data\ntype: fettle eval --help");
    if (ids == ft_args_given(a, "data"))
        return ft_fail(FT_EINPUT, ids ? "--data and --token-ids exclude each other\ntype: fettle eval --help"
                                      : "--data FILE is missing\ntype: fettle eval --help");
    return ids ? ft_logits_of_ids(a) : eval_rows(a);
}

static const char *choice_unit(size_t i)
{
    static const char *const units[] = {"line", "paragraph", "file", NULL};
    return units[i];
}

static const ft_cmd_option options[] = {
    FT_MODEL_OPTION,
    {"data", FT_ARG_FILE, .repeats = true, .argument = "FILE",
     .help = "rows to score: JSONL, JSON, CSV, TSV or text, plain or gzipped"},
    {"format", FT_ARG_NAME, .argument = "NAME", .fallback = "auto", .choice = ft_choice_row_format,
     .help = "row format of --data"},
    {"split", FT_ARG_NAME, .argument = "UNIT", .choice = choice_unit, .help = "text files: what one row is"},
    {"prompt-template", FT_ARG_TEXT, .argument = "TEXT",
     .help = "prompt of a row with columns in braces: 'Order: {text}\\nLabels:'; \\n is a line's end, \\t a tab, \\\\ a "
             "backslash"},
    {"completion-template", FT_ARG_TEXT, .argument = "TEXT",
     .help = "completion of a row, with the same braces and backslashes"},
    {"metrics", FT_ARG_NAMES, .argument = "LIST", .choice = ft_choice_metric,
     .help = "metrics with commas between (default: loss,perplexity,token_accuracy and, where rows have answers, "
             "exact_match, with labels also ece; of pairs recall@1,recall@10,mrr, of scored pairs spearman)"},
    FT_LABELS_OPTION(" (default: those of the run)"),
    {"generate", FT_ARG_FLAG, .help = "generate the answers though the run has labels"},
    {"predictions", FT_ARG_FILE, .argument = "OUT.jsonl",
     .help = "write prompt, expected and generated text of every row, of labels also confidence and whether it abstained"},
    {"reference", FT_ARG_FILE, .argument = "MODEL",
     .help = "a model of the same tokens, as MODEL is given: kl is how far MODEL's next tokens are from its own, in nats"},
    {"max-rows", FT_ARG_INT, .argument = "N", .min = 1, .max = 1e12, .help = "score the first N rows only"},
    {"max-new-tokens", FT_ARG_INT, .argument = "N", .min = 1, .max = 1048576,
     .help = "the most tokens to generate for a row (default: twice the longest expected answer and 8)"},
    {"sequence-len", FT_ARG_INT, .argument = "N", .min = 2, .max = 1048576,
     .help = "the most tokens of a row (default: the model's context)"},
    {"dims", FT_ARG_INT, .argument = "N", .min = 1, .max = 1 << 24,
     .help = "vectors: compare their first N dimensions only"},
    FT_POOLING_OPTION,
    {"pack", FT_ARG_FLAG,
     .help = "plain text: join the rows with the end token and cut them into pieces of --sequence-len"},
    {"token-ids", FT_ARG_FILE, .argument = "FILE",
     .help = "rows of token ids, one row a line, as they go into the model: the loss of all but each row's first"},
    {"logits", FT_ARG_FILE, .argument = "OUT.safetensors",
     .help = "write the logits of --token-ids: tensor row0 [tokens, vocab] for the first line, and so on"},
    FT_ADAPTER_OPTION,
    FT_TEMPLATE_OPTION,
    FT_JSON_OPTION,
    {0}};

const ft_cmd ft_cmd_eval = {
    .name = "eval",
    .summary = "score a model on rows: loss, exact match, macro F1 ...",
    .about = "Scores a model on the rows of a file. Loss metrics come from one forward pass over the supervised "
             "tokens; text metrics from greedy generation of every answer, many rows at once, or, with labels, from the "
             "likeliest label, with the confidences and the threshold that the run was given. Rows of pairs and of "
             "scored pairs are for models of vectors: recall, mrr and spearman.\n\n"
             "With --token-ids it scores these and no text, and --logits writes the model's logits, to compare with another "
             "program.",
    .options = options,
    .example = "fettle eval data/base --data data/defects/test.jsonl --metrics loss,exact_match\n"
               "fettle eval runs/defects-lora/export/defects-lora-q8_0.gguf --data data/defects/test.jsonl --json\n"
               "fettle eval llamacpp-q4_k_m.gguf --data data/defects/test.jsonl --reference runs/defects-lora\n"
               "fettle eval data/base --token-ids ids.txt --logits logits.safetensors",
    .run = run};
