/* Examples into rows of ids and masks.
 *
 *   1. every example becomes spans and those ids, on all threads (tiles of TILE examples, results in order)
 *   2. in order: over-long rows are refused, dropped or cut; rows are copied into the arena; packed texts join a stream
 *      that is cut into pieces
 *   3. what was dropped, cut or merged is said with the first rows' places
 *
 * Memory: step 1 holds the ids of the whole dataset once more than the result; each is freed when its row is copied.
 */
#include "base/threads.h"
#include "text/chat.h"

#include <stdio.h>
#include <string.h>

enum { TILE = 32 };

typedef struct result {
    ft_encoded e;
    ft_status st;
    char *error;
} result;

typedef struct builder {
    ft_rows *out;
    const ft_dataset *d;
    const ft_tokenizer *tok;
    const ft_rows_options *o;
    ft_buf system;   /* the model's default system message */
    result *results; /* [d->n] */
    size_t cap;      /* of out->p */
    ft_ids piece;    /* of packed text, not yet a row */
    int64_t piece_example;
    ft_finding overlong, silent, merged, emptied;
    int64_t longest;
} builder;

/* ---- one example to ids ---- */

static bool wants_bos(const ft_tokenizer *tok, const ft_chat_template *chat)
{
    return ft_tokenizer_bos(tok) >= 0 && (ft_tokenizer_add_bos(tok) || (chat && chat->begins_with_bos));
}

/* A template's end token that the tokenizer lacks was spelled out: generation would not know where to stop. */
static bool lacks_end(const ft_spans *s, const ft_tokenizer *tok)
{
    size_t i = s->n;
    while (i > 0 && !s->p[i - 1].supervised)
        i--;
    return i > 0 && s->p[i - 1].kind == FT_SPAN_CONTROL && ft_tokenizer_find(tok, s->p[i - 1].text) < 0;
}

static ft_status no_template(void)
{
    ft_buf names = {0};
    ft_status st = FT_EUNSUPPORTED;
    for (size_t i = 2; ft_chat_template_choice(i) && st == FT_EUNSUPPORTED; i++)
        if (ft_buf_printf(&names, "%s%s", i > 2 ? ", " : "", ft_chat_template_choice(i)) != FT_OK)
            st = FT_ENOMEM;
    if (st == FT_EUNSUPPORTED)
        ft_fail(st, "a chat, and the model brings no chat template; name chat_template: one of %s", names.p);
    ft_buf_free(&names);
    return st;
}

static ft_status chat_spans(const builder *b, const ft_example *e, ft_spans *s)
{
    if (!b->o->chat)
        return no_template();
    FT_RETURN(ft_chat__render(s, b->o->chat, (ft_str){b->system.p, b->system.n}, e->messages, e->n, false));
    return lacks_end(s, b->tok) ? ft_span__put(s, FT_SPAN_EOS, ft_str_of(""), true, -1) : FT_OK;
}

static ft_status plain_spans(const ft_example *e, ft_spans *s)
{
    bool prompt = e->kind == FT_COMPLETION;
    if (prompt)
        FT_RETURN(ft_span__put(s, FT_SPAN_PLAIN, e->messages[0].content, false, -1));
    FT_RETURN(ft_span__put(s, FT_SPAN_PLAIN, e->messages[prompt].content, true, prompt ? 1 : -1));
    return ft_span__put(s, FT_SPAN_EOS, ft_str_of(""), true, -1);
}

static bool packed(const builder *b, const ft_example *e)
{
    return b->o->pack_text && e->kind == FT_TEXT;
}

static ft_status encode_example(const builder *b, const ft_example *e, ft_encoded *out)
{
    ft_spans s = {0};
    bool chat = e->kind == FT_CHAT;
    ft_status st = FT_OK;
    FT_TRY(chat ? chat_spans(b, e, &s) : plain_spans(e, &s));
    bool bos = !packed(b, e) && wants_bos(b->tok, chat ? b->o->chat : NULL);
    FT_TRY(ft_spans__encode(out, &s, b->tok, bos, !(chat && b->o->chat->begins_with_bos)));
    if (b->o->train_on_inputs && out->mask.n)
        memset(out->mask.p, 1, out->mask.n);
    if (out->mask.n)
        out->mask.p[0] = 0;
done:
    ft_spans__free(&s);
    return st;
}

static void encode_tile(void *ctx, int64_t tile)
{
    const builder *b = ctx;
    size_t end = FT_MIN((size_t)(tile + 1) * TILE, b->d->n);
    for (size_t i = (size_t)tile * TILE; i < end; i++) {
        result *r = &b->results[i];
        r->st = encode_example(b, &b->d->examples[i], &r->e);
        if (r->st != FT_OK)
            r->error = ft_strdup(ft_error()); /* messages are the thread's own */
    }
}

