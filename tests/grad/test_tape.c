/* The tape: checkpointing, memory, errors, decoding, marks. */
#include "mini.h"

#include "base/threads.h"
#include "grad/tape.h"
#include "kernel/kernel.h"

static int64_t elements(const ft_param *p)
{
    return ft_tensor_count(&p->t);
}

static void clear_gradients(mini *m)
{
    for (int i = 0; i < m->n; i++)
        if (m->all[i]->grad)
            memset(m->all[i]->grad, 0, (size_t)elements(m->all[i]) * sizeof(float));
}

/* Sum of squares of all gradients, and that each is there. */
static double gradient_size(const mini *m)
{
    double all = 0;
    for (int i = 0; i < m->n; i++) {
        if (!m->all[i]->grad)
            continue;
        double one = ft_sum_squares_all(m->all[i]->grad, elements(m->all[i]));
        ck_assert_msg(one > 0, "param %d has no gradient", i);
        all += one;
    }
    return all;
}

static void same_gradients(const mini *a, const mini *b)
{
    for (int i = 0; i < a->n; i++)
        if (a->all[i]->grad)
            ck_assert_msg(memcmp(a->all[i]->grad, b->all[i]->grad, (size_t)elements(a->all[i]) * sizeof(float)) == 0,
                          "param %d has other gradient bits", i);
}

static ft_tape *new_tape(void)
{
    ft_tape *t;
    ck_assert_ok(ft_tape_new(&t));
    return t;
}

START_TEST(a_checkpointed_step_has_the_same_bits)
{
    for (int full = 0; full < 2; full++) {
        mini plain, replayed;
        ft_loss a = {0}, b = {0};
        ft_tape *t = new_tape(), *u = new_tape();
        mini_new(&plain, full);
        mini_new(&replayed, full);
        plain.dropout = replayed.dropout = 0.2f;
        replayed.checkpoint = true;
        ck_assert_ok(mini_step(&plain, t, &a, 4));
        ck_assert_ok(mini_step(&replayed, u, &b, 4));
        ck_assert(a.sum == b.sum && a.count == b.count && a.count == MINI_T - (MINI_T + 3) / 4);
        ck_assert(gradient_size(&plain) > 0);
        same_gradients(&plain, &replayed);
        ft_tape_stats s = ft_tape_stats_of(t), r = ft_tape_stats_of(u);
        ck_assert_uint_lt(r.peak_bytes, s.peak_bytes);
        ck_assert_int_lt(r.records, s.records);
        ck_assert(s.forward_flops == r.forward_flops && s.backward_flops == r.backward_flops && s.forward_flops > 0);
        clear_gradients(&replayed);
        ck_assert_ok(mini_step(&replayed, u, &b, 5));
        ck_assert_msg(b.sum != 2 * a.sum, "another step has the same dropout masks");
        mini_free(&plain);
        mini_free(&replayed);
        ft_tape_free(t);
        ft_tape_free(u);
    }
}
END_TEST

START_TEST(what_is_made_again_has_the_same_bits)
{
    const size_t passing = MINI_LAYERS * (2 * MINI_C + MINI_F) * MINI_T * sizeof(float); /* two norms and a gate */
    for (int full = 0; full < 2; full++) {
        mini again, kept;
        ft_loss a = {0}, b = {0};
        ft_tape *t = new_tape(), *u = new_tape();
        mini_new(&again, full);
        mini_new(&kept, full);
        again.dropout = kept.dropout = 0.2f;
        kept.loose = true;
        ck_assert_ok(mini_step(&again, t, &a, 4));
        ck_assert_ok(mini_step(&kept, u, &b, 4));
        ck_assert(a.sum == b.sum && gradient_size(&again) > 0);
        same_gradients(&again, &kept);
        ft_tape_stats s = ft_tape_stats_of(t), r = ft_tape_stats_of(u);
        ck_assert_uint_eq(r.kept_bytes - s.kept_bytes, passing);
        ck_assert_int_eq(s.records, r.records);
        ck_assert(s.forward_flops == r.forward_flops && s.backward_flops == r.backward_flops);
        mini_free(&again);
        mini_free(&kept);
        ft_tape_free(t);
        ft_tape_free(u);
    }
}
END_TEST

