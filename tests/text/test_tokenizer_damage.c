/* Damaged copies of every kind of tokenizer file: refused or read, never a crash, a hang or a sanitizer report. */
#include "tokenizer_files.h"

enum { COPIES = 2000 };

/* Opens, and where that works encodes, decodes and asks for everything. */
static ft_status use(const char *path, void *ctx)
{
    ft_tokenizer *t;
    ft_ids ids = {0};
    ft_buf out = {0};
    ft_status st = ft_tokenizer_open(&t, path);
    if (st != FT_OK)
        return st;
    for (size_t i = 0; i < FT_COUNT(hard_texts) && st == FT_OK; i++)
        st = ft_tokenizer_encode(t, ft_str_of(hard_texts[i]), true, &ids);
    if (st == FT_OK)
        st = ft_tokenizer_decode(t, ids.p, ids.n, true, true, &out);
    ft_ids_free(&ids);
    ft_buf_free(&out);
    ft_tokenizer_free(t);
    return st;
}

static void quiet(void *ctx, ft_note_level level, const char *text)
{
}

static void damage(const char *path, uint64_t seed)
{
    ft_note_sink(quiet, NULL);
    ck_assert_ok(use(path, NULL));
    int refused = ft_test_damage(path, COPIES, seed, use, NULL);
    ck_assert_int_gt(refused, 0); /* few of a vocab.txt: nearly any text is one */
    ft_note_sink(NULL, NULL);
}

#define DAMAGE_TEST(test, path, seed)                                                                                  \
    START_TEST(test)                                                                                                   \
    {                                                                                                                  \
        if (!ft_test_shared(path))                                                                                     \
            FT_SKIP("../shared/" path " is absent");                                                                   \
        damage(ft_test_shared(path), seed);                                                                            \
    }                                                                                                                  \
    END_TEST

DAMAGE_TEST(damaged_tokenizer_json, "models/tinystories-656k/tokenizer.json", 1)
DAMAGE_TEST(damaged_tokenizer_model, "models/calib-5m/tokenizer.model", 2)
DAMAGE_TEST(damaged_tokenizer_bin, "models/stories260K/tok512.bin", 3)

/* A trained tokenizer and its neighbours, small enough for every byte of them to be hit. */
static const char *small_dir(void)
{
    static char kept[512];
    static const char *const specials[] = {"<s>", "</s>"};
    const char *dir = ft_test_dir();
    const char *const files[] = {ft_test_path(dir, "t.txt")};
    ck_assert_ok(ft_write_file(files[0], "low lower lowest 12 low lower", 29));
    ft_tokenizer_training spec = {.files = files,
                                  .n_files = 1,
                                  .vocab_size = 264,
                                  .specials = specials,
                                  .n_specials = 2,
                                  .bos = "<s>",
                                  .eos = "</s>"};
    ck_assert_ok(ft_tokenizer_train(&spec, dir));
    snprintf(kept, sizeof kept, "%s", dir);
    return kept;
}

START_TEST(damaged_byte_level_json)
{
    damage(ft_test_path(small_dir(), "tokenizer.json"), 4);
}
END_TEST

/* Small files, so that every byte of them is hit; and the GGUF of each. */
START_TEST(damaged_small_files)
{
    for (size_t k = 0; k < FT_COUNT(small_tokenizers); k++) {
        ft_tokenizer *t;
        ft_writer *w;
        const char *path = small_file(k), *gguf = ft_test_path(ft_test_dir(), "vocab.gguf");
        damage(path, 20 + k);
        ck_assert_ok(ft_tokenizer_open(&t, path));
        ck_assert_ok(ft_writer_open(&w, "gguf", gguf));
        ft_note_sink(quiet, NULL);
        ft_status st = ft_tokenizer_write_gguf(t, w, ft_tokenizer_size(t) + 3);
        ft_note_sink(NULL, NULL);
        ft_tokenizer_free(t);
        if (st != FT_OK) { /* no name for the pattern of the small tekken.json */
            ck_assert_int_eq(st, FT_EUNSUPPORTED);
            ft_writer_abort(w);
            continue;
        }
        ck_assert_ok(ft_writer_commit(w));
        damage(gguf, 40 + k);
    }
}
END_TEST

