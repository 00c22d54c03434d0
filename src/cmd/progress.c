#include "cmd/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const double redraw_s = 0.1, line_s = 10;

ft_meter ft_meter_new(bool json, bool stoppable)
{
    return (ft_meter){.json = json, .stoppable = stoppable, .label = "", .shown = ft_now_s()};
}

void ft_meter_label(ft_meter *m, const char *label)
{
    m->label = label;
    m->phase[0] = 0;
}

void ft_meter_say(ft_meter *m, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ft_say("%s", text);
    m->shown = ft_now_s();
}

/* Is it time for another line? */
static bool due(ft_meter *m)
{
    double now = ft_now_s(), wait = m->json || !ft_out_is_terminal() ? line_s : redraw_s;
    if (now - m->shown < wait)
        return false;
    m->shown = now;
    return true;
}

static void show(const char *line)
{
    if (ft_out_is_terminal())
        ft_out_transient(line);
    else
        ft_say("%s", line);
}

/* ---- scoring, exporting ---- */

static void part_line(const ft_meter *m, const char *what, size_t done, size_t total)
{
    char line[256], left[32];
    double spent = ft_now_s() - m->started;
    int n = snprintf(line, sizeof line, "%s%s%s %zu/%zu", m->label, *m->label ? ": " : "", what, done, total);
    if (done > 0 && done < total && spent > 1 && n < (int)sizeof line)
        snprintf(line + n, sizeof line - (size_t)n, "  eta %s",
                 ft_human_seconds(spent / (double)done * (double)(total - done), left));
    show(line);
}

static void part_object(const ft_meter *m, const char *what, size_t done, size_t total)
{
    json_t *o = json_object();
    ft_result_text(o, "event", "progress");
    ft_result_text(o, "label", m->label);
    ft_result_text(o, "phase", what);
    ft_result_int(o, "done", (int64_t)done);
    ft_result_int(o, "total", (int64_t)total);
    ft_result_line(o);
}

bool ft_meter_part(void *ctx, const char *what, size_t done, size_t total)
{
    ft_meter *m = ctx;
    if (strcmp(m->phase, what) != 0) {
        snprintf(m->phase, sizeof m->phase, "%s", what);
        m->started = ft_now_s();
        if (ft_out_is_terminal())
            m->shown = 0;
    }
    if (due(m)) {
        if (m->json)
            part_object(m, what, done, total);
        else
            part_line(m, what, done, total);
    }
    return !(m->stoppable && ft_stop_requested());
}

/* ---- training ---- */

/* "1h12m (14:20)": what is left and the time of day when it is over. */
static void eta_of(double seconds, char *buf, size_t size)
{
    char left[32], clock[16] = "";
    time_t end = time(NULL) + (time_t)(seconds < 1e8 ? seconds : 0);
    struct tm tm;
    if (localtime_r(&end, &tm))
        strftime(clock, sizeof clock, " (%H:%M)", &tm);
    snprintf(buf, size, "%s%s", ft_human_seconds(seconds, left), clock);
}

enum { FIELDS = 9 };

/* Joins the fields with two blanks; on a terminal the least telling ones are left out until the line fits. */
static void join_fields(char fields[FIELDS][64], char *line, size_t size)
{
    static const int dispensable[] = {7, 6, 3, 1, 4, 5}; /* rss, sup, gn, ep, lr, tok/s */
    int width = ft_out_is_terminal() ? ft_out_width() - 1 : (int)size - 1, all = -2;
    for (int i = 0; i < FIELDS; i++)
        all += (int)strlen(fields[i]) + 2;
    for (size_t i = 0; i < FT_COUNT(dispensable) && all > width; i++) {
        all -= (int)strlen(fields[dispensable[i]]) + 2;
        fields[dispensable[i]][0] = 0;
    }
    size_t n = 0;
    for (int i = 0; i < FIELDS && n < size; i++)
        if (*fields[i])
            n += (size_t)snprintf(line + n, size - n, "%s%s", i ? "  " : "", fields[i]);
}

