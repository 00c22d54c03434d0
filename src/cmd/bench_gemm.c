/* fettle bench gemm: the rate of the three products of a linear, by engine and stored dtype; and the peak that mfu is
 * measured by.
 *
 *   forward  y [T, out] = x w^T        grad_x  dx [T, in] = dy w        grad_w  dw [out, in] += dy^T x
 */
#include "cmd/bench.h"

#include <string.h>

/* One matrix in one dtype, and room for its products. */
typedef struct product {
    ft_tensor w;
    float *x, *y, *dw, *scratch, *parts; /* [T, in], [T, out], [out, in] or NULL */
    int64_t T, in, out;
} product;

/* What a contestant runs. */
typedef struct work {
    const product *p;
    const ft_engine *e;
} work;

static void product_free(product *p)
{
    ft_free(p->w.data);
    ft_free(p->x);
    ft_free(p->y);
    ft_free(p->dw);
    ft_free(p->scratch);
    ft_free(p->parts);
    *p = (product){0};
}

static ft_status fill_weight(product *p, const ft_dtype *dtype)
{
    size_t bytes;
    p->w = (ft_tensor){.dtype = dtype, .ndim = 2, .shape = {p->out, p->in}};
    FT_RETURN(ft_tensor_check(dtype, 2, p->w.shape, &bytes));
    if (!(p->w.data = ft_alloc(bytes, 1)))
        return FT_ENOMEM;
    for (int64_t r = 0; r < p->out; r++) /* a row of x, which is random, where it has rows enough */
        dtype->encode(p->x + r % p->T * p->in, NULL, p->in, (char *)p->w.data + (size_t)r * ft_tensor_row_bytes(&p->w));
    return FT_OK;
}

static ft_status product_make(product *p, int64_t T, int64_t in, int64_t out, const ft_dtype *dtype, bool with_dw)
{
    *p = (product){.T = T, .in = in, .out = out};
    size_t parts = FT_MAX(ft_linear_parts(T, in, out), ft_linear_parts(out, in, T));
    p->x = ft_alloc((size_t)(T * in), sizeof(float));
    p->y = ft_alloc((size_t)(T * out), sizeof(float));
    p->dw = with_dw ? ft_alloc((size_t)(out * in), sizeof(float)) : NULL;
    p->scratch = ft_alloc(ft_linear_scratch(), sizeof(float));
    p->parts = parts ? ft_alloc(parts, sizeof(float)) : NULL;
    if (!p->x || !p->y || (with_dw && !p->dw) || !p->scratch || (parts && !p->parts))
        return FT_ENOMEM;
    ft_fill_uniform(p->x, (size_t)(T * in), -1, 1, 1, FT_STREAM_INIT, 0);
    ft_fill_uniform(p->y, (size_t)(T * out), -1, 1, 1, FT_STREAM_INIT, 1);
    return fill_weight(p, dtype);
}

static ft_status run_forward(void *ctx)
{
    const work *w = ctx;
    const product *p = w->p;
    ft_linear_forward(w->e, p->y, p->x, p->T, &p->w, NULL, NULL, p->scratch);
    return FT_OK;
}

static ft_status run_grad_x(void *ctx)
{
    const work *w = ctx;
    const product *p = w->p;
    ft_linear_grad_x(w->e, p->x, p->y, p->T, &p->w, NULL, false, p->scratch, p->parts);
    return FT_OK;
}

static ft_status run_grad_w(void *ctx)
{
    const work *w = ctx;
    const product *p = w->p;
    ft_linear_grad_w(w->e, p->dw, p->y, p->x, p->T, p->out, p->in, p->scratch, p->parts);
    return FT_OK;
}

static double gflops(const product *p, double seconds)
{
    return 2e-9 * (double)p->T * (double)p->in * (double)p->out / seconds;
}

/* ---- the peak ---- */

struct ft_gemm_peak {
    product p[FT_GEMM_PEAKS];
    work work[FT_GEMM_PEAKS];
};

