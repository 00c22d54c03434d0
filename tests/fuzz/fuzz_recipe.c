/* What is read can be printed, and reads back as the same. */
#include "fuzz/fuzz.h"

#include "recipe/recipe.h"

static void silent(void *ctx, ft_note_level level, const char *text)
{
}

static void reads_back(const ft_recipe *r)
{
    char path[64];
    ft_buf first = {0}, second = {0};
    ft_recipe *again = NULL;
    if (ft_recipe_print(r, &first) != FT_OK)
        abort();
    int fd = fuzz_file((const uint8_t *)first.p, first.n, path);
    if (ft_recipe_open(&again, path, NULL, 0) != FT_OK || ft_recipe_print(again, &second) != FT_OK ||
        strcmp(first.p, second.p) != 0 || ft_recipe_hash(r) != ft_recipe_hash(again))
        abort();
    close(fd);
    ft_recipe_free(again);
    ft_buf_free(&first);
    ft_buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    ft_recipe *r = NULL;
    ft_note_sink(silent, NULL);
    int fd = fuzz_file(data, size, path);
    ft_status st = ft_recipe_open(&r, path, NULL, 0);
    fuzz_failed(st);
    if (st == FT_OK)
        reads_back(r);
    ft_recipe_free(r);
    close(fd);
    return 0;
}
