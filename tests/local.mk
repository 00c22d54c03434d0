# Every test program or script ends with the line "N passed, N failed, N skipped" (tests/support).
AM_TESTS_ENVIRONMENT = FT_SRCDIR='$(abs_top_srcdir)'; FT_BUILDDIR='$(abs_top_builddir)'; export FT_SRCDIR FT_BUILDDIR;
TEST_LIBS = tests/libfttest.la src/libfettle.la $(src_libfettle_la_LIBADD) $(CHECK_LIBS)
check_LTLIBRARIES += tests/libfttest.la
tests_libfttest_la_SOURCES = tests/support/support.c tests/support/support.h
tests_libfttest_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests $(CHECK_CFLAGS)
TEST_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests $(CHECK_CFLAGS)

include tests/base/local.mk
include tests/tensor/local.mk
include tests/kernel/local.mk
include tests/grad/local.mk
include tests/file/local.mk
include tests/recipe/local.mk
include tests/data/local.mk
include tests/text/local.mk
include tests/model/local.mk
include tests/score/local.mk
include tests/train/local.mk
include tests/export/local.mk
include tests/cli/local.mk
include tests/oracle/local.mk
include tests/fuzz/local.mk

