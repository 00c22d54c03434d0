/* Decoding: the cache changes nothing, the company of other rows changes nothing, limits are kept. */
#include "model/fixture.h"
#include "text/tokenizer.h"

enum { ROWS = 9, PROMPT = 14, NEW = 12 };

typedef struct batch {
    int32_t prompt[ROWS][PROMPT], out[ROWS][64];
    ft_decode_request r[ROWS];
} batch;

/* Prompts of lengths 1 .. 13 and different wishes. */
static void fill(batch *b, int64_t vocab)
{
    for (int i = 0; i < ROWS; i++) {
        b->r[i] = (ft_decode_request){
            .prompt = b->prompt[i], .n = 1 + (i * 5) % 13, .out = b->out[i], .max_new = NEW - i % 4};
        for (int k = 0; k < PROMPT; k++)
            b->prompt[i][k] = (int32_t)(ft_uniform(2, FT_STREAM_TEST, (uint64_t)i, (uint64_t)k) * (float)vocab);
        memset(b->out[i], 0xff, sizeof b->out[i]);
    }
}

static void same(const batch *a, const batch *b)
{
    for (int i = 0; i < ROWS; i++) {
        ck_assert_int_eq(a->r[i].made, b->r[i].made);
        ck_assert_int_eq(a->r[i].stopped, b->r[i].stopped);
        for (int64_t k = 0; k < a->r[i].made; k++)
            ck_assert_msg(a->out[i][k] == b->out[i][k], "row %d, token %d: %d and %d", i, (int)k, a->out[i][k],
                          b->out[i][k]);
    }
}

/* Greedy text by whole forward passes, without a cache. */
static void decode_plainly(ft_model *m, ft_decode_request *r, int32_t stop)
{
    int32_t all[PROMPT + 64];
    int64_t vocab = ft_model_config(m)->vocab_size, n = r->n;
    memcpy(all, r->prompt, (size_t)n * sizeof *all);
    for (r->made = 0; r->made < r->max_new && !r->stopped; n++) {
        float *x = logits_of(m, all, n);
        all[n] = r->out[r->made++] = ft_sample(x + (n - 1) * vocab, vocab, &(ft_sampling){.top_p = 1}, 0, 0);
        r->stopped = all[n] == stop;
        ft_free(x);
    }
}

static void compare_ways(ft_model *m, int32_t stop)
{
    static batch plain, alone, together;
    ft_decode_options o = {.sampling = {.top_p = 1}, .stops = &stop, .n_stops = 1};
    int64_t vocab = ft_model_config(m)->vocab_size;
    fill(&plain, vocab);
    for (int i = 0; i < ROWS; i++)
        decode_plainly(m, &plain.r[i], stop);
    fill(&alone, vocab);
    for (int i = 0; i < ROWS; i++)
        ck_assert_ok(ft_decode(m, &alone.r[i], 1, &o));
    same(&alone, &plain);
    static const int64_t ways[][2] = {{0, 0}, {3, 0}, {0, 5}, {4, 1}, {1, 3}}; /* rows at once, prompt tokens at once */
    for (size_t k = 0; k < FT_COUNT(ways); k++) {
        o.max_rows = ways[k][0];
        o.max_tokens_at_once = ways[k][1];
        fill(&together, vocab);
        ck_assert_ok(ft_decode(m, together.r, ROWS, &o));
        same(&together, &plain);
    }
}

START_TEST(rows_together_are_rows_alone_and_rows_without_a_cache)
{
    ft_model *m = random_model("{\"num_hidden_layers\": 3}");
    compare_ways(m, 7);
    ft_model_free(m);
}
END_TEST

/* Windows, caps, norms and scales of every family; rows grow past the window, and past longrope's first length. */
START_TEST(every_family_decodes_as_without_a_cache)
{
    for (size_t i = 0; small_families[i]; i++) {
        ft_model *m = random_model(small_families[i]);
        compare_ways(m, 7);
        ft_model_free(m);
    }
}
END_TEST

START_TEST(an_encoder_continues_no_text)
{
    int32_t prompt[] = {1, 3}, out[4];
    ft_model *m = random_model("{\"model_type\": \"bert\"}");
    ft_decode_request r = {.prompt = prompt, .n = 2, .out = out, .max_new = 4};
    ck_assert_fails(ft_decode(m, &r, 1, &(ft_decode_options){.sampling = {.top_p = 1}}), FT_EUNSUPPORTED,
                    "a bert model is an encoder");
    ft_model_free(m);
}
END_TEST

START_TEST(real_models_decode_alike_in_every_way)
{
    static const char *const names[] = {"models/stories260K", "models/tinystories-656k"};
    for (size_t i = 0; i < FT_COUNT(names); i++) {
        ft_model *m;
        const char *path = ft_test_shared(names[i]);
        if (!path)
            FT_SKIP("../shared is absent");
        ck_assert_ok(ft_model_open(&m, path, NULL));
        compare_ways(m, 2);
        ft_model_free(m);
    }
}
END_TEST

