/* The ops in plain f64, written from their formulas, not from the code under test. */
#include "proof.h"

int64_t proof_read(const problem *p)
{
    return p->seg.read ? p->seg.n_read : p->c->T;
}

static double *row_of(double *x, int64_t r, int64_t cols)
{
    return x + r * cols;
}

/* ---- embedding ---- */

static void embedding_shape(problem *p)
{
    p->n = 1;
    p->in[0] = (input){p->c->vocab, p->c->in, true, p->c->dtype};
    p->out = p->c->T * p->c->in;
}

static ft_var *embedding_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    return ft_op_embedding(t, &w[0], p->ids, p->c->T, 1.5f);
}

static void embedding_reference(const problem *p, double *const *in, double *out)
{
    for (int64_t i = 0; i < p->c->T; i++)
        for (int64_t c = 0; c < p->c->in; c++)
            out[i * p->c->in + c] = 1.5 * in[0][p->ids[i] * p->c->in + c];
}

const proof proof_embedding = {&ft_grad__embedding, embedding_shape, embedding_run, embedding_reference};

/* ---- linear and logits ---- */

static void matmul(const double *x, const double *w, const double *bias, int64_t T, int64_t in, int64_t out, double *y)
{
    for (int64_t t = 0; t < T; t++)
        for (int64_t o = 0; o < out; o++) {
            double sum = bias ? bias[o] : 0;
            for (int64_t i = 0; i < in; i++)
                sum += x[t * in + i] * w[o * in + i];
            y[t * out + o] = sum;
        }
}

static void linear_shape(problem *p)
{
    const ft_op_case *c = p->c;
    p->n = c->bias ? 3 : 2;
    p->in[0] = (input){c->T, c->in, false, NULL};
    p->in[1] = (input){c->out, c->in, true, c->dtype};
    p->in[2] = (input){1, c->out, true, NULL};
    p->out = c->T * c->out;
}

static ft_var *linear_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    return ft_op_linear(t, x[0], &w[1], p->c->bias ? &w[2] : NULL);
}

static void linear_reference(const problem *p, double *const *in, double *out)
{
    matmul(in[0], in[1], p->c->bias ? in[2] : NULL, p->c->T, p->c->in, p->c->out, out);
}

const proof proof_linear = {&ft_grad__linear, linear_shape, linear_run, linear_reference};

static void logits_shape(problem *p)
{
    p->n = 2;
    p->in[0] = (input){p->c->T, p->c->in, false, NULL};
    p->in[1] = (input){p->c->vocab, p->c->in, true, NULL};
    p->out = p->c->T * p->c->vocab;
}

static ft_var *logits_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    return ft_op_logits(t, x[0], &w[1], p->c->softcap);
}

static void cap_all(double *x, int64_t n, double cap)
{
    for (int64_t i = 0; cap > 0 && i < n; i++)
        x[i] = cap * tanh(x[i] / cap);
}

static void logits_reference(const problem *p, double *const *in, double *out)
{
    matmul(in[0], in[1], NULL, p->c->T, p->c->in, p->c->vocab, out);
    cap_all(out, p->out, p->c->softcap);
}

const proof proof_logits = {&ft_grad__logits, logits_shape, logits_run, logits_reference};

/* ---- lora ---- */

enum { LORA_SITE = 5 };
static const double lora_scale = 0.75;

static void lora_shape(problem *p)
{
    const ft_op_case *c = p->c;
    p->n = 6;
    p->in[0] = (input){proof_read(p), c->in, false, NULL};
    p->in[1] = (input){c->out, c->in, true, c->dtype};
    p->in[2] = (input){c->rank, c->in, true, NULL};
    p->in[3] = (input){c->out, c->rank, true, NULL};
    p->in[4] = (input){c->bias ? 2 : c->rank, c->in, true, &ft_f32}; /* frozen, and with a bias of another rank */
    p->in[5] = (input){c->out, p->in[4].rows, true, &ft_f32};
    if (c->bias)
        p->in[p->n++] = (input){1, c->out, true, NULL};
    p->out = proof_read(p) * c->out;
}

