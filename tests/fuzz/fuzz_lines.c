#include "fuzz/fuzz.h"

#include "file/lines.h"

static volatile size_t sink;

static void read_lines(const char *path)
{
    ft_lines *l;
    ft_str line;
    bool more = true;
    ft_status st = ft_lines_open(&l, path);
    fuzz_failed(st);
    if (st != FT_OK)
        return;
    while ((st = ft_lines_next(l, &line, &more)) == FT_OK && more)
        sink += line.n && memchr(line.p, '\n', line.n) ? 1 : 0;
    if (sink)
        abort(); /* a line within a line */
    fuzz_failed(st);
    ft_lines_close(l);
}

static void read_records(const char *path)
{
    ft_lines *l;
    const ft_str *f;
    size_t n, bytes = 0;
    bool more = true;
    ft_status st = ft_lines_open(&l, path);
    fuzz_failed(st);
    if (st != FT_OK)
        return;
    while ((st = ft_csv_next(l, ',', &f, &n, &more)) == FT_OK && more)
        for (size_t i = 0; i < n; i++)
            bytes += f[i].n && f[i].p[f[i].n - 1] == 0;
    if (bytes)
        abort(); /* text has no NUL */
    fuzz_failed(st);
    ft_lines_close(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = fuzz_file(data, size, path);
    read_lines(path);
    read_records(path);
    close(fd);
    return 0;
}
