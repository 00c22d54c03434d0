/* Mutated chat templates and tokenizer files: each is run, or refused with words, within LIMIT seconds of CPU time; none
 * crashes, hangs or makes a sanitizer speak.
 *
 * Damaged bytes alone end in the first parser. So half of the edits move whole pieces about: words and numbers that the
 * readers know, and parts of other files of the kind. What a mutation is follows from its number.
 * FT_MUTATIONS: how many of either kind (tools/check --full: 20000).
 */
#include "tokenizer_files.h"

#include "text/chat.h"

#include <sys/time.h>

enum { USUAL = 300, MOST_SOURCES = 64, LIMIT = 30, MOST_BYTES = 1 << 16 };

typedef struct source {
    char *dir, *name; /* the file that takes the mutation's bytes; dir may hold others */
    ft_buf text;
} source;

typedef struct kind {
    source p[MOST_SOURCES];
    size_t n;
    const char *const *words;
    size_t n_words;
    int ran, refused;
} kind;

static int mutations(void)
{
    const char *n = getenv("FT_MUTATIONS");
    return n ? atoi(n) : USUAL;
}

static void add(kind *k, const char *dir, const char *name, const char *text, size_t n)
{
    ck_assert_uint_lt(k->n, MOST_SOURCES);
    source *s = &k->p[k->n++];
    *s = (source){.dir = ft_strdup(dir), .name = ft_strdup(name)};
    ck_assert_ok(ft_buf_put(&s->text, text, n));
}

static void add_file(kind *k, const char *path)
{
    ft_buf b = {0};
    ck_assert_ok(ft_read_file(&b, path, 1 << 24));
    if (b.n <= MOST_BYTES)
        add(k, ft_test_dir(), ft_path_base(path), b.p, b.n);
    ft_buf_free(&b);
}

static void add_folder(kind *k, const char *dir, const char *suffix)
{
    ft_names names = {0};
    ck_assert_ok(ft_list_dir(&names, dir, suffix));
    for (size_t i = 0; i < names.n; i++) {
        char *path = ft_path_join(dir, names.p[i]);
        if (!ft_is_dir(path))
            add_file(k, path);
        ft_free(path);
    }
    ft_names_free(&names);
}

static void kind_free(kind *k)
{
    for (size_t i = 0; i < k->n; i++) {
        ft_free(k->p[i].dir);
        ft_free(k->p[i].name);
        ft_buf_free(&k->p[i].text);
    }
}

/* ---- one mutation ---- */

typedef struct dice {
    uint64_t number; /* of the mutation */
    uint64_t rolled;
} dice;

/* 0 .. n - 1 */
static size_t roll(dice *d, size_t n)
{
    uint32_t r[4];
    ft_philox(17, FT_STREAM_TEST, d->number, d->rolled++, r);
    return n ? (size_t)((((uint64_t)r[0] << 32) | r[1]) % n) : 0;
}

/* A place in the text, in half of the cases at the beginning of a word. */
static size_t place(dice *d, const ft_buf *b)
{
    size_t at = roll(d, b->n + 1);
    if (roll(d, 2))
        while (at > 0 && at < b->n && (b->p[at - 1] | 32) >= 'a' && (b->p[at - 1] | 32) <= 'z')
            at--;
    return at;
}

/* n bytes at `at` give way to these. */
static void put(ft_buf *b, size_t at, size_t n, const char *p, size_t len)
{
    ft_buf out = {0};
    n = FT_MIN(n, b->n - at);
    ck_assert_ok(ft_buf_put(&out, b->p, at));
    ck_assert_ok(ft_buf_put(&out, p, len));
    ck_assert_ok(ft_buf_put(&out, b->p + at + n, b->n - at - n));
    ft_buf_free(b);
    *b = out;
}

