/* Tokenizers as a whole: round trips, hostile texts, threads, special ids, and each part of tokenizer.json by small
 * files whose ids are worked out by hand. */
#include "base/rng.h"
#include "base/threads.h"
#include "text/normalizers.h"
#include "tokenizer_files.h"

#include <stdlib.h>
#include <utf8proc.h>

/* Real files that lose nothing of a text. The first KEEP_ALL have a token for every byte, those behind only for bytes
 * that occur in UTF-8. */
enum { KEEP_ALL = 8 };
static const char *const lossless[] = {
    "vocab/hf/gpt2",
    "vocab/hf/llama-3.2-1b-instruct",
    "vocab/hf/minimind",
    "vocab/hf/llama2/tokenizer.model",
    "vocab/hf/mistral-v0.3/mistral_instruct_tokenizer_240323.model.v3",
    "vocab/llama.cpp/ggml-vocab-llama-spm.gguf",
    "models/calib-5m/tokenizer.model",
    "models/stories260K",
    "vocab/llama.cpp/ggml-vocab-deepseek-coder.gguf",
    "vocab/llama.cpp/ggml-vocab-starcoder.gguf",
    "vocab/hf/smollm2-360m",
};

START_TEST(decoding_gives_the_text_back)
{
    if (!ft_test_shared(lossless[0]))
        FT_SKIP("../shared is absent");
    for (size_t k = 0; k < FT_COUNT(lossless); k++) {
        ft_tokenizer *t;
        ck_assert_ok(ft_tokenizer_open(&t, ft_test_shared(lossless[k])));
        for (size_t i = 0; i < FT_COUNT(hard_texts); i++)
            if (k < KEEP_ALL || !strchr(hard_texts[i], '\xff'))
                check_round_trip(t, ft_str_of(hard_texts[i]));
        char random[64];
        for (uint64_t i = 0; i < 300 && k < KEEP_ALL; i++) {
            uint32_t r[4];
            for (size_t j = 0; j < sizeof random; j++) {
                ft_philox(7, FT_STREAM_TEST, i, j / 4, r);
                random[j] = (char)(r[j % 4] >> (i % 3 ? 0 : 1)); /* any byte, or mostly text */
            }
            check_round_trip(t, (ft_str){random, 1 + i % sizeof random});
        }
        ft_tokenizer_free(t);
    }
}
END_TEST

/* A megabyte without a space takes seconds at most: merging is n log n, patterns stay linear. (The suite's alarm is the
 * judge.) */
START_TEST(a_megabyte_without_a_space_is_encoded)
{
    static const char *const files[] = {"vocab/hf/gpt2", "vocab/hf/llama-3.2-1b-instruct",
                                        "vocab/hf/llama2/tokenizer.model"};
    static const char *const units[] = {"a", "=", " ", "\xff"};
    if (!ft_test_shared(files[0]))
        FT_SKIP("../shared is absent");
    for (size_t k = 0; k < FT_COUNT(files); k++) {
        ft_tokenizer *t;
        ck_assert_ok(ft_tokenizer_open(&t, ft_test_shared(files[k])));
        for (size_t u = 0; u < FT_COUNT(units); u++) {
            ft_buf text = {0};
            while (text.n < 1 << 20)
                ck_assert_ok(ft_buf_puts(&text, units[u]));
            check_round_trip(t, (ft_str){text.p, text.n});
            ft_buf_free(&text);
        }
        ft_tokenizer_free(t);
    }
}
END_TEST

typedef struct parallel_case {
    const ft_tokenizer *t;
    ft_ids want[FT_COUNT(hard_texts)];
    _Atomic int wrong;
} parallel_case;

static void encode_tile(void *ctx, int64_t tile)
{
    parallel_case *c = ctx;
    size_t i = (size_t)tile % FT_COUNT(hard_texts);
    ft_ids ids = {0};
    if (ft_tokenizer_encode(c->t, ft_str_of(hard_texts[i]), false, &ids) != FT_OK || ids.n != c->want[i].n ||
        (ids.n && memcmp(ids.p, c->want[i].p, ids.n * sizeof *ids.p) != 0))
        c->wrong++;
    ft_ids_free(&ids);
}

