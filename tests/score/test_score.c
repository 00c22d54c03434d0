/* The two passes over real models: the loss of ../shared/golden, known continuations, and what scoring promises about
 * order, batches, threads and stopping. */
#include "support/support.h"
#include "base/threads.h"
#include "score/score.h"

#include <jansson.h>

enum { MAX_ROWS = 8 };

typedef struct fixture {
    ft_model *m;
    ft_tokenizer *tok;
    ft_row row[MAX_ROWS];
    ft_rows rows;
    json_t *golden;
} fixture;

static void add_row(fixture *f, const json_t *ids, const json_t *mask)
{
    ft_row *r = &f->row[f->rows.n++];
    *r = (ft_row){.n = (int32_t)json_array_size(ids), .example = (int64_t)f->rows.n - 1};
    r->ids = ft_alloc((size_t)r->n, sizeof *r->ids);
    r->mask = ft_alloc((size_t)r->n, 1);
    for (int32_t i = 0; i < r->n; i++) {
        r->ids[i] = (int32_t)json_integer_value(json_array_get(ids, (size_t)i));
        r->mask[i] = json_integer_value(json_array_get(mask, (size_t)i)) != 0;
        f->rows.supervised += r->mask[i];
    }
}

/* The rows of a golden case and its model; false when ../shared is absent. */
static bool open_golden(fixture *f, const char *name, const char *model)
{
    *f = (fixture){.rows = {.p = f->row}};
    const char *dir = ft_test_shared(name), *path = ft_test_shared(model);
    if (!dir || !path)
        return false;
    f->golden = json_load_file(ft_test_path(dir, "case.json"), 0, NULL);
    ck_assert_ptr_nonnull(f->golden);
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(f->golden, "rows"), i, row)
        add_row(f, json_object_get(row, "tokens"), json_object_get(row, "supervised"));
    ck_assert_ok(ft_model_open(&f->m, path, NULL));
    return true;
}

static void close_fixture(fixture *f)
{
    for (size_t i = 0; i < f->rows.n; i++) {
        ft_free(f->row[i].ids);
        ft_free(f->row[i].mask);
    }
    json_decref(f->golden);
    ft_model_free(f->m);
    ft_tokenizer_free(f->tok);
}

static const ft_metric *loss_only[1];
static ft_score_options loss_options(void)
{
    loss_only[0] = ft_metric_named("loss");
    return (ft_score_options){.metrics = loss_only, .n_metrics = 1};
}

START_TEST(loss_equals_the_golden_one)
{
    static const char *const cases[][2] = {{"golden/stories260K", "models/stories260K"},
                                           {"golden/tinystories-656k", "models/tinystories-656k"},
                                           {"golden/llama3-scaled", "golden/llama3-scaled/model"}};
    for (size_t i = 0; i < FT_COUNT(cases); i++) {
        fixture f;
        ft_scores s;
        ft_score_options o = loss_options();
        if (!open_golden(&f, cases[i][0], cases[i][1]))
            FT_SKIP("../shared is absent");
        ck_assert_ok(ft_score(&s, f.m, NULL, &f.rows, &o));
        double want = json_number_value(json_object_get(f.golden, "loss_without_adapter"));
        ck_assert_double_eq_tol(ft_scores_get(&s, "loss", NAN), want, 1e-4 * want);
        ck_assert_int_eq(s.supervised_tokens, f.rows.supervised);
        ck_assert_int_eq(s.rows, (int64_t)f.rows.n);
        ck_assert_int_eq(s.generated_tokens, 0);
        close_fixture(&f);
    }
}
END_TEST

/* First choice of every supervised position of one row, by logits of the row alone. */
static int64_t choices(ft_model *m, const ft_row *r, int32_t *out)
{
    ft_tape *t;
    int64_t start[] = {0, r->n}, vocab = ft_model_config(m)->vocab_size, n = 0;
    ft_segments seg = {.n = 1, .start = start};
    ck_assert_ok(ft_tape_new(&t));
    ft_tape_begin(t, false, 0, 0);
    ft_var *x = ft_model_forward(m, t, r->ids, r->n, &seg, NULL, 0);
    ft_var *y = ft_op_logits(t, x, ft_model_head(m), ft_model_softcap(m));
    ck_assert_ok(ft_tape_status(t));
    for (int64_t i = 0; i + 1 < r->n; i++) {
        const float *row = y->v + i * vocab;
        int32_t best = 0;
        for (int32_t k = 1; k < vocab; k++)
            best = row[k] > row[best] ? k : best;
        if (r->mask[i + 1])
            out[n++] = best;
    }
    ft_tape_free(t);
    return n;
}

