/* Whole arrays spread over threads. The borders depend on n alone: at most PARTS pieces, each a multiple of 1024. */
#include "kernel/kernel.h"
#include "base/threads.h"

#include <math.h>
#include <string.h>

enum { PARTS = 64, GRAIN = 1024 };

typedef struct whole {
    const ft_kernels *k;
    int64_t n, piece;
    float *y, *m, *v;
    const float *x, *x2;
    float a;
    const ft_adamw *adamw;
    double part[PARTS];
} whole;

static void spread(whole *w, int64_t n, void (*fn)(void *ctx, int64_t part))
{
    w->k = ft_kernels_active();
    w->n = n;
    w->piece = (n / PARTS / GRAIN + 1) * GRAIN;
    ft_parallel((n + w->piece - 1) / w->piece, fn, w);
}

static int64_t piece_of(const whole *w, int64_t part, int64_t *at)
{
    *at = part * w->piece;
    return FT_MIN(w->piece, w->n - *at);
}

static void zero_part(void *ctx, int64_t part)
{
    whole *w = ctx;
    int64_t at, n = piece_of(w, part, &at);
    memset(w->y + at, 0, (size_t)n * sizeof *w->y);
}

void ft_zero_all(float *x, int64_t n)
{
    spread(&(whole){.y = x}, n, zero_part);
}

static void copy_part(void *ctx, int64_t part)
{
    whole *w = ctx;
    int64_t at, n = piece_of(w, part, &at);
    memcpy(w->y + at, w->x + at, (size_t)n * sizeof *w->y);
}

void ft_copy_all(float *y, const float *x, int64_t n)
{
    spread(&(whole){.y = y, .x = x}, n, copy_part);
}

static void scale_part(void *ctx, int64_t part)
{
    whole *w = ctx;
    int64_t at, n = piece_of(w, part, &at);
    w->k->scale(w->y + at, w->a, n);
}

void ft_scale_all(float *x, float a, int64_t n)
{
    spread(&(whole){.y = x, .a = a}, n, scale_part);
}

static void axpy_part(void *ctx, int64_t part)
{
    whole *w = ctx;
    int64_t at, n = piece_of(w, part, &at);
    w->k->axpy(w->y + at, w->a, w->x + at, n);
}

void ft_axpy_all(float *y, float a, const float *x, int64_t n)
{
    spread(&(whole){.y = y, .a = a, .x = x}, n, axpy_part);
}

static void add_part(void *ctx, int64_t part)
{
    whole *w = ctx;
    int64_t at, n = piece_of(w, part, &at);
    w->k->add(w->y + at, w->x + at, w->x2 + at, n);
}

void ft_add_all(float *y, const float *a, const float *b, int64_t n)
{
    spread(&(whole){.y = y, .x = a, .x2 = b}, n, add_part);
}

static void sum_squares_part(void *ctx, int64_t part)
{
    whole *w = ctx;
    int64_t at, n = piece_of(w, part, &at);
    w->part[part] = w->k->sum_squares(w->x + at, n);
}

double ft_sum_squares_all(const float *x, int64_t n)
{
    whole w = {.x = x};
    double sum = 0;
    spread(&w, n, sum_squares_part);
    for (int64_t i = 0; i < PARTS; i++)
        sum += w.part[i];
    return sum;
}

static void adamw_part(void *ctx, int64_t part)
{
    whole *w = ctx;
    int64_t at, n = piece_of(w, part, &at);
    w->k->adamw(w->y + at, w->x + at, w->m + at, w->v + at, n, w->adamw);
}

void ft_adamw_all(float *w, const float *g, float *m, float *v, int64_t n, ft_adamw o, int64_t step)
{
    o.c1 = (float)(1 - pow(o.beta1, (double)step));
    o.c2 = (float)(1 - pow(o.beta2, (double)step));
    spread(&(whole){.y = w, .x = g, .m = m, .v = v, .adamw = &o}, n, adamw_part);
}
