/* Adapters: what attaching makes, what a PEFT directory must hold, what is refused. */
#include "model/fixture.h"
#include "model/origin.h"

static const char *const all_linear[] = {"all-linear"};

static ft_adapter_spec spec_of(const char *const *targets, size_t n)
{
    return (ft_adapter_spec){.kind = "lora", .r = 4, .alpha = 8, .target_modules = targets, .n_targets = n, .seed = 3};
}

START_TEST(all_linear_is_every_linear_of_the_blocks)
{
    ft_model *m = random_model(NULL);
    ft_adapter_spec s = spec_of(all_linear, 1);
    ft_param *a, *b;
    float scale;
    ck_assert_ok(ft_adapter_attach(m, &s));
    ck_assert_uint_eq(ft_model_trainable_count(m), 2 * 7 * 2);
    ck_assert_str_eq(ft_model_trainable(m, 0)->name, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
    ck_assert_str_eq(ft_model_trainable(m, 1)->name, "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight");
    for (size_t i = 0; i < ft_model_count(m); i++)
        ck_assert(!ft_model_at(m, i)->trainable && !ft_model_at(m, i)->grad);
    ck_assert(ft_adapter_on(m, ft_model_find(m, "model.layers.1.mlp.down_proj.weight"), &a, &b, &scale));
    ck_assert_float_eq(scale, 2);
    ck_assert(a->t.shape[0] == 4 && a->t.shape[1] == 48 && b->t.shape[0] == 32 && b->t.shape[1] == 4);
    ck_assert(!ft_adapter_on(m, ft_model_find(m, "lm_head.weight"), &a, &b, &scale));
    ck_assert_str_eq(ft_adapter_spec_of(m)->target_modules[0], "all-linear");
    ft_model_free(m);
}
END_TEST

START_TEST(layers_choose_the_blocks_that_are_adapted)
{
    static const int64_t second[] = {1}, beyond[] = {1, 2};
    ft_model *m = random_model(NULL);
    ft_adapter_spec s = spec_of(all_linear, 1);
    ft_param *a, *b;
    float scale;
    s.layers = second;
    s.n_layers = 1;
    ck_assert_ok(ft_adapter_attach(m, &s));
    ck_assert_uint_eq(ft_model_trainable_count(m), 7 * 2);
    ck_assert(!ft_adapter_on(m, ft_model_find(m, "model.layers.0.mlp.down_proj.weight"), &a, &b, &scale));
    ck_assert(ft_adapter_on(m, ft_model_find(m, "model.layers.1.mlp.down_proj.weight"), &a, &b, &scale));
    ck_assert_int_eq(ft_adapter_spec_of(m)->layers[0], 1);
    ft_adapter_detach(m);
    s.layers = beyond;
    s.n_layers = 2;
    ck_assert_fails(ft_adapter_attach(m, &s), FT_EINPUT, "layer 2 is to be adapted, this model has the layers 0 to 1");
    ft_model_free(m);
}
END_TEST

START_TEST(a_fresh_adapter_changes_nothing_and_is_a_function_of_the_seed)
{
    static const int32_t ids[] = {1, 7, 30};
    ft_model *m = random_model(NULL);
    ft_adapter_spec s = spec_of(all_linear, 1);
    float *before = logits_of(m, ids, 3), first[16], bound = 1 / sqrtf(32), largest = 0;
    ck_assert_ok(ft_adapter_attach(m, &s));
    float *after = logits_of(m, ids, 3);
    ck_assert_double_le(distance(after, before, 3 * 40), 1e-6);
    const float *a = ft_model_trainable(m, 0)->t.data;
    memcpy(first, a, sizeof first);
    for (int i = 0; i < 4 * 32; i++)
        largest = FT_MAX(largest, fabsf(a[i]));
    ck_assert(largest <= bound && largest > 0.9f * bound);
    ft_adapter_detach(m);
    ck_assert(!ft_adapter_attached(m) && ft_model_trainable_count(m) == 0 && !ft_adapter_spec_of(m));
    ck_assert_ok(ft_adapter_attach(m, &s));
    ck_assert_int_eq(memcmp(ft_model_trainable(m, 0)->t.data, first, sizeof first), 0);
    ck_assert_int_ne(memcmp(ft_model_trainable(m, 2)->t.data, first, sizeof first), 0);
    ft_adapter_detach(m);
    s.seed = 4;
    ck_assert_ok(ft_adapter_attach(m, &s));
    ck_assert_int_ne(memcmp(ft_model_trainable(m, 0)->t.data, first, sizeof first), 0);
    ft_free(before);
    ft_free(after);
    ft_model_free(m);
}
END_TEST

START_TEST(rslora_scales_by_the_root_of_the_rank)
{
    static const char *const targets[] = {"q_proj", "layers.1.mlp.up_proj"};
    ft_model *m = random_model(NULL);
    ft_adapter_spec s = spec_of(targets, 2);
    ft_param *a, *b;
    float scale;
    s.rslora = true;
    ck_assert_ok(ft_adapter_attach(m, &s));
    ck_assert_uint_eq(ft_model_trainable_count(m), 2 * 3);
    ck_assert(ft_adapter_on(m, ft_model_find(m, "model.layers.1.mlp.up_proj.weight"), &a, &b, &scale));
    ck_assert_float_eq(scale, 4);
    ck_assert(!ft_adapter_on(m, ft_model_find(m, "model.layers.0.mlp.up_proj.weight"), &a, &b, &scale));
    ft_model_free(m);
}
END_TEST

START_TEST(wrong_specs_are_named)
{
    static const char *const nothing[] = {"q_proj", "query"}, *const head[] = {"lm_head"}, *const partial[] = {"proj"};
    ft_model *m = random_model(NULL);
    ft_adapter_spec s = spec_of(nothing, 2);
    ck_assert_fails(ft_adapter_attach(m, &s), FT_EINPUT, "target module \"query\" matches nothing");
    ck_assert_msg(strstr(ft_error(), "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj") != NULL, "%s",
                  ft_error());
    s = spec_of(partial, 1);
    ck_assert_fails(ft_adapter_attach(m, &s), FT_EINPUT, "target module \"proj\" matches nothing");
    s = spec_of(head, 1);
    ck_assert_fails(ft_adapter_attach(m, &s), FT_EUNSUPPORTED, "modules_to_save");
    s = spec_of(all_linear, 1);
    s.modules_to_save = nothing;
    s.n_save = 2;
    ck_assert_fails(ft_adapter_attach(m, &s), FT_EINPUT, "module to save \"query\" matches nothing");
    s = spec_of(all_linear, 1);
    s.r = 0;
    ck_assert_fails(ft_adapter_attach(m, &s), FT_EINPUT, "rank 0");
    s = spec_of(all_linear, 1);
    s.alpha = -1;
    ck_assert_fails(ft_adapter_attach(m, &s), FT_EINPUT, "alpha -1");
    s = spec_of(all_linear, 1);
    s.dropout = 1;
    ck_assert_fails(ft_adapter_attach(m, &s), FT_EINPUT, "dropout 1");
    s = spec_of(all_linear, 1);
    s.kind = "ia3";
    ck_assert_fails(ft_adapter_attach(m, &s), FT_EINPUT, "adapter kind \"ia3\"");
    s = spec_of(NULL, 0);
    ck_assert_fails(ft_adapter_attach(m, &s), FT_EINPUT, "no target modules");
    /* nothing was attached, and the weights are as trainable as before */
    ck_assert(!ft_adapter_attached(m));
    ck_assert_uint_eq(ft_model_trainable_count(m), ft_model_count(m));
    s = spec_of(all_linear, 1);
    ck_assert_ok(ft_adapter_attach(m, &s));
    ck_assert_fails(ft_adapter_attach(m, &s), FT_EINPUT, "has an adapter attached already");
    ck_assert(ft_adapter_attached(m));
    ft_model_free(m);
}
END_TEST

START_TEST(saved_modules_are_trained_copies)
{
    static const char *const save[] = {"norm", "lm_head"}, *const q[] = {"q_proj"};
    ft_model *m = random_model(NULL);
    ft_adapter_spec s = spec_of(q, 1);
    s.modules_to_save = save;
    s.n_save = 2;
    ck_assert_ok(ft_adapter_attach(m, &s));
    ck_assert_uint_eq(ft_model_trainable_count(m), 2 + 2 * 2);
    ft_param *norm = ft_model_find(m, "model.norm.weight"), *copy = ft_adapter_saved(m, norm);
    ck_assert_ptr_nonnull(copy);
    ck_assert_str_eq(copy->name, "base_model.model.model.norm.weight");
    ck_assert_int_eq(memcmp(copy->t.data, norm->t.data, 32 * sizeof(float)), 0);
    ck_assert_ptr_eq(ft_model_head(m), ft_adapter_saved(m, ft_model_find(m, "lm_head.weight")));
    ck_assert_ptr_null(ft_adapter_saved(m, ft_model_find(m, "model.embed_tokens.weight")));
    ft_model_free(m);
}
END_TEST

START_TEST(saving_one_of_a_tied_pair_saves_both)
{
    static const char *const save[] = {"lm_head"}, *const q[] = {"q_proj"};
    ft_model *m = random_model("{\"tie_word_embeddings\": true}");
    ft_adapter_spec s = spec_of(q, 1);
    s.modules_to_save = save;
    s.n_save = 1;
    ck_assert_ok(ft_adapter_attach(m, &s));
    ft_param *copy = ft_adapter_saved(m, ft_model_find(m, "model.embed_tokens.weight"));
    ck_assert_ptr_nonnull(copy);
    ck_assert_ptr_eq(ft_model_head(m), copy);
    ck_assert_uint_eq(ft_adapter_spec_of(m)->n_save, 2);
    ck_assert_str_eq(ft_adapter_spec_of(m)->modules_to_save[1], "embed_tokens");
    ft_model_free(m);
}
END_TEST

/* ---- gradients: central differences through the whole model ---- */

enum { T = 7 };
static const int32_t ids[T] = {1, 5, 9, 33, 2, 17, 39}, targets[T] = {5, -1, 33, 2, 17, -1, 4};

static double loss_of(ft_model *m, ft_tape *t, bool record)
{
    static const int64_t start[] = {0, 4, T};
    ft_loss loss = {0};
    ft_tape_begin(t, record, 9, 1);
    ft_var *x = ft_model_forward(m, t, ids, T, &(ft_segments){.n = 2, .start = start}, NULL, 0);
    ck_assert_ok(ft_op_head_loss(t, x, ft_model_head(m), targets, 0, 1, &loss));
    if (record)
        ck_assert_ok(ft_tape_backward(t));
    return loss.sum;
}

static void check_slopes(ft_model *m)
{
    ft_tape *t;
    ck_assert_ok(ft_tape_new(&t));
    loss_of(m, t, true);
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        ft_param *p = ft_model_trainable(m, i);
        float *w = p->t.data;
        int64_t n = ft_tensor_count(&p->t), at = 0;
        for (int64_t k = 1; k < n; k++)
            if (fabsf(p->grad[k]) > fabsf(p->grad[at]))
                at = k;
        float keep = w[at], h = 4e-3f;
        w[at] = keep + h;
        double up = loss_of(m, t, false);
        w[at] = keep - h;
        double down = loss_of(m, t, false);
        w[at] = keep;
        ck_assert_msg(fabs((up - down) / (2 * (double)h) - p->grad[at]) <= 0.02 * fabs(p->grad[at]) + 2e-3,
                      "%s: slope %g, gradient %g", p->name, (up - down) / (2 * (double)h), (double)p->grad[at]);
    }
    ft_tape_free(t);
}

