/* Checkpoints: HDF5 stores written under temporary names, so a kill at any moment leaves the earlier ones whole. */
#include "train/checkpoint.h"
#include "base/os.h"
#include "base/str.h"
#include "file/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- names ---- */

static bool step_of(const char *name, int64_t *step)
{
    size_t n = strlen(name);
    char digits[24];
    if (!ft_starts(name, "step-") || !ft_ends(name, ".h5") || n - 8 >= sizeof digits)
        return false;
    memcpy(digits, name + 5, n - 8);
    digits[n - 8] = 0;
    return ft_parse_i64(digits, step) && *step >= 0;
}

static int by_step(const void *a, const void *b)
{
    int64_t x = 0, y = 0;
    step_of(*(char *const *)a, &x);
    step_of(*(char *const *)b, &y);
    return (x > y) - (x < y);
}

/* The step files of a folder, oldest first. */
static ft_status list_steps(ft_names *out, const char *dir)
{
    *out = (ft_names){0};
    if (!ft_is_dir(dir))
        return FT_OK;
    FT_RETURN(ft_list_dir(out, dir, ".h5"));
    size_t kept = 0;
    int64_t step;
    for (size_t i = 0; i < out->n; i++) {
        if (step_of(out->p[i], &step))
            out->p[kept++] = out->p[i];
        else
            ft_free(out->p[i]);
    }
    out->n = kept;
    if (kept)
        qsort(out->p, kept, sizeof *out->p, by_step);
    return FT_OK;
}

/* Points dir/link at name: a new link under a temporary name, renamed over the old one. */
static ft_status point(const char *dir, const char *link, const char *name)
{
    char *path = ft_path_join(dir, link), *temporary = path ? ft_strf("%s.%ld.tmp", path, (long)getpid()) : NULL;
    ft_status st = FT_ENOMEM;
    if (temporary) {
        unlink(temporary);
        st = symlink(name, temporary) == 0 && rename(temporary, path) == 0
                 ? FT_OK
                 : ft_fail_errno("%s: cannot point it at %s", path, name);
    }
    ft_free(temporary);
    ft_free(path);
    return st;
}

/* The file name a link points at, in new memory; NULL when there is no such link or its target is gone. */
static char *pointed(const char *dir, const char *link)
{
    char target[256], *path = ft_path_join(dir, link);
    ssize_t n = path && ft_exists(path) ? readlink(path, target, sizeof target - 1) : -1;
    ft_free(path);
    if (n <= 0)
        return NULL;
    target[n] = 0;
    return ft_strdup(ft_path_base(target));
}

ft_status ft_checkpoint_path(char **path, const char *dir, int64_t step)
{
    char name[40];
    snprintf(name, sizeof name, "step-%lld.h5", (long long)step);
    *path = ft_path_join(dir, name);
    return *path ? FT_OK : FT_ENOMEM;
}

void ft_checkpoint_sweep(const char *dir)
{
    ft_names names;
    if (ft_list_dir(&names, dir, ".tmp") != FT_OK)
        return;
    for (size_t i = 0; i < names.n; i++) {
        char *path = ft_path_join(dir, names.p[i]);
        if (path)
            unlink(path);
        ft_free(path);
    }
    ft_names_free(&names);
}

/* ---- one file ---- */

static ft_status put_param(ft_store *s, const char *group, const ft_param *p, const float *data)
{
    char *name = ft_strf("%s/%s", group, p->name);
    if (!name)
        return FT_ENOMEM;
    ft_status st = ft_store_put(s, name, FT_STORE_F32, p->t.ndim, p->t.shape, data, 0);
    ft_free(name);
    return st;
}

static ft_status get_param(ft_store *s, const char *group, const ft_param *p, float *data)
{
    char *name = ft_strf("%s/%s", group, p->name);
    if (!name)
        return FT_ENOMEM;
    ft_status st = ft_store_get(s, name, FT_STORE_F32, ft_tensor_count(&p->t), data);
    ft_free(name);
    return st;
}

/* The fields of ft_progress as attributes: one list for writing and reading. */
typedef struct field {
    const char *name;
    bool real;
    size_t offset;
} field;
#define FIELD(name, real) {#name, real, offsetof(ft_progress, name)}
static const field fields[] = {FIELD(step, false),       FIELD(tokens, false), FIELD(best_step, false),
                               FIELD(evals_since_best, false), FIELD(best_score, true), FIELD(loss, true),
                               FIELD(elapsed_s, true),   FIELD(eval_due, false),  FIELD(finished, false)};

static ft_status put_progress(ft_store *s, const ft_progress *p)
{
    for (size_t i = 0; i < FT_COUNT(fields); i++) {
        const char *at = (const char *)p + fields[i].offset;
        FT_RETURN(fields[i].real ? ft_store_put_f64(s, fields[i].name, *(const double *)at)
                                 : ft_store_put_i64(s, fields[i].name, *(const int64_t *)at));
    }
    return FT_OK;
}