START_TEST(a_step_has_the_same_bits_for_any_team)
{
    mini one, more;
    ft_loss a = {0};
    ft_tape *t = new_tape();
    mini_new(&one, true);
    one.dropout = 0.1f;
    ft_threads_set(1);
    ck_assert_ok(mini_step(&one, t, &a, 1));
    for (int threads = 2; threads <= 4; threads += 2) {
        ft_loss b = {0};
        mini_new(&more, true);
        more.dropout = 0.1f;
        ft_threads_set(threads);
        ck_assert_ok(mini_step(&more, t, &b, 1));
        ck_assert(a.sum == b.sum);
        same_gradients(&one, &more);
        mini_free(&more);
    }
    ft_threads_set(0);
    mini_free(&one);
    ft_tape_free(t);
}
END_TEST

/* |a - b| / |b| over all gradients. */
static double gradients_apart(const mini *a, const mini *b)
{
    double apart = 0, size = 0;
    for (int i = 0; i < a->n; i++)
        for (int64_t k = 0; a->all[i]->grad && k < elements(a->all[i]); k++) {
            double x = a->all[i]->grad[k], y = b->all[i]->grad[k];
            apart += (x - y) * (x - y);
            size += y * y;
        }
    return sqrt(apart / size);
}

static void round_weights(mini *m)
{
    for (int i = 0; i < m->n; i++) {
        float *w = (float *)m->all[i]->t.data;
        for (int64_t k = 0; m->all[i]->t.ndim == 2 && k < elements(m->all[i]); k++)
            w[k] = ft_bf16_to_f32(ft_f32_to_bf16(w[k]));
    }
}

/* How far rounding moves a step depends on the model: f32 with weights rounded beforehand says how much. bf16 rounds one
 * operand of every product more, by no more, so it may be off by about twice that. */
static ft_tape_stats step_with(mini *m, const ft_dtype *kept_as, double *loss)
{
    ft_tape *t = new_tape();
    ft_loss sum = {0};
    m->dropout = 0.2f;
    ft_tape_keep_as(t, kept_as);
    ck_assert_ok(mini_step(m, t, &sum, 4));
    *loss = sum.sum;
    ft_tape_stats s = ft_tape_stats_of(t);
    ft_tape_free(t);
    return s;
}

/* Measured against what weights rounded to bf16 would do to gradients: a third to a half of it. */
START_TEST(activations_kept_in_bf16_take_half_and_round_gradients_alone)
{
    enum { EXACT, NARROW, REPLAYED, WEIGHTS };
    for (int full = 0; full < 2; full++) {
        mini m[4];
        double loss[4];
        ft_tape_stats s[4];
        for (int k = 0; k < 4; k++) {
            mini_new(&m[k], full);
            m[k].checkpoint = k == REPLAYED;
            if (k == WEIGHTS)
                round_weights(&m[k]);
            s[k] = step_with(&m[k], k == NARROW || k == REPLAYED ? &ft_bf16 : &ft_f32, &loss[k]);
        }
        double apart = gradients_apart(&m[NARROW], &m[EXACT]), from_weights = gradients_apart(&m[WEIGHTS], &m[EXACT]);
        ck_assert(loss[NARROW] == loss[EXACT] && loss[REPLAYED] == loss[EXACT]);
        same_gradients(&m[EXACT], &m[REPLAYED]);
        ck_assert_msg(apart > from_weights / 20 && apart < 0.5 * from_weights,
                      "gradients are off by %g, by rounded weights %g", apart, from_weights);
        ck_assert_msg(s[NARROW].kept_bytes < 0.65 * (double)s[EXACT].kept_bytes, "%zu bytes are kept, %zu in f32",
                      s[NARROW].kept_bytes, s[EXACT].kept_bytes);
        ck_assert_int_eq(s[NARROW].records, s[EXACT].records);
        for (int k = 0; k < 4; k++)
            mini_free(&m[k]);
    }
}
END_TEST

