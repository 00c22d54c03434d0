/* safetensors: a JSON header and the bytes of the tensors.
 *
 *   +----------------+------------------+----------------------------------+
 *   | u64 N, little  | JSON, N bytes    | tensors, one behind the other    |
 *   +----------------+------------------+----------------------------------+
 *   {"__metadata__": {"key": "string"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 *
 * Offsets count from the end of the header. As the format's own reader does, fettle demands that the tensors cover the
 * data without a hole and that nothing lies behind them. N is at most 100 MiB. The header is padded with spaces so that
 * the data begins at a multiple of 8.
 */
#include "file/container_impl.h"
#include "file/json.h"

#include <stdio.h>
#include <string.h>

enum { LENGTH_BYTES = 8, MAX_HEADER = 100 << 20, ALIGN_HEADER = 8 };

static uint64_t header_bytes(const uint8_t *p)
{
    uint64_t n;
    memcpy(&n, p, sizeof n);
    return n;
}

static bool is_safetensors(const uint8_t *p, size_t n)
{
    return n > LENGTH_BYTES && header_bytes(p) <= MAX_HEADER && p[LENGTH_BYTES] == '{';
}

/* ---- reading ---- */

typedef struct reader {
    ft_container *c;
    const ft_mapping *m;
    uint64_t start;     /* of the data */
    size_t first;       /* tensor of the container that is the first of this file */
    ft_extent *extents; /* of this file's tensors */
} reader;

/* The dtypes that fettle reads from safetensors, for messages. */
static const char *served(char *text, size_t n)
{
    size_t at = 0;
    text[0] = 0;
    for (size_t i = 0; ft_dtypes[i]; i++)
        if (ft_dtypes[i]->safetensors && at < n)
            at += (size_t)snprintf(text + at, n - at, "%s%s", at ? ", " : "", ft_dtypes[i]->safetensors);
    return text;
}

static ft_status read_dtype(const json_t *o, const ft_dtype **out)
{
    const char *name;
    char known[128];
    FT_RETURN(ft_json_str(o, "dtype", "entry", NULL, &name));
    if (!name)
        return ft_fail(FT_EFORMAT, "\"dtype\" is missing");
    *out = ft_dtype_of_safetensors(name, strlen(name));
    if (!*out)
        return ft_fail(FT_EUNSUPPORTED, "it has type %s, fettle reads %s", name, served(known, sizeof known));
    return FT_OK;
}

