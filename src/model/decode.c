/* Decoding with a KV cache, many rows at once.
 *
 * The cache has slots; a row holds one from its first prompt token to its last. A step feeds every row that is past its
 * prompt its newest token, and then as much of the prompts of the others as max_tokens_at_once allows; rows whose
 * prompt is complete after the step get a token from their last logits. A finished row hands its slot to the next
 * request, so the batch stays full until the requests run out. Under longrope a row that grows past the original length
 * is fed anew: all its keys turn by other frequencies then.
 *
 * Memory: [layers] x 2 x [slots, K, capacity, D] floats, capacity = the longest prompt + max_new; the activations of one
 * block of one step; logits of LOGIT_ROWS rows.
 */
#include "model/arch.h"

#include "base/os.h"
#include "base/threads.h"

#include <math.h>

enum { DEFAULT_ROWS = 64, DEFAULT_TOKENS = 2048, LOGIT_ROWS = 32 };

typedef struct slot {
    ft_decode_request *r; /* NULL: free */
    size_t row;           /* number of the request */
    int64_t fed;          /* tokens of the row that stand in the cache */
} slot;

typedef struct decoder {
    ft_model *m;
    const ft_decode_options *o;
    ft_decode_request *requests;
    size_t n, next; /* next request to get a slot */
    ft_tape *tape;
    ft_kv *kv;   /* [L] */
    slot *slots; /* [n_slots] */
    int64_t n_slots, capacity, budget;
    bool dry; /* no cache is held */
    /* the step */
    int32_t *ids;                              /* [n_slots + budget] */
    int64_t *start, *past, *at, *total, *last; /* [n_slots + 1], [n_slots] ...: segments; last token of rows that get a
                                                  new one */
    slot **asking;                             /* [n_slots] the rows that get a new token */
    int64_t segments, tokens, asked;
    int32_t chosen[LOGIT_ROWS];
} decoder;

/* ---- set-up ---- */

/* Tokens a row may have in all; beyond max_position_embeddings a model was never trained to go. */
static int64_t room_of(const decoder *d, const ft_decode_request *r)
{
    int64_t max = d->m->config.max_position_embeddings;
    return r->max_new > max - r->n ? max : r->n + r->max_new;
}

static ft_status check_requests(decoder *d)
{
    int64_t max = d->m->config.max_position_embeddings;
    for (size_t i = 0; i < d->n; i++) {
        ft_decode_request *r = &d->requests[i];
        r->made = 0;
        r->stopped = false;
        if (r->n < 1)
            return ft_fail(FT_EINPUT, "row %zu: an empty prompt cannot be continued", i + 1);
        if (r->max_new < 0)
            return ft_fail(FT_EINPUT, "row %zu: %lld new tokens were asked for", i + 1, (long long)r->max_new);
        if (r->n >= max && r->max_new)
            return ft_fail(FT_EINPUT,
                           "row %zu: the prompt has %lld tokens, the model %lld positions (max_position_embeddings): "
                           "no room for an answer",
                           i + 1, (long long)r->n, (long long)max);
        d->capacity = FT_MAX(d->capacity, room_of(d, r));
    }
    return FT_OK;
}

static ft_status set_up(decoder *d)
{
    FT_RETURN(check_requests(d));
    d->n_slots = d->o->max_rows > 0 ? d->o->max_rows : ft_model_cache_slots(d->m, d->capacity, DEFAULT_ROWS);
    d->n_slots = FT_MIN(d->n_slots, (int64_t)d->n);
    d->budget = d->o->max_tokens_at_once > 0 ? d->o->max_tokens_at_once : DEFAULT_TOKENS;
    FT_RETURN(ft_model_cache_new(&d->kv, d->m, d->n_slots, d->capacity, d->dry));
    size_t n = (size_t)d->n_slots;
    d->slots = ft_alloc(n, sizeof *d->slots);
    d->asking = ft_alloc(n, sizeof *d->asking);
    d->ids = ft_alloc(n + (size_t)d->budget, sizeof *d->ids);
    d->start = ft_alloc(n + 1, sizeof *d->start);
    d->past = ft_alloc(n, sizeof *d->past);
    d->at = ft_alloc(n, sizeof *d->at);
    d->total = ft_alloc(n, sizeof *d->total);
    d->last = ft_alloc(n, sizeof *d->last);
    if (!d->slots || !d->asking || !d->ids || !d->start || !d->past || !d->at || !d->total || !d->last)
        return FT_ENOMEM;
    return ft_tape_new(&d->tape);
}

