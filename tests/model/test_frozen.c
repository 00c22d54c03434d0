/* What lies below the first trained block: one pass or two halves give the same, and nothing is walked backward there. */
#include "model/fixture.h"

enum { T = 11, L = 4, C = 32, F = 48, KV = 16, V = 40, R = 4 };
static const int32_t ids[T] = {1, 7, 30, 2, 9, 9, 14, 5, 38, 21, 3};
static const int32_t targets[T] = {7, 30, 2, -1, 9, 14, 5, -1, 21, 3, 2};
static const int64_t start[] = {0, 4, T};
static const ft_segments seg = {.n = 2, .start = start};

static ft_model *adapted_from(int64_t first)
{
    static const char *const all[] = {"all-linear"};
    static int64_t layers[L];
    ft_adapter_spec s = {.kind = "lora", .r = R, .alpha = 8, .target_modules = all, .n_targets = 1, .layers = layers,
                         .dropout = 0.1, .seed = 3};
    ft_model *m = random_model("{\"num_hidden_layers\": 4}");
    for (int64_t i = first; i < L; i++)
        layers[s.n_layers++] = i;
    ck_assert_ok(ft_adapter_attach(m, &s));
    for (size_t i = 1; i < ft_model_trainable_count(m); i += 2)
        ft_fill_normal(ft_model_trainable(m, i)->t.data, (size_t)ft_tensor_count(&ft_model_trainable(m, i)->t), 0.1f, 1,
                       FT_STREAM_TEST, i);
    return m;
}

static ft_tape *new_tape(void)
{
    ft_tape *t;
    ck_assert_ok(ft_tape_new(&t));
    return t;
}

START_TEST(the_first_block_that_trains_is_found)
{
    static const char *const head[] = {"lm_head"}, *const embed[] = {"embed_tokens"}, *const down[] = {"layers.2.mlp.up_proj"};
    ft_model *m = random_model("{\"num_hidden_layers\": 4}");
    ft_adapter_spec s = {.kind = "lora", .r = R, .alpha = 8, .modules_to_save = head, .n_save = 1};
    ck_assert_int_eq(ft_model_frozen_blocks(m), 0); /* all weights train */
    ck_assert_ok(ft_adapter_attach(m, &s));
    ck_assert_int_eq(ft_model_frozen_blocks(m), L);
    ft_adapter_detach(m);
    s.target_modules = down;
    s.n_targets = 1;
    ck_assert_ok(ft_adapter_attach(m, &s));
    ck_assert_int_eq(ft_model_frozen_blocks(m), 2);
    ft_adapter_detach(m);
    s.modules_to_save = embed;
    ck_assert_ok(ft_adapter_attach(m, &s));
    ck_assert_int_eq(ft_model_frozen_blocks(m), 0);
    ft_model_free(m);
    m = random_model("{\"num_hidden_layers\": 4, \"tie_word_embeddings\": true}");
    s.modules_to_save = head;
    ck_assert_ok(ft_adapter_attach(m, &s));
    ck_assert_int_eq(ft_model_frozen_blocks(m), 0);
    ft_model_free(m);
}
END_TEST

/* Loss and gradients of one step, in one pass or from the states that enter block k; gradients zeroed first. */
static double step(ft_model *m, ft_tape *t, int64_t k, int64_t checkpointed)
{
    ft_loss loss = {0};
    float states[T * C];
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        ft_param *p = ft_model_trainable(m, i);
        memset(p->grad, 0, (size_t)ft_tensor_count(&p->t) * sizeof *p->grad);
    }
    if (k >= 0) {
        ft_tape_begin(t, false, 1, 2);
        const ft_var *x = ft_model_enter(m, t, ids, T, &seg, k);
        ck_assert_ok(ft_tape_status(t));
        memcpy(states, x->v, sizeof states);
    }
    ft_tape_begin(t, true, 1, 2);
    ft_var *x = k < 0 ? ft_model_forward(m, t, ids, T, &seg, NULL, checkpointed)
                      : ft_model_from(m, t, ft_leaf(t, states, T, C, false), k, &seg, checkpointed);
    ck_assert_ok(ft_tape_status(t));
    ck_assert_ok(ft_op_head_loss(t, x, ft_model_head(m), targets, 0, 1, &loss));
    ck_assert_ok(ft_tape_backward(t));
    return loss.sum;
}

