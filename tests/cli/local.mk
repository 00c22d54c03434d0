# The whole program, run as a user runs it. A script is one test for automake and sums up its own.
CLI_TESTS = %D%/test_usage %D%/test_recipe %D%/test_model %D%/test_train %D%/test_faults %D%/test_examples %D%/test_bench %D%/test_plan \
	%D%/test_vectors %D%/test_adapters %D%/test_gate %D%/test_labels
EXTRA_DIST += %D%/lib.sh %D%/tiny.sh
dist_check_SCRIPTS += $(CLI_TESTS)
TESTS += $(CLI_TESTS)
