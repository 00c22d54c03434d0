/* f32 products with AVX2 and FMA: tiles of 6 x 16. */
#define FT_LANES      8
#define FT_MICRO_ROWS 6
#define FT_MICRO_PAIR 1
#include "kernel/micro.h"

const ft_engine ft_engine_avx2 = {
    .name = "avx2", .compute = FT_COMPUTE_F32, .path = &ft_kernels_avx2, FT_PACKED_ENGINE};