START_TEST(gradients_reach_every_trainable_weight)
{
    ft_model *full = random_model("{\"attention_bias\": true, \"mlp_bias\": true}"),
             *tied = random_model("{\"tie_word_embeddings\": true}");
    check_slopes(full);
    check_slopes(tied);
    static const char *const save[] = {"embed_tokens", "norm", "input_layernorm", "v_proj"};
    ft_adapter_spec s = spec_of(all_linear, 1);
    s.modules_to_save = save;
    s.n_save = 4;
    ck_assert_ok(ft_adapter_attach(tied, &s));
    for (size_t i = 0; i < ft_model_trainable_count(tied); i++) { /* B is zero: A would have no gradient */
        ft_param *p = ft_model_trainable(tied, i);
        if (ft_ends(p->name, "lora_B.weight"))
            ft_fill_normal(p->t.data, (size_t)ft_tensor_count(&p->t), 0.1f, 1, FT_STREAM_TEST, i);
    }
    check_slopes(tied);
    ft_model_free(full);
    ft_model_free(tied);
}
END_TEST

/* ---- DoRA ---- */

static ft_model *with_dora(const char *more)
{
    ft_model *m = random_model(more);
    ft_adapter_spec s = spec_of(all_linear, 1);
    s.dora = true;
    ck_assert_ok(ft_adapter_attach(m, &s));
    return m;
}

