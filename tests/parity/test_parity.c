/* Parity with timm and transformers: tiny ViTs and LLaMAs whose logits, loss, gradients and ten AdamW steps were
 * computed by their own models in float64 (scripts/reference/make_vit_parity.py, make_llama_parity.py), against the
 * graphs that training runs.
 *
 * Usage: test-parity FOLDER CASE cpu|cuda. The start weights come in through dt_weights_load, as `init.from` reads
 * them. CUDA has float32 alone of the two precisions, with the same bounds; its ten steps are recorded and replayed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "train/programs.h"
#include "train/safetensors.h"
#include "train/train.h"

#define OK(call) \
    do { \
        if (call) fail_msg("%s", dt_error_message()); \
    } while (0)

enum { MAX_SETTINGS = 32, MAX_BATCH = 16, MAX_TOKENS = 64, MAX_LOGITS = 4096, STEPS = 10 };

/* What differs between the tests: the argument of every one. */
typedef struct parity_source {
    const char *folder, *name;
    dt_backend backend;
} parity_source;

typedef struct parity {
    const parity_source *source;
    json_t *json;
    dt_settings *settings;
    dt_data_info info;
    int64_t count; /* samples, or targets that count */
    dt_recipe recipe;
    dt_optimizer optimizer;
    dt_model *model;
    dt_device *device;
    dt_comm *comm;
    dt_store *store;
    dt_program *pass, *update, *forward;
    void *arena, *slot;
    int64_t arena_bytes, slot_bytes;
} parity;

/* --- building --- */

static void path_of(const parity *p, const char *end, char out[512])
{
    snprintf(out, 512, "%s/%s.%s", p->source->folder, p->source->name, end);
}

static double number_of(const parity *p, const char *key)
{
    double value;
    OK(dt_json_real(p->json, key, p->source->name, &value));
    return value;
}

static void read_settings(parity *p, const char *precision)
{
    const dt_setting_table tables[] = {dt_nn_settings, dt_model_settings, dt_data_settings, dt_train_settings,
                                       dt_checkpoint_settings};
    const char *words[MAX_SETTINGS] = {precision};
    json_t *list = json_object_get(p->json, "settings");
    size_t count = json_array_size(list);
    assert_in_range(count, 1, MAX_SETTINGS - 1);
    for (size_t i = 0; i < count; i++) words[i + 1] = json_string_value(json_array_get(list, i));
    OK(dt_settings_load(NULL, words, count + 1, tables, sizeof tables / sizeof *tables, &p->settings));
}

static void read_case(parity *p, const char *precision)
{
    char path[512];
    path_of(p, "json", path);
    OK(dt_json_read(path, 1 << 20, &p->json));
    read_settings(p, precision);
    if (json_object_get(p->json, "tokens")) {
        p->info = (dt_data_info){.form = DT_FORM_TOKENS, .context = (int64_t)number_of(p, "context"),
                                 .vocabulary = (int64_t)number_of(p, "vocabulary")};
        return;
    }
    p->info.channels = (int64_t)number_of(p, "channels");
    p->info.classes = (int64_t)number_of(p, "classes");
    p->info.height = p->info.width = dt_setting_int(p->settings, "model.image");
    for (int64_t c = 0; c < p->info.channels; c++)
        p->info.mean[c] = number_of(p, "mean"), p->info.std[c] = number_of(p, "std");
}

static bool of_tokens(const parity *p) { return p->info.form == DT_FORM_TOKENS; }

static dt_tensor *normalised_images(const parity *p, dt_graph *g)
{
    dt_normalize_attr normalize;
    memcpy(normalize.mean, p->info.mean, sizeof normalize.mean);
    memcpy(normalize.std, p->info.std, sizeof normalize.std);
    dt_shape shape = DT_SHAPE(p->recipe.micro, p->info.channels, p->info.height, p->info.width);
    return dt_normalize(g, dt_input(g, "images", DT_U8, shape), normalize);
}

/* The model alone, from normalised images or tokens to logits. */
static dt_graph *forward_graph(const parity *p)
{
    dt_graph *g = NULL;
    dt_model_feed feed = {0};
    OK(dt_graph_create(p->store, false, &g));
    if (of_tokens(p)) feed.tokens = dt_input(g, "tokens", DT_I32, DT_SHAPE(p->recipe.micro, p->info.context));
    else feed.images = normalised_images(p, g);
    dt_graph_output(g, "logits", dt_model_build(p->model, g, &feed));
    OK(dt_passes_run(g, NULL, &p->recipe.passes));
    return g;
}

