/* Importance matrices: for each matrix the sum of squares of what its columns were multiplied with, over a text.
 *
 * GGUF      general.type "imatrix", imatrix.datasets, .chunk_count, .chunk_size; for each matrix NAME two f32 tensors:
 *           NAME.in_sum2 [1, columns], NAME.counts [1, 1], the number of rows that were added
 * .dat      i32 matrices, then each: i32 bytes, its name, i32 calls, i32 columns, f32 mean square * calls [columns];
 *           behind them i32 calls, i32 bytes, the name of the text. Little-endian.
 *
 * Memory: 12 bytes a column, at most MAX_MATRICES of MAX_COLUMNS.
 */
#include "export/export.h"

#include "base/os.h"

#include <math.h>
#include <string.h>

enum { MAX_MATRICES = 1 << 16, MAX_COLUMNS = 1 << 22, MAX_NAME = 4096 };

typedef struct entry {
    char *name;
    int64_t n;
    double count; /* rows that were added */
    double *sum;  /* [n] of squares */
    float *mean;  /* [n], kept up for ft_imatrix_find */
} entry;

struct ft_imatrix {
    entry *p;
    size_t n, cap;
    ft_map *names;
};

ft_status ft_imatrix_new(ft_imatrix **out)
{
    ft_imatrix *m = ft_alloc(1, sizeof *m);
    *out = NULL;
    if (!m)
        return FT_ENOMEM;
    if (!(m->names = ft_map_new())) {
        ft_imatrix_free(m);
        return FT_ENOMEM;
    }
    *out = m;
    return FT_OK;
}

void ft_imatrix_free(ft_imatrix *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++) {
        ft_free(m->p[i].name);
        ft_free(m->p[i].sum);
        ft_free(m->p[i].mean);
    }
    ft_free(m->p);
    ft_map_free(m->names);
    ft_free(m);
}

size_t ft_imatrix_count(const ft_imatrix *m)
{
    return m->n;
}

static const entry *find(const ft_imatrix *m, const char *name)
{
    int64_t at;
    return ft_map_get(m->names, name, strlen(name), &at) ? &m->p[at] : NULL;
}

static ft_status add_entry(ft_imatrix *m, const char *name, int64_t n, entry **out)
{
    if (m->n == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 64;
        entry *p = ft_resize(m->p, cap, sizeof *p);
        if (!p)
            return FT_ENOMEM;
        m->p = p;
        m->cap = cap;
    }
    entry *e = &m->p[m->n];
    *e = (entry){.name = ft_strdup(name), .n = n, .sum = ft_alloc((size_t)n, sizeof *e->sum)};
    e->mean = ft_alloc((size_t)n, sizeof *e->mean);
    m->n++; /* from here on ft_imatrix_free sees it */
    if (!e->name || !e->sum || !e->mean)
        return FT_ENOMEM;
    *out = e;
    return ft_map_put(m->names, name, strlen(name), (int64_t)(m->n - 1));
}

static ft_status entry_for(ft_imatrix *m, const char *name, int64_t n, entry **out)
{
    *out = (entry *)find(m, name);
    if (!*out)
        return add_entry(m, name, n, out);
    if ((*out)->n == n)
        return FT_OK;
    return ft_fail(FT_EFORMAT, "the importance of %s has %lld columns and %lld", name, (long long)(*out)->n, (long long)n);
}

static void set_means(entry *e)
{
    for (int64_t i = 0; i < e->n; i++)
        e->mean[i] = e->count > 0 ? (float)(e->sum[i] / e->count) : 0;
}

ft_status ft_imatrix_add(ft_imatrix *m, const char *name, const float *x, int64_t T, int64_t n)
{
    entry *e;
    FT_RETURN(entry_for(m, name, n, &e));
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < n; i++)
            e->sum[i] += (double)x[t * n + i] * x[t * n + i];
    e->count += (double)T;
    set_means(e);
    return FT_OK;
}

ft_status ft_imatrix_find(const ft_imatrix *m, const char *name, int64_t n, const float **values)
{
    const entry *e = find(m, name);
    *values = e ? e->mean : NULL;
    if (!e || e->n == n)
        return FT_OK;
    return ft_fail(FT_EFORMAT, "the importance matrix has %lld columns for %s, the tensor has %lld: made from another model?",
                   (long long)e->n, name, (long long)n);
}

/* ---- reading ---- */

/* Sums and counts of a file may be anything. */
static ft_status check_entry(const entry *e, const char *path)
{
    bool good = isfinite(e->count) && e->count >= 0;
    for (int64_t i = 0; good && i < e->n; i++)
        good = isfinite(e->sum[i]) && e->sum[i] >= 0;
    return good ? FT_OK : ft_fail(FT_EFORMAT, "%s: the importance of %s is negative or not finite", path, e->name);
}

