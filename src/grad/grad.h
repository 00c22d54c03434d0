/* The grad room: the tape. Ops run forward as they are called, write a record where something trainable lies below, and
 * are walked backward once.
 *
 * Letters: T tokens of a step (ragged rows end to end), C model width, H heads, K kv heads, D head dim, F ffn width,
 * V vocab, R rank. All activations are f32, row-major [rows, cols].
 *
 * Refuses: a shape that does not fit ends in FT_EINPUT with op and shapes; an op without a backward rule below a
 * trainable parameter is FT_EUNSUPPORTED at record time, never a zero gradient.
 *
 * Legal order: ft_tape_new; per step: ft_tape_begin, ops ..., ft_tape_backward, read param->grad; ft_tape_free.
 *
 * Ownership: the tape owns every ft_var and all it points to until the next ft_tape_begin. Parameters are the caller's.
 *
 * Memory: ft_op_rope and ft_op_scale take over the memory of x, ft_op_add that of b, wherever no backward rule needs the
 * old values and it is no leaf; that input's v is NULL afterwards, and a later op that reads it
 * fails with FT_EINPUT.
 *
 * Errors: an op that cannot run returns NULL; ops take NULL inputs and return NULL, so a whole block needs one check.
 * ft_tape_status gives the kind, ft_error the text.
 *
 * Threads: one thread calls; the work inside is spread by ft_parallel. Results do not depend on the number of threads.
 */
#ifndef FETTLE_GRAD_GRAD_H
#define FETTLE_GRAD_GRAD_H

#include "kernel/kernel.h"

/* A weight. Frozen: any dtype, grad NULL. Trainable: f32, grad [same count] that backward adds to (the caller zeroes).
 */
typedef struct ft_param {
    const char *name; /* the Hugging Face name, borrowed */
    ft_tensor t;
    float *grad;
    bool trainable;
} ft_param;

/* An activation [rows, cols]. g is NULL where nothing trainable lies below. */
typedef struct ft_var {
    float *v;
    float *g;
    int64_t rows, cols;
    bool needs_grad;
    bool kept;    /* a backward rule reads v again: no later op may take its memory over */
    bool passing; /* v is there while its block runs, and is made again where backward reads it */
    bool lent;    /* v is the pool's */
    int32_t node; /* the record that made it, -1: a leaf */
    void *narrow; /* v in the tape's dtype for what is kept, once its block has ended; NULL: there is none */
    struct ft_var *lent_before; /* what the block that runs was lent before v; the tape's */
} ft_var;

/* Ragged rows: segment s holds tokens start[s] .. start[s+1]-1 of the step; attention and positions restart there.
 * In decoding, past[s] tokens of the row stand in the cache already, in slot[s]; NULL pointers mean 0 and s. total[s]
 * counts all tokens of the row known so far, where it is fed in pieces; NULL: past and present ones.
 * read: what comes of these tokens alone is wanted: [n_read] tokens of the step, ascending; NULL: of all. */
typedef struct ft_segments {
    int64_t n;
    const int64_t *start; /* [n + 1], start[0] = 0, start[n] = T */
    const int64_t *past;  /* [n] or NULL */
    const int64_t *slot;  /* [n] or NULL */
    const int64_t *total; /* [n] or NULL */
    const int64_t *read;  /* [n_read] or NULL */
    int64_t n_read;
} ft_segments;

/* Keys (after rope) and values of earlier tokens, one layer: [slots, K, capacity, D] each, so that a head reads its own
 * without a gap. */
typedef struct ft_kv {
    float *k, *v;
    int64_t slots, capacity, width; /* width = K * D */
} ft_kv;

typedef struct ft_attention_spec {
    int64_t heads, kv_heads, head_dim;
    float scale;    /* on q.k, usually head_dim^-1/2 */
    float softcap;  /* 0: none; else scores become softcap * tanh(score / softcap) */
    int64_t window; /* 0: none; else i - j < window */
    bool causal;    /* false: every token of the segment sees every other (encoders) */
} ft_attention_spec;

/* Rotary table, halves layout of HF: dims i and i + rot/2 of a head turn by position * inv_freq[i]. All tokens of a
 * segment turn by the same frequencies: longrope has others for rows of more than `beyond` tokens. */
typedef struct ft_rope {
    const float *inv_freq;        /* [rot / 2] */
    int64_t rot;                  /* dims that turn, <= head_dim */
    float factor;                 /* on cos and sin, usually 1 */
    const float *inv_freq_beyond; /* [rot / 2] or NULL: the same for all lengths */
    int64_t beyond;
} ft_rope;

/* What gates a gated MLP: silu, or gelu by its tanh form. */
typedef enum ft_gate { FT_GATE_SILU, FT_GATE_GELU } ft_gate;

