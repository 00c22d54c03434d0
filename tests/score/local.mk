if HAVE_CHECK
check_PROGRAMS += tests/score/test_metrics tests/score/test_score tests/score/test_vectors
TESTS += tests/score/test_metrics tests/score/test_score tests/score/test_vectors
tests_score_test_metrics_SOURCES = %D%/test_metrics.c
tests_score_test_metrics_CPPFLAGS = $(TEST_CPPFLAGS)
tests_score_test_metrics_LDADD = $(TEST_LIBS)
tests_score_test_score_SOURCES = %D%/test_score.c
tests_score_test_score_CPPFLAGS = $(TEST_CPPFLAGS)
tests_score_test_score_LDADD = $(TEST_LIBS)
tests_score_test_vectors_SOURCES = %D%/test_vectors.c
tests_score_test_vectors_CPPFLAGS = $(TEST_CPPFLAGS)
tests_score_test_vectors_LDADD = tests/libftmodeltest.la $(TEST_LIBS)
endif
