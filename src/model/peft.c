/* A PEFT adapter directory: adapter_config.json beside adapter_model.safetensors.
 *
 * Every tensor of the file must have its place and every place its tensor; what the config asks for that would change
 * the result and is not served (biases, other kinds of adapters ...) is refused by name, never passed
 * over.
 */
#include "model/adapter.h"

#include "base/os.h"
#include "model/origin.h"

#include <stdio.h>
#include <string.h>

enum { MAX_NAMES = 4096 };

typedef struct peft {
    ft_model *m;
    json_t *config;
    char *config_path;
    ft_container *tensors;
    const char **names; /* [n_targets + n_save], borrowed from config */
    int64_t *layers;    /* [spec.n_layers] */
    ft_adapter_spec spec;
    bool by_presence; /* which linears are adapted shows in the tensors alone */
    size_t used;
} peft;

/* ---- adapter_config.json ---- */

static bool given(const peft *p, const char *key)
{
    const json_t *v = json_object_get(p->config, key);
    return v && !json_is_null(v) && !json_is_false(v) && !(json_is_object(v) && !json_object_size(v)) &&
           !(json_is_array(v) && !json_array_size(v));
}

/* Settings that change what the adapter computes. */
static ft_status refuse_unserved(const peft *p)
{
    static const char *const keys[] = {"lora_bias",
                                       "fan_in_fan_out",
                                       "layer_replication",
                                       "target_parameters",
                                       "trainable_token_indices",
                                       "alora_invocation_tokens",
                                       "arrow_config",
                                       "use_bdlora",
                                       "use_qalora"};
    const char *bias, *init = "";
    for (size_t i = 0; i < FT_COUNT(keys); i++)
        if (given(p, keys[i]))
            return ft_fail(FT_EUNSUPPORTED, "%s: %s is set, which is not supported", p->config_path, keys[i]);
    FT_RETURN(ft_json_str(p->config, "bias", p->config_path, "none", &bias));
    if (strcmp(bias, "none") != 0)
        return ft_fail(FT_EUNSUPPORTED, "%s: bias is \"%s\", only \"none\" is supported", p->config_path, bias);
    /* some initialisations take their start out of the base: the adapter is right on that changed base only */
    if (json_is_string(json_object_get(p->config, "init_lora_weights")))
        init = json_string_value(json_object_get(p->config, "init_lora_weights"));
    if (ft_starts(init, "pissa") || strcmp(init, "olora") == 0 || strcmp(init, "corda") == 0 ||
        strcmp(init, "loftq") == 0 || strcmp(init, "lora_ga") == 0)
        return ft_fail(FT_EUNSUPPORTED, "%s: init_lora_weights is \"%s\", which changes the base model: not supported",
                       p->config_path, init);
    return FT_OK;
}

static ft_status find_kind(peft *p)
{
    const char *type;
    FT_RETURN(ft_json_str(p->config, "peft_type", p->config_path, NULL, &type));
    if (!type)
        return ft_fail(FT_EFORMAT, "%s: peft_type is missing", p->config_path);
    for (size_t i = 0; ft_adapter_kinds[i]; i++)
        if (strcmp(ft_adapter_kinds[i]->peft_type, type) == 0)
            p->spec.kind = ft_adapter_kinds[i]->name;
    if (!p->spec.kind)
        return ft_fail(FT_EUNSUPPORTED, "%s: peft_type is \"%s\", LORA is supported", p->config_path, type);
    return FT_OK;
}

/* A list of names, appended to p->names. */
static ft_status read_names(peft *p, const char *key, size_t *n, size_t *total)
{
    const json_t *list = json_object_get(p->config, key);
    if (!list || json_is_null(list))
        return FT_OK;
    if (!json_is_array(list) || json_array_size(list) > MAX_NAMES - *total)
        return ft_fail(FT_EFORMAT, "%s: %s is no list of at most %d names", p->config_path, key, MAX_NAMES);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!name)
            return ft_fail(FT_EFORMAT, "%s: %s[%zu] is no string", p->config_path, key, i);
        p->names[(*total)++] = name;
        ++*n;
    }
    return FT_OK;
}