typedef struct ft_tape ft_tape;
ft_status ft_tape_new(ft_tape **out);
void ft_tape_free(ft_tape *t);
/* Forgets the last step. record: false runs ops without writing records (evaluation, decoding); seed and step key the
 * dropout masks (ft_philox stream FT_STREAM_DROPOUT). */
void ft_tape_begin(ft_tape *t, bool record, uint64_t seed, uint64_t step);
/* What the products of linears, adapters, attention and head round their operands to, from the next begin on; f32 at
 * first. Sums and everything else are f32 in any case. Where the CPU has no engine for it, f32 is used. */
void ft_tape_compute(ft_tape *t, ft_compute compute);
/* What backward reads of a block's activations is rounded to dtype when the block ends, from the next begin on: half the
 * memory in bf16, and gradients that differ in the last of its digits. Forward results do not change, nor do those of
 * checkpointed blocks. NULL: f32, as at first. */
void ft_tape_keep_as(ft_tape *t, const ft_dtype *dtype);
/* From the next begin on ops check their inputs, take memory and record as ever, but compute nothing: no array is read
 * or written, not even a weight's. To learn what a step needs, and to have it held before the first real one. */
void ft_tape_dry(ft_tape *t, bool dry);
bool ft_tape_is_dry(const ft_tape *t);
/* After begin: this micro-batch holds the tokens of its optimizer step from `first` on. Dropout masks are counted from
 * there, so that one mask serves a step however it is cut. */
void ft_tape_first_token(ft_tape *t, int64_t first);
ft_status ft_tape_status(const ft_tape *t);
/* Walks the records backward. The step's losses (ft_op_head_loss, ft_op_vector_loss) are the roots. Adds to param->grad. */
ft_status ft_tape_backward(ft_tape *t);
/* Memory of the largest step so far, and of it: what is kept from forward to backward, gradients and temporaries (the
 * logits of a chunk among them, told apart too); what the tape holds besides (panels, tables, records). Records of this
 * step, FLOPs of this step (forward, backward; multiply-add = 2; recomputation not counted). */
typedef struct ft_tape_stats {
    size_t peak_bytes, held_bytes;
    size_t kept_bytes, temporary_bytes, logits_bytes, table_bytes;
    int64_t records;
    double forward_flops, backward_flops;
} ft_tape_stats;
ft_tape_stats ft_tape_stats_of(const ft_tape *t);
/* Where the time goes: once on, every op of the steps that follow is timed and counted, from zero. Replayed ops count
 * as forward; head_loss does all of its work forward. */
typedef struct ft_op_time {
    const char *name;
    int64_t calls;
    double forward_s, backward_s, forward_flops, backward_flops;
} ft_op_time;
ft_status ft_tape_time(ft_tape *t);
/* [*n] in the order of the op table, borrowed; n is 0 when ft_tape_time was not called. */
const ft_op_time *ft_tape_times(const ft_tape *t, size_t *n);
/* Scratch memory of the step, undefined content, for callers that build inputs; NULL on failure. */
void *ft_tape_alloc(ft_tape *t, size_t n, size_t size);
/* Decoding without records: frees what was made since the mark, so that a block's activations do not pile up.
 * `keep` (may be NULL) survives: it is moved below the mark and returned. Only with record = false. */
typedef struct ft_tape_mark {
    size_t chunk, used;
} ft_tape_mark;
ft_tape_mark ft_tape_now(const ft_tape *t);
ft_var *ft_tape_rewind(ft_tape *t, ft_tape_mark mark, ft_var *keep);

/* A leaf around the caller's memory [rows, cols]; needs_grad: its gradient is kept and readable as ->g afterwards. */
ft_var *ft_leaf(ft_tape *t, float *v, int64_t rows, int64_t cols, bool needs_grad);

/* ---- ops (one file each, one row in grad/ops.def) ---- */

/* y[i] = table[ids[i]] * scale; ids [T] in 0 .. V-1 (FT_EINPUT otherwise); table [V, C] of any dtype. */
ft_var *ft_op_embedding(ft_tape *t, ft_param *table, const int32_t *ids, int64_t T, float scale);
/* y = x W^T (+ bias): x [T, in], w [out, in] of any dtype, bias [out] f32 or NULL. */
ft_var *ft_op_linear(ft_tape *t, ft_var *x, ft_param *w, ft_param *bias);
/* The same with scale * (dropout(x) A^T) B^T added: a [R, in], b [out, R]. dropout in [0, 1), in recorded steps only:
 * masks by (seed, step, site, element), so that a replay makes the same; site numbers the adapters of a model. token [T]:
 * which tokens of the micro-batch the rows are, so that a token has one mask whatever is read beside it; NULL: row i is
 * token i. It lives until the backward walk. start_a and start_b, of any rank and frozen, are subtracted (NULL: none):
 * - scale * (x start_a^T) start_b^T. */
