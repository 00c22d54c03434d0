/* fettle bench tokenizer: text to ids and back, on one thread.
 *
 * Without a tokenizer a byte-level BPE is trained on the spot, and without a text one is made up: words of random letters
 * that occur as often as words do (the n-th most frequent one 1 / n times as often as the first).
 */
#include "cmd/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS = 20000, LONGEST_WORD = 12, MADE_BYTES = 2 << 20, VOCAB = 8192, MOST_BYTES = 1 << 28 };

typedef struct tokenizing {
    ft_tokenizer *tok;
    ft_buf text, back;
    ft_ids ids;
} tokenizing;

/* ---- a text and a tokenizer of its own ---- */

static uint32_t draw(uint64_t stream, uint64_t i, uint32_t below)
{
    return (uint32_t)(ft_uniform(1, FT_STREAM_TEST, stream, i) * (float)below);
}

static ft_status put_word(ft_buf *out, uint32_t word)
{
    static const char letters[] = "eeeetttaaaoooiiinnnsssrrrhhhllddcumfpgwybvk";
    uint32_t n = 2 + draw(word + 2, 0, LONGEST_WORD - 2);
    for (uint32_t i = 1; i <= n; i++)
        FT_RETURN(ft_buf_putc(out, letters[draw(word + 2, i, sizeof letters - 1)]));
    return FT_OK;
}

/* Lines of a dozen words. Word number WORDS^u - 1 for u in [0, 1) has the frequency of 1 / n. */
static ft_status make_text(ft_buf *out)
{
    for (uint64_t i = 0; out->n < MADE_BYTES; i++) {
        double u = (double)ft_uniform(1, FT_STREAM_TEST, 1, i);
        FT_RETURN(put_word(out, (uint32_t)exp(u * log(WORDS))));
        FT_RETURN(ft_buf_puts(out, i % 12 == 11 ? ".\n" : i % 12 == 5 ? ", " : " "));
    }
    return FT_OK;
}

static ft_status train_inside(ft_tokenizer **out, const char *dir, const ft_buf *text)
{
    static const char *const made[] = {"text.txt", "tokenizer.json", "tokenizer_config.json"};
    static const char *const specials[] = {"<eos>"};
    char *path = ft_path_join(dir, made[0]);
    ft_status st = path ? FT_OK : FT_ENOMEM;
    const char *const files[] = {path};
    ft_tokenizer_training spec = {.files = files,
                                  .n_files = 1,
                                  .vocab_size = VOCAB,
                                  .specials = specials,
                                  .n_specials = 1,
                                  .eos = specials[0]};
    if (st == FT_OK)
        st = ft_write_file(path, text->p, text->n);
    if (st == FT_OK)
        st = ft_tokenizer_train(&spec, dir);
    if (st == FT_OK)
        st = ft_tokenizer_open(out, dir);
    ft_free(path);
    for (size_t i = 0; i < FT_COUNT(made); i++) {
        char *file = ft_path_join(dir, made[i]);
        if (file)
            unlink(file);
        ft_free(file);
    }
    return st;
}

static ft_status train_own(ft_tokenizer **out, const ft_buf *text)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = ft_path_join(tmp && *tmp ? tmp : "/tmp", "fettle-bench-XXXXXX");
    if (!dir)
        return FT_ENOMEM;
    ft_status st = mkdtemp(dir) ? train_inside(out, dir, text) : ft_fail_errno("%s: cannot be made", dir);
    rmdir(dir);
    ft_free(dir);
    return st;
}

/* ---- measuring ---- */

static ft_status run_encode(void *ctx)
{
    tokenizing *t = ctx;
    t->ids.n = 0;
    return ft_tokenizer_encode(t->tok, (ft_str){t->text.p, t->text.n}, false, &t->ids);
}

static ft_status run_decode(void *ctx)
{
    tokenizing *t = ctx;
    t->back.n = 0;
    return ft_tokenizer_decode(t->tok, t->ids.p, t->ids.n, false, true, &t->back);
}

static ft_status print(const tokenizing *t, const ft_args *a, const ft_contestant *c)
{
    json_t *o = json_object();
    double bytes = (double)t->text.n;
    ft_result_text(o, "tokenizer", ft_args_text(a, "TOKENIZER"));
    ft_result_text(o, "kind", ft_tokenizer_kind(t->tok));
    ft_result_int(o, "vocab_size", ft_tokenizer_size(t->tok));
    ft_result_int(o, "text_bytes", (int64_t)t->text.n);
    ft_result_int(o, "tokens", (int64_t)t->ids.n);
    ft_result_real(o, "bytes_per_token", bytes / (double)t->ids.n);
    ft_result_real(o, "encode_mb_per_s", 1e-6 * bytes / c[0].best_s);
    ft_result_real(o, "encode_median_mb_per_s", 1e-6 * bytes / c[0].median_s);
    ft_result_real(o, "tokens_per_s", (double)t->ids.n / c[0].best_s);
    ft_result_real(o, "decode_mb_per_s", 1e-6 * bytes / c[1].best_s);
    ft_result_int(o, "peak_rss_bytes", (int64_t)ft_peak_rss_bytes());
    return ft_result_print(a, o);
}

static ft_status set_up(tokenizing *t, const ft_args *a)
{
    if (ft_args_given(a, "text"))
        FT_RETURN(ft_read_file(&t->text, ft_args_text(a, "text"), MOST_BYTES));
    else
        FT_RETURN(make_text(&t->text));
    if (!t->text.n)
        return ft_fail(FT_EINPUT, "%s: the text is empty", ft_args_text(a, "text"));
    if (ft_args_given(a, "TOKENIZER"))
        return ft_tokenizer_open(&t->tok, ft_args_text(a, "TOKENIZER"));
    return train_own(&t->tok, &t->text);
}

static ft_status run(const ft_args *a)
{
    tokenizing t = {0};
    ft_status st = FT_OK;
    ft_contestant *c = ft_alloc(2, sizeof *c);
    if (!c)
        return FT_ENOMEM;
    ft_stop_on_signals();
    FT_TRY(set_up(&t, a));
    c[0].run = run_encode;
    c[1].run = run_decode;
    c[0].ctx = c[1].ctx = &t;
    FT_TRY(ft_bench(c, 2, ft_args_int(a, "rounds"), 0));
    st = print(&t, a, c);
done:
    ft_tokenizer_free(t.tok);
    ft_buf_free(&t.text);
    ft_buf_free(&t.back);
    ft_ids_free(&t.ids);
    ft_free(c);
    return st;
}

static const ft_cmd_option options[] = {
    {"TOKENIZER", FT_ARG_FILE, .positional = true,
     .help = "a Hugging Face directory, a tokenizer.json or tokenizer.model, or a .gguf file (default: a byte-level BPE "
             "trained on the text)"},
    {"text", FT_ARG_FILE, .argument = "FILE", .help = "the text to measure with (default: made-up words)"},
    FT_ROUNDS_OPTION("5"),
    FT_BENCH_JSON,
    {0}};

const ft_cmd ft_cmd_bench_tokenizer = {
    .name = "bench tokenizer",
    .summary = "measure a tokenizer, on one thread",
    .about = "Encodes a text as a whole and decodes the ids again, and prints megabytes and tokens a second. Times are "
             "the best of the rounds.",
    .options = options,
    .example = "fettle bench tokenizer data/base --text corpus.txt\nfettle bench tokenizer",
    .run = run};
