/* The tokenizer: opening, the way of a text to ids and back, and what can be asked of it (see tokenizer.h).
 *
 * Encoding allocates nothing once its scratch has grown. Scratches wait in a pool of atomic slots, so that calls from
 * several threads never wait for each other; each holds a cache of the ids of short words.
 */
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

#include <string.h>

enum { STOPS_MAX = 1024 };

#define FT_VOCABULARY(name) extern const ft_vocabulary ft_vocabulary_##name;
#include "text/vocabularies.def"
#undef FT_VOCABULARY
#define FT_VOCABULARY(name) &ft_vocabulary_##name,
static const ft_vocabulary *const vocabularies[] = {
#include "text/vocabularies.def"
};
#undef FT_VOCABULARY
#define FT_TOKENIZER(name) &ft_tokenizer_##name,
const ft_word_kind *const ft_word_kinds[] = {
#include "text/tokenizers.def"
    NULL,
};
#undef FT_TOKENIZER

/* ---- ids ---- */

ft_status ft_ids__reserve(ft_ids *ids, size_t n)
{
    size_t want;
    if (!ft_add(ids->n, n, &want))
        return ft_fail(FT_ENOMEM, "too many ids");
    if (want <= ids->cap)
        return FT_OK;
    size_t cap = FT_MAX(FT_MAX(want, ids->cap * 2), (size_t)64);
    int32_t *p = ft_resize(ids->p, cap, sizeof *p);
    if (!p)
        return FT_ENOMEM;
    ids->p = p;
    ids->cap = cap;
    return FT_OK;
}

ft_status ft_ids_put(ft_ids *ids, int32_t id)
{
    if (ids->n == ids->cap)
        FT_RETURN(ft_ids__reserve(ids, 1));
    ids->p[ids->n++] = id;
    return FT_OK;
}

void ft_ids_free(ft_ids *ids)
{
    ft_free(ids->p);
    *ids = (ft_ids){0};
}

/* ---- opening ---- */

/* By what the file begins with, else by its name: a GGUF is one under any name, as it is for the model. */
static const ft_vocabulary *vocabulary_of(const char *path)
{
    for (size_t i = 0; i < FT_COUNT(vocabularies); i++) {
        const char *magic = vocabularies[i]->magic;
        if (magic && ft_begins_with(path, magic, strlen(magic)))
            return vocabularies[i];
    }
    for (size_t i = 0; i < FT_COUNT(vocabularies); i++)
        if (vocabularies[i]->is(ft_path_base(path)))
            return vocabularies[i];
    return NULL;
}

/* A failure that names what was expected. */
static ft_status no_tokenizer(const char *path, const char *what)
{
    ft_buf names = {0};
    ft_status st = FT_OK;
    for (size_t i = 0; i < FT_COUNT(vocabularies) && st == FT_OK; i++)
        st = ft_buf_printf(&names, "%s%s", i ? ", " : "", vocabularies[i]->name);
    if (st == FT_OK)
        st = ft_fail(FT_EINPUT, "%s: %s; expected %s", path, what, names.p);
    ft_buf_free(&names);
    return st;
}

/* The tokenizer file of a directory: the first format of the table that has one. */
static ft_status find_in_dir(char **out, const ft_vocabulary **source, const char *dir)
{
    ft_status st = FT_OK;
    ft_names names;
    const char *found = NULL;
    *out = NULL;
    FT_RETURN(ft_list_dir(&names, dir, NULL));
    for (size_t k = 0; k < FT_COUNT(vocabularies) && !found; k++) {
        const ft_vocabulary *v = *source = vocabularies[k];
        for (size_t i = 0; i < names.n; i++)
            if (v->is(names.p[i]) && (!found || (v->usual && strcmp(names.p[i], v->usual) == 0)))
                found = names.p[i];
    }
    if (found && !(*out = ft_path_join(dir, found)))
        st = FT_ENOMEM;
    else if (!found)
        st = no_tokenizer(dir, "no tokenizer in this directory");
    ft_names_free(&names);
    return st;
}

