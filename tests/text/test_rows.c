/* Rows against the rules of text/rows.h, with a tiny byte-level BPE trained on the spot whose one merge of interest is
 * known ("la" is a token, so a prompt that ends in "l" merges with an answer that begins with "a"). */
#include "support/support.h"

#include "base/threads.h"
#include "text/rows.h"

static char notes[4096];
static ft_tokenizer *tok;

static void collect(void *ctx, ft_note_level level, const char *text)
{
    size_t n = strlen(notes);
    snprintf(notes + n, sizeof notes - n, "%s\n", text);
}

/* A tokenizer with the control tokens of ChatML and Llama 3; chat_template may be NULL. */
static void enter(bool bos, const char *chat_template)
{
    static const char *const specials[] = {
        "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"};
    const char *const files[] = {"corpus.txt"};
    ck_assert_int_eq(chdir(ft_test_dir()), 0);
    ft_note_sink(collect, NULL);
    ck_assert_ok(ft_mkdirs("tok"));
    ck_assert_ok(ft_write_file("corpus.txt", "lalalala la la\nla la la\n", 24));
    ft_tokenizer_training spec = {.files = files,
                                  .n_files = 1,
                                  .vocab_size = 270,
                                  .specials = specials,
                                  .n_specials = FT_COUNT(specials),
                                  .bos = bos ? "<s>" : NULL,
                                  .eos = "</s>"};
    ck_assert_ok(ft_tokenizer_train(&spec, "tok"));
    if (chat_template)
        ck_assert_ok(ft_write_file("tok/chat_template.jinja", chat_template, strlen(chat_template)));
    ck_assert_ok(ft_tokenizer_open(&tok, "tok"));
    notes[0] = 0;
}

static ft_dataset dataset(const char *name, const char *text)
{
    ft_dataset d = {0};
    ck_assert_ok(ft_write_file(name, text, strlen(text)));
    ck_assert_ok(ft_dataset_read(&d, &(ft_data_source){.path = name}, NULL));
    return d;
}

static const ft_chat_template *chat(const char *name)
{
    const ft_chat_template *t;
    ck_assert_ok(ft_chat_template_pick(&t, name, tok));
    return t;
}

/* The row as text with control tokens by name, targets between [ and ]. */
static const char *shown(const ft_row *r)
{
    static ft_buf b;
    b.n = 0;
    ck_assert_ok(ft_buf_puts(&b, ""));
    for (int32_t i = 0; i < r->n;) {
        int32_t end = i;
        while (end < r->n && r->mask[end] == r->mask[i])
            end++;
        ck_assert_ok(ft_buf_puts(&b, r->mask[i] ? "[" : ""));
        ck_assert_ok(ft_tokenizer_decode(tok, r->ids + i, (size_t)(end - i), false, i == 0, &b));
        ck_assert_ok(ft_buf_puts(&b, r->mask[i] ? "]" : ""));
        i = end;
    }
    return b.p;
}

static const char *text(ft_str s)
{
    static char buf[256];
    snprintf(buf, sizeof buf, "%.*s", (int)s.n, s.p);
    return buf;
}

static const ft_rows_options plain = {.max_tokens = 1000};

