/* The Hugging Face form of models: what of a config.json is understood, what is refused by name, what is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/hf.h"

#define OK(call)                                       \
    do {                                               \
        if (call) fail_msg("%s", dt_error_message());  \
    } while (0)

#define SIZES "\"hidden_size\": 64, \"vocab_size\": 96, \"intermediate_size\": 32, \"num_hidden_layers\": 1, " \
    "\"num_attention_heads\": 8"
#define LLAMA3 "{\"type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, " \
    "\"original_max_position_embeddings\": 4096}"
#define LLAMA "\"model_type\": \"llama\", " SIZES

static dt_status read_config(const char *json, dt_text *yaml)
{
    json_t *config;
    *yaml = (dt_text){0};
    OK(dt_json_parse(json, strlen(json), "config.json", &config));
    dt_status status = dt_hf_settings(config, "config.json", yaml);
    json_decref(config);
    return status;
}

static void refuse(const char *json, const char *message)
{
    dt_text yaml;
    assert_int_equal(read_config(json, &yaml), DT_ERR_DATA);
    if (!strstr(dt_error_message(), message)) fail_msg("'%s' does not say '%s'", dt_error_message(), message);
    dt_text_free(&yaml);
}

static void expect(const char *json, const char *wanted)
{
    dt_text yaml;
    OK(read_config(json, &yaml));
    if (!strstr(yaml.data, wanted)) fail_msg("%s has no %s", yaml.data, wanted);
    dt_text_free(&yaml);
}

static void what_would_be_computed_otherwise_is_refused(void **state)
{
    refuse("[]", "not a JSON object");
    refuse("{}", "'model_type' is missing");
    refuse("{\"model_type\": \"mistral\"}", "model_type 'mistral' is not supported, only llama, dyt_llama");
    refuse("{\"architectures\": [\"LlamaForSequenceClassification\"], " LLAMA "}",
           "architectures 'LlamaForSequenceClassification' is not supported, only LlamaForCausalLM");
    refuse("{\"model_type\": \"llama\"}", "'vocab_size' is missing");
    refuse("{\"model_type\": \"llama\", \"vocab_size\": \"96\"}", "'vocab_size' must be an integer");
    refuse("{\"hidden_act\": \"gelu\", " LLAMA "}", "hidden_act \"gelu\" is not supported, only \"silu\"");
    refuse("{\"attention_bias\": true, " LLAMA "}", "attention_bias true is not supported, only false");
    refuse("{\"mlp_bias\": true, " LLAMA "}", "mlp_bias true");
    refuse("{\"quantization_config\": {\"bits\": 4}, " LLAMA "}", "quantization_config {\"bits\":4}");
    refuse("{\"head_dim\": 16, " LLAMA "}", "head_dim 16");
    refuse("{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, " LLAMA "}", "rope type 'linear'");
    refuse("{\"rope_parameters\": {\"rope_type\": \"yarn\"}, " LLAMA "}",
           "rope type 'yarn' is not supported, only default and llama3");
    refuse("{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 2}, " LLAMA "}", "'low_freq_factor' is missing");
    refuse("{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 0}, " LLAMA "}", "factor 0");
    refuse("{\"rope_parameters\": {\"factor\": 2, \"rope_theta\": 500}, " LLAMA "}", "but no rope_type");
    refuse("{\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"linear\"}}, " LLAMA "}",
           "its rotation has more than a rope_theta but no rope_type");
    refuse("{\"original_max_position_embeddings\": 8192, \"rope_scaling\": " LLAMA3 ", " LLAMA "}",
           "original_max_position_embeddings is 4096 in the rotation and 8192 beside it");
    refuse("{\"rope_scaling\": 2, " LLAMA "}", "rope scaling is not an object");
    refuse("{\"rope_parameters\": {\"rope_type\": \"default\"}, "
           "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2}, " LLAMA "}", "rope type 'linear'");
    refuse("{\"rope_parameters\": {\"rope_type\": \"default\"}, \"rope_scaling\": " LLAMA3 ", " LLAMA "}",
           "rope_parameters and rope_scaling ask for different rotations");
    refuse("{\"partial_rotary_factor\": 0.5, " LLAMA "}", "partial_rotary_factor 0.5");
    refuse("{\"tie_word_embeddings\": 1, " LLAMA "}", "'tie_word_embeddings' must be a truth value");
    refuse("{\"model_type\": \"dyt_llama\", " SIZES "}", "'norms' is missing");
    refuse("{\"model_type\": \"dyt_llama\", \"norms\": {\"attention\": {\"kind\": \"dyt\", \"beta\": 1}}, " SIZES "}",
           "norms: 'beta' of site 'attention' is not known");
    refuse("{\"model_type\": \"dyt_llama\", \"norms\": {\"attention\": {\"kind\": \"dyt\"}}, " SIZES "}",
           "'ffn' is missing");
}

/* Each version has its own place for the rotations; what is left out has transformers' default. */
static void all_versions_are_understood(void **state)
{
    expect("{" LLAMA "}", "\"rope_theta\":10000.0");
    expect("{" LLAMA "}", "\"norm\":{\"epsilon\":9.9999999999999995e-7,\"kind\":\"rmsnorm\"}");
    expect("{\"max_position_embeddings\": 2048, " LLAMA "}", "\"context\":2048");
    expect("{\"rope_theta\": 500, \"rope_scaling\": null, " LLAMA "}", "\"rope_theta\":500.0");
    expect("{\"rope_parameters\": {\"rope_theta\": 500, \"rope_type\": \"default\"}, " LLAMA "}",
           "\"rope_theta\":500.0");
    static const char scaled[] = "\"rope_factor\":8.0,\"rope_low\":1.0,\"rope_high\":4.0,\"rope_context\":4096";
    expect("{\"rope_scaling\": " LLAMA3 ", " LLAMA "}", scaled);
    expect("{\"rope_parameters\": " LLAMA3 ", \"rope_scaling\": " LLAMA3 ", " LLAMA "}", scaled);
    expect("{\"tie_word_embeddings\": true, " LLAMA "}", "\"tied\":true");
}

/* A kind of norm that the exported Python does not have could not be opened. */
static void python_has_every_kind_of_norm(void **state)
{
    static const char *const kinds[] = {
        "layernorm", "rmsnorm",
#define X(name, shift, flops) #name,
        DT_POINTWISE_KINDS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char quoted[32];
        snprintf(quoted, sizeof quoted, "\"%s\"", kinds[i]);
        if (!strstr(dt_hf_dyt_llama, quoted)) fail_msg("modeling_dyt_llama.py has no %s", quoted);
    }
}

static void a_model_without_the_form_says_so(void **state)
{
    dt_model model = {.entry = &dt_model_vit};
    const dt_hf_kind *kind;
    dt_text text = {0};
    assert_int_equal(dt_hf_config(&model, NULL, DT_F32, &text, &kind), DT_ERR_USAGE);
    assert_non_null(strstr(dt_error_message(), "model.arch=vit has no Hugging Face form"));
    dt_text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_would_be_computed_otherwise_is_refused),
        cmocka_unit_test(all_versions_are_understood),
        cmocka_unit_test(python_has_every_kind_of_norm),
        cmocka_unit_test(a_model_without_the_form_says_so),
    };
    return cmocka_run_group_tests_name("hf", tests, NULL, NULL);
}
