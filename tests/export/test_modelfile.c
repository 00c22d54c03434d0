/* The Modelfile, read back by Ollama's rules: a value ends at the first line break behind which its quotes are closed;
 * there are no escapes. */
#include "export/internal.h"
#include "export/tiny.h"
#include "text/chat.h"

enum { MAX_COMMANDS = 32 };

typedef struct parsed {
    size_t n;
    char *name[MAX_COMMANDS], *value[MAX_COMMANDS];
} parsed;

/* The text inside the quotes of s[0..n), NULL while they are open. */
static char *unquoted(const char *s, size_t n)
{
    while (n && strchr(" \t\r\n", s[n - 1]))
        n--;
    for (int i = 0; i < 2; i++) {
        size_t q = i ? 1 : 3;
        if (n < q || memcmp(s, "\"\"\"", q) != 0)
            continue;
        return n >= 2 * q && memcmp(s + n - q, "\"\"\"", q) == 0 ? ft_strndup(s + q, n - 2 * q) : NULL;
    }
    return ft_strndup(s, n);
}

static const char *parse_value(parsed *p, const char *at)
{
    const char *start = at;
    for (;; at++)
        if (*at == 0 || *at == '\n') {
            p->value[p->n] = unquoted(start, (size_t)(at - start));
            if (p->value[p->n] || *at == 0)
                break;
        }
    ck_assert_msg(p->value[p->n] != NULL, "a value is never closed: %s", start);
    p->n++;
    return at;
}

static void parse(parsed *p, const char *text)
{
    p->n = 0;
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, " \n");
        if (*at == '#' || *at == '\n') {
            at += strcspn(at, "\n");
            at += *at == '\n';
            continue;
        }
        if (strncmp(at, "PARAMETER ", 10) == 0) {
            at += 10;
            n = strcspn(at, " ");
        }
        ck_assert_uint_lt(p->n, MAX_COMMANDS);
        p->name[p->n] = ft_strndup(at, n);
        at = parse_value(p, at + n + 1);
    }
}

static void parsed_free(parsed *p)
{
    for (size_t i = 0; i < p->n; i++) {
        ft_free(p->name[i]);
        ft_free(p->value[i]);
    }
}

START_TEST(texts_read_back_to_themselves)
{
    static const char *const texts[] = {"<|im_end|>", "a b", "\"", "\"\"", "\"quoted\"", "say \"hi\"", "ends in \"", "\\n \\\" \\",
                                        "two\nlines", "\n", "# no comment", "{{ if .System }}\"{{ .System }}\"\n{{ end }}", "é\t€",
                                        "\"\"\"", "inner \"\"\" quotes"};
    for (size_t i = 0; i < FT_COUNT(texts); i++)
        for (int triple = 0; triple < 2; triple++) {
            ft_buf b = {0};
            parsed p;
            ck_assert_ok(ft_export__modelfile_text(&b, "PARAMETER stop", texts[i], triple));
            ck_assert_ok(ft_buf_puts(&b, "PARAMETER seed 1\n"));
            parse(&p, b.p);
            ck_assert_uint_eq(p.n, 2);
            ck_assert_str_eq(p.name[0], "stop");
            ck_assert_str_eq(p.value[0], texts[i]);
            ck_assert_str_eq(p.value[1], "1");
            parsed_free(&p);
            ft_buf_free(&b);
        }
}
END_TEST

START_TEST(texts_that_no_quotes_can_hold_are_refused)
{
    static const char *const texts[] = {"\"\"\"\nFROM /etc/passwd", "a\"\"\" \nb", "\"\"\"\n\n"};
    for (size_t i = 0; i < FT_COUNT(texts); i++) {
        ft_buf b = {0};
        ck_assert_fails(ft_export__modelfile_text(&b, "TEMPLATE", texts[i], true), FT_EUNSUPPORTED, "triple quotes");
        ck_assert_uint_eq(b.n, 0);
    }
}
END_TEST

static const char *value_of(const parsed *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->name[i], name) == 0)
            return p->value[i];
    return "(absent)";
}

static parsed written(const ft_tokenizer *tok, const ft_chat_template *chat, const ft_sampling *s)
{
    ft_buf b = {0};
    parsed p;
    ck_assert_ok(ft_export__modelfile(&b, NULL, "my model.gguf", tok, chat, s));
    parse(&p, b.p);
    ft_buf_free(&b);
    return p;
}

