/* log.jsonl of a run as curves. The log is what training appended: a line a step, a line an evaluation, keys by name. */
#include "export/report.h"

#include "file/lines.h"

#include <math.h>
#include <string.h>

/* json_null, and a key that is not there, are NaN. */
static double number(const json_t *line, const char *key)
{
    const json_t *v = json_object_get(line, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static ft_status add(ft_report__curve *c, double x, double y)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 256;
        double *px = ft_resize(c->x, cap, sizeof *px), *py;
        if (!px)
            return FT_ENOMEM;
        c->x = px;
        if (!(py = ft_resize(c->y, cap, sizeof *py)))
            return FT_ENOMEM;
        c->y = py;
        c->cap = cap;
    }
    c->x[c->n] = x;
    c->y[c->n++] = y;
    return FT_OK;
}

static ft_status take_step(ft_report__log *l, const json_t *line, double step)
{
    FT_RETURN(add(&l->loss, step, number(line, "loss")));
    FT_RETURN(add(&l->learning_rate, step, number(line, "learning_rate")));
    FT_RETURN(add(&l->tokens_per_s, step, number(line, "tokens_per_s")));
    double tokens = number(line, "tokens"), seconds = number(line, "elapsed_s");
    l->tokens = isnan(tokens) ? l->tokens : tokens;
    l->seconds = isnan(seconds) ? l->seconds : seconds;
    l->steps = (int64_t)step;
    return FT_OK;
}

static ft_status take_eval(ft_report__log *l, const json_t *line, double step)
{
    if (json_is_true(json_object_get(line, "best")))
        l->best_step = (int64_t)step;
    double loss = number(line, "loss");
    return isnan(loss) ? FT_OK : add(&l->eval_loss, step, loss);
}

static ft_status take_line(ft_report__log *l, ft_str text)
{
    json_t *line = json_loadb(text.p, text.n, 0, NULL);
    const char *event = json_string_value(json_object_get(line, "event"));
    double step = number(line, "step");
    ft_status st = FT_OK;
    /* beyond 2^53 a step could not have been counted */
    if (event && step >= 0 && step < 9e15) {
        if (strcmp(event, "step") == 0)
            st = take_step(l, line, step);
        else if (strcmp(event, "eval") == 0)
            st = take_eval(l, line, step);
    }
    json_decref(line);
    return st;
}

ft_status ft_report__log_read(ft_report__log *out, const char *path)
{
    ft_lines *lines = NULL;
    ft_str line;
    bool more = true;
    ft_status st = FT_OK;
    *out = (ft_report__log){.best_step = -1};
    FT_TRY(ft_lines_open(&lines, path));
    for (;;) {
        FT_TRY(ft_lines_next(lines, &line, &more));
        if (!more)
            break;
        FT_TRY(take_line(out, line));
    }
done:
    ft_lines_close(lines);
    if (st != FT_OK)
        ft_report__log_free(out);
    return st;
}

static void curve_free(ft_report__curve *c)
{
    ft_free(c->x);
    ft_free(c->y);
}

void ft_report__log_free(ft_report__log *l)
{
    curve_free(&l->loss);
    curve_free(&l->learning_rate);
    curve_free(&l->tokens_per_s);
    curve_free(&l->eval_loss);
    *l = (ft_report__log){0};
}
