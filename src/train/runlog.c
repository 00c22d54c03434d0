#include "train/runlog.h"
#include "file/json.h"
#include "file/lines.h"

#include <math.h>
#include <stdio.h>

struct ft_runlog {
    FILE *file;
    char *path;
};

/* Appends the lines of an earlier log whose step is at most keep_until. */
static ft_status keep_lines(ft_buf *out, const char *path, int64_t keep_until)
{
    ft_lines *lines = NULL;
    ft_str line;
    bool more = true;
    ft_status st;
    FT_TRY(ft_lines_open(&lines, path));
    while ((st = ft_lines_next(lines, &line, &more)) == FT_OK && more) {
        json_t *j = json_loadb(line.p, line.n, 0, NULL);
        /* a line cut short by a kill is no JSON: it belongs to a step that will be repeated */
        bool keep = j && json_integer_value(json_object_get(j, "step")) <= keep_until;
        json_decref(j);
        if (keep) {
            FT_TRY(ft_buf_put(out, line.p, line.n));
            FT_TRY(ft_buf_putc(out, '\n'));
        }
    }
done:
    ft_lines_close(lines);
    return st;
}

ft_status ft_runlog_open(ft_runlog **out, const char *dir, int64_t keep_until)
{
    ft_buf kept = {0};
    ft_status st = FT_ENOMEM;
    ft_runlog *l = ft_alloc(1, sizeof *l);
    if (!l || !(l->path = ft_path_join(dir, "log.jsonl")))
        goto done;
    if (keep_until > 0 && ft_exists(l->path))
        FT_TRY(keep_lines(&kept, l->path, keep_until));
    FT_TRY(ft_write_file(l->path, kept.p, kept.n));
    l->file = fopen(l->path, "ae");
    st = l->file ? FT_OK : ft_fail_errno("%s: cannot append", l->path);
done:
    ft_buf_free(&kept);
    if (st == FT_OK)
        *out = l;
    else
        ft_runlog_close(l);
    return st;
}

/* JSON has no NaN: such a number becomes null. */
static void number(FILE *f, const char *key, double v)
{
    if (isfinite(v))
        fprintf(f, ",\"%s\":%.9g", key, v);
    else
        fprintf(f, ",\"%s\":null", key);
}

static void put_step(FILE *f, const ft_train_event *e)
{
    number(f, "loss", e->loss);
    number(f, "grad_norm", e->grad_norm);
    number(f, "learning_rate", e->learning_rate);
    number(f, "tokens_per_s", e->tokens_per_s);
    number(f, "supervised_share", e->supervised_share);
    fprintf(f, ",\"tokens\":%lld", (long long)e->tokens);
}

static void put_eval(FILE *f, const ft_train_event *e)
{
    for (size_t i = 0; i < e->scores->n; i++)
        number(f, e->scores->metric[i]->name, e->scores->value[i]);
    fprintf(f, ",\"best\":%s", e->best ? "true" : "false");
}

ft_status ft_runlog_event(ft_runlog *l, const ft_train_event *e)
{
    if (e->kind != FT_EVENT_STEP && e->kind != FT_EVENT_EVAL)
        return FT_OK;
    fprintf(l->file, "{\"event\":\"%s\",\"step\":%lld,\"total_steps\":%lld", e->kind == FT_EVENT_STEP ? "step" : "eval",
            (long long)e->step, (long long)e->total_steps);
    number(l->file, "epoch", e->epoch);
    number(l->file, "elapsed_s", e->elapsed_s);
    (e->kind == FT_EVENT_STEP ? put_step : put_eval)(l->file, e);
    fputs("}\n", l->file);
    return fflush(l->file) == 0 ? FT_OK : ft_fail_errno("%s: cannot append", l->path);
}

void ft_runlog_close(ft_runlog *l)
{
    if (!l)
        return;
    if (l->file)
        fclose(l->file);
    ft_free(l->path);
    ft_free(l);
}
