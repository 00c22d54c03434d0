/* GGUF, versions 2 and 3 read, 3 written; all numbers little-endian.
 *
 *   "GGUF"  u32 version  u64 tensors  u64 values
 *   values   times: string key, u32 type, value          string = u64 bytes, the bytes; bool = a byte
 *                                                        array  = u32 element type, u64 count, elements
 *   tensors  times: string name, u32 dims, u64 dim[dims], u32 ggml type, u64 offset
 *   padding to general.alignment (32), then the data; offsets count from there and are multiples of the alignment
 *
 * dim[0] is the contiguous one: fettle's shapes are reversed. Memory: an array of strings becomes views, 16 bytes for
 * each of which the file holds at least 8; every other count is bounded by the bytes that are left.
 */
#include "file/container_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    VERSION = 3,
    ALIGNMENT = 32,
    MAX_ALIGNMENT = 1 << 20,
    MAX_DIMS = FT_MAX_DIMS,
    LEAST_VALUE = 8 + 1 + 4 + 1,
    LEAST_TENSOR = 8 + 1 + 4 + 4 + 8,
    MAX_GGML_NAME = 63
};
#define ALIGNMENT_KEY "general.alignment"

static bool is_gguf(const uint8_t *p, size_t n)
{
    return n >= 4 && memcmp(p, "GGUF", 4) == 0;
}

/* ---- reading ---- */

typedef struct cursor {
    ft_container *c;
    const ft_mapping *m;
    size_t at;
    const char *kind; /* of what is being read: "value", "tensor", NULL for the header */
    ft_str name;      /* of it */
} cursor;

/* "path: at byte N: tensor "name": what". */
static void __attribute__((format(printf, 3, 4))) say(const cursor *k, uint64_t at, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (k->kind)
        ft_container__say(k->m, at, "%s \"%.*s\": %s", k->kind, (int)FT_MIN(k->name.n, (size_t)200), k->name.p, text);
    else
        ft_container__say(k->m, at, "%s", text);
}
#define FAIL(...) (say(__VA_ARGS__), FT_EFORMAT)

static size_t left(const cursor *k)
{
    return k->m->size - k->at;
}

/* The next n bytes, which are `what`. */
static ft_status take(cursor *k, uint64_t n, const char *what, const void **out)
{
    if (n > left(k))
        return FAIL(k, k->at, "%s of %llu bytes, but %zu are left", what, (unsigned long long)n, left(k));
    *out = k->m->data + k->at;
    k->at += (size_t)n;
    return FT_OK;
}

static ft_status take_u32(cursor *k, const char *what, uint32_t *out)
{
    const void *p;
    FT_RETURN(take(k, sizeof *out, what, &p));
    memcpy(out, p, sizeof *out);
    return FT_OK;
}

static ft_status take_u64(cursor *k, const char *what, uint64_t *out)
{
    const void *p;
    FT_RETURN(take(k, sizeof *out, what, &p));
    memcpy(out, p, sizeof *out);
    return FT_OK;
}

static ft_status take_string(cursor *k, const char *what, ft_str *out)
{
    uint64_t n;
    const void *p;
    FT_RETURN(take_u64(k, what, &n));
    FT_RETURN(take(k, n, what, &p));
    *out = (ft_str){p, (size_t)n};
    return FT_OK;
}

/* A count of things of which each takes `least` bytes or more. */
static ft_status take_count(cursor *k, const char *what, size_t least, uint64_t *out)
{
    size_t at = k->at;
    FT_RETURN(take_u64(k, what, out));
    if (*out > left(k) / least)
        return FAIL(k, at, "%s is %llu, but only %zu bytes are left", what, (unsigned long long)*out, left(k));
    return FT_OK;
}

static ft_status take_strings(cursor *k, ft_meta *m)
{
    ft_str *s = ft_arena_alloc(k->c->arena, (size_t)m->n, sizeof *s);
    if (!s)
        return FT_ENOMEM;
    for (uint64_t i = 0; i < m->n; i++)
        FT_RETURN(take_string(k, "a string of an array", &s[i]));
    m->items = s;
    return FT_OK;
}

