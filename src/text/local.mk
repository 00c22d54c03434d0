# the text room
src_libfettle_la_SOURCES += \
	%D%/added.c %D%/added.h \
	%D%/base64.c %D%/base64.h \
	%D%/bpe.c \
	%D%/charsmap.c %D%/charsmap.h \
	%D%/export_tokenizer.c \
	%D%/from_gguf.c \
	%D%/from_json.c \
	%D%/from_llama2c.c \
	%D%/from_sentencepiece.c \
	%D%/from_tekken.c \
	%D%/from_vocab_txt.c \
	%D%/ggml_pre.c %D%/ggml_pre.h \
	%D%/json_model.c \
	%D%/merges.c %D%/merges.h \
	%D%/normalizers.c %D%/normalizers.h \
	%D%/pretokenizers.c %D%/pretokenizers.h \
	%D%/protobuf.c %D%/protobuf.h \
	%D%/regex.c %D%/regex.h \
	%D%/special_ids.c \
	%D%/spm.c \
	%D%/tokenizer.c %D%/tokenizer.h \
	%D%/tokenizer_impl.h \
	%D%/tokenizers.def \
	%D%/train_tokenizer.c \
	%D%/trie.c %D%/trie.h \
	%D%/unicode.c %D%/unicode.h \
	%D%/unigram.c \
	%D%/vocab.c %D%/vocab.h \
	%D%/vocabularies.def \
	%D%/wordpiece.c \
	%D%/write_hf.c
src_libfettle_la_SOURCES += \
	%D%/jinja.h %D%/jinja_impl.h \
	%D%/jinja_call.c \
	%D%/jinja_eval.c \
	%D%/jinja_expr.c \
	%D%/jinja_filters.c %D%/jinja_filters.def \
	%D%/jinja_functions.c %D%/jinja_functions.def \
	%D%/jinja_json.c \
	%D%/jinja_lex.c \
	%D%/jinja_methods.c %D%/jinja_methods.def \
	%D%/jinja_parse.c \
	%D%/jinja_run.c \
	%D%/jinja_sequences.c \
	%D%/jinja_tests.c %D%/jinja_tests.def \
	%D%/jinja_text.c \
	%D%/jinja_value.c
src_libfettle_la_SOURCES += \
	%D%/chat.c %D%/chat.h \
	%D%/chat_chatml.c \
	%D%/chat_llama2.c \
	%D%/chat_llama3.c \
	%D%/labels.c %D%/labels.h \
	%D%/ollama.c %D%/ollama.h %D%/ollama_tools.c \
	%D%/rows.c %D%/rows.h \
	%D%/spans.c \
	%D%/templates.c %D%/templates.def \
	%D%/turns.c
