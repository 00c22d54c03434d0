/* The export room: a trained model becomes files that ship.
 *
 * An exporter is one file and one row (export/exporters.def): gguf (and the Modelfile beside it), gguf-lora, hf, peft. Merging is
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

#include "model/pooling.h"
#include "score/score.h"
#include "text/rows.h"

/* ---- types by tensor (mix.c) ---- */

/* Parts of a model that a mix treats by themselves; the output is the head, or the embedding where it is the head too. */
typedef enum ft_mix_part {
    FT_PART_OTHER,
    FT_PART_OUTPUT,
    FT_PART_ATTN_V,
    FT_PART_ATTN_QKV,
    FT_PART_ATTN_OUTPUT,
    FT_PART_FFN_DOWN
} ft_mix_part;
/* Which layers; "shared": models where four or more heads share one of keys and values. MORE_BITS: the first and last
 * eighth, and every third between. WEIGHTED: with an importance matrix. */
typedef enum ft_mix_where {
    FT_WHERE_ALL,
    FT_WHERE_FIRST_2,
    FT_WHERE_FIRST_4,
    FT_WHERE_EIGHTH,
    FT_WHERE_SIXTEENTH,
    FT_WHERE_EIGHTH_IF_WEIGHTED,
    FT_WHERE_EIGHTH_IF_UNWEIGHTED,
    FT_WHERE_MORE_BITS,
    FT_WHERE_SHARED
} ft_mix_where;
typedef struct ft_mix_rule {
    ft_mix_part part;
    ft_mix_where where;
    const ft_dtype *dtype; /* NULL ends the rules */
} ft_mix_rule;
/* A row of export/mixes.def. */
typedef struct ft_mix {
    const char *name, *alias; /* "q4_k_m", "q4_k"; alias may be NULL */
    uint32_t file_type;       /* general.file_type */
    const ft_dtype *dtype;
    ft_mix_rule rules[8];
    bool proposed; /* where a type is searched for, it is among the candidates */
    const char *help;
} ft_mix;
const ft_mix *ft_mix_at(size_t i); /* the table, NULL behind its end */
const ft_mix *ft_mix_named(const char *name);
/* general.file_type of a file that has this type throughout; 0 where there is none. */
uint32_t ft_mix_file_type(const ft_dtype *dtype);
/* What the rules look at, of the model as a whole. */
typedef struct ft_mix_shape {
    int64_t layers, heads, kv_heads;
    bool has_output; /* an output.weight of its own */
    bool weighted;   /* an importance matrix is there */
} ft_mix_shape;
/* Whether a tensor of that GGUF name is quantized at all; what is not stays as it is. */
bool ft_mix_quantizes(const char *name, int ndim);
/* The type for rows of `cols` values of the tensor of that GGUF name; *wanted (may be NULL): the type that the mix asks
 * for, another one where cols is no whole number of its blocks. */
const ft_dtype *ft_mix_type(const ft_mix *mix, const ft_mix_shape *m, const char *name, int64_t cols,
                            const ft_dtype **wanted);

/* ---- importance matrices (imatrix.c): the mean square of what each column of a matrix is multiplied with ---- */
typedef struct ft_imatrix ft_imatrix;
ft_status ft_imatrix_new(ft_imatrix **out);
/* Reads llama.cpp's files, GGUF or the older .dat. */
ft_status ft_imatrix_open(ft_imatrix **out, const char *path);
void ft_imatrix_free(ft_imatrix *m);
size_t ft_imatrix_count(const ft_imatrix *m);
/* Adds rows x [T, n] that the matrix of this GGUF name was multiplied with. FT_EFORMAT when n was another before. */
ft_status ft_imatrix_add(ft_imatrix *m, const char *name, const float *x, int64_t T, int64_t n);
/* *values: the mean squares [n], NULL when the matrix is not among them; owned by m. FT_EFORMAT when it has another n. */
ft_status ft_imatrix_find(const ft_imatrix *m, const char *name, int64_t n, const float **values);
/* As llama.cpp reads it: GGUF, or the older format where path ends in ".dat". chunk: tokens of a piece of the text. */
ft_status ft_imatrix_write(const ft_imatrix *m, const char *path, const char *dataset, int64_t chunk, int64_t chunks);

