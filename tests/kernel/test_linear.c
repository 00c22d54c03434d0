/* Every engine's linear against sums in f64, at sizes around its tiles, blocks and parts; outputs full of NaN before,
 * sentinels behind.
 *
 * Expected is the sum over operands rounded as the engine's compute dtype says, so bf16 is proven to round them once, to
 * nearest, and to do nothing else. The bound is that of a sum of K f32 products in any order: (K + 16) 2^-24 of the sum
 * of their absolute values (16: an engine's parts, the bias, what stood there).
 */
#include "support/support.h"
#include "base/threads.h"
#include "kernel/kernel.h"

enum { PAD = 24, MOST_THREADS = 4 };

static float *scratch; /* of all problems, at first full of NaN */

typedef struct shape {
    int64_t T, in, out;
} shape;
static const shape shapes[] = {{1, 1, 1},      {3, 70, 67},   {4, 33, 5},    {5, 1, 33},    {5, 2, 31},   {6, 3, 32},
                               {7, 31, 16},    {12, 33, 64},  {13, 64, 65},  {14, 65, 130}, {15, 96, 48}, {17, 255, 29},
                               {28, 257, 100}, {29, 512, 63}, {65, 513, 33}, {9, 600, 530}, {530, 40, 7}, {11, 24, 4100},
                               {1100, 35, 18}, {43, 1025, 9}, {1, 32, 3000}, {70, 3, 1030},
                               {270, 40, 280}, {150, 300, 270}};

typedef struct problem {
    shape s;
    const ft_engine *e;
    const ft_dtype *dtype;
    ft_tensor w;
    float *x, *dy, *bias, *values;           /* values: of w, decoded */
    float *rounded_x, *rounded_dy, *rounded; /* as the engine's compute dtype takes them; of values */
    float *out, *parts;
    ft_update update[FT_UPDATES];
    float *left[FT_UPDATES], *right[FT_UPDATES], *rounded_left[FT_UPDATES], *rounded_right[FT_UPDATES];
} problem;

/* Ranks of the updates: within the last block of the sum, and far beyond its end. */
static const int64_t ranks[FT_UPDATES] = {5, 143};

/* Normal numbers, and among them ties of rounding to bf16: 1 + odd / 256. */
static float *numbers(int64_t n, uint64_t stream)
{
    float *x = ft_alloc((size_t)n, sizeof *x);
    ft_fill_normal(x, n, 1, 11, FT_STREAM_TEST, stream);
    for (int64_t i = 0; i < n; i += 5)
        x[i] = 1 + (float)(2 * (i % 64) + 1) / 256;
    return x;
}

static float *rounded(const ft_engine *e, const float *x, int64_t n)
{
    float *y = ft_alloc((size_t)n, sizeof *y);
    for (int64_t i = 0; i < n; i++)
        y[i] = ft_engine_compute(e) == FT_COMPUTE_BF16 ? ft_bf16_to_f32(ft_f32_to_bf16(x[i])) : x[i];
    return y;
}

static void begin(problem *p, shape s, const ft_engine *e, const ft_dtype *dtype)
{
    *p = (problem){.s = s, .e = e, .dtype = dtype};
    int64_t n = s.out * s.in, most = FT_MAX(FT_MAX(s.T * s.in, s.T * s.out), n);
    float *exact = numbers(n, 1);
    void *stored = ft_alloc((size_t)(n / dtype->block_len), dtype->block_bytes);
    dtype->encode(exact, NULL, n, stored);
    dtype->decode(stored, n, exact);
    p->values = exact;
    p->w = (ft_tensor){.dtype = dtype, .ndim = 2, .shape = {s.out, s.in}, .data = stored};
    p->x = numbers(s.T * s.in, 2);
    p->dy = numbers(s.T * s.out, 3);
    p->bias = numbers(s.out, 4);
    p->rounded_x = rounded(e, p->x, s.T * s.in);
    p->rounded_dy = rounded(e, p->dy, s.T * s.out);
    p->rounded = rounded(e, exact, n);
    p->out = ft_alloc((size_t)(most + PAD), sizeof(float));
    size_t parts = FT_MAX(ft_linear_parts(s.T, s.in, s.out), ft_linear_parts(s.out, s.in, s.T));
    p->parts = parts ? ft_alloc(parts, sizeof(float)) : NULL;
    if (parts)
        memset(p->parts, 0xff, parts * sizeof(float));
}

