/* The independent PyTorch reference: logits, first-step gradients, ten AdamW steps, on every CPU path that runs here.
 */
#include "kernel/kernel.h"
#include "model/arch.h"
#include "model/fixture.h"

typedef void (*case_fn)(const golden *g);

static bool on_every_path(case_fn fn)
{
    golden g;
    bool ran = false;
    for (size_t k = 0; ft_kernel_paths[k]; k++) {
        if (!ft_kernel_paths[k]->usable())
            continue;
        ft_kernels_use(ft_kernel_paths[k]);
        for (size_t i = 0; golden_cases[i]; i++) {
            if (!golden_open(&g, golden_cases[i]))
                return false;
            fn(&g);
            ran = true;
        }
    }
    ft_kernels_use(NULL);
    ck_assert(ran);
    return true;
}

static void check_logits(const golden *g)
{
    ft_model *m;
    ft_container *want;
    ck_assert_ok(ft_model_open(&m, g->model, NULL));
    ck_assert_ok(ft_container_open(&want, ft_test_path(g->dir, "logits.safetensors")));
    const ft_named *row0 = ft_container_find(want, "row0");
    ck_assert_ptr_nonnull(row0);
    ck_assert_int_eq(row0->t.shape[0], g->start[1]);
    float *got = logits_of(m, g->ids, g->start[1]);
    double d = distance(got, row0->t.data, ft_tensor_count(&row0->t));
    ck_assert_msg(d <= 1e-4, "%s on %s: logits differ by %g of the largest", g->dir, ft_kernels_active()->name, d);
    ft_free(got);
    ft_container_close(want);
    ft_model_free(m);
}

START_TEST(logits_are_the_references)
{
    if (!on_every_path(check_logits))
        FT_SKIP("../shared is absent");
}
END_TEST

/* Through a GGUF: row order, names, folded scales, metadata. */
static void check_gguf(const golden *g)
{
    ft_model *m, *again;
    const char *path = ft_test_path(ft_test_dir(), "model.gguf");
    ck_assert_ok(ft_model_open(&m, g->model, NULL));
    write_gguf(m, path, &ft_f32);
    ck_assert_ok(ft_model_open(&again, path, NULL));
    ck_assert_str_eq(ft_model_config(m)->arch->model_type, ft_model_config(again)->arch->model_type);
    int64_t n = g->start[1], vocab = ft_model_config(m)->vocab_size;
    float *want = logits_of(m, g->ids, n), *got = logits_of(again, g->ids, n);
    double d = distance(got, want, n * vocab);
    ck_assert_msg(d <= 2e-6, "%s: logits of its GGUF differ by %g of the largest", g->dir, d);
    ft_free(got);
    ft_free(want);
    ft_model_free(again);
    ft_model_free(m);
}

START_TEST(a_gguf_gives_the_same_logits)
{
    golden g;
    for (size_t i = 0; golden_cases[i]; i++) {
        if (!golden_open(&g, golden_cases[i]))
            FT_SKIP("../shared is absent");
        check_gguf(&g);
    }
}
END_TEST

/* An encoder has no logits: the vector of the first token is compared, from its HF directory and from its GGUF. */
static void check_vector(ft_model *m, const json_t *tokens, const ft_named *want, double tolerance)
{
    ft_tape *t;
    int32_t ids[256];
    int64_t n = (int64_t)json_array_size(tokens), start[] = {0, n};
    ck_assert_int_le(n, (int64_t)FT_COUNT(ids));
    for (int64_t i = 0; i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(tokens, (size_t)i));
    ck_assert(ft_model_is_encoder(m) && !ft_model_head(m));
    ck_assert_ok(ft_tape_new(&t));
    ft_tape_begin(t, false, 0, 0);
    ft_var *x = ft_model_forward(m, t, ids, n, &(ft_segments){.n = 1, .start = start}, NULL, false);
    ck_assert_ok(ft_tape_status(t));
    double d = distance(x->v, want->t.data, x->cols);
    ck_assert_msg(d <= tolerance, "on %s: the vector differs by %g of its largest", ft_kernels_active()->name, d);
    ft_tape_free(t);
}

START_TEST(an_encoders_vector_is_the_references)
{
    ft_model *m;
    ft_container *want;
    json_t *o;
    const char *path = ft_test_path(ft_test_dir(), "model.gguf"), *dir = ft_test_shared("golden/bert-cls");
    if (!dir)
        FT_SKIP("../shared is absent");
    ck_assert_ok(ft_json_file(&o, ft_test_path(dir, "case.json"), 1 << 20));
    ck_assert_ok(ft_container_open(&want, ft_test_path(dir, "embedding.safetensors")));
    for (size_t k = 0; ft_kernel_paths[k]; k++) {
        if (!ft_kernel_paths[k]->usable())
            continue;
        ft_kernels_use(ft_kernel_paths[k]);
        for (int gguf = 0; gguf < 2; gguf++) {
            ck_assert_ok(ft_model_open(&m, gguf ? path : ft_test_path(dir, "model"), NULL));
            check_vector(m, json_object_get(o, "tokens"), ft_container_find(want, "cls"), 1e-5);
            if (!gguf)
                write_gguf(m, path, &ft_f32);
            ft_model_free(m);
        }
    }
    ft_kernels_use(NULL);
    json_decref(o);
    ft_container_close(want);
}
END_TEST

/* |a - b| over |b|, as vectors. */
static double vector_distance(const float *a, const float *b, int64_t n)
{
    double difference = 0, length = 0;
    for (int64_t i = 0; i < n; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        length += (double)b[i] * (double)b[i];
    }
    return sqrt(difference / length);
}

