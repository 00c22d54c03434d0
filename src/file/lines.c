/* Lines of text files, plain or gzipped.
 *
 *   plain   the window is the whole mapping: a line is a view into it, nothing is copied
 *   gzip    the window is a buffer that inflate fills; what is not consumed moves to its front
 *
 * Memory: for gzip one line of at most 64 MiB and 256 KiB behind it.
 */
#include "file/lines.h"

#include "base/os.h"
#include "file/lines_impl.h"

#include <string.h>
#include <zlib.h>

enum { MAX_LINE = FT_LINES__MAX, STEP = 1 << 18 };

struct ft_lines {
    ft_mapping file;
    const char *p; /* the window: [at, end) is not consumed */
    size_t at, end;
    bool whole;           /* nothing comes behind the window */
    int64_t number, next; /* of the line read last; of the line at `at` */
    ft_csv__record csv;
    bool gzip, inside; /* inside: within a member of the gzip file */
    z_stream z;
    ft_buf window; /* gzip only */
};

/* ---- filling the window ---- */

static ft_status damaged(const ft_lines *l, const char *what)
{
    size_t offset = l->file.size - l->z.avail_in;
    return ft_fail(FT_EFORMAT, "%s:%lld: the gzip stream %s (at byte %zu of the file)", l->file.path,
                   (long long)l->next, what, offset);
}

