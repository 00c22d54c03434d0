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
    float *m = moments[0], *v = moments[1];
    const float b1 = (float)o->beta1, b2 = (float)o->beta2, c1 = 1 - b1, c2 = 1 - b2, scale = (float)grad_scale;
    const float keep = (float)(1 - lr * decay), eps = (float)o->eps;
    const float rate = (float)(lr / (1 - pow(o->beta1, (double)step)));
    const float root = (float)(1 / sqrt(1 - pow(o->beta2, (double)step)));
    for (int64_t i = 0; i < n; i++) {
        float gi = g[i] * scale;
        m[i] = b1 * m[i] + c1 * gi;
        v[i] = b2 * v[i] + c2 * gi * gi;
        w[i] = w[i] * keep - rate * m[i] / (sqrtf(v[i]) * root + eps);
    }
}

const ft_optimizer ft_optimizer_adamw = {
    .name = "adamw", .n_moments = 2, .update = update,
    .help = "Adam with decoupled weight decay; two f32 moments a weight"};
