/* SentencePiece unigram: of all ways to cut a word into pieces, the one whose scores add up highest.
 *
 *   best[0] = 0; best[end] = max over pieces text[start..end) of best[start] + score(piece)
 *
 * walked from left to right over a tree of the pieces. Where no piece stands for a single character, that character is
 * unk at a penalty below the worst piece; neighbouring unks are one, and fall back to byte tokens where there are some.
 *
 * SentencePiece adds in single precision over the whole text, Hugging Face in double precision word by word: near ties
 * come out as they do there (single_scores). Memory: 16 bytes for each byte of a word.
 */
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

#include <math.h>
#include <string.h>

#define UNK_PENALTY 10.0

typedef struct cut {
    double score; /* of the best way to here */
    uint32_t start;
    int32_t id; /* of the last piece, -1: a character that is no piece */
} cut;

/* ---- building ---- */

static bool is_piece(const ft_tokenizer *t, int32_t id)
{
    switch (t->vocab.type[id]) {
    case FT_TOKEN_NORMAL:
    case FT_TOKEN_USER:
        return t->vocab.piece[id].n > 0;
    case FT_TOKEN_BYTE: /* Hugging Face takes "<0x0A>" in a text for the piece that it is */
        return !t->single_scores;
    default:
        return false;
    }
}

static ft_status raw_of(ft_tokenizer *t, int32_t id, ft_buf *tmp)
{
    ft_vocab *v = &t->vocab;
    ft_str p = v->piece[id];
    int byte = v->type[id] == FT_TOKEN_BYTE ? ft_vocab__byte_of(p) : -1;
    v->raw[id] = p;
    if (v->type[id] == FT_TOKEN_CONTROL || v->type[id] == FT_TOKEN_UNKNOWN)
        return FT_OK;
    tmp->n = 0;
    if (byte >= 0) {
        t->byte_id[byte] = id;
        FT_RETURN(ft_buf_putc(tmp, byte));
    } else {
        FT_RETURN(ft_unicode__unmark(tmp, p));
    }
    char *copy = ft_arena_strndup(v->arena, tmp->p ? tmp->p : "", tmp->n);
    if (!copy)
        return FT_ENOMEM;
    v->raw[id] = (ft_str){copy, tmp->n};
    return FT_OK;
}

/* The range of the scores; what a user defined counts as the best of pieces, the longer the better. */
static ft_status weigh(ft_tokenizer *t)
{
    double least = INFINITY, most = -INFINITY;
    for (int32_t id = 0; id < t->vocab.n; id++) {
        if (!isfinite(t->piece_score[id]))
            return ft_fail(FT_EFORMAT, "%s: the score of token %d is not a finite number", t->path, id);
        if (t->vocab.type[id] != FT_TOKEN_NORMAL)
            continue;
        least = FT_MIN(least, t->piece_score[id]);
        most = FT_MAX(most, t->piece_score[id]);
    }
    t->unk_score = least - UNK_PENALTY;
    for (int32_t id = 0; id < t->vocab.n && t->single_scores; id++)
        if (t->vocab.type[id] == FT_TOKEN_USER)
            t->piece_score[id] = (double)((float)t->vocab.piece[id].n * (float)most) - 0.1;
    return isfinite(least) ? FT_OK : ft_fail(FT_EFORMAT, "%s: a unigram vocabulary without pieces", t->path);
}

static ft_status finish(ft_tokenizer *t)
{
    ft_status st = FT_OK;
    ft_buf tmp = {0};
    if (!t->piece_score) {
        t->piece_score = ft_alloc((size_t)t->vocab.n, sizeof *t->piece_score);
        if (!t->piece_score)
            return FT_ENOMEM;
        for (int32_t id = 0; id < t->vocab.n; id++)
            t->piece_score[id] = t->vocab.score[id];
    }
    FT_TRY(weigh(t));
    FT_TRY(ft_trie__init(&t->pieces));
    for (int32_t id = 0; id < t->vocab.n; id++) {
        FT_TRY(raw_of(t, id, &tmp));
        if (is_piece(t, id))
            FT_TRY(ft_trie__put(&t->pieces, t->vocab.piece[id], id));
    }
done:
    ft_buf_free(&tmp);
    return st;
}