/* ---- one GGUF to another (quantize.c) ---- */
/* What became of a tensor. */
typedef struct ft_quantized {
    const char *name;
    int ndim;
    const int64_t *shape;
    const ft_dtype *from, *to, *wanted; /* wanted: what the mix asks for, another one where rows do not divide */
    bool weighted;                      /* by the importance matrix */
    uint64_t bytes;
} ft_quantized;
typedef struct ft_quantize_request {
    const char *in, *out; /* GGUF files */
    const ft_mix *mix;
    const ft_imatrix *imatrix; /* or NULL */
    /* in the order of the file, before any is encoded, with tensor_ctx; may be NULL */
    void (*on_tensor)(void *ctx, const ft_quantized *q);
    void *tensor_ctx;
    bool (*progress)(void *ctx, const char *what, size_t done, size_t total); /* false stops; may be NULL */
    void *ctx;
} ft_quantize_request;
/* Copies every value, and every tensor in the type of the mix, a tile at a time, encoded on all threads. FT_ENUMERIC for
 * numbers that are not finite, FT_EINPUT when out is in. */
ft_status ft_quantize(const ft_quantize_request *r);

/* ---- rounding that keeps what a matrix makes of its inputs (feedback.c, calibration.c) ---- */
typedef struct ft_feedback {
    const ft_dtype *dtype; /* one with levels */
    int64_t n;             /* columns */
    const float *factor;   /* [n, n]: of what column i leaves over, column k > i takes up factor[i][k] */
    const float *importance; /* [n] */
} ft_feedback;
/* h [n, n], the mean of x x^T over inputs x, becomes the factor; its diagonal goes to diagonal [n]. */
void ft_feedback_factor(float *h, float *diagonal, int64_t n);
size_t ft_feedback_scratch(int64_t n); /* floats a thread, of ft_threads() */
/* out: rows x [rows, f->n] as blocks of f->dtype, on all threads. The result does not depend on how rows are cut. */
void ft_feedback_encode(const ft_feedback *f, const float *x, int64_t rows, void *out, float *scratch);
/* The inputs of the linears of m, with its adapter, on rows like those that it will see; all borrowed. About `tokens` of them
 * are run, spread over the rows; 0: all. Must be freed after a failure too. */
typedef struct ft_calibration ft_calibration;
enum { FT_CALIBRATION_TOKENS = 16384 }; /* enough for most */
ft_status ft_calibration_new(ft_calibration **out, ft_model *m, const ft_rows *rows, int64_t tokens);
/* What the rounding of a weight to dtype needs, good until the next call; out->factor NULL where it can only be rounded value
 * by value: its type has no levels, or it is no linear of a block. Runs the rows where they were not run for it yet. */
ft_status ft_calibration_of(ft_feedback *out, ft_calibration *c, const ft_param *weight, const ft_dtype *dtype);
void ft_calibration_free(ft_calibration *c);

/* ---- what rounding leaves of an adapter's update (survival.c) ---- */
/* Sums over the values of matrices: d is the update as merged, s what it does to the file, Q(W + d) - Q(W). */
typedef struct ft_survival {
    double dot, kept, delta; /* s d, s s, d d */
} ft_survival;
/* 1: the file changes as the model did; near 0: by noise alone. NaN where there is no update. */
double ft_survival_cosine(const ft_survival *s);
double ft_survival_norm(const ft_survival *s); /* |s| / |d|; NaN likewise */
typedef struct ft_survival_row {
    char *name; /* as the file names it, owned */
    const ft_dtype *dtype;
    ft_survival survival;
} ft_survival_row;
typedef struct ft_survival_list { /* every matrix with an update, in the order of the file */
    ft_survival_row *p;
    size_t n;
    ft_survival total;
} ft_survival_list;
void ft_survival_list_free(ft_survival_list *list);
/* *out [list->n]: its rows by rising cosine, in new memory (ft_free). */
ft_status ft_survival_worst(const ft_survival_list *list, const ft_survival_row ***out);
/* {cosine, norm, tensors: [{name, type, cosine, norm} ...]}, the worst first; at most `most` of them, 0: all. The caller
 * json_decref's it. */
ft_status ft_survival_json(json_t **out, const ft_survival_list *list, size_t most);

