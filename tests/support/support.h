/* Test support: every test program is a Check suite run through ft_test_main, which ends with the line
 * "N passed, N failed, N skipped" that tools/check adds up.
 *
 *   START_TEST(rounds_to_even) { ck_assert_int_eq(...); } END_TEST
 *   int main(void) { FT_TESTS("tensor", rounds_to_even, ...); }
 */
#ifndef FT_TEST_SUPPORT_H
#define FT_TEST_SUPPORT_H

#include "base/mem.h"
#include "base/os.h"
#include "base/rng.h"
#include "base/str.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int ft_test_main(const char *suite, const TTest *const *tests, size_t n, int timeout_s);
#define FT_TESTS(suite, ...)                                                                                           \
    do {                                                                                                               \
        const TTest *const tests_[] = {__VA_ARGS__};                                                                   \
        return ft_test_main(suite, tests_, sizeof tests_ / sizeof *tests_, 300);                                       \
    } while (0)
/* Counts the running test as skipped (say why) and leaves it: `FT_SKIP("../shared is absent");` */
void ft_test_skipped(const char *test, const char *why);
#define FT_SKIP(why)                                                                                                   \
    do {                                                                                                               \
        ft_test_skipped(__func__, why);                                                                                \
        return;                                                                                                        \
    } while (0)
/* A file of the source tree ("data/base"); of ../shared ("golden/qwen2"), NULL when it is absent. Static storage, a few at
 * a time. */
const char *ft_test_source(const char *path);
const char *ft_test_shared(const char *path);
/* A fresh directory for this test under the build tree's tests/tmp, removed when the suite ends; static storage. */
const char *ft_test_dir(void);
/* dir/name in static storage, a few at a time. */
const char *ft_test_path(const char *dir, const char *name);
#define ck_assert_ok(expr)                                                                                             \
    do {                                                                                                               \
        ft_status s_ = (expr);                                                                                         \
        ck_assert_msg(s_ == FT_OK, "%s: status %d: %s", #expr, s_, ft_error());                                        \
    } while (0)
/* The call fails with this kind and its message holds the text. */
#define ck_assert_fails(expr, kind, text)                                                                              \
    do {                                                                                                               \
        ft_error_clear();                                                                                              \
        ft_status s_ = (expr);                                                                                         \
        ck_assert_msg(s_ == (kind), "%s: status %d, expected %d: %s", #expr, s_, (kind), ft_error());                  \
        ck_assert_msg(strstr(ft_error(), text) != NULL, "%s: message \"%s\" lacks \"%s\"", #expr, ft_error(), text);   \
    } while (0)

/* Damaged copies of a file: calls open_and_close(path, ctx) on `count` copies, each truncated, bit-flipped, or with a
 * run of bytes made absurd (0xff.. or 0x7f..), chosen by seed. The callee may fail or not; a crash, a hang (alarm) or a
 * sanitizer report fails the test. Returns how many were refused. */
int ft_test_damage(const char *path, int count, uint64_t seed, ft_status (*open_and_close)(const char *path, void *ctx), void *ctx);

#endif
