#include "support/support.h"

#include "recipe/recipe.h"

#include <stdarg.h>

static char notes[4096];

static void collect(void *ctx, ft_note_level level, const char *text)
{
    size_t n = strlen(notes);
    snprintf(notes + n, sizeof notes - n, "%s\n", text);
}

/* A fresh directory with base/, train.jsonl and config.json; tests run inside it, so that recipes name short paths. */
static void enter(void)
{
    const char *dir = ft_test_dir();
    ck_assert_int_eq(chdir(dir), 0);
    ck_assert_ok(ft_mkdirs("base"));
    ck_assert_ok(ft_write_file("train.jsonl", "{}\n", 3));
    ck_assert_ok(ft_write_file("config.json", "{}\n", 3));
    notes[0] = 0;
    ft_note_sink(collect, NULL);
}

#define VALID "base_model: base\noutput_dir: run\ndatasets:\n  - {path: train.jsonl}\n"

static ft_status open_with(ft_recipe **r, const char *yaml, const char *const *set, size_t n)
{
    ck_assert_ok(ft_write_file("r.yaml", yaml, strlen(yaml)));
    return ft_recipe_open(r, "r.yaml", set, n);
}

static ft_recipe *opened(const char *yaml)
{
    ft_recipe *r;
    ck_assert_ok(open_with(&r, yaml, NULL, 0));
    return r;
}

/* The recipe is refused and these are the lines, all of them. */
static void refused_n(const char *yaml, const char *const *set, size_t n, const char *lines)
{
    ft_recipe *r = NULL;
    ft_status st = open_with(&r, yaml, set, n);
    ck_assert_msg(st == FT_EINPUT, "status %d for\n%s", st, yaml);
    ck_assert_str_eq(ft_error(), lines);
    ck_assert_ptr_nonnull(r);
    ft_recipe_free(r);
}

static void refused(const char *yaml, const char *lines)
{
    refused_n(yaml, NULL, 0, lines);
}

static const char *str(const ft_recipe *r, const char *key, size_t index)
{
    const char *s = NULL;
    return ft_recipe_str(r, key, index, &s) ? s : "(none)";
}

START_TEST(defaults_and_values_are_read)
{
    enter();
    ft_recipe *r = opened(VALID "learning_rate: 1.0e-3\nlora_r: 8\nmetrics: [loss, exact_match]\nuse_rslora: yes\n"
                                "gradient_checkpointing: on\nval_set_size: 0.1\n");
    int64_t i = 0;
    double d = 0;
    bool b = false;
    ck_assert(ft_recipe_i64(r, "lora_r", 0, &i) && i == 8);
    ck_assert(ft_recipe_i64(r, "seed", 0, &i) && i == 42);
    ck_assert(ft_recipe_f64(r, "learning_rate", 0, &d) && d == 1e-3);
    ck_assert(ft_recipe_bool(r, "use_rslora", 0, &b) && b);
    ck_assert_str_eq(str(r, "gradient_checkpointing", 0), "true");
    ck_assert_str_eq(str(r, "datasets.path", 0), "train.jsonl");
    ck_assert_str_eq(str(r, "datasets.type", 0), "auto");
    ck_assert(!ft_recipe_given(r, "datasets.type", 0) && ft_recipe_given(r, "lora_r", 0));
    ck_assert_uint_eq(ft_recipe_count(r, "metrics", 0), 2);
    ck_assert_str_eq(ft_recipe_item(r, "metrics", 0, 1), "exact_match");
    ck_assert_ptr_null(ft_recipe_item(r, "metrics", 0, 2));
    ck_assert_uint_eq(ft_recipe_count(r, "lora_target_modules", 0), 1);
    ck_assert_str_eq(ft_recipe_item(r, "lora_target_modules", 0, 0), "all-linear");
    ck_assert_uint_eq(ft_recipe_count(r, "export", 0), 0);
    ck_assert(!ft_recipe_str(r, "init_from_config", 0, &(const char *){NULL}));
    ck_assert_str_eq(ft_recipe_place(r, "learning_rate", 0), "r.yaml:5:16");
    ft_recipe_free(r);
}
END_TEST

