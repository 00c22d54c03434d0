/* The store, against itself and under damage; tests/oracle/check_files.py reads one with h5py. */
#include "file/store.h"
#include "support/support.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { LARGE = 300, COLS = 1000 };
static const int64_t shape_i[] = {3}, shape_none[] = {0, 4}, shape_h[] = {2, 1, 5, 2};
static const int64_t integers[] = {INT64_MIN, 0, INT64_MAX};

static float weight(int64_t i)
{
    return (float)(i % 977) * 0.25f - 100;
}

/* Two arrays of f32[rows, 1000] (LARGE: more than one chunk), small ones of the other types, one without elements. */
static ft_status write_store(const char *path, int64_t rows)
{
    static float w[LARGE * COLS];
    const int64_t shape_w[] = {rows, COLS};
    static const uint16_t h[20] = {1, 2, 65535};
    static const uint8_t u[3] = {0, 255, 7};
    static const double d[3] = {1e300, -0.0, 0.1};
    static const int32_t k[3] = {-1, INT32_MIN, 5};
    ft_store *s;
    for (int64_t i = 0; i < LARGE * COLS; i++)
        w[i] = weight(i);
    FT_RETURN(ft_store_create(&s, path));
    ft_status st = FT_OK;
    FT_TRY(ft_store_put(s, "adapter/layers.0.q/A", FT_STORE_F32, 2, shape_w, w, 0));
    FT_TRY(ft_store_put(s, "adapter/layers.0.q/B", FT_STORE_F32, 2, shape_w, w, 4));
    FT_TRY(ft_store_put(s, "adapter.order", FT_STORE_I64, 1, shape_i, integers, 0));
    FT_TRY(ft_store_put(s, "u8", FT_STORE_U8, 1, shape_i, u, 9));
    FT_TRY(ft_store_put(s, "u16", FT_STORE_U16, 4, shape_h, h, 0));
    FT_TRY(ft_store_put(s, "f64", FT_STORE_F64, 1, shape_i, d, 0));
    FT_TRY(ft_store_put(s, "i32", FT_STORE_I32, 1, shape_i, k, 0));
    FT_TRY(ft_store_put(s, "none", FT_STORE_I32, 2, shape_none, NULL, 0));
    FT_TRY(ft_store_put_i64(s, "step", -42));
    FT_TRY(ft_store_put_f64(s, "best", 0.1));
    FT_TRY(ft_store_put_str(s, "recipe", "lora_r: 16\n# \xc3\xa9\n"));
    FT_TRY(ft_store_put_str(s, "empty", ""));
    return ft_store_commit(s);
done:
    ft_store_abort(s);
    return st;
}

/* ctx: the rows. */
static ft_status read_everything(const char *path, void *ctx)
{
    static float w[LARGE * COLS];
    ft_store *s;
    int64_t v, count = *(int64_t *)ctx * COLS;
    FT_RETURN(ft_store_open(&s, path));
    ft_status st = ft_store_get(s, "adapter/layers.0.q/A", FT_STORE_F32, count, w);
    if (st == FT_OK)
        st = ft_store_get(s, "adapter/layers.0.q/B", FT_STORE_F32, count, w);
    if (st == FT_OK)
        st = ft_store_get_i64(s, "step", &v);
    ft_store_close(s);
    return st;
}

static ft_status note_name(void *ctx, const char *name, ft_store_type type, int ndim, const int64_t *shape)
{
    return ft_buf_printf(ctx, "%s %d %d;", name, type, ndim);
}

