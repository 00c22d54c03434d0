/* lora: y = x W^T (+ bias) + scale * (dropout(x) A^T) B^T, a linear with a low-rank update beside it.
 *
 *   h = scale dropout(x) A^T [T, R]      y  = [x, h] [W, B]^T       one product whose sum goes on over R
 *   dh = scale dy B [T, R]               dx = [dy, dh] [W; A]       the same; with dropout dh A gets the mask by itself
 *                                        dA = dh^T dropout(x),      dB = dy^T h
 *
 * The thin products run over tiles of tokens. The gradients of A and B are sums over all tokens: every tile makes its
 * part [R (in + out)], and the parts are added in order, so that the result does not depend on the number of threads.
 * The dropout mask is made again in backward (kernel/kernel.h); the part of x that survives is never kept.
 *
 * A second, frozen update may be subtracted (pissa's start): its h and dh are made when they are needed.
 */
#include "grad/tape.h"

enum { TILE = 128 }; /* tokens */

typedef struct saved {
    float *h; /* [T, R] */
    ft_lora lora;
    ft_dropout dropout; /* drop 0 in a step that is not recorded */
    int64_t first;      /* token of the optimizer step that the micro-batch begins with */
} saved;

typedef struct job {
    const ft_kernels *k;
    const ft_engine *e;
    float *room; /* that products work in */
    const saved *s;
    const float *x, *a, *b, *dy; /* dy: backward alone */
    float *dh, *dx;              /* backward alone */
    float *parts;                /* [tiles, R (in + out)], NULL when neither A nor B trains */
    float *scratch;              /* [threads, TILE in] for x after dropout, NULL without */
    int64_t T, in, out, R;
} job;

static int64_t tiles_of(int64_t T)
{
    return (T + TILE - 1) / TILE;
}

static job job_of(ft_tape *t, const ft_var *x, int64_t out, const saved *s)
{
    return (job){.k = ft_kernels_active(),
                 .e = t->engine,
                 .room = t->scratch,
                 .s = s,
                 .x = x->v,
                 .a = s->lora.a->t.data,
                 .b = s->lora.b->t.data,
                 .T = x->rows,
                 .in = x->cols,
                 .out = out,
                 .R = ft_tensor_rows(&s->lora.a->t),
                 .scratch = s->dropout.drop ? ft_grad__lend(t, (size_t)ft_threads() * TILE * (size_t)x->cols) : NULL};
}

static float *own_scratch(const job *j)
{
    return j->scratch + ft_thread_id() * TILE * j->in;
}

/* to (+)= the masks of rows [r, r + rows) times from, as many tokens at once as lie one behind the other. */
static void drop(const job *j, float *to, const float *from, int64_t r, int64_t rows, bool add)
{
    const int64_t *token = j->s->lora.token;
    for (int64_t i = 0, n; i < rows; i += n) {
        int64_t at = token ? token[r + i] : r + i;
        for (n = 1; i + n < rows && (!token || token[r + i + n] == at + n);)
            n++;
        j->k->dropout(to + i * j->in, from + i * j->in, &j->s->dropout, (uint64_t)((j->s->first + at) * j->in),
                      n * j->in, add);
    }
}

/* The tile's rows of x after dropout: x itself when there is none. */
static const float *dropped(const job *j, int64_t r, int64_t rows)
{
    const float *x = j->x + r * j->in;
    if (!j->s->dropout.drop)
        return x;
    drop(j, own_scratch(j), x, r, rows, false);
    return own_scratch(j);
}

/* ---- the second update: to [T, R] = scale x m, where m is stored [R, n] (turned) or [n, R] ---- */

typedef struct thin {
    const ft_engine *e;
    float *room, *to, scale;
    const float *x, *m;
    int64_t T, n, R;
    bool turned;
} thin;

static void thin_tile(void *ctx, int64_t tile)
{
    const thin *j = ctx;
    int64_t r = tile * TILE, rows = FT_MIN((int64_t)TILE, j->T - r);
    ft_gemm(j->e, false, j->turned, rows, j->R, j->n, j->scale, j->x + r * j->n, j->n, j->m, j->turned ? j->n : j->R,
            false, j->to + r * j->R, j->R, j->room);
}

/* The update whose left side is x A^T (forward) or dy B, which is lent; NULL: there is none, or no memory. */
static const ft_update *start_of(ft_tape *t, ft_update *u, const ft_lora *l, const float *x, int64_t T, bool back)
{
    if (!l->start_a)
        return NULL;
    const ft_tensor *a = &l->start_a->t, *b = &l->start_b->t;
    int64_t R = ft_tensor_rows(a), n = back ? ft_tensor_rows(b) : ft_tensor_cols(a);
    float *left = ft_grad__lend(t, (size_t)(T * R));
    if (!left)
        return NULL;
    thin j = {.e = t->engine, .room = t->scratch, .to = left, .scale = -l->scale, .x = x, .m = back ? b->data : a->data,
              .T = T, .n = n, .R = R, .turned = !back};
    ft_grad__run(t, tiles_of(T), thin_tile, &j);
    *u = (ft_update){.left = left, .right = back ? a->data : b->data, .R = R};
    return u;
}

