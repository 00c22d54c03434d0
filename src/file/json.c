/* JSON through jansson: reading with places in the messages, writing as Python's json.dump(indent=2) lays it out.
 *
 * Memory: a document is parsed whole; jansson needs some 50 bytes for each byte of the worst text, so callers state how
 * large a text may be.
 */
#include "file/json.h"

#include <math.h>
#include <string.h>

enum { MAX_DEPTH = 2048 };

/* ---- reading ---- */

static size_t integer_length(const char *p, const char *end)
{
    const char *q = p;
    if (q < end && *q == '-')
        q++;
    while (q < end && *q >= '0' && *q <= '9')
        q++;
    return q < end && (*q == '.' || *q == 'e' || *q == 'E') ? 0 : (size_t)(q - p);
}

static bool past_int64(const char *p, size_t n)
{
    char digits[24];
    if (n < 19)
        return false;
    if (n >= sizeof digits)
        return true;
    memcpy(digits, p, n);
    digits[n] = 0;
    int64_t v;
    return !ft_parse_i64(digits, &v);
}

/* Appends the text to out with ".0" behind every integer that int64 cannot hold. */
static ft_status widen_integers(ft_buf *out, ft_str text)
{
    const char *p = text.p, *end = text.p + text.n, *copied = p;
    for (bool quoted = false; p < end; p++) {
        if (*p == '"')
            quoted = !quoted;
        else if (quoted && *p == '\\')
            p++;
        else if (!quoted && (*p == '-' || (*p >= '0' && *p <= '9'))) {
            const char *stop = p;
            while (stop < end && strchr("+-.eE0123456789", *stop) && *stop)
                stop++;
            if (integer_length(p, stop) == (size_t)(stop - p) && past_int64(p, (size_t)(stop - p))) {
                FT_RETURN(ft_buf_put(out, copied, (size_t)(stop - copied)));
                FT_RETURN(ft_buf_puts(out, ".0"));
                copied = stop;
            }
            p = stop - 1;
        }
    }
    return ft_buf_put(out, copied, (size_t)(end - copied));
}

static json_t *load(ft_str text, json_error_t *e)
{
    return json_loadb(text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, e);
}

static ft_status refuse(const json_error_t *e, const char *name, bool lines)
{
    if (json_error_code(e) == json_error_out_of_memory || !*e->text)
        return ft_fail(FT_ENOMEM, "%s: out of memory while reading JSON", name);
    if (lines)
        return ft_fail(FT_EFORMAT, "%s:%d:%d: %s", name, e->line, e->column, e->text);
    return ft_fail(FT_EFORMAT, "%s:%d: %s", name, e->column, e->text);
}

static ft_status parse(json_t **out, ft_str text, const char *name, bool lines)
{
    ft_status st = FT_OK;
    ft_buf wide = {.max = SIZE_MAX - 1};
    json_error_t e;
    if (!(*out = load(text, &e)) && json_error_code(&e) == json_error_numeric_overflow) {
        FT_TRY(widen_integers(&wide, text));
        *out = load((ft_str){wide.p, wide.n}, &e);
    }
    if (!*out)
        st = refuse(&e, name, lines);
done:
    ft_buf_free(&wide);
    return st;
}

ft_status ft_json_text(json_t **out, ft_str text, const char *name)
{
    return parse(out, text, name, text.n && memchr(text.p, '\n', text.n) != NULL);
}

ft_status ft_json_file(json_t **out, const char *path, size_t max_bytes)
{
    ft_mapping m;
    *out = NULL;
    FT_RETURN(ft_mapping_open(&m, path));
    ft_str text = {(const char *)m.data, m.size};
    ft_status st;
    if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
        text = (ft_str){text.p + 3, text.n - 3};
    if (m.size > max_bytes)
        st = ft_fail(FT_ENOMEM, "%s: %zu bytes of JSON, at most %zu are read here", path, m.size, max_bytes);
    else
        st = parse(out, text, path, true);
    ft_mapping_close(&m);
    return st;
}

/* ---- writing ---- */

static ft_status put_value(ft_buf *b, const json_t *j, int depth);

/* The escape of a byte that may not stand in a string as it is, NULL for all others. */
static const char *escape(unsigned char c, char text[8])
{
    static const char letters[0x20] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    if (c >= 0x20 && c != '"' && c != '\\')
        return NULL;
    if (c >= 0x20 || letters[c])
        snprintf(text, 8, "\\%c", c >= 0x20 ? c : letters[c]);
    else
        snprintf(text, 8, "\\u%04x", c);
    return text;
}

static ft_status put_string(ft_buf *b, const char *s, size_t n)
{
    size_t copied = 0;
    char text[8];
    FT_RETURN(ft_buf_putc(b, '"'));
    for (size_t i = 0; i < n; i++)
        if (escape((unsigned char)s[i], text)) {
            FT_RETURN(ft_buf_put(b, s + copied, i - copied));
            FT_RETURN(ft_buf_puts(b, text));
            copied = i + 1;
        }
    FT_RETURN(ft_buf_put(b, s + copied, n - copied));
    return ft_buf_putc(b, '"');
}

