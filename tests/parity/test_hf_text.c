/* Texts of transformers: tiny LLaMAs that it saved go on from prompts, always by the most likely token, exactly as it
 * had them go on itself (scripts/reference/llama_hf.py), through the programs of generation.
 *
 * Usage: test-hf-text FOLDER CASE cpu|cuda, FOLDER/CASE being a folder of transformers with a file generated.json: a
 * list of prompts, penalties of repetitions, and texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "train/generate.h"
#include "train/hf_folder.h"

#define OK(call) \
    do { \
        if (call) fail_msg("%s", dt_error_message()); \
    } while (0)

enum { LONGEST = 64, SIDE_BY_SIDE = 2 };

static char folder[512];
static const char *device_word;

static dt_settings *read_settings(void)
{
    const dt_setting_table tables[] = {dt_nn_settings, dt_model_settings, dt_data_settings, dt_train_settings,
                                       dt_checkpoint_settings};
    const char *const words[] = {device_word, "data.kind=synthetic_text", "threads=2"};
    dt_settings *settings;
    dt_text yaml = {0};
    OK(dt_hf_folder_settings(folder, &yaml));
    OK(dt_settings_parse(yaml.data, yaml.length, "yaml", words, sizeof words / sizeof *words, tables,
                         sizeof tables / sizeof *tables, &settings));
    dt_text_free(&yaml);
    return settings;
}

static void read_tokens(const json_t *from, const char *key, dt_tokens *out)
{
    const json_t *list = json_object_get(from, key);
    size_t count = json_array_size(list);
    assert_in_range(count, 1, LONGEST);
    OK(dt_tokens_reserve(out, (int64_t)count));
    for (size_t i = 0; i < count; i++) out->token[i] = (int32_t)json_integer_value(json_array_get(list, i));
    out->count = (int64_t)count;
}

/* --- what comes out --- */

typedef struct going { /* how far the texts are */
    const dt_tokens *want;
    int64_t *length;
    double penalty;
} going;

static dt_status check_token(void *context, int64_t text, int32_t token)
{
    going *g = context;
    assert_true(g->length[text] < g->want[text].count);
    int32_t want = g->want[text].token[g->length[text]++];
    if (token != want)
        fail_msg("penalty %g, text %lld: token %lld is %d, not %d", g->penalty, (long long)text,
                 (long long)g->length[text] - 1, (int)token, (int)want);
    return DT_OK;
}

static dt_status check_end(void *context, int64_t text, bool ended)
{
    const going *g = context;
    assert_false(ended);
    assert_int_equal(g->length[text], g->want[text].count);
    return DT_OK;
}

/* All texts of one penalty, more of them than go on side by side. */
static void check_texts(dt_session *session, const json_t *list, double penalty)
{
    size_t total = json_array_size(list), count = 0;
    dt_tokens *prompt = calloc(total, sizeof *prompt), *want = calloc(total, sizeof *want);
    int64_t *length = calloc(total, sizeof *length);
    assert_true(prompt && want && length);
    for (size_t i = 0; i < total; i++) {
        const json_t *one = json_array_get(list, i);
        if (json_number_value(json_object_get(one, "repetition_penalty")) != penalty) continue;
        read_tokens(one, "prompt", &prompt[count]);
        read_tokens(one, "text", &want[count++]);
    }
    assert_true(count > SIDE_BY_SIDE);
    going g = {want, length, penalty};
    dt_generate_options options = {.sampling = {.top_p = 1, .repetition_penalty = penalty}, .tokens = want[0].count,
                                   .vocabulary = dt_model_dims_of(dt_session_model(session)).classes, .end = -1,
                                   .token = check_token, .done = check_end, .context = &g};
    OK(dt_generate(session, prompt, (int64_t)count, &options));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(length[i], want[i].count);
        free(prompt[i].token);
        free(want[i].token);
    }
    free(prompt);
    free(want);
    free(length);
}

static void texts_agree_token_for_token(void **state)
{
    char path[600];
    json_t *list;
    dt_session *session;
    dt_settings *settings = read_settings();
    const dt_session_options options = {.eval_only = true, .sequences = SIDE_BY_SIDE};
    const dt_weights_options weights = {.unread = dt_hf_unread};
    snprintf(path, sizeof path, "%s/generated.json", folder);
    OK(dt_json_read(path, 1 << 20, &list));
    OK(dt_session_create(settings, &options, NULL, &session));
    OK(dt_weights_load(folder, dt_session_store(session), &weights, NULL));
    check_texts(session, list, 1);
    check_texts(session, list, 2);
    dt_session_free(session);
    dt_settings_free(settings);
    json_decref(list);
}

int main(int count, char **args)
{
    if (count != 4) return 2;
    snprintf(folder, sizeof folder, "%s/%s", args[1], args[2]);
    bool cuda = !strcmp(args[3], "cuda");
    device_word = cuda ? "device=cuda" : "device=cpu";
    if (dt_backend_check(cuda ? DT_CUDA : DT_CPU, 0)) return printf("1..0 # SKIP %s\n", dt_error_message()) < 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts_agree_token_for_token)};
    return cmocka_run_group_tests_name(args[2], tests, NULL, NULL);
}
