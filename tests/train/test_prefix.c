/* The frozen prefix: kept anywhere or computed anew, the run is the same; a store that does not fit is made anew. */
#include "file/container.h"
#include "support/support.h"
#include "train/prefix.h"
#include "train/trained.h"

#include <sys/stat.h>

static const char config[] =
    "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":32,\"intermediate_size\":48,"
    "\"num_hidden_layers\":4,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":50,"
    "\"max_position_embeddings\":64,\"rms_norm_eps\":1e-5,\"rope_theta\":10000.0,\"hidden_act\":\"silu\","
    "\"tie_word_embeddings\":true,\"bos_token_id\":1,\"eos_token_id\":2,\"torch_dtype\":\"float32\"}";

enum { ROWS = 21, FROZEN = 3 };
static int32_t ids[ROWS][24];
static uint8_t mask[ROWS][24];
static ft_row row_list[ROWS];

/* Rows of 3 to 20 tokens: a few among them are multiplied without GEMM when they stand alone. */
static ft_rows make_rows(int32_t first_id)
{
    ft_rows rows = {.p = row_list, .n = ROWS};
    for (int r = 0; r < ROWS; r++) {
        int n = 3 + r * 7 % 18;
        for (int i = 0; i < n; i++) {
            ids[r][i] = i ? 3 + (r * 5 + i) % 47 : first_id;
            mask[r][i] = i > n / 3;
        }
        row_list[r] = (ft_row){.ids = ids[r], .mask = mask[r], .n = n, .prompt_n = n / 3 + 1, .example = r};
    }
    return rows;
}

static ft_model *fresh_model(uint64_t seed, int64_t first)
{
    static const char *const all[] = {"all-linear"};
    static const int64_t layers[] = {0, 1, 2, 3};
    ft_adapter_spec spec = {.kind = "lora", .r = 4, .alpha = 8, .dropout = 0.1, .target_modules = all, .n_targets = 1,
                            .layers = layers + first, .n_layers = (size_t)(4 - first), .seed = 5};
    ft_model *m = NULL;
    const char *path = ft_test_path(ft_test_dir(), "config.json");
    ck_assert_ok(ft_write_file(path, config, strlen(config)));
    ck_assert_ok(ft_model_init(&m, path, seed));
    ck_assert_ok(ft_adapter_attach(m, &spec));
    return m;
}

static ft_train_options options(const char *dir, ft_prefix_place place, const ft_dtype *dtype)
{
    return (ft_train_options){.output_dir = dir, .seed = 3, .recipe_hash = 77, .recipe_text = "learning_rate: 0.01\n",
                              .max_steps = 18, .micro_batch_size = 4, .gradient_accumulation_steps = 1,
                              .optimizer = ft_optimizer_named("adamw"),
                              .optimizer_options = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
                              .learning_rate = 0.01, .schedule = ft_schedule_named("cosine"), .max_grad_norm = 1,
                              .save_steps = 3, .logging_steps = 1, .prefix_cache = place, .prefix_cache_dtype = dtype};
}

static char notes[4096];

static void note(void *ctx, ft_note_level level, const char *text)
{
    (void)ctx;
    (void)level;
    size_t n = strlen(notes);
    snprintf(notes + n, sizeof notes - n, "%s\n", text);
}

static void watch(void *ctx, const ft_train_event *e)
{
    int64_t *stop_at = ctx;
    if (e->kind == FT_EVENT_STEP && e->step == *stop_at)
        ft_stop_set(true);
}

static const ft_train_options none;

/* Trains until stop_at (0: to the end); what was noted stands in `notes`. */
static ft_status train(ft_model *m, const ft_rows *rows, const ft_train_options *o, int64_t stop_at)
{
    ft_train_result result;
    notes[0] = 0;
    ft_note_sink(note, NULL);
    ft_status st = ft_train(&result, m, NULL, rows, NULL, o, watch, &stop_at);
    ft_stop_set(false);
    return st;
}

