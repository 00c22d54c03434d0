/* The AVX2 path (with FMA and F16C): kernel/vector.h at eight floats a vector. */
#define FT_LANES          8
#define FT_VECTOR_NAME    "avx2"
#define FT_VECTOR_KERNELS ft_kernels_avx2
#define FT_VECTOR_USABLE  (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#include "kernel/vector.h"