static bool gzip_magic(const uint8_t *p, size_t n)
{
    return n >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

/* zlib counts its input in 32 bits: files past 4 GiB are handed over in parts. */
static void feed(ft_lines *l)
{
    const uint8_t *end = l->file.data + l->file.size;
    if (l->z.avail_in == 0 && l->z.next_in < end)
        l->z.avail_in = (uInt)FT_MIN((size_t)(end - l->z.next_in), (size_t)1 << 30);
}

static size_t input_left(const ft_lines *l)
{
    return (size_t)(l->file.data + l->file.size - l->z.next_in);
}

/* Between members: the end of the file, another member, or nothing that belongs here. */
static ft_status next_member(ft_lines *l)
{
    if (input_left(l) == 0) {
        l->whole = true;
        return FT_OK;
    }
    if (!gzip_magic(l->z.next_in, input_left(l)))
        return damaged(l, "is followed by bytes that are no gzip");
    if (inflateReset(&l->z) != Z_OK)
        return ft_fail(FT_ENOMEM, "%s: zlib cannot start", l->file.path);
    l->inside = true;
    return FT_OK;
}

/* Inflates once into [n, cap) of the window. */
static ft_status inflate_some(ft_lines *l)
{
    feed(l);
    l->z.next_out = (Bytef *)l->window.p + l->window.n;
    l->z.avail_out = STEP;
    int r = inflate(&l->z, Z_NO_FLUSH);
    l->window.n += STEP - l->z.avail_out;
    if (r == Z_STREAM_END)
        l->inside = false;
    else if (r == Z_MEM_ERROR)
        return ft_fail(FT_ENOMEM, "%s: out of memory while inflating", l->file.path);
    else if (l->z.avail_out != STEP)
        return FT_OK; /* zlib says again what is wrong when the lines before it were taken */
    else if (r != Z_OK && r != Z_BUF_ERROR)
        return damaged(l, l->z.msg ? l->z.msg : "is damaged");
    else if (input_left(l) == 0)
        return damaged(l, "ends too early");
    return FT_OK;
}

/* More bytes behind the window, or whole = true. What is consumed is dropped: views into the window die here. */
static ft_status fill(ft_lines *l)
{
    memmove(l->window.p, l->window.p + l->at, l->end - l->at);
    l->window.n = l->end - l->at;
    l->at = 0;
    ft_status st = ft_buf_reserve(&l->window, STEP);
    if (st == FT_OK)
        st = l->inside ? inflate_some(l) : next_member(l);
    l->p = l->window.p;
    l->end = l->window.n;
    return st;
}

static ft_status start_gzip(ft_lines *l)
{
    l->window.max = (size_t)MAX_LINE + 2 * STEP;
    FT_RETURN(ft_buf_reserve(&l->window, STEP));
    l->p = l->window.p;
    l->z.next_in = (Bytef *)l->file.data;
    if (inflateInit2(&l->z, 15 + 16) != Z_OK)
        return ft_fail(FT_ENOMEM, "%s: zlib cannot start", l->file.path);
    l->gzip = l->inside = true;
    return FT_OK;
}

static ft_status skip_mark(ft_lines *l)
{
    while (!l->whole && l->end < 3)
        FT_RETURN(fill(l));
    if (l->end >= 3 && memcmp(l->p, "\xef\xbb\xbf", 3) == 0)
        l->at = 3;
    else if (l->end >= 2 && (memcmp(l->p, "\xff\xfe", 2) == 0 || memcmp(l->p, "\xfe\xff", 2) == 0))
        return ft_fail(FT_EFORMAT, "%s: the text is UTF-16, expected UTF-8: save it as UTF-8", l->file.path);
    return FT_OK;
}

ft_status ft_lines_open(ft_lines **out, const char *path)
{
    ft_status st = FT_OK;
    *out = NULL;
    ft_lines *l = ft_alloc(1, sizeof *l);
    if (!l)
        return FT_ENOMEM;
    l->next = 1;
    FT_TRY(ft_mapping_open(&l->file, path));
    if (gzip_magic(l->file.data, l->file.size))
        FT_TRY(start_gzip(l));
    else {
        l->p = (const char *)l->file.data;
        l->end = l->file.size;
        l->whole = true;
    }
    FT_TRY(skip_mark(l));
    *out = l;
done:
    if (st != FT_OK)
        ft_lines_close(l);
    return st;
}

void ft_lines_close(ft_lines *l)
{
    if (!l)
        return;
    if (l->gzip)
        inflateEnd(&l->z);
    ft_buf_free(&l->window);
    ft_csv__free(&l->csv);
    ft_mapping_close(&l->file);
    ft_free(l);
}

/* ---- text ---- */

/* Eight bytes at once while they are ASCII and none of them is 0. */
static bool plain8(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return !((v | (v - 0x0101010101010101u)) & 0x8080808080808080u);
}

static ft_status check_text(const ft_lines *l, const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    for (size_t i = 0; i < n;) {
        if (n - i >= 8 && plain8(p + i)) {
            i += 8;
            continue;
        }
        size_t k = ft_utf8_length(s + i, n - i);
        if (p[i] == 0)
            return ft_fail(FT_EFORMAT, "%s:%lld: a NUL byte at byte %zu of the line: not a text file", l->file.path,
                           (long long)l->next, i + 1);
        if (!k)
            return ft_fail(FT_EFORMAT, "%s:%lld: byte %zu of the line (0x%02x) is not UTF-8", l->file.path,
                           (long long)l->next, i + 1, p[i]);
        i += k;
    }
    return FT_OK;
}

ft_status ft_lines__raw(ft_lines *l, ft_str *line, bool *more)
{
    size_t seen = 0;
    const char *stop = NULL;
    for (;;) {
        if (l->end > l->at + seen)
            stop = memchr(l->p + l->at + seen, '\n', l->end - l->at - seen);
        seen = stop ? (size_t)(stop - l->p) + 1 - l->at : l->end - l->at;
        if (seen - (stop != NULL) > MAX_LINE)
            return ft_fail(FT_EFORMAT, "%s:%lld: a line of more than %d MiB", l->file.path, (long long)l->next,
                           MAX_LINE >> 20);
        if (stop || l->whole)
            break;
        FT_RETURN(fill(l));
    }
    *line = (ft_str){l->p ? l->p + l->at : "", seen};
    *more = seen > 0;
    if (*more) {
        FT_RETURN(check_text(l, line->p, line->n));
        l->number = l->next++;
        l->at += seen;
    }
    return FT_OK;
}

ft_status ft_lines_next(ft_lines *l, ft_str *line, bool *more)
{
    l->csv.first = 0;
    FT_RETURN(ft_lines__raw(l, line, more));
    line->n = ft_lines__content(*line);
    return FT_OK;
}

ft_status ft_lines_rest(ft_lines *l, ft_buf *out)
{
    ft_str line;
    bool more;
    l->csv.first = 0;
    for (;;) {
        FT_RETURN(ft_lines__raw(l, &line, &more));
        if (!more)
            return FT_OK;
        FT_RETURN(ft_context(ft_buf_put(out, line.p, line.n), "%s", l->file.path));
    }
}

int64_t ft_lines_number(const ft_lines *l)
{
    return l->csv.first ? l->csv.first : l->number;
}

int64_t ft_lines__line(const ft_lines *l)
{
    return l->number;
}

const char *ft_lines_path(const ft_lines *l)
{
    return l->file.path;
}

ft_csv__record *ft_lines__csv(ft_lines *l)
{
    return &l->csv;
}
