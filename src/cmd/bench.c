#include "cmd/bench.h"

#include <stdlib.h>
#include <string.h>

static ft_status run_once(ft_contestant *c, bool counts)
{
    if (ft_stop_requested())
        return ft_fail(FT_ESTOPPED, "stopped by a signal while measuring");
    double begun = ft_now_s();
    FT_RETURN(c->run(c->ctx));
    if (counts && c->n < FT_BENCH_SAMPLES)
        c->seconds[c->n++] = ft_now_s() - begun;
    return FT_OK;
}

static ft_status run_slice(ft_contestant *c, double slice_s)
{
    double begun = ft_now_s();
    do
        FT_RETURN(run_once(c, true));
    while (ft_now_s() - begun < slice_s);
    return FT_OK;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void sum_up(ft_contestant *c)
{
    qsort(c->seconds, c->n, sizeof *c->seconds, by_size);
    c->best_s = c->seconds[0];
    c->median_s = (c->seconds[(c->n - 1) / 2] + c->seconds[c->n / 2]) / 2;
}

ft_status ft_bench(ft_contestant *c, size_t n, int64_t rounds, double slice_s)
{
    for (size_t i = 0; i < n; i++) {
        c[i].n = 0;
        FT_RETURN(run_once(&c[i], false));
    }
    for (int64_t r = 0; r < rounds; r++)
        for (size_t i = 0; i < n; i++)
            FT_RETURN(run_slice(&c[i], slice_s));
    for (size_t i = 0; i < n; i++)
        sum_up(&c[i]);
    return FT_OK;
}

void ft_bench_put_machine(json_t *o)
{
    ft_result_int(o, "threads", ft_threads());
    ft_result_text(o, "cpu_path", ft_kernels_active()->name);
    ft_result_text(o, "blas_core", ft_blas_core());
}