static ft_status get_progress(ft_store *s, ft_progress *p)
{
    for (size_t i = 0; i < FT_COUNT(fields); i++) {
        char *at = (char *)p + fields[i].offset;
        FT_RETURN(fields[i].real ? ft_store_get_f64(s, fields[i].name, (double *)at)
                                 : ft_store_get_i64(s, fields[i].name, (int64_t *)at));
    }
    return FT_OK;
}

static const char *const moment_groups[] = {"moment0", "moment1", "moment2"};

static ft_status write_state(ft_store *s, const ft_state *state)
{
    size_t n = ft_model_trainable_count(state->model);
    FT_RETURN(put_progress(s, &state->progress));
    FT_RETURN(ft_store_put_i64(s, "recipe_hash", (int64_t)state->recipe_hash));
    FT_RETURN(ft_store_put_str(s, "recipe", state->recipe_text ? state->recipe_text : ""));
    FT_RETURN(ft_store_put_str(s, "optimizer", state->optimizer->name));
    FT_RETURN(ft_identity_put(s, &state->identity));
    for (size_t i = 0; i < n; i++) {
        const ft_param *p = ft_model_trainable(state->model, i);
        FT_RETURN(put_param(s, "weights", p, p->t.data));
        for (int k = 0; k < state->optimizer->n_moments; k++)
            FT_RETURN(put_param(s, moment_groups[k], p, state->moments[i * (size_t)state->optimizer->n_moments + (size_t)k]));
    }
    return FT_OK;
}

ft_status ft_checkpoint_save(const ft_state *s, bool best, char **path)
{
    ft_store *store = NULL;
    char *full = NULL;
    ft_status st;
    FT_TRY(ft_checkpoint_path(&full, s->dir, s->progress.step));
    const char *name = ft_path_base(full);
    FT_TRY(ft_mkdirs(s->dir));
    FT_TRY(ft_store_create(&store, full));
    FT_TRY(write_state(store, s));
    st = ft_store_commit(store);
    store = NULL;
    /* best first: a resume starts from `last`, and would not come back to set it */
    if (st == FT_OK && best)
        st = point(s->dir, "best", name);
    if (st == FT_OK)
        st = point(s->dir, "last", name);
done:
    ft_store_abort(store);
    if (st == FT_OK && path)
        *path = full;
    else
        ft_free(full);
    return st;
}

/* ---- resume ---- */

/* The newest whole step file before `step`, for the message about a damaged one. */
static char *whole_before(const char *dir, int64_t step)
{
    ft_names names;
    char *found = NULL;
    if (list_steps(&names, dir) != FT_OK)
        return NULL;
    for (size_t i = names.n; i > 0 && !found; i--) {
        int64_t at = 0;
        char *path = step_of(names.p[i - 1], &at) && at < step ? ft_path_join(dir, names.p[i - 1]) : NULL;
        ft_store *s = NULL;
        if (path && ft_store_open(&s, path) == FT_OK)
            found = ft_strdup(names.p[i - 1]);
        ft_store_close(s);
        ft_free(path);
    }
    ft_names_free(&names);
    return found;
}

static ft_status damaged(ft_status st, const char *dir, const char *name)
{
    int64_t step = 0;
    char why[1024];
    snprintf(why, sizeof why, "%s", ft_error());
    step_of(name, &step);
    char *before = whole_before(dir, step);
    if (before)
        ft_fail(st, "%s\n%s before it is whole: remove %s/%s and resume again to go on from there", why, before, dir, name);
    else
        ft_fail(st, "%s\nno whole checkpoint stands before it: remove %s/%s and start again", why, dir, name);
    ft_free(before);
    return st;
}

static ft_str next_line(ft_str *text)
{
    const char *nl = text->n ? memchr(text->p, '\n', text->n) : NULL;
    ft_str line = {text->p, nl ? (size_t)(nl - text->p) : text->n};
    size_t step = nl ? line.n + 1 : line.n;
    text->p += step;
    text->n -= step;
    return line;
}

static bool has_line(ft_str text, ft_str line)
{
    while (text.n)
        if (ft_str_eq(next_line(&text), line))
            return true;
    return false;
}

static ft_status put_missing(ft_buf *b, const char *mark, ft_str of, ft_str in)
{
    while (of.n) {
        ft_str line = next_line(&of);
        if (!has_line(in, line))
            FT_RETURN(ft_buf_printf(b, "\n  %s %.*s", mark, (int)line.n, line.p));
    }
    return FT_OK;
}