static ft_var *lora_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    ft_dropout d = ft_dropout_of(t->seed, t->step, LORA_SITE, p->c->dropout);
    for (int64_t i = 0; i < p->c->T * p->c->in; i++) {
        float one = 1, kept;
        ft_kernel_paths[0]->dropout(&kept, &one, &d, (uint64_t)i, 1, false);
        p->mask[i] = kept;
    }
    ft_lora l = {.a = &w[2], .b = &w[3], .scale = (float)lora_scale, .dropout = p->c->dropout, .site = LORA_SITE,
                 .token = p->seg.read};
    if (p->c->T % 2) { /* every other case has a start */
        l.start_a = &w[4];
        l.start_b = &w[5];
    }
    return ft_op_lora(t, x[0], &w[1], p->c->bias ? &w[6] : NULL, &l);
}

/* out [T, O] += scale (x mask A^T) B^T, masks [c->T, in] or NULL */
static void add_update(const problem *p, double *out, const double *x, const double *masks, const double *a,
                       const double *b, int64_t R, double scale)
{
    int64_t T = proof_read(p), n = p->c->in, O = p->c->out;
    double h[16];
    for (int64_t t = 0; t < T; t++) {
        const double *mask = masks ? masks + (p->seg.read ? p->seg.read[t] : t) * n : NULL;
        for (int64_t r = 0; r < R; r++) {
            h[r] = 0;
            for (int64_t i = 0; i < n; i++)
                h[r] += x[t * n + i] * (mask ? mask[i] : 1) * a[r * n + i];
        }
        for (int64_t o = 0; o < O; o++)
            for (int64_t r = 0; r < R; r++)
                out[t * O + o] += scale * h[r] * b[o * R + r];
    }
}

static void lora_reference(const problem *p, double *const *in, double *out)
{
    const ft_op_case *c = p->c;
    matmul(in[0], in[1], c->bias ? in[6] : NULL, proof_read(p), c->in, c->out, out);
    add_update(p, out, in[0], p->mask, in[2], in[3], c->rank, lora_scale);
    if (c->T % 2)
        add_update(p, out, in[0], NULL, in[4], in[5], p->in[4].rows, -lora_scale);
}

const proof proof_lora = {&ft_grad__lora, lora_shape, lora_run, lora_reference};

/* ---- dora: the norms are 1, 1.5, 2 ... ---- */

static void dora_shape(problem *p)
{
    p->n = p->c->bias ? 3 : 2;
    p->in[0] = (input){p->c->T, p->c->out, false, NULL};
    p->in[1] = p->in[2] = (input){1, p->c->out, true, NULL};
    p->out = p->c->T * p->c->out;
}

static ft_var *dora_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    float *norm = ft_tape_alloc(t, (size_t)p->c->out, sizeof *norm);
    for (int64_t o = 0; o < p->c->out; o++)
        norm[o] = 1 + 0.5f * (float)o;
    return ft_op_dora(t, x[0], &w[1], norm, p->c->bias ? &w[2] : NULL);
}

static void dora_reference(const problem *p, double *const *in, double *out)
{
    for (int64_t i = 0; i < p->out; i++) {
        int64_t o = i % p->c->out;
        out[i] = in[0][i] * in[1][o] / (1 + 0.5 * (double)o) + (p->c->bias ? in[2][o] : 0);
    }
}

const proof proof_dora = {&ft_grad__dora, dora_shape, dora_run, dora_reference};

/* ---- rmsnorm: c->heads groups in a row ---- */

static void rmsnorm_shape(problem *p)
{
    p->n = 2;
    p->in[0] = (input){p->c->T, p->c->in, false, NULL};
    p->in[1] = (input){1, p->c->in / p->c->heads, true, NULL};
    p->out = p->c->T * p->c->in;
}

static ft_var *rmsnorm_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    return ft_op_rmsnorm(t, x[0], &w[1], PROOF_EPS, p->c->plus);
}

static void norm_rows(const double *x, const double *w, int64_t groups, int64_t n, double plus, double *out)
{
    for (int64_t g = 0; g < groups; g++, x += n, out += n) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += x[i] * x[i];
        for (int64_t i = 0; i < n; i++)
            out[i] = x[i] / sqrt(sum / (double)n + PROOF_EPS) * (w[i] + plus);
    }
}

static void rmsnorm_reference(const problem *p, double *const *in, double *out)
{
    norm_rows(in[0], in[1], p->c->T * p->c->heads, p->c->in / p->c->heads, p->c->plus, out);
}

