/* A tokenizer on its way out: GGUF and back, HF directory and back give the same ids; the metadata is what llama.cpp
 * and Ollama expect. */
#include "file/json.h"
#include "tokenizer_files.h"

static void quiet(void *ctx, ft_note_level level, const char *text)
{
    int *n = ctx;
    if (n && level == FT_WARN)
        ++*n;
}

static const char *write_gguf(const ft_tokenizer *t, int64_t rows)
{
    ft_writer *w;
    const char *path = ft_test_path(ft_test_dir(), "vocab.gguf");
    ck_assert_ok(ft_writer_open(&w, "gguf", path));
    ck_assert_ok(ft_writer_str(w, "general.architecture", ft_str_of("llama")));
    ck_assert_ok(ft_tokenizer_write_gguf(t, w, rows));
    ck_assert_ok(ft_writer_commit(w));
    return path;
}

/* The texts of tests and lines of real ones. */
static void check_all_same(const ft_tokenizer *a, const ft_tokenizer *b)
{
    static const char *const files[] = {"data/excavator/test.jsonl", "data/banking77-small20/test.jsonl",
                                        "data/chat/test.jsonl"};
    for (size_t i = 0; i < FT_COUNT(hard_texts); i++)
        check_same(a, b, ft_str_of(hard_texts[i]));
    for (size_t f = 0; f < FT_COUNT(files); f++) {
        ft_buf text = {0};
        if (!ft_test_shared(files[f]))
            continue;
        ck_assert_ok(ft_read_file(&text, ft_test_shared(files[f]), 1 << 24));
        size_t n = 0;
        for (char *line = strtok(text.p, "\n"); line && n < 200; line = strtok(NULL, "\n"), n++)
            check_same(a, b, ft_str_of(line));
        ft_buf_free(&text);
    }
}

static const struct source {
    const char *path, *pre;
} sources[] = {
    {"vocab/hf/gpt2", "gpt-2"},
    {"vocab/hf/llama-3.2-1b-instruct", "llama-bpe"},
    {"vocab/hf/smollm2-360m", "smollm"},
    {"vocab/hf/minimind", "gpt-2"},
    {"vocab/hf/llama2/tokenizer.model", "default"},
    {"vocab/hf/mistral-v0.3/mistral_instruct_tokenizer_240323.model.v3", "default"},
    {"models/calib-5m", "default"},
    {"models/stories260K", "default"},
    {"models/tinystories-656k", "default"},
    {"vocab/hf/bert-base-uncased", "bert-bge"},
    {"vocab/hf/noinstruct-small-embedding-bert/vocab.txt", "bert-bge"},
    {"vocab/llama.cpp/ggml-vocab-bert-bge.gguf", "bert-bge"},
    {"vocab/llama.cpp/ggml-vocab-deepseek-coder.gguf", "deepseek-coder"},
    {"vocab/llama.cpp/ggml-vocab-llama-spm.gguf", "default"},
};

START_TEST(gguf_and_back_gives_the_same_ids)
{
    if (!ft_test_shared(sources[0].path))
        FT_SKIP("../shared is absent");
    int warnings = 0;
    ft_note_sink(quiet, &warnings);
    for (size_t k = 0; k < FT_COUNT(sources); k++) {
        ft_tokenizer *t, *back;
        ft_str pre;
        ft_container *c;
        ck_assert_ok(ft_tokenizer_open(&t, ft_test_shared(sources[k].path)));
        const char *path = write_gguf(t, ft_tokenizer_size(t) + 2 * (k % 2));
        ck_assert_ok(ft_container_open(&c, path));
        ck_assert(ft_meta_str(ft_container_meta(c, "tokenizer.ggml.pre"), &pre) && ft_str_is(pre, sources[k].pre));
        ft_container_close(c);
        ck_assert_ok(ft_tokenizer_open(&back, path));
        ck_assert_int_eq(ft_tokenizer_size(back), ft_tokenizer_size(t) + 2 * (int)(k % 2));
        ck_assert_int_eq(ft_tokenizer_bos(back), ft_tokenizer_bos(t));
        ck_assert_int_eq(ft_tokenizer_eos(back), ft_tokenizer_eos(t));
        ck_assert_int_eq(ft_tokenizer_pad(back), ft_tokenizer_pad(t));
        ck_assert_int_eq(ft_tokenizer_add_bos(back), ft_tokenizer_add_bos(t));
        ck_assert_int_eq(ft_tokenizer_add_eos(back), ft_tokenizer_add_eos(t));
        check_all_same(t, back);
        for (int32_t id = 0; id < ft_tokenizer_size(t); id++)
            if (ft_tokenizer_type(t, id) != FT_TOKEN_UNUSED)
                ck_assert_int_eq(ft_tokenizer_type(back, id), ft_tokenizer_type(t, id));
        ft_tokenizer_free(back);
        ft_tokenizer_free(t);
    }
    ck_assert_int_eq(warnings, 0);
    ft_note_sink(NULL, NULL);
}
END_TEST