/* B, and magnitudes that are not the rows' own norms. */
static void stir(ft_model *m)
{
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        ft_param *p = ft_model_trainable(m, i);
        float *x = p->t.data;
        if (ft_ends(p->name, "lora_B.weight"))
            ft_fill_normal(x, (size_t)ft_tensor_count(&p->t), 0.1f, 1, FT_STREAM_TEST, i);
        for (int64_t k = 0; ft_ends(p->name, "lora_magnitude_vector") && k < ft_tensor_count(&p->t); k++)
            x[k] *= 1 + 0.3f * ft_uniform(2, FT_STREAM_TEST, i, (uint64_t)k);
    }
}

START_TEST(dora_begins_as_the_model_itself)
{
    ft_model *m = random_model("{\"attention_bias\": true}"), *dora = with_dora("{\"attention_bias\": true}");
    const ft_param *w = ft_model_find(dora, "model.layers.0.self_attn.q_proj.weight");
    ft_param *magnitude = ft_adapter_magnitude(dora, w);
    ck_assert_uint_eq(ft_model_trainable_count(dora), 3 * 7 * 2);
    ck_assert_str_eq(magnitude->name, "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector");
    double sum = 0;
    for (int i = 0; i < 32; i++)
        sum += pow((double)((const float *)w->t.data)[5 * 32 + i], 2);
    ck_assert_double_eq_tol(((const float *)magnitude->t.data)[5], sqrt(sum), 1e-6);
    float *x = logits_of(m, ids, T), *y = logits_of(dora, ids, T);
    ck_assert_double_le(distance(y, x, T * 40), 1e-5);
    ft_free(x);
    ft_free(y);
    ft_model_free(m);
    ft_model_free(dora);
}
END_TEST

/* Another weight's rows, normed in double, on the model without adapter: what merging has to give. */
static void merge_by_hand(ft_model *to, ft_model *from)
{
    for (size_t i = 0; i < ft_model_count(from); i++) {
        const ft_param *w = ft_model_at(from, i), *magnitude = ft_adapter_magnitude(from, w);
        float *out = ft_model_at(to, i)->t.data;
        ft_param *a, *b;
        float scale;
        if (!ft_adapter_on(from, w, &a, &b, &scale))
            continue;
        int64_t in = w->t.shape[1], R = a->t.shape[0];
        for (int64_t o = 0; o < w->t.shape[0]; o++) {
            double sum = 0, row[64];
            for (int64_t k = 0; k < in; k++) {
                row[k] = ((const float *)w->t.data)[o * in + k];
                for (int64_t r = 0; r < R; r++)
                    row[k] += (double)scale * (double)((const float *)b->t.data)[o * R + r] *
                              (double)((const float *)a->t.data)[r * in + k];
                sum += row[k] * row[k];
            }
            for (int64_t k = 0; k < in; k++)
                out[o * in + k] = (float)(row[k] * (double)((const float *)magnitude->t.data)[o] / sqrt(sum));
        }
    }
}

START_TEST(dora_computes_with_rows_of_the_trained_length)
{
    static const char *const families[] = {"{\"attention_bias\": true}", "{\"model_type\": \"phi3\"}"};
    for (size_t i = 0; i < FT_COUNT(families); i++) {
        ft_model *merged = random_model(families[i]), *dora = with_dora(families[i]);
        float *bare = logits_of(merged, ids, T);
        stir(dora);
        merge_by_hand(merged, dora);
        float *x = logits_of(merged, ids, T), *y = logits_of(dora, ids, T);
        ck_assert_double_le(distance(y, x, T * 40), 1e-5);
        ck_assert_double_gt(distance(bare, x, T * 40), 0.01);
        ft_free(x);
        ft_free(y);
        ft_free(bare);
        ft_model_free(merged);
        ft_model_free(dora);
    }
}
END_TEST

/* The norms are constants of the walk, so that only the magnitudes' gradients are slopes of the loss; what goes on to A and B
 * is proven where the op is (tests/grad). */
