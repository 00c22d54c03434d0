/* What is attached to a model: low-rank parts on linears, and trained copies of whole weights (modules_to_save).
 *
 * Trainable parameters go by PEFT's names: base_model.model.<module>.lora_A.weight and .lora_B.weight, and
 * base_model.model.<weight> for a saved one. Names, tensors and the spec's strings are owned by the ft_adapter.
 * Where head and embedding are tied, saving either trains the one matrix, and the spec names both.
 */
#include "model/adapter.h"

#include "base/threads.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FT_ADAPTER(name) extern const ft_adapter_kind ft_adapter_##name;
#include "model/adapters.def"
#undef FT_ADAPTER
#define FT_ADAPTER(name) &ft_adapter_##name,
const ft_adapter_kind *const ft_adapter_kinds[] = {
#include "model/adapters.def"
    NULL};
#undef FT_ADAPTER

/* ---- which modules ---- */

bool ft_adapter__matches(const char *module, size_t n, const char *name)
{
    size_t k = strlen(name);
    return k && k <= n && memcmp(module + n - k, name, k) == 0 && (k == n || module[n - k - 1] == '.');
}

static bool named(const char *const *names, size_t n_names, const ft_weight *w)
{
    for (size_t i = 0; i < n_names; i++)
        if (ft_adapter__matches(w->name, ft_weights__module(w->name), names[i]))
            return true;
    return false;
}

static bool in_layers(const ft_adapter_spec *spec, int64_t layer)
{
    for (size_t i = 0; i < spec->n_layers; i++)
        if (spec->layers[i] == layer)
            return true;
    return !spec->n_layers;
}

bool ft_adapter__targets(const ft_adapter_spec *spec, const ft_weight *w)
{
    if (w->spec->role != FT_ROLE_LINEAR || !in_layers(spec, w->layer))
        return false;
    for (size_t i = 0; i < spec->n_targets; i++)
        if (strcmp(spec->target_modules[i], "all-linear") == 0)
            return true;
    return named(spec->target_modules, spec->n_targets, w);
}

static bool is_tied(const ft_model *m, const ft_weight *w)
{
    return w == m->outer[FT_W_EMBED] && w == m->outer[FT_W_HEAD];
}

bool ft_adapter__saves(const ft_model *m, const ft_adapter_spec *spec, const ft_weight *w)
{
    if (named(spec->modules_to_save, spec->n_save, w))
        return true;
    for (size_t i = 0; is_tied(m, w) && i < spec->n_save; i++)
        if (strcmp(spec->modules_to_save[i], "lm_head") == 0)
            return true;
    return false;
}

/* "q_proj" of "model.layers.0.self_attn.q_proj.weight". */
static ft_str last_part(const ft_weight *w)
{
    size_t n = ft_weights__module(w->name), at = n;
    while (at && w->name[at - 1] != '.')
        at--;
    return (ft_str){w->name + at, n - at};
}

/* Of the first layer or of none, and of the kind that is asked for. */
static bool is_listed(const ft_weight *w, bool linears)
{
    return w->layer <= 0 && w->spec->role != FT_ROLE_BIAS && (!linears || w->spec->role == FT_ROLE_LINEAR);
}

/* The last parts of the names of the modules of a role range, each once: what may be asked for. */
static void module_names(const ft_model *m, bool linears, char *text, size_t size)
{
    text[0] = 0;
    for (size_t i = 0; i < m->n; i++) {
        const ft_weight *w = &m->weights[i];
        ft_str part = last_part(w);
        bool new = is_listed(w, linears);
        for (size_t k = 0; new && k < i; k++)
            new = !is_listed(&m->weights[k], linears) || !ft_str_eq(last_part(&m->weights[k]), part);
        size_t used = strlen(text);
        if (new)
            snprintf(text + used, size - used, "%s%.*s", used ? ", " : "", (int)part.n, part.p);
    }
}

static bool names_any(const ft_model *m, const char *name, bool target)
{
    const char *const one[] = {name};
    ft_adapter_spec spec = {.target_modules = one, .n_targets = target, .modules_to_save = one, .n_save = !target};
    for (size_t i = 0; i < m->n; i++)
        if (target ? ft_adapter__targets(&spec, &m->weights[i]) : ft_adapter__saves(m, &spec, &m->weights[i]))
            return true;
    return false;
}

