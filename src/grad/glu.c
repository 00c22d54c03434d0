/* glu: act(gate) * up, where act is silu (SwiGLU) or gelu by its tanh form (GeGLU). */
#include "grad/tape.h"

typedef struct job {
    const ft_kernels *k;
    ft_gate act;
    const float *gate, *up, *dy;
    float *y, *dgate, *dup;
    bool add_gate, add_up;
    int64_t rows, n;
} job;

static void forward_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t r = tile * FT_ROW_TILE, rows = FT_MIN((int64_t)FT_ROW_TILE, j->rows - r), at = r * j->n;
    (j->act == FT_GATE_SILU ? j->k->swiglu : j->k->geglu)(j->y + at, j->gate + at, j->up + at, rows * j->n);
}

static void backward_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t r = tile * FT_ROW_TILE, rows = FT_MIN((int64_t)FT_ROW_TILE, j->rows - r), at = r * j->n;
    (j->act == FT_GATE_SILU ? j->k->swiglu_grad : j->k->geglu_grad)(
        j->dgate ? j->dgate + at : NULL, j->dup ? j->dup + at : NULL, j->dy + at, j->gate + at, j->up + at, rows * j->n,
        j->add_gate, j->add_up);
}

static job job_of(ft_tape *t, const ft_node *n)
{
    const ft_gate *act = n->saved;
    return (job){.k = ft_kernels_active(),
                 .act = *act,
                 .gate = ft_grad__value(t, n->in[0]),
                 .up = ft_grad__value(t, n->in[1]),
                 .y = n->out->v,
                 .dy = n->out->g,
                 .rows = n->out->rows,
                 .n = n->out->cols};
}

static void run_forward(ft_tape *t, const ft_node *n)
{
    job j = job_of(t, n);
    ft_grad__run(t, ft_grad__row_tiles(j.rows), forward_tile, &j);
}

static void backward(ft_tape *t, const ft_node *n)
{
    ft_var *gate = n->in[0], *up = n->in[1];
    job j = job_of(t, n);
    j.dgate = ft_grad__of(t, gate, &j.add_gate);
    j.dup = ft_grad__of(t, up, &j.add_up);
    ft_grad__run(t, ft_grad__row_tiles(j.rows), backward_tile, &j);
}

ft_var *ft_op_glu(ft_tape *t, ft_var *gate, ft_var *up, ft_gate act)
{
    const ft_op *op = &ft_grad__glu;
    char a[96], b[96];
    if (!ft_grad__ready(t, op, (ft_var *[]){gate, up}, 2))
        return NULL;
    if (gate == up || gate->rows != up->rows || gate->cols != up->cols)
        return ft_grad__fail(t, op, FT_EINPUT, "gate is %s, up is %s: two of one shape are needed",
                             ft_grad__shape(gate, a), ft_grad__shape(up, b));
    ft_var *y = ft_grad__result(t, gate->rows, gate->cols);
    ft_gate *saved = ft_grad__alloc(t, 1, sizeof *saved);
    if (!y || !saved)
        return NULL;
    *saved = act;
    return ft_grad__make(t, (ft_node){.op = op, .out = y, .in = {gate, up}, .saved = saved});
}

const ft_op ft_grad__glu = {.name = "glu",
                            .saves = "gate, up",
                            .flops = "none",
                            .backward = backward,
                            .remake = run_forward,
                            .cases = (const ft_op_case[]){{.T = 1, .in = 1},
                                                          {.T = 35, .in = 33},
                                                          {.T = 2, .in = 300},
                                                          {.T = 1, .in = 1, .gate = FT_GATE_GELU},
                                                          {.T = 35, .in = 33, .gate = FT_GATE_GELU},
                                                          {.T = 2, .in = 300, .gate = FT_GATE_GELU},
                                                          {0}}};
