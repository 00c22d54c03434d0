/* Jinja, text to tokens. Outside of {{ }}, {% %} and {# #} everything is one text token; white space control happens
 * here:
 *
 *   {%-  -%}   all white space before, behind is left out ({{- -}} and {#- -#} too)
 *   {%   %}    spaces and tabs between a line's start and a block or comment, and one line break behind it
 *   {%+  +%}   none of that
 *
 * One line break at the very end of a template is left out. Memory: tokens point into a copy of the text.
 */
#include "text/jinja_impl.h"
#include "text/unicode.h"

#include <string.h>
#include <utf8proc.h>

typedef struct lexer {
    ft_jmem *mem;
    const char *p, *end;
    int line;
    bool line_start; /* what was read last ends in a line break */
    char open[256];  /* brackets of an expression that are open */
    size_t n_open;
    ft_jtoken *tokens;
    size_t n, cap;
} lexer;

static ft_status fail(const lexer *l, const char *what)
{
    return ft_fail(FT_EFORMAT, "chat template line %d: %s", l->line, what);
}

static ft_status put(lexer *l, ft_jtoken_kind kind, int line, const char *p, size_t n)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 256;
        ft_jtoken *more = ft_jmem__get(l->mem, cap, sizeof *more);
        if (!more)
            return FT_ENOMEM;
        if (l->n)
            memcpy(more, l->tokens, l->n * sizeof *more);
        l->tokens = more;
        l->cap = cap;
    }
    l->tokens[l->n++] = (ft_jtoken){kind, line, {p, n}};
    return FT_OK;
}

static void advance(lexer *l, const char *to)
{
    for (; l->p < to; l->p++)
        l->line += *l->p == '\n';
}

static bool starts(const char *p, const char *end, const char *s)
{
    size_t n = strlen(s);
    return (size_t)(end - p) >= n && memcmp(p, s, n) == 0;
}

/* The place of s at or behind p, `end` when there is none. */
static const char *find(const char *p, const char *end, const char *s)
{
    size_t n = strlen(s);
    for (; (size_t)(end - p) >= n; p++)
        if (memcmp(p, s, n) == 0)
            return p;
    return end;
}

static const char *skip_space(const char *p, const char *end)
{
    return p + ft_jinja__leading(p, (size_t)(end - p));
}

/* ---- outside of expressions ---- */

/* Where a block, comment or expression ends: behind "-%}" and white space, "+%}", or "%}" and (not for expressions) a
 * line break. NULL when it does not end at p. */
static const char *closing(const lexer *l, const char *p, const char *close)
{
    bool minus = p < l->end && *p == '-', plus = p < l->end && *p == '+' && *close != '}';
    const char *at = p + (minus || plus);
    if (!starts(at, l->end, close))
        return NULL;
    at += 2;
    if (minus)
        return skip_space(at, l->end);
    return !plus && *close != '}' && at < l->end && *at == '\n' ? at + 1 : at;
}

/* The text before a tag whose sign is `sign`, cut by the rules above. */
static size_t cut_text(const lexer *l, const char *p, size_t n, char sign, bool put_tag)
{
    if (sign == '-')
        return n - ft_jinja__trailing(p, n);
    if (sign == '+' || put_tag)
        return n;
    size_t line = n;
    while (line > 0 && p[line - 1] != '\n')
        line--;
    if (line == 0 && !l->line_start)
        return n;
    return ft_jinja__leading(p + line, n - line) == n - line ? line : n;
}

static ft_status put_text(lexer *l, const char *to, char sign, bool put_tag)
{
    size_t n = cut_text(l, l->p, (size_t)(to - l->p), sign, put_tag);
    if (n)
        FT_RETURN(put(l, FT_JT_TEXT, l->line, l->p, n));
    advance(l, to);
    return FT_OK;
}

static bool sign_at(const char *p, const char *end)
{
    return p < end && (*p == '-' || *p == '+');
}

static ft_status skip_comment(lexer *l)
{
    const char *start = l->p + 2;
    for (const char *p = start; p < l->end; p++) {
        const char *behind = closing(l, p, "#}");
        if (!behind)
            continue;
        advance(l, behind);
        l->line_start = behind[-1] == '\n';
        return FT_OK;
    }
    return fail(l, "a comment {# is not closed");
}

