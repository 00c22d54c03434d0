/* fettle preview: rows as the model will see them, the supervised tokens marked.
 *
 * On a terminal with colours supervised text is coloured; otherwise it stands between ⟦ and ⟧. Control tokens are shown
 * by their pieces. With --tokens every token has a line: position, id, mark, piece.
 */
#include "cmd/job.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_LABELS = 40 }; /* for people */

typedef struct preview {
    const ft_args *args;
    const ft_job *job;
    const ft_dataset *data;
    const ft_rows *rows;
} preview;

/* The text of ids[from..to), control tokens by their pieces. */
static ft_status put_span(ft_buf *out, const ft_tokenizer *tok, const ft_row *r, int32_t from, int32_t to)
{
    return ft_tokenizer_decode(tok, r->ids + from, (size_t)(to - from), false, from == 0, out);
}

static ft_status put_marked(ft_buf *out, const ft_tokenizer *tok, const ft_row *r)
{
    bool colors = *ft_color_mark();
    for (int32_t i = 0; i < r->n;) {
        int32_t end = i + 1;
        while (end < r->n && r->mask[end] == r->mask[i])
            end++;
        if (r->mask[i])
            FT_RETURN(ft_buf_puts(out, colors ? ft_color_mark() : "⟦"));
        FT_RETURN(put_span(out, tok, r, i, end));
        if (r->mask[i])
            FT_RETURN(ft_buf_puts(out, colors ? ft_color_mark_off() : "⟧"));
        i = end;
    }
    return ft_buf_putc(out, '\n');
}

static ft_status put_tokens(ft_buf *out, const ft_tokenizer *tok, const ft_row *r)
{
    for (int32_t i = 0; i < r->n; i++) {
        ft_str piece = ft_tokenizer_piece(tok, r->ids[i]);
        FT_RETURN(ft_buf_printf(out, "%6d  %8d  %c  %.*s\n", (int)i, (int)r->ids[i], r->mask[i] ? '*' : ' ',
                                (int)piece.n, piece.p));
    }
    return FT_OK;
}

/* One line a text. */
static ft_status put_texts(ft_buf *out, const ft_tokenizer *tok, const ft_row *r)
{
    for (int32_t k = 0; k < r->texts; k++) {
        FT_RETURN(ft_buf_puts(out, k ? "  " : ""));
        FT_RETURN(put_span(out, tok, r, k ? r->ends[k - 1] : 0, r->ends[k]));
        FT_RETURN(ft_buf_putc(out, '\n'));
    }
    return FT_OK;
}

static int32_t supervised_of(const ft_row *r)
{
    int32_t n = 0;
    for (int32_t i = 0; i < r->n; i++)
        n += r->mask[i];
    return n;
}

static ft_status put_row(ft_buf *out, const preview *v, size_t i)
{
    char place[512];
    const ft_row *r = &v->rows->p[i];
    ft_example_place(v->data, &v->data->examples[r->example], place);
    if (r->texts)
        FT_RETURN(ft_buf_printf(out, "-- %s: %d tokens, %d texts\n", place, (int)r->n, (int)r->texts));
    else
        FT_RETURN(ft_buf_printf(out, "-- %s: %d tokens, %d supervised\n", place, (int)r->n, (int)supervised_of(r)));
    if (ft_args_given(v->args, "tokens"))
        return put_tokens(out, v->job->tok, r);
    return (r->texts ? put_texts : put_marked)(out, v->job->tok, r);
}

