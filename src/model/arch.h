/* model/arch: what one architecture is made of, and what a model looks like inside its room.
 *
 * An architecture is a row of model/archs.def: FT_ARCH(llama) is the object ft_arch_llama at the foot of its file. A
 * row names the family in both worlds, lists its weights (one ft_weight_spec serves reading and writing of both
 * formats, shape checks, initialisation and adapters), reads what its config.json adds, and runs one block.
 */
#ifndef FETTLE_MODEL_ARCH_H
#define FETTLE_MODEL_ARCH_H

#include "model/pooling.h"

#include <stddef.h>

/* Extents a weight's shape is made of; FT_NONE as cols: a vector [rows]. */
typedef enum ft_extent {
    FT_NONE,
    FT_VOCAB,
    FT_HIDDEN,
    FT_FFN,
    FT_HEADS,    /* num_attention_heads * head_dim */
    FT_KV_HEADS, /* num_key_value_heads * head_dim */
    FT_QKV,      /* q, k and v in one: FT_HEADS + 2 FT_KV_HEADS */
    FT_GATE_UP,  /* gate and up in one: 2 FT_FFN */
    FT_HEAD_DIM,
    FT_POSITIONS, /* max_position_embeddings */
    FT_TYPES      /* type_vocab_size */
} ft_extent;

/* Norms and biases are decoded to f32 when the model is opened; linears of a block are what adapters sit on. */
typedef enum ft_role { FT_ROLE_EMBEDDING, FT_ROLE_LINEAR, FT_ROLE_HEAD, FT_ROLE_NORM, FT_ROLE_BIAS } ft_role;

/* Where the blocks and the forward pass find their weights. A slot of an absent weight is NULL. */
enum {
    FT_W_EMBED,
    FT_W_FINAL_NORM,
    FT_W_HEAD,
    FT_W_POSITIONS,
    FT_W_TYPES,
    FT_W_EMBED_NORM,
    FT_W_EMBED_NORM_BIAS,
    FT_OUTER_SLOTS
};
enum {
    FT_W_ATTN_NORM,
    FT_W_QKV, /* in place of q, k and v */
    FT_W_Q,
    FT_W_K,
    FT_W_V,
    FT_W_O,
    FT_W_Q_BIAS,
    FT_W_K_BIAS,
    FT_W_V_BIAS,
    FT_W_O_BIAS,
    FT_W_Q_NORM,
    FT_W_K_NORM,
    FT_W_ATTN_POST_NORM,
    FT_W_ATTN_POST_NORM_BIAS,
    FT_W_FFN_NORM,
    FT_W_GATE_UP, /* in place of gate and up */
    FT_W_GATE,
    FT_W_UP,
    FT_W_DOWN,
    FT_W_GATE_BIAS,
    FT_W_UP_BIAS,
    FT_W_DOWN_BIAS,
    FT_W_FFN_POST_NORM,
    FT_W_FFN_POST_NORM_BIAS,
    FT_LAYER_SLOTS
};

/* In place of a fallback. */
enum { FT_KEY_NEEDED = -1, FT_KEY_LIKE_HEADS = -2, FT_KEY_HEAD_DIM = -3 };

/* A number of the config under its names in config.json and in GGUF metadata (behind "{arch}.", but for "tokenizer.*";
 * NULL: not there). It is not written where it is 0. Lists end with hf NULL. */
typedef struct ft_config_key {
    const char *hf, *gguf;
    size_t field; /* of the int64_t in ft_config */
    int64_t min, max, fallback;
} ft_config_key;
typedef struct ft_config_real {
    const char *hf, *gguf;
    size_t field; /* of the float in ft_config, which is 0 or more */
    float fallback;
} ft_config_real;
#define FT_FIELD(member) offsetof(ft_config, member)

struct ft_pass;
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
    const char *model_type;   /* in config.json */
    const char *architecture; /* architectures[0] of a config.json made from a GGUF */
    const char *gguf;         /* general.architecture */
    const char *gguf_mark;    /* key (behind "{arch}.") without which a GGUF is of a later row; NULL: none is needed */
    bool gguf_pairs;          /* GGUF wants the rows of turned weights as neighbouring pairs, not halves */
    bool gguf_windows;        /* llama.cpp has the family's sliding windows, in the layers that `slides` says */
    bool gguf_plain_heads;    /* llama.cpp knows no head length but hidden / heads */
    bool encoder;             /* tokens see both ways; no head */
    bool layer_norm;          /* LayerNorm with biases, not RMSNorm */
    bool tied;                /* head and embedding are one where config.json says nothing */
    bool partial_rotary, longrope; /* served beside the other rope settings */
    const char *layers;            /* what the names of a layer's weights begin with; NULL: "model.layers." */
    const char *prefix;            /* what all names of some checkpoints begin with ("bert."), or NULL */
    const char *const *unused;     /* beginnings of names of tensors that are passed over; ends with NULL; or NULL */
    const ft_weight_spec *weights; /* ends with hf NULL */
    const ft_config_key *keys;     /* beside the common ones, or NULL */
    const ft_config_real *reals;   /* likewise */
    /* Whether a layer has the sliding window, where config.json lists no layer_types. NULL: none has. */
    bool (*slides)(const ft_config *c, int64_t layer);
    /* What the family adds to, or refuses of, a config whose common fields are read. where names the file. */
    ft_status (*read_config)(ft_config *c, const char *where);
    /* What a GGUF says beyond the tables, into its config.json; NULL: nothing. */
    ft_status (*of_gguf)(json_t *config, const ft_container *g);
    /* The attention scale that llama.cpp takes whatever the config says, and the slot whose weights take up the
     * difference; NULL: it takes ours. */
    float (*gguf_scale)(const ft_config *c);
    int gguf_scale_slot;
    ft_status (*gguf_check)(const ft_config *c, const char *path); /* refuses what llama.cpp cannot do; NULL: nothing */
    /* ids to the first block's input; NULL: ft_decoder_embed. */
    ft_var *(*embed)(ft_tape *t, const struct ft_pass *p, const int32_t *ids, int64_t T);
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
    ft_rope rope, rope_local;         /* of FT_TURN and of FT_TURN_LOCAL */
    float *inv_freq;                  /* [3, rot / 2], theirs */
    bool outline;                     /* arrays of weights are only pointers: nobody may look behind them */
    bool unmade;                      /* weights are there from ft_model_hold to ft_model_release alone */
    uint64_t init_seed;               /* of random weights */
    double init_std;
    struct ft_adapter *adapter;
    const ft_dtype *quantize_base;    /* ft_model_options */
    bool stored_base;                 /* likewise */
    ft_linear_fn watch;               /* NULL: nobody looks on */
    void *watch_ctx;
    ft_pooling pooling;
    char *pooling_dir; /* whose files say it; NULL: a GGUF, or somebody who set it */
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
/* rope_freqs.weight: f32 [rot / 2]. */
ft_status ft_rope__divisors(ft_config *c, const ft_named *freqs, const char *where);
/* The longrope tensors of a GGUF as its config.json has them; nothing when there are none. */
ft_status ft_rope__longrope_of_gguf(json_t *config, const ft_container *g, const char *arch);
/* theta^(-2i / rot) / divisors[i] (NULL: / rope_factor): [rot / 2]. */
void ft_rope__frequencies(const ft_config *c, const float *divisors, float *inv_freq);
/* inv_freq of FT_TURN_LOCAL: plain. */
void ft_rope__local_frequencies(const ft_config *c, float *inv_freq);

