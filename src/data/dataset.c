/* A dataset: an array of examples, their messages and texts in one arena.
 *
 * Texts are packed into chunks of CHUNK bytes (a large one gets its own), so that a million short rows cost little more
 * than their bytes. Every text has a 0 behind it, for messages.
 */
#include "data/data_room.h"

#include <stdio.h>
#include <string.h>

enum { CHUNK = 1 << 20 };

const char *ft_role_name(ft_role role)
{
    static const char *const names[] = {
        [FT_SYSTEM] = "system", [FT_USER] = "user", [FT_ASSISTANT] = "assistant", [FT_TOOL] = "tool"};
    return names[role];
}

const ft_row_format_info ft_row_formats[] = {
#define FT_ROW_FORMAT(name, help) {#name, help},
#include "data/formats.def"
#undef FT_ROW_FORMAT
    {NULL, NULL}};

ft_status ft_data__init(ft_dataset *d)
{
    if (d->impl)
        return FT_OK;
    struct ft_dataset_impl *impl = ft_alloc(1, sizeof *impl);
    if (impl && !(impl->arena = ft_arena_new(CHUNK, 0))) {
        ft_free(impl);
        impl = NULL;
    }
    d->impl = impl;
    return impl ? FT_OK : FT_ENOMEM;
}

bool ft_dataset_is_text(const ft_dataset *d)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->examples[i].kind != FT_TEXT)
            return false;
    return d->n > 0;
}

void ft_dataset_free(ft_dataset *d)
{
    for (size_t i = 0; i < d->n_files; i++)
        ft_free(d->files[i]);
    ft_free(d->files);
    ft_free(d->formats);
    ft_free(d->examples);
    if (d->impl)
        ft_arena_free(d->impl->arena);
    ft_free(d->impl);
    *d = (ft_dataset){0};
}

ft_status ft_data__keep(ft_dataset *d, ft_str text, ft_str *out)
{
    struct ft_dataset_impl *impl = d->impl;
    char *p;
    size_t need;
    if (!ft_add(text.n, 1, &need))
        return ft_fail(FT_ENOMEM, "a text of %zu bytes", text.n);
    if (need > CHUNK / 4) {
        p = ft_arena_alloc(impl->arena, need, 1);
    } else {
        if (need > impl->held - impl->used) {
            if (!(impl->chunk = ft_arena_alloc(impl->arena, CHUNK, 1))) {
                impl->held = impl->used = 0;
                return FT_ENOMEM;
            }
            impl->held = CHUNK;
            impl->used = 0;
        }
        p = impl->chunk + impl->used;
        impl->used += need;
    }
    if (!p)
        return FT_ENOMEM;
    if (text.n)
        memcpy(p, text.p, text.n);
    p[text.n] = 0;
    *out = (ft_str){p, text.n};
    return FT_OK;
}

ft_status ft_data__add_file(ft_dataset *d, const char *path, int32_t *index)
{
    for (size_t i = 0; i < d->n_files; i++)
        if (strcmp(d->files[i], path) == 0) {
            *index = (int32_t)i;
            return FT_OK;
        }
    char *copy = ft_strdup(path);
    char **files = copy ? ft_resize(d->files, d->n_files + 1, sizeof *files) : NULL;
    if (files)
        d->files = files;
    const char **formats = files ? ft_resize(d->formats, d->n_files + 1, sizeof *formats) : NULL;
    if (!formats) {
        ft_free(copy);
        return FT_ENOMEM;
    }
    d->formats = formats;
    d->formats[d->n_files] = NULL;
    *index = (int32_t)d->n_files;
    d->files[d->n_files++] = copy;
    return FT_OK;
}

ft_status ft_data__add(ft_dataset *d, const ft_example *e)
{
    struct ft_dataset_impl *impl = d->impl;
    if (d->n == impl->cap) {
        size_t cap = impl->cap ? impl->cap * 2 : 256;
        ft_example *p = ft_resize(d->examples, cap, sizeof *p);
        if (!p)
            return FT_ENOMEM;
        d->examples = p;
        impl->cap = cap;
    }
    ft_message *messages = ft_arena_alloc(impl->arena, e->n, sizeof *messages);
    if (!messages)
        return FT_ENOMEM;
    if (e->n) /* the messages of a row without any may be NULL */
        memcpy(messages, e->messages, e->n * sizeof *messages);
    d->examples[d->n] = *e;
    d->examples[d->n++].messages = messages;
    return FT_OK;
}

ft_status ft_data__add_from(ft_dataset *d, const ft_dataset *other, const ft_example *e)
{
    ft_example copy = *e;
    FT_RETURN(ft_data__init(d));
    FT_RETURN(ft_data__add_file(d, other->files[e->file], &copy.file));
    d->formats[copy.file] = other->formats[e->file];
    if (e->tools.n)
        FT_RETURN(ft_data__keep(d, e->tools, &copy.tools));
    FT_RETURN(ft_data__add(d, &copy));
    for (size_t i = 0; i < e->n; i++) {
        ft_message *m = &d->examples[d->n - 1].messages[i];
        FT_RETURN(ft_data__keep(d, e->messages[i].content, &m->content));
        if (m->extra.n)
            FT_RETURN(ft_data__keep(d, e->messages[i].extra, &m->extra));
    }
    return FT_OK;
}

const char *ft_example_place(const ft_dataset *d, const ft_example *e, char buf[512])
{
    const char *path = (size_t)e->file < d->n_files ? d->files[e->file] : "?";
    size_t n = strlen(path);
    snprintf(buf, 512, "%s%s row %lld", n > 480 ? "..." : "", n > 480 ? path + n - 470 : path, (long long)e->row);
    return buf;
}
