/* SentencePiece-style BPE: a word's characters are its first symbols; what is no token falls back to byte tokens.
 *
 * Ranks come from the merges of a tokenizer.json, or from scores: SentencePiece merges the adjacent pair whose piece
 * has the best score, so every split of a piece into two symbols is a merge whose rank is that of the piece's score.
 * A character that is no token may still be half of a piece: it becomes a symbol above the vocabulary.
 *
 * Where no piece holds a space mark behind something else, a merge never crosses into a space mark: words end there,
 * which makes them short and keeps them in the cache.
 */
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { PIECE_MAX = 1024 }; /* bytes of a piece that merges: all of its splits are looked up */

/* ---- characters ---- */

static struct ft_char *char_slot(const ft_chars *cs, int32_t c)
{
    size_t i = ((uint32_t)c * 0x9e3779b1u >> 7) & cs->mask;
    while (cs->slots[i].c && cs->slots[i].c != c + 1)
        i = (i + 1) & cs->mask;
    return &cs->slots[i];
}

static int32_t char_symbol(const ft_chars *cs, int32_t c)
{
    const struct ft_char *s = char_slot(cs, c);
    return s->c ? s->symbol : -1;
}

/* The character that s consists of, -1 when it is none or more than one. */
static int32_t only_char(ft_str s)
{
    utf8proc_int32_t c;
    if (s.n == 0 || s.n > 4)
        return -1;
    return utf8proc_iterate((const utf8proc_uint8_t *)s.p, (utf8proc_ssize_t)s.n, &c) == (utf8proc_ssize_t)s.n ? c : -1;
}

static bool takes_part(const ft_tokenizer *t, int32_t id)
{
    return t->vocab.type[id] == FT_TOKEN_NORMAL;
}

/* Symbols of all single characters among the pieces; room for half as many lone ones and 256. */
static ft_status gather_chars(ft_tokenizer *t)
{
    size_t cap = 1024;
    while (cap < (size_t)t->vocab.n * 2 + 1024)
        cap *= 2;
    t->chars.slots = ft_alloc(cap, sizeof *t->chars.slots);
    t->chars.mask = cap - 1;
    if (!t->chars.slots)
        return FT_ENOMEM;
    for (int32_t id = 0; id < t->vocab.n; id++) {
        int32_t c = takes_part(t, id) ? only_char(t->vocab.piece[id]) : -1;
        if (c >= 0)
            *char_slot(&t->chars, c) = (struct ft_char){c + 1, id};
    }
    return FT_OK;
}

/* ---- merges from scores ---- */

typedef struct pair {
    int32_t left, right, id;
} pair;

typedef struct pairing {
    ft_tokenizer *t;
    pair *p;
    size_t n, cap;
    int32_t lone; /* characters that are symbols above the vocabulary */
} pairing;

static int32_t lone_symbol(pairing *g, int32_t c)
{
    struct ft_char *slot = char_slot(&g->t->chars, c);
    if (!slot->c) {
        if (g->lone > g->t->vocab.n / 2 + 255)
            return -1;
        *slot = (struct ft_char){c + 1, g->t->vocab.n + g->lone++};
    }
    return slot->symbol;
}

static int32_t symbol_of(pairing *g, ft_str s)
{
    int32_t id = ft_vocab__find(&g->t->vocab, s);
    if (id >= 0 && takes_part(g->t, id))
        return id;
    int32_t c = only_char(s);
    return c >= 0 ? lone_symbol(g, c) : -1;
}