/* What the list of blocks is called in the model: "layers" of "model.layers.3.". */
static ft_str blocks_name(const ft_model *m)
{
    char index[32];
    for (size_t i = 0; i < m->n; i++) {
        snprintf(index, sizeof index, ".%lld.", (long long)m->weights[i].layer);
        const char *name = m->weights[i].name, *end = m->weights[i].layer >= 0 ? strstr(name, index) : NULL, *p = end;
        while (p && p > name && p[-1] != '.')
            p--;
        if (p)
            return (ft_str){p, (size_t)(end - p)};
    }
    return (ft_str){"", 0};
}

/* layers_pattern: a name or a list of names of such lists; none means any. */
static bool counts_blocks(const peft *p)
{
    const json_t *pattern = json_object_get(p->config, "layers_pattern");
    ft_str name = blocks_name(p->m);
    if (!given(p, "layers_pattern") || (json_is_string(pattern) && !*json_string_value(pattern)))
        return true;
    for (size_t i = 0; i < json_array_size(pattern); i++)
        if (json_is_string(json_array_get(pattern, i)) &&
            ft_str_is(name, json_string_value(json_array_get(pattern, i))))
            return true;
    return json_is_string(pattern) && ft_str_is(name, json_string_value(pattern));
}

/* layers_to_transform: a block's number or a list of them. */
static ft_status read_layers(peft *p)
{
    const json_t *list = json_object_get(p->config, "layers_to_transform");
    size_t n = json_is_array(list) ? json_array_size(list) : 1;
    if (!given(p, "layers_to_transform"))
        return FT_OK;
    if (n > MAX_NAMES)
        return ft_fail(FT_EFORMAT, "%s: layers_to_transform has %zu numbers, at most %d are taken", p->config_path, n,
                       MAX_NAMES);
    if (!(p->layers = ft_alloc(n, sizeof *p->layers)))
        return FT_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_is_array(list) ? json_array_get(list, i) : list;
        if (!json_is_integer(v))
            return ft_fail(FT_EFORMAT, "%s: layers_to_transform is no number of a layer and no list of such numbers",
                           p->config_path);
        p->layers[i] = json_integer_value(v);
    }
    p->spec.layers = p->layers;
    p->spec.n_layers = n;
    return FT_OK;
}

/* target_modules: a list of names, or "all-linear"; any other text is a pattern, and the tensors say what it meant. */
static ft_status read_targets(peft *p)
{
    size_t total = 0;
    const char *text = json_string_value(json_object_get(p->config, "target_modules"));
    if (!(p->names = ft_alloc(MAX_NAMES, sizeof *p->names)))
        return FT_ENOMEM;
    p->by_presence = given(p, "exclude_modules") || !counts_blocks(p);
    if (counts_blocks(p))
        FT_RETURN(read_layers(p));
    if (text) {
        p->by_presence |= strcmp(text, "all-linear") != 0;
        p->names[total++] = "all-linear";
        p->spec.n_targets = 1;
    } else {
        FT_RETURN(read_names(p, "target_modules", &p->spec.n_targets, &total));
    }
    p->spec.target_modules = p->names;
    p->spec.modules_to_save = p->names + total;
    return read_names(p, "modules_to_save", &p->spec.n_save, &total);
}

/* rank_pattern and alpha_pattern: the value for a module, out of {pattern: number}. The first that matches decides. */
static ft_status pattern_value(const peft *p, const char *key, const ft_weight *w, double *value)
{
    const char *pattern;
    json_t *v;
    json_t *patterns = json_object_get(p->config, key);
    ft_str module = {w->name, ft_weights__module(w->name)};
    bool matches = false;
    json_object_foreach(patterns, pattern, v)
    {
        if (!json_is_number(v))
            return ft_fail(FT_EFORMAT, "%s: %s \"%s\" is no number", p->config_path, key, pattern);
        FT_RETURN(ft_context(ft_adapter__pattern(pattern, module, &matches), "%s: %s", p->config_path, key));
        if (matches) {
            *value = json_number_value(v);
            break;
        }
    }
    return FT_OK;
}

