/* One optimizer step.
 *
 *   micro-batches -> forward, loss, backward (gradients add up) -> norm, clip -> optimizer update -> gradients zero
 *
 * The loss of a step is the sum over all its supervised tokens over their number, whatever the micro-batches: the number
 * is counted before the first micro-batch runs. A loss over vectors is the mean over the step's rows, which see the texts of
 * their own micro-batch. Element-wise sweeps (norm, update) go over fixed tiles of the
 * parameters.
 *
 * Memory: two moments of every trained weight, the tokens of a micro-batch, the tape's step; all of it is taken before
 * or in the first step of a length.
 */
#include "base/threads.h"
#include "kernel/kernel.h"
#include "train/batch.h"
#include "train/prefix.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

enum { TILE = 1 << 15, MOST_ROWS_SEARCHED = 1 << 24 };

typedef struct tile {
    size_t param;
    int64_t at, n;
    double square; /* sum of g^2 */
} tile;

struct ft_stepper {
    const ft_train_options *o;
    ft_model *model;
    const ft_rows *rows;
    ft_tape *tape;
    ft_order order;
    ft_batch batch;
    ft_prefix *prefix; /* NULL: something trains in block 0, or rows are for vectors */
    float **moments; /* [trainable * n_moments] */
    tile *tiles;
    size_t n_tiles;
    int64_t total_steps, warmup_steps;
    double run_tokens; /* of all steps */
    int64_t most_read; /* supervised tokens of a micro-batch */
    /* of the running step */
    int64_t step;
    double lr, grad_scale;
};

/* ---- set-up ---- */

static size_t trainable(const ft_stepper *s)
{
    return ft_model_trainable_count(s->model);
}

static ft_status make_tiles(ft_stepper *s)
{
    size_t n = 0;
    for (size_t i = 0; i < trainable(s); i++)
        n += (size_t)((ft_tensor_count(&ft_model_trainable(s->model, i)->t) + TILE - 1) / TILE);
    if (!(s->tiles = ft_alloc(n, sizeof *s->tiles)))
        return FT_ENOMEM;
    for (size_t i = 0; i < trainable(s); i++) {
        int64_t count = ft_tensor_count(&ft_model_trainable(s->model, i)->t);
        for (int64_t at = 0; at < count; at += TILE)
            s->tiles[s->n_tiles++] = (tile){.param = i, .at = at, .n = FT_MIN((int64_t)TILE, count - at)};
    }
    return FT_OK;
}

static ft_status make_moments(ft_stepper *s)
{
    size_t k = (size_t)s->o->optimizer->n_moments;
    if (!(s->moments = ft_alloc(trainable(s) * k, sizeof *s->moments)))
        return FT_ENOMEM;
    for (size_t i = 0; i < trainable(s) * k; i++) {
        const ft_param *p = ft_model_trainable(s->model, i / k);
        if (!(s->moments[i] = ft_alloc((size_t)ft_tensor_count(&p->t), sizeof(float))))
            return FT_ENOMEM;
    }
    return FT_OK;
}

static ft_status make_tape(ft_stepper *s)
{
    FT_RETURN(ft_tape_new(&s->tape));
    ft_tape_compute(s->tape, s->o->compute);
    ft_tape_keep_as(s->tape, s->o->activations);
    if (ft_engine_compute(ft_engine_of(s->o->compute)) != s->o->compute)
        ft_note(FT_WARN, "compute: bf16 needs a CPU with AVX512-BF16, f32 is used");
    return FT_OK;
}

static ft_status check_options(const ft_train_options *o, const ft_rows *rows, const ft_model *m)
{
    if (!rows->n)
        return ft_fail(FT_EINPUT, "there is no row to train on");
    if (o->micro_batch_size < 1 || o->gradient_accumulation_steps < 1)
        return ft_fail(FT_EINPUT, "micro_batch_size and gradient_accumulation_steps must be at least 1");
    if (rows->vectors != (o->objective.loss != NULL))
        return ft_fail(FT_EINPUT, rows->vectors ? "rows for vectors and no loss over vectors"
                                                : "a loss over vectors and rows of another kind");
    if (!ft_model_trainable_count(m))
        return ft_fail(FT_EINPUT, "nothing is trainable: attach an adapter or open the model for full fine-tuning");
    return FT_OK;
}

