/* Rows for vectors on a random encoder: vectors do not depend on the batch, ranks are those that counting gives. */
#include "model/fixture.h"
#include "score/score.h"

#define ENCODER                                                                                                        \
    "{\"model_type\": \"bert\", \"hidden_size\": 32, \"num_attention_heads\": 4, \"intermediate_size\": 40, "          \
    "\"num_hidden_layers\": 2, \"vocab_size\": 50, \"max_position_embeddings\": 16, \"initializer_range\": 0.3}"
enum { TEXTS = 9, C = 32, ROWS = 6 };

/* Row r: an anchor, its positive and, in two rows, a negative. Rows 0 and 1 have one anchor, rows 2 and 3 one positive; the
 * anchor of row 4 is the positive of row 5. */
static const int number_of[ROWS][3] = {{0, 1, -1}, {0, 2, 3}, {4, 5, -1}, {6, 5, 7}, {8, 3, -1}, {7, 8, -1}};
static int32_t ids[ROWS][3 * 12], ends[ROWS][3];
static int64_t numbers[ROWS][3];
static ft_row row_list[ROWS];

static int32_t length_of(int text)
{
    return 2 + text * 5 % 9;
}

static void fill(int32_t *to, int text)
{
    for (int32_t i = 0; i < length_of(text); i++)
        to[i] = (int32_t)((text * 13 + i * (text + 3) + 1) % 50);
}

static ft_rows make_rows(bool scored)
{
    for (int r = 0; r < ROWS; r++) {
        int32_t n = 0, texts = 0;
        for (int k = 0; k < (scored ? 2 : 3) && number_of[r][k] >= 0; k++, texts++) {
            fill(ids[r] + n, number_of[r][k]);
            n += length_of(number_of[r][k]);
            ends[r][k] = n;
            numbers[r][k] = number_of[r][k];
        }
        row_list[r] = (ft_row){.ids = ids[r], .n = n, .texts = texts, .ends = ends[r], .number = numbers[r], .score = (float)(r * r)};
    }
    return (ft_rows){.p = row_list, .n = ROWS, .vectors = true, .scored = scored, .different = TEXTS};
}

static ft_model *encoder(void)
{
    ft_model *m;
    ck_assert_ok(ft_model_init(&m, ft_test_path(config_dir(ENCODER), "config.json"), 3));
    ck_assert_ok(ft_model_set_pooling(m, &(ft_pooling){.kind = FT_POOL_MEAN, .normalize = true}));
    return m;
}

/* Every text by itself, of length 1. */
static void vectors_alone(ft_model *m, float *out)
{
    for (int i = 0; i < TEXTS; i++) {
        int32_t text[12];
        fill(text, i);
        ck_assert_ok(ft_embed(out + i * C, m, &(ft_text){text, length_of(i)}, 1, &(ft_score_options){0}));
    }
    ft_vectors_fit(out, TEXTS, C, 0, true);
}

static double cosine(const float *v, int a, int b)
{
    double sum = 0;
    for (int c = 0; c < C; c++)
        sum += (double)v[a * C + c] * (double)v[b * C + c];
    return sum;
}

/* The texts that are no anchors: 1 2 3 5 7 8. */
static int rank_of(const float *v, int r)
{
    static const int docs[] = {1, 2, 3, 5, 7, 8};
    int rank = 1, a = number_of[r][0], own = number_of[r][1];
    for (size_t i = 0; i < FT_COUNT(docs); i++) {
        bool right_too = a == 0 && (docs[i] == 1 || docs[i] == 2); /* the positives of rows 0 and 1 */
        rank += docs[i] != own && docs[i] != a && !right_too && cosine(v, a, docs[i]) >= cosine(v, a, own);
    }
    return rank;
}

START_TEST(a_vector_does_not_depend_on_its_batch)
{
    ft_model *m = encoder();
    int32_t room[TEXTS][12];
    ft_text texts[TEXTS];
    float alone[TEXTS * C], together[TEXTS * C];
    vectors_alone(m, alone);
    for (int i = 0; i < TEXTS; i++) {
        fill(room[i], i);
        texts[i] = (ft_text){room[i], length_of(i)};
    }
    for (int tokens = 1; tokens < 200; tokens += 30) {
        ck_assert_ok(ft_embed(together, m, texts, TEXTS, &(ft_score_options){.tokens_per_batch = tokens}));
        ft_vectors_fit(together, TEXTS, C, 0, true);
        ck_assert_double_lt(distance(together, alone, TEXTS * C), 1e-5);
    }
    ft_model_free(m);
}
END_TEST

START_TEST(fewer_dimensions_are_cut_and_scaled)
{
    float v[2][4] = {{3, 4, 5, 6}, {0, 0, 1, 1}};
    ft_vectors_fit(&v[0][0], 2, 4, 2, true);
    ck_assert_float_eq_tol(v[0][0], 0.6f, 1e-6f);
    ck_assert_float_eq_tol(v[0][1], 0.8f, 1e-6f);
    ck_assert(v[0][2] == 0 && v[0][3] == 0 && v[1][0] == 0 && v[1][3] == 0);
}
END_TEST

