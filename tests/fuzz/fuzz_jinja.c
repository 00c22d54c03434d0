/* A template of any bytes over one conversation: an error with words, or a text whose every byte has a mark of 0 or 1.
 */
#include "fuzz/fuzz.h"

#include "text/jinja.h"

static const char variables[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \" S\\n\"}, {\"role\": \"user\", \"content\": \"U\\u00e9\"}, "
    "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": "
    "{\"x\": [1, 2.5, true, null]}}}]}, {\"role\": \"tool\", \"content\": \"4\"}], \"tools\": null, "
    "\"add_generation_prompt\": true, \"bos_token\": \"<s>\"}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static json_t *vars;
    ft_jinja *t;
    ft_buf out = {0}, marks = {0};
    if (!vars && ft_json_text(&vars, ft_str_of(variables), "variables") != FT_OK)
        abort();
    ft_status st = ft_jinja_parse(&t, (ft_str){(const char *)data, size});
    fuzz_failed(st);
    if (st != FT_OK)
        return 0;
    st = ft_jinja_render(t, vars, &out, &marks);
    fuzz_failed(st);
    if (st == FT_OK && out.n != marks.n)
        abort();
    for (size_t i = 0; st == FT_OK && i < marks.n; i++)
        if (marks.p[i] != 0 && marks.p[i] != 1)
            abort();
    ft_buf_free(&out);
    ft_buf_free(&marks);
    ft_jinja_free(t);
    return 0;
}
