/* Every op of grad/ops.def over the cases of its row, on every usable CPU path:
 *   forward against the plain f64 function, backward against its central differences (1e-3 of the largest component);
 *   the same bits with 1, 2 and 4 threads, and whether its inputs are leaves or may be taken over;
 *   memory full of NaN before the call, sentinels behind every buffer; gradients add to what is there. */
#include "proof.h"

#include "base/threads.h"

#define FT_OP(name) &proof_##name,
static const proof *const proofs[] = {
#include "grad/ops.def"
};
#undef FT_OP

enum { SAMPLES = 24, PAD = 8, POISON_FLOATS = 1 << 19 };
static const float grad_before = 0.5f; /* stands in every param's gradient: rules must add */

/* ---- a problem with its numbers ---- */

typedef struct numbers {
    double *exact[MAX_INPUTS]; /* the values */
    float *value[MAX_INPUTS];  /* as f32, with PAD sentinels behind */
    float *grad[MAX_INPUTS];   /* of params, with sentinels */
    void *stored[MAX_INPUTS];  /* encoded weights */
    double *push;              /* [out] the gradient of the result */
} numbers;

static int64_t count_of(const problem *p, int i)
{
    return p->in[i].rows * p->in[i].cols;
}

static void poison(float *x, int64_t n)
{
    memset(x, 0xff, (size_t)n * sizeof *x); /* NaN */
}

static bool poisoned(const float *x, int64_t n)
{
    for (const unsigned char *b = (const void *)x; n * (int64_t)sizeof *x > (const char *)b - (const char *)x; b++)
        if (*b != 0xff)
            return false;
    return true;
}

static void make_problem(problem *p, const proof *f, const ft_op_case *c)
{
    *p = (problem){.c = c};
    p->seg = (ft_segments){.n = FT_MAX(c->segments, (int64_t)1), .start = p->start};
    for (int64_t s = 0; s <= p->seg.n; s++)
        p->start[s] = c->T * s * (s + 1) / (p->seg.n * (p->seg.n + 1));
    int64_t rows = FT_MAX(c->T, c->out);
    p->read = ft_alloc((size_t)c->T, sizeof *p->read);
    for (int64_t i = 0; c->unread && i < c->T; i++)
        if (i % (2 * c->unread) >= c->unread)
            p->read[p->seg.n_read++] = i;
    p->seg.read = c->unread ? p->read : NULL;
    p->ids = ft_alloc((size_t)rows, sizeof *p->ids);
    p->index = ft_alloc((size_t)rows, sizeof *p->index);
    p->mask = ft_alloc((size_t)(c->T * FT_MAX(c->in, (int64_t)1)), sizeof *p->mask);
    for (int64_t i = 0; i < rows; i++) {
        uint32_t r[4];
        ft_philox(3, FT_STREAM_TEST, 0, (uint64_t)i, r);
        p->ids[i] = c->vocab ? (int32_t)(r[0] % (uint64_t)c->vocab) : 0;
        p->index[i] = (int64_t)(r[1] % (uint64_t)c->T);
    }
    f->shape(p);
}

static void make_input(const problem *p, numbers *a, int i)
{
    int64_t n = count_of(p, i);
    a->exact[i] = ft_alloc((size_t)n, sizeof(double));
    a->value[i] = ft_alloc((size_t)(n + PAD), sizeof(float));
    a->grad[i] = ft_alloc((size_t)(n + PAD), sizeof(float));
    ft_fill_normal(a->value[i], (size_t)n, 0.7f, 11, FT_STREAM_TEST, (uint64_t)i);
    if (p->in[i].param && p->in[i].dtype) {
        size_t bytes;
        ck_assert_ok(ft_tensor_check(p->in[i].dtype, 2, (int64_t[]){p->in[i].rows, p->in[i].cols}, &bytes));
        a->stored[i] = ft_alloc(bytes, 1);
        p->in[i].dtype->encode(a->value[i], NULL, n, a->stored[i]);
        p->in[i].dtype->decode(a->stored[i], n, a->value[i]);
    }
    poison(a->value[i] + n, PAD);
    for (int64_t k = 0; k < n; k++)
        a->exact[i][k] = a->value[i][k];
}

