/* Copies the flat buffers and the states of a store to host memory. */
#include "train/snapshot.h"

#include <stdlib.h>

struct dt_snapshot {
    const dt_store *store;
    void *group[DT_GROUPS][DT_BUFFERS]; /* NULL: not copied, or empty */
    void **states;                      /* by index; NULL: not saved */
};

static size_t group_bytes(const dt_store *store, dt_group group)
{
    return (size_t)dt_store_count(store, group) * dt_dtype_size(dt_store_type(store));
}

static size_t state_bytes(const dt_state *state)
{
    return (size_t)dt_shape_count(&state->shape) * dt_dtype_size(state->dtype);
}

static dt_status alloc_groups(dt_snapshot *s, unsigned buffers)
{
    dt_device *device = dt_store_device(s->store);
    for (int group = 0; group < DT_GROUPS; group++)
        for (int buffer = 0; buffer < DT_BUFFERS; buffer++)
            if ((buffers >> buffer) & 1u && dt_store_data(s->store, (dt_group)group, (dt_buffer)buffer))
                DT_TRY(dt_device_alloc_host(device, group_bytes(s->store, (dt_group)group), &s->group[group][buffer]));
    return DT_OK;
}

static dt_status alloc_states(dt_snapshot *s)
{
    int count = dt_store_states(s->store);
    s->states = calloc((size_t)count + 1, sizeof *s->states);
    if (!s->states) return dt_fail_memory(((size_t)count + 1) * sizeof *s->states, "a snapshot");
    for (int i = 0; i < count; i++) {
        const dt_state *state = dt_store_state(s->store, i);
        if (state->saved) DT_TRY(dt_device_alloc_host(dt_store_device(s->store), state_bytes(state), &s->states[i]));
    }
    return DT_OK;
}

dt_status dt_snapshot_create(const dt_store *store, unsigned buffers, dt_snapshot **out)
{
    dt_snapshot *s = calloc(1, sizeof *s);
    if (!s) return dt_fail_memory(sizeof *s, "a snapshot");
    s->store = store;
    dt_status status = alloc_groups(s, buffers);
    if (!status) status = alloc_states(s);
    if (status) dt_snapshot_free(s);
    else *out = s;
    return status;
}

void dt_snapshot_free(dt_snapshot *s)
{
    if (!s) return;
    dt_device *device = dt_store_device(s->store);
    for (int group = 0; group < DT_GROUPS; group++)
        for (int buffer = 0; buffer < DT_BUFFERS; buffer++) dt_device_free_host(device, s->group[group][buffer]);
    for (int i = 0; s->states && i < dt_store_states(s->store); i++) dt_device_free_host(device, s->states[i]);
    free(s->states);
    free(s);
}

static dt_status copy_groups(dt_snapshot *s)
{
    for (int group = 0; group < DT_GROUPS; group++)
        for (int buffer = 0; buffer < DT_BUFFERS; buffer++)
            if (s->group[group][buffer])
                DT_TRY(dt_device_download(dt_store_device(s->store), DT_STREAM_COMPUTE, s->group[group][buffer],
                                          dt_store_data(s->store, (dt_group)group, (dt_buffer)buffer),
                                          group_bytes(s->store, (dt_group)group)));
    return DT_OK;
}

static dt_status copy_states(dt_snapshot *s)
{
    for (int i = 0; i < dt_store_states(s->store); i++) {
        const dt_state *state = dt_store_state(s->store, i);
        if (s->states[i])
            DT_TRY(dt_device_download(dt_store_device(s->store), DT_STREAM_COMPUTE, s->states[i], state->data,
                                      state_bytes(state)));
    }
    return DT_OK;
}

dt_status dt_snapshot_take(dt_snapshot *s)
{
    DT_TRY(copy_groups(s));
    DT_TRY(copy_states(s));
    return dt_device_sync(dt_store_device(s->store), DT_STREAM_COMPUTE);
}

const dt_store *dt_snapshot_store(const dt_snapshot *s) { return s->store; }

bool dt_snapshot_has(const dt_snapshot *s, dt_buffer buffer)
{
    for (int group = 0; group < DT_GROUPS; group++)
        if (s->group[group][buffer]) return true;
    return false;
}

const void *dt_snapshot_param(const dt_snapshot *s, const dt_param *param, dt_buffer buffer)
{
    const char *base = s->group[param->group][buffer];
    return base + param->offset * (int64_t)dt_dtype_size(dt_store_type(s->store));
}

const void *dt_snapshot_state(const dt_snapshot *s, const dt_state *state) { return s->states[state->index]; }
