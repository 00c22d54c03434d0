/* logits: x W^T with the final softcap, for decoding. Training goes through head_loss, which keeps no logits. */
#include "grad/tape.h"

ft_var *ft_op_logits(ft_tape *t, ft_var *x, ft_param *w, float cap)
{
    const ft_op *op = &ft_grad__logits;
    if (!ft_grad__ready(t, op, &x, 1) || !ft_grad__check_weight(t, op, w, x->cols))
        return NULL;
    int64_t V = ft_tensor_rows(&w->t);
    ft_var *y = ft_grad__var(t, NULL, x->rows, V);
    if (!y)
        return NULL;
    if (!t->dry)
        ft_linear_forward(t->engine, y->v, x->v, x->rows, &w->t, NULL, NULL, t->scratch);
    if (!t->dry && cap > 0)
        ft_kernels_active()->softcap(y->v, cap, x->rows * V);
    ft_grad__count(t, 2.0 * (double)x->rows * (double)x->cols * (double)V, 0);
    return ft_grad__record(t, (ft_node){.op = op, .out = y, .in = {x}, .param = {w}}) ? y : NULL;
}

const ft_op ft_grad__logits = {
    .name = "logits",
    .saves = "nothing",
    .flops = "2 T C V",
    .backward = NULL,
    .cases =
        (const ft_op_case[]){{.T = 1, .in = 33, .vocab = 70}, {.T = 9, .in = 33, .vocab = 300, .softcap = 3}, {0}}};