/* The shortest of 15, 16 and 17 digits that reads back as the same number; jansson keeps the locale out of it. */
static ft_status put_real(ft_buf *b, const json_t *j)
{
    char text[64];
    size_t n = 0;
    for (size_t digits = 15; digits <= 17; digits++) {
        n = json_dumpb(j, text, sizeof text, JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
        json_t *back = n && n < sizeof text ? json_loadb(text, n, JSON_DECODE_ANY, NULL) : NULL;
        bool same = back && json_real_value(back) == json_real_value(j);
        json_decref(back);
        if (same)
            return ft_buf_put(b, text, n);
    }
    return ft_fail(FT_ENOMEM, "a number could not be written as JSON");
}

static ft_status put_break(ft_buf *b, int depth)
{
    FT_RETURN(ft_buf_putc(b, '\n'));
    for (int i = 0; i < depth; i++)
        FT_RETURN(ft_buf_puts(b, "  "));
    return FT_OK;
}

static ft_status put_array(ft_buf *b, const json_t *j, int depth)
{
    size_t n = json_array_size(j);
    FT_RETURN(ft_buf_putc(b, '['));
    for (size_t i = 0; i < n; i++) {
        if (i)
            FT_RETURN(ft_buf_putc(b, ','));
        FT_RETURN(put_break(b, depth + 1));
        FT_RETURN(put_value(b, json_array_get(j, i), depth + 1));
    }
    if (n)
        FT_RETURN(put_break(b, depth));
    return ft_buf_putc(b, ']');
}

static ft_status put_object(ft_buf *b, const json_t *j, int depth)
{
    const char *key;
    json_t *value;
    size_t i = 0;
    FT_RETURN(ft_buf_putc(b, '{'));
    json_object_foreach((json_t *)j, key, value)
    {
        if (i++)
            FT_RETURN(ft_buf_putc(b, ','));
        FT_RETURN(put_break(b, depth + 1));
        FT_RETURN(put_string(b, key, strlen(key)));
        FT_RETURN(ft_buf_puts(b, ": "));
        FT_RETURN(put_value(b, value, depth + 1));
    }
    if (i)
        FT_RETURN(put_break(b, depth));
    return ft_buf_putc(b, '}');
}

static ft_status put_value(ft_buf *b, const json_t *j, int depth)
{
    if (depth > MAX_DEPTH)
        return ft_fail(FT_EINPUT, "JSON nested deeper than %d is not written", MAX_DEPTH);
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return put_object(b, j, depth);
    case JSON_ARRAY:
        return put_array(b, j, depth);
    case JSON_STRING:
        return put_string(b, json_string_value(j), json_string_length(j));
    case JSON_INTEGER:
        return ft_buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
    case JSON_REAL:
        return put_real(b, j);
    case JSON_TRUE:
        return ft_buf_puts(b, "true");
    case JSON_FALSE:
        return ft_buf_puts(b, "false");
    default:
        return ft_buf_puts(b, "null");
    }
}

ft_status ft_json_write(const json_t *j, const char *path)
{
    ft_status st = FT_OK;
    ft_buf b = {0};
    FT_TRY(put_value(&b, j, 0));
    FT_TRY(ft_buf_putc(&b, '\n'));
    FT_TRY(ft_write_file(path, b.p, b.n));
done:
    ft_buf_free(&b);
    return st == FT_EIO ? st : ft_context(st, "%s", path);
}

/* ---- members ---- */

static const char *type_name(const json_t *v)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string", [JSON_INTEGER] = "a number",
        [JSON_REAL] = "a number",    [JSON_TRUE] = "true",      [JSON_FALSE] = "false",     [JSON_NULL] = "null"};
    return names[json_typeof(v)];
}

/* The member, NULL when it is absent or null. */
static const json_t *member(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return v && !json_is_null(v) ? v : NULL;
}

static ft_status wrong_type(const json_t *v, const char *key, const char *where, const char *expected)
{
    return ft_fail(FT_EFORMAT, "%s: \"%s\" is %s, expected %s", where, key, type_name(v), expected);
}

ft_status ft_json_i64(const json_t *o, const char *key, const char *where, int64_t fallback, int64_t *out)
{
    const json_t *v = member(o, key);
    *out = fallback;
    if (!v)
        return FT_OK;
    if (json_is_integer(v)) {
        *out = json_integer_value(v);
        return FT_OK;
    }
    double d = json_number_value(v);
    if (!json_is_real(v))
        return wrong_type(v, key, where, "an integer");
    if (d != nearbyint(d) || fabs(d) > 0x1p53)
        return ft_fail(FT_EFORMAT, "%s: \"%s\" is %g, expected an integer of at most 2^53", where, key, d);
    *out = (int64_t)d;
    return FT_OK;
}

ft_status ft_json_f64(const json_t *o, const char *key, const char *where, double fallback, double *out)
{
    const json_t *v = member(o, key);
    *out = v ? json_number_value(v) : fallback;
    return !v || json_is_number(v) ? FT_OK : wrong_type(v, key, where, "a number");
}

ft_status ft_json_bool(const json_t *o, const char *key, const char *where, bool fallback, bool *out)
{
    const json_t *v = member(o, key);
    *out = v ? json_is_true(v) : fallback;
    return !v || json_is_boolean(v) ? FT_OK : wrong_type(v, key, where, "true or false");
}

ft_status ft_json_str(const json_t *o, const char *key, const char *where, const char *fallback, const char **out)
{
    const json_t *v = member(o, key);
    *out = fallback;
    if (!v)
        return FT_OK;
    if (!json_is_string(v))
        return wrong_type(v, key, where, "a string");
    if (strlen(json_string_value(v)) != json_string_length(v))
        return ft_fail(FT_EFORMAT, "%s: \"%s\" holds a NUL byte", where, key);
    *out = json_string_value(v);
    return FT_OK;
}