/* Both updates; their right sides hold enough for either direction. */
static void begin_updates(problem *p)
{
    const shape *s = &p->s;
    for (int i = 0; i < FT_UPDATES; i++) {
        int64_t n = s->T * ranks[i], m = FT_MAX(s->in, s->out) * ranks[i];
        p->left[i] = numbers(n, 5 + (uint64_t)i);
        p->right[i] = numbers(m, 7 + (uint64_t)i);
        p->rounded_left[i] = rounded(p->e, p->left[i], n);
        p->rounded_right[i] = rounded(p->e, p->right[i], m);
        p->update[i] = (ft_update){.left = p->left[i], .right = p->right[i], .R = ranks[i],
                                   .next = i + 1 < FT_UPDATES ? &p->update[i + 1] : NULL};
    }
}

static void end_updates(problem *p)
{
    for (int i = 0; i < FT_UPDATES; i++) {
        ft_free(p->left[i]);
        ft_free(p->right[i]);
        ft_free(p->rounded_left[i]);
        ft_free(p->rounded_right[i]);
    }
}

static void end(problem *p)
{
    ft_free((void *)p->w.data);
    ft_free(p->values);
    ft_free(p->rounded_x);
    ft_free(p->rounded_dy);
    ft_free(p->rounded);
    ft_free(p->x);
    ft_free(p->dy);
    ft_free(p->bias);
    ft_free(p->out);
    ft_free(p->parts);
}

/* out [rows, cols] before a call: NaN, or `start` where it is added to. */
static float *output(problem *p, int64_t n, float start)
{
    memset(p->out, 0xff, (size_t)(n + PAD) * sizeof *p->out);
    for (int64_t i = 0; start != 0 && i < n; i++)
        p->out[i] = start;
    return p->out;
}

/* An operand of the expectation: element (i, k) at v[i * i_step + k * k_step]. */
typedef struct side {
    const float *v;
    int64_t i_step, k_step;
} side;

/* A sum over K of their products. */
typedef struct term {
    side a, b;
    int64_t K;
} term;

/* out [rows, cols] is start + bias + the sum of n terms. */
static void check(const problem *p, const char *what, int64_t rows, int64_t cols, const term *terms, int n,
                  double start, const float *bias)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            double sum = start + (bias ? bias[j] : 0), size = fabs(sum);
            int64_t length = 0;
            for (const term *t = terms; t < terms + n; length += t++->K)
                for (int64_t k = 0; k < t->K; k++) {
                    double product = (double)t->a.v[i * t->a.i_step + k * t->a.k_step] *
                                     t->b.v[j * t->b.i_step + k * t->b.k_step];
                    sum += product;
                    size += fabs(product);
                }
            double got = p->out[i * cols + j], bound = (double)(length + 16) * 0x1p-24 * size;
            if (!(fabs(got - sum) <= bound))
                ck_abort_msg("%s %s %s [%lld, %lld, %lld] at %lld, %lld: %.9g, not %.9g to %.2g",
                             ft_engine_name(p->e), p->dtype->name, what, (long long)p->s.T, (long long)p->s.in,
                             (long long)p->s.out, (long long)i, (long long)j, got, sum, bound);
        }
    for (int64_t i = rows * cols; i < rows * cols + PAD; i++)
        ck_assert_msg(p->out[i] != p->out[i], "%s %s wrote behind its end", ft_engine_name(p->e), what);
}

