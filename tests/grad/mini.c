#include "mini.h"

static void add_param(mini *m, ft_param *p, int64_t rows, int64_t cols, bool trains, float around)
{
    *p = (ft_param){.name = "mini", .trainable = trains, .t = {.dtype = &ft_f32, .ndim = 2, .shape = {rows, cols}}};
    size_t n = (size_t)(rows * cols);
    float *w = ft_alloc(n, sizeof *w);
    ft_fill_normal(w, n, 0.2f, 1, FT_STREAM_TEST, (uint64_t)m->n);
    for (size_t i = 0; i < n; i++)
        w[i] += around;
    p->t.data = w;
    p->grad = trains ? ft_alloc(n, sizeof *p->grad) : NULL;
    m->all[m->n++] = p;
}

static void add_layer(mini *m, mini_layer *l, bool full)
{
    add_param(m, &l->norm1, 1, MINI_C, full, 1);
    add_param(m, &l->q, MINI_H * MINI_D, MINI_C, full, 0);
    add_param(m, &l->k, MINI_K * MINI_D, MINI_C, full, 0);
    add_param(m, &l->v, MINI_K * MINI_D, MINI_C, full, 0);
    add_param(m, &l->o, MINI_C, MINI_H * MINI_D, full, 0);
    add_param(m, &l->norm2, 1, MINI_C, full, 1);
    add_param(m, &l->gate, MINI_F, MINI_C, full, 0);
    add_param(m, &l->up, MINI_F, MINI_C, full, 0);
    add_param(m, &l->down, MINI_C, MINI_F, full, 0);
    add_param(m, &l->a, MINI_R, MINI_C, true, 0);
    add_param(m, &l->b, MINI_H * MINI_D, MINI_R, true, 0);
}

void mini_new(mini *m, bool full)
{
    *m = (mini){.start = {0, 1, 40, 40, MINI_T}};
    m->seg = (ft_segments){.n = 4, .start = m->start};
    add_param(m, &m->table, MINI_V, MINI_C, full, 0);
    add_param(m, &m->norm, 1, MINI_C, full, 1);
    for (int i = 0; i < MINI_LAYERS; i++)
        add_layer(m, &m->layers[i], full);
    for (int i = 0; i < MINI_T; i++) {
        m->ids[i] = (i * 37 + 11) % MINI_V;
        m->targets[i] = i % 4 ? (i * 53 + 5) % MINI_V : -1;
    }
    for (int i = 0; i < MINI_D / 2; i++)
        m->inv_freq[i] = powf(1000, -2.0f * (float)i / MINI_D);
}

void mini_free(mini *m)
{
    for (int i = 0; i < m->n; i++) {
        ft_free(m->all[i]->t.data);
        ft_free(m->all[i]->grad);
    }
}

static ft_var *block(ft_tape *t, ft_var *x, void *ctx, int64_t layer)
{
    mini *m = ctx;
    mini_layer *l = &m->layers[layer];
    ft_rope rope = {.inv_freq = m->inv_freq, .rot = MINI_D, .factor = 1};
    ft_attention_spec spec = {.heads = MINI_H, .kv_heads = MINI_K, .head_dim = MINI_D, .scale = 0.35f, .causal = true};
    ft_var *h = ft_op_rmsnorm(t, x, &l->norm1, 1e-5f, 0);
    ft_lora lora = {.a = &l->a, .b = &l->b, .scale = 2, .dropout = m->dropout, .site = (uint32_t)layer};
    ft_var *q = ft_op_lora(t, h, &l->q, NULL, &lora);
    q = ft_op_rope(t, q, MINI_H, MINI_D, &rope, &m->seg);
    ft_var *k = ft_op_rope(t, ft_op_linear(t, h, &l->k, NULL), MINI_K, MINI_D, &rope, &m->seg);
    ft_var *v = ft_op_linear(t, h, &l->v, NULL);
    ft_var *a = ft_op_attention(t, q, k, v, &spec, &m->seg, m->kv ? &m->kv[layer] : NULL);
    x = ft_op_add(t, x, ft_op_linear(t, a, &l->o, NULL));
    h = ft_op_rmsnorm(t, x, &l->norm2, 1e-5f, 0);
    ft_var *f = ft_op_glu(t, ft_op_linear(t, h, &l->gate, NULL), ft_op_linear(t, h, &l->up, NULL), FT_GATE_SILU);
    return ft_op_add(t, x, ft_op_linear(t, f, &l->down, NULL));
}

ft_var *mini_forward(mini *m, ft_tape *t, const int32_t *ids, int64_t T)
{
    ft_var *x = ft_op_embedding(t, &m->table, ids, T, 1);
    for (int i = 0; i < MINI_LAYERS; i++)
        x = m->loose ? block(t, x, m, i) : ft_block(t, x, block, m, i, m->checkpoint);
    return ft_op_rmsnorm(t, x, &m->norm, 1e-5f, 0);
}

ft_status mini_step(mini *m, ft_tape *t, ft_loss *loss, uint64_t step)
{
    ft_tape_begin(t, true, 9, step);
    ft_var *x = mini_forward(m, t, m->ids, m->seg.start[m->seg.n]);
    ft_status st = ft_op_head_loss(t, x, &m->table, m->targets, 0, 0.01, loss);
    return st == FT_OK ? ft_tape_backward(t) : st;
}
