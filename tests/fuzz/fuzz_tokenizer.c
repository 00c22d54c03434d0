/* The first byte says which kind of tokenizer file the rest is. What opens encodes to ids of its own and decodes. */
#include "fuzz/fuzz.h"

#include "text/tokenizer.h"

#include <sys/stat.h>

static const char *const names[] = {"tokenizer.json", "tokenizer.model", "tokenizer.bin", "vocab.gguf"};

static void use(const ft_tokenizer *t)
{
    static const char text[] = " ab<s>aab 12\xff\xe2\x96\x81 b\xc3\xa9</s>";
    ft_ids ids = {0};
    ft_buf out = {0};
    ft_status st = ft_tokenizer_encode(t, (ft_str){text, sizeof text - 1}, true, &ids);
    fuzz_failed(st);
    for (size_t i = 0; i < ids.n; i++)
        if (ids.p[i] < 0 || ids.p[i] >= ft_tokenizer_size(t))
            abort();
    if (st == FT_OK && ft_tokenizer_decode(t, ids.p, ids.n, false, true, &out) != FT_OK)
        abort();
    ft_ids_free(&ids);
    ft_buf_free(&out);
}

/* Formats are told by their names: the bytes get one through a link in a directory of this process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char dir[64], file[64], link[128];
    ft_tokenizer *t;
    if (!size || access("/dev/shm", W_OK) != 0)
        return 0;
    int fd = fuzz_file(data + 1, size - 1, file);
    snprintf(dir, sizeof dir, "/dev/shm/fettle-fuzz-%ld", (long)getpid());
    snprintf(link, sizeof link, "%s/%s", dir, names[*data % FT_COUNT(names)]);
    if (mkdir(dir, 0700) != 0 || symlink(file, link) != 0)
        abort();
    ft_status st = ft_tokenizer_open(&t, link);
    fuzz_failed(st);
    if (st == FT_OK)
        use(t);
    ft_tokenizer_free(t);
    unlink(link);
    rmdir(dir);
    close(fd);
    return 0;
}
