/* What llama.cpp makes of token ids:
 *
 *   llama_ids LIBLLAMA MODEL.gguf IDS THREADS loss            {"loss": nats a token, "tokens": N} of all but each row's first
 *   llama_ids LIBLLAMA MODEL.gguf IDS THREADS logits OUT      f32 [tokens of all rows, vocab] into OUT
 *   llama_ids LIBLLAMA MODEL.gguf IDS THREADS greedy COUNT    a line of COUNT ids for each row: what it goes on with
 *
 * IDS has a row of ids on each line, blanks between, at most 512 with what is generated; rows know nothing of each other. The
 * KV cache is F32 and flash attention is off, so that the arithmetic is as near to exact as llama.cpp has it. The library is
 * opened while running, so that nothing of it is needed to build. Exit status: 77 where it is not the version that the
 * structs below are of.
 */
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXT = 512, F32 = 0, F16 = 1 }; /* llama.cpp's context and type of the cache where nothing is asked for */

/* Passed by value. Nothing is changed in the model's. */
typedef struct model_params {
    char bytes[512];
} model_params;
/* As in llama.h of the pinned version, with room behind. */
typedef struct context_params {
    uint32_t n_ctx, n_batch, n_ubatch, n_seq_max, n_rs_seq, n_outputs_max, n_outputs_max_per_seq;
    int32_t n_threads, n_threads_batch;
    int32_t ctx_type, rope_scaling_type, pooling_type, attention_type, flash_attn_type;
    float of_rope[6];
    uint32_t yarn_orig_ctx;
    float defrag_thold;
    void *cb_eval, *cb_eval_user_data;
    int32_t type_k, type_v;
    char rest[256];
} context_params;
typedef struct batch {
    int32_t n_tokens;
    int32_t *token;
    float *embd;
    int32_t *pos, *n_seq_id, **seq_id;
    int8_t *logits; /* whether they are wanted */
} batch;

static void *(*load)(const char *path, model_params p);
static model_params (*model_defaults)(void);
static context_params (*context_defaults)(void);
static void *(*new_context)(void *model, context_params p);
static const void *(*vocab_of)(const void *model);
static int32_t (*vocab_size)(const void *vocab);
static void *(*memory_of)(void *ctx);
static void (*clear_memory)(void *memory, bool data);
static batch (*new_batch)(int32_t tokens, int32_t embd, int32_t seqs);
static int32_t (*decode)(void *ctx, batch b);
static float *(*logits_of)(void *ctx);
static void (*free_batch)(batch b);
static void (*free_context)(void *ctx);
static void (*free_model)(void *model);
static void (*load_backends)(const char *dir);
static void (*set_log)(void (*fn)(int level, const char *text, void *ctx), void *ctx);

static const struct {
    const char *name;
    void **to; /* POSIX lets a data pointer hold a function's address; ISO C has no word for it */
} functions[] = {{"llama_model_load_from_file", (void **)&load},
                 {"llama_model_default_params", (void **)&model_defaults},
                 {"llama_context_default_params", (void **)&context_defaults},
                 {"llama_init_from_model", (void **)&new_context},
                 {"llama_model_get_vocab", (void **)&vocab_of},
                 {"llama_vocab_n_tokens", (void **)&vocab_size},
                 {"llama_get_memory", (void **)&memory_of},
                 {"llama_memory_clear", (void **)&clear_memory},
                 {"llama_batch_init", (void **)&new_batch},
                 {"llama_decode", (void **)&decode},
                 {"llama_get_logits", (void **)&logits_of},
                 {"llama_batch_free", (void **)&free_batch},
                 {"llama_free", (void **)&free_context},
                 {"llama_model_free", (void **)&free_model},
                 {"ggml_backend_load_all_from_path", (void **)&load_backends},
                 {"llama_log_set", (void **)&set_log}};

static void be_quiet(int level, const char *text, void *ctx)
{
    (void)ctx;
    if (level >= 4) /* errors */
        fputs(text, stderr);
}

static void give_up(int status, const char *what, const char *detail)
{
    fprintf(stderr, "%s: %s\n", what, detail ? detail : "");
    exit(status);
}

static void open_library(const char *path)
{
    char dir[4096];
    void *lib = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!lib)
        give_up(77, path, dlerror());
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        *functions[i].to = dlsym(lib, functions[i].name);
        if (!*functions[i].to) /* one of the libraries that it needs may have it */
            *functions[i].to = dlsym(RTLD_DEFAULT, functions[i].name);
        if (!*functions[i].to)
            give_up(77, functions[i].name, dlerror());
    }
    set_log(be_quiet, NULL);
    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = 0;
    load_backends(slash ? dir : ".");
}

typedef struct session {
    void *model, *ctx;
    batch b;
    int32_t vocab;
    int32_t row[CONTEXT], n; /* the row's ids */
} session;

