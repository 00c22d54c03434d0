/* fettle bench train: steps of training on random weights and random tokens, and how close they come to the rate of
 * plain matrix products in the same process.
 *
 * Steps and products run in turn (cmd/bench.h), with --against also steps beside weights of another type. The highest
 * memory is read before these and the products get theirs.
 */
#include "cmd/bench.h"

enum { STEP, OTHER, PRODUCTS }; /* contestants; without --against there is no OTHER */

/* How much longer a step takes than one of the other dtype. */
static void put_other(json_t *o, const ft_args *a, const ft_contestant *c)
{
    ft_result_text(o, "against", ft_args_text(a, "against"));
    ft_result_real(o, "against_step_s", c[OTHER].best_s);
    ft_result_real(o, "against_median_step_s", c[OTHER].median_s);
    ft_result_real(o, "step_ratio", c[STEP].best_s / c[OTHER].best_s);
    ft_result_real(o, "median_step_ratio", c[STEP].median_s / c[OTHER].median_s);
}

static ft_status print(ft_bench_training *t, const ft_args *a, const ft_contestant *c, double peak, uint64_t rss)
{
    const ft_contestant *step = &c[STEP];
    json_t *o = json_object();
    double flops = ft_model_flops_per_token(t->model, t->seq), rate = (double)t->tokens / step->best_s;
    ft_bench_training_put(o, t, a);
    ft_result_real(o, "tokens_per_s", rate);
    ft_result_real(o, "step_s", step->best_s);
    ft_result_real(o, "median_step_s", step->median_s);
    if (ft_args_given(a, "against"))
        put_other(o, a, c);
    ft_result_real(o, "model_flops_per_token", flops);
    ft_result_real(o, "gflops", 1e-9 * flops * rate);
    ft_result_real(o, "gemm_peak_gflops", peak);
    ft_result_real(o, "mfu", 1e-9 * flops * rate / peak);
    ft_result_int(o, "peak_rss_bytes", (int64_t)rss);
    ft_result_real(o, "loss", t->loss);
    ft_bench_put_machine(o);
    return ft_result_print(a, o);
}

static ft_status run(const ft_args *a)
{
    ft_bench_training t = {0}, other = {0};
    ft_gemm_peak *peak = NULL;
    ft_status st = FT_OK;
    bool against = ft_args_given(a, "against");
    size_t products = against ? PRODUCTS : OTHER;
    ft_contestant *c = ft_alloc(PRODUCTS + FT_GEMM_PEAKS, sizeof *c);
    if (!c)
        return FT_ENOMEM;
    ft_stop_on_signals();
    FT_TRY(ft_bench_training_open(&t, a, ft_args_text(a, "dtype")));
    uint64_t rss = ft_peak_rss_bytes();
    if (against)
        FT_TRY(ft_bench_training_open(&other, a, ft_args_text(a, "against")));
    FT_TRY(ft_gemm_peak_new(&peak, t.options.compute));
    c[STEP] = (ft_contestant){.run = ft_bench_training_step, .ctx = &t};
    if (against)
        c[OTHER] = (ft_contestant){.run = ft_bench_training_step, .ctx = &other};
    ft_gemm_peak_join(peak, c + products);
    FT_TRY(ft_bench(c, products + FT_GEMM_PEAKS, ft_args_int(a, "rounds"), 0.1));
    st = print(&t, a, c, ft_gemm_peak_gflops(peak, c + products), rss);
done:
    ft_gemm_peak_free(peak);
    ft_bench_training_close(&t);
    ft_bench_training_close(&other);
    ft_free(c);
    return st;
}

static const ft_cmd_option options[] = {
    FT_TRAINING_OPTIONS,
    {"against", FT_ARG_NAME, .argument = "T", .choice = ft_choice_dtype,
     .help = "run steps beside weights of this type in turn with them, and tell the ratio"},
    FT_ROUNDS_OPTION("5"),
    FT_BENCH_JSON,
    {0}};

const ft_cmd ft_cmd_bench_train = {
    .name = "bench train",
    .summary = "measure steps of training on random weights",
    .about = "Trains on random tokens, every one supervised, and prints tokens a second, the FLOPs of the model's "
             "formula (docs/performance.md; recomputation is not counted), the highest rate of plain matrix products in "
             "the same process, their ratio (mfu), and the highest memory. Times are the best of the rounds.\n\n"
             "Random weights of 1.1 billion parameters take 4.4 GB in f32.",
    .options = options,
    .example = "fettle bench train --shape smollm2-135m --json\n"
               "fettle bench train --shape tinyllama-1.1b --batch 1 --dtype q8_0 --checkpointing on\n"
               "fettle bench train --shape smollm2-135m --dtype nf4 --against f32",
    .run = run};