START_TEST(first_choices_come_in_row_order)
{
    fixture f;
    ft_scores s;
    ft_score_options o = loss_options();
    if (!open_golden(&f, "golden/stories260K", "models/stories260K"))
        FT_SKIP("../shared is absent");
    int32_t *want = ft_alloc((size_t)f.rows.supervised, sizeof *want), *got = ft_alloc((size_t)f.rows.supervised, sizeof *got);
    int64_t n = 0;
    /* row order is not the order of length in which they are batched */
    ft_row first = f.row[0];
    f.row[0] = f.row[2];
    f.row[2] = first;
    for (size_t i = 0; i < f.rows.n; i++)
        n += choices(f.m, &f.row[i], want + n);
    ck_assert_int_eq(n, f.rows.supervised);
    o.argmax = got;
    ck_assert_ok(ft_score(&s, f.m, NULL, &f.rows, &o));
    ck_assert_double_eq(ft_top1_agreement(want, got, n), 1);
    ft_free(want);
    ft_free(got);
    close_fixture(&f);
}
END_TEST

START_TEST(batches_and_threads_do_not_change_the_loss)
{
    fixture f;
    if (!open_golden(&f, "golden/stories260K", "models/stories260K"))
        FT_SKIP("../shared is absent");
    double loss[3];
    const int64_t batch[] = {1, 100, 100};
    for (int i = 0; i < 3; i++) {
        ft_scores s;
        ft_score_options o = loss_options();
        o.tokens_per_batch = batch[i];
        ft_threads_set(i == 2 ? 1 : 2);
        ck_assert_ok(ft_score(&s, f.m, NULL, &f.rows, &o));
        loss[i] = ft_scores_get(&s, "loss", NAN);
    }
    ft_threads_set(0);
    ck_assert_double_eq_tol(loss[0], loss[1], 1e-6 * loss[1]);
    ck_assert_double_eq(loss[1], loss[2]);
    close_fixture(&f);
}
END_TEST

START_TEST(dropout_is_off_while_scoring)
{
    fixture f;
    if (!open_golden(&f, "golden/stories260K", "models/stories260K"))
        FT_SKIP("../shared is absent");
    const char *const targets[] = {"all-linear"};
    ft_adapter_spec spec = {.kind = "lora", .r = 4, .alpha = 8, .dropout = 0.5, .target_modules = targets, .n_targets = 1};
    ck_assert_ok(ft_adapter_attach(f.m, &spec));
    for (size_t i = 0; i < ft_model_trainable_count(f.m); i++) {
        ft_param *p = ft_model_trainable(f.m, i);
        ft_fill_normal(p->t.data, (size_t)ft_tensor_count(&p->t), 0.05f, 1, FT_STREAM_TEST, i);
    }
    int32_t *off = ft_alloc((size_t)f.rows.supervised, sizeof *off), *scored = ft_alloc((size_t)f.rows.supervised, sizeof *off);
    int64_t n = choices(f.m, &f.row[0], off);
    ft_scores s;
    ft_score_options o = loss_options();
    o.max_rows = 1;
    o.argmax = scored;
    ck_assert_ok(ft_score(&s, f.m, NULL, &f.rows, &o));
    ck_assert_double_eq(ft_top1_agreement(off, scored, n), 1);
    ft_free(off);
    ft_free(scored);
    close_fixture(&f);
}
END_TEST