START_TEST(what_was_put_is_got)
{
    const char *path = ft_test_path(ft_test_dir(), "s.h5");
    static float w[LARGE * COLS];
    ft_store *s;
    int64_t i[3], v, shape[FT_MAX_DIMS];
    uint16_t h[20];
    uint8_t u[3];
    double d[3], best;
    int32_t k[3];
    char *text;
    ft_store_type type;
    int ndim;
    ft_buf names = {0};
    ck_assert_ok(write_store(path, LARGE));
    ck_assert_ok(ft_store_open(&s, path));
    for (int b = 0; b < 2; b++) {
        memset(w, 0xff, sizeof w);
        ck_assert_ok(
            ft_store_get(s, b ? "adapter/layers.0.q/B" : "adapter/layers.0.q/A", FT_STORE_F32, LARGE * COLS, w));
        for (int64_t j = 0; j < LARGE * COLS; j++)
            ck_assert(w[j] == weight(j));
    }
    ck_assert_ok(ft_store_get(s, "adapter.order", FT_STORE_I64, 3, i));
    ck_assert_mem_eq(i, integers, sizeof i);
    ck_assert_ok(ft_store_get(s, "u8", FT_STORE_U8, 3, u));
    ck_assert(u[0] == 0 && u[1] == 255 && u[2] == 7);
    ck_assert_ok(ft_store_get(s, "u16", FT_STORE_U16, 20, h));
    ck_assert(h[2] == 65535 && h[19] == 0);
    ck_assert_ok(ft_store_get(s, "f64", FT_STORE_F64, 3, d));
    ck_assert(d[0] == 1e300 && d[1] == 0 && signbit(d[1]) && d[2] == 0.1);
    ck_assert_ok(ft_store_get(s, "i32", FT_STORE_I32, 3, k));
    ck_assert(k[0] == -1 && k[1] == INT32_MIN && k[2] == 5);
    ck_assert_ok(ft_store_get(s, "none", FT_STORE_I32, 0, NULL));
    ck_assert_ok(ft_store_info(s, "u16", &type, &ndim, shape));
    ck_assert(type == FT_STORE_U16 && ndim == 4);
    ck_assert_mem_eq(shape, shape_h, sizeof shape);
    ck_assert_ok(ft_store_get_i64(s, "step", &v));
    ck_assert_int_eq(v, -42);
    ck_assert_ok(ft_store_get_f64(s, "best", &best));
    ck_assert(best == 0.1);
    ck_assert_ok(ft_store_get_str(s, "recipe", &text));
    ck_assert_str_eq(text, "lora_r: 16\n# \xc3\xa9\n");
    ft_free(text);
    ck_assert_ok(ft_store_get_str(s, "empty", &text));
    ck_assert_str_eq(text, "");
    ft_free(text);
    ck_assert_ok(ft_store_each(s, note_name, &names));
    ck_assert_str_eq(
        names.p,
        "adapter.order 3 1;adapter/layers.0.q/A 0 2;adapter/layers.0.q/B 0 2;f64 1 1;i32 2 1;none 2 2;u16 5 4;u8 4 1;");
    ft_store_close(s);
    ft_buf_free(&names);
}
END_TEST

START_TEST(an_array_in_one_piece_is_viewed_where_it_lies)
{
    const char *path = ft_test_path(ft_test_dir(), "view.h5");
    enum { N = 100 };
    static float same[N], w[N];
    static uint16_t h[3 * N];
    const int64_t shape[] = {N}, shape_h[] = {N, 3}, none[] = {0};
    const void *data;
    ft_store *s;
    for (int i = 0; i < N; i++)
        w[i] = weight(i);
    for (int i = 0; i < 3 * N; i++)
        h[i] = (uint16_t)(i * 40503);
    ck_assert_ok(ft_store_create(&s, path));
    ck_assert_ok(ft_store_put(s, "zeros", FT_STORE_F32, 1, shape, same, 0));
    ck_assert_ok(ft_store_put(s, "states/w", FT_STORE_F32, 1, shape, w, 0));
    ck_assert_ok(ft_store_put(s, "states/h", FT_STORE_U16, 2, shape_h, h, 0));
    ck_assert_ok(ft_store_put(s, "none", FT_STORE_F32, 1, none, w, 0));
    ck_assert_ok(ft_store_put(s, "small", FT_STORE_F32, 1, shape, w, 3));
    ck_assert_ok(ft_store_commit(s));
    ck_assert_ok(ft_store_open(&s, path));
    for (int i = 0; i < 2; i++) {
        ck_assert_ok(ft_store_view(s, "zeros", FT_STORE_F32, N, &data));
        ck_assert_mem_eq(data, same, sizeof same);
        ck_assert_ok(ft_store_view(s, "states/h", FT_STORE_U16, 3 * N, &data));
        ck_assert_mem_eq(data, h, sizeof h);
        ck_assert_ok(ft_store_view(s, "states/w", FT_STORE_F32, N, &data));
        ck_assert_mem_eq(data, w, sizeof w);
    }
    ck_assert_ok(ft_store_view(s, "none", FT_STORE_F32, 0, &data));
    ck_assert_fails(ft_store_view(s, "small", FT_STORE_F32, N, &data), FT_EUNSUPPORTED, "does not lie in one piece");
    ck_assert_fails(ft_store_view(s, "states/w", FT_STORE_F32, N - 1, &data), FT_EFORMAT, "expected 99");
    ck_assert_fails(ft_store_view(s, "gone", FT_STORE_F32, N, &data), FT_EINPUT, "no array");
    ft_store_close(s);
    int64_t rows = LARGE;
    ck_assert_ok(write_store(path, rows));
    ck_assert_ok(ft_store_open(&s, path));
    ck_assert_fails(ft_store_view(s, "adapter/layers.0.q/A", FT_STORE_F32, rows * COLS, &data), FT_EUNSUPPORTED, "one piece");
    ft_store_close(s);
}
END_TEST

