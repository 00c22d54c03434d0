# tests of the model room
if HAVE_CHECK
MODEL_TESTS = tests/model/test_golden tests/model/test_golden_own tests/model/test_config tests/model/test_weights tests/model/test_adapter \
	tests/model/test_decode tests/model/test_frozen tests/model/test_pooling tests/model/test_random tests/model/test_read tests/model/test_sample
check_PROGRAMS += $(MODEL_TESTS)
TESTS += $(MODEL_TESTS)
check_LTLIBRARIES += tests/libftmodeltest.la
tests_libftmodeltest_la_SOURCES = %D%/fixture.c %D%/fixture.h
tests_libftmodeltest_la_CPPFLAGS = $(TEST_CPPFLAGS)
MODEL_TEST_LIBS = tests/libftmodeltest.la $(TEST_LIBS)
tests_model_test_golden_SOURCES = %D%/test_golden.c
tests_model_test_golden_CPPFLAGS = $(TEST_CPPFLAGS)
tests_model_test_golden_LDADD = $(MODEL_TEST_LIBS)
tests_model_test_golden_own_SOURCES = %D%/test_golden_own.c
tests_model_test_golden_own_CPPFLAGS = $(TEST_CPPFLAGS)
tests_model_test_golden_own_LDADD = $(MODEL_TEST_LIBS)
EXTRA_DIST += tests/golden/make_golden.py tests/golden/llama-tied tests/golden/llama3-rope
tests_model_test_config_SOURCES = %D%/test_config.c
tests_model_test_config_CPPFLAGS = $(TEST_CPPFLAGS)
tests_model_test_config_LDADD = $(MODEL_TEST_LIBS)
tests_model_test_weights_SOURCES = %D%/test_weights.c
tests_model_test_weights_CPPFLAGS = $(TEST_CPPFLAGS)
tests_model_test_weights_LDADD = $(MODEL_TEST_LIBS)
tests_model_test_adapter_SOURCES = %D%/test_adapter.c
tests_model_test_adapter_CPPFLAGS = $(TEST_CPPFLAGS)
tests_model_test_adapter_LDADD = $(MODEL_TEST_LIBS)
tests_model_test_decode_SOURCES = %D%/test_decode.c
tests_model_test_decode_CPPFLAGS = $(TEST_CPPFLAGS)
tests_model_test_decode_LDADD = $(MODEL_TEST_LIBS)
tests_model_test_frozen_SOURCES = %D%/test_frozen.c
tests_model_test_frozen_CPPFLAGS = $(TEST_CPPFLAGS)
tests_model_test_frozen_LDADD = $(MODEL_TEST_LIBS)
tests_model_test_pooling_SOURCES = %D%/test_pooling.c
tests_model_test_pooling_CPPFLAGS = $(TEST_CPPFLAGS)
tests_model_test_pooling_LDADD = $(MODEL_TEST_LIBS)
tests_model_test_sample_SOURCES = %D%/test_sample.c
tests_model_test_sample_CPPFLAGS = $(TEST_CPPFLAGS)
tests_model_test_sample_LDADD = $(MODEL_TEST_LIBS)
tests_model_test_read_SOURCES = %D%/test_read.c
tests_model_test_read_CPPFLAGS = $(TEST_CPPFLAGS)
tests_model_test_read_LDADD = $(MODEL_TEST_LIBS)
tests_model_test_random_SOURCES = %D%/test_random.c
tests_model_test_random_CPPFLAGS = $(TEST_CPPFLAGS)
tests_model_test_random_LDADD = $(MODEL_TEST_LIBS)
endif
