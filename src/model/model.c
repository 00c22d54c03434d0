/* Opening and freeing a model, its parameters, and the forward pass.
 *
 * What MODEL may be:
 *   directory with config.json         an HF directory
 *   file                               a GGUF
 *   directory with model/config.json   a run folder of a full fine-tune
 *   directory with adapter/            a run folder of an adapter: the base that adapter_config.json names, and the
 * adapter directory with adapter_config.json a PEFT directory, likewise
 */
#include "model/adapter.h"
#include "model/arch.h"
#include "model/origin.h"

#include "base/os.h"

#include <string.h>

enum { READ_SHARE = 16 }; /* of the tokens have to be unread for gathering the others to pay */

/* ---- opening ---- */

static ft_status read_hf_config(ft_model *m, const char *path)
{
    json_t *json;
    FT_RETURN(ft_json_file(&json, path, (size_t)1 << 26));
    return ft_config__read(&m->config, json, path);
}

static ft_status read_gguf_config(ft_model *m)
{
    json_t *json;
    FT_RETURN(ft_config__of_gguf(&json, m->source));
    FT_RETURN(ft_config__read(&m->config, json, m->path));
    const ft_named *freqs = ft_container_find(m->source, "rope_freqs.weight");
    return freqs ? ft_rope__divisors(&m->config, freqs, m->path) : FT_OK;
}

static ft_status set_paths(ft_model *m, const char *path)
{
    m->path = ft_strdup(path);
    m->tokenizer_path = ft_strdup(path);
    return m->path && m->tokenizer_path ? FT_OK : FT_ENOMEM;
}

static ft_status make_rope(ft_model *m)
{
    const ft_config *c = &m->config;
    int64_t half = c->rot / 2;
    if (!(m->inv_freq = ft_alloc(3 * (size_t)half, sizeof *m->inv_freq)))
        return FT_ENOMEM;
    float *beyond = m->inv_freq + half, *local = beyond + half;
    ft_rope__frequencies(c, c->rope_divisors, m->inv_freq);
    m->rope = (ft_rope){.inv_freq = m->inv_freq, .rot = c->rot, .factor = c->rope_attention_factor};
    if (c->rope_divisors_beyond) {
        ft_rope__frequencies(c, c->rope_divisors_beyond, beyond);
        m->rope.inv_freq_beyond = beyond;
        m->rope.beyond = c->rope_original_max_position;
    }
    ft_rope__local_frequencies(c, local);
    m->rope_local = (ft_rope){.inv_freq = local, .rot = c->rot, .factor = 1};
    return FT_OK;
}

/* The weights that would train, in f32 and with gradients: for an outline pointers will do. */
static void pretend_trainable(ft_model *m)
{
    static float nowhere;
    for (size_t i = 0; i < m->n; i++) {
        ft_param *p = &m->weights[i].p;
        p->t.dtype = &ft_f32;
        p->t.data = p->t.data ? p->t.data : &nowhere;
        p->grad = p->t.data;
        p->trainable = true;
    }
}

static ft_status make_trainable(ft_model *m)
{
    if (m->outline) {
        pretend_trainable(m);
        return FT_OK;
    }
    for (size_t i = 0; i < m->n; i++) {
        ft_param *p = &m->weights[i].p;
        if (!(p->grad = ft_alloc((size_t)ft_tensor_count(&p->t), sizeof *p->grad)))
            return FT_ENOMEM;
        p->trainable = true;
    }
    return FT_OK;
}

static ft_status check_is_model(const ft_container *gguf)
{
    ft_str type = {0};
    const char *path = ft_container_path(gguf);
    if (!ft_meta_str(ft_container_meta(gguf, "general.type"), &type) || !ft_str_is(type, "adapter"))
        return FT_OK;
    return ft_fail(FT_EINPUT, "%s: holds an adapter, not a model: open its base with --adapter %s", path, path);
}

