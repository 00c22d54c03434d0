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

#define PAIR_TEST(test, tokenizer, vector, skip_leading_space)                                                         \
    START_TEST(test)                                                                                                   \
    {                                                                                                                  \
        if (!ft_test_shared(tokenizer))                                                                                \
            FT_SKIP("../shared/" tokenizer " is absent");                                                              \
        ck_assert_uint_ge(run_pair(tokenizer, vector, skip_leading_space), 40);                                        \
    }                                                                                                                  \
    END_TEST

PAIR_TEST(gpt2_json_gives_the_ids_of_gpt_2, "vocab/hf/gpt2/tokenizer.json", "gpt-2", false)
PAIR_TEST(llama3_json_gives_the_ids_of_llama_bpe, "vocab/hf/llama-3.2-1b-instruct", "llama-bpe", false)
PAIR_TEST(qwen25_json_gives_the_ids_of_qwen2, "vocab/hf/qwen2.5-0.5b-instruct", "qwen2", false)
PAIR_TEST(qwen3_json_gives_the_ids_of_qwen2, "vocab/hf/qwen3", "qwen2", false)
PAIR_TEST(qwen3_json_gives_the_ids_of_deepseek_r1_qwen, "vocab/hf/qwen3", "deepseek-r1-qwen", false)
PAIR_TEST(llama2_json_gives_the_ids_of_llama_spm, "vocab/hf/llama2/tokenizer.json", "llama-spm", false)
PAIR_TEST(tinyllama_json_gives_the_ids_of_llama_spm, "vocab/hf/tinyllama-1.1b-chat", "llama-spm", true)
PAIR_TEST(phi3_json_gives_the_ids_of_phi_3, "vocab/hf/phi-3-mini", "phi-3", false)

int main(void)
{
    FT_TESTS("tokenizer_vectors", gpt2_json_gives_the_ids_of_gpt_2, llama3_json_gives_the_ids_of_llama_bpe,
             qwen25_json_gives_the_ids_of_qwen2, qwen3_json_gives_the_ids_of_qwen2, qwen3_json_gives_the_ids_of_deepseek_r1_qwen,
             llama2_json_gives_the_ids_of_llama_spm, tinyllama_json_gives_the_ids_of_llama_spm, phi3_json_gives_the_ids_of_phi_3);
}