/* Special ids that a file names must be ids of the vocabulary. */
static ft_status check_ids(const ft_tokenizer *t)
{
    const int32_t ids[] = {t->bos, t->eos, t->unk, t->pad};
    static const char *const names[] = {"bos", "eos", "unk", "pad"};
    for (size_t i = 0; i < FT_COUNT(ids); i++)
        if (ids[i] < -1 || ids[i] >= t->vocab.n)
            return ft_fail(FT_EFORMAT, "%s: %s id %d, expected below %d", t->path, names[i], ids[i], t->vocab.n);
    return FT_OK;
}

static bool puts_space(const ft_tokenizer *t)
{
    bool puts = t->norms.space_prefix || t->kind->words_apart;
    for (size_t i = 0; i < t->stages.n; i++)
        puts = puts || t->stages.stage[i].prepend != FT_PREPEND_NEVER;
    return puts;
}

/* Control tokens that end a turn in the families known, whatever else a file says. */
static ft_status known_stops(ft_tokenizer *t)
{
    static const char *const known[] = {"<|im_end|>",    "<|eot_id|>",      "<|end|>",    "<end_of_turn>",
                                        "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>", "<|eot|>"};
    if (t->eos >= 0)
        FT_RETURN(ft_tokenizer__add_stop(t, t->eos));
    for (size_t i = 0; i < FT_COUNT(known); i++) {
        int32_t id = ft_vocab__find(&t->vocab, ft_str_of(known[i]));
        if (id >= 0 && t->vocab.type[id] == FT_TOKEN_CONTROL)
            FT_RETURN(ft_tokenizer__add_stop(t, id));
    }
    return FT_OK;
}

ft_status ft_tokenizer_open(ft_tokenizer **out, const char *path)
{
    ft_status st = FT_OK;
    *out = NULL;
    ft_tokenizer *t = ft_alloc(1, sizeof *t);
    if (!t)
        return FT_ENOMEM;
    t->bos = t->eos = t->unk = t->pad = t->model_unk = -1;
    memset(t->byte_id, 0xff, sizeof t->byte_id);
    t->pool = ft_alloc(1, sizeof *t->pool);
    if (!t->pool) {
        st = FT_ENOMEM;
        goto done;
    }
    if (ft_is_dir(path)) {
        FT_TRY(find_in_dir(&t->path, &t->source, path));
    } else {
        t->source = vocabulary_of(path);
        t->path = ft_strdup(path);
        if (!t->path) {
            st = FT_ENOMEM;
            goto done;
        }
        if (!t->source) {
            st = no_tokenizer(path, "no tokenizer, by its name or its first bytes");
            goto done;
        }
    }
    FT_TRY(t->source->load(t, t->path));
    FT_TRY(t->kind->finish(t));
    FT_TRY(check_ids(t));
    FT_TRY(known_stops(t));
    t->add_bos = t->add_bos && t->bos >= 0;
    t->add_eos = t->add_eos && t->eos >= 0;
    t->space_prefix = puts_space(t);
    ft_added__finish(&t->raw);
    ft_added__finish(&t->raw_special);
    ft_added__finish(&t->normalized);
    t->own_template = (ft_chat_template){"own", t->chat_template, t->tool_template};
done:
    if (st == FT_OK)
        *out = t;
    else
        ft_tokenizer_free(t);
    return st;
}

static void scratch_free(ft_scratch *s)
{
    if (!s)
        return;
    ft_matcher__free(s->matcher);
    ft_buf_free(&s->norm[0]);
    ft_buf_free(&s->norm[1]);
    ft_buf_free(&s->points);
    ft_buf_free(&s->word);
    ft_buf_free(&s->lattice);
    for (size_t i = 0; i < FT_STAGES_MAX; i++)
        ft_buf_free(&s->stage[i]);
    ft_work__free(&s->work);
    ft_free(s->cache);
    ft_free(s);
}

