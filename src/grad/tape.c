/* The tape: its life, the records, the walk backward.
 *
 * A gradient is lent by the pool when the first rule adds to it and given back as soon as the rule of the op that made
 * the variable has read it: nothing before that op can need it. Leaves keep theirs. Values that the pool lends go the same
 * way (values.c).
 */
#include "grad/tape.h"
#include "base/os.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FT_OP(name) &ft_grad__##name,
const ft_op *const ft_grad__ops[] = {
#include "grad/ops.def"
    NULL};
#undef FT_OP

ft_status ft_tape_new(ft_tape **out)
{
    ft_status st = FT_ENOMEM;
    ft_tape *t = *out = ft_alloc(1, sizeof *t);
    if (!t)
        return FT_ENOMEM;
    FT_TRY(ft_grad__arena_new(&t->values));
    FT_TRY(ft_grad__arena_new(&t->pool.memory));
    return FT_OK;
done:
    ft_tape_free(t);
    *out = NULL;
    return st;
}

void ft_tape_free(ft_tape *t)
{
    if (!t)
        return;
    ft_arena_free(t->values.arena);
    ft_arena_free(t->pool.memory.arena);
    ft_free(t->pool.blocks);
    ft_free(t->nodes);
    ft_free(t->scratch);
    ft_free(t->times);
    ft_grad__free_ropes(t);
    ft_free(t);
}

static void note_peak(ft_tape *t)
{
    if (!t->values.arena || !t->pool.memory.arena)
        return;
    size_t kept = ft_arena_peak(t->values.arena), temporary = ft_arena_peak(t->pool.memory.arena);
    t->stats.kept_bytes = FT_MAX(t->stats.kept_bytes, kept);
    t->stats.temporary_bytes = FT_MAX(t->stats.temporary_bytes, temporary);
    t->stats.peak_bytes = FT_MAX(t->stats.peak_bytes, kept + temporary);
    t->stats.table_bytes = t->scratch_floats * sizeof *t->scratch + t->cap_nodes * sizeof *t->nodes +
                           ft_grad__rope_bytes(t) + t->pool.cap * sizeof *t->pool.blocks;
    t->stats.held_bytes = ft_arena_held(t->values.arena) + ft_arena_held(t->pool.memory.arena);
}

/* Panels for as many threads as there are now. */
static ft_status fit_scratch(ft_tape *t)
{
    size_t floats = ft_linear_scratch();
    if (floats <= t->scratch_floats)
        return FT_OK;
    ft_free(t->scratch);
    t->scratch_floats = 0;
    t->scratch = ft_alloc(floats, sizeof *t->scratch);
    if (!t->scratch)
        return FT_ENOMEM;
    t->scratch_floats = floats;
    return FT_OK;
}

void ft_tape_begin(ft_tape *t, bool record, uint64_t seed, uint64_t step)
{
    note_peak(t);
    t->n_nodes = t->pool.n = 0;
    t->record = record;
    t->first_token = 0;
    t->suspended = t->replaying = t->in_block = false;
    t->lent = NULL;
    t->seed = seed;
    t->step = step;
    t->engine = ft_engine_of(t->compute);
    t->stats.records = 0;
    t->stats.forward_flops = t->stats.backward_flops = 0;
    t->status = ft_grad__arena_begin(&t->values);
    if (t->status == FT_OK)
        t->status = ft_grad__arena_begin(&t->pool.memory);
    if (t->status == FT_OK)
        t->status = fit_scratch(t);
}

void ft_tape_dry(ft_tape *t, bool dry)
{
    t->dry = dry;
}

void ft_tape_compute(ft_tape *t, ft_compute compute)
{
    t->compute = compute;
}

void ft_tape_keep_as(ft_tape *t, const ft_dtype *dtype)
{
    t->kept_as = dtype == &ft_f32 ? NULL : dtype;
}

bool ft_tape_is_dry(const ft_tape *t)
{
    return t->dry;
}

void ft_tape_first_token(ft_tape *t, int64_t first)
{
    t->first_token = first;
}

ft_status ft_tape_status(const ft_tape *t)
{
    return t->status;
}

