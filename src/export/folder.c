/* A directory export appears whole or not at all.
 *
 * The files are written into a temporary sibling, "NAME.PID.tmp", each one synced by its own writer. Commit gives the
 * sibling the final name in one rename; where an earlier export stands there the two change places in one step
 * (renameat2), and the old one is removed. A crash before that leaves the old export and the sibling.
 *
 * What stands under the final name is replaced only when fettle wrote it, which its fettle.json says, and when it holds
 * nothing but files that exports have. A folder with anything else in it, dot files included, is the user's: refused.
 */
#include "export/internal.h"

#include "base/os.h"
#include "model/origin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const export_files[] = {
    "config.json", "generation_config.json", "model.safetensors", "model-*-of-*.safetensors",
    "model.safetensors.index.json", "adapter_config.json", "adapter_model.safetensors", "README.md",
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "tokenizer.bin", "tok*.bin", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "tekken.json", "merges.txt", "chat_template.jinja", "chat_template.json",
    "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"};
/* The folder of a module of sentence-transformers, and all that it holds. */
static const char module_folder[] = "[0-9]_*", module_file[] = "config.json";

static bool is_export_file(const char *name)
{
    if (strcmp(name, ft_origin_file) == 0)
        return true;
    for (size_t i = 0; i < FT_COUNT(export_files); i++)
        if (fnmatch(export_files[i], name, 0) == 0)
            return true;
    return false;
}

typedef ft_status (*entry_fn)(int fd, const char *dir, const char *name);

