/* Inside of the text room: what a tokenizer is made of.
 *
 *   text -> added and control tokens cut out -> normalizers -> added tokens that want normalized text cut out
 *        -> pre-tokenizer stages -> words -> the kind's word(): symbols, merges -> ids
 *
 * A kind (tokenizers.def) turns one word into ids. A vocabulary (vocabularies.def) is a file format that fills an
 * ft_tokenizer: its vocabulary, merges, normalizers, stages and special ids.
 */
#ifndef FETTLE_TEXT_TOKENIZER_IMPL_H
#define FETTLE_TEXT_TOKENIZER_IMPL_H

#include "base/os.h"
#include "text/added.h"
#include "text/chat.h"
#include "text/ggml_pre.h"
#include "text/merges.h"
#include "text/normalizers.h"
#include "text/pretokenizers.h"
#include "text/trie.h"
#include "text/vocab.h"

#include <stdatomic.h>

/* Characters that are symbols of merges: open addressing by code point. */
typedef struct ft_chars {
    struct ft_char {
        int32_t c; /* code point plus one: 0 is free */
        int32_t symbol;
    } * slots;
    size_t mask;
} ft_chars;

/* Ids of short words seen before; belongs to a scratch. */
enum { FT_CACHE_WORD = 34, FT_CACHE_IDS = 7, FT_CACHE_SLOTS = 1 << 14 };
typedef struct ft_cached {
    uint8_t n, ids_n; /* n 0: free */
    char word[FT_CACHE_WORD];
    int32_t ids[FT_CACHE_IDS];
} ft_cached;
_Static_assert(sizeof(ft_cached) == 64, "an entry fills a cache line");

/* Working memory of one encode call at a time. */
typedef struct ft_scratch {
    ft_matcher *matcher;
    ft_buf norm[2], points, stage[FT_STAGES_MAX], word, lattice;
    ft_work work;
    ft_cached *cache; /* FT_CACHE_SLOTS of them */
} ft_scratch;

/* The most characters that max_input_chars_per_word may allow: pieces of a word are sought by length. */
enum { FT_WORDPIECE_WORD_MAX = 1000 };

/* Scratches that wait for the next call; a call takes one, or makes one when none is left. */
enum { FT_POOL = 64 };
typedef struct ft_scratch_pool {
    _Atomic(ft_scratch *) waiting[FT_POOL];
} ft_scratch_pool;

typedef struct ft_word_kind ft_word_kind;
typedef struct ft_vocabulary ft_vocabulary;

struct ft_tokenizer {
    const ft_word_kind *kind;
    const ft_vocabulary *source;
    char *path;              /* the file it came from */
    ft_container *container; /* GGUF: kept open, its metadata is what an export copies */
    ft_vocab vocab;
    ft_merges merges;
    ft_norms norms;
    ft_stages stages;
    const ft_ggml_pre *pre;    /* GGUF: what it named; else NULL */
    ft_added raw, raw_special; /* cut out before normalizing; raw_special: control tokens too */
    ft_added normalized;       /* cut out behind it */
    ft_scratch_pool *pool;

    bool ignore_merges;   /* a word that is a token is that token */
    ft_map *whole;        /* ... found by its bytes */
    int32_t byte_id[256]; /* bpe: the symbol of a byte; spm: the byte token; -1: none */
    ft_chars chars;       /* spm: the symbol of a character */
    int32_t model_unk;    /* what stands for a character that is no token and has no bytes; -1: nothing does */
    bool drops_missing;   /* tokenizer.json without unk: what is no token vanishes before merging, not behind it */
    bool byte_fallback;   /* tokenizer.json: "<0x0A>" is a byte token */
    bool fuse_unk;        /* spm: neighbouring unknown characters are one */
    bool cut_at_space;    /* spm: no merge crosses into a space mark, so words can end there */
    ft_trie pieces;       /* unigram */
    double *piece_score;  /* unigram: [V] */
    double unk_score;     /* unigram: of a character that is no piece */
    bool single_scores;   /* unigram: scores add up in single precision, as in SentencePiece */
    ft_str prefix;        /* wordpiece: stands before pieces that go on inside a word; of the vocabulary's arena */
    size_t word_max;      /* wordpiece: characters; a longer word is unk */
    size_t piece_max;     /* wordpiece: bytes of the longest piece */

    int32_t bos, eos, unk, pad;
    bool space_prefix; /* decoding drops the leading space that encoding puts */
    bool add_bos, add_eos;
    int32_t *stops; /* [n_stops] */
    size_t n_stops, cap_stops;
    char *chat_template, *tool_template; /* tool_template: another one for chats with tools; NULL: none */
    ft_chat_template own_template;       /* of these two */
};