typedef struct ft_export_request {
    ft_model *model; /* with its adapter attached, where it has one */
    const ft_tokenizer *tokenizer; /* NULL: written without one (gguf: token ids only, no Modelfile) */
    const ft_chat_template *chat; /* or NULL */
    const char *path;        /* file (gguf, gguf-lora) or directory (hf, peft) */
    const ft_dtype *dtype;   /* NULL: the exporter's default (gguf: q8_0; hf: as the base was stored) */
    const ft_mix *mix;       /* gguf: types by tensor; NULL: dtype for every matrix */
    const ft_imatrix *imatrix; /* gguf: weighs the error of the encoders; or NULL */
    ft_calibration *calibration; /* rounds with error feedback, in place of imatrix where it can; NULL: value by value */
    const char *name;        /* general.name, model card */
    const char *base_name;   /* base_model_name_or_path, as the user wrote it */
    const ft_sampling *sampling; /* Modelfile parameters; NULL: temperature 0 */
    const ft_labels *labels;     /* gguf, gguf-lora: a grammar of them stands beside the file; NULL: none */
    /* gguf: called for every weight before it is written, with tensor_ctx; may be NULL */
    void (*on_tensor)(void *ctx, const ft_quantized *q);
    void *tensor_ctx;
    /* Filled with what the types leave of the adapter's update, at the cost of encoding its matrices twice; NULL: not
     * measured. The caller's to free, empty before the call. */
    ft_survival_list *survival;
    bool unproven;               /* a file without its Modelfile, which comes with the name (ft_export_accept) */
    bool trial;                  /* gguf: a candidate of a search, without remarks */
    uint64_t shard_bytes;        /* hf: a safetensors file at most this large; 0: 5 GB */
    bool (*progress)(void *ctx, const char *what, size_t done, size_t total);
    void *ctx;
} ft_export_request;

/* Files that stand beside an export. */
enum { FT_MAX_BESIDE = 2 };
typedef struct ft_beside {
    ft_out *file[FT_MAX_BESIDE];
    size_t n;
} ft_beside;

typedef struct ft_exporter {
    const char *name; /* "gguf" "gguf-lora" "hf" "peft" */
    const char *help;
    bool needs_adapter;
    bool updates_only;  /* it has no place for what an adapter holds besides low-rank updates */
    const char *suffix; /* of the file that it writes; NULL: it writes a directory */
    const char *quant;  /* the type where none is asked for; NULL: as the base is stored */
    const char *dtypes; /* what it writes, by the names of mixes: "f32|f16|bf16" */
    ft_status (*write)(const ft_export_request *r);
    /* Opens what stands beside its file, on the disk and ready to be committed; also after a failure the caller aborts it.
     * NULL: a directory. */
    ft_status (*beside)(ft_beside *b, const ft_export_request *r);
} ft_exporter;
extern const ft_exporter *const ft_exporters[]; /* NULL at the end */
const ft_exporter *ft_exporter_named(const char *name);
/* Is a mix of this name one that an exporter writes? */
bool ft_exporter_writes(const ft_exporter *e, const char *name);
/* Before the work: FT_EUNSUPPORTED when the exporter has no place for all that is attached. */
ft_status ft_exporter_check_adapter(const ft_exporter *e, const ft_model *m);
/* Before the work: FT_EINPUT when what stands under the name is nothing that the exporter may replace. */
ft_status ft_exporter_check_path(const ft_exporter *e, const char *path);

/* gguf: the mixes that are proposed, by the bytes that r would have with them, the smallest first (of equals the first of
 * the table); only those with more bytes than `above`, NULL: all. */
enum { FT_MAX_PROPOSED = 16 };
ft_status ft_gguf_proposed(const ft_mix *out[FT_MAX_PROPOSED], size_t *n, const ft_export_request *r, const ft_mix *above);
/* gguf: of these above r's own the smallest one that leaves this cosine of the update, told by some rows of each matrix;
 * *out NULL: none does. */
ft_status ft_survival_cheapest(const ft_mix **out, const ft_export_request *r, double least);

/* Rows [r0, r1) of a weight with its adapter merged, as f32 [r1 - r0, in]: W + scale * B A, or the saved module. */
ft_status ft_merge_rows(ft_model *m, const ft_param *weight, int64_t r0, int64_t r1, float *out);
/* The Ollama Modelfile of a gguf, which the gguf exporter writes beside it: in new memory, "Modelfile" in its folder, or
 * "Modelfile.STEM" where that one describes another GGUF or is the user's own. NULL: both are the user's. */
ft_status ft_modelfile_path(char **path, const char *gguf);

