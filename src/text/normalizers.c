/* Normalizers (see normalizers.h): the Unicode forms through utf8proc, the small rewriting steps of tokenizer.json, and
 * SentencePiece's normalizer, which in one pass replaces characters by its table, folds spaces, puts the leading space
 * and makes spaces visible.
 */
#include "text/normalizers.h"
#include "file/json.h"
#include "text/base64.h"
#include "text/unicode.h"

#include <string.h>
#include <utf8proc.h>

enum { NESTING_MAX = 8, WHOLE_CLUSTER = 6 };

/* ---- Unicode forms ---- */

static int32_t next_char(ft_str s, size_t *at)
{
    utf8proc_int32_t c;
    *at += (size_t)utf8proc_iterate((const utf8proc_uint8_t *)s.p + *at, (utf8proc_ssize_t)(s.n - *at), &c);
    return c;
}

static ft_status put_char(ft_buf *out, int32_t c)
{
    utf8proc_uint8_t u[4];
    return ft_buf_put(out, u, (size_t)utf8proc_encode_char(c, u));
}

static ft_status normal_form(const ft_norm *n, const ft_norm_run *run, ft_str in, ft_buf *out)
{
    utf8proc_option_t form = (utf8proc_option_t)n->form;
    size_t want = in.n + 64;
    for (;;) {
        size_t bytes;
        run->points->n = 0;
        run->points->max = (size_t)1 << 36;
        if (!ft_mul(want + 1, sizeof(utf8proc_int32_t), &bytes))
            return ft_fail(FT_ENOMEM, "a text of %zu bytes to normalize", in.n);
        FT_RETURN(ft_buf_reserve(run->points, bytes));
        utf8proc_ssize_t k = utf8proc_decompose((const utf8proc_uint8_t *)in.p, (utf8proc_ssize_t)in.n,
                                                (utf8proc_int32_t *)run->points->p, (utf8proc_ssize_t)want, form);
        if (k < 0)
            return ft_fail(FT_EINPUT, "text of %zu bytes cannot be normalized: %s", in.n, utf8proc_errmsg(k));
        if ((size_t)k <= want) {
            k = utf8proc_reencode((utf8proc_int32_t *)run->points->p, k, form);
            return k < 0 ? ft_fail(FT_EINPUT, "text of %zu bytes cannot be normalized: %s", in.n, utf8proc_errmsg(k))
                         : ft_buf_put(out, run->points->p, (size_t)k);
        }
        want = (size_t)k;
    }
}

/* NFC in stretches: characters below U+0300, whose lead bytes are below 0xcc, stay as they are, and none of them joins the
 * one before it. So a text may be cut in front of each, and only what others do is worked out. */
static ft_status compose(const ft_norm *n, const ft_norm_run *run, ft_str in, ft_buf *out)
{
    const unsigned char *p = (const unsigned char *)in.p;
    for (size_t i = 0; i < in.n;) {
        size_t plain = i;
        while (i < in.n && p[i] < 0xcc)
            i++;
        size_t from = i; /* the last of the plain ones may be joined by what follows */
        while (i < in.n && from > plain && (p[--from] & 0xc0) == 0x80)
            continue;
        FT_RETURN(ft_buf_put(out, in.p + plain, from - plain));
        while (i < in.n && (p[i] >= 0xcc || (p[i] & 0xc0) == 0x80))
            i++;
        if (i > from)
            FT_RETURN(normal_form(n, run, (ft_str){in.p + from, i - from}, out));
    }
    return FT_OK;
}

/* One character after the other: lower case. U+0130 is the one character whose lower case is two. */
static ft_status lowercase(const ft_norm *n, const ft_norm_run *run, ft_str in, ft_buf *out)
{
    for (size_t i = 0; i < in.n;) {
        int32_t c = next_char(in, &i);
        FT_RETURN(c == 0x130 ? ft_buf_puts(out, "i\xcc\x87") : put_char(out, utf8proc_tolower(c)));
    }
    return FT_OK;
}

