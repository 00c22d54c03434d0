/* cmd/runfolder: the state of a run's output_dir before and after training: what stands there, may it be used, what is
 * written besides checkpoints. */
#ifndef FETTLE_CMD_RUNFOLDER_H
#define FETTLE_CMD_RUNFOLDER_H

#include "cmd/plan.h"

typedef enum ft_run_state { FT_RUN_FRESH, FT_RUN_BEGUN, FT_RUN_COMPLETE } ft_run_state;
/* COMPLETE: results.json was written, which happens last; BEGUN: there is a checkpoint. */
ft_run_state ft_run_state_of(const char *dir);
/* resume: FT_EINPUT with the differences when the run was begun with another recipe.
 * Otherwise FT_EINPUT when a run stands there already, unless overwrite; then FT_EINPUT when the base model is part of it.
 */
ft_status ft_run_prepare(const ft_plan *p, const char *recipe_path, bool resume, bool overwrite);
/* Removes all that a run wrote: checkpoints, results, adapter, model and exports; what is not its own stays. */
ft_status ft_run_clear(const char *dir);
/* Before the work: FT_EINPUT when an adapter, model or export could not be written where it belongs. */
ft_status ft_run_check_places(const ft_plan *p);
/* Takes a folder away again that holds nothing: that of a run which failed before it wrote anything. Its lock goes with it. */
void ft_run_drop_empty(const char *dir);
/* recipe.yaml: the resolved recipe. */
ft_status ft_run_write_recipe(const ft_plan *p);

#endif