START_TEST(a_directory_written_from_other_formats_gives_the_same_ids)
{
    static const char *const files[] = {
        "vocab/llama.cpp/ggml-vocab-deepseek-coder.gguf", "vocab/llama.cpp/ggml-vocab-gpt-2.gguf",
        "vocab/llama.cpp/ggml-vocab-starcoder.gguf", "vocab/llama.cpp/ggml-vocab-llama-spm.gguf", "vocab/llama.cpp/ggml-vocab-bert-bge.gguf",
        "models/stories260K"};
    if (!ft_test_shared(files[0]))
        FT_SKIP("../shared is absent");
    for (size_t k = 0; k < FT_COUNT(files); k++) {
        ft_tokenizer *t, *back;
        const char *dir = ft_test_dir();
        ck_assert_ok(ft_tokenizer_open(&t, ft_test_shared(files[k])));
        ck_assert_ok(ft_tokenizer_write_dir(t, dir));
        ck_assert_ok(ft_tokenizer_open(&back, dir));
        ck_assert_str_eq(ft_tokenizer_kind(back), ft_tokenizer_kind(t));
        ck_assert_int_eq(ft_tokenizer_eos(back), ft_tokenizer_eos(t));
        ck_assert_int_eq(ft_tokenizer_add_bos(back), ft_tokenizer_add_bos(t));
        ck_assert_int_eq(ft_tokenizer_add_eos(back), ft_tokenizer_add_eos(t));
        check_all_same(t, back);
        ft_tokenizer_free(back);
        ft_tokenizer_free(t);
    }
}
END_TEST

START_TEST(small_tokenizers_keep_their_ids_in_every_form)
{
    int warnings = 0;
    ft_note_sink(quiet, &warnings);
    for (size_t k = 0; k < FT_COUNT(small_tokenizers); k++) {
        ft_tokenizer *t, *gguf = NULL, *hf;
        const char *dir = ft_test_dir();
        ck_assert_ok(ft_tokenizer_open(&t, small_file(k)));
        bool tekken = strcmp(small_tokenizers[k].name, "tekken.json") == 0; /* whose pattern GGUF has no name for */
        if (!tekken)
            ck_assert_ok(ft_tokenizer_open(&gguf, write_gguf(t, ft_tokenizer_size(t) + 3)));
        ck_assert_ok(ft_tokenizer_write_dir(tekken ? t : gguf, dir));
        ck_assert_ok(ft_tokenizer_open(&hf, dir));
        for (size_t i = 0; i < FT_COUNT(hard_texts); i++) {
            /* a space that the small table of characters lacks; bytes that are no text, which each form cuts its way */
            if (strstr(hard_texts[i], "\xe3\x80\x80") || strstr(hard_texts[i], "\xff"))
                continue;
            check_same(t, hf, ft_str_of(hard_texts[i]));
            if (gguf)
                check_same(t, gguf, ft_str_of(hard_texts[i]));
        }
        ck_assert_int_eq(ft_tokenizer_add_eos(hf), ft_tokenizer_add_eos(t));
        ft_tokenizer_free(hf);
        ft_tokenizer_free(gguf);
        ft_tokenizer_free(t);
    }
    ck_assert_int_eq(warnings, 1); /* of byte tokens beside unigram pieces */
    ft_note_sink(NULL, NULL);
}
END_TEST

START_TEST(a_directory_is_carried_byte_for_byte)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                        "generation_config.json"};
    ft_tokenizer *t;
    const char *dir = ft_test_dir(), *from = ft_test_shared("models/tinystories-656k");
    if (!from)
        FT_SKIP("../shared is absent");
    ck_assert_ok(ft_tokenizer_open(&t, from));
    ck_assert_ok(ft_tokenizer_write_dir(t, dir));
    ft_tokenizer_free(t);
    for (size_t i = 0; i < FT_COUNT(names); i++) {
        ft_buf a = {0}, b = {0};
        ck_assert_ok(ft_read_file(&a, ft_test_path(from, names[i]), 1 << 24));
        ck_assert_ok(ft_read_file(&b, ft_test_path(dir, names[i]), 1 << 24));
        ck_assert(a.n == b.n && memcmp(a.p, b.p, a.n) == 0);
        ft_buf_free(&a);
        ft_buf_free(&b);
    }
    ck_assert(!ft_exists(ft_test_path(dir, "config.json")));
    ck_assert(!ft_exists(ft_test_path(dir, "model.safetensors")));
}
END_TEST

