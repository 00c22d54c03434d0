/* Metadata values: the GGUF value types, and typed reading with conversion among kinds of numbers. */
#include "file/container_impl.h"

#include <math.h>
#include <string.h>

typedef struct value_type {
    size_t bytes;
    ft_meta_kind kind;
} value_type;
static const value_type types[] = {
    [FT_GGUF__U8] = {1, FT_META_UINT},     [FT_GGUF__I8] = {1, FT_META_INT},    [FT_GGUF__U16] = {2, FT_META_UINT},
    [FT_GGUF__I16] = {2, FT_META_INT},     [FT_GGUF__U32] = {4, FT_META_UINT},  [FT_GGUF__I32] = {4, FT_META_INT},
    [FT_GGUF__F32] = {4, FT_META_FLOAT},   [FT_GGUF__BOOL] = {1, FT_META_BOOL}, [FT_GGUF__STRING] = {0, FT_META_STRING},
    [FT_GGUF__ARRAY] = {0, FT_META_ARRAY}, [FT_GGUF__U64] = {8, FT_META_UINT},  [FT_GGUF__I64] = {8, FT_META_INT},
    [FT_GGUF__F64] = {8, FT_META_FLOAT},
};

size_t ft_gguf__bytes(int64_t type)
{
    return type >= 0 && (size_t)type < FT_COUNT(types) ? types[type].bytes : 0;
}

static double float_at(size_t bytes, const void *p)
{
    float f;
    double d;
    if (bytes == sizeof d)
        return memcpy(&d, p, sizeof d), d;
    memcpy(&f, p, sizeof f);
    return f;
}

void ft_gguf__number(ft_meta *m, int32_t type, const void *p)
{
    size_t bytes = types[type].bytes;
    uint64_t u = 0;
    memcpy(&u, p, bytes); /* little-endian: configure refuses other hosts */
    m->kind = types[type].kind;
    m->gguf_type = type;
    if (m->kind == FT_META_BOOL)
        m->v.b = u != 0;
    else if (m->kind == FT_META_FLOAT)
        m->v.f = float_at(bytes, p);
    else if (m->kind == FT_META_INT && bytes < sizeof u) /* the sign bit moves to the top and back */
        m->v.i = (int64_t)(u << (64 - 8 * bytes)) >> (64 - 8 * bytes);
    else
        m->v.u = u;
}

/* Names of ggml's tensor types, for messages about those that fettle does not read. */
const char *ft_gguf__tensor_type(int64_t id)
{
    static const char *const names[] = {
        [0] = "F32",     [1] = "F16",    [2] = "Q4_0",     [3] = "Q4_1",    [6] = "Q5_0",     [7] = "Q5_1",
        [8] = "Q8_0",    [9] = "Q8_1",   [10] = "Q2_K",    [11] = "Q3_K",   [12] = "Q4_K",    [13] = "Q5_K",
        [14] = "Q6_K",   [15] = "Q8_K",  [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S",
        [20] = "IQ4_NL", [21] = "IQ3_S", [22] = "IQ2_S",   [23] = "IQ4_XS", [24] = "I8",      [25] = "I16",
        [26] = "I32",    [27] = "I64",   [28] = "F64",     [29] = "IQ1_M",  [30] = "BF16",    [34] = "TQ1_0",
        [35] = "TQ2_0",  [39] = "MXFP4"};
    return id >= 0 && (size_t)id < FT_COUNT(names) ? names[id] : NULL;
}

bool ft_meta_i64(const ft_meta *m, int64_t *out)
{
    if (!m)
        return false;
    if (m->kind == FT_META_INT || (m->kind == FT_META_UINT && m->v.u <= INT64_MAX)) {
        *out = m->v.i; /* the same bytes in both kinds */
        return true;
    }
    if (m->kind != FT_META_FLOAT || m->v.f != nearbyint(m->v.f) || fabs(m->v.f) > 0x1p53)
        return false;
    *out = (int64_t)m->v.f;
    return true;
}

bool ft_meta_f64(const ft_meta *m, double *out)
{
    if (!m || (m->kind != FT_META_INT && m->kind != FT_META_UINT && m->kind != FT_META_FLOAT))
        return false;
    *out = m->kind == FT_META_FLOAT ? m->v.f : m->kind == FT_META_INT ? (double)m->v.i : (double)m->v.u;
    return true;
}

bool ft_meta_bool(const ft_meta *m, bool *out)
{
    if (!m || m->kind != FT_META_BOOL)
        return false;
    *out = m->v.b;
    return true;
}

bool ft_meta_str(const ft_meta *m, ft_str *out)
{
    if (!m || m->kind != FT_META_STRING)
        return false;
    *out = m->v.s;
    return true;
}

/* Element i of a number array as a value of its own. */
static bool number_at(const ft_meta *m, uint64_t i, ft_meta *out)
{
    if (!m || m->kind != FT_META_ARRAY || m->of == FT_META_STRING || i >= m->n)
        return false;
    ft_gguf__number(out, m->gguf_type, (const char *)m->items + i * ft_gguf__bytes(m->gguf_type));
    return true;
}

bool ft_meta_at_i64(const ft_meta *m, uint64_t i, int64_t *out)
{
    ft_meta value;
    return number_at(m, i, &value) && ft_meta_i64(&value, out);
}

bool ft_meta_at_f64(const ft_meta *m, uint64_t i, double *out)
{
    ft_meta value;
    return number_at(m, i, &value) && ft_meta_f64(&value, out);
}

bool ft_meta_at_str(const ft_meta *m, uint64_t i, ft_str *out)
{
    if (!m || m->kind != FT_META_ARRAY || m->of != FT_META_STRING || i >= m->n)
        return false;
    *out = ((const ft_str *)m->items)[i];
    return true;
}