static int by_length(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static ft_status put_lengths(json_t *o, const ft_rows *r)
{
    int32_t *n = ft_alloc(r->n, sizeof *n);
    if (!n)
        return FT_ENOMEM;
    for (size_t i = 0; i < r->n; i++)
        n[i] = r->p[i].n;
    qsort(n, r->n, sizeof *n, by_length);
    ft_result_int(o, "shortest_row", r->n ? n[0] : 0);
    ft_result_int(o, "median_row", r->n ? n[r->n / 2] : 0);
    ft_result_int(o, "longest_row", r->n ? n[r->n - 1] : 0);
    ft_free(n);
    return FT_OK;
}

static ft_status put_summary(json_t *o, const char *key, const ft_rows *r)
{
    json_t *s = ft_result_object(o, key);
    ft_result_int(s, "rows", (int64_t)r->n);
    ft_result_int(s, "tokens", r->tokens);
    ft_result_int(s, "supervised_tokens", r->supervised);
    ft_result_int(s, "dropped", r->dropped);
    ft_result_int(s, "truncated", r->truncated);
    ft_result_int(s, "merged_border", r->merged_border);
    return put_lengths(s, r);
}

static ft_status put_json_rows(const preview *v, json_t *o, size_t n)
{
    json_t *list = ft_result_list(o, "rows");
    for (size_t i = 0; i < n; i++) {
        char place[512];
        ft_buf text = {0};
        const ft_row *r = &v->rows->p[i];
        json_t *row = ft_result_row(list), *ids, *mask;
        ft_status st = put_span(&text, v->job->tok, r, 0, r->n);
        if (st != FT_OK) {
            ft_buf_free(&text);
            return st;
        }
        ft_result_text(row, "place", ft_example_place(v->data, &v->data->examples[r->example], place));
        ft_result_str(row, "text", (ft_str){text.p, text.n});
        ids = ft_result_list(row, "ids");
        mask = ft_result_list(row, "mask");
        for (int32_t k = 0; k < r->n; k++) {
            json_array_append_new(ids, json_integer(r->ids[k]));
            json_array_append_new(mask, json_integer(r->mask[k]));
        }
        ft_buf_free(&text);
    }
    return FT_OK;
}

static ft_status show(const preview *v)
{
    size_t n = FT_MIN((size_t)ft_args_int(v->args, "rows"), v->rows->n);
    bool json = ft_args_given(v->args, "json");
    json_t *o = json_object();
    ft_buf out = {0};
    ft_status st = FT_OK;
    json_t *formats = ft_result_object(o, "row_formats");
    for (size_t i = 0; i < v->data->n_files; i++)
        ft_result_text(formats, v->data->files[i], v->data->formats[i]);
    ft_result_text(o, "chat_template", v->job->chat ? ft_chat_template_name(v->job->chat) : NULL);
    FT_TRY(put_summary(o, "train", &v->job->train_rows));
    if (v->job->val_rows.n)
        FT_TRY(put_summary(o, "val", &v->job->val_rows));
    if (v->job->test_rows.n)
        FT_TRY(put_summary(o, "test", &v->job->test_rows));
    ft_labeling_put(o, &v->job->labeling, json ? FT_MAX_LABELS : MOST_LABELS);
    if (json)
        FT_TRY(put_json_rows(v, o, n));
    for (size_t i = 0; !json && i < n; i++)
        FT_TRY(put_row(&out, v, i));
    if (!json)
        FT_TRY(ft_buf_putc(&out, '\n'));
    FT_TRY(ft_put(&out));
    st = ft_result_print(v->args, o);
    o = NULL;
done:
    json_decref(o);
    ft_buf_free(&out);
    return st;
}

static const char *choice_split(size_t i)
{
    static const char *const names[] = {"train", "val", "test", NULL};
    return names[i];
}

static ft_status choose_split(preview *v, const ft_job *j)
{
    const char *name = ft_args_text(v->args, "split");
    if (strcmp(name, "val") == 0) {
        v->data = &j->val;
        v->rows = &j->val_rows;
    } else if (strcmp(name, "test") == 0) {
        v->data = &j->test;
        v->rows = &j->test_rows;
    }
    return v->rows->n ? FT_OK : ft_fail(FT_EINPUT, "--split: the recipe has no %s rows", name);
}

static ft_status run(const ft_args *a)
{
    ft_job j = {.meter = ft_meter_new(false, false)};
    preview v = {.args = a, .job = &j, .data = &j.train, .rows = &j.train_rows};
    ft_status st = FT_OK;
    FT_TRY(ft_job_open(&j, a));
    FT_TRY(ft_job_data(&j));
    FT_TRY(ft_job_model(&j, false));
    FT_TRY(ft_job_rows(&j));
    FT_TRY(choose_split(&v, &j));
    st = show(&v);
done:
    ft_job_close(&j);
    return st;
}

static const ft_cmd_option options[] = {
    {"RECIPE", FT_ARG_FILE, .positional = true, .required = true, .help = "a recipe file (YAML)"},
    {"rows", FT_ARG_INT, .argument = "N", .fallback = "3", .min = 0, .max = 1e9, .help = "rows to show"},
    {"split", FT_ARG_NAME, .argument = "NAME", .fallback = "train", .choice = choice_split,
     .help = "whose rows to show"},
    {"tokens", FT_ARG_FLAG, .help = "a line for every token: position, id, * where it is supervised, piece"},
    {"set", FT_ARG_TEXT, .argument = "KEY=VALUE", .repeats = true, .help = "set a key of the recipe"},
    {"json", FT_ARG_FLAG, .help = "print one JSON object with ids and masks"},
    {0}};

const ft_cmd ft_cmd_preview = {
    .name = "preview",
    .summary = "show rows as the model will see them, supervised tokens marked",
    .about = "Reads the recipe's data as train does (format, lint, split, template, tokenizer) and prints the first "
             "rows with what is supervised between ⟦ and ⟧ (coloured on a terminal), and how many tokens there are in "
             "all. Rows for vectors are shown a text a line.",
    .options = options,
    .example = "fettle preview recipes/defects-lora.yaml --rows 1 --tokens",
    .run = run};
