/* Ragged micro-batches: no padding; segments keep the rows apart. */
#include "train/batch.h"
#include "base/rng.h"
#include "model/model.h"

#include <string.h>

ft_status ft_order_init(ft_order *o, int64_t n_rows, int64_t rows_per_step, uint64_t seed)
{
    *o = (ft_order){.n = n_rows, .epoch = -1, .rows_per_step = rows_per_step, .seed = seed,
                    .steps_per_epoch = (n_rows + rows_per_step - 1) / rows_per_step};
    o->row = ft_alloc((size_t)n_rows, sizeof *o->row);
    return o->row ? FT_OK : FT_ENOMEM;
}

void ft_order_free(ft_order *o)
{
    ft_free(o->row);
    *o = (ft_order){0};
}

void ft_order_step(ft_order *o, int64_t step, const int64_t **rows, int64_t *n)
{
    int64_t epoch = step / o->steps_per_epoch, at = step % o->steps_per_epoch * o->rows_per_step;
    if (epoch != o->epoch) {
        ft_permutation(o->row, (size_t)o->n, o->seed, FT_STREAM_SHUFFLE, (uint64_t)epoch);
        o->epoch = epoch;
    }
    *rows = o->row + at;
    *n = FT_MIN(o->rows_per_step, o->n - at);
}

ft_status ft_batch_init(ft_batch *b, const ft_rows *rows, int64_t max_rows)
{
    int64_t longest = 1, texts = 1;
    for (size_t i = 0; i < rows->n; i++) {
        longest = FT_MAX(longest, (int64_t)rows->p[i].n);
        texts = FT_MAX(texts, (int64_t)rows->p[i].texts);
    }
    size_t segments = (size_t)(texts * max_rows);
    *b = (ft_batch){.cap = longest * max_rows};
    b->ids = ft_alloc((size_t)b->cap, sizeof *b->ids);
    b->targets = ft_alloc((size_t)b->cap, sizeof *b->targets);
    b->read = ft_alloc((size_t)b->cap, sizeof *b->read);
    b->start = ft_alloc(segments + 1, sizeof *b->start);
    b->first = ft_alloc((size_t)max_rows + 1, sizeof *b->first);
    b->number = ft_alloc(segments, sizeof *b->number);
    b->score = ft_alloc((size_t)max_rows, sizeof *b->score);
    if (b->ids && b->targets && b->read && b->start && b->first && b->number && b->score)
        return FT_OK;
    ft_batch_free(b);
    return FT_ENOMEM;
}

void ft_batch_free(ft_batch *b)
{
    ft_free(b->ids);
    ft_free(b->targets);
    ft_free(b->read);
    ft_free(b->start);
    ft_free(b->first);
    ft_free(b->number);
    ft_free(b->score);
    *b = (ft_batch){0};
}

static void add_texts(ft_batch *b, const ft_row *row)
{
    memcpy(b->ids + b->T, row->ids, (size_t)row->n * sizeof *row->ids);
    for (int32_t k = 0; k < row->texts; k++) {
        b->number[b->segments] = row->number[k];
        b->start[++b->segments] = b->T + row->ends[k];
    }
    b->score[b->rows] = row->score;
    b->first[b->rows + 1] = b->segments;
    b->supervised++;
    b->T += row->n;
}

static void add_tokens(ft_batch *b, const ft_row *row)
{
    int64_t tokens;
    b->supervised += ft_row_targets(row, b->ids + b->T, b->targets + b->T, &tokens);
    b->T += tokens;
    b->start[++b->segments] = b->T;
}

void ft_batch_fill(ft_batch *b, const ft_rows *rows, const int64_t *which, int64_t n)
{
    b->T = b->supervised = b->segments = 0;
    for (b->rows = 0; b->rows < n; b->rows++)
        (rows->vectors ? add_texts : add_tokens)(b, &rows->p[which[b->rows]]);
    b->seg = (ft_segments){.n = b->segments, .start = b->start};
    if (!rows->vectors)
        ft_model_read_targets(&b->seg, b->read, b->targets);
}

void ft_batch_read(ft_batch *b, int64_t n)
{
    b->seg.read = b->read;
    b->seg.n_read = FT_MIN(n, b->T);
    for (int64_t i = 0; i < b->seg.n_read; i++)
        b->read[i] = i;
}

int64_t ft_batch_supervised(const ft_rows *rows, const int64_t *which, int64_t n)
{
    int64_t count = 0;
    for (int64_t r = 0; r < n; r++)
        count += ft_row_supervised(&rows->p[which[r]]);
    return count;
}
