/* encode_texts TOKENIZER FILE: the ids of every text of FILE (texts end in a 0 byte), one text a line. For scripts that
 * compare with another implementation. */
#include "base/os.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

static ft_status print_ids(const char *tokenizer, const char *file)
{
    ft_status st = FT_OK;
    ft_tokenizer *t = NULL;
    ft_buf texts = {0};
    ft_ids ids = {0};
    FT_TRY(ft_tokenizer_open(&t, tokenizer));
    FT_TRY(ft_read_file(&texts, file, (size_t)1 << 30));
    for (size_t at = 0; at < texts.n; at += strlen(texts.p + at) + 1) {
        ids.n = 0;
        FT_TRY(ft_tokenizer_encode(t, ft_str_of(texts.p + at), false, &ids));
        for (size_t i = 0; i < ids.n; i++)
            printf(i ? " %d" : "%d", ids.p[i]);
        printf("\n");
    }
done:
    ft_ids_free(&ids);
    ft_buf_free(&texts);
    ft_tokenizer_free(t);
    return st;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: encode_texts TOKENIZER FILE\n");
        return 2;
    }
    ft_status st = print_ids(argv[1], argv[2]);
    if (st != FT_OK)
        fprintf(stderr, "%s\n", ft_error());
    return ft_exit_status(st);
}
