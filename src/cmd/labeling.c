#include "cmd/labeling.h"

#include <math.h>
#include <string.h>

enum { MAX_BYTES = 1 << 26 };

const char ft_labeling_file[] = "labels.json";

/* ---- what is said of them ---- */

void ft_labeling_check(const ft_labeling *l, const char *what, const ft_rows *rows)
{
    int64_t outside = 0, unlike = ft_labels_unlike(&l->labels, rows);
    for (size_t i = 0; i < rows->n; i++)
        outside += ft_labels_find(&l->labels, rows->p[i].answer) < 0;
    if (outside)
        ft_note(FT_WARN, "%s: %lld of %zu rows have an answer that is no label: they count as wrong", what, (long long)outside,
                rows->n);
    if (unlike)
        ft_note(FT_NOTE, "%s: in %lld of %zu rows the label is made of other tokens than behind the first training row's prompt",
                what, (long long)unlike, rows->n);
}

const char *ft_labeling_line(const ft_labeling *l, char buf[512])
{
    const ft_label *most = l->labels.p, *least = l->labels.p;
    for (size_t i = 1; i < l->labels.n; i++) {
        const ft_label *p = &l->labels.p[i];
        most = p->rows > most->rows ? p : most;
        least = p->rows <= least->rows ? p : least;
    }
    snprintf(buf, 512, "%zu labels, from %lld training rows (%.80s) to %lld (%.80s)", l->labels.n, (long long)most->rows,
             most->text.p, (long long)least->rows, least->text.p);
    return buf;
}

void ft_labeling_put(json_t *o, const ft_labeling *l, size_t most)
{
    if (!l->labels.n)
        return;
    ft_result_int(o, "label_count", (int64_t)l->labels.n);
    json_t *list = ft_result_list(o, "labels");
    for (size_t i = 0; i < l->labels.n && i < most; i++) {
        json_t *row = ft_result_row(list);
        ft_result_str(row, "label", l->labels.p[i].text);
        ft_result_int(row, "train_rows", l->labels.p[i].rows);
    }
}

/* ---- fitting ---- */

static ft_status fit_bias(ft_labeling *l, const ft_label_scores *s)
{
    bool helps;
    if (!(l->bias = ft_alloc(s->labels, sizeof *l->bias)))
        return FT_ENOMEM;
    FT_RETURN(ft_confidence_fit_bias(l->bias, &helps, s));
    if (!helps) {
        ft_note(FT_NOTE, "labels: a correction for each label does not lower the loss: left out");
        ft_free(l->bias);
        l->bias = NULL;
    }
    l->confidence.bias = l->bias;
    return FT_OK;
}

static ft_status fit(ft_labeling *l, const ft_label_scores *s, const ft_labeling_fit *f)
{
    l->confidence = (ft_confidence){.temperature = 1, .threshold = f->least};
    ft_free(l->bias);
    l->bias = NULL;
    if (f->bias)
        FT_RETURN(fit_bias(l, s));
    if (f->temperature)
        FT_RETURN(ft_confidence_fit(&l->confidence.temperature, s, l->bias));
    if (f->precision > 0)
        FT_RETURN(ft_confidence_threshold(&l->confidence.threshold, s, &l->confidence, f->precision));
    if (isinf(l->confidence.threshold))
        ft_note(FT_WARN, "labels: no confidence gives a precision of %g on the %zu rows of %s: nothing is answered", f->precision,
                s->n, f->name);
    if (f->temperature || f->bias || f->precision > 0) {
        l->fitted_on = f->name;
        l->rows = (int64_t)s->n;
    }
    return FT_OK;
}

