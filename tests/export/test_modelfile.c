/* The Modelfile, read back by Ollama's rules: a value ends at the first line break behind which its quotes are closed;
 * there are no escapes. */
#include "export/internal.h"
#include "export/tiny.h"

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
    const char *path = ft_test_path(ft_test_dir(), "Modelfile");
    ck_assert_ok(ft_write_modelfile(path, "my model.gguf", tok, chat, s));
    ck_assert_ok(ft_read_file(&b, path, 1 << 20));
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
    ck_assert_str_eq(value_of(&p, "TEMPLATE"), ft_chat_template_ollama(chat));
    ck_assert_str_eq(value_of(&p, "temperature"), "0.7");
    ck_assert_str_eq(value_of(&p, "top_k"), "20");
    ck_assert_str_eq(value_of(&p, "top_p"), "0.95");
    ck_assert_str_eq(value_of(&p, "min_p"), "0.05");
    for (const char *const *stop = ft_chat_template_stops(chat); *stop; stop++) {
        int seen = 0;
        for (size_t i = 0; i < p.n; i++)
            seen += strcmp(p.name[i], "stop") == 0 && strcmp(p.value[i], *stop) == 0;
        ck_assert_int_eq(seen, 1);
    }
    parsed_free(&p);
    ft_tokenizer_free(tok);
}
END_TEST

static int notes;
static void count_note(void *ctx, ft_note_level level, const char *text)
{
    notes += strstr(text, "kept") != NULL;
}

START_TEST(a_modelfile_of_the_user_is_kept)
{
    ft_tokenizer *tok;
    ft_buf b = {0};
    ck_assert_ok(ft_tokenizer_open(&tok, tiny_tokenizer(ft_test_dir())));
    const char *path = ft_test_path(ft_test_dir(), "Modelfile");
    ck_assert_ok(ft_write_modelfile(path, "a.gguf", tok, NULL, NULL));
    ck_assert_ok(ft_write_modelfile(path, "b.gguf", tok, NULL, NULL));
    ck_assert_ok(ft_read_file(&b, path, 1 << 16));
    ck_assert_ptr_nonnull(strstr(b.p, "FROM ./b.gguf\n"));
    ft_buf_free(&b);
    ck_assert_ok(ft_write_file(path, "FROM mine\n", 10));
    ft_note_sink(count_note, NULL);
    ck_assert_ok(ft_write_modelfile(path, "c.gguf", tok, NULL, NULL));
    ft_note_sink(NULL, NULL);
    ck_assert_int_eq(notes, 1);
    ck_assert_ok(ft_read_file(&b, path, 1 << 16));
    ck_assert_str_eq(b.p, "FROM mine\n");
    ft_buf_free(&b);
    ft_tokenizer_free(tok);
}
END_TEST

int main(void)
{
    FT_TESTS("modelfile", texts_read_back_to_themselves, texts_that_no_quotes_can_hold_are_refused,
             plain_completion_has_from_template_stops_and_greedy_parameters, chat_template_and_its_stops_are_written_once_each,
             a_modelfile_of_the_user_is_kept);
}
