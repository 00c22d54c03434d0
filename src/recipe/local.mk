src_libfettle_la_SOURCES += \
	%D%/check.c \
	%D%/doc.c \
	%D%/options.c %D%/options.def \
	%D%/parse.c \
	%D%/print.c \
	%D%/recipe.c %D%/recipe.h \
	%D%/recipe_room.h