static ft_status pairs_of(pairing *g, int32_t id, const char *where)
{
    ft_str s = g->t->vocab.piece[id];
    if (s.n > PIECE_MAX)
        return ft_fail(FT_EUNSUPPORTED, "%s: piece %d has %zu bytes, the maximum is %d", where, id, s.n, PIECE_MAX);
    for (size_t k = ft_utf8__len(s.p, s.n); k < s.n; k += ft_utf8__len(s.p + k, s.n - k)) {
        int32_t left = symbol_of(g, (ft_str){s.p, k});
        int32_t right = left < 0 ? -1 : symbol_of(g, (ft_str){s.p + k, s.n - k});
        if (right < 0)
            continue;
        if (g->n == g->cap) {
            size_t cap = FT_MAX(g->cap * 2, (size_t)4096);
            pair *p = ft_resize(g->p, cap, sizeof *p);
            if (!p)
                return FT_ENOMEM;
            g->p = p;
            g->cap = cap;
        }
        g->p[g->n++] = (pair){left, right, id};
    }
    return FT_OK;
}

static int descending(const void *pa, const void *pb)
{
    float a = *(const float *)pa, b = *(const float *)pb;
    return a > b ? -1 : a < b;
}

/* Place of a score among the distinct ones, best first. */
static uint32_t rank_of(const float *distinct, size_t n, float score)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (distinct[mid] > score)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint32_t)lo;
}

/* Ranks for every pair of symbols that concatenates to a mergeable piece, from the scores. */
static ft_status merges_from_scores(ft_tokenizer *t, const char *where)
{
    ft_status st = FT_OK;
    pairing g = {.t = t};
    size_t n = 0, v = (size_t)t->vocab.n;
    float *distinct = ft_resize(NULL, v, sizeof *distinct);
    if (!distinct)
        return FT_ENOMEM;
    memcpy(distinct, t->vocab.score, v * sizeof *distinct);
    for (size_t i = 0; i < v; i++)
        if (isnan(distinct[i])) {
            st = ft_fail(FT_EFORMAT, "%s: the score of token %zu is not a number", where, i);
            goto done;
        }
    qsort(distinct, v, sizeof *distinct, descending);
    for (size_t i = 0; i < v; i++)
        if (!n || distinct[i] != distinct[n - 1])
            distinct[n++] = distinct[i];
    FT_TRY(gather_chars(t));
    for (int32_t id = 0; id < t->vocab.n; id++)
        if (takes_part(t, id))
            FT_TRY(pairs_of(&g, id, where));
    if (g.lone > t->vocab.n / 2 + 255) {
        st = ft_fail(FT_EUNSUPPORTED, "%s: %d characters of pieces are no tokens, of %d tokens", where, g.lone,
                     t->vocab.n);
        goto done;
    }
    FT_TRY(ft_merges__init(&t->merges, g.n));
    for (size_t i = 0; i < g.n; i++)
        ft_merges__put(&t->merges, g.p[i].left, g.p[i].right, rank_of(distinct, n, t->vocab.score[g.p[i].id]),
                       g.p[i].id);
done:
    ft_free(distinct);
    ft_free(g.p);
    return st;
}

/* ---- the kind ---- */

static bool is_mark(ft_str s, size_t at)
{
    return at + FT_SPACE_MARK_BYTES <= s.n && memcmp(s.p + at, FT_SPACE_MARK, FT_SPACE_MARK_BYTES) == 0;
}

/* The next space mark behind something that is none; s.n when there is none. */
static size_t cut_in(ft_str s, size_t from)
{
    const char *lead;
    for (size_t i = FT_MAX(from, (size_t)1); i < s.n && (lead = memchr(s.p + i, FT_SPACE_MARK[0], s.n - i)); i++) {
        i = (size_t)(lead - s.p);
        if (is_mark(s, i) && (i < FT_SPACE_MARK_BYTES || !is_mark(s, i - FT_SPACE_MARK_BYTES)))
            return i;
    }
    return s.n;
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
    if (byte < 0)
        FT_RETURN(ft_unicode__unmark(tmp, p));
    if (byte >= 0) {
        FT_RETURN(ft_buf_putc(tmp, byte));
        t->byte_id[byte] = id;
    }
    char *copy = ft_arena_strndup(v->arena, tmp->p, tmp->n);
    if (!copy)
        return FT_ENOMEM;
    v->raw[id] = (ft_str){copy, tmp->n};
    return FT_OK;
}

