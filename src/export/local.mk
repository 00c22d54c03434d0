src_libfettle_la_SOURCES += \
	%D%/calibration.c \
	%D%/export.h \
	%D%/exporters.c %D%/exporters.def \
	%D%/feedback.c \
	%D%/folder.c \
	%D%/gate.c \
	%D%/gbnf.c \
	%D%/gguf.c \
	%D%/gguf_lora.c \
	%D%/hf.c \
	%D%/imatrix.c \
	%D%/internal.h \
	%D%/merge.c \
	%D%/mix.c %D%/mixes.def \
	%D%/modelfile.c \
	%D%/peft.c \
	%D%/plan.c \
	%D%/quantize.c \
	%D%/remove.c \
	%D%/report.c %D%/report.h \
	%D%/report_chart.c \
	%D%/report_log.c \
	%D%/report_reliability.c \
	%D%/report_table.c \
	%D%/stream.c \
	%D%/survival.c
