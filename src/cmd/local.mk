# The program. It asks the libraries inside libfettle for their versions and builds its results with jansson, so it names
# them too.
src_fettle_LDADD += $(src_libfettle_la_LIBADD)
src_fettle_SOURCES += \
	%D%/args.c \
	%D%/base_scores.c %D%/base_scores.h \
	%D%/bench.c %D%/bench.h \
	%D%/bench_decode.c \
	%D%/bench_gemm.c \
	%D%/bench_op.c \
	%D%/bench_tokenizer.c \
	%D%/bench_train.c \
	%D%/bench_training.c \
	%D%/chat.c \
	%D%/choices.c %D%/choices.h \
	%D%/cmd.h \
	%D%/commands.def \
	%D%/embed.c \
	%D%/eval.c \
	%D%/export.c \
	%D%/forecast.c %D%/forecast.h \
	%D%/generate.c \
	%D%/help.c \
	%D%/imatrix.c \
	%D%/init.c \
	%D%/inspect.c %D%/inspect.h \
	%D%/inspect_model.c \
	%D%/inspect_run.c \
	%D%/job.c %D%/job.h \
	%D%/labeling.c %D%/labeling.h \
	%D%/layers.c %D%/layers.h \
	%D%/logits.c %D%/logits.h \
	%D%/main.c \
	%D%/opened.c %D%/opened.h \
	%D%/out.c \
	%D%/outcome.c %D%/outcome.h \
	%D%/pages.c \
	%D%/plan.c %D%/plan.h \
	%D%/plan_run.c \
	%D%/preview.c \
	%D%/progress.c %D%/progress.h \
	%D%/quantize.c \
	%D%/recipe.c \
	%D%/result.c \
	%D%/runfolder.c %D%/runfolder.h \
	%D%/tokenizer.c \
	%D%/shapes.c %D%/shapes.def %D%/shapes.h \
	%D%/ship.c %D%/ship.h \
	%D%/survival.c %D%/survival.h \
	%D%/train.c \
	%D%/version.c

# The manual page and the completion are printed by the program from its own tables.
man_MANS += %D%/fettle.1
bashcompletiondir = $(datadir)/bash-completion/completions
bashcompletion_DATA = %D%/completion/fettle
CLEANFILES += %D%/fettle.1 %D%/completion/fettle

%D%/fettle.1: src/fettle$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) %D% && src/fettle$(EXEEXT) help --man >$@.tmp && mv $@.tmp $@
%D%/completion/fettle: src/fettle$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) %D%/completion && src/fettle$(EXEEXT) help --completion >$@.tmp && mv $@.tmp $@
