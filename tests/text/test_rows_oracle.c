/* Rows and chats against other implementations: Jinja on the models' real templates and on those of text/templates.def,
 * the tokenizer on whole rendered chats, sentencepiece on real rows. */
#include "support/support.h"

#include "file/json.h"
#include "text/chat.h"

#include <sys/wait.h>

typedef struct turn {
    const char *role, *content;
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
static const turn question[] = {{"system", "S"}, USER("What?")};

static const struct chat {
    const char *name;
    const turn *turns;
    size_t n;
} chats[] = {{"plain", plain_chat, FT_COUNT(plain_chat)},
             {"long", long_chat, FT_COUNT(long_chat)},
             {"odd", odd_chat, FT_COUNT(odd_chat)},
             {"question", question, FT_COUNT(question)},
             {"tool", tool_chat, FT_COUNT(tool_chat)}};

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
                              .supervised = strcmp(c->turns[i].role, "assistant") == 0};
    return c->n;
}

/* The chat as the template renders it, BOS and EOS as these texts. */
static char *rendered(const ft_chat_template *t, ft_str system, const struct chat *c, bool ask, const char *bos,
                      const char *eos)
{
    ft_message m[8];
    ft_spans s = {0};
    ft_buf b = {0};
    size_t n = messages_of(c, m);
    ck_assert_ok(ft_chat__render(&s, t, system, m, n, ask));
    ck_assert_ok(ft_buf_puts(&b, t->begins_with_bos ? bos : ""));
    for (size_t i = 0; i < s.n; i++)
        ck_assert_ok(s.p[i].kind == FT_SPAN_EOS ? ft_buf_puts(&b, eos) : ft_buf_put(&b, s.p[i].text.p, s.p[i].text.n));
    ft_spans__free(&s);
    return b.p;
}

static json_t *messages_json(const struct chat *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "role", c->turns[i].role, "content", c->turns[i].content));
    return list;
}

static void add_case(json_t *cases, const char *template, const ft_chat_template *t, ft_str system,
                     const struct chat *c, const char *remove)
{
    bool ask = strcmp(c->turns[c->n - 1].role, "user") == 0;
    char *text = rendered(t, system, c, ask, "<s>", "</s>"), name[64];
    snprintf(name, sizeof name, "%s, %s chat", t->name, c->name);
    json_array_append_new(cases, json_pack("{s:s, s:s, s:s, s:s, s:o, s:b, s:s, s:s}", "name", name, "template",
                                           template, "bos", "<s>", "eos", "</s>", "messages", messages_json(c), "ask",
                                           ask, "remove", remove, "expected", text));
    ft_free(text);
}

/* White space at the ends of texts is trimmed by some templates and not by Ollama's: these have none. */
static const turn clean_chat[] = {{"system", "Be brief."}, USER("One?"), ASSISTANT("1"), USER("Two?")};
static const turn clean_tool_chat[] = {
    USER("look"), ASSISTANT("call"), {"tool", "1"}, ASSISTANT("done"), USER("go on")};
static const turn open_chat[] = {USER("One?"), ASSISTANT("Well, ")};
static const struct chat clean_chats[] = {{"clean", clean_chat, FT_COUNT(clean_chat)},
                                          {"question", question, FT_COUNT(question)},
                                          {"tool", clean_tool_chat, FT_COUNT(clean_tool_chat)}};

