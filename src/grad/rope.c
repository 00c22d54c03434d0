/* rope: turns each head by its token's position, halves layout, written over x.
 *
 * cos and sin of every position seen so far are kept by the tape, one table for each set of frequencies:
 *
 *   [positions, rot]: cos [rot / 2], sin [rot / 2] of position * inv_freq[i], times factor
 *
 * Where rows beyond a length turn by other frequencies there are two tables, and a segment takes one of them.
 */
#include "grad/tape.h"

#include <math.h>
#include <string.h>

enum { MAX_POSITION = 1 << 24, FIRST_POSITIONS = 512 };

typedef struct ft_rope_table {
    float *inv_freq; /* [rot / 2], a copy */
    int64_t rot, positions;
    float factor;
    float *turns; /* [positions, rot] */
} ft_rope_table;

typedef struct saved {
    const ft_segments *seg;
    size_t table, table_beyond;
    int64_t beyond, heads, head_dim;
} saved;

void ft_grad__free_ropes(ft_tape *t)
{
    for (size_t i = 0; i < t->n_ropes; i++) {
        ft_free(t->ropes[i].inv_freq);
        ft_free(t->ropes[i].turns);
    }
    ft_free(t->ropes);
}

size_t ft_grad__rope_bytes(const ft_tape *t)
{
    size_t bytes = 0;
    for (size_t i = 0; i < t->n_ropes; i++)
        bytes += (size_t)(t->ropes[i].positions * t->ropes[i].rot) * sizeof(float);
    return bytes;
}

static bool same(const ft_rope_table *a, const ft_rope *r, const float *inv_freq)
{
    return a->rot == r->rot && a->factor == r->factor &&
           memcmp(a->inv_freq, inv_freq, (size_t)(r->rot / 2) * sizeof *inv_freq) == 0;
}

/* The number of the tape's table of these frequencies, made when it is new; false without memory. */
static bool find_table(ft_tape *t, const ft_rope *r, const float *inv_freq, size_t *number)
{
    for (*number = 0; *number < t->n_ropes; ++*number)
        if (same(&t->ropes[*number], r, inv_freq))
            return true;
    ft_rope_table *more = ft_resize(t->ropes, t->n_ropes + 1, sizeof *more);
    if (!more)
        return false;
    t->ropes = more;
    size_t bytes = (size_t)(r->rot / 2) * sizeof *inv_freq;
    ft_rope_table *a = &more[t->n_ropes];
    *a = (ft_rope_table){.rot = r->rot, .factor = r->factor, .inv_freq = ft_resize(NULL, bytes, 1)};
    if (!a->inv_freq)
        return false;
    memcpy(a->inv_freq, inv_freq, bytes);
    t->n_ropes++;
    return true;
}

static bool fill_table(ft_rope_table *a, int64_t positions)
{
    if (positions <= a->positions)
        return true;
    int64_t room = FT_MAX(positions, FT_MAX(a->positions * 2, (int64_t)FIRST_POSITIONS)), half = a->rot / 2;
    float *turns = ft_resize(a->turns, (size_t)room * (size_t)a->rot, sizeof *turns);
    if (!turns)
        return false;
    a->turns = turns;
    for (int64_t p = a->positions; p < room; p++)
        for (int64_t i = 0; i < half; i++) {
            float angle = (float)p * a->inv_freq[i]; /* rounded to f32, as the models were trained */
            turns[p * a->rot + i] = (float)cos((double)angle) * a->factor;
            turns[p * a->rot + half + i] = (float)sin((double)angle) * a->factor;
        }
    a->positions = room;
    return true;
}

typedef struct job {
    const ft_kernels *k;
    const ft_segments *seg;
    const ft_rope_table *table, *table_beyond; /* of segments of more than `beyond` tokens */
    const float *x;
    float *y;
    int64_t beyond, T, heads, head_dim;
    bool back, add;
} job;

/* Tokens of a segment's row, those before and behind this step among them. */
static int64_t tokens_of(const ft_segments *seg, int64_t s)
{
    int64_t n = seg->start[s + 1] - seg->start[s] + (seg->past ? seg->past[s] : 0);
    return seg->total ? FT_MAX(n, seg->total[s]) : n;
}

static void tile(void *ctx, int64_t i)
{
    const job *j = ctx;
    int64_t s = 0, half = j->table->rot / 2, width = j->heads * j->head_dim;
    int64_t first = i * FT_ROW_TILE, end = FT_MIN(j->T, first + FT_ROW_TILE);
    for (int64_t row = first; row < end; row++) {
        int64_t token = ft_grad__token(j->seg, row);
        while (token >= j->seg->start[s + 1])
            s++;
        int64_t position = token - j->seg->start[s] + (j->seg->past ? j->seg->past[s] : 0);
        const ft_rope_table *table = tokens_of(j->seg, s) > j->beyond ? j->table_beyond : j->table;
        const float *turn = table->turns + position * j->table->rot;
        j->k->rope(j->y + row * width, j->x + row * width, turn, turn + half, j->table->rot, j->heads, j->head_dim,
                   j->back, j->add);
    }
}

