# tests of the text room
if HAVE_CHECK
check_PROGRAMS += tests/text/test_tokenizer_vectors
TESTS += tests/text/test_tokenizer_vectors
tests_text_test_tokenizer_vectors_SOURCES = %D%/test_tokenizer_vectors.c
tests_text_test_tokenizer_vectors_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/tests/text
tests_text_test_tokenizer_vectors_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/text/test_tokenizer
TESTS += tests/text/test_tokenizer
tests_text_test_tokenizer_SOURCES = %D%/test_tokenizer.c %D%/tokenizer_files.h
tests_text_test_tokenizer_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/tests/text
tests_text_test_tokenizer_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/text/test_tokenizer_train
TESTS += tests/text/test_tokenizer_train
tests_text_test_tokenizer_train_SOURCES = %D%/test_tokenizer_train.c %D%/tokenizer_files.h
tests_text_test_tokenizer_train_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/tests/text
tests_text_test_tokenizer_train_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/text/test_tokenizer_export
TESTS += tests/text/test_tokenizer_export
tests_text_test_tokenizer_export_SOURCES = %D%/test_tokenizer_export.c %D%/tokenizer_files.h
tests_text_test_tokenizer_export_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/tests/text
tests_text_test_tokenizer_export_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/text/test_tokenizer_damage
TESTS += tests/text/test_tokenizer_damage
tests_text_test_tokenizer_damage_SOURCES = %D%/test_tokenizer_damage.c %D%/tokenizer_files.h
tests_text_test_tokenizer_damage_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/tests/text
tests_text_test_tokenizer_damage_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/text/test_mutations
TESTS += tests/text/test_mutations
tests_text_test_mutations_SOURCES = %D%/test_mutations.c %D%/tokenizer_files.h
tests_text_test_mutations_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/tests/text
tests_text_test_mutations_LDADD = $(TEST_LIBS)
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
if HAVE_CHECK
check_PROGRAMS += tests/text/test_jinja
TESTS += tests/text/test_jinja
tests_text_test_jinja_SOURCES = %D%/test_jinja.c
tests_text_test_jinja_CPPFLAGS = $(TEST_CPPFLAGS)
tests_text_test_jinja_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/text/test_vector_rows
TESTS += tests/text/test_vector_rows
tests_text_test_vector_rows_SOURCES = %D%/test_vector_rows.c
tests_text_test_vector_rows_CPPFLAGS = $(TEST_CPPFLAGS)
tests_text_test_vector_rows_LDADD = $(TEST_LIBS)
endif
