/* Taking exports away again. Each kind says by itself that fettle wrote it: a folder by its fettle.json, a Modelfile by its
 * or a grammar by its first line, a GGUF, which has no such mark, by lying where only a run's exports are written.
 */
#include "export/internal.h"

#include "base/os.h"

#include <stdio.h>
#include <unistd.h>

static ft_status remove_file(const char *path)
{
    return unlink(path) == 0 ? FT_OK : ft_fail_errno("%s: cannot remove", path);
}

static ft_status remove_gguf(const char *dir, const char *path)
{
    return ft_begins_with(path, "GGUF", 4) ? remove_file(path) : FT_OK;
}

/* Behind the GGUFs: one whose GGUF is still there is not fettle's to remove. */
static ft_status remove_modelfile(const char *dir, const char *path)
{
    bool orphan = false;
    if (!ft_starts(ft_path_base(path), "Modelfile"))
        return FT_OK;
    FT_RETURN(ft_export__modelfile_is_orphan(&orphan, dir, path));
    return orphan ? remove_file(path) : FT_OK;
}

static ft_status remove_grammar(const char *dir, const char *path)
{
    return ft_ends(path, ".gbnf") && ft_export__gbnf_is_ours(path) ? remove_file(path) : FT_OK;
}

static ft_status remove_marked(const char *dir, const char *path)
{
    return ft_is_dir(path) ? ft_export_remove(path) : FT_OK;
}

ft_status ft_export_remove_all(const char *dir)
{
    static ft_status (*const kinds[])(const char *dir, const char *path) = {remove_gguf, remove_modelfile, remove_grammar,
                                                                                 remove_marked};
    ft_names names;
    ft_status st = FT_OK;
    if (!ft_is_dir(dir))
        return FT_OK;
    FT_RETURN(ft_list_dir(&names, dir, NULL));
    for (size_t k = 0; k < FT_COUNT(kinds); k++)
        for (size_t i = 0; st == FT_OK && i < names.n; i++) {
            char *path = ft_path_join(dir, names.p[i]);
            if (!path)
                st = FT_ENOMEM;
            else if (ft_exists(path))
                st = kinds[k](dir, path);
            ft_free(path);
        }
    ft_names_free(&names);
    if (st == FT_OK)
        (void)rmdir(dir); /* stays where the user has put something */
    return st;
}