/* Behind "{% raw %}" when p is there, NULL. */
static const char *raw_begin(const lexer *l, const char *p)
{
    p += 2 + sign_at(p + 2, l->end);
    p = skip_space(p, l->end);
    if (!starts(p, l->end, "raw"))
        return NULL;
    p = skip_space(p + 3, l->end);
    if (starts(p, l->end, "-%}"))
        return skip_space(p + 3, l->end);
    return starts(p, l->end, "%}") ? p + 2 : NULL;
}

static ft_status put_raw(lexer *l, const char *body)
{
    advance(l, body);
    l->line_start = body[-1] == '\n';
    for (const char *p = find(body, l->end, "{%"); p < l->end; p = find(p + 1, l->end, "{%")) {
        bool sign = sign_at(p + 2, l->end);
        const char *at = skip_space(p + 2 + sign, l->end);
        if (!starts(at, l->end, "endraw"))
            continue;
        at = skip_space(at + 6, l->end);
        const char *behind = closing(l, at, "%}");
        if (!behind)
            continue;
        FT_RETURN(put_text(l, p, sign ? p[2] : 0, false));
        advance(l, behind);
        l->line_start = behind[-1] == '\n';
        return FT_OK;
    }
    return fail(l, "a raw block is not closed");
}

/* ---- inside ---- */

static bool name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

static bool digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

static const char *digits(const char *p, const char *end)
{
    while (digit(p, end) || (p < end && *p == '_' && digit(p + 1, end)))
        p++;
    return p;
}

static ft_status put_number(lexer *l)
{
    const char *p = digits(l->p, l->end), *exponent;
    ft_jtoken_kind kind = FT_JT_INT;
    if (p < l->end && *p == '.' && digit(p + 1, l->end)) {
        p = digits(p + 1, l->end);
        kind = FT_JT_FLOAT;
    }
    exponent = p < l->end && (*p == 'e' || *p == 'E') ? p + 1 + sign_at(p + 1, l->end) : l->end;
    if (digit(exponent, l->end)) {
        p = digits(exponent, l->end);
        kind = FT_JT_FLOAT;
    }
    FT_RETURN(put(l, kind, l->line, l->p, (size_t)(p - l->p)));
    l->p = p;
    return FT_OK;
}

/* `most` digits of a base; *value gets them. Behind the last. */
static const char *escape_digits(const char *p, const char *end, int base, int most, int32_t *value)
{
    static const char all[] = "0123456789abcdef";
    *value = 0;
    for (int i = 0; i < most && p < end; i++, p++) {
        const char *d = *p ? strchr(all, *p >= 'A' && *p <= 'F' ? *p + 32 : *p) : NULL;
        if (!d || d - all >= base)
            break;
        *value = (int32_t)(((uint32_t)*value * (uint32_t)base + (uint32_t)(d - all)) & 0x7fffffff);
    }
    return p;
}

/* An escape whose backslash was read, p behind it: its characters go to *out. */
static const char *unescape(const char *p, const char *end, char **out)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    const char *plain = strchr(from, *p);
    int size = *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
    int32_t value;
    if (*p && plain) {
        *(*out)++ = to[plain - from];
        return p + 1;
    }
    if (*p == '\n')
        return p + 1;
    const char *behind = escape_digits(p + (size > 0), end, size ? 16 : 8, size ? size : 3, &value);
    if (behind == p || (size && behind != p + 1 + size) || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) {
        *(*out)++ = '\\'; /* no escape: it stays as it is */
        return p;
    }
    *out += utf8proc_encode_char(value, (utf8proc_uint8_t *)*out);
    return behind;
}

static ft_status put_string(lexer *l)
{
    const char *p = l->p + 1, quote = *l->p;
    const char *close = p;
    while (close < l->end && *close != quote)
        close += *close == '\\' && close + 1 < l->end ? 2 : 1;
    if (close >= l->end)
        return fail(l, "a text is not closed by its quote");
    char *text = ft_jmem__get(l->mem, (size_t)(close - p) + 1, 1), *to = text;
    if (!text)
        return FT_ENOMEM;
    while (p < close) {
        if (*p != '\\')
            *to++ = *p++;
        else
            p = unescape(p + 1, close, &to);
    }
    FT_RETURN(put(l, FT_JT_STRING, l->line, text, (size_t)(to - text)));
    advance(l, close + 1);
    return FT_OK;
}

