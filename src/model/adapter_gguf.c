/* An adapter in a GGUF, as llama.cpp and Ollama take it.
 *
 *   general.type "adapter", general.architecture, adapter.type "lora", adapter.lora.alpha (0 or missing: a scale of 1),
 *   fettle.quantize_base (where fettle wrote it: what the base was held in)
 *   NAME.lora_a [r, in], NAME.lora_b [out, r]     for each adapted weight NAME, as GGUF calls it
 *
 * Ranks may differ from weight to weight. The rows of B stand in the order that GGUF wants those of the weight in, and where
 * the weight's values are scaled there, so is B: both are undone. Every tensor of the file must have its place.
 */
#include "model/adapter.h"

#include "base/os.h"
#include "model/origin.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const all_linear[] = {"all-linear"};

typedef struct reader {
    ft_model *m;
    ft_container *file;
    const char *path;
    double alpha;
    size_t used; /* tensors */
} reader;

static ft_status expect(const reader *g, const char *key, const char *expected)
{
    ft_str s = {0};
    if (ft_meta_str(ft_container_meta(g->file, key), &s) && ft_str_is(s, expected))
        return FT_OK;
    return ft_fail(FT_EUNSUPPORTED, "%s: %s is \"%.*s\", expected \"%s\"", g->path, key, (int)s.n, s.n ? s.p : "", expected);
}

/* The rank of the first tensor, which stands for all in the spec. */
static ft_status first_rank(const reader *g, int64_t *r)
{
    for (size_t i = 0; i < ft_container_count(g->file); i++) {
        const ft_named *t = ft_container_at(g->file, i);
        if (ft_ends(t->name, ".lora_a")) {
            *r = t->t.shape[0];
            return FT_OK;
        }
    }
    return ft_fail(FT_EFORMAT, "%s: holds no tensor of a LoRA adapter (NAME.lora_a)", g->path);
}

static const ft_named *find_part(const reader *g, const ft_weight *w, const char *suffix)
{
    char name[160];
    if (!ft_model_gguf_name(g->m, w->name, name, sizeof name - 16))
        return NULL;
    snprintf(name + strlen(name), 16, "%s", suffix);
    return ft_container_find(g->file, name);
}

static ft_status check_shapes(const reader *g, const ft_weight *w, const ft_named *a, const ft_named *b)
{
    char sa[96], sb[96];
    const int64_t *in_out = w->p.t.shape;
    bool fit = a->t.ndim == 2 && b->t.ndim == 2 && a->t.shape[0] == b->t.shape[1] && a->t.shape[1] == in_out[1] &&
               b->t.shape[0] == in_out[0];
    if (!fit || a->t.shape[0] > FT_MAX_RANK)
        return ft_fail(FT_EFORMAT,
                       "%s: tensors %s %s and %s %s, expected [r, %lld] and [%lld, r] by the base model, r at most %d", g->path,
                       a->name, ft_shape_text(a->t.ndim, a->t.shape, sa), b->name, ft_shape_text(b->t.ndim, b->t.shape, sb),
                       (long long)in_out[1], (long long)in_out[0], FT_MAX_RANK);
    FT_RETURN(ft_adapter__check_finite(a, g->path));
    return ft_adapter__check_finite(b, g->path);
}

/* B, its rows and values as the weight has them outside of GGUF. */
static ft_status fill_b(const reader *g, const ft_weight *w, const ft_named *b)
{
    float *to = w->adapted->b.t.data, plus, scale;
    int64_t rows = b->t.shape[0], r = b->t.shape[1], *perm = ft_alloc((size_t)rows, sizeof *perm);
    if (!perm)
        return FT_ENOMEM;
    bool turned = ft_model_gguf_rows(g->m, w->name, perm, rows);
    ft_model_gguf_values(g->m, w->name, &plus, &scale);
    for (int64_t i = 0; i < rows; i++) {
        float *row = to + (turned ? perm[i] : i) * r;
        ft_tensor_decode_rows(&b->t, i, i + 1, row);
        for (int64_t k = 0; scale != 1 && k < r; k++)
            row[k] /= scale;
    }
    ft_free(perm);
    return FT_OK;
}

