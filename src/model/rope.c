/* Rotary frequencies: inv_freq[i] = theta^(-2i / rot) / divisor[i], i = 0 .. rot/2 - 1, in f64 and rounded once.
 *
 * plain      divisor 1
 * linear     divisor = factor
 * llama3     wavelen = 2 pi / inv_freq; divisor 1 below original / high_freq_factor, factor above original /
 *            low_freq_factor, between them 1 / ((1 - s) / factor + s) with s = (original / wavelen - low) / (high -
 * low) divisors   as a GGUF's rope_freqs.weight has them
 * longrope   divisor = short_factor[i], and long_factor[i] for rows of more than original_max_position_embeddings
 * tokens; cos and sin times attention_factor, else sqrt(1 + ln(max / original) / ln(original))
 *
 * Divisors are kept in f32, the precision of rope_freqs.weight: a model and its GGUF turn by the same bits.
 */
#include "model/arch.h"

#include <math.h>
#include <string.h>

static double plain_frequency(const ft_config *c, int64_t i)
{
    return pow(c->rope_theta, -2.0 * (double)i / (double)c->rot);
}

static double llama3_divisor(const ft_config *c, int64_t i)
{
    double wavelen = 2 * M_PI / plain_frequency(c, i), original = (double)c->rope_original_max_position;
    double low = c->rope_low_freq_factor, high = c->rope_high_freq_factor;
    if (wavelen < original / high)
        return 1;
    if (wavelen > original / low)
        return c->rope_factor;
    double s = (original / wavelen - low) / (high - low);
    return 1 / ((1 - s) / c->rope_factor + s);
}

static ft_status make_llama3(ft_config *c)
{
    int64_t n = c->rot / 2;
    if (!c->rope_divisors && !(c->rope_divisors = ft_alloc((size_t)n, sizeof(float))))
        return FT_ENOMEM;
    for (int64_t i = 0; i < n; i++)
        c->rope_divisors[i] = (float)llama3_divisor(c, i);
    return FT_OK;
}

static ft_status positive(const json_t *o, const char *key, const char *where, double *out)
{
    FT_RETURN(ft_json_f64(o, key, where, 0, out));
    if (!(*out > 0) || !isfinite(*out))
        return ft_fail(FT_EFORMAT, "%s: rope_scaling.%s is missing or no positive number", where, key);
    return FT_OK;
}

static ft_status read_llama3(ft_config *c, const json_t *s, const char *where)
{
    double original;
    FT_RETURN(positive(s, "factor", where, &c->rope_factor));
    FT_RETURN(positive(s, "low_freq_factor", where, &c->rope_low_freq_factor));
    FT_RETURN(positive(s, "high_freq_factor", where, &c->rope_high_freq_factor));
    FT_RETURN(positive(s, "original_max_position_embeddings", where, &original));
    if (c->rope_high_freq_factor <= c->rope_low_freq_factor || original > INT32_MAX)
        return ft_fail(FT_EFORMAT,
                       "%s: rope_scaling: high_freq_factor %g is not above low_freq_factor %g, or the original length "
                       "%g is absurd",
                       where, c->rope_high_freq_factor, c->rope_low_freq_factor, original);
    c->rope_original_max_position = (int64_t)original;
    c->rope_kind = FT_ROPE_LLAMA3;
    return make_llama3(c);
}

static ft_status read_factors(const ft_config *c, const json_t *s, const char *key, const char *where, float **out)
{
    const json_t *list = json_object_get(s, key);
    size_t n = (size_t)c->rot / 2;
    if (json_array_size(list) != n)
        return ft_fail(FT_EFORMAT, "%s: rope_scaling.%s is no list of %zu numbers (half the dims that turn)", where,
                       key, n);
    if (!(*out = ft_alloc(n, sizeof **out)))
        return FT_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        (*out)[i] = (float)json_number_value(json_array_get(list, i));
        if (!((*out)[i] > 0) || !isfinite((*out)[i]))
            return ft_fail(FT_EFORMAT, "%s: rope_scaling.%s[%zu] is no positive number", where, key, i);
    }
    return FT_OK;
}

/* What cos and sin are multiplied with where the config does not say. */
static double usual_attention_factor(double max, double original)
{
    return max > original ? sqrt(1 + log(max / original) / log(original)) : 1;
}

