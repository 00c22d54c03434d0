/* The frozen prefix: states [C] a token, those of all rows end to end, in one of three places.
 *
 *   nowhere     every row is run through the frozen blocks when it comes by
 *   memory      the same when it comes by first; [tokens, C] of f32 or bf16
 *   disk        DIR/cache/prefix.h5, a store (file/store.h) that is made before the first step and mapped:
 *
 *                 states/0000000 ...   [<= P, C] f32, or u16 with the bits of bf16; P tokens take at most 1 MiB
 *                 version, model, rows, blocks, width, tokens (i64), dtype, cpu (text)
 *
 * What the states depend on is their key: `model` is a hash over the config and the weights that they went through, `rows`
 * over the ids of all rows (so that another tokenizer or template shows there), `cpu` says which kernels rounded them.
 *
 * Memory: a tape for one row without records, one piece while the store is made, and what is kept.
 */
#include "train/prefix.h"

#include "base/os.h"
#include "file/store.h"
#include "kernel/kernel.h"

#include <string.h>
#include <unistd.h>

enum { VERSION = 1, PIECE_BYTES = 1 << 20 };

struct ft_prefix {
    ft_model *model;
    const ft_rows *rows;
    ft_tape *tape;
    const ft_dtype *dtype;
    ft_compute compute;
    int64_t k, C;
    int64_t *start;   /* [rows + 1]: the first token of a row among all */
    void *encoded;    /* [C] of dtype */
    uint8_t *kept;    /* in memory: [tokens, C] of dtype, or NULL */
    bool *have;       /* [rows], of kept */
    ft_store *store;  /* on disk, or NULL */
    const uint8_t **pieces;
    int64_t piece_tokens;
};

/* ---- sizes ---- */

static int64_t tokens_of(const ft_rows *rows)
{
    int64_t n = 0;
    for (size_t i = 0; i < rows->n; i++)
        n += rows->p[i].n - 1;
    return n;
}

static const ft_dtype *dtype_of(const ft_dtype *dtype)
{
    return dtype ? dtype : &ft_f32;
}

uint64_t ft_prefix_bytes(const ft_model *m, const ft_rows *rows, const ft_dtype *dtype)
{
    if (!ft_model_frozen_blocks(m) || rows->vectors)
        return 0;
    return (uint64_t)tokens_of(rows) * (uint64_t)ft_model_config(m)->hidden_size * dtype_of(dtype)->block_bytes;
}

ft_prefix_place ft_prefix_choose(uint64_t bytes, const char *dir, bool again)
{
    if (!bytes || !again)
        return FT_PREFIX_OFF;
    if (bytes <= ft_available_ram_bytes() / 4)
        return FT_PREFIX_MEMORY;
    return bytes + bytes / 8 <= ft_free_disk_bytes(dir) ? FT_PREFIX_DISK : FT_PREFIX_OFF;
}

static size_t token_bytes(const ft_prefix *p)
{
    return (size_t)p->C * p->dtype->block_bytes;
}

static int64_t row_tokens(const ft_prefix *p, int64_t row)
{
    return p->start[row + 1] - p->start[row];
}

static int64_t all_tokens(const ft_prefix *p)
{
    return p->start[p->rows->n];
}

int64_t ft_prefix_blocks(const ft_prefix *p)
{
    return p->k;
}

/* ---- life ---- */

/* A dry pass of the longest row: after it the tape holds what it will ever need. */
static ft_status size_tape(ft_prefix *p)
{
    const ft_row *longest = &p->rows->p[0];
    for (size_t i = 1; i < p->rows->n; i++)
        if (p->rows->p[i].n > longest->n)
            longest = &p->rows->p[i];
    const int64_t start[] = {0, longest->n - 1};
    const ft_segments seg = {.n = 1, .start = start};
    ft_tape_dry(p->tape, true);
    ft_tape_begin(p->tape, false, 0, 0);
    ft_model_enter(p->model, p->tape, longest->ids, start[1], &seg, p->k);
    ft_status st = ft_tape_status(p->tape);
    ft_tape_dry(p->tape, false);
    return st;
}