START_TEST(a_trained_tokenizer_goes_to_gguf_as_smollm)
{
    static const char *const specials[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    ft_tokenizer *t, *back;
    ft_container *c;
    ft_str pre;
    int64_t eot;
    const char *dir = ft_test_dir();
    const char *const files[] = {ft_test_path(dir, "t.txt")};
    static const char text[] =
        "The pump leaks at 40 bar. The pump's seal leaks.\nReplace the pump seal; 40 bar, 41 bar.\nthe the the leaks\n";
    ck_assert_ok(ft_write_file(files[0], text, sizeof text - 1));
    ft_tokenizer_training spec = {
        .files = files, .n_files = 1, .vocab_size = 270, .specials = specials, .n_specials = 3, .eos = "<|endoftext|>"};
    ck_assert_ok(ft_tokenizer_train(&spec, dir));
    ck_assert_ok(ft_tokenizer_open(&t, dir));
    const char *path = write_gguf(t, ft_tokenizer_size(t) + 5);
    ck_assert_ok(ft_container_open(&c, path));
    ck_assert(ft_meta_str(ft_container_meta(c, "tokenizer.ggml.pre"), &pre) && ft_str_is(pre, "smollm"));
    ck_assert(ft_meta_i64(ft_container_meta(c, "tokenizer.ggml.eot_token_id"), &eot) && eot == 2);
    ft_container_close(c);
    ck_assert_ok(ft_tokenizer_open(&back, path));
    for (size_t i = 0; i < FT_COUNT(hard_texts); i++)
        check_same(t, back, ft_str_of(hard_texts[i]));
    check_same(t, back, ft_str_of(text));
    ck_assert(ft_str_is(ft_tokenizer_piece(back, ft_tokenizer_size(t) + 4), "[PAD274]"));
    ck_assert_int_eq(ft_tokenizer_type(back, ft_tokenizer_size(t) + 4), FT_TOKEN_UNUSED);
    ft_tokenizer_free(back);
    ft_tokenizer_free(t);
}
END_TEST

START_TEST(what_gguf_cannot_hold_is_refused)
{
    ft_tokenizer *t;
    ft_writer *w;
    const char *dir = tokenizer_dir("{\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": "
                                    "\"Split\", \"pattern\": {\"Regex\": "
                                    "\"x[yz]\"}, \"behavior\": \"Isolated\"}, {\"type\": \"ByteLevel\", "
                                    "\"add_prefix_space\": false, \"use_regex\": false}]}, "
                                    "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": []}}",
                                    NULL);
    ck_assert_ok(ft_tokenizer_open(&t, dir));
    ck_assert_ok(ft_writer_open(&w, "gguf", ft_test_path(dir, "x.gguf")));
    ck_assert_fails(ft_tokenizer_write_gguf(t, w, 2), FT_EUNSUPPORTED, "no name for the pre-tokenizer x[yz]");
    ck_assert_fails(ft_tokenizer_write_gguf(t, w, 1), FT_EINPUT, "2 tokens, but the model's embedding has 1 rows");
    ft_writer_abort(w);
    ft_tokenizer_free(t);
}
END_TEST

/* SentencePiece joins characters that are no tokens themselves when what they make is one. tokenizer.json has no way to
 * say that, which a warning tells. */
START_TEST(characters_that_are_no_tokens_take_part_in_merges)
{
    static const char *const pieces[] = {"<unk>", "<s>", "</s>", "\xe2\x96\x81", "ab", "abc"};
    static const int32_t types[] = {FT_TOKEN_UNKNOWN, FT_TOKEN_CONTROL, FT_TOKEN_CONTROL,
                                    FT_TOKEN_NORMAL,  FT_TOKEN_NORMAL,  FT_TOKEN_NORMAL};
    static const float scores[] = {0, 0, 0, -3, -1, -2};
    ft_tokenizer *t;
    ft_writer *w;
    ft_str tokens[6];
    int warnings = 0;
    const char *dir = ft_test_dir(), *path = ft_test_path(dir, "lone.gguf");
    for (size_t i = 0; i < 6; i++)
        tokens[i] = ft_str_of(pieces[i]);
    ck_assert_ok(ft_writer_open(&w, "gguf", path));
    ck_assert_ok(ft_writer_str(w, "tokenizer.ggml.model", ft_str_of("llama")));
    ck_assert_ok(ft_writer_str_array(w, "tokenizer.ggml.tokens", tokens, 6));
    ck_assert_ok(ft_writer_i32_array(w, "tokenizer.ggml.token_type", types, 6));
    ck_assert_ok(ft_writer_f32_array(w, "tokenizer.ggml.scores", scores, 6));
    ck_assert_ok(ft_writer_commit(w));
    ck_assert_ok(ft_tokenizer_open(&t, path));
    ck_assert_str_eq(pieces_of(t, "abc ab", false), "\xe2\x96\x81|abc|\xe2\x96\x81|ab");
    ck_assert_str_eq(pieces_of(t, "ba", false), "\xe2\x96\x81|<unk>");
    ft_note_sink(quiet, &warnings);
    ck_assert_ok(ft_tokenizer_write_dir(t, dir));
    ck_assert_int_eq(warnings, 1);
    ft_note_sink(NULL, NULL);
    ft_tokenizer_free(t);
}
END_TEST

int main(void)
{
    FT_TESTS("tokenizer_export", gguf_and_back_gives_the_same_ids,
             a_directory_written_from_other_formats_gives_the_same_ids,
             small_tokenizers_keep_their_ids_in_every_form, a_directory_is_carried_byte_for_byte,
             a_trained_tokenizer_goes_to_gguf_as_smollm, what_gguf_cannot_hold_is_refused,
             characters_that_are_no_tokens_take_part_in_merges);
}
