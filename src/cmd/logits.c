/* Token ids in, their loss and the logits out.
 *
 *   in:   one row a line, ids with blanks or commas between; brackets of JSON lists are passed over; empty lines are
 *         skipped
 *   out:  the loss of every token but the first of each row; safetensors, F32 tensors row0, row1 ... [tokens of the row,
 *         vocab]
 *
 * The rows are kept (4 bytes an id); logits are made CHUNK tokens at a time and written at once.
 */
#include "cmd/logits.h"
#include "cmd/opened.h"
#include "cmd/progress.h"
#include "file/lines.h"
#include "kernel/kernel.h"

#include <ctype.h>
#include <math.h>

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

/* What goes through the model, and what came of it. */
typedef struct pass {
    ft_model *model;
    ft_tape *tape;
    ft_writer *w; /* NULL: no logits are asked for */
    double nats;  /* of `tokens` tokens together */
    int64_t tokens;
} pass;

/* -log of the probability of a token; the logits are used up. */
static double nats_of(float *logits, int64_t vocab, int32_t id)
{
    const ft_kernels *k = ft_kernels_active();
    float top = k->max(logits, vocab), own = logits[id];
    return log(k->exp_sum(logits, logits, top, vocab)) - ((double)own - top);
}

/* `rows` of logits, behind the tokens before ids[0] .. ids[scored - 1]. */
static ft_status take_logits(pass *p, float *logits, int64_t rows, const int32_t *ids, int64_t scored)
{
    int64_t vocab = ft_model_config(p->model)->vocab_size;
    if (p->w)
        FT_RETURN(ft_writer_data(p->w, logits, (size_t)(rows * vocab) * sizeof *logits));
    for (int64_t i = 0; i < scored; i++)
        p->nats += nats_of(logits + i * vocab, vocab, ids[i]);
    p->tokens += scored;
    return FT_OK;
}

static ft_status pass_row(pass *p, const int32_t *ids, int64_t n)
{
    ft_tape *t = p->tape;
    int64_t start[2] = {0, n};
    const ft_segments seg = {.n = 1, .start = start};
    ft_tape_begin(t, false, 0, 0);
    ft_var *x = ft_model_forward(p->model, t, ids, n, &seg, NULL, 0);
    if (!x)
        return ft_tape_status(t);
    ft_tape_mark mark = ft_tape_now(t);
    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t k = FT_MIN((int64_t)CHUNK, n - at);
        const ft_var *y = ft_model_logits(p->model, t, x, at, k);
        if (!y)
            return ft_tape_status(t);
        FT_RETURN(take_logits(p, y->v, k, ids + at + 1, FT_MIN(k, n - 1 - at)));
        ft_tape_rewind(t, mark, NULL);
    }
    return FT_OK;
}

static ft_status pass_all(pass *p, const ft_args *a, const id_rows *r)
{
    ft_meter meter = ft_meter_new(false, false);
    ft_status st = FT_OK;
    if (ft_args_given(a, "logits")) {
        FT_TRY(ft_writer_open(&p->w, "safetensors", ft_args_text(a, "logits")));
        FT_TRY(declare(p->w, r, ft_model_config(p->model)->vocab_size));
    }
    FT_TRY(ft_tape_new(&p->tape));
    for (size_t i = 0; i < r->n; i++) {
        FT_TRY(pass_row(p, r->ids.p + r->start[i], (int64_t)(r->start[i + 1] - r->start[i])));
        ft_meter_part(&meter, "token ids", i + 1, r->n);
    }
    if (p->w) {
        st = ft_writer_commit(p->w);
        p->w = NULL;
    }
done:
    ft_writer_abort(p->w);
    ft_tape_free(p->tape);
    return st;
}

ft_status ft_logits_of_ids(const ft_args *a)
{
    pass p = {0};
    id_rows r = {0};
    json_t *o;
    ft_status st = FT_OK;
    FT_TRY(ft_opened_model(&p.model, a));
    FT_TRY(ft_model_check_head(p.model));
    FT_TRY(read_rows(&r, ft_args_text(a, "token-ids"), ft_model_config(p.model)->vocab_size));
    FT_TRY(pass_all(&p, a, &r));
    o = json_object();
    if (ft_args_given(a, "logits"))
        ft_result_text(o, "logits", ft_args_text(a, "logits"));
    ft_result_int(o, "rows", (int64_t)r.n);
    ft_result_int(o, "tokens", (int64_t)r.ids.n);
    ft_result_int(o, "vocab_size", ft_model_config(p.model)->vocab_size);
    if (p.tokens) {
        ft_result_real(o, "loss", p.nats / (double)p.tokens);
        ft_result_real(o, "perplexity", exp(p.nats / (double)p.tokens));
    }
    st = ft_result_print(a, o);
done:
    id_rows_free(&r);
    ft_model_free(p.model);
    return st;
}
