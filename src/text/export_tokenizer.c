/* A tokenizer on its way out: as GGUF metadata, and as the files of an HF directory.
 *
 * GGUF names the pre-tokenizer instead of holding it: a pattern that has no name there cannot be written. SentencePiece
 * scores are written as they are; a tokenizer.json of that style has merges instead, from which scores are made: minus
 * the place of the first merge that makes a token. llama.cpp merges whatever pair makes a token, best score first, and
 * the merges say which pairs may: the two agree when every token, taken alone, is made by its merges (a stretch of text
 * whose borders no merge crosses goes the way of that text alone, and a pair that is no merge never stands there);
 * tokens for which that does not hold are counted and named.
 */
#include "text/ggml_pre.h"
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

#include <string.h>

#define KEY(name) "tokenizer.ggml." name

/* ---- GGUF, every kind ---- */

static ft_status piece_of(const ft_tokenizer *t, int32_t id, ft_arena *a, ft_buf *tmp, ft_str *out)
{
    *out = t->vocab.type[id] == FT_TOKEN_USER ? t->vocab.raw[id] : t->vocab.piece[id];
    if (!t->kind->gguf_piece || t->vocab.type[id] != FT_TOKEN_NORMAL)
        return FT_OK;
    tmp->n = 0;
    FT_RETURN(t->kind->gguf_piece(*out, tmp));
    out->n = tmp->n;
    out->p = ft_arena_strndup(a, tmp->p, tmp->n);
    return out->p ? FT_OK : FT_ENOMEM;
}

/* Piece and type of every row of the embedding; rows that are no token become unused ones. */
static ft_status write_tokens(const ft_tokenizer *t, ft_writer *w, int64_t rows)
{
    ft_status st = FT_OK;
    ft_arena *a = ft_arena_new((size_t)1 << 16, 0);
    ft_str *piece = ft_resize(NULL, (size_t)rows, sizeof *piece);
    int32_t *type = ft_resize(NULL, (size_t)rows, sizeof *type);
    ft_buf tmp = {0};
    if (!a || !piece || !type) {
        st = FT_ENOMEM;
        goto done;
    }
    for (int64_t i = 0; i < rows; i++) {
        bool hole = i >= t->vocab.n || !t->vocab.piece[i].n;
        type[i] = hole ? FT_TOKEN_UNUSED : t->vocab.type[i];
        if (!hole) {
            FT_TRY(piece_of(t, (int32_t)i, a, &tmp, &piece[i]));
            continue;
        }
        char *name = ft_arena_alloc(a, 32, 1);
        if (!name) {
            st = FT_ENOMEM;
            goto done;
        }
        piece[i] = (ft_str){name, (size_t)snprintf(name, 32, "[PAD%lld]", (long long)i)};
    }
    FT_TRY(ft_writer_str_array(w, KEY("tokens"), piece, (uint64_t)rows));
    st = ft_writer_i32_array(w, KEY("token_type"), type, (uint64_t)rows);
done:
    ft_buf_free(&tmp);
    ft_free(piece);
    ft_free(type);
    ft_arena_free(a);
    return st;
}

