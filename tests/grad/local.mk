if HAVE_CHECK
check_PROGRAMS += tests/grad/test_ops tests/grad/test_tape
TESTS += tests/grad/test_ops tests/grad/test_tape
tests_grad_test_ops_SOURCES = %D%/test_ops.c %D%/proofs.c %D%/proof.h
tests_grad_test_ops_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/tests/grad
tests_grad_test_ops_LDADD = $(TEST_LIBS)
tests_grad_test_tape_SOURCES = %D%/test_tape.c %D%/mini.c %D%/mini.h
tests_grad_test_tape_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/tests/grad
tests_grad_test_tape_LDADD = $(TEST_LIBS)
endif
