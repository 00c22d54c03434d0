/* The Jinja interpreter: against Python's on snippets and on every chat template of the test material, its limits, its
 * errors, and what it knows of where a rendered byte came from. */
#include "support/support.h"

#include "text/jinja.h"

#include <sys/wait.h>

/* The text, or NULL when it failed (ft_error says why); marks may be NULL. */
static char *render(const char *template, const json_t *vars, ft_buf *marks)
{
    ft_jinja *t;
    ft_buf out = {0};
    ft_error_clear();
    if (ft_jinja_parse(&t, ft_str_of(template)) != FT_OK)
        return NULL;
    ft_status st = ft_jinja_render(t, vars, &out, marks);
    ft_jinja_free(t);
    if (st == FT_OK)
        return out.p;
    ft_buf_free(&out);
    return NULL;
}

static int compare(const json_t *c)
{
    const char *name = json_string_value(json_object_get(c, "name"));
    const char *expected = json_string_value(json_object_get(c, "expected"));
    char *got = render(json_string_value(json_object_get(c, "template")), json_object_get(c, "vars"), NULL);
    bool same = got && expected ? strcmp(got, expected) == 0 : !got && !expected;
    if (!same)
        printf("%s:\n  Jinja  %s\n  fettle %s\n", name, expected ? expected : "(an error)", got ? got : ft_error());
    ft_free(got);
    return !same;
}

START_TEST(texts_are_those_of_jinja)
{
    char command[4096];
    json_t *cases;
    const char *vocab = ft_test_shared("vocab");
    ck_assert_int_eq(chdir(ft_test_dir()), 0);
    snprintf(command, sizeof command,
             "[ -x /usr/bin/python3 ] || exit 77; exec /usr/bin/python3 '%s' '%s%s' cases.json",
             ft_test_source("tests/oracle/jinja_cases.py"), vocab ? vocab : "-", vocab ? "/.." : "");
    int status = system(command), wrong = 0;
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        FT_SKIP("no python3-jinja2");
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    ck_assert_ok(ft_json_file(&cases, "cases.json", (size_t)1 << 30));
    ck_assert_uint_gt(json_array_size(cases), vocab ? 2000 : 50);
    for (size_t i = 0; i < json_array_size(cases); i++)
        wrong += compare(json_array_get(cases, i));
    ck_assert_msg(wrong == 0, "%d of %zu texts are others, see above", wrong, json_array_size(cases));
    json_decref(cases);
    if (!vocab)
        FT_SKIP("../shared/vocab is absent: snippets alone");
}
END_TEST

static json_t *variables(void)
{
    json_t *vars =
        json_pack("{s:[{s:s, s:s}], s:s, s:i}", "messages", "role", "user", "content", "<a>", "bos", "<s>", "n", 3);
    ck_assert_ptr_nonnull(vars);
    return vars;
}

static void refused(const char *template, ft_status kind, const char *says)
{
    ft_jinja *t;
    ft_buf out = {0};
    json_t *vars = variables();
    ft_status st = ft_jinja_parse(&t, ft_str_of(template));
    if (st == FT_OK) {
        st = ft_jinja_render(t, vars, &out, NULL);
        ft_jinja_free(t);
    }
    ck_assert_msg(st == kind, "%s: status %d, expected %d: %s", template, st, kind, ft_error());
    ck_assert_msg(strstr(ft_error(), says) != NULL, "%s: \"%s\" lacks \"%s\"", template, ft_error(), says);
    json_decref(vars);
    ft_buf_free(&out);
}

START_TEST(what_cannot_be_run_is_named_with_its_line)
{
    refused("a\n\n{% if n %}", FT_EFORMAT, "line 3: a block is not closed by {% elif %}, at the template's end");
    refused("{{ n", FT_EFORMAT, "line 1: a {{ is not closed");
    refused("\n{# n", FT_EFORMAT, "line 2: a comment {# is not closed");
    refused("{{ n | nothing }}", FT_EUNSUPPORTED, "line 1: there is no filter \"nothing\"");
    refused("{{ n is nothing }}", FT_EUNSUPPORTED, "there is no test \"nothing\"");
    refused("\n{% include 'x' %}", FT_EUNSUPPORTED, "line 2: this statement is not run, at \"include\"");
    refused("{% for x in n recursive %}{% endfor %}", FT_EUNSUPPORTED, "recursive loops are not run");
    refused("{% endif %}", FT_EFORMAT, "an unknown statement");
    refused("{% break %}", FT_EFORMAT, "outside of a loop");
    refused("{{ (n }}", FT_EFORMAT, "line 1:");
    refused("{{ n ? 1 }}", FT_EFORMAT, "unexpected character \"?\"");
    refused("{{ 'x }}", FT_EFORMAT, "a text is not closed by its quote");
    refused("\n{{ nothing.x }}", FT_EINPUT, "line 2: \"nothing\" is undefined, \"x\" is looked for in it");
    refused("{{ nothing + 'x' }}", FT_EINPUT, "\"nothing\" is undefined and stands beside +");
    refused("{{ messages.append(1) }}", FT_EINPUT, "\"append\" is undefined and called");
    refused("{{ raise_exception('no ' + bos) }}", FT_EINPUT, "the template says: no <s>");
    refused("{% set bos.x = 1 %}", FT_EINPUT, "only members of a namespace can be set");
}
END_TEST

