/* Token ids against vectors that other implementations wrote: llama.cpp's .inp / .out pairs, swift-transformers',
 * and tattletale's. Every tokenizer of ../shared/vocab whose kind fettle has is run against every vector that fits it.
 */
#include "support/support.h"
#include "file/json.h"
#include "text/tokenizer.h"

static const char separator[] = "\n__ggml_vocab_test__\n";

static void check_ids(const ft_tokenizer *t, ft_str text, const int32_t *want, size_t n, const char *name, size_t number)
{
    ft_ids ids = {0};
    ck_assert_ok(ft_tokenizer_encode(t, text, false, &ids));
    for (size_t i = 0; i < FT_MAX(ids.n, n); i++)
        ck_assert_msg(i < ids.n && i < n && ids.p[i] == want[i], "%s, case %zu, place %zu: id %d, expected %d, in \"%.*s\"", name,
                      number, i, i < ids.n ? ids.p[i] : -1, i < n ? want[i] : -1, (int)FT_MIN(text.n, 200), text.p);
    ft_ids_free(&ids);
}

/* What one line of an .out file holds. */
static size_t parse_line(const char **at, int32_t *ids, size_t cap)
{
    size_t n = 0;
    const char *p = *at;
    while (*p && *p != '\n') {
        char *end;
        long v = strtol(p, &end, 10);
        ck_assert_msg(end > p && n < cap, "an .out file does not parse");
        ids[n++] = (int32_t)v;
        for (p = end; *p == ' ';)
            p++;
    }
    *at = *p ? p + 1 : p;
    return n;
}

/* skip_leading_space: cases that begin with white space are left out (a Metaspace pre-tokenizer folds it into its mark). */
static size_t run_pair(const char *tokenizer, const char *vector, bool skip_leading_space)
{
    static char name[96];
    int32_t want[512];
    ft_buf inp = {0}, out = {0};
    ft_tokenizer *t;
    size_t cases = 0;
    snprintf(name, sizeof name, "vocab/llama.cpp/ggml-vocab-%s.gguf.inp", vector);
    ck_assert_ok(ft_read_file(&inp, ft_test_shared(name), 1 << 20));
    snprintf(name, sizeof name, "vocab/llama.cpp/ggml-vocab-%s.gguf.out", vector);
    ck_assert_ok(ft_read_file(&out, ft_test_shared(name), 1 << 20));
    ck_assert_ok(ft_tokenizer_open(&t, ft_test_shared(tokenizer)));
    const char *expected = out.p;
    for (const char *p = inp.p, *end = inp.p + inp.n; p < end; cases++) {
        const char *stop = strstr(p, separator);
        ft_str text = {p, (size_t)((stop ? stop : end) - p)};
        size_t n = parse_line(&expected, want, FT_COUNT(want));
        if (!skip_leading_space || !text.n || text.p[0] != ' ')
            check_ids(t, text, want, n, tokenizer, cases);
        p = stop ? stop + sizeof separator - 1 : end;
    }
    ft_tokenizer_free(t);
    ft_buf_free(&inp);
    ft_buf_free(&out);
    return cases;
}

/* Every tokenizer with the vectors that were made with its vocabulary. The vectors chameleon, command-r, deepseek-llm,
 * falcon, mpt, refact and roberta-bpe belong to vocabularies that ../shared does not have. */
static const struct {
    const char *tokenizer, *vector;
    bool skip_leading_space;
} pairs[] = {
    {"vocab/hf/gpt2/tokenizer.json", "gpt-2", false},
    {"vocab/hf/llama-3.2-1b-instruct", "llama-bpe", false},
    {"vocab/hf/qwen2.5-0.5b-instruct", "qwen2", false},
    {"vocab/hf/qwen3", "qwen2", false},
    {"vocab/hf/qwen3", "deepseek-r1-qwen", false},
    {"vocab/hf/llama2/tokenizer.json", "llama-spm", false},
    {"vocab/hf/tinyllama-1.1b-chat", "llama-spm", true},
    {"vocab/hf/phi-3-mini", "phi-3", false},
    {"vocab/hf/llama2/tokenizer.model", "llama-spm", false},
    {"vocab/hf/bert-base-uncased/tokenizer.json", "bert-bge", false},
    {"vocab/hf/bert-base-uncased/vocab.txt", "bert-bge", false},
    {"vocab/hf/noinstruct-small-embedding-bert/tokenizer.json", "bert-bge", false},
    {"vocab/hf/noinstruct-small-embedding-bert/vocab.txt", "bert-bge", false},
    {"vocab/llama.cpp/ggml-vocab-bert-bge.gguf", "bert-bge", false},
    {"vocab/llama.cpp/ggml-vocab-gpt-2.gguf", "gpt-2", false},
    {"vocab/llama.cpp/ggml-vocab-llama-spm.gguf", "llama-spm", false},
    {"vocab/llama.cpp/ggml-vocab-phi-3.gguf", "phi-3", false},
    {"vocab/llama.cpp/ggml-vocab-starcoder.gguf", "starcoder", false},
    {"vocab/llama.cpp/ggml-vocab-deepseek-coder.gguf", "deepseek-coder", false},
};

