/* bf16 products with AVX512-BF16: tiles of 14 x 32. vdpbf16ps adds two products, exact in f32, to each sum, rounding to
 * nearest after each; denormals count as zero. */
#define FT_LANES      16
#define FT_MICRO_ROWS 14
#define FT_MICRO_PAIR 2
#include "kernel/micro.h"

static bool usable(void)
{
    return __builtin_cpu_supports("avx512bf16");
}

const ft_engine ft_engine_avx512_bf16 = {
    .name = "avx512_bf16", .compute = FT_COMPUTE_BF16, .path = &ft_kernels_avx512, .usable = usable, FT_PACKED_ENGINE};