/* Calls fn for every entry, dot files among them; fd is the directory. Allocates nothing: cleaning up must not fail. */
static ft_status each_entry(const char *dir, entry_fn fn)
{
    DIR *d = opendir(dir);
    if (!d)
        return ft_fail_errno("%s: cannot list", dir);
    ft_status st = FT_OK;
    for (struct dirent *e; st == FT_OK && (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            st = fn(dirfd(d), dir, e->d_name);
    closedir(d);
    return st;
}

typedef enum entry { OTHER, A_FILE, A_FOLDER } entry;

static entry kind_of(int fd, const char *name)
{
    struct stat sb;
    if (fstatat(fd, name, &sb, AT_SYMLINK_NOFOLLOW) != 0)
        return OTHER;
    return S_ISREG(sb.st_mode) ? A_FILE : S_ISDIR(sb.st_mode) ? A_FOLDER : OTHER;
}

/* fn for every entry of the folder name in dir. */
static ft_status each_inside(const char *dir, const char *name, entry_fn fn)
{
    char inner[4096];
    if ((size_t)snprintf(inner, sizeof inner, "%s/%s", dir, name) >= sizeof inner)
        return ft_fail(FT_EINPUT, "%s/%s: the path is too long", dir, name);
    return each_entry(inner, fn);
}

static ft_status refuse(const char *dir, const char *name)
{
    return ft_fail(FT_EINPUT, "%s: the folder holds %s, which is no file of an export: name a new or empty folder", dir, name);
}

static ft_status refuse_in_module(int fd, const char *dir, const char *name)
{
    return kind_of(fd, name) == A_FILE && strcmp(name, module_file) == 0 ? FT_OK : refuse(dir, name);
}

static ft_status refuse_stranger(int fd, const char *dir, const char *name)
{
    entry kind = kind_of(fd, name);
    if (kind == A_FILE && is_export_file(name))
        return FT_OK;
    if (kind == A_FOLDER && fnmatch(module_folder, name, 0) == 0)
        return each_inside(dir, name, refuse_in_module);
    return refuse(dir, name);
}

static ft_status refuse_any(int fd, const char *dir, const char *name)
{
    return ft_fail(FT_EINPUT,
                   "%s: the folder holds %s and no %s of fettle's, so fettle did not write it and does not replace it: name "
                   "a new or empty folder",
                   dir, name, ft_origin_file);
}

/* Refuses a folder that may not be replaced. */
static ft_status check_replaceable(const char *dir)
{
    bool ours;
    FT_RETURN(each_entry(dir, refuse_stranger));
    FT_RETURN(ft_origin_is_ours(&ours, dir));
    return ours ? FT_OK : each_entry(dir, refuse_any);
}

static ft_status remove_file(int fd, const char *dir, const char *name)
{
    return unlinkat(fd, name, 0) == 0 ? FT_OK : ft_fail_errno("%s/%s: cannot remove", dir, name);
}

static ft_status remove_entry(int fd, const char *dir, const char *name)
{
    if (kind_of(fd, name) != A_FOLDER)
        return remove_file(fd, dir, name);
    FT_RETURN(each_inside(dir, name, remove_file));
    return unlinkat(fd, name, AT_REMOVEDIR) == 0 ? FT_OK : ft_fail_errno("%s/%s: cannot remove", dir, name);
}

static ft_status remove_folder(const char *dir)
{
    FT_RETURN(each_entry(dir, remove_entry));
    return rmdir(dir) == 0 ? FT_OK : ft_fail_errno("%s: cannot remove", dir);
}

ft_status ft_export_remove(const char *dir)
{
    if (!ft_is_dir(dir) || check_replaceable(dir) != FT_OK)
        return FT_OK;
    return remove_folder(dir);
}

ft_status ft_export__folder_check(const char *path)
{
    if (!ft_exists(path))
        return FT_OK;
    return ft_is_dir(path) ? check_replaceable(path) : ft_fail(FT_EINPUT, "%s: is a file, a folder is to be written", path);
}

static void folder_free(ft_export__folder *f)
{
    ft_free(f->final);
    ft_free(f->temporary);
    *f = (ft_export__folder){0};
}

ft_status ft_export__folder_open(ft_export__folder *f, const char *path)
{
    ft_status st = FT_OK;
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    *f = (ft_export__folder){.final = ft_strndup(path, n)};
    f->temporary = f->final ? ft_strf("%s.%ld.tmp", f->final, (long)getpid()) : NULL;
    if (!f->temporary) {
        st = FT_ENOMEM;
        goto done;
    }
    st = ft_export__folder_check(f->final);
    if (st == FT_OK)
        st = ft_mkdirs_for(f->final);
    if (st == FT_OK && mkdir(f->temporary, 0777) != 0)
        st = ft_fail_errno("%s: cannot create the directory", f->temporary);
done:
    if (st != FT_OK)
        folder_free(f);
    return st;
}

char *ft_export__folder_file(const ft_export__folder *f, const char *name)
{
    return ft_path_join(f->temporary, name);
}

/* Where an adapter's base lies, seen from the adapter; a merged model needs none. */
ft_status ft_export__folder_mark(const ft_export__folder *f, const char *format, const ft_export_request *r)
{
    const char *base = ft_model_path(r->model);
    bool adapter = ft_exporter_named(format)->needs_adapter;
    char *way = adapter ? ft_path_relative(f->final, base) : NULL;
    ft_origin o = {.format = format, .base_model = r->base_name ? r->base_name : base, .base_path = way,
                   .quantize_base = adapter ? ft_model_quantize_base(r->model) : NULL};
    ft_status st = adapter && !way ? ft_fail(FT_ENOMEM, "%s: no way to the base %s", f->final, base)
                                   : ft_origin_write(f->temporary, &o);
    ft_free(way);
    return st;
}

static bool exchange(const char *a, const char *b)
{
#ifdef RENAME_EXCHANGE
    return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0;
#else
    return false;
#endif
}

/* The earlier export and the new one change places; where the file system cannot do that in one step: aside, in, and
 * back when that fails. Then the earlier one goes. */
static ft_status replace(const ft_export__folder *f)
{
    char *aside = ft_strf("%s.old", f->temporary);
    if (!aside)
        return FT_ENOMEM;
    ft_status st = FT_OK;
    const char *old = f->temporary;
    if (!exchange(f->temporary, f->final)) {
        old = aside;
        if (rename(f->final, aside) != 0) {
            st = ft_fail_errno("%s: cannot move the earlier export aside", f->final);
        } else if (rename(f->temporary, f->final) != 0) {
            st = ft_fail_errno("%s: cannot rename %s to it", f->final, f->temporary);
            (void)rename(aside, f->final);
        }
    }
    if (st == FT_OK && remove_folder(old) != FT_OK)
        ft_note(FT_WARN, "the export stands, but what it replaced does too: %s", ft_error());
    ft_free(aside);
    return st;
}

static void sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
}

ft_status ft_export__folder_commit(ft_export__folder *f)
{
    ft_status st = FT_OK;
    sync_folder(f->temporary);
    char *parent = ft_path_dir(f->final);
    if (!parent) {
        st = FT_ENOMEM;
    } else if (rename(f->temporary, f->final) != 0) {
        /* an empty directory is replaced by rename itself; here an earlier export stands */
        if (errno == ENOTEMPTY || errno == EEXIST)
            st = replace(f);
        else
            st = ft_fail_errno("%s: cannot rename %s to it", f->final, f->temporary);
    }
    if (st != FT_OK) {
        ft_free(parent);
        ft_export__folder_abort(f);
        return st;
    }
    sync_folder(parent);
    ft_free(parent);
    folder_free(f);
    return FT_OK;
}

/* Keeps the message of what went wrong before. */
void ft_export__folder_abort(ft_export__folder *f)
{
    if (!f->temporary)
        return;
    char *why = ft_strdup(ft_error());
    if (ft_is_dir(f->temporary))
        (void)remove_folder(f->temporary);
    if (why && *why)
        ft_fail(FT_EIO, "%s", why);
    ft_free(why);
    folder_free(f);
}
