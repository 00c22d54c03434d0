/* mean: y[s] = the mean of the rows of segment s: what pools the states of a text to one vector. */
#include "grad/tape.h"

#include <string.h>

typedef struct job {
    const ft_kernels *k;
    const ft_segments *seg;
    float *all, *mean; /* [T, cols] and [segments, cols] */
    int64_t cols;
    bool add; /* backward: what stands in `all` stays */
} job;

static void forward_segment(void *ctx, int64_t s)
{
    const job *j = ctx;
    int64_t from = j->seg->start[s], to = j->seg->start[s + 1];
    float *y = j->mean + s * j->cols;
    memset(y, 0, (size_t)j->cols * sizeof *y);
    for (int64_t i = from; i < to; i++)
        j->k->add(y, y, j->all + i * j->cols, j->cols);
    j->k->scale(y, 1 / (float)(to - from), j->cols);
}

static void backward_segment(void *ctx, int64_t s)
{
    const job *j = ctx;
    int64_t from = j->seg->start[s], to = j->seg->start[s + 1];
    for (int64_t i = from; i < to; i++) {
        float *dx = j->all + i * j->cols;
        if (!j->add)
            memset(dx, 0, (size_t)j->cols * sizeof *dx);
        j->k->axpy(dx, 1 / (float)(to - from), j->mean + s * j->cols, j->cols);
    }
}

static void backward(ft_tape *t, const ft_node *n)
{
    ft_var *x = n->in[0], *y = n->out;
    job j = {.k = ft_kernels_active(), .seg = n->saved, .mean = y->g, .cols = y->cols};
    if ((j.all = ft_grad__of(t, x, &j.add)))
        ft_grad__run(t, y->rows, backward_segment, &j);
}

ft_var *ft_op_mean(ft_tape *t, ft_var *x, const ft_segments *seg)
{
    const ft_op *op = &ft_grad__mean;
    if (!ft_grad__ready(t, op, &x, 1) || !ft_grad__check_segments(t, op, seg, x->rows))
        return NULL;
    for (int64_t s = 0; s < seg->n; s++)
        if (seg->start[s + 1] == seg->start[s])
            return ft_grad__fail(t, op, FT_EINPUT, "segment %lld has no rows", (long long)s);
    const ft_segments *kept = ft_grad__keep_segments(t, seg);
    ft_var *y = ft_grad__var(t, NULL, seg->n, x->cols);
    if (!kept || !y)
        return NULL;
    job j = {.k = ft_kernels_active(), .seg = kept, .all = x->v, .mean = y->v, .cols = x->cols};
    ft_grad__run(t, seg->n, forward_segment, &j);
    return ft_grad__record(t, (ft_node){.op = op, .out = y, .in = {x}, .saved = kept}) ? y : NULL;
}

const ft_op ft_grad__mean = {.name = "mean",
                             .saves = "the segments",
                             .flops = "none",
                             .backward = backward,
                             .cases = (const ft_op_case[]){{.T = 1, .in = 1, .segments = 1},
                                                           {.T = 9, .in = 70, .segments = 1},
                                                           {.T = 37, .in = 33, .segments = 5},
                                                           {0}}};
