/* {"prompt", "completion"}: two texts taken exactly as they are, or (TRL's form for chats) two lists of messages. */
#include "data/data_room.h"

static bool matches(const json_t *row)
{
    return json_object_get(row, "prompt") && json_object_get(row, "completion");
}

static ft_status read_chat(ft_data__reader *rd, const json_t *row)
{
    if (!json_is_array(json_object_get(row, "completion")))
        return ft_data__fail(rd, FT_EINPUT, "\"prompt\" is a list of messages and \"completion\" is not");
    FT_RETURN(ft_data__tools(rd, row));
    FT_RETURN(ft_data__messages(rd, json_object_get(row, "prompt"), false));
    FT_RETURN(ft_data__messages(rd, json_object_get(row, "completion"), true));
    return ft_data__example(rd, FT_CHAT);
}

static ft_status read(ft_data__reader *rd, const json_t *row)
{
    ft_str prompt, completion;
    if (json_is_array(json_object_get(row, "prompt")))
        return read_chat(rd, row);
    FT_RETURN(ft_data__text(rd, row, "prompt", &prompt));
    FT_RETURN(ft_data__text(rd, row, "completion", &completion));
    FT_RETURN(ft_data__message(rd, FT_USER, prompt, false));
    FT_RETURN(ft_data__message(rd, FT_ASSISTANT, completion, true));
    return ft_data__example(rd, FT_COMPLETION);
}

const ft_row_format ft_format_completion = {
    .name = "completion", .keys = "prompt, completion", .matches = matches, .read = read};
