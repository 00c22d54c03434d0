/* fettle export: a model or a run, merged, as a file that ships. */
#include "cmd/choices.h"
#include "cmd/opened.h"
#include "cmd/plan.h"
#include "cmd/progress.h"
#include "cmd/survival.h"

#include <string.h>

static ft_status check_request(const ft_args *a, const ft_exporter *e, const ft_mix *mix)
{
    if (!mix || ft_exporter_writes(e, mix->name))
        return FT_OK;
    return ft_fail(FT_EINPUT, "--quant: %s writes no %s (one of %s)", e->name, ft_args_text(a, "quant"), e->dtypes);
}

/* The name of the model in the file: what it was called, without directory and suffix. */
static char *name_of(const ft_args *a)
{
    const char *given = ft_args_text(a, "name");
    if (given)
        return ft_strdup(given);
    const char *path = ft_args_text(a, "MODEL");
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    if (end - begin > 5 && strncmp(path + end - 5, ".gguf", 5) == 0)
        end -= 5;
    return ft_strndup(path + begin, end - begin);
}

static ft_status put_result(const ft_args *a, const ft_exporter *e, const ft_mix *mix, const ft_survival_list *survival,
                            double seconds)
{
    char *modelfile = NULL;
    if (e->suffix)
        FT_RETURN(ft_modelfile_path(&modelfile, ft_args_text(a, "out")));
    json_t *o = json_object();
    ft_result_text(o, "path", ft_args_text(a, "out"));
    if (modelfile)
        ft_result_text(o, "modelfile", modelfile);
    ft_free(modelfile);
    ft_result_text(o, "format", e->name);
    if (mix)
        ft_result_text(o, "quant", mix->name);
    ft_result_real(o, "time_s", seconds);
    ft_status st = ft_survival_put(o, survival, ft_args_given(a, "json"));
    if (st == FT_OK)
        return ft_result_print(a, o);
    json_decref(o);
    return st;
}

static ft_status run(const ft_args *a)
{
    ft_opened o = {0};
    ft_survival_list survival = {0};
    ft_meter meter = ft_meter_new(false, false);
    const ft_exporter *e = ft_exporter_named(ft_args_text(a, "format"));
    const ft_mix *mix = ft_args_given(a, "quant") ? ft_mix_named(ft_args_text(a, "quant")) : NULL;
    char *name = NULL;
    double begun = ft_now_s();
    ft_status st = FT_OK;
    FT_TRY(check_request(a, e, mix));
    FT_TRY(ft_exporter_check_path(e, ft_args_text(a, "out")));
    FT_TRY(ft_opened_open(&o, a));
    if (e->needs_adapter && !ft_adapter_attached(o.model)) {
        st = ft_fail(FT_EINPUT, "%s has no adapter: --format %s needs one (--adapter PATH)", ft_args_text(a, "MODEL"),
                     e->name);
        goto done;
    }
    if (!(name = name_of(a))) {
        st = FT_ENOMEM;
        goto done;
    }
    ft_sampling sampling = ft_sampling_of(a);
    ft_export_request r = {.model = o.model,
                           .tokenizer = o.tok,
                           .chat = o.chat,
                           .path = ft_args_text(a, "out"),
                           .dtype = mix ? mix->dtype : NULL,
                           .mix = mix,
                           .name = name,
                           .base_name = ft_model_path(o.model),
                           .sampling = &sampling,
                           .survival = &survival,
                           .progress = ft_meter_part,
                           .ctx = &meter};
    FT_TRY(e->write(&r));
    FT_TRY(ft_survival_warn(&r, e, ft_args_float(a, "min-survival")));
    st = put_result(a, e, mix, &survival, ft_now_s() - begun);
done:
    ft_survival_list_free(&survival);
    ft_free(name);
    ft_opened_close(&o);
    return st;
}

static const ft_cmd_option options[] = {
    FT_MODEL_OPTION,
    {"format", FT_ARG_NAME, .argument = "FORMAT", .required = true, .choice = ft_choice_exporter,
     .help = "gguf: one file for llama.cpp and Ollama, with a Modelfile beside it; gguf-lora: the adapter alone, which "
             "they add to its base; hf: a merged Hugging Face directory; peft: the adapter for PEFT"},
    {"quant", FT_ARG_NAME, .argument = "TYPE", .choice = ft_choice_mix,
     .help = "type of the weights (default: q8_0 for gguf, as stored for hf, f32 for adapters)"},
    {"min-survival", FT_ARG_FLOAT, .argument = "X", .fallback = "0.7", .min = 0, .max = 1,
     .help = "warn when rounding leaves less than this of the adapter's update (its cosine with what the file changes), and "
             "name the cheapest type that keeps it"},
    {"out", FT_ARG_FILE, .argument = "PATH", .required = true, .help = "file (gguf, gguf-lora) or directory (hf, peft) to write"},
    {"name", FT_ARG_TEXT, .argument = "TEXT", .help = "name of the model in the file (default: from MODEL)"},
    FT_ADAPTER_OPTION,
    FT_TEMPLATE_OPTION,
    FT_SAMPLING_OPTIONS,
    FT_JSON_OPTION,
    {0}};

const ft_cmd ft_cmd_export = {
    .name = "export",
    .summary = "merge and write a GGUF, a Hugging Face directory or an adapter",
    .about = "Writes a model, with its adapter merged in f32, tensor by tensor. A run folder is its base with its "
             "adapter; after a qlora run it is merged into the base as the adapter saw it, quantized and decoded, which "
             "is what was scored. The tokenizer is carried over byte for byte. The sampling options become parameters of the "
             "Modelfile.",
    .options = options,
    .example = "fettle export runs/defects --format gguf --quant q8_0 --out defects.gguf\n"
               "fettle export runs/defects --format gguf-lora --out defects-lora.gguf\n"
               "fettle export data/base --adapter runs/defects/adapter --format hf --out merged",
    .run = run};
