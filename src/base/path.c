/* Paths and directories: what stands where, the parts of a name, the way from one place to another. */
#include "base/os.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what is there ---- */

bool ft_exists(const char *path)
{
    struct stat sb;
    return stat(path, &sb) == 0;
}

bool ft_is_dir(const char *path)
{
    struct stat sb;
    return stat(path, &sb) == 0 && S_ISDIR(sb.st_mode);
}

/* Asks the directory, so that nothing has to be allocated for the question. */
bool ft_dir_holds(const char *dir, const char *name)
{
    struct stat sb;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool found = fd >= 0 && fstatat(fd, name, &sb, 0) == 0;
    if (fd >= 0)
        close(fd);
    return found;
}

bool ft_begins_with(const char *path, const void *magic, size_t n)
{
    ft_mapping m;
    if (ft_is_dir(path) || ft_mapping_open(&m, path) != FT_OK)
        return false;
    bool same = m.size >= n && memcmp(m.data, magic, n) == 0;
    ft_mapping_close(&m);
    return same;
}

/* ---- directories ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

ft_status ft_list_dir(ft_names *out, const char *path, const char *suffix)
{
    *out = (ft_names){0};
    DIR *d = opendir(path);
    if (!d)
        return ft_fail_errno("%s: cannot list", path);
    ft_status st = FT_OK;
    for (struct dirent *e; st == FT_OK && (e = readdir(d));) {
        if (e->d_name[0] == '.' || (suffix && !ft_ends(e->d_name, suffix)))
            continue;
        char **p = ft_resize(out->p, out->n + 1, sizeof *p);
        if (p)
            out->p = p;
        if (!p || !(out->p[out->n] = ft_strdup(e->d_name)))
            st = FT_ENOMEM;
        else
            out->n++;
    }
    closedir(d);
    if (st != FT_OK)
        ft_names_free(out);
    else if (out->n)
        qsort(out->p, out->n, sizeof *out->p, by_name);
    return st;
}

void ft_names_free(ft_names *n)
{
    for (size_t i = 0; i < n->n; i++)
        ft_free(n->p[i]);
    ft_free(n->p);
    *n = (ft_names){0};
}

ft_status ft_mkdirs(const char *path)
{
    char *s = ft_strdup(path);
    ft_status st = s ? FT_OK : FT_ENOMEM;
    for (char *p = s; st == FT_OK && *p; p++) {
        while (*p == '/')
            p++;
        while (*p && *p != '/')
            p++;
        char keep = *p;
        *p = 0;
        if (*s && mkdir(s, 0777) != 0 && errno != EEXIST)
            st = ft_fail_errno("%s: cannot create the directory", s);
        else if (*s && !ft_is_dir(s))
            st = ft_fail(FT_EIO, "%s: exists and is no directory", s);
        *p = keep;
        if (!keep)
            break;
    }
    ft_free(s);
    return st;
}

ft_status ft_mkdirs_for(const char *path)
{
    char *dir = ft_path_dir(path);
    ft_status st = dir ? ft_mkdirs(dir) : FT_ENOMEM;
    ft_free(dir);
    return st;
}

/* ---- names ---- */

char *ft_path_join(const char *dir, const char *name)
{
    if (!dir || !*dir || name[0] == '/')
        return ft_strdup(name);
    return ft_strf("%s%s%s", dir, ft_ends(dir, "/") ? "" : "/", name);
}

char *ft_path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return ft_strdup(".");
    return ft_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

const char *ft_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The real place of a path whose last part need not exist, in new memory; NULL without memory or where its directory is
 * not there. realpath allocates past ft_alloc, so its result is copied. */
static char *real_place(const char *path)
{
    char real[PATH_MAX];
    if (realpath(path, real))
        return ft_strdup(real);
    char *dir = ft_path_dir(path);
    char *place = dir && realpath(dir, real) ? ft_path_join(real, ft_path_base(path)) : NULL;
    ft_free(dir);
    return place;
}

/* "../" for every part of a path, behind one another. */
static ft_status put_ups(ft_buf *b, const char *path)
{
    ft_status st = FT_OK;
    for (path += strspn(path, "/"); st == FT_OK && *path; path += strcspn(path, "/"), path += strspn(path, "/"))
        st = ft_buf_puts(b, "../");
    return st;
}

char *ft_path_relative(const char *dir, const char *to)
{
    char *from = real_place(dir), *real = real_place(to), *out = NULL;
    ft_buf b = {0};
    size_t same = 0; /* bytes of the directories that both share */
    if (!from || !real)
        goto done;
    for (size_t i = 0;; i++) {
        if ((!from[i] || from[i] == '/') && (!real[i] || real[i] == '/'))
            same = i;
        if (!from[i] || from[i] != real[i])
            break;
    }
    const char *down = real + same + (real[same] == '/');
    if (put_ups(&b, from + same) == FT_OK && ft_buf_puts(&b, down) == FT_OK)
        out = ft_strdup(b.n ? b.p : ".");
done:
    ft_buf_free(&b);
    ft_free(from);
    ft_free(real);
    return out;
}