void ft_tokenizer_free(ft_tokenizer *t)
{
    if (!t)
        return;
    for (size_t i = 0; t->pool && i < FT_POOL; i++)
        scratch_free(atomic_load(&t->pool->waiting[i]));
    ft_free(t->pool);
    ft_vocab__free(&t->vocab);
    ft_merges__free(&t->merges);
    ft_norms__free(&t->norms);
    ft_stages__free(&t->stages);
    ft_added__free(&t->raw);
    ft_added__free(&t->raw_special);
    ft_added__free(&t->normalized);
    ft_trie__free(&t->pieces);
    ft_free(t->piece_score);
    ft_map_free(t->whole);
    ft_free(t->chars.slots);
    ft_free(t->stops);
    ft_free(t->chat_template);
    ft_free(t->tool_template);
    ft_free(t->path);
    if (t->container)
        ft_container_close(t->container);
    ft_free(t);
}

ft_status ft_tokenizer__cut_out(ft_tokenizer *t, const ft_added_token *token, bool control, bool behind_normalizers)
{
    if (behind_normalizers && !control)
        return ft_added__put(&t->normalized, token);
    FT_RETURN(ft_added__put(&t->raw_special, token));
    return control ? FT_OK : ft_added__put(&t->raw, token);
}

/* ---- scratches ---- */

ft_status ft_scratch__take(const ft_tokenizer *t, ft_scratch **out)
{
    for (size_t i = 0; i < FT_POOL; i++)
        if (atomic_load_explicit(&t->pool->waiting[i], memory_order_relaxed) &&
            (*out = atomic_exchange(&t->pool->waiting[i], NULL)))
            return FT_OK;
    ft_scratch *s = *out = ft_alloc(1, sizeof *s);
    if (!s)
        return FT_ENOMEM;
    s->cache = ft_alloc(FT_CACHE_SLOTS, sizeof *s->cache);
    ft_status st = s->cache ? ft_matcher__new(&s->matcher) : FT_ENOMEM;
    for (size_t i = 0; i < FT_STAGES_MAX; i++)
        s->stage[i].max = (size_t)1 << 36;
    s->norm[0].max = s->norm[1].max = s->word.max = s->lattice.max = (size_t)1 << 36;
    if (st != FT_OK) {
        scratch_free(s);
        *out = NULL;
    }
    return st;
}

void ft_scratch__give(const ft_tokenizer *t, ft_scratch *s)
{
    for (size_t i = 0; i < FT_POOL; i++) {
        ft_scratch *none = NULL;
        if (atomic_compare_exchange_strong(&t->pool->waiting[i], &none, s))
            return;
    }
    scratch_free(s);
}

/* ---- encoding ---- */

ft_status ft_tokenizer__word(const ft_tokenizer *t, ft_scratch *s, ft_str word, ft_ids *out)
{
    if (word.n > FT_CACHE_WORD)
        return t->kind->word(t, s, word, out);
    ft_cached *c = &s->cache[ft_hash(word.p, word.n, 0) & (FT_CACHE_SLOTS - 1)];
    if (c->n == word.n && memcmp(c->word, word.p, word.n) == 0) {
        FT_RETURN(ft_ids__reserve(out, FT_CACHE_IDS));
        memcpy(out->p + out->n, c->ids, sizeof c->ids);
        out->n += c->ids_n;
        return FT_OK;
    }
    size_t before = out->n;
    FT_RETURN(t->kind->word(t, s, word, out));
    size_t n = out->n - before;
    if (n && n <= FT_CACHE_IDS) {
        c->n = (uint8_t)word.n;
        c->ids_n = (uint8_t)n;
        memcpy(c->word, word.p, word.n);
        memcpy(c->ids, out->p + before, n * sizeof *out->p);
    }
    return FT_OK;
}

typedef struct encoding {
    const ft_tokenizer *t;
    ft_scratch *s;
    ft_ids *out;
} encoding;

static ft_status on_word(void *ctx, ft_str word)
{
    encoding *e = ctx;
    if (e->t->stages.spelled) {
        bool ok;
        e->s->word.n = 0;
        FT_RETURN(ft_bytes__unspell(&e->s->word, word, &ok));
        if (ok)
            word = (ft_str){e->s->word.p, e->s->word.n};
    }
    return ft_tokenizer__word(e->t, e->s, word, e->out);
}