/* terms[1 ...] are the updates'; the right side is [n, R] (y) or [R, n] (dx). */
static void put_updates(const problem *p, term *terms, bool exact, int64_t n, bool back)
{
    for (int i = 0; i < FT_UPDATES; i++) {
        const float *left = exact ? p->left[i] : p->rounded_left[i], *right = exact ? p->right[i] : p->rounded_right[i];
        terms[1 + i] = (term){{left, ranks[i], 1}, {right, back ? 1 : ranks[i], back ? n : 1}, ranks[i]};
    }
}

static void check_forward(problem *p)
{
    const shape *s = &p->s;
    bool few = s->T <= FT_FEW_ROWS;
    term sum[1 + FT_UPDATES] = {
        {{few ? p->x : p->rounded_x, s->in, 1}, {few ? p->values : p->rounded, s->in, 1}, s->in}};
    ft_linear_forward(p->e, output(p, s->T * s->out, 0), p->x, s->T, &p->w, NULL, NULL, scratch);
    check(p, "y", s->T, s->out, sum, 1, 0, NULL);
    ft_linear_forward(p->e, output(p, s->T * s->out, 0), p->x, s->T, &p->w, p->bias, NULL, scratch);
    check(p, "y with bias", s->T, s->out, sum, 1, 0, p->bias);
    begin_updates(p);
    put_updates(p, sum, few, s->out, false);
    ft_linear_forward(p->e, output(p, s->T * s->out, 0), p->x, s->T, &p->w, p->bias, p->update, scratch);
    check(p, "y with updates", s->T, s->out, sum, 1 + FT_UPDATES, 0, p->bias);
    end_updates(p);
}

static void check_gradients(problem *p)
{
    const shape *s = &p->s;
    term sum[1 + FT_UPDATES] = {{{p->rounded_dy, s->out, 1}, {p->rounded, 1, s->in}, s->out}};
    ft_linear_grad_x(p->e, output(p, s->T * s->in, 0), p->dy, s->T, &p->w, NULL, false, scratch, p->parts);
    check(p, "dx", s->T, s->in, sum, 1, 0, NULL);
    ft_linear_grad_x(p->e, output(p, s->T * s->in, 2.5f), p->dy, s->T, &p->w, NULL, true, scratch, p->parts);
    check(p, "dx added", s->T, s->in, sum, 1, 2.5, NULL);
    begin_updates(p);
    put_updates(p, sum, false, s->in, true);
    ft_linear_grad_x(p->e, output(p, s->T * s->in, 2.5f), p->dy, s->T, &p->w, p->update, true, scratch, p->parts);
    check(p, "dx with updates", s->T, s->in, sum, 1 + FT_UPDATES, 2.5, NULL);
    end_updates(p);
    term dw = {{p->rounded_dy, 1, s->out}, {p->rounded_x, 1, s->in}, s->T};
    ft_linear_grad_w(p->e, output(p, s->out * s->in, -1.5f), p->dy, p->x, s->T, s->out, s->in, scratch, p->parts);
    check(p, "dw", s->out, s->in, &dw, 1, -1.5, NULL);
}

typedef void (*engine_check)(const ft_engine *e);

/* Under every CPU path, so that an engine meets each path's readers. One thread: thousands of small calls. */
static void on_every_engine(engine_check run)
{
    ft_threads_set(MOST_THREADS);
    scratch = ft_alloc(ft_linear_scratch(), sizeof *scratch);
    memset(scratch, 0xff, ft_linear_scratch() * sizeof *scratch);
    ft_threads_set(1);
    for (size_t k = 0; ft_kernel_paths[k]; k++) {
        if (!ft_kernel_paths[k]->usable())
            continue;
        ft_kernels_use(ft_kernel_paths[k]);
        for (size_t i = 0; ft_engines[i]; i++)
            if (ft_engine_usable(ft_engines[i]))
                run(ft_engines[i]);
    }
    ft_kernels_use(NULL);
    ft_threads_set(0);
    ft_free(scratch);
}

