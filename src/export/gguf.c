/* The GGUF exporter: the merged model as one file that llama.cpp and Ollama load, and the Modelfile beside it.
 *
 * Matrices have the type asked for, or the one that a mix gives them; vectors (norms, biases) stay f32, as does rope_freqs.
 * A matrix whose rows are no whole number of blocks gets the type that stands in (mix.c), and that is said. q and k rows
 * go into the order that the architecture's rope wants; norms that work by 1 + w are written as that, and a scale that
 * llama.cpp fixes otherwise is taken up by the weights before it. What cannot be taken up is said. A tied head is not
 * written: loaders take token_embd.
 * The Modelfile and the grammar of labels are rendered and on the disk before the GGUF takes its name: a failure leaves none.
 */
#include "export/internal.h"

#include "base/os.h"

#include <string.h>

typedef struct gguf {
    const ft_export_request *request;
    ft_model *model;
    const ft_mix *mix; /* NULL: dtype throughout */
    const ft_imatrix *imatrix;
    const ft_dtype *dtype;
    ft_mix_shape shape;
    size_t fallbacks;
    const char *first_fallback;
    const ft_dtype *fallback;
    int64_t fallback_cols;
} gguf;

static ft_mix_shape mix_shape(ft_model *m)
{
    const ft_config *c = ft_model_config(m);
    return (ft_mix_shape){.layers = c->num_hidden_layers,
                          .heads = c->num_attention_heads,
                          .kv_heads = c->num_key_value_heads,
                          .has_output = !ft_export__tied(m)};
}

/* The type of a matrix; what it should have been where the length of its rows forbids that. */
static const ft_dtype *type_of(gguf *g, const char *name, int64_t cols, const ft_dtype **asked)
{
    const ft_dtype *wanted = g->dtype, *dtype;
    dtype = g->mix ? ft_mix_type(g->mix, &g->shape, name, cols, &wanted) : ft_dtype_for_rows(g->dtype, cols);
    if (cols % wanted->block_len && !g->fallbacks++) {
        g->first_fallback = name;
        g->fallback = dtype;
        g->fallback_cols = cols;
    }
    *asked = wanted;
    return dtype;
}

static ft_status order_rows(gguf *g, ft_export__plan *plan, ft_export__tensor *t)
{
    int64_t rows = t->shape[0];
    int64_t *order = ft_arena_alloc(plan->arena, (size_t)rows, sizeof *order);
    if (!order)
        return FT_ENOMEM;
    if (ft_model_gguf_rows(g->model, t->name, order, rows))
        t->order = order;
    return FT_OK;
}

static ft_status describe(void *ctx, ft_export__plan *plan, ft_export__tensor *t)
{
    gguf *g = ctx;
    char name[128];
    bool exact = t->ndim < 2 || ft_model_gguf_is_exact(g->model, t->name);
    FT_RETURN(order_rows(g, plan, t));
    ft_model_gguf_values(g->model, t->name, &t->plus, &t->scale);
    if (!ft_model_gguf_name(g->model, t->name, name, sizeof name))
        return ft_fail(FT_EUNSUPPORTED, "GGUF has no name for the weight %s", t->name);
    if (!(t->name = ft_arena_strndup(plan->arena, name, strlen(name))))
        return FT_ENOMEM;
    int64_t cols = t->shape[t->ndim - 1];
    const ft_dtype *wanted = &ft_f32;
    t->dtype = exact ? &ft_f32 : type_of(g, t->name, cols, &wanted);
    if (g->imatrix && !t->dtype->is_float)
        FT_RETURN(ft_imatrix_find(g->imatrix, t->name, cols, &t->importance));
    if (g->request->on_tensor)
        g->request->on_tensor(g->request->tensor_ctx,
                              &(ft_quantized){.name = t->name,
                                              .ndim = t->ndim,
                                              .shape = t->shape,
                                              .from = ft_model_stored_dtype(t->weight),
                                              .to = t->dtype,
                                              .wanted = wanted,
                                              .weighted = t->importance != NULL,
                                              .bytes = ft_export__tensor_bytes(t)});
    return FT_OK;
}

static ft_status add_extras(ft_export__plan *plan, ft_model *m)
{
    for (size_t i = 0; i < ft_model_gguf_extra_count(m); i++) {
        ft_export__tensor *t = &plan->p[plan->n++];
        *t = (ft_export__tensor){.dtype = &ft_f32, .ndim = 1};
        FT_RETURN(ft_model_gguf_extra(m, i, &t->name, &t->shape[0], &t->values));
    }
    return FT_OK;
}

static ft_status put_str(ft_writer *w, const char *key, const char *value)
{
    return ft_writer_str(w, key, ft_str_of(value));
}

