/* What rounding leaves of an update, against the same worked out from four whole files: base and merged, exact and
 * rounded. */
#include "export/tiny.h"

/* The model as a GGUF of that type, read again. */
static ft_container *written(ft_model *m, const char *dir, const char *name, const ft_mix *mix, ft_survival_list *survival)
{
    ft_container *c;
    const char *path = ft_test_path(dir, name);
    ft_export_request r = {.model = m, .path = path, .mix = mix, .survival = survival};
    ck_assert_ok(ft_exporter_named("gguf")->write(&r));
    ck_assert_ok(ft_container_open(&c, path));
    return c;
}

static float *values(const ft_container *c, const char *name, int64_t *n)
{
    const ft_tensor *t = &ft_container_find(c, name)->t;
    float *x = ft_alloc((size_t)(*n = ft_tensor_count(t)), sizeof *x);
    ft_tensor_decode_rows(t, 0, ft_tensor_rows(t), x);
    return x;
}

/* [0] base, [1] merged; exact and rounded. */
static ft_survival from_files(ft_container *const exact[2], ft_container *const rounded[2], const char *name)
{
    ft_survival s = {0};
    int64_t n;
    float *e[2], *r[2];
    for (int i = 0; i < 2; i++) {
        e[i] = values(exact[i], name, &n);
        r[i] = values(rounded[i], name, &n);
    }
    for (int64_t i = 0; i < n; i++) {
        double kept = (double)r[1][i] - r[0][i], delta = (double)e[1][i] - e[0][i];
        s.dot += kept * delta;
        s.kept += kept * kept;
        s.delta += delta * delta;
    }
    for (int i = 0; i < 2; i++) {
        ft_free(e[i]);
        ft_free(r[i]);
    }
    return s;
}

static void check_survival(const char *type, const tiny *t, size_t matrices)
{
    const char *dir = ft_test_dir(), *base = tiny_base(dir, t);
    ft_model *plain = tiny_open(base), *tuned = tiny_open(base);
    const ft_mix *mix = ft_mix_named(type), *f32 = ft_mix_named("f32");
    ft_survival_list list = {0};
    tiny_adapt(tuned, t);
    ft_container *exact[] = {written(plain, dir, "a.gguf", f32, NULL), written(tuned, dir, "b.gguf", f32, NULL)};
    ft_container *rounded[] = {written(plain, dir, "c.gguf", mix, NULL), written(tuned, dir, "d.gguf", mix, &list)};
    double delta = 0;
    ck_assert_uint_eq(list.n, matrices);
    for (size_t i = 0; i < list.n; i++) {
        ft_survival want = from_files(exact, rounded, list.p[i].name), got = list.p[i].survival;
        ck_assert_ptr_eq(list.p[i].dtype, ft_container_find(rounded[1], list.p[i].name)->t.dtype);
        ck_assert_double_gt(want.delta, 0);
        ck_assert_double_eq_tol(got.delta / want.delta, 1, 1e-5);
        ck_assert_double_eq_tol(got.kept / want.kept, 1, 1e-5);
        ck_assert_double_eq_tol(ft_survival_cosine(&got), ft_survival_cosine(&want), 1e-5);
        ck_assert_double_eq_tol(ft_survival_norm(&got), ft_survival_norm(&want), 1e-5);
        delta += want.delta;
    }
    ck_assert_double_eq_tol(list.total.delta / delta, 1, 1e-5);
    for (int i = 0; i < 2; i++) {
        ft_container_close(exact[i]);
        ft_container_close(rounded[i]);
    }
    ft_survival_list_free(&list);
    ft_model_free(plain);
    ft_model_free(tuned);
}

/* q and k are permuted in the file; a saved embedding is an update too. */
START_TEST(survival_is_what_the_files_say)
{
    static const char *const q[] = {"q_proj"};
    check_survival("q4_0", &(tiny){.tied = true}, 14);
    check_survival("q8_0", &(tiny){.targets = q, .n_targets = 1, .save = "embed_tokens"}, 3);
    check_survival("q4_k_m", &(tiny){.tied = true, .ffn = 100}, 14); /* types stand in */
    check_survival("bf16", &(tiny){.tied = true, .rslora = true}, 14);
}
END_TEST