START_TEST(a_step_in_bf16_is_as_near_as_rounded_operands_let_it)
{
    enum { EXACT, WEIGHTS, BF16 };
    mini m[3];
    ft_loss loss[3] = {{0}};
    bool here = ft_engine_compute(ft_engine_of(FT_COMPUTE_BF16)) == FT_COMPUTE_BF16;
    for (int k = 0; k < 3; k++) {
        ft_tape *t = new_tape();
        ft_tape_compute(t, k == BF16 ? FT_COMPUTE_BF16 : FT_COMPUTE_F32);
        mini_new(&m[k], true);
        if (k == WEIGHTS)
            round_weights(&m[k]);
        ck_assert_ok(mini_step(&m[k], t, &loss[k], 4));
        ft_tape_free(t);
    }
    double apart = gradients_apart(&m[BF16], &m[EXACT]), from_weights = gradients_apart(&m[WEIGHTS], &m[EXACT]);
    if (here)
        ck_assert_msg(apart > from_weights / 3 && apart < 3 * from_weights,
                      "gradients in bf16 are off by %g, by rounded weights %g", apart, from_weights);
    else
        same_gradients(&m[BF16], &m[EXACT]);
    for (int k = 0; k < 3; k++)
        mini_free(&m[k]);
}
END_TEST

/* The whole model's gradient along a direction, against the loss there and back. */
START_TEST(the_loss_falls_as_the_gradient_says)
{
    mini m;
    ft_loss at = {0}, up = {0}, down = {0};
    ft_tape *t = new_tape();
    mini_new(&m, true);
    ck_assert_ok(mini_step(&m, t, &at, 1));
    double slope = gradient_size(&m), step = 0.005 / sqrt(slope);
    float *direction[FT_COUNT(m.all)];
    for (int i = 0; i < m.n; i++) {
        direction[i] = ft_alloc((size_t)elements(m.all[i]), sizeof(float));
        ft_copy_all(direction[i], m.all[i]->grad, elements(m.all[i]));
        ft_axpy_all(m.all[i]->t.data, (float)step, direction[i], elements(m.all[i]));
    }
    ck_assert_ok(mini_step(&m, t, &up, 1));
    for (int i = 0; i < m.n; i++) {
        ft_axpy_all(m.all[i]->t.data, (float)(-2 * step), direction[i], elements(m.all[i]));
        ft_free(direction[i]);
    }
    ck_assert_ok(mini_step(&m, t, &down, 1));
    double measured = (up.sum - down.sum) * 0.01 / (2 * step);
    ck_assert_msg(fabs(measured - slope) < 2e-3 * slope, "slope %g, measured %g", slope, measured);
    mini_free(&m);
    ft_tape_free(t);
}
END_TEST

START_TEST(a_steady_step_allocates_nothing)
{
    mini m;
    ft_loss loss = {0};
    ft_tape *t = new_tape();
    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        mini_new(&m, true);
        m.checkpoint = checkpoint;
        m.dropout = 0.1f;
        for (uint64_t step = 0; step < 3; step++)
            ck_assert_ok(mini_step(&m, t, &loss, step));
        uint64_t before = ft_alloc_count();
        for (uint64_t step = 0; step < 4; step++) {
            m.start[4] = MINI_T - (int64_t)step * 7; /* steps differ in length */
            ck_assert_ok(mini_step(&m, t, &loss, step));
        }
        ck_assert_uint_eq(ft_alloc_count(), before);
        mini_free(&m);
    }
    ft_tape_free(t);
}
END_TEST

