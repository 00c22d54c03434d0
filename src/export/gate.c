/* The gate: what a file must reach, measured on itself, before it gets its name.
 *
 *   name              the bound holds when
 *   kl                the mean divergence from the tuned model is at most that
 *   top1_agreement    at least that
 *   survival          the cosine of the update is at least that
 *   stop              at least this share of greedy outputs ends with a stop token
 *   any other metric  it is at most so much worse than the tuned model's: exact_match -0.01 may lose a hundredth, and of
 *                     those where less is better, perplexity 0.1 may gain a tenth
 *
 * What is to pass is written under PATH.rejected and stays there unless it passes.
 */
#include "export/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- limits ---- */

static double kl_of(const ft_report_column *c)
{
    return c->kl;
}

static double agreement_of(const ft_report_column *c)
{
    return c->agreement;
}

static double survival_of(const ft_report_column *c)
{
    return c->survival.n ? ft_survival_cosine(&c->survival.total) : NAN;
}

static double stop_of(const ft_report_column *c)
{
    return ft_scores_get(&c->scores, "stop", NAN);
}

/* Figures of the file by itself; all others are metrics, bound by how they change. */
static const struct {
    const char *name;
    bool at_least;
    double (*of)(const ft_report_column *c);
} absolute[] = {{"kl", false, kl_of}, {"top1_agreement", true, agreement_of}, {"survival", true, survival_of},
                {"stop", true, stop_of}};

const char *ft_export_gate_choice(size_t i)
{
    size_t at = 0;
    if (i < FT_COUNT(absolute))
        return absolute[i].name;
    for (size_t k = 0; ft_metrics[k]; k++)
        if (strcmp(ft_metrics[k]->name, "stop") != 0 && FT_COUNT(absolute) + at++ == i)
            return ft_metrics[k]->name;
    return NULL;
}

static const char *known(const char *name)
{
    for (size_t i = 0; ft_export_gate_choice(i); i++)
        if (strcmp(ft_export_gate_choice(i), name) == 0)
            return ft_export_gate_choice(i);
    return NULL;
}

static ft_status unknown(const char *name)
{
    const char *names[32];
    size_t n = 0;
    for (; n < FT_COUNT(names) && ft_export_gate_choice(n); n++)
        names[n] = ft_export_gate_choice(n);
    const char *near = ft_nearest(name, names, n);
    return ft_fail(FT_EINPUT, "gate: nothing is measured under the name %s%s%s", name, near ? "; did you mean " : "",
                   near ? near : "");
}

ft_status ft_export_gate_put(ft_export_gate *g, const char *limit)
{
    char name[64];
    const char *eq = strchr(limit, '=');
    double bound;
    if (!eq || !ft_parse_f64(eq + 1, &bound) || !isfinite(bound))
        return ft_fail(FT_EINPUT, "gate: found \"%s\", expected a name and a number, like kl=0.05", limit);
    snprintf(name, sizeof name, "%.*s", (int)(eq - limit), limit);
    if (!known(name))
        return unknown(name);
    for (size_t i = 0; i < g->n; i++)
        if (strcmp(g->limit[i].name, name) == 0)
            return ft_fail(FT_EINPUT, "gate: %s is given twice", name);
    if (g->n == FT_MAX_LIMITS)
        return ft_fail(FT_EINPUT, "gate: more than %d limits", FT_MAX_LIMITS);
    g->limit[g->n++] = (ft_export_limit){.name = known(name), .bound = bound};
    return FT_OK;
}

/* ---- judging ---- */

/* The figure that a limit looks at, and which side of the bound is the good one. */
static double figure(const ft_export_limit *l, const ft_report_column *tuned, const ft_report_column *file, bool *at_least)
{
    for (size_t i = 0; i < FT_COUNT(absolute); i++)
        if (strcmp(absolute[i].name, l->name) == 0) {
            *at_least = absolute[i].at_least;
            return absolute[i].of(file);
        }
    *at_least = ft_metric_named(l->name)->higher_is_better;
    return ft_scores_get(&file->scores, l->name, NAN) - ft_scores_get(&tuned->scores, l->name, NAN);
}

bool ft_export_gate_wants(const ft_export_gate *g, const ft_metric *metric)
{
    for (size_t i = 0; i < g->n; i++)
        if (strcmp(g->limit[i].name, metric->name) == 0)
            return true;
    return false;
}

bool ft_export_gate_generates(const ft_export_gate *g)
{
    for (size_t i = 0; ft_metrics[i]; i++)
        if (ft_metrics[i]->source == FT_METRIC_TEXT && ft_export_gate_wants(g, ft_metrics[i]))
            return true;
    return false;
}

static ft_status judge(ft_buf *why, const ft_export_limit *l, const ft_report_column *tuned, const ft_report_column *file)
{
    const ft_metric *metric = ft_metric_named(l->name);
    bool at_least, text = metric && metric->source == FT_METRIC_TEXT;
    double found = figure(l, tuned, file, &at_least);
    if (isnan(found) && text && !file->generated)
        return FT_OK; /* not yet */
    if (at_least ? found >= l->bound : found <= l->bound)
        return FT_OK;
    FT_RETURN(ft_buf_puts(why, why->n ? "; " : ""));
    if (isnan(found))
        return ft_buf_printf(why, "%s was not measured", l->name);
    return ft_buf_printf(why, "%s %.4g, expected at %s %g", l->name, found, at_least ? "least" : "most", l->bound);
}

ft_status ft_export_gate_check(const ft_export_gate *g, const ft_report_column *tuned, const ft_report_column *file, ft_buf *why)
{
    for (size_t i = 0; i < g->n; i++)
        FT_RETURN(judge(why, &g->limit[i], tuned, file));
    return FT_OK;
}

/* ---- names ---- */

char *ft_export_rejected_path(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    return ft_strf("%.*s.rejected", (int)n, path);
}

static ft_status accept_folder(const char *path, const char *from)
{
    char *final = ft_export_rejected_path(path);
    ft_export__folder f = {.final = final, .temporary = ft_strdup(from)};
    if (final)
        final[strlen(final) - strlen(".rejected")] = 0;
    if (f.final && f.temporary)
        return ft_export__folder_commit(&f);
    ft_free(f.final);
    ft_free(f.temporary);
    return FT_ENOMEM;
}

static ft_status accept_file(const ft_exporter *e, const ft_export_request *r, const char *from)
{
    ft_beside beside = {0};
    ft_status st = FT_OK;
    FT_TRY(e->beside(&beside, r));
    FT_TRY(ft_move(from, r->path));
    st = ft_export__beside_commit(&beside);
done:
    ft_export__beside_abort(&beside);
    return st;
}

ft_status ft_export_accept(const ft_exporter *e, const ft_export_request *r, const char *from)
{
    return ft_context(e->suffix ? accept_file(e, r, from) : accept_folder(r->path, from), "giving %s its name", from);
}