static void edit(dice *d, const kind *k, ft_buf *b)
{
    size_t at = place(d, b), n = roll(d, 64);
    switch (roll(d, 8)) {
    case 0: /* the end is missing */
        b->n = roll(d, 4) ? b->n : at;
        break;
    case 1: /* a part is */
        put(b, at, n, "", 0);
        break;
    case 2: { /* a part stands there twice */
        char part[64];
        n = FT_MIN(n, b->n - at);
        memcpy(part, b->p + at, n);
        put(b, at, 0, part, n);
        break;
    }
    case 3:
        for (size_t i = 0; at < b->n && i <= n / 16; i++)
            b->p[(at + roll(d, 16)) % b->n] ^= (char)(1 << roll(d, 8));
        break;
    case 4: { /* a part of another file */
        const ft_buf *from = &k->p[roll(d, k->n)].text;
        size_t begin = place(d, from), len = roll(d, 400), old = roll(d, 2) ? n : 0;
        put(b, at, old, from->p + begin, FT_MIN(len, from->n - begin));
        break;
    }
    default: { /* a word, beside or in place of one */
        const char *word = k->words[roll(d, k->n_words)];
        size_t old = 0;
        while (roll(d, 2) && at + old < b->n && !strchr(" \"'{}[](),:|.", b->p[at + old]))
            old++;
        put(b, at, old, word, strlen(word));
    }
    }
}

static void limit(int seconds)
{
    const struct itimerval t = {.it_value = {.tv_sec = seconds}};
    ck_assert_int_eq(setitimer(ITIMER_PROF, &t, NULL), 0);
}

static void silent(void *ctx, ft_note_level level, const char *text)
{
    (void)ctx, (void)level, (void)text;
}

/* Mutations 0 .. of the kind, each handed to `use` as a file and as its text, of which a copy of exactly that size. */
static void run(kind *k, ft_status (*use)(const source *s, const ft_buf *text))
{
    ft_note_sink(silent, NULL);
    for (int i = 0; i < mutations(); i++) {
        dice d = {.number = (uint64_t)i};
        const source *s = &k->p[(size_t)i % k->n];
        ft_buf b = {0};
        ck_assert_ok(ft_buf_put(&b, s->text.p, s->text.n));
        for (size_t edits = 1 + roll(&d, 2) * roll(&d, 3); edits; edits--)
            edit(&d, k, &b);
        ck_assert_ok(ft_buf_put(&b, "", 0));
        ft_error_clear();
        limit(LIMIT);
        ft_status st = use(s, &b);
        limit(0);
        ck_assert_msg(st == FT_OK || *ft_error(), "mutation %d: status %d without words", i, st);
        k->ran += st == FT_OK;
        k->refused += st != FT_OK;
        ft_buf_free(&b);
    }
    ft_note_sink(NULL, NULL);
    printf("%d ran, %d were refused\n", k->ran, k->refused);
    /* neither are they all harmless nor all beyond reading */
    ck_assert_int_gt(k->ran, mutations() / 50);
    ck_assert_int_gt(k->refused, mutations() / 50);
    kind_free(k);
}

/* ---- templates ---- */

static const char *const template_words[] = {
    "{{", "}}", "{%", "%}", "{#", "#}", "{%- ", " -%}", "{% endif %}", "{% endfor %}", "{% if ", "{% else %}", "{% elif ",
    "{% for m in messages %}", "{% for a, b in tools[0].items() recursive %}", "{% set ns = namespace(x=messages) %}",
    "{% set ns.x = ns %}", "{% macro f(a, b=f) %}", "{% endmacro %}", "{{ f(1) }}", "{% call f() %}", "{% endcall %}",
    "{% filter upper %}", "{% endfilter %}", "{% raw %}", "{% endraw %}", "{% break %}", "{% continue %}", "{% generation %}",
    "{% with x = 1 %}", "loop.index0", "loop.previtem", "loop.cycle(", "messages", "message", "message.content", "tools",
    "role", "tool_calls", "add_generation_prompt", " | tojson", "|tojson(indent=4096)", " | map(attribute='role')",
    " | join(', ')", " | list", " | length", " | trim", " | upper", " | reverse", " | sort", " | unique", " | batch(0)",
    " | slice(3)", " | round(400)", " | indent(99999)", " | default(x)", " | selectattr('role', 'equalto', 'user')",
    " | groupby('role')", " | safe", " | int", " | float", "[::-1]", "[-1]", "[9223372036854775807:]", "[::0]",
    "range(100000000)", " * 99999", " ** 99", " // 0", " % 0", "9223372036854775807", "-9223372036854775808", "-1", "0",
    "1e308", "0x", "1_0", "''", "\"", "'%s%d'", " % ", " ~ ", " + ", " in ", " is defined", " is mapping", " is not string",
    " not ", " and ", "none", "(", ")", "[", "]", "{", "}", "{1: {}}", ".format(x=1)", ".split('')", ".replace('', 'aa')",
    ".items()", ".get('x')", ".startswith('<')", "strftime_now('%Y%%%Q')", "raise_exception('x')", "lipsum()", "\\u12", "\\x",
    "\xff", "\xf0\x9f", "\xe2\x80\x8b", "\r\n", "<think>", "</think>", "<|im_end|>", "a if b else c", "caller()", "varargs"};

