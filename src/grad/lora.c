/* lora: y + scale * (dropout(x) A^T) B^T, the low-rank update of a linear's output, written over y.
 *
 * Both directions run over tiles of tokens. The gradients of A and B are sums over all tokens: every tile makes its
 * part [R (in + out)], and the parts are added in order, so that the result does not depend on the number of threads.
 * The dropout mask is made again in backward (kernel/kernel.h); the part of x that survives is never kept.
 */
#include "grad/tape.h"

enum { TILE = 128 }; /* tokens */

typedef struct saved {
    float *h; /* [T, R] = dropout(x) A^T */
    float scale;
    ft_dropout dropout; /* drop 0 in a step that is not recorded */
    int64_t first;      /* token of the optimizer step that the micro-batch begins with */
    const int64_t *token; /* [T] or NULL: of the micro-batch, which row i is */
} saved;

typedef struct job {
    const ft_kernels *k;
    const ft_engine *e;
    float *room; /* that products work in */
    const saved *s;
    const float *x, *a, *b, *dy; /* dy: backward alone */
    float *y, *dx;               /* y: forward; dx may be NULL */
    bool add_dx;
    float *parts;   /* [tiles, R (in + out)], NULL when neither A nor B trains */
    float *scratch; /* [threads, TILE (in + R)] */
    int64_t T, in, out, R;
} job;

static float *own_scratch(const job *j)
{
    return j->scratch + ft_thread_id() * TILE * (j->in + j->R);
}

/* to (+)= the masks of rows [r, r + rows) times from, as many tokens at once as lie one behind the other. */
static void drop(const job *j, float *to, const float *from, int64_t r, int64_t rows, bool add)
{
    const int64_t *token = j->s->token;
    for (int64_t i = 0, n; i < rows; i += n) {
        int64_t at = token ? token[r + i] : r + i;
        for (n = 1; i + n < rows && (!token || token[r + i + n] == at + n);)
            n++;
        j->k->dropout(to + i * j->in, from + i * j->in, &j->s->dropout, (uint64_t)((j->s->first + at) * j->in),
                      n * j->in, add);
    }
}

/* The tile's rows of x after dropout: x itself when there is none. */
static const float *dropped(const job *j, int64_t r, int64_t rows, float *room)
{
    const float *x = j->x + r * j->in;
    if (!j->s->dropout.drop)
        return x;
    drop(j, room, x, r, rows, false);
    return room;
}

static void forward_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t r = tile * TILE, rows = FT_MIN((int64_t)TILE, j->T - r);
    const float *x = dropped(j, r, rows, own_scratch(j));
    float *h = j->s->h + r * j->R;
    ft_gemm(j->e, false, true, rows, j->R, j->in, 1, x, j->in, j->a, j->in, false, h, j->R, j->room);
    ft_gemm(j->e, false, true, rows, j->out, j->R, j->s->scale, h, j->R, j->b, j->R, true, j->y + r * j->out, j->out,
            j->room);
}

static void backward_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t r = tile * TILE, rows = FT_MIN((int64_t)TILE, j->T - r);
    float *room = own_scratch(j), *dh = room + TILE * j->in;
    const float *dy = j->dy + r * j->out, scale = j->s->scale;
    ft_gemm(j->e, false, false, rows, j->R, j->out, scale, dy, j->out, j->b, j->R, false, dh, j->R, j->room);
    if (j->parts) {
        float *da = j->parts + tile * j->R * (j->in + j->out), *db = da + j->R * j->in;
        ft_gemm(j->e, true, false, j->R, j->in, rows, 1, dh, j->R, dropped(j, r, rows, room), j->in, false, da, j->in,
                j->room);
        ft_gemm(j->e, true, false, j->out, j->R, rows, scale, dy, j->out, j->s->h + r * j->R, j->R, false, db, j->R,
                j->room);
    }
    if (!j->dx)
        return;
    float *dx = j->dx + r * j->in;
    if (!j->s->dropout.drop) {
        ft_gemm(j->e, false, false, rows, j->in, j->R, 1, dh, j->R, j->a, j->in, j->add_dx, dx, j->in, j->room);
        return;
    }
    ft_gemm(j->e, false, false, rows, j->in, j->R, 1, dh, j->R, j->a, j->in, false, room, j->in, j->room);
    drop(j, dx, room, r, rows, j->add_dx);
}

static int64_t tiles_of(int64_t T)
{
    return (T + TILE - 1) / TILE;
}

