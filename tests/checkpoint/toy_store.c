/* The shared store of the tests of checkpoints. */
#include "toy_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/random.h"

static void declare(dt_graph *g, const char *name, dt_shape shape, dt_role role)
{
    assert_non_null(dt_param_tensor(g, name, shape, (dt_param_options){.role = role, .init = {DT_INIT_NORMAL, 1}}));
}

static void declare_all(dt_graph *g, const toy_options *options)
{
    dt_shape patches = DT_SHAPE(3, 2, 2, 2);
    dt_param_options weights = {.role = DT_ROLE_MATRIX, .published = &patches};
    dt_unit_begin(g, "%s", "");
    declare(g, "scale", DT_SHAPE(1), DT_ROLE_ALPHA);
    assert_non_null(dt_param_tensor(g, "patch.weight", DT_SHAPE(3, 8), weights));
    dt_unit_end(g);
    for (int i = 0; i < 2; i++) {
        dt_unit_begin(g, "blocks.%d", i);
        declare(g, "weight", DT_SHAPE(5, 3), DT_ROLE_MATRIX);
        declare(g, "bias", DT_SHAPE(5), DT_ROLE_BIAS);
        dt_unit_end(g);
    }
    dt_unit_begin(g, "head");
    declare(g, "weight", DT_SHAPE(options->classes, 3), DT_ROLE_MATRIX);
    dt_unit_end(g);
    if (!options->states) return;
    assert_non_null(dt_state_tensor(g, "centre", DT_F64, DT_SHAPE(4), true));
    assert_non_null(dt_state_tensor(g, "count", DT_I64, DT_SCALAR, true));
    assert_non_null(dt_state_tensor(g, "sum", DT_F32, DT_SHAPE(2), false));
}

void toy_open(toy *t, toy_options options)
{
    unsigned buffers = 1u << DT_BUFFER_VALUE | 1u << DT_BUFFER_GRADIENT;
    if (options.moments) buffers |= 1u << DT_BUFFER_MOMENT1 | 1u << DT_BUFFER_MOMENT2;
    if (options.ema) buffers |= 1u << DT_BUFFER_EMA;
    OK(dt_device_open(DT_CPU, 0, 1, &t->device));
    OK(dt_store_create(&t->store));
    OK(dt_graph_create(t->store, true, &t->graph));
    declare_all(t->graph, &options);
    OK(dt_graph_status(t->graph));
    OK(dt_store_layout(t->store, options.type));
    OK(dt_store_alloc(t->store, t->device, buffers));
}

void toy_close(toy *t)
{
    dt_graph_free(t->graph);
    dt_store_free(t->store);
    dt_device_close(t->device);
}

enum { LARGEST = 64 }; /* elements of a tensor */

static void numbers(int64_t seed, const char *name, int buffer, int64_t count, double *out)
{
    assert_true(count <= LARGEST);
    for (int64_t i = 0; i < count; i++)
        out[i] = dt_random_normal((uint64_t)seed, DT_PURPOSE_INIT, dt_hash_text(name), (uint64_t)buffer, (uint64_t)i);
}

static void state_bytes(int64_t seed, const dt_state *state, char *out, size_t *size)
{
    *size = (size_t)dt_shape_count(&state->shape) * dt_dtype_size(state->dtype);
    for (size_t i = 0; i < *size; i++)
        out[i] = (char)dt_random_word((uint64_t)seed, DT_PURPOSE_ORDER, dt_hash_text(state->name), 0, i);
}

/* Buffers that are saved and allocated. */
static bool is_saved(const toy *t, const dt_param *param, int buffer)
{
    return buffer != DT_BUFFER_GRADIENT && dt_store_data(t->store, param->group, (dt_buffer)buffer);
}

void toy_fill(toy *t, int64_t seed)
{
    double host[LARGEST];
    for (int i = 0; i < dt_store_params(t->store); i++) {
        const dt_param *param = dt_store_param(t->store, i);
        for (int buffer = 0; buffer < DT_BUFFERS; buffer++) {
            if (!is_saved(t, param, buffer)) continue;
            numbers(seed, param->name, buffer, param->count, host);
            OK(dt_store_write(t->store, param, (dt_buffer)buffer, DT_F64, host));
        }
    }
    for (int i = 0; i < dt_store_states(t->store); i++) {
        dt_state *state = dt_store_state(t->store, i);
        size_t size;
        char bytes[8 * LARGEST];
        state_bytes(seed, state, bytes, &size);
        memcpy(state->data, bytes, size);
    }
}

static bool param_holds(const toy *t, const dt_param *param, int buffer, int64_t seed)
{
    double want[LARGEST], have[LARGEST];
    numbers(seed, param->name, buffer, param->count, want);
    OK(dt_store_read(t->store, param, (dt_buffer)buffer, DT_F64, have));
    for (int64_t i = 0; i < param->count; i++)
        if (have[i] != (dt_store_type(t->store) == DT_F64 ? want[i] : (double)(float)want[i])) return false;
    return true;
}

bool toy_holds(const toy *t, int64_t seed)
{
    for (int i = 0; i < dt_store_params(t->store); i++) {
        const dt_param *param = dt_store_param(t->store, i);
        for (int buffer = 0; buffer < DT_BUFFERS; buffer++)
            if (is_saved(t, param, buffer) && !param_holds(t, param, buffer, seed)) return false;
    }
    for (int i = 0; i < dt_store_states(t->store); i++) {
        const dt_state *state = dt_store_state(t->store, i);
        size_t size;
        char bytes[8 * LARGEST];
        state_bytes(seed, state, bytes, &size);
        if (state->saved && memcmp(state->data, bytes, size) != 0) return false;
    }
    return true;
}

dt_status toy_load(toy *t, const char *path, dt_progress *progress, json_t **numerics)
{
    json_t *manifest;
    DT_TRY(dt_checkpoint_verify(path, NULL, &manifest));
    dt_status status = dt_checkpoint_load(path, manifest, NULL, t->store, progress);
    if (!status && numerics) *numerics = json_incref(json_object_get(manifest, "numerics"));
    json_decref(manifest);
    return status;
}