typedef struct ft_lora {
    ft_param *a, *b, *start_a, *start_b;
    float scale, dropout;
    uint32_t site;
    const int64_t *token;
} ft_lora;
ft_var *ft_op_lora(ft_tape *t, ft_var *x, ft_param *w, ft_param *bias, const ft_lora *lora);
/* y = x / sqrt(mean(x^2) + eps) * (w + plus); x [T, C] with C a multiple of w's length: each group of that length is
 * normed by itself (per-head norms). plus is 0 or 1 (gemma). */
ft_var *ft_op_rmsnorm(ft_tape *t, ft_var *x, ft_param *w, float eps, float plus);
/* y = (x - mean) / sqrt(variance + eps) * w + bias, row by row; w and bias [C] of f32. */
ft_var *ft_op_layernorm(ft_tape *t, ft_var *x, ft_param *w, ft_param *bias, float eps);
/* Turns each head of x [T, heads * head_dim] by its position past[s] + i; with seg->read x is [n_read, heads * head_dim],
 * the rows of these tokens. */
ft_var *ft_op_rope(ft_tape *t, ft_var *x, int64_t heads, int64_t head_dim, const ft_rope *rope, const ft_segments *seg);
/* q [T, H D], k and v [T, K D] -> [T, H D]; grouped queries (head h reads kv head h / (H / K)); online softmax in
 * tiles. With seg->read q and the result are [n_read, H D], of these tokens; k and v are of all.
 * kv != NULL (decoding, no records): appends k, v to the cache and attends over past and present. */
ft_var *ft_op_attention(ft_tape *t, ft_var *q, ft_var *k, ft_var *v, const ft_attention_spec *spec,
                        const ft_segments *seg, ft_kv *kv);
/* act(gate) * up, both [T, F]. */
ft_var *ft_op_glu(ft_tape *t, ft_var *gate, ft_var *up, ft_gate act);
/* y [T, out] * magnitude / norm (+ bias), all three [out]; norm, which lives until the backward walk, is a constant of it.
 * bias may be NULL. */
ft_var *ft_op_dora(ft_tape *t, ft_var *y, ft_param *magnitude, const float *norm, ft_param *bias);
/* x / 2 (1 + erf(x / sqrt 2)). */
ft_var *ft_op_gelu(ft_tape *t, ft_var *x);
/* a x. */
ft_var *ft_op_scale(ft_tape *t, ft_var *x, float a);
/* Columns first .. first + n - 1 of x: [T, n]. */
ft_var *ft_op_columns(ft_tape *t, ft_var *x, int64_t first, int64_t n);
/* a + b, same shape. */
ft_var *ft_op_add(ft_tape *t, ft_var *a, ft_var *b);
/* Rows index[i] of x: [n, cols] (the last token of each segment; supervised rows). */
ft_var *ft_op_rows(ft_tape *t, ft_var *x, const int64_t *index, int64_t n);
/* The mean of the rows of each segment: [segments, cols]. A segment without rows is FT_EINPUT. */
ft_var *ft_op_mean(ft_tape *t, ft_var *x, const ft_segments *seg);

/* Head and cross entropy in one: logits = x W^T of the rows with target >= 0 only, in chunks; never [T, V].
 * loss += sum of -log p(target); backward is scaled by `weight` (1 / supervised tokens of the whole optimizer step).
 * With record on, gradients are made in the same pass. w [V, C] of any dtype; cap: final softcap, 0 none. */
typedef struct ft_loss {
    double sum;      /* of -log p over supervised rows, nats */
    int64_t count;   /* supervised rows */
    int64_t correct; /* rows whose argmax is the target */
    int32_t *argmax; /* NULL, or room for the supervised rows: their argmax goes to argmax[count], in row order */
} ft_loss;
ft_status ft_op_head_loss(ft_tape *t, ft_var *x, ft_param *w, const int32_t *targets, float cap, double weight,
                          ft_loss *loss);
/* logits [n, V] of x [n, C] for decoding; the caller keeps n small. */
ft_var *ft_op_logits(ft_tape *t, ft_var *x, ft_param *w, float cap);

/* Runs body(t, x, ctx, layer), one block from input to output; of what it makes between them nothing may be read outside.
 * checkpoint: its records are dropped and the block is run again in the backward walk (same dropout masks); else norms,
 * gates and the like alone are made again there. The walk gives the memory of what came
 * after a checkpointed block to its second run: values made after it are gone when ft_tape_backward returns. */
typedef ft_var *(*ft_block_fn)(ft_tape *t, ft_var *x, void *ctx, int64_t layer);
ft_var *ft_block(ft_tape *t, ft_var *x, ft_block_fn body, void *ctx, int64_t layer, bool checkpoint);

#endif
