#include "base/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_long fail_at;
static _Atomic uint64_t made;
static _Atomic uint64_t made_at_last_arm;

static bool refuse(void)
{
    atomic_fetch_add(&made, 1);
    if (atomic_load(&fail_at) <= 0)
        return false;
    return atomic_fetch_sub(&fail_at, 1) == 1;
}

static void *out_of_memory(size_t n, size_t size)
{
    ft_fail(FT_ENOMEM, "out of memory (%zu x %zu bytes asked)", n, size);
    return NULL;
}

void *ft_alloc_raw(size_t n, size_t size)
{
    size_t bytes, padded;
    if (refuse() || !ft_mul(n, size, &bytes) || !ft_add(bytes, 63, &padded))
        return out_of_memory(n, size);
    padded &= ~(size_t)63;
    void *p = aligned_alloc(64, padded ? padded : 64);
    return p ? p : out_of_memory(n, size);
}

void *ft_alloc(size_t n, size_t size)
{
    void *p = ft_alloc_raw(n, size);
    return p ? memset(p, 0, (n * size + 63) & ~(size_t)63) : NULL; /* to the end of its last line: vectors read whole ones */
}

void *ft_resize(void *p, size_t n, size_t size)
{
    size_t bytes;
    if (refuse() || !ft_mul(n, size, &bytes))
        return out_of_memory(n, size);
    void *q = realloc(p, bytes ? bytes : 1);
    return q ? q : out_of_memory(n, size);
}

char *ft_strndup(const char *p, size_t n)
{
    size_t bytes;
    if (!ft_add(n, 1, &bytes))
        return out_of_memory(n, 1);
    char *s = ft_resize(NULL, bytes, 1);
    if (s) {
        if (n)
            memcpy(s, p, n);
        s[n] = 0;
    }
    return s;
}

char *ft_strdup(const char *s)
{
    return ft_strndup(s, strlen(s));
}

char *ft_strf(const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = n < 0 ? NULL : ft_resize(NULL, (size_t)n + 1, 1);
    if (s)
        vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

void ft_free(void *p)
{
    free(p);
}

long ft_alloc_fail_at(long n)
{
    long since = (long)(atomic_load(&made) - atomic_load(&made_at_last_arm));
    atomic_store(&made_at_last_arm, atomic_load(&made));
    atomic_store(&fail_at, n);
    return since;
}

uint64_t ft_alloc_count(void)
{
    return atomic_load(&made);
}

/* ---- arena ---- */

typedef struct chunk {
    char *p;
    size_t cap;
    size_t before; /* bytes in use in earlier chunks when this one was entered */
} chunk;

struct ft_arena {
    chunk *chunks;
    size_t n, at, used; /* chunks[at] is current, `used` bytes of it are taken */
    size_t chunk_bytes, max_bytes, held, peak;
};

ft_arena *ft_arena_new(size_t chunk_bytes, size_t max_bytes)
{
    ft_arena *a = ft_alloc(1, sizeof *a);
    if (a) {
        a->chunk_bytes = chunk_bytes ? chunk_bytes : (size_t)1 << 20;
        a->max_bytes = max_bytes;
    }
    return a;
}

void ft_arena_free(ft_arena *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++)
        ft_free(a->chunks[i].p);
    ft_free(a->chunks);
    ft_free(a);
}

static bool add_chunk(ft_arena *a, size_t bytes)
{
    size_t cap = FT_MAX(bytes, a->chunk_bytes);
    if (a->max_bytes && (cap > a->max_bytes || a->held > a->max_bytes - cap)) {
        ft_fail(FT_ENOMEM, "arena: %zu bytes would pass its maximum of %zu", a->held + bytes, a->max_bytes);
        return false;
    }
    chunk *c = ft_resize(a->chunks, a->n + 1, sizeof *c);
    if (!c)
        return false;
    a->chunks = c;
    /* ft_alloc would touch every page; the arena's memory is undefined by contract */
    void *p = NULL;
    if (refuse() || posix_memalign(&p, 64, cap) != 0) {
        out_of_memory(cap, 1);
        return false;
    }
    a->chunks[a->n] = (chunk){.p = p, .cap = cap};
    a->n++;
    a->held += cap;
    return true;
}