static ft_status take_array(cursor *k, ft_meta *m)
{
    uint32_t type;
    size_t at = k->at;
    ft_meta element;
    static const uint64_t zero;
    FT_RETURN(take_u32(k, "an array's type", &type));
    if (type == FT_GGUF__ARRAY)
        return FAIL(k, at, "an array of arrays, which fettle does not read");
    size_t bytes = ft_gguf__bytes(type);
    if (!bytes && type != FT_GGUF__STRING)
        return FAIL(k, at, "an array of unknown type %u", type);
    FT_RETURN(take_count(k, "an array's count", bytes ? bytes : sizeof(uint64_t), &m->n));
    m->kind = FT_META_ARRAY;
    m->gguf_type = (int32_t)type;
    if (!bytes) {
        m->of = FT_META_STRING;
        return take_strings(k, m);
    }
    ft_gguf__number(&element, (int32_t)type, &zero);
    m->of = element.kind;
    return take(k, m->n * bytes, "an array", &m->items);
}

static ft_status take_value(cursor *k, ft_meta *m)
{
    uint32_t type;
    size_t at = k->at;
    const void *p;
    FT_RETURN(take_u32(k, "a value's type", &type));
    if (type == FT_GGUF__ARRAY)
        return take_array(k, m);
    m->gguf_type = (int32_t)type;
    if (type == FT_GGUF__STRING) {
        m->kind = FT_META_STRING;
        return take_string(k, "a string", &m->v.s);
    }
    size_t bytes = ft_gguf__bytes(type);
    if (!bytes)
        return FAIL(k, at, "a value of unknown type %u", type);
    FT_RETURN(take(k, bytes, "a value", &p));
    ft_gguf__number(m, (int32_t)type, p);
    return FT_OK;
}

static ft_status read_values(cursor *k, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        ft_meta m = {0};
        size_t at = k->at;
        k->kind = NULL;
        FT_RETURN(take_string(k, "a key", &k->name));
        k->kind = "value";
        FT_RETURN(take_value(k, &m));
        FT_RETURN(ft_context(ft_container__add_meta(k->c, k->name, &m), "%s: at byte %zu", k->m->path, at));
    }
    k->kind = NULL;
    return FT_OK;
}

static ft_status read_alignment(const cursor *k, uint64_t *out)
{
    const ft_meta *m = ft_container_meta(k->c, ALIGNMENT_KEY);
    int64_t v = ALIGNMENT;
    if (m && !ft_meta_i64(m, &v))
        return ft_fail(FT_EFORMAT, "%s: " ALIGNMENT_KEY " is no integer", k->m->path);
    if (v < 1 || v > MAX_ALIGNMENT || (v & (v - 1)))
        return ft_fail(FT_EFORMAT, "%s: " ALIGNMENT_KEY " is %lld, expected a power of two of at most %d", k->m->path,
                       (long long)v, MAX_ALIGNMENT);
    *out = (uint64_t)v;
    return FT_OK;
}

/* A part of a model in several files is refused by name: the other parts would be missing without a word. */
static ft_status refuse_part(const cursor *k)
{
    int64_t parts;
    if (ft_meta_i64(ft_container_meta(k->c, "split.count"), &parts) && parts > 1)
        return ft_fail(FT_EUNSUPPORTED, "%s: one of %lld parts of a model: join them first (llama-gguf-split --merge)",
                       k->m->path, (long long)parts);
    return FT_OK;
}

static ft_status read_shape(cursor *k, ft_tensor *t)
{
    uint32_t dims;
    uint64_t d;
    size_t at = k->at;
    FT_RETURN(take_u32(k, "the number of dimensions", &dims));
    if (dims > MAX_DIMS)
        return FAIL(k, at, "%u dimensions, at most %d are read", dims, MAX_DIMS);
    t->ndim = dims ? (int)dims : 1;
    t->shape[0] = 1; /* a scalar */
    for (uint32_t i = 0; i < dims; i++) {
        at = k->at;
        FT_RETURN(take_u64(k, "a dimension", &d));
        if (d > INT64_MAX)
            return FAIL(k, at, "a dimension of %llu", (unsigned long long)d);
        t->shape[dims - 1 - i] = (int64_t)d;
    }
    return FT_OK;
}

static ft_status read_type(cursor *k, const ft_dtype **out)
{
    uint32_t type;
    size_t at = k->at;
    FT_RETURN(take_u32(k, "a tensor's type", &type));
    if ((*out = ft_dtype_of_ggml(type)))
        return FT_OK;
    const char *known = ft_gguf__tensor_type(type);
    if (!known)
        return FAIL(k, at, "unknown tensor type %u", type);
    return ft_fail(FT_EUNSUPPORTED, "%s: at byte %zu: tensor \"%.*s\" has type %s, which fettle does not read",
                   k->m->path, at, (int)FT_MIN(k->name.n, (size_t)200), k->name.p, known);
}

