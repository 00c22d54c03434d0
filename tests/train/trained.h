/* What a run has trained, for tests that compare runs. */
#ifndef FETTLE_TESTS_TRAIN_TRAINED_H
#define FETTLE_TESTS_TRAIN_TRAINED_H

#include "support/support.h"
#include "model/model.h"

/* All trained weights end to end, in new memory. */
static inline float *weights(ft_model *m, size_t *bytes)
{
    ft_buf b = {0};
    for (size_t i = 0; i < ft_model_trainable_count(m); i++) {
        const ft_param *p = ft_model_trainable(m, i);
        ck_assert_ok(ft_buf_put(&b, p->t.data, (size_t)ft_tensor_count(&p->t) * sizeof(float)));
    }
    *bytes = b.n;
    return (float *)b.p;
}

#endif
