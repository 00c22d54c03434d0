/* Inside the grad room: what an op file needs. An op is one file and one row of grad/ops.def:
 *
 *   ft_var *ft_op_x(tape, inputs ...)       checks shapes, makes its output, computes, counts FLOPs, records
 *   static void backward(tape, node)        adds to the gradients of the node's inputs and params
 *   const ft_op ft_grad__x = {...}          the row at the foot
 *
 * Memory of a step: `values` is a bump arena (variables, activations, records), forgotten at ft_tape_begin and rewound
 * by marks; `pool` lends gradients and temporaries, which are used again as soon as they are given back.
 *
 * An op that is cheap beside a product may have a `remake`: inside a block of a recorded step its result is lent by the
 * pool and given back when the block ends (`passing`). A tape that keeps activations in fewer bits has all other results
 * lent too, and copies what backward will read (values.c). A backward rule that reads values asks ft_grad__value for them;
 * it makes or copies them again, once, and the walk gives them back behind the rule of the op that made them.
 */
#ifndef FETTLE_GRAD_TAPE_H
#define FETTLE_GRAD_TAPE_H

#include "base/threads.h"
#include "grad/vectors.h"
#include "kernel/kernel.h"

typedef struct ft_node ft_node;

/* The sizes of one gradient case; an op reads the fields that concern it (tests/grad). */
typedef struct ft_op_case {
    int64_t T, in, out, rank, vocab;           /* letters of grad.h; in = C or F where there is one width */
    int64_t heads, kv_heads, head_dim, window; /* in = heads * head_dim for attention and rope */
    int64_t segments;                          /* T is cut into so many, of different lengths */
    int64_t unread;                            /* tokens i with i % (2 unread) < unread are not read; 0: all are */
    const ft_dtype *dtype;                     /* of the frozen weight; NULL: f32 and trainable */
    float dropout, softcap, plus;
    bool bias, bidirectional;
    ft_gate gate;
    const ft_vector_objective *objective; /* of vector_loss */
} ft_op_case;

typedef struct ft_op {
    const char *name;
    const char *saves;                              /* what is kept for backward besides the inputs' values */
    const char *flops;                              /* the formula that is counted */
    void (*backward)(ft_tape *t, const ft_node *n); /* NULL: nothing trainable may lie below */
    void (*remake)(ft_tape *t, const ft_node *n);   /* n->out->v again, the same bits; NULL: results are kept */
    const ft_op_case *cases;                        /* at which the op is proven; ends with T = 0 */
} ft_op;

#define FT_OP(name) extern const ft_op ft_grad__##name;
#include "grad/ops.def"
#undef FT_OP
extern const ft_op *const ft_grad__ops[]; /* the table, NULL at its end */

#define FT_VECTOR_LOSS(name) extern const ft_vector_loss ft_vector_loss_##name;
#include "grad/vector_losses.def"
#undef FT_VECTOR_LOSS

enum { FT_NODE_INPUTS = 3, FT_NODE_PARAMS = 4 };
struct ft_node {
    const ft_op *op;
    ft_var *out;
    ft_var *in[FT_NODE_INPUTS];
    ft_param *param[FT_NODE_PARAMS];
    const void *saved; /* the op's own struct in the tape's memory */
};

/* ---- memory (memory.c) ---- */

/* An arena that becomes one chunk once its size is known. */
typedef struct ft_step_arena {
    ft_arena *arena;
    size_t chunk_bytes;
} ft_step_arena;
ft_status ft_grad__arena_new(ft_step_arena *out);
/* Forgets everything. An arena that had to grow is replaced by one large enough for all it held. */
ft_status ft_grad__arena_begin(ft_step_arena *a);

typedef struct ft_pool_block {
    float *p;
    size_t floats; /* a multiple of 16 */
    bool lent;
    bool used; /* some of it was lent before */
} ft_pool_block;
typedef struct ft_pool {
    ft_step_arena memory;
    ft_pool_block *blocks;
    size_t n, cap;
} ft_pool;
float *ft_grad__lend(ft_tape *t, size_t floats); /* undefined content; NULL on failure (the tape's status says so) */
void ft_grad__give_back(ft_tape *t, float *p);   /* NULL allowed */

