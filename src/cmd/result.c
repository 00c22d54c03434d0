/* A result is built once, as a JSON object in the order of its members, and printed in one of two ways: as it is, or as
 * aligned text. The text form knows four shapes: a scalar ("key  value"), a list of scalars (joined by commas), an
 * object (a section of its own) and a list of objects (a table whose columns are the keys of its first row).
 */
#include "cmd/cmd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_WIDTH = 26, MAX_COLUMNS = 16, CELL = 96 };

static bool failed; /* an allocation while a result was built */

/* ---- building ---- */

static void set(json_t *o, const char *key, json_t *value)
{
    if (json_object_set_new(o, key, value) != 0)
        failed = true;
}

void ft_result_str(json_t *o, const char *key, ft_str value)
{
    json_t *s = json_stringn(value.p ? value.p : "", value.n);
    if (!s) { /* not UTF-8: as \u escapes of its bytes would be another text, say so */
        char text[64];
        snprintf(text, sizeof text, "(%zu bytes, not UTF-8)", value.n);
        s = json_string(text);
    }
    set(o, key, s);
}

void ft_result_text(json_t *o, const char *key, const char *value)
{
    if (value)
        ft_result_str(o, key, ft_str_of(value));
    else
        set(o, key, json_null());
}

void ft_result_int(json_t *o, const char *key, int64_t value)
{
    set(o, key, json_integer(value));
}

void ft_result_real(json_t *o, const char *key, double value)
{
    set(o, key, isfinite(value) ? json_real(value) : json_null());
}

void ft_result_bool(json_t *o, const char *key, bool value)
{
    set(o, key, json_boolean(value));
}

json_t *ft_result_object(json_t *o, const char *key)
{
    json_t *child = json_object();
    set(o, key, child);
    return child;
}

json_t *ft_result_list(json_t *o, const char *key)
{
    json_t *child = json_array();
    set(o, key, child);
    return child;
}

json_t *ft_result_row(json_t *list)
{
    json_t *row = json_object();
    if (json_array_append_new(list, row) != 0)
        failed = true;
    return row;
}

void ft_result_scores(json_t *o, const ft_scores *s)
{
    for (size_t i = 0; i < s->n; i++)
        ft_result_real(o, s->metric[i]->name, s->value[i]);
}

/* ---- as text ---- */

