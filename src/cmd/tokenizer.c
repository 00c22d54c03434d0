/* fettle tokenizer train, encode, decode. */
#include "cmd/cmd.h"

#include <string.h>

enum { MAX_TEXT = 1 << 28 };

/* ---- train ---- */

static size_t all_items(const ft_args *a, const char *name, const char **out)
{
    size_t n = ft_args_count(a, name);
    for (size_t i = 0; i < n; i++)
        out[i] = ft_args_item(a, name, i);
    return n;
}

static bool is_special(const ft_tokenizer_training *t, const char *s)
{
    for (size_t i = 0; i < t->n_specials; i++)
        if (strcmp(t->specials[i], s) == 0)
            return true;
    return false;
}

static ft_status run_train(const ft_args *a)
{
    const char *files[FT_MAX_ARGS], *specials[FT_MAX_ARGS];
    ft_tokenizer_training t = {.files = files,
                               .specials = specials,
                               .vocab_size = (int32_t)ft_args_int(a, "vocab-size"),
                               .bos = ft_args_text(a, "bos"),
                               .eos = ft_args_text(a, "eos"),
                               .pattern = ft_args_text(a, "pattern")};
    double begun = ft_now_s();
    t.n_files = all_items(a, "FILE", files);
    t.n_specials = all_items(a, "special", specials);
    if (t.bos && !is_special(&t, t.bos))
        specials[t.n_specials++] = t.bos;
    if (t.eos && !is_special(&t, t.eos))
        specials[t.n_specials++] = t.eos;
    ft_out_transient("counting words ...");
    FT_RETURN(ft_mkdirs(ft_args_text(a, "out")));
    FT_RETURN(ft_tokenizer_train(&t, ft_args_text(a, "out")));
    json_t *o = json_object();
    ft_result_text(o, "path", ft_args_text(a, "out"));
    ft_result_int(o, "vocab_size", t.vocab_size);
    ft_result_real(o, "time_s", ft_now_s() - begun);
    return ft_result_print(a, o);
}

static const ft_cmd_option train_options[] = {
    {"FILE", FT_ARG_FILE, .positional = true, .required = true, .repeats = true,
     .help = "text, plain or gzipped, one text a line"},
    {"vocab-size", FT_ARG_INT, .argument = "N", .fallback = "4096", .min = 257, .max = 1e6,
     .help = "tokens, special ones and the 256 bytes among them"},
    {"out", FT_ARG_FILE, .argument = "DIR", .required = true,
     .help = "directory for tokenizer.json and tokenizer_config.json"},
    {"special", FT_ARG_TEXT, .argument = "TOKEN", .repeats = true,
     .help = "a control token; ids count from 0 in the order given"},
    {"bos", FT_ARG_TEXT, .argument = "TOKEN", .help = "the control token that begins a text (default: none)"},
    {"eos", FT_ARG_TEXT, .argument = "TOKEN", .fallback = "<|endoftext|>",
     .help = "the control token that ends a text"},
    {"pattern", FT_ARG_TEXT, .argument = "REGEX",
     .help = "cuts text into words (default: GPT-2's words, digits one by one)"},
    {"json", FT_ARG_FLAG, .help = "print one JSON object instead of text"},
    {0}};

const ft_cmd ft_cmd_tokenizer_train = {
    .name = "tokenizer train",
    .summary = "train a byte-level BPE tokenizer on text",
    .about = "Counts the words of text files and learns the merges of a byte-level BPE tokenizer, written as a "
             "tokenizer.json that other programs read too.",
    .options = train_options,
    .example = "fettle tokenizer train corpus.txt.gz --vocab-size 8192 --out runs/base-init",
    .run = run_train};

/* ---- encode ---- */

typedef struct coding {
    const ft_args *args;
    ft_tokenizer *tok;
    json_t *list; /* with --json, else NULL */
} coding;

static ft_status put_ids(coding *c, const ft_ids *ids)
{
    ft_buf out = {0};
    ft_status st = FT_OK;
    if (c->list) {
        json_t *row = json_array();
        for (size_t i = 0; i < ids->n; i++)
            json_array_append_new(row, json_integer(ids->p[i]));
        json_array_append_new(c->list, row);
        return FT_OK;
    }
    for (size_t i = 0; i < ids->n; i++)
        FT_TRY(ft_buf_printf(&out, "%s%d", i ? " " : "", (int)ids->p[i]));
    FT_TRY(ft_buf_putc(&out, '\n'));
    st = ft_put(&out);
done:
    ft_buf_free(&out);
    return st;
}

static ft_status encode_text(coding *c, ft_str text)
{
    ft_ids ids = {0};
    ft_status st = FT_OK;
    if (ft_args_given(c->args, "bos") && ft_tokenizer_bos(c->tok) >= 0)
        FT_TRY(ft_ids_put(&ids, ft_tokenizer_bos(c->tok)));
    FT_TRY(ft_tokenizer_encode(c->tok, text, ft_args_given(c->args, "special"), &ids));
    st = put_ids(c, &ids);
done:
    ft_ids_free(&ids);
    return st;
}

static ft_status encode_lines(coding *c, ft_str text)
{
    for (size_t at = 0; at < text.n;) {
        const char *end = memchr(text.p + at, '\n', text.n - at);
        size_t n = end ? (size_t)(end - text.p) - at : text.n - at;
        FT_RETURN(encode_text(c, (ft_str){text.p + at, n}));
        at += n + 1;
    }
    return FT_OK;
}