static ft_status set_up(ft_prefix *p)
{
    if (!(p->start = ft_alloc(p->rows->n + 1, sizeof *p->start)) || !(p->encoded = ft_alloc(1, token_bytes(p))))
        return FT_ENOMEM;
    for (size_t i = 0; i < p->rows->n; i++)
        p->start[i + 1] = p->start[i] + p->rows->p[i].n - 1;
    p->piece_tokens = FT_MAX((int64_t)(PIECE_BYTES / token_bytes(p)), (int64_t)1);
    FT_RETURN(ft_tape_new(&p->tape));
    ft_tape_compute(p->tape, p->compute);
    return size_tape(p);
}

ft_status ft_prefix_new(ft_prefix **out, ft_model *m, const ft_rows *rows, const ft_train_options *o)
{
    int64_t k = ft_model_frozen_blocks(m);
    *out = NULL;
    if (!k)
        return FT_OK;
    ft_prefix *p = ft_alloc(1, sizeof *p);
    if (!p)
        return FT_ENOMEM;
    *p = (ft_prefix){.model = m,
                     .rows = rows,
                     .dtype = dtype_of(o->prefix_cache_dtype),
                     .compute = o->compute,
                     .k = k,
                     .C = ft_model_config(m)->hidden_size};
    ft_status st = set_up(p);
    if (st != FT_OK)
        ft_prefix_free(p);
    else
        *out = p;
    return st;
}

void ft_prefix_free(ft_prefix *p)
{
    if (!p)
        return;
    ft_tape_free(p->tape);
    ft_store_close(p->store);
    ft_free(p->pieces);
    ft_free(p->kept);
    ft_free(p->have);
    ft_free(p->start);
    ft_free(p->encoded);
    ft_free(p);
}

/* ---- states of a row ---- */

/* Runs the row through the frozen blocks: x [T, C], rounded to the dtype. */
static ft_status compute(ft_prefix *p, int64_t row, float *x)
{
    int64_t T = row_tokens(p, row);
    const int64_t start[] = {0, T};
    const ft_segments seg = {.n = 1, .start = start};
    ft_tape_begin(p->tape, false, 0, 0);
    const ft_var *states = ft_model_enter(p->model, p->tape, p->rows->p[row].ids, T, &seg, p->k);
    if (!states)
        return ft_tape_status(p->tape);
    memcpy(x, states->v, (size_t)(T * p->C) * sizeof *x);
    for (int64_t t = 0; t < T && p->dtype != &ft_f32; t++) {
        p->dtype->encode(x + t * p->C, NULL, p->C, p->encoded);
        p->dtype->decode(p->encoded, p->C, x + t * p->C);
    }
    return FT_OK;
}

/* Token `at` of all, and how many follow it there without a gap. */
static const uint8_t *place_of(const ft_prefix *p, int64_t at, int64_t *n)
{
    if (p->kept) {
        *n = all_tokens(p) - at;
        return p->kept + (size_t)at * token_bytes(p);
    }
    int64_t within = at % p->piece_tokens;
    *n = p->piece_tokens - within;
    return p->pieces[at / p->piece_tokens] + (size_t)within * token_bytes(p);
}

/* A mapped token may start at any byte. */
static void fetch(const ft_prefix *p, int64_t row, float *x)
{
    int64_t n, end = p->start[row + 1];
    for (int64_t at = p->start[row]; at < end; at += n) {
        const uint8_t *from = place_of(p, at, &n);
        n = FT_MIN(n, end - at);
        if (p->dtype == &ft_f32)
            memcpy(x, from, (size_t)n * token_bytes(p));
        for (int64_t t = 0; t < n && p->dtype != &ft_f32; t++) {
            memcpy(p->encoded, from + (size_t)t * token_bytes(p), token_bytes(p));
            p->dtype->decode(p->encoded, p->C, x + t * p->C);
        }
        x += n * p->C;
    }
}

