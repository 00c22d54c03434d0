/* The training loop.
 *
 *   step:  micro-batches -> forward, loss, backward (gradients add up) -> norm, clip -> optimizer update -> gradients zero
 *   then:  evaluation when due -> checkpoint when due (with `best` when the evaluation was the best so far)
 *
 * The loss of a step is the sum over all its supervised tokens over their number, whatever the micro-batches: the number
 * is counted before the first micro-batch runs. What a step does depends on (recipe, rows, seed, step) alone, so a resume
 * from a checkpoint repeats the same bits. Element-wise sweeps (norm, update) go over fixed tiles of the parameters.
 */
#include "train/train.h"
#include "base/os.h"
#include "base/rng.h"
#include "base/threads.h"
#include "kernel/kernel.h"
#include "train/batch.h"
#include "train/checkpoint.h"
#include "train/runlog.h"

#include <math.h>
#include <string.h>

enum { TILE = 1 << 15, MAX_RECIPE = 60000 };

typedef struct tile {
    size_t param;
    int64_t at, n;
    double square; /* sum of g^2 */
} tile;

typedef struct run {
    const ft_train_options *o;
    ft_model *model;
    const ft_tokenizer *tok;
    const ft_rows *train, *eval;
    ft_train_event_fn on_event;
    void *ctx;
    ft_tape *tape;
    ft_order order;
    ft_batch batch;
    ft_state state;
    ft_runlog *log;
    char *checkpoint_dir, *last_saved;
    tile *tiles;
    size_t n_tiles;
    ft_score_options score;
    const ft_metric *metrics[FT_MAX_METRICS];
    const ft_metric *best_metric;
    int64_t total_steps, warmup_steps, eval_every, save_every;
    /* of the running step */
    double lr, grad_scale, grad_norm;
    /* for the estimate of what is left */
    double started, resumed_elapsed, seconds_per_step, seconds_per_eval, tokens_per_s;
} run;

/* ---- set-up ---- */

static size_t trainable(const run *r)
{
    return ft_model_trainable_count(r->model);
}

static ft_status make_tiles(run *r)
{
    size_t n = 0;
    for (size_t i = 0; i < trainable(r); i++)
        n += (size_t)((ft_tensor_count(&ft_model_trainable(r->model, i)->t) + TILE - 1) / TILE);
    if (!(r->tiles = ft_alloc(n, sizeof *r->tiles)))
        return FT_ENOMEM;
    for (size_t i = 0; i < trainable(r); i++) {
        int64_t count = ft_tensor_count(&ft_model_trainable(r->model, i)->t);
        for (int64_t at = 0; at < count; at += TILE)
            r->tiles[r->n_tiles++] = (tile){.param = i, .at = at, .n = FT_MIN((int64_t)TILE, count - at)};
    }
    return FT_OK;
}

static ft_status make_moments(run *r)
{
    size_t k = (size_t)r->o->optimizer->n_moments;
    if (!(r->state.moments = ft_alloc(trainable(r) * k, sizeof *r->state.moments)))
        return FT_ENOMEM;
    for (size_t i = 0; i < trainable(r) * k; i++) {
        const ft_param *p = ft_model_trainable(r->model, i / k);
        if (!(r->state.moments[i] = ft_alloc((size_t)ft_tensor_count(&p->t), sizeof(float))))
            return FT_ENOMEM;
    }
    return FT_OK;
}

/* The metrics of an evaluation: what was asked for, and the one that chooses the best. */
static ft_status choose_metrics(run *r)
{
    r->best_metric = r->o->metric_for_best ? r->o->metric_for_best : ft_metric_named("loss");
    r->score = r->o->score;
    size_t n = 0;
    bool has = false;
    for (size_t i = 0; i < r->o->score.n_metrics && n < FT_MAX_METRICS; i++) {
        r->metrics[n++] = r->o->score.metrics[i];
        has |= r->o->score.metrics[i] == r->best_metric;
    }
    if (!has && n == FT_MAX_METRICS)
        return ft_fail(FT_EINPUT, "%d metrics and %s for the best: at most %d in all", (int)n, r->best_metric->name, FT_MAX_METRICS);
    if (!has)
        r->metrics[n++] = r->best_metric;
    r->score.metrics = r->metrics;
    r->score.n_metrics = n;
    return FT_OK;
}

static ft_status check_options(const ft_train_options *o, const ft_rows *train, const ft_model *m)
{
    if (!train->n)
        return ft_fail(FT_EINPUT, "there is no row to train on");
    if (o->micro_batch_size < 1 || o->gradient_accumulation_steps < 1)
        return ft_fail(FT_EINPUT, "micro_batch_size and gradient_accumulation_steps must be at least 1");
    if (o->recipe_text && strlen(o->recipe_text) > MAX_RECIPE)
        return ft_fail(FT_EINPUT, "the recipe is longer than the %d bytes that a checkpoint keeps of it", MAX_RECIPE);
    if (!ft_model_trainable_count(m))
        return ft_fail(FT_EINPUT, "nothing is trainable: attach an adapter or open the model for full fine-tuning");
    return FT_OK;
}

