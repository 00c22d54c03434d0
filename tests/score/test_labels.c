/* Labels and their scores: ids as training has them, the tree of labels against every label by itself, what the metrics
 * see, and what is refused. The model is the shipped base. */
#include "support/support.h"
#include "base/threads.h"
#include "score/score.h"

typedef struct fixture {
    ft_model *m;
    ft_tokenizer *tok;
    ft_dataset data;
    ft_rows rows;
    ft_labels labels;
} fixture;

static const ft_rows_options plain = {.max_tokens = 512};

/* Labels of which some begin alike, one with another whole, and some have letters outside ASCII. */
static const char rows_text[] =
    "{\"prompt\": \"Report: pump 3 leaks\\nFault:\", \"completion\": \" leak\"}\n"
    "{\"prompt\": \"the belt squeals loudly since the last shift, see the photo\\nFault:\", \"completion\": \" noise, bearing\"}\n"
    "{\"prompt\": \"x\\nFault:\", \"completion\": \" noise\"}\n"
    "{\"prompt\": \"Report: valve hot\\nFault:\", \"completion\": \" Überhitzung\"}\n"
    "{\"prompt\": \"Report: pump 3 leaks badly, seal gone\\nFault:\", \"completion\": \" leak at the seal\"}\n"
    "{\"prompt\": \"Report: jam\\nFault:\", \"completion\": \" \\\"jam\\\"\"}\n"
    "{\"prompt\": \"Report: leak again\\nFault:\", \"completion\": \" leak\"}\n";

static void read_rows(ft_dataset *d, const char *text)
{
    const char *path = ft_test_path(ft_test_dir(), "rows.jsonl");
    ck_assert_ok(ft_write_file(path, text, strlen(text)));
    ck_assert_ok(ft_dataset_read(d, &(ft_data_source){.path = path}, NULL));
}

static fixture open_fixture(const char *text)
{
    fixture f = {0};
    ck_assert_ok(ft_model_open(&f.m, ft_test_source("data/base"), NULL));
    ck_assert_ok(ft_tokenizer_open(&f.tok, ft_model_tokenizer_path(f.m)));
    read_rows(&f.data, text);
    ck_assert_ok(ft_rows_build(&f.rows, &f.data, f.tok, &plain));
    return f;
}

static fixture labelled(void)
{
    fixture f = open_fixture(rows_text);
    ck_assert_ok(ft_labels_of_answers(&f.labels, &f.data));
    ck_assert_ok(ft_labels_encode(&f.labels, &f.data, f.tok, &plain));
    return f;
}

static void close_fixture(fixture *f)
{
    ft_labels_free(&f->labels);
    ft_rows_free(&f->rows);
    ft_dataset_free(&f->data);
    ft_tokenizer_free(f->tok);
    ft_model_free(f->m);
}

START_TEST(labels_are_the_answers_with_the_commonest_first)
{
    fixture f = labelled();
    ck_assert_uint_eq(f.labels.n, 6);
    ck_assert_str_eq(f.labels.p[0].text.p, "leak");
    ck_assert_int_eq(f.labels.p[0].rows, 2);
    ck_assert_str_eq(f.labels.p[0].said.p, " leak");
    for (size_t i = 0; i < f.rows.n; i++) {
        const ft_row *r = &f.rows.p[i];
        int64_t at = ft_labels_find(&f.labels, r->answer);
        ck_assert_int_ge(at, 0);
        ck_assert_int_eq(f.labels.p[at].n, r->n - r->prompt_n);
        ck_assert_mem_eq(f.labels.p[at].ids, r->ids + r->prompt_n, (size_t)f.labels.p[at].n * sizeof *r->ids);
    }
    ck_assert_int_eq(ft_labels_unlike(&f.labels, &f.rows), 0);
    ck_assert_int_eq(ft_labels_find(&f.labels, ft_str_of("leaks")), -1);
    close_fixture(&f);
}
END_TEST

