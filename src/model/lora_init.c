/* First values of an adapter.
 *
 *   default   A kaiming uniform, B zero: the model as it is (lora.c)
 *   pissa     A and B the first singular vectors of W (Meng et al. 2024). What the update begins with is subtracted again,
 *             beside W and not in it, so that the base stays what it was: the model as it is, and an exported adapter (of
 *             twice the rank, A and B beside their start) goes onto the unchanged base
 *   loftq     A and B the first singular vectors of what holding W in fewer bits lost (Li et al. 2023, with one round: the base
 *             is then held as any other that is quantized, and more rounds were of no use behind the first epoch,
 *             docs/quantization.md): nearer to the model than its base is
 */
#include "model/adapter.h"

#include "kernel/kernel.h"
#include "kernel/lowrank.h"

#include <math.h>
#include <string.h>

static ft_status fill_default(ft_model *m, ft_adapted *at)
{
    if (!m->outline)
        m->adapter->kind->init(at, m->adapter->spec.seed);
    return FT_OK;
}

static ft_status decompose(const ft_model *m, ft_adapted *at, const ft_tensor *w)
{
    return ft_context(ft_low_rank(at->a.t.data, at->b.t.data, w, at->a.t.shape[0], at->scale, m->adapter->spec.seed, at->site),
                      "%s", at->on->name);
}

static ft_status copy_of(ft_param *to, const ft_param *from)
{
    FT_RETURN(ft_adapter__make_param(to, ft_strdup(from->name), 2, from->t.shape, false));
    memcpy(to->t.data, from->t.data, ft_tensor_bytes(&from->t));
    return FT_OK;
}

static ft_status fill_pissa(ft_model *m, ft_adapted *at)
{
    int64_t whole_a[] = {2 * at->a.t.shape[0], at->a.t.shape[1]}, whole_b[] = {at->b.t.shape[0], 2 * at->b.t.shape[1]};
    if (!m->outline)
        FT_RETURN(decompose(m, at, &at->on->p.t));
    FT_RETURN(copy_of(&at->start_a, &at->a));
    FT_RETURN(copy_of(&at->start_b, &at->b));
    FT_RETURN(ft_adapter__make_param(&at->whole_a, ft_strdup(at->a.name), 2, whole_a, false));
    return ft_adapter__make_param(&at->whole_b, ft_strdup(at->b.name), 2, whole_b, false);
}

/* A weight that lost nothing (it was stored so, or is held as a float) begins as usual. */
static ft_status fill_loftq(ft_model *m, ft_adapted *at)
{
    const ft_weight *w = at->on;
    bool lossy = w->stored->is_float && !w->p.t.dtype->is_float;
    if (!m->quantize_base)
        return ft_fail(FT_EINPUT, "%s: init \"loftq\" needs a base that is held in fewer bits (quantize_base)", m->path);
    if (m->outline || !lossy)
        return fill_default(m, at);
    ft_tensor lost = w->p.t;
    lost.dtype = &ft_f32;
    if (!(lost.data = ft_alloc((size_t)ft_tensor_count(&lost), sizeof(float))))
        return FT_ENOMEM;
    ft_status st = ft_weights__lost(lost.data, m, w);
    if (st == FT_OK && ft_sum_squares_all(lost.data, ft_tensor_count(&lost)) > 0)
        st = decompose(m, at, &lost);
    else if (st == FT_OK)
        st = fill_default(m, at);
    ft_free(lost.data);
    return st;
}

static const struct {
    const char *name;
    ft_status (*fill)(ft_model *m, ft_adapted *at);
} inits[] = {{"default", fill_default}, {"pissa", fill_pissa}, {"loftq", fill_loftq}};

const char *ft_lora_init_name(size_t i)
{
    return i < FT_COUNT(inits) ? inits[i].name : NULL;
}

static size_t find(const char *name)
{
    size_t i = 0;
    while (i < FT_COUNT(inits) && strcmp(inits[i].name, name ? name : inits[0].name) != 0)
        i++;
    return i;
}

ft_status ft_adapter__check_init(ft_adapter_spec *s)
{
    size_t i = find(s->init);
    if (i == FT_COUNT(inits))
        return ft_fail(FT_EINPUT, "adapter init \"%s\" is unknown", s->init);
    if (i && s->dora)
        return ft_fail(FT_EINPUT, "adapter init \"%s\" and dora exclude each other", s->init);
    s->init = inits[i].name;
    return FT_OK;
}

ft_status ft_adapter__fill(ft_model *m, ft_adapted *at)
{
    return inits[find(m->adapter->spec.init)].fill(m, at);
}

void ft_adapter__join(ft_adapted *at)
{
    int64_t R = at->a.t.shape[0], in = at->a.t.shape[1], out = at->b.t.shape[0];
    float *a = at->whole_a.t.data, *b = at->whole_b.t.data;
    const float *now = at->b.t.data, *start = at->start_b.t.data;
    memcpy(a, at->a.t.data, (size_t)(R * in) * sizeof *a);
    memcpy(a + R * in, at->start_a.t.data, (size_t)(R * in) * sizeof *a);
    for (int64_t o = 0; o < out; o++)
        for (int64_t r = 0; r < R; r++) {
            b[o * 2 * R + r] = now[o * R + r];
            b[o * 2 * R + R + r] = -start[o * R + r];
        }
}