/* The adapter of a whole run. */
static float *trained(ft_prefix_place place, const ft_dtype *dtype, bool checkpointing, size_t *bytes)
{
    const char *dir = ft_test_dir();
    ft_rows rows = make_rows(1);
    ft_model *m = fresh_model(11, FROZEN);
    ft_train_options o = options(dir, place, dtype);
    o.gradient_checkpointing = checkpointing ? FT_ALL_BLOCKS : 0;
    ck_assert_ok(train(m, &rows, &o, 0));
    float *w = weights(m, bytes);
    ck_assert(!ft_exists(ft_test_path(dir, "cache")));
    ft_model_free(m);
    return w;
}

START_TEST(every_place_gives_the_same_bits)
{
    static const ft_dtype *const dtypes[] = {&ft_f32, &ft_bf16};
    float *off[2];
    size_t n, k;
    for (int d = 0; d < 2; d++) {
        off[d] = trained(FT_PREFIX_OFF, dtypes[d], false, &n);
        for (ft_prefix_place place = FT_PREFIX_AUTO; place <= FT_PREFIX_DISK; place++) {
            float *kept = trained(place, dtypes[d], place == FT_PREFIX_MEMORY, &k);
            ck_assert_uint_eq(k, n);
            ck_assert_mem_eq(kept, off[d], n);
            ft_free(kept);
        }
    }
    ck_assert_int_ne(memcmp(off[0], off[1], n), 0); /* bf16 does round */
    ft_free(off[0]);
    ft_free(off[1]);
}
END_TEST

/* What enters the first trained block is what the forward pass of the row alone has there. */
START_TEST(states_are_those_of_the_forward_pass)
{
    float kept[24 * 32];
    ft_rows rows = make_rows(1);
    ft_model *m = fresh_model(11, FROZEN);
    ft_prefix *p;
    ft_tape *t;
    ck_assert_ok(ft_prefix_new(&p, m, &rows, &none));
    ck_assert_int_eq(ft_prefix_blocks(p), FROZEN);
    ck_assert_ok(ft_tape_new(&t));
    for (int64_t r = 0; r < ROWS; r++) {
        const int64_t start[] = {0, rows.p[r].n - 1};
        const ft_segments seg = {.n = 1, .start = start};
        ck_assert_ok(ft_prefix_states(p, &r, 1, kept));
        ft_tape_begin(t, true, 1, 1);
        ft_var *whole = ft_model_forward(m, t, ids[r], start[1], &seg, NULL, false);
        ft_var *half = ft_model_from(m, t, ft_leaf(t, kept, start[1], 32, false), FROZEN, &seg, false);
        ck_assert_ok(ft_tape_status(t));
        ck_assert_mem_eq(half->v, whole->v, (size_t)start[1] * 32 * sizeof(float));
    }
    ft_tape_free(t);
    ft_prefix_free(p);
    ft_model_free(m);
}
END_TEST

START_TEST(nothing_is_kept_where_block_0_trains)
{
    const char *dir = ft_test_dir();
    ft_rows rows = make_rows(1);
    ft_model *m = fresh_model(11, 0);
    ft_train_options o = options(dir, FT_PREFIX_DISK, NULL);
    ck_assert_uint_eq(ft_prefix_bytes(m, &rows, NULL), 0);
    ck_assert_ok(train(m, &rows, &o, 2) == FT_ESTOPPED ? FT_OK : FT_EIO);
    ck_assert_ptr_nonnull(strstr(notes, "layer 0 trains"));
    ck_assert(!ft_exists(ft_test_path(dir, "cache")));
    ft_model_free(m);
}
END_TEST

