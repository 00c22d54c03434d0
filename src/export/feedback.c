/* Rounding with error feedback: the outputs of a matrix are to stay, not each of its weights.
 *
 * For a row w [n] whose inputs x have the moments H = mean x x^T, rounding to q costs (w - q)^T H (w - q). With H = U D U^T, U
 * upper triangular with ones on its diagonal, that is a sum over the columns in which each one can make up for those before
 * it:
 *     aim[k] = w[k] + sum over i < k of (w[i] - q[i]) U[i][k]         q[k] the value nearest to aim[k]
 * The scales of a block are fitted, with the diagonal of H for importance, to the aims as they stand when it begins; from
 * then on its values are rounded one by one under them, so that the file is of the same type, read by everyone.
 *
 * Memory: U in place of H; a thread holds GROUP rows and the values that the codes of a block stand for.
 */
#include "export/internal.h"

#include "base/threads.h"
#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

enum { GROUP = 4, MAX_BLOCK = 256, MAX_LEVELS = 64 };

/* ---- the factor ---- */

typedef struct column {
    const ft_kernels *k;
    float *h; /* [n, n] */
    int64_t n, at;
    float pivot;
} column;

enum { ROWS_AT_ONCE = 32 };

/* Entries of column `at` above its diagonal, over the columns behind it. */
static void factor_rows(void *ctx, int64_t part)
{
    const column *c = ctx;
    int64_t j = c->at, behind = c->n - j - 1;
    const float *row_j = c->h + j * c->n + j + 1;
    for (int64_t i = part * ROWS_AT_ONCE; i < FT_MIN(j, (part + 1) * ROWS_AT_ONCE); i++) {
        float *row = c->h + i * c->n + j;
        *row = (*row - c->k->dot(row + 1, row_j, behind)) / c->pivot;
    }
}

/* The upper triangle becomes M with H = M M^T; false where H is not positive definite enough. */
static bool factor(float *h, int64_t n)
{
    column c = {.k = ft_kernels_active(), .h = h, .n = n};
    for (c.at = n - 1; c.at >= 0; c.at--) {
        float *row = h + c.at * n + c.at;
        float rest = *row - (float)c.k->sum_squares(row + 1, n - c.at - 1);
        if (!(rest > 0))
            return false;
        *row = c.pivot = sqrtf(rest);
        ft_parallel((c.at + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE, factor_rows, &c);
    }
    return true;
}

/* The upper triangle from the lower one, which no step touches. */
static void restore(float *h, const float *diagonal, float more, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        h[i * n + i] = diagonal[i] + more;
        for (int64_t j = 0; j < i; j++)
            h[j * n + i] = h[i * n + j];
    }
}

void ft_feedback_factor(float *h, float *diagonal, int64_t n)
{
    double mean = 0;
    for (int64_t i = 0; i < n; i++)
        mean += (diagonal[i] = h[i * n + i]) / (double)n;
    /* columns that hardly occurred must not be made to carry errors; more is added until the root exists */
    for (double share = 0.01; share < 100 && mean > 0; share *= 10) {
        restore(h, diagonal, (float)(share * mean), n);
        if (!factor(h, n))
            continue;
        for (int64_t k = 0; k < n; k++)
            for (int64_t i = 0; i < k; i++)
                h[i * n + k] /= h[k * n + k];
        return;
    }
    memset(h, 0, (size_t)(n * n) * sizeof *h); /* nothing came in: no value has to make up for another */
}

/* ---- rounding ---- */

size_t ft_feedback_scratch(int64_t n)
{
    return GROUP * ((size_t)n + (size_t)MAX_BLOCK * MAX_LEVELS);
}

/* GROUP rows on their way. */
typedef struct group {
    const ft_feedback *f;
    const ft_kernels *k;
    const float *x;    /* [rows, n] */
    int64_t rows;
    float *carry;      /* [rows, n] what the columns so far leave to the others */
    float *value;      /* [rows, block_len, levels] */
    uint8_t code[GROUP][MAX_BLOCK];
    char *out;         /* [rows] of row_bytes */
    size_t row_bytes;
} group;

/* Scales for the block at column k0, and all values that its codes would stand for. */
static void begin_block(group *g, int64_t r, int64_t k0, char *block)
{
    const ft_dtype *d = g->f->dtype;
    int64_t len = d->block_len;
    float aim[MAX_BLOCK], values[MAX_BLOCK], *table = g->value + r * len * d->levels;
    uint8_t same[MAX_BLOCK];
    for (int64_t j = 0; j < len; j++)
        aim[j] = g->x[r * g->f->n + k0 + j] + g->carry[r * g->f->n + k0 + j];
    d->encode(aim, g->f->importance + k0, len, block);
    for (int c = 0; c < d->levels; c++) {
        memset(same, c, sizeof same);
        d->put_codes(block, same);
        d->decode(block, len, values);
        for (int64_t j = 0; j < len; j++)
            table[j * d->levels + c] = values[j];
    }
}

/* Rounds one value; what it leaves goes to the columns behind it. */
static void round_value(group *g, int64_t r, int64_t k, int64_t j)
{
    const ft_feedback *f = g->f;
    const float *value = g->value + (r * f->dtype->block_len + j) * f->dtype->levels;
    float w = g->x[r * f->n + k], aim = w + g->carry[r * f->n + k];
    int best = 0;
    for (int c = 1; c < f->dtype->levels; c++)
        if (fabsf(value[c] - aim) < fabsf(value[best] - aim))
            best = c;
    g->code[r][j] = (uint8_t)best;
    g->k->axpy(g->carry + r * f->n + k + 1, w - value[best], f->factor + k * f->n + k + 1, f->n - k - 1);
}

static void round_group(group *g)
{
    const ft_dtype *d = g->f->dtype;
    memset(g->carry, 0, (size_t)(g->rows * g->f->n) * sizeof *g->carry);
    for (int64_t k0 = 0; k0 < g->f->n; k0 += d->block_len) {
        size_t at = (size_t)(k0 / d->block_len) * d->block_bytes;
        for (int64_t r = 0; r < g->rows; r++)
            begin_block(g, r, k0, g->out + (size_t)r * g->row_bytes + at);
        for (int64_t j = 0; j < d->block_len; j++) /* a row of the factor serves all rows of the group */
            for (int64_t r = 0; r < g->rows; r++)
                round_value(g, r, k0 + j, j);
        for (int64_t r = 0; r < g->rows; r++)
            d->put_codes(g->out + (size_t)r * g->row_bytes + at, g->code[r]);
    }
}

typedef struct work {
    const ft_feedback *f;
    const float *x;
    int64_t rows;
    char *out;
    float *scratch;
} work;

static void round_part(void *ctx, int64_t part)
{
    const work *w = ctx;
    int64_t n = w->f->n, first = part * GROUP;
    group g = {.f = w->f,
               .k = ft_kernels_active(),
               .x = w->x + first * n,
               .rows = FT_MIN(w->rows - first, (int64_t)GROUP),
               .carry = w->scratch + (size_t)ft_thread_id() * ft_feedback_scratch(n),
               .row_bytes = (size_t)(n / w->f->dtype->block_len) * w->f->dtype->block_bytes};
    g.value = g.carry + GROUP * n;
    g.out = w->out + (size_t)first * g.row_bytes;
    round_group(&g);
}

void ft_feedback_encode(const ft_feedback *f, const float *x, int64_t rows, void *out, float *scratch)
{
    work w = {.f = f, .x = x, .rows = rows, .out = out, .scratch = scratch};
    ft_parallel((rows + GROUP - 1) / GROUP, round_part, &w);
}