static void keep(ft_prefix *p, int64_t row, const float *x)
{
    for (int64_t t = 0; t < row_tokens(p, row); t++)
        p->dtype->encode(x + t * p->C, NULL, p->C, p->kept + (size_t)(p->start[row] + t) * token_bytes(p));
    p->have[row] = true;
}

ft_status ft_prefix_states(ft_prefix *p, const int64_t *rows, int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t row = rows[i];
        if (p->store || (p->kept && p->have[row])) {
            fetch(p, row, x);
        } else {
            FT_RETURN(compute(p, row, x));
            if (p->kept)
                keep(p, row, x);
        }
        x += row_tokens(p, row) * p->C;
    }
    return FT_OK;
}

void ft_prefix_ahead(const ft_prefix *p, const int64_t *rows, int64_t n)
{
    for (int64_t i = 0; p->store && i < n; i++) {
        int64_t some, end = p->start[rows[i] + 1];
        for (int64_t at = p->start[rows[i]]; at < end; at += some) {
            const uint8_t *from = place_of(p, at, &some);
            some = FT_MIN(some, end - at);
            ft_mapping_ahead(from, (size_t)some * token_bytes(p));
        }
    }
}

/* ---- the key of a store ---- */

typedef struct key_part {
    const char *name, *what; /* what differs, for people */
    int64_t value;
} key_part;
enum { KEY_PARTS = 6 };
typedef struct key {
    key_part parts[KEY_PARTS];
    char cpu[128];
} key;

static uint64_t hash_rows(const ft_rows *rows)
{
    uint64_t h = ft_hash(&rows->n, sizeof rows->n, 1);
    for (size_t i = 0; i < rows->n; i++)
        h = ft_hash(rows->p[i].ids, (size_t)rows->p[i].n * sizeof *rows->p[i].ids, h);
    return h;
}

static ft_status key_of(key *out, const ft_prefix *p)
{
    uint64_t model;
    FT_RETURN(ft_model_hash_below(&model, p->model, p->k));
    *out = (key){.parts = {{"version", "by another version", VERSION},
                           {"model", "for another base model", (int64_t)model},
                           {"rows", "for other rows, or with another tokenizer or template", (int64_t)hash_rows(p->rows)},
                           {"blocks", "for other layers", p->k},
                           {"width", "for another base model", p->C},
                           {"tokens", "for other rows, or with another tokenizer or template", all_tokens(p)}}};
    snprintf(out->cpu, sizeof out->cpu, "%s, %s, %s", ft_kernels_active()->name,
             ft_engine_name(ft_engine_of(p->compute)), ft_blas_core());
    return FT_OK;
}

static ft_status put_key(ft_store *s, const key *k, const ft_dtype *dtype)
{
    for (size_t i = 0; i < KEY_PARTS; i++)
        FT_RETURN(ft_store_put_i64(s, k->parts[i].name, k->parts[i].value));
    FT_RETURN(ft_store_put_str(s, "dtype", dtype->name));
    return ft_store_put_str(s, "cpu", k->cpu);
}

static bool is_text(ft_store *s, const char *name, const char *expected)
{
    char *text = NULL;
    bool same = ft_store_get_str(s, name, &text) == FT_OK && strcmp(text, expected) == 0;
    ft_free(text);
    return same;
}

/* What of the store's key is not ours, NULL when it fits. */
static const char *difference(ft_store *s, const key *k, const ft_dtype *dtype)
{
    for (size_t i = 0; i < KEY_PARTS; i++) {
        int64_t v;
        if (ft_store_get_i64(s, k->parts[i].name, &v) != FT_OK || v != k->parts[i].value)
            return k->parts[i].what;
    }
    if (!is_text(s, "dtype", dtype->name))
        return "with another prefix_cache_dtype";
    return is_text(s, "cpu", k->cpu) ? NULL : "on another kind of CPU or with another compute";
}

