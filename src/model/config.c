/* config.json, and the config.json that a GGUF's metadata amounts to.
 *
 * There is one reader: a GGUF is first turned into the JSON object that its model would have had as an HF directory, so
 * that defaults, limits and messages are the same, and so that a model from a GGUF can be written as an HF directory.
 * keys[] pairs the names of both worlds; ft_model_gguf_meta (names.c) writes by the same table.
 *
 * A config comes from outside: each number has a range, and extents are small enough that no product of two overflows.
 */
#include "model/keys.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#define FT_ARCH(name) extern const ft_arch ft_arch_##name;
#include "model/archs.def"
#undef FT_ARCH
#define FT_ARCH(name) &ft_arch_##name,
const ft_arch *const ft_archs[] = {
#include "model/archs.def"
    NULL};
#undef FT_ARCH

enum { MAX_EXTENT = 1 << 24, MAX_LAYERS = 1 << 12, MAX_HEADS = 1 << 12, MAX_HEAD_DIM = 1 << 12 };

/* clang-format off */
const ft_config_key ft_config_keys[] = {
    {"hidden_size",             "embedding_length",     FT_FIELD(hidden_size),             1, MAX_EXTENT,   FT_KEY_NEEDED},
    {"intermediate_size",       "feed_forward_length",  FT_FIELD(intermediate_size),       1, MAX_EXTENT,   FT_KEY_NEEDED},
    {"num_hidden_layers",       "block_count",          FT_FIELD(num_hidden_layers),       1, MAX_LAYERS,   FT_KEY_NEEDED},
    {"num_attention_heads",     "attention.head_count", FT_FIELD(num_attention_heads),     1, MAX_HEADS,    FT_KEY_NEEDED},
    {"num_key_value_heads",     "attention.head_count_kv", FT_FIELD(num_key_value_heads),  1, MAX_HEADS,    FT_KEY_LIKE_HEADS},
    {"head_dim",                "attention.key_length", FT_FIELD(head_dim),                2, MAX_HEAD_DIM, FT_KEY_HEAD_DIM},
    {"vocab_size",              "vocab_size",           FT_FIELD(vocab_size),              1, MAX_EXTENT,   FT_KEY_NEEDED},
    {"max_position_embeddings", "context_length",       FT_FIELD(max_position_embeddings), 1, INT32_MAX,    2048},
    {0}};
/* clang-format on */

const char *ft_config__eps_key(const ft_arch *a, bool gguf)
{
    if (gguf)
        return a->layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    return a->layer_norm ? "layer_norm_eps" : "rms_norm_eps";
}

const char *ft_config__gguf_key(const ft_arch *a, const char *key, char buf[128])
{
    bool whole = ft_starts(key, "tokenizer.");
    snprintf(buf, 128, "%s%s%s", whole ? "" : a->gguf, whole ? "" : ".", key);
    return buf;
}

static const json_t *member(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_null(v) ? NULL : v;
}

/* null where there could be a window or a cap: none, whatever the family's default. */
static bool said_to_be_none(const json_t *o, const char *key)
{
    return json_is_null(json_object_get(o, key));
}

static ft_status read_key(ft_config *c, const ft_config_key *k, const char *where)
{
    int64_t *field = (int64_t *)((char *)c + k->field), fallback = k->fallback;
    if (fallback == FT_KEY_LIKE_HEADS)
        fallback = c->num_attention_heads;
    if (fallback == FT_KEY_HEAD_DIM)
        fallback = c->hidden_size / c->num_attention_heads;
    if (!member(c->json, k->hf)) {
        if (fallback == FT_KEY_NEEDED)
            return ft_fail(FT_EFORMAT, "%s: %s is missing", where, k->hf);
        *field = said_to_be_none(c->json, k->hf) && k->min == 0 ? 0 : fallback;
    } else {
        FT_RETURN(ft_json_i64(c->json, k->hf, where, 0, field));
    }
    if (*field < k->min || *field > k->max)
        return ft_fail(FT_EFORMAT, "%s: %s is %lld, %lld to %lld can be", where, k->hf, (long long)*field,
                       (long long)k->min, (long long)k->max);
    return FT_OK;
}

