/* The final table: a column a model, a row a figure; as aligned text for a terminal and as JSON. */
#include "export/report.h"

#include "base/human.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROW_METRIC, ROW_AGREEMENT, ROW_KL, ROW_SURVIVAL, ROW_SIZE, ROW_ROWS };

static bool measured(const ft_report_column *columns, size_t n, const ft_metric *metric)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < columns[i].scores.n; k++)
            if (columns[i].scores.metric[k] == metric)
                return true;
    return false;
}

size_t ft_report__rows(ft_report__row rows[FT_REPORT_MAX_ROWS], const ft_report_column *columns, size_t n)
{
    size_t k = 0;
    bool agreement = false, kl = false, survival = false, size = false;
    for (size_t i = 0; ft_metrics[i]; i++)
        if (measured(columns, n, ft_metrics[i]))
            rows[k++] = (ft_report__row){ft_metrics[i]->name, ft_metrics[i]->help, ft_metrics[i], ROW_METRIC};
    for (size_t i = 0; i < n; i++) {
        agreement |= !isnan(columns[i].agreement);
        kl |= !isnan(columns[i].kl);
        survival |= columns[i].survival.n > 0;
        size |= columns[i].bytes > 0;
    }
    if (agreement)
        rows[k++] = (ft_report__row){"top1_agreement", "share of supervised tokens where the first choice is the tuned model's",
                                     NULL, ROW_AGREEMENT};
    if (kl)
        rows[k++] = (ft_report__row){"kl", "mean divergence of its next tokens from the tuned model's, in nats", NULL, ROW_KL};
    if (survival)
        rows[k++] = (ft_report__row){"survival", "cosine of the adapter's update with what it changes in the file", NULL,
                                     ROW_SURVIVAL};
    if (size)
        rows[k++] = (ft_report__row){"size", "bytes of the file", NULL, ROW_SIZE};
    rows[k++] = (ft_report__row){"rows", "rows scored", NULL, ROW_ROWS};
    return k;
}

static void number_text(char buf[32], double v)
{
    if (isnan(v))
        snprintf(buf, 32, "-");
    else
        snprintf(buf, 32, fabs(v) < 1000 ? "%.4f" : "%.4g", v);
}

void ft_report__cell(char buf[32], const ft_report__row *row, const ft_report_column *c)
{
    if (row->metric)
        number_text(buf, ft_scores_get(&c->scores, row->metric->name, NAN));
    else if (row->kind == ROW_AGREEMENT)
        number_text(buf, c->agreement);
    else if (row->kind == ROW_KL && c->kl > 0 && c->kl < 1e-3)
        snprintf(buf, 32, "%.1e", c->kl);
    else if (row->kind == ROW_KL)
        number_text(buf, c->kl);
    else if (row->kind == ROW_SURVIVAL)
        number_text(buf, ft_survival_cosine(&c->survival.total));
    else if (row->kind == ROW_SIZE && c->bytes)
        ft_human_bytes((double)c->bytes, buf);
    else if (row->kind == ROW_ROWS && c->scores.rows)
        snprintf(buf, 32, "%lld", (long long)c->scores.rows);
    else
        snprintf(buf, 32, "-");
}

/* Characters of a UTF-8 text, as a terminal counts most of them. */
static int width_of(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static ft_status put_right(ft_buf *out, const char *text, int width)
{
    return ft_buf_printf(out, "  %*s%s", FT_MAX(0, width - width_of(text)), "", text);
}

ft_status ft_report_table(ft_buf *out, const ft_report_column *columns, size_t n)
{
    enum { LABEL = 14, CELL = 10 };
    ft_report__row rows[FT_REPORT_MAX_ROWS];
    size_t k = ft_report__rows(rows, columns, n);
    char cell[32];
    int label = LABEL;
    for (size_t r = 0; r < k; r++)
        label = FT_MAX(label, (int)strlen(rows[r].label));
    FT_RETURN(ft_buf_printf(out, "%-*s", label, ""));
    for (size_t i = 0; i < n; i++)
        FT_RETURN(put_right(out, columns[i].title, CELL));
    FT_RETURN(ft_buf_putc(out, '\n'));
    for (size_t r = 0; r < k; r++) {
        FT_RETURN(ft_buf_printf(out, "%-*s", label, rows[r].label));
        for (size_t i = 0; i < n; i++) {
            ft_report__cell(cell, &rows[r], &columns[i]);
            FT_RETURN(put_right(out, cell, FT_MAX((int)CELL, width_of(columns[i].title))));
        }
        FT_RETURN(ft_buf_putc(out, '\n'));
    }
    return FT_OK;
}

/* JSON has no number for these. */
static json_t *number_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *json_of(const ft_report_column *c)
{
    json_t *o = json_object(), *survival = NULL;
    json_object_set_new(o, "title", json_string(c->title));
    for (size_t i = 0; i < c->scores.n; i++)
        json_object_set_new(o, c->scores.metric[i]->name, number_or_null(c->scores.value[i]));
    json_object_set_new(o, "top1_agreement", number_or_null(c->agreement));
    if (c->survival.n && ft_survival_json(&survival, &c->survival, 0) != FT_OK) {
        json_decref(o);
        return NULL;
    }
    json_object_set_new(o, "kl", number_or_null(c->kl));
    json_object_set_new(o, "rejected", c->rejected ? json_string(c->rejected) : json_null());
    json_object_set_new(o, "survival", survival ? survival : json_null());
    json_object_set_new(o, "bytes", c->bytes ? json_integer((json_int_t)c->bytes) : json_null());
    json_object_set_new(o, "rows", json_integer(c->scores.rows));
    return o;
}

ft_status ft_report_json(json_t **out, const ft_report_column *columns, size_t n)
{
    *out = json_array();
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(*out, json_of(&columns[i])) != 0) {
            json_decref(*out);
            *out = NULL;
            break;
        }
    return *out ? FT_OK : ft_fail(FT_ENOMEM, "no memory for the table of %zu models", n);
}
