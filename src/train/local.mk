src_libfettle_la_SOURCES += \
	%D%/adamw.c \
	%D%/batch.c %D%/batch.h \
	%D%/checkpoint.c %D%/checkpoint.h \
	%D%/identity.c %D%/identity.h \
	%D%/loop.c \
	%D%/optimizers.def \
	%D%/prefix.c %D%/prefix.h \
	%D%/runlog.c %D%/runlog.h \
	%D%/schedules.c %D%/schedules.def \
	%D%/step.c \
	%D%/tables.c \
	%D%/train.h
