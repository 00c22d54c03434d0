/* Rows for models of vectors: {"anchor", "positive"} with any number of negatives, and {"sentence1", "sentence2", "score"}.
 * The first text of a row is its anchor; what follows is what it is compared with.
 */
#include "data/data_room.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- {"anchor", "positive"} ---- */

static const char *anchor_key(const json_t *row)
{
    return json_object_get(row, "anchor") ? "anchor" : "query";
}

static bool matches_pairs(const json_t *row)
{
    return json_object_get(row, anchor_key(row)) && json_object_get(row, "positive");
}

static ft_status put_text(ft_data__reader *rd, const json_t *row, const char *key, ft_role role)
{
    ft_str text;
    FT_RETURN(ft_data__text(rd, row, key, &text));
    return ft_data__message(rd, role, text, role == FT_ASSISTANT);
}

/* A text or a list of texts; nothing, or an empty field of a table, is none. */
static ft_status put_negatives(ft_data__reader *rd, const json_t *row, const char *key)
{
    const json_t *list = json_object_get(row, key);
    if (json_is_null(list) || (json_is_string(list) && !json_string_length(list)))
        return FT_OK;
    if (!json_is_array(list))
        return put_text(rd, row, key, FT_ASSISTANT);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_string(item))
            return ft_data__fail(rd, FT_EINPUT, "\"%s\" holds something else than texts", key);
        ft_str text = {json_string_value(item), json_string_length(item)};
        FT_RETURN(ft_data__message(rd, FT_ASSISTANT, text, true));
    }
    return FT_OK;
}

static ft_status read_pairs(ft_data__reader *rd, const json_t *row)
{
    const char *key;
    json_t *value;
    FT_RETURN(put_text(rd, row, anchor_key(row), FT_USER));
    FT_RETURN(put_text(rd, row, "positive", FT_ASSISTANT));
    json_object_foreach((json_t *)row, key, value)
        if (ft_starts(key, "negative"))
            FT_RETURN(put_negatives(rd, row, key));
    return ft_data__example(rd, FT_PAIRS);
}

/* ---- {"sentence1", "sentence2", "score"} ---- */

static bool matches_scored(const json_t *row)
{
    return json_object_get(row, "sentence1") && json_object_get(row, "sentence2") && json_object_get(row, "score");
}

/* A number, or (of a table) the text of one. */
static ft_status read_score(const ft_data__reader *rd, const json_t *row, double *out)
{
    const json_t *v = json_object_get(row, "score");
    const char *text = json_string_value(v);
    bool read = json_is_number(v) || (text && ft_parse_f64(text, out));
    if (json_is_number(v))
        *out = json_number_value(v);
    return read && isfinite(*out) ? FT_OK : ft_data__fail(rd, FT_EINPUT, "\"score\" is no number");
}

static ft_status read_scored(ft_data__reader *rd, const json_t *row)
{
    double score = 0;
    FT_RETURN(put_text(rd, row, "sentence1", FT_USER));
    FT_RETURN(put_text(rd, row, "sentence2", FT_ASSISTANT));
    FT_RETURN(read_score(rd, row, &score));
    FT_RETURN(ft_data__example(rd, FT_SCORED));
    rd->d->examples[rd->d->n - 1].score = score;
    return FT_OK;
}

const ft_row_format ft_format_pairs = {
    .name = "pairs", .keys = "anchor, positive", .matches = matches_pairs, .read = read_pairs};
const ft_row_format ft_format_scored = {
    .name = "scored", .keys = "sentence1, sentence2, score", .matches = matches_scored, .read = read_scored};
