/* The export room: a trained model becomes files that ship.
 *
 * An exporter is one file and one row (export/exporters.def): gguf (and the Modelfile beside it), hf, peft. Merging is
 * done in f32, tile by tile, while writing: no second copy of the model, nor of a tensor, is held.
 * A file appears under its name when it is whole; a directory likewise: it is made beside its place and takes it in one
 * rename. An earlier export there, known by its fettle.json (model/origin.h), is replaced; any other folder that is not
 * empty is refused (FT_EINPUT), and so is the place the model or its adapter came from.
 * Refuses: a weight that is not finite or that the type cannot hold (FT_ENUMERIC), a type that the exporter does not
 * write (FT_EUNSUPPORTED).
 * Ownership: everything is borrowed for the call. Threads: one thread calls; rows are merged and encoded on all.
 */
#ifndef FETTLE_EXPORT_EXPORT_H
#define FETTLE_EXPORT_EXPORT_H

#include "model/model.h"
#include "score/score.h"
#include "text/rows.h"

typedef struct ft_export_request {
    ft_model *model; /* with its adapter attached, where it has one */
    const ft_tokenizer *tokenizer; /* NULL: written without one (gguf: token ids only, no Modelfile) */
    const ft_chat_template *chat; /* or NULL */
    const char *path;        /* file (gguf) or directory (hf, peft) */
    const ft_dtype *dtype;   /* NULL: the exporter's default (gguf: q8_0; hf: as the base was stored) */
    const char *name;        /* general.name, model card */
    const char *base_name;   /* base_model_name_or_path, as the user wrote it */
    const ft_sampling *sampling; /* Modelfile parameters; NULL: temperature 0 */
    uint64_t shard_bytes;        /* hf: a safetensors file at most this large; 0: 5 GB */
    bool (*progress)(void *ctx, const char *what, size_t done, size_t total);
    void *ctx;
} ft_export_request;

typedef struct ft_exporter {
    const char *name; /* "gguf" "hf" "peft" */
    const char *help;
    bool needs_adapter;
    const char *suffix; /* of the file that it writes; NULL: it writes a directory */
    const char *dtypes; /* "f32|f16|bf16|q8_0" */
    ft_status (*write)(const ft_export_request *r);
} ft_exporter;
extern const ft_exporter *const ft_exporters[]; /* NULL at the end */
const ft_exporter *ft_exporter_named(const char *name);
/* Is a dtype one that an exporter writes? */
bool ft_exporter_writes(const ft_exporter *e, const ft_dtype *dtype);
/* Before the work: FT_EINPUT when what stands under the name is nothing that the exporter may replace. */
ft_status ft_exporter_check_path(const ft_exporter *e, const char *path);

/* Rows [r0, r1) of a weight with its adapter merged, as f32 [r1 - r0, in]: W + scale * B A, or the saved module. */
ft_status ft_merge_rows(ft_model *m, const ft_param *weight, int64_t r0, int64_t r1, float *out);
/* The Ollama Modelfile of a gguf, which the gguf exporter writes beside it: in new memory, "Modelfile" in its folder, or
 * "Modelfile.STEM" where that one describes another GGUF or is the user's own. NULL: both are the user's. */
ft_status ft_modelfile_path(char **path, const char *gguf);

/* Removes an exported folder, known by its fettle.json; what holds anything else, or was not written by fettle, stays. */
ft_status ft_export_remove(const char *dir);
/* Removes every export from the folder of a run's exports: GGUFs, their Modelfiles, exported folders; and the folder itself
 * where nothing else is in it. */
ft_status ft_export_remove_all(const char *dir);

/* One column of the final table: base, tuned, each shipped file. */
typedef struct ft_report_column {
    const char *title;     /* "base", "tuned", "model-q8_0.gguf" */
    ft_scores scores;
    double agreement;      /* top-1 agreement with the tuned model on supervised tokens; NaN: not measured */
    uint64_t bytes;        /* of the file; 0: none */
} ft_report_column;
/* The table as text, appended to out: a row a figure, a column a model, aligned for a terminal. */
ft_status ft_report_table(ft_buf *out, const ft_report_column *columns, size_t n);
/* The table as a JSON array, an object a column: title, every metric by its name, top1_agreement, bytes, rows. The
 * caller json_decref's it. */
ft_status ft_report_json(json_t **out, const ft_report_column *columns, size_t n);
/* report.html: the table, the loss, learning-rate and speed curves from log.jsonl (inline SVG), sample predictions, the
 * recipe; one self-contained file. log_path, recipe_text and samples may be NULL; of a sample, base and tuned. */
typedef struct ft_report_sample {
    const char *prompt, *expected, *base, *tuned;
} ft_report_sample;
ft_status ft_report_write(const char *path, const char *title, const char *log_path, const char *recipe_text,
                          const ft_report_column *columns, size_t n, const ft_report_sample *samples, size_t n_samples);

#endif