/* path: an HF directory or a GGUF. */
static ft_status open_weights(ft_model *m, const char *path, bool trainable)
{
    FT_RETURN(set_paths(m, path));
    if (ft_is_dir(path)) {
        char *config = ft_path_join(path, "config.json");
        ft_status st = config ? read_hf_config(m, config) : FT_ENOMEM;
        ft_free(config);
        FT_RETURN(st);
    }
    FT_RETURN(ft_container_open(&m->source, path));
    if (!ft_is_dir(path)) {
        if (strcmp(ft_container_format(m->source), "gguf") != 0)
            return ft_fail(FT_EINPUT, "%s: a model is an HF directory, a .gguf or a run folder: name the directory",
                           path);
        FT_RETURN(check_is_model(m->source));
        FT_RETURN(read_gguf_config(m));
    }
    FT_RETURN(ft_weights__build(m));
    FT_RETURN(ft_weights__load(m, trainable && !m->outline));
    FT_RETURN(ft_is_dir(path) ? ft_pooling__read(m, path) : ft_pooling__of_gguf(m));
    FT_RETURN(make_rope(m));
    if (trainable)
        FT_RETURN(make_trainable(m));
    return ft_model__list_trainable(m);
}

/* The base that an adapter directory names, in new memory: where it lies seen from the directory, as fettle.json says;
 * else as typed, from the current directory. */
static ft_status base_of(char **base, const char *adapter_dir)
{
    json_t *json = NULL;
    const char *name;
    ft_status st = FT_OK;
    *base = NULL;
    char *path = ft_path_join(adapter_dir, "adapter_config.json");
    if (!path)
        return FT_ENOMEM;
    FT_TRY(ft_origin_base(base, adapter_dir));
    if (*base)
        goto done;
    FT_TRY(ft_json_file(&json, path, (size_t)1 << 24));
    FT_TRY(ft_json_str(json, "base_model_name_or_path", path, NULL, &name));
    if (!name || !*name)
        st = ft_fail(FT_EINPUT, "%s: base_model_name_or_path is missing: open the base itself with --adapter %s", path,
                     adapter_dir);
    else if (!ft_exists(name))
        st = ft_fail(FT_EINPUT,
                     "%s: its base model \"%s\" is not there (looked %sfrom the current directory): open the base where it "
                     "is now, with --adapter %s",
                     path, name,
                     ft_dir_holds(adapter_dir, ft_origin_file) ? "where it lay when the adapter was written, and " : "",
                     adapter_dir);
    else if (!(*base = ft_strdup(name)))
        st = FT_ENOMEM;
done:
    json_decref(json);
    ft_free(path);
    return st;
}

static ft_status open_adapted(ft_model *m, const char *dir, bool trainable);

static ft_status open_inside(ft_model *m, const char *dir, const char *name, bool trainable)
{
    char *inside = ft_path_join(dir, name);
    if (!inside)
        return FT_ENOMEM;
    ft_status st = strcmp(name, "model") == 0 ? open_weights(m, inside, trainable) : open_adapted(m, inside, trainable);
    ft_free(inside);
    return st;
}

/* A base may itself be the run folder of a full fine-tune; an adapter on an adapter it may not. */
static ft_status open_base(ft_model *m, const char *base, const char *adapter_dir)
{
    if (ft_dir_holds(base, "config.json") || !ft_is_dir(base))
        return open_weights(m, base, false);
    if (ft_dir_holds(base, "model/config.json"))
        return open_inside(m, base, "model", false);
    return ft_fail(FT_EINPUT, "%s: the base model %s has no config.json", adapter_dir, base);
}

static ft_status open_adapted(ft_model *m, const char *dir, bool trainable)
{
    char *base;
    if (trainable)
        return ft_fail(FT_EINPUT,
                       "%s: an adapter on a base: to train all weights, merge it first (fettle export --format hf)",
                       dir);
    if (!m->quantize_base && !m->stored_base)
        FT_RETURN(ft_adapter_base_dtype(&m->quantize_base, dir));
    FT_RETURN(base_of(&base, dir));
    ft_status st = open_base(m, base, dir);
    ft_free(base);
    FT_RETURN(st);
    return ft_adapter_load(m, dir, false);
}

