/* Files into rows: JSONL, JSON array, CSV, TSV, plain text. The name (less .gz) says which; .json and unknown names are
 * told by their first character: '[' an array, '{' lines of JSON, anything else text.
 * One row at a time is held beside the dataset, except for a JSON array, which is parsed as a whole.
 */
#include "data/data_room.h"
#include "file/lines.h"

#include <stdio.h>
#include <string.h>

bool ft_data__blank(ft_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!memchr(" \t\r\n\v\f", s.p[i], 6))
            return false;
    return true;
}

/* The first character that is no white space, 0 when there is none. */
static char first_character(ft_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ft_data__blank((ft_str){s.p + i, 1}))
            return s.p[i];
    return 0;
}

/* ---- JSON ---- */

static ft_status read_json_line(ft_data__reader *rd, ft_str line)
{
    char name[600];
    json_t *row = NULL;
    snprintf(name, sizeof name, "%.500s:%lld", rd->source->path, (long long)rd->row);
    FT_RETURN(ft_json_text(&row, line, name));
    ft_status st = ft_data__row(rd, row);
    json_decref(row);
    return st;
}

static ft_status read_json_array(ft_data__reader *rd, ft_lines *l, ft_str first)
{
    ft_buf text = {.max = (size_t)1 << 32};
    json_t *rows = NULL;
    ft_status st = FT_OK;
    FT_TRY(ft_buf_put(&text, first.p, first.n));
    FT_TRY(ft_buf_putc(&text, '\n'));
    FT_TRY(ft_lines_rest(l, &text));
    FT_TRY(ft_json_text(&rows, (ft_str){text.p, text.n}, rd->source->path));
    ft_buf_free(&text);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        rd->row = (int64_t)i + 1;
        FT_TRY(ft_data__row(rd, json_array_get(rows, i)));
    }
done:
    json_decref(rows);
    ft_buf_free(&text);
    return st;
}

static ft_status read_json(ft_data__reader *rd, ft_lines *l)
{
    ft_str line;
    bool more;
    for (;;) {
        FT_RETURN(ft_lines_next(l, &line, &more));
        if (!more)
            return FT_OK;
        rd->row = ft_lines_number(l);
        if (ft_data__blank(line))
            continue;
        if (rd->rows == 0 && first_character(line) == '[')
            return read_json_array(rd, l, line);
        FT_RETURN(read_json_line(rd, line));
    }
}

/* ---- CSV and TSV ---- */

static ft_status keep_header(ft_data__reader *rd, const ft_str *fields, size_t n, char ***out)
{
    char **names = ft_alloc(n + 1, sizeof *names);
    *out = names;
    if (!names)
        return FT_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        if (!(names[i] = ft_strndup(fields[i].p, fields[i].n)))
            return FT_ENOMEM;
        for (size_t j = 0; j < i && *names[i]; j++)
            if (strcmp(names[i], names[j]) == 0)
                return ft_data__fail(rd, FT_EINPUT, "the header names the column \"%s\" twice", names[i]);
    }
    return FT_OK;
}

static ft_status read_record(ft_data__reader *rd, char *const *names, size_t columns, const ft_str *fields, size_t n)
{
    if (n != columns)
        return ft_data__fail(rd, FT_EINPUT, "%zu fields, the header has %zu columns", n, columns);
    json_t *row = json_object();
    ft_status st = row ? FT_OK : ft_fail(FT_ENOMEM, "out of memory");
    for (size_t i = 0; i < n && st == FT_OK; i++)
        if (json_object_set_new_nocheck(row, names[i], json_stringn_nocheck(fields[i].p, fields[i].n)) != 0)
            st = ft_fail(FT_ENOMEM, "out of memory");
    if (st == FT_OK)
        st = ft_data__row(rd, row);
    json_decref(row);
    return st;
}

static ft_status read_separated(ft_data__reader *rd, ft_lines *l, char separator)
{
    const ft_str *fields;
    char **names = NULL;
    size_t n, columns = 0;
    bool more = false;
    ft_status st = FT_OK;
    for (;;) {
        FT_TRY(ft_csv_next(l, separator, &fields, &n, &more));
        if (!more)
            break;
        rd->row = ft_lines_number(l);
        if (n == 1 && ft_data__blank(fields[0]))
            continue;
        if (names) {
            FT_TRY(read_record(rd, names, columns, fields, n));
            continue;
        }
        columns = n;
        FT_TRY(keep_header(rd, fields, n, &names));
    }
done:
    for (size_t i = 0; names && i < columns; i++)
        ft_free(names[i]);
    ft_free(names);
    return st;
}

static ft_status read_csv(ft_data__reader *rd, ft_lines *l)
{
    return read_separated(rd, l, ',');
}

static ft_status read_tsv(ft_data__reader *rd, ft_lines *l)
{
    return read_separated(rd, l, '\t');
}

/* ---- plain text ---- */

static ft_status text_example(ft_data__reader *rd, ft_str text)
{
    if (ft_data__blank(text))
        return FT_OK;
    rd->n = 0;
    FT_RETURN(ft_data__message(rd, FT_USER, text, true));
    return ft_data__example(rd, FT_TEXT);
}

