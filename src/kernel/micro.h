/* The packed engines' inner parts, written once and compiled by engine files with other flags: FT_LANES floats in a
 * vector, FT_MICRO_ROWS rows and two vectors of columns in a tile, FT_MICRO_PAIR elements of K in a unit (2: bf16).
 * Defines everything static. The contracts stand in kernel/engine.h.
 *
 * A tile's sums live in registers from the first unit to the last: 2 FT_MICRO_ROWS of them, two for a strip's vectors,
 * the rest for the element of the stripe that goes to all lanes. They have names of their own, since compilers keep
 * arrays of vectors in memory.
 */
#include "kernel/engine.h"
#include "kernel/lanes.h"

#define FT_INLINE static inline __attribute__((always_inline))

enum { COLS = 2 * FT_LANES, AHEAD = 32 /* rows that packing asks for beforehand where K runs down */ };

/* ---- a few lanes: zeros behind the n-th, n may be anything ---- */

FT_INLINE vf some(const float *p, int64_t n)
{
    if (n >= L)
        return load(p);
    if (n <= 0)
        return (vf){0};
#if FT_LANES == 16
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (vf)_mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane));
#endif
}

FT_INLINE void put_some(float *p, vf v, int64_t n)
{
#if FT_LANES == 16
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane), (__m256)v);
#endif
}

/* ---- units ---- */

FT_INLINE void store_units(uint32_t *to, vu v)
{
    memcpy(to, &v, sizeof v);
}

#if FT_MICRO_PAIR == 2
/* Units of 2 L consecutive elements, and of two rows whose elements pair up. */
FT_INLINE vu units_along(const float *p, int64_t n)
{
    return (vu)_mm512_cvtne2ps_pbh((__m512)some(p + L, n - L), (__m512)some(p, n));
}

FT_INLINE vu units_across(const float *p, const float *q, int64_t n)
{
    __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)some(p, n)));
    __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)some(q, q ? n : 0)));
    return (vu)_mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

FT_INLINE vf multiply_add(vf sum, vf a, vf b)
{
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}
#else
FT_INLINE vu units_along(const float *p, int64_t n)
{
    return (vu)some(p, n);
}

FT_INLINE vu units_across(const float *p, const float *q, int64_t n)
{
    return (vu)some(p, n);
}

FT_INLINE vf multiply_add(vf sum, vf a, vf b)
{
    return sum + a * b;
}
#endif

/* ---- packing ---- */

/* Rows are far apart, so no hardware foresees the next one: packing asks for it. Into the second level of the cache,
 * since rows a power of two apart share too few sets of the first. Past an operand's end it is harmless. */
FT_INLINE void fetch(const float *p)
{
    __builtin_prefetch(p, 0, 2);
}

static void pack_rows(uint32_t *to, const float *a, int64_t ld, int64_t rows, int64_t K)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < K; k += L * FT_MICRO_PAIR) {
            for (int64_t v = 0; v < FT_MICRO_PAIR; v++)
                fetch(a + (i + rows) * ld + k + v * L);
            store_units(to + i * FT_ROW_UNITS + k / FT_MICRO_PAIR, units_along(a + i * ld + k, K - k));
        }
}

static void pack_straight(uint32_t *to, int64_t width, const float *a, int64_t ld, int64_t n, int64_t K)
{
    for (int64_t k = 0; k < K; k += FT_MICRO_PAIR, to += width) {
        const float *p = a + k * ld, *q = k + 1 < K ? p + ld : NULL;
        for (int64_t i = 0; i < width; i += L) {
            for (int64_t r = 0; r < FT_MICRO_PAIR; r++)
                fetch(p + (AHEAD + r) * ld + i);
            store_units(to + i, units_across(p + i, q ? q + i : NULL, n - i));
        }
    }
}

