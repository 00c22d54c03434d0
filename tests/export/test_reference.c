/* What the exporters write, loaded by an independent implementation: ../shared/reference in PyTorch, which reads the
 * merged directory and the PEFT adapter by its own code, gives fettle's logits. */
#include "export/tiny.h"

#include <sys/wait.h>

static void put_tensor(ft_writer *w, const char *name, int ndim, const int64_t *shape)
{
    ck_assert_ok(ft_writer_tensor(w, name, &ft_f32, ndim, shape));
}

/* ids and logits of a model, for the script. */
static void write_logits(ft_model *m, const char *path)
{
    ft_writer *w;
    float ids[TINY_TOKENS], *logits = tiny_logits(m);
    int64_t shape[] = {TINY_TOKENS, ft_model_config(m)->vocab_size};
    for (int i = 0; i < TINY_TOKENS; i++)
        ids[i] = (float)tiny_id(i);
    ck_assert_ok(ft_writer_open(&w, "safetensors", path));
    put_tensor(w, "ids", 1, shape);
    put_tensor(w, "logits", 2, shape);
    ck_assert_ok(ft_writer_data(w, ids, sizeof ids));
    ck_assert_ok(ft_writer_data(w, logits, (size_t)(shape[0] * shape[1]) * sizeof *logits));
    ck_assert_ok(ft_writer_commit(w));
    ft_free(logits);
}

/* Exit status of the script; 77: torch is not there. */
static int compare(const char *model, const char *adapter, const char *logits)
{
    char command[4096];
    snprintf(command, sizeof command, "/usr/bin/python3 '%s' '%s' '%s' '%s' '%s'",
             ft_test_source("tests/oracle/reference_logits.py"), ft_test_shared("reference"), model, adapter, logits);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* -1: torch is not there. */
static int check(const char *base, const tiny *t)
{
    const char *dir = ft_test_dir();
    char merged[600], adapter[600], logits[600];
    snprintf(merged, sizeof merged, "%s/merged", dir);
    snprintf(adapter, sizeof adapter, "%s/adapter", dir);
    snprintf(logits, sizeof logits, "%s/logits.safetensors", dir);
    ft_model *m = tiny_open(base ? base : tiny_base(dir, t));
    tiny_adapt(m, t);
    write_logits(m, logits);
    ft_export_request r = {.model = m, .path = merged, .dtype = &ft_f32, .shard_bytes = 500000};
    ck_assert_ok(ft_exporter_named("hf")->write(&r));
    r.path = adapter;
    r.dtype = NULL;
    ck_assert_ok(ft_exporter_named("peft")->write(&r));
    int status = compare(merged, "-", logits);
    if (status == 77)
        return -1;
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(compare(ft_model_path(m), adapter, logits), 0);
    ft_model_free(m);
    return 0;
}

START_TEST(pytorch_gives_the_same_logits_for_real_and_golden_models)
{
    static const char *const models[] = {"models/stories260K", "models/tinystories-656k", "golden/llama3-scaled/model"};
    for (size_t i = 0; i < FT_COUNT(models); i++) {
        tiny t = {0};
        if (!ft_test_shared(models[i]))
            FT_SKIP("../shared is absent");
        if (check(ft_test_shared(models[i]), &t) != 0)
            FT_SKIP("/usr/bin/python3 has no torch");
    }
}
END_TEST

START_TEST(pytorch_gives_the_same_logits_for_every_kind_of_adapter)
{
    static const char *const some[] = {"layers.1.self_attn.q_proj", "up_proj"};
    const tiny shapes[] = {{.tied = true, .rslora = true},
                           {.ffn = 100, .targets = some, .n_targets = 2},
                           {.tied = true, .save = "embed_tokens"},
                           {.save = "lm_head"}};
    for (size_t i = 0; i < FT_COUNT(shapes); i++) {
        if (!ft_test_shared("reference"))
            FT_SKIP("../shared is absent");
        if (check(NULL, &shapes[i]) != 0)
            FT_SKIP("/usr/bin/python3 has no torch");
    }
}
END_TEST

int main(void)
{
    FT_TESTS("export-reference", pytorch_gives_the_same_logits_for_real_and_golden_models,
             pytorch_gives_the_same_logits_for_every_kind_of_adapter);
}
