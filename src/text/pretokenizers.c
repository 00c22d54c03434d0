/* Pre-tokenizers (see pretokenizers.h): the forms of tokenizer.json as stages, and the run over a text.
 *
 * Digits, Punctuation, Whitespace and their like are patterns too; ByteLevel is GPT-2's pattern and a mark that words
 * are bytes. When a form stands behind ByteLevel it sees the byte-level alphabet, as in the reference implementation.
 */
#include "text/pretokenizers.h"
#include "file/json.h"
#include "text/unicode.h"

#include <string.h>

const char ft_gpt2_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

enum { NESTING_MAX = 8 };

/* ---- building ---- */

static ft_status new_stage(ft_stages *s, ft_stage_kind kind, const char *where, ft_stage **out)
{
    bool spell = s->byte_level && !s->spelled && kind != FT_STAGE_SPELL;
    if (s->n + spell >= FT_STAGES_MAX)
        return ft_fail(FT_EUNSUPPORTED, "%s: over %d pre-tokenizer stages", where, FT_STAGES_MAX);
    if (spell) {
        s->stage[s->n++] = (ft_stage){.kind = FT_STAGE_SPELL};
        s->spelled = true;
    }
    *out = &s->stage[s->n++];
    **out = (ft_stage){.kind = kind};
    return FT_OK;
}

ft_status ft_stages__add_pattern(ft_stages *s, ft_str pattern, bool literal, ft_behavior behavior, bool invert,
                                 const char *where)
{
    ft_stage *stage = NULL;
    FT_RETURN(new_stage(s, FT_STAGE_PATTERN, where, &stage));
    stage->behavior = behavior;
    stage->invert = invert;
    return ft_regex__compile(&stage->re, pattern, literal, where);
}

void ft_stages__free(ft_stages *s)
{
    for (size_t i = 0; i < s->n; i++)
        ft_regex__free(s->stage[i].re);
    s->n = 0;
}

static ft_status behavior_of(const json_t *j, const char *where, ft_behavior fallback, ft_behavior *out)
{
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    const char *name;
    *out = fallback;
    FT_RETURN(ft_json_str(j, "behavior", where, NULL, &name));
    for (size_t i = 0; name && i < FT_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (ft_behavior)i;
            return FT_OK;
        }
    return name ? ft_fail(FT_EUNSUPPORTED, "%s: behavior \"%s\"", where, name) : FT_OK;
}

static ft_status form_split(ft_stages *s, const json_t *j, const char *where)
{
    const json_t *pattern = json_object_get(j, "pattern"), *regex = json_object_get(pattern, "Regex");
    const json_t *text = regex ? regex : json_object_get(pattern, "String");
    ft_behavior behavior;
    bool invert;
    if (!json_is_string(text))
        return ft_fail(FT_EFORMAT, "%s: a Split without a pattern Regex or String", where);
    FT_RETURN(behavior_of(j, where, FT_ISOLATED, &behavior));
    FT_RETURN(ft_json_bool(j, "invert", where, false, &invert));
    return ft_stages__add_pattern(s, (ft_str){json_string_value(text), json_string_length(text)}, !regex, behavior,
                                  invert, where);
}

static ft_status form_byte_level(ft_stages *s, const json_t *j, const char *where)
{
    bool prefix, regex;
    ft_stage *stage = NULL;
    if (s->byte_level)
        return ft_fail(FT_EUNSUPPORTED, "%s: ByteLevel twice", where);
    FT_RETURN(ft_json_bool(j, "add_prefix_space", where, true, &prefix));
    FT_RETURN(ft_json_bool(j, "use_regex", where, true, &regex));
    if (prefix)
        FT_RETURN(new_stage(s, FT_STAGE_PREFIX_SPACE, where, &stage));
    if (regex)
        FT_RETURN(ft_stages__add_pattern(s, ft_str_of(ft_gpt2_pattern), false, FT_ISOLATED, false, where));
    s->byte_level = true;
    return FT_OK;
}

