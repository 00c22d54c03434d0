/* kernel/lowrank: the best approximation of a matrix by one of low rank. */
#ifndef FETTLE_KERNEL_LOWRANK_H
#define FETTLE_KERNEL_LOWRANK_H

#include "base/status.h"
#include "tensor/tensor.h"

/* w [out, in], in any dtype, by scale * b a with a [r, in] and b [out, r], each with the root of the singular values; r is
 * at most the smaller extent (FT_EINPUT). seed and step key the random numbers; the result does not depend on the number of
 * threads. FT_ENUMERIC when w holds what is not finite. One thread calls, the products are spread over all. */
ft_status ft_low_rank(float *a, float *b, const ft_tensor *w, int64_t r, float scale, uint64_t seed, uint64_t step);

#endif
