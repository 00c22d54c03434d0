/* base/mem: checked sizes, allocation that records its failure, an arena for what lives one step, bounded buffers.
 *
 * Every allocation of fettle's own goes through here, so that a test can make the n-th one fail (ft_alloc_fail_at).
 * Ownership: what ft_alloc returns is freed with ft_free; what an arena returns lives until the arena is released.
 * Threads: ft_alloc and ft_free from any thread; an arena and a buffer belong to one thread at a time.
 */
#ifndef FETTLE_BASE_MEM_H
#define FETTLE_BASE_MEM_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a * b (a + b); false on overflow. */
static inline bool ft_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool ft_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
#define FT_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FT_MIN(a, b) ((a) < (b) ? (a) : (b))
#define FT_MAX(a, b) ((a) > (b) ? (a) : (b))

/* n * size zeroed bytes, 64-byte aligned; NULL with a recorded FT_ENOMEM message. n * size == 0 gives a valid pointer. */
void *ft_alloc(size_t n, size_t size);
/* The same without zeros: undefined content, and of a large one only the pages that are written to become memory. */
void *ft_alloc_raw(size_t n, size_t size);
/* As realloc for memory of malloc kind: keeps what was there, new bytes are undefined. `p` from ft_resize or NULL.
 * On failure `p` stays valid. Not for memory of ft_alloc. Freed with ft_free. */
void *ft_resize(void *p, size_t n, size_t size);
/* A copy of n bytes with a 0 behind; NULL on failure. */
char *ft_strndup(const char *p, size_t n);
char *ft_strdup(const char *s);
/* A formatted string. */
char *ft_strf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ft_free(void *p);
/* Fault injection for tests: the n-th allocation from now fails (1 is the next); 0 turns it off.
 * Returns how many allocations were made since the last call. */
long ft_alloc_fail_at(long n);
/* How many allocations this process has made: a test asserts that a steady-state step makes none. */
uint64_t ft_alloc_count(void);

/* Arena: bump allocation in chunks that are kept and used again after a release. */
typedef struct ft_arena ft_arena;
typedef struct ft_arena_mark {
    size_t chunk, used;
} ft_arena_mark;
/* chunk_bytes: size of a chunk (larger requests get their own); max_bytes: 0 or the stated maximum. NULL on failure. */
ft_arena *ft_arena_new(size_t chunk_bytes, size_t max_bytes);
void ft_arena_free(ft_arena *a);
/* 64-byte aligned, NOT zeroed; NULL with a recorded message. */
void *ft_arena_alloc(ft_arena *a, size_t n, size_t size);
void *ft_arena_zalloc(ft_arena *a, size_t n, size_t size);
char *ft_arena_strndup(ft_arena *a, const char *p, size_t n);
ft_arena_mark ft_arena_now(const ft_arena *a);
/* Forgets what was allocated since the mark; the memory stays with the arena. */
void ft_arena_release(ft_arena *a, ft_arena_mark mark);
void ft_arena_reset(ft_arena *a);
/* Bytes in use now, the highest they have been, bytes held from the system. */
size_t ft_arena_used(const ft_arena *a);
size_t ft_arena_peak(const ft_arena *a);
size_t ft_arena_held(const ft_arena *a);

/* A growable byte buffer with a stated maximum; p is always 0-terminated once anything was written. */
typedef struct ft_buf {
    char *p;
    size_t n, cap;
    size_t max; /* 0: 1 GiB */
} ft_buf;
ft_status ft_buf_put(ft_buf *b, const void *p, size_t n);
ft_status ft_buf_puts(ft_buf *b, const char *s);
ft_status ft_buf_putc(ft_buf *b, int c);
/* c as it stands between double quotes in C, Go and YAML: \" \\ \n \x1f, else itself. */
ft_status ft_buf_put_escaped(ft_buf *b, unsigned char c);
ft_status ft_buf_printf(ft_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Room for n more bytes behind b->n; the caller writes them and adds to b->n. */
ft_status ft_buf_reserve(ft_buf *b, size_t n);
void ft_buf_free(ft_buf *b);

#endif