static ft_status open_path(ft_model *m, const char *path, bool trainable)
{
    if (!ft_exists(path))
        return ft_fail(FT_EINPUT, "%s: no such file or directory", path);
    if (ft_dir_holds(path, "config.json") || !ft_is_dir(path))
        return open_weights(m, path, trainable);
    if (ft_dir_holds(path, "adapter_config.json"))
        return open_adapted(m, path, trainable);
    if (ft_dir_holds(path, "model/config.json"))
        return open_inside(m, path, "model", trainable);
    if (ft_dir_holds(path, "adapter/adapter_config.json"))
        return open_inside(m, path, "adapter", trainable);
    return ft_fail(FT_EINPUT,
                   "%s: no model here: looked for config.json, model/config.json, adapter/adapter_config.json and "
                   "adapter_config.json",
                   path);
}

/* What init would make of a config.json. */
static ft_status outline_config(ft_model *m, const char *path)
{
    FT_RETURN(set_paths(m, path));
    FT_RETURN(read_hf_config(m, path));
    FT_RETURN(ft_weights__build(m));
    for (size_t i = 0; i < m->n; i++)
        m->weights[i].stored = &ft_f32;
    FT_RETURN(make_rope(m));
    FT_RETURN(make_trainable(m));
    return ft_model__list_trainable(m);
}

static ft_status open_as(ft_model **out, const char *path, const ft_model_options *options, bool outline)
{
    const ft_model_options o = options ? *options : (ft_model_options){0};
    *out = NULL;
    if (o.quantize_base && o.trainable)
        return ft_fail(FT_EINPUT, "%s: weights that are trained themselves cannot be held in %s", path, o.quantize_base->name);
    ft_model *m = ft_alloc(1, sizeof *m);
    if (!m)
        return FT_ENOMEM;
    m->outline = outline;
    m->quantize_base = o.quantize_base;
    m->stored_base = o.stored_base;
    ft_status st = outline && ft_ends(path, ".json") ? outline_config(m, path) : open_path(m, path, o.trainable);
    if (st != FT_OK)
        ft_model_free(m);
    else
        *out = m;
    return st;
}

ft_status ft_model_open(ft_model **out, const char *path, const ft_model_options *options)
{
    return open_as(out, path, options, false);
}

ft_status ft_model_outline(ft_model **out, const char *path, const ft_model_options *options)
{
    return open_as(out, path, options, true);
}

static ft_status check_fits(const ft_model *m)
{
    double bytes = 0;
    for (size_t i = 0; i < m->n; i++)
        bytes += 2.0 * sizeof(float) * (double)ft_tensor_count(&m->weights[i].p.t);
    if (bytes > (double)ft_total_ram_bytes())
        return ft_fail(FT_ENOMEM,
                       "%s: this model has %.1f GB of weights and gradients in f32, the machine has %.1f GB of memory",
                       m->path, bytes * 1e-9, (double)ft_total_ram_bytes() * 1e-9);
    return FT_OK;
}

static ft_status init(ft_model *m, const char *config_path, uint64_t seed)
{
    char *dir = ft_path_dir(config_path);
    ft_status st = dir ? set_paths(m, dir) : FT_ENOMEM;
    ft_free(dir);
    FT_RETURN(st);
    FT_RETURN(read_hf_config(m, config_path));
    FT_RETURN(ft_weights__build(m));
    if (!m->unmade)
        FT_RETURN(check_fits(m));
    FT_RETURN(ft_weights__init(m, seed));
    FT_RETURN(ft_pooling__read(m, m->path));
    FT_RETURN(make_rope(m));
    if (!m->unmade)
        FT_RETURN(make_trainable(m));
    return ft_model__list_trainable(m);
}

static ft_status init_as(ft_model **out, const char *config_path, uint64_t seed, bool unmade)
{
    *out = NULL;
    ft_model *m = ft_alloc(1, sizeof *m);
    if (!m)
        return FT_ENOMEM;
    m->unmade = unmade;
    ft_status st = init(m, config_path, seed);
    if (st != FT_OK)
        ft_model_free(m);
    else
        *out = m;
    return st;
}

