/* The peft exporter: the adapter as PEFT writes it.
 *
 * adapter_model.safetensors, f32:  base_model.model.NAME.lora_A.weight [r, in], .lora_B.weight [out, r] for an adapted
 * NAME.weight, with DoRA .lora_magnitude_vector [out], and base_model.model.NAME.weight for a saved module. adapter_config.json has every key that PEFT writes;
 * the scale is alpha / r, with use_rslora alpha / sqrt(r). README.md is a short model card.
 */
#include "export/internal.h"

#include "base/os.h"
#include "file/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The PEFT release whose keys adapter_config.json has. */
static const char peft_version[] = "0.19.1";

/* ---- tensors ---- */

static ft_status add(ft_export__plan *t, const ft_param *value, ft_str module, const char *kind)
{
    char name[512];
    if (snprintf(name, sizeof name, "base_model.model.%.*s%s", (int)module.n, module.p, kind) >= (int)sizeof name)
        return ft_fail(FT_EUNSUPPORTED, "the name of the module %.*s is too long", (int)module.n, module.p);
    ft_export__tensor *x = &t->p[t->n++];
    *x = (ft_export__tensor){.name = ft_arena_strndup(t->arena, name, strlen(name)),
                             .plain = &value->t,
                             .dtype = &ft_f32,
                             .ndim = value->t.ndim};
    memcpy(x->shape, value->t.shape, sizeof x->shape);
    return x->name ? FT_OK : FT_ENOMEM;
}

/* "model.layers.0.self_attn.q_proj" of its weight. */
static ft_str module_of(const ft_param *weight)
{
    static const char suffix[] = ".weight";
    size_t n = strlen(weight->name);
    return (ft_str){weight->name, ft_ends(weight->name, suffix) ? n - (sizeof suffix - 1) : n};
}

static ft_status collect(ft_export__plan *t, ft_model *m)
{
    size_t n = ft_model_count(m);
    *t = (ft_export__plan){.p = ft_alloc(3 * n + 1, sizeof *t->p), .arena = ft_arena_new(1 << 16, 0)};
    if (!t->p || !t->arena)
        return FT_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const ft_param *w = ft_model_at(m, i), *saved = ft_adapter_saved(m, w);
        ft_param *a, *b;
        float scale;
        if (saved)
            FT_RETURN(add(t, saved, ft_str_of(w->name), ""));
        if (saved && w == ft_export__tied(m)) /* PEFT keeps a copy for each of the two */
            FT_RETURN(add(t, saved, ft_str_of("lm_head.weight"), ""));
        if (ft_adapter_on(m, w, &a, &b, &scale)) {
            FT_RETURN(add(t, a, module_of(w), ".lora_A.weight"));
            FT_RETURN(add(t, b, module_of(w), ".lora_B.weight"));
        }
        if (ft_adapter_magnitude(m, w))
            FT_RETURN(add(t, ft_adapter_magnitude(m, w), module_of(w), ".lora_magnitude_vector"));
    }
    return FT_OK;
}

/* ---- adapter_config.json ---- */

/* Every key as PEFT writes it, in its order; what a run decides is set by config_of. */
static const char config_keys[] =
    "{\"alora_invocation_tokens\": null, \"alpha_pattern\": {}, \"arrow_config\": null, \"auto_mapping\": null,"
    " \"base_model_name_or_path\": null, \"bias\": \"none\", \"corda_config\": null, \"ensure_weight_tying\": false,"
    " \"eva_config\": null, \"exclude_modules\": null, \"fan_in_fan_out\": false, \"inference_mode\": true,"
    " \"init_lora_weights\": true, \"layer_replication\": null, \"layers_pattern\": null, \"layers_to_transform\": null,"
    " \"loftq_config\": {}, \"lora_alpha\": null, \"lora_bias\": false, \"lora_dropout\": null, \"lora_ga_config\": null,"
    " \"megatron_config\": null, \"megatron_core\": \"megatron.core\", \"modules_to_save\": null, \"peft_type\": \"LORA\","
    " \"peft_version\": null, \"qalora_group_size\": 16, \"r\": null, \"rank_pattern\": {}, \"revision\": null,"
    " \"target_modules\": [], \"target_parameters\": null, \"task_type\": \"CAUSAL_LM\", \"trainable_token_indices\": null,"
    " \"use_bdlora\": null, \"use_dora\": false, \"use_qalora\": false, \"use_rslora\": null}";

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static ft_str last_part(ft_str module)
{
    size_t from = module.n;
    while (from && module.p[from - 1] != '.')
        from--;
    return (ft_str){module.p + from, module.n - from};
}

static bool is_adapted(ft_model *m, const ft_param *w)
{
    return ft_adapter_on(m, w, NULL, NULL, NULL);
}

/* Is it in one of the layers that the adapter is for? */
static bool in_layers(const ft_adapter_spec *s, const ft_param *w)
{
    bool in = !s->n_layers;
    for (size_t i = 0; i < s->n_layers; i++)
        in |= s->layers[i] == ft_model_layer_of(w);
    return in;
}