START_TEST(llama_cpp_vectors_hold)
{
    if (!ft_test_shared(pairs[0].tokenizer))
        FT_SKIP("../shared is absent");
    for (size_t i = 0; i < FT_COUNT(pairs); i++)
        ck_assert_uint_ge(run_pair(pairs[i].tokenizer, pairs[i].vector, pairs[i].skip_leading_space), 40);
}
END_TEST

/* ---- JSON vectors ---- */

static ft_str str_of(const json_t *j)
{
    return (ft_str){json_string_value(j), json_string_length(j)};
}

/* Ids of a list; a leading BOS and a trailing EOS are dropped where the tokenizer puts them, since encode does not. */
static void check_list(const ft_tokenizer *t, const json_t *text, const json_t *ids, const char *name, size_t number)
{
    static int32_t want[4096];
    size_t n = 0, i;
    json_t *id;
    ck_assert_uint_le(json_array_size(ids), FT_COUNT(want));
    json_array_foreach(ids, i, id)
        if (i || json_integer_value(id) != ft_tokenizer_bos(t) || !ft_tokenizer_add_bos(t))
            want[n++] = (int32_t)json_integer_value(id);
    n -= n && ft_tokenizer_add_eos(t) && want[n - 1] == ft_tokenizer_eos(t);
    ck_assert(json_is_string(text));
    check_ids(t, str_of(text), want, n, name, number);
}

static json_t *shared_json(const char *path)
{
    json_t *j;
    ck_assert_ok(ft_json_file(&j, ft_test_shared(path), 1 << 24));
    return j;
}

START_TEST(tattletale_vectors_hold)
{
    static const char *const pairs[][2] = {{"vocab/vectors/tattletale/hf_gpt2.json", "vocab/hf/gpt2"},
                                           {"vocab/vectors/tattletale/hf_llama3.json", "vocab/hf/llama-3.2-1b-instruct"},
                                           {"vocab/vectors/tattletale/tiktoken_from_hf_llama3.json", "vocab/hf/llama-3.2-1b-instruct"}};
    if (!ft_test_shared(pairs[0][0]))
        FT_SKIP("../shared is absent");
    for (size_t k = 0; k < FT_COUNT(pairs); k++) {
        ft_tokenizer *t;
        size_t i;
        json_t *j = shared_json(pairs[k][0]), *item;
        ck_assert_ok(ft_tokenizer_open(&t, ft_test_shared(pairs[k][1])));
        ck_assert_uint_ge(json_array_size(j), 30);
        json_array_foreach(j, i, item)
            check_list(t, json_object_get(item, "text"), json_object_get(item, "token_ids"), pairs[k][0], i);
        ft_tokenizer_free(t);
        json_decref(j);
    }
}
END_TEST

START_TEST(swift_transformers_texts_hold)
{
    static const char *const pairs[][2] = {{"vocab/vectors/swift-transformers/gpt2_encoded_tokens.json", "vocab/hf/gpt2"},
                                           {"vocab/vectors/swift-transformers/llama_3.2_encoded.json", "vocab/hf/llama-3.2-1b-instruct"},
                                           {"vocab/vectors/swift-transformers/llama_encoded.json", "vocab/hf/llama2"},
                                           {"vocab/vectors/swift-transformers/bert_uncased_encoded.json", "vocab/hf/bert-base-uncased"}};
    if (!ft_test_shared(pairs[0][0]))
        FT_SKIP("../shared is absent");
    for (size_t k = 0; k < FT_COUNT(pairs); k++) {
        ft_tokenizer *t;
        json_t *j = shared_json(pairs[k][0]);
        ck_assert_ok(ft_tokenizer_open(&t, ft_test_shared(pairs[k][1])));
        check_list(t, json_object_get(j, "text"), json_object_get(j, "token_ids"), pairs[k][0], 0);
        ft_tokenizer_free(t);
        json_decref(j);
    }
}
END_TEST

