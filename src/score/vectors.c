/* The pass over rows for vectors: every different text is embedded once, then
 *
 *   pairs          each row's positive is ranked among all texts that are no anchors, by the cosine with its anchor; of equals
 *                  it comes last, so that vectors that are all alike find nothing
 *   scored pairs   the cosine of its two texts
 *   loss           the objective over batches of rows, as training has it
 *
 * What does not compete with a row's positive: the anchor's own text, and other positives of the same anchor.
 * Memory: the vectors [different, C].
 */
#include "base/threads.h"
#include "score/passes.h"

#include <math.h>
#include <string.h>

typedef struct pass {
    const ft_rows *rows;
    size_t n, texts; /* of the rows that count; different ones in them */
    const ft_score_options *o;
    int64_t C;
    float *vectors; /* [different, C], of length 1 */
    bool *is_doc;   /* [different] */
    int64_t *next;  /* [n] the next row with the same anchor, n: none */
    ft_score__compared *out;
} pass;

static int64_t anchor_of(const pass *p, size_t r)
{
    return p->rows->p[r].number[0];
}

static int64_t positive_of(const pass *p, size_t r)
{
    return p->rows->p[r].number[1];
}

static double cosine(const pass *p, int64_t a, int64_t b)
{
    return (double)ft_kernels_active()->dot(p->vectors + a * p->C, p->vectors + b * p->C, p->C);
}

/* ---- vectors ---- */

/* The texts of the first n rows by their numbers; those that stand in later rows alone are left empty. */
static void collect_texts(const ft_rows *rows, size_t n, ft_text *texts)
{
    for (size_t r = 0; r < n; r++) {
        const ft_row *row = &rows->p[r];
        for (int32_t k = 0; k < row->texts; k++) {
            int32_t from = k ? row->ends[k - 1] : 0;
            texts[row->number[k]] = (ft_text){row->ids + from, row->ends[k] - from};
        }
    }
}

/* Numbers are given in the order of rows: the first n rows have the first ones. */
static size_t different_texts(const ft_rows *rows, size_t n)
{
    int64_t most = -1;
    for (size_t r = 0; r < n; r++)
        for (int32_t k = 0; k < rows->p[r].texts; k++)
            most = FT_MAX(most, rows->p[r].number[k]);
    return (size_t)(most + 1);
}

static ft_status embed_texts(pass *p, ft_model *m)
{
    ft_text *list = ft_alloc(p->texts, sizeof *list);
    p->vectors = ft_alloc(p->texts * (size_t)p->C, sizeof *p->vectors);
    ft_status st = list && p->vectors ? FT_OK : FT_ENOMEM;
    if (st == FT_OK) {
        collect_texts(p->rows, p->n, list);
        st = ft_embed(p->vectors, m, list, p->texts, p->o);
    }
    if (st == FT_OK)
        ft_vectors_fit(p->vectors, (int64_t)p->texts, p->C, p->o->vector_dims, true);
    ft_free(list);
    return st;
}

/* ---- ranks ---- */

/* Positives of rows with row r's anchor that are not its own and not its anchor; each once. */
static int64_t others_ahead(const pass *p, size_t r, size_t first, double own)
{
    int64_t ahead = 0;
    for (size_t o = first; o < p->n; o = (size_t)p->next[o]) {
        bool counts = positive_of(p, o) != positive_of(p, r) && positive_of(p, o) != anchor_of(p, r);
        for (size_t e = first; e != o && counts; e = (size_t)p->next[e])
            counts = positive_of(p, e) != positive_of(p, o);
        ahead += counts && cosine(p, anchor_of(p, r), positive_of(p, o)) >= own;
    }
    return ahead;
}

static void rank_row(void *ctx, int64_t i)
{
    const pass *p = ctx;
    size_t r = (size_t)i;
    int64_t a = anchor_of(p, r), own = positive_of(p, r), ahead = 0, best = own;
    double of_own = cosine(p, a, own), top = -INFINITY;
    for (int64_t d = 0; d < (int64_t)p->texts; d++) {
        if (!p->is_doc[d] || d == a)
            continue;
        double c = d == own ? of_own : cosine(p, a, d);
        ahead += d != own && c >= of_own;
        best = c > top ? d : best;
        top = fmax(top, c);
    }
    p->out->rank[r] = 1 + ahead;
    if (p->o->argmax)
        p->o->argmax[r] = (int32_t)best;
}

/* Rows with the same anchor: *first[r] is the earliest, next leads on. */
static ft_status chain_anchors(pass *p, int64_t *first)
{
    int64_t *last = ft_alloc(p->texts, sizeof *last);
    if (!last)
        return FT_ENOMEM;
    for (size_t i = 0; i < p->texts; i++)
        last[i] = -1;
    for (size_t r = 0; r < p->n; r++) {
        int64_t a = anchor_of(p, r), before = last[a];
        first[r] = before < 0 ? (int64_t)r : first[before];
        p->next[r] = (int64_t)p->n;
        if (before >= 0)
            p->next[before] = (int64_t)r;
        last[a] = (int64_t)r;
    }
    ft_free(last);
    return FT_OK;
}