static void make_numbers(const problem *p, numbers *a)
{
    *a = (numbers){0};
    for (int i = 0; i < p->n; i++)
        make_input(p, a, i);
    float *push = ft_alloc((size_t)p->out, sizeof *push);
    a->push = ft_alloc((size_t)p->out, sizeof *a->push);
    ft_fill_normal(push, (size_t)p->out, 1, 11, FT_STREAM_TEST, 99);
    for (int64_t i = 0; i < p->out; i++)
        a->push[i] = p->out == 1 ? PROOF_WEIGHT : push[i];
    ft_free(push);
}

static void free_all(problem *p, numbers *a)
{
    for (int i = 0; i < p->n; i++) {
        ft_free(a->exact[i]);
        ft_free(a->value[i]);
        ft_free(a->grad[i]);
        ft_free(a->stored[i]);
    }
    ft_free(a->push);
    ft_free(p->ids);
    ft_free(p->index);
    ft_free(p->read);
    ft_free(p->mask);
}

/* ---- one run of the op under test ---- */

typedef struct outcome {
    float *out; /* [out] */
    double loss;
    float *grad[MAX_INPUTS]; /* NULL for what has none */
} outcome;

static void free_outcome(outcome *o)
{
    ft_free(o->out);
    for (int i = 0; i < MAX_INPUTS; i++)
        ft_free(o->grad[i]);
}

/* Fills the memory that the op is about to get with NaN. */
static void poison_memory(ft_tape *t)
{
    ft_arena *const arenas[] = {t->values.arena, t->pool.memory.arena};
    for (int i = 0; i < 2; i++) {
        ft_arena_mark mark = ft_arena_now(arenas[i]);
        float *x = ft_arena_alloc(arenas[i], POISON_FLOATS, sizeof *x);
        ck_assert_ptr_nonnull(x);
        poison(x, POISON_FLOATS);
        ft_arena_release(arenas[i], mark);
    }
}

/* Arena memory comes in units of 16 floats: what is left of the last one must still be NaN. */
static void check_tail(const char *op, const float *x, int64_t n)
{
    int64_t rest = (16 - n % 16) % 16;
    ck_assert_msg(poisoned(x + n, rest), "%s wrote past the end of %lld floats", op, (long long)n);
}

/* Whether this block's memory is lent for the first time, so that what lies behind n floats was never used. */
static bool own_block(const ft_tape *t, const float *g, int64_t n)
{
    for (size_t i = 0; i < t->pool.n; i++)
        if (t->pool.blocks[i].p == g)
            return !t->pool.blocks[i].used && t->pool.blocks[i].floats < (size_t)n + 16;
    return false;
}

typedef enum how { LEAVES, TAKEN_OVER, TWICE } how;

static ft_var *as_input(ft_tape *t, ft_var *leaf, how h)
{
    if (h != TAKEN_OVER)
        return leaf;
    int64_t *index = ft_tape_alloc(t, (size_t)leaf->rows, sizeof *index);
    for (int64_t i = 0; i < leaf->rows; i++)
        index[i] = i;
    return ft_op_rows(t, leaf, index, leaf->rows);
}

static void push_gradient(ft_tape *t, const problem *p, const numbers *a, ft_var *y)
{
    if (!y || !y->needs_grad)
        return;
    y->g = ft_grad__lend(t, (size_t)p->out);
    for (int64_t i = 0; i < p->out; i++)
        y->g[i] = (float)a->push[i];
}