/* One prompt in three pieces through the cache against one pass: hidden states of every token. */
START_TEST(the_cache_gives_the_states_of_a_whole_pass)
{
    enum { T = 40, WIDTH = 16, LAYERS = 2 };
    static const int64_t cut[] = {0, 17, 18, T}, whole_start[] = {0, T}, slot = 1;
    ft_model *m = random_model(NULL);
    int32_t ids[T];
    ft_tape *t;
    ft_kv kv[LAYERS];
    float whole[T * 32];
    for (int i = 0; i < T; i++)
        ids[i] = (i * 7) % 40;
    for (int i = 0; i < LAYERS; i++)
        kv[i] = (ft_kv){.k = ft_alloc(2 * T * WIDTH, sizeof(float)),
                        .v = ft_alloc(2 * T * WIDTH, sizeof(float)),
                        .slots = 2,
                        .capacity = T,
                        .width = WIDTH};
    ck_assert_ok(ft_tape_new(&t));
    ft_tape_begin(t, false, 0, 0);
    ft_var *x = ft_model_forward(m, t, ids, T, &(ft_segments){.n = 1, .start = whole_start}, NULL, 0);
    ck_assert_ok(ft_tape_status(t));
    memcpy(whole, x->v, sizeof whole);
    for (int i = 0; i < 3; i++) {
        int64_t start[] = {0, cut[i + 1] - cut[i]};
        ft_tape_begin(t, false, 0, 0);
        x = ft_model_forward(m, t, ids + cut[i], start[1],
                             &(ft_segments){.n = 1, .start = start, .past = &cut[i], .slot = &slot}, kv, 0);
        ck_assert_ok(ft_tape_status(t));
        ck_assert_double_le(distance(x->v, whole + cut[i] * 32, start[1] * 32), 1e-5);
    }
    ft_tape_free(t);
    for (int i = 0; i < LAYERS; i++) {
        ft_free(kv[i].k);
        ft_free(kv[i].v);
    }
    ft_model_free(m);
}
END_TEST

/* "Once upon a time, there was a little girl named Lily.": ids by ../shared/reference. */
START_TEST(stories_begin_as_they_are_known_to)
{
    static const int32_t want[] = {403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317,
                                   426, 338, 401, 396, 267, 337, 410, 408, 419, 292, 411, 322, 265, 282,
                                   295, 433, 426, 385, 328, 432, 358, 394, 261, 370, 432, 352};
    int32_t bos = 1, out[FT_COUNT(want)];
    ft_model *m;
    const char *path = ft_test_shared("models/stories260K");
    if (!path)
        FT_SKIP("../shared is absent");
    ck_assert_ok(ft_model_open(&m, path, NULL));
    ft_decode_request r = {.prompt = &bos, .n = 1, .out = out, .max_new = FT_COUNT(want)};
    ck_assert_ok(ft_decode(m, &r, 1, &(ft_decode_options){.sampling = {.top_p = 1}}));
    ck_assert_int_eq(r.made, FT_COUNT(want));
    for (size_t i = 0; i < FT_COUNT(want); i++)
        ck_assert_int_eq(out[i], want[i]);
    ft_model_free(m);
}
END_TEST

/* Text out of a model that ends by itself, as it is known from elsewhere. */
START_TEST(a_story_reads_well_and_ends)
{
    int32_t bos = 1, stop = 2, out[200];
    ft_model *m;
    ft_tokenizer *tok;
    ft_buf text = {0};
    const char *path = ft_test_shared("models/tinystories-656k");
    if (!path)
        FT_SKIP("../shared is absent");
    ck_assert_ok(ft_model_open(&m, path, NULL));
    ck_assert_ok(ft_tokenizer_open(&tok, ft_model_tokenizer_path(m)));
    ft_decode_request r = {.prompt = &bos, .n = 1, .out = out, .max_new = FT_COUNT(out)};
    ck_assert_ok(ft_decode(m, &r, 1, &(ft_decode_options){.sampling = {.top_p = 1}, .stops = &stop, .n_stops = 1}));
    ck_assert(r.stopped && out[r.made - 1] == stop);
    ck_assert_ok(ft_tokenizer_decode(tok, out, (size_t)r.made, true, true, &text));
    ck_assert_msg(
        ft_starts(text.p,
                  "Once upon a time, there was a little girl named Lily. She had a toy car that she loved very much."),
        "%s", text.p);
    ft_buf_free(&text);
    ft_tokenizer_free(tok);
    ft_model_free(m);
}
END_TEST

START_TEST(sampled_rows_depend_on_seed_and_row_alone)
{
    static batch a, b;
    ft_model *m = random_model(NULL);
    ft_decode_options o = {.sampling = {.temperature = 1.5f, .top_p = 0.95f, .top_k = 30, .seed = 8}};
    fill(&a, 40);
    ck_assert_ok(ft_decode(m, a.r, ROWS, &o));
    o.max_rows = 2;
    o.max_tokens_at_once = 3;
    fill(&b, 40);
    ck_assert_ok(ft_decode(m, b.r, ROWS, &o));
    same(&a, &b);
    o.sampling.seed = 9;
    fill(&b, 40);
    ck_assert_ok(ft_decode(m, b.r, ROWS, &o));
    int differ = 0;
    for (int i = 0; i < ROWS; i++)
        differ += memcmp(a.out[i], b.out[i], sizeof a.out[i]) != 0;
    ck_assert_int_gt(differ, ROWS / 2);
    ft_model_free(m);
}
END_TEST