static void end_start(ft_tape *t, const ft_update *u)
{
    ft_grad__give_back(t, u ? (float *)u->left : NULL);
}

/* ---- backward ---- */

static void backward_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t r = tile * TILE, rows = FT_MIN((int64_t)TILE, j->T - r);
    const float *dy = j->dy + r * j->out;
    float *dh = j->dh + r * j->R;
    ft_gemm(j->e, false, false, rows, j->R, j->out, j->s->lora.scale, dy, j->out, j->b, j->R, false, dh, j->R, j->room);
    if (!j->parts)
        return;
    float *da = j->parts + tile * j->R * (j->in + j->out), *db = da + j->R * j->in;
    ft_gemm(j->e, true, false, j->R, j->in, rows, 1, dh, j->R, dropped(j, r, rows), j->in, false, da, j->in, j->room);
    ft_gemm(j->e, true, false, j->out, j->R, rows, 1, dy, j->out, j->s->h + r * j->R, j->R, false, db, j->R, j->room);
}

/* dx += dropout(dh A) */
static void dropped_dx_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t r = tile * TILE, rows = FT_MIN((int64_t)TILE, j->T - r);
    float *room = own_scratch(j);
    ft_gemm(j->e, false, false, rows, j->in, j->R, 1, j->dh + r * j->R, j->R, j->a, j->in, false, room, j->in, j->room);
    drop(j, j->dx + r * j->in, room, r, rows, true);
}

static void add_parts(const job *j, const ft_param *a, const ft_param *b)
{
    int64_t n_a = j->R * j->in, n_b = j->R * j->out;
    for (int64_t i = 0; i < tiles_of(j->T); i++) {
        const float *part = j->parts + i * (n_a + n_b);
        if (a->trainable)
            j->k->axpy(a->grad, 1, part, n_a);
        if (b->trainable)
            j->k->axpy(b->grad, 1, part + n_a, n_b);
    }
}

static void backward_x(ft_tape *t, job *j, const ft_param *w, bool add)
{
    ft_update start, own = {.left = j->dh, .right = j->a, .R = j->R};
    const ft_update *first = start_of(t, &start, &j->s->lora, j->dy, j->T, true);
    own.next = first;
    ft_grad__linear_dx(t, j->dx, j->dy, j->T, w, j->s->dropout.drop ? first : &own, add);
    if (j->s->dropout.drop)
        ft_grad__run(t, tiles_of(j->T), dropped_dx_tile, j);
    end_start(t, first);
}

static void backward(ft_tape *t, const ft_node *n)
{
    ft_var *x = n->in[0], *y = n->out;
    const ft_param *w = n->param[0], *bias = n->param[1], *a = n->param[2], *b = n->param[3];
    job j = job_of(t, x, y->cols, n->saved);
    bool add, trains = a->trainable || b->trainable;
    j.x = trains ? ft_grad__value(t, x) : NULL;
    j.dy = y->g;
    j.dx = ft_grad__of(t, x, &add);
    j.dh = ft_grad__lend(t, (size_t)(j.T * j.R));
    if (trains)
        j.parts = ft_grad__lend(t, (size_t)(tiles_of(j.T) * j.R * (j.in + j.out)));
    if (t->status == FT_OK) {
        ft_grad__run(t, tiles_of(j.T), backward_tile, &j);
        if (trains && !t->dry)
            add_parts(&j, a, b);
        if (j.dx)
            backward_x(t, &j, w, add);
        ft_grad__linear_params(t, w, bias, x, y);
    }
    ft_grad__give_back(t, j.parts);
    ft_grad__give_back(t, j.dh);
    ft_grad__give_back(t, j.scratch);
}

/* ---- forward ---- */

static void h_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t r = tile * TILE, rows = FT_MIN((int64_t)TILE, j->T - r);
    ft_gemm(j->e, false, true, rows, j->R, j->in, j->s->lora.scale, dropped(j, r, rows), j->in, j->a, j->in, false,
            j->s->h + r * j->R, j->R, j->room);
}

/* A [R, in] and B [out, R] of f32. */
static bool pair_fits(ft_tape *t, const ft_param *a, const ft_param *b, int64_t in, int64_t out)
{
    char sa[96], sb[96];
    const ft_op *op = &ft_grad__lora;
    if (!ft_grad__check_weight(t, op, a, in) || !ft_grad__check_weight(t, op, b, ft_tensor_rows(&a->t)))
        return false;
    if (a->t.dtype != &ft_f32 || b->t.dtype != &ft_f32)
        ft_grad__fail(t, op, FT_EINPUT, "%s is %s and %s is %s, both must be f32", a->name, a->t.dtype->name, b->name,
                      b->t.dtype->name);
    else if (ft_tensor_rows(&b->t) != out)
        ft_grad__fail(t, op, FT_EINPUT, "A %s and B %s do not fit a weight of %lld rows",
                      ft_shape_text(a->t.ndim, a->t.shape, sa), ft_shape_text(b->t.ndim, b->t.shape, sb), (long long)out);
    return t->status == FT_OK;
}

