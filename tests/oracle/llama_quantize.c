/* llama.cpp's own quantizer:  llama_quantize LIBLLAMA IN.gguf FILE_TYPE THREADS OUT.gguf [IMATRIX.dat]
 *
 * Prints the processor seconds that it took. Opened while running, so that nothing of it is needed to build. The importance
 * matrix is of the older format: i32 matrices, then each: i32 bytes, its name, i32 calls, i32 columns, f32 mean square * calls
 * [columns].
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* One matrix of an importance matrix; a name of NULL ends their array. */
typedef struct importance {
    const char *name;
    const float *data;
    size_t size;
} importance;
/* llama_model_quantize_params up to what is set here; all else stays as the library fills it. */
typedef struct quantize_params {
    int32_t nthread, ftype, output_type, embedding_type;
    bool flags[6];
    const importance *imatrix;
    char rest[1024];
} quantize_params;
typedef quantize_params (*default_params)(void);
typedef uint32_t (*model_quantize)(const char *in, const char *out, const quantize_params *params);
typedef void (*log_set)(void (*fn)(int level, const char *text, void *ctx), void *ctx);

static void be_quiet(int level, const char *text, void *ctx)
{
    (void)level;
    (void)text;
    (void)ctx;
}

static void *function(void *lib, const char *name)
{
    void *p = dlsym(lib, name);
    if (!p) {
        fprintf(stderr, "%s: %s\n", name, dlerror());
        exit(77);
    }
    return p;
}

static void *read_items(FILE *f, size_t size, size_t n)
{
    char *p = n < 1 << 28 ? calloc(n + 1, size) : NULL;
    if (!p || fread(p, size, n, f) != n) {
        fprintf(stderr, "the importance matrix cannot be read\n");
        exit(1);
    }
    return p;
}

static int32_t read_i32(FILE *f)
{
    int32_t *p = read_items(f, sizeof *p, 1), v = *p;
    free(p);
    return v;
}

/* The program ends with it: nothing is freed. */
static const importance *read_imatrix(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    size_t n = (size_t)read_i32(f);
    importance *all = calloc(n + 1, sizeof *all);
    for (size_t i = 0; all && i < n; i++) {
        all[i].name = read_items(f, 1, (size_t)read_i32(f));
        float calls = (float)read_i32(f);
        all[i].size = (size_t)read_i32(f);
        float *x = read_items(f, sizeof *x, all[i].size);
        for (size_t k = 0; k < all[i].size; k++)
            x[k] /= calls;
        all[i].data = x;
    }
    fclose(f);
    return all;
}

int main(int argc, char **argv)
{
    default_params defaults;
    model_quantize quantize;
    log_set set_log;
    void *lib = argc == 6 || argc == 7 ? dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) : NULL;
    if (!lib) {
        fprintf(stderr, "%s\n", argc > 5 ? dlerror() : "usage: llama_quantize LIBLLAMA IN FILE_TYPE THREADS OUT [IMATRIX]");
        return 77;
    }
    /* POSIX lets a data pointer hold a function's address; ISO C has no word for it */
    *(void **)&defaults = function(lib, "llama_model_quantize_default_params");
    *(void **)&quantize = function(lib, "llama_model_quantize");
    *(void **)&set_log = function(lib, "llama_log_set");
    set_log(be_quiet, NULL);
    static quantize_params p;
    p = defaults();
    p.ftype = (int32_t)strtol(argv[3], NULL, 10);
    p.nthread = (int32_t)strtol(argv[4], NULL, 10);
    if (argc == 7)
        p.imatrix = read_imatrix(argv[6]);
    struct timespec t;
    uint32_t failed = quantize(argv[2], argv[5], &p);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    printf("%.3f\n", (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
    return failed != 0;
}
