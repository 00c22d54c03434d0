/* Inside the recipe room: what a recipe holds and the steps from YAML to it.
 *
 * A recipe is a flat list of settings, one for every key that was given (a null value too, so that duplicates show):
 * texts that have passed their option's type. Getters parse the text; nothing is stored twice.
 * Everything lives in the recipe's arena.
 */
#ifndef FETTLE_RECIPE_ROOM_H
#define FETTLE_RECIPE_ROOM_H

#include "recipe/recipe.h"

enum {
    FT_RECIPE_MAX_BYTES = 1 << 20,
    FT_RECIPE_MAX_ITEMS = 1000,   /* of one list */
    FT_RECIPE_MAX_MISTAKES = 100, /* kept; the others are counted */
    FT_RECIPE_MAX_TEXT = 65536,   /* bytes of one value */
    FT_RECIPE_MAX_DEPTH = 16      /* of lists and maps; a valid recipe has 3 */
};

/* Mistakes are reported in the order of the file, then those of overrides, then what has no place of its own. */
typedef struct ft_place {
    const char *text; /* "recipe.yaml:12:3", "--set key" */
    uint64_t rank;    /* from line and column, or one of these */
} ft_place;
#define FT_RANK_OVERRIDE (UINT64_MAX - 1)
#define FT_RANK_WHOLE UINT64_MAX

typedef struct ft_setting {
    const ft_option *option;
    size_t index;       /* entry of the list a "list.key" belongs to */
    ft_place place;     /* of the value */
    const char **items; /* [n]: texts of a STRINGS option; the one text of a scalar */
    size_t n;           /* of a LIST option: its entries; 0: null, or refused */
    bool refused;       /* something in it was wrong and has been said: it is not missing as well */
} ft_setting;

typedef struct ft_meant { /* the option that an unknown key was nearest to */
    const ft_option *option;
    size_t index;
} ft_meant;

typedef struct ft_mistake {
    ft_place place;
    size_t order; /* of finding */
    const char *text;
} ft_mistake;

struct ft_recipe {
    ft_arena *arena;
    const char *name; /* the file's, "recipe" without one */
    ft_setting *settings;
    size_t n, cap;
    ft_mistake *mistakes;
    size_t n_mistakes, unsaid;
    ft_meant meant[FT_RECIPE_MAX_MISTAKES];
    size_t n_meant;
};

/* options.c */
/* The option a written key means, of the top level or of an entry of list; aliases too (*alias says so). NULL: none. */
const ft_option *ft_option__find(const ft_option *list, ft_str key, bool *alias);
/* The option of the nearest valid key at that level, NULL when none is near. */
const ft_option *ft_option__nearest(const ft_option *list, const char *key);
/* Whether o is a key of an entry of list (of the top level where list is NULL). */
bool ft_option__belongs(const ft_option *o, const ft_option *list);
/* The key as it is written in the recipe: "path" of "datasets.path". */
const char *ft_option__key(const ft_option *o);
/* Is `word` one of the names in "a|b|c"? */
bool ft_option__listed(const char *list, const char *word);
/* Calls fn for each name of a list like "a, b" or "a|b" until it returns true; returns whether it did. */
bool ft_option__each(const char *list, char separator, bool (*fn)(void *ctx, ft_str name), void *ctx);
/* What another tool's value means here ("full" of "full=none"): false when the row has no such entry. */
bool ft_option__translate(const ft_option *o, const char *value, ft_str *meaning);
/* Whether text is a value of the option's type, limits and choices. */
bool ft_option__accepts(const ft_option *o, const char *text);
/* "an integer from 1 to 4096", "one of none, lora". */
ft_status ft_option__expected(const ft_option *o, ft_buf *out);
bool ft_option__bool(const char *text, bool *out);

/* recipe.c */
const ft_setting *ft_recipe__find(const ft_recipe *r, const ft_option *o, size_t index);
ft_status ft_recipe__add(ft_recipe *r, const ft_setting *s);
/* Forgets an option and the entries of a list: an override replaces what the file says. */
void ft_recipe__forget(ft_recipe *r, const ft_option *o);
/* Text of a scalar: as given or its default; NULL where neither is. */
const char *ft_recipe__text(const ft_recipe *r, const ft_option *o, size_t index);
ft_status ft_recipe__mistake(ft_recipe *r, ft_place place, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* parse.c: reads a file's or an override's YAML into settings and mistakes. */
ft_status ft_recipe__read_file(ft_recipe *r, const char *path);
ft_status ft_recipe__read_override(ft_recipe *r, const char *key_value);

/* check.c: what only the whole recipe shows: missing keys, combinations, files that are not there. */
ft_status ft_recipe__check_whole(ft_recipe *r);

/* print.c: the value of an option (a list with its entries) as YAML; nothing where it has none. */
ft_status ft_recipe__value(const ft_recipe *r, const ft_option *o, ft_buf *out);

#endif
