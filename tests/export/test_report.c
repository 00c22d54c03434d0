/* The final table and report.html: figures where they belong, hostile text harmless, damaged logs read as far as they go. */
#include "support/support.h"
#include "export/export.h"

static ft_report_column column(const char *title, double loss, double exact, double agreement, uint64_t bytes)
{
    return (ft_report_column){.title = title,
                              .scores = {.n = 2,
                                         .rows = 600,
                                         .metric = {ft_metric_named("exact_match"), ft_metric_named("loss")},
                                         .value = {exact, loss}},
                              .agreement = agreement,
                              .kl = NAN,
                              .bytes = bytes};
}

START_TEST(table_is_aligned_and_says_what_was_not_measured)
{
    ft_report_column c[] = {column("base", 2.34567, 0, NAN, 0), column("tuned", 0.2, 0.87, NAN, 0),
                            column("model-q8_0.gguf", 0.2004, 0.8683, 0.99876, 5600000)};
    ft_buf b = {0};
    ck_assert_ok(ft_report_table(&b, c, 3));
    ck_assert_str_eq(b.p, "                      base       tuned  model-q8_0.gguf\n"
                          "loss                2.3457      0.2000           0.2004\n"
                          "exact_match         0.0000      0.8700           0.8683\n"
                          "top1_agreement           -           -           0.9988\n"
                          "size                     -           -           5.6 MB\n"
                          "rows                   600         600              600\n");
    ft_buf_free(&b);
}
END_TEST

START_TEST(table_leaves_out_what_no_model_has)
{
    ft_report_column c[] = {column("base", 1, 0.5, NAN, 0)};
    ft_buf b = {0};
    ck_assert_ok(ft_report_table(&b, c, 1));
    ck_assert_ptr_null(strstr(b.p, "size"));
    ck_assert_ptr_null(strstr(b.p, "agreement"));
    ck_assert_ptr_null(strstr(b.p, "perplexity"));
    ft_buf_free(&b);
}
END_TEST

START_TEST(json_has_the_metrics_by_name)
{
    ft_report_column c[] = {column("say \"base\"", 1.25, 0.5, NAN, 0), column("m.gguf", 1.5, 0.25, 0.75, 1234)};
    json_t *j;
    ck_assert_ok(ft_report_json(&j, c, 2));
    ck_assert_uint_eq(json_array_size(j), 2);
    const json_t *o = json_array_get(j, 1);
    ck_assert_double_eq(json_real_value(json_object_get(o, "loss")), 1.5);
    ck_assert_double_eq(json_real_value(json_object_get(o, "top1_agreement")), 0.75);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "bytes")), 1234);
    o = json_array_get(j, 0);
    ck_assert_str_eq(json_string_value(json_object_get(o, "title")), "say \"base\"");
    ck_assert(json_is_null(json_object_get(o, "top1_agreement")));
    char *text = json_dumps(j, 0);
    json_t *again = json_loads(text, 0, NULL);
    ck_assert(json_equal(j, again));
    json_decref(again);
    free(text);
    json_decref(j);
}
END_TEST

/* A log as training writes it: `steps` steps, an evaluation every 20. */
static const char *make_log(const char *dir, int steps)
{
    const char *path = ft_test_path(dir, "log.jsonl");
    FILE *f = fopen(path, "w");
    for (int s = 1; s <= steps; s++) {
        fprintf(f, "{\"event\":\"step\",\"step\":%d,\"total_steps\":%d,\"epoch\":%.3f,\"elapsed_s\":%.1f,\"loss\":%.4f,"
                   "\"grad_norm\":1.1,\"learning_rate\":%g,\"tokens_per_s\":%.1f,\"supervised_share\":0.38,\"tokens\":%d}\n",
                s, steps, s / 100.0, s * 0.4, 0.1 + 2.2 * exp(-s / 40.0) + 0.08 * sin(s * 1.7), 2e-3 * (1 - s / (double)steps),
                1350 + 60 * sin(s * 0.9), s * 512);
        if (s % 20 == 0)
            fprintf(f, "{\"event\":\"eval\",\"step\":%d,\"epoch\":%.3f,\"loss\":%.4f,\"exact_match\":0.5,\"best\":%s}\n", s,
                    s / 100.0, 0.2 + 2.0 * exp(-s / 40.0), s == 80 ? "true" : "false");
    }
    fclose(f);
    return path;
}