/* One entry of the tensor table; its offset and size go to *e, relative to the data. */
static ft_status read_entry(cursor *k, uint64_t alignment, ft_tensor *t, ft_extent *e)
{
    size_t at = k->at, bytes;
    FT_RETURN(read_shape(k, t));
    FT_RETURN(read_type(k, &t->dtype));
    if (ft_tensor_check(t->dtype, t->ndim, t->shape, &bytes) != FT_OK)
        return FAIL(k, at, "%s", ft_error());
    at = k->at;
    FT_RETURN(take_u64(k, "an offset", &e->begin));
    if (e->begin % alignment)
        return FAIL(k, at, "offset %llu is no multiple of the alignment, %llu", (unsigned long long)e->begin,
                    (unsigned long long)alignment);
    if (!ft_add(e->begin, bytes, &e->end))
        return FAIL(k, at, "offset %llu is out of range", (unsigned long long)e->begin);
    return FT_OK;
}

typedef struct entry {
    ft_str name;
    ft_tensor t;
} entry;

static ft_status read_table(cursor *k, uint64_t alignment, entry *entries, ft_extent *extents, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        k->kind = NULL;
        FT_RETURN(take_string(k, "a tensor's name", &k->name));
        k->kind = "tensor";
        FT_RETURN(read_entry(k, alignment, &entries[i].t, &extents[i]));
        entries[i].name = k->name;
        extents[i].tensor = i;
    }
    k->kind = NULL;
    return FT_OK;
}

/* The table is known, so the data's place is: every tensor must lie within the file. */
static ft_status add_tensors(cursor *k, uint64_t alignment, const entry *entries, ft_extent *extents, size_t n)
{
    uint64_t start = (k->at + alignment - 1) & ~(alignment - 1);
    uint64_t room = start < k->m->size ? k->m->size - start : 0;
    for (size_t i = 0; i < n; i++) {
        if (extents[i].end > room)
            return FAIL(k, start, "tensor \"%.*s\" ends %llu bytes into the data, but the file holds %llu",
                        (int)FT_MIN(entries[i].name.n, (size_t)200), entries[i].name.p,
                        (unsigned long long)extents[i].end, (unsigned long long)room);
        FT_RETURN(ft_context(ft_container__add(k->c, k->m, entries[i].name, &entries[i].t, start + extents[i].begin),
                             "%s", k->m->path));
    }
    return ft_container__no_overlap(k->c, k->m, extents, n, start);
}

static ft_status read_version(cursor *k)
{
    uint32_t version;
    const void *magic;
    FT_RETURN(take(k, 4, "the magic", &magic));
    if (!is_gguf(magic, 4))
        return FAIL(k, 0, "no GGUF: the file does not begin with that word");
    FT_RETURN(take_u32(k, "the version", &version));
    if (version == 2 || version == 3)
        return FT_OK;
    return ft_fail(FT_EUNSUPPORTED, "%s: at byte 4: GGUF version %u%s, versions 2 and 3 are read", k->m->path, version,
                   version && !(version & 0xffff) ? " (a big-endian file)" : "");
}

static ft_status read_gguf(ft_container *c, const ft_mapping *m)
{
    ft_status st = FT_OK;
    cursor k = {.c = c, .m = m};
    uint64_t tensors, values, alignment = ALIGNMENT;
    entry *entries = NULL;
    ft_extent *extents = NULL;
    FT_TRY(read_version(&k));
    FT_TRY(take_count(&k, "the number of tensors", LEAST_TENSOR, &tensors));
    FT_TRY(take_count(&k, "the number of values", LEAST_VALUE, &values));
    FT_TRY(read_values(&k, values));
    FT_TRY(refuse_part(&k));
    FT_TRY(read_alignment(&k, &alignment));
    entries = ft_resize(NULL, (size_t)tensors, sizeof *entries);
    extents = ft_resize(NULL, (size_t)tensors, sizeof *extents);
    FT_TRY(entries && extents ? FT_OK : FT_ENOMEM);
    FT_TRY(read_table(&k, alignment, entries, extents, (size_t)tensors));
    FT_TRY(add_tensors(&k, alignment, entries, extents, (size_t)tensors));
done:
    ft_free(entries);
    ft_free(extents);
    return st;
}

/* ---- writing ---- */

