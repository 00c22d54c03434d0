/* Replays a fuzz target without a fuzzer: each seed, each seed cut at every length, and each seed with every byte
 * replaced by some that lengths and brackets do not like. usage: replay_NAME, seeds from tests/fuzz/seeds/NAME. */
#include "fuzz/fuzz.h"

static const uint8_t values[] = {0x00, 0xff, 0x7f, 0x80, '"', '{', ']', '\n'};

/* A copy of exactly n bytes, so that a sanitizer sees a read past its end. */
static void run(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy)
        abort();
    memcpy(copy, bytes, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static void replay(uint8_t *bytes, size_t n)
{
    run(bytes, n);
    for (size_t k = 0; k < n; k++) {
        run(bytes, k);
        uint8_t kept = bytes[k];
        for (size_t v = 0; v < sizeof values; v++) {
            bytes[k] = values[v];
            run(bytes, n);
        }
        bytes[k] = kept;
    }
}

int main(int argc, char **argv)
{
    const char *name = strstr(ft_path_base(argv[0]), "replay_"), *source = getenv("FT_SRCDIR");
    char dir[4096];
    ft_names seeds = {0};
    int passed = 0, failed = 0;
    snprintf(dir, sizeof dir, "%s/tests/fuzz/seeds/%s", source ? source : ".", name ? name + 7 : "");
    if (ft_list_dir(&seeds, dir, NULL) != FT_OK || seeds.n == 0) {
        fprintf(stderr, "%s: no seeds: %s\n", dir, ft_error());
        failed = 1;
    }
    for (size_t i = 0; i < seeds.n; i++) {
        char *path = ft_path_join(dir, seeds.p[i]);
        ft_buf b = {0};
        if (path && ft_read_file(&b, path, 1 << 20) == FT_OK) {
            replay((uint8_t *)b.p, b.n);
            passed++;
        } else {
            fprintf(stderr, "%s\n", ft_error());
            failed++;
        }
        ft_buf_free(&b);
        ft_free(path);
    }
    ft_names_free(&seeds);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