START_TEST(five_mistakes_are_five_lines)
{
    enter();
    refused("base_model: nowhere\n"
            "output_dir: run\n"
            "datasets:\n"
            "  - path: train.jsonl\n"
            "    tpye: messages\n"
            "lerning_rate: 1e-3\n"
            "lora_r: many\n"
            "on_overlong: trunc\n"
            "warmup_steps: 10\n"
            "warmup_ratio: 0.1\n",
            "r.yaml:1:13: base_model: there is no nowhere\n"
            "r.yaml:5:5: unknown key \"tpye\" in an entry of datasets; nearest: type\n"
            "r.yaml:6:1: unknown key \"lerning_rate\"; nearest: learning_rate\n"
            "r.yaml:7:9: lora_r: found \"many\", expected an integer from 1 to 4096\n"
            "r.yaml:8:14: on_overlong: found \"trunc\", expected one of error, drop, truncate\n"
            "r.yaml:9:15: warmup_steps and warmup_ratio are both given (r.yaml:10:15); only one can be");
}
END_TEST

START_TEST(a_misspelled_required_key_is_one_mistake)
{
    enter();
    refused("base_modle: base\noutput_dir: run\ndatasets: [{pathh: train.jsonl}]\n",
            "r.yaml:1:1: unknown key \"base_modle\"; nearest: base_model\n"
            "r.yaml:3:13: unknown key \"pathh\" in an entry of datasets; nearest: path");
    refused("base_model: [base]\noutput_dir: run\ndatasets: train.jsonl\n",
            "r.yaml:1:13: base_model: found a list, expected a path");
}
END_TEST

START_TEST(missing_keys_are_named)
{
    enter();
    refused("seed: 1\n", "r.yaml: output_dir is missing\nr.yaml: datasets is missing\n"
                         "r.yaml: base_model is missing (or init_from_config, to train from scratch)");
    refused("", "r.yaml: output_dir is missing\nr.yaml: datasets is missing\n"
                "r.yaml: base_model is missing (or init_from_config, to train from scratch)");
    refused("base_model: base\noutput_dir: run\ndatasets: [{type: text}, train.jsonl]\n",
            "r.yaml:3:19: entry 1 of datasets lacks path");
    refused("base_model: base\noutput_dir: run\ndatasets: []\n", "r.yaml:3:11: datasets is missing");
}
END_TEST

START_TEST(impossible_combinations_are_refused)
{
    enter();
    refused(VALID "abstain: 0.9\n", "r.yaml:5:10: abstain needs labels");
    refused(VALID "labels: [a, b]\nabstain: {recall: 0.9}\n",
            "r.yaml:6:11: abstain: found the name \"recall\", expected a number from 0 to 1, or a map of names (confidence, "
            "precision) to such numbers");
    refused(VALID "labels: [a, b]\nabstain: {precision: 2}\n", "r.yaml:6:22: abstain: precision: found 2, expected a number from 0 to 1");
    refused(VALID "adapter: none\nlora_r: 4\n", "r.yaml:6:9: lora_r needs adapter: lora|qlora, found adapter: none");
    refused("init_from_config: config.json\noutput_dir: run\ndatasets: train.jsonl\n",
            "r.yaml:1:19: init_from_config needs adapter: none, found adapter: lora (the default)");
    refused(VALID "adapter: none\ninit_from_config: config.json\n",
            "r.yaml:1:13: base_model and init_from_config are both given (r.yaml:6:19); only one can be");
    refused(VALID "val_datasets: train.jsonl\nval_set_size: 0.1\n",
            "r.yaml:6:15: val_set_size and val_datasets are both given (r.yaml:5:15); only one can be");
    refused(
        VALID "early_stopping_patience: 2\n",
        "r.yaml:5:26: early_stopping_patience needs rows to evaluate on: val_datasets, val_set_size or test_datasets");
    refused("base_model: base\noutput_dir: run\ndatasets:\n  - {path: train.jsonl, prompt_template: \"{a}\"}\n",
            "r.yaml:4:42: datasets.prompt_template needs completion_template beside it");
    ft_recipe_free(opened(VALID "warmup_steps: 0\nwarmup_ratio: 0.1\nval_set_size: 0\ntest_datasets: [train.jsonl]\n"
                                "early_stopping_patience: 3\n"));
    ft_recipe_free(opened("init_from_config: config.json\nadapter: none\noutput_dir: run\ndatasets: train.jsonl\n"));
}
END_TEST