static ft_status strip_accents(const ft_norm *n, const ft_norm_run *run, ft_str in, ft_buf *out)
{
    for (size_t i = 0; i < in.n;) {
        int32_t c = next_char(in, &i);
        if (utf8proc_category(c) != UTF8PROC_CATEGORY_MN)
            FT_RETURN(put_char(out, c));
    }
    return FT_OK;
}

/* ---- BERT ---- */

static bool is_chinese(int32_t c)
{
    static const int32_t ranges[][2] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},   {0x20000, 0x2a6df},
                                        {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f}};
    for (size_t i = 0; i < FT_COUNT(ranges); i++)
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    return false;
}

/* What BERT drops: control and format characters, private use, and what is no character; tab and line ends stay. */
static bool is_control(int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return c != '\t' && c != '\n' && c != '\r' &&
           (k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CO || c == 0xfffd);
}

/* Control characters go, white space becomes spaces, Chinese characters stand apart. */
static ft_status bert(const ft_norm *n, const ft_norm_run *run, ft_str in, ft_buf *out)
{
    for (size_t i = 0; i < in.n;) {
        int32_t c = next_char(in, &i);
        bool chinese = n->chinese && is_chinese(c);
        if (n->clean && is_control(c))
            continue;
        if (n->clean && ft_unicode__is_space(c))
            c = ' ';
        if (chinese)
            FT_RETURN(ft_buf_putc(out, ' '));
        FT_RETURN(put_char(out, c));
        if (chinese)
            FT_RETURN(ft_buf_putc(out, ' '));
    }
    return FT_OK;
}

/* ---- tables of characters ---- */

/* Hugging Face asks the table for short grapheme clusters as a whole, then for their characters. */
static ft_status precompiled(const ft_norm *n, const ft_norm_run *run, ft_str in, ft_buf *out)
{
    for (size_t at = 0, end = 0; at < in.n; at = end) {
        utf8proc_int32_t state = 0;
        ft_str r;
        int32_t c = next_char(in, &end);
        for (size_t next = end; next < in.n; end = next) {
            int32_t d = next_char(in, &next);
            if (utf8proc_grapheme_break_stateful(c, d, &state))
                break;
            c = d;
        }
        if (end - at < WHOLE_CLUSTER && ft_charsmap__whole(n->charsmap, (ft_str){in.p + at, end - at}, &r)) {
            FT_RETURN(ft_buf_put(out, r.p, r.n));
            continue;
        }
        for (size_t i = at, k; i < end; i += k) {
            k = ft_utf8__len(in.p + i, end - i);
            if (!ft_charsmap__whole(n->charsmap, (ft_str){in.p + i, k}, &r))
                r = (ft_str){in.p + i, k};
            FT_RETURN(ft_buf_put(out, r.p, r.n));
        }
    }
    return FT_OK;
}

/* SentencePiece's "nmt": some controls go, some invisible characters are spaces. */
static ft_status nmt(const ft_norm *n, const ft_norm_run *run, ft_str in, ft_buf *out)
{
    for (size_t i = 0; i < in.n;) {
        int32_t c = next_char(in, &i);
        if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f)
            continue;
        bool space = c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 || (c >= 0x200b && c <= 0x200f) ||
                     c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd;
        FT_RETURN(put_char(out, space ? ' ' : c));
    }
    return FT_OK;
}

/* ---- rewriting ---- */

static ft_status strip(const ft_norm *n, const ft_norm_run *run, ft_str in, ft_buf *out)
{
    size_t from = n->left ? ft_unicode__leading_space(in) : 0;
    ft_str rest = {in.p + from, in.n - from};
    return ft_buf_put(out, rest.p, rest.n - (n->right ? ft_unicode__trailing_space(rest) : 0));
}

static ft_status replace(const ft_norm *n, const ft_norm_run *run, ft_str in, ft_buf *out)
{
    size_t done = 0, from = 0;
    while (from <= in.n) {
        size_t start, end;
        bool found;
        FT_RETURN(ft_regex__next(n->pattern, run->matcher, in, from, &start, &end, &found));
        if (!found)
            break;
        FT_RETURN(ft_buf_put(out, in.p + done, start - done));
        FT_RETURN(ft_buf_put(out, n->text, n->text_n));
        done = end;
        from = end > start ? end : end == in.n ? end + 1 : end + ft_utf8__len(in.p + end, in.n - end);
    }
    return ft_buf_put(out, in.p + done, in.n - done);
}