ft_status ft_gemm_peak_new(ft_gemm_peak **out, ft_compute compute)
{
    /* of what models have: where rates of linears are highest on the machines seen so far (docs/performance.md) */
    static const int64_t shapes[FT_GEMM_PEAKS][3] = {{1024, 576, 1536}, {1024, 2048, 2048}, {512, 2048, 5632}};
    ft_status st = FT_OK;
    *out = ft_alloc(1, sizeof **out);
    if (!*out)
        return FT_ENOMEM;
    for (size_t i = 0; st == FT_OK && i < FT_GEMM_PEAKS; i++) {
        st = product_make(&(*out)->p[i], shapes[i][0], shapes[i][1], shapes[i][2], &ft_f32, false);
        (*out)->work[i] = (work){.p = &(*out)->p[i], .e = ft_engine_of(compute)};
    }
    if (st == FT_OK)
        return FT_OK;
    ft_gemm_peak_free(*out);
    *out = NULL;
    return st;
}

void ft_gemm_peak_free(ft_gemm_peak *p)
{
    for (size_t i = 0; p && i < FT_GEMM_PEAKS; i++)
        product_free(&p->p[i]);
    ft_free(p);
}

void ft_gemm_peak_join(ft_gemm_peak *p, ft_contestant *c)
{
    for (size_t i = 0; i < FT_GEMM_PEAKS; i++) {
        c[i].run = run_forward;
        c[i].ctx = &p->work[i];
    }
}

double ft_gemm_peak_gflops(const ft_gemm_peak *p, const ft_contestant *c)
{
    double best = 0;
    for (size_t i = 0; i < FT_GEMM_PEAKS; i++)
        best = FT_MAX(best, gflops(&p->p[i], c[i].best_s));
    return best;
}

/* ---- the command ---- */

static const struct {
    const char *name;
    ft_status (*run)(void *ctx);
    bool f32_only;
} kinds[] = {{"forward", run_forward, false}, {"grad_x", run_grad_x, false}, {"grad_w", run_grad_w, true}};

typedef struct field {
    product *p;       /* [n_products] */
    work *work;       /* [n_products * engines] */
    ft_contestant *c; /* [n] */
    const char **of;  /* [n]: what a contestant does */
    size_t n_products, n_works, n;
} field;

static const char *const matrices[] = {"q_proj", "up_proj", "down_proj"};

static ft_status make_product(product *p, const ft_shape *s, size_t matrix, int64_t T, const ft_dtype *dtype)
{
    int64_t C = s->hidden_size, F = s->intermediate_size;
    int64_t in = matrix == 2 ? F : C, out = matrix == 0 ? s->num_attention_heads * s->head_dim : matrix == 1 ? F : C;
    return product_make(p, T, in, out, dtype, dtype == &ft_f32);
}

static bool asked_for(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; p; p = strchr(p, ','), p = p ? p + 1 : NULL)
        if (strncmp(p, name, n) == 0 && (!p[n] || p[n] == ','))
            return true;
    return !list;
}

/* Asked for, or, where nothing is, of blocks that the rows of the shape are made of. */
static bool wanted(const char *list, const ft_dtype *d, const ft_shape *s)
{
    bool whole = s->hidden_size % d->block_len == 0 && s->intermediate_size % d->block_len == 0;
    return asked_for(list, d->name) && (list || whole);
}

/* The product's kinds, on every usable engine. */
static void enter(field *f, const product *p, const char *engines)
{
    for (size_t e = 0; ft_engines[e]; e++) {
        if (!ft_engine_usable(ft_engines[e]) || !asked_for(engines, ft_engine_name(ft_engines[e])))
            continue;
        work *w = &f->work[f->n_works++];
        *w = (work){.p = p, .e = ft_engines[e]};
        for (size_t k = 0; k < FT_COUNT(kinds); k++)
            if (!kinds[k].f32_only || p->w.dtype == &ft_f32) {
                f->of[f->n] = kinds[k].name;
                f->c[f->n++] = (ft_contestant){.run = kinds[k].run, .ctx = w};
            }
    }
}

