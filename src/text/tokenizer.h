/* The text room, tokenizers: bytes to token ids and back, exactly as the model's own stack does it.
 *
 * Kinds (text/tokenizers.def): byte-level BPE (tokenizer.json, tekken.json, GGUF "gpt2"), SentencePiece-style BPE with
 * byte fallback (tokenizer.model, tokenizer.json, GGUF "llama"), unigram (tokenizer.model, tokenizer.json, GGUF "t5"),
 * WordPiece (tokenizer.json, vocab.txt, GGUF "bert"). Pre-tokenizer patterns are the file's own, run by PCRE2 (JIT).
 * padding and truncation settings of a tokenizer.json are ignored. Files are hostile.
 * Ownership: the caller frees the tokenizer; ft_ids grow with ft_resize and are freed by ft_ids_free.
 * Threads: encode and decode may be called from several threads at once on one tokenizer.
 */
#ifndef FETTLE_TEXT_TOKENIZER_H
#define FETTLE_TEXT_TOKENIZER_H

#include "base/str.h"
#include "file/container.h"

typedef struct ft_ids {
    int32_t *p;
    size_t n, cap;
} ft_ids;
ft_status ft_ids_put(ft_ids *ids, int32_t id);
void ft_ids_free(ft_ids *ids);

typedef enum ft_token_type {
    FT_TOKEN_NORMAL = 1,
    FT_TOKEN_UNKNOWN,
    FT_TOKEN_CONTROL,
    FT_TOKEN_USER,
    FT_TOKEN_UNUSED,
    FT_TOKEN_BYTE
} ft_token_type;

typedef struct ft_tokenizer ft_tokenizer;
/* path: an HF directory (the first of vocabularies.def that it holds), one of these files, or
 * a .gguf. tokenizer_config.json, special_tokens_map.json and generation_config.json beside it give the special ids. */
ft_status ft_tokenizer_open(ft_tokenizer **out, const char *path);
void ft_tokenizer_free(ft_tokenizer *t);

/* Ids of text, appended to out. No BOS, no EOS. parse_special: the text of control tokens becomes their id; off, it is
 * ordinary text (what users write must not forge control tokens). Invalid UTF-8 is encoded as bytes, never refused; a byte
 * or character that the vocabulary has no token for is unk, or nothing where the model has none. */
ft_status ft_tokenizer_encode(const ft_tokenizer *t, ft_str text, bool parse_special, ft_ids *out);
/* Bytes of ids, appended to out. skip_special: control tokens give nothing. An id out of range is FT_EINPUT.
 * The leading space that a SentencePiece tokenizer puts before the first word is removed when ids are a text's start
 * (at_start). */
ft_status ft_tokenizer_decode(const ft_tokenizer *t, const int32_t *ids, size_t n, bool skip_special, bool at_start,
                              ft_buf *out);

int32_t ft_tokenizer_size(const ft_tokenizer *t);     /* ids are 0 .. size-1 */
const char *ft_tokenizer_kind(const ft_tokenizer *t); /* a name of tokenizers.def: "bpe" */
int32_t ft_tokenizer_bos(const ft_tokenizer *t);      /* -1: none; likewise below */
int32_t ft_tokenizer_eos(const ft_tokenizer *t);
int32_t ft_tokenizer_unk(const ft_tokenizer *t);
int32_t ft_tokenizer_pad(const ft_tokenizer *t);
bool ft_tokenizer_add_bos(const ft_tokenizer *t); /* a text begins with BOS (of an encoder: [CLS]) */
bool ft_tokenizer_add_eos(const ft_tokenizer *t); /* a text ends with EOS (of an encoder: [SEP]) */
/* Every id that ends a turn or a text (eos, <|im_end|>, <|eot_id|> ...). */
const int32_t *ft_tokenizer_stops(const ft_tokenizer *t, size_t *n);
bool ft_tokenizer_is_stop(const ft_tokenizer *t, int32_t id);
/* As stored ("▁the", "Ġthe", "<0x0A>"), its type and score (0 where the kind has none). */
ft_str ft_tokenizer_piece(const ft_tokenizer *t, int32_t id);
ft_token_type ft_tokenizer_type(const ft_tokenizer *t, int32_t id);
int32_t ft_tokenizer_find(const ft_tokenizer *t, ft_str piece); /* -1 */
/* The chat template text that came with the model, NULL when none. */
const char *ft_tokenizer_chat_template(const ft_tokenizer *t);

/* The tokenizer as GGUF metadata (tokenizer.ggml.* and tokenizer.chat_template). From a GGUF: copied value by value.
 * vocab_size: rows of the embedding; missing tokens become unused ones "[PADn]". */
ft_status ft_tokenizer_write_gguf(const ft_tokenizer *t, ft_writer *w, int64_t vocab_size);
/* Carries the tokenizer's files into dir byte for byte (tokenizer.json, tokenizer.model and what stands beside them); from
 * a GGUF or a llama2.c file, writes a tokenizer.json and tokenizer_config.json that give the same ids. */
ft_status ft_tokenizer_write_dir(const ft_tokenizer *t, const char *dir);

/* Trains byte-level BPE on text files (plain or .gz, one text a line) into dir/tokenizer.json + tokenizer_config.json.
 */
typedef struct ft_tokenizer_training {
    const char *const *files;
    size_t n_files;
    int32_t vocab_size;          /* special tokens and the 256 bytes included */
    const char *const *specials; /* [n_specials], ids 0.. in order */
    size_t n_specials;
    const char *bos, *eos; /* of the specials; bos NULL: texts begin without one */
    const char *pattern;   /* pre-tokenizer regex; NULL: GPT-2 words with single digits */
} ft_tokenizer_training;
ft_status ft_tokenizer_train(const ft_tokenizer_training *spec, const char *dir);

#endif