static ft_status prepend(const ft_norm *n, const ft_norm_run *run, ft_str in, ft_buf *out)
{
    FT_RETURN(ft_buf_put(out, n->text, n->text_n));
    return ft_buf_put(out, in.p, in.n);
}

/* Appends a text with its spaces made visible. */
static ft_status put_marked(const ft_norm *n, ft_str s, ft_buf *out)
{
    const char *space;
    size_t i = 0;
    for (; n->escape && (space = memchr(s.p + i, ' ', s.n - i)); i = (size_t)(space - s.p) + 1) {
        FT_RETURN(ft_buf_put(out, s.p + i, (size_t)(space - s.p) - i));
        FT_RETURN(ft_buf_put(out, FT_SPACE_MARK, FT_SPACE_MARK_BYTES));
    }
    return ft_buf_put(out, s.p + i, s.n - i);
}

/* The replacement of what `in` begins with; returns the bytes it stands for. */
static size_t replacement_of(const ft_norm *n, ft_str in, ft_str *out)
{
    size_t k = n->charsmap ? ft_charsmap__find(n->charsmap, in, out) : 0;
    if (k)
        return k;
    k = ft_utf8__len(in.p, in.n);
    *out = (ft_str){in.p, k};
    return k;
}

static ft_status sentencepiece(const ft_norm *n, const ft_norm_run *run, ft_str in, ft_buf *out)
{
    ft_str mark = n->escape ? ft_str_of(FT_SPACE_MARK) : ft_str_of(" "), r;
    size_t i = 0, start = out->n;
    while (n->remove_extra && i < in.n) {
        size_t k = replacement_of(n, (ft_str){in.p + i, in.n - i}, &r);
        if (!ft_str_is(r, " "))
            break;
        i += k;
    }
    if (i == in.n)
        return FT_OK;
    if (n->dummy_prefix)
        FT_RETURN(ft_buf_put(out, mark.p, mark.n));
    if (!n->charsmap && !n->remove_extra)
        return put_marked(n, in, out);
    for (bool after_space = n->remove_extra; i < in.n;) {
        i += replacement_of(n, (ft_str){in.p + i, in.n - i}, &r);
        while (after_space && r.n && r.p[0] == ' ')
            r = (ft_str){r.p + 1, r.n - 1};
        if (!r.n)
            continue;
        FT_RETURN(put_marked(n, r, out));
        after_space = n->remove_extra && r.p[r.n - 1] == ' ';
    }
    while (n->remove_extra && out->n - start >= mark.n && memcmp(out->p + out->n - mark.n, mark.p, mark.n) == 0)
        out->n -= mark.n;
    return FT_OK;
}

/* ---- building ---- */

static ft_status new_step(ft_norms *n, const char *where, ft_norm **out)
{
    if (n->n == FT_NORMS_MAX)
        return ft_fail(FT_EUNSUPPORTED, "%s: over %d normalizers", where, FT_NORMS_MAX);
    *out = &n->step[n->n++];
    **out = (ft_norm){0};
    return FT_OK;
}

static ft_status keep_text(ft_norm *s, const json_t *j, const char *key, const char *where)
{
    const json_t *text = json_object_get(j, key);
    if (!json_is_string(text))
        return ft_fail(FT_EFORMAT, "%s: a normalizer without its \"%s\"", where, key);
    s->text_n = json_string_length(text);
    s->text = ft_strndup(json_string_value(text), s->text_n);
    return s->text ? FT_OK : FT_ENOMEM;
}

static ft_status build_strip(ft_norms *n, ft_norm *s, const json_t *j, const char *where)
{
    n->rewrites = n->folds_spaces = true;
    n->unigram++;
    FT_RETURN(ft_json_bool(j, "strip_left", where, true, &s->left));
    return ft_json_bool(j, "strip_right", where, true, &s->right);
}