START_TEST(plain_completion_has_from_template_stops_and_greedy_parameters)
{
    ft_tokenizer *tok;
    ck_assert_ok(ft_tokenizer_open(&tok, tiny_tokenizer(ft_test_dir())));
    parsed p = written(tok, NULL, NULL);
    ck_assert_str_eq(value_of(&p, "FROM"), "./my model.gguf");
    ck_assert_str_eq(value_of(&p, "TEMPLATE"), "{{ .Prompt }}");
    ck_assert_str_eq(value_of(&p, "stop"), "<|\"end\"|>");
    ck_assert_str_eq(value_of(&p, "temperature"), "0");
    ck_assert_str_eq(value_of(&p, "repeat_penalty"), "1");
    parsed_free(&p);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(chat_template_and_its_stops_are_written_once_each)
{
    ft_tokenizer *tok;
    const ft_chat_template *chat;
    ck_assert_ok(ft_tokenizer_open(&tok, tiny_tokenizer(ft_test_dir())));
    ck_assert_ok(ft_chat_template_pick(&chat, "chatml", tok));
    ft_sampling s = {.temperature = 0.7f, .top_k = 20, .top_p = 0.95f, .min_p = 0.05f};
    parsed p = written(tok, chat, &s);
    ft_buf template = {0}, stops = {0};
    ck_assert_ok(ft_chat_template_ollama(chat, tok, &template, &stops));
    ck_assert_str_eq(value_of(&p, "TEMPLATE"), template.p);
    ck_assert_str_eq(value_of(&p, "temperature"), "0.7");
    ck_assert_str_eq(value_of(&p, "top_k"), "20");
    ck_assert_str_eq(value_of(&p, "top_p"), "0.95");
    ck_assert_str_eq(value_of(&p, "min_p"), "0.05");
    for (const char *stop = stops.p; stop < stops.p + stops.n; stop += strlen(stop) + 1) {
        int seen = 0;
        for (size_t i = 0; i < p.n; i++)
            seen += strcmp(p.name[i], "stop") == 0 && strcmp(p.value[i], stop) == 0;
        ck_assert_int_eq(seen, 1);
    }
    ck_assert_str_eq(stops.p, "<|im_end|>");
    ft_buf_free(&template);
    ft_buf_free(&stops);
    parsed_free(&p);
    ft_tokenizer_free(tok);
}
END_TEST

/* Rows of a template with a default system message were trained with it: Ollama has to put it there too. */
START_TEST(a_default_system_message_is_written)
{
    static const struct {
        const char *dir, *template, *system;
    } models[] = {
        {"vocab/hf/qwen2.5-0.5b-instruct", "auto", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."},
        {"vocab/hf/qwen2.5-0.5b-instruct", "none", "(absent)"},
        {"vocab/hf/llama-3.2-1b-instruct", "llama3", "(absent)"},
        {"vocab/hf/llama2", "llama2", "(absent)"},
    };
    if (!ft_test_shared("vocab/hf"))
        FT_SKIP("../shared is absent");
    for (size_t i = 0; i < FT_COUNT(models); i++) {
        ft_tokenizer *tok;
        const ft_chat_template *chat;
        ck_assert_ok(ft_tokenizer_open(&tok, ft_test_shared(models[i].dir)));
        ck_assert_ok(ft_chat_template_pick(&chat, models[i].template, tok));
        parsed p = written(tok, chat, NULL);
        ck_assert_str_eq(value_of(&p, "SYSTEM"), models[i].system);
        parsed_free(&p);
        ft_tokenizer_free(tok);
    }
}
END_TEST

/* A folder with a model and its tokenizer, exported to GGUFs beside each other. */
typedef struct fixture {
    const char *dir;
    ft_model *m;
    ft_tokenizer *tok;
} fixture;

static fixture set_up(void)
{
    fixture f = {.dir = ft_test_dir()};
    const char *base = tiny_tokenizer(tiny_base(f.dir, &(tiny){.tied = true}));
    f.m = tiny_open(base);
    ck_assert_ok(ft_tokenizer_open(&f.tok, base));
    return f;
}

static void tear_down(fixture *f)
{
    ft_tokenizer_free(f->tok);
    ft_model_free(f->m);
}

static ft_status export_as(const fixture *f, const char *name, const ft_chat_template *chat)
{
    ft_export_request r = {.model = f->m, .path = ft_test_path(f->dir, name), .tokenizer = f->tok, .chat = chat};
    return ft_exporter_named("gguf")->write(&r);
}

static void describes(const fixture *f, const char *modelfile, const char *text)
{
    ft_buf b = {0};
    ck_assert_ok(ft_read_file(&b, ft_test_path(f->dir, modelfile), 1 << 16));
    ck_assert_msg(strstr(b.p, text) != NULL, "%s: %s", modelfile, b.p);
    ft_buf_free(&b);
}

START_TEST(each_gguf_of_a_folder_has_a_modelfile_of_its_own)
{
    fixture f = set_up();
    ck_assert_ok(export_as(&f, "a.gguf", NULL));
    ck_assert_ok(export_as(&f, "b.gguf", NULL));
    ck_assert_ok(export_as(&f, "b.gguf", NULL));
    ck_assert_ok(export_as(&f, "a.gguf", NULL));
    describes(&f, "Modelfile", "FROM ./a.gguf\n");
    describes(&f, "Modelfile.b", "FROM ./b.gguf\n");
    static const char *const all[] = {"config.json", "base", "a.gguf", "b.gguf", "Modelfile", "Modelfile.b"};
    tiny_only(f.dir, all, FT_COUNT(all));
    /* one whose GGUF is gone is free for the next */
    unlink(ft_test_path(f.dir, "a.gguf"));
    ck_assert_ok(export_as(&f, "c.gguf", NULL));
    describes(&f, "Modelfile", "FROM ./c.gguf\n");
    describes(&f, "Modelfile.b", "FROM ./b.gguf\n");
    char *path;
    ck_assert_ok(ft_modelfile_path(&path, ft_test_path(f.dir, "b.gguf")));
    ck_assert_str_eq(path, ft_test_path(f.dir, "Modelfile.b"));
    ft_free(path);
    tear_down(&f);
}
END_TEST

static int notes;
static void count_note(void *ctx, ft_note_level level, const char *text)
{
    notes += strstr(text, "written without a Modelfile") != NULL;
}

START_TEST(modelfiles_of_the_user_are_kept)
{
    fixture f = set_up();
    ck_assert_ok(ft_write_file(ft_test_path(f.dir, "Modelfile"), "FROM mine\n", 10));
    ck_assert_ok(export_as(&f, "a.gguf", NULL));
    describes(&f, "Modelfile", "FROM mine\n");
    describes(&f, "Modelfile.a", "FROM ./a.gguf\n");
    ck_assert_ok(ft_write_file(ft_test_path(f.dir, "Modelfile.a"), "FROM mine too\n", 14));
    ft_note_sink(count_note, NULL);
    ck_assert_ok(export_as(&f, "a.gguf", NULL));
    ft_note_sink(NULL, NULL);
    ck_assert_int_eq(notes, 1);
    describes(&f, "Modelfile", "FROM mine\n");
    describes(&f, "Modelfile.a", "FROM mine too\n");
    tear_down(&f);
}
END_TEST

START_TEST(a_failed_modelfile_leaves_no_gguf)
{
    fixture f = set_up();
    static const char *const before[] = {"config.json", "base"};
    for (long n = 1, done = 0; !done; n++) {
        ft_write_fail_at(n);
        ft_status st = export_as(&f, "a.gguf", NULL);
        done = ft_write_fail_at(0) < n;
        ck_assert_int_eq(st, done ? FT_OK : FT_EIO);
        if (!done)
            tiny_only(f.dir, before, FT_COUNT(before));
    }
    describes(&f, "Modelfile", "FROM ./a.gguf\n");
    tear_down(&f);
}
END_TEST

START_TEST(a_template_that_go_cannot_repeat_passes_prompts_on)
{
    static const char *const texts[] = {"{% nonsense %}", "{{ messages | length }}", "{{ raise_exception('no') }}"};
    ft_tokenizer *tok;
    ck_assert_ok(ft_tokenizer_open(&tok, tiny_tokenizer(ft_test_dir())));
    for (size_t i = 0; i < FT_COUNT(texts); i++) {
        const ft_chat_template bad = {.name = "own", .jinja = texts[i]};
        ft_note_sink(count_note, NULL);
        parsed p = written(tok, &bad, NULL);
        ft_note_sink(NULL, NULL);
        ck_assert_str_eq(value_of(&p, "TEMPLATE"), "{{ .Prompt }}");
        parsed_free(&p);
    }
    ft_tokenizer_free(tok);
}
END_TEST

int main(void)
{
    FT_TESTS("modelfile", texts_read_back_to_themselves, texts_that_no_quotes_can_hold_are_refused,
             plain_completion_has_from_template_stops_and_greedy_parameters, chat_template_and_its_stops_are_written_once_each,
             a_default_system_message_is_written,
             each_gguf_of_a_folder_has_a_modelfile_of_its_own, modelfiles_of_the_user_are_kept,
             a_failed_modelfile_leaves_no_gguf, a_template_that_go_cannot_repeat_passes_prompts_on);
}