START_TEST(auto_says_what_it_does_and_keeps_nothing_for_one_epoch)
{
    ft_rows rows = make_rows(1);
    ft_model *m = fresh_model(11, FROZEN);
    ft_train_options o = options(ft_test_dir(), FT_PREFIX_AUTO, &ft_bf16);
    int64_t tokens = 0;
    for (int r = 0; r < ROWS; r++)
        tokens += row_list[r].n - 1;
    ck_assert_uint_eq(ft_prefix_bytes(m, &rows, &ft_f32), (uint64_t)tokens * 32 * 4);
    ck_assert_uint_eq(ft_prefix_bytes(m, &rows, &ft_bf16), (uint64_t)tokens * 32 * 2);
    ck_assert_ok(train(m, &rows, &o, 0));
    ck_assert_ptr_nonnull(strstr(notes, "prefix_cache: memory; the states that enter layer 3 take"));
    ft_model_free(m);
    m = fresh_model(11, FROZEN);
    o.output_dir = ft_test_dir();
    o.max_steps = 6;
    ck_assert_ok(train(m, &rows, &o, 0));
    ck_assert_ptr_nonnull(strstr(notes, "prefix_cache: off"));
    ft_model_free(m);
    ck_assert_int_eq(ft_prefix_choose(1, ".", true), FT_PREFIX_MEMORY);
    ck_assert_int_eq(ft_prefix_choose(UINT64_MAX / 2, ".", true), FT_PREFIX_OFF);
}
END_TEST

static void flip_byte(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    ck_assert_ptr_nonnull(f);
    fseek(f, at, SEEK_SET);
    int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ 0x10, f);
    fclose(f);
}

static struct stat stat_of(const char *path)
{
    struct stat s;
    ck_assert_int_eq(stat(path, &s), 0);
    return s;
}

START_TEST(a_resume_takes_the_store_and_makes_a_damaged_one_anew)
{
    size_t n, k;
    const char *dir = ft_strdup(ft_test_dir()), *path = ft_strf("%s/cache/prefix.h5", dir);
    float *want = trained(FT_PREFIX_OFF, NULL, false, &n);
    ft_rows rows = make_rows(1);
    ft_model *m = fresh_model(11, FROZEN);
    ft_train_options o = options(dir, FT_PREFIX_DISK, NULL);
    ck_assert_int_eq(train(m, &rows, &o, 3), FT_ESTOPPED);
    struct stat made = stat_of(path);
    o.resume = true;
    ck_assert_int_eq(train(m, &rows, &o, 7), FT_ESTOPPED);
    ck_assert_str_eq(notes, "");
    struct stat taken = stat_of(path);
    ck_assert(taken.st_ino == made.st_ino && taken.st_mtim.tv_nsec == made.st_mtim.tv_nsec);
    flip_byte(path, 3000);
    ck_assert_ok(ft_write_file(ft_test_path(dir, "cache/prefix.h5.1234.tmp"), "half", 4)); /* of a run that was killed */
    ck_assert_int_eq(train(m, &rows, &o, 9), FT_ESTOPPED);
    ck_assert_ptr_nonnull(strstr(notes, "prefix.h5"));
    ck_assert_ptr_nonnull(strstr(notes, "it is made anew"));
    ck_assert(stat_of(path).st_ino != made.st_ino || stat_of(path).st_mtim.tv_nsec != made.st_mtim.tv_nsec);
    ck_assert(!ft_exists(ft_test_path(dir, "cache/prefix.h5.1234.tmp")));
    ck_assert_ok(train(m, &rows, &o, 0));
    ck_assert(!ft_exists(path));
    float *got = weights(m, &k);
    ck_assert_mem_eq(got, want, n);
    ft_free(got);
    ft_free(want);
    ft_model_free(m);
    ft_free((char *)path);
    ft_free((char *)dir);
}
END_TEST

/* One step with a store that another run left in the folder. */
static void met_by(const char *dir, ft_model *m, const ft_rows *rows, const ft_dtype *dtype, const char *text)
{
    ft_train_options o = options(dir, FT_PREFIX_DISK, dtype);
    ck_assert_int_eq(train(m, rows, &o, 1), FT_ESTOPPED);
    if (text)
        ck_assert_msg(strstr(notes, text) != NULL, "\"%s\" lacks \"%s\"", notes, text);
    else
        ck_assert_str_eq(notes, "");
}

