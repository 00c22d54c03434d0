/* The losses over cosines, all in f64. With s the cosine of a row's anchor and a text, z = scale s:
 *
 *   infonce   -log( exp(z of its positive) / sum of exp(z) over all candidates )
 *   triplet   mean over its negatives of max(0, margin + s(negative) - s(positive))
 *   cosent    log(1 + sum over pairs of rows with score_i > score_k of exp(z_k - z_i)), a batch as a whole, times its rows
 *   cosine    (s - score)^2
 *
 * Candidates of infonce are the positives and negatives of all rows of the batch, but for texts that are right too: the
 * positive itself, met again; the anchor itself; what another row has as the positive of the same anchor.
 */
#include "grad/tape.h"

#include <math.h>
#include <string.h>

#define FT_VECTOR_LOSS(name) &ft_vector_loss_##name,
const ft_vector_loss *const ft_vector_losses[] = {
#include "grad/vector_losses.def"
    NULL};
#undef FT_VECTOR_LOSS

const ft_vector_loss *ft_vector_loss_named(const char *name)
{
    for (size_t i = 0; ft_vector_losses[i]; i++)
        if (strcmp(ft_vector_losses[i]->name, name) == 0)
            return ft_vector_losses[i];
    return NULL;
}

/* ---- infonce ---- */

static int64_t anchor_of(const ft_vector_rows *rows, int64_t r)
{
    return rows->text[rows->first[r]];
}

static int64_t positive_of(const ft_vector_rows *rows, int64_t r)
{
    return rows->text[rows->first[r] + 1];
}

/* Whether the k-th text behind the anchor of row o is no candidate for row r. */
static bool is_right_too(const ft_vector_rows *rows, int64_t r, int64_t o, int64_t k)
{
    int64_t text = rows->text[rows->first[o] + k];
    if (o == r && k == 1)
        return false;
    return text == positive_of(rows, r) || text == anchor_of(rows, r) || (k == 1 && anchor_of(rows, o) == anchor_of(rows, r));
}

/* Row r: its log-sum-exp over candidates, and the cosine of the nearest one that is not its positive. */
static double log_sum(const ft_similarities *s, int64_t r, double *nearest)
{
    const ft_vector_rows *rows = s->rows;
    const double *at = s->s + r * s->docs;
    double sum = 0; /* of exp(z - scale): cosines are at most 1 */
    *nearest = -INFINITY;
    for (int64_t o = 0, j = 0; o < rows->n; o++)
        for (int64_t k = 1; k < rows->first[o + 1] - rows->first[o]; k++, j++) {
            if (is_right_too(rows, r, o, k))
                continue;
            sum += exp(s->scale * (at[j] - 1));
            if (j != ft_vector_doc(rows, r))
                *nearest = fmax(*nearest, at[j]);
        }
    return log(sum) + s->scale;
}

static double infonce(const ft_similarities *s, double *ds, int64_t *correct)
{
    const ft_vector_rows *rows = s->rows;
    double total = 0, nearest;
    for (int64_t r = 0; r < rows->n; r++) {
        const double *at = s->s + r * s->docs;
        int64_t own = ft_vector_doc(rows, r);
        double all = log_sum(s, r, &nearest);
        total += all - s->scale * at[own];
        *correct += at[own] > nearest;
        for (int64_t o = 0, j = 0; o < rows->n; o++)
            for (int64_t k = 1; k < rows->first[o + 1] - rows->first[o]; k++, j++)
                if (!is_right_too(rows, r, o, k))
                    ds[r * s->docs + j] = s->scale * (exp(s->scale * at[j] - all) - (j == own));
    }
    return total;
}

/* ---- triplet ---- */

static double triplet(const ft_similarities *s, double *ds, int64_t *correct)
{
    const ft_vector_rows *rows = s->rows;
    double total = 0;
    for (int64_t r = 0; r < rows->n; r++) {
        int64_t own = ft_vector_doc(rows, r), n = rows->first[r + 1] - rows->first[r] - 2;
        const double *at = s->s + r * s->docs;
        bool nearest = true;
        for (int64_t j = own + 1; j <= own + n; j++) {
            double off = s->margin + at[j] - at[own];
            nearest &= at[own] > at[j];
            if (off <= 0)
                continue;
            total += off / (double)n;
            ds[r * s->docs + j] += 1 / (double)n;
            ds[r * s->docs + own] -= 1 / (double)n;
        }
        *correct += nearest;
    }
    return total;
}

/* ---- pairs with a score: row r's cosine is s[r, r] ---- */

static double cosine_of(const ft_similarities *s, int64_t r)
{
    return s->s[r * s->docs + r];
}

/* Sum over the pairs in the wrong order, exp'd from `top` on. */
static double cosent(const ft_similarities *s, double *ds, int64_t *correct)
{
    const ft_vector_rows *rows = s->rows;
    double top = 0, sum, weight = (double)rows->n;
    for (int64_t i = 0; i < rows->n; i++)
        for (int64_t k = 0; k < rows->n; k++)
            if (rows->score[i] > rows->score[k])
                top = fmax(top, s->scale * (cosine_of(s, k) - cosine_of(s, i)));
    sum = exp(-top);
    for (int64_t i = 0; i < rows->n; i++)
        for (int64_t k = 0; k < rows->n; k++)
            if (rows->score[i] > rows->score[k])
                sum += exp(s->scale * (cosine_of(s, k) - cosine_of(s, i)) - top);
    for (int64_t i = 0; i < rows->n; i++)
        for (int64_t k = 0; k < rows->n; k++)
            if (rows->score[i] > rows->score[k]) {
                double share = weight * s->scale * exp(s->scale * (cosine_of(s, k) - cosine_of(s, i)) - top) / sum;
                ds[k * s->docs + k] += share;
                ds[i * s->docs + i] -= share;
            }
    return weight * (log(sum) + top);
}

static double cosine(const ft_similarities *s, double *ds, int64_t *correct)
{
    double total = 0;
    for (int64_t r = 0; r < s->rows->n; r++) {
        double off = cosine_of(s, r) - (double)s->rows->score[r];
        total += off * off;
        ds[r * s->docs + r] = 2 * off;
    }
    return total;
}

const ft_vector_loss ft_vector_loss_infonce = {
    .name = "infonce",
    .texts = 2,
    .in_batch = true,
    .scale = 20,
    .of = infonce,
    .help = "the positive against all other texts of the micro-batch, and the row's own negatives",
};
const ft_vector_loss ft_vector_loss_triplet = {
    .name = "triplet",
    .texts = 3,
    .margin = 0.2,
    .of = triplet,
    .help = "the positive nearer than each negative of its row, by a margin of cosine",
};
const ft_vector_loss ft_vector_loss_cosent = {
    .name = "cosent",
    .texts = 2,
    .scored = true,
    .in_batch = true,
    .scale = 20,
    .of = cosent,
    .help = "the order of cosines as that of the scores, over all pairs of rows of the micro-batch",
};
const ft_vector_loss ft_vector_loss_cosine = {
    .name = "cosine",
    .texts = 2,
    .scored = true,
    .of = cosine,
    .help = "the square of cosine less score, which is from -1 to 1",
};