static ft_status recipe_changed(const char *then, const char *now)
{
    ft_buf b = {.max = 1 << 20};
    ft_status st = put_missing(&b, "-", ft_str_of(then), ft_str_of(now));
    if (st == FT_OK)
        st = put_missing(&b, "+", ft_str_of(now), ft_str_of(then));
    ft_fail(FT_EINPUT, "the recipe has changed since the checkpoint was written, so a resume would not be exact:%s\n"
            "set these back, or choose another output_dir", b.p ? b.p : "");
    ft_buf_free(&b);
    return st == FT_OK ? FT_EINPUT : st;
}

static ft_status read_state(ft_store *s, ft_state *state)
{
    char *recipe = NULL, *optimizer = NULL;
    int64_t hash;
    ft_status st;
    FT_TRY(ft_store_get_i64(s, "recipe_hash", &hash));
    FT_TRY(ft_store_get_str(s, "recipe", &recipe));
    FT_TRY(ft_store_get_str(s, "optimizer", &optimizer));
    if ((uint64_t)hash != state->recipe_hash || strcmp(optimizer, state->optimizer->name) != 0) {
        st = recipe_changed(recipe, state->recipe_text ? state->recipe_text : "");
        goto done;
    }
    FT_TRY(ft_identity_check(s, &state->identity));
    FT_TRY(get_progress(s, &state->progress));
    for (size_t i = 0; i < ft_model_trainable_count(state->model); i++) {
        ft_param *p = ft_model_trainable(state->model, i);
        FT_TRY(get_param(s, "weights", p, p->t.data));
        for (int k = 0; k < state->optimizer->n_moments; k++)
            FT_TRY(get_param(s, moment_groups[k], p, state->moments[i * (size_t)state->optimizer->n_moments + (size_t)k]));
    }
done:
    ft_free(recipe);
    ft_free(optimizer);
    return st;
}

/* `last`, or the newest step file when the link dangles; NULL when there is none. */
static ft_status newest(char **name, const char *dir)
{
    ft_names names;
    *name = pointed(dir, "last");
    if (*name)
        return FT_OK;
    FT_RETURN(list_steps(&names, dir));
    ft_status st = FT_OK;
    if (names.n && !(*name = ft_strdup(names.p[names.n - 1])))
        st = FT_ENOMEM;
    ft_names_free(&names);
    return st;
}

ft_status ft_checkpoint_resume(ft_state *s, int64_t total_steps, bool *found, char **out)
{
    char *name = NULL, *path = NULL;
    ft_store *store = NULL;
    ft_status st;
    *found = false;
    FT_TRY(newest(&name, s->dir));
    if (!name)
        goto done;
    if (!(path = ft_path_join(s->dir, name))) {
        st = FT_ENOMEM;
        goto done;
    }
    st = ft_store_open(&store, path);
    if (st == FT_OK)
        st = read_state(store, s);
    if (st == FT_OK && (s->progress.step < 0 || s->progress.step > total_steps))
        st = ft_fail(FT_EFORMAT, "%s: is of step %lld, the run has %lld", path, (long long)s->progress.step, (long long)total_steps);
    if (st == FT_EFORMAT)
        st = damaged(st, s->dir, name);
    *found = st == FT_OK;
done:
    ft_store_close(store);
    if (*found)
        *out = path;
    else
        ft_free(path);
    ft_free(name);
    return st;
}

ft_status ft_checkpoint_prune(const ft_state *s, int64_t limit)
{
    ft_names names;
    if (limit <= 0)
        return FT_OK;
    FT_RETURN(list_steps(&names, s->dir));
    char *last = pointed(s->dir, "last"), *best = pointed(s->dir, "best");
    int64_t excess = (int64_t)names.n - limit;
    for (size_t i = 0; i < names.n && excess > 0; i++) {
        if ((last && strcmp(names.p[i], last) == 0) || (best && strcmp(names.p[i], best) == 0))
            continue;
        char *path = ft_path_join(s->dir, names.p[i]);
        if (path)
            unlink(path);
        ft_free(path);
        excess--;
    }
    ft_free(last);
    ft_free(best);
    ft_names_free(&names);
    return FT_OK;
}

/* ---- for readers of a finished run ---- */

ft_status ft_checkpoint_find(char **path, const char *run_dir, const char *which)
{
    char *dir = ft_path_join(run_dir, "checkpoints"), *name = NULL;
    *path = NULL;
    if (!dir)
        return FT_ENOMEM;
    name = pointed(dir, which);
    if (name)
        *path = ft_path_join(dir, name);
    ft_status st = *path ? FT_OK : ft_fail(FT_EINPUT, "%s: no checkpoint called %s", dir, which);
    ft_free(name);
    ft_free(dir);
    return st;
}

ft_status ft_checkpoint_load_weights(ft_model *m, const char *path)
{
    ft_store *s = NULL;
    ft_status st;
    FT_TRY(ft_store_open(&s, path));
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        ft_param *p = ft_model_trainable(m, i);
        FT_TRY(get_param(s, "weights", p, p->t.data));
    }
done:
    ft_store_close(s);
    return st;
}