/* ---- cutting ---- */

static void offer(const ft_tokenizer *t, cut *to, double score, size_t start, int32_t id)
{
    if (to->id != -2 && !(score > to->score))
        return;
    *to = (cut){t->single_scores ? (float)score : score, (uint32_t)start, id};
}

/* Fills best [n + 1]. */
static void find_best(const ft_tokenizer *t, ft_str word, cut *best)
{
    best[0] = (cut){0, 0, -1};
    for (size_t i = 1; i <= word.n; i++)
        best[i].id = -2; /* no way leads here */
    for (size_t at = 0, step; at < word.n; at += step) {
        bool single = false;
        int32_t node = 0;
        step = ft_utf8__len(word.p + at, word.n - at);
        for (size_t end = at; end < word.n; end++) {
            node = ft_trie__step(&t->pieces, node, (uint8_t)word.p[end]);
            if (node < 0)
                break;
            int32_t id = t->pieces.id[node];
            if (id < 0)
                continue;
            offer(t, &best[end + 1], best[at].score + t->piece_score[id], at, id);
            single = single || end + 1 - at == step;
        }
        double unk = best[at].score + t->unk_score;
        if (!single)
            offer(t, &best[at + step], t->single_scores ? (float)((float)best[at].score + (float)t->unk_score) : unk,
                  at, -1);
    }
}

/* Characters that are no pieces: together one by chance, byte tokens when all of them are there, else unk. */
static ft_status put_unknown(const ft_tokenizer *t, ft_str text, ft_ids *out)
{
    int32_t whole = t->single_scores ? -1 : ft_vocab__find(&t->vocab, text);
    if (whole >= 0 && is_piece(t, whole))
        return ft_ids_put(out, whole);
    bool all = true;
    for (size_t i = 0; i < text.n; i++)
        all = all && t->byte_id[(uint8_t)text.p[i]] >= 0;
    if (!all)
        return t->model_unk >= 0 ? ft_ids_put(out, t->model_unk) : FT_OK;
    for (size_t i = 0; i < text.n; i++)
        FT_RETURN(ft_ids_put(out, t->byte_id[(uint8_t)text.p[i]]));
    return FT_OK;
}

static ft_status word(const ft_tokenizer *t, ft_scratch *s, ft_str word, ft_ids *out)
{
    size_t bytes;
    if (word.n >= UINT32_MAX || !ft_mul(word.n + 1, sizeof(cut), &bytes))
        return ft_fail(FT_ENOMEM, "a word of %zu bytes", word.n);
    s->lattice.n = 0;
    FT_RETURN(ft_buf_reserve(&s->lattice, bytes));
    cut *best = (cut *)(void *)s->lattice.p;
    find_best(t, word, best);
    /* from the end to the start, each cut learns where the next one ends */
    size_t next = word.n;
    for (size_t end = word.n; end; end = next) {
        next = best[end].start;
        best[next].score = (double)end;
    }
    for (size_t at = 0, end; at < word.n; at = end) {
        end = (size_t)best[at].score;
        if (best[end].id >= 0) {
            FT_RETURN(ft_ids_put(out, best[end].id));
            continue;
        }
        while (end < word.n && best[(size_t)best[end].score].id < 0)
            end = (size_t)best[end].score;
        FT_RETURN(put_unknown(t, (ft_str){word.p + at, end - at}, out));
    }
    return FT_OK;
}

const ft_word_kind ft_tokenizer_unigram = {
    .name = "unigram",
    .gguf_model = "t5",
    .json_model = "Unigram",
    .sentencepiece = 1,
    .finish = finish,
    .word = word,
    .load_json = ft_unigram__load_json,
    .load_gguf = ft_unigram__load_gguf,
    .write_gguf = ft_unigram__write_gguf,
    .write_json = ft_unigram__write_json,
};