static char *write_and_read(const char *dir, const char *log, const char *title, const char *recipe,
                            const ft_report_column *c, size_t n, const ft_report_sample *s, size_t n_s)
{
    const char *path = ft_test_path(dir, "report.html");
    ft_buf b = {0};
    ck_assert_ok(ft_report_write(path, title, log, recipe, c, n, s, n_s, NULL));
    ck_assert_ok(ft_read_file(&b, path, 1 << 20));
    return b.p;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

START_TEST(report_shows_table_curves_samples_and_recipe)
{
    const char *dir = ft_test_dir(), *log = make_log(dir, 100);
    ft_report_column c[] = {column("base", 2.3, 0, NAN, 0), column("tuned", 0.2, 0.87, NAN, 0)};
    ft_report_sample s[] = {{"WO: pump leaks", "leak", "the the", " leak\n"}, {"WO: x", "y", NULL, "z"}};
    char *page = write_and_read(dir, log, "defects", "seed: 42\n", c, 2, s, 2);
    ck_assert_uint_eq(count(page, "<svg"), 3);
    ck_assert_uint_eq(count(page, "<circle"), 5);
    ck_assert_ptr_nonnull(strstr(page, "100 steps, 0.0512 million tokens, 40s of training, best evaluation at step 80"));
    ck_assert_ptr_nonnull(strstr(page, "<td class=\"best\">0.8700</td>"));
    ck_assert_ptr_nonnull(strstr(page, "<td class=\"no\">the the</td><td class=\"yes\"> leak\n</td>"));
    ck_assert_ptr_nonnull(strstr(page, "<td></td><td class=\"no\">z</td>"));
    ck_assert_ptr_nonnull(strstr(page, "<pre>seed: 42\n</pre>"));
    ck_assert_ptr_null(strstr(page, "nan"));
    ck_assert_ptr_null(strstr(page, "http"));
    ft_free(page);
}
END_TEST

/* Ten rows of confidence 0.95, eight right, and two of 0.45, one right; before, all twelve at 0.99. */
START_TEST(reliability_is_drawn_and_told)
{
    const char *dir = ft_test_dir(), *path = ft_test_path(dir, "report.html");
    ft_reliability before = {0}, after = {0};
    ft_buf b = {0};
    for (int i = 0; i < 12; i++) {
        bool right = i < 8 || i == 11;
        ft_reliability_add(&before, 0.99, right);
        ft_reliability_add(&after, i < 10 ? 0.95 : 0.45, right);
    }
    ft_report_labels l = {.before = &before, .after = &after, .temperature = 2.5, .threshold = 0.9, .coverage = 10 / 12.0,
                          .answered_accuracy = 0.8, .fitted_on = "val", .fitted_rows = 200};
    ck_assert_ok(ft_report_write(path, "t", NULL, NULL, NULL, 0, NULL, 0, &l));
    ck_assert_ok(ft_read_file(&b, path, 1 << 20));
    ck_assert_ptr_nonnull(strstr(b.p, "Expected calibration error 0.133, 0.240 before a temperature of 2.5 was fitted on 200 rows of "
                                      "val. From a confidence of 0.9 on there is an answer: for 0.833 of the rows, 0.800 of them "
                                      "right."));
    ck_assert_uint_eq(count(b.p, "<rect"), 2);
    ck_assert_uint_eq(count(b.p, "<circle"), 1);
    ck_assert_ptr_nonnull(strstr(b.p, "10 rows of confidence 0.95, 0.80 of them right"));
    b.n = 0;
    l.threshold = INFINITY;
    l.answered_accuracy = NAN;
    ck_assert_ok(ft_report_write(path, "t", NULL, NULL, NULL, 0, NULL, 0, &l));
    ck_assert_ok(ft_read_file(&b, path, 1 << 20));
    ck_assert_ptr_nonnull(strstr(b.p, "Nothing is answered"));
    ck_assert_ptr_null(strstr(b.p, "nan"));
    ft_buf_free(&b);
}
END_TEST

/* Two matrices of one update: half of it, and all of it. */
START_TEST(survival_is_in_table_json_and_page)
{
    ft_survival_row rows[] = {{.name = "whole", .dtype = &ft_q8_0, .survival = {4, 4, 4}},
                              {.name = "<half>", .dtype = &ft_q4_0, .survival = {3, 9, 4}}};
    ft_report_column c[] = {column("tuned", 0.2, 0.87, 1, 0), column("m.gguf", 0.2, 0.87, 0.9, 5600)};
    ft_buf b = {0};
    json_t *j;
    c[1].kl = 0.0123;
    c[1].rejected = "kl 0.0123, expected at most 0.01";
    c[1].survival = (ft_survival_list){.p = rows, .n = 2, .total = {7, 13, 8}};
    ck_assert_ok(ft_report_table(&b, c, 2));
    ck_assert_msg(strstr(b.p, "survival                 -      0.6864\n") != NULL, "%s", b.p);
    ck_assert_ok(ft_report_json(&j, c, 2));
    ck_assert_msg(strstr(b.p, "kl                       -      0.0123\n") != NULL, "%s", b.p);
    ck_assert(json_is_null(json_object_get(json_array_get(j, 0), "survival")));
    ck_assert(json_is_null(json_object_get(json_array_get(j, 0), "kl")));
    ck_assert(json_is_null(json_object_get(json_array_get(j, 0), "rejected")));
    ck_assert_double_eq(json_real_value(json_object_get(json_array_get(j, 1), "kl")), 0.0123);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(j, 1), "rejected")), c[1].rejected);
    const json_t *s = json_object_get(json_array_get(j, 1), "survival");
    ck_assert_double_eq_tol(json_real_value(json_object_get(s, "cosine")), 7 / sqrt(13.0 * 8), 1e-12);
    const json_t *worst = json_array_get(json_object_get(s, "tensors"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(worst, "name")), "<half>");
    ck_assert_double_eq_tol(json_real_value(json_object_get(worst, "cosine")), 0.5, 1e-12);
    ck_assert_double_eq_tol(json_real_value(json_object_get(worst, "norm")), 1.5, 1e-12);
    char *page = write_and_read(ft_test_dir(), NULL, "t", NULL, c, 2, NULL, 0);
    ck_assert_ptr_nonnull(strstr(page, "Survival of the update in m.gguf"));
    ck_assert_ptr_nonnull(strstr(page, "m.gguf did not pass its gate: kl 0.0123, expected at most 0.01"));
    ck_assert_ptr_nonnull(strstr(page, "&lt;half&gt;</th><td>q4_0</td><td>0.5000</td><td>1.5000</td>"));
    ft_free(page);
    json_decref(j);
    ft_buf_free(&b);
}
END_TEST