static ft_status check_heads(const ft_config *c, const char *where)
{
    if (c->num_attention_heads % c->num_key_value_heads)
        return ft_fail(FT_EFORMAT, "%s: num_attention_heads (%lld) is no multiple of num_key_value_heads (%lld)", where,
                       (long long)c->num_attention_heads, (long long)c->num_key_value_heads);
    if (!member(c->json, "head_dim") && c->hidden_size % c->num_attention_heads)
        return ft_fail(FT_EFORMAT,
                       "%s: hidden_size (%lld) is no multiple of num_attention_heads (%lld) and there is no head_dim",
                       where, (long long)c->hidden_size, (long long)c->num_attention_heads);
    if (c->head_dim % 2)
        return ft_fail(FT_EFORMAT, "%s: head_dim is %lld, an even number is needed", where, (long long)c->head_dim);
    return FT_OK;
}

/* bos_token_id, eos_token_id: absent, null, a number, or a list of numbers whose first one counts here. */
static ft_status read_token_id(const ft_config *c, const char *key, const char *where, int32_t *out)
{
    const json_t *v = member(c->json, key);
    *out = -1;
    if (json_is_array(v))
        v = json_array_get(v, 0);
    if (!v)
        return FT_OK;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
        return ft_fail(FT_EFORMAT, "%s: %s is no token id", where, key);
    *out = (int32_t)json_integer_value(v);
    return FT_OK;
}

static ft_status find_arch(ft_config *c, const char *where)
{
    const char *type;
    char known[512] = "";
    FT_RETURN(ft_json_str(c->json, "model_type", where, NULL, &type));
    if (!type)
        return ft_fail(FT_EFORMAT, "%s: model_type is missing: is this the config.json of a model?", where);
    for (size_t i = 0; ft_archs[i]; i++) {
        if (strcmp(ft_archs[i]->model_type, type) == 0) {
            c->arch = ft_archs[i];
            return FT_OK;
        }
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", ft_archs[i]->model_type);
    }
    return ft_fail(FT_EUNSUPPORTED, "%s: model_type is \"%s\", supported: %s", where, type, known);
}

static ft_status read_keys(ft_config *c, const ft_config_key *k, const char *where)
{
    for (; k && k->hf; k++)
        FT_RETURN(read_key(c, k, where));
    return FT_OK;
}

static ft_status read_reals(ft_config *c, const char *where)
{
    for (const ft_config_real *r = c->arch->reals; r && r->hf; r++) {
        double v;
        FT_RETURN(ft_json_f64(c->json, r->hf, where, said_to_be_none(c->json, r->hf) ? 0 : r->fallback, &v));
        if (!(v >= 0 && v < 1e9))
            return ft_fail(FT_EFORMAT, "%s: %s is %g, a number of 0 or more is expected", where, r->hf, v);
        *(float *)((char *)c + r->field) = (float)v;
    }
    return FT_OK;
}

static ft_status read_eps(ft_config *c, const char *where)
{
    double eps;
    const char *key = ft_config__eps_key(c->arch, false);
    FT_RETURN(ft_json_f64(c->json, key, where, c->arch->layer_norm ? 1e-12 : 1e-6, &eps));
    if (!(eps > 0 && eps < 1))
        return ft_fail(FT_EFORMAT, "%s: %s is %g, a small positive number is expected", where, key, eps);
    c->norm_eps = (float)eps;
    return FT_OK;
}

