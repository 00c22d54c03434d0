/* Rows of any keys through two templates: "Work order: {text}\nLabels:" and " {system}". {{ and }} are braces.
 * Numbers, true and false are written as JSON writes them, null is nothing, lists and maps are compact JSON.
 */
#include "data/data_room.h"

#include <string.h>

/* The column named at p (behind its brace), up to the closing one; its value is appended. */
static ft_status put_column(ft_data__reader *rd, const json_t *row, const char **at, ft_buf *out)
{
    const char *names[64], *key;
    char name[128];
    json_t *value;
    size_t n = 0;
    const char *end = strchr(*at, '}');
    if (!end)
        return ft_fail(FT_EINPUT, "%s: a { of the template is not closed: {%.40s", rd->source->path, *at);
    if ((size_t)(end - *at) >= sizeof name)
        return ft_fail(FT_EINPUT, "%s: a column name of the template is too long: {%.40s", rd->source->path, *at);
    memcpy(name, *at, (size_t)(end - *at));
    name[end - *at] = 0;
    *at = end + 1;
    if ((value = json_object_get(row, name)))
        return ft_data__put_value(rd, value, out);
    json_object_foreach((json_t *)row, key, value) if (n < FT_COUNT(names)) names[n++] = key;
    const char *near = ft_nearest(name, names, n);
    return ft_data__fail(rd, FT_EINPUT, "there is no column \"%s\"%s%s", name, near ? "; nearest: " : "",
                         near ? near : "");
}

static ft_status render(ft_data__reader *rd, const char *template, const json_t *row, ft_buf *out)
{
    out->n = 0;
    FT_RETURN(ft_buf_puts(out, ""));
    for (const char *p = template; *p;) {
        size_t plain = strcspn(p, "{}");
        FT_RETURN(ft_buf_put(out, p, plain));
        p += plain;
        if (!*p)
            break;
        bool doubled = p[0] == p[1];
        if (doubled)
            FT_RETURN(ft_buf_putc(out, *p));
        else if (*p == '}')
            return ft_fail(FT_EINPUT, "%s: a } of the template closes nothing (write }} for a brace): %.40s",
                           rd->source->path, p);
        p += doubled ? 2 : 1;
        if (!doubled)
            FT_RETURN(put_column(rd, row, &p, out));
    }
    return FT_OK;
}

static ft_status read(ft_data__reader *rd, const json_t *row)
{
    const ft_data_source *s = rd->source;
    if (!s->prompt_template || !s->completion_template)
        return ft_fail(FT_EINPUT, "%s: %s is missing: a template takes both", s->path,
                       s->prompt_template ? "completion_template" : "prompt_template");
    FT_RETURN(render(rd, s->prompt_template, row, &rd->text));
    FT_RETURN(ft_data__message(rd, FT_USER, (ft_str){rd->text.p, rd->text.n}, false));
    FT_RETURN(render(rd, s->completion_template, row, &rd->text));
    FT_RETURN(ft_data__message(rd, FT_ASSISTANT, (ft_str){rd->text.p, rd->text.n}, true));
    return ft_data__example(rd, FT_COMPLETION);
}

const ft_row_format ft_format_template = {
    .name = "template", .keys = "prompt_template, completion_template", .matches = NULL, .read = read};