static ft_status build_replace(ft_norms *n, ft_norm *s, const json_t *j, const char *where)
{
    const json_t *pattern = json_object_get(j, "pattern"), *regex = json_object_get(pattern, "Regex");
    const json_t *text = regex ? regex : json_object_get(pattern, "String");
    if (!json_is_string(text))
        return ft_fail(FT_EFORMAT, "%s: a Replace without a pattern Regex or String", where);
    FT_RETURN(keep_text(s, j, "content", where));
    ft_str from = {json_string_value(text), json_string_length(text)};
    if (ft_str_is(from, " ") && ft_str_is((ft_str){s->text, s->text_n}, FT_SPACE_MARK))
        n->marks_spaces = true;
    else
        n->rewrites = true;
    bool ends = regex && ft_str_is(from, FT_END_SPACES);
    if (n->marks_spaces || ends || (regex && ft_str_is(from, " {2,}")))
        n->unigram++;
    n->folds_spaces = n->folds_spaces || ends;
    return ft_regex__compile(&s->pattern, from, !regex, where);
}

static ft_status build_prepend(ft_norms *n, ft_norm *s, const json_t *j, const char *where)
{
    FT_RETURN(keep_text(s, j, "prepend", where));
    n->unigram += ft_str_is((ft_str){s->text, s->text_n}, FT_SPACE_MARK);
    if (ft_str_is((ft_str){s->text, s->text_n}, FT_SPACE_MARK))
        n->space_prefix = true;
    else
        n->rewrites = true;
    return FT_OK;
}

static ft_status build_rewrite(ft_norms *n, ft_norm *s, const json_t *j, const char *where)
{
    n->rewrites = true;
    return FT_OK;
}

static ft_status build_charsmap(ft_norms *n, ft_norm *s, const json_t *j, const char *where)
{
    ft_status st = FT_OK;
    ft_buf blob = {0};
    bool ok;
    const json_t *text = json_object_get(j, "precompiled_charsmap");
    n->rewrites = true;
    FT_TRY(ft_base64__decode(&blob, (ft_str){json_string_value(text), json_string_length(text)}, &ok));
    if (!ok || !blob.n)
        st = ft_fail(FT_EFORMAT, "%s: a Precompiled normalizer whose precompiled_charsmap is not base64", where);
    else
        st = ft_charsmap__new(&s->charsmap, (ft_str){blob.p, blob.n}, where);
    n->charsmap = s->charsmap;
    n->unigram++;
done:
    ft_buf_free(&blob);
    return st;
}

static ft_status build_form(ft_norms *n, ft_norm *s, const json_t *j, const char *where)
{
    return FT_OK;
}

static ft_status build_bert(ft_norms *n, ft_norm *s, const json_t *j, const char *where)
{
    bool clean, chinese, lower, strip;
    n->n--; /* it brings its own steps */
    FT_RETURN(ft_json_bool(j, "clean_text", where, true, &clean));
    FT_RETURN(ft_json_bool(j, "handle_chinese_chars", where, true, &chinese));
    FT_RETURN(ft_json_bool(j, "lowercase", where, true, &lower));
    FT_RETURN(ft_json_bool(j, "strip_accents", where, lower, &strip));
    return ft_norms__add_bert(n, clean, chinese, strip, lower, where);
}

static const struct {
    const char *type;
    ft_status (*apply)(const ft_norm *n, const ft_norm_run *run, ft_str in, ft_buf *out);
    ft_status (*build)(ft_norms *n, ft_norm *s, const json_t *j, const char *where);
    int form;
} forms[] = {
    {"NFC", compose, build_form, UTF8PROC_STABLE | UTF8PROC_COMPOSE},
    {"NFD", normal_form, build_form, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE},
    {"NFKC", normal_form, build_form, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT},
    {"NFKD", normal_form, build_form, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT},
    {"Lowercase", lowercase, build_rewrite, 0},
    {"StripAccents", strip_accents, build_rewrite, 0},
    {"Strip", strip, build_strip, 0},
    {"Replace", replace, build_replace, 0},
    {"Prepend", prepend, build_prepend, 0},
    {"Precompiled", precompiled, build_charsmap, 0},
    {"Nmt", nmt, build_rewrite, 0},
    {"BertNormalizer", bert, build_bert, 0},
};

