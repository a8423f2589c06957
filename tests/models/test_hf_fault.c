/* Every allocation of reading and of writing a config.json made to fail in turn: an error and nothing leaked, or the
 * very text of an undisturbed call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "models/hf.h"
#include "train/train.h"

#define OK(call) \
    do { \
        if (call) fail_msg("%s", dt_error_message()); \
    } while (0)

static const char source[] =
    "{\"model_type\": \"dyt_llama\", \"architectures\": [\"DytLlamaForCausalLM\"], \"hidden_size\": 16, "
    "\"vocab_size\": 20, \"intermediate_size\": 24, \"num_hidden_layers\": 1, \"num_attention_heads\": 2, "
    "\"num_key_value_heads\": 1, \"head_dim\": 8, \"max_position_embeddings\": 8, \"hidden_act\": \"silu\", "
    "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "
    "\"original_max_position_embeddings\": 4096}, \"embedding_scale\": true, \"tie_word_embeddings\": true, "
    "\"norms\": {\"attention\": {\"kind\": \"dyt\", \"alpha0\": 0.8, \"bias\": false}, "
    "\"ffn\": {\"kind\": \"rmsnorm\"}, \"final\": {\"kind\": \"derf\", \"alpha0\": 0.25}}}";

typedef struct subject {
    json_t *config;
    dt_settings *settings;
    dt_model *model;
} subject;

static dt_status read_config(const subject *s, dt_text *out) { return dt_hf_settings(s->config, "config.json", out); }

static dt_status write_config(const subject *s, dt_text *out)
{
    const dt_hf_kind *kind;
    return dt_hf_config(s->model, s->settings, DT_F32, out, &kind);
}

static subject create(void)
{
    const dt_setting_table tables[] = {dt_nn_settings, dt_model_settings, dt_data_settings, dt_train_settings,
                                       dt_checkpoint_settings};
    subject s;
    dt_text yaml = {0};
    OK(dt_json_parse(source, sizeof source - 1, "config.json", &s.config));
    OK(read_config(&s, &yaml));
    OK(dt_settings_parse(yaml.data, yaml.length, "yaml", NULL, 0, tables, sizeof tables / sizeof *tables,
                         &s.settings));
    OK(dt_model_create(s.settings, &(dt_model_input){.context = 8, .vocabulary = 20}, &s.model));
    dt_text_free(&yaml);
    return s;
}

static void release(subject *s)
{
    dt_model_free(s->model);
    dt_settings_free(s->settings);
    json_decref(s->config);
}

/* Fails allocation `n`; returns whether there was one. */
static bool call_with_fault(int n, const subject *s, dt_status (*call)(const subject *, dt_text *), const char *wanted)
{
    char fault[32];
    dt_text text = {0};
    snprintf(fault, sizeof fault, "alloc:%d", n);
    dt_error_clear();
    dt_fault_arm(fault);
    dt_status status = call(s, &text);
    bool struck = dt_fault_calls() >= n, same = !status && text.data && !strcmp(text.data, wanted);
    dt_text_free(&text);
    long leaked = dt_fault_live();
    dt_fault_arm(NULL);
    if (status && (status != DT_ERR_MEMORY || !strstr(dt_error_message(), "out of memory")))
        fail_msg("allocation %d: status %d, '%s'", n, status, dt_error_message());
    if (!status && !same) fail_msg("allocation %d: another text without an error", n);
    if (leaked) fail_msg("allocation %d: %ld blocks leaked", n, leaked);
    return struck;
}

static void every_allocation_may_fail(dt_status (*call)(const subject *, dt_text *))
{
    dt_text wanted = {0};
    subject s = create();
    int n = 1;
    OK(call(&s, &wanted));
    while (call_with_fault(n, &s, call, wanted.data)) n++;
    assert_in_range(n, 20, 10000);
    dt_text_free(&wanted);
    release(&s);
}

static void every_allocation_of_reading_may_fail(void **state) { every_allocation_may_fail(read_config); }
static void every_allocation_of_writing_may_fail(void **state) { every_allocation_may_fail(write_config); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_of_reading_may_fail),
        cmocka_unit_test(every_allocation_of_writing_may_fail),
    };
    return cmocka_run_group_tests_name("hf fault", tests, NULL, NULL);
}
