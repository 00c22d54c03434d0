/* model/pooling: how a model gives one vector for a text, as its files say (or as somebody asks), and those files.
 *
 *   modules.json                        [{"idx", "name", "path", "type"}]: Transformer, Pooling, Normalize
 *   1_Pooling/config.json               "pooling_mode_cls_token", "..._mean_tokens", "..._lasttoken"
 *   config_sentence_transformers.json   "prompts": {"query", "document" (or "passage")}
 *   sentence_bert_config.json           "max_seq_length"
 *
 * That is sentence-transformers' layout of a model directory, and of an adapter's; a GGUF has {arch}.pooling_type.
 * Refuses: modules that it would have to leave out (Dense ...) and other ways of pooling (FT_EUNSUPPORTED).
 * Ownership: the model owns its ft_pooling and the texts in it.
 */
#ifndef FETTLE_MODEL_POOLING_H
#define FETTLE_MODEL_POOLING_H

#include "model/model.h"

/* The numbers are those of {arch}.pooling_type. */
typedef enum ft_pool { FT_POOL_NONE, FT_POOL_MEAN, FT_POOL_CLS, FT_POOL_LAST } ft_pool;

typedef struct ft_pooling {
    ft_pool kind;                                /* NONE: nothing is said, the model gives a vector a token */
    bool normalize;                              /* vectors are scaled to length 1 */
    const char *query_prompt, *document_prompt;  /* what stands before queries and before documents; NULL: nothing */
} ft_pooling;

/* "mean", "cls", "last"; NULL for NONE and behind the last. */
const char *ft_pool_name(ft_pool kind);
/* NONE for another name. */
ft_pool ft_pool_named(const char *name);
const ft_pooling *ft_model_pooling(const ft_model *m);
/* Takes copies. */
ft_status ft_model_set_pooling(ft_model *m, const ft_pooling *pooling);

/* One vector a segment, [seg->n, C], pooled but not scaled; otherwise as ft_model_forward. FT_EINPUT without a pooling. */
ft_var *ft_model_vectors(ft_model *m, ft_tape *t, const int32_t *ids, int64_t T, const ft_segments *seg,
                         int64_t checkpointed);
/* FT_EINPUT, with what to do, for a model that has no pooling or one that cannot serve it (cls where tokens see only what
 * stands before them). */
ft_status ft_model_check_pooling(const ft_model *m);

/* Writes the files above into dir; those that the model came with, byte for byte. Nothing where there is no pooling. */
ft_status ft_pooling_write_dir(const ft_model *m, const char *dir);

#endif
