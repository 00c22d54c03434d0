/* fettle generate: text behind a prompt, streamed as it comes. */
#include "cmd/labeling.h"
#include "cmd/opened.h"

#include <string.h>
#include <unistd.h>

enum { MAX_PROMPT = 1 << 24 };

static ft_status prompt_option(ft_buf *out, const ft_args *a)
{
    char *text;
    FT_RETURN(ft_args_unescaped(a, "prompt", &text));
    ft_status st = ft_buf_puts(out, text);
    ft_free(text);
    return st;
}

/* The prompt's text: --prompt, --prompt-file, or standard input when neither is given. */
static ft_status prompt_text(ft_buf *out, const ft_args *a)
{
    char part[4096];
    size_t n;
    if (ft_args_given(a, "prompt") && ft_args_given(a, "prompt-file"))
        return ft_fail(FT_EINPUT, "--prompt and --prompt-file exclude each other");
    if (ft_args_given(a, "prompt"))
        return prompt_option(out, a);
    if (ft_args_given(a, "prompt-file"))
        return ft_read_file(out, ft_args_text(a, "prompt-file"), MAX_PROMPT);
    if (isatty(STDIN_FILENO))
        return ft_fail(FT_EINPUT, "--prompt is missing\ntype: fettle generate --help");
    out->max = MAX_PROMPT;
    while ((n = fread(part, 1, sizeof part, stdin)) > 0)
        FT_RETURN(ft_buf_put(out, part, n));
    return FT_OK;
}

static bool is_chat(const ft_args *a)
{
    return ft_args_given(a, "chat") || ft_args_given(a, "system");
}

static size_t messages_of(ft_message m[2], const ft_args *a, ft_str text)
{
    size_t n = 0;
    if (ft_args_given(a, "system"))
        m[n++] = (ft_message){.role = FT_SYSTEM, .content = ft_str_of(ft_args_text(a, "system"))};
    m[n++] = (ft_message){.role = FT_USER, .content = text};
    return n;
}

static ft_status prompt_ids(ft_ids *ids, const ft_opened *o, const ft_args *a, ft_str text)
{
    ft_message m[2];
    if (is_chat(a) && !o->chat)
        return ft_fail(FT_EUNSUPPORTED, "the model has no chat template: leave --chat out, or give --chat-template");
    if (is_chat(a))
        return ft_prompt_ids(ids, m, messages_of(m, a, text), o->tok, o->chat);
    if (ft_tokenizer_add_bos(o->tok) && ft_tokenizer_bos(o->tok) >= 0)
        FT_RETURN(ft_ids_put(ids, ft_tokenizer_bos(o->tok)));
    return ft_tokenizer_encode(o->tok, text, ft_args_given(a, "special"), ids);
}

static void put_ids(json_t *o, const char *key, const ft_ids *ids)
{
    json_t *list = ft_result_list(o, key);
    for (size_t i = 0; i < ids->n; i++)
        json_array_append_new(list, json_integer(ids->p[i]));
}

static ft_status put_result(const ft_args *a, const ft_ids *prompt, const ft_ids *made, const ft_printer *s,
                            bool stopped, double seconds)
{
    json_t *o = json_object();
    ft_result_str(o, "text", (ft_str){s->text.p, s->text.n});
    put_ids(o, "prompt_ids", prompt);
    put_ids(o, "ids", made);
    ft_result_bool(o, "stopped", stopped);
    ft_result_real(o, "seconds", seconds);
    return ft_result_print(a, o);
}

/* ---- one of some labels ---- */

static ft_status put_label(const ft_args *a, const ft_labeling *l, const double *scores, ft_choice chosen)
{
    bool abstained = chosen.confidence < l->confidence.threshold;
    const char *text = l->labels.p[chosen.label].text.p;
    if (!ft_args_given(a, "json")) {
        if (abstained)
            printf("abstain\t%.4f\t(%s)\n", chosen.confidence, text);
        else
            printf("%s\t%.4f\n", text, chosen.confidence);
        return FT_OK;
    }
    json_t *o = json_object();
    ft_result_text(o, "label", abstained ? NULL : text);
    ft_result_text(o, "likeliest", text);
    ft_result_real(o, "confidence", chosen.confidence);
    ft_result_bool(o, "abstained", abstained);
    json_t *list = ft_result_list(o, "labels");
    for (size_t i = 0; i < l->labels.n; i++) {
        json_t *row = ft_result_row(list);
        ft_result_str(row, "label", l->labels.p[i].text);
        ft_result_real(row, "log_p", scores[i]);
    }
    return ft_result_print(a, o);
}