START_TEST(completions_end_in_a_supervised_end_token)
{
    enter(true, NULL);
    ft_dataset d = dataset("a.jsonl", "{\"prompt\": \"Q: x\\nA:\", \"completion\": \" la </s> \"}\n");
    ft_rows r;
    ck_assert_ok(ft_rows_build(&r, &d, tok, &plain));
    ck_assert_uint_eq(r.n, 1);
    ck_assert_str_eq(shown(&r.p[0]), "<s>Q: x\nA:[ la </s> </s>]");
    ck_assert_str_eq(text(r.p[0].answer), "la </s>");
    int32_t bos = 0, eos = 0, supervised = 0;
    for (int32_t i = 0; i < r.p[0].n; i++) {
        bos += r.p[0].ids[i] == ft_tokenizer_bos(tok);
        eos += r.p[0].ids[i] == ft_tokenizer_eos(tok); /* what was written in the row is no end token */
        supervised += r.p[0].mask[i];
    }
    ck_assert_int_eq(bos, 1);
    ck_assert_int_eq(eos, 1);
    ck_assert_int_eq(r.tokens, r.p[0].n);
    ck_assert_int_eq(r.supervised, supervised);
    ck_assert_int_eq(r.p[0].n - r.p[0].prompt_n, supervised);
    ck_assert_int_eq(r.merged_border, 0);
    ck_assert_str_eq(notes, "");
    ft_ids prompt = {0};
    ck_assert_ok(ft_prompt_ids(&prompt, d.examples[0].messages, 1, tok, NULL));
    ck_assert_int_eq((int32_t)prompt.n, r.p[0].prompt_n);
    ck_assert_int_eq(memcmp(prompt.p, r.p[0].ids, prompt.n * sizeof *prompt.p), 0);
    ft_ids_free(&prompt);
    ft_rows_free(&r);
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(a_merge_across_the_border_belongs_to_the_answer)
{
    enter(true, NULL);
    ft_dataset d = dataset(
        "a.jsonl", "{\"prompt\": \"xl\", \"completion\": \"a\"}\n{\"prompt\": \"x\", \"completion\": \"la\"}\n");
    ft_rows r;
    ck_assert_ok(ft_rows_build(&r, &d, tok, &plain));
    ck_assert_str_eq(shown(&r.p[0]), "<s>x[la</s>]");
    ck_assert_int_eq(r.p[0].prompt_n, 2);
    ck_assert_int_eq(r.p[0].n, 4); /* BOS, x, la, EOS */
    ck_assert_int_eq(r.merged_border, 1);
    ck_assert_ptr_nonnull(strstr(
        notes, "1 row whose tokens merge across the end of the prompt, split before the merged token: a.jsonl row 1"));
    ft_rows_free(&r);
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(without_bos_the_first_token_is_never_a_target)
{
    enter(false, NULL);
    ft_dataset d = dataset("a.jsonl", "{\"prompt\": \"\", \"completion\": \"xy\"}\n");
    ft_rows r;
    ck_assert_ok(ft_rows_build(&r, &d, tok, &plain));
    ck_assert_str_eq(shown(&r.p[0]), "x[y</s>]");
    ck_assert_int_eq(r.p[0].prompt_n, 0);
    ft_rows_free(&r);
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(prompts_are_supervised_where_asked)
{
    enter(true, NULL);
    ft_dataset d = dataset("a.jsonl", "{\"prompt\": \"Q\", \"completion\": \" A\"}\n");
    ft_rows r;
    ck_assert_ok(ft_rows_build(&r, &d, tok, &(ft_rows_options){.max_tokens = 100, .train_on_inputs = true}));
    ck_assert_str_eq(shown(&r.p[0]), "<s>[Q A</s>]");
    ck_assert_int_eq(r.p[0].prompt_n, 2);
    ft_rows_free(&r);
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

#define LONG_ROWS                                                                                                      \
    "{\"prompt\": \"ab\", \"completion\": \"cd\"}\n"                                                                   \
    "{\"prompt\": \"ab\", \"completion\": \"cdefghijkl\"}\n"                                                           \
    "{\"prompt\": \"abcdefghijkl\", \"completion\": \"x\"}\n"

START_TEST(overlong_rows_are_refused_dropped_or_cut)
{
    enter(true, NULL);
    ft_dataset d = dataset("a.jsonl", LONG_ROWS);
    ft_rows r;
    ck_assert_fails(ft_rows_build(&r, &d, tok, &(ft_rows_options){.max_tokens = 8}), FT_EINPUT,
                    "2 rows of more than 8 tokens, the longest 15: a.jsonl row 2, a.jsonl row 3; raise sequence_len");
    ck_assert_ptr_null(r.p);
    ck_assert_ok(ft_rows_build(&r, &d, tok, &(ft_rows_options){.max_tokens = 8, .on_overlong = FT_OVERLONG_DROP}));
    ck_assert_uint_eq(r.n, 1);
    ck_assert_int_eq(r.dropped, 2);
    ck_assert_ptr_nonnull(strstr(notes, "2 rows of more than 8 tokens (the longest has 15), dropped: a.jsonl row 2"));
    ft_rows_free(&r);
    notes[0] = 0;
    ck_assert_ok(ft_rows_build(&r, &d, tok, &(ft_rows_options){.max_tokens = 8, .on_overlong = FT_OVERLONG_TRUNCATE}));
    ck_assert_uint_eq(r.n, 2);
    ck_assert_str_eq(shown(&r.p[1]), "<s>ab[cdefg]"); /* no end token is invented */
    ck_assert_str_eq(text(r.p[1].answer), "cdefghijkl");
    ck_assert_int_eq(r.p[1].example, 1);
    ck_assert_int_eq(r.truncated, 1);
    ck_assert_int_eq(r.dropped, 1);
    ck_assert_ptr_nonnull(strstr(notes, ", cut: a.jsonl row 2, a.jsonl row 3"));
    ck_assert_ptr_nonnull(strstr(notes, "1 row with no token to learn left after the cut, dropped: a.jsonl row 3"));
    ft_rows_free(&r);
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

#define CHAT                                                                                                           \
    "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": \"U\"}, "           \
    "{\"role\": \"assistant\", \"content\": \"A\"}, {\"role\": \"user\", \"content\": \"V<|im_end|>\"}, "              \
    "{\"role\": \"assistant\", \"content\": \" B \"}]}\n"

START_TEST(every_assistant_turn_is_supervised_with_its_end)
{
    static const struct {
        const char *name, *row;
        int32_t ends; /* control tokens that end a turn: none can be forged */
    } cases[] = {
        {"chatml",
         "<s><|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n[A<|im_end|>]\n"
         "<|im_start|>user\nV<|im_end|><|im_end|>\n<|im_start|>assistant\n[ B <|im_end|>]\n",
         5},
        {"llama3",
         "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU<|"
         "eot_id|>"
         "<|start_header_id|>assistant<|end_header_id|>\n\n[A<|eot_id|>]<|start_header_id|>user<|end_header_id|>\n\n"
         "V<|im_end|><|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n[B<|eot_id|>]",
         5},
        {"llama2", "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST][ A </s>][INST] V<|im_end|> [/INST][ B </s>]", 2},
    };
    enter(true, NULL);
    ft_dataset d = dataset("a.jsonl", CHAT);
    for (size_t i = 0; i < FT_COUNT(cases); i++) {
        ft_rows r;
        ck_assert_ok(ft_rows_build(&r, &d, tok, &(ft_rows_options){.max_tokens = 1000, .chat = chat(cases[i].name)}));
        ck_assert_str_eq(shown(&r.p[0]), cases[i].row);
        int32_t ends = 0;
        for (int32_t k = 0; k < r.p[0].n; k++)
            ends += r.p[0].ids[k] == 1 || r.p[0].ids[k] == 3 || r.p[0].ids[k] == 6;
        ck_assert_int_eq(ends, cases[i].ends);
        ck_assert_str_eq(text(r.p[0].answer), "B");
        ft_ids prompt = {0};
        ck_assert_ok(ft_prompt_ids(&prompt, d.examples[0].messages, 4, tok, chat(cases[i].name)));
        ck_assert_int_eq((int32_t)prompt.n, r.p[0].prompt_n);
        ck_assert_int_eq(memcmp(prompt.p, r.p[0].ids, prompt.n * sizeof *prompt.p), 0);
        ft_ids_free(&prompt);
        ft_rows_free(&r);
    }
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(a_cut_chat_keeps_an_answer_that_it_holds)
{
    enter(true, NULL);
    ft_dataset d = dataset("a.jsonl", CHAT);
    ft_rows r;
    ck_assert_ok(ft_rows_build(
        &r, &d, tok,
        &(ft_rows_options){.max_tokens = 60, .chat = chat("llama3"), .on_overlong = FT_OVERLONG_TRUNCATE}));
    ck_assert_int_eq(r.p[0].n, 60);
    ck_assert_int_lt(r.p[0].prompt_n, 60);
    ck_assert_str_eq(text(r.p[0].answer), "A");
    ft_rows_free(&r);
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(chats_need_a_template_and_something_to_learn)
{
    enter(true, NULL);
    ft_dataset d = dataset("a.jsonl", CHAT),
               silent = dataset("b.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"U\"}]}\n");
    ft_rows r;
    ck_assert_fails(ft_rows_build(&r, &d, tok, &plain), FT_EUNSUPPORTED,
                    "a.jsonl row 1: a chat, and the model brings no chat template");
    ck_assert_ptr_nonnull(strstr(ft_error(), "chatml, llama2, llama3"));
    ck_assert_fails(ft_rows_build(&r, &silent, tok, &(ft_rows_options){.max_tokens = 100, .chat = chat("chatml")}),
                    FT_EINPUT, "1 row with no token to learn: b.jsonl row 1");
    ft_dataset_free(&silent);
    silent = dataset("c.jsonl", "{\"messages\": [{\"role\": \"assistant\", \"content\": \"A\"}]}\n");
    ck_assert_fails(ft_rows_build(&r, &silent, tok, &(ft_rows_options){.max_tokens = 100, .chat = chat("llama2")}),
                    FT_EINPUT,
                    "c.jsonl row 1: chat template line 1: the template says: user and assistant must take turns");
    ft_dataset_free(&silent);
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(the_models_own_template_is_run_or_one_named)
{
    static const char *const texts[] = {"{{ '<|im_start|>' + '<|im_end|>' }}", "<|other|>"};
    const ft_chat_template *t;
    for (size_t i = 0; i < FT_COUNT(texts); i++) {
        enter(true, texts[i]);
        ck_assert_str_eq(ft_chat_template_name(chat(NULL)), "own");
        ck_assert_str_eq(ft_chat_template_jinja(chat("auto")), texts[i]);
        ck_assert_ptr_null(chat("none"));
        ck_assert_str_eq(ft_chat_template_name(chat("llama2")), "llama2");
        ck_assert_str_ne(ft_chat_template_jinja(chat("llama2")), texts[i]);
        ft_tokenizer_free(tok);
    }
    enter(true, "\n{% nonsense %}");
    ck_assert_fails(ft_chat_template_pick(&t, "chatlm", tok), FT_EUNSUPPORTED, "nearest: chatml");
    ft_dataset d = dataset("a.jsonl", CHAT), completions = dataset("b.jsonl", LONG_ROWS);
    ft_rows r;
    ft_rows_options o = {.max_tokens = 100, .chat = chat("auto")};
    ck_assert_fails(ft_rows_build(&r, &d, tok, &o), FT_EFORMAT, "chat template line 2: an unknown statement");
    ck_assert_ok(ft_rows_build(&r, &completions, tok, &o)); /* rows that are no chats need no template */
    ft_rows_free(&r);
    ft_dataset_free(&d);
    ft_dataset_free(&completions);
    ft_tokenizer_free(tok);
    size_t n = 0;
    for (; ft_chat_template_choice(n); n++)
        ck_assert_ok(ft_chat_template_pick(&t, ft_chat_template_choice(n), NULL));
    ck_assert_uint_eq(n, 5);
}
END_TEST

/* Thinking stands in the last answer only, as in Qwen3's template. */
#define THINKS                                                                                                         \
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' }}"                                                   \
    "{%- if m.role == 'assistant' and loop.last %}{{- '<think>' + (m.reasoning_content or '') + '</think>' }}"         \
    "{%- endif %}{{- m.content + '<|im_end|>\\n' }}{%- endfor %}"                                                      \
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
#define THOUGHTS                                                                                                       \
    "{\"messages\": [{\"role\": \"user\", \"content\": \"U\"}, {\"role\": \"assistant\", \"content\": \"A\", "         \
    "\"reasoning_content\": \"a\"}, {\"role\": \"user\", \"content\": \"V\"}, {\"role\": \"assistant\", \"content\": " \
    "\"B\", \"reasoning_content\": \"b\"}]}\n"

START_TEST(an_answer_that_later_turns_change_is_a_row_of_its_own)
{
    enter(false, THINKS);
    ft_dataset d = dataset("a.jsonl", THOUGHTS);
    ft_rows r;
    ft_rows_options o = {.max_tokens = 1000, .chat = chat(NULL)};
    ck_assert_ok(ft_rows_build(&r, &d, tok, &o));
    ck_assert_uint_eq(r.n, 2);
    ck_assert_str_eq(shown(&r.p[0]),
                     "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n[<think>a</think>A<|im_end|>]\n");
    ck_assert_str_eq(
        shown(&r.p[1]),
        "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n"
        "<|im_start|>assistant\n[<think>b</think>B<|im_end|>]\n");
    ck_assert_str_eq(text(r.p[1].answer), "<think>b</think>B");
    ck_assert_int_eq(r.p[0].example + r.p[1].example, 0);
    ck_assert_ptr_nonnull(strstr(notes, "1 chat became several rows"));
    ft_rows_free(&r);
    o.train_on_last = true;
    ck_assert_ok(ft_rows_build(&r, &d, tok, &o));
    ck_assert_uint_eq(r.n, 1);
    ck_assert_str_eq(text(r.p[0].answer), "<think>b</think>B");
    ft_rows_free(&r);
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(only_the_last_answer_is_learned_where_asked)
{
    enter(true, NULL);
    ft_dataset d = dataset("a.jsonl", CHAT);
    ft_rows r;
    ck_assert_ok(ft_rows_build(&r, &d, tok,
                               &(ft_rows_options){.max_tokens = 1000, .chat = chat("llama2"), .train_on_last = true}));
    ck_assert_str_eq(shown(&r.p[0]),
                     "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST] A </s>[INST] V<|im_end|> [/INST][ B </s>]");
    ft_rows_free(&r);
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(an_answer_that_cannot_be_told_from_its_prompt_is_refused)
{
    enter(true, "{% for m in messages %}{{ '<|im_start|>' + m.role + m.content + '<|im_end|>' }}{% endfor %}"
                "{% if add_generation_prompt %}<|im_start|>assistant<think>{% endif %}");
    ft_dataset d = dataset("a.jsonl", CHAT);
    ft_rows r;
    ck_assert_fails(
        ft_rows_build(&r, &d, tok, &(ft_rows_options){.max_tokens = 1000, .chat = chat(NULL)}), FT_EUNSUPPORTED,
        "a.jsonl row 1: message 5: the chat template does not begin this turn as it begins one that is asked for");
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(tools_and_calls_reach_the_template)
{
    enter(true, "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ '<|im_start|>' + m.role }}"
                "{% if m.content is none %}{% for c in m.tool_calls %}{{ c.function.name ~ c.function.arguments.x }}{% "
                "endfor %}"
                "{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}"
                "{% if add_generation_prompt %}<|im_start|>assistant{% endif %}");
    ft_dataset d = dataset(
        "a.jsonl",
        "{\"tools\": [{\"name\": \"f\"}], \"messages\": [{\"role\": \"user\", \"content\": \"U\"}, {\"role\": "
        "\"assistant\", "
        "\"content\": null, \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": \"{\\\"x\\\": 3}\"}}]}, "
        "{\"role\": \"tool\", \"content\": \"9\"}, {\"role\": \"assistant\", \"content\": \"A\"}]}\n");
    ft_rows r;
    ck_assert_ok(ft_rows_build(&r, &d, tok, &(ft_rows_options){.max_tokens = 1000, .chat = chat(NULL)}));
    ck_assert_str_eq(
        shown(&r.p[0]),
        "<s>[{\"type\": \"function\", \"function\": {\"name\": \"f\"}}]<|im_start|>userU<|im_end|><|im_start|>assistant"
        "[f3<|im_end|>]<|im_start|>tool9<|im_end|><|im_start|>assistant[A<|im_end|>]");
    ft_rows_free(&r);
    ck_assert_fails(ft_rows_build(&r, &d, tok, &(ft_rows_options){.max_tokens = 1000, .chat = chat("chatml")}),
                    FT_EINPUT, "the template chatml has no place for tools");
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(a_template_that_writes_the_date_is_said)
{
    enter(true,
          "{{ strftime_now('%Y') }}{% for m in messages %}{{ '<|im_start|>' + m.role + m.content + '<|im_end|>' }}"
          "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant{% endif %}");
    ft_dataset d = dataset("a.jsonl", CHAT);
    ft_rows r;
    ck_assert_ok(ft_rows_build(&r, &d, tok, &(ft_rows_options){.max_tokens = 1000, .chat = chat("auto")}));
    ck_assert_ptr_nonnull(strstr(notes, "the chat template writes today's date into its texts"));
    ft_rows_free(&r);
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(an_end_of_turn_that_is_no_token_is_followed_by_the_end_token)
{
    static const char *const specials[] = {"</s>"};
    const char *const files[] = {"corpus.txt"};
    enter(false, NULL);
    ft_tokenizer_free(tok);
    ck_assert_ok(ft_mkdirs("bare"));
    ck_assert_ok(ft_tokenizer_train(
        &(ft_tokenizer_training){
            .files = files, .n_files = 1, .vocab_size = 260, .specials = specials, .n_specials = 1, .eos = "</s>"},
        "bare"));
    ck_assert_ok(ft_tokenizer_open(&tok, "bare"));
    ft_dataset d = dataset(
        "a.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"U\"}, {\"role\": \"assistant\", \"content\": \"A\"}]}\n");
    ft_rows r;
    ck_assert_ok(ft_rows_build(&r, &d, tok, &(ft_rows_options){.max_tokens = 1000, .chat = chat("chatml")}));
    ck_assert_str_eq(shown(&r.p[0]), "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n[A<|im_end|></s>]");
    ft_rows_free(&r);
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(texts_stand_alone_or_are_packed)
{
    enter(true, NULL);
    ft_dataset d = dataset("a.txt", "abcdefg\nhi\njklm\n");
    ft_rows r;
    ck_assert_ok(ft_rows_build(&r, &d, tok, &plain));
    ck_assert_uint_eq(r.n, 3);
    ck_assert_str_eq(shown(&r.p[1]), "<s>[hi</s>]");
    ck_assert_int_eq(r.p[1].prompt_n, 1);
    ck_assert_uint_eq(r.p[1].answer.n, 0);
    ft_rows_free(&r);
    ck_assert_ok(ft_rows_build(&r, &d, tok, &(ft_rows_options){.max_tokens = 6, .pack_text = true}));
    static const char *const pieces[] = {"<s>[abcde]", "<s>[fg</s>hi]", "<s>[</s>jklm]", "<s>[</s>]"};
    static const int64_t first[] = {0, 0, 1, 2};
    ck_assert_uint_eq(r.n, FT_COUNT(pieces));
    for (size_t i = 0; i < r.n; i++) {
        ck_assert_str_eq(shown(&r.p[i]), pieces[i]);
        ck_assert_int_eq(r.p[i].example, first[i]);
    }
    ck_assert_int_eq(r.dropped + r.truncated, 0);
    ft_rows_free(&r);
    ft_tokenizer_free(tok);
    enter(false, NULL);
    ck_assert_ok(ft_rows_build(&r, &d, tok, &(ft_rows_options){.max_tokens = 8, .pack_text = true}));
    ck_assert_str_eq(shown(&r.p[0]), "a[bcdefg</s>]");
    ck_assert_str_eq(shown(&r.p[1]), "h[i</s>jklm</s>]");
    ck_assert_int_eq(r.supervised, 14);
    ft_rows_free(&r);
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(rows_do_not_depend_on_threads)
{
    enter(true, NULL);
    ft_buf b = {0};
    for (int i = 0; i < 500; i++)
        ck_assert_ok(ft_buf_printf(&b, "{\"prompt\": \"row %d la\", \"completion\": \" la%d\"}\n", i, i * 7));
    ft_dataset d = dataset("a.jsonl", b.p);
    ft_rows one, three;
    ft_threads_set(1);
    ck_assert_ok(ft_rows_build(&one, &d, tok, &plain));
    ft_threads_set(3);
    ck_assert_ok(ft_rows_build(&three, &d, tok, &plain));
    ft_threads_set(0);
    ck_assert_uint_eq(one.n, 500);
    ck_assert_uint_eq(three.n, 500);
    for (size_t i = 0; i < 500; i++) {
        ck_assert_int_eq(one.p[i].n, three.p[i].n);
        ck_assert_int_eq(memcmp(one.p[i].ids, three.p[i].ids, (size_t)one.p[i].n * 4), 0);
        ck_assert_int_eq(memcmp(one.p[i].mask, three.p[i].mask, (size_t)one.p[i].n), 0);
    }
    ft_rows_free(&one);
    ft_rows_free(&three);
    ft_dataset_free(&d);
    ft_buf_free(&b);
    ft_tokenizer_free(tok);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    enter(true, NULL);
    ft_dataset d = dataset("a.jsonl", CHAT);
    ft_rows_options o = {.max_tokens = 1000, .chat = chat("chatml")};
    ft_threads_set(1);
    int n = 1;
    for (;; n++) {
        ft_rows r;
        ft_alloc_fail_at(n);
        ft_status st = ft_rows_build(&r, &d, tok, &o);
        ft_alloc_fail_at(0);
        ft_rows_free(&r);
        if (st == FT_OK)
            break;
        ck_assert_msg(st == FT_ENOMEM, "allocation %d: status %d: %s", n, st, ft_error());
        ck_assert_int_lt(n, 500);
    }
    ft_threads_set(0);
    ck_assert_int_gt(n, 5);
    ft_dataset_free(&d);
    ft_tokenizer_free(tok);
}
END_TEST

int main(void)
{
    FT_TESTS("rows", completions_end_in_a_supervised_end_token, a_merge_across_the_border_belongs_to_the_answer,
             without_bos_the_first_token_is_never_a_target, prompts_are_supervised_where_asked,
             overlong_rows_are_refused_dropped_or_cut, every_assistant_turn_is_supervised_with_its_end,
             a_cut_chat_keeps_an_answer_that_it_holds, chats_need_a_template_and_something_to_learn,
             the_models_own_template_is_run_or_one_named, an_answer_that_later_turns_change_is_a_row_of_its_own,
             only_the_last_answer_is_learned_where_asked, an_answer_that_cannot_be_told_from_its_prompt_is_refused,
             tools_and_calls_reach_the_template, a_template_that_writes_the_date_is_said,
             an_end_of_turn_that_is_no_token_is_followed_by_the_end_token, texts_stand_alone_or_are_packed,
             rows_do_not_depend_on_threads, every_allocation_may_fail);
}
