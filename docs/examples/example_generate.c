/* Loads a model and goes on from a prompt.
 *
 *   example_generate MODEL PROMPT [MAX_NEW_TOKENS]
 *   cc example_generate.c $(pkg-config --cflags --libs fettle)
 *
 * MODEL is a Hugging Face directory, a .gguf file or a run folder.
 */
#include "fettle.h"

#include <stdio.h>
#include <stdlib.h>

/* Ids of the prompt, with BOS where the model wants one. */
static ft_status prompt_ids(ft_ids *ids, const ft_tokenizer *tok, const char *prompt)
{
    if (ft_tokenizer_add_bos(tok))
        FT_RETURN(ft_ids_put(ids, ft_tokenizer_bos(tok)));
    return ft_tokenizer_encode(tok, ft_str_of(prompt), false, ids);
}

static ft_status generate(const char *path, const char *prompt, int64_t max_new)
{
    ft_model *model = NULL;
    ft_tokenizer *tok = NULL;
    ft_ids ids = {0};
    ft_buf text = {0};
    int32_t *made = NULL;
    ft_status st = FT_OK;

    FT_TRY(ft_model_open(&model, path, NULL));
    FT_TRY(ft_tokenizer_open(&tok, ft_model_tokenizer_path(model)));
    FT_TRY(prompt_ids(&ids, tok, prompt));
    if (!(made = ft_alloc((size_t)max_new, sizeof *made))) {
        st = FT_ENOMEM;
        goto done;
    }

    ft_decode_request request = {.prompt = ids.p, .n = (int64_t)ids.n, .out = made, .max_new = max_new};
    ft_decode_options options = {.sampling = {.temperature = 0}}; /* greedy */
    options.stops = ft_tokenizer_stops(tok, &options.n_stops);
    FT_TRY(ft_decode(model, &request, 1, &options));

    FT_TRY(ft_tokenizer_decode(tok, made, (size_t)request.made, true, false, &text));
    printf("%s%.*s\n", prompt, (int)text.n, text.n ? text.p : "");
done:
    ft_free(made);
    ft_buf_free(&text);
    ft_ids_free(&ids);
    ft_tokenizer_free(tok);
    ft_model_free(model);
    return st;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s MODEL PROMPT [MAX_NEW_TOKENS]\n", argv[0]);
        return 2;
    }
    ft_status st = generate(argv[1], argv[2], argc > 3 ? atoi(argv[3]) : 32);
    if (st != FT_OK)
        fprintf(stderr, "%s: %s\n", argv[0], ft_error());
    return ft_exit_status(st);
}
