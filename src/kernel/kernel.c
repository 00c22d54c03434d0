/* Choosing a CPU path, and the few things that all paths share. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "kernel/kernel.h"
#include "base/rng.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#define FT_KERNELS(name) extern const ft_kernels ft_kernels_##name;
#include "kernel/paths.def"
#undef FT_KERNELS
#define FT_KERNELS(name) &ft_kernels_##name,
const ft_kernels *const ft_kernel_paths[] = {
#include "kernel/paths.def"
    NULL};
#undef FT_KERNELS

static const ft_kernels *active;

static const ft_kernels *named(const char *name)
{
    for (size_t i = 0; ft_kernel_paths[i]; i++)
        if (strcmp(ft_kernel_paths[i]->name, name) == 0)
            return ft_kernel_paths[i];
    return NULL;
}

static const ft_kernels *choose(void)
{
    const ft_kernels *best = ft_kernel_paths[0];
    for (size_t i = 1; ft_kernel_paths[i]; i++)
        if (ft_kernel_paths[i]->usable())
            best = ft_kernel_paths[i];
    const char *wish = getenv("FETTLE_CPU");
    if (!wish || !*wish)
        return best;
    const ft_kernels *wished = named(wish);
    if (wished && wished->usable())
        return wished;
    ft_note(FT_WARN, "FETTLE_CPU=%s: %s, %s is used", wish, wished ? "this CPU cannot run that path" : "no such path",
            best->name);
    return best;
}

const ft_kernels *ft_kernels_active(void)
{
    if (!active)
        ft_kernels_use(NULL);
    return active;
}

void ft_kernels_use(const ft_kernels *k)
{
    openblas_set_num_threads(1); /* it must not start threads of its own inside ours */
    active = k ? k : choose();
}

ft_reader ft_kernel_reader(const ft_kernels *k, const ft_dtype *dtype)
{
    for (const ft_reader *r = k->readers; r->dtype; r++)
        if (r->dtype == dtype)
            return *r;
    return (ft_reader){.dtype = dtype, .decode = dtype->decode};
}

ft_dropout ft_dropout_of(uint64_t seed, uint64_t step, uint32_t site, float p)
{
    uint32_t drop = (uint32_t)(p * 65536.0f + 0.5f);
    drop = FT_MIN(drop, 65535u);
    return (ft_dropout){
        .seed = seed, .step = step, .site = site, .drop = drop, .scale = 65536.0f / (float)(65536 - drop)};
}