START_TEST(other_tools_names_are_taken_with_a_note)
{
    enter();
    ft_recipe *r = opened("model_name_or_path: base\noutput_dir: run\ndatasets: train.jsonl\nfinetuning_type: lora\n"
                          "lora_rank: 4\nlora_target_linear: true\ncutoff_len: 64\nper_device_train_batch_size: 2\n"
                          "optim: adamw_torch\nnum_train_epochs: 1\n");
    int64_t i = 0;
    ck_assert(ft_recipe_i64(r, "lora_r", 0, &i) && i == 4);
    ck_assert(ft_recipe_i64(r, "sequence_len", 0, &i) && i == 64);
    ck_assert_str_eq(str(r, "optimizer", 0), "adamw");
    ck_assert_str_eq(ft_recipe_item(r, "lora_target_modules", 0, 0), "all-linear");
    ck_assert_ptr_nonnull(strstr(notes, "r.yaml:5:1: lora_rank is taken as lora_r\n"));
    ck_assert_ptr_nonnull(strstr(notes, "lora_target_modules: true is taken as all-linear\n"));
    ft_recipe_free(r);
    r = opened(VALID "lora_target_linear: false\nlora_target_modules: q_proj,v_proj\n");
    ck_assert_uint_eq(ft_recipe_count(r, "lora_target_modules", 0), 2);
    ck_assert_str_eq(ft_recipe_item(r, "lora_target_modules", 0, 1), "v_proj");
    ft_recipe_free(r);
    r = opened(VALID "finetuning_type: full\n");
    ck_assert_str_eq(str(r, "adapter", 0), "none");
    ft_recipe_free(r);
    refused(VALID "lora_r: 4\nlora_rank: 8\n", "r.yaml:6:1: lora_r is given twice; first at r.yaml:5:9");
}
END_TEST

START_TEST(overrides_replace_the_file)
{
    enter();
    ft_recipe *r;
    const char *const set[] = {"learning_rate=3e-4", "base_model=base", "datasets=[{path: config.json}]",
                               "metrics=loss,exact_match", "seed=7"};
    ck_assert_ok(
        open_with(&r, "base_model: nowhere\noutput_dir: run\ndatasets: [train.jsonl, train.jsonl]\nseed: 1\n", set, 5));
    double d = 0;
    ck_assert(ft_recipe_f64(r, "learning_rate", 0, &d) && d == 3e-4);
    ck_assert_uint_eq(ft_recipe_count(r, "datasets", 0), 1);
    ck_assert_str_eq(str(r, "datasets.path", 0), "config.json");
    ck_assert_uint_eq(ft_recipe_count(r, "metrics", 0), 2);
    ck_assert_str_eq(ft_recipe_place(r, "seed", 0), "--set seed");
    ft_recipe_free(r);
    const char *const wrong[] = {"lora_r=0", "lora_alfa=3", "datasets.path=x", "seed", "sequence_len=[1", "max_steps="};
    refused_n(VALID, wrong, 6,
              "--set lora_r: lora_r: found \"0\", expected an integer from 1 to 4096\n"
              "--set lora_alfa: unknown key \"lora_alfa\"; nearest: lora_alpha\n"
              "--set datasets.path: a list is set as a whole: --set 'datasets=[{path: ...}]'\n"
              "--set seed: expected key=value\n"
              "--set sequence_len: sequence_len: found a list, expected an integer from 2 to 1048576\n"
              "--set sequence_len: YAML: while parsing a flow sequence, did not find expected ',' or ']'");
    const char *const all[] = {"base_model=base", "output_dir=run", "datasets=train.jsonl"};
    ck_assert_ok(ft_recipe_open(&r, NULL, all, 3));
    ft_recipe_free(r);
}
END_TEST

