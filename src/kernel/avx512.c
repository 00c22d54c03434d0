/* The AVX-512 path (F, BW, VL, DQ): kernel/vector.h at sixteen floats a vector. */
#define FT_LANES          16
#define FT_VECTOR_NAME    "avx512"
#define FT_VECTOR_KERNELS ft_kernels_avx512
#define FT_VECTOR_USABLE                                                                                               \
    (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&  \
     __builtin_cpu_supports("avx512dq"))
#include "kernel/vector.h"