START_TEST(damaged_gguf)
{
    static const char *const kinds[] = {NULL, "models/stories260K", "models/calib-5m"};
    for (size_t k = 0; k < FT_COUNT(kinds); k++) {
        ft_tokenizer *t;
        ft_writer *w;
        const char *source = kinds[k] ? ft_test_shared(kinds[k]) : small_dir();
        if (!source)
            FT_SKIP("../shared is absent");
        const char *path = ft_test_path(ft_test_dir(), "vocab.gguf");
        ck_assert_ok(ft_tokenizer_open(&t, source));
        ck_assert_ok(ft_writer_open(&w, "gguf", path));
        ck_assert_ok(ft_tokenizer_write_gguf(t, w, ft_tokenizer_size(t) + 3));
        ck_assert_ok(ft_writer_commit(w));
        ft_tokenizer_free(t);
        damage(path, 5 + k);
    }
}
END_TEST

/* A SentencePiece model of type BPE with the pieces <unk> and "a", and what a directory has beside it. */
static const char *model_beside(const char *name, const char *json)
{
    static const char model[] = "\x0a\x09\x0a\x05<unk>\x18\x02" /* a piece of type 2, unknown */
                                "\x0a\x03\x0a\x01" "a"            /* a normal one */
                                "\x12\x02\x18\x02";                /* model_type 2 */
    const char *dir = ft_test_dir();
    ck_assert_ok(ft_write_file(ft_test_path(dir, "tokenizer.model"), model, sizeof model - 1));
    ck_assert_ok(ft_write_file(ft_test_path(dir, name), json, strlen(json)));
    return dir;
}

START_TEST(added_ids_outside_a_vocabulary_are_refused)
{
#define CONFIG(id) "{\"added_tokens_decoder\": {\"" id "\": {\"content\": \"<x>\", \"special\": true}}}"
    static const struct {
        const char *file, *json;
        bool good;
    } cases[] = {
        {"tokenizer_config.json", CONFIG("2"), true},
        {"tokenizer_config.json", CONFIG("-1"), false},
        {"tokenizer_config.json", CONFIG("two"), false},
        {"tokenizer_config.json", CONFIG("4194304"), false},
        {"tokenizer_config.json", CONFIG("9223372036854775807"), false},
        {"tokenizer_config.json", CONFIG("9223372036854775808"), false},
        {"added_tokens.json", "{\"<x>\": 2}", true},
        {"added_tokens.json", "{\"<x>\": -1}", false},
        {"added_tokens.json", "{\"<x>\": 4194304}", false},
        {"added_tokens.json", "{\"<x>\": 9223372036854775807}", false},
        {"added_tokens.json", "{\"<x>\": \"2\"}", false},
    };
    for (size_t i = 0; i < FT_COUNT(cases); i++) {
        ft_tokenizer *t = NULL;
        const char *dir = model_beside(cases[i].file, cases[i].json);
        if (cases[i].good) {
            ck_assert_ok(ft_tokenizer_open(&t, dir));
            ck_assert_str_eq(pieces_of(t, "<x>", true), "<x>");
            ft_tokenizer_free(t);
        } else {
            ck_assert_fails(ft_tokenizer_open(&t, dir), FT_EFORMAT, cases[i].file);
        }
    }
}
END_TEST

int main(void)
{
    FT_TESTS("tokenizer_damage", damaged_tokenizer_json, damaged_tokenizer_model, damaged_tokenizer_bin,
             damaged_byte_level_json, damaged_small_files, damaged_gguf, added_ids_outside_a_vocabulary_are_refused);
}
