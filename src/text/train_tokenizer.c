/* Training a byte-level BPE tokenizer.
 *
 * The texts are cut into words by the pre-tokenizer and counted. Then, until the vocabulary is full, the pair of
 * adjacent symbols that occurs most often becomes a new token; of equally frequent pairs the one with the lower ids. A
 * pair knows the words it has occurred in, and only those are touched by its merge: their pairs are taken off the
 * counts, the word is merged, its new pairs are added. The heap holds pairs with the count they had when they were
 * pushed; a pair that comes up with another count goes back with the right one.
 *
 * Memory: the distinct words, their symbols, and one word number for every pair a word ever had.
 */
#include "file/lines.h"
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

#include <string.h>

enum { MIN_COUNT = 2 }; /* a pair seen once is no pattern */

/* ---- words ---- */

typedef struct train_word {
    int64_t count;
    size_t start; /* of its symbols */
    int32_t n;
} train_word;

typedef struct words {
    ft_map *index;
    train_word *p; /* [n] */
    size_t n, cap;
    ft_buf bytes; /* of all words, end to end: their symbols before training */
} words;

static ft_status count_word(void *ctx, ft_str word)
{
    words *w = ctx;
    int64_t i;
    if (ft_map_get(w->index, word.p, word.n, &i)) {
        w->p[i].count++;
        return FT_OK;
    }
    if (word.n > INT32_MAX)
        return ft_fail(FT_EINPUT, "a word of %zu bytes", word.n);
    if (w->n == w->cap) {
        size_t cap = FT_MAX(w->cap * 2, (size_t)4096);
        train_word *p = ft_resize(w->p, cap, sizeof *p);
        if (!p)
            return FT_ENOMEM;
        w->p = p;
        w->cap = cap;
    }
    w->p[w->n] = (train_word){1, w->bytes.n, (int32_t)word.n};
    FT_RETURN(ft_buf_put(&w->bytes, word.p, word.n));
    return ft_map_put(w->index, word.p, word.n, (int64_t)w->n++);
}

static ft_status count_file(words *w, const ft_stages *stages, ft_matcher *matcher, ft_buf *buffers, const char *path)
{
    ft_status st = FT_OK;
    ft_lines *lines = NULL;
    ft_stages_run run = {stages, matcher, buffers, count_word, w};
    FT_RETURN(ft_lines_open(&lines, path));
    for (;;) {
        ft_str line;
        bool more;
        FT_TRY(ft_lines_next(lines, &line, &more));
        if (!more)
            break;
        FT_TRY(ft_stages__run(&run, line, true));
    }
done:
    ft_lines_close(lines);
    return st;
}

static ft_status count_words(words *w, const ft_stages *stages, const ft_tokenizer_training *spec)
{
    ft_status st = FT_OK;
    ft_matcher *matcher = NULL;
    ft_buf buffers[FT_STAGES_MAX] = {{0}};
    w->bytes.max = (size_t)1 << 36;
    w->index = ft_map_new();
    if (!w->index)
        return FT_ENOMEM;
    FT_TRY(ft_matcher__new(&matcher));
    for (size_t i = 0; i < spec->n_files; i++)
        FT_TRY(count_file(w, stages, matcher, buffers, spec->files[i]));
    if (!w->n)
        st = ft_fail(FT_EINPUT, "%s: no text to train a tokenizer on", spec->n_files ? spec->files[0] : "(no files)");
done:
    ft_matcher__free(matcher);
    for (size_t i = 0; i < FT_STAGES_MAX; i++)
        ft_buf_free(&buffers[i]);
    return st;
}

/* ---- pairs ---- */

typedef struct train_pair {
    int32_t left, right;
    int64_t count;
    uint32_t *where; /* [n] words it occurred in when they were looked at */
    uint32_t n, cap;
    int64_t pushed; /* the highest count it stands in the heap with */
    bool touched;   /* waits in `fresh` for the heap */
} train_pair;

typedef struct candidate {
    int64_t count;
    uint32_t pair;
} candidate;

typedef struct learner {
    words w;
    int32_t *sym;    /* symbols of all words */
    ft_merges index; /* (left, right) -> number of the pair, grown by rebuilding */
    train_pair *pair;
    size_t n, cap;
    candidate *heap;
    size_t heap_n, heap_cap;
    uint32_t *fresh; /* pairs whose count grew in this merge */
    size_t fresh_n, fresh_cap;
} learner;

/* Room for one more element of *p, an array of cap elements. */
static ft_status room(void **p, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return FT_OK;
    size_t want = FT_MAX(*cap * 2, (size_t)1024);
    void *q = ft_resize(*p, want, size);
    if (!q)
        return FT_ENOMEM;
    *p = q;
    *cap = want;
    return FT_OK;
}