typedef struct stream {
    int32_t got[ROWS][NEW];
    int n[ROWS], end_after;
} stream;

static bool on_token(void *ctx, size_t row, int32_t id)
{
    stream *s = ctx;
    s->got[row][s->n[row]++] = id;
    return s->n[row] < s->end_after;
}

START_TEST(tokens_are_streamed_and_a_row_can_be_ended)
{
    static batch b;
    stream s = {.end_after = 4};
    ft_model *m = random_model(NULL);
    fill(&b, 40);
    ck_assert_ok(ft_decode(
        m, b.r, ROWS, &(ft_decode_options){.sampling = {.top_p = 1}, .max_rows = 4, .on_token = on_token, .ctx = &s}));
    for (int i = 0; i < ROWS; i++) {
        ck_assert_int_eq(b.r[i].made, 4);
        ck_assert(!b.r[i].stopped);
        ck_assert_int_eq(memcmp(s.got[i], b.out[i], 4 * sizeof(int32_t)), 0);
    }
    ft_model_free(m);
}
END_TEST

START_TEST(positions_end_a_row_and_no_room_is_an_error)
{
    int32_t prompt[64] = {1}, out[64];
    ft_model *m = random_model(NULL); /* 64 positions */
    ft_decode_options o = {.sampling = {.top_p = 1}};
    ft_decode_request r = {.prompt = prompt, .n = 60, .out = out, .max_new = 64};
    ck_assert_ok(ft_decode(m, &r, 1, &o));
    ck_assert_int_eq(r.made, 4);
    ck_assert(!r.stopped);
    r.n = 64;
    ck_assert_fails(ft_decode(m, &r, 1, &o), FT_EINPUT, "row 1: the prompt has 64 tokens, the model 64 positions");
    r.n = 0;
    ck_assert_fails(ft_decode(m, &r, 1, &o), FT_EINPUT, "row 1: an empty prompt");
    r.n = 2;
    r.max_new = -1;
    ck_assert_fails(ft_decode(m, &r, 1, &o), FT_EINPUT, "-1 new tokens");
    r.max_new = 0;
    ck_assert_ok(ft_decode(m, &r, 1, &o));
    ck_assert_int_eq(r.made, 0);
    prompt[1] = 40;
    r.max_new = 1;
    ck_assert_fails(ft_decode(m, &r, 1, &o), FT_EINPUT, "40");
    ft_model_free(m);
}
END_TEST

START_TEST(logits_that_are_not_finite_are_an_error)
{
    int32_t prompt[] = {1, 3}, out[4];
    ft_model *m = random_model(NULL);
    ((float *)ft_model_find(m, "model.norm.weight")->t.data)[3] = NAN;
    ft_decode_request r = {.prompt = prompt, .n = 2, .out = out, .max_new = 4};
    ck_assert_fails(ft_decode(m, &r, 1, &(ft_decode_options){.sampling = {.top_p = 1}}), FT_ENUMERIC,
                    "row 1: the logits after 2 tokens");
    ft_model_free(m);
}
END_TEST

START_TEST(a_stop_request_ends_decoding)
{
    static batch b;
    ft_model *m = random_model(NULL);
    fill(&b, 40);
    ft_stop_set(true);
    ck_assert_fails(ft_decode(m, b.r, ROWS, &(ft_decode_options){.sampling = {.top_p = 1}}), FT_ESTOPPED, "stopped");
    ft_stop_set(false);
    ft_model_free(m);
}
END_TEST

START_TEST(every_failing_allocation_is_survived)
{
    static batch b;
    ft_model *m = random_model(NULL);
    ft_status st = FT_ENOMEM;
    for (long n = 1; st != FT_OK; n++) {
        fill(&b, 40);
        ft_alloc_fail_at(n);
        st = ft_decode(m, b.r, ROWS, &(ft_decode_options){.sampling = {.top_p = 1}});
        ft_alloc_fail_at(0);
        ck_assert_msg(st == FT_OK || st == FT_ENOMEM, "allocation %ld: status %d: %s", n, st, ft_error());
        ck_assert_int_lt(n, 2000);
    }
    ft_model_free(m);
}
END_TEST

int main(void)
{
    FT_TESTS(
        "decode", rows_together_are_rows_alone_and_rows_without_a_cache, every_family_decodes_as_without_a_cache,
        an_encoder_continues_no_text, real_models_decode_alike_in_every_way, the_cache_gives_the_states_of_a_whole_pass,
        stories_begin_as_they_are_known_to, a_story_reads_well_and_ends, sampled_rows_depend_on_seed_and_row_alone,
        tokens_are_streamed_and_a_row_can_be_ended, positions_end_a_row_and_no_room_is_an_error,
        logits_that_are_not_finite_are_an_error, a_stop_request_ends_decoding, every_failing_allocation_is_survived);
}
