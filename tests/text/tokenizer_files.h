/* Tokenizer files made by tests, and encoding in one call. */
#ifndef FT_TEST_TOKENIZER_FILES_H
#define FT_TEST_TOKENIZER_FILES_H

#include "support/support.h"
#include "text/tokenizer.h"

/* A directory with a tokenizer.json of this text (and a tokenizer_config.json where config is not NULL). */
static inline const char *tokenizer_dir(const char *json, const char *config)
{
    const char *dir = ft_test_dir();
    ck_assert_ok(ft_write_file(ft_test_path(dir, "tokenizer.json"), json, strlen(json)));
    if (config)
        ck_assert_ok(ft_write_file(ft_test_path(dir, "tokenizer_config.json"), config, strlen(config)));
    return dir;
}

/* The pieces of a text, joined with '|'. Static storage. */
static inline const char *pieces_of(const ft_tokenizer *t, const char *text, bool parse_special)
{
    static char out[4096];
    size_t n = 0;
    ft_ids ids = {0};
    ck_assert_ok(ft_tokenizer_encode(t, ft_str_of(text), parse_special, &ids));
    out[0] = 0;
    for (size_t i = 0; i < ids.n; i++) {
        ft_str p = ft_tokenizer_piece(t, ids.p[i]);
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%.*s", i ? "|" : "", (int)p.n, p.p);
        ck_assert_uint_lt(n, sizeof out);
    }
    ft_ids_free(&ids);
    return out;
}

/* decode(encode(text)) is text. */
static inline void check_round_trip(const ft_tokenizer *t, ft_str text)
{
    ft_ids ids = {0};
    ft_buf back = {0};
    ck_assert_ok(ft_tokenizer_encode(t, text, false, &ids));
    ck_assert_ok(ft_tokenizer_decode(t, ids.p, ids.n, false, true, &back));
    ck_assert_msg(back.n == text.n && (text.n == 0 || memcmp(back.p, text.p, text.n) == 0),
                  "\"%.*s\" came back as \"%.*s\"", (int)FT_MIN(text.n, (size_t)200), text.p,
                  (int)FT_MIN(back.n, (size_t)200), back.p ? back.p : "");
    ft_ids_free(&ids);
    ft_buf_free(&back);
}

/* Both give the same ids for the text. */
static inline void check_same(const ft_tokenizer *a, const ft_tokenizer *b, ft_str text)
{
    ft_ids x = {0}, y = {0};
    ck_assert_ok(ft_tokenizer_encode(a, text, true, &x));
    ck_assert_ok(ft_tokenizer_encode(b, text, true, &y));
    ck_assert_msg(x.n == y.n && (x.n == 0 || memcmp(x.p, y.p, x.n * sizeof *x.p) == 0),
                  "ids differ (%zu and %zu) for \"%.*s\"", x.n, y.n, (int)FT_MIN(text.n, (size_t)200), text.p);
    ft_ids_free(&x);
    ft_ids_free(&y);
}

/* A tokenizer of a few tokens for the kinds and files that ../shared has none of, or only large ones. */
typedef struct small_tokenizer {
    const char *name; /* of the file */
    const char *data;
    size_t n;
} small_tokenizer;
#define SMALL(name, text) {name, text, sizeof text - 1}
/* A table of characters (charsmap.h): tab and line ends become spaces. */
#define SMALL_CHARSMAP \
    "AAEAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAJgQAACoEAAAAAAAAAAAAADYEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAgAA=="