static bool fits(ft_tape *t, const ft_lora *l, int64_t in, int64_t out)
{
    if (!pair_fits(t, l->a, l->b, in, out) || (l->start_a && !pair_fits(t, l->start_a, l->start_b, in, out)))
        return false;
    if (!(l->dropout >= 0 && l->dropout < 1))
        ft_grad__fail(t, &ft_grad__lora, FT_EINPUT, "dropout %g is not in [0, 1)", (double)l->dropout);
    return t->status == FT_OK;
}

/* dh, dA and dB cost as much as their forward products, dx as much as h. */
static void count(ft_tape *t, const ft_var *x, const ft_lora *l, int64_t out)
{
    double a = 2.0 * (double)x->rows * (double)x->cols, b = 2.0 * (double)x->rows * (double)out;
    double R = (double)ft_tensor_rows(&l->a->t), S = l->start_a ? (double)ft_tensor_rows(&l->start_a->t) : 0;
    bool trains = l->a->trainable || l->b->trainable;
    ft_grad__count(t, (R + S) * (a + b), R * (b + (trains ? a + b : 0)) + (x->needs_grad ? R * a + S * (a + b) : 0));
}

static void forward(ft_tape *t, const ft_var *x, const ft_var *y, const ft_param *w, const ft_param *bias, const saved *s)
{
    job j = job_of(t, x, y->cols, s);
    ft_update start, own = {.left = s->h, .right = j.b, .R = j.R};
    own.next = start_of(t, &start, &s->lora, x->v, j.T, false);
    if (t->status == FT_OK && !t->dry) {
        ft_parallel(tiles_of(j.T), h_tile, &j);
        ft_linear_forward(t->engine, y->v, x->v, j.T, &w->t, bias ? bias->t.data : NULL, &own, t->scratch);
    }
    end_start(t, own.next);
    ft_grad__give_back(t, j.scratch);
}

ft_var *ft_op_lora(ft_tape *t, ft_var *x, ft_param *w, ft_param *bias, const ft_lora *l)
{
    const ft_op *op = &ft_grad__lora;
    if (!ft_grad__ready(t, op, &x, 1) || !ft_grad__linear_fits(t, op, x, w, bias))
        return NULL;
    int64_t out = ft_tensor_rows(&w->t);
    if (!fits(t, l, x->cols, out))
        return NULL;
    saved *s = ft_grad__alloc(t, 1, sizeof *s);
    float *h = ft_grad__alloc(t, (size_t)(x->rows * ft_tensor_rows(&l->a->t)), sizeof *h);
    ft_var *y = ft_grad__var(t, NULL, x->rows, out);
    if (t->status != FT_OK)
        return NULL;
    *s = (saved){.h = h,
                 .lora = *l,
                 .first = t->first_token,
                 .dropout = ft_dropout_of(t->seed, t->step, l->site, t->record ? l->dropout : 0)};
    forward(t, x, y, w, bias, s);
    count(t, x, l, out);
    ft_grad__linear_count(t, x, w);
    x->kept |= t->record && (l->a->trainable || l->b->trainable || w->trainable);
    ft_node n = {.op = op, .out = y, .in = {x}, .param = {w, bias, l->a, l->b}, .saved = s};
    return ft_grad__record(t, n) ? y : NULL;
}

const ft_op ft_grad__lora = {
    .name = "lora",
    .saves = "x, scale dropout(x) A^T [T, R]; the mask is made again",
    .flops = "as linear, and 2 T R (in + out); backward 2 T R out for dh, 2 T R (in + out) for dA and dB, 2 T R in for dx",
    .backward = backward,
    .cases = (const ft_op_case[]){{.T = 1, .in = 1, .out = 1, .rank = 1},
                                  {.T = 5, .in = 33, .out = 17, .rank = 4, .bias = true},
                                  {.T = 3, .in = 70, .out = 67, .rank = 9, .bias = true},
                                  {.T = 300, .in = 35, .out = 20, .rank = 16, .dropout = 0.25f},
                                  {.T = 131, .in = 64, .out = 7, .rank = 3, .dropout = 0.5f},
                                  {.T = 140, .in = 19, .out = 7, .rank = 3, .dropout = 0.5f, .unread = 3},
                                  {.T = 300, .in = 260, .out = 300, .rank = 16},
                                  {.T = 140, .in = 20, .out = 530, .rank = 5, .dtype = &ft_bf16},
                                  {.T = 9, .in = 96, .out = 70, .rank = 16, .dtype = &ft_q8_0, .dropout = 0.25f},
                                  {0}}};
