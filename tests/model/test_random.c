/* Models for measuring: what random weights are stored as, and the formula that FLOPs are told by. */
#include "model/fixture.h"

enum { C = 64, F = 96, H = 4, K = 2, D = 16, V = 160, L = 3, R = 4, SEQ = 10, ROWS = 2 };

static json_t *config(bool tied)
{
    json_t *c = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b}", "model_type", "llama", "hidden_size", C,
                          "intermediate_size", F, "num_hidden_layers", L, "num_attention_heads", H,
                          "num_key_value_heads", K, "vocab_size", V, "max_position_embeddings", 64,
                          "tie_word_embeddings", (int)tied);
    ck_assert_ptr_nonnull(c);
    return c;
}

static ft_model *make(bool tied, const ft_dtype *dtype, bool trainable, uint64_t seed)
{
    ft_model *m;
    ck_assert_ok(ft_model_random(&m, config(tied), dtype, trainable, seed, NULL));
    return m;
}

START_TEST(matrices_are_stored_as_asked_and_vectors_in_f32)
{
    for (size_t d = 0; ft_dtypes[d]; d++) {
        if (C % ft_dtypes[d]->block_len || F % ft_dtypes[d]->block_len)
            continue; /* rows of these lengths are no whole blocks */
        ft_model *m = make(false, ft_dtypes[d], false, 1);
        for (size_t i = 0; i < ft_model_count(m); i++) {
            const ft_param *p = ft_model_at(m, i);
            ck_assert_ptr_eq(p->t.dtype, p->t.ndim == 1 ? &ft_f32 : ft_dtypes[d]);
            ck_assert(!p->trainable && !p->grad);
        }
        ck_assert_uint_eq(ft_model_trainable_count(m), 0);
        ft_model_free(m);
    }
}
END_TEST

START_TEST(rows_that_are_asked_for_are_those_of_the_whole_table)
{
    static const int32_t ids[] = {V - 1, 0, 7, 7};
    const ft_dtype *const held[] = {&ft_f32, &ft_bf16};
    for (size_t d = 0; d < FT_COUNT(held); d++) {
        ft_model *all = make(false, held[d], false, 1), *some;
        ft_id_list asked = {.ids = ids, .n = FT_COUNT(ids)};
        ck_assert_ok(ft_model_random(&some, config(false), held[d], false, 1, &asked));
        for (size_t w = 0; w < ft_model_count(all); w++) {
            const ft_tensor *a = &ft_model_at(all, w)->t, *b = &ft_model_at(some, w)->t;
            size_t bytes = ft_tensor_row_bytes(a);
            bool table = strstr(ft_model_at(all, w)->name, "embed_tokens") != NULL;
            int64_t n = table ? asked.n : a->ndim == 1 ? 1 : ft_tensor_rows(a);
            for (int64_t i = 0; i < n; i++) {
                size_t at = (size_t)(table ? ids[i] : i) * bytes;
                ck_assert_mem_eq((char *)a->data + at, (char *)b->data + at, bytes);
            }
        }
        ft_model_free(all);
        ft_model_free(some);
    }
}
END_TEST

START_TEST(weights_follow_from_the_seed_and_have_the_deviation_of_an_untrained_model)
{
    ft_model *a = make(true, &ft_f32, false, 1), *b = make(true, &ft_f32, false, 1), *c = make(true, &ft_f32, false, 2);
    ft_param *x = ft_model_at(a, 0), *y = ft_model_at(b, 0), *z = ft_model_at(c, 0);
    size_t n = (size_t)ft_tensor_count(&x->t);
    const float *v = x->t.data;
    double sum = 0, square = 0;
    ck_assert_int_eq(memcmp(v, y->t.data, n * sizeof *v), 0);
    ck_assert_int_ne(memcmp(v, z->t.data, n * sizeof *v), 0);
    for (size_t i = 0; i < n; i++) {
        sum += v[i];
        square += v[i] * v[i];
    }
    ck_assert_double_eq_tol(sum / (double)n, 0, 1e-3);
    ck_assert_double_eq_tol(sqrt(square / (double)n), 0.02, 5e-4);
    ft_model_free(a);
    ft_model_free(b);
    ft_model_free(c);
}
END_TEST

START_TEST(trainable_weights_have_gradients)
{
    ft_model *m = make(true, &ft_f32, true, 1);
    ck_assert_uint_eq(ft_model_trainable_count(m), ft_model_count(m));
    for (size_t i = 0; i < ft_model_count(m); i++)
        ck_assert(ft_model_at(m, i)->trainable && ft_model_at(m, i)->grad);
    ft_model_free(m);
}
END_TEST

/* From block `first` on. */
static void adapt(ft_model *m, int64_t first)
{
    static const char *const all[] = {"all-linear"};
    int64_t layers[L];
    ft_adapter_spec spec = {.kind = "lora", .r = R, .alpha = 8, .target_modules = all, .n_targets = 1, .layers = layers};
    for (int64_t i = first; i < L; i++)
        layers[spec.n_layers++] = i;
    ck_assert_ok(ft_adapter_attach(m, &spec));
}

