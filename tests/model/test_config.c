/* config.json: what is read, what is assumed, what is refused; rotary frequencies against the reference's. */
#include "model/arch.h"
#include "model/fixture.h"

static ft_status open_config(const char *text)
{
    ft_model *m;
    ft_status st = ft_model_init(&m, ft_test_path(config_dir(text), "config.json"), 1);
    ft_model_free(m);
    return st;
}

START_TEST(absent_keys_have_the_familys_defaults)
{
    ft_model *m = random_model(
        "{\"num_key_value_heads\": null, \"bos_token_id\": null, \"eos_token_id\": [7, 9], \"head_dim\": null, "
        "\"rope_scaling\": null}");
    const ft_config *c = ft_model_config(m);
    ck_assert_int_eq(c->num_key_value_heads, 4);
    ck_assert_int_eq(c->head_dim, 8);
    ck_assert_int_eq(c->bos_token_id, -1);
    ck_assert_int_eq(c->eos_token_id, 7);
    ck_assert(!c->tie_word_embeddings && !c->attention_bias && !c->mlp_bias);
    ck_assert_double_eq(c->rope_theta, 10000);
    ck_assert_int_eq(c->rope_kind, FT_ROPE_PLAIN);
    ck_assert_float_eq(c->norm_eps, 1e-5f);
    ck_assert_ptr_nonnull(ft_model_find(m, "lm_head.weight"));
    ck_assert_ptr_null(ft_model_find(m, "model.layers.0.self_attn.q_proj.bias"));
    ft_model_free(m);
}
END_TEST

START_TEST(head_dim_need_not_be_hidden_over_heads)
{
    ft_model *m = random_model("{\"head_dim\": 12, \"attention_bias\": true}");
    ck_assert_int_eq(ft_model_find(m, "model.layers.1.self_attn.q_proj.weight")->t.shape[0], 48);
    ck_assert_int_eq(ft_model_find(m, "model.layers.1.self_attn.k_proj.bias")->t.shape[0], 24);
    ck_assert_int_eq(ft_model_find(m, "model.layers.1.self_attn.o_proj.weight")->t.shape[1], 48);
    ck_assert_int_eq(ft_model_find(m, "model.layers.1.self_attn.o_proj.bias")->t.shape[0], 32);
    ft_model_free(m);
}
END_TEST

