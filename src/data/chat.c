/* Chats: OpenAI messages, ShareGPT conversations, Alpaca instructions.
 *
 * What a chat template may ask for beside role and content goes along with its message as JSON: calls of functions,
 * reasoning, names; a row's tools go along with the row (tools.c). ShareGPT's function_call is an assistant turn that
 * calls, its observation a tool turn. What no text model can be given (images) is refused, never dropped.
 */
#include "data/data_room.h"

#include <string.h>

static const struct {
    const char *word;
    ft_role role;
} roles[] = {{"system", FT_SYSTEM},     {"developer", FT_SYSTEM},    {"user", FT_USER},
             {"human", FT_USER},        {"assistant", FT_ASSISTANT}, {"gpt", FT_ASSISTANT},
             {"chatgpt", FT_ASSISTANT}, {"model", FT_ASSISTANT},     {"function_call", FT_ASSISTANT},
             {"tool", FT_TOOL},         {"function", FT_TOOL},       {"observation", FT_TOOL}};

static ft_status role_of(const ft_data__reader *rd, const json_t *word, ft_role *out)
{
    const char *s = json_string_value(word);
    for (size_t i = 0; s && i < FT_COUNT(roles); i++)
        if (strcmp(s, roles[i].word) == 0) {
            *out = roles[i].role;
            return FT_OK;
        }
    return ft_data__fail(rd, FT_EINPUT, "message %zu: %s%.40s%s", rd->n + 1, s ? "unknown role \"" : "it has no role",
                         s ? s : "", s ? "\"" : "");
}

/* OpenAI's list of parts: texts are joined, others refused. */
static ft_status join_parts(ft_data__reader *rd, const json_t *parts, ft_buf *out)
{
    const json_t *part;
    size_t i;
    out->n = 0;
    FT_RETURN(ft_buf_puts(out, ""));
    json_array_foreach((json_t *)parts, i, part)
    {
        const char *type = json_string_value(json_object_get(part, "type"));
        ft_str text;
        if (!type || strcmp(type, "text") != 0)
            return ft_data__fail(rd, FT_EUNSUPPORTED, "message %zu: a part of type \"%s\", only text is supported",
                                 rd->n + 1, type ? type : "?");
        FT_RETURN(ft_data__text(rd, part, "text", &text));
        FT_RETURN(ft_buf_put(out, text.p, text.n));
    }
    return FT_OK;
}

/* members: gets the content where it is no text (none, of a turn that only calls functions). */
static ft_status content_of(ft_data__reader *rd, const json_t *message, const char *key, json_t *members, ft_str *out)
{
    const json_t *v = json_object_get(message, key);
    bool calls = json_object_get(members, "tool_calls");
    *out = (ft_str){"", 0};
    if (json_is_array(v)) {
        FT_RETURN(join_parts(rd, v, &rd->text));
        *out = (ft_str){rd->text.p, rd->text.n};
        return FT_OK;
    }
    if (calls && (!v || json_is_null(v)))
        return json_object_set_new(members, "content", json_null()) ? FT_ENOMEM : FT_OK;
    if (!json_is_string(v))
        return ft_data__fail(rd, FT_EINPUT, "message %zu: \"%s\" is missing or no text", rd->n + 1, key);
    *out = (ft_str){json_string_value(v), json_string_length(v)};
    return FT_OK;
}

/* "train": false, "training": false and "weight": 0 leave a turn unsupervised. */
static ft_status supervised_flag(const ft_data__reader *rd, const json_t *message, bool *out)
{
    static const char *const keys[] = {"train", "training", "weight"};
    for (size_t i = 0; i < FT_COUNT(keys); i++) {
        const json_t *v = json_object_get(message, keys[i]);
        if (!v)
            continue;
        double weight = json_is_boolean(v) ? json_is_true(v) : json_is_number(v) ? json_number_value(v) : -1;
        if (weight != 0 && weight != 1)
            return ft_data__fail(rd, FT_EINPUT, "message %zu: \"%s\" is neither true, false, 0 nor 1", rd->n + 1,
                                 keys[i]);
        *out = *out && weight != 0;
    }
    return FT_OK;
}

static bool says_something(const json_t *v)
{
    return v && !json_is_null(v) && !(json_is_array(v) && json_array_size(v) == 0) &&
           !(json_is_string(v) && json_string_length(v) == 0);
}

static ft_status refuse_images(const ft_data__reader *rd, const json_t *message)
{
    static const char *const keys[] = {"images", "videos", "audios"};
    for (size_t i = 0; i < FT_COUNT(keys); i++)
        if (says_something(json_object_get(message, keys[i])))
            return ft_data__fail(rd, FT_EUNSUPPORTED, "message %zu: \"%s\", only text is supported", rd->n + 1,
                                 keys[i]);
    return FT_OK;
}

/* ShareGPT's turn of a call, whose text is JSON: its calls instead. *members may be replaced. */
static ft_status calls_of_text(ft_data__reader *rd, const json_t *role, ft_str *content, json_t **members)
{
    json_t *calls = NULL;
    const char *word = json_string_value(role);
    if (!word || strcmp(word, "function_call") != 0)
        return FT_OK;
    FT_RETURN(ft_data__call_text(rd, *content, &calls));
    if (!calls)
        return FT_OK;
    json_decref(*members);
    *members = calls;
    *content = (ft_str){"", 0};
    return json_object_set_new(calls, "content", json_null()) ? FT_ENOMEM : FT_OK;
}