static void add_ollama_case(json_t *cases, const ft_chat_template *t, const struct chat *c, const char *expected)
{
    char name[64];
    snprintf(name, sizeof name, "%s, %s chat", t->name, c->name);
    json_array_append_new(cases, json_pack("{s:s, s:s, s:o, s:s}", "name", name, "template", ft_chat_template_ollama(t),
                                           "messages", messages_json(c), "expected", expected));
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

/* Takes cases; false where there is no Jinja. */
static bool same_as_jinja(json_t *cases)
{
    ck_assert_int_eq(chdir(ft_test_dir()), 0);
    ck_assert_uint_gt(json_array_size(cases), 0);
    ck_assert_ok(ft_json_write(cases, "cases.json"));
    json_decref(cases);
    int status = run("tests/oracle/chat_templates.py", "cases.json");
    ck_assert_msg(status == 0 || status == 77, "Jinja renders otherwise, see above");
    return status == 0;
}

static bool suits(const ft_chat_template *t, const struct chat *c)
{
    return strcmp(c->name, "tool") != 0 || strcmp(t->name, "llama2") != 0;
}

START_TEST(the_tables_jinja_texts_render_what_the_spans_say)
{
    json_t *cases = json_array();
    const ft_chat_template *t;
    for (size_t i = 2; ft_chat_template_choice(i); i++)
        for (size_t k = 0; k < FT_COUNT(chats); k++) {
            ck_assert_ok(ft_chat_template_pick(&t, ft_chat_template_choice(i), NULL));
            if (suits(t, &chats[k]))
                add_case(cases, ft_chat_template_jinja(t), t, (ft_str){0}, &chats[k], "");
        }
    if (!same_as_jinja(cases))
        FT_SKIP("no python3-jinja2");
}
END_TEST

START_TEST(chatml_is_qwens_template_with_its_system_message)
{
    const char *dir = ft_test_shared("vocab/hf/qwen2.5-0.5b-instruct");
    if (!dir)
        FT_SKIP("../shared/vocab is absent");
    ft_tokenizer *tok;
    ft_buf system = {0};
    const ft_chat_template *t;
    json_t *cases = json_array();
    ck_assert_ok(ft_tokenizer_open(&tok, dir));
    ck_assert_ok(ft_chat_template_pick(&t, "auto", tok));
    ck_assert_str_eq(ft_chat_template_name(t), "chatml");
    ck_assert_ok(ft_chat_template_system(t, tok, &system));
    ck_assert_str_eq(system.p, "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.");
    for (size_t k = 0; k < FT_COUNT(chats); k++)
        add_case(cases, ft_tokenizer_chat_template(tok), t, (ft_str){system.p, system.n}, &chats[k], "");
    ft_buf_free(&system);
    ft_tokenizer_free(tok);
    if (!same_as_jinja(cases))
        FT_SKIP("no python3-jinja2");
}
END_TEST

/* Llama 3.1 and 3.2 differ in the date that they put into the system message, and in tool turns. */
START_TEST(llama3_is_llama_32s_template_without_the_date)
{
    const char *dir = ft_test_shared("vocab/hf/llama-3.2-1b-instruct");
    if (!dir)
        FT_SKIP("../shared/vocab is absent");
    ft_tokenizer *tok;
    const ft_chat_template *t;
    json_t *cases = json_array();
    ck_assert_ok(ft_tokenizer_open(&tok, dir));
    ck_assert_ok(ft_chat_template_pick(&t, "auto", tok));
    ck_assert_str_eq(ft_chat_template_name(t), "llama3");
    for (size_t k = 0; k < FT_COUNT(chats); k++)
        if (strcmp(chats[k].turns[0].role, "system") == 0)
            add_case(cases, ft_tokenizer_chat_template(tok), t, (ft_str){0}, &chats[k],
                     "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n");
    ft_tokenizer_free(tok);
    if (!same_as_jinja(cases))
        FT_SKIP("no python3-jinja2");
}
END_TEST

/* Ids of spans are those of the rendered text as a whole, its control tokens parsed: what a runtime sends. */
START_TEST(ids_of_spans_are_those_of_the_rendered_text)
{
    static const struct {
        const char *dir, *template;
    } models[] = {{"vocab/hf/qwen2.5-0.5b-instruct", "chatml"},
                  {"vocab/hf/llama-3.2-1b-instruct", "llama3"},
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
        char *bos = ft_tokenizer_bos(tok) < 0 ? ft_strdup("")
                                              : ft_strndup(ft_tokenizer_piece(tok, ft_tokenizer_bos(tok)).p,
                                                           ft_tokenizer_piece(tok, ft_tokenizer_bos(tok)).n);
        ft_str eos = ft_tokenizer_piece(tok, ft_tokenizer_eos(tok));
        for (size_t k = 0; k < FT_COUNT(chats); k++) {
            if (!suits(t, &chats[k]))
                continue;
            ft_message m[8];
            ft_spans s = {0};
            ft_encoded e = {0};
            ft_ids whole = {0};
            char *end = ft_strndup(eos.p, eos.n), *text = rendered(t, (ft_str){0}, &chats[k], false, bos, end);
            ck_assert_ok(ft_chat__render(&s, t, (ft_str){0}, m, messages_of(&chats[k], m), false));
            ck_assert_ok(ft_spans__encode(&e, &s, tok, t->begins_with_bos, !t->begins_with_bos));
            ck_assert_ok(ft_tokenizer_encode(tok, ft_str_of(text), true, &whole));
            ck_assert_msg(whole.n == e.ids.n && memcmp(whole.p, e.ids.p, whole.n * sizeof *whole.p) == 0,
                          "%s, %s chat: other ids", models[i].dir, chats[k].name);
            ft_ids_free(&whole);
            ft_encoded__free(&e);
            ft_spans__free(&s);
            ft_free(end);
            ft_free(text);
        }
        ft_free(bos);
        ft_tokenizer_free(tok);
    }
}
END_TEST

START_TEST(ollamas_templates_render_what_the_spans_say)
{
    static const struct {
        const char *name, *open; /* what a chat that an assistant turn leaves open renders to */
    } all[] = {{"chatml", "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\nWell, "},
               {"llama3", "<|start_header_id|>user<|end_header_id|>\n\nOne?<|eot_id|><|start_header_id|>assistant<|end_"
                          "header_id|>\n\nWell, "},
               {"llama2", "[INST] One? [/INST] Well, "}};
    json_t *cases = json_array();
    for (size_t i = 0; i < FT_COUNT(all); i++) {
        const ft_chat_template *t;
        ck_assert_ok(ft_chat_template_pick(&t, all[i].name, NULL));
        for (size_t k = 0; k < FT_COUNT(clean_chats); k++) {
            if (!suits(t, &clean_chats[k]))
                continue;
            char *text = rendered(t, (ft_str){0}, &clean_chats[k], true, "", "</s>");
            add_ollama_case(cases, t, &clean_chats[k], text);
            ft_free(text);
        }
        add_ollama_case(cases, t, &(struct chat){"open", open_chat, FT_COUNT(open_chat)}, all[i].open);
    }
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
        FT_SKIP("no Go (Debian: golang-go)");
    ck_assert_msg(WEXITSTATUS(status) == 0, "Go renders otherwise, see above");
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
    FT_TESTS("rows_oracle", the_tables_jinja_texts_render_what_the_spans_say,
             chatml_is_qwens_template_with_its_system_message, llama3_is_llama_32s_template_without_the_date,
             ids_of_spans_are_those_of_the_rendered_text, ollamas_templates_render_what_the_spans_say,
             real_rows_have_the_ids_of_sentencepiece);
}