static ft_status set_up(run *r)
{
    const ft_train_options *o = r->o;
    FT_RETURN(check_options(o, r->train, r->model));
    FT_RETURN(ft_order_init(&r->order, (int64_t)r->train->n, o->micro_batch_size * o->gradient_accumulation_steps, o->seed));
    FT_RETURN(ft_batch_init(&r->batch, r->train, o->micro_batch_size));
    r->total_steps = o->max_steps > 0 ? o->max_steps : (int64_t)ceil(o->num_epochs * (double)r->order.steps_per_epoch);
    r->total_steps = FT_MAX(r->total_steps, (int64_t)1);
    r->warmup_steps = o->warmup_steps > 0 ? o->warmup_steps : (int64_t)ceil(o->warmup_ratio * (double)r->total_steps);
    r->eval_every = o->eval_steps > 0 ? o->eval_steps : r->order.steps_per_epoch;
    r->save_every = o->save_steps > 0 ? o->save_steps : r->order.steps_per_epoch;
    r->checkpoint_dir = ft_path_join(o->output_dir, "checkpoints");
    if (!r->checkpoint_dir)
        return FT_ENOMEM;
    r->state = (ft_state){.model = r->model, .optimizer = o->optimizer, .recipe_hash = o->recipe_hash,
                          .recipe_text = o->recipe_text, .dir = r->checkpoint_dir, .progress = {.best_score = NAN}};
    FT_RETURN(ft_mkdirs(r->checkpoint_dir));
    ft_checkpoint_sweep(r->checkpoint_dir);
    FT_RETURN(make_tiles(r));
    FT_RETURN(make_moments(r));
    FT_RETURN(choose_metrics(r));
    return ft_tape_new(&r->tape);
}

static void tear_down(run *r)
{
    for (size_t i = 0; r->state.moments && i < trainable(r) * (size_t)r->o->optimizer->n_moments; i++)
        ft_free(r->state.moments[i]);
    ft_free(r->state.moments);
    ft_free(r->tiles);
    ft_free(r->checkpoint_dir);
    ft_free(r->last_saved);
    ft_runlog_close(r->log);
    ft_tape_free(r->tape);
    ft_batch_free(&r->batch);
    ft_order_free(&r->order);
}

/* ---- events ---- */

static double elapsed(const run *r)
{
    return r->resumed_elapsed + ft_now_s() - r->started;
}

static double seconds_left(const run *r)
{
    int64_t left = r->total_steps - r->state.progress.step;
    double evals = r->eval ? (double)((left + r->eval_every - 1) / r->eval_every) : 0;
    return (double)left * r->seconds_per_step + evals * r->seconds_per_eval;
}

static ft_status emit(run *r, ft_train_event e)
{
    const ft_progress *p = &r->state.progress;
    e.step = p->step;
    e.total_steps = r->total_steps;
    e.epoch = (double)p->step / (double)r->order.steps_per_epoch;
    e.tokens = p->tokens;
    e.elapsed_s = elapsed(r);
    e.eta_s = seconds_left(r);
    e.tokens_per_s = r->tokens_per_s;
    e.rss_bytes = ft_rss_bytes();
    if (r->on_event)
        r->on_event(r->ctx, &e);
    bool quiet = e.kind == FT_EVENT_STEP && r->o->logging_steps > 1 && p->step % r->o->logging_steps && p->step < r->total_steps;
    return quiet ? FT_OK : ft_runlog_event(r->log, &e);
}

/* ---- one step ---- */

static void square_tile(void *ctx, int64_t i)
{
    run *r = ctx;
    tile *t = &r->tiles[i];
    t->square = ft_kernels_active()->sum_squares(ft_model_trainable(r->model, t->param)->grad + t->at, t->n);
}

/* No decay on vectors: norms and biases. */
static double decay_of(const run *r, const ft_param *p)
{
    return p->t.ndim > 1 ? r->o->optimizer_options.weight_decay : 0;
}

static void update_tile(void *ctx, int64_t i)
{
    run *r = ctx;
    const tile *t = &r->tiles[i];
    ft_param *p = ft_model_trainable(r->model, t->param);
    float *moments[3] = {0};
    size_t k = (size_t)r->o->optimizer->n_moments;
    for (size_t j = 0; j < k; j++)
        moments[j] = r->state.moments[t->param * k + j] + t->at;
    r->o->optimizer->update((float *)p->t.data + t->at, p->grad + t->at, moments, t->n, r->lr, r->grad_scale, decay_of(r, p),
                            r->state.progress.step + 1, &r->o->optimizer_options);
    memset(p->grad + t->at, 0, (size_t)t->n * sizeof(float));
}