/* Steps that outgrow the first chunk settle into one that holds them, and then allocate nothing. */
START_TEST(memory_settles_after_growth)
{
    ft_tape *t = new_tape();
    uint64_t before = 0;
    for (int step = 0; step < 5; step++) {
        if (step == 2)
            before = ft_alloc_count();
        ft_tape_begin(t, true, 1, 1);
        for (int i = 0; i < 30; i++)
            ck_assert_ptr_nonnull(ft_tape_alloc(t, 1000003, 1));
    }
    ck_assert_uint_le(ft_alloc_count() - before, 3); /* the new arena of step 2: handle, list, chunk */
    ft_tape_stats s = ft_tape_stats_of(t);
    ck_assert_uint_ge(s.peak_bytes, 30 * (size_t)1000003);
    ck_assert_uint_le(s.peak_bytes, 31 * (size_t)1000003);
    ft_tape_free(t);
}
END_TEST

START_TEST(the_pool_gives_back_joined_what_it_cut)
{
    ft_tape *t = new_tape();
    ft_tape_begin(t, true, 1, 1);
    float *large = ft_grad__lend(t, 1000), *next = ft_grad__lend(t, 20);
    ck_assert_ptr_eq(next, large + 1008);
    ft_grad__give_back(t, large);
    float *a = ft_grad__lend(t, 300), *b = ft_grad__lend(t, 300), *c = ft_grad__lend(t, 300);
    ck_assert(a == large && b == a + 304 && c == b + 304);
    ck_assert_ptr_eq(ft_grad__lend(t, 96), c + 304);
    ft_grad__give_back(t, b);
    ck_assert_ptr_eq(ft_grad__lend(t, 10), b);
    ft_grad__give_back(t, a);
    ft_grad__give_back(t, b);
    ck_assert_ptr_eq(ft_grad__lend(t, 608), a);
    ft_grad__give_back(t, next);
    ck_assert_ptr_eq(ft_grad__lend(t, 5000), next); /* what is free at the end grows */
    ft_tape_stats s = ft_tape_stats_of(t);
    ck_assert_uint_eq(s.temporary_bytes, (1008 + 5008) * sizeof(float));
    ft_tape_free(t);
}
END_TEST

START_TEST(without_records_nothing_has_a_gradient)
{
    mini m;
    ft_tape *t = new_tape();
    mini_new(&m, true);
    ft_tape_begin(t, false, 1, 1);
    ft_var *x = mini_forward(&m, t, m.ids, MINI_T);
    ck_assert(x && !x->needs_grad && ft_tape_stats_of(t).records == 0);
    ft_loss loss = {0};
    ck_assert_ok(ft_op_head_loss(t, x, &m.table, m.targets, 0, 1, &loss));
    ck_assert(loss.count > 0 && m.table.grad[0] == 0);
    ck_assert_fails(ft_tape_backward(t), FT_EINPUT, "not recorded");
    mini_free(&m);
    mini_new(&m, false);
    for (int i = 0; i < m.n; i++)
        m.all[i]->trainable = false;
    ft_tape_begin(t, true, 1, 1);
    ck_assert(mini_forward(&m, t, m.ids, MINI_T) && ft_tape_stats_of(t).records == 0);
    mini_free(&m);
    ft_tape_free(t);
}
END_TEST

START_TEST(argmax_goes_to_the_caller)
{
    mini m;
    ft_tape *t = new_tape();
    int32_t argmax[MINI_T];
    ft_loss loss = {.argmax = argmax};
    mini_new(&m, false);
    ft_tape_begin(t, false, 1, 1);
    ft_var *x = mini_forward(&m, t, m.ids, MINI_T);
    ck_assert_ok(ft_op_head_loss(t, x, &m.table, m.targets, 0, 1, &loss));
    const ft_var *logits = ft_op_logits(t, x, &m.table, 0);
    int64_t n = 0, correct = 0;
    for (int64_t i = 0; i < MINI_T; i++) {
        if (m.targets[i] < 0)
            continue;
        int32_t best = argmax[n++];
        correct += best == m.targets[i];
        for (int v = 0; v < MINI_V; v++)
            ck_assert(logits->v[i * MINI_V + v] <= logits->v[i * MINI_V + best] + 1e-5f);
    }
    ck_assert_int_eq(n, loss.count);
    ck_assert_int_eq(correct, loss.correct);
    mini_free(&m);
    ft_tape_free(t);
}
END_TEST

