/* Labels, and their ids behind a prompt.
 *
 * The ids of a label are found by making the row that would have it as its answer: an example of the task, its last answer
 * replaced by the label, goes through ft_rows_build, and what the row supervises behind its prompt is what the model would
 * have to say. So spaces, chat templates and end tokens are those of training, without a second account of them here.
 *
 * Memory: texts and ids in the arena; while encoding, a copy of the example a label.
 */
#include "text/labels.h"

#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

static ft_status set_up(ft_labels *l)
{
    if (!l->arena)
        l->arena = ft_arena_new((size_t)1 << 16, 0);
    if (!l->by_text)
        l->by_text = ft_map_new();
    return l->arena && l->by_text ? FT_OK : FT_ENOMEM;
}

static ft_status keep(ft_labels *l, ft_str *out, ft_str s)
{
    char *copy = ft_arena_strndup(l->arena, s.n ? s.p : "", s.n);
    *out = (ft_str){copy, s.n};
    return copy ? FT_OK : FT_ENOMEM;
}

ft_status ft_labels_add(ft_labels *l, ft_str text)
{
    FT_RETURN(set_up(l));
    text = ft_text_trim(text);
    if (!text.n)
        return ft_fail(FT_EINPUT, "label %zu is empty", l->n + 1);
    if (ft_map_get(l->by_text, text.p, text.n, NULL))
        return ft_fail(FT_EINPUT, "label \"%.*s\" is given twice", (int)FT_MIN(text.n, (size_t)200), text.p);
    if (l->n == FT_MAX_LABELS)
        return ft_fail(FT_EINPUT, "more than %d labels", FT_MAX_LABELS);
    ft_label *p = ft_resize(l->p, l->n + 1, sizeof *p);
    if (!p)
        return FT_ENOMEM;
    l->p = p;
    p[l->n] = (ft_label){0};
    FT_RETURN(keep(l, &p[l->n].text, text));
    FT_RETURN(ft_map_put(l->by_text, text.p, text.n, (int64_t)l->n));
    l->n++;
    return FT_OK;
}

/* The message that an example's row is asked for: the last one to be learned; NULL where there is none, or where it is more
 * than a text. */
static ft_message *answer_of(const ft_example *e)
{
    for (size_t i = e->n; e->kind != FT_TEXT && i-- > 0;) {
        ft_message *m = &e->messages[i];
        if (m->role == FT_ASSISTANT && m->supervised)
            return m->content.n && !m->extra.n ? m : NULL;
    }
    return NULL;
}

static int commonest_first(const void *a, const void *b)
{
    const ft_label *x = a, *y = b;
    if (x->rows != y->rows)
        return x->rows > y->rows ? -1 : 1;
    int order = memcmp(x->text.p, y->text.p, FT_MIN(x->text.n, y->text.n));
    return order ? order : (x->text.n > y->text.n) - (x->text.n < y->text.n);
}

/* Labels of another order are found by their text again. */
static ft_status number_again(ft_labels *l)
{
    for (size_t i = 0; i < l->n; i++)
        FT_RETURN(ft_map_put(l->by_text, l->p[i].text.p, l->p[i].text.n, (int64_t)i));
    return FT_OK;
}

static ft_status too_many(void)
{
    return ft_fail(FT_EINPUT, "the rows have more than %d different answers, which is no choice among labels", FT_MAX_LABELS);
}

ft_status ft_labels_of_answers(ft_labels *l, const ft_dataset *d)
{
    FT_RETURN(set_up(l));
    for (size_t i = 0; i < d->n; i++) {
        const ft_message *m = answer_of(&d->examples[i]);
        ft_str text = m ? ft_text_trim(m->content) : (ft_str){0};
        if (text.n && !ft_map_get(l->by_text, text.p, text.n, NULL))
            FT_RETURN(l->n < FT_MAX_LABELS ? ft_labels_add(l, text) : too_many());
    }
    ft_labels_count(l, d);
    if (l->n)
        qsort(l->p, l->n, sizeof *l->p, commonest_first);
    return number_again(l);
}

