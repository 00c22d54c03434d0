if HAVE_CHECK
check_PROGRAMS += tests/kernel/test_kernel tests/kernel/test_linear tests/kernel/test_lowrank
TESTS += tests/kernel/test_kernel tests/kernel/test_linear tests/kernel/test_lowrank
tests_kernel_test_kernel_SOURCES = %D%/test_kernel.c
tests_kernel_test_kernel_CPPFLAGS = $(TEST_CPPFLAGS)
tests_kernel_test_kernel_LDADD = $(TEST_LIBS)
tests_kernel_test_linear_SOURCES = %D%/test_linear.c
tests_kernel_test_linear_CPPFLAGS = $(TEST_CPPFLAGS)
tests_kernel_test_linear_LDADD = $(TEST_LIBS)
tests_kernel_test_lowrank_SOURCES = %D%/test_lowrank.c
tests_kernel_test_lowrank_CPPFLAGS = $(TEST_CPPFLAGS)
tests_kernel_test_lowrank_LDADD = $(TEST_LIBS)
endif