static ft_status read_config(peft *p)
{
    FT_RETURN(ft_json_file(&p->config, p->config_path, (size_t)1 << 24));
    if (!json_is_object(p->config))
        return ft_fail(FT_EFORMAT, "%s: not a JSON object", p->config_path);
    FT_RETURN(find_kind(p));
    FT_RETURN(refuse_unserved(p));
    FT_RETURN(ft_json_i64(p->config, "r", p->config_path, 8, &p->spec.r));
    FT_RETURN(ft_json_f64(p->config, "lora_alpha", p->config_path, 8, &p->spec.alpha));
    FT_RETURN(ft_json_f64(p->config, "lora_dropout", p->config_path, 0, &p->spec.dropout));
    FT_RETURN(ft_json_bool(p->config, "use_dora", p->config_path, false, &p->spec.dora));
    FT_RETURN(ft_json_bool(p->config, "use_rslora", p->config_path, false, &p->spec.rslora));
    return read_targets(p);
}

/* ---- tensors ---- */

static ft_status fill(peft *p, ft_param *to, const ft_named *from)
{
    char have[96], want[96];
    bool same = from->t.ndim == to->t.ndim;
    for (int i = 0; same && i < to->t.ndim; i++)
        same = from->t.shape[i] == to->t.shape[i];
    if (!same)
        return ft_fail(FT_EFORMAT, "%s: tensor %s has shape %s, expected %s by the base model and the rank",
                       ft_container_path(p->tensors), from->name, ft_shape_text(from->t.ndim, from->t.shape, have),
                       ft_shape_text(to->t.ndim, to->t.shape, want));
    FT_RETURN(ft_adapter__check_finite(from, ft_container_path(p->tensors)));
    ft_tensor_decode_rows(&from->t, 0, ft_tensor_rows(&from->t), to->t.data);
    p->used++;
    return FT_OK;
}

static ft_status fill_by_name(peft *p, ft_param *to)
{
    const ft_named *from = ft_container_find(p->tensors, to->name);
    if (!from)
        return ft_fail(FT_EFORMAT, "%s: tensor %s is missing", ft_container_path(p->tensors), to->name);
    return fill(p, to, from);
}

static bool has_part(const peft *p, const ft_weight *w)
{
    char name[320];
    snprintf(name, sizeof name, "base_model.model.%.*s.lora_A.weight", (int)ft_weights__module(w->name), w->name);
    return ft_container_find(p->tensors, name) != NULL;
}

static ft_status load_part(peft *p, ft_weight *w)
{
    double r = (double)p->spec.r, alpha = p->spec.alpha;
    FT_RETURN(pattern_value(p, "rank_pattern", w, &r));
    FT_RETURN(pattern_value(p, "alpha_pattern", w, &alpha));
    if (!(r >= 1 && r <= FT_MAX_RANK) || r != (double)(int64_t)r || !(alpha > 0 && alpha < 1e9))
        return ft_fail(FT_EFORMAT, "%s: rank %g and alpha %g for %s cannot be", p->config_path, r, alpha, w->name);
    FT_RETURN(ft_adapter__add(p->m, w, (int64_t)r, alpha));
    FT_RETURN(fill_by_name(p, &w->adapted->a));
    FT_RETURN(fill_by_name(p, &w->adapted->b));
    return p->spec.dora ? fill_by_name(p, &w->adapted->magnitude) : FT_OK;
}

/* PEFT keeps two copies of a tied pair; here they are one, so both must say the same. */
static ft_status load_tied(peft *p, ft_weight *w)
{
    const ft_named *embed = ft_container_find(p->tensors, w->saved->p.name),
                   *head = ft_container_find(p->tensors, "base_model.model.lm_head.weight");
    if (embed && head &&
        (ft_tensor_bytes(&embed->t) != ft_tensor_bytes(&head->t) ||
         memcmp(embed->t.data, head->t.data, ft_tensor_bytes(&head->t)) != 0))
        return ft_fail(FT_EUNSUPPORTED, "%s: holds a head and an embedding that differ, the base model ties them",
                       ft_container_path(p->tensors));
    if (!embed || !head)
        return ft_fail(FT_EUNSUPPORTED,
                       "%s: tensor %s is missing: the base model ties head and embedding, both must be saved",
                       ft_container_path(p->tensors), embed ? "base_model.model.lm_head.weight" : w->saved->p.name);
    p->used++;
    return fill(p, &w->saved->p, embed);
}

