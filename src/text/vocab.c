/* The tokens of a vocabulary (see vocab.h). */
#include "text/vocab.h"

#include <string.h>

ft_status ft_vocab__init(ft_vocab *v, int64_t n, bool scores, const char *where)
{
    if (n < 1 || n > FT_VOCAB_MAX)
        return ft_fail(FT_EFORMAT, "%s: %lld tokens, expected 1 to %d", where, (long long)n, FT_VOCAB_MAX);
    v->n = (int32_t)n;
    v->arena = ft_arena_new((size_t)1 << 20, 0);
    v->ids = ft_map_new();
    if (!v->arena || !v->ids)
        return FT_ENOMEM;
    v->piece = ft_arena_zalloc(v->arena, (size_t)n, sizeof *v->piece);
    v->raw = ft_arena_zalloc(v->arena, (size_t)n, sizeof *v->raw);
    v->type = ft_arena_zalloc(v->arena, (size_t)n, sizeof *v->type);
    v->score = scores ? ft_arena_zalloc(v->arena, (size_t)n, sizeof *v->score) : NULL;
    if (!v->piece || !v->raw || !v->type || (scores && !v->score))
        return FT_ENOMEM;
    memset(v->type, FT_TOKEN_UNUSED, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        v->piece[i].p = "";
    return FT_OK;
}

void ft_vocab__free(ft_vocab *v)
{
    ft_map_free(v->ids);
    ft_arena_free(v->arena);
    *v = (ft_vocab){0};
}

ft_status ft_vocab__set(ft_vocab *v, int32_t id, ft_str piece, ft_token_type type)
{
    char *copy = ft_arena_strndup(v->arena, piece.p, piece.n);
    if (!copy)
        return FT_ENOMEM;
    v->piece[id] = (ft_str){copy, piece.n};
    v->type[id] = (uint8_t)type;
    return ft_map_put(v->ids, piece.p, piece.n, id);
}

int32_t ft_vocab__find(const ft_vocab *v, ft_str piece)
{
    int64_t id;
    return v->ids && ft_map_get(v->ids, piece.p, piece.n, &id) ? (int32_t)id : -1;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

int ft_vocab__byte_of(ft_str p)
{
    if (p.n != 6 || memcmp(p.p, "<0x", 3) != 0 || p.p[5] != '>' || hex(p.p[3]) < 0 || hex(p.p[4]) < 0)
        return -1;
    return hex(p.p[3]) * 16 + hex(p.p[4]);
}
