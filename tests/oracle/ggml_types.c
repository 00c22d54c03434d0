/* Every type that ggml knows too, against the prebuilt libggml:
 *
 *   ggml_types LIBGGML_BASE [--table]
 *
 * ggml's decoder reads what fettle encodes as fettle does, fettle reads what ggml encodes, the legacy types have the same
 * bytes, and the error of fettle's encoders is no larger than that of ggml's, with importance weights and without. Ends
 * with 1 where that does not hold. --table prints the errors and what the encoders cost.
 */
#include "base/os.h"
#include "base/rng.h"
#include "tensor/tensor.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* As ggml.h of the pinned version has them. */
typedef struct ggml_type_traits {
    const char *type_name;
    int64_t blck_size, blck_size_interleave;
    size_t type_size;
    bool is_quantized;
    void (*to_float)(const void *x, float *y, int64_t k);
    void (*from_float_ref)(const float *x, void *y, int64_t k);
} ggml_type_traits;
typedef const ggml_type_traits *(*get_type_traits)(int type);
typedef size_t (*quantize_chunk)(int type, const float *src, void *dst, int64_t start, int64_t nrows, int64_t n_per_row,
                                 const float *imatrix);
static get_type_traits traits_of;
static quantize_chunk ggml_encode;

enum { ROWS = 48, COLS = 1024, COUNT = ROWS * COLS };
static int passed, failed;

static void check(bool holds, const char *type, const char *what, const char *detail)
{
    passed += holds;
    failed += !holds;
    if (!holds)
        printf("FAILED: %s, %s: %s\n", type, what, detail);
}

/* Values as weights have them: normal, each row of its own size, a few far out. */
static void make_values(float *x, int kind)
{
    ft_fill_normal(x, COUNT, 0.05f, 7, FT_STREAM_TEST, (uint64_t)kind);
    for (int64_t i = 0; kind && i < COUNT; i++) {
        if (kind == 1)
            x[i] *= 1 + (float)(i / COLS) / 8;
        if (kind == 2 && ft_uniform(7, FT_STREAM_TEST, 99, (uint64_t)i) < 0.01f)
            x[i] *= 8;
    }
}

static double error_of(const float *x, const float *y, const float *w)
{
    double e = 0;
    for (int64_t i = 0; i < COUNT; i++)
        e += (double)(w ? w[i % COLS] : 1) * (x[i] - y[i]) * (x[i] - y[i]);
    return e / COUNT;
}

static bool same(const float *a, const float *b)
{
    for (int64_t i = 0; i < COUNT; i++)
        if (fabsf(a[i] - b[i]) > 1e-6f * fabsf(b[i]) + 1e-9f)
            return false;
    return true;
}

static bool keeps_bytes(const ft_dtype *d)
{
    return d->ggml_id >= 2 && d->ggml_id <= 8;
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void compare(const ft_dtype *d, const float *x, const float *w, const char *what, bool table)
{
    size_t row = COLS / (size_t)d->block_len * d->block_bytes;
    char *mine = ft_alloc(ROWS, row), *theirs = ft_alloc(ROWS, row), text[160];
    float *a = ft_alloc(COUNT, sizeof *a), *b = ft_alloc(COUNT, sizeof *b), *c = ft_alloc(COUNT, sizeof *c);
    double t0 = cpu_s();
    for (int64_t r = 0; r < ROWS; r++)
        d->encode(x + r * COLS, w, COLS, mine + (size_t)r * row);
    double t1 = cpu_s();
    ggml_encode(d->ggml_id, x, theirs, 0, ROWS, COLS, w);
    double t2 = cpu_s();
    d->decode(mine, COUNT, a);
    traits_of(d->ggml_id)->to_float(mine, c, COUNT);
    check(same(a, c), d->name, what, "ggml decodes fettle's blocks otherwise");
    d->decode(theirs, COUNT, b);
    traits_of(d->ggml_id)->to_float(theirs, c, COUNT);
    check(same(b, c), d->name, what, "fettle decodes ggml's blocks otherwise");
    if (keeps_bytes(d) && !w)
        check(memcmp(mine, theirs, ROWS * row) == 0, d->name, what, "the bytes differ");
    double e = error_of(x, a, w), f = error_of(x, b, w);
    snprintf(text, sizeof text, "squared error %.6g, ggml's is %.6g: %.4f", e, f, e / f);
    check(e <= 1.005 * f, d->name, what, text);
    if (table)
        printf("%-7s %-28s %10.4g %10.4g %7.4f   ns a weight %6.1f %6.1f\n", d->name, what, e, f, e / f,
               (t1 - t0) * 1e9 / COUNT, (t2 - t1) * 1e9 / COUNT);
    ft_free(mine);
    ft_free(theirs);
    ft_free(a);
    ft_free(b);
    ft_free(c);
}

/* Sizes, and any bytes at all decode to the same values, but for scales that are no numbers. */
static void compare_layout(const ft_dtype *d)
{
    const ggml_type_traits *t = traits_of(d->ggml_id);
    size_t row = COLS / (size_t)d->block_len * d->block_bytes;
    uint8_t *noise = ft_alloc(ROWS, row);
    float *a = ft_alloc(COUNT, sizeof *a), *b = ft_alloc(COUNT, sizeof *b);
    check(t->blck_size == d->block_len && t->type_size == d->block_bytes, d->name, "layout", "block sizes differ");
    for (size_t i = 0; i < ROWS * row; i++)
        noise[i] = (uint8_t)(256 * ft_uniform(3, FT_STREAM_TEST, (uint64_t)d->ggml_id, i));
    for (size_t r = 0; r < ROWS; r++)
        if (!ft_dtype_finite(d, noise + r * row, COLS))
            memset(noise + r * row, (int)r, row); /* the same byte throughout: f16 of 0x0000 .. 0x2f2f */
    d->decode(noise, COUNT, a);
    t->to_float(noise, b, COUNT);
    check(same(a, b), d->name, "layout", "random bytes decode otherwise");
    ft_free(noise);
    ft_free(a);
    ft_free(b);
}

int main(int argc, char **argv)
{
    static const char *const kinds[] = {"normal", "rows of different size", "far values"};
    void *lib = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) : NULL;
    bool table = argc > 2 && strcmp(argv[2], "--table") == 0;
    if (lib) {
        /* POSIX lets a data pointer hold a function's address; ISO C has no word for it */
        *(void **)&traits_of = dlsym(lib, "ggml_get_type_traits");
        *(void **)&ggml_encode = dlsym(lib, "ggml_quantize_chunk");
    }
    if (!traits_of || !ggml_encode) {
        printf("no ggml in %s: %s\n", argc > 1 ? argv[1] : "(no library named)", dlerror());
        return 77;
    }
    static float x[COUNT], w[COLS];
    for (int i = 0; i < COLS; i++)
        w[i] = expf(2 * sinf((float)(i * i)));
    for (size_t k = 0; ft_dtypes[k]; k++) {
        const ft_dtype *d = ft_dtypes[k];
        if (d->ggml_id < 0 || d->is_float)
            continue;
        compare_layout(d);
        for (int kind = 0; kind < 3; kind++) {
            char what[64];
            make_values(x, kind);
            compare(d, x, NULL, kinds[kind], table);
            snprintf(what, sizeof what, "%s, weighted", kinds[kind]);
            compare(d, x, w, what, table);
        }
    }
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed > 0;
}