static ft_status rank_rows(pass *p)
{
    int64_t *first = ft_alloc(p->n, sizeof *first);
    ft_status st = FT_ENOMEM;
    p->is_doc = ft_alloc(p->texts, sizeof *p->is_doc);
    p->next = ft_alloc(p->n, sizeof *p->next);
    p->out->rank = ft_alloc(p->n, sizeof *p->out->rank);
    if (!first || !p->is_doc || !p->next || !p->out->rank)
        goto done;
    for (size_t r = 0; r < p->n; r++)
        for (int32_t k = 1; k < p->rows->p[r].texts; k++)
            p->is_doc[p->rows->p[r].number[k]] = true;
    FT_TRY(chain_anchors(p, first));
    ft_parallel((int64_t)p->n, rank_row, p);
    for (size_t r = 0; r < p->n; r++)
        p->out->rank[r] -= others_ahead(p, r, (size_t)first[r], cosine(p, anchor_of(p, r), positive_of(p, r)));
    p->out->scored.rank = p->out->rank;
done:
    ft_free(first);
    return st;
}

static ft_status compare_rows(pass *p)
{
    ft_score__compared *out = p->out;
    out->cosine = ft_alloc(p->n, sizeof *out->cosine);
    out->score = ft_alloc(p->n, sizeof *out->score);
    if (!out->cosine || !out->score)
        return FT_ENOMEM;
    for (size_t r = 0; r < p->n; r++) {
        out->cosine[r] = cosine(p, anchor_of(p, r), positive_of(p, r));
        out->score[r] = (double)p->rows->p[r].score;
    }
    out->scored.cosine = out->cosine;
    out->scored.score = out->score;
    return FT_OK;
}

/* ---- loss ---- */

typedef struct batch {
    float *y, *score;      /* [texts, C], [rows] */
    int64_t *first, *text; /* [rows + 1], [texts] */
} batch;

static ft_status make_batch(batch *b, const pass *p, int64_t rows)
{
    int64_t most = 0;
    for (size_t r = 0; r < p->n; r++)
        most = FT_MAX(most, (int64_t)p->rows->p[r].texts);
    size_t texts = (size_t)(most * rows);
    b->y = ft_alloc(texts * (size_t)p->C, sizeof *b->y);
    b->score = ft_alloc((size_t)rows, sizeof *b->score);
    b->first = ft_alloc((size_t)rows + 1, sizeof *b->first);
    b->text = ft_alloc(texts, sizeof *b->text);
    return b->y && b->score && b->first && b->text ? FT_OK : FT_ENOMEM;
}

static ft_status loss_of_batch(const pass *p, batch *b, ft_tape *t, size_t from, size_t n)
{
    int64_t S = 0;
    for (size_t r = 0; r < n; r++) {
        const ft_row *row = &p->rows->p[from + r];
        for (int32_t k = 0; k < row->texts; k++, S++) {
            b->text[S] = row->number[k];
            memcpy(b->y + S * p->C, p->vectors + row->number[k] * p->C, (size_t)p->C * sizeof *b->y);
        }
        b->first[r + 1] = S;
        b->score[r] = row->score;
    }
    ft_vector_rows rows = {.n = (int64_t)n, .first = b->first, .text = b->text, .score = p->rows->scored ? b->score : NULL};
    ft_tape_begin(t, false, 0, 0);
    return ft_op_vector_loss(t, ft_leaf(t, b->y, S, p->C, false), &rows, p->o->objective, 1, &p->out->loss);
}

static ft_status measure_loss(pass *p)
{
    size_t size = (size_t)FT_MAX(p->o->objective_rows, (int64_t)1);
    batch b = {0};
    ft_tape *t = NULL;
    ft_status st = FT_OK;
    FT_TRY(make_batch(&b, p, (int64_t)size));
    FT_TRY(ft_tape_new(&t));
    for (size_t i = 0; i < p->n; i += size)
        FT_TRY(loss_of_batch(p, &b, t, i, FT_MIN(size, p->n - i)));
done:
    ft_tape_free(t);
    ft_free(b.y);
    ft_free(b.score);
    ft_free(b.first);
    ft_free(b.text);
    return st;
}

/* ---- the pass ---- */

ft_status ft_score__vectors(ft_score__compared *out, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o)
{
    pass p = {.rows = rows, .n = n, .o = o, .C = ft_model_config(m)->hidden_size, .out = out};
    ft_status st = FT_OK;
    *out = (ft_score__compared){.scored.n = (int64_t)n};
    p.texts = different_texts(rows, n);
    FT_TRY(embed_texts(&p, m));
    FT_TRY(rows->scored ? compare_rows(&p) : rank_rows(&p));
    if (o->objective)
        st = measure_loss(&p);
done:
    ft_free(p.vectors);
    ft_free(p.is_doc);
    ft_free(p.next);
    return st;
}

void ft_score__compared_free(ft_score__compared *v)
{
    ft_free(v->rank);
    ft_free(v->cosine);
    ft_free(v->score);
}

ft_status ft_score__measure_vectors(size_t *bytes, ft_model *m, const ft_rows *rows, size_t n, const ft_score_options *o)
{
    size_t texts = different_texts(rows, n);
    ft_text *list = ft_alloc(texts, sizeof *list);
    if (!list)
        return FT_ENOMEM;
    collect_texts(rows, n, list);
    ft_status st = ft_score__measure_embed(bytes, m, list, texts, o);
    *bytes += texts * (size_t)ft_model_config(m)->hidden_size * sizeof(float);
    ft_free(list);
    return st;
}
