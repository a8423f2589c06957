#include "support/trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static dt_status build_program(trial *t, trial_build build, void *context, const trial_options *options)
{
    dt_graph *g;
    dt_device_info info;
    DT_TRY(dt_device_query(t->device, &info));
    DT_TRY(dt_graph_create(t->store, true, &g));
    dt_tensor *loss = build(g, context);
    dt_graph_output(g, "loss", loss);
    dt_status status = dt_passes_run(g, loss, &options->passes);
    if (status) {
        dt_graph_free(g);
        return status;
    }
    return dt_program_create(g, "trial", options->backend, &info, &options->plan, &t->program);
}

dt_status trial_open(trial *t, trial_build build, void *context, const trial_options *options)
{
    *t = (trial){0};
    dt_dtype type = options->passes.precision == DT_PRECISION_FP64 ? DT_F64 : DT_F32;
    DT_TRY(dt_device_open(options->backend, 0, options->threads ? options->threads : 2, &t->device));
    if (options->cudnn) DT_TRY(dt_device_use_cudnn(t->device, true));
    if (options->prepare) DT_TRY(options->prepare(t->device, context));
    DT_TRY(dt_comm_create_single(t->device, &t->comm));
    DT_TRY(dt_store_create(&t->store));
    DT_TRY(build_program(t, build, context, options));
    DT_TRY(dt_store_layout(t->store, type));
    unsigned working = options->passes.precision == DT_PRECISION_BF16 ? 1u << DT_BUFFER_WORKING : 0;
    DT_TRY(dt_store_alloc(t->store, t->device, 1u << DT_BUFFER_VALUE | 1u << DT_BUFFER_GRADIENT | working));
    DT_TRY(dt_store_initialise(t->store, 7));
    size_t arena = (size_t)dt_program_arena_bytes(t->program), feed = (size_t)dt_program_feed_bytes(t->program);
    DT_TRY(dt_device_alloc(t->device, DT_MEMORY_ARENA, arena, &t->arena));
    if (feed) DT_TRY(dt_device_alloc(t->device, DT_MEMORY_FEED, feed, (void **)&t->slot));
    return dt_program_bind(t->program, t->device, t->comm, t->arena);
}

static dt_status fill_slot(trial *t, trial_feed feed, void *context)
{
    size_t bytes = (size_t)dt_program_feed_bytes(t->program);
    char *host = calloc(1, bytes + 1);
    if (!host) return dt_fail_memory(bytes, "a trial's feed");
    feed(t->program, host, context);
    dt_status status = dt_device_upload(t->device, DT_STREAM_COMPUTE, t->slot, host, bytes);
    if (!status) status = dt_device_sync(t->device, DT_STREAM_COMPUTE);
    free(host);
    return status;
}

dt_status trial_run(trial *t, trial_feed feed, void *context, bool accumulate)
{
    if (feed && t->slot) DT_TRY(fill_slot(t, feed, context));
    return dt_program_run(t->program, &(dt_run){.slot = t->slot, .accumulate = accumulate, .last = true});
}

double trial_loss(const trial *t)
{
    union { float single; double wide; } value = {0};
    bool wide = dt_store_type(t->store) == DT_F64;
    if (dt_program_read(t->program, "loss", &value, wide ? 8 : 4) ||
        dt_device_sync(t->device, DT_STREAM_COMPUTE))
        return NAN;
    return wide ? value.wide : (double)value.single;
}

void *trial_gradients(const trial *t, size_t *bytes)
{
    size_t size[DT_GROUPS];
    for (int i = 0; i < DT_GROUPS; i++)
        size[i] = (size_t)dt_store_count(t->store, (dt_group)i) * dt_dtype_size(dt_store_type(t->store));
    *bytes = size[0] + size[1];
    char *all = malloc(*bytes + 1);
    for (int i = 0, at = 0; all && i < DT_GROUPS; at += (int)size[i], i++) {
        const void *from = dt_store_data(t->store, (dt_group)i, DT_BUFFER_GRADIENT);
        if (!size[i] || !dt_device_download(t->device, DT_STREAM_COMPUTE, all + at, from, size[i])) continue;
        free(all);
        return NULL;
    }
    if (all && !dt_device_sync(t->device, DT_STREAM_COMPUTE)) return all;
    free(all);
    return NULL;
}

void trial_close(trial *t)
{
    if (!t->device) return;
    size_t feed = t->program ? (size_t)dt_program_feed_bytes(t->program) : 0;
    if (t->slot) dt_device_free(t->device, DT_MEMORY_FEED, t->slot, feed);
    if (t->arena) dt_device_free(t->device, DT_MEMORY_ARENA, t->arena, (size_t)dt_program_arena_bytes(t->program));
    dt_program_free(t->program);
    dt_store_free(t->store);
    dt_comm_free(t->comm);
    dt_device_close(t->device);
    *t = (trial){0};
}

double trial_error(const double *a, const double *b, size_t count)
{
    double most = 0, difference = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i])) return INFINITY;
        most = fmax(most, fabs(a[i]));
        difference = fmax(difference, fabs(a[i] - b[i]));
    }
    return difference / (most > 0 ? most : 1);
}