void ft_labels_count(ft_labels *l, const ft_dataset *d)
{
    int64_t at;
    for (size_t i = 0; i < l->n; i++)
        l->p[i].rows = 0;
    for (size_t i = 0; i < d->n; i++) {
        const ft_message *m = answer_of(&d->examples[i]);
        ft_str text = m ? ft_text_trim(m->content) : (ft_str){0};
        if (l->by_text && ft_map_get(l->by_text, text.p, text.n, &at))
            l->p[at].rows++;
    }
}

/* ---- ids ---- */

/* An example for each label: `like` with the label as its answer. */
static ft_status examples_of(ft_dataset *out, const ft_labels *l, const ft_example *like, ft_arena *arena)
{
    size_t which = (size_t)(answer_of(like) - like->messages);
    out->n = l->n;
    if (!(out->examples = ft_arena_zalloc(arena, l->n, sizeof *out->examples)))
        return FT_ENOMEM;
    for (size_t i = 0; i < l->n; i++) {
        ft_example *e = &out->examples[i];
        ft_str parts[] = {l->lead, l->p[i].text, l->trail};
        size_t n = parts[0].n + parts[1].n + parts[2].n, at = 0;
        char *text = ft_arena_alloc(arena, n + 1, 1);
        *e = *like;
        if (!text || !(e->messages = ft_arena_alloc(arena, like->n, sizeof *e->messages)))
            return FT_ENOMEM;
        memcpy(e->messages, like->messages, like->n * sizeof *e->messages);
        for (size_t k = 0; k < FT_COUNT(parts); at += parts[k++].n)
            if (parts[k].n)
                memcpy(text + at, parts[k].p, parts[k].n);
        e->messages[which].content = (ft_str){text, n};
    }
    return FT_OK;
}

/* What the row supervises from the beginning of its answer on. */
static ft_status take_row(ft_labels *l, ft_label *label, const ft_row *r, const ft_tokenizer *tok)
{
    int32_t end = r->prompt_n;
    ft_buf said = {0};
    ft_status st = FT_OK;
    while (end < r->n && r->mask[end])
        end++;
    label->n = end - r->prompt_n;
    int32_t *ids = ft_arena_alloc(l->arena, (size_t)label->n, sizeof *ids);
    if (!ids)
        return FT_ENOMEM;
    memcpy(ids, r->ids + r->prompt_n, (size_t)label->n * sizeof *ids);
    label->ids = ids;
    size_t text = (size_t)label->n;
    while (text && ft_tokenizer_is_stop(tok, ids[text - 1]))
        text--;
    FT_TRY(ft_tokenizer_decode(tok, ids, text, true, false, &said));
    FT_TRY(keep(l, &label->said, (ft_str){said.p, said.n}));
    FT_TRY(keep(l, &label->answer, r->answer));
    st = ft_map_put(l->by_answer, label->answer.p, label->answer.n, label - l->p);
done:
    ft_buf_free(&said);
    return st;
}

static ft_status check_different(const ft_labels *l)
{
    int64_t other;
    ft_status st = FT_OK;
    ft_map *seen = ft_map_new();
    if (!seen)
        return FT_ENOMEM;
    for (size_t i = 0; i < l->n; i++) {
        const char *key = (const char *)l->p[i].ids;
        size_t n = (size_t)l->p[i].n * sizeof *l->p[i].ids;
        if (!n)
            st = ft_fail(FT_EINPUT, "label \"%.200s\" has no tokens of its own behind the prompt", l->p[i].text.p);
        else if (ft_map_get(seen, key, n, &other))
            st = ft_fail(FT_EINPUT, "labels \"%.200s\" and \"%.200s\" are the same tokens to this model", l->p[other].text.p,
                         l->p[i].text.p);
        FT_TRY(st);
        FT_TRY(ft_map_put(seen, key, n, (int64_t)i));
    }
done:
    ft_map_free(seen);
    return st;
}