const proof proof_rmsnorm = {&ft_grad__rmsnorm, rmsnorm_shape, rmsnorm_run, rmsnorm_reference};

static void layernorm_shape(problem *p)
{
    p->n = 3;
    p->in[0] = (input){p->c->T, p->c->in, false, NULL};
    p->in[1] = p->in[2] = (input){1, p->c->in, true, NULL};
    p->out = p->c->T * p->c->in;
}

static ft_var *layernorm_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    return ft_op_layernorm(t, x[0], &w[1], &w[2], PROOF_EPS);
}

static void layernorm_reference(const problem *p, double *const *in, double *out)
{
    int64_t n = p->c->in;
    for (int64_t t = 0; t < p->c->T; t++) {
        const double *x = in[0] + t * n;
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < n; i++)
            mean += x[i] / (double)n;
        for (int64_t i = 0; i < n; i++)
            variance += (x[i] - mean) * (x[i] - mean) / (double)n;
        for (int64_t i = 0; i < n; i++)
            out[t * n + i] = (x[i] - mean) / sqrt(variance + PROOF_EPS) * in[1][i] + in[2][i];
    }
}

const proof proof_layernorm = {&ft_grad__layernorm, layernorm_shape, layernorm_run, layernorm_reference};

/* ---- rope: c->window: the length beyond which other frequencies serve ---- */

ft_rope proof_rope_of(const ft_op_case *c)
{
    static float inv_freq[64], beyond[64];
    for (int64_t i = 0; i < c->rank / 2; i++) {
        inv_freq[i] = (float)pow(100, -2.0 * (double)i / (double)c->rank);
        beyond[i] = inv_freq[i] / (float)(i + 2);
    }
    return (ft_rope){.inv_freq = inv_freq,
                     .rot = c->rank,
                     .factor = 1.25f,
                     .inv_freq_beyond = c->window ? beyond : NULL,
                     .beyond = c->window};
}

static void rope_shape(problem *p)
{
    p->n = 1;
    p->in[0] = (input){proof_read(p), p->c->heads * p->c->head_dim, false, NULL};
    p->out = p->in[0].rows * p->in[0].cols;
}

static ft_var *rope_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    ft_rope rope = proof_rope_of(p->c);
    return ft_op_rope(t, x[0], p->c->heads, p->c->head_dim, &rope, &p->seg);
}

static void rope_reference(const problem *p, double *const *in, double *out)
{
    ft_rope rope = proof_rope_of(p->c);
    int64_t D = p->c->head_dim, width = p->c->heads * D, half = rope.rot / 2;
    for (int64_t row = 0, s = 0; row < proof_read(p); row++) {
        int64_t t = p->seg.read ? p->seg.read[row] : row;
        while (t >= p->seg.start[s + 1])
            s++;
        bool beyond = rope.beyond && p->seg.start[s + 1] - p->seg.start[s] > rope.beyond;
        const float *inv_freq = beyond ? rope.inv_freq_beyond : rope.inv_freq;
        for (int64_t at = row * width; at < (row + 1) * width; at++) {
            int64_t i = at % D;
            double angle = (double)(t - p->seg.start[s]) * inv_freq[i % half], c = cos(angle), sn = sin(angle);
            if (i >= rope.rot)
                out[at] = in[0][at];
            else if (i < half)
                out[at] = rope.factor * (in[0][at] * c - in[0][at + half] * sn);
            else
                out[at] = rope.factor * (in[0][at] * c + in[0][at - half] * sn);
        }
    }
}

const proof proof_rope = {&ft_grad__rope, rope_shape, rope_run, rope_reference};

/* ---- attention ---- */

ft_attention_spec proof_spec_of(const ft_op_case *c)
{
    return (ft_attention_spec){.heads = c->heads,
                               .kv_heads = c->kv_heads,
                               .head_dim = c->head_dim,
                               .scale = 0.3f,
                               .softcap = c->softcap,
                               .window = c->window,
                               .causal = !c->bidirectional};
}

static void attention_shape(problem *p)
{
    const ft_op_case *c = p->c;
    p->n = 3;
    p->in[0] = (input){proof_read(p), c->heads * c->head_dim, false, NULL};
    p->in[1] = p->in[2] = (input){c->T, c->kv_heads * c->head_dim, false, NULL};
    p->out = p->in[0].rows * p->in[0].cols;
}

