/* tokenizer.bin of llama2.c (also tok512.bin and the like).
 *
 *   i32 length of the longest token | for every token: f32 score, i32 bytes, the bytes
 *
 * Spaces stand as spaces. The first three tokens are unk, BOS and EOS, then come the 256 bytes "<0x00>" ...
 */
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

#include <string.h>

enum { TOKEN_MAX = 1024, FIRST_BYTE = 3, FIRST_PIECE = 259 };

typedef struct reader {
    const uint8_t *p;
    size_t n, at;
    const char *path;
} reader;

static ft_status next_token(reader *r, float *score, ft_str *text)
{
    int32_t n;
    if (r->n - r->at < 8)
        return ft_fail(FT_EFORMAT, "%s: at byte %zu: the file ends within a token", r->path, r->at);
    memcpy(score, r->p + r->at, 4);
    memcpy(&n, r->p + r->at + 4, 4);
    if (n < 0 || n > TOKEN_MAX || (size_t)n > r->n - r->at - 8)
        return ft_fail(FT_EFORMAT, "%s: at byte %zu: a token of %d bytes, expected 0 to %zu", r->path, r->at, n,
                       FT_MIN((size_t)TOKEN_MAX, r->n - r->at - 8));
    *text = (ft_str){(const char *)r->p + r->at + 8, (size_t)n};
    r->at += 8 + (size_t)n;
    return FT_OK;
}

static ft_token_type type_of(int32_t id, ft_str text)
{
    if (id < FIRST_BYTE)
        return id ? FT_TOKEN_CONTROL : FT_TOKEN_UNKNOWN;
    return id < FIRST_PIECE && ft_vocab__byte_of(text) >= 0 ? FT_TOKEN_BYTE : FT_TOKEN_NORMAL;
}

static ft_status set_token(ft_tokenizer *t, int32_t id, ft_str text, float score, ft_buf *piece)
{
    static const char *const names[FIRST_BYTE] = {"<unk>", "<s>", "</s>"};
    piece->n = 0;
    for (size_t i = 0; i < text.n; i++)
        FT_RETURN(text.p[i] == ' ' ? ft_buf_puts(piece, FT_SPACE_MARK) : ft_buf_putc(piece, text.p[i]));
    ft_str stored = id < FIRST_BYTE ? ft_str_of(names[id]) : (ft_str){piece->p ? piece->p : "", piece->n};
    ft_token_type type = type_of(id, text);
    FT_RETURN(ft_vocab__set(&t->vocab, id, stored, type));
    t->vocab.score[id] = score;
    ft_added_token token = {.text = t->vocab.piece[id], .id = id};
    return id < FIRST_BYTE ? ft_tokenizer__cut_out(t, &token, true, false) : FT_OK;
}

static ft_status load_from(ft_tokenizer *t, reader r, const char *dir)
{
    ft_status st = FT_OK;
    ft_buf piece = {0};
    ft_str text;
    float score;
    int64_t n = 0;
    r.at = 4;
    if (r.n < 4)
        return ft_fail(FT_EFORMAT, "%s: %zu bytes, expected a header of 4", r.path, r.n);
    for (; r.at < r.n; n++)
        FT_RETURN(next_token(&r, &score, &text));
    if (n <= FIRST_PIECE)
        return ft_fail(FT_EFORMAT, "%s: %lld tokens, expected over %d", r.path, (long long)n, FIRST_PIECE);
    FT_TRY(ft_vocab__init(&t->vocab, n, true, r.path));
    r.at = 4;
    for (int32_t id = 0; id < n; id++) {
        FT_TRY(next_token(&r, &score, &text));
        FT_TRY(set_token(t, id, text, score, &piece));
    }
    FT_TRY(ft_norms__add_sentencepiece(&t->norms, true, false, true, (ft_str){0}, r.path));
    t->kind = &ft_tokenizer_spm;
    t->fuse_unk = true;
    t->unk = t->model_unk = 0;
    t->bos = 1;
    t->eos = 2;
    t->add_bos = true;
    st = ft_tokenizer__special_ids(t, dir);
done:
    ft_buf_free(&piece);
    return st;
}

static bool is_llama2c(const char *path)
{
    return ft_starts(ft_path_base(path), "tok") && ft_ends(path, ".bin");
}

static ft_status load_llama2c(ft_tokenizer *t, const char *path)
{
    ft_mapping map;
    char *dir = ft_path_dir(path);
    if (!dir)
        return FT_ENOMEM;
    ft_status st = ft_mapping_open(&map, path);
    if (st == FT_OK) {
        st = load_from(t, (reader){map.data, map.size, 0, path}, dir);
        ft_mapping_close(&map);
    }
    ft_free(dir);
    return st;
}

const ft_vocabulary ft_vocabulary_llama2c = {
    .name = "tokenizer.bin (or tok*.bin)",
    .usual = "tokenizer.bin",
    .is = is_llama2c,
    .load = load_llama2c,
};