ft_tape_stats ft_tape_stats_of(const ft_tape *t)
{
    ft_tape now = *t;
    note_peak(&now);
    return now.stats;
}

/* ---- the clock ---- */

ft_status ft_tape_time(ft_tape *t)
{
    ft_free(t->times);
    t->clock = NULL;
    t->n_times = 0;
    while (ft_grad__ops[t->n_times])
        t->n_times++;
    if (!(t->times = ft_alloc(t->n_times, sizeof *t->times)))
        return FT_ENOMEM;
    for (size_t i = 0; i < t->n_times; i++)
        t->times[i].name = ft_grad__ops[i]->name;
    return FT_OK;
}

const ft_op_time *ft_tape_times(const ft_tape *t, size_t *n)
{
    *n = t->times ? t->n_times : 0;
    return t->times;
}

void ft_grad__run_clock(ft_tape *t, const ft_op *op, bool back)
{
    if (!t->times)
        return;
    double now = ft_now_s();
    if (t->clock)
        *(t->clock_back ? &t->clock->backward_s : &t->clock->forward_s) += now - t->clock_since;
    t->clock = NULL;
    for (size_t i = 0; op && i < t->n_times; i++)
        if (ft_grad__ops[i] == op)
            t->clock = &t->times[i];
    t->clock_back = back;
    t->clock_since = now;
    if (t->clock && !back)
        t->clock->calls++;
}

/* ---- memory of the step ---- */

void *ft_grad__alloc(ft_tape *t, size_t n, size_t size)
{
    if (t->status != FT_OK)
        return NULL;
    void *p = ft_arena_alloc(t->values.arena, n, size);
    if (!p)
        t->status = FT_ENOMEM;
    return p;
}

void *ft_tape_alloc(ft_tape *t, size_t n, size_t size)
{
    return ft_grad__alloc(t, n, size);
}

ft_tape_mark ft_tape_now(const ft_tape *t)
{
    ft_arena_mark m = ft_arena_now(t->values.arena);
    return (ft_tape_mark){.chunk = m.chunk, .used = m.used};
}

ft_var *ft_tape_rewind(ft_tape *t, ft_tape_mark mark, ft_var *keep)
{
    if (t->record && !t->suspended && t->status == FT_OK)
        t->status = ft_fail(FT_EINPUT, "a recorded step cannot be rewound");
    if (t->status != FT_OK)
        return NULL;
    ft_arena_release(t->values.arena, (ft_arena_mark){.chunk = mark.chunk, .used = mark.used});
    if (!keep)
        return NULL;
    /* The memory of `keep` may be handed out now: its values move first, then the struct is written anew. */
    ft_var old = *keep;
    size_t n = (size_t)old.rows * (size_t)old.cols;
    float *v = ft_grad__alloc(t, n, sizeof *v);
    if (!v)
        return NULL;
    if (!t->dry)
        memmove(v, old.v, n * sizeof *v);
    ft_var *moved = ft_grad__var(t, v, old.rows, old.cols);
    if (moved)
        moved->needs_grad = old.needs_grad;
    return moved;
}

ft_var *ft_leaf(ft_tape *t, float *v, int64_t rows, int64_t cols, bool needs_grad)
{
    if (t->status != FT_OK)
        return NULL;
    if (!v || rows <= 0 || cols <= 0) {
        t->status = ft_fail(FT_EINPUT, "a leaf of [%lld, %lld]%s", (long long)rows, (long long)cols,
                            v ? "" : " without memory");
        return NULL;
    }
    ft_var *x = ft_grad__var(t, v, rows, cols);
    if (!x)
        return NULL;
    x->needs_grad = needs_grad && t->record;
    x->kept = true; /* the memory is the caller's */
    return x;
}

/* ---- checks ---- */

void *ft_grad__fail(ft_tape *t, const ft_op *op, ft_status kind, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (t->status == FT_OK)
        t->status = ft_fail(kind, "%s: %s", op->name, text);
    return NULL;
}

