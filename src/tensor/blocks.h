/* The quantized blocks byte by byte, as ggml lays them out in GGUF files (NF4 apart, which is fettle's own layout).
 *
 * For the dtype files that encode and decode them and for the kernels that read them fast. All of it is little-endian;
 * a `half` is an IEEE f16. Where a byte holds two 4-bit codes, the low one belongs to the first half of the values that
 * the bytes cover, the high one to the second half.
 */
#ifndef FETTLE_TENSOR_BLOCKS_H
#define FETTLE_TENSOR_BLOCKS_H

#include <assert.h>
#include <stdint.h>

typedef uint16_t ft_half;
enum { FT_SUPER = 256 }; /* values in a block of the K types and of iq4_xs */

/* ---- 32 values ---- */
typedef struct ft_block_q4_0 { /* d (q - 8) */
    ft_half d;
    uint8_t q[16];
} ft_block_q4_0;
static_assert(sizeof(ft_block_q4_0) == 2 + 16, "packed");

typedef struct ft_block_q4_1 { /* d q + m */
    ft_half d, m;
    uint8_t q[16];
} ft_block_q4_1;
static_assert(sizeof(ft_block_q4_1) == 2 + 2 + 16, "packed");

typedef struct ft_block_q5_0 { /* d (q - 16); the fifth bit of value i is bit i of `high` */
    ft_half d;
    uint8_t high[4];
    uint8_t q[16];
} ft_block_q5_0;
static_assert(sizeof(ft_block_q5_0) == 2 + 4 + 16, "packed");

typedef struct ft_block_q5_1 { /* d q + m */
    ft_half d, m;
    uint8_t high[4];
    uint8_t q[16];
} ft_block_q5_1;
static_assert(sizeof(ft_block_q5_1) == 2 + 2 + 4 + 16, "packed");

typedef struct ft_block_q8_0 { /* d q */
    ft_half d;
    int8_t q[32];
} ft_block_q8_0;
static_assert(sizeof(ft_block_q8_0) == 2 + 32, "packed");

typedef struct ft_block_iq4_nl { /* d ft_iq4_values[q] */
    ft_half d;
    uint8_t q[16];
} ft_block_iq4_nl;
static_assert(sizeof(ft_block_iq4_nl) == 2 + 16, "packed");

typedef struct ft_block_mxfp4 { /* 2^(e - 128) ft_mxfp4_values[q] */
    uint8_t e;
    uint8_t q[16];
} ft_block_mxfp4;
static_assert(sizeof(ft_block_mxfp4) == 1 + 16, "packed");

/* ---- 256 values: scales of sub-blocks under scales of the block ---- */

typedef struct ft_block_q2_k { /* 16 sub-blocks of 16: d (scale & 15) q - dmin (scale >> 4) */
    uint8_t scale[16];
    uint8_t q[64]; /* byte 32 h + i, bits 2 s: value 128 h + 32 s + i */
    ft_half d, dmin;
} ft_block_q2_k;
static_assert(sizeof(ft_block_q2_k) == 16 + 64 + 2 + 2, "packed");

typedef struct ft_block_q3_k { /* 16 sub-blocks of 16: d (scale - 32) (q - 4), the third bit of q in `high` */
    uint8_t high[32]; /* byte i, bit 4 h + s: value 128 h + 32 s + i */
    uint8_t q[64];    /* as q2_k */
    uint8_t scale[12]; /* 6 bits: the low four of sub-block j in the nibbles of byte j % 8, the high two in 8 + j % 4 */
    ft_half d;
} ft_block_q3_k;
static_assert(sizeof(ft_block_q3_k) == 32 + 64 + 12 + 2, "packed");

typedef struct ft_block_q4_k { /* 8 sub-blocks of 32: d scale q - dmin min */
    ft_half d, dmin;
    uint8_t scale[12]; /* 6-bit scales and mins, see ft_k_scales */
    uint8_t q[128];    /* byte 32 p + i: value 64 p + i in the low nibble, 64 p + 32 + i in the high one */
} ft_block_q4_k;
static_assert(sizeof(ft_block_q4_k) == 2 + 2 + 12 + 128, "packed");

