# check-rooms runs as a test: the order of the rooms is enforced, not hoped for.
dist_check_SCRIPTS += %D%/check-rooms
TESTS += %D%/check-rooms
