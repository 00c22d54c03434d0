# Comparisons with other implementations of the same formats. Each skips, saying why, where the other one is missing.
dist_check_SCRIPTS += %D%/test_llama
TESTS += %D%/test_llama
EXTRA_DIST += %D%/llama_oracle.mjs %D%/test_llama.mjs %D%/package.json %D%/package-lock.json
EXTRA_DIST += %D%/jinja_cases.py %D%/ollama_templates.go %D%/peer_rows.py

# What fettle writes, read by Python.
check_PROGRAMS += tests/oracle/write_samples
tests_oracle_write_samples_SOURCES = %D%/write_samples.c
tests_oracle_write_samples_LDADD = src/libfettle.la $(JANSSON_LIBS)
dist_check_SCRIPTS += %D%/test_samples
TESTS += %D%/test_samples
EXTRA_DIST += %D%/check_samples.py

# Token ids against the sentencepiece library.
dist_check_SCRIPTS += %D%/test_sentencepiece
TESTS += %D%/test_sentencepiece
EXTRA_DIST += %D%/sentencepiece_ids.py
check_PROGRAMS += tests/oracle/encode_texts
tests_oracle_encode_texts_SOURCES = %D%/encode_texts.c
tests_oracle_encode_texts_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)

# The vocabularies that fettle writes, read by llama.cpp.
dist_check_SCRIPTS += %D%/test_llama_vocab
TESTS += %D%/test_llama_vocab
EXTRA_DIST += %D%/llama_vocab.mjs

# Stored types against the prebuilt libggml, which is opened while running.
check_PROGRAMS += tests/oracle/ggml_types
tests_oracle_ggml_types_SOURCES = %D%/ggml_types.c
tests_oracle_ggml_types_LDADD = src/libfettle.la
dist_check_SCRIPTS += %D%/test_ggml
TESTS += %D%/test_ggml
EXTRA_DIST += %D%/npm.sh

# Token ids against Hugging Face's tokenizers.
dist_check_SCRIPTS += %D%/test_hf_tokenizers
TESTS += %D%/test_hf_tokenizers
EXTRA_DIST += %D%/hf_tokenizers.mjs %D%/make_tokenizers.py %D%/tokenizers/package.json %D%/tokenizers/package-lock.json

# Every architecture: its GGUF in llama.cpp, its HF directory in PyTorch.
check_PROGRAMS += tests/oracle/write_families
tests_oracle_write_families_SOURCES = %D%/write_families.c
tests_oracle_write_families_LDADD = src/libfettle.la $(src_libfettle_la_LIBADD)
dist_check_SCRIPTS += %D%/test_families
TESTS += %D%/test_families
EXTRA_DIST += %D%/llama_families.mjs %D%/families.py

# Types by tensor, as llama.cpp's own quantizer chooses them.
check_PROGRAMS += tests/oracle/llama_quantize
tests_oracle_llama_quantize_SOURCES = %D%/llama_quantize.c
dist_check_SCRIPTS += %D%/test_mixes
TESTS += %D%/test_mixes
EXTRA_DIST += %D%/mixes.mjs

# Loss, logits and greedy tokens of llama.cpp for token ids: for tests and tools/bench-types.
check_PROGRAMS += tests/oracle/llama_ids
tests_oracle_llama_ids_SOURCES = %D%/llama_ids.c
dist_check_SCRIPTS += %D%/test_types
TESTS += %D%/test_types
EXTRA_DIST += %D%/types.mjs

# Vectors from the text on, in llama.cpp.
dist_check_SCRIPTS += %D%/test_embeddings
TESTS += %D%/test_embeddings
EXTRA_DIST += %D%/llama_embeddings.mjs

# What npm.sh installs in the build directory.
distclean-local:
	rm -rf %D%/llama %D%/llama.lock

# Labels under the grammar beside a GGUF, in llama.cpp.
dist_check_SCRIPTS += %D%/test_grammar
TESTS += %D%/test_grammar
EXTRA_DIST += %D%/llama_grammar.mjs
