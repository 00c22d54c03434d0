/* vector_loss: a loss over the cosines of a batch's vectors, and its gradient for them.
 *
 *   s[a, d] = y_a . y_d / (|y_a| |y_d|)      anchors against all other texts
 *   dy_a += sum over d of ds[a, d] (u_d - s[a, d] u_a) / |y_a|, and the same the other way round; u = y / |y|
 *
 * The op is a root: its gradients are complete when it returns. Cosines and what is made of them are f64, and each text's
 * gradient is one thread's, in a fixed order. Memory: two matrices [rows, docs] of f64.
 */
#include "grad/tape.h"
#include "grad/vectors.h"

#include <math.h>
#include <string.h>

typedef struct job {
    const ft_kernels *k;
    const ft_vector_rows *rows;
    const float *y; /* [S, C], of which the first `dim` columns count */
    float *dy;
    int64_t C, dim, docs;
    int64_t *row;     /* [S]: the row of a text */
    double *inverse;  /* [S] 1 / |y| */
    double *s, *ds;   /* [n, docs] */
    double weight;
} job;

static bool is_anchor(const job *j, int64_t text)
{
    return j->rows->first[j->row[text]] == text;
}

/* Of a text that is no anchor. */
static int64_t doc_of(const job *j, int64_t text)
{
    return text - j->row[text] - 1;
}

static void norm_of(void *ctx, int64_t i)
{
    const job *j = ctx;
    double length = sqrt(j->k->sum_squares(j->y + i * j->C, j->dim));
    j->inverse[i] = 1 / fmax(length, 1e-12);
}

static void cosines_of(void *ctx, int64_t r)
{
    const job *j = ctx;
    int64_t a = j->rows->first[r], S = j->rows->first[j->rows->n];
    for (int64_t i = 0; i < S; i++)
        if (!is_anchor(j, i))
            j->s[r * j->docs + doc_of(j, i)] =
                (double)j->k->dot(j->y + a * j->C, j->y + i * j->C, j->dim) * j->inverse[a] * j->inverse[i];
}

/* dy of text i from its partner p, whose cosine is s and the loss's gradient for that is ds. Returns what it takes of y_i. */
static double from_partner(const job *j, int64_t i, int64_t p, double s, double ds)
{
    if (ds != 0)
        j->k->axpy(j->dy + i * j->C, (float)(j->weight * ds * j->inverse[i] * j->inverse[p]), j->y + p * j->C, j->dim);
    return ds * s;
}

static void gradient_of(void *ctx, int64_t i)
{
    const job *j = ctx;
    int64_t n = j->rows->n, S = j->rows->first[n];
    double along = 0;
    if (is_anchor(j, i)) {
        const double *s = j->s + j->row[i] * j->docs, *ds = j->ds + j->row[i] * j->docs;
        for (int64_t p = 0; p < S; p++)
            if (!is_anchor(j, p))
                along += from_partner(j, i, p, s[doc_of(j, p)], ds[doc_of(j, p)]);
    } else {
        for (int64_t r = 0, d = doc_of(j, i); r < n; r++)
            along += from_partner(j, i, j->rows->first[r], j->s[r * j->docs + d], j->ds[r * j->docs + d]);
    }
    j->k->axpy(j->dy + i * j->C, (float)(-j->weight * along * j->inverse[i] * j->inverse[i]), j->y + i * j->C, j->dim);
}

/* One length of the vectors; share: of the whole loss. */
static void run_dim(job *j, const ft_vector_objective *o, double weight, double share, ft_loss *loss, bool last)
{
    int64_t S = j->rows->first[j->rows->n], correct = 0;
    j->weight = weight * share;
    ft_parallel(S, norm_of, j);
    ft_parallel(j->rows->n, cosines_of, j);
    memset(j->ds, 0, (size_t)(j->rows->n * j->docs) * sizeof *j->ds);
    ft_similarities s = {.rows = j->rows, .docs = j->docs, .s = j->s, .scale = o->scale, .margin = o->margin};
    loss->sum += share * o->loss->of(&s, j->ds, &correct);
    loss->correct += last ? correct : 0;
    if (j->dy)
        ft_parallel(S, gradient_of, j);
}

