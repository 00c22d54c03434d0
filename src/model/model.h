/* The model room: architectures as blocks of ops, weights by their Hugging Face names, adapters, decoding, sampling.
 *
 * An architecture is one file and one row (model/archs.def): which config.json model_type and GGUF general.architecture
 * it serves, how its config is read, its weight names in both worlds, which rows GGUF wants in another order, and its
 * block. Weights are used in place from the mapping, in any dtype; norms and biases are f32 copies.
 * An adapter kind is one file and one row (model/adapters.def).
 *
 * Refuses: a tensor that is missing, misshapen or unknown, by name and with both shapes (FT_EFORMAT, FT_EUNSUPPORTED);
 * a family, rope scaling or adapter setting that it would have to guess at (FT_EUNSUPPORTED, with what is supported).
 * Legal order: ft_model_open or ft_model_init; ft_adapter_attach or ft_adapter_load at most once at a time; forward and
 * decode; ft_model_free.
 * Ownership: a model owns its params, adapter and mapping, and every string and array it hands out; ft_model_free frees
 * all, ft_adapter_detach what belongs to the adapter.
 * Threads: one thread calls; the work inside is spread by ft_parallel.
 */
#ifndef FETTLE_MODEL_MODEL_H
#define FETTLE_MODEL_MODEL_H

#include "file/container.h"
#include "file/json.h"
#include "grad/grad.h"

typedef struct ft_arch ft_arch;

/* FT_ROPE_DIVISORS: the rope_freqs.weight of a GGUF that no llama3 setting explains. */
typedef enum ft_rope_kind {
    FT_ROPE_PLAIN,
    FT_ROPE_LINEAR,
    FT_ROPE_LLAMA3,
    FT_ROPE_DIVISORS,
    FT_ROPE_LONGROPE
} ft_rope_kind;

/* The rotary frequencies of a layer: those of most layers, those of layers with a window of their own (gemma3). */
typedef enum ft_layer_rope { FT_TURN_NOT, FT_TURN, FT_TURN_LOCAL } ft_layer_rope;
typedef struct ft_layer_config {
    int64_t window; /* 0: none; else a token sees the last `window` ones, itself among them */
    ft_layer_rope rope;
} ft_layer_config;

typedef struct ft_config {
    const ft_arch *arch;
    int64_t hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim;
    int64_t vocab_size, max_position_embeddings;
    int64_t sliding_window, sliding_window_pattern, type_vocab_size; /* of families that have them, else 0 */
    ft_layer_config *layers;                                         /* [num_hidden_layers], owned */
    float norm_eps;
    double rope_theta;
    int64_t rot; /* dims of a head that turn */
    ft_rope_kind rope_kind;
    double rope_factor, rope_low_freq_factor, rope_high_freq_factor;
    int64_t rope_original_max_position;
    float *rope_divisors;        /* [rot / 2] for LLAMA3, DIVISORS and LONGROPE: inv_freq is divided by them; owned */
    float *rope_divisors_beyond; /* [rot / 2] for LONGROPE: of rows longer than rope_original_max_position; owned */
    float rope_attention_factor; /* on cos and sin */
    float rope_local_theta;      /* of FT_TURN_LOCAL */
    bool tie_word_embeddings;
    bool attention_bias, attention_out_bias, mlp_bias; /* of q, k, v; of o; of gate, up, down */
    ft_gate gate;                                      /* of the MLP */
    /* What families do differently; 1, 0, head_dim^-1/2, 0, 0, 1, 1 where a family says nothing. */
    float embedding_scale, norm_plus, attention_scale, attention_softcap, final_softcap, residual_scale, logits_divisor;
    int32_t bos_token_id, eos_token_id; /* -1: none; the first of a list */
    json_t *json;                       /* the whole config.json (made up from metadata for a GGUF), owned */
} ft_config;

typedef struct ft_model ft_model;

