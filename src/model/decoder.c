/* The block that the decoders share:
 *
 *   x += r * norm( o( attention( rope(norm(q)), rope(norm(k)), v ) ) )    of  norm(x)
 *   x += r * norm( down( act(gate) * up ) )                               of  norm(x)
 *
 * Each family has some of the norms: one without weights is left out. q, k and v may come out of one matrix, gate and
 * up likewise. What else differs (window, turning, caps, scales) stands in the config.
 *
 * Where some tokens alone are read, the last block makes keys and values of all of them, and everything else of those.
 */
#include "model/adapter.h"
#include "model/specs.h"

bool ft_config__is_untied(const ft_config *c)
{
    return !c->tie_word_embeddings;
}

bool ft_config__has_attention_bias(const ft_config *c)
{
    return c->attention_bias;
}

bool ft_config__has_attention_out_bias(const ft_config *c)
{
    return c->attention_out_bias;
}

bool ft_config__has_mlp_bias(const ft_config *c)
{
    return c->mlp_bias;
}

const ft_weight_spec ft_decoder_weights[] = {FT_SPECS_OUTER,     FT_SPEC_NORM_IN,
                                             FT_SPECS_ATTENTION, FT_SPEC_NORM_MLP_IN("post_attention_layernorm"),
                                             FT_SPECS_MLP,       {0}};

ft_param *ft_weight__live(ft_weight *w)
{
    if (!w)
        return NULL;
    return w->saved ? &w->saved->p : &w->p;
}

ft_var *ft_model__norm(ft_tape *t, const ft_pass *p, ft_var *x, ft_weight *w)
{
    const ft_config *c = &p->m->config;
    return w ? ft_op_rmsnorm(t, x, ft_weight__live(w), c->norm_eps, c->norm_plus) : x;
}

/* Which token each row of x is, NULL: row i is token i. */
static const int64_t *tokens_of(const ft_pass *p, const ft_var *x)
{
    return x && x->rows == p->seg.n_read ? p->seg.read : NULL;
}

ft_var *ft_model__linear(ft_tape *t, const ft_pass *p, ft_var *x, ft_weight *w, ft_weight *bias)
{
    if (p->m->watch && x)
        p->m->watch(p->m->watch_ctx, &w->p, x->v, x->rows, x->cols);
    const ft_adapter *adapter = p->m->adapter;
    ft_param *matrix = ft_weight__live(w), *added = ft_weight__live(bias);
    if (!w->adapted)
        return ft_op_linear(t, x, matrix, added);
    return adapter->kind->apply(t, x, matrix, added, adapter, w->adapted, tokens_of(p, x));
}

ft_var *ft_decoder_embed(ft_tape *t, const ft_pass *p, const int32_t *ids, int64_t T)
{
    return ft_op_embedding(t, ft_weight__live(p->m->outer[FT_W_EMBED]), ids, T, p->m->config.embedding_scale);
}

/* The segments with the tokens that a block gives. */
static ft_segments given(const ft_pass *p, int64_t layer)
{
    ft_segments seg = p->seg;
    if (layer + 1 < p->m->config.num_hidden_layers)
        seg.read = NULL;
    return seg;
}

ft_var *ft_model__read(ft_tape *t, const ft_pass *p, ft_var *x, int64_t layer)
{
    ft_segments seg = given(p, layer);
    return seg.read ? ft_op_rows(t, x, seg.read, seg.n_read) : x;
}

ft_var *ft_model__attend(ft_tape *t, const ft_pass *p, ft_var *q, ft_var *k, ft_var *v, int64_t layer)
{
    const ft_model *m = p->m;
    ft_segments all = p->seg, some = given(p, layer);
    all.read = NULL;
    const ft_config *c = &m->config;
    const ft_layer_config *l = &c->layers[layer];
    ft_attention_spec spec = {.heads = c->num_attention_heads,
                              .kv_heads = c->num_key_value_heads,
                              .head_dim = c->head_dim,
                              .scale = c->attention_scale,
                              .softcap = c->attention_softcap,
                              .window = l->window,
                              .causal = !c->arch->encoder};
    if (l->rope != FT_TURN_NOT) {
        const ft_rope *rope = l->rope == FT_TURN ? &m->rope : &m->rope_local;
        q = ft_op_rope(t, q, c->num_attention_heads, c->head_dim, rope, &some);
        k = ft_op_rope(t, k, c->num_key_value_heads, c->head_dim, rope, &all);
    }
    return ft_op_attention(t, q, k, v, &spec, &some, p->kv ? &p->kv[layer] : NULL);
}

