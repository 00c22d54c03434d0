/* f32 products with AVX-512: tiles of 14 x 32. */
#define FT_LANES      16
#define FT_MICRO_ROWS 14
#define FT_MICRO_PAIR 1
#include "kernel/micro.h"

const ft_engine ft_engine_avx512 = {.name = "avx512",
                                    .compute = FT_COMPUTE_F32,
                                    .path = &ft_kernels_avx512,
                                    .rows = FT_MICRO_ROWS,
                                    .cols = COLS,
                                    .pair = FT_MICRO_PAIR,
                                    .pack_rows = pack_rows,
                                    .pack_turned = pack_turned,
                                    .pack_straight = pack_straight,
                                    .micro = micro};