static ft_status choose_label(const ft_opened *o, const ft_args *a, ft_str text, const ft_ids *ids)
{
    ft_labeling l;
    ft_message m[2];
    double *scores = NULL;
    ft_row row = {.ids = ids->p, .n = (int32_t)ids->n, .prompt_n = (int32_t)ids->n, .answer = {"?", 1}};
    ft_status st = FT_OK;
    FT_RETURN(ft_labeling_of_args(&l, a, false));
    bool spaced = text.n && strchr(" \t\r\n", text.p[text.n - 1]);
    if (!l.labels.p[0].said.n && !is_chat(a) && !spaced) /* a list of labels does not say how they are written */
        l.labels.lead = ft_str_of(" ");
    FT_TRY(ft_labels_encode_for(&l.labels, m, messages_of(m, a, text), o->tok, is_chat(a) ? o->chat : NULL));
    if (!(scores = ft_alloc(l.labels.n, sizeof *scores))) {
        st = FT_ENOMEM;
        goto done;
    }
    FT_TRY(ft_score_labels(scores, o->model, &(ft_rows){.p = &row, .n = 1}, &(ft_score_options){.labels = &l.labels}));
    st = put_label(a, &l, scores, ft_confidence_choose(&l.confidence, scores, l.labels.n));
done:
    ft_free(scores);
    ft_labeling_free(&l);
    return st;
}

static ft_status run(const ft_args *a)
{
    ft_opened o = {0};
    ft_buf text = {0};
    ft_ids ids = {0}, made = {0};
    ft_printer s = {0};
    bool json = ft_args_given(a, "json"), stopped = false;
    ft_status st = FT_OK;
    FT_TRY(prompt_text(&text, a));
    FT_TRY(ft_opened_open(&o, a));
    FT_TRY(prompt_ids(&ids, &o, a, (ft_str){text.p, text.n}));
    if (ft_args_given(a, "labels")) {
        st = choose_label(&o, a, (ft_str){text.p, text.n}, &ids);
        goto done;
    }
    ft_printer_init(&s, o.tok, !json);
    double begun = ft_now_s();
    FT_TRY(ft_generate(&o, &ids, a, &s, &made, &stopped));
    if (json)
        FT_TRY(put_result(a, &ids, &made, &s, stopped, ft_now_s() - begun));
    else
        putchar('\n');
done:
    ft_printer_free(&s);
    ft_ids_free(&ids);
    ft_ids_free(&made);
    ft_buf_free(&text);
    ft_opened_close(&o);
    return st;
}

static const ft_cmd_option options[] = {
    FT_MODEL_OPTION,
    {"prompt", FT_ARG_TEXT, .argument = "TEXT",
     .help = "what to go on from, with \\n for a line's end, \\t for a tab, \\\\ for a backslash; without it standard "
             "input is read"},
    {"prompt-file", FT_ARG_FILE, .argument = "FILE", .help = "a file that holds the prompt"},
    {"chat", FT_ARG_FLAG, .help = "the prompt is a user's message: put it through the chat template"},
    {"system", FT_ARG_TEXT, .argument = "TEXT", .help = "a system message before the prompt (implies --chat)"},
    {"special", FT_ARG_FLAG, .help = "control tokens written in the prompt become their ids"},
    FT_LABELS_OPTION("; prints the likeliest with its confidence, or abstain where that is below the run's threshold"),
    FT_SAMPLING_OPTIONS,
    FT_ADAPTER_OPTION,
    FT_TEMPLATE_OPTION,
    FT_JSON_OPTION,
    {0}};

const ft_cmd ft_cmd_generate = {
    .name = "generate",
    .summary = "go on from a prompt",
    .about =
        "Generates text behind a prompt until the model ends it or --max-new-tokens is reached. No template is put "
        "around the prompt, as in rows with a prompt and a completion; with --chat it becomes a user's message. Greedy "
        "unless --temperature is given.",
    .options = options,
    .example = "fettle generate runs/defects-lora --prompt 'Report: pump 3 leaks at the seal\\nLabels:'\n"
               "fettle generate runs/clinical-labels --labels runs/clinical-labels --prompt 'Note: severe vomiting today\\nLabels:'\n"
               "fettle generate model.gguf --chat --prompt 'Who are you?' --temperature 0.7 --top-p 0.9 --seed 1",
    .run = run};
