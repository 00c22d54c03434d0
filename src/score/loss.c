/* The loss pass: rows end to end, sorted by length, as many as fit into tokens_per_batch, without records.
 *
 * The last token of a row predicts nothing, so a row of n tokens is a segment of n - 1. Position i has the target
 * ids[i + 1] where mask[i + 1] is set, else -1. Memory: one batch of ids, targets and segments, and the tape's step.
 */
#include "score/passes.h"

#include <math.h>

enum { DEFAULT_BATCH_TOKENS = 4096 };

typedef struct batch {
    int32_t *ids, *targets; /* [cap] */
    int64_t *start;         /* [rows + 1] */
    int64_t n, cap;         /* tokens in it, room */
    int64_t segments, supervised;
} batch;

static int64_t segment_tokens(const ft_row *r)
{
    return r->n > 1 ? r->n - 1 : 0;
}

static void add_row(batch *b, const ft_row *r)
{
    for (int64_t i = 0; i < segment_tokens(r); i++) {
        b->ids[b->n] = r->ids[i];
        b->targets[b->n] = r->mask[i + 1] ? r->ids[i + 1] : -1;
        b->supervised += r->mask[i + 1] != 0;
        b->n++;
    }
    b->start[++b->segments] = b->n;
}

static ft_status run_batch(ft_loss *sum, ft_model *m, ft_tape *tape, const batch *b)
{
    if (!b->supervised)
        return FT_OK;
    ft_tape_begin(tape, false, 0, 0);
    ft_segments seg = {.n = b->segments, .start = b->start};
    ft_var *x = ft_model_forward(m, tape, b->ids, b->n, &seg, NULL, false);
    if (!x)
        return ft_tape_status(tape);
    FT_RETURN(ft_op_head_loss(tape, x, ft_model_head(m), b->targets, ft_model_softcap(m), 1, sum));
    if (!isfinite(sum->sum))
        return ft_fail(FT_ENUMERIC, "the loss is %g: the weights or the activations are not finite", sum->sum);
    return FT_OK;
}

static ft_status make_room(batch *b, const ft_rows *rows, size_t n, const ft_score_options *o)
{
    b->cap = o->tokens_per_batch > 0 ? o->tokens_per_batch : DEFAULT_BATCH_TOKENS;
    for (size_t i = 0; i < n; i++)
        b->cap = FT_MAX(b->cap, segment_tokens(&rows->p[i]));
    b->ids = ft_alloc((size_t)b->cap, sizeof *b->ids);
    b->targets = ft_alloc((size_t)b->cap, sizeof *b->targets);
    b->start = ft_alloc(n + 1, sizeof *b->start);
    return b->ids && b->targets && b->start ? FT_OK : FT_ENOMEM;
}

ft_status ft_score__loss(ft_loss *sum, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o)
{
    ft_score__clock clock = {.options = o, .what = "loss", .total = n};
    batch b = {0};
    ft_tape *tape = NULL;
    ft_status st = FT_OK;
    int64_t *order = ft_alloc(n, sizeof *order);
    if (!order) {
        st = FT_ENOMEM;
        goto done;
    }
    FT_TRY(make_room(&b, rows, n, o));
    FT_TRY(ft_tape_new(&tape));
    ft_score__by_length(order, rows, n);
    for (size_t i = 0; i < n;) {
        FT_TRY(ft_score__tick(&clock, i));
        b.n = b.segments = b.supervised = 0;
        while (i < n && b.n + segment_tokens(&rows->p[order[i]]) <= b.cap)
            add_row(&b, &rows->p[order[i++]]);
        FT_TRY(run_batch(sum, m, tape, &b));
    }
    st = ft_score__tick(&clock, n);
done:
    ft_tape_free(tape);
    ft_free(order);
    ft_free(b.ids);
    ft_free(b.targets);
    ft_free(b.start);
    return st;
}
