/* Copies parameters, buffer by buffer, and states of a store to one block of host memory. */
#include "train/snapshot.h"

#include <stdlib.h>

enum { ALIGNMENT = 64 };
#define NOWHERE SIZE_MAX

struct dt_snapshot {
    const dt_store *store;
    unsigned buffers;
    char *block;   /* NULL: this rank keeps nothing */
    size_t bytes;
    size_t *param; /* places in the block by index and buffer; NOWHERE: not kept */
    size_t *state; /* by index */
};

static size_t param_bytes(const dt_store *store, const dt_param *param)
{
    return (size_t)param->count * dt_dtype_size(dt_store_type(store));
}

static size_t state_bytes(const dt_state *state)
{
    return (size_t)dt_shape_count(&state->shape) * dt_dtype_size(state->dtype);
}

static size_t *place_of(const dt_snapshot *s, const dt_param *param, int buffer)
{
    return &s->param[param->index * DT_BUFFERS + buffer];
}

/* Is this part of what all ranks together keep? */
static bool has(const dt_snapshot *s, const dt_param *param, int buffer)
{
    return s->buffers >> buffer & 1u && dt_store_data(s->store, param->group, (dt_buffer)buffer);
}

static char *at(const dt_snapshot *s, size_t place) { return place == NOWHERE ? NULL : s->block + place; }

/* The next place in the block. */
static size_t place(dt_snapshot *s, size_t bytes)
{
    size_t at = s->bytes;
    s->bytes += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return at;
}

static void place_all(dt_snapshot *s, const dt_snapshot_share *share)
{
    const dt_store *store = s->store;
    for (int i = 0; i < dt_store_params(store); i++) {
        const dt_param *param = dt_store_param(store, i);
        unsigned kept = share ? share->buffers[i] : s->buffers;
        for (int buffer = 0; buffer < DT_BUFFERS; buffer++) {
            bool keeps = kept >> buffer & 1u && has(s, param, buffer);
            *place_of(s, param, buffer) = keeps ? place(s, param_bytes(store, param)) : NOWHERE;
        }
    }
    for (int i = 0; i < dt_store_states(store); i++) {
        const dt_state *state = dt_store_state(store, i);
        bool kept = state->saved && (!share || share->states);
        s->state[i] = kept ? place(s, state_bytes(state)) : NOWHERE;
    }
}

static dt_status fill(dt_snapshot *s, const dt_snapshot_share *share)
{
    size_t places = (size_t)dt_store_params(s->store) * DT_BUFFERS + 1, states = (size_t)dt_store_states(s->store) + 1;
    s->param = calloc(places, sizeof *s->param);
    s->state = calloc(states, sizeof *s->state);
    if (!s->param || !s->state) return dt_fail_memory((places + states) * sizeof *s->param, "a snapshot");
    place_all(s, share);
    return s->bytes ? dt_device_alloc_host(dt_store_device(s->store), s->bytes, (void **)&s->block) : DT_OK;
}

dt_status dt_snapshot_create(const dt_store *store, unsigned buffers, const dt_snapshot_share *share,
                             dt_snapshot **out)
{
    dt_snapshot *s = calloc(1, sizeof *s);
    if (!s) return dt_fail_memory(sizeof *s, "a snapshot");
    s->store = store;
    s->buffers = buffers;
    dt_status status = fill(s, share);
    if (status) dt_snapshot_free(s);
    else *out = s;
    return status;
}

void dt_snapshot_free(dt_snapshot *s)
{
    if (!s) return;
    dt_device_free_host(dt_store_device(s->store), s->block);
    free(s->param);
    free(s->state);
    free(s);
}

/* All ranks come to the same parameters and buffers in the same order, whether they keep them or not: what is in shards
 * they read together. */
static dt_status copy_params(dt_snapshot *s)
{
    dt_dtype type = dt_store_type(s->store);
    for (int buffer = 0; buffer < DT_BUFFERS; buffer++)
        for (int i = 0; i < dt_store_params(s->store); i++) {
            const dt_param *param = dt_store_param(s->store, i);
            if (!has(s, param, buffer)) continue;
            char *host = at(s, *place_of(s, param, buffer));
            DT_TRY(dt_store_read(s->store, param, (dt_buffer)buffer, type, host));
        }
    return DT_OK;
}

static dt_status copy_states(dt_snapshot *s)
{
    for (int i = 0; i < dt_store_states(s->store); i++) {
        const dt_state *state = dt_store_state(s->store, i);
        if (s->state[i] != NOWHERE)
            DT_TRY(dt_device_download(dt_store_device(s->store), DT_STREAM_COMPUTE, s->block + s->state[i],
                                      state->data, state_bytes(state)));
    }
    return DT_OK;
}

dt_status dt_snapshot_take(dt_snapshot *s)
{
    DT_TRY(copy_params(s));
    DT_TRY(copy_states(s));
    return dt_device_sync(dt_store_device(s->store), DT_STREAM_COMPUTE);
}

const dt_store *dt_snapshot_store(const dt_snapshot *s) { return s->store; }

const void *dt_snapshot_param(const dt_snapshot *s, const dt_param *param, dt_buffer buffer)
{
    return at(s, *place_of(s, param, (int)buffer));
}

const void *dt_snapshot_state(const dt_snapshot *s, const dt_state *state) { return at(s, s->state[state->index]); }
