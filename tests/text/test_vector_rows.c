/* Pairs of texts become rows for vectors: which ids, which texts are one, what is cut or refused. The tokenizer is that of
 * the shipped base, whose texts begin with BOS and end without EOS. */
#include "support/support.h"
#include "text/rows.h"

static ft_tokenizer *tok;

static void open_tokenizer(void)
{
    ck_assert_ok(ft_tokenizer_open(&tok, ft_test_source("data/base")));
}

static void close_tokenizer(void)
{
    ft_tokenizer_free(tok);
}

static ft_status build(ft_rows *rows, ft_dataset *d, const char *text, ft_rows_options o)
{
    const char *path = ft_test_path(ft_test_dir(), "rows.jsonl");
    *d = (ft_dataset){0};
    ck_assert_ok(ft_write_file(path, text, strlen(text)));
    ck_assert_ok(ft_dataset_read(d, &(ft_data_source){.path = path}, NULL));
    o.max_tokens = o.max_tokens ? o.max_tokens : 64;
    return ft_rows_build(rows, d, tok, &o);
}

static void refused(const char *text, ft_rows_options o, const char *message)
{
    ft_dataset d;
    ft_rows rows;
    ck_assert_fails(build(&rows, &d, text, o), FT_EINPUT, message);
    ft_dataset_free(&d);
}

/* The k-th text of a row, decoded with its control tokens. */
static const char *text_of(const ft_row *r, int32_t k)
{
    static ft_buf b;
    int32_t from = k ? r->ends[k - 1] : 0;
    b.n = 0;
    ck_assert_ok(ft_tokenizer_decode(tok, r->ids + from, (size_t)(r->ends[k] - from), false, true, &b));
    return b.p;
}

#define PAIRS                                                                                                          \
    "{\"anchor\": \" pump leaks \", \"positive\": \"seal worn\"}\n"                                                    \
    "{\"anchor\": \"motor hot\", \"positive\": \"seal worn\", \"negative\": [\"pump leaks\", \"other\"]}\n"

START_TEST(texts_lie_end_to_end_with_their_prompts)
{
    open_tokenizer();
    ft_dataset d;
    ft_rows rows;
    ck_assert_ok(build(&rows, &d, PAIRS, (ft_rows_options){.vectors = true, .query_prompt = "query: "}));
    ck_assert(rows.vectors && !rows.scored);
    ck_assert_uint_eq(rows.n, 2);
    ck_assert_int_eq(rows.p[1].texts, 4);
    ck_assert_int_eq(rows.p[1].ends[3], rows.p[1].n);
    ck_assert_str_eq(text_of(&rows.p[0], 0), "<|endoftext|>query: pump leaks");
    ck_assert_str_eq(text_of(&rows.p[0], 1), "<|endoftext|>seal worn");
    ck_assert_str_eq(text_of(&rows.p[1], 3), "<|endoftext|>other");
    ck_assert_int_eq(rows.p[0].number[1], rows.p[1].number[1]);
    ck_assert_int_ne(rows.p[0].number[0], rows.p[1].number[2]); /* one is a query */
    ck_assert_int_eq(rows.different, 5);
    ck_assert_int_eq(rows.supervised, 2);
    ft_rows_free(&rows);
    ft_dataset_free(&d);
    close_tokenizer();
}
END_TEST

START_TEST(equal_texts_have_one_number_and_rows_a_hash_of_their_own)
{
    open_tokenizer();
    ft_dataset d;
    ft_rows rows, other;
    ck_assert_ok(build(&rows, &d, PAIRS, (ft_rows_options){.vectors = true}));
    ck_assert_int_eq(rows.p[0].number[0], rows.p[1].number[2]);
    ft_dataset_free(&d);
    ck_assert_ok(build(&other, &d, "{\"sentence1\": \"a\", \"sentence2\": \"b\", \"score\": 0.5}", (ft_rows_options){.vectors = true}));
    ck_assert(other.scored);
    uint64_t half = ft_rows_hash(&other);
    other.p[0].score = 1;
    ck_assert_uint_ne(half, ft_rows_hash(&other));
    ft_rows_free(&rows);
    ft_rows_free(&other);
    ft_dataset_free(&d);
    close_tokenizer();
}
END_TEST

