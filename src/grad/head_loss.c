/* head_loss: the head's logits and their cross entropy, over supervised rows only, in chunks.
 *
 *   per chunk:  rows of x gathered [n, C] -> logits [n, V] -> (softcap) -> log-softmax -> loss
 *               and, recorded:  dlogits over the logits -> dx rows scattered, dW += dlogits^T x
 *
 * A chunk holds CHUNK_FLOATS logits, or more where that would be less than FEW_ROWS rows, so no [T, V] exists. The op is a
 * root: its gradients are complete when it returns, and the walk backward has nothing to do for it.
 */
#include "grad/tape.h"

#include <math.h>
#include <string.h>

enum { CHUNK_FLOATS = 30 << 18, MOST_FLOATS = 1 << 24, CHUNK_ROWS = 256, FEW_ROWS = 128, SMALLEST_CHUNK = 16 };

typedef struct job {
    const ft_kernels *k;
    float *logits;         /* [n, V] */
    float *room;           /* [threads, V], with a softcap and a gradient alone */
    const int32_t *target; /* [n] */
    double *nll;           /* [n] */
    int32_t *argmax;       /* [n] */
    int64_t V;
    float cap, weight;
    bool gradient; /* logits become their gradient */
} job;

/* x: capped logits, e: exp(x - top) with its sum. x becomes weight (p - 1[target]) (1 - (x / cap)^2). */
static void capped_gradient(float *x, const float *e, double sum, int32_t target, const job *j)
{
    float share = (float)(j->weight / sum), inverse = 1 / j->cap;
    x[target] *= inverse;
    float at_target = (share * e[target] - j->weight) * (1 - x[target] * x[target]);
    for (int64_t v = 0; v < j->V; v++)
        x[v] = share * e[v] * (1 - x[v] * inverse * (x[v] * inverse));
    x[target] = at_target;
}

static void row(void *ctx, int64_t i)
{
    const job *j = ctx;
    float *x = j->logits + i * j->V, *e = j->room ? j->room + ft_thread_id() * j->V : x;
    if (j->cap > 0)
        j->k->softcap(x, j->cap, j->V);
    float top = j->k->max(x, j->V), aim = x[j->target[i]];
    int64_t best = j->k->find(x, top, j->V);
    j->argmax[i] = best < j->V ? (int32_t)best : 0; /* none under NaN: the loss says so */
    double sum = j->k->exp_sum(e, x, top, j->V);
    j->nll[i] = log(sum) + (double)top - (double)aim;
    if (!j->gradient)
        return;
    if (j->room) {
        capped_gradient(x, e, sum, j->target[i], j);
        return;
    }
    j->k->scale(x, (float)(j->weight / sum), j->V);
    x[j->target[i]] -= j->weight;
}

/* What a chunk works with; lent for the whole op. */
typedef struct chunks {
    job j;
    int64_t most; /* rows of a chunk */
    float *x;     /* [most, C] rows of x, then the gradient for them */
    int64_t *rows;
    int32_t *target;
} chunks;

static int64_t rows_of_chunk(int64_t V)
{
    int64_t few = FT_MIN((int64_t)MOST_FLOATS / V, (int64_t)FEW_ROWS), n = FT_MAX((int64_t)CHUNK_FLOATS / V, few);
    return FT_MAX(FT_MIN(n, (int64_t)CHUNK_ROWS), (int64_t)SMALLEST_CHUNK);
}

static bool begin(ft_tape *t, chunks *c, int64_t T, int64_t C, int64_t V)
{
    c->most = FT_MIN(rows_of_chunk(V), T);
    size_t n = (size_t)c->most;
    c->j.logits = ft_grad__lend(t, n * (size_t)V);
    if (c->j.cap > 0 && c->j.gradient)
        c->j.room = ft_grad__lend(t, (size_t)ft_threads() * (size_t)V);
    c->x = ft_grad__lend(t, n * (size_t)C);
    c->rows = ft_grad__alloc(t, n, sizeof *c->rows);
    c->j.target = c->target = ft_grad__alloc(t, n, sizeof *c->target);
    c->j.nll = ft_grad__alloc(t, n, sizeof *c->j.nll);
    c->j.argmax = ft_grad__alloc(t, n, sizeof *c->j.argmax);
    size_t logits = n * (size_t)V + (c->j.room ? (size_t)ft_threads() * (size_t)V : 0);
    t->stats.logits_bytes = FT_MAX(t->stats.logits_bytes, logits * sizeof(float));
    return t->status == FT_OK;
}

static void end(ft_tape *t, chunks *c)
{
    ft_grad__give_back(t, c->j.logits);
    ft_grad__give_back(t, c->j.room);
    ft_grad__give_back(t, c->x);
}

