if HAVE_CHECK
check_PROGRAMS += tests/kernel/test_kernel
TESTS += tests/kernel/test_kernel
tests_kernel_test_kernel_SOURCES = %D%/test_kernel.c
tests_kernel_test_kernel_CPPFLAGS = $(TEST_CPPFLAGS)
tests_kernel_test_kernel_LDADD = $(TEST_LIBS)
endif
