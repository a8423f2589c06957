/* Folders of transformers: tiny LLaMAs that it saved itself, with the logits that it computed
 * (scripts/reference/llama_hf.py), are imported, must give the same logits, and are exported again.
 *
 * Usage: test-hf FOLDER CASE, FOLDER/CASE being a folder of transformers with a file logits.json: rows of tokens, and
 * their logits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "train/hf_folder.h"
#include "train/programs.h"
#include "train/train.h"

#define OK(call) \
    do { \
        if (call) fail_msg("%s", dt_error_message()); \
    } while (0)

enum { MAX_TOKENS = 128, MAX_LOGITS = 8192 };

typedef struct hf {
    char folder[512];
    json_t *json; /* logits.json */
    int64_t rows, context;
    int32_t tokens[MAX_TOKENS];
    dt_settings *settings;
    dt_recipe recipe;
    dt_model *model;
    dt_device *device;
    dt_comm *comm;
    dt_store *store;
    dt_program *forward;
    void *arena;
} hf;

static void read_tokens(hf *h)
{
    char path[600];
    snprintf(path, sizeof path, "%s/logits.json", h->folder);
    OK(dt_json_read(path, 1 << 20, &h->json));
    json_t *rows = json_object_get(h->json, "tokens");
    h->rows = (int64_t)json_array_size(rows);
    h->context = (int64_t)json_array_size(json_array_get(rows, 0));
    assert_in_range(h->rows * h->context, 1, MAX_TOKENS);
    for (int64_t i = 0; i < h->rows * h->context; i++) {
        json_t *row = json_array_get(rows, (size_t)(i / h->context));
        h->tokens[i] = (int32_t)json_integer_value(json_array_get(row, (size_t)(i % h->context)));
    }
}

static void read_settings(hf *h)
{
    const dt_setting_table tables[] = {dt_nn_settings, dt_model_settings, dt_data_settings, dt_train_settings,
                                       dt_checkpoint_settings};
    char batch[32], context[32];
    const char *const words[] = {batch, context};
    dt_text yaml = {0};
    snprintf(batch, sizeof batch, "data.batch=%lld", (long long)h->rows);
    snprintf(context, sizeof context, "data.context=%lld", (long long)h->context);
    OK(dt_hf_folder_settings(h->folder, &yaml));
    OK(dt_settings_parse(yaml.data, yaml.length, "yaml", words, 2, tables, sizeof tables / sizeof *tables,
                         &h->settings));
    dt_text_free(&yaml);
}

static void make_forward(hf *h)
{
    dt_graph *g = NULL;
    dt_device_info info;
    OK(dt_graph_create(h->store, false, &g));
    dt_model_feed feed = {.tokens = dt_input(g, "tokens", DT_I32, DT_SHAPE(h->rows, h->context))};
    dt_graph_output(g, "logits", dt_model_build(h->model, g, &feed));
    OK(dt_passes_run(g, NULL, &h->recipe.passes));
    OK(dt_store_layout(h->store, h->recipe.type));
    OK(dt_store_alloc(h->store, h->device, 1u << DT_BUFFER_VALUE));
    OK(dt_device_query(h->device, &info));
    OK(dt_program_create(g, "forward", DT_CPU, &info, &(dt_plan_options){0}, &h->forward));
    OK(dt_device_alloc(h->device, DT_MEMORY_ARENA, (size_t)dt_program_arena_bytes(h->forward), &h->arena));
    OK(dt_program_bind(h->forward, h->device, h->comm, h->arena));
}

static hf open_folder(const char *folder)
{
    hf h = {0};
    snprintf(h.folder, sizeof h.folder, "%s", folder);
    read_tokens(&h);
    read_settings(&h);
    dt_model_input input = {.context = h.context, .vocabulary = dt_setting_int(h.settings, "data.vocabulary")};
    OK(dt_model_create(h.settings, &input, &h.model));
    OK(dt_recipe_read(h.settings, DT_CPU, true, 1, &h.recipe));
    OK(dt_device_open(DT_CPU, 0, 1, &h.device));
    OK(dt_comm_create_single(h.device, &h.comm));
    OK(dt_store_create(&h.store));
    make_forward(&h);
    OK(dt_weights_load(h.folder, h.store, &(dt_weights_options){.unread = dt_hf_unread, .twins = dt_hf_twins}, NULL));
    return h;
}