static ft_status load_part(reader *g, ft_weight *w)
{
    const ft_named *a = find_part(g, w, ".lora_a"), *b = find_part(g, w, ".lora_b");
    if (!a && !b)
        return FT_OK;
    if (!a || !b)
        return ft_fail(FT_EFORMAT, "%s: has %s without its other half", g->path, (a ? a : b)->name);
    FT_RETURN(check_shapes(g, w, a, b));
    int64_t r = a->t.shape[0];
    FT_RETURN(ft_adapter__add(g->m, w, r, g->alpha != 0 ? g->alpha : (double)r));
    ft_tensor_decode_rows(&a->t, 0, r, w->adapted->a.t.data);
    g->used += 2;
    return fill_b(g, w, b);
}

static ft_status check_all_used(const reader *g)
{
    char name[160];
    for (size_t i = 0; g->used < ft_container_count(g->file) && i < ft_container_count(g->file); i++) {
        const char *have = ft_container_at(g->file, i)->name;
        bool found = false;
        for (size_t k = 0; !found && k < g->m->adapter->n_parts; k++) {
            const ft_weight *w = g->m->adapter->parts[k].on;
            found = ft_model_gguf_name(g->m, w->name, name, sizeof name) && ft_starts(have, name) &&
                    (strcmp(have + strlen(name), ".lora_a") == 0 || strcmp(have + strlen(name), ".lora_b") == 0);
        }
        if (!found)
            return ft_fail(FT_EUNSUPPORTED,
                           "%s: tensor %s has no place in the base model %s: updates of the linears of its blocks are supported",
                           g->path, have, g->m->path);
    }
    return FT_OK;
}

static ft_status load(reader *g, bool trainable)
{
    ft_adapter_spec spec = {.kind = "lora", .target_modules = all_linear, .n_targets = 1};
    FT_RETURN(ft_container_open(&g->file, g->path));
    if (strcmp(ft_container_format(g->file), "gguf") != 0)
        return ft_fail(FT_EINPUT, "%s: an adapter is a PEFT directory or a GGUF: name the directory", g->path);
    FT_RETURN(expect(g, "general.type", "adapter"));
    FT_RETURN(expect(g, "adapter.type", "lora"));
    FT_RETURN(expect(g, "general.architecture", ft_model_gguf_arch(g->m)));
    ft_meta_f64(ft_container_meta(g->file, "adapter.lora.alpha"), &g->alpha);
    FT_RETURN(first_rank(g, &spec.r));
    spec.alpha = g->alpha != 0 ? g->alpha : (double)spec.r;
    FT_RETURN(ft_context(ft_adapter__begin(g->m, &spec, trainable), "%s", g->path));
    if (!(g->m->adapter->path = ft_strdup(g->path)))
        return FT_ENOMEM;
    for (size_t i = 0; i < g->m->n; i++)
        if (g->m->weights[i].spec->role == FT_ROLE_LINEAR)
            FT_RETURN(load_part(g, &g->m->weights[i]));
    FT_RETURN(check_all_used(g));
    return ft_model__list_trainable(g->m);
}

ft_status ft_adapter__load_gguf(ft_model *m, const char *path, bool trainable)
{
    reader g = {.m = m, .path = path};
    ft_status st = load(&g, trainable);
    ft_container_close(g.file);
    return st;
}

ft_status ft_adapter__gguf_base_dtype(const ft_dtype **dtype, const char *path)
{
    ft_container *file;
    ft_str name;
    FT_RETURN(ft_container_open(&file, path));
    ft_status st = FT_OK;
    if (ft_meta_str(ft_container_meta(file, "fettle.quantize_base"), &name))
        st = ft_origin_dtype(dtype, name, path);
    ft_container_close(file);
    return st;
}