ft_status ft_model_init(ft_model **out, const char *config_path, uint64_t seed)
{
    return init_as(out, config_path, seed, false);
}

ft_status ft_model_unmade(ft_model **out, const char *config_path, uint64_t seed)
{
    return init_as(out, config_path, seed, true);
}

static ft_status make_random(ft_model *m, json_t *config, const ft_dtype *dtype, bool trainable, uint64_t seed,
                             const ft_id_list *asked)
{
    FT_RETURN(ft_config__read(&m->config, config, "random weights"));
    FT_RETURN(set_paths(m, "random weights"));
    FT_RETURN(ft_weights__build(m));
    FT_RETURN(ft_weights__random(m, trainable ? &ft_f32 : dtype, seed, trainable ? NULL : asked));
    FT_RETURN(make_rope(m));
    if (trainable)
        FT_RETURN(make_trainable(m));
    return ft_model__list_trainable(m);
}

ft_status ft_model_random(ft_model **out, json_t *config, const ft_dtype *dtype, bool trainable, uint64_t seed,
                          const ft_id_list *asked)
{
    *out = NULL;
    ft_model *m = ft_alloc(1, sizeof *m);
    if (!m) {
        json_decref(config);
        return FT_ENOMEM;
    }
    ft_status st = make_random(m, config, dtype, trainable, seed, asked);
    if (st != FT_OK)
        ft_model_free(m);
    else
        *out = m;
    return st;
}

void ft_model_free(ft_model *m)
{
    if (!m)
        return;
    ft_adapter_detach(m);
    ft_pooling__free(m);
    ft_weights__free(m);
    ft_config__free(&m->config);
    ft_container_close(m->source);
    ft_free(m->inv_freq);
    ft_free(m->trainable);
    ft_free(m->path);
    ft_free(m->tokenizer_path);
    ft_free(m);
}

/* ---- parameters ---- */

const ft_config *ft_model_config(const ft_model *m)
{
    return &m->config;
}

const ft_dtype *ft_model_quantize_base(const ft_model *m)
{
    return m->quantize_base;
}

const char *ft_model_path(const ft_model *m)
{
    return m->path;
}

const char *ft_model_tokenizer_path(const ft_model *m)
{
    return m->tokenizer_path;
}

size_t ft_model_count(const ft_model *m)
{
    return m->n;
}

ft_param *ft_model_at(ft_model *m, size_t i)
{
    return &m->weights[i].p;
}

ft_param *ft_model_find(ft_model *m, const char *hf_name)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->weights[i].name, hf_name) == 0)
            return &m->weights[i].p;
    return NULL;
}

const ft_dtype *ft_model_stored_dtype(const ft_param *weight)
{
    return ((const ft_weight *)weight)->stored;
}

int64_t ft_model_layer_of(const ft_param *weight)
{
    return ((const ft_weight *)weight)->layer;
}

/* Full: every weight. Adapter: its tensors in the order of the weights they belong to. */
ft_status ft_model__list_trainable(ft_model *m)
{
    m->n_trainable = 0;
    ft_free(m->trainable);
    m->trainable = ft_alloc(3 * m->n, sizeof *m->trainable);
    if (!m->trainable)
        return FT_ENOMEM;
    for (size_t i = 0; i < m->n; i++) {
        ft_weight *w = &m->weights[i];
        ft_param *of[] = {w->adapted ? &w->adapted->a : NULL, w->adapted ? &w->adapted->b : NULL,
                          w->adapted ? &w->adapted->magnitude : NULL, w->saved ? &w->saved->p : NULL, &w->p};
        for (size_t k = 0; k < FT_COUNT(of); k++)
            if (of[k] && of[k]->trainable)
                m->trainable[m->n_trainable++] = of[k];
    }
    return FT_OK;
}

size_t ft_model_trainable_count(const ft_model *m)
{
    return m->n_trainable;
}

ft_param *ft_model_trainable(ft_model *m, size_t i)
{
    return m->trainable[i];
}

bool ft_model_is_encoder(const ft_model *m)
{
    return m->config.arch->encoder;
}

