/* Rounding with error feedback: what a matrix makes of inputs that are alike stays closer than when each value is rounded by
 * itself, in every type, and a file so made is closer to the model on rows that it was not calibrated on. */
#include "export/tiny.h"

#include "base/threads.h"

enum { ROWS = 24, INPUTS = 600 };

/* Inputs [INPUTS, n] of few directions and some noise, as activations are. */
static float *inputs(int64_t n)
{
    enum { DIRECTIONS = 12 };
    float *x = ft_alloc((size_t)(INPUTS * n), sizeof *x), *d = ft_alloc((size_t)(DIRECTIONS * n), sizeof *d);
    float *amount = ft_alloc(INPUTS * DIRECTIONS, sizeof *amount);
    ft_fill_normal(x, (size_t)(INPUTS * n), 0.3f, 1, FT_STREAM_TEST, 0);
    ft_fill_normal(d, (size_t)(DIRECTIONS * n), 1, 2, FT_STREAM_TEST, 0);
    ft_fill_normal(amount, INPUTS * DIRECTIONS, 1, 3, FT_STREAM_TEST, 0);
    for (int64_t t = 0; t < INPUTS; t++)
        for (int64_t k = 0; k < DIRECTIONS; k++)
            for (int64_t i = 0; i < n; i++)
                x[t * n + i] += amount[t * DIRECTIONS + k] * d[k * n + i];
    ft_free(d);
    ft_free(amount);
    return x;
}

static float *moments(const float *x, int64_t n)
{
    float *h = ft_alloc((size_t)(n * n), sizeof *h);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t t = 0; t < INPUTS; t++)
                sum += (double)x[t * n + i] * x[t * n + j];
            h[i * n + j] = (float)(sum / INPUTS);
        }
    return h;
}

/* Mean square of x (w - q)^T, in f64. */
static double output_error(const float *x, const float *w, const float *q, int64_t n)
{
    double sum = 0;
    for (int64_t t = 0; t < INPUTS; t++)
        for (int64_t r = 0; r < ROWS; r++) {
            double y = 0;
            for (int64_t i = 0; i < n; i++)
                y += ((double)w[r * n + i] - q[r * n + i]) * x[t * n + i];
            sum += y * y;
        }
    return sum / (INPUTS * ROWS);
}

static double plain_error(const ft_dtype *d, const float *x, const float *w, const float *importance, int64_t n)
{
    float *q = ft_alloc((size_t)(ROWS * n), sizeof *q);
    char block[4096];
    for (int64_t r = 0; r < ROWS; r++) {
        d->encode(w + r * n, importance, n, block);
        d->decode(block, n, q + r * n);
    }
    double e = output_error(x, w, q, n);
    ft_free(q);
    return e;
}

static double fed_error(const ft_feedback *f, const float *x, const float *w)
{
    int64_t n = f->n;
    size_t row = (size_t)(n / f->dtype->block_len) * f->dtype->block_bytes;
    float *q = ft_alloc((size_t)(ROWS * n), sizeof *q);
    float *scratch = ft_alloc((size_t)ft_threads(), ft_feedback_scratch(n) * sizeof *scratch);
    char *out = ft_alloc(ROWS, row), *parts = ft_alloc(ROWS, row);
    ft_feedback_encode(f, w, ROWS, out, scratch);
    ft_feedback_encode(f, w, 7, parts, scratch); /* however rows are cut, and by any number of threads */
    ft_threads_set(1);
    ft_feedback_encode(f, w + 7 * n, ROWS - 7, parts + 7 * row, scratch);
    ft_threads_set(0);
    ck_assert_mem_eq(out, parts, ROWS * row);
    for (int64_t r = 0; r < ROWS; r++)
        f->dtype->decode(out + (size_t)r * row, n, q + r * n);
    double e = output_error(x, w, q, n);
    ft_free(q);
    ft_free(scratch);
    ft_free(out);
    ft_free(parts);
    return e;
}

START_TEST(outputs_stay_closer_in_every_type)
{
    int64_t n = 512;
    float *x = inputs(n), *h = moments(x, n), *diagonal = ft_alloc((size_t)n, sizeof *diagonal);
    float *w = ft_alloc((size_t)(ROWS * n), sizeof *w);
    int types = 0;
    ft_fill_normal(w, (size_t)(ROWS * n), 0.05f, 4, FT_STREAM_TEST, 0);
    ft_feedback_factor(h, diagonal, n);
    for (size_t i = 0; ft_dtypes[i]; i++) {
        const ft_feedback f = {.dtype = ft_dtypes[i], .n = n, .factor = h, .importance = diagonal};
        if (!f.dtype->levels)
            continue;
        double plain = plain_error(f.dtype, x, w, NULL, n), weighted = plain_error(f.dtype, x, w, diagonal, n);
        double fed = fed_error(&f, x, w);
        ck_assert_msg(fed < 0.7 * fmin(plain, weighted), "%s: %g with feedback, %g without, %g by importance", f.dtype->name, fed,
                      plain, weighted);
        types++;
    }
    ck_assert_int_ge(types, 12);
    ft_free(x);
    ft_free(h);
    ft_free(diagonal);
    ft_free(w);
}
END_TEST