START_TEST(threads_may_share_a_tokenizer)
{
    parallel_case c = {0};
    ft_tokenizer *t;
    if (!ft_test_shared("vocab/hf/smollm2-360m"))
        FT_SKIP("../shared is absent");
    ck_assert_ok(ft_tokenizer_open(&t, ft_test_shared("vocab/hf/smollm2-360m")));
    c.t = t;
    for (size_t i = 0; i < FT_COUNT(hard_texts); i++)
        ck_assert_ok(ft_tokenizer_encode(t, ft_str_of(hard_texts[i]), false, &c.want[i]));
    ft_threads_set(4);
    ft_parallel(400, encode_tile, &c);
    ck_assert_int_eq(c.wrong, 0);
    for (size_t i = 0; i < FT_COUNT(hard_texts); i++)
        ft_ids_free(&c.want[i]);
    ft_tokenizer_free(t);
}
END_TEST

/* ---- special ids ---- */

START_TEST(special_ids_are_those_of_the_models)
{
    static const struct {
        const char *path;
        int32_t size, bos, eos, pad;
        bool add_bos;
        int32_t stops[4]; /* 0 behind the last */
    } want[] = {
        {"vocab/hf/llama-3.2-1b-instruct", 128256, 128000, 128009, 128009, true, {128009, 128001, 128008}},
        {"vocab/hf/qwen2.5-0.5b-instruct", 151665, -1, 151645, 151643, false, {151645, 151643}},
        {"vocab/hf/smollm2-360m", 49153, 0, -2, 49152, false, {2}},
        {"vocab/hf/tinyllama-1.1b-chat", 32000, 1, 2, 2, true, {2}},
        {"vocab/hf/llama2", 32000, 1, 2, -1, true, {2}},
        {"vocab/hf/llama2/tokenizer.model", 32000, 1, 2, -1, true, {2}},
        {"vocab/hf/phi-3-mini", 32011, 1, 32000, 32000, false, {32000, 32007}},
        {"vocab/hf/minimind", 6400, 1, 2, 0, false, {2}},
        {"models/tinystories-656k", 2048, 1, 2, 0, true, {2}},
        {"models/calib-5m", 4096, 1, 2, -1, true, {2}},
        {"models/stories260K", 512, 1, 2, -1, true, {2}},
        {"vocab/hf/bert-base-uncased", 30522, 101, 102, 0, true, {102}},
        {"vocab/hf/noinstruct-small-embedding-bert/vocab.txt", 30522, 101, 102, 0, true, {102}},
        {"vocab/llama.cpp/ggml-vocab-phi-3.gguf", 32064, 1, 32000, 32000, true, {32000, 32007}},
        {"vocab/llama.cpp/ggml-vocab-gpt-2.gguf", 50257, 50256, 50256, -1, false, {50256}},
        {"vocab/llama.cpp/ggml-vocab-deepseek-coder.gguf", 32256, 32013, 32014, 32014, true, {32014}},
    };
    if (!ft_test_shared(want[0].path))
        FT_SKIP("../shared is absent");
    for (size_t k = 0; k < FT_COUNT(want); k++) {
        ft_tokenizer *t;
        ck_assert_ok(ft_tokenizer_open(&t, ft_test_shared(want[k].path)));
        ck_assert_msg(ft_tokenizer_size(t) == want[k].size && ft_tokenizer_bos(t) == want[k].bos &&
                          (want[k].eos == -2 || ft_tokenizer_eos(t) == want[k].eos) &&
                          ft_tokenizer_pad(t) == want[k].pad && ft_tokenizer_add_bos(t) == want[k].add_bos,
                      "%s: size %d bos %d eos %d pad %d add_bos %d", want[k].path, ft_tokenizer_size(t),
                      ft_tokenizer_bos(t), ft_tokenizer_eos(t), ft_tokenizer_pad(t), ft_tokenizer_add_bos(t));
        for (size_t i = 0; want[k].stops[i]; i++)
            ck_assert_msg(ft_tokenizer_is_stop(t, want[k].stops[i]), "%s: %d does not end a text", want[k].path,
                          want[k].stops[i]);
        ft_tokenizer_free(t);
    }
}
END_TEST