static ft_status check_names(const ft_model *m, const ft_adapter_spec *s)
{
    char known[1024];
    for (size_t i = 0; i < s->n_targets; i++) {
        if (names_any(m, s->target_modules[i], true))
            continue;
        module_names(m, true, known, sizeof known);
        if (names_any(m, s->target_modules[i], false))
            return ft_fail(FT_EUNSUPPORTED,
                           "target module \"%s\" is no linear of a block: train it whole as one of "
                           "modules_to_save, or adapt all-linear or some of %s",
                           s->target_modules[i], known);
        return ft_fail(FT_EINPUT, "target module \"%s\" matches nothing in this model, which has all-linear, %s",
                       s->target_modules[i], known);
    }
    for (size_t i = 0; i < s->n_save; i++) {
        if (names_any(m, s->modules_to_save[i], false))
            continue;
        module_names(m, false, known, sizeof known);
        return ft_fail(FT_EINPUT, "module to save \"%s\" matches nothing in this model, which has %s",
                       s->modules_to_save[i], known);
    }
    return FT_OK;
}

static ft_status check_spec(const ft_model *m, const ft_adapter_spec *s)
{
    if (s->r < 1 || s->r > FT_MAX_RANK)
        return ft_fail(FT_EINPUT, "adapter rank %lld, 1 to %d can be", (long long)s->r, FT_MAX_RANK);
    if (!(s->alpha > 0 && s->alpha < 1e9))
        return ft_fail(FT_EINPUT, "adapter alpha %g, a positive number is expected", s->alpha);
    if (!(s->dropout >= 0 && s->dropout < 1))
        return ft_fail(FT_EINPUT, "adapter dropout %g, 0 or more and less than 1 is expected", s->dropout);
    if (!s->n_targets && !s->n_save)
        return ft_fail(FT_EINPUT, "the adapter has no target modules");
    for (size_t i = 0; i < s->n_layers; i++)
        if (s->layers[i] < 0 || s->layers[i] >= m->config.num_hidden_layers)
            return ft_fail(FT_EINPUT, "layer %lld is to be adapted, this model has the layers 0 to %lld",
                           (long long)s->layers[i], (long long)m->config.num_hidden_layers - 1);
    return check_names(m, s);
}

/* ---- the spec's copy ---- */

static void free_names(const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ft_free((char *)names[i]);
    ft_free((void *)names);
}

/* Room for one more name than asked: a tied partner. */
static ft_status copy_names(const char *const **out, size_t *n_out, const char *const *names, size_t n)
{
    const char **copy = ft_alloc(n + 1, sizeof *copy);
    if (!copy)
        return FT_ENOMEM;
    *out = copy;
    for (*n_out = 0; *n_out < n; ++*n_out)
        if (!(copy[*n_out] = ft_strdup(names[*n_out])))
            return FT_ENOMEM;
    return FT_OK;
}

/* Saving one of a tied pair is saving both: an adapter elsewhere must be told of both. */
static ft_status add_tied_partner(const ft_model *m, ft_adapter_spec *s)
{
    bool embed = false, head = false;
    if (!is_tied(m, m->outer[FT_W_EMBED]))
        return FT_OK;
    for (size_t i = 0; i < s->n_save; i++) {
        head |= strcmp(s->modules_to_save[i], "lm_head") == 0;
        embed |= ft_adapter__matches("model.embed_tokens", strlen("model.embed_tokens"), s->modules_to_save[i]);
    }
    if (embed == head)
        return FT_OK;
    char *partner = ft_strdup(head ? "embed_tokens" : "lm_head");
    if (!partner)
        return FT_ENOMEM;
    ((const char **)s->modules_to_save)[s->n_save++] = partner;
    return FT_OK;
}

static ft_status copy_layers(ft_adapter_spec *s, const ft_adapter_spec *from)
{
    int64_t *copy = ft_alloc(from->n_layers, sizeof *copy);
    if (!copy)
        return FT_ENOMEM;
    for (size_t i = 0; i < from->n_layers; i++)
        copy[i] = from->layers[i];
    s->layers = copy;
    s->n_layers = from->n_layers;
    return FT_OK;
}

static ft_status copy_spec(const ft_model *m, ft_adapter *a, const ft_adapter_spec *from)
{
    ft_adapter_spec *s = &a->spec;
    *s = *from;
    s->kind = a->kind->name;
    s->target_modules = s->modules_to_save = NULL;
    s->layers = NULL;
    s->n_targets = s->n_save = s->n_layers = 0; /* from here on it may be freed */
    FT_RETURN(ft_adapter__check_init(s));
    FT_RETURN(copy_layers(s, from));
    FT_RETURN(copy_names(&s->target_modules, &s->n_targets, from->target_modules, from->n_targets));
    FT_RETURN(copy_names(&s->modules_to_save, &s->n_save, from->modules_to_save, from->n_save));
    return add_tied_partner(m, s);
}

/* ---- tensors ---- */

ft_status ft_adapter__make_param(ft_param *p, char *name, int ndim, const int64_t *shape, bool trainable)
{
    p->name = name;
    if (!name)
        return FT_ENOMEM;
    p->t.dtype = &ft_f32;
    p->t.ndim = ndim;
    memcpy(p->t.shape, shape, (size_t)ndim * sizeof *shape);
    p->trainable = trainable;
    size_t n = (size_t)ft_tensor_count(&p->t);
    if (!(p->t.data = ft_alloc(n, sizeof(float))) || (trainable && !(p->grad = ft_alloc(n, sizeof(float)))))
        return FT_ENOMEM;
    return FT_OK;
}

