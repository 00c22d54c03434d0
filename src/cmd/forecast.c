#include "cmd/forecast.h"

#include <string.h>

/* ---- sizes ---- */

/* All weights in one dtype (NULL: as they were stored), or what stands in for it; vectors are f32 in any case. */
static size_t model_bytes(ft_model *m, const ft_dtype *dtype)
{
    size_t bytes = 0;
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *p = ft_model_at(m, i);
        const ft_dtype *d = p->t.ndim == 1 ? &ft_f32 : ft_model_stored_dtype(p);
        if (dtype && p->t.ndim > 1)
            d = ft_dtype_for_rows(dtype, ft_tensor_cols(&p->t));
        bytes += (size_t)ft_tensor_count(&p->t) / (size_t)d->block_len * d->block_bytes;
    }
    return bytes;
}

static void count_exports(ft_forecast *f, const ft_job *j)
{
    const ft_plan *p = &j->plan;
    for (size_t i = 0; i < p->n_exports; i++) {
        const ft_plan_export *e = &p->exports[i];
        size_t bytes = e->exporter->needs_adapter ? f->needs.adapter_bytes : model_bytes(j->model, e->mix ? e->mix->dtype : NULL);
        f->disk_bytes += bytes;
        if (ft_plan_scores(e))
            f->shipped_bytes = FT_MAX(f->shipped_bytes, bytes);
    }
}

static void count_checkpoints(ft_forecast *f, const ft_plan *p)
{
    int64_t per_epoch = (f->needs.steps + 1) / FT_MAX((int64_t)p->train_options.num_epochs, (int64_t)1);
    int64_t every = p->train_options.save_steps > 0 ? p->train_options.save_steps : FT_MAX(per_epoch, (int64_t)1);
    int64_t kept = FT_MAX(f->needs.steps / every, (int64_t)1), limit = p->train_options.save_total_limit;
    size_t trained = f->needs.gradient_bytes;
    f->disk_bytes += (size_t)(limit ? FT_MIN(kept, limit) : kept) * (trained + f->needs.moment_bytes) + trained;
}

static ft_status count_scores(ft_forecast *f, const ft_job *j)
{
    const ft_rows *rows[] = {ft_job_choosing(j), ft_job_scored(j)};
    const ft_score_options *options[] = {&j->plan.train_options.score, &j->plan.final_score};
    for (size_t i = 0; i < FT_COUNT(rows); i++) {
        size_t bytes = 0;
        if (rows[i])
            FT_RETURN(ft_score_measure(&bytes, j->model, rows[i], options[i]));
        f->score_bytes = FT_MAX(f->score_bytes, bytes);
    }
    return FT_OK;
}

/* What the system maps at once of a file of which one byte is read, where the rest is in its cache. */
enum { MAPPED_AT_ONCE_BYTES = 1 << 16 };

static void mark_read(char *read, const ft_tensor *t, const ft_rows *rows, size_t n)
{
    size_t bytes = ft_tensor_row_bytes(t);
    for (size_t i = 0; i < n; i++)
        for (int32_t k = 0; k < rows->p[i].n; k++) {
            if (rows->p[i].ids[k] >= ft_tensor_rows(t))
                continue; /* training refuses it by name */
            size_t begin = (size_t)rows->p[i].ids[k] * bytes;
            for (size_t at = begin / MAPPED_AT_ONCE_BYTES; at <= (begin + bytes - 1) / MAPPED_AT_ONCE_BYTES; at++)
                read[at] = 1;
        }
}

/* Of an embedding in a mapped file only the rows of tokens become memory: those of the rows that are trained on and scored. */
static ft_status count_unread(ft_forecast *f, const ft_job *j)
{
    const ft_train_options *o = &j->plan.train_options;
    const ft_rows *scored[] = {ft_job_choosing(j), ft_job_scored(j)};
    const ft_tensor *t = f->needs.prefix_place == FT_PREFIX_DISK ? NULL /* it is hashed */ : ft_model_mapped_embedding(j->model);
    size_t steps = (size_t)(f->needs.steps * o->micro_batch_size * o->gradient_accumulation_steps);
    size_t pieces = t ? ft_tensor_bytes(t) / MAPPED_AT_ONCE_BYTES + 1 : 0;
    char *read = ft_alloc(pieces, 1);
    if (!read)
        return FT_ENOMEM;
    if (t)
        mark_read(read, t, &j->train_rows, FT_MIN(steps, j->train_rows.n));
    for (size_t i = 0; t && i < FT_COUNT(scored); i++)
        if (scored[i])
            mark_read(read, t, scored[i], scored[i]->n);
    for (size_t i = 0; i + 1 < pieces; i++)
        f->unread_bytes += read[i] ? 0 : MAPPED_AT_ONCE_BYTES;
    ft_free(read);
    return FT_OK;
}