START_TEST(report_keeps_hostile_text_harmless)
{
    const char *dir = ft_test_dir();
    const char *evil = "</pre><script>alert(\"x\")</script>&'\x01\xff";
    ft_report_column c[] = {column(evil, 2.3, 0, NAN, 0), column(evil, 0.2, 0.87, NAN, 0)};
    ft_report_sample s[] = {{evil, evil, evil, evil}};
    char *page = write_and_read(dir, NULL, evil, evil, c, 2, s, 1);
    ck_assert_ptr_null(strstr(page, "<script"));
    ck_assert_uint_eq(count(page, "</pre>"), 1);
    ck_assert_uint_ge(count(page, "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;&#39;\xef\xbf\xbd\xef\xbf\xbd"), 8);
    ft_free(page);
}
END_TEST

START_TEST(report_reads_a_log_with_a_cut_line_and_gaps)
{
    const char *dir = ft_test_dir(), *path = ft_test_path(dir, "log.jsonl");
    const char *text = "{\"event\":\"step\",\"step\":1,\"loss\":2.0}\n"
                       "not json\n[1]\n{\"event\":\"step\",\"step\":-4,\"loss\":1}\n{\"event\":\"step\",\"loss\":1}\n"
                       "{\"event\":\"step\",\"step\":2,\"loss\":null}\n"
                       "{\"event\":\"step\",\"step\":3,\"loss\":1.0}\n{\"event\":\"step\",\"step\":4,\"lo";
    ck_assert_ok(ft_write_file(path, text, strlen(text)));
    char *page = write_and_read(dir, path, "t", NULL, NULL, 0, NULL, 0);
    ck_assert_uint_eq(count(page, "<svg"), 1);
    ck_assert_ptr_nonnull(strstr(page, "3 steps"));
    ck_assert_ptr_null(strstr(page, "nan"));
    ft_free(page);
}
END_TEST

START_TEST(report_draws_constant_and_long_curves)
{
    const char *dir = ft_test_dir(), *path = ft_test_path(dir, "log.jsonl");
    FILE *f = fopen(path, "w");
    for (int s = 1; s <= 5000; s++)
        fprintf(f, "{\"event\":\"step\",\"step\":%d,\"loss\":%g,\"learning_rate\":0.001,\"tokens_per_s\":0}\n", s, 1.0 / s);
    fclose(f);
    char *page = write_and_read(dir, path, "t", NULL, NULL, 0, NULL, 0);
    ck_assert_uint_eq(count(page, "<svg"), 3);
    ck_assert_ptr_null(strstr(page, "nan"));
    ck_assert_ptr_null(strstr(page, "inf"));
    ck_assert_uint_lt(strlen(page), 60000);
    ft_free(page);
}
END_TEST

START_TEST(report_that_cannot_be_written_leaves_the_old_one)
{
    const char *dir = ft_test_dir(), *path = ft_test_path(dir, "report.html");
    ck_assert_ok(ft_write_file(path, "old", 3));
    ft_write_fail_at(1);
    ck_assert_fails(ft_report_write(path, "t", NULL, NULL, NULL, 0, NULL, 0, NULL), FT_EIO, "report.html");
    ft_write_fail_at(0);
    ft_buf b = {0};
    ck_assert_ok(ft_read_file(&b, path, 100));
    ck_assert_str_eq(b.p, "old");
    ft_buf_free(&b);
}
END_TEST

int main(void)
{
    FT_TESTS("report", table_is_aligned_and_says_what_was_not_measured, table_leaves_out_what_no_model_has,
             json_has_the_metrics_by_name, report_shows_table_curves_samples_and_recipe, report_keeps_hostile_text_harmless,
             report_reads_a_log_with_a_cut_line_and_gaps, report_draws_constant_and_long_curves, reliability_is_drawn_and_told, survival_is_in_table_json_and_page,
             report_that_cannot_be_written_leaves_the_old_one);
}
