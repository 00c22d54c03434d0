#include "file/json.h"
#include "support/support.h"

static const char *file_of(const char *bytes, size_t n)
{
    const char *path = ft_test_path(ft_test_dir(), "a.json");
    ck_assert_ok(ft_write_file(path, bytes, n));
    return path;
}

static const char *text_file(const char *text)
{
    return file_of(text, strlen(text));
}

START_TEST(a_document_is_read_with_its_order)
{
    json_t *j;
    ck_assert_ok(ft_json_file(&j, text_file("\xef\xbb\xbf{\"b\": [1, 2.5, \"\\u00e9\\u0000\"], \"a\": null}\n"), 100));
    void *it = json_object_iter(j);
    ck_assert_str_eq(json_object_iter_key(it), "b");
    ck_assert_int_eq(json_integer_value(json_array_get(json_object_get(j, "b"), 0)), 1);
    ck_assert_uint_eq(json_string_length(json_array_get(json_object_get(j, "b"), 2)), 3);
    ck_assert_str_eq(json_object_iter_key(json_object_iter_next(j, it)), "a");
    json_decref(j);
}
END_TEST

typedef struct bad {
    const char *text, *message;
} bad;
static const bad bads[] = {
    {"{\n  \"a\": 1,\n  \"a\": 2\n}", ":3:5: duplicate object key"},
    {"{\n  \"a\": tru\n}", ":2:"},
    {"{\"a\": 1}\n  x", ":2:3: end of file expected"},
    {"[1, 2", ":1:"},
    {"", ":1:0: "},
    {"[\"\xff\"]", "unable to decode byte 0xff"},
    {"[\"a\nb\"]", "unexpected newline"},
    {"[1e999]", "real number overflow"},
    {"[01]", ":1:"},
    {"[NaN]", ":1:"},
};

START_TEST(faults_are_named_with_line_and_column)
{
    json_t *j;
    for (size_t i = 0; i < FT_COUNT(bads); i++) {
        const char *path = text_file(bads[i].text);
        ck_assert_fails(ft_json_file(&j, path, 100), FT_EFORMAT, bads[i].message);
        ck_assert_msg(ft_starts(ft_error(), path), "%s", ft_error());
        ck_assert_ptr_null(j);
    }
    ck_assert_fails(ft_json_file(&j, "/nowhere.json", 100), FT_EINPUT, "/nowhere.json: no such file");
    ck_assert_fails(ft_json_file(&j, text_file("[1, 2, 3]"), 8), FT_ENOMEM, "9 bytes of JSON, at most 8");
}
END_TEST

START_TEST(a_line_of_a_file_is_named_by_its_column)
{
    json_t *j;
    ck_assert_fails(ft_json_text(&j, ft_str_of("{\"a\" 1}"), "train.jsonl:17"), FT_EFORMAT, "train.jsonl:17:6: ");
    ck_assert_fails(ft_json_text(&j, ft_str_of("[\n1,,]"), "text"), FT_EFORMAT, "text:2:3: ");
    ck_assert_fails(ft_json_text(&j, (ft_str){NULL, 0}, "text"), FT_EFORMAT, "text:");
}
END_TEST

START_TEST(nesting_is_bounded)
{
    json_t *j;
    ft_buf b = {0};
    for (int i = 0; i < 100000; i++)
        ck_assert_ok(ft_buf_putc(&b, '['));
    ck_assert_fails(ft_json_text(&j, (ft_str){b.p, b.n}, "deep"), FT_EFORMAT, "maximum parsing depth");
    ft_buf_free(&b);
}
END_TEST

/* tokenizer_config.json of many models: model_max_length past int64. The strings around it are left alone. */
START_TEST(integers_past_int64_become_reals)
{
    json_t *j;
    ck_assert_ok(ft_json_text(&j,
                              ft_str_of("{\"s\": \"\\\"99999999999999999999\", \"m\": 1000000000000000019884624838656,"
                                        " \"n\": -9223372036854775808, \"o\": -9223372036854775809, \"p\": 7}"),
                              "t"));
    ck_assert_str_eq(json_string_value(json_object_get(j, "s")), "\"99999999999999999999");
    ck_assert(json_real_value(json_object_get(j, "m")) == 1e30);
    ck_assert(json_integer_value(json_object_get(j, "n")) == INT64_MIN);
    ck_assert(json_real_value(json_object_get(j, "o")) == -0x1p63);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "p")), 7);
    json_decref(j);
}
END_TEST

START_TEST(members_have_types_and_defaults)
{
    json_t *j;
    int64_t i;
    double d;
    bool b;
    const char *s;
    ck_assert_ok(ft_json_text(
        &j, ft_str_of("{\"i\":4096.0,\"d\":3,\"b\":true,\"s\":\"x\",\"n\":null,\"h\":0.5,\"z\":\"a\\u0000\"}"), "t"));
    ck_assert_ok(ft_json_i64(j, "i", "c", 0, &i));
    ck_assert_int_eq(i, 4096);
    ck_assert_ok(ft_json_f64(j, "d", "c", 0, &d));
    ck_assert(d == 3.0);
    ck_assert_ok(ft_json_bool(j, "b", "c", false, &b));
    ck_assert(b);
    ck_assert_ok(ft_json_str(j, "s", "c", NULL, &s));
    ck_assert_str_eq(s, "x");
    ck_assert_ok(ft_json_i64(j, "n", "c", -1, &i));
    ck_assert_int_eq(i, -1);
    ck_assert_ok(ft_json_f64(j, "absent", "c", 0.25, &d));
    ck_assert(d == 0.25);
    ck_assert_ok(ft_json_bool(j, "n", "c", true, &b));
    ck_assert(b);
    ck_assert_ok(ft_json_str(j, "n", "c", NULL, &s));
    ck_assert_ptr_null(s);
    ck_assert_fails(ft_json_i64(j, "s", "config.json", 0, &i), FT_EFORMAT,
                    "config.json: \"s\" is a string, expected an integer");
    ck_assert_fails(ft_json_i64(j, "h", "c", 0, &i), FT_EFORMAT, "\"h\" is 0.5");
    ck_assert_fails(ft_json_f64(j, "b", "c", 0, &d), FT_EFORMAT, "\"b\" is true, expected a number");
    ck_assert_fails(ft_json_bool(j, "d", "c", 0, &b), FT_EFORMAT, "expected true or false");
    ck_assert_fails(ft_json_str(j, "d", "c", NULL, &s), FT_EFORMAT, "expected a string");
    ck_assert_fails(ft_json_str(j, "z", "c", NULL, &s), FT_EFORMAT, "NUL byte");
    json_decref(j);
}
END_TEST

