/* The training loop.
 *
 *   step (step.c)
 *   then:  evaluation when due -> checkpoint when due (with `best` when the evaluation was the best so far)
 *
 * What a step does depends on (recipe, rows, seed, step) alone, so a resume from a checkpoint repeats the same bits.
 */
#include "train/train.h"
#include "base/os.h"
#include "train/checkpoint.h"
#include "train/prefix.h"
#include "train/runlog.h"

#include <math.h>
#include <string.h>

enum { MAX_RECIPE = 60000 };

typedef struct run {
    const ft_train_options *o;
    ft_model *model;
    const ft_tokenizer *tok;
    const ft_rows *train, *eval;
    ft_train_event_fn on_event;
    void *ctx;
    ft_stepper *stepper;
    ft_state state;
    ft_runlog *log;
    char *checkpoint_dir, *last_saved;
    ft_score_options score;
    const ft_metric *metrics[FT_MAX_METRICS];
    const ft_metric *best_metric;
    int64_t total_steps, steps_per_epoch, eval_every, save_every;
    /* for the estimate of what is left */
    double started, resumed_elapsed, seconds_per_step, seconds_per_eval, tokens_per_s;
} run;

/* ---- set-up ---- */

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

static ft_status set_up(run *r)
{
    const ft_train_options *o = r->o;
    if (o->recipe_text && strlen(o->recipe_text) > MAX_RECIPE)
        return ft_fail(FT_EINPUT, "the recipe is longer than the %d bytes that a checkpoint keeps of it", MAX_RECIPE);
    FT_RETURN(ft_stepper_new(&r->stepper, r->model, r->train, o));
    r->total_steps = ft_stepper_steps(r->stepper);
    r->steps_per_epoch = ft_stepper_steps_per_epoch(r->stepper);
    r->eval_every = o->eval_steps > 0 ? o->eval_steps : r->steps_per_epoch;
    r->save_every = o->save_steps > 0 ? o->save_steps : r->steps_per_epoch;
    r->checkpoint_dir = ft_path_join(o->output_dir, "checkpoints");
    if (!r->checkpoint_dir)
        return FT_ENOMEM;
    r->state = (ft_state){.model = r->model, .optimizer = o->optimizer, .recipe_hash = o->recipe_hash,
                          .recipe_text = o->recipe_text, .identity = ft_identity_of(r->model, r->train, r->eval), .dir = r->checkpoint_dir, .progress = {.best_score = NAN},
                          .moments = ft_stepper_moments(r->stepper)};
    FT_RETURN(ft_mkdirs(r->checkpoint_dir));
    ft_checkpoint_sweep(r->checkpoint_dir);
    return choose_metrics(r);
}

static void tear_down(run *r)
{
    ft_free(r->checkpoint_dir);
    ft_free(r->last_saved);
    ft_runlog_close(r->log);
    ft_stepper_free(r->stepper);
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
    e.epoch = (double)p->step / (double)r->steps_per_epoch;
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

static ft_status not_a_number(const run *r, double loss)
{
    const char *hint = "a lower learning_rate or a smaller max_grad_norm usually helps";
    const char *what = isfinite(loss) ? "the gradient is not finite" : "the loss is not finite";
    if (r->last_saved)
        return ft_fail(FT_ENUMERIC, "step %lld: %s; the last good checkpoint is %s; %s",
                       (long long)r->state.progress.step + 1, what, r->last_saved, hint);
    return ft_fail(FT_ENUMERIC, "step %lld: %s; no checkpoint had been saved; %s", (long long)r->state.progress.step + 1, what, hint);
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
    ft_progress *p = &r->state.progress;
    ft_step done;
    double begun = ft_now_s();
    FT_RETURN(ft_stepper_run(r->stepper, p->step, &done));
    if (!isfinite(done.loss) || !isfinite(done.grad_norm))
        return not_a_number(r, done.loss);
    p->step++;
    p->tokens += done.tokens;
    p->loss = done.loss;
    keep_pace(r, ft_now_s() - begun, done.tokens);
    return emit(r, (ft_train_event){.kind = FT_EVENT_STEP,
                                    .loss = done.loss,
                                    .grad_norm = done.grad_norm,
                                    .learning_rate = done.learning_rate,
                                    .supervised_share = (double)done.supervised / (double)done.tokens,
                                    .step_tokens = done.tokens});
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

/* Before the first step: the states below the first trained block, where they are to be kept. A disk that is full ends
 * the keeping, not the run. */
static ft_status keep_prefix(run *r)
{
    ft_prefix *prefix = ft_stepper_prefix(r->stepper);
    const ft_train_options *o = r->o;
    ft_prefix_keeping how = {.place = o->prefix_cache,
                             .dir = o->output_dir,
                             .again = r->total_steps - r->state.progress.step > r->steps_per_epoch,
                             .progress = keep_scoring,
                             .ctx = r};
    if (!prefix && (o->prefix_cache == FT_PREFIX_MEMORY || o->prefix_cache == FT_PREFIX_DISK))
        ft_note(FT_NOTE, o->objective.loss ? "prefix_cache: states are not kept for a loss over vectors"
                                           : "prefix_cache: layer 0 trains, so there are no states to keep (lora_layers "
                                             "chooses the layers)");
    if (!prefix || r->state.progress.finished)
        return FT_OK;
    ft_status st = ft_prefix_keep(prefix, &how);
    if (st == FT_EIO) {
        ft_note(FT_WARN, "prefix_cache: %s; going on without", ft_error());
        return FT_OK;
    }
    return st == FT_ESTOPPED ? stop(r) : st;
}

static ft_status train(run *r)
{
    ft_progress *p = &r->state.progress;
    FT_RETURN(begin(r));
    FT_RETURN(keep_prefix(r));
    if (p->eval_due)
        FT_RETURN(follow(r));
    while (!p->finished) {
        FT_RETURN(step(r));
        FT_RETURN(follow(r));
    }
    ft_prefix_remove(r->o->output_dir);
    FT_RETURN(take_best(r));
    return emit(r, (ft_train_event){.kind = FT_EVENT_END, .loss = p->loss});
}

ft_status ft_train(ft_train_result *out, ft_model *m, const ft_tokenizer *tok, const ft_rows *rows, const ft_rows *eval,
                   const ft_train_options *o, ft_train_event_fn on_event, void *ctx)
{
    run r = {.o = o, .model = m, .tok = tok, .train = rows, .eval = eval && eval->n ? eval : NULL, .on_event = on_event, .ctx = ctx};
    ft_status st;
    FT_RETURN(o->objective.loss ? ft_model_check_pooling(m) : ft_model_check_head(m));
    FT_TRY(set_up(&r));
    st = train(&r);
    const ft_progress *p = &r.state.progress;
    *out = (ft_train_result){.steps = p->step, .best_step = p->best_step, .best_score = p->best_score, .final_loss = p->loss,
                             .seconds = elapsed(&r), .tokens = p->tokens, .stopped_early = p->finished && p->step < r.total_steps};
done:
    tear_down(&r);
    return st;
}
