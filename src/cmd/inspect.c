/* fettle inspect: the first kind that recognises a path speaks about it. A dataset is what is left when no other does.
 */
#include "cmd/inspect.h"
#include "cmd/choices.h"

#include <string.h>

static const ft_inspect_kind *const kinds[] = {&ft_inspect_run,    &ft_inspect_adapter,     &ft_inspect_model,
                                               &ft_inspect_gguf,   &ft_inspect_safetensors, &ft_inspect_checkpoint,
                                               &ft_inspect_dataset};

static ft_status run(const ft_args *a)
{
    const char *path = ft_args_text(a, "PATH");
    const ft_inspect_kind *kind = NULL;
    if (!ft_exists(path))
        return ft_fail(FT_EINPUT, "%s: no such file or directory", path);
    for (size_t i = 0; i < FT_COUNT(kinds) && !kind; i++)
        if (kinds[i]->is(path))
            kind = kinds[i];
    if (!kind)
        return ft_fail(FT_EINPUT,
                       "%s: a directory without config.json, adapter_config.json, recipe.yaml or checkpoints", path);
    json_t *o = json_object();
    ft_result_text(o, "kind", kind->name);
    ft_result_text(o, "path", path);
    ft_status st = kind->put(o, path, a);
    if (st == FT_OK)
        return ft_result_print(a, o);
    json_decref(o);
    return st;
}

static const ft_cmd_option options[] = {
    {"PATH", FT_ARG_FILE, .positional = true, .required = true,
     .help = "a model or adapter directory, a run folder, a GGUF, safetensors or checkpoint file, or a dataset"},
    {"tokenizer", FT_ARG_FILE, .argument = "MODEL", .help = "dataset: count tokens with the tokenizer of this model"},
    {"format", FT_ARG_NAME, .argument = "NAME", .fallback = "auto", .choice = ft_choice_row_format,
     .help = "dataset: row format"},
    {"tensors", FT_ARG_FLAG, .help = "list every tensor"},
    {"json", FT_ARG_FLAG, .help = "print one JSON object instead of tables"},
    {0}};

const ft_cmd ft_cmd_inspect = {
    .name = "inspect",
    .summary = "show what a model, adapter, checkpoint, GGUF, dataset or run folder holds",
    .about =
        "Recognises what lies at a path and shows it: shapes, parameters, types, memory, tokenizer and chat template "
        "of a model; rank, targets and base of an adapter; metadata and tensors of a GGUF; step and losses of a "
        "checkpoint; format, rows and lengths of a dataset; state and scores of a run.",
    .options = options,
    .example = "fettle inspect data/base\nfettle inspect data/defects/train.jsonl --tokenizer data/base\n"
               "fettle inspect runs/defects/checkpoints/last --json",
    .run = run};
