/* The store's device memory: flat buffers, states, initial values, single parameters in and out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/random.h"
#include "graph/store_internal.h"

static dt_memory buffer_category(dt_buffer buffer)
{
    static const dt_memory category[DT_BUFFERS] = {DT_MEMORY_PARAMETERS, DT_MEMORY_GRADIENTS, DT_MEMORY_OPTIMIZER,
                                                   DT_MEMORY_OPTIMIZER, DT_MEMORY_EMA, DT_MEMORY_PARAMETERS};
    return category[buffer];
}

static size_t state_bytes(const dt_state *state)
{
    return (size_t)dt_shape_count(&state->shape) * dt_dtype_size(state->dtype);
}

static dt_status alloc_buffer(dt_store *store, dt_buffer buffer)
{
    for (int group = 0; group < DT_GROUPS; group++) {
        size_t bytes = (size_t)dt_store_group_bytes(store, group, buffer);
        if (!store->data[group][buffer] && bytes)
            DT_TRY(dt_device_alloc(store->device, buffer_category(buffer), bytes, &store->data[group][buffer]));
    }
    return DT_OK;
}

dt_status dt_store_alloc(dt_store *store, dt_device *device, unsigned buffers)
{
    store->device = device;
    for (int buffer = 0; buffer < DT_BUFFERS; buffer++)
        if ((buffers >> buffer) & 1u) DT_TRY(alloc_buffer(store, (dt_buffer)buffer));
    for (int i = 0; i < store->states.count; i++) {
        dt_state *state = store->states.at[i];
        if (!state->data) DT_TRY(dt_device_alloc(device, DT_MEMORY_STATE, state_bytes(state), &state->data));
    }
    return DT_OK;
}

void dt_store_release_memory(dt_store *store)
{
    if (!store->device) return;
    for (int group = 0; group < DT_GROUPS; group++)
        for (int buffer = 0; buffer < DT_BUFFERS; buffer++)
            if (store->data[group][buffer])
                dt_device_free(store->device, buffer_category((dt_buffer)buffer), store->data[group][buffer],
                               (size_t)dt_store_group_bytes(store, group, (dt_buffer)buffer));
    for (int i = 0; i < store->states.count; i++) {
        dt_state *state = store->states.at[i];
        if (state->data) dt_device_free(store->device, DT_MEMORY_STATE, state->data, state_bytes(state));
    }
}

void *dt_store_data(const dt_store *store, dt_group group, dt_buffer buffer) { return store->data[group][buffer]; }
dt_device *dt_store_device(const dt_store *store) { return store->device; }

static char *param_address(const dt_store *store, const dt_param *param, int buffer)
{
    char *base = store->data[param->group][buffer];
    return base ? base + param->offset * (int64_t)dt_dtype_size(dt_store_buffer_type(store, (dt_buffer)buffer)) : NULL;
}

static char *buffer_address(const dt_store *store, const dt_tensor *t)
{
    char *base = store->data[t->group][t->buffer];
    int64_t offset = t->unit >= 0 ? dt_store_unit_at(store, t->unit)->offset[t->group] : 0;
    return base ? base + offset * (int64_t)dt_dtype_size(store->type) : NULL;
}

void *dt_store_address(const dt_store *store, const dt_tensor *t)
{
    switch (t->kind) {
    case DT_PARAM: return param_address(store, t->param, t->buffer);
    case DT_GRADIENT: return param_address(store, t->param, DT_BUFFER_GRADIENT);
    case DT_STATE: return t->state->data;
    case DT_BUFFER: return buffer_address(store, t);
    case DT_VALUE: break;
    }
    return NULL;
}

/* --- initial values --- */

static double draw(const dt_init *init, uint64_t seed, uint64_t name, int64_t index)
{
    switch (init->kind) {
    case DT_INIT_NORMAL: return init->value * dt_random_normal(seed, DT_PURPOSE_INIT, name, 0, (uint64_t)index);
    case DT_INIT_UNIFORM:
        return init->value * (2 * dt_random_uniform(seed, DT_PURPOSE_INIT, name, 0, (uint64_t)index) - 1);
    case DT_INIT_CONSTANT: break;
    }
    return init->value;
}

enum { DT_DRAWS = 1 << 14 }; /* values of one task */

typedef struct draw_job {
    const dt_param *param;
    uint64_t seed, name;
    double *host;
} draw_job;

