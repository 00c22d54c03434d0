if HAVE_CHECK
check_PROGRAMS += tests/tensor/test_dtypes
TESTS += tests/tensor/test_dtypes
tests_tensor_test_dtypes_SOURCES = %D%/test_dtypes.c
tests_tensor_test_dtypes_CPPFLAGS = $(TEST_CPPFLAGS)
tests_tensor_test_dtypes_LDADD = $(TEST_LIBS)
endif
