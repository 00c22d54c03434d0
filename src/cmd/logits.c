/* Token ids in, logits out.
 *
 *   in:   one row a line, ids with blanks or commas between; brackets of JSON lists are passed over; empty lines are
 * skipped out:  safetensors, F32 tensors row0, row1 ... [tokens of the row, vocab]
 *
 * The rows are kept (4 bytes an id); logits are made CHUNK tokens at a time and written at once.
 */
#include "cmd/logits.h"
#include "cmd/opened.h"
#include "cmd/progress.h"
#include "file/lines.h"

#include <ctype.h>

enum { CHUNK = 64, MAX_ROWS = 1 << 20 };

typedef struct id_rows {
    ft_ids ids;    /* all rows, end to end */
    size_t *start; /* [n + 1] */
    size_t n, cap;
} id_rows;

static void id_rows_free(id_rows *r)
{
    ft_ids_free(&r->ids);
    ft_free(r->start);
}

static ft_status end_row(id_rows *r)
{
    if (r->n + 2 > r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 64;
        size_t *start = ft_resize(r->start, cap, sizeof *start);
        if (!start)
            return FT_ENOMEM;
        r->start = start;
        r->cap = cap;
        start[0] = 0;
    }
    if (r->n == MAX_ROWS)
        return ft_fail(FT_EINPUT, "more than %d rows", MAX_ROWS);
    r->start[++r->n] = r->ids.n;
    return FT_OK;
}

static bool separates(char c)
{
    return isspace((unsigned char)c) || c == ',' || c == '[' || c == ']';
}

static ft_status read_line(id_rows *r, ft_str line, const char *path, int64_t number, int64_t vocab)
{
    size_t before = r->ids.n;
    for (size_t i = 0; i < line.n;) {
        char word[24];
        int64_t id;
        size_t n = 0;
        while (i < line.n && separates(line.p[i]))
            i++;
        while (i + n < line.n && !separates(line.p[i + n]))
            n++;
        if (n == 0)
            break;
        snprintf(word, sizeof word, "%.*s", (int)FT_MIN(n, sizeof word - 1), line.p + i);
        if (!ft_parse_i64(word, &id) || id < 0 || id >= vocab)
            return ft_fail(FT_EINPUT, "%s:%lld: found %s, expected token ids from 0 to %lld", path, (long long)number,
                           word, (long long)vocab - 1);
        FT_RETURN(ft_ids_put(&r->ids, (int32_t)id));
        i += n;
    }
    return r->ids.n > before ? end_row(r) : FT_OK;
}

static ft_status read_rows(id_rows *r, const char *path, int64_t vocab)
{
    ft_lines *lines = NULL;
    ft_str line;
    bool more = true;
    ft_status st = FT_OK;
    FT_TRY(ft_lines_open(&lines, path));
    while ((st = ft_lines_next(lines, &line, &more)) == FT_OK && more)
        FT_TRY(read_line(r, line, path, ft_lines_number(lines), vocab));
    if (st == FT_OK && r->n == 0)
        st = ft_fail(FT_EINPUT, "%s: no token ids", path);
done:
    ft_lines_close(lines);
    return st;
}

static ft_status declare(ft_writer *w, const id_rows *r, int64_t vocab)
{
    char name[32];
    for (size_t i = 0; i < r->n; i++) {
        int64_t shape[2] = {(int64_t)(r->start[i + 1] - r->start[i]), vocab};
        snprintf(name, sizeof name, "row%zu", i);
        FT_RETURN(ft_writer_tensor(w, name, &ft_f32, 2, shape));
    }
    return FT_OK;
}

/* One row through the model; its logits to the writer. */
static ft_status write_row(ft_model *m, ft_tape *t, const int32_t *ids, int64_t n, ft_writer *w)
{
    int64_t start[2] = {0, n}, index[CHUNK], vocab = ft_model_config(m)->vocab_size;
    const ft_segments seg = {.n = 1, .start = start};
    ft_tape_begin(t, false, 0, 0);
    ft_var *x = ft_model_forward(m, t, ids, n, &seg, NULL, 0);
    if (!x)
        return ft_tape_status(t);
    ft_tape_mark mark = ft_tape_now(t);
    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t k = FT_MIN((int64_t)CHUNK, n - at);
        for (int64_t i = 0; i < k; i++)
            index[i] = at + i;
        ft_var *y = ft_op_logits(t, ft_op_rows(t, x, index, k), ft_model_head(m), ft_model_softcap(m));
        if (!y)
            return ft_tape_status(t);
        FT_RETURN(ft_writer_data(w, y->v, (size_t)(k * vocab) * sizeof *y->v));
        ft_tape_rewind(t, mark, NULL);
    }
    return FT_OK;
}

static ft_status write_all(const ft_args *a, ft_model *m, const id_rows *r)
{
    ft_writer *w = NULL;
    ft_tape *t = NULL;
    ft_meter meter = ft_meter_new(false, false);
    ft_status st = FT_OK;
    FT_TRY(ft_writer_open(&w, "safetensors", ft_args_text(a, "logits")));
    FT_TRY(declare(w, r, ft_model_config(m)->vocab_size));
    FT_TRY(ft_tape_new(&t));
    for (size_t i = 0; i < r->n; i++) {
        FT_TRY(write_row(m, t, r->ids.p + r->start[i], (int64_t)(r->start[i + 1] - r->start[i]), w));
        ft_meter_part(&meter, "logits", i + 1, r->n);
    }
    st = ft_writer_commit(w);
    w = NULL;
done:
    ft_writer_abort(w);
    ft_tape_free(t);
    return st;
}

ft_status ft_logits_write(const ft_args *a)
{
    ft_model *m = NULL;
    id_rows r = {0};
    json_t *o;
    ft_status st = FT_OK;
    FT_TRY(ft_opened_model(&m, a));
    FT_TRY(ft_model_check_head(m));
    FT_TRY(read_rows(&r, ft_args_text(a, "token-ids"), ft_model_config(m)->vocab_size));
    FT_TRY(write_all(a, m, &r));
    o = json_object();
    ft_result_text(o, "logits", ft_args_text(a, "logits"));
    ft_result_int(o, "rows", (int64_t)r.n);
    ft_result_int(o, "tokens", (int64_t)r.ids.n);
    ft_result_int(o, "vocab_size", ft_model_config(m)->vocab_size);
    st = ft_result_print(a, o);
done:
    id_rows_free(&r);
    ft_model_free(m);
    return st;
}
