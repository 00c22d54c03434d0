# the text room
src_libfettle_la_SOURCES += \
	%D%/added.c %D%/added.h \
	%D%/bpe.c \
	%D%/charsmap.c %D%/charsmap.h \
	%D%/from_json.c \
	%D%/merges.c %D%/merges.h \
	%D%/normalizers.c %D%/normalizers.h \
	%D%/pretokenizers.c %D%/pretokenizers.h \
	%D%/regex.c %D%/regex.h \
	%D%/special_ids.c \
	%D%/spm.c \
	%D%/tokenizer.c %D%/tokenizer.h \
	%D%/tokenizer_impl.h \
	%D%/tokenizers.def \
	%D%/train_tokenizer.c \
	%D%/unicode.c %D%/unicode.h \
	%D%/vocab.c %D%/vocab.h \
	%D%/vocabularies.def \
	%D%/write_hf.c
