/* Byte-level BPE: a word's bytes are its first symbols, merges follow the rank of the file's list.
 *
 * Pieces are stored in the byte-level alphabet (unicode.h); the bytes they stand for are worked out once, here.
 */
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

/* The bytes of a token: control and added tokens are plain text, the others spelled byte by byte. */
static ft_status raw_of(ft_tokenizer *t, int32_t id, ft_buf *tmp)
{
    ft_vocab *v = &t->vocab;
    bool ok = false;
    tmp->n = 0;
    if (v->type[id] == FT_TOKEN_NORMAL || v->type[id] == FT_TOKEN_UNUSED)
        FT_RETURN(ft_bytes__unspell(tmp, v->piece[id], &ok));
    v->raw[id] = v->piece[id];
    if (ok) {
        char *p = ft_arena_strndup(v->arena, tmp->p, tmp->n);
        if (!p)
            return FT_ENOMEM;
        v->raw[id] = (ft_str){p, tmp->n};
    }
    return FT_OK;
}

static ft_status finish(ft_tokenizer *t)
{
    ft_status st = FT_OK;
    ft_buf tmp = {0};
    if (t->ignore_merges && !(t->whole = ft_map_new()))
        return FT_ENOMEM;
    for (int32_t id = 0; id < t->vocab.n; id++) {
        FT_TRY(raw_of(t, id, &tmp));
        ft_str raw = t->vocab.raw[id];
        if (t->vocab.type[id] != FT_TOKEN_NORMAL || !raw.n)
            continue;
        if (t->whole)
            FT_TRY(ft_map_put(t->whole, raw.p, raw.n, id));
    }
    for (int byte = 0; byte < 256; byte++) {
        tmp.n = 0;
        FT_TRY(ft_bytes__spell(&tmp, (ft_str){(char[]){(char)byte}, 1}));
        int32_t id = ft_vocab__find(&t->vocab, (ft_str){tmp.p, tmp.n});
        t->byte_id[byte] =
            id >= 0 && t->vocab.type[id] == FT_TOKEN_NORMAL ? id : -1; /* an added "ÿ" is text, no byte */
    }
done:
    ft_buf_free(&tmp);
    return st;
}

static ft_status word(const ft_tokenizer *t, ft_scratch *s, ft_str word, ft_ids *out)
{
    ft_work *w = &s->work;
    int64_t whole;
    if (t->whole && ft_map_get(t->whole, word.p, word.n, &whole))
        return ft_ids_put(out, (int32_t)whole);
    w->n = 0;
    FT_RETURN(ft_work__reserve(w, word.n));
    for (size_t i = 0; i < word.n; i++) {
        int32_t id = t->byte_id[(uint8_t)word.p[i]];
        if (id >= 0 || !t->drops_missing)
            ft_work__push(w, id, (uint32_t)i, 1);
    }
    FT_RETURN(ft_merges__run(&t->merges, w));
    /* a byte that the vocabulary lacks is unk, or nothing */
    for (int32_t i = w->n ? 0 : -1; i >= 0; i = w->sym[i].next) {
        int32_t id = w->sym[i].id >= 0 ? w->sym[i].id : t->model_unk;
        if (id >= 0)
            FT_RETURN(ft_ids_put(out, id));
    }
    return FT_OK;
}

const ft_word_kind ft_tokenizer_bpe = {
    .name = "bpe",
    .gguf_model = "gpt2",
    .json_model = "BPE",
    .byte_level = true,
    .finish = finish,
    .word = word,
    .load_json = ft_bpe__load_json,
    .load_gguf = ft_bpe__load_gguf,
    .write_gguf = ft_bpe__write_gguf,
    .write_json = ft_bpe__write_json,
};
