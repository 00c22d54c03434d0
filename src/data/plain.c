/* {"text"} is plain text to learn whole; {"text", "label"} a classification, asked as "TEXT\nLabel:". */
#include "data/data_room.h"

static bool matches_text(const json_t *row)
{
    return json_object_get(row, "text") && !json_object_get(row, "label");
}

static ft_status read_text(ft_data__reader *rd, const json_t *row)
{
    ft_str text;
    FT_RETURN(ft_data__text(rd, row, "text", &text));
    FT_RETURN(ft_data__message(rd, FT_USER, text, true));
    return ft_data__example(rd, FT_TEXT);
}

static bool matches_label(const json_t *row)
{
    return json_object_get(row, "text") && json_object_get(row, "label");
}

static ft_status read_label(ft_data__reader *rd, const json_t *row)
{
    const json_t *label = json_object_get(row, "label");
    ft_str text;
    FT_RETURN(ft_data__text(rd, row, "text", &text));
    if (!json_is_string(label) && !json_is_integer(label) && !json_is_boolean(label))
        return ft_data__fail(rd, FT_EINPUT, "\"label\" is neither a text, an integer nor true or false");
    rd->text.n = 0;
    FT_RETURN(ft_buf_put(&rd->text, text.p, text.n));
    FT_RETURN(ft_buf_puts(&rd->text, "\nLabel:"));
    FT_RETURN(ft_data__message(rd, FT_USER, (ft_str){rd->text.p, rd->text.n}, false));
    rd->text.n = 0;
    FT_RETURN(ft_buf_putc(&rd->text, ' '));
    FT_RETURN(ft_data__put_value(rd, label, &rd->text));
    /* an empty label says nothing: no space either, so that lint sees it */
    FT_RETURN(ft_data__message(rd, FT_ASSISTANT, (ft_str){rd->text.p, rd->text.n > 1 ? rd->text.n : 0}, true));
    return ft_data__example(rd, FT_COMPLETION);
}

const ft_row_format ft_format_text = {.name = "text", .keys = "text", .matches = matches_text, .read = read_text};
const ft_row_format ft_format_classification = {
    .name = "classification", .keys = "text, label", .matches = matches_label, .read = read_label};
