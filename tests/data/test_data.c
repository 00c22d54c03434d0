#include "support/support.h"

#include "data/data.h"

#include <zlib.h>

static char notes[4096];

static void collect(void *ctx, ft_note_level level, const char *text)
{
    size_t n = strlen(notes);
    snprintf(notes + n, sizeof notes - n, "%s\n", text);
}

static void enter(void)
{
    ck_assert_int_eq(chdir(ft_test_dir()), 0);
    notes[0] = 0;
    ft_note_sink(collect, NULL);
}

static ft_status read_as(ft_dataset *d, const char *name, const char *text, ft_data_source source, const char **format)
{
    *d = (ft_dataset){0};
    ck_assert_ok(ft_write_file(name, text, strlen(text)));
    source.path = name;
    return ft_dataset_read(d, &source, format);
}

/* Reads and expects a format, then gives the dataset. */
static ft_dataset rows_of(const char *name, const char *text, const char *expected)
{
    ft_dataset d;
    const char *format = "";
    ck_assert_ok(read_as(&d, name, text, (ft_data_source){0}, &format));
    ck_assert_str_eq(format, expected);
    return d;
}

static void refused(const char *name, const char *text, ft_status kind, const char *message)
{
    ft_dataset d;
    ck_assert_fails(read_as(&d, name, text, (ft_data_source){0}, NULL), kind, message);
    ft_dataset_free(&d);
}

/* "user:hello|assistant*:hi": roles, a star on targets, texts. */
static const char *told(const ft_example *e)
{
    static ft_buf b;
    b.n = 0;
    for (size_t i = 0; i < e->n; i++)
        ck_assert_ok(ft_buf_printf(&b, "%s%s%s:%.*s", i ? "|" : "", ft_role_name(e->messages[i].role),
                                   e->messages[i].supervised ? "*" : "", (int)e->messages[i].content.n,
                                   e->messages[i].content.p));
    return b.p;
}

START_TEST(prompt_and_completion_are_taken_as_they_are)
{
    enter();
    ft_dataset d = rows_of("a.jsonl",
                           "{\"prompt\": \"P:\", \"completion\": \" C \", \"id\": 3}\n\n"
                           "{\"completion\": \" D\\u0000\", \"prompt\": \"\"}\r\n",
                           "completion");
    char place[512];
    ck_assert_uint_eq(d.n, 2);
    ck_assert_int_eq(d.examples[0].kind, FT_COMPLETION);
    ck_assert_str_eq(told(&d.examples[0]), "user:P:|assistant*: C ");
    ck_assert_uint_eq(d.examples[1].messages[1].content.n, 3);
    ck_assert_str_eq(ft_example_place(&d, &d.examples[1], place), "a.jsonl row 3");
    ft_dataset_free(&d);
    d = rows_of(
        "b.jsonl",
        "{\"prompt\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"old\"}], "
        "\"completion\": [{\"role\": \"assistant\", \"content\": \"a\"}]}",
        "completion");
    ck_assert_int_eq(d.examples[0].kind, FT_CHAT);
    ck_assert_str_eq(told(&d.examples[0]), "user:q|assistant:old|assistant*:a");
    ft_dataset_free(&d);
}
END_TEST

START_TEST(openai_chats)
{
    enter();
    ft_dataset d = rows_of(
        "a.jsonl",
        "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": "
        "[{\"type\": \"text\", \"text\": \"u\"}, {\"type\": \"text\", \"text\": \"v\"}]}, {\"role\": \"assistant\", "
        "\"content\": \"a\", \"train\": false}, {\"role\": \"tool\", \"content\": \"t\"}, {\"role\": \"assistant\", "
        "\"content\": \"b\", \"weight\": 1, \"tool_calls\": []}]}\n",
        "messages");
    ck_assert_int_eq(d.examples[0].kind, FT_CHAT);
    ck_assert_str_eq(told(&d.examples[0]), "system:s|user:uv|assistant:a|tool:t|assistant*:b");
    ft_dataset_free(&d);
}
END_TEST

