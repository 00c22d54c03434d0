#include "base/threads.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#ifdef _OPENMP
#include <omp.h>
#endif

static int chosen;

/* CPUs of a cgroup v2 or v1 quota, 0 when there is none. */
static int cgroup_cpus(void)
{
    long long quota = -1, period = -1;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (f) {
        if (fscanf(f, "%lld %lld", &quota, &period) != 2)
            quota = -1;
        fclose(f);
    } else {
        if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re"))) {
            if (fscanf(f, "%lld", &quota) != 1)
                quota = -1;
            fclose(f);
        }
        if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "re"))) {
            if (fscanf(f, "%lld", &period) != 1)
                period = -1;
            fclose(f);
        }
    }
    return quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

static int default_threads(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    int quota = cgroup_cpus();
    if (quota && quota < n)
        n = quota;
    return n < 1 ? 1 : n;
}

int ft_threads(void)
{
    if (!chosen)
        chosen = default_threads();
    return chosen;
}

void ft_threads_set(int n)
{
    chosen = n < 1 ? default_threads() : n;
}

int ft_thread_id(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

void ft_parallel(int64_t n, void (*fn)(void *ctx, int64_t tile), void *ctx)
{
#ifdef _OPENMP
    if (n > 1 && ft_threads() > 1 && !omp_in_parallel()) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(ft_threads())
        for (int64_t i = 0; i < n; i++)
            fn(ctx, i);
        return;
    }
#endif
    for (int64_t i = 0; i < n; i++)
        fn(ctx, i);
}
