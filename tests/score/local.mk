if HAVE_CHECK
check_PROGRAMS += tests/score/test_metrics
TESTS += tests/score/test_metrics
tests_score_test_metrics_SOURCES = %D%/test_metrics.c
tests_score_test_metrics_CPPFLAGS = $(TEST_CPPFLAGS)
tests_score_test_metrics_LDADD = $(TEST_LIBS)
endif