static ft_status load_saved(peft *p, ft_weight *w)
{
    FT_RETURN(ft_adapter__save(p->m, w));
    bool tied = w == p->m->outer[FT_W_EMBED] && w == p->m->outer[FT_W_HEAD];
    return tied ? load_tied(p, w) : fill_by_name(p, &w->saved->p);
}

static ft_status load_all(peft *p)
{
    const ft_adapter_spec *s = &p->m->adapter->spec;
    for (size_t i = 0; i < p->m->n; i++) {
        ft_weight *w = &p->m->weights[i];
        if (ft_adapter__saves(p->m, s, w))
            FT_RETURN(load_saved(p, w));
        else if (ft_adapter__targets(s, w) && (!p->by_presence || has_part(p, w)))
            FT_RETURN(load_part(p, w));
    }
    return FT_OK;
}

static bool is_place(const ft_model *m, const char *name)
{
    const ft_adapter *a = m->adapter;
    for (size_t i = 0; i < a->n_parts; i++)
        if (strcmp(a->parts[i].a.name, name) == 0 || strcmp(a->parts[i].b.name, name) == 0 ||
            (a->spec.dora && strcmp(a->parts[i].magnitude.name, name) == 0))
            return true;
    for (size_t i = 0; i < a->n_saved; i++)
        if (strcmp(a->saved[i].p.name, name) == 0)
            return true;
    return strcmp(name, "base_model.model.lm_head.weight") == 0 && m->outer[FT_W_HEAD]->saved;
}

static ft_status check_all_used(const peft *p)
{
    if (p->used == ft_container_count(p->tensors))
        return FT_OK;
    for (size_t i = 0; i < ft_container_count(p->tensors); i++)
        if (!is_place(p->m, ft_container_at(p->tensors, i)->name))
            return ft_fail(
                FT_EFORMAT,
                "%s: tensor %s has no place in the base model %s with these target_modules and modules_to_save",
                ft_container_path(p->tensors), ft_container_at(p->tensors, i)->name, p->m->path);
    return FT_OK;
}

static ft_status load(peft *p, const char *dir, bool trainable)
{
    ft_status st = FT_OK;
    char *file = ft_path_join(dir, "adapter_model.safetensors");
    if (!file || !(p->config_path = ft_path_join(dir, "adapter_config.json"))) {
        st = FT_ENOMEM;
        goto done;
    }
    FT_TRY(read_config(p));
    FT_TRY(ft_container_open(&p->tensors, file));
    FT_TRY(ft_context(ft_adapter__begin(p->m, &p->spec, trainable), "%s", dir));
    if (!(p->m->adapter->path = ft_strdup(dir))) {
        st = FT_ENOMEM;
        goto done;
    }
    FT_TRY(load_all(p));
    FT_TRY(check_all_used(p));
    st = ft_model__list_trainable(p->m);
done:
    ft_free(file);
    return st;
}

static ft_status load_peft(ft_model *m, const char *dir, bool trainable)
{
    peft p = {.m = m};
    ft_status st = load(&p, dir, trainable);
    if (st == FT_OK)
        st = ft_pooling__read(m, dir);
    ft_container_close(p.tensors);
    json_decref(p.config);
    ft_free(p.names);
    ft_free(p.layers);
    ft_free(p.config_path);
    return st;
}

ft_status ft_adapter_load(ft_model *m, const char *path, bool trainable)
{
    bool had = m->adapter != NULL;
    ft_status st = ft_is_dir(path) ? load_peft(m, path, trainable) : ft_adapter__load_gguf(m, path, trainable);
    if (st != FT_OK && !had)
        ft_adapter_detach(m);
    return st;
}

ft_status ft_adapter_base_dtype(const ft_dtype **dtype, const char *path)
{
    *dtype = NULL;
    return ft_is_dir(path) ? ft_origin_quantize_base(dtype, path) : ft_adapter__gguf_base_dtype(dtype, path);
}
