/* The kernel room: arithmetic over raw arrays. One table of functions per CPU path, and the linear family on top of it.
 *
 * Refuses nothing: shapes were checked above, so nothing here can fail.
 *
 * The functions of ft_kernels work on one row (or a few) on the calling thread; callers spread rows over threads. The
 * ft_linear_* and ft_*_all functions spread themselves (base/threads.h), over tiles fixed by the shape alone, so that
 * their results have the same bits for any number of threads. Different CPU paths differ in rounding.
 *
 * Ownership: the caller owns every array. Arrays do not overlap unless a comment allows it. Outputs are written without
 * being read unless `add` (or "+=") says so: what stood there, NaN even, has no influence.
 */
#ifndef FETTLE_KERNEL_KERNEL_H
#define FETTLE_KERNEL_KERNEL_H

#include "tensor/tensor.h"

/* Fast reading of a stored dtype; both run over n elements, a whole number of blocks. */
typedef struct ft_reader {
    const ft_dtype *dtype;                                  /* NULL ends a list */
    void (*decode)(const void *in, int64_t n, float *x);    /* the same values as dtype->decode */
    float (*dot)(const void *w, const float *x, int64_t n); /* sum w[i] x[i] */
} ft_reader;

/* What decides which elements of a dropout survive: element e of `site` is kept when its 16 random bits are >= drop.
 * The bits are a pure function of these numbers, so a replay makes the same mask: elements come in groups of 128, and
 * element 16 q + lane of group g has the half q % 2 (0: the low one) of word q / 2 of
 * ft_philox(seed, FT_STREAM_DROPOUT, step, site << 40 | 16 g + lane). */
typedef struct ft_dropout {
    uint64_t seed, step;
    uint32_t site;
    uint32_t drop; /* of 65536, below it the element becomes 0 */
    float scale;   /* on what is kept */
} ft_dropout;
/* The mask of probability p in [0, 1): the scale is the inverse of the share that is really kept. */
ft_dropout ft_dropout_of(uint64_t seed, uint64_t step, uint32_t site, float p);

/* One AdamW update: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, w -= rate ((m / c1) / (sqrt(v / c2) + eps) + decay
 * w), with g = grad_scale * the gradient, c1 = 1 - b1^step, c2 = 1 - b2^step. */
typedef struct ft_adamw {
    float rate, beta1, beta2, eps, decay, grad_scale, c1, c2;
} ft_adamw;