/* The token that ends a turn, where that is not EOS: readers that do not know it by name need the key. */
static int32_t end_of_turn(const ft_tokenizer *t)
{
    static const char *const names[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|eot|>"};
    for (size_t i = 0; i < FT_COUNT(names); i++) {
        int32_t id = ft_vocab__find(&t->vocab, ft_str_of(names[i]));
        if (id >= 0 && id != t->eos && ft_tokenizer_is_stop(t, id))
            return id;
    }
    return -1;
}

static ft_status write_id(ft_writer *w, const char *key, int32_t id)
{
    return id < 0 ? FT_OK : ft_writer_u32(w, key, (uint32_t)id);
}

static ft_status write_special(const ft_tokenizer *t, ft_writer *w)
{
    FT_RETURN(write_id(w, KEY("bos_token_id"), t->bos));
    FT_RETURN(write_id(w, KEY("eos_token_id"), t->eos));
    FT_RETURN(write_id(w, KEY("eot_token_id"), end_of_turn(t)));
    FT_RETURN(write_id(w, KEY("unknown_token_id"), t->unk));
    FT_RETURN(write_id(w, KEY("padding_token_id"), t->pad));
    FT_RETURN(ft_writer_bool(w, KEY("add_bos_token"), t->add_bos));
    FT_RETURN(ft_writer_bool(w, KEY("add_eos_token"), t->add_eos));
    if (t->tool_template)
        FT_RETURN(ft_writer_str(w, "tokenizer.chat_template.tool_use", ft_str_of(t->tool_template)));
    return t->chat_template ? ft_writer_str(w, "tokenizer.chat_template", ft_str_of(t->chat_template)) : FT_OK;
}

static ft_status copy_values(const ft_tokenizer *t, ft_writer *w)
{
    for (size_t i = 0; i < ft_container_meta_count(t->container); i++) {
        const ft_meta *m = ft_container_meta_at(t->container, i);
        bool of_model = strcmp(m->key, KEY("token_type_count")) == 0; /* the architecture writes that */
        if (ft_starts(m->key, "tokenizer.") && !of_model)
            FT_RETURN(ft_writer_meta(w, m));
    }
    return FT_OK;
}

ft_status ft_tokenizer_write_gguf(const ft_tokenizer *t, ft_writer *w, int64_t vocab_size)
{
    if (vocab_size < t->vocab.n)
        return ft_fail(FT_EINPUT, "%s: %d tokens, but the model's embedding has %lld rows", t->path, t->vocab.n,
                       (long long)vocab_size);
    if (t->container && vocab_size == t->vocab.n)
        return copy_values(t, w);
    FT_RETURN(ft_writer_str(w, KEY("model"), ft_str_of(t->kind->gguf_model)));
    FT_RETURN(t->kind->write_gguf(t, w, vocab_size));
    FT_RETURN(write_tokens(t, w, vocab_size));
    return write_special(t, w);
}

/* GGUF's BPE kinds mark spaces and put one in front, no more. */
static void warn_of_rewriting(const ft_tokenizer *t)
{
    if (t->norms.rewrites)
        ft_note(FT_WARN, "%s: the tokenizer normalizes texts, GGUF readers do not: some texts get other ids there",
                t->path);
}

/* ---- GGUF, byte-level BPE ---- */

static ft_status write_merges(const ft_tokenizer *t, ft_writer *w)
{
    ft_status st = FT_OK;
    size_t n = t->merges.n;
    ft_arena *a = ft_arena_new((size_t)1 << 20, 0);
    ft_merge_row *rows = ft_merges__rows(&t->merges);
    ft_str *merge = ft_resize(NULL, n, sizeof *merge);
    if (!a || !rows || !merge) {
        st = FT_ENOMEM;
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        ft_str l = t->vocab.piece[rows[i].left], r = t->vocab.piece[rows[i].right];
        char *p = ft_arena_alloc(a, l.n + 1 + r.n, 1);
        if (!p) {
            st = FT_ENOMEM;
            goto done;
        }
        memcpy(p, l.p, l.n);
        p[l.n] = ' ';
        memcpy(p + l.n + 1, r.p, r.n);
        merge[i] = (ft_str){p, l.n + 1 + r.n};
    }
    st = ft_writer_str_array(w, KEY("merges"), merge, n);
done:
    ft_free(merge);
    ft_free(rows);
    ft_arena_free(a);
    return st;
}

ft_status ft_bpe__write_gguf(const ft_tokenizer *t, ft_writer *w, int64_t rows)
{
    const ft_ggml_pre *pre = t->pre ? t->pre : ft_ggml_pre__of(&t->stages, t->ignore_merges);
    if (!pre) {
        ft_buf what = {0};
        ft_status st = ft_stages__describe(&t->stages, &what);
        if (st == FT_OK)
            st = ft_fail(FT_EUNSUPPORTED, "%s: GGUF has no name for the pre-tokenizer %s%s", t->path, what.p,
                         t->ignore_merges ? " with ignore_merges" : "");
        ft_buf_free(&what);
        return st;
    }
    warn_of_rewriting(t);
    FT_RETURN(ft_writer_str(w, KEY("pre"), ft_str_of(pre->name)));
    return write_merges(t, w);
}

/* ---- GGUF, SentencePiece style ---- */

/* Tokens that their own merges do not make: llama.cpp, which looks at pieces only, may make them. */
static ft_status count_unmade(const ft_tokenizer *t, int64_t *n, int32_t *first)
{
    ft_status st = FT_OK;
    ft_scratch *s;
    ft_ids ids = {0};
    *n = 0;
    FT_RETURN(ft_scratch__take(t, &s));
    for (int32_t id = 0; id < t->vocab.n && st == FT_OK; id++) {
        if (t->vocab.type[id] != FT_TOKEN_NORMAL || !t->vocab.piece[id].n)
            continue;
        ids.n = 0;
        st = t->kind->word(t, s, t->vocab.piece[id], &ids);
        if (ids.n == 1 && ids.p[0] == id)
            continue;
        *first = *n ? *first : id;
        ++*n;
    }
    ft_scratch__give(t, s);
    ft_ids_free(&ids);
    return st;
}

/* Scores that make llama.cpp merge in the order of the ranks; what nothing makes comes last. */
static ft_status scores_of(const ft_tokenizer *t, float *score)
{
    int64_t unmade;
    int32_t first = 0;
    ft_merge_row *rows = ft_merges__rows(&t->merges);
    if (!rows)
        return FT_ENOMEM;
    for (int32_t id = 0; id < t->vocab.n; id++)
        score[id] = t->vocab.type[id] == FT_TOKEN_NORMAL ? -(float)t->merges.n : 0;
    for (size_t i = t->merges.n; i-- > 0;)
        score[rows[i].id] = -(float)i;
    ft_free(rows);
    FT_RETURN(count_unmade(t, &unmade, &first));
    if (unmade)
        ft_note(FT_WARN,
                "%s: %lld tokens (\"%.*s\" is one) are not made by the tokenizer's merges; llama.cpp may make them",
                t->path, (long long)unmade, (int)FT_MIN(t->vocab.piece[first].n, (size_t)60), t->vocab.piece[first].p);
    return FT_OK;
}

/* llama.cpp marks spaces and puts one in front, nothing else. */
static bool only_marks_spaces(const ft_tokenizer *t)
{
    bool marks = t->norms.marks_spaces;
    for (size_t i = 0; i < t->stages.n; i++) {
        const ft_stage *g = &t->stages.stage[i];
        bool mark_cut =
            i && g->behavior == FT_MERGE_NEXT && g->re && ft_str_is(ft_regex__pattern(g->re), FT_SPACE_MARK);
        if (g->kind == FT_STAGE_METASPACE && strcmp(g->mark, FT_SPACE_MARK) == 0)
            marks = true;
        else if (!mark_cut || !t->cut_at_space)
            return false;
    }
    return marks;
}

ft_status ft_spm__write_gguf(const ft_tokenizer *t, ft_writer *w, int64_t rows)
{
    if (!only_marks_spaces(t))
        return ft_fail(FT_EUNSUPPORTED, "%s: GGUF cannot hold this tokenizer's way of cutting words", t->path);
    warn_of_rewriting(t);
    float *score = ft_alloc((size_t)rows, sizeof *score);
    if (!score)
        return FT_ENOMEM;
    ft_status st = FT_OK;
    if (t->vocab.score)
        memcpy(score, t->vocab.score, (size_t)t->vocab.n * sizeof *score);
    else
        st = scores_of(t, score);
    if (st == FT_OK)
        st = ft_writer_str(w, KEY("pre"), ft_str_of("default"));
    if (st == FT_OK)
        st = ft_writer_f32_array(w, KEY("scores"), score, (uint64_t)rows);
    if (st == FT_OK)
        st = ft_writer_bool(w, KEY("add_space_prefix"), t->space_prefix);
    ft_free(score);
    return st;
}

/* ---- GGUF, unigram ---- */

/* Words that Hugging Face cuts: at white space, which then goes. */
static bool splits_words(const ft_tokenizer *t)
{
    const ft_stage *g = &t->stages.stage[0];
    return t->stages.n && g->kind == FT_STAGE_PATTERN && g->behavior == FT_REMOVED &&
           ft_str_is(ft_regex__pattern(g->re), "\\s");
}

/* A Metaspace that puts a mark before every word, behind words cut or not. */
static bool marks_words(const ft_tokenizer *t)
{
    size_t i = splits_words(t);
    const ft_stage *g = &t->stages.stage[i];
    return i < t->stages.n && g->kind == FT_STAGE_METASPACE && g->prepend == FT_PREPEND_ALWAYS &&
           strcmp(g->mark, FT_SPACE_MARK) == 0 && t->stages.n <= i + 2;
}

/* llama.cpp has no byte fallback for this kind. */
static void warn_of_bytes(const ft_tokenizer *t)
{
    for (int32_t id = 0; id < t->vocab.n; id++)
        if (t->vocab.type[id] == FT_TOKEN_BYTE) {
            ft_note(FT_WARN, "%s: characters without a piece are byte tokens here, unk in llama.cpp", t->path);
            return;
        }
}

/* GGUF parts words at spaces: what else parts them here has to become one by the table of characters. */
static void warn_of_white_space(const ft_tokenizer *t)
{
    static const char *const others[] = {"\t", "\n", "\r"};
    ft_str r;
    for (size_t i = 0; i < FT_COUNT(others); i++)
        if (!t->norms.charsmap || !ft_charsmap__find(t->norms.charsmap, ft_str_of(others[i]), &r) ||
            !ft_str_is(r, " ")) {
            ft_note(FT_WARN, "%s: tabs and line ends part words here, in llama.cpp only spaces do", t->path);
            return;
        }
}

ft_status ft_unigram__write_gguf(const ft_tokenizer *t, ft_writer *w, int64_t rows)
{
    bool own = !t->stages.n && t->norms.marks_spaces, fold = t->norms.folds_spaces || splits_words(t);
    if (t->norms.unigram != t->norms.n || (!own && (!marks_words(t) || !fold)))
        return ft_fail(FT_EUNSUPPORTED, "%s: GGUF cannot hold this tokenizer's way of cutting words", t->path);
    warn_of_bytes(t);
    if (!own)
        warn_of_white_space(t);
    float *score = ft_alloc((size_t)rows, sizeof *score);
    if (!score)
        return FT_ENOMEM;
    memcpy(score, t->vocab.score, (size_t)t->vocab.n * sizeof *score);
    ft_status st = ft_writer_f32_array(w, KEY("scores"), score, (uint64_t)rows);
    ft_free(score);
    FT_RETURN(st);
    FT_RETURN(ft_writer_str(w, KEY("pre"), ft_str_of("default")));
    FT_RETURN(ft_writer_bool(w, KEY("add_space_prefix"), t->space_prefix));
    FT_RETURN(ft_writer_bool(w, KEY("remove_extra_whitespaces"), fold));
    if (!t->norms.charsmap)
        return FT_OK;
    ft_str blob = ft_charsmap__bytes(t->norms.charsmap);
    return ft_writer_u8_array(w, KEY("precompiled_charsmap"), (const uint8_t *)blob.p, blob.n);
}

/* ---- GGUF, WordPiece ---- */

/* "play" begins a word and becomes "▁play", "##ing" goes on and becomes "ing"; names in brackets stay. */
ft_status ft_wordpiece__gguf_piece(ft_str p, ft_buf *out)
{
    if (p.n > 2 && p.p[0] == '[' && p.p[p.n - 1] == ']')
        return ft_buf_put(out, p.p, p.n);
    if (p.n > 2 && memcmp(p.p, "##", 2) == 0)
        return ft_buf_put(out, p.p + 2, p.n - 2);
    FT_RETURN(ft_buf_put(out, FT_SPACE_MARK, FT_SPACE_MARK_BYTES));
    return ft_buf_put(out, p.p, p.n);
}

ft_status ft_wordpiece__write_gguf(const ft_tokenizer *t, ft_writer *w, int64_t rows)
{
    if (!ft_str_is(t->prefix, "##"))
        return ft_fail(FT_EUNSUPPORTED, "%s: GGUF has no WordPiece prefix but \"##\"", t->path);
    if (!t->norms.bert_uncased || !ft_stages__is_bert(&t->stages))
        return ft_fail(FT_EUNSUPPORTED, "%s: llama.cpp lowers letters and strips accents, this tokenizer does not",
                       t->path);
    FT_RETURN(ft_writer_str(w, KEY("pre"), ft_str_of("bert-bge")));
    FT_RETURN(write_id(w, KEY("cls_token_id"), t->bos));
    FT_RETURN(write_id(w, KEY("seperator_token_id"), t->eos));
    return write_id(w, KEY("mask_token_id"), ft_vocab__find(&t->vocab, ft_str_of("[MASK]")));
}

/* ---- HF directory ---- */

static const char *const carried[] = {
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json",     "merges.txt",      "chat_template.jinja",   "chat_template.json",      "generation_config.json",
    "vocab.txt",      "tekken.json",
};

static ft_status carry(const char *from, const char *to, const char *name)
{
    char *source = ft_path_join(from, name), *target = ft_path_join(to, name);
    ft_status st = source && target ? FT_OK : FT_ENOMEM;
    if (st == FT_OK && ft_exists(source))
        st = ft_copy_file(source, target);
    ft_free(source);
    ft_free(target);
    return st;
}

static ft_status carry_all(const ft_tokenizer *t, const char *dir)
{
    ft_status st = FT_OK;
    bool own = false;
    const char *name = ft_path_base(t->path);
    char *from = ft_path_dir(t->path);
    if (!from)
        return FT_ENOMEM;
    FT_TRY(ft_mkdirs(dir));
    for (size_t i = 0; i < FT_COUNT(carried); i++) {
        own = own || strcmp(name, carried[i]) == 0;
        FT_TRY(carry(from, dir, carried[i]));
    }
    if (!own)
        st = carry(from, dir, name);
done:
    ft_free(from);
    return st;
}

ft_status ft_tokenizer_write_dir(const ft_tokenizer *t, const char *dir)
{
    return t->source->hf ? carry_all(t, dir) : ft_tokenizer__write_hf(t, dir);
}
