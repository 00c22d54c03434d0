/* Inside the tensor room: choosing the scale (and the minimum) of a block so that the weighted squared error is small.
 *
 * All of these take n values, n a multiple of 4 and at most 256, all finite. w [n] are weights >= 0, not all 0.
 */
#ifndef FETTLE_TENSOR_FIT_H
#define FETTLE_TENSOR_FIT_H

#include "tensor/blocks.h"
#include "tensor/tensor.h"

/* The numbers a block can hold in units of its scale: all integers lo .. hi, or `n` ascending ones. */
typedef struct ft_levels {
    float lo, hi;
    int n;           /* 0: the integers */
    float value[16]; /* n of them */
} ft_levels;

/* The scale d that makes sum w (x - d nearest(x / d))^2 small; 0 for zeros. May be negative. */
float ft_fit__scale(const ft_levels *l, const float *x, const float *w, int n);
/* The error of a given scale; d 0 means that all become 0. */
float ft_fit__error(const ft_levels *l, const float *x, const float *w, int n, float d);
/* code[n]: the number of the level nearest to x / d (of the integers: 0 for lo); the level nearest to 0 where d is 0. */
void ft_fit__codes(const ft_levels *l, const float *x, int n, float d, uint8_t *code);

/* x is about d q - m with q in 0 .. top. The pair that makes the error small; low_only: m >= 0 is demanded. */
typedef struct ft_affine {
    float d, m;
} ft_affine;
ft_affine ft_fit__affine(int top, bool low_only, const float *x, const float *w, int n);
void ft_fit__affine_codes(int top, const float *x, int n, ft_affine a, uint8_t *code);

/* ---- blocks of 256: `sub` values a sub-block, whose integer scales stand under f16 scales of the block ---- */

/* x = d s[j] level: s in low .. high. Chooses d (f16 bits), the integers s [256 / sub] and the codes [256]. */
void ft_fit__super(const ft_levels *l, int sub, int low, int high, const float *x, const float *w, uint16_t *d, int8_t *s,
                   uint8_t *code);
/* x = d s[j] q - dmin m[j]: s and m in 0 .. most, q in 0 .. top. */
void ft_fit__super_affine(int top, int sub, int most, const float *x, const float *w, uint16_t *d, uint16_t *dmin,
                          uint8_t *s, uint8_t *m, uint8_t *code);

/* ---- for encoders ---- */
/* The weights of a block's values: a copy of `importance`, or ones where it is NULL, not a number or nothing but zeros. */
void ft_fit__weights(const float *importance, int n, float *w);
/* Whether all of x[n] are finite. A block that holds anything else is stored with NaN for its scale: it decodes to NaN
 * throughout, and nothing of it passes for a number. */
bool ft_fit__finite(const float *x, int n);
enum { FT_HALF_NAN = 0x7e00 };

#endif