/* x [T, C], normed where the family does -> [T, C], or [n_read, C] */
static ft_var *attention(ft_tape *t, const ft_pass *p, ft_var *x, int64_t layer)
{
    const ft_config *c = &p->m->config;
    ft_weight *const *w = p->m->layers[layer].w;
    int64_t wide = c->num_attention_heads * c->head_dim, narrow = c->num_key_value_heads * c->head_dim;
    ft_var *q, *k, *v;
    if (w[FT_W_QKV]) {
        ft_var *all = ft_model__linear(t, p, x, w[FT_W_QKV], NULL);
        q = ft_op_columns(t, ft_model__read(t, p, all, layer), 0, wide);
        k = ft_op_columns(t, all, wide, narrow);
        v = ft_op_columns(t, all, wide + narrow, narrow);
    } else {
        q = ft_model__linear(t, p, ft_model__read(t, p, x, layer), w[FT_W_Q], w[FT_W_Q_BIAS]);
        k = ft_model__linear(t, p, x, w[FT_W_K], w[FT_W_K_BIAS]);
        v = ft_model__linear(t, p, x, w[FT_W_V], w[FT_W_V_BIAS]);
    }
    q = ft_model__norm(t, p, q, w[FT_W_Q_NORM]);
    k = ft_model__norm(t, p, k, w[FT_W_K_NORM]);
    return ft_model__linear(t, p, ft_model__attend(t, p, q, k, v, layer), w[FT_W_O], w[FT_W_O_BIAS]);
}

static ft_var *mlp(ft_tape *t, const ft_pass *p, ft_var *x, int64_t layer)
{
    const ft_config *c = &p->m->config;
    ft_weight *const *w = p->m->layers[layer].w;
    ft_var *gate, *up;
    if (w[FT_W_GATE_UP]) {
        ft_var *both = ft_model__linear(t, p, x, w[FT_W_GATE_UP], NULL);
        gate = ft_op_columns(t, both, 0, c->intermediate_size);
        up = ft_op_columns(t, both, c->intermediate_size, c->intermediate_size);
    } else {
        gate = ft_model__linear(t, p, x, w[FT_W_GATE], w[FT_W_GATE_BIAS]);
        up = ft_model__linear(t, p, x, w[FT_W_UP], w[FT_W_UP_BIAS]);
    }
    return ft_model__linear(t, p, ft_op_glu(t, gate, up, c->gate), w[FT_W_DOWN], w[FT_W_DOWN_BIAS]);
}

/* x + r * norm(y) */
static ft_var *join(ft_tape *t, const ft_pass *p, ft_var *x, ft_var *y, ft_weight *norm)
{
    float r = p->m->config.residual_scale;
    y = ft_model__norm(t, p, y, norm);
    return ft_op_add(t, x, r != 1 ? ft_op_scale(t, y, r) : y);
}

ft_var *ft_decoder_block(ft_tape *t, ft_var *x, void *pass, int64_t layer)
{
    const ft_pass *p = pass;
    ft_weight *const *w = p->m->layers[layer].w;
    ft_var *stream = ft_model__read(t, p, x, layer);
    x = attention(t, p, ft_model__norm(t, p, x, w[FT_W_ATTN_NORM]), layer);
    x = join(t, p, stream, x, w[FT_W_ATTN_POST_NORM]);
    return join(t, p, x, mlp(t, p, ft_model__norm(t, p, x, w[FT_W_FFN_NORM]), layer), w[FT_W_FFN_POST_NORM]);
}