static void tear_down(decoder *d)
{
    ft_model_cache_free(d->kv, d->m);
    ft_free(d->slots);
    ft_free(d->asking);
    ft_free(d->ids);
    ft_free(d->start);
    ft_free(d->past);
    ft_free(d->at);
    ft_free(d->total);
    ft_free(d->last);
    ft_tape_free(d->tape);
}

/* ---- one step ---- */

static void fill_slots(decoder *d)
{
    for (int64_t i = 0; i < d->n_slots; i++) {
        while (!d->slots[i].r && d->next < d->n) {
            ft_decode_request *r = &d->requests[d->next];
            if (r->max_new > 0)
                d->slots[i] = (slot){.r = r, .row = d->next};
            d->next++;
        }
    }
}

/* Tokens of the slot's row so far. */
static int64_t known(const slot *s)
{
    return s->r->n + s->r->made;
}

/* A segment of the n tokens that follow what stands in the cache. */
static void feed(decoder *d, slot *s, int64_t n)
{
    const ft_decode_request *r = s->r;
    d->start[d->segments] = d->tokens;
    d->past[d->segments] = s->fed;
    d->at[d->segments] = s - d->slots;
    d->total[d->segments] = known(s);
    for (int64_t i = s->fed; i < s->fed + n; i++)
        d->ids[d->tokens++] = i < r->n ? r->prompt[i] : r->out[i - r->n];
    s->fed += n;
    d->start[++d->segments] = d->tokens;
    if (s->fed == known(s)) {
        d->last[d->asked] = d->tokens - 1;
        d->asking[d->asked++] = s;
    }
}

/* False: nothing left to do. */
static bool plan_step(decoder *d)
{
    int64_t left = d->budget;
    d->segments = d->tokens = d->asked = 0;
    fill_slots(d);
    for (int64_t i = 0; i < d->n_slots; i++)
        if (d->slots[i].r && d->slots[i].fed && d->slots[i].fed + 1 == known(&d->slots[i]))
            feed(d, &d->slots[i], 1);
    for (int64_t i = 0; i < d->n_slots && left; i++) {
        slot *s = &d->slots[i];
        if (!s->r || s->fed == known(s))
            continue;
        int64_t n = FT_MIN(left, known(s) - s->fed);
        feed(d, s, n);
        left -= n;
    }
    return d->tokens > 0;
}

typedef struct choice {
    decoder *d;
    float *logits; /* [rows, V] */
    int64_t first; /* of d->asking */
} choice;

static void choose_one(void *ctx, int64_t i)
{
    const choice *c = ctx;
    int64_t vocab = c->d->m->config.vocab_size;
    const slot *s = c->d->asking[c->first + i];
    float *x = c->logits + i * vocab;
    bool finite = true;
    for (int64_t k = 0; k < vocab; k++)
        finite &= isfinite(x[k]) != 0;
    c->d->chosen[i] = finite ? ft_sample(x, vocab, &c->d->o->sampling, (uint64_t)s->r->made, (uint64_t)s->row) : -1;
}

static bool is_stop(const ft_decode_options *o, int32_t id)
{
    for (size_t i = 0; i < o->n_stops; i++)
        if (o->stops[i] == id)
            return true;
    return false;
}

