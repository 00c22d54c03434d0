/* BERT encoders: word, position and token type embeddings, summed and normed; blocks that norm behind each sum:
 *
 *   x = norm( x + o( attention( q, k, v ) ) )
 *   x = norm( x + down( gelu( up ) ) )
 *
 * LayerNorm and biases everywhere; tokens see both ways, positions come from a table. All tokens are of type 0.
 * The model's output is the last block's: what pools it to one vector lies above. The pooler and the pretraining heads
 * that checkpoints carry are passed over.
 */
#include "model/specs.h"

#include <string.h>

/* clang-format off */
#define PAIR(slot_, hf_, gguf_, rows_, cols_, ...)                                             \
    FT_LAYER(slot_,        hf_ ".weight", gguf_ ".weight", LINEAR, rows_, cols_, __VA_ARGS__), \
    FT_LAYER(slot_##_BIAS, hf_ ".bias",   gguf_ ".bias",   BIAS,   rows_, NONE, .when = NULL)
#define NORM(slot_, hf_, gguf_)                                                                \
    FT_LAYER(slot_,        hf_ ".weight", gguf_ ".weight", NORM, HIDDEN, NONE, .when = NULL),  \
    FT_LAYER(slot_##_BIAS, hf_ ".bias",   gguf_ ".bias",   BIAS, HIDDEN, NONE, .when = NULL)

static const ft_weight_spec weights[] = {
    FT_OUTER(EMBED,     "embeddings.word_embeddings.weight",       "token_embd.weight",    EMBEDDING, VOCAB,     HIDDEN, .when = NULL),
    FT_OUTER(POSITIONS, "embeddings.position_embeddings.weight",   "position_embd.weight", EMBEDDING, POSITIONS, HIDDEN, .when = NULL),
    FT_OUTER(TYPES,     "embeddings.token_type_embeddings.weight", "token_types.weight",   EMBEDDING, TYPES,     HIDDEN, .when = NULL),
    FT_OUTER(EMBED_NORM,      "embeddings.LayerNorm.weight", "token_embd_norm.weight", NORM, HIDDEN, NONE, .when = NULL),
    FT_OUTER(EMBED_NORM_BIAS, "embeddings.LayerNorm.bias",   "token_embd_norm.bias",   BIAS, HIDDEN, NONE, .when = NULL),
    PAIR(Q,    "attention.self.query",   "attn_q",      HEADS,    HIDDEN, .when = NULL),
    PAIR(K,    "attention.self.key",     "attn_k",      KV_HEADS, HIDDEN, .when = NULL),
    PAIR(V,    "attention.self.value",   "attn_v",      KV_HEADS, HIDDEN, .when = NULL),
    PAIR(O,    "attention.output.dense", "attn_output", HIDDEN,   HEADS,  .residual = true),
    NORM(ATTN_POST_NORM, "attention.output.LayerNorm", "attn_output_norm"),
    PAIR(UP,   "intermediate.dense",     "ffn_up",      FFN,      HIDDEN, .when = NULL),
    PAIR(DOWN, "output.dense",           "ffn_down",    HIDDEN,   FFN,    .residual = true),
    NORM(FFN_POST_NORM,  "output.LayerNorm",           "layer_output_norm"),
    {0}};
/* clang-format on */

static const ft_config_key keys[] = {
    {"type_vocab_size", "tokenizer.ggml.token_type_count", FT_FIELD(type_vocab_size), 1, 1 << 16, 2}, {0}};

static const char *const unused[] = {"pooler.", "cls.", "classifier.", "embeddings.position_ids", NULL};

static ft_status read_config(ft_config *c, const char *where)
{
    const char *positions;
    FT_RETURN(ft_config__check_act(c, "hidden_act", "gelu", where));
    FT_RETURN(ft_json_str(c->json, "position_embedding_type", where, "absolute", &positions));
    if (strcmp(positions, "absolute") != 0)
        return ft_fail(FT_EUNSUPPORTED, "%s: position_embedding_type is \"%s\", supported: absolute", where, positions);
    return FT_OK;
}

static ft_var *norm(ft_tape *t, const ft_pass *p, ft_var *x, ft_weight *w, ft_weight *bias)
{
    return ft_op_layernorm(t, x, ft_weight__live(w), ft_weight__live(bias), p->m->config.norm_eps);
}

/* Positions from each segment's start on; `ids` of T zeros: the token types. */
static bool make_ids(ft_tape *t, const ft_segments *seg, int64_t T, int32_t **positions, int32_t **types)
{
    int32_t *both = ft_tape_alloc(t, 2 * (size_t)T, sizeof *both);
    if (!both)
        return false;
    *positions = both;
    *types = both + T;
    memset(*types, 0, (size_t)T * sizeof *both);
    for (int64_t s = 0; s < seg->n; s++)
        for (int64_t i = seg->start[s]; i < seg->start[s + 1]; i++)
            both[i] = (int32_t)(i - seg->start[s] + (seg->past ? seg->past[s] : 0));
    return true;
}

static ft_var *embed(ft_tape *t, const ft_pass *p, const int32_t *ids, int64_t T)
{
    ft_weight *const *w = p->m->outer;
    int32_t *positions, *types;
    if (!make_ids(t, &p->seg, T, &positions, &types))
        return NULL;
    ft_var *x = ft_op_embedding(t, ft_weight__live(w[FT_W_EMBED]), ids, T, 1);
    x = ft_op_add(t, x, ft_op_embedding(t, ft_weight__live(w[FT_W_POSITIONS]), positions, T, 1));
    x = ft_op_add(t, x, ft_op_embedding(t, ft_weight__live(w[FT_W_TYPES]), types, T, 1));
    return norm(t, p, x, w[FT_W_EMBED_NORM], w[FT_W_EMBED_NORM_BIAS]);
}

static ft_var *block(ft_tape *t, ft_var *x, void *pass, int64_t layer)
{
    const ft_pass *p = pass;
    ft_weight *const *w = p->m->layers[layer].w;
    ft_var *stream = ft_model__read(t, p, x, layer), *q = ft_model__linear(t, p, stream, w[FT_W_Q], w[FT_W_Q_BIAS]);
    ft_var *k = ft_model__linear(t, p, x, w[FT_W_K], w[FT_W_K_BIAS]);
    ft_var *v = ft_model__linear(t, p, x, w[FT_W_V], w[FT_W_V_BIAS]);
    ft_var *y = ft_model__linear(t, p, ft_model__attend(t, p, q, k, v, layer), w[FT_W_O], w[FT_W_O_BIAS]);
    x = norm(t, p, ft_op_add(t, stream, y), w[FT_W_ATTN_POST_NORM], w[FT_W_ATTN_POST_NORM_BIAS]);
    y = ft_op_gelu(t, ft_model__linear(t, p, x, w[FT_W_UP], w[FT_W_UP_BIAS]));
    y = ft_model__linear(t, p, y, w[FT_W_DOWN], w[FT_W_DOWN_BIAS]);
    return norm(t, p, ft_op_add(t, x, y), w[FT_W_FFN_POST_NORM], w[FT_W_FFN_POST_NORM_BIAS]);
}

const ft_arch ft_arch_bert = {
    .model_type = "bert",
    .architecture = "BertModel",
    .gguf = "bert",
    .encoder = true,
    .layer_norm = true,
    .tied = true,
    .layers = "encoder.layer.",
    .prefix = "bert.",
    .unused = unused,
    .weights = weights,
    .keys = keys,
    .read_config = read_config,
    .embed = embed,
    .block = block,
    .help = "BERT encoders: mxbai-embed, bge, e5, MiniLM",
};
