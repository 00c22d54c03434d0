if HAVE_CHECK
TRAIN_TESTS = tests/train/test_train tests/train/test_prefix tests/train/test_vectors
check_PROGRAMS += $(TRAIN_TESTS)
TESTS += $(TRAIN_TESTS)
tests_train_test_train_SOURCES = %D%/test_train.c %D%/trained.h
tests_train_test_train_CPPFLAGS = $(TEST_CPPFLAGS)
tests_train_test_train_LDADD = $(TEST_LIBS)
tests_train_test_prefix_SOURCES = %D%/test_prefix.c %D%/trained.h
tests_train_test_prefix_CPPFLAGS = $(TEST_CPPFLAGS)
tests_train_test_prefix_LDADD = $(TEST_LIBS)
tests_train_test_vectors_SOURCES = %D%/test_vectors.c %D%/trained.h
tests_train_test_vectors_CPPFLAGS = $(TEST_CPPFLAGS)
tests_train_test_vectors_LDADD = $(TEST_LIBS)
endif
