/* Devices: dispatch to the back ends, accounting of memory, and the message when it runs out. */
#include "device/device.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "device/backend.h"
#include "device/remedies.h"

struct dt_event {
    void *native; /* the back end's */
};

struct dt_device {
    const dt_backend_table *backend;
    void *context; /* the back end's */
    dt_backend kind;
    dt_pool *pool;
    dt_queue queue[DT_STREAMS];
    dt_event joined[DT_STREAMS]; /* recorded on its stream for another one to wait for */
    dt_choices *choices;
    dt_memory_use memory;
    char remedy[DT_MEMORY_CATEGORIES][DT_REMEDY_ROOM];
};

static const dt_backend_table *const backends[DT_BACKENDS] = {[DT_CPU] = &dt_backend_cpu, [DT_CUDA] = &dt_backend_cuda};

static const char *const categories[DT_MEMORY_CATEGORIES] = {
    [DT_MEMORY_PARAMETERS] = "parameters", [DT_MEMORY_GRADIENTS] = "gradients", [DT_MEMORY_OPTIMIZER] = "optimizer",
    [DT_MEMORY_EMA] = "ema", [DT_MEMORY_STATE] = "state", [DT_MEMORY_ARENA] = "arena", [DT_MEMORY_FEED] = "feed",
};

const char *dt_memory_name(dt_memory category) { return categories[category]; }

bool dt_backend_built(dt_backend backend) { return backends[backend]->built; }

const char *dt_backend_name(dt_backend backend) { return backends[backend]->name; }

int dt_backend_count(dt_backend backend, const char **why)
{
    const char *unused;
    return backends[backend]->count(why ? why : &unused);
}

const char *dt_backend_versions(dt_backend backend, char out[DT_VERSIONS_ROOM])
{
    out[0] = '\0';
    if (backends[backend]->versions) backends[backend]->versions(out, DT_VERSIONS_ROOM);
    return out;
}

dt_status dt_backend_id(dt_backend backend, int index, char out[DT_DEVICE_ID_ROOM])
{
    out[0] = '\0';
    return backends[backend]->id ? backends[backend]->id(index, out) : DT_OK;
}

dt_status dt_backend_check(dt_backend kind, int index)
{
    const dt_backend_table *backend = backends[kind];
    const char *why = NULL;
    int count = backend->count(&why);
    if (!count) return dt_fail(DT_ERR_DEVICE, "%s", why);
    if (index < 0 || index >= count)
        return dt_fail(DT_ERR_DEVICE, "no %s device %d: there are %d", backend->name, index, count);
    return backend->check(index);
}

/* The streams' queues and events, once the back end is open. */
static dt_status open_streams(dt_device *device)
{
    for (int s = 0; s < DT_STREAMS; s++) {
        device->backend->queue(device->context, (dt_stream)s, &device->queue[s]);
        device->queue[s].pool = device->pool;
        device->queue[s].choices = device->choices;
        DT_TRY(device->backend->event_create(device->context, &device->joined[s].native));
    }
    return DT_OK;
}

static void free_device(dt_device *device)
{
    for (int s = 0; s < DT_STREAMS; s++)
        if (device->joined[s].native) device->backend->event_free(device->joined[s].native);
    if (device->context) device->backend->close(device->context);
    dt_choices_free(device->choices);
    dt_pool_free(device->pool);
    free(device);
}

dt_status dt_device_open(dt_backend kind, int index, int threads, dt_device **out)
{
    DT_TRY(dt_backend_check(kind, index));
    const dt_backend_table *backend = backends[kind];
    dt_device *device = calloc(1, sizeof *device);
    if (!device) return dt_fail_memory(sizeof *device, "a device");
    device->backend = backend;
    device->kind = kind;
    dt_status status;
    DT_TRY_GOTO(dt_pool_create(threads, &device->pool), failed);
    DT_TRY_GOTO(dt_choices_create(&device->choices), failed);
    DT_TRY_GOTO(backend->open(index, &device->context), failed);
    DT_TRY_GOTO(open_streams(device), failed);
    *out = device;
    return DT_OK;
failed:
    free_device(device);
    return status;
}

void dt_device_close(dt_device *device)
{
    if (!device) return;
    dt_cudnn_close(device->queue[DT_STREAM_COMPUTE].cudnn);
    free_device(device);
}

dt_backend dt_device_backend(const dt_device *device) { return device->kind; }

dt_pool *dt_device_pool(const dt_device *device) { return device->pool; }

const dt_queue *dt_device_queue(const dt_device *device, dt_stream stream) { return &device->queue[stream]; }

dt_choices *dt_device_choices(const dt_device *device) { return device->choices; }

dt_status dt_device_use_cudnn(dt_device *device, bool always)
{
    dt_device_info info;
    dt_cudnn *cudnn;
    DT_TRY(dt_device_query(device, &info));
    DT_TRY(dt_cudnn_open(info.capability, always, &cudnn));
    for (int s = 0; s < DT_STREAMS; s++) device->queue[s].cudnn = cudnn;
    return DT_OK;
}