static void run(outcome *o, const proof *f, problem *p, numbers *a, how h, bool backward)
{
    ft_tape *t;
    ft_var *leaf[MAX_INPUTS] = {0}, *x[MAX_INPUTS] = {0};
    ft_param w[MAX_INPUTS] = {{0}};
    *o = (outcome){0};
    ck_assert_ok(ft_tape_new(&t));
    ft_tape_begin(t, backward, 7, 3);
    poison_memory(t);
    for (int i = 0; i < p->n; i++) {
        int64_t n = count_of(p, i);
        for (int64_t k = 0; k < n; k++)
            a->grad[i][k] = grad_before;
        poison(a->grad[i] + n, PAD);
        if (p->in[i].param) {
            bool frozen = p->in[i].dtype || !backward;
            w[i] = (ft_param){.name = "w",
                              .trainable = !frozen,
                              .grad = frozen ? NULL : a->grad[i],
                              .t = {.dtype = p->in[i].dtype ? p->in[i].dtype : &ft_f32,
                                    .ndim = 2,
                                    .shape = {p->in[i].rows, p->in[i].cols},
                                    .data = p->in[i].dtype ? a->stored[i] : a->value[i]}};
        } else {
            leaf[i] = ft_leaf(t, a->value[i], p->in[i].rows, p->in[i].cols, true);
            x[i] = as_input(t, leaf[i], h);
        }
    }
    ft_var *y = f->run(t, p, x, w);
    ck_assert_msg(ft_tape_status(t) == FT_OK, "%s: %s", f->op->name, ft_error());
    o->out = ft_alloc((size_t)p->out, sizeof *o->out);
    o->loss = p->loss;
    if (y) {
        ck_assert_int_eq(y->rows * y->cols, p->out);
        memcpy(o->out, y->v, (size_t)p->out * sizeof *o->out);
        if (h != TAKEN_OVER && f->op != &ft_grad__block) /* these lie where other values lay before */
            check_tail(f->op->name, y->v, p->out);
    }
    push_gradient(t, p, a, y);
    if (backward && h == TWICE)
        push_gradient(t, p, a, f->run(t, p, x, w));
    if (backward)
        ck_assert_ok(ft_tape_backward(t));
    for (int i = 0; i < p->n; i++) {
        int64_t n = count_of(p, i);
        const float *g = p->in[i].param ? w[i].grad : leaf[i]->g;
        ck_assert_msg(poisoned(a->value[i] + n, PAD) && poisoned(a->grad[i] + n, PAD), "%s wrote past input %d",
                      f->op->name, i);
        if (!backward || !g)
            continue;
        if (!p->in[i].param && h == LEAVES && own_block(t, g, n))
            check_tail(f->op->name, g, n);
        o->grad[i] = ft_alloc((size_t)n, sizeof(float));
        memcpy(o->grad[i], g, (size_t)n * sizeof(float));
    }
    ft_tape_free(t);
}

/* x's values are given back and made again, in other memory. */
static void check_again_made(ft_tape *t, const ft_op *op, ft_var *x)
{
    size_t n = (size_t)(x->rows * x->cols);
    float *first = ft_alloc(n, sizeof *first);
    ck_assert_msg(x->passing, "%s keeps its result", op->name);
    memcpy(first, x->v, n * sizeof *first);
    poison(x->v, (int64_t)n);
    ft_grad__forget(t, x);
    ck_assert_ptr_null(x->v);
    ck_assert_ptr_nonnull(ft_grad__lend(t, n));
    poison_memory(t);
    ck_assert_ptr_nonnull(ft_grad__value(t, x));
    ck_assert_msg(memcmp(x->v, first, n * sizeof *first) == 0, "%s makes other bits again", op->name);
    ft_free(first);
}

static void check_remake(const proof *f, problem *p, numbers *a)
{
    ft_tape *t;
    ft_var *x[MAX_INPUTS] = {0};
    ft_param w[MAX_INPUTS] = {{0}};
    ck_assert_ok(ft_tape_new(&t));
    ft_tape_begin(t, true, 7, 3);
    t->in_block = true;
    for (int i = 0; i < p->n; i++) {
        ft_tensor values = {.dtype = &ft_f32, .ndim = 2, .shape = {p->in[i].rows, p->in[i].cols}, .data = a->value[i]};
        w[i] = (ft_param){.name = "w", .t = values};
        x[i] = p->in[i].param ? NULL : ft_leaf(t, a->value[i], p->in[i].rows, p->in[i].cols, false);
    }
    ck_assert_ptr_nonnull(f->run(t, p, x, w));
    ck_assert_uint_gt(t->n_nodes, 0);
    for (size_t i = 0; i < t->n_nodes; i++)
        check_again_made(t, f->op, t->nodes[i].out);
    ft_tape_free(t);
}