static void check_f32(const ft_engine *e)
{
    for (size_t i = 0; i < FT_COUNT(shapes); i++) {
        problem p;
        begin(&p, shapes[i], e, &ft_f32);
        check_forward(&p);
        check_gradients(&p);
        end(&p);
    }
}

START_TEST(every_engine_multiplies_to_the_bound_of_f32_sums)
{
    on_every_engine(check_f32);
}
END_TEST

static void check_stored(const ft_engine *e)
{
    const shape some[] = {{3, 1, 5}, {6, 1, 33}, {15, 2, 40}, {29, 3, 17}, {8, 1, 530}};
    for (size_t d = 0; ft_dtypes[d]; d++)
        for (size_t i = 0; i < FT_COUNT(some); i++) {
            problem p;
            shape s = some[i]; /* in: blocks, some more for dtypes without */
            s.in *= ft_dtypes[d]->block_len > 1 ? ft_dtypes[d]->block_len : 205;
            begin(&p, s, e, ft_dtypes[d]);
            check_forward(&p);
            check_gradients(&p);
            end(&p);
        }
}

START_TEST(every_engine_reads_every_stored_dtype)
{
    on_every_engine(check_stored);
}
END_TEST

/* A large case by its bits: 1 thread, then more. */
static void check_threads(const ft_engine *e)
{
    const shape s = {600, 300, 700};
    const int64_t n = s.T * s.out;
    float *first = ft_alloc((size_t)n, sizeof *first);
    problem p;
    begin(&p, s, e, &ft_f32);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        ft_threads_set(threads);
        ft_linear_forward(e, output(&p, n, 0), p.x, s.T, &p.w, NULL, NULL, scratch);
        ft_linear_grad_x(e, p.out, p.dy, s.T, &p.w, NULL, false, scratch, p.parts); /* over the first columns of y */
        ft_linear_grad_w(e, p.out, p.dy, p.x, s.T, s.out, s.in, scratch, p.parts);
        if (threads == 1)
            memcpy(first, p.out, (size_t)n * sizeof *first);
        ck_assert_msg(memcmp(first, p.out, (size_t)n * sizeof *first) == 0, "%s: other bits with %d threads",
                      ft_engine_name(e), threads);
    }
    ft_threads_set(1);
    end(&p);
    ft_free(first);
}

START_TEST(engines_give_the_same_bits_for_any_team)
{
    on_every_engine(check_threads);
}
END_TEST

START_TEST(a_cpu_path_without_bf16_computes_in_f32)
{
    ft_kernels_use(ft_kernel_paths[0]);
    ck_assert_str_eq(ft_engine_name(ft_engine_of(FT_COMPUTE_F32)), "openblas");
    ck_assert_ptr_eq(ft_engine_of(FT_COMPUTE_BF16), ft_engine_of(FT_COMPUTE_F32));
    ft_kernels_use(NULL);
    ck_assert_int_eq(ft_engine_compute(ft_engine_of(FT_COMPUTE_F32)), FT_COMPUTE_F32);
    bool has = false;
    for (size_t i = 0; ft_engines[i]; i++)
        has |= ft_engine_compute(ft_engines[i]) == FT_COMPUTE_BF16 && ft_engine_usable(ft_engines[i]);
    ck_assert_int_eq(ft_engine_compute(ft_engine_of(FT_COMPUTE_BF16)) == FT_COMPUTE_BF16, has);
}
END_TEST

int main(void)
{
    FT_TESTS("linear", every_engine_multiplies_to_the_bound_of_f32_sums, every_engine_reads_every_stored_dtype,
             engines_give_the_same_bits_for_any_team, a_cpu_path_without_bf16_computes_in_f32);
}