START_TEST(ranks_are_those_that_counting_gives)
{
    const ft_metric *metrics[] = {ft_metric_named("recall@1"), ft_metric_named("recall@5"), ft_metric_named("mrr")};
    ft_model *m = encoder();
    ft_rows rows = make_rows(false);
    ft_scores s;
    float v[TEXTS * C];
    int32_t nearest[ROWS];
    double first = 0, five = 0, mrr = 0;
    vectors_alone(m, v);
    for (int r = 0; r < ROWS; r++) {
        first += rank_of(v, r) == 1;
        five += rank_of(v, r) <= 5;
        mrr += 1.0 / rank_of(v, r);
    }
    ck_assert_ok(ft_score(&s, m, NULL, &rows, &(ft_score_options){.metrics = metrics, .n_metrics = 3, .argmax = nearest}));
    ck_assert_double_eq_tol(s.value[0], first / ROWS, 1e-12);
    ck_assert_double_eq_tol(s.value[1], five / ROWS, 1e-12);
    ck_assert_double_eq_tol(s.value[2], mrr / ROWS, 1e-12);
    ck_assert(mrr < ROWS); /* else any order would do */
    for (int r = 0; r < ROWS; r++)
        ck_assert_int_ne(nearest[r], number_of[r][0]);
    ft_model_free(m);
}
END_TEST

START_TEST(vectors_that_are_all_alike_find_nothing)
{
    const ft_metric *metrics[] = {ft_metric_named("recall@1"), ft_metric_named("mrr")};
    ft_model *m = encoder();
    ft_rows rows = make_rows(false);
    ft_scores s;
    ft_param *last = ft_model_find(m, "encoder.layer.1.output.LayerNorm.weight"),
             *bias = ft_model_find(m, "encoder.layer.1.output.LayerNorm.bias");
    memset(last->t.data, 0, C * sizeof(float));
    for (int c = 0; c < C; c++)
        ((float *)bias->t.data)[c] = 1;
    ck_assert_ok(ft_score(&s, m, NULL, &rows, &(ft_score_options){.metrics = metrics, .n_metrics = 2}));
    ck_assert_double_eq(s.value[0], 0);
    ck_assert_double_le(s.value[1], 1.0 / 3);
    ft_model_free(m);
}
END_TEST

START_TEST(scored_pairs_are_compared_and_losses_are_the_ops)
{
    const ft_metric *metrics[] = {ft_metric_named("spearman"), ft_metric_named("loss")};
    ft_vector_objective o = {.loss = ft_vector_loss_named("cosine")};
    ft_model *m = encoder();
    ft_rows rows = make_rows(true);
    ft_scores s;
    float v[TEXTS * C];
    double loss = 0;
    vectors_alone(m, v);
    for (int r = 0; r < ROWS; r++)
        loss += pow(cosine(v, number_of[r][0], number_of[r][1]) - r * r, 2) / ROWS;
    ck_assert_ok(ft_score(&s, m, NULL, &rows,
                          &(ft_score_options){.metrics = metrics, .n_metrics = 2, .objective = &o, .objective_rows = 4}));
    ck_assert_double_eq_tol(s.value[1], loss, 1e-4);
    ck_assert(s.value[0] >= -1 && s.value[0] <= 1);
    ft_model_free(m);
}
END_TEST

START_TEST(metrics_of_other_rows_are_refused)
{
    const ft_metric *spearman[] = {ft_metric_named("spearman")}, *exact[] = {ft_metric_named("exact_match")},
                    *loss[] = {ft_metric_named("loss")};
    ft_model *m = encoder();
    ft_rows rows = make_rows(false);
    ft_scores s;
    size_t bytes = 0;
    ck_assert_fails(ft_score(&s, m, NULL, &rows, &(ft_score_options){.metrics = spearman, .n_metrics = 1}), FT_EINPUT, "with a score");
    ck_assert_fails(ft_score(&s, m, NULL, &rows, &(ft_score_options){.metrics = exact, .n_metrics = 1}), FT_EINPUT, "answers");
    ck_assert_fails(ft_score(&s, m, NULL, &rows, &(ft_score_options){.metrics = loss, .n_metrics = 1}), FT_EINPUT, "recipe's loss");
    ck_assert_ok(ft_score_measure(&bytes, m, &rows, &(ft_score_options){0}));
    ck_assert_uint_gt(bytes, TEXTS * C * sizeof(float));
    ck_assert_ok(ft_model_set_pooling(m, &(ft_pooling){.kind = FT_POOL_NONE}));
    ck_assert_fails(ft_score(&s, m, NULL, &rows, &(ft_score_options){0}), FT_EINPUT, "pools");
    ft_model_free(m);
}
END_TEST

int main(void)
{
    FT_TESTS("score/vectors", a_vector_does_not_depend_on_its_batch, fewer_dimensions_are_cut_and_scaled,
             ranks_are_those_that_counting_gives, vectors_that_are_all_alike_find_nothing,
             scored_pairs_are_compared_and_losses_are_the_ops, metrics_of_other_rows_are_refused);
}
