/* report.html: one self-contained page about a run: what it reached, the table, the curves, samples, the recipe.
 * Every text from outside goes through ft_report__escape; the page loads nothing and runs no script. */
#include "export/report.h"

#include "base/human.h"

#include "base/os.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

ft_status ft_report__escape(ft_buf *out, const char *text)
{
    static const struct {
        char c;
        const char *as;
    } marks[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
    utf8proc_ssize_t n = (utf8proc_ssize_t)strlen(text);
    for (utf8proc_ssize_t i = 0, k; i < n; i += k) {
        utf8proc_int32_t c;
        const char *as = NULL;
        k = utf8proc_iterate((const utf8proc_uint8_t *)text + i, n - i, &c);
        if (k <= 0 || (c < 32 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0)) {
            as = "\xef\xbf\xbd";
            k = FT_MAX(k, (utf8proc_ssize_t)1);
        }
        for (size_t j = 0; !as && j < FT_COUNT(marks); j++)
            if (c == marks[j].c)
                as = marks[j].as;
        FT_RETURN(as ? ft_buf_puts(out, as) : ft_buf_put(out, text + i, (size_t)k));
    }
    return FT_OK;
}

static const char style[] =
    ":root{color-scheme:light dark;--bg:#fcfcfb;--card:#fff;--fg:#1c1e21;--soft:#5d6672;--rule:#e4e6ea;--s1:#2a63c4;"
    "--s2:#cf5a1f;--good:#1a7f4b;--bad:#b3352b}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171b;--card:#1b1f24;--fg:#e7e9ec;--soft:#9ba5b1;--rule:#2f353d;"
    "--s1:#74a9ff;--s2:#ff9c66;--good:#5cc78e;--bad:#f0857b}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}\n"
    "main{max-width:64rem;margin:0 auto;padding:2rem 1.25rem 4rem}h1{font-size:1.6rem;margin:0 0 .2rem}\n"
    "h2{font-size:1.1rem;margin:2.4rem 0 .7rem}p.sub{color:var(--soft);margin:0}\n"
    ".tiles{display:flex;flex-wrap:wrap;gap:.8rem;margin-top:1.4rem}\n"
    ".tile{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:.7rem 1rem;min-width:10rem}\n"
    ".tile b{display:block;font-size:1.45rem;font-weight:600;font-variant-numeric:tabular-nums}\n"
    ".tile span{color:var(--soft);font-size:.85rem}\n"
    ".scroll{overflow-x:auto;background:var(--card);border:1px solid var(--rule);border-radius:8px}\n"
    "table{border-collapse:collapse;width:100%}th,td{padding:.45rem .9rem;text-align:right;border-top:1px solid var(--rule);"
    "font-variant-numeric:tabular-nums}\n"
    "thead th{border-top:0;color:var(--soft);font-weight:600;overflow-wrap:anywhere}"
    "th:first-child,td:first-child{text-align:left}tbody th{font-weight:500;white-space:nowrap}\n"
    "td.best{font-weight:700}.samples td,.samples th{text-align:left;vertical-align:top;white-space:pre-wrap;"
    "overflow-wrap:anywhere;min-width:9rem}\n"
    ".yes::before{content:\"\\2713  \";color:var(--good)}.no::before{content:\"\\2717  \";color:var(--bad)}\n"
    ".charts{display:grid;grid-template-columns:1fr 1fr;gap:.8rem}.charts svg{width:100%;height:auto;background:var(--card);"
    "border:1px solid var(--rule);border-radius:8px;padding:.5rem}.charts svg:first-child{grid-column:1/-1}\n"
    "@media(max-width:40rem){.charts{grid-template-columns:1fr}}\n"
    "svg text{font:12px system-ui,sans-serif;fill:var(--soft)}svg text.head{font-size:14px;font-weight:600;fill:var(--fg)}\n"
    ".grid{stroke:var(--rule);stroke-width:1}.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\n"
    ".raw{stroke-width:1;opacity:.35}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.dot{stroke:var(--card);stroke-width:1}\n"
    ".dot.s1{fill:var(--s1)}.dot.s2{fill:var(--s2)}.bar{fill:var(--s1);opacity:.35}.ideal{stroke:var(--soft);"
    "stroke-dasharray:4 4}\n"
    ".reliability svg{max-width:30rem;width:100%;height:auto;background:var(--card);border:1px solid var(--rule);"
    "border-radius:8px;padding:.5rem}\n"
    "pre{margin:0;padding:1rem;overflow-x:auto;font:13px/1.45 ui-monospace,monospace}\n";

static ft_status put_head(ft_buf *b, const char *title)
{
    FT_RETURN(ft_buf_puts(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                             "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>"));
    FT_RETURN(ft_report__escape(b, title));
    FT_RETURN(ft_buf_printf(b, "</title>\n<style>\n%s</style></head><body><main>\n<h1>", style));
    FT_RETURN(ft_report__escape(b, title));
    return ft_buf_puts(b, "</h1>\n");
}

/* ---- what was reached, at a glance ---- */

static ft_status put_summary(ft_buf *b, const ft_report__log *log)
{
    char time[32];
    if (!log->steps)
        return FT_OK;
    FT_RETURN(ft_buf_printf(b, "<p class=\"sub\">%lld steps, %.3g million tokens, %s of training", (long long)log->steps,
                            log->tokens / 1e6, ft_human_seconds(log->seconds, time)));
    if (log->best_step >= 0)
        FT_RETURN(ft_buf_printf(b, ", best evaluation at step %lld", (long long)log->best_step));
    return ft_buf_puts(b, "</p>\n");
}

/* First column against the second: base and tuned. */
static ft_status put_tiles(ft_buf *b, const ft_report_column *c, size_t n)
{
    ft_report__row rows[FT_REPORT_MAX_ROWS];
    size_t k = n >= 2 ? ft_report__rows(rows, c, n) : 0, shown = 0;
    char before[32], after[32];
    FT_RETURN(ft_buf_puts(b, "<div class=\"tiles\">\n"));
    for (size_t r = 0; r < k && shown < 4; r++) {
        if (!rows[r].metric)
            continue;
        ft_report__cell(before, &rows[r], &c[0]);
        ft_report__cell(after, &rows[r], &c[1]);
        if (strcmp(after, "-") == 0)
            continue;
        FT_RETURN(ft_buf_printf(b, "<div class=\"tile\"><span>%s</span><b>%s</b><span>", rows[r].label, after));
        FT_RETURN(ft_report__escape(b, c[0].title));
        FT_RETURN(ft_buf_printf(b, ": %s</span></div>\n", before));
        shown++;
    }
    return ft_buf_puts(b, "</div>\n");
}

/* ---- the table ---- */

/* Is this column's value as good as any? */
static bool is_best(const ft_report__row *row, const ft_report_column *c, size_t n, size_t i)
{
    if (!row->metric)
        return false;
    double mine = ft_scores_get(&c[i].scores, row->metric->name, NAN);
    for (size_t k = 0; k < n; k++) {
        double other = ft_scores_get(&c[k].scores, row->metric->name, NAN);
        if (row->metric->higher_is_better ? other > mine : other < mine)
            return false;
    }
    return !isnan(mine);
}

static ft_status put_table(ft_buf *b, const ft_report_column *c, size_t n)
{
    ft_report__row rows[FT_REPORT_MAX_ROWS];
    size_t k = ft_report__rows(rows, c, n);
    char cell[32];
    FT_RETURN(ft_buf_puts(b, "<h2>Scores</h2>\n<div class=\"scroll\"><table><thead><tr><th></th>"));
    for (size_t i = 0; i < n; i++) {
        FT_RETURN(ft_buf_puts(b, "<th>"));
        FT_RETURN(ft_report__escape(b, c[i].title));
        FT_RETURN(ft_buf_puts(b, "</th>"));
    }
    FT_RETURN(ft_buf_puts(b, "</tr></thead><tbody>\n"));
    for (size_t r = 0; r < k; r++) {
        FT_RETURN(ft_buf_puts(b, "<tr><th title=\""));
        FT_RETURN(ft_report__escape(b, rows[r].help));
        FT_RETURN(ft_buf_printf(b, "\">%s</th>", rows[r].label));
        for (size_t i = 0; i < n; i++) {
            ft_report__cell(cell, &rows[r], &c[i]);
            FT_RETURN(ft_buf_printf(b, "<td%s>%s</td>", is_best(&rows[r], c, n, i) ? " class=\"best\"" : "", cell));
        }
        FT_RETURN(ft_buf_puts(b, "</tr>\n"));
    }
    FT_RETURN(ft_buf_puts(b, "</tbody></table></div>\n"));
    for (size_t i = 0; i < n; i++) {
        if (!c[i].rejected)
            continue;
        FT_RETURN(ft_buf_puts(b, "<p class=\"no\">"));
        FT_RETURN(ft_report__escape(b, c[i].title));
        FT_RETURN(ft_buf_puts(b, " did not pass its gate: "));
        FT_RETURN(ft_report__escape(b, c[i].rejected));
        FT_RETURN(ft_buf_puts(b, "</p>\n"));
    }
    return FT_OK;
}

/* ---- what rounding left of the update ---- */

enum { MOST_MATRICES = 12 };

static ft_status put_survival_row(ft_buf *b, const char *name, const char *type, const ft_survival *s)
{
    FT_RETURN(ft_buf_puts(b, "<tr><th>"));
    FT_RETURN(ft_report__escape(b, name));
    return ft_buf_printf(b, "</th><td>%s</td><td>%.4f</td><td>%.4f</td></tr>\n", type, ft_survival_cosine(s),
                         ft_survival_norm(s));
}

/* The whole, and the worst matrices. */
static ft_status put_survival(ft_buf *b, const ft_report_column *c)
{
    const ft_survival_row **worst = NULL;
    ft_status st = FT_OK;
    if (!c->survival.n)
        return FT_OK;
    FT_TRY(ft_buf_puts(b, "<h2>Survival of the update in "));
    FT_TRY(ft_report__escape(b, c->title));
    FT_TRY(ft_buf_puts(b, "</h2>\n<div class=\"scroll\"><table><thead><tr><th></th><th>type</th><th title=\"of the adapter's "
                          "update and what it changes in the file: 1 is all of it, 0.7 as much noise\">cosine</th>"
                          "<th title=\"size of what it changes, in sizes of the update\">norm</th></tr></thead><tbody>\n"));
    FT_TRY(put_survival_row(b, "all matrices", "", &c->survival.total));
    FT_TRY(ft_survival_worst(&c->survival, &worst));
    for (size_t i = 0; i < c->survival.n && i < MOST_MATRICES; i++)
        FT_TRY(put_survival_row(b, worst[i]->name, worst[i]->dtype->name, &worst[i]->survival));
    st = ft_buf_puts(b, "</tbody></table></div>\n");
done:
    ft_free(worst);
    return st;
}

/* ---- curves ---- */

static ft_status put_charts(ft_buf *b, const ft_report__log *log)
{
    const ft_report__series loss[] = {{"training", "s1", &log->loss, true, false}, {"evaluation", "s2", &log->eval_loss, false, false}};
    const ft_report__series rate[] = {{"learning rate", "s1", &log->learning_rate, false, true}};
    const ft_report__series speed[] = {{"tokens a second", "s1", &log->tokens_per_s, true, true}};
    if (log->loss.n < 2)
        return FT_OK;
    FT_RETURN(ft_buf_puts(b, "<h2>Training</h2>\n<div class=\"charts\">\n"));
    FT_RETURN(ft_report__chart(b, "Loss", loss, 2, 780, 280));
    FT_RETURN(ft_report__chart(b, "Learning rate", rate, 1, 460, 210));
    FT_RETURN(ft_report__chart(b, "Tokens a second", speed, 1, 460, 210));
    return ft_buf_puts(b, "</div>\n");
}

/* ---- samples and recipe ---- */

static bool same_text(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    const char *white = " \t\r\n";
    while (n && strchr(white, a[n - 1]))
        n--;
    while (m && strchr(white, b[m - 1]))
        m--;
    size_t i = FT_MIN(strspn(a, white), n), j = FT_MIN(strspn(b, white), m);
    return n - i == m - j && memcmp(a + i, b + j, n - i) == 0;
}

/* expected NULL: no mark. A text that was not made (NULL) is an empty cell. */
static ft_status put_text_cell(ft_buf *b, const char *text, const char *expected)
{
    const char *mark = !expected || !text ? "" : same_text(text, expected) ? " class=\"yes\"" : " class=\"no\"";
    FT_RETURN(ft_buf_printf(b, "<td%s>", mark));
    FT_RETURN(ft_report__escape(b, text ? text : ""));
    return ft_buf_puts(b, "</td>");
}

static ft_status put_samples(ft_buf *b, const ft_report_sample *s, size_t n)
{
    if (!n)
        return FT_OK;
    FT_RETURN(ft_buf_puts(b, "<h2>Samples</h2>\n<div class=\"scroll\"><table class=\"samples\"><thead><tr><th>prompt</th>"
                             "<th>expected</th><th>base</th><th>tuned</th></tr></thead><tbody>\n"));
    for (size_t i = 0; i < n; i++) {
        FT_RETURN(ft_buf_puts(b, "<tr>"));
        FT_RETURN(put_text_cell(b, s[i].prompt, NULL));
        FT_RETURN(put_text_cell(b, s[i].expected, NULL));
        FT_RETURN(put_text_cell(b, s[i].base, s[i].expected));
        FT_RETURN(put_text_cell(b, s[i].tuned, s[i].expected));
        FT_RETURN(ft_buf_puts(b, "</tr>\n"));
    }
    return ft_buf_puts(b, "</tbody></table></div>\n");
}

static ft_status put_recipe(ft_buf *b, const char *text)
{
    if (!text || !*text)
        return FT_OK;
    FT_RETURN(ft_buf_puts(b, "<h2>Recipe</h2>\n<div class=\"scroll\"><pre>"));
    FT_RETURN(ft_report__escape(b, text));
    return ft_buf_puts(b, "</pre></div>\n");
}

ft_status ft_report_write(const char *path, const char *title, const char *log_path, const char *recipe_text,
                          const ft_report_column *columns, size_t n, const ft_report_sample *samples, size_t n_samples,
                          const ft_report_labels *labels)
{
    ft_buf b = {0};
    ft_report__log log = {0};
    ft_status st = FT_OK;
    if (log_path)
        FT_TRY(ft_report__log_read(&log, log_path));
    FT_TRY(put_head(&b, title));
    FT_TRY(put_summary(&b, &log));
    FT_TRY(put_tiles(&b, columns, n));
    FT_TRY(n ? put_table(&b, columns, n) : FT_OK);
    for (size_t i = 0; i < n; i++)
        FT_TRY(put_survival(&b, &columns[i]));
    FT_TRY(ft_report__reliability(&b, labels));
    FT_TRY(put_charts(&b, &log));
    FT_TRY(put_samples(&b, samples, n_samples));
    FT_TRY(put_recipe(&b, recipe_text));
    FT_TRY(ft_buf_puts(&b, "</main></body></html>\n"));
    st = ft_write_file(path, b.p, b.n);
done:
    ft_report__log_free(&log);
    ft_buf_free(&b);
    return ft_context(st, "report");
}
