#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool ft_str_eq(ft_str a, ft_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool ft_str_is(ft_str a, const char *s)
{
    return ft_str_eq(a, ft_str_of(s));
}

bool ft_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool ft_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && memcmp(s + n - k, suffix, k) == 0;
}

bool ft_parse_i64(const char *s, int64_t *out)
{
    char *end;
    errno = 0;
    if (!*s || isspace((unsigned char)*s))
        return false;
    long long v = strtoll(s, &end, 10);
    if (errno || *end)
        return false;
    *out = v;
    return true;
}

bool ft_parse_f64(const char *s, double *out)
{
    char *end;
    errno = 0;
    if (!*s || isspace((unsigned char)*s))
        return false;
    double v = strtod(s, &end);
    if (*end || v != v || (errno == ERANGE && (v > 1 || v < -1)))
        return false;
    *out = v;
    return true;
}

/* Levenshtein distance, case folded, words of up to 63 bytes. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), row[64];
    if (n > 63 || m > 63)
        return 64;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diag = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t cost = tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]);
            size_t best = FT_MIN(FT_MIN(row[j] + 1, row[j - 1] + 1), diag + cost);
            diag = row[j];
            row[j] = best;
        }
    }
    return row[m];
}

const char *ft_nearest(const char *word, const char *const *candidates, size_t n)
{
    const char *best = NULL;
    size_t least = FT_MAX((size_t)2, strlen(word) / 3) + 1;
    for (size_t i = 0; i < n; i++) {
        size_t d = edit_distance(word, candidates[i]);
        if (d < least) {
            least = d;
            best = candidates[i];
        }
    }
    return best;
}

uint64_t ft_hash(const void *p, size_t n, uint64_t seed)
{
    const unsigned char *b = p;
    uint64_t h = 0xcbf29ce484222325u ^ seed;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

/* ---- map ---- */

typedef struct slot {
    uint64_t hash;
    size_t key, n; /* offset into keys */
    int64_t value;
    bool taken;
} slot;

struct ft_map {
    slot *slots;
    size_t cap, count; /* cap: a power of two */
    ft_buf keys;
};

ft_map *ft_map_new(void)
{
    ft_map *m = ft_alloc(1, sizeof *m);
    if (m)
        m->keys.max = (size_t)1 << 40;
    return m;
}

void ft_map_free(ft_map *m)
{
    if (!m)
        return;
    ft_free(m->slots);
    ft_buf_free(&m->keys);
    ft_free(m);
}

static slot *find(const ft_map *m, const char *key, size_t n, uint64_t hash)
{
    size_t i = hash & (m->cap - 1);
    while (m->slots[i].taken) {
        slot *s = &m->slots[i];
        if (s->hash == hash && s->n == n && (n == 0 || memcmp(m->keys.p + s->key, key, n) == 0))
            return s;
        i = (i + 1) & (m->cap - 1);
    }
    return &m->slots[i];
}

static ft_status grow(ft_map *m)
{
    size_t cap = m->cap ? m->cap * 2 : 64;
    slot *old = m->slots, *slots = ft_alloc(cap, sizeof *slots);
    if (!slots)
        return FT_ENOMEM;
    for (size_t i = 0; i < m->cap; i++)
        if (old[i].taken) {
            size_t j = old[i].hash & (cap - 1);
            while (slots[j].taken)
                j = (j + 1) & (cap - 1);
            slots[j] = old[i];
        }
    ft_free(old);
    m->slots = slots;
    m->cap = cap;
    return FT_OK;
}

ft_status ft_map_put(ft_map *m, const char *key, size_t n, int64_t value)
{
    if (m->count * 2 >= m->cap)
        FT_RETURN(grow(m));
    uint64_t hash = ft_hash(key, n, 0);
    slot *s = find(m, key, n, hash);
    if (!s->taken) {
        size_t at = m->keys.n;
        FT_RETURN(ft_buf_put(&m->keys, key, n));
        *s = (slot){.hash = hash, .key = at, .n = n, .taken = true};
        m->count++;
    }
    s->value = value;
    return FT_OK;
}

bool ft_map_get(const ft_map *m, const char *key, size_t n, int64_t *value)
{
    if (!m->cap)
        return false;
    const slot *s = find(m, key, n, ft_hash(key, n, 0));
    if (s->taken && value)
        *value = s->value;
    return s->taken;
}

size_t ft_map_count(const ft_map *m)
{
    return m->count;
}

/* ---- UTF-8 ---- */

/* Unicode table 3-7. */
size_t ft_utf8_length(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    unsigned char c = n ? p[0] : 0xff;
    if (c < 0x80)
        return 1;
    size_t k = c >= 0xc2 && c <= 0xdf ? 2 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
    if (!k || n < k)
        return 0;
    unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80, high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < k; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return k;
}