static ft_status grow_index(learner *l)
{
    ft_merges bigger = {0};
    FT_RETURN(ft_merges__init(&bigger, FT_MAX(l->index.n * 2, (size_t)1 << 16)));
    for (size_t i = 0; i < l->n; i++)
        ft_merges__put(&bigger, l->pair[i].left, l->pair[i].right, 0, (int32_t)i);
    ft_merges__free(&l->index);
    l->index = bigger;
    return FT_OK;
}

static ft_status pair_of(learner *l, int32_t left, int32_t right, uint32_t *out)
{
    const ft_merge *m = l->index.slots ? ft_merges__find(&l->index, left, right) : NULL;
    if (m) {
        *out = (uint32_t)m->id;
        return FT_OK;
    }
    if (l->n >= INT32_MAX)
        return ft_fail(FT_ENOMEM, "over %d pairs of symbols", INT32_MAX);
    if (!l->index.slots || l->index.n * 2 > l->index.mask)
        FT_RETURN(grow_index(l));
    FT_RETURN(room((void **)&l->pair, l->n, &l->cap, sizeof *l->pair));
    l->pair[l->n] = (train_pair){.left = left, .right = right};
    ft_merges__put(&l->index, left, right, 0, (int32_t)l->n);
    *out = (uint32_t)l->n++;
    return FT_OK;
}

/* Counts a pair in a word, new there or not; a pair that grew goes to the heap when the merge is done. */
static ft_status add_pair(learner *l, int32_t left, int32_t right, uint32_t word, bool is_new)
{
    uint32_t k;
    FT_RETURN(pair_of(l, left, right, &k));
    train_pair *p = &l->pair[k];
    p->count += l->w.p[word].count;
    if (is_new && (!p->n || p->where[p->n - 1] != word)) {
        size_t cap = p->cap;
        FT_RETURN(room((void **)&p->where, p->n, &cap, sizeof *p->where));
        p->cap = (uint32_t)cap;
        p->where[p->n++] = word;
    }
    if (!p->touched) {
        FT_RETURN(room((void **)&l->fresh, l->fresh_n, &l->fresh_cap, sizeof *l->fresh));
        l->fresh[l->fresh_n++] = k;
        p->touched = true;
    }
    return FT_OK;
}

/* ---- the heap: most frequent first, lower ids first among equals ---- */

static bool before(const learner *l, candidate a, candidate b)
{
    const train_pair *p = &l->pair[a.pair], *q = &l->pair[b.pair];
    if (a.count != b.count)
        return a.count > b.count;
    return p->left != q->left ? p->left < q->left : p->right < q->right;
}