/* ---- weights.c ---- */
/* The table of a model's weights: names, specs and shapes, no data. */
ft_status ft_weights__build(ft_model *m);
/* Data from m->source; every missing, misshapen or unexpected tensor is named. */
ft_status ft_weights__load(ft_model *m, bool trainable);
/* quantized.c: w holds `from`, row r as row perm[r] (NULL: r), in m->quantize_base, in memory of its own (an outline: in
 * none). FT_ENUMERIC for values that are not finite or too large for it. */
ft_status ft_weights__quantize(const ft_model *m, ft_weight *w, const ft_named *from, const int64_t *perm);
/* weights.c: what holding w in fewer bits lost, its stored values less those that it is held with: x [out, in]. */
ft_status ft_weights__lost(float *x, const ft_model *m, const ft_weight *w);
/* FT_ENUMERIC when a block of a quantized tensor has a scale that is no number. */
ft_status ft_weights__check_scales(const ft_named *t, const char *where);
/* init.c: random data for training; of a model that is `unmade`, what ft_model_hold needs to make it. */
ft_status ft_weights__init(ft_model *m, uint64_t seed);
/* Random data for measuring; matrices stored as dtype (random.c). asked as in ft_model_random. */
ft_status ft_weights__random(ft_model *m, const ft_dtype *dtype, uint64_t seed, const ft_id_list *asked);
void ft_weights__free(ft_model *m);
/* Row order of GGUF: perm[row in GGUF] = row in HF; false when they are the same. */
bool ft_weights__gguf_rows(const ft_model *m, const ft_weight *w, int64_t *perm);
/* "model.layers.3.self_attn.q_proj" of "....weight": the length without ".weight" or ".bias". */
size_t ft_weights__module(const char *name);

/* ---- decoder.c ---- */
/* The weights of a pre-norm decoder with grouped queries and a gated MLP. */
extern const ft_weight_spec ft_decoder_weights[];
/* The block of any decoder: what it has no weights for it leaves out (norms, biases). */
ft_var *ft_decoder_block(ft_tape *t, ft_var *x, void *pass, int64_t layer);
ft_var *ft_decoder_embed(ft_tape *t, const ft_pass *p, const int32_t *ids, int64_t T);
/* The rows of x [T, ...] that a block's queries, and all behind them, are for: in the last block those of the tokens that
 * are read. */
ft_var *ft_model__read(ft_tape *t, const ft_pass *p, ft_var *x, int64_t layer);
/* q [those, ...], k, v [T, ...] of the layer, turned, to the heads' output [those, H D]. */
ft_var *ft_model__attend(ft_tape *t, const ft_pass *p, ft_var *q, ft_var *k, ft_var *v, int64_t layer);
/* "Is hidden_act (or the key that the family has instead) the one the family was made for?" */
ft_status ft_config__check_act(const ft_config *c, const char *key, const char *expected, const char *where);
/* y = x W^T (+ bias), with what the adapter adds. A norm without weights is none: x. */
ft_var *ft_model__linear(ft_tape *t, const ft_pass *p, ft_var *x, ft_weight *w, ft_weight *bias);
ft_var *ft_model__norm(ft_tape *t, const ft_pass *p, ft_var *x, ft_weight *w);
/* The parameter to compute with: the trained copy where there is one. NULL for NULL. */
ft_param *ft_weight__live(ft_weight *w);

/* ---- pooling.c ---- */
/* What dir's modules.json says, where there is one; of the model's GGUF. */
ft_status ft_pooling__read(ft_model *m, const char *dir);
ft_status ft_pooling__of_gguf(ft_model *m);
void ft_pooling__free(ft_model *m);

/* ---- model.c ---- */
/* Lists what training changes; called whenever that changes. */
ft_status ft_model__list_trainable(ft_model *m);

#endif