typedef struct ft_model_options {
    bool trainable; /* full fine-tune: every weight becomes an owned f32 copy with a gradient */
    /* QLoRA: linears of blocks that are stored as floats are held in this type (what stands in for it where their rows do
     * not divide), encoded one tensor at a time; quantized ones stay as they are. NULL: as stored. FT_EINPUT with
     * trainable. */
    const ft_dtype *quantize_base;
    bool stored_base; /* of a run folder or adapter: the base as stored, though the adapter saw it in fewer bits */
} ft_model_options;
/* path: an HF directory (config.json + safetensors), a .gguf, or a run folder (its model/ if it has one, else the base
 * named by adapter/adapter_config.json, as the adapter saw it, with that adapter attached). options may be NULL. */
ft_status ft_model_open(ft_model **out, const char *path, const ft_model_options *options);
/* Random weights from a config.json (normal, std initializer_range or 0.02; residual outputs / sqrt(2 L)), all of them
 * trainable. */
ft_status ft_model_init(ft_model **out, const char *config_path, uint64_t seed);
/* The same weights to be written out, however large the model: nothing trains, and a weight has its values from
 * ft_model_hold to ft_model_release alone. */
ft_status ft_model_unmade(ft_model **out, const char *config_path, uint64_t seed);
/* For who passes through the weights once, one after the other: the values are needed now; they are not needed for a
 * while. The latter gives the pages of a mapped file back, so that of a model only the part in use is resident; the
 * values stay valid, and are read anew. */
ft_status ft_model_hold(ft_model *m, const ft_param *weight);
void ft_model_release(ft_model *m, const ft_param *weight);
/* Token ids that a caller lists, n of them. */
typedef struct ft_id_list {
    const int32_t *ids;
    int64_t n;
} ft_id_list;
/* Random weights for measuring. config: an object as config.json holds it, taken over; matrices are stored as dtype
 * (f32 where they train) or what stands in for it, and never exist in any other form. asked: of an embedding that is no
 * head, and frozen, the rows of these ids alone are made. Nobody reads the others, which take no memory, as in a file
 * that is mapped. NULL: all. */
ft_status ft_model_random(ft_model **out, json_t *config, const ft_dtype *dtype, bool trainable, uint64_t seed,
                          const ft_id_list *asked);
/* A model without weights, for dry steps (ft_tape_dry) alone: shapes, dtypes and what trains are those that
 * ft_model_open or, for a config.json, ft_model_init would give, but no array may be read or written
 * and none is held. An adapter may be attached; its own weights are real. */
ft_status ft_model_outline(ft_model **out, const char *path, const ft_model_options *options);
void ft_model_free(ft_model *m);
const ft_config *ft_model_config(const ft_model *m);
const ft_dtype *ft_model_quantize_base(const ft_model *m); /* what it was opened with; NULL: as stored */
const char *ft_model_path(const ft_model *m); /* directory or file the weights came from */
/* Where the tokenizer lies: the HF directory or the .gguf. */
const char *ft_model_tokenizer_path(const ft_model *m);
/* Every weight by its HF name, in checkpoint order; tied heads appear once (as the embedding). */
size_t ft_model_count(const ft_model *m);
ft_param *ft_model_at(ft_model *m, size_t i);
ft_param *ft_model_find(ft_model *m, const char *hf_name);
/* The block a weight belongs to, -1: none. */
int64_t ft_model_layer_of(const ft_param *weight);
/* The dtype a weight of the model had in its file (norms, biases and trained weights are f32 in memory). */
const ft_dtype *ft_model_stored_dtype(const ft_param *weight);
/* What training changes: all weights, or the adapter's (named as PEFT names them, "base_model.model....lora_A.weight"),
 * and modules_to_save; in a fixed order. */
size_t ft_model_trainable_count(const ft_model *m);
ft_param *ft_model_trainable(ft_model *m, size_t i);

