/* encode_texts [-s] TOKENIZER FILE [GGUF]: the ids of every text of FILE (texts end in a 0 byte), one text a line; and
 * the tokenizer as a GGUF file without tensors. -s: the text of control tokens becomes their id. For scripts that
 * compare with another implementation. */
#include "base/os.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

/* The metadata that llama.cpp asks of a llama, be it only for its vocabulary. */
static ft_status write_gguf(const ft_tokenizer *t, const char *path)
{
    static const char *const numbers[] = {"block_count", "context_length", "embedding_length", "feed_forward_length",
                                          "attention.head_count"};
    ft_status st = FT_OK;
    ft_writer *w = NULL;
    char key[64];
    FT_TRY(ft_writer_open(&w, "gguf", path));
    FT_TRY(ft_writer_str(w, "general.architecture", ft_str_of("llama")));
    for (size_t i = 0; i < FT_COUNT(numbers); i++) {
        snprintf(key, sizeof key, "llama.%s", numbers[i]);
        FT_TRY(ft_writer_u32(w, key, 32));
    }
    FT_TRY(ft_writer_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f));
    FT_TRY(ft_tokenizer_write_gguf(t, w, ft_tokenizer_size(t)));
    st = ft_writer_commit(w);
    w = NULL;
done:
    ft_writer_abort(w);
    return st;
}

static ft_status print_ids(const char *tokenizer, const char *file, const char *gguf, bool parse_special)
{
    ft_status st = FT_OK;
    ft_tokenizer *t = NULL;
    ft_buf texts = {0};
    ft_ids ids = {0};
    FT_TRY(ft_tokenizer_open(&t, tokenizer));
    FT_TRY(ft_read_file(&texts, file, (size_t)1 << 30));
    for (size_t at = 0; at < texts.n; at += strlen(texts.p + at) + 1) {
        ids.n = 0;
        FT_TRY(ft_tokenizer_encode(t, ft_str_of(texts.p + at), parse_special, &ids));
        for (size_t i = 0; i < ids.n; i++)
            printf(i ? " %d" : "%d", ids.p[i]);
        printf("\n");
    }
    if (gguf)
        st = write_gguf(t, gguf);
done:
    ft_ids_free(&ids);
    ft_buf_free(&texts);
    ft_tokenizer_free(t);
    return st;
}

int main(int argc, char **argv)
{
    bool parse_special = argc > 1 && strcmp(argv[1], "-s") == 0;
    char **arg = argv + 1 + parse_special;
    int n = argc - 1 - parse_special;
    if (n < 2 || n > 3) {
        fprintf(stderr, "usage: encode_texts [-s] TOKENIZER FILE [GGUF]\n");
        return 2;
    }
    ft_status st = print_ids(arg[0], arg[1], n > 2 ? arg[2] : NULL, parse_special);
    if (st != FT_OK)
        fprintf(stderr, "%s\n", ft_error());
    return ft_exit_status(st);
}