START_TEST(duplicate_keys_are_refused_with_both_places)
{
    enter();
    refused(VALID "seed: 1\nthreads: 1\nseed: 1\n", "r.yaml:7:1: seed is given twice; first at r.yaml:5:7");
    refused(VALID "datasets: train.jsonl\n", "r.yaml:5:1: datasets is given twice; first at r.yaml:4:3");
    refused("base_model: base\noutput_dir: run\ndatasets: [{path: train.jsonl, path: train.jsonl}]\n",
            "r.yaml:3:32: datasets.path is given twice; first at r.yaml:3:19");
}
END_TEST

START_TEST(yaml_beyond_a_plain_map_is_refused)
{
    enter();
    refused(VALID "seed: &a 1\nthreads: *a\n", "r.yaml:6:10: threads: YAML aliases are not taken, write the value out");
    refused(VALID "? [a, b]\n: {c: [d]}\nseed: x\n",
            "r.yaml:5:3: a key must be a plain name, found a list\n"
            "r.yaml:7:7: seed: found \"x\", expected an integer from 0 to 4294967295");
    refused(VALID "seed: !!str 1\n", "r.yaml:5:7: seed: YAML tags (tag:yaml.org,2002:str) are not taken");
    refused("- a\n- b\n", "r.yaml:1:1: found a list, expected a map of options\nr.yaml: output_dir is missing\n"
                          "r.yaml: datasets is missing\n"
                          "r.yaml: base_model is missing (or init_from_config, to train from scratch)");
    refused(VALID "---\nseed: 1\n", "r.yaml:5:1: a second YAML document; a recipe is one");
    refused(VALID "path: train.jsonl\n", "r.yaml:5:1: unknown key \"path\": it belongs into an entry of datasets");
    refused(VALID "metrics: [loss, ~, [a]]\n",
            "r.yaml:5:17: metrics: an empty item\n"
            "r.yaml:5:20: metrics: found a list, expected a text or a list of texts");
}
END_TEST

START_TEST(a_syntax_error_has_a_place_and_keeps_what_was_found_before)
{
    enter();
    ft_recipe *r = NULL;
    ck_assert_fails(open_with(&r, VALID "lora_r: 0\nseed:\t- 1\n\tthreads: 2\n", NULL, 0), FT_EINPUT, "r.yaml:6:");
    ck_assert_ptr_nonnull(strstr(ft_error(), "r.yaml:5:9: lora_r: found \"0\""));
    ft_recipe_free(r);
    ck_assert_fails(open_with(&r, VALID "seed: \xff\n", NULL, 0), FT_EINPUT, "UTF-8");
    ft_recipe_free(r);
    ck_assert_fails(ft_recipe_open(&r, "absent.yaml", NULL, 0), FT_EINPUT, "absent.yaml: no such file");
    ck_assert_ptr_null(r);
}
END_TEST

/* text = head, then `unit` until n bytes, then tail. */
static ft_status open_repeated(const char *head, const char *unit, size_t n, const char *tail)
{
    ft_recipe *r = NULL;
    ft_buf b = {0};
    ck_assert_ok(ft_buf_puts(&b, head));
    while (b.n < n)
        ck_assert_ok(ft_buf_puts(&b, unit));
    ck_assert_ok(ft_buf_puts(&b, tail));
    ck_assert_ok(ft_write_file("r.yaml", b.p, b.n));
    ft_buf_free(&b);
    ft_status st = ft_recipe_open(&r, "r.yaml", NULL, 0);
    ft_recipe_free(r);
    return st;
}

