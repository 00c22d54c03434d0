src_libfettle_la_SOURCES += \
	%D%/kernel.c %D%/kernel.h \
	%D%/linear.c \
	%D%/paths.def \
	%D%/ref.c \
	%D%/whole.c
EXTRA_DIST += %D%/lanes.h %D%/stored.h %D%/stored_blocks.h %D%/stored_super.h %D%/vector.h

# Code for a CPU that may not be this one is compiled apart, and reached through ft_kernels only.
if X86_64
noinst_LTLIBRARIES += %D%/libavx2.la %D%/libavx512.la
src_kernel_libavx2_la_SOURCES = %D%/avx2.c
src_kernel_libavx2_la_CFLAGS = $(AM_CFLAGS) -ffp-contract=fast -mavx2 -mfma -mf16c
src_kernel_libavx512_la_SOURCES = %D%/avx512.c
src_kernel_libavx512_la_CFLAGS = $(AM_CFLAGS) -ffp-contract=fast -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mprefer-vector-width=512
src_libfettle_la_LIBADD += %D%/libavx2.la %D%/libavx512.la
endif
