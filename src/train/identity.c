/* Rows are hashed whole. Of a weight, whole up to 64 KiB, else sixteen pieces spread over it: another training moves every
 * weight, and a base of gigabytes is not read for it. Weights that are trained count by name and shape alone: a
 * checkpoint brings their values.
 */
#include "train/identity.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE = 4096, PIECES = 16 };

static uint64_t hash_config(const ft_model *m)
{
    char *text = json_dumps(ft_model_config(m)->json, JSON_COMPACT | JSON_SORT_KEYS);
    uint64_t h = text ? ft_hash(text, strlen(text), 0) : 0;
    free(text); /* jansson's */
    return h;
}

static uint64_t hash_values(const ft_tensor *t, uint64_t h)
{
    const uint8_t *p = t->data;
    size_t bytes = ft_tensor_bytes(t);
    if (bytes <= (size_t)PIECE * PIECES)
        return ft_hash(p, bytes, h);
    for (size_t i = 0; i < PIECES; i++)
        h = ft_hash(p + (bytes - PIECE) / (PIECES - 1) * i, PIECE, h);
    return h;
}

static uint64_t hash_weights(ft_model *m)
{
    uint64_t h = 0;
    for (size_t i = 0; i < ft_model_count(m); i++) {
        const ft_param *p = ft_model_at(m, i);
        h = ft_hash(p->name, strlen(p->name), h);
        h = ft_hash(p->t.dtype->name, strlen(p->t.dtype->name), h);
        h = ft_hash(p->t.shape, (size_t)p->t.ndim * sizeof *p->t.shape, h);
        if (!p->trainable)
            h = hash_values(&p->t, h);
    }
    return h;
}

ft_identity ft_identity_of(ft_model *m, const ft_rows *train, const ft_rows *eval)
{
    return (ft_identity){.train_rows = ft_rows_hash(train),
                         .eval_rows = ft_rows_hash(eval),
                         .base_config = hash_config(m),
                         .base_weights = hash_weights(m)};
}

/* The fields as attributes of a checkpoint, and in words. */
static const struct {
    const char *key, *words;
    size_t offset;
} fields[] = {
    {"train_rows_hash", "the rows to train on", offsetof(ft_identity, train_rows)},
    {"eval_rows_hash", "the rows that choose the best checkpoint", offsetof(ft_identity, eval_rows)},
    {"base_config_hash", "the config of the base model", offsetof(ft_identity, base_config)},
    {"base_weights_hash", "the weights of the base model", offsetof(ft_identity, base_weights)},
};

static int64_t value_of(const ft_identity *i, size_t k)
{
    uint64_t v;
    memcpy(&v, (const char *)i + fields[k].offset, sizeof v);
    return (int64_t)v;
}

ft_status ft_identity_put(ft_store *s, const ft_identity *i)
{
    for (size_t k = 0; k < FT_COUNT(fields); k++)
        FT_RETURN(ft_store_put_i64(s, fields[k].key, value_of(i, k)));
    return FT_OK;
}

ft_status ft_identity_check(ft_store *s, const ft_identity *now)
{
    ft_buf changed = {0};
    ft_status st = FT_OK;
    for (size_t k = 0; k < FT_COUNT(fields) && st == FT_OK; k++) {
        int64_t then;
        ft_status found = ft_store_get_i64(s, fields[k].key, &then);
        if (found == FT_EINPUT) /* a checkpoint of before these were kept */
            continue;
        st = found;
        if (st == FT_OK && then != value_of(now, k))
            st = ft_buf_printf(&changed, "%s%s", changed.n ? ", " : "", fields[k].words);
    }
    if (st == FT_OK && changed.n)
        st = ft_fail(FT_EINPUT,
                     "changed since the checkpoint was written, so a resume would not be exact: %s\n"
                     "bring back what the run began with, choose another output_dir, or begin anew with --overwrite",
                     changed.p);
    ft_buf_free(&changed);
    return st;
}