/* first: tokens of the step in the micro-batches before. */
static ft_status micro_step(run *r, const int64_t *rows, int64_t n, int64_t first, double weight, ft_loss *loss)
{
    ft_batch_fill(&r->batch, r->train, rows, n);
    const ft_segments seg = {.n = n, .start = r->batch.start};
    ft_tape_begin(r->tape, true, r->o->seed, (uint64_t)r->state.progress.step);
    ft_tape_first_token(r->tape, first);
    ft_var *x = ft_model_forward(r->model, r->tape, r->batch.ids, r->batch.T, &seg, NULL, r->o->gradient_checkpointing);
    if (!x)
        return ft_tape_status(r->tape);
    FT_RETURN(ft_op_head_loss(r->tape, x, ft_model_head(r->model), r->batch.targets, ft_model_softcap(r->model), weight, loss));
    return ft_tape_backward(r->tape);
}

static ft_status not_a_number(const run *r, double loss)
{
    const char *hint = "a lower learning_rate or a smaller max_grad_norm usually helps";
    const char *what = isfinite(loss) ? "the gradient is not finite" : "the loss is not finite";
    if (r->last_saved)
        return ft_fail(FT_ENUMERIC, "step %lld: %s; the last good checkpoint is %s; %s",
                       (long long)r->state.progress.step + 1, what, r->last_saved, hint);
    return ft_fail(FT_ENUMERIC, "step %lld: %s; no checkpoint had been saved; %s", (long long)r->state.progress.step + 1, what, hint);
}

static void apply_gradient(run *r)
{
    int64_t n = (int64_t)r->n_tiles;
    double sum = 0;
    ft_parallel(n, square_tile, r);
    for (int64_t i = 0; i < n; i++)
        sum += r->tiles[i].square;
    r->grad_norm = sqrt(sum);
    r->grad_scale = r->o->max_grad_norm > 0 && r->grad_norm > r->o->max_grad_norm ? r->o->max_grad_norm / r->grad_norm : 1;
    if (isfinite(r->grad_norm))
        ft_parallel(n, update_tile, r);
}

/* Averages over about the last ten steps; the first steps, which warm caches, weigh less and less. */
static void keep_pace(run *r, double seconds, int64_t tokens)
{
    double rate = seconds > 0 ? (double)tokens / seconds : 0;
    bool first = r->seconds_per_step == 0;
    r->seconds_per_step = first ? seconds : 0.9 * r->seconds_per_step + 0.1 * seconds;
    r->tokens_per_s = first ? rate : 0.9 * r->tokens_per_s + 0.1 * rate;
}

static ft_status step(run *r)
{
    const ft_train_options *o = r->o;
    ft_progress *p = &r->state.progress;
    const int64_t *rows;
    int64_t n, tokens = 0;
    ft_loss loss = {0};
    double begun = ft_now_s();
    ft_order_step(&r->order, p->step, &rows, &n);
    int64_t supervised = ft_batch_supervised(r->train, rows, n);
    for (int64_t at = 0; at < n; at += o->micro_batch_size) {
        FT_RETURN(micro_step(r, rows + at, FT_MIN(o->micro_batch_size, n - at), tokens, 1.0 / (double)supervised, &loss));
        tokens += r->batch.T;
    }
    r->lr = o->learning_rate * o->schedule->factor(p->step, r->total_steps, r->warmup_steps, o->min_lr_ratio);
    double mean = loss.sum / (double)loss.count;
    if (isfinite(mean))
        apply_gradient(r);
    if (!isfinite(mean) || !isfinite(r->grad_norm))
        return not_a_number(r, mean);
    p->step++;
    p->tokens += tokens;
    p->loss = mean;
    keep_pace(r, ft_now_s() - begun, tokens);
    return emit(r, (ft_train_event){.kind = FT_EVENT_STEP, .loss = mean, .grad_norm = r->grad_norm, .learning_rate = r->lr,
                                    .supervised_share = (double)supervised / (double)tokens, .step_tokens = tokens});
}

/* ---- what follows a step ---- */

static bool keep_scoring(void *ctx, const char *what, size_t done, size_t total)
{
    run *r = ctx;
    if (ft_stop_requested())
        return false;
    return !r->o->score.progress || r->o->score.progress(r->o->score.ctx, what, done, total);
}

static bool better(const run *r, double score)
{
    double best = r->state.progress.best_score;
    if (isnan(score))
        return false;
    return isnan(best) || (r->best_metric->higher_is_better ? score > best : score < best);
}

