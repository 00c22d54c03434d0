/* Every CPU path against the reference, at sizes around the vector's; outputs full of NaN before, sentinels behind. */
#include "support/support.h"
#include "base/threads.h"
#include "kernel/kernel.h"

enum { MOST = 768, PAD = 24 };
static const int64_t sizes[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 300, 576, 643};

static float *x1, *x2, *x3; /* inputs [4 MOST], normal */

static void setup(void)
{
    float **x[] = {&x1, &x2, &x3};
    for (int i = 0; i < 3; i++) {
        *x[i] = ft_alloc(4 * MOST, sizeof **x[i]);
        ft_fill_normal(*x[i], 4 * MOST, 1, 5, FT_STREAM_TEST, (uint64_t)i);
    }
}

static void teardown(void)
{
    ft_free(x1);
    ft_free(x2);
    ft_free(x3);
}

/* An output: NaN everywhere, PAD floats behind it that must stay so. */
static float *output(float *room, int64_t n)
{
    memset(room, 0xff, (size_t)(n + PAD) * sizeof *room);
    return room;
}

static void check_end(const ft_kernels *k, const char *what, const float *y, int64_t n)
{
    for (int64_t i = n; i < n + PAD; i++)
        ck_assert_msg(y[i] != y[i], "%s %s [%lld] wrote behind its end", k->name, what, (long long)n);
}

static void check_near(const ft_kernels *k, const char *what, const float *y, const float *expected, int64_t n,
                       double tolerance)
{
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(fabs((double)y[i] - expected[i]) <= tolerance * (1 + fabs(expected[i])),
                      "%s %s [%lld] at %lld: %.9g, not %.9g", k->name, what, (long long)n, (long long)i, (double)y[i],
                      (double)expected[i]);
    check_end(k, what, y, n);
}

typedef void (*path_check)(const ft_kernels *k, const ft_kernels *ref, int64_t n);

static void on_every_path(path_check check)
{
    setup();
    for (size_t i = 1; ft_kernel_paths[i]; i++)
        for (size_t s = 0; ft_kernel_paths[i]->usable() && s < FT_COUNT(sizes); s++)
            check(ft_kernel_paths[i], ft_kernel_paths[0], sizes[s]);
    teardown();
}

static void check_sums(const ft_kernels *k, const ft_kernels *ref, int64_t n)
{
    ck_assert_double_eq_tol(k->dot(x1, x2, n), ref->dot(x1, x2, n), 1e-5 * (double)n);
    ck_assert_double_eq_tol(k->sum_squares(x1, n), ref->sum_squares(x1, n), 1e-9 * (double)n);
    ck_assert(k->max(x1, n) == ref->max(x1, n));
    float top = ref->max(x1, n);
    ck_assert_int_eq(k->find(x1, top, n), ref->find(x1, top, n));
    ck_assert_int_eq(k->find(x1, 1e9f, n), n);
    float a[4 + PAD + 1], b[4];
    k->rows_dot(output(a, 4), x1, 660, 4, x2, FT_MIN(n, (int64_t)660));
    ref->rows_dot(b, x1, 660, 4, x2, FT_MIN(n, (int64_t)660));
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq_tol(a[i], b[i], 1e-4 * (double)n);
    check_end(k, "rows_dot", a, 4);
}

static void check_vectors(const ft_kernels *k, const ft_kernels *ref, int64_t n)
{
    float a[MOST + PAD], b[MOST + PAD];
    k->add(output(a, n), x1, x2, n);
    ref->add(b, x1, x2, n);
    check_near(k, "add", a, b, n, 0);
    k->axpy(a, 0.3f, x3, n);
    ref->axpy(b, 0.3f, x3, n);
    check_near(k, "axpy", a, b, n, 1e-6);
    k->scale(a, 7, n);
    ref->scale(b, 7, n);
    check_near(k, "scale", a, b, n, 1e-6);
    k->softcap(a, 5, n);
    ref->softcap(b, 5, n);
    check_near(k, "softcap", a, b, n, 2e-6);
    double sum = k->exp_sum(output(a, n), x1, 0.5f, n), expected = ref->exp_sum(b, x1, 0.5f, n);
    check_near(k, "exp_sum", a, b, n, 1e-6);
    ck_assert_double_eq_tol(sum, expected, 1e-6 * expected);
    memcpy(output(a, n), x3, (size_t)n * sizeof *a);
    memcpy(b, x3, (size_t)n * sizeof *b);
    k->rows_mix(a, x1, 2, 5, x2, n);
    ref->rows_mix(b, x1, 2, 5, x2, n);
    check_near(k, "rows_mix", a, b, n, 1e-5);
}

