src_libfettle_la_SOURCES += \
	%D%/csv.c \
	%D%/json.c %D%/json.h \
	%D%/lines.c %D%/lines.h %D%/lines_impl.h