static ft_status read_message(ft_data__reader *rd, const json_t *m, const char *role_key, const char *content_key,
                              bool supervise)
{
    ft_str content;
    ft_role role = FT_USER;
    json_t *members = NULL;
    ft_status st = FT_OK;
    if (!json_is_object(m))
        return ft_data__fail(rd, FT_EINPUT, "message %zu is no map", rd->n + 1);
    FT_RETURN(refuse_images(rd, m));
    FT_RETURN(role_of(rd, json_object_get(m, role_key), &role));
    bool supervised = supervise && role == FT_ASSISTANT;
    FT_RETURN(supervised_flag(rd, m, &supervised));
    FT_RETURN(ft_data__members(rd, m, &members));
    FT_TRY(content_of(rd, m, content_key, members, &content));
    FT_TRY(calls_of_text(rd, json_object_get(m, role_key), &content, &members));
    FT_TRY(ft_data__message(rd, role, content, supervised));
    st = ft_data__extra(rd, members);
done:
    json_decref(members);
    return st;
}

static ft_status read_messages(ft_data__reader *rd, const json_t *list, const char *role_key, const char *content_key,
                               bool supervise)
{
    if (!json_is_array(list))
        return ft_data__fail(rd, FT_EINPUT, "expected a list of messages");
    for (size_t i = 0; i < json_array_size(list); i++)
        FT_RETURN(read_message(rd, json_array_get(list, i), role_key, content_key, supervise));
    return FT_OK;
}

ft_status ft_data__messages(ft_data__reader *rd, const json_t *list, bool supervise)
{
    return read_messages(rd, list, "role", "content", supervise);
}

/* ---- system ---- */

/* The row's "system" text as the first message. */
static ft_status read_system(ft_data__reader *rd, const json_t *row, const json_t *first, const char *role_key)
{
    const json_t *system = json_object_get(row, "system");
    const char *role = json_string_value(json_object_get(first, role_key));
    ft_str text;
    if (!says_something(system))
        return FT_OK;
    if (role && strcmp(role, "system") == 0)
        return ft_data__fail(rd, FT_EINPUT, "a \"system\" text and a system message");
    FT_RETURN(ft_data__text(rd, row, "system", &text));
    return ft_data__message(rd, FT_SYSTEM, text, false);
}

static ft_status read_chat(ft_data__reader *rd, const json_t *row, const char *key, const char *role_key,
                           const char *content_key)
{
    const json_t *list = json_object_get(row, key);
    if (!json_is_array(list) || json_array_size(list) == 0)
        return ft_data__fail(rd, FT_EINPUT, "\"%s\" is no list with messages", key);
    FT_RETURN(ft_data__tools(rd, row));
    FT_RETURN(read_system(rd, row, json_array_get(list, 0), role_key));
    FT_RETURN(read_messages(rd, list, role_key, content_key, true));
    return ft_data__example(rd, FT_CHAT);
}

static bool has_messages(const json_t *row)
{
    return json_object_get(row, "messages");
}

static ft_status read_openai(ft_data__reader *rd, const json_t *row)
{
    return read_chat(rd, row, "messages", "role", "content");
}

static bool has_conversations(const json_t *row)
{
    return json_object_get(row, "conversations");
}

static ft_status read_sharegpt(ft_data__reader *rd, const json_t *row)
{
    return read_chat(rd, row, "conversations", "from", "value");
}

/* ---- Alpaca ---- */

static bool has_instruction(const json_t *row)
{
    return json_object_get(row, "instruction") && json_object_get(row, "output");
}

/* "history": [[user, assistant] ...], turns before this one; they are supervised like it. */
static ft_status read_history(ft_data__reader *rd, const json_t *history)
{
    const json_t *pair;
    size_t i;
    if (says_something(history) && !json_is_array(history))
        return ft_data__fail(rd, FT_EINPUT, "\"history\" is no list of pairs");
    json_array_foreach((json_t *)history, i, pair)
    {
        for (size_t k = 0; k < 2; k++) {
            const json_t *text = json_array_get(pair, k);
            if (!json_is_string(text) || json_array_size(pair) != 2)
                return ft_data__fail(rd, FT_EINPUT, "\"history\" entry %zu is no pair of texts", i + 1);
            ft_str s = {json_string_value(text), json_string_length(text)};
            FT_RETURN(ft_data__message(rd, k ? FT_ASSISTANT : FT_USER, s, k));
        }
    }
    return FT_OK;
}

static ft_status read_alpaca(ft_data__reader *rd, const json_t *row)
{
    ft_str instruction, input = {0}, output;
    FT_RETURN(ft_data__tools(rd, row));
    FT_RETURN(read_system(rd, row, NULL, "role"));
    FT_RETURN(read_history(rd, json_object_get(row, "history")));
    FT_RETURN(ft_data__text(rd, row, "instruction", &instruction));
    FT_RETURN(ft_data__text(rd, row, "output", &output));
    if (says_something(json_object_get(row, "input")))
        FT_RETURN(ft_data__text(rd, row, "input", &input));
    rd->text.n = 0;
    FT_RETURN(ft_buf_put(&rd->text, instruction.p, instruction.n));
    if (input.n) {
        FT_RETURN(ft_buf_puts(&rd->text, "\n"));
        FT_RETURN(ft_buf_put(&rd->text, input.p, input.n));
    }
    FT_RETURN(ft_data__message(rd, FT_USER, (ft_str){rd->text.p, rd->text.n}, false));
    FT_RETURN(ft_data__message(rd, FT_ASSISTANT, output, true));
    return ft_data__example(rd, FT_CHAT);
}

const ft_row_format ft_format_messages = {
    .name = "messages", .keys = "messages", .matches = has_messages, .read = read_openai};
const ft_row_format ft_format_sharegpt = {
    .name = "sharegpt", .keys = "conversations", .matches = has_conversations, .read = read_sharegpt};
const ft_row_format ft_format_alpaca = {
    .name = "alpaca", .keys = "instruction, output", .matches = has_instruction, .read = read_alpaca};