/* Gradients by their largest component. Trained weights as vectors: Adam blows single gradients near zero up to a whole
 * step, and which way they fall is rounding. */
static void check_against(const golden *g, const char *file, ft_model *m, bool gradients, double tolerance)
{
    ft_container *want;
    ck_assert_ok(ft_container_open(&want, ft_test_path(g->dir, file)));
    ck_assert_uint_eq(ft_container_count(want), ft_model_trainable_count(m));
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        const ft_param *p = ft_model_trainable(m, i);
        const ft_named *w = ft_container_find(want, p->name);
        ck_assert_msg(w != NULL, "%s is not in %s", p->name, file);
        int64_t n = ft_tensor_count(&w->t);
        double d = gradients ? distance(p->grad, w->t.data, n) : vector_distance(p->t.data, w->t.data, n);
        ck_assert_msg(d <= tolerance, "%s on %s: %s: %s differs by %g", g->dir, ft_kernels_active()->name, file,
                      p->name, d);
    }
    ft_container_close(want);
}

static void check_gradients(const golden *g)
{
    ft_tape *t;
    ft_model *m = golden_adapted(g);
    ck_assert_ok(ft_tape_new(&t));
    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        double loss = golden_step(g, m, t, checkpoint);
        ck_assert_double_eq_tol(loss, g->losses[0], 1e-4 * g->losses[0]);
        check_against(g, "grads_step1.safetensors", m, true, 1e-3);
    }
    ft_tape_free(t);
    ft_model_free(m);
}

START_TEST(first_step_gradients_are_the_references)
{
    if (!on_every_path(check_gradients))
        FT_SKIP("../shared is absent");
}
END_TEST

/* Plain AdamW in f32 with the reference's order of operations; mv: two moments per element. */
static void adamw(ft_param *p, float *mv, const golden *g, int step)
{
    int64_t n = ft_tensor_count(&p->t);
    float *w = p->t.data, *m = mv, *v = mv + n;
    double c1 = 1 - pow(0.9, step), c2 = 1 - pow(0.999, step);
    for (int64_t i = 0; i < n; i++) {
        m[i] = 0.9f * m[i] + 0.1f * p->grad[i];
        v[i] = 0.999f * v[i] + 0.001f * p->grad[i] * p->grad[i];
        w[i] = (float)(w[i] * (1 - g->lr * g->weight_decay) - g->lr * (m[i] / c1) / (sqrt(v[i] / c2) + 1e-8));
    }
}

static void train_ten(const golden *g, bool checkpoint)
{
    ft_tape *t;
    float *moments[256];
    ft_model *m = golden_adapted(g);
    size_t n = ft_model_trainable_count(m);
    ck_assert_ok(ft_tape_new(&t));
    ck_assert_uint_le(n, FT_COUNT(moments));
    for (size_t i = 0; i < n; i++)
        ck_assert_ptr_nonnull(moments[i] =
                                  ft_alloc(2 * (size_t)ft_tensor_count(&ft_model_trainable(m, i)->t), sizeof(float)));
    for (int step = 0; step < GOLDEN_STEPS; step++) {
        double loss = golden_step(g, m, t, checkpoint);
        ck_assert_msg(fabs(loss - g->losses[step]) <= 1e-4 * g->losses[step],
                      "%s on %s: loss %g at step %d, expected %g", g->dir, ft_kernels_active()->name, loss, step + 1,
                      g->losses[step]);
        for (size_t i = 0; i < n; i++)
            adamw(ft_model_trainable(m, i), moments[i], g, step + 1);
    }
    check_against(g, "adapter_final.safetensors", m, false, 1e-3);
    for (size_t i = 0; i < n; i++)
        ft_free(moments[i]);
    ft_tape_free(t);
    ft_model_free(m);
}

static void check_training(const golden *g)
{
    train_ten(g, false);
}

static void check_training_replayed(const golden *g)
{
    train_ten(g, true);
}

START_TEST(ten_steps_are_the_references)
{
    if (!on_every_path(check_training))
        FT_SKIP("../shared is absent");
}
END_TEST

START_TEST(ten_checkpointed_steps_are_the_references)
{
    if (!on_every_path(check_training_replayed))
        FT_SKIP("../shared is absent");
}
END_TEST

START_TEST(the_loss_without_adapter_is_the_references)
{
    golden g;
    for (size_t i = 0; golden_cases[i]; i++) {
        ft_model *m;
        ft_tape *t;
        ft_loss loss = {0};
        if (!golden_open(&g, golden_cases[i]))
            FT_SKIP("../shared is absent");
        ft_segments seg = {.n = g.rows, .start = g.start};
        ck_assert_ok(ft_model_open(&m, g.model, NULL));
        ck_assert_ok(ft_tape_new(&t));
        ft_tape_begin(t, false, 0, 0);
        ft_var *x = ft_model_forward(m, t, g.ids, g.T, &seg, NULL, 0);
        ck_assert_ok(ft_op_head_loss(t, x, ft_model_head(m), g.targets, ft_model_softcap(m), 1, &loss));
        ck_assert_double_eq_tol(loss.sum / (double)loss.count, g.loss_without_adapter, 1e-4 * g.loss_without_adapter);
        ft_tape_free(t);
        ft_model_free(m);
    }
}
END_TEST

int main(void)
{
    FT_TESTS("golden", logits_are_the_references, a_gguf_gives_the_same_logits, an_encoders_vector_is_the_references,
             first_step_gradients_are_the_references, ten_steps_are_the_references,
             ten_checkpointed_steps_are_the_references, the_loss_without_adapter_is_the_references);
}
