/* Confidences against numbers of confidence.py, which takes a grid where the code takes a slope. */
#include "support/support.h"
#include "score/confidence.h"

enum { ROWS = 12, LABELS = 3 };
static const double scores[ROWS * LABELS] = {
    1.76,  -6.86, -4.87, -3.37, -8.16, -4.99, -5.0,  -12.02, -0.93, -2.6,   -7.5,  -5.69, -2.98, -6.05,  -5.97, -10.81, -2.78, -4.5,
    -3.9,  -11.11, 1.6,  -4.38, -6.55, 3.12,  -5.18, -10.8,  -6.62, -14.15, -0.8,  -6.67, -7.97, -0.71, -11.6, -2.86,  -13.26, -7.65};
static const int64_t expected[ROWS] = {0, 1, 2, 0, 1, 1, 2, 0, 0, -1, 1, 0};
static const ft_label_scores rows = {.scores = scores, .expected = expected, .n = ROWS, .labels = LABELS};

START_TEST(the_temperature_is_that_of_the_smallest_loss)
{
    double t, bias[LABELS];
    bool helps;
    ck_assert_ok(ft_confidence_fit(&t, &rows, NULL));
    ck_assert_double_eq_tol(t, 4.344524, 1e-4);
    ck_assert_ok(ft_confidence_fit_bias(bias, &helps, &rows));
    ck_assert_double_eq_tol(bias[0], -0.081470563, 1e-8);
    ck_assert_double_eq_tol(bias[1], 0.542427066, 1e-8);
    ck_assert_double_eq_tol(bias[2], -0.423967177, 1e-8);
    ck_assert_ok(ft_confidence_fit(&t, &rows, bias));
    ck_assert_double_eq_tol(t, 3.888705, 1e-4);
}
END_TEST

START_TEST(rows_that_are_all_right_ask_for_no_certainty)
{
    static const double sure[] = {0, -5, 0, -4, -6, 0};
    static const int64_t right[] = {0, 0, 1}, unknown[] = {-1, -1, -1};
    ft_label_scores s = {.scores = sure, .expected = right, .n = 3, .labels = 2};
    double t;
    ck_assert_ok(ft_confidence_fit(&t, &s, NULL));
    ck_assert_double_gt(t, 1);
    ft_choice c = ft_confidence_choose(&(ft_confidence){.temperature = t}, sure, 2);
    ck_assert_int_eq(c.label, 0);
    ck_assert_double_gt(c.confidence, 0.8);
    ck_assert_double_lt(c.confidence, 0.95); /* seven of eight, by the rule for three rows */
    s.expected = unknown;
    ck_assert_fails(ft_confidence_fit(&t, &s, NULL), FT_EINPUT, "no row to fit");
}
END_TEST

START_TEST(a_bias_helps_where_a_label_is_always_overrated)
{
    enum { N = 40 };
    double z[N * 2], bias[2];
    int64_t y[N];
    bool helps;
    uint64_t seed = 1;
    for (size_t i = 0; i < N; i++) { /* label 0 stands 3 nats too high, rows are right without it */
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        double x = (double)(seed >> 40) / (1 << 24) * 8 - 4;
        y[i] = x > 0;
        z[i * 2] = 3;
        z[i * 2 + 1] = x;
    }
    ft_label_scores s = {.scores = z, .expected = y, .n = N, .labels = 2};
    ck_assert_ok(ft_confidence_fit_bias(bias, &helps, &s));
    ck_assert(helps);
    ck_assert_double_gt(bias[1] - bias[0], 0.5);
    for (size_t i = 0; i < N; i++) /* as it should be, with two labels in truth as rare as the model finds them */
        z[i * 2] = 0;
    ck_assert_ok(ft_confidence_fit_bias(bias, &helps, &s));
    ck_assert_double_lt(fabs(bias[1] - bias[0]), 0.5);
}
END_TEST

START_TEST(the_threshold_is_the_smallest_that_keeps_the_precision)
{
    ft_confidence c = {.temperature = 2};
    double threshold;
    /* by falling confidence: right, wrong, right, wrong, four right ones, wrong, right, wrong, right */
    ck_assert_ok(ft_confidence_threshold(&threshold, &rows, &c, 0.7));
    ck_assert_double_eq_tol(threshold, 0.6938637976, 1e-9); /* 7 of 10 */
    ck_assert_ok(ft_confidence_threshold(&threshold, &rows, &c, 0.71));
    ck_assert_double_eq_tol(threshold, 0.7694642971, 1e-9); /* 6 of 8 */
    ck_assert_ok(ft_confidence_threshold(&threshold, &rows, &c, 1));
    ck_assert_double_eq_tol(threshold, 0.9700882745, 1e-9);
    ck_assert_ok(ft_confidence_threshold(&threshold, &rows, &c, 0));
    ck_assert_double_eq_tol(threshold, 0.6464302755, 1e-9);
    static const int64_t wrong[ROWS] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    ft_label_scores none = rows;
    none.expected = wrong;
    ck_assert_ok(ft_confidence_threshold(&threshold, &none, &c, 0.5));
    ck_assert(isinf(threshold));
}
END_TEST

START_TEST(equal_confidences_are_answered_together)
{
    static const double z[] = {0, -1, 0, -1, 0, -1};
    static const int64_t y[] = {0, 1, 0};
    ft_label_scores s = {.scores = z, .expected = y, .n = 3, .labels = 2};
    double threshold;
    ck_assert_ok(ft_confidence_threshold(&threshold, &s, &(ft_confidence){.temperature = 1}, 0.9));
    ck_assert(isinf(threshold));
    ck_assert_ok(ft_confidence_threshold(&threshold, &s, &(ft_confidence){.temperature = 1}, 2.0 / 3));
    ck_assert_double_eq_tol(threshold, 1 / (1 + exp(-1)), 1e-12);
}
END_TEST

START_TEST(ece_is_the_gap_of_each_bin)
{
    ft_confidence c = {.temperature = 2};
    ft_reliability r = {0};
    ck_assert(isnan(ft_reliability_ece(&r)));
    for (size_t i = 0; i < ROWS; i++) {
        ft_choice at = ft_confidence_choose(&c, scores + i * LABELS, LABELS);
        ft_reliability_add(&r, at.confidence, at.label == expected[i]);
    }
    ck_assert_double_eq_tol(ft_reliability_ece(&r), 0.22715601541983058, 1e-12);
    ck_assert_int_eq(r.rows, ROWS);
    ck_assert_int_eq(r.bin[9].rows, 6);
    ck_assert_int_eq(r.bin[9].right, 4);
    ft_reliability_add(&r, 1, true); /* certainty belongs into the last bin */
    ck_assert_int_eq(r.bin[9].rows, 7);
}
END_TEST

int main(void)
{
    FT_TESTS("confidence", the_temperature_is_that_of_the_smallest_loss, rows_that_are_all_right_ask_for_no_certainty,
             a_bias_helps_where_a_label_is_always_overrated, the_threshold_is_the_smallest_that_keeps_the_precision,
             equal_confidences_are_answered_together, ece_is_the_gap_of_each_bin);
}
