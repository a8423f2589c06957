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
    size_t staging = (size_t)dt_store_staging_bytes(store);
    if (staging && !store->staging) DT_TRY(dt_device_alloc(device, DT_MEMORY_STATE, staging, &store->staging));
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
    if (store->staging)
        dt_device_free(store->device, DT_MEMORY_STATE, store->staging, (size_t)dt_store_staging_bytes(store));
    for (int i = 0; i < store->states.count; i++) {
        dt_state *state = store->states.at[i];
        if (state->data) dt_device_free(store->device, DT_MEMORY_STATE, state->data, state_bytes(state));
    }
}

void *dt_store_data(const dt_store *store, dt_group group, dt_buffer buffer) { return store->data[group][buffer]; }
dt_device *dt_store_device(const dt_store *store) { return store->device; }

/* In a buffer that is kept whole. */
static char *param_address(const dt_store *store, const dt_param *param, int buffer)
{
    char *base = store->data[param->group][buffer];
    size_t size = dt_dtype_size(dt_store_buffer_type(store, (int)param->group, (dt_buffer)buffer));
    return base ? base + param->offset * (int64_t)size : NULL;
}

static char *buffer_address(const dt_store *store, const dt_tensor *t)
{
    char *base = store->data[t->group][t->buffer];
    return base ? base + t->at * (int64_t)dt_dtype_size(t->dtype) : NULL;
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

uint16_t dt_store_round_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (isnan(x)) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* --- initial values --- */

enum { DRAWS = 1 << 12, DRAW_CHUNK = 1 << 22 }; /* values of one task, and at most between two copies to the device */

/* A stretch of one parameter, drawn in host memory. */
typedef struct draw_job {
    const dt_param *param;
    uint64_t seed, name;
    int64_t first, count;
    dt_dtype type;
    void *value;       /* [count] of the type */
    uint16_t *rounded; /* [count] of bfloat16; NULL: there is no working copy */
} draw_job;

static void draw(const draw_job *job, int64_t first, int64_t count, double *out)
{
    const dt_init *init = &job->param->init;
    if (init->kind == DT_INIT_NORMAL)
        dt_random_normals(job->seed, DT_PURPOSE_INIT, job->name, 0, (uint64_t)first, count, out);
    for (int64_t i = 0; i < count; i++) {
        switch (init->kind) {
        case DT_INIT_CONSTANT: out[i] = init->value; break;
        case DT_INIT_NORMAL: out[i] *= init->value; break;
        case DT_INIT_UNIFORM:
            out[i] = 2 * dt_random_uniform(job->seed, DT_PURPOSE_INIT, job->name, 0, (uint64_t)(first + i)) - 1;
            out[i] *= init->value;
        }
    }
}

/* Rounded to float32, so that float64 and float32 runs start from the same weights. */
static void draw_some(void *arg, int64_t task, int worker)
{
    const draw_job *job = arg;
    double drawn[DRAWS];
    int64_t first = task * DRAWS, count = job->count - first < DRAWS ? job->count - first : DRAWS;
    draw(job, job->first + first, count, drawn);
    for (int64_t i = 0; i < count; i++) {
        float value = (float)drawn[i];
        if (job->type == DT_F64) ((double *)job->value)[first + i] = value;
        else ((float *)job->value)[first + i] = value;
        if (job->rounded) job->rounded[first + i] = dt_store_round_bf16(value);
    }
}

/* What was drawn, what of it this rank keeps into its place in one buffer; a buffer without memory is left out. */
static dt_status place_drawn(dt_store *store, const draw_job *job, dt_buffer buffer, const void *drawn)
{
    dt_kept kept = dt_store_kept_stretch(store, job->param, buffer, job->first, job->count);
    if (!kept.count || !store->data[job->param->group][buffer]) return DT_OK;
    size_t size = dt_dtype_size(dt_store_buffer_type(store, (int)job->param->group, buffer));
    const char *from = (const char *)drawn + (size_t)(kept.first - job->first) * size;
    return dt_device_upload(store->device, DT_STREAM_COMPUTE, kept.data, from, (size_t)kept.count * size);
}

static dt_status initialise_some(dt_store *store, draw_job *job)
{
    dt_pool_run(dt_device_pool(store->device), (job->count + DRAWS - 1) / DRAWS, draw_some, job);
    DT_TRY(place_drawn(store, job, DT_BUFFER_VALUE, job->value));
    DT_TRY(place_drawn(store, job, DT_BUFFER_EMA, job->value));
    if (job->rounded) DT_TRY(place_drawn(store, job, DT_BUFFER_WORKING, job->rounded));
    return dt_device_sync(store->device, DT_STREAM_COMPUTE);
}

/* Host memory for `room` values and their rounded copies. */
typedef struct draw_room {
    int64_t room;
    void *value;
    uint16_t *rounded;
} draw_room;

static dt_status initialise(dt_store *store, const dt_param *param, uint64_t seed, const draw_room *host)
{
    bool working = store->data[param->group][DT_BUFFER_WORKING] != NULL;
    draw_job job = {.param = param, .seed = seed, .name = dt_hash_text(param->name), .type = store->type,
                    .value = host->value, .rounded = working ? host->rounded : NULL};
    for (; job.first < param->count; job.first += host->room) {
        job.count = param->count - job.first < host->room ? param->count - job.first : host->room;
        DT_TRY(initialise_some(store, &job));
    }
    return DT_OK;
}

static int64_t largest_param(const dt_store *store)
{
    int64_t most = 0;
    for (int i = 0; i < store->params.count; i++) {
        const dt_param *param = store->params.at[i];
        if (param->count > most) most = param->count;
    }
    return most;
}

dt_status dt_store_initialise(dt_store *store, uint64_t seed)
{
    int64_t largest = largest_param(store);
    draw_room host = {.room = largest < DRAW_CHUNK ? largest : DRAW_CHUNK};
    size_t values = (size_t)host.room * dt_dtype_size(store->type);
    DT_TRY(dt_device_alloc_host(store->device, values + (size_t)host.room * sizeof *host.rounded, &host.value));
    host.rounded = (uint16_t *)((char *)host.value + values);
    dt_status status = DT_OK;
    for (int i = 0; i < store->params.count && !status; i++)
        status = initialise(store, store->params.at[i], seed, &host);
    dt_device_free_host(store->device, host.value);
    return status;
}