START_TEST(control_tokens_are_made_only_where_asked)
{
    ft_tokenizer *t;
    if (!ft_test_shared("vocab/hf/qwen2.5-0.5b-instruct"))
        FT_SKIP("../shared is absent");
    ck_assert_ok(ft_tokenizer_open(&t, ft_test_shared("vocab/hf/qwen2.5-0.5b-instruct")));
    ck_assert_str_eq(pieces_of(t, "<|im_start|>user", true), "<|im_start|>|user");
    ck_assert_ptr_null(strstr(pieces_of(t, "<|im_start|>user", false), "<|im_start|>"));
    ck_assert_str_eq(pieces_of(t, "a<tool_call>b", false), "a|<tool_call>|b"); /* added, not special */
    ck_assert_ptr_nonnull(strstr(ft_tokenizer_chat_template(t), "<|im_start|>"));
    ft_tokenizer_free(t);
}
END_TEST

START_TEST(decoding_skips_control_tokens_and_the_first_space)
{
    ft_tokenizer *t;
    ft_buf out = {0};
    const int32_t ids[] = {1, 15043, 3186, 2};
    if (!ft_test_shared("vocab/hf/llama2"))
        FT_SKIP("../shared is absent");
    ck_assert_ok(ft_tokenizer_open(&t, ft_test_shared("vocab/hf/llama2")));
    ck_assert_ok(ft_tokenizer_decode(t, ids, 4, true, true, &out));
    ck_assert_str_eq(out.p, "Hello world");
    out.n = 0;
    ck_assert_ok(ft_tokenizer_decode(t, ids, 4, false, false, &out));
    ck_assert_str_eq(out.p, "<s> Hello world</s>");
    ck_assert_fails(ft_tokenizer_decode(t, (const int32_t[]){5, 32000}, 2, false, false, &out), FT_EINPUT,
                    "id 32000 at place 1");
    ck_assert_fails(ft_tokenizer_decode(t, (const int32_t[]){-1}, 1, false, false, &out), FT_EINPUT, "id -1");
    ft_buf_free(&out);
    ft_tokenizer_free(t);
}
END_TEST

/* ---- small files ---- */

/* A tokenizer.json over the letters a..f, space (spelled) and a few merges; the rest of the document is the test's. */
#define MODEL(settings)                                                                                                     \
    "\"model\": {\"type\": \"BPE\"," settings                                                                               \
    " \"vocab\": {\"a\": 0, \"b\": 1, \"c\": 2, \"d\": 3, \"1\": 4, \"2\": 5, \"Ġ\": 6, \"ab\": 7,"                        \
    " \"abc\": 8, \"bc\": 9, \"Ġa\": 10, \"12\": 11, \".\": 12, \"dd\": 13, \"A\": 14, \"Ã\": 15, \"©\": 16, \"Ã©\": " \
    "17},"                                                                                                                  \
    " \"merges\": [\"b c\", [\"a\", \"b\"], \"a bc\", \"Ġ a\", \"1 2\", \"d d\", \"Ã ©\"]}"
#define BYTES "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false},"
#define SEQUENCE(first)                                                                                                \
    "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [" first                                           \
    ", {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "                                                        \
    "\"use_regex\": false}]},"

static void check_pieces(const char *json, const char *text, const char *want)
{
    ft_tokenizer *t;
    ck_assert_ok(ft_tokenizer_open(&t, tokenizer_dir(json, NULL)));
    ck_assert_str_eq(pieces_of(t, text, true), want);
    ft_tokenizer_free(t);
}

START_TEST(merges_go_by_rank_and_from_the_left)
{
    check_pieces("{" BYTES MODEL("") "}", "abcab", "abc|ab"); /* b c before a b */
    check_pieces("{" BYTES MODEL("") "}", "ddddd", "dd|dd|d");
    check_pieces("{" BYTES MODEL("") "}", "a 1212 a", "a|Ġ|12|12|Ġa");
    check_pieces("{" BYTES MODEL("") "}", "axb", "ab"); /* without unk, a byte that is no token vanishes first */
}
END_TEST

