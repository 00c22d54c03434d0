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

enum { PAD = 24 };

typedef struct shape {
    int64_t T, in, out;
} shape;
static const shape shapes[] = {{1, 1, 1},      {3, 70, 67},   {4, 33, 5},    {5, 1, 33},    {5, 2, 31},   {6, 3, 32},
                               {7, 31, 16},    {12, 33, 64},  {13, 64, 65},  {14, 65, 130}, {15, 96, 48}, {17, 255, 29},
                               {28, 257, 100}, {29, 512, 63}, {65, 513, 33}, {9, 600, 530}, {530, 40, 7}, {11, 24, 4100},
                               {1100, 35, 18}, {43, 1025, 9}, {1, 32, 3000}, {70, 3, 1030}};

typedef struct problem {
    shape s;
    const ft_engine *e;
    const ft_dtype *dtype;
    ft_tensor w;
    float *x, *dy, *bias, *values;           /* values: of w, decoded */
    float *rounded_x, *rounded_dy, *rounded; /* as the engine's compute dtype takes them; of values */
    float *out, *scratch, *parts;
} problem;

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
    p->scratch = ft_alloc(ft_linear_scratch(), sizeof(float));
    size_t parts = FT_MAX(ft_linear_parts(s.T, s.in, s.out), ft_linear_parts(s.out, s.in, s.T));
    p->parts = parts ? ft_alloc(parts, sizeof(float)) : NULL;
    memset(p->scratch, 0xff, ft_linear_scratch() * sizeof(float));
    if (parts)
        memset(p->parts, 0xff, parts * sizeof(float));
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
    ft_free(p->scratch);
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

static void check(const problem *p, const char *what, int64_t rows, int64_t cols, int64_t K, side a, side b, double start,
                  const float *bias)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            double sum = start + (bias ? bias[j] : 0), size = fabs(sum);
            for (int64_t k = 0; k < K; k++) {
                double product = (double)a.v[i * a.i_step + k * a.k_step] * b.v[j * b.i_step + k * b.k_step];
                sum += product;
                size += fabs(product);
            }
            double got = p->out[i * cols + j], bound = (double)(K + 16) * 0x1p-24 * size;
            ck_assert_msg(fabs(got - sum) <= bound, "%s %s %s [%lld, %lld, %lld] at %lld, %lld: %.9g, not %.9g to %.2g",
                          ft_engine_name(p->e), p->dtype->name, what, (long long)p->s.T, (long long)p->s.in,
                          (long long)p->s.out, (long long)i, (long long)j, got, sum, bound);
        }
    for (int64_t i = rows * cols; i < rows * cols + PAD; i++)
        ck_assert_msg(p->out[i] != p->out[i], "%s %s wrote behind its end", ft_engine_name(p->e), what);
}

static void check_forward(problem *p)
{
    const shape *s = &p->s;
    bool few = s->T <= FT_FEW_ROWS;
    side x = {few ? p->x : p->rounded_x, s->in, 1}, w = {few ? p->values : p->rounded, s->in, 1};
    ft_linear_forward(p->e, output(p, s->T * s->out, 0), p->x, s->T, &p->w, NULL, p->scratch);
    check(p, "y", s->T, s->out, s->in, x, w, 0, NULL);
    ft_linear_forward(p->e, output(p, s->T * s->out, 0), p->x, s->T, &p->w, p->bias, p->scratch);
    check(p, "y with bias", s->T, s->out, s->in, x, w, 0, p->bias);
}

static void check_gradients(problem *p)
{
    const shape *s = &p->s;
    side dy = {p->rounded_dy, s->out, 1}, w = {p->rounded, 1, s->in};
    side dy_turned = {p->rounded_dy, 1, s->out}, x = {p->rounded_x, 1, s->in};
    ft_linear_grad_x(p->e, output(p, s->T * s->in, 0), p->dy, s->T, &p->w, false, p->scratch, p->parts);
    check(p, "dx", s->T, s->in, s->out, dy, w, 0, NULL);
    ft_linear_grad_x(p->e, output(p, s->T * s->in, 2.5f), p->dy, s->T, &p->w, true, p->scratch, p->parts);
    check(p, "dx added", s->T, s->in, s->out, dy, w, 2.5, NULL);
    ft_linear_grad_w(p->e, output(p, s->out * s->in, -1.5f), p->dy, p->x, s->T, s->out, s->in, p->scratch, p->parts);
    check(p, "dw", s->out, s->in, s->T, dy_turned, x, -1.5, NULL);
}

typedef void (*engine_check)(const ft_engine *e);

/* Under every CPU path, so that an engine meets each path's readers. One thread: thousands of small calls. */
static void on_every_engine(engine_check run)
{
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
    ft_threads_set(4);
    problem p;
    begin(&p, s, e, &ft_f32);
    for (int threads = 1; threads <= 4; threads++) {
        ft_threads_set(threads);
        ft_linear_forward(e, output(&p, n, 0), p.x, s.T, &p.w, NULL, p.scratch);
        ft_linear_grad_x(e, p.out, p.dy, s.T, &p.w, false, p.scratch, p.parts); /* over the first columns of y */
        ft_linear_grad_w(e, p.out, p.dy, p.x, s.T, s.out, s.in, p.scratch, p.parts);
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