/* Is every matrix of this last part adapted ("q_proj" in all of the adapter's layers)? Then the part names them all. */
static bool part_is_whole(ft_model *m, ft_str part)
{
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *w = ft_model_at(m, i);
        if (in_layers(ft_adapter_spec_of(m), w) && w->t.ndim == 2 && ft_str_eq(last_part(module_of(w)), part) && !is_adapted(m, w))
            return false;
    }
    return true;
}

/* The adapted modules' names, once each, sorted; a module's whole name where only some of its kind are adapted. */
static ft_status target_modules(json_t *out, ft_export__plan *t, ft_model *m)
{
    size_t n = 0;
    ft_status st = FT_OK;
    const char **names = ft_alloc(ft_model_count(m), sizeof *names);
    if (!names)
        return FT_ENOMEM;
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *w = ft_model_at(m, i);
        ft_str module = module_of(w), part = last_part(module);
        if (!is_adapted(m, w))
            continue;
        ft_str name = part_is_whole(m, part) ? part : module;
        if (!(names[n++] = ft_arena_strndup(t->arena, name.p, name.n))) {
            st = FT_ENOMEM;
            goto done;
        }
    }
    qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(names[i], names[i - 1]))
            json_array_append_new(out, json_string(names[i]));
done:
    ft_free(names);
    return st;
}

static json_t *strings_or_null(const char *const *p, size_t n)
{
    json_t *list = n ? json_array() : json_null();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(p[i]));
    return list;
}

/* Whole numbers as PEFT writes them: 32, not 32.0. */
static json_t *number(double v)
{
    return v == floor(v) && fabs(v) < 1e15 ? json_integer((json_int_t)v) : json_real(v);
}

/* "layers" of "model.layers.3.self_attn.q_proj.weight": what PEFT calls the pattern of the layers. */
static json_t *layers_pattern(ft_model *m)
{
    char index[32];
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *w = ft_model_at(m, i);
        snprintf(index, sizeof index, ".%lld.", (long long)ft_model_layer_of(w));
        const char *end = ft_model_layer_of(w) >= 0 ? strstr(w->name, index) : NULL;
        if (end) {
            ft_str name = last_part((ft_str){w->name, (size_t)(end - w->name)});
            return json_stringn(name.p, name.n);
        }
    }
    return json_null();
}

static ft_status put_layers(json_t *config, ft_model *m, const ft_adapter_spec *s)
{
    json_t *list = s->n_layers ? json_array() : json_null();
    for (size_t i = 0; i < s->n_layers; i++)
        json_array_append_new(list, json_integer((json_int_t)s->layers[i]));
    if (s->n_layers)
        json_object_set_new(config, "layers_pattern", layers_pattern(m));
    return json_object_set_new(config, "layers_to_transform", list) == 0 ? FT_OK : FT_ENOMEM;
}

/* Modules whose rank or alpha is not the adapter's: {"model.layers.0.self_attn.q_proj": 4}. */
static ft_status put_patterns(json_t *config, ft_arena *arena, ft_model *m, const ft_adapter_spec *s)
{
    json_t *ranks = json_object_get(config, "rank_pattern"), *alphas = json_object_get(config, "alpha_pattern");
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *w = ft_model_at(m, i);
        ft_str module = module_of(w);
        ft_param *a, *b;
        float scale;
        if (!ft_adapter_on(m, w, &a, &b, &scale))
            continue;
        const char *name = ft_arena_strndup(arena, module.p, module.n);
        if (!name)
            return FT_ENOMEM;
        int64_t r = ft_tensor_rows(&a->t);
        double alpha = (double)scale * (s->rslora ? sqrt((double)r) : (double)r), whole = round(alpha);
        if (r != s->r)
            json_object_set_new(ranks, name, json_integer(r));
        /* the scale is an f32: what is near a whole number was one */
        if (fabs(alpha - s->alpha) > 1e-5 * s->alpha)
            json_object_set_new(alphas, name, number(fabs(alpha - whole) < 1e-5 * alpha ? whole : alpha));
    }
    return FT_OK;
}

static const char *base_name(const ft_export_request *r)
{
    return r->base_name && *r->base_name ? r->base_name : ft_model_path(r->model);
}