START_TEST(ignore_merges_takes_whole_words)
{
    check_pieces(
        "{" SEQUENCE(
            "{\"type\": \"Digits\"}") "\"model\": {\"type\": \"BPE\", \"ignore_merges\": true, \"vocab\": {\"a\": 0, "
                                      "\"b\": 1, \"ab\": 2, \"1\": 3}, \"merges\": []}}",
        "ab1aba", "ab|1|a|b|a");
}
END_TEST

START_TEST(pre_tokenizers_cut_as_described)
{
    check_pieces("{" SEQUENCE("{\"type\": \"Digits\", \"individual_digits\": true}") MODEL("") "}", "ab12", "ab|1|2");
    check_pieces("{" SEQUENCE("{\"type\": \"Digits\"}") MODEL("") "}", "ab12", "ab|12");
    check_pieces("{" SEQUENCE("{\"type\": \"Punctuation\"}") MODEL("") "}", "d.d", "d|.|d");
    check_pieces("{" SEQUENCE("{\"type\": \"WhitespaceSplit\"}") MODEL("") "}", "ab  a", "ab|a");
    check_pieces("{" SEQUENCE("{\"type\": \"Whitespace\"}") MODEL("") "}", "ab. a", "ab|.|a");
    check_pieces("{" SEQUENCE("{\"type\": \"CharDelimiterSplit\", \"delimiter\": \"b\"}") MODEL("") "}", "abc", "a|c");
#define SPLIT(behavior, invert)                                                                                        \
    "{" SEQUENCE("{\"type\": \"Split\", \"pattern\": {\"Regex\": \"[bc]\"}, \"behavior\": \"" behavior                 \
                 "\", \"invert\": " invert "}") MODEL("") "}"
    check_pieces(SPLIT("Isolated", "false"), "abcab", "a|b|c|a|b");
    check_pieces(SPLIT("Removed", "false"), "abcab", "a|a");
    check_pieces(SPLIT("Removed", "true"), "abcab", "b|c|b");
    check_pieces(SPLIT("MergedWithPrevious", "false"), "abcab", "ab|c|ab");
    check_pieces(SPLIT("MergedWithNext", "false"), "abcab", "a|b|c|a|b"); /* "c" joins "a": no such piece */
    check_pieces(SPLIT("Contiguous", "false"), "abcab", "a|bc|a|b");
    check_pieces("{" SEQUENCE("{\"type\": \"Split\", \"pattern\": {\"String\": \".\"}, \"behavior\": \"Removed\"}")
                     MODEL("") "}",
                 "a.b", "a|b");
    check_pieces("{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true}," MODEL("") "}", "a", "Ġa");
}
END_TEST

START_TEST(normalizers_rewrite_as_described)
{
#define NORMALIZED(steps) "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [" steps "]}," BYTES MODEL("") "}"
    check_pieces(NORMALIZED("{\"type\": \"NFC\"}"), "e\xcc\x81", "Ã©");
    check_pieces(NORMALIZED("{\"type\": \"NFKC\"}"), "\xef\xbc\x91\xc2\xb2", "12"); /* fullwidth 1, superscript 2 */
    check_pieces(NORMALIZED("{\"type\": \"NFD\"}, {\"type\": \"StripAccents\"}"), "\xc3\xa1\xc3\x85", "a|A");
    check_pieces(NORMALIZED("{\"type\": \"Lowercase\"}"), "ABC", "abc");
    check_pieces(NORMALIZED("{\"type\": \"Strip\"}"), " \t a ", "a");
    check_pieces(NORMALIZED("{\"type\": \"Prepend\", \"prepend\": \" \"}"), "a", "Ġa");
    check_pieces(NORMALIZED("{\"type\": \"Replace\", \"pattern\": {\"String\": \".\"}, \"content\": \"ab\"}"), "c.",
                 "c|ab");
    check_pieces(NORMALIZED("{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"[0-9]+\"}, \"content\": \"d\"}"),
                 "12a1", "d|a|d");
    check_pieces(NORMALIZED("{\"type\": \"NFC\"}"),
                 "a\xff"
                 "b",
                 "a|b"); /* what is not UTF-8 passes through */
}
END_TEST