static ft_status enter_all(field *f, const ft_args *a)
{
    const ft_shape *s = ft_shape_named(ft_args_text(a, "shape"));
    size_t dtypes = 0, engines = 0;
    while (ft_dtypes[dtypes])
        dtypes++;
    while (ft_engines[engines])
        engines++;
    size_t most = dtypes * FT_COUNT(matrices) * engines;
    f->p = ft_alloc(dtypes * FT_COUNT(matrices), sizeof *f->p);
    f->work = ft_alloc(most, sizeof *f->work);
    f->c = ft_alloc(most * FT_COUNT(kinds), sizeof *f->c);
    f->of = ft_alloc(most * FT_COUNT(kinds), sizeof *f->of);
    if (!f->p || !f->work || !f->c || !f->of)
        return FT_ENOMEM;
    for (size_t d = 0; d < dtypes; d++)
        for (size_t m = 0; m < FT_COUNT(matrices) && wanted(ft_args_text(a, "dtype"), ft_dtypes[d], s); m++) {
            product *p = &f->p[f->n_products++];
            FT_RETURN(make_product(p, s, m, ft_args_int(a, "tokens"), ft_dtypes[d]));
            enter(f, p, ft_args_text(a, "engine"));
        }
    return FT_OK;
}

static ft_status print(const field *f, const ft_args *a)
{
    json_t *o = json_object();
    double best = 0;
    ft_bench_put_machine(o);
    ft_result_text(o, "shape", ft_args_text(a, "shape"));
    ft_result_int(o, "tokens", ft_args_int(a, "tokens"));
    for (size_t i = 0; i < f->n; i++) {
        const work *w = f->c[i].ctx;
        if (w->p->w.dtype == &ft_f32 && ft_engine_compute(w->e) == FT_COMPUTE_F32)
            best = FT_MAX(best, gflops(w->p, f->c[i].best_s));
    }
    ft_result_real(o, "gemm_peak_gflops", best);
    ft_result_int(o, "peak_rss_bytes", (int64_t)ft_peak_rss_bytes());
    json_t *list = ft_result_list(o, "products");
    for (size_t i = 0; i < f->n; i++) {
        const work *w = f->c[i].ctx;
        const product *p = w->p;
        json_t *row = ft_result_row(list);
        ft_result_text(row, "engine", ft_engine_name(w->e));
        ft_result_text(row, "compute", ft_engine_compute(w->e) == FT_COMPUTE_BF16 ? "bf16" : "f32");
        ft_result_text(row, "dtype", p->w.dtype->name);
        ft_result_text(row, "product", f->of[i]);
        ft_result_text(row, "matrix", matrices[(size_t)(p - f->p) % FT_COUNT(matrices)]);
        ft_result_int(row, "out", p->out);
        ft_result_int(row, "in", p->in);
        ft_result_real(row, "gflops", gflops(p, f->c[i].best_s));
        ft_result_real(row, "median_gflops", gflops(p, f->c[i].median_s));
    }
    return ft_result_print(a, o);
}

static ft_status run(const ft_args *a)
{
    field f = {0};
    ft_status st = FT_OK;
    ft_stop_on_signals();
    FT_TRY(enter_all(&f, a));
    FT_TRY(ft_bench(f.c, f.n, ft_args_int(a, "rounds"), 0.02));
    st = print(&f, a);
done:
    for (size_t i = 0; i < f.n_products; i++)
        product_free(&f.p[i]);
    ft_free(f.p);
    ft_free(f.work);
    ft_free(f.c);
    ft_free(f.of);
    return st;
}

static const char *choice_engine(size_t i)
{
    return ft_engines[i] ? ft_engine_name(ft_engines[i]) : NULL;
}

static const ft_cmd_option options[] = {
    FT_SHAPE_OPTION,
    {"tokens", FT_ARG_INT, .argument = "N", .fallback = "1024", .min = 1, .max = 65536, .help = "rows of x"},
    {"dtype", FT_ARG_NAMES, .argument = "T,...", .choice = ft_choice_dtype,
     .help = "how the weights are stored (default: every type that the shape allows)"},
    {"engine", FT_ARG_NAMES, .argument = "NAME,...", .choice = choice_engine,
     .help = "what multiplies (default: all that this CPU can run)"},
    FT_ROUNDS_OPTION("5"),
    FT_BENCH_JSON,
    {0}};

const ft_cmd ft_cmd_bench_gemm = {
    .name = "bench gemm",
    .summary = "measure matrix products by stored type",
    .about = "Multiplies matrices of a model's shapes, forward and both ways backward, with the weights stored as each "
             "type, on each engine, and prints the best and the median rate.",
    .options = options,
    .example = "fettle bench gemm --shape tinyllama-1.1b --dtype f32,q8_0",
    .run = run};