/* What trains is held twice from the start: weights and gradients. */
static size_t loaded_bytes(const ft_train_needs *n)
{
    return (n->adapter_bytes ? n->adapter_bytes : n->weight_bytes) + n->gradient_bytes;
}

static void add_up(ft_forecast *f)
{
    const ft_train_needs *n = &f->needs;
    size_t weights = f->file_bytes + n->weight_bytes - f->unread_bytes;
    size_t model = f->program_bytes + weights + n->adapter_bytes + n->gradient_bytes;
    size_t step = n->moment_bytes + n->activation_bytes + n->temporary_bytes + n->logits_bytes + n->buffer_bytes;
    if (n->prefix_place == FT_PREFIX_MEMORY)
        step += n->prefix_bytes;
    f->total_bytes = model + f->score_bytes + FT_MAX(step, f->shipped_bytes);
}

ft_status ft_forecast_make(ft_forecast *out, const ft_job *j, bool outline)
{
    size_t resident = ft_rss_bytes();
    *out = (ft_forecast){.limit_bytes = j->plan.ram_limit_bytes};
    if (out->limit_bytes <= 0)
        out->limit_bytes = 0.8 * (double)ft_total_ram_bytes();
    FT_RETURN(ft_train_measure(&out->needs, j->model, &j->train_rows, &j->plan.train_options));
    /* an outline has no weights, its adapter is there as ever */
    size_t loaded = outline && !out->needs.adapter_bytes ? 0 : loaded_bytes(&out->needs);
    out->program_bytes = resident > loaded ? resident - loaded : 0;
    if (outline && !j->plan.has_adapter && j->plan.base_model)
        out->file_bytes = model_bytes(j->model, NULL);
    FT_RETURN(count_scores(out, j));
    FT_RETURN(count_unread(out, j));
    count_exports(out, j);
    count_checkpoints(out, &j->plan);
    if (out->needs.prefix_place == FT_PREFIX_DISK)
        out->disk_bytes += out->needs.prefix_bytes;
    add_up(out);
    return FT_OK;
}

/* ---- fitting ---- */

static bool fits(const ft_forecast *f)
{
    return (double)f->total_bytes <= f->limit_bytes;
}

static ft_status try_blocks(ft_forecast *f, ft_job *j, bool outline, int64_t blocks)
{
    j->plan.train_options.gradient_checkpointing = blocks;
    return ft_forecast_make(f, j, outline);
}

/* The fewest checkpointed blocks that fit; all of them where none do. */
static ft_status choose_blocks(ft_forecast *f, ft_job *j, bool outline)
{
    int64_t low = 0, high = ft_model_config(j->model)->num_hidden_layers;
    FT_RETURN(try_blocks(f, j, outline, high));
    if (!fits(f))
        return FT_OK;
    while (high - low > 1) { /* low does not fit, high does */
        int64_t middle = low + (high - low) / 2;
        FT_RETURN(try_blocks(f, j, outline, middle));
        *(fits(f) ? &high : &low) = middle;
    }
    return try_blocks(f, j, outline, high);
}

/* The kept states leave memory for the disk, where the place was left open. */
static ft_status choose_prefix(ft_forecast *f, ft_job *j, bool outline)
{
    ft_train_options *o = &j->plan.train_options;
    if (f->needs.prefix_place != FT_PREFIX_MEMORY || o->prefix_cache != FT_PREFIX_AUTO)
        return FT_OK;
    o->prefix_cache = FT_PREFIX_DISK;
    return ft_forecast_make(f, j, outline);
}

/* Smaller micro-batches, as many more of them: the loss is the same sum. */
static ft_status choose_micro_batch(ft_forecast *f, ft_job *j, bool outline)
{
    ft_train_options *o = &j->plan.train_options;
    int64_t rows = o->micro_batch_size * o->gradient_accumulation_steps;
    for (int64_t size = o->micro_batch_size - 1; size > 0 && !fits(f); size--) {
        if (rows % size)
            continue;
        o->micro_batch_size = size;
        o->gradient_accumulation_steps = rows / size;
        FT_RETURN(ft_forecast_make(f, j, outline));
    }
    return FT_OK;
}