/* Exchanges blocks of `half` lanes between v[i] and v[i + half]: with half = L / 2, ... 1 all lanes are transposed. */
#if FT_LANES == 16
FT_INLINE void transpose(vu v[16])
{
    vu t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = (vu)_mm512_unpacklo_epi32((__m512i)v[i], (__m512i)v[i + 1]);
        t[i + 1] = (vu)_mm512_unpackhi_epi32((__m512i)v[i], (__m512i)v[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            v[i + 2 * j] = (vu)_mm512_unpacklo_epi64((__m512i)t[i + j], (__m512i)t[i + j + 2]);
            v[i + 2 * j + 1] = (vu)_mm512_unpackhi_epi64((__m512i)t[i + j], (__m512i)t[i + j + 2]);
        }
    for (int i = 0; i < 16; i += 8)
        for (int j = 0; j < 4; j++) {
            t[i + j] = (vu)_mm512_shuffle_i32x4((__m512i)v[i + j], (__m512i)v[i + j + 4], 0x88);
            t[i + j + 4] = (vu)_mm512_shuffle_i32x4((__m512i)v[i + j], (__m512i)v[i + j + 4], 0xdd);
        }
    for (int j = 0; j < 8; j++) {
        v[j] = (vu)_mm512_shuffle_i32x4((__m512i)t[j], (__m512i)t[j + 8], 0x88);
        v[j + 8] = (vu)_mm512_shuffle_i32x4((__m512i)t[j], (__m512i)t[j + 8], 0xdd);
    }
}
#else
FT_INLINE void transpose(vu v[8])
{
    vu t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = (vu)_mm256_unpacklo_epi32((__m256i)v[i], (__m256i)v[i + 1]);
        t[i + 1] = (vu)_mm256_unpackhi_epi32((__m256i)v[i], (__m256i)v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            v[i + 2 * j] = (vu)_mm256_unpacklo_epi64((__m256i)t[i + j], (__m256i)t[i + j + 2]);
            v[i + 2 * j + 1] = (vu)_mm256_unpackhi_epi64((__m256i)t[i + j], (__m256i)t[i + j + 2]);
        }
    for (int j = 0; j < 4; j++) {
        t[j] = (vu)_mm256_permute2x128_si256((__m256i)v[j], (__m256i)v[j + 4], 0x20);
        t[j + 4] = (vu)_mm256_permute2x128_si256((__m256i)v[j], (__m256i)v[j + 4], 0x31);
    }
    memcpy(v, t, sizeof t);
}
#endif

/* L units of L vectors; those `width` further on come next. */
FT_INLINE void turn_block(uint32_t *to, int64_t width, const float *a, int64_t ld, int64_t n, int64_t K)
{
    vu v[L];
    for (int i = 0; i < L; i++) {
        for (int64_t u = 0; u < FT_MICRO_PAIR; u++)
            fetch(a + (i + width) * ld + u * L);
        v[i] = i < n ? units_along(a + i * ld, K) : (vu){0};
    }
    transpose(v);
    int64_t units = (K + FT_MICRO_PAIR - 1) / FT_MICRO_PAIR;
    for (int64_t p = 0; p < L && p < units; p++)
        store_units(to + p * width, v[p]);
}

static void pack_turned(uint32_t *to, int64_t width, const float *a, int64_t ld, int64_t n, int64_t K)
{
    for (int64_t k = 0; k < K; k += L * FT_MICRO_PAIR)
        for (int64_t i = 0; i < width; i += L)
            turn_block(to + k / FT_MICRO_PAIR * width + i, width, i < n ? a + i * ld + k : a, ld, n - i, K - k);
}

/* ---- the tile ---- */

#if FT_MICRO_ROWS == 14
#define EACH_ROW(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13)
#else
#define EACH_ROW(x) x(0) x(1) x(2) x(3) x(4) x(5)
#endif

/* What is behind the strip's end or in front of c's row stays as it is. */
FT_INLINE void keep(float *c, vf v, int64_t n, bool add)
{
    if (n >= L)
        store(c, add ? load(c) + v : v);
    else if (n > 0)
        put_some(c, add ? some(c, n) + v : v, n);
}

#define DECLARE(r) vf low##r = {0}, high##r = {0};
#define STEP(r)                                                                                                        \
    if (r < rows) {                                                                                                    \
        vf x = (vf)((vu){0} + a[r * row]);                                                                             \
        low##r = multiply_add(low##r, x, b0);                                                                          \
        if (wide)                                                                                                      \
            high##r = multiply_add(high##r, x, b1);                                                                    \
    }
#define KEEP(r)                                                                                                        \
    if (r < rows) {                                                                                                    \
        keep(m->c + r * m->ldc, low##r * scale, m->cols, m->add);                                                      \
        if (wide)                                                                                                      \
            keep(m->c + r * m->ldc + L, high##r * scale, m->cols - L, m->add);                                         \
    }

/* `rows`, the stripe's steps from row to row and from unit to unit, and whether more than a vector of columns is
 * wanted, are constants in every copy of this. */
FT_INLINE void tile(const ft_micro *m, const int rows, const int row, const int step, const bool wide)
{
    EACH_ROW(DECLARE)
    vf scale = all(m->scale);
    const uint32_t *a = m->stripe, *b = m->strip;
    const float *c = m->c;
    for (int r = 0; r < rows; r++, c += m->ldc) { /* wanted at the end: it is here by then */
        __builtin_prefetch(c, 1);
        if (wide)
            __builtin_prefetch(c + L, 1);
    }
    for (int64_t p = 0; p < m->units; p++, a += step, b += COLS) {
        vf b0 = load((const float *)b), b1 = load((const float *)b + L);
        EACH_ROW(STEP)
    }
    EACH_ROW(KEEP)
}

#define TILE(r)                                                                                                        \
    static void tile_by_row##r(const ft_micro *m)                                                                      \
    {                                                                                                                  \
        tile(m, r + 1, FT_ROW_UNITS, 1, true);                                                                         \
    }                                                                                                                  \
    static void tile_by_unit##r(const ft_micro *m)                                                                     \
    {                                                                                                                  \
        tile(m, r + 1, 1, FT_MICRO_ROWS, true);                                                                        \
    }                                                                                                                  \
    static void narrow_by_row##r(const ft_micro *m)                                                                    \
    {                                                                                                                  \
        tile(m, r + 1, FT_ROW_UNITS, 1, false);                                                                        \
    }                                                                                                                  \
    static void narrow_by_unit##r(const ft_micro *m)                                                                   \
    {                                                                                                                  \
        tile(m, r + 1, 1, FT_MICRO_ROWS, false);                                                                       \
    }
EACH_ROW(TILE)

static void micro(const ft_micro *m)
{
#define ADDRESS(r) {{narrow_by_row##r, narrow_by_unit##r}, {tile_by_row##r, tile_by_unit##r}},
    static void (*const tiles[FT_MICRO_ROWS][2][2])(const ft_micro *) = {EACH_ROW(ADDRESS)};
    tiles[m->rows - 1][m->cols > L][m->layout](m);
}

/* The members of an engine's row that this file gives. */
#define FT_PACKED_ENGINE                                                                                               \
    .rows = FT_MICRO_ROWS, .cols = COLS, .pair = FT_MICRO_PAIR, .pack_rows = pack_rows, .pack_turned = pack_turned,    \
    .pack_straight = pack_straight, .micro = micro