START_TEST(a_store_of_something_else_is_named_and_made_anew)
{
    const char *dir = ft_test_dir();
    ft_rows rows = make_rows(1);
    ft_model *m = fresh_model(11, FROZEN), *other = fresh_model(12, FROZEN), *lower = fresh_model(11, 2);
    met_by(dir, m, &rows, NULL, NULL);
    met_by(dir, other, &rows, NULL, "was made for another base model: it is made anew");
    met_by(dir, lower, &rows, NULL, "another base model"); /* the hash is over the blocks that the states went through */
    met_by(dir, lower, &rows, NULL, NULL);
    met_by(dir, lower, &rows, &ft_bf16, "was made with another prefix_cache_dtype");
    rows = make_rows(2);
    met_by(dir, lower, &rows, &ft_bf16, "was made for other rows, or with another tokenizer or template");
    ft_model_free(m);
    ft_model_free(other);
    ft_model_free(lower);
}
END_TEST

START_TEST(the_hash_is_over_what_the_states_depend_on)
{
    uint64_t h, same, k2;
    ft_model *m = fresh_model(11, FROZEN);
    ck_assert_ok(ft_model_hash_below(&h, m, 3));
    float *above = ft_model_find(m, "model.layers.3.mlp.up_proj.weight")->t.data;
    float *norm = ft_model_find(m, "model.norm.weight")->t.data;
    *above += 1;
    *norm += 1;
    ck_assert_ok(ft_model_hash_below(&same, m, 3));
    ck_assert(h == same);
    ck_assert_ok(ft_model_hash_below(&k2, m, 2));
    ck_assert(h != k2);
    static const char *const names[] = {"model.embed_tokens.weight", "model.layers.0.input_layernorm.weight",
                                        "model.layers.2.mlp.down_proj.weight"};
    for (size_t i = 0; i < FT_COUNT(names); i++) {
        float *below = ft_model_find(m, names[i])->t.data;
        *below += 1;
        ck_assert_ok(ft_model_hash_below(&k2, m, 3));
        ck_assert(k2 != h);
        h = k2;
    }
    ft_model_free(m);
}
END_TEST

START_TEST(later_epochs_allocate_nothing)
{
    for (ft_prefix_place place = FT_PREFIX_OFF; place <= FT_PREFIX_DISK; place++) {
        const char *dir = ft_test_dir();
        ft_rows rows = make_rows(1);
        ft_model *m = fresh_model(11, FROZEN);
        ft_train_options o = options(dir, place, NULL);
        ft_prefix_keeping how = {.place = place, .dir = dir, .again = true};
        ft_stepper *s;
        ft_step done;
        o.micro_batch_size = ROWS;
        ck_assert_ok(ft_stepper_new(&s, m, &rows, &o));
        ck_assert_ok(ft_prefix_keep(ft_stepper_prefix(s), &how));
        for (int64_t step = 0; step < 2; step++)
            ck_assert_ok(ft_stepper_run(s, step, &done));
        uint64_t before = ft_alloc_count();
        for (int64_t step = 2; step < 6; step++)
            ck_assert_ok(ft_stepper_run(s, step, &done));
        ck_assert_uint_eq(ft_alloc_count(), before);
        ft_stepper_free(s);
        ft_model_free(m);
    }
}
END_TEST

/* From the second epoch on a step does the work above the frozen blocks and nothing else. */
START_TEST(a_step_counts_no_work_below_the_trained_blocks)
{
    ft_rows rows = make_rows(1);
    double flops[2];
    for (int i = 0; i < 2; i++) {
        ft_model *m = fresh_model(11, i ? FROZEN : 0);
        ft_train_options o = options(ft_test_dir(), FT_PREFIX_OFF, NULL);
        ft_stepper *s;
        ft_step done;
        o.micro_batch_size = ROWS;
        ck_assert_ok(ft_stepper_new(&s, m, &rows, &o));
        ck_assert_ok(ft_stepper_run(s, 0, &done));
        ft_tape_stats stats = ft_tape_stats_of(ft_stepper_tape(s));
        flops[i] = stats.forward_flops + stats.backward_flops;
        ft_stepper_free(s);
        ft_model_free(m);
    }
    ck_assert_double_lt(flops[1], 0.4 * flops[0]); /* one block of four, and the head */
}
END_TEST