START_TEST(gradients_reach_magnitudes_and_the_directions_below)
{
    ft_tape *t;
    ft_model *m = with_dora("{\"attention_bias\": true}");
    stir(m);
    ck_assert_ok(ft_tape_new(&t));
    loss_of(m, t, true);
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        ft_param *p = ft_model_trainable(m, i);
        int64_t n = ft_tensor_count(&p->t), at = 0;
        for (int64_t k = 1; k < n; k++)
            if (fabsf(p->grad[k]) > fabsf(p->grad[at]))
                at = k;
        ck_assert_msg(p->grad[at] != 0, "%s has no gradient", p->name);
        if (!ft_ends(p->name, "lora_magnitude_vector"))
            continue;
        float *w = p->t.data, keep = w[at], h = 4e-3f;
        w[at] = keep + h;
        double up = loss_of(m, t, false);
        w[at] = keep - h;
        double down = loss_of(m, t, false);
        w[at] = keep;
        ck_assert_msg(fabs((up - down) / (2 * (double)h) - p->grad[at]) <= 0.02 * fabs(p->grad[at]) + 2e-3,
                      "%s: slope %g, gradient %g", p->name, (up - down) / (2 * (double)h), (double)p->grad[at]);
    }
    ft_tape_free(t);
    ft_model_free(m);
}
END_TEST

/* ---- other first values ---- */

static double squares(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

/* Element (o, i) of scale B A, of the first `rank` rows of A. */
static double update_at(const ft_param *a, const ft_param *b, float scale, int64_t rank, int64_t o, int64_t i)
{
    double sum = 0;
    for (int64_t r = 0; r < rank; r++)
        sum += (double)((const float *)b->t.data)[o * b->t.shape[1] + r] * (double)((const float *)a->t.data)[r * a->t.shape[1] + i];
    return (double)scale * sum;
}

START_TEST(pissa_begins_as_the_model_itself_with_its_first_singular_vectors)
{
    ft_model *m = random_model(NULL);
    ft_adapter_spec s = spec_of(all_linear, 1);
    ft_param *a, *b;
    float scale, *before = logits_of(m, ids, T);
    s.init = "pissa";
    ck_assert_ok(ft_adapter_attach(m, &s));
    float *after = logits_of(m, ids, T);
    ck_assert_double_le(distance(after, before, T * 40), 1e-5);
    /* trained are A and B [4], exported A and B beside what they began with, of the same scale */
    const ft_param *w = ft_model_find(m, "model.layers.0.mlp.up_proj.weight");
    ck_assert(ft_adapter_on(m, w, &a, &b, &scale));
    ck_assert(a->t.shape[0] == 8 && b->t.shape[1] == 8 && ft_model_trainable(m, 0)->t.shape[0] == 4);
    ck_assert_float_eq(scale, 2);
    ck_assert(ft_adapter_spec_of(m)->r == 8 && ft_adapter_spec_of(m)->alpha == 16);
    /* |A|^2 is the sum of the singular values by the scale; what they leave of W is the rest */
    double update[48 * 32], left = 0;
    for (int64_t o = 0; o < 48; o++)
        for (int64_t i = 0; i < 32; i++) {
            double x = update_at(a, b, scale, 4, o, i);
            update[o * 32 + i] = x;
            left += pow((double)((const float *)w->t.data)[o * 32 + i] - x, 2);
        }
    double all = squares(w->t.data, 48 * 32), most = 0;
    for (int i = 0; i < 48 * 32; i++)
        most += update[i] * update[i];
    ck_assert_double_eq_tol(left + most, all, 1e-4 * all); /* the update and the rest are orthogonal */
    ck_assert_double_gt(most, 0.3 * all);
    ft_free(before);
    ft_free(after);
    ft_model_free(m);
}
END_TEST

START_TEST(gradients_of_pissa_are_slopes)
{
    ft_model *m = random_model(NULL);
    ft_adapter_spec s = spec_of(all_linear, 1);
    s.init = "pissa";
    s.rslora = true;
    ck_assert_ok(ft_adapter_attach(m, &s));
    check_slopes(m);
    ft_model_free(m);
}
END_TEST

/* Of what holding w in fewer bits lost: all, and what the adapter does not make up for. */
static void check_lost(ft_model *full, ft_model *held, const char *name)
{
    const ft_param *w = ft_model_find(full, name), *q = ft_model_find(held, name);
    ft_param *a, *b;
    float scale, *x = ft_alloc((size_t)ft_tensor_count(&q->t), sizeof *x);
    int64_t out = w->t.shape[0], in = w->t.shape[1];
    double lost = 0, left = 0;
    ck_assert(!q->t.dtype->is_float);
    ck_assert(ft_adapter_on(held, q, &a, &b, &scale));
    ft_tensor_decode_rows(&q->t, 0, out, x);
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++) {
            double d = (double)((const float *)w->t.data)[o * in + i] - x[o * in + i];
            double u = update_at(a, b, scale, a->t.shape[0], o, i);
            lost += d * d;
            left += (d - u) * (d - u);
        }
    ck_assert_double_gt(lost, 0);
    ck_assert_msg(left < 0.75 * lost, "%s: %g of %g is left", name, left, lost); /* rank 4 of 32 random directions */
    ft_free(x);
}

