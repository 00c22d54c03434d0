if HAVE_CHECK
check_PROGRAMS += tests/grad/test_ops tests/grad/test_tape tests/grad/test_vectors
TESTS += tests/grad/test_ops tests/grad/test_tape tests/grad/test_vectors
tests_grad_test_ops_SOURCES = %D%/test_ops.c %D%/proofs.c %D%/proof.h
tests_grad_test_ops_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/tests/grad
tests_grad_test_ops_LDADD = $(TEST_LIBS)
tests_grad_test_tape_SOURCES = %D%/test_tape.c %D%/mini.c %D%/mini.h
tests_grad_test_tape_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/tests/grad
tests_grad_test_tape_LDADD = $(TEST_LIBS)
tests_grad_test_vectors_SOURCES = %D%/test_vectors.c
tests_grad_test_vectors_CPPFLAGS = $(TEST_CPPFLAGS)
tests_grad_test_vectors_LDADD = $(TEST_LIBS)
endif