static void put_code_point(ft_buf *b, int32_t c)
{
    utf8proc_uint8_t u[4];
    ck_assert_ok(ft_buf_put(b, u, (size_t)utf8proc_encode_char(c, u)));
}

/* utf8proc, given the whole text at once. */
static void check_nfc(const ft_norms *norms, const ft_norm_run *run, const ft_buf *text, ft_buf buffers[2])
{
    utf8proc_uint8_t *want = NULL;
    ft_str got;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text->p, (utf8proc_ssize_t)text->n, &want,
                                      UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    ck_assert_int_ge(n, 0);
    ck_assert_ok(ft_norms__run(norms, run, (ft_str){text->p, text->n}, buffers, &got));
    ck_assert_uint_eq(got.n, (size_t)n);
    ck_assert_mem_eq(got.p, want, got.n);
    free(want);
}

START_TEST(nfc_in_stretches_is_nfc_of_the_whole)
{
    /* letters, marks that join and that do not, Hangul parts, characters with another canonical form, kana and its marks */
    static const int32_t pool[] = {' ',    'a',    'e',    0xe9,   0x2bc,  0x300,  0x301,  0x323,  0x345,  0x1100, 0x1161,
                                   0x11a8, 0xac00, 0x212b, 0x2126, 0x304b, 0x3099, 0x9c7,  0x9be,  0x1e0a, 0x2019, 0xf900};
    ft_norms norms = {0};
    ft_buf points = {0}, buffers[2] = {{0}}, text = {0};
    ft_norm_run run = {.points = &points};
    json_t *j = json_pack("{s:s}", "type", "NFC");
    ck_assert_ok(ft_norms__from_json(&norms, j, "test"));
    for (int32_t c = 1; c < 0x11000; c++) {
        if (c == 0x3200) /* ideographs are all alike, and so are syllables */
            c = 0xac00;
        if (c == 0xac40)
            c = 0xf900;
        text.n = 0;
        const int32_t around[] = {'a', c, 0xe9, c, 0x301, 0x101, c};
        for (size_t i = 0; i < FT_COUNT(around); i++)
            put_code_point(&text, around[i]);
        check_nfc(&norms, &run, &text, buffers);
    }
    for (uint64_t i = 0; i < 5000; i++) {
        text.n = 0;
        for (uint64_t k = 0; k < 12; k++)
            put_code_point(&text, pool[(size_t)(ft_uniform(3, FT_STREAM_TEST, i, k) * (float)FT_COUNT(pool))]);
        check_nfc(&norms, &run, &text, buffers);
    }
    json_decref(j);
    ft_norms__free(&norms);
    ft_buf_free(&points);
    ft_buf_free(&buffers[0]);
    ft_buf_free(&buffers[1]);
    ft_buf_free(&text);
}
END_TEST

/* The pieces that small_tokenizers[k] cuts a text into. */
static void check_small(size_t k, const char *text, const char *want)
{
    ft_tokenizer *t;
    ck_assert_ok(ft_tokenizer_open(&t, small_file(k)));
    ck_assert_str_eq(pieces_of(t, text, true), want);
    ft_tokenizer_free(t);
}

START_TEST(unigram_takes_the_best_sum)
{
#define MARK "\xe2\x96\x81"
    check_small(0, "ab", MARK "a|b");                       /* -4.0; "_" and "ab" would be -4.25 */
    check_small(0, " b  bab ", MARK "|b|" MARK "|b|ab");    /* "b" and "ab" are -3.75, "b", "a", "b" -4 */
    check_small(0, "axyb", MARK "a|<unk>|b");               /* neighbours that are unknown are one */
    check_small(0, "a</s>", MARK "a|</s>");
    check_small(1, "ab<u>A", MARK "|ab|<u>|<0x41>"); /* a piece that users defined has the best of scores */
}
END_TEST