/* Order, batches and tape: all but what is as large as the model. */
static ft_status set_out(ft_stepper *s)
{
    const ft_train_options *o = s->o;
    int64_t per_step = o->micro_batch_size * o->gradient_accumulation_steps;
    FT_RETURN(ft_order_init(&s->order, (int64_t)s->rows->n, per_step, o->seed));
    FT_RETURN(ft_batch_init(&s->batch, s->rows, o->micro_batch_size));
    double steps = ceil(o->num_epochs * (double)s->order.steps_per_epoch);
    s->total_steps = o->max_steps > 0 ? o->max_steps : FT_MAX((int64_t)steps, (int64_t)1);
    double warmup = ceil(o->warmup_ratio * (double)s->total_steps);
    s->warmup_steps = o->warmup_steps > 0 ? o->warmup_steps : (int64_t)warmup;
    if (!o->objective.loss)
        FT_RETURN(ft_prefix_new(&s->prefix, s->model, s->rows, o));
    return make_tape(s);
}

/* A dry step of the run's largest micro-batch: after it the tape holds what it will ever need. */
static ft_status run_dry(ft_stepper *s);

static ft_status set_up(ft_stepper *s)
{
    FT_RETURN(set_out(s));
    FT_RETURN(make_tiles(s));
    FT_RETURN(make_moments(s));
    return run_dry(s);
}

ft_status ft_stepper_new(ft_stepper **out, ft_model *m, const ft_rows *rows, const ft_train_options *o)
{
    *out = NULL;
    FT_RETURN(check_options(o, rows, m));
    ft_stepper *s = ft_alloc(1, sizeof *s);
    if (!s)
        return FT_ENOMEM;
    *s = (ft_stepper){.o = o, .model = m, .rows = rows};
    ft_status st = set_up(s);
    if (st != FT_OK)
        ft_stepper_free(s);
    else
        *out = s;
    return st;
}

void ft_stepper_free(ft_stepper *s)
{
    if (!s)
        return;
    for (size_t i = 0; s->moments && i < trainable(s) * (size_t)s->o->optimizer->n_moments; i++)
        ft_free(s->moments[i]);
    ft_free(s->moments);
    ft_free(s->tiles);
    ft_tape_free(s->tape);
    ft_prefix_free(s->prefix);
    ft_batch_free(&s->batch);
    ft_order_free(&s->order);
    ft_free(s);
}

int64_t ft_stepper_steps(const ft_stepper *s)
{
    return s->total_steps;
}

int64_t ft_stepper_steps_per_epoch(const ft_stepper *s)
{
    return s->order.steps_per_epoch;
}

float **ft_stepper_moments(ft_stepper *s)
{
    return s->moments;
}

ft_tape *ft_stepper_tape(ft_stepper *s)
{
    return s->tape;
}

ft_prefix *ft_stepper_prefix(ft_stepper *s)
{
    return s->prefix;
}

/* ---- micro-batches ---- */

/* Hidden states, or vectors. From the states that enter the first trained block, where they are known. */
static ft_status forward(ft_var **out, ft_stepper *s, const int64_t *rows, int64_t n)
{
    const ft_batch *b = &s->batch;
    int64_t C = ft_model_config(s->model)->hidden_size;
    int64_t checkpointed = s->o->gradient_checkpointing;
    if (s->o->objective.loss) {
        *out = ft_model_vectors(s->model, s->tape, b->ids, b->T, &b->seg, checkpointed);
        return ft_tape_status(s->tape);
    }
    if (!s->prefix) {
        *out = ft_model_forward(s->model, s->tape, b->ids, b->T, &b->seg, NULL, checkpointed);
        return ft_tape_status(s->tape);
    }
    float *x = ft_tape_alloc(s->tape, (size_t)(b->T * C), sizeof *x);
    if (!x)
        return ft_tape_status(s->tape);
    if (!ft_tape_is_dry(s->tape))
        FT_RETURN(ft_prefix_states(s->prefix, rows, n, x));
    ft_var *states = ft_leaf(s->tape, x, b->T, C, false);
    *out = ft_model_from(s->model, s->tape, states, ft_prefix_blocks(s->prefix), &b->seg, checkpointed);
    return ft_tape_status(s->tape);
}

static ft_status vector_loss(ft_stepper *s, ft_var *y, double weight, ft_loss *loss)
{
    const ft_batch *b = &s->batch;
    ft_vector_rows rows = {.n = b->rows, .first = b->first, .text = b->number, .score = s->rows->scored ? b->score : NULL};
    return ft_op_vector_loss(s->tape, y, &rows, &s->o->objective, weight, loss);
}