ft_status ft_labeling_fit_to(ft_labeling *l, ft_model *m, const ft_labeling_fit *f, const ft_score_options *o)
{
    size_t n = f->rows->n, count;
    if (!ft_mul(n, l->labels.n, &count))
        return ft_fail(FT_ENOMEM, "%zu labels of %zu rows are too many", l->labels.n, n);
    double *scores = ft_alloc(count, sizeof *scores);
    int64_t *expected = ft_alloc(n, sizeof *expected);
    ft_status st = scores && expected ? ft_score_labels(scores, m, f->rows, o) : FT_ENOMEM;
    for (size_t i = 0; st == FT_OK && i < n; i++)
        expected[i] = ft_labels_find(&l->labels, f->rows->p[i].answer);
    if (st == FT_OK)
        st = fit(l, &(ft_label_scores){.scores = scores, .expected = expected, .n = n, .labels = l->labels.n}, f);
    ft_free(scores);
    ft_free(expected);
    return st;
}

void ft_labeling_add(ft_labeling *l, const ft_scored_label *s)
{
    bool right = s->fitted.label == s->expected;
    ft_reliability_add(&l->before, s->plain.confidence, s->plain.label == s->expected);
    ft_reliability_add(&l->after, s->fitted.confidence, right);
    l->answered += !s->abstained;
    l->answered_right += right && !s->abstained;
}

/* ---- as JSON ---- */

static ft_status put_labels(json_t *o, const ft_labeling *l)
{
    json_t *list = ft_result_list(o, "labels");
    for (size_t i = 0; i < l->labels.n; i++) {
        const ft_label *p = &l->labels.p[i];
        json_t *row = ft_result_row(list);
        ft_result_str(row, "text", p->text);
        ft_result_str(row, "said", p->said);
        ft_result_int(row, "rows", p->rows);
        if (l->bias)
            ft_result_real(row, "bias", l->bias[i]);
    }
    ft_result_str(o, "lead", l->labels.lead);
    ft_result_str(o, "trail", l->labels.trail);
    ft_result_real(o, "temperature", l->confidence.temperature);
    ft_result_real(o, "threshold", l->confidence.threshold); /* infinite: null */
    return FT_OK;
}

static void put_reliability(json_t *o, const char *key, const ft_reliability *r)
{
    json_t *list = ft_result_list(o, key);
    for (size_t i = 0; i < FT_RELIABILITY_BINS; i++) {
        const ft_reliability_bin *b = &r->bin[i];
        json_t *row = ft_result_row(list);
        ft_result_real(row, "from", (double)i / FT_RELIABILITY_BINS);
        ft_result_int(row, "rows", b->rows);
        ft_result_int(row, "right", b->right);
        ft_result_real(row, "confidence", b->rows ? b->confidence / (double)b->rows : NAN);
    }
}

ft_status ft_labeling_json(json_t **out, const ft_labeling *l)
{
    json_t *o = json_object();
    FT_RETURN(put_labels(o, l));
    if (l->rows) {
        ft_result_text(o, "fitted_on", l->fitted_on);
        ft_result_int(o, "fitted_rows", l->rows);
    }
    if (l->after.rows) {
        double rows = (double)l->after.rows;
        ft_result_real(o, "ece_before", ft_reliability_ece(&l->before));
        ft_result_real(o, "ece", ft_reliability_ece(&l->after));
        ft_result_real(o, "coverage", (double)l->answered / rows);
        ft_result_real(o, "answered_accuracy", l->answered ? (double)l->answered_right / (double)l->answered : NAN);
        put_reliability(o, "reliability_before", &l->before);
        put_reliability(o, "reliability", &l->after);
    }
    *out = o;
    return FT_OK;
}

ft_status ft_labeling_write(const ft_labeling *l, const char *path)
{
    json_t *o = json_object();
    ft_status st = put_labels(o, l);
    if (st == FT_OK)
        st = ft_json_write(o, path);
    json_decref(o);
    return st;
}

/* ---- reading ---- */

static ft_status read_text(ft_str *out, ft_labels *l, const json_t *o, const char *key, const char *where)
{
    const char *text;
    FT_RETURN(ft_json_str(o, key, where, "", &text));
    out->n = strlen(text);
    out->p = ft_arena_strndup(l->arena, text, out->n);
    return out->p ? FT_OK : FT_ENOMEM;
}

