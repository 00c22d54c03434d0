#include "support/support.h"
#include "base/threads.h"

#include <sys/wait.h>

START_TEST(error_keeps_context)
{
    ft_fail(FT_EFORMAT, "found %d", 3);
    ck_assert_int_eq(ft_context(FT_EFORMAT, "file"), FT_EFORMAT);
    ck_assert_str_eq(ft_error(), "file: found 3");
    ft_fail(FT_EINPUT, "again: %s", ft_error());
    ck_assert_str_eq(ft_error(), "again: file: found 3");
}
END_TEST

START_TEST(arena_release_gives_the_same_memory_again)
{
    ft_arena *a = ft_arena_new(1024, 0);
    ft_arena_mark m = ft_arena_now(a);
    void *p = ft_arena_alloc(a, 100, 1);
    for (int i = 0; i < 10; i++)
        ck_assert_ptr_nonnull(ft_arena_alloc(a, 1000, 1));
    size_t held = ft_arena_held(a), peak = ft_arena_peak(a);
    ft_arena_release(a, m);
    ck_assert_ptr_eq(ft_arena_alloc(a, 100, 1), p);
    for (int i = 0; i < 10; i++)
        ck_assert_ptr_nonnull(ft_arena_alloc(a, 1000, 1));
    ck_assert_uint_eq(ft_arena_held(a), held);
    ck_assert_uint_eq(ft_arena_peak(a), peak);
    ft_arena_free(a);
    a = ft_arena_new(64, 256);
    ck_assert_ptr_nonnull(ft_arena_alloc(a, 200, 1));
    ck_assert_ptr_null(ft_arena_alloc(a, 200, 1));
    ft_arena_free(a);
}
END_TEST

START_TEST(map_holds_many_keys)
{
    ft_map *m = ft_map_new();
    char key[32];
    int64_t v;
    for (int i = 0; i < 5000; i++)
        ck_assert_ok(ft_map_put(m, key, (size_t)snprintf(key, sizeof key, "k%d", i), i));
    for (int i = 0; i < 5000; i++) {
        ck_assert(ft_map_get(m, key, (size_t)snprintf(key, sizeof key, "k%d", i), &v));
        ck_assert_int_eq(v, i);
    }
    ck_assert(!ft_map_get(m, "k", 1, &v));
    ck_assert_ok(ft_map_put(m, "", 0, 7));
    ck_assert(ft_map_get(m, "", 0, &v) && v == 7);
    ft_map_free(m);
}
END_TEST

/* Known answers of the Random123 distribution's kat_vectors for philox4x32-10. */
START_TEST(philox_matches_known_answers)
{
    uint32_t out[4];
    ft_philox(0, 0, 0, 0, out);
    ck_assert_uint_eq(out[0], 0x6627e8d5);
    ck_assert_uint_eq(out[1], 0xe169c58d);
    ck_assert_uint_eq(out[2], 0xbc57ac4c);
    ck_assert_uint_eq(out[3], 0x9b00dbd8);
    ft_philox(UINT64_MAX, 0, UINT64_MAX, UINT64_MAX, out);
    ck_assert_uint_eq(out[0], 0x408f276d);
}
END_TEST

START_TEST(permutation_is_one)
{
    int64_t order[1000], seen[1000] = {0};
    ft_permutation(order, 1000, 42, FT_STREAM_SHUFFLE, 3);
    for (int i = 0; i < 1000; i++)
        seen[order[i]]++;
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(seen[i], 1);
}
END_TEST

START_TEST(out_leaves_old_or_new)
{
    const char *path = ft_test_path(ft_test_dir(), "f");
    ft_buf b = {0};
    ck_assert_ok(ft_write_file(path, "old", 3));
    ft_write_fail_at(1);
    ck_assert_fails(ft_write_file(path, "new text", 8), FT_EIO, "No space left");
    ft_write_fail_at(0);
    ck_assert_ok(ft_read_file(&b, path, 100));
    ck_assert_str_eq(b.p, "old");
    b.n = 0;
    ck_assert_ok(ft_write_file(path, "new text", 8));
    ck_assert_ok(ft_read_file(&b, path, 100));
    ck_assert_str_eq(b.p, "new text");
    ck_assert_fails(ft_write_file("/nowhere/at/all", "x", 1), FT_EIO, "/nowhere/at/all");
    char *dir = ft_path_dir(path);
    ft_names names;
    ck_assert_ok(ft_list_dir(&names, dir, NULL));
    ck_assert_uint_eq(names.n, 1);
    ft_names_free(&names);
    ft_free(dir);
    ft_buf_free(&b);
}
END_TEST

