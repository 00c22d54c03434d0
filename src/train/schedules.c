/* Learning-rate schedules: the factor on the peak rate at a step, as the Hugging Face Trainer computes them, with an
 * optional floor (min_ratio). Step 0 of a warmup has rate 0 there; here the warmup ends one step earlier, so that no
 * step is spent at rate 0: factor = (step + 1) / (warmup + 1) while step < warmup. */
#include "train/train.h"

#include <math.h>

static double warm(int64_t step, int64_t warmup)
{
    return (double)(step + 1) / (double)(warmup + 1);
}

/* Share of the way from the end of the warmup to the end of the run, 0 .. 1. */
static double progress(int64_t step, int64_t total, int64_t warmup)
{
    double span = (double)(total - warmup);
    return span > 0 ? fmin(1.0, (double)(step - warmup) / span) : 1.0;
}

static double cosine(int64_t step, int64_t total, int64_t warmup, double min_ratio)
{
    if (step < warmup)
        return warm(step, warmup);
    return min_ratio + (1 - min_ratio) * 0.5 * (1 + cos(acos(-1.0) * progress(step, total, warmup)));
}

static double linear(int64_t step, int64_t total, int64_t warmup, double min_ratio)
{
    if (step < warmup)
        return warm(step, warmup);
    return min_ratio + (1 - min_ratio) * (1 - progress(step, total, warmup));
}

static double constant(int64_t step, int64_t total, int64_t warmup, double min_ratio)
{
    return 1;
}

static double constant_with_warmup(int64_t step, int64_t total, int64_t warmup, double min_ratio)
{
    return step < warmup ? warm(step, warmup) : 1;
}

const ft_schedule ft_schedule_cosine = {"cosine", cosine, "half a cosine from the peak to min_lr_ratio, after the warmup"};
const ft_schedule ft_schedule_linear = {"linear", linear, "a straight line from the peak to min_lr_ratio, after the warmup"};
const ft_schedule ft_schedule_constant = {"constant", constant, "the peak from the first step; warmup is ignored"};
const ft_schedule ft_schedule_constant_with_warmup = {"constant_with_warmup", constant_with_warmup,
                                                      "the peak after the warmup"};