static ft_tokenizer *tok;
static ft_dataset chats;

static const char conversations[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \" S\\n\"}, {\"role\": \"user\", \"content\": \"U\\u00e9\"}, "
    "{\"role\": \"assistant\", \"content\": \"<think>\\nt\\n</think>\\n\\nA\"}, {\"role\": \"user\", \"content\": \"\"}, "
    "{\"role\": \"assistant\", \"content\": \"B\", \"reasoning_content\": \"r\"}]}\n"
    "{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"description\": \"d\\n\\\"q\\\"\", \"parameters\": "
    "{\"type\": \"object\", \"properties\": {\"x\": {\"type\": \"array\", \"items\": {\"type\": \"number\"}}}, \"required\": "
    "[\"x\"]}}}], \"messages\": [{\"role\": \"user\", \"content\": \"U\"}, {\"role\": \"assistant\", \"content\": \"\", "
    "\"tool_calls\": [{\"id\": \"abcdefghi\", \"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": {\"x\": [1, "
    "2.5, true, null]}}}]}, {\"role\": \"tool\", \"name\": \"f\", \"tool_call_id\": \"abcdefghi\", \"content\": \"4\"}, {\"role\": "
    "\"assistant\", \"content\": \"done\"}]}\n";

/* What trains with it, and what an export asks of it. */
static ft_status use_template(const source *s, const ft_buf *text)
{
    const ft_chat_template t = {.name = "mutated", .jinja = text->p};
    ft_buf go = {0}, stops = {0};
    ft_rows rows = {0};
    (void)s;
    ft_status st = ft_chat_template_ollama(&t, tok, &go, &stops);
    ck_assert_msg(st == FT_OK || *ft_error(), "status %d without words", st);
    ft_buf_free(&go);
    ft_buf_free(&stops);
    ft_error_clear();
    st = ft_rows_build(&rows, &chats, tok,
                       &(ft_rows_options){.chat = &t, .max_tokens = 4096, .on_overlong = FT_OVERLONG_TRUNCATE});
    ft_rows_free(&rows);
    return st;
}

/* The templates in the tokenizer_config.json files of the test material. */
static void add_templates_of_models(kind *k, const char *hf)
{
    ft_names names = {0};
    ck_assert_ok(ft_list_dir(&names, hf, NULL));
    for (size_t i = 0; i < names.n; i++) {
        char *path = ft_strf("%s/%s/tokenizer_config.json", hf, names.p[i]);
        json_t *config = NULL;
        const char *text = NULL;
        if (ft_exists(path)) {
            ck_assert_ok(ft_json_file(&config, path, 1 << 26));
            text = json_string_value(json_object_get(config, "chat_template"));
        }
        if (text)
            add(k, ft_test_dir(), "chat_template.jinja", text, strlen(text));
        json_decref(config);
        ft_free(path);
    }
    ft_names_free(&names);
}

START_TEST(mutated_templates_run_or_are_refused)
{
    kind k = {.words = template_words, .n_words = FT_COUNT(template_words)};
    const char *path = ft_test_path(ft_test_dir(), "chats.jsonl");
    ck_assert_ok(ft_write_file(path, conversations, sizeof conversations - 1));
    ck_assert_ok(ft_dataset_read(&chats, &(ft_data_source){.path = path}, NULL));
    ck_assert_ok(ft_tokenizer_open(&tok, ft_test_source("data/base")));
    add_folder(&k, ft_test_source("tests/fuzz/seeds/jinja"), NULL);
    for (size_t i = 0; ft_chat_template_choice(i); i++) {
        const ft_chat_template *t;
        ck_assert_ok(ft_chat_template_pick(&t, ft_chat_template_choice(i), NULL));
        if (t)
            add(&k, ft_test_dir(), "chat_template.jinja", t->jinja, strlen(t->jinja));
    }
    if (ft_test_shared("vocab")) {
        add_folder(&k, ft_test_shared("vocab/llama.cpp/templates"), ".jinja");
        add_folder(&k, ft_test_shared("vocab/vectors/mistral-common/chat_templates"), ".jinja");
        add_templates_of_models(&k, ft_test_shared("vocab/hf"));
    }
    run(&k, use_template);
    ft_dataset_free(&chats);
    ft_tokenizer_free(tok);
}
END_TEST

/* ---- tokenizer files ---- */

static const char *const file_words[] = {
    "null", "true", "false", "-1", "0", "1", "7", "2147483648", "4294967296", "9223372036854775808", "-9223372036854775808",
    "1e999", "-0.0", "1e-400", "\"\"", "[]", "{}", "[[", "]]", "{\"a\": ", "\"\\ud800\"", "\"\\u0000\"", "\"\\u0120a\"", ",", ":",
    "\"", "BPE", "Unigram", "WordPiece", "WordLevel", "ByteLevel", "Sequence", "Split", "Metaspace", "Digits", "NFC", "NFKC",
    "Lowercase", "Prepend", "Replace", "Strip", "StripAccents", "Precompiled", "BertNormalizer", "TemplateProcessing", "ByteFallback",
    "Fuse", "\"type\": ", "\"vocab\": ", "\"merges\": [\"a b\", \"ab c\"], ", "\"merges\": [[\"a\", \"b\"]], ", "\"unk_id\": 99, ",
    "\"unk_token\": \"<x>\", ", "\"byte_fallback\": true, ", "\"ignore_merges\": true, ", "\"continuing_subword_prefix\": \"##\", ",
    "\"max_input_chars_per_word\": 0, ", "{\"Regex\": \"(a+)+$\"}", "{\"Regex\": \"(?<!x\"}", "{\"Regex\": \"\"}", "{\"String\": \"\"}",
    "\"behavior\": \"Isolated\", ", "\"behavior\": \"MergedWithNext\", ", "\"invert\": true, ", "\"id\": 4194303, ", "\"special\": true, ",
    "\"lstrip\": true, \"rstrip\": true, ", "\"single_word\": true, ", "\"content\": \"\", ", "\"content\": \"a\", ", "prepend_scheme",
    "\"rank\": 99999, ", "\"token_bytes\": \"YQ\", ", "\"token_bytes\": \"!\", ", "\"default_vocab_size\": -5, ", "\"pattern\": \"\\\\p{\", ",
    "##", "[UNK]", "<unk>", "<s>", "\xe2\x96\x81", "\xff", "\r\n", "\n", "\x0a", "\x12\x02\x18\x01", "\x12\x02\x18\x02",
    "\x0a\xff\xff\xff\xff\x0f", "\x0a\x01", "\x18\x06", "\x18\x7f", "\x15\x7f\xff\xff\xff", "tokenizer.ggml.model", "tokenizer.ggml.pre",
    "tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.merges", "gpt2", "llama", "bert", "t5", "llama-bpe"};

static ft_status use_tokenizer(const source *s, const ft_buf *text)
{
    ft_tokenizer *t = NULL;
    ft_ids ids = {0};
    ft_buf out = {0};
    char *path = ft_path_join(s->dir, s->name);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text->p, 1, text->n, f), text->n);
    ck_assert_int_eq(fclose(f), 0);
    ft_status st = ft_tokenizer_open(&t, strcmp(s->name, "tokenizer_config.json") == 0 ? s->dir : path);
    for (size_t i = 0; i < FT_COUNT(hard_texts) && st == FT_OK; i++)
        st = ft_tokenizer_encode(t, ft_str_of(hard_texts[i]), i % 2 == 0, &ids);
    for (size_t i = 0; i < ids.n; i++)
        ck_assert(ids.p[i] >= 0 && ids.p[i] < ft_tokenizer_size(t));
    if (st == FT_OK)
        st = ft_tokenizer_decode(t, ids.p, ids.n, false, true, &out);
    ft_ids_free(&ids);
    ft_buf_free(&out);
    ft_tokenizer_free(t);
    ft_free(path);
    return st;
}