struct ft_rope_table; /* rope.c */
void ft_grad__free_ropes(ft_tape *t);
size_t ft_grad__rope_bytes(const ft_tape *t);

struct ft_tape {
    ft_step_arena values;
    ft_pool pool;
    ft_node *nodes;
    size_t n_nodes, cap_nodes;
    ft_status status;
    int64_t first_token; /* of the optimizer step: where dropout masks go on */
    bool record;         /* this step is recorded */
    bool suspended;      /* inside a checkpointed block: no records for now */
    bool in_block;       /* inside any block */
    bool replaying;      /* running a block again: nothing is counted */
    bool dry;            /* nothing is computed: see ft_grad__run */
    uint64_t seed, step;
    const ft_dtype *kept_as; /* what backward reads of a block; NULL: f32, as it is */
    ft_var *lent;            /* the newest variable that the pool has lent to the running block */
    ft_compute compute;
    const ft_engine *engine; /* for it, chosen at ft_tape_begin */
    float *scratch; /* ft_linear_scratch() floats */
    size_t scratch_floats;
    struct ft_rope_table *ropes;
    size_t n_ropes;
    ft_tape_stats stats;
    ft_op_time *times; /* [n_times], one for each op of the table; NULL: nobody asked */
    size_t n_times;
    ft_op_time *clock; /* the op that is running, NULL between steps */
    bool clock_back;   /* its backward rule */
    double clock_since;
};

/* ---- where values lie (values.c) ---- */

/* A new variable; v NULL: memory of its own. */
ft_var *ft_grad__var(ft_tape *t, float *v, int64_t rows, int64_t cols);
/* A new variable for the result of an op that can remake it. passing is set where it need not be kept: the op's inputs
 * must be then. */
ft_var *ft_grad__result(ft_tape *t, int64_t rows, int64_t cols);
/* A variable of x's shape for a result: x's memory where that may be had (x->v is then NULL), else memory of its own
 * with nothing in it. *old is where x's values lie in either case. */
ft_var *ft_grad__take_over(ft_tape *t, ft_var *x, const float **old);
/* x's values for a backward rule or a remake; NULL on failure with the tape's status set. */
const float *ft_grad__value(ft_tape *t, ft_var *x);
/* Gives back what the pool has lent for x's values, if it has. */
void ft_grad__forget(ft_tape *t, ft_var *x);
/* The end of a block: all that the pool has lent for values is given back, but for the block's output. */
void ft_grad__settle(ft_tape *t, ft_var *out);

/* ---- for op files (tape.c) ---- */

/* Whether an op may run: the tape is well and its inputs (in[n]) are there, with their values. Else false; what is
 * wrong stands in the tape's status. */