static ft_status read_label(ft_labeling *l, const json_t *o, const char *where)
{
    const char *text;
    double bias;
    FT_RETURN(ft_json_str(o, "text", where, "", &text));
    FT_RETURN(ft_labels_add(&l->labels, ft_str_of(text)));
    size_t at = l->labels.n - 1;
    FT_RETURN(ft_json_i64(o, "rows", where, 0, &l->labels.p[at].rows));
    FT_RETURN(read_text(&l->labels.p[at].said, &l->labels, o, "said", where));
    FT_RETURN(ft_json_f64(o, "bias", where, NAN, &bias));
    if (isnan(bias))
        return FT_OK;
    if (!l->bias && !(l->bias = ft_alloc(FT_MAX_LABELS, sizeof *l->bias)))
        return FT_ENOMEM;
    l->bias[at] = bias;
    return FT_OK;
}

static ft_status read_json(ft_labeling *l, const json_t *in, const char *where)
{
    const json_t *list = json_object_get(in, "labels"), *item;
    size_t i;
    if (!json_is_array(list) || json_array_size(list) < 2)
        return ft_fail(FT_EFORMAT, "%s: expected a list of two or more \"labels\"", where);
    json_array_foreach(list, i, item)
        FT_RETURN(ft_context(read_label(l, item, where), "%s: label %zu", where, i + 1));
    FT_RETURN(read_text(&l->labels.lead, &l->labels, in, "lead", where));
    FT_RETURN(read_text(&l->labels.trail, &l->labels, in, "trail", where));
    FT_RETURN(ft_json_f64(in, "temperature", where, 1, &l->confidence.temperature));
    double never = json_is_null(json_object_get(in, "threshold")) ? INFINITY : 0;
    FT_RETURN(ft_json_f64(in, "threshold", where, never, &l->confidence.threshold));
    l->confidence.bias = l->bias;
    if (!(l->confidence.temperature > 0) || !isfinite(l->confidence.temperature))
        return ft_fail(FT_EFORMAT, "%s: temperature %g, expected a number above 0", where, l->confidence.temperature);
    return FT_OK;
}

static ft_status read_lines(ft_labeling *l, const char *path)
{
    ft_buf text = {0};
    ft_status st = FT_OK;
    FT_TRY(ft_read_file(&text, path, MAX_BYTES));
    for (char *save = NULL, *p = text.n ? strtok_r(text.p, "\r\n", &save) : NULL; p; p = strtok_r(NULL, "\r\n", &save))
        if (ft_text_trim(ft_str_of(p)).n)
            FT_TRY(ft_context(ft_labels_add(&l->labels, ft_str_of(p)), "%s", path));
    if (l->labels.n < 2)
        st = ft_fail(FT_EINPUT, "%s: found %zu labels, expected two or more, one a line", path, l->labels.n);
done:
    ft_buf_free(&text);
    return st;
}

ft_status ft_labeling_read(ft_labeling *l, const char *path)
{
    json_t *in = NULL;
    char *inside = ft_is_dir(path) ? ft_path_join(path, ft_labeling_file) : ft_strdup(path);
    ft_status st = inside ? FT_OK : FT_ENOMEM;
    *l = (ft_labeling){.confidence = {.temperature = 1}};
    FT_TRY(st);
    if (!ft_ends(inside, ".json")) {
        st = read_lines(l, inside);
        goto done;
    }
    FT_TRY(ft_json_file(&in, inside, MAX_BYTES));
    st = read_json(l, in, inside);
done:
    json_decref(in);
    ft_free(inside);
    if (st != FT_OK)
        ft_labeling_free(l);
    return st;
}

ft_status ft_labeling_of_args(ft_labeling *l, const ft_args *a, bool own)
{
    const char *given = ft_args_text(a, "labels"), *model = ft_args_text(a, "MODEL");
    *l = (ft_labeling){.confidence = {.temperature = 1}};
    if (given)
        return ft_context(ft_labeling_read(l, given), "--labels");
    return own && ft_is_dir(model) && ft_dir_holds(model, ft_labeling_file) ? ft_labeling_read(l, model) : FT_OK;
}

void ft_labeling_free(ft_labeling *l)
{
    ft_labels_free(&l->labels);
    ft_free(l->bias);
    *l = (ft_labeling){0};
}