static ft_status read_stdin(ft_buf *out)
{
    char part[4096];
    size_t n;
    out->max = MAX_TEXT;
    FT_RETURN(ft_buf_puts(out, ""));
    while ((n = fread(part, 1, sizeof part, stdin)) > 0)
        FT_RETURN(ft_buf_put(out, part, n));
    return FT_OK;
}

static ft_status run_encode(const ft_args *a)
{
    coding c = {.args = a};
    ft_buf text = {0};
    json_t *o = NULL;
    ft_status st = FT_OK;
    FT_TRY(ft_tokenizer_open(&c.tok, ft_args_text(a, "TOKENIZER")));
    if (ft_args_given(a, "json")) {
        o = json_object();
        c.list = ft_result_list(o, "ids");
    }
    if (ft_args_given(a, "text"))
        FT_TRY(ft_buf_puts(&text, ft_args_text(a, "text")));
    else
        FT_TRY(read_stdin(&text));
    FT_TRY((ft_args_given(a, "lines") ? encode_lines : encode_text)(&c, (ft_str){text.p, text.n}));
    if (o) {
        json_t *result = o;
        o = NULL;
        st = ft_result_print(a, result);
    }
done:
    json_decref(o);
    ft_buf_free(&text);
    ft_tokenizer_free(c.tok);
    return st;
}

#define TOKENIZER_OPTION                                                                                               \
    {                                                                                                                  \
        "TOKENIZER", FT_ARG_FILE,                                                                                      \
            .positional = true, .required = true,                                                                      \
            .help = "a Hugging Face directory, a tokenizer.json or tokenizer.model, or a .gguf file"                   \
    }

static const ft_cmd_option encode_options[] = {
    TOKENIZER_OPTION,
    {"text", FT_ARG_TEXT, .argument = "TEXT", .help = "the text; without it standard input is read as one text"},
    {"lines", FT_ARG_FLAG, .help = "every line is a text of its own"},
    {"special", FT_ARG_FLAG, .help = "control tokens written in the text become their ids"},
    {"bos", FT_ARG_FLAG, .help = "begin with the token that begins a text"},
    {"json", FT_ARG_FLAG, .help = "print one JSON object: ids, a list for every text"},
    {0}};

const ft_cmd ft_cmd_tokenizer_encode = {.name = "tokenizer encode",
                                        .summary = "turn text into token ids",
                                        .about = "Prints the ids of a text on one line, blanks between.",
                                        .options = encode_options,
                                        .example = "fettle tokenizer encode data/base --text 'Pump 3 leaks.'\nfettle "
                                                   "tokenizer encode model.gguf --lines < texts.txt",
                                        .run = run_encode};

/* ---- decode ---- */

static ft_status decode_words(coding *c, const char *text, ft_ids *ids)
{
    char word[24];
    int64_t id;
    static const char blanks[] = " \t\r\n,[]";
    for (text += strspn(text, blanks); *text; text += strspn(text, blanks)) {
        size_t n = strcspn(text, blanks);
        snprintf(word, sizeof word, "%.*s", (int)FT_MIN(n, sizeof word - 1), text);
        if (!ft_parse_i64(word, &id) || id < 0 || id >= ft_tokenizer_size(c->tok))
            return ft_fail(FT_EINPUT, "found %s, expected token ids from 0 to %d", word,
                           (int)ft_tokenizer_size(c->tok) - 1);
        FT_RETURN(ft_ids_put(ids, (int32_t)id));
        text += n;
    }
    return FT_OK;
}

static ft_status gather_ids(coding *c, ft_ids *ids)
{
    ft_buf text = {0};
    ft_status st = FT_OK;
    size_t n = ft_args_count(c->args, "ID");
    for (size_t i = 0; i < n; i++)
        FT_TRY(decode_words(c, ft_args_item(c->args, "ID", i), ids));
    if (n == 0) {
        FT_TRY(read_stdin(&text));
        FT_TRY(decode_words(c, text.p, ids));
    }
done:
    ft_buf_free(&text);
    return st;
}

static ft_status run_decode(const ft_args *a)
{
    coding c = {.args = a};
    ft_ids ids = {0};
    ft_buf text = {0};
    ft_status st = FT_OK;
    FT_TRY(ft_tokenizer_open(&c.tok, ft_args_text(a, "TOKENIZER")));
    FT_TRY(gather_ids(&c, &ids));
    FT_TRY(ft_tokenizer_decode(c.tok, ids.p, ids.n, ft_args_given(a, "skip-special"), true, &text));
    if (ft_args_given(a, "json")) {
        json_t *o = json_object();
        ft_result_str(o, "text", (ft_str){text.p, text.n});
        st = ft_result_print(a, o);
        goto done;
    }
    FT_TRY(ft_buf_putc(&text, '\n'));
    st = ft_put(&text);
done:
    ft_buf_free(&text);
    ft_ids_free(&ids);
    ft_tokenizer_free(c.tok);
    return st;
}

static const ft_cmd_option decode_options[] = {
    TOKENIZER_OPTION,
    {"ID", FT_ARG_TEXT, .positional = true, .repeats = true, .help = "token ids; without them standard input is read"},
    {"skip-special", FT_ARG_FLAG, .help = "leave control tokens out"},
    {"json", FT_ARG_FLAG, .help = "print one JSON object instead of text"},
    {0}};

const ft_cmd ft_cmd_tokenizer_decode = {.name = "tokenizer decode",
                                        .summary = "turn token ids into text",
                                        .about =
                                            "Prints the text of token ids, which may have blanks or commas between.",
                                        .options = decode_options,
                                        .example = "fettle tokenizer decode data/base 1 50 993",
                                        .run = run_decode};
