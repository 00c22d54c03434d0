if HAVE_CHECK
check_PROGRAMS += tests/export/test_report
TESTS += tests/export/test_report
tests_export_test_report_SOURCES = %D%/test_report.c
tests_export_test_report_CPPFLAGS = $(TEST_CPPFLAGS)
tests_export_test_report_LDADD = $(TEST_LIBS)
endif
