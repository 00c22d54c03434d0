#include "file/lines.h"
#include "support/support.h"

#include <zlib.h>

static const char *file_of(const char *name, const void *bytes, size_t n)
{
    const char *path = ft_test_path(ft_test_dir(), name);
    ck_assert_ok(ft_write_file(path, bytes, n));
    return path;
}

/* The text as a file, gzipped by zlib's own gzwrite where gz. */
static const char *text_file(const char *text, size_t n, bool gz)
{
    if (!gz)
        return file_of("a.txt", text, n);
    const char *path = ft_test_path(ft_test_dir(), "a.txt"); /* the name does not say gz */
    gzFile f = gzopen(path, "wb");
    if (n)
        ck_assert_int_eq(gzwrite(f, text, (unsigned)n), (int)n);
    ck_assert_int_eq(gzclose(f), Z_OK);
    return path;
}

START_TEST(lines_are_the_same_plain_and_gzipped)
{
    static const char text[] = "\xef\xbb\xbf"
                               "one\r\n\ntw\ro\nlast \xc3\xa9";
    static const char *const expected[] = {"one", "", "tw\ro", "last \xc3\xa9"};
    for (int gz = 0; gz < 2; gz++) {
        ft_lines *l;
        ft_str line;
        bool more;
        ck_assert_ok(ft_lines_open(&l, text_file(text, sizeof text - 1, gz)));
        for (size_t i = 0; i < FT_COUNT(expected); i++) {
            ck_assert_ok(ft_lines_next(l, &line, &more));
            ck_assert(more);
            ck_assert_msg(ft_str_is(line, expected[i]), "line %zu: %.*s", i, (int)line.n, line.p);
            ck_assert_int_eq(ft_lines_number(l), (int)i + 1);
        }
        ck_assert_ok(ft_lines_next(l, &line, &more));
        ck_assert(!more);
        ck_assert_ok(ft_lines_next(l, &line, &more));
        ck_assert(!more);
        ft_lines_close(l);
    }
}
END_TEST

START_TEST(an_empty_file_has_no_lines)
{
    for (int gz = 0; gz < 2; gz++) {
        ft_lines *l;
        ft_str line;
        bool more;
        ck_assert_ok(ft_lines_open(&l, text_file("", 0, gz)));
        ck_assert_ok(ft_lines_next(l, &line, &more));
        ck_assert(!more);
        ft_lines_close(l);
    }
    ft_lines *l;
    ck_assert_fails(ft_lines_open(&l, "/nowhere.jsonl"), FT_EINPUT, "/nowhere.jsonl: no such file");
    ft_lines_close(NULL);
}
END_TEST

/* Many lines of many lengths through windows that end anywhere. */
START_TEST(large_files_come_through_whole)
{
    ft_buf text = {0};
    for (int i = 0; i < 30000; i++)
        ck_assert_ok(ft_buf_printf(&text, "%d %0*d\n", i, 1 + i * 7 % 200, i % 10));
    ft_lines *l;
    ft_str line;
    bool more;
    char expected[256];
    ck_assert_ok(ft_lines_open(&l, text_file(text.p, text.n, true)));
    for (int i = 0; i < 20000; i++) {
        ck_assert_ok(ft_lines_next(l, &line, &more));
        snprintf(expected, sizeof expected, "%d %0*d", i, 1 + i * 7 % 200, i % 10);
        ck_assert(more && ft_str_is(line, expected));
    }
    ft_buf rest = {0};
    ck_assert_ok(ft_lines_rest(l, &rest));
    ck_assert_uint_lt(rest.n, text.n);
    ck_assert_mem_eq(rest.p, text.p + text.n - rest.n, rest.n);
    ck_assert_int_eq(atoi(rest.p), 20000);
    ck_assert_int_eq(ft_lines_number(l), 30000);
    ft_lines_close(l);
    ft_buf_free(&rest);
    ft_buf_free(&text);
}
END_TEST

static ft_status read_lines(const char *path, int *count)
{
    ft_lines *l;
    ft_str line;
    bool more = true;
    *count = -1;
    ft_status st = ft_lines_open(&l, path);
    if (st != FT_OK)
        return st;
    for (; st == FT_OK && more; ++*count)
        st = ft_lines_next(l, &line, &more);
    ft_lines_close(l);
    return st;
}

typedef struct bad {
    const char *text;
    size_t n;
    int good; /* lines before the fault */
    const char *message;
} bad;
#define BAD(text, good, message)                                                                                       \
    {                                                                                                                  \
        text, sizeof text - 1, good, message                                                                           \
    }
