/* Metrics for answers that are JSON. A field is a member of the expected object at its top level; an expected answer
 * that is another JSON value, or plain text, is one field. Fields of all rows weigh the same. */
#include "score/metrics.h"

#include <math.h>

/* NULL when the text is no JSON or names a key twice. */
static json_t *parse(ft_str s)
{
    s = ft_text_trim(s);
    return s.n ? json_loadb(s.p, s.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL) : NULL;
}

/* 1 and 1.0 are the same number. */
static bool same_value(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    return a && b && json_equal(a, b);
}

typedef struct fields {
    size_t equal, all;
} fields;

static void count_fields(fields *f, const ft_scored_text *row)
{
    json_t *want = parse(row->expected), *got = parse(row->got);
    if (json_is_object(want)) {
        const char *key;
        json_t *value;
        json_object_foreach(want, key, value)
            f->equal += same_value(value, json_object_get(got, key));
        f->all += json_object_size(want);
    } else {
        f->equal += want ? same_value(want, got) : ft_str_eq(ft_text_trim(row->expected), ft_text_trim(row->got));
        f->all++;
    }
    json_decref(want);
    json_decref(got);
}

static double json_fields(const ft_scored_text *rows, size_t n)
{
    fields f = {0};
    for (size_t i = 0; i < n; i++)
        count_fields(&f, &rows[i]);
    return f.all ? (double)f.equal / (double)f.all : NAN;
}

static double json_valid(const ft_scored_text *rows, size_t n)
{
    size_t hits = 0;
    for (size_t i = 0; i < n; i++) {
        json_t *got = parse(rows[i].got);
        hits += got != NULL;
        json_decref(got);
    }
    return n ? (double)hits / (double)n : NAN;
}

const ft_metric ft_metric_json_fields = {
    .name = "json_fields",
    .source = FT_METRIC_TEXT,
    .higher_is_better = true,
    .of_text = json_fields,
    .help = "share of the expected JSON fields that the answer has with the same value; no JSON counts 0",
};
const ft_metric ft_metric_json_valid = {
    .name = "json_valid",
    .source = FT_METRIC_TEXT,
    .higher_is_better = true,
    .of_text = json_valid,
    .help = "share of answers that are valid JSON",
};
