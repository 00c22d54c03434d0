/* What rounding leaves of an adapter's update.
 *
 *   d   the update of a matrix, as it is merged: (W + d) - W
 *   s   what it does to the file: Q(W + d) - Q(W), Q a value's way through the type and back
 *
 * Where d is small beside the steps of the type, most values round to where they were and a few jump a whole step: s is d
 * with noise on it. The cosine of s and d says how much of s is d; 0.7 is as much noise as update. Both are measured while
 * a tensor streams (stream.c), in the values that the file holds; sums run in f64 over rows in order.
 */
#include "export/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double ft_survival_cosine(const ft_survival *s)
{
    return s->delta > 0 ? (s->kept > 0 ? s->dot / sqrt(s->kept * s->delta) : 0) : NAN;
}

double ft_survival_norm(const ft_survival *s)
{
    return s->delta > 0 ? sqrt(s->kept / s->delta) : NAN;
}

static void add(ft_survival *sum, const ft_survival *s, double times)
{
    sum->dot += times * s->dot;
    sum->kept += times * s->kept;
    sum->delta += times * s->delta;
}

ft_status ft_export__survival_add(ft_survival_list *list, const ft_export__tensor *t, const ft_survival *s)
{
    ft_survival_row *p = ft_resize(list->p, list->n + 1, sizeof *p);
    char *name = p ? ft_strdup(t->name) : NULL;
    list->p = p ? p : list->p;
    if (!name)
        return FT_ENOMEM;
    list->p[list->n++] = (ft_survival_row){.name = name, .dtype = t->dtype, .survival = *s};
    add(&list->total, s, 1);
    return FT_OK;
}

void ft_survival_list_free(ft_survival_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        ft_free(list->p[i].name);
    ft_free(list->p);
    *list = (ft_survival_list){0};
}

static int by_cosine(const void *a, const void *b)
{
    const ft_survival_row *x = *(ft_survival_row *const *)a, *y = *(ft_survival_row *const *)b;
    double p = ft_survival_cosine(&x->survival), q = ft_survival_cosine(&y->survival);
    if (p != q && !(isnan(p) && isnan(q)))
        return isnan(q) || p < q ? -1 : 1;
    return (x > y) - (x < y);
}

ft_status ft_survival_worst(const ft_survival_list *list, const ft_survival_row ***out)
{
    const ft_survival_row **p = ft_alloc(list->n, sizeof *p);
    *out = p;
    if (!p)
        return FT_ENOMEM;
    for (size_t i = 0; i < list->n; i++)
        p[i] = &list->p[i];
    qsort(p, list->n, sizeof *p, by_cosine);
    return FT_OK;
}

static json_t *number_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

ft_status ft_survival_json(json_t **out, const ft_survival_list *list, size_t most)
{
    const ft_survival_row **worst = NULL;
    json_t *rows = json_array(), *o = NULL;
    ft_status st = FT_OK;
    FT_TRY(ft_survival_worst(list, &worst));
    for (size_t i = 0; i < list->n && (!most || i < most); i++)
        if (json_array_append_new(rows, json_pack("{s:s, s:s, s:o, s:o}", "name", worst[i]->name, "type",
                                                  worst[i]->dtype->name, "cosine",
                                                  number_or_null(ft_survival_cosine(&worst[i]->survival)), "norm",
                                                  number_or_null(ft_survival_norm(&worst[i]->survival)))) != 0) {
            st = FT_ENOMEM;
            goto done;
        }
    o = json_pack("{s:o, s:o, s:O}", "cosine", number_or_null(ft_survival_cosine(&list->total)), "norm",
                  number_or_null(ft_survival_norm(&list->total)), "tensors", rows);
done:
    json_decref(rows);
    ft_free(worst);
    *out = o;
    return o ? FT_OK : ft_fail(FT_ENOMEM, "no memory for the survival of %zu tensors", list->n);
}

/* ---- of types that were not written ---- */

enum { SAMPLED_ROWS = 8 }; /* of a tensor */

/* The bytes that r would write with this mix; *total: the survival, by some rows of each tensor (NULL: not asked for). */
static ft_status estimate(uint64_t *bytes, ft_survival *total, const ft_export_request *r, const ft_mix *mix)
{
    ft_export_request would = *r;
    ft_export__plan plan = {0};
    ft_status st = FT_OK;
    would.mix = mix;
    would.on_tensor = NULL;
    *bytes = 0;
    FT_TRY(ft_export__gguf_plan(&plan, &would));
    for (size_t i = 0; i < plan.n; i++) {
        ft_survival s = {0};
        int64_t rows = plan.p[i].shape[0], sampled = FT_MIN(rows, (int64_t)SAMPLED_ROWS);
        *bytes += ft_export__tensor_bytes(&plan.p[i]);
        if (!total || !ft_export__has_update(r->model, &plan.p[i]))
            continue;
        FT_TRY(ft_export__survival(&s, r->model, &plan.p[i], sampled));
        add(total, &s, (double)rows / (double)sampled);
    }
done:
    ft_export__plan_free(&plan);
    return st;
}

ft_status ft_gguf_proposed(const ft_mix *out[FT_MAX_PROPOSED], size_t *n, const ft_export_request *r, const ft_mix *above)
{
    uint64_t bytes[FT_MAX_PROPOSED], floor = 0;
    *n = 0;
    if (above)
        FT_RETURN(estimate(&floor, NULL, r, above));
    for (size_t i = 0; ft_mix_at(i) && *n < FT_MAX_PROPOSED; i++) {
        uint64_t b;
        size_t at = *n;
        if (!ft_mix_at(i)->proposed)
            continue;
        FT_RETURN(estimate(&b, NULL, r, ft_mix_at(i)));
        if (above && b <= floor)
            continue;
        for (; at && bytes[at - 1] > b; at--) {
            bytes[at] = bytes[at - 1];
            out[at] = out[at - 1];
        }
        bytes[at] = b;
        out[at] = ft_mix_at(i);
        ++*n;
    }
    return FT_OK;
}

ft_status ft_survival_cheapest(const ft_mix **out, const ft_export_request *r, double least)
{
    const ft_mix *proposed[FT_MAX_PROPOSED];
    size_t n;
    *out = NULL;
    FT_RETURN(ft_gguf_proposed(proposed, &n, r, r->mix ? r->mix : ft_mix_named("q8_0")));
    for (size_t i = 0; i < n && !*out; i++) {
        ft_survival s = {0};
        uint64_t bytes;
        FT_RETURN(estimate(&bytes, &s, r, proposed[i]));
        if (ft_survival_cosine(&s) >= least)
            *out = proposed[i];
    }
    return FT_OK;
}
