/* The loss pass: rows end to end, sorted by length, as many as fit into tokens_per_batch, without records.
 *
 * The last token of a row predicts nothing, so a row of n tokens is a segment of n - 1. Position i has the target
 * ids[i + 1] where mask[i + 1] is set, else -1; where it pays, the targets are those of the positions that are read. Rows of
 * one token sort last and make no segment. Memory: one batch of ids, targets and segments, and the tape's step.
 */
#include "score/passes.h"

#include <math.h>

enum { DEFAULT_BATCH_TOKENS = 1024 };

typedef struct batch {
    int32_t *ids, *targets, *argmax; /* [cap] */
    int64_t *read;                   /* [cap] */
    int64_t *start;                  /* [rows + 1] */
    int64_t n, cap;                  /* tokens in it, room */
    int64_t segments, supervised;
    ft_score__divergence *divergence; /* NULL: not measured */
} batch;

static int64_t segment_tokens(const ft_row *r)
{
    return r->n > 1 ? r->n - 1 : 0;
}

static void add_row(batch *b, const ft_row *r)
{
    int64_t tokens;
    b->supervised += ft_row_targets(r, b->ids + b->n, b->targets + b->n, &tokens);
    b->n += tokens;
    if (tokens)
        b->start[++b->segments] = b->n;
}

static ft_status run_batch(ft_loss *sum, ft_model *m, ft_tape *tape, batch *b)
{
    if (!b->supervised)
        return FT_OK;
    ft_tape_begin(tape, false, 0, 0);
    ft_segments seg = {.n = b->segments, .start = b->start};
    ft_model_read_targets(&seg, b->read, b->targets);
    ft_var *x = ft_model_forward(m, tape, b->ids, b->n, &seg, NULL, 0);
    if (!x)
        return ft_tape_status(tape);
    ft_loss of_batch = {.argmax = b->argmax};
    FT_RETURN(ft_op_head_loss(tape, x, ft_model_head(m), b->targets, ft_model_softcap(m), 1, &of_batch));
    sum->sum += of_batch.sum;
    sum->count += of_batch.count;
    sum->correct += of_batch.correct;
    if (!isfinite(sum->sum))
        return ft_fail(FT_ENUMERIC, "the loss is %g: the weights or the activations are not finite", sum->sum);
    return b->divergence ? ft_score__divergence_add(b->divergence, m, tape, x, b->ids, b->targets, &seg) : FT_OK;
}

/* place[row] = supervised tokens of the rows before it. */
static void number_places(int64_t *place, const ft_rows *rows, size_t n)
{
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        place[i] = at;
        at += ft_row_supervised(&rows->p[i]);
    }
}

/* The batch's choices, row after row, to where each row's belong. */
static void scatter(int32_t *out, const int64_t *place, const batch *b, const ft_rows *rows, const int64_t *order)
{
    const int32_t *from = b->argmax;
    for (int64_t s = 0; s < b->segments; s++) {
        const ft_row *r = &rows->p[order[s]];
        int32_t *to = out + place[order[s]];
        for (int32_t k = 1; k < r->n; k++)
            if (r->mask[k])
                *to++ = *from++;
    }
}

static ft_status make_room(batch *b, const ft_rows *rows, size_t n, const ft_score_options *o)
{
    b->cap = o->tokens_per_batch > 0 ? o->tokens_per_batch : DEFAULT_BATCH_TOKENS;
    for (size_t i = 0; i < n; i++)
        b->cap = FT_MAX(b->cap, segment_tokens(&rows->p[i]));
    b->ids = ft_alloc((size_t)b->cap, sizeof *b->ids);
    b->targets = ft_alloc((size_t)b->cap, sizeof *b->targets);
    b->argmax = ft_alloc((size_t)b->cap, sizeof *b->argmax);
    b->read = ft_alloc((size_t)b->cap, sizeof *b->read);
    b->start = ft_alloc(n + 1, sizeof *b->start);
    return b->ids && b->targets && b->argmax && b->read && b->start ? FT_OK : FT_ENOMEM;
}

static void batch_free(batch *b)
{
    ft_free(b->ids);
    ft_free(b->targets);
    ft_free(b->argmax);
    ft_free(b->read);
    ft_free(b->start);
}

ft_status ft_score__loss(ft_loss *sum, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o)
{
    ft_score__clock clock = {.options = o, .what = "loss", .total = n};
    ft_score__divergence divergence = {0};
    batch b = {0};
    ft_tape *tape = NULL;
    ft_status st = FT_OK;
    int64_t *order = ft_alloc(n, sizeof *order), *place = ft_alloc(n, sizeof *place);
    if (!order || !place) {
        st = FT_ENOMEM;
        goto done;
    }
    FT_TRY(make_room(&b, rows, n, o));
    FT_TRY(ft_tape_new(&tape));
    if (o->kl) {
        b.divergence = &divergence;
        FT_TRY(ft_score__divergence_open(&divergence, o->reference, m, b.cap));
    }
    ft_score__by_length(order, rows, n);
    number_places(place, rows, n);
    for (size_t i = 0, first = 0; i < n; first = i) {
        FT_TRY(ft_score__tick(&clock, i));
        b.n = b.segments = b.supervised = 0;
        while (i < n && b.n + segment_tokens(&rows->p[order[i]]) <= b.cap)
            add_row(&b, &rows->p[order[i++]]);
        FT_TRY(run_batch(sum, m, tape, &b));
        if (o->argmax)
            scatter(o->argmax, place, &b, rows, order + first);
    }
    if (o->kl)
        *o->kl = divergence.sum / (double)sum->count;
    st = ft_score__tick(&clock, n);
done:
    ft_score__divergence_close(&divergence);
    ft_tape_free(tape);
    ft_free(order);
    ft_free(place);
    batch_free(&b);
    return st;
}

ft_status ft_score__measure_loss(size_t *bytes, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o)
{
    batch b = {0};
    ft_tape *tape = NULL;
    ft_loss sum = {0};
    ft_status st = FT_OK;
    int64_t *order = ft_alloc(n, sizeof *order);
    if (!order)
        return FT_ENOMEM;
    FT_TRY(make_room(&b, rows, n, o));
    FT_TRY(ft_tape_new(&tape));
    ft_tape_dry(tape, true);
    ft_score__by_length(order, rows, n);
    for (size_t i = 0; i < n && b.n + segment_tokens(&rows->p[order[i]]) <= b.cap; i++)
        add_row(&b, &rows->p[order[i]]);
    FT_TRY(run_batch(&sum, m, tape, &b));
    ft_tape_stats t = ft_tape_stats_of(tape);
    *bytes = t.peak_bytes + t.table_bytes;
done:
    ft_tape_free(tape);
    ft_free(order);
    batch_free(&b);
    return st;
}