static ft_status form_digits(ft_stages *s, const json_t *j, const char *where)
{
    bool individual;
    FT_RETURN(ft_json_bool(j, "individual_digits", where, false, &individual));
    return ft_stages__add_pattern(s, ft_str_of(individual ? "\\p{N}" : "\\p{N}+"), false, FT_ISOLATED, false, where);
}

static const char white_space[] = "\\s", punctuation[] = "[\\p{P}$+<=>^`|~]";

ft_status ft_stages__add_bert(ft_stages *s, const char *where)
{
    FT_RETURN(ft_stages__add_pattern(s, ft_str_of(white_space), false, FT_REMOVED, false, where));
    return ft_stages__add_pattern(s, ft_str_of(punctuation), false, FT_ISOLATED, false, where);
}

bool ft_stages__is_bert(const ft_stages *s)
{
    return s->n == 2 && s->stage[0].re && ft_str_is(ft_regex__pattern(s->stage[0].re), white_space) && s->stage[1].re &&
           ft_str_is(ft_regex__pattern(s->stage[1].re), punctuation);
}

static ft_status form_bert(ft_stages *s, const json_t *j, const char *where)
{
    return ft_stages__add_bert(s, where);
}

static ft_status form_punctuation(ft_stages *s, const json_t *j, const char *where)
{
    ft_behavior behavior;
    FT_RETURN(behavior_of(j, where, FT_ISOLATED, &behavior));
    return ft_stages__add_pattern(s, ft_str_of(punctuation), false, behavior, false, where);
}

static ft_status prepend_of(const char *scheme, const char *where, ft_prepend *out)
{
    static const char *const names[] = {"never", "first", "always"};
    for (size_t i = 0; i < FT_COUNT(names); i++)
        if (strcmp(scheme, names[i]) == 0) {
            *out = (ft_prepend)i;
            return FT_OK;
        }
    return ft_fail(FT_EUNSUPPORTED, "%s: Metaspace prepend_scheme \"%.20s\"", where, scheme);
}

static ft_status form_metaspace(ft_stages *s, const json_t *j, const char *where)
{
    const char *mark, *scheme;
    bool legacy, split;
    ft_stage *stage = NULL;
    FT_RETURN(ft_json_str(j, "replacement", where, FT_SPACE_MARK, &mark));
    FT_RETURN(ft_json_bool(j, "add_prefix_space", where, true, &legacy));
    FT_RETURN(ft_json_str(j, "prepend_scheme", where, legacy ? "always" : "never", &scheme));
    FT_RETURN(ft_json_bool(j, "split", where, true, &split));
    size_t n = strlen(mark);
    if (n == 0 || n > 4 || ft_utf8__len(mark, n) != n)
        return ft_fail(FT_EFORMAT, "%s: Metaspace replacement \"%.20s\", expected one character", where, mark);
    FT_RETURN(new_stage(s, FT_STAGE_METASPACE, where, &stage));
    memcpy(stage->mark, mark, n);
    FT_RETURN(prepend_of(scheme, where, &stage->prepend));
    return split ? ft_stages__add_pattern(s, ft_str_of(mark), true, FT_MERGE_NEXT, false, where) : FT_OK;
}

static ft_status form_whitespace(ft_stages *s, const json_t *j, const char *where)
{
    static const char words[] = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]+|[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\s]+";
    return ft_stages__add_pattern(s, ft_str_of(words), false, FT_REMOVED, true, where);
}

static ft_status form_whitespace_split(ft_stages *s, const json_t *j, const char *where)
{
    return ft_stages__add_pattern(s, ft_str_of(white_space), false, FT_REMOVED, false, where);
}

static ft_status form_delimiter(ft_stages *s, const json_t *j, const char *where)
{
    const char *delimiter;
    FT_RETURN(ft_json_str(j, "delimiter", where, "", &delimiter));
    return ft_stages__add_pattern(s, ft_str_of(delimiter), true, FT_REMOVED, false, where);
}

