/* fettle bench op: where the time of a training step goes, op by op. */
#include "cmd/bench.h"

static void put_op(json_t *list, const ft_op_time *t, double step_s, double steps)
{
    json_t *row = ft_result_row(list);
    double seconds = (t->forward_s + t->backward_s) / steps,
           flops = (t->forward_flops + t->backward_flops) / steps;
    ft_result_text(row, "op", t->name);
    ft_result_int(row, "calls", (int64_t)((double)t->calls / steps));
    ft_result_real(row, "forward_s", t->forward_s / steps);
    ft_result_real(row, "backward_s", t->backward_s / steps);
    ft_result_real(row, "share", seconds / step_s);
    ft_result_real(row, "gflops", flops > 0 ? 1e-9 * flops / seconds : 0);
}

/* All that is no op: the order of rows, the gradient's norm, the update of the weights. */
static void put_rest(json_t *list, double rest_s, double step_s)
{
    json_t *row = ft_result_row(list);
    ft_result_text(row, "op", "norm and update");
    ft_result_int(row, "calls", 1);
    ft_result_real(row, "forward_s", rest_s);
    ft_result_real(row, "backward_s", 0);
    ft_result_real(row, "share", rest_s / step_s);
    ft_result_real(row, "gflops", 0);
}

static ft_status print(const ft_bench_training *t, const ft_args *a, double step_s, double steps)
{
    json_t *o = json_object();
    size_t n;
    const ft_op_time *times = ft_tape_times(ft_stepper_tape(t->stepper), &n);
    double rest_s = step_s;
    ft_bench_training_put(o, t, a);
    ft_result_real(o, "step_s", step_s);
    ft_result_real(o, "tokens_per_s", (double)t->tokens / step_s);
    ft_result_int(o, "peak_rss_bytes", (int64_t)ft_peak_rss_bytes());
    ft_bench_put_machine(o);
    json_t *list = ft_result_list(o, "ops");
    for (size_t i = 0; i < n; i++) {
        rest_s -= (times[i].forward_s + times[i].backward_s) / steps;
        if (times[i].calls)
            put_op(list, &times[i], step_s, steps);
    }
    put_rest(list, rest_s, step_s);
    return ft_result_print(a, o);
}

static ft_status run(const ft_args *a)
{
    ft_bench_training t = {0};
    ft_status st = FT_OK;
    int64_t steps = ft_args_int(a, "rounds");
    ft_stop_on_signals();
    FT_TRY(ft_bench_training_open(&t, a, ft_args_text(a, "dtype")));
    FT_TRY(ft_tape_time(ft_stepper_tape(t.stepper)));
    double begun = ft_now_s();
    for (int64_t i = 0; i < steps; i++) {
        if (ft_stop_requested()) {
            st = ft_fail(FT_ESTOPPED, "stopped by a signal while measuring");
            goto done;
        }
        FT_TRY(ft_bench_training_step(&t));
    }
    st = print(&t, a, (ft_now_s() - begun) / (double)steps, (double)steps);
done:
    ft_bench_training_close(&t);
    return st;
}

static const ft_cmd_option options[] = {FT_TRAINING_OPTIONS, FT_ROUNDS_OPTION("5"), FT_BENCH_JSON, {0}};

const ft_cmd ft_cmd_bench_op = {
    .name = "bench op",
    .summary = "measure the ops of a training step",
    .about = "Trains on random tokens as bench train does and prints, for every op, its calls a step, its time forward "
             "and backward and its rate. Ops that are run a second time (checkpointing) count as forward. Times are the "
             "mean of all rounds.",
    .options = options,
    .example = "fettle bench op --shape stories15m --rounds 10",
    .run = run};