static ft_status track_brackets(lexer *l, char c)
{
    static const char opening[] = "([{", closing_[] = ")]}";
    const char *o = strchr(opening, c), *k = strchr(closing_, c);
    if (o) {
        if (l->n_open == sizeof l->open)
            return fail(l, "brackets within brackets past 256");
        l->open[l->n_open++] = closing_[o - opening];
    } else if (k && (l->n_open == 0 || l->open[--l->n_open] != c)) {
        return fail(l, "a bracket is closed that was not opened");
    }
    return FT_OK;
}

static ft_status put_operator(lexer *l)
{
    static const char *const all[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                      "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ","};
    char what[64];
    for (size_t i = 0; i < FT_COUNT(all); i++) {
        if (!starts(l->p, l->end, all[i]))
            continue;
        FT_RETURN(track_brackets(l, all[i][0]));
        FT_RETURN(put(l, FT_JT_OPERATOR, l->line, l->p, strlen(all[i])));
        l->p += strlen(all[i]);
        return FT_OK;
    }
    snprintf(what, sizeof what, "unexpected character \"%.*s\"", (int)ft_utf8__len(l->p, (size_t)(l->end - l->p)),
             l->p);
    return fail(l, what);
}

static ft_status put_name(lexer *l)
{
    const char *p = l->p;
    while (p < l->end && (name_start(*p) || digit(p, l->end)))
        p++;
    FT_RETURN(put(l, FT_JT_NAME, l->line, l->p, (size_t)(p - l->p)));
    l->p = p;
    return FT_OK;
}

/* What stands between {{ and }}, {% and %}. */
static ft_status put_tag(lexer *l, const char *close, ft_jtoken_kind end_kind)
{
    int line = l->line;
    l->n_open = 0;
    for (;;) {
        advance(l, skip_space(l->p, l->end));
        if (l->p == l->end) {
            l->line = line;
            return fail(l, *close == '}' ? "a {{ is not closed" : "a {% is not closed");
        }
        const char *behind = l->n_open ? NULL : closing(l, l->p, close);
        if (behind) {
            FT_RETURN(put(l, end_kind, l->line, l->p, 2));
            advance(l, behind);
            l->line_start = behind[-1] == '\n';
            return FT_OK;
        }
        FT_RETURN(*l->p == '"' || *l->p == '\'' ? put_string(l)
                  : digit(l->p, l->end)         ? put_number(l)
                  : name_start(*l->p)           ? put_name(l)
                                                : put_operator(l));
    }
}

/* One tag and the text before it. */
static ft_status put_next(lexer *l)
{
    const char *p = l->p;
    while (p < l->end && !(*p == '{' && p + 1 < l->end && (p[1] == '{' || p[1] == '%' || p[1] == '#')))
        p++;
    if (p == l->end)
        return put_text(l, p, '+', false);
    char kind = p[1], sign = sign_at(p + 2, l->end) ? p[2] : 0;
    FT_RETURN(put_text(l, p, sign, kind == '{'));
    if (kind == '#')
        return skip_comment(l);
    const char *raw = kind == '%' ? raw_begin(l, p) : NULL;
    if (raw)
        return put_raw(l, raw);
    FT_RETURN(put(l, kind == '{' ? FT_JT_PUT_BEGIN : FT_JT_BLOCK_BEGIN, l->line, p, 2));
    l->p += 2 + (sign != 0);
    return kind == '{' ? put_tag(l, "}}", FT_JT_PUT_END) : put_tag(l, "%}", FT_JT_BLOCK_END);
}

/* Line breaks become \n; the last one goes. */
static ft_status normalize(ft_jmem *mem, ft_str text, ft_str *out)
{
    char *copy = ft_jmem__get(mem, text.n + 1, 1), *to = copy;
    if (!copy)
        return FT_ENOMEM;
    for (size_t i = 0; i < text.n; i++) {
        *to++ = text.p[i] == '\r' ? '\n' : text.p[i];
        i += text.p[i] == '\r' && i + 1 < text.n && text.p[i + 1] == '\n';
    }
    to -= to > copy && to[-1] == '\n';
    *out = (ft_str){copy, (size_t)(to - copy)};
    return FT_OK;
}

ft_status ft_jinja__lex(ft_jmem *mem, ft_str text, ft_jtoken **out)
{
    FT_RETURN(normalize(mem, text, &text));
    lexer l = {.mem = mem, .p = text.p, .end = text.p + text.n, .line = 1, .line_start = true};
    while (l.p < l.end)
        FT_RETURN(put_next(&l));
    FT_RETURN(put(&l, FT_JT_END, l.line, "", 0));
    *out = l.tokens;
    return FT_OK;
}
