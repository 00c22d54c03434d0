# A target NAME: fuzz_NAME.c, seeds/NAME/, and its lines here, twice. Seeds are made by make_seeds.py.
EXTRA_DIST += %D%/make_seeds.py %D%/seeds
FUZZ_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
replays = tests/fuzz/replay_container tests/fuzz/replay_json tests/fuzz/replay_lines
check_PROGRAMS += $(replays)
TESTS += $(replays)
tests_fuzz_replay_container_SOURCES = %D%/replay.c %D%/fuzz_container.c %D%/fuzz.h
tests_fuzz_replay_container_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_replay_container_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)
tests_fuzz_replay_json_SOURCES = %D%/replay.c %D%/fuzz_json.c %D%/fuzz.h
tests_fuzz_replay_json_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_replay_json_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)
tests_fuzz_replay_lines_SOURCES = %D%/replay.c %D%/fuzz_lines.c %D%/fuzz.h
tests_fuzz_replay_lines_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_replay_lines_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)

if FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_container tests/fuzz/fuzz_json tests/fuzz/fuzz_lines
tests_fuzz_fuzz_container_SOURCES = %D%/fuzz_container.c
tests_fuzz_fuzz_container_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_container_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_container_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)
tests_fuzz_fuzz_json_SOURCES = %D%/fuzz_json.c
tests_fuzz_fuzz_json_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_json_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_json_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)
tests_fuzz_fuzz_lines_SOURCES = %D%/fuzz_lines.c
tests_fuzz_fuzz_lines_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_lines_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_lines_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)
endif

check_PROGRAMS += tests/fuzz/replay_recipe tests/fuzz/replay_data
TESTS += tests/fuzz/replay_recipe tests/fuzz/replay_data
tests_fuzz_replay_recipe_SOURCES = %D%/replay.c %D%/fuzz_recipe.c %D%/fuzz.h
tests_fuzz_replay_recipe_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_replay_recipe_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)
tests_fuzz_replay_data_SOURCES = %D%/replay.c %D%/fuzz_data.c %D%/fuzz.h
tests_fuzz_replay_data_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_replay_data_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)

if FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_recipe tests/fuzz/fuzz_data
tests_fuzz_fuzz_recipe_SOURCES = %D%/fuzz_recipe.c
tests_fuzz_fuzz_recipe_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_recipe_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_recipe_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)
tests_fuzz_fuzz_data_SOURCES = %D%/fuzz_data.c
tests_fuzz_fuzz_data_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_data_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_data_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)
endif

check_PROGRAMS += tests/fuzz/replay_tokenizer
TESTS += tests/fuzz/replay_tokenizer
tests_fuzz_replay_tokenizer_SOURCES = %D%/replay.c %D%/fuzz_tokenizer.c %D%/fuzz.h
tests_fuzz_replay_tokenizer_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_replay_tokenizer_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)

if FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_tokenizer
tests_fuzz_fuzz_tokenizer_SOURCES = %D%/fuzz_tokenizer.c
tests_fuzz_fuzz_tokenizer_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_tokenizer_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_tokenizer_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)
endif

check_PROGRAMS += tests/fuzz/replay_jinja
TESTS += tests/fuzz/replay_jinja
tests_fuzz_replay_jinja_SOURCES = %D%/replay.c %D%/fuzz_jinja.c %D%/fuzz.h
tests_fuzz_replay_jinja_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_replay_jinja_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)

if FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_jinja
tests_fuzz_fuzz_jinja_SOURCES = %D%/fuzz_jinja.c
tests_fuzz_fuzz_jinja_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_jinja_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_jinja_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)
endif