/* Rounded to float32, so that float64 and float32 runs start from the same weights. */
static void draw_some(void *arg, int64_t task, int worker)
{
    const draw_job *job = arg;
    int64_t end = (task + 1) * DT_DRAWS < job->param->count ? (task + 1) * DT_DRAWS : job->param->count;
    for (int64_t i = task * DT_DRAWS; i < end; i++)
        job->host[i] = (float)draw(&job->param->init, job->seed, job->name, i);
}

static dt_status initialise(dt_store *store, const dt_param *param, uint64_t seed)
{
    draw_job job = {param, seed, dt_hash_text(param->name), malloc((size_t)param->count * sizeof(double))};
    if (!job.host) return dt_fail_memory((size_t)param->count * sizeof(double), "initial values");
    dt_pool_run(dt_device_pool(store->device), (param->count + DT_DRAWS - 1) / DT_DRAWS, draw_some, &job);
    dt_status status = dt_store_write(store, param, DT_BUFFER_VALUE, DT_F64, job.host);
    if (!status && store->data[param->group][DT_BUFFER_EMA])
        status = dt_store_write(store, param, DT_BUFFER_EMA, DT_F64, job.host);
    free(job.host);
    return status;
}

dt_status dt_store_initialise(dt_store *store, uint64_t seed)
{
    for (int i = 0; i < store->params.count; i++) DT_TRY(initialise(store, store->params.at[i], seed));
    return DT_OK;
}

/* --- one parameter in and out --- */

static void convert(dt_dtype from, const void *x, dt_dtype to, void *y, int64_t count)
{
    if (from == DT_F32 && to == DT_F64)
        for (int64_t i = 0; i < count; i++) ((double *)y)[i] = ((const float *)x)[i];
    else
        for (int64_t i = 0; i < count; i++) ((float *)y)[i] = (float)((const double *)x)[i];
}

dt_status dt_store_read(const dt_store *store, const dt_param *param, dt_buffer buffer, dt_dtype dtype, void *host)
{
    const void *from = param_address(store, param, (int)buffer);
    size_t bytes = (size_t)param->count * dt_dtype_size(store->type);
    void *staging = dtype == store->type ? host : malloc(bytes);
    if (!staging) return dt_fail_memory(bytes, param->name);
    dt_status status = dt_device_download(store->device, DT_STREAM_COMPUTE, staging, from, bytes);
    if (!status) status = dt_device_sync(store->device, DT_STREAM_COMPUTE);
    if (staging != host) {
        if (!status) convert(store->type, staging, dtype, host, param->count);
        free(staging);
    }
    return status;
}

/* To nearest, ties to even, as the GPU rounds; a NaN stays one. */
static uint16_t round_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (isnan(x)) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static dt_status upload(dt_store *store, void *to, const void *from, size_t bytes)
{
    DT_TRY(dt_device_upload(store->device, DT_STREAM_COMPUTE, to, from, bytes));
    return dt_device_sync(store->device, DT_STREAM_COMPUTE);
}

/* `value` is what was written, of the store's type, which is float32 where there are working copies. */
static dt_status write_working(dt_store *store, const dt_param *param, const float *value)
{
    size_t bytes = (size_t)param->count * sizeof(uint16_t);
    uint16_t *rounded = malloc(bytes);
    if (!rounded) return dt_fail_memory(bytes, param->name);
    for (int64_t i = 0; i < param->count; i++) rounded[i] = round_bf16(value[i]);
    dt_status status = upload(store, param_address(store, param, DT_BUFFER_WORKING), rounded, bytes);
    free(rounded);
    return status;
}

dt_status dt_store_write(dt_store *store, const dt_param *param, dt_buffer buffer, dt_dtype dtype, const void *host)
{
    size_t bytes = (size_t)param->count * dt_dtype_size(store->type);
    void *staging = NULL;
    if (dtype != store->type) {
        staging = malloc(bytes);
        if (!staging) return dt_fail_memory(bytes, param->name);
        convert(dtype, host, store->type, staging, param->count);
    }
    const void *from = staging ? staging : host;
    dt_status status = upload(store, param_address(store, param, (int)buffer), from, bytes);
    if (!status && buffer == DT_BUFFER_VALUE && store->data[param->group][DT_BUFFER_WORKING])
        status = write_working(store, param, from);
    free(staging);
    return status;
}