static const struct {
    const char *type;
    ft_status (*add)(ft_stages *s, const json_t *j, const char *where);
} forms[] = {
    {"Split", form_split},
    {"ByteLevel", form_byte_level},
    {"Digits", form_digits},
    {"Punctuation", form_punctuation},
    {"Metaspace", form_metaspace},
    {"Whitespace", form_whitespace},
    {"WhitespaceSplit", form_whitespace_split},
    {"CharDelimiterSplit", form_delimiter},
    {"BertPreTokenizer", form_bert},
};

static ft_status add_json(ft_stages *s, const json_t *j, const char *where, int depth)
{
    const char *type;
    if (!j || json_is_null(j))
        return FT_OK;
    FT_RETURN(ft_json_str(j, "type", where, "", &type));
    if (strcmp(type, "Sequence") == 0 && depth < NESTING_MAX) {
        size_t i;
        json_t *item;
        json_array_foreach(json_object_get(j, "pretokenizers"), i, item) FT_RETURN(add_json(s, item, where, depth + 1));
        return FT_OK;
    }
    for (size_t i = 0; i < FT_COUNT(forms); i++)
        if (strcmp(type, forms[i].type) == 0)
            return forms[i].add(s, j, where);
    return ft_fail(FT_EUNSUPPORTED, "%s: pre-tokenizer type \"%.60s\" is not supported", where, type);
}

ft_status ft_stages__from_json(ft_stages *s, const json_t *j, const char *where)
{
    return add_json(s, j, where, 0);
}

bool ft_stages__is(const ft_stages *s, const char *const *patterns, size_t n)
{
    size_t i = 0;
    for (; i < n && patterns[i]; i++) {
        const ft_stage *g = &s->stage[i];
        if (i >= s->n || g->kind != FT_STAGE_PATTERN || g->behavior != FT_ISOLATED || g->invert ||
            !ft_str_is(ft_regex__pattern(g->re), patterns[i]))
            return false;
    }
    return i == s->n;
}

ft_status ft_stages__describe(const ft_stages *s, ft_buf *out)
{
    static const char *const names[] = {"", "prefix space", "metaspace", "byte-level spelling"};
    if (!s->n)
        return ft_buf_puts(out, "(none)");
    for (size_t i = 0; i < s->n; i++) {
        const ft_stage *g = &s->stage[i];
        FT_RETURN(ft_buf_puts(out, i ? " then " : ""));
        if (g->kind == FT_STAGE_PATTERN) {
            ft_str p = ft_regex__pattern(g->re);
            FT_RETURN(ft_buf_put(out, p.p, p.n));
        } else {
            FT_RETURN(ft_buf_puts(out, names[g->kind]));
        }
    }
    return FT_OK;
}

/* ---- running ---- */

static ft_status run_from(const ft_stages_run *run, size_t i, ft_str text, bool first);

/* A text on its way through one pattern stage: the piece that is not handed on yet. */
typedef struct cutter {
    const ft_stages_run *run;
    size_t stage;
    ft_str text;
    bool first;
    bool held, held_match;
    size_t start, end;
} cutter;

static ft_status hand_on(cutter *c, size_t start, size_t end)
{
    return run_from(c->run, c->stage + 1, (ft_str){c->text.p + start, end - start}, c->first && start == 0);
}

static ft_status release(cutter *c)
{
    if (!c->held)
        return FT_OK;
    c->held = false;
    return hand_on(c, c->start, c->end);
}

static ft_status hold(cutter *c, size_t start, size_t end, bool match)
{
    FT_RETURN(release(c));
    c->held = true;
    c->held_match = match;
    c->start = start;
    c->end = end;
    return FT_OK;
}

static ft_status cut(cutter *c, size_t start, size_t end, bool match)
{
    const ft_stage *g = &c->run->stages->stage[c->stage];
    if (start == end)
        return FT_OK;
    match ^= g->invert;
    switch (g->behavior) {
    case FT_ISOLATED:
        return hand_on(c, start, end);
    case FT_REMOVED:
        return match ? FT_OK : hand_on(c, start, end);
    case FT_MERGE_PREVIOUS: /* a match joins what is held, unless that is a match itself */
        if (match && c->held && !c->held_match) {
            c->end = end;
            return release(c);
        }
        break;
    case FT_MERGE_NEXT:
        if (!match && c->held && c->held_match) {
            c->end = end;
            return release(c);
        }
        break;
    case FT_CONTIGUOUS:
        if (c->held && c->held_match == match) {
            c->end = end;
            return FT_OK;
        }
    }
    return hold(c, start, end, match);
}

