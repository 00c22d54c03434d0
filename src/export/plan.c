/* The tensors of a file in the order they are written: the model's weights in checkpoint order, described one by one by
 * the exporter. */
#include "export/internal.h"

#include <string.h>

const ft_param *ft_export__tied(ft_model *m)
{
    const ft_param *head = ft_model_head(m);
    for (size_t i = 0; head && ft_model_config(m)->tie_word_embeddings && i < ft_model_count(m); i++) {
        const ft_param *p = ft_model_at(m, i);
        if (p == head || ft_adapter_saved(m, p) == head)
            return p;
    }
    return NULL;
}

static ft_status add(ft_export__plan *out, const ft_param *weight, ft_export__describe describe, void *ctx)
{
    ft_export__tensor *t = &out->p[out->n++];
    *t = (ft_export__tensor){.name = weight->name, .weight = weight, .dtype = weight->t.dtype, .ndim = weight->t.ndim};
    memcpy(t->shape, weight->t.shape, sizeof t->shape);
    return describe(ctx, out, t);
}

ft_status ft_export__plan_make(ft_export__plan *out, ft_model *m, size_t spare, ft_export__describe describe, void *ctx)
{
    ft_status st = FT_OK;
    size_t n = ft_model_count(m);
    *out = (ft_export__plan){.p = ft_alloc(n + spare, sizeof *out->p), .arena = ft_arena_new(1 << 16, 0)};
    if (!out->p || !out->arena) {
        st = FT_ENOMEM;
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        FT_TRY(add(out, ft_model_at(m, i), describe, ctx));
done:
    if (st != FT_OK)
        ft_export__plan_free(out);
    return st;
}

void ft_export__plan_free(ft_export__plan *p)
{
    ft_free(p->p);
    ft_arena_free(p->arena);
    *p = (ft_export__plan){0};
}

static ft_status write_one(const ft_export__tensor *tensor, ft_writer *w, const ft_export_request *r)
{
    ft_export__tensor t = *tensor;
    ft_survival s = {0};
    ft_feedback f = {0};
    if (r->calibration && t.weight)
        FT_RETURN(ft_calibration_of(&f, r->calibration, t.weight, t.dtype));
    if (f.factor)
        t.feedback = &f;
    if (!r->survival || !ft_export__has_update(r->model, &t))
        return ft_export__stream(w, r->model, &t, NULL);
    FT_RETURN(ft_export__stream(w, r->model, &t, &s));
    return ft_export__survival_add(r->survival, &t, &s);
}

/* No more of the model than the weight being written need be resident. */
static ft_status write_held(const ft_export__tensor *t, ft_writer *w, const ft_export_request *r)
{
    if (!t->weight)
        return write_one(t, w, r);
    FT_RETURN(ft_model_hold(r->model, t->weight));
    ft_status st = write_one(t, w, r);
    ft_model_release(r->model, t->weight);
    return st;
}

ft_status ft_export__plan_write(const ft_export__plan *p, size_t first, size_t end, ft_writer *w, const ft_export_request *r,
                                const char *what)
{
    for (size_t i = first; i < end; i++)
        FT_RETURN(ft_writer_tensor(w, p->p[i].name, p->p[i].dtype, p->p[i].ndim, p->p[i].shape));
    for (size_t i = first; i < end; i++) {
        FT_RETURN(ft_export__tick(r, what, i, p->n));
        FT_RETURN(write_held(&p->p[i], w, r));
    }
    return ft_export__tick(r, what, end, p->n);
}