/* "org/name" that is no path here is a name on a hub; of a path only the last part says something elsewhere. */
ft_status ft_export__gguf_base(ft_writer *w, const char *base)
{
    if (!base || !*base)
        return FT_OK;
    const char *slash = strchr(base, '/');
    bool hub = slash && slash != base && base[0] != '.' && !strchr(slash + 1, '/') && slash[1] && !ft_exists(base);
    FT_RETURN(ft_writer_u32(w, "general.base_model.count", 1));
    FT_RETURN(put_str(w, "general.base_model.0.name", ft_path_base(base)));
    return hub ? ft_writer_str(w, "general.base_model.0.organization", (ft_str){base, (size_t)(slash - base)}) : FT_OK;
}

static ft_status put_general(ft_writer *w, const ft_export_request *r, const gguf *g)
{
    FT_RETURN(put_str(w, "general.architecture", ft_model_gguf_arch(r->model)));
    FT_RETURN(put_str(w, "general.type", "model"));
    FT_RETURN(put_str(w, "general.name", r->name && *r->name ? r->name : ft_path_base(r->path)));
    FT_RETURN(ft_export__gguf_base(w, r->base_name));
    FT_RETURN(ft_writer_u32(w, "general.alignment", 32));
    FT_RETURN(ft_writer_u32(w, "general.file_type", g->mix ? g->mix->file_type : ft_mix_file_type(g->dtype)));
    if (!g->dtype->is_float)
        FT_RETURN(ft_writer_u32(w, "general.quantization_version", 2));
    return ft_model_gguf_meta(r->model, w);
}

static ft_status put_tokenizer(ft_writer *w, const ft_export_request *r)
{
    if (!r->tokenizer) {
        ft_note(FT_WARN, "%s: written without a tokenizer, it takes token ids only", r->path);
        return put_str(w, "tokenizer.ggml.model", "none");
    }
    FT_RETURN(ft_tokenizer_write_gguf(r->tokenizer, w, ft_model_config(r->model)->vocab_size));
    if (r->chat && !ft_tokenizer_chat_template(r->tokenizer))
        return put_str(w, "tokenizer.chat_template", ft_chat_template_jinja(r->chat));
    return FT_OK;
}

static gguf gguf_of(const ft_export_request *r)
{
    gguf g = {.request = r,
              .model = r->model,
              .mix = r->mix,
              .imatrix = r->imatrix,
              .dtype = r->mix ? r->mix->dtype : r->dtype ? r->dtype : &ft_q8_0,
              .shape = mix_shape(r->model)};
    g.shape.weighted = r->imatrix != NULL;
    return g;
}

ft_status ft_export__gguf_plan(ft_export__plan *out, const ft_export_request *r)
{
    gguf g = gguf_of(r);
    return ft_export__plan_make(out, r->model, 0, describe, &g);
}

static ft_status open_beside(ft_beside *b, const ft_export_request *r)
{
    return ft_export__beside_open(b, r, NULL);
}

static ft_status write_gguf(const ft_export_request *r)
{
    gguf g = gguf_of(r);
    ft_export__plan plan = {0};
    ft_writer *w = NULL;
    ft_beside beside = {0};
    ft_status st = FT_OK;
    FT_TRY(ft_export__check(r, &ft_exporter_gguf));
    if (!r->trial)
        FT_TRY(ft_model_gguf_remarks(r->model, r->path));
    FT_TRY(ft_export__plan_make(&plan, r->model, ft_model_gguf_extra_count(r->model), describe, &g));
    FT_TRY(add_extras(&plan, r->model));
    FT_TRY(ft_mkdirs_for(r->path));
    if (!r->unproven)
        FT_TRY(open_beside(&beside, r));
    FT_TRY(ft_writer_open(&w, "gguf", r->path));
    FT_TRY(put_general(w, r, &g));
    FT_TRY(put_tokenizer(w, r));
    FT_TRY(ft_export__plan_write(&plan, 0, plan.n, w, r, "gguf"));
    st = ft_writer_commit(w);
    w = NULL;
    if (st != FT_OK)
        goto done;
    if (g.fallbacks && !r->trial)
        ft_note(FT_NOTE, "%s: %zu tensors have rows that are no whole number of blocks and got the type that stands in (%s: "
                         "%lld, written as %s)",
                r->path, g.fallbacks, g.first_fallback, (long long)g.fallback_cols, g.fallback->name);
    st = ft_export__beside_commit(&beside);
done:
    ft_export__beside_abort(&beside);
    ft_writer_abort(w);
    ft_export__plan_free(&plan);
    return ft_context(st, "export to GGUF");
}

const ft_exporter ft_exporter_gguf = {
    .name = "gguf",
    .help = "one merged file for llama.cpp and Ollama, with its Modelfile",
    .needs_adapter = false,
    .suffix = ".gguf",
    .quant = "q8_0",
    .dtypes = "f32|f16|bf16|q8_0|q6_k|q5_k_m|q5_k_s|q5_1|q5_0|q4_k_m|q4_k_s|q4_1|q4_0|iq4_nl|iq4_xs|q3_k_l|q3_k_m|q3_k_s|"
              "q2_k|mxfp4",
    .write = write_gguf,
    .beside = open_beside,
};