START_TEST(loftq_begins_with_what_quantizing_lost)
{
    char dir[512];
    ft_model *full = random_model("{\"intermediate_size\": 64}"), *held;
    ft_adapter_spec s = spec_of(all_linear, 1);
    s.init = "loftq";
    ck_assert_fails(ft_adapter_attach(full, &s), FT_EINPUT, "needs a base that is held in fewer bits");
    ck_assert(!ft_adapter_attached(full));
    snprintf(dir, sizeof dir, "%s", ft_test_dir());
    const char *gguf = ft_test_path(dir, "m.gguf"); /* rows of q and k in another order */
    write_hf(full, dir, NULL, NULL);
    write_gguf(full, gguf, &ft_f16);
    for (int i = 0; i < 2; i++) {
        ck_assert_ok(ft_model_open(&held, i ? gguf : dir, &(ft_model_options){.quantize_base = &ft_q4_0}));
        ck_assert_ok(ft_adapter_attach(held, &s));
        check_lost(full, held, "model.layers.0.self_attn.q_proj.weight");
        check_lost(full, held, "model.layers.1.mlp.down_proj.weight");
        ft_model_free(held);
    }
    ft_model_free(full);
}
END_TEST

START_TEST(inits_that_make_no_sense_are_refused)
{
    ft_model *m = random_model(NULL);
    ft_adapter_spec s = spec_of(all_linear, 1);
    s.init = "olora";
    ck_assert_fails(ft_adapter_attach(m, &s), FT_EINPUT, "adapter init \"olora\" is unknown");
    s.init = "pissa";
    s.dora = true;
    ck_assert_fails(ft_adapter_attach(m, &s), FT_EINPUT, "\"pissa\" and dora exclude each other");
    s.dora = false;
    s.r = 33;
    ck_assert_fails(ft_adapter_attach(m, &s), FT_EINPUT, "q_proj.weight: rank 33 of a matrix [32, 32]");
    ck_assert(!ft_adapter_attached(m));
    ft_model_free(m);
}
END_TEST

START_TEST(dropout_is_on_in_training_alone)
{
    ft_tape *t;
    ft_model *m = random_model(NULL);
    ft_adapter_spec s = spec_of(all_linear, 1);
    s.dropout = 0.5;
    ck_assert_ok(ft_adapter_attach(m, &s));
    for (size_t i = 1; i < ft_model_trainable_count(m); i += 2)
        ft_fill_normal(ft_model_trainable(m, i)->t.data, (size_t)ft_tensor_count(&ft_model_trainable(m, i)->t), 0.1f, 1,
                       FT_STREAM_TEST, i);
    ck_assert_ok(ft_tape_new(&t));
    double dropped = loss_of(m, t, true), again = loss_of(m, t, true);
    ck_assert_double_eq(dropped, again);
    ck_assert_double_ne(loss_of(m, t, false), dropped);
    ck_assert_double_eq(loss_of(m, t, true), dropped);
    ft_tape_free(t);
    ft_model_free(m);
}
END_TEST

/* ---- PEFT directories ---- */

/* Writes the attached adapter as a PEFT directory with this adapter_config.json; skip and extra as write_hf's. */
static const char *peft_dir(ft_model *m, const char *config, const char *skip, const char *extra)
{
    static char dir[512];
    ft_writer *w;
    int64_t four = 4;
    const float values[4] = {0};
    snprintf(dir, sizeof dir, "%s", ft_test_dir());
    write_text(dir, "adapter_config.json", config);
    ck_assert_ok(ft_writer_open(&w, "safetensors", ft_test_path(dir, "adapter_model.safetensors")));
    for (int data = 0; data < 2; data++) {
        for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
            const ft_param *p = ft_model_trainable(m, i);
            if (skip && strstr(p->name, skip))
                continue;
            ck_assert_ok(data ? ft_writer_data(w, p->t.data, ft_tensor_bytes(&p->t))
                              : ft_writer_tensor(w, p->name, p->t.dtype, p->t.ndim, p->t.shape));
        }
        if (extra)
            ck_assert_ok(data ? ft_writer_data(w, values, sizeof values)
                              : ft_writer_tensor(w, extra, &ft_f32, 1, &four));
    }
    ck_assert_ok(ft_writer_commit(w));
    return dir;
}

static ft_model *adapted(void)
{
    static const char *const some[] = {"q_proj", "down_proj"}, *const save[] = {"norm"};
    ft_model *m = random_model(NULL);
    ft_adapter_spec s = spec_of(some, 2);
    s.modules_to_save = save;
    s.n_save = 1;
    ck_assert_ok(ft_adapter_attach(m, &s));
    for (size_t i = 0; i < ft_model_trainable_count(m); i++)
        ft_fill_normal(ft_model_trainable(m, i)->t.data, (size_t)ft_tensor_count(&ft_model_trainable(m, i)->t), 0.1f, 1,
                       FT_STREAM_TEST, i);
    return m;
}

#define PEFT(more)                                                                                                     \
    "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 8, \"target_modules\": [\"q_proj\", \"down_proj\"], "         \
    "\"modules_to_save\": "                                                                                            \
    "[\"norm\"]" more "}"

START_TEST(a_peft_directory_is_the_same_adapter)
{
    ft_model *m = adapted(), *again = random_model(NULL);
    const char *dir = peft_dir(
        m, PEFT(", \"use_dora\": false, \"bias\": \"none\", \"rank_pattern\": {}, \"layers_to_transform\": null"), NULL,
        NULL);
    ck_assert_ok(ft_adapter_load(again, dir, false));
    ck_assert_uint_eq(ft_model_trainable_count(again), 0);
    float *x = logits_of(m, ids, T), *y = logits_of(again, ids, T);
    ck_assert_int_eq(memcmp(x, y, T * 40 * sizeof *x), 0);
    ft_adapter_detach(again);
    ck_assert_ok(ft_adapter_load(again, dir, true));
    ck_assert_uint_eq(ft_model_trainable_count(again), ft_model_trainable_count(m));
    for (size_t i = 0; i < ft_model_trainable_count(m); i++)
        ck_assert_str_eq(ft_model_trainable(again, i)->name, ft_model_trainable(m, i)->name);
    ft_free(x);
    ft_free(y);
    ft_model_free(m);
    ft_model_free(again);
}
END_TEST

