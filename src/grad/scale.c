/* scale: y = a x, written over x. */
#include "grad/tape.h"

static void backward(ft_tape *t, const ft_node *n)
{
    const float *a = n->saved;
    if (!t->dry)
        ft_scale_all(n->out->g, *a, n->out->rows * n->out->cols);
    ft_grad__pass_on(t, n->in[0], n->out);
}

ft_var *ft_op_scale(ft_tape *t, ft_var *x, float a)
{
    const ft_op *op = &ft_grad__scale;
    const float *old;
    if (!ft_grad__ready(t, op, &x, 1))
        return NULL;
    float *saved = ft_grad__alloc(t, 1, sizeof *saved);
    ft_var *y = saved ? ft_grad__take_over(t, x, &old) : NULL;
    if (!y)
        return NULL;
    *saved = a;
    if (!t->dry && y->v != old)
        ft_copy_all(y->v, old, y->rows * y->cols);
    if (!t->dry)
        ft_scale_all(y->v, a, y->rows * y->cols);
    return ft_grad__record(t, (ft_node){.op = op, .out = y, .in = {x}, .saved = saved}) ? y : NULL;
}

const ft_op ft_grad__scale = {.name = "scale",
                              .saves = "nothing",
                              .flops = "none",
                              .backward = backward,
                              .cases = (const ft_op_case[]){{.T = 1, .in = 1}, {.T = 35, .in = 77}, {0}}};
