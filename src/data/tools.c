/* Functions that chats name and call, in the one form that chat templates know:
 *
 *   tools       [{"type": "function", "function": {"name", "description", "parameters"}} ...]
 *   tool_calls  [{"type": "function", "id"?, "function": {"name", "arguments": {...}}} ...]
 *
 * They come in others: tools and calls without the outer map, as a JSON text, OpenAI's older function_call, arguments
 * as a JSON text (a template would write that a second time).
 */
#include "data/data_room.h"

#include <string.h>

static ft_status no_memory(void)
{
    return ft_fail(FT_ENOMEM, "no memory for the functions of a row");
}

/* The JSON of a text, NULL where it is none. */
static json_t *parsed(const char *p, size_t n)
{
    json_error_t error;
    return json_loadb(p, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
}

/* A map or a list, maybe as a text; a new reference, NULL for others. */
static json_t *structure(const json_t *v)
{
    json_t *j = json_is_string(v) ? parsed(json_string_value(v), json_string_length(v)) : json_incref((json_t *)v);
    if (json_is_object(j) || json_is_array(j))
        return j;
    json_decref(j);
    return NULL;
}

static bool says_nothing(const json_t *v)
{
    return !v || json_is_null(v) || (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0) || (json_is_string(v) && json_string_length(v) == 0);
}

/* ---- tools ---- */

/* {"type": "function", "function": f} for f without the outer map. */
static json_t *wrapped(json_t *f)
{
    if (json_object_get(f, "function") || json_object_get(f, "type"))
        return json_incref(f);
    return json_pack("{s:s, s:O}", "type", "function", "function", f);
}

static ft_status keep_tools(ft_data__reader *rd, json_t *list)
{
    json_t *all = json_array(), *item;
    ft_status st = FT_OK;
    size_t i;
    json_array_foreach(list, i, item)
    {
        if (!json_is_object(item)) {
            st = ft_data__fail(rd, FT_EINPUT, "\"tools\" entry %zu is no map", i + 1);
            break;
        }
        if (json_array_append_new(all, wrapped(item))) {
            st = no_memory();
            break;
        }
    }
    if (st == FT_OK)
        st = ft_data__keep_json(rd, all, &rd->tools);
    json_decref(all);
    return st;
}

ft_status ft_data__tools(ft_data__reader *rd, const json_t *row)
{
    const json_t *v = json_object_get(row, "tools");
    json_t *list;
    ft_status st = FT_OK;
    rd->tools = (ft_str){0};
    if (says_nothing(v))
        return FT_OK;
    list = structure(v);
    if (!json_is_array(list))
        st = ft_data__fail(rd, FT_EINPUT, "\"tools\" is no list of functions, nor the JSON text of one");
    else if (json_array_size(list))
        st = keep_tools(rd, list);
    json_decref(list);
    return st;
}

/* ---- calls ---- */

/* {"name", "arguments"} as a call. */
static ft_status put_call(const ft_data__reader *rd, json_t *list, const json_t *outer, const json_t *f)
{
    const json_t *id = json_object_get(outer, "id"), *arguments = json_object_get(f, "arguments");
    json_t *copy, *call, *map;
    if (!json_is_string(json_object_get(f, "name")))
        return ft_data__fail(rd, FT_EINPUT, "message %zu: a call without a \"name\"", rd->n + 1);
    copy = json_copy((json_t *)f);
    call = json_object();
    map = structure(arguments);
    if ((map && json_object_set(copy, "arguments", map)) ||
        json_object_set_new(call, "type", json_string("function")) ||
        (json_is_string(id) && json_object_set(call, "id", (json_t *)id)) || json_object_set(call, "function", copy) ||
        json_array_append(list, call)) {
        json_decref(map);
        json_decref(copy);
        json_decref(call);
        return no_memory();
    }
    json_decref(map);
    json_decref(copy);
    json_decref(call);
    return FT_OK;
}

static ft_status put_calls(const ft_data__reader *rd, const json_t *v, json_t *members)
{
    json_t *calls = structure(v), *list = json_array();
    ft_status st = FT_OK;
    size_t n = json_is_array(calls) ? json_array_size(calls) : 1;
    if (!calls)
        st = ft_data__fail(rd, FT_EINPUT, "message %zu: its calls are no list of maps", rd->n + 1);
    for (size_t i = 0; i < n && st == FT_OK; i++) {
        const json_t *outer = json_is_array(calls) ? json_array_get(calls, i) : calls;
        const json_t *inner = json_object_get(outer, "function");
        st = put_call(rd, list, outer, json_is_object(inner) ? inner : outer);
    }
    if (st == FT_OK && json_object_set(members, "tool_calls", list))
        st = no_memory();
    json_decref(list);
    json_decref(calls);
    return st;
}

ft_status ft_data__members(ft_data__reader *rd, const json_t *message, json_t **out)
{
    static const char *const as_they_are[] = {"name", "tool_call_id", "reasoning_content", "thinking", "reasoning"};
    static const char *const calls[] = {"tool_calls", "function_call"};
    ft_status st = FT_OK;
    if (!(*out = json_object()))
        return no_memory();
    for (size_t i = 0; i < FT_COUNT(as_they_are); i++) {
        json_t *v = json_object_get(message, as_they_are[i]);
        if (!says_nothing(v) && json_object_set(*out, as_they_are[i], v))
            FT_TRY(no_memory());
    }
    for (size_t i = 0; i < FT_COUNT(calls); i++)
        if (!says_nothing(json_object_get(message, calls[i])))
            FT_TRY(put_calls(rd, json_object_get(message, calls[i]), *out));
done:
    if (st != FT_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

ft_status ft_data__call_text(ft_data__reader *rd, ft_str text, json_t **out)
{
    json_t *calls = parsed(text.p, text.n);
    ft_status st = FT_OK;
    *out = NULL;
    if ((json_is_object(calls) && json_object_get(calls, "name")) || (json_is_array(calls) && json_array_size(calls))) {
        if (!(*out = json_object()))
            st = no_memory();
        else
            st = put_calls(rd, calls, *out);
        if (st != FT_OK) {
            json_decref(*out);
            *out = NULL;
        }
    }
    json_decref(calls);
    return st;
}
