#include "model/origin.h"

#include "config.h"
#include "file/json.h"

#include <string.h>

const char ft_origin_file[] = "fettle.json";
static const char program[] = "fettle";

enum { MAX_BYTES = 1 << 16 };

static int put(json_t *o, const char *key, const char *text)
{
    return text ? json_object_set_new(o, key, json_string(text)) : 0;
}

ft_status ft_origin_write(const char *dir, const ft_origin *o)
{
    json_t *json = json_object();
    char *path = ft_path_join(dir, ft_origin_file);
    ft_status st = FT_ENOMEM;
    if (!path)
        goto done;
    if (put(json, "program", program) || put(json, "version", PACKAGE_VERSION) || put(json, "format", o->format) ||
        put(json, "base_model", o->base_model) || put(json, "base_path", o->base_path) ||
        put(json, "quantize_base", o->quantize_base ? o->quantize_base->name : NULL)) {
        st = ft_fail(FT_ENOMEM, "%s: a name is no UTF-8, or no memory", path);
        goto done;
    }
    st = ft_json_write(json, path);
done:
    json_decref(json);
    ft_free(path);
    return st;
}

/* *out NULL where there is no such file, or another program's. */
static ft_status read_ours(json_t **out, const char *dir)
{
    const char *by;
    char *path = ft_path_join(dir, ft_origin_file);
    ft_status st = path ? FT_OK : FT_ENOMEM;
    *out = NULL;
    if (st == FT_OK && ft_exists(path))
        st = ft_json_file(out, path, MAX_BYTES);
    if (*out) {
        st = ft_json_str(*out, "program", path, "", &by);
        if (st != FT_OK || strcmp(by, program) != 0) {
            json_decref(*out);
            *out = NULL;
        }
    }
    ft_free(path);
    return st;
}

ft_status ft_origin_is_ours(bool *ours, const char *dir)
{
    json_t *json;
    ft_status st = read_ours(&json, dir);
    *ours = json != NULL;
    json_decref(json);
    return st == FT_ENOMEM ? st : FT_OK; /* a file that is no JSON is not ours */
}

ft_status ft_origin_base(char **base, const char *dir)
{
    json_t *json;
    const char *way = NULL;
    *base = NULL;
    FT_RETURN(read_ours(&json, dir));
    ft_status st = json ? ft_json_str(json, "base_path", ft_origin_file, NULL, &way) : FT_OK;
    if (st == FT_OK && way && !(*base = ft_path_join(dir, way)))
        st = FT_ENOMEM;
    json_decref(json);
    if (*base && !ft_exists(*base)) {
        ft_free(*base);
        *base = NULL;
    }
    return st;
}

ft_status ft_origin_dtype(const ft_dtype **dtype, ft_str name, const char *where)
{
    for (size_t i = 0; ft_dtypes[i]; i++)
        if (ft_str_is(name, ft_dtypes[i]->name)) {
            *dtype = ft_dtypes[i];
            return FT_OK;
        }
    return ft_fail(FT_EUNSUPPORTED, "%s: quantize_base \"%.*s\" is no type that is known here", where, (int)name.n, name.p);
}

ft_status ft_origin_quantize_base(const ft_dtype **dtype, const char *dir)
{
    json_t *json;
    const char *name = NULL;
    *dtype = NULL;
    FT_RETURN(read_ours(&json, dir));
    ft_status st = json ? ft_json_str(json, "quantize_base", ft_origin_file, NULL, &name) : FT_OK;
    if (st == FT_OK && name)
        st = ft_origin_dtype(dtype, ft_str_of(name), dir);
    json_decref(json);
    return st;
}
