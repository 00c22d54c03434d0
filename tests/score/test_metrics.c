/* Every text metric against values worked out by hand; the figures of macro F1 are derived in the comments. */
#include "support/support.h"
#include "score/score.h"

static ft_scored_text row(const char *expected, const char *got, bool stopped)
{
    return (ft_scored_text){.expected = ft_str_of(expected), .got = ft_str_of(got), .stopped = stopped};
}

static double of(const char *metric, const ft_scored_text *rows, size_t n)
{
    const ft_metric *m = ft_metric_named(metric);
    ck_assert_ptr_nonnull(m);
    ck_assert_int_eq(m->source, FT_METRIC_TEXT);
    return m->of_text(rows, n);
}

START_TEST(every_metric_is_complete_and_found_by_name)
{
    for (size_t i = 0; ft_metrics[i]; i++) {
        const ft_metric *m = ft_metrics[i];
        ck_assert_ptr_eq(ft_metric_named(m->name), m);
        ck_assert(m->help && *m->help);
        ck_assert((m->of_loss != NULL) == (m->source == FT_METRIC_LOSS));
        ck_assert((m->of_text != NULL) == (m->source == FT_METRIC_TEXT));
        ck_assert((m->of_vectors != NULL) == (m->source == FT_METRIC_VECTORS));
    }
    ck_assert_ptr_null(ft_metric_named("bleu"));
}
END_TEST

START_TEST(loss_metrics_divide_by_supervised_tokens)
{
    ft_loss sum = {.sum = 6, .count = 4, .correct = 3};
    ck_assert_double_eq(ft_metric_named("loss")->of_loss(&sum), 1.5);
    ck_assert_double_eq_tol(ft_metric_named("perplexity")->of_loss(&sum), 4.4816890703380645, 1e-12);
    ck_assert_double_eq(ft_metric_named("token_accuracy")->of_loss(&sum), 0.75);
}
END_TEST

START_TEST(exact_match_ignores_white_space_at_the_ends_only)
{
    ft_scored_text rows[] = {row("pump", " pump\n", true), row("a  b", "a b", true), row("x", "X", false), row("", "", true),
                             row("pump", "\u00a0pump\u3000\n", true)};
    ck_assert_double_eq(of("exact_match", rows, 5), 0.6);
    ck_assert_double_eq(of("stop", rows, 5), 0.8);
    ck_assert(isnan(of("exact_match", rows, 0)));
}
END_TEST

START_TEST(accuracy_compares_the_first_line)
{
    ft_scored_text rows[] = {row("leak", "leak\nleak again", true), row("leak", "\n leak", true), row("leak", "leaking", true)};
    ck_assert_double_eq_tol(of("accuracy", rows, 3), 2.0 / 3, 1e-15);
    ck_assert_double_eq(of("exact_match", rows, 3), 1.0 / 3);
}
END_TEST

START_TEST(macro_f1_is_the_mean_over_expected_classes)
{
    /* a: tp 2, fp 1 (the b row), fn 1 (the nonsense) -> 4 / 6; b: tp 1, fp 0, fn 1 -> 2 / 3; c: tp 0, fn 1 -> 0 */
    ft_scored_text rows[] = {row("a", "a", true), row("a", " a", true), row("a", "nonsense", true),
                             row("b", "b", true), row("b", "a", true),  row("c", "none of it", true)};
    ck_assert_double_eq_tol(of("macro_f1", rows, 6), (4.0 / 6 + 2.0 / 3 + 0) / 3, 1e-15);
    ck_assert_double_eq(of("macro_f1", rows, 2), 1);
}
END_TEST

START_TEST(json_fields_counts_equal_members_of_the_expected_object)
{
    ft_scored_text rows[] = {
        row("{\"a\": 1, \"b\": \"x\"}", "{\"b\": \"x\", \"a\": 1.0, \"more\": null}", true), /* 2 of 2 */
        row("{\"a\": 1, \"b\": \"x\"}", "{\"a\": 1}", true),                                 /* 1 of 2 */
        row("{\"a\": 1, \"b\": \"x\"}", "{\"a\": 1, \"b\": \"x\"} and so on", true),         /* 0 of 2 */
        row("{\"a\": {\"c\": [1, 2]}}", "{\"a\": {\"c\": [2, 1]}}", true),                   /* 0 of 1 */
        row("[1, 2]", "[1,2]", true),                                                       /* 1 of 1 */
        row("plain", "plain", true),                                                        /* 1 of 1 */
    };
    ck_assert_double_eq_tol(of("json_fields", rows, 6), 5.0 / 9, 1e-15);
    ck_assert_double_eq_tol(of("json_valid", rows, 6), 4.0 / 6, 1e-15);
}
END_TEST

