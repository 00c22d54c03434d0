/* model/adapter: what an adapter kind is made of, and what is attached to a model.
 *
 * A kind is a row of model/adapters.def: FT_ADAPTER(lora) is the object ft_adapter_lora at the foot of its file. It
 * makes the tensors of one adapted linear, gives them their first values, and computes with them.
 */
#ifndef FETTLE_MODEL_ADAPTER_H
#define FETTLE_MODEL_ADAPTER_H

#include "model/arch.h"

enum { FT_MAX_RANK = 1 << 16 };

/* On one linear: a [r, in], b [out, r]; with DoRA magnitude [out], else its data are NULL. */
typedef struct ft_adapted {
    ft_param a, b, magnitude;
    float *squares; /* DoRA: [out], the squared norms of the rows of W */
    float *norms;   /* DoRA: [out], the norms of the rows of W + scale B A, kept where the adapter is frozen */
    bool has_norms;
    ft_param start_a, start_b; /* pissa: what is subtracted again, else their data are NULL */
    ft_param whole_a, whole_b; /* pissa: [2 r, in] and [out, 2 r], both as one update */
    ft_weight *on;
    float scale;
    uint32_t site; /* number among the adapted linears: keys init and dropout */
} ft_adapted;

/* A weight of modules_to_save: its trained f32 copy. */
typedef struct ft_saved {
    ft_param p;
    ft_weight *on;
} ft_saved;

typedef struct ft_adapter_kind {
    const char *name;      /* in recipes */
    const char *peft_type; /* in adapter_config.json */
    /* [T, out] = x [T, in] w^T with the adapter's share and the bias (NULL: none) added. token: as of ft_op_lora. */
    ft_var *(*apply)(ft_tape *t, ft_var *x, ft_param *w, ft_param *bias, const struct ft_adapter *adapter, ft_adapted *at,
                     const int64_t *token);
    /* First values of a fresh adapter. */
    void (*init)(ft_adapted *at, uint64_t seed);
    /* Scale on the update for rank and alpha. */
    float (*scale)(int64_t r, double alpha, bool rslora);
    const char *help;
} ft_adapter_kind;
extern const ft_adapter_kind *const ft_adapter_kinds[]; /* the table, NULL at its end */

typedef struct ft_adapter {
    const ft_adapter_kind *kind;
    ft_adapter_spec spec; /* all it points to is owned */
    ft_adapter_spec shipped; /* the same as it is exported */
    char *path;           /* the directory it came from; NULL: a fresh one */
    bool trainable;
    ft_adapted *parts; /* [n_parts], in the order of the model's weights */
    size_t n_parts;
    ft_saved *saved; /* [n_saved], likewise */
    size_t n_saved;
} ft_adapter;

/* Begins an adapter with nothing on it: copies spec, freezes the base. FT_EINPUT when one is attached. On a later
 * failure the caller detaches. */
ft_status ft_adapter__begin(ft_model *m, const ft_adapter_spec *spec, bool trainable);
/* A (zero), B (zero) and, with DoRA, the magnitude of W on a linear; a trained copy of a weight, with its present values. */
ft_status ft_adapter__add(ft_model *m, ft_weight *w, int64_t r, double alpha);
ft_status ft_adapter__save(ft_model *m, ft_weight *w);
/* A tensor of an adapter, zero, with its gradient where it trains. Takes name over; NULL is FT_ENOMEM. */
ft_status ft_adapter__make_param(ft_param *p, char *name, int ndim, const int64_t *shape, bool trainable);
/* lora_init.c: puts the table's name in place of init, NULL too; first values; the update of pissa into whole_a and whole_b. */
ft_status ft_adapter__check_init(ft_adapter_spec *s);
ft_status ft_adapter__fill(ft_model *m, ft_adapted *at);
void ft_adapter__join(ft_adapted *at);
/* FT_ENUMERIC when a value of a tensor that is to be read into an adapter is not finite. where: the file. */
ft_status ft_adapter__check_finite(const ft_named *t, const char *where);
/* adapter_gguf.c: what ft_adapter_load does of a GGUF; on a failure something may be attached. */
ft_status ft_adapter__load_gguf(ft_model *m, const char *path, bool trainable);
/* adapter_gguf.c: likewise what ft_adapter_base_dtype says of one. */
ft_status ft_adapter__gguf_base_dtype(const ft_dtype **dtype, const char *path);
/* pattern.c: does a module's name match a key of PEFT's rank_pattern? FT_EUNSUPPORTED where it is no pattern or takes too
 * long. */
ft_status ft_adapter__pattern(const char *pattern, ft_str module, bool *matches);
/* Does `module` ("model.layers.0.self_attn.q_proj", n bytes) go by that name, whole or by its last parts? */
bool ft_adapter__matches(const char *module, size_t n, const char *name);
/* Is this linear of a block among the targets? */
bool ft_adapter__targets(const ft_adapter_spec *spec, const ft_weight *w);
/* Is this weight of a module to save? The embedding also goes by lm_head where they are tied. */
bool ft_adapter__saves(const ft_model *m, const ft_adapter_spec *spec, const ft_weight *w);

#endif
