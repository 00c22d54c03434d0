/* fettle quantize: a model or a GGUF as a GGUF of fewer bits, the type of each tensor by the rules of a mix. */
#include "cmd/choices.h"
#include "cmd/opened.h"
#include "cmd/progress.h"

#include <string.h>

typedef struct quantize {
    const ft_args *args;
    const ft_mix *mix;
    ft_imatrix *imatrix;
    ft_meter meter;
    json_t *tensors; /* a row each */
    int64_t weights, stood_in, unweighted;
    uint64_t bytes;
} quantize;

static void on_tensor(void *ctx, const ft_quantized *t)
{
    quantize *q = ctx;
    char shape[96];
    json_t *row = ft_result_row(q->tensors);
    int64_t count = 1;
    for (int i = 0; i < t->ndim; i++)
        count *= t->shape[i];
    ft_result_text(row, "name", t->name);
    ft_result_text(row, "shape", ft_shape_text(t->ndim, t->shape, shape));
    ft_result_text(row, "from", t->from->name);
    ft_result_text(row, "to", t->to->name);
    ft_result_text(row, "instead_of", t->wanted != t->to ? t->wanted->name : NULL);
    ft_result_real(row, "bits_per_weight", ft_dtype_bits(t->to));
    ft_result_int(row, "size_bytes", (int64_t)t->bytes);
    q->weights += count;
    q->bytes += t->bytes;
    q->stood_in += t->wanted != t->to;
    q->unweighted += q->imatrix && !t->to->is_float && !t->weighted;
}

static ft_status from_gguf(quantize *q)
{
    return ft_quantize(&(ft_quantize_request){.in = ft_args_text(q->args, "MODEL"),
                                              .out = ft_args_text(q->args, "OUT"),
                                              .mix = q->mix,
                                              .imatrix = q->imatrix,
                                              .on_tensor = on_tensor,
                                              .tensor_ctx = q,
                                              .progress = ft_meter_part,
                                              .ctx = &q->meter});
}

/* A directory or a run: the exporter makes the GGUF, adapter merged. */
static ft_status from_model(quantize *q)
{
    ft_opened o = {0};
    ft_sampling greedy = {.top_p = 1};
    ft_status st = FT_OK;
    FT_TRY(ft_opened_open(&o, q->args));
    ft_export_request r = {.model = o.model,
                           .tokenizer = o.tok,
                           .chat = o.chat,
                           .path = ft_args_text(q->args, "OUT"),
                           .mix = q->mix,
                           .imatrix = q->imatrix,
                           .name = ft_path_base(ft_args_text(q->args, "MODEL")),
                           .base_name = ft_model_path(o.model),
                           .sampling = &greedy,
                           .on_tensor = on_tensor,
                           .tensor_ctx = q,
                           .progress = ft_meter_part,
                           .ctx = &q->meter};
    st = ft_exporter_named("gguf")->write(&r);
done:
    ft_opened_close(&o);
    return st;
}

static ft_status put_result(quantize *q, double seconds)
{
    json_t *o = json_object();
    ft_result_text(o, "path", ft_args_text(q->args, "OUT"));
    ft_result_text(o, "type", q->mix->name);
    ft_result_int(o, "weights", q->weights);
    ft_result_int(o, "size_bytes", (int64_t)q->bytes);
    ft_result_real(o, "bits_per_weight", q->weights ? 8.0 * (double)q->bytes / (double)q->weights : 0);
    ft_result_int(o, "stand_ins", q->stood_in);
    if (q->imatrix)
        ft_result_int(o, "unweighted", q->unweighted);
    ft_result_real(o, "time_s", seconds);
    json_object_set_new(o, "tensors", json_incref(q->tensors));
    return ft_result_print(q->args, o);
}

static ft_status run(const ft_args *a)
{
    quantize q = {.args = a, .mix = ft_mix_named(ft_args_text(a, "type")), .meter = ft_meter_new(false, false)};
    const char *path = ft_args_text(a, "MODEL");
    double begun = ft_now_s();
    ft_status st = FT_OK;
    FT_TRY((q.tensors = json_array()) ? FT_OK : FT_ENOMEM);
    if (ft_args_given(a, "imatrix"))
        FT_TRY(ft_imatrix_open(&q.imatrix, ft_args_text(a, "imatrix")));
    ft_meter_label(&q.meter, ft_args_text(a, "OUT"));
    FT_TRY(ft_is_dir(path) || ft_args_given(a, "adapter") ? from_model(&q) : from_gguf(&q));
    st = put_result(&q, ft_now_s() - begun);
done:
    json_decref(q.tensors);
    ft_imatrix_free(q.imatrix);
    return st;
}

static const ft_cmd_option options[] = {
    {"MODEL", FT_ARG_FILE, .positional = true, .required = true,
     .help = "a .gguf file of any architecture, or a Hugging Face directory or run folder that fettle reads"},
    {"OUT", FT_ARG_FILE, .positional = true, .required = true, .help = "the .gguf file to write"},
    {"type", FT_ARG_NAME, .argument = "TYPE", .required = true, .choice = ft_choice_mix,
     .help = "the mix of types; matrices that matter more get more bits by its rules"},
    {"imatrix", FT_ARG_FILE, .argument = "FILE",
     .help = "importance matrix of fettle imatrix or llama.cpp: columns that matter more are rounded better"},
    FT_ADAPTER_OPTION,
    FT_TEMPLATE_OPTION,
    FT_JSON_OPTION,
    {0}};

const ft_cmd ft_cmd_quantize = {
    .name = "quantize",
    .summary = "write a model as a GGUF of fewer bits",
    .about = "Writes each matrix in the type that the mix gives it, tensor by tensor, on all processors. Norms, biases and "
             "what else has one dimension stay as they are. Where the rows of a matrix are no whole number of the type's "
             "blocks another type of about as many bits stands in; the table says which, with the bits a weight that "
             "really come of it.\n\n"
             "Begin with a file of f16 or more: what is quantized already is rounded a second time.",
    .options = options,
    .example = "fettle quantize model-f16.gguf model-q4_k_m.gguf --type q4_k_m\n"
               "fettle quantize data/base base.gguf --type iq4_xs --imatrix base.imatrix",
    .run = run};
