/* Examples into rows of ids and masks.
 *
 *   1. every example becomes spans and those ids, on all threads (tiles of TILE examples, results in order)
 *   2. in order: over-long rows are refused, dropped or cut; rows are copied into the arena; packed texts join a stream
 *      that is cut into pieces
 *   3. what was dropped, cut or merged is said with the first rows' places
 *
 * For vectors the texts of an example are encoded one by one, and lie end to end in its row.
 *
 * Memory: step 1 holds the ids of the whole dataset once more than the result; each is freed when its row is copied.
 */
#include "base/threads.h"
#include "text/chat.h"

#include <stdio.h>
#include <string.h>

enum { TILE = 32 };

typedef struct result {
    ft_encoded *e; /* [n] */
    size_t n;
    ft_status st;
    char *error;
} result;

typedef struct builder {
    ft_rows *out;
    const ft_dataset *d;
    const ft_tokenizer *tok;
    const ft_rows_options *o;
    ft_renderer chat;
    result *results; /* [d->n] */
    size_t cap;      /* of out->p */
    ft_ids piece;    /* of packed text, not yet a row */
    int64_t piece_example;
    ft_finding overlong, silent, merged, emptied;
    int64_t longest, split; /* split: chats that became several rows */
    ft_map *texts;          /* ids of a text for its vector to its number */
} builder;

/* ---- one example to ids ---- */