/* Whether it is an encoder: tokens see both ways, and it has no head and continues no text (ft_model_head is NULL). */
bool ft_model_is_encoder(const ft_model *m);
/* For work on next tokens: FT_EUNSUPPORTED for an encoder. */
ft_status ft_model_check_head(const ft_model *m);
/* Hidden states after the final norm [T, C], what the head takes, for ids [T] (which live until the backward walk; seg
 * is copied); of the tokens seg->read alone [n_read, C], which spares the last block all but keys and values of the
 * others. kv: per-layer caches [num_hidden_layers] or NULL. checkpointed: so many blocks, from the first one that
 * is recorded, keep no activations and are run again in backward. */
enum { FT_ALL_BLOCKS = 1 << 30 };
ft_var *ft_model_forward(ft_model *m, ft_tape *t, const int32_t *ids, int64_t T, const ft_segments *seg, ft_kv *kv,
                         int64_t checkpointed);
/* For a loss over the tokens with a target (targets [T], -1: none): seg reads these alone, which stand in read [T], and their
 * targets move to targets[0 ..]. Where there are none, or so many that leaving out the others would not pay, all stays as
 * it is. */
void ft_model_read_targets(ft_segments *seg, int64_t *read, int32_t *targets);
/* A step behind a cache: T tokens run through it, of which n, read[0 .. n) ascending, ask for the hidden states that come
 * out, [n, C]. With n = 0 the last token's do, for nobody, as where a prompt is cut: read holds one at least. Begins a step
 * of t without records. */
ft_var *ft_model_forward_cached(ft_model *m, ft_tape *t, const int32_t *ids, int64_t T, const ft_segments *seg, ft_kv *kv,
                                int64_t *read, int64_t n);
/* The logits [n, V] of rows first .. first + n of hidden states, in a step without records. hidden may be NULL. */
ft_var *ft_model_logits(ft_model *m, ft_tape *t, const ft_var *hidden, int64_t first, int64_t n);
/* The per-layer caches of ft_model_forward. dry: their shape alone, for a dry tape. Freed by the caller. */
ft_status ft_model_cache_new(ft_kv **out, const ft_model *m, int64_t slots, int64_t capacity, bool dry);
void ft_model_cache_free(ft_kv *kv, const ft_model *m); /* kv may be NULL */
size_t ft_model_cache_bytes(const ft_model *m, int64_t slots, int64_t capacity);
/* `most` slots, or as many as fit into a quarter of the machine's memory, at least one. */
int64_t ft_model_cache_slots(const ft_model *m, int64_t capacity, int64_t most);
/* The blocks below the first one in which something trains (num_hidden_layers where only norm or head do). What leaves
 * them is a function of the ids alone, nothing of them is recorded, and the walk backward ends above them. */
int64_t ft_model_frozen_blocks(const ft_model *m);
/* FLOPs a token, of rows of `tokens` tokens, that such blocks cost forward: what a step is spared that gets the hidden
 * states above them from elsewhere. */
double ft_model_frozen_flops_per_token(const ft_model *m, int64_t tokens);
/* A hash over all that their output depends on besides the ids: config, embedding, the weights of blocks 0 .. k - 1. */
ft_status ft_model_hash_below(uint64_t *out, const ft_model *m, int64_t k);
/* The two halves of a forward pass: hidden states [T, C] that enter block k, on a tape that does not record; and, from
 * these, what ft_model_forward gives. */
ft_var *ft_model_enter(ft_model *m, ft_tape *t, const int32_t *ids, int64_t T, const ft_segments *seg, int64_t k);
ft_var *ft_model_from(ft_model *m, ft_tape *t, ft_var *x, int64_t k, const ft_segments *seg, int64_t checkpointed);
/* Called in every forward pass with what each linear of a block is about to multiply: x [T, in]. NULL: no more. */
typedef void (*ft_linear_fn)(void *ctx, const ft_param *weight, const float *x, int64_t T, int64_t in);
void ft_model_watch(ft_model *m, ft_linear_fn fn, void *ctx);
ft_param *ft_model_head(ft_model *m); /* [V, C], NULL for an encoder */
/* The embedding where it stays in the mapped file and nothing is read of it but the rows of tokens; NULL where it is the head
 * too, is trained, or was read whole. */
