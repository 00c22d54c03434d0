/* inspect: run folders, checkpoints, datasets. */
#include "cmd/inspect.h"
#include "cmd/runfolder.h"
#include "file/store.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RESULTS = 1 << 24, SHOWN_TEXT = 160 };

/* ---- checkpoint ---- */

static bool is_checkpoint(const char *path)
{
    return ft_begins_with(path, "fettle store 1\n", 15);
}

typedef struct arrays {
    json_t *list; /* NULL: only counted */
    int64_t n, weights;
} arrays;

static ft_status count_array(void *ctx, const char *name, ft_store_type type, int ndim, const int64_t *shape)
{
    static const char *const types[] = {"f32", "f64", "i32", "i64", "u8", "u16"};
    arrays *a = ctx;
    char text[96];
    int64_t count = 1;
    for (int i = 0; i < ndim; i++)
        count *= shape[i];
    a->n++;
    if (ft_starts(name, "weights/"))
        a->weights += count;
    if (a->list) {
        json_t *row = ft_result_row(a->list);
        ft_result_text(row, "name", name);
        ft_result_text(row, "type", types[type]);
        ft_result_text(row, "shape", ft_shape_text(ndim, shape, text));
    }
    return FT_OK;
}

static void put_number(json_t *o, ft_store *s, const char *key)
{
    int64_t v;
    if (ft_store_get_i64(s, key, &v) == FT_OK)
        ft_result_int(o, key, v);
}

static void put_real(json_t *o, ft_store *s, const char *key)
{
    double v;
    if (ft_store_get_f64(s, key, &v) == FT_OK)
        ft_result_real(o, key, v);
}

static void put_progress(json_t *o, ft_store *s)
{
    put_number(o, s, "step");
    put_number(o, s, "tokens");
    put_real(o, s, "loss");
    put_number(o, s, "best_step");
    put_real(o, s, "best_score");
    put_real(o, s, "elapsed_s");
    int64_t finished = 0;
    if (ft_store_get_i64(s, "finished", &finished) == FT_OK)
        ft_result_bool(o, "finished", finished != 0);
}

static ft_status put_checkpoint(json_t *o, const char *path, const ft_args *a)
{
    ft_store *s = NULL;
    char *optimizer = NULL;
    arrays all = {0};
    FT_RETURN(ft_store_open(&s, path));
    put_progress(o, s);
    if (ft_store_get_str(s, "optimizer", &optimizer) == FT_OK)
        ft_result_text(o, "optimizer", optimizer);
    if (ft_args_given(a, "tensors"))
        all.list = ft_result_list(o, "arrays");
    ft_status st = ft_store_each(s, count_array, &all);
    ft_result_int(o, "trained_parameters", all.weights);
    ft_free(optimizer);
    ft_store_close(s);
    return st;
}

const ft_inspect_kind ft_inspect_checkpoint = {.name = "checkpoint", .is = is_checkpoint, .put = put_checkpoint};

/* ---- run folder ---- */

static bool is_run(const char *path)
{
    return ft_dir_holds(path, "recipe.yaml") || ft_dir_holds(path, "checkpoints");
}

static ft_status put_checkpoints(json_t *o, const char *dir)
{
    ft_names names;
    ft_status st = FT_OK;
    FT_RETURN(ft_list_dir(&names, dir, ".h5"));
    json_t *list = ft_result_list(o, "checkpoints");
    for (size_t i = 0; st == FT_OK && i < names.n; i++) {
        ft_store *s = NULL;
        json_t *row = ft_result_row(list);
        char *path = ft_path_join(dir, names.p[i]);
        ft_result_text(row, "file", names.p[i]);
        if (!path)
            st = FT_ENOMEM;
        else if (ft_store_open(&s, path) == FT_OK)
            put_progress(row, s);
        else
            ft_result_text(row, "problem", ft_error());
        ft_store_close(s);
        ft_free(path);
    }
    ft_names_free(&names);
    return st;
}

static ft_status put_results(json_t *o, const char *path)
{
    json_t *results = NULL;
    const char *key;
    json_t *v;
    FT_RETURN(ft_json_file(&results, path, MAX_RESULTS));
    json_object_foreach(results, key, v) json_object_set(o, key, v);
    json_decref(results);
    return FT_OK;
}