START_TEST(hostile_sizes_end_in_a_message)
{
    enter();
    const size_t mib = (size_t)1 << 20;
    ck_assert_fails(open_repeated(VALID, "# more\n", mib + 1, ""), FT_ENOMEM, "at most 1048576");
    static const char *const nests[] = {"[", "{", "[a,", "- ", "? ", "? - "};
    for (size_t i = 0; i < FT_COUNT(nests); i++)
        ck_assert_fails(open_repeated(i < 3 ? VALID "zzzzz: " : VALID "zzzzz:\n ", nests[i], mib - 200, ""), FT_EINPUT,
                        "nested more than 16 deep");
    ck_assert_fails(open_repeated(VALID "metrics: [loss", ", loss", mib - 200, "]\n"), FT_EINPUT,
                    "more than 1000 items");
    ck_assert_fails(open_repeated("datasets: [train.jsonl", ", train.jsonl", mib - 200, "]\n"), FT_EINPUT,
                    "more than 1000 items");
    ck_assert_fails(open_repeated("", "zz: 1\n", mib - 200, ""), FT_EINPUT, "more mistakes");
    ck_assert_fails(open_repeated(VALID "zzzzz: &a x\nyyyyy: [*a", ", *a", mib - 200, "]\n"), FT_EINPUT,
                    "unknown key \"zzzzz\"");
    ck_assert_fails(open_repeated("output_dir: ", "x", 100000, "\n"), FT_EINPUT, "at most 65536");
    ck_assert_fails(open_repeated("", "k", mib - 200, ": 1\n"), FT_EINPUT, "");
}
END_TEST

START_TEST(a_printed_recipe_reads_back_to_the_same)
{
    enter();
    ft_recipe *r = opened(
        "base_model: base\noutput_dir: \"a \\\"b\\\" \\\\ \\x85 \\L \\t #x: y\"\nlearning_rate: "
        "0.00012345678901234567\n"
        "datasets:\n  - path: train.jsonl\n    prompt_template: \"W: {text}\\nL:\"\n"
        "    completion_template: ' {{\"x\": \"{y}\"}} ü'\n  - train.jsonl\nlora_r: 007\n"
        "export: [peft, {format: gguf, quant: q8_0}]\nmetrics: loss, exact_match\nmetric_for_best_model: \"null\"\n");
    ft_buf first = {0}, second = {0}, diff = {0};
    ck_assert_ok(ft_recipe_print(r, &first));
    notes[0] = 0;
    ft_recipe *again = opened(first.p);
    ck_assert_str_eq(notes, "");
    ck_assert_ok(ft_recipe_print(again, &second));
    ck_assert_str_eq(first.p, second.p);
    ck_assert_str_eq(str(again, "output_dir", 0), "a \"b\" \\ \xc2\x85 \xe2\x80\xa8 \t #x: y");
    ck_assert_str_eq(str(again, "datasets.completion_template", 0), " {{\"x\": \"{y}\"}} ü");
    ck_assert_str_eq(str(again, "metric_for_best_model", 0), "null");
    double d = 0;
    ck_assert(ft_recipe_f64(again, "learning_rate", 0, &d) && d == 0.00012345678901234567);
    ck_assert_uint_eq(ft_recipe_hash(r), ft_recipe_hash(again));
    ck_assert_ok(ft_recipe_diff(r, again, &diff));
    ck_assert_uint_eq(diff.n, 0);
    ft_buf_free(&first);
    ft_buf_free(&second);
    ft_buf_free(&diff);
    ft_recipe_free(r);
    ft_recipe_free(again);
}
END_TEST

START_TEST(a_full_fine_tune_prints_no_lora_options)
{
    enter();
    ft_recipe *r = opened(VALID "adapter: none\n");
    ft_buf text = {0};
    ck_assert_ok(ft_recipe_print(r, &text));
    ck_assert_ptr_null(strstr(text.p, "lora_"));
    ft_recipe_free(r);
    ft_recipe_free(opened(text.p));
    ft_buf_free(&text);
}
END_TEST