static ft_status first_failure(const builder *b)
{
    char place[512];
    for (size_t i = 0; i < b->d->n; i++) {
        const result *r = &b->results[i];
        if (r->st != FT_OK)
            return ft_fail(r->st, "%s: %s", ft_example_place(b->d, &b->d->examples[i], place),
                           r->error ? r->error : "out of memory");
    }
    return FT_OK;
}

/* ---- ids to rows ---- */

static ft_status add_row(builder *b, const int32_t *ids, const char *mask, size_t n, ft_row row)
{
    if (b->out->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 256;
        ft_row *p = ft_resize(b->out->p, cap, sizeof *p);
        if (!p)
            return FT_ENOMEM;
        b->out->p = p;
        b->cap = cap;
    }
    row.n = (int32_t)n;
    row.ids = ft_arena_alloc(b->out->arena, n, sizeof *row.ids);
    row.mask = ft_arena_alloc(b->out->arena, n, 1);
    if (!row.ids || !row.mask)
        return FT_ENOMEM;
    memcpy(row.ids, ids, n * sizeof *ids);
    memcpy(row.mask, mask, n);
    b->out->tokens += (int64_t)n;
    for (size_t i = 0; i < n; i++)
        b->out->supervised += mask[i];
    b->out->p[b->out->n++] = row;
    return FT_OK;
}

/* prompt_n and answer: of the last answer that begins within the row's n tokens. */
static void set_answer(const builder *b, const ft_example *e, const ft_encoded *enc, size_t n, ft_row *row)
{
    row->prompt_n = e->kind == FT_TEXT && wants_bos(b->tok, NULL);
    for (size_t i = 0; i < enc->n_answers && (size_t)enc->answers[i].at < n; i++) {
        row->prompt_n = enc->answers[i].at;
        row->answer = ft_chat__trim(e->messages[enc->answers[i].message].content);
    }
}

static ft_status finish_row(builder *b, size_t i)
{
    const ft_example *e = &b->d->examples[i];
    const ft_encoded *enc = &b->results[i].e;
    size_t n = enc->ids.n, max = (size_t)b->o->max_tokens;
    bool cut = n > max;
    if (cut) {
        ft_finding_add(&b->overlong, b->d, e);
        b->longest = FT_MAX(b->longest, (int64_t)n);
        if (b->o->on_overlong != FT_OVERLONG_TRUNCATE)
            return FT_OK;
        n = max;
    }
    if (!n || !memchr(enc->mask.p, 1, n)) {
        ft_finding_add(cut ? &b->emptied : &b->silent, b->d, e);
        return FT_OK;
    }
    if (enc->merged)
        ft_finding_add(&b->merged, b->d, e);
    ft_row row = {.example = (int64_t)i};
    set_answer(b, e, enc, n, &row);
    return add_row(b, enc->ids.p, enc->mask.p, n, row);
}

/* ---- packed text ---- */

static ft_status flush_piece(builder *b)
{
    size_t n = b->piece.n;
    ft_status st = FT_OK;
    b->piece.n = 0;
    if (n < 2)
        return FT_OK; /* nothing to predict */
    char *mask = ft_alloc(n, 1);
    if (!mask)
        return FT_ENOMEM;
    memset(mask + 1, 1, n - 1);
    st = add_row(b, b->piece.p, mask, n, (ft_row){.example = b->piece_example, .prompt_n = wants_bos(b->tok, NULL)});
    ft_free(mask);
    return st;
}

static ft_status pack(builder *b, size_t i)
{
    const ft_ids *ids = &b->results[i].e.ids;
    for (size_t k = 0; k < ids->n; k++) {
        if (b->piece.n == (size_t)b->o->max_tokens)
            FT_RETURN(flush_piece(b));
        if (b->piece.n == 0) {
            b->piece_example = (int64_t)i;
            if (wants_bos(b->tok, NULL))
                FT_RETURN(ft_ids_put(&b->piece, ft_tokenizer_bos(b->tok)));
        }
        FT_RETURN(ft_ids_put(&b->piece, ids->p[k]));
    }
    return FT_OK;
}

/* ---- the whole ---- */

static ft_status report(builder *b)
{
    char what[160];
    ft_rows *out = b->out;
    out->merged_border = b->merged.count;
    if (b->silent.count)
        return ft_fail(FT_EINPUT, "%lld row%s with no token to learn: %s", (long long)b->silent.count,
                       b->silent.count == 1 ? "" : "s", b->silent.places);
    if (b->overlong.count && b->o->on_overlong == FT_OVERLONG_ERROR)
        return ft_fail(
            FT_EINPUT,
            "%lld row%s of more than %lld tokens, the longest %lld: %s; raise sequence_len or set on_overlong "
            "to drop or truncate",
            (long long)b->overlong.count, b->overlong.count == 1 ? "" : "s", (long long)b->o->max_tokens,
            (long long)b->longest, b->overlong.places);
    bool truncate = b->o->on_overlong == FT_OVERLONG_TRUNCATE;
    out->truncated = truncate ? b->overlong.count - b->emptied.count : 0;
    out->dropped = truncate ? b->emptied.count : b->overlong.count;
    snprintf(what, sizeof what, "of more than %lld tokens (the longest has %lld), %s", (long long)b->o->max_tokens,
             (long long)b->longest, truncate ? "cut" : "dropped");
    ft_finding_note(&b->overlong, FT_WARN, what);
    ft_finding_note(&b->emptied, FT_WARN, "with no token to learn left after the cut, dropped");
    ft_finding_note(&b->merged, FT_NOTE,
                    "whose tokens merge across the end of the prompt, split before the merged token");
    return out->n ? FT_OK : ft_fail(FT_EINPUT, "no rows are left");
}