static dt_program *program_of(parity *p, dt_graph *g, const char *name)
{
    dt_device_info info;
    dt_program *program = NULL;
    OK(dt_device_query(p->device, &info));
    OK(dt_program_create(g, name, p->source->backend, &info, &(dt_plan_options){0}, &program));
    if (p->arena_bytes < dt_program_arena_bytes(program)) p->arena_bytes = dt_program_arena_bytes(program);
    if (p->slot_bytes < dt_program_feed_bytes(program)) p->slot_bytes = dt_program_feed_bytes(program);
    return program;
}

static void make_programs(parity *p)
{
    dt_build build = {.model = p->model, .info = &p->info, .recipe = &p->recipe, .store = p->store,
                      .optimizer = &p->optimizer};
    dt_graph *pass = NULL, *update = NULL;
    dt_tensor *loss = NULL;
    OK(dt_build_pass(&build, &pass, &loss));
    OK(dt_store_layout(p->store, p->recipe.type));
    OK(dt_passes_run(pass, loss, &p->recipe.passes));
    p->pass = program_of(p, pass, "pass");
    OK(dt_optimizer_spans(&p->optimizer, p->store, p->device));
    OK(dt_build_update(&build, &update));
    OK(dt_passes_run(update, NULL, &p->recipe.passes));
    p->update = program_of(p, update, "update");
    p->forward = program_of(p, forward_graph(p), "forward");
}

static void bind_programs(parity *p)
{
    unsigned buffers = 1u << DT_BUFFER_VALUE | 1u << DT_BUFFER_GRADIENT | dt_optimizer_buffers(&p->optimizer);
    OK(dt_store_alloc(p->store, p->device, buffers));
    OK(dt_device_alloc(p->device, DT_MEMORY_ARENA, (size_t)p->arena_bytes, &p->arena));
    OK(dt_device_alloc(p->device, DT_MEMORY_FEED, (size_t)p->slot_bytes, &p->slot));
    dt_program *programs[] = {p->pass, p->update, p->forward};
    for (size_t i = 0; i < 3; i++) OK(dt_program_bind(programs[i], p->device, p->comm, p->arena));
}

static parity open_case(const parity_source *source, const char *precision)
{
    char path[512];
    parity p = {.source = source};
    read_case(&p, precision);
    dt_model_input input = {p.info.channels, p.info.height, p.info.width, p.info.classes, p.info.context,
                            p.info.vocabulary};
    OK(dt_model_create(p.settings, &input, &p.model));
    OK(dt_recipe_read(p.settings, source->backend, false, 1, &p.recipe));
    p.count = p.recipe.batch;
    OK(dt_optimizer_create(p.settings, &p.optimizer));
    OK(dt_device_open(source->backend, 0, 2, &p.device));
    OK(dt_comm_create_single(p.device, &p.comm));
    OK(dt_store_create(&p.store));
    make_programs(&p);
    bind_programs(&p);
    path_of(&p, "weights.safetensors", path);
    OK(dt_weights_load(path, p.store, &(dt_weights_options){0}, NULL));
    return p;
}

static void close_case(parity *p)
{
    dt_program_free(p->pass);
    dt_program_free(p->update);
    dt_program_free(p->forward);
    dt_device_free(p->device, DT_MEMORY_ARENA, p->arena, (size_t)p->arena_bytes);
    dt_device_free(p->device, DT_MEMORY_FEED, p->slot, (size_t)p->slot_bytes);
    dt_optimizer_free(&p->optimizer);
    dt_store_free(p->store);
    dt_comm_free(p->comm);
    dt_device_close(p->device);
    dt_model_free(p->model);
    dt_settings_free(p->settings);
    json_decref(p->json);
}

/* --- running --- */

static void feed(parity *p, const dt_program *program, const char *name, const void *data, size_t bytes)
{
    const dt_feed_field *field = dt_program_feed(program, name);
    assert_non_null(field);
    assert_int_equal(field->bytes, bytes);
    OK(dt_device_upload(p->device, DT_STREAM_COMPUTE, (char *)p->slot + field->offset, data, bytes));
}

static void feed_images(parity *p, const dt_program *program)
{
    char path[512];
    dt_safetensors *file = NULL;
    path_of(p, "input.safetensors", path);
    OK(dt_safetensors_open(path, &file));
    const dt_safetensor *images = dt_safetensors_find(file, "images");
    assert_non_null(images);
    uint8_t *bytes = malloc(images->bytes);
    assert_non_null(bytes);
    OK(dt_safetensors_read(file, images, DT_U8, bytes));
    feed(p, program, "images", bytes, images->bytes);
    free(bytes);
    dt_safetensors_close(file);
}

