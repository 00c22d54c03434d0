/* Patterns of tokenizer files on PCRE2 (see regex.h).
 *
 * Bounds: a pattern has at most MAX_PATTERN bytes; a match may take MATCH_LIMIT backtracking steps plus some for every
 * byte of its subject (white-space runs cost that honestly), MATCH_HEAP_KIB of heap and JIT_STACK_MAX of JIT stack.
 */
#include "text/regex.h"
#include "text/unicode.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { MAX_PATTERN = 1 << 16, MATCH_LIMIT = 1000000, MATCH_LIMIT_A_BYTE = 16, MATCH_HEAP_KIB = 64 << 10 };
enum { JIT_STACK_MIN = 32 << 10, JIT_STACK_MAX = 32 << 20 };

struct ft_regex {
    pcre2_code *code;
    char *pattern; /* as the file has it */
    size_t n;
    char *where;
};

struct ft_matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* The pattern in PCRE2's terms: \s, \S by property; "&&" and a class within a class are refused. */
static ft_status translate(ft_buf *out, ft_str p, const char *where)
{
    bool in_class = false;
    for (size_t i = 0; i < p.n; i++) {
        char c = p.p[i], next = i + 1 < p.n ? p.p[i + 1] : 0;
        if (c == '\\' && (next == 's' || next == 'S')) {
            FT_RETURN(ft_buf_puts(out, next == 's' ? "\\p{White_Space}" : "\\P{White_Space}"));
            i++;
        } else if (c == '\\' && i + 1 < p.n) {
            FT_RETURN(ft_buf_put(out, p.p + i, 2));
            i++;
        } else {
            if (in_class && c == '&' && next == '&')
                return ft_fail(FT_EUNSUPPORTED, "%s: class intersection && at offset %zu of pattern %.*s", where, i,
                               (int)FT_MIN(p.n, 200), p.p);
            if (in_class && c == '[' && next != ':')
                return ft_fail(FT_EUNSUPPORTED, "%s: a class within a class at offset %zu of pattern %.*s", where, i,
                               (int)FT_MIN(p.n, 200), p.p);
            if (c == '[' && !in_class)
                in_class = true;
            else if (c == ']')
                in_class = false;
            FT_RETURN(ft_buf_putc(out, c));
        }
    }
    return FT_OK;
}

static ft_status compile(ft_regex *re, ft_str pattern, uint32_t options, pcre2_compile_context *context)
{
    int code;
    PCRE2_SIZE at;
    re->code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, options, &code, &at, context);
    if (!re->code) {
        PCRE2_UCHAR why[160];
        pcre2_get_error_message(code, why, sizeof why);
        return ft_fail(FT_EUNSUPPORTED, "%s: pattern %.*s: at offset %zu: %s", re->where, (int)FT_MIN(re->n, 200),
                       re->pattern, (size_t)at, (char *)why);
    }
    pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE); /* where there is no JIT the interpreter runs it */
    return FT_OK;
}

ft_status ft_regex__compile(ft_regex **out, ft_str pattern, bool literal, const char *where)
{
    ft_status st = FT_OK;
    ft_buf text = {0};
    pcre2_compile_context *context = NULL;
    *out = NULL;
    ft_regex *re = ft_alloc(1, sizeof *re);
    if (!re)
        return FT_ENOMEM;
    if (pattern.n == 0 || pattern.n > MAX_PATTERN) {
        st = ft_fail(FT_EUNSUPPORTED, "%s: a pattern of %zu bytes, expected 1 to %d", where, pattern.n, MAX_PATTERN);
        goto done;
    }
    if (ft_utf8__valid(pattern.p, pattern.n) != pattern.n) {
        st = ft_fail(FT_EFORMAT, "%s: the pattern is not valid UTF-8", where);
        goto done;
    }
    re->n = pattern.n;
    re->pattern = ft_strndup(pattern.p, pattern.n);
    re->where = ft_strdup(where);
    context = pcre2_compile_context_create(NULL);
    if (!re->pattern || !re->where || !context) {
        st = FT_ENOMEM;
        goto done;
    }
    if (literal) {
        st = compile(re, pattern, PCRE2_UTF | PCRE2_LITERAL, context);
    } else {
        FT_TRY(translate(&text, pattern, where));
        st = compile(re, (ft_str){text.p, text.n}, PCRE2_UTF | PCRE2_UCP, context);
    }
done:
    pcre2_compile_context_free(context);
    ft_buf_free(&text);
    if (st == FT_OK)
        *out = re;
    else
        ft_regex__free(re);
    return st;
}

void ft_regex__free(ft_regex *re)
{
    if (!re)
        return;
    pcre2_code_free(re->code);
    ft_free(re->pattern);
    ft_free(re->where);
    ft_free(re);
}

ft_str ft_regex__pattern(const ft_regex *re)
{
    return (ft_str){re->pattern, re->n};
}

ft_status ft_matcher__new(ft_matcher **out)
{
    ft_matcher *m = ft_alloc(1, sizeof *m);
    *out = m;
    if (!m)
        return FT_ENOMEM;
    m->data = pcre2_match_data_create(1, NULL);
    m->context = pcre2_match_context_create(NULL);
    m->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
    if (!m->data || !m->context || !m->stack) {
        ft_matcher__free(m);
        *out = NULL;
        return ft_fail(FT_ENOMEM, "out of memory for a pattern matcher");
    }
    pcre2_jit_stack_assign(m->context, NULL, m->stack);
    pcre2_set_heap_limit(m->context, MATCH_HEAP_KIB);
    return FT_OK;
}

void ft_matcher__free(ft_matcher *m)
{
    if (!m)
        return;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    pcre2_jit_stack_free(m->stack);
    ft_free(m);
}

ft_status ft_regex__next(const ft_regex *re, ft_matcher *m, ft_str text, size_t from, size_t *start, size_t *end,
                         bool *found)
{
    size_t limit = MATCH_LIMIT + text.n * MATCH_LIMIT_A_BYTE;
    pcre2_set_match_limit(m->context, (uint32_t)FT_MIN(limit, (size_t)UINT32_MAX));
    int rc = pcre2_match(re->code, (PCRE2_SPTR)text.p, text.n, from, PCRE2_NO_UTF_CHECK, m->data, m->context);
    *found = rc >= 0;
    if (rc == PCRE2_ERROR_NOMATCH)
        return FT_OK;
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(m->data);
    if (rc >= 0 && at[0] >= from && at[0] <= at[1] && at[1] <= text.n) {
        *start = at[0];
        *end = at[1];
        return FT_OK;
    }
    PCRE2_UCHAR why[160] = "a match that ends before it starts";
    if (rc < 0)
        pcre2_get_error_message(rc, why, sizeof why);
    return ft_fail(FT_EUNSUPPORTED, "%s: pattern %.*s: %s (at byte %zu of a text of %zu)", re->where,
                   (int)FT_MIN(re->n, 200), re->pattern, (char *)why, from, text.n);
}