static ft_status heap_push(learner *l, candidate c)
{
    FT_RETURN(room((void **)&l->heap, l->heap_n, &l->heap_cap, sizeof *l->heap));
    size_t i = l->heap_n++;
    while (i && before(l, c, l->heap[(i - 1) / 2])) {
        l->heap[i] = l->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    l->heap[i] = c;
    return FT_OK;
}

static candidate heap_pop(learner *l)
{
    candidate top = l->heap[0], c = l->heap[--l->heap_n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < l->heap_n; i = child) {
        if (child + 1 < l->heap_n && before(l, l->heap[child + 1], l->heap[child]))
            child++;
        if (!before(l, l->heap[child], c))
            break;
        l->heap[i] = l->heap[child];
    }
    l->heap[i] = c;
    return top;
}

static ft_status push_fresh(learner *l)
{
    for (size_t i = 0; i < l->fresh_n; i++) {
        train_pair *p = &l->pair[l->fresh[i]];
        p->touched = false;
        if (p->count < MIN_COUNT || p->count <= p->pushed)
            continue;
        p->pushed = p->count;
        FT_RETURN(heap_push(l, (candidate){p->count, l->fresh[i]}));
    }
    l->fresh_n = 0;
    return FT_OK;
}

/* The most frequent pair as it stands now; false when none is left. */
static ft_status best_pair(learner *l, uint32_t *out, bool *found)
{
    *found = false;
    while (l->heap_n && !*found) {
        candidate c = heap_pop(l);
        int64_t now = l->pair[c.pair].count;
        *out = c.pair;
        *found = now == c.count;
        l->pair[c.pair].pushed = now;
        if (!*found && now >= MIN_COUNT)
            FT_RETURN(heap_push(l, (candidate){now, c.pair}));
    }
    return FT_OK;
}

/* ---- learning ---- */

static bool holds(const int32_t *s, int32_t n, int32_t left, int32_t right)
{
    for (int32_t i = 0; i + 1 < n; i++)
        if (s[i] == left && s[i + 1] == right)
            return true;
    return false;
}

/* Merges a pair within one word and keeps the counts. */
static ft_status merge_in_word(learner *l, uint32_t word, int32_t left, int32_t right, int32_t id)
{
    train_word *w = &l->w.p[word];
    int32_t *s = l->sym + w->start, n = 0;
    if (!holds(s, w->n, left, right))
        return FT_OK;
    for (int32_t i = 0; i + 1 < w->n; i++) {
        uint32_t k;
        FT_RETURN(pair_of(l, s[i], s[i + 1], &k));
        l->pair[k].count -= w->count;
    }
    for (int32_t i = 0; i < w->n; i++) {
        bool both = i + 1 < w->n && s[i] == left && s[i + 1] == right;
        s[n++] = both ? id : s[i];
        i += both;
    }
    w->n = n;
    for (int32_t i = 0; i + 1 < n; i++)
        FT_RETURN(add_pair(l, s[i], s[i + 1], word, s[i] == id || s[i + 1] == id));
    return FT_OK;
}

/* The token that a merge makes: a new one, unless another merge made the same bytes before. */
static ft_status token_of(ft_tokenizer *t, const train_pair *p, int32_t *used, int32_t *id)
{
    ft_status st = FT_OK;
    ft_buf piece = {0};
    FT_TRY(ft_buf_put(&piece, t->vocab.piece[p->left].p, t->vocab.piece[p->left].n));
    FT_TRY(ft_buf_put(&piece, t->vocab.piece[p->right].p, t->vocab.piece[p->right].n));
    *id = ft_vocab__find(&t->vocab, (ft_str){piece.p, piece.n});
    if (*id < 0) {
        *id = (*used)++;
        st = ft_vocab__set(&t->vocab, *id, (ft_str){piece.p, piece.n}, FT_TOKEN_NORMAL);
    }
done:
    ft_buf_free(&piece);
    return st;
}

static ft_status learn(learner *l, ft_tokenizer *t, int32_t used)
{
    uint32_t rank = 0, best;
    bool found;
    for (uint32_t w = 0; w < l->w.n; w++)
        for (int32_t i = 0; i + 1 < l->w.p[w].n; i++)
            FT_RETURN(
                add_pair(l, l->sym[l->w.p[w].start + (size_t)i], l->sym[l->w.p[w].start + (size_t)i + 1], w, true));
    FT_RETURN(push_fresh(l));
    while (used < t->vocab.n) {
        int32_t id;
        FT_RETURN(best_pair(l, &best, &found));
        if (!found)
            break;
        train_pair p = l->pair[best];
        FT_RETURN(token_of(t, &p, &used, &id));
        if (t->vocab.type[id] != FT_TOKEN_NORMAL) { /* spelled like a control token: never to be made of text */
            l->pair[best].count = 0;
            continue;
        }
        ft_merges__put(&t->merges, p.left, p.right, rank++, id);
        l->pair[best].where = NULL; /* this list is read now; what the merge adds goes to another */
        l->pair[best].n = l->pair[best].cap = 0;
        ft_status st = FT_OK;
        for (uint32_t i = 0; i < p.n && st == FT_OK; i++)
            st = merge_in_word(l, p.where[i], p.left, p.right, id);
        ft_free(p.where);
        FT_RETURN(st);
        FT_RETURN(push_fresh(l));
    }
    if (used < t->vocab.n)
        ft_note(FT_WARN, "the texts hold patterns for %d tokens only, %d were asked for", used, t->vocab.n);
    t->vocab.n = used;
    return FT_OK;
}

static void learner_free(learner *l)
{
    for (size_t i = 0; i < l->n; i++)
        ft_free(l->pair[i].where);
    ft_free(l->pair);
    ft_free(l->heap);
    ft_free(l->fresh);
    ft_free(l->sym);
    ft_merges__free(&l->index);
    ft_map_free(l->w.index);
    ft_free(l->w.p);
    ft_buf_free(&l->w.bytes);
}

/* ---- the whole ---- */

static ft_status check_spec(const ft_tokenizer_training *spec)
{
    if (spec->vocab_size < 256 + (int64_t)spec->n_specials || spec->vocab_size > FT_VOCAB_MAX)
        return ft_fail(FT_EINPUT, "vocab_size %d, expected 256 bytes and %zu special tokens at least, %d at most",
                       spec->vocab_size, spec->n_specials, FT_VOCAB_MAX);
    for (size_t i = 0; i < spec->n_specials; i++) {
        const char *s = spec->specials[i];
        if (!*s || ft_utf8__valid(s, strlen(s)) != strlen(s))
            return ft_fail(FT_EINPUT, "special token %zu is empty or not UTF-8", i);
        for (size_t j = 0; j < i; j++)
            if (strcmp(s, spec->specials[j]) == 0)
                return ft_fail(FT_EINPUT, "special token \"%s\" is given twice", s);
    }
    return FT_OK;
}

/* Special tokens and the bytes, in the order of their characters as other trainers have it. */
static ft_status first_tokens(ft_tokenizer *t, const ft_tokenizer_training *spec, int32_t *used)
{
    FT_RETURN(ft_vocab__init(&t->vocab, spec->vocab_size, false, "vocab_size"));
    for (size_t i = 0; i < spec->n_specials; i++)
        FT_RETURN(ft_vocab__set(&t->vocab, (*used)++, ft_str_of(spec->specials[i]), FT_TOKEN_CONTROL));
    for (int32_t c = 0; c < 0x200; c++) {
        int byte = ft_bytes__byte(c);
        if (byte < 0)
            continue;
        ft_buf piece = {0};
        ft_status st = ft_bytes__spell(&piece, (ft_str){(char[]){(char)byte}, 1});
        if (st == FT_OK && ft_vocab__find(&t->vocab, (ft_str){piece.p, piece.n}) >= 0)
            st = ft_fail(FT_EINPUT, "special token \"%s\" is the spelling of a byte", piece.p);
        if (st == FT_OK)
            st = ft_vocab__set(&t->vocab, *used, (ft_str){piece.p, piece.n}, FT_TOKEN_NORMAL);
        ft_buf_free(&piece);
        FT_RETURN(st);
        t->byte_id[byte] = (*used)++;
    }
    return FT_OK;
}

static ft_status named_special(const ft_tokenizer *t, const char *what, const char *name, int32_t *id)
{
    *id = name ? ft_vocab__find(&t->vocab, ft_str_of(name)) : -1;
    return name && (*id < 0 || t->vocab.type[*id] != FT_TOKEN_CONTROL)
               ? ft_fail(FT_EINPUT, "%s token \"%s\" is not among the special tokens", what, name)
               : FT_OK;
}

static json_t *pre_tokenizer_of(const char *pattern)
{
    const char *fmt = "{s:s, s:[o, {s:s, s:b, s:b, s:b}]}";
    json_t *first = pattern ? json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex", pattern,
                                        "behavior", "Isolated", "invert", 0)
                            : json_pack("{s:s, s:b}", "type", "Digits", "individual_digits", 1);
    return json_pack(fmt, "type", "Sequence", "pretokenizers", first, "type", "ByteLevel", "add_prefix_space", 0,
                     "trim_offsets", 1, "use_regex", !pattern);
}

