/* What the row formats share: a row is recognised, its values become texts and messages, the messages an example. */
#include "data/data_room.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FT_ROW_FORMAT(name, help) extern const ft_row_format ft_format_##name;
#include "data/formats.def"
#undef FT_ROW_FORMAT
const ft_row_format *const ft_data__formats[] = {
#define FT_ROW_FORMAT(name, help) &ft_format_##name,
#include "data/formats.def"
#undef FT_ROW_FORMAT
    NULL};

ft_status ft_data__fail(const ft_data__reader *rd, ft_status kind, const char *fmt, ...)
{
    char text[1024], place[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ft_example at = {.file = rd->file, .row = rd->row};
    return ft_fail(kind, "%s: %s", ft_example_place(rd->d, &at, place), text);
}

/* ---- messages ---- */

ft_status ft_data__message(ft_data__reader *rd, ft_role role, ft_str content, bool supervised)
{
    if (rd->n == FT_DATA_MAX_MESSAGES)
        return ft_data__fail(rd, FT_EINPUT, "more than %d messages", FT_DATA_MAX_MESSAGES);
    if (rd->n == rd->cap) {
        ft_message *p = ft_resize(rd->messages, rd->cap ? rd->cap * 2 : 16, sizeof *p);
        if (!p)
            return FT_ENOMEM;
        rd->messages = p;
        rd->cap = rd->cap ? rd->cap * 2 : 16;
    }
    ft_message *m = &rd->messages[rd->n];
    *m = (ft_message){.role = role, .supervised = supervised};
    FT_RETURN(ft_data__keep(rd->d, content, &m->content));
    rd->n++;
    return FT_OK;
}

ft_status ft_data__example(ft_data__reader *rd, ft_example_kind kind)
{
    ft_example e = {
        .kind = kind, .messages = rd->messages, .n = rd->n, .tools = rd->tools, .file = rd->file, .row = rd->row};
    rd->n = 0;
    rd->tools = (ft_str){0};
    rd->rows++;
    return ft_data__add(rd->d, &e);
}

/* ---- values ---- */

static const char *type_name(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "a map",  [JSON_ARRAY] = "a list", [JSON_STRING] = "a text", [JSON_INTEGER] = "a number",
        [JSON_REAL] = "a number", [JSON_TRUE] = "true",    [JSON_FALSE] = "false",   [JSON_NULL] = "null"};
    return names[json_typeof(value)];
}

ft_status ft_data__text(const ft_data__reader *rd, const json_t *row, const char *key, ft_str *out)
{
    const json_t *v = json_object_get(row, key);
    if (!v)
        return ft_data__fail(rd, FT_EINPUT, "\"%s\" is missing", key);
    if (!json_is_string(v))
        return ft_data__fail(rd, FT_EINPUT, "\"%s\" is %s, expected a text", key, type_name(v));
    *out = (ft_str){json_string_value(v), json_string_length(v)};
    return FT_OK;
}

static int put_dump(const char *p, size_t n, void *ctx)
{
    return ft_buf_put(ctx, p, n) == FT_OK ? 0 : -1;
}

/* As Python's json.dumps would: ", " and ": " between, UTF-8 as it is. */
ft_status ft_data__put_value(const ft_data__reader *rd, const json_t *value, ft_buf *out)
{
    if (json_is_null(value))
        return FT_OK;
    if (json_is_string(value))
        return ft_buf_put(out, json_string_value(value), json_string_length(value));
    if (json_dump_callback(value, put_dump, out, JSON_ENCODE_ANY) != 0)
        return ft_data__fail(rd, FT_ENOMEM, "a value cannot be written as text");
    return FT_OK;
}

ft_status ft_data__keep_json(ft_data__reader *rd, const json_t *value, ft_str *out)
{
    rd->text.n = 0;
    FT_RETURN(ft_data__put_value(rd, value, &rd->text));
    return ft_data__keep(rd->d, (ft_str){rd->text.p, rd->text.n}, out);
}

ft_status ft_data__extra(ft_data__reader *rd, const json_t *members)
{
    if (json_object_size(members) == 0)
        return FT_OK;
    return ft_data__keep_json(rd, members, &rd->messages[rd->n - 1].extra);
}

/* ---- rows ---- */

static void list_keys(const json_t *row, char *out, size_t n)
{
    size_t used = 0;
    void *it = json_object_iter((json_t *)row);
    for (out[0] = 0; it && used < n; it = json_object_iter_next((json_t *)row, it))
        used += (size_t)snprintf(out + used, n - used, "%s%s", used ? ", " : "", json_object_iter_key(it));
}

static ft_status unknown_row(ft_data__reader *rd, const json_t *row)
{
    char known[512], keys[256];
    size_t used = 0;
    for (size_t i = 0; ft_data__formats[i] && used < sizeof known; i++)
        if (ft_data__formats[i]->matches)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s (%s)", i ? ", " : "",
                                     ft_data__formats[i]->name, ft_data__formats[i]->keys);
    list_keys(row, keys, sizeof keys);
    return ft_data__fail(rd, FT_EINPUT,
                         "its keys (%s) are none of %s; for other keys name prompt_template and completion_template",
                         keys, known);
}

static ft_status named_format(ft_data__reader *rd, const char *name)
{
    const char *names[16];
    size_t n = 0;
    for (; ft_data__formats[n]; n++) {
        names[n] = ft_data__formats[n]->name;
        if (strcmp(name, names[n]) == 0)
            rd->format = ft_data__formats[n];
    }
    rd->named = true;
    if (rd->format)
        return FT_OK;
    const char *near = ft_nearest(name, names, n);
    return ft_fail(FT_EINPUT, "%s: there is no row format \"%s\"%s%s", rd->source->path, name,
                   near ? "; nearest: " : "", near ? near : "");
}

/* The format asked for, the template, or the first whose keys the row has. */
static ft_status choose_format(ft_data__reader *rd, const json_t *row)
{
    const char *asked = rd->source->format;
    bool templates = rd->source->prompt_template || rd->source->completion_template;
    if (asked && strcmp(asked, "auto") != 0)
        FT_RETURN(named_format(rd, asked));
    if (templates && rd->named && rd->format->matches)
        return ft_fail(FT_EINPUT, "%s: the format %s takes no templates", rd->source->path, rd->format->name);
    if (templates && !rd->named)
        return named_format(rd, "template");
    for (size_t i = 0; ft_data__formats[i] && !rd->format; i++)
        if (ft_data__formats[i]->matches && ft_data__formats[i]->matches(row))
            rd->format = ft_data__formats[i];
    return rd->format ? FT_OK : unknown_row(rd, row);
}

ft_status ft_data__row(ft_data__reader *rd, const json_t *row)
{
    char keys[256];
    if (!json_is_object(row))
        return ft_data__fail(rd, FT_EINPUT, "found %s, expected a map of keys", type_name(row));
    if (!rd->format)
        FT_RETURN(choose_format(rd, row));
    if (rd->format->matches && !rd->format->matches(row)) {
        list_keys(row, keys, sizeof keys);
        return ft_data__fail(rd, FT_EINPUT, "its keys (%s) do not fit the format %s (%s) %s", keys, rd->format->name,
                             rd->format->keys, rd->named ? "that was asked for" : "of the rows before it");
    }
    rd->n = 0;
    rd->tools = (ft_str){0};
    return rd->format->read(rd, row);
}
