/* A tiny Llama-shape model with random weights and an adapter whose B is not zero, for the export tests. */
#ifndef FT_TEST_EXPORT_TINY_H
#define FT_TEST_EXPORT_TINY_H

#include "support/support.h"
#include "export/export.h"

enum { TINY_VOCAB = 96, TINY_TOKENS = 23 };

typedef struct tiny {
    bool tied, rslora;
    int ffn; /* 0: 128; 100 is no whole number of q8_0 blocks */
    const char *const *targets;
    size_t n_targets;
    const char *save; /* a module to save, or NULL */
} tiny;

/* A base of that shape, written as an HF directory (f32) into `dir`/base. */
const char *tiny_base(const char *dir, const tiny *t);
/* Writes a byte-level tokenizer (tokenizer.json, tokenizer_config.json) into dir, which it returns: "a" is 2, "b" is 3,
 * BOS 0; the end token 1 has quotes in its text. */
const char *tiny_tokenizer(const char *dir);
/* Opens a model; fails the test when it cannot. */
ft_model *tiny_open(const char *path);
/* Attaches an adapter (r 4, alpha 8) and fills B, and what is saved, with noise. */
void tiny_adapt(ft_model *m, const tiny *t);
/* The i-th of TINY_TOKENS fixed ids. */
int32_t tiny_id(int i);
/* Logits [TINY_TOKENS, V] of these ids, in new memory (ft_free). */
float *tiny_logits(ft_model *m);
/* Largest difference over the largest magnitude of two tiny models' logits. */
double tiny_distance(const float *a, const float *b);
/* Is there anything in dir but what is named? Fails the test with its name. */
void tiny_only(const char *dir, const char *const *names, size_t n);

#endif