static void check_dropout(const ft_kernels *k, const ft_kernels *ref, int64_t n)
{
    float a[MOST + PAD], b[MOST + PAD];
    ft_dropout d = ft_dropout_of(0x123456789abcdef, 77, 9, 0.3f);
    for (uint64_t first = 0; first < 20; first += 3) {
        k->dropout(output(a, n), x1, &d, first, n, false);
        ref->dropout(b, x1, &d, first, n, false);
        check_near(k, "dropout", a, b, n, 0);
        k->dropout(a, x2, &d, (uint64_t)1 << 36 | first, n, true);
        ref->dropout(b, x2, &d, (uint64_t)1 << 36 | first, n, true);
        check_near(k, "dropout added", a, b, n, 0);
    }
}

static void check_norms(const ft_kernels *k, const ft_kernels *ref, int64_t n)
{
    float a[MOST + PAD], b[MOST + PAD], c[MOST + PAD], d[MOST + PAD];
    float inv = k->rmsnorm(output(a, n), x1, x2, 1e-5f, 1, n), same = ref->rmsnorm(b, x1, x2, 1e-5f, 1, n);
    check_near(k, "rmsnorm", a, b, n, 1e-6);
    ck_assert_double_eq_tol(inv, same, 1e-6 * same);
    for (int add = 0; add < 2; add++) {
        for (int64_t i = 0; i < n; i++)
            d[i] = b[i] = x2[i];
        memcpy(output(a, n), b, (size_t)n * sizeof *a);
        memcpy(output(c, n), d, (size_t)n * sizeof *c);
        if (!add)
            output(a, n);
        k->rmsnorm_grad(a, c, x3, x1, x2, inv, 0, n, add);
        ref->rmsnorm_grad(b, d, x3, x1, x2, inv, 0, n, add);
        check_near(k, "rmsnorm_grad dx", a, b, n, 2e-5);
        check_near(k, "rmsnorm_grad dw", c, d, n, 2e-5);
    }
}

static void check_rope(const ft_kernels *k, const ft_kernels *ref, int64_t n)
{
    float a[4 * MOST + PAD], b[4 * MOST + PAD];
    int64_t rot = n / 2 * 2;
    for (int mode = 0; rot && mode < 4; mode++) {
        memcpy(output(a, 2 * (n + 3)), x3, (size_t)(2 * (n + 3)) * sizeof *a);
        memcpy(b, x3, (size_t)(2 * (n + 3)) * sizeof *b);
        if (mode < 2)
            output(a, 2 * (n + 3));
        k->rope(a, x1, x2, x3, rot, 2, n + 3, mode % 2, mode > 1);
        ref->rope(b, x1, x2, x3, rot, 2, n + 3, mode % 2, mode > 1);
        check_near(k, "rope", a, b, 2 * (n + 3), 2e-6);
    }
}