static bool stores(const ft_dtype *dtype)
{
    return dtype->ggml_id >= 0;
}

static ft_status put_u32(ft_buf *b, uint32_t v)
{
    return ft_buf_put(b, &v, sizeof v);
}

static ft_status put_u64(ft_buf *b, uint64_t v)
{
    return ft_buf_put(b, &v, sizeof v);
}

static ft_status put_string(ft_buf *b, ft_str s)
{
    FT_RETURN(put_u64(b, s.n));
    return ft_buf_put(b, s.p, s.n);
}

static ft_status put_array(ft_buf *b, const ft_meta *m)
{
    FT_RETURN(put_u32(b, FT_GGUF__ARRAY));
    FT_RETURN(put_u32(b, (uint32_t)m->gguf_type));
    FT_RETURN(put_u64(b, m->n));
    if (m->of != FT_META_STRING)
        return ft_buf_put(b, m->items, (size_t)m->n * ft_gguf__bytes(m->gguf_type));
    for (uint64_t i = 0; i < m->n; i++)
        FT_RETURN(put_string(b, ((const ft_str *)m->items)[i]));
    return FT_OK;
}

static ft_status put_value(ft_buf *b, const ft_meta *m)
{
    float f = (float)m->v.f;
    FT_RETURN(put_string(b, ft_str_of(m->key)));
    if (m->kind == FT_META_ARRAY)
        return put_array(b, m);
    /* text of a safetensors file has no GGUF type yet */
    FT_RETURN(put_u32(b, m->kind == FT_META_STRING ? FT_GGUF__STRING : (uint32_t)m->gguf_type));
    if (m->kind == FT_META_STRING)
        return put_string(b, m->v.s);
    if (m->kind == FT_META_BOOL)
        return ft_buf_putc(b, m->v.b);
    if (m->gguf_type == FT_GGUF__F32)
        return ft_buf_put(b, &f, sizeof f);
    return ft_buf_put(b, &m->v, ft_gguf__bytes(m->gguf_type)); /* the low bytes of the 64-bit value */
}

static ft_status put_tensor(ft_buf *b, const ft_named *n, uint64_t offset)
{
    FT_RETURN(put_string(b, ft_str_of(n->name)));
    FT_RETURN(put_u32(b, (uint32_t)n->t.ndim));
    for (int i = n->t.ndim; i-- > 0;)
        FT_RETURN(put_u64(b, (uint64_t)n->t.shape[i]));
    FT_RETURN(put_u32(b, (uint32_t)n->t.dtype->ggml_id));
    return put_u64(b, offset);
}

/* What the metadata say, as a copy of another file's may. */
static ft_status chosen_alignment(const ft_writer *w, size_t *out)
{
    int64_t i, v;
    *out = ALIGNMENT;
    if (!ft_map_get(w->keys, ALIGNMENT_KEY, strlen(ALIGNMENT_KEY), &i))
        return FT_OK;
    if (!ft_meta_i64(&w->meta[i], &v) || v < 1 || v > MAX_ALIGNMENT || (v & (v - 1)))
        return ft_fail(FT_EINPUT, "%s: " ALIGNMENT_KEY " must be a power of two of at most %d", w->path, MAX_ALIGNMENT);
    *out = (size_t)v;
    return FT_OK;
}

static ft_status write_header(ft_writer *w, ft_buf *out)
{
    size_t alignment;
    FT_RETURN(chosen_alignment(w, &alignment));
    ft_writer__place(w, alignment);
    FT_RETURN(ft_buf_puts(out, "GGUF"));
    FT_RETURN(put_u32(out, VERSION));
    FT_RETURN(put_u64(out, w->n_tensors));
    FT_RETURN(put_u64(out, w->n_meta));
    for (size_t i = 0; i < w->n_meta; i++)
        FT_RETURN(put_value(out, &w->meta[i]));
    for (size_t i = 0; i < w->n_tensors; i++)
        FT_RETURN(put_tensor(out, &w->tensors[i], w->extents[i].begin));
    while (out->n % alignment)
        FT_RETURN(ft_buf_putc(out, 0));
    return FT_OK;
}

const ft_format ft_format_gguf = {.name = "gguf",
                                  .suffix = ".gguf",
                                  .help = "llama.cpp's container",
                                  .is = is_gguf,
                                  .read = read_gguf,
                                  .stores = stores,
                                  .max_name = MAX_GGML_NAME,
                                  .header = write_header};