/* ---- decoding ---- */

static void kv_new(ft_kv *kv, int64_t slots, int64_t capacity)
{
    for (int i = 0; i < MINI_LAYERS; i++) {
        kv[i] = (ft_kv){.slots = slots, .capacity = capacity, .width = MINI_K * MINI_D};
        kv[i].k = ft_alloc((size_t)(slots * capacity * kv[i].width), sizeof(float));
        kv[i].v = ft_alloc((size_t)(slots * capacity * kv[i].width), sizeof(float));
    }
}

static void kv_free(ft_kv *kv)
{
    for (int i = 0; i < MINI_LAYERS; i++) {
        ft_free(kv[i].k);
        ft_free(kv[i].v);
    }
}

static void check_rows(const float *got, const float *expected, int64_t n)
{
    for (int64_t i = 0; i < n * MINI_C; i++)
        ck_assert_msg(fabsf(got[i] - expected[i]) < 1e-4f, "element %lld: %g, not %g", (long long)i, (double)got[i],
                      (double)expected[i]);
}

/* Rows of 90 and 60 tokens at once; then through a cache: 70 and 40 tokens, then one token a row, then several, in
 * slots 2 and 0. */
START_TEST(decoding_through_a_cache_sees_the_whole_row)
{
    mini m;
    ft_kv kv[MINI_LAYERS];
    ft_tape *t = new_tape();
    float whole[MINI_T * MINI_C];
    int32_t ids[MINI_T];
    int64_t start[3] = {0, 90, 150}, past[2] = {0, 0}, slot[2] = {2, 0};
    const int64_t steps[] = {70, 1, 1, 5, 1, 12};
    mini_new(&m, false);
    kv_new(kv, 3, 100);
    m.seg = (ft_segments){.n = 2, .start = start};
    ft_tape_begin(t, false, 1, 1);
    memcpy(whole, mini_forward(&m, t, m.ids, MINI_T)->v, sizeof whole);
    m.kv = kv;
    m.seg.past = past;
    m.seg.slot = slot;
    for (size_t s = 0; s < FT_COUNT(steps); s++) {
        int64_t n0 = steps[s], n1 = s ? steps[s] : 40;
        memcpy(ids, m.ids + past[0], (size_t)n0 * sizeof *ids);
        memcpy(ids + n0, m.ids + 90 + past[1], (size_t)n1 * sizeof *ids);
        start[1] = n0;
        start[2] = n0 + n1;
        ft_tape_begin(t, false, 1, 1);
        const ft_var *x = mini_forward(&m, t, ids, n0 + n1);
        ck_assert_msg(x != NULL, "%s", ft_error());
        check_rows(x->v, whole + past[0] * MINI_C, n0);
        check_rows(x->v + n0 * MINI_C, whole + (90 + past[1]) * MINI_C, n1);
        past[0] += n0;
        past[1] += n1;
    }
    past[1] = 95;
    ft_tape_begin(t, false, 1, 1);
    ck_assert_ptr_null(mini_forward(&m, t, ids, start[2]));
    ck_assert_fails(ft_tape_status(t), FT_EINPUT, "");
    kv_free(kv);
    mini_free(&m);
    ft_tape_free(t);
}
END_TEST