static ft_status take(decoder *d, slot *s, int32_t id)
{
    ft_decode_request *r = s->r;
    if (id < 0)
        return ft_fail(FT_ENUMERIC, "row %zu: the logits after %lld tokens are not finite", s->row + 1,
                       (long long)s->fed);
    r->out[r->made++] = id;
    r->stopped = is_stop(d->o, id);
    bool more = !d->o->on_token || d->o->on_token(d->o->ctx, s->row, id);
    if (r->stopped || !more || r->n + r->made >= room_of(d, r))
        s->r = NULL;
    else if (d->m->rope.inv_freq_beyond && known(s) == d->m->rope.beyond + 1)
        s->fed = 0;
    return FT_OK;
}

/* The hidden states of the step's tokens that ask. */
static ft_var *forward(decoder *d)
{
    ft_segments seg = {.n = d->segments,
                       .start = d->start,
                       .past = d->past,
                       .slot = d->at,
                       .total = d->total};
    return ft_model_forward_cached(d->m, d->tape, d->ids, d->tokens, &seg, d->kv, d->last, d->asked);
}

/* New tokens from the hidden states of the rows that ask, a few rows of logits at a time. */
static ft_status choose(decoder *d, ft_var *hidden)
{
    for (int64_t i = 0; i < d->asked; i += LOGIT_ROWS) {
        int64_t n = FT_MIN((int64_t)LOGIT_ROWS, d->asked - i);
        ft_tape_mark mark = ft_tape_now(d->tape);
        const ft_var *x = ft_model_logits(d->m, d->tape, hidden, i, n);
        if (!x)
            return ft_tape_status(d->tape);
        ft_parallel(n, choose_one, &(choice){.d = d, .logits = x->v, .first = i});
        ft_tape_rewind(d->tape, mark, NULL);
        for (int64_t k = 0; k < n; k++)
            FT_RETURN(take(d, d->asking[i + k], d->chosen[k]));
    }
    return FT_OK;
}

static ft_status run_step(decoder *d)
{
    ft_var *hidden = forward(d);
    return hidden ? choose(d, hidden) : ft_tape_status(d->tape);
}

ft_status ft_decode(ft_model *m, ft_decode_request *requests, size_t n, const ft_decode_options *o)
{
    decoder d = {.m = m, .o = o, .requests = requests, .n = n};
    ft_status st = FT_OK;
    if (!n)
        return FT_OK;
    FT_TRY(ft_model_check_head(m));
    FT_TRY(set_up(&d));
    while (plan_step(&d)) {
        if (ft_stop_requested()) {
            st = ft_fail(FT_ESTOPPED, "stopped by a signal while decoding");
            goto done;
        }
        FT_TRY(run_step(&d));
    }
done:
    tear_down(&d);
    return st;
}

/* The first step has the most tokens: prompts are read before anything is made behind them. */
static ft_status dry_step(decoder *d)
{
    ft_tape_dry(d->tape, true);
    if (!plan_step(d))
        return FT_OK;
    ft_var *hidden = forward(d);
    if (hidden && d->asked)
        ft_model_logits(d->m, d->tape, hidden, 0, FT_MIN((int64_t)LOGIT_ROWS, d->asked));
    return ft_tape_status(d->tape);
}

ft_status ft_decode_measure(size_t *bytes, ft_model *m, ft_decode_request *requests, size_t n,
                            const ft_decode_options *o)
{
    decoder d = {.m = m, .o = o, .requests = requests, .n = n, .dry = true};
    ft_status st = FT_OK;
    *bytes = 0;
    if (!n)
        return FT_OK;
    FT_TRY(set_up(&d));
    FT_TRY(dry_step(&d));
    ft_tape_stats t = ft_tape_stats_of(d.tape);
    *bytes = ft_model_cache_bytes(m, d.n_slots, d.capacity) + t.peak_bytes + t.table_bytes;
done:
    tear_down(&d);
    return st;
}