ft_status ft_tokenizer_train(const ft_tokenizer_training *spec, const char *dir)
{
    ft_status st = FT_OK;
    ft_tokenizer t = {.kind = &ft_tokenizer_bpe, .unk = -1, .pad = -1};
    learner l = {{0}};
    int32_t used = 0;
    json_t *pre = pre_tokenizer_of(spec->pattern);
    if (!pre)
        return ft_fail(FT_EINPUT, "the pattern is not UTF-8, or memory ran out");
    FT_TRY(check_spec(spec));
    FT_TRY(first_tokens(&t, spec, &used));
    FT_TRY(named_special(&t, "bos", spec->bos, &t.bos));
    FT_TRY(named_special(&t, "eos", spec->eos, &t.eos));
    t.add_bos = t.bos >= 0;
    FT_TRY(ft_stages__from_json(&t.stages, pre, "pattern"));
    FT_TRY(count_words(&l.w, &t.stages, spec));
    FT_TRY(ft_merges__init(&t.merges, (size_t)spec->vocab_size * 2));
    l.sym = ft_resize(NULL, l.w.bytes.n, sizeof *l.sym);
    if (!l.sym) {
        st = FT_ENOMEM;
        goto done;
    }
    for (size_t i = 0; i < l.w.bytes.n; i++)
        l.sym[i] = t.byte_id[(uint8_t)l.w.bytes.p[i]];
    FT_TRY(learn(&l, &t, used));
    st = ft_tokenizer__write_hf(&t, dir);
done:
    json_decref(pre);
    learner_free(&l);
    ft_stages__free(&t.stages);
    ft_merges__free(&t.merges);
    ft_vocab__free(&t.vocab);
    return st;
}