/* Columns that n bytes of UTF-8 take, one a code point. */
static int columns_of(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static ft_status pad(ft_buf *out, int n)
{
    return n > 0 ? ft_buf_printf(out, "%*s", n, "") : FT_OK;
}

/* A key as people read it: spaces for underscores, the unit's suffix dropped. */
static void label_of(const char *key, char *out, size_t size)
{
    snprintf(out, size, "%s", key);
    char *unit = strrchr(out, '_');
    if (unit && (strcmp(unit, "_bytes") == 0 || strcmp(unit, "_s") == 0) && !ft_ends(key, "_per_s"))
        *unit = 0;
    for (char *p = out; *p; p++)
        if (*p == '_')
            *p = ' ';
}

/* Four digits behind the point; large whole numbers as such, very small and very large ones with an exponent. */
static ft_status put_real(ft_buf *out, double v)
{
    bool whole = v == floor(v) && fabs(v) >= 100 && fabs(v) < 1e15;
    bool plain = v == 0 || (fabs(v) >= 1e-3 && fabs(v) < 1e5);
    return ft_buf_printf(out, whole ? "%.0f" : plain ? "%.4f" : "%.4g", v);
}

static ft_status put_scalar(ft_buf *out, const char *key, const json_t *v)
{
    char human[32];
    if (ft_ends(key, "_bytes") && json_is_number(v))
        return ft_buf_puts(out, ft_human_bytes(json_number_value(v), human));
    if (ft_ends(key, "_s") && !ft_ends(key, "_per_s") && json_is_number(v))
        return ft_buf_puts(out, ft_human_seconds(json_number_value(v), human));
    switch (json_typeof(v)) {
    case JSON_STRING:
        return ft_buf_put(out, json_string_value(v), json_string_length(v));
    case JSON_INTEGER:
        return ft_buf_printf(out, "%lld", (long long)json_integer_value(v));
    case JSON_REAL:
        return put_real(out, json_real_value(v));
    case JSON_NULL:
        return ft_buf_puts(out, "-");
    default:
        return ft_buf_puts(out, json_is_true(v) ? "yes" : "no");
    }
}

/* One line whatever the text holds: line breaks and tabs are shown as \n and \t. */
static ft_status put_cell(ft_buf *out, const char *key, const json_t *v)
{
    ft_buf raw = {0};
    ft_status st = put_scalar(&raw, key, v);
    for (size_t i = 0; st == FT_OK && i < raw.n; i++) {
        char c = raw.p[i];
        if (c == '\n' || c == '\t' || c == '\r')
            st = ft_buf_printf(out, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        else
            st = ft_buf_putc(out, (unsigned char)c < 0x20 ? ' ' : c);
    }
    ft_buf_free(&raw);
    return st;
}

typedef struct table {
    const json_t *rows;
    const char *keys[MAX_COLUMNS]; /* of the first row */
    int width[MAX_COLUMNS];
    size_t n;
    ft_buf cell; /* of the cell at hand */
} table;

/* The text of a cell into t->cell; row -1 is the heading. */
static ft_status fill_cell(table *t, long row, size_t column)
{
    char label[CELL];
    t->cell.n = 0;
    if (row < 0) {
        label_of(t->keys[column], label, sizeof label);
        return ft_buf_puts(&t->cell, label);
    }
    const json_t *v = json_object_get(json_array_get(t->rows, (size_t)row), t->keys[column]);
    FT_RETURN(ft_buf_puts(&t->cell, ""));
    return v ? put_cell(&t->cell, t->keys[column], v) : FT_OK;
}

static ft_status put_cells(ft_buf *out, table *t, long row)
{
    for (size_t c = 0; c < t->n; c++) {
        FT_RETURN(fill_cell(t, row, c));
        FT_RETURN(ft_buf_printf(out, "  %s", t->cell.p));
        FT_RETURN(pad(out, c + 1 < t->n ? t->width[c] - columns_of(t->cell.p) : 0));
    }
    return ft_buf_putc(out, '\n');
}

static ft_status put_table(ft_buf *out, const json_t *rows)
{
    table t = {.rows = rows};
    long n = (long)json_array_size(rows);
    const char *key;
    json_t *v;
    ft_status st = FT_OK;
    json_object_foreach(json_array_get(rows, 0), key, v)
    {
        if (t.n < MAX_COLUMNS)
            t.keys[t.n++] = key;
    }
    for (long r = -1; r < n; r++)
        for (size_t c = 0; c < t.n; c++) {
            FT_TRY(fill_cell(&t, r, c));
            t.width[c] = FT_MAX(t.width[c], columns_of(t.cell.p));
        }
    for (long r = -1; r < n; r++)
        FT_TRY(put_cells(out, &t, r));
done:
    ft_buf_free(&t.cell);
    return st;
}

static ft_status put_list(ft_buf *out, const char *key, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        FT_RETURN(i ? ft_buf_puts(out, ", ") : FT_OK);
        FT_RETURN(put_cell(out, key, json_array_get(list, i)));
    }
    return FT_OK;
}

/* Of the column that an object's labels stand in. */
static int label_width(const json_t *o)
{
    const char *key;
    json_t *v;
    char label[CELL];
    int width = LABEL_WIDTH;
    json_object_foreach((json_t *)o, key, v)
    {
        label_of(key, label, sizeof label);
        if (!json_is_object(v))
            width = FT_MAX(width, columns_of(label) + 2);
    }
    return width;
}

static ft_status put_object(ft_buf *out, const json_t *o)
{
    const char *key;
    json_t *v;
    char label[CELL];
    int width = label_width(o);
    json_object_foreach((json_t *)o, key, v)
    {
        label_of(key, label, sizeof label);
        if (json_is_object(v)) {
            FT_RETURN(ft_buf_printf(out, "\n%s\n", label));
            FT_RETURN(put_object(out, v));
            continue;
        }
        if (json_is_array(v) && json_is_object(json_array_get(v, 0))) {
            FT_RETURN(ft_buf_printf(out, "\n%s\n", label));
            FT_RETURN(put_table(out, v));
            continue;
        }
        FT_RETURN(ft_buf_printf(out, "  %s", label));
        FT_RETURN(pad(out, FT_MAX(width - columns_of(label), 2)));
        FT_RETURN(json_is_array(v) ? put_list(out, key, v) : put_cell(out, key, v));
        FT_RETURN(ft_buf_putc(out, '\n'));
    }
    return FT_OK;
}

/* ---- printing ---- */

static ft_status put_json(ft_buf *out, const json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(10));
    if (!text)
        return ft_fail(FT_ENOMEM, "no memory for the result");
    ft_status st = ft_buf_puts(out, text);
    free(text);
    return st == FT_OK ? ft_buf_putc(out, '\n') : st;
}

ft_status ft_result_print(const ft_args *a, json_t *o)
{
    ft_buf text = {0};
    ft_status st = FT_OK;
    if (failed || !o)
        st = ft_fail(FT_ENOMEM, "no memory for the result");
    else
        st = ft_args_given(a, "json") ? put_json(&text, o) : put_object(&text, o);
    if (st == FT_OK)
        st = ft_put(&text);
    ft_buf_free(&text);
    json_decref(o);
    return st;
}

void ft_result_line(json_t *o)
{
    ft_buf text = {0};
    if (o && put_json(&text, o) == FT_OK && ft_put(&text) == FT_OK)
        fflush(stdout);
    ft_buf_free(&text);
    json_decref(o);
}
