/* Scoring: which passes the metrics need, their results into ft_scores. The passes are in loss.c and generate.c. */
#include "score/metrics.h"
#include "score/passes.h"

#include "base/os.h"

#include <math.h>
#include <stdlib.h>

ft_status ft_score__tick(ft_score__clock *c, size_t done)
{
    double now = ft_now_s();
    if (!c->options->progress || (done > 0 && done < c->total && now - c->last < 1))
        return FT_OK;
    c->last = now;
    if (!c->options->progress(c->options->ctx, c->what, done, c->total))
        return ft_fail(FT_ESTOPPED, "scoring stopped after %zu of %zu rows (%s)", done, c->total, c->what);
    return FT_OK;
}

static int longest_first(const void *a, const void *b, void *rows)
{
    const ft_row *r = ((const ft_rows *)rows)->p;
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    if (r[x].n != r[y].n)
        return r[x].n > r[y].n ? -1 : 1;
    return (x > y) - (x < y);
}

void ft_score__by_length(int64_t *order, const ft_rows *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        order[i] = (int64_t)i;
    qsort_r(order, n, sizeof *order, longest_first, (void *)rows);
}

static bool wants(const ft_score_options *o, ft_metric_source source)
{
    for (size_t i = 0; i < o->n_metrics; i++)
        if (o->metrics[i]->source == source)
            return true;
    return source == FT_METRIC_TEXT ? o->on_text != NULL : o->argmax || o->kl;
}

static ft_status put(ft_scores *out, const ft_metric *metric, double value)
{
    if (isnan(value) && !metric->of_labels)
        return ft_fail(FT_ENUMERIC, "%s over %lld rows is not a number", metric->name, (long long)out->rows);
    out->metric[out->n] = metric;
    out->value[out->n++] = value;
    return FT_OK;
}

/* FT_EINPUT for a metric that rows of this kind cannot have. */
static ft_status check_metrics(const ft_rows *rows, const ft_score_options *o)
{
    for (size_t i = 0; i < o->n_metrics; i++) {
        const ft_metric *m = o->metrics[i];
        bool vectors = m->source == FT_METRIC_VECTORS;
        if (rows->vectors ? !vectors && !m->any_rows : vectors)
            return ft_fail(FT_EINPUT, "%s needs rows %s", m->name, vectors ? "for vectors" : "with answers to go on with");
        if (vectors && m->of_scores != rows->scored)
            return ft_fail(FT_EINPUT, "%s needs pairs %s", m->name, m->of_scores ? "with a score" : "of an anchor and its positive");
        if (rows->vectors && m->any_rows && !o->objective)
            return ft_fail(FT_EINPUT, "%s of rows for vectors is that of a recipe's loss, and there is none", m->name);
        if (m->of_labels && !o->labels)
            return ft_fail(FT_EINPUT, "%s needs labels", m->name);
    }
    return FT_OK;
}

static ft_status run_vectors(ft_scores *out, ft_model *m, const ft_rows *rows, const ft_score_options *o)
{
    ft_score__compared v = {0};
    ft_status st = FT_OK;
    FT_TRY(ft_score__vectors(&v, m, rows, (size_t)out->rows, o));
    for (size_t i = 0; i < o->n_metrics; i++) {
        const ft_metric *metric = o->metrics[i];
        FT_TRY(put(out, metric, metric->of_vectors ? metric->of_vectors(&v.scored) : metric->of_loss(&v.loss)));
    }
    out->supervised_tokens = out->rows;
done:
    ft_score__compared_free(&v);
    return st;
}

static ft_status run(ft_scores *out, ft_model *m, const ft_tokenizer *tok, const ft_rows *rows, const ft_score_options *o)
{
    size_t n = (size_t)out->rows;
    ft_loss loss = {0};
    ft_score__texts texts = {0};
    ft_status st = FT_OK;
    if (wants(o, FT_METRIC_LOSS))
        FT_TRY(ft_score__loss(&loss, m, rows, n, o));
    if (wants(o, FT_METRIC_TEXT))
        FT_TRY(o->labels ? ft_score__label_texts(&texts, m, rows, n, o) : ft_score__generate(&texts, m, tok, rows, n, o));
    for (size_t i = 0; i < o->n_metrics; i++) {
        const ft_metric *metric = o->metrics[i];
        bool of_loss = metric->source == FT_METRIC_LOSS;
        FT_TRY(put(out, metric, of_loss ? metric->of_loss(&loss) : metric->of_text(texts.rows, n)));
    }
    for (size_t i = 0; o->on_text && i < n; i++)
        o->on_text(o->ctx, i, &texts.rows[i]);
    out->supervised_tokens = loss.count;
    out->generated_tokens = texts.tokens;
done:
    ft_score__texts_free(&texts);
    return st;
}

ft_status ft_score(ft_scores *out, ft_model *m, const ft_tokenizer *tok, const ft_rows *rows, const ft_score_options *o)
{
    double start = ft_now_s();
    *out = (ft_scores){.rows = (int64_t)(o->max_rows ? FT_MIN(o->max_rows, rows->n) : rows->n)};
    FT_RETURN(rows->vectors ? ft_model_check_pooling(m) : ft_model_check_head(m));
    if (out->rows == 0)
        return ft_fail(FT_EINPUT, "there are no rows to score");
    if (o->n_metrics > FT_MAX_METRICS)
        return ft_fail(FT_EINPUT, "%zu metrics, at most %d", o->n_metrics, FT_MAX_METRICS);
    FT_RETURN(check_metrics(rows, o));
    ft_status st = rows->vectors ? run_vectors(out, m, rows, o) : run(out, m, tok, rows, o);
    out->seconds = ft_now_s() - start;
    return st;
}

ft_status ft_score_labels(double *scores, ft_model *m, const ft_rows *rows, const ft_score_options *o)
{
    FT_RETURN(ft_model_check_head(m));
    return ft_score__labels(scores, m, rows, o->max_rows ? FT_MIN(o->max_rows, rows->n) : rows->n, o);
}

ft_status ft_score_measure(size_t *bytes, ft_model *m, const ft_rows *rows, const ft_score_options *o)
{
    size_t loss = 0, texts = 0, n = o->max_rows ? FT_MIN(o->max_rows, rows->n) : rows->n;
    if (rows->vectors)
        return ft_score__measure_vectors(bytes, m, rows, n, o);
    FT_RETURN(ft_score__measure_loss(&loss, m, rows, n, o));
    if (wants(o, FT_METRIC_TEXT))
        FT_RETURN((o->labels ? ft_score__measure_labels : ft_score__measure_generate)(&texts, m, rows, n, o));
    *bytes = FT_MAX(loss, texts); /* one pass after the other */
    return FT_OK;
}