struct ft_word_kind {
    const char *name;       /* "bpe" */
    const char *gguf_model; /* tokenizer.ggml.model */
    const char *json_model; /* the type of a tokenizer.json's "model" */
    int sentencepiece;      /* the model_type of a SentencePiece model, 0: none */
    bool byte_level;        /* words are bytes, pieces are spelled in the byte-level alphabet */
    bool words_apart;       /* decoding puts a space before a word, the first excepted */
    /* Fills what word() and decoding need from vocabulary and merges (raw bytes, symbol tables). */
    ft_status (*finish)(ft_tokenizer *t);
    /* Appends the ids of one word. */
    ft_status (*word)(const ft_tokenizer *t, ft_scratch *s, ft_str word, ft_ids *out);
    /* From a tokenizer.json's "model": vocabulary (at least `ids` of them), merges, model_unk, settings. */
    ft_status (*load_json)(ft_tokenizer *t, const json_t *model, int64_t ids, const char *where);
    /* The kind's part of the GGUF keys: tokens, pre, scores, merges. */
    ft_status (*load_gguf)(ft_tokenizer *t);
    /* How GGUF spells a normal token, and back, appended; NULL: as it is stored. */
    ft_status (*read_piece)(ft_str piece, ft_buf *out);
    ft_status (*gguf_piece)(ft_str piece, ft_buf *out);
    ft_status (*write_gguf)(const ft_tokenizer *t, ft_writer *w, int64_t rows);
    /* A new tokenizer.json's normalizer, pre_tokenizer, decoder and model; NULL when memory runs out. */
    json_t *(*write_json)(const ft_tokenizer *t);
};
#define FT_TOKENIZER(name) extern const ft_word_kind ft_tokenizer_##name;
#include "text/tokenizers.def"
#undef FT_TOKENIZER
extern const ft_word_kind *const ft_word_kinds[]; /* NULL behind the last */

struct ft_vocabulary {
    const char *name;  /* for messages */
    const char *usual; /* the file name looked for first in a directory, NULL: none */
    bool hf;           /* HF tools read it: an HF directory takes it as it is */
    /* The file is of this format, by its name. */
    bool (*is)(const char *path);
    const char *magic; /* what such a file begins with, whatever its name; NULL: the name alone tells */
    ft_status (*load)(ft_tokenizer *t, const char *path);
};

/* ---- tokenizer.c ---- */
/* An id out of range is left out. */
ft_status ft_tokenizer__add_stop(ft_tokenizer *t, int64_t id);
/* Places of a text behind tokens that were cut out of it, and how many ids stand before them. */
typedef struct ft_cut {
    size_t bytes, ids;
} ft_cut;
typedef struct ft_cuts {
    ft_cut *p;
    size_t n, cap;
} ft_cuts;
/* As ft_tokenizer_encode; at_start: nothing stands before the text. marks [text.n]: control tokens are parsed where none of their own bytes has a mark (1);
 * NULL: none is parsed. cuts (may be NULL) is added to. */
ft_status ft_tokenizer__encode_marked(const ft_tokenizer *t, ft_str text, const char *marks, bool at_start, ft_ids *out,
                                      ft_cuts *cuts);
/* The first control token, or one that ends a turn, at or behind `from` without a marked byte: its bytes [*start, *end).
 * False when there is none. */
bool ft_tokenizer__control(const ft_tokenizer *t, ft_str text, const char *marks, size_t from, size_t *start, size_t *end);
/* Ids of a word through the scratch's cache. */
ft_status ft_tokenizer__word(const ft_tokenizer *t, ft_scratch *s, ft_str word, ft_ids *out);
ft_status ft_ids__reserve(ft_ids *ids, size_t n);
/* Registers a token that is cut out of texts: control tokens (where they are parsed at all) and others, before
 * normalizing or behind. */
ft_status ft_tokenizer__cut_out(ft_tokenizer *t, const ft_added_token *token, bool control, bool behind_normalizers);
/* A scratch of the pool, or a fresh one; give it back. */
ft_status ft_scratch__take(const ft_tokenizer *t, ft_scratch **out);
void ft_scratch__give(const ft_tokenizer *t, ft_scratch *s);

/* ---- special_ids.c ---- */
/* Special ids, add_bos and chat template from the files beside an HF tokenizer (all optional). */
ft_status ft_tokenizer__special_ids(ft_tokenizer *t, const char *dir);

/* ---- write_hf.c ---- */
/* Writes dir/tokenizer.json and tokenizer_config.json. */
ft_status ft_tokenizer__write_hf(const ft_tokenizer *t, const char *dir);

/* ---- the kinds' columns: json_model.c, from_gguf.c, export_tokenizer.c, write_hf.c ---- */
ft_status ft_bpe__load_json(ft_tokenizer *t, const json_t *model, int64_t ids, const char *where);
ft_status ft_unigram__load_json(ft_tokenizer *t, const json_t *model, int64_t ids, const char *where);
ft_status ft_wordpiece__load_json(ft_tokenizer *t, const json_t *model, int64_t ids, const char *where);
ft_status ft_bpe__load_gguf(ft_tokenizer *t);
ft_status ft_spm__load_gguf(ft_tokenizer *t);
ft_status ft_unigram__load_gguf(ft_tokenizer *t);
ft_status ft_wordpiece__load_gguf(ft_tokenizer *t);
ft_status ft_wordpiece__read_piece(ft_str piece, ft_buf *out);
ft_status ft_wordpiece__gguf_piece(ft_str piece, ft_buf *out);
ft_status ft_bpe__write_gguf(const ft_tokenizer *t, ft_writer *w, int64_t rows);
ft_status ft_spm__write_gguf(const ft_tokenizer *t, ft_writer *w, int64_t rows);
ft_status ft_unigram__write_gguf(const ft_tokenizer *t, ft_writer *w, int64_t rows);
ft_status ft_wordpiece__write_gguf(const ft_tokenizer *t, ft_writer *w, int64_t rows);
json_t *ft_bpe__write_json(const ft_tokenizer *t);
json_t *ft_spm__write_json(const ft_tokenizer *t);
json_t *ft_unigram__write_json(const ft_tokenizer *t);
json_t *ft_wordpiece__write_json(const ft_tokenizer *t);

/* ---- wordpiece.c ---- */
/* Makes t, whose vocabulary is there, a WordPiece tokenizer. */
ft_status ft_wordpiece__init(ft_tokenizer *t, const char *prefix);

#endif
