/* Training: the merges of a text worked out by hand, determinism, and what is refused. */
#include "file/json.h"
#include "tokenizer_files.h"

static const char *text_file(const char *dir, const char *text)
{
    const char *path = ft_test_path(dir, "train.txt");
    ck_assert_ok(ft_write_file(path, text, strlen(text)));
    return path;
}

static ft_status train_into(const char *dir, const char *file, int32_t vocab_size)
{
    static const char *const specials[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    const char *const files[] = {file};
    ft_tokenizer_training spec = {.files = files,
                                  .n_files = 1,
                                  .vocab_size = vocab_size,
                                  .specials = specials,
                                  .n_specials = 3,
                                  .eos = "<|endoftext|>"};
    return ft_tokenizer_train(&spec, dir);
}

/* Words: "low" 5, "lower" 2, "newest" 6, "widest" 3 (the example of Sennrich et al. 2016, one word a line).
 * Pairs: es 9, st 9, ... : of equals the one with the lower ids, e s (bytes in order of character); then es t 9,
 * then lo 7, low 7, then e w / n e / w est ... 6. */
static const char sennrich[] =
    "low\nlow\nlow\nlow\nlow\nlower\nlower\nnewest\nnewest\nnewest\nnewest\nnewest\nnewest\nwidest\nwidest\nwidest\n";

START_TEST(merges_are_those_of_the_text)
{
    ft_tokenizer *t;
    json_t *j;
    const char *dir = ft_test_dir();
    ck_assert_ok(train_into(dir, text_file(dir, sennrich), 3 + 256 + 6));
    ck_assert_ok(ft_json_file(&j, ft_test_path(dir, "tokenizer.json"), 1 << 20));
    static const char *const want[][2] = {{"e", "s"}, {"es", "t"}, {"l", "o"}, {"lo", "w"}, {"e", "w"}, {"n", "ew"}};
    const json_t *merges = json_object_get(json_object_get(j, "model"), "merges");
    ck_assert_uint_eq(json_array_size(merges), FT_COUNT(want));
    for (size_t i = 0; i < FT_COUNT(want); i++) {
        ck_assert_str_eq(json_string_value(json_array_get(json_array_get(merges, i), 0)), want[i][0]);
        ck_assert_str_eq(json_string_value(json_array_get(json_array_get(merges, i), 1)), want[i][1]);
    }
    json_decref(j);
    ck_assert_ok(ft_tokenizer_open(&t, dir));
    ck_assert_int_eq(ft_tokenizer_size(t), 3 + 256 + 6);
    ck_assert_int_eq(ft_tokenizer_eos(t), 0);
    ck_assert_int_eq(ft_tokenizer_bos(t), -1);
    ck_assert(!ft_tokenizer_add_bos(t));
    ck_assert(ft_tokenizer_is_stop(t, 2));
    ck_assert_str_eq(pieces_of(t, "lowest<|im_end|> 42", true), "low|est|<|im_end|>|Ġ|4|2");
    for (size_t i = 0; i < FT_COUNT(hard_texts); i++)
        check_round_trip(t, ft_str_of(hard_texts[i]));
    ft_tokenizer_free(t);
}
END_TEST

START_TEST(training_twice_gives_the_same_bytes)
{
    ft_buf a = {0}, b = {0};
    const char *dir = ft_test_dir(), *path = ft_test_path(dir, "tokenizer.json"), *file = text_file(dir, sennrich);
    ck_assert_ok(train_into(dir, file, 265));
    ck_assert_ok(ft_read_file(&a, path, 1 << 20));
    ck_assert_ok(train_into(dir, file, 265));
    ck_assert_ok(ft_read_file(&b, path, 1 << 20));
    ck_assert_uint_eq(a.n, b.n);
    ck_assert_int_eq(memcmp(a.p, b.p, a.n), 0);
    ft_buf_free(&a);
    ft_buf_free(&b);
}
END_TEST

/* Counts of a straightforward trainer: recount every pair of every word before every merge. */
typedef struct slow {
    int32_t sym[4096];
    int n[512], start[512], words;
} slow;

static void slow_best(const slow *s, int32_t symbols, int32_t *left, int32_t *right)
{
    int64_t best = 0;
    for (int32_t a = 0; a < symbols; a++)
        for (int32_t b = 0; b < symbols; b++) {
            int64_t count = 0;
            for (int w = 0; w < s->words; w++)
                for (int i = 0; i + 1 < s->n[w]; i++)
                    count += s->sym[s->start[w] + i] == a && s->sym[s->start[w] + i + 1] == b;
            if (count > best) {
                best = count;
                *left = a;
                *right = b;
            }
        }
}

static void slow_merge(slow *s, int32_t left, int32_t right, int32_t id)
{
    for (int w = 0; w < s->words; w++) {
        int32_t *sym = s->sym + s->start[w];
        int n = 0;
        for (int i = 0; i < s->n[w]; i++) {
            bool both = i + 1 < s->n[w] && sym[i] == left && sym[i + 1] == right;
            sym[n++] = both ? id : sym[i];
            i += both;
        }
        s->n[w] = n;
    }
}

START_TEST(merges_match_a_trainer_that_recounts_everything)
{
    static slow s;
    static char text[4096], spelled[64][64];
    size_t at = 0;
    uint32_t r[4];
    const char *dir = ft_test_dir();
    for (s.words = 0; s.words < 300; s.words++) { /* words over abcd, runs among them */
        ft_philox(3, FT_STREAM_TEST, (uint64_t)s.words, 0, r);
        s.start[s.words] = (int)at;
        s.n[s.words] = 1 + (int)(r[0] % 9);
        for (int i = 0; i < s.n[s.words]; i++) {
            int c = (int)(r[1] >> (3 * i) & 7);
            text[at + (size_t)s.words + (size_t)i] = (char)('a' + (c < 4 ? 0 : c - 4));
            s.sym[at + (size_t)i] = c < 4 ? 0 : c - 4;
        }
        at += (size_t)s.n[s.words];
        text[at + (size_t)s.words] = '\n';
    }
    enum { MERGES = 24 };
    ck_assert_ok(train_into(dir, text_file(dir, text), 3 + 256 + MERGES));
    json_t *j;
    ck_assert_ok(ft_json_file(&j, ft_test_path(dir, "tokenizer.json"), 1 << 20));
    const json_t *merges = json_object_get(json_object_get(j, "model"), "merges");
    for (int i = 0; i < 4; i++)
        snprintf(spelled[i], sizeof spelled[i], "%c", 'a' + i);
    int32_t symbols = 4;
    for (size_t m = 0; m < json_array_size(merges); m++) {
        int32_t left = 0, right = 0, id = symbols;
        slow_best(&s, symbols, &left, &right);
        ck_assert_str_eq(json_string_value(json_array_get(json_array_get(merges, m), 0)), spelled[left]);
        ck_assert_str_eq(json_string_value(json_array_get(json_array_get(merges, m), 1)), spelled[right]);
        char *both = ft_strf("%s%s", spelled[left], spelled[right]); /* words have nine letters at most */
        snprintf(spelled[symbols], sizeof spelled[symbols], "%s", both);
        ft_free(both);
        for (int32_t k = 0; k < symbols; k++) /* two merges may make the same bytes: one token */
            if (strcmp(spelled[k], spelled[symbols]) == 0)
                id = k;
        symbols += id == symbols;
        slow_merge(&s, left, right, id);
    }
    ck_assert_int_eq(symbols, 4 + MERGES);
    json_decref(j);
}
END_TEST

START_TEST(a_trained_tokenizer_covers_english)
{
    ft_tokenizer *t;
    ft_ids ids = {0};
    const char *dir = ft_test_dir(), *file = ft_test_shared("data/english/mix-valid.txt.gz");
    if (!file)
        FT_SKIP("../shared is absent");
    ck_assert_ok(train_into(dir, file, 4096));
    ck_assert_ok(ft_tokenizer_open(&t, dir));
    ck_assert_int_eq(ft_tokenizer_size(t), 4096);
    static const char sentence[] = "The patient was treated with a dressing of the wound in the hospital.";
    ck_assert_ok(ft_tokenizer_encode(t, ft_str_of(sentence), false, &ids));
    ck_assert_uint_lt(ids.n, sizeof sentence / 3);
    ft_ids_free(&ids);
    ft_tokenizer_free(t);
}
END_TEST

START_TEST(too_few_patterns_make_a_smaller_vocabulary)
{
    ft_tokenizer *t;
    const char *dir = ft_test_dir();
    ck_assert_ok(train_into(dir, text_file(dir, "aa\naa\nb\n"), 1000));
    ck_assert_ok(ft_tokenizer_open(&t, dir));
    ck_assert_int_eq(ft_tokenizer_size(t), 3 + 256 + 1);
    ft_tokenizer_free(t);
}
END_TEST

START_TEST(a_pattern_of_ones_own_is_kept_and_bos_is_put)
{
    static const char *const specials[] = {"<s>", "</s>"};
    ft_tokenizer *t;
    const char *dir = ft_test_dir();
    const char *const files[] = {text_file(dir, "ab ab ab\n")};
    ft_tokenizer_training spec = {.files = files,
                                  .n_files = 1,
                                  .vocab_size = 260,
                                  .specials = specials,
                                  .n_specials = 2,
                                  .bos = "<s>",
                                  .eos = "</s>",
                                  .pattern = "\\s|\\S+"};
    ck_assert_ok(ft_tokenizer_train(&spec, dir));
    ck_assert_ok(ft_tokenizer_open(&t, dir));
    ck_assert_str_eq(pieces_of(t, "ab ab", false), "ab|Ġ|ab");
    ck_assert_int_eq(ft_tokenizer_bos(t), 0);
    ck_assert(ft_tokenizer_add_bos(t));
    ft_tokenizer_free(t);
}
END_TEST

START_TEST(wrong_requests_are_refused)
{
    static const char *const twice[] = {"<s>", "<s>"}, *const byte[] = {"a"}, *const fine[] = {"<s>"};
    const char *dir = ft_test_dir();
    const char *const files[] = {text_file(dir, "ab\n")}, *const empty[] = {ft_test_path(dir, "empty.txt")};
    ck_assert_ok(ft_write_file(empty[0], "", 0));
    ft_tokenizer_training spec = {.files = files, .n_files = 1, .vocab_size = 255, .specials = fine, .n_specials = 1};
    ck_assert_fails(ft_tokenizer_train(&spec, dir), FT_EINPUT, "vocab_size 255");
    spec.vocab_size = 300;
    spec.specials = twice;
    spec.n_specials = 2;
    ck_assert_fails(ft_tokenizer_train(&spec, dir), FT_EINPUT, "given twice");
    spec.specials = byte;
    spec.n_specials = 1;
    ck_assert_fails(ft_tokenizer_train(&spec, dir), FT_EINPUT, "spelling of a byte");
    spec.specials = fine;
    spec.eos = "</s>";
    ck_assert_fails(ft_tokenizer_train(&spec, dir), FT_EINPUT, "eos token \"</s>\" is not among");
    spec.eos = NULL;
    spec.pattern = "(";
    ck_assert_fails(ft_tokenizer_train(&spec, dir), FT_EUNSUPPORTED, "pattern");
    spec.pattern = NULL;
    spec.files = empty;
    ck_assert_fails(ft_tokenizer_train(&spec, dir), FT_EINPUT, "no text");
    ck_assert(!ft_exists(ft_test_path(dir, "tokenizer.json")));
}
END_TEST

START_TEST(every_failing_allocation_and_write_is_reported)
{
    const char *dir = ft_test_dir(), *file = text_file(dir, sennrich), *out = ft_test_path(dir, "tokenizer.json");
    bool all = false;
    for (long n = 1; !all; n++) {
        ck_assert_int_lt(n, 20000);
        ft_alloc_fail_at(n);
        ft_status st = train_into(dir, file, 262);
        all = ft_alloc_fail_at(0) < n;
        /* (syncing the directory behind a finished file is best effort: its allocation may fail unseen) */
        ck_assert_msg(st == FT_ENOMEM || st == FT_OK, "allocation %ld: status %d: %s", n, st, ft_error());
    }
    unlink(out);
    ft_write_fail_at(1);
    ft_status st = train_into(dir, file, 262);
    ft_write_fail_at(0);
    ck_assert_int_eq(st, FT_EIO);
    ck_assert(!ft_exists(out));
}
END_TEST

int main(void)
{
    FT_TESTS("tokenizer_train", merges_are_those_of_the_text, training_twice_gives_the_same_bytes,
             merges_match_a_trainer_that_recounts_everything, a_trained_tokenizer_covers_english,
             too_few_patterns_make_a_smaller_vocabulary, a_pattern_of_ones_own_is_kept_and_bos_is_put,
             wrong_requests_are_refused, every_failing_allocation_and_write_is_reported);
}