/* layer_types[i] into *slides. */
static ft_status read_layer_type(const ft_config *c, const json_t *types, int64_t i, const char *where, bool *slides)
{
    const char *type = json_string_value(json_array_get(types, (size_t)i));
    if (!type || (strcmp(type, "full_attention") != 0 && strcmp(type, "sliding_attention") != 0))
        return ft_fail(FT_EUNSUPPORTED, "%s: layer_types[%lld] is \"%s\", supported: full_attention, sliding_attention",
                       where, (long long)i, type ? type : "");
    *slides = strcmp(type, "sliding_attention") == 0;
    if (*slides && !c->sliding_window)
        return ft_fail(FT_EFORMAT, "%s: layer_types[%lld] is sliding_attention, but there is no sliding_window", where,
                       (long long)i);
    return FT_OK;
}

/* Windows by layer_types or by the family's rule; layers with one may turn by frequencies of their own. */
static ft_status read_layers(ft_config *c, const char *where)
{
    const json_t *types = member(c->json, "layer_types");
    size_t L = (size_t)c->num_hidden_layers;
    if (types && json_array_size(types) != L)
        return ft_fail(FT_EFORMAT, "%s: layer_types is no list of num_hidden_layers (%zu) names", where, L);
    if (!(c->layers = ft_alloc(L, sizeof *c->layers)))
        return FT_ENOMEM;
    for (int64_t i = 0; i < c->num_hidden_layers; i++) {
        bool slides = c->arch->slides && c->sliding_window && c->arch->slides(c, i);
        if (types)
            FT_RETURN(read_layer_type(c, types, i, where, &slides));
        c->layers[i].window = slides ? c->sliding_window : 0;
        c->layers[i].rope = c->arch->encoder                    ? FT_TURN_NOT
                            : slides && c->rope_local_theta > 0 ? FT_TURN_LOCAL
                                                                : FT_TURN;
    }
    return FT_OK;
}

ft_status ft_config__check_act(const ft_config *c, const char *key, const char *expected, const char *where)
{
    const char *act;
    FT_RETURN(ft_json_str(c->json, key, where, expected, &act));
    if (strcmp(act, expected) == 0)
        return FT_OK;
    return ft_fail(FT_EUNSUPPORTED, "%s: %s is \"%s\", a %s model has \"%s\"", where, key, act, c->arch->model_type,
                   expected);
}

static ft_status read_fields(ft_config *c, const char *where)
{
    if (!json_is_object(c->json))
        return ft_fail(FT_EFORMAT, "%s: not a JSON object", where);
    FT_RETURN(find_arch(c, where));
    FT_RETURN(read_keys(c, ft_config_keys, where));
    FT_RETURN(check_heads(c, where));
    FT_RETURN(read_keys(c, c->arch->keys, where));
    FT_RETURN(read_eps(c, where));
    FT_RETURN(ft_json_bool(c->json, "tie_word_embeddings", where, c->arch->tied, &c->tie_word_embeddings));
    FT_RETURN(read_token_id(c, "bos_token_id", where, &c->bos_token_id));
    FT_RETURN(read_token_id(c, "eos_token_id", where, &c->eos_token_id));
    c->embedding_scale = c->residual_scale = c->logits_divisor = 1;
    c->attention_scale = (float)(1 / sqrt((double)c->head_dim));
    FT_RETURN(read_reals(c, where));
    FT_RETURN(ft_rope__read(c, where));
    FT_RETURN(read_layers(c, where));
    return c->arch->read_config(c, where);
}

ft_status ft_config__read(ft_config *c, json_t *json, const char *where)
{
    *c = (ft_config){.json = json};
    ft_status st = read_fields(c, where);
    if (st != FT_OK)
        ft_config__free(c);
    return st;
}

void ft_config__free(ft_config *c)
{
    json_decref(c->json);
    ft_free(c->rope_divisors);
    ft_free(c->rope_divisors_beyond);
    ft_free(c->layers);
    *c = (ft_config){0};
}

/* ---- from GGUF metadata ---- */

static const ft_meta *arch_meta(const ft_container *g, const ft_arch *arch, const char *key)
{
    char full[128];
    return ft_container_meta(g, ft_config__gguf_key(arch, key, full));
}

