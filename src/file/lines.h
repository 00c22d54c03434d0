/* The file room, lines: text files and their gzipped kin as a stream of lines or of CSV records.
 *
 * `.gz` is recognised by its bytes, not its name. Lines end in \n or \r\n; a UTF-8 byte order mark at the start is
 * skipped; a NUL byte or invalid UTF-8 is FT_EFORMAT with file and line. A line of over 64 MiB is FT_EFORMAT, never cut.
 * A truncated or damaged gzip stream is FT_EFORMAT at the place where it shows, after the lines before it.
 */
#ifndef FETTLE_FILE_LINES_H
#define FETTLE_FILE_LINES_H

#include "base/str.h"

typedef struct ft_lines ft_lines;
ft_status ft_lines_open(ft_lines **out, const char *path);
void ft_lines_close(ft_lines *l);
/* *more = false at the end. The view lives until the next call. Line numbers count from 1. */
ft_status ft_lines_next(ft_lines *l, ft_str *line, bool *more);
/* The rest as one text (JSON arrays): appended to out. */
ft_status ft_lines_rest(ft_lines *l, ft_buf *out);
int64_t ft_lines_number(const ft_lines *l);
const char *ft_lines_path(const ft_lines *l);

/* One CSV / TSV record (RFC 4180 quotes; quoted fields may hold line breaks): fields live until the next call.
 * FT_EFORMAT with file and line for an unclosed quote or text behind one. */
ft_status ft_csv_next(ft_lines *l, char separator, const ft_str **fields, size_t *n, bool *more);

#endif