START_TEST(chats_give_labels_behind_their_template)
{
    static const char chats[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"pump leaks\"}, {\"role\": \"assistant\", \"content\": \"leak\"}]}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"hot\"}, {\"role\": \"assistant\", \"content\": \"heat\"}]}\n";
    fixture f = {0};
    const ft_chat_template *chatml;
    ck_assert_ok(ft_tokenizer_open(&f.tok, ft_test_source("data/base")));
    ck_assert_ok(ft_chat_template_pick(&chatml, "chatml", f.tok));
    ft_rows_options o = {.max_tokens = 512, .chat = chatml};
    read_rows(&f.data, chats);
    ck_assert_ok(ft_rows_build(&f.rows, &f.data, f.tok, &o));
    ck_assert_ok(ft_labels_of_answers(&f.labels, &f.data));
    ck_assert_ok(ft_labels_encode(&f.labels, &f.data, f.tok, &o));
    ck_assert_uint_eq(f.labels.n, 2);
    ck_assert_int_eq(ft_labels_unlike(&f.labels, &f.rows), 0);
    ck_assert_str_eq(f.labels.p[1].said.p, "leak");
    ck_assert(ft_tokenizer_is_stop(f.tok, f.labels.p[1].ids[f.labels.p[1].n - 1]));
    /* and behind a prompt of its own */
    ft_labels again = {0};
    ft_message asked = {.role = FT_USER, .content = ft_str_of("pump leaks")};
    ck_assert_ok(ft_labels_add(&again, ft_str_of("heat")));
    ck_assert_ok(ft_labels_add(&again, ft_str_of(" leak ")));
    ck_assert_ok(ft_labels_encode_for(&again, &asked, 1, f.tok, chatml));
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(again.p[i].n, f.labels.p[i].n);
        ck_assert_mem_eq(again.p[i].ids, f.labels.p[i].ids, (size_t)again.p[i].n * sizeof *again.p[i].ids);
    }
    ft_labels_free(&again);
    close_fixture(&f);
}
END_TEST

START_TEST(labels_that_cannot_be_told_apart_are_refused)
{
    ft_labels l = {0};
    ck_assert_ok(ft_labels_add(&l, ft_str_of(" a b\n")));
    ck_assert_fails(ft_labels_add(&l, ft_str_of("a b")), FT_EINPUT, "\"a b\" is given twice");
    ck_assert_fails(ft_labels_add(&l, ft_str_of(" \t")), FT_EINPUT, "label 2 is empty");
    for (int i = 1; i < FT_MAX_LABELS; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        ck_assert_ok(ft_labels_add(&l, ft_str_of(text)));
    }
    ck_assert_fails(ft_labels_add(&l, ft_str_of("one more")), FT_EINPUT, "more than 1000 labels");
    ft_labels_free(&l);
    fixture f = open_fixture("{\"text\": \"only text\"}\n");
    ck_assert_ok(ft_labels_add(&f.labels, ft_str_of("a")));
    ck_assert_fails(ft_labels_encode(&f.labels, &f.data, f.tok, &plain), FT_EINPUT, "no row has an answer");
    close_fixture(&f);
}
END_TEST

/* -log p of the label behind the row's prompt: the loss of a row made of both. */
static double by_itself(fixture *f, const ft_row *r, const ft_label *label)
{
    static const ft_metric *metrics[1];
    ft_scores s;
    ft_row whole = {.n = r->prompt_n + (int32_t)label->n, .prompt_n = r->prompt_n};
    whole.ids = ft_alloc((size_t)whole.n, sizeof *whole.ids);
    whole.mask = ft_alloc((size_t)whole.n, 1);
    memcpy(whole.ids, r->ids, (size_t)r->prompt_n * sizeof *r->ids);
    memcpy(whole.ids + r->prompt_n, label->ids, (size_t)label->n * sizeof *label->ids);
    memset(whole.mask + r->prompt_n, 1, (size_t)label->n);
    metrics[0] = ft_metric_named("loss");
    ck_assert_ok(ft_score(&s, f->m, NULL, &(ft_rows){.p = &whole, .n = 1, .supervised = label->n},
                          &(ft_score_options){.metrics = metrics, .n_metrics = 1}));
    ft_free(whole.ids);
    ft_free(whole.mask);
    return ft_scores_get(&s, "loss", NAN) * (double)label->n;
}