START_TEST(layers_to_transform_says_which_layers_have_tensors)
{
    static const char *const some[] = {"q_proj", "down_proj"};
    static const int64_t second[] = {1};
    /* a number, a list; with a pattern that names the blocks, among others too; one of another model says nothing here */
    static const char *const more[] = {"1", "[1]", "[1], \"layers_pattern\": \"layers\"", "1, \"layers_pattern\": null",
                                       "[1], \"layers_pattern\": [\"h\", \"layers\"]",
                                       "[1], \"layers_pattern\": \"h\""};
    char config[512];
    ft_model *m = random_model(NULL), *again = random_model(NULL);
    ft_adapter_spec s = spec_of(some, 2);
    s.layers = second;
    s.n_layers = 1;
    ck_assert_ok(ft_adapter_attach(m, &s));
    for (size_t i = 0; i < FT_COUNT(more); i++) {
        snprintf(config, sizeof config,
                 "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 8, \"target_modules\": [\"q_proj\", "
                 "\"down_proj\"], \"layers_to_transform\": %s}",
                 more[i]);
        ck_assert_ok(ft_adapter_load(again, peft_dir(m, config, NULL, NULL), true));
        ck_assert_uint_eq(ft_model_trainable_count(again), 4);
        ck_assert_uint_eq(ft_adapter_spec_of(again)->n_layers, i < 5);
        ft_adapter_detach(again);
    }
    ft_model_free(m);
    ft_model_free(again);
}
END_TEST

START_TEST(patterns_give_a_module_its_own_rank_and_alpha)
{
    ft_model *m = adapted(), *again = random_model(NULL);
    ft_param *a, *b;
    float scale;
    ck_assert_ok(ft_adapter_load(
        again,
        peft_dir(m,
                 "{\"peft_type\": \"LORA\", \"r\": 16, \"lora_alpha\": 8, \"target_modules\": \".*(q|down)_proj\", "
                 "\"modules_to_save\": [\"norm\"], \"rank_pattern\": {\"q_proj\": 4, \"down_proj\": 4}, "
                 "\"alpha_pattern\": {\"model.layers.1.self_attn.q_proj\": 20}}",
                 NULL, NULL),
        false));
    ck_assert(ft_adapter_on(again, ft_model_find(again, "model.layers.1.self_attn.q_proj.weight"), &a, &b, &scale));
    ck_assert_float_eq(scale, 5);
    ck_assert(ft_adapter_on(again, ft_model_find(again, "model.layers.0.self_attn.q_proj.weight"), &a, &b, &scale));
    ck_assert_float_eq(scale, 2);
    ck_assert_int_eq(a->t.shape[0], 4);
    ft_model_free(m);
    ft_model_free(again);
}
END_TEST

/* As Python's re.match of "(.*\.)?(KEY)$" finds them; the first key that matches decides. */
START_TEST(patterns_are_regular_expressions)
{
    static const struct {
        const char *ranks;
        int first, second; /* ranks of q_proj in the two layers, 16 by default */
    } cases[] = {
        {"\"q_proj\": 4", 4, 4},
        {"\"proj\": 4", 16, 16},
        {"\"layers.[1-9]+.self_attn.q_proj\": 4", 16, 4},
        {"\".*layers\\\\.0\\\\..*q_proj\": 4", 4, 16},
        {"\"^q_proj\": 4", 16, 16},
        {"\"^model.layers.0.*\": 4", 4, 16},
        {"\"self_attn\": 4, \"k_proj|q_proj\": 8, \"q_proj\": 4", 8, 8},
        {"\"1.self_attn.(q|k)_proj\": 4, \"q.*\": 8", 8, 4},
    };
    for (size_t i = 0; i < FT_COUNT(cases); i++) {
        ft_model *m = random_model(NULL), *again = random_model(NULL);
        static const char *const targets[] = {"q_proj"};
        const int ranks[] = {cases[i].first, cases[i].second};
        char config[512], name[64];
        ck_assert_ok(ft_adapter_attach(m, &(ft_adapter_spec){.kind = "lora", .r = 16, .alpha = 8, .target_modules = targets,
                                                             .n_targets = 1}));
        snprintf(config, sizeof config, "{\"peft_type\": \"LORA\", \"r\": 16, \"lora_alpha\": 8, \"target_modules\": "
                 "[\"q_proj\"], \"rank_pattern\": {%s}}", cases[i].ranks);
        ft_status st = ft_adapter_load(again, peft_dir(m, config, NULL, NULL), false);
        bool plain = ranks[0] == 16 && ranks[1] == 16;
        ck_assert_msg((st == FT_OK) == plain, "%s: status %d %s", cases[i].ranks, st, ft_error());
        for (int layer = 0; !plain && layer < 2; layer++)
            if (ranks[layer] != 16) { /* the tensors have rank 16: the first module of another rank is told */
                snprintf(name, sizeof name, "expected [%d, ", ranks[layer]);
                ck_assert_msg(strstr(ft_error(), name) != NULL, "%s: %s", cases[i].ranks, ft_error());
                snprintf(name, sizeof name, "layers.%d.self_attn.q_proj", layer);
                ck_assert_msg(strstr(ft_error(), name) != NULL, "%s: %s", cases[i].ranks, ft_error());
                break;
            }
        ft_model_free(m);
        ft_model_free(again);
    }
}
END_TEST

