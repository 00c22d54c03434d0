/* The label pass: log p of every label behind every prompt, without generating anything.
 *
 * The labels' ids form a tree, in which what they begin with in common is one node:
 *
 *   0 root -> 1 " pump" -> 2 END            nodes are numbered depth first, so a chain without branches has
 *                       -> 3 " seal" -> 4 END     consecutive numbers: it is fed as one run
 *          -> 5 " valve" -> 6 END
 *
 * Some rows at a time hold a slot of a KV cache each. Their prompts are read once; then all of them walk the tree together,
 * run by run in the order of the numbers: the tokens of a run go where those of an earlier branch stood, behind what both
 * have in common, so a row needs no more room than its longest label. Behind each token the logits of the rows are taken
 * down to the log p of the node's children and dropped. What ends a label is never fed.
 * The prompt of a family with longrope counts as long as with the longest label, so that all labels are read alike.
 *
 * Memory: [layers] x 2 x [slots, longest prompt + longest label, K D] floats; a step's activations; LOGIT_ROWS rows of
 * logits; a number a node and slot.
 */
#include "score/passes.h"

#include "base/os.h"
#include "base/threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 32, STEP_TOKENS = 2048, LOGIT_ROWS = 32 };

typedef struct node {
    int32_t id;
    int32_t parent, depth;       /* of the root -1, 0 */
    int32_t first_child, sibling; /* 0: none */
} node;

typedef struct pass {
    ft_model *m;
    const ft_labels *labels;
    const ft_row *rows;
    bool dry; /* nothing is computed, no cache is held */
    ft_tape *tape;
    ft_kv *kv; /* [layers] */
    int64_t n_slots, capacity, longest;
    /* the tree */
    node *nodes;   /* [n_nodes] */
    int32_t *last; /* [labels]: node that each ends at */
    int32_t n_nodes;
    double *p; /* [n_nodes, n_slots]: log p of a node behind its parent; in the end, of the way to it */
    int64_t *order; /* [n]: rows, the longest first */
    /* the batch */
    const int64_t *row; /* [batch]: of a slot */
    int64_t batch;
    /* the step: segments, and which nodes' children are asked for behind which tokens */
    int32_t *ids;                                 /* [STEP_TOKENS + SLOTS] */
    int64_t start[SLOTS + 1], past[SLOTS], slot[SLOTS], total[SLOTS];
    int64_t *ask_at;                              /* [STEP_TOKENS + SLOTS] */
    int32_t *ask_node, *ask_slot;                 /* [STEP_TOKENS + SLOTS] */
    int64_t segments, tokens, asked;
} pass;

/* ---- the tree ---- */

static int by_ids(const void *a, const void *b, void *labels)
{
    const ft_label *x = &((const ft_labels *)labels)->p[*(const int64_t *)a],
                   *y = &((const ft_labels *)labels)->p[*(const int64_t *)b];
    for (int64_t i = 0; i < x->n && i < y->n; i++)
        if (x->ids[i] != y->ids[i])
            return x->ids[i] < y->ids[i] ? -1 : 1;
    return (x->n > y->n) - (x->n < y->n);
}

/* Adds the last of a node's children. */
static int32_t add_node(pass *p, int32_t parent, int32_t id)
{
    int32_t at = p->n_nodes++, *link = &p->nodes[parent].first_child;
    p->nodes[at] = (node){.id = id, .parent = parent, .depth = p->nodes[parent].depth + 1};
    while (*link)
        link = &p->nodes[*link].sibling;
    *link = at;
    return at;
}

/* Goes down the last branch as far as the label goes with it, then adds what is left of it. */
static int32_t add_label(pass *p, const ft_label *label)
{
    int32_t at = 0;
    int64_t i = 0;
    for (; i < label->n; i++) {
        int32_t child = p->nodes[at].first_child;
        while (child && p->nodes[child].id != label->ids[i])
            child = p->nodes[child].sibling;
        if (!child)
            break;
        at = child;
    }
    for (; i < label->n; i++)
        at = add_node(p, at, label->ids[i]);
    return at;
}

