/* One GGUF to another: every value is copied, every matrix gets the type that the mix gives it, whatever the architecture.
 *
 * Nothing but the table of tensors is held; the data streams through (stream.c).
 */
#include "export/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct quantize {
    const ft_quantize_request *r;
    ft_container *in;
    ft_mix_shape shape;
    ft_export__tensor *t; /* [n] */
    size_t n;
    bool twice; /* a tensor was quantized before */
} quantize;

static int64_t count_in(const ft_container *c, ft_str arch, const char *name, int64_t fallback)
{
    char key[256];
    int64_t v;
    snprintf(key, sizeof key, "%.*s.%s", (int)FT_MIN(arch.n, (size_t)100), arch.p ? arch.p : "", name);
    return ft_meta_i64(ft_container_meta(c, key), &v) && v > 0 ? v : fallback;
}

static ft_mix_shape shape_of(const ft_container *c, bool weighted)
{
    ft_str arch = {0};
    ft_meta_str(ft_container_meta(c, "general.architecture"), &arch);
    ft_mix_shape s = {.layers = count_in(c, arch, "block_count", 0),
                      .heads = count_in(c, arch, "attention.head_count", 0),
                      .has_output = ft_container_find(c, "output.weight") != NULL,
                      .weighted = weighted};
    s.kv_heads = count_in(c, arch, "attention.head_count_kv", s.heads);
    return s;
}

static ft_status describe(quantize *q, const ft_named *named, ft_export__tensor *t)
{
    int64_t cols = ft_tensor_cols(&named->t);
    const ft_dtype *wanted = named->t.dtype;
    *t = (ft_export__tensor){.name = named->name, .plain = &named->t, .dtype = named->t.dtype, .ndim = named->t.ndim};
    memcpy(t->shape, named->t.shape, sizeof t->shape);
    if (ft_mix_quantizes(t->name, t->ndim)) {
        t->dtype = ft_mix_type(q->r->mix, &q->shape, t->name, cols, &wanted);
        if (q->r->imatrix && !t->dtype->is_float)
            FT_RETURN(ft_imatrix_find(q->r->imatrix, t->name, cols, &t->importance));
        q->twice = q->twice || (!named->t.dtype->is_float && named->t.dtype != t->dtype);
    }
    ft_tensor written = {.dtype = t->dtype, .ndim = t->ndim};
    memcpy(written.shape, t->shape, sizeof written.shape);
    if (q->r->on_tensor)
        q->r->on_tensor(q->r->tensor_ctx, &(ft_quantized){.name = t->name,
                                                   .ndim = t->ndim,
                                                   .shape = t->shape,
                                                   .from = named->t.dtype,
                                                   .to = t->dtype,
                                                   .wanted = wanted,
                                                   .weighted = t->importance != NULL,
                                                   .bytes = ft_tensor_bytes(&written)});
    return FT_OK;
}

static ft_status put_values(const quantize *q, ft_writer *w)
{
    for (size_t i = 0; i < ft_container_meta_count(q->in); i++) {
        const ft_meta *m = ft_container_meta_at(q->in, i);
        if (strcmp(m->key, "general.file_type") != 0 && strcmp(m->key, "general.quantization_version") != 0)
            FT_RETURN(ft_writer_meta(w, m));
    }
    FT_RETURN(ft_writer_u32(w, "general.file_type", q->r->mix->file_type));
    return q->r->mix->dtype->is_float ? FT_OK : ft_writer_u32(w, "general.quantization_version", 2);
}

static ft_status tick(const quantize *q, size_t done)
{
    if (q->r->progress && !q->r->progress(q->r->ctx, "quantize", done, q->n))
        return ft_fail(FT_ESTOPPED, "%s: stopped after %zu of %zu tensors", q->r->out, done, q->n);
    return FT_OK;
}

static ft_status check_places(const ft_quantize_request *r, const ft_container *in)
{
    struct stat a, b;
    if (strcmp(ft_container_format(in), "gguf") != 0)
        return ft_fail(FT_EINPUT, "%s: a %s file, expected a GGUF", r->in, ft_container_format(in));
    if (stat(r->in, &a) == 0 && stat(r->out, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return ft_fail(FT_EINPUT, "%s: the output would replace the file it is made from", r->out);
    return FT_OK;
}

ft_status ft_quantize(const ft_quantize_request *r)
{
    quantize q = {.r = r};
    ft_writer *w = NULL;
    ft_status st = FT_OK;
    FT_TRY(ft_container_open(&q.in, r->in));
    FT_TRY(check_places(r, q.in));
    q.shape = shape_of(q.in, r->imatrix != NULL);
    q.n = ft_container_count(q.in);
    FT_TRY((q.t = ft_alloc(q.n, sizeof *q.t)) ? FT_OK : FT_ENOMEM);
    for (size_t i = 0; i < q.n; i++)
        FT_TRY(describe(&q, ft_container_at(q.in, i), &q.t[i]));
    if (q.twice)
        ft_note(FT_WARN, "%s: tensors are quantized already and are rounded a second time: begin with a file of f16 or more",
                r->in);
    FT_TRY(ft_writer_open(&w, "gguf", r->out));
    FT_TRY(put_values(&q, w));
    for (size_t i = 0; i < q.n; i++)
        FT_TRY(ft_writer_tensor(w, q.t[i].name, q.t[i].dtype, q.t[i].ndim, q.t[i].shape));
    for (size_t i = 0; i < q.n; i++) {
        FT_TRY(tick(&q, i));
        FT_TRY(ft_context(ft_export__stream(w, NULL, &q.t[i], NULL), "%s", r->in));
        ft_container_forget(q.in, q.t[i].plain);
    }
    FT_TRY(tick(&q, q.n));
    st = ft_writer_commit(w);
    w = NULL;
done:
    ft_writer_abort(w);
    ft_free(q.t);
    ft_container_close(q.in);
    return st;
}