START_TEST(the_tree_gives_what_every_label_has_by_itself)
{
    fixture f = labelled();
    size_t n = f.labels.n;
    double scores[7 * 6], again[7 * 6];
    ck_assert_uint_eq(f.rows.n * n, FT_COUNT(scores));
    ft_score_options o = {.labels = &f.labels};
    ck_assert_ok(ft_score_labels(scores, f.m, &f.rows, &o));
    for (size_t i = 0; i < f.rows.n; i++)
        for (size_t k = 0; k < n; k++) {
            double want = -by_itself(&f, &f.rows.p[i], &f.labels.p[k]);
            ck_assert_double_eq_tol(scores[i * n + k], want, 1e-4 * fabs(want));
        }
    int threads = ft_threads();
    ft_threads_set(1);
    ck_assert_ok(ft_score_labels(again, f.m, &f.rows, &o));
    ft_threads_set(threads);
    ck_assert_mem_eq(scores, again, sizeof scores);
    close_fixture(&f);
}
END_TEST

START_TEST(a_long_prompt_is_read_in_pieces_and_a_longer_one_refused)
{
    fixture f = labelled();
    int64_t max = ft_model_config(f.m)->max_position_embeddings;
    size_t n = f.labels.n, longest = 0;
    double scores[2 * 6];
    for (size_t k = 0; k < n; k++)
        longest = FT_MAX(longest, (size_t)f.labels.p[k].n);
    ft_row row[2] = {f.rows.p[0], f.rows.p[1]};
    row[0].prompt_n = row[0].n = (int32_t)(max - (int64_t)longest + 1);
    row[0].ids = ft_alloc((size_t)max, sizeof *row[0].ids);
    row[0].mask = ft_alloc((size_t)max, 1);
    for (int32_t i = 0; i < row[0].n; i++)
        row[0].ids[i] = f.rows.p[1].ids[i % f.rows.p[1].prompt_n];
    ft_rows rows = {.p = row, .n = 2};
    ft_score_options o = {.labels = &f.labels};
    ck_assert_ok(ft_score_labels(scores, f.m, &rows, &o));
    double want = -by_itself(&f, &row[0], &f.labels.p[0]);
    ck_assert_double_eq_tol(scores[0], want, 1e-4 * fabs(want));
    row[0].prompt_n++;
    ck_assert_fails(ft_score_labels(scores, f.m, &rows, &o), FT_EINPUT, "row 1: the prompt has");
    ft_free(row[0].ids);
    ft_free(row[0].mask);
    close_fixture(&f);
}
END_TEST

typedef struct seen {
    int64_t label[7];
    double confidence[7];
    size_t n, abstained;
} seen;

static void see(void *ctx, size_t row, const ft_scored_text *t)
{
    seen *s = ctx;
    s->label[row] = t->label->fitted.label;
    s->confidence[row] = t->label->fitted.confidence;
    s->abstained += t->label->abstained;
    s->n++;
    ck_assert(t->stopped);
    ck_assert_int_ge(t->label->expected, 0);
}