static const bad bads[] = {
    BAD("ok\nb\0d\n", 1, ":2: a NUL byte at byte 2"),
    BAD("ok\nok\nlong enough \xff\n", 2, ":3: byte 13 of the line (0xff) is not UTF-8"),
    BAD("\xc0\xaf", 0, "(0xc0)"),         /* overlong */
    BAD("\xed\xa0\x80", 0, "(0xed)"),     /* surrogate */
    BAD("\xf4\x90\x80\x80", 0, "(0xf4)"), /* past U+10FFFF */
    BAD("ab\xe2\x82", 0, "byte 3"),       /* cut */
    BAD("\xff\xfe"
        "a\0",
        -1, "UTF-16"),
};

START_TEST(what_is_no_text_is_refused)
{
    int count;
    for (size_t i = 0; i < FT_COUNT(bads); i++) {
        ck_assert_fails(read_lines(file_of("a.txt", bads[i].text, bads[i].n), &count), FT_EFORMAT, bads[i].message);
        ck_assert_int_eq(count, bads[i].good);
    }
    ck_assert_ok(read_lines(file_of("a.txt", "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\xf0\x90\x80\x80", 14), &count));
    ck_assert_int_eq(count, 1);
}
END_TEST

START_TEST(an_endless_line_is_refused)
{
    size_t n = ((size_t)64 << 20) + 1;
    char *text = ft_resize(NULL, n, 1);
    int count;
    memset(text, 'a', n);
    ck_assert_fails(read_lines(text_file(text, n, false), &count), FT_EFORMAT, ":1: a line of more than 64 MiB");
    ck_assert_fails(read_lines(text_file(text, n, true), &count), FT_EFORMAT, ":1: a line of more than 64 MiB");
    text[n - 1] = '\n';
    ck_assert_ok(read_lines(text_file(text, n, true), &count));
    ck_assert_int_eq(count, 1);
    ft_free(text);
}
END_TEST

START_TEST(a_cut_or_spoilt_gzip_gives_its_good_lines_first)
{
    ft_buf text = {0}, gz = {0};
    int count, whole;
    for (int i = 0; i < 20000; i++)
        ck_assert_ok(ft_buf_printf(&text, "%d %d\n", i, i * 7919 % 10007));
    ck_assert_ok(ft_read_file(&gz, text_file(text.p, text.n, true), 1 << 24));
    ck_assert_ok(read_lines(file_of("whole", gz.p, gz.n), &whole));
    ck_assert_int_eq(whole, 20000);
    ck_assert_fails(read_lines(file_of("cut", gz.p, gz.n / 2), &count), FT_EFORMAT, "ends too early");
    ck_assert(count > 1000 && count < 20000);
    ck_assert_fails(read_lines(file_of("cut", gz.p, gz.n - 1), &count), FT_EFORMAT, "ends too early");
    ck_assert_int_eq(count, 20000);
    ck_assert_ok(ft_buf_puts(&gz, "junk"));
    ck_assert_fails(read_lines(file_of("junk", gz.p, gz.n), &count), FT_EFORMAT, "followed by bytes that are no gzip");
    gz.p[gz.n - 4 - 6] ^= 1; /* in the checksum */
    ck_assert_fails(read_lines(file_of("sum", gz.p, gz.n - 4), &count), FT_EFORMAT, "incorrect data check");
    ck_assert_int_eq(count, 20000);
    ft_buf_free(&text);
    ft_buf_free(&gz);
}
END_TEST

START_TEST(gzip_members_follow_one_another)
{
    ft_buf a = {0};
    int count;
    ck_assert_ok(ft_read_file(&a, text_file("one\ntwo", 7, true), 100));
    ck_assert_ok(ft_read_file(&a, text_file("three\n", 6, true), 100));
    ck_assert_ok(ft_read_file(&a, text_file("", 0, true), 100));
    ck_assert_ok(read_lines(file_of("members", a.p, a.n), &count));
    ck_assert_int_eq(count, 2);
    ft_buf_free(&a);
}
END_TEST

/* Fields joined by '|', records ended by '/'. */
static ft_status read_csv(const char *path, char separator, ft_buf *out)
{
    ft_lines *l;
    const ft_str *f;
    size_t n;
    bool more = true;
    FT_RETURN(ft_lines_open(&l, path));
    ft_status st;
    while ((st = ft_csv_next(l, separator, &f, &n, &more)) == FT_OK && more) {
        for (size_t i = 0; i < n; i++) {
            ck_assert_ok(ft_buf_put(out, f[i].p, f[i].n));
            ck_assert_ok(ft_buf_putc(out, i + 1 < n ? '|' : '/'));
        }
    }
    ft_lines_close(l);
    return st;
}

