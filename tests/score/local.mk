EXTRA_DIST += %D%/confidence.py
if HAVE_CHECK
check_PROGRAMS += tests/score/test_labels tests/score/test_confidence
TESTS += tests/score/test_labels tests/score/test_confidence
tests_score_test_labels_SOURCES = %D%/test_labels.c
tests_score_test_labels_CPPFLAGS = $(TEST_CPPFLAGS)
tests_score_test_labels_LDADD = $(TEST_LIBS)
tests_score_test_confidence_SOURCES = %D%/test_confidence.c
tests_score_test_confidence_CPPFLAGS = $(TEST_CPPFLAGS)
tests_score_test_confidence_LDADD = $(TEST_LIBS)
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