static ft_status add_json(ft_norms *n, const json_t *j, const char *where, int depth)
{
    const char *type;
    if (!j || json_is_null(j))
        return FT_OK;
    FT_RETURN(ft_json_str(j, "type", where, "", &type));
    if (strcmp(type, "Sequence") == 0 && depth < NESTING_MAX) {
        size_t i;
        json_t *item;
        json_array_foreach(json_object_get(j, "normalizers"), i, item) FT_RETURN(add_json(n, item, where, depth + 1));
        return FT_OK;
    }
    for (size_t i = 0; i < FT_COUNT(forms); i++)
        if (strcmp(type, forms[i].type) == 0) {
            ft_norm *s = NULL;
            FT_RETURN(new_step(n, where, &s));
            s->apply = forms[i].apply;
            s->form = forms[i].form;
            return forms[i].build(n, s, j, where);
        }
    return ft_fail(FT_EUNSUPPORTED, "%s: normalizer type \"%.60s\" is not supported", where, type);
}

ft_status ft_norms__from_json(ft_norms *n, const json_t *j, const char *where)
{
    return add_json(n, j, where, 0);
}

ft_status ft_norms__add_sentencepiece(ft_norms *n, bool dummy_prefix, bool remove_extra, bool escape, ft_str charsmap,
                                      const char *where)
{
    ft_norm *s = NULL;
    FT_RETURN(new_step(n, where, &s));
    s->apply = sentencepiece;
    s->dummy_prefix = n->space_prefix = dummy_prefix;
    s->remove_extra = remove_extra;
    s->escape = n->marks_spaces = escape;
    n->rewrites = remove_extra || !escape || charsmap.n;
    n->folds_spaces = remove_extra;
    n->unigram++;
    if (charsmap.n)
        FT_RETURN(ft_charsmap__new(&s->charsmap, charsmap, where));
    n->charsmap = s->charsmap;
    return FT_OK;
}

ft_status ft_norms__add_bert(ft_norms *n, bool clean, bool chinese, bool strip, bool lower, const char *where)
{
    ft_norm *s = NULL;
    FT_RETURN(new_step(n, where, &s));
    s->apply = bert;
    s->clean = clean;
    s->chinese = chinese;
    if (strip) {
        FT_RETURN(new_step(n, where, &s));
        s->apply = normal_form;
        s->form = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
        FT_RETURN(new_step(n, where, &s));
        s->apply = strip_accents;
    }
    if (lower) {
        FT_RETURN(new_step(n, where, &s));
        s->apply = lowercase;
    }
    n->bert_uncased = clean && chinese && strip && lower;
    n->rewrites = n->rewrites || !n->bert_uncased;
    return FT_OK;
}

void ft_norms__free(ft_norms *n)
{
    for (size_t i = 0; i < n->n; i++) {
        ft_regex__free(n->step[i].pattern);
        ft_free(n->step[i].text);
        ft_charsmap__free(n->step[i].charsmap);
    }
    n->n = 0;
}

/* ---- running ---- */

/* Steps that read characters get the valid stretches one by one; steps that see only the text's ends and bytes get all.
 */
static ft_status run_step(const ft_norm *s, const ft_norm_run *run, ft_str in, ft_buf *out)
{
    if (s->apply == prepend || s->apply == sentencepiece)
        return s->apply(s, run, in, out);
    for (size_t i = 0; i < in.n;) {
        size_t good = ft_utf8__valid(in.p + i, in.n - i);
        if (good)
            FT_RETURN(s->apply(s, run, (ft_str){in.p + i, good}, out));
        i += good;
        if (i < in.n)
            FT_RETURN(ft_buf_putc(out, in.p[i++]));
    }
    return FT_OK;
}

ft_status ft_norms__run(const ft_norms *n, const ft_norm_run *run, ft_str in, ft_buf buffers[2], ft_str *out)
{
    *out = in;
    for (size_t i = 0; i < n->n && out->n; i++) {
        ft_buf *b = &buffers[i & 1];
        b->n = 0;
        FT_RETURN(run_step(&n->step[i], run, *out, b));
        *out = (ft_str){b->p, b->n};
    }
    return FT_OK;
}