START_TEST(metrics_see_the_likeliest_label)
{
    fixture f = labelled();
    const ft_metric *metrics[] = {ft_metric_named("accuracy"), ft_metric_named("exact_match"), ft_metric_named("ece"),
                                  ft_metric_named("coverage"), ft_metric_named("answered_accuracy")};
    double scores[7 * 6];
    seen s = {0};
    ft_scores out;
    ft_confidence c = {.temperature = 2, .threshold = 0.5};
    ft_score_options o = {.metrics = metrics, .n_metrics = FT_COUNT(metrics), .labels = &f.labels, .on_text = see, .ctx = &s};
    ck_assert_ok(ft_score_labels(scores, f.m, &f.rows, &o));
    ck_assert_ok(ft_score(&out, f.m, NULL, &f.rows, &o));
    size_t right = 0;
    for (size_t i = 0; i < 7; i++) {
        size_t best = 0;
        double sum = 0;
        for (size_t k = 0; k < 6; k++) {
            best = scores[i * 6 + k] > scores[i * 6 + best] ? k : best;
            sum += exp(scores[i * 6 + k]);
        }
        right += ft_labels_find(&f.labels, f.rows.p[i].answer) == (int64_t)best;
        ck_assert_int_eq(s.label[i], (int64_t)best);
        ck_assert_double_eq_tol(s.confidence[i], exp(scores[i * 6 + best]) / sum, 1e-12);
    }
    ck_assert_uint_eq(s.n, 7);
    ck_assert_double_eq(ft_scores_get(&out, "accuracy", NAN), (double)right / 7);
    ck_assert_double_eq(ft_scores_get(&out, "exact_match", NAN), (double)right / 7);
    ck_assert_double_eq(ft_scores_get(&out, "coverage", NAN), 1);
    ck_assert_double_eq(ft_scores_get(&out, "answered_accuracy", NAN), (double)right / 7);
    ck_assert_int_eq(out.generated_tokens, 0);
    s = (seen){0};
    o.confidence = &c;
    ck_assert_ok(ft_score(&out, f.m, NULL, &f.rows, &o));
    ck_assert_double_eq_tol(ft_scores_get(&out, "coverage", NAN), 1 - (double)s.abstained / 7, 1e-12);
    c.threshold = INFINITY; /* nothing is answered: no accuracy, and no failure */
    ck_assert_ok(ft_score(&out, f.m, NULL, &f.rows, &o));
    ck_assert_double_eq(ft_scores_get(&out, "coverage", NAN), 0);
    ck_assert(isnan(ft_scores_get(&out, "answered_accuracy", 0)));
    o.labels = NULL;
    ck_assert_fails(ft_score(&out, f.m, f.tok, &f.rows, &o), FT_EINPUT, "ece needs labels");
    close_fixture(&f);
}
END_TEST

static bool stop_at_once(void *ctx, const char *what, size_t done, size_t total)
{
    ck_assert_str_eq(what, "labels");
    return false;
}

START_TEST(measuring_computes_nothing_and_stopping_stops)
{
    fixture f = labelled();
    ft_model *outline;
    const ft_metric *metrics[] = {ft_metric_named("accuracy")};
    size_t bytes = 0;
    ft_scores s;
    ft_score_options o = {.metrics = metrics, .n_metrics = 1, .labels = &f.labels, .progress = stop_at_once};
    ck_assert_ok(ft_model_outline(&outline, ft_test_source("data/base"), NULL));
    ck_assert_ok(ft_score_measure(&bytes, outline, &f.rows, &o));
    ck_assert_uint_gt(bytes, 100000);
    ck_assert_fails(ft_score(&s, f.m, NULL, &f.rows, &o), FT_ESTOPPED, "labels");
    ft_model_free(outline);
    close_fixture(&f);
}
END_TEST

int main(void)
{
    FT_TESTS("labels", labels_are_the_answers_with_the_commonest_first, chats_give_labels_behind_their_template,
             labels_that_cannot_be_told_apart_are_refused, the_tree_gives_what_every_label_has_by_itself,
             a_long_prompt_is_read_in_pieces_and_a_longer_one_refused, metrics_see_the_likeliest_label,
             measuring_computes_nothing_and_stopping_stops);
}