/* What a chat's row has otherwise than the model's own template would. */
static void say_differences(const builder *b)
{
    const ft_chat_template *t = b->o->chat;
    const char *own = ft_tokenizer_chat_template(b->tok);
    bool any = false;
    for (size_t i = 0; i < b->d->n && !any; i++)
        any = b->d->examples[i].kind == FT_CHAT;
    if (any && t && t->differs_where && own && strstr(own, t->differs_where))
        ft_note(FT_WARN, "chat template %s: %s", t->name, t->differs_how);
}

static ft_status encode_all(builder *b)
{
    if (b->o->max_tokens < 2)
        return ft_fail(FT_EINPUT, "rows of at most %lld tokens, at least 2 are needed", (long long)b->o->max_tokens);
    FT_RETURN(ft_chat_template_system(b->o->chat, b->tok, &b->system));
    if (!(b->results = ft_alloc(b->d->n, sizeof *b->results)) || !(b->out->arena = ft_arena_new((size_t)1 << 20, 0)))
        return FT_ENOMEM;
    ft_parallel((int64_t)((b->d->n + TILE - 1) / TILE), encode_tile, b);
    return first_failure(b);
}

ft_status ft_rows_build(ft_rows *out, const ft_dataset *d, const ft_tokenizer *tok, const ft_rows_options *o)
{
    ft_status st = FT_OK;
    *out = (ft_rows){0};
    builder *b = ft_alloc(1, sizeof *b);
    if (!b)
        return FT_ENOMEM;
    *b = (builder){.out = out, .d = d, .tok = tok, .o = o};
    FT_TRY(encode_all(b));
    for (size_t i = 0; i < d->n; i++) {
        FT_TRY(packed(b, &d->examples[i]) ? pack(b, i) : finish_row(b, i));
        ft_encoded__free(&b->results[i].e);
    }
    FT_TRY(flush_piece(b));
    FT_TRY(report(b));
    say_differences(b);
done:
    for (size_t i = 0; b->results && i < d->n; i++) {
        ft_encoded__free(&b->results[i].e);
        ft_free(b->results[i].error);
    }
    ft_free(b->results);
    ft_buf_free(&b->system);
    ft_ids_free(&b->piece);
    ft_free(b);
    if (st != FT_OK)
        ft_rows_free(out);
    return st;
}

void ft_rows_free(ft_rows *r)
{
    ft_free(r->p);
    ft_arena_free(r->arena);
    *r = (ft_rows){0};
}

uint64_t ft_rows_hash(const ft_rows *r)
{
    uint64_t h = r ? r->n : 0;
    for (size_t i = 0; r && i < r->n; i++) {
        const ft_row *row = &r->p[i];
        const int32_t lengths[] = {row->n, row->prompt_n};
        h = ft_hash(lengths, sizeof lengths, h);
        h = ft_hash(row->ids, (size_t)row->n * sizeof *row->ids, h);
        h = ft_hash(row->mask, (size_t)row->n, h);
    }
    return h;
}

/* ---- prompts ---- */

ft_status ft_prompt_ids(ft_ids *out, const ft_message *messages, size_t n, const ft_tokenizer *tok,
                        const ft_chat_template *chat)
{
    ft_spans s = {0};
    ft_encoded e = {0};
    ft_buf system = {0};
    ft_status st = FT_OK;
    if (!chat && n != 1)
        return no_template();
    FT_TRY(ft_chat_template_system(chat, tok, &system));
    if (chat)
        FT_TRY(ft_chat__render(&s, chat, (ft_str){system.p, system.n}, messages, n, true));
    else
        FT_TRY(ft_span__put(&s, FT_SPAN_PLAIN, messages[0].content, false, -1));
    FT_TRY(ft_spans__encode(&e, &s, tok, wants_bos(tok, chat), !(chat && chat->begins_with_bos)));
    for (size_t i = 0; i < e.ids.n; i++)
        FT_TRY(ft_ids_put(out, e.ids.p[i]));
done:
    ft_buf_free(&system);
    ft_encoded__free(&e);
    ft_spans__free(&s);
    return st;
}