static void step_line(const ft_train_event *e)
{
    char line[FIELDS * 64], fields[FIELDS][64], eta[56];
    size_t size = sizeof fields[0];
    eta_of(e->eta_s, eta, sizeof eta);
    snprintf(fields[0], size, "step %lld/%lld", (long long)e->step, (long long)e->total_steps);
    snprintf(fields[1], size, "ep %.2f", e->epoch);
    snprintf(fields[2], size, "loss %.3f", e->loss);
    snprintf(fields[3], size, "gn %.2f", e->grad_norm);
    snprintf(fields[4], size, "lr %.1e", e->learning_rate);
    snprintf(fields[5], size, "tok/s %.0f", e->tokens_per_s);
    snprintf(fields[6], size, "sup %.0f%%", 100 * e->supervised_share);
    snprintf(fields[7], size, "rss %.1fG", (double)e->rss_bytes / 1e9);
    snprintf(fields[8], size, "eta %s", eta);
    join_fields(fields, line, sizeof line);
    show(line);
}

static void eval_line(const ft_train_event *e)
{
    char line[512];
    int n = snprintf(line, sizeof line, "step %lld/%lld  eval", (long long)e->step, (long long)e->total_steps);
    for (size_t i = 0; i < e->scores->n && n < (int)sizeof line; i++)
        n += snprintf(line + n, sizeof line - (size_t)n, "  %s %.4f", e->scores->metric[i]->name, e->scores->value[i]);
    ft_say("%s%s", line, e->best ? "  best so far" : "");
}

static json_t *event_object(const char *event, const ft_train_event *e)
{
    json_t *o = json_object();
    ft_result_text(o, "event", event);
    ft_result_int(o, "step", e->step);
    ft_result_int(o, "total_steps", e->total_steps);
    ft_result_real(o, "epoch", e->epoch);
    ft_result_real(o, "elapsed_s", e->elapsed_s);
    return o;
}

static void step_object(const ft_train_event *e)
{
    json_t *o = event_object("step", e);
    ft_result_real(o, "loss", e->loss);
    ft_result_real(o, "grad_norm", e->grad_norm);
    ft_result_real(o, "learning_rate", e->learning_rate);
    ft_result_real(o, "tokens_per_s", e->tokens_per_s);
    ft_result_real(o, "supervised_share", e->supervised_share);
    ft_result_int(o, "tokens", e->tokens);
    ft_result_int(o, "rss_bytes", (int64_t)e->rss_bytes);
    ft_result_real(o, "eta_s", e->eta_s);
    ft_result_line(o);
}

static void train_object(const ft_train_event *e)
{
    json_t *o;
    switch (e->kind) {
    case FT_EVENT_STEP:
        step_object(e);
        return;
    case FT_EVENT_EVAL:
        o = event_object("eval", e);
        ft_result_scores(o, e->scores);
        ft_result_bool(o, "best", e->best);
        break;
    case FT_EVENT_SAVE:
        o = event_object("save", e);
        ft_result_text(o, "path", e->path);
        break;
    default:
        o = event_object(e->kind == FT_EVENT_START ? "start" : "end", e);
    }
    ft_result_line(o);
}

static void train_line(ft_meter *m, const ft_train_event *e)
{
    char spent[32];
    switch (e->kind) {
    case FT_EVENT_START:
        if (e->step > 0)
            ft_say("going on at step %lld of %lld", (long long)e->step, (long long)e->total_steps);
        m->shown = 0; /* the first step is worth a line */
        break;
    case FT_EVENT_STEP:
        if (e->step >= e->total_steps)
            m->shown = 0; /* the last one too */
        if (due(m))
            step_line(e);
        break;
    case FT_EVENT_EVAL:
        eval_line(e);
        m->phase[0] = 0; /* the next evaluation begins a phase of its own */
        break;
    case FT_EVENT_SAVE:
        if (!ft_out_is_terminal())
            ft_say("saved %s", e->path);
        break;
    case FT_EVENT_END:
        ft_say("trained: %lld steps, %lld tokens, loss %.4f, %s", (long long)e->step, (long long)e->tokens, e->loss,
               ft_human_seconds(e->elapsed_s, spent));
    }
}

void ft_meter_train(void *ctx, const ft_train_event *e)
{
    ft_meter *m = ctx;
    if (m->json)
        train_object(e);
    else
        train_line(m, e);
}