START_TEST(the_way_between_two_places_leads_there)
{
    static const char *const ways[][3] = {{"a/b", "a/b/c", "c"}, {"a/b", "a", "../"},      {"a/b", "a/bc", "../bc"},
                                          {"a/bc", "a/b", "../b"}, {"a/b", "a/b", "."},    {"a/new", "x/y", "../../x/y"},
                                          {"x/./y/", "a/link", "../../a/b/c"}, {"no/where", "a", NULL}};
    char dir[512], from[600], to[600];
    snprintf(dir, sizeof dir, "%s", ft_test_dir());
    for (const char *const *d = (const char *const[]){"a/b/c", "a/bc", "x/y", NULL}; *d; d++)
        ck_assert_ok(ft_mkdirs(ft_test_path(dir, *d)));
    ck_assert_int_eq(symlink("b/c", ft_test_path(dir, "a/link")), 0);
    for (size_t i = 0; i < FT_COUNT(ways); i++) {
        snprintf(from, sizeof from, "%s/%s", dir, ways[i][0]);
        snprintf(to, sizeof to, "%s/%s", dir, ways[i][1]);
        char *way = ft_path_relative(from, to);
        ck_assert_pstr_eq(way, ways[i][2]);
        ft_free(way);
    }
    char *root = ft_path_relative("/", "/usr"), *up = ft_path_relative("/usr/new", "/");
    ck_assert_str_eq(root, "usr");
    ck_assert_str_eq(up, "../../");
    ft_free(root);
    ft_free(up);
}
END_TEST

START_TEST(a_directory_tells_what_it_holds)
{
    const char *dir = ft_test_dir();
    ck_assert_ok(ft_mkdirs_for(ft_test_path(dir, "in/file")));
    ck_assert_ok(ft_write_file(ft_test_path(dir, "in/file"), "GGUF", 4));
    ck_assert(ft_dir_holds(dir, "in") && ft_dir_holds(dir, "in/file"));
    ck_assert(!ft_dir_holds(dir, "file") && !ft_dir_holds(ft_test_path(dir, "in/file"), "x"));
    ck_assert(ft_begins_with(ft_test_path(dir, "in/file"), "GG", 2));
    ck_assert(!ft_begins_with(ft_test_path(dir, "in/file"), "GGUFx", 5) && !ft_begins_with(dir, "", 0));
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    const char *dir = ft_test_dir();
    const char *path = ft_test_path(dir, "f");
    int n = 1;
    for (;; n++) {
        ft_alloc_fail_at(n);
        ft_status st = ft_write_file(path, "abc", 3);
        ft_alloc_fail_at(0);
        if (st == FT_OK)
            break;
        ck_assert_int_eq(st, FT_ENOMEM);
        ck_assert(!ft_exists(path));
        ck_assert_int_lt(n, 100);
    }
    ck_assert_int_gt(n, 2);
}
END_TEST

START_TEST(lock_is_exclusive)
{
    ft_lock a, b;
    const char *dir = ft_test_dir();
    ck_assert_ok(ft_lock_dir(&a, dir));
    ck_assert_fails(ft_lock_dir(&b, dir), FT_EINPUT, "another fettle");
    ft_lock_release(&a);
    ck_assert_ok(ft_lock_dir(&b, dir));
    ft_lock_release(&b);
}
END_TEST

