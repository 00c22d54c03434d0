/* Added tokens in a text (see added.h). */
#include "text/added.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

ft_status ft_added__put(ft_added *a, const ft_added_token *t)
{
    if (!t->text.n)
        return FT_OK;
    if (a->n == a->cap) {
        size_t cap = FT_MAX(a->cap * 2, (size_t)16);
        ft_added_token *token = ft_resize(a->token, cap, sizeof *token);
        if (!token)
            return FT_ENOMEM;
        a->token = token;
        a->cap = cap;
    }
    a->token[a->n++] = *t;
    a->first[(unsigned char)t->text.p[0]] = true;
    return FT_OK;
}

static int by_text(const void *pa, const void *pb)
{
    const ft_added_token *a = pa, *b = pb;
    int c = memcmp(a->text.p, b->text.p, FT_MIN(a->text.n, b->text.n));
    if (c)
        return c;
    return a->text.n != b->text.n ? (a->text.n < b->text.n ? -1 : 1) : a->id < b->id ? -1 : a->id > b->id;
}

void ft_added__finish(ft_added *a)
{
    if (a->n)
        qsort(a->token, a->n, sizeof *a->token, by_text);
}

void ft_added__free(ft_added *a)
{
    ft_free(a->token);
    *a = (ft_added){0};
}

/* First of [lo, hi), which agree in their first `depth` bytes, whose next byte is at least c; tokens that end at depth
 * come first. */
static size_t bound(const ft_added *a, size_t lo, size_t hi, size_t depth, int c)
{
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        ft_str t = a->token[mid].text;
        if ((t.n > depth ? (unsigned char)t.p[depth] : -1) < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static const ft_added_token *longest_at(const ft_added *a, ft_str text, size_t at)
{
    const ft_added_token *best = NULL;
    size_t lo = 0, hi = a->n;
    for (size_t depth = 0; at + depth < text.n && lo < hi; depth++) {
        int c = (unsigned char)text.p[at + depth];
        lo = bound(a, lo, hi, depth, c);
        hi = bound(a, lo, hi, depth, c + 1);
        if (lo < hi && a->token[lo].text.n == depth + 1)
            best = &a->token[lo];
    }
    return best;
}

/* A word character ends at `at` (before) or begins there. */
static bool word_beside(ft_str text, size_t at, bool before)
{
    size_t from = at;
    utf8proc_int32_t c;
    if (before)
        while (from > 0 && at - from < 4) {
            from--;
            if (((unsigned char)text.p[from] & 0xc0) != 0x80)
                break;
        }
    if (from == (before ? at : text.n))
        return false;
    utf8proc_ssize_t k =
        utf8proc_iterate((const utf8proc_uint8_t *)text.p + from, (utf8proc_ssize_t)(text.n - from), &c);
    return k > 0 && ft_unicode__is_word(c);
}

const ft_added_token *ft_added__next(const ft_added *a, ft_str text, size_t from, size_t *start, size_t *end)
{
    for (size_t i = from; a->n && i < text.n; i++) {
        const ft_added_token *t = a->first[(unsigned char)text.p[i]] ? longest_at(a, text, i) : NULL;
        if (!t)
            continue;
        size_t behind = i + t->text.n;
        if (t->single_word && (word_beside(text, i, true) || word_beside(text, behind, false)))
            continue;
        *start = i - (t->lstrip ? ft_unicode__trailing_space((ft_str){text.p + from, i - from}) : 0);
        *end = behind + (t->rstrip ? ft_unicode__leading_space((ft_str){text.p + behind, text.n - behind}) : 0);
        return t;
    }
    return NULL;
}