/* The grammar of labels, for llama.cpp. FT_EUNSUPPORTED for a label that is no UTF-8 or holds a NUL. */
ft_status ft_gbnf(ft_buf *out, const ft_labels *l);
/* The grammar's file beside a gguf, in new memory: "model.gbnf" of "model.gguf"; NULL: what stands there is the user's. */
ft_status ft_gbnf_path(char **path, const char *gguf);

/* Removes an exported folder, known by its fettle.json; what holds anything else, or was not written by fettle, stays. */
ft_status ft_export_remove(const char *dir);
/* Removes every export from the folder of a run's exports: GGUFs, their Modelfiles and grammars, exported folders; and the folder itself
 * where nothing else is in it. */
ft_status ft_export_remove_all(const char *dir);

/* One column of the final table: base, tuned, each shipped file. */
typedef struct ft_report_column {
    const char *title;     /* "base", "tuned", "model-q8_0.gguf" */
    ft_scores scores;
    double agreement;      /* top-1 agreement with the tuned model on supervised tokens; NaN: not measured */
    double kl;             /* mean divergence from the tuned model on supervised tokens, nats; NaN: not measured */
    bool generated;        /* text metrics are among the scores, where any were asked for */
    char *rejected;        /* which limits of its gate it misses; NULL: none, or it has no gate. The caller's. */
    uint64_t bytes;        /* of the file; 0: none */
    ft_survival_list survival; /* of the adapter's update in the file; empty: none */
} ft_report_column;
/* ---- the gate (gate.c): what a file must reach before it gets its name ---- */
enum { FT_MAX_LIMITS = 12 };
typedef struct ft_export_limit {
    const char *name; /* one of ft_export_gate_choice */
    double bound;
} ft_export_limit;
typedef struct ft_export_gate {
    ft_export_limit limit[FT_MAX_LIMITS];
    size_t n; /* 0: no gate */
} ft_export_gate;
const char *ft_export_gate_choice(size_t i); /* the i-th name, NULL behind the last */
/* Adds "kl=0.05". FT_EINPUT: no such name, no number, a name given twice. */
ft_status ft_export_gate_put(ft_export_gate *g, const char *limit);
bool ft_export_gate_wants(const ft_export_gate *g, const ft_metric *metric);
bool ft_export_gate_generates(const ft_export_gate *g); /* does it want a metric of generated text? */
/* Appends to `why` every limit that the file misses: nothing when it passes. Metrics of text are passed over until
 * file->generated. */
ft_status ft_export_gate_check(const ft_export_gate *g, const ft_report_column *tuned, const ft_report_column *file,
                               ft_buf *why);
/* "PATH.rejected" in new memory: where a file stands until it has passed, and stays if it does not. */
char *ft_export_rejected_path(const char *path);
/* Gives what was written to `from` (with r->unproven) the name r->path, in place of an earlier export, and writes what
 * stands beside it. */
ft_status ft_export_accept(const ft_exporter *e, const ft_export_request *r, const char *from);

/* The table as text, appended to out: a row a figure, a column a model, aligned for a terminal. */
ft_status ft_report_table(ft_buf *out, const ft_report_column *columns, size_t n);
/* The table as a JSON array, an object a column: title, every metric by its name, top1_agreement, bytes, rows. The
 * caller json_decref's it. survival: as ft_survival_json, null where there is none. */
ft_status ft_report_json(json_t **out, const ft_report_column *columns, size_t n);
/* report.html: the table, how reliable confidences are, the loss, learning-rate and speed curves from log.jsonl (inline SVG),
 * sample predictions, the recipe; one self-contained file. log_path, recipe_text, samples and labels may be NULL; of a sample,
 * base and tuned. */
typedef struct ft_report_sample {
    const char *prompt, *expected, *base, *tuned;
} ft_report_sample;
typedef struct ft_report_labels {
    const ft_reliability *before, *after; /* of the tuned model on the rows of the table, without and with what was fitted */
    double temperature, threshold;
    double coverage, answered_accuracy; /* NaN: nothing is answered */
    bool biased;                        /* a correction for each label was fitted too */
    const char *fitted_on;
    int64_t fitted_rows;
} ft_report_labels;
ft_status ft_report_write(const char *path, const char *title, const char *log_path, const char *recipe_text,
                          const ft_report_column *columns, size_t n, const ft_report_sample *samples, size_t n_samples,
                          const ft_report_labels *labels);

#endif