START_TEST(wordpiece_takes_the_longest_piece)
{
    for (size_t k = 2; k < 4; k++) {
        check_small(k, "Un\xc3\xa0" "ffable,  \xc3\xa9 e", "un|##aff|##able|,|e|e");
        check_small(k, "una unx", "un|##a|[UNK]");
        check_small(k, "e[SEP]e [un", "e|[SEP]|e|[UNK]|un");
    }
}
END_TEST

START_TEST(a_tekken_vocabulary_merges_by_its_ranks)
{
    check_small(4, "ab aab b", "ab|\xc4\xa0" "a|ab|\xc4\xa0|b");
    check_small(4, "a</s>b", "a|</s>|b");
    check_small(4, "xx", ""); /* behind default_vocab_size */
}
END_TEST

START_TEST(added_tokens_keep_their_flags)
{
#define ADDED(content, flags)    "{\"id\": 20, \"content\": \"" content "\", " flags "\"special\": false}"
#define WITH(tokens, normalizer) "{\"added_tokens\": [" tokens "]," normalizer BYTES MODEL("") "}"
    check_pieces(WITH(ADDED("bcd", "\"normalized\": false, "), ""), "abcda", "a|bcd|a");
    check_pieces(WITH(ADDED("bcd", "\"normalized\": false, \"lstrip\": true, "), ""), "a  bcd a", "a|bcd|Ġa");
    check_pieces(WITH(ADDED("bcd", "\"normalized\": false, \"rstrip\": true, "), ""), "a bcd  a", "a|Ġ|bcd|a");
    check_pieces(WITH(ADDED("bcd", "\"normalized\": false, \"single_word\": true, "), ""), "abcd bcd.",
                 "abc|d|Ġ|bcd|.");
    check_pieces(WITH(ADDED("bcd", "\"normalized\": true, "), "\"normalizer\": {\"type\": \"Lowercase\"},"), "aBCDa",
                 "a|bcd|a");
    check_pieces(WITH(ADDED("bcd", "\"normalized\": false, "), "\"normalizer\": {\"type\": \"Lowercase\"},"), "aBCDa",
                 "abc|d|a");
    check_pieces(WITH(ADDED("dd", "\"normalized\": false, ") ", {\"id\": 21, \"content\": \"ddd\", \"normalized\": "
                                                             "false, \"special\": false}",
                      ""),
                 "ddddd", "ddd|dd"); /* the longest, from the left */
}
END_TEST

START_TEST(what_would_be_read_wrongly_is_refused_by_name)
{
    static const struct {
        const char *json, *why;
        ft_status kind;
    } cases[] = {
        {"{\"model\": {\"type\": \"WordLevel\"}}", "\"WordLevel\" is not supported", FT_EUNSUPPORTED},
        {"{\"normalizer\": {\"type\": \"Reverse\"}, " MODEL("") "}", "Reverse", FT_EUNSUPPORTED},
        {"{\"decoder\": {\"type\": \"CTC\"}, " MODEL("") "}", "CTC", FT_EUNSUPPORTED},
        {"{\"post_processor\": {\"type\": \"Twice\"}, " MODEL("") "}", "Twice", FT_EUNSUPPORTED},
        {"{\"pre_tokenizer\": {\"type\": \"Metaspace\", \"prepend_scheme\": \"last\"}, " MODEL("") "}", "last",
         FT_EUNSUPPORTED},
        {"{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"a\": 0}, \"max_input_chars_per_word\": 9999}}",
         "max_input_chars_per_word", FT_EUNSUPPORTED},
        {"{\"pre_tokenizer\": {\"type\": \"UnicodeScripts\"}, " MODEL("") "}", "UnicodeScripts", FT_EUNSUPPORTED},
        {"{" BYTES MODEL("\"continuing_subword_prefix\": \"##\",") "}", "continuing_subword_prefix", FT_EUNSUPPORTED},
        {"{" BYTES MODEL("\"dropout\": 0.1,") "}", "dropout", FT_EUNSUPPORTED},
        {"{" SEQUENCE("{\"type\": \"Split\", \"pattern\": {\"Regex\": \"[a&&[^b]]\"}}") MODEL("") "}", "&&",
         FT_EUNSUPPORTED},
        {"{" SEQUENCE("{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(a\"}}") MODEL("") "}", "at offset 2",
         FT_EUNSUPPORTED},
        {"{" SEQUENCE("{\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\"}, \"behavior\": \"Sometimes\"}")
             MODEL("") "}",
         "Sometimes", FT_EUNSUPPORTED},
        {"{\"model\": {\"vocab\": {\"a\": 0, \"b\": 0}, \"merges\": []}}", "two pieces", FT_EFORMAT},
        {"{\"model\": {\"vocab\": {\"a\": 99999999}, \"merges\": []}}", "token id", FT_EFORMAT},
        {"{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]}}", "merge 0, \"ab\"", FT_EFORMAT},
        {"{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [\"ab\"]}}", "merge 0", FT_EFORMAT},
        {"{\"model\": {\"vocab\": {\"a\": 0}}}", "merges", FT_EFORMAT},
        {"{}", "no \"model\"", FT_EFORMAT},
    };
    for (size_t i = 0; i < FT_COUNT(cases); i++) {
        ft_tokenizer *t;
        ck_assert_fails(ft_tokenizer_open(&t, tokenizer_dir(cases[i].json, NULL)), cases[i].kind, cases[i].why);
        ck_assert_ptr_null(t);
    }
}
END_TEST

