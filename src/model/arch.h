/* model/arch: what one architecture is made of, and what a model looks like inside its room.
 *
 * An architecture is a row of model/archs.def: FT_ARCH(llama) is the object ft_arch_llama at the foot of its file. A
 * row names the family in both worlds, lists its weights (one ft_weight_spec serves reading and writing of both
 * formats, shape checks, initialisation and adapters), reads what its config.json adds, and runs one block.
 */
#ifndef FETTLE_MODEL_ARCH_H
#define FETTLE_MODEL_ARCH_H

#include "model/model.h"

/* Extents a weight's shape is made of; FT_NONE as cols: a vector [rows]. */
typedef enum ft_extent {
    FT_NONE,
    FT_VOCAB,
    FT_HIDDEN,
    FT_FFN,
    FT_HEADS,   /* num_attention_heads * head_dim */
    FT_KV_HEADS /* num_key_value_heads * head_dim */
} ft_extent;

/* Norms and biases are decoded to f32 when the model is opened; linears of a block are what adapters sit on. */
typedef enum ft_role { FT_ROLE_EMBEDDING, FT_ROLE_LINEAR, FT_ROLE_HEAD, FT_ROLE_NORM, FT_ROLE_BIAS } ft_role;

/* Where the blocks and the forward pass find their weights. A slot of an absent weight is NULL. */
enum { FT_W_EMBED, FT_W_FINAL_NORM, FT_W_HEAD, FT_OUTER_SLOTS };
enum {
    FT_W_ATTN_NORM,
    FT_W_Q,
    FT_W_K,
    FT_W_V,
    FT_W_O,
    FT_W_Q_BIAS,
    FT_W_K_BIAS,
    FT_W_V_BIAS,
    FT_W_O_BIAS,
    FT_W_FFN_NORM,
    FT_W_GATE,
    FT_W_UP,
    FT_W_DOWN,
    FT_W_GATE_BIAS,
    FT_W_UP_BIAS,
    FT_W_DOWN_BIAS,
    FT_LAYER_SLOTS
};

typedef struct ft_weight_spec {
    int slot;
    bool per_layer;
    const char *hf, *gguf; /* whole names, or behind "model.layers.N." and "blk.N." */
    ft_role role;
    ft_extent rows, cols;
    bool turned;   /* its rows are heads that rope turns: the order differs in GGUFs of families with gguf_pairs */
    bool residual; /* writes into the residual stream: initialised with std / sqrt(2 L) */
    bool (*when)(const ft_config *c); /* NULL: always there */
} ft_weight_spec;

struct ft_arch {
    const char *model_type;        /* in config.json */
    const char *architecture;      /* architectures[0] of a config.json made from a GGUF */
    const char *gguf;              /* general.architecture */
    bool gguf_pairs;               /* GGUF wants the rows of turned weights as neighbouring pairs, not halves */
    const ft_weight_spec *weights; /* ends with hf NULL */
    /* What the family adds to, or refuses of, a config whose common fields are read. where names the file. */
    ft_status (*read_config)(ft_config *c, const char *where);
    ft_block_fn block; /* ctx: ft_pass */
    const char *help;
};
extern const ft_arch *const ft_archs[]; /* the table, NULL at its end */

/* One weight of a model. p is the first member: an ft_param that a model handed out is an ft_weight. */
typedef struct ft_weight {
    ft_param p;
    const ft_weight_spec *spec;
    int64_t layer;              /* -1: not of a layer */
    char *name;                 /* p.name */
    void *owned;                /* p.t.data where it is not the mapping's */
    const ft_dtype *stored;     /* the dtype in the file it came from */
    struct ft_adapted *adapted; /* what the adapter put on it, or NULL */
    struct ft_saved *saved;     /* its trained copy, or NULL */
} ft_weight;

typedef struct ft_layer {
    ft_weight *w[FT_LAYER_SLOTS];
} ft_layer;

struct ft_model {
    ft_config config;
    char *path, *tokenizer_path;
    ft_container *source; /* holds the mapping; NULL: random weights */
    ft_weight *weights;
    size_t n;
    ft_weight *outer[FT_OUTER_SLOTS]; /* FT_W_HEAD is the embedding where they are tied */
    ft_layer *layers;                 /* [L] */
    ft_rope rope;
    float *inv_freq; /* [head_dim / 2], rope's */
    struct ft_adapter *adapter;
    ft_param **trainable; /* [n_trainable] */
    size_t n_trainable;
};

/* What a block is called with: lives in the tape's memory, since a checkpointed block is run again in the backward
 * walk. */
typedef struct ft_pass {
    ft_model *m;
    ft_segments seg;
    ft_kv *kv; /* [L] or NULL */
} ft_pass;

/* ---- config.c, rope.c ---- */
/* Takes json over (also on failure). where: the file's name for messages. */
ft_status ft_config__read(ft_config *c, json_t *json, const char *where);
/* A config.json as the GGUF's metadata tells it. */
ft_status ft_config__of_gguf(json_t **json, const ft_container *g);
void ft_config__free(ft_config *c);
/* The rope settings of a config.json, under rope_scaling / rope_theta or rope_parameters. */
ft_status ft_rope__read(ft_config *c, const char *where);
/* rope_freqs.weight: f32 [head_dim / 2]. */
ft_status ft_rope__divisors(ft_config *c, const ft_named *freqs, const char *where);
void ft_rope__frequencies(const ft_config *c, float *inv_freq);

/* ---- weights.c ---- */
/* The table of a model's weights: names, specs and shapes, no data. */
ft_status ft_weights__build(ft_model *m);
/* Data from m->source; every missing, misshapen or unexpected tensor is named. */
ft_status ft_weights__load(ft_model *m, bool trainable);
/* Random data. */
ft_status ft_weights__init(ft_model *m, uint64_t seed);
/* Random data for measuring; matrices stored as dtype (random.c). */
ft_status ft_weights__random(ft_model *m, const ft_dtype *dtype, uint64_t seed);
void ft_weights__free(ft_model *m);
/* Row order of GGUF: perm[row in GGUF] = row in HF; false when they are the same. */
bool ft_weights__gguf_rows(const ft_model *m, const ft_weight *w, int64_t *perm);
/* "model.layers.3.self_attn.q_proj" of "....weight": the length without ".weight" or ".bias". */
size_t ft_weights__module(const char *name);

/* ---- decoder.c ---- */
/* The weights and the block of a pre-norm decoder with grouped queries and a gated MLP. */
extern const ft_weight_spec ft_decoder_weights[];
ft_var *ft_decoder_block(ft_tape *t, ft_var *x, void *pass, int64_t layer);
/* y = x W^T (+ bias), with what the adapter adds. */
ft_var *ft_model__linear(ft_tape *t, const ft_pass *p, ft_var *x, ft_weight *w, ft_weight *bias);
ft_var *ft_model__norm(ft_tape *t, const ft_pass *p, ft_var *x, ft_weight *w);
/* The parameter to compute with: the trained copy where there is one. NULL for NULL. */
ft_param *ft_weight__live(ft_weight *w);

/* ---- model.c ---- */
/* Lists what training changes; called whenever that changes. */
ft_status ft_model__list_trainable(ft_model *m);

#endif