static const char *json_of(ft_str s)
{
    static char buf[512];
    snprintf(buf, sizeof buf, "%.*s", (int)s.n, s.p);
    return buf;
}

START_TEST(tools_and_calls_go_along_in_one_form)
{
    static const char call[] =
        "{\"tool_calls\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": {\"x\": 1}}}], "
        "\"content\": null}";
    enter();
    ft_dataset d =
        rows_of("a.jsonl",
                "{\"messages\": [{\"role\": \"user\", \"content\": \"u\", \"name\": \"me\"}, {\"role\": \"assistant\", "
                "\"tool_calls\": "
                "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": \"{\\\"x\\\": 1}\"}}]}, "
                "{\"role\": \"assistant\", "
                "\"content\": null, \"function_call\": {\"name\": \"f\", \"arguments\": {\"x\": 1}}}, {\"role\": "
                "\"assistant\", "
                "\"content\": \"a\", \"reasoning_content\": \"r\"}], \"tools\": [{\"name\": \"f\", \"n\": 1}]}\n",
                "messages");
    ck_assert_str_eq(told(&d.examples[0]), "user:u|assistant*:|assistant*:|assistant*:a");
    ck_assert_str_eq(json_of(d.examples[0].messages[0].extra), "{\"name\": \"me\"}");
    ck_assert_str_eq(json_of(d.examples[0].messages[1].extra), call);
    ck_assert_str_eq(json_of(d.examples[0].messages[2].extra), call);
    ck_assert_str_eq(json_of(d.examples[0].messages[3].extra), "{\"reasoning_content\": \"r\"}");
    ck_assert_str_eq(json_of(d.examples[0].tools),
                     "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"n\": 1}}]");
    ft_dataset_free(&d);
    d = rows_of(
        "b.jsonl",
        "{\"conversations\": [{\"from\": \"human\", \"value\": \"h\"}, {\"from\": \"function_call\", \"value\": "
        "\"{\\\"name\\\": \\\"f\\\", \\\"arguments\\\": {\\\"x\\\": 1}}\"}], \"tools\": \"[{\\\"type\\\": "
        "\\\"function\\\"}]\"}\n",
        "sharegpt");
    ck_assert_str_eq(json_of(d.examples[0].messages[1].extra), call);
    ck_assert_str_eq(json_of(d.examples[0].tools), "[{\"type\": \"function\"}]");
    ft_dataset_free(&d);
    refused("c.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"u\"}], \"tools\": [1]}", FT_EINPUT,
            "c.jsonl row 1: \"tools\" entry 1 is no map");
    refused("c.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"u\"}], \"tools\": \"f\"}", FT_EINPUT,
            "c.jsonl row 1: \"tools\" is no list of functions");
    refused("c.jsonl", "{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": 3}]}", FT_EINPUT,
            "c.jsonl row 1: message 1: its calls are no list of maps");
    refused("c.jsonl", "{\"prompt\": [{\"role\": \"user\", \"content\": \"u\"}], \"completion\": \"x\"}", FT_EINPUT,
            "\"prompt\" is a list of messages and \"completion\" is not");
}
END_TEST

START_TEST(sharegpt_and_alpaca_chats)
{
    enter();
    ft_dataset d =
        rows_of("a.json",
                "[{\"conversations\": [{\"from\": \"human\", \"value\": \"h\"}, {\"from\": \"function_call\", "
                "\"value\": \"{}\"}, {\"from\": \"observation\", \"value\": \"o\"}, {\"from\": \"gpt\", \"value\": "
                "\"g\"}], \"system\": \"s\", \"tools\": \"[]\"},\n {\"conversations\": [{\"from\": \"system\", "
                "\"value\": \"t\"}, {\"from\": \"human\", \"value\": \"h\"}]}]",
                "sharegpt");
    ck_assert_str_eq(told(&d.examples[0]), "system:s|user:h|assistant*:{}|tool:o|assistant*:g");
    ck_assert_str_eq(told(&d.examples[1]), "system:t|user:h");
    ck_assert_int_eq(d.examples[1].row, 2);
    ft_dataset_free(&d);
    d = rows_of("b.json",
                "\n  [\n {\"instruction\": \"i\", \"input\": \"x\", \"output\": \"o\", \"system\": \"s\", \"history\": "
                "[[\"q\", \"a\"]]},"
                "{\"instruction\": \"i\", \"input\": \"\", \"output\": \"o\"}]\n",
                "alpaca");
    ck_assert_str_eq(told(&d.examples[0]), "system:s|user:q|assistant*:a|user:i\nx|assistant*:o");
    ck_assert_str_eq(told(&d.examples[1]), "user:i|assistant*:o");
    ft_dataset_free(&d);
}
END_TEST

