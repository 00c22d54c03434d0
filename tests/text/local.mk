# tests of the text room
if HAVE_CHECK
check_PROGRAMS += tests/text/test_tokenizer_vectors
TESTS += tests/text/test_tokenizer_vectors
tests_text_test_tokenizer_vectors_SOURCES = %D%/test_tokenizer_vectors.c
tests_text_test_tokenizer_vectors_CPPFLAGS = $(TEST_CPPFLAGS)
tests_text_test_tokenizer_vectors_LDADD = $(TEST_LIBS)
endif
if HAVE_CHECK
check_PROGRAMS += tests/text/test_rows
TESTS += tests/text/test_rows
tests_text_test_rows_SOURCES = %D%/test_rows.c
tests_text_test_rows_CPPFLAGS = $(TEST_CPPFLAGS)
tests_text_test_rows_LDADD = $(TEST_LIBS)
endif
if HAVE_CHECK
check_PROGRAMS += tests/text/test_rows_oracle
TESTS += tests/text/test_rows_oracle
tests_text_test_rows_oracle_SOURCES = %D%/test_rows_oracle.c
tests_text_test_rows_oracle_CPPFLAGS = $(TEST_CPPFLAGS)
tests_text_test_rows_oracle_LDADD = $(TEST_LIBS)
endif
