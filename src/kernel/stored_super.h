/* Reading blocks of 256 values with scales of their sub-blocks (tensor/blocks.h), by the means of kernel/stored_blocks.h.
 * Included by kernel/stored.h alone. Group g holds the values from 16 g on.
 */

/* Two bits of each of sixteen bytes: bits 2 pair and the one above. */
static inline __m128i bit_pairs(__m128i b, int pair)
{
    return _mm_and_si128(_mm_srli_epi16(b, 2 * pair), _mm_set1_epi8(3));
}

static inline void q2_k_open(const ft_block_q2_k *b, scales *s)
{
    float d = half_float(b->d), dmin = half_float(b->dmin);
    group16 low = scaled(floats_of(nibbles(load_bytes(b->scale), 0)), d);
    group16 high = scaled(floats_of(nibbles(load_bytes(b->scale), 1)), -dmin);
    memcpy(s->d, &low, sizeof s->d);
    memcpy(s->m, &high, sizeof s->m);
}

static inline group16 q2_k_group(const ft_block_q2_k *b, const scales *s, int g)
{
    __m128i q = bit_pairs(load_bytes(b->q + g / 8 * 32 + g % 2 * 16), g % 8 / 2);
    return affine(floats_of(q), s->d[g], s->m[g]);
}
BLOCK_READER(q2_k, ft_block_q2_k, 16)

static inline void q3_k_open(const ft_block_q3_k *b, scales *s)
{
    int8_t scale[16];
    ft_q3_scales(b->scale, scale);
    group16 each = scaled(floats_of(load_bytes(scale)), half_float(b->d));
    memcpy(s->d, &each, sizeof s->d);
}

static inline group16 q3_k_group(const ft_block_q3_k *b, const scales *s, int g)
{
    __m128i q = bit_pairs(load_bytes(b->q + g / 8 * 32 + g % 2 * 16), g % 8 / 2);
    q = _mm_or_si128(q, where_bit(load_bytes(b->high + g % 2 * 16), g / 2, 4));
    return scaled(floats_of(_mm_sub_epi8(q, _mm_set1_epi8(4))), s->d[g]);
}
BLOCK_READER(q3_k, ft_block_q3_k, 16)

/* The eight scales and minima of q4_k and q5_k. */
static inline void open_pairs(ft_half d, ft_half dmin, const uint8_t packed[12], scales *s)
{
    uint8_t both[16];
    ft_k_scales(packed, both, both + 8);
    group16 each = floats_of(load_bytes(both));
    float scale = half_float(d), min = -half_float(dmin), f[16];
    memcpy(f, &each, sizeof f);
    for (int j = 0; j < 8; j++) {
        s->d[j] = scale * f[j];
        s->m[j] = min * f[8 + j];
    }
}

static inline void q4_k_open(const ft_block_q4_k *b, scales *s)
{
    open_pairs(b->d, b->dmin, b->scale, s);
}

static inline group16 q4_k_group(const ft_block_q4_k *b, const scales *s, int g)
{
    __m128i q = nibbles(load_bytes(b->q + g / 4 * 32 + g % 2 * 16), g / 2 % 2);
    return affine(floats_of(q), s->d[g / 2], s->m[g / 2]);
}
BLOCK_READER(q4_k, ft_block_q4_k, 16)

static inline void q5_k_open(const ft_block_q5_k *b, scales *s)
{
    open_pairs(b->d, b->dmin, b->scale, s);
}

static inline group16 q5_k_group(const ft_block_q5_k *b, const scales *s, int g)
{
    __m128i q = nibbles(load_bytes(b->q + g / 4 * 32 + g % 2 * 16), g / 2 % 2);
    q = _mm_or_si128(q, where_bit(load_bytes(b->high + g % 2 * 16), g / 2, 16));
    return affine(floats_of(q), s->d[g / 2], s->m[g / 2]);
}
BLOCK_READER(q5_k, ft_block_q5_k, 16)

static inline void q6_k_open(const ft_block_q6_k *b, scales *s)
{
    group16 each = scaled(floats_of(load_bytes(b->scale)), half_float(b->d));
    memcpy(s->d, &each, sizeof s->d);
}

static inline group16 q6_k_group(const ft_block_q6_k *b, const scales *s, int g)
{
    __m128i q = nibbles(load_bytes(b->q + g / 8 * 64 + g % 4 * 16), g % 8 / 4);
    __m128i high = bit_pairs(load_bytes(b->high + g / 8 * 32 + g % 2 * 16), g % 8 / 2);
    q = _mm_or_si128(q, _mm_slli_epi16(high, 4));
    return scaled(floats_of(_mm_sub_epi8(q, _mm_set1_epi8(32))), s->d[g]);
}
BLOCK_READER(q6_k, ft_block_q6_k, 16)

static inline void iq4_xs_open(const ft_block_iq4_xs *b, scales *s)
{
    float d = half_float(b->d);
    for (int j = 0; j < 8; j++)
        s->d[j] = d * (float)ft_iq4_xs_scale(b, j);
}

static inline group16 iq4_xs_group(const ft_block_iq4_xs *b, const scales *s, int g)
{
    return scaled(looked_up(ft_iq4_values, nibbles(load_bytes(b->q + g / 2 * 16), g % 2)), s->d[g / 2]);
}
BLOCK_READER(iq4_xs, ft_block_iq4_xs, 16)
#undef BLOCK_READER
#undef UNROLL
