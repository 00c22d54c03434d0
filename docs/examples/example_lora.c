/* Trains a LoRA adapter on rows that are made in memory, and says how many answers are right before and after.
 *
 *   example_lora MODEL OUTPUT_DIR
 *
 * What it shows: a dataset without a file, rows of token ids, an adapter, the training loop, the PEFT export. OUTPUT_DIR
 * gets checkpoints/, log.jsonl and adapter/, which `fettle generate MODEL --adapter OUTPUT_DIR/adapter` reads.
 */
#include "fettle.h"

#include <stdio.h>

enum { ROWS = 16 };

/* Prompts and answers; a dataset only points at them. */
static const char *const colors[] = {"red", "amber", "green", "blue"};
static const char *const answers[] = {" stop", " wait", " go", " help"};

static char prompts[ROWS][64];
static ft_message messages[ROWS][2];
static ft_example examples[ROWS];

static ft_dataset make_dataset(void)
{
    static char memory[] = "memory", *files[] = {memory}; /* what messages about a row call its file */
    for (int i = 0; i < ROWS; i++) {
        snprintf(prompts[i], sizeof prompts[i], "light %d is %s:", i / 4 + 1, colors[i % 4]);
        messages[i][0] = (ft_message){.role = FT_USER, .content = ft_str_of(prompts[i])};
        messages[i][1] = (ft_message){.role = FT_ASSISTANT, .content = ft_str_of(answers[i % 4]), .supervised = true};
        examples[i] = (ft_example){.kind = FT_COMPLETION, .messages = messages[i], .n = 2, .row = i + 1};
    }
    return (ft_dataset){.examples = examples, .n = ROWS, .files = files, .n_files = 1};
}

static void on_event(void *ctx, const ft_train_event *e)
{
    if (e->kind == FT_EVENT_STEP && (e->step % 20 == 0 || e->step == e->total_steps))
        printf("step %lld/%lld  loss %.3f\n", (long long)e->step, (long long)e->total_steps, e->loss);
}

/* Share of greedy answers that are right. */
static ft_status score(ft_model *model, const ft_tokenizer *tok, const ft_rows *rows, double *out)
{
    const ft_metric *metrics[] = {ft_metric_named("exact_match")};
    ft_score_options options = {.metrics = metrics, .n_metrics = 1};
    ft_scores scores;
    FT_RETURN(ft_score(&scores, model, tok, rows, &options));
    *out = ft_scores_get(&scores, "exact_match", 0);
    return FT_OK;
}

static ft_status fit(ft_model *model, const ft_tokenizer *tok, const ft_rows *rows, const char *output_dir)
{
    static const char *const targets[] = {"all-linear"};
    const ft_adapter_spec adapter = {.kind = "lora", .r = 8, .alpha = 16, .target_modules = targets, .n_targets = 1, .seed = 42};
    const ft_train_options options = {
        .output_dir = output_dir,
        .seed = 42,
        .num_epochs = 40,
        .micro_batch_size = 8,
        .gradient_accumulation_steps = 1,
        .optimizer = ft_optimizer_named("adamw"),
        .optimizer_options = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        .learning_rate = 1e-2,
        .schedule = ft_schedule_named("cosine"),
        .max_grad_norm = 1,
        .save_total_limit = 1};
    double before, after;
    ft_train_result result;
    FT_RETURN(ft_adapter_attach(model, &adapter));
    FT_RETURN(score(model, tok, rows, &before));
    FT_RETURN(ft_mkdirs(output_dir));
    FT_RETURN(ft_train(&result, model, tok, rows, NULL, &options, on_event, NULL));
    FT_RETURN(score(model, tok, rows, &after));
    printf("exact match: %.2f before, %.2f after %lld steps\n", before, after, (long long)result.steps);
    return FT_OK;
}

static ft_status train(const char *path, const char *output_dir)
{
    ft_model *model = NULL;
    ft_tokenizer *tok = NULL;
    ft_rows rows = {0};
    const ft_rows_options options = {.max_tokens = 64};
    const ft_dataset data = make_dataset();
    char *adapter_dir = ft_path_join(output_dir, "adapter");
    ft_status st = adapter_dir ? FT_OK : FT_ENOMEM;
    FT_TRY(st);
    FT_TRY(ft_model_open(&model, path, NULL));
    FT_TRY(ft_tokenizer_open(&tok, ft_model_tokenizer_path(model)));
    FT_TRY(ft_rows_build(&rows, &data, tok, &options));
    FT_TRY(fit(model, tok, &rows, output_dir));
    const ft_export_request request = {.model = model, .tokenizer = tok, .path = adapter_dir, .base_name = path};
    st = ft_exporter_named("peft")->write(&request);
done:
    ft_free(adapter_dir);
    ft_rows_free(&rows);
    ft_tokenizer_free(tok);
    ft_model_free(model);
    return st;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL OUTPUT_DIR\n", argv[0]);
        return 2;
    }
    ft_status st = train(argv[1], argv[2]);
    if (st != FT_OK)
        fprintf(stderr, "%s: %s\n", argv[0], ft_error());
    return ft_exit_status(st);
}