/* The shortest decimal that is the same f32: 1e-05 and not 9.99999974738e-06. */
static double tidy(double x)
{
    char text[32];
    for (int digits = 6; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if ((float)strtod(text, NULL) == (float)x)
            return strtod(text, NULL);
    }
    return x;
}

static ft_status put(json_t *o, const char *key, json_t *value)
{
    if (json_object_set_new(o, key, value) != 0)
        return ft_fail(FT_ENOMEM, "out of memory for a config");
    return FT_OK;
}

static ft_status put_keys(json_t *o, const ft_container *g, const ft_arch *arch, const ft_config_key *k)
{
    for (; k && k->hf; k++) {
        const ft_meta *meta = k->gguf ? arch_meta(g, arch, k->gguf) : NULL;
        char key[128];
        int64_t v;
        if (!meta)
            continue;
        if (!ft_meta_i64(meta, &v))
            return ft_fail(FT_EFORMAT, "%s: metadata %s is no whole number", ft_container_path(g),
                           ft_config__gguf_key(arch, k->gguf, key));
        FT_RETURN(put(o, k->hf, json_integer(v)));
    }
    return FT_OK;
}

static ft_status put_sizes(json_t *o, const ft_container *g, const ft_arch *arch)
{
    FT_RETURN(put_keys(o, g, arch, ft_config_keys));
    FT_RETURN(put_keys(o, g, arch, arch->keys));
    /* files written before the key existed */
    const ft_named *embed = ft_container_find(g, "token_embd.weight");
    if (!json_object_get(o, "vocab_size") && embed)
        FT_RETURN(put(o, "vocab_size", json_integer(embed->t.shape[0])));
    return FT_OK;
}

static ft_status put_real(json_t *o, const ft_container *g, const ft_arch *arch, const char *hf, const char *gguf)
{
    const ft_meta *meta = arch_meta(g, arch, gguf);
    char key[128];
    double v;
    if (!meta)
        return FT_OK;
    if (!ft_meta_f64(meta, &v) || !isfinite(v))
        return ft_fail(FT_EFORMAT, "%s: metadata %s is no number", ft_container_path(g),
                       ft_config__gguf_key(arch, gguf, key));
    return put(o, hf, json_real(tidy(v)));
}

static ft_status put_reals(json_t *o, const ft_container *g, const ft_arch *arch)
{
    FT_RETURN(put_real(o, g, arch, ft_config__eps_key(arch, false), ft_config__eps_key(arch, true)));
    FT_RETURN(put_real(o, g, arch, "rope_theta", "rope.freq_base"));
    for (const ft_config_real *r = arch->reals; r && r->hf; r++)
        if (r->gguf)
            FT_RETURN(put_real(o, g, arch, r->hf, r->gguf));
    return FT_OK;
}

/* rope.scaling.*: none, linear by a factor (also where the type is missing); llama3 comes by rope_freqs.weight,
 * longrope by tensors of its own. */
static ft_status put_rope_scaling(json_t *o, const ft_container *g, const ft_arch *arch)
{
    if (arch->longrope && ft_container_find(g, "rope_factors_long.weight"))
        return ft_rope__longrope_of_gguf(o, g, arch->gguf);
    ft_str type = ft_str_of("linear");
    double factor = 1;
    ft_meta_str(arch_meta(g, arch, "rope.scaling.type"), &type);
    bool scaled = ft_meta_f64(arch_meta(g, arch, "rope.scaling.factor"), &factor);
    if (ft_str_is(type, "none") || (ft_str_is(type, "linear") && (!scaled || factor == 1)))
        return FT_OK;
    if (!ft_str_is(type, "linear"))
        return ft_fail(FT_EUNSUPPORTED,
                       "%s: rope.scaling.type is \"%.*s\", supported: none, linear, and rope_freqs.weight",
                       ft_container_path(g), (int)FT_MIN(type.n, (size_t)64), type.p);
    return put(o, "rope_scaling", json_pack("{s:s, s:f}", "rope_type", "linear", "factor", tidy(factor)));
}

