#include "cmd/opened.h"

#include <string.h>

/* ---- model ---- */

ft_status ft_opened_model(ft_model **out, const ft_args *a)
{
    const char *adapter = ft_args_text(a, "adapter");
    bool stored = ft_args_given(a, "stored-base");
    ft_model_options o = {.stored_base = stored || adapter}; /* which of the two adapters counts */
    if (adapter && !stored)
        FT_RETURN(ft_adapter_base_dtype(&o.quantize_base, adapter));
    FT_RETURN(ft_model_open(out, ft_args_text(a, "MODEL"), &o));
    if (!adapter)
        return FT_OK;
    ft_adapter_detach(*out); /* a run folder's own */
    ft_status st = ft_adapter_load(*out, adapter, false);
    if (st != FT_OK) {
        ft_model_free(*out);
        *out = NULL;
    }
    return st;
}

ft_status ft_opened_open(ft_opened *out, const ft_args *a)
{
    ft_status st = FT_OK;
    *out = (ft_opened){0};
    ft_out_transient("loading the model ...");
    FT_TRY(ft_opened_model(&out->model, a));
    FT_TRY(ft_tokenizer_open(&out->tok, ft_model_tokenizer_path(out->model)));
    st = ft_chat_template_pick(&out->chat, ft_args_text(a, "chat-template"), out->tok);
done:
    ft_out_transient_end();
    if (st != FT_OK)
        ft_opened_close(out);
    return st;
}

ft_status ft_opened_pool(ft_opened *o, const ft_args *a)
{
    ft_pooling p = *ft_model_pooling(o->model);
    if (ft_args_given(a, "pooling")) {
        p.kind = ft_pool_named(ft_args_text(a, "pooling"));
        p.normalize = true;
        FT_RETURN(ft_model_set_pooling(o->model, &p));
    }
    return ft_context(ft_model_check_pooling(o->model), "--pooling");
}

void ft_opened_close(ft_opened *o)
{
    ft_tokenizer_free(o->tok);
    ft_model_free(o->model);
    *o = (ft_opened){0};
}

ft_sampling ft_sampling_of(const ft_args *a)
{
    return (ft_sampling){.temperature = (float)ft_args_float(a, "temperature"),
                         .top_k = (int32_t)ft_args_int(a, "top-k"),
                         .top_p = (float)ft_args_float(a, "top-p"),
                         .min_p = (float)ft_args_float(a, "min-p"),
                         .seed = (uint64_t)ft_args_int(a, "seed")};
}

/* ---- streaming ---- */

void ft_printer_init(ft_printer *s, const ft_tokenizer *tok, bool print)
{
    *s = (ft_printer){.tok = tok, .print = print};
}

void ft_printer_free(ft_printer *s)
{
    ft_ids_free(&s->pending);
    ft_buf_free(&s->text);
}

/* Bytes at the end of p that begin a UTF-8 character without ending it. */
static size_t unfinished(const char *p, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char c = (unsigned char)p[n - back];
        if ((c & 0xc0) == 0x80)
            continue;
        size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        return length > back ? back : 0;
    }
    return 0;
}

/* Decodes what is pending; keeps it for later when its last character is not whole and `all` does not demand it. */
static ft_status give_out(ft_printer *s, bool all)
{
    ft_buf text = {0};
    ft_status st = ft_tokenizer_decode(s->tok, s->pending.p, s->pending.n, true, !s->begun, &text);
    if (st == FT_OK && (all || !unfinished(text.p, text.n))) {
        s->begun |= s->pending.n > 0;
        s->pending.n = 0;
        st = ft_buf_put(&s->text, text.p, text.n);
        if (st == FT_OK && s->print)
            st = ft_put(&text);
        if (s->print)
            fflush(stdout);
    }
    ft_buf_free(&text);
    return st;
}

ft_status ft_printer_put(ft_printer *s, int32_t id)
{
    FT_RETURN(ft_ids_put(&s->pending, id));
    return give_out(s, false);
}

ft_status ft_printer_end(ft_printer *s)
{
    return s->pending.n ? give_out(s, true) : FT_OK;
}

/* ---- generating ---- */

typedef struct generating {
    ft_opened *o;
    ft_printer *stream;
    ft_status st;
} generating;

static bool on_token(void *ctx, size_t row, int32_t id)
{
    generating *g = ctx;
    if (!ft_tokenizer_is_stop(g->o->tok, id))
        g->st = ft_printer_put(g->stream, id);
    return g->st == FT_OK;
}

ft_status ft_generate(ft_opened *o, const ft_ids *prompt, const ft_args *a, ft_printer *s, ft_ids *made, bool *stopped)
{
    generating g = {.o = o, .stream = s};
    int64_t room = ft_model_config(o->model)->max_position_embeddings - (int64_t)prompt->n;
    if (prompt->n == 0)
        return ft_fail(FT_EINPUT,
                       "the prompt has no tokens and the model has no token to begin with; give --prompt some text");
    if (room < 1)
        return ft_fail(FT_EINPUT, "the prompt has %zu tokens, the model's context is %lld", prompt->n,
                       (long long)ft_model_config(o->model)->max_position_embeddings);
    ft_decode_request r = {
        .prompt = prompt->p, .n = (int64_t)prompt->n, .max_new = FT_MIN(ft_args_int(a, "max-new-tokens"), room)};
    ft_decode_options d = {.sampling = ft_sampling_of(a), .on_token = on_token, .ctx = &g};
    d.stops = ft_tokenizer_stops(o->tok, &d.n_stops);
    ft_status st = FT_ENOMEM;
    if (!(r.out = ft_alloc((size_t)r.max_new, sizeof *r.out)))
        goto done;
    FT_TRY(ft_decode(o->model, &r, 1, &d));
    FT_TRY(g.st);
    FT_TRY(ft_printer_end(s));
    *stopped = r.stopped;
    for (int64_t i = 0; made && i < r.made; i++)
        FT_TRY(ft_ids_put(made, r.out[i]));
done:
    ft_free(r.out);
    return st;
}