/* A byte-level BPE; as a folder whose tokenizer_config.json is what changes; and the GGUF of the tokenizer at path. */
static const char *trained(void)
{
    static char dir[512];
    static const char *const specials[] = {"<s>", "</s>"};
    snprintf(dir, sizeof dir, "%s", ft_test_dir());
    const char *const files[] = {ft_test_path(dir, "t.txt")};
    ck_assert_ok(ft_write_file(files[0], "low lower lowest 12 low lower", 29));
    ft_tokenizer_training spec = {.files = files, .n_files = 1, .vocab_size = 264, .specials = specials, .n_specials = 2, .bos = "<s>", .eos = "</s>"};
    ck_assert_ok(ft_tokenizer_train(&spec, dir));
    return dir;
}

static void add_config(kind *k, const char *dir)
{
    static const char config[] =
        "{\"add_bos_token\": true, \"bos_token\": \"<s>\", \"eos_token\": {\"content\": \"</s>\"}, \"unk_token\": null, "
        "\"added_tokens_decoder\": {\"264\": {\"content\": \"<x>\", \"special\": true, \"lstrip\": true}, \"265\": {\"content\": "
        "\"yy\", \"special\": false, \"normalized\": true}}, \"chat_template\": \"{% for m in messages %}{{ m.content }}{% endfor %}\", "
        "\"model_max_length\": 512}";
    add(k, dir, "tokenizer_config.json", config, sizeof config - 1);
}