/* first: tokens of the step in the micro-batches before. */
static ft_status micro_step(ft_stepper *s, const int64_t *rows, int64_t n, int64_t first, double weight, ft_loss *loss)
{
    ft_batch_fill(&s->batch, s->rows, rows, n);
    if (ft_tape_is_dry(s->tape) && !s->rows->vectors)
        ft_batch_read(&s->batch, s->most_read);
    ft_var *x = NULL;
    ft_tape_begin(s->tape, true, s->o->seed, (uint64_t)s->step);
    ft_tape_first_token(s->tape, first);
    FT_RETURN(forward(&x, s, rows, n));
    FT_RETURN(s->o->objective.loss ? vector_loss(s, x, weight, loss)
                                   : ft_op_head_loss(s->tape, x, ft_model_head(s->model), s->batch.targets,
                                                     ft_model_softcap(s->model), weight, loss));
    return ft_tape_backward(s->tape);
}

static int64_t tokens_of(const ft_stepper *s, const int64_t *rows, int64_t n)
{
    int64_t tokens = 0;
    for (int64_t i = 0; i < n; i++)
        tokens += ft_row_inputs(&s->rows->p[rows[i]]);
    return tokens;
}

/* Looks for the micro-batch of most tokens in the run (of equals the first) and for the most supervised ones of any, and
 * counts the run's tokens. Its rows go into largest[micro_batch_size], their number is returned. A very long run is judged
 * by its beginning. */
static int64_t find_largest(ft_stepper *s, int64_t *largest)
{
    int64_t most = -1, found = 0, size = s->o->micro_batch_size, seen = 0, step = 0, n;
    const int64_t *rows;
    for (; step < s->total_steps && seen < MOST_ROWS_SEARCHED; step++) {
        ft_order_step(&s->order, step, &rows, &n);
        seen += n;
        for (int64_t at = 0; at < n; at += size) {
            int64_t k = FT_MIN(size, n - at), tokens = tokens_of(s, rows + at, k);
            s->run_tokens += (double)tokens;
            s->most_read = FT_MAX(s->most_read, ft_batch_supervised(s->rows, rows + at, k));
            if (tokens <= most)
                continue;
            most = tokens;
            found = k;
            memcpy(largest, rows + at, (size_t)k * sizeof *largest);
        }
    }
    s->run_tokens *= (double)s->total_steps / (double)step;
    return found;
}

static ft_status run_dry(ft_stepper *s)
{
    ft_loss loss = {0};
    int64_t *rows = ft_alloc((size_t)s->o->micro_batch_size, sizeof *rows);
    if (!rows)
        return FT_ENOMEM;
    int64_t n = find_largest(s, rows);
    ft_tape_dry(s->tape, true);
    ft_status st = micro_step(s, rows, n, 0, 1, &loss);
    ft_tape_dry(s->tape, false);
    ft_free(rows);
    return st;
}

/* ---- the update ---- */

static void square_tile(void *ctx, int64_t i)
{
    ft_stepper *s = ctx;
    tile *t = &s->tiles[i];
    t->square = ft_kernels_active()->sum_squares(ft_model_trainable(s->model, t->param)->grad + t->at, t->n);
}

/* No decay on vectors: norms and biases. */
static double decay_of(const ft_stepper *s, const ft_param *p)
{
    return p->t.ndim > 1 ? s->o->optimizer_options.weight_decay : 0;
}

static void update_tile(void *ctx, int64_t i)
{
    ft_stepper *s = ctx;
    const tile *t = &s->tiles[i];
    ft_param *p = ft_model_trainable(s->model, t->param);
    float *moments[3] = {0};
    size_t k = (size_t)s->o->optimizer->n_moments;
    for (size_t j = 0; j < k; j++)
        moments[j] = s->moments[t->param * k + j] + t->at;
    s->o->optimizer->update((float *)p->t.data + t->at, p->grad + t->at, moments, t->n, s->lr, s->grad_scale,
                            decay_of(s, p), s->step + 1, &s->o->optimizer_options);
    memset(p->grad + t->at, 0, (size_t)t->n * sizeof(float));
}

/* The gradient's norm before clipping. */
static double apply_gradient(ft_stepper *s)
{
    int64_t n = (int64_t)s->n_tiles;
    double sum = 0, most = s->o->max_grad_norm;
    ft_parallel(n, square_tile, s);
    for (int64_t i = 0; i < n; i++)
        sum += s->tiles[i].square;
    double norm = sqrt(sum);
    s->grad_scale = most > 0 && norm > most ? most / norm : 1;
    if (isfinite(norm))
        ft_parallel(n, update_tile, s);
    return norm;
}