typedef struct ft_kernels {
    const char *name;
    bool (*usable)(void); /* on this CPU */
    const ft_reader *readers;

    /* ---- vectors [n] ---- */
    float (*dot)(const float *a, const float *b, int64_t n);
    double (*sum_squares)(const float *x, int64_t n);        /* in f64 */
    float (*max)(const float *x, int64_t n);                 /* n >= 1 */
    int64_t (*find)(const float *x, float value, int64_t n); /* the first i with x[i] == value, n where there is none */
    void (*axpy)(float *y, float a, const float *x, int64_t n);          /* y += a x */
    void (*scale)(float *x, float a, int64_t n);                         /* x *= a */
    void (*add)(float *y, const float *a, const float *b, int64_t n);    /* y = a + b; y may be a or b */
    void (*softcap)(float *x, float cap, int64_t n);                     /* x = cap tanh(x / cap) */
    double (*exp_sum)(float *y, const float *x, float shift, int64_t n); /* y = exp(x - shift), y may be x; sum y */
    /* y (+)= mask x scale, where x[i] is element first + i of the site; y may be x */
    void (*dropout)(float *y, const float *x, const ft_dropout *d, uint64_t first, int64_t n, bool add);
    void (*adamw)(float *w, const float *g, float *m, float *v, int64_t n, const ft_adamw *o);

    /* ---- a few rows: a [rows, n] with ld floats from row to row ---- */
    /* y[r] = a_r . x; y[n] += sum p[r] a_r */
    void (*rows_dot)(float *y, const float *a, int64_t ld, int64_t rows, const float *x, int64_t n);
    void (*rows_mix)(float *y, const float *a, int64_t ld, int64_t rows, const float *p, int64_t n);

    /* ---- norm: y = x inv (w + plus), inv = 1 / sqrt(mean x^2 + eps), sums in f64; returns inv ---- */
    float (*rmsnorm)(float *y, const float *x, const float *w, float eps, float plus, int64_t n);
    /* dx (+)= and dw += of one row; either may be NULL */
    void (*rmsnorm_grad)(float *dx, float *dw, const float *dy, const float *x, const float *w, float inv, float plus,
                         int64_t n, bool add);

    /* ---- norm: y = (x - mean) inv w + b, inv = 1 / sqrt(variance + eps), sums in f64; returns inv ---- */
    float (*layernorm)(float *y, const float *x, const float *w, const float *b, float eps, int64_t n, float *mean);
    /* dx (+)=, dw += and db += of one row; each may be NULL */
    void (*layernorm_grad)(float *dx, float *dw, float *db, const float *dy, const float *x, const float *w, float mean,
                           float inv, int64_t n, bool add);

    /* One token [heads, head_dim]: dims i and i + rot / 2 of each head turn by the angle of cos[i], sin[i] [rot / 2];
     * the dims from rot on are copied. y may be x; add: y +=. The gradient is the turn back: sin negated by `back`. */
    void (*rope)(float *y, const float *x, const float *cos, const float *sin, int64_t rot, int64_t heads,
                 int64_t head_dim, bool back, bool add);

    void (*swiglu)(float *y, const float *gate, const float *up, int64_t n); /* silu(gate) up */
    void (*swiglu_grad)(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n,
                        bool add_gate, bool add_up); /* dgate or dup may be NULL */
    /* likewise with gelu(gate) by its tanh form: gate / 2 (1 + tanh(sqrt(2 / pi) (gate + 0.044715 gate^3))) */
    void (*geglu)(float *y, const float *gate, const float *up, int64_t n);
    void (*geglu_grad)(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n,
                       bool add_gate, bool add_up);
    void (*gelu)(float *y, const float *x, int64_t n); /* x / 2 (1 + erf(x / sqrt 2)) */
    void (*gelu_grad)(float *dx, const float *dy, const float *x, int64_t n, bool add);

    /* Attention backward over one row of scores: s [n] after scale and softcap becomes p = exp(s - lse); dp [n] becomes
     * scale p (dp - d) (1 - (s / cap)^2), the gradient of q.k. cap 0: no softcap. */
    void (*scores_grad)(float *s, float *dp, float lse, float d, float scale, float cap, int64_t n);
} ft_kernels;

/* The members of a row whose functions go by their names, for a file that has all of them. */
#define FT_KERNEL_ENTRIES                                                                                              \
    .dot = dot, .sum_squares = sum_squares, .max = max, .find = find, .axpy = axpy, .scale = scale, .add = add,        \
    .softcap = softcap, .exp_sum = exp_sum, .dropout = dropout, .adamw = adamw, .rows_dot = rows_dot,                  \
    .rows_mix = rows_mix, .rmsnorm = rmsnorm, .rmsnorm_grad = rmsnorm_grad, .layernorm = layernorm,                    \
    .layernorm_grad = layernorm_grad, .rope = rope, .swiglu = swiglu, .swiglu_grad = swiglu_grad,                      \
    .geglu = geglu, .geglu_grad = geglu_grad, .gelu = gelu, .gelu_grad = gelu_grad, .scores_grad = scores_grad

/* All paths that were built, the reference first; NULL at the end. Not every one is usable on this CPU. */
extern const ft_kernels *const ft_kernel_paths[];
/* The path of this process: the last usable one, or the one that the environment names (FETTLE_CPU=ref|avx2|avx512; a
 * name that is unknown or not usable here is noted and passed over). */
const ft_kernels *ft_kernels_active(void);
/* For tests and measurements: this path from now on; NULL: chosen anew. Not while others compute. */
void ft_kernels_use(const ft_kernels *k);
/* How a path reads a dtype: its own fast reader, or the dtype's plain decode (then .dot is NULL). */
ft_reader ft_kernel_reader(const ft_kernels *k, const ft_dtype *dtype);
/* Name of the core that OpenBLAS chose its GEMM for. */
const char *ft_blas_core(void);

