/* Inside the export room: the pieces of report.html. */
#ifndef FETTLE_EXPORT_REPORT_H
#define FETTLE_EXPORT_REPORT_H

#include "export/export.h"

/* ---- report_log.c: the curves of a run ---- */
typedef struct ft_report__curve {
    double *x, *y; /* [n]; y may be NaN: a gap */
    size_t n, cap;
} ft_report__curve;
typedef struct ft_report__log {
    ft_report__curve loss, learning_rate, tokens_per_s; /* by step */
    ft_report__curve eval_loss;
    int64_t steps, best_step; /* last step; of the best evaluation, -1: none */
    double tokens, seconds;
} ft_report__log;
/* Reads log.jsonl; lines that are no step or evaluation are passed over, a last line cut short too. */
ft_status ft_report__log_read(ft_report__log *out, const char *path);
void ft_report__log_free(ft_report__log *l);

/* ---- report_chart.c: a chart as inline SVG ---- */
typedef struct ft_report__series {
    const char *label, *css_class; /* classes of the page's style: "s1", "s2"; with " dots" points are drawn */
    const ft_report__curve *curve;
    bool smooth;    /* also a smoothed line over the pale raw one */
    bool from_zero; /* the y axis begins at 0: a share of a second is noise */
} ft_report__series;
/* Series with no points are left out; nothing is written when none has two. */
ft_status ft_report__chart(ft_buf *out, const char *title, const ft_report__series *series, size_t n, int width, int height);

/* ---- report_reliability.c: confidences against shares of right answers ---- */
/* Title, a sentence of what was fitted, and the picture; nothing for NULL. */
ft_status ft_report__reliability(ft_buf *out, const ft_report_labels *labels);

/* ---- report_table.c ---- */
/* The row's value of a column as text ("0.8700", "5.6 MB", "-"). */
enum { FT_REPORT_MAX_ROWS = FT_MAX_METRICS + 5 };
typedef struct ft_report__row {
    const char *label, *help;
    const ft_metric *metric; /* NULL: agreement, divergence, survival, size or rows */
    int kind;                /* of those */
} ft_report__row;
size_t ft_report__rows(ft_report__row rows[FT_REPORT_MAX_ROWS], const ft_report_column *columns, size_t n);
void ft_report__cell(char buf[32], const ft_report__row *row, const ft_report_column *column);

/* ---- report.c ---- */
/* Text into HTML: & < > " ' escaped, bytes that are no UTF-8 and control characters shown as U+FFFD. */
ft_status ft_report__escape(ft_buf *out, const char *text);

#endif