static ft_status finish(ft_tokenizer *t)
{
    ft_status st = FT_OK;
    ft_buf tmp = {0};
    if (t->merges.slots)
        FT_RETURN(gather_chars(t));
    else
        FT_RETURN(merges_from_scores(t, t->path));
    t->cut_at_space = !t->ignore_merges;
    for (int32_t id = 0; id < t->vocab.n; id++) {
        FT_TRY(raw_of(t, id, &tmp));
        if (takes_part(t, id) && cut_in(t->vocab.piece[id], 0) < t->vocab.piece[id].n)
            t->cut_at_space = false;
    }
done:
    ft_buf_free(&tmp);
    return st;
}

/* Every byte has a token. */
static bool has_bytes(const ft_tokenizer *t, ft_str bytes)
{
    for (size_t i = 0; i < bytes.n; i++)
        if (t->byte_id[(uint8_t)bytes.p[i]] < 0)
            return false;
    return true;
}

/* Bytes that are no token: byte tokens when all of them are there, else unk. */
static ft_status fall_back(const ft_tokenizer *t, ft_str bytes, bool after_unk, ft_ids *out)
{
    if (!has_bytes(t, bytes))
        return t->model_unk < 0 || (after_unk && t->fuse_unk) ? FT_OK : ft_ids_put(out, t->model_unk);
    for (size_t i = 0; i < bytes.n; i++)
        FT_RETURN(ft_ids_put(out, t->byte_id[(uint8_t)bytes.p[i]]));
    return FT_OK;
}

static ft_status merge_word(const ft_tokenizer *t, ft_work *w, ft_str word, ft_ids *out)
{
    w->n = 0;
    FT_RETURN(ft_work__reserve(w, word.n));
    for (size_t i = 0; i < word.n;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)word.p + i, (utf8proc_ssize_t)(word.n - i), &c);
        int32_t symbol = k > 0 ? char_symbol(&t->chars, c) : -1;
        uint32_t n = k > 0 ? (uint32_t)k : 1;
        if (symbol >= 0 || !t->drops_missing || has_bytes(t, (ft_str){word.p + i, n}))
            ft_work__push(w, symbol, (uint32_t)i, n);
        i += n;
    }
    FT_RETURN(ft_merges__run(&t->merges, w));
    bool after_unk = false;
    for (int32_t i = w->n ? 0 : -1; i >= 0; i = w->sym[i].next) {
        const ft_symbol *sym = &w->sym[i];
        if (sym->id >= 0 && sym->id < t->vocab.n) {
            FT_RETURN(ft_ids_put(out, sym->id));
            after_unk = false;
            continue;
        }
        size_t before = out->n;
        FT_RETURN(fall_back(t, (ft_str){word.p + sym->at, sym->n}, after_unk, out));
        after_unk = after_unk ? out->n == before : out->n > before && out->p[out->n - 1] == t->model_unk;
    }
    return FT_OK;
}

static ft_status word(const ft_tokenizer *t, ft_scratch *s, ft_str word, ft_ids *out)
{
    int32_t whole = t->ignore_merges ? ft_vocab__find(&t->vocab, word) : -1;
    if (whole >= 0 && takes_part(t, whole))
        return ft_ids_put(out, whole);
    size_t end = t->cut_at_space ? cut_in(word, 1) : word.n;
    if (end == word.n)
        return merge_word(t, &s->work, word, out);
    for (size_t at = 0; at < word.n; at = end) {
        end = cut_in(word, at + 1);
        FT_RETURN(ft_tokenizer__word(t, s, (ft_str){word.p + at, end - at}, out));
    }
    return FT_OK;
}

const ft_word_kind ft_tokenizer_spm = {
    .name = "spm",
    .gguf_model = "llama",
    .json_model = "BPE",
    .sentencepiece = 2,
    .finish = finish,
    .word = word,
    .load_json = ft_bpe__load_json,
    .load_gguf = ft_spm__load_gguf,
    .write_gguf = ft_spm__write_gguf,
    .write_json = ft_spm__write_json,
};
