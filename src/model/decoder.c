/* The pre-norm decoder that most families share:
 *
 *   x += o( attention( rope(q), rope(k), v ) )    of  norm(x)
 *   x += down( silu(gate) * up )                  of  norm(x)
 *
 * A family that differs in a flag (biases, tied head) says so in its config; one that differs in shape brings its own
 * weights and block.
 */
#include "model/adapter.h"
#include "model/arch.h"

static bool untied(const ft_config *c)
{
    return !c->tie_word_embeddings;
}

static bool attention_bias(const ft_config *c)
{
    return c->attention_bias;
}

static bool attention_out_bias(const ft_config *c)
{
    return c->attention_out_bias;
}

static bool mlp_bias(const ft_config *c)
{
    return c->mlp_bias;
}

#define OUTER(slot_, hf_, gguf_, role_, rows_, cols_, ...)                                                             \
    {                                                                                                                  \
        .slot = FT_W_##slot_, .hf = hf_, .gguf = gguf_, .role = FT_ROLE_##role_, .rows = FT_##rows_,                   \
        .cols = FT_##cols_, __VA_ARGS__                                                                                \
    }
#define LAYER(slot_, hf_, gguf_, role_, rows_, cols_, ...)                                                             \
    {                                                                                                                  \
        .slot = FT_W_##slot_, .hf = hf_, .gguf = gguf_, .role = FT_ROLE_##role_, .rows = FT_##rows_,                   \
        .cols = FT_##cols_, .per_layer = true, __VA_ARGS__                                                             \
    }

/* clang-format off */
const ft_weight_spec ft_decoder_weights[] = {
    OUTER(EMBED,      "model.embed_tokens.weight", "token_embd.weight",  EMBEDDING, VOCAB,  HIDDEN, .when = NULL),
    OUTER(FINAL_NORM, "model.norm.weight",         "output_norm.weight", NORM,      HIDDEN, NONE, .when = NULL),
    OUTER(HEAD,       "lm_head.weight",            "output.weight",      HEAD,      VOCAB,  HIDDEN, .when = untied),
    LAYER(ATTN_NORM, "input_layernorm.weight",          "attn_norm.weight",   NORM,   HIDDEN,   NONE, .when = NULL),
    LAYER(Q,         "self_attn.q_proj.weight",         "attn_q.weight",      LINEAR, HEADS,    HIDDEN, .turned = true),
    LAYER(K,         "self_attn.k_proj.weight",         "attn_k.weight",      LINEAR, KV_HEADS, HIDDEN, .turned = true),
    LAYER(V,         "self_attn.v_proj.weight",         "attn_v.weight",      LINEAR, KV_HEADS, HIDDEN, .when = NULL),
    LAYER(O,         "self_attn.o_proj.weight",         "attn_output.weight", LINEAR, HIDDEN,   HEADS, .residual = true),
    LAYER(Q_BIAS,    "self_attn.q_proj.bias",           "attn_q.bias",        BIAS,   HEADS,    NONE, .turned = true, .when = attention_bias),
    LAYER(K_BIAS,    "self_attn.k_proj.bias",           "attn_k.bias",        BIAS,   KV_HEADS, NONE, .turned = true, .when = attention_bias),
    LAYER(V_BIAS,    "self_attn.v_proj.bias",           "attn_v.bias",        BIAS,   KV_HEADS, NONE, .when = attention_bias),
    LAYER(O_BIAS,    "self_attn.o_proj.bias",           "attn_output.bias",   BIAS,   HIDDEN,   NONE, .when = attention_out_bias),
    LAYER(FFN_NORM,  "post_attention_layernorm.weight", "ffn_norm.weight",    NORM,   HIDDEN,   NONE, .when = NULL),
    LAYER(GATE,      "mlp.gate_proj.weight",            "ffn_gate.weight",    LINEAR, FFN,      HIDDEN, .when = NULL),
    LAYER(UP,        "mlp.up_proj.weight",              "ffn_up.weight",      LINEAR, FFN,      HIDDEN, .when = NULL),
    LAYER(DOWN,      "mlp.down_proj.weight",            "ffn_down.weight",    LINEAR, HIDDEN,   FFN, .residual = true),
    LAYER(GATE_BIAS, "mlp.gate_proj.bias",              "ffn_gate.bias",      BIAS,   FFN,      NONE, .when = mlp_bias),
    LAYER(UP_BIAS,   "mlp.up_proj.bias",                "ffn_up.bias",        BIAS,   FFN,      NONE, .when = mlp_bias),
    LAYER(DOWN_BIAS, "mlp.down_proj.bias",              "ffn_down.bias",      BIAS,   HIDDEN,   NONE, .when = mlp_bias),
    {0}};
