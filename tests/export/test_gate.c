/* The gate: which side of a bound is the good one, for figures of the file and for changes against the tuned model. */
#include "support/support.h"
#include "export/export.h"

static ft_report_column tuned(void)
{
    return (ft_report_column){.title = "tuned",
                              .agreement = 1,
                              .generated = true,
                              .scores = {.n = 4,
                                         .metric = {ft_metric_named("loss"), ft_metric_named("perplexity"),
                                                    ft_metric_named("exact_match"), ft_metric_named("stop")},
                                         .value = {0.5, 1.65, 0.9, 0.95}}};
}

/* A little worse than the tuned one in everything. */
static ft_report_column file(void)
{
    static ft_survival_row row = {.survival = {3, 4, 4}};
    ft_report_column c = tuned();
    c.kl = 0.03;
    c.agreement = 0.98;
    c.survival = (ft_survival_list){.p = &row, .n = 1, .total = row.survival}; /* cosine 0.75 */
    c.scores.value[0] = 0.52;
    c.scores.value[1] = 1.68;
    c.scores.value[2] = 0.88;
    c.scores.value[3] = 0.94;
    return c;
}

static const char *missed(const char *limit, const ft_report_column *f)
{
    static char text[512];
    ft_export_gate g = {0};
    ft_report_column t = tuned();
    ft_buf why = {0};
    ck_assert_ok(ft_export_gate_put(&g, limit));
    ck_assert_ok(ft_export_gate_check(&g, &t, f, &why));
    snprintf(text, sizeof text, "%s", why.n ? why.p : "");
    ft_buf_free(&why);
    return text;
}

START_TEST(each_limit_has_its_good_side)
{
    static const struct {
        const char *passes, *misses, *said;
    } cases[] = {
        {"kl=0.03", "kl=0.029", "kl 0.03, expected at most 0.029"},
        {"top1_agreement=0.98", "top1_agreement=0.99", "top1_agreement 0.98, expected at least 0.99"},
        {"survival=0.75", "survival=0.76", "survival 0.75, expected at least 0.76"},
        {"stop=0.94", "stop=0.95", "stop 0.94, expected at least 0.95"},
        {"exact_match=-0.03", "exact_match=-0.01", "exact_match -0.02, expected at least -0.01"},
        {"loss=0.03", "loss=0.01", "loss 0.02, expected at most 0.01"},
        {"perplexity=0.04", "perplexity=0", "perplexity 0.03, expected at most 0"},
    };
    const ft_report_column f = file();
    for (size_t i = 0; i < FT_COUNT(cases); i++) {
        ck_assert_str_eq(missed(cases[i].passes, &f), "");
        ck_assert_str_eq(missed(cases[i].misses, &f), cases[i].said);
    }
}
END_TEST

START_TEST(what_was_not_measured_does_not_pass)
{
    ft_report_column f = file();
    f.kl = f.agreement = NAN;
    f.survival.n = 0;
    ck_assert_str_eq(missed("kl=100", &f), "kl was not measured");
    ck_assert_str_eq(missed("top1_agreement=0", &f), "top1_agreement was not measured");
    ck_assert_str_eq(missed("survival=0", &f), "survival was not measured");
    ck_assert_str_eq(missed("macro_f1=-1", &f), "macro_f1 was not measured");
    f.generated = false; /* still to come */
    ck_assert_str_eq(missed("macro_f1=-1", &f), "");
}
END_TEST

START_TEST(all_misses_are_told_at_once)
{
    ft_export_gate g = {0};
    ft_report_column t = tuned(), f = file();
    ft_buf why = {0};
    ck_assert_ok(ft_export_gate_put(&g, "kl=0.01"));
    ck_assert_ok(ft_export_gate_put(&g, "loss=1"));
    ck_assert_ok(ft_export_gate_put(&g, "stop=1.0"));
    ck_assert_ok(ft_export_gate_check(&g, &t, &f, &why));
    ck_assert_str_eq(why.p, "kl 0.03, expected at most 0.01; stop 0.94, expected at least 1");
    ck_assert(ft_export_gate_wants(&g, ft_metric_named("loss")) && !ft_export_gate_wants(&g, ft_metric_named("accuracy")));
    ck_assert(ft_export_gate_generates(&g));
    ft_buf_free(&why);
    ck_assert_fails(ft_export_gate_put(&g, "kl=1"), FT_EINPUT, "kl is given twice");
    ck_assert_fails(ft_export_gate_put(&g, "kl"), FT_EINPUT, "expected a name and a number");
    ck_assert_fails(ft_export_gate_put(&g, "kl=nan"), FT_EINPUT, "expected a name and a number");
    ck_assert_fails(ft_export_gate_put(&g, "=1"), FT_EINPUT, "nothing is measured");
}
END_TEST

int main(void)
{
    FT_TESTS("gate", each_limit_has_its_good_side, what_was_not_measured_does_not_pass, all_misses_are_told_at_once);
}