static ft_status read_longrope(ft_config *c, const json_t *s, const char *where)
{
    double original, factor;
    FT_RETURN(
        ft_json_f64(s, "original_max_position_embeddings", where, (double)c->rope_original_max_position, &original));
    if (!(original > 1 && original <= INT32_MAX))
        return ft_fail(FT_EFORMAT, "%s: original_max_position_embeddings is %g, longrope needs a length", where,
                       original);
    c->rope_original_max_position = (int64_t)original;
    FT_RETURN(ft_json_f64(s, "attention_factor", where,
                          usual_attention_factor((double)c->max_position_embeddings, original), &factor));
    if (!(factor > 0 && factor < 1e3))
        return ft_fail(FT_EFORMAT, "%s: rope_scaling.attention_factor is %g", where, factor);
    c->rope_attention_factor = (float)factor;
    c->rope_kind = FT_ROPE_LONGROPE;
    FT_RETURN(read_factors(c, s, "short_factor", where, &c->rope_divisors));
    return read_factors(c, s, "long_factor", where, &c->rope_divisors_beyond);
}

static ft_status read_scaling(ft_config *c, const json_t *s, const char *where)
{
    const char *kind, *older;
    FT_RETURN(ft_json_str(s, "type", where, "default", &older));
    FT_RETURN(ft_json_str(s, "rope_type", where, older, &kind));
    if (strcmp(kind, "default") == 0)
        return FT_OK;
    if (strcmp(kind, "llama3") == 0)
        return read_llama3(c, s, where);
    if (c->arch->longrope && (strcmp(kind, "longrope") == 0 || strcmp(kind, "su") == 0)) /* its older name */
        return read_longrope(c, s, where);
    if (strcmp(kind, "linear") != 0)
        return ft_fail(FT_EUNSUPPORTED, "%s: rope_scaling of type \"%s\", supported: default, linear, llama3%s", where,
                       kind, c->arch->longrope ? ", longrope" : "");
    c->rope_kind = FT_ROPE_LINEAR;
    return positive(s, "factor", where, &c->rope_factor);
}

/* partial_rotary_factor: rounded down to whole dims, as the models were trained. */
static ft_status read_partial(ft_config *c, const json_t *o, const char *where)
{
    double partial;
    FT_RETURN(ft_json_f64(o, "partial_rotary_factor", where, 1, &partial));
    if (partial != 1 && !c->arch->partial_rotary)
        return ft_fail(FT_EUNSUPPORTED, "%s: partial_rotary_factor is %g: partial rotary is not supported", where,
                       partial);
    c->rot = partial > 0 && partial <= 1 ? (int64_t)((double)c->head_dim * partial + 1e-6) : 0;
    if (c->rot < 2 || c->rot % 2)
        return ft_fail(FT_EFORMAT, "%s: partial_rotary_factor is %g: an even number of a head's %lld dims has to turn",
                       where, partial, (long long)c->head_dim);
    return FT_OK;
}

ft_status ft_rope__read(ft_config *c, const char *where)
{
    const json_t *scaling = json_object_get(c->json, "rope_scaling"),
                 *newer = json_object_get(c->json, "rope_parameters");
    const json_t *theta_in = c->json;
    double local;
    if (json_is_object(json_object_get(newer, "full_attention"))) { /* one object for each type of layer */
        FT_RETURN(ft_json_f64(json_object_get(newer, "sliding_attention"), "rope_theta", where,
                              (double)c->rope_local_theta, &local));
        c->rope_local_theta = (float)local;
        newer = json_object_get(newer, "full_attention");
    }
    if (json_is_object(newer)) /* transformers 5 keeps both in one object */
        theta_in = scaling = newer;
    c->rope_factor = 1;
    c->rope_attention_factor = 1;
    c->rot = c->head_dim;
    FT_RETURN(ft_json_f64(theta_in, "rope_theta", where, 10000, &c->rope_theta));
    if (!(c->rope_theta > 0) || !isfinite(c->rope_theta))
        return ft_fail(FT_EFORMAT, "%s: rope_theta is %g, a positive number is expected", where, c->rope_theta);
    FT_RETURN(read_partial(c, theta_in, where));
    if (!scaling || json_is_null(scaling))
        return FT_OK;
    if (!json_is_object(scaling))
        return ft_fail(FT_EFORMAT, "%s: rope_scaling is no object", where);
    return read_scaling(c, scaling, where);
}

/* The setting that Llama 3 models ship, with this factor and original length: do the divisors follow from it? */
static bool explained(const ft_config *as_read, double factor, int64_t original)
{
    ft_config c = *as_read;
    c.rope_factor = factor;
    c.rope_low_freq_factor = 1;
    c.rope_high_freq_factor = 4;
    c.rope_original_max_position = original;
    for (int64_t i = 0; i < c.rot / 2; i++)
        if (fabs(llama3_divisor(&c, i) - as_read->rope_divisors[i]) > 1e-5 * as_read->rope_divisors[i])
            return false;
    return true;
}