bool ft_grad__ready(ft_tape *t, const ft_op *op, ft_var *const *in, int n);
/* Records `kind` as the tape's status (the first one stays) and returns NULL; the message is "op: " and the text. */
void *ft_grad__fail(ft_tape *t, const ft_op *op, ft_status kind, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Bytes of the step; NULL on failure with the tape's status set. */
void *ft_grad__alloc(ft_tape *t, size_t n, size_t size);
/* Adds the record `n` for its output; false (with the tape's status) when it cannot. Nothing is recorded when no input
 * needs a gradient, no param trains and the output is not passing, or when the step is not recorded. */
bool ft_grad__record(ft_tape *t, ft_node n);
/* The end of an op with a remake: makes n.out's values, keeps the inputs where a remake or a backward rule will read them,
 * records. n.out, or NULL. */
ft_var *ft_grad__make(ft_tape *t, ft_node n);
/* The record alone. */
bool ft_grad__push(ft_tape *t, ft_node n);
/* Whether a record would be made. */
bool ft_grad__wanted(const ft_tape *t, const ft_node *n);
/* The gradient of v to write to: *add says whether something stands in it that must stay. NULL: not needed (or out of
 * memory: the tape's status says so). */
float *ft_grad__of(ft_tape *t, ft_var *v, bool *add);
/* to's gradient gains all of from's, which is given away. */
void ft_grad__pass_on(ft_tape *t, ft_var *to, ft_var *from);
/* Walks records down to `first` and drops them. */
void ft_grad__walk(ft_tape *t, size_t first);
/* Ops run one after the other: the time until the next one begins is the running one's. op NULL: none runs. */
void ft_grad__run_clock(ft_tape *t, const ft_op *op, bool back);
/* Counts multiply-adds * 2; backward is counted where the step is recorded. */
void ft_grad__count(ft_tape *t, double forward, double backward);
static inline bool ft_grad__trains(const ft_param *p)
{
    return p && p->trainable;
}
/* "[T, C]" of a variable. */
const char *ft_grad__shape(const ft_var *v, char buf[96]);
/* The weight is a matrix [?, in] (f32 and with a gradient where it trains); else fails for the op. */
bool ft_grad__check_weight(ft_tape *t, const ft_op *op, const ft_param *w, int64_t in);
/* dst[index[i]] += scale * src[i] for rows of cols, i = 0 .. n-1, in this order (rows.c). */
void ft_grad__scatter_add(ft_tape *t, float *dst, const int64_t *index, int64_t n, const float *src, int64_t cols, float scale);
/* linear.c: dx [T, in] (+)= dy w (+ updates, NULL: none), with memory of the pool where the sum is long. */
void ft_grad__linear_dx(ft_tape *t, float *dx, const float *dy, int64_t T, const ft_param *w, const ft_update *updates,
                        bool add);
/* w's gradient += dy^T x, likewise. */
void ft_grad__linear_dw(ft_tape *t, const ft_param *w, const float *dy, const float *x, int64_t T);
/* What y = x w^T (+ bias) has in common with an adapter beside it: whether the shapes fit, the FLOPs, and the gradients
 * of w and bias where they train. */
bool ft_grad__linear_fits(ft_tape *t, const ft_op *op, const ft_var *x, const ft_param *w, const ft_param *bias);
void ft_grad__linear_count(ft_tape *t, const ft_var *x, const ft_param *w);
void ft_grad__linear_params(ft_tape *t, const ft_param *w, const ft_param *bias, ft_var *x, const ft_var *y);
/* A copy of seg with its start, past, total and read in the tape's memory; NULL on failure. */
const ft_segments *ft_grad__keep_segments(ft_tape *t, const ft_segments *seg);
/* Segments cover T tokens in order. */
bool ft_grad__check_segments(ft_tape *t, const ft_op *op, const ft_segments *seg, int64_t T);
/* So many rows are the tokens that are read of the segments: seg->read, ascending, or all. */
bool ft_grad__check_read(ft_tape *t, const ft_op *op, const ft_segments *seg, int64_t rows);
/* Which token of the step row i of those is. */
static inline int64_t ft_grad__token(const ft_segments *seg, int64_t i)
{
    return seg->read ? seg->read[i] : i;
}

/* The arithmetic of an op goes through here, or stands behind `if (!t->dry)`: a dry step takes all its memory and makes
 * all its records, but no array is read or written. Nothing is done either once the tape has failed. */
static inline void ft_grad__run(const ft_tape *t, int64_t n, void (*fn)(void *ctx, int64_t tile), void *ctx)
{
    if (!t->dry && t->status == FT_OK)
        ft_parallel(n, fn, ctx);
}

/* Rows of element-wise work: fn(ctx, tile) over tiles of at most FT_ROW_TILE rows. */
enum { FT_ROW_TILE = 32 };
static inline int64_t ft_grad__row_tiles(int64_t rows)
{
    return (rows + FT_ROW_TILE - 1) / FT_ROW_TILE;
}

#endif