START_TEST(wrong_configs_are_named)
{
    static const struct {
        const char *more, *text;
        ft_status kind;
    } wrong[] = {
        {"{\"model_type\": \"mamba\"}",
         "model_type is \"mamba\", supported: mistral, llama, qwen2, qwen3, phi3, gemma2, gemma3_text, smollm3, "
         "granite, olmo2, bert",
         FT_EUNSUPPORTED},
        {"{\"model_type\": null}", "model_type is missing", FT_EFORMAT},
        {"{\"hidden_size\": null}", "hidden_size is missing", FT_EFORMAT},
        {"{\"hidden_size\": \"wide\"}", "hidden_size", FT_EFORMAT},
        {"{\"hidden_size\": -32}", "hidden_size is -32, 1 to 16777216 can be", FT_EFORMAT},
        {"{\"hidden_size\": 30}", "hidden_size (30) is no multiple of num_attention_heads (4)", FT_EFORMAT},
        {"{\"num_key_value_heads\": 3}", "is no multiple of num_key_value_heads (3)", FT_EFORMAT},
        {"{\"num_attention_heads\": 0}", "num_attention_heads is 0", FT_EFORMAT},
        {"{\"head_dim\": 7}", "head_dim is 7, an even number is needed", FT_EFORMAT},
        {"{\"num_hidden_layers\": 100000}", "num_hidden_layers is 100000, 1 to 4096 can be", FT_EFORMAT},
        {"{\"vocab_size\": 99999999999}", "vocab_size is 99999999999", FT_EFORMAT},
        {"{\"rms_norm_eps\": 0}", "rms_norm_eps is 0", FT_EFORMAT},
        {"{\"rope_theta\": -1}", "rope_theta is -1", FT_EFORMAT},
        {"{\"hidden_act\": \"gelu\"}", "hidden_act is \"gelu\"", FT_EUNSUPPORTED},
        {"{\"partial_rotary_factor\": 0.5}", "partial_rotary_factor is 0.5", FT_EUNSUPPORTED},
        {"{\"rope_scaling\": 3}", "rope_scaling is no object", FT_EFORMAT},
        {"{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2}}",
         "rope_scaling of type \"yarn\", supported: default, linear, llama3", FT_EUNSUPPORTED},
        {"{\"rope_scaling\": {\"type\": \"linear\"}}", "rope_scaling.factor is missing", FT_EFORMAT},
        {"{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": "
         "1, "
         "\"original_max_position_embeddings\": 64}}",
         "high_freq_factor 1 is not above low_freq_factor 4", FT_EFORMAT},
        {"{\"eos_token_id\": \"</s>\"}", "eos_token_id is no token id", FT_EFORMAT},
        {"{\"tie_word_embeddings\": 1}", "tie_word_embeddings", FT_EFORMAT},
    };
    for (size_t i = 0; i < FT_COUNT(wrong); i++)
        ck_assert_fails(open_config(small_config(wrong[i].more)), wrong[i].kind, wrong[i].text);
    ck_assert_fails(open_config("[1]"), FT_EFORMAT, "not a JSON object");
    ck_assert_fails(open_config("{\"model_type\""), FT_EFORMAT, "config.json:1:");
}
END_TEST

START_TEST(a_model_larger_than_the_machine_is_refused_before_it_is_made)
{
    ck_assert_fails(open_config(small_config("{\"hidden_size\": 1048576, \"num_attention_heads\": 1024, "
                                             "\"intermediate_size\": 4194304, \"vocab_size\": 1048576}")),
                    FT_ENOMEM, "GB of memory");
}
END_TEST

static void check_frequencies(const char *more, const float want[8])
{
    ft_model *m = random_model(more);
    float got[8];
    ck_assert_int_eq(ft_model_config(m)->head_dim, 16);
    ft_rope__frequencies(ft_model_config(m), ft_model_config(m)->rope_divisors, got);
    for (int i = 0; i < 8; i++)
        ck_assert_msg(fabsf(got[i] - want[i]) <= 1e-6f * want[i], "%s: frequency %d is %.9g, expected %.9g", more, i,
                      (double)got[i], (double)want[i]);
    ft_model_free(m);
}

/* Printed by ../shared/reference/reference.py, rope_frequencies. */
START_TEST(frequencies_are_the_references)
{
    static const float plain[] = {1.0f,           0.316227764f,   0.100000001f,   0.0316227786f,
                                  0.00999999978f, 0.00316227786f, 0.00100000005f, 0.000316227786f},
                       linear[] = {0.125f,         0.0395284705f,   0.0125000002f,   0.00395284733f,
                                   0.00124999997f, 0.000395284733f, 0.000125000006f, 3.95284733e-05f},
                       llama3[] = {1.0f,           0.459863275f,    0.085417591f,    0.00303903897f,
                                   0.00139754254f, 0.000642678526f, 0.000295544247f, 0.000135909955f};
    check_frequencies("{\"head_dim\": 16}", plain);
    check_frequencies("{\"head_dim\": 16, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 8.0}}", linear);
    check_frequencies(
        "{\"head_dim\": 16, \"rope_theta\": 500.0, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 32.0, "
        "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 64}}",
        llama3);
    check_frequencies("{\"head_dim\": 16, \"rope_parameters\": {\"rope_theta\": 10000.0, \"rope_type\": \"linear\", "
                      "\"factor\": 8.0}}",
                      linear);
}
END_TEST