static ft_status encode_like(ft_labels *l, const ft_dataset *d, const ft_example *like, const ft_tokenizer *tok,
                             const ft_rows_options *given)
{
    ft_rows_options o = *given;
    ft_dataset examples = {.files = d->files, .formats = d->formats, .n_files = d->n_files};
    ft_rows rows = {0};
    ft_arena *arena = ft_arena_new((size_t)1 << 16, 0);
    ft_status st = FT_OK;
    o.max_tokens = INT32_MAX;
    o.train_on_inputs = o.pack_text = false;
    o.quiet = true;
    ft_map_free(l->by_answer);
    l->by_answer = ft_map_new();
    if (!arena || !l->by_answer) {
        st = FT_ENOMEM;
        goto done;
    }
    FT_TRY(examples_of(&examples, l, like, arena));
    FT_TRY(ft_rows_build(&rows, &examples, tok, &o));
    for (size_t i = 0; i < rows.n; i++) /* of a chat that became several rows the last holds the last answer */
        if (i + 1 == rows.n || rows.p[i + 1].example != rows.p[i].example)
            FT_TRY(take_row(l, &l->p[rows.p[i].example], &rows.p[i], tok));
    st = check_different(l);
done:
    ft_rows_free(&rows);
    ft_arena_free(arena);
    return st;
}

ft_status ft_labels_encode(ft_labels *l, const ft_dataset *d, const ft_tokenizer *tok, const ft_rows_options *o)
{
    const ft_message *m = NULL;
    size_t like = 0;
    while (like < d->n && !(m = answer_of(&d->examples[like])))
        like++;
    if (!m)
        return ft_fail(FT_EINPUT, "no row has an answer that could be a label");
    ft_str text = ft_text_trim(m->content);
    size_t before = (size_t)(text.p - m->content.p);
    FT_RETURN(keep(l, &l->lead, (ft_str){m->content.p, text.n ? before : 0}));
    FT_RETURN(keep(l, &l->trail, (ft_str){text.p + text.n, text.n ? m->content.n - before - text.n : 0}));
    return ft_context(encode_like(l, d, &d->examples[like], tok, o), "labels");
}

ft_status ft_labels_encode_for(ft_labels *l, const ft_message *messages, size_t n, const ft_tokenizer *tok,
                               const ft_chat_template *chat)
{
    char *name = "the prompt";
    const char *format = "completion";
    ft_dataset d = {.files = &name, .formats = &format, .n_files = 1};
    ft_example like = {.kind = chat ? FT_CHAT : FT_COMPLETION, .n = n + 1, .row = 1};
    ft_message *all = ft_alloc(n + 1, sizeof *all);
    if (!all)
        return FT_ENOMEM;
    memcpy(all, messages, n * sizeof *all);
    all[n] = (ft_message){.role = FT_ASSISTANT, .content = ft_str_of("x"), .supervised = true};
    like.messages = all;
    ft_status st = encode_like(l, &d, &like, tok, &(ft_rows_options){.chat = chat, .train_on_last = true});
    ft_free(all);
    return ft_context(st, "labels");
}

int64_t ft_labels_find(const ft_labels *l, ft_str answer)
{
    int64_t at;
    return l->by_answer && ft_map_get(l->by_answer, answer.p, answer.n, &at) ? at : -1;
}

int64_t ft_labels_unlike(const ft_labels *l, const ft_rows *rows)
{
    int64_t unlike = 0;
    for (size_t i = 0; i < rows->n; i++) {
        const ft_row *r = &rows->p[i];
        int64_t at = ft_labels_find(l, r->answer);
        const ft_label *label = at < 0 ? NULL : &l->p[at];
        unlike += label && (r->n - r->prompt_n < label->n ||
                            memcmp(r->ids + r->prompt_n, label->ids, (size_t)label->n * sizeof *r->ids) != 0);
    }
    return unlike;
}

void ft_labels_free(ft_labels *l)
{
    ft_free(l->p);
    ft_map_free(l->by_text);
    ft_map_free(l->by_answer);
    ft_arena_free(l->arena);
    *l = (ft_labels){0};
}
