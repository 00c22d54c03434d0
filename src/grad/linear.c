/* linear: y = x W^T (+ bias) over a weight of any dtype. */
#include "grad/tape.h"

void ft_grad__linear_dx(ft_tape *t, float *dx, const float *dy, int64_t T, const ft_param *w, const ft_update *updates,
                        bool add)
{
    size_t floats = ft_linear_parts(T, ft_tensor_cols(&w->t), ft_tensor_rows(&w->t));
    float *parts = floats ? ft_grad__lend(t, floats) : NULL;
    if (!t->dry && (parts || !floats))
        ft_linear_grad_x(t->engine, dx, dy, T, &w->t, updates, add, t->scratch, parts);
    ft_grad__give_back(t, parts);
}

void ft_grad__linear_dw(ft_tape *t, const ft_param *w, const float *dy, const float *x, int64_t T)
{
    int64_t out = ft_tensor_rows(&w->t), in = ft_tensor_cols(&w->t);
    size_t floats = ft_linear_parts(out, in, T);
    float *parts = floats ? ft_grad__lend(t, floats) : NULL;
    if (!t->dry && (parts || !floats))
        ft_linear_grad_w(t->engine, w->grad, dy, x, T, out, in, t->scratch, parts);
    ft_grad__give_back(t, parts);
}

void ft_grad__linear_params(ft_tape *t, const ft_param *w, const ft_param *bias, ft_var *x, const ft_var *y)
{
    const float *values = w->trainable ? ft_grad__value(t, x) : NULL;
    if (values)
        ft_grad__linear_dw(t, w, y->g, values, x->rows);
    if (!t->dry && ft_grad__trains(bias))
        ft_linear_grad_bias(bias->grad, y->g, x->rows, y->cols);
}

bool ft_grad__linear_fits(ft_tape *t, const ft_op *op, const ft_var *x, const ft_param *w, const ft_param *bias)
{
    if (!ft_grad__check_weight(t, op, w, x->cols))
        return false;
    int64_t out = ft_tensor_rows(&w->t);
    if (bias && (ft_tensor_count(&bias->t) != out || bias->t.dtype != &ft_f32))
        ft_grad__fail(t, op, FT_EINPUT, "the bias %s has %lld %s elements, %lld of f32 are needed", bias->name,
                      (long long)ft_tensor_count(&bias->t), bias->t.dtype->name, (long long)out);
    return t->status == FT_OK;
}

void ft_grad__linear_count(ft_tape *t, const ft_var *x, const ft_param *w)
{
    double once = 2.0 * (double)x->rows * (double)ft_tensor_count(&w->t);
    ft_grad__count(t, once, once * (x->needs_grad + w->trainable));
}

static void backward(ft_tape *t, const ft_node *n)
{
    bool add;
    ft_var *x = n->in[0], *y = n->out;
    float *dx = ft_grad__of(t, x, &add);
    if (dx)
        ft_grad__linear_dx(t, dx, y->g, x->rows, n->param[0], NULL, add);
    ft_grad__linear_params(t, n->param[0], n->param[1], x, y);
}

ft_var *ft_op_linear(ft_tape *t, ft_var *x, ft_param *w, ft_param *bias)
{
    const ft_op *op = &ft_grad__linear;
    if (!ft_grad__ready(t, op, &x, 1) || !ft_grad__linear_fits(t, op, x, w, bias))
        return NULL;
    ft_var *y = ft_grad__var(t, NULL, x->rows, ft_tensor_rows(&w->t));
    if (!y)
        return NULL;
    if (!t->dry)
        ft_linear_forward(t->engine, y->v, x->v, x->rows, &w->t, bias ? bias->t.data : NULL, NULL, t->scratch);
    ft_grad__linear_count(t, x, w);
    x->kept |= t->record && w->trainable;
    return ft_grad__record(t, (ft_node){.op = op, .out = y, .in = {x}, .param = {w, bias}}) ? y : NULL;
}

const ft_op ft_grad__linear = {.name = "linear",
                               .saves = "x, where W trains",
                               .flops = "2 T in out; the same for dx, the same for dW",
                               .backward = backward,
                               .cases =
                                   (const ft_op_case[]){{.T = 1, .in = 1, .out = 1},
                                                        {.T = 1, .in = 70, .out = 67, .bias = true},
                                                        {.T = 3, .in = 33, .out = 130},
                                                        {.T = 65, .in = 70, .out = 33, .bias = true},
                                                        {.T = 5, .in = 300, .out = 530},
                                                        {.T = 600, .in = 17, .out = 19},
                                                        {.T = 6, .in = 32, .out = 8200, .dtype = &ft_q8_0},
                                                        {.T = 1, .in = 96, .out = 70, .dtype = &ft_q8_0},
                                                        {.T = 7, .in = 320, .out = 65, .dtype = &ft_q8_0, .bias = true},
                                                        {.T = 1, .in = 45, .out = 3, .dtype = &ft_f16},
                                                        {.T = 9, .in = 45, .out = 300, .dtype = &ft_f16},
                                                        {.T = 2, .in = 45, .out = 9, .dtype = &ft_bf16},
                                                        {.T = 9, .in = 545, .out = 31, .dtype = &ft_bf16},
                                                        {0}}};