static void check_swiglu(const ft_kernels *k, const ft_kernels *ref, int64_t n)
{
    float a[MOST + PAD], b[MOST + PAD], c[MOST + PAD], d[MOST + PAD];
    k->swiglu(output(a, n), x1, x2, n);
    ref->swiglu(b, x1, x2, n);
    check_near(k, "swiglu", a, b, n, 1e-6);
    k->swiglu_grad(output(a, n), output(c, n), x3, x1, x2, n, false, false);
    ref->swiglu_grad(b, d, x3, x1, x2, n, false, false);
    check_near(k, "swiglu_grad dgate", a, b, n, 2e-6);
    check_near(k, "swiglu_grad dup", c, d, n, 2e-6);
    k->swiglu_grad(a, NULL, x3, x2, x1, n, true, false);
    ref->swiglu_grad(b, NULL, x3, x2, x1, n, true, false);
    check_near(k, "swiglu_grad added", a, b, n, 4e-6);
    for (int cap = 0; cap < 2; cap++) {
        memcpy(output(a, n), x1, (size_t)n * sizeof *a);
        memcpy(output(c, n), x2, (size_t)n * sizeof *c);
        memcpy(b, x1, (size_t)n * sizeof *b);
        memcpy(d, x2, (size_t)n * sizeof *d);
        k->scores_grad(a, c, 1.5f, 0.3f, 0.125f, cap ? 6 : 0, n);
        ref->scores_grad(b, d, 1.5f, 0.3f, 0.125f, cap ? 6 : 0, n);
        check_near(k, "scores_grad p", a, b, n, 1e-6);
        check_near(k, "scores_grad ds", c, d, n, 2e-6);
    }
}

static void check_gelu(const ft_kernels *k, const ft_kernels *ref, int64_t n)
{
    float a[MOST + PAD], b[MOST + PAD], c[MOST + PAD], d[MOST + PAD];
    k->geglu(output(a, n), x1, x2, n);
    ref->geglu(b, x1, x2, n);
    check_near(k, "geglu", a, b, n, 1e-6);
    k->geglu_grad(output(a, n), output(c, n), x3, x1, x2, n, false, false);
    ref->geglu_grad(b, d, x3, x1, x2, n, false, false);
    check_near(k, "geglu_grad dgate", a, b, n, 4e-6);
    check_near(k, "geglu_grad dup", c, d, n, 2e-6);
    k->geglu_grad(NULL, c, x3, x2, x1, n, false, true);
    ref->geglu_grad(NULL, d, x3, x2, x1, n, false, true);
    check_near(k, "geglu_grad added", c, d, n, 4e-6);
    k->gelu(output(a, n), x1, n);
    ref->gelu(b, x1, n);
    check_near(k, "gelu", a, b, n, 1e-6);
    for (int add = 0; add < 2; add++) {
        if (!add)
            output(a, n);
        k->gelu_grad(a, x3, x1, n, add);
        ref->gelu_grad(b, x3, x1, n, add);
        check_near(k, "gelu_grad", a, b, n, 4e-6);
    }
}

static void check_layernorm(const ft_kernels *k, const ft_kernels *ref, int64_t n)
{
    float a[MOST + PAD], b[MOST + PAD], dw[2][MOST + PAD], db[2][MOST + PAD], mean, other;
    float inv = k->layernorm(output(a, n), x1, x2, x3, 1e-5f, n, &mean),
          same = ref->layernorm(b, x1, x2, x3, 1e-5f, n, &other);
    check_near(k, "layernorm", a, b, n, 4e-6 * sqrt(same));
    ck_assert_double_eq_tol(inv, same, 1e-6 * same);
    ck_assert_double_eq_tol(mean, other, 1e-6);
    for (int add = 0; add < 2; add++) {
        for (int i = 0; i < 2; i++) {
            memcpy(output(dw[i], n), x2, (size_t)n * sizeof **dw);
            memcpy(output(db[i], n), x3, (size_t)n * sizeof **db);
        }
        if (!add)
            output(a, n);
        k->layernorm_grad(a, dw[0], db[0], x3, x1, x2, other, same, n, add);
        ref->layernorm_grad(b, dw[1], db[1], x3, x1, x2, other, same, n, add);
        check_near(k, "layernorm_grad dx", a, b, n, 2e-5 * same);
        check_near(k, "layernorm_grad dw", dw[0], dw[1], n, 2e-5);
        check_near(k, "layernorm_grad db", db[0], db[1], n, 1e-6);
    }
}