static void add_gguf(kind *k, const char *path)
{
    ft_tokenizer *t;
    ft_writer *w;
    const char *gguf = ft_test_path(ft_test_dir(), "vocab.gguf");
    ck_assert_ok(ft_tokenizer_open(&t, path));
    ck_assert_ok(ft_writer_open(&w, "gguf", gguf));
    ft_note_sink(silent, NULL);
    ft_status st = ft_tokenizer_write_gguf(t, w, ft_tokenizer_size(t) + 3);
    ft_note_sink(NULL, NULL);
    ft_tokenizer_free(t);
    if (st == FT_EUNSUPPORTED) { /* no name for the pattern of the small tekken.json */
        ft_writer_abort(w);
        return;
    }
    ck_assert_ok(st);
    ck_assert_ok(ft_writer_commit(w));
    add_file(k, gguf);
}

START_TEST(mutated_tokenizer_files_are_read_or_refused)
{
    kind k = {.words = file_words, .n_words = FT_COUNT(file_words)};
    const char *dir = trained();
    add_file(&k, ft_test_path(dir, "tokenizer.json"));
    add_gguf(&k, dir);
    add_config(&k, dir);
    for (size_t i = 0; i < FT_COUNT(small_tokenizers); i++) {
        const char *path = small_file(i);
        add_file(&k, path);
        add_gguf(&k, path);
    }
    if (ft_test_shared("models/stories260K/tok512.bin"))
        add_file(&k, ft_test_shared("models/stories260K/tok512.bin"));
    run(&k, use_tokenizer);
}
END_TEST

int main(void)
{
    FT_TESTS("mutations", mutated_templates_run_or_are_refused, mutated_tokenizer_files_are_read_or_refused);
}