START_TEST(writing_is_byte_exact)
{
    static const char expected[] = "{\n  \"z\": [\n    0.1,\n    1e-5,\n    3.0,\n    0.3333333333333333\n  ],\n"
                                   "  \"a\": {},\n  \"e\": [],\n  \"s\": \"\\\"\\\\\\n\\u0001nrtbf \xc3\xa9\",\n"
                                   "  \"i\": -9007199254740993,\n  \"t\": true,\n  \"n\": null\n}\n";
    const char *path = ft_test_path(ft_test_dir(), "out.json");
    json_t *j = json_pack("{s:[f,f,f,f],s:{},s:[],s:s,s:I,s:b,s:n}", "z", 0.1, 1e-5, 3.0, 1.0 / 3, "a", "e", "s",
                          "\"\\\n\001nrtbf \xc3\xa9", "i", (json_int_t)-9007199254740993, "t", 1, "n");
    ft_buf b = {0};
    ck_assert_ok(ft_json_write(j, path));
    ck_assert_ok(ft_read_file(&b, path, 4096));
    ck_assert_str_eq(b.p, expected);
    json_decref(j);
    ft_buf_free(&b);
}
END_TEST

START_TEST(every_double_survives_writing)
{
    const char *path = ft_test_path(ft_test_dir(), "d.json");
    json_t *j = json_array(), *back;
    for (uint64_t i = 0; i < 2000; i++) {
        union {
            uint32_t u[4];
            double d;
        } v;
        ft_philox(1, FT_STREAM_TEST, 0, i, v.u);
        if (isfinite(v.d))
            json_array_append_new(j, json_real(v.d));
    }
    ck_assert_ok(ft_json_write(j, path));
    ck_assert_ok(ft_json_file(&back, path, 1 << 20));
    ck_assert_uint_gt(json_array_size(j), 1900);
    ck_assert(json_equal(j, back));
    json_decref(j);
    json_decref(back);
}
END_TEST

static void *counted(size_t n)
{
    return ft_resize(NULL, n, 1);
}

/* jansson's memory goes through fettle's allocator here, so that each of its allocations fails once. In the middle of a
 * token jansson calls that a syntax error. */
START_TEST(every_allocation_and_write_may_fail)
{
    const char *dir = ft_test_dir(), *out = ft_test_path(dir, "out.json");
    const char *in = text_file("{\"a\": [1, 2.5, {\"b\": \"text\"}], \"m\": 99999999999999999999}");
    int n = 1;
    ft_status st = FT_ENOMEM;
    json_set_alloc_funcs(counted, ft_free);
    for (; st != FT_OK && n < 500; n++) {
        json_t *j;
        ft_alloc_fail_at(n);
        st = ft_json_file(&j, in, 1000);
        if (st == FT_OK) {
            st = ft_json_write(j, out);
            json_decref(j);
        }
        ft_alloc_fail_at(0);
        ck_assert_msg(st == FT_OK || st == FT_ENOMEM || st == FT_EFORMAT, "n %d: %d %s", n, st, ft_error());
        ck_assert_int_eq(ft_exists(out), st == FT_OK);
    }
    ck_assert_int_eq(st, FT_OK);
    ck_assert_int_gt(n, 10);
    json_t *j = json_integer(1);
    unlink(out);
    ft_write_fail_at(1);
    ck_assert_fails(ft_json_write(j, out), FT_EIO, "No space left");
    ft_write_fail_at(0);
    ck_assert(!ft_exists(out));
    json_decref(j);
}
END_TEST

static ft_status read_any(const char *path, void *ctx)
{
    json_t *j;
    ft_status st = ft_json_file(&j, path, 1 << 20);
    if (st == FT_OK)
        json_decref(j);
    return st;
}

START_TEST(damaged_copies_are_survived)
{
    const char *real = ft_test_shared("models/tinystories-656k/tokenizer_config.json");
    const char *path =
        real ? real
             : text_file("{\"model_max_length\": 1000000000000000019884624838656, \"a\": [{\"b\": \"\\u00e9\"}]}");
    ck_assert_int_gt(ft_test_damage(path, 2000, 11, read_any, NULL), 1000);
}
END_TEST

int main(void)
{
    FT_TESTS("json", a_document_is_read_with_its_order, faults_are_named_with_line_and_column,
             a_line_of_a_file_is_named_by_its_column, nesting_is_bounded, integers_past_int64_become_reals,
             members_have_types_and_defaults, writing_is_byte_exact, every_double_survives_writing,
             every_allocation_and_write_may_fail, damaged_copies_are_survived);
}
