/* SentencePiece's character replacements (see charsmap.h). */
#include "text/charsmap.h"

#include <string.h>

struct ft_charsmap {
    uint32_t *blob; /* all of it, behind the trie's size */
    size_t blob_n;
    const uint32_t *unit; /* [units] */
    size_t units;
    const char *text; /* [text_n], ends with a 0 */
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
    m->blob = ft_alloc(blob.n / 4 + 1, 4);
    if (!m->blob) {
        ft_charsmap__free(m);
        return FT_ENOMEM;
    }
    memcpy(m->blob, blob.p, blob.n);
    m->blob_n = blob.n;
    m->unit = m->blob + 1;
    m->units = trie / 4;
    m->text = (const char *)m->blob + 4 + trie;
    m->text_n = rest;
    *out = m;
    return FT_OK;
}

void ft_charsmap__free(ft_charsmap *m)
{
    if (m)
        ft_free(m->blob);
    ft_free(m);
}

ft_str ft_charsmap__bytes(const ft_charsmap *m)
{
    return (ft_str){(const char *)m->blob, m->blob_n};
}

static size_t children_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
}

/* The longest key that text begins with, or the first that ends. */
static size_t find(const ft_charsmap *m, ft_str text, bool first, ft_str *replacement)
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
            if (first)
                break;
        }
    }
    return best;
}

size_t ft_charsmap__find(const ft_charsmap *m, ft_str text, ft_str *replacement)
{
    return find(m, text, false, replacement);
}

bool ft_charsmap__whole(const ft_charsmap *m, ft_str text, ft_str *replacement)
{
    return find(m, text, true, replacement) > 0;
}
