/* base/str: string views and a map from strings to numbers. */
#ifndef FETTLE_BASE_STR_H
#define FETTLE_BASE_STR_H

#include "base/mem.h"

/* A view of bytes that somebody else owns; not 0-terminated. */
typedef struct ft_str {
    const char *p;
    size_t n;
} ft_str;
static inline ft_str ft_str_of(const char *s)
{
    return (ft_str){s, s ? __builtin_strlen(s) : 0};
}
bool ft_str_eq(ft_str a, ft_str b);
bool ft_str_is(ft_str a, const char *s);
bool ft_starts(const char *s, const char *prefix);
bool ft_ends(const char *s, const char *suffix);
/* Bytes of the well-formed UTF-8 character at s[0..n), 0 when there is none. */
size_t ft_utf8_length(const char *s, size_t n);
/* The whole of s as a number; false (and *out untouched) when anything else stands in it or it is out of range. */
bool ft_parse_i64(const char *s, int64_t *out);
bool ft_parse_f64(const char *s, double *out);
/* The candidate nearest to `word` by edit distance, NULL when none is near enough to be worth naming. */
const char *ft_nearest(const char *word, const char *const *candidates, size_t n);

/* Map from byte strings to int64: open addressing, keys copied. Keys may hold any byte. */
typedef struct ft_map ft_map;
ft_map *ft_map_new(void);
void ft_map_free(ft_map *m);
ft_status ft_map_put(ft_map *m, const char *key, size_t n, int64_t value); /* an existing key gets the new value */
bool ft_map_get(const ft_map *m, const char *key, size_t n, int64_t *value);
size_t ft_map_count(const ft_map *m);

/* 64-bit hash of bytes (FNV-1a with a final mix): for maps and for keying caches, not for security. */
uint64_t ft_hash(const void *p, size_t n, uint64_t seed);

#endif