/* What the ops of a step count, a token. */
static double counted(ft_model *m)
{
    enum { T = SEQ * ROWS };
    int32_t ids[T], targets[T];
    int64_t start[ROWS + 1] = {0, SEQ, 2 * SEQ};
    ft_segments seg = {.n = ROWS, .start = start};
    ft_loss loss = {0};
    ft_tape *t;
    for (int i = 0; i < T; i++) {
        ids[i] = i * 7 % V;
        targets[i] = i * 5 % V;
    }
    ck_assert_ok(ft_tape_new(&t));
    ft_tape_begin(t, true, 1, 0);
    ft_var *x = ft_model_forward(m, t, ids, T, &seg, NULL, 0);
    ck_assert_ptr_nonnull(x);
    ck_assert_ok(ft_op_head_loss(t, x, ft_model_head(m), targets, 0, 1, &loss));
    ck_assert_ok(ft_tape_backward(t));
    ft_tape_stats s = ft_tape_stats_of(t);
    ft_tape_free(t);
    return (s.forward_flops + s.backward_flops) / T;
}

enum {
    LINEARS = 2 * C * H * D + 2 * C * K * D + 3 * C * F, /* of a layer */
    HEAD = C * V,
    PAIRS = H * D * (SEQ + 1) / 2 * L,
    ADAPTER = R * (2 * (C + H * D) + 2 * (C + K * D) + 3 * (C + F)) /* of a layer */
};

START_TEST(flops_of_full_training_are_the_formula_and_what_the_ops_count)
{
    for (int tied = 0; tied < 2; tied++) {
        ft_model *m = make(tied, &ft_f32, true, 1);
        double formula = 6.0 * (L * LINEARS + HEAD) + 12.0 * PAIRS;
        ck_assert_double_eq_tol(ft_model_flops_per_token(m, SEQ), formula, 1e-6);
        ck_assert_double_eq_tol(counted(m), formula, 1e-6);
        ft_model_free(m);
    }
}
END_TEST

/* Below the first adapter nothing needs a gradient, so q, k and v of the first layer make none for their inputs. The
 * formula does not know that. */
START_TEST(flops_of_an_adapter_are_the_formula_and_what_the_ops_count_and_skip)
{
    ft_model *m = make(true, &ft_q8_0, false, 1);
    adapt(m, 0);
    double formula = 4.0 * (L * LINEARS + HEAD) + 6.0 * L * ADAPTER + 12.0 * PAIRS;
    double skipped = 2.0 * C * (H * D + 2 * K * D) + 2.0 * 3 * R * C;
    ck_assert_double_eq_tol(ft_model_flops_per_token(m, SEQ), formula, 1e-6);
    ck_assert_double_eq_tol(counted(m), formula - skipped, 1e-6);
    ft_model_free(m);
}
END_TEST

START_TEST(flops_of_an_adapter_on_the_last_layer_leave_out_the_walk_below_it)
{
    ft_model *m = make(true, &ft_q8_0, false, 1);
    adapt(m, L - 1);
    double frozen = 2.0 * (L - 1) * LINEARS + 4.0 * PAIRS * (L - 1) / L;
    double formula = frozen + 4.0 * (LINEARS + HEAD) + 6.0 * ADAPTER + 12.0 * PAIRS / L;
    double skipped = 2.0 * C * (H * D + 2 * K * D) + 2.0 * 3 * R * C;
    ck_assert_double_eq_tol(ft_model_frozen_flops_per_token(m, SEQ), frozen, 1e-6);
    ck_assert_double_eq_tol(ft_model_flops_per_token(m, SEQ), formula, 1e-6);
    ck_assert_double_eq_tol(counted(m), formula - skipped, 1e-6);
    ft_model_free(m);
}
END_TEST

START_TEST(rows_of_no_whole_blocks_are_held_in_what_stands_in)
{
    json_t *c = config(true);
    ft_model *m;
    json_object_set_new(c, "hidden_size", json_integer(30));
    json_object_set_new(c, "num_attention_heads", json_integer(3));
    json_object_set_new(c, "num_key_value_heads", json_integer(1));
    ck_assert_ok(ft_model_random(&m, c, &ft_q8_0, false, 1, NULL));
    ck_assert_ptr_eq(ft_model_find(m, "model.embed_tokens.weight")->t.dtype, &ft_f16);
    ft_model_free(m);
}
END_TEST

START_TEST(a_config_that_cannot_be_is_refused)
{
    json_t *c = config(true);
    ft_model *m;
    json_object_set_new(c, "num_key_value_heads", json_integer(3));
    ck_assert_fails(ft_model_random(&m, c, &ft_q8_0, false, 1, NULL), FT_EFORMAT, "no multiple of num_key_value_heads (3)");
    ck_assert_ptr_null(m);
}
END_TEST

int main(void)
{
    FT_TESTS("random", matrices_are_stored_as_asked_and_vectors_in_f32, rows_that_are_asked_for_are_those_of_the_whole_table,
             weights_follow_from_the_seed_and_have_the_deviation_of_an_untrained_model, trainable_weights_have_gradients,
             flops_of_full_training_are_the_formula_and_what_the_ops_count,
             flops_of_an_adapter_are_the_formula_and_what_the_ops_count_and_skip,
             flops_of_an_adapter_on_the_last_layer_leave_out_the_walk_below_it, rows_of_no_whole_blocks_are_held_in_what_stands_in,
             a_config_that_cannot_be_is_refused);
}
