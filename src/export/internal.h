/* Inside the export room: what the exporters share. */
#ifndef FETTLE_EXPORT_INTERNAL_H
#define FETTLE_EXPORT_INTERNAL_H

#include "base/os.h"
#include "export/export.h"

#define FT_EXPORTER(name) extern const ft_exporter ft_exporter_##name;
#include "export/exporters.def"
#undef FT_EXPORTER

/* ---- exporters.c ---- */
/* FT_EUNSUPPORTED naming the choices when r->dtype is none of e's; FT_EINPUT when the target is where the model came from. */
ft_status ft_export__check(const ft_export_request *r, const ft_exporter *e);
/* The progress callback: done of total tensors; FT_ESTOPPED when the caller wants to stop. */
ft_status ft_export__tick(const ft_export_request *r, const char *what, size_t done, size_t total);
/* ---- gguf.c ---- */
/* general.base_model.*, out of the base as the user wrote it (may be NULL). */
ft_status ft_export__gguf_base(ft_writer *w, const char *base);

/* ---- merge.c ---- */
/* As ft_merge_rows for file rows [r0, r1): file row r is model row order[r]; order NULL: r. */
ft_status ft_export__merge(ft_model *m, const ft_param *weight, const int64_t *order, int64_t r0, int64_t r1, float *out);

/* ---- stream.c: one tensor from the model into a writer ---- */
typedef struct ft_export__tensor {
    const char *name;       /* as the file names it, borrowed */
    const ft_param *weight; /* of the model, merged while writing; NULL: plain or values */
    const ft_tensor *plain; /* likewise, not merged (an adapter's own tensors, those of another file) */
    const float *values;    /* [shape[0]], likewise */
    const ft_dtype *dtype;  /* as written */
    int ndim;
    int64_t shape[FT_MAX_DIMS];
    const int64_t *order;    /* file row -> row of weight or plain (of a weight's vector: element), NULL: the same */
    const float *importance; /* of the columns, for the encoder; NULL: all alike */
    const ft_feedback *feedback; /* rounds with error feedback; NULL: value by value */
    float plus, scale;       /* the file's value is (value + plus) * scale; scale 0: the value */
} ft_export__tensor;
uint64_t ft_export__tensor_bytes(const ft_export__tensor *t);
/* Merges, orders and encodes tile by tile; what is plain and has the dtype already is copied. FT_ENUMERIC when a value is
 * not finite or does not fit the dtype. m may be NULL for what is plain. survival: NULL, or what the dtype leaves of the
 * update goes there. */
ft_status ft_export__stream(ft_writer *w, ft_model *m, const ft_export__tensor *t, ft_survival *survival);
/* Whether it is a matrix that the adapter changes. */
bool ft_export__has_update(ft_model *m, const ft_export__tensor *t);
/* The survival of an update, by `rows` rows spread over the tensor; nothing is written. */
ft_status ft_export__survival(ft_survival *out, ft_model *m, const ft_export__tensor *t, int64_t rows);
/* ---- survival.c ---- */
ft_status ft_export__survival_add(ft_survival_list *list, const ft_export__tensor *t, const ft_survival *s);

/* ---- plan.c: the tensors of a file ---- */
typedef struct ft_export__plan {
    ft_export__tensor *p;
    size_t n;
    ft_arena *arena; /* names and orders */
} ft_export__plan;
/* Names a tensor for the file and chooses its dtype and order; it comes with the model's name, weight and shape. */
typedef ft_status (*ft_export__describe)(void *ctx, ft_export__plan *plan, ft_export__tensor *t);
/* Every weight of the model in checkpoint order; `spare` more places may be filled by the caller. */
ft_status ft_export__plan_make(ft_export__plan *out, ft_model *m, size_t spare, ft_export__describe describe, void *ctx);
void ft_export__plan_free(ft_export__plan *p);
/* Declares and streams tensors [first, end) into an open writer. */
ft_status ft_export__plan_write(const ft_export__plan *p, size_t first, size_t end, ft_writer *w, const ft_export_request *r,
                                const char *what);
/* ---- gguf.c: the tensors that r would write as GGUF ---- */
ft_status ft_export__gguf_plan(ft_export__plan *out, const ft_export_request *r);
/* The embedding where it is the head too, NULL where the head is a weight of its own. */
const ft_param *ft_export__tied(ft_model *m);

/* ---- folder.c: a directory that appears whole or not at all ---- */
typedef struct ft_export__folder {
    char *final, *temporary;
} ft_export__folder;
/* FT_EINPUT when something stands under the name that fettle did not write. */
ft_status ft_export__folder_check(const char *path);
/* Makes the temporary sibling. FT_EINPUT when something stands under the final name that fettle did not write. */
ft_status ft_export__folder_open(ft_export__folder *f, const char *path);
/* A file of the folder in new memory; NULL without memory. */
char *ft_export__folder_file(const ft_export__folder *f, const char *name);
/* fettle.json, by which a later export knows the folder as one that it may replace. */
ft_status ft_export__folder_mark(const ft_export__folder *f, const char *format, const ft_export_request *r);
/* Puts the folder under its final name, in place of an earlier export. Both free f. */
ft_status ft_export__folder_commit(ft_export__folder *f);
void ft_export__folder_abort(ft_export__folder *f);

/* ---- exporters.c: what stands beside a file ---- */
/* Writes what belongs to r beside its file, on the disk and ready to be committed: the Modelfile (base: NULL for a whole
 * model; what an adapter is added to, as seen from its folder) and the grammar of its labels. */
ft_status ft_export__beside_open(ft_beside *b, const ft_export_request *r, const char *base);
/* One file of that text more. */
ft_status ft_export__beside_add(ft_beside *b, const char *path, const ft_buf *text);
ft_status ft_export__beside_commit(ft_beside *b);
void ft_export__beside_abort(ft_beside *b);

/* ---- gbnf.c ---- */
/* Adds the grammar of r->labels; none, with a note, where it has no place. */
ft_status ft_export__gbnf_beside(ft_beside *b, const ft_export_request *r);
bool ft_export__gbnf_is_ours(const char *path);

/* ---- modelfile.c ---- */
/* One line "COMMAND text", quoted so that it reads back to the text; in triple quotes where asked or needed.
 * FT_EUNSUPPORTED when no quotes can hold it. */
ft_status ft_export__modelfile_text(ft_buf *b, const char *command, const char *text, bool triple);
/* Adds the Modelfile of the GGUF that is being written; none, with a note, where it has no place. base as above.
 * FT_EUNSUPPORTED for a template that no Modelfile can hold. */
ft_status ft_export__modelfile_beside(ft_beside *b, const ft_export_request *r, const char *base);
/* *orphan: fettle wrote this Modelfile of dir, and the GGUF that it describes is gone. */
ft_status ft_export__modelfile_is_orphan(bool *orphan, const char *dir, const char *path);
/* Its text: FROM, ADAPTER (of one), TEMPLATE, the template's default SYSTEM message, every stop, parameters. */
ft_status ft_export__modelfile(ft_buf *b, const char *base, const char *gguf_name, const ft_tokenizer *tok, const ft_chat_template *chat,
                               const ft_sampling *sampling);

#endif
