/* The file room, lines: text files and their gzipped kin as a stream of lines or of CSV records.
 *
 * `.gz` is recognised by its bytes, not its name. Lines end in \n or \r\n; a UTF-8 byte order mark at the start is
 * skipped; a NUL byte or invalid UTF-8 is FT_EFORMAT with file and line. A line of over 64 MiB is FT_EFORMAT, never
 * cut. A truncated or damaged gzip stream is FT_EFORMAT at the place where it shows, after the lines before it. Legal
 * order: ft_lines_open, any mix of ft_lines_next / ft_csv_next / ft_lines_rest, ft_lines_close. Ownership: views belong
 * to the reader and live until its next call. A reader belongs to one thread.
 */
#ifndef FETTLE_FILE_LINES_H
#define FETTLE_FILE_LINES_H

#include "base/str.h"

typedef struct ft_lines ft_lines;
/* FT_EINPUT when there is no such file, FT_EIO when it cannot be read. */
ft_status ft_lines_open(ft_lines **out, const char *path);
void ft_lines_close(ft_lines *l); /* NULL is fine */
/* *more = false at the end. The view, without its line end, lives until the next call. */
ft_status ft_lines_next(ft_lines *l, ft_str *line, bool *more);
/* The rest as one text (JSON arrays), line ends as they stand: appended to out, whose max bounds it. */
ft_status ft_lines_rest(ft_lines *l, ft_buf *out);
/* Number of the line that was read last, of a CSV record its first; from 1. */
int64_t ft_lines_number(const ft_lines *l);
const char *ft_lines_path(const ft_lines *l);

/* One CSV / TSV record (RFC 4180 quotes; quoted fields may hold separators and line breaks, kept as they stand): fields
 * live until the next call. Blank lines are passed over. A quote inside an unquoted field is an ordinary character.
 * FT_EFORMAT with file and line for an unclosed quote or text behind one, or a record of over 64 MiB. */
ft_status ft_csv_next(ft_lines *l, char separator, const ft_str **fields, size_t *n, bool *more);

#endif
