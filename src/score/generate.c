/* The generation pass: every row's prompt is continued greedily until a stop token or max_new_tokens, and the text is
 * what the metrics compare with the row's answer.
 *
 * Requests are handed over longest first, so that the rows decoded together are alike; results go back by row number.
 * Memory: n * max_new_tokens ids and the text.
 */
#include "score/metrics.h"
#include "score/passes.h"

typedef struct pass {
    const ft_tokenizer *tok;
    ft_score__clock clock;
    ft_decode_request *requests; /* [n], in decoding order */
    int64_t *order;              /* [n]: row of a request */
    int64_t *made;               /* [n]: tokens of a request so far */
    int32_t *ids;                /* [n * max_new] */
    int64_t max_new;
    size_t n, finished;
    ft_status stopped; /* FT_ESTOPPED once the caller wants to stop */
} pass;

static int64_t answer_tokens(const ft_row *r)
{
    int64_t n = 0;
    for (int32_t i = r->prompt_n; i < r->n; i++)
        n += r->mask[i] != 0;
    return n;
}

ft_status ft_score__check_answers(const ft_rows *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (rows->p[i].prompt_n <= 0 || !rows->p[i].answer.n)
            return ft_fail(FT_EINPUT, "row %zu has no prompt with an answer: generated text cannot be compared; "
                                      "ask for loss metrics only", i + 1);
    return FT_OK;
}

static ft_status make_requests(pass *p, const ft_rows *rows, const ft_score_options *o)
{
    p->max_new = o->max_new_tokens;
    for (size_t i = 0; i < p->n && !o->max_new_tokens; i++)
        p->max_new = FT_MAX(p->max_new, 2 * answer_tokens(&rows->p[i]) + 8);
    size_t ids;
    if (!ft_mul(p->n, (size_t)p->max_new, &ids))
        return ft_fail(FT_EINPUT, "max_new_tokens %lld for %zu rows is too much", (long long)p->max_new, p->n);
    p->requests = ft_alloc(p->n, sizeof *p->requests);
    p->order = ft_alloc(p->n, sizeof *p->order);
    p->made = ft_alloc(p->n, sizeof *p->made);
    p->ids = ft_alloc(ids, sizeof *p->ids);
    if (!p->requests || !p->order || !p->made || !p->ids)
        return FT_ENOMEM;
    ft_score__by_length(p->order, rows, p->n);
    for (size_t i = 0; i < p->n; i++) {
        const ft_row *r = &rows->p[p->order[i]];
        p->requests[i] = (ft_decode_request){
            .prompt = r->ids, .n = r->prompt_n, .out = p->ids + (int64_t)i * p->max_new, .max_new = p->max_new};
    }
    return FT_OK;
}

static bool on_token(void *ctx, size_t request, int32_t id)
{
    pass *p = ctx;
    p->made[request]++;
    if (p->made[request] == p->max_new || ft_tokenizer_is_stop(p->tok, id))
        p->finished++;
    if (p->stopped == FT_OK)
        p->stopped = ft_score__tick(&p->clock, FT_MIN(p->finished, p->n - 1));
    return p->stopped == FT_OK;
}

static ft_status decode(pass *p, ft_model *m)
{
    ft_decode_options d = {.sampling = {.top_p = 1}, .on_token = on_token, .ctx = p};
    d.stops = ft_tokenizer_stops(p->tok, &d.n_stops);
    FT_RETURN(ft_score__tick(&p->clock, 0));
    FT_RETURN(ft_decode(m, p->requests, p->n, &d));
    FT_RETURN(p->stopped);
    return ft_score__tick(&p->clock, p->n);
}

/* The text of every request, end to end in decoding order; views are set once the buffer no longer moves. */
static ft_status to_text(ft_score__texts *out, const pass *p, const ft_rows *rows)
{
    for (size_t i = 0; i < p->n; i++) {
        const ft_decode_request *q = &p->requests[i];
        ft_scored_text *t = &out->rows[p->order[i]];
        size_t at = out->bytes.n, ids = (size_t)(q->made - (q->stopped ? 1 : 0));
        FT_RETURN(ft_tokenizer_decode(p->tok, q->out, ids, true, false, &out->bytes));
        t->expected = ft_text_trim(rows->p[p->order[i]].answer);
        t->got.n = out->bytes.n - at;
        t->stopped = q->stopped;
        out->tokens += q->made;
    }
    for (size_t i = 0, at = 0; i < p->n; i++) {
        ft_str *got = &out->rows[p->order[i]].got;
        size_t n = got->n;
        *got = ft_text_trim((ft_str){out->bytes.p ? out->bytes.p + at : "", n});
        at += n;
    }
    return FT_OK;
}

static void pass_free(pass *p)
{
    ft_free(p->requests);
    ft_free(p->order);
    ft_free(p->made);
    ft_free(p->ids);
}

ft_status ft_score__generate(ft_score__texts *out, ft_model *m, const ft_tokenizer *tok, const ft_rows *rows, size_t n,
                             const ft_score_options *o)
{
    pass p = {.tok = tok, .n = n, .clock = {.options = o, .what = "generate", .total = n}};
    ft_status st = FT_OK;
    FT_TRY(ft_score__check_answers(rows, n));
    FT_TRY(make_requests(&p, rows, o));
    FT_TRY(decode(&p, m));
    if (!(out->rows = ft_alloc(n, sizeof *out->rows))) {
        st = FT_ENOMEM;
        goto done;
    }
    FT_TRY(to_text(out, &p, rows));
done:
    pass_free(&p);
    return st;
}

void ft_score__texts_free(ft_score__texts *t)
{
    ft_free(t->rows);
    ft_free(t->labels);
    ft_buf_free(&t->bytes);
    *t = (ft_score__texts){0};
}

ft_status ft_score__measure_generate(size_t *bytes, ft_model *m, const ft_rows *rows, size_t n,
                                     const ft_score_options *o)
{
    pass p = {.n = n};
    ft_decode_options d = {.sampling = {.top_p = 1}};
    ft_status st = FT_OK;
    FT_TRY(ft_score__check_answers(rows, n));
    FT_TRY(make_requests(&p, rows, o));
    FT_TRY(ft_decode_measure(bytes, m, p.requests, n, &d));
    *bytes += n * ((size_t)p.max_new * sizeof *p.ids + sizeof *p.requests);
done:
    pass_free(&p);
    return st;
}