static ft_status evaluate(run *r, bool *best)
{
    ft_progress *p = &r->state.progress;
    ft_scores scores;
    ft_score_options o = r->score;
    double begun = ft_now_s();
    o.progress = keep_scoring;
    o.ctx = r;
    p->eval_due = 1;
    FT_RETURN(ft_score(&scores, r->model, r->tok, r->eval, &o));
    p->eval_due = 0;
    r->seconds_per_eval = ft_now_s() - begun;
    double score = ft_scores_get(&scores, r->best_metric->name, NAN);
    *best = better(r, score);
    p->evals_since_best = *best ? 0 : p->evals_since_best + 1;
    if (*best) {
        p->best_score = score;
        p->best_step = p->step;
    }
    return emit(r, (ft_train_event){.kind = FT_EVENT_EVAL, .loss = p->loss, .scores = &scores, .best = *best});
}

static ft_status save(run *r, bool best)
{
    char *path = NULL;
    r->state.progress.elapsed_s = elapsed(r);
    FT_RETURN(ft_checkpoint_save(&r->state, best, &path));
    ft_free(r->last_saved);
    r->last_saved = path;
    FT_RETURN(ft_checkpoint_prune(&r->state, r->o->save_total_limit));
    return emit(r, (ft_train_event){.kind = FT_EVENT_SAVE, .loss = r->state.progress.loss, .best = best, .path = path});
}

static ft_status stop(run *r)
{
    FT_RETURN(save(r, false));
    return ft_fail(FT_ESTOPPED, "stopped at step %lld of %lld, saved as %s", (long long)r->state.progress.step,
                   (long long)r->total_steps, r->last_saved);
}

/* Evaluation and checkpoint after a step (or after a resume that found an evaluation due). */
static ft_status follow(run *r)
{
    ft_progress *p = &r->state.progress;
    bool best = false, last = p->step >= r->total_steps;
    if (r->eval && (last || p->eval_due || p->step % r->eval_every == 0)) {
        ft_status st = evaluate(r, &best);
        if (st == FT_ESTOPPED)
            return stop(r);
        FT_RETURN(st);
    }
    bool patience_over = r->o->early_stopping_patience > 0 && p->evals_since_best >= r->o->early_stopping_patience;
    p->finished = last || patience_over;
    if (p->finished || best || p->step % r->save_every == 0)
        FT_RETURN(save(r, best));
    return !p->finished && ft_stop_requested() ? stop(r) : FT_OK;
}

static ft_status begin(run *r)
{
    bool found = false;
    if (r->o->resume) {
        FT_RETURN(ft_checkpoint_resume(&r->state, r->total_steps, &found, &r->last_saved));
        if (!found)
            ft_note(FT_NOTE, "%s holds no checkpoint yet: starting at step 0", r->checkpoint_dir);
    }
    r->resumed_elapsed = r->state.progress.elapsed_s;
    r->started = ft_now_s();
    FT_RETURN(ft_runlog_open(&r->log, r->o->output_dir, r->state.progress.step));
    return emit(r, (ft_train_event){.kind = FT_EVENT_START});
}

/* The best weights into the model, where evaluations chose one that is not the last. */
static ft_status take_best(run *r)
{
    const ft_progress *p = &r->state.progress;
    char *path = NULL;
    if (!r->eval || isnan(p->best_score) || p->best_step == p->step)
        return FT_OK;
    ft_status st = ft_checkpoint_path(&path, r->checkpoint_dir, p->best_step);
    if (st == FT_OK)
        st = ft_checkpoint_load_weights(r->model, path);
    ft_free(path);
    return st;
}

static ft_status train(run *r)
{
    ft_progress *p = &r->state.progress;
    FT_RETURN(begin(r));
    if (p->eval_due)
        FT_RETURN(follow(r));
    while (!p->finished) {
        FT_RETURN(step(r));
        FT_RETURN(follow(r));
    }
    FT_RETURN(take_best(r));
    return emit(r, (ft_train_event){.kind = FT_EVENT_END, .loss = p->loss});
}

ft_status ft_train(ft_train_result *out, ft_model *m, const ft_tokenizer *tok, const ft_rows *rows, const ft_rows *eval,
                   const ft_train_options *o, ft_train_event_fn on_event, void *ctx)
{
    run r = {.o = o, .model = m, .tok = tok, .train = rows, .eval = eval && eval->n ? eval : NULL, .on_event = on_event, .ctx = ctx};
    ft_status st;
    FT_TRY(set_up(&r));
    st = train(&r);
    const ft_progress *p = &r.state.progress;
    *out = (ft_train_result){.steps = p->step, .best_step = p->best_step, .best_score = p->best_score, .final_loss = p->loss,
                             .seconds = elapsed(&r), .tokens = p->tokens, .stopped_early = p->finished && p->step < r.total_steps};
done:
    tear_down(&r);
    return st;
}