START_TEST(text_and_labels)
{
    enter();
    ft_dataset d = rows_of("a.jsonl", "{\"text\": \"t\"}\n", "text");
    ck_assert_int_eq(d.examples[0].kind, FT_TEXT);
    ck_assert_str_eq(told(&d.examples[0]), "user*:t");
    ft_dataset_free(&d);
    d = rows_of("b.csv", "text,label\nhose burst,leak\n\"a, \"\"b\"\"\nc\",4\n", "classification");
    ck_assert_int_eq(d.examples[0].kind, FT_COMPLETION);
    ck_assert_str_eq(told(&d.examples[0]), "user:hose burst\nLabel:|assistant*: leak");
    ck_assert_str_eq(told(&d.examples[1]), "user:a, \"b\"\nc\nLabel:|assistant*: 4");
    ck_assert_int_eq(d.examples[1].row, 3);
    ft_dataset_free(&d);
    d = rows_of("c.jsonl", "{\"text\": \"t\", \"label\": 7}\n{\"text\": \"t\", \"label\": \"\"}", "classification");
    ck_assert_str_eq(told(&d.examples[0]), "user:t\nLabel:|assistant*: 7");
    ck_assert_str_eq(told(&d.examples[1]), "user:t\nLabel:|assistant*:");
    ft_dataset_free(&d);
}
END_TEST

START_TEST(templates_take_columns_of_csv_tsv_and_json)
{
    enter();
    ft_dataset d;
    ft_data_source s = {.prompt_template = "W: {text} {{x}}\nL:", .completion_template = " {n}/{flag}"};
    const char *format;
    ck_assert_ok(read_as(&d, "a.tsv", "id\ttext\tn\tflag\r\n1\tone\t2\tyes\r\n", s, &format));
    ck_assert_str_eq(format, "template");
    ck_assert_str_eq(told(&d.examples[0]), "user:W: one {x}\nL:|assistant*: 2/yes");
    ft_dataset_free(&d);
    ck_assert_ok(
        read_as(&d, "b.json",
                "[{\"text\": \"t\", \"n\": 1.5, \"flag\": null}, {\"text\": [1, \"ü\"], \"n\": 0, \"flag\": true}]", s,
                &format));
    ck_assert_str_eq(told(&d.examples[0]), "user:W: t {x}\nL:|assistant*: 1.5/");
    ck_assert_str_eq(told(&d.examples[1]), "user:W: [1, \"ü\"] {x}\nL:|assistant*: 0/true");
    ft_dataset_free(&d);
    ck_assert_fails(read_as(&d, "c.csv", "txt,n,flag\na,b,c\n", s, NULL), FT_EINPUT,
                    "c.csv row 2: there is no column \"text\"; nearest: txt");
    ft_dataset_free(&d);
    s.completion_template = "{n";
    ck_assert_fails(read_as(&d, "d.csv", "text,n,flag\na,b,c\n", s, NULL), FT_EINPUT, "is not closed");
    ft_dataset_free(&d);
    s.completion_template = "n}";
    ck_assert_fails(read_as(&d, "d.csv", "text,n,flag\na,b,c\n", s, NULL), FT_EINPUT, "closes nothing");
    ft_dataset_free(&d);
    s.completion_template = NULL;
    ck_assert_fails(read_as(&d, "d.csv", "text,n,flag\na,b,c\n", s, NULL), FT_EINPUT, "completion_template is missing");
    ft_dataset_free(&d);
}
END_TEST

