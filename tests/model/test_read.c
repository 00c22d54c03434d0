/* Where some tokens alone are read, the last block computes keys and values of all and the rest of those: losses and
 * gradients are the ones of computing everything. */
#include "base/threads.h"
#include "model/fixture.h"

enum { T = 60, L = 2, C = 32, F = 48, KV = 16, R = 4 };
static const int64_t start[] = {0, 1, 21, 30, T}; /* nothing is read of the third segment */
static const ft_segments all = {.n = 4, .start = start};

static int64_t make_targets(int32_t *targets)
{
    int64_t n = 0;
    for (int i = 0; i < T; i++) {
        targets[i] = (i >= 21 && i < 30) || i % 7 > 2 ? -1 : (i * 11 + 4) % 40;
        n += targets[i] >= 0;
    }
    return n;
}

static const int32_t *ids(void)
{
    static int32_t x[T];
    for (int i = 0; i < T; i++)
        x[i] = (i * 7 + 3) % 40;
    return x;
}

static void adapt(ft_model *m, const ft_adapter_spec *s)
{
    ck_assert_ok(ft_adapter_attach(m, s));
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        ft_param *p = ft_model_trainable(m, i);
        if (strstr(p->name, "lora_B"))
            ft_fill_normal(p->t.data, (size_t)ft_tensor_count(&p->t), 0.1f, 1, FT_STREAM_TEST, i);
    }
}

/* A family under one of the ways of training: all weights, LoRA with dropout, DoRA. */
enum { WAYS = 3 };
static ft_model *make(const char *family, int way)
{
    static const char *const linears[] = {"all-linear"};
    ft_model *m = random_model(family);
    if (way)
        adapt(m, &(ft_adapter_spec){.kind = "lora", .r = R, .alpha = 8, .target_modules = linears, .n_targets = 1,
                                    .dropout = 0.3, .dora = way == 2, .seed = 3});
    return m;
}

/* The loss of a step whose gradients are zeroed first; some: only what has a target is read. k: from the states that enter
 * block k; below 0: in one pass. */
static double step(ft_model *m, ft_tape *t, bool some, int64_t k, int64_t checkpointed)
{
    int32_t targets[T];
    int64_t read[T], n = make_targets(targets);
    float states[T * C];
    ft_segments seg = all;
    ft_loss loss = {0};
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        ft_param *p = ft_model_trainable(m, i);
        memset(p->grad, 0, (size_t)ft_tensor_count(&p->t) * sizeof *p->grad);
    }
    if (k >= 0) {
        ft_tape_begin(t, false, 1, 2);
        memcpy(states, ft_model_enter(m, t, ids(), T, &all, k)->v, sizeof states);
    }
    if (some)
        ft_model_read_targets(&seg, read, targets);
    ft_tape_begin(t, true, 1, 2);
    ft_tape_first_token(t, 5);
    ft_var *x = k < 0 ? ft_model_forward(m, t, ids(), T, &seg, NULL, checkpointed)
                      : ft_model_from(m, t, ft_leaf(t, states, T, C, false), k, &seg, checkpointed);
    ck_assert_ok(ft_tape_status(t));
    ck_assert_int_eq(x->rows, some ? n : T);
    ck_assert_ok(ft_op_head_loss(t, x, ft_model_head(m), targets, ft_model_softcap(m), 1 / (double)n, &loss));
    ck_assert_int_eq(loss.count, n);
    ck_assert_ok(ft_tape_backward(t));
    return loss.sum;
}

static float *gradients(ft_model *m, size_t *n)
{
    ft_buf b = {0};
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        const ft_param *p = ft_model_trainable(m, i);
        ck_assert_ok(ft_buf_put(&b, p->grad, (size_t)ft_tensor_count(&p->t) * sizeof *p->grad));
    }
    *n = b.n;
    return (float *)b.p;
}

/* The gradients that stand in m against those of `want`, tensor by tensor. */
static void close_to(ft_model *m, const float *want, size_t bytes, const char *what)
{
    double top = 0;
    for (size_t i = 0; i < bytes / sizeof *want; i++)
        top = fmax(top, fabs(want[i]));
    ck_assert_double_gt(top, 1e-3);
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        const ft_param *p = ft_model_trainable(m, i);
        int64_t n = ft_tensor_count(&p->t);
        double worst = 0, largest = 1e-3 * top; /* some vanish by cancellation */
        for (int64_t e = 0; e < n; e++) {
            worst = fmax(worst, fabs((double)p->grad[e] - want[e]));
            largest = fmax(largest, fabs(want[e]));
            ck_assert(isfinite(p->grad[e]));
        }
        ck_assert_msg(worst <= 2e-5 * largest, "%s: %s is off by %g of %g", what, p->name, worst, largest);
        want += n;
    }
}

static void compare(const char *family, int way)
{
    ft_model *m = make(family, way);
    ft_tape *t;
    size_t bytes, again;
    ck_assert_ok(ft_tape_new(&t));
    double whole = step(m, t, false, -1, 0);
    float *want = gradients(m, &bytes), *one = NULL;
    for (int64_t checkpointed = 0; checkpointed <= L; checkpointed += L)
        for (int threads = 1; threads <= 4; threads += 3) {
            ft_threads_set(threads);
            double loss = step(m, t, true, -1, checkpointed);
            ck_assert_double_eq_tol(loss, whole, 1e-6 * whole);
            close_to(m, want, bytes, family);
            float *got = gradients(m, &again);
            if (one) /* the bits depend neither on threads nor on checkpointing */
                ck_assert_mem_eq(got, one, bytes);
            else
                one = got;
            if (got != one)
                ft_free(got);
        }
    ft_threads_set(0);
    ft_free(one);
    ft_free(want);
    ft_tape_free(t);
    ft_model_free(m);
}

