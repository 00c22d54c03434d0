/* CSV and TSV records out of lines.
 *
 *   record = field *(separator field) line-end
 *   field  = plain characters | '"' *(character | '""') '"'
 *
 * Fields are copied, unquoted, into one buffer of the reader: at most 64 MiB.
 */
#include "file/lines_impl.h"

#include <string.h>

size_t ft_lines__content(ft_str line)
{
    size_t n = line.n;
    if (n && line.p[n - 1] == '\n')
        n -= n > 1 && line.p[n - 2] == '\r' ? 2 : 1;
    return n;
}

void ft_csv__free(ft_csv__record *r)
{
    ft_buf_free(&r->text);
    ft_free(r->ends);
    ft_free(r->fields);
}

static ft_status fail_at(const ft_lines *l, int64_t line, const char *what)
{
    return ft_fail(FT_EFORMAT, "%s:%lld: %s", ft_lines_path(l), (long long)line, what);
}

static ft_status add_text(const ft_lines *l, ft_csv__record *r, const char *p, size_t n)
{
    if (n > FT_LINES__MAX - r->text.n)
        return fail_at(l, r->first, "a record of more than 64 MiB");
    return ft_buf_put(&r->text, p, n);
}

static ft_status end_field(ft_csv__record *r)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 16;
        size_t *ends = ft_resize(r->ends, cap, sizeof *ends);
        if (ends)
            r->ends = ends;
        ft_str *fields = ends ? ft_resize(r->fields, cap, sizeof *fields) : NULL;
        if (!fields)
            return FT_ENOMEM;
        r->fields = fields;
        r->cap = cap;
    }
    r->ends[r->n++] = r->text.n;
    return FT_OK;
}

/* The quoted field whose opening quote was passed: *line is what follows it, and then what follows the closing quote.
 * A quoted field that goes on past the line takes the next one. */
static ft_status quoted_field(ft_lines *l, ft_csv__record *r, ft_str *line)
{
    int64_t opened = ft_lines__line(l);
    for (;;) {
        const char *quote = line->n ? memchr(line->p, '"', line->n) : NULL;
        size_t n = quote ? (size_t)(quote - line->p) : line->n;
        FT_RETURN(add_text(l, r, line->p, n));
        if (!quote) {
            bool more;
            FT_RETURN(ft_lines__raw(l, line, &more));
            if (!more)
                return fail_at(l, opened, "a quote is opened here and never closed");
            continue;
        }
        *line = (ft_str){quote + 1, line->n - n - 1};
        if (!line->n || *line->p != '"')
            return FT_OK;
        FT_RETURN(add_text(l, r, "\"", 1));
        *line = (ft_str){line->p + 1, line->n - 1};
    }
}

/* All fields of the record that begins with this line. */
static ft_status read_record(ft_lines *l, ft_csv__record *r, char separator, ft_str line)
{
    for (;;) {
        if (line.n && *line.p == '"') {
            line = (ft_str){line.p + 1, line.n - 1};
            FT_RETURN(quoted_field(l, r, &line));
            if (ft_lines__content(line) && *line.p != separator)
                return fail_at(l, ft_lines__line(l),
                               "text behind a closing quote, expected a separator or the line's end");
        } else {
            size_t content = ft_lines__content(line);
            const char *stop = content ? memchr(line.p, separator, content) : NULL;
            size_t n = stop ? (size_t)(stop - line.p) : content;
            FT_RETURN(add_text(l, r, line.p, n));
            line = (ft_str){line.p + n, line.n - n};
        }
        FT_RETURN(end_field(r));
        if (!ft_lines__content(line))
            return FT_OK;
        line = (ft_str){line.p + 1, line.n - 1};
    }
}

ft_status ft_csv_next(ft_lines *l, char separator, const ft_str **fields, size_t *n, bool *more)
{
    ft_csv__record *r = ft_lines__csv(l);
    ft_str line;
    *fields = NULL;
    *n = 0;
    do
        FT_RETURN(ft_lines__raw(l, &line, more));
    while (*more && !ft_lines__content(line));
    if (!*more)
        return FT_OK;
    r->text.n = r->n = 0;
    r->first = ft_lines__line(l);
    FT_RETURN(read_record(l, r, separator, line));
    for (size_t i = 0, at = 0; i < r->n; at = r->ends[i++])
        r->fields[i] = (ft_str){r->text.p + at, r->ends[i] - at};
    *fields = r->fields;
    *n = r->n;
    return FT_OK;
}