static void close_folder(hf *h)
{
    int64_t bytes = dt_program_arena_bytes(h->forward);
    dt_program_free(h->forward);
    dt_device_free(h->device, DT_MEMORY_ARENA, h->arena, (size_t)bytes);
    dt_store_free(h->store);
    dt_comm_free(h->comm);
    dt_device_close(h->device);
    dt_model_free(h->model);
    dt_settings_free(h->settings);
    json_decref(h->json);
}

/* --- the tests --- */

static void logits_agree(void **state)
{
    hf h = open_folder(*state);
    static float logits[MAX_LOGITS];
    const dt_tensor *output = dt_graph_output_at(dt_program_graph(h.forward), 0, NULL);
    int64_t width = dt_shape_last(&output->shape), classes = dt_model_dims_of(h.model).classes;
    size_t count = (size_t)dt_shape_count(&output->shape);
    const json_t *list = json_object_get(h.json, "logits");
    assert_in_range(count, 1, MAX_LOGITS);
    assert_int_equal(json_array_size(list), h.rows * h.context * classes);
    OK(dt_program_run(h.forward, &(dt_run){.slot = (char *)h.tokens, .last = true}));
    OK(dt_program_read(h.forward, "logits", logits, count * sizeof *logits));
    OK(dt_device_sync(h.device, DT_STREAM_COMPUTE));
    for (int64_t i = 0; i < h.rows * h.context * classes; i++) {
        double ours = logits[i / classes * width + i % classes];
        double theirs = json_number_value(json_array_get(list, (size_t)i));
        if (!(fabs(ours - theirs) <= 1e-5)) fail_msg("logit %lld: %.9g, not %.9g", (long long)i, ours, theirs);
    }
    close_folder(&h);
}

static void same_param(const hf *a, const hf *b, int index)
{
    const dt_param *p = dt_store_param(a->store, index), *q = dt_store_find(b->store, p->name);
    assert_non_null(q);
    assert_int_equal(p->count, q->count);
    size_t bytes = (size_t)p->count * sizeof(float);
    float *x = malloc(bytes), *y = malloc(bytes);
    assert_true(x && y);
    OK(dt_store_read(a->store, p, DT_BUFFER_VALUE, DT_F32, x));
    OK(dt_store_read(b->store, q, DT_BUFFER_VALUE, DT_F32, y));
    assert_memory_equal(x, y, bytes);
    free(x);
    free(y);
}

/* Its config.json stands for the same settings, and its weights are the same. */
static void exported_again_it_is_the_same(void **state)
{
    char folder[] = "/tmp/dyttrain-hf-XXXXXX", to[64], path[600];
    const dt_hf_kind *kind;
    char *bytes;
    size_t size;
    dt_text first = {0}, second = {0};
    hf h = open_folder(*state);
    assert_non_null(mkdtemp(folder));
    snprintf(to, sizeof to, "%s/out", folder);
    OK(dt_hf_folder_write(to, h.model, h.settings, h.store, 8192, &kind));
    snprintf(path, sizeof path, "%s/logits.json", h.folder);
    OK(dt_file_read(path, 1 << 20, &bytes, &size));
    snprintf(path, sizeof path, "%s/logits.json", to);
    OK(dt_file_replace(path, bytes, size));
    free(bytes);
    hf again = open_folder(to);
    dt_settings_print(h.settings, &first);
    dt_settings_print(again.settings, &second);
    assert_string_equal(first.data, second.data);
    assert_int_equal(dt_store_params(h.store), dt_store_params(again.store));
    for (int i = 0; i < dt_store_params(h.store); i++) same_param(&h, &again, i);
    dt_text_free(&first);
    dt_text_free(&second);
    close_folder(&again);
    close_folder(&h);
    OK(dt_folder_remove(folder));
}

int main(int count, char **args)
{
    char folder[512];
    if (count != 3) return 2;
    snprintf(folder, sizeof folder, "%s/%s", args[1], args[2]);
    const struct CMUnitTest tests[] = {
        {"logits agree in float32", logits_agree, NULL, NULL, folder},
        {"exported again it is the same", exported_again_it_is_the_same, NULL, NULL, folder},
    };
    return _cmocka_run_group_tests(args[2], tests, 2, NULL, NULL);
}