void *ft_arena_alloc(ft_arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (!ft_mul(n, size, &bytes) || bytes > SIZE_MAX - 64)
        return out_of_memory(n, size);
    bytes = (bytes + 63) & ~(size_t)63;
    if (!bytes)
        bytes = 64;
    while (a->at >= a->n || a->chunks[a->at].cap - a->used < bytes) {
        size_t before = a->at < a->n ? a->chunks[a->at].before + a->used : 0;
        size_t next = a->at < a->n ? a->at + 1 : a->n;
        if (next >= a->n && !add_chunk(a, bytes))
            return NULL;
        a->at = next;
        a->used = 0;
        a->chunks[a->at].before = before;
    }
    void *p = a->chunks[a->at].p + a->used;
    a->used += bytes;
    size_t now = ft_arena_used(a);
    if (now > a->peak)
        a->peak = now;
    return p;
}

void *ft_arena_zalloc(ft_arena *a, size_t n, size_t size)
{
    void *p = ft_arena_alloc(a, n, size);
    return p ? memset(p, 0, n * size) : NULL;
}

char *ft_arena_strndup(ft_arena *a, const char *p, size_t n)
{
    char *s = n < SIZE_MAX ? ft_arena_alloc(a, n + 1, 1) : NULL;
    if (s) {
        if (n)
            memcpy(s, p, n);
        s[n] = 0;
    }
    return s;
}

ft_arena_mark ft_arena_now(const ft_arena *a)
{
    return (ft_arena_mark){.chunk = a->at, .used = a->used};
}

void ft_arena_release(ft_arena *a, ft_arena_mark mark)
{
    a->at = mark.chunk;
    a->used = mark.used;
}

void ft_arena_reset(ft_arena *a)
{
    a->at = a->used = 0;
    if (a->n)
        a->chunks[0].before = 0;
}

size_t ft_arena_used(const ft_arena *a)
{
    return a->at < a->n ? a->chunks[a->at].before + a->used : 0;
}

size_t ft_arena_peak(const ft_arena *a)
{
    return a->peak;
}

size_t ft_arena_held(const ft_arena *a)
{
    return a->held;
}

/* ---- buffer ---- */

ft_status ft_buf_reserve(ft_buf *b, size_t n)
{
    size_t max = b->max ? b->max : (size_t)1 << 30, need;
    if (!ft_add(b->n, n, &need) || need > max)
        return ft_fail(FT_ENOMEM, "a buffer would pass its maximum of %zu bytes", max);
    if (need + 1 <= b->cap)
        return FT_OK;
    size_t cap = FT_MAX(need + 1, FT_MIN(b->cap * 2, max + 1));
    cap = FT_MAX(cap, (size_t)64);
    char *p = ft_resize(b->p, cap, 1);
    if (!p)
        return FT_ENOMEM;
    b->p = p;
    b->cap = cap;
    return FT_OK;
}

ft_status ft_buf_put(ft_buf *b, const void *p, size_t n)
{
    FT_RETURN(ft_buf_reserve(b, n));
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
    return FT_OK;
}

ft_status ft_buf_puts(ft_buf *b, const char *s)
{
    return ft_buf_put(b, s, strlen(s));
}

ft_status ft_buf_putc(ft_buf *b, int c)
{
    char ch = (char)c;
    return ft_buf_put(b, &ch, 1);
}

ft_status ft_buf_put_escaped(ft_buf *b, unsigned char c)
{
    if (c == '"' || c == '\\')
        return ft_buf_printf(b, "\\%c", c);
    if (c == '\n')
        return ft_buf_puts(b, "\\n");
    if (c < 0x20 || c == 0x7f)
        return ft_buf_printf(b, "\\x%02x", c);
    return ft_buf_putc(b, c);
}

ft_status ft_buf_printf(ft_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ft_status st = n < 0 ? ft_fail(FT_EINPUT, "a text could not be formatted") : ft_buf_reserve(b, (size_t)n);
    if (st == FT_OK) {
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
    return st;
}

void ft_buf_free(ft_buf *b)
{
    ft_free(b->p);
    b->p = NULL;
    b->n = b->cap = 0;
}