static void add_to_loss(const chunks *c, int64_t n, ft_loss *loss)
{
    for (int64_t i = 0; i < n; i++) {
        loss->sum += c->j.nll[i];
        loss->correct += c->j.argmax[i] == c->target[i];
        if (loss->argmax)
            loss->argmax[loss->count] = c->j.argmax[i];
        loss->count++;
    }
}

/* Loss of the chunk's n rows, and their gradient for the logits. */
static void loss_of_chunk(ft_tape *t, chunks *c, int64_t n, const ft_var *x, ft_param *w, ft_loss *loss)
{
    int64_t C = x->cols;
    for (int64_t i = 0; i < n; i++)
        memcpy(c->x + i * C, x->v + c->rows[i] * C, (size_t)C * sizeof *c->x);
    ft_linear_forward(t->engine, c->j.logits, c->x, n, &w->t, NULL, NULL, t->scratch);
    ft_parallel(n, row, &c->j);
    add_to_loss(c, n, loss);
}

static void run_chunk(ft_tape *t, chunks *c, int64_t n, const ft_var *x, ft_param *w, float *dx, ft_loss *loss)
{
    if (t->dry)
        loss->count += n;
    else
        loss_of_chunk(t, c, n, x, w, loss);
    if (c->j.gradient && w->trainable)
        ft_grad__linear_dw(t, w, c->j.logits, c->x, n);
    if (!dx)
        return;
    ft_grad__linear_dx(t, c->x, c->j.logits, n, w, NULL, false);
    ft_grad__scatter_add(t, dx, c->rows, n, c->x, x->cols, 1);
}

/* The gradient that the chunks add to, zero where nothing stood in it. */
static float *begin_gradient(ft_tape *t, ft_var *x)
{
    bool add;
    float *dx = ft_grad__of(t, x, &add);
    if (dx && !add && !t->dry)
        ft_zero_all(dx, x->rows * x->cols);
    return dx;
}

static bool targets_fit(ft_tape *t, const int32_t *targets, int64_t T, int64_t V)
{
    for (int64_t i = 0; i < T; i++)
        if (targets[i] >= V) {
            ft_grad__fail(t, &ft_grad__head_loss, FT_EINPUT, "token %lld has target %d, the head has %lld rows",
                          (long long)i, targets[i], (long long)V);
            return false;
        }
    return true;
}

ft_status ft_op_head_loss(ft_tape *t, ft_var *x, ft_param *w, const int32_t *targets, float cap, double weight,
                          ft_loss *loss)
{
    const ft_op *op = &ft_grad__head_loss;
    if (!ft_grad__ready(t, op, &x, 1) || !ft_grad__check_weight(t, op, w, x->cols))
        return t->status;
    int64_t V = ft_tensor_rows(&w->t), before = loss->count;
    if (!targets_fit(t, targets, x->rows, V))
        return t->status;
    ft_arena_mark mark = ft_arena_now(t->values.arena);
    bool gradient = ft_grad__wanted(t, &(ft_node){.in = {x}, .param = {w}});
    chunks c = {.j = {.k = ft_kernels_active(), .V = V, .cap = cap, .weight = (float)weight, .gradient = gradient}};
    float *dx = begin_gradient(t, x);
    if (begin(t, &c, x->rows, x->cols, V)) {
        int64_t n = 0;
        for (int64_t i = 0; i < x->rows; i++) {
            if (targets[i] >= 0) {
                c.rows[n] = i;
                c.target[n++] = targets[i];
            }
            if (n && (n == c.most || i + 1 == x->rows)) {
                run_chunk(t, &c, n, x, w, dx, loss);
                n = 0;
            }
        }
    }
    end(t, &c);
    ft_arena_release(t->values.arena, mark);
    double once = 2.0 * (double)(loss->count - before) * (double)x->cols * (double)V;
    ft_grad__count(t, once, once * (x->needs_grad + w->trainable));
    return t->status;
}

const ft_op ft_grad__head_loss = {.name = "head_loss",
                                  .saves = "nothing: its gradients are made at once",
                                  .flops = "2 S C V over S supervised rows; the same for dx, the same for dW",
                                  .backward = NULL,
                                  .cases = (const ft_op_case[]){{.T = 1, .in = 3, .vocab = 2},
                                                                {.T = 37, .in = 33, .vocab = 71},
                                                                {.T = 300, .in = 8, .vocab = 530},
                                                                {.T = 6, .in = 5, .vocab = 9001},
                                                                {.T = 9, .in = 20, .vocab = 45, .softcap = 2},
                                                                {.T = 9, .in = 64, .vocab = 45, .dtype = &ft_q8_0},
                                                                {0}}};
