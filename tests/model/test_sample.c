/* Sampling: which ids survive, and that what survives is drawn by its probability. */
#include "model/fixture.h"

enum { V = 6 };
/* log of 0.4, 0.3, 0.1, 0.1, 0.06, 0.04, in another order, and unnormalised by 2 */
static const double p[V] = {0.1, 0.4, 0.06, 0.3, 0.04, 0.1};

static void logits(float *x)
{
    for (int i = 0; i < V; i++)
        x[i] = (float)log(p[i]) + 2;
}

static int32_t sample(ft_sampling s, uint64_t token)
{
    float x[V];
    logits(x);
    return ft_sample(x, V, &s, token, 0);
}

/* Share of each id in many draws. */
static void shares(ft_sampling s, double share[V])
{
    enum { DRAWS = 20000 };
    memset(share, 0, V * sizeof *share);
    for (uint64_t i = 0; i < DRAWS; i++)
        share[sample(s, i)] += 1.0 / DRAWS;
}

static void expect(ft_sampling s, const double want[V])
{
    double got[V];
    shares(s, got);
    for (int i = 0; i < V; i++) {
        if (want[i] == 0)
            ck_assert_double_eq(got[i], 0);
        ck_assert_double_eq_tol(got[i], want[i], 0.012); /* three standard deviations */
    }
}

START_TEST(temperature_zero_is_the_largest)
{
    ck_assert_int_eq(sample((ft_sampling){.top_p = 1}, 0), 1);
    float tie[4] = {1, 3, 3, 2};
    ck_assert_int_eq(ft_sample(tie, 4, &(ft_sampling){.top_p = 1}, 0, 0), 1);
}
END_TEST

START_TEST(temperature_one_draws_by_probability)
{
    expect((ft_sampling){.temperature = 1, .top_p = 1}, p);
}
END_TEST

START_TEST(temperature_sharpens)
{
    double squared[V], sum = 0;
    for (int i = 0; i < V; i++)
        sum += p[i] * p[i];
    for (int i = 0; i < V; i++)
        squared[i] = p[i] * p[i] / sum;
    expect((ft_sampling){.temperature = 0.5f, .top_p = 1}, squared);
}
END_TEST

START_TEST(top_k_keeps_k_and_of_equals_the_first)
{
    expect((ft_sampling){.temperature = 1, .top_p = 1, .top_k = 2}, (double[V]){0, 0.4 / 0.7, 0, 0.3 / 0.7, 0, 0});
    expect((ft_sampling){.temperature = 1, .top_p = 1, .top_k = 3},
           (double[V]){0.1 / 0.8, 0.4 / 0.8, 0, 0.3 / 0.8, 0, 0});
    expect((ft_sampling){.temperature = 1, .top_p = 1, .top_k = 1}, (double[V]){0, 1, 0, 0, 0, 0});
    expect((ft_sampling){.temperature = 1, .top_p = 1, .top_k = 99}, p);
}
END_TEST

START_TEST(top_p_keeps_the_smallest_set_that_reaches_it)
{
    expect((ft_sampling){.temperature = 1, .top_p = 0.39f}, (double[V]){0, 1, 0, 0, 0, 0});
    expect((ft_sampling){.temperature = 1, .top_p = 0.5f}, (double[V]){0, 0.4 / 0.7, 0, 0.3 / 0.7, 0, 0});
    expect((ft_sampling){.temperature = 1, .top_p = 0.75f}, (double[V]){0.1 / 0.8, 0.4 / 0.8, 0, 0.3 / 0.8, 0, 0});
    expect((ft_sampling){.temperature = 1, .top_p = 0.95f},
           (double[V]){0.1 / 0.96, 0.4 / 0.96, 0.06 / 0.96, 0.3 / 0.96, 0, 0.1 / 0.96});
    expect((ft_sampling){.temperature = 1, .top_p = 0}, (double[V]){0, 1, 0, 0, 0, 0});
}
END_TEST

START_TEST(min_p_keeps_what_is_near_the_largest)
{
    expect((ft_sampling){.temperature = 1, .top_p = 1, .min_p = 0.5f}, (double[V]){0, 0.4 / 0.7, 0, 0.3 / 0.7, 0, 0});
    expect((ft_sampling){.temperature = 1, .top_p = 1, .min_p = 1}, (double[V]){0, 1, 0, 0, 0, 0});
}
END_TEST

/* top_p sees what top_k left: 0.4 / 0.7 reaches 0.55 alone. */
START_TEST(top_k_comes_before_top_p_and_temperature_last)
{
    expect((ft_sampling){.temperature = 1, .top_k = 2, .top_p = 0.55f}, (double[V]){0, 1, 0, 0, 0, 0});
    expect((ft_sampling){.temperature = 50, .top_p = 0.65f}, (double[V]){0, 0.5, 0, 0.5, 0, 0});
}
END_TEST

START_TEST(draws_are_keyed_by_seed_token_and_row)
{
    int differ = 0;
    for (uint64_t i = 0; i < 64; i++) {
        float a[V], b[V], c[V], d[V];
        logits(a), logits(b), logits(c), logits(d);
        ft_sampling s = {.temperature = 1, .top_p = 1, .seed = 5}, other = {.temperature = 1, .top_p = 1, .seed = 6};
        int32_t x = ft_sample(a, V, &s, i, 3);
        ck_assert_int_eq(ft_sample(b, V, &s, i, 3), x);
        differ += ft_sample(c, V, &s, i, 4) != x;
        differ += ft_sample(d, V, &other, i, 3) != x;
    }
    ck_assert_int_gt(differ, 40);
}
END_TEST

int main(void)
{
    FT_TESTS("sample", temperature_zero_is_the_largest, temperature_one_draws_by_probability, temperature_sharpens,
             top_k_keeps_k_and_of_equals_the_first, top_p_keeps_the_smallest_set_that_reaches_it,
             min_p_keeps_what_is_near_the_largest, top_k_comes_before_top_p_and_temperature_last,
             draws_are_keyed_by_seed_token_and_row);
}