/* ---- engines: what multiplies ---- */

/* What the operands of a product are rounded to; sums are f32 either way. */
typedef enum ft_compute { FT_COMPUTE_F32, FT_COMPUTE_BF16 } ft_compute;
typedef struct ft_engine ft_engine;
extern const ft_engine *const ft_engines[]; /* all that were built; NULL at the end */
const char *ft_engine_name(const ft_engine *e);
ft_compute ft_engine_compute(const ft_engine *e);
bool ft_engine_usable(const ft_engine *e); /* on this CPU, under the active path */
/* The best usable one; where the CPU has none for bf16 it is that of f32, whose own compute says so. */
const ft_engine *ft_engine_of(ft_compute compute);

/* ---- linear over any stored dtype: w [out, in] ----
 * A weight that is not f32 is decoded tile by tile into a panel that stays in cache and never exists in f32 as a whole.
 * With an engine of bf16 x, w and dy are rounded to it on their way into the product; up to FT_FEW_ROWS rows of x (as
 * in decoding) are multiplied in f32 by any engine. scratch: ft_linear_scratch() floats, undefined content, not shared
 * by concurrent calls. */
enum { FT_FEW_ROWS = 4 };
size_t ft_linear_scratch(void);
/* A product of low rank R that is added on the way: left [T, R] times right, which is stored [out, R] for y and [R, in]
 * for dx. At most FT_UPDATES in a list. */
enum { FT_UPDATES = 2 };
typedef struct ft_update {
    const float *left, *right;
    int64_t R;
    const struct ft_update *next;
} ft_update;
/* y [T, out] = x [T, in] w^T (+ bias [out], NULL: none) (+ updates, NULL: none). */
void ft_linear_forward(const ft_engine *e, float *y, const float *x, int64_t T, const ft_tensor *w, const float *bias,
                       const ft_update *updates, float *scratch);
/* Floats of `parts` below, undefined content, for a result [rows, cols] that is a sum over K; NULL where that is 0. */
size_t ft_linear_parts(int64_t rows, int64_t cols, int64_t K);
/* dx [T, in] (+)= dy [T, out] w (+ updates): parts for T, in and out. */
void ft_linear_grad_x(const ft_engine *e, float *dx, const float *dy, int64_t T, const ft_tensor *w,
                      const ft_update *updates, bool add, float *scratch, float *parts);
/* dw [out, in] += dy^T x: parts for out, in and T. */
void ft_linear_grad_w(const ft_engine *e, float *dw, const float *dy, const float *x, int64_t T, int64_t out,
                      int64_t in, float *scratch, float *parts);
/* dbias [out] += column sums of dy. */
void ft_linear_grad_bias(float *dbias, const float *dy, int64_t T, int64_t out);

/* One product on the calling thread, row-major: c [m, n] = alpha a b, or += where `add` says so; ta says that a is
 * stored [k, m] and tb that b is stored [n, k]; ld* floats from stored row to stored row. scratch: ft_linear_scratch()
 * floats, of which the thread of a team uses its own. */
void ft_gemm(const ft_engine *e, bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
             int64_t lda, const float *b, int64_t ldb, bool add, float *c, int64_t ldc, float *scratch);

/* ---- whole arrays, spread over threads ---- */
void ft_zero_all(float *x, int64_t n);
void ft_copy_all(float *y, const float *x, int64_t n);
void ft_scale_all(float *x, float a, int64_t n);
void ft_axpy_all(float *y, float a, const float *x, int64_t n);
void ft_add_all(float *y, const float *a, const float *b, int64_t n); /* y may be a or b */
double ft_sum_squares_all(const float *x, int64_t n);
/* step counts from 1; c1 and c2 of `o` are worked out here. */
void ft_adamw_all(float *w, const float *g, float *m, float *v, int64_t n, ft_adamw o, int64_t step);

#endif
