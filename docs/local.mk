# Short programs against the library, built by make check and run by tests/cli/test_examples.
check_PROGRAMS += docs/examples/example_generate docs/examples/example_lora
docs_examples_example_generate_SOURCES = %D%/examples/example_generate.c
docs_examples_example_generate_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)
docs_examples_example_lora_SOURCES = %D%/examples/example_lora.c
docs_examples_example_lora_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)