dt_status dt_device_query(dt_device *device, dt_device_info *out)
{
    *out = (dt_device_info){.threads = dt_pool_threads(device->pool), .cudnn = device->queue[DT_STREAM_COMPUTE].cudnn};
    return device->backend->query(device->context, out);
}

/* --- memory --- */

static int64_t memory_in_use(const dt_memory_use *use)
{
    int64_t sum = 0;
    for (int c = 0; c < DT_MEMORY_CATEGORIES; c++) sum += use->now[c];
    return sum;
}

static int largest_category(const dt_memory_use *use)
{
    int largest = 0;
    for (int c = 1; c < DT_MEMORY_CATEGORIES; c++)
        if (use->now[c] > use->now[largest]) largest = c;
    return largest;
}

/* "130.00 GiB in use (optimizer 80.00 GiB, parameters 40.00 GiB, gradients 10.00 GiB)" */
static void add_use(dt_text *out, const dt_memory_use *memory, const char *what)
{
    dt_memory_use use = *memory;
    char size[32];
    dt_text_add(out, "%s %s", dt_text_bytes(size, (double)memory_in_use(&use)), what);
    for (int listed = 0, c; listed < 3 && use.now[c = largest_category(&use)]; listed++) {
        dt_text_add(out, "%s%s %s", listed ? ", " : " (", dt_memory_name(c), dt_text_bytes(size, (double)use.now[c]));
        use.now[c] = 0;
    }
    if (memory_in_use(memory)) dt_text_add(out, ")");
}

void dt_device_advise(dt_device *device, dt_memory category, const char *remedy)
{
    snprintf(device->remedy[category], DT_REMEDY_ROOM, "%s", remedy);
}

/* What this process holds on a GPU besides (the CUDA context and libraries) is less than the least that is blamed on
 * others. */
static const int64_t least_blamed = (int64_t)2 << 30;

static int64_t held_by_others(const dt_device *device, const dt_device_info *info)
{
    int64_t others = info->memory_total - info->memory_free - memory_in_use(&device->memory);
    return device->kind == DT_CUDA && others >= least_blamed ? others : 0;
}

/* "; 3.20 GiB of 139.80 GiB are free, and other processes hold some 6.60 GiB" */
static void add_free(dt_text *out, const dt_device_info *info, int64_t others)
{
    char total[32], available[32], held[32];
    dt_text_add(out, "; %s of %s are free", dt_text_bytes(available, (double)info->memory_free),
                dt_text_bytes(total, (double)info->memory_total));
    if (others)
        dt_text_add(out, ", and other processes hold some %s (nvidia-smi names them)",
                    dt_text_bytes(held, (double)others));
}

/* Where all would fit without the others, they are what helps; else the largest category has to become smaller. */
static void add_remedy(dt_text *out, const char *remedy, bool fits, bool others)
{
    const char *fewer = "fewer other processes, or another GPU (CUDA_VISIBLE_DEVICES)";
    if (fits && others) dt_text_add(out, "; what helps: %s", fewer);
    else if (remedy[0]) dt_text_add(out, "; what helps: %s%s", remedy, others ? ", and fewer other processes" : "");
    else if (others) dt_text_add(out, "; what helps: %s", fewer);
}

/* `missing` bytes are wanted now, and all that the process is to have is `wanted`. */
static dt_status fail_with_help(const dt_device *device, dt_text *message, const dt_memory_use *wanted,
                                const dt_device_info *info, int64_t missing)
{
    int64_t others = 0;
    bool fits = false;
    if (info && info->memory_total) {
        others = held_by_others(device, info);
        fits = missing <= info->memory_free + others - least_blamed;
        add_free(message, info, others);
    }
    add_remedy(message, device->remedy[largest_category(wanted)], fits, others);
    dt_status status = dt_fail(DT_ERR_MEMORY, "out of memory on %s: %s", device->backend->name,
                               message->data ? message->data : "");
    dt_text_free(message);
    return status;
}

/* "out of memory on cuda: cannot get 12.00 GiB for arena beside 130.00 GiB in use (...); 3.20 GiB of
 * ...; what helps: ..." */
static dt_status fail_out_of_memory(dt_device *device, dt_memory category, size_t bytes)
{
    dt_memory_use wanted = device->memory;
    dt_device_info info;
    dt_text message = {0};
    char size[32];
    wanted.now[category] += (int64_t)bytes;
    dt_text_add(&message, "cannot get %s for %s beside ", dt_text_bytes(size, (double)bytes),
                dt_memory_name(category));
    add_use(&message, &device->memory, "in use");
    bool known = !dt_device_query(device, &info);
    return fail_with_help(device, &message, &wanted, known ? &info : NULL, (int64_t)bytes);
}