/* ---- on disk ---- */

static void piece_name(char name[32], int64_t piece)
{
    snprintf(name, 32, "states/%07lld", (long long)piece);
}

static ft_store_type type_of(const ft_dtype *dtype)
{
    return dtype == &ft_f32 ? FT_STORE_F32 : FT_STORE_U16;
}

static int64_t piece_count(const ft_prefix *p)
{
    return (all_tokens(p) + p->piece_tokens - 1) / p->piece_tokens;
}

static ft_status view_pieces(ft_prefix *p, ft_store *s)
{
    char name[32];
    int64_t n = piece_count(p);
    if (!(p->pieces = ft_alloc((size_t)n, sizeof *p->pieces)))
        return FT_ENOMEM;
    for (int64_t i = 0; i < n; i++) {
        int64_t tokens = FT_MIN(p->piece_tokens, all_tokens(p) - i * p->piece_tokens);
        piece_name(name, i);
        const void *piece;
        FT_RETURN(ft_store_view(s, name, type_of(p->dtype), tokens * p->C, &piece));
        p->pieces[i] = piece;
    }
    return FT_OK;
}

/* Takes the store at path when it is whole and ours: then p->store is set. */
static ft_status take(ft_prefix *p, const char *path, const key *k)
{
    ft_store *s = NULL;
    if (!ft_exists(path))
        return FT_OK;
    ft_status st = ft_store_open(&s, path);
    const char *other = st == FT_OK ? difference(s, k, p->dtype) : NULL;
    if (other)
        ft_note(FT_NOTE, "%s was made %s: it is made anew", path, other);
    else if (st == FT_OK)
        st = view_pieces(p, s);
    if (st == FT_OK && !other) {
        p->store = s;
        return FT_OK;
    }
    if (st == FT_EFORMAT)
        ft_note(FT_WARN, "%s: it is made anew", ft_error());
    ft_store_close(s);
    ft_free(p->pieces);
    p->pieces = NULL;
    return st == FT_EFORMAT ? FT_OK : st;
}

typedef struct making {
    ft_prefix *p;
    ft_store *store;
    uint8_t *piece; /* [piece_tokens, C] of dtype */
    float *x;       /* [longest row, C] */
    int64_t filled, done;
} making;

static ft_status flush(making *k)
{
    char name[32];
    const int64_t shape[] = {k->filled, k->p->C};
    if (!k->filled)
        return FT_OK;
    piece_name(name, k->done++);
    k->filled = 0;
    return ft_store_put(k->store, name, type_of(k->p->dtype), 2, shape, k->piece, 0);
}

static ft_status add_row(making *k, int64_t row)
{
    ft_prefix *p = k->p;
    FT_RETURN(compute(p, row, k->x));
    for (int64_t t = 0; t < row_tokens(p, row); t++) {
        p->dtype->encode(k->x + t * p->C, NULL, p->C, k->piece + (size_t)k->filled * token_bytes(p));
        if (++k->filled == p->piece_tokens)
            FT_RETURN(flush(k));
    }
    return FT_OK;
}

static ft_status add_rows(making *k, const ft_prefix_keeping *how)
{
    size_t n = k->p->rows->n;
    for (size_t i = 0; i < n; i++) {
        if (how->progress && !how->progress(how->ctx, "prefix", i, n))
            return ft_fail(FT_ESTOPPED, "stopped while the states of row %zu of %zu were computed", i + 1, n);
        FT_RETURN(add_row(k, (int64_t)i));
    }
    return flush(k);
}