START_TEST(a_peft_directory_may_hold_magnitudes)
{
    static const char config[] = "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 8, \"target_modules\": \"all-linear\", "
                                 "\"use_dora\": true}";
    ft_model *m = with_dora(NULL), *again = random_model(NULL);
    stir(m);
    for (int trainable = 0; trainable < 2; trainable++) {
        ck_assert_ok(ft_adapter_load(again, peft_dir(m, config, NULL, NULL), trainable));
        float *x = logits_of(m, ids, T), *y = logits_of(again, ids, T), *z = logits_of(again, ids, T);
        ck_assert_int_eq(memcmp(x, y, T * 40 * sizeof *x), 0);
        ck_assert_int_eq(memcmp(x, z, T * 40 * sizeof *x), 0); /* of a frozen one the norms were kept */
        ft_adapter_detach(again);
        ft_free(x);
        ft_free(y);
        ft_free(z);
    }
    ck_assert_fails(ft_adapter_load(again, peft_dir(m, config, "layers.1.mlp.up_proj.lora_magnitude", NULL), false), FT_EFORMAT,
                    "layers.1.mlp.up_proj.lora_magnitude_vector is missing");
    ft_model_free(m);
    ft_model_free(again);
}
END_TEST

START_TEST(wrong_peft_directories_are_named)
{
    static const struct {
        const char *config, *skip, *extra, *text;
        ft_status kind;
    } wrong[] = {
        {PEFT(""), "layers.1.mlp.down_proj.lora_B", NULL, "layers.1.mlp.down_proj.lora_B.weight is missing",
         FT_EFORMAT},
        {PEFT(""), "model.norm", NULL, "base_model.model.model.norm.weight is missing", FT_EFORMAT},
        {PEFT(""), NULL, "base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight",
         "v_proj.lora_A.weight has no place", FT_EFORMAT},
        {"{\"peft_type\": \"LORA\", \"r\": 8, \"target_modules\": [\"q_proj\", \"down_proj\"], \"modules_to_save\": "
         "[\"norm\"]}",
         NULL, NULL, "lora_A.weight has shape [4, 32], expected [8, 32]", FT_EFORMAT},
        {PEFT(", \"layers_to_transform\": [0]"), NULL, NULL, "layers.1.self_attn.q_proj.lora_A.weight has no place",
         FT_EFORMAT},
        {PEFT(", \"layers_to_transform\": [0, 2]"), NULL, NULL, "layer 2 is to be adapted", FT_EINPUT},
        {PEFT(", \"layers_to_transform\": [\"0\"]"), NULL, NULL, "layers_to_transform is no number", FT_EFORMAT},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"target_modules\": [\"query\"]}", NULL, NULL,
         "\"query\" matches nothing", FT_EINPUT},
        {"{\"peft_type\": \"IA3\"}", NULL, NULL, "peft_type is \"IA3\", LORA is supported", FT_EUNSUPPORTED},
        {"{\"r\": 4}", NULL, NULL, "peft_type is missing", FT_EFORMAT},
        {PEFT(", \"use_dora\": true"), NULL, NULL, "lora_magnitude_vector is missing", FT_EFORMAT},
        {PEFT(", \"lora_bias\": true"), NULL, NULL, "lora_bias is set", FT_EUNSUPPORTED},
        {PEFT(", \"use_bdlora\": {\"match\": 1}"), NULL, NULL, "use_bdlora is set", FT_EUNSUPPORTED},
        {PEFT(", \"init_lora_weights\": \"lora_ga\""), NULL, NULL, "\"lora_ga\"", FT_EUNSUPPORTED},
        {PEFT(", \"bias\": \"all\""), NULL, NULL, "bias is \"all\"", FT_EUNSUPPORTED},
        {PEFT(", \"init_lora_weights\": \"pissa_niter_4\""), NULL, NULL, "\"pissa_niter_4\"", FT_EUNSUPPORTED},
        {PEFT(", \"rank_pattern\": {\"q_(\": 4}"), NULL, NULL, "rank_pattern: \"q_(\" cannot be matched: missing closing parenthesis", FT_EUNSUPPORTED},
        {PEFT(", \"rank_pattern\": {\"q_)(proj\": 4}"), NULL, NULL, "cannot be matched: unmatched closing parenthesis", FT_EUNSUPPORTED},
        {PEFT(", \"rank_pattern\": {\"(.|.)*(.|.)*(.|.)*(.|.)*(.|.)*(.|.)*[^j]\": 4}"), NULL, NULL, "cannot be matched: match limit exceeded", FT_EUNSUPPORTED},
        {PEFT(", \"alpha_pattern\": {\"q_proj\": \"x\"}"), NULL, NULL, "\"q_proj\" is no number", FT_EFORMAT},
        {PEFT(", \"alpha_pattern\": {\"q_proj\": -2}"), NULL, NULL, "alpha -2", FT_EFORMAT},
    };
    ft_model *m = adapted(), *again = random_model(NULL);
    for (size_t i = 0; i < FT_COUNT(wrong); i++) {
        const char *dir = peft_dir(m, wrong[i].config, wrong[i].skip, wrong[i].extra);
        ck_assert_fails(ft_adapter_load(again, dir, false), wrong[i].kind, wrong[i].text);
        ck_assert(!ft_adapter_attached(again));
    }
    ck_assert_fails(ft_adapter_load(again, ft_test_dir(), false), FT_EINPUT, "adapter_config.json");
    ft_model_free(m);
    ft_model_free(again);
}
END_TEST