/* clang-format on */

ft_param *ft_weight__live(ft_weight *w)
{
    if (!w)
        return NULL;
    return w->saved ? &w->saved->p : &w->p;
}

ft_var *ft_model__norm(ft_tape *t, const ft_pass *p, ft_var *x, ft_weight *w)
{
    const ft_config *c = &p->m->config;
    return ft_op_rmsnorm(t, x, ft_weight__live(w), c->rms_norm_eps, c->norm_plus);
}

ft_var *ft_model__linear(ft_tape *t, const ft_pass *p, ft_var *x, ft_weight *w, ft_weight *bias)
{
    ft_var *y = ft_op_linear(t, x, ft_weight__live(w), ft_weight__live(bias));
    return w->adapted ? p->m->adapter->kind->apply(t, y, x, p->m->adapter, w->adapted) : y;
}

/* x [T, C], normed -> [T, C] */
static ft_var *attention(ft_tape *t, const ft_pass *p, ft_var *x, int64_t layer)
{
    const ft_model *m = p->m;
    const ft_config *c = &m->config;
    ft_weight *const *w = m->layers[layer].w;
    ft_attention_spec spec = {.heads = c->num_attention_heads,
                              .kv_heads = c->num_key_value_heads,
                              .head_dim = c->head_dim,
                              .scale = c->attention_scale,
                              .softcap = c->attention_softcap,
                              .causal = true};
    ft_var *q = ft_model__linear(t, p, x, w[FT_W_Q], w[FT_W_Q_BIAS]);
    ft_var *k = ft_model__linear(t, p, x, w[FT_W_K], w[FT_W_K_BIAS]);
    ft_var *v = ft_model__linear(t, p, x, w[FT_W_V], w[FT_W_V_BIAS]);
    q = ft_op_rope(t, q, c->num_attention_heads, c->head_dim, &m->rope, &p->seg);
    k = ft_op_rope(t, k, c->num_key_value_heads, c->head_dim, &m->rope, &p->seg);
    ft_var *y = ft_op_attention(t, q, k, v, &spec, &p->seg, p->kv ? &p->kv[layer] : NULL);
    return ft_model__linear(t, p, y, w[FT_W_O], w[FT_W_O_BIAS]);
}

static ft_var *mlp(ft_tape *t, const ft_pass *p, ft_var *x, int64_t layer)
{
    ft_weight *const *w = p->m->layers[layer].w;
    ft_var *gate = ft_model__linear(t, p, x, w[FT_W_GATE], w[FT_W_GATE_BIAS]);
    ft_var *up = ft_model__linear(t, p, x, w[FT_W_UP], w[FT_W_UP_BIAS]);
    return ft_model__linear(t, p, ft_op_glu(t, gate, up, FT_GATE_SILU), w[FT_W_DOWN], w[FT_W_DOWN_BIAS]);
}

ft_var *ft_decoder_block(ft_tape *t, ft_var *x, void *pass, int64_t layer)
{
    const ft_pass *p = pass;
    ft_weight *const *w = p->m->layers[layer].w;
    x = ft_op_add(t, x, attention(t, p, ft_model__norm(t, p, x, w[FT_W_ATTN_NORM]), layer));
    return ft_op_add(t, x, mlp(t, p, ft_model__norm(t, p, x, w[FT_W_FFN_NORM]), layer));
}