static ft_status put_token_ids(json_t *o, const ft_container *g)
{
    static const char *const ids[][2] = {{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                                         {"eos_token_id", "tokenizer.ggml.eos_token_id"}};
    int64_t id;
    for (size_t i = 0; i < FT_COUNT(ids); i++)
        if (ft_meta_i64(ft_container_meta(g, ids[i][1]), &id))
            FT_RETURN(put(o, ids[i][0], json_integer(id)));
    return FT_OK;
}

static ft_status arch_of_gguf(const ft_arch **out, const ft_container *g)
{
    char known[512] = "";
    ft_str name = {0};
    if (!ft_meta_str(ft_container_meta(g, "general.architecture"), &name))
        return ft_fail(FT_EFORMAT, "%s: metadata general.architecture is missing: is this the GGUF of a model?",
                       ft_container_path(g));
    for (size_t i = 0; ft_archs[i]; i++) {
        const ft_arch *a = ft_archs[i];
        if (ft_str_is(name, a->gguf) && (!a->gguf_mark || arch_meta(g, a, a->gguf_mark))) {
            *out = a;
            return FT_OK;
        }
        size_t n = strlen(known);
        if (!a->gguf_mark) /* else a later row has the same name */
            snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", a->gguf);
    }
    return ft_fail(FT_EUNSUPPORTED, "%s: general.architecture is \"%.*s\", supported: %s", ft_container_path(g),
                   (int)FT_MIN(name.n, (size_t)64), name.p, known);
}

/* rope.dimension_count, where only a part of each head turns. */
static ft_status put_partial_rotary(json_t *o, const ft_container *g, const ft_arch *arch)
{
    int64_t turned, head_dim = json_integer_value(json_object_get(o, "head_dim"));
    int64_t hidden = json_integer_value(json_object_get(o, "hidden_size")),
            heads = json_integer_value(json_object_get(o, "num_attention_heads"));
    if (!head_dim && heads > 0)
        head_dim = hidden / heads;
    if (!ft_meta_i64(arch_meta(g, arch, "rope.dimension_count"), &turned) || turned == head_dim)
        return FT_OK;
    if (!arch->partial_rotary || turned < 2 || turned > head_dim)
        return ft_fail(FT_EUNSUPPORTED,
                       "%s: rope.dimension_count is %lld of a head's %lld: partial rotary is not supported",
                       ft_container_path(g), (long long)turned, (long long)head_dim);
    return put(o, "partial_rotary_factor", json_real((double)turned / (double)head_dim));
}

static ft_status fill_from_gguf(json_t *o, const ft_container *g, const ft_arch *arch)
{
    FT_RETURN(put(o, "architectures", json_pack("[s]", arch->architecture)));
    FT_RETURN(put(o, "model_type", json_string(arch->model_type)));
    FT_RETURN(put_sizes(o, g, arch));
    FT_RETURN(put_reals(o, g, arch));
    FT_RETURN(put_rope_scaling(o, g, arch));
    FT_RETURN(put_token_ids(o, g));
    FT_RETURN(put(o, "tie_word_embeddings", json_boolean(!ft_container_find(g, "output.weight"))));
    FT_RETURN(put(o, "attention_bias", json_boolean(ft_container_find(g, "blk.0.attn_q.bias") != NULL)));
    FT_RETURN(put(o, "mlp_bias", json_boolean(ft_container_find(g, "blk.0.ffn_gate.bias") != NULL)));
    FT_RETURN(put_partial_rotary(o, g, arch));
    return arch->of_gguf ? arch->of_gguf(o, g) : FT_OK;
}

ft_status ft_config__of_gguf(json_t **json, const ft_container *g)
{
    const ft_arch *arch;
    *json = NULL;
    FT_RETURN(arch_of_gguf(&arch, g));
    json_t *o = json_object();
    ft_status st = o ? fill_from_gguf(o, g, arch) : ft_fail(FT_ENOMEM, "out of memory for a config");
    if (st == FT_OK)
        *json = o;
    else
        json_decref(o);
    return st;
}