static ft_var *attention_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    ft_attention_spec spec = proof_spec_of(p->c);
    return ft_op_attention(t, x[0], x[1], x[2], &spec, &p->seg, NULL);
}

static bool sees(const ft_op_case *c, int64_t i, int64_t j)
{
    if (!c->bidirectional && j > i)
        return false;
    return !c->window || (i - j < c->window && j - i < c->window);
}

/* Row `row` of q, which is token i of segment s, under head h. */
static void attend_one(const problem *p, double *const *in, double *out, int64_t row, int64_t s, int64_t i, int64_t h)
{
    ft_attention_spec a = proof_spec_of(p->c);
    int64_t D = a.head_dim, from = p->seg.start[s], n = p->seg.start[s + 1] - from, kv = a.kv_heads * D;
    const double *q = in[0] + (row * a.heads + h) * D;
    double *y = out + (row * a.heads + h) * D, total = 0;
    int64_t at = h / (a.heads / a.kv_heads) * D;
    memset(y, 0, (size_t)D * sizeof *y);
    for (int64_t j = 0; j < n; j++) {
        if (!sees(p->c, i, j))
            continue;
        double score = 0;
        for (int64_t d = 0; d < D; d++)
            score += q[d] * in[1][(from + j) * kv + at + d];
        score *= a.scale;
        cap_all(&score, 1, a.softcap);
        total += exp(score);
        for (int64_t d = 0; d < D; d++)
            y[d] += exp(score) * in[2][(from + j) * kv + at + d];
    }
    for (int64_t d = 0; d < D; d++)
        y[d] /= total;
}

static void attention_reference(const problem *p, double *const *in, double *out)
{
    for (int64_t row = 0, s = 0; row < proof_read(p); row++) {
        int64_t t = p->seg.read ? p->seg.read[row] : row;
        while (t >= p->seg.start[s + 1])
            s++;
        for (int64_t h = 0; h < p->c->heads; h++)
            attend_one(p, in, out, row, s, t - p->seg.start[s], h);
    }
}

const proof proof_attention = {&ft_grad__attention, attention_shape, attention_run, attention_reference};

/* ---- glu, gelu, scale, add, columns, rows ---- */

static void pair_shape(problem *p)
{
    p->n = 2;
    p->in[0] = p->in[1] = (input){p->c->T, p->c->in, false, NULL};
    p->out = p->c->T * p->c->in;
}

static void one_shape(problem *p)
{
    pair_shape(p);
    p->n = 1;
}

static ft_var *glu_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    return ft_op_glu(t, x[0], x[1], p->c->gate);
}

static double gelu_by_tanh(double x)
{
    return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

static void glu_reference(const problem *p, double *const *in, double *out)
{
    for (int64_t i = 0; i < p->out; i++) {
        double g = in[0][i];
        out[i] = (p->c->gate == FT_GATE_GELU ? gelu_by_tanh(g) : g / (1 + exp(-g))) * in[1][i];
    }
}

const proof proof_glu = {&ft_grad__glu, pair_shape, glu_run, glu_reference};

static ft_var *gelu_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    return ft_op_gelu(t, x[0]);
}

static void gelu_reference(const problem *p, double *const *in, double *out)
{
    for (int64_t i = 0; i < p->out; i++)
        out[i] = in[0][i] / 2 * (1 + erf(in[0][i] / sqrt(2)));
}

const proof proof_gelu = {&ft_grad__gelu, one_shape, gelu_run, gelu_reference};

static ft_var *scale_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    return ft_op_scale(t, x[0], 0.375f);
}

static void scale_reference(const problem *p, double *const *in, double *out)
{
    for (int64_t i = 0; i < p->out; i++)
        out[i] = 0.375 * in[0][i];
}

const proof proof_scale = {&ft_grad__scale, one_shape, scale_run, scale_reference};

/* Two overlapping parts, added: the gradients of parts meet in x. */
static int64_t second_part(const problem *p)
{
    return (p->c->in - p->c->out) / 2;
}

static void columns_shape(problem *p)
{
    p->n = 1;
    p->in[0] = (input){p->c->T, p->c->in, false, NULL};
    p->out = p->c->T * p->c->out;
}

