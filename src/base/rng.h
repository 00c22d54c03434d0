/* base/rng: Philox 4x32-10 (Salmon et al. 2011), a counter-based generator.
 *
 * A number is a pure function of (seed, stream, step, index): there is no state to save, and threads that draw
 * different indices need no order. Streams are named so that two uses never share numbers.
 */
#ifndef FETTLE_BASE_RNG_H
#define FETTLE_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef enum ft_stream {
    FT_STREAM_INIT = 1,    /* random weights; step = tensor number */
    FT_STREAM_ADAPTER = 2, /* adapter init; step = tensor number */
    FT_STREAM_SHUFFLE = 3, /* row order; step = epoch */
    FT_STREAM_SPLIT = 4,   /* validation split */
    FT_STREAM_DROPOUT = 5, /* step = optimizer step; index = (layer site, element) */
    FT_STREAM_SAMPLE = 6,  /* generation; step = token, index = row */
    FT_STREAM_TEST = 7
} ft_stream;

/* out[4] = Philox(key = seed ^ stream mix, counter = (index, step)). */
void ft_philox(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index, uint32_t out[4]);
/* Uniform in [0, 1), 24 bits. */
float ft_uniform(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index);
/* Fills n values: standard normal (Box-Muller), uniform in [lo, hi). Element i depends on i alone; ..._at fills elements
 * first, first + 1, ... of such a filling (first is a multiple of 4). */
void ft_fill_normal(float *x, size_t n, float std, uint64_t seed, uint32_t stream, uint64_t step);
void ft_fill_normal_at(float *x, size_t first, size_t n, float std, uint64_t seed, uint32_t stream, uint64_t step);
void ft_fill_uniform(float *x, size_t n, float lo, float hi, uint64_t seed, uint32_t stream, uint64_t step);
/* order[0..n) = a permutation of 0..n-1 (Fisher-Yates). */
void ft_permutation(int64_t *order, size_t n, uint64_t seed, uint32_t stream, uint64_t step);

#endif