static ft_status make_tree(pass *p)
{
    const ft_labels *l = p->labels;
    int64_t tokens = 1, *order = ft_alloc(l->n, sizeof *order);
    if (!order)
        return FT_ENOMEM;
    for (size_t i = 0; i < l->n; i++) {
        order[i] = (int64_t)i;
        tokens += l->p[i].n;
        p->longest = FT_MAX(p->longest, l->p[i].n);
    }
    qsort_r(order, l->n, sizeof *order, by_ids, (void *)l); /* depth first */
    p->nodes = ft_alloc((size_t)tokens, sizeof *p->nodes);
    p->last = ft_alloc(l->n, sizeof *p->last);
    if (p->nodes && p->last) {
        p->nodes[0] = (node){.parent = -1};
        p->n_nodes = 1;
        for (size_t i = 0; i < l->n; i++)
            p->last[order[i]] = add_label(p, &l->p[order[i]]);
    }
    ft_free(order);
    return p->nodes && p->last ? FT_OK : FT_ENOMEM;
}

/* ---- set-up ---- */

static ft_status check_rows(const pass *p, size_t n)
{
    int64_t max = ft_model_config(p->m)->max_position_embeddings;
    for (size_t i = 0; i < n; i++)
        if (p->rows[i].prompt_n + p->longest - 1 > max)
            return ft_fail(FT_EINPUT, "row %zu: the prompt has %d tokens and the longest label %lld, the model %lld positions",
                           i + 1, (int)p->rows[i].prompt_n, (long long)p->longest, (long long)max);
    return FT_OK;
}

static ft_status set_up(pass *p, const ft_rows *rows, size_t n)
{
    FT_RETURN(ft_score__check_answers(rows, n));
    FT_RETURN(make_tree(p));
    FT_RETURN(check_rows(p, n));
    for (size_t i = 0; i < n; i++)
        p->capacity = FT_MAX(p->capacity, p->rows[i].prompt_n + p->longest - 1);
    p->n_slots = FT_MIN(ft_model_cache_slots(p->m, p->capacity, SLOTS), (int64_t)n);
    FT_RETURN(ft_model_cache_new(&p->kv, p->m, p->n_slots, p->capacity, p->dry));
    size_t room = STEP_TOKENS + SLOTS;
    p->order = ft_alloc(n, sizeof *p->order);
    p->ids = ft_alloc(room, sizeof *p->ids);
    p->ask_at = ft_alloc(room, sizeof *p->ask_at);
    p->ask_node = ft_alloc(room, sizeof *p->ask_node);
    p->ask_slot = ft_alloc(room, sizeof *p->ask_slot);
    p->p = ft_alloc((size_t)p->n_nodes * (size_t)p->n_slots, sizeof *p->p);
    if (!p->order || !p->ids || !p->ask_at || !p->ask_node || !p->ask_slot || !p->p)
        return FT_ENOMEM;
    ft_score__by_length(p->order, rows, n);
    FT_RETURN(ft_tape_new(&p->tape));
    ft_tape_dry(p->tape, p->dry);
    return FT_OK;
}

static void close_pass(pass *p)
{
    if (!p)
        return;
    ft_model_cache_free(p->kv, p->m);
    ft_free(p->nodes);
    ft_free(p->last);
    ft_free(p->p);
    ft_free(p->order);
    ft_free(p->ids);
    ft_free(p->ask_at);
    ft_free(p->ask_node);
    ft_free(p->ask_slot);
    ft_tape_free(p->tape);
    ft_free(p);
}

/* For the first n rows; NULL where it fails. */
static ft_status open_pass(pass **out, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o, bool dry)
{
    pass *p = ft_alloc(1, sizeof *p);
    *out = NULL;
    if (!p)
        return FT_ENOMEM;
    *p = (pass){.m = m, .labels = o->labels, .rows = rows->p, .dry = dry};
    ft_status st = set_up(p, rows, n);
    if (st == FT_OK)
        *out = p;
    else
        close_pass(p);
    return st;
}

/* ---- one step ---- */

static void begin_step(pass *p)
{
    p->segments = p->tokens = p->asked = 0;
}

/* n tokens of the slot's row, behind `past` of them. The caller writes the ids at p->ids + the value returned. */
static int64_t add_segment(pass *p, int64_t slot, int64_t past, int64_t n)
{
    int64_t at = p->tokens;
    p->start[p->segments] = at;
    p->past[p->segments] = past;
    p->slot[p->segments] = slot;
    p->total[p->segments] = p->rows[p->row[slot]].prompt_n + p->longest - 1;
    p->tokens += n;
    p->start[++p->segments] = p->tokens;
    return at;
}