/* H = U D U^T, U with ones on its diagonal: worked out by hand for [[5, 2], [2, 4]] and a little on the diagonal. */
START_TEST(the_factor_is_that_of_the_moments)
{
    float h[4] = {5, 2, 2, 4}, diagonal[2], none[4] = {0};
    ft_feedback_factor(h, diagonal, 2);
    ck_assert(diagonal[0] == 5 && diagonal[1] == 4);
    ck_assert_float_eq_tol(h[1], 2 / (4 + 0.045f), 1e-6f); /* a hundredth of the mean 4.5 */
    ft_feedback_factor(none, diagonal, 2);
    ck_assert(none[0] == 0 && none[1] == 0);
}
END_TEST

/* ---- a model ---- */

static void make_rows(ft_rows *rows, ft_row *row, int n, int first)
{
    *rows = (ft_rows){.p = row, .n = (size_t)n};
    for (int i = 0; i < n; i++) {
        row[i] = (ft_row){.n = TINY_TOKENS, .example = i};
        row[i].ids = ft_alloc(TINY_TOKENS, sizeof *row[i].ids);
        row[i].mask = ft_alloc(TINY_TOKENS, 1);
        for (int k = 0; k < TINY_TOKENS; k++) { /* texts of few words, which come again */
            row[i].ids[k] = (first + i) * 5 % 11 + (k * k + (first + i) * k) % 17;
            row[i].mask[k] = k > 0;
        }
        rows->tokens += TINY_TOKENS;
        rows->supervised += TINY_TOKENS - 1;
    }
}

static void free_rows(ft_row *row, int n)
{
    for (int i = 0; i < n; i++) {
        ft_free(row[i].ids);
        ft_free(row[i].mask);
    }
}

static double divergence(ft_model *m, const ft_rows *rows, const char *path)
{
    ft_model *file = tiny_open(path);
    const ft_metric *loss = ft_metric_named("loss");
    double kl = NAN;
    ft_scores s;
    ft_score_options o = {.metrics = &loss, .n_metrics = 1, .reference = m, .kl = &kl};
    ck_assert_ok(ft_score(&s, file, NULL, rows, &o));
    ft_model_free(file);
    return kl;
}

START_TEST(a_calibrated_file_is_closer_to_the_model)
{
    static const char *const types[] = {"q4_0", "iq4_nl", "q5_0", "mxfp4"};
    const char *dir = ft_test_dir();
    const tiny t = {.tied = true};
    ft_model *m = tiny_open(tiny_base(dir, &t));
    ft_row row[40], held_out[20];
    ft_rows rows, others;
    tiny_adapt(m, &t);
    make_rows(&rows, row, 40, 0);
    make_rows(&others, held_out, 20, 40);
    for (size_t i = 0; i < FT_COUNT(types); i++) {
        double kl[2];
        for (int calibrated = 0; calibrated < 2; calibrated++) {
            ft_calibration *c = NULL;
            ft_survival_list survival = {0};
            if (calibrated)
                ck_assert_ok(ft_calibration_new(&c, m, &rows, 0));
            ft_export_request r = {.model = m, .path = ft_test_path(dir, "x.gguf"), .mix = ft_mix_named(types[i]),
                                   .calibration = c, .survival = &survival};
            ck_assert_ok(ft_exporter_named("gguf")->write(&r));
            kl[calibrated] = divergence(m, &others, r.path);
            ck_assert_uint_eq(survival.n, 14);
            ck_assert(ft_survival_cosine(&survival.total) > 0.3);
            ft_survival_list_free(&survival);
            ft_calibration_free(c);
        }
        ck_assert_msg(kl[1] < 0.8 * kl[0], "%s: %g calibrated, %g not", types[i], kl[1], kl[0]);
    }
    ft_calibration *c;
    ft_feedback f;
    ck_assert_ok(ft_calibration_new(&c, m, &rows, 0));
    ck_assert_ok(ft_calibration_of(&f, c, ft_model_at(m, 0), &ft_q4_0)); /* the embedding */
    ck_assert_ptr_null(f.factor);
    ck_assert_ok(ft_calibration_of(&f, c, ft_model_find(m, "model.layers.1.mlp.down_proj.weight"), &ft_q8_0));
    ck_assert_ptr_null(f.factor);
    ck_assert_ok(ft_calibration_of(&f, c, ft_model_find(m, "model.layers.1.mlp.down_proj.weight"), &ft_q4_0));
    ck_assert_int_eq(f.n, 128);
    ft_calibration_free(c);
    ck_assert_fails(ft_calibration_new(&c, m, &(ft_rows){0}, 0), FT_EINPUT, "no rows to calibrate on");
    ft_calibration_free(c);
    free_rows(row, 40);
    free_rows(held_out, 20);
    ft_model_free(m);
}
END_TEST

int main(void)
{
    FT_TESTS("feedback", outputs_stay_closer_in_every_type, the_factor_is_that_of_the_moments,
             a_calibrated_file_is_closer_to_the_model);
}