START_TEST(a_run_folder_opens_its_base_and_adapter)
{
    char run[512], config[1024], base[512];
    ft_model *m = adapted(), *again, *plain = random_model(NULL);
    snprintf(base, sizeof base, "%s", ft_test_dir());
    write_hf(plain, base, NULL, NULL);
    snprintf(run, sizeof run, "%s", ft_test_dir());
    snprintf(config, sizeof config, PEFT(", \"base_model_name_or_path\": \"%s\""), base);
    const char *dir = peft_dir(m, config, NULL, NULL);
    ck_assert_int_eq(rename(dir, ft_test_path(run, "adapter")), 0);
    float *x = logits_of(m, ids, T);
    const char *const paths[] = {run, ft_test_path(run, "adapter")};
    for (int i = 0; i < 2; i++) {
        ck_assert_ok(ft_model_open(&again, paths[i], NULL));
        ck_assert_str_eq(ft_model_tokenizer_path(again), base);
        float *y = logits_of(again, ids, T);
        ck_assert_int_eq(memcmp(x, y, T * 40 * sizeof *x), 0);
        ft_free(y);
        ft_model_free(again);
    }
    /* the base may be the run folder of a full fine-tune */
    char parent[512];
    snprintf(parent, sizeof parent, "%s", ft_test_dir());
    ck_assert_int_eq(rename(base, ft_test_path(parent, "model")), 0);
    snprintf(config, sizeof config, PEFT(", \"base_model_name_or_path\": \"%s\""), parent);
    write_text(paths[1], "adapter_config.json", config);
    ck_assert_ok(ft_model_open(&again, run, NULL));
    ck_assert_str_eq(ft_model_tokenizer_path(again), ft_test_path(parent, "model"));
    ft_model_free(again);
    ck_assert_fails(ft_model_open(&again, run, &(ft_model_options){.trainable = true}), FT_EINPUT, "merge it first");
    write_text(paths[1], "adapter_config.json", PEFT(", \"base_model_name_or_path\": \"gone/away\""));
    ck_assert_fails(ft_model_open(&again, run, NULL), FT_EINPUT,
                    "its base model \"gone/away\" is not there");
    /* fettle.json leads from the adapter to the base, whatever the current directory */
    char *way = ft_path_relative(paths[1], parent);
    ck_assert_ok(ft_origin_write(paths[1], &(ft_origin){.format = "peft", .base_path = way}));
    ck_assert_ok(ft_model_open(&again, run, NULL));
    ft_model_free(again);
    ft_free(way);
    ck_assert_ok(ft_origin_write(paths[1], &(ft_origin){.format = "peft", .base_path = "../elsewhere"}));
    ck_assert_fails(ft_model_open(&again, run, NULL), FT_EINPUT, "where it lay when the adapter was written");
    ft_free(x);
    ft_model_free(plain);
    ft_model_free(m);
}
END_TEST

static ft_status load_once(ft_model *m, const char *dir)
{
    ft_status st = ft_adapter_load(m, dir, true);
    ft_adapter_detach(m);
    return st;
}

START_TEST(every_failing_allocation_is_survived)
{
    ft_model *m = adapted(), *again = random_model(NULL);
    const char *dir = peft_dir(m, PEFT(""), NULL, NULL);
    ft_status st = FT_ENOMEM;
    for (long n = 1; st != FT_OK; n++) {
        ft_alloc_fail_at(n);
        st = load_once(again, dir);
        ft_alloc_fail_at(0);
        ck_assert_msg(st == FT_OK || st == FT_ENOMEM, "allocation %ld: status %d: %s", n, st, ft_error());
        ck_assert_int_lt(n, 5000);
    }
    ft_model_free(m);
    ft_model_free(again);
}
END_TEST

typedef struct damage {
    ft_model *m;
    const char *dir;
} damage;

static ft_status load_damaged(const char *path, void *ctx)
{
    const damage *d = ctx;
    unlink(ft_test_path(d->dir, "adapter_model.safetensors"));
    ck_assert_int_eq(symlink(path, ft_test_path(d->dir, "adapter_model.safetensors")), 0);
    return load_once(d->m, d->dir);
}

START_TEST(damaged_adapters_never_crash)
{
    ft_model *m = adapted();
    char from[512];
    snprintf(from, sizeof from, "%s", ft_test_path(peft_dir(m, PEFT(""), NULL, NULL), "adapter_model.safetensors"));
    damage d = {.m = random_model(NULL), .dir = ft_strdup(ft_test_dir())};
    write_text(d.dir, "adapter_config.json", PEFT(""));
    ck_assert_int_gt(ft_test_damage(from, 300, 5, load_damaged, &d), 100);
    ft_model_free(d.m);
    ft_free((char *)d.dir);
    ft_model_free(m);
}
END_TEST

int main(void)
{
    FT_TESTS("adapter", all_linear_is_every_linear_of_the_blocks,
             layers_choose_the_blocks_that_are_adapted, layers_to_transform_says_which_layers_have_tensors,
             a_fresh_adapter_changes_nothing_and_is_a_function_of_the_seed, rslora_scales_by_the_root_of_the_rank,
             wrong_specs_are_named, saved_modules_are_trained_copies, saving_one_of_a_tied_pair_saves_both,
             gradients_reach_every_trainable_weight, dora_begins_as_the_model_itself,
             dora_computes_with_rows_of_the_trained_length, gradients_reach_magnitudes_and_the_directions_below,
             a_peft_directory_may_hold_magnitudes, pissa_begins_as_the_model_itself_with_its_first_singular_vectors,
             gradients_of_pissa_are_slopes, loftq_begins_with_what_quantizing_lost, inits_that_make_no_sense_are_refused,
             dropout_is_on_in_training_alone,
             a_peft_directory_is_the_same_adapter, patterns_give_a_module_its_own_rank_and_alpha, patterns_are_regular_expressions,
             wrong_peft_directories_are_named, a_run_folder_opens_its_base_and_adapter,
             every_failing_allocation_is_survived, damaged_adapters_never_crash);
}