static ft_status read_text_lines(ft_data__reader *rd, ft_lines *l)
{
    ft_str line;
    bool more;
    for (;;) {
        FT_RETURN(ft_lines_next(l, &line, &more));
        if (!more)
            return FT_OK;
        rd->row = ft_lines_number(l);
        FT_RETURN(text_example(rd, line));
    }
}

/* Blocks of lines between blank ones; the row is the block's first line. */
static ft_status read_paragraphs(ft_data__reader *rd, ft_lines *l)
{
    ft_str line;
    bool more = true;
    rd->text.n = 0;
    while (more) {
        FT_RETURN(ft_lines_next(l, &line, &more));
        if (!more || ft_data__blank(line)) {
            FT_RETURN(text_example(rd, (ft_str){rd->text.p, rd->text.n}));
            rd->text.n = 0;
            continue;
        }
        if (rd->text.n)
            FT_RETURN(ft_buf_putc(&rd->text, '\n'));
        else
            rd->row = ft_lines_number(l);
        FT_RETURN(ft_buf_put(&rd->text, line.p, line.n));
    }
    return FT_OK;
}

static ft_status read_whole(ft_data__reader *rd, ft_lines *l)
{
    rd->text.n = 0;
    rd->row = 1;
    FT_RETURN(ft_lines_rest(l, &rd->text));
    return text_example(rd, (ft_str){rd->text.p, rd->text.n});
}

static ft_status read_text(ft_data__reader *rd, ft_lines *l)
{
    static const struct {
        const char *name;
        ft_status (*read)(ft_data__reader *rd, ft_lines *l);
    } splits[] = {{"line", read_text_lines}, {"paragraph", read_paragraphs}, {"file", read_whole}};
    const ft_data_source *s = rd->source;
    const char *split = s->split ? s->split : "line";
    if (s->prompt_template || s->completion_template ||
        (s->format && strcmp(s->format, "auto") && strcmp(s->format, "text")))
        return ft_fail(FT_EINPUT, "%s: a text file has the format text and takes no templates", s->path);
    for (size_t i = 0; ft_data__formats[i]; i++)
        if (strcmp(ft_data__formats[i]->name, "text") == 0)
            rd->format = ft_data__formats[i];
    for (size_t i = 0; i < FT_COUNT(splits); i++)
        if (strcmp(split, splits[i].name) == 0)
            return splits[i].read(rd, l);
    return ft_fail(FT_EINPUT, "%s: split is \"%s\", expected line, paragraph or file", s->path, split);
}

/* ---- which one ---- */

typedef ft_status (*read_fn)(ft_data__reader *rd, ft_lines *l);

static ft_status first_of_file(const char *path, char *out)
{
    ft_lines *l;
    ft_str line;
    bool more = true;
    ft_status st = FT_OK;
    *out = 0;
    FT_RETURN(ft_lines_open(&l, path));
    while (!*out && more) {
        FT_TRY(ft_lines_next(l, &line, &more));
        *out = more ? first_character(line) : 0;
    }
done:
    ft_lines_close(l);
    return st;
}

static ft_status choose(const char *path, read_fn *out)
{
    static const struct {
        const char *suffix;
        read_fn read;
    } names[] = {{".jsonl", read_json}, {".ndjson", read_json}, {".json", read_json},
                 {".csv", read_csv},    {".tsv", read_tsv},     {".tab", read_tsv},
                 {".txt", read_text},   {".text", read_text},   {".md", read_text}};
    char first, *stem = ft_strndup(path, strlen(path) - (ft_ends(path, ".gz") ? 3 : 0));
    *out = NULL;
    if (!stem)
        return FT_ENOMEM;
    for (size_t i = 0; i < FT_COUNT(names); i++)
        if (ft_ends(stem, names[i].suffix))
            *out = names[i].read;
    ft_free(stem);
    if (*out)
        return FT_OK;
    FT_RETURN(first_of_file(path, &first));
    *out = first == '{' || first == '[' ? read_json : read_text;
    return FT_OK;
}

static ft_status read_source(ft_data__reader *rd)
{
    ft_lines *l = NULL;
    read_fn read;
    FT_RETURN(choose(rd->source->path, &read));
    FT_RETURN(ft_lines_open(&l, rd->source->path));
    ft_status st = read(rd, l);
    ft_lines_close(l);
    if (st == FT_OK && rd->rows == 0)
        return ft_fail(FT_EINPUT, "%s: there are no rows in it", rd->source->path);
    return st;
}

ft_status ft_dataset_read(ft_dataset *d, const ft_data_source *source, const char **format)
{
    ft_data__reader rd = {.d = d, .source = source, .text = {.max = (size_t)1 << 32}};
    ft_status st = FT_OK;
    FT_TRY(ft_data__init(d));
    FT_TRY(ft_data__add_file(d, source->path, &rd.file));
    st = read_source(&rd);
    if (st == FT_EFORMAT) /* rows are the user's own: a row that cannot be read is a wrong request, no damaged file */
        st = FT_EINPUT;
    if (st != FT_OK)
        goto done;
    d->formats[rd.file] = rd.format->name;
    if (format)
        *format = rd.format->name;
done:
    ft_free(rd.messages);
    ft_buf_free(&rd.text);
    return st;
}
