src_libfettle_la_SOURCES += \
	%D%/confidence.c %D%/confidence.h \
	%D%/divergence.c \
	%D%/generate.c \
	%D%/labels.c \
	%D%/loss.c \
	%D%/metric_json.c \
	%D%/metric_labels.c \
	%D%/metric_loss.c \
	%D%/metric_match.c \
	%D%/embed.c \
	%D%/metric_vectors.c \
	%D%/metrics.c %D%/metrics.def %D%/metrics.h \
	%D%/passes.h \
	%D%/score.c %D%/score.h \
	%D%/vectors.c
