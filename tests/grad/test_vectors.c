/* The losses over vectors against PyTorch: cross_entropy, logsumexp, relu and mse_loss over normalized vectors
 *
 *   y[i][c] = sin(1 + 5 i + c c) + 0.1 c        8 texts of 6 columns, in f64
 *
 * gave the numbers below; and what the losses refuse. tests/grad/test_ops.c proves the gradients at other sizes.
 */
#include "grad/vectors.h"
#include "support/support.h"

enum { S = 8, C = 6 };
static const int64_t apart[S] = {0, 1, 2, 3, 4, 5, 6, 7}, pairs[] = {0, 2, 4, 6, 8}, fours[] = {0, 4, 8};
static const float scores[] = {0.9f, 0.1f, 0.5f, 0.1f};
static const struct {
    const char *loss;
    double scale, margin;
    int64_t dims[2];
    size_t n_dims;
    const int64_t *first;
    int64_t rows;
    double value, at00, at12, at65, at73;
} cases[] = {
    {"infonce", 20, 0, {0}, 0, pairs, 4, 7.862126002, 0.604885196, 1.525716905, 0.967316304, -0.942733534},
    {"infonce", 20, 0, {6, 2}, 2, pairs, 4, 8.308017118, 1.467086714, 0.762858453, 0.483658152, -0.471366767},
    {"triplet", 0, 1.3, {0}, 0, fours, 2, 0.269518290, 0.059720391, 0.120154477, 0.136834059, 0.000000000},
    {"cosent", 20, 0, {0}, 0, pairs, 4, 11.639748247, 2.643105809, 4.806091879, -0.032688671, 0.049990198},
    {"cosine", 0, 0, {0}, 0, pairs, 4, 0.285363047, 0.048620844, 0.088409719, -0.028334146, 0.043330900},
};

static ft_vector_rows rows_of(const ft_vector_loss *l, const int64_t *first, int64_t n)
{
    return (ft_vector_rows){.n = n, .first = first, .text = apart, .score = l->scored ? scores : NULL};
}

static ft_status run(ft_tape *t, const ft_vector_rows *rows, const ft_vector_objective *o, ft_loss *loss, ft_var **y)
{
    static float x[S * C];
    for (int i = 0; i < S; i++)
        for (int c = 0; c < C; c++)
            x[i * C + c] = (float)(sin(1 + 5 * i + c * c) + 0.1 * c);
    *loss = (ft_loss){0};
    ft_tape_begin(t, true, 0, 0);
    *y = ft_leaf(t, x, S, C, true);
    FT_RETURN(ft_op_vector_loss(t, *y, rows, o, 1.0 / (double)rows->n, loss));
    return ft_tape_backward(t);
}

START_TEST(losses_and_gradients_are_pytorchs)
{
    ft_tape *t;
    ck_assert_ok(ft_tape_new(&t));
    for (size_t i = 0; i < FT_COUNT(cases); i++) {
        ft_vector_objective o = {.loss = ft_vector_loss_named(cases[i].loss),
                                 .scale = cases[i].scale,
                                 .margin = cases[i].margin,
                                 .dims = {cases[i].dims[0], cases[i].dims[1]},
                                 .n_dims = cases[i].n_dims};
        ft_vector_rows rows = rows_of(o.loss, cases[i].first, cases[i].rows);
        const double want[] = {cases[i].at00, cases[i].at12, cases[i].at65, cases[i].at73};
        const int at[] = {0, C + 2, 6 * C + 5, 7 * C + 3};
        ft_loss loss;
        ft_var *y;
        ck_assert_ok(run(t, &rows, &o, &loss, &y));
        ck_assert_double_eq_tol(loss.sum / (double)loss.count, cases[i].value, 1e-5);
        for (int k = 0; k < 4; k++)
            ck_assert_msg(fabs(y->g[at[k]] - want[k]) < 2e-5, "case %zu: gradient %d is %g, not %g", i, at[k], y->g[at[k]], want[k]);
    }
    ft_tape_free(t);
}
END_TEST

START_TEST(a_text_that_is_right_too_is_no_negative)
{
    /* the same positive in two rows, and nothing else: no candidate is wrong */
    const int64_t first[] = {0, 4, 8}, text[] = {0, 1, 1, 1, 2, 1, 1, 1};
    ft_vector_objective o = {.loss = ft_vector_loss_named("infonce"), .scale = 20};
    ft_vector_rows rows = {.n = 2, .first = first, .text = text};
    ft_tape *t;
    ft_loss loss;
    ft_var *y;
    ck_assert_ok(ft_tape_new(&t));
    ck_assert_ok(run(t, &rows, &o, &loss, &y));
    ck_assert_double_eq_tol(loss.sum, 0, 1e-12);
    ck_assert_int_eq(loss.correct, 2);
    for (int i = 0; i < S * C; i++)
        ck_assert_float_eq_tol(y->g[i], 0, 1e-7f);
    ft_tape_free(t);
}
END_TEST

START_TEST(rows_that_a_loss_cannot_do_with_are_refused)
{
    ft_vector_objective o = {.loss = ft_vector_loss_named("triplet")};
    ft_vector_rows rows = rows_of(o.loss, pairs, 4);
    ft_tape *t;
    ft_loss loss;
    ft_var *y;
    ck_assert_ok(ft_tape_new(&t));
    ck_assert_fails(run(t, &rows, &o, &loss, &y), FT_EINPUT, "triplet wants rows of 3 texts or more, row 0 has 2");
    o.loss = ft_vector_loss_named("cosent");
    ck_assert_fails(run(t, &rows, &o, &loss, &y), FT_EINPUT, "with a score");
    o = (ft_vector_objective){.loss = ft_vector_loss_named("infonce"), .dims = {7}, .n_dims = 1};
    ck_assert_fails(run(t, &rows, &o, &loss, &y), FT_EINPUT, "7 dimensions of vectors of 6");
    rows.first = fours;
    rows.n = 1;
    ck_assert_fails(run(t, &rows, &o, &loss, &y), FT_EINPUT, "do not cover 8 texts");
    ft_tape_free(t);
}
END_TEST

START_TEST(every_loss_of_the_table_is_found_and_says_what_it_does)
{
    for (size_t i = 0; ft_vector_losses[i]; i++) {
        ck_assert_ptr_eq(ft_vector_loss_named(ft_vector_losses[i]->name), ft_vector_losses[i]);
        ck_assert(ft_vector_losses[i]->help && ft_vector_losses[i]->texts >= 2);
    }
    ck_assert_ptr_null(ft_vector_loss_named("next_token"));
}
END_TEST

int main(void)
{
    FT_TESTS("grad/vectors", losses_and_gradients_are_pytorchs, a_text_that_is_right_too_is_no_negative,
             rows_that_a_loss_cannot_do_with_are_refused, every_loss_of_the_table_is_found_and_says_what_it_does);
}
