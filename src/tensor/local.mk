src_libfettle_la_SOURCES += \
	%D%/blocks.h \
	%D%/codebooks.c \
	%D%/dtypes.def \
	%D%/fit.c %D%/fit.h \
	%D%/floats.c \
	%D%/k_affine.c \
	%D%/k_symmetric.c \
	%D%/q4_q5.c \
	%D%/q8_0.c \
	%D%/tensor.c %D%/tensor.h