static void free_param(ft_param *p)
{
    ft_free((char *)p->name);
    ft_free(p->t.data);
    ft_free(p->grad);
}

typedef struct row_squares {
    const ft_tensor *w;
    float *rows; /* [threads, in] */
    float *out;  /* [rows of w] */
} row_squares;

static void square_row(void *ctx, int64_t r)
{
    const row_squares *j = ctx;
    int64_t n = ft_tensor_cols(j->w);
    float *x = j->rows + (int64_t)ft_thread_id() * n;
    double sum = 0;
    ft_tensor_decode_rows(j->w, r, r + 1, x);
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    j->out[r] = (float)sum;
}

/* The norms of the rows of W are what the magnitude begins with. An outline has no rows to look at. */
static ft_status add_magnitude(ft_model *m, ft_adapted *at)
{
    const ft_tensor *w = &at->on->p.t;
    int64_t out = w->shape[0];
    row_squares j = {.w = w};
    FT_RETURN(ft_adapter__make_param(&at->magnitude, ft_strf("base_model.model.%.*s.lora_magnitude_vector",
                                                 (int)ft_weights__module(at->on->name), at->on->name),
                         1, &out, m->adapter->trainable));
    at->squares = j.out = ft_alloc((size_t)out, sizeof *at->squares);
    at->norms = ft_alloc((size_t)out, sizeof *at->norms);
    j.rows = ft_alloc((size_t)ft_threads(), (size_t)w->shape[1] * sizeof *j.rows);
    if (at->squares && at->norms && j.rows && !m->outline)
        ft_parallel(out, square_row, &j);
    for (int64_t o = 0; at->squares && o < out; o++)
        ((float *)at->magnitude.t.data)[o] = sqrtf(at->squares[o]);
    ft_free(j.rows);
    return at->squares && at->norms && j.rows ? FT_OK : FT_ENOMEM;
}

ft_status ft_adapter__add(ft_model *m, ft_weight *w, int64_t r, double alpha)
{
    ft_adapter *a = m->adapter;
    ft_adapted *at = &a->parts[a->n_parts];
    int n = (int)ft_weights__module(w->name);
    int64_t shape_a[] = {r, w->p.t.shape[1]}, shape_b[] = {w->p.t.shape[0], r};
    at->on = w;
    at->site = (uint32_t)a->n_parts++;
    at->scale = a->kind->scale(r, alpha, a->spec.rslora);
    w->adapted = at;
    FT_RETURN(ft_adapter__make_param(&at->a, ft_strf("base_model.model.%.*s.lora_A.weight", n, w->name), 2, shape_a, a->trainable));
    FT_RETURN(ft_adapter__make_param(&at->b, ft_strf("base_model.model.%.*s.lora_B.weight", n, w->name), 2, shape_b, a->trainable));
    return a->spec.dora ? add_magnitude(m, at) : FT_OK;
}

ft_status ft_adapter__save(ft_model *m, ft_weight *w)
{
    ft_adapter *a = m->adapter;
    ft_saved *s = &a->saved[a->n_saved++];
    s->on = w;
    w->saved = s;
    FT_RETURN(ft_adapter__make_param(&s->p, ft_strf("base_model.model.%s", w->name), w->p.t.ndim, w->p.t.shape, a->trainable));
    ft_tensor_decode_rows(&w->p.t, 0, ft_tensor_rows(&w->p.t), s->p.t.data);
    return FT_OK;
}

ft_status ft_adapter__check_finite(const ft_named *t, const char *where)
{
    int64_t row;
    if (ft_tensor_finite(&t->t, &row))
        return FT_OK;
    return ft_fail(FT_ENUMERIC, "%s: tensor %s, row %lld: a value is not finite", where, t->name, (long long)row);
}

/* ---- attach and detach ---- */

static void freeze(ft_model *m)
{
    for (size_t i = 0; i < m->n; i++) {
        ft_param *p = &m->weights[i].p;
        ft_free(p->grad);
        p->grad = NULL;
        p->trainable = false;
    }
}

static const ft_adapter_kind *kind_named(const char *name)
{
    for (size_t i = 0; ft_adapter_kinds[i]; i++)
        if (strcmp(ft_adapter_kinds[i]->name, name) == 0)
            return ft_adapter_kinds[i];
    return NULL;
}

static void set_shipped(ft_adapter *a)
{
    a->shipped = a->spec;
    if (strcmp(a->spec.init, "pissa") != 0)
        return;
    a->shipped.r *= 2;
    a->shipped.alpha *= a->spec.rslora ? sqrt(2) : 2;
}

