# The program. It asks the libraries inside libfettle for their versions and builds its results with jansson, so it names
# them too.
src_fettle_LDADD += $(src_libfettle_la_LIBADD)
src_fettle_SOURCES += \
	%D%/args.c \
	%D%/cmd.h \
	%D%/commands.def \
	%D%/help.c \
	%D%/main.c \
	%D%/out.c \
	%D%/pages.c \
	%D%/result.c \
	%D%/tokenizer.c \
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