/* The sum of divergences at a row's supervised positions, from whole logits in f64. */
static double divergence(ft_model *p, ft_model *q, const ft_row *r)
{
    ft_model *const models[] = {p, q};
    ft_tape *t[2];
    const float *x[2];
    int64_t start[] = {0, r->n}, vocab = ft_model_config(p)->vocab_size;
    ft_segments seg = {.n = 1, .start = start};
    double kl = 0;
    for (int k = 0; k < 2; k++) {
        ck_assert_ok(ft_tape_new(&t[k]));
        ft_tape_begin(t[k], false, 0, 0);
        x[k] = ft_op_logits(t[k], ft_model_forward(models[k], t[k], r->ids, r->n, &seg, NULL, 0), ft_model_head(models[k]),
                            ft_model_softcap(models[k]))->v;
    }
    for (int64_t i = 0; i + 1 < r->n; i++) {
        double sum[2] = {0};
        for (int64_t v = 0; v < 2 * vocab; v++)
            sum[v >= vocab] += exp((double)x[v >= vocab][i * vocab + v % vocab]);
        for (int64_t v = 0; r->mask[i + 1] && v < vocab; v++) {
            double a = x[0][i * vocab + v] - log(sum[0]), b = x[1][i * vocab + v] - log(sum[1]);
            kl += exp(a) * (a - b);
        }
    }
    ft_tape_free(t[0]);
    ft_tape_free(t[1]);
    return kl;
}

START_TEST(divergence_is_that_of_all_logits)
{
    fixture f, other;
    ft_model *reference;
    ft_scores s;
    double kl = -1, same = -1, want = 0;
    if (!open_golden(&f, "golden/stories260K", "models/stories260K"))
        FT_SKIP("../shared is absent");
    const char *const targets[] = {"all-linear"};
    ft_adapter_spec spec = {.kind = "lora", .r = 4, .alpha = 8, .target_modules = targets, .n_targets = 1};
    ck_assert_ok(ft_model_open(&reference, ft_test_shared("models/stories260K"), NULL));
    ck_assert_ok(ft_adapter_attach(reference, &spec));
    for (size_t i = 0; i < ft_model_trainable_count(reference); i++) {
        ft_param *p = ft_model_trainable(reference, i);
        ft_fill_normal(p->t.data, (size_t)ft_tensor_count(&p->t), 0.05f, 1, FT_STREAM_TEST, i);
    }
    ft_score_options o = loss_options();
    o.tokens_per_batch = 40; /* several batches, and several rows in one */
    o.reference = reference;
    o.kl = &kl;
    ck_assert_ok(ft_score(&s, f.m, NULL, &f.rows, &o));
    for (size_t i = 0; i < f.rows.n; i++)
        want += divergence(reference, f.m, &f.row[i]);
    want /= (double)f.rows.supervised;
    ck_assert_double_gt(want, 1e-3);
    ck_assert_double_eq_tol(kl / want, 1, 1e-4);
    o.reference = f.m;
    o.kl = &same;
    ck_assert_ok(ft_score(&s, f.m, NULL, &f.rows, &o));
    ck_assert_double_eq_tol(same, 0, 1e-6);
    if (open_golden(&other, "golden/tinystories-656k", "models/tinystories-656k")) {
        o.reference = other.m;
        ck_assert_fails(ft_score(&s, f.m, NULL, &f.rows, &o), FT_EINPUT, "their choices cannot be compared");
        close_fixture(&other);
    }
    ft_model_free(reference);
    close_fixture(&f);
}
END_TEST

static void break_weight(ft_model *m)
{
    ft_param *norm = ft_model_find(m, "model.norm.weight");
    ((float *)norm->t.data)[0] = NAN;
}

START_TEST(a_loss_that_is_no_number_is_an_error)
{
    fixture f;
    ft_scores s;
    ft_score_options o = loss_options();
    if (!open_golden(&f, "golden/stories260K", "models/stories260K"))
        FT_SKIP("../shared is absent");
    ft_model_free(f.m);
    ck_assert_ok(ft_model_open(&f.m, ft_test_shared("models/stories260K"), &(ft_model_options){.trainable = true}));
    break_weight(f.m);
    ck_assert_fails(ft_score(&s, f.m, NULL, &f.rows, &o), FT_ENUMERIC, "the loss is");
    close_fixture(&f);
}
END_TEST

/* ---- generated text ---- */

/* What models/tinystories-656k is known to tell greedily behind BOS. */
static const char story[] = "Once upon a time, there was a little girl named Lily. She had a toy car that she loved very much.";
static const int32_t told_before[] = {0, 12, 4}; /* tokens of the story that a row's prompt has: not in order */