START_TEST(hash_and_diff_see_what_changes_training)
{
    enter();
    ft_recipe *a = opened(VALID "learning_rate: 0.001\n");
    ft_recipe *same = opened(
        VALID "learning_rate: 1e-3\nlogging_steps: 5\nthreads: 1\nexport: [peft]\nlora_target_modules: [all-linear]\n");
    ft_recipe *other = opened(VALID "learning_rate: 0.002\nadapter: none\n");
    ft_buf diff = {0};
    ck_assert_uint_eq(ft_recipe_hash(a), ft_recipe_hash(same));
    ck_assert_uint_ne(ft_recipe_hash(a), ft_recipe_hash(other));
    ck_assert_ok(ft_recipe_diff(a, other, &diff));
    ck_assert_ptr_nonnull(strstr(diff.p, "learning_rate: 0.001 -> 0.002\n"));
    ck_assert_ptr_nonnull(strstr(diff.p, "adapter: lora -> none\n"));
    ck_assert_ptr_nonnull(strstr(diff.p, "lora_r: 16 -> (not set)\n"));
    ft_buf_free(&diff);
    ft_recipe_free(a);
    ft_recipe_free(same);
    ft_recipe_free(other);
}
END_TEST

START_TEST(complaints_of_other_rooms_join_the_rest)
{
    enter();
    ft_recipe *r = NULL;
    ck_assert_int_eq(open_with(&r, VALID "lr_scheduler: cosin\nlora_r: 0\nexport: [peft, ggfu]\n", NULL, 0), FT_EINPUT);
    ft_recipe_complain(r, "lr_scheduler", "unknown schedule \"%s\"; nearest: %s", "cosin", "cosine");
    ft_recipe_complain(r, "export[1].format", "unknown format");
    ft_recipe_complain(r, "threads", "too many");
    ck_assert_int_eq(ft_recipe_check(r), FT_EINPUT);
    ck_assert_str_eq(ft_error(), "r.yaml:5:15: unknown schedule \"cosin\"; nearest: cosine\n"
                                 "r.yaml:6:9: lora_r: found \"0\", expected an integer from 1 to 4096\n"
                                 "r.yaml:7:16: unknown format\n"
                                 "r.yaml: too many");
    ft_recipe_free(r);
}
END_TEST

START_TEST(the_table_is_sound)
{
    for (const ft_option *o = ft_options; o->name; o++) {
        const char *dot = strchr(o->name, '.');
        ck_assert_msg(o->group && o->help && ft_ends(o->help, "."), "%s lacks a group or a help sentence", o->name);
        ck_assert_ptr_eq(ft_option_named(o->name), o);
        char list[64];
        snprintf(list, sizeof list, "%.*s", dot ? (int)(dot - o->name) : 0, o->name);
        ck_assert_msg(!dot || ft_option_named(list)->type == FT_OPT_LIST, "%s: no list", o->name);
        if (o->type == FT_OPT_INT || o->type == FT_OPT_FLOAT) {
            double v = 0;
            ck_assert_msg(o->min < o->max, "%s has no limits", o->name);
            ck_assert_msg(!o->fallback || (ft_parse_f64(o->fallback, &v) && v >= o->min && v <= o->max), "%s: default",
                          o->name);
        }
        ck_assert_msg((o->type == FT_OPT_CHOICE) == (o->choices && o->type != FT_OPT_NUMBERS), "%s: choices", o->name);
        ck_assert_msg(!o->needs || strchr(o->needs, '=') || ft_option_named(o->needs), "%s: needs", o->name);
        ck_assert_msg(!o->excludes || ft_option_named(o->excludes), "%s: excludes", o->name);
        ck_assert_msg(!o->fallback || o->type != FT_OPT_STRINGS || !strchr(o->fallback, ','), "%s: a default of many",
                      o->name);
    }
    ck_assert_ptr_eq(ft_option_named("lora_rank"), ft_option_named("lora_r"));
    ck_assert_ptr_null(ft_option_named("datasets.nothing"));
}
END_TEST