/* Original lengths are powers of two: the one that explains the divisors, so that config.json can say what they are. */
static ft_status name_divisors(ft_config *c)
{
    double factor = 1;
    for (int64_t i = 0; i < c->rot / 2; i++)
        factor = FT_MAX(factor, (double)c->rope_divisors[i]);
    for (int64_t original = 16; original <= 1 << 20; original *= 2) {
        if (!explained(c, factor, original))
            continue;
        c->rope_kind = FT_ROPE_LLAMA3;
        c->rope_factor = factor;
        c->rope_low_freq_factor = 1;
        c->rope_high_freq_factor = 4;
        c->rope_original_max_position = original;
        json_t *s = json_pack("{s:s, s:f, s:f, s:f, s:I}", "rope_type", "llama3", "factor", factor, "low_freq_factor",
                              1.0, "high_freq_factor", 4.0, "original_max_position_embeddings", (json_int_t)original);
        if (json_object_set_new(c->json, "rope_scaling", s) != 0)
            return ft_fail(FT_ENOMEM, "out of memory for a config");
        break;
    }
    return FT_OK;
}

ft_status ft_rope__divisors(ft_config *c, const ft_named *freqs, const char *where)
{
    int64_t n = c->rot / 2;
    char text[96];
    if (freqs->t.ndim != 1 || freqs->t.shape[0] != n)
        return ft_fail(FT_EFORMAT, "%s: rope_freqs.weight has shape %s, expected [%lld]", where,
                       ft_shape_text(freqs->t.ndim, freqs->t.shape, text), (long long)n);
    if (c->rope_kind != FT_ROPE_PLAIN)
        return ft_fail(FT_EUNSUPPORTED, "%s: rope_freqs.weight together with rope.scaling.factor is not supported",
                       where);
    if (!(c->rope_divisors = ft_alloc((size_t)n, sizeof(float))))
        return FT_ENOMEM;
    ft_tensor_decode_rows(&freqs->t, 0, 1, c->rope_divisors);
    for (int64_t i = 0; i < n; i++)
        if (!(c->rope_divisors[i] > 0) || !isfinite(c->rope_divisors[i]))
            return ft_fail(FT_EFORMAT, "%s: rope_freqs.weight[%lld] is %g, positive numbers are expected", where,
                           (long long)i, (double)c->rope_divisors[i]);
    c->rope_kind = FT_ROPE_DIVISORS;
    return name_divisors(c);
}

static ft_status put_factors(json_t *o, const char *key, const ft_named *from, const char *where)
{
    int64_t n = ft_tensor_count(&from->t);
    json_t *list = json_array();
    float x[1024];
    if (n > (int64_t)FT_COUNT(x) || from->t.ndim != 1) {
        json_decref(list);
        return ft_fail(FT_EFORMAT, "%s: %s has %lld elements, at most %zu can be", where, from->name, (long long)n,
                       FT_COUNT(x));
    }
    ft_tensor_decode_rows(&from->t, 0, 1, x);
    for (int64_t i = 0; i < n; i++)
        json_array_append_new(list, json_real(x[i])); /* what is not finite is missing, and refused when it is read */
    return json_object_set_new(o, key, list) ? ft_fail(FT_ENOMEM, "out of memory for a config") : FT_OK;
}

ft_status ft_rope__longrope_of_gguf(json_t *config, const ft_container *g, const char *arch)
{
    char key[128];
    const char *where = ft_container_path(g);
    const ft_named *beyond = ft_container_find(g, "rope_factors_long.weight"),
                   *within = ft_container_find(g, "rope_factors_short.weight");
    double factor, max = json_number_value(json_object_get(config, "max_position_embeddings")),
                   original = json_number_value(json_object_get(config, "original_max_position_embeddings"));
    if (!within)
        return ft_fail(FT_EFORMAT, "%s: rope_factors_short.weight is missing", where);
    json_t *s = json_pack("{s:s}", "type", "longrope");
    if (json_object_set_new(config, "rope_scaling", s) != 0)
        return ft_fail(FT_ENOMEM, "out of memory for a config");
    snprintf(key, sizeof key, "%s.rope.scaling.attn_factor", arch);
    if (ft_meta_f64(ft_container_meta(g, key), &factor) && isfinite(factor) && original > 1 &&
        fabs(factor - usual_attention_factor(max, original)) > 1e-5)
        json_object_set_new(s, "attention_factor", json_real(factor));
    FT_RETURN(put_factors(s, "short_factor", within, where));
    return put_factors(s, "long_factor", beyond, where);
}

void ft_rope__frequencies(const ft_config *c, const float *divisors, float *inv_freq)
{
    for (int64_t i = 0; i < c->rot / 2; i++)
        inv_freq[i] = (float)(plain_frequency(c, i) / (divisors ? (double)divisors[i] : c->rope_factor));
}

void ft_rope__local_frequencies(const ft_config *c, float *inv_freq)
{
    for (int64_t i = 0; i < c->rot / 2; i++)
        inv_freq[i] = (float)pow((double)c->rope_local_theta, -2.0 * (double)i / (double)c->rot);
}
