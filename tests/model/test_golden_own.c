/* The goldens of tests/golden, which every clone has: what an independent f64 implementation (make_golden.py there) says of
 * tiny models. Logits, the loss, and for every weight the slope of the loss along it: the sum over W * dLoss/dW. */
#include "model/fixture.h"

#include "kernel/kernel.h"

enum { MAX_T = 64 };

typedef struct expected {
    json_t *json;
    int64_t T;
    int32_t ids[MAX_T], targets[MAX_T];
} expected;

static const char *const cases[] = {"llama-tied", "llama3-rope"};

static const char *case_dir(size_t i)
{
    char path[64];
    snprintf(path, sizeof path, "tests/golden/%s", cases[i]);
    return ft_test_source(path);
}

static expected read_expected(size_t i)
{
    expected e = {0};
    ck_assert_ok(ft_json_file(&e.json, ft_test_path(case_dir(i), "expected.json"), 1 << 20));
    const json_t *ids = json_object_get(e.json, "ids"), *targets = json_object_get(e.json, "targets");
    e.T = (int64_t)json_array_size(ids);
    ck_assert_int_gt(e.T, 0);
    ck_assert_int_le(e.T, MAX_T);
    for (int64_t k = 0; k < e.T; k++) {
        e.ids[k] = (int32_t)json_integer_value(json_array_get(ids, (size_t)k));
        e.targets[k] = (int32_t)json_integer_value(json_array_get(targets, (size_t)k));
    }
    return e;
}

static void check_logits(size_t i)
{
    expected e = read_expected(i);
    ft_model *m;
    ck_assert_ok(ft_model_open(&m, case_dir(i), NULL));
    int64_t V = ft_model_config(m)->vocab_size;
    float *got = logits_of(m, e.ids, e.T), *want = ft_alloc((size_t)(e.T * V), sizeof *want);
    for (int64_t k = 0; k < e.T * V; k++) {
        const json_t *row = json_array_get(json_object_get(e.json, "logits"), (size_t)(k / V));
        want[k] = (float)json_number_value(json_array_get(row, (size_t)(k % V)));
    }
    ck_assert_double_lt(distance(got, want, e.T * V), 1e-5);
    ft_free(got);
    ft_free(want);
    ft_model_free(m);
    json_decref(e.json);
}

static double slope_of(const ft_param *p)
{
    double sum = 0;
    for (int64_t k = 0; k < ft_tensor_count(&p->t); k++)
        sum += (double)((const float *)p->t.data)[k] * p->grad[k];
    return sum;
}

static void check_slopes(size_t i)
{
    expected e = read_expected(i);
    golden g = {.T = e.T, .rows = 1, .start = {0, e.T}};
    ft_model *m;
    ft_tape *t;
    for (int64_t k = 0; k < e.T; k++) {
        g.ids[k] = e.ids[k];
        g.targets[k] = e.targets[k];
        g.supervised += e.targets[k] >= 0;
    }
    ck_assert_ok(ft_model_open(&m, case_dir(i), &(ft_model_options){.trainable = true}));
    ck_assert_ok(ft_tape_new(&t));
    double loss = golden_step(&g, m, t, i % 2), want = json_real_value(json_object_get(e.json, "loss"));
    ck_assert_double_eq_tol(loss, want, 1e-5 * want);
    const json_t *slopes = json_object_get(e.json, "slopes");
    ck_assert_uint_eq(ft_model_trainable_count(m), json_object_size(slopes));
    for (size_t k = 0; k < ft_model_trainable_count(m); k++) {
        const ft_param *p = ft_model_trainable(m, k);
        const json_t *slope = json_object_get(slopes, p->name);
        ck_assert_msg(slope != NULL, "%s", p->name);
        ck_assert_msg(fabs(slope_of(p) - json_real_value(slope)) < 1e-4, "%s: slope %g, expected %g", p->name, slope_of(p),
                      json_real_value(slope));
    }
    ft_tape_free(t);
    ft_model_free(m);
    json_decref(e.json);
}

static void on_every_path(void (*check)(size_t i))
{
    for (size_t k = 0; ft_kernel_paths[k]; k++) {
        if (!ft_kernel_paths[k]->usable())
            continue;
        ft_kernels_use(ft_kernel_paths[k]);
        for (size_t i = 0; i < FT_COUNT(cases); i++)
            check(i);
    }
    ft_kernels_use(NULL);
}

START_TEST(logits_are_those_of_the_formula)
{
    on_every_path(check_logits);
}
END_TEST

START_TEST(the_loss_falls_along_each_weight_as_its_differences_say)
{
    on_every_path(check_slopes);
}
END_TEST

int main(void)
{
    FT_TESTS("golden-own", logits_are_those_of_the_formula, the_loss_falls_along_each_weight_as_its_differences_say);
}