static ft_status encode_plain(encoding *e, ft_str text, bool first)
{
    ft_stages_run run = {&e->t->stages, e->s->matcher, e->s->stage, on_word, e};
    return ft_stages__run(&run, text, first);
}

/* Text between the added tokens that were cut out before normalizing. first: nothing stands before it. */
static ft_status encode_fragment(encoding *e, ft_str text, bool first)
{
    ft_norm_run run = {e->s->matcher, &e->s->points};
    FT_RETURN(ft_norms__run(&e->t->norms, &run, text, e->s->norm, &text));
    size_t at = 0, start, end;
    const ft_added_token *token;
    while ((token = ft_added__next(&e->t->normalized, text, at, &start, &end))) {
        FT_RETURN(encode_plain(e, (ft_str){text.p + at, start - at}, first && at == 0));
        FT_RETURN(ft_ids_put(e->out, token->id));
        at = end;
    }
    return encode_plain(e, (ft_str){text.p + at, text.n - at}, first && at == 0);
}

/* Where the token's own bytes begin in a match that begins at `start`, maybe with white space. */
static size_t own_bytes(const ft_added_token *token, ft_str text, size_t start)
{
    while (memcmp(text.p + start, token->text.p, token->text.n) != 0)
        start++;
    return start;
}

/* The next token to cut out: none that is a control token and has a marked byte (marks NULL: any). */
static const ft_added_token *next_cut(const ft_tokenizer *t, const ft_added *added, ft_str text, const char *marks,
                                      size_t from, size_t *start, size_t *end)
{
    const ft_added_token *token;
    while ((token = ft_added__next(added, text, from, start, end))) {
        if (!marks || t->vocab.type[token->id] != FT_TOKEN_CONTROL)
            break;
        size_t own = own_bytes(token, text, *start);
        if (!memchr(marks + own, 1, token->text.n))
            break;
        from = own + 1;
    }
    return token;
}

static ft_status add_cut(ft_cuts *cuts, size_t bytes, size_t ids)
{
    if (!cuts)
        return FT_OK;
    if (cuts->n == cuts->cap) {
        size_t cap = cuts->cap ? cuts->cap * 2 : 16;
        ft_cut *p = ft_resize(cuts->p, cap, sizeof *p);
        if (!p)
            return FT_ENOMEM;
        cuts->p = p;
        cuts->cap = cap;
    }
    cuts->p[cuts->n++] = (ft_cut){bytes, ids};
    return FT_OK;
}

static ft_status encode(const ft_tokenizer *t, ft_str text, const ft_added *added, const char *marks, bool at_start,
                        ft_ids *out, ft_cuts *cuts)
{
    ft_status st = FT_OK;
    encoding e = {.t = t, .out = out};
    const ft_added_token *token;
    size_t at = 0, start, end, before = out->n;
    FT_RETURN(ft_scratch__take(t, &e.s));
    while ((token = next_cut(t, added, text, marks, at, &start, &end))) {
        if (start > at)
            FT_TRY(encode_fragment(&e, (ft_str){text.p + at, start - at}, at_start && at == 0));
        FT_TRY(ft_ids_put(out, token->id));
        at = end;
        FT_TRY(add_cut(cuts, at, out->n - before));
    }
    if (at < text.n)
        st = encode_fragment(&e, (ft_str){text.p + at, text.n - at}, at_start && at == 0);
done:
    ft_scratch__give(t, e.s);
    return st;
}

ft_status ft_tokenizer_encode(const ft_tokenizer *t, ft_str text, bool parse_special, ft_ids *out)
{
    return encode(t, text, parse_special ? &t->raw_special : &t->raw, NULL, true, out, NULL);
}

ft_status ft_tokenizer__encode_marked(const ft_tokenizer *t, ft_str text, const char *marks, bool at_start, ft_ids *out,
                                      ft_cuts *cuts)
{
    return encode(t, text, marks ? &t->raw_special : &t->raw, marks, at_start, out, cuts);
}