const ft_tensor *ft_model_mapped_embedding(const ft_model *m);
float ft_model_softcap(const ft_model *m);

/* FLOPs of a training step a token, in rows of `tokens` tokens that are all supervised; recomputation is not counted.
 * With P the elements of a linear or of the head (a tied one counts once, as the head) and `pairs` = (tokens + 1) / 2
 * keys in sight of a token on average:
 *   forward   2 P each; attention 4 H D pairs a layer      backward to inputs   the same; attention twice that
 *   trained   2 P each for its gradient                    adapters             6 (A + B): forward, inputs, gradients
 * Blocks below the first one in which something trains run forward alone.
 * docs/performance.md gives numbers. */
double ft_model_flops_per_token(ft_model *m, int64_t tokens);

/* ---- adapters ---- */
typedef struct ft_adapter_spec {
    const char *kind; /* row of the table: "lora" */
    int64_t r;
    double alpha, dropout;
    bool rslora;
    bool dora;        /* a trained magnitude for each row of W + scale B A */
    const char *init; /* of a fresh one: a name of ft_lora_init_name; NULL: the first */
    const char *const *target_modules; /* names ("q_proj") or "all-linear" */
    size_t n_targets;
    const int64_t *layers; /* the blocks, from 0, whose targets get an update */
    size_t n_layers;       /* 0: all blocks */
    const char *const *modules_to_save;
    size_t n_save;
    uint64_t seed;
} ft_adapter_spec;
/* "default" "pissa" "loftq": what a fresh adapter begins with (model/lora_init.c); NULL behind the last. */
const char *ft_lora_init_name(size_t i);
/* Freezes the base, adds A and B to the targets, with their first values (default: A kaiming uniform, B zero). A target that matches nothing is
 * FT_EINPUT with the module names that exist, and so is a layer that the model does not have. */
ft_status ft_adapter_attach(ft_model *m, const ft_adapter_spec *spec);
/* A PEFT directory, or a GGUF that holds a LoRA adapter; trainable: continue training it. Shapes, names and values are
 * checked against the model. */
ft_status ft_adapter_load(ft_model *m, const char *path, bool trainable);
/* What the base of the adapter at path was held in while it was trained (quantize_base); NULL: as stored, or not said. */
ft_status ft_adapter_base_dtype(const ft_dtype **dtype, const char *path);
/* Of what is attached: the share of its inputs that is dropped in training. */
void ft_adapter_set_dropout(ft_model *m, double dropout);
void ft_adapter_detach(ft_model *m);
bool ft_adapter_attached(const ft_model *m);
/* The directory or file that the adapter was loaded from; NULL when it is fresh or none. */
const char *ft_adapter_path(const ft_model *m);
/* What is attached, as it is exported: of one that began with pissa, rank and alpha are of A and B beside their start. NULL
 * when nothing; strings owned by the model. */
const ft_adapter_spec *ft_adapter_spec_of(const ft_model *m);
/* One adapted linear: the weight it sits on, A [r, in], B [out, r] (as they are exported; good until the next call for it),
 * scale (alpha / r, or alpha / sqrt r); each of the three may be NULL. False: none. */
bool ft_adapter_on(ft_model *m, const ft_param *weight, ft_param **a, ft_param **b, float *scale);
/* DoRA: the trained norms [out] of the rows of W + scale B A; NULL: as they come. */
ft_param *ft_adapter_magnitude(ft_model *m, const ft_param *weight);
/* A saved module's trained copy of a weight, NULL when it is not one. */
ft_param *ft_adapter_saved(ft_model *m, const ft_param *weight);

