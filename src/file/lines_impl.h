/* Inside the file room: what csv.c needs of lines.c. */
#ifndef FETTLE_FILE_LINES_IMPL_H
#define FETTLE_FILE_LINES_IMPL_H

#include "file/lines.h"

enum { FT_LINES__MAX = 64 << 20 }; /* bytes of a line, and of a CSV record */

/* The record being built. Field i is text[ends[i - 1] .. ends[i]); views are made when the text moves no more. */
typedef struct ft_csv__record {
    ft_buf text;
    size_t *ends;
    ft_str *fields;
    size_t n, cap;
    int64_t first; /* line on which the record began, 0 when the last thing read was a line */
} ft_csv__record;

/* The next line with its line end. */
ft_status ft_lines__raw(ft_lines *l, ft_str *line, bool *more);
/* Length of a line without its line end. */
size_t ft_lines__content(ft_str line);
/* Number of the line that ft_lines__raw gave last. */
int64_t ft_lines__line(const ft_lines *l);
ft_csv__record *ft_lines__csv(ft_lines *l);
void ft_csv__free(ft_csv__record *r);

#endif