static bool wants_bos(const ft_tokenizer *tok)
{
    return ft_tokenizer_bos(tok) >= 0 && ft_tokenizer_add_bos(tok);
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

static bool packed(const builder *b, const ft_example *e)
{
    return b->o->pack_text && e->kind == FT_TEXT;
}

static ft_status make_room(result *r, size_t n)
{
    r->e = ft_alloc(n, sizeof *r->e);
    r->n = r->e ? n : 0;
    return r->e ? FT_OK : FT_ENOMEM;
}

static ft_status encode_plain(const builder *b, const ft_example *e, result *r)
{
    bool prompt = e->kind == FT_COMPLETION;
    ft_span spans[] = {{.text = e->messages[0].content},
                       {.text = e->messages[prompt].content, .supervised = true, .answer = prompt},
                       {.kind = FT_SPAN_EOS, .supervised = true}};
    FT_RETURN(make_room(r, 1));
    return ft_spans__encode(r->e, spans + !prompt, FT_COUNT(spans) - !prompt, b->tok,
                            !packed(b, e) && wants_bos(b->tok));
}

static ft_status encode_chat(const builder *b, const ft_example *e, result *r)
{
    ft_chat_rows rows;
    ft_status st = FT_OK;
    if (!b->chat.jinja)
        return no_template();
    FT_RETURN(ft_turns__find(&rows, &b->chat, e, b->o->train_on_last));
    FT_TRY(make_room(r, rows.n));
    for (size_t i = 0; i < rows.n; i++)
        FT_TRY(ft_chat__encode(&r->e[i], &rows.p[i], b->tok));
done:
    ft_chat_rows__free(&rows);
    return st;
}

/* One a text. They are encoded whole: what is too long is seen later. */
static ft_status encode_vectors(const builder *b, const ft_example *e, result *r)
{
    if (e->kind == FT_CHAT || e->kind == FT_TEXT)
        return ft_fail(FT_EINPUT, "a %s: a loss over vectors takes pairs of texts (anchor and positive, prompt and completion, "
                                  "or two sentences and a score)", e->kind == FT_CHAT ? "chat" : "plain text");
    FT_RETURN(make_room(r, e->n));
    for (size_t i = 0; i < e->n; i++) {
        const char *prompt = e->kind == FT_SCORED ? NULL : i ? b->o->document_prompt : b->o->query_prompt;
        FT_RETURN(ft_text_ids(&r->e[i].ids, e->messages[i].content, prompt, b->tok));
    }
    return FT_OK;
}

static ft_status encode_example(const builder *b, const ft_example *e, result *r)
{
    if (b->o->vectors)
        return encode_vectors(b, e, r);
    if (e->kind == FT_PAIRS || e->kind == FT_SCORED)
        return ft_fail(FT_EINPUT, "texts for vectors: name a loss over vectors (loss: infonce, for one)");
    FT_RETURN(e->kind == FT_CHAT ? encode_chat(b, e, r) : encode_plain(b, e, r));
    for (size_t i = 0; i < r->n; i++) {
        ft_buf *mask = &r->e[i].mask;
        if (b->o->train_on_inputs && mask->n)
            memset(mask->p, 1, mask->n);
        if (mask->n)
            mask->p[0] = 0;
    }
    return FT_OK;
}

static void result_free(result *r)
{
    for (size_t i = 0; i < r->n; i++)
        ft_encoded__free(&r->e[i]);
    ft_free(r->e);
    ft_free(r->error);
    *r = (result){0};
}

static void encode_tile(void *ctx, int64_t tile)
{
    const builder *b = ctx;
    size_t end = FT_MIN((size_t)(tile + 1) * TILE, b->d->n);
    for (size_t i = (size_t)tile * TILE; i < end; i++) {
        result *r = &b->results[i];
        r->st = encode_example(b, &b->d->examples[i], r);
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
static ft_status set_answer(const builder *b, const ft_example *e, const ft_encoded *enc, size_t n, ft_row *row)
{
    const ft_answer *last = NULL;
    row->prompt_n = e->kind == FT_TEXT && wants_bos(b->tok);
    for (size_t i = 0; i < enc->n_answers && (size_t)enc->answers[i].at < n; i++)
        last = &enc->answers[i];
    if (!last)
        return FT_OK;
    char *text = ft_arena_strndup(b->out->arena, enc->said.p + last->text, last->n);
    row->prompt_n = last->at;
    row->answer = (ft_str){text, last->n};
    return text ? FT_OK : FT_ENOMEM;
}

static ft_status finish_row(builder *b, size_t i, const ft_encoded *enc)
{
    const ft_example *e = &b->d->examples[i];
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
    FT_RETURN(set_answer(b, e, enc, n, &row));
    return add_row(b, enc->ids.p, enc->mask.p, n, row);
}

/* ---- texts to a row for vectors ---- */

/* Cuts the texts of an example to what is allowed; *drop: they are too long. */
static void fit_texts(builder *b, const ft_example *e, result *r, bool *drop)
{
    bool any = false;
    for (size_t k = 0; k < r->n; k++) {
        int64_t n = (int64_t)r->e[k].ids.n;
        if (!ft_text_cut(&r->e[k].ids, b->tok, b->o->max_tokens))
            continue;
        any = true;
        b->longest = FT_MAX(b->longest, n);
    }
    if (any)
        ft_finding_add(&b->overlong, b->d, e);
    *drop = any && b->o->on_overlong != FT_OVERLONG_TRUNCATE;
}

static ft_status number_of(builder *b, const ft_ids *ids, int64_t *number)
{
    const char *key = (const char *)ids->p;
    size_t n = ids->n * sizeof *ids->p;
    if (ft_map_get(b->texts, key, n, number))
        return FT_OK;
    *number = b->out->different++;
    return ft_map_put(b->texts, key, n, *number);
}

static ft_status finish_vectors(builder *b, size_t i)
{
    const ft_example *e = &b->d->examples[i];
    result *r = &b->results[i];
    ft_ids all = {0};
    ft_buf mask = {0};
    bool drop, scored = e->kind == FT_SCORED;
    int32_t *ends = ft_arena_alloc(b->out->arena, r->n, sizeof *ends);
    int64_t *number = ft_arena_alloc(b->out->arena, r->n, sizeof *number);
    ft_status st = ends && number ? FT_OK : FT_ENOMEM;
    FT_TRY(st);
    fit_texts(b, e, r, &drop);
    if (drop)
        return FT_OK;
    if (b->out->n && b->out->scored != scored)
        return ft_fail(FT_EINPUT, "rows with a score and rows without one cannot be learned together");
    for (size_t k = 0; k < r->n; k++) {
        for (size_t t = 0; t < r->e[k].ids.n; t++) {
            FT_TRY(ft_ids_put(&all, r->e[k].ids.p[t]));
            FT_TRY(ft_buf_putc(&mask, 0));
        }
        ends[k] = (int32_t)all.n;
        FT_TRY(number_of(b, &r->e[k].ids, &number[k]));
    }
    b->out->vectors = true;
    b->out->scored = scored;
    b->out->supervised++;
    st = add_row(b, all.p, mask.p, all.n,
                 (ft_row){.example = (int64_t)i, .texts = (int32_t)r->n, .ends = ends, .number = number, .score = (float)e->score});
done:
    ft_ids_free(&all);
    ft_buf_free(&mask);
    return st;
}

static ft_status finish_example(builder *b, size_t i)
{
    if (b->o->vectors)
        return finish_vectors(b, i);
    for (size_t k = 0; k < b->results[i].n; k++)
        FT_RETURN(finish_row(b, i, &b->results[i].e[k]));
    b->split += b->results[i].n > 1;
    return FT_OK;
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
    st = add_row(b, b->piece.p, mask, n, (ft_row){.example = b->piece_example, .prompt_n = wants_bos(b->tok)});
    ft_free(mask);
    return st;
}

static ft_status pack(builder *b, size_t i)
{
    const ft_ids *ids = &b->results[i].e[0].ids;
    for (size_t k = 0; k < ids->n; k++) {
        if (b->piece.n == (size_t)b->o->max_tokens)
            FT_RETURN(flush_piece(b));
        if (b->piece.n == 0) {
            b->piece_example = (int64_t)i;
            if (wants_bos(b->tok))
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
    if (b->o->quiet)
        return out->n ? FT_OK : ft_fail(FT_EINPUT, "no rows are left");
    snprintf(what, sizeof what, "of more than %lld tokens (the longest has %lld), %s", (long long)b->o->max_tokens,
             (long long)b->longest, truncate ? "cut" : "dropped");
    ft_finding_note(&b->overlong, FT_WARN, what);
    ft_finding_note(&b->emptied, FT_WARN, "with no token to learn left after the cut, dropped");
    ft_finding_note(&b->merged, FT_NOTE,
                    "whose tokens merge across the end of the prompt, split before the merged token");
    return out->n ? FT_OK : ft_fail(FT_EINPUT, "no rows are left");
}

static bool any_chat(const ft_dataset *d)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->examples[i].kind == FT_CHAT)
            return true;
    return false;
}

static void say_of_chats(const builder *b)
{
    ft_finding unseen = {0};
    const ft_chat_template *t = b->o->chat;
    for (size_t i = 0; t && t->jinja && !strstr(t->jinja, "tools") && !t->jinja_with_tools && i < b->d->n; i++)
        if (b->d->examples[i].tools.n)
            ft_finding_add(&unseen, b->d, &b->d->examples[i]);
    ft_finding_note(&unseen, FT_WARN, "with tools, which the chat template does not show");
    if (b->chat.jinja && ft_jinja_dated(b->chat.jinja))
        ft_note(FT_NOTE, "the chat template writes today's date into its texts: another day's rows are others");
    if (b->split)
        ft_note(FT_NOTE,
                "%lld chat%s became several rows: the chat template renders earlier answers otherwise once later turns "
                "follow, each is learned as it is given when it is the last",
                (long long)b->split, b->split == 1 ? "" : "s");
}

static ft_status encode_all(builder *b)
{
    if (b->o->max_tokens < 2)
        return ft_fail(FT_EINPUT, "rows of at most %lld tokens, at least 2 are needed", (long long)b->o->max_tokens);
    if (b->o->vectors && !(b->texts = ft_map_new()))
        return FT_ENOMEM;
    if (b->o->chat && !b->o->vectors && any_chat(b->d))
        FT_RETURN(ft_renderer__open(&b->chat, b->o->chat, b->tok));
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
        FT_TRY(packed(b, &d->examples[i]) ? pack(b, i) : finish_example(b, i));
        result_free(&b->results[i]);
    }
    FT_TRY(flush_piece(b));
    FT_TRY(report(b));
    if (!o->quiet)
        say_of_chats(b);
done:
    for (size_t i = 0; b->results && i < d->n; i++)
        result_free(&b->results[i]);
    ft_free(b->results);
    ft_renderer__close(&b->chat);
    ft_ids_free(&b->piece);
    ft_map_free(b->texts);
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

int64_t ft_row_targets(const ft_row *r, int32_t *ids, int32_t *targets, int64_t *tokens)
{
    int64_t supervised = 0;
    *tokens = r->n > 1 ? r->n - 1 : 0;
    for (int64_t i = 0; i < *tokens; i++) {
        ids[i] = r->ids[i];
        targets[i] = r->mask[i + 1] ? r->ids[i + 1] : -1;
        supervised += r->mask[i + 1] != 0;
    }
    return supervised;
}

int64_t ft_row_inputs(const ft_row *r)
{
    return r->texts ? r->n : FT_MAX(r->n - 1, 0);
}

int64_t ft_row_supervised(const ft_row *r)
{
    int64_t n = r->texts > 0;
    for (int32_t i = 1; i < r->n; i++)
        n += r->mask[i] != 0;
    return n;
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
        h = ft_hash(row->ends, (size_t)row->texts * sizeof *row->ends, h);
        h = row->texts ? ft_hash(&row->score, sizeof row->score, h) : h;
    }
    return h;
}

/* ---- texts and prompts ---- */

static bool wants_eos(const ft_tokenizer *tok)
{
    return ft_tokenizer_add_eos(tok) && ft_tokenizer_eos(tok) >= 0;
}

ft_status ft_text_ids(ft_ids *out, ft_str text, const char *prompt, const ft_tokenizer *tok)
{
    ft_buf whole = {0};
    ft_status st = FT_OK;
    text = ft_text_trim(text);
    if (!text.n)
        return ft_fail(FT_EINPUT, "an empty text has no vector");
    FT_TRY(ft_buf_puts(&whole, prompt ? prompt : ""));
    FT_TRY(ft_buf_put(&whole, text.p, text.n));
    if (wants_bos(tok))
        FT_TRY(ft_ids_put(out, ft_tokenizer_bos(tok)));
    FT_TRY(ft_tokenizer_encode(tok, (ft_str){whole.p, whole.n}, false, out));
    if (wants_eos(tok))
        FT_TRY(ft_ids_put(out, ft_tokenizer_eos(tok)));
    if (!out->n)
        st = ft_fail(FT_EINPUT, "a text without tokens has no vector: %.40s", whole.p);
done:
    ft_buf_free(&whole);
    return st;
}

bool ft_text_cut(ft_ids *ids, const ft_tokenizer *tok, int64_t max_tokens)
{
    if ((int64_t)ids->n <= max_tokens)
        return false;
    ids->n = (size_t)max_tokens;
    if (wants_eos(tok))
        ids->p[ids->n - 1] = ft_tokenizer_eos(tok);
    return true;
}

static ft_status render_prompt(ft_encoded *out, const ft_message *messages, size_t n, const ft_tokenizer *tok,
                               const ft_chat_template *chat)
{
    ft_renderer r;
    ft_chat_row row = {0};
    json_t *vars = NULL;
    ft_status st = FT_OK;
    FT_RETURN(ft_renderer__open(&r, chat, tok));
    FT_TRY(ft_renderer__variables(&r, messages, n, (ft_str){0}, &vars));
    FT_TRY(ft_renderer__render(&r, vars, n, true, &row.r));
    st = ft_chat__encode(out, &row, tok);
done:
    json_decref(vars);
    ft_rendered__free(&row.r);
    ft_renderer__close(&r);
    return st;
}

ft_status ft_prompt_ids(ft_ids *out, const ft_message *messages, size_t n, const ft_tokenizer *tok,
                        const ft_chat_template *chat)
{
    ft_encoded e = {0};
    ft_status st = FT_OK;
    if (!chat && n != 1)
        return no_template();
    if (chat)
        FT_TRY(render_prompt(&e, messages, n, tok, chat));
    else
        FT_TRY(ft_spans__encode(&e, &(ft_span){.text = messages[0].content}, 1, tok, wants_bos(tok)));
    for (size_t i = 0; i < e.ids.n; i++)
        FT_TRY(ft_ids_put(out, e.ids.p[i]));
done:
    ft_encoded__free(&e);
    return st;
}