static void check_adamw(const ft_kernels *k, const ft_kernels *ref, int64_t n)
{
    float w[2][MOST + PAD], m[2][MOST + PAD], v[2][MOST + PAD];
    ft_adamw o = {.rate = 1e-2f,
                  .beta1 = 0.9f,
                  .beta2 = 0.999f,
                  .eps = 1e-8f,
                  .decay = 0.1f,
                  .grad_scale = 0.5f,
                  .c1 = 0.19f,
                  .c2 = 0.002f};
    for (int i = 0; i < 2; i++) {
        memcpy(output(w[i], n), x1, (size_t)n * sizeof(float));
        memcpy(output(m[i], n), x2, (size_t)n * sizeof(float));
        output(v[i], n);
        for (int64_t j = 0; j < n; j++)
            v[i][j] = x3[j] * x3[j];
        (i ? ref : k)->adamw(w[i], x3 + 1, m[i], v[i], n, &o);
    }
    check_near(k, "adamw w", w[0], w[1], n, 1e-5);
    check_near(k, "adamw m", m[0], m[1], n, 1e-6);
    check_near(k, "adamw v", v[0], v[1], n, 1e-6);
}

START_TEST(paths_agree_with_the_reference)
{
    const path_check checks[] = {check_sums,   check_vectors, check_dropout,   check_norms, check_rope,
                                 check_swiglu, check_gelu,    check_layernorm, check_adamw};
    for (size_t i = 0; i < FT_COUNT(checks); i++)
        on_every_path(checks[i]);
}
END_TEST

/* Across the range of f32, against the C library's double functions. */
START_TEST(exponentials_are_good_to_a_few_ulp)
{
    for (size_t p = 0; ft_kernel_paths[p]; p++) {
        const ft_kernels *k = ft_kernel_paths[p];
        if (!k->usable())
            continue;
        for (float x = -87; x < 88.7f; x += 0.0137f) {
            float y, one = 1, t = x / 20, s;
            k->exp_sum(&y, &x, 0, 1);
            ck_assert_msg(fabs(y / exp((double)x) - 1) < 3e-7, "%s exp(%g) = %g", k->name, (double)x, (double)y);
            s = t;
            k->softcap(&s, 1, 1);
            ck_assert_msg(fabs(s - tanh((double)t)) <= 3e-7 * fabs(tanh((double)t)), "%s tanh(%g) = %.9g", k->name,
                          (double)t, (double)s);
            k->swiglu(&y, &t, &one, 1);
            ck_assert_msg(fabs(y - t / (1 + exp(-(double)t))) < 4e-7 * fabs((double)y) + 1e-12, "%s silu(%g) = %.9g",
                          k->name, (double)t, (double)y);
        }
        float ends[] = {-INFINITY, -200, 200, INFINITY, NAN}, out[5];
        k->exp_sum(out, ends, 0, 5);
        ck_assert(out[0] == 0 && out[1] == 0 && isinf(out[2]) && isinf(out[3]) && isnan(out[4]));
    }
}
END_TEST

START_TEST(readers_read_what_the_dtype_reads)
{
    setup();
    for (size_t p = 0; ft_kernel_paths[p]; p++)
        for (size_t d = 0; ft_dtypes[d] && ft_kernel_paths[p]->usable(); d++) {
            const ft_dtype *dtype = ft_dtypes[d];
            ft_reader r = ft_kernel_reader(ft_kernel_paths[p], dtype);
            for (size_t s = 0; s < FT_COUNT(sizes); s++) {
                int64_t n = (sizes[s] + dtype->block_len - 1) / dtype->block_len * dtype->block_len;
                void *stored = ft_alloc((size_t)(n / dtype->block_len), dtype->block_bytes);
                float a[MOST + PAD], b[MOST + PAD];
                double sum = 0;
                dtype->encode(x1, NULL, n, stored);
                dtype->decode(stored, n, b);
                r.decode(stored, n, output(a, n));
                check_near(ft_kernel_paths[p], dtype->name, a, b, n, dtype->is_float ? 0 : 1e-6); /* fused, or not */
                for (int64_t i = 0; i < n; i++)
                    sum += (double)b[i] * x2[i];
                if (r.dot)
                    ck_assert_double_eq_tol(r.dot(stored, x2, n), sum, 1e-5 * (double)n);
                ft_free(stored);
            }
        }
    teardown();
}
END_TEST

