/* Chats: OpenAI messages, ShareGPT conversations, Alpaca instructions.
 *
 * ShareGPT's function_call is an assistant turn and its observation a tool turn, as text. A row's `tools` go into the
 * system message as text (counted and noted: a model's own template may render them otherwise). What no template here
 * can render (tool_calls, reasoning_content, images) is refused, never dropped.
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

static ft_status content_of(ft_data__reader *rd, const json_t *message, const char *key, ft_str *out)
{
    const json_t *v = json_object_get(message, key);
    if (json_is_array(v)) {
        FT_RETURN(join_parts(rd, v, &rd->text));
        *out = (ft_str){rd->text.p, rd->text.n};
        return FT_OK;
    }
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

static ft_status refuse_unrendered(const ft_data__reader *rd, const json_t *message)
{
    static const char *const keys[] = {"tool_calls", "function_call", "reasoning_content", "images"};
    for (size_t i = 0; i < FT_COUNT(keys); i++)
        if (says_something(json_object_get(message, keys[i])))
            return ft_data__fail(rd, FT_EUNSUPPORTED, "message %zu: \"%s\" is rendered by no chat template here",
                                 rd->n + 1, keys[i]);
    return FT_OK;
}

static ft_status read_message(ft_data__reader *rd, const json_t *m, const char *role_key, const char *content_key,
                              bool supervise)
{
    ft_str content;
    ft_role role = FT_USER;
    if (!json_is_object(m))
        return ft_data__fail(rd, FT_EINPUT, "message %zu is no map", rd->n + 1);
    FT_RETURN(refuse_unrendered(rd, m));
    FT_RETURN(role_of(rd, json_object_get(m, role_key), &role));
    bool supervised = supervise && role == FT_ASSISTANT;
    FT_RETURN(supervised_flag(rd, m, &supervised));
    FT_RETURN(content_of(rd, m, content_key, &content));
    return ft_data__message(rd, role, content, supervised);
}

static ft_status read_messages(ft_data__reader *rd, const json_t *list, size_t first, const char *role_key,
                               const char *content_key, bool supervise)
{
    if (!json_is_array(list))
        return ft_data__fail(rd, FT_EINPUT, "expected a list of messages");
    for (size_t i = first; i < json_array_size(list); i++)
        FT_RETURN(read_message(rd, json_array_get(list, i), role_key, content_key, supervise));
    return FT_OK;
}

ft_status ft_data__messages(ft_data__reader *rd, const json_t *list, bool supervise)
{
    return read_messages(rd, list, 0, "role", "content", supervise);
}

/* ---- system and tools ---- */

static ft_status put_tools(ft_data__reader *rd, const json_t *row, ft_buf *out)
{
    const json_t *tools = json_object_get(row, "tools");
    size_t before = out->n;
    if (!says_something(tools) || (json_is_string(tools) && strcmp(json_string_value(tools), "[]") == 0))
        return FT_OK;
    FT_RETURN(ft_buf_puts(out, before ? "\n\n# Tools\n\n" : "# Tools\n\n"));
    rd->with_tools++;
    return ft_data__put_value(rd, tools, out);
}

/* The system message: the row's "system" or the first message's text, and the tools. *taken: the first was used. */
static ft_status put_system(ft_data__reader *rd, const json_t *row, const json_t *first, const char *role_key,
                            const char *content_key, bool *taken)
{
    const json_t *system = json_object_get(row, "system");
    const char *role = json_string_value(json_object_get(first, role_key));
    ft_buf text = {0};
    ft_str content;
    ft_status st = FT_OK;
    *taken = role && strcmp(role, "system") == 0;
    if (says_something(system) && *taken)
        return ft_data__fail(rd, FT_EINPUT, "a \"system\" text and a system message");
    if (says_something(system))
        FT_TRY(ft_data__put_value(rd, system, &text));
    if (*taken) {
        FT_TRY(refuse_unrendered(rd, first));
        FT_TRY(content_of(rd, first, content_key, &content));
        FT_TRY(ft_buf_put(&text, content.p, content.n));
    }
    FT_TRY(put_tools(rd, row, &text));
    if (text.n || *taken)
        FT_TRY(ft_data__message(rd, FT_SYSTEM, (ft_str){text.p, text.n}, false));
done:
    ft_buf_free(&text);
    return st;
}

static ft_status read_chat(ft_data__reader *rd, const json_t *row, const char *key, const char *role_key,
                           const char *content_key)
{
    const json_t *list = json_object_get(row, key);
    bool taken;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return ft_data__fail(rd, FT_EINPUT, "\"%s\" is no list with messages", key);
    FT_RETURN(put_system(rd, row, json_array_get(list, 0), role_key, content_key, &taken));
    FT_RETURN(read_messages(rd, list, taken, role_key, content_key, true));
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
    bool taken;
    FT_RETURN(put_system(rd, row, NULL, "", "", &taken));
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
