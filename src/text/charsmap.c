/* SentencePiece's character replacements (see charsmap.h). */
#include "text/charsmap.h"

#include <string.h>

struct ft_charsmap {
    uint32_t *unit; /* [units] */
    size_t units;
    char *text; /* [text_n], ends with a 0 */
    size_t text_n;
};

ft_status ft_charsmap__new(ft_charsmap **out, ft_str blob, const char *where)
{
    uint32_t trie;
    *out = NULL;
    if (blob.n < 4 || (memcpy(&trie, blob.p, 4), trie > blob.n - 4 || trie % 4 || !trie))
        return ft_fail(FT_EFORMAT, "%s: a charsmap of %zu bytes whose trie does not fit", where, blob.n);
    size_t rest = blob.n - 4 - trie;
    if (!rest || blob.p[blob.n - 1])
        return ft_fail(FT_EFORMAT, "%s: the charsmap's texts do not end with a 0", where);
    ft_charsmap *m = ft_alloc(1, sizeof *m);
    if (!m)
        return FT_ENOMEM;
    m->units = trie / 4;
    m->unit = ft_alloc(m->units, 4);
    m->text = ft_strndup(blob.p + 4 + trie, rest);
    m->text_n = rest;
    if (!m->unit || !m->text) {
        ft_charsmap__free(m);
        return FT_ENOMEM;
    }
    memcpy(m->unit, blob.p + 4, trie);
    *out = m;
    return FT_OK;
}

void ft_charsmap__free(ft_charsmap *m)
{
    if (!m)
        return;
    ft_free(m->unit);
    ft_free(m->text);
    ft_free(m);
}

static size_t children_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
}

size_t ft_charsmap__find(const ft_charsmap *m, ft_str text, ft_str *replacement)
{
    size_t best = 0, at = children_of(m->unit[0]);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        at ^= c;
        if (at >= m->units || (m->unit[at] & 0x800000ffu) != c)
            break;
        uint32_t unit = m->unit[at];
        at ^= children_of(unit);
        if (!(unit >> 8 & 1))
            continue;
        size_t value = at < m->units ? m->unit[at] & 0x7fffffffu : m->text_n;
        if (value < m->text_n) {
            best = i + 1;
            *replacement = ft_str_of(m->text + value);
        }
    }
    return best;
}
