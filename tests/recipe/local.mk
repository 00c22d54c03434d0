if HAVE_CHECK
check_PROGRAMS += tests/recipe/test_recipe
TESTS += tests/recipe/test_recipe
tests_recipe_test_recipe_SOURCES = %D%/test_recipe.c
tests_recipe_test_recipe_CPPFLAGS = $(TEST_CPPFLAGS)
tests_recipe_test_recipe_LDADD = $(TEST_LIBS)
endif
