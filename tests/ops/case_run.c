/* Sets a case up on a device: numbers, loss, feed, results. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/random.h"
#include "ops/cases.h"

/* --- numbers --- */

static double uniform(const char *name, int64_t i)
{
    return dt_random_uniform(dt_hash_text(name), DT_PURPOSE_SYNTHETIC, 0, 0, (uint64_t)i);
}

double case_value(const char *name, int64_t i) { return (floor(uniform(name, i) * 128) - 64) / 32 + 1.0 / 128; }
int32_t case_label(int64_t i) { return (int32_t)(uniform("labels", i) * 7); }
uint8_t case_byte(int64_t i) { return (uint8_t)(uniform("bytes", i) * 256); }

int32_t case_target(int64_t i) { return i % 5 == 3 ? -1 : case_label(i); }

int32_t case_place(int64_t count, int64_t i)
{
    for (int32_t label = 0;; label++)
        for (int64_t place = 0; place < count; place++)
            if (case_label(place) == label && i-- == 0) return (int32_t)place;
}

int32_t case_position(int64_t i) { return 90 * case_label(i) + (int32_t)i; }

/* Documents of one token and of more than a hundred; in each sample other ones. */
static bool begins_document(int64_t t, int64_t i)
{
    return t % 67 == 20 || t % 67 == 21 || uniform("documents", i) < (t % 256 < 70 ? 0.1 : 0.004);
}

int32_t case_start(int64_t tokens, int64_t i)
{
    int64_t t = i % tokens;
    while (t > 0 && !begins_document(t, i)) t--, i--;
    return (int32_t)t;
}

static int32_t integer(const dt_feed_field *field, int64_t i)
{
    if (!strcmp(field->name, "targets")) return case_target(i);
    if (!strcmp(field->name, "position")) return case_position(i);
    if (!strcmp(field->name, "starts")) return case_start(field->shape.dim[1], i);
    if (!strcmp(field->name, "order")) return case_place(dt_shape_count(&field->shape), i);
    return case_label(i);
}

static void fill_feed(const dt_program *program, char *slot, void *context)
{
    const dt_graph *graph = dt_program_graph(program);
    for (int f = 0; f < dt_graph_feed_count(graph); f++) {
        const dt_feed_field *field = dt_graph_feed_at(graph, f);
        void *at = slot + field->offset;
        for (int64_t i = 0; i < dt_shape_count(&field->shape); i++) {
            if (field->dtype == DT_U8) ((uint8_t *)at)[i] = case_byte(i);
            if (field->dtype == DT_I32) ((int32_t *)at)[i] = integer(field, i);
            if (field->dtype == DT_I64) ((int64_t *)at)[i] = case_index(i);
        }
    }
}

static dt_status write_params(const dt_store *store)
{
    for (int p = 0; p < dt_store_params(store); p++) {
        const dt_param *param = dt_store_param(store, p);
        double *host = malloc((size_t)param->count * sizeof *host);
        if (!host) return dt_fail_memory((size_t)param->count * sizeof *host, param->name);
        for (int64_t i = 0; i < param->count; i++)
            host[i] = param->init.kind == DT_INIT_CONSTANT ? param->init.value : case_value(param->name, i);
        dt_status status = dt_store_write((dt_store *)store, param, DT_BUFFER_VALUE, DT_F64, host);
        free(host);
        if (status) return status;
    }
    return DT_OK;
}

/* --- the graph --- */

/* A loss that weighs every element of y differently: a product with fixed numbers, by the operator that has it. */
static dt_tensor *loss_of(dt_graph *g, dt_tensor *y)
{
    const dt_param_options options = {.role = DT_ROLE_GAIN, .init = {DT_INIT_UNIFORM, 1}, .frozen = true};
    dt_tensor *direction = dt_param_tensor(g, "direction", y->shape, options);
    dt_tensor *rows = dt_param_tensor(g, "direction of rows", DT_SHAPE(dt_shape_rows(&y->shape)), options);
    return dt_cross_entropy(g, y, direction, rows);
}

