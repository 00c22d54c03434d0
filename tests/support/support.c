#include "support/support.h"

#include <ftw.h>

static FILE *skips;     /* shared by the forked tests: one line a skip */
static char root[480]; /* of this suite's temporary directories */

static const char *env_or(const char *name, const char *fallback)
{
    const char *v = getenv(name);
    return v && *v ? v : fallback;
}

const char *ft_test_path(const char *dir, const char *name)
{
    static char *kept[16];
    static size_t at;
    char **slot = &kept[at++ % 16];
    ft_free(*slot);
    *slot = ft_path_join(dir, name);
    ck_assert_ptr_nonnull(*slot);
    return *slot;
}

const char *ft_test_source(const char *path)
{
    return ft_test_path(env_or("FT_SRCDIR", "."), path);
}

const char *ft_test_shared(const char *path)
{
    const char *root = ft_test_path(env_or("FT_SRCDIR", "."), "../shared");
    const char *full = ft_test_path(env_or("FT_SHARED", root), path);
    return ft_exists(full) ? full : NULL;
}

const char *ft_test_dir(void)
{
    static char dir[512];
    ck_assert_ok(ft_mkdirs(root));
    snprintf(dir, sizeof dir, "%s/XXXXXX", root);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    return dir;
}

void ft_test_skipped(const char *test, const char *why)
{
    if (ft_ends(test, "_fn"))
        fprintf(skips ? skips : stderr, "SKIP %.*s: %s\n", (int)strlen(test) - 3, test, why);
    else
        fprintf(skips ? skips : stderr, "SKIP %s: %s\n", test, why);
    if (skips)
        fflush(skips);
}

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *at)
{
    return remove(path);
}

static void remove_tree(const char *dir)
{
    if (ft_is_dir(dir))
        nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int count_skips(void)
{
    char line[1024];
    int n = 0;
    rewind(skips);
    while (fgets(line, sizeof line, skips)) {
        fputs(line, stdout);
        n++;
    }
    return n;
}

int ft_test_main(const char *suite, const TTest *const *tests, size_t n, int timeout_s)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    skips = tmpfile();
    snprintf(root, sizeof root, "%s/tests/tmp/%s-%ld", env_or("FT_BUILDDIR", "."), suite, (long)getpid());
    Suite *s = suite_create(suite);
    for (size_t i = 0; i < n; i++) {
        TCase *c = tcase_create(tests[i]->name);
        tcase_set_timeout(c, timeout_s);
        tcase_add_test(c, tests[i]);
        suite_add_tcase(s, c);
    }
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int ran = srunner_ntests_run(r), failed = srunner_ntests_failed(r), skipped = count_skips();
    srunner_free(r);
    remove_tree(root);
    printf("%d passed, %d failed, %d skipped\n", ran - failed - skipped, failed, skipped);
    return failed || !ran ? 1 : 0;
}

static uint64_t draw(uint64_t seed, uint64_t i, uint64_t below)
{
    uint32_t r[4];
    ft_philox(seed, FT_STREAM_TEST, i, 0, r);
    return (((uint64_t)r[0] << 32) | r[1]) % (below ? below : 1);
}

int ft_test_damage(const char *path, int count, uint64_t seed, ft_status (*open_and_close)(const char *path, void *ctx), void *ctx)
{
    ft_buf whole = {.max = (size_t)1 << 31};
    ck_assert_ok(ft_read_file(&whole, path, whole.max));
    const char *base = ft_path_base(path);
    char *copy = ft_strdup(ft_test_path(ft_test_dir(), base));
    char *bytes = ft_resize(NULL, whole.n + 1, 1);
    int refused = 0;
    /* headers matter more than bodies: half of all places fall into the first 4 KiB */
    for (int i = 0; i < count; i++) {
        uint64_t k = (uint64_t)i * 8, n = whole.n;
        memcpy(bytes, whole.p, whole.n);
        uint64_t near = FT_MIN(n, (uint64_t)4096);
        uint64_t at = draw(seed, k, 2) ? draw(seed, k + 1, near) : draw(seed, k + 1, n);
        switch (draw(seed, k + 2, 4)) {
        case 0:
            n = at;
            break;
        case 1:
            for (uint64_t j = 0, flips = 1 + draw(seed, k + 3, 4); n && j < flips; j++)
                bytes[(at + draw(seed, k + 4 + j, 64)) % n] ^= (char)(1 << draw(seed, k + 5 + j, 8));
            break;
        case 2:
            for (uint64_t j = 0, len = (uint64_t)1 << draw(seed, k + 3, 4); j < len && at + j < n; j++)
                bytes[at + j] = j + 1 == len ? 0x7f : (char)0xff;
            break;
        default:
            for (uint64_t j = 0, len = 1 + draw(seed, k + 3, 16); j < len && at + j < n; j++)
                bytes[at + j] = (char)draw(seed, k + 4 + j, 256);
        }
        FILE *f = fopen(copy, "wb");
        ck_assert_ptr_nonnull(f);
        ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
        fclose(f);
        alarm(20);
        refused += open_and_close(copy, ctx) != FT_OK;
        alarm(0);
    }
    unlink(copy);
    ft_free(bytes);
    ft_free(copy);
    ft_buf_free(&whole);
    return refused;
}
