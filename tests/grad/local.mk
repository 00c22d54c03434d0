if HAVE_CHECK
check_PROGRAMS += tests/grad/test_ops
TESTS += tests/grad/test_ops
tests_grad_test_ops_SOURCES = %D%/test_ops.c %D%/proofs.c %D%/proof.h
tests_grad_test_ops_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/tests/grad
tests_grad_test_ops_LDADD = $(TEST_LIBS)
endif