/* Rows that begin the story, each with some of its tokens in the prompt and the known beginning as its answer. */
static bool open_stories(fixture *f)
{
    *f = (fixture){.rows = {.p = f->row}};
    const char *path = ft_test_shared("models/tinystories-656k");
    if (!path)
        return false;
    ck_assert_ok(ft_model_open(&f->m, path, NULL));
    ck_assert_ok(ft_tokenizer_open(&f->tok, path));
    int32_t bos = ft_tokenizer_bos(f->tok), ids[12];
    ft_decode_request q = {.prompt = &bos, .n = 1, .out = ids, .max_new = FT_COUNT(ids)};
    ck_assert_ok(ft_decode(f->m, &q, 1, &(ft_decode_options){.sampling = {.top_p = 1}}));
    for (size_t i = 0; i < FT_COUNT(told_before); i++) {
        ft_row *r = &f->row[f->rows.n++];
        *r = (ft_row){.n = 1 + told_before[i], .prompt_n = 1 + told_before[i], .answer = ft_str_of(story)};
        r->ids = ft_alloc((size_t)r->n, sizeof *r->ids);
        r->ids[0] = bos;
        memcpy(r->ids + 1, ids, (size_t)told_before[i] * sizeof *ids);
        r->mask = ft_alloc((size_t)r->n, 1);
    }
    return true;
}

typedef struct seen {
    size_t n;
    char text[MAX_ROWS][2048];
    bool stopped[MAX_ROWS];
} seen;

static void keep_text(void *ctx, size_t row, const ft_scored_text *t)
{
    seen *s = ctx;
    ck_assert_uint_eq(row, s->n);
    snprintf(s->text[s->n], sizeof s->text[0], "%.*s", (int)t->got.n, t->got.p);
    s->stopped[s->n++] = t->stopped;
}

START_TEST(known_story_is_told_from_every_start_in_row_order)
{
    fixture f;
    ft_scores s;
    seen told = {0};
    const ft_metric *metrics[] = {ft_metric_named("exact_match"), ft_metric_named("stop")};
    ft_score_options o = {.metrics = metrics, .n_metrics = 2, .max_new_tokens = 400, .on_text = keep_text, .ctx = &told};
    if (!open_stories(&f))
        FT_SKIP("../shared is absent");
    ck_assert_ok(ft_score(&s, f.m, f.tok, &f.rows, &o));
    ck_assert_uint_eq(told.n, f.rows.n);
    ck_assert_msg(ft_starts(told.text[0], story), "%.200s", told.text[0]);
    for (size_t i = 0; i < f.rows.n; i++) {
        ck_assert_msg(ft_ends(told.text[0], told.text[i]), "row %zu: %.200s", i, told.text[i]);
        ck_assert_msg(told.stopped[i], "row %zu: %s", i, told.text[i]);
        /* the model spells the word in ordinary tokens before it stops; the stop token itself is no text */
        const char *end = strstr(told.text[i], "<|end_story|>");
        ck_assert_ptr_nonnull(end);
        ck_assert_str_eq(end, "<|end_story|>");
    }
    ck_assert_uint_gt(strlen(told.text[0]), strlen(told.text[2]));
    ck_assert_uint_gt(strlen(told.text[2]), strlen(told.text[1]));
    ck_assert_int_gt(s.generated_tokens, 50);
    ck_assert_double_eq(ft_scores_get(&s, "stop", NAN), 1);
    close_fixture(&f);
}
END_TEST

START_TEST(text_that_is_the_answer_matches)
{
    fixture f;
    ft_scores s;
    seen told = {0};
    const ft_metric *metrics[] = {ft_metric_named("exact_match"), ft_metric_named("accuracy")};
    ft_score_options o = {.metrics = metrics, .n_metrics = 2, .max_new_tokens = 400, .on_text = keep_text, .ctx = &told};
    if (!open_stories(&f))
        FT_SKIP("../shared is absent");
    ck_assert_ok(ft_score(&s, f.m, f.tok, &f.rows, &o));
    ck_assert_double_eq(ft_scores_get(&s, "exact_match", NAN), ft_ends(told.text[0], story) ? 1.0 / 3 : 0);
    f.row[0].answer = ft_str_of(told.text[0]);
    f.row[2].answer = ft_str_of(told.text[2]);
    o.on_text = NULL;
    ck_assert_ok(ft_score(&s, f.m, f.tok, &f.rows, &o));
    ck_assert_double_eq(ft_scores_get(&s, "exact_match", NAN), 2.0 / 3);
    close_fixture(&f);
}
END_TEST