static const small_tokenizer small_tokenizers[] = {
    SMALL("tokenizer.json",
          "{\"added_tokens\": [{\"id\": 0, \"content\": \"<unk>\", \"special\": true}, {\"id\": 6, \"content\": \"</s>\", "
          "\"special\": true}], \"normalizer\": {\"type\": \"Precompiled\", "
          "\"precompiled_charsmap\": \"" SMALL_CHARSMAP "\"}, \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": "
          "[{\"type\": \"WhitespaceSplit\"}, {\"type\": \"Metaspace\", \"replacement\": \"\xe2\x96\x81\", \"prepend_scheme\": "
          "\"always\"}]}, \"post_processor\": {\"type\": \"RobertaProcessing\", \"cls\": [\"</s>\", 6], \"sep\": [\"</s>\", 6]}, "
          "\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"<unk>\", 0], [\"\xe2\x96\x81\", -2], [\"a\", -1], "
          "[\"b\", -1.5], [\"ab\", -2.25], [\"\xe2\x96\x81" "a\", -2.5], [\"</s>\", 0]]}}"),
    SMALL("tokenizer.model", "\x0a\x09\x0a\x05<unk>\x18\x02" "\x0a\x07\x0a\x03<s>\x18\x03" "\x0a\x08\x0a\x04</s>\x18\x03"
                             "\x0a\x0f\x0a\x06<0x41>\x15\0\0\0\0\x18\x06" "\x0a\x0a\x0a\x03\xe2\x96\x81\x15\0\0\0\xc0"
                             "\x0a\x08\x0a\x01" "a\x15\0\0\x80\xbf" "\x0a\x08\x0a\x01" "b\x15\0\0\xc0\xbf"
                             "\x0a\x09\x0a\x02" "ab\x15\0\0\x10\xc0" "\x0a\x0c\x0a\x03<u>\x15\0\0\0\0\x18\x04" "\x12\x02\x18\x01"),
    SMALL("tokenizer.json",
          "{\"added_tokens\": [{\"id\": 0, \"content\": \"[UNK]\", \"special\": true}, {\"id\": 1, \"content\": \"[CLS]\", "
          "\"special\": true}, {\"id\": 2, \"content\": \"[SEP]\", \"special\": true}], \"normalizer\": {\"type\": "
          "\"BertNormalizer\"}, \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, \"decoder\": {\"type\": \"WordPiece\"}, "
          "\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", \"vocab\": {\"[UNK]\": 0, \"[CLS]\": 1, \"[SEP]\": 2, "
          "\"un\": 3, \"##aff\": 4, \"##able\": 5, \"##a\": 6, \",\": 7, \"e\": 8}}}"),
    SMALL("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##aff\r\n##able\n##a\n,\ne\n"),
    SMALL("tekken.json",
          "{\"config\": {\"pattern\": \"[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+|\\\\s+\", "
          "\"default_vocab_size\": 9, \"default_num_special_tokens\": 4}, \"vocab\": [{\"rank\": 0, \"token_bytes\": \"YQ==\"}, "
          "{\"rank\": 1, \"token_bytes\": \"Yg==\"}, {\"rank\": 2, \"token_bytes\": \"YWI=\"}, {\"rank\": 3, \"token_bytes\": "
          "\"IA==\"}, {\"rank\": 4, \"token_bytes\": \"IGE=\"}, {\"rank\": 5, \"token_bytes\": \"eHg=\"}]}"),
};

/* The file of a small tokenizer, in a directory of its own. */
static inline const char *small_file(size_t k)
{
    const char *path = ft_test_path(ft_test_dir(), small_tokenizers[k].name);
    ck_assert_ok(ft_write_file(path, small_tokenizers[k].data, small_tokenizers[k].n));
    return path;
}

/* Texts that tokenizers trip over. */
static const char *const hard_texts[] = {
    "",
    " ",
    "   two  spaces   ",
    "Hello world",
    " Hello",
    "don't WON'T we'll I'D",
    "12345 3.14 10^6 v1.2.3",
    "tabs\tand\nlines\r\n\r\n  end  \n",
    "é e\xcc\x81 ﬁ ½ ², Führer",
    "你好，世界。日本語のテキスト 한국어",
    "🦙🚀👩‍👩‍👧‍👦🏳️‍🌈",
    "\xe2\x80\x8b\xef\xbb\xbfzero\xc2\xa0width\xe3\x80\x80space",
    "{\"system\": \"hydraulics\", \"failure\": [1, 2]}",
    "if (a[i] != b->c && !(x << 2)) return 0x7f; /* ok? */",
    "<|endoftext|><|im_start|>user\n<s></s>[INST] <unk> <0x0A>",
    "================================================================",
    "\xff\xfe broken \xe4\xbd utf8 \xf0\x9f\xa6",
};

#endif
