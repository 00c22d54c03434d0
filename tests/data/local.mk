if HAVE_CHECK
check_PROGRAMS += tests/data/test_data tests/data/test_lint
TESTS += tests/data/test_data tests/data/test_lint
tests_data_test_data_SOURCES = %D%/test_data.c
tests_data_test_data_CPPFLAGS = $(TEST_CPPFLAGS)
tests_data_test_data_LDADD = $(TEST_LIBS)
tests_data_test_lint_SOURCES = %D%/test_lint.c
tests_data_test_lint_CPPFLAGS = $(TEST_CPPFLAGS)
tests_data_test_lint_LDADD = $(TEST_LIBS)
endif