/* (a+)+$ on a's and a b takes two to the n steps: the bound turns that into an error with the pattern's place. */
START_TEST(a_pattern_that_explodes_is_stopped)
{
    ft_tokenizer *t;
    ft_ids ids = {0};
    ck_assert_ok(ft_tokenizer_open(
        &t, tokenizer_dir("{" SEQUENCE("{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(a+)+$\"}}") MODEL("") "}",
                          NULL)));
    ck_assert_fails(
        ft_tokenizer_encode(t, ft_str_of("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), false, &ids),
        FT_EUNSUPPORTED, "tokenizer.json: pattern (a+)+$: match limit");
    ft_ids_free(&ids);
    ft_tokenizer_free(t);
}
END_TEST

START_TEST(every_failing_allocation_is_reported)
{
    const char *dir =
        tokenizer_dir("{\"added_tokens\": [{\"id\": 20, \"content\": \"bcd\", \"special\": true}]," BYTES MODEL("") "}",
                      "{\"eos_token\": \"bcd\", \"chat_template\": \"x\"}");
    bool all = false;
    for (long n = 1; !all; n++) {
        ft_tokenizer *t = NULL;
        ft_ids ids = {0};
        ck_assert_int_lt(n, 10000);
        ft_alloc_fail_at(n);
        ft_status st = ft_tokenizer_open(&t, dir);
        if (st == FT_OK)
            st = ft_tokenizer_encode(t, ft_str_of("abcd 12bcd"), true, &ids);
        all = st == FT_OK && ft_alloc_fail_at(0) < n;
        ft_alloc_fail_at(0);
        ck_assert_msg(st == FT_OK || st == FT_ENOMEM, "allocation %ld: status %d: %s", n, st, ft_error());
        ft_ids_free(&ids);
        ft_tokenizer_free(t);
    }
}
END_TEST

int main(void)
{
    FT_TESTS("tokenizer", decoding_gives_the_text_back, a_megabyte_without_a_space_is_encoded,
             threads_may_share_a_tokenizer, special_ids_are_those_of_the_models,
             control_tokens_are_made_only_where_asked, decoding_skips_control_tokens_and_the_first_space,
             merges_go_by_rank_and_from_the_left, ignore_merges_takes_whole_words, pre_tokenizers_cut_as_described,
             normalizers_rewrite_as_described, nfc_in_stretches_is_nfc_of_the_whole, unigram_takes_the_best_sum,
             wordpiece_takes_the_longest_piece, a_tekken_vocabulary_merges_by_its_ranks, added_tokens_keep_their_flags,
             what_would_be_read_wrongly_is_refused_by_name, a_pattern_that_explodes_is_stopped,
             every_failing_allocation_is_reported);
}