/* Configs as their makers ship them. */
START_TEST(real_configs_are_read)
{
    static const struct {
        const char *name;
        double theta;
        ft_rope_kind rope;
        int64_t kv_heads, layers;
        int32_t eos;
        bool tied;
        int64_t head_dim, window; /* of the last layer */
    } real[] = {{"llama-3.2-1b-instruct/config", 500000, FT_ROPE_LLAMA3, 8, 16, 128001, true, 64, 0},
                {"tinyllama-1.1b-chat/config", 10000, FT_ROPE_PLAIN, 4, 22, 2, false, 64, 0},
                {"smollm2-360m/config", 100000, FT_ROPE_PLAIN, 5, 32, 0, true, 64, 0},
                {"qwen2.5-0.5b-instruct/config", 1000000, FT_ROPE_PLAIN, 2, 24, 151645, true, 64, 0},
                {"qwen3/config-Qwen3-0.6B", 1000000, FT_ROPE_PLAIN, 8, 28, 151645, true, 128, 0},
                {"qwen3/config-Qwen3-4B", 1000000, FT_ROPE_PLAIN, 8, 36, 151645, true, 128, 0},
                {"bert-base-uncased/config", 10000, FT_ROPE_PLAIN, 12, 12, -1, true, 64, 0},
                {"noinstruct-small-embedding-bert/config", 10000, FT_ROPE_PLAIN, 12, 12, -1, true, 32, 0}};
    for (size_t i = 0; i < FT_COUNT(real); i++) {
        char name[256];
        ft_config c;
        json_t *json;
        snprintf(name, sizeof name, "vocab/hf/%s.json", real[i].name);
        const char *path = ft_test_shared(name);
        if (!path)
            FT_SKIP("../shared is absent");
        ck_assert_ok(ft_json_file(&json, path, 1 << 20));
        ck_assert_ok(ft_config__read(&c, json, path));
        ck_assert_double_eq(c.rope_theta, real[i].theta);
        ck_assert_int_eq(c.rope_kind, real[i].rope);
        ck_assert_int_eq(c.num_key_value_heads, real[i].kv_heads);
        ck_assert_int_eq(c.num_hidden_layers, real[i].layers);
        ck_assert_int_eq(c.eos_token_id, real[i].eos);
        ck_assert_int_eq(c.head_dim, real[i].head_dim);
        ck_assert_int_eq(c.layers[c.num_hidden_layers - 1].window, real[i].window);
        ck_assert_int_eq(c.tie_word_embeddings, real[i].tied);
        ft_config__free(&c);
    }
}
END_TEST

/* Keys under newer names, lists of layers, settings that a family refuses. */
START_TEST(families_read_their_own_settings)
{
    ft_model *m =
        random_model("{\"model_type\": \"gemma3_text\", \"layer_types\": [\"full_attention\", \"sliding_attention\"], "
                     "\"sliding_window\": 9, "
                     "\"rope_parameters\": {\"full_attention\": {\"rope_theta\": 5000.0, \"rope_type\": \"default\"}, "
                     "\"sliding_attention\": {\"rope_theta\": 700.0, \"rope_type\": \"default\"}}}");
    const ft_config *c = ft_model_config(m);
    ck_assert(c->layers[0].window == 0 && c->layers[0].rope == FT_TURN);
    ck_assert(c->layers[1].window == 9 && c->layers[1].rope == FT_TURN_LOCAL);
    ck_assert(c->rope_theta == 5000 && c->rope_local_theta == 700);
    ck_assert(c->tie_word_embeddings && c->norm_plus == 1 && c->gate == FT_GATE_GELU);
    ck_assert_float_eq_tol(c->attention_scale, 1 / 16.0f, 1e-7);
    ck_assert_float_eq_tol(c->embedding_scale, sqrtf(32), 1e-6);
    ft_model_free(m);
    m = random_model("{\"model_type\": \"gemma2\", \"final_logit_softcapping\": null, \"sliding_window\": null}");
    c = ft_model_config(m);
    ck_assert(c->attention_softcap == 50 && c->final_softcap == 0 && c->layers[0].window == 0);
    ft_model_free(m);
    m = random_model("{\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"max_window_layers\": 1, "
                     "\"sliding_window\": 9}");
    c = ft_model_config(m);
    ck_assert(c->layers[0].window == 0 && c->layers[1].window == 9);
    ck_assert_ptr_nonnull(ft_model_find(m, "model.layers.0.self_attn.k_proj.bias"));
    ck_assert_ptr_null(ft_model_find(m, "model.layers.0.self_attn.o_proj.bias"));
    ft_model_free(m);
}
END_TEST