START_TEST(swift_transformers_cases_hold)
{
    static const char *const pairs[][2] = {{"distilgpt2", "vocab/hf/gpt2"},
                                           {"coreml-projects/Llama-2-7b-chat-coreml", "vocab/hf/llama2/tokenizer.model"},
                                           {"pcuenq/Llama-3.2-1B-Instruct-tokenizer", "vocab/hf/llama-3.2-1b-instruct"},
                                           {"bert-base-uncased", "vocab/hf/bert-base-uncased"},
                                           {"google-bert/bert-base-uncased", "vocab/hf/bert-base-uncased/vocab.txt"}};
    if (!ft_test_shared("vocab/vectors/swift-transformers/tokenizer_tests.json"))
        FT_SKIP("../shared is absent");
    json_t *j = shared_json("vocab/vectors/swift-transformers/tokenizer_tests.json");
    for (size_t k = 0; k < FT_COUNT(pairs); k++) {
        ft_tokenizer *t;
        size_t i;
        json_t *item, *list = json_object_get(j, pairs[k][0]);
        ck_assert_ok(ft_tokenizer_open(&t, ft_test_shared(pairs[k][1])));
        ck_assert_uint_ge(json_array_size(list), 18);
        json_array_foreach(list, i, item)
            check_list(t, json_object_get(item, "input"), json_object_get(json_object_get(item, "encoded"), "input_ids"), pairs[k][0], i);
        ft_tokenizer_free(t);
    }
    json_decref(j);
}
END_TEST

/* mistral-common writes the space in front of a text that follows a control token as the text's own first mark: the text
 * that was encoded lacks it, its other marks were spaces. */
static void unmark(ft_buf *out, const char *text)
{
    static const char mark[] = "\xe2\x96\x81";
    bool after_control = true;
    for (const char *p = text; *p;) {
        if (strncmp(p, mark, 3) == 0) {
            if (!after_control)
                ck_assert_ok(ft_buf_putc(out, ' '));
            p += 3;
        } else {
            ck_assert_ok(ft_buf_putc(out, *p++));
        }
        static const char *const controls[] = {"<s>", "</s>", "[INST]", "[/INST]"};
        after_control = false;
        for (size_t i = 0; i < FT_COUNT(controls); i++)
            after_control = after_control || (out->n >= strlen(controls[i]) && ft_ends(out->p, controls[i]));
    }
}

START_TEST(mistral_chats_give_the_ids_of_mistral_common)
{
    static const char *const versions[][3] = {
        {"v2", "vocab/hf/mistral-v0.3/mistral_instruct_tokenizer_240216.model.v2", "vocab/vectors/mistral-common/samples/no_tools"},
        {"v3", "vocab/hf/mistral-v0.3/mistral_instruct_tokenizer_240323.model.v3", "vocab/vectors/mistral-common/samples/no_tools"}};
    if (!ft_test_shared(versions[0][2]))
        FT_SKIP("../shared is absent");
    for (size_t k = 0; k < FT_COUNT(versions); k++) {
        char name[64];
        ft_buf text = {0}, plain = {0};
        ft_tokenizer *t;
        static int32_t want[1024];
        size_t n = 0, i;
        json_t *id;
        snprintf(name, sizeof name, "text_%s.txt", versions[k][0]);
        ck_assert_ok(ft_read_file(&text, ft_test_path(ft_test_shared(versions[k][2]), name), 1 << 20));
        unmark(&plain, text.p);
        snprintf(name, sizeof name, "tokens_%s.json", versions[k][0]);
        json_t *j;
        ck_assert_ok(ft_json_file(&j, ft_test_path(ft_test_shared(versions[k][2]), name), 1 << 20));
        json_array_foreach(json_object_get(j, "tokens"), i, id)
            want[n++] = (int32_t)json_integer_value(id);
        ck_assert_ok(ft_tokenizer_open(&t, ft_test_shared(versions[k][1])));
        ft_ids ids = {0};
        ck_assert_ok(ft_tokenizer_encode(t, (ft_str){plain.p, plain.n}, true, &ids));
        ck_assert_uint_eq(ids.n, n);
        ck_assert_int_eq(memcmp(ids.p, want, n * sizeof *want), 0);
        ft_ids_free(&ids);
        ft_tokenizer_free(t);
        json_decref(j);
        ft_buf_free(&text);
        ft_buf_free(&plain);
    }
}
END_TEST

int main(void)
{
    FT_TESTS("tokenizer_vectors", llama_cpp_vectors_hold, tattletale_vectors_hold, swift_transformers_texts_hold,
             swift_transformers_cases_hold, mistral_chats_give_the_ids_of_mistral_common);
}
