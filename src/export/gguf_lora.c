/* The gguf-lora exporter: the adapter alone, which llama.cpp and Ollama add to the base that it was trained beside.
 *
 * Nothing is merged: a quantized base stays the file that it is, and no type of the base rounds the update.
 *
 *   general.type "adapter", general.architecture, adapter.type "lora", adapter.lora.alpha
 *   NAME.lora_a [r, in], NAME.lora_b [out, r]     for each adapted weight NAME, as GGUF calls it
 *
 * llama.cpp adds (alpha / r) B A x, with one alpha for all tensors. What a tensor's scale is beyond that (rsLoRA, an alpha
 * of its own) is multiplied into its B, and so is the scale that its weight has in GGUF. The rows of B stand in the order
 * in which GGUF wants those of the weight.
 */
#include "export/internal.h"

#include "base/os.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What the file says: rsLoRA's alpha / sqrt(r) is (alpha sqrt(r)) / r. */
static float alpha_of(const ft_adapter_spec *s)
{
    return (float)(s->rslora ? s->alpha * sqrt((double)s->r) : s->alpha);
}

static ft_status add(ft_export__plan *plan, const ft_export_request *r, const char *name, const char *suffix,
                     const ft_param *p, const int64_t *order, float scale)
{
    char whole[160];
    ft_export__tensor *t = &plan->p[plan->n++];
    snprintf(whole, sizeof whole, "%s%s", name, suffix);
    *t = (ft_export__tensor){.name = ft_arena_strndup(plan->arena, whole, strlen(whole)),
                             .plain = &p->t,
                             .dtype = r->dtype ? r->dtype : &ft_f32,
                             .ndim = p->t.ndim,
                             .order = order,
                             .scale = scale == 1 ? 0 : scale};
    memcpy(t->shape, p->t.shape, sizeof t->shape);
    return t->name ? FT_OK : FT_ENOMEM;
}

/* What llama.cpp does not do to this B by itself: of the adapter's scale, and of the weight's. */
static float factor_of(ft_model *m, const ft_param *w, int64_t rank, float scale)
{
    float plus, folded, rest = scale * (float)rank / alpha_of(ft_adapter_spec_of(m));
    ft_model_gguf_values(m, w->name, &plus, &folded);
    return (fabsf(rest - 1) < 1e-6f ? 1 : rest) * folded;
}

static ft_status add_part(ft_export__plan *plan, const ft_export_request *r, const ft_param *w)
{
    char name[128];
    ft_param *a, *b;
    float scale;
    if (!ft_adapter_on(r->model, w, &a, &b, &scale))
        return FT_OK;
    if (!ft_model_gguf_name(r->model, w->name, name, sizeof name))
        return ft_fail(FT_EUNSUPPORTED, "GGUF has no name for the weight %s", w->name);
    int64_t rows = ft_tensor_rows(&b->t), *order = ft_arena_alloc(plan->arena, (size_t)rows, sizeof *order);
    if (!order)
        return FT_ENOMEM;
    if (!ft_model_gguf_rows(r->model, w->name, order, rows))
        order = NULL;
    FT_RETURN(add(plan, r, name, ".lora_a", a, NULL, 1));
    return add(plan, r, name, ".lora_b", b, order, factor_of(r->model, w, ft_tensor_rows(&a->t), scale));
}

static ft_status collect(ft_export__plan *plan, const ft_export_request *r)
{
    size_t n = ft_model_count(r->model);
    *plan = (ft_export__plan){.p = ft_alloc(2 * n, sizeof *plan->p), .arena = ft_arena_new(1 << 16, 0)};
    if (!plan->p || !plan->arena)
        return FT_ENOMEM;
    for (size_t i = 0; i < n; i++)
        FT_RETURN(add_part(plan, r, ft_model_at(r->model, i)));
    return FT_OK;
}

static ft_status put_meta(ft_writer *w, const ft_export_request *r)
{
    const char *name = r->name && *r->name ? r->name : ft_path_base(r->path);
    FT_RETURN(ft_writer_str(w, "general.architecture", ft_str_of(ft_model_gguf_arch(r->model))));
    FT_RETURN(ft_writer_str(w, "general.type", ft_str_of("adapter")));
    FT_RETURN(ft_writer_str(w, "general.name", ft_str_of(name)));
    FT_RETURN(ft_export__gguf_base(w, r->base_name));
    FT_RETURN(ft_writer_u32(w, "general.alignment", 32));
    FT_RETURN(ft_writer_u32(w, "general.file_type", ft_mix_file_type(r->dtype ? r->dtype : &ft_f32)));
    const ft_dtype *held = ft_model_quantize_base(r->model);
    if (held) /* by which --adapter opens the base as the adapter saw it */
        FT_RETURN(ft_writer_str(w, "fettle.quantize_base", ft_str_of(held->name)));
    FT_RETURN(ft_writer_str(w, "adapter.type", ft_str_of("lora")));
    return ft_writer_f32(w, "adapter.lora.alpha", alpha_of(ft_adapter_spec_of(r->model)));
}

/* The base as the Modelfile names it, in new memory: from its own folder, so that both can move together. */
static char *base_of(const ft_export_request *r)
{
    const char *base = ft_model_path(r->model);
    char *dir = ft_path_dir(r->path), *way = dir ? ft_path_relative(dir, base) : NULL, *out;
    bool plain = way && *way != '/' && *way != '.'; /* would be the name of a model in Ollama's library */
    out = way ? ft_strf("%s%s", plain ? "./" : "", way) : ft_strdup(base);
    ft_free(dir);
    ft_free(way);
    return out;
}

static ft_status open_beside(ft_beside *b, const ft_export_request *r)
{
    char *base = base_of(r);
    ft_status st = base ? ft_export__beside_open(b, r, base) : FT_ENOMEM;
    ft_free(base);
    return st;
}

static ft_status write_gguf_lora(const ft_export_request *r)
{
    ft_export__plan plan = {0};
    ft_writer *w = NULL;
    ft_beside beside = {0};
    ft_status st = FT_OK;
    FT_TRY(ft_export__check(r, &ft_exporter_gguf_lora));
    FT_TRY(ft_model_gguf_remarks(r->model, r->path));
    FT_TRY(collect(&plan, r));
    FT_TRY(ft_mkdirs_for(r->path));
    if (!r->unproven)
        FT_TRY(open_beside(&beside, r));
    FT_TRY(ft_writer_open(&w, "gguf", r->path));
    FT_TRY(put_meta(w, r));
    FT_TRY(ft_export__plan_write(&plan, 0, plan.n, w, r, "gguf-lora"));
    st = ft_writer_commit(w);
    w = NULL;
    if (st == FT_OK)
        st = ft_export__beside_commit(&beside);
    if (st == FT_OK && ft_is_dir(ft_model_path(r->model)))
        ft_note(FT_NOTE, "%s: llama.cpp wants its base as a GGUF too: fettle export %s --format gguf --quant TYPE --out FILE",
                r->path, ft_model_path(r->model));
done:
    ft_export__beside_abort(&beside);
    ft_writer_abort(w);
    ft_export__plan_free(&plan);
    return ft_context(st, "export of the adapter to GGUF");
}

const ft_exporter ft_exporter_gguf_lora = {
    .name = "gguf-lora",
    .help = "the LoRA adapter alone, as llama.cpp and Ollama add it to its base, with a Modelfile that names both",
    .needs_adapter = true,
    .updates_only = true,
    .suffix = "-lora.gguf",
    .quant = "f32",
    .dtypes = "f32|f16|bf16",
    .write = write_gguf_lora,
    .beside = open_beside,
};