/* Default length: twice the longest answer in tokens and 8. */
START_TEST(generation_ends_at_twice_the_longest_answer)
{
    fixture f;
    ft_scores s;
    const ft_metric *metrics[] = {ft_metric_named("stop")};
    ft_score_options o = {.metrics = metrics, .n_metrics = 1};
    if (!open_stories(&f))
        FT_SKIP("../shared is absent");
    /* an answer of 2 tokens: the last ones of the second prompt */
    f.row[1].prompt_n -= 2;
    f.row[1].mask[f.row[1].prompt_n] = f.row[1].mask[f.row[1].prompt_n + 1] = 1;
    ck_assert_ok(ft_score(&s, f.m, f.tok, &f.rows, &o));
    ck_assert_int_eq(s.generated_tokens, (2 * 2 + 8) * (int64_t)f.rows.n);
    ck_assert_double_eq(ft_scores_get(&s, "stop", NAN), 0);
    close_fixture(&f);
}
END_TEST

typedef struct progress {
    int calls;
    size_t last;
    size_t stop_at;
} progress;

static bool on_progress(void *ctx, const char *what, size_t done, size_t total)
{
    progress *p = ctx;
    p->calls++;
    p->last = done;
    ck_assert_uint_le(done, total);
    return done < p->stop_at;
}

START_TEST(progress_is_told_and_may_stop)
{
    fixture f;
    ft_scores s;
    const ft_metric *metrics[] = {ft_metric_named("stop")};
    progress p = {.stop_at = 100};
    ft_score_options o = {.metrics = metrics, .n_metrics = 1, .max_new_tokens = 4, .progress = on_progress, .ctx = &p};
    if (!open_stories(&f))
        FT_SKIP("../shared is absent");
    ck_assert_ok(ft_score(&s, f.m, f.tok, &f.rows, &o));
    ck_assert_int_ge(p.calls, 2);
    ck_assert_uint_eq(p.last, f.rows.n);
    p.stop_at = 1;
    ck_assert_fails(ft_score(&s, f.m, f.tok, &f.rows, &o), FT_ESTOPPED, "stopped after 3 of 3 rows");
    p.stop_at = 0;
    ck_assert_fails(ft_score(&s, f.m, f.tok, &f.rows, &o), FT_ESTOPPED, "stopped after 0 of 3 rows");
    close_fixture(&f);
}
END_TEST

START_TEST(rows_that_cannot_be_scored_are_refused)
{
    fixture f;
    ft_scores s;
    const ft_metric *metrics[] = {ft_metric_named("exact_match")};
    ft_score_options o = {.metrics = metrics, .n_metrics = 1};
    if (!open_stories(&f))
        FT_SKIP("../shared is absent");
    f.row[1].answer.n = 0;
    ck_assert_fails(ft_score(&s, f.m, f.tok, &f.rows, &o), FT_EINPUT, "row 2 has no prompt with an answer");
    ft_rows none = {0};
    ck_assert_fails(ft_score(&s, f.m, f.tok, &none, &o), FT_EINPUT, "no rows");
    metrics[0] = ft_metric_named("loss"); /* nothing is supervised */
    ck_assert_fails(ft_score(&s, f.m, f.tok, &f.rows, &o), FT_ENUMERIC, "not a number");
    close_fixture(&f);
}
END_TEST

int main(void)
{
    FT_TESTS("score", loss_equals_the_golden_one, first_choices_come_in_row_order, batches_and_threads_do_not_change_the_loss,
             dropout_is_off_while_scoring, divergence_is_that_of_all_logits, a_loss_that_is_no_number_is_an_error,
             known_story_is_told_from_every_start_in_row_order, text_that_is_the_answer_matches,
             generation_ends_at_twice_the_longest_answer, progress_is_told_and_may_stop, rows_that_cannot_be_scored_are_refused);
}