ft_status ft_model_check_head(const ft_model *m)
{
    if (!m->config.arch->encoder)
        return FT_OK;
    return ft_fail(FT_EUNSUPPORTED, "%s: a %s model is an encoder: it gives vectors and continues no text", m->path,
                   m->config.arch->model_type);
}

ft_param *ft_model_head(ft_model *m)
{
    return ft_weight__live(m->outer[FT_W_HEAD]);
}

const ft_tensor *ft_model_mapped_embedding(const ft_model *m)
{
    const ft_weight *w = m->outer[FT_W_EMBED];
    bool mapped = m->source && !w->owned && w->stored->is_float; /* the scales of stored blocks are all looked at */
    return mapped && w != m->outer[FT_W_HEAD] && !w->saved ? &w->p.t : NULL;
}

float ft_model_softcap(const ft_model *m)
{
    return m->config.final_softcap;
}

ft_var *ft_model_logits(ft_model *m, ft_tape *t, const ft_var *hidden, int64_t first, int64_t n)
{
    ft_var *rows = hidden ? ft_leaf(t, hidden->v + first * hidden->cols, n, hidden->cols, false) : NULL;
    return rows ? ft_op_logits(t, rows, ft_model_head(m), ft_model_softcap(m)) : NULL;
}

/* Of one weight; the embedding is a look-up unless it is the head too. frozen: blocks that only run forward. */
static double flops_of(const ft_model *m, const ft_weight *w, int64_t frozen)
{
    bool head = w == m->outer[FT_W_HEAD];
    if (w->spec->role != FT_ROLE_LINEAR && !head)
        return 0;
    const ft_param *live = w->saved ? &w->saved->p : &w->p;
    bool forward_only = w->layer >= 0 && w->layer < frozen;
    double flops = (forward_only ? 2.0 : live->trainable ? 6.0 : 4.0) * (double)ft_tensor_count(&w->p.t);
    if (w->adapted)
        flops += (w->adapted->start_a.t.data ? 10.0 : 6.0) *
                 (double)(ft_tensor_count(&w->adapted->a.t) + ft_tensor_count(&w->adapted->b.t));
    return flops;
}

double ft_model_flops_per_token(ft_model *m, int64_t tokens)
{
    const ft_config *c = &m->config;
    int64_t frozen = ft_model_frozen_blocks(m);
    double pairs = 0.5 * (double)(tokens + 1), flops = 0;
    for (size_t i = 0; i < m->n; i++)
        flops += flops_of(m, &m->weights[i], frozen);
    double layers = (double)(3 * (c->num_hidden_layers - frozen) + frozen);
    return flops + 4 * layers * (double)(c->num_attention_heads * c->head_dim) * pairs;
}

void ft_model_watch(ft_model *m, ft_linear_fn fn, void *ctx)
{
    m->watch = fn;
    m->watch_ctx = ctx;
}

/* ---- forward ---- */

/* Segments as the backward walk will need them, in the tape's memory. */
static const int64_t *keep(ft_tape *t, const int64_t *p, int64_t n, bool *ok)
{
    int64_t *copy = p ? ft_tape_alloc(t, (size_t)n, sizeof *copy) : NULL;
    if (copy)
        memcpy(copy, p, (size_t)n * sizeof *copy);
    *ok = *ok && (copy || !p);
    return copy;
}

static ft_pass *new_pass(ft_model *m, ft_tape *t, const ft_segments *seg, ft_kv *kv)
{
    bool ok = true;
    ft_pass *p = ft_tape_alloc(t, 1, sizeof *p);
    if (!p)
        return NULL;
    *p = (ft_pass){.m = m, .kv = kv};
    p->seg.n = seg->n;
    p->seg.start = keep(t, seg->start, seg->n + 1, &ok);
    p->seg.past = keep(t, seg->past, seg->n, &ok);
    p->seg.slot = keep(t, seg->slot, seg->n, &ok);
    p->seg.total = keep(t, seg->total, seg->n, &ok);
    if (seg->n_read < seg->start[seg->n]) {
        p->seg.read = keep(t, seg->read, seg->n_read, &ok);
        p->seg.n_read = seg->n_read;
    }
    return ok ? p : NULL;
}

