/* add: a + b of one shape, written over b. */
#include "grad/tape.h"

static void backward(ft_tape *t, const ft_node *n)
{
    bool add;
    ft_var *a = n->in[0], *b = n->in[1], *y = n->out;
    if (!b->needs_grad) {
        ft_grad__pass_on(t, a, y);
        return;
    }
    float *da = ft_grad__of(t, a, &add);
    if (da && add && !t->dry)
        ft_add_all(da, da, y->g, a->rows * a->cols);
    else if (da && !t->dry)
        ft_copy_all(da, y->g, a->rows * a->cols);
    ft_grad__pass_on(t, b, y);
}

ft_var *ft_op_add(ft_tape *t, ft_var *a, ft_var *b)
{
    const ft_op *op = &ft_grad__add;
    char sa[96], sb[96];
    if (!ft_grad__ready(t, op, (ft_var *[]){a, b}, 2))
        return NULL;
    if (a->rows != b->rows || a->cols != b->cols)
        return ft_grad__fail(t, op, FT_EINPUT, "%s + %s", ft_grad__shape(a, sa), ft_grad__shape(b, sb));
    const float *old, *first = a->v;
    ft_var *y = ft_grad__take_over(t, b, &old);
    if (!y)
        return NULL;
    if (!t->dry)
        ft_add_all(y->v, first, old, a->rows * a->cols);
    return ft_grad__record(t, (ft_node){.op = op, .out = y, .in = {a, b}}) ? y : NULL;
}

const ft_op ft_grad__add = {.name = "add",
                            .saves = "nothing",
                            .flops = "none",
                            .backward = backward,
                            .cases = (const ft_op_case[]){{.T = 1, .in = 1}, {.T = 35, .in = 77}, {0}}};