START_TEST(rewinding_keeps_what_is_asked)
{
    ft_tape *t = new_tape();
    float values[12], zero[12] = {0};
    for (int i = 0; i < 12; i++)
        values[i] = (float)i;
    ft_tape_begin(t, false, 1, 1);
    ft_var *a = ft_leaf(t, values, 3, 4, false), *b = ft_leaf(t, zero, 3, 4, false);
    ft_tape_mark mark = ft_tape_now(t);
    size_t used = 0;
    for (int round = 0; round < 50; round++) {
        ck_assert_ptr_nonnull(ft_tape_alloc(t, 5000, 7));
        a = ft_tape_rewind(t, mark, ft_op_add(t, b, a));
        ck_assert_msg(a != NULL, "%s", ft_error());
        for (int i = 0; i < 12; i++)
            ck_assert(a->v[i] == (float)i);
        size_t now = ft_tape_now(t).used;
        ck_assert(round == 0 || now == used);
        used = now;
    }
    ft_tape_begin(t, true, 1, 1);
    mark = ft_tape_now(t);
    ft_tape_rewind(t, mark, NULL);
    ck_assert_fails(ft_tape_status(t), FT_EINPUT, "");
    ft_tape_free(t);
}
END_TEST

/* ---- errors ---- */

static float numbers[64];

static ft_param weight(const char *name, int64_t rows, int64_t cols)
{
    return (ft_param){.name = name, .t = {.dtype = &ft_f32, .ndim = 2, .shape = {rows, cols}, .data = numbers}};
}

/* The op said no, the tape says why, and every op after it says NULL. */
static void check_refused(ft_tape *t, const ft_var *y, ft_status kind, const char *text)
{
    ck_assert_ptr_null(y);
    ck_assert_int_eq(ft_tape_status(t), kind);
    ck_assert_msg(strstr(ft_error(), text) != NULL, "\"%s\" lacks \"%s\"", ft_error(), text);
    ft_param w = weight("w", 1, 1);
    ck_assert_ptr_null(ft_op_linear(t, NULL, &w, NULL));
    ck_assert_ptr_null(ft_leaf(t, numbers, 1, 1, false));
    ck_assert_int_eq(ft_tape_status(t), kind);
    ft_tape_begin(t, true, 1, 1);
}

START_TEST(what_does_not_fit_is_refused_with_op_and_shapes)
{
    ft_tape *t = new_tape();
    ft_param w = weight("model.w", 4, 3), a = weight("A", 2, 3), b = weight("B", 4, 2), norm = weight("n", 1, 2);
    ft_rope rope = {.inv_freq = numbers, .rot = 4, .factor = 1};
    int64_t start[] = {0, 2}, past[] = {3};
    ft_segments seg = {.n = 1, .start = start};
    ft_attention_spec spec = {.heads = 1, .kv_heads = 1, .head_dim = 3, .scale = 1, .causal = true};
    ft_tape_begin(t, true, 1, 1);
#define LEAF(rows, cols) ft_leaf(t, numbers, rows, cols, true)
    check_refused(t, ft_op_linear(t, LEAF(2, 5), &w, NULL), FT_EINPUT,
                  "linear: model.w is [4, 3], its rows should have 5");
    check_refused(t, ft_op_linear(t, LEAF(2, 3), &w, &a), FT_EINPUT, "the bias A has 6");
    ft_lora lora = {.a = &a, .b = &b, .scale = 1, .dropout = 1};
    check_refused(t, ft_op_lora(t, LEAF(2, 3), &w, NULL, &lora), FT_EINPUT, "dropout 1");
    check_refused(t, ft_op_lora(t, LEAF(2, 3), &a, NULL, &lora), FT_EINPUT,
                  "lora: A [2, 3] and B [4, 2] do not fit a weight of 2 rows");
    lora.a = &w;
    check_refused(t, ft_op_lora(t, LEAF(2, 3), &w, NULL, &lora), FT_EINPUT, "lora: B is [4, 2], its rows should have 4");
    check_refused(t, ft_op_rmsnorm(t, LEAF(2, 3), &norm, 0, 0), FT_EINPUT, "rmsnorm: x is [2, 3], n has 2");
    check_refused(t, ft_op_rope(t, LEAF(2, 3), 1, 3, &rope, &seg), FT_EINPUT, "rope: 4 dims");
    check_refused(t, ft_op_rope(t, LEAF(3, 4), 1, 4, &rope, &seg), FT_EINPUT, "rope: segments cover 2 of 3");
    check_refused(t, ft_op_attention(t, LEAF(2, 3), LEAF(2, 3), LEAF(2, 4), &spec, &seg, NULL), FT_EINPUT, "v [2, 4]");
    seg.past = past;
    check_refused(t, ft_op_attention(t, LEAF(2, 3), LEAF(2, 3), LEAF(2, 3), &spec, &seg, NULL), FT_EINPUT, "no cache");
    check_refused(t, ft_op_glu(t, LEAF(2, 3), LEAF(3, 2), FT_GATE_SILU), FT_EINPUT, "glu: gate is [2, 3], up is [3, 2]");
    check_refused(t, ft_op_add(t, LEAF(2, 3), LEAF(3, 2)), FT_EINPUT, "add: [2, 3] + [3, 2]");
    check_refused(t, ft_op_rows(t, LEAF(2, 3), (int64_t[]){2}, 1), FT_EINPUT, "rows: row 2 of 2");
    check_refused(t, ft_op_embedding(t, &w, (int32_t[]){1, 4}, 2, 1), FT_EINPUT,
                  "token 1 has id 4, the table has 4 rows");
    check_refused(t, ft_op_logits(t, LEAF(2, 3), &w, 0), FT_EUNSUPPORTED, "logits: has no backward rule");
    check_refused(t, ft_op_add(t, LEAF(2, 3), NULL), FT_EINPUT, "add: input 1 is missing");
    check_refused(t, LEAF(0, 3), FT_EINPUT, "a leaf of [0, 3]");
    ft_loss loss = {0};
    ck_assert_fails(ft_op_head_loss(t, LEAF(2, 3), &w, (int32_t[]){1, 4}, 0, 1, &loss), FT_EINPUT, "target 4");
    ft_tape_begin(t, true, 1, 1);
    w.trainable = true;
    check_refused(t, ft_op_linear(t, LEAF(2, 3), &w, NULL), FT_EINPUT, "without a gradient");
#undef LEAF
    ft_tape_free(t);
}
END_TEST