ft_status ft_adapter__begin(ft_model *m, const ft_adapter_spec *spec, bool trainable)
{
    const ft_adapter_kind *kind = kind_named(spec->kind);
    if (!kind)
        return ft_fail(FT_EINPUT, "adapter kind \"%s\" is unknown", spec->kind);
    if (m->adapter)
        return ft_fail(FT_EINPUT, "%s: has an adapter attached already: merge it first (fettle export --format hf)",
                       m->path);
    FT_RETURN(check_spec(m, spec));
    freeze(m);
    ft_adapter *a = m->adapter = ft_alloc(1, sizeof *a);
    if (!a)
        return FT_ENOMEM;
    a->kind = kind;
    a->trainable = trainable;
    FT_RETURN(copy_spec(m, a, spec));
    set_shipped(a);
    a->parts = ft_alloc(m->n, sizeof *a->parts);
    a->saved = ft_alloc(m->n, sizeof *a->saved);
    return a->parts && a->saved ? FT_OK : FT_ENOMEM;
}

static ft_status attach(ft_model *m, const ft_adapter_spec *spec)
{
    FT_RETURN(ft_adapter__begin(m, spec, true));
    const ft_adapter_spec *s = &m->adapter->spec;
    for (size_t i = 0; i < m->n; i++) {
        ft_weight *w = &m->weights[i];
        if (ft_adapter__saves(m, s, w)) {
            FT_RETURN(ft_adapter__save(m, w));
        } else if (ft_adapter__targets(s, w)) {
            FT_RETURN(ft_adapter__add(m, w, s->r, s->alpha));
            FT_RETURN(ft_adapter__fill(m, w->adapted));
        }
    }
    return ft_model__list_trainable(m);
}

ft_status ft_adapter_attach(ft_model *m, const ft_adapter_spec *spec)
{
    bool had = m->adapter != NULL;
    ft_status st = attach(m, spec);
    if (st != FT_OK && !had)
        ft_adapter_detach(m);
    return st;
}

void ft_adapter_detach(ft_model *m)
{
    ft_adapter *a = m->adapter;
    if (!a)
        return;
    for (size_t i = 0; i < m->n; i++) {
        m->weights[i].adapted = NULL;
        m->weights[i].saved = NULL;
    }
    for (size_t i = 0; i < a->n_parts; i++) {
        ft_adapted *at = &a->parts[i];
        ft_param *const all[] = {&at->a, &at->b, &at->magnitude, &at->start_a, &at->start_b, &at->whole_a, &at->whole_b};
        for (size_t k = 0; k < FT_COUNT(all); k++)
            free_param(all[k]);
        ft_free(at->squares);
        ft_free(at->norms);
    }
    for (size_t i = 0; i < a->n_saved; i++)
        free_param(&a->saved[i].p);
    free_names(a->spec.target_modules, a->spec.n_targets);
    free_names(a->spec.modules_to_save, a->spec.n_save);
    ft_free(a->path);
    ft_free((void *)a->spec.layers);
    ft_free(a->parts);
    ft_free(a->saved);
    ft_free(a);
    m->adapter = NULL;
    m->n_trainable = 0;
}

/* ---- questions ---- */

bool ft_adapter_attached(const ft_model *m)
{
    return m->adapter != NULL;
}

const char *ft_adapter_path(const ft_model *m)
{
    return m->adapter ? m->adapter->path : NULL;
}

void ft_adapter_set_dropout(ft_model *m, double dropout)
{
    m->adapter->spec.dropout = m->adapter->shipped.dropout = dropout;
}

const ft_adapter_spec *ft_adapter_spec_of(const ft_model *m)
{
    return m->adapter ? &m->adapter->shipped : NULL;
}

bool ft_adapter_on(ft_model *m, const ft_param *weight, ft_param **a, ft_param **b, float *scale)
{
    ft_adapted *at = ((const ft_weight *)weight)->adapted;
    if (!m->adapter || !at)
        return false;
    bool joined = at->start_a.t.data != NULL;
    if (joined && (a || b))
        ft_adapter__join(at);
    if (a)
        *a = joined ? &at->whole_a : &at->a;
    if (b)
        *b = joined ? &at->whole_b : &at->b;
    if (scale)
        *scale = at->scale;
    return true;
}

ft_param *ft_adapter_magnitude(ft_model *m, const ft_param *weight)
{
    ft_adapted *at = ((const ft_weight *)weight)->adapted;
    return m->adapter && at && at->magnitude.t.data ? &at->magnitude : NULL;
}

ft_param *ft_adapter_saved(ft_model *m, const ft_param *weight)
{
    ft_saved *s = ((const ft_weight *)weight)->saved;
    return m->adapter && s ? &s->p : NULL;
}
