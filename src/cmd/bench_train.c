/* fettle bench train: steps of training on random weights and random tokens, and how close they come to the rate of
 * plain matrix products in the same process.
 *
 * Steps and products run in turn (cmd/bench.h). The highest memory is read before the products get theirs.
 */
#include "cmd/bench.h"

static ft_status print(ft_bench_training *t, const ft_args *a, const ft_contestant *step, double peak, uint64_t rss)
{
    json_t *o = json_object();
    double flops = ft_model_flops_per_token(t->model, t->seq), rate = (double)t->tokens / step->best_s;
    ft_bench_training_put(o, t, a);
    ft_result_real(o, "tokens_per_s", rate);
    ft_result_real(o, "step_s", step->best_s);
    ft_result_real(o, "median_step_s", step->median_s);
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
    ft_bench_training t = {0};
    ft_gemm_peak *peak = NULL;
    ft_status st = FT_OK;
    ft_contestant *c = ft_alloc(1 + FT_GEMM_PEAKS, sizeof *c);
    if (!c)
        return FT_ENOMEM;
    ft_stop_on_signals();
    FT_TRY(ft_bench_training_open(&t, a));
    uint64_t rss = ft_peak_rss_bytes();
    FT_TRY(ft_gemm_peak_new(&peak, t.options.compute));
    c[0].run = ft_bench_training_step;
    c[0].ctx = &t;
    ft_gemm_peak_join(peak, c + 1);
    FT_TRY(ft_bench(c, 1 + FT_GEMM_PEAKS, ft_args_int(a, "rounds"), 0.1));
    st = print(&t, a, &c[0], ft_gemm_peak_gflops(peak, c + 1), rss);
done:
    ft_gemm_peak_free(peak);
    ft_bench_training_close(&t);
    ft_free(c);
    return st;
}

static const ft_cmd_option options[] = {
    FT_TRAINING_OPTIONS,
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
               "fettle bench train --shape tinyllama-1.1b --batch 1 --dtype q8_0 --checkpointing on",
    .run = run};
