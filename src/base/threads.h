/* base/threads: one team of threads for the whole process.
 *
 * Work is cut into tiles whose borders never depend on the number of threads; each tile is computed by one thread from
 * start to end. So results are bit-identical for any number of threads.
 */
#ifndef FETTLE_BASE_THREADS_H
#define FETTLE_BASE_THREADS_H

#include <stdint.h>

/* Threads of the team: the CPUs this process may run on, less a cgroup quota, or what ft_threads_set said. */
int ft_threads(void);
/* n >= 1; 0 goes back to the default. */
void ft_threads_set(int n);
/* Calls fn(ctx, tile) for tile = 0 .. n-1, on the team, in any order; returns when all are done.
 * Inside a call of itself it runs the tiles one after the other. */
void ft_parallel(int64_t n, void (*fn)(void *ctx, int64_t tile), void *ctx);
/* Number of the calling thread within ft_parallel, 0 .. ft_threads()-1: for per-thread scratch. */
int ft_thread_id(void);

#endif