static void ask(pass *p, int64_t at, int64_t slot, int32_t of)
{
    p->ask_at[p->asked] = at;
    p->ask_slot[p->asked] = (int32_t)slot;
    p->ask_node[p->asked++] = of;
}

typedef struct taking {
    pass *p;
    const float *logits; /* [rows, V] */
    int64_t first;       /* of what is asked */
    bool finite[LOGIT_ROWS];
} taking;

static void take_one(void *ctx, int64_t i)
{
    taking *t = ctx;
    pass *p = t->p;
    int64_t vocab = ft_model_config(p->m)->vocab_size, slot = p->ask_slot[t->first + i];
    int32_t of = p->ask_node[t->first + i];
    const float *x = t->logits + i * vocab;
    double most = x[0], sum = 0;
    for (int64_t k = 1; k < vocab; k++)
        most = x[k] > most ? x[k] : most;
    for (int64_t k = 0; k < vocab; k++)
        sum += exp(x[k] - most);
    t->finite[i] = isfinite(sum) && isfinite(most);
    for (int32_t c = p->nodes[of].first_child; c; c = p->nodes[c].sibling)
        p->p[c * p->n_slots + slot] = (double)x[p->nodes[c].id] - most - log(sum);
}

/* The children of all that is asked for, whose hidden states these are, a few rows of logits at a time. */
static ft_status take(pass *p, ft_var *hidden)
{
    taking t = {.p = p};
    for (int64_t i = 0; i < p->asked; i += LOGIT_ROWS) {
        int64_t n = FT_MIN((int64_t)LOGIT_ROWS, p->asked - i);
        ft_tape_mark mark = ft_tape_now(p->tape);
        const ft_var *logits = ft_model_logits(p->m, p->tape, hidden, i, n);
        if (!logits)
            return ft_tape_status(p->tape);
        t.logits = logits->v;
        t.first = i;
        if (!p->dry)
            ft_parallel(n, take_one, &t);
        ft_tape_rewind(p->tape, mark, NULL);
        for (int64_t k = 0; !p->dry && k < n; k++)
            if (!t.finite[k])
                return ft_fail(FT_ENUMERIC, "row %lld: the logits behind its prompt are not finite",
                               (long long)p->row[p->ask_slot[i + k]] + 1);
    }
    return FT_OK;
}

static ft_status run_step(pass *p)
{
    ft_segments seg = {.n = p->segments,
                       .start = p->start,
                       .past = p->past,
                       .slot = p->slot,
                       .total = p->total};
    if (ft_stop_requested())
        return ft_fail(FT_ESTOPPED, "stopped by a signal while labels were scored");
    ft_var *hidden = ft_model_forward_cached(p->m, p->tape, p->ids, p->tokens, &seg, p->kv, p->ask_at, p->asked);
    return hidden ? take(p, hidden) : ft_tape_status(p->tape);
}

/* ---- a batch of rows ---- */

/* The prompts, in steps of at most STEP_TOKENS; a prompt may be cut between two of them. */
static ft_status read_prompts(pass *p)
{
    begin_step(p);
    for (int64_t b = 0; b < p->batch; b++) {
        const ft_row *r = &p->rows[p->row[b]];
        for (int64_t past = 0, n; past < r->prompt_n; past += n) {
            if (p->tokens == STEP_TOKENS) {
                FT_RETURN(run_step(p));
                begin_step(p);
            }
            n = FT_MIN(r->prompt_n - past, STEP_TOKENS - p->tokens);
            int64_t at = add_segment(p, b, past, n);
            memcpy(p->ids + at, r->ids + past, (size_t)n * sizeof *p->ids);
            if (past + n == r->prompt_n)
                ask(p, at + n - 1, b, 0);
        }
    }
    return run_step(p);
}

/* Nodes [first, first + n): a chain that is fed as one run. */
static ft_status read_run(pass *p, int32_t first, int64_t n)
{
    begin_step(p);
    for (int64_t b = 0; b < p->batch; b++) {
        int64_t at = add_segment(p, b, p->rows[p->row[b]].prompt_n + p->nodes[first].depth - 1, n);
        for (int64_t i = 0; i < n; i++) {
            p->ids[at + i] = p->nodes[first + i].id;
            ask(p, at + i, b, first + (int32_t)i);
        }
    }
    return run_step(p);
}