/* An array of at most `max` non-negative integers; *n is how many. */
static ft_status read_integers(const json_t *o, const char *key, size_t max, int64_t *out, size_t *n)
{
    const json_t *a = json_object_get(o, key);
    if (!json_is_array(a))
        return ft_fail(FT_EFORMAT, "\"%s\" is missing or no array", key);
    *n = json_array_size(a);
    if (*n > max)
        return ft_fail(FT_EFORMAT, "\"%s\" has %zu numbers, at most %zu are read", key, *n, max);
    for (size_t i = 0; i < *n; i++) {
        const json_t *v = json_array_get(a, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return ft_fail(FT_EFORMAT, "number %zu of \"%s\" is no integer of 0 or more", i, key);
        out[i] = json_integer_value(v);
    }
    return FT_OK;
}

static ft_status read_shape(const json_t *o, ft_tensor *t)
{
    size_t n;
    FT_RETURN(read_integers(o, "shape", FT_MAX_DIMS, t->shape, &n));
    t->ndim = (int)n;
    if (n == 0) { /* a scalar */
        t->ndim = 1;
        t->shape[0] = 1;
    }
    return FT_OK;
}

static ft_status read_entry(reader *r, ft_str name, const json_t *o)
{
    ft_tensor t = {0};
    int64_t at[2];
    size_t n, bytes;
    uint64_t room = r->m->size - r->start;
    char shape[96];
    if (!json_is_object(o))
        return ft_fail(FT_EFORMAT, "its entry is no object");
    FT_RETURN(read_dtype(o, &t.dtype));
    FT_RETURN(read_shape(o, &t));
    FT_RETURN(ft_tensor_check(t.dtype, t.ndim, t.shape, &bytes));
    FT_RETURN(read_integers(o, "data_offsets", 2, at, &n));
    if (n != 2 || at[1] < at[0])
        return ft_fail(FT_EFORMAT, "\"data_offsets\" is no [begin, end]");
    if ((uint64_t)at[1] > room)
        return ft_fail(FT_EFORMAT, "its data ends at %lld, but the file holds %llu bytes of data", (long long)at[1],
                       (unsigned long long)room);
    if ((uint64_t)(at[1] - at[0]) != bytes)
        return ft_fail(FT_EFORMAT, "its data_offsets span %lld bytes, expected %zu for %s %s",
                       (long long)(at[1] - at[0]), bytes, t.dtype->safetensors, ft_shape_text(t.ndim, t.shape, shape));
    r->extents[r->c->n_tensors - r->first] = (ft_extent){(uint64_t)at[0], (uint64_t)at[1], r->c->n_tensors};
    return ft_container__add(r->c, r->m, name, &t, r->start + (uint64_t)at[0]);
}

/* String values are copied out of the JSON, which does not outlive the reading. A shard repeats what the first one
 * says. */
static ft_status read_metadata(reader *r, json_t *o)
{
    const char *key;
    json_t *v;
    if (!json_is_object(o))
        return ft_fail(FT_EFORMAT, "\"__metadata__\" is no object");
    json_object_foreach(o, key, v)
    {
        ft_meta m = {.kind = FT_META_STRING, .gguf_type = -1};
        if (!json_is_string(v))
            return ft_fail(FT_EFORMAT, "\"__metadata__\": \"%s\" is no string", key);
        m.v.s.n = json_string_length(v);
        m.v.s.p = ft_arena_strndup(r->c->arena, json_string_value(v), m.v.s.n);
        if (!m.v.s.p)
            return FT_ENOMEM;
        if (!ft_container_meta(r->c, key))
            FT_RETURN(ft_container__add_meta(r->c, ft_str_of(key), &m));
    }
    return FT_OK;
}

static ft_status read_header(reader *r, json_t *header)
{
    const char *key;
    json_t *v;
    json_object_foreach(header, key, v)
    {
        if (strcmp(key, "__metadata__") == 0)
            FT_RETURN(ft_context(read_metadata(r, v), "%s", r->m->path));
        else
            FT_RETURN(ft_context(read_entry(r, ft_str_of(key), v), "%s: tensor \"%s\"", r->m->path, key));
    }
    return FT_OK;
}

/* The tensors cover the data from its start to the end of the file. */
static ft_status check_cover(const reader *r, const ft_extent *e, size_t n)
{
    uint64_t at = 0;
    for (size_t i = 0; i < n; at = e[i++].end)
        if (e[i].begin != at)
            return ft_container__fail(r->m, r->start + at, "%llu bytes before tensor \"%s\" belong to no tensor",
                                      (unsigned long long)(e[i].begin - at), r->c->tensors[e[i].tensor].name);
    if (r->start + at != r->m->size)
        return ft_container__fail(r->m, r->start + at, "%llu bytes behind the last tensor",
                                  (unsigned long long)(r->m->size - r->start - at));
    return FT_OK;
}

static ft_status parse_header(const ft_mapping *m, json_t **out)
{
    uint64_t n = m->size < LENGTH_BYTES ? 0 : header_bytes(m->data);
    if (m->size < LENGTH_BYTES)
        return ft_container__fail(m, m->size, "the file ends within the length of its header");
    if (n > MAX_HEADER)
        return ft_container__fail(m, 0, "a header of %llu bytes, at most %d are read", (unsigned long long)n,
                                  MAX_HEADER);
    if (n > m->size - LENGTH_BYTES)
        return ft_container__fail(m, 0, "a header of %llu bytes, but %zu follow", (unsigned long long)n,
                                  m->size - LENGTH_BYTES);
    FT_RETURN(ft_context(ft_json_text(out, (ft_str){(const char *)m->data + LENGTH_BYTES, (size_t)n}, "header"), "%s",
                         m->path));
    if (json_is_object(*out))
        return FT_OK;
    json_decref(*out);
    return ft_container__fail(m, LENGTH_BYTES, "the header is no JSON object");
}

static ft_status read_safetensors(ft_container *c, const ft_mapping *m)
{
    ft_status st = FT_OK;
    reader r = {.c = c, .m = m, .first = c->n_tensors};
    json_t *header;
    FT_RETURN(parse_header(m, &header));
    r.start = LENGTH_BYTES + header_bytes(m->data);
    size_t n = json_object_size(header);
    r.extents = ft_resize(NULL, n, sizeof *r.extents);
    FT_TRY(r.extents ? FT_OK : FT_ENOMEM);
    FT_TRY(read_header(&r, header));
    n = c->n_tensors - r.first;
    FT_TRY(ft_container__no_overlap(c, m, r.extents, n, r.start));
    FT_TRY(check_cover(&r, r.extents, n));
done:
    ft_free(r.extents);
    json_decref(header);
    return st;
}

/* ---- writing ---- */

static bool stores(const ft_dtype *dtype)
{
    return dtype->safetensors != NULL;
}

/* Numbers and truth values as text: the format's metadata are strings. */
static json_t *metadata_value(const ft_meta *m)
{
    char text[64];
    switch (m->kind) {
    case FT_META_STRING:
        return json_stringn(m->v.s.p, m->v.s.n);
    case FT_META_BOOL:
        return json_string(m->v.b ? "true" : "false");
    case FT_META_INT:
        snprintf(text, sizeof text, "%lld", (long long)m->v.i);
        return json_string(text);
    case FT_META_UINT:
        snprintf(text, sizeof text, "%llu", (unsigned long long)m->v.u);
        return json_string(text);
    case FT_META_FLOAT:
        snprintf(text, sizeof text, "%.9g", m->v.f);
        return json_string(text);
    default:
        return NULL;
    }
}

static ft_status add_metadata(const ft_writer *w, json_t *header)
{
    json_t *o = json_object();
    if (json_object_set_new(header, "__metadata__", o) != 0)
        return ft_fail(FT_ENOMEM, "%s: out of memory for the header", w->path);
    for (size_t i = 0; i < w->n_meta; i++) {
        const ft_meta *m = &w->meta[i];
        if (m->kind == FT_META_ARRAY)
            return ft_fail(FT_EUNSUPPORTED, "%s: metadata \"%s\" is an array, safetensors keeps strings only", w->path,
                           m->key);
        if (json_object_set_new(o, m->key, metadata_value(m)) != 0)
            return ft_fail(FT_EINPUT, "%s: metadata \"%s\" is no UTF-8 text", w->path, m->key);
    }
    return FT_OK;
}

static json_t *entry_of(const ft_named *n, const ft_extent *e)
{
    json_t *shape = json_array();
    for (int i = 0; i < n->t.ndim; i++)
        json_array_append_new(shape, json_integer(n->t.shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", n->t.dtype->safetensors, "shape", shape, "data_offsets",
                     (json_int_t)e->begin, (json_int_t)e->end);
}

static ft_status add_entries(const ft_writer *w, json_t *header)
{
    for (size_t i = 0; i < w->n_tensors; i++) {
        const ft_named *n = &w->tensors[i];
        if (strcmp(n->name, "__metadata__") == 0)
            return ft_fail(FT_EINPUT, "%s: no tensor can be named __metadata__", w->path);
        if (json_object_set_new(header, n->name, entry_of(n, &w->extents[i])) != 0)
            return ft_fail(FT_EINPUT, "%s: the tensor name \"%s\" is no UTF-8 text", w->path, n->name);
    }
    return FT_OK;
}

static int dump_into(const char *p, size_t n, void *out)
{
    return ft_buf_put(out, p, n) == FT_OK ? 0 : -1;
}

static ft_status write_header(ft_writer *w, ft_buf *out)
{
    ft_status st = FT_OK;
    uint64_t n = 0;
    json_t *header = json_object();
    FT_TRY(header ? FT_OK : ft_fail(FT_ENOMEM, "%s: out of memory for the header", w->path));
    ft_writer__place(w, 1);
    if (w->n_meta)
        FT_TRY(add_metadata(w, header));
    FT_TRY(add_entries(w, header));
    FT_TRY(ft_buf_put(out, &n, sizeof n));
    if (json_dump_callback(header, dump_into, out, JSON_COMPACT) != 0)
        FT_TRY(FT_ENOMEM);
    while (out->n % ALIGN_HEADER)
        FT_TRY(ft_buf_putc(out, ' '));
    n = out->n - LENGTH_BYTES;
    if (n > MAX_HEADER)
        FT_TRY(ft_fail(FT_EINPUT, "%s: a header of %llu bytes, readers take at most %d", w->path, (unsigned long long)n,
                       MAX_HEADER));
    memcpy(out->p, &n, sizeof n);
done:
    json_decref(header);
    return st;
}

const ft_format ft_format_safetensors = {.name = "safetensors",
                                         .suffix = ".safetensors",
                                         .help = "Hugging Face's container",
                                         .is = is_safetensors,
                                         .read = read_safetensors,
                                         .stores = stores,
                                         .max_name = FT_CONTAINER__MAX_NAME,
                                         .header = write_header};