static ft_status put_run(json_t *o, const char *path, const ft_args *a)
{
    static const char *const states[] = {"no checkpoint yet", "begun", "complete"};
    char *checkpoints = ft_path_join(path, "checkpoints"), *results = ft_path_join(path, "results.json");
    ft_status st = checkpoints && results ? FT_OK : FT_ENOMEM;
    ft_run_state state = ft_run_state_of(path);
    ft_result_text(o, "state", states[state]);
    if (st == FT_OK && ft_is_dir(checkpoints))
        st = put_checkpoints(o, checkpoints);
    if (st == FT_OK && state == FT_RUN_COMPLETE)
        st = put_results(o, results);
    ft_free(checkpoints);
    ft_free(results);
    return st;
}

const ft_inspect_kind ft_inspect_run = {.name = "run", .is = is_run, .put = put_run};

/* ---- dataset ---- */

static bool is_dataset(const char *path)
{
    return !ft_is_dir(path);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void put_lengths(json_t *o, const char *key, int64_t *n, size_t count)
{
    json_t *s = ft_result_object(o, key);
    qsort(n, count, sizeof *n, by_size);
    ft_result_int(s, "shortest", n[0]);
    ft_result_int(s, "median", n[count / 2]);
    ft_result_int(s, "longest_of_95_percent", n[(count - 1) * 95 / 100]);
    ft_result_int(s, "longest", n[count - 1]);
}

static void put_first(json_t *o, const ft_example *e)
{
    json_t *list = ft_result_list(o, "first_row");
    char text[SHOWN_TEXT + 8];
    for (size_t i = 0; i < e->n; i++) {
        json_t *row = ft_result_row(list);
        ft_str s = e->messages[i].content;
        size_t n = FT_MIN(s.n, (size_t)SHOWN_TEXT);
        while (n < s.n && n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
            n--;
        snprintf(text, sizeof text, "%.*s%s", (int)n, s.n ? s.p : "", n < s.n ? "..." : "");
        ft_result_text(row, "role", e->kind == FT_TEXT ? "text" : ft_role_name(e->messages[i].role));
        ft_result_text(row, "text", text);
    }
}

static ft_status put_text_lengths(json_t *o, const ft_dataset *d)
{
    int64_t *n = ft_alloc(d->n, sizeof *n);
    if (!n)
        return FT_ENOMEM;
    for (size_t i = 0; i < d->n; i++)
        for (size_t k = 0; k < d->examples[i].n; k++)
            n[i] += (int64_t)d->examples[i].messages[k].content.n;
    put_lengths(o, "length_in_bytes_of_text", n, d->n);
    ft_free(n);
    return FT_OK;
}

static ft_status put_token_lengths(json_t *o, const ft_dataset *d, const char *model)
{
    ft_tokenizer *tok = NULL;
    ft_rows rows = {0};
    ft_rows_options options = {.max_tokens = INT32_MAX, .on_overlong = FT_OVERLONG_ERROR};
    int64_t *n = NULL;
    ft_status st = FT_OK;
    FT_TRY(ft_tokenizer_open(&tok, model));
    FT_TRY(ft_chat_template_pick(&options.chat, "auto", tok));
    FT_TRY(ft_rows_build(&rows, d, tok, &options));
    if (!(n = ft_alloc(rows.n, sizeof *n))) {
        st = FT_ENOMEM;
        goto done;
    }
    for (size_t i = 0; i < rows.n; i++)
        n[i] = rows.p[i].n;
    ft_result_int(o, "tokens", rows.tokens);
    ft_result_int(o, "supervised_tokens", rows.supervised);
    put_lengths(o, "length_in_tokens", n, rows.n);
done:
    ft_free(n);
    ft_rows_free(&rows);
    ft_tokenizer_free(tok);
    return st;
}

static ft_status put_dataset(json_t *o, const char *path, const ft_args *a)
{
    static const char *const kinds[] = {"prompt and completion", "chat", "text"};
    ft_dataset d = {0};
    const char *format = NULL, *tokenizer = ft_args_text(a, "tokenizer");
    ft_data_source source = {.path = path, .format = ft_args_text(a, "format")};
    ft_status st = FT_OK;
    FT_TRY(ft_dataset_read(&d, &source, &format));
    ft_result_text(o, "format", format);
    ft_result_int(o, "rows", (int64_t)d.n);
    if (d.n == 0)
        goto done;
    ft_result_text(o, "rows_are", kinds[d.examples[0].kind]);
    FT_TRY(put_text_lengths(o, &d));
    if (tokenizer)
        FT_TRY(put_token_lengths(o, &d, tokenizer));
    put_first(o, &d.examples[0]);
done:
    ft_dataset_free(&d);
    return st;
}

const ft_inspect_kind ft_inspect_dataset = {.name = "dataset", .is = is_dataset, .put = put_dataset};
