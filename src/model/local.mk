# the model room
src_libfettle_la_SOURCES += \
	%D%/model.h %D%/origin.h %D%/arch.h %D%/adapter.h %D%/keys.h \
	%D%/archs.def %D%/adapters.def \
	%D%/adapter.c \
	%D%/config.c \
	%D%/decode.c \
	%D%/decoder.c \
	%D%/llama.c \
	%D%/lora.c \
	%D%/model.c \
	%D%/names.c \
	%D%/origin.c \
	%D%/peft.c \
	%D%/random.c \
	%D%/rope.c \
	%D%/sample.c \
	%D%/weights.c
