/* WordPiece, the words of BERT: the longest piece that the word begins with, then the longest that goes on, to its end.
 *
 * Pieces that go on inside a word carry a prefix ("##ing"). A word that no row of pieces spells, and one of more than
 * word_max characters, is unk as a whole. Pieces are stored as Hugging Face has them; GGUF marks the others instead
 * ("ing" goes on, "▁play" begins a word): from_gguf.c and export_tokenizer.c translate.
 *
 * Decoding puts a space in front of every word but the closing punctuation, as the reference decoder does; letters that
 * the normalizer has lowered stay low.
 */
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

#include <string.h>

enum { WORD_MAX = 100 };

static bool goes_on(const ft_tokenizer *t, ft_str piece)
{
    return piece.n > t->prefix.n && memcmp(piece.p, t->prefix.p, t->prefix.n) == 0;
}

/* Punctuation that stands close behind a word. */
static bool closes(ft_str piece)
{
    return piece.n == 1 && strchr(".?!,", piece.p[0]);
}

static ft_status raw_of(ft_tokenizer *t, int32_t id)
{
    ft_vocab *v = &t->vocab;
    ft_str piece = v->piece[id];
    v->raw[id] = piece;
    if (v->type[id] != FT_TOKEN_NORMAL || !piece.n || closes(piece))
        return FT_OK;
    if (goes_on(t, piece)) {
        v->raw[id] = (ft_str){piece.p + t->prefix.n, piece.n - t->prefix.n};
        return FT_OK;
    }
    char *p = ft_arena_alloc(v->arena, piece.n + 1, 1);
    if (!p)
        return FT_ENOMEM;
    p[0] = ' ';
    memcpy(p + 1, piece.p, piece.n);
    v->raw[id] = (ft_str){p, piece.n + 1};
    return FT_OK;
}

/* Control tokens that no file named have the names that BERT gave them. */
static void usual_names(ft_tokenizer *t)
{
    const struct {
        const char *name;
        int32_t *id;
    } usual[] = {{"[CLS]", &t->bos}, {"[SEP]", &t->eos}, {"[UNK]", &t->unk}, {"[PAD]", &t->pad}};
    for (size_t i = 0; i < FT_COUNT(usual); i++)
        if (*usual[i].id < 0)
            *usual[i].id = ft_vocab__find(&t->vocab, ft_str_of(usual[i].name));
}

static ft_status finish(ft_tokenizer *t)
{
    usual_names(t);
    for (int32_t id = 0; id < t->vocab.n; id++) {
        FT_RETURN(raw_of(t, id));
        t->piece_max = FT_MAX(t->piece_max, t->vocab.piece[id].n);
    }
    return FT_OK;
}

/* The longest piece that rest begins with: its id and its bytes of rest; -1 when there is none. */
static ft_status longest(const ft_tokenizer *t, ft_buf *key, ft_str rest, bool inside, int32_t *id, size_t *taken)
{
    size_t prefix = inside ? t->prefix.n : 0, n = FT_MIN(rest.n, t->piece_max);
    key->n = 0;
    FT_RETURN(ft_buf_put(key, t->prefix.p, prefix));
    FT_RETURN(ft_buf_put(key, rest.p, n));
    for (*id = -1; n && *id < 0; n -= *id < 0) {
        if (n < rest.n && ((unsigned char)rest.p[n] & 0xc0) == 0x80)
            continue; /* within a character */
        *id = ft_vocab__find(&t->vocab, (ft_str){key->p, prefix + n});
        if (*id >= 0 && t->vocab.type[*id] != FT_TOKEN_NORMAL)
            *id = -1; /* users do not write control tokens */
        *taken = n;
    }
    return FT_OK;
}

static size_t characters(ft_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

static ft_status word(const ft_tokenizer *t, ft_scratch *s, ft_str word, ft_ids *out)
{
    size_t before = out->n, taken = 0;
    int32_t id = -1;
    bool spelled = characters(word) <= t->word_max;
    for (size_t at = 0; spelled && at < word.n; at += taken) {
        FT_RETURN(longest(t, &s->word, (ft_str){word.p + at, word.n - at}, at > 0, &id, &taken));
        spelled = id >= 0;
        if (spelled)
            FT_RETURN(ft_ids_put(out, id));
    }
    if (spelled)
        return FT_OK;
    out->n = before;
    return t->model_unk >= 0 ? ft_ids_put(out, t->model_unk) : FT_OK;
}

ft_status ft_wordpiece__init(ft_tokenizer *t, const char *prefix)
{
    t->kind = &ft_tokenizer_wordpiece;
    t->word_max = WORD_MAX;
    t->prefix.p = ft_arena_strndup(t->vocab.arena, prefix, strlen(prefix));
    t->prefix.n = strlen(prefix);
    return t->prefix.p ? FT_OK : FT_ENOMEM;
}

const ft_word_kind ft_tokenizer_wordpiece = {
    .name = "wordpiece",
    .gguf_model = "bert",
    .json_model = "WordPiece",
    .words_apart = true,
    .finish = finish,
    .word = word,
    .load_json = ft_wordpiece__load_json,
    .load_gguf = ft_wordpiece__load_gguf,
    .read_piece = ft_wordpiece__read_piece,
    .gguf_piece = ft_wordpiece__gguf_piece,
    .write_gguf = ft_wordpiece__write_gguf,
    .write_json = ft_wordpiece__write_json,
};
