#include "support/support.h"

#include "data/data.h"

static char notes[4096];

static void collect(void *ctx, ft_note_level level, const char *text)
{
    size_t n = strlen(notes);
    snprintf(notes + n, sizeof notes - n, "%s\n", text);
}

static ft_dataset rows_of(const char *name, const char *text)
{
    ft_dataset d = {0};
    ck_assert_ok(ft_write_file(name, text, strlen(text)));
    ck_assert_ok(ft_dataset_read(&d, &(ft_data_source){.path = name}, NULL));
    return d;
}

static void enter(void)
{
    ck_assert_int_eq(chdir(ft_test_dir()), 0);
    notes[0] = 0;
    ft_note_sink(collect, NULL);
}

#define ROW(p, c) "{\"prompt\": \"" p "\", \"completion\": \"" c "\"}\n"

START_TEST(lint_drops_and_names_what_is_wrong)
{
    enter();
    ft_dataset train = rows_of("train.jsonl", ROW("a", " 1") ROW("b", "  ") ROW("a", " 1") ROW("a", " 2") ROW("t", " 9")
                                                  ROW("c", " 3"));
    ft_dataset test = rows_of("test.jsonl", ROW("t", " 9") ROW("a", " 7"));
    ft_lint lint;
    ck_assert_ok(ft_dataset_lint(&train, &test, true, &lint));
    ck_assert_int_eq(lint.empty, 1);
    ck_assert_int_eq(lint.duplicates, 1);
    ck_assert_int_eq(lint.conflicts, 1);
    ck_assert_int_eq(lint.leaked, 1);
    ck_assert_uint_eq(train.n, 3);
    ck_assert_int_eq(train.examples[1].row, 4);
    ck_assert_int_eq(train.examples[2].row, 6);
    ck_assert_str_eq(notes,
                     "1 row with nothing to learn, dropped: train.jsonl row 2\n"
                     "1 row found twice, dropped: train.jsonl row 3\n"
                     "1 row with another answer than an earlier row to the same prompt, kept: train.jsonl row 4\n"
                     "1 row also among the evaluation rows, dropped from training: train.jsonl row 5\n");
    ft_dataset_free(&train);
    ft_dataset_free(&test);
}
END_TEST

START_TEST(lint_keeps_duplicates_where_asked_and_a_clean_set_is_silent)
{
    enter();
    ft_dataset d = rows_of("a.jsonl", ROW("a", " 1") ROW("a", " 1") ROW("b", " 1"));
    ft_lint lint;
    ck_assert_ok(ft_dataset_lint(&d, NULL, false, &lint));
    ck_assert_int_eq(lint.duplicates, 1);
    ck_assert_uint_eq(d.n, 3);
    ck_assert_ok(ft_dataset_lint(&d, NULL, true, &lint));
    ck_assert_uint_eq(d.n, 2);
    notes[0] = 0;
    ck_assert_ok(ft_dataset_lint(&d, NULL, true, &lint));
    ck_assert_str_eq(notes, "");
    ft_dataset all = rows_of("b.jsonl", ROW("a", " 1") ROW("b", " 1"));
    ck_assert_fails(ft_dataset_lint(&d, &all, true, &lint), FT_EINPUT, "no training rows are left");
    ft_dataset_free(&d);
    ft_dataset_free(&all);
}
END_TEST

START_TEST(lint_names_at_most_five_rows)
{
    enter();
    ft_dataset d = rows_of("a.jsonl", ROW("x", " 1") ROW("a", "") ROW("b", "") ROW("c", "") ROW("d", "") ROW("e", "")
                                          ROW("f", ""));
    ft_lint lint;
    ck_assert_ok(ft_dataset_lint(&d, NULL, true, &lint));
    ck_assert_int_eq(lint.empty, 6);
    ck_assert_ptr_nonnull(strstr(notes, "a.jsonl row 6 ..."));
    ck_assert_ptr_null(strstr(notes, "row 7"));
    ft_dataset_free(&d);
}
END_TEST

/* 300 rows, three answers to each of 100 prompts. */
static ft_dataset many(void)
{
    ft_buf b = {0};
    for (int i = 0; i < 300; i++)
        ck_assert_ok(ft_buf_printf(&b, "{\"prompt\": \"p%d\", \"completion\": \" c%d\"}\n", i % 100, i));
    ft_dataset d = rows_of("many.jsonl", b.p);
    ft_buf_free(&b);
    return d;
}

static bool has_prompt(const ft_dataset *d, ft_str prompt)
{
    for (size_t i = 0; i < d->n; i++)
        if (ft_str_eq(d->examples[i].messages[0].content, prompt))
            return true;
    return false;
}

START_TEST(split_keeps_equal_prompts_on_one_side)
{
    enter();
    ft_dataset train = many(), held = {0};
    ck_assert_ok(ft_dataset_split(&train, &held, 0.1, 1));
    ck_assert_uint_eq(held.n, 30);
    ck_assert_uint_eq(train.n, 270);
    for (size_t i = 0; i < held.n; i++)
        ck_assert(!has_prompt(&train, held.examples[i].messages[0].content));
    ft_dataset_free(&train); /* what was held out has its own texts */
    char place[512];
    ck_assert_ptr_nonnull(strstr(ft_example_place(&held, &held.examples[0], place), "many.jsonl row "));
    ck_assert(held.examples[0].messages[1].content.p[0] == ' ');
    ft_dataset_free(&held);
}
END_TEST

START_TEST(split_follows_the_seed_and_takes_numbers)
{
    enter();
    ft_dataset a = many(), b = many(), c = many(), held_a = {0}, held_b = {0}, held_c = {0};
    ck_assert_ok(ft_dataset_split(&a, &held_a, 31, 7));
    ck_assert_ok(ft_dataset_split(&b, &held_b, 31, 7));
    ck_assert_ok(ft_dataset_split(&c, &held_c, 31, 8));
    ck_assert_uint_eq(held_a.n, 33); /* whole groups of three */
    ck_assert_uint_eq(held_b.n, 33);
    size_t same = 0;
    for (size_t i = 0; i < 33; i++) {
        ck_assert_int_eq(held_a.examples[i].row, held_b.examples[i].row);
        same += held_a.examples[i].row == held_c.examples[i].row;
    }
    ck_assert_uint_lt(same, 33);
    ck_assert_fails(ft_dataset_split(&a, &held_a, 1000, 7), FT_EINPUT, "would leave nothing");
    ck_assert_uint_eq(a.n, 267);
    ft_dataset_free(&a);
    ft_dataset_free(&b);
    ft_dataset_free(&c);
    ft_dataset_free(&held_a);
    ft_dataset_free(&held_b);
    ft_dataset_free(&held_c);
}
END_TEST

int main(void)
{
    FT_TESTS("lint", lint_drops_and_names_what_is_wrong, lint_keeps_duplicates_where_asked_and_a_clean_set_is_silent,
             lint_names_at_most_five_rows, split_keeps_equal_prompts_on_one_side,
             split_follows_the_seed_and_takes_numbers);
}