static ft_status read_pair(ft_imatrix *m, const ft_container *c, const ft_named *sums)
{
    char name[MAX_NAME], counts_name[MAX_NAME];
    size_t n = strlen(sums->name) - strlen(".in_sum2");
    if (n + 16 > sizeof name)
        return ft_fail(FT_EFORMAT, "%s: a tensor's name of %zu bytes", ft_container_path(c), n);
    snprintf(name, sizeof name, "%.*s", (int)n, sums->name);
    snprintf(counts_name, sizeof counts_name, "%s.counts", name);
    const ft_named *counts = ft_container_find(c, counts_name);
    int64_t cols = ft_tensor_count(&sums->t);
    if (!counts || counts->t.dtype != &ft_f32 || sums->t.dtype != &ft_f32)
        return ft_fail(FT_EFORMAT, "%s: %s and %s are expected, both f32", ft_container_path(c), sums->name, counts_name);
    if (ft_tensor_count(&counts->t) != 1)
        return ft_fail(FT_EUNSUPPORTED, "%s: %s holds %lld experts, a matrix of one is read", ft_container_path(c),
                       counts_name, (long long)ft_tensor_count(&counts->t));
    if (cols > MAX_COLUMNS)
        return ft_fail(FT_EFORMAT, "%s: %s has %lld columns", ft_container_path(c), sums->name, (long long)cols);
    entry *e;
    FT_RETURN(entry_for(m, name, cols, &e));
    const float *from = sums->t.data;
    for (int64_t i = 0; i < cols; i++)
        e->sum[i] = from[i];
    e->count = *(const float *)counts->t.data;
    FT_RETURN(check_entry(e, ft_container_path(c)));
    set_means(e);
    return FT_OK;
}

static ft_status read_gguf(ft_imatrix *m, const char *path)
{
    ft_container *c = NULL;
    ft_status st = FT_OK;
    FT_RETURN(ft_container_open(&c, path));
    for (size_t i = 0; i < ft_container_count(c); i++)
        if (ft_ends(ft_container_at(c, i)->name, ".in_sum2"))
            FT_TRY(read_pair(m, c, ft_container_at(c, i)));
    if (!m->n)
        st = ft_fail(FT_EFORMAT, "%s: no importance matrix: no tensor is called ....in_sum2", path);
done:
    ft_container_close(c);
    return st;
}

typedef struct cursor {
    const ft_mapping *m;
    size_t at;
} cursor;

static ft_status take(cursor *k, size_t n, const char *what, const uint8_t **out)
{
    if (n > k->m->size - k->at)
        return ft_fail(FT_EFORMAT, "%s: at byte %zu: %s of %zu bytes, but %zu are left: no importance matrix, or a part of one",
                       k->m->path, k->at, what, n, k->m->size - k->at);
    *out = k->m->data + k->at;
    k->at += n;
    return FT_OK;
}

static ft_status take_count(cursor *k, const char *what, int32_t most, int32_t *out)
{
    size_t at = k->at;
    const uint8_t *p = NULL;
    FT_RETURN(take(k, sizeof *out, what, &p));
    memcpy(out, p, sizeof *out);
    if (*out < 1 || *out > most)
        return ft_fail(FT_EFORMAT, "%s: at byte %zu: %s is %d, expected 1 to %d: no importance matrix?", k->m->path, at, what,
                       *out, most);
    return FT_OK;
}

static ft_status read_old_entry(ft_imatrix *m, cursor *k)
{
    int32_t bytes, calls, cols;
    const uint8_t *name = NULL, *values = NULL;
    char text[MAX_NAME + 1];
    entry *e;
    FT_RETURN(take_count(k, "the length of a name", MAX_NAME, &bytes));
    FT_RETURN(take(k, (size_t)bytes, "a name", &name));
    snprintf(text, sizeof text, "%.*s", (int)bytes, (const char *)name);
    FT_RETURN(take_count(k, "the number of calls", INT32_MAX, &calls));
    FT_RETURN(take_count(k, "the number of columns", MAX_COLUMNS, &cols));
    FT_RETURN(take(k, (size_t)cols * sizeof(float), "values", &values));
    FT_RETURN(entry_for(m, text, cols, &e));
    for (int32_t i = 0; i < cols; i++) {
        float v;
        memcpy(&v, values + (size_t)i * sizeof v, sizeof v);
        e->sum[i] = v;
    }
    e->count = calls;
    FT_RETURN(check_entry(e, k->m->path));
    set_means(e);
    return FT_OK;
}

