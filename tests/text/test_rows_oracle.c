/* Rows and chats against other implementations: Go's text/template on what Ollama is given, the tokenizer on whole
 * rendered chats, sentencepiece on real rows. That the texts are those of Jinja is shown by test_jinja. */
#include "support/support.h"

#include "file/json.h"
#include "text/chat.h"

#include <sys/wait.h>

typedef struct turn {
    const char *role, *content;
    const char *extra; /* a JSON map of more members, or NULL */
} turn;

#define USER(s)                                                                                                        \
    {                                                                                                                  \
        "user", s                                                                                                      \
    }
#define ASSISTANT(s)                                                                                                   \
    {                                                                                                                  \
        "assistant", s                                                                                                 \
    }
static const turn plain_chat[] = {USER("Why does the pump leak?"), ASSISTANT("The seal is worn.")};
static const turn long_chat[] = {{"system", "You answer briefly.\n"},
                                 USER("  spaces \n"),
                                 ASSISTANT("\n\nnew lines\n"),
                                 USER("{{ braces }} 'x' \"y\""),
                                 ASSISTANT("na\u00efve \u2603 \U0001f600"),
                                 USER("and now?")};
static const turn odd_chat[] = {
    {"system", " S "}, USER("\u00a0no break\u3000"), ASSISTANT("123 4567"), USER("\ttab"), ASSISTANT(" ok ")};
static const turn tool_chat[] = {USER("look"),    ASSISTANT("call"), {"tool", "1"},
                                 {"tool", "2\n"}, ASSISTANT("done"), USER("go on")};