/* How many nodes from `first` on, each with children, are the only child of the one before it. */
static int64_t run_length(const pass *p, int32_t first)
{
    int64_t n = 1, most = FT_MAX(1, STEP_TOKENS / p->batch);
    for (int32_t at = first; n < most; at++, n++) {
        const node *child = &p->nodes[at + 1];
        if (p->nodes[at].first_child != at + 1 || child->sibling || !child->first_child)
            break;
    }
    return n;
}

/* From the root on, every parent before its children. */
static void add_up(pass *p)
{
    for (int64_t b = 0; b < p->batch; b++)
        p->p[b] = 0;
    for (int64_t at = 1; at < p->n_nodes; at++)
        for (int64_t b = 0; b < p->batch; b++)
            p->p[at * p->n_slots + b] += p->p[p->nodes[at].parent * p->n_slots + b];
}

static ft_status run_batch(pass *p, double *scores)
{
    FT_RETURN(read_prompts(p));
    for (int32_t at = 1; at < p->n_nodes;) {
        if (!p->nodes[at].first_child) { /* it ends a label */
            at++;
            continue;
        }
        int64_t n = run_length(p, at);
        FT_RETURN(read_run(p, at, n));
        at += (int32_t)n;
    }
    if (p->dry)
        return FT_OK;
    add_up(p);
    for (int64_t b = 0; b < p->batch; b++)
        for (size_t k = 0; k < p->labels->n; k++)
            scores[p->row[b] * (int64_t)p->labels->n + (int64_t)k] = p->p[p->last[k] * p->n_slots + b];
    return FT_OK;
}

ft_status ft_score__labels(double *scores, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o)
{
    ft_score__clock clock = {.options = o, .what = "labels", .total = n};
    pass *p;
    ft_status st = FT_OK;
    FT_RETURN(open_pass(&p, m, rows, n, o, false));
    for (size_t i = 0; i < n; i += (size_t)p->batch) {
        FT_TRY(ft_score__tick(&clock, i));
        p->row = p->order + i;
        p->batch = FT_MIN(p->n_slots, (int64_t)(n - i));
        FT_TRY(run_batch(p, scores));
    }
    st = ft_score__tick(&clock, n);
done:
    close_pass(p);
    return st;
}

ft_status ft_score__measure_labels(size_t *bytes, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o)
{
    pass *p;
    FT_RETURN(open_pass(&p, m, rows, n, o, true));
    p->row = p->order;
    p->batch = p->n_slots;
    ft_status st = run_batch(p, NULL);
    ft_tape_stats t = ft_tape_stats_of(p->tape);
    *bytes = ft_model_cache_bytes(m, p->n_slots, p->capacity) + t.peak_bytes + t.table_bytes +
             (size_t)(p->n_nodes * p->n_slots) * sizeof *p->p + n * o->labels->n * sizeof(double);
    close_pass(p);
    return st;
}

/* ---- what the metrics see ---- */

static void choose(ft_score__texts *out, size_t i, const double *scores, const ft_row *r, const ft_score_options *o)
{
    const ft_labels *l = o->labels;
    ft_scored_label *s = &out->labels[i];
    s->expected = ft_labels_find(l, r->answer);
    s->plain = ft_confidence_choose(NULL, scores, l->n);
    s->fitted = o->confidence ? ft_confidence_choose(o->confidence, scores, l->n) : s->plain;
    s->abstained = o->confidence && s->fitted.confidence < o->confidence->threshold;
    out->rows[i] = (ft_scored_text){
        .expected = ft_text_trim(r->answer), .got = l->p[s->fitted.label].answer, .stopped = true, .label = s};
}

ft_status ft_score__label_texts(ft_score__texts *out, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o)
{
    size_t count;
    if (!ft_mul(n, o->labels->n, &count))
        return ft_fail(FT_ENOMEM, "%zu labels of %zu rows are too many", o->labels->n, n);
    double *scores = ft_alloc(count, sizeof *scores);
    out->rows = ft_alloc(n, sizeof *out->rows);
    out->labels = ft_alloc(n, sizeof *out->labels);
    ft_status st = scores && out->rows && out->labels ? ft_score__labels(scores, m, rows, n, o) : FT_ENOMEM;
    for (size_t i = 0; st == FT_OK && i < n; i++)
        choose(out, i, scores + i * o->labels->n, &rows->p[i], o);
    ft_free(scores);
    return st;
}