/* Whether smaller micro-batches would be another loss. */
static bool in_batch(const ft_job *j)
{
    const ft_vector_loss *loss = j->plan.train_options.objective.loss;
    return loss && loss->in_batch;
}

ft_status ft_forecast_fit(ft_forecast *out, ft_job *j, bool outline, bool *it_fits)
{
    ft_train_options *o = &j->plan.train_options, asked = *o;
    char limit[32];
    FT_RETURN(ft_forecast_make(out, j, outline));
    if (!fits(out))
        FT_RETURN(choose_prefix(out, j, outline));
    if (!fits(out) && j->plan.auto_checkpointing)
        FT_RETURN(choose_blocks(out, j, outline));
    if (!fits(out) && j->plan.ram_limit_bytes > 0 && !in_batch(j))
        FT_RETURN(choose_micro_batch(out, j, outline));
    *it_fits = fits(out);
    ft_human_bytes(out->limit_bytes, limit);
    if (*it_fits && o->prefix_cache != asked.prefix_cache)
        ft_note(FT_NOTE, "prefix_cache: disk, to stay within %s", limit);
    if (*it_fits && o->gradient_checkpointing != asked.gradient_checkpointing)
        ft_note(FT_NOTE, "gradient_checkpointing: %lld of %lld blocks, to stay within %s",
                (long long)o->gradient_checkpointing, (long long)ft_model_config(j->model)->num_hidden_layers, limit);
    if (*it_fits && o->micro_batch_size != asked.micro_batch_size)
        ft_note(FT_NOTE, "micro_batch_size: %lld, gradient_accumulation_steps: %lld, to stay within %s",
                (long long)o->micro_batch_size, (long long)o->gradient_accumulation_steps, limit);
    return FT_OK;
}

/* ---- when it does not fit ---- */

typedef struct remedy {
    const char *words;
    double saved_bytes; /* against the forecast; < 0: the options below have to be tried */
    const ft_dtype *activations; /* NULL: as they are */
    bool checkpointed;
    int64_t micro_batch; /* 0: as it is */
} remedy;

static double try_remedy(const ft_job *j, bool outline, const ft_forecast *f, const remedy *r)
{
    if (r->saved_bytes >= 0)
        return (double)f->total_bytes - r->saved_bytes;
    ft_job other = *j;
    ft_train_options *o = &other.plan.train_options;
    ft_forecast g;
    if (r->activations)
        o->activations = r->activations;
    if (r->checkpointed)
        o->gradient_checkpointing = FT_ALL_BLOCKS;
    if (r->micro_batch) {
        o->gradient_accumulation_steps *= o->micro_batch_size;
        o->micro_batch_size = r->micro_batch;
    }
    bool made = ft_forecast_make(&g, &other, outline) == FT_OK;
    return made ? (double)g.total_bytes : (double)f->total_bytes;
}

ft_status ft_forecast_remedy(const ft_forecast *f, const ft_job *j, bool outline, ft_buf *out)
{
    const ft_train_needs *n = &f->needs;
    bool full = !j->plan.has_adapter;
    double quantized = (double)n->weight_bytes - (double)model_bytes(j->model, &ft_q8_0);
    double of_full = (double)n->gradient_bytes + (double)n->moment_bytes +
                     (double)n->weight_bytes; /* an adapter's own are small, and the base stays in its file */
    const remedy remedies[] = {
        {"prefix_cache: disk", n->prefix_place == FT_PREFIX_MEMORY ? (double)n->prefix_bytes : 0, NULL, false, 0},
        {"activations: bf16", -1, &ft_bf16, false, 0},
        {"gradient_checkpointing: true", -1, NULL, true, 0},
        {"gradient_checkpointing: true and micro_batch_size: 1 with as many more accumulation steps", -1, NULL,
         true, 1},
        {full ? "adapter: lora" : "a base in q8_0 (fettle export BASE --format gguf --quant q8_0)",
         full ? of_full : FT_MAX(quantized, 0.0), NULL, false, 0}};
    char bytes[32];
    FT_RETURN(ft_buf_puts(out, ""));
    for (size_t i = 0; i < FT_COUNT(remedies); i++) {
        if (remedies[i].micro_batch && in_batch(j))
            continue;
        double total = try_remedy(j, outline, f, &remedies[i]);
        if (total <= f->limit_bytes)
            return ft_buf_printf(out, "%s (about %s)", remedies[i].words, ft_human_bytes(total, bytes));
    }
    return FT_OK;
}
