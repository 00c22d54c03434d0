/* Merging against W + scale * B A worked out in f64, over every stored dtype. */
#include "export/tiny.h"

/* Rows of W as they are stored, plus the update, in double. */
static double reference(const ft_param *w, const ft_param *a, const ft_param *b, double scale, const float *stored, int64_t i,
                        int64_t j)
{
    int64_t in = w->t.shape[1], r = a->t.shape[0];
    double sum = 0;
    for (int64_t k = 0; k < r; k++)
        sum += (double)((const float *)b->t.data)[i * r + k] * (double)((const float *)a->t.data)[k * in + j];
    return (double)stored[i * in + j] + scale * sum;
}

static void check_weight(ft_model *m, const ft_param *w, double expected_scale)
{
    ft_param *a, *b;
    float scale;
    ck_assert(ft_adapter_on(m, w, &a, &b, &scale));
    ck_assert_double_eq_tol(scale, expected_scale, 1e-6);
    int64_t rows = w->t.shape[0], cols = w->t.shape[1];
    size_t n = (size_t)(rows * cols);
    float *stored = ft_alloc(n, sizeof *stored), *merged = ft_alloc(n, sizeof *merged);
    ft_tensor_decode_rows(&w->t, 0, rows, stored);
    /* in two pieces, as an exporter asks for them */
    ck_assert_ok(ft_merge_rows(m, w, 0, rows / 3, merged));
    ck_assert_ok(ft_merge_rows(m, w, rows / 3, rows, merged + rows / 3 * cols));
    double changed = 0;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            double want = reference(w, a, b, expected_scale, stored, i, j);
            ck_assert_double_eq_tol(merged[i * cols + j], want, 2e-7 * (1 + fabs(want)));
            changed += fabs(want - stored[i * cols + j]);
        }
    ck_assert_double_gt(changed / (double)n, 1e-3);
    ft_free(stored);
    ft_free(merged);
}

static void check_all(ft_model *m, double scale)
{
    int checked = 0;
    for (size_t i = 0; i < ft_model_count(m); i++)
        if (strstr(ft_model_at(m, i)->name, "proj.weight")) {
            check_weight(m, ft_model_at(m, i), scale);
            checked++;
        }
    ck_assert_int_eq(checked, 14);
}

START_TEST(merge_equals_the_f64_update)
{
    tiny t = {.tied = true};
    ft_model *m = tiny_open(tiny_base(ft_test_dir(), &t));
    tiny_adapt(m, &t);
    check_all(m, 2);
    ft_model_free(m);
}
END_TEST

START_TEST(merge_knows_rank_stabilized_scale)
{
    tiny t = {.rslora = true, .ffn = 100};
    ft_model *m = tiny_open(tiny_base(ft_test_dir(), &t));
    tiny_adapt(m, &t);
    check_all(m, 4);
    ft_model_free(m);
}
END_TEST

START_TEST(merge_reads_every_stored_dtype)
{
    tiny t = {.tied = true};
    const char *dir = ft_test_dir(), *gguf = ft_test_path(dir, "base.gguf");
    const char *base = tiny_base(dir, &t);
    for (size_t i = 0; ft_dtypes[i]; i++) {
        if (ft_dtypes[i]->ggml_id < 0)
            continue;
        ft_model *m = tiny_open(base);
        ft_export_request r = {.model = m, .path = gguf, .dtype = ft_dtypes[i]};
        ck_assert_ok(ft_exporter_named("gguf")->write(&r));
        ft_model_free(m);
        m = tiny_open(gguf);
        tiny_adapt(m, &t);
        check_all(m, 2);
        ft_model_free(m);
    }
}
END_TEST

START_TEST(merge_takes_a_saved_module_whole)
{
    tiny t = {.tied = true, .save = "embed_tokens"};
    ft_model *m = tiny_open(tiny_base(ft_test_dir(), &t));
    tiny_adapt(m, &t);
    const ft_param *w = ft_model_find(m, "model.embed_tokens.weight"), *saved = ft_adapter_saved(m, w);
    float row[64];
    ck_assert_ptr_nonnull(saved);
    ck_assert_ok(ft_merge_rows(m, w, 5, 6, row));
    ck_assert_mem_eq(row, ft_tensor_row(&saved->t, 5), sizeof row);
    ck_assert_mem_ne(row, ft_tensor_row(&w->t, 5), sizeof row);
    ft_model_free(m);
}
END_TEST

START_TEST(merge_leaves_other_weights_as_they_are)
{
    static const char *const q[] = {"q_proj"};
    tiny t = {.targets = q, .n_targets = 1};
    ft_model *m = tiny_open(tiny_base(ft_test_dir(), &t));
    tiny_adapt(m, &t);
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *w = ft_model_at(m, i);
        size_t n = (size_t)ft_tensor_count(&w->t);
        float *merged = ft_alloc(n, sizeof *merged);
        ck_assert_ok(ft_merge_rows(m, w, 0, ft_tensor_rows(&w->t), merged));
        ck_assert_int_eq(memcmp(merged, w->t.data, n * sizeof *merged) != 0, strstr(w->name, "q_proj") != NULL);
        ft_free(merged);
    }
    ft_model_free(m);
}
END_TEST

int main(void)
{
    FT_TESTS("merge", merge_equals_the_f64_update, merge_knows_rank_stabilized_scale, merge_reads_every_stored_dtype,
             merge_takes_a_saved_module_whole, merge_leaves_other_weights_as_they_are);
}