START_TEST(nearest_names)
{
    const char *const words[] = {"learning_rate", "lora_r", "lora_alpha"};
    ck_assert_str_eq(ft_nearest("learningrate", words, 3), "learning_rate");
    ck_assert_str_eq(ft_nearest("lora_alfa", words, 3), "lora_alpha");
    ck_assert_ptr_null(ft_nearest("zebra", words, 3));
}
END_TEST

START_TEST(utf8_characters_have_their_length_or_none)
{
    static const struct {
        const char *text;
        size_t n, length;
    } cases[] = {{"a", 1, 1},
                 {"", 1, 1},
                 {"", 0, 0},
                 {"\xc3\xa9", 2, 2},
                 {"\xc3\xa9", 1, 0},
                 {"\xe2\x82\xac", 3, 3},
                 {"\xf0\x9f\x98\x80", 4, 4},
                 {"\xf0\x9f\x98\x80", 3, 0},
                 {"\xc0\x80", 2, 0},         /* overlong */
                 {"\xe0\x9f\xbf", 3, 0},     /* overlong */
                 {"\xed\xa0\x80", 3, 0},     /* a surrogate */
                 {"\xf4\x90\x80\x80", 4, 0}, /* past U+10FFFF */
                 {"\x80", 1, 0},
                 {"\xff", 1, 0}};
    for (size_t i = 0; i < FT_COUNT(cases); i++)
        ck_assert_msg(ft_utf8_length(cases[i].text, cases[i].n) == cases[i].length, "case %zu", i);
}
END_TEST

START_TEST(numbers_are_whole_texts)
{
    int64_t i = 5;
    double d = 5;
    ck_assert(ft_parse_i64("-12", &i) && i == -12);
    ck_assert(!ft_parse_i64("12a", &i) && !ft_parse_i64("", &i) && !ft_parse_i64("99999999999999999999", &i));
    ck_assert(ft_parse_f64("3e-4", &d) && d == 3e-4);
    ck_assert(!ft_parse_f64("nan", &d) && !ft_parse_f64("1e999", &d) && !ft_parse_f64("1 ", &d));
}
END_TEST

static void square(void *ctx, int64_t tile)
{
    ((int64_t *)ctx)[tile] = tile * tile;
}

static void nested(void *ctx, int64_t tile)
{
    int64_t x[8];
    ft_parallel(8, square, x);
    ((int64_t *)ctx)[tile] = x[7];
}

START_TEST(parallel_survives_many_jobs_nesting_and_a_fork)
{
    int64_t x[64], want = 0;
    for (int i = 0; i < 20000; i++) {
        int n = 1 + i % 64;
        ft_threads_set(1 + i % 5);
        ft_parallel(n, square, x);
        ck_assert_int_eq(x[n - 1], (int64_t)(n - 1) * (n - 1));
    }
    ft_threads_set(4);
    ft_parallel(64, nested, x);
    for (int i = 0; i < 64; i++)
        want += x[i] == 49;
    ck_assert_int_eq(want, 64);
    pid_t child = fork();
    if (child == 0) {
        memset(x, 0, sizeof x);
        ft_parallel(64, square, x);
        _exit(x[63] == 63 * 63 ? 0 : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ft_threads_set(0);
}
END_TEST

START_TEST(parallel_visits_every_tile)
{
    int64_t x[100];
    for (int threads = 1; threads <= 4; threads++) {
        ft_threads_set(threads);
        memset(x, 0xff, sizeof x);
        ft_parallel(100, square, x);
        for (int64_t i = 0; i < 100; i++)
            ck_assert_int_eq(x[i], i * i);
    }
    ft_threads_set(0);
    ck_assert_int_ge(ft_threads(), 1);
}
END_TEST

int main(void)
{
    FT_TESTS("base", error_keeps_context, arena_release_gives_the_same_memory_again, map_holds_many_keys,
             philox_matches_known_answers, permutation_is_one, out_leaves_old_or_new, the_way_between_two_places_leads_there,
             a_directory_tells_what_it_holds, every_allocation_may_fail,
             lock_is_exclusive, nearest_names,
             utf8_characters_have_their_length_or_none, numbers_are_whole_texts, parallel_visits_every_tile,
             parallel_survives_many_jobs_nesting_and_a_fork);
}
