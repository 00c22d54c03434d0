#include "base/rng.h"

#include <math.h>

void ft_philox(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = (uint32_t)step, c3 = (uint32_t)(step >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32) ^ (stream * 0x85ebca6bu);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

float ft_uniform(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index)
{
    uint32_t r[4];
    ft_philox(seed, stream, step, index, r);
    return (float)(r[0] >> 8) * 0x1p-24f;
}

void ft_fill_uniform(float *x, size_t n, float lo, float hi, uint64_t seed, uint32_t stream, uint64_t step)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t r[4];
        ft_philox(seed, stream, step, i / 4, r);
        for (size_t j = 0; j < 4 && i + j < n; j++)
            x[i + j] = lo + (hi - lo) * ((float)(r[j] >> 8) * 0x1p-24f);
    }
}

void ft_fill_normal(float *x, size_t n, float std, uint64_t seed, uint32_t stream, uint64_t step)
{
    ft_fill_normal_at(x, 0, n, std, seed, stream, step);
}

void ft_fill_normal_at(float *x, size_t first, size_t n, float std, uint64_t seed, uint32_t stream, uint64_t step)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t r[4];
        ft_philox(seed, stream, step, (first + i) / 4, r);
        for (size_t j = 0; j < 4 && i + j < n; j += 2) {
            double u = ((double)r[j] + 1.0) * 0x1p-32, v = (double)r[j + 1] * 0x1p-32;
            double radius = sqrt(-2.0 * log(u)) * std, angle = 6.283185307179586 * v;
            x[i + j] = (float)(radius * cos(angle));
            if (i + j + 1 < n)
                x[i + j + 1] = (float)(radius * sin(angle));
        }
    }
}

void ft_permutation(int64_t *order, size_t n, uint64_t seed, uint32_t stream, uint64_t step)
{
    for (size_t i = 0; i < n; i++)
        order[i] = (int64_t)i;
    for (size_t i = n; i > 1; i--) {
        uint32_t r[4];
        ft_philox(seed, stream, step, i, r);
        /* 64 random bits against at most 2^40 rows: the bias is below 2^-24 */
        size_t j = (size_t)((((uint64_t)r[0] << 32) | r[1]) % i);
        int64_t t = order[i - 1];
        order[i - 1] = order[j];
        order[j] = t;
    }
}