dt_status dt_device_check_room(dt_device *device, const int64_t planned[DT_MEMORY_CATEGORIES])
{
    dt_memory_use wanted = {0};
    dt_device_info info;
    dt_text message = {0};
    for (int c = 0; c < DT_MEMORY_CATEGORIES; c++) wanted.now[c] = planned[c];
    DT_TRY(dt_device_query(device, &info));
    int64_t sum = memory_in_use(&wanted);
    if (!info.memory_total || sum <= info.memory_free) return DT_OK;
    add_use(&message, &wanted, "are needed");
    return fail_with_help(device, &message, &wanted, &info, sum);
}

dt_status dt_device_alloc(dt_device *device, dt_memory category, size_t bytes, void **out)
{
    if (bytes > INT64_MAX / 2) return fail_out_of_memory(device, category, INT64_MAX / 2);
    dt_status status = device->backend->alloc(device->context, bytes, out);
    if (status == DT_ERR_MEMORY) return fail_out_of_memory(device, category, bytes);
    DT_TRY(status);
    device->memory.now[category] += (int64_t)bytes;
    int64_t sum = memory_in_use(&device->memory);
    if (sum > device->memory.peak) device->memory.peak = sum;
    return DT_OK;
}

void dt_device_free(dt_device *device, dt_memory category, void *ptr, size_t bytes)
{
    if (!ptr) return;
    device->backend->free(device->context, ptr);
    device->memory.now[category] -= (int64_t)bytes;
}

dt_status dt_device_alloc_host(dt_device *device, size_t bytes, void **out)
{
    dt_status status = device->backend->alloc_host(device->context, bytes, out);
    return status == DT_ERR_MEMORY ? dt_fail_memory(bytes, "host buffers of the device") : status;
}

void dt_device_free_host(dt_device *device, void *ptr)
{
    if (ptr) device->backend->free_host(device->context, ptr);
}

void dt_device_memory(const dt_device *device, dt_memory_use *out) { *out = device->memory; }

/* --- streams and events --- */

dt_status dt_device_upload(dt_device *device, dt_stream stream, void *to, const void *host, size_t bytes)
{
    return device->backend->copy(device->context, stream, to, host, bytes);
}

dt_status dt_device_download(dt_device *device, dt_stream stream, void *host, const void *from, size_t bytes)
{
    return device->backend->copy(device->context, stream, host, from, bytes);
}

dt_status dt_device_copy(dt_device *device, dt_stream stream, void *to, const void *from, size_t bytes)
{
    return device->backend->copy(device->context, stream, to, from, bytes);
}

dt_status dt_device_clear(dt_device *device, dt_stream stream, void *ptr, size_t bytes)
{
    return device->backend->clear(device->context, stream, ptr, bytes);
}

dt_status dt_device_sync(dt_device *device, dt_stream stream)
{
    return device->backend->sync(device->context, stream);
}

/* --- recordings: the handle that callers hold is the back end's --- */

bool dt_device_records(const dt_device *device) { return device->backend->record_begin; }

dt_status dt_recording_begin(dt_device *device) { return device->backend->record_begin(device->context); }

dt_status dt_recording_end(dt_device *device, dt_recording **out)
{
    void *recording = NULL;
    DT_TRY(device->backend->record_end(device->context, &recording));
    *out = recording;
    return DT_OK;
}

void dt_recording_cancel(dt_device *device)
{
    dt_status ignored = device->backend->record_end(device->context, NULL);
    (void)ignored;
}

dt_status dt_recording_run(dt_device *device, dt_recording *recording)
{
    return device->backend->record_run(device->context, recording);
}

void dt_recording_free(dt_device *device, dt_recording *recording)
{
    if (recording) device->backend->record_free(recording);
}

void dt_device_range_begin(const dt_device *device, const char *name)
{
    if (device->backend->range_begin) device->backend->range_begin(name);
}

void dt_device_range_end(const dt_device *device)
{
    if (device->backend->range_end) device->backend->range_end();
}

dt_status dt_device_join(dt_device *device, dt_stream waiting, dt_stream awaited)
{
    DT_TRY(dt_event_record(device, &device->joined[awaited], awaited));
    return dt_event_wait(device, &device->joined[awaited], waiting);
}

dt_status dt_event_create(dt_device *device, dt_event **out)
{
    dt_event *event = calloc(1, sizeof *event);
    if (!event) return dt_fail_memory(sizeof *event, "an event");
    dt_status status = device->backend->event_create(device->context, &event->native);
    if (status) {
        free(event);
        return status;
    }
    *out = event;
    return DT_OK;
}

void dt_event_free(dt_device *device, dt_event *event)
{
    if (!event) return;
    device->backend->event_free(event->native);
    free(event);
}

dt_status dt_event_record(dt_device *device, dt_event *event, dt_stream stream)
{
    return device->backend->event_record(device->context, event->native, stream);
}

dt_status dt_event_wait(dt_device *device, dt_event *event, dt_stream stream)
{
    return device->backend->event_wait(device->context, event->native, stream);
}

dt_status dt_event_sync(dt_device *device, dt_event *event) { return device->backend->event_sync(event->native); }