static session open_session(const char *path, int threads)
{
    session s = {0};
    context_params p = context_defaults();
    if (p.n_ctx != CONTEXT || p.type_k != F16 || p.type_v != F16)
        give_up(77, path, "another version of llama.cpp than this program knows");
    p.n_threads = p.n_threads_batch = threads;
    p.type_k = p.type_v = F32;
    p.flash_attn_type = 0;
    s.model = load(path, model_defaults());
    s.ctx = s.model ? new_context(s.model, p) : NULL;
    if (!s.ctx)
        give_up(1, path, "llama.cpp cannot load it");
    s.vocab = vocab_size(vocab_of(s.model));
    s.b = new_batch(CONTEXT, 0, 1);
    return s;
}

static void close_session(session *s)
{
    free_batch(s->b);
    free_context(s->ctx);
    free_model(s->model);
}

/* The ids of the next line; false behind the last one. */
static bool next_row(session *s, FILE *f)
{
    char line[16384];
    s->n = 0;
    if (!fgets(line, sizeof line, f))
        return false;
    for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
        if (s->n == CONTEXT)
            give_up(1, word, "a row is longer than the context");
        s->row[s->n++] = (int32_t)strtol(word, NULL, 10);
    }
    return true;
}

/* n ids from position `from` on; the logits behind each of them. */
static const float *feed(session *s, const int32_t *ids, int32_t from, int32_t n)
{
    if (from == 0)
        clear_memory(memory_of(s->ctx), true);
    if (from + n > CONTEXT)
        give_up(1, "a row", "longer than the context");
    s->b.n_tokens = n;
    for (int32_t i = 0; i < n; i++) {
        s->b.token[i] = ids[i];
        s->b.pos[i] = from + i;
        s->b.n_seq_id[i] = 1;
        s->b.seq_id[i][0] = 0;
        s->b.logits[i] = 1;
    }
    if (decode(s->ctx, s->b) != 0)
        give_up(1, "llama_decode", "failed");
    return logits_of(s->ctx);
}

static int32_t largest(const float *x, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

static double nats(const float *x, int32_t n, int32_t id)
{
    double top = (double)x[largest(x, n)], all = 0;
    for (int32_t i = 0; i < n; i++)
        all += exp((double)x[i] - top);
    return log(all) + top - (double)x[id];
}

static void print_loss(session *s, FILE *f)
{
    double all = 0;
    long tokens = 0;
    while (next_row(s, f)) {
        const float *x = s->n ? feed(s, s->row, 0, s->n) : NULL;
        for (int32_t i = 0; i + 1 < s->n; i++, tokens++)
            all += nats(x + (size_t)i * (size_t)s->vocab, s->vocab, s->row[i + 1]);
    }
    printf("{\"loss\": %.9g, \"tokens\": %ld}\n", all / (double)tokens, tokens);
}

static void write_logits(session *s, FILE *f, const char *path)
{
    FILE *out = fopen(path, "wb");
    if (!out)
        give_up(1, path, "cannot be written");
    while (next_row(s, f)) {
        size_t count = (size_t)s->n * (size_t)s->vocab;
        if (s->n && fwrite(feed(s, s->row, 0, s->n), sizeof(float), count, out) != count)
            give_up(1, path, "cannot be written");
    }
    if (fclose(out) != 0)
        give_up(1, path, "cannot be written");
}

static void print_greedy(session *s, FILE *f, long count)
{
    while (next_row(s, f)) {
        int32_t at = s->n;
        const float *x = feed(s, s->row, 0, s->n) + (size_t)(s->n - 1) * (size_t)s->vocab;
        for (long i = 0; i < count; i++) {
            int32_t id = largest(x, s->vocab);
            printf("%s%d", i ? " " : "", (int)id);
            if (i + 1 < count)
                x = feed(s, &id, at++, 1);
        }
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 5 ? argv[5] : "";
    bool loss = strcmp(what, "loss") == 0 && argc == 6, logits = strcmp(what, "logits") == 0 && argc == 7;
    bool greedy = strcmp(what, "greedy") == 0 && argc == 7;
    if (!loss && !logits && !greedy)
        give_up(2, "usage", "llama_ids LIBLLAMA MODEL.gguf IDS THREADS loss | logits OUT | greedy COUNT");
    open_library(argv[1]);
    session s = open_session(argv[2], (int)strtol(argv[4], NULL, 10));
    FILE *f = fopen(argv[3], "r");
    if (!f)
        give_up(1, argv[3], "cannot be read");
    if (loss)
        print_loss(&s, f);
    else if (logits)
        write_logits(&s, f, argv[6]);
    else
        print_greedy(&s, f, strtol(argv[6], NULL, 10));
    fclose(f);
    close_session(&s);
    return 0;
}