START_TEST(every_option_is_documented)
{
    ft_buf md = {0}, roff = {0}, one = {0};
    ck_assert_ok(ft_recipe_doc(&md, NULL));
    ck_assert_ok(ft_recipe_doc_roff(&roff));
    for (const ft_option *o = ft_options; o->name; o++) {
        const char *key = strchr(o->name, '.') ? strchr(o->name, '.') + 1 : o->name;
        char in_md[96], in_roff[96];
        snprintf(in_md, sizeof in_md, "- `%s` (", key);
        snprintf(in_roff, sizeof in_roff, ".B %s\n", o->name);
        ck_assert_ptr_nonnull(strstr(md.p, in_md));
        ck_assert_ptr_nonnull(strstr(roff.p, in_roff));
    }
    ck_assert_ok(ft_recipe_doc(&one, "lora_rank"));
    ck_assert_str_eq(
        one.p, "- `lora_r` (integer from 1 to 4096, default 16): Rank of the update. Also taken: lora_rank, r.\n");
    ck_assert_fails(ft_recipe_doc(&one, "lora_rnk"), FT_EINPUT, "nearest: lora_r");
    ft_buf_free(&md);
    ft_buf_free(&roff);
    ft_buf_free(&one);
}
END_TEST

static ft_status open_and_close(const char *path, void *ctx)
{
    ft_recipe *r = NULL;
    ft_status st = ft_recipe_open(&r, path, NULL, 0);
    if (st != FT_OK)
        ck_assert_str_ne(ft_error(), "");
    ft_recipe_free(r);
    return st;
}

START_TEST(damaged_recipes_are_refused_or_read)
{
    enter();
    ft_recipe *r = opened(
        VALID
        "# a comment\nlora_target_modules: [q_proj, 'v_proj', \"o_proj\"]\nexport:\n  - format: gguf\n    quant: q8_0\n"
        "lora_dropout: 0.05\non_overlong: drop\nval_set_size: 10\nmetrics:\n- loss\n- exact_match\n");
    ft_recipe_free(r);
    char path[600];
    ck_assert_ptr_nonnull(getcwd(path, sizeof path - 8));
    strcat(path, "/r.yaml");
    ck_assert_int_gt(ft_test_damage(path, 2000, 11, open_and_close, NULL), 500);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    enter();
    ft_recipe *r = opened(VALID "lora_rank: 4\nmetrics: [a, b, c]\nexport: [peft]\n");
    ft_recipe_free(r);
    int n = 1;
    for (;; n++) {
        r = NULL;
        ft_alloc_fail_at(n);
        ft_status st = ft_recipe_open(&r, "r.yaml", NULL, 0);
        ft_alloc_fail_at(0);
        ft_recipe_free(r);
        if (st == FT_OK)
            break;
        ck_assert_int_eq(st, FT_ENOMEM);
        ck_assert_int_lt(n, 500);
    }
    ck_assert_int_gt(n, 4);
}
END_TEST

int main(void)
{
    FT_TESTS("recipe", defaults_and_values_are_read, five_mistakes_are_five_lines,
             a_misspelled_required_key_is_one_mistake, missing_keys_are_named, impossible_combinations_are_refused,
             other_tools_names_are_taken_with_a_note, overrides_replace_the_file,
             duplicate_keys_are_refused_with_both_places, yaml_beyond_a_plain_map_is_refused,
             a_syntax_error_has_a_place_and_keeps_what_was_found_before, hostile_sizes_end_in_a_message,
             a_printed_recipe_reads_back_to_the_same, a_full_fine_tune_prints_no_lora_options,
             hash_and_diff_see_what_changes_training, complaints_of_other_rooms_join_the_rest, the_table_is_sound,
             every_option_is_documented, damaged_recipes_are_refused_or_read, every_allocation_may_fail);
}
