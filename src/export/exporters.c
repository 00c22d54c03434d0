/* The exporter table and the checks that hold for every exporter. */
#include "export/internal.h"

#include <string.h>
#include <sys/stat.h>

#define FT_EXPORTER(name) &ft_exporter_##name,
const ft_exporter *const ft_exporters[] = {
#include "export/exporters.def"
    NULL};
#undef FT_EXPORTER

const ft_exporter *ft_exporter_named(const char *name)
{
    for (size_t i = 0; ft_exporters[i]; i++)
        if (strcmp(ft_exporters[i]->name, name) == 0)
            return ft_exporters[i];
    return NULL;
}

bool ft_exporter_writes(const ft_exporter *e, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = e->dtypes; *p; p += strcspn(p, "|"), p += *p == '|')
        if (strncmp(p, name, n) == 0 && (p[n] == '|' || !p[n]))
            return true;
    return false;
}

ft_status ft_exporter_check_path(const ft_exporter *e, const char *path)
{
    if (!e->suffix)
        return ft_export__folder_check(path);
    return ft_is_dir(path) ? ft_fail(FT_EINPUT, "%s: is a directory, a file is to be written", path) : FT_OK;
}

ft_status ft_exporter_check_adapter(const ft_exporter *e, const ft_model *m)
{
    const ft_adapter_spec *s = ft_adapter_spec_of(m);
    if (!e->updates_only || !s || (!s->dora && !s->n_save))
        return FT_OK;
    return ft_fail(FT_EUNSUPPORTED,
                   "%s holds low-rank updates alone, this adapter has %s: export a merged model (gguf, hf) or peft", e->name,
                   s->dora ? "magnitudes (use_dora)" : "trained modules (modules_to_save)");
}

/* Is there anything at both, and is it the same? */
static bool same_place(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

ft_status ft_export__check(const ft_export_request *r, const ft_exporter *e)
{
    bool any = e == &ft_exporter_gguf && r->dtype && r->dtype->ggml_id >= 0;
    if (r->dtype && !any && !ft_exporter_writes(e, r->dtype->name))
        return ft_fail(FT_EUNSUPPORTED, "%s cannot be written as %s, choose one of %s", e->name, r->dtype->name, e->dtypes);
    if (e->needs_adapter && !ft_adapter_attached(r->model))
        return ft_fail(FT_EINPUT, "%s: the %s export needs an adapter and the model has none", ft_model_path(r->model),
                       e->name);
    FT_RETURN(ft_exporter_check_adapter(e, r->model));
    if (same_place(r->path, ft_model_path(r->model)))
        return ft_fail(FT_EINPUT, "%s: the export would replace the model it is made from", r->path);
    if (ft_adapter_path(r->model) && same_place(r->path, ft_adapter_path(r->model)))
        return ft_fail(FT_EINPUT, "%s: the export would replace the adapter it is made from", r->path);
    return FT_OK;
}

ft_status ft_export__beside_add(ft_beside *b, const char *path, const ft_buf *text)
{
    ft_out *file = NULL;
    FT_RETURN(ft_out_open(&file, path));
    b->file[b->n++] = file;
    FT_RETURN(ft_out_write(file, text->p, text->n));
    return ft_out_sync(file);
}

ft_status ft_export__beside_open(ft_beside *b, const ft_export_request *r, const char *base)
{
    if (r->tokenizer)
        FT_RETURN(ft_export__modelfile_beside(b, r, base));
    return r->labels ? ft_export__gbnf_beside(b, r) : FT_OK;
}

ft_status ft_export__beside_commit(ft_beside *b)
{
    ft_status st = FT_OK;
    for (size_t i = 0; i < b->n; i++) {
        ft_out *file = b->file[i];
        b->file[i] = NULL;
        if (st == FT_OK)
            st = ft_out_commit(file);
        else
            ft_out_abort(file);
    }
    b->n = 0;
    return st;
}

void ft_export__beside_abort(ft_beside *b)
{
    for (size_t i = 0; i < b->n; i++)
        ft_out_abort(b->file[i]);
    b->n = 0;
}

ft_status ft_export__tick(const ft_export_request *r, const char *what, size_t done, size_t total)
{
    if (r->progress && !r->progress(r->ctx, what, done, total))
        return ft_fail(FT_ESTOPPED, "%s: export stopped after %zu of %zu tensors", r->path, done, total);
    return FT_OK;
}