static ft_var *columns_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    ft_var *a = ft_op_columns(t, x[0], p->c->in - p->c->out, p->c->out);
    return ft_op_add(t, a, ft_op_columns(t, x[0], second_part(p), p->c->out));
}

static void columns_reference(const problem *p, double *const *in, double *out)
{
    int64_t n = p->c->out;
    for (int64_t i = 0; i < p->out; i++) {
        const double *x = in[0] + i / n * p->c->in + i % n;
        out[i] = x[p->c->in - n] + x[second_part(p)];
    }
}

const proof proof_columns = {&ft_grad__columns, columns_shape, columns_run, columns_reference};

static ft_var *add_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    return ft_op_add(t, x[0], x[1]);
}

static void add_reference(const problem *p, double *const *in, double *out)
{
    for (int64_t i = 0; i < p->out; i++)
        out[i] = in[0][i] + in[1][i];
}

const proof proof_add = {&ft_grad__add, pair_shape, add_run, add_reference};

static void rows_shape(problem *p)
{
    p->n = 1;
    p->in[0] = (input){p->c->T, p->c->in, false, NULL};
    p->out = p->c->out * p->c->in;
}

static ft_var *rows_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    return ft_op_rows(t, x[0], p->index, p->c->out);
}

static void rows_reference(const problem *p, double *const *in, double *out)
{
    for (int64_t i = 0; i < p->c->out; i++)
        memcpy(row_of(out, i, p->c->in), row_of(in[0], p->index[i], p->c->in), (size_t)p->c->in * sizeof *out);
}

const proof proof_rows = {&ft_grad__rows, rows_shape, rows_run, rows_reference};

/* ---- mean ---- */

static void mean_shape(problem *p)
{
    p->n = 1;
    p->in[0] = (input){p->c->T, p->c->in, false, NULL};
    p->out = p->seg.n * p->c->in;
}

static ft_var *mean_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    return ft_op_mean(t, x[0], &p->seg);
}

static void mean_reference(const problem *p, double *const *in, double *out)
{
    int64_t C = p->c->in;
    for (int64_t s = 0; s < p->seg.n; s++)
        for (int64_t c = 0; c < C; c++) {
            double sum = 0;
            for (int64_t i = p->start[s]; i < p->start[s + 1]; i++)
                sum += in[0][i * C + c];
            out[s * C + c] = sum / (double)(p->start[s + 1] - p->start[s]);
        }
}

const proof proof_mean = {&ft_grad__mean, mean_shape, mean_run, mean_reference};

/* ---- head_loss ---- */

static void head_loss_shape(problem *p)
{
    p->n = 2;
    p->in[0] = (input){p->c->T, p->c->in, false, NULL};
    p->in[1] = (input){p->c->vocab, p->c->in, true, p->c->dtype};
    p->out = 1;
    for (int64_t i = 1; i < p->c->T; i += 3)
        p->ids[i] = -1;
}

static ft_var *head_loss_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    ft_loss loss = {0};
    ck_assert_ok(ft_op_head_loss(t, x[0], &w[1], p->ids, p->c->softcap, PROOF_WEIGHT, &loss));
    ck_assert_int_eq(loss.count, p->c->T - (p->c->T + 1) / 3);
    p->loss = loss.sum;
    return NULL;
}

static void head_loss_reference(const problem *p, double *const *in, double *out)
{
    int64_t V = p->c->vocab, C = p->c->in;
    double *logits = calloc((size_t)V, sizeof *logits);
    out[0] = 0;
    for (int64_t i = 0; i < p->c->T; i++) {
        if (p->ids[i] < 0)
            continue;
        double total = 0;
        matmul(in[0] + i * C, in[1], NULL, 1, C, V, logits);
        cap_all(logits, V, p->c->softcap);
        for (int64_t v = 0; v < V; v++)
            total += exp(logits[v]);
        out[0] += log(total) - logits[p->ids[i]];
    }
    free(logits);
}

const proof proof_head_loss = {&ft_grad__head_loss, head_loss_shape, head_loss_run, head_loss_reference};

/* ---- vector_loss: rows of c->out texts; two rows share an anchor, two a positive ---- */

static void vector_loss_shape(problem *p)
{
    p->n = 1;
    p->in[0] = (input){p->c->T, p->c->in, false, NULL};
    p->out = 1;
    for (int64_t i = 0; i < p->c->T; i++)
        p->index[i] = i;
    if (p->c->T >= 4 * p->c->out) {
        p->index[2 * p->c->out] = p->index[p->c->out];
        p->index[3 * p->c->out + 1] = p->index[1];
    }
}