static ft_status run_pattern(const ft_stages_run *run, size_t i, ft_str text, bool first)
{
    const ft_regex *re = run->stages->stage[i].re;
    cutter c = {.run = run, .stage = i, .text = text, .first = first};
    size_t done = 0, from = 0;
    while (from < text.n) {
        size_t start, end;
        bool found;
        FT_RETURN(ft_regex__next(re, run->matcher, text, from, &start, &end, &found));
        if (!found)
            break;
        /* an empty match cuts where it stands; the search goes on behind the next character */
        from = end > start ? end : start == text.n ? text.n : start + ft_utf8__len(text.p + start, text.n - start);
        FT_RETURN(cut(&c, done, start, false));
        FT_RETURN(cut(&c, start, end, true));
        done = end;
    }
    FT_RETURN(cut(&c, done, text.n, false));
    return release(&c);
}

static ft_status run_metaspace(const ft_stages_run *run, size_t i, ft_str text, bool first)
{
    const ft_stage *g = &run->stages->stage[i];
    ft_buf *b = &run->buffers[i];
    size_t k = strlen(g->mark);
    bool marked = text.p[0] == ' ' || (text.n >= k && memcmp(text.p, g->mark, k) == 0);
    b->n = 0;
    if (!marked && (g->prepend == FT_PREPEND_ALWAYS || (g->prepend == FT_PREPEND_FIRST && first)))
        FT_RETURN(ft_buf_put(b, g->mark, k));
    for (size_t j = 0; j < text.n; j++)
        FT_RETURN(text.p[j] == ' ' ? ft_buf_put(b, g->mark, k) : ft_buf_putc(b, text.p[j]));
    return run_from(run, i + 1, (ft_str){b->p, b->n}, first);
}

static ft_status run_prefix_space(const ft_stages_run *run, size_t i, ft_str text, bool first)
{
    ft_buf *b = &run->buffers[i];
    if (text.p[0] == ' ')
        return run_from(run, i + 1, text, first);
    b->n = 0;
    FT_RETURN(ft_buf_putc(b, ' '));
    FT_RETURN(ft_buf_put(b, text.p, text.n));
    return run_from(run, i + 1, (ft_str){b->p, b->n}, first);
}

static ft_status run_from(const ft_stages_run *run, size_t i, ft_str text, bool first)
{
    if (text.n == 0)
        return FT_OK;
    if (i == run->stages->n)
        return run->word(run->ctx, text);
    switch (run->stages->stage[i].kind) {
    case FT_STAGE_PATTERN:
        return run_pattern(run, i, text, first);
    case FT_STAGE_METASPACE:
        return run_metaspace(run, i, text, first);
    case FT_STAGE_PREFIX_SPACE:
        return run_prefix_space(run, i, text, first);
    case FT_STAGE_SPELL:
        break;
    }
    run->buffers[i].n = 0;
    FT_RETURN(ft_bytes__spell(&run->buffers[i], text));
    return run_from(run, i + 1, (ft_str){run->buffers[i].p, run->buffers[i].n}, first);
}

ft_status ft_stages__run(const ft_stages_run *run, ft_str text, bool first)
{
    for (size_t i = 0; i < text.n;) {
        size_t good = ft_utf8__valid(text.p + i, text.n - i);
        FT_RETURN(run_from(run, 0, (ft_str){text.p + i, good}, first && i == 0));
        i += good;
        size_t bad = i;
        while (i < text.n && !ft_utf8__valid(text.p + i, FT_MIN(text.n - i, (size_t)4)))
            i++;
        if (i > bad)
            FT_RETURN(run->word(run->ctx, (ft_str){text.p + bad, i - bad}));
    }
    return FT_OK;
}
