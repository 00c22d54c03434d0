/* AdamW (Loshchilov and Hutter 2019): decoupled weight decay, bias correction.
 *
 *   m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2
 *   w = w (1 - lr decay) - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
 */
#include "kernel/kernel.h"
#include "train/train.h"

#include <math.h>

static void update(float *w, const float *g, float *const *moments, int64_t n, double lr, double grad_scale, double decay,
                   int64_t step, const ft_optimizer_options *o)
{
    const ft_adamw k = {.rate = (float)lr, .beta1 = (float)o->beta1, .beta2 = (float)o->beta2, .eps = (float)o->eps,
                        .decay = (float)decay, .grad_scale = (float)grad_scale,
                        .c1 = (float)(1 - pow(o->beta1, (double)step)), .c2 = (float)(1 - pow(o->beta2, (double)step))};
    ft_kernels_active()->adamw(w, g, moments[0], moments[1], n, &k);
}

const ft_optimizer ft_optimizer_adamw = {
    .name = "adamw", .n_moments = 2, .update = update,
    .help = "Adam with decoupled weight decay; two f32 moments a weight"};