START_TEST(what_was_taken_over_is_not_read_again)
{
    ft_tape *t = new_tape();
    ft_tape_begin(t, false, 1, 1);
    ft_var *a = ft_leaf(t, numbers, 2, 3, false);
    ft_var *b = ft_op_add(t, a, a), *c = ft_op_add(t, a, b);
    ck_assert(c && a->v && !b->v);
    check_refused(t, ft_op_add(t, b, a), FT_EINPUT, "input 0 was taken over");
    ft_tape_free(t);
}
END_TEST

START_TEST(a_step_without_memory_says_so)
{
    mini m;
    ft_loss loss = {0};
    ft_status st = FT_ENOMEM;
    mini_new(&m, true);
    for (int n = 1; st != FT_OK; n++) {
        ck_assert_int_lt(n, 200);
        ft_tape *t;
        ft_alloc_fail_at(n);
        st = ft_tape_new(&t);
        if (st == FT_OK) {
            st = mini_step(&m, t, &loss, 1);
            ft_tape_free(t);
        }
        ck_assert(st == FT_OK || st == FT_ENOMEM);
        ft_alloc_fail_at(0);
    }
    mini_free(&m);
}
END_TEST

int main(void)
{
    FT_TESTS("grad/tape", a_checkpointed_step_has_the_same_bits, what_is_made_again_has_the_same_bits,
             the_pool_gives_back_joined_what_it_cut, a_step_has_the_same_bits_for_any_team,
             activations_kept_in_bf16_take_half_and_round_gradients_alone,
             a_step_in_bf16_is_as_near_as_rounded_operands_let_it,
             the_loss_falls_as_the_gradient_says, a_steady_step_allocates_nothing, memory_settles_after_growth,
             without_records_nothing_has_a_gradient, argmax_goes_to_the_caller,
             decoding_through_a_cache_sees_the_whole_row, rewinding_keeps_what_is_asked,
             what_does_not_fit_is_refused_with_op_and_shapes, what_was_taken_over_is_not_read_again,
             a_step_without_memory_says_so);
}