static ft_status config_of(json_t **out, const ft_export_request *r, ft_export__plan *t)
{
    const ft_adapter_spec *s = ft_adapter_spec_of(r->model);
    FT_RETURN(ft_json_text(out, ft_str_of(config_keys), "adapter_config.json"));
    FT_RETURN(target_modules(json_object_get(*out, "target_modules"), t, r->model));
    FT_RETURN(put_layers(*out, r->model, s));
    FT_RETURN(put_patterns(*out, t->arena, r->model, s));
    int failed = 0;
    failed |= json_object_set_new(*out, "base_model_name_or_path", json_string(base_name(r)));
    failed |= json_object_set_new(*out, "lora_alpha", number(s->alpha));
    failed |= json_object_set_new(*out, "lora_dropout", json_real(s->dropout));
    failed |= json_object_set_new(*out, "modules_to_save", strings_or_null(s->modules_to_save, s->n_save));
    failed |= json_object_set_new(*out, "peft_version", json_string(peft_version));
    failed |= json_object_set_new(*out, "r", json_integer(s->r));
    if (ft_model_is_encoder(r->model))
        failed |= json_object_set_new(*out, "task_type", json_string("FEATURE_EXTRACTION"));
    failed |= json_object_set_new(*out, "use_dora", json_boolean(s->dora));
    failed |= json_object_set_new(*out, "use_rslora", json_boolean(s->rslora));
    return failed ? ft_fail(FT_ENOMEM, "adapter_config.json: a name is no UTF-8, or no memory") : FT_OK;
}

static ft_status write_config(const ft_export__folder *f, const ft_export_request *r, ft_export__plan *t)
{
    json_t *config = NULL;
    char *path = ft_export__folder_file(f, "adapter_config.json");
    ft_status st = path ? config_of(&config, r, t) : FT_ENOMEM;
    if (st == FT_OK)
        st = ft_json_write(config, path);
    json_decref(config);
    ft_free(path);
    return st;
}

/* ---- README.md ---- */

static ft_status write_card(const ft_export__folder *f, const ft_export_request *r)
{
    bool encoder = ft_model_is_encoder(r->model);
    const char *loader = encoder ? "AutoModel" : "AutoModelForCausalLM";
    const ft_adapter_spec *s = ft_adapter_spec_of(r->model);
    ft_buf b = {0};
    ft_status st = FT_ENOMEM;
    char *path = ft_export__folder_file(f, "README.md"), *quoted = NULL;
    json_t *base = json_string(base_name(r)); /* a JSON string is a YAML string too */
    if (!path || !base || !(quoted = json_dumps(base, JSON_ENCODE_ANY)))
        goto done;
    FT_TRY(ft_buf_printf(&b, "---\nbase_model: %s\nlibrary_name: peft\npipeline_tag: %s\ntags:\n- lora\n---\n\n",
                         quoted, encoder ? "feature-extraction" : "text-generation"));
    FT_TRY(ft_buf_printf(&b, "# %s\n\n", r->name && *r->name ? r->name : ft_path_base(r->path)));
    FT_TRY(ft_buf_printf(&b, "A LoRA adapter (r = %lld, alpha = %g%s%s) for the base model named above, made with fettle.\n\n",
                         (long long)s->r, s->alpha, s->rslora ? ", rank-stabilized" : "",
                         s->dora ? ", with magnitudes (DoRA)" : ""));
    FT_TRY(ft_buf_printf(&b,
                         "```python\nfrom peft import PeftModel\nfrom transformers import %s\n\n"
                         "base = %s.from_pretrained(\"BASE\")\n"
                         "model = PeftModel.from_pretrained(base, \"THIS_FOLDER\")\n```\n",
                         loader, loader));
    st = ft_write_file(path, b.p, b.n);
done:
    free(quoted);
    json_decref(base);
    ft_free(path);
    ft_buf_free(&b);
    return st;
}

static ft_status write_tensors(const ft_export__folder *f, const ft_export_request *r, ft_export__plan *t)
{
    ft_writer *w = NULL;
    ft_status st = FT_OK;
    char *path = ft_export__folder_file(f, "adapter_model.safetensors");
    if (!path)
        return FT_ENOMEM;
    FT_TRY(ft_writer_open(&w, "safetensors", path));
    FT_TRY(ft_writer_str(w, "format", ft_str_of("pt")));
    FT_TRY(ft_export__plan_write(t, 0, t->n, w, r, "peft"));
    st = ft_writer_commit(w);
    w = NULL;
done:
    ft_writer_abort(w);
    ft_free(path);
    return st;
}

static ft_status write_peft(const ft_export_request *r)
{
    ft_export__folder f = {0};
    ft_export__plan t = {0};
    ft_status st = FT_OK;
    FT_TRY(ft_export__check(r, &ft_exporter_peft));
    FT_TRY(collect(&t, r->model));
    FT_TRY(ft_export__folder_open(&f, r->path));
    FT_TRY(write_tensors(&f, r, &t));
    FT_TRY(write_card(&f, r));
    FT_TRY(write_config(&f, r, &t));
    FT_TRY(ft_pooling_write_dir(r->model, f.temporary));
    FT_TRY(ft_export__folder_mark(&f, ft_exporter_peft.name, r));
    st = ft_export__folder_commit(&f);
done:
    ft_export__folder_abort(&f);
    ft_export__plan_free(&t);
    return ft_context(st, "export of the adapter");
}

const ft_exporter ft_exporter_peft = {
    .name = "peft",
    .help = "the LoRA adapter alone, as PEFT loads it",
    .needs_adapter = true,
    .dtypes = "f32",
    .write = write_peft,
};