/* ---- the checks ---- */

static const char *label(const proof *f, const ft_op_case *c)
{
    static char text[200];
    snprintf(text, sizeof text, "%s on %s, case %d", f->op->name, ft_kernels_active()->name, (int)(c - f->op->cases));
    return text;
}

/* What f64 says of a problem: the result, and some elements (all of a small input) of each gradient. */
typedef struct expectation {
    double *out;
    int64_t samples[MAX_INPUTS], at[MAX_INPUTS][SAMPLES];
    double gradient[MAX_INPUTS][SAMPLES];
} expectation;

static double pushed(const proof *f, const problem *p, const numbers *a, double *room)
{
    double sum = 0;
    f->reference(p, a->exact, room);
    for (int64_t i = 0; i < p->out; i++)
        sum += room[i] * a->push[i];
    return sum;
}

static double difference(const proof *f, const problem *p, const numbers *a, double *value, double *room)
{
    const double step = 1e-5, before = *value;
    *value = before + step;
    double up = pushed(f, p, a, room);
    *value = before - step;
    double down = pushed(f, p, a, room);
    *value = before;
    return (up - down) / (2 * step);
}

static bool is_root(const ft_op *op)
{
    return op == &ft_grad__head_loss || op == &ft_grad__vector_loss;
}

static bool has_gradient(const proof *f, const problem *p, int i)
{
    return (f->op->backward || is_root(f->op)) && !(p->in[i].param && p->in[i].dtype);
}

static void make_expectation(expectation *e, const proof *f, const problem *p, const numbers *a)
{
    double *room = ft_alloc((size_t)p->out, sizeof *room);
    *e = (expectation){.out = ft_alloc((size_t)p->out, sizeof *e->out)};
    f->reference(p, a->exact, e->out);
    for (int i = 0; i < p->n; i++) {
        int64_t n = count_of(p, i), samples = has_gradient(f, p, i) ? FT_MIN(n, (int64_t)SAMPLES) : 0;
        e->samples[i] = samples;
        for (int64_t s = 0; s < samples; s++) {
            e->at[i][s] = s * n / samples + (s * 7919) % FT_MAX(n / samples, (int64_t)1);
            e->gradient[i][s] = difference(f, p, a, &a->exact[i][e->at[i][s]], room);
        }
    }
    ft_free(room);
}

static void check_forward(const proof *f, const problem *p, const expectation *e, const outcome *o)
{
    double top = 1e-30, worst = 0;
    for (int64_t i = 0; i < p->out; i++) {
        double got = p->out == 1 && o->loss ? o->loss : o->out[i], off = fabs(got - e->out[i]);
        top = FT_MAX(top, fabs(e->out[i]));
        worst = off > worst || isnan(off) ? off : worst;
    }
    ck_assert_msg(worst <= 1e-5 * top, "%s: forward is off by %g of %g", label(f, p->c), worst, top);
}

static void check_gradient(const proof *f, const problem *p, const expectation *e, int i, const float *g, double times)
{
    double base = p->in[i].param ? grad_before : 0;
    double top = 1e-3; /* a gradient that vanishes by cancellation is right to 1e-6 of the values, which are near 1 */
    ck_assert_msg(g != NULL, "%s: input %d has no gradient", label(f, p->c), i);
    for (int64_t k = 0; k < count_of(p, i); k++) {
        ck_assert_msg(!isnan(g[k]), "%s: gradient of input %d has NaN", label(f, p->c), i);
        top = FT_MAX(top, fabs(g[k] - base));
    }
    for (int64_t s = 0; s < e->samples[i]; s++) {
        double got = g[e->at[i][s]] - base, expected = times * e->gradient[i][s];
        top = FT_MAX(top, fabs(expected));
        ck_assert_msg(fabs(got - expected) <= 1e-3 * top, "%s: input %d, element %lld: gradient %g, differences say %g",
                      label(f, p->c), i, (long long)e->at[i][s], got, expected);
    }
}

