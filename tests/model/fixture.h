/* What the tests of the model room share: small models made on the spot, and the cases of ../shared/golden. */
#ifndef FT_TEST_MODEL_FIXTURE_H
#define FT_TEST_MODEL_FIXTURE_H

#include "model/model.h"
#include "support/support.h"

/* Writes text to dir/name. */
void write_text(const char *dir, const char *name, const char *text);
/* A directory holding a config.json of this text. */
const char *config_dir(const char *config);
/* The config of a small untied model with grouped queries; members of `more` (JSON, may be NULL) are put over it. */
const char *small_config(const char *more);
/* What makes of it every other family of decoders, with windows, caps, norms and scales; NULL at the end. */
extern const char *const small_families[];
/* A random model of that config, never NULL. */
ft_model *random_model(const char *more);
/* Writes the model's weights as dir/model.safetensors beside a config.json; skip: a weight to leave out; extra: a
 * tensor [4] to add; both may be NULL. */
void write_hf(ft_model *m, const char *dir, const char *skip, const char *extra);
/* Writes the model as a GGUF with the room's helpers, linears in this dtype. */
void write_gguf(ft_model *m, const char *path, const ft_dtype *dtype);

/* Logits [n, V] of ids, to be freed; one segment, no cache. */
float *logits_of(ft_model *m, const int32_t *ids, int64_t n);
/* Largest |a - b| over the largest |b|. */
double distance(const float *a, const float *b, int64_t n);

/* A case of ../shared/golden. */
enum { GOLDEN_ROWS = 4, GOLDEN_TOKENS = 512, GOLDEN_STEPS = 10 };
typedef struct golden {
    char dir[512], model[512];
    int64_t T, rows; /* T: input tokens of all rows end to end */
    int64_t start[GOLDEN_ROWS + 1];
    int32_t ids[GOLDEN_TOKENS], targets[GOLDEN_TOKENS]; /* targets -1 where not supervised */
    int64_t supervised;
    double lr, weight_decay, loss_without_adapter, losses[GOLDEN_STEPS];
    int64_t r;
    double alpha;
    char modules[256]; /* a JSON list */
} golden;
bool golden_open(golden *g, const char *name); /* false: ../shared is absent */
/* The model with adapter_init attached, to be trained. */
ft_model *golden_adapted(const golden *g);
/* Records one step over all rows and walks back; the mean loss. Gradients are zeroed first. */
double golden_step(const golden *g, ft_model *m, ft_tape *t, bool checkpoint);
extern const char *const golden_cases[];

#endif