START_TEST(text_files_split_three_ways)
{
    enter();
    const char *text = "one\n\n  \ntwo\nthree\r\n\n\nfour";
    static const struct {
        const char *split;
        size_t n;
        const char *last;
        int64_t row;
    } cases[] = {{NULL, 4, "user*:four", 8},
                 {"line", 4, "user*:four", 8},
                 {"paragraph", 3, "user*:four", 8},
                 {"file", 1, "user*:one\n\n  \ntwo\nthree\r\n\n\nfour", 1}};
    for (size_t i = 0; i < FT_COUNT(cases); i++) {
        ft_dataset d;
        const char *format;
        ck_assert_ok(read_as(&d, "a.txt", text, (ft_data_source){.split = cases[i].split}, &format));
        ck_assert_str_eq(format, "text");
        ck_assert_uint_eq(d.n, cases[i].n);
        ck_assert_int_eq(d.examples[d.n - 1].row, cases[i].row);
        ck_assert_str_eq(told(&d.examples[d.n - 1]), cases[i].last);
        if (cases[i].split && strcmp(cases[i].split, "paragraph") == 0)
            ck_assert_str_eq(told(&d.examples[1]), "user*:two\nthree");
        ft_dataset_free(&d);
    }
}
END_TEST

START_TEST(rows_that_do_not_fit_are_named)
{
    enter();
    refused("a.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"messages\": []}\n", FT_EINPUT,
            "a.jsonl row 2: its keys (messages) do not fit the format completion (prompt, completion) of the rows "
            "before it");
    refused("a.jsonl", "{\"chosen\": 1, \"rejected\": 2}\n", FT_EINPUT,
            "a.jsonl row 1: its keys (chosen, rejected) are none of completion");
    refused("a.jsonl", "{\"prompt\": 1, \"completion\": \"b\"}\n", FT_EINPUT,
            "a.jsonl row 1: \"prompt\" is a number, expected a text");
    refused("a.jsonl",
            "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"boss\", \"content\": \"x\"}]}",
            FT_EINPUT, "a.jsonl row 1: message 2: unknown role \"boss\"");
    refused("a.jsonl", "{\"messages\": [{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{}]}]}",
            FT_EINPUT, "a.jsonl row 1: message 1: a call without a \"name\"");
    refused("a.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\"}]}]}", FT_EUNSUPPORTED,
            "\"image\"");
    refused("a.jsonl", "{\"messages\": [{\"role\": \"assistant\", \"content\": \"x\", \"weight\": 0.5}]}", FT_EINPUT,
            "\"weight\"");
    refused("a.jsonl", "{\"messages\": [1]}", FT_EINPUT, "message 1 is no map");
    refused("a.jsonl", "{\"messages\": {}}", FT_EINPUT, "is no list with messages");
    refused("a.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \n", FT_EINPUT, "a.jsonl:2");
    refused("a.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n7\n", FT_EINPUT, "a.jsonl row 2: found a number");
    refused("a.json", "[7]", FT_EINPUT, "a.json row 1: found a number, expected a map");
    refused("a.json", "[{\"text\": \"a\"}", FT_EINPUT, "a.json");
    refused("a.csv", "text,label\na,b,c\n", FT_EINPUT, "a.csv row 2: 3 fields, the header has 2 columns");
    refused("a.csv", "text,text\na,b\n", FT_EINPUT, "names the column \"text\" twice");
    refused("a.csv", "text,label\n\"a,b\n", FT_EINPUT, "a.csv");
    refused("a.csv", "text,label\n", FT_EINPUT, "a.csv: there are no rows");
    refused("a.txt", "\n \n", FT_EINPUT, "a.txt: there are no rows");
    refused("a.txt", "caf\xe9\n", FT_EINPUT, "a.txt");
    ft_dataset d;
    ck_assert_fails(read_as(&d, "a.jsonl", "{\"text\": \"x\"}", (ft_data_source){.format = "mesages"}, NULL), FT_EINPUT,
                    "nearest: messages");
    ft_dataset_free(&d);
    ck_assert_fails(read_as(&d, "a.jsonl", "{\"text\": \"x\"}", (ft_data_source){.format = "messages"}, NULL),
                    FT_EINPUT, "that was asked for");
    ft_dataset_free(&d);
    ck_assert_fails(ft_dataset_read(&d, &(ft_data_source){.path = "absent.jsonl"}, NULL), FT_EINPUT, "absent.jsonl");
    ft_dataset_free(&d);
}
END_TEST