START_TEST(what_is_asked_wrongly_is_refused)
{
    const char *path = ft_test_path(ft_test_dir(), "s.h5");
    ft_store *s;
    int64_t v, shape[FT_MAX_DIMS];
    double d;
    char *text;
    ft_store_type type;
    int ndim;
    float x[3];
    ck_assert_ok(write_store(path, LARGE));
    ck_assert_ok(ft_store_open(&s, path));
    ck_assert_fails(ft_store_info(s, "absent", &type, &ndim, shape), FT_EINPUT, "there is no array \"absent\"");
    ck_assert_fails(ft_store_get(s, "adapter", FT_STORE_F32, 1, x), FT_EINPUT, "there is no array \"adapter\"");
    ck_assert_fails(ft_store_get(s, "i32", FT_STORE_I32, 2, x), FT_EFORMAT,
                    "holds 3 elements of 4 bytes, expected 2 of 4");
    ck_assert_fails(ft_store_get(s, "i32", FT_STORE_F32, 3, x), FT_EFORMAT, "and another type");
    ck_assert_fails(ft_store_get_i64(s, "absent", &v), FT_EINPUT, "there is no attribute \"absent\"");
    ck_assert_fails(ft_store_get_i64(s, "best", &v), FT_EFORMAT, "\"best\" is no integer");
    ck_assert_fails(ft_store_get_f64(s, "recipe", &d), FT_EFORMAT, "\"recipe\" is no number");
    ck_assert_fails(ft_store_get_str(s, "step", &text), FT_EFORMAT, "\"step\" is no text");
    ft_store_close(s);
    ft_store_close(NULL);
    ck_assert_fails(ft_store_open(&s, "/nowhere.h5"), FT_EINPUT, "/nowhere.h5: no such file");
    ck_assert_ptr_null(s);
}
END_TEST

