if HAVE_CHECK
file_tests = tests/file/test_json tests/file/test_lines tests/file/test_container tests/file/test_golden_bad tests/file/test_store
check_PROGRAMS += $(file_tests)
TESTS += $(file_tests)
tests_file_test_json_SOURCES = %D%/test_json.c
tests_file_test_json_CPPFLAGS = $(TEST_CPPFLAGS)
tests_file_test_json_LDADD = $(TEST_LIBS)
tests_file_test_lines_SOURCES = %D%/test_lines.c
tests_file_test_lines_CPPFLAGS = $(TEST_CPPFLAGS)
tests_file_test_lines_LDADD = $(TEST_LIBS)
tests_file_test_container_SOURCES = %D%/test_container.c
tests_file_test_container_CPPFLAGS = $(TEST_CPPFLAGS)
tests_file_test_container_LDADD = $(TEST_LIBS)
tests_file_test_golden_bad_SOURCES = %D%/test_golden_bad.c
tests_file_test_golden_bad_CPPFLAGS = $(TEST_CPPFLAGS)
tests_file_test_golden_bad_LDADD = $(TEST_LIBS)
tests_file_test_store_SOURCES = %D%/test_store.c
tests_file_test_store_CPPFLAGS = $(TEST_CPPFLAGS)
tests_file_test_store_LDADD = $(TEST_LIBS)
endif