static dt_tensor *build(dt_graph *g, void *context)
{
    const case_run *run = context;
    dt_unit_begin(g, "%s", "");
    dt_tensor *y = run->about->build(g, run->about, run->spans);
    dt_graph_output(g, "y", y);
    dt_tensor *loss = y && y->needs_grad ? loss_of(g, y) : NULL;
    dt_unit_end(g);
    return loss;
}

/* --- set up, run, read --- */

static dt_status prepare(dt_device *device, void *context)
{
    case_run *run = context;
    DT_TRY(dt_device_alloc(device, DT_MEMORY_FEED, sizeof case_spans, (void **)&run->spans));
    return dt_device_upload(device, DT_STREAM_COMPUTE, run->spans, case_spans, sizeof case_spans);
}

dt_status case_open(case_run *run, const op_case *about, const trial_options *options)
{
    trial_options own = *options;
    own.prepare = prepare;
    *run = (case_run){.about = about};
    DT_TRY(trial_open(&run->trial, build, run, &own));
    return write_params(run->trial.store);
}

static dt_status poison(dt_device *device, void *memory, size_t bytes)
{
    if (!memory || !bytes) return DT_OK;
    void *nan = malloc(bytes);
    if (!nan) return dt_fail_memory(bytes, "poison");
    memset(nan, 0xff, bytes);
    dt_status status = dt_device_upload(device, DT_STREAM_COMPUTE, memory, nan, bytes);
    if (!status) status = dt_device_sync(device, DT_STREAM_COMPUTE);
    free(nan);
    return status;
}

/* Whatever a run must write starts as NaN: the arena always, the gradients when they are not added to. */
dt_status case_step(case_run *run, bool accumulate)
{
    trial *t = &run->trial;
    DT_TRY(poison(t->device, t->arena, (size_t)dt_program_arena_bytes(t->program)));
    for (int group = 0; group < DT_GROUPS && !accumulate; group++)
        DT_TRY(poison(t->device, dt_store_data(t->store, (dt_group)group, DT_BUFFER_GRADIENT),
                      (size_t)dt_store_count(t->store, (dt_group)group) * dt_dtype_size(dt_store_type(t->store))));
    dt_status status = trial_run(t, run->fed ? NULL : fill_feed, run, accumulate);
    run->fed = true;
    return status;
}

void case_close(case_run *run)
{
    if (run->spans) dt_device_free(run->trial.device, DT_MEMORY_FEED, run->spans, sizeof case_spans);
    trial_close(&run->trial);
}

static double from_bf16(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double element(dt_dtype dtype, const void *data, int64_t i)
{
    switch (dtype) {
    case DT_BF16: return from_bf16(((const uint16_t *)data)[i]);
    case DT_F32: return ((const float *)data)[i];
    case DT_F64: return ((const double *)data)[i];
    case DT_I32: return ((const int32_t *)data)[i];
    case DT_I64: return (double)((const int64_t *)data)[i];
    default: return NAN;
    }
}

double *case_result(const case_run *run, int64_t *count)
{
    const dt_tensor *y = dt_graph_output_at(dt_program_graph(run->trial.program), 0, NULL);
    *count = dt_shape_count(&y->shape);
    size_t bytes = (size_t)*count * dt_dtype_size(y->dtype);
    void *raw = malloc(bytes);
    double *out = malloc((size_t)*count * sizeof *out);
    if (!raw || !out || dt_program_read(run->trial.program, "y", raw, bytes) ||
        dt_device_sync(run->trial.device, DT_STREAM_COMPUTE)) {
        free(raw);
        free(out);
        return NULL;
    }
    for (int64_t i = 0; i < *count; i++) out[i] = element(y->dtype, raw, i);
    free(raw);
    return out;
}