static float *lend_scratch(ft_tape *t, const job *j)
{
    return ft_grad__lend(t, (size_t)ft_threads() * TILE * (size_t)(j->in + j->R));
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

static void backward(ft_tape *t, const ft_node *n)
{
    ft_var *y = n->in[0], *x = n->in[1];
    const ft_param *a = n->param[0], *b = n->param[1];
    job j = {.k = ft_kernels_active(),
             .e = t->engine,
             .room = t->scratch,
             .s = n->saved,
             .x = ft_grad__value(t, x),
             .a = a->t.data,
             .b = b->t.data,
             .dy = n->out->g,
             .T = x->rows,
             .in = x->cols,
             .out = n->out->cols,
             .R = ft_tensor_rows(&a->t)};
    bool trains = a->trainable || b->trainable;
    j.dx = ft_grad__of(t, x, &j.add_dx);
    if (trains)
        j.parts = ft_grad__lend(t, (size_t)(tiles_of(j.T) * j.R * (j.in + j.out)));
    j.scratch = lend_scratch(t, &j);
    if (t->status == FT_OK) {
        ft_grad__run(t, tiles_of(j.T), backward_tile, &j);
        if (trains && !t->dry)
            add_parts(&j, a, b);
        ft_grad__pass_on(t, y, n->out);
    }
    ft_grad__give_back(t, j.parts);
    ft_grad__give_back(t, j.scratch);
}

static bool shapes_fit(ft_tape *t, const ft_var *y, const ft_var *x, const ft_param *a, const ft_param *b)
{
    char sx[96], sy[96], sa[96], sb[96];
    const ft_op *op = &ft_grad__lora;
    if (!ft_grad__check_weight(t, op, a, x->cols) || !ft_grad__check_weight(t, op, b, ft_tensor_rows(&a->t)))
        return false;
    if (a->t.dtype != &ft_f32 || b->t.dtype != &ft_f32)
        ft_grad__fail(t, op, FT_EINPUT, "%s is %s and %s is %s, both must be f32", a->name, a->t.dtype->name, b->name,
                      b->t.dtype->name);
    else if (x == y || x->rows != y->rows || ft_tensor_rows(&b->t) != y->cols)
        ft_grad__fail(t, op, FT_EINPUT, "x %s and y %s do not fit A %s and B %s", ft_grad__shape(x, sx),
                      ft_grad__shape(y, sy), ft_shape_text(a->t.ndim, a->t.shape, sa),
                      ft_shape_text(b->t.ndim, b->t.shape, sb));
    return t->status == FT_OK;
}

/* dh, dA and dB cost as much as their forward products, dx as much as h. */
static void count(ft_tape *t, const job *j, const ft_var *x, bool trains)
{
    double a = 2.0 * (double)(j->T * j->R) * (double)j->in, b = 2.0 * (double)(j->T * j->R) * (double)j->out;
    ft_grad__count(t, a + b, b + (trains ? a + b : 0) + (x->needs_grad ? a : 0));
}

ft_var *ft_op_lora(ft_tape *t, ft_var *y, ft_var *x, ft_param *a, ft_param *b, float scale, float dropout,
                   uint32_t site, const int64_t *token)
{
    const ft_op *op = &ft_grad__lora;
    if (!ft_grad__ready(t, op, (ft_var *[]){y, x}, 2) || !shapes_fit(t, y, x, a, b))
        return NULL;
    if (!(dropout >= 0 && dropout < 1))
        return ft_grad__fail(t, op, FT_EINPUT, "dropout %g is not in [0, 1)", (double)dropout);
    job j = {.k = ft_kernels_active(),
             .e = t->engine,
             .room = t->scratch,
             .x = x->v,
             .a = a->t.data,
             .b = b->t.data,
             .T = x->rows,
             .in = x->cols,
             .out = y->cols,
             .R = ft_tensor_rows(&a->t)};
    saved *s = ft_grad__alloc(t, 1, sizeof *s);
    float *h = ft_grad__alloc(t, (size_t)(j.T * j.R), sizeof *h);
    const float *old;
    ft_var *out = ft_grad__take_over(t, y, &old);
    j.scratch = lend_scratch(t, &j);
    if (t->status != FT_OK)
        return NULL;
    *s = (saved){.h = h,
                 .scale = scale,
                 .first = t->first_token,
                 .token = token,
                 .dropout = ft_dropout_of(t->seed, t->step, site, t->record ? dropout : 0)};
    if (!t->dry && out->v != old)
        ft_copy_all(out->v, old, out->rows * out->cols);
    j.s = s;
    j.y = out->v;
    ft_grad__run(t, tiles_of(j.T), forward_tile, &j);
    ft_grad__give_back(t, j.scratch);
    bool trains = a->trainable || b->trainable;
    count(t, &j, x, trains);
    x->kept |= t->record && trains;
    return ft_grad__record(t, (ft_node){.op = op, .out = out, .in = {y, x}, .param = {a, b}, .saved = s}) ? out : NULL;
}

const ft_op ft_grad__lora = {
    .name = "lora",
    .saves = "x, dropout(x) A^T [T, R]; the mask is made again",
    .flops = "2 T R (in + out); backward 2 T R out for dh, 2 T R (in + out) for dA and dB, 2 T R in for dx",
    .backward = backward,
    .cases = (const ft_op_case[]){{.T = 1, .in = 1, .out = 1, .rank = 1},
                                  {.T = 5, .in = 33, .out = 17, .rank = 4},
                                  {.T = 300, .in = 35, .out = 20, .rank = 16, .dropout = 0.25f},
                                  {.T = 131, .in = 64, .out = 7, .rank = 3, .dropout = 0.5f},
                                  {.T = 140, .in = 19, .out = 7, .rank = 3, .dropout = 0.5f, .unread = 3},
                                  {0}}};