START_TEST(json_with_a_key_named_twice_is_not_valid)
{
    ft_scored_text rows[] = {row("{\"a\": 1}", "{\"a\": 2, \"a\": 1}", true)};
    ck_assert_double_eq(of("json_fields", rows, 1), 0);
    ck_assert_double_eq(of("json_valid", rows, 1), 0);
}
END_TEST

START_TEST(a_metric_without_memory_is_not_a_number)
{
    ft_scored_text rows[] = {row("a", "a", true), row("b", "b", true)};
    long made;
    ft_alloc_fail_at(0);
    of("macro_f1", rows, 2);
    made = ft_alloc_fail_at(0);
    ck_assert_int_gt(made, 1);
    for (long n = 1; n <= made; n++) {
        ft_alloc_fail_at(n);
        ck_assert(isnan(of("macro_f1", rows, 2)));
    }
    ft_alloc_fail_at(0);
    ck_assert_double_eq(of("macro_f1", rows, 2), 1);
}
END_TEST

START_TEST(agreement_is_the_share_of_equal_choices)
{
    int32_t a[] = {1, 2, 3, 4}, b[] = {1, 2, 4, 4};
    ck_assert_double_eq(ft_top1_agreement(a, b, 4), 0.75);
    ck_assert(isnan(ft_top1_agreement(a, b, 0)));
}
END_TEST

START_TEST(scores_are_found_by_metric_name)
{
    ft_scores s = {.n = 1, .metric = {ft_metric_named("loss")}, .value = {1.25}};
    ck_assert_double_eq(ft_scores_get(&s, "loss", -1), 1.25);
    ck_assert_double_eq(ft_scores_get(&s, "exact_match", -1), -1);
}
END_TEST

static double of_vectors(const char *metric, const ft_scored_vectors *v)
{
    return ft_metric_named(metric)->of_vectors(v);
}

START_TEST(recall_and_mrr_count_ranks)
{
    const int64_t rank[] = {1, 2, 5, 10, 11, 1};
    ft_scored_vectors v = {.n = 6, .rank = rank};
    ck_assert_double_eq_tol(of_vectors("recall@1", &v), 2.0 / 6, 1e-15);
    ck_assert_double_eq_tol(of_vectors("recall@5", &v), 4.0 / 6, 1e-15);
    ck_assert_double_eq_tol(of_vectors("recall@10", &v), 5.0 / 6, 1e-15);
    ck_assert_double_eq_tol(of_vectors("mrr", &v), (1 + 0.5 + 0.2 + 0.1 + 1.0 / 11 + 1) / 6, 1e-15);
}
END_TEST

START_TEST(spearman_is_the_correlation_of_ranks)
{
    /* ranks [1.0, 4.0, 2.5, 2.5, 0.0] and [0.0, 4.0, 3.0, 1.5, 1.5]: their products less the mean come to 7.25, their squares to 9.5 and 9.5 */
    const double cosine[] = {0.1, 0.9, 0.3, 0.3, -0.2}, score[] = {0, 1, 0.5, 0.2, 0.2};
    const double up[] = {1, 2, 3, 4, 5}, down[] = {50, 40, 3, 2, -1};
    ck_assert_double_eq_tol(of_vectors("spearman", &(ft_scored_vectors){.n = 5, .cosine = cosine, .score = score}), 0.763157894737, 1e-9);
    ck_assert_double_eq_tol(of_vectors("spearman", &(ft_scored_vectors){.n = 5, .cosine = up, .score = down}), -1, 1e-12);
}
END_TEST

int main(void)
{
    FT_TESTS("metrics", every_metric_is_complete_and_found_by_name, loss_metrics_divide_by_supervised_tokens,
             exact_match_ignores_white_space_at_the_ends_only, accuracy_compares_the_first_line,
             macro_f1_is_the_mean_over_expected_classes, json_fields_counts_equal_members_of_the_expected_object,
             json_with_a_key_named_twice_is_not_valid, a_metric_without_memory_is_not_a_number,
             agreement_is_the_share_of_equal_choices,
             recall_and_mrr_count_ranks, spearman_is_the_correlation_of_ranks, scores_are_found_by_metric_name);
}