/* Whether this step is recorded: only then does a leaf keep the gradient that it asks for. */
static bool is_recorded(ft_tape *t)
{
    float *x = ft_tape_alloc(t, 1, sizeof *x);
    const ft_var *leaf = x ? ft_leaf(t, x, 1, 1, true) : NULL;
    return leaf && leaf->needs_grad;
}

/* Blocks from .. to - 1, the first of them checkpointed. Where nothing is recorded one block's activations stand at a
 * time: its output takes the place of its input, from the mark on. */
static ft_var *walk(ft_tape *t, ft_var *x, ft_pass *p, int64_t from, int64_t to, int64_t checkpointed,
                    const ft_tape_mark *mark)
{
    for (int64_t i = from; i < to && x; i++) {
        x = ft_block(t, x, p->m->config.arch->block, p, i, i - from < checkpointed);
        if (mark && x)
            x = ft_tape_rewind(t, *mark, x);
    }
    return x;
}

static ft_var *embed(ft_tape *t, const ft_pass *p, const int32_t *ids, int64_t T)
{
    const ft_arch *arch = p->m->config.arch;
    return (arch->embed ? arch->embed : ft_decoder_embed)(t, p, ids, T);
}

/* What the last block gives, as the head takes it: dividing before the head or behind it is the same. */
static ft_var *finish(ft_tape *t, const ft_pass *p, ft_var *x)
{
    float divisor = p->m->config.logits_divisor;
    x = ft_model__norm(t, p, x, p->m->outer[FT_W_FINAL_NORM]);
    return divisor != 1 ? ft_op_scale(t, x, 1 / divisor) : x;
}

/* The blocks below `end` as one, for ft_block: in a recorded step nothing of them stays but the output. */
static ft_var *frozen(ft_tape *t, ft_var *x, void *pass, int64_t end)
{
    ft_tape_mark mark = ft_tape_now(t);
    return walk(t, x, pass, 0, end, 0, &mark);
}

void ft_model_read_targets(ft_segments *seg, int64_t *read, int32_t *targets)
{
    int64_t n = 0, T = seg->start[seg->n];
    for (int64_t i = 0; i < T; i++)
        if (targets[i] >= 0)
            read[n++] = i;
    if (!n || n > T - T / READ_SHARE)
        return;
    for (int64_t i = 0; i < n; i++)
        targets[i] = targets[read[i]];
    seg->read = read;
    seg->n_read = n;
}

ft_var *ft_model_enter(ft_model *m, ft_tape *t, const int32_t *ids, int64_t T, const ft_segments *seg, int64_t k)
{
    ft_pass *p = new_pass(m, t, seg, NULL);
    if (!p)
        return NULL;
    ft_tape_mark mark = ft_tape_now(t);
    return walk(t, embed(t, p, ids, T), p, 0, k, 0, &mark);
}

ft_var *ft_model_from(ft_model *m, ft_tape *t, ft_var *x, int64_t k, const ft_segments *seg,
                      int64_t checkpointed)
{
    ft_pass *p = new_pass(m, t, seg, NULL);
    if (!p || !x)
        return NULL;
    int64_t L = m->config.num_hidden_layers;
    x = k < L ? walk(t, x, p, k, L, checkpointed, NULL) : ft_model__read(t, p, x, L - 1);
    return finish(t, p, x);
}

ft_var *ft_model_forward(ft_model *m, ft_tape *t, const int32_t *ids, int64_t T, const ft_segments *seg, ft_kv *kv,
                         int64_t checkpointed)
{
    ft_pass *p = new_pass(m, t, seg, kv);
    if (!p)
        return NULL;
    bool recorded = is_recorded(t);
    int64_t k = recorded ? ft_model_frozen_blocks(m) : 0;
    ft_tape_mark mark = ft_tape_now(t);
    ft_var *x = embed(t, p, ids, T);
    if (k)
        x = ft_block(t, x, frozen, p, k, true);
    x = walk(t, x, p, k, m->config.num_hidden_layers, checkpointed, recorded ? NULL : &mark);
    return finish(t, p, x);
}