/* ---- names and layouts for writers ---- */
/* GGUF tensor name of an HF weight name into buf; false when GGUF has none for it. */
bool ft_model_gguf_name(const ft_model *m, const char *hf_name, char *buf, size_t size);
/* Row order GGUF wants for a weight: perm[out_row] = HF row, rows = its row count; returns false when the order is the
 * same. */
bool ft_model_gguf_rows(const ft_model *m, const char *hf_name, int64_t *perm, int64_t rows);
/* What GGUF holds of a weight's values: (value + plus) * scale, where llama.cpp adds or scales elsewhere than HF. */
void ft_model_gguf_values(const ft_model *m, const char *hf_name, float *plus, float *scale);
/* Whether llama.cpp wants this matrix in full precision (tables of positions and token types). */
bool ft_model_gguf_is_exact(const ft_model *m, const char *hf_name);
/* Says by ft_note where llama.cpp will compute otherwise than this model, and from which length on; `path` is the
 * GGUF's name. FT_EUNSUPPORTED when what it would compute has nothing in common with the model. */
ft_status ft_model_gguf_remarks(const ft_model *m, const char *path);
const char *ft_model_gguf_arch(const ft_model *m);
/* All {arch}.* metadata keys except the tokenizer's and general.*; extra tensors (rope_freqs.weight) by the callback.
 */
ft_status ft_model_gguf_meta(const ft_model *m, ft_writer *w);
size_t ft_model_gguf_extra_count(const ft_model *m);
ft_status ft_model_gguf_extra(const ft_model *m, size_t i, const char **name, int64_t *n, const float **values);

/* ---- decoding ---- */
typedef struct ft_sampling {
    float temperature; /* 0: greedy */
    int32_t top_k;     /* 0: off */
    float top_p;       /* 1: off */
    float min_p;       /* 0: off */
    uint64_t seed;
} ft_sampling;

typedef struct ft_decode_request {
    const int32_t *prompt; /* [n] */
    int64_t n;
    int32_t *out; /* [max_new], filled; a stop id is the last one when it came */
    int64_t max_new;
    int64_t made; /* out */
    bool stopped; /* out: ended with a stop id */
} ft_decode_request;
/* Called after every step with (row, id) for streaming; return false to end that row. */
typedef bool (*ft_decode_token_fn)(void *ctx, size_t row, int32_t id);
typedef struct ft_decode_options {
    ft_sampling sampling;
    const int32_t *stops;
    size_t n_stops;
    int64_t max_tokens_at_once; /* prompt tokens of one prefill step; 0: 2048 */
    int64_t max_rows;           /* rows decoded together; 0: as many as memory for the cache allows (64) */
    ft_decode_token_fn on_token;
    void *ctx;
} ft_decode_options;
/* Decodes all requests, many rows at once: finished rows make room for waiting ones. The result of a row does not
 * depend on what else is in the batch beyond rounding. A row that has used up max_position_embeddings ends there
 * (stopped is false). FT_EINPUT: a prompt that is empty or leaves no room, named by its row from 1; FT_ENUMERIC: logits
 * that are not finite; FT_ESTOPPED: a stop was requested (base/os.h). */
ft_status ft_decode(ft_model *m, ft_decode_request *requests, size_t n, const ft_decode_options *o);
/* The memory that ft_decode would take for these requests, learned without computing; an outline will do for m. */
ft_status ft_decode_measure(size_t *bytes, ft_model *m, ft_decode_request *requests, size_t n,
                            const ft_decode_options *o);
/* One id from logits [V] (changed in place), which are finite. In llama.cpp's order: top_k, top_p, min_p, then the
 * temperature; of equals the lower id. seed, token and row key the random number. */
int32_t ft_sample(float *logits, int64_t vocab, const ft_sampling *s, uint64_t token, uint64_t row);

#endif
