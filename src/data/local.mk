src_libfettle_la_SOURCES += \
	%D%/chat.c \
	%D%/completion.c \
	%D%/data.h \
	%D%/data_room.h \
	%D%/dataset.c \
	%D%/formats.def \
	%D%/lint.c \
	%D%/pairs.c \
	%D%/plain.c \
	%D%/read.c \
	%D%/reader.c \
	%D%/split.c \
	%D%/template.c \
	%D%/tools.c