START_TEST(a_wrong_put_never_makes_a_file)
{
    const char *path = ft_test_path(ft_test_dir(), "s.h5");
    static char longest[60002];
    const int64_t shape[] = {1}, negative[] = {-1}, huge[] = {INT64_MAX, INT64_MAX};
    const float x[1] = {0};
    ft_store *s;
    memset(longest, 'a', sizeof longest - 1);
#define REFUSED(call, text)                                                                                            \
    do {                                                                                                               \
        ck_assert_ok(ft_store_create(&s, path));                                                                       \
        ck_assert_ok(ft_store_put(s, "a/b", FT_STORE_F32, 1, shape, x, 0));                                            \
        ck_assert_ok(ft_store_put_i64(s, "k", 1));                                                                     \
        ck_assert_fails(call, FT_EINPUT, text);                                                                        \
        ck_assert_fails(ft_store_commit(s), FT_EINPUT, text);                                                          \
        ck_assert(!ft_exists(path));                                                                                   \
    } while (0)
    REFUSED(ft_store_put(s, "a/b", FT_STORE_F32, 1, shape, x, 0), "\"a/b\" is given twice");
    REFUSED(ft_store_put(s, "", FT_STORE_F32, 1, shape, x, 0), "is no name");
    REFUSED(ft_store_put(s, "/a", FT_STORE_F32, 1, shape, x, 0), "is no name");
    REFUSED(ft_store_put(s, "a/./c", FT_STORE_F32, 1, shape, x, 0), "is no name");
    REFUSED(ft_store_put(s, "n", FT_STORE_F32, 1, negative, x, 0), "cannot be [-1]");
    REFUSED(ft_store_put(s, "n", FT_STORE_F32, 2, huge, x, 0), "cannot be [9223372036854775807, ");
    REFUSED(ft_store_put(s, "n", FT_STORE_F32, 0, shape, x, 0), "has 0 dimensions");
    REFUSED(ft_store_put(s, "n", FT_STORE_F32, 1, shape, x, 10), "deflate is 10");
    REFUSED(ft_store_put_f64(s, "k", 1), "\"k\" is given twice");
    REFUSED(ft_store_put_str(s, "s", longest), "has 60001 bytes, at most 60000");
    longest[60000] = 0;
    ck_assert_ok(ft_store_create(&s, path));
    ck_assert_ok(ft_store_put_str(s, "s", longest));
    ck_assert_ok(ft_store_put_str(s, "t", longest));
    ck_assert_ok(ft_store_put(s, "a", FT_STORE_F32, 1, shape, x, 0));
    ck_assert_fails(ft_store_put(s, "a/b", FT_STORE_F32, 1, shape, x, 0), FT_EIO, "cannot write a/b");
    ft_store_abort(s);
    ft_store_abort(NULL);
    ck_assert(!ft_exists(path));
}
END_TEST

START_TEST(the_same_puts_make_the_same_bytes)
{
    const char *dir = ft_test_dir(), *one = ft_test_path(dir, "1.h5"), *two = ft_test_path(dir, "2.h5");
    ft_buf a = {0}, b = {0};
    ck_assert_ok(write_store(one, LARGE));
    sleep(1); /* HDF5 likes to keep times in seconds */
    ck_assert_ok(write_store(two, LARGE));
    ck_assert_ok(ft_read_file(&a, one, 1 << 24));
    ck_assert_ok(ft_read_file(&b, two, 1 << 24));
    ck_assert_uint_eq(a.n, b.n);
    ck_assert_mem_eq(a.p, b.p, a.n);
    ft_buf_free(&a);
    ft_buf_free(&b);
}
END_TEST

START_TEST(every_flipped_byte_is_noticed)
{
    const char *path = ft_test_path(ft_test_dir(), "s.h5"), *copy = ft_test_path(ft_test_dir(), "c.h5");
    const int64_t shape[] = {2};
    const float x[2] = {1, 2};
    ft_store *s;
    ft_buf b = {0};
    ck_assert_ok(ft_store_create(&s, path));
    ck_assert_ok(ft_store_put(s, "a", FT_STORE_F32, 1, shape, x, 0));
    ck_assert_ok(ft_store_commit(s));
    ck_assert_ok(ft_read_file(&b, path, 1 << 20));
    ck_assert_uint_gt(b.n, 1000);
    for (size_t i = 0; i < b.n; i++) {
        b.p[i] ^= (char)(1 << i % 8);
        FILE *f = fopen(copy, "wb"); /* no fsync a byte */
        ck_assert_uint_eq(fwrite(b.p, 1, b.n, f), b.n);
        fclose(f);
        ck_assert_fails(ft_store_open(&s, copy), FT_EFORMAT, copy);
        b.p[i] ^= (char)(1 << i % 8);
    }
    ft_buf_free(&b);
}
END_TEST

START_TEST(damaged_copies_are_refused)
{
    const char *path = ft_strdup(ft_test_path(ft_test_dir(), "s.h5"));
    int64_t rows = 3;
    ck_assert_ok(write_store(path, rows));
    ck_assert_ok(read_everything(path, &rows));
    /* all but the few copies that the damage left as they were */
    ck_assert_int_gt(ft_test_damage(path, 2000, 41, read_everything, &rows), 1980);
    ft_free((char *)path);
}
END_TEST

