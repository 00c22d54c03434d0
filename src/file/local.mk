src_libfettle_la_SOURCES += \
	%D%/container.c %D%/container.h %D%/container_impl.h %D%/formats.def \
	%D%/csv.c \
	%D%/gguf.c \
	%D%/json.c %D%/json.h \
	%D%/lines.c %D%/lines.h %D%/lines_impl.h \
	%D%/meta.c \
	%D%/safetensors.c \
	%D%/shards.c \
	%D%/store.c %D%/store.h %D%/store_impl.h \
	%D%/store_driver.c \
	%D%/store_read.c \
	%D%/store_seal.c \
	%D%/store_write.c \
	%D%/writer.c