START_TEST(dropout_drops_its_share_and_keeps_the_mean)
{
    enum { N = 1 << 20 };
    float *x = ft_alloc(N, sizeof *x);
    ft_dropout d = ft_dropout_of(42, 1, 3, 0.05f);
    int64_t dropped = 0;
    double sum = 0;
    for (int64_t i = 0; i < N; i++)
        x[i] = 1;
    ft_kernels_active()->dropout(x, x, &d, 0, N, false);
    for (int64_t i = 0; i < N; i++) {
        dropped += x[i] == 0;
        sum += x[i];
    }
    ck_assert_double_eq_tol((double)dropped / N, 0.05, 1e-3);
    ck_assert_double_eq_tol(sum / N, 1, 1e-3);
    ck_assert_uint_eq(ft_dropout_of(1, 1, 1, 0).drop, 0);
    ck_assert(ft_dropout_of(1, 1, 1, 0).scale == 1);
    ft_free(x);
}
END_TEST

START_TEST(whole_arrays_give_the_same_bits_for_any_team)
{
    enum { N = 300001 };
    float *x = ft_alloc(N, sizeof *x), *w = ft_alloc(N, sizeof *w), *first = ft_alloc(N, sizeof *w);
    float *m = ft_alloc(N, sizeof *m), *v = ft_alloc(N, sizeof *v);
    ft_fill_normal(x, N, 1, 3, FT_STREAM_TEST, 0);
    double expected = 0, sum = 0;
    for (int64_t i = 0; i < N; i++)
        expected += (double)x[i] * x[i];
    ft_adamw o = {.rate = 1e-2f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .grad_scale = 1};
    for (int threads = 1; threads <= 4; threads++) {
        ft_threads_set(threads);
        double s = ft_sum_squares_all(x, N);
        ck_assert(threads == 1 || s == sum);
        sum = s;
        ft_zero_all(m, N);
        ft_zero_all(v, N);
        ft_copy_all(w, x, N);
        ft_adamw_all(w, x, m, v, N, o, 1);
        ft_axpy_all(w, 0.25f, x, N);
        ft_scale_all(w, 3, N);
        ft_add_all(w, w, x, N);
        if (threads == 1)
            memcpy(first, w, N * sizeof *w);
        ck_assert(memcmp(first, w, N * sizeof *w) == 0);
    }
    ft_threads_set(0);
    ck_assert_double_eq_tol(sum, expected, 1e-9 * expected);
    /* the first AdamW step moves every weight by the rate, against its gradient's sign */
    for (int64_t i = 0; i < N; i += 997)
        ck_assert_double_eq_tol(w[i], 3 * (x[i] * 1.25 - (x[i] > 0 ? 1e-2 : -1e-2)) + x[i], 1e-4);
    ft_free(x);
    ft_free(w);
    ft_free(first);
    ft_free(m);
    ft_free(v);
}
END_TEST

static char note[200];

static void take_note(void *ctx, ft_note_level level, const char *text)
{
    snprintf(note, sizeof note, "%s", text);
}

START_TEST(the_environment_names_the_path)
{
    ft_note_sink(take_note, NULL);
    for (size_t p = 0; ft_kernel_paths[p]; p++) {
        const ft_kernels *k = ft_kernel_paths[p];
        setenv("FETTLE_CPU", k->name, 1);
        note[0] = 0;
        ft_kernels_use(NULL);
        ck_assert_int_eq(ft_kernels_active() == k, k->usable());
        ck_assert_int_eq(note[0] == 0, k->usable());
    }
    setenv("FETTLE_CPU", "mmx", 1);
    ft_kernels_use(NULL);
    ck_assert_ptr_nonnull(strstr(note, "mmx: no such path"));
    ck_assert(ft_kernels_active()->usable());
    unsetenv("FETTLE_CPU");
    ft_kernels_use(NULL);
    ck_assert(strlen(ft_blas_core()) > 0);
}
END_TEST

int main(void)
{
    FT_TESTS("kernel", paths_agree_with_the_reference, exponentials_are_good_to_a_few_ulp,
             readers_read_what_the_dtype_reads, dropout_drops_its_share_and_keeps_the_mean,
             whole_arrays_give_the_same_bits_for_any_team, the_environment_names_the_path);
}