START_TEST(a_prompt_with_its_completion_is_a_pair)
{
    open_tokenizer();
    ft_dataset d;
    ft_rows rows;
    ck_assert_ok(build(&rows, &d, "{\"prompt\": \"P\", \"completion\": \" C\"}", (ft_rows_options){.vectors = true}));
    ck_assert_str_eq(text_of(&rows.p[0], 0), "<|endoftext|>P");
    ck_assert_str_eq(text_of(&rows.p[0], 1), "<|endoftext|>C");
    ft_rows_free(&rows);
    ft_dataset_free(&d);
    close_tokenizer();
}
END_TEST

START_TEST(long_texts_are_refused_dropped_or_cut)
{
    open_tokenizer();
    static const char text[] = "{\"anchor\": \"a\", \"positive\": \"one two three four five six seven eight nine\"}\n"
                               "{\"anchor\": \"b\", \"positive\": \"c\"}\n";
    ft_dataset d;
    ft_rows rows;
    refused(text, (ft_rows_options){.vectors = true, .max_tokens = 4}, "more than 4 tokens");
    ck_assert_ok(build(&rows, &d, text, (ft_rows_options){.vectors = true, .max_tokens = 4, .on_overlong = FT_OVERLONG_DROP}));
    ck_assert_uint_eq(rows.n, 1);
    ck_assert_int_eq(rows.dropped, 1);
    ck_assert_int_eq(rows.different, 2);
    ft_rows_free(&rows);
    ft_dataset_free(&d);
    ck_assert_ok(build(&rows, &d, text, (ft_rows_options){.vectors = true, .max_tokens = 4, .on_overlong = FT_OVERLONG_TRUNCATE}));
    ck_assert_uint_eq(rows.n, 2);
    ck_assert_int_eq(rows.p[0].ends[1] - rows.p[0].ends[0], 4);
    ck_assert_int_eq(rows.truncated, 1);
    ft_rows_free(&rows);
    ft_dataset_free(&d);
    close_tokenizer();
}
END_TEST

START_TEST(rows_of_another_kind_are_refused)
{
    open_tokenizer();
    refused("{\"text\": \"plain\"}", (ft_rows_options){.vectors = true}, "plain text");
    refused("{\"anchor\": \"a\", \"positive\": \"b\"}", (ft_rows_options){0}, "loss");
    refused("{\"anchor\": \" \", \"positive\": \"b\"}", (ft_rows_options){.vectors = true}, "empty text");
    close_tokenizer();
}
END_TEST

/* An encoder's texts stand between [CLS] and [SEP], also when they are cut. */
START_TEST(an_encoders_texts_keep_their_end_token)
{
    const char *dir = ft_test_shared("vocab/hf/bert-base-uncased");
    ft_ids ids = {0};
    if (!dir)
        FT_SKIP("../shared is absent");
    ck_assert_ok(ft_tokenizer_open(&tok, dir));
    ck_assert_ok(ft_text_ids(&ids, ft_str_of(" Hello, world "), NULL, tok));
    const int32_t want[] = {101, 7592, 1010, 2088, 102};
    ck_assert_uint_eq(ids.n, 5);
    ck_assert_mem_eq(ids.p, want, sizeof want);
    ck_assert(!ft_text_cut(&ids, tok, 5));
    ck_assert(ft_text_cut(&ids, tok, 3));
    ck_assert_uint_eq(ids.n, 3);
    ck_assert_int_eq(ids.p[2], 102);
    ft_ids_free(&ids);
    close_tokenizer();
}
END_TEST

int main(void)
{
    FT_TESTS("text/vector_rows", texts_lie_end_to_end_with_their_prompts, equal_texts_have_one_number_and_rows_a_hash_of_their_own,
             a_prompt_with_its_completion_is_a_pair, long_texts_are_refused_dropped_or_cut, rows_of_another_kind_are_refused,
             an_encoders_texts_keep_their_end_token);
}