/* The rows of the next micro-batch of this epoch, which begins at `next` in its order. */
static void look_ahead(ft_stepper *s, const int64_t *next)
{
    int64_t left = s->order.row + s->order.n - next;
    if (s->prefix)
        ft_prefix_ahead(s->prefix, next, FT_MIN(left, s->o->micro_batch_size));
}

ft_status ft_stepper_run(ft_stepper *s, int64_t step, ft_step *out)
{
    const ft_train_options *o = s->o;
    const int64_t *rows;
    int64_t n;
    ft_loss loss = {0};
    *out = (ft_step){.grad_norm = NAN};
    s->step = step;
    ft_order_step(&s->order, step, &rows, &n);
    out->supervised = ft_batch_supervised(s->rows, rows, n);
    for (int64_t at = 0; at < n; at += o->micro_batch_size) {
        int64_t k = FT_MIN(o->micro_batch_size, n - at);
        look_ahead(s, rows + at + k);
        FT_RETURN(micro_step(s, rows + at, k, out->tokens, 1.0 / (double)out->supervised, &loss));
        out->tokens += s->batch.T;
    }
    s->lr = o->learning_rate * o->schedule->factor(step, s->total_steps, s->warmup_steps, o->min_lr_ratio);
    out->learning_rate = s->lr;
    out->loss = loss.sum / (double)loss.count;
    if (isfinite(out->loss))
        out->grad_norm = apply_gradient(s);
    return FT_OK;
}

ft_status ft_stepper_keep_states(ft_stepper *s)
{
    return s->prefix ? ft_prefix_keep(s->prefix, &(ft_prefix_keeping){.place = FT_PREFIX_MEMORY}) : FT_OK;
}

/* ---- what a run takes ---- */

static void count_weights(ft_train_needs *n, ft_model *m, const ft_train_options *o)
{
    size_t trained = 0;
    for (size_t i = 0; i < ft_model_count(m); i++)
        n->weight_bytes += ft_tensor_bytes(&ft_model_at(m, i)->t);
    for (size_t i = 0; i < ft_model_trainable_count(m); i++)
        trained += ft_tensor_bytes(&ft_model_trainable(m, i)->t);
    n->adapter_bytes = ft_adapter_attached(m) ? trained : 0;
    n->gradient_bytes = trained;
    n->moment_bytes = (size_t)o->optimizer->n_moments * trained;
}

static void measure_prefix(const ft_stepper *s, ft_train_needs *out)
{
    const ft_train_options *o = s->o;
    bool again = s->total_steps > s->order.steps_per_epoch;
    uint64_t bytes;
    out->prefix_place = FT_PREFIX_OFF;
    if (!s->prefix)
        return;
    out->buffer_bytes += ft_prefix_work_bytes(s->prefix);
    out->prefix_place = ft_prefix_where(s->prefix, o->prefix_cache, o->output_dir, again, &bytes);
    out->prefix_bytes = out->prefix_place == FT_PREFIX_OFF ? 0 : bytes;
}

static ft_status measure(ft_stepper *s, ft_train_needs *out)
{
    FT_RETURN(set_out(s));
    FT_RETURN(run_dry(s));
    const ft_batch *b = &s->batch;
    ft_tape_stats t = ft_tape_stats_of(s->tape);
    count_weights(out, s->model, s->o);
    out->activation_bytes = t.kept_bytes;
    out->logits_bytes = t.logits_bytes;
    out->temporary_bytes = t.temporary_bytes - FT_MIN(t.logits_bytes, t.temporary_bytes);
    out->buffer_bytes = t.table_bytes + (size_t)b->cap * (sizeof *b->ids + sizeof *b->targets + sizeof *b->read) +
                        out->gradient_bytes / sizeof(float) / TILE * sizeof(tile) +
                        (size_t)s->order.n * sizeof *s->order.row;
    out->steps = s->total_steps;
    out->tokens = s->run_tokens;
    measure_prefix(s, out);
    return FT_OK;
}

ft_status ft_train_measure(ft_train_needs *out, ft_model *m, const ft_rows *rows, const ft_train_options *o)
{
    *out = (ft_train_needs){0};
    FT_RETURN(check_options(o, rows, m));
    ft_stepper *s = ft_alloc(1, sizeof *s);
    if (!s)
        return FT_ENOMEM;
    *s = (ft_stepper){.o = o, .model = m, .rows = rows};
    ft_status st = measure(s, out);
    ft_stepper_free(s);
    return st;
}