START_TEST(floats_keep_the_update_and_fewer_bits_keep_less)
{
    static const char *const types[] = {"f32", "f16", "q8_0", "q5_0", "q4_0"};
    const char *dir = ft_test_dir();
    const tiny t = {.tied = true};
    ft_model *m = tiny_open(tiny_base(dir, &t));
    double before = 1.0000001;
    tiny_adapt(m, &t);
    for (size_t i = 0; i < FT_COUNT(types); i++) {
        ft_survival_list list = {0};
        ft_container_close(written(m, dir, "x.gguf", ft_mix_named(types[i]), &list));
        double cosine = ft_survival_cosine(&list.total);
        ck_assert_msg(cosine < before, "%s: %g after %g", types[i], cosine, before);
        if (i == 0)
            ck_assert_double_gt(cosine, 0.9999999);
        before = cosine;
        ft_survival_list_free(&list);
    }
    ft_model_free(m);
}
END_TEST

START_TEST(without_an_adapter_there_is_no_survival)
{
    const char *dir = ft_test_dir();
    ft_model *m = tiny_open(tiny_base(dir, &(tiny){.tied = true}));
    ft_survival_list list = {0};
    json_t *o;
    ft_container_close(written(m, dir, "x.gguf", ft_mix_named("q4_0"), &list));
    ck_assert_uint_eq(list.n, 0);
    ck_assert(isnan(ft_survival_cosine(&list.total)) && isnan(ft_survival_norm(&list.total)));
    ck_assert_ok(ft_survival_json(&o, &list, 0));
    ck_assert(json_is_null(json_object_get(o, "cosine")));
    json_decref(o);
    ft_model_free(m);
}
END_TEST

START_TEST(the_worst_come_first)
{
    const char *dir = ft_test_dir();
    const tiny t = {.tied = true};
    ft_model *m = tiny_open(tiny_base(dir, &t));
    ft_survival_list list = {0};
    json_t *o;
    double before = -1;
    tiny_adapt(m, &t);
    ft_container_close(written(m, dir, "x.gguf", ft_mix_named("q4_0"), &list));
    ck_assert_ok(ft_survival_json(&o, &list, 5));
    const json_t *rows = json_object_get(o, "tensors");
    ck_assert_uint_eq(json_array_size(rows), 5);
    for (size_t i = 0; i < 5; i++) {
        double cosine = json_number_value(json_object_get(json_array_get(rows, i), "cosine"));
        ck_assert_double_ge(cosine, before);
        before = cosine;
    }
    size_t better = 0;
    for (size_t i = 0; i < list.n; i++)
        better += ft_survival_cosine(&list.p[i].survival) >= before;
    ck_assert_uint_eq(better, list.n - 4);
    json_decref(o);
    ft_survival_list_free(&list);
    ft_model_free(m);
}
END_TEST

/* The type that is named keeps what was asked for, and none of the smaller ones does. */
START_TEST(the_cheapest_type_that_keeps_the_update_is_found)
{
    const char *dir = ft_test_dir();
    const tiny t = {.tied = true};
    ft_model *m = tiny_open(tiny_base(dir, &t));
    ft_export_request r = {.model = m, .path = ft_test_path(dir, "x.gguf"), .mix = ft_mix_named("q4_0")};
    const ft_mix *mix;
    double reached[2];
    tiny_adapt(m, &t);
    for (int i = 0; i < 2; i++) {
        ft_survival_list list = {0};
        ft_container_close(written(m, dir, "y.gguf", ft_mix_named(i ? "q8_0" : "q5_k_m"), &list));
        reached[i] = ft_survival_cosine(&list.total);
        ft_survival_list_free(&list);
    }
    double between = (reached[0] + reached[1]) / 2;
    ck_assert_ok(ft_survival_cheapest(&mix, &r, between));
    ck_assert_msg(mix && strcmp(mix->name, "q8_0") == 0, "%s for %g", mix ? mix->name : "none", between);
    ck_assert_ok(ft_survival_cheapest(&mix, &r, 1.5));
    ck_assert_ptr_null(mix);
    ft_model_free(m);
}
END_TEST

int main(void)
{
    FT_TESTS("survival", survival_is_what_the_files_say, floats_keep_the_update_and_fewer_bits_keep_less,
             without_an_adapter_there_is_no_survival, the_worst_come_first,
             the_cheapest_type_that_keeps_the_update_is_found);
}