typedef struct ft_block_q5_k { /* as q4_k, with the fifth bit of value 32 j + i in byte i, bit j of `high` */
    ft_half d, dmin;
    uint8_t scale[12];
    uint8_t high[32];
    uint8_t q[128];
} ft_block_q5_k;
static_assert(sizeof(ft_block_q5_k) == 2 + 2 + 12 + 32 + 128, "packed");

typedef struct ft_block_q6_k { /* 16 sub-blocks of 16: d scale (q - 32) */
    uint8_t q[128];   /* byte 64 h + 32 s + i: value 128 h + 32 s + i in the low nibble, 64 further in the high one */
    uint8_t high[64]; /* byte 32 h + i, bits 2 s: value 128 h + 32 s + i */
    int8_t scale[16];
    ft_half d;
} ft_block_q6_k;
static_assert(sizeof(ft_block_q6_k) == 128 + 64 + 16 + 2, "packed");

typedef struct ft_block_iq4_xs { /* 8 sub-blocks of 32: d (scale - 32) ft_iq4_values[q] */
    ft_half d;
    uint16_t scale_high;  /* two bits a sub-block */
    uint8_t scale_low[4]; /* four bits a sub-block */
    uint8_t q[128];       /* 16 bytes a sub-block */
} ft_block_iq4_xs;
static_assert(sizeof(ft_block_iq4_xs) == 2 + 2 + 4 + 128, "packed");

/* ---- NF4: 64 values under one absolute maximum ---- */
typedef struct ft_block_nf4 { /* top ft_nf4_values[q] */
    ft_half top;
    uint8_t q[32];
} ft_block_nf4;
static_assert(sizeof(ft_block_nf4) == 2 + 32, "packed");

typedef struct ft_block_nf4_dq { /* the maxima of four blocks of 64 in 8 bits: d top[j] */
    ft_half d;
    uint8_t top[4];
    uint8_t q[128]; /* 32 bytes a block of 64 */
} ft_block_nf4_dq;
static_assert(sizeof(ft_block_nf4_dq) == 2 + 4 + 128, "packed");

/* Values of the 4-bit codes; the first and the last table ascend, mxfp4's is magnitudes with a sign bit. */
extern const int8_t ft_iq4_values[16], ft_mxfp4_values[16];
extern const float ft_nf4_values[16];

/* 2^(e - 128), the scale of an mxfp4 block: half of what the exponent says, since its table holds doubled values. */
static inline float ft_mxfp4_scale(uint8_t e)
{
    union {
        uint32_t u;
        float f;
    } v = {.u = e < 2 ? (uint32_t)0x00200000 << e : (uint32_t)(e - 1) << 23};
    return v.f;
}
/* The scale and min of each sub-block of q4_k and q5_k: sub-blocks 0..3 in the low six bits of bytes j and 4 + j; the
 * low fours of 4..7 in the nibbles of bytes 8 + j - 4, their high twos above the six bits of bytes j - 4 and j. */
static inline void ft_k_scales(const uint8_t packed[12], uint8_t scale[8], uint8_t min[8])
{
    for (int j = 0; j < 4; j++) {
        scale[j] = packed[j] & 63;
        min[j] = packed[4 + j] & 63;
        scale[4 + j] = (uint8_t)((packed[8 + j] & 15) | (packed[j] >> 6 << 4));
        min[4 + j] = (uint8_t)((packed[8 + j] >> 4) | (packed[4 + j] >> 6 << 4));
    }
}
/* The sixteen scales of q3_k, without the 32 that they are stored with. */
static inline void ft_q3_scales(const uint8_t packed[12], int8_t scale[16])
{
    for (int j = 0; j < 16; j++) {
        int low = packed[j % 8] >> (j / 8 * 4) & 15, high = packed[8 + j % 4] >> (j / 4 * 2) & 3;
        scale[j] = (int8_t)((low | high << 4) - 32);
    }
}
/* The scale of sub-block j of iq4_xs. */
static inline int ft_iq4_xs_scale(const ft_block_iq4_xs *b, int j)
{
    return ((b->scale_low[j / 2] >> (j % 2 * 4) & 15) | (b->scale_high >> (2 * j) & 3) << 4) - 32;
}

#endif
