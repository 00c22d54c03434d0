#include "cmd/runfolder.h"

#include <string.h>
#include <unistd.h>

/* Names of the checkpoint files; n 0 where there are none. */
static ft_status list_checkpoints(ft_names *out, const char *dir)
{
    char *path = ft_path_join(dir, "checkpoints");
    ft_status st = FT_OK;
    *out = (ft_names){0};
    if (!path)
        return FT_ENOMEM;
    if (ft_is_dir(path))
        st = ft_list_dir(out, path, ".h5");
    ft_free(path);
    return st;
}

ft_run_state ft_run_state_of(const char *dir)
{
    ft_names names;
    if (ft_dir_holds(dir, "results.json"))
        return FT_RUN_COMPLETE;
    if (list_checkpoints(&names, dir) != FT_OK)
        return FT_RUN_FRESH;
    ft_run_state state = names.n ? FT_RUN_BEGUN : FT_RUN_FRESH;
    ft_names_free(&names);
    return state;
}

/* ---- resuming ---- */

static ft_status say_differences(const ft_recipe *before, const ft_plan *p)
{
    ft_buf diff = {0};
    ft_status st = ft_recipe_diff(before, p->recipe, &diff);
    if (st == FT_OK)
        st = ft_fail(FT_EINPUT,
                     "%s: the recipe has changed since this run began, so it cannot go on:\n%sgive the run another "
                     "output_dir, or undo the changes",
                     p->output_dir, diff.p ? diff.p : "");
    ft_buf_free(&diff);
    return st;
}

/* The recipe that the run began with, as it was resolved then. When it can no longer be read (a dataset has moved,
 * say), the hash in the checkpoint still guards the run. */
static ft_status same_recipe(const ft_plan *p)
{
    ft_recipe *before = NULL;
    ft_status st = FT_OK;
    char *path = ft_path_join(p->output_dir, "recipe.yaml");
    if (!path)
        return FT_ENOMEM;
    if (ft_exists(path) && ft_recipe_open(&before, path, NULL, 0) == FT_OK &&
        ft_recipe_hash(before) != p->train_options.recipe_hash)
        st = say_differences(before, p);
    ft_recipe_free(before);
    ft_free(path);
    return st;
}

/* ---- beginning anew ---- */

static ft_status remove_file(const char *dir, const char *name)
{
    char *path = ft_path_join(dir, name);
    if (!path)
        return FT_ENOMEM;
    bool there = access(path, F_OK) == 0 || readlink(path, (char[1]){0}, 1) >= 0;
    ft_status st = there && unlink(path) != 0 ? ft_fail_errno("%s: cannot remove", path) : FT_OK;
    ft_free(path);
    return st;
}

static ft_status remove_exports(const char *dir)
{
    char *adapter = ft_path_join(dir, "adapter"), *model = ft_path_join(dir, "model"), *files = ft_path_join(dir, "export");
    ft_status st = adapter && model && files ? FT_OK : FT_ENOMEM;
    FT_TRY(st);
    FT_TRY(ft_export_remove(adapter));
    FT_TRY(ft_export_remove(model));
    FT_TRY(ft_export_remove_all(files));
done:
    ft_free(adapter);
    ft_free(model);
    ft_free(files);
    return st;
}

/* A run that starts from what an earlier one left in the same folder needs it. path may be NULL. */
static ft_status keep(const ft_plan *p, const char *key, const char *path)
{
    char *way = path && ft_exists(path) ? ft_path_relative(p->output_dir, path) : NULL;
    bool inside = way && !ft_starts(way, "../");
    ft_free(way);
    return inside ? ft_fail(FT_EINPUT, "%s: %s: %s lies in the run folder, where this run would replace it: choose another "
                                       "output_dir", ft_recipe_place(p->recipe, key, 0), key, path)
                  : FT_OK;
}

ft_status ft_run_clear(const char *dir)
{
    static const char *const results[] = {"results.json", "report.html", "log.jsonl", "base-scores.json", "labels.json"};
    ft_names names = {0};
    char *checkpoints = ft_path_join(dir, "checkpoints");
    ft_status st = FT_ENOMEM;
    if (!checkpoints)
        goto done;
    for (size_t i = 0; i < FT_COUNT(results); i++)
        FT_TRY(remove_file(dir, results[i]));
    FT_TRY(list_checkpoints(&names, dir));
    for (size_t i = 0; i < names.n; i++)
        FT_TRY(remove_file(checkpoints, names.p[i]));
    FT_TRY(remove_file(checkpoints, "last"));
    FT_TRY(remove_file(checkpoints, "best"));
    FT_TRY(remove_exports(dir));
done:
    ft_names_free(&names);
    ft_free(checkpoints);
    return st;
}

ft_status ft_run_check_places(const ft_plan *p)
{
    const char *own = p->has_adapter ? "adapter" : "model";
    char *path = ft_path_join(p->output_dir, own);
    ft_status st = path ? ft_exporter_check_path(ft_exporter_named(p->has_adapter ? "peft" : "hf"), path) : FT_ENOMEM;
    ft_free(path);
    for (size_t i = 0; st == FT_OK && i < p->n_exports; i++)
        st = ft_context(ft_exporter_check_path(p->exports[i].exporter, p->exports[i].path), "%s: export",
                        ft_recipe_place(p->recipe, "export.format", i));
    return st;
}

ft_status ft_run_prepare(const ft_plan *p, const char *recipe_path, bool resume, bool overwrite)
{
    ft_run_state state = ft_run_state_of(p->output_dir);
    if (resume)
        return same_recipe(p);
    FT_RETURN(keep(p, "lora_model_dir", p->lora_model_dir));
    if (overwrite)
        return keep(p, "base_model", p->base_model);
    if (state == FT_RUN_FRESH)
        return FT_OK;
    return ft_fail(FT_EINPUT,
                   "%s holds a run that %s already\ntype: fettle train %s --resume      to go on with it\n"
                   "   or: fettle train %s --overwrite   to begin anew\n   or: fettle train %s --set output_dir=DIR",
                   p->output_dir, state == FT_RUN_COMPLETE ? "is complete" : "has begun", recipe_path, recipe_path,
                   recipe_path);
}

void ft_run_drop_empty(const char *dir)
{
    ft_names names;
    char *lock = ft_path_join(dir, ".lock");
    if (!lock || !ft_is_dir(dir) || ft_list_dir(&names, dir, NULL) != FT_OK)
        goto done;
    if (!names.n && unlink(lock) == 0)
        (void)rmdir(dir); /* stays where the user has hidden something */
    ft_names_free(&names);
done:
    ft_free(lock);
}

ft_status ft_run_write_recipe(const ft_plan *p)
{
    char *path = ft_path_join(p->output_dir, "recipe.yaml");
    ft_status st = path ? ft_write_file(path, p->resolved.p, p->resolved.n) : FT_ENOMEM;
    ft_free(path);
    return st;
}
