/* What is wrong with a training set as a whole: empty rows, duplicates, one prompt with two answers, rows that also
 * stand among those held out.
 *
 * Rows are found again by a hash of roles and texts in a map and then compared in full: a collision of hashes keeps
 * both.
 * Prompts are the messages before the last answer that is a target.
 */
#include "data/data_room.h"

#include <stdio.h>
#include <string.h>

/* ---- identity ---- */

/* Messages before the last supervised one; of a plain text, all. */
static size_t prompt_messages(const ft_example *e)
{
    size_t n = e->n;
    if (e->kind == FT_TEXT)
        return n;
    if (e->kind == FT_PAIRS || e->kind == FT_SCORED)
        return 1; /* the anchor */
    while (n > 0 && !e->messages[n - 1].supervised)
        n--;
    return n ? n - 1 : e->n;
}

static uint64_t hash_messages(const ft_example *e, size_t n)
{
    uint64_t h = ft_hash(e->tools.p, e->tools.n, (uint64_t)e->kind);
    for (size_t i = 0; i < n; i++) {
        const ft_message *m = &e->messages[i];
        h = ft_hash(m->content.p, m->content.n, h + (uint64_t)m->role);
        h = ft_hash(m->extra.p, m->extra.n, h);
    }
    return h;
}

static bool same_messages(const ft_example *a, const ft_example *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const ft_message *x = &a->messages[i], *y = &b->messages[i];
        if (x->role != y->role || !ft_str_eq(x->content, y->content) || !ft_str_eq(x->extra, y->extra))
            return false;
    }
    return a->kind == b->kind && ft_str_eq(a->tools, b->tools);
}

static bool same_row(const ft_example *a, const ft_example *b)
{
    return a->n == b->n && a->score == b->score && same_messages(a, b, a->n);
}

uint64_t ft_data__hash_prompt(const ft_example *e)
{
    return hash_messages(e, prompt_messages(e));
}

bool ft_data__same_prompt(const ft_example *a, const ft_example *b)
{
    size_t n = prompt_messages(a);
    return n == prompt_messages(b) && same_messages(a, b, n);
}

static uint64_t hash_row(const ft_example *e)
{
    return hash_messages(e, e->n);
}

/* The earlier example of d with that hash, NULL when none. */
static const ft_example *seen(const ft_map *m, uint64_t hash, const ft_dataset *d)
{
    int64_t i;
    return ft_map_get(m, (const char *)&hash, sizeof hash, &i) ? &d->examples[i] : NULL;
}

static ft_status remember(ft_map *m, uint64_t hash, size_t i)
{
    return ft_map_put(m, (const char *)&hash, sizeof hash, (int64_t)i);
}

static bool empty(const ft_example *e)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->messages[i].supervised && (!ft_data__blank(e->messages[i].content) || e->messages[i].extra.n))
            return false;
    return true;
}

/* ---- findings ---- */

void ft_finding_add(ft_finding *f, const ft_dataset *d, const ft_example *e)
{
    char place[512];
    size_t n = strlen(f->places);
    if (f->count < FT_LINT_SHOWN)
        snprintf(f->places + n, sizeof f->places - n, "%s%.180s", n ? ", " : "", ft_example_place(d, e, place));
    else if (f->count == FT_LINT_SHOWN)
        snprintf(f->places + n, sizeof f->places - n, " ...");
    f->count++;
}

void ft_finding_note(const ft_finding *f, ft_note_level level, const char *what)
{
    if (f->count)
        ft_note(level, "%lld row%s %s: %s", (long long)f->count, f->count == 1 ? "" : "s", what, f->places);
}

typedef struct lint {
    ft_dataset *train;
    const ft_dataset *held_out;
    ft_map *rows, *prompts, *held_rows;
    bool dedup;
    ft_finding empty, duplicate, conflict, leaked;
} lint;

/* *keep: whether the example stays. Kept ones move to index `at` of the training set. */
static ft_status look(lint *l, const ft_example *e, size_t at, bool *keep)
{
    uint64_t row = hash_row(e), prompt = ft_data__hash_prompt(e);
    const ft_example *twin = seen(l->rows, row, l->train), *asked = seen(l->prompts, prompt, l->train);
    const ft_example *held = l->held_out ? seen(l->held_rows, row, l->held_out) : NULL;
    *keep = false;
    if (empty(e)) {
        ft_finding_add(&l->empty, l->train, e);
        return FT_OK;
    }
    if (held && same_row(held, e)) {
        ft_finding_add(&l->leaked, l->train, e);
        return FT_OK;
    }
    bool duplicate = twin && same_row(twin, e);
    if (duplicate)
        ft_finding_add(&l->duplicate, l->train, e);
    else if ((e->kind == FT_COMPLETION || e->kind == FT_CHAT) && asked && ft_data__same_prompt(asked, e))
        ft_finding_add(&l->conflict, l->train, e);
    *keep = !(duplicate && l->dedup);
    if (*keep && !twin)
        FT_RETURN(remember(l->rows, row, at));
    return *keep && !asked ? remember(l->prompts, prompt, at) : FT_OK;
}

static ft_status walk(lint *l)
{
    ft_dataset *d = l->train;
    size_t kept = 0, i = 0;
    ft_status st = FT_OK;
    for (; i < d->n && st == FT_OK; i++) {
        ft_example e = d->examples[i];
        bool keep;
        st = look(l, &e, kept, &keep);
        if (st == FT_OK && keep)
            d->examples[kept++] = e;
    }
    d->n = kept;
    return st;
}

static void report(const lint *l)
{
    ft_finding_note(&l->empty, FT_WARN, "with nothing to learn, dropped");
    ft_finding_note(&l->duplicate, FT_NOTE, l->dedup ? "found twice, dropped" : "found twice, kept");
    ft_finding_note(&l->conflict, FT_WARN, "with another answer than an earlier row to the same prompt, kept");
    ft_finding_note(&l->leaked, FT_WARN, "also among the evaluation rows, dropped from training");
}

static ft_status start(lint *l)
{
    l->rows = ft_map_new();
    l->prompts = ft_map_new();
    l->held_rows = ft_map_new();
    if (!l->rows || !l->prompts || !l->held_rows)
        return FT_ENOMEM;
    for (size_t i = 0; l->held_out && i < l->held_out->n; i++)
        FT_RETURN(remember(l->held_rows, hash_row(&l->held_out->examples[i]), i));
    return FT_OK;
}

ft_status ft_dataset_lint(ft_dataset *train, const ft_dataset *held_out, bool dedup, ft_lint *out)
{
    lint *l = ft_alloc(1, sizeof *l);
    ft_status st = FT_OK;
    if (!l)
        return FT_ENOMEM;
    *l = (lint){.train = train, .held_out = held_out, .dedup = dedup};
    FT_TRY(start(l));
    FT_TRY(walk(l));
    report(l);
    *out = (ft_lint){.empty = l->empty.count,
                     .duplicates = l->duplicate.count,
                     .conflicts = l->conflict.count,
                     .leaked = l->leaked.count};
    if (train->n == 0)
        st = ft_fail(FT_EINPUT, "no training rows are left: %lld empty, %lld of the evaluation rows",
                     (long long)out->empty, (long long)out->leaked);
done:
    ft_map_free(l->rows);
    ft_map_free(l->prompts);
    ft_map_free(l->held_rows);
    ft_free(l);
    return st;
}
