/* The team: ft_threads() - 1 workers that live as long as the process, and the thread that calls.
 *
 * A job is published in one 64-bit word, (number of the job << 16 | workers wanted), so that a worker that wakes late
 * never mixes two jobs. Tiles are handed out by a counter. Waiting spins for some microseconds, the time between two ops
 * of a step, and then sleeps: OpenMP's barriers spin far longer, which costs a busy machine several times its speed
 * (docs/performance.md).
 */
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

enum { MAX_WORKERS = 255, SPINS = 1500 };

static struct team {
    pthread_mutex_t busy; /* one job at a time */
    pthread_mutex_t lock; /* of the two conditions */
    pthread_cond_t posted, finished;
    atomic_uint_fast64_t job;
    atomic_int sleeping; /* workers that wait for `posted` */
    atomic_int left;     /* workers that have not finished the job */
    atomic_bool caller_sleeps;
    atomic_int_fast64_t next;
    int64_t n;
    void (*fn)(void *ctx, int64_t tile);
    void *ctx;
    int workers; /* started */
} team = {.busy = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER, .posted = PTHREAD_COND_INITIALIZER,
          .finished = PTHREAD_COND_INITIALIZER};

static int chosen;
static _Thread_local int my_id;
static _Thread_local bool inside;

/* ---- how many ---- */

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
    return n < 1 ? 1 : n > MAX_WORKERS ? MAX_WORKERS : n;
}

int ft_threads(void)
{
    if (!chosen)
        chosen = default_threads();
    return chosen;
}

void ft_threads_set(int n)
{
    chosen = n < 1 ? default_threads() : n > MAX_WORKERS ? MAX_WORKERS : n;
}

int ft_thread_id(void)
{
    return my_id;
}

/* ---- the team ---- */

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void run_tiles(void)
{
    int64_t i;
    inside = true;
    while ((i = atomic_fetch_add(&team.next, 1)) < team.n)
        team.fn(team.ctx, i);
    inside = false;
}

/* The job after `seen`. */
static uint64_t wait_for_job(uint64_t seen)
{
    uint64_t job;
    for (int i = 0; i < SPINS; i++) {
        if ((job = atomic_load(&team.job)) != seen)
            return job;
        pause_cpu();
    }
    pthread_mutex_lock(&team.lock);
    atomic_fetch_add(&team.sleeping, 1);
    while ((job = atomic_load(&team.job)) == seen)
        pthread_cond_wait(&team.posted, &team.lock);
    atomic_fetch_sub(&team.sleeping, 1);
    pthread_mutex_unlock(&team.lock);
    return job;
}

static void wait_for_workers(void)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&team.left) == 0)
            return;
        pause_cpu();
    }
    pthread_mutex_lock(&team.lock);
    atomic_store(&team.caller_sleeps, true);
    while (atomic_load(&team.left) != 0)
        pthread_cond_wait(&team.finished, &team.lock);
    atomic_store(&team.caller_sleeps, false);
    pthread_mutex_unlock(&team.lock);
}

static void finish(void)
{
    if (atomic_fetch_sub(&team.left, 1) != 1 || !atomic_load(&team.caller_sleeps))
        return;
    pthread_mutex_lock(&team.lock);
    pthread_cond_signal(&team.finished);
    pthread_mutex_unlock(&team.lock);
}

static void *work(void *arg)
{
    uint64_t job = 0;
    my_id = (int)(intptr_t)arg;
    for (;;) {
        job = wait_for_job(job);
        if ((uint64_t)my_id <= (job & 0xffff)) {
            run_tiles();
            finish();
        }
    }
    return NULL;
}

/* A child of fork has no workers: it starts its own. */
static void after_fork(void)
{
    team.workers = 0;
    atomic_store(&team.job, 0);
    atomic_store(&team.sleeping, 0);
    pthread_mutex_init(&team.busy, NULL);
    pthread_mutex_init(&team.lock, NULL);
    pthread_cond_init(&team.posted, NULL);
    pthread_cond_init(&team.finished, NULL);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, after_fork);
}

/* Workers there are for a job of n tiles; fewer than wanted where the system gives no more threads. */
static int hire(int64_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int wanted = (int)(n < ft_threads() ? n : ft_threads()) - 1;
    pthread_once(&once, watch_forks);
    while (team.workers < wanted) {
        pthread_t t;
        /* a new worker takes 0 for the last job it has seen: job numbers start at 1 */
        if (pthread_create(&t, NULL, work, (void *)(intptr_t)(team.workers + 1)) != 0)
            break;
        pthread_detach(t);
        team.workers++;
    }
    return wanted < team.workers ? wanted : team.workers;
}

static void post(int workers)
{
    uint64_t number = (atomic_load(&team.job) >> 16) + 1;
    atomic_store(&team.next, 0);
    atomic_store(&team.left, workers);
    atomic_store(&team.job, number << 16 | (uint64_t)workers);
    if (atomic_load(&team.sleeping) == 0)
        return;
    pthread_mutex_lock(&team.lock);
    pthread_cond_broadcast(&team.posted);
    pthread_mutex_unlock(&team.lock);
}

void ft_parallel(int64_t n, void (*fn)(void *ctx, int64_t tile), void *ctx)
{
    if (n > 1 && !inside && ft_threads() > 1 && pthread_mutex_trylock(&team.busy) == 0) {
        int workers = hire(n);
        team.n = n;
        team.fn = fn;
        team.ctx = ctx;
        post(workers);
        run_tiles();
        wait_for_workers();
        pthread_mutex_unlock(&team.busy);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        fn(ctx, i);
}