static void same_bits(const proof *f, const problem *p, const outcome *a, const outcome *b, const char *what)
{
    ck_assert_msg(memcmp(a->out, b->out, (size_t)p->out * sizeof *a->out) == 0 && a->loss == b->loss,
                  "%s: other output bits with %s", label(f, p->c), what);
    for (int i = 0; i < p->n; i++)
        ck_assert_msg(!a->grad[i] || memcmp(a->grad[i], b->grad[i], (size_t)count_of(p, i) * sizeof(float)) == 0,
                      "%s: other gradient bits of input %d with %s", label(f, p->c), i, what);
}

static void check_again(const proof *f, problem *p, numbers *a, const outcome *first, int threads, how h,
                        const char *what)
{
    outcome o;
    ft_threads_set(threads);
    run(&o, f, p, a, h, f->op->backward || is_root(f->op));
    same_bits(f, p, first, &o, what);
    free_outcome(&o);
    ft_threads_set(0);
}

static void check_on_this_path(const proof *f, problem *p, numbers *a, expectation *e)
{
    outcome o, twice;
    bool backward = f->op->backward || is_root(f->op);
    run(&o, f, p, a, LEAVES, backward);
    if (!e->out)
        make_expectation(e, f, p, a); /* after a run: that is when dropout masks are known */
    check_forward(f, p, e, &o);
    check_again(f, p, a, &o, 1, LEAVES, "1 thread");
    check_again(f, p, a, &o, 4, LEAVES, "4 threads");
    check_again(f, p, a, &o, 2, TAKEN_OVER, "inputs that may be taken over");
    run(&twice, f, p, a, TWICE, backward);
    for (int i = 0; i < p->n; i++)
        if (has_gradient(f, p, i)) {
            check_gradient(f, p, e, i, o.grad[i], 1);
            check_gradient(f, p, e, i, twice.grad[i], 2);
        }
    if (f->op->remake)
        check_remake(f, p, a);
    free_outcome(&o);
    free_outcome(&twice);
}

static void check_case(const proof *f, const ft_op_case *c)
{
    problem p;
    numbers a;
    expectation e = {0};
    make_problem(&p, f, c);
    make_numbers(&p, &a);
    for (size_t k = 0; ft_kernel_paths[k]; k++) {
        if (!ft_kernel_paths[k]->usable())
            continue;
        ft_kernels_use(ft_kernel_paths[k]);
        check_on_this_path(f, &p, &a, &e);
    }
    ft_kernels_use(NULL);
    ft_free(e.out);
    free_all(&p, &a);
}

static void check_op(const proof *f)
{
    for (const ft_op_case *c = f->op->cases; c->T; c++)
        check_case(f, c);
}

/* One test an op, made from the table. */
#define FT_OP(name)                                                                                                    \
    START_TEST(name##_agrees_with_f64)                                                                                 \
    {                                                                                                                  \
        check_op(&proof_##name);                                                                                       \
    }                                                                                                                  \
    END_TEST
#include "grad/ops.def"
#undef FT_OP

START_TEST(every_op_has_cases_and_says_what_it_saves)
{
    for (size_t i = 0; ft_grad__ops[i]; i++) {
        const ft_op *op = ft_grad__ops[i];
        ck_assert_msg(op->cases && op->cases[0].T, "%s has no case", op->name);
        ck_assert(op->saves && op->flops);
        ck_assert_ptr_eq(proofs[i]->op, op);
    }
}
END_TEST

int main(void)
{
#define FT_OP(name) name##_agrees_with_f64,
    const TTest *const tests[] = {
        every_op_has_cases_and_says_what_it_saves,
#include "grad/ops.def"
    };
#undef FT_OP
    return ft_test_main("grad/ops", tests, FT_COUNT(tests), 300);
}