typedef struct csv_case {
    const char *text;
    char separator;
    const char *expected; /* as Python's csv module gives it (doublequote, strict), blank lines left out */
} csv_case;
static const csv_case csv_cases[] = {
    {"a,b,c\n1,2,3\n", ',', "a|b|c/1|2|3/"},
    {"a,,\r\n,,c", ',', "a||/||c/"},
    {"\"a,b\",\"c\"\"d\"\n", ',', "a,b|c\"d/"},
    {"\"two\nlines\r\nthree\",x\n\n\"\"\n", ',', "two\nlines\r\nthree|x//"},
    {"5\" pipe\tok\n\"q\"\t\n", '\t', "5\" pipe|ok/q|/"},
    {"\"\"\"\"\n", ',', "\"/"},
};
static const csv_case csv_bads[] = {
    {"a,b\n\"x\nstill\n", ',', ":2: a quote is opened here and never closed"},
    {"a,b\n\"x\ny\" z,2\n", ',', ":3: text behind a closing quote"},
};

START_TEST(csv_follows_rfc_4180)
{
    for (size_t i = 0; i < FT_COUNT(csv_cases); i++) {
        ft_buf b = {0};
        const csv_case *c = &csv_cases[i];
        ck_assert_ok(read_csv(text_file(c->text, strlen(c->text), i & 1), c->separator, &b));
        ck_assert_str_eq(b.p, c->expected);
        ft_buf_free(&b);
    }
    for (size_t i = 0; i < FT_COUNT(csv_bads); i++) {
        ft_buf b = {0};
        const csv_case *c = &csv_bads[i];
        ck_assert_fails(read_csv(text_file(c->text, strlen(c->text), false), c->separator, &b), FT_EFORMAT,
                        c->expected);
        ft_buf_free(&b);
    }
}
END_TEST

START_TEST(a_csv_record_is_numbered_by_its_first_line)
{
    ft_lines *l;
    const ft_str *f;
    size_t n;
    bool more;
    ft_str line;
    ck_assert_ok(ft_lines_open(&l, text_file("a\n\n\"b\nb\"\nc\n", 12, false)));
    ck_assert_ok(ft_csv_next(l, ',', &f, &n, &more));
    ck_assert_int_eq(ft_lines_number(l), 1);
    ck_assert_ok(ft_csv_next(l, ',', &f, &n, &more));
    ck_assert_int_eq(ft_lines_number(l), 3);
    ck_assert_ok(ft_lines_next(l, &line, &more));
    ck_assert_int_eq(ft_lines_number(l), 5);
    ft_lines_close(l);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    static const char text[] = "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t\n\"x\ny\",2\n";
    const char *path = ft_strdup(text_file(text, sizeof text - 1, true));
    int n = 1;
    ft_status st = FT_ENOMEM;
    for (; st != FT_OK && n < 100; n++) {
        ft_lines *l;
        const ft_str *f;
        size_t k;
        bool more = true;
        ft_alloc_fail_at(n);
        if ((st = ft_lines_open(&l, path)) == FT_OK) {
            while (st == FT_OK && more)
                st = ft_csv_next(l, ',', &f, &k, &more);
            ft_lines_close(l);
        }
        ft_alloc_fail_at(0);
        ck_assert(st == FT_OK || st == FT_ENOMEM);
    }
    ck_assert_int_eq(st, FT_OK);
    ck_assert_int_gt(n, 8);
    ft_free((char *)path);
}
END_TEST

static ft_status read_any(const char *path, void *ctx)
{
    ft_buf b = {0};
    int count;
    ft_status st = ctx ? read_csv(path, ',', &b) : read_lines(path, &count);
    ft_buf_free(&b);
    return st;
}

START_TEST(damaged_copies_are_survived)
{
    ft_buf text = {0};
    for (int i = 0; i < 300; i++)
        ck_assert_ok(ft_buf_printf(&text, "%d,\"prompt \xc3\xa9 \"\"%d\"\"\",x\n", i, i * 7919 % 10007));
    ck_assert_int_gt(ft_test_damage(text_file(text.p, text.n, false), 2000, 21, read_any, &text), 500);
    ck_assert_int_gt(ft_test_damage(text_file(text.p, text.n, false), 2000, 22, read_any, NULL), 300);
    ck_assert_int_gt(ft_test_damage(text_file(text.p, text.n, true), 2000, 23, read_any, NULL), 1900);
    ft_buf_free(&text);
}
END_TEST

int main(void)
{
    FT_TESTS("lines", lines_are_the_same_plain_and_gzipped, an_empty_file_has_no_lines, large_files_come_through_whole,
             what_is_no_text_is_refused, an_endless_line_is_refused, a_cut_or_spoilt_gzip_gives_its_good_lines_first,
             gzip_members_follow_one_another, csv_follows_rfc_4180, a_csv_record_is_numbered_by_its_first_line,
             every_allocation_may_fail, damaged_copies_are_survived);
}
