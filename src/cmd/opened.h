/* cmd/opened: a MODEL of the command line (HF directory, .gguf, run folder) with its tokenizer, adapter and template;
 * the options that sampling and decoding share; text as it streams out.
 * Ownership: ft_opened_close frees all.
 */
#ifndef FETTLE_CMD_OPENED_H
#define FETTLE_CMD_OPENED_H

#include "cmd/cmd.h"

typedef struct ft_opened {
    ft_model *model;
    ft_tokenizer *tok;
    const ft_chat_template *chat; /* NULL: the model has none */
} ft_opened;
/* Reads MODEL with --adapter, its tokenizer and the template that --chat-template names. */
ft_status ft_opened_open(ft_opened *out, const ft_args *a);
/* MODEL with --adapter alone: for what needs no text. The caller frees it. */
ft_status ft_opened_model(ft_model **out, const ft_args *a);
/* Pools as --pooling says, else as the model does; FT_EINPUT when neither says how. */
ft_status ft_opened_pool(ft_opened *o, const ft_args *a);
void ft_opened_close(ft_opened *o);

/* The option rows of sampling, for a command's table. */
#define FT_SAMPLING_OPTIONS                                                                                            \
    {"temperature",                                                                                                    \
     FT_ARG_FLOAT,                                                                                                     \
     .argument = "X",                                                                                                  \
     .fallback = "0",                                                                                                  \
     .min = 0,                                                                                                         \
     .max = 100,                                                                                                       \
     .help = "divides the logits before sampling; 0 takes the likeliest token"},                                       \
        {"top-k",                                                                                                      \
         FT_ARG_INT,                                                                                                   \
         .argument = "N",                                                                                              \
         .fallback = "0",                                                                                              \
         .min = 0,                                                                                                     \
         .max = 1e9,                                                                                                   \
         .help = "sample among the N likeliest tokens; 0: all"},                                                       \
        {"top-p",                                                                                                      \
         FT_ARG_FLOAT,                                                                                                 \
         .argument = "P",                                                                                              \
         .fallback = "1",                                                                                              \
         .min = 0,                                                                                                     \
         .max = 1,                                                                                                     \
         .help = "sample among the likeliest tokens that together reach probability P; 1: all"},                       \
        {"min-p",                                                                                                      \
         FT_ARG_FLOAT,                                                                                                 \
         .argument = "P",                                                                                              \
         .fallback = "0",                                                                                              \
         .min = 0,                                                                                                     \
         .max = 1,                                                                                                     \
         .help = "drop tokens below P times the probability of the likeliest; 0: none"},                               \
        {"seed",                                                                                                       \
         FT_ARG_INT,                                                                                                   \
         .argument = "N",                                                                                              \
         .fallback = "42",                                                                                             \
         .min = 0,                                                                                                     \
         .max = 9007199254740992.0,                                                                                    \
         .help = "seed of the sampling"},                                                                              \
    {                                                                                                                  \
        "max-new-tokens", FT_ARG_INT, .argument = "N", .fallback = "256", .min = 1, .max = 1048576,                    \
                                      .help = "the most tokens to generate"                                            \
    }
#define FT_MODEL_OPTION                                                                                                \
    {                                                                                                                  \
        "MODEL", FT_ARG_FILE, .positional = true, .required = true,                                                    \
                              .help = "a Hugging Face directory, a .gguf file or a run folder"                         \
    }
#define FT_ADAPTER_OPTION                                                                                              \
    {                                                                                                                  \
        "adapter", FT_ARG_FILE, .argument = "PATH",                                                                    \
                                .help = "an adapter to put on the model: a PEFT directory or a GGUF adapter"           \
    },                                                                                                                 \
    {                                                                                                                  \
        "stored-base", FT_ARG_FLAG,                                                                                    \
            .help = "with the adapter of a qlora run: the base as it is stored, not as the adapter saw it "            \
                    "(quantize_base)"                                                                                  \
    }
#define FT_TEMPLATE_OPTION                                                                                             \
    {                                                                                                                  \
        "chat-template", FT_ARG_NAME, .argument = "NAME", .fallback = "auto", .choice = ft_chat_template_choice,       \
                                      .help = "chat template; auto is the model's own"                                 \
    }
#define FT_POOLING_OPTION                                                                                              \
    {                                                                                                                  \
        "pooling", FT_ARG_NAME, .argument = "WAY", .choice = ft_choice_pooling,                                        \
                                .help = "how a text's states become its vector (default: as the model says)"           \
    }
#define FT_JSON_OPTION                                                                                                 \
    {                                                                                                                  \
        "json", FT_ARG_FLAG, .help = "print one JSON object instead of text"                                           \
    }

ft_sampling ft_sampling_of(const ft_args *a);

/* Decoded text, given out in whole UTF-8 characters as tokens come. */
typedef struct ft_printer {
    const ft_tokenizer *tok;
    ft_ids pending; /* decoded, but the last character is not whole yet */
    ft_buf text;    /* all that was given out */
    bool print;     /* to stdout at once */
    bool begun;
} ft_printer;
void ft_printer_init(ft_printer *s, const ft_tokenizer *tok, bool print);
ft_status ft_printer_put(ft_printer *s, int32_t id);
/* Gives out what is left, whole or not. */
ft_status ft_printer_end(ft_printer *s);
void ft_printer_free(ft_printer *s);

/* Generates behind one prompt into the stream. made (may be NULL): the ids, a stop token among them. FT_EINPUT when the
 * prompt is empty or longer than the model's context. */
ft_status ft_generate(ft_opened *o, const ft_ids *prompt, const ft_args *a, ft_printer *s, ft_ids *made, bool *stopped);

#endif
