/* Which type each tensor of a file gets: the mixes of export/mixes.def, and what stands in where a row is no whole number
 * of blocks.
 *
 * What stands in is a column of the dtypes, as llama.cpp has it (for 2 and 3 bits its versions differ between iq4_nl and
 * q4_0, which are of one size: iq4_nl is the better one).
 *
 * The rules speak of parts of a model by their names in GGUF ("blk.3.attn_v.weight") and of layers by their place. Only
 * matrices called "....weight" are quantized; norms, biases and tables of positions stay as they are.
 */
#include "export/export.h"

#include <stdio.h>
#include <string.h>

#define FT_MIX(...) {__VA_ARGS__},
static const ft_mix mixes[] = {
#include "export/mixes.def"
};
#undef FT_MIX

const ft_mix *ft_mix_at(size_t i)
{
    return i < FT_COUNT(mixes) ? &mixes[i] : NULL;
}

const ft_mix *ft_mix_named(const char *name)
{
    for (size_t i = 0; i < FT_COUNT(mixes); i++)
        if (strcmp(mixes[i].name, name) == 0 || (mixes[i].alias && strcmp(mixes[i].alias, name) == 0))
            return &mixes[i];
    return NULL;
}

uint32_t ft_mix_file_type(const ft_dtype *dtype)
{
    for (size_t i = 0; i < FT_COUNT(mixes); i++)
        if (mixes[i].dtype == dtype)
            return mixes[i].file_type;
    return 0;
}

/* ---- parts of a model ---- */

static const struct {
    const char *name; /* behind "blk.N.", or the whole of it */
    ft_mix_part part;
} parts[] = {{"attn_v.weight", FT_PART_ATTN_V},           {"attn_qkv.weight", FT_PART_ATTN_QKV},
             {"attn_output.weight", FT_PART_ATTN_OUTPUT}, {"ffn_down.weight", FT_PART_FFN_DOWN},
             {"output.weight", FT_PART_OUTPUT}};

/* The part, and the layer (0 for what is in none). */
static ft_mix_part part_of(const ft_mix_shape *m, const char *name, int64_t *layer)
{
    long long at;
    int skip = 0;
    *layer = 0;
    if (sscanf(name, "blk.%9lld.%n", &at, &skip) == 1 && skip > 0) {
        *layer = at;
        name += skip;
    }
    if (!skip && !m->has_output && strcmp(name, "token_embd.weight") == 0)
        return FT_PART_OUTPUT;
    for (size_t i = 0; i < FT_COUNT(parts); i++)
        if ((parts[i].part == FT_PART_OUTPUT) == !skip && strcmp(parts[i].name, name) == 0)
            return parts[i].part;
    return FT_PART_OTHER;
}

static bool more_bits(int64_t layer, int64_t layers)
{
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

static bool is_there(ft_mix_where where, int64_t layer, const ft_mix_shape *m)
{
    switch (where) {
    case FT_WHERE_ALL:
        return true;
    case FT_WHERE_FIRST_2:
        return layer < 2;
    case FT_WHERE_FIRST_4:
        return layer < 4;
    case FT_WHERE_EIGHTH:
        return layer < m->layers / 8;
    case FT_WHERE_SIXTEENTH:
        return layer < m->layers / 16;
    case FT_WHERE_EIGHTH_IF_WEIGHTED:
        return m->weighted && layer < m->layers / 8;
    case FT_WHERE_EIGHTH_IF_UNWEIGHTED:
        return !m->weighted && layer < m->layers / 8;
    case FT_WHERE_MORE_BITS:
        return more_bits(layer, m->layers);
    case FT_WHERE_SHARED:
        return m->kv_heads > 0 && m->heads / m->kv_heads >= 4;
    }
    return false;
}

bool ft_mix_quantizes(const char *name, int ndim)
{
    static const char *const kept[] = {"position_embd.weight", "token_types.weight", "ffn_gate_inp.weight",
                                       "shortconv.conv.weight"};
    size_t n = strlen(name);
    if (ndim < 2 || n < 7 || strcmp(name + n - 7, ".weight") != 0 || (n > 12 && strcmp(name + n - 12, "_norm.weight") == 0))
        return false;
    for (size_t i = 0; i < FT_COUNT(kept); i++) {
        size_t k = strlen(kept[i]);
        if (n >= k && strcmp(name + n - k, kept[i]) == 0)
            return false;
    }
    return true;
}

const ft_dtype *ft_mix_type(const ft_mix *mix, const ft_mix_shape *m, const char *name, int64_t cols,
                            const ft_dtype **wanted)
{
    int64_t layer;
    ft_mix_part part = part_of(m, name, &layer);
    const ft_dtype *dtype = mix->dtype;
    for (size_t i = 0; i < FT_COUNT(mix->rules) && mix->rules[i].dtype; i++)
        if (mix->rules[i].part == part && is_there(mix->rules[i].where, layer, m)) {
            dtype = mix->rules[i].dtype;
            break;
        }
    if (wanted)
        *wanted = dtype;
    /* the head is the last to be made coarser */
    if (part == FT_PART_OUTPUT && !mix->dtype->is_float && cols % mix->dtype->block_len)
        dtype = &ft_q8_0;
    return ft_dtype_for_rows(dtype, cols);
}