/* An array of the case's numbers; returns how many there are. */
static int64_t integers(const parity *p, const char *key, int32_t *out)
{
    const json_t *list = json_object_get(p->json, key);
    assert_in_range(json_array_size(list), 1, MAX_TOKENS);
    for (size_t i = 0; i < json_array_size(list); i++) out[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return (int64_t)json_array_size(list);
}

static void feed_tokens(parity *p, const dt_program *program)
{
    int32_t tokens[MAX_TOKENS], targets[MAX_TOKENS], order[MAX_TOKENS];
    int64_t count = integers(p, "tokens", tokens), at = 0;
    size_t bytes = (size_t)count * sizeof *tokens;
    feed(p, program, "tokens", tokens, bytes);
    if (program != p->pass) return;
    assert_int_equal(integers(p, "targets", targets), count);
    p->count = 0;
    for (int64_t i = 0; i < count; i++) p->count += targets[i] >= 0;
    for (int32_t token = 0; token < p->info.vocabulary; token++)
        for (int32_t i = 0; i < count; i++)
            if (tokens[i] == token) order[at++] = i;
    feed(p, program, "targets", targets, bytes);
    feed(p, program, "order", order, bytes);
}

static void feed_labels(parity *p)
{
    size_t batch = (size_t)p->recipe.micro;
    int32_t labels[MAX_BATCH];
    float weight[MAX_BATCH];
    assert_in_range(batch, 1, MAX_BATCH);
    for (size_t i = 0; i < batch; i++) {
        labels[i] = (int32_t)json_integer_value(json_array_get(json_object_get(p->json, "labels"), i));
        weight[i] = 1;
    }
    feed(p, p->pass, "labels", labels, batch * sizeof *labels);
    feed(p, p->pass, "weight", weight, batch * sizeof *weight);
}

static void run_pass(parity *p)
{
    if (of_tokens(p)) {
        feed_tokens(p, p->pass);
    } else {
        feed_images(p, p->pass);
        feed_labels(p);
    }
    OK(dt_program_run(p->pass, &(dt_run){.slot = p->slot, .last = true}));
}

static void feed_value(void *context, const char *name, double value)
{
    parity *p = context;
    feed(p, p->update, name, &value, sizeof value);
}

/* One update; returns the mean loss before it. */
static double run_step(parity *p, int64_t step)
{
    double loss;
    run_pass(p);
    dt_optimizer_values(&p->optimizer, step, dt_setting_real(p->settings, "optim.lr"), feed_value, p);
    OK(dt_program_run(p->update, &(dt_run){.slot = p->slot, .last = true}));
    OK(dt_program_read(p->update, "loss", &loss, sizeof loss));
    OK(dt_device_sync(p->device, DT_STREAM_COMPUTE));
    return loss / (double)p->count;
}

/* --- comparing --- */

static double largest(const double *x, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(x[i]));
    return most;
}

static double distance(const double *x, const double *y, double x_scale, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = fabs(x[i] * x_scale - y[i]);
        most = isnan(d) ? INFINITY : fmax(most, d);
    }
    return most;
}

typedef struct allowance {
    bool relative; /* to the largest value of the reference tensor */
    double limit;
} allowance;

static void compare_param(const parity *p, const dt_param *param, dt_buffer buffer, double scale,
                          const dt_safetensors *file, allowance allowed)
{
    const dt_safetensor *reference = dt_safetensors_find(file, param->name);
    if (!reference) fail_msg("the reference has no '%s'", param->name);
    assert_true(dt_shape_equal(&reference->shape, &param->published_shape));
    double *ours = malloc((size_t)param->count * sizeof *ours), *theirs = malloc((size_t)param->count * sizeof *theirs);
    assert_true(ours && theirs);
    OK(dt_store_read(p->store, param, buffer, DT_F64, ours));
    OK(dt_safetensors_read(file, reference, DT_F64, theirs));
    double error = distance(ours, theirs, scale, param->count);
    if (allowed.relative) error /= largest(theirs, param->count);
    free(ours);
    free(theirs);
    if (!(error <= allowed.limit)) fail_msg("%s: %.3g, allowed %.3g", param->name, error, allowed.limit);
}

