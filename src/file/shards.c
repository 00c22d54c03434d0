/* A sharded safetensors model: an index that says in which file each tensor lies.
 *
 *   {"metadata": {"total_size": N}, "weight_map": {"tensor name": "model-00001-of-00002.safetensors", ...}}
 *
 * Shards lie beside the index: a name with a path in it is refused. Every promised tensor must lie in its own shard;
 * what a shard holds besides is read too, as long as no name comes twice.
 */
#include "file/container_impl.h"
#include "file/json.h"

#include <string.h>

enum { MAX_INDEX = 100 << 20, MAX_SHARDS = 4096 };
extern const ft_format ft_format_safetensors;

typedef struct shards {
    ft_container *c;
    const char *index; /* its path, for messages */
    char *dir;
    ft_map *files;           /* name to number */
    size_t ends[MAX_SHARDS]; /* shard i has tensors [ends[i - 1], ends[i]) of the container */
    size_t n;
} shards;

static ft_status check_file_name(const shards *s, const char *tensor, const json_t *v)
{
    const char *name = json_string_value(v);
    if (!name || strlen(name) != json_string_length(v))
        return ft_fail(FT_EFORMAT, "%s: weight_map: \"%s\" is no file name", s->index, tensor);
    if (!*name || strchr(name, '/') || strchr(name, '\\') || strcmp(name, "..") == 0 || strcmp(name, ".") == 0)
        return ft_fail(FT_EFORMAT, "%s: weight_map: \"%s\" lies in \"%s\", expected a file name without a path",
                       s->index, tensor, name);
    return FT_OK;
}

static ft_status read_shard(shards *s, const char *name)
{
    ft_mapping *m;
    if (s->n == MAX_SHARDS)
        return ft_fail(FT_EFORMAT, "%s: more than %d shards", s->index, MAX_SHARDS);
    FT_RETURN(ft_map_put(s->files, name, strlen(name), (int64_t)s->n));
    char *path = ft_path_join(s->dir, name);
    ft_status st = path ? ft_container__map(s->c, path, &m) : FT_ENOMEM;
    ft_free(path);
    if (st == FT_EINPUT)
        return ft_fail(FT_EINPUT, "%s: its shard %s is not beside it", s->index, name);
    if (st != FT_OK)
        return st;
    FT_RETURN(ft_format_safetensors.read(s->c, m));
    s->ends[s->n++] = s->c->n_tensors;
    return FT_OK;
}

static ft_status read_shards(shards *s, json_t *map)
{
    const char *tensor;
    json_t *v;
    json_object_foreach(map, tensor, v)
    {
        FT_RETURN(check_file_name(s, tensor, v));
        if (!ft_map_get(s->files, json_string_value(v), json_string_length(v), NULL))
            FT_RETURN(read_shard(s, json_string_value(v)));
    }
    return FT_OK;
}

static ft_status check_promises(const shards *s, json_t *map)
{
    const char *tensor;
    json_t *v;
    json_object_foreach(map, tensor, v)
    {
        int64_t shard, at;
        ft_map_get(s->files, json_string_value(v), json_string_length(v), &shard);
        if (!ft_map_get(s->c->names, tensor, strlen(tensor), &at) || (size_t)at >= s->ends[shard] ||
            (shard && (size_t)at < s->ends[shard - 1]))
            return ft_fail(FT_EFORMAT, "%s: weight_map promises \"%s\" in %s, which does not hold it", s->index, tensor,
                           json_string_value(v));
    }
    return FT_OK;
}

static ft_status read_index(ft_container *c, const ft_mapping *m)
{
    ft_status st = FT_OK;
    json_t *j = NULL;
    shards *s = ft_alloc(1, sizeof *s);
    if (!s)
        return FT_ENOMEM;
    s->c = c;
    s->index = m->path;
    s->files = ft_map_new();
    s->dir = ft_path_dir(m->path);
    FT_TRY(s->files && s->dir ? FT_OK : FT_ENOMEM);
    FT_TRY(ft_json_file(&j, m->path, MAX_INDEX));
    json_t *map = json_object_get(j, "weight_map");
    if (!json_object_size(map))
        FT_TRY(ft_fail(FT_EFORMAT, "%s: \"weight_map\" is missing or empty", m->path));
    FT_TRY(read_shards(s, map));
    FT_TRY(check_promises(s, map));
done:
    json_decref(j);
    ft_map_free(s->files);
    ft_free(s->dir);
    ft_free(s);
    return st;
}

const ft_format ft_format_safetensors_index = {.name = "safetensors",
                                               .suffix = ".safetensors.index.json",
                                               .help = "the index of a model in several safetensors files",
                                               .read = read_index};