bool ft_grad__ready(ft_tape *t, const ft_op *op, ft_var *const *in, int n)
{
    ft_grad__run_clock(t, op, false);
    if (t->status != FT_OK)
        return false;
    for (int i = 0; i < n; i++) {
        if (!in[i])
            ft_grad__fail(t, op, FT_EINPUT, "input %d is missing", i);
        else if (!in[i]->v)
            ft_grad__fail(t, op, FT_EINPUT, "input %d was taken over by an earlier op", i);
    }
    return t->status == FT_OK;
}

const char *ft_grad__shape(const ft_var *v, char buf[96])
{
    return ft_shape_text(2, (const int64_t[]){v->rows, v->cols}, buf);
}

bool ft_grad__check_weight(ft_tape *t, const ft_op *op, const ft_param *w, int64_t in)
{
    char shape[96];
    if (!w || !w->t.data)
        ft_grad__fail(t, op, FT_EINPUT, "the weight is missing");
    else if (in && ft_tensor_cols(&w->t) != in)
        ft_grad__fail(t, op, FT_EINPUT, "%s is %s, its rows should have %lld elements", w->name,
                      ft_shape_text(w->t.ndim, w->t.shape, shape), (long long)in);
    else if (w->trainable && (w->t.dtype != &ft_f32 || !w->grad))
        ft_grad__fail(t, op, FT_EINPUT, "%s is to be trained but is %s%s", w->name, w->t.dtype->name,
                      w->grad ? "" : " without a gradient");
    return t->status == FT_OK;
}

bool ft_grad__check_segments(ft_tape *t, const ft_op *op, const ft_segments *seg, int64_t T)
{
    if (!seg || seg->n < 1 || seg->start[0] != 0 || seg->start[seg->n] != T) {
        ft_grad__fail(t, op, FT_EINPUT, "segments cover %lld of %lld tokens",
                      (long long)(seg && seg->n > 0 ? seg->start[seg->n] : 0), (long long)T);
        return false;
    }
    for (int64_t s = 0; s < seg->n; s++)
        if (seg->start[s + 1] < seg->start[s] || (seg->past && seg->past[s] < 0))
            ft_grad__fail(t, op, FT_EINPUT, "segment %lld runs from %lld to %lld after %lld", (long long)s,
                          (long long)seg->start[s], (long long)seg->start[s + 1],
                          (long long)(seg->past ? seg->past[s] : 0));
    return t->status == FT_OK;
}

bool ft_grad__check_read(ft_tape *t, const ft_op *op, const ft_segments *seg, int64_t rows)
{
    if (!seg || !seg->read)
        return ft_grad__check_segments(t, op, seg, rows);
    int64_t T = seg->start[seg->n], before = -1;
    if (!ft_grad__check_segments(t, op, seg, T))
        return false;
    if (seg->n_read != rows)
        ft_grad__fail(t, op, FT_EINPUT, "%lld tokens are read, there are %lld rows", (long long)seg->n_read,
                      (long long)rows);
    for (int64_t i = 0; t->status == FT_OK && i < rows; before = seg->read[i++])
        if (seg->read[i] <= before || seg->read[i] >= T)
            ft_grad__fail(t, op, FT_EINPUT, "token %lld of %lld is read behind token %lld", (long long)seg->read[i],
                          (long long)T, (long long)before);
    return t->status == FT_OK;
}

/* NULL for NULL. */
static const int64_t *keep(ft_tape *t, const int64_t *p, int64_t n)
{
    int64_t *copy = p ? ft_grad__alloc(t, (size_t)n, sizeof *copy) : NULL;
    return copy ? memcpy(copy, p, (size_t)n * sizeof *copy) : NULL;
}

const ft_segments *ft_grad__keep_segments(ft_tape *t, const ft_segments *seg)
{
    ft_segments *copy = ft_grad__alloc(t, 1, sizeof *copy);
    if (!copy)
        return NULL;
    *copy = (ft_segments){.n = seg->n,
                          .start = keep(t, seg->start, seg->n + 1),
                          .past = keep(t, seg->past, seg->n),
                          .total = keep(t, seg->total, seg->n),
                          .read = keep(t, seg->read, seg->n_read),
                          .n_read = seg->n_read};
    return t->status == FT_OK ? copy : NULL;
}