static bool stop_third(void *ctx, const char *what, size_t done, size_t total)
{
    ck_assert_str_eq(what, "prefix");
    ck_assert_uint_eq(total, ROWS);
    *(size_t *)ctx = done;
    return done < 2;
}

START_TEST(a_stop_or_a_full_disk_leaves_no_store)
{
    const char *dir = ft_strdup(ft_test_dir());
    ft_rows rows = make_rows(1);
    ft_model *m = fresh_model(11, FROZEN);
    ft_prefix *p;
    size_t done = 0;
    ft_prefix_keeping how = {.place = FT_PREFIX_DISK, .dir = dir, .again = true, .progress = stop_third, .ctx = &done};
    ck_assert_ok(ft_prefix_new(&p, m, &rows, &none));
    ck_assert_fails(ft_prefix_keep(p, &how), FT_ESTOPPED, "row 3 of 21");
    ck_assert_uint_eq(done, 2);
    how.progress = NULL;
    ft_write_fail_at(1);
    ck_assert_int_eq(ft_prefix_keep(p, &how), FT_EIO);
    ft_write_fail_at(0);
    ft_names names;
    ck_assert_ok(ft_list_dir(&names, ft_test_path(dir, "cache"), NULL));
    ck_assert_uint_eq(names.n, 0);
    ft_names_free(&names);
    ck_assert_ok(ft_prefix_keep(p, &how));
    ft_prefix_free(p);
    ft_train_options o = options(dir, FT_PREFIX_DISK, &ft_bf16); /* another dtype: it is made anew, and that fails */
    ft_write_fail_at(1);
    ck_assert_int_eq(train(m, &rows, &o, 1), FT_ESTOPPED);
    ck_assert_ptr_nonnull(strstr(notes, "going on without"));
    ft_write_fail_at(0);
    ft_model_free(m);
    ft_free((char *)dir);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    const char *dir = ft_strdup(ft_test_dir());
    ft_rows rows = make_rows(1);
    ft_model *m = fresh_model(11, FROZEN);
    static float x[ROWS * 24 * 32];
    int64_t row = 4;
    bool whole = false;
    for (long n = 1; n < 2000 && !whole; n++) {
        ft_prefix *p = NULL;
        ft_prefix_keeping how = {.place = n % 2 ? FT_PREFIX_DISK : FT_PREFIX_MEMORY, .dir = dir, .again = true};
        ft_alloc_fail_at(n);
        ft_status st = ft_prefix_new(&p, m, &rows, &none);
        if (st == FT_OK)
            st = ft_prefix_keep(p, &how);
        if (st == FT_OK)
            st = ft_prefix_states(p, &row, 1, x);
        whole = st == FT_OK && n % 2;
        ck_assert_msg(st == FT_OK || st == FT_ENOMEM || st == FT_EIO, "allocation %ld: %s", n, ft_error());
        ft_alloc_fail_at(0);
        ft_prefix_free(p);
        ft_prefix_remove(dir);
    }
    ck_assert(whole);
    ft_model_free(m);
    ft_free((char *)dir);
}
END_TEST

int main(void)
{
    FT_TESTS("prefix", every_place_gives_the_same_bits, states_are_those_of_the_forward_pass,
             nothing_is_kept_where_block_0_trains, auto_says_what_it_does_and_keeps_nothing_for_one_epoch,
             a_resume_takes_the_store_and_makes_a_damaged_one_anew, a_store_of_something_else_is_named_and_made_anew,
             the_hash_is_over_what_the_states_depend_on, later_epochs_allocate_nothing,
             a_step_counts_no_work_below_the_trained_blocks, a_stop_or_a_full_disk_leaves_no_store,
             every_allocation_may_fail);
}