static ft_buf gradients(ft_model *m)
{
    ft_buf b = {0};
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        const ft_param *p = ft_model_trainable(m, i);
        ck_assert_ok(ft_buf_put(&b, p->grad, (size_t)ft_tensor_count(&p->t) * sizeof *p->grad));
    }
    return b;
}

START_TEST(two_halves_are_the_whole_bit_for_bit)
{
    for (int64_t first = 1; first < L; first++)
        for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
            ft_model *m = adapted_from(first);
            ft_tape *t = new_tape();
            double whole = step(m, t, -1, checkpoint * FT_ALL_BLOCKS);
            ft_buf want = gradients(m);
            for (int64_t k = 0; k <= first; k++) {
                ck_assert_double_eq(step(m, t, k, checkpoint * FT_ALL_BLOCKS), whole);
                ft_buf got = gradients(m);
                ck_assert_mem_eq(got.p, want.p, want.n);
                ft_buf_free(&got);
            }
            ft_buf_free(&want);
            ft_tape_free(t);
            ft_model_free(m);
        }
}
END_TEST

/* Multiply-adds * 2 of the walk backward over blocks first .. L-1, by hand: every frozen linear that sees a gradient
 * costs T out in, an adapter its four products, attention twice its forward. */
static double backward_flops(int64_t first)
{
    static const int shape[7][2] = {{C, C}, {KV, C}, {KV, C}, {C, C}, {F, C}, {F, C}, {C, F}}; /* q k v o gate up down */
    double flops = 0, pairs = 4 * 5 / 2 + 7 * 8 / 2, supervised = 9;
    for (int64_t layer = first; layer < L; layer++) {
        for (int i = 0; i < 7; i++) {
            double out = shape[i][0], in = shape[i][1];
            bool ends = layer == first && i < 3; /* q, k and v of the lowest block read what needs no gradient */
            flops += 2 * T * R * (out + in) + 2 * T * R * out + (ends ? 0 : 2 * T * R * in + 2 * T * out * in);
        }
        flops += 2 * 4 * pairs * C;
    }
    return flops + 2 * supervised * C * V;
}

START_TEST(the_walk_backward_ends_at_the_first_trained_block)
{
    double forward[L];
    int64_t records[L];
    for (int64_t first = 0; first < L; first++) {
        ft_model *m = adapted_from(first);
        ft_tape *t = new_tape();
        step(m, t, -1, false);
        ft_tape_stats whole = ft_tape_stats_of(t);
        ck_assert_double_eq(whole.backward_flops, backward_flops(first));
        step(m, t, first, false);
        ft_tape_stats half = ft_tape_stats_of(t);
        ck_assert_double_eq(half.backward_flops, whole.backward_flops);
        ck_assert_int_eq(half.records, whole.records);
        records[first] = half.records;
        forward[first] = half.forward_flops;
        ft_tape_free(t);
        ft_model_free(m);
    }
    /* each block that is frozen takes the same away */
    for (int64_t first = 2; first < L; first++) {
        ck_assert_double_eq(forward[first - 1] - forward[first], forward[0] - forward[1]);
        ck_assert_int_eq(records[first - 1] - records[first], records[0] - records[1]);
    }
    ck_assert_double_gt(forward[0], forward[1]);
    ck_assert_int_gt(records[0], records[1]);
}
END_TEST

START_TEST(frozen_blocks_keep_no_activations)
{
    size_t peak[2];
    for (int i = 0; i < 2; i++) {
        ft_model *m = adapted_from(3 * i);
        ft_tape *t = new_tape();
        step(m, t, -1, false);
        peak[i] = ft_tape_stats_of(t).peak_bytes;
        ft_tape_free(t);
        ft_model_free(m);
    }
    ck_assert_uint_lt(peak[1], peak[0] - 45000); /* each of three blocks keeps 15 kB for the walk backward */
}
END_TEST

int main(void)
{
    FT_TESTS("frozen", the_first_block_that_trains_is_found, two_halves_are_the_whole_bit_for_bit,
             the_walk_backward_ends_at_the_first_trained_block, frozen_blocks_keep_no_activations);
}
