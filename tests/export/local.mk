if HAVE_CHECK
check_PROGRAMS += tests/export/test_export tests/export/test_families tests/export/test_faults tests/export/test_feedback tests/export/test_gate tests/export/test_gbnf tests/export/test_gguf_lora \
	tests/export/test_merge tests/export/test_modelfile tests/export/test_quantize tests/export/test_reference \
	tests/export/test_report tests/export/test_survival
TESTS += tests/export/test_export tests/export/test_families tests/export/test_faults tests/export/test_feedback tests/export/test_gate tests/export/test_gbnf tests/export/test_gguf_lora \
	tests/export/test_merge tests/export/test_modelfile tests/export/test_quantize tests/export/test_reference \
	tests/export/test_report tests/export/test_survival
check_LTLIBRARIES += tests/libftexporttest.la
tests_libftexporttest_la_SOURCES = %D%/tiny.c %D%/tiny.h
tests_libftexporttest_la_CPPFLAGS = $(TEST_CPPFLAGS)
EXPORT_TEST_LIBS = tests/libftexporttest.la $(TEST_LIBS)
tests_export_test_export_SOURCES = %D%/test_export.c
tests_export_test_export_CPPFLAGS = $(TEST_CPPFLAGS)
tests_export_test_export_LDADD = $(EXPORT_TEST_LIBS)
tests_export_test_families_SOURCES = %D%/test_families.c
tests_export_test_families_CPPFLAGS = $(TEST_CPPFLAGS)
tests_export_test_families_LDADD = tests/libftmodeltest.la $(TEST_LIBS)
tests_export_test_faults_SOURCES = %D%/test_faults.c
tests_export_test_faults_CPPFLAGS = $(TEST_CPPFLAGS)
tests_export_test_faults_LDADD = $(EXPORT_TEST_LIBS)
tests_export_test_feedback_SOURCES = %D%/test_feedback.c
tests_export_test_feedback_CPPFLAGS = $(TEST_CPPFLAGS)
tests_export_test_feedback_LDADD = $(EXPORT_TEST_LIBS)
tests_export_test_gbnf_SOURCES = %D%/test_gbnf.c
tests_export_test_gbnf_CPPFLAGS = $(TEST_CPPFLAGS)
tests_export_test_gbnf_LDADD = $(TEST_LIBS)
tests_export_test_gate_SOURCES = %D%/test_gate.c
tests_export_test_gate_CPPFLAGS = $(TEST_CPPFLAGS)
tests_export_test_gate_LDADD = $(TEST_LIBS)
tests_export_test_gguf_lora_SOURCES = %D%/test_gguf_lora.c
tests_export_test_gguf_lora_CPPFLAGS = $(TEST_CPPFLAGS)
tests_export_test_gguf_lora_LDADD = $(EXPORT_TEST_LIBS)
tests_export_test_merge_SOURCES = %D%/test_merge.c
tests_export_test_merge_CPPFLAGS = $(TEST_CPPFLAGS)
tests_export_test_merge_LDADD = $(EXPORT_TEST_LIBS)
tests_export_test_modelfile_SOURCES = %D%/test_modelfile.c
tests_export_test_modelfile_CPPFLAGS = $(TEST_CPPFLAGS)
tests_export_test_modelfile_LDADD = $(EXPORT_TEST_LIBS)
tests_export_test_quantize_SOURCES = %D%/test_quantize.c
tests_export_test_quantize_CPPFLAGS = $(TEST_CPPFLAGS)
tests_export_test_quantize_LDADD = $(EXPORT_TEST_LIBS)
tests_export_test_reference_SOURCES = %D%/test_reference.c
tests_export_test_reference_CPPFLAGS = $(TEST_CPPFLAGS)
tests_export_test_reference_LDADD = $(EXPORT_TEST_LIBS)
tests_export_test_report_SOURCES = %D%/test_report.c
tests_export_test_report_CPPFLAGS = $(TEST_CPPFLAGS)
tests_export_test_report_LDADD = $(TEST_LIBS)
tests_export_test_survival_SOURCES = %D%/test_survival.c
tests_export_test_survival_CPPFLAGS = $(TEST_CPPFLAGS)
tests_export_test_survival_LDADD = $(EXPORT_TEST_LIBS)
endif
EXTRA_DIST += tests/oracle/reference_logits.py
