/* How an op is proven: its inputs' shapes at a case, how it is called, and the same function in plain f64.
 * tests/grad/test_ops.c runs every op of grad/ops.def over the cases of its row; an op without a proof does not link.
 */
#ifndef FT_TEST_PROOF_H
#define FT_TEST_PROOF_H

#include "grad/tape.h"
#include "support/support.h"

enum { MAX_INPUTS = 7 };

typedef struct input {
    int64_t rows, cols;
    bool param;            /* a weight, else a variable */
    const ft_dtype *dtype; /* of a frozen weight; NULL: f32 with a gradient */
} input;

typedef struct problem {
    const ft_op_case *c;
    int n;
    input in[MAX_INPUTS];
    int64_t out; /* elements of the result */
    ft_segments seg;
    int64_t start[8];
    int64_t *read;  /* [T] seg.read where the case leaves some out */
    int32_t *ids;   /* [T] 0 .. vocab-1; targets: every third one is -1 */
    int64_t *index; /* [out rows of the case] */
    double *mask;   /* lora: [T, in], what dropout multiplies with */
    double loss;    /* head_loss: the result, instead of a variable */
} problem;

typedef struct proof {
    const ft_op *op;
    void (*shape)(problem *p); /* fills n, in and out */
    /* x: the variables, w: the params, both numbered as in p->in */
    ft_var *(*run)(ft_tape *t, problem *p, ft_var **x, ft_param *w);
    void (*reference)(const problem *p, double *const *in, double *out);
} proof;

#define FT_OP(name) extern const proof proof_##name;
#include "grad/ops.def"
#undef FT_OP

#define PROOF_WEIGHT 0.125 /* head_loss: the factor on its gradient */
#define PROOF_EPS    1e-5f
/* Tokens of the case that are read. */
int64_t proof_read(const problem *p);
ft_rope proof_rope_of(const ft_op_case *c);
ft_attention_spec proof_spec_of(const ft_op_case *c);

#endif
