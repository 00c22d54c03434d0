/* A model of two small Llama blocks over the ops, for tests of the tape. */
#ifndef FT_TEST_MINI_H
#define FT_TEST_MINI_H

#include "grad/grad.h"
#include "support/support.h"

enum {
    MINI_T = 150,
    MINI_C = 32,
    MINI_F = 48,
    MINI_V = 70,
    MINI_H = 4,
    MINI_K = 2,
    MINI_D = 8,
    MINI_R = 4,
    MINI_LAYERS = 2
};

typedef struct mini_layer {
    ft_param norm1, q, k, v, o, norm2, gate, up, down, a, b; /* a, b: an adapter on q */
} mini_layer;
typedef struct mini {
    ft_param table; /* tied to the head */
    ft_param norm;
    mini_layer layers[MINI_LAYERS];
    ft_param *all[2 + 11 * MINI_LAYERS];
    int n;
    bool checkpoint;
    bool loose; /* blocks are called as they are, without ft_block */
    float dropout;
    ft_segments seg;
    ft_kv *kv; /* [layers] or NULL */
    int64_t start[5];
    int32_t ids[MINI_T], targets[MINI_T];
    float inv_freq[MINI_D / 2];
} mini;

/* full: every weight trains, else the adapters alone. */
void mini_new(mini *m, bool full);
void mini_free(mini *m);
/* Hidden states of the first T ids; NULL on failure. */
ft_var *mini_forward(mini *m, ft_tape *t, const int32_t *ids, int64_t T);
/* One forward and backward pass; gradients are added to. */
ft_status mini_step(mini *m, ft_tape *t, ft_loss *loss, uint64_t step);

#endif
