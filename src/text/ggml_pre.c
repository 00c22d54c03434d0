/* Named pre-tokenizers of GGUF files (see ggml_pre.h).
 *
 * The patterns are those of the models' own tokenizer files, so that a row also recognises them; llama.cpp runs the
 * same ones, some rewritten for its own regular expressions. "default" is what it does where a file names none.
 */
#include "text/ggml_pre.h"

#define GPT2          "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define CONTRACTIONS  "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define CL100K_BEFORE CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define CL100K_BEHIND "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA3        CL100K_BEFORE "\\p{N}{1,3}" CL100K_BEHIND
#define QWEN2         CL100K_BEFORE "\\p{N}" CL100K_BEHIND
#define UPPER         "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER         "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define O200K(behind_word, digits)                                                                                     \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" behind_word "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" behind_word \
    "|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define BLOOM " ?[^(\\s|.,!?…。，、।۔،)]+"
#define CJK   "[一-龥ࠀ-一가-퟿]+"
#define DEEPSEEK_LETTERS                                                                                                                                                                                        \
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-"                            \
    "Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-"                                                                                                                     \
    "ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-" \
    "𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"
#define DEEPSEEK3                                                                                                      \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "              \
    "?[\\p{P}\\p{S}]+[\\r\\n]*|"                                                                                       \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const ft_ggml_pre rows[] = {
    {"gpt-2", {GPT2}},
    {"llama-bpe", {LLAMA3}, .ignore_merges = true, .add_bos = true},
    {"qwen2", {QWEN2}},
    {"smollm", {"\\p{N}", GPT2}},
    {"dbrx", {LLAMA3}},
    {"tekken", {O200K("", "\\p{N}")}, .ignore_merges = true, .add_bos = true},
    {"gpt-4o", {O200K(CONTRACTIONS "?", "\\p{N}{1,3}")}},
    {"deepseek-llm", {"[\r\n]", DEEPSEEK_LETTERS, "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", CJK, "\\p{N}+"}},
    {"deepseek-coder", {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK, "\\p{N}"}},
    {"deepseek-v3", {"\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3}},
    {"bloom", {BLOOM}},
    {"viking", {BLOOM, "\\p{N}"}},
    {"falcon", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {"default", {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    /* other names of the same patterns: only for reading */
    {"llama3", {LLAMA3}, .ignore_merges = true, .add_bos = true},
    {"llama-v3", {LLAMA3}, .ignore_merges = true, .add_bos = true},
    {"falcon3", {LLAMA3}, .ignore_merges = true, .add_bos = true},
    {"lfm2", {LLAMA3}, .ignore_merges = true, .add_bos = true},
    {"smaug-bpe", {LLAMA3}},
    {"chatglm-bpe", {LLAMA3}},
    {"llama4", {O200K(CONTRACTIONS "?", "\\p{N}{1,3}")}},
    {"deepseek-r1-qwen", {QWEN2}},
    {"stablelm2", {QWEN2}},
    {"mpt", {GPT2}},
    {"olmo", {GPT2}},
    {"phi-2", {GPT2}},
    {"jais", {GPT2}},
    {"gpt-neox", {GPT2}},
    {"roberta-bpe", {GPT2}},
    {"starcoder", {"\\p{N}", GPT2}},
    {"refact", {"\\p{N}", GPT2}},
    {"command-r", {"\\p{N}", GPT2}},
    {"codeshell", {"\\p{N}", GPT2}},
    {"exaone", {"\\p{N}", GPT2}},
    {"poro-chat", {BLOOM}},
    {"gpt3-finnish", {BLOOM}},
};

const ft_ggml_pre *ft_ggml_pre__named(ft_str name)
{
    for (size_t i = 0; i < FT_COUNT(rows); i++)
        if (ft_str_is(name, rows[i].name))
            return &rows[i];
    return NULL;
}

const ft_ggml_pre *ft_ggml_pre__of(const ft_stages *s, bool ignore_merges)
{
    for (size_t i = 0; i < FT_COUNT(rows); i++)
        if (rows[i].ignore_merges == ignore_merges && ft_stages__is(s, rows[i].pattern, FT_GGML_PATTERNS))
            return &rows[i];
    return NULL;
}

ft_status ft_ggml_pre__names(ft_buf *out)
{
    for (size_t i = 0; i < FT_COUNT(rows); i++)
        FT_RETURN(ft_buf_printf(out, "%s%s", i ? " " : "", rows[i].name));
    return FT_OK;
}
