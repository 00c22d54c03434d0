# Tools, recipes and data go into the tarball as they are.
EXTRA_DIST += %D%/setup.sh %D%/check %D%/quickstart %D%/synth.py %D%/make-defects %D%/make-clinical %D%/naive-bayes .ci/run \
	recipes data

# check-rooms runs as a test: the order of the rooms is enforced, not hoped for.
dist_check_SCRIPTS += %D%/check-rooms %D%/check-data
TESTS += %D%/check-rooms %D%/check-data