START_TEST(unknown_names_are_told_by_their_first_character)
{
    enter();
    ft_dataset d = rows_of("rows", "\n {\"text\": \"x\"}\n", "text");
    ck_assert_uint_eq(d.n, 1);
    ck_assert_str_eq(told(&d.examples[0]), "user*:x");
    ft_dataset_free(&d);
    d = rows_of("array.data", "[\n{\"prompt\": \"x\", \"completion\": \"y\"}]", "completion");
    ft_dataset_free(&d);
    d = rows_of("words", "plain\ntext\n", "text");
    ck_assert_uint_eq(d.n, 2);
    ft_dataset_free(&d);
}
END_TEST

START_TEST(gzipped_files_and_several_sources)
{
    enter();
    const char *row = "{\"prompt\": \"a\", \"completion\": \" b\"}\n";
    gzFile z = gzopen("a.jsonl.gz", "wb");
    ck_assert_int_gt(gzwrite(z, row, (unsigned)strlen(row)), 0);
    gzclose(z);
    ck_assert_ok(ft_write_file("b.csv", "prompt,completion\nc, d\n", 23));
    ft_dataset d = {0};
    const char *format;
    char place[512];
    ck_assert_ok(ft_dataset_read(&d, &(ft_data_source){.path = "a.jsonl.gz"}, &format));
    ck_assert_ok(ft_dataset_read(&d, &(ft_data_source){.path = "b.csv"}, &format));
    ck_assert_str_eq(format, "completion");
    ck_assert_uint_eq(d.n, 2);
    ck_assert_uint_eq(d.n_files, 2);
    ck_assert_str_eq(told(&d.examples[1]), "user:c|assistant*: d");
    ck_assert_str_eq(ft_example_place(&d, &d.examples[1], place), "b.csv row 2");
    ft_dataset_free(&d);
}
END_TEST

/* Counts of the files as their SOURCE.md state them. */
START_TEST(real_datasets_have_their_rows)
{
    static const struct {
        const char *path, *format;
        size_t n;
    } files[] = {
        {"excavator/train.jsonl", "completion", 3139},
        {"excavator/valid.jsonl", "completion", 400},
        {"excavator/test.jsonl", "completion", 600},
        {"fmc/train.jsonl", "completion", 422},
        {"fmc/valid.jsonl", "completion", 68},
        {"fmc/test.jsonl", "completion", 62},
        {"mwo-extract/train.jsonl", "completion", 2403},
        {"mwo-extract/valid.jsonl", "completion", 398},
        {"mwo-extract/test.jsonl", "completion", 390},
        {"disease-ontology/train.jsonl", "completion", 5514},
        {"disease-ontology/valid.jsonl", "completion", 400},
        {"disease-ontology/test.jsonl", "completion", 600},
        {"disease-ontology/test-def.jsonl", "completion", 451},
        {"icd10cm/train.jsonl", "completion", 6342},
        {"icd10cm/valid.jsonl", "completion", 400},
        {"icd10cm/test.jsonl", "completion", 600},
        {"banking77-small20/train.jsonl", "completion", 1600},
        {"banking77-small20/valid.jsonl", "completion", 119},
        {"banking77-small20/test.jsonl", "completion", 800},
        {"chat/train.jsonl", "messages", 467},
        {"chat/valid.jsonl", "messages", 40},
        {"chat/test.jsonl", "messages", 60},
        {"chat/sharegpt-tools.jsonl", "sharegpt", 300},
        {"chat/sharegpt-plain.jsonl", "sharegpt", 147},
        {"english/mix-valid.txt.gz", "text", 0},
        {"wikitext-2/valid.txt.gz", "text", 0},
    };
    ft_note_sink(collect, NULL);
    for (size_t i = 0; i < FT_COUNT(files); i++) {
        char name[128];
        snprintf(name, sizeof name, "data/%s", files[i].path);
        const char *path = ft_test_shared(name), *format = "";
        if (!path)
            FT_SKIP("../shared/data is absent");
        ft_dataset d = {0};
        ck_assert_ok(ft_dataset_read(&d, &(ft_data_source){.path = path}, &format));
        ck_assert_str_eq(format, files[i].format);
        if (files[i].n)
            ck_assert_msg(d.n == files[i].n, "%s: %zu rows, expected %zu", path, d.n, files[i].n);
        else
            ck_assert_uint_gt(d.n, 1000);
        ft_dataset_free(&d);
    }
}
END_TEST

