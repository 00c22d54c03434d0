if HAVE_CHECK
check_PROGRAMS += tests/train/test_train
TESTS += tests/train/test_train
tests_train_test_train_SOURCES = %D%/test_train.c
tests_train_test_train_CPPFLAGS = $(TEST_CPPFLAGS)
tests_train_test_train_LDADD = $(TEST_LIBS)
endif