/* ---- records ---- */

bool ft_grad__wanted(const ft_tape *t, const ft_node *n)
{
    bool wanted = false;
    for (int i = 0; i < FT_NODE_INPUTS; i++)
        wanted |= n->in[i] && n->in[i]->needs_grad;
    for (int i = 0; i < FT_NODE_PARAMS; i++)
        wanted |= ft_grad__trains(n->param[i]);
    return wanted && t->record;
}

bool ft_grad__push(ft_tape *t, ft_node n)
{
    if (t->n_nodes == t->cap_nodes) {
        size_t cap = FT_MAX(t->cap_nodes * 2, (size_t)1024);
        ft_node *more = ft_resize(t->nodes, cap, sizeof *more);
        if (!more) {
            t->status = FT_ENOMEM;
            return false;
        }
        t->nodes = more;
        t->cap_nodes = cap;
    }
    n.out->node = (int32_t)t->n_nodes;
    t->nodes[t->n_nodes++] = n;
    if (!t->replaying && n.out->needs_grad)
        t->stats.records++;
    return true;
}

bool ft_grad__record(ft_tape *t, ft_node n)
{
    if (t->status != FT_OK)
        return false;
    bool wanted = ft_grad__wanted(t, &n);
    if (!wanted && !n.out->passing)
        return true;
    if (!n.op->backward) {
        ft_grad__fail(t, n.op, FT_EUNSUPPORTED, "has no backward rule, and something trainable lies below it");
        return false;
    }
    n.out->needs_grad = wanted;
    return t->suspended || ft_grad__push(t, n);
}

ft_var *ft_grad__make(ft_tape *t, ft_node n)
{
    bool read_again = n.out->passing || ft_grad__wanted(t, &n);
    n.op->remake(t, &n);
    for (size_t i = 0; i < FT_COUNT(n.in) && n.in[i]; i++)
        n.in[i]->kept |= read_again;
    return ft_grad__record(t, n) ? n.out : NULL;
}

void ft_grad__count(ft_tape *t, double forward, double backward)
{
    if (t->replaying)
        return;
    backward = t->record ? backward : 0;
    t->stats.forward_flops += forward;
    t->stats.backward_flops += backward;
    if (t->clock) {
        t->clock->forward_flops += forward;
        t->clock->backward_flops += backward;
    }
}

/* ---- gradients ---- */

float *ft_grad__of(ft_tape *t, ft_var *v, bool *add)
{
    *add = v->g != NULL;
    if (!v->needs_grad)
        return NULL;
    if (!v->g)
        v->g = ft_grad__lend(t, (size_t)v->rows * (size_t)v->cols);
    return v->g;
}

void ft_grad__pass_on(ft_tape *t, ft_var *to, ft_var *from)
{
    if (!to->needs_grad)
        return;
    if (to->g) {
        if (!t->dry)
            ft_add_all(to->g, to->g, from->g, to->rows * to->cols);
        return;
    }
    to->g = from->g;
    from->g = NULL;
}

void ft_grad__walk(ft_tape *t, size_t first)
{
    while (t->n_nodes > first && t->status == FT_OK) {
        ft_node n = t->nodes[t->n_nodes - 1]; /* a copy: a replayed block adds records of its own */
        t->n_nodes--;
        if (n.out->g) { /* else nothing of it reached a loss */
            ft_grad__run_clock(t, n.op, true);
            n.op->backward(t, &n);
            ft_grad__give_back(t, n.out->g);
            n.out->g = NULL;
        }
        ft_grad__forget(t, n.out);
    }
}

ft_status ft_tape_backward(ft_tape *t)
{
    if (t->status == FT_OK && !t->record)
        t->status = ft_fail(FT_EINPUT, "this step was not recorded");
    t->lent = NULL; /* from here on the walk gives back */
    if (t->status == FT_OK)
        ft_grad__walk(t, 0);
    ft_grad__run_clock(t, NULL, false);
    note_peak(t);
    return t->status;
}
