#include "fuzz/fuzz.h"

#include "file/container.h"

static volatile double sink; /* what was read is used */

static void read_meta(const ft_meta *m)
{
    int64_t i;
    double d;
    ft_str s;
    for (uint64_t k = 0; k < m->n && m->kind == FT_META_ARRAY; k++) {
        if (ft_meta_at_str(m, k, &s) && s.n)
            sink += s.p[0] + s.p[s.n - 1];
        if (ft_meta_at_f64(m, k, &d) && ft_meta_at_i64(m, k, &i))
            sink += (double)i;
    }
    if (ft_meta_str(m, &s) && s.n)
        sink += s.p[0] + s.p[s.n - 1];
    if (ft_meta_f64(m, &d) && ft_meta_i64(m, &i))
        sink += (double)i;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = fuzz_file(data, size, path);
    ft_container *c;
    ft_status st = ft_container_open(&c, path);
    fuzz_failed(st);
    for (size_t i = 0; st == FT_OK && i < ft_container_meta_count(c); i++)
        read_meta(ft_container_meta_at(c, i));
    for (size_t i = 0; st == FT_OK && i < ft_container_count(c); i++) {
        const ft_named *n = ft_container_at(c, i);
        float *x = malloc((size_t)ft_tensor_cols(&n->t) * sizeof *x);
        if (ft_container_find(c, n->name) != n)
            abort();
        for (int64_t r = 0; x && r < ft_tensor_rows(&n->t); r++) {
            ft_tensor_decode_rows(&n->t, r, r + 1, x);
            sink += x[0];
        }
        free(x);
    }
    if (st == FT_OK)
        ft_container_close(c);
    close(fd);
    return 0;
}
