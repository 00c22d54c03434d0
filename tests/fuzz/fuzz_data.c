/* Rows of any file: what is read is whole, and linting and splitting lose none of it. */
#include "fuzz/fuzz.h"

#include "data/data.h"

static void silent(void *ctx, ft_note_level level, const char *text)
{
}

static void check(const ft_dataset *d)
{
    for (size_t i = 0; i < d->n; i++) {
        const ft_example *e = &d->examples[i];
        if (!e->n || (e->kind != FT_CHAT && e->kind != FT_PAIRS && e->n > 2) || e->row < 1)
            abort();
        for (size_t k = 0; k < e->n; k++)
            if (e->messages[k].content.p[e->messages[k].content.n] != 0)
                abort(); /* every text has a 0 behind it */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    ft_dataset d = {0}, held = {0};
    ft_lint lint;
    ft_note_sink(silent, NULL);
    int fd = fuzz_file(data, size, path);
    ft_status st = ft_dataset_read(&d, &(ft_data_source){.path = path}, NULL);
    fuzz_failed(st);
    check(&d);
    size_t n = d.n;
    if (st == FT_OK && ft_dataset_split(&d, &held, 0.5, 1) == FT_OK && d.n + held.n != n)
        abort();
    check(&held);
    n = d.n;
    if (st == FT_OK && ft_dataset_lint(&d, &held, true, &lint) == FT_OK &&
        (int64_t)d.n + lint.empty + lint.duplicates + lint.leaked != (int64_t)n)
        abort();
    ft_dataset_free(&d);
    ft_dataset_free(&held);
    close(fd);
    return 0;
}