static ft_status read_old(ft_imatrix *m, const ft_mapping *map)
{
    cursor k = {.m = map};
    int32_t n;
    FT_RETURN(take_count(&k, "the number of matrices", MAX_MATRICES, &n));
    for (int32_t i = 0; i < n; i++)
        FT_RETURN(read_old_entry(m, &k));
    return FT_OK;
}

ft_status ft_imatrix_open(ft_imatrix **out, const char *path)
{
    ft_mapping map = {0};
    ft_status st = FT_OK;
    ft_imatrix *m = NULL;
    *out = NULL;
    FT_TRY(ft_mapping_open(&map, path));
    FT_TRY(ft_imatrix_new(&m));
    if (map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0)
        FT_TRY(read_gguf(m, path));
    else
        FT_TRY(read_old(m, &map));
    *out = m;
    m = NULL;
done:
    ft_imatrix_free(m);
    ft_mapping_close(&map);
    return st;
}

/* ---- writing ---- */

static ft_status write_gguf(const ft_imatrix *m, const char *path, const char *dataset, int64_t chunk, int64_t chunks)
{
    ft_writer *w = NULL;
    ft_status st = FT_OK;
    char name[MAX_NAME + 16];
    float *sums = NULL;
    ft_str text = ft_str_of(dataset);
    FT_TRY(ft_writer_open(&w, "gguf", path));
    FT_TRY(ft_writer_str(w, "general.type", ft_str_of("imatrix")));
    FT_TRY(ft_writer_str_array(w, "imatrix.datasets", &text, 1));
    FT_TRY(ft_writer_u32(w, "imatrix.chunk_count", (uint32_t)chunks));
    FT_TRY(ft_writer_u32(w, "imatrix.chunk_size", (uint32_t)chunk));
    for (size_t i = 0; i < m->n; i++) {
        const int64_t shape[2] = {1, m->p[i].n}, one[2] = {1, 1};
        snprintf(name, sizeof name, "%s.in_sum2", m->p[i].name);
        FT_TRY(ft_writer_tensor(w, name, &ft_f32, 2, shape));
        snprintf(name, sizeof name, "%s.counts", m->p[i].name);
        FT_TRY(ft_writer_tensor(w, name, &ft_f32, 2, one));
    }
    for (size_t i = 0; i < m->n; i++) {
        const entry *e = &m->p[i];
        float count = (float)e->count;
        ft_free(sums);
        FT_TRY((sums = ft_alloc((size_t)e->n, sizeof *sums)) ? FT_OK : FT_ENOMEM);
        for (int64_t k = 0; k < e->n; k++)
            sums[k] = (float)e->sum[k];
        FT_TRY(ft_writer_data(w, sums, (size_t)e->n * sizeof *sums));
        FT_TRY(ft_writer_data(w, &count, sizeof count));
    }
    st = ft_writer_commit(w);
    w = NULL;
done:
    ft_free(sums);
    ft_writer_abort(w);
    return st;
}

static ft_status put_i32(ft_out *o, int64_t v)
{
    int32_t x = (int32_t)v;
    return ft_out_write(o, &x, sizeof x);
}

static ft_status write_old_entry(ft_out *o, const entry *e, int64_t calls)
{
    FT_RETURN(put_i32(o, (int64_t)strlen(e->name)));
    FT_RETURN(ft_out_write(o, e->name, strlen(e->name)));
    FT_RETURN(put_i32(o, calls));
    FT_RETURN(put_i32(o, e->n));
    for (int64_t i = 0; i < e->n; i++) {
        float v = e->mean[i] * (float)calls;
        FT_RETURN(ft_out_write(o, &v, sizeof v));
    }
    return FT_OK;
}

static ft_status write_old(const ft_imatrix *m, const char *path, const char *dataset, int64_t chunks)
{
    ft_out *o = NULL;
    ft_status st = FT_OK;
    FT_TRY(ft_out_open(&o, path));
    FT_TRY(put_i32(o, (int64_t)m->n));
    for (size_t i = 0; i < m->n; i++)
        FT_TRY(write_old_entry(o, &m->p[i], chunks));
    FT_TRY(put_i32(o, chunks));
    FT_TRY(put_i32(o, (int64_t)strlen(dataset)));
    FT_TRY(ft_out_write(o, dataset, strlen(dataset)));
    st = ft_out_commit(o);
    o = NULL;
done:
    ft_out_abort(o);
    return st;
}

ft_status ft_imatrix_write(const ft_imatrix *m, const char *path, const char *dataset, int64_t chunk, int64_t chunks)
{
    if (ft_ends(path, ".dat"))
        return write_old(m, path, dataset, chunks);
    return write_gguf(m, path, dataset, chunk, chunks);
}