static ft_status make(ft_prefix *p, const char *path, const key *ours, const ft_prefix_keeping *how)
{
    int64_t longest = 0;
    ft_status st = FT_OK;
    making k = {.p = p, .piece = ft_alloc((size_t)p->piece_tokens, token_bytes(p))};
    for (size_t i = 0; i < p->rows->n; i++)
        longest = FT_MAX(longest, row_tokens(p, (int64_t)i));
    k.x = ft_alloc((size_t)(longest * p->C), sizeof *k.x);
    if (!k.piece || !k.x) {
        st = FT_ENOMEM;
        goto done;
    }
    FT_TRY(ft_store_create(&k.store, path));
    FT_TRY(put_key(k.store, ours, p->dtype));
    FT_TRY(add_rows(&k, how));
    st = ft_store_commit(k.store);
    k.store = NULL;
done:
    ft_store_abort(k.store);
    ft_free(k.piece);
    ft_free(k.x);
    return st;
}

/* Files of runs that were killed while they made it; the caller holds the lock of the run. */
static void sweep(const char *folder)
{
    ft_names names;
    if (ft_list_dir(&names, folder, ".tmp") != FT_OK)
        return;
    for (size_t i = 0; i < names.n; i++) {
        char *path = ft_path_join(folder, names.p[i]);
        if (path)
            unlink(path);
        ft_free(path);
    }
    ft_names_free(&names);
}

static ft_status keep_on_disk(ft_prefix *p, const ft_prefix_keeping *how)
{
    key ours;
    ft_status st = FT_ENOMEM;
    char *folder = ft_path_join(how->dir, "cache"), *path = folder ? ft_path_join(folder, "prefix.h5") : NULL;
    if (!path)
        goto done;
    FT_TRY(ft_mkdirs(folder));
    sweep(folder);
    FT_TRY(key_of(&ours, p));
    FT_TRY(take(p, path, &ours));
    if (!p->store) {
        FT_TRY(make(p, path, &ours, how));
        FT_TRY(take(p, path, &ours));
    }
done:
    ft_free(path);
    ft_free(folder);
    return st;
}

void ft_prefix_remove(const char *dir)
{
    char *folder = ft_path_join(dir, "cache"), *path = folder ? ft_path_join(folder, "prefix.h5") : NULL;
    if (path && unlink(path) == 0)
        rmdir(folder);
    ft_free(path);
    ft_free(folder);
}

/* ---- where ---- */

static ft_status keep_in_memory(ft_prefix *p)
{
    p->have = ft_alloc(p->rows->n, sizeof *p->have);
    p->kept = ft_alloc((size_t)all_tokens(p), token_bytes(p));
    return p->have && p->kept ? FT_OK : FT_ENOMEM;
}

ft_prefix_place ft_prefix_where(const ft_prefix *p, ft_prefix_place asked, const char *dir, bool again, uint64_t *bytes)
{
    *bytes = ft_prefix_bytes(p->model, p->rows, p->dtype);
    return asked == FT_PREFIX_AUTO ? ft_prefix_choose(*bytes, dir, again) : asked;
}

size_t ft_prefix_work_bytes(const ft_prefix *p)
{
    ft_tape_stats t = ft_tape_stats_of(p->tape);
    return t.kept_bytes + t.temporary_bytes + t.table_bytes;
}

ft_status ft_prefix_keep(ft_prefix *p, const ft_prefix_keeping *how)
{
    static const char *const where[] = {[FT_PREFIX_OFF] = "off", [FT_PREFIX_MEMORY] = "memory", [FT_PREFIX_DISK] = "disk"};
    uint64_t bytes;
    ft_prefix_place place = ft_prefix_where(p, how->place, how->dir, how->again, &bytes);
    if (how->place == FT_PREFIX_AUTO)
        ft_note(FT_NOTE, "prefix_cache: %s; the states that enter layer %lld take %.1f MB as %s, %.0f MB of memory are available",
                where[place], (long long)p->k, (double)bytes * 1e-6, p->dtype->name,
                (double)ft_available_ram_bytes() * 1e-6);
    if (place == FT_PREFIX_MEMORY)
        return keep_in_memory(p);
    return place == FT_PREFIX_DISK ? keep_on_disk(p, how) : FT_OK;
}