/* Every parameter's part of `buffer`, times `scale`, against the tensors of a file that holds just these. */
static void compare_all(const parity *p, dt_buffer buffer, double scale, const char *end, allowance allowed)
{
    char path[512];
    dt_safetensors *file = NULL;
    path_of(p, end, path);
    OK(dt_safetensors_open(path, &file));
    assert_int_equal(dt_store_params(p->store), dt_safetensors_count(file));
    for (int i = 0; i < dt_store_params(p->store); i++)
        compare_param(p, dt_store_param(p->store, i), buffer, scale, file, allowed);
    dt_safetensors_close(file);
}

static double reference_at(const parity *p, const char *key, size_t i)
{
    json_t *value = json_array_get(json_object_get(p->json, key), i);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void assert_near(const char *what, int64_t index, double ours, double theirs, double limit)
{
    if (!(fabs(ours - theirs) <= limit))
        fail_msg("%s %lld: %.17g, the reference %.17g, allowed %.3g", what, (long long)index, ours, theirs, limit);
}

/* --- the tests --- */

static void logits_agree(void **state)
{
    parity p = open_case(*state, "precision.mode=fp32");
    float logits[MAX_LOGITS];
    const dt_tensor *output = dt_graph_output_at(dt_program_graph(p.forward), 0, NULL);
    int64_t width = dt_shape_last(&output->shape), classes = dt_model_dims_of(p.model).classes;
    size_t count = (size_t)dt_shape_count(&output->shape);
    assert_in_range(count, 1, MAX_LOGITS);
    if (of_tokens(&p)) feed_tokens(&p, p.forward);
    else feed_images(&p, p.forward);
    OK(dt_program_run(p.forward, &(dt_run){.slot = p.slot, .last = true}));
    OK(dt_program_read(p.forward, "logits", logits, count * sizeof *logits));
    OK(dt_device_sync(p.device, DT_STREAM_COMPUTE));
    for (int64_t i = 0; i < dt_shape_rows(&output->shape) * classes; i++)
        assert_near("logit", i, logits[i / classes * width + i % classes], reference_at(&p, "logits", (size_t)i), 1e-5);
    close_case(&p);
}

static void gradients_agree(void **state, const char *precision, double limit)
{
    parity p = open_case(*state, precision);
    run_pass(&p);
    /* The key part of a qkv bias has gradient 0: its rounding is measured against the whole tensor. */
    compare_all(&p, DT_BUFFER_GRADIENT, 1.0 / (double)p.count, "gradients.safetensors", (allowance){true, limit});
    close_case(&p);
}

static void gradients_agree_in_float32(void **state) { gradients_agree(state, "precision.mode=fp32", 1e-5); }
/* The reference is stored in float32. */
static void gradients_agree_in_float64(void **state) { gradients_agree(state, "precision.mode=fp64", 1e-7); }

static void ten_steps_agree_in_float64(void **state)
{
    parity p = open_case(*state, "precision.mode=fp64");
    for (int64_t step = 0; step < STEPS; step++)
        assert_near("loss", step, run_step(&p, step), reference_at(&p, "losses_float64", (size_t)step), 1e-9);
    compare_all(&p, DT_BUFFER_VALUE, 1.0, "trained.safetensors", (allowance){false, 1e-9});
    close_case(&p);
}

static void ten_steps_agree_in_float32(void **state)
{
    parity p = open_case(*state, "precision.mode=fp32");
    for (int64_t step = 0; step < STEPS; step++) {
        double loss = run_step(&p, step);
        assert_near("loss", step, loss, reference_at(&p, "losses_float32", (size_t)step), step ? 1e-4 : 1e-5);
    }
    close_case(&p);
}

int main(int count, char **args)
{
    if (count != 4) return 2;
    parity_source source = {args[1], args[2], strcmp(args[3], "cuda") ? DT_CPU : DT_CUDA};
    const struct CMUnitTest tests[] = {
        {"logits agree in float32", logits_agree, NULL, NULL, &source},
        {"gradients agree in float32", gradients_agree_in_float32, NULL, NULL, &source},
        {"ten AdamW steps agree in float32", ten_steps_agree_in_float32, NULL, NULL, &source},
        {"gradients agree in float64", gradients_agree_in_float64, NULL, NULL, &source},
        {"ten AdamW steps agree in float64", ten_steps_agree_in_float64, NULL, NULL, &source},
    };
    enum { IN_FLOAT32 = 3, ALL = sizeof tests / sizeof *tests };
    if (dt_backend_check(source.backend, 0)) return printf("1..0 # SKIP %s\n", dt_error_message()) < 0;
    return _cmocka_run_group_tests(args[2], tests, source.backend == DT_CUDA ? IN_FLOAT32 : ALL, NULL, NULL);
}
