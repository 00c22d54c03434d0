/* Look-ups of the train room's tables. */
#include "train/train.h"

#include <string.h>

#define FT_OPTIMIZER(name) extern const ft_optimizer ft_optimizer_##name;
#include "train/optimizers.def"
#undef FT_OPTIMIZER
#define FT_OPTIMIZER(name) &ft_optimizer_##name,
const ft_optimizer *const ft_optimizers[] = {
#include "train/optimizers.def"
    NULL};
#undef FT_OPTIMIZER

#define FT_SCHEDULE(name) extern const ft_schedule ft_schedule_##name;
#include "train/schedules.def"
#undef FT_SCHEDULE
#define FT_SCHEDULE(name) &ft_schedule_##name,
const ft_schedule *const ft_schedules[] = {
#include "train/schedules.def"
    NULL};
#undef FT_SCHEDULE

const ft_optimizer *ft_optimizer_named(const char *name)
{
    for (size_t i = 0; ft_optimizers[i]; i++)
        if (strcmp(ft_optimizers[i]->name, name) == 0)
            return ft_optimizers[i];
    return NULL;
}

const ft_schedule *ft_schedule_named(const char *name)
{
    for (size_t i = 0; ft_schedules[i]; i++)
        if (strcmp(ft_schedules[i]->name, name) == 0)
            return ft_schedules[i];
    return NULL;
}