bool ft_tokenizer__control(const ft_tokenizer *t, ft_str text, const char *marks, size_t from, size_t *start, size_t *end)
{
    const ft_added_token *token;
    while ((token = next_cut(t, &t->raw_special, text, marks, from, start, end))) {
        *start = own_bytes(token, text, *start);
        *end = *start + token->text.n;
        if (t->vocab.type[token->id] == FT_TOKEN_CONTROL || ft_tokenizer_is_stop(t, token->id))
            return true;
        from = *end;
    }
    return false;
}

/* ---- decoding ---- */

ft_status ft_tokenizer_decode(const ft_tokenizer *t, const int32_t *ids, size_t n, bool skip_special, bool at_start,
                              ft_buf *out)
{
    bool first = at_start && t->space_prefix;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= t->vocab.n)
            return ft_fail(FT_EINPUT, "id %d at place %zu, expected 0 to %d", ids[i], i, t->vocab.n - 1);
        ft_str raw = t->vocab.raw[ids[i]];
        bool control = t->vocab.type[ids[i]] == FT_TOKEN_CONTROL || t->vocab.type[ids[i]] == FT_TOKEN_UNKNOWN;
        if (control && skip_special)
            continue;
        if (first && !control && raw.n && raw.p[0] == ' ')
            raw = (ft_str){raw.p + 1, raw.n - 1};
        if (!control && t->vocab.raw[ids[i]].n)
            first = false;
        FT_RETURN(ft_buf_put(out, raw.p, raw.n));
    }
    return FT_OK;
}

/* ---- answers ---- */

int32_t ft_tokenizer_size(const ft_tokenizer *t)
{
    return t->vocab.n;
}

const char *ft_tokenizer_kind(const ft_tokenizer *t)
{
    return t->kind->name;
}

int32_t ft_tokenizer_bos(const ft_tokenizer *t)
{
    return t->bos;
}

int32_t ft_tokenizer_eos(const ft_tokenizer *t)
{
    return t->eos;
}

int32_t ft_tokenizer_unk(const ft_tokenizer *t)
{
    return t->unk;
}

int32_t ft_tokenizer_pad(const ft_tokenizer *t)
{
    return t->pad;
}

bool ft_tokenizer_add_bos(const ft_tokenizer *t)
{
    return t->add_bos;
}

bool ft_tokenizer_add_eos(const ft_tokenizer *t)
{
    return t->add_eos;
}

ft_status ft_tokenizer__add_stop(ft_tokenizer *t, int64_t id)
{
    if (id < 0 || id >= t->vocab.n || ft_tokenizer_is_stop(t, (int32_t)id))
        return FT_OK;
    if (t->n_stops == STOPS_MAX)
        return ft_fail(FT_EFORMAT, "%s: over %d ids that end a text", t->path, STOPS_MAX);
    if (t->n_stops == t->cap_stops) {
        size_t cap = FT_MAX(t->cap_stops * 2, (size_t)8);
        int32_t *stops = ft_resize(t->stops, cap, sizeof *stops);
        if (!stops)
            return FT_ENOMEM;
        t->stops = stops;
        t->cap_stops = cap;
    }
    t->stops[t->n_stops++] = (int32_t)id;
    return FT_OK;
}

const int32_t *ft_tokenizer_stops(const ft_tokenizer *t, size_t *n)
{
    *n = t->n_stops;
    return t->stops;
}

bool ft_tokenizer_is_stop(const ft_tokenizer *t, int32_t id)
{
    for (size_t i = 0; i < t->n_stops; i++)
        if (t->stops[i] == id)
            return true;
    return false;
}

ft_str ft_tokenizer_piece(const ft_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocab.n ? t->vocab.piece[id] : (ft_str){"", 0};
}

ft_token_type ft_tokenizer_type(const ft_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocab.n ? (ft_token_type)t->vocab.type[id] : FT_TOKEN_UNUSED;
}

int32_t ft_tokenizer_find(const ft_tokenizer *t, ft_str piece)
{
    return ft_vocab__find(&t->vocab, piece);
}

const char *ft_tokenizer_chat_template(const ft_tokenizer *t)
{
    return t->chat_template;
}
