/* embedding: y[i] = table[ids[i]] * scale, out of a table of any dtype. */
#include "grad/tape.h"

typedef struct saved {
    const int64_t *ids; /* [T] */
    float scale;
} saved;

typedef struct job {
    const ft_kernels *k;
    ft_reader reader;
    const ft_tensor *table;
    const int64_t *ids;
    float *y, scale;
    int64_t T, C;
} job;

static void forward_tile(void *ctx, int64_t tile)
{
    const job *j = ctx;
    int64_t end = FT_MIN(j->T, (tile + 1) * FT_ROW_TILE);
    for (int64_t i = tile * FT_ROW_TILE; i < end; i++) {
        j->reader.decode(ft_tensor_row(j->table, j->ids[i]), j->C, j->y + i * j->C);
        if (j->scale != 1)
            j->k->scale(j->y + i * j->C, j->scale, j->C);
    }
}

static void backward(ft_tape *t, const ft_node *n)
{
    const saved *s = n->saved;
    ft_grad__scatter_add(t, n->param[0]->grad, s->ids, n->out->rows, n->out->g, n->out->cols, s->scale);
}

static const int64_t *checked_ids(ft_tape *t, const ft_param *table, const int32_t *ids, int64_t T)
{
    int64_t V = ft_tensor_rows(&table->t), *copy = ft_grad__alloc(t, (size_t)T, sizeof *copy);
    for (int64_t i = 0; copy && i < T; i++) {
        if (ids[i] < 0 || ids[i] >= V)
            return ft_grad__fail(t, &ft_grad__embedding, FT_EINPUT, "token %lld has id %d, the table has %lld rows",
                                 (long long)i, ids[i], (long long)V);
        copy[i] = ids[i];
    }
    return copy;
}

ft_var *ft_op_embedding(ft_tape *t, ft_param *table, const int32_t *ids, int64_t T, float scale)
{
    const ft_op *op = &ft_grad__embedding;
    if (!ft_grad__ready(t, op, NULL, 0) || !ft_grad__check_weight(t, op, table, 0))
        return NULL;
    if (T <= 0)
        return ft_grad__fail(t, op, FT_EINPUT, "%lld tokens", (long long)T);
    int64_t C = ft_tensor_cols(&table->t);
    saved *s = ft_grad__alloc(t, 1, sizeof *s);
    const int64_t *copy = checked_ids(t, table, ids, T);
    ft_var *y = copy ? ft_grad__var(t, NULL, T, C) : NULL;
    if (!y || !s)
        return NULL;
    *s = (saved){.ids = copy, .scale = scale};
    const ft_kernels *k = ft_kernels_active();
    job j = {.k = k,
             .reader = ft_kernel_reader(k, table->t.dtype),
             .table = &table->t,
             .ids = copy,
             .y = y->v,
             .scale = scale,
             .T = T,
             .C = C};
    ft_grad__run(t, ft_grad__row_tiles(T), forward_tile, &j);
    return ft_grad__record(t, (ft_node){.op = op, .out = y, .param = {table}, .saved = s}) ? y : NULL;
}

const ft_op ft_grad__embedding = {.name = "embedding",
                                  .saves = "ids",
                                  .flops = "none",
                                  .backward = backward,
                                  .cases = (const ft_op_case[]){{.T = 1, .in = 1, .vocab = 1},
                                                                {.T = 70, .in = 67, .vocab = 5},
                                                                {.T = 33, .in = 576, .vocab = 40},
                                                                {.T = 5, .in = 32, .vocab = 9, .dtype = &ft_q8_0},
                                                                {.T = 5, .in = 7, .vocab = 9, .dtype = &ft_bf16},
                                                                {0}}};