/* Fails for the op. */
static void check_rows(ft_tape *t, const ft_var *y, const ft_vector_rows *rows, const ft_vector_objective *o)
{
    const ft_op *op = &ft_grad__vector_loss;
    const ft_vector_loss *l = o->loss;
    if (rows->n < 1 || rows->first[0] != 0 || rows->first[rows->n] != y->rows)
        ft_grad__fail(t, op, FT_EINPUT, "%lld rows do not cover %lld texts", (long long)rows->n, (long long)y->rows);
    else if (l->scored != (rows->score != NULL))
        ft_grad__fail(t, op, FT_EINPUT, "%s wants rows %s a score", l->name, l->scored ? "with" : "without");
    for (int64_t r = 0; r < rows->n && t->status == FT_OK; r++) {
        int64_t n = rows->first[r + 1] - rows->first[r];
        if (n < l->texts || (l->scored && n != 2))
            ft_grad__fail(t, op, FT_EINPUT, "%s wants rows of %lld texts%s, row %lld has %lld", l->name, (long long)l->texts,
                          l->scored ? "" : " or more", (long long)r, (long long)n);
    }
    for (size_t i = 0; i < o->n_dims && t->status == FT_OK; i++)
        if (o->dims[i] < 1 || o->dims[i] > y->cols)
            ft_grad__fail(t, op, FT_EINPUT, "%lld dimensions of vectors of %lld", (long long)o->dims[i], (long long)y->cols);
}

static bool make_room(ft_tape *t, job *j, int64_t S)
{
    size_t cells = (size_t)(j->rows->n * j->docs);
    j->row = ft_grad__alloc(t, (size_t)S, sizeof *j->row);
    j->inverse = ft_grad__alloc(t, (size_t)S, sizeof *j->inverse);
    j->s = ft_grad__alloc(t, cells, sizeof *j->s);
    j->ds = ft_grad__alloc(t, cells, sizeof *j->ds);
    if (t->status != FT_OK)
        return false;
    for (int64_t r = 0; r < j->rows->n; r++)
        for (int64_t i = j->rows->first[r]; i < j->rows->first[r + 1]; i++)
            j->row[i] = r;
    return true;
}

/* The gradient of y, zero where nothing stood in it; NULL: not needed. */
static float *begin_gradient(ft_tape *t, ft_var *y, bool wanted)
{
    bool add;
    float *dy = wanted ? ft_grad__of(t, y, &add) : NULL;
    if (dy && !add && !t->dry)
        ft_zero_all(dy, y->rows * y->cols);
    return dy;
}

ft_status ft_op_vector_loss(ft_tape *t, ft_var *y, const ft_vector_rows *rows, const ft_vector_objective *o, double weight,
                            ft_loss *loss)
{
    const ft_op *op = &ft_grad__vector_loss;
    if (!ft_grad__ready(t, op, &y, 1))
        return t->status;
    check_rows(t, y, rows, o);
    if (t->status != FT_OK)
        return t->status;
    bool wanted = ft_grad__wanted(t, &(ft_node){.in = {y}});
    float *dy = begin_gradient(t, y, wanted);
    ft_arena_mark mark = ft_arena_now(t->values.arena);
    job j = {.k = ft_kernels_active(), .rows = rows, .y = y->v, .dy = dy, .C = y->cols, .docs = y->rows - rows->n};
    loss->count += rows->n;
    size_t lengths = FT_MAX(o->n_dims, (size_t)1);
    if (make_room(t, &j, y->rows) && !t->dry)
        for (size_t i = 0; i < lengths; i++) {
            j.dim = o->n_dims ? o->dims[i] : y->cols;
            run_dim(&j, o, weight, 1 / (double)lengths, loss, i == 0);
        }
    ft_arena_release(t->values.arena, mark);
    double once = 2.0 * (double)(rows->n * j.docs) * (double)y->cols * (double)lengths;
    ft_grad__count(t, once, y->needs_grad ? 2 * once : 0);
    return t->status;
}

static const ft_vector_objective objectives[] = {
    {.loss = &ft_vector_loss_infonce, .scale = 20},
    {.loss = &ft_vector_loss_infonce, .scale = 3, .dims = {70, 7, 1}, .n_dims = 3},
    {.loss = &ft_vector_loss_triplet, .margin = 0.3},
    {.loss = &ft_vector_loss_cosent, .scale = 5},
    {.loss = &ft_vector_loss_cosine, .dims = {9, 33}, .n_dims = 2},
};

/* out: texts of a row */
const ft_op ft_grad__vector_loss = {
    .name = "vector_loss",
    .saves = "nothing: its gradients are made at once",
    .flops = "2 rows docs C; twice that for dy",
    .backward = NULL,
    .cases = (const ft_op_case[]){{.T = 2, .in = 3, .out = 2, .objective = &objectives[0]},
                                  {.T = 22, .in = 33, .out = 2, .objective = &objectives[0]},
                                  {.T = 40, .in = 70, .out = 4, .objective = &objectives[1]},
                                  {.T = 36, .in = 33, .out = 3, .objective = &objectives[2]},
                                  {.T = 28, .in = 9, .out = 2, .objective = &objectives[3]},
                                  {.T = 10, .in = 33, .out = 2, .objective = &objectives[4]},
                                  {0}}};