START_TEST(wrong_settings_of_families_are_named)
{
    static const struct {
        const char *more, *text;
        ft_status kind;
    } wrong[] = {
        {"{\"model_type\": \"gemma2\", \"hidden_activation\": \"relu\"}",
         "hidden_activation is \"relu\", a gemma2 model has \"gelu_pytorch_tanh\"", FT_EUNSUPPORTED},
        {"{\"model_type\": \"gemma2\", \"query_pre_attn_scalar\": 0}", "query_pre_attn_scalar is 0", FT_EFORMAT},
        {"{\"model_type\": \"gemma3_text\", \"sliding_window_pattern\": 0}", "sliding_window_pattern is 0, 1 to",
         FT_EFORMAT},
        {"{\"model_type\": \"mistral\", \"layer_types\": [\"full_attention\"]}",
         "layer_types is no list of num_hidden_layers (2)", FT_EFORMAT},
        {"{\"model_type\": \"mistral\", \"layer_types\": [\"full_attention\", \"linear_attention\"]}",
         "layer_types[1] is \"linear_attention\"", FT_EUNSUPPORTED},
        {"{\"layer_types\": [\"full_attention\", \"sliding_attention\"]}", "there is no sliding_window", FT_EFORMAT},
        {"{\"model_type\": \"mistral\", \"sliding_window\": -3}", "sliding_window is -3", FT_EFORMAT},
        {"{\"model_type\": \"phi3\", \"partial_rotary_factor\": 0.1}", "partial_rotary_factor is 0.1", FT_EFORMAT},
        {"{\"model_type\": \"phi3\", \"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1], "
         "\"long_factor\": [1]}}",
         "rope_scaling.short_factor is no list of 4 numbers", FT_EFORMAT},
        {"{\"model_type\": \"phi3\", \"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1, 1, 0, 1], "
         "\"long_factor\": [1]}}",
         "rope_scaling.short_factor[2] is no positive number", FT_EFORMAT},
        {"{\"model_type\": \"smollm3\", \"no_rope_layers\": [1]}", "no_rope_layers is no list of num_hidden_layers (2)",
         FT_EFORMAT},
        {"{\"model_type\": \"granite\", \"logits_scaling\": 0}", "logits_scaling is 0", FT_EFORMAT},
        {"{\"model_type\": \"granite\", \"residual_multiplier\": -1}", "residual_multiplier is -1", FT_EFORMAT},
        {"{\"model_type\": \"bert\", \"position_embedding_type\": \"relative_key\"}", "relative_key", FT_EUNSUPPORTED},
        {"{\"model_type\": \"bert\", \"layer_norm_eps\": 0}", "layer_norm_eps is 0", FT_EFORMAT},
    };
    for (size_t i = 0; i < FT_COUNT(wrong); i++)
        ck_assert_fails(open_config(small_config(wrong[i].more)), wrong[i].kind, wrong[i].text);
}
END_TEST

int main(void)
{
    FT_TESTS("config", absent_keys_have_the_familys_defaults, head_dim_need_not_be_hidden_over_heads,
             wrong_configs_are_named, a_model_larger_than_the_machine_is_refused_before_it_is_made,
             frequencies_are_the_references, real_configs_are_read, families_read_their_own_settings,
             wrong_settings_of_families_are_named);
}
