/* llama.cpp's own quantizer:  llama_quantize LIBLLAMA IN.gguf FILE_TYPE THREADS OUT.gguf
 *
 * Prints the processor seconds that it took. Opened while running, so that nothing of it is needed to build.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The first two members of llama_model_quantize_params; what lies behind them stays as the library fills it. */
typedef struct quantize_params {
    int32_t nthread, ftype;
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

int main(int argc, char **argv)
{
    default_params defaults;
    model_quantize quantize;
    log_set set_log;
    void *lib = argc == 6 ? dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) : NULL;
    if (!lib) {
        fprintf(stderr, "%s\n", argc == 6 ? dlerror() : "usage: llama_quantize LIBLLAMA IN FILE_TYPE THREADS OUT");
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
    struct timespec t;
    uint32_t failed = quantize(argv[2], argv[5], &p);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    printf("%.3f\n", (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
    return failed != 0;
}
