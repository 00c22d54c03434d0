/* f32 products with AVX-512: tiles of 14 x 32. */
#define FT_LANES      16
#define FT_MICRO_ROWS 14
#define FT_MICRO_PAIR 1
#include "kernel/micro.h"

const ft_engine ft_engine_avx512 = {
    .name = "avx512", .compute = FT_COMPUTE_F32, .path = &ft_kernels_avx512, FT_PACKED_ENGINE};
