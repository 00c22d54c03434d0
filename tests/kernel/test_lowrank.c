/* Low-rank approximation against matrices whose singular values are known: U diag(s) V with reflections for U and V. */
#include "kernel/lowrank.h"

#include "base/rng.h"
#include "base/threads.h"
#include "support/support.h"

/* rows of x [rows, n] reflected: x - 2 (x . v) v^T / |v|^2 */
static void reflect(double *x, int64_t rows, int64_t n, const double *v)
{
    double square = 0;
    for (int64_t i = 0; i < n; i++)
        square += v[i] * v[i];
    for (int64_t r = 0; r < rows; r++) {
        double dot = 0;
        for (int64_t i = 0; i < n; i++)
            dot += x[r * n + i] * v[i];
        for (int64_t i = 0; i < n; i++)
            x[r * n + i] -= 2 * dot * v[i] / square;
    }
}

static void random_vector(double *v, int64_t n, uint64_t step)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = (double)ft_uniform(3, FT_STREAM_TEST, step, (uint64_t)i) - 0.5;
}

/* [out, in] with the singular values s[min(in, out)]. */
static float *known(int64_t out, int64_t in, const double *s)
{
    double *x = ft_alloc((size_t)(out * in), sizeof *x), *t = ft_alloc((size_t)(out * in), sizeof *t), v[256];
    float *w = ft_alloc((size_t)(out * in), sizeof *w);
    for (int64_t i = 0; i < FT_MIN(in, out); i++)
        x[i * in + i] = s[i];
    random_vector(v, in, 1);
    reflect(x, out, in, v);
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++)
            t[i * out + o] = x[o * in + i];
    random_vector(v, out, 2);
    reflect(t, in, out, v);
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++)
            w[o * in + i] = (float)t[i * out + o];
    ft_free(x);
    ft_free(t);
    return w;
}

/* |w - scale b a|^2 */
static double error_of(const float *w, const float *a, const float *b, int64_t out, int64_t in, int64_t r, double scale)
{
    double error = 0;
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++) {
            double x = w[o * in + i];
            for (int64_t k = 0; k < r; k++)
                x -= scale * (double)b[o * r + k] * (double)a[k * in + i];
            error += x * x;
        }
    return error;
}

static void check(int64_t out, int64_t in, int64_t r, double fall)
{
    int64_t n = FT_MIN(in, out);
    double s[256], least = 0;
    for (int64_t i = 0; i < n; i++) {
        s[i] = pow(fall, (double)i);
        least += i < r ? 0 : s[i] * s[i];
    }
    float *w = known(out, in, s), *a = ft_alloc((size_t)(r * in), sizeof *a), *b = ft_alloc((size_t)(r * out), sizeof *b);
    ft_tensor t = {.dtype = &ft_f32, .ndim = 2, .shape = {out, in}, .data = w};
    ck_assert_ok(ft_low_rank(a, b, &t, r, 0.5f, 7, 1));
    double error = error_of(w, a, b, out, in, r, 0.5);
    ck_assert_msg(error <= least * 1.01 + 1e-10, "[%lld, %lld] by rank %lld: error %g, the least is %g", (long long)out,
                  (long long)in, (long long)r, error, least);
    ck_assert_msg(error >= least * 0.999 - 1e-10, "error %g below the least %g", error, least);
    ft_free(w);
    ft_free(a);
    ft_free(b);
}

START_TEST(the_error_is_that_of_the_singular_values_left_out)
{
    check(64, 96, 8, 0.8);
    check(96, 64, 8, 0.97);
    check(200, 40, 16, 0.95);
    check(33, 17, 17, 0.9); /* all of it */
    check(5, 70, 3, 0.5);
    check(1, 9, 1, 1);
}
END_TEST

START_TEST(the_result_does_not_depend_on_the_threads)
{
    enum { OUT = 130, IN = 70, R = 5 };
    double s[IN];
    float a[2][R * IN], b[2][OUT * R];
    for (int i = 0; i < IN; i++)
        s[i] = 1.0 / (1 + i);
    float *w = known(OUT, IN, s);
    ft_tensor t = {.dtype = &ft_f32, .ndim = 2, .shape = {OUT, IN}, .data = w};
    for (int k = 0; k < 2; k++) {
        ft_threads_set(k + 1);
        ck_assert_ok(ft_low_rank(a[k], b[k], &t, R, 2, 7, 1));
    }
    ck_assert_mem_eq(a[0], a[1], sizeof a[0]);
    ck_assert_mem_eq(b[0], b[1], sizeof b[0]);
    ft_free(w);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    float w[12] = {1, 2, 3}, a[12], b[12];
    ft_tensor t = {.dtype = &ft_f32, .ndim = 2, .shape = {3, 4}, .data = w};
    ck_assert_fails(ft_low_rank(a, b, &t, 4, 1, 7, 1), FT_EINPUT, "rank 4 of a matrix [3, 4]");
    ck_assert_fails(ft_low_rank(a, b, &t, 0, 1, 7, 1), FT_EINPUT, "rank 0");
    w[5] = NAN;
    ck_assert_fails(ft_low_rank(a, b, &t, 2, 1, 7, 1), FT_ENUMERIC, "not finite");
}
END_TEST

int main(void)
{
    FT_TESTS("lowrank", the_error_is_that_of_the_singular_values_left_out, the_result_does_not_depend_on_the_threads,
             what_cannot_be_is_refused);
}
