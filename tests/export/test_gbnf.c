/* The grammar of labels: its text, what it refuses, and where it may stand. */
#include "support/support.h"
#include "export/export.h"

static ft_label said(const char *text)
{
    return (ft_label){.text = ft_str_of(text), .said = ft_str_of(text)};
}

START_TEST(labels_are_escaped_as_llama_cpp_reads_them)
{
    ft_buf b = {0};
    ft_label p[] = {said(" leak"), said(" leak at the seal"), said(" say \"no\" \\ [x] # {y}"), said(" a\nb\tc\r\x1b\x7f"),
                    said(" Überhitzung 漢字 🙂")};
    ck_assert_ok(ft_gbnf(&b, &(ft_labels){.p = p, .n = FT_COUNT(p)}));
    ck_assert_str_eq(b.p, "# Written by fettle.\nroot ::=\n"
                          "  \" leak\" |\n"
                          "  \" leak at the seal\" |\n"
                          "  \" say \\\"no\\\" \\\\ [x] # {y}\" |\n"
                          "  \" a\\nb\\tc\\r\\x1B\\x7F\" |\n"
                          "  \" Überhitzung 漢字 🙂\"\n");
    ft_buf_free(&b);
}
END_TEST

START_TEST(what_no_grammar_can_hold_is_refused)
{
    ft_buf b = {0};
    ft_label broken = said(" a\xff"), nul = {.text = ft_str_of("nul"), .said = {"a\0b", 3}};
    ck_assert_fails(ft_gbnf(&b, &(ft_labels){.p = &broken, .n = 1}), FT_EUNSUPPORTED, "no UTF-8");
    ck_assert_fails(ft_gbnf(&b, &(ft_labels){.p = &nul, .n = 1}), FT_EUNSUPPORTED, "\"nul\": a NUL stands in it");
    ft_buf_free(&b);
}
END_TEST

START_TEST(it_stands_beside_its_file_and_never_over_the_users)
{
    const char *dir = ft_test_dir(), *gguf = ft_test_path(dir, "m.gguf"), *gbnf = ft_test_path(dir, "m.gbnf");
    char *path;
    ck_assert_ok(ft_gbnf_path(&path, gguf));
    ck_assert_str_eq(path, gbnf);
    ft_free(path);
    ck_assert_ok(ft_write_file(gbnf, "# Written by fettle.\nroot ::=\n", 30));
    ck_assert_ok(ft_gbnf_path(&path, gguf));
    ck_assert_ptr_nonnull(path);
    ft_free(path);
    ck_assert_ok(ft_write_file(gbnf, "root ::= \"x\"\n", 13));
    ck_assert_ok(ft_gbnf_path(&path, gguf));
    ck_assert_ptr_null(path);
    /* a run folder loses its own grammars alone */
    ck_assert_ok(ft_write_file(ft_test_path(dir, "n.gbnf"), "# Written by fettle.\nroot ::=\n", 30));
    ck_assert_ok(ft_export_remove_all(dir));
    ck_assert(ft_exists(gbnf));
    ck_assert(!ft_exists(ft_test_path(dir, "n.gbnf")));
}
END_TEST

int main(void)
{
    FT_TESTS("gbnf", labels_are_escaped_as_llama_cpp_reads_them, what_no_grammar_can_hold_is_refused,
             it_stands_beside_its_file_and_never_over_the_users);
}