START_TEST(what_is_no_store_is_refused)
{
    const char *path = ft_test_path(ft_test_dir(), "s.h5");
    static char bytes[600] = "\x89HDF\r\n\x1a\n";
    ft_store *s;
    ck_assert_ok(ft_write_file(path, bytes, 600));
    ck_assert_fails(ft_store_open(&s, path), FT_EFORMAT, "no store of fettle");
    ck_assert_ok(ft_write_file(path, bytes, 100));
    ck_assert_fails(ft_store_open(&s, path), FT_EFORMAT, "100 bytes");
    ck_assert_ok(ft_write_file(path, bytes, 0));
    ck_assert_fails(ft_store_open(&s, path), FT_EFORMAT, "0 bytes");
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    const char *path = ft_test_path(ft_test_dir(), "s.h5");
    ft_status st = FT_ENOMEM;
    int64_t rows = 3;
    int n = 1;
    for (; st != FT_OK && n < 500; n++) {
        ft_alloc_fail_at(n);
        st = write_store(path, rows);
        ft_alloc_fail_at(0);
        ck_assert_msg(st == FT_OK || st == FT_ENOMEM, "n %d: %d %s", n, st, ft_error());
        ck_assert_int_eq(ft_exists(path), st == FT_OK);
    }
    ck_assert_int_gt(n, 10);
    for (st = FT_ENOMEM, n = 1; st != FT_OK && n < 500; n++) {
        ft_alloc_fail_at(n);
        st = read_everything(path, &rows);
        ft_alloc_fail_at(0);
        ck_assert_msg(st == FT_OK || st == FT_ENOMEM, "n %d: %d %s", n, st, ft_error());
    }
    ck_assert_int_gt(n, 10);
}
END_TEST

/* A disk that fills up after so many bytes: the largest file that this process may write. */
START_TEST(no_failed_write_leaves_a_file)
{
    const char *dir = ft_test_dir(), *path = ft_test_path(dir, "s.h5");
    struct rlimit whole, limit;
    struct stat sb;
    ft_status st;
    ck_assert_ok(write_store(path, LARGE));
    ck_assert_int_eq(stat(path, &sb), 0);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &whole), 0);
    for (off_t n = 0; n <= sb.st_size + 4096; n += n < 8192 ? 1024 : 150000) {
        limit = whole;
        limit.rlim_cur = (rlim_t)n;
        unlink(path);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        st = write_store(path, LARGE);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &whole), 0);
        ck_assert_msg(st == (n < sb.st_size ? FT_EIO : FT_OK), "%ld of %ld bytes: status %d: %s", (long)n,
                      (long)sb.st_size, st, ft_error());
        ck_assert_int_eq(ft_exists(path), st == FT_OK);
        if (st != FT_OK)
            ck_assert_msg(strstr(ft_error(), "File too large") != NULL, "%s", ft_error());
        ft_names left;
        ck_assert_ok(ft_list_dir(&left, dir, ".tmp"));
        ck_assert_uint_eq(left.n, 0);
        ft_names_free(&left);
    }
    for (int k = 1; k == 1 || st != FT_OK; k++) {
        unlink(path);
        ft_write_fail_at(k);
        st = write_store(path, 3);
        ft_write_fail_at(0);
        ck_assert(st == FT_OK || (st == FT_EIO && strstr(ft_error(), "No space left")));
        ck_assert_int_eq(ft_exists(path), st == FT_OK);
        ck_assert_int_lt(k, 1000);
    }
}
END_TEST

int main(void)
{
    FT_TESTS("store", what_was_put_is_got, an_array_in_one_piece_is_viewed_where_it_lies, what_is_asked_wrongly_is_refused, a_wrong_put_never_makes_a_file,
             the_same_puts_make_the_same_bytes, every_flipped_byte_is_noticed, damaged_copies_are_refused,
             what_is_no_store_is_refused, every_allocation_may_fail, no_failed_write_leaves_a_file);
}