START_TEST(a_real_csv_gives_its_rows_through_a_template)
{
    const char *path = ft_test_shared("data/excavator/labelled.csv"),
               *jsonl = ft_test_shared("data/excavator/train.jsonl");
    if (!path || !jsonl)
        FT_SKIP("../shared/data is absent");
    ft_dataset d = {0}, rows = {0};
    ck_assert_ok(ft_dataset_read(&d,
                                 &(ft_data_source){.path = path,
                                                   .prompt_template = "Work order: {text}\nLabels:",
                                                   .completion_template =
                                                       " {{\"system\": \"{system}\", \"action\": \"{action}\", "
                                                       "\"failure\": \"{failure}\"}}"},
                                 NULL));
    ck_assert_ok(ft_dataset_read(&rows, &(ft_data_source){.path = jsonl}, NULL));
    ck_assert_uint_ge(d.n, 3139);
    for (size_t i = 0; i < rows.n; i++) {
        char *row = ft_strdup(told(&rows.examples[i]));
        ck_assert_str_eq(row, told(&d.examples[i]));
        ft_free(row);
    }
    ft_dataset_free(&d);
    ft_dataset_free(&rows);
}
END_TEST

static ft_status open_and_close(const char *path, void *ctx)
{
    ft_dataset d = {0};
    ft_status st = ft_dataset_read(&d, &(ft_data_source){.path = path}, NULL);
    ft_dataset_free(&d);
    return st;
}

START_TEST(damaged_files_are_refused_or_read)
{
    enter();
    static const struct {
        const char *name, *text;
    } files[] = {
        {"a.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"h\\u00e9\"}, {\"role\": \"assistant\", "
                    "\"content\": \"x\"}]}\n"
                    "{\"messages\": [{\"role\": \"system\", \"content\": \"h\"}, {\"role\": \"assistant\", "
                    "\"content\": \"x\", \"train\": true}]}\n"},
        {"b.json", "[{\"instruction\": \"i\", \"input\": \"\", \"output\": \"o\", \"history\": [[\"a\", \"b\"]]}, "
                   "{\"instruction\": \"j\", \"output\": \"o\"}]\n"},
        {"c.csv", "text,label\n\"a \"\"quoted\"\" one\",x\nplain,\"two\nlines\"\n"},
        {"d.txt", "one\ntwo \xc3\xbc\n\nthree\n"},
    };
    for (size_t i = 0; i < FT_COUNT(files); i++) {
        char path[600];
        ck_assert_ptr_nonnull(getcwd(path, sizeof path - 32));
        strcat(strcat(path, "/"), files[i].name);
        ck_assert_ok(ft_write_file(path, files[i].text, strlen(files[i].text)));
        ck_assert_int_gt(ft_test_damage(path, 2000, 5 + i, open_and_close, NULL), 100);
    }
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    enter();
    const char *text = "[{\"messages\": [{\"role\": \"user\", \"content\": \"u\"}], \"tools\": [{\"name\": \"f\"}]}]";
    ck_assert_ok(ft_write_file("a.json", text, strlen(text)));
    int n = 1;
    for (;; n++) {
        ft_alloc_fail_at(n);
        ft_status st = open_and_close("a.json", NULL);
        ft_alloc_fail_at(0);
        if (st == FT_OK)
            break;
        ck_assert_msg(st == FT_ENOMEM, "allocation %d: status %d: %s", n, st, ft_error());
        ck_assert_int_lt(n, 500);
    }
    ck_assert_int_gt(n, 8);
}
END_TEST

