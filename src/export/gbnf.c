/* The grammar beside a GGUF of a run with labels, in llama.cpp's GBNF: MODEL.gbnf.
 *
 *   # Written by fettle.
 *   root ::=
 *     " leak" |
 *     " leak at the seal"
 *
 * The texts are those that the labels' tokens stand for, with the space before them that training had. Behind a whole label
 * llama.cpp allows only what a longer label goes on with, or the end of the answer.
 * In quotes: \" \\ \n \r \t, other control characters as \xHH, all else as it is in UTF-8.
 */
#include "export/internal.h"

#include "base/os.h"

#include <string.h>

static const char marker[] = "# Written by fettle.\n";

static ft_status put_character(ft_buf *b, const char *p, size_t n)
{
    static const char plain[] = "\"\\\n\r\t", escaped[] = "\"\\nrt";
    unsigned char c = (unsigned char)*p;
    const char *at = c ? strchr(plain, *p) : NULL;
    if (at)
        return ft_buf_printf(b, "\\%c", escaped[at - plain]);
    return c < 0x20 || c == 0x7f ? ft_buf_printf(b, "\\x%02X", c) : ft_buf_put(b, p, n);
}

static ft_status put_label(ft_buf *b, const ft_label *l)
{
    FT_RETURN(ft_buf_puts(b, "  \""));
    for (size_t i = 0, n; i < l->said.n; i += n) {
        n = ft_utf8_length(l->said.p + i, l->said.n - i);
        if (!n || !l->said.p[i])
            return ft_fail(FT_EUNSUPPORTED, "a grammar cannot hold the label \"%.200s\": %s", l->text.p,
                           n ? "a NUL stands in it" : "its tokens are no UTF-8");
        FT_RETURN(put_character(b, l->said.p + i, n));
    }
    return ft_buf_putc(b, '"');
}

ft_status ft_gbnf(ft_buf *out, const ft_labels *l)
{
    FT_RETURN(ft_buf_printf(out, "%sroot ::=\n", marker));
    for (size_t i = 0; i < l->n; i++) {
        FT_RETURN(put_label(out, &l->p[i]));
        FT_RETURN(ft_buf_puts(out, i + 1 < l->n ? " |\n" : "\n"));
    }
    return FT_OK;
}

bool ft_export__gbnf_is_ours(const char *path)
{
    return ft_begins_with(path, marker, sizeof marker - 1);
}

ft_status ft_gbnf_path(char **path, const char *gguf)
{
    size_t n = strlen(gguf) - (ft_ends(gguf, ".gguf") ? 5 : 0);
    *path = ft_strf("%.*s.gbnf", (int)n, gguf);
    if (*path && ft_exists(*path) && !ft_export__gbnf_is_ours(*path)) {
        ft_free(*path);
        *path = NULL;
        return FT_OK;
    }
    return *path ? FT_OK : FT_ENOMEM;
}

ft_status ft_export__gbnf_beside(ft_beside *beside, const ft_export_request *r)
{
    ft_buf b = {0};
    char *path = NULL;
    ft_status st = FT_OK;
    FT_TRY(ft_gbnf_path(&path, r->path));
    if (!path) {
        ft_note(FT_WARN, "%s: written without a grammar of its labels: the .gbnf beside it is not fettle's", r->path);
        goto done;
    }
    FT_TRY(ft_gbnf(&b, r->labels));
    FT_TRY(ft_export__beside_add(beside, path, &b));
done:
    ft_free(path);
    ft_buf_free(&b);
    return st;
}