static float score_of(int64_t r)
{
    return (float)(r % 4) / 4;
}

static ft_var *vector_loss_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    ft_loss loss = {0};
    int64_t first[64], n = p->c->T / p->c->out;
    float score[64];
    for (int64_t r = 0; r <= n; r++) {
        first[r] = r * p->c->out;
        score[r] = score_of(r);
    }
    ft_vector_rows rows = {.n = n, .first = first, .text = p->index, .score = p->c->objective->loss->scored ? score : NULL};
    ck_assert_ok(ft_op_vector_loss(t, x[0], &rows, p->c->objective, PROOF_WEIGHT, &loss));
    ck_assert_int_eq(loss.count, n);
    p->loss = loss.sum;
    return NULL;
}

static double cosine_of(const double *a, const double *b, int64_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) {
        ab += a[i] * b[i];
        aa += a[i] * a[i];
        bb += b[i] * b[i];
    }
    return ab / sqrt(aa * bb);
}

/* Text i as a candidate for row r of infonce. */
static bool competes(const problem *p, int64_t r, int64_t i)
{
    const int64_t *text = p->index, n = p->c->out, anchor = r * n, other = i / n * n;
    if (i == other)
        return false;
    return i == anchor + 1 || (text[i] != text[anchor + 1] && text[i] != text[anchor] &&
                               !(i == other + 1 && text[other] == text[anchor]));
}

static double vector_loss_of(const problem *p, const double *y, int64_t dim)
{
    const ft_vector_objective *o = p->c->objective;
    int64_t C = p->c->in, n = p->c->out, T = p->c->T;
    const char *name = o->loss->name;
    double total = 0, pairs = 1;
#define COS(i, j) cosine_of(y + (i) * C, y + (j) * C, dim)
    for (int64_t a = 0; a < T; a += n) {
        double own = COS(a, a + 1), sum = 0;
        if (strcmp(name, "infonce") == 0) {
            for (int64_t i = 0; i < T; i++)
                sum += competes(p, a / n, i) ? exp(o->scale * COS(a, i)) : 0;
            total += log(sum) - o->scale * own;
        } else if (strcmp(name, "triplet") == 0) {
            for (int64_t i = a + 2; i < a + n; i++)
                total += fmax(0, o->margin + COS(a, i) - own) / (double)(n - 2);
        } else if (strcmp(name, "cosine") == 0) {
            total += (own - score_of(a / n)) * (own - score_of(a / n));
        } else {
            for (int64_t b = 0; b < T; b += n)
                pairs += score_of(a / n) > score_of(b / n) ? exp(o->scale * (COS(b, b + 1) - own)) : 0;
        }
    }
#undef COS
    return strcmp(name, "cosent") == 0 ? log(pairs) * (double)(T / n) : total;
}

static void vector_loss_reference(const problem *p, double *const *in, double *out)
{
    const ft_vector_objective *o = p->c->objective;
    out[0] = 0;
    for (size_t i = 0; i < o->n_dims; i++)
        out[0] += vector_loss_of(p, in[0], o->dims[i]) / (double)o->n_dims;
    if (!o->n_dims)
        out[0] = vector_loss_of(p, in[0], p->c->in);
}

const proof proof_vector_loss = {&ft_grad__vector_loss, vector_loss_shape, vector_loss_run, vector_loss_reference};

/* ---- block: x + rmsnorm(x), replayed ---- */

static ft_var *residual_norm(ft_tape *t, ft_var *x, void *ctx, int64_t layer)
{
    return ft_op_add(t, x, ft_op_rmsnorm(t, x, ctx, PROOF_EPS, 0));
}

static ft_var *block_run(ft_tape *t, problem *p, ft_var **x, ft_param *w)
{
    return ft_block(t, x[0], residual_norm, &w[1], 0, true);
}

static void block_reference(const problem *p, double *const *in, double *out)
{
    rmsnorm_reference(p, in, out);
    for (int64_t i = 0; i < p->out; i++)
        out[i] += in[0][i];
}

const proof proof_block = {&ft_grad__block, rmsnorm_shape, block_run, block_reference};