START_TEST(losses_and_gradients_are_those_of_all_tokens)
{
    for (int way = 0; way < WAYS; way++) {
        compare("{}", way);
        for (size_t i = 0; small_families[i]; i++)
            compare(small_families[i], way);
    }
}
END_TEST

/* LoRA on the last block alone, or nothing but the head trains: what is read enters behind frozen blocks. */
START_TEST(frozen_blocks_may_lie_below)
{
    static const char *const linears[] = {"all-linear"}, *const head[] = {"lm_head"};
    static const int64_t last = L - 1;
    const ft_adapter_spec specs[] = {
        {.kind = "lora", .r = R, .alpha = 8, .target_modules = linears, .n_targets = 1, .layers = &last, .n_layers = 1},
        {.kind = "lora", .r = R, .alpha = 8, .modules_to_save = head, .n_save = 1}};
    ft_tape *t;
    ck_assert_ok(ft_tape_new(&t));
    for (int i = 0; i < 2; i++) {
        ft_model *m = random_model(NULL);
        size_t bytes;
        adapt(m, &specs[i]);
        ck_assert_int_eq(ft_model_frozen_blocks(m), L - 1 + i);
        double whole = step(m, t, false, -1, 0);
        float *want = gradients(m, &bytes);
        for (int64_t k = -1; k < L + i; k++) {
            ck_assert_double_eq_tol(step(m, t, true, k, 0), whole, 1e-6 * whole);
            close_to(m, want, bytes, "frozen");
        }
        ft_free(want);
        ft_model_free(m);
    }
    ft_tape_free(t);
}
END_TEST

START_TEST(an_encoder_gives_the_states_that_are_read)
{
    static const int64_t read[] = {0, 1, 20, 22, 59};
    ft_model *m = random_model("{\"model_type\": \"bert\"}");
    ft_segments seg = all;
    float states[T * C];
    ft_tape *t;
    ck_assert_ok(ft_tape_new(&t));
    ft_tape_begin(t, false, 0, 0);
    memcpy(states, ft_model_forward(m, t, ids(), T, &seg, NULL, 0)->v, sizeof states);
    seg.read = read;
    seg.n_read = FT_COUNT(read);
    const ft_var *x = ft_model_forward(m, t, ids(), T, &seg, NULL, 0);
    ck_assert_int_eq(x->rows, FT_COUNT(read));
    for (size_t i = 0; i < FT_COUNT(read); i++)
        ck_assert_double_le(distance(x->v + i * C, states + read[i] * C, C), 1e-5);
    ft_tape_free(t);
    ft_model_free(m);
}
END_TEST

static double forward_flops(ft_model *m, const ft_segments *seg)
{
    ft_tape *t;
    ck_assert_ok(ft_tape_new(&t));
    ft_tape_begin(t, false, 0, 0);
    ck_assert_ptr_nonnull(ft_model_forward(m, t, ids(), T, seg, NULL, 0));
    double flops = ft_tape_stats_of(t).forward_flops;
    ft_tape_free(t);
    return flops;
}

START_TEST(the_last_block_costs_what_is_read)
{
    int32_t targets[T];
    int64_t read[T], n = make_targets(targets);
    double pairs = 0; /* of tokens that nobody reads */
    for (int s = 0; s < 4; s++)
        for (int64_t i = start[s]; i < start[s + 1]; i++)
            pairs += targets[i] < 0 ? (double)(i - start[s] + 1) : 0;
    ft_model *m = random_model(NULL);
    ft_segments some = all;
    ft_model_read_targets(&some, read, targets);
    ck_assert_double_eq(forward_flops(m, &all) - forward_flops(m, &some),
                        (double)(2 * (T - n) * (2 * C * C + 3 * C * F)) + 4 * C * pairs);
    ft_model_free(m);
}
END_TEST

START_TEST(nothing_is_gathered_where_nearly_all_is_read)
{
    int32_t targets[T];
    int64_t read[T];
    for (int unread = 0; unread <= T; unread++) {
        ft_segments seg = all;
        for (int i = 0; i < T; i++)
            targets[i] = i < unread ? -1 : i;
        ft_model_read_targets(&seg, read, targets);
        bool some = seg.read != NULL;
        ck_assert_int_eq(some, unread > 2 && unread < T); /* a 16th of 60 */
        ck_assert_int_eq(targets[0], some ? unread : unread ? -1 : 0);
        ck_assert_int_eq(seg.n_read, some ? T - unread : 0);
        if (some)
            ck_assert_int_eq(read[0], unread);
    }
}
END_TEST

START_TEST(tokens_out_of_order_are_refused)
{
    static const int64_t wrong[][3] = {{3, 2, 9}, {3, 3, 9}, {-1, 2, 9}, {3, 9, T}};
    ft_model *m = random_model(NULL);
    ft_tape *t;
    ck_assert_ok(ft_tape_new(&t));
    for (size_t i = 0; i < FT_COUNT(wrong); i++) {
        ft_segments seg = all;
        seg.read = wrong[i];
        seg.n_read = 3;
        ft_tape_begin(t, false, 0, 0);
        ck_assert_ptr_null(ft_model_forward(m, t, ids(), T, &seg, NULL, 0));
        ck_assert_int_eq(ft_tape_status(t), FT_EINPUT);
    }
    ft_tape_free(t);
    ft_model_free(m);
}
END_TEST

int main(void)
{
    FT_TESTS("read", losses_and_gradients_are_those_of_all_tokens, frozen_blocks_may_lie_below,
             an_encoder_gives_the_states_that_are_read, the_last_block_costs_what_is_read,
             nothing_is_gathered_where_nearly_all_is_read, tokens_out_of_order_are_refused);
}
