src_libfettle_la_SOURCES += \
	%D%/dtypes.def \
	%D%/floats.c \
	%D%/q8_0.c \
	%D%/tensor.c %D%/tensor.h
