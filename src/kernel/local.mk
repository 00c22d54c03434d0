src_libfettle_la_SOURCES += \
	%D%/engine.h %D%/engines.def \
	%D%/kernel.c %D%/kernel.h \
	%D%/linear.c \
	%D%/lowrank.c %D%/lowrank.h \
	%D%/pack.c \
	%D%/paths.def \
	%D%/product.c \
	%D%/ref.c \
	%D%/together.c \
	%D%/whole.c
EXTRA_DIST += %D%/lanes.h %D%/micro.h %D%/stored.h %D%/stored_blocks.h %D%/stored_super.h %D%/vector.h

# Code for a CPU that may not be this one is compiled apart, and reached through ft_kernels and ft_engine only.
if X86_64
noinst_LTLIBRARIES += %D%/libavx2.la %D%/libavx512.la %D%/libavx512bf16.la
src_kernel_libavx2_la_SOURCES = %D%/avx2.c %D%/engine_avx2.c
src_kernel_libavx2_la_CFLAGS = $(AM_CFLAGS) -ffp-contract=fast -mavx2 -mfma -mf16c
src_kernel_libavx512_la_SOURCES = %D%/avx512.c %D%/engine_avx512.c
src_kernel_libavx512_la_CFLAGS = $(AM_CFLAGS) -ffp-contract=fast -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mprefer-vector-width=512
src_kernel_libavx512bf16_la_SOURCES = %D%/engine_avx512_bf16.c
src_kernel_libavx512bf16_la_CFLAGS = $(src_kernel_libavx512_la_CFLAGS) -mavx512bf16
src_libfettle_la_LIBADD += %D%/libavx2.la %D%/libavx512.la %D%/libavx512bf16.la
endif