static void backward(ft_tape *t, const ft_node *n)
{
    const saved *s = n->saved;
    job j = {.k = ft_kernels_active(),
             .seg = s->seg,
             .table = &t->ropes[s->table],
             .table_beyond = &t->ropes[s->table_beyond],
             .beyond = s->beyond,
             .x = n->out->g,
             .T = n->out->rows,
             .heads = s->heads,
             .head_dim = s->head_dim,
             .back = true};
    ft_var *x = n->in[0];
    if (x->g) {
        j.add = true;
        j.y = x->g;
    } else {
        j.y = n->out->g; /* turned back in place and handed over */
    }
    ft_grad__run(t, ft_grad__row_tiles(j.T), tile, &j);
    if (!j.add)
        ft_grad__pass_on(t, x, n->out);
}

static bool shapes_fit(ft_tape *t, const ft_var *x, int64_t heads, int64_t head_dim, const ft_rope *rope)
{
    char shape[96];
    if (heads < 1 || head_dim < 1 || x->cols != heads * head_dim)
        ft_grad__fail(t, &ft_grad__rope, FT_EINPUT, "x is %s, not %lld heads of %lld", ft_grad__shape(x, shape),
                      (long long)heads, (long long)head_dim);
    else if (rope->rot < 2 || rope->rot % 2 || rope->rot > head_dim)
        ft_grad__fail(t, &ft_grad__rope, FT_EINPUT, "%lld dims of a head of %lld cannot turn", (long long)rope->rot,
                      (long long)head_dim);
    return t->status == FT_OK;
}

/* The tables that the segments need, filled as far as the longest of them reaches. */
static bool find_tables(ft_tape *t, const ft_rope *rope, const ft_segments *seg, saved *out)
{
    int64_t within = 1, past = 0; /* positions of either table */
    out->beyond = rope->inv_freq_beyond ? rope->beyond : MAX_POSITION;
    for (int64_t s = 0; s < seg->n; s++) {
        int64_t n = tokens_of(seg, s), *most = n > out->beyond ? &past : &within;
        *most = FT_MAX(*most, n);
    }
    if (FT_MAX(within, past) > MAX_POSITION) {
        ft_grad__fail(t, &ft_grad__rope, FT_EINPUT, "%lld positions, at most %d are served",
                      (long long)FT_MAX(within, past), MAX_POSITION);
        return false;
    }
    bool found = find_table(t, rope, rope->inv_freq, &out->table) && fill_table(&t->ropes[out->table], within);
    out->table_beyond = out->table;
    if (found && past)
        found = find_table(t, rope, rope->inv_freq_beyond, &out->table_beyond) &&
                fill_table(&t->ropes[out->table_beyond], past);
    if (!found)
        t->status = FT_ENOMEM;
    return found;
}

ft_var *ft_op_rope(ft_tape *t, ft_var *x, int64_t heads, int64_t head_dim, const ft_rope *rope, const ft_segments *seg)
{
    const ft_op *op = &ft_grad__rope;
    if (!ft_grad__ready(t, op, &x, 1) || !shapes_fit(t, x, heads, head_dim, rope) ||
        !ft_grad__check_read(t, op, seg, x->rows))
        return NULL;
    const float *old;
    saved *s = ft_grad__alloc(t, 1, sizeof *s);
    ft_var *y = s && find_tables(t, rope, seg, s) ? ft_grad__take_over(t, x, &old) : NULL;
    if (!y)
        return NULL;
    job j = {.k = ft_kernels_active(),
             .seg = seg,
             .table = &t->ropes[s->table],
             .table_beyond = &t->ropes[s->table_beyond],
             .beyond = s->beyond,
             .x = old,
             .y = y->v,
             .T = y->rows,
             .heads = heads,
             .head_dim = head_dim};
    ft_grad__run(t, ft_grad__row_tiles(j.T), tile, &j);
    s->heads = heads;
    s->head_dim = head_dim;
    s->seg = ft_grad__keep_segments(t, seg);
    return ft_grad__record(t, (ft_node){.op = op, .out = y, .in = {x}, .saved = s}) ? y : NULL;
}

const ft_op ft_grad__rope = {
    .name = "rope",
    .saves = "segments",
    .flops = "none",
    .backward = backward,
    .cases = (const ft_op_case[]){{.T = 1, .heads = 1, .head_dim = 2, .rank = 2, .segments = 1},
                                  {.T = 40, .heads = 3, .head_dim = 22, .rank = 22, .segments = 3},
                                  {.T = 7, .heads = 2, .head_dim = 64, .rank = 40, .segments = 2},
                                  {.T = 40, .heads = 2, .head_dim = 8, .rank = 6, .segments = 3, .window = 12},
                                  {.T = 90, .heads = 2, .head_dim = 8, .rank = 6, .segments = 4, .unread = 10, .window = 12},
                                  {0}}};