START_TEST(pairs_and_scored_pairs_are_texts_for_vectors)
{
    enter();
    ft_dataset d = rows_of("p.jsonl",
                           "{\"anchor\": \"a\", \"positive\": \"p\", \"id\": 7}\n"
                           "{\"query\": \"a\", \"positive\": \"q\", \"negative\": \"n\", \"negative_2\": null}\n"
                           "{\"anchor\": \"b\", \"positive\": \"p\", \"negatives\": [\"m\", \"n\"]}\n",
                           "pairs");
    ck_assert_int_eq(d.examples[0].kind, FT_PAIRS);
    ck_assert_str_eq(told(&d.examples[0]), "user:a|assistant*:p");
    ck_assert_str_eq(told(&d.examples[1]), "user:a|assistant*:q|assistant*:n");
    ck_assert_str_eq(told(&d.examples[2]), "user:b|assistant*:p|assistant*:m|assistant*:n");
    ft_dataset_free(&d);
    d = rows_of("s.csv", "sentence1,sentence2,score\nx,y,0.25\nx,y,-1\nx,y,0.25\n", "scored");
    ck_assert_int_eq(d.examples[1].kind, FT_SCORED);
    ck_assert_double_eq(d.examples[0].score, 0.25);
    ck_assert_double_eq(d.examples[1].score, -1);
    ft_lint lint; /* another score is another row, and no conflict */
    ck_assert_ok(ft_dataset_lint(&d, NULL, true, &lint));
    ck_assert_int_eq(lint.duplicates, 1);
    ck_assert_int_eq(lint.conflicts, 0);
    ck_assert_uint_eq(d.n, 2);
    ft_dataset_free(&d);
    refused("a.jsonl", "{\"sentence1\": \"x\", \"sentence2\": \"y\", \"score\": \"high\"}", FT_EINPUT, "\"score\" is no number");
    refused("b.jsonl", "{\"anchor\": \"x\", \"positive\": \"y\", \"negatives\": [3]}", FT_EINPUT, "\"negatives\"");
}
END_TEST

START_TEST(a_split_keeps_an_anchors_rows_on_one_side)
{
    enter();
    ft_buf text = {0};
    for (int i = 0; i < 40; i++)
        ck_assert_ok(ft_buf_printf(&text, "{\"anchor\": \"a%d\", \"positive\": \"p%d\"}\n", i / 4, i));
    ft_dataset d = rows_of("p.jsonl", text.p, "pairs"), held = {0};
    ck_assert_ok(ft_dataset_split(&d, &held, 8, 1));
    ck_assert_uint_eq(held.n, 8);
    for (size_t i = 0; i < d.n; i++)
        for (size_t k = 0; k < held.n; k++)
            ck_assert(!ft_str_eq(d.examples[i].messages[0].content, held.examples[k].messages[0].content));
    ft_buf_free(&text);
    ft_dataset_free(&d);
    ft_dataset_free(&held);
}
END_TEST

int main(void)
{
    FT_TESTS("data", pairs_and_scored_pairs_are_texts_for_vectors, a_split_keeps_an_anchors_rows_on_one_side, prompt_and_completion_are_taken_as_they_are, openai_chats, tools_and_calls_go_along_in_one_form,
             sharegpt_and_alpaca_chats, text_and_labels, templates_take_columns_of_csv_tsv_and_json,
             text_files_split_three_ways, rows_that_do_not_fit_are_named,
             unknown_names_are_told_by_their_first_character, gzipped_files_and_several_sources,
             real_datasets_have_their_rows, a_real_csv_gives_its_rows_through_a_template,
             damaged_files_are_refused_or_read, every_allocation_may_fail);
}