/* Definitions and arguments as Ollama can repeat them (text/ollama.h): properties in the order of their names. */
static const char two_tools[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"weather\", \"description\": \"The \\\"weather\\\" in Z\u00fcrich.\\nNow.\", "
    "\"parameters\": {\"type\": \"object\", \"properties\": {\"city\": {\"type\": \"string\", \"description\": \"Its name\", "
    "\"enum\": [\"Rome\", \"Bern\"]}, \"days\": {\"type\": \"integer\"}, \"unit\": {\"type\": \"string\"}}, "
    "\"required\": [\"city\", \"days\"]}}}, {\"type\": \"function\", \"function\": {\"name\": \"now\", \"parameters\": "
    "{\"type\": \"object\", \"properties\": {}}}}]";
#define CALL(name, arguments) "{\"type\": \"function\", \"function\": {\"name\": \"" name "\", \"arguments\": " arguments "}}"
#define RAIN CALL("weather", "{\"city\": \"Z\u00fcrich \\\"x\\\"\", \"days\": 2, \"far\": 1.5, \"sure\": true, \"unit\": null}")
static const turn call_chat[] = {USER("Rain?"), {"assistant", "", "{\"tool_calls\": [" RAIN "]}"}, {"tool", "{\"rain\": true}"},
                                 ASSISTANT("It rains."), USER("Thanks")};
static const turn thinking_chat[] = {USER("One?"), ASSISTANT("<think>\nfirst\n</think>\n\n1"), USER("Two?"),
                                     {"assistant", "2", "{\"reasoning_content\": \"then\"}"}, USER("<think>me</think>")};
static const turn question[] = {{"system", "S"}, USER("What?")};

static const struct chat {
    const char *name;
    const turn *turns;
    size_t n;
    const char *tools; /* a JSON list, or NULL */
} chats[] = {{"plain", plain_chat, FT_COUNT(plain_chat)},
             {"long", long_chat, FT_COUNT(long_chat)},
             {"odd", odd_chat, FT_COUNT(odd_chat)},
             {"question", question, FT_COUNT(question)},
             {"tool", tool_chat, FT_COUNT(tool_chat)},
             {"thinking", thinking_chat, FT_COUNT(thinking_chat)},
             {"call", call_chat, FT_COUNT(call_chat), two_tools}};

static ft_role role_named(const char *name)
{
    for (ft_role r = FT_SYSTEM; r <= FT_TOOL; r++)
        if (strcmp(ft_role_name(r), name) == 0)
            return r;
    ck_abort_msg("role %s", name);
    return FT_USER;
}

static size_t messages_of(const struct chat *c, ft_message out[8])
{
    for (size_t i = 0; i < c->n; i++)
        out[i] = (ft_message){.role = role_named(c->turns[i].role),
                              .content = ft_str_of(c->turns[i].content),
                              .extra = c->turns[i].extra ? ft_str_of(c->turns[i].extra) : (ft_str){0},
                              .supervised = strcmp(c->turns[i].role, "assistant") == 0};
    return c->n;
}

/* The chat as the template renders it, whole or (ask) up to where the next answer begins. */
static void render(const ft_chat_template *t, const ft_tokenizer *tok, const struct chat *c, bool ask, ft_rendered *out)
{
    ft_message m[8];
    ft_renderer r;
    json_t *vars;
    size_t n = messages_of(c, m);
    ck_assert_ok(ft_renderer__open(&r, t, tok));
    ck_assert_ok(ft_renderer__variables(&r, m, n, c->tools ? ft_str_of(c->tools) : (ft_str){0}, &vars));
    ck_assert_ok(ft_renderer__render(&r, vars, n, ask, out));
    json_decref(vars);
    ft_renderer__close(&r);
}

static json_t *messages_json(const struct chat *c)
{
    json_t *list = json_array(), *more;
    for (size_t i = 0; i < c->n; i++) {
        json_array_append_new(list, json_pack("{s:s, s:s}", "role", c->turns[i].role, "content", c->turns[i].content));
        if (!c->turns[i].extra)
            continue;
        ck_assert_ok(ft_json_text(&more, ft_str_of(c->turns[i].extra), "extra"));
        json_object_update(json_array_get(list, i), more);
        json_decref(more);
    }
    return list;
}

/* White space at the ends of texts is trimmed by some templates and not by Ollama's: these have none. */
static const turn clean_chat[] = {{"system", "Be brief."}, USER("One?"), ASSISTANT("1"), USER("Two?")};
static const turn clean_tool_chat[] = {
    USER("look"), ASSISTANT("call"), {"tool", "1"}, {"tool", "2"}, ASSISTANT("done"), USER("go on")};
static const turn tools_last_chat[] = {USER("look"), ASSISTANT("call"), {"tool", "1"}, {"tool", "2"}};
static const turn more_chat[] = {USER("One?"), ASSISTANT("1"), USER("Two?"), ASSISTANT("2"), USER("Three?")};
static const turn one_call_chat[] = {{"system", "Be brief."}, USER("Rain?"),
                                     {"assistant", "", "{\"tool_calls\": [" RAIN "]}"}, {"tool", "yes"}, ASSISTANT("Rain."), USER("And now?")};
static const turn two_calls_chat[] = {USER("Rain?"), {"assistant", "", "{\"tool_calls\": [" RAIN ", " CALL("now", "{}") "]}"},
                                      {"tool", "no"}, {"tool", "noon"}};
static const turn text_and_call_chat[] = {USER("Rain?"), {"assistant", "Let me see.", "{\"tool_calls\": [" RAIN "]}"}, {"tool", "no"}};
static const struct chat tools_chats[] = {{"one call", one_call_chat, FT_COUNT(one_call_chat), two_tools},
                                          {"one call, no tools", one_call_chat, FT_COUNT(one_call_chat), NULL},
                                          {"tools, no call", more_chat, FT_COUNT(more_chat), two_tools},
                                          {"tools, system", question, FT_COUNT(question), two_tools},
                                          {"text and call", text_and_call_chat, FT_COUNT(text_and_call_chat), two_tools},
                                          {"two calls", two_calls_chat, FT_COUNT(two_calls_chat), two_tools}};
static const struct chat clean_chats[] = {{"clean", clean_chat, FT_COUNT(clean_chat)},
                                          {"question", question, FT_COUNT(question)},
                                          {"longer", more_chat, FT_COUNT(more_chat)},
                                          {"tool", clean_tool_chat, FT_COUNT(clean_tool_chat)},
                                          {"tool", tools_last_chat, FT_COUNT(tools_last_chat)}};

static void add_ollama_case(json_t *cases, const char *model, const char *go, const struct chat *c,
                            const char *expected)
{
    char name[128];
    json_t *tools = NULL;
    snprintf(name, sizeof name, "%s, %s chat", model, c->name);
    if (c->tools)
        ck_assert_ok(ft_json_text(&tools, ft_str_of(c->tools), "tools"));
    json_array_append_new(cases, json_pack("{s:s, s:s, s:o, s:o*, s:s}", "name", name, "template", go, "messages",
                                           messages_json(c), "tools", tools, "expected", expected));
}

/* The exit status of a Python script of tests/oracle, 77 where there is no Python. */
static int run(const char *script, const char *arguments)
{
    char command[4096];
    snprintf(command, sizeof command, "[ -x /usr/bin/python3 ] || exit 77; exec /usr/bin/python3 '%s' %s",
             ft_test_source(script), arguments);
    int status = system(command);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool suits(const ft_chat_template *t, const struct chat *c)
{
    if (c->tools)
        return strcmp(t->name, "own") == 0; /* those of the table refuse definitions */
    return strcmp(c->name, "tool") != 0 || strcmp(t->name, "llama2") != 0;
}

/* Ids of a chat are those of the rendered text as a whole, its control tokens parsed: what a runtime sends. */
START_TEST(ids_of_chats_are_those_of_the_rendered_text)
{
    static const struct {
        const char *dir, *template;
    } models[] = {{"vocab/hf/qwen2.5-0.5b-instruct", "auto"},
                  {"vocab/hf/llama-3.2-1b-instruct", "auto"},
                  {"vocab/hf/qwen3", "auto"},
                  {"vocab/hf/phi-3-mini", "auto"},
                  {"vocab/hf/minimind", "auto"},
                  {"vocab/hf/tinyllama-1.1b-chat", "auto"},
                  {"vocab/hf/llama2", "llama2"},
                  {"models/tinystories-656k", "chatml"}};
    for (size_t i = 0; i < FT_COUNT(models); i++) {
        const char *dir = ft_test_shared(models[i].dir);
        const ft_chat_template *t;
        ft_tokenizer *tok;
        if (!dir)
            FT_SKIP("../shared is absent");
        ck_assert_ok(ft_tokenizer_open(&tok, dir));
        ck_assert_ok(ft_chat_template_pick(&t, models[i].template, tok));
        for (size_t k = 0; k < FT_COUNT(chats); k++) {
            if (!suits(t, &chats[k]))
                continue;
            ft_chat_row row = {0};
            ft_encoded e = {0};
            ft_ids whole = {0};
            render(t, tok, &chats[k], false, &row.r);
            ck_assert_ok(ft_chat__encode(&e, &row, tok));
            ck_assert_ok(ft_tokenizer_encode(tok, (ft_str){row.r.text.p, row.r.text.n}, true, &whole));
            size_t bos = e.ids.n > whole.n; /* the template leaves BOS to the tokenizer */
            ck_assert_uint_eq(e.ids.n, whole.n + bos);
            ck_assert_msg(memcmp(whole.p, e.ids.p + bos, whole.n * sizeof *whole.p) == 0, "%s, %s chat: other ids",
                          models[i].dir, chats[k].name);
            ck_assert(bos == 0 || (e.ids.p[0] == ft_tokenizer_bos(tok) && e.ids.p[1] != e.ids.p[0]));
            ft_ids_free(&whole);
            ft_encoded__free(&e);
            ft_rendered__free(&row.r);
        }
        ft_tokenizer_free(tok);
    }
}
END_TEST

/* The text without the BOS that the tokenizer puts before it. */
static const char *without_bos(const ft_rendered *r, const ft_tokenizer *tok)
{
    ft_str bos = ft_tokenizer_piece(tok, ft_tokenizer_bos(tok));
    bool has = ft_tokenizer_add_bos(tok) && bos.n && r->text.n >= bos.n && memcmp(r->text.p, bos.p, bos.n) == 0;
    return r->text.p + (has ? bos.n : 0);
}

/* Takes cases. */
static void same_as_go(json_t *cases, const char *test)
{
    char command[4096];
    snprintf(command, sizeof command,
             "command -v go >/dev/null || exit 77; export GO111MODULE=off GOTOOLCHAIN=local GOCACHE=\"$PWD/go\"; "
             "exec go run '%s' cases.json",
             ft_test_source("tests/oracle/ollama_templates.go"));
    ck_assert_int_eq(chdir(ft_test_dir()), 0);
    ck_assert_ok(ft_json_write(cases, "cases.json"));
    json_decref(cases);
    int status = system(command);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        ft_test_skipped(test, "no Go (Debian: golang-go)");
    else
        ck_assert_msg(WEXITSTATUS(status) == 0, "Go renders otherwise, see above");
}

/* A tokenizer with the template text of a file of ../shared (tokenizer_config.json, or the text itself), for models whose tokenizer is not there. */
static ft_tokenizer *with_template(const char *file)
{
    ft_buf text = {0};
    ft_tokenizer *tok;
    ck_assert_int_eq(chdir(ft_test_dir()), 0);
    if (ft_ends(file, ".json")) {
        json_t *config;
        ck_assert_ok(ft_json_file(&config, ft_test_shared(file), 1 << 26));
        ck_assert_ok(ft_buf_puts(&text, json_string_value(json_object_get(config, "chat_template"))));
        json_decref(config);
    } else {
        ck_assert_ok(ft_read_file(&text, ft_test_shared(file), 1 << 20));
    }
    ck_assert_ok(ft_tokenizer_open(&tok, ft_test_source("data/base")));
    ck_assert_ok(ft_tokenizer_write_dir(tok, "model"));
    ft_tokenizer_free(tok);
    ck_assert_ok(ft_write_file("model/chat_template.jinja", text.p, text.n));
    ck_assert_ok(ft_tokenizer_open(&tok, "model"));
    ft_buf_free(&text);
    return tok;
}

/* What Ollama renders for a model is the prompt that it was trained on. */
START_TEST(ollamas_templates_render_what_jinja_does)
{
    static const struct {
        const char *model, *name;
        bool system, tools; /* it takes them */
    } all[] = {{NULL, "chatml", true, true},
               {NULL, "llama3", true, true},
               {NULL, "llama2", true, false},
               {"vocab/hf/qwen2.5-0.5b-instruct", "auto", true, true},
               {"vocab/hf/qwen3", "auto", true, true},
               {"vocab/hf/llama-3.2-1b-instruct", "auto", true, false},
               {"vocab/hf/phi-3-mini", "auto", true, false},
               {"vocab/hf/tinyllama-1.1b-chat", "auto", true, false},
               {"vocab/hf/smollm3/chat_template.jinja", "auto", true, true},
               {"vocab/llama.cpp/templates/google-gemma-2-2b-it.jinja", "auto", false, false},
               {"vocab/llama.cpp/templates/microsoft-Phi-3.5-mini-instruct.jinja", "auto", true, false},
               {"vocab/llama.cpp/templates/mistralai-Mistral-Nemo-Instruct-2407.jinja", "auto", true, false},
               {"vocab/llama.cpp/templates/meta-llama-Llama-3.1-8B-Instruct.jinja", "auto", true, false},
               {"vocab/vectors/mistral-common/chat_templates/v3.jinja", "auto", true, false},
               {"vocab/vectors/mistral-common/chat_templates/v7.jinja", "auto", true, false}};
    json_t *cases = json_array();
    for (size_t i = 0; i < FT_COUNT(all); i++) {
        const ft_chat_template *t;
        const char *dir = all[i].model ? ft_test_shared(all[i].model) : ft_test_source("data/base");
        ft_buf go = {0}, stops = {0};
        ft_tokenizer *tok;
        if (!dir)
            continue;
        if (ft_ends(dir, ".jinja"))
            tok = with_template(all[i].model);
        else
            ck_assert_ok(ft_tokenizer_open(&tok, dir));
        ck_assert_ok(ft_chat_template_pick(&t, all[i].name, tok));
        ck_assert_ok(ft_chat_template_ollama(t, tok, &go, &stops));
        for (size_t k = 0; k < FT_COUNT(clean_chats); k++) {
            const struct chat *c = &clean_chats[k];
            if ((c->turns[0].role[0] == 's' && !all[i].system) || (strcmp(c->name, "tool") == 0 && !all[i].tools))
                continue;
            ft_rendered r = {0};
            render(t, tok, c, true, &r);
            add_ollama_case(cases, all[i].model ? all[i].model : all[i].name, go.p, c, without_bos(&r, tok));
            ft_rendered__free(&r);
        }
        ck_assert_uint_gt(stops.n, 1);
        ft_buf_free(&go);
        ft_buf_free(&stops);
        ft_tokenizer_free(tok);
    }
    same_as_go(cases, "ollamas_templates_render_what_jinja_does");
}
END_TEST

static int tools_are_left_out;
static void count_notes(void *ctx, ft_note_level level, const char *text)
{
    tools_are_left_out += strstr(text, "the Modelfile is for chats without tools") != NULL;
}

/* Definitions, calls and answers of tools: what Ollama renders is what was trained on; or it is said that it cannot. */
START_TEST(ollamas_templates_write_tools_as_jinja_does)
{
    static const struct {
        const char *model;
        int chats; /* of tools_chats, that it takes; 0: its way of writing tools cannot be repeated */
    } all[] = {{"vocab/hf/qwen2.5-0.5b-instruct/tokenizer_config.json", 6},
               {"vocab/hf/qwen3/tokenizer_config.json", 6},
               {"vocab/hf/llama-3.2-1b-instruct/tokenizer_config.json", 5},
               {"vocab/llama.cpp/templates/Qwen-Qwen2.5-7B-Instruct.jinja", 6},
               {"vocab/llama.cpp/templates/meta-llama-Llama-3.1-8B-Instruct.jinja", 5},
               {"vocab/llama.cpp/templates/meta-llama-Llama-3.2-3B-Instruct.jinja", 5},
               {"vocab/llama.cpp/templates/meta-llama-Llama-3.3-70B-Instruct.jinja", 5},
               {"vocab/llama.cpp/templates/mistralai-Mistral-Nemo-Instruct-2407.jinja", 0}, /* ids of calls */
               {"vocab/hf/smollm3/chat_template.jinja", 0}}; /* definitions as Python's repr */
    json_t *cases = json_array();
    if (!ft_test_shared("vocab"))
        FT_SKIP("../shared is absent");
    for (size_t i = 0; i < FT_COUNT(all); i++) {
        const ft_chat_template *t;
        ft_buf go = {0}, stops = {0};
        ft_tokenizer *tok = with_template(all[i].model);
        tools_are_left_out = 0;
        ft_note_sink(count_notes, NULL);
        ck_assert_ok(ft_chat_template_pick(&t, "auto", tok));
        ck_assert_ok(ft_chat_template_ollama(t, tok, &go, &stops));
        ft_note_sink(NULL, NULL);
        ck_assert_msg(tools_are_left_out == !all[i].chats, "%s", all[i].model);
        ck_assert_msg((strstr(go.p, "$.Tools") != NULL) == (all[i].chats > 0), "%s", all[i].model);
        for (int k = 0; k < all[i].chats; k++) {
            ft_rendered r = {0};
            render(t, tok, &tools_chats[k], true, &r);
            add_ollama_case(cases, all[i].model, go.p, &tools_chats[k], without_bos(&r, tok));
            ft_rendered__free(&r);
        }
        ft_buf_free(&go);
        ft_buf_free(&stops);
        ft_tokenizer_free(tok);
    }
    same_as_go(cases, "ollamas_templates_write_tools_as_jinja_does");
}
END_TEST

static void check_rows(const ft_tokenizer *tok, const char *path, const char *expected)
{
    ft_dataset d = {0};
    ft_rows r;
    ft_buf text = {0}, line = {0};
    size_t at = 0;
    ck_assert_ok(ft_dataset_read(&d, &(ft_data_source){.path = path}, NULL));
    ck_assert_ok(ft_rows_build(&r, &d, tok, &(ft_rows_options){.max_tokens = 4096}));
    ck_assert_ok(ft_read_file(&text, expected, (size_t)1 << 30));
    ck_assert_uint_eq(r.n, d.n);
    for (size_t i = 0; i < r.n; i++) {
        line.n = 0;
        ck_assert_ok(ft_buf_printf(&line, "%d", r.p[i].prompt_n));
        for (int32_t k = 0; k < r.p[i].n; k++)
            ck_assert_ok(ft_buf_printf(&line, " %d", r.p[i].ids[k]));
        ck_assert_ok(ft_buf_putc(&line, '\n'));
        ck_assert_msg(text.n - at >= line.n && memcmp(text.p + at, line.p, line.n) == 0,
                      "%s row %zu: ids differ from sentencepiece's: %s", path, i + 1, line.p);
        at += line.n;
        for (int32_t k = 0; k < r.p[i].n; k++)
            ck_assert_int_eq(r.p[i].mask[k], k >= r.p[i].prompt_n);
    }
    ck_assert_uint_eq(at, text.n);
    ft_buf_free(&text);
    ft_buf_free(&line);
    ft_rows_free(&r);
    ft_dataset_free(&d);
}

START_TEST(real_rows_have_the_ids_of_sentencepiece)
{
    static const char *const files[] = {"data/excavator/valid.jsonl", "data/disease-ontology/test-def.jsonl",
                                        "data/fmc/train.jsonl", "data/mwo-extract/test.jsonl"};
    const char *model = ft_test_shared("models/calib-5m/tokenizer.model");
    ft_tokenizer *tok;
    if (!model)
        FT_SKIP("../shared/models is absent");
    ck_assert_ok(ft_tokenizer_open(&tok, ft_test_shared("models/calib-5m")));
    ck_assert_int_eq(chdir(ft_test_dir()), 0);
    for (size_t i = 0; i < FT_COUNT(files); i++) {
        const char *path = ft_test_shared(files[i]);
        char arguments[2048];
        ck_assert_ptr_nonnull(path);
        snprintf(arguments, sizeof arguments, "'%s' '%s' rows.txt", model, path);
        int status = run("tests/oracle/peer_rows.py", arguments);
        if (status == 77)
            FT_SKIP("no python3-sentencepiece");
        ck_assert_int_eq(status, 0);
        check_rows(tok, path, "rows.txt");
    }
    ft_tokenizer_free(tok);
}
END_TEST

int main(void)
{
    FT_TESTS("rows_oracle", ids_of_chats_are_those_of_the_rendered_text, ollamas_templates_render_what_jinja_does,
             ollamas_templates_write_tools_as_jinja_does, real_rows_have_the_ids_of_sentencepiece);
}
