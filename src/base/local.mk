src_libfettle_la_SOURCES += \
	%D%/human.c %D%/human.h \
	%D%/mem.c %D%/mem.h \
	%D%/os.c %D%/os.h \
	%D%/path.c \
	%D%/rng.c %D%/rng.h \
	%D%/status.c %D%/status.h \
	%D%/str.c %D%/str.h \
	%D%/threads.c %D%/threads.h
