# the model room
src_libfettle_la_SOURCES += \
	%D%/model.h %D%/origin.h %D%/arch.h %D%/adapter.h %D%/gemma.h %D%/keys.h %D%/qwen.h %D%/specs.h \
	%D%/archs.def %D%/adapters.def \
	%D%/adapter.c \
	%D%/adapter_gguf.c \
	%D%/bert.c \
	%D%/cache.c \
	%D%/config.c \
	%D%/decode.c \
	%D%/decoder.c \
	%D%/frozen.c \
	%D%/gemma2.c \
	%D%/gemma3.c \
	%D%/granite.c \
	%D%/llama.c \
	%D%/lora.c \
	%D%/init.c \
	%D%/lora_init.c \
	%D%/mistral.c \
	%D%/model.c \
	%D%/pattern.c \
	%D%/names.c \
	%D%/olmo2.c \
	%D%/origin.c \
	%D%/peft.c \
	%D%/phi3.c \
	%D%/pooling.c %D%/pooling.h \
	%D%/qwen2.c \
	%D%/qwen3.c \
	%D%/random.c \
	%D%/quantized.c \
	%D%/rope.c \
	%D%/sample.c \
	%D%/smollm3.c \
	%D%/weights.c