START_TEST(runs_are_bounded_in_steps_memory_and_depth)
{
    refused("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", FT_ENOMEM,
            "chat template line 1");
    refused("{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{% for a in range(64) %}{% set ns.s = ns.s + ns.s %}{% "
            "endfor %}",
            FT_ENOMEM, "chat template line 1");
    refused("{% set s = 'xxxxxxxxxxxxxxxx' * 99999 %}{% for a in range(99999) %}{{ 'y' in s }}{% endfor %}", FT_ENOMEM,
            "it takes more than 20000000 steps");
    refused("{% set ns = namespace(l=[]) %}{% for a in range(99999) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}",
            FT_ENOMEM, "constructs within constructs");
    refused("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", FT_ENOMEM, "constructs within constructs");
    refused("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", FT_ENOMEM, "constructs within constructs");
    refused("{{ 'x' * 99999999 }}", FT_EINPUT, "at most");
    refused("{{ 9223372036854775807 + 1 }}", FT_EINPUT, "beyond 64 bits");
    ft_buf deep = {0};
    for (int i = 0; i < 100000; i++)
        ck_assert_ok(ft_buf_puts(&deep, "{{ ("));
    refused(deep.p, FT_EFORMAT, "");
    deep.n = 0;
    ck_assert_ok(ft_buf_puts(&deep, "{{ "));
    for (int i = 0; i < 100000; i++)
        ck_assert_ok(ft_buf_puts(&deep, "(["));
    refused(deep.p, FT_EFORMAT, "");
    ft_buf_free(&deep);
}
END_TEST

/* Every byte that came from a message is known, whatever was done to it; what only passed through a comparison is not.
 */
START_TEST(bytes_of_messages_are_marked_through_every_operation)
{
    static const struct {
        const char *template, *text, *marks;
    } cases[] = {
        {"<s>{{ messages[0].content }}</s>", "<s><a></s>", "...xxx...."},
        {"{{ messages[0].role }}{{ bos }}", "user<s>", "......."},
        {"{{ ('[' + messages[0].content + ']') | upper }}", "[<A>]", ".xxx."},
        {"{{ messages[0].content.split('a')[1] ~ 'b' }}", ">b", "x."},
        {"{{ messages[0]['content'] | replace('a', 'bc') }}", "<bc>", "x..x"},
        {"{{ ('  ' ~ messages[0].content ~ ' ') | trim }}", "<a>", "xxx"},
        {"{{ {'k': messages[0].content} | tojson }}", "{\"k\": \"<a>\"}", ".......xxx.."},
        {"{{ [messages[0].content] }}", "['<a>']", "..xxx.."},
        {"{{ messages[0].content | e }}", "&lt;a&gt;", "xxxxxxxxx"},
        {"{{ messages[0].content[::-1] ~ messages | length }}", ">a<1", "xxx."},
        {"{% set x %}-{{ messages[0].content }}{% endset %}{{ x[1:] }}{{ 'a' in x }}", "<a>True", "xxx...."},
        {"{% macro m(t) %}({{ t }}){% endmacro %}{{ m(messages[0].content) }}", "(<a>)", ".xxx."},
        {"{{ '%s/%s' % (messages[0].content, bos) }}", "<a>/<s>", "xxx...."},
        {"{{ messages[0].content | list | join('-') }}", "<-a->", "x.x.x"},
    };
    json_t *vars = variables();
    for (size_t i = 0; i < FT_COUNT(cases); i++) {
        ft_buf marks = {0};
        char *text = render(cases[i].template, vars, &marks);
        ck_assert_msg(text != NULL, "%s: %s", cases[i].template, ft_error());
        ck_assert_str_eq(text, cases[i].text);
        ck_assert_uint_eq(marks.n, strlen(cases[i].marks));
        for (size_t k = 0; k < marks.n; k++)
            ck_assert_msg(marks.p[k] == (cases[i].marks[k] == 'x'), "%s: byte %zu of %s", cases[i].template, k, text);
        ft_buf_free(&marks);
        ft_free(text);
    }
    json_decref(vars);
}
END_TEST

int main(void)
{
    FT_TESTS("jinja", texts_are_those_of_jinja, what_cannot_be_run_is_named_with_its_line,
             runs_are_bounded_in_steps_memory_and_depth, bytes_of_messages_are_marked_through_every_operation);
}
